//! Typing into attempts: who may, what of it reaches the ant, and what is written down.

use std::time::Duration;

use atta_core::protocol::AttemptId;
use atta_core::protocol::ant::{Assignment, Heard, Orders};
use atta_core::protocol::terminal::{TerminalSession, TerminalSize, TypedInput};
use atta_server::scheduler::{Queen, QueenConfig, Refusal, TerminalCommand, Typist};

use super::rig::{Ant, Rig, definition};

const SIZE: TerminalSize = TerminalSize { columns: 80, rows: 24 };

fn typist(user: &str) -> Typist {
    Typist { user: user.to_owned(), token: format!("{user}-laptop"), request_id: "req".to_owned() }
}

/// A job with the tasks a and b on terminals, and c without one, all of them running.
async fn begun(rig: &Rig) -> (Ant, Vec<Assignment>) {
    rig.upload(&definition(
        "",
        &[("a", "tty: true\ndependencies: []"), ("b", "tty: true\ndependencies: []"), ("c", "dependencies: []")],
    ))
    .await;
    rig.submit("flow").await;
    let mut ant = Ant::new("ant", 3);
    let mut work = Vec::new();
    while work.len() < 3 {
        work.extend(ant.poll(&rig.queen).await.assignments);
    }
    work.sort_by(|a, b| a.task.cmp(&b.task));
    for one in &work {
        ant.start(&rig.queen, one).await;
    }
    ant.hold(&work);
    rig.settle().await;
    (ant, work)
}

async fn open(queen: &Queen, attempt: &AttemptId, user: &str, take_over: bool) -> Result<TerminalSession, Refusal> {
    queen.open_terminal(attempt, typist(user), SIZE, take_over).await
}

async fn input(queen: &Queen, session: &TerminalSession, seq: u64, bytes: &[u8]) -> Result<(), Refusal> {
    let command = TerminalCommand::Input { seq, bytes: bytes.to_vec() };
    queen.use_terminal(&session.attempt_id, &session.session, typist("ann"), command).await
}

/// The code and the sentence of a refusal.
fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>) -> (&'static str, String) {
    match result.unwrap_err() {
        Refusal::Conflict { code, message } | Refusal::Gone { code, message } | Refusal::TooMany { code, message } => {
            (code, message)
        }
        other => panic!("{other:?}"),
    }
}

/// What the ant is told, as `line position bytes size`.
fn told(orders: &Orders) -> Vec<(u64, String, bool)> {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    orders.terminal.iter().map(|order| (order.position, shown(&order.bytes), order.size.is_some())).collect()
}

/// The ant has heard these orders.
fn heard(ant: &mut Ant, orders: &Orders) {
    ant.heard = Heard { epoch: orders.epoch, upto: orders.serial, also: Vec::new() };
}

/// What is in the audit, as `action detail`.
async fn audit(rig: &Rig) -> Vec<String> {
    rig.rows("SELECT action, detail FROM audit ORDER BY sequence").await
}

#[tokio::test]
pub(crate) async fn only_what_runs_on_a_terminal_can_be_typed_into_and_by_one_at_a_time() {
    let rig = Rig::new().await;
    let (mut ant, work) = begun(&rig).await;
    let [a, b, c] = [0, 1, 2].map(|at: usize| work[at].attempt_id.clone());
    let (code, message) = refused(open(&rig.queen, &c, "ann", false).await);
    assert_eq!((code, message.as_str()), ("NO_TERMINAL", "the task `c` has no terminal: give it `tty: true`"));
    let first = open(&rig.queen, &a, "ann", false).await.unwrap();
    assert_eq!((first.next_seq, first.expires_after_ms, &first.attempt_id), (1, 60_000, &a));
    let (code, message) = refused(open(&rig.queen, &a, "bob", false).await);
    assert_eq!(code, "TERMINAL_IN_USE");
    assert!(message.starts_with(&format!("ann types into {a} since 2026-01-05T00:00:00.000Z")), "{message}");
    let second = open(&rig.queen, &a, "bob", true).await.unwrap();
    let (code, message) = refused(input(&rig.queen, &first, 1, b"x").await);
    assert_eq!((code, message.contains("bob took the terminal over")), ("TERMINAL_CLOSED", true), "{message}");
    // The other one is somebody else's.
    let (code, message) = refused(input(&rig.queen, &second, 1, b"x").await);
    assert_eq!((code, message.contains("it is one of bob")), ("TERMINAL_CLOSED", true), "{message}");
    open(&rig.queen, &b, "ann", false).await.unwrap();
    // Taking one over needs no further place.
    let third = open(&rig.queen, &b, "ann", true).await.unwrap();
    ant.finish(&rig.queen, &work[1]).await;
    let (code, message) = refused(input(&rig.queen, &third, 1, b"x").await);
    assert_eq!((code, message.contains("the attempt has ended")), ("TERMINAL_CLOSED", true), "{message}");
    let (code, message) = refused(open(&rig.queen, &b, "ann", false).await);
    assert_eq!((code, message), ("ATTEMPT_NOT_RUNNING", format!("{b} does not run: nobody can type into it")));
}

#[tokio::test]
pub(crate) async fn there_are_no_more_sessions_than_the_server_allows() {
    let mut rig = Rig::new().await;
    let (mut ant, work) = begun(&rig).await;
    for (most, sentence) in [
        (1, "1 terminals are typed into already, and this server allows no more"),
        (0, "this server lets nobody type into terminals"),
    ] {
        rig.queen.abandon().await;
        rig.queen = Queen::open(QueenConfig { terminal_sessions: most, ..rig.config() }).await.unwrap();
        ant.poll(&rig.queen).await;
        if most > 0 {
            open(&rig.queen, &work[0].attempt_id, "ann", false).await.unwrap();
        }
        let (code, message) = refused(open(&rig.queen, &work[1].attempt_id, "bob", false).await);
        assert_eq!((code, message.starts_with(sentence)), ("TOO_MANY_TERMINALS", true), "{message}");
    }
}

#[tokio::test]
pub(crate) async fn an_input_is_told_once_and_a_missing_one_is_noticed() {
    let rig = Rig::new().await;
    let (mut ant, work) = begun(&rig).await;
    let session = open(&rig.queen, &work[0].attempt_id, "ann", false).await.unwrap();
    input(&rig.queen, &session, 1, b"ls").await.unwrap();
    input(&rig.queen, &session, 1, b"ls").await.unwrap();
    let (code, message) = refused(input(&rig.queen, &session, 3, b"x").await);
    assert_eq!((code, message.as_str()), ("TERMINAL_GAP", "seq 2 is expected, and this is 3: something is missing"));
    let orders = ant.poll(&rig.queen).await;
    assert_eq!(told(&orders), [(0, "ls".to_owned(), true)]);
    assert_eq!((orders.terminal[0].token, orders.terminal[0].size), (work[0].token, Some(SIZE)));
    // More is told when that was heard, and nothing twice.
    input(&rig.queen, &session, 2, b"\r").await.unwrap();
    assert_eq!(told(&ant.poll(&rig.queen).await), []);
    heard(&mut ant, &orders);
    let orders = ant.poll(&rig.queen).await;
    assert_eq!(told(&orders), [(2, "\r".to_owned(), false)]);
    heard(&mut ant, &orders);
    assert_eq!(told(&ant.poll(&rig.queen).await), []);
    // What seems to be lost on the way is said again; the attempt has come to 1 so far.
    input(&rig.queen, &session, 3, b"pwd").await.unwrap();
    assert_eq!(told(&ant.poll(&rig.queen).await), [(3, "pwd".to_owned(), false)]);
    let attempt_id = session.attempt_id.clone();
    ant.typed = vec![TypedInput { attempt_id, line: orders.terminal[0].line, upto: 1 }];
    rig.pass(Duration::from_secs(4)).await;
    assert_eq!(told(&ant.poll(&rig.queen).await), [(1, "s\rpwd".to_owned(), false)]);
}

#[tokio::test]
pub(crate) async fn another_process_of_the_ant_is_told_what_the_attempt_does_not_have() {
    let rig = Rig::new().await;
    let (mut ant, work) = begun(&rig).await;
    let session = open(&rig.queen, &work[0].attempt_id, "ann", false).await.unwrap();
    input(&rig.queen, &session, 1, b"one two").await.unwrap();
    let orders = ant.poll(&rig.queen).await;
    heard(&mut ant, &orders);
    let line = orders.terminal[0].line;
    ant.session += 1;
    ant.heard = Heard::default();
    ant.typed = vec![TypedInput { attempt_id: session.attempt_id.clone(), line, upto: 4 }];
    let orders = ant.poll(&rig.queen).await;
    assert_eq!((told(&orders), orders.terminal[0].line), (vec![(4, "two".to_owned(), true)], line));
    // The session is as it was.
    input(&rig.queen, &session, 2, b"!").await.unwrap();
    // What somebody says of another line is of no attempt that was typed into by this server.
    heard(&mut ant, &orders);
    ant.typed[0] = TypedInput { line: line - 1, upto: 7, ..ant.typed[0].clone() };
    assert_eq!(told(&ant.poll(&rig.queen).await), [(7, "!".to_owned(), false)]);
}

#[tokio::test]
pub(crate) async fn what_the_ant_does_not_take_is_bounded() {
    let rig = Rig::new().await;
    let (mut ant, work) = begun(&rig).await;
    let session = open(&rig.queen, &work[0].attempt_id, "ann", false).await.unwrap();
    for seq in 1..=4 {
        input(&rig.queen, &session, seq, &[b'x'; 16 << 10]).await.unwrap();
    }
    let (code, message) = refused(input(&rig.queen, &session, 5, b"y").await);
    assert_eq!(code, "TERMINAL_BUSY");
    assert_eq!(message, "65536 bytes that were typed before wait for ant: type these later");
    let orders = ant.poll(&rig.queen).await;
    ant.typed = vec![TypedInput { attempt_id: session.attempt_id.clone(), line: orders.terminal[0].line, upto: 1 }];
    ant.poll(&rig.queen).await;
    // Until it is written down it counts, too.
    rig.advance(Duration::from_secs(1)).await;
    input(&rig.queen, &session, 5, b"y").await.unwrap();
}

#[tokio::test]
pub(crate) async fn a_session_ends_in_silence_by_the_clock_and_with_the_server() {
    let mut rig = Rig::new().await;
    let (mut ant, work) = begun(&rig).await;
    let session = open(&rig.queen, &work[0].attempt_id, "ann", false).await.unwrap();
    let resize = TerminalCommand::Resize(TerminalSize { columns: 100, rows: 50 });
    for _ in 0..3 {
        rig.advance(Duration::from_secs(40)).await;
        ant.poll(&rig.queen).await;
        let resized = rig.queen.use_terminal(&session.attempt_id, &session.session, typist("ann"), resize.clone());
        resized.await.unwrap();
    }
    for _ in 0..3 {
        rig.advance(Duration::from_secs(20)).await;
        ant.poll(&rig.queen).await;
    }
    let (code, message) = refused(input(&rig.queen, &session, 1, b"x").await);
    assert_eq!(code, "TERMINAL_CLOSED");
    assert_eq!(message, "this session of the terminal has ended: nothing was heard of it for 60 s");
    let session = open(&rig.queen, &work[0].attempt_id, "ann", false).await.unwrap();
    rig.restart().await;
    ant.session += 1;
    ant.poll(&rig.queen).await;
    let (code, message) = refused(input(&rig.queen, &session, 1, b"x").await);
    assert_eq!((code, message.contains("or the server was started anew")), ("TERMINAL_CLOSED", true), "{message}");
    // Another one is on another line, which the attempt knows to be newer.
    let session = open(&rig.queen, &work[0].attempt_id, "ann", false).await.unwrap();
    input(&rig.queen, &session, 1, b"again").await.unwrap();
    let orders = ant.poll(&rig.queen).await;
    assert_eq!(told(&orders), [(0, "again".to_owned(), true)]);
    assert!(orders.terminal[0].line > 2 << 32, "{}", orders.terminal[0].line);
    rig.queen.use_terminal(&session.attempt_id, &session.session, typist("ann"), TerminalCommand::Close).await.unwrap();
    let (code, message) = refused(input(&rig.queen, &session, 2, b"x").await);
    assert_eq!((code, message.ends_with("has ended: it was closed")), ("TERMINAL_CLOSED", true), "{message}");
}

#[tokio::test]
pub(crate) async fn all_of_it_is_written_down_gathered_and_without_secrets() {
    let rig = Rig::new().await;
    rig.queen.put_config(None, "Token", "correct-horse-battery".into(), Some(true), false).await.unwrap();
    rig.upload(&definition("", &[("a", "tty: true\nenv_from: [{secrets: [Token]}]")])).await;
    rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let work = ant.poll(&rig.queen).await.assignments.remove(0);
    ant.start(&rig.queen, &work).await;
    ant.hold(std::slice::from_ref(&work));
    rig.settle().await;
    let session = open(&rig.queen, &work.attempt_id, "ann", false).await.unwrap();
    let mut seq = 1;
    for key in b"ls\r" {
        input(&rig.queen, &session, seq, &[*key]).await.unwrap();
        seq += 1;
    }
    assert_eq!(audit(&rig).await, ["terminal.open 80 columns, 24 rows"], "it is gathered");
    rig.advance(Duration::from_millis(600)).await;
    assert_eq!(audit(&rig).await[1..], ["terminal.input ls\\r"]);
    // Key by key, over several entries.
    for (at, key) in b"correct-horse-battery\x03".iter().enumerate() {
        input(&rig.queen, &session, seq, &[*key]).await.unwrap();
        seq += 1;
        if at % 8 == 0 {
            rig.advance(Duration::from_millis(600)).await;
        }
    }
    input(&rig.queen, &session, seq, b"last").await.unwrap();
    let taken = open(&rig.queen, &work.attempt_id, "bob", true).await.unwrap();
    let close = TerminalCommand::Close;
    rig.queen.use_terminal(&taken.attempt_id, &taken.session, typist("bob"), close).await.unwrap();
    assert_eq!(
        audit(&rig).await[2..],
        [
            "terminal.input ***\\u{3}last",
            "terminal.close bob took the terminal over",
            "terminal.take_over from ann, who typed since 2026-01-05T00:00:00.000Z",
            "terminal.open 80 columns, 24 rows",
            "terminal.close it was closed",
        ]
    );
    let rows = rig.rows("SELECT DISTINCT user_name, token, target, request_id FROM audit ORDER BY user_name").await;
    let target = format!("/api/v1/jobs/{}/attempts/1/terminal", work.job_id);
    assert_eq!(rows, [format!("ann ann-laptop {target} req"), format!("bob bob-laptop {target} req")]);
}

#[tokio::test]
pub(crate) async fn a_task_on_a_terminal_waits_for_an_ant_that_has_some() {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "tty: true")])).await;
    let mut old = Ant::new("old", 1);
    old.methods = vec!["AGENT".to_owned(), "GITHUB".to_owned()];
    old.poll(&rig.queen).await;
    let job = rig.submit("flow").await;
    assert!(old.poll(&rig.queen).await.assignments.is_empty());
    let reason = rig.rows(&format!("SELECT reason FROM attempts WHERE job_id = '{job}'")).await.concat();
    assert_eq!(reason, "waits for an ant that can give a task a terminal: no connected ant can; older versions cannot");
    let mut new = Ant::new("new", 1);
    assert_eq!(new.poll(&rig.queen).await.assignments[0].task, "a");
}
