//! The examples that people take part in: a server runs them, others vote and are told.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;

use serde_json::Value;
use tempfile::TempDir;

use crate::live_server::{LiveServer, repository, wait_for};
use crate::shipped::{outline, run, task};

const ROLES: &str = "roles:\n  release: [alice, bob]\nusers:\n  alice: {email: alice@example.org}\n";

fn server(directory: &TempDir) -> LiveServer {
    let roles = directory.path().join("roles.yaml");
    std::fs::write(&roles, ROLES).expect("the directory is writable");
    let path = std::env::var_os("PATH").and_then(|path| path.into_string().ok()).expect("PATH is text");
    let roles = roles.to_str().expect("the path is text");
    LiveServer::start_with(directory.path(), &path, &[("ATTA_ROLES", roles), ("ATTA_ALLOW_PRIVATE_WEBHOOKS", "true")])
}

fn submit(server: &LiveServer, example: &str, params: &[&str]) -> String {
    let file = repository().join("workflows/examples").join(example);
    let mut arguments = vec!["submit", file.to_str().expect("the path is text"), "--json"];
    for param in params {
        arguments.extend(["-p", param]);
    }
    server.json(&arguments)["job_id"].as_str().expect("a job has an id").to_owned()
}

/// Waits until the job asks.
fn asked(server: &LiveServer, job: &str) -> Value {
    wait_for("the question", || {
        let all = server.json(&["approvals", "--json"]);
        all.as_array().expect("a list").iter().find(|one| one["job_id"] == job).cloned()
    })
}

fn text(output: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn people_decide_about_a_release() {
    let directory = TempDir::with_prefix("atta-people-").expect("a temporary directory can be made");
    let server = server(&directory);
    let job = submit(&server, "approval.yaml", &["Version=2.1"]);
    assert_eq!(asked(&server, &job)["message"], "Publish 2.1?");
    let listed = text(&server.client(&["approvals"]));
    assert!(listed.contains("0 of 2") && listed.contains("alice, bob, carol"), "{listed}");
    let voted = server.client(&["approve", &job, "--as", "alice"]);
    assert!(voted.status.success() && text(&voted).contains("alice approved ask of job_"), "{}", text(&voted));
    for (arguments, code, said) in [
        (&["approve", &job, "ask", "--as", "alice"][..], 4, "alice approved this at"),
        (&["approve", &job, "--as", "mallory"], 4, "mallory may not vote here"),
        (&["reject", &job, "--as", "bob"], 2, "a rejection needs a comment"),
        (&["approve", &job, "build", "--as", "bob"], 4, "approval asked for by the task build"),
    ] {
        let refused = server.client(arguments);
        assert_eq!(refused.status.code(), Some(code), "{arguments:?}: {}", text(&refused));
        assert!(text(&refused).contains(said), "{arguments:?}: {}", text(&refused));
    }
    assert!(server.client(&["approve", &job, "ask", "--as", "carol", "-c", "go"]).status.success());
    let done = server.finished(&job);
    assert_eq!(done["state"], "COMPLETED", "{done:#}");
    assert_eq!(task(&done, "publish")["outputs"]["said"], "published, thanks to alice and carol");
    assert_eq!(
        outline(&done),
        ["build COMPLETED ask", "ask COMPLETED publish", "publish COMPLETED -", "explain SKIPPED -"]
    );
    let late = text(&server.client(&["approve", &job, "--as", "bob"]));
    assert!(late.contains("was approved by alice and carol at"), "{late}");

    let job = submit(&server, "approval.yaml", &[]);
    let id = asked(&server, &job)["approval_id"].as_str().expect("an id").to_owned();
    assert!(server.client(&["reject", &id, "--as", "bob", "--comment", "$(not) today"]).status.success());
    let done = server.finished(&job);
    assert_eq!((done["state"].as_str(), task(&done, "ask")["result"].as_str()), (Some("BLOCKED"), Some("REJECTED")));
    assert_eq!(task(&done, "explain")["outputs"]["said"], "$(not) today");
    server.stop();
}

#[test]
fn roles_unanimity_and_links_decide_too() {
    let directory = TempDir::with_prefix("atta-people-").expect("a temporary directory can be made");
    let server = server(&directory);
    let job = submit(&server, "approval-roles.yaml", &[]);
    let id = asked(&server, &job)["approval_id"].as_str().expect("an id").to_owned();
    let refused = text(&server.client(&["approve", &job, "--as", "carol"]));
    assert!(refused.contains("asked are holders of the role release"), "{refused}");
    let link = server.client(&["approvals", "link", &id, "--for", "bob"]);
    let url = String::from_utf8_lossy(&link.stdout).trim().to_owned();
    assert!(url.starts_with(&server.url) && url.contains("?token="), "{}", text(&link));
    assert!(server.client(&["approve", &job, "--as", "bob"]).status.success());
    assert_eq!(server.finished(&job)["state"], "COMPLETED");

    let job = submit(&server, "approval-unanimous.yaml", &[]);
    asked(&server, &job);
    assert!(server.client(&["approve", &job, "--as", "alice"]).status.success());
    assert_eq!(server.job(&job)["state"], "WAITING");
    assert!(server.client(&["approve", &job, "--as", "bob"]).status.success());
    assert_eq!(server.finished(&job)["state"], "COMPLETED");
    server.stop();
}

#[test]
fn a_question_that_nobody_answers_takes_its_route() {
    let (code, job) = run("approval-timeout.yaml", &[]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    assert_eq!(task(&job, "ask")["result"], "TIMED_OUT");
    assert_eq!(outline(&job), ["ask FAILED wake", "wake COMPLETED -", "publish SKIPPED -"]);
    // Without a time for it a run here would wait for ever.
    let (code, job) = run("approval-unanimous.yaml", &[]);
    assert_eq!((code, job["state"].as_str()), (4, Some("CANCELLED")), "{job:#}");
}

/// A receiver on loopback: the path and the headers with the body of each request.
fn receiver() -> (String, mpsc::Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("it has an address"));
    let (sender, requests) = mpsc::channel();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { return };
            let mut bytes = Vec::new();
            let mut buffer = [0; 4096];
            let text = loop {
                let count = connection.read(&mut buffer).unwrap_or(0);
                bytes.extend_from_slice(&buffer[..count]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let length = text.to_ascii_lowercase().lines().find_map(|line| {
                    line.strip_prefix("content-length:").and_then(|length| length.trim().parse::<usize>().ok())
                });
                let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len());
                if count == 0 || (body.is_some() && body >= length) {
                    break text;
                }
            };
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
            if sender.send((path, text)).is_err() {
                return;
            }
        }
    });
    (url, requests)
}

#[test]
fn others_are_told_how_a_job_ended() {
    let directory = TempDir::with_prefix("atta-people-").expect("a temporary directory can be made");
    let server = server(&directory);
    let (url, requests) = receiver();
    let hook = format!("Hook={url}");
    let told = |count: usize| {
        let mut found: Vec<(String, String)> =
            (0..count).map(|_| requests.recv_timeout(crate::live_server::LIMIT).expect("a request arrives")).collect();
        found.sort();
        found
    };
    let job = submit(&server, "notify.yaml", &[&hook]);
    assert_eq!(server.finished(&job)["state"], "COMPLETED");
    let found = told(2);
    assert_eq!((&*found[0].0, &*found[1].0), ("/short", "/signed"));
    let signed = found[1].1.to_ascii_lowercase();
    assert!(signed.contains("x-atta-signature-256: sha256=") && signed.contains("x-team: blue"), "{signed}");
    assert!(found[1].1.contains("work ended with 0"), "{}", found[1].1);

    let job = submit(&server, "notify.yaml", &[&hook, "Code=3"]);
    assert_eq!(server.finished(&job)["state"], "FAILED");
    let found = told(3);
    let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["/short", "/signed", "/slack"]);
    assert!(found[2].1.contains(&format!("notify {job} FAILED")), "{}", found[2].1);

    let job = submit(&server, "notify-email.yaml", &[]);
    assert_eq!(server.finished(&job)["state"], "COMPLETED");
    let dead = wait_for("the e-mail to be given up", || {
        let listed = server.json(&["notifications", "--state", "dead", "--json"]);
        listed.as_array().filter(|all| !all.is_empty()).cloned()
    });
    assert_eq!((&dead[0]["channel"], &dead[0]["destination"]), (&"email".into(), &"team@example.org".into()));
    let shown = text(&server.client(&["notifications"]));
    assert!(shown.contains("started without an SMTP server") && shown.contains("SENT"), "{shown}");
    assert!(server.client(&["notifications", "retry", "--dead"]).status.success());
    server.stop();
    // `atta run` tells nobody.
    assert_eq!(run("notify.yaml", &[&hook]).0, 0);
    assert!(requests.try_recv().is_err());
}
