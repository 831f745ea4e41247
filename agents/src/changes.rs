//! What an agent changed, by git.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use atta_core::protocol::agent::AgentCommit;

use crate::git::{Git, names};

const MOST_FILES: usize = 1000;
const MOST_COMMITS: usize = 200;

/// What is checked out when an agent begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    directory: PathBuf,
    /// Absent in a repository without a commit.
    commit: Option<String>,
    files: Vec<Differing>,
}

/// What differs afterwards.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) files: Vec<String>,
    pub(crate) commits: Vec<AgentCommit>,
    /// Whether anything is otherwise than at the start: files that differed from the commit before are no change.
    pub(crate) any: bool,
    /// How many files were not named.
    pub(crate) left_out: usize,
    /// Whether git did not answer in time, so that not everything is known.
    pub(crate) late: bool,
}

/// A file that differs from the commit, and what tells its states apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Differing {
    path: String,
    length: u64,
    modified: Option<std::time::SystemTime>,
}

impl Start {
    /// Looks at a directory; `None` when it is in no repository.
    pub(crate) fn look(directory: &Path, environment: &[(OsString, OsString)]) -> Option<Self> {
        let git = Git::new(directory, environment);
        git.ask(&["rev-parse", "--is-inside-work-tree"]).filter(|answer| answer.starts_with(b"true"))?;
        let commit = git.commit("HEAD");
        let mut start = Self { directory: directory.to_owned(), commit, files: Vec::new() };
        start.files = start.differing(&git);
        Some(start)
    }

    /// What is otherwise now.
    pub(crate) fn changes(&self, environment: &[(OsString, OsString)]) -> Changes {
        let git = Git::new(&self.directory, environment);
        let now = self.differing(&git);
        let commits = self.commits(&git);
        let any = now != self.files || git.commit("HEAD") != self.commit;
        let left_out = now.len().saturating_sub(MOST_FILES);
        let files = now.into_iter().take(MOST_FILES).map(|file| file.path).collect();
        Changes { files, commits, any, left_out, late: git.late.get() }
    }

    fn differing(&self, git: &Git<'_>) -> Vec<Differing> {
        let mut paths = Vec::new();
        if let Some(commit) = &self.commit {
            let diff = [
                "diff",
                "--name-only",
                "--no-ext-diff",
                "--no-textconv",
                "--no-renames",
                "--ignore-submodules=all",
                "--relative",
                "-z",
                commit,
                "--",
                ".",
            ];
            paths.extend(names(git.ask(&diff)));
        } else {
            paths.extend(names(git.ask(&["ls-files", "-z", "--", "."])));
        }
        paths.extend(names(git.ask(&["ls-files", "--others", "--exclude-standard", "-z", "--", "."])));
        paths.sort();
        paths.dedup();
        let found = paths.into_iter().map(|path| {
            let state = fs::symlink_metadata(self.directory.join(&path)).ok();
            Differing {
                length: state.as_ref().map_or(0, fs::Metadata::len),
                modified: state.and_then(|state| state.modified().ok()),
                path,
            }
        });
        found.collect()
    }

    fn commits(&self, git: &Git<'_>) -> Vec<AgentCommit> {
        let range = self.commit.as_ref().map_or_else(|| "HEAD".to_owned(), |commit| format!("{commit}..HEAD"));
        let most = format!("--max-count={MOST_COMMITS}");
        let log = ["log", "--no-show-signature", "--no-color", "--reverse", "--format=%H %s", "-z", &most, &range];
        let lines = names(git.ask(&log)).into_iter();
        let commits = lines.filter_map(|line| {
            let (id, subject) = line.split_once(' ')?;
            Some(AgentCommit { id: id.to_owned(), subject: crate::transcript::on_one_line(subject, 200) })
        });
        commits.collect()
    }
}

/// A path out of an environment variable.
pub(crate) fn path_of(environment: &[(OsString, OsString)], name: &str) -> Option<PathBuf> {
    let value = environment.iter().find(|(known, _)| known == name)?.1.clone();
    (!value.is_empty()).then(|| PathBuf::from(OsString::from_vec(value.into_vec())))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn environment() -> Vec<(OsString, OsString)> {
        std::env::vars_os().filter(|(name, _)| name == "PATH").collect()
    }

    fn run(directory: &Path, line: &str) {
        let done = Command::new("bash")
            .args(["-ec", line])
            .current_dir(directory)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .status()
            .unwrap();
        assert!(done.success(), "{line}");
    }

    const INIT: &str = "git init -q -b main . && git config user.name a && git config user.email a@b && \
                        echo 1 > old && echo 1 > dirty && git add . && git commit -qm first && echo 2 > dirty";

    #[test]
    fn files_and_commits_since_the_start_are_named_and_what_was_dirty_before_is_no_change() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        run(path, INIT);
        let start = Start::look(path, &environment()).unwrap();
        let none = start.changes(&environment());
        assert_eq!((none.any, none.files, none.commits.len()), (false, vec!["dirty".to_owned()], 0));
        run(
            path,
            "echo 2 > old; git commit -qam 'Second line'; mkdir -p 'sub dir'; echo x > 'sub dir/neü'; echo t > .gitignore; touch t",
        );
        let some = start.changes(&environment());
        assert_eq!(some.files, [".gitignore", "dirty", "old", "sub dir/neü"]);
        assert_eq!(some.commits.len(), 1);
        assert_eq!(some.commits[0].subject, "Second line");
        assert!(some.any);
    }

    #[test]
    fn a_directory_without_a_repository_has_no_start() {
        assert_eq!(Start::look(tempfile::tempdir().unwrap().path(), &environment()), None);
    }

    #[test]
    fn a_repository_without_a_commit_has_files() {
        let directory = tempfile::tempdir().unwrap();
        run(directory.path(), "git init -q -b main .");
        let start = Start::look(directory.path(), &environment()).unwrap();
        run(directory.path(), "echo 1 > new");
        let changes = start.changes(&environment());
        assert_eq!((changes.files, changes.any), (vec!["new".to_owned()], true));
    }

    #[test]
    fn nothing_that_the_repository_configures_is_run() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        run(path, INIT);
        run(
            path,
            "printf '#!/bin/sh\\ntouch \"$PWD/ran\"\\n' > .git/evil; chmod +x .git/evil; \
             git config core.fsmonitor .git/evil; git config diff.external .git/evil; git config core.hooksPath .git; \
             git config core.pager .git/evil; cp .git/evil .git/post-index-change; git config diff.x.textconv .git/evil; \
             git config log.showSignature true; git config gpg.program .git/evil; \
             git config filter.x.clean .git/evil; git config filter.a=b.c.process .git/evil; \
             git config filter.x.required true; git config filter.a=b.c.required true; \
             printf '* diff=x filter=x\\nold filter=a=b.c\\n' > .gitattributes; echo 3 > old",
        );
        let start = Start::look(path, &environment()).unwrap();
        assert!(!path.join("ran").exists());
        run(path, "echo 4 > old; echo 4 > dirty");
        let changes = start.changes(&environment());
        assert_eq!((changes.any, changes.late), (true, false));
        assert!(!path.join("ran").exists());
    }
}
