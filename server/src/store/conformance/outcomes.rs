//! What jobs cost and achieve, to the cent, on both databases.

use atta_core::definition::OutcomeState;
use atta_core::engine::{AgentClass, JobState};
use atta_core::protocol::agent::{AgentChoice, AgentCli, AgentRun, AgentTokens, AgentUsage, MicroUsd, RunPurpose};
use atta_core::protocol::outcomes_api::{Achieved, OutcomeFigures, OutcomesBy, OutcomesResource, ReasonCount, Spread};

use super::*;
use crate::outcomes::outcomes;

const DAY: i64 = 86_400_000;

/// Every condition at once; the first job of the rows meets it.
pub(super) fn filter_of_everything() -> OutcomeFilter {
    OutcomeFilter {
        since: Some(10),
        until: Some(30),
        job_type: Some("flow".to_owned()),
        repository: Some("a/b".to_owned()),
        agent: Some("claude".to_owned()),
        model: Some("opus".to_owned()),
    }
}

/// What one program used in one start; what is not known is `None`.
fn run(cli: AgentCli, model: &str, tokens: Option<u64>, micros: Option<u64>) -> AgentRun {
    AgentRun {
        choice: AgentChoice { cli, command: Vec::new(), model: Some(model.to_owned()) },
        purpose: RunPurpose::Work,
        class: Some(AgentClass::Done),
        session_id: None,
        model: None,
        usage: AgentUsage {
            turns: 2,
            tokens: tokens.map(|input| AgentTokens { input, ..AgentTokens::default() }),
            cost: micros.map(MicroUsd),
            ..AgentUsage::default()
        },
        exit_code: Some(0),
        started_at: UnixMillis(0),
        ended_at: Some(UnixMillis(1)),
    }
}

/// As a runner sums up: nothing is known of all when it is not known of one.
fn used(runs: Vec<AgentRun>) -> AgentUse {
    let mut record = AgentRecord::empty();
    let sum = |of: fn(&AgentRun) -> Option<u64>| runs.iter().map(of).sum::<Option<u64>>();
    record.usage.turns = runs.iter().map(|run| run.usage.turns).sum();
    record.usage.cost = sum(|run| run.usage.cost.map(|cost| cost.0)).map(MicroUsd);
    record.usage.tokens = sum(|run| run.usage.tokens.map(|tokens| tokens.input))
        .map(|input| AgentTokens { input, ..AgentTokens::default() });
    record.runs = runs;
    AgentUse::of(&record)
}

fn change(job: &str, submitted_at: i64) -> OutcomeChange {
    OutcomeChange {
        job: JobId(job.to_owned()),
        job_type: "fix".to_owned(),
        version: "v".to_owned(),
        submitted_at: UnixMillis(submitted_at),
        started_at: UnixMillis(submitted_at + 1_000),
        ended: None,
        error_code: None,
        said: Said { repository: Some("acme/shop".to_owned()), ..Said::default() },
        at: UnixMillis(submitted_at + 1_000),
        rework: Some(0),
        agents: Vec::new(),
        retries: Vec::new(),
    }
}

/// `change` later: with a state, and an end if there is one.
fn later(
    before: &OutcomeChange,
    seconds: i64,
    url: Option<&str>,
    state: Option<OutcomeState>,
    ended: Option<JobState>,
) -> OutcomeChange {
    let at = UnixMillis(before.submitted_at.0 + seconds * 1_000);
    let said = Said { url: url.map(str::to_owned), state, ..before.said.clone() };
    OutcomeChange {
        ended: ended.map(|state| (state, at)),
        said,
        at,
        rework: before.rework.map(|_| 0),
        agents: Vec::new(),
        retries: Vec::new(),
        ..before.clone()
    }
}

/// With a value in every column.
pub(super) fn change_of_everything() -> OutcomeChange {
    let said = Said {
        kind: Some("k".to_owned()),
        repository: Some("a/b".to_owned()),
        url: Some("u".to_owned()),
        state: Some(OutcomeState::Merged),
        reason: Some("R".to_owned()),
        note: Some("n".to_owned()),
    };
    OutcomeChange {
        ended: Some((JobState::Failed, UnixMillis(70))),
        error_code: Some("E".to_owned()),
        said,
        rework: Some(2),
        agents: vec![used(vec![
            run(AgentCli::Claude, "opus", Some(2), Some(3)),
            run(AgentCli::Codex, "x", None, None),
        ])],
        retries: vec![("one".to_owned(), 1, 1)],
        ..change("job_1", 10)
    }
}

async fn write(case: &mut Case, changes: &[OutcomeChange]) {
    for change in changes {
        case.writer.write(&Changes { achieved: vec![change], ..Changes::default() }).await.unwrap();
    }
}

async fn figures(case: &Case, filter: &OutcomeFilter, by: Option<OutcomesBy>) -> OutcomesResource {
    outcomes(&case.reads, filter, by, 100).await.unwrap()
}

fn group<'r>(found: &'r OutcomesResource, key: Option<&str>) -> &'r OutcomeFigures {
    &found
        .groups
        .iter()
        .find(|group| group.key.as_deref() == key)
        .unwrap_or_else(|| panic!("{key:?}: {found:?}"))
        .figures
}

fn close_to(found: Option<f64>, wanted: f64) {
    assert!(found.is_some_and(|found| (found - wanted).abs() < 1e-9), "{found:?}, not {wanted}");
}

/// Six jobs of two days in two repositories.
async fn history(case: &mut Case) {
    use AgentCli::{Claude, Codex};
    let (merged, failed, ended) = (Some(OutcomeState::Merged), Some(JobState::Failed), Some(JobState::Completed));
    let day = 1_000 * DAY;
    // Merged at once: $1.10 and $0.23.
    let one =
        OutcomeChange { agents: vec![used(vec![run(Claude, "opus", Some(10), Some(1_100_000))])], ..change("a", day) };
    let more = OutcomeChange {
        agents: vec![used(vec![run(Claude, "haiku", Some(5), Some(230_000))])],
        ..later(&one, 60, Some("u1"), Some(OutcomeState::Open), None)
    };
    write(case, &[one.clone(), more.clone(), later(&more, 3_600, None, merged, ended)]).await;
    // Merged after two rounds of rework; one attempt is without a cost, and the run before the fallback has one.
    let two = OutcomeChange {
        agents: vec![
            used(vec![run(Claude, "opus", Some(7), Some(2_000_001)), run(Codex, "big", None, None)]),
            AgentUse::unknown(Some("codex".to_owned())),
        ],
        retries: vec![("unit-test".to_owned(), 2, 1)],
        ..change("b", day + 5)
    };
    let reworked = OutcomeChange { rework: Some(2), ..later(&two, 120, Some("u2"), None, None) };
    write(case, &[two.clone(), reworked.clone()]).await;
    write(case, &[later(&reworked, 7_200, None, merged, ended)]).await;
    // Failed, turned down, left to somebody.
    let mut three = change("c", day + DAY);
    three.said.repository = Some("acme/tools".to_owned());
    three.agents = vec![used(vec![run(Codex, "big", Some(1), Some(10_000))])];
    let end = OutcomeChange { error_code: Some("TIMED_OUT".to_owned()), ..later(&three, 9, None, None, failed) };
    write(case, &[three, end]).await;
    let four = change("d", day + DAY + 1);
    let closed = later(&four, 30, Some("u4"), Some(OutcomeState::Closed), ended);
    let closed =
        OutcomeChange { said: Said { reason: Some("NOT_WANTED".to_owned()), ..closed.said.clone() }, ..closed };
    write(case, &[four, closed]).await;
    let five = change("e", day + DAY + 2);
    write(case, &[five.clone(), later(&five, 40, None, None, Some(JobState::Blocked))]).await;
    // One that lives, of another definition, where nothing counts rework.
    let six = OutcomeChange {
        job_type: "other".to_owned(),
        rework: None,
        said: Said::default(),
        agents: vec![used(vec![run(Claude, "opus", Some(3), Some(50))])],
        ..change("f", day + DAY + 3)
    };
    write(case, &[six]).await;
}

#[tokio::test]
async fn what_jobs_cost_and_achieve_is_right_to_the_cent() {
    for mut case in Case::both().await {
        history(&mut case).await;
        let since = OutcomeFilter { since: Some(1_000 * DAY), ..OutcomeFilter::default() };
        let all = figures(&case, &since, Some(OutcomesBy::Repository)).await;
        let total = &all.total;
        assert_eq!((total.jobs, total.in_progress, total.pull_requests), (6, 1, 3));
        assert_eq!((total.merged, total.closed, total.needs_human, total.failed), (2, 1, 1, 1));
        assert_eq!((total.attempts, total.turns, total.tokens.input), (6, 12, 26));
        assert_eq!(
            (total.cost_unknown, total.tokens_unknown),
            (2, 2),
            "an attempt counts once, also with two programs"
        );
        close_to(Some(total.cost_usd), 3.340_051);
        close_to(total.cost_per_merged_usd, 3.340_051 / 2.0);
        close_to(total.first_time_right, 0.5);
        assert_eq!(total.rework, Spread { count: 3, median: Some(0.0), mean: Some(2.0 / 3.0) });
        assert_eq!(
            total.seconds_to_pull_request,
            Spread { count: 3, median: Some(60.0), mean: Some(70.0) },
            "when it was first there, not when it was said again"
        );
        assert_eq!(total.seconds_to_merge, Spread { count: 2, median: Some(5_400.0), mean: Some(5_400.0) });
        let reasons: Vec<(&str, u32)> = total.reasons.iter().map(|one| (one.code.as_str(), one.jobs)).collect();
        assert_eq!(reasons, [("BLOCKED", 1), ("NOT_WANTED", 1), ("TIMED_OUT", 1)]);
        assert_eq!((group(&all, Some("acme/shop")).jobs, group(&all, Some("acme/tools")).jobs), (4, 1));
        assert_eq!(group(&all, None).jobs, 1, "one that names no repository");
        assert_eq!(all.groups[0].key.as_deref(), Some("acme/shop"), "the dearest is the first");
        let flaky: Vec<_> =
            all.flaky_tasks.iter().map(|one| (one.task_type.as_str(), one.retries, one.changed)).collect();
        assert_eq!(flaky, [("unit-test", 2, 1)]);
    }
}

#[tokio::test]
async fn figures_are_grouped_and_narrowed_by_agent_model_day_and_definition() {
    for mut case in Case::both().await {
        history(&mut case).await;
        let since = OutcomeFilter { since: Some(1_000 * DAY), ..OutcomeFilter::default() };
        let by = |by| figures(&case, &since, Some(by));
        let agents = by(OutcomesBy::Agent).await;
        let (claude, codex) = (group(&agents, Some("claude")), group(&agents, Some("codex")));
        assert_eq!((claude.jobs, claude.attempts, claude.merged, claude.cost_unknown), (3, 4, 2, 0));
        close_to(Some(claude.cost_usd), 3.330_051);
        assert_eq!((codex.jobs, codex.attempts, codex.cost_unknown, codex.failed), (2, 3, 2, 1));
        close_to(Some(codex.cost_usd), 0.01);
        assert_eq!((agents.total.jobs, agents.total.attempts), (6, 6));
        let models = by(OutcomesBy::Model).await;
        close_to(Some(group(&models, Some("opus")).cost_usd), 3.100_051);
        close_to(Some(group(&models, Some("haiku")).cost_usd), 0.23);
        assert_eq!(group(&models, None).cost_unknown, 1, "the attempt that left no record");
        let days = by(OutcomesBy::Day).await;
        let keys: Vec<_> = days.groups.iter().map(|group| group.key.as_deref().unwrap()).collect();
        assert_eq!(keys, ["1972-09-27", "1972-09-28"]);
        close_to(Some(days.groups[0].figures.cost_usd), 3.330_001);
        let jobs = by(OutcomesBy::Job).await;
        close_to(Some(group(&jobs, Some("a")).cost_usd), 1.33);
        assert_eq!(group(&by(OutcomesBy::Definition).await, Some("other")).in_progress, 1);

        let narrowed = OutcomeFilter { agent: Some("codex".to_owned()), ..since.clone() };
        let codex = figures(&case, &narrowed, None).await;
        assert_eq!((codex.total.jobs, codex.total.attempts, codex.groups.len()), (2, 3, 0));
        close_to(Some(codex.total.cost_usd), 0.01);
        let first_day = OutcomeFilter { until: Some(1_001 * DAY), ..since.clone() };
        assert_eq!(figures(&case, &first_day, None).await.total.jobs, 2);
        let nothing = OutcomeFilter { job_type: Some("none".to_owned()), ..since.clone() };
        assert_eq!(
            figures(&case, &nothing, None).await.total,
            OutcomeFigures::default(),
            "rates of nothing are absent"
        );
        let few = outcomes(&case.reads, &since, Some(OutcomesBy::Job), 2).await.unwrap();
        assert_eq!((few.groups.len(), few.more_groups, few.groups[0].key.as_deref()), (2, 4, Some("b")));
    }
}

#[tokio::test]
async fn the_outcome_of_a_job_says_all_and_outlives_the_job() {
    for mut case in Case::both().await {
        history(&mut case).await;
        let one = case.reads.outcome(&JobId("b".to_owned())).await.unwrap().unwrap();
        assert_eq!((one.achieved, one.state, one.rework), (Achieved::Merged, Some(JobState::Completed), Some(2)));
        assert_eq!((one.url.as_deref(), one.repository.as_deref()), (Some("u2"), Some("acme/shop")));
        close_to(Some(one.cost_usd), 2.000_001);
        assert_eq!((one.attempts, one.cost_unknown), (2, 2));
        let gone = JobId("job_1".to_owned());
        let expiry = ExpiryChange { jobs: vec![gone.clone()], ..ExpiryChange::default() };
        case.writer.write(&Changes { expiry, ..Changes::default() }).await.unwrap();
        assert!(case.reads.job(&gone).await.unwrap().is_none());
        assert_eq!(case.reads.outcome(&gone).await.unwrap().unwrap().achieved, Achieved::Merged);
        assert_eq!(case.reads.outcome(&JobId("none".to_owned())).await.unwrap(), None);
        // A job that is run again is in progress again, and keeps what it has cost.
        let again = OutcomeChange { agents: vec![], rework: Some(0), ..change("e", 1_001 * DAY + 2) };
        write(&mut case, &[again]).await;
        let again = case.reads.outcome(&JobId("e".to_owned())).await.unwrap().unwrap();
        assert_eq!((again.achieved, again.finished_at), (Achieved::InProgress, None));
        assert_eq!(
            figures(&case, &OutcomeFilter::default(), None).await.total.reasons,
            [
                ReasonCount { code: "NOT_WANTED".to_owned(), jobs: 1 },
                ReasonCount { code: "TIMED_OUT".to_owned(), jobs: 1 }
            ]
        );
    }
}
