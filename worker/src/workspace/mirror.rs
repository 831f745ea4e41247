//! One bare mirror per repository, and worktrees of it.
//!
//! Branches of the remote are `refs/remotes/origin/*` there, so that fetching never touches `refs/heads/*`, where the
//! branches of worktrees are. Whatever changes the mirror holds its lock, which the git process inherits: it is not
//! free before git has ended, also when the ant is killed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use atta_core::definition::{GitName, check_git_name, check_git_url};
use atta_core::protocol::ant::GitOrder;
use atta_core::resilience::{Backoff, Class, Pauses};
use atta_core::time::Entropy;

use super::git::{Address, Git, GitError, is_refusal};
use super::record::GitRecord;
use super::settings;

/// How often somebody who waits for the lock looks.
const LOOK: Duration = Duration::from_millis(20);
/// How long a remote may take to settle a doubt; the end of an ant may wait for it.
const PATIENCE: Duration = Duration::from_secs(30);
/// So often a fetch that broke off is begun again…
const AGAIN: u32 = 2;
/// …after these pauses.
const PAUSES: Backoff = Backoff { first: Duration::from_millis(500), factor: 4, cap: Duration::from_secs(5) };
/// What git says when the line or the remote is at fault, and not the address or who asks.
const PASSING: [&str; 14] = [
    "could not resolve host",
    "couldn't connect",
    "failed to connect",
    "connection refused",
    "connection reset",
    "connection timed out",
    "operation timed out",
    "operation too slow",
    "early eof",
    "unexpected disconnect",
    "the remote end hung up unexpectedly",
    "returned error: 429",
    "returned error: 5",
    "temporary failure in name resolution",
];
/// Who commits where nobody is configured.
const NAME: &str = "Atta";
const EMAIL: &str = "atta@localhost";

/// What a complaint of git's means for the next try.
fn class(complaint: &str) -> Class {
    let complaint = complaint.to_ascii_lowercase();
    if PASSING.iter().any(|phrase| complaint.contains(phrase)) { Class::Transient } else { Class::Permanent }
}

/// Why a worktree cannot be made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The definition or the repository has to change.
    Invalid(String),
    /// It may work another time.
    Failed(String),
}

impl From<GitError> for Fault {
    fn from(error: GitError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// A bare mirror below `ant/mirrors`.
#[derive(Debug, Clone)]
pub(crate) struct Mirror {
    path: PathBuf,
    lock: PathBuf,
}

/// A worktree that can be made now; the mirror is locked.
pub(crate) struct Begun {
    lock: File,
    /// The commit that it begins with.
    pub(crate) base: String,
}

/// What of a worktree is nowhere else.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Nothing: these commits are on the remote.
    Pushed(Vec<String>),
    /// A phrase: how much.
    Unpushed(String),
}

impl Mirror {
    /// The name of a repository's mirror.
    pub(crate) fn name(address: &Address) -> String {
        blake3::hash(address.clean.as_bytes()).to_hex()[..32].to_owned()
    }

    pub(crate) fn new(mirrors: &Path, name: &str) -> Self {
        Self { path: mirrors.join(format!("{name}.git")), lock: mirrors.join(format!("{name}.lock")) }
    }

    /// Waits for the lock.
    async fn lock(&self) -> io::Result<File> {
        let file = self.lock_file()?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    fn lock_file(&self) -> io::Result<File> {
        OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(&self.lock)
    }

    /// Makes the mirror if there is none: beside its place, so that nobody finds half of it.
    async fn create(&self, git: &Git, lock: &File, address: &Address) -> Result<(), Fault> {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.is_dir()) {
            return Ok(self.restore(&address.clean)?);
        }
        super::remove_tree(&self.path)?;
        let new = self.path.with_extension("new");
        super::remove_tree(&new)?;
        fs::create_dir(&new)?;
        git.local().run(&new, Some(lock), &["init", "--quiet", "--bare"]).await?;
        settings::restore(&new, &address.clean)?;
        fs::rename(&new, &self.path)?;
        Ok(())
    }

    /// Whatever tasks have left there for others: settings, hooks and more.
    pub(crate) fn restore(&self, url: &str) -> io::Result<()> {
        settings::restore(&self.path, url)
    }

    /// Forgets what stands for other commits.
    async fn forget_replacements(&self, git: &Git, lock: &File) -> Result<(), GitError> {
        let git = git.local();
        let names = git.run(&self.path, Some(lock), &["for-each-ref", "--format=%(refname)", "refs/replace/"]).await?;
        for name in names.lines() {
            git.run(&self.path, Some(lock), &["update-ref", "--no-deref", "-d", name]).await?;
        }
        Ok(())
    }

    /// Fetches everything; again when the line broke or the remote had no time.
    async fn fetch_patiently(&self, git: &Git, lock: &File, entropy: &dyn Entropy) -> Result<(), GitError> {
        let mut pauses = Pauses::new(PAUSES);
        loop {
            match self.fetch(git, lock).await {
                Err(GitError::Failed { complaint, .. })
                    if pauses.failures() < AGAIN && class(&complaint).may_pass() =>
                {
                    tracing::debug!(complaint, "git could not fetch, and tries again");
                    tokio::time::sleep(pauses.next(entropy)).await;
                }
                other => return other,
            }
        }
    }

    async fn fetch(&self, git: &Git, lock: &File) -> Result<(), GitError> {
        settings::forget_aliases(&self.path)?;
        let mut words = vec!["fetch", "--quiet", "--prune", "--tags", "--force"];
        // A task may have fetched with `--depth`: its worktree's history would be cut off for everybody.
        let shallow = self.path.join("shallow");
        if fs::symlink_metadata(&shallow).is_ok() {
            let whole = [words.as_slice(), &["--unshallow", "origin"]].concat();
            if git.ask(&self.path, Some(lock), &whole).await?.success {
                return Ok(());
            }
            // It is no list of commits, or not a true one.
            super::remove_tree(&shallow)?;
            words.push("--refetch");
        }
        words.push("origin");
        git.run(&self.path, Some(lock), &words).await.map(drop)
    }

    /// The commit to begin with.
    async fn base(&self, git: &Git, lock: &File, reference: Option<&str>, url: &str) -> Result<String, Fault> {
        let Some(reference) = reference else {
            let head = git.ask(&self.path, Some(lock), &["remote", "set-head", "origin", "--auto"]).await?;
            let found = if head.success { self.commit(git, "refs/remotes/origin/HEAD").await? } else { None };
            return found.ok_or_else(|| {
                Fault::Invalid(format!("the repository {url} has no default branch; say with `ref` where to begin"))
            });
        };
        let full = reference.starts_with("refs/");
        let is_commit = reference.len() >= 40 && reference.bytes().all(|byte| byte.is_ascii_hexdigit());
        if full || is_commit {
            // Not every ref is fetched: pull requests, for one, are not.
            let known = is_commit && self.commit(git, reference).await?.is_some();
            let fetched = format!("refs/atta/{}", blake3::hash(reference.as_bytes()).to_hex());
            if !known {
                let wanted = format!("+{reference}:{fetched}");
                let answer = git.ask(&self.path, Some(lock), &["fetch", "--quiet", "origin", &wanted]).await?;
                if !answer.success {
                    return Err(Fault::Invalid(format!("{url} has no `{reference}`: {}", answer.complaint)));
                }
            }
            let name = if known { reference } else { &fetched };
            if let Some(commit) = self.commit(git, name).await? {
                return Ok(commit);
            }
        }
        let branch = reference.strip_prefix("origin/").unwrap_or(reference);
        for name in [format!("refs/remotes/origin/{branch}"), format!("refs/tags/{reference}")] {
            if let Some(commit) = self.commit(git, &name).await? {
                return Ok(commit);
            }
        }
        Err(Fault::Invalid(format!("the repository {url} has no branch, tag or commit `{reference}`")))
    }

    async fn commit(&self, git: &Git, name: &str) -> Result<Option<String>, GitError> {
        let name = format!("{name}^{{commit}}");
        let answer =
            git.ask(&self.path, None, &["rev-parse", "--verify", "--quiet", "--end-of-options", &name]).await?;
        Ok(answer.success.then(|| answer.stdout.trim().to_owned()))
    }

    /// Everything before a worktree: a fetched mirror, a commit to begin with, a free branch. A worktree that was begun
    /// before and not finished is taken away.
    pub(crate) async fn begin(
        &self,
        git: &Git,
        order: &GitOrder,
        tree: &Path,
        known: &GitRecord,
        entropy: &dyn Entropy,
    ) -> Result<Begun, Fault> {
        check_git_url(&order.url).map_err(Fault::Invalid)?;
        for (kind, name) in [(GitName::Ref, &order.reference), (GitName::Branch, &order.branch)] {
            name.as_ref().map_or(Ok(()), |name| check_git_name(kind, name)).map_err(Fault::Invalid)?;
        }
        let address = Address::new(&order.url);
        let url = &address.clean;
        let lock = self.lock().await?;
        self.create(git, &lock, &address).await?;
        if let Err(error) = self.fetch_patiently(git, &lock, entropy).await {
            let message = format!("the repository {url} cannot be fetched: {error}");
            // Another time it says the same: somebody has to give it other credentials.
            let refused = matches!(&error, GitError::Failed { complaint, .. } if is_refusal(complaint));
            return Err(if refused { Fault::Invalid(message) } else { Fault::Failed(message) });
        }
        self.forget_replacements(git, &lock).await?;
        super::remove_tree(tree)?;
        git.run(&self.path, Some(&lock), &["worktree", "prune", "--expire", "now"]).await?;
        if known.base.is_some()
            && let Some(branch) = &known.branch
        {
            // Its own, from a time when it was interrupted: nobody has worked on it.
            git.ask(&self.path, Some(&lock), &["branch", "-D", "--quiet", "--", branch]).await?;
        }
        let base = self.base(git, &lock, order.reference.as_deref(), url).await?;
        if let Some(branch) = &order.branch {
            self.check_free(git, branch, url).await?;
        }
        Ok(Begun { lock, base })
    }

    /// Makes the worktree that was begun.
    pub(crate) async fn finish(
        &self,
        git: &Git,
        branch: Option<&str>,
        tree: &Path,
        Begun { lock, base }: Begun,
    ) -> Result<(), Fault> {
        let path = tree.to_str().ok_or_else(|| Fault::Failed("the data directory's path is not UTF-8".to_owned()))?;
        let mut words = vec!["worktree", "add", "--quiet", "--no-checkout"];
        match branch {
            Some(branch) => words.extend(["--no-track", "-b", branch]),
            None => words.push("--detach"),
        }
        words.extend(["--", path, &base]);
        git.run(&self.path, Some(&lock), &words).await?;
        drop(lock);
        // Others need not wait for that.
        git.run(tree, None, &["reset", "--quiet", "--hard"]).await?;
        Ok(())
    }

    async fn check_free(&self, git: &Git, branch: &str, url: &str) -> Result<(), Fault> {
        let place = if self.commit(git, &format!("refs/heads/{branch}")).await?.is_some() {
            "is used by another workspace on this ant, or was left by one"
        } else if self.commit(git, &format!("refs/remotes/origin/{branch}")).await?.is_some() {
            "exists in the repository already"
        } else {
            return Ok(());
        };
        Err(Fault::Invalid(format!(
            "the branch `{branch}` of {url} {place}, and was not made by this attempt of the job: give each attempt a \
             branch of its own, such as `{branch}-{{{{ Nonce }}}}`"
        )))
    }

    /// Gives commits an author where the task's own settings name none.
    pub(crate) async fn identify(&self, git: &Git, of_task: &Git, tree: &Path) -> Result<(), GitError> {
        for (name, value) in [("user.name", NAME), ("user.email", EMAIL)] {
            if !of_task.ask(tree, None, &["config", "--get", name]).await?.success {
                git.run(tree, None, &["config", "--worktree", name, value]).await?;
            }
        }
        Ok(())
    }

    /// What the mirror knows of a worktree.
    fn of_worktree(&self, tree: &Path) -> PathBuf {
        self.path.join("worktrees").join(tree.file_name().unwrap_or_default())
    }

    /// Removes locks that a git process left in the worktree when it was killed; nobody works there.
    pub(crate) fn unlock(&self, tree: &Path) {
        for lock in ["index.lock", "HEAD.lock"] {
            let path = self.of_worktree(tree).join(lock);
            if fs::remove_file(&path).is_ok() {
                tracing::info!(path = %path.display(), "removed a lock that a killed git process left");
            }
        }
    }

    /// Whether the worktree's work is on the remote. With `ask_remote` a doubt is settled by fetching; when that fails
    /// the doubt stays.
    pub(crate) async fn work(
        &self,
        git: &Git,
        tree: &Path,
        of: &GitRecord,
        ask_remote: bool,
    ) -> Result<Work, GitError> {
        self.restore(&of.url)?;
        let found = self.look(git, tree, of).await?;
        if !ask_remote || !matches!(found, Work::Unpushed(_)) {
            return Ok(found);
        }
        let fetched = tokio::time::timeout(PATIENCE, async {
            let lock = self.lock().await?;
            self.restore(&of.url)?;
            self.fetch(git, &lock).await
        });
        if !matches!(fetched.await, Ok(Ok(()))) {
            return Ok(found);
        }
        self.look(git, tree, of).await
    }

    async fn look(&self, git: &Git, tree: &Path, of: &GitRecord) -> Result<Work, GitError> {
        let own = self.of_worktree(tree);
        let there = git.of_worktree(tree, &own, &self.path);
        let git = &git.local();
        settings::calm(git, &own).await?;
        let mut phrases = Vec::new();
        // To look into a repository inside this one git starts another git, with that one's settings.
        let words = ["status", "--porcelain", "--untracked-files=normal", "--ignore-submodules=dirty"];
        let status = there.run(tree, None, &words).await?;
        let changes = status.lines().count();
        if changes > 0 {
            phrases.push(format!("{changes} uncommitted {}", if changes == 1 { "change" } else { "changes" }));
        }
        let staged = there.run(tree, None, &["ls-files", "--stage", "-z"]).await?;
        let inside = staged.split('\0').filter_map(|entry| entry.strip_prefix("160000 ")?.split_once('\t'));
        let inside = inside.filter(|(_, path)| fs::symlink_metadata(tree.join(path).join(".git")).is_ok()).count();
        if inside > 0 {
            phrases.push(format!("{inside} {} inside it", if inside == 1 { "repository" } else { "repositories" }));
        }
        let mut tips = Vec::new();
        let head = there.ask(tree, None, &["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]).await?;
        if head.success {
            tips.push(head.stdout.trim().to_owned());
        }
        if let Some(branch) = &of.branch {
            tips.extend(self.commit(git, &format!("refs/heads/{branch}")).await?);
        }
        tips.dedup();
        let mut words = vec!["rev-list", "--count"];
        words.extend(tips.iter().map(String::as_str));
        words.extend(["--not", "--remotes=origin"]);
        words.extend(of.base.as_deref());
        let count = if tips.is_empty() { "0".to_owned() } else { git.run(&self.path, None, &words).await? };
        if count != "0" && tips != of.pushed {
            let commits = if count == "1" { "1 commit".to_owned() } else { format!("{count} commits") };
            phrases.push(format!("{commits} on no branch of the remote"));
        }
        Ok(if phrases.is_empty() { Work::Pushed(tips) } else { Work::Unpushed(phrases.join(" and ")) })
    }

    /// Forgets a worktree whose directory is gone, and its branch.
    pub(crate) async fn forget(&self, git: &Git, of: &GitRecord) -> Result<(), GitError> {
        if !self.path.is_dir() {
            return Ok(());
        }
        let lock = self.lock().await?;
        let git = git.local();
        self.restore(&of.url)?;
        git.run(&self.path, Some(&lock), &["worktree", "prune", "--expire", "now"]).await?;
        if of.base.is_some()
            && let Some(branch) = &of.branch
        {
            git.ask(&self.path, Some(&lock), &["branch", "-D", "--quiet", "--", branch]).await?;
        }
        // A failure to tidy up harms nothing.
        let _ = git.ask(&self.path, Some(&lock), &["-c", "gc.auto=6700", "gc", "--auto", "--quiet"]).await?;
        Ok(())
    }
}

/// Removes locks that git processes left in mirrors when they were killed. At the start of an ant no task of it runs; a
/// git process of a previous ant that still runs holds the mirror's lock. Where a lock cannot be removed, only what needs
/// that mirror fails, by git's own words.
pub(crate) fn unlock_all(mirrors: &Path) {
    let failed = |path: &Path, error: &io::Error| {
        tracing::warn!(path = %path.display(), %error, "locks that git left in a mirror cannot be removed");
    };
    let entries = match fs::read_dir(mirrors) {
        Err(error) => return failed(mirrors, &error),
        Ok(entries) => entries,
    };
    for entry in entries {
        let path = match entry {
            Err(error) => return failed(mirrors, &error),
            Ok(entry) => entry.path(),
        };
        if path.extension().is_some_and(|extension| extension == "git")
            && let Err(error) = unlock_mirror(&path)
        {
            failed(&path, &error);
        }
    }
}

fn unlock_mirror(path: &Path) -> io::Result<()> {
    let lock = path.with_extension("lock");
    let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(lock)?;
    if file.try_lock().is_err() {
        return Ok(());
    }
    let stale = |entry: &walkdir::DirEntry| {
        entry.file_type().is_file() && entry.path().extension().is_some_and(|extension| extension == "lock")
    };
    let objects = path.join("objects");
    let all = walkdir::WalkDir::new(path).into_iter().filter_entry(|entry| entry.path() != objects);
    for entry in all.flatten().filter(stale) {
        fs::remove_file(entry.path())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_that_cannot_be_unlocked_is_in_the_way_of_no_other() {
        let temp = tempfile::tempdir().unwrap();
        let stale = |name: &str| temp.path().join(name).join("packed-refs.lock");
        for name in ["a.git", "b.git", "c.git"] {
            fs::create_dir(temp.path().join(name)).unwrap();
            fs::write(stale(name), "").unwrap();
        }
        // Nobody can open it as a file.
        fs::create_dir(temp.path().join("b.lock")).unwrap();
        unlock_all(temp.path());
        assert!(stale("b.git").exists());
        assert!(!stale("a.git").exists() && !stale("c.git").exists());
        unlock_all(&temp.path().join("nowhere"));
    }
}
