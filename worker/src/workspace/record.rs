//! The directories that tasks of a job share, at rest: one directory and one file of facts each, below `ant/workspaces`.
//!
//! The ant writes them and people look at them beside the running ant, so every change is made under one lock file, by
//! replacing the file of facts as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use atta_core::definition::KeepWorkspace;
use atta_core::engine::JobState;
use atta_core::protocol::ant::WorkspaceId;
use atta_core::time::UnixMillis;
use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

/// What is known of a workspace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkspaceRecord {
    /// Version of this format: 1.
    pub format: u32,
    /// Whose it is.
    pub id: WorkspaceId,
    /// The job's type.
    pub job_type: String,
    /// Where it is in its life.
    pub state: WorkspaceState,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When a task began to use it last.
    pub used_at: UnixMillis,
    /// Whether it stays when the job is over.
    pub keep: KeepWorkspace,
    /// How long a kept one stays.
    pub ttl: Duration,
    /// How the job ended, once it has.
    pub outcome: Option<JobState>,
    /// Since when and why it is kept, once it is.
    pub kept: Option<Kept>,
    /// Its size, when it was measured last.
    pub bytes: Option<u64>,
    /// Its repository.
    pub git: Option<GitRecord>,
}

/// Where a workspace is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceState {
    /// It is being made; no task has seen it.
    Preparing,
    /// Its job is not over, as far as the ant has heard.
    Live,
    /// Its job is over, and it stays for a while.
    Kept,
    /// It is being removed.
    Removing,
}

impl WorkspaceState {
    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Live => "live",
            Self::Kept => "kept",
            Self::Removing => "removing",
        }
    }
}

/// Why a workspace stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Since when.
    pub since: UnixMillis,
    /// A phrase for people.
    pub reason: String,
    /// It has work that is nowhere else: it stays until somebody has looked.
    pub unpushed: bool,
    /// When that was looked at last.
    pub checked_at: UnixMillis,
}

/// The repository of a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitRecord {
    /// Name of its mirror below `ant/mirrors`.
    pub mirror: String,
    /// Address, without what may be a secret.
    pub url: String,
    /// The branch that was made for it.
    pub branch: Option<String>,
    /// The commit that it began with; once it is known the branch is this workspace's own.
    pub base: Option<String>,
    /// The commits at its ends when all of its work was last seen on the remote.
    pub pushed: Vec<String>,
    /// Work that is nowhere else may be removed.
    pub discard_unpushed: bool,
}

/// A file of facts that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedRecord {
    /// Name of the workspace's directory.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// All workspaces of one data directory.
#[derive(Debug, Clone)]
pub struct WorkspaceStore {
    directory: PathBuf,
    mirrors: PathBuf,
}

/// The one who holds it may change records.
pub(crate) struct StoreLock {
    _file: File,
}

const FACTS: &str = "json";
const TRASH: &str = ".trash-";

impl WorkspaceStore {
    /// Those below Atta's data directory. Nothing is made yet.
    pub fn new(data_dir: &Path) -> Self {
        Self::of_ant(&data_dir.join("ant"))
    }

    /// Those of an ant's own directory.
    pub(crate) fn of_ant(ant: &Path) -> Self {
        Self { directory: ant.join("workspaces"), mirrors: ant.join("mirrors") }
    }

    /// Makes the directories.
    pub(crate) fn create(&self) -> io::Result<()> {
        for directory in [&self.directory, &self.mirrors] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        Ok(())
    }

    /// `ant/mirrors`.
    pub(crate) fn mirrors(&self) -> &Path {
        &self.mirrors
    }

    /// The name of a workspace: that of its directory.
    pub fn name(id: &WorkspaceId) -> String {
        format!("{}-{}", id.job_id, id.nonce)
    }

    /// What `JOB_WORKSPACE` names.
    pub fn path(&self, id: &WorkspaceId) -> PathBuf {
        self.directory.join(Self::name(id))
    }

    fn facts(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.{FACTS}"))
    }

    /// Waits for the lock. Nobody holds it for longer than it takes to write a file. Blocks.
    pub(crate) fn lock(&self) -> io::Result<StoreLock> {
        self.create()?;
        let path = self.directory.join(".lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        file.lock()?;
        Ok(StoreLock { _file: file })
    }

    /// The facts about a workspace; `None` when there are none.
    pub fn read(&self, id: &WorkspaceId) -> io::Result<Option<WorkspaceRecord>> {
        check_name(&Self::name(id))?;
        read_facts(&self.facts(&Self::name(id)))
    }

    /// Replaces the facts; survives a loss of power.
    pub(crate) fn write(&self, _lock: &StoreLock, record: &WorkspaceRecord) -> io::Result<()> {
        let name = Self::name(&record.id);
        check_name(&name)?;
        let path = self.facts(&name);
        let new = self.directory.join(format!(".{name}.new"));
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec_pretty(record)?)?;
        file.sync_all()?;
        fs::rename(&new, &path)
    }

    /// Forgets a workspace that is gone.
    pub(crate) fn forget(&self, _lock: &StoreLock, id: &WorkspaceId) -> io::Result<()> {
        match fs::remove_file(self.facts(&Self::name(id))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// All workspaces, the oldest first, and files of facts that cannot be read.
    pub fn list(&self) -> io::Result<(Vec<WorkspaceRecord>, Vec<DamagedRecord>)> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), Vec::new())),
            other => other?,
        };
        let (mut records, mut damaged) = (Vec::new(), Vec::new());
        for entry in entries {
            let name = entry?.file_name();
            let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".json")) else { continue };
            if name.starts_with('.') {
                continue;
            }
            match read_facts(&self.facts(name)) {
                Ok(Some(record)) => records.push(record),
                // Removed meanwhile.
                Ok(None) => {}
                Err(error) => damaged.push(DamagedRecord { name: name.to_owned(), reason: error.to_string() }),
            }
        }
        records.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok((records, damaged))
    }

    /// Moves a workspace's directory out of sight, so that nobody finds half of it. Says where it is now.
    pub(crate) fn discard(&self, id: &WorkspaceId) -> io::Result<PathBuf> {
        let name = Self::name(id);
        check_name(&name)?;
        let trash = self.directory.join(format!("{TRASH}{name}"));
        super::remove_tree(&trash)?;
        match fs::rename(self.path(id), &trash) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(trash),
            other => other.map(|()| trash),
        }
    }

    /// What removals that were interrupted have left.
    pub(crate) fn trash(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut trash = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(TRASH) {
                trash.push(entry.path());
            }
        }
        Ok(trash)
    }
}

fn read_facts(path: &Path) -> io::Result<Option<WorkspaceRecord>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(content) => {
            let record: WorkspaceRecord = serde_json::from_slice(&content)
                .map_err(|error| io::Error::other(format!("{} is damaged: {error}", path.display())))?;
            if record.format != 1 {
                let message = format!("{} is of a newer version of Atta", path.display());
                return Err(io::Error::other(message));
            }
            Ok(Some(record))
        }
    }
}

/// Names come from the queen; none may lead out of the directory.
fn check_name(name: &str) -> io::Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if name.is_empty() || name.starts_with('.') || name.len() > 200 || !name.bytes().all(plain) {
        return Err(io::Error::other(format!("{name:?} cannot be the name of a workspace")));
    }
    Ok(())
}

/// The bytes of all files below a directory; one that has several names counts once. Blocks.
pub fn measure(directory: &Path) -> u64 {
    let mut seen = std::collections::HashSet::new();
    let mut total = 0_u64;
    // What vanishes meanwhile or cannot be read does not count.
    for entry in WalkDir::new(directory).into_iter().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_file() && (metadata.nlink() == 1 || seen.insert((metadata.dev(), metadata.ino()))) {
            total = total.saturating_add(metadata.len());
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use atta_core::protocol::JobId;

    use super::*;

    fn record(job: &str) -> WorkspaceRecord {
        WorkspaceRecord {
            format: 1,
            id: WorkspaceId { job_id: JobId(job.to_owned()), nonce: "0a1b2c3d".to_owned() },
            job_type: "test".to_owned(),
            state: WorkspaceState::Live,
            created_at: UnixMillis(1),
            used_at: UnixMillis(1),
            keep: KeepWorkspace::Never,
            ttl: Duration::from_secs(1),
            outcome: None,
            kept: None,
            bytes: None,
            git: None,
        }
    }

    #[test]
    fn facts_are_read_as_they_were_written_and_forgotten() {
        let temp = tempfile::tempdir().unwrap();
        let store = WorkspaceStore::new(temp.path());
        assert_eq!(store.list().unwrap(), (Vec::new(), Vec::new()));
        let one = record("job_1");
        let lock = store.lock().unwrap();
        let other = File::open(temp.path().join("ant/workspaces/.lock")).unwrap();
        assert!(other.try_lock().is_err());
        store.write(&lock, &one).unwrap();
        drop(lock);
        assert!(other.try_lock().is_ok());
        drop(other);
        assert_eq!(store.read(&one.id).unwrap(), Some(one.clone()));
        fs::write(temp.path().join("ant/workspaces/job_2-00000000.json"), "{").unwrap();
        let (records, damaged) = store.list().unwrap();
        assert_eq!(records, std::slice::from_ref(&one));
        assert!(damaged[0].name == "job_2-00000000" && damaged[0].reason.contains("is damaged"), "{damaged:?}");
        store.forget(&store.lock().unwrap(), &one.id).unwrap();
        assert_eq!(store.read(&one.id).unwrap(), None);
    }

    #[test]
    fn a_name_that_leads_out_is_refused() {
        let store = WorkspaceStore::new(Path::new("/nonexistent"));
        let mut hostile = record("../../etc");
        assert!(store.read(&hostile.id).is_err());
        hostile.id.job_id.0 = "a/b".to_owned();
        assert!(store.discard(&hostile.id).is_err());
    }

    #[test]
    fn a_file_with_two_names_is_measured_once() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("d")).unwrap();
        fs::write(temp.path().join("d/a"), [0; 1000]).unwrap();
        fs::hard_link(temp.path().join("d/a"), temp.path().join("b")).unwrap();
        std::os::unix::fs::symlink("/etc", temp.path().join("link")).unwrap();
        assert_eq!(measure(temp.path()), 1000);
    }
}
