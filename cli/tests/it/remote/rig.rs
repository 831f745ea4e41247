//! A queen without an ant of her own, over TLS and with tokens, and ants for her.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::live_server::wait_for;
use crate::scratch::{Done, Scratch};

/// A child process that does not outlive its test.
pub(super) struct Running(Child);

impl Running {
    pub(super) fn new(child: Child) -> Self {
        Self(child)
    }

    pub(super) fn wait(&mut self) -> ExitStatus {
        wait_for("a process to end", || self.0.try_wait().expect("a child can be asked for its state"))
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).expect("a pid is an i32"));
        kill(pid, signal).expect("it runs");
    }

    /// Whether it has ended.
    fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("a child can be asked for its state")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// The queen.
pub(super) struct Queen {
    process: Option<Running>,
    pub(super) scratch: Scratch,
    pub(super) url: String,
    pub(super) fingerprint: String,
    /// An admin's.
    pub(super) token_file: PathBuf,
}

impl Queen {
    /// Her first token is made before she starts.
    pub(super) fn start() -> Self {
        let scratch = Scratch::new();
        let (data, token_file) = (scratch.path("data"), scratch.path("root.token"));
        let made = scratch.atta(&[
            "token",
            "create",
            "root",
            "--role",
            "admin",
            "--data-dir",
            data.to_str().expect("the path is text"),
            "-o",
            token_file.to_str().expect("the path is text"),
        ]);
        assert_eq!(made.code, 0, "{made:#?}");
        let mut queen = Self { process: None, scratch, url: String::new(), fingerprint: String::new(), token_file };
        queen.serve("127.0.0.1:0");
        queen
    }

    fn serve(&mut self, listen: &str) {
        let output = self.scratch.path("queen.log");
        let file = File::create(&output).expect("the directory is writable");
        let data = self.scratch.path("data");
        let arguments = ["serve", "--listen", listen, "--slots", "0", "--auth", "required", "--tls-generate"];
        let child = self
            .scratch
            .command(&arguments)
            .arg("--data-dir")
            .arg(&data)
            .stdout(file.try_clone().expect("a file handle can be duplicated"))
            .stderr(file)
            .spawn()
            .expect("atta starts");
        let mut process = Running::new(child);
        let line = wait_for("the queen to be ready", || {
            let text = fs::read_to_string(&output).unwrap_or_default();
            if let Some(status) = process.ended() {
                panic!("the queen ended ({status}): {text}");
            }
            let start = text.find("Atta is ready at ")?;
            text[start..].split_once('\n').map(|(line, _)| line.to_owned())
        });
        let word = |before: &str, end: char| {
            let (_, rest) = line.split_once(before).unwrap_or_else(|| panic!("{line}"));
            rest.split(end).next().unwrap_or_default().to_owned()
        };
        self.url = word("ready at ", ' ');
        self.fingerprint = word("certificate ", ')');
        self.process = Some(process);
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.url.trim_start_matches("https://").parse().expect("an address")
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self) {
        self.process = None;
    }

    /// At the same address.
    pub(super) fn start_again(&mut self) {
        let listen = self.address().to_string();
        self.serve(&listen);
    }

    /// A client's command, as the admin.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.scratch.command(arguments);
        command
            .env("ATTA_SERVER", &self.url)
            .env("ATTA_TOKEN_FILE", &self.token_file)
            .env("ATTA_QUEEN_FINGERPRINT", &self.fingerprint);
        command
    }

    pub(super) fn atta(&self, arguments: &[&str]) -> Done {
        self.command(arguments).output().expect("atta starts").into()
    }

    pub(super) fn json(&self, arguments: &[&str]) -> Value {
        let done = self.atta(arguments);
        assert_eq!(done.code, 0, "{done:#?}");
        done.json()
    }

    /// Submits a definition and returns the job's id.
    pub(super) fn submit(&self, source: &str) -> String {
        let file = self.scratch.write("job.yaml", source);
        let answer = self.json(&["submit", &file, "--json"]);
        answer["job_id"].as_str().expect("a job has an id").to_owned()
    }

    pub(super) fn job(&self, id: &str) -> Value {
        self.json(&["jobs", "show", id, "--json"])
    }

    pub(super) fn finished(&self, id: &str) -> Value {
        wait_for("the job to end", || {
            let job = self.job(id);
            let state = job["state"].as_str().expect("a job has a state");
            matches!(state, "COMPLETED" | "FAILED" | "BLOCKED" | "CANCELLED" | "SKIPPED").then_some(job)
        })
    }

    pub(super) fn run(&self, source: &str) -> Value {
        let id = self.submit(source);
        self.finished(&id)
    }

    /// An ant with a token of its own, when it is ready.
    pub(super) fn ant(&self, id: &str, arguments: &[&str]) -> AntProcess {
        self.ant_at(&self.url, id, arguments)
    }

    pub(super) fn ant_at(&self, url: &str, id: &str, arguments: &[&str]) -> AntProcess {
        let token = self.scratch.path(&format!("{id}.token"));
        // The token of an ant that was here before.
        let _ = fs::remove_file(&token);
        let file = token.to_str().expect("the path is text");
        let made = self.atta(&["token", "create", id, "--role", "ant", "--ant", id, "-o", file]);
        assert_eq!(made.code, 0, "{made:#?}");
        let ant = self.begin(url, id, &token, arguments);
        wait_for("the ant to be ready", || ant.log().contains("is ready for").then_some(()));
        ant
    }

    /// An ant with a token that is made while nobody serves.
    pub(super) fn ant_without_waiting(&self, id: &str, arguments: &[&str]) -> AntProcess {
        let token = self.scratch.path(&format!("{id}.token"));
        let (data, file) = (self.scratch.path("data"), token.to_str().expect("the path is text"));
        let data = data.to_str().expect("the path is text");
        let made = self.scratch.atta(&["token", "create", id, "--role", "ant", "--data-dir", data, "-o", file]);
        assert_eq!(made.code, 0, "{made:#?}");
        self.begin(&self.url, id, &token, arguments)
    }

    fn begin(&self, url: &str, id: &str, token: &Path, arguments: &[&str]) -> AntProcess {
        let output = self.scratch.path(&format!("{id}.log"));
        let file = File::create(&output).expect("the directory is writable");
        let child = self
            .scratch
            .command(&["ant", "--queen", url, "--id", id, "--queen-fingerprint", &self.fingerprint])
            .arg("--token-file")
            .arg(token)
            .arg("--data-dir")
            .arg(self.scratch.path(&format!("{id}.ant")))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file handle can be duplicated"))
            .stderr(file)
            .spawn()
            .expect("atta starts");
        AntProcess { process: Mutex::new(Running::new(child)), output }
    }
}

/// An ant.
pub(super) struct AntProcess {
    process: Mutex<Running>,
    output: PathBuf,
}

impl AntProcess {
    /// What it has written.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    pub(super) fn signal(&self, signal: Signal) {
        self.process.lock().expect("no test panics with it").signal(signal);
    }

    pub(super) fn wait(&self) -> ExitStatus {
        self.process.lock().expect("no test panics with it").wait()
    }

    /// Two signals: nothing is delivered any more.
    pub(super) fn stop_hard(&self) {
        self.signal(Signal::SIGTERM);
        wait_for("the ant to stop", || {
            let ended = self.process.lock().expect("no test panics with it").ended();
            if ended.is_none() {
                self.signal(Signal::SIGTERM);
            }
            ended
        });
    }
}

impl Drop for AntProcess {
    fn drop(&mut self) {
        if let Ok(process) = self.process.get_mut()
            && process.ended().is_none()
        {
            // What it runs goes with it.
            process.signal(Signal::SIGTERM);
            std::thread::sleep(std::time::Duration::from_millis(100));
            if process.ended().is_none() {
                process.signal(Signal::SIGTERM);
                process.wait();
            }
        }
    }
}

/// The ant that ran a task's last attempt.
pub(super) fn ant_of(job: &Value, task: &str) -> String {
    let task = crate::scratch::task(job, task);
    let attempts = task["attempt_list"].as_array().unwrap_or_else(|| panic!("{task:#}"));
    let ant = attempts.last().and_then(|attempt| attempt["ant"].as_str());
    ant.unwrap_or_else(|| panic!("{task:#}")).to_owned()
}

/// BLAKE3 by the program itself would prove little: the size and the sum of the test above are looked at besides.
pub(super) fn digest(file: &Path) -> String {
    let mut hasher = blake3::Hasher::new();
    std::io::copy(&mut File::open(file).expect("it is there"), &mut hasher).expect("it can be read");
    hasher.finalize().to_hex().to_string()
}
