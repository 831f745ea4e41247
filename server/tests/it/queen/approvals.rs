//! Tasks that ask people.

use std::time::Duration;

use atta_core::protocol::JobId;
use atta_core::protocol::people::{ApprovalResource, ApprovalState, Decision};
use atta_server::scheduler::{JobCommand, Refusal, Vote, VoteOn};
use atta_server::store::Via;

use super::rig::{Ant, Rig};

const ROUTES: &str = "on_exit_code: {APPROVED: ship, REJECTED: explain, TIMED_OUT: ring}";

/// `ask` with these options leads to `ship`, `explain` or `ring`.
fn flow(options: &str) -> String {
    format!(
        "job_type: flow\ntasks:\n- task_type: ask\n  approval: {options}\n  {ROUTES}\n\
         - {{task_type: ship, script: [\"echo ship\"]}}\n- {{task_type: explain, script: [\"echo no\"]}}\n\
         - {{task_type: ring, script: [\"echo late\"]}}\n"
    )
}

async fn asked(rig: &Rig, options: &str) -> JobId {
    rig.upload(&flow(options)).await;
    rig.submit("flow").await
}

async fn vote(
    rig: &Rig,
    job: &JobId,
    voter: &str,
    decision: Decision,
    comment: Option<&str>,
) -> Result<ApprovalResource, Refusal> {
    let on = VoteOn::Task(job.clone(), "ask".to_owned());
    let comment = comment.map(str::to_owned);
    rig.queen.vote(Vote { on, voter: voter.to_owned(), decision, comment, via: Via::Api }).await
}

async fn approve(rig: &Rig, job: &JobId, voter: &str) -> Result<ApprovalResource, Refusal> {
    vote(rig, job, voter, Decision::Approve, None).await
}

async fn reject(rig: &Rig, job: &JobId, voter: &str, comment: &str) -> Result<ApprovalResource, Refusal> {
    vote(rig, job, voter, Decision::Reject, Some(comment)).await
}

fn conflict(result: &Result<ApprovalResource, Refusal>) -> (&'static str, String) {
    match result {
        Err(Refusal::Conflict { code, message } | Refusal::Forbidden { code, message }) => (code, message.clone()),
        other => panic!("{other:?}"),
    }
}

/// `name STATE route` of what has happened.
async fn outline(rig: &Rig, job: &JobId) -> String {
    let sql =
        format!("SELECT name, state, result FROM tasks WHERE job_id = '{job}' AND state != 'SKIPPED' ORDER BY task");
    rig.rows(&sql).await.join(", ")
}

async fn row(rig: &Rig) -> String {
    rig.rows("SELECT state, decided_at IS NOT NULL FROM approvals").await.join(", ")
}

#[tokio::test]
pub(crate) async fn enough_approvals_lead_on_and_fewer_do_not() {
    let rig = Rig::new().await;
    let job = asked(&rig, "{min_approvals: 2, users: [alice, bob, dave]}").await;
    assert_eq!(rig.state(&job).await, "WAITING");
    assert_eq!(rig.rows("SELECT state, reason FROM attempts").await, ["WAITING an approval (0 of 2 votes)"]);
    let first = approve(&rig, &job, "alice").await.unwrap();
    assert_eq!((first.state, first.votes.len()), (ApprovalState::Open, 1));
    assert_eq!(rig.rows("SELECT reason FROM attempts").await, ["an approval (1 of 2 votes; alice approved)"]);
    assert_eq!(rig.state(&job).await, "WAITING");
    vote(&rig, &job, "dave", Decision::Approve, Some(" fine ")).await.unwrap();
    assert_eq!(row(&rig).await, "APPROVED 1");
    assert_eq!(outline(&rig, &job).await, "ask COMPLETED APPROVED, ship READY -");
    assert_eq!(
        rig.rows("SELECT outputs FROM attempts WHERE number = 1").await,
        [
            r#"{"approved_by":["alice","dave"],"rejected_by":[],"comments":[{"by":"dave","decision":"approve","comment":"fine"}],"timed_out":false}"#
        ]
    );
    let mut ant = Ant::new("ant", 1);
    ant.work(&rig.queen).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
    let history = rig.rows("SELECT event FROM events ORDER BY sequence").await.join("\n");
    for told in ["0 of 2 votes", "1 of 2 votes; alice approved", "2 of 2 votes; dave approved"] {
        assert!(history.contains(told), "{told} is not in\n{history}");
    }
    assert_eq!(rig.rows("SELECT count(*) FROM timers").await, ["0"]);
}

#[tokio::test]
pub(crate) async fn one_rejection_rejects_and_needs_a_comment() {
    let rig = Rig::new().await;
    let job = asked(&rig, "{min_approvals: 2}").await;
    approve(&rig, &job, "anybody").await.unwrap();
    for comment in [None, Some("  ")] {
        let refused = vote(&rig, &job, "bob", Decision::Reject, comment).await;
        let Err(Refusal::Invalid { violations, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(
            (&*violations[0].field, &*violations[0].message),
            ("comment", "a rejection needs a comment that says why")
        );
    }
    reject(&rig, &job, "bob", "not on a Friday").await.unwrap();
    assert_eq!(row(&rig).await, "REJECTED 1");
    assert_eq!(outline(&rig, &job).await, "ask FAILED REJECTED, explain READY -");
    assert_eq!(
        rig.rows("SELECT error_code, error_message FROM attempts WHERE number = 1").await,
        ["REJECTED bob rejected it: not on a Friday"]
    );
    let late = approve(&rig, &job, "carol").await;
    let (code, message) = conflict(&late);
    assert_eq!(code, "APPROVAL_DECIDED");
    assert!(message.contains("was rejected by bob at 2026-01-05"), "{message}");
}

#[tokio::test]
pub(crate) async fn a_rejection_without_a_route_fails_the_job_and_an_approval_completes_it() {
    let rig = Rig::new().await;
    rig.upload("job_type: flow\ntasks:\n- {task_type: ask, method: MANUAL}\n").await;
    let (yes, no) = (rig.submit("flow").await, rig.submit("flow").await);
    approve(&rig, &yes, "alice").await.unwrap();
    reject(&rig, &no, "alice", "no").await.unwrap();
    assert_eq!([rig.state(&yes).await, rig.state(&no).await], ["COMPLETED", "FAILED"]);
    let error = rig.rows("SELECT error_code, error_message FROM jobs WHERE state = 'FAILED'").await.concat();
    assert!(error.contains("REJECTED") && error.contains("alice rejected it: no"), "{error}");
}

#[tokio::test]
pub(crate) async fn one_person_has_one_vote() {
    let rig = Rig::new().await;
    let job = asked(&rig, "{min_approvals: 2}").await;
    approve(&rig, &job, "alice").await.unwrap();
    for decision in [Decision::Approve, Decision::Reject] {
        let again = vote(&rig, &job, "alice", decision, Some("again")).await;
        let (code, message) = conflict(&again);
        assert_eq!(code, "ALREADY_VOTED");
        assert_eq!(message, "alice approved this at 2026-01-05T00:00:00.000Z; one person has one vote, and it stands");
    }
    // All at once: the database would refuse a second row.
    let (a, b, c) = tokio::join!(approve(&rig, &job, "bob"), approve(&rig, &job, "bob"), approve(&rig, &job, "bob"));
    assert_eq!([a, b, c].iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(rig.rows("SELECT voter FROM votes ORDER BY voter").await, ["alice", "bob"]);
}

#[tokio::test]
pub(crate) async fn only_those_who_are_asked_may_vote() {
    let rig = Rig::new().await;
    let job = asked(&rig, "{users: [dave, erin], roles: [release], min_approvals: 3}").await;
    let refused = approve(&rig, &job, "mallory").await;
    let (code, message) = conflict(&refused);
    assert_eq!(
        (code, &*message),
        ("MAY_NOT_VOTE", "mallory may not vote here; asked are dave, erin and holders of the role release")
    );
    for hostile in ["", "a b", "alice\n", "Alice", "release", "../alice", "'; DROP TABLE votes; --"] {
        assert!(reject(&rig, &job, hostile, "x").await.is_err(), "{hostile:?}");
    }
    for voter in ["carol", "dave", "bob"] {
        approve(&rig, &job, voter).await.unwrap();
    }
    assert_eq!(row(&rig).await, "APPROVED 1");
}

#[tokio::test]
pub(crate) async fn unanimity_takes_everybody() {
    let rig = Rig::new().await;
    let job = asked(&rig, "{users: [alice, bob, carol], unanimous: true}").await;
    assert_eq!(rig.rows("SELECT reason FROM attempts").await, ["an approval (0 of 3 votes)"]);
    for voter in ["bob", "carol"] {
        approve(&rig, &job, voter).await.unwrap();
        assert_eq!(row(&rig).await, "OPEN 0");
    }
    approve(&rig, &job, "alice").await.unwrap();
    assert_eq!(row(&rig).await, "APPROVED 1");
}

#[tokio::test]
pub(crate) async fn what_nobody_decides_in_time_ends_as_the_definition_says() {
    for (action, state, ends, reason) in [
        ("approve", "APPROVED", "ask COMPLETED APPROVED, ship READY -", None),
        (
            "reject",
            "REJECTED",
            "ask FAILED REJECTED, explain READY -",
            Some("it was not decided within 2h, which counts as a rejection"),
        ),
        ("escalate", "TIMED_OUT", "ask FAILED TIMED_OUT, ring READY -", Some("it was not decided within 2h")),
    ] {
        let rig = Rig::new().await;
        let job = asked(&rig, &format!("{{min_approvals: 2, timeout: 2h, timeout_action: {action}}}")).await;
        approve(&rig, &job, "alice").await.unwrap();
        rig.advance(Duration::from_mins(119)).await;
        assert_eq!(row(&rig).await, "OPEN 0");
        // Time is over though nobody has looked yet.
        rig.set_clock(super::rig::START + 7_200_000);
        let late = approve(&rig, &job, "bob").await;
        assert_eq!(conflict(&late).0, "APPROVAL_DECIDED");
        rig.settle().await;
        assert_eq!(row(&rig).await, format!("{state} 1"));
        assert_eq!(outline(&rig, &job).await, ends);
        let message = rig.rows("SELECT error_message FROM attempts WHERE number = 1").await.concat();
        assert_eq!(message, reason.unwrap_or("-"));
        let outputs = rig.rows("SELECT outputs FROM attempts WHERE number = 1").await.concat();
        assert!(outputs.contains(r#""timed_out":true"#), "{outputs}");
    }
}

#[tokio::test]
pub(crate) async fn votes_and_questions_survive_a_restart() {
    let mut rig = Rig::new().await;
    let job = asked(&rig, "{min_approvals: 2, timeout: 2h, timeout_action: approve}").await;
    approve(&rig, &job, "alice").await.unwrap();
    rig.restart().await;
    assert_eq!(rig.state(&job).await, "WAITING");
    assert_eq!(conflict(&approve(&rig, &job, "alice").await).0, "ALREADY_VOTED");
    approve(&rig, &job, "bob").await.unwrap();
    rig.restart().await;
    assert_eq!(outline(&rig, &job).await, "ask COMPLETED APPROVED, ship READY -");
    assert_eq!(conflict(&approve(&rig, &job, "carol").await).0, "APPROVAL_DECIDED");
    // The time that passed while nobody was there counts.
    let other = rig.submit("flow").await;
    rig.queen.abandon().await;
    rig.set_clock(super::rig::START + 10_000_000);
    rig.restart().await;
    assert_eq!(outline(&rig, &other).await, "ask COMPLETED APPROVED, ship READY -");
}

#[tokio::test]
pub(crate) async fn a_decided_approval_waits_for_max_concurrency_and_takes_no_more_votes() {
    let mut rig = Rig::new().await;
    rig.upload(&format!("max_concurrency: 1\n{}", flow("{users: [alice, bob]}"))).await;
    let waiting = rig.submit("flow").await;
    let running = rig.submit("flow").await;
    assert_eq!([rig.state(&waiting).await, rig.state(&running).await], ["WAITING", "WAITING"]);
    approve(&rig, &running, "alice").await.unwrap();
    assert_eq!(rig.state(&running).await, "RUNNING");
    approve(&rig, &waiting, "alice").await.unwrap();
    assert_eq!(rig.state(&waiting).await, "WAITING", "its place is taken");
    let late = reject(&rig, &waiting, "bob", "too late").await;
    assert!(conflict(&late).1.contains("is approved by alice and waits for the job to go on"), "{late:?}");
    rig.restart().await;
    assert_eq!(rig.state(&waiting).await, "WAITING");
    let mut ant = Ant::new("ant", 1);
    ant.work(&rig.queen).await;
    assert_eq!([rig.state(&waiting).await, rig.state(&running).await], ["COMPLETED", "COMPLETED"]);
}

#[tokio::test]
pub(crate) async fn a_cancelled_job_closes_its_approval() {
    let rig = Rig::new().await;
    let job = asked(&rig, "{}").await;
    let cancel = JobCommand::Cancel { reason: "no".to_owned(), force: false };
    rig.queen.command(&job, cancel).await.unwrap();
    assert_eq!((rig.state(&job).await, row(&rig).await), ("CANCELLED".to_owned(), "CLOSED 1".to_owned()));
    let late = approve(&rig, &job, "alice").await;
    assert!(
        conflict(&late).1.contains("was closed at 2026-01-05T00:00:00.000Z: the job went on without it"),
        "{late:?}"
    );
    assert_eq!(rig.rows("SELECT count(*) FROM timers").await, ["0"]);
}

#[tokio::test]
pub(crate) async fn a_paused_job_takes_votes_and_goes_on_after_the_resume() {
    let rig = Rig::new().await;
    let job = asked(&rig, "{}").await;
    rig.queen.command(&job, JobCommand::Pause).await.unwrap();
    approve(&rig, &job, "alice").await.unwrap();
    assert_eq!((rig.state(&job).await, row(&rig).await), ("PAUSED".to_owned(), "APPROVED 1".to_owned()));
    rig.queen.command(&job, JobCommand::Resume).await.unwrap();
    assert_eq!(outline(&rig, &job).await, "ask COMPLETED APPROVED, ship READY -");
}

#[tokio::test]
pub(crate) async fn a_repeated_question_is_a_new_approval() {
    let rig = Rig::new().await;
    rig.upload("job_type: flow\ntasks:\n- {task_type: ask, retry: 1, delay_between_retries: 1s, approval: {}}\n").await;
    let job = rig.submit("flow").await;
    reject(&rig, &job, "alice", "mend the title").await.unwrap();
    rig.advance(Duration::from_secs(2)).await;
    assert_eq!(rig.rows("SELECT attempt, state FROM approvals ORDER BY attempt").await, ["1 REJECTED", "2 OPEN"]);
    approve(&rig, &job, "alice").await.unwrap();
    assert_eq!(rig.state(&job).await, "COMPLETED");
}

#[tokio::test]
pub(crate) async fn what_does_not_exist_cannot_be_voted_on() {
    let rig = Rig::new().await;
    let job = asked(&rig, "{}").await;
    let on = |on| Vote { on, voter: "alice".to_owned(), decision: Decision::Approve, comment: None, via: Via::Cli };
    for (target, what) in [
        (VoteOn::Approval("apr_none".to_owned()), "approval apr_none".to_owned()),
        (VoteOn::Task(JobId("job_none".to_owned()), "ask".to_owned()), "job job_none".to_owned()),
        (VoteOn::Task(job.clone(), "ship".to_owned()), format!("approval asked for by the task ship of the job {job}")),
    ] {
        assert_eq!(rig.queen.vote(on(target)).await, Err(Refusal::NotFound { what }));
    }
}

#[tokio::test]
pub(crate) async fn a_question_that_cannot_be_rendered_is_invalid() {
    let rig = Rig::new().await;
    let job = asked(&rig, "{message: \"{{ tasks.ship.outputs.none }}\"}").await;
    assert_eq!(rig.rows("SELECT result FROM attempts").await, ["INVALID"]);
    assert_eq!(rig.state(&job).await, "FAILED");
    assert_eq!(rig.rows("SELECT count(*) FROM approvals").await, ["0"]);
}
