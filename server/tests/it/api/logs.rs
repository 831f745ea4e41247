//! Logs over HTTP.

use std::path::PathBuf;
use std::time::Duration;

use atta_core::protocol::ant::{Assignment, LogChunk, LogStream};
use base64::Engine;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::rig::{TestServer, chunk, number};
use crate::queen::rig::{Ant, definition, report};

/// A job whose first task runs.
async fn running() -> (TestServer, Ant, Assignment) {
    let server = TestServer::start().await;
    server.upload(&definition("", &[("a", ""), ("b", "dependencies: [a]")])).await;
    server.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let assignment = ant.poll(server.server.queen()).await.assignments.remove(0);
    ant.start(server.server.queen(), &assignment).await;
    (server, ant, assignment)
}

fn paths(assignment: &Assignment) -> [String; 2] {
    let job = &assignment.job_id;
    [format!("/api/v1/jobs/{job}/tasks/a/log"), format!("/api/v1/jobs/{job}/attempts/{}/log", number(assignment))]
}

#[tokio::test]
async fn ranges_and_streams_of_a_log_are_read_byte_for_byte() {
    let (server, _ant, assignment) = running().await;
    let invalid = b"\xff\xfe\0out";
    server
        .log(
            &assignment.attempt_id,
            0,
            &[(LogStream::Stdout, b"hello "), (LogStream::Stderr, b"oops "), (LogStream::Stdout, invalid)],
        )
        .await;
    let whole = [&b"hello oops "[..], invalid].concat();
    for path in paths(&assignment) {
        let answer = server.get(&path).await;
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &whole));
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!((answer.header("accept-ranges"), answer.header("content-length")), ("bytes", "17"));
        let ranged = async |range: &str, query: &str| {
            let request = server.request(Method::GET, &format!("{path}{query}"));
            server.send(request.header("range", range.to_owned())).await
        };
        let part = ranged("bytes=6-9", "").await;
        assert_eq!((part.status.as_u16(), &part.body[..]), (206, &b"oops"[..]));
        assert_eq!(part.header("content-range"), "bytes 6-9/17");
        assert_eq!(ranged("bytes=-3", "").await.body, b"out");
        assert_eq!(ranged("bytes=15-", "").await.body, b"ut");
        assert_eq!(ranged("bytes=0-1,3-4", "").await.status, 200, "several ranges are ignored");
        let outside = ranged("bytes=17-", "").await;
        assert_eq!(outside.problem(), "416 RANGE_NOT_SATISFIABLE: the log has 17 bytes");
        assert_eq!(outside.header("content-range"), "bytes */17");
        assert_eq!(server.get(&format!("{path}?stream=stdout")).await.body, [&b"hello "[..], invalid].concat());
        assert_eq!(server.get(&format!("{path}?stream=stderr")).await.body, b"oops ");
        let part = ranged("bytes=4-7", "?stream=stdout").await;
        assert_eq!((part.header("content-range"), &part.body[..]), ("bytes 4-7/12", &b"o \xff\xfe"[..]));
        let head = server.send(server.request(Method::HEAD, &path)).await;
        assert_eq!((head.header("content-length"), head.body.len()), ("17", 0));
        assert!(
            server.get(&format!("{path}?stream=x")).await.problem().contains("stdout, stderr or system is expected")
        );
    }
}

#[tokio::test]
async fn an_attempt_without_output_has_an_empty_log_and_no_file() {
    let (server, mut ant, assignment) = running().await;
    let [of_task, of_attempt] = paths(&assignment);
    ant.finish(server.server.queen(), &assignment).await;
    server.server.logs().finish(&assignment.attempt_id);
    for path in [&of_task, &of_attempt] {
        let answer = server.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
        let messages = server.stream(server.request(Method::GET, &format!("{path}?follow=true")), |_| false).await;
        assert_eq!(messages, [("end".to_owned(), String::new(), "{\"offset\":0}".to_owned())]);
    }
    assert_eq!(std::fs::read_dir(server.dir.path().join("logs")).unwrap().count(), 0);
}

#[tokio::test]
async fn following_shows_what_is_written_and_ends_with_the_attempt() {
    let (server, mut ant, assignment) = running().await;
    let attempt = assignment.attempt_id.clone();
    server.log(&attempt, 0, &[(LogStream::Stdout, b"one\n")]).await;
    for path in paths(&assignment) {
        let first = server.stream(server.request(Method::GET, &format!("{path}?follow=true")), |m| !m.is_empty()).await;
        let data: Value = serde_json::from_str(&first[0].2).unwrap();
        assert_eq!((&first[0].0[..], &first[0].1[..]), ("log", "4"));
        assert_eq!((&data["offset"], &data["stream"], &data["text"]), (&0.into(), &"stdout".into(), &"one\n".into()));
    }
    let [_, path] = paths(&assignment);
    let follow = server.request(Method::GET, &format!("{path}?follow=true")).header("last-event-id", "2");
    let follow = server.stream(follow, |_| false);
    let write = async {
        server.log(&attempt, 4, &[(LogStream::Stderr, b"\xff!")]).await;
        server.log(&attempt, 6, &[(LogStream::Stdout, b"three")]).await;
        ant.finish(server.server.queen(), &assignment).await;
        server.server.logs().finish(&attempt);
    };
    let (messages, ()) = tokio::join!(follow, write);
    assert_eq!(messages.last().unwrap(), &("end".to_owned(), String::new(), "{\"offset\":11}".to_owned()));
    let bytes: Vec<u8> = messages
        .iter()
        .filter(|(kind, ..)| kind == "log")
        .flat_map(|(_, _, data)| {
            let data: Value = serde_json::from_str(data).unwrap();
            match data["base64"].as_str() {
                Some(base64) => base64::engine::general_purpose::STANDARD.decode(base64).unwrap(),
                None => data["text"].as_str().unwrap().as_bytes().to_vec(),
            }
        })
        .collect();
    assert_eq!(bytes, b"e\n\xff!three");
}

#[tokio::test]
async fn following_ends_although_nobody_finishes_the_log() {
    let (server, mut ant, assignment) = running().await;
    let [path, _] = paths(&assignment);
    let follow = server.stream(server.request(Method::GET, &format!("{path}?follow=true&stream=stderr")), |_| false);
    let write = async {
        server.log(&assignment.attempt_id, 0, &[(LogStream::Stdout, b"a"), (LogStream::Stderr, b"b")]).await;
        ant.finish(server.server.queen(), &assignment).await;
    };
    let (messages, _orders) = tokio::join!(follow, write);
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages[0].2.contains("\"offset\":1"), "{messages:?}");
    assert_eq!(messages[1].0, "end");
}

#[tokio::test]
async fn following_ends_although_the_end_is_heard_of_before_the_last_piece() {
    let (server, mut ant, assignment) = running().await;
    let [path, _] = paths(&assignment);
    let shown = Notify::new();
    let follow = server.stream(server.request(Method::GET, &format!("{path}?follow=true")), |messages| {
        if !messages.is_empty() {
            shown.notify_one();
        }
        false
    });
    let write = async {
        server.log(&assignment.attempt_id, 0, &[(LogStream::Stdout, b"a")]).await;
        // Whoever begins to follow later finds that it has ended, at once.
        shown.notified().await;
        let orders = ant.finish(server.server.queen(), &assignment).await;
        // The follower waits a little before it looks whether the attempt has ended.
        server.log(&assignment.attempt_id, 1, &[(LogStream::Stdout, b"b")]).await;
        orders
    };
    let (messages, _orders) = tokio::join!(follow, write);
    let kinds: Vec<&str> = messages.iter().map(|message| message.0.as_str()).collect();
    assert_eq!(kinds.first().zip(kinds.last()), Some((&"log", &"end")), "{messages:?}");
    assert!(messages[messages.len() - 2].2.contains("b\""), "{messages:?}");
}

/// A piece of the attempt's log as its ant sends it.
fn piece(assignment: &Assignment, offset: usize, bytes: &[u8]) -> LogChunk {
    let chunk = chunk(&assignment.attempt_id, offset as u64, &[(LogStream::Stdout, bytes)]);
    LogChunk { token: assignment.token, ..chunk }
}

/// The file of the attempt's log, as it is written and as it is compressed.
fn files(server: &TestServer, assignment: &Assignment) -> [PathBuf; 2] {
    let dir = server.dir.path().join("logs").join(&assignment.job_id.0);
    ["log", "logz"].map(|extension| dir.join(format!("{}.{extension}", number(assignment))))
}

/// Enough to be worth compressing.
static LARGE: [u8; 100_000] = [b'x'; 100_000];

#[tokio::test]
async fn an_end_that_a_stranger_reports_finishes_no_log() {
    let (server, mut ant, assignment) = running().await;
    let line = server.server.ant_line();
    let id = ant.id.clone();
    line.append_log(&id, piece(&assignment, 0, &LARGE)).await.unwrap();
    let body = ant.report_of(&assignment);
    let wrong = Assignment { token: 0, ..assignment.clone() };
    let orders = line.report(Ant::new("thief", 1).batch(vec![report(&wrong, 2, body.clone())])).await.unwrap();
    assert_eq!(orders.stale, std::slice::from_ref(&assignment.attempt_id));
    server.server.logs().settle().await;
    let [raw, packed] = files(&server, &assignment);
    assert!(raw.exists() && !packed.exists());
    line.append_log(&id, piece(&assignment, LARGE.len(), b"more")).await.unwrap();
    // Its own ant's end does, also when it comes twice.
    for _ in 0..2 {
        line.report(ant.batch(vec![report(&assignment, 2, body.clone())])).await.unwrap();
        server.server.logs().settle().await;
        assert!(!raw.exists() && packed.exists());
    }
    assert!(server.get(&paths(&assignment)[1]).await.body.ends_with(b"xmore"));
}

#[tokio::test]
async fn the_log_of_a_lost_attempt_is_finished_too() {
    let (server, mut ant, assignment) = running().await;
    let line = server.server.ant_line();
    line.append_log(&ant.id, piece(&assignment, 0, &LARGE)).await.unwrap();
    let mut follower = server.server.logs().follow(&assignment.attempt_id, 0).await.unwrap();
    // Another process of the ant, which knows nothing of it.
    (ant.session, ant.held) = (2, 0);
    ant.poll(server.server.queen()).await;
    let end = async { while follower.next().await.unwrap().is_some() {} };
    tokio::time::timeout(Duration::from_secs(20), end).await.unwrap();
    server.server.logs().settle().await;
    let [raw, packed] = files(&server, &assignment);
    assert!(!raw.exists() && packed.exists());
    let refusal = line.append_log(&ant.id, piece(&assignment, LARGE.len(), b"more")).await.unwrap_err();
    assert!(refusal.to_string().contains("is not leased to ant under that token"), "{refusal}");
}

/// An ant that took this for trouble of the server would wait for ever.
#[tokio::test]
async fn a_piece_that_leaves_a_gap_is_refused_for_good() {
    let (server, ant, assignment) = running().await;
    let header = json!({
        "attempt_id": assignment.attempt_id, "token": assignment.token, "offset": 5,
        "segments": [{"stream": "stdout", "at": 1, "len": 3}]
    })
    .to_string();
    let length = u32::try_from(header.len()).unwrap().to_be_bytes();
    let request = server.request(Method::POST, "/api/v1/ant/log").header("atta-protocol", "1");
    let request = request.header("atta-ant", ant.id.0).body([&length[..], header.as_bytes(), b"abc"].concat());
    let refusal = server.send(request).await.problem();
    let expected = format!(
        "422 LOG_REFUSED: log of attempt {} has 0 bytes, a chunk at offset 5 leaves a gap",
        assignment.attempt_id.0
    );
    assert_eq!(refusal, expected);
}

#[tokio::test]
async fn logs_that_do_not_exist_say_why() {
    let (server, _ant, assignment) = running().await;
    let job = &assignment.job_id;
    let problem = async |path: &str| server.get(&format!("/api/v1/jobs/{path}/log")).await.problem();
    assert_eq!(
        problem(&format!("{job}/tasks/b")).await,
        format!("404 NOT_STARTED: task b of job {job} has no attempt yet, so there is no log")
    );
    assert_eq!(problem(&format!("{job}/tasks/c")).await, format!("404 NOT_FOUND: task c of job {job} not found"));
    assert_eq!(problem("x/tasks/c").await, "404 NOT_FOUND: job x not found");
    for number in ["2", "0", "-1", "99999999999", "1%2f..%2f1", "x"] {
        assert!(problem(&format!("{job}/attempts/{number}")).await.starts_with("404 "), "{number}");
    }
    assert!(problem("..%2f../attempts/1").await.starts_with("404 NOT_FOUND: attempt 1 of job"));
}
