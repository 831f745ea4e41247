//! Accepting jobs, and refusing them.

use std::sync::Arc;
use std::time::Duration;

use atta_core::definition::Priority;
use atta_core::engine::JobState;
use atta_core::protocol::api::SubmitRequest;
use atta_core::time::{Clock, UnixMillis};
use atta_server::scheduler::{JobCommand, Refusal};
use serde_json::json;

use super::rig::{Ant, Rig, definition, request};

fn conflict(refusal: Refusal) -> (&'static str, String) {
    match refusal {
        Refusal::Duplicate { .. } => ("DUPLICATE_USER_KEY", refusal.to_string()),
        Refusal::Conflict { code, message } => (code, message),
        other => panic!("{other:?}"),
    }
}

fn invalid(refusal: Refusal) -> (&'static str, String, Vec<String>) {
    match refusal {
        Refusal::Invalid { code, message, violations } => {
            (code, message, violations.into_iter().map(|violation| violation.field).collect())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
pub(crate) async fn a_hundred_simultaneous_submits_with_one_user_key_make_one_job() {
    let rig = Rig::new().await;
    rig.upload(&definition("user_key: \"issue-{{ 7 }}\"", &[("a", "")])).await;
    let submits: Vec<_> = (0..100)
        .map(|_| {
            let queen = rig.queen.clone();
            tokio::spawn(async move { queen.submit(request("flow"), "test", None).await })
        })
        .collect();
    let mut accepted = Vec::new();
    let mut refused = Vec::new();
    for submit in submits {
        match submit.await.unwrap() {
            Ok(response) => accepted.push(response.job_id),
            Err(refusal) => refused.push(conflict(refusal)),
        }
    }
    assert_eq!(accepted.len(), 1);
    assert_eq!(refused.len(), 99);
    let (code, message) = &refused[0];
    assert_eq!(*code, "DUPLICATE_USER_KEY");
    assert_eq!(*message, format!("the user_key issue-7 is held by the job {}, which has not ended", accepted[0]));
    assert_eq!(rig.rows("SELECT count(*) FROM jobs").await, ["1"]);
    // A key is free again when its job has ended.
    Ant::new("ant", 1).work(&rig.queen).await;
    rig.submit("flow").await;
}

#[tokio::test]
pub(crate) async fn the_same_idempotency_key_gets_the_same_answer_and_another_body_is_refused() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("params: {N: {type: integer, default: 1}}", &[("a", "")])).await;
    let first = rig.queen.submit(request("flow"), "test", Some("key")).await.unwrap();
    Ant::new("ant", 1).work(&rig.queen).await;
    rig.restart().await;
    let again = rig.queen.submit(request("flow"), "test", Some("key")).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(rig.rows("SELECT count(*) FROM jobs").await, ["1"]);
    let other = SubmitRequest { params: [("N".to_owned(), json!(2))].into_iter().collect(), ..request("flow") };
    let (code, message, _) = invalid(rig.queen.submit(other, "test", Some("key")).await.unwrap_err());
    assert_eq!(code, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(message, "the Idempotency-Key key was used with another request; use a new key");
}

#[tokio::test]
pub(crate) async fn wrong_params_are_named_one_by_one() {
    let rig = Rig::new().await;
    rig.upload(&definition("params: {N: {type: integer}, S: {required: true}}", &[("a", "")])).await;
    let wrong = SubmitRequest {
        params: [("N".to_owned(), json!("x")), ("Z".to_owned(), json!(1))].into_iter().collect(),
        ..request("flow")
    };
    let (code, message, mut fields) = invalid(rig.queen.submit(wrong, "test", None).await.unwrap_err());
    fields.sort();
    assert_eq!((code, message.as_str()), ("INVALID_PARAMS", "3 params are not right"));
    assert_eq!(fields, ["params.N", "params.S", "params.Z"]);
    assert_eq!(rig.rows("SELECT count(*) FROM jobs").await, ["0"]);
}

#[tokio::test]
pub(crate) async fn unknown_and_disabled_definitions_and_versions_are_refused() {
    let rig = Rig::new().await;
    let missing = rig.queen.submit(request("nothing"), "test", None).await.unwrap_err();
    assert_eq!(missing.to_string(), "definition nothing not found");
    rig.upload(&definition("", &[("a", "")])).await;
    let pinned = SubmitRequest { version: Some("9.9.9".to_owned()), ..request("flow") };
    let missing = rig.queen.submit(pinned, "test", None).await.unwrap_err();
    assert_eq!(missing.to_string(), "version 9.9.9 of definition flow not found");
    rig.queen.set_enabled("flow", false).await.unwrap();
    let (code, message) = conflict(rig.queen.submit(request("flow"), "test", None).await.unwrap_err());
    assert_eq!((code, message.as_str()), ("DEFINITION_DISABLED", "definition flow is disabled; enable it first"));
    rig.queen.set_enabled("flow", true).await.unwrap();
    rig.submit("flow").await;
}

#[tokio::test]
pub(crate) async fn versions_are_pinned_by_semantic_version_and_by_content() {
    let rig = Rig::new().await;
    let old = rig.queen.upload_definition("a.yaml", &definition("version: 1.0.0", &[("old", "")])).await.unwrap();
    let new = rig.queen.upload_definition("a.yaml", &definition("version: 2.0.0", &[("new", "")])).await.unwrap();
    assert_eq!((old.versions, new.versions), (1, 2));
    assert_ne!(old.version, new.version);
    let again = rig.queen.upload_definition("a.yaml", &definition("version: 2.0.0", &[("new", "")])).await.unwrap();
    assert_eq!(again, new);
    let mut ant = Ant::new("ant", 1);
    for version in [None, Some("1.0.0".to_owned()), Some(old.version)] {
        rig.queen.submit(SubmitRequest { version, ..request("flow") }, "test", None).await.unwrap();
        ant.work(&rig.queen).await;
    }
    assert_eq!(ant.tasks_seen(), ["new", "old", "old"]);
}

#[tokio::test]
pub(crate) async fn a_bad_definition_is_refused_with_places() {
    let rig = Rig::new().await;
    let source = "job_type: flow\ntasks:\n  - task_type: a\n    script: [x]\n    on_completed: nowhere\n";
    let (code, message, fields) = invalid(rig.queen.upload_definition("f.yaml", source).await.unwrap_err());
    assert_eq!(code, "INVALID_DEFINITION");
    assert!(message.starts_with("the definition has a problem: f.yaml:5:"), "{message}");
    assert_eq!(fields.len(), 1);
    assert_eq!(rig.rows("SELECT count(*) FROM definitions").await, ["0"]);
}

#[tokio::test]
pub(crate) async fn a_job_does_not_start_before_scheduled_at() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    let at = UnixMillis(rig.clock.now().0 + 60_000).to_rfc3339();
    let later = SubmitRequest { scheduled_at: Some(at.clone()), ..request("flow") };
    let response = rig.queen.submit(later, "test", None).await.unwrap();
    assert_eq!(response.state, JobState::Pending);
    assert_eq!(rig.reason(&response.job_id).await, format!("scheduled for {at}"));
    rig.advance(Duration::from_secs(59)).await;
    assert_eq!(rig.state(&response.job_id).await, "PENDING");
    rig.restart().await;
    assert_eq!(rig.state(&response.job_id).await, "PENDING");
    rig.advance(Duration::from_secs(1)).await;
    assert_eq!(rig.state(&response.job_id).await, "RUNNING");
    let wrong = SubmitRequest { scheduled_at: Some("tomorrow".to_owned()), ..request("flow") };
    let (_, message, fields) = invalid(rig.queen.submit(wrong, "test", None).await.unwrap_err());
    assert!(message.starts_with("scheduled_at must be an instant such as 2026-01-31T08:00:00Z"), "{message}");
    assert_eq!(fields, ["scheduled_at"]);
}

#[tokio::test]
pub(crate) async fn skip_if_skips_with_its_reason_and_fails_closed() {
    let rig = Rig::new().await;
    let source = definition(
        "params: {N: {type: integer, default: 0}}\nskip_if: \"{{ 'nothing to do' if N == 1 else (1 // 0 if N == 2 else '') }}\"",
        &[("a", "")],
    );
    rig.upload(&source).await;
    let with = |n: i64| SubmitRequest { params: [("N".to_owned(), json!(n))].into_iter().collect(), ..request("flow") };
    let skipped = rig.queen.submit(with(1), "test", None).await.unwrap();
    assert_eq!(skipped.state, JobState::Skipped);
    assert!(rig.reason(&skipped.job_id).await.contains("nothing to do"));
    assert_eq!(rig.tasks(&skipped.job_id).await, Vec::<String>::new());
    let broken = rig.queen.submit(with(2), "test", None).await.unwrap();
    assert_eq!(broken.state, JobState::Skipped);
    assert!(rig.reason(&broken.job_id).await.contains("skip_if (line 3)"), "{}", rig.reason(&broken.job_id).await);
    assert!(rig.rows("SELECT degraded FROM definitions").await[0].starts_with("skip_if (line 3)"));
    let good = rig.queen.submit(with(0), "test", None).await.unwrap();
    assert_eq!(good.state, JobState::Running);
    assert_eq!(rig.rows("SELECT degraded FROM definitions").await, ["-"]);
}

#[tokio::test]
pub(crate) async fn count_jobs_sees_the_jobs_of_the_same_batch() {
    let rig = Rig::new().await;
    rig.upload(&definition("skip_if: \"{{ count_jobs('flow', 'RUNNING') >= 2 }}\"", &[("a", "")])).await;
    let queen = Arc::new(rig.queen.clone());
    let submits: Vec<_> = (0..5)
        .map(|_| {
            let queen = queen.clone();
            tokio::spawn(async move { queen.submit(request("flow"), "test", None).await.unwrap().state })
        })
        .collect();
    let mut states = Vec::new();
    for submit in submits {
        states.push(submit.await.unwrap());
    }
    assert_eq!(states.iter().filter(|state| **state == JobState::Running).count(), 2);
    assert_eq!(states.iter().filter(|state| **state == JobState::Skipped).count(), 3);
}

#[tokio::test]
pub(crate) async fn max_concurrency_one_means_one_and_the_others_wait_in_order() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("max_concurrency: 1", &[("a", "")])).await;
    let first = rig.submit("flow").await;
    let second = rig.submit("flow").await;
    let urgent = SubmitRequest { priority: Some(Priority::Critical), ..request("flow") };
    let third = rig.queen.submit(urgent, "test", None).await.unwrap().job_id;
    assert_eq!(rig.reason(&second).await, "waits for max_concurrency 1");
    let states =
        async |rig: &Rig| [rig.state(&first).await, rig.state(&second).await, rig.state(&third).await].join(" ");
    assert_eq!(states(&rig).await, "RUNNING PENDING PENDING");
    rig.restart().await;
    assert_eq!(states(&rig).await, "RUNNING PENDING PENDING");
    let mut ant = Ant::new("ant", 4);
    let work = ant.poll(&rig.queen).await.assignments;
    assert_eq!(work.len(), 1);
    ant.finish(&rig.queen, &work[0]).await;
    assert_eq!(states(&rig).await, "COMPLETED PENDING RUNNING");
    rig.queen.command(&third, JobCommand::Cancel { reason: "enough".to_owned(), force: false }).await.unwrap();
    let stopped = ant.seen[1].clone();
    let next = ant.finish(&rig.queen, &stopped).await.assignments;
    assert_eq!(states(&rig).await, "COMPLETED RUNNING CANCELLED");
    ant.finish(&rig.queen, &next[0]).await;
    assert_eq!(states(&rig).await, "COMPLETED COMPLETED CANCELLED");
}

#[tokio::test]
pub(crate) async fn a_job_in_line_starts_when_one_of_an_unlimited_version_ends() {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    let unlimited = rig.submit("flow").await;
    rig.upload(&definition("max_concurrency: 1", &[("a", "")])).await;
    let limited = rig.submit("flow").await;
    assert_eq!(rig.state(&limited).await, "PENDING");
    Ant::new("ant", 1).work(&rig.queen).await;
    assert_eq!([rig.state(&unlimited).await, rig.state(&limited).await], ["COMPLETED", "COMPLETED"]);
}

#[tokio::test]
pub(crate) async fn a_user_key_passes_from_a_job_that_ends_to_one_that_begins_in_the_same_batch() {
    let rig = Rig::new().await;
    rig.upload(&definition("user_key: issue-1", &[("a", "")])).await;
    let first = rig.submit("flow").await;
    let cancel = JobCommand::Cancel { reason: "again".to_owned(), force: false };
    let (cancelled, second) =
        tokio::join!(rig.queen.command(&first, cancel), rig.queen.submit(request("flow"), "test", None));
    assert_eq!(cancelled.unwrap(), JobState::Cancelled);
    let second = second.unwrap().job_id;
    // And back again: the older row takes the key that the newer one gives up.
    let cancel = JobCommand::Cancel { reason: "again".to_owned(), force: false };
    let (cancelled, retried) =
        tokio::join!(rig.queen.command(&second, cancel), rig.queen.command(&first, JobCommand::RetryFailed));
    assert_eq!([cancelled.unwrap(), retried.unwrap()], [JobState::Cancelled, JobState::Running]);
    assert_eq!(rig.queen.health(), Ok(()));
}
