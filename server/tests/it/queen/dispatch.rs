//! Which ant gets what, and which reports count.

use std::time::Duration;

use atta_core::definition::Priority;
use atta_core::protocol::api::SubmitRequest;
use atta_server::scheduler::Refusal;

use super::rig::{Ant, Rig, START, definition, report, request};

#[tokio::test]
pub(crate) async fn an_ant_gets_no_more_than_it_has_slots_for() {
    let rig = Rig::new().await;
    let tasks: Vec<(String, &str)> = (0..10).map(|n| (format!("t{n}"), "")).collect();
    let tasks: Vec<(&str, &str)> = tasks.iter().map(|(name, keys)| (name.as_str(), *keys)).collect();
    rig.upload(&definition("", &tasks)).await;
    rig.submit("flow").await;
    let mut ant = Ant::new("ant", 3);
    let work = ant.poll(&rig.queen).await.assignments;
    assert_eq!(work.len(), 3);
    assert!(ant.poll(&rig.queen).await.assignments.is_empty());
    assert_eq!(ant.finish(&rig.queen, &work[0]).await.assignments.len(), 1);
    let mut second = Ant::new("second", 20);
    assert_eq!(second.poll(&rig.queen).await.assignments.len(), 6);
}

#[tokio::test]
pub(crate) async fn urgent_jobs_go_first_and_old_ones_are_not_starved() {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    let submit = async |priority| {
        let request = SubmitRequest { priority: Some(priority), ..request("flow") };
        rig.queen.submit(request, "test", None).await.unwrap().job_id
    };
    let low = submit(Priority::Low).await;
    let normal = submit(Priority::Normal).await;
    let critical = submit(Priority::Critical).await;
    let mut ant = Ant::new("ant", 1);
    let first = ant.poll(&rig.queen).await.assignments.remove(0);
    assert_eq!(first.job_id, critical);
    // After three steps of ten minutes a fresh CRITICAL job does not overtake the LOW one any more.
    rig.advance(Duration::from_mins(31)).await;
    let late = submit(Priority::Critical).await;
    ant.finish(&rig.queen, &first).await;
    ant.finish(&rig.queen, &ant.seen[1].clone()).await;
    ant.finish(&rig.queen, &ant.seen[2].clone()).await;
    let order: Vec<_> = ant.seen.iter().map(|assignment| assignment.job_id.clone()).collect();
    assert_eq!(order, [critical, normal, low, late]);
}

#[tokio::test]
pub(crate) async fn only_an_ant_with_all_tags_gets_the_task() {
    let rig = Rig::new().await;
    rig.upload(&definition("params: {Where: {default: gpu}}", &[("a", "tags: [\"{{ Where }}\", big]")])).await;
    rig.submit("flow").await;
    let mut plain = Ant::new("plain", 1);
    plain.tags = vec!["gpu".to_owned()];
    assert!(plain.poll(&rig.queen).await.assignments.is_empty());
    let mut fitting = Ant::new("fitting", 1);
    fitting.tags = vec!["big".to_owned(), "gpu".to_owned(), "more".to_owned()];
    assert_eq!(fitting.poll(&rig.queen).await.assignments.len(), 1);
}

#[tokio::test]
pub(crate) async fn a_repeated_report_counts_once() {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let work = ant.poll(&rig.queen).await.assignments.remove(0);
    ant.start(&rig.queen, &work).await;
    ant.start(&rig.queen, &work).await;
    let body = ant.report_of(&work);
    for _ in 0..3 {
        let orders = rig.queen.report(ant.batch(vec![report(&work, 2, body.clone())])).await.unwrap();
        assert!(orders.stale.is_empty());
    }
    assert_eq!(rig.tasks(&job).await, ["a COMPLETED 1 1 0"]);
    let finished = rig.rows("SELECT count(*) FROM events WHERE event LIKE '%attempt_finished%'").await;
    assert_eq!(finished, ["1"]);
}

#[tokio::test]
pub(crate) async fn a_report_with_a_wrong_token_is_stale_and_changes_nothing() {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let work = ant.poll(&rig.queen).await.assignments.remove(0);
    let body = ant.report_of(&work);
    let mut wrong = work.clone();
    wrong.token += 1;
    let orders = rig.queen.report(ant.batch(vec![report(&wrong, 2, body.clone())])).await.unwrap();
    assert_eq!(orders.stale, std::slice::from_ref(&work.attempt_id));
    assert_eq!(rig.tasks(&job).await, ["a LEASED 1 1 -"]);
    // Nor does the right token help another ant.
    let thief = Ant::new("thief", 1);
    let orders = rig.queen.report(thief.batch(vec![report(&work, 2, body)])).await.unwrap();
    assert_eq!(orders.stale, [work.attempt_id]);
    assert_eq!(rig.tasks(&job).await, ["a LEASED 1 1 -"]);
}

#[tokio::test]
pub(crate) async fn what_a_new_session_of_an_ant_does_not_have_is_lost_and_the_old_one_is_stale() {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "retry: 1\ndelay_between_retries: 0s")])).await;
    let job = rig.submit("flow").await;
    let mut old = Ant::new("ant", 1);
    let lost = old.poll(&rig.queen).await.assignments.remove(0);
    old.start(&rig.queen, &lost).await;
    let mut new = Ant::new("ant", 1);
    new.session = 2;
    let again = new.poll(&rig.queen).await.assignments.remove(0);
    assert_ne!(again.attempt_id, lost.attempt_id);
    assert!(again.token > lost.token);
    let body = old.report_of(&lost);
    let orders = rig.queen.report(old.batch(vec![report(&lost, 2, body)])).await.unwrap();
    assert_eq!(orders.stale, [lost.attempt_id]);
    let refusal = rig.queen.poll(old.poll_request(), Duration::ZERO).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Conflict { code: "SESSION_REPLACED", .. }), "{refusal:?}");
    new.finish(&rig.queen, &again).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
}

#[tokio::test]
pub(crate) async fn orders_that_nobody_took_go_to_the_next_ant() {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    let gone = Ant::new("gone", 1);
    let queen = rig.queen.clone();
    let request = gone.poll_request();
    let poll = tokio::spawn(async move { queen.poll(request, Duration::from_mins(10)).await });
    rig.settle().await;
    poll.abort();
    assert!(poll.await.unwrap_err().is_cancelled());
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    ant.work(&rig.queen).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
    assert_eq!(rig.tasks(&job).await, ["a COMPLETED 1 1 0"]);
}

#[tokio::test]
pub(crate) async fn an_attempt_with_artifacts_that_cannot_be_is_invalid_and_what_was_reported_with_it_counts() {
    use atta_core::protocol::Digest;
    use atta_core::protocol::ant::{ArtifactFile, ReportBody};
    let file = |path: &str, digest: &str| ArtifactFile {
        path: path.to_owned(),
        digest: Digest(digest.to_owned()),
        size: 1,
        executable: false,
    };
    let good = "0".repeat(64);
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    let mut ant = Ant::new("ant", 2);
    for (files, text) in [
        (vec![file("../x", &good)], "is no relative path inside the task's directory"),
        (vec![file("/etc/passwd", &good)], "is no relative path inside the task's directory"),
        (vec![file("a//b", &good)], "is no relative path inside the task's directory"),
        (vec![file("x", "zz")], "has a digest that is no BLAKE3 digest"),
        (vec![file("x", &good), file("x", &good)], "is listed twice"),
    ] {
        let (bad, fine) = (rig.submit("flow").await, rig.submit("flow").await);
        let work = ant.poll(&rig.queen).await.assignments;
        let reports = work.iter().map(|work| {
            let mut body = ant.report_of(work);
            if let ReportBody::Finished(end) = &mut body
                && work.job_id == bad
            {
                end.artifacts = files.clone();
            }
            report(work, 2, body)
        });
        let reports = reports.collect();
        rig.queen.report(ant.batch(reports)).await.unwrap();
        ant.held = 0;
        assert_eq!((rig.state(&bad).await, rig.state(&fine).await), ("FAILED".to_owned(), "COMPLETED".to_owned()));
        let ended =
            rig.rows(&format!("SELECT result, error_message FROM attempts WHERE job_id = '{bad}'")).await.concat();
        assert!(ended.starts_with("INVALID ") && ended.ends_with(text), "{ended}");
    }
    assert_eq!(rig.rows("SELECT count(*) FROM artifacts").await, ["0"]);
}

#[tokio::test]
pub(crate) async fn the_place_of_a_job_that_cannot_be_assigned_is_used_at_once() {
    let rig = Rig::new().await;
    let keys = "max_concurrency: 1\nparams: {text: {type: string, required: true}}";
    let task = "environment: {N: \"{{ text | from_json }}\"}";
    rig.upload(&definition(keys, &[("a", task)])).await;
    let mut jobs = Vec::new();
    for (later, text) in ["no json", "{", "1"].into_iter().enumerate() {
        rig.set_clock(START + i64::try_from(later).unwrap());
        let mut submission = request("flow");
        submission.params.insert("text".to_owned(), text.into());
        jobs.push(rig.queen.submit(submission, "test", None).await.unwrap().job_id);
    }
    let given = Ant::new("ant", 1).poll(&rig.queen).await.assignments;
    assert_eq!([rig.state(&jobs[0]).await, rig.state(&jobs[1]).await], ["FAILED", "FAILED"]);
    assert_eq!(given.len(), 1, "the third job is given out with the same answer");
    assert_eq!(given[0].job_id, jobs[2]);
}
