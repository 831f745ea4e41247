//! A real `atta serve` as a child process, for tests of shipped workflows and of the demo.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Nothing here takes this long unless it hangs.
pub(crate) const LIMIT: Duration = Duration::from_mins(2);

/// The program under test.
pub(crate) fn atta() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_atta"))
}

/// Where the programs of this machine are.
pub(crate) fn path() -> String {
    std::env::var_os("PATH").unwrap_or_default().to_string_lossy().into_owned()
}

/// A switch for whoever runs a test by hand.
pub(crate) fn number(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "switches for whoever runs the test")]
    let given = std::env::var(name).ok();
    given.map(|text| text.parse().unwrap_or_else(|error| panic!("{name} is no number: {text:?} ({error})")))
}

/// Kills what would wait for the next server or ant.
pub(crate) fn kill_processes_of(directory: &Path) {
    for process in processes_of(directory) {
        if let Some(pid) = process.split(' ').next().and_then(|pid| pid.parse().ok()) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
    }
}

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_owned()
}

/// Waits until something is there; what it waits for is an event, the pause only keeps the processor free.
pub(crate) fn wait_for<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    wait_at_most(LIMIT, what, probe)
}

/// The same for what may take longer, or not so long.
pub(crate) fn wait_at_most<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Processes other than this one whose command line or environment names the directory.
pub(crate) fn processes_of(directory: &Path) -> Vec<String> {
    let needle = directory.as_os_str().as_encoded_bytes();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("proc is mounted").flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if pid == std::process::id() {
            continue;
        }
        for file in ["cmdline", "environ"] {
            let bytes = std::fs::read(entry.path().join(file)).unwrap_or_default();
            if bytes.windows(needle.len()).any(|window| window == needle) {
                let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                found.push(format!("{pid} {}", String::from_utf8_lossy(&command).replace('\0', " ")));
                break;
            }
        }
    }
    found
}

/// A running server; killed when dropped.
pub(crate) struct LiveServer {
    child: Child,
    directory: PathBuf,
    pub(crate) url: String,
}

impl LiveServer {
    /// Starts a server on a free port with its data in `directory/data`; `path` is its PATH.
    pub(crate) fn start(directory: &Path, path: &str) -> Self {
        Self::start_with(directory, path, &[])
    }

    /// The same with further variables in its environment.
    pub(crate) fn start_with(directory: &Path, path: &str, variables: &[(&str, &str)]) -> Self {
        Self::launch(atta(), directory, path, variables, &[])
    }

    /// By another build of the program, or with further arguments.
    pub(crate) fn start_as(program: &Path, directory: &Path, arguments: &[&str]) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default().to_string_lossy().into_owned();
        Self::launch(program, directory, &path, &[], arguments)
    }

    /// With further variables and further arguments.
    pub(crate) fn start_in(directory: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Self {
        Self::launch(atta(), directory, &self::path(), variables, arguments)
    }

    fn launch(program: &Path, directory: &Path, path: &str, variables: &[(&str, &str)], arguments: &[&str]) -> Self {
        let output = directory.join("server.log");
        let file = File::create(&output).expect("the directory is writable");
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(directory.join("data"))
            .args(arguments)
            .env("PATH", path)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file handle can be duplicated"))
            .stderr(file)
            .spawn()
            .expect("atta starts");
        let url = wait_for("the server to be ready", || {
            let text = std::fs::read_to_string(&output).unwrap_or_default();
            if let Some(status) = child.try_wait().expect("a child can be asked for its state") {
                panic!("the server ended ({status}): {text}");
            }
            let start = text.find("http://127.0.0.1:")?;
            let port: String = text[start + 17..].chars().take_while(char::is_ascii_digit).collect();
            // The line must be complete, or the port might not be.
            (text[start..].contains('\n') && !port.is_empty() && port != "0")
                .then(|| format!("http://127.0.0.1:{port}"))
        });
        wait_for("the server to answer", || {
            // Any command that needs the server will do.
            let output = Command::new(atta()).args(["jobs", "--json", "--server", &url]).output().expect("atta starts");
            output.status.success().then_some(())
        });
        Self { child, directory: directory.to_owned(), url }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).expect("a pid is an i32"))
    }

    /// Runs a client command and returns what came of it.
    pub(crate) fn client(&self, arguments: &[&str]) -> Output {
        Command::new(atta()).args(arguments).env("ATTA_SERVER", &self.url).output().expect("atta starts")
    }

    /// The same with something to read.
    pub(crate) fn client_with_stdin(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(atta())
            .args(arguments)
            .env("ATTA_SERVER", &self.url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("atta starts");
        child.stdin.take().expect("stdin is a pipe").write_all(input.as_bytes()).expect("atta reads");
        child.wait_with_output().expect("atta ends")
    }

    /// Stores a secret.
    pub(crate) fn set_secret(&self, name: &str, value: &str) {
        let set = self.client_with_stdin(&["secret", "set", name], value);
        assert!(set.status.success(), "{name}: {}", String::from_utf8_lossy(&set.stderr));
    }

    /// Runs a client command that prints JSON and must succeed.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.client(arguments);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "atta {arguments:?} ended with {}: {}{text}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("atta {arguments:?} printed no JSON ({error}): {text}"))
    }

    /// The job as the server shows it.
    pub(crate) fn job(&self, job: &str) -> Value {
        self.json(&["jobs", "show", job, "--json"])
    }

    /// Waits until the job has ended, and returns it.
    pub(crate) fn finished(&self, job: &str) -> Value {
        wait_for("the job to end", || {
            let job = self.job(job);
            let state = job["state"].as_str().expect("a job has a state");
            matches!(state, "COMPLETED" | "FAILED" | "BLOCKED" | "CANCELLED" | "SKIPPED").then_some(job)
        })
    }

    /// Kills it with a signal that leaves a core dump where one is allowed; says how it ended.
    pub(crate) fn crash(mut self) -> std::process::ExitStatus {
        nix::sys::signal::kill(self.pid(), nix::sys::signal::Signal::SIGABRT).expect("the server runs");
        self.child.wait().expect("a killed child can be waited for")
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the server runs");
        self.child.wait().expect("a killed child can be waited for");
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn stop(mut self) {
        nix::sys::signal::kill(self.pid(), nix::sys::signal::Signal::SIGTERM).expect("the server runs");
        let status =
            wait_for("the server to stop", || self.child.try_wait().expect("a child can be asked for its state"));
        assert!(status.success(), "the server ended with {status}");
    }
}

impl Drop for LiveServer {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            kill_processes_of(&self.directory);
        }
    }
}
