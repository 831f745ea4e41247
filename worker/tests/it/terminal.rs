//! Scripts on a terminal.

use std::time::Duration;

use atta_core::engine::{AttemptResult, ResultName};
use atta_core::protocol::AttemptId;
use atta_core::protocol::ant::{Action, Assignment, LogStream, Orders, RenderedScript};
use atta_core::protocol::terminal::{TerminalOrder, TerminalSize};
use atta_core::secret::{SecretText, SecretValue};

use crate::harness::{Launchers, tests};
use crate::scene::Scene;
use crate::world::{World, eventually, shell};

tests![
    a_program_sees_a_terminal_of_the_usual_size,
    the_terminal_is_of_the_kind_that_the_task_says,
    another_size_is_seen,
    what_is_typed_arrives_once_however_often_it_is_said,
    a_typed_control_c_ends_what_is_in_the_foreground,
    what_is_typed_arrives_over_the_death_of_the_ant,
    what_was_typed_while_no_ant_was_there_arrives,
    a_stop_ends_a_tree_on_a_terminal,
    who_holds_a_terminal_open_does_not_hold_up_the_end,
    a_program_may_close_its_terminal_and_open_it_again,
    what_a_program_does_not_read_is_refused_and_said,
    a_secret_that_is_echoed_is_redacted,
    typing_is_activity,
    an_after_script_has_no_terminal,
];

fn on_terminal(mut assignment: Assignment) -> Assignment {
    let Action::Shell { tty, .. } = &mut assignment.action else { panic!("this is no script") };
    *tty = true;
    assignment
}

fn order(id: &AttemptId, position: u64, bytes: &[u8], size: Option<TerminalSize>) -> TerminalOrder {
    TerminalOrder { attempt_id: id.clone(), token: 7, line: 2, position, bytes: bytes.to_vec(), size }
}

fn orders(terminal: Vec<TerminalOrder>) -> Orders {
    Orders { terminal, ..Orders::default() }
}

fn typed(id: &AttemptId, position: u64, text: &str) -> Orders {
    orders(vec![order(id, position, text.as_bytes(), None)])
}

async fn a_program_sees_a_terminal_of_the_usual_size(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let script = "[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all; stty size; echo $TERM; echo err >&2; [ -c \"$(tty)\" ] && : </dev/tty && echo own; exit 4";
    let done = world.run(on_terminal(world.assignment(script))).await;
    assert_eq!(done.result(), AttemptResult::Exit(4), "{}", done.message());
    assert_eq!(done.log, "all\r\n30 120\r\nxterm-256color\r\nerr\r\nown\r\n");
    assert!(done.segments.iter().all(|segment| segment.stream == LogStream::Stdout), "{:?}", done.segments);
    world.end().await;
}

async fn the_terminal_is_of_the_kind_that_the_task_says(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let mut assignment = on_terminal(world.assignment("echo $TERM"));
    assignment.environment.insert("TERM".to_owned(), "dumb".to_owned());
    assert_eq!(world.run(assignment).await.log, "dumb\r\n");
    let done = world.script("[ -t 0 ] || [ -t 1 ] || [ -t 2 ] || echo none").await;
    assert_eq!(done.log, "none\n", "without `tty` nothing is as on a terminal");
    world.end().await;
}

async fn another_size_is_seen(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let script = "trap 'stty size; exit 0' WINCH; echo up; while :; do sleep 0.05; done";
    let id = world.begin(on_terminal(world.assignment(script)));
    world.log_has(&id, "up").await;
    world.queen.order(orders(vec![order(&id, 0, b"", Some(TerminalSize { columns: 80, rows: 24 }))]));
    assert_eq!(world.done(&id).await.log, "up\r\n24 80\r\n");
    world.end().await;
}

async fn what_is_typed_arrives_once_however_often_it_is_said(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let script = "stty -echo; echo up; read -r a; echo \"<$a>\"; read -r b; echo \"<$b>\"; read -r c; echo \"<$c>\"";
    let id = world.begin(on_terminal(world.assignment(script)));
    world.log_has(&id, "up").await;
    world.queen.order(typed(&id, 0, "one\r"));
    world.queen.order(typed(&id, 0, "one\r"));
    let stale = TerminalOrder { token: 6, ..order(&id, 4, b"stale\r", None) };
    let late = TerminalOrder { line: 1, ..order(&id, 4, b"late\r", None) };
    let other = TerminalOrder { attempt_id: AttemptId("job_9-9".to_owned()), ..order(&id, 0, b"other\r", None) };
    world.queen.order(orders(vec![stale, late, other, order(&id, 0, b"one\rtw", None)]));
    world.log_has(&id, "<one>").await;
    world.queen.order(typed(&id, 3, "\rtwo\rthree\r"));
    assert_eq!(world.done(&id).await.log, "up\r\n<one>\r\n<two>\r\n<three>\r\n");
    world.end().await;
}

async fn a_typed_control_c_ends_what_is_in_the_foreground(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    // Who says that it is up is in the foreground, and does not catch it.
    let script = "trap : INT; sh -c 'echo up; exec sleep 1000' || echo \"ended $?\"; exit 5";
    let id = world.begin(on_terminal(world.assignment(script)));
    world.log_has(&id, "up").await;
    world.queen.order(typed(&id, 0, "\x03"));
    let done = world.done(&id).await;
    assert_eq!((done.result(), done.log.as_str()), (AttemptResult::Exit(5), "up\r\n^Cended 130\r\n"));
    // What does not catch it ends by it, and says so.
    let id = world.begin(on_terminal(world.assignment("echo up; sleep 1000")));
    world.log_has(&id, "up").await;
    world.queen.order(typed(&id, 0, "\x03"));
    let done = world.done(&id).await;
    assert_eq!(done.message(), "was killed by signal SIGINT (2)");
    world.end().await;
}

const CONVERSATION: &str = "stty -echo; echo \"pid $$\"; echo up; read -r a; echo \"a=$a\"; read -r b; echo \"b=$b\"; \
                            stty size; echo \"pid $$\"; exit 6";

async fn what_is_typed_arrives_over_the_death_of_the_ant(_: Launchers) {
    let mut scene = Scene::new();
    scene.start_plain().await;
    let id = scene.begin(on_terminal(scene.assignment(CONVERSATION)));
    scene.queen.log_has(&id, "up").await;
    scene.queen.order(orders(vec![order(&id, 0, b"one\r", Some(TerminalSize { columns: 90, rows: 20 }))]));
    scene.queen.log_has(&id, "a=one").await;
    scene.kill();
    scene.start_plain().await;
    let queen = scene.queen.clone();
    eventually("the new ant says how far it has come", || {
        let typed = queen.typed.lock().unwrap();
        typed.iter().any(|typed| typed.attempt_id == id && (typed.line, typed.upto) == (2, 4))
    })
    .await;
    // A queen who does not know says all of it once more.
    scene.queen.order(typed(&id, 0, "one\rtwo\r"));
    let done = scene.queen.done(&id).await;
    assert_eq!(done.result(), AttemptResult::Exit(6), "{}", done.message());
    let pids: Vec<&str> = done.log.lines().filter(|line| line.starts_with("pid ")).collect();
    assert!(pids.len() == 2 && pids[0] == pids[1], "{}", done.log);
    let rest: Vec<&str> = done.log.lines().filter(|line| !line.starts_with("pid ")).collect();
    assert_eq!(rest, ["up", "a=one", "b=two", "20 90"], "the size is as it was");
    scene.end().await;
}

async fn what_was_typed_while_no_ant_was_there_arrives(_: Launchers) {
    let mut scene = Scene::new();
    scene.start_plain().await;
    let id = scene.begin(on_terminal(scene.assignment(CONVERSATION)));
    scene.queen.log_has(&id, "up").await;
    scene.kill();
    scene.queen.order(typed(&id, 0, "one\rtwo\r"));
    scene.start_plain().await;
    let done = scene.queen.done(&id).await;
    assert_eq!(done.result(), AttemptResult::Exit(6), "{}", done.message());
    assert!(done.log.contains("a=one\r\nb=two\r\n"), "{}", done.log);
    scene.end().await;
}

async fn a_stop_ends_a_tree_on_a_terminal(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    // One ends by TERM, one needs KILL, one has left the session.
    let script = "trap '' HUP; sh -c 'trap \"\" TERM HUP; sleep 1000' & setsid sleep 1000 & echo up; sleep 1000";
    let id = world.begin(on_terminal(world.assignment(script)));
    world.log_has(&id, "up").await;
    world.stop(&id, "enough");
    let done = world.done(&id).await;
    assert_eq!(done.result(), AttemptResult::Named(ResultName::Cancelled));
    assert_eq!((done.message(), done.log.contains("stopping: enough\n")), ("was stopped: enough", true));
    world.assert_empty();
    world.end().await;
}

async fn who_holds_a_terminal_open_does_not_hold_up_the_end(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let script = "trap '' HUP; sh -c 'trap \"\" TERM HUP; echo held; sleep 1000' & setsid sh -c 'sleep 1000' & \
                  sleep 0.2; echo last; exit 3";
    let done = world.run(on_terminal(world.assignment(script))).await;
    assert_eq!(done.result(), AttemptResult::Exit(3), "{}", done.message());
    assert!(done.log.contains("held\r\n") && done.log.contains("last\r\n"), "{}", done.log);
    world.end().await;
}

async fn a_program_may_close_its_terminal_and_open_it_again(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let script = "echo first; exec 0<&- 1>&- 2>&-; sleep 0.2; exec 0</dev/tty 1>/dev/tty 2>&1; echo second; read -r x; \
                  echo \"<$x>\"";
    let id = world.begin(on_terminal(world.assignment(script)));
    world.log_has(&id, "second").await;
    world.queen.order(typed(&id, 0, "again\r"));
    let done = world.done(&id).await;
    assert_eq!((done.result(), done.log.as_str()), (AttemptResult::Exit(0), "first\r\nsecond\r\nagain\r\n<again>\r\n"));
    world.end().await;
}

async fn what_a_program_does_not_read_is_refused_and_said(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let go = world.directory.path().join("go");
    let script = format!(
        "stty raw -echo; echo up; printf two-; until [ -e '{}' ]; do sleep 0.02; done; echo halves; sleep 1000",
        go.display()
    );
    let id = world.begin(on_terminal(world.assignment(&script)));
    world.log_has(&id, "two-").await;
    let piece = "x".repeat(50_000);
    for n in 0..8 {
        world.queen.order(typed(&id, n * 50_000, &piece));
    }
    std::fs::write(go, "").unwrap();
    world.log_has(&id, " bytes that were typed were not taken here: the program does not read").await;
    world.stop(&id, "enough");
    let done = world.done(&id).await;
    let refused: u64 = done
        .log
        .lines()
        .filter_map(|line| line.strip_prefix("\u{2026} ")?.split(' ').next()?.parse::<u64>().ok())
        .sum();
    // Half a line could be half a secret: nothing is said within one.
    assert!(done.log.contains("two-halves\n"), "{}", done.log);
    // What the kernel holds is its own matter.
    assert!((100_000..400_000 - 65_536).contains(&refused), "{refused}: {}", done.log);
    assert_eq!(done.result(), AttemptResult::Named(ResultName::Cancelled));
    world.end().await;
}

async fn a_secret_that_is_echoed_is_redacted(mut launchers: Launchers) {
    const SECRET: &str = "correct-horse-battery";
    let world = World::new(launchers.take()).await;
    let mut assignment = on_terminal(world.assignment("echo up; read -r x; echo \"<$x>\""));
    let value = SecretText::new(SECRET.to_owned());
    assignment.secrets.values = vec![SecretValue { name: "Token".to_owned(), value }];
    let id = world.begin(assignment);
    world.log_has(&id, "up").await;
    // As somebody types.
    for (position, key) in (0..).zip(SECRET.bytes().chain([b'\r'])) {
        world.queen.order(orders(vec![order(&id, position, &[key], None)]));
    }
    let done = world.done(&id).await;
    assert_eq!(done.log, "up\r\n***\r\n<***>\r\n");
    world.end().await;
}

async fn typing_is_activity(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let mut assignment = on_terminal(world.assignment("stty -echo; echo up; read -r x; echo \"<$x>\""));
    assignment.idle_timeout = Some(Duration::from_secs(2));
    let id = world.begin(assignment);
    world.log_has(&id, "up").await;
    for (position, key) in (0..).zip(*b"slowly") {
        tokio::time::sleep(Duration::from_millis(600)).await;
        world.queen.order(orders(vec![order(&id, position, &[key], None)]));
    }
    world.queen.order(typed(&id, 6, "\r"));
    let done = world.done(&id).await;
    assert_eq!((done.result(), done.log.as_str()), (AttemptResult::Exit(0), "up\r\n<slowly>\r\n"));
    world.end().await;
}

async fn an_after_script_has_no_terminal(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let mut assignment = on_terminal(world.assignment("[ -t 1 ] && echo main"));
    *shell(&mut assignment).2 =
        Some(RenderedScript { preamble: String::new(), text: "[ -t 0 ] || [ -t 1 ] || echo after".to_owned() });
    let done = world.run(assignment).await;
    assert_eq!((done.log.as_str(), done.report.warnings.len()), ("main\r\nafter\n", 0));
    world.end().await;
}
