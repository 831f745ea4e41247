//! What tells an agent what to do comes from a commit that is trusted, whatever the checkout has.
//!
//! Before a run the files that configure agents become those of that commit; what the checkout had lies in a journal in the
//! repository's own directory, and is put back afterwards: by the same process, by whoever cleans up after it, or by the next
//! run. Everything is read and written as it is, without filters, hooks or links.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use atta_core::protocol::agent_configuration::AGENT_CONFIGURATION;
use serde::{Deserialize, Serialize};

use crate::changes::path_of;
use crate::git::{Git, names};
use crate::globs::PathGlobs;
use crate::inside;

/// Where the journal lies, in the repository's own directory.
const JOURNAL: &str = "atta-configuration";
/// More files than a project has for its agents.
const MOST: usize = 5_000;
/// So often somebody who puts things back may come in between.
const TRIES: u32 = 10;
/// So many problems are told.
const MOST_TOLD: usize = 3;

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
    for _ in 0..TRIES {
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
            Some(journal) if journal.commit == commit && journal.globs == globs => return Ok(Taken { checkout, lock }),
            Some(_) => {
                return Err(format!(
                    "another agent works in {} with another `config_from`: let one run after the other",
                    checkout.top.display()
                ));
            }
            // Whoever had the lock has put everything back meanwhile.
            None => {}
        }
    }
    Err(format!("others begin and end to work in {} all the time", checkout.top.display()))
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
    fn tracked(git: &Git<'_>, commit: &str, globs: &PathGlobs) -> Result<BTreeMap<String, Tracked>, String> {
        let listed = git.ask(&["ls-tree", "-r", "-z", "--full-tree", commit]);
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

    /// The files of the checkout that configure agents, tracked or not; and what could not be looked through.
    fn present(&self, globs: &PathGlobs) -> (BTreeSet<String>, Vec<String>) {
        let (mut found, mut problems) = (BTreeSet::new(), Vec::new());
        let entries = walkdir::WalkDir::new(&self.top).follow_links(false).into_iter();
        for entry in entries.filter_entry(|entry| entry.depth() == 0 || entry.file_name() != ".git") {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    problems.push(cannot("looked through", &error.into()));
                    continue;
                }
            };
            let Some(path) = entry.path().strip_prefix(&self.top).ok().and_then(Path::to_str) else { continue };
            if !entry.file_type().is_dir() && is_one(globs, path) {
                found.insert(path.to_owned());
            }
        }
        (found, problems)
    }

    fn replace(&self, commit: &str, more: &[String]) -> Result<(), String> {
        let globs = set_of(more)?;
        let git = self.git();
        let wanted = Self::tracked(&git, commit, &globs)?;
        let (present, problems) = self.present(&globs);
        all_went_well(&problems)?;
        if present.len() > MOST {
            return Err(format!("the checkout has more than {MOST} files that configure agents"));
        }
        let watched = self.marked(&git, 'H')?;
        let blobs = self.blobs(&git, wanted.values().map(|tracked| tracked.blob.as_str()))?;
        let paths: BTreeSet<&String> = wanted.keys().chain(&present).collect();
        let mut journal = Journal {
            commit: commit.to_owned(),
            globs: more.to_vec(),
            entries: Vec::new(),
            unwatched: Vec::new(),
            made: Vec::new(),
        };
        for path in paths {
            if watched.contains(path) {
                journal.unwatched.push(path.clone());
            }
            let blob = wanted.get(path).map(|tracked| tracked.blob.clone());
            journal.entries.push(Entry { path: path.clone(), had: present.contains(path), blob });
        }
        journal.made = self.missing_above(&journal.entries);
        fs::create_dir_all(self.place().join("saved"))
            .and_then(|()| self.write(&journal))
            .map_err(|error| cannot("kept", &error))?;
        let done = self.update_index(&git, "--skip-worktree", &journal.unwatched).and_then(|()| {
            for (number, entry) in journal.entries.iter().enumerate() {
                let at = self.top.join(&entry.path);
                if entry.had {
                    moved(&at, &self.saved(number)).map_err(|error| cannot("taken away", &error))?;
                }
                if let Some(tracked) = wanted.get(&entry.path) {
                    let content =
                        blobs.get(&tracked.blob).ok_or_else(|| format!("git cannot read {}", tracked.blob))?;
                    self.lay(&at, tracked.mode, content)?;
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

    /// Tracked files at which git looks (`H`), or was told not to look (`S`).
    fn marked(&self, git: &Git<'_>, mark: char) -> Result<BTreeSet<String>, String> {
        let listed = git.ask(&["ls-files", "-z", "-t", "--full-name"]);
        let listed =
            listed.ok_or_else(|| format!("git cannot list the files of the checkout in {}", self.top.display()))?;
        let of_mark = |line: String| Some(line.strip_prefix(mark)?.strip_prefix(' ')?.to_owned());
        Ok(names(Some(listed)).into_iter().filter_map(of_mark).collect())
    }

    fn update_index(&self, git: &Git<'_>, how: &str, paths: &[String]) -> Result<(), String> {
        if paths.is_empty() {
            return Ok(());
        }
        let mut list = Vec::new();
        for path in paths {
            list.extend_from_slice(path.as_bytes());
            list.push(0);
        }
        let done = git.tell(&["update-index", how, "-z", "--stdin"], &list);
        done.map(|_| ()).ok_or_else(|| {
            format!("the index of {} cannot be changed: is an `index.lock` left there?", self.top.display())
        })
    }

    /// Directories that will have to be made, what is in one before itself.
    fn missing_above(&self, entries: &[Entry]) -> Vec<String> {
        let mut made = BTreeSet::new();
        for entry in entries.iter().filter(|entry| entry.blob.is_some()) {
            for above in Path::new(&entry.path).ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
                if !self.top.join(above).is_dir() {
                    made.insert(above.to_string_lossy().into_owned());
                }
            }
        }
        made.into_iter().rev().collect()
    }

    /// Writes what the commit has. Where a directory of the commit is something else in the checkout, there is nothing to
    /// write: no agent would look for it there.
    fn lay(&self, at: &Path, mode: u32, content: &[u8]) -> Result<(), String> {
        let Some(parent) = at.parent() else { return Ok(()) };
        let write = || -> io::Result<()> {
            if !self.is_real(parent) {
                return Ok(());
            }
            fs::create_dir_all(parent)?;
            if mode == 0o120_000 {
                return std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(content), at);
            }
            File::options().create_new(true).write(true).open(at)?.write_all(content)?;
            let mode = if mode & 0o100 == 0 { 0o644 } else { 0o755 };
            fs::set_permissions(at, fs::Permissions::from_mode(mode))
        };
        write().map_err(|error| cannot("written", &error))
    }

    /// What these blobs have in them, as far as the repository has them.
    fn blobs<'n>(
        &self,
        git: &Git<'_>,
        wanted: impl Iterator<Item = &'n str>,
    ) -> Result<HashMap<String, Vec<u8>>, String> {
        // A journal may have anything in it.
        let wanted: BTreeSet<&str> = wanted.filter(|name| name.bytes().all(|byte| byte.is_ascii_hexdigit())).collect();
        let mut list = String::new();
        for name in wanted {
            list.push_str(name);
            list.push('\n');
        }
        if list.is_empty() {
            return Ok(HashMap::new());
        }
        let answer = git.tell(&["cat-file", "--batch"], list.as_bytes());
        let answer = answer.ok_or_else(|| format!("git cannot read files of {}", self.top.display()))?;
        let (mut blobs, mut rest) = (HashMap::new(), answer.as_slice());
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&rest[..end]).into_owned();
            rest = &rest[end + 1..];
            // `NAME blob LENGTH`, or `NAME missing`.
            let Some((name, length)) = line.split_once(" blob ") else { continue };
            let content = length.parse().ok().and_then(|length| rest.split_at_checked(length));
            let Some((content, after)) = content else { break };
            blobs.insert(name.to_owned(), content.to_vec());
            rest = after.strip_prefix(b"\n").unwrap_or(after);
        }
        Ok(blobs)
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

    /// Puts back what the journal names. May be cut off anywhere and begun again. What is in the way of one file is told at
    /// the end: the others are put back all the same.
    fn restore(&self) -> Result<Vec<String>, String> {
        let Some(journal) = self.journal()? else { return Ok(Vec::new()) };
        let globs = set_of(&journal.globs)?;
        let git = self.git();
        let mut changed = BTreeSet::new();
        // Whatever stands in the journal: nothing but files that configure agents is touched.
        let known: Vec<(usize, &Entry)> =
            journal.entries.iter().enumerate().filter(|(_, entry)| is_one(&globs, &entry.path)).collect();
        // What cannot be read is taken for changed.
        let blobs = self.blobs(&git, known.iter().filter_map(|(_, entry)| entry.blob.as_deref())).unwrap_or_default();
        let (present, mut problems) = self.present(&globs);
        let named: BTreeSet<&String> = known.iter().map(|(_, entry)| &entry.path).collect();
        let mut note = |path: &str, done: io::Result<()>| {
            if let Err(error) = done {
                problems.push(format!("{path} cannot be put back: {error}"));
            }
        };
        for path in present {
            if !named.contains(&path) {
                note(&path, fs::remove_file(self.top.join(&path)));
                changed.insert(path);
            }
        }
        // First what the checkout did not have, then what it had: a link may have been where the commit has a directory.
        for (_, entry) in known.iter().filter(|(_, entry)| !entry.had) {
            let at = self.top.join(&entry.path);
            if differs(&at, entry, &blobs) {
                changed.insert(entry.path.clone());
            }
            if at.parent().is_some_and(|parent| self.is_real(parent)) {
                note(&entry.path, removed(&at));
            }
        }
        for (number, entry) in known.iter().filter(|(_, entry)| entry.had) {
            let (at, saved) = (self.top.join(&entry.path), self.saved(*number));
            if fs::symlink_metadata(&saved).is_err() {
                // Not taken away yet, or put back already.
                continue;
            }
            if differs(&at, entry, &blobs) {
                changed.insert(entry.path.clone());
            }
            let above = at.parent().unwrap_or(&self.top);
            let put = self.clear_way(&at).and_then(|()| fs::create_dir_all(above)).and_then(|()| moved(&saved, &at));
            note(&entry.path, put);
        }
        for directory in &journal.made {
            let at = self.top.join(directory);
            // Unless something else is in it by now.
            if self.is_real(&at) {
                let _ = fs::remove_dir(at);
            }
        }
        let watched = self.marked(&git, 'S').and_then(|unwatched| {
            let still: Vec<String> = journal.unwatched.into_iter().filter(|path| unwatched.contains(path)).collect();
            self.update_index(&git, "--no-skip-worktree", &still)
        });
        problems.extend(watched.err());
        // The journal stays: the next one tries it again.
        all_went_well(&problems)?;
        fs::remove_file(self.place().join("journal.json")).map_err(|error| cannot("put back", &error))?;
        let _ = fs::remove_dir_all(self.place().join("saved"));
        Ok(changed.into_iter().collect())
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
}

/// Whether a file is not what the commit has.
fn differs(at: &Path, entry: &Entry, blobs: &HashMap<String, Vec<u8>>) -> bool {
    let Ok(found) = fs::symlink_metadata(at) else { return entry.blob.is_some() };
    // Where the checkout had a link or a file, the commit has a directory.
    if found.is_dir() && entry.blob.is_none() {
        return false;
    }
    let Some(blob) = entry.blob.as_ref().and_then(|blob| blobs.get(blob)) else { return true };
    if found.is_symlink() {
        return fs::read_link(at).is_ok_and(|target| target.as_os_str().as_bytes() != blob.as_slice());
    }
    !found.is_file() || found.len() != blob.len() as u64 || fs::read(at).is_ok_and(|text| text != *blob)
}

/// The problems, if there are any, in a sentence.
fn all_went_well(problems: &[String]) -> Result<(), String> {
    if problems.is_empty() {
        return Ok(());
    }
    let told = problems.iter().take(MOST_TOLD).map(String::as_str).collect::<Vec<_>>().join("; ");
    let more = problems.len().saturating_sub(MOST_TOLD);
    Err(if more == 0 { told } else { format!("{told}; and {more} more") })
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

fn set_of(more: &[String]) -> Result<PathGlobs, String> {
    let globs = AGENT_CONFIGURATION.into_iter().chain(more.iter().map(String::as_str));
    PathGlobs::new(globs).map_err(|error| format!("`config_paths`: {error}"))
}

/// Whether a path names a file that configures agents: also what lies in the place of such a directory.
fn is_one(globs: &PathGlobs, path: &str) -> bool {
    let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(part) if part != ".git"));
    plain && !path.is_empty() && globs.matches(path)
}

/// The directories that a checkout may lie in, as an attempt's environment says.
pub(crate) fn places(task_dir: PathBuf, environment: &[(OsString, OsString)]) -> Vec<PathBuf> {
    std::iter::once(task_dir).chain(path_of(environment, "JOB_WORKSPACE")).collect()
}

#[cfg(test)]
mod tests;
