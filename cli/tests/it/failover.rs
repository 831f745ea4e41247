//! What else can happen between servers and their PostgreSQL: connections that break in the very moment of a commit,
//! servers that hang while tasks run, stand-bys with certificates.

#![expect(clippy::unwrap_used, reason = "these are tests; clippy knows that of test functions only")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cluster::{Cluster, TestDatabase};
use crate::live_server::{LiveServer, atta, path, wait_for};
use crate::postgres::{Second, YAML, submit};
use crate::scratch::Scratch;

/// Between a server and its database. Cuts connections while something is committed: before the database hears of it, or
/// before the server hears that it is done.
struct Proxy {
    port: u16,
    cuts: Arc<AtomicUsize>,
    armed: Arc<AtomicBool>,
}

#[derive(Clone)]
struct Cutter {
    cuts: Arc<AtomicUsize>,
    armed: Arc<AtomicBool>,
}

impl Cutter {
    /// Passes on what comes, until `words` come through.
    fn pass(&self, mut from: TcpStream, mut to: TcpStream, words: &[u8]) {
        let mut buffer = vec![0; 1 << 16];
        let mut tail: Vec<u8> = Vec::new();
        while let Ok(read) = from.read(&mut buffer) {
            let bytes = &buffer[..read];
            tail.extend_from_slice(bytes);
            let is_commit = tail.windows(words.len()).any(|window| window == words);
            let rest = tail.len().saturating_sub(words.len() - 1);
            tail.drain(..rest);
            if is_commit && self.armed.swap(false, Ordering::SeqCst) {
                self.cuts.fetch_add(1, Ordering::SeqCst);
                break;
            }
            if read == 0 || to.write_all(bytes).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }
}

impl Proxy {
    fn start(database: &TestDatabase) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = database.url();
        let target: u16 = url.rsplit_once(':').unwrap().1.split('/').next().unwrap().parse().unwrap();
        let cutter = Cutter { cuts: Arc::default(), armed: Arc::default() };
        let shown = cutter.clone();
        // Ends with the process of the test.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                let (one, other) = (cutter.clone(), cutter.clone());
                let (client2, server2) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                // The statement, as it is prepared once on each connection, and the answer to each commit.
                std::thread::spawn(move || one.pass(client2, server2, b"COMMIT\0"));
                std::thread::spawn(move || other.pass(server, client, b"COMMIT\0"));
            }
        });
        Self { port, cuts: shown.cuts, armed: shown.armed }
    }

    fn url(&self, database: &TestDatabase) -> String {
        let url = database.url();
        let name = url.rsplit_once('/').unwrap().1;
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }
}

/// Each begin of an attempt stands once in the history, and nothing stands there twice.
fn assert_nothing_twice(database: &TestDatabase) {
    let twice = database.sql(
        "SELECT job_id, event::jsonb->>'attempt', count(*) FROM events WHERE event::jsonb->>'type' = 'attempt_started'
         GROUP BY 1, 2 HAVING count(*) > 1",
    );
    assert_eq!(twice, "");
    let starts = database.sql("SELECT count(*) FROM events WHERE event::jsonb->>'type' = 'attempt_started'");
    assert_eq!(starts, database.sql("SELECT count(*) FROM attempts WHERE started_at IS NOT NULL"));
}

#[test]
fn a_connection_that_is_cut_in_the_middle_of_commits_loses_no_event_and_stores_none_twice() {
    let scratch = Scratch::new();
    let database = Cluster::shared().database();
    let proxy = Proxy::start(&database);
    let file = scratch.write("job.yaml", YAML);
    let server = LiveServer::start_with(scratch.root(), &path(), &[("ATTA_DATABASE_URL", &proxy.url(&database))]);
    let mut jobs = Vec::new();
    for number in 0..8 {
        let cuts = proxy.cuts.load(Ordering::SeqCst);
        proxy.armed.store(true, Ordering::SeqCst);
        let side = format!("Side={}", scratch.path(&format!("side{number}")).display());
        let key = format!("key-{number}");
        // As a client does that is told that nobody knows: once more, with the same key.
        let job = wait_for("the job to be taken", || {
            let done = server.client(&["submit", &file, "-p", &side, "--idempotency-key", &key, "--json"]);
            let answer: serde_json::Value = serde_json::from_slice(&done.stdout).ok()?;
            answer["job_id"].as_str().map(str::to_owned)
        });
        jobs.push(job);
        wait_for("a commit to be cut", || (proxy.cuts.load(Ordering::SeqCst) > cuts).then_some(()));
    }
    for (number, job) in jobs.iter().enumerate() {
        let job = wait_for("the server to find its database again", || {
            server.client(&["jobs", "show", job, "--json"]).status.success().then(|| server.finished(job))
        });
        assert_eq!(job["state"], "COMPLETED", "{job:#}");
        assert_eq!(scratch.read(&format!("side{number}")), "first\nsecond\nthird\n", "each command ran once: {job:#}");
    }
    assert_eq!(database.sql("SELECT count(*) FROM jobs"), "8");
    assert_nothing_twice(&database);
    server.stop();
}

fn serve(scratch: &Scratch, database: &TestDatabase, log: &str, more: &[&str]) -> Child {
    let output = File::create(scratch.path(log)).unwrap();
    Command::new(atta())
        .args(["serve", "--data-dir"])
        .arg(scratch.path("data"))
        .args(more)
        .env("ATTA_DATABASE_URL", database.url())
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap()
}

#[test]
fn tasks_of_a_server_that_hangs_run_once_and_go_on_under_the_one_that_takes_over() {
    let scratch = Scratch::new();
    let database = Cluster::shared().database();
    let go = scratch.path("go");
    let yaml = YAML.replace("sleep 0.2", &format!("'until [ -e {} ]; do sleep 0.02; done'", go.display()));
    let file = scratch.write("job.yaml", yaml);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let mut first = serve(&scratch, &database, "first.log", &["--listen", &address, "--slots", "4"]);
    wait_for("the first server to be ready", || scratch.read("first.log").contains("Atta is ready").then_some(()));
    let mut second = Second::start(&scratch, &database, "data");
    second.wait_until_it_stands_by();
    let url = format!("http://{address}");
    let jobs: Vec<String> = (0..3)
        .map(|number| {
            let side = format!("Side={}", scratch.path(&format!("side{number}")).display());
            let done = scratch.command(&["submit", &file, "-p", &side, "--json", "--server", &url]).output().unwrap();
            let answer: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
            answer["job_id"].as_str().unwrap().to_owned()
        })
        .collect();
    for number in 0..3 {
        wait_for("the tasks to run", || scratch.read(&format!("side{number}")).contains("first").then_some(()));
    }
    let pid = Pid::from_raw(i32::try_from(first.id()).unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    second.wait_until_it_is_active();
    kill(pid, Signal::SIGCONT).unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(1), "{}", scratch.read("first.log"));
    fs::write(&go, "").unwrap();
    for (number, job) in jobs.iter().enumerate() {
        let job = second.finished(job);
        assert_eq!(job["state"], "COMPLETED", "{job:#}");
        assert_eq!(scratch.read(&format!("side{number}")), "first\nsecond\nthird\n", "each command ran once: {job:#}");
    }
    assert_nothing_twice(&database);
    second.stop();
}

#[test]
fn a_stand_by_with_a_certificate_shows_the_same_one_and_takes_over() {
    let scratch = Scratch::new();
    let database = Cluster::shared().database();
    let token = scratch.path("root.token");
    let made = scratch
        .command(&["token", "create", "root", "--role", "admin", "--data-dir", "data", "-o"])
        .arg(&token)
        .env("ATTA_DATABASE_URL", database.url())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let ports = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
    let listen = ports.map(|port| format!("127.0.0.1:{port}"));
    let options = |at: usize| ["--listen", listen[at].as_str(), "--tls-generate", "--auth", "required", "--slots", "1"];
    let mut first = serve(&scratch, &database, "first.log", &options(0));
    let said = wait_for("the first server to be ready", || {
        let log = scratch.read("first.log");
        log.contains("Atta is ready").then_some(log)
    });
    let print: String = said.split("certificate ").nth(1).unwrap().chars().take_while(|c| *c != ')').collect();
    let mut second = serve(&scratch, &database, "second.log", &options(1));
    let ask = |at: usize, print: &str| {
        let url = format!("https://{}", listen[at]);
        let mut command = scratch.command(&["jobs", "--json", "--server", &url, "--queen-fingerprint", print]);
        let done = command.env("ATTA_TOKEN_FILE", &token).output().unwrap();
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let (_, said) = wait_for("the second server to stand by", || {
        let answer = ask(1, &print);
        answer.1.contains("another server is active").then_some(answer)
    });
    assert!(said.contains("stands by") || said.contains("active"), "{said}");
    let other = format!("sha256:{}", "0".repeat(64));
    assert!(!ask(1, &other).1.contains("another server is active"), "it talked to a stranger");
    assert_eq!(ask(0, &print).0, Some(0));
    first.kill().unwrap();
    first.wait().unwrap();
    wait_for("the second server to take over", || (ask(1, &print).0 == Some(0)).then_some(()));
    kill(Pid::from_raw(i32::try_from(second.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert!(second.wait().unwrap().success(), "{}", scratch.read("second.log"));
}

#[test]
fn an_older_program_says_that_a_newer_one_has_changed_the_database() {
    let scratch = Scratch::new();
    let database = Cluster::shared().database();
    let file = scratch.write("job.yaml", YAML);
    let server = LiveServer::start_with(scratch.root(), &path(), &[("ATTA_DATABASE_URL", &database.url())]);
    let job = submit(&server, &file, &scratch, 0);
    assert_eq!(server.finished(&job)["state"], "COMPLETED");
    server.stop();
    database.sql("INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES (9000, 'later', 'x', 0)");
    for arguments in [
        vec!["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"],
        vec!["backup", "b.tar.zst", "--data-dir", "data"],
    ] {
        let done = scratch.command(&arguments).env("ATTA_DATABASE_URL", database.url()).output().unwrap();
        let done: crate::scratch::Done = done.into();
        done.says(1, &["has schema 9000", "use a newer atta"]);
    }
}
