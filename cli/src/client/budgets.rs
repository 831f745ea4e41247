//! `atta budget` and `atta accounts`.

use std::fmt::Write as _;

use atta_core::protocol::agent::MicroUsd;
use atta_core::protocol::budgets::{
    AccountResource, BudgetAmounts, BudgetReport, BudgetResource, BudgetScope, JobBudget,
};

use super::Server;
use crate::args::{AccountsAction, AccountsArgs, AccountsReleaseArgs, ListArgs};
use crate::exit::{CommandResult, Exit};
use crate::output::{self, harmless};

/// What is limited, as people call it.
const UNITS: [&str; 4] = ["USD", "tokens", "turns", "minutes"];

/// `atta budget`.
pub(crate) async fn budget(args: ListArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    let report: BudgetReport = server.json(server.get(&["budgets"], &[])).await?;
    if args.json {
        output::print_json(&report)?;
        return Ok(Exit::Success);
    }
    let rows: Vec<Vec<String>> = report.budgets.iter().flat_map(|budget| rows(budget, &report.day)).collect();
    output::print(&output::table(&["BUDGET", "UNIT", "LIMIT", "USED", "RESERVED", "RUNNING", "WAITING"], &rows))?;
    Ok(Exit::Success)
}

/// A row for each unit that is limited; for what has no limit, one with the money.
fn rows(budget: &BudgetResource, day: &str) -> Vec<Vec<String>> {
    let job_type = harmless(budget.job_type.as_deref().unwrap_or_default());
    let name = match (budget.scope, &budget.job_id) {
        (BudgetScope::Day, _) => format!("all, {day}"),
        (BudgetScope::Definition, _) => format!("{job_type}, {day}"),
        (BudgetScope::Job, Some(job)) => harmless(&job.0),
        (BudgetScope::Job, None) => job_type,
    };
    let (limits, used, reserved) = (spelled(&budget.limits), spelled(&budget.used), spelled(&budget.reserved));
    let row = |at: usize| {
        vec![
            name.clone(),
            UNITS[at].to_owned(),
            limits[at].clone().unwrap_or_else(|| "-".to_owned()),
            used[at].clone().unwrap_or_default(),
            reserved[at].clone().unwrap_or_default(),
            budget.running.to_string(),
            budget.waiting.to_string(),
        ]
    };
    let limited: Vec<usize> = (0..4).filter(|at| limits[*at].is_some()).collect();
    if limited.is_empty() { vec![row(0)] } else { limited.into_iter().map(row).collect() }
}

/// In the order of the units.
fn spelled(amounts: &BudgetAmounts) -> [Option<String>; 4] {
    let usd = amounts.usd.map(|usd| MicroUsd::from_dollars(usd).unwrap_or_default().amount());
    let minutes = amounts.minutes.map(|minutes| format!("{:.2}", (minutes * 100.0).ceil() / 100.0));
    [usd, amounts.tokens.map(|n| n.to_string()), amounts.agent_turns.map(|n| n.to_string()), minutes]
}

/// `5.02 of 5.00 USD, 12 of 40 turns; 1.20 USD and 8 turns are reserved for 2 attempts`.
pub(super) fn of_job(budget: &JobBudget) -> String {
    let (limits, used, reserved) = (spelled(&budget.limits), spelled(&budget.used), spelled(&budget.reserved));
    let limited: Vec<usize> = (0..4).filter(|at| limits[*at].is_some()).collect();
    let part = |at: &usize| {
        let (used, limit) = (used[*at].as_deref().unwrap_or("0"), limits[*at].as_deref().unwrap_or("-"));
        format!("{used} of {limit} {}", UNITS[*at])
    };
    let mut text = limited.iter().map(part).collect::<Vec<_>>().join(", ");
    if budget.open > 0 {
        let reserved = limited.iter().map(|at| format!("{} {}", reserved[*at].as_deref().unwrap_or("0"), UNITS[*at]));
        let attempts = if budget.open == 1 { "an attempt".to_owned() } else { format!("{} attempts", budget.open) };
        let _ = write!(text, "; {} reserved for {attempts}", reserved.collect::<Vec<_>>().join(", "));
    }
    match budget.assumed {
        0 => {}
        1 => text.push_str("; of one attempt that did not say, what was reserved is counted"),
        many => {
            let _ = write!(text, "; of {many} attempts that did not say, what was reserved is counted");
        }
    }
    text
}

/// `atta accounts [list|release]`.
pub(crate) async fn accounts(args: AccountsArgs) -> CommandResult {
    match args.action {
        None => list(args.list).await,
        Some(AccountsAction::List(args)) => list(args).await,
        Some(AccountsAction::Release(args)) => release(args).await,
    }
}

async fn list(args: ListArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    let accounts: Vec<AccountResource> = server.json(server.get(&["accounts"], &[])).await?;
    if args.json {
        output::print_json(&accounts)?;
    } else {
        output::print(&table(&accounts))?;
    }
    Ok(Exit::Success)
}

async fn release(args: AccountsReleaseArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    let mut released: Vec<AccountResource> = Vec::with_capacity(args.accounts.len());
    for name in &args.accounts {
        released.push(server.json(server.post(&["accounts", name, "release"])).await?);
    }
    output::print(&table(&released))?;
    Ok(Exit::Success)
}

fn table(accounts: &[AccountResource]) -> String {
    let row = |account: &AccountResource| {
        vec![
            harmless(&account.name),
            account.state.as_str().to_owned(),
            account.until.clone().unwrap_or_default(),
            account.running.to_string(),
            account.waiting.to_string(),
            harmless(account.reason.as_deref().unwrap_or_default()),
        ]
    };
    let rows: Vec<Vec<String>> = accounts.iter().map(row).collect();
    output::table(&["ACCOUNT", "STATE", "UNTIL", "RUNNING", "WAITING", "REASON"], &rows)
}
