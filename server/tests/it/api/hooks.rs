//! Webhooks over HTTP: what proves, what passes, what is recorded.

use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};

use super::rig::{Answer, TestServer};

const SECRET: &str = "it-is-a-secret-to-everybody";
const HOOK: &str = "/api/v1/hooks/hooked/issues";

const DEFINITION: &str = r#"
job_type: hooked
params: {Number: {type: integer, required: true}, Title: {type: string}}
triggers:
  - type: webhook
    name: issues
    auth: {hmac_sha256: "{{ secrets.Hook }}"}
    filter: "{{ event == 'issues' and payload.label == 'ai-ready' }}"
    params: {Number: "{{ payload.number }}", Title: "{{ payload.title }}"}
    user_key: "issue-{{ payload.number }}"
  - {type: webhook, name: slow, auth: {bearer: "{{ secrets.Hook }}"}, params: {Number: 1}, rate_limit: 2/1h}
  - {type: webhook, name: orphan, auth: {bearer: "{{ secrets.Missing }}"}, params: {Number: 1}}
tasks:
  - task_type: only
    script: ["true"]
"#;

async fn server() -> TestServer {
    let server = TestServer::start().await;
    let secret = server.request(Method::PUT, "/api/v1/configs/Hook").json(&json!({"value": SECRET, "secret": true}));
    assert_eq!(server.send(secret).await.status, 200);
    let stored = server.upload(DEFINITION).await;
    assert_eq!(stored.status, 201, "{stored:?}");
    server
}

fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

async fn deliver(server: &TestServer, id: &str, body: &Value) -> Answer {
    let body = body.to_string();
    let request = server
        .request(Method::POST, HOOK)
        .header("content-type", "application/json")
        .header("x-github-event", "issues")
        .header("x-github-delivery", id)
        .header("x-hub-signature-256", signature(SECRET, body.as_bytes()));
    server.send(request.body(body)).await
}

fn issue(number: u32) -> Value {
    json!({"number": number, "title": "it's \"broken\" $(rm -rf /)", "label": "ai-ready"})
}

async fn jobs(server: &TestServer) -> usize {
    server.get("/api/v1/jobs?job_type=hooked").await.json()["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_signed_delivery_submits_a_job_once() {
    let server = server().await;
    let answer = deliver(&server, "one", &issue(7)).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["outcome"]), (202, &json!("submitted")), "{answer:?}");
    let job = server.get(&format!("/api/v1/jobs/{}", answer.json()["job_id"].as_str().unwrap())).await.json();
    assert_eq!(job["params"], json!({"Number": 7, "Title": "it's \"broken\" $(rm -rf /)"}));
    assert_eq!((&job["submitted_by"], &job["user_key"]), (&json!("webhook:issues"), &json!("issue-7")));

    let again = deliver(&server, "one", &issue(7)).await;
    assert_eq!((again.status.as_u16(), &again.json()["outcome"]), (200, &json!("replayed")));
    assert_eq!(again.json()["job_id"], job["job_id"]);
    let duplicate = deliver(&server, "two", &issue(7)).await;
    assert_eq!((duplicate.status.as_u16(), &duplicate.json()["outcome"]), (200, &json!("duplicate")));
    assert!(duplicate.json()["message"].as_str().unwrap().contains("the user_key issue-7 is held by the job"));
    assert_eq!(jobs(&server).await, 1);
}

#[tokio::test]
async fn what_does_not_prove_itself_does_nothing() {
    let server = server().await;
    let body = issue(1).to_string();
    let send = async |name: &str, value: &str| {
        server.send(server.request(Method::POST, HOOK).header(name, value).body(body.clone())).await.problem()
    };
    assert_eq!(
        send("x-nothing", "1").await,
        "401 SIGNATURE_MISSING: the request has no signature: x-hub-signature-256 is missing"
    );
    let wrong = "401 SIGNATURE_INVALID: the signature in x-hub-signature-256 is not that of this body with the webhook's secret";
    assert_eq!(send("x-hub-signature-256", &signature("another", body.as_bytes())).await, wrong);
    assert_eq!(send("x-hub-signature-256", &signature(SECRET, b"another body")).await, wrong);
    assert_eq!(send("x-hub-signature-256", "sha256=").await, wrong);
    assert_eq!(send("x-hub-signature-256", "sha256=zz").await, wrong);
    assert_eq!(send("x-hub-signature-256", &signature(SECRET, body.as_bytes())[..40]).await, wrong);

    let bearer = async |token: Option<&str>| {
        let mut request = server.request(Method::POST, "/api/v1/hooks/hooked/slow").body("{}");
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        server.send(request).await
    };
    assert_eq!(bearer(None).await.problem(), "401 TOKEN_MISSING: the request has no Authorization: Bearer …");
    assert_eq!(bearer(Some("Bearer nope")).await.problem(), "401 TOKEN_INVALID: the token is not the webhook's");
    assert_eq!(bearer(Some(&format!("Bearer {SECRET}"))).await.status, 202);

    let orphan = server.request(Method::POST, "/api/v1/hooks/hooked/orphan").header("authorization", "Bearer x");
    let problem = server.send(orphan.body("{}")).await.problem();
    assert!(problem.starts_with("503 SECRET_UNAVAILABLE: the webhook's secret cannot be read"), "{problem}");
    let nowhere = server.send(server.request(Method::POST, "/api/v1/hooks/hooked/else").body("{}")).await.problem();
    assert_eq!(nowhere, "404 NOT_FOUND: webhook else of the definition hooked not found");
    assert_eq!(jobs(&server).await, 1);
}

#[tokio::test]
async fn what_cannot_be_evaluated_lets_nothing_through() {
    let server = server().await;
    let unlabelled = deliver(&server, "a", &json!({"number": 1, "title": "t", "label": "bug"})).await;
    assert_eq!((unlabelled.status.as_u16(), &unlabelled.json()["outcome"]), (200, &json!("filtered")));
    let problem = deliver(&server, "b", &json!({"number": 1})).await.problem();
    assert!(problem.starts_with("422 DELIVERY_REFUSED: filter (line 8): "), "{problem}");
    let problem = deliver(&server, "c", &json!({"label": "ai-ready", "title": "t", "number": "many"})).await.problem();
    assert!(problem.starts_with("422 DELIVERY_REFUSED: ") && problem.contains("Number"), "{problem}");
    let body = "{not json";
    let request = server.request(Method::POST, HOOK).header("x-hub-signature-256", signature(SECRET, body.as_bytes()));
    let problem = server.send(request.body(body)).await.problem();
    assert!(problem.starts_with("400 BAD_REQUEST: the delivery's body is not valid JSON: "), "{problem}");
    assert_eq!(jobs(&server).await, 0);
    // A refused delivery may come again: nothing was done.
    let listed = server.get("/api/v1/deliveries?job_type=hooked&outcome=refused").await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2, "{listed:#}");
    assert!(!listed.to_string().contains("signature"), "{listed:#}");
}

#[tokio::test]
async fn who_does_not_prove_himself_asks_nothing_of_the_writer() {
    let server = server().await;
    let options = SqliteConnectOptions::new().filename(server.dir.path().join("atta.db"));
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    // The writer waits for the lock of somebody else as soon as it has something to write.
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let first = issue(1);
    let mut delivery = std::pin::pin!(deliver(&server, "one", &first));
    let stranger = async |id: &str| {
        let request = server.request(Method::POST, HOOK).header("x-hub-signature-256", signature("another", b"{}"));
        server.send(request.header("x-github-delivery", id).body("{}")).await.problem()
    };
    for id in (0..10).map(|id: u8| id.to_string()) {
        tokio::select! {
            biased;
            answer = &mut delivery => panic!("the writer does not wait: {answer:?}"),
            problem = stranger(&id) => assert!(problem.starts_with("401 SIGNATURE_INVALID"), "{problem}"),
        }
    }
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    assert_eq!(delivery.await.status, 202);
}

#[tokio::test]
async fn the_newest_version_says_what_proves() {
    let server = server().await;
    assert_eq!(deliver(&server, "one", &issue(1)).await.status, 202);
    let changed = DEFINITION.replace("hmac_sha256: \"{{ secrets.Hook }}\"", "bearer: \"{{ secrets.Hook }}\"");
    assert_eq!(server.upload(&changed).await.status, 201);
    let problem = deliver(&server, "two", &issue(2)).await.problem();
    assert_eq!(problem, "401 TOKEN_MISSING: the request has no Authorization: Bearer …");
    assert_eq!(server.upload(&changed.replace("name: issues", "name: renamed")).await.status, 201);
    let problem = deliver(&server, "three", &issue(3)).await.problem();
    assert_eq!(problem, "404 NOT_FOUND: webhook issues of the definition hooked not found");
}

#[tokio::test]
async fn templates_of_a_webhook_know_configs() {
    let server = server().await;
    let config = server.request(Method::PUT, "/api/v1/configs/Label").json(&json!({"value": "ai-ready"}));
    assert_eq!(server.send(config).await.status, 200);
    let changed = server.upload(&DEFINITION.replace("'ai-ready'", "configs.Label")).await;
    assert_eq!(changed.status, 201, "{changed:?}");
    let other = deliver(&server, "other", &json!({"number": 1, "title": "t", "label": "bug"})).await;
    assert_eq!(other.json()["outcome"], "filtered", "{other:?}");
    assert_eq!(deliver(&server, "one", &issue(1)).await.status, 202);
}

#[tokio::test]
async fn a_body_of_50_megabytes_is_refused() {
    let server = server().await;
    // Without any proof it is not even read.
    let request =
        server.request(Method::POST, HOOK).header("x-hub-signature-256", "sha256=00").body(vec![b' '; 50 << 20]);
    // The server answers before it has read everything, which a client may see as a broken connection.
    match request.send().await {
        Ok(answer) => assert_eq!(answer.status(), 413),
        Err(error) => assert!(error.is_request() || error.is_body(), "{error}"),
    }
    assert_eq!(jobs(&server).await, 0);
}

#[tokio::test]
async fn pings_forms_and_foreign_hosts_are_understood() {
    let server = server().await;
    let body = json!({"zen": "keep it simple"}).to_string();
    let ping = server
        .request(Method::POST, HOOK)
        .header("x-github-event", "ping")
        .header("host", "hooks.example.com")
        .header("x-hub-signature-256", signature(SECRET, body.as_bytes()));
    let answer = server.send(ping.body(body)).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["outcome"]), (200, &json!("ping")), "{answer:?}");

    let form = format!("payload={}", url_encoded(&issue(3).to_string()));
    let request = server
        .request(Method::POST, HOOK)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-github-event", "issues")
        .header("x-hub-signature-256", signature(SECRET, form.as_bytes()));
    assert_eq!(server.send(request.body(form)).await.status, 202);
}

fn url_encoded(text: &str) -> String {
    text.bytes().flat_map(|byte| ['%', hex_digit(byte >> 4), hex_digit(byte & 15)]).collect()
}

fn hex_digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap().to_ascii_uppercase()
}

#[tokio::test]
async fn more_than_the_rate_limit_is_told_when_to_come_again() {
    let server = server().await;
    let send = async |body: &str| {
        let request = server
            .request(Method::POST, "/api/v1/hooks/hooked/slow")
            .header("authorization", format!("Bearer {SECRET}"));
        server.send(request.body(body.to_owned())).await
    };
    assert_eq!(send("1").await.status, 202);
    assert_eq!(send("2").await.status, 202);
    let answer = send("3").await;
    assert!(answer.problem().starts_with("429 RATE_LIMITED: more than 2 deliveries in 1h"), "{answer:?}");
    assert_eq!(answer.header("retry-after"), "1800");
    assert_eq!(jobs(&server).await, 2);
}

#[tokio::test]
async fn a_delivery_can_be_looked_at_and_delivered_again() {
    let server = server().await;
    let first = deliver(&server, "x", &json!({"number": 4, "title": "t", "label": "bug"})).await.json();
    let id = first["delivery_id"].as_str().unwrap();
    let shown = server.get(&format!("/api/v1/deliveries/{id}")).await.json();
    assert_eq!(shown["delivery"]["event"], "issues");
    assert!(shown["text"].as_str().unwrap().contains("\"bug\""));
    // The newest version of the definition decides.
    let changed = server.upload(&DEFINITION.replace("'ai-ready'", "'bug'")).await;
    assert_eq!(changed.status, 201);
    let again = server.post(&format!("/api/v1/deliveries/{id}/redeliver"), &Value::Null).await;
    assert_eq!((again.status.as_u16(), &again.json()["outcome"]), (202, &json!("submitted")), "{again:?}");
    let listed = server.get("/api/v1/deliveries?trigger=issues").await.json();
    assert_eq!(listed["items"][0]["redelivery_of"], id);
    let unknown = server.post("/api/v1/deliveries/dlv_1/redeliver", &Value::Null).await.problem();
    assert_eq!(unknown, "404 NOT_FOUND: delivery dlv_1 not found");
}

#[tokio::test]
async fn repetitions_do_not_push_out_what_they_repeat() {
    let server = server().await;
    assert_eq!(deliver(&server, "one", &issue(7)).await.json()["outcome"], "submitted");
    let options = SqliteConnectOptions::new().filename(server.dir.path().join("atta.db"));
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
         INSERT INTO deliveries (id, job_type, trigger_name, sender_id, headers, body, outcome, received_at)
         SELECT 'dlv_z' || printf('%05d', i), 'hooked', 'issues', 'one', '{}', x'', 'replayed', 0 FROM n",
    )
    .execute(&mut other)
    .await
    .unwrap();
    other.close().await.unwrap();
    for _ in 0..2 {
        assert_eq!(deliver(&server, "one", &issue(7)).await.json()["outcome"], "replayed");
    }
    assert_eq!(jobs(&server).await, 1);
}
