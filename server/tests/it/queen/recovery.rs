//! The queen is killed and started again.

use std::fmt::Write as _;
use std::time::Duration;

use atta_server::scheduler::{JobCommand, Refusal};

use super::rig::{Ant, Rig, definition};

/// A small workflow with a loop, a join and a final phase.
fn workflow() -> String {
    definition(
        "",
        &[
            ("setup", "on_completed: test"),
            ("test", "max_visits: 5\non_exit_code: {0: publish, 3: fix}"),
            ("fix", "on_completed: test"),
            ("publish", ""),
            ("cleanup", "always_run: true"),
        ],
    )
}

#[tokio::test]
pub(crate) async fn a_kill_after_any_message_changes_nothing_about_the_end() {
    for kill_after in 0..8 {
        let mut rig = Rig::new().await;
        rig.upload(&workflow()).await;
        let job = rig.submit("flow").await;
        let mut ant = Ant::new("ant", 1).with_code("test", &[3, 0]);
        let mut messages = 0;
        let mut work = ant.poll(&rig.queen).await.assignments;
        while let Some(assignment) = work.pop() {
            if messages == kill_after {
                rig.restart().await;
                ant = Ant { session: ant.session + 1, ..Ant::new("ant", 1) }.with_code("test", &ant.codes["test"]);
                work = ant.poll(&rig.queen).await.assignments;
                messages += 1;
                continue;
            }
            messages += 1;
            work = ant.finish(&rig.queen, &assignment).await.assignments;
        }
        assert_eq!(rig.state(&job).await, "COMPLETED", "killed after {kill_after}");
        let names = rig.rows("SELECT name, state, visits FROM tasks ORDER BY task").await;
        let expected =
            ["setup COMPLETED 1", "test COMPLETED 2", "fix COMPLETED 1", "publish COMPLETED 1", "cleanup COMPLETED 1"];
        assert_eq!(names, expected, "killed after {kill_after}");
        let completed = rig.rows("SELECT count(*) FROM attempts WHERE result = 'COMPLETED'").await;
        assert_eq!(completed, ["5"], "a completed task never runs again");
    }
}

#[tokio::test]
pub(crate) async fn timers_that_came_due_while_the_queen_was_down_fire_at_once() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("", &[("flaky", "retry: 1\ndelay_between_retries: 30s")])).await;
    let mut ant = Ant::new("ant", 1).with_code("flaky", &[1]);
    let (job, _) = rig.run("flow", &mut ant).await;
    assert_eq!(rig.state(&job).await, "WAITING");
    rig.set_clock(super::rig::START + 3_600_000);
    rig.restart().await;
    assert_eq!(rig.state(&job).await, "RUNNING");
    ant.session += 1;
    ant.work(&rig.queen).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
}

#[tokio::test]
pub(crate) async fn a_cancel_before_the_kill_is_carried_through_after_it() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("", &[("a", ""), ("cleanup", "always_run: true")])).await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let work = ant.poll(&rig.queen).await.assignments.remove(0);
    ant.start(&rig.queen, &work).await;
    rig.queen.command(&job, JobCommand::Cancel { reason: "x".to_owned(), force: false }).await.unwrap();
    rig.restart().await;
    let mut ant = Ant { session: 2, ..Ant::new("ant", 1) };
    ant.work(&rig.queen).await;
    assert_eq!(ant.tasks_seen(), ["cleanup"]);
    assert_eq!(rig.state(&job).await, "CANCELLED");
}

#[tokio::test]
pub(crate) async fn the_end_of_the_writer_is_told_and_health_says_so() {
    let rig = Rig::new().await;
    rig.queen.abandon().await;
    rig.queen.stopped().await;
    assert_eq!(rig.queen.health().unwrap_err(), "the writer has stopped");
}

#[tokio::test]
pub(crate) async fn a_job_whose_rows_disagree_with_its_history_is_set_aside_and_the_others_go_on() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    let bad = rig.submit("flow").await;
    let good = rig.submit("flow").await;
    rig.queen.abandon().await;
    let sql = format!("UPDATE tasks SET state = 'WAITING' WHERE job_id = '{bad}'");
    rig.change(&sql).await;
    rig.restart().await;
    Ant::new("ant", 1).work(&rig.queen).await;
    assert_eq!(rig.state(&good).await, "COMPLETED");
    assert_eq!(rig.state(&bad).await, "RUNNING");
    match rig.queen.command(&bad, JobCommand::Pause).await.unwrap_err() {
        Refusal::Conflict { code: "JOB_DAMAGED", message } => {
            assert!(message.ends_with("its history says that task a is READY, its row says WAITING"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
pub(crate) async fn many_live_jobs_and_one_with_many_tasks_come_back() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("", &[("a", ""), ("b", "dependencies: [a]")])).await;
    for _ in 0..50 {
        rig.submit("flow").await;
    }
    let mut wide = "job_type: wide\ntasks:\n".to_owned();
    for n in 0..500 {
        writeln!(wide, "  - task_type: t{n}\n    script: [\"true\"]").unwrap();
    }
    rig.upload(&wide).await;
    let job = rig.submit("wide").await;
    let mut ant = Ant::new("ant", 100);
    let work = ant.poll(&rig.queen).await.assignments;
    for assignment in &work[..60] {
        ant.finish(&rig.queen, assignment).await;
    }
    rig.restart().await;
    let mut ant = Ant { session: 2, ..Ant::new("ant", 100) };
    ant.work(&rig.queen).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
    assert_eq!(rig.rows("SELECT DISTINCT state FROM jobs").await, ["COMPLETED"]);
}

#[tokio::test]
pub(crate) async fn an_ordinary_shutdown_loses_nothing_and_frees_the_directory() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    let ant = Ant::new("ant", 1);
    let queen = rig.queen.clone();
    let request = ant.poll_request();
    let poll = tokio::spawn(async move { queen.poll(request, Duration::from_mins(10)).await });
    rig.settle().await;
    rig.queen.shutdown().await;
    let refusal = poll.await.unwrap().unwrap_err();
    assert_eq!(refusal.to_string(), "the server is shutting down");
    assert_eq!(rig.queen.health().unwrap_err(), "the writer has stopped");
    rig.restart().await;
    rig.submit("flow").await;
}

#[tokio::test]
pub(crate) async fn a_job_whose_definition_is_not_valid_any_more_is_set_aside_and_keeps_its_user_key() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("user_key: issue-1", &[("a", "")])).await;
    let job = rig.submit("flow").await;
    rig.queen.abandon().await;
    let sql = "UPDATE definition_versions SET source = source || '    no_longer_known: 1\n'";
    rig.change(sql).await;
    rig.restart().await;
    assert_eq!(rig.state(&job).await, "RUNNING");
    let refusal = rig.queen.command(&job, JobCommand::Pause).await.unwrap_err().to_string();
    assert!(refusal.contains("its definition cannot be used") && refusal.contains("no_longer_known"), "{refusal}");
    // What is uploaded anew is usable, but the key is taken: no write is tried that the database refuses.
    rig.upload(&definition("user_key: issue-1", &[("b", "")])).await;
    match rig.queen.submit(super::rig::request("flow"), "test", None).await.unwrap_err() {
        Refusal::Duplicate { holder, .. } => assert_eq!(holder, job),
        other => panic!("{other:?}"),
    }
    assert_eq!(rig.queen.health(), Ok(()));
}

#[tokio::test]
pub(crate) async fn a_command_that_breaks_a_constraint_does_not_take_the_others_along_for_ever() {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    let other = definition("", &[("a", "")]).replace("flow", "other");
    rig.upload(&other).await;
    rig.refuse("INSERT ON jobs", "new.job_type = 'flow'").await;
    // As a client would: what is refused for now is tried again, all at the same time.
    let mut stored = 0;
    for _ in 0..4 {
        let (bad, good) = tokio::join!(
            rig.queen.submit(super::rig::request("flow"), "test", None),
            rig.queen.submit(super::rig::request("other"), "test", None),
        );
        let refusal = bad.unwrap_err();
        assert!(refusal.to_string().contains("contradicts what is stored"), "{refusal}");
        stored += u32::from(good.is_ok());
    }
    assert!(stored >= 3, "{stored}");
    assert_eq!(rig.rows("SELECT count(*) FROM jobs").await, [stored.to_string()]);
}
