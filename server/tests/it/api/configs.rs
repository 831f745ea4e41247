//! Configs and secrets over HTTP.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use super::rig::{Answer, TestServer};

const VALUE: &str = "correct-horse-battery";

async fn put(server: &TestServer, path: &str, body: &Value) -> Answer {
    server.send(server.request(Method::PUT, path).json(body)).await
}

async fn remove(server: &TestServer, path: &str) -> Answer {
    server.send(server.request(Method::DELETE, path)).await
}

/// Stops a server and gives its directory back.
async fn stopped(server: TestServer) -> tempfile::TempDir {
    let TestServer { dir, server, .. } = server;
    server.shutdown().await;
    dir
}

fn files_with(dir: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if std::fs::read(&path).unwrap().windows(text.len()).any(|window| window == text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test]
async fn configs_are_set_shown_listed_and_removed() {
    let server = TestServer::start().await;
    let set = put(&server, "/api/v1/configs/Region", &json!({"value": "eu-1"})).await.json();
    assert_eq!(
        (&set["name"], &set["scope"], &set["secret"], &set["value"]),
        (&json!("Region"), &json!("organisation"), &json!(false), &json!("eu-1"))
    );
    put(&server, "/api/v1/configs/Limits", &json!({"value": {"cpu": 2}})).await;
    put(&server, "/api/v1/definitions/build/configs/Region", &json!({"value": "us-1"})).await;
    let short = server.post("/api/orgs/default/configs", &json!({"name": "Short", "value": 3, "secret": false})).await;
    assert_eq!(short.json()["value"], 3);
    let page = server.get("/api/v1/configs?limit=2").await.json();
    let names = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&page), ["Limits", "Region"]);
    let next = format!("/api/v1/configs?limit=2&cursor={}", page["next_cursor"].as_str().unwrap());
    assert_eq!(names(&server.get(&next).await.json()), ["Short"]);
    let own = server.get("/api/v1/definitions/build/configs").await.json();
    assert_eq!((&own["items"][0]["value"], &own["items"][0]["job_type"]), (&json!("us-1"), &json!("build")));
    assert_eq!(server.get("/api/v1/definitions/build/configs/Limits").await.status, 404);
    assert_eq!(remove(&server, "/api/v1/configs/Region").await.status, 204);
    assert_eq!(remove(&server, "/api/v1/configs/Region").await.problem(), "404 NOT_FOUND: config Region not found");
    assert_eq!(server.get("/api/v1/definitions/build/configs/Region").await.json()["value"], "us-1");

    let again = TestServer::on(stopped(server).await).await.unwrap();
    assert_eq!(names(&again.get("/api/v1/configs").await.json()), ["Limits", "Short"]);
    assert_eq!(again.get("/api/v1/configs/Limits").await.json()["value"], json!({"cpu": 2}));
}

#[tokio::test]
async fn a_secret_is_never_answered_and_never_stored_as_it_is() {
    let server = TestServer::start().await;
    let set = put(&server, "/api/v1/configs/Token", &json!({"value": VALUE, "secret": true})).await;
    assert_eq!(set.status, 200);
    assert_eq!(set.json()["secret"], true);
    // It stays a secret when nobody says otherwise.
    put(&server, "/api/v1/configs/Token", &json!({"value": format!("{VALUE}-2")})).await;
    let short = json!({"name": "Other", "value": VALUE, "secret": true});
    let answers = [
        set,
        server.post("/api/orgs/default/configs", &short).await,
        server.get("/api/v1/configs").await,
        server.get("/api/v1/configs/Token").await,
        server.get("/api/v1/secrets/status").await,
    ];
    for answer in &answers {
        assert!(answer.status.is_success());
        assert!(!String::from_utf8_lossy(&answer.body).contains("horse"), "{answer:?}");
        assert_eq!(answer.json().get("value"), None);
    }
    let secrets = server.server.queen().secrets();
    assert_eq!(secrets.secret(None, "Token").unwrap().reveal(), format!("{VALUE}-2"));
    let dir = stopped(server).await;
    assert_eq!(files_with(dir.path(), "horse"), Vec::<String>::new());
    let mode = std::fs::metadata(dir.path().join("secrets.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let again = TestServer::on(dir).await.unwrap();
    assert_eq!(again.server.queen().secrets().secret(Some("build"), "Other").unwrap().reveal(), VALUE);
}

#[tokio::test]
async fn what_cannot_be_a_config_is_refused_with_the_reason_and_without_its_value() {
    let server = TestServer::start().await;
    let long = "horse".repeat(14_000);
    let cases = [
        ("it%27s", json!({"value": "x"}), "422 INVALID_CONFIG: \"it's\" cannot be the name of a config"),
        ("a%22b", json!({"value": "x"}), "422 INVALID_CONFIG: \"a\\\"b\" cannot be the name of a config"),
        ("9a", json!({"value": "x"}), "cannot be the name of a config"),
        ("JobID", json!({"value": "x"}), "422 INVALID_CONFIG: JobID is a name that templates know already"),
        ("secrets", json!({"value": "x"}), "secrets is a name that templates know already"),
        ("A", json!({"value": "horse", "secret": true}), "the secret A has fewer than 6 characters"),
        ("A", json!({"value": "  ", "secret": true}), "the value of the secret A is empty"),
        ("A", json!({"value": "horse\u{0}horse", "secret": true}), "has a NUL byte"),
        ("A", json!({"value": {"horse": 1}, "secret": true}), "the value of the secret A must be text"),
        ("A", json!({"value": long, "secret": true}), "the value of A has 70000 bytes, and a config may have 65536"),
        ("A", json!({"value": long}), "and a config may have 65536"),
        ("A", json!({"value": "x", "secret": "horse"}), "a JSON object is expected"),
        ("A", json!({"value": "x", "horse": 1}), "a JSON object is expected"),
    ];
    for (name, body, words) in cases {
        let problem = put(&server, &format!("/api/v1/configs/{name}"), &body).await.problem();
        assert!(problem.starts_with("422 ") && problem.contains(words) && !problem.contains("horse"), "{problem}");
    }
    let problem = put(&server, "/api/v1/definitions/No%20Name/configs/A", &json!({"value": "x"})).await.problem();
    assert!(problem.contains("\"No Name\" cannot be the name of a definition"), "{problem}");
    let allowed = json!({"value": "abc", "secret": true, "allow_short": true});
    assert_eq!(put(&server, "/api/v1/configs/A", &allowed).await.status, 200);
    let problem = put(&server, "/api/v1/configs/A", &json!({"value": "x", "secret": false})).await.problem();
    assert!(problem.starts_with("409 CONFIG_IS_SECRET: A is a secret: remove it before"), "{problem}");
}

#[tokio::test]
async fn a_new_key_replaces_the_old_one_while_the_server_serves() {
    let server = TestServer::start().await;
    for index in 0..150 {
        let body = json!({"value": format!("{VALUE}-{index}"), "secret": true});
        assert_eq!(put(&server, &format!("/api/v1/configs/S{index}"), &body).await.status, 200);
    }
    let before = server.get("/api/v1/secrets/status").await.json();
    let after = server.post("/api/v1/secrets/rotate-key", &json!(null)).await.json();
    assert_ne!(before["key_id"], after["key_id"]);
    assert_eq!((&after["keys"], &after["secrets"], &after["outdated"]), (&json!(1), &json!(150), &json!(0)));
    let dir = stopped(server).await;
    let again = TestServer::on(dir).await.unwrap();
    assert_eq!(again.get("/api/v1/secrets/status").await.json(), after);
    for index in [0, 77, 149] {
        let secret = again.server.queen().secrets().secret(None, &format!("S{index}")).unwrap();
        assert_eq!(secret.reveal(), format!("{VALUE}-{index}"));
    }
}

#[tokio::test]
async fn a_rotation_that_was_interrupted_is_finished_by_the_next_start() {
    let server = TestServer::start().await;
    put(&server, "/api/v1/configs/Token", &json!({"value": VALUE, "secret": true})).await;
    let old = server.get("/api/v1/secrets/status").await.json()["key_id"].clone();
    let dir = stopped(server).await;
    // As it is after the new key was written, and nothing else.
    let file = dir.path().join("secrets.key");
    let keys = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{}\n{keys}", "ab".repeat(32))).unwrap();
    let again = TestServer::on(dir).await.unwrap();
    let mut waited = 0;
    let status = loop {
        let status = again.get("/api/v1/secrets/status").await.json();
        if status["keys"] == 1 {
            break status;
        }
        waited += 1;
        assert!(waited < 2_000, "{status}");
        tokio::task::yield_now().await;
    };
    assert_ne!(status["key_id"], old);
    assert_eq!(status["outdated"], 0);
    assert_eq!(again.server.queen().secrets().secret(None, "Token").unwrap().reveal(), VALUE);
}

#[tokio::test]
async fn without_the_right_key_the_server_serves_says_it_and_overwrites_nothing() {
    let server = TestServer::start().await;
    put(&server, "/api/v1/configs/Token", &json!({"value": VALUE, "secret": true})).await;
    let dir = stopped(server).await;
    let file = dir.path().join("secrets.key");
    let right = std::fs::read(&file).unwrap();

    std::fs::remove_file(&file).unwrap();
    let server = TestServer::on(dir).await.unwrap();
    let health = server.get("/health/deep").await;
    assert_eq!(health.status, 503);
    let said = health.json()["checks"]["secrets"].as_str().unwrap().to_owned();
    assert!(said.contains("is gone") && said.contains("put it back from your copy; no new one was made"), "{said}");
    let problem = put(&server, "/api/v1/configs/New", &json!({"value": VALUE, "secret": true})).await.problem();
    assert!(problem.starts_with("409 SECRETS_UNAVAILABLE: the secret New cannot be stored: the key file"), "{problem}");
    assert_eq!(put(&server, "/api/v1/configs/Plain", &json!({"value": 1})).await.status, 200);
    assert!(!file.exists());

    let dir = stopped(server).await;
    std::fs::write(&file, "cd".repeat(32)).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let server = TestServer::on(dir).await.unwrap();
    let said = server.get("/health/deep").await.json()["checks"]["secrets"].as_str().unwrap().to_owned();
    assert!(
        said.starts_with("1 secret(s) were encrypted with the key ") && said.contains("put that key back"),
        "{said}"
    );
    let error = server.server.queen().secrets().secret(None, "Token").unwrap_err().to_string();
    assert!(error.starts_with("the secret Token was encrypted with the key "), "{error}");
    assert_eq!(put(&server, "/api/v1/configs/New", &json!({"value": VALUE, "secret": true})).await.status, 200);
    let after = server.post("/api/v1/secrets/rotate-key", &json!(null)).await.json();
    assert_eq!(after["outdated"], 1, "{after}");

    let dir = stopped(server).await;
    let kept = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{kept}{}", String::from_utf8(right).unwrap())).unwrap();
    let server = TestServer::on(dir).await.unwrap();
    for name in ["Token", "New"] {
        assert_eq!(server.server.queen().secrets().secret(None, name).unwrap().reveal(), VALUE);
    }
    assert_eq!(server.get("/health/deep").await.json()["checks"]["secrets"], "ok");
}
