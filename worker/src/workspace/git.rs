//! Running git: with a bounded environment, without prompts, without hooks, never through a shell.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use atta_core::definition::redacted_git_url;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Command;

/// Variables of a task that its git needs to reach a repository, and so does the ant's.
const PASSED_ON: [&str; 13] = [
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_ASKPASS",
    // Not git's own: what a `credential.helper` of GIT_CONFIG_* prints.
    "GIT_PASSWORD",
    "SSH_ASKPASS",
    "SSH_AUTH_SOCK",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "no_proxy",
    "NO_PROXY",
    "TMPDIR",
    "PATH",
];

/// The same, by how they begin or end.
const PREFIXES: [&str; 5] = ["GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_", "GIT_CONFIG_COUNT", "GIT_SSL_", "GIT_HTTP_"];
const SUFFIXES: [&str; 2] = ["_proxy", "_PROXY"];

/// How ssh is run where nobody says otherwise: it asks nobody, and a line on which nothing comes for a minute is broken,
/// also when the ant that has started git is not there any more.
const SSH: &str = "ssh -oBatchMode=yes -oConnectTimeout=30 -oServerAliveInterval=15 -oServerAliveCountMax=4";

/// What git says when the remote does not let in who asks.
const REFUSALS: [&str; 6] = [
    "Authentication failed",
    "could not read Username",
    "could not read Password",
    "returned error: 401",
    "returned error: 403",
    "Permission denied (publickey",
];

/// What git needs where no repository has to be reached.
const LOCAL: [&str; 9] = [
    "PATH",
    "TMPDIR",
    "HOME",
    "LC_ALL",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_TERMINAL_PROMPT",
    "GIT_OPTIONAL_LOCKS",
    "GIT_NO_REPLACE_OBJECTS",
];

/// How git is run.
#[derive(Debug, Clone)]
pub(crate) struct Git {
    environment: Vec<(OsString, OsString)>,
    /// What no message may show.
    hidden: Vec<String>,
}

/// What git said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    /// The line that says most.
    pub(crate) complaint: String,
}

/// Why git did not do what it was told; a phrase that follows "because".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GitError {
    #[error("git cannot be started: {0}")]
    NotStarted(String),
    #[error("`git {command}` failed: {complaint}")]
    Failed { command: String, complaint: String },
    #[error("{0}")]
    Io(String),
}

impl From<io::Error> for GitError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

/// A repository's address, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// Without user name and password.
    pub(crate) clean: String,
    /// What git has to know to reach it all the same: a setting's name and value, for the environment only.
    setting: Option<(String, String)>,
    hidden: Vec<String>,
}

impl Address {
    pub(crate) fn new(url: &str) -> Self {
        let clean = redacted_git_url(url);
        if clean == url {
            return Self { clean, setting: None, hidden: Vec::new() };
        }
        let secret = url.split_once("://").map(|(_, rest)| rest).unwrap_or_default();
        let secret = secret.split_once('/').map_or(secret, |(authority, _)| authority);
        let secret = secret.rsplit_once('@').map_or(secret, |(user, _)| user);
        let mut hidden = vec![secret.to_owned()];
        hidden.extend(secret.split_once(':').map(|(_, password)| password.to_owned()));
        hidden.retain(|text| !text.is_empty());
        Self { setting: Some((format!("url.{url}.insteadOf"), clean.clone())), clean, hidden }
    }

    /// Variables with which git finds the password, after those that are set already.
    pub(crate) fn variables(&self, environment: &[(OsString, OsString)]) -> Vec<(OsString, OsString)> {
        let Some((name, value)) = &self.setting else { return Vec::new() };
        let given = environment.iter().find(|(name, _)| name == "GIT_CONFIG_COUNT");
        let count = given.and_then(|(_, count)| count.to_str()?.parse::<u32>().ok()).unwrap_or(0);
        vec![
            (format!("GIT_CONFIG_KEY_{count}").into(), name.into()),
            (format!("GIT_CONFIG_VALUE_{count}").into(), value.into()),
            ("GIT_CONFIG_COUNT".into(), (count + 1).to_string().into()),
        ]
    }
}

impl Git {
    /// Git as the ant runs it: no settings of the machine or of a user, unless `user` names their home; of a task's
    /// variables those with which a repository is reached.
    pub(crate) fn new(task: &[(OsString, OsString)], user: Option<&OsStr>, address: Option<&Address>) -> Self {
        let passed = |name: &OsStr| {
            let Some(name) = name.to_str() else { return false };
            PASSED_ON.contains(&name)
                || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
                || SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
        };
        let mut environment: Vec<_> = task.iter().filter(|(name, _)| passed(name)).cloned().collect();
        let reach = address.map(|address| address.variables(&environment)).unwrap_or_default();
        environment.extend(reach);
        let mut set = |name: &str, value: &OsStr| environment.push((name.into(), value.to_owned()));
        if let Some(home) = user {
            set("HOME", home);
        } else {
            set("GIT_CONFIG_GLOBAL", OsStr::new("/dev/null"));
            set("GIT_CONFIG_NOSYSTEM", OsStr::new("1"));
        }
        if !task.iter().any(|(name, _)| name == "GIT_SSH_COMMAND" || name == "GIT_SSH") {
            set("GIT_SSH_COMMAND", OsStr::new(SSH));
        }
        // A line on which nothing comes for a minute is broken; how long all may take is the attempt's matter.
        set("GIT_HTTP_LOW_SPEED_LIMIT", OsStr::new("1"));
        set("GIT_HTTP_LOW_SPEED_TIME", OsStr::new("60"));
        set("GIT_ALLOW_PROTOCOL", OsStr::new("file:git:http:https:ssh"));
        Self::plain(environment).hiding(address)
    }

    /// Git as a task runs it.
    pub(crate) fn of_task(task: &[(OsString, OsString)]) -> Self {
        Self::plain(task.to_vec())
    }

    /// The same where nothing has to be reached: without passwords and what else the task says.
    pub(crate) fn local(&self) -> Self {
        let needed = self.environment.iter().filter(|(name, _)| LOCAL.iter().any(|local| name == *local));
        let mut environment: Vec<_> = needed.cloned().collect();
        environment.push(("GIT_NO_LAZY_FETCH".into(), "1".into()));
        Self { environment, hidden: self.hidden.clone() }
    }

    /// The same for a worktree, whatever that says itself about where its repository is.
    pub(crate) fn of_worktree(&self, tree: &Path, own: &Path, mirror: &Path) -> Self {
        let mut git = self.local();
        for (name, path) in [("GIT_WORK_TREE", tree), ("GIT_DIR", own), ("GIT_COMMON_DIR", mirror)] {
            git.environment.push((name.into(), path.into()));
        }
        git
    }

    fn plain(mut environment: Vec<(OsString, OsString)>) -> Self {
        for (name, value) in [
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            // What a task says that stands for a commit is not what others begin with.
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("LC_ALL", "C"),
        ] {
            environment.push((name.into(), value.into()));
        }
        Self { environment, hidden: Vec::new() }
    }

    fn hiding(mut self, address: Option<&Address>) -> Self {
        self.hidden.extend(address.iter().flat_map(|address| address.hidden.clone()));
        self
    }

    /// Runs git in a directory to its end. Who holds `lock` goes on holding it while git runs, also when this process
    /// dies. When the future is dropped git is killed with all that it started.
    pub(crate) async fn ask(&self, directory: &Path, lock: Option<&File>, words: &[&str]) -> Result<Answer, GitError> {
        let path = self.environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
        let program = find_git(path.unwrap_or(OsStr::new("/usr/local/bin:/usr/bin:/bin")))?;
        let stdin = match lock {
            Some(lock) => Stdio::from(lock.try_clone()?),
            None => Stdio::null(),
        };
        let mut command = Command::new(program);
        command
            .args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.autoDetach=false"])
            .args(words)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(directory)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let child = command.spawn().map_err(|error| GitError::NotStarted(error.to_string()))?;
        let mut group = Group(child.id().and_then(|id| i32::try_from(id).ok()));
        let output = child.wait_with_output().await?;
        group.0 = None;
        let stderr = String::from_utf8_lossy(&output.stderr);
        let says = |line: &&str| !line.trim().is_empty() && !line.starts_with("hint:");
        let complaint = stderr
            .lines()
            .filter(says)
            // What ssh says stands before git's own words, which say less.
            .find(|line| is_refusal(line))
            .or_else(|| {
                stderr.lines().filter(says).find(|line| line.starts_with("fatal:") || line.starts_with("error:"))
            })
            .or_else(|| stderr.lines().rfind(says))
            .unwrap_or("it says nothing");
        Ok(Answer {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            complaint: self.redact(complaint.trim_start_matches("fatal: ").trim_start_matches("error: ")),
        })
    }

    /// The same; anything but success is an error. Returns what it printed, without white space around it.
    pub(crate) async fn run(&self, directory: &Path, lock: Option<&File>, words: &[&str]) -> Result<String, GitError> {
        let answer = self.ask(directory, lock, words).await?;
        if answer.success {
            return Ok(answer.stdout.trim().to_owned());
        }
        let command = words.first().copied().unwrap_or_default().to_owned();
        Err(GitError::Failed { command, complaint: answer.complaint })
    }

    fn redact(&self, text: &str) -> String {
        self.hidden.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

/// Whether a complaint of git's says that the remote does not let in who asks: to ask again does not help.
pub(crate) fn is_refusal(complaint: &str) -> bool {
    REFUSALS.iter().any(|phrase| complaint.contains(phrase))
}

fn find_git(path: &OsStr) -> Result<PathBuf, GitError> {
    crate::executor::find_program("git", path, Path::new("/")).map_err(GitError::NotStarted)
}

/// A process group that is killed unless it has ended.
struct Group(Option<i32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have ended at this moment.
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_goes_into_the_environment_only() {
        let address = Address::new("https://me:s3cret@example.com/a.git");
        assert_eq!(address.clean, "https://example.com/a.git");
        let given = vec![("GIT_CONFIG_COUNT".into(), "2".into())];
        let variables = address.variables(&given);
        let texts: Vec<_> = variables.iter().map(|(n, v)| format!("{}={}", n.display(), v.display())).collect();
        assert_eq!(
            texts,
            [
                "GIT_CONFIG_KEY_2=url.https://me:s3cret@example.com/a.git.insteadOf",
                "GIT_CONFIG_VALUE_2=https://example.com/a.git",
                "GIT_CONFIG_COUNT=3"
            ]
        );
        let git = Git::new(&[], None, Some(&address));
        assert_eq!(
            git.redact("fatal: cannot reach https://me:s3cret@example.com"),
            "fatal: cannot reach https://***@example.com"
        );
        assert!(Address::new("git@example.com:a").variables(&[]).is_empty());
    }

    #[test]
    fn of_a_tasks_variables_only_those_for_reaching_a_repository_are_used() {
        let task: Vec<(OsString, OsString)> = [
            ("HOME", "/h"),
            ("GIT_DIR", "/x"),
            ("GIT_SSH_COMMAND", "ssh -i k"),
            ("https_proxy", "p"),
            ("GIT_TRACE", "1"),
        ]
        .map(|(n, v)| (n.into(), v.into()))
        .to_vec();
        let git = Git::new(&task, None, None);
        let names: Vec<_> = git.environment.iter().map(|(name, _)| name.to_str().unwrap()).collect();
        for absent in ["HOME", "GIT_DIR", "GIT_TRACE"] {
            assert!(!names.contains(&absent), "{names:?}");
        }
        for present in ["GIT_SSH_COMMAND", "https_proxy", "GIT_CONFIG_GLOBAL", "GIT_TERMINAL_PROMPT"] {
            assert_eq!(names.iter().filter(|name| **name == present).count(), 1, "{names:?}");
        }
        let of_user = Git::new(&task, Some(OsStr::new("/h")), None);
        assert!(!of_user.environment.iter().any(|(name, _)| name == "GIT_CONFIG_GLOBAL"));
    }

    #[test]
    fn a_silent_line_ends_unless_the_task_says_itself_how_to_connect() {
        let ssh = |task: &[(OsString, OsString)]| -> Vec<String> {
            let git = Git::new(task, None, None);
            let set = git.environment.iter().filter(|(name, _)| name == "GIT_SSH_COMMAND" || name == "GIT_SSH");
            set.map(|(_, value)| value.to_str().unwrap().to_owned()).collect()
        };
        let own = ssh(&[]);
        assert_eq!(own.len(), 1);
        for option in ["BatchMode=yes", "ConnectTimeout=30", "ServerAliveInterval=15", "ServerAliveCountMax=4"] {
            assert!(own[0].contains(&format!(" -o{option}")), "{own:?}");
        }
        for name in ["GIT_SSH_COMMAND", "GIT_SSH"] {
            assert_eq!(ssh(&[(name.into(), "mine".into())]), ["mine"]);
        }
        let git = Git::new(&[], None, None);
        for (name, value) in [("GIT_HTTP_LOW_SPEED_LIMIT", "1"), ("GIT_HTTP_LOW_SPEED_TIME", "60")] {
            assert!(git.environment.iter().any(|(known, set)| known == name && set == value), "{name}");
        }
    }
}
