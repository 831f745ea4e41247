//! A queen without an ant of her own, over TLS and with tokens, and ants for her.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::live_server::{LIMIT, atta, wait_at_most, wait_for};
use crate::scratch::{Done, Scratch};

/// A child process that does not outlive its test.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn new(child: Child) -> Self {
        Self(child)
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_for("a process to end", || self.0.try_wait().expect("a child can be asked for its state"))
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.id()).expect("a pid is an i32"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("it runs");
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
pub(crate) struct Queen {
    /// Which program serves.
    program: PathBuf,
    process: Option<Running>,
    pub(crate) scratch: Scratch,
    pub(crate) url: String,
    pub(crate) fingerprint: String,
    /// An admin's.
    pub(crate) token_file: PathBuf,
}

impl Queen {
    /// Her first token is made before she starts.
    pub(crate) fn start() -> Self {
        Self::start_program(atta())
    }

    /// With another build of the program.
    pub(crate) fn start_program(program: &Path) -> Self {
        let scratch = Scratch::new();
        let (data, token_file) = (scratch.path("data"), scratch.path("root.token"));
        let mut make = scratch.command_of(program, &["token", "create", "root", "--role", "admin"]);
        make.arg("--data-dir").arg(&data).arg("-o").arg(&token_file);
        let made = Done::from(make.output().expect("atta starts"));
        assert_eq!(made.code, 0, "{made:#?}");
        let mut queen = Self {
            program: program.to_owned(),
            process: None,
            scratch,
            url: String::new(),
            fingerprint: String::new(),
            token_file,
        };
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
            .command_of(&self.program, &arguments)
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

    pub(crate) fn pid(&self) -> Pid {
        self.process.as_ref().expect("it runs").pid()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.url.trim_start_matches("https://").parse().expect("an address")
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// At the same address, by another build of the program.
    pub(crate) fn start_again_as(&mut self, program: &Path) {
        program.clone_into(&mut self.program);
        self.start_again();
    }

    /// At the same address.
    pub(crate) fn start_again(&mut self) {
        let listen = self.address().to_string();
        self.serve(&listen);
    }

    /// A client's command, as the admin.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.scratch.command(arguments);
        command
            .env("ATTA_SERVER", &self.url)
            .env("ATTA_TOKEN_FILE", &self.token_file)
            .env("ATTA_QUEEN_FINGERPRINT", &self.fingerprint);
        command
    }

    pub(crate) fn atta(&self, arguments: &[&str]) -> Done {
        self.command(arguments).output().expect("atta starts").into()
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let done = self.atta(arguments);
        assert_eq!(done.code, 0, "{done:#?}");
        done.json()
    }

    /// Submits a definition and returns the job's id.
    pub(crate) fn submit(&self, source: &str) -> String {
        let file = self.scratch.write("job.yaml", source);
        let answer = self.json(&["submit", &file, "--json"]);
        answer["job_id"].as_str().expect("a job has an id").to_owned()
    }

    pub(crate) fn job(&self, id: &str) -> Value {
        self.json(&["jobs", "show", id, "--json"])
    }

    pub(crate) fn finished(&self, id: &str) -> Value {
        self.finished_within(id, LIMIT)
    }

    pub(crate) fn finished_within(&self, id: &str, limit: Duration) -> Value {
        wait_at_most(limit, "the job to end", || {
            let job = self.job(id);
            let state = job["state"].as_str().expect("a job has a state");
            matches!(state, "COMPLETED" | "FAILED" | "BLOCKED" | "CANCELLED" | "SKIPPED").then_some(job)
        })
    }

    pub(crate) fn run(&self, source: &str) -> Value {
        let id = self.submit(source);
        self.finished(&id)
    }

    /// An ant with a token of its own, when it is ready.
    pub(crate) fn ant(&self, id: &str, arguments: &[&str]) -> AntProcess {
        self.ant_at(&self.url, id, arguments)
    }

    pub(crate) fn ant_at(&self, url: &str, id: &str, arguments: &[&str]) -> AntProcess {
        self.ant_token(id);
        self.ant_again(atta(), url, id, arguments)
    }

    /// A token for an ant, in a file.
    fn ant_token(&self, id: &str) -> PathBuf {
        let token = self.scratch.path(&format!("{id}.token"));
        // The token of an ant that was here before.
        let _ = fs::remove_file(&token);
        let file = token.to_str().expect("the path is text");
        let made = self.atta(&["token", "create", id, "--role", "ant", "--ant", id, "-o", file]);
        assert_eq!(made.code, 0, "{made:#?}");
        token
    }

    /// An ant with the token that it has, and by another build of the program.
    pub(crate) fn ant_again(&self, program: &Path, url: &str, id: &str, arguments: &[&str]) -> AntProcess {
        let token = self.scratch.path(&format!("{id}.token"));
        let ant = self.begin(program, url, id, &token, arguments);
        wait_for("the ant to be ready", || ant.log().contains("is ready for").then_some(()));
        ant
    }

    /// An ant with a token that is made while nobody serves.
    pub(crate) fn ant_without_waiting(&self, id: &str, arguments: &[&str]) -> AntProcess {
        let token = self.scratch.path(&format!("{id}.token"));
        let (data, file) = (self.scratch.path("data"), token.to_str().expect("the path is text"));
        let data = data.to_str().expect("the path is text");
        let made = self.scratch.atta(&["token", "create", id, "--role", "ant", "--data-dir", data, "-o", file]);
        assert_eq!(made.code, 0, "{made:#?}");
        self.begin(atta(), &self.url, id, &token, arguments)
    }

    /// An ant that knows the queen by the certificates of a file.
    pub(crate) fn ant_that_trusts(&self, id: &str, certificates: &str) -> AntProcess {
        let token = self.ant_token(id);
        let ant = self.begin_trusting(&["--ca-file", certificates], atta(), &self.url, id, &token, &[]);
        wait_for("the ant to be ready", || ant.log().contains("is ready for").then_some(()));
        ant
    }

    fn begin(&self, program: &Path, url: &str, id: &str, token: &Path, arguments: &[&str]) -> AntProcess {
        self.begin_trusting(&["--queen-fingerprint", &self.fingerprint], program, url, id, token, arguments)
    }

    fn begin_trusting(
        &self,
        trusted: &[&str],
        program: &Path,
        url: &str,
        id: &str,
        token: &Path,
        arguments: &[&str],
    ) -> AntProcess {
        let output = self.scratch.path(&format!("{id}.log"));
        let file = File::create(&output).expect("the directory is writable");
        let child = self
            .scratch
            .command_of(program, &["ant", "--queen", url, "--id", id])
            .args(trusted)
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
pub(crate) struct AntProcess {
    process: Mutex<Running>,
    output: PathBuf,
}

impl AntProcess {
    /// What it has written.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> Pid {
        self.process.lock().expect("no test panics with it").pid()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.lock().expect("no test panics with it").signal(signal);
    }

    pub(crate) fn wait(&self) -> ExitStatus {
        self.process.lock().expect("no test panics with it").wait()
    }

    /// `kill -9`.
    pub(crate) fn kill(&self) {
        self.signal(Signal::SIGKILL);
        self.wait();
    }

    /// Two signals: nothing is delivered any more.
    pub(crate) fn stop_hard(&self) {
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
pub(crate) fn ant_of(job: &Value, task: &str) -> String {
    let task = crate::scratch::task(job, task);
    let attempts = task["attempt_list"].as_array().unwrap_or_else(|| panic!("{task:#}"));
    let ant = attempts.last().and_then(|attempt| attempt["ant"].as_str());
    ant.unwrap_or_else(|| panic!("{task:#}")).to_owned()
}

/// BLAKE3 by the program itself would prove little: the size and the sum of the test above are looked at besides.
pub(crate) fn digest(file: &Path) -> String {
    let mut hasher = blake3::Hasher::new();
    std::io::copy(&mut File::open(file).expect("it is there"), &mut hasher).expect("it can be read");
    hasher.finalize().to_hex().to_string()
}
