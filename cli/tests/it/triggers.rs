//! Webhooks against the running program, with the examples that we ship.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::live_server::{LiveServer, repository, wait_for};
use crate::scratch::{Scratch, task};

const SECRET: &str = "it-is-a-secret-to-everybody";

/// Sends a request as a stranger would; returns the status and the body.
fn send(server: &LiveServer, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
    let address = server.url.strip_prefix("http://").expect("a plain URL");
    let mut stream = TcpStream::connect(address).expect("the server listens");
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    for (name, value) in headers {
        let _ = write!(request, "{name}: {value}\r\n");
    }
    let _ = write!(request, "content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the server answers text");
    let status = answer.get(9..12).and_then(|digits| digits.parse().ok()).expect("a status line");
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

fn serve(scratch: &Scratch, secret: &str, example: &str) -> LiveServer {
    let path = std::env::var_os("PATH").unwrap_or_default().to_string_lossy().into_owned();
    let server = LiveServer::start(scratch.root(), &path);
    let body = json!({"value": SECRET, "secret": true}).to_string();
    let (status, answer) = send(&server, "PUT", &format!("/api/v1/configs/{secret}"), &[], &body);
    assert_eq!(status, 200, "{answer}");
    let file = repository().join("workflows/examples").join(example);
    server.json(&["definitions", "upload", file.to_str().expect("the path is text"), "--json"]);
    server
}

#[test]
fn a_webhook_submits_the_job_of_the_example_and_its_words_are_data() {
    let scratch = Scratch::new();
    let server = serve(&scratch, "IssuesWebhook", "webhook.yaml");
    let body = json!({
        "action": "labeled",
        "label": {"name": "ai-ready"},
        "issue": {"number": 5, "title": "$(touch /tmp/never) `id` \"; exit 9"}
    })
    .to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key will do");
    mac.update(body.as_bytes());
    let mut signature = "sha256=".to_owned();
    for byte in mac.finalize().into_bytes() {
        let _ = write!(signature, "{byte:02x}");
    }
    let headers =
        [("x-github-event", "issues"), ("x-github-delivery", "1"), ("x-hub-signature-256", signature.as_str())];
    let (status, answer) = send(&server, "POST", "/api/v1/hooks/webhook/issues", &headers, &body);
    assert_eq!((status, &answer["outcome"]), (202, &json!("submitted")), "{answer}");
    let id = answer["job_id"].as_str().expect("an id");
    let job = server.finished(id);
    assert_eq!((&job["state"], &job["user_key"]), (&json!("COMPLETED"), &json!("issue-5")), "{job:#}");
    let log = server.client(&["logs", id]);
    let log = String::from_utf8_lossy(&log.stdout);
    assert!(log.contains("issue 5: $(touch /tmp/never) `id` \"; exit 9"), "{log}");
    // The other webhook of the example takes its signature from another header.
    let (status, answer) = send(&server, "POST", "/api/v1/hooks/webhook/other-forge", &headers, &body);
    assert_eq!((status, &answer["code"]), (401, &json!("SIGNATURE_MISSING")), "{answer}");
    let listed = server.json(&["deliveries", "--json"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed:#}");
    server.stop();
}

#[test]
fn a_webhook_wakes_the_task_that_polls() {
    let scratch = Scratch::new();
    let server = serve(&scratch, "ReviewToken", "webhook-wake.yaml");
    let flag = scratch.path("flag");
    let flag_param = format!("Flag={}", flag.display());
    let answer = server.json(&["submit", "webhook-wake", "-p", "PullRequest=12", "-p", &flag_param, "--json"]);
    let id = answer["job_id"].as_str().expect("an id");
    wait_for("the task to wait for its time", || (server.job(id)["state"] == "WAITING").then_some(()));
    fs::write(&flag, "").expect("the directory is writable");
    let bearer = format!("Bearer {SECRET}");
    let send = |number: u32, state: &str| {
        let body = json!({"number": number, "state": state}).to_string();
        send(&server, "POST", "/api/v1/hooks/webhook-wake/review", &[("authorization", bearer.as_str())], &body)
    };
    let (status, answer) = send(12, "commented");
    assert_eq!((status, &answer["outcome"]), (200, &json!("filtered")), "{answer}");
    let (_, answer) = send(13, "submitted");
    assert_eq!(answer["message"], "no live job has the user_key pr-13", "{answer}");
    let (status, answer) = send(12, "submitted");
    assert_eq!((status, &answer["outcome"], answer["job_id"].as_str()), (202, &json!("woke"), Some(id)), "{answer}");
    let job = server.finished(id);
    assert_eq!((&job["state"], &task(&job, "review")["visits"]), (&json!("COMPLETED"), &json!(1)), "{job:#}");
    server.stop();
}
