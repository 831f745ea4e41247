//! Budgets of agents, above them and beside them: what is reserved, counted, refused and waited for.

use std::time::Duration;

use atta_core::budget::{Caps, Measure, Scope};
use atta_core::engine::AgentClass;
use atta_core::protocol::agent::{AccountLimit, AgentCli, AgentRecord, AgentTokens, CostSource, MicroUsd};
use atta_core::protocol::ant::Assignment;
use atta_core::protocol::budgets::{AccountState, BudgetScope};
use atta_core::time::UnixMillis;
use atta_server::scheduler::{JobCommand, Queen, Refusal};

use super::agents::{end, next, order, record};
use super::rig::{Ant, Rig, START};

fn used(class: AgentClass, micros: u64, turns: u32) -> AgentRecord {
    let mut record = record(class, Some((AgentCli::Claude, "s-1")));
    record.usage.turns = turns;
    record.usage.cost = Some(MicroUsd(micros));
    record.usage.cost_source = Some(CostSource::Reported);
    record.usage.tokens = Some(AgentTokens { input: 10, output: 5, ..AgentTokens::default() });
    record
}

fn limited(resets_at: Option<i64>) -> AgentRecord {
    let mut record = record(AgentClass::RateLimited, None);
    record.usage.turns = 0;
    record.limit =
        Some(AccountLimit { resets_at: resets_at.map(UnixMillis), message: "5 hours are used up".to_owned() });
    record
}

fn usd(assignment: &Assignment) -> Option<u64> {
    order(assignment).limits.usd.map(|usd| usd.0)
}

fn caps(usd: u64) -> Caps {
    let mut caps = Caps::default();
    caps.set(Measure::Usd, Some(usd));
    caps
}

/// Two agents side by side that say what they need, and a budget for one and a half of them.
fn two(on_exceed: &str) -> String {
    format!(
        "job_type: flow\nbudget: {{usd: 1.5, on_exceed: {on_exceed}}}\ntasks:\n  - task_type: a\n    agent: {{cli: claude, \
         prompt: x, max_usd: 1}}\n  - task_type: b\n    agent: {{cli: claude, prompt: x, max_usd: 1}}\n"
    )
}

async fn why_ready(rig: &Rig) -> String {
    rig.rows("SELECT reason FROM attempts WHERE state = 'READY' ORDER BY number").await.join("|")
}

#[tokio::test]
pub(crate) async fn what_one_agent_may_use_is_not_given_to_another_one() {
    let rig = Rig::new().await;
    rig.upload(&two("pause")).await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 4);
    let given = ant.poll(&rig.queen).await.assignments;
    assert_eq!((given.len(), usd(&given[0])), (1, Some(1_000_000)), "the other one waits");
    let why = why_ready(&rig).await;
    assert_eq!(
        why,
        "waits for the budget of the job: 0.00 of 1.50 USD are used, and 1.00 are reserved for an agent that runs"
    );
    // It used less than it might: what is left is enough for the other one.
    let other = end(&rig, &mut ant, &given[0], used(AgentClass::Done, 450_000, 3), None).await.expect("the other one");
    assert_eq!(usd(&other), Some(1_000_000));
    end(&rig, &mut ant, &other, used(AgentClass::Done, 990_000, 3), None).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
    let counted = "SELECT attempt, account, most_usd, bounds, counted_usd, counted_tokens, counted_turns FROM agent_spend ORDER BY attempt";
    assert_eq!(rig.rows(counted).await, ["1 claude 1000000  450000 15 3", "2 claude 1000000  990000 15 3"]);
    assert_eq!(rig.rows("SELECT job_type, attempts, usd, turns FROM spend_days").await, ["flow 2 1440000 6"]);
}

#[tokio::test]
pub(crate) async fn a_job_with_nothing_left_is_paused_and_goes_on_in_the_same_session_with_more() {
    let mut rig = Rig::new().await;
    rig.upload(&two("pause")).await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let a = next(&rig, &mut ant).await;
    let b = end(&rig, &mut ant, &a, used(AgentClass::Done, 900_000, 3), None).await.expect("what is left");
    assert_eq!(usd(&b), Some(600_000), "nobody else has anything reserved");
    // One turn too many.
    assert!(end(&rig, &mut ant, &b, used(AgentClass::Budget, 620_000, 9), None).await.is_none());
    assert_eq!(rig.state(&job).await, "PAUSED");
    let reason = rig.reason(&job).await;
    assert_eq!(
        reason,
        "BUDGET: 1.52 of 1.50 USD are used, and an agent waits for more: `atta resume JOB --budget usd=…`"
    );
    rig.restart().await;
    let mut ant = Ant::new("ant", 1);
    ant.session = 2;
    let with = |usd| JobCommand::ResumeWith { params: serde_json::Map::new(), budget: caps(usd) };
    let refused = rig.queen.command(&job, with(1_520_000)).await.expect_err("it leaves nothing");
    assert_eq!(
        refused.to_string(),
        format!("the agents of the job {job} have used 1.52 USD already: a budget of 1.52 USD leaves nothing")
    );
    // With params that there are not, the budget stays as it is too.
    let params = serde_json::json!({"Nowhere": 1}).as_object().cloned().unwrap_or_default();
    let both = JobCommand::ResumeWith { params, budget: caps(3_000_000) };
    let refused = rig.queen.command(&job, both).await.expect_err("there is no such param");
    assert_eq!(refused.to_string(), "flow takes no params");
    assert_eq!(rig.rows("SELECT usd FROM job_budgets").await, ["1500000"]);
    // Without more it is paused again, and nothing was started.
    rig.queen.command(&job, JobCommand::Resume).await.expect("it resumes");
    assert!(ant.poll(&rig.queen).await.assignments.is_empty());
    assert_eq!(rig.state(&job).await, "PAUSED");
    rig.queen.command(&job, with(2_000_000)).await.expect("it resumes");
    let again = next(&rig, &mut ant).await;
    assert_eq!((again.task.as_str(), usd(&again)), ("b", Some(480_000)));
    assert_eq!(order(&again).resume.as_ref().map(|session| session.id.as_str()), Some("s-1"), "where it was");
    end(&rig, &mut ant, &again, used(AgentClass::Done, 100_000, 1), None).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
    assert_eq!(rig.rows("SELECT usd FROM job_budgets").await, ["2000000"]);
}

#[tokio::test]
pub(crate) async fn a_budget_that_fails_stops_the_job() {
    let rig = Rig::new().await;
    rig.upload(&format!("{}  - task_type: c\n    script: [x]\n    always_run: true\n", two("fail"))).await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let a = next(&rig, &mut ant).await;
    let last = end(&rig, &mut ant, &a, used(AgentClass::Done, 1_600_000, 3), None).await.expect("always_run");
    assert_eq!(last.task, "c");
    ant.start(&rig.queen, &last).await;
    ant.finish(&rig.queen, &last).await;
    assert_eq!(rig.state(&job).await, "FAILED");
    let why = rig.rows("SELECT error_code, error_message FROM jobs").await.concat();
    assert_eq!(why, "BUDGET_EXCEEDED BUDGET: 1.60 of 1.50 USD are used, and an agent of this job needs more");
    assert_eq!(rig.tasks(&job).await, ["a COMPLETED 1 1 0", "b CANCELLED 1 1 -", "c COMPLETED 1 1 0"]);
}

#[tokio::test]
pub(crate) async fn agents_that_do_not_say_what_they_need_share_and_go_on_when_more_is_left() {
    let rig = Rig::new().await;
    rig.upload(
        "job_type: flow\nbudget: {agent_turns: 20}\ntasks:\n  - task_type: a\n    fan_out: {items: [1, 2]}\n    agent: {cli: claude, prompt: x}\n",
    )
    .await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 2);
    let given = ant.poll(&rig.queen).await.assignments;
    let turns: Vec<_> = given.iter().map(|one| order(one).limits.turns).collect();
    assert_eq!(turns, [Some(10), Some(10)]);
    assert!(end(&rig, &mut ant, &given[0], used(AgentClass::MaxTurns, 1, 11), None).await.is_none());
    assert!(why_ready(&rig).await.contains("11 of 20 turns are used, and 10 are reserved for an agent that runs"));
    let again = end(&rig, &mut ant, &given[1], used(AgentClass::Done, 1, 2), None).await.expect("the first goes on");
    assert_eq!((order(&again).limits.turns, again.task.as_str()), (Some(7), "a"));
    assert!(order(&again).resume.is_some());
    end(&rig, &mut ant, &again, used(AgentClass::Done, 1, 1), None).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
}

#[tokio::test]
pub(crate) async fn a_limit_of_the_agent_s_own_is_routed_as_ever() {
    let rig = Rig::new().await;
    rig.upload(
        "job_type: flow\nbudget: {usd: 10}\ntasks:\n  - task_type: a\n    agent: {cli: claude, prompt: x, max_usd: 1}\n    on_exit_code: {BUDGET: END_BLOCKED}\n",
    )
    .await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let a = next(&rig, &mut ant).await;
    end(&rig, &mut ant, &a, used(AgentClass::Budget, 1_100_000, 11), None).await;
    assert_eq!(rig.state(&job).await, "BLOCKED");
}

#[tokio::test]
pub(crate) async fn what_an_agent_does_not_say_is_counted_as_what_was_reserved_for_it() {
    let rig = Rig::new().await;
    rig.upload(&two("pause")).await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let a = next(&rig, &mut ant).await;
    let mut silent = used(AgentClass::Done, 0, 3);
    silent.usage.cost = None;
    let b = end(&rig, &mut ant, &a, silent, None).await.expect("the other one");
    assert_eq!(usd(&b), Some(500_000));
    assert_eq!(rig.rows("SELECT counted_usd, unknown_usd FROM agent_spend WHERE attempt = 1").await, ["1000000 1"]);
    end(&rig, &mut ant, &b, used(AgentClass::Done, 1, 1), None).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
}

#[tokio::test]
pub(crate) async fn a_definition_and_the_organisation_have_a_budget_for_each_day() {
    let mut rig = Rig::new().await;
    let daily = |usd: &str| {
        format!(
            "job_type: flow\nbudget: {{per_day: {{usd: {usd}}}}}\ntasks:\n  - task_type: a\n    agent: {{cli: claude, prompt: x, max_usd: 1}}\n"
        )
    };
    rig.upload(&daily("1")).await;
    let mut ant = Ant::new("ant", 4);
    let first = rig.submit("flow").await;
    let a = next(&rig, &mut ant).await;
    end(&rig, &mut ant, &a, used(AgentClass::Done, 1_000_000, 3), None).await;
    assert_eq!(rig.state(&first).await, "COMPLETED");
    let second = rig.submit("flow").await;
    assert!(ant.poll(&rig.queen).await.assignments.is_empty());
    let waits = "waits until it is raised, or until 2026-01-06T00:00:00.000Z: the budget of all jobs of flow today is taken: 1.00 of 1.00 USD are used";
    assert_eq!(why_ready(&rig).await, waits);
    rig.restart().await;
    let mut ant = Ant::new("ant", 4);
    ant.session = 2;
    assert!(ant.poll(&rig.queen).await.assignments.is_empty(), "a restart forgets nothing");
    let report = rig.queen.budgets().await.expect("a report");
    let of_flow = report.budgets.iter().find(|budget| budget.scope == BudgetScope::Definition).expect("flow's");
    assert_eq!((of_flow.limits.usd, of_flow.used.usd, of_flow.waiting), (Some(1.0), Some(1.0), 1));
    // Raised by a new version, it is enough for the one that waits.
    rig.upload(&daily("2")).await;
    let a = next(&rig, &mut ant).await;
    end(&rig, &mut ant, &a, used(AgentClass::Done, 1_000_000, 3), None).await;
    assert_eq!(rig.state(&second).await, "COMPLETED");
    rig.submit("flow").await;
    assert!(ant.poll(&rig.queen).await.assignments.is_empty());
    rig.set_clock(START + 86_400_000);
    rig.settle().await;
    assert_eq!(usd(&next(&rig, &mut ant).await), Some(1_000_000), "it is another day");
}

#[tokio::test]
pub(crate) async fn all_agents_together_have_a_budget_for_each_day() {
    let mut rig = Rig::new().await;
    rig.queen.abandon().await;
    rig.queen = Queen::open(atta_server::scheduler::QueenConfig { budget_per_day: caps(1_000_000), ..rig.config() })
        .await
        .expect("a queen");
    rig.upload("job_type: flow\ntasks:\n  - task_type: a\n    agent: {cli: claude, prompt: x}\n").await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let a = next(&rig, &mut ant).await;
    assert_eq!(usd(&a), Some(1_000_000));
    assert!(end(&rig, &mut ant, &a, used(AgentClass::Budget, 1_010_000, 9), None).await.is_none());
    assert!(why_ready(&rig).await.contains("the budget of all agents today is taken: 1.01 of 1.00 USD are used"));
    assert_eq!(rig.state(&job).await, "RUNNING");
    rig.set_clock(START + 86_400_000);
    rig.settle().await;
    let again = next(&rig, &mut ant).await;
    assert_eq!(order(&again).resume.as_ref().map(|session| session.id.as_str()), Some("s-1"));
}

fn jobs_of(account: &str) -> String {
    format!(
        "job_type: {account}\ntasks:\n  - task_type: a\n    retry: 1\n    delay_between_retries: 1s\n    agent: {{cli: claude, account: {account}, prompt: x}}\n"
    )
}

#[tokio::test]
pub(crate) async fn a_limit_parks_all_tasks_of_its_account_and_no_others() {
    let mut rig = Rig::new().await;
    rig.upload(&jobs_of("red")).await;
    rig.upload(&jobs_of("blue")).await;
    let mut ant = Ant::new("ant", 8);
    let first = rig.submit("red").await;
    let a = next(&rig, &mut ant).await;
    rig.submit("red").await;
    rig.submit("blue").await;
    let resets = START + 3_600_000;
    let blue = end(&rig, &mut ant, &a, limited(Some(resets)), None).await.expect("others go on");
    assert_eq!(blue.job_type, "blue");
    end(&rig, &mut ant, &blue, used(AgentClass::Done, 1, 1), None).await;
    assert!(ant.poll(&rig.queen).await.assignments.is_empty());
    let waits = "waits: the account red is used up until 2026-01-05T01:00:00.000Z (5 hours are used up)";
    assert_eq!(why_ready(&rig).await, waits);
    let accounts = rig.queen.accounts().await.expect("accounts");
    let red = accounts.iter().find(|account| account.name == "red").expect("red");
    assert_eq!(
        (red.state, red.waiting, red.until.as_deref()),
        (AccountState::Parked, 1, Some("2026-01-05T01:00:00.000Z"))
    );
    rig.restart().await;
    let mut ant = Ant::new("ant", 8);
    ant.session = 2;
    rig.advance(Duration::from_mins(10)).await;
    assert!(ant.poll(&rig.queen).await.assignments.is_empty(), "it is parked after a restart, too");
    rig.advance(Duration::from_mins(51)).await;
    let mut given = ant.poll(&rig.queen).await.assignments;
    assert_eq!(given.len(), 2, "both of red, the one that was limited by its retry");
    while let Some(one) = given.pop() {
        end(&rig, &mut ant, &one, used(AgentClass::Done, 1, 1), None).await;
    }
    assert_eq!(rig.state(&first).await, "COMPLETED");
}

#[tokio::test]
pub(crate) async fn an_account_that_somebody_releases_is_used_again() {
    let rig = Rig::new().await;
    rig.upload(&jobs_of("red")).await;
    let mut ant = Ant::new("ant", 1);
    rig.submit("red").await;
    let a = next(&rig, &mut ant).await;
    end(&rig, &mut ant, &a, limited(None), None).await;
    rig.advance(Duration::from_secs(2)).await;
    assert!(ant.poll(&rig.queen).await.assignments.is_empty());
    assert!(why_ready(&rig).await.contains("the account red is used up until 2026-01-05T00:01:00.000Z"));
    assert_eq!(rig.queen.release_account("red").await.expect("red").state, AccountState::Open);
    next(&rig, &mut ant).await;
    let nobody = rig.queen.release_account("green").await.expect_err("there is none");
    assert!(matches!(nobody, Refusal::NotFound { .. }) && nobody.to_string().contains("account green"), "{nobody}");
}

#[tokio::test]
pub(crate) async fn with_several_accounts_the_next_attempt_uses_another_one_at_once() {
    let rig = Rig::new().await;
    rig.upload(
        "job_type: flow\ntasks:\n  - task_type: a\n    retry: 2\n    delay_between_retries: 1s\n    agent:\n      cli: claude\n      prompt: x\n      accounts:\n        - {name: red, environment: {KEY: of-red}}\n        - {name: blue, environment: {KEY: of-blue}}\n",
    )
    .await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let a = next(&rig, &mut ant).await;
    assert_eq!(a.environment.get("KEY").map(String::as_str), Some("of-red"));
    end(&rig, &mut ant, &a, limited(Some(START + 3_600_000)), Some(Duration::from_hours(1))).await;
    rig.advance(Duration::from_secs(2)).await;
    let again = next(&rig, &mut ant).await;
    assert_eq!(again.environment.get("KEY").map(String::as_str), Some("of-blue"));
    end(&rig, &mut ant, &again, used(AgentClass::Done, 1, 1), None).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
    assert_eq!(rig.rows("SELECT account FROM agent_spend ORDER BY attempt").await, ["red", "blue"]);
}

#[tokio::test]
pub(crate) async fn when_many_agents_fail_at_once_one_tries_before_the_others() {
    let rig = Rig::new().await;
    rig.upload("job_type: flow\ntasks:\n  - task_type: a\n    agent: {cli: claude, prompt: x}\n").await;
    let mut ant = Ant::new("ant", 4);
    for _ in 0..12 {
        rig.submit("flow").await;
    }
    let mut running = ant.poll(&rig.queen).await.assignments;
    let mut failed = 0;
    while let Some(one) = running.pop() {
        running.extend(end(&rig, &mut ant, &one, record(AgentClass::Auth, None), None).await);
        failed += 1;
    }
    // Those that ran when the fifth failed had begun before.
    assert!((5..12).contains(&failed), "{failed}");
    let why = why_ready(&rig).await;
    assert!(why.contains("waits: 5 agents of the account claude failed one after the other"), "{why}");
    rig.advance(Duration::from_mins(3)).await;
    let probe = ant.poll(&rig.queen).await.assignments;
    assert_eq!(probe.len(), 1, "one tries");
    end(&rig, &mut ant, &probe[0], used(AgentClass::Done, 1, 1), None).await;
    let rest = ant.poll(&rig.queen).await.assignments.len();
    assert!(rest > 0 || ant.held > 0, "the others go on");
}

#[tokio::test]
pub(crate) async fn an_agent_without_a_record_is_known_to_have_used_something() {
    let rig = Rig::new().await;
    rig.upload(&two("pause")).await;
    rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let a = next(&rig, &mut ant).await;
    ant.start(&rig.queen, &a).await;
    ant.codes.insert("a".to_owned(), vec![1]);
    ant.finish(&rig.queen, &a).await;
    assert_eq!(rig.rows("SELECT counted_usd, unknown_usd FROM agent_spend WHERE attempt = 1").await, ["1000000 1"]);
}

#[tokio::test]
pub(crate) async fn figures_say_what_is_used_reserved_and_waited_for() {
    let rig = Rig::new().await;
    rig.upload(&two("pause")).await;
    rig.upload("job_type: plain\ntasks: [{task_type: a, script: [x]}]\n").await;
    rig.upload(&jobs_of("red")).await;
    rig.submit("flow").await;
    let mut ant = Ant::new("ant", 4);
    let a = next(&rig, &mut ant).await;
    let figures = rig.queen.figures().await.expect("figures");
    let of = |scope: Scope, job_type: Option<&str>| {
        let mut lines = figures.budgets.iter().filter(|line| line.scope == scope);
        let line = lines.find(|line| line.job_type.as_deref() == job_type)?;
        Some((line.used.get(Measure::Usd), line.reserved.get(Measure::Usd)))
    };
    for (scope, job_type) in [(Scope::Day, None), (Scope::Job, None), (Scope::Definition, Some("flow"))] {
        assert_eq!(of(scope, job_type), Some((0, 1_000_000)), "{scope:?}");
    }
    assert_eq!((of(Scope::Definition, Some("red")), of(Scope::Definition, Some("plain"))), (Some((0, 0)), None));
    assert_eq!((figures.waiting["job"], figures.waiting["account"]), (1, 0));
    rig.submit("red").await;
    let red = next(&rig, &mut ant).await;
    end(&rig, &mut ant, &red, limited(None), None).await;
    end(&rig, &mut ant, &a, used(AgentClass::Done, 450_000, 3), None).await;
    let figures = rig.queen.figures().await.expect("figures");
    let day = figures.budgets.iter().find(|line| line.scope == Scope::Day).expect("the organisation's");
    assert_eq!(day.used.get(Measure::Turns), 3);
    assert_eq!((figures.accounts["parked"], figures.accounts["open"]), (1, 1));
}
