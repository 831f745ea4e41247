//! Arguments about budgets and accounts.

use atta_core::budget::Measure;
use atta_core::protocol::budgets::BudgetAmounts;
use clap::{Args, Subcommand};

use super::{ListArgs, ServerArgs};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct AccountsArgs {
    #[command(subcommand)]
    pub(crate) action: Option<AccountsAction>,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AccountsAction {
    /// List accounts.
    List(ListArgs),
    /// Use accounts again, whatever was said of their limits.
    Release(AccountsReleaseArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AccountsReleaseArgs {
    /// Names of accounts.
    #[arg(value_name = "ACCOUNT", required = true)]
    pub(crate) accounts: Vec<String>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// `usd=10,tokens=500000`.
pub(crate) fn budget(text: &str) -> Result<BudgetAmounts, String> {
    let mut amounts = BudgetAmounts::default();
    for part in text.split(',') {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let measure = Measure::of_key(key.trim()).ok_or_else(|| {
            format!("\"{part}\" is no limit: write usd=10, tokens=500000, agent_turns=200 or minutes=60, with commas between")
        })?;
        let value = value.trim();
        let no_number = || format!("\"{value}\" is no number: write {key}=10");
        match measure {
            Measure::Usd => amounts.usd = Some(value.parse().map_err(|_| no_number())?),
            Measure::Tokens => amounts.tokens = Some(value.parse().map_err(|_| no_number())?),
            Measure::Turns => amounts.agent_turns = Some(value.parse().map_err(|_| no_number())?),
            Measure::Time => amounts.minutes = Some(value.parse().map_err(|_| no_number())?),
        }
    }
    amounts.caps().map(|_| amounts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_what_is_wrong_with_them_is_said() {
        let read =
            budget("usd=2.5, tokens=100,minutes=90").map(|amounts| (amounts.usd, amounts.tokens, amounts.minutes));
        assert_eq!(read, Ok((Some(2.5), Some(100), Some(90.0))));
        assert!(budget("5").unwrap_err().contains("\"5\" is no limit: write usd=10"));
        assert_eq!(budget("usd=much").unwrap_err(), "\"much\" is no number: write usd=10");
        assert_eq!(budget("usd=0").unwrap_err(), "`usd` must be more than 0, and 0 is not");
    }
}
