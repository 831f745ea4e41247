//! What is not kept any longer: artifacts that expire, jobs after their retention.

use std::time::Duration;

use atta_core::definition::Retention;
use atta_core::protocol::JobId;
use atta_server::artifacts::Removal;

use super::rig::TestServer;
use crate::queen::rig::{Ant, definition};

/// A finished job with a log and an artifact of two names of the same content.
async fn finished(server: &TestServer, head: &str, options: &str) -> JobId {
    server.upload(&definition(head, &[("a", options)])).await;
    let id = server.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    ant.artifacts.insert("a".to_owned(), vec![server.blob("plan.md", b"# plan").await]);
    ant.work(server.server.queen()).await;
    id
}

async fn stored(server: &TestServer, content: &[u8]) -> bool {
    let digest = atta_core::protocol::Digest(blake3::hash(content).to_hex().to_string());
    server.server.artifacts().contains(&digest).await.unwrap()
}

/// Waits for something that the server does by itself.
async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !look().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(50), wait).await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}

#[tokio::test]
async fn a_job_goes_with_everything_when_its_time_is_over() {
    let server = TestServer::keeping(Duration::ZERO).await;
    let id = finished(&server, "retention: {completed: 1ms}", "").await;
    until("the job is gone", async || server.get(&format!("/api/v1/jobs/{id}")).await.status.as_u16() == 404).await;
    until("its content is gone", async || !stored(&server, b"# plan").await).await;
    assert_eq!(server.get("/api/v1/jobs").await.json()["items"], serde_json::json!([]));
}

#[tokio::test]
async fn a_content_that_another_job_names_stays() {
    let server = TestServer::keeping(Duration::ZERO).await;
    let kept = finished(&server, "", "").await;
    let gone = finished(&server, "retention: 1ms", "").await;
    until("the job is gone", async || server.get(&format!("/api/v1/jobs/{gone}")).await.status.as_u16() == 404).await;
    until("nothing is left to do", async || server.server.queen().sweep(Retention::default()).await.is_ok()).await;
    let answer = server.get(&format!("/api/v1/jobs/{kept}/tasks/a/artifacts/plan.md")).await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"# plan"[..]));
}

#[tokio::test]
async fn an_expired_artifact_stays_listed_and_is_gone() {
    let server = TestServer::keeping(Duration::ZERO).await;
    let id = finished(&server, "", "artifacts: {paths: [plan.md], name: docs, expire_after: 1ms}").await;
    let list = async || server.get(&format!("/api/v1/jobs/{id}/artifacts")).await.json()["items"][0].clone();
    until("it has expired", async || list().await["expired_at"].is_string()).await;
    assert_eq!((&list().await["name"], &list().await["group"]), (&"plan.md".into(), &"docs".into()));
    let answer = server.get(&format!("/api/v1/jobs/{id}/tasks/a/artifacts/plan.md")).await.problem();
    assert!(answer.starts_with("410 ARTIFACT_EXPIRED: the artifact \"plan.md\" expired at 2026-"), "{answer}");
    until("its content is gone", async || !stored(&server, b"# plan").await).await;
}

#[tokio::test]
async fn a_live_job_and_what_is_not_over_stay() {
    let server = TestServer::keeping(Duration::ZERO).await;
    let ended = finished(&server, "retention: 30d", "").await;
    server.upload(&definition("retention: 1ms", &[("a", "")])).await;
    let live = server.submit("flow").await;
    let swept = server.server.queen().sweep(Retention::default()).await.unwrap();
    assert_eq!((swept.jobs, swept.artifacts), (0, 0));
    for id in [live, ended] {
        assert_eq!(server.get(&format!("/api/v1/jobs/{id}")).await.status.as_u16(), 200);
    }
}

#[tokio::test]
async fn a_content_that_was_stored_lately_is_not_removed() {
    let server = TestServer::start().await;
    let file = server.blob("plan.md", b"# plan").await;
    let artifacts = server.server.artifacts();
    assert_eq!(artifacts.remove(&file.digest, Duration::from_hours(1)).await.unwrap(), Removal::TooNew);
    assert!(artifacts.contains(&file.digest).await.unwrap(), "an artifact may be about to name it");
    assert_eq!(artifacts.remove(&file.digest, Duration::ZERO).await.unwrap(), Removal::Gone);
    assert_eq!(artifacts.remove(&file.digest, Duration::ZERO).await.unwrap(), Removal::Gone, "twice is no error");
    assert!(!artifacts.contains(&file.digest).await.unwrap());
}

#[tokio::test]
async fn a_task_lets_old_artifacts_expire_and_counts_them() {
    let server = TestServer::start().await;
    let id = finished(&server, "", "").await;
    let sweep = "job_type: sweep\ntasks:\n- {task_type: s, method: EXPIRE_ARTIFACTS, expire: {older_than: 1ms, job_types: [flow]}}\n";
    server.upload(sweep).await;
    let sweeper = server.submit("sweep").await;
    until("it has run", async || server.get(&format!("/api/v1/jobs/{sweeper}")).await.json()["state"] == "COMPLETED")
        .await;
    let outputs = server.get(&format!("/api/v1/jobs/{sweeper}")).await.json()["tasks"][0]["outputs"].clone();
    assert_eq!(outputs, serde_json::json!({"artifacts": 1, "bytes": 6, "more": false}));
    let answer = server.get(&format!("/api/v1/jobs/{id}/tasks/a/artifacts/plan.md")).await;
    assert_eq!(answer.status.as_u16(), 410);
}

#[tokio::test]
async fn nothing_is_removed_while_a_backup_is_made() {
    let server = TestServer::keeping(Duration::ZERO).await;
    let lock = std::fs::File::options().create(true).append(true).open(server.dir.path().join("backup.lock")).unwrap();
    lock.lock_shared().unwrap();
    // The second one goes only after everything that belongs to the first one was looked at.
    for _ in 0..2 {
        let gone = finished(&server, "retention: {completed: 1ms}", "").await;
        until("the job is gone", async || server.get(&format!("/api/v1/jobs/{gone}")).await.status.as_u16() == 404)
            .await;
        assert!(stored(&server, b"# plan").await);
    }
    drop(lock);
    finished(&server, "retention: {completed: 1ms}", "").await;
    until("its content is gone", async || !stored(&server, b"# plan").await).await;
}

#[tokio::test]
async fn a_content_that_no_report_has_named_is_removed_once_it_is_old_and_an_artifact_stays() {
    let server = TestServer::start().await;
    server.upload(&definition("", &[("a", "retry: 1")])).await;
    let id = server.submit("flow").await.0;
    let kept = server.blob("plan.md", b"# plan").await;
    // Its attempt was lost, or taken away, before it could report: nobody sees it.
    let lost = server.blob("lost.md", b"# lost").await;
    let mut ant = Ant::new("ant", 1);
    ant.artifacts.insert("a".to_owned(), vec![kept.clone()]);
    ant.work(server.server.queen()).await;
    let shown = server.get(&format!("/api/v1/jobs/{id}/artifacts")).await.json();
    assert_eq!(shown["items"].as_array().unwrap().len(), 1, "{shown:#}");
    server.server.shutdown().await;
    let mut config = super::rig::config(server.dir.path(), Some(super::rig::LOOPBACK));
    config.keeping.stored_lately = Duration::ZERO;
    let again = TestServer::with(server.dir, config).await.unwrap();
    let file = |digest: &str| again.dir.path().join("artifacts").join(&digest[..2]).join(&digest[2..]);
    until("the content is gone", async || !file(&lost.digest.0).exists()).await;
    assert!(file(&kept.digest.0).exists());
    let content = again.get(&format!("/api/v1/jobs/{id}/attempts/1/artifacts/plan.md")).await;
    assert_eq!(content.body, b"# plan");
}
