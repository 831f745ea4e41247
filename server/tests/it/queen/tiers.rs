//! What waits while the server leaves something out, and that nothing of it is lost.

use atta_core::definition::Priority;
use atta_core::protocol::api::SubmitRequest;
use atta_core::resilience::{Decision, Tier};
use atta_server::scheduler::{JobCommand, Refusal};

use super::rig::{Ant, Rig, definition, request};

async fn decide(rig: &Rig, tier: Tier) {
    let reason = if tier == Tier::Normal { String::new() } else { "storing takes 700 ms".to_owned() };
    rig.queen.set_tier(Decision { tier, reason, by_hand: false });
    rig.settle().await;
}

async fn rig() -> Rig {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("one", ""), ("two", "dependencies: [one]")])).await;
    rig
}

#[tokio::test]
async fn a_job_that_comes_while_all_new_ones_wait_runs_when_that_is_over() {
    let rig = rig().await;
    let mut ant = Ant::new("ant", 1);
    decide(&rig, Tier::Finish).await;
    let job = rig.submit("flow").await;
    ant.work(&rig.queen).await;
    assert_eq!(rig.state(&job).await, "PENDING");
    assert_eq!(rig.reason(&job).await, "waits: the server begins no new jobs at present (storing takes 700 ms)");
    assert_eq!(rig.queen.figures().await.unwrap().held, 1);
    decide(&rig, Tier::Shed).await;
    ant.work(&rig.queen).await;
    assert_eq!((rig.state(&job).await, rig.reason(&job).await), ("COMPLETED".to_owned(), "-".to_owned()));
    assert_eq!(rig.queen.figures().await.unwrap().held, 0);
}

#[tokio::test]
async fn what_runs_goes_on_to_its_end_while_new_jobs_wait() {
    let rig = rig().await;
    let mut ant = Ant::new("ant", 1);
    let job = rig.submit("flow").await;
    let first = ant.poll(&rig.queen).await.assignments.remove(0);
    decide(&rig, Tier::Finish).await;
    let second = ant.finish(&rig.queen, &first).await.assignments;
    assert_eq!(second.len(), 1, "the next task of a job that runs is given out");
    ant.finish(&rig.queen, &second[0]).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
}

#[tokio::test]
async fn only_jobs_of_low_priority_wait_while_load_is_shed() {
    let rig = rig().await;
    let mut ant = Ant::new("ant", 1);
    decide(&rig, Tier::Shed).await;
    let low = SubmitRequest { priority: Some(Priority::Low), ..request("flow") };
    let low = rig.queen.submit(low, "test", None).await.unwrap().job_id;
    let normal = rig.submit("flow").await;
    ant.work(&rig.queen).await;
    assert_eq!((rig.state(&low).await, rig.state(&normal).await), ("PENDING".to_owned(), "COMPLETED".to_owned()));
    assert_eq!(
        rig.reason(&low).await,
        "waits: the server begins no jobs of low priority at present (storing takes 700 ms)"
    );
    decide(&rig, Tier::Normal).await;
    ant.work(&rig.queen).await;
    assert_eq!(rig.state(&low).await, "COMPLETED");
}

#[tokio::test]
pub(crate) async fn what_waits_is_written_when_that_changes_and_not_with_each_measurement() {
    let rig = rig().await;
    let mut ant = Ant::new("ant", 1);
    let measured = |tier, reason: &str| Decision { tier, reason: reason.to_owned(), by_hand: false };
    rig.queen.set_tier(measured(Tier::Shed, "storing is slow"));
    let low = SubmitRequest { priority: Some(Priority::Low), ..request("flow") };
    let low = rig.queen.submit(low, "test", None).await.unwrap().job_id;
    rig.queen.set_tier(measured(Tier::Finish, "storing is slow"));
    let mut jobs = vec![low];
    for _ in 0..30 {
        jobs.push(rig.submit("flow").await);
    }
    rig.refuse("UPDATE ON jobs", "").await;
    rig.queen.set_tier(measured(Tier::Finish, "little disk is free"));
    rig.settle().await;
    rig.queen.health().unwrap();
    assert_eq!(rig.queen.figures().await.unwrap().held, 31);
    rig.accept().await;

    // More of them than fit into one statement have another reason now, and say it.
    rig.queen.set_tier(Decision { by_hand: true, ..measured(Tier::Finish, "new disks") });
    rig.settle().await;
    let reasons = rig.rows("SELECT DISTINCT state, reason FROM jobs").await;
    assert_eq!(reasons, ["PENDING waits: the server begins no new jobs at present (new disks)"]);
    rig.queen.set_tier(measured(Tier::Shed, "storing is slow"));
    ant.work(&rig.queen).await;
    let rows = rig.rows("SELECT state, count(*) FROM jobs GROUP BY state ORDER BY state").await;
    assert_eq!(rows, ["COMPLETED 30", "PENDING 1"]);
    assert_eq!(
        rig.reason(&jobs[0]).await,
        "waits: the server begins no jobs of low priority at present (storing is slow)"
    );
}

#[tokio::test]
async fn what_a_job_that_runs_forks_does_not_wait_or_it_would_never_end() {
    let rig = Rig::new().await;
    rig.upload("job_type: child\npriority: LOW\ntasks:\n- {task_type: build, script: [make]}\n").await;
    let parent = "job_type: parent\ntasks:\n- {task_type: first, script: [echo]}\n- {task_type: fork, dependencies: [first], sub_workflow: {job_type: child}}\n";
    rig.upload(parent).await;
    for tier in [Tier::Shed, Tier::Finish] {
        let mut ant = Ant::new("ant", 1);
        let job = rig.submit("parent").await;
        let first = ant.poll(&rig.queen).await.assignments.remove(0);
        decide(&rig, tier).await;
        let mut work = ant.finish(&rig.queen, &first).await.assignments;
        while let Some(one) = work.pop() {
            work.extend(ant.finish(&rig.queen, &one).await.assignments);
        }
        let child = rig.rows(&format!("SELECT state FROM jobs WHERE parent_job = '{job}'")).await;
        assert_eq!(child, ["COMPLETED"], "{tier}");
        assert_eq!(rig.state(&job).await, "COMPLETED", "{tier}");
        decide(&rig, Tier::Normal).await;
    }
}

#[tokio::test]
async fn read_only_takes_results_and_no_jobs_and_begins_nothing() {
    let rig = rig().await;
    let mut ant = Ant::new("ant", 2);
    let job = rig.submit("flow").await;
    let first = ant.poll(&rig.queen).await.assignments.remove(0);
    decide(&rig, Tier::ReadOnly).await;
    let refused = rig.queen.submit(request("flow"), "test", None).await.unwrap_err();
    assert!(
        matches!(&refused, Refusal::Unavailable { message }
        if message == "the server takes no jobs at present: storing takes 700 ms"),
        "{refused:?}"
    );
    assert!(ant.finish(&rig.queen, &first).await.assignments.is_empty(), "nothing is begun");
    assert_eq!(rig.tasks(&job).await[0], "one COMPLETED 1 1 0", "and the result is taken");
    let waits = rig.rows("SELECT reason FROM attempts WHERE state = 'READY'").await;
    assert_eq!(waits, ["waits: the server begins nothing at present (storing takes 700 ms)"]);
    decide(&rig, Tier::Normal).await;
    ant.work(&rig.queen).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
}

#[tokio::test]
async fn jobs_that_wait_can_be_cancelled_and_still_wait_after_a_restart() {
    let mut rig = rig().await;
    decide(&rig, Tier::Finish).await;
    let (cancelled, kept) = (rig.submit("flow").await, rig.submit("flow").await);
    let cancel = JobCommand::Cancel { reason: "not now".to_owned(), force: false };
    rig.queen.command(&cancelled, cancel).await.unwrap();
    assert_eq!(rig.state(&cancelled).await, "CANCELLED");
    rig.restart().await;
    // The new process decides anew.
    let mut ant = Ant::new("ant", 1);
    ant.work(&rig.queen).await;
    assert_eq!((rig.state(&cancelled).await, rig.state(&kept).await), ("CANCELLED".to_owned(), "COMPLETED".to_owned()));
}

#[tokio::test]
async fn an_attempt_says_when_all_ants_that_are_connected_are_out_of_service() {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("one", "")])).await;
    let mut ant = Ant::new("ant", 1);
    ant.poll(&rig.queen).await;
    rig.queen.set_ant_mode(&ant.id, atta_core::protocol::ants::AntMode::Cordoned).await.unwrap();
    rig.submit("flow").await;
    assert_eq!(
        rig.rows("SELECT reason FROM attempts").await,
        ["waits for an ant: the only ant that is connected is cordoned or drained (`atta ants uncordon`)"]
    );
}
