//! A directory for one test, and the program in it; when the test is over nothing may be left running.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::live_server::{atta, processes_of};

/// How long a process tree may take to be gone after the program has ended.
const LEAVING: Duration = Duration::from_secs(10);

/// A scratch directory. Its path is in the environment of every process that is started through it.
pub(crate) struct Scratch {
    dir: TempDir,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Done {
    /// The document on stdout.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("stdout is no JSON ({error}): {self:#?}"))
    }

    /// That it ended with this code and said all of this on stderr, without a panic.
    #[track_caller]
    pub(crate) fn says(&self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, code, "{self:#?}");
        for text in texts {
            assert!(self.stderr.contains(text), "{text:?} is not in {self:#?}");
        }
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
    }
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let dir = TempDir::with_prefix("atta-test-").expect("a temporary directory can be made");
        for name in ["tmp", "home"] {
            fs::create_dir(dir.path().join(name)).expect("the directory is writable");
        }
        Self { dir }
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file and returns its path as text.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, content).expect("the directory is writable");
        path.to_str().expect("the path is text").to_owned()
    }

    /// A file's text; empty when there is none.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The program, with an environment that holds nothing of the developer's.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(atta(), arguments)
    }

    /// Another build of the program.
    pub(crate) fn command_of(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .current_dir(self.root())
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn atta(&self, arguments: &[&str]) -> Done {
        self.command(arguments).output().expect("atta starts").into()
    }

    /// Has `sh` do the script, in which `"$@"` is the program, beside a small disk that is mounted at `small`; it goes with
    /// the process. `None` where nothing may be mounted.
    pub(crate) fn on_a_small_disk(&self, size: &str, script: &str, arguments: &[&str]) -> Option<Done> {
        fs::create_dir_all(self.path("small")).expect("the directory is writable");
        let mount =
            format!("mount -t tmpfs -o size={size} tmpfs small || {{ echo cannot-mount >&2; exit 99; }}; {script}");
        let output = Command::new("unshare")
            .args(["-m", "sh", "-c", &mount, "sh"])
            .arg(atta())
            .args(arguments)
            .current_dir(self.root())
            .stdin(Stdio::null())
            .output();
        let done: Option<Done> = output.ok().map(Done::from);
        let done = done.filter(|done| done.code != 99 && !done.stderr.contains("unshare:"));
        if done.is_none() {
            eprintln!("nothing can be mounted here: a full disk is not tested");
        }
        done
    }

    /// Runs a definition with `--json`: the exit code and the document.
    pub(crate) fn job(&self, yaml: &str, params: &[&str]) -> (i32, Value) {
        let file = self.write("job.yaml", yaml);
        let mut arguments = vec!["run", file.as_str(), "--json"];
        for param in params {
            arguments.extend(["-p", param]);
        }
        let done = self.atta(&arguments);
        (done.code, done.json())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let start = Instant::now();
        loop {
            let left = processes_of(self.root());
            if left.is_empty() {
                break;
            }
            assert!(start.elapsed() < LEAVING, "left running: {left:#?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        let left: Vec<PathBuf> =
            fs::read_dir(self.path("tmp")).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        assert!(left.is_empty(), "left behind: {left:#?}");
    }
}

/// `name STATE result visits route` of each task, in the document's order.
pub(crate) fn lines(job: &Value) -> Vec<String> {
    let word = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    job["tasks"]
        .as_array()
        .unwrap_or_else(|| panic!("a job has tasks: {job:#}"))
        .iter()
        .map(|task| ["task_type", "state", "result", "visits", "route"].map(|key| word(&task[key])).join(" "))
        .collect()
}

/// The task of that name.
#[track_caller]
pub(crate) fn task<'a>(job: &'a Value, name: &str) -> &'a Value {
    job["tasks"]
        .as_array()
        .and_then(|tasks| tasks.iter().find(|task| task["task_type"] == name))
        .unwrap_or_else(|| panic!("no task {name} in {job:#}"))
}
