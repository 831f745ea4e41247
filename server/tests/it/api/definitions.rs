//! Definitions over HTTP.

use reqwest::Method;
use serde_json::json;

use super::rig::TestServer;

const ONE: &str = "job_type: one\ntasks:\n  - task_type: a\n    script: [\"true\"]\n";

#[tokio::test]
async fn an_upload_is_new_once_and_the_same_afterwards() {
    let server = TestServer::start().await;
    let first = server.upload(ONE).await;
    assert_eq!((first.status.as_u16(), first.header("location")), (201, "/api/v1/definitions/one"));
    let second = server.upload(ONE).await;
    assert_eq!((second.status.as_u16(), second.json()["versions"].as_u64()), (200, Some(1)));
    let third = server.upload(&format!("version: 1.2.3\n{ONE}")).await;
    assert_eq!((third.status.as_u16(), third.json()["versions"].as_u64()), (201, Some(2)));
    let short = server.request(Method::POST, "/api/jobs/definitions").body(ONE.replace("one", "two"));
    assert_eq!(server.send(short.header("content-type", "application/yaml")).await.status, 201);

    let versions = server.get("/api/v1/definitions/one/versions").await.json();
    assert_eq!(versions["items"][0]["semver"], "1.2.3");
    assert_eq!(versions["items"].as_array().unwrap().len(), 2);
    let page = server.get("/api/v1/definitions/one/versions?limit=1").await.json();
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = server.get(&format!("/api/v1/definitions/one/versions?limit=1&cursor={cursor}")).await.json();
    assert_eq!(rest["items"], json!([versions["items"][1]]));
    assert_eq!(rest.get("next_cursor"), None);
    for version in [versions["items"][0]["version"].as_str().unwrap(), "1.2.3"] {
        let found = server.get(&format!("/api/v1/definitions/one/versions/{version}")).await.json();
        assert_eq!(found["source"], format!("version: 1.2.3\n{ONE}"));
    }
    assert_eq!(
        server.get("/api/v1/definitions/one/versions/9").await.problem(),
        "404 NOT_FOUND: version 9 of definition one not found"
    );
}

#[tokio::test]
async fn problems_of_a_definition_are_listed_with_their_places() {
    let server = TestServer::start().await;
    let answer = server.upload("job_type: one\ntasks:\n  - task_typ: a\n    script: [\"true\"]\n").await;
    assert_eq!(answer.status, 422);
    let found = answer.problem();
    assert!(found.contains("definition.yaml:3:5: "), "{found}");
    assert!(found.contains("task_type"), "{found}");
    let named = server.request(Method::POST, "/api/v1/definitions?file=ci%2Fa.yaml").body("a: b");
    assert!(server.send(named).await.problem().contains("ci/a.yaml:1:1"));
    let binary = server.request(Method::POST, "/api/v1/definitions").body(vec![0xff, 0xfe, 0x00]);
    assert_eq!(server.send(binary).await.status, 422);
    let large = format!("{ONE}# {}", "x".repeat(5 * 1024 * 1024));
    let found = server.upload(&large).await.problem();
    assert!(found.starts_with("422 ") && found.contains("bytes, and a definition may have"), "{found}");
    let larger = server.upload(&"x".repeat(9 * 1024 * 1024)).await;
    assert_eq!(larger.problem(), "413 TOO_LARGE: the request's body may have 8388608 bytes");
    assert_eq!(server.get("/api/v1/definitions").await.json(), json!({"items": []}), "nothing was stored");
}

#[tokio::test]
async fn validating_stores_nothing() {
    let server = TestServer::start().await;
    let validate = async |source: &str| {
        server.send(server.request(Method::POST, "/api/v1/definitions:validate").body(source.to_owned())).await.json()
    };
    let report = validate(&format!("cron_trigger: \"0 12 * * 1\"\n{ONE}")).await;
    assert_eq!((&report["valid"], &report["job_type"], &report["tasks"]), (&json!(true), &json!("one"), &json!(1)));
    assert_eq!(report["next_runs"].as_array().unwrap().len(), 5);
    assert!(report["schedule"].is_string());
    let report = validate("job_type: one\ntasks: []\n").await;
    assert_eq!(report["valid"], false);
    assert!(report["errors"][0]["field"].as_str().unwrap().starts_with("definition.yaml:2:"), "{report}");
    assert_eq!(server.get("/api/v1/definitions/one").await.problem(), "404 NOT_FOUND: definition one not found");
}

#[tokio::test]
async fn definitions_are_listed_by_name_and_say_whether_they_changed() {
    let server = TestServer::start().await;
    for name in ["b", "a", "c"] {
        server.upload(&ONE.replace("one", name)).await;
    }
    let page = server.get("/api/v1/definitions?limit=2").await;
    let names = |json: &serde_json::Value| {
        json["items"].as_array().unwrap().iter().map(|d| d["job_type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&page.json()), ["a", "b"]);
    let cursor = page.json()["next_cursor"].as_str().unwrap().to_owned();
    let rest = server.get(&format!("/api/v1/definitions?limit=2&cursor={cursor}")).await.json();
    assert_eq!(names(&rest), ["c"]);
    assert_eq!(
        server.get(&format!("/api/v1/jobs?cursor={cursor}")).await.problem(),
        "400 BAD_CURSOR: the cursor is not valid (cursor: it belongs to another list or to other filters: start again \
         without a cursor)"
    );

    let tag = server.get("/api/v1/definitions/a").await.header("etag").to_owned();
    let again = || server.request(Method::GET, "/api/v1/definitions/a").header("if-none-match", &tag);
    assert_eq!(server.send(again()).await.status, 304);
    let disabled = server.send(server.request(Method::POST, "/api/v1/definitions/a/disable")).await.json();
    assert_eq!(disabled["enabled"], false);
    assert_eq!(server.send(again()).await.status, 200);
    let found = server.post("/api/v1/jobs", &json!({"job_type": "a"})).await.problem();
    assert!(found.starts_with("409 DEFINITION_DISABLED: "), "{found}");
    let enabled = server.send(server.request(Method::POST, "/api/v1/definitions/a/enable")).await.json();
    assert_eq!(enabled["enabled"], true);
    let missing = server.send(server.request(Method::POST, "/api/v1/definitions/none/enable")).await;
    assert_eq!(missing.problem(), "404 NOT_FOUND: definition none not found");
}

#[tokio::test]
async fn a_version_and_a_validation_come_with_the_picture() {
    let server = TestServer::start().await;
    let source = "job_type: drawn\ntasks:\n  - task_type: one\n    script: [\"true\"]\n    on_exit_code:\n      COMPLETED: two\n      \"7\": END_BLOCKED\n  - task_type: two\n    script: [\"true\"]\n";
    let version = server.upload(source).await.json()["version"].as_str().unwrap().to_owned();
    let graph = server.get(&format!("/api/v1/definitions/drawn/versions/{version}")).await.json()["graph"].clone();
    let names: Vec<&str> =
        graph["nodes"].as_array().unwrap().iter().map(|node| node["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["one", "two", "END_BLOCKED"]);
    let edge = |to: &str| graph["edges"].as_array().unwrap().iter().find(|edge| edge["to"] == to).cloned().unwrap();
    assert_eq!((&edge("two")["from"], &edge("two")["kind"]), (&"one".into(), &"route".into()));
    assert_eq!(edge("END_BLOCKED")["label"], "7", "{graph}");
    let request = server.request(reqwest::Method::POST, "/api/v1/definitions:validate");
    let report = server.send(request.header("content-type", "application/yaml").body(source)).await.json();
    assert_eq!(report["graph"], graph);
}
