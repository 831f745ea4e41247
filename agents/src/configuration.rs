//! What tells an agent what to do comes from a commit that is trusted, whatever the checkout has.
//!
//! Before a run the files that configure agents become those of that commit; what the checkout had lies in a journal in the
//! repository's own directory, and is put back afterwards: by the same process, by whoever cleans up after it, or by the next
//! run. Everything is read and written as it is, without filters, hooks or links.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use atta_core::protocol::agent_configuration::AGENT_CONFIGURATION;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};

use crate::changes::path_of;
use crate::git::{Git, names};
use crate::inside;

/// Where the journal lies, in the repository's own directory.
const JOURNAL: &str = "atta-configuration";
/// More files than a project has for its agents.
const MOST: usize = 5_000;

/// Files that are those of a commit at present.
#[derive(Debug)]
pub(crate) struct Taken {
    checkout: Checkout,
    /// Held as long as the agent runs, together with others that want the same.
    lock: File,
}

/// What has to be put back.
#[derive(Debug, Serialize, Deserialize)]
struct Journal {
    commit: String,
    /// More globs than the usual ones.
    globs: Vec<String>,
    entries: Vec<Entry>,
    /// Tracked files that git was told not to look at.
    unwatched: Vec<String>,
    /// Directories that were made.
    made: Vec<String>,
}

/// One file. What the checkout had of it is `saved/NUMBER`.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    path: String,
    had: bool,
    /// What the commit has.
    blob: Option<String>,
}

#[derive(Debug)]
struct Checkout {
    top: PathBuf,
    /// The repository's own directory for this checkout.
    own: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

/// A file of a commit.
struct Tracked {
    blob: String,
    mode: u32,
}

impl Taken {
    /// Puts back what the checkout had, unless somebody else still uses what is there. Names what the agent had changed.
    pub(crate) fn give_back(self) -> Result<Vec<String>, String> {
        self.lock.unlock().map_err(|error| cannot("unlocked", &error))?;
        match self.lock.try_lock() {
            Ok(()) => self.checkout.restore(),
            Err(TryLockError::WouldBlock) => Ok(Vec::new()),
            Err(TryLockError::Error(error)) => Err(cannot("locked", &error)),
        }
    }
}

/// Makes the files that configure agents those of a commit. The directory has to lie in one of the places.
pub(crate) fn take(
    directory: &Path,
    places: &[PathBuf],
    revision: &str,
    globs: &[String],
    environment: &[(OsString, OsString)],
) -> Result<Taken, String> {
    let checkout = Checkout::of(directory, places, environment)?;
    let git = checkout.git();
    let commit = git.commit(revision).ok_or_else(|| {
        format!("`config_from`: {revision} is no commit that the repository in {} has", checkout.top.display())
    })?;
    let lock = checkout.lock().map_err(|error| cannot("locked", &error))?;
    match lock.try_lock() {
        Ok(()) => {
            checkout.restore()?;
            checkout.replace(&commit, globs)?;
            // From here on others may join, and nobody may put anything back.
            lock.unlock().and_then(|()| lock.lock_shared()).map_err(|error| cannot("locked", &error))?;
        }
        Err(TryLockError::WouldBlock) => lock.lock_shared().map_err(|error| cannot("locked", &error))?,
        Err(TryLockError::Error(error)) => return Err(cannot("locked", &error)),
    }
    match checkout.journal()? {
        Some(journal) if journal.commit == commit && journal.globs == globs => Ok(Taken { checkout, lock }),
        _ => Err(format!(
            "another agent works in {} with another `config_from`: let one run after the other",
            checkout.top.display()
        )),
    }
}

/// Puts back what a run that was cut off left, if there is anything and nobody uses it.
pub(crate) fn recover(
    directory: &Path,
    places: &[PathBuf],
    environment: &[(OsString, OsString)],
) -> Result<Vec<String>, String> {
    let checkout = Checkout::of(directory, places, environment)?;
    if !checkout.place().is_dir() {
        return Ok(Vec::new());
    }
    let lock = checkout.lock().map_err(|error| cannot("locked", &error))?;
    match lock.try_lock() {
        Ok(()) => checkout.restore(),
        Err(TryLockError::WouldBlock) => Ok(Vec::new()),
        Err(TryLockError::Error(error)) => Err(cannot("locked", &error)),
    }
}

fn cannot(what: &str, error: &io::Error) -> String {
    format!("the configuration of agents cannot be {what}: {error}")
}

impl Checkout {
    fn of(directory: &Path, places: &[PathBuf], environment: &[(OsString, OsString)]) -> Result<Self, String> {
        let git = Git::new(directory, environment);
        let ask = |what: &str| {
            let answer = git.ask(&["rev-parse", what])?;
            let path = PathBuf::from(std::ffi::OsStr::from_bytes(answer.strip_suffix(b"\n").unwrap_or(&answer)));
            path.canonicalize().ok()
        };
        let none = || format!("`config_from` needs a git repository, and {} is in none", directory.display());
        let top = ask("--show-toplevel").ok_or_else(none)?;
        let own = ask("--absolute-git-dir").ok_or_else(none)?;
        // A repository says itself where its files are: it may say anything.
        let here = directory.canonicalize().map_err(|_| none())?;
        if !here.starts_with(&top) || !inside::is_below(&top, places) {
            return Err(format!("the repository in {} says that its files are elsewhere", directory.display()));
        }
        let environment = environment.iter().filter(|(name, _)| name == "PATH" || name == "HOME").cloned().collect();
        Ok(Self { top, own, environment })
    }

    fn git(&self) -> Git<'_> {
        Git::new(&self.top, &self.environment)
    }

    fn place(&self) -> PathBuf {
        self.own.join(JOURNAL)
    }

    fn lock(&self) -> io::Result<File> {
        fs::create_dir_all(self.place())?;
        File::options().create(true).truncate(false).write(true).open(self.place().join("lock"))
    }

    fn journal(&self) -> Result<Option<Journal>, String> {
        match fs::read(self.place().join("journal.json")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(cannot("read", &error)),
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| cannot("read", &error.into())),
        }
    }

    fn write(&self, journal: &Journal) -> io::Result<()> {
        let new = self.place().join("journal.new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(journal)?)?;
        file.sync_all()?;
        fs::rename(new, self.place().join("journal.json"))
    }

    fn saved(&self, number: usize) -> PathBuf {
        self.place().join("saved").join(number.to_string())
    }

    /// The files of a commit that configure agents.
    fn tracked(&self, commit: &str, globs: &GlobSet) -> Result<BTreeMap<String, Tracked>, String> {
        let listed = self.git().ask(&["ls-tree", "-r", "-z", "--full-tree", commit]);
        let listed = listed.ok_or_else(|| format!("git cannot list the files of {commit}"))?;
        let lines = names(Some(listed)).into_iter().filter_map(|line| {
            let (facts, path) = line.split_once('\t')?;
            let mut facts = facts.split(' ');
            let mode = u32::from_str_radix(facts.next()?, 8).ok()?;
            let blob = facts.nth(1)?.to_owned();
            // What is no file of this repository is a repository of its own.
            (mode != 0o160_000 && is_one(globs, path)).then(|| (path.to_owned(), Tracked { blob, mode }))
        });
        Ok(lines.collect())
    }

    /// The files of the checkout that configure agents, tracked or not.
    fn present(&self, globs: &GlobSet) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        let entries = walkdir::WalkDir::new(&self.top).follow_links(false).into_iter();
        for entry in entries.filter_entry(|entry| entry.depth() == 0 || entry.file_name() != ".git") {
            let entry = entry.map_err(|error| cannot("looked through", &error.into()))?;
            let Some(path) = entry.path().strip_prefix(&self.top).ok().and_then(Path::to_str) else { continue };
            if entry.file_type().is_dir() || path.is_empty() || !is_one(globs, path) {
                continue;
            }
            found.push(path.to_owned());
            if found.len() > MOST {
                return Err(format!("the checkout has more than {MOST} files that configure agents"));
            }
        }
        Ok(found)
    }

    fn replace(&self, commit: &str, more: &[String]) -> Result<(), String> {
        let globs = set_of(more)?;
        let mut wanted = self.tracked(commit, &globs)?;
        let present = self.present(&globs)?;
        let watched = self.watched(&globs);
        let mut paths: Vec<String> = wanted.keys().cloned().chain(present.iter().cloned()).collect();
        paths.sort();
        paths.dedup();
        let mut journal = Journal {
            commit: commit.to_owned(),
            globs: more.to_vec(),
            entries: Vec::new(),
            unwatched: Vec::new(),
            made: Vec::new(),
        };
        for path in paths {
            let had = present.contains(&path);
            let blob = wanted.get(&path).map(|tracked| tracked.blob.clone());
            if watched.contains(&path) {
                journal.unwatched.push(path.clone());
            }
            journal.entries.push(Entry { path, had, blob });
        }
        journal.made = self.missing_above(&journal.entries);
        fs::create_dir_all(self.place().join("saved"))
            .and_then(|()| self.write(&journal))
            .map_err(|error| cannot("kept", &error))?;
        let done = self.unwatch(&journal.unwatched).and_then(|()| {
            for (number, entry) in journal.entries.iter().enumerate() {
                let at = self.top.join(&entry.path);
                if entry.had {
                    moved(&at, &self.saved(number)).map_err(|error| cannot("taken away", &error))?;
                }
                if let Some(tracked) = wanted.remove(&entry.path) {
                    self.lay(&at, &tracked)?;
                }
            }
            Ok(())
        });
        if done.is_err() {
            // As it was.
            self.restore()?;
        }
        done
    }

    /// Tracked files that git looks at.
    fn watched(&self, globs: &GlobSet) -> Vec<String> {
        let listed = names(self.git().ask(&["ls-files", "-z", "-t", "--full-name"])).into_iter();
        let cached = listed.filter_map(|line| line.strip_prefix("H ").map(str::to_owned));
        cached.filter(|path| is_one(globs, path)).collect()
    }

    fn unwatch(&self, paths: &[String]) -> Result<(), String> {
        self.update_index("--skip-worktree", paths)
    }

    fn update_index(&self, how: &str, paths: &[String]) -> Result<(), String> {
        if paths.is_empty() {
            return Ok(());
        }
        let mut list = Vec::new();
        for path in paths {
            list.extend_from_slice(path.as_bytes());
            list.push(0);
        }
        let done = self.git().tell(&["update-index", how, "-z", "--stdin"], &list);
        done.map(|_| ()).ok_or_else(|| {
            format!("the index of {} cannot be changed: is an `index.lock` left there?", self.top.display())
        })
    }

    /// Directories that will have to be made.
    fn missing_above(&self, entries: &[Entry]) -> Vec<String> {
        let mut made = Vec::new();
        for entry in entries.iter().filter(|entry| entry.blob.is_some()) {
            for above in Path::new(&entry.path).ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
                let name = above.to_string_lossy().into_owned();
                if !self.top.join(above).is_dir() && !made.contains(&name) {
                    made.push(name);
                }
            }
        }
        made
    }

    /// Writes what the commit has. Where a directory of the commit is something else in the checkout, there is nothing to
    /// write: no agent would look for it there.
    fn lay(&self, at: &Path, tracked: &Tracked) -> Result<(), String> {
        let content = self.blob(&tracked.blob)?;
        let Some(parent) = at.parent() else { return Ok(()) };
        let write = || -> io::Result<()> {
            if !self.is_real(parent) {
                return Ok(());
            }
            fs::create_dir_all(parent)?;
            if tracked.mode == 0o120_000 {
                return std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(&content), at);
            }
            File::options().create_new(true).write(true).open(at)?.write_all(&content)?;
            let mode = if tracked.mode & 0o100 == 0 { 0o644 } else { 0o755 };
            fs::set_permissions(at, fs::Permissions::from_mode(mode))
        };
        write().map_err(|error| cannot("written", &error))
    }

    fn blob(&self, name: &str) -> Result<Vec<u8>, String> {
        self.git().ask(&["cat-file", "blob", name]).ok_or_else(|| format!("git cannot read {name}"))
    }

    /// Whether a path below the top leads through directories only, as far as it exists.
    fn is_real(&self, path: &Path) -> bool {
        let Ok(below) = path.strip_prefix(&self.top) else { return false };
        let mut at = self.top.clone();
        for part in below.components() {
            if !matches!(part, Component::Normal(_)) {
                return false;
            }
            at.push(part);
            match fs::symlink_metadata(&at) {
                Ok(found) if !found.is_dir() => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == io::ErrorKind::NotFound,
            }
        }
        true
    }

    /// Puts back what the journal names. May be cut off anywhere and begun again.
    fn restore(&self) -> Result<Vec<String>, String> {
        let Some(journal) = self.journal()? else { return Ok(Vec::new()) };
        let globs = set_of(&journal.globs)?;
        let mut changed = Vec::new();
        // Whatever stands in the journal: nothing but files that configure agents is touched.
        let known: Vec<(usize, &Entry)> =
            journal.entries.iter().enumerate().filter(|(_, entry)| is_one(&globs, &entry.path)).collect();
        for path in self.present(&globs)? {
            if !known.iter().any(|(_, entry)| entry.path == path) {
                fs::remove_file(self.top.join(&path)).map_err(|error| cannot("put back", &error))?;
                changed.push(path);
            }
        }
        // First what the checkout did not have, then what it had: a link may have been where the commit has a directory.
        for (_, entry) in known.iter().filter(|(_, entry)| !entry.had) {
            let at = self.top.join(&entry.path);
            if self.differs(&at, entry) {
                changed.push(entry.path.clone());
            }
            if at.parent().is_some_and(|parent| self.is_real(parent)) {
                removed(&at).map_err(|error| cannot("put back", &error))?;
            }
        }
        for (number, entry) in known.iter().filter(|(_, entry)| entry.had) {
            let (at, saved) = (self.top.join(&entry.path), self.saved(*number));
            if fs::symlink_metadata(&saved).is_err() {
                // Not taken away yet, or put back already.
                continue;
            }
            if self.differs(&at, entry) {
                changed.push(entry.path.clone());
            }
            self.clear_way(&at).map_err(|error| cannot("put back", &error))?;
            if let Some(parent) = at.parent() {
                let done = fs::create_dir_all(parent).and_then(|()| moved(&saved, &at));
                done.map_err(|error| cannot("put back", &error))?;
            }
        }
        for directory in &journal.made {
            let at = self.top.join(directory);
            // Unless something else is in it by now.
            if self.is_real(&at) {
                let _ = fs::remove_dir(at);
            }
        }
        let unwatched = names(self.git().ask(&["ls-files", "-z", "-t", "--full-name"])).into_iter();
        let still = unwatched.filter_map(|line| line.strip_prefix("S ").map(str::to_owned));
        let still: Vec<String> = still.filter(|path| journal.unwatched.contains(path)).collect();
        self.update_index("--no-skip-worktree", &still)?;
        fs::remove_file(self.place().join("journal.json")).map_err(|error| cannot("put back", &error))?;
        let _ = fs::remove_dir_all(self.place().join("saved"));
        changed.sort();
        changed.dedup();
        Ok(changed)
    }

    /// Removes what is in a file's place: the file of the commit, or what the agent made of it.
    fn clear_way(&self, at: &Path) -> io::Result<()> {
        let mut way = at.parent().unwrap_or(&self.top).to_owned();
        while !self.is_real(&way) {
            // A link or a file where a directory was.
            if fs::symlink_metadata(&way).is_ok_and(|found| !found.is_dir())
                && self.is_real(way.parent().unwrap_or(&way))
            {
                fs::remove_file(&way)?;
                break;
            }
            let Some(above) = way.parent() else { break };
            way = above.to_owned();
        }
        removed(at)
    }

    /// Whether a file is not what the commit has.
    fn differs(&self, at: &Path, entry: &Entry) -> bool {
        let Ok(found) = fs::symlink_metadata(at) else { return entry.blob.is_some() };
        // Where the checkout had a link or a file, the commit has a directory.
        if found.is_dir() && entry.blob.is_none() {
            return false;
        }
        let Some(blob) = entry.blob.as_ref().and_then(|blob| self.blob(blob).ok()) else { return true };
        if found.is_symlink() {
            return fs::read_link(at).is_ok_and(|target| target.as_os_str().as_bytes() != blob.as_slice());
        }
        !found.is_file() || found.len() != blob.len() as u64 || fs::read(at).is_ok_and(|text| text != blob)
    }
}

/// Removes whatever is there.
fn removed(at: &Path) -> io::Result<()> {
    match fs::symlink_metadata(at) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(()),
        Err(error) => Err(error),
        Ok(found) if found.is_dir() => fs::remove_dir_all(at),
        Ok(_) => fs::remove_file(at),
    }
}

/// Moves a file, also to another file system.
fn moved(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
        renamed => return renamed,
    }
    let found = fs::symlink_metadata(from)?;
    if found.is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(from)?, to)?;
    } else if found.is_file() {
        fs::copy(from, to)?;
    } else {
        return Err(io::Error::other("it is no regular file"));
    }
    fs::remove_file(from)
}

fn set_of(more: &[String]) -> Result<GlobSet, String> {
    let mut set = GlobSetBuilder::new();
    for glob in AGENT_CONFIGURATION.into_iter().chain(more.iter().map(String::as_str)) {
        // Some file systems do not know `claude.md` from `CLAUDE.md`.
        let built = GlobBuilder::new(glob).literal_separator(true).case_insensitive(true).build();
        set.add(built.map_err(|error| format!("`config_paths`: {glob:?} is no valid glob: {}", error.kind()))?);
    }
    set.build().map_err(|error| format!("`config_paths`: {error}"))
}

/// Whether a path names a file that configures agents: also what lies in the place of such a directory.
fn is_one(globs: &GlobSet, path: &str) -> bool {
    let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(part) if part != ".git"));
    plain && !path.is_empty() && (globs.is_match(path) || globs.is_match(format!("{path}/x")))
}

/// The directories that a checkout may lie in, as an attempt's environment says.
pub(crate) fn places(task_dir: PathBuf, environment: &[(OsString, OsString)]) -> Vec<PathBuf> {
    std::iter::once(task_dir).chain(path_of(environment, "JOB_WORKSPACE")).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn environment() -> Vec<(OsString, OsString)> {
        std::env::vars_os().filter(|(name, _)| name == "PATH").collect()
    }

    fn run(directory: &Path, line: &str) -> String {
        let done = Command::new("bash")
            .args(["-ec", line])
            .current_dir(directory)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    /// A checkout of a branch that changed, added and removed configuration, and the commit that it began with.
    fn scene() -> (tempfile::TempDir, String) {
        let directory = tempfile::tempdir().unwrap();
        run(
            directory.path(),
            "git init -q -b main . && git config user.name a && git config user.email a@b && mkdir -p sub && \
             echo ours > CLAUDE.md && ln -s CLAUDE.md AGENTS.md && mkdir .claude && echo '{}' > .claude/settings.json && \
             echo nested > sub/CLAUDE.md && echo code > code && git add . && git commit -qm base",
        );
        let base = run(directory.path(), "git rev-parse HEAD");
        run(
            directory.path(),
            "git checkout -qb work && echo theirs > CLAUDE.md && git rm -qr .claude && ln -s sub .claude && \
             git rm -q sub/CLAUDE.md && echo '{\"mcp\": 1}' > .mcp.json && git add . && git commit -qm branch && \
             mkdir -p .gemini && echo untracked > .gemini/x && echo changed >> code",
        );
        (directory, base)
    }

    fn look(path: &Path) -> String {
        run(
            path,
            "find . -path ./.git -prune -o \\( -type f -o -type l \\) -print | sort | while read -r f; do \
             if [ -L \"$f\" ]; then echo \"$f -> $(readlink \"$f\")\"; else echo \"$f: $(cat \"$f\")\"; fi; done; \
             git status --porcelain",
        )
    }

    fn taken(path: &Path, base: &str) -> Result<Taken, String> {
        take(path, &[path.to_owned()], base, &[], &environment())
    }

    #[test]
    fn an_agent_finds_the_configuration_of_the_base_and_the_branch_has_its_own_back() {
        let (directory, base) = scene();
        let path = directory.path();
        let before = look(path);
        let taken = taken(path, &base).unwrap();
        let during = look(path);
        for line in
            ["./CLAUDE.md: ours", "./AGENTS.md -> CLAUDE.md", "./.claude/settings.json: {}", "./code: code\nchanged"]
        {
            assert!(during.contains(line), "{line}: {during}");
        }
        assert!(
            !during.contains(".mcp.json") && !during.contains("untracked") && !during.contains("theirs"),
            "{during}"
        );
        // What is committed now is the agent's work and nothing else.
        run(path, "git commit -qam work");
        assert_eq!(run(path, "git show --name-only --format= HEAD"), "code");
        assert_eq!(taken.give_back().unwrap(), Vec::<String>::new());
        assert_eq!(look(path), before.replace(" M code\n", "").replace("M code\n", ""));
        assert!(!path.join(".git/atta-configuration/journal.json").exists());
    }

    #[test]
    fn what_an_agent_does_to_its_configuration_is_not_kept_and_is_named() {
        let (directory, base) = scene();
        let path = directory.path();
        let before = look(path);
        let taken = taken(path, &base).unwrap();
        run(
            path,
            "echo hooks > .claude/settings.json; echo x > .cursorrules; rm CLAUDE.md; mkdir CLAUDE.md; rm -r sub; ln -s /etc sub",
        );
        assert_eq!(taken.give_back().unwrap(), [".claude/settings.json", ".cursorrules", "CLAUDE.md", "sub/CLAUDE.md"]);
        run(path, "rm sub");
        assert_eq!(look(path), before);
    }

    #[test]
    fn whatever_a_run_that_was_cut_off_left_is_put_back_by_the_next_one() {
        let (directory, base) = scene();
        let path = directory.path();
        let before = look(path);
        for again in [false, true] {
            let taken = taken(path, &base).unwrap();
            // Killed: nothing is put back, and the lock is gone.
            drop(taken);
            assert_ne!(look(path), before);
            if again {
                recover(path, &[path.to_owned()], &environment()).unwrap();
                assert_eq!(look(path), before);
            }
        }
        // Killed while it took things away: some are gone, some not yet.
        drop(taken(path, &base).unwrap());
        let own = path.join(".git/atta-configuration");
        let text = fs::read_to_string(own.join("journal.json")).unwrap();
        let journal: Journal = serde_json::from_str(&text).unwrap();
        let number = journal.entries.iter().position(|entry| entry.path == "CLAUDE.md").unwrap();
        fs::remove_file(path.join("CLAUDE.md")).unwrap();
        fs::rename(own.join("saved").join(number.to_string()), path.join("CLAUDE.md")).unwrap();
        recover(path, &[path.to_owned()], &environment()).unwrap();
        assert_eq!(look(path), before);
        assert_eq!(recover(path, &[path.to_owned()], &environment()), Ok(Vec::new()));
    }

    #[test]
    fn agents_that_work_at_once_share_what_was_taken_and_the_last_one_gives_it_back() {
        let (directory, base) = scene();
        let path = directory.path();
        let before = look(path);
        let (first, second) = (taken(path, &base).unwrap(), taken(path, &base).unwrap());
        let message = taken(path, "main~0^{tree}").unwrap_err();
        assert!(message.contains("is no commit"), "{message}");
        let other = taken(path, "work").unwrap_err();
        assert!(other.contains("another agent works in"), "{other}");
        first.give_back().unwrap();
        assert_ne!(look(path), before);
        second.give_back().unwrap();
        assert_eq!(look(path), before);
    }

    #[test]
    fn neither_hooks_nor_filters_nor_a_journal_of_somebody_s_own_do_anything() {
        let (directory, base) = scene();
        let outside = tempfile::tempdir().unwrap();
        let path = directory.path();
        run(
            path,
            "printf '#!/bin/sh\\ntouch \"$PWD/ran\"\\n' > .git/evil; chmod +x .git/evil; cp .git/evil .git/hooks/post-index-change; \
             git config core.fsmonitor .git/evil; git config filter.x.clean .git/evil; git config filter.x.smudge .git/evil; \
             git config filter.x.required true; printf '* filter=x\\n' > .git/info/attributes",
        );
        let taken = taken(path, &base).unwrap();
        let own = path.join(".git/atta-configuration");
        let target = outside.path().join("keep");
        fs::write(&target, "keep").unwrap();
        let mut journal: Journal = serde_json::from_slice(&fs::read(own.join("journal.json")).unwrap()).unwrap();
        for hostile in [
            format!("../{}", target.display()),
            target.display().to_string(),
            "code".to_owned(),
            ".git/config".to_owned(),
        ] {
            journal.entries.push(Entry { path: hostile, had: false, blob: None });
        }
        fs::write(own.join("journal.json"), serde_json::to_vec(&journal).unwrap()).unwrap();
        taken.give_back().unwrap();
        assert!(!path.join("ran").exists() && target.exists() && path.join("code").exists());
        assert!(path.join(".git/config").exists());
    }

    #[test]
    fn a_repository_that_says_its_files_are_elsewhere_is_refused() {
        let (directory, base) = scene();
        let outside = tempfile::tempdir().unwrap();
        run(directory.path(), &format!("git config core.worktree {}", outside.path().display()));
        let message = taken(directory.path(), &base).unwrap_err();
        assert!(message.contains("says that its files are elsewhere") || message.contains("is in none"), "{message}");
        let nowhere = tempfile::tempdir().unwrap();
        assert!(taken(nowhere.path(), "main").unwrap_err().contains("needs a git repository"));
    }
}
