//! Questions to git about a checkout.
//!
//! The repository is not trusted: no hook, no monitor, no external diff and no configuration but its own is used, and of
//! its own nothing that runs a program for what is asked here.

use std::cell::Cell;
use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long one question to git may take: nobody watches meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);

/// A list that is separated by NUL.
pub(crate) fn names(output: Option<Vec<u8>>) -> Vec<String> {
    let output = output.unwrap_or_default();
    let parts = output.split(|byte| *byte == 0).filter(|part| !part.is_empty());
    parts.map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

/// Questions to git about one directory.
pub(crate) struct Git<'a> {
    directory: &'a Path,
    environment: &'a [(OsString, OsString)],
    /// Filters that the repository configures: programs that would be run for files that differ.
    filters: Vec<String>,
    pub(crate) late: Cell<bool>,
}

impl<'a> Git<'a> {
    pub(crate) fn new(directory: &'a Path, environment: &'a [(OsString, OsString)]) -> Self {
        let mut git = Self { directory, environment, filters: Vec::new(), late: Cell::new(false) };
        let keys = names(git.ask(&["config", "--name-only", "-z", "--get-regexp", "^filter\\."]));
        let filter_of = |key: &str| Some(key.strip_prefix("filter.")?.rsplit_once('.')?.0.to_owned());
        git.filters = keys.iter().filter_map(|key| filter_of(key)).collect();
        git.filters.sort();
        git.filters.dedup();
        git
    }

    /// The commit that a name means.
    pub(crate) fn commit(&self, name: &str) -> Option<String> {
        let answer = self.ask(&["rev-parse", "--verify", "-q", "--end-of-options", &format!("{name}^{{commit}}")])?;
        Some(String::from_utf8_lossy(&answer).trim().to_owned()).filter(|name| !name.is_empty())
    }

    /// What git answers, when it answers well.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Option<Vec<u8>> {
        self.tell(arguments, &[])
    }

    /// The same, with something to read.
    pub(crate) fn tell(&self, arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
        let mut command = Command::new("git");
        let mut configured = vec![
            ("core.hooksPath".to_owned(), "/dev/null"),
            ("core.fsmonitor".to_owned(), "false"),
            ("core.untrackedCache".to_owned(), "false"),
            ("diff.external".to_owned(), ""),
            ("core.pager".to_owned(), "cat"),
            ("core.attributesFile".to_owned(), "/dev/null"),
            ("safe.directory".to_owned(), "*"),
            ("log.showSignature".to_owned(), "false"),
            ("core.quotePath".to_owned(), "false"),
        ];
        for filter in &self.filters {
            for (key, value) in [("clean", ""), ("process", ""), ("required", "false")] {
                configured.push((format!("filter.{filter}.{key}"), value));
            }
        }
        command.arg("--no-pager").args(arguments);
        command.current_dir(self.directory).env_clear();
        command.envs(self.environment.iter().filter(|(name, _)| name == "PATH" || name == "HOME").cloned());
        command.envs([
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("LC_ALL", "C"),
        ]);
        // Not as arguments: a name may have any character in it.
        command.env("GIT_CONFIG_COUNT", configured.len().to_string());
        for (number, (key, value)) in configured.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{number}"), key).env(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        let stdin = if input.is_empty() { Stdio::null() } else { Stdio::piped() };
        let mut child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
        let mut stdout = child.stdout.take()?;
        if let Some(mut stdin) = child.stdin.take() {
            let input = input.to_vec();
            // Whether git reads all of it shows in its answer.
            thread::spawn(move || drop(stdin.write_all(&input)));
        }
        let (sender, answer) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = sender.send(stdout.read_to_end(&mut bytes).map(|_| bytes));
        });
        let Ok(answer) = answer.recv_timeout(PATIENCE) else {
            self.late.set(true);
            let _ = child.kill();
            let _ = child.wait();
            return None;
        };
        child.wait().ok()?.success().then_some(answer.ok()?)
    }
}
