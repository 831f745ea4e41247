//! The demo's directory: a forge with issues as files and a bare repository, and the stand-ins.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::exit::{CommandResult, Failure};

/// A small project whose tests are real.
const PROJECT: [(&str, &str); 5] = [
    ("Makefile", include_str!("../../../demo/sample/Makefile")),
    ("README.md", include_str!("../../../demo/sample/README.md")),
    ("bin/greet", include_str!("../../../demo/sample/bin/greet")),
    ("tests/greet.cases", include_str!("../../../demo/sample/tests/greet.cases")),
    ("tests/run", include_str!("../../../demo/sample/tests/run")),
];

/// Straight on; with a repair; with a question that only a person can answer.
const ISSUES: [(&str, &str); 3] = [
    ("1-shout.md", include_str!("../../../demo/issues/1-shout.md")),
    ("2-formal-greeting.md", include_str!("../../../demo/issues/2-formal-greeting.md")),
    ("3-farewell.md", include_str!("../../../demo/issues/3-farewell.md")),
];

const STAND_IN: &str = include_str!("../../../demo/stand-in-agent");

/// What the demo plays on.
#[derive(Debug)]
pub(super) struct Stage {
    root: PathBuf,
}

impl Stage {
    /// Fills an empty directory.
    pub(super) fn build(root: PathBuf) -> CommandResult<Self> {
        let stage = Self { root };
        stage.fill().map_err(|error| {
            Failure::failed(format!("The demo's directory {} cannot be filled: {error}.", stage.root.display()))
        })?;
        let project = stage.root.join("project");
        git(&stage.root, &["init", "--quiet", "--bare", "--initial-branch=main", &text(&stage.origin())])?;
        git(&project, &["init", "--quiet", "--initial-branch=main"])?;
        git(&project, &["add", "--all"])?;
        git(&project, &["commit", "--quiet", "--message", "Greet people"])?;
        git(&project, &["push", "--quiet", &text(&stage.origin()), "main"])?;
        Ok(stage)
    }

    fn fill(&self) -> std::io::Result<()> {
        let issues = self.forge().join("issues/ai-ready");
        for (name, text) in ISSUES {
            write(&issues.join(name), text, 0o644)?;
        }
        for (name, text) in PROJECT {
            // Only programs begin like this.
            let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
            write(&self.root.join("project").join(name), text, mode)?;
        }
        write(&self.stand_in(), STAND_IN, 0o755)
    }

    /// All of it.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Issues, pull requests and the repository.
    pub(super) fn forge(&self) -> PathBuf {
        self.root.join("forge")
    }

    /// The bare repository.
    pub(super) fn origin(&self) -> PathBuf {
        self.forge().join("origin.git")
    }

    /// The program that plays the agent.
    pub(super) fn stand_in(&self) -> PathBuf {
        self.root.join("stand-in-agent")
    }

    /// Merges a branch as a person would: in a clone, by a push.
    pub(super) fn merge(&self, branch: &str) -> CommandResult<()> {
        let project = self.root.join("project");
        git(&project, &["pull", "--quiet", "--ff-only", &text(&self.origin()), "main"])?;
        git(&project, &["fetch", "--quiet", &text(&self.origin()), branch])?;
        git(&project, &["merge", "--quiet", "--no-ff", "--message", &format!("Merge {branch}"), "FETCH_HEAD"])?;
        git(&project, &["push", "--quiet", &text(&self.origin()), "main"])
    }

    /// The commits of the main branch, the newest first.
    pub(super) fn history(&self) -> CommandResult<String> {
        let origin = text(&self.origin());
        said(git_command(&self.root, &["-C", &origin, "log", "--oneline", "--graph", "main"]))
    }
}

fn git(directory: &Path, arguments: &[&str]) -> CommandResult<()> {
    said(git_command(directory, arguments)).map(|_| ())
}

/// Puts what a person says about a pull request to where the workflow looks for it.
pub(super) fn comment(pull: &Path, text: &str) -> CommandResult<()> {
    write(&pull.join("comments/1-reviewer.md"), text, 0o644)
        .map_err(|error| Failure::failed(format!("The reviewer cannot write: {error}.")))
}

/// git as the reviewer, whatever this machine's settings are.
fn git_command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(directory)
        .args(["-c", "user.name=Reviewer", "-c", "user.email=reviewer@example.invalid"])
        .args(["-c", "commit.gpgSign=false", "-c", "core.hooksPath=/dev/null"])
        .args(arguments)
        .stdin(Stdio::null());
    command
}

fn said(mut command: Command) -> CommandResult<String> {
    let done = command.output().map_err(|error| Failure::failed(format!("git cannot be started: {error}.")))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    Err(Failure::failed(format!("git failed: {}", String::from_utf8_lossy(&done.stderr).trim())))
}

fn write(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
