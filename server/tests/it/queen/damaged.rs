//! Jobs whose history and rows disagree: they are set aside, and an operator can end them.

use std::sync::Arc;

use atta_core::protocol::JobId;
use atta_core::protocol::ant::{Assignment, LogChunk};
use atta_server::artifacts::LocalArtifacts;
use atta_server::logs::LogStore;
use atta_server::scheduler::{JobCommand, Refusal};
use atta_server::{AntLine, LineError};
use serde_json::Value;

use super::rig::{Ant, Rig, definition, report, request};

fn cancel() -> JobCommand {
    JobCommand::Cancel { reason: "it is stuck".to_owned(), force: false }
}

/// Makes the queen read everything again, as after any write that fails.
async fn fail_a_write(rig: &Rig) {
    rig.refuse("INSERT ON definition_versions", "").await;
    let other = definition("", &[("a", "")]).replace("flow", "other");
    rig.queen.upload_definition("other.yaml", &other).await.unwrap_err();
    rig.accept().await;
    rig.settle().await;
}

#[tokio::test]
pub(crate) async fn a_damaged_job_can_be_cancelled_and_its_key_is_free_again() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("user_key: issue-1", &[("a", ""), ("b", "dependencies: [a]")])).await;
    let job = rig.submit("flow").await;
    rig.queen.abandon().await;
    rig.change("UPDATE tasks SET state = 'WAITING'").await;
    rig.restart().await;
    match rig.queen.submit(request("flow"), "test", None).await.unwrap_err() {
        Refusal::Duplicate { holder, .. } => assert_eq!(holder, job),
        other => panic!("{other:?}"),
    }
    // In one batch, if they come together: it is ended, and another one has its key.
    let (ended, again, next) = tokio::join!(
        rig.queen.command(&job, cancel()),
        rig.queen.command(&job, cancel()),
        rig.queen.submit(request("flow"), "test", None),
    );
    assert_eq!((ended.unwrap().as_str(), again.unwrap().as_str()), ("CANCELLED", "CANCELLED"));
    let next = next.unwrap().job_id;
    assert_eq!(
        rig.rows(&format!("SELECT state, reason, error_code, error_message FROM jobs WHERE id = '{job}'")).await,
        [
            "CANCELLED it is stuck JOB_DAMAGED cancelled (it is stuck), for nothing else could be done with it: its history \
          says that task a is READY, its row says WAITING"
        ]
    );
    assert_eq!(rig.tasks(&job).await, ["a CANCELLED 1 1 -"]);
    let attempts = format!("SELECT state, result FROM attempts WHERE job_id = '{job}'");
    assert_eq!(rig.rows(&attempts).await, ["FINISHED CANCELLED"]);
    let events = rig.rows(&format!("SELECT event FROM events WHERE job_id = '{job}' ORDER BY sequence")).await;
    let last: Value = serde_json::from_str(events.last().unwrap()).unwrap();
    assert_eq!(last["type"], "cancel_requested", "the history says how it ended: {last}");
    rig.restart().await;
    Ant::new("ant", 1).work(&rig.queen).await;
    assert_eq!((rig.state(&job).await, rig.state(&next).await), ("CANCELLED".to_owned(), "COMPLETED".to_owned()));
    // The rows say again what the history says: nothing speaks against another try.
    rig.queen.command(&job, JobCommand::RetryFailed).await.unwrap();
    Ant { session: 2, ..Ant::new("ant", 1) }.work(&rig.queen).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
    assert_eq!(rig.queen.health(), Ok(()));
}

#[tokio::test]
pub(crate) async fn a_job_whose_definition_is_not_valid_any_more_can_be_cancelled() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("user_key: issue-1", &[("a", "retry: 1\ndelay_between_retries: 1h")])).await;
    let (job, _) = rig.run("flow", &mut Ant::new("ant", 1).with_code("a", &[1])).await;
    assert_eq!(rig.state(&job).await, "WAITING");
    rig.queen.abandon().await;
    rig.change("UPDATE definition_versions SET source = source || '    no_longer_known: 1\n'").await;
    rig.restart().await;
    rig.queen.command(&job, cancel()).await.unwrap();
    let row = rig.rows(&format!("SELECT state, error_message FROM jobs WHERE id = '{job}'")).await.concat();
    assert!(row.starts_with("CANCELLED cancelled (it is stuck)") && row.contains("cannot be used"), "{row}");
    assert_eq!(rig.rows("SELECT timer FROM timers").await, [""; 0]);
    rig.upload(&definition("user_key: issue-1", &[("b", "")])).await;
    rig.submit("flow").await;
}

#[tokio::test]
pub(crate) async fn an_event_that_cannot_be_read_sets_aside_its_job_alone() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    let bad = rig.submit("flow").await;
    let good = rig.submit("flow").await;
    rig.queen.abandon().await;
    rig.change(&format!("UPDATE events SET event = '{{\"type\":\"of_the_future\"}}' WHERE job_id = '{bad}'")).await;
    rig.restart().await;
    Ant::new("ant", 1).work(&rig.queen).await;
    assert_eq!((rig.state(&good).await, rig.state(&bad).await), ("COMPLETED".to_owned(), "RUNNING".to_owned()));
    let refusal = rig.queen.command(&bad, JobCommand::Pause).await.unwrap_err().to_string();
    assert!(refusal.contains("of_the_future"), "{refusal}");
    rig.queen.command(&bad, cancel()).await.unwrap();
    assert_eq!(rig.state(&bad).await, "CANCELLED");
}

/// A job whose task runs on an ant.
async fn running(rig: &Rig) -> (JobId, Ant, Assignment) {
    rig.upload(&definition("", &[("a", "")])).await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let work = ant.poll(&rig.queen).await.assignments.remove(0);
    ant.start(&rig.queen, &work).await;
    rig.settle().await;
    (job, ant, work)
}

#[tokio::test]
pub(crate) async fn an_ant_stops_what_it_has_of_a_damaged_job_that_is_cancelled() {
    let rig = Rig::new().await;
    let (job, mut ant, work) = running(&rig).await;
    rig.change("UPDATE tasks SET state = 'WAITING'").await;
    fail_a_write(&rig).await;
    let refusal = rig.queen.command(&job, JobCommand::Pause).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Conflict { code: "JOB_DAMAGED", .. }), "{refusal:?}");
    rig.queen.command(&job, cancel()).await.unwrap();
    let stops = ant.poll(&rig.queen).await.stops;
    assert_eq!(stops.iter().map(|stop| &stop.attempt_id).collect::<Vec<_>>(), [&work.attempt_id]);
    assert_eq!(stops[0].reason, "it is stuck");
    let body = ant.report_of(&work);
    let orders = rig.queen.report(ant.batch(vec![report(&work, 2, body)])).await.unwrap();
    assert_eq!(orders.stale, [work.attempt_id]);
    ant.held = 0;
    let next = rig.submit("flow").await;
    ant.work(&rig.queen).await;
    assert_eq!(rig.state(&next).await, "COMPLETED");
}

#[tokio::test]
async fn a_log_of_a_damaged_job_is_refused_as_such_and_not_as_stale() {
    let mut rig = Rig::new().await;
    let (job, ant, work) = running(&rig).await;
    rig.queen.abandon().await;
    rig.change("UPDATE tasks SET state = 'WAITING'").await;
    rig.restart().await;
    let logs = LogStore::open(&rig.dir.path().join("logs")).unwrap();
    let artifacts = LocalArtifacts::open(&rig.dir.path().join("artifacts")).unwrap();
    let line = AntLine::new(rig.queen.clone(), logs, Arc::new(artifacts));
    let piece = LogChunk {
        attempt_id: work.attempt_id.clone(),
        token: work.token,
        offset: 0,
        segments: Vec::new(),
        bytes: Vec::new(),
    };
    // Its ant goes on: the job may be well again after the next restart.
    let code = async || match line.append_log(&ant.id, piece.clone()).await.unwrap_err() {
        LineError::Refused(Refusal::Conflict { code, .. }) => code,
        error => panic!("{error}"),
    };
    assert_eq!(code().await, "JOB_DAMAGED");
    rig.queen.command(&job, cancel()).await.unwrap();
    assert_eq!(code().await, "STALE_TOKEN");
}

#[tokio::test]
async fn the_end_of_an_attempt_of_a_damaged_job_stays_with_its_ant_until_the_job_is_well() {
    let mut rig = Rig::new().await;
    let (job, mut ant, work) = running(&rig).await;
    let before = rig.rows("SELECT state FROM tasks").await.concat();
    rig.queen.abandon().await;
    rig.change("UPDATE tasks SET state = 'WAITING'").await;
    rig.restart().await;
    let body = ant.report_of(&work);
    let end = ant.batch(vec![report(&work, 2, body)]);
    match rig.queen.report(end.clone()).await.unwrap_err() {
        Refusal::Conflict { code: "JOB_DAMAGED", message } => assert!(message.contains(&job.0), "{message}"),
        other => panic!("{other:?}"),
    }
    rig.queen.abandon().await;
    rig.change(&format!("UPDATE tasks SET state = '{before}'")).await;
    rig.restart().await;
    assert_eq!(rig.queen.report(end).await.unwrap().stale, []);
    assert_eq!(rig.state(&job).await, "COMPLETED");
}

#[tokio::test]
pub(crate) async fn what_the_agents_of_a_damaged_job_had_reserved_is_free_when_it_is_cancelled() {
    let mut rig = Rig::new().await;
    rig.upload("job_type: flow\nbudget: {usd: 5}\ntasks:\n  - task_type: a\n    agent: {cli: claude, prompt: x}\n")
        .await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let work = ant.poll(&rig.queen).await.assignments.remove(0);
    ant.start(&rig.queen, &work).await;
    rig.queen.abandon().await;
    rig.change("UPDATE tasks SET state = 'WAITING'").await;
    rig.restart().await;
    assert_eq!(rig.rows("SELECT attempt FROM agent_spend WHERE day IS NULL").await, ["1"]);
    rig.queen.command(&job, cancel()).await.unwrap();
    assert_eq!(rig.rows("SELECT attempt FROM agent_spend").await, [""; 0]);
}

#[tokio::test]
pub(crate) async fn a_parent_that_waits_for_a_damaged_job_goes_on_when_that_is_cancelled() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")]).replace("flow", "child")).await;
    rig.upload(
        "job_type: parent\ntasks:\n- task_type: fork\n  sub_workflow: {job_type: child}\n  on_failed: after\n\
         - {task_type: after, script: [echo]}\n",
    )
    .await;
    rig.upload(
        "job_type: watcher\ntriggers: [{type: job, job_type: child, states: [CANCELLED], params: {Id: \"{{ job.id }}\"}}]\n\
         params: {Id: {type: string}}\ntasks: [{task_type: look, script: [echo]}]\n",
    )
    .await;
    let parent = rig.submit("parent").await;
    let child = rig.rows("SELECT id FROM jobs WHERE job_type = 'child'").await.concat();
    rig.queen.abandon().await;
    rig.change(&format!("UPDATE tasks SET state = 'WAITING' WHERE job_id = '{child}'")).await;
    rig.restart().await;
    assert_eq!(rig.state(&parent).await, "WAITING");
    rig.queen.command(&atta_core::protocol::JobId(child.clone()), cancel()).await.unwrap();
    let fork = format!("SELECT exit_code, error_code FROM tasks WHERE job_id = '{parent}' AND name = 'fork'");
    assert_eq!(rig.rows(&fork).await, ["3 FORKED_JOB_CANCELLED"]);
    let params = rig.rows("SELECT params FROM jobs WHERE job_type = 'watcher'").await.concat();
    assert_eq!(params, format!("{{\"Id\":\"{child}\"}}"));
    let mut ant = Ant::new("ant", 1);
    ant.work(&rig.queen).await;
    assert!(ant.tasks_seen().contains(&"after"), "{:?}", ant.tasks_seen());
}

#[tokio::test]
pub(crate) async fn what_a_damaged_job_asked_people_is_closed_with_it() {
    let mut rig = Rig::new().await;
    rig.upload("job_type: ask\ntasks: [{task_type: ok, method: APPROVAL, approval: {min_approvals: 1}}]\n").await;
    let job = rig.submit("ask").await;
    rig.queen.abandon().await;
    rig.change("UPDATE jobs SET state = 'PAUSED'").await;
    rig.restart().await;
    rig.queen.command(&job, cancel()).await.unwrap();
    assert_eq!(rig.rows("SELECT state FROM approvals").await, ["CLOSED"]);
}

#[tokio::test]
pub(crate) async fn what_is_refused_for_a_definition_that_cannot_be_read_is_not_done() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    rig.queen.abandon().await;
    rig.change("UPDATE definition_versions SET source = source || '    no_longer_known: 1\n'").await;
    rig.restart().await;
    rig.queen.set_enabled("flow", false).await.unwrap_err();
    rig.upload(&definition("", &[("a", "")]).replace("flow", "other")).await;
    assert_eq!(rig.rows("SELECT enabled FROM definitions ORDER BY job_type").await, ["1", "1"]);
}

#[tokio::test]
pub(crate) async fn the_word_that_an_attempt_has_started_survives_a_failed_write() {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let work = ant.poll(&rig.queen).await.assignments.remove(0);
    rig.refuse("UPDATE ON attempts", "").await;
    let mut health = rig.queen.health_changes();
    ant.start(&rig.queen, &work).await;
    health.wait_for(Result::is_err).await.unwrap();
    rig.accept().await;
    health.wait_for(Result::is_ok).await.unwrap();
    rig.settle().await;
    rig.settle().await;
    assert_eq!(rig.rows("SELECT state FROM attempts").await, ["RUNNING"]);
}

#[tokio::test]
pub(crate) async fn what_a_job_is_does_not_hang_on_what_may_be_otherwise_when_it_is_read_again() {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "retry: \"{{ count_jobs('flow') }}\"")])).await;
    let refusal = rig.queen.submit(request("flow"), "test", None).await.unwrap_err();
    assert!(refusal.to_string().contains("count_jobs() is not available here"), "{refusal}");
}

#[tokio::test]
pub(crate) async fn params_that_are_given_while_the_job_waits_for_its_place_are_stored() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("max_concurrency: 1\nparams: {Text: {default: x}}", &[("a", "")])).await;
    let job = rig.submit("flow").await;
    rig.queen.command(&job, JobCommand::Pause).await.unwrap();
    rig.submit("flow").await;
    rig.queen.command(&job, JobCommand::Resume).await.unwrap();
    let params = serde_json::Map::from_iter([("Text".to_owned(), Value::from("y"))]);
    rig.queen
        .command(&job, JobCommand::ResumeWith { params, budget: atta_core::budget::Caps::default() })
        .await
        .unwrap();
    rig.restart().await;
    assert_eq!(rig.rows(&format!("SELECT params FROM jobs WHERE id = '{job}'")).await, ["{\"Text\":\"y\"}"]);
}
