//! A task with `fan_out` that asks people: one question per item.

use std::time::Duration;

use atta_core::protocol::JobId;
use atta_core::protocol::people::Decision;
use atta_server::scheduler::{JobCommand, Refusal, Vote, VoteOn};
use atta_server::store::{Reads, Via};
use serde_json::json;

use super::rig::{Ant, Rig};

/// Asks for each of three regions; then `ship`, `explain` or `ring`.
fn flow(options: &str, approval: &str) -> String {
    format!(
        "job_type: flow\ntasks:\n- task_type: ask\n  fan_out: {{items: [eu, us, asia], key: \"{{{{ item }}}}\"{options}}}\n  \
         description: \"Release to {{{{ item }}}}?\"\n  approval: {approval}\n  \
         on_exit_code: {{COMPLETED: ship, REJECTED: explain, TIMED_OUT: ring}}\n\
         - {{task_type: ship, script: [\"echo ship\"]}}\n- {{task_type: explain, script: [\"echo no\"]}}\n\
         - {{task_type: ring, script: [\"echo late\"]}}\n"
    )
}

async fn asked(options: &str, approval: &str) -> (Rig, JobId) {
    let rig = Rig::new().await;
    rig.upload(&flow(options, approval)).await;
    let job = rig.submit("flow").await;
    (rig, job)
}

/// The open questions: their ids, in the order of the items.
async fn open(rig: &Rig) -> Vec<(String, String)> {
    let rows = rig.rows("SELECT id, message FROM approvals WHERE state = 'OPEN' ORDER BY attempt").await;
    rows.iter().map(|row| row.split_once(' ').map(|(id, asks)| (id.to_owned(), asks.to_owned())).unwrap()).collect()
}

async fn vote(rig: &Rig, id: &str, decision: Decision) -> Result<(), Refusal> {
    let comment = (decision == Decision::Reject).then(|| "not there".to_owned());
    let on = VoteOn::Approval(id.to_owned());
    rig.queen.vote(Vote { on, voter: "alice".to_owned(), decision, comment, via: Via::Api }).await.map(|_| ())
}

async fn instances(rig: &Rig) -> Vec<String> {
    rig.rows("SELECT item_key, state FROM task_instances ORDER BY instance").await
}

async fn route(rig: &Rig) -> String {
    rig.rows("SELECT name FROM tasks WHERE state = 'READY'").await.concat()
}

#[tokio::test]
pub(crate) async fn each_item_is_asked_for_and_all_approvals_lead_on() {
    let (mut rig, job) = asked("", "{}").await;
    assert_eq!(rig.state(&job).await, "WAITING");
    let questions = open(&rig).await;
    let asks: Vec<&str> = questions.iter().map(|(_, asks)| asks.as_str()).collect();
    assert_eq!(asks, ["Release to eu?", "Release to us?", "Release to asia?"]);
    // A vote on the task alone does not say which one is meant.
    let on = VoteOn::Task(job.clone(), "ask".to_owned());
    let unclear = Vote { on, voter: "alice".to_owned(), decision: Decision::Approve, comment: None, via: Via::Api };
    let refused = rig.queen.vote(unclear).await.unwrap_err().to_string();
    assert!(questions.iter().all(|(id, _)| refused.contains(id)), "{refused}");
    vote(&rig, &questions[2].0, Decision::Approve).await.unwrap();
    vote(&rig, &questions[0].0, Decision::Approve).await.unwrap();
    let twice = vote(&rig, &questions[0].0, Decision::Approve).await.unwrap_err();
    assert!(matches!(twice, Refusal::Conflict { .. }), "{twice}");
    assert_eq!(instances(&rig).await, ["eu COMPLETED", "us WAITING", "asia COMPLETED"]);
    rig.restart().await;
    assert_eq!(open(&rig).await, [questions[1].clone()]);
    vote(&rig, &questions[1].0, Decision::Approve).await.unwrap();
    assert_eq!(route(&rig).await, "ship");
    Ant::new("ant", 1).work(&rig.queen).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
    let detail = Reads::new(rig.queen.store().clone()).job(&job).await.unwrap().unwrap();
    assert_eq!(detail.tasks[0].outputs["approved_by"], json!([["alice"], ["alice"], ["alice"]]));
}

#[tokio::test]
pub(crate) async fn one_rejection_is_the_result_when_all_have_been_decided() {
    let (rig, job) = asked("", "{}").await;
    let questions = open(&rig).await;
    vote(&rig, &questions[1].0, Decision::Reject).await.unwrap();
    assert_eq!((rig.state(&job).await.as_str(), route(&rig).await.as_str()), ("WAITING", ""));
    vote(&rig, &questions[0].0, Decision::Approve).await.unwrap();
    vote(&rig, &questions[2].0, Decision::Approve).await.unwrap();
    assert_eq!(instances(&rig).await, ["eu COMPLETED", "us FAILED", "asia COMPLETED"]);
    assert_eq!(rig.rows("SELECT state, result FROM tasks WHERE name = 'ask'").await, ["FAILED REJECTED"]);
    assert_eq!(route(&rig).await, "explain");
}

#[tokio::test]
pub(crate) async fn with_fail_fast_a_rejection_closes_the_other_questions() {
    let (rig, _) = asked(", fail_fast: true", "{}").await;
    let questions = open(&rig).await;
    vote(&rig, &questions[1].0, Decision::Reject).await.unwrap();
    assert_eq!(instances(&rig).await, ["eu CANCELLED", "us FAILED", "asia CANCELLED"]);
    assert_eq!(rig.rows("SELECT state FROM approvals ORDER BY attempt").await, ["CLOSED", "REJECTED", "CLOSED"]);
    assert_eq!(route(&rig).await, "explain");
    assert!(vote(&rig, &questions[0].0, Decision::Approve).await.is_err());
}

#[tokio::test]
pub(crate) async fn only_what_nobody_decided_runs_out_of_time() {
    let (mut rig, _) = asked("", "{timeout: 10m, timeout_action: escalate}").await;
    let questions = open(&rig).await;
    vote(&rig, &questions[0].0, Decision::Approve).await.unwrap();
    rig.restart().await;
    rig.advance(Duration::from_mins(10)).await;
    assert_eq!(instances(&rig).await, ["eu COMPLETED", "us FAILED", "asia FAILED"]);
    assert_eq!(rig.rows("SELECT state FROM approvals ORDER BY attempt").await, ["APPROVED", "TIMED_OUT", "TIMED_OUT"]);
    assert_eq!(
        (route(&rig).await.as_str(), rig.rows("SELECT count(*) FROM timers").await.concat().as_str()),
        ("ring", "0")
    );
    let late = vote(&rig, &questions[1].0, Decision::Approve).await.unwrap_err().to_string();
    assert!(late.contains("ran out of time"), "{late}");
}

#[tokio::test]
pub(crate) async fn max_parallel_bounds_what_is_asked_at_once_and_each_has_its_own_time() {
    let (rig, _) = asked(", max_parallel: 1", "{timeout: 10m, timeout_action: approve}").await;
    for (index, asks) in ["Release to eu?", "Release to us?", "Release to asia?"].iter().enumerate() {
        let questions = open(&rig).await;
        assert_eq!((questions.len(), questions[0].1.as_str()), (1, *asks));
        rig.advance(Duration::from_mins(9)).await;
        assert_eq!(open(&rig).await, questions, "the time of item {index} begins when it is asked for");
        rig.advance(Duration::from_mins(1)).await;
    }
    assert_eq!(route(&rig).await, "ship");
}

#[tokio::test]
pub(crate) async fn a_cancelled_job_closes_all_its_questions() {
    let (rig, job) = asked("", "{}").await;
    let cancel = JobCommand::Cancel { reason: "no".to_owned(), force: false };
    rig.queen.command(&job, cancel).await.unwrap();
    assert_eq!(rig.state(&job).await, "CANCELLED");
    assert_eq!(rig.rows("SELECT DISTINCT state FROM approvals").await, ["CLOSED"]);
}

#[tokio::test]
pub(crate) async fn a_retry_of_the_job_asks_only_for_what_was_rejected() {
    let (rig, job) = asked("", "{}").await;
    rig.upload(&flow("", "{}").replace("  on_exit_code: {COMPLETED: ship, REJECTED: explain, TIMED_OUT: ring}\n", "").replace(
        "- {task_type: ship, script: [\"echo ship\"]}\n- {task_type: explain, script: [\"echo no\"]}\n- {task_type: ring, script: [\"echo late\"]}\n",
        "",
    ))
    .await;
    rig.queen.command(&job, JobCommand::Cancel { reason: "old".to_owned(), force: false }).await.unwrap();
    let job = rig.submit("flow").await;
    for ((id, _), decision) in open(&rig).await.iter().zip([Decision::Approve, Decision::Reject, Decision::Approve]) {
        vote(&rig, id, decision).await.unwrap();
    }
    assert_eq!(rig.state(&job).await, "FAILED");
    rig.queen.command(&job, JobCommand::RetryFailed).await.unwrap();
    let questions = open(&rig).await;
    assert_eq!(questions.iter().map(|(_, asks)| asks.as_str()).collect::<Vec<_>>(), ["Release to us?"]);
    vote(&rig, &questions[0].0, Decision::Approve).await.unwrap();
    assert_eq!(rig.state(&job).await, "COMPLETED");
}
