//! Commands on jobs.

use std::time::Duration;

use atta_core::engine::JobState;
use atta_core::protocol::JobId;
use atta_server::scheduler::{JobCommand, Refusal};

use super::rig::{Ant, Rig, definition};

fn cancel() -> JobCommand {
    JobCommand::Cancel { reason: "not needed".to_owned(), force: false }
}

#[tokio::test]
pub(crate) async fn a_cancel_stops_what_runs_and_still_runs_the_final_phase() {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", ""), ("b", "dependencies: [a]"), ("cleanup", "always_run: true")])).await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 2).with_code("a", &[137]);
    let running = ant.poll(&rig.queen).await.assignments.remove(0);
    ant.start(&rig.queen, &running).await;
    assert_eq!(rig.queen.command(&job, cancel()).await.unwrap(), JobState::Cancelling);
    // Saying it again changes nothing.
    assert_eq!(rig.queen.command(&job, cancel()).await.unwrap(), JobState::Cancelling);
    let orders = ant.poll(&rig.queen).await;
    assert_eq!(orders.stops.len(), 1);
    assert_eq!(orders.stops[0].attempt_id, running.attempt_id);
    assert_eq!(orders.stops[0].token, running.token);
    let next = ant.finish(&rig.queen, &running).await.assignments;
    assert_eq!(next[0].task, "cleanup");
    assert_eq!(next[0].environment["ATTA_JOB_RESULT"], "CANCELLED");
    let refusal = rig.queen.command(&job, cancel()).await;
    assert!(
        matches!(&refusal, Err(Refusal::Conflict { code: "FINAL_PHASE", message }) if message.contains("CANCELLED"))
            || refusal == Ok(JobState::Cancelling),
        "{refusal:?}"
    );
    ant.finish(&rig.queen, &next[0]).await;
    assert_eq!(rig.state(&job).await, "CANCELLED");
    assert_eq!(rig.queen.command(&job, cancel()).await.unwrap(), JobState::Cancelled);
}

#[tokio::test]
pub(crate) async fn a_paused_job_gets_no_new_attempts_until_it_is_resumed() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("", &[("a", ""), ("b", ""), ("c", "dependencies: [a]")])).await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let first = ant.poll(&rig.queen).await.assignments.remove(0);
    assert_eq!(rig.queen.command(&job, JobCommand::Pause).await.unwrap(), JobState::Paused);
    assert!(ant.finish(&rig.queen, &first).await.assignments.is_empty());
    ant.work(&rig.queen).await;
    assert_eq!(ant.tasks_seen(), ["a"]);
    rig.restart().await;
    assert_eq!(rig.state(&job).await, "PAUSED");
    ant.work(&rig.queen).await;
    assert_eq!(ant.tasks_seen(), ["a"]);
    assert_eq!(rig.queen.command(&job, JobCommand::Resume).await.unwrap(), JobState::Running);
    ant.work(&rig.queen).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
}

#[tokio::test]
pub(crate) async fn a_resume_waits_for_max_concurrency_and_survives_a_restart() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("max_concurrency: 1", &[("a", ""), ("b", "dependencies: [a]")])).await;
    let paused = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let work = ant.poll(&rig.queen).await.assignments;
    rig.queen.command(&paused, JobCommand::Pause).await.unwrap();
    ant.finish(&rig.queen, &work[0]).await;
    let running = rig.submit("flow").await;
    let newer = rig.submit("flow").await;
    assert_eq!(rig.queen.command(&paused, JobCommand::Resume).await.unwrap(), JobState::Paused);
    assert_eq!(rig.reason(&paused).await, "waits for max_concurrency 1");
    rig.restart().await;
    assert_eq!(rig.state(&paused).await, "PAUSED");
    rig.queen.command(&running, cancel()).await.unwrap();
    assert_eq!(rig.state(&paused).await, "RUNNING", "a woken job goes before new ones");
    assert_eq!(rig.state(&newer).await, "PENDING");
    ant.session += 1;
    ant.work(&rig.queen).await;
    assert_eq!([rig.state(&paused).await, rig.state(&newer).await], ["COMPLETED", "COMPLETED"]);
    assert_eq!(rig.rows("SELECT count(*) FROM timers").await, ["0"]);
}

#[tokio::test]
pub(crate) async fn a_job_that_wakes_waits_while_another_one_runs() {
    let rig = Rig::new().await;
    rig.upload(&definition("max_concurrency: 1", &[("flaky", "retry: 1\ndelay_between_retries: 10s")])).await;
    let mut ant = Ant::new("ant", 1).with_code("flaky", &[1]);
    let waiting = rig.submit("flow").await;
    ant.work(&rig.queen).await;
    assert_eq!(rig.state(&waiting).await, "WAITING");
    let running = rig.submit("flow").await;
    rig.advance(Duration::from_secs(11)).await;
    assert_eq!(rig.state(&waiting).await, "WAITING");
    assert_eq!(rig.reason(&waiting).await, "waits for max_concurrency 1");
    ant.work(&rig.queen).await;
    assert_eq!([rig.state(&waiting).await, rig.state(&running).await], ["COMPLETED", "COMPLETED"]);
}

#[tokio::test]
pub(crate) async fn retry_failed_keeps_what_completed() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("", &[("a", ""), ("b", "dependencies: [a]")])).await;
    let mut ant = Ant::new("ant", 1).with_code("b", &[1]);
    let (job, state) = rig.run("flow", &mut ant).await;
    assert_eq!(state, "FAILED");
    rig.restart().await;
    rig.queen.command(&job, JobCommand::RetryFailed).await.unwrap();
    ant.session += 1;
    ant.work(&rig.queen).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
    assert_eq!(ant.tasks_seen(), ["a", "b", "b"]);
    assert_eq!(rig.rows("SELECT attempt, error_code FROM jobs").await, ["2 -"]);
}

#[tokio::test]
pub(crate) async fn rerun_from_a_task_runs_it_and_what_follows() {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", ""), ("b", "dependencies: [a]"), ("c", "dependencies: [b]")])).await;
    let mut ant = Ant::new("ant", 1);
    let (job, _) = rig.run("flow", &mut ant).await;
    let rerun = |task: &str| JobCommand::RerunFrom { task: task.to_owned() };
    let missing = rig.queen.command(&job, rerun("x")).await.unwrap_err();
    assert_eq!(missing.to_string(), format!("task x of the job {job} not found"));
    rig.queen.command(&job, rerun("b")).await.unwrap();
    ant.work(&rig.queen).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
    assert_eq!(ant.tasks_seen(), ["a", "b", "c", "b", "c"]);
}

#[tokio::test]
pub(crate) async fn commands_that_do_not_fit_are_refused_with_a_code() {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    let unknown = JobId("job_nothing".to_owned());
    let refusal = rig.queen.command(&unknown, JobCommand::Pause).await.unwrap_err();
    assert_eq!(refusal.to_string(), "job job_nothing not found");
    let mut ant = Ant::new("ant", 1);
    let job = rig.submit("flow").await;
    let code = |refusal: Refusal| match refusal {
        Refusal::Conflict { code, .. } => code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(rig.queen.command(&job, JobCommand::RetryFailed).await.unwrap_err()), "JOB_NOT_TERMINAL");
    assert_eq!(code(rig.queen.command(&job, JobCommand::Resume).await.unwrap_err()), "NOT_PAUSED");
    ant.work(&rig.queen).await;
    for command in [cancel(), JobCommand::Pause, JobCommand::Resume] {
        assert_eq!(code(rig.queen.command(&job, command).await.unwrap_err()), "JOB_TERMINAL");
    }
    assert_eq!(code(rig.queen.command(&job, JobCommand::RetryFailed).await.unwrap_err()), "NOTHING_TO_RETRY");
    assert_eq!(rig.state(&job).await, "COMPLETED");
}
