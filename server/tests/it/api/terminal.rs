//! Terminals over HTTP: what page and command line rely on.

use atta_core::protocol::access::{Role, TokenRequest};
use atta_core::protocol::ant::Assignment;
use atta_server::auth::AuthMode;
use reqwest::Method;
use serde_json::{Value, json};

use super::rig::{Answer, LOOPBACK, TestServer, config, number};
use crate::queen::rig::{Ant, definition};

/// One byte more than an input may have.
static TOO_LONG: [u8; 16_385] = [b'x'; 16_385];

struct Rig {
    server: TestServer,
    ant: Ant,
    /// On a terminal, and without one; both run.
    work: Vec<Assignment>,
}

impl Rig {
    async fn start(auth: AuthMode) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path(), Some(LOOPBACK));
        config.auth = auth;
        let server = TestServer::with(dir, config).await.unwrap();
        let queen = server.server.queen();
        let source = definition("", &[("a", "tty: true\ndependencies: []"), ("b", "dependencies: []")]);
        queen.upload_definition("flow.yaml", &source).await.unwrap();
        queen.submit(crate::queen::rig::request("flow"), "test", None).await.unwrap();
        let mut ant = Ant::new("ant", 2);
        let mut work = Vec::new();
        while work.len() < 2 {
            work.extend(ant.poll(queen).await.assignments);
        }
        work.sort_by(|a, b| a.task.cmp(&b.task));
        for one in &work {
            ant.start(queen, one).await;
        }
        ant.hold(&work);
        // What it has said is applied before this is answered.
        ant.poll(queen).await;
        Self { server, ant, work }
    }

    fn path(&self, at: usize, rest: &str) -> String {
        let work = &self.work[at];
        format!("/api/v1/jobs/{}/attempts/{}/terminal{rest}", work.job_id, number(work))
    }

    async fn token(&self, name: &str, role: Role) -> String {
        let request = TokenRequest { name: name.to_owned(), role, user: None, expires_in: None, ant: None, tags: None };
        self.server.server.queen().create_token(request, "the test").await.unwrap().value.reveal().to_owned()
    }

    async fn send(&self, method: Method, rest: &str, token: Option<&str>, body: Option<&Value>) -> Answer {
        let mut request = self.server.request(method, &self.path(0, rest));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        self.server.send(request).await
    }

    async fn input(&self, session: &str, query: &str, body: &'static [u8]) -> Answer {
        let request = self.server.request(Method::POST, &self.path(0, &format!("/{session}/input{query}")));
        self.server.send(request.header("content-type", "application/octet-stream").body(body)).await
    }

    async fn open(&self) -> String {
        let answer = self.send(Method::POST, "", None, None).await;
        assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (201, "no-store"), "{answer:?}");
        answer.json()["session"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_session_is_opened_typed_in_resized_and_closed() {
    let mut rig = Rig::start(AuthMode::Open).await;
    let opened = rig.send(Method::POST, "", None, Some(&json!({"columns": 80, "rows": 25}))).await;
    let session = opened.json()["session"].as_str().unwrap().to_owned();
    let attempt = rig.work[0].attempt_id.to_string();
    let expected = json!({"session": session, "attempt_id": attempt, "expires_after_ms": 60_000, "next_seq": 1});
    assert_eq!((opened.status.as_u16(), opened.json()), (201, expected));
    assert_eq!(rig.input(&session, "?seq=1", b"ls\r").await.status, 204);
    assert_eq!(rig.input(&session, "?seq=1", b"ls\r").await.status, 204);
    let orders = rig.ant.poll(rig.server.server.queen()).await;
    assert_eq!((orders.terminal.len(), &orders.terminal[0].bytes[..]), (1, &b"ls\r"[..]));
    assert_eq!(orders.terminal[0].size.map(|size| (size.columns, size.rows)), Some((80, 25)));
    let resized =
        rig.send(Method::PUT, &format!("/{session}/size"), None, Some(&json!({"columns": 2, "rows": 1000}))).await;
    assert_eq!(resized.status, 204);
    assert_eq!(rig.send(Method::DELETE, &format!("/{session}"), None, None).await.status, 204);
    let closed = rig.send(Method::DELETE, &format!("/{session}"), None, None).await;
    assert_eq!(closed.problem(), "410 TERMINAL_CLOSED: this session of the terminal has ended: it was closed");
    // Nobody had a token; it is written down all the same, and by no other entry.
    let entries = rig.server.get("/api/v1/audit").await.json();
    let all: Vec<String> = entries["items"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|one| format!("{} {} {}", one["user"].as_str().unwrap(), one["action"].as_str().unwrap(), one["detail"]))
        .collect();
    assert_eq!(
        all,
        [
            "somebody on this machine terminal.open \"80 columns, 25 rows\"",
            "somebody on this machine terminal.input \"ls\\\\r\"",
            "somebody on this machine terminal.close \"it was closed\"",
        ]
    );
}

#[tokio::test]
async fn what_is_done_with_a_terminal_is_told_as_a_change_of_the_audit() {
    let rig = Rig::start(AuthMode::Open).await;
    let request = rig.server.request(Method::GET, "/api/v1/events/stream");
    let audit = |(kind, _, data): &(String, String, String)| kind == "changed" && data.contains("\"audit\"");
    let seen = rig.server.stream(request, |seen| seen.iter().any(audit));
    // Until the stream is open nobody is told anything.
    let work = async {
        for _ in 0_u32.. {
            let session = rig.open().await;
            assert_eq!(rig.send(Method::DELETE, &format!("/{session}"), None, None).await.status, 204);
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
async fn attempts_say_whether_they_have_a_terminal() {
    let rig = Rig::start(AuthMode::Open).await;
    let job = rig.work[0].job_id.to_string();
    let attempts = rig.server.get(&format!("/api/v1/jobs/{job}/attempts")).await.json();
    let tty = |attempt: &Value| attempt.get("tty").cloned();
    for one in attempts["items"].as_array().unwrap() {
        let expected = (one["task_type"] == "a").then_some(Value::Bool(true));
        assert_eq!(tty(&one["attempt"]).or_else(|| tty(one)), expected, "{one}");
    }
    for task in rig.server.get(&format!("/api/v1/jobs/{job}")).await.json()["tasks"].as_array().unwrap() {
        let expected = (task["task_type"] == "a").then_some(Value::Bool(true));
        assert_eq!(tty(&task["attempt_list"][0]), expected, "{task}");
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_said() {
    let rig = Rig::start(AuthMode::Open).await;
    let session = rig.open().await;
    let job = rig.work[0].job_id.to_string();
    let post = async |path: &str| rig.server.send(rig.server.request(Method::POST, path)).await.problem();
    assert_eq!(post(&rig.path(1, "")).await, "409 NO_TERMINAL: the task `b` has no terminal: give it `tty: true`");
    let unknown = format!("/api/v1/jobs/{job}/attempts/99/terminal");
    assert_eq!(post(&unknown).await, format!("404 NOT_FOUND: attempt 99 of job {job} not found"));
    let second = rig.send(Method::POST, "", None, None).await.problem();
    assert!(second.starts_with("409 TERMINAL_IN_USE: somebody on this machine types into "), "{second}");
    let small = rig.send(Method::POST, "", None, Some(&json!({"take_over": true, "columns": 1, "rows": 30}))).await;
    assert_eq!(small.problem(), "422 INVALID_REQUEST: a terminal has 2 to 1000 columns and rows, not 1 and 30");
    let size =
        rig.send(Method::PUT, &format!("/{session}/size"), None, Some(&json!({"columns": 80, "rows": 1001}))).await;
    assert_eq!(size.status, 422);
    assert_eq!(
        rig.input(&session, "", b"x").await.problem(),
        "400 BAD_REQUEST: the query has to say the `seq` of the input"
    );
    assert!(rig.input(&session, "?seq=0", b"x").await.problem().contains("a number from 1 on is expected"));
    assert_eq!(
        rig.input(&session, "?seq=1", b"").await.problem(),
        "400 BAD_REQUEST: the request's body is empty: 1 to 16384 bytes are expected"
    );
    assert!(rig.input(&session, "?seq=1", &TOO_LONG).await.problem().starts_with("413 TOO_LARGE"));
    let text = rig.server.request(Method::POST, &rig.path(0, &format!("/{session}/input?seq=1"))).json(&json!("x"));
    assert!(rig.server.send(text).await.problem().starts_with("415 UNSUPPORTED_MEDIA_TYPE"));
    assert_eq!(
        rig.input(&session, "?seq=2", b"x").await.problem(),
        "409 TERMINAL_GAP: seq 1 is expected, and this is 2: something is missing"
    );
    for seq in 1..=4 {
        assert_eq!(rig.input(&session, &format!("?seq={seq}"), &[b'x'; 16_384]).await.status, 204);
    }
    let busy = rig.input(&session, "?seq=5", b"x").await;
    assert_eq!(busy.header("retry-after"), "2");
    assert_eq!(busy.problem(), "429 TERMINAL_BUSY: 65536 bytes that were typed before wait for ant: type these later");
    let other = rig.input("term_unknown", "?seq=1", b"x").await.problem();
    assert_eq!(
        other,
        "410 TERMINAL_CLOSED: this session of the terminal has ended: it is long over, or the server was started anew"
    );
}

#[tokio::test]
async fn operators_type_and_viewers_do_not() {
    let rig = Rig::start(AuthMode::Required).await;
    let (viewer, submitter) = (rig.token("vera", Role::Viewer).await, rig.token("sam", Role::Submitter).await);
    let (operator, admin) = (rig.token("olga", Role::Operator).await, rig.token("root", Role::Admin).await);
    for (name, token) in [("vera", &viewer), ("sam", &submitter)] {
        let answer = rig.send(Method::POST, "", Some(token), None).await.problem();
        let role = if name == "vera" { "viewer" } else { "submitter" };
        assert_eq!(
            answer,
            format!("403 ROLE_NEEDED: this needs the role operator, and the token {name} has the role {role}")
        );
    }
    let opened = rig.send(Method::POST, "", Some(&operator), None).await;
    assert_eq!(opened.status, 201, "{opened:?}");
    let taken = rig.send(Method::POST, "", Some(&admin), Some(&json!({"take_over": true}))).await;
    assert_eq!(taken.status, 201, "{taken:?}");
    let session = opened.json()["session"].as_str().unwrap().to_owned();
    let size = json!({"columns": 80, "rows": 24});
    let answer = rig.send(Method::PUT, &format!("/{session}/size"), Some(&operator), Some(&size)).await;
    assert_eq!(
        answer.problem(),
        "410 TERMINAL_CLOSED: this session of the terminal has ended: root took the terminal over"
    );
    let audit = rig.server.request(Method::GET, "/api/v1/audit").bearer_auth(&admin);
    let entries = rig.server.send(audit).await.json();
    let all: Vec<String> = entries["items"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|one| [&one["user"], &one["token"], &one["action"]].map(|text| text.as_str().unwrap()).join(" "))
        .collect();
    assert_eq!(
        all,
        [
            "olga olga terminal.open",
            "olga olga terminal.close",
            "root root terminal.take_over",
            "root root terminal.open"
        ]
    );
}
