//! Jobs from submit to their end.

use std::time::Duration;

use atta_core::protocol::Digest;
use atta_core::protocol::ant::{ArtifactFile, Report, ReportBody};
use atta_core::time::UnixMillis;
use serde_json::json;

use super::rig::{Ant, Rig, START, definition, report, script_of};

#[tokio::test]
pub(crate) async fn a_graph_with_dependencies_runs_to_its_end() {
    let rig = Rig::new().await;
    rig.upload(&definition(
        "",
        &[("a", ""), ("b", "dependencies: [a]"), ("c", "dependencies: [a]"), ("d", "dependencies: [b, c]")],
    ))
    .await;
    let mut ant = Ant::new("ant", 2);
    let (job, state) = rig.run("flow", &mut ant).await;
    assert_eq!(state, "COMPLETED");
    assert_eq!(ant.tasks_seen(), ["a", "b", "c", "d"]);
    assert_eq!(
        rig.tasks(&job).await,
        ["a COMPLETED 1 1 0", "b COMPLETED 1 1 0", "c COMPLETED 1 1 0", "d COMPLETED 1 1 0"]
    );
    let rows = rig.rows("SELECT state, result, isolation FROM attempts").await;
    assert_eq!(rows, ["FINISHED COMPLETED subreaper"; 4]);
    assert_eq!(rig.rows("SELECT count(*) FROM timers").await, ["0"]);
}

#[tokio::test]
pub(crate) async fn exit_codes_choose_routes_and_loops_come_round() {
    let rig = Rig::new().await;
    rig.upload(&definition(
        "",
        &[("test", "max_visits: 5\non_exit_code: {0: done, 3: fix}"), ("fix", "on_completed: test"), ("done", "")],
    ))
    .await;
    let mut ant = Ant::new("ant", 1).with_code("test", &[3, 3, 0]);
    let (job, state) = rig.run("flow", &mut ant).await;
    assert_eq!(state, "COMPLETED");
    assert_eq!(ant.tasks_seen(), ["test", "fix", "test", "fix", "test", "done"]);
    assert_eq!(rig.tasks(&job).await, ["test COMPLETED 3 3 0", "fix COMPLETED 2 2 0", "done COMPLETED 1 1 0"]);
}

#[tokio::test]
pub(crate) async fn a_retry_waits_for_its_timer_and_no_longer() {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("flaky", "retry: 1\ndelay_between_retries: 30s")])).await;
    let mut ant = Ant::new("ant", 1).with_code("flaky", &[1]);
    let (job, state) = rig.run("flow", &mut ant).await;
    assert_eq!(state, "WAITING");
    rig.advance(Duration::from_secs(29)).await;
    ant.work(&rig.queen).await;
    assert_eq!(ant.seen.len(), 1);
    rig.advance(Duration::from_secs(1)).await;
    ant.work(&rig.queen).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
    assert_eq!(rig.tasks(&job).await, ["flaky COMPLETED 1 2 0"]);
}

#[tokio::test]
pub(crate) async fn a_waiting_poll_is_woken_by_a_submit() {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    let ant = Ant::new("ant", 1);
    let queen = rig.queen.clone();
    let request = ant.poll_request();
    let poll = tokio::spawn(async move { queen.poll(request, Duration::from_mins(10)).await });
    rig.submit("flow").await;
    assert_eq!(poll.await.unwrap().unwrap().assignments.len(), 1);
}

#[tokio::test]
pub(crate) async fn the_answer_to_a_report_carries_the_next_task() {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", ""), ("b", "dependencies: [a]")])).await;
    rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let first = ant.poll(&rig.queen).await.assignments.remove(0);
    let orders = ant.finish(&rig.queen, &first).await;
    assert_eq!(orders.assignments.iter().map(|a| a.task.as_str()).collect::<Vec<_>>(), ["b"]);
}

#[tokio::test]
pub(crate) async fn outputs_artifacts_and_builtins_reach_the_tasks_after() {
    let rig = Rig::new().await;
    let source = r#"
job_type: flow
description: "state of make is {{ tasks.make.state }}"
job_variables: {greeting: "hello {{ JobType }}"}
environment: {GREETING: "{{ greeting }}"}
tasks:
  - task_type: make
    script: ["make"]
    artifacts: {paths: ["out/*"]}
    outputs: [number]
    on_completed: use
  - task_type: use
    dependencies: [make]
    when: "{{ tasks.make.outputs.number > 1 }}"
    script: ["echo {{ tasks.make.outputs.number }}"]
"#;
    rig.upload(source).await;
    let mut ant = Ant::new("ant", 1);
    ant.outputs.insert("make".to_owned(), [("number".to_owned(), json!(42))].into_iter().collect());
    let file = ArtifactFile { path: "out/x".to_owned(), digest: Digest("ab".repeat(32)), size: 7, executable: true };
    ant.artifacts.insert("make".to_owned(), vec![file.clone()]);
    let (job, state) = rig.run("flow", &mut ant).await;
    assert_eq!(state, "COMPLETED", "{:?}", rig.rows("SELECT error_message FROM attempts").await);
    let used = &ant.seen[1];
    assert_eq!(used.inputs[0].files, [file]);
    assert_eq!(used.environment["GREETING"], "hello flow");
    assert_eq!(used.environment["ATTA_JOB_ID"], job.0);
    assert_eq!(used.environment["ATTA_TASK_TYPE"], "use");
    assert!(script_of(used).contains("echo"), "{}", script_of(used));
    assert_eq!(rig.rows("SELECT path, size, executable FROM artifacts").await, ["out/x 7 1"]);
    assert_eq!(rig.rows("SELECT description FROM jobs").await, ["state of make is COMPLETED"]);
}

#[tokio::test]
pub(crate) async fn a_template_error_ends_the_attempt_as_invalid_without_an_ant() {
    let rig = Rig::new().await;
    let source = "job_type: flow\ntasks:\n  - task_type: a\n    script: [\"echo {{ tasks.a.outputs.nothing }}\"]\n    retry: 3\n";
    rig.upload(source).await;
    let mut ant = Ant::new("ant", 1);
    let (job, state) = rig.run("flow", &mut ant).await;
    assert_eq!(state, "FAILED");
    assert!(ant.seen.is_empty());
    let errors = rig.rows("SELECT error_code, error_message FROM attempts").await;
    assert_eq!(errors.len(), 1, "not retried: {errors:?}");
    assert!(errors[0].starts_with("INVALID script (line 4): "), "{errors:?}");
    assert_eq!(rig.rows(&format!("SELECT result FROM tasks WHERE job_id = '{job}'")).await, ["INVALID"]);
}

#[tokio::test]
pub(crate) async fn durations_are_those_that_the_ant_measured_within_our_own_clock() {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", ""), ("b", "dependencies: [a]")])).await;
    rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let first = ant.poll(&rig.queen).await.assignments.remove(0);
    rig.set_clock(START + 5_000);
    let started = ReportBody::Started { isolation: "subreaper".to_owned() };
    let reports = vec![
        Report { at: UnixMillis(START + 1_000), ..report(&first, 1, started.clone()) },
        Report { at: UnixMillis(START + 4_000), ..report(&first, 2, ant.report_of(&first)) },
    ];
    let second = rig.queen.report(ant.batch(reports)).await.unwrap().assignments.remove(0);
    // This ant's clock is wrong: nothing starts before it was ready, nothing ends after it was reported.
    let reports = vec![
        Report { at: UnixMillis(0), ..report(&second, 1, started) },
        Report { at: UnixMillis(START + 900_000), ..report(&second, 2, ant.report_of(&second)) },
    ];
    rig.queen.report(ant.batch(reports)).await.unwrap();
    let expected = ["1000 4000", "5000 5000"];
    for table in ["attempts", "tasks"] {
        let sql = format!("SELECT started_at - {START}, finished_at - {START} FROM {table}");
        assert_eq!(rig.rows(&sql).await, expected, "{table}");
    }
}
