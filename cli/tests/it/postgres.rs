//! Whole servers on PostgreSQL: the database is killed, the active server is killed, the active server hangs.

#![expect(clippy::unwrap_used, reason = "these are tests; clippy knows that of test functions only")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::cluster::{Cluster, TestDatabase};
use crate::live_server::{LiveServer, atta, path, wait_for};
use crate::scratch::Scratch;

pub(crate) const YAML: &str = r#"
job_type: counted
params: {Side: {type: string}}
defaults: {shell: [sh, -eu]}
environment: {SIDE: "{{ Side }}"}
tasks:
  - task_type: first
    script: ['echo first >>"$SIDE"', sleep 0.2]
  - task_type: second
    dependencies: [first]
    script: ['echo second >>"$SIDE"', sleep 0.2]
  - task_type: third
    dependencies: [second]
    script: ['echo third >>"$SIDE"']
"#;

/// A server that may have to wait for its turn.
pub(crate) struct Second {
    child: Child,
    address: String,
    log: PathBuf,
}

impl Second {
    pub(crate) fn start(scratch: &Scratch, database: &TestDatabase, data: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let log = scratch.path("second.log");
        let file = File::create(&log).unwrap();
        let child = Command::new(atta())
            .args(["serve", "--listen", &address, "--data-dir"])
            .arg(scratch.path(data))
            .env("ATTA_DATABASE_URL", database.url())
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, address, log }
    }

    /// Status and body of a GET; nothing while nobody answers.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut connection = TcpStream::connect(&self.address).ok()?;
        let asked = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address);
        connection.write_all(asked.as_bytes()).ok()?;
        let mut text = String::new();
        connection.read_to_string(&mut text).ok()?;
        let status = text.split(' ').nth(1)?.parse().ok()?;
        Some((status, text.split_once("\r\n\r\n")?.1.to_owned()))
    }

    pub(crate) fn wait_until_it_stands_by(&mut self) {
        wait_for("the second server to stand by", || {
            self.assert_runs();
            let (status, body) = self.get("/health/ready")?;
            (status == 503 && body.contains("\"standby\"")).then_some(())
        });
        assert_eq!(self.get("/health/live").map(|(status, _)| status), Some(200));
        let (status, body) = self.get("/api/v1/jobs").unwrap();
        assert_eq!((status, body.contains("STANDBY")), (503, true), "{body}");
    }

    pub(crate) fn wait_until_it_is_active(&mut self) {
        wait_for("the second server to take over", || {
            self.assert_runs();
            (self.get("/health/ready")?.0 == 200).then_some(())
        });
    }

    fn assert_runs(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("the second server ended ({status}): {}", fs::read_to_string(&self.log).unwrap_or_default());
        }
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let url = format!("http://{}", self.address);
        let done = Command::new(atta()).args(arguments).env("ATTA_SERVER", url).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap()
    }

    pub(crate) fn finished(&self, job: &str) -> Value {
        wait_for("the job to end", || {
            let job = self.json(&["jobs", "show", job, "--json"]);
            matches!(job["state"].as_str(), Some("COMPLETED" | "FAILED" | "CANCELLED")).then_some(job)
        })
    }

    pub(crate) fn stop(mut self) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success(), "{}", fs::read_to_string(&self.log).unwrap_or_default());
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn submit(server: &LiveServer, file: &str, scratch: &Scratch, number: usize) -> String {
    let side = format!("Side={}", scratch.path(&format!("side{number}")).display());
    let answer = server.json(&["submit", file, "-p", &side, "--json"]);
    answer["job_id"].as_str().unwrap().to_owned()
}

#[test]
fn a_database_that_is_killed_while_jobs_run_loses_nothing_and_repeats_nothing() {
    let scratch = Scratch::new();
    let mut database = Cluster::own().database();
    let file = scratch.write("job.yaml", YAML);
    let server = LiveServer::start_with(scratch.root(), &path(), &[("ATTA_DATABASE_URL", &database.url())]);
    let jobs: Vec<String> = (0..12).map(|number| submit(&server, &file, &scratch, number)).collect();
    for round in 1..=3 {
        let started = |name: &str| {
            (0..12).filter(|number| scratch.read(&format!("side{number}")).lines().any(|line| line == name)).count()
        };
        let step = ["first", "second", "third"][round - 1];
        wait_for("some jobs to have come so far", || (started(step) >= 2).then_some(()));
        database.cluster.kill();
        database.cluster.restart();
    }
    for (number, job) in jobs.iter().enumerate() {
        let job = wait_for("the server to find its database again", || {
            server.client(&["jobs", "show", job, "--json"]).status.success().then(|| server.finished(job))
        });
        assert_eq!(job["state"], "COMPLETED", "{job:#}");
        assert_eq!(scratch.read(&format!("side{number}")), "first\nsecond\nthird\n", "each command ran once: {job:#}");
    }
    assert_eq!(database.sql("SELECT count(*) FROM attempts WHERE state <> 'FINISHED'"), "0");
    server.stop();
}

#[test]
fn a_server_that_stands_by_takes_over_when_the_active_one_is_killed() {
    let scratch = Scratch::new();
    let database = Cluster::shared().database();
    let file = scratch.write("job.yaml", YAML);
    let first = LiveServer::start_with(scratch.root(), &path(), &[("ATTA_DATABASE_URL", &database.url())]);
    let mut second = Second::start(&scratch, &database, "data");
    second.wait_until_it_stands_by();
    let jobs: Vec<String> = (0..4).map(|number| submit(&first, &file, &scratch, number)).collect();
    first.kill();
    second.wait_until_it_is_active();
    for job in &jobs {
        let job = second.finished(job);
        assert_eq!(job["state"], "COMPLETED", "{job:#}");
    }
    assert_eq!(database.sql("SELECT value FROM meta WHERE key = 'epoch'"), "2");
    second.stop();
}

#[test]
fn a_server_that_hangs_is_overtaken_and_stores_nothing_when_it_wakes_up() {
    let scratch = Scratch::new();
    let database = Cluster::shared().database();
    let file = scratch.write("job.yaml", YAML);
    let log = scratch.path("first.log");
    let output = File::create(&log).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut first = Command::new(atta())
        .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
        .arg(scratch.path("data"))
        .env("ATTA_DATABASE_URL", database.url())
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap();
    wait_for("the first server to be ready", || scratch.read("first.log").contains("Atta is ready").then_some(()));
    let mut second = Second::start(&scratch, &database, "elsewhere");
    second.wait_until_it_stands_by();
    let first_pid = Pid::from_raw(i32::try_from(first.id()).unwrap());
    kill(first_pid, Signal::SIGSTOP).unwrap();
    second.wait_until_it_is_active();
    let side = format!("Side={}", scratch.path("side0").display());
    let job = second.json(&["submit", &file, "-p", &side, "--json"])["job_id"].as_str().unwrap().to_owned();
    assert_eq!(second.finished(&job)["state"], "COMPLETED");
    // Somebody still asks the one that hangs.
    let url = format!("http://127.0.0.1:{port}");
    let mut late = Command::new(atta())
        .args(["submit", &file, "-p", &side, "--server", &url])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    kill(first_pid, Signal::SIGCONT).unwrap();
    let ended = first.wait().unwrap();
    assert!(!late.wait().unwrap().success(), "the overtaken server took a job");
    let said = fs::read_to_string(&log).unwrap();
    assert_eq!(ended.code(), Some(1), "{said}");
    assert!(said.contains("Another server has taken over this database"), "{said}");
    assert_eq!(database.sql("SELECT count(*) FROM jobs"), "1");
    assert_eq!(second.get("/health/ready").map(|(status, _)| status), Some(200));
    second.stop();
}

#[test]
fn passwords_of_databases_are_never_shown() {
    let scratch = Scratch::new();
    for address in ["postgres://me:geheim@127.0.0.1:1/none", "postgres:/me:geheim@nowhere", "mysql://me:geheim@host/db"]
    {
        let done = scratch
            .command(&["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"])
            .env("ATTA_DATABASE_URL", address)
            .output()
            .unwrap();
        let said = [done.stdout, done.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(!done.status.success(), "{said}");
        assert!(!said.contains("geheim"), "{said}");
        assert!(said.contains("atabase"), "{said}");
    }
    let help = scratch.command(&["serve", "--help"]).env("ATTA_DATABASE_URL", "postgres://me:geheim@host/db").output();
    assert!(!String::from_utf8_lossy(&help.unwrap().stdout).contains("geheim"));
}

#[test]
fn the_doctor_says_how_the_database_does() {
    let scratch = Scratch::new();
    let database = Cluster::shared().database();
    let with = |url: &str| scratch.command(&["doctor", "--json"]).env("ATTA_DATABASE_URL", url).output().unwrap();
    let check = |url: &str| {
        let said: Value = serde_json::from_slice(&with(url).stdout).unwrap();
        said["checks"].as_array().unwrap().iter().find(|check| check["name"] == "database").unwrap().clone()
    };
    let found = check(&database.url());
    assert_eq!(found["outcome"], "ok", "{found}");
    let detail = found["detail"].as_str().unwrap();
    assert!(detail.contains("PostgreSQL") && detail.contains(" ms, no server is active"), "{detail}");
    let found = check("postgres://me:geheim@127.0.0.1:1/none");
    assert_eq!(found["outcome"], "failed", "{found}");
    assert!(!found.to_string().contains("geheim"), "{found}");
}
