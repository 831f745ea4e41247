//! Terminals from end to end: a real server, real programs on terminals, and people at theirs.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use serde_json::Value;

use crate::live_server::{LIMIT, LiveServer, atta, path, wait_for};
use crate::remote::rig::{Queen, Running};
use crate::scratch::Scratch;

/// Says its process, then every line that it reads, until one is `bye`.
const PARROT: &str = r#"
job_type: parrot
defaults: {shell: [bash, -eu]}
tasks:
  - task_type: parrot
    tty: true
    script:
      - stty -echo
      - 'echo "pid $$"'
      - 'while read -r line; do echo "heard <$line>"; [ "$line" != size ] || stty size; [ "$line" != bye ] || break; done'
      - 'echo "end $$"'
  - task_type: plain
    dependencies: []
    script: [echo plain]
"#;

fn submit(server: &LiveServer, scratch: &Scratch) -> String {
    let file = scratch.write("parrot.yaml", PARROT);
    server.json(&["submit", &file, "--json"])["job_id"].as_str().expect("an id").to_owned()
}

fn log(server: &LiveServer, job: &str) -> String {
    String::from_utf8_lossy(&server.client(&["logs", job, "parrot"]).stdout).into_owned()
}

fn wait_for_log(server: &LiveServer, job: &str, text: &str) {
    wait_for(&format!("the log to have {text:?}"), || log(server, job).contains(text).then_some(()));
}

/// A client of the API by hand, for what the command line hides.
struct Hand {
    address: String,
    path: String,
}

impl Hand {
    fn new(server: &LiveServer, job: &str) -> Self {
        let address = server.url.strip_prefix("http://").expect("it speaks HTTP").to_owned();
        Self { address, path: format!("/api/v1/jobs/{job}/attempts/1/terminal") }
    }

    fn post(&self, rest: &str, kind: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let request = format!(
            "POST {}{rest} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            self.path,
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    fn open(&self, take_over: bool) -> String {
        let body = serde_json::json!({"take_over": take_over}).to_string();
        let (status, answer) = self.post("", "application/json", &body);
        assert_eq!(status, 201, "{answer}");
        answer["session"].as_str().expect("a session").to_owned()
    }

    fn input(&self, session: &str, seq: u64, text: &str) -> (u16, Value) {
        self.post(&format!("/{session}/input?seq={seq}"), "application/octet-stream", text)
    }
}

#[test]
fn what_stands_on_stdin_is_typed_and_what_is_printed_is_shown_to_its_end() {
    let scratch = Scratch::new();
    let server = LiveServer::start(scratch.root(), &path());
    let job = submit(&server, &scratch);
    wait_for_log(&server, &job, "pid ");
    let done = server.client_with_stdin(&["attach", &job, "parrot", "--write"], "hello\nbye\n");
    let shown = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{done:?}");
    assert!(shown.contains("heard <hello>\r\nheard <bye>\r\nend "), "{shown}");
    assert_eq!(server.finished(&job)["state"], "COMPLETED");
    // To watch what is over shows all of it.
    let watched = server.client(&["attach", &job, "parrot"]);
    assert_eq!(String::from_utf8_lossy(&watched.stdout), shown);
    for (arguments, sentence) in [
        (&["attach", &job, "plain"][..], "The task plain has no terminal."),
        (&["attach", &job, "nothing"], "has no task nothing."),
        (&["attach", &job, "parrot", "--attempt", "9"], "parrot has no attempt 9 that started."),
        (&["attach", &job, "parrot", "--write"], "does not run: nobody can type into it"),
        (&["attach", &job, "parrot", "--take-over"], "--write"),
    ] {
        let refused = server.client(arguments);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(sentence), "{arguments:?}: {said}");
    }
    server.stop();
}

/// A person at a terminal, on which the program runs.
struct Person {
    process: Running,
    keyboard: File,
    seen: Arc<Mutex<Vec<u8>>>,
    terminal: OwnedFd,
}

impl Person {
    fn sits_down(server: &LiveServer, arguments: &[&str]) -> Self {
        let mut command = Command::new(atta());
        command.args(arguments).env("ATTA_SERVER", &server.url);
        Self::runs(command)
    }

    fn runs(mut command: Command) -> Self {
        let size = Winsize { ws_row: 33, ws_col: 99, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).expect("a terminal");
        let stream = || Stdio::from(pty.slave.try_clone().expect("a descriptor"));
        command.stdin(stream()).stdout(stream()).stderr(stream()).process_group(0);
        let process = Running::new(command.spawn().expect("atta starts"));
        let mut screen = File::from(pty.master.try_clone().expect("a descriptor"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shown = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut buffer) {
                shown.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..count]);
            }
        });
        Self { process, keyboard: File::from(pty.master), seen, terminal: pty.slave }
    }

    fn shows(&self, text: &str) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&seen).contains(text)
    }

    fn sees(&self, text: &str) {
        wait_for(&format!("the screen to show {text:?}"), || self.shows(text).then_some(()));
    }

    fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).expect("the terminal takes it");
    }

    fn is_raw(&self) -> bool {
        let settings = nix::sys::termios::tcgetattr(self.terminal.as_fd()).expect("a terminal");
        !settings.local_flags.contains(nix::sys::termios::LocalFlags::ICANON)
    }
}

#[test]
fn a_person_types_resizes_is_taken_over_and_leaves_a_terminal_as_it_was() {
    let scratch = Scratch::new();
    let server = LiveServer::start(scratch.root(), &path());
    let job = submit(&server, &scratch);
    wait_for_log(&server, &job, "pid ");
    let mut ann = Person::sits_down(&server, &["attach", &job, "parrot", "--write"]);
    ann.sees("Ctrl-] ends this; parrot goes on.");
    ann.types("size\r");
    ann.sees("33 99\r\n");
    assert!(ann.is_raw());
    ann.types("one\r");
    ann.sees("heard <one>");
    let size = rustix::termios::Winsize { ws_row: 44, ws_col: 111, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&ann.terminal, size).expect("a terminal");
    // The kernel tells the foreground of a session; this terminal is nobody's.
    ann.process.signal(nix::sys::signal::Signal::SIGWINCH);
    // By another way than what is typed: which of both comes first is open.
    wait_for("the new size", || {
        ann.types("size\r");
        std::thread::sleep(Duration::from_millis(200));
        ann.shows("44 111\r\n").then_some(())
    });

    let refused = server.client(&["attach", &job, "parrot", "--write"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(said.contains("somebody on this machine types into") && said.contains("--take-over"), "{said}");
    let mut bob = Person::sits_down(&server, &["attach", &job, "parrot", "--write", "--take-over"]);
    bob.sees("heard <one>");
    ann.types("lost");
    ann.sees("took the terminal over");
    assert_eq!(ann.process.wait().code(), Some(4));
    assert!(!ann.is_raw(), "it is as it was");
    bob.types("two\r");
    bob.sees("heard <two>");
    bob.types("\u{1d}");
    bob.sees("Detached.");
    assert!(bob.process.wait().success());
    assert!(!bob.is_raw());
    assert_eq!(server.job(&job)["state"], "RUNNING", "the task goes on");
    let mut ann = Person::sits_down(&server, &["attach", &job, "parrot", "--write"]);
    ann.types("bye\r");
    ann.sees("end ");
    assert!(ann.process.wait().success(), "it ends with the attempt");
    assert_eq!(server.finished(&job)["state"], "COMPLETED");
    let all = log(&server, &job);
    assert!(!all.contains("lost"), "{all}");
    server.stop();
}

#[test]
fn a_killed_server_and_ant_lose_nothing_of_the_log_and_another_session_types_on() {
    let scratch = Scratch::new();
    let mut server = LiveServer::start(scratch.root(), &path());
    let job = submit(&server, &scratch);
    wait_for_log(&server, &job, "pid ");
    let hand = Hand::new(&server, &job);
    let session = hand.open(false);
    assert_eq!(hand.input(&session, 1, "one\r").0, 204);
    assert_eq!(hand.input(&session, 1, "one\r").0, 204);
    wait_for_log(&server, &job, "heard <one>");
    // The server's own ant dies with it.
    for word in ["two", "three"] {
        server.kill();
        server = LiveServer::start(scratch.root(), &path());
        let hand = Hand::new(&server, &job);
        let (status, problem) = hand.input(&session, 2, "lost\r");
        assert_eq!((status, &problem["code"]), (410, &Value::from("TERMINAL_CLOSED")), "{problem}");
        let again = hand.open(false);
        assert_eq!(hand.input(&again, 1, &format!("{word}\r")).0, 204);
        wait_for_log(&server, &job, &format!("heard <{word}>"));
    }
    let hand = Hand::new(&server, &job);
    let session = hand.open(true);
    assert_eq!(hand.input(&session, 1, "bye\r").0, 204);
    assert_eq!(server.finished(&job)["state"], "COMPLETED");
    let all = log(&server, &job);
    let pid = all.lines().find_map(|line| line.strip_prefix("pid ")).expect("its process").to_owned();
    let heard: Vec<&str> = all.lines().collect();
    let (begun, ended) = (format!("pid {pid}"), format!("end {pid}"));
    assert_eq!(heard, [&begun, "heard <one>", "heard <two>", "heard <three>", "heard <bye>", &ended], "{all}");
    server.stop();
}

#[test]
fn an_attached_person_goes_on_watching_over_a_restart_and_is_told_that_typing_is_over() {
    let mut queen = Queen::start();
    let _ant = queen.ant("one", &[]);
    let job = queen.submit(PARROT);
    wait_for("the parrot", || queen.atta(&["logs", &job, "parrot"]).stdout.contains("pid ").then_some(()));
    let mut ann = Person::runs(queen.command(&["attach", &job, "parrot", "--write"]));
    let mut watcher = Person::runs(queen.command(&["attach", &job, "parrot"]));
    ann.types("one\r");
    watcher.sees("heard <one>");
    queen.kill();
    queen.start_again();
    ann.types("x");
    ann.sees("the server was started anew");
    ann.sees("opens another session");
    assert_eq!(ann.process.wait().code(), Some(4));
    let mut ann = Person::runs(queen.command(&["attach", &job, "parrot", "--write"]));
    ann.sees("heard <one>");
    ann.types("two\rbye\r");
    assert!(ann.process.wait().success());
    watcher.sees("heard <two>");
    watcher.sees("heard <bye>");
    watcher.sees("end ");
    assert!(watcher.process.wait().success());
    let seen = String::from_utf8_lossy(&watcher.seen.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
    assert_eq!(seen.matches("heard <one>").count(), 1, "{seen}");
}

#[test]
fn a_terminal_on_another_machine_is_typed_into_over_the_death_of_its_ant() {
    let queen = Queen::start();
    let ant = queen.ant("one", &[]);
    let job = queen.submit(PARROT);
    let has = |text: &str| {
        let began = Instant::now();
        loop {
            let log = queen.atta(&["logs", &job, "parrot"]).stdout;
            if log.contains(text) {
                break;
            }
            assert!(began.elapsed() < LIMIT, "the log has no {text:?}: {log} {:#}", queen.job(&job));
        }
    };
    has("pid ");
    let typed = queen.scratch.path("typed");
    let made = Command::new("mkfifo").arg(&typed).status().expect("mkfifo starts");
    assert!(made.success());
    let reading = {
        let typed = typed.clone();
        std::thread::spawn(move || File::open(typed).expect("the other end comes"))
    };
    let mut keyboard = fs::OpenOptions::new().write(true).open(&typed).expect("the other end comes");
    let stdin = reading.join().expect("it opens");
    let mut command = queen.command(&["attach", &job, "parrot", "--write"]);
    let mut person = Running::new(command.stdin(stdin).stdout(Stdio::null()).spawn().expect("atta starts"));
    keyboard.write_all(b"one\n").expect("it reads");
    has("heard <one>");
    ant.kill();
    keyboard.write_all(b"two\n").expect("it reads");
    let _ant = queen.ant_again(atta(), &queen.url, "one", &[]);
    has("heard <two>");
    keyboard.write_all(b"bye\n").expect("it reads");
    drop(keyboard);
    assert!(person.wait().success());
    assert_eq!(queen.finished(&job)["state"], "COMPLETED");
    let all = queen.atta(&["logs", &job, "parrot"]).stdout;
    let pid = all.lines().find_map(|line| line.strip_prefix("pid ")).expect("its process").to_owned();
    assert!(all.contains(&format!("end {pid}")), "{all}");
    for word in ["one", "two", "bye"] {
        assert_eq!(all.matches(&format!("heard <{word}>")).count(), 1, "{all}");
    }
}
