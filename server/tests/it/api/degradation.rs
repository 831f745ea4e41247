//! Degradation by hand, and what health says about it and about the parts of the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use atta_core::protocol::api::DegradationResource;
use atta_core::time::{Clock, UnixMillis};
use reqwest::Method;
use serde_json::{Value, json};

use super::rig::{LOOPBACK, TestServer, config};
use crate::queen::rig::{Ant, definition};

async fn put(server: &TestServer, body: Value) -> super::rig::Answer {
    server.send(server.request(Method::PUT, "/api/v1/degradation").json(&body)).await
}

#[tokio::test]
async fn a_tier_that_is_set_by_hand_holds_over_a_restart_until_it_is_taken_back() {
    let server = TestServer::start().await;
    server.upload(&definition("", &[("work", "")])).await;
    let set = put(&server, json!({"tier": "FINISH", "reason": "new disks"})).await.json();
    assert_eq!((&set["tier"], &set["reason"]), (&json!("FINISH"), &json!("set by hand: new disks")));
    let job = server.submit("flow").await;
    let waiting = server.get(&format!("/api/v1/jobs/{job}")).await.json();
    assert_eq!(waiting["state"], "PENDING");
    assert_eq!(waiting["reason"], "waits: the server begins no new jobs at present (set by hand: new disks)");
    let deep = server.get("/health/deep").await;
    assert_eq!((deep.status.as_u16(), &deep.json()["degradation"]["tier"]), (200, &json!("FINISH")));
    server.server.shutdown().await;

    let dir = server.dir;
    let config = config(dir.path(), Some(LOOPBACK));
    let server = TestServer::with(dir, config).await.unwrap();
    let mut ant = Ant::new("ant", 1);
    ant.work(server.server.queen()).await;
    assert_eq!(server.get(&format!("/api/v1/jobs/{job}")).await.json()["state"], "PENDING");
    let released = server.send(server.request(Method::DELETE, "/api/v1/degradation")).await.json();
    let released: DegradationResource = serde_json::from_value(released).unwrap();
    assert!(released.tier == atta_core::resilience::Tier::Normal && !released.by_hand);
    ant.work(server.server.queen()).await;
    assert_eq!(server.get(&format!("/api/v1/jobs/{job}")).await.json()["state"], "COMPLETED");
    server.server.shutdown().await;
}

#[tokio::test]
async fn a_note_that_cannot_be_read_keeps_no_server_from_starting_and_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("degradation.json"), "").unwrap();
    let config = config(dir.path(), Some(LOOPBACK));
    let server = TestServer::with(dir, config).await.unwrap();
    assert_eq!(server.get("/health/ready").await.status, 200);
    let shown = server.get("/api/v1/degradation").await.json();
    assert_eq!((&shown["tier"], &shown["by_hand"]), (&json!("NORMAL"), &json!(false)));
    put(&server, json!({"tier": "SHED", "reason": "again"})).await;
    let kept = std::fs::read_to_string(server.dir.path().join("degradation.json")).unwrap();
    assert!(kept.contains("SHED"), "{kept}");
    server.server.shutdown().await;
}

#[tokio::test]
async fn a_tier_that_does_not_exist_is_refused() {
    let server = TestServer::start().await;
    let refused = put(&server, json!({"tier": "SOME"})).await;
    assert!(refused.status.is_client_error() && refused.problem().contains("SOME"), "{refused:?}");
    server.server.shutdown().await;
}

#[tokio::test]
async fn health_lists_the_parts_of_the_server() {
    let server = TestServer::start().await;
    let deep = server.get("/health/deep").await.json();
    let parts: Vec<&str> =
        deep["components"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(parts, ["writer", "logs", "notifier", "sweeper", "regulator", "http"]);
    assert!(deep["components"].as_array().unwrap().iter().all(|one| one["state"] == "RUNNING"), "{deep:#}");
    // Those who need not prove who they are hear nothing of it.
    let ready = server.get("/health/ready").await.json();
    assert!(ready.get("components").is_none() && ready.get("degradation").is_none());
    server.server.shutdown().await;
}

/// Breaks once, when it is told to.
struct Breaking(Arc<AtomicBool>, AtomicI64);

impl Clock for Breaking {
    fn now(&self) -> UnixMillis {
        assert!(!self.0.swap(false, Ordering::SeqCst), "the clock is broken");
        UnixMillis(self.1.fetch_add(1, Ordering::SeqCst))
    }
}

#[tokio::test]
async fn a_writer_that_panics_is_not_begun_anew_and_everybody_hears_why() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path(), Some(LOOPBACK));
    let breaks = Arc::new(AtomicBool::new(false));
    config.clock = Arc::new(Breaking(Arc::clone(&breaks), AtomicI64::new(1_767_571_200_000)));
    let server = TestServer::with(dir, config).await.unwrap();
    breaks.store(true, Ordering::SeqCst);
    assert!(server.server.queen().ants().await.is_err());
    let why = "writer failed and cannot be begun anew safely: the clock is broken";
    assert_eq!(server.server.lost().await, why);
    assert_eq!(server.get("/health/live").await.status, 200, "the process still answers");
    assert_eq!(server.get("/health/ready").await.status, 503);
    let deep = server.get("/health/deep").await;
    let writer = &deep.json()["components"][0];
    assert_eq!((deep.status.as_u16(), &writer["state"], &writer["last_error"]), (503, &json!("FAILED"), &json!(why)));
    server.server.shutdown().await;
}
