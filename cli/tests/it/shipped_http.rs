//! The examples that make requests, against a small server on loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::live_server::repository;
use crate::shipped::{outline, run, sorted, task};

/// A request: its first line, its headers in lower case, its body.
#[derive(Debug, Clone)]
struct Asked {
    line: String,
    headers: Vec<String>,
    body: String,
}

/// Answers until it is dropped.
struct Site {
    base: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Site {
    /// `answer` gives status, further headers and body.
    fn new(answer: fn(&Asked) -> (u16, String, String)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let base = format!("http://{}", listener.local_addr().expect("it has an address"));
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let record = Arc::downgrade(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(record) = record.upgrade() else { return };
                if let Some(request) = read(&stream) {
                    record.lock().expect("nobody panics").push(request.clone());
                    let (status, headers, body) = answer(&request);
                    let text = format!(
                        "HTTP/1.1 {status} Status\r\n{headers}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    // A client that went away is no concern of the server.
                    let _ = (&stream).write_all(text.as_bytes());
                }
            }
        });
        Self { base, asked }
    }

    fn param(&self) -> String {
        format!("Base={}", self.base)
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("nobody panics").clone()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.asked = Arc::default();
        // Wakes the thread, which then finds nobody to answer for.
        let _ = TcpStream::connect(self.base.trim_start_matches("http://"));
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        if header.trim().is_empty() {
            break;
        }
        headers.push(header.trim().to_owned());
    }
    let length = headers
        .iter()
        .find_map(|header| header.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { line: line.trim().to_owned(), headers, body: String::from_utf8(body).ok()? })
}

fn json_answer(status: u16, document: &Value) -> (u16, String, String) {
    (status, "Content-Type: application/json\r\n".to_owned(), document.to_string())
}

#[test]
fn an_answer_is_used_and_its_status_chooses_the_route() {
    let site = Site::new(|asked| {
        if asked.line.contains("/items/missing") {
            (404, String::new(), "no such item".to_owned())
        } else {
            json_answer(200, &json!({"items": [{"name": "first"}, {"name": "second"}]}))
        }
    });
    let (code, job) = run("http-get.yaml", &[&site.param()]);
    assert_eq!((code, &task(&job, "use")["outputs"]["text"]), (0, &json!("first of 2")), "{job:#}");
    assert_eq!(site.asked()[0].line, "GET /items/two%20words?page=1&search=a%26b HTTP/1.1");
    assert_eq!(task(&job, "ask")["exit_code"], 200);
    assert_eq!(task(&job, "ask")["artifacts"][0]["name"], "items.json");

    let (code, job) = run("http-get.yaml", &[&site.param(), "Name=missing"]);
    assert_eq!((code, outline(&job)[0].as_str()), (0, "ask FAILED none"), "{job:#}");
    assert_eq!(task(&job, "ask")["exit_code"], 404);
}

#[test]
fn a_document_is_sent_with_its_types_and_a_token() {
    let site = Site::new(|_| json_answer(201, &json!({"id": 17})));
    let (code, job) = run("http-post.yaml", &[&site.param()]);
    assert_eq!((code, &task(&job, "create")["outputs"]["id"]), (0, &json!(17)), "{job:#}");
    assert_eq!((&job["state"], &task(&job, "create")["outputs"]["status"]), (&json!("COMPLETED"), &json!(201)));
    let asked = site.asked().remove(0);
    let sent: Value = serde_json::from_str(&asked.body).expect("the body is JSON");
    assert_eq!(sent, json!({"title": "Say \"hello\"", "count": 3, "labels": ["new", "example-http-post"]}));
    assert!(asked.headers.contains(&"authorization: Bearer abc123".to_owned()), "{:?}", asked.headers);
}

#[test]
fn a_busy_service_is_asked_again() {
    let site = Site::new(|_| (503, "Retry-After: 1\r\n".to_owned(), String::new()));
    let (code, job) = run("http-post.yaml", &[&site.param()]);
    assert_eq!((code, task(&job, "create")["attempts"].as_u64()), (1, Some(3)), "{job:#}");
    assert_eq!(job["error_code"], "HTTP_STATUS");
}

#[test]
fn things_are_replaced_changed_and_removed() {
    let site =
        Site::new(|asked| (if asked.line.starts_with("DELETE") { 404 } else { 204 }, String::new(), String::new()));
    let (code, job) = run("http-put.yaml", &[&site.param()]);
    assert_eq!(code, 0, "{job:#}");
    assert_eq!(outline(&job), ["replace COMPLETED change", "change COMPLETED remove", "remove COMPLETED COMPLETED"]);
    let asked = site.asked();
    assert_eq!(asked[0].body, "# Notes of example-http-put\n");
    assert!(asked[0].headers.contains(&"content-type: text/markdown".to_owned()), "{:?}", asked[0].headers);
    assert_eq!((asked[1].line.as_str(), asked[1].body.as_str()), ("PATCH /notes/1 HTTP/1.1", "{\"done\":true}"));
}

#[test]
fn a_form_is_encoded() {
    let site = Site::new(|_| (200, String::new(), String::new()));
    let (code, job) = run("http-form.yaml", &[&site.param()]);
    assert_eq!((code, &job["state"], outline(&job).len()), (0, &json!("COMPLETED"), 1), "{job:#}");
    assert_eq!(job["tasks"][0]["outputs"]["status"], 200);
    assert_eq!(site.asked()[0].body, "user=ada+%26+co&password=s3cret%26more");
}

#[test]
fn a_redirect_is_followed_or_routed() {
    let site = Site::new(|asked| {
        if asked.line.contains("/old") {
            (301, "Location: /new\r\n".to_owned(), String::new())
        } else {
            (200, String::new(), "here".to_owned())
        }
    });
    let (code, job) = run("http-redirects.yaml", &[&site.param()]);
    assert_eq!((code, &task(&job, "follow")["outputs"]["body"]), (0, &json!("here")), "{job:#}");
    assert_eq!(task(&job, "look")["exit_code"], 301);
    assert_eq!(task(&job, "moved")["outputs"]["text"], "it is at /new now");
}

#[test]
fn an_authority_of_ones_own_comes_as_an_artifact() {
    let site = Site::new(|_| (200, String::new(), String::new()));
    let authority = format!("Authority={}", repository().join("worker/tests/it/tls/ca.pem").display());
    let (code, job) = run("http-tls.yaml", &[&site.param(), &authority]);
    assert_eq!(
        (code, &job["state"], &task(&job, "ask")["state"]),
        (0, &json!("COMPLETED"), &json!("COMPLETED")),
        "{job:#}"
    );
    let (code, job) = run("http-tls.yaml", &[&site.param(), "Authority=/etc/passwd"]);
    assert_eq!((code, task(&job, "ask")["result"].as_str()), (1, Some("START_FAILED")), "{job:#}");
}

#[test]
fn an_output_must_match_its_schema() {
    let (code, job) = run("outputs-schema.yaml", &[]);
    assert_eq!(code, 0, "{job:#}");
    assert_eq!(task(&job, "check")["outputs"]["verdict"]["tests"][0]["ms"], 12);
    assert_eq!(task(&job, "check")["outputs"]["summary"], "two\nlines");
    let (code, job) = run("outputs-schema.yaml", &["Verdict={\"status\": \"fine\", \"tests\": []}"]);
    assert_eq!(code, 0, "{job:#}");
    assert_eq!(sorted(outline(&job)), ["check FAILED explain", "explain COMPLETED -"]);
    assert_eq!(task(&job, "check")["result"], "INVALID");
    assert_eq!(task(&job, "check")["outputs"].get("verdict"), None);
}

#[test]
fn what_is_kept_for_a_while_is_kept_meanwhile() {
    let (code, job) = run("expire-after.yaml", &[]);
    assert_eq!((code, task(&job, "build")["artifacts"].as_array().map(Vec::len)), (0, Some(2)), "{job:#}");
    let (code, job) = run("retention.yaml", &[]);
    assert_eq!(code, 0, "{job:#}");
    // Nothing is that old in a directory of its own.
    let (code, job) = run("expire-artifacts.yaml", &[]);
    let outputs = &task(&job, "sweep")["outputs"];
    assert_eq!((code, &outputs["artifacts"], &outputs["bytes"]), (0, &json!(0), &json!(0)), "{job:#}");
}
