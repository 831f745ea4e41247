//! History and its streams.

use atta_core::protocol::access::{Role, TokenRequest};
use atta_server::auth::AuthMode;
use reqwest::Method;
use serde_json::{Value, json};

use super::rig::{LOOPBACK, TestServer, config};
use crate::queen::rig::{Ant, definition};

async fn finished_job() -> (TestServer, String) {
    let server = TestServer::start().await;
    server.upload(&definition("", &[("a", ""), ("b", "dependencies: [a]")])).await;
    let id = server.submit("flow").await.0;
    Ant::new("ant", 1).work(server.server.queen()).await;
    (server, id)
}

#[tokio::test]
async fn history_names_tasks_and_pages_do_not_lose_lines() {
    let (server, id) = finished_job().await;
    let all = server.get(&format!("/api/v1/jobs/{id}/events?limit=500")).await.json();
    let all = all["items"].as_array().unwrap();
    assert!(all.len() > 10, "{all:#?}");
    assert!(all.iter().any(|e| e["kind"] == "task_changed" && e["data"]["task"] == "b"), "{all:#?}");
    assert_eq!(all.last().unwrap()["kind"], "job_finished", "{all:#?}");
    for limit in [1, 2, 7] {
        let mut paged: Vec<Value> = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = server.get(&format!("/api/v1/jobs/{id}/events?limit={limit}{cursor}")).await.json();
            assert!(page["items"].as_array().unwrap().len() <= limit);
            paged.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(&paged, all, "limit {limit}");
    }
    assert_eq!(server.get("/api/v1/jobs/x/events").await.problem(), "404 NOT_FOUND: job x not found");
}

#[tokio::test]
async fn history_can_be_read_from_its_end() {
    let (server, id) = finished_job().await;
    let path = format!("/api/v1/jobs/{id}/events");
    let mut all =
        server.get(&format!("{path}?limit=500&order=oldest")).await.json()["items"].as_array().unwrap().clone();
    assert_eq!(all, *server.get(&format!("{path}?limit=500")).await.json()["items"].as_array().unwrap());
    assert!(all.len() > 10, "{all:#?}");
    all.reverse();
    for limit in [1, 2, 7, 500] {
        let mut paged: Vec<Value> = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = server.get(&format!("{path}?order=newest&limit={limit}{cursor}")).await.json();
            paged.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(paged, all, "limit {limit}");
    }
    for (order, other) in [("newest", "oldest"), ("oldest", "newest")] {
        let page = server.get(&format!("{path}?limit=2&order={order}")).await.json();
        let cursor = page["next_cursor"].as_str().unwrap();
        let problem = server.get(&format!("{path}?limit=2&order={other}&cursor={cursor}")).await.problem();
        assert!(problem.starts_with("400 BAD_CURSOR: "), "{problem}");
        assert!(problem.contains("it belongs to another list or to other filters"), "{problem}");
    }
    assert_eq!(
        server.get(&format!("{path}?order=best")).await.problem(),
        "400 BAD_QUERY: the request's query is not valid (order: order \"best\": oldest or newest is expected)"
    );
}

#[tokio::test]
async fn a_stream_resumes_after_the_last_id_and_ends_with_the_job() {
    let (server, id) = finished_job().await;
    let request = || server.request(Method::GET, &format!("/api/v1/jobs/{id}/events/stream"));
    let all = server.stream(request(), |_| false).await;
    assert_eq!(all.last().unwrap().0, "end");
    let resume_at = all.iter().position(|(_, id, _)| !id.is_empty()).unwrap();
    let last_id = all[resume_at].1.clone();
    let rest = server.stream(request().header("last-event-id", &last_id), |_| false).await;
    assert_eq!(rest, all[resume_at + 1..]);
    let path = format!("/api/v1/jobs/{id}/events/stream?after={last_id}");
    assert_eq!(server.stream(server.request(Method::GET, &path), |_| false).await, rest);
    let sequences: Vec<i64> = all
        .iter()
        .filter(|(kind, ..)| kind != "end")
        .map(|(kind, _, data)| {
            let line: Value = serde_json::from_str(data).unwrap();
            assert_eq!(line["kind"], *kind);
            line["sequence"].as_i64().unwrap()
        })
        .collect();
    assert!(sequences.is_sorted());
    let bad = server.send(request().header("last-event-id", "x")).await;
    assert_eq!(bad.problem(), "400 BAD_REQUEST: Last-Event-ID must be the id of a message of this stream");
    assert!(
        server.get(&format!("/api/v1/jobs/{id}/events/stream?after=-1")).await.problem().contains("sequence number")
    );
    assert_eq!(server.get("/api/v1/jobs/x/events/stream").await.problem(), "404 NOT_FOUND: job x not found");
}

#[tokio::test]
async fn streams_wake_when_something_happens() {
    let server = TestServer::start().await;
    server.upload(&definition("", &[("a", "")])).await;
    let id = server.submit("flow").await.0;
    let path = format!("/api/v1/jobs/{id}/events/stream");
    let of_job = server.stream(server.request(Method::GET, &path), |_| false);
    let of_all = server.stream(server.request(Method::GET, "/api/v1/events/stream?after=0"), |seen| {
        seen.iter().any(|(kind, ..)| kind == "job_finished")
    });
    let work = async {
        // Both streams are open by now, or find everything in the history: either way they must come to their end.
        server.post(&format!("/api/v1/jobs/{id}/cancel"), &json!({"reason": "enough"})).await
    };
    let (of_job, of_all, _) = tokio::join!(of_job, of_all, work);
    assert_eq!(of_job.last().unwrap().0, "end");
    assert!(of_all.iter().any(|(_, _, data)| data.contains("enough")), "{of_all:?}");
}

#[tokio::test]
async fn what_changes_without_an_event_is_told_by_its_topic() {
    let server = TestServer::start().await;
    for topic in ["definitions", "jobs", "ants", "configs"] {
        let request = server.request(Method::GET, "/api/v1/events/stream");
        let told = format!("\"{topic}\"");
        let seen =
            server.stream(request, |seen| seen.iter().any(|(kind, _, data)| kind == "changed" && data.contains(&told)));
        // Until the stream is open nobody is told anything.
        let work = async {
            for number in 0_u32.. {
                match topic {
                    "definitions" => {
                        let other = definition(&format!("description: no. {number}"), &[("a", "")]);
                        server.upload(&other).await;
                    }
                    "jobs" => {
                        let later = json!({"job_type": "flow", "scheduled_at": "2099-01-01T00:00:00Z"});
                        assert_eq!(server.post("/api/v1/jobs", &later).await.status.as_u16(), 202);
                    }
                    "ants" => drop(Ant::new(&format!("ant-{number}"), 1).poll(server.server.queen()).await),
                    _ => {
                        let value = json!({"value": number.to_string()});
                        let put = server.request(Method::PUT, "/api/v1/configs/Name").json(&value);
                        let answer = server.send(put).await;
                        assert!(answer.status.is_success(), "{}", answer.problem());
                    }
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let seen = tokio::select! {
            seen = seen => seen,
            () = work => unreachable!("it goes on"),
        };
        let changed: Vec<_> = seen.iter().filter(|(kind, ..)| kind == "changed").collect();
        assert!(changed.iter().all(|(_, id, _)| id.is_empty()), "nothing to go on behind: {seen:?}");
        let last: Value = serde_json::from_str(&changed.last().unwrap().2).unwrap();
        assert_eq!(last["topics"], json!([topic]));
    }
}

#[tokio::test]
async fn what_somebody_with_a_token_does_is_told_as_a_change_of_the_audit() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path(), Some(LOOPBACK));
    config.auth = AuthMode::Required;
    let server = TestServer::with(dir, config).await.unwrap();
    let (name, role) = ("root".to_owned(), Role::Admin);
    let request = TokenRequest { name, role, user: None, expires_in: None, ant: None, tags: None };
    let made = server.server.queen().create_token(request, "the test").await.unwrap();
    let token = made.value.reveal();
    let request = server.request(Method::GET, "/api/v1/events/stream").bearer_auth(token);
    let audit = |(kind, _, data): &(String, String, String)| kind == "changed" && data.contains("\"audit\"");
    // The change itself is told each time: whoever does not hear of the audit by then never does.
    let seen = server.stream(request, |seen| seen.len() > 20 || seen.iter().any(audit));
    let work = async {
        for number in 0_u32.. {
            let put = server.request(Method::PUT, "/api/v1/configs/Name").bearer_auth(token);
            let answer = server.send(put.json(&json!({"value": number.to_string()}))).await;
            assert!(answer.status.is_success(), "{}", answer.problem());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let seen = tokio::select! {
        seen = seen => seen,
        () = work => unreachable!("it goes on"),
    };
    assert!(seen.iter().any(audit), "{seen:?}");
}

#[tokio::test]
async fn a_job_none_of_whose_tasks_has_begun_says_what_the_first_one_waits_for() {
    let server = TestServer::start().await;
    server.upload(&definition("", &[("a", "tags: [gpu]")])).await;
    let id = server.submit("flow").await.0;
    let reason = async |tags: &[&str]| {
        let mut ant = Ant::new("ant", 1);
        ant.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let mut given = ant.poll(server.server.queen()).await.assignments;
        if let Some(work) = given.pop() {
            ant.start(server.server.queen(), &work).await;
            ant.poll(server.server.queen()).await;
        }
        let list = server.get("/api/v1/jobs").await.json()["items"][0]["reason"].clone();
        assert_eq!(server.get(&format!("/api/v1/jobs/{id}")).await.json()["reason"], list);
        list
    };
    let listed = server.get("/api/v1/jobs").await.json();
    assert_eq!(listed["items"][0]["reason"], "waits for an ant: none is connected");
    assert_eq!(reason(&[]).await, "waits for an ant with the tag gpu: no connected ant has it");
    assert_eq!(reason(&["gpu"]).await, Value::Null);
}
