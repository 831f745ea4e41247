//! Jobs over HTTP.

use reqwest::Method;
use serde_json::{Value, json};

use super::rig::TestServer;
use crate::queen::rig::{Ant, definition};

async fn with_flow() -> TestServer {
    let server = TestServer::start().await;
    let source = definition(
        "params:\n  Issue: {type: string, default: none}",
        &[
            ("first", "on_completed: second"),
            ("second", "on_completed: third"),
            ("third", ""),
            ("never", "dependencies: [third]"),
        ],
    );
    assert_eq!(server.upload(&source).await.status, 201);
    server
}

#[tokio::test]
async fn a_submitted_job_is_accepted_and_found() {
    let server = with_flow().await;
    for path in ["/api/v1/jobs", "/api/jobs/requests"] {
        let answer = server.post(path, &json!({"job_type": "flow", "params": {"Issue": "7"}})).await;
        assert_eq!(answer.status, 202);
        let id = answer.json()["job_id"].as_str().unwrap().to_owned();
        assert_eq!(answer.header("location"), format!("/api/v1/jobs/{id}"));
        assert_eq!(answer.json()["href"], answer.header("location"));
        let job = server.get(answer.header("location")).await.json();
        assert_eq!(
            (&job["job_id"], &job["params"]["Issue"], &job["submitted_by"]),
            (&json!(id), &json!("7"), &json!("api"))
        );
    }
    let found = server.post("/api/v1/jobs", &json!({"job_type": "flow", "params": {"Isue": 1}})).await.problem();
    assert!(found.starts_with("422 ") && found.contains("params.Isue"), "{found}");
    assert_eq!(
        server.post("/api/v1/jobs", &json!({"job_type": "none"})).await.problem(),
        "404 NOT_FOUND: definition none not found"
    );
}

#[tokio::test]
async fn an_idempotency_key_gives_the_same_job_again() {
    let server = with_flow().await;
    let submit = |key: &str, issue: &str| {
        let body = json!({"job_type": "flow", "params": {"Issue": issue}});
        server.request(Method::POST, "/api/v1/jobs").header("idempotency-key", key.to_owned()).json(&body)
    };
    let first = server.send(submit("k1", "1")).await.json();
    assert_eq!(server.send(submit("k1", "1")).await.json()["job_id"], first["job_id"]);
    assert_ne!(server.send(submit("k2", "1")).await.json()["job_id"], first["job_id"]);
    let other = server.send(submit("k1", "2")).await;
    assert_eq!(other.status, 422, "{other:?}");
    for bad in ["", "a b", &"k".repeat(256)] {
        assert_eq!(
            server.send(submit(bad, "1")).await.problem(),
            "400 BAD_REQUEST: Idempotency-Key must be 1 to 255 visible ASCII characters"
        );
    }
}

#[tokio::test]
async fn a_job_shows_tasks_in_order_of_first_start_with_attempts_and_routes() {
    let server = with_flow().await;
    let id = server.submit("flow").await;
    let before = server.get(&format!("/api/v1/jobs/{id}")).await;
    let names = |job: &Value| {
        job["tasks"].as_array().unwrap().iter().map(|t| t["task_type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&before.json()), ["first", "second", "third", "never"]);
    let mut ant = Ant::new("ant", 1).with_code("third", &[3]);
    ant.outputs.insert("first".to_owned(), [("answer".to_owned(), json!(42))].into_iter().collect());
    ant.artifacts.insert("first".to_owned(), vec![server.blob("plan.md", b"# plan").await]);
    ant.work(server.server.queen()).await;

    let job = server.get(&format!("/api/v1/jobs/{id}")).await.json();
    assert_eq!(job["state"], "FAILED", "{job:#}");
    assert_eq!(names(&job), ["first", "second", "third", "never"]);
    let first = &job["tasks"][0];
    assert_eq!(
        (&first["state"], &first["result"], &first["exit_code"], &first["route"], &first["outputs"]["answer"]),
        (&json!("COMPLETED"), &json!("COMPLETED"), &json!(0), &json!("second"), &json!(42))
    );
    assert_eq!(first["artifacts"][0]["name"], "plan.md");
    assert_eq!(first["attempt_list"][0]["number"], 1);
    let second = &job["tasks"][1];
    assert_eq!(second["attempt_list"][0]["routed_from"][0]["task"], "first");
    let third = &job["tasks"][2];
    assert_eq!((&third["state"], &third["exit_code"]), (&json!("FAILED"), &json!(3)));
    assert_eq!(third["error"]["code"], "EXIT_CODE");
    let never = &job["tasks"][3];
    assert_eq!(
        (&never["state"], &never["result"], &never["skip_reason"], &never["started_at"]),
        (&json!("SKIPPED"), &json!("upstream_failed"), &json!("upstream_failed"), &Value::Null)
    );
    let again = server.request(Method::GET, &format!("/api/v1/jobs/{id}"));
    let changed = server.send(again.header("if-none-match", before.header("etag"))).await;
    assert_eq!(changed.status, 200);
    for hostile in ["job_none", "..%2f..%2fetc", "%00", "a'%20OR%201=1"] {
        let answer = server.get(&format!("/api/v1/jobs/{hostile}")).await;
        assert!(answer.problem().starts_with("404 NOT_FOUND: job "), "{hostile}");
    }
}

#[tokio::test]
async fn jobs_are_listed_newest_first_filtered_and_in_pages() {
    let server = with_flow().await;
    server.upload(&definition("", &[("a", "")]).replace("flow", "other")).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(server.submit("flow").await.0);
    }
    let other = server.post("/api/v1/jobs", &json!({"job_type": "other", "user_key": "K-1"})).await.json();
    ids.push(other["job_id"].as_str().unwrap().to_owned());
    ids.reverse();
    let listed = async |query: &str| -> Vec<String> {
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = server.get(&format!("/api/v1/jobs?{query}{cursor}")).await.json();
            found.extend(page["items"].as_array().unwrap().iter().map(|j| j["job_id"].as_str().unwrap().to_owned()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return found,
            }
        }
    };
    assert_eq!(listed("limit=2").await, ids);
    assert_eq!(listed("limit=3").await, ids);
    assert_eq!(listed("job_type=flow&limit=1").await, ids[1..]);
    assert_eq!(listed("user_key=K-1").await, ids[..1]);
    assert_eq!(listed("text=k-1").await, ids[..1]);
    assert_eq!(listed("text=100%25%27").await, [""; 0]);
    let oldest = &ids[5];
    server.post(&format!("/api/v1/jobs/{oldest}/cancel"), &json!({})).await;
    assert_eq!(listed("state=CANCELLED&state=COMPLETED").await, ids[5..]);
    assert_eq!(listed("state=CANCELLED,COMPLETED").await, ids[5..]);
    let at = server.get(&format!("/api/v1/jobs/{}", ids[3])).await.json()["created_at"].as_str().unwrap().to_owned();
    assert_eq!(listed(&format!("created_after={at}&limit=2")).await, ids[..4]);
    assert_eq!(listed(&format!("created_before={at}")).await, ids[4..]);
}

#[tokio::test]
async fn commands_answer_with_the_state_afterwards() {
    let server = with_flow().await;
    let id = server.submit("flow").await;
    let command = async |verb: &str, body: Value| server.post(&format!("/api/v1/jobs/{id}/{verb}"), &body).await;
    let paused = command("pause", json!({})).await;
    assert_eq!((paused.status.as_u16(), &paused.json()["state"]), (202, &json!("PAUSED")));
    assert_ne!(command("resume", json!({})).await.json()["state"], "PAUSED");
    let found = command("retry", json!({})).await.problem();
    assert!(found.starts_with("409 "), "{found}");
    let bare = server.send(server.request(Method::POST, &format!("/api/v1/jobs/{id}/cancel"))).await;
    assert_eq!((bare.status.as_u16(), &bare.json()["state"]), (202, &json!("CANCELLED")));
    assert_eq!(command("cancel", json!({"reason": "again", "force": true})).await.status, 202, "cancel is idempotent");
    assert!(command("cancel", json!({"why": 1})).await.problem().contains("unknown field `why`"));
    assert!(command("pause", json!({"x": 1})).await.problem().contains("unknown field `x`"));
    assert!(command("rerun", json!({})).await.problem().contains("missing field `from`"));
    let unknown = command("rerun", json!({"from": "nowhere"})).await.problem();
    assert!(unknown.contains("nowhere"), "{unknown}");
    let rerun = command("rerun", json!({"from": "first"})).await;
    assert_eq!(rerun.status, 202, "{rerun:?}");
    assert_eq!(
        server.post("/api/v1/jobs/job_none/cancel", &json!({})).await.problem(),
        "404 NOT_FOUND: job job_none not found"
    );
}
