//! What jobs cost and achieve, as the queen takes note of it.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::time::Duration;

use atta_core::engine::{AgentClass, AttemptResult};
use atta_core::protocol::agent::{AgentChoice, AgentCli, AgentRecord, AgentRun, AgentUsage, MicroUsd, RunPurpose};
use atta_core::protocol::ant::{Action, Assignment, AttemptReport, ReportBody};
use atta_core::time::UnixMillis;
use indexmap::IndexMap;
use serde_json::{Value, json};

use super::rig::{Ant, Rig, report};

const PIPELINE: &str = r#"
job_type: flow
params: {Repo: {default: acme/shop}}
outcome:
  kind: pull_request
  repository: "{{ Repo }}"
  url: "{{ tasks.propose.outputs.url }}"
  state: "{{ 'merged' if tasks.monitor.outputs.pull_request.merged else 'open' }}"
  reason: "{{ tasks.monitor.outputs.why }}"
  rework: address
tasks:
  - task_type: implement
    agent: {cli: claude, prompt: Work., model: opus}
    retry: 1
    delay_between_retries: 0s
    on_completed: propose
  - task_type: propose
    script: [propose]
    outputs: [url]
    on_completed: monitor
  - task_type: monitor
    max_visits: 5
    script: [look]
    outputs: {pull_request: {type: object}}
    on_exit_code:
      10: {reschedule: 2m, until: 14d}
      3: {goto: address, max: 3}
      FAILED: END_BLOCKED
  - task_type: address
    agent: {cli: claude, prompt: Again., resume: implement}
    on_completed: monitor
"#;

const ALL: &str = "SELECT job_type, kind, repository, url, state, reason, note, ended, error_code, rework, attempts, turns, cost_micros,
    cost_unknown FROM outcomes ORDER BY job_id";

fn record(class: AgentClass, model: &str, micros: Option<u64>) -> AgentRecord {
    let usage = AgentUsage { turns: 3, cost: micros.map(MicroUsd), ..AgentUsage::default() };
    let mut record = AgentRecord::empty();
    record.class = Some(class);
    record.runs.push(AgentRun {
        choice: AgentChoice { cli: AgentCli::Claude, command: Vec::new(), model: Some("opus".to_owned()) },
        purpose: RunPurpose::Work,
        class: Some(class),
        session_id: None,
        model: Some(model.to_owned()),
        usage: usage.clone(),
        exit_code: Some(0),
        started_at: UnixMillis(0),
        ended_at: None,
    });
    record.usage = usage;
    record
}

fn result(action: &Action, code: u16, outputs: &[(&str, Value)], agent: Option<AgentRecord>) -> AttemptReport {
    let class = agent.as_ref().and_then(|agent| agent.class);
    assert_eq!(matches!(action, Action::Agent(_)), agent.is_some());
    let result = class.map_or(AttemptResult::Exit(code), AttemptResult::Agent);
    AttemptReport {
        result,
        failure: (!result.is_success())
            .then(|| atta_core::engine::Failure { code: "NO".to_owned(), message: "no".to_owned() }),
        outputs: outputs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect::<IndexMap<_, _>>(),
        artifacts: Vec::new(),
        warnings: Vec::new(),
        log_bytes: 0,
        retry_after: None,
        agent: agent.map(Box::new),
    }
}

/// An ant, and what the answer to its last report gave it.
struct Worker {
    ant: Ant,
    next: Option<Assignment>,
}

impl Worker {
    fn new(session: u64) -> Self {
        let mut ant = Ant::new("ant", 1);
        ant.session = session;
        Self { ant, next: None }
    }
}

/// Does the next attempt, which must be one of this task.
async fn perform(
    rig: &Rig,
    Worker { ant, next }: &mut Worker,
    task: &str,
    code: u16,
    outputs: &[(&str, Value)],
    agent: Option<AgentRecord>,
) {
    let assignment = match next.take() {
        Some(assignment) => assignment,
        None => ant.poll(&rig.queen).await.assignments.pop().unwrap(),
    };
    assert_eq!(assignment.task, task);
    ant.start(&rig.queen, &assignment).await;
    let body = ReportBody::Finished(Box::new(result(&assignment.action, code, outputs, agent)));
    let batch = ant.batch(vec![report(&assignment, 2, body)]);
    *next = rig.queen.report(batch).await.unwrap().assignments.pop();
    ant.held = u32::from(next.is_some());
}

fn pull_request(merged: bool) -> (&'static str, Value) {
    ("pull_request", json!({"merged": merged}))
}

#[tokio::test]
pub(crate) async fn a_pull_request_is_followed_to_its_merge_and_every_cent_is_counted() {
    let mut rig = Rig::new().await;
    rig.upload(PIPELINE).await;
    let job = rig.submit("flow").await;
    let mut ant = Worker::new(1);
    assert_eq!(rig.rows(ALL).await, [""; 0], "what has not started has neither cost nor achieved anything");
    let failed = record(AgentClass::Error, "opus-4", Some(1_100_001));
    perform(&rig, &mut ant, "implement", 0, &[], Some(failed)).await;
    assert_eq!(rig.rows(ALL).await, ["flow pull_request acme/shop - - - - - - 0 1 3 1100001 0"]);
    perform(&rig, &mut ant, "implement", 0, &[], Some(record(AgentClass::Done, "opus-4", Some(50)))).await;
    rig.advance(Duration::from_secs(90)).await;
    perform(&rig, &mut ant, "propose", 0, &[("url", json!("https://f/7"))], None).await;
    assert_eq!(rig.rows(ALL).await, ["flow pull_request acme/shop https://f/7 - - - - - 0 2 6 1100051 0"]);
    // A look without news is a reschedule, no retry.
    perform(&rig, &mut ant, "monitor", 10, &[pull_request(false)], None).await;
    assert_eq!(rig.rows("SELECT state FROM outcomes").await, ["open"]);
    rig.advance(Duration::from_mins(2)).await;
    perform(&rig, &mut ant, "monitor", 3, &[pull_request(false)], None).await;
    rig.restart().await;
    let mut ant = Worker::new(2);
    perform(&rig, &mut ant, "address", 0, &[], Some(record(AgentClass::Done, "haiku", None))).await;
    rig.advance(Duration::from_secs(10)).await;
    perform(&rig, &mut ant, "monitor", 0, &[pull_request(true), ("why", json!(""))], None).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
    assert_eq!(rig.rows(ALL).await, ["flow pull_request acme/shop https://f/7 merged - - COMPLETED - 1 3 9 1100051 1"]);
    let times = "SELECT (opened_at - submitted_at) / 1000, (merged_at - submitted_at) / 1000, (finished_at - submitted_at) / 1000
        FROM outcomes";
    assert_eq!(rig.rows(times).await, ["90 220 220"]);
    assert_eq!(
        rig.rows("SELECT cli, model, attempts, cost_micros, cost_unknown FROM outcome_agents ORDER BY model").await,
        ["claude haiku 1 0 1", "claude opus-4 2 1100051 0"]
    );
    assert_eq!(rig.rows("SELECT task, retries, changed FROM outcome_tasks").await, ["implement 1 1"]);
}

#[tokio::test]
pub(crate) async fn agents_without_an_outcome_are_counted_and_an_attempt_that_is_lost_is_not_free() {
    let rig = Rig::new().await;
    rig.upload("job_type: flow\ntasks: [{task_type: think, agent: {cli: claude, prompt: Think.}}]").await;
    rig.upload("job_type: plain\ntasks: [{task_type: do, script: [\"true\"]}]").await;
    rig.submit("plain").await;
    let mut ant = Ant::new("ant", 1);
    ant.work(&rig.queen).await;
    assert_eq!(rig.rows(ALL).await, [""; 0], "a job without agents and without an outcome is no matter of it");
    let job = rig.submit("flow").await;
    let assignment = ant.poll(&rig.queen).await.assignments.pop().unwrap();
    ant.start(&rig.queen, &assignment).await;
    let lost = AttemptReport {
        result: AttemptResult::Named(atta_core::engine::ResultName::Lost),
        failure: None,
        outputs: IndexMap::new(),
        artifacts: Vec::new(),
        warnings: Vec::new(),
        log_bytes: 0,
        retry_after: None,
        agent: None,
    };
    let batch = ant.batch(vec![report(&assignment, 2, ReportBody::Finished(Box::new(lost)))]);
    rig.queen.report(batch).await.unwrap();
    assert_eq!(rig.state(&job).await, "FAILED");
    assert_eq!(rig.rows(ALL).await, ["flow - - - - - - FAILED LOST - 1 0 0 1"]);
    assert_eq!(rig.rows("SELECT cli, model, cost_unknown FROM outcome_agents").await, ["claude  1"]);
    // Of one that never began nothing is unknown.
    let job = rig.submit("flow").await;
    ant.held = 0;
    rig.queen
        .command(&job, atta_server::scheduler::JobCommand::Cancel { reason: "no".to_owned(), force: false })
        .await
        .unwrap();
    assert_eq!(rig.state(&job).await, "CANCELLED");
    assert_eq!(rig.rows("SELECT count(*) FROM outcomes").await, ["1"]);
}

#[tokio::test]
pub(crate) async fn what_an_outcome_says_wrongly_fails_nothing_and_is_noted() {
    let rig = Rig::new().await;
    rig.upload(
        "job_type: flow\noutcome: {kind: \"{{ 1 / 0 }}\", url: \"{{ tasks.a.outputs.nothing }}\", state: finished, reason: \"{{ none }}\"}\n\
         tasks:\n  - {task_type: a, script: [x], on_failed: END_BLOCKED}\n",
    )
    .await;
    let mut ant = Ant::new("ant", 1).with_code("a", &[0, 7]);
    assert_eq!(rig.run("flow", &mut ant).await.1, "COMPLETED");
    assert_eq!(rig.run("flow", &mut ant).await.1, "BLOCKED");
    let note = "outcome.state gave \"finished\", which is none of open, merged, closed, needs_human";
    let mut rows = rig.rows(ALL).await;
    rows.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(
        rows,
        [format!("flow - - - - - {note} COMPLETED - - 0 0 0 0"), format!("flow - - - - - {note} BLOCKED - - 0 0 0 0")]
    );
}
