//! Files that come back in later jobs: archives by the hash of their key, the least recently used removed first.
//!
//! One file per entry, put in place by a rename: a skippable frame of zstd with the facts, then the archive. Reading an
//! entry marks it as used by its modification time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use atta_core::definition::{IN_WORKSPACE, check_cache_key, check_cache_path, format_size};
use atta_core::protocol::AttemptId;
use atta_core::protocol::ant::CacheOrder;
use atta_core::time::UnixMillis;
use serde::{Deserialize, Serialize};

use super::archive::{self, Member};

/// First bytes of a skippable frame (RFC 8878, 3.1.2).
const SKIPPABLE: [u8; 4] = [0x5a, 0x2a, 0x4d, 0x18];
/// More facts than this are none of ours.
const LONGEST_FACTS: u32 = 64 << 10;
const ENTRY: &str = ".tar.zst";
const UNFINISHED: &str = ".new-";

/// The ant's caches.
#[derive(Debug)]
pub(crate) struct CacheStore {
    directory: PathBuf,
    total: u64,
    entry: u64,
}

/// Where cached paths lie.
#[derive(Debug)]
pub(crate) struct Roots {
    /// TASK_DIR.
    pub(crate) task: PathBuf,
    /// JOB_WORKSPACE.
    pub(crate) workspace: Option<PathBuf>,
}

/// What became of a search.
#[derive(Debug)]
pub(crate) struct Restored {
    /// The very key was found: nothing is to be stored afterwards.
    pub(crate) exact: bool,
    /// A line for the log.
    pub(crate) summary: String,
    pub(crate) warnings: Vec<String>,
}

/// What became of a wish to store.
#[derive(Debug)]
pub(crate) struct Saved {
    /// A line for the log.
    pub(crate) summary: String,
    pub(crate) warnings: Vec<String>,
}

/// What an entry says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Facts {
    format: u32,
    job_type: String,
    key: String,
    paths: Vec<String>,
    created_at: UnixMillis,
}

impl Roots {
    /// The directories of a cached path, and the path below them.
    fn find(&self, path: &str) -> Result<Member, String> {
        check_cache_path(path)?;
        let (root, name, relative) = match path.strip_prefix(IN_WORKSPACE) {
            None => (Some(&self.task), "task", path),
            Some(relative) => (self.workspace.as_ref(), "workspace", relative),
        };
        let root =
            root.ok_or_else(|| format!("the cache path {path:?} lies in a workspace that the job does not have"))?;
        let relative = Path::new(relative).components().filter(|part| *part != std::path::Component::CurDir).collect();
        Ok(Member { root: root.clone(), name, relative })
    }

    fn members(&self, order: &CacheOrder) -> Result<Vec<Member>, String> {
        order.paths.iter().map(|path| self.find(path)).collect()
    }
}

impl CacheStore {
    /// Opens it, and removes what was not finished. Blocks, like everything here.
    pub(crate) fn open(directory: PathBuf, total: u64, entry: u64) -> io::Result<Self> {
        if directory.is_dir() {
            for file in fs::read_dir(&directory)? {
                let file = file?;
                if file.file_name().to_string_lossy().starts_with(UNFINISHED) {
                    fs::remove_file(file.path())?;
                }
            }
        }
        Ok(Self { directory, total, entry })
    }

    /// Lays down what is stored under the key, or else under the first other key that fits.
    pub(crate) fn restore(
        &self,
        job_type: &str,
        order: &CacheOrder,
        roots: &Roots,
        staging: &Path,
        now: UnixMillis,
    ) -> Restored {
        let mut warnings = Vec::new();
        let members = match roots.members(order) {
            Ok(members) => members,
            Err(problem) => {
                warnings.push(problem);
                return Restored { exact: false, summary: miss(order), warnings };
            }
        };
        let own = self.place(job_type, order);
        if own.exists()
            && let Err(error) = open(&own)
        {
            warnings.push(format!("the cache entry {:?} cannot be used and is dropped: {error}", order.key));
            // It is in nobody's way: what is stored replaces it.
            let _ = fs::remove_file(&own);
        }
        while let Some((path, facts)) = self.find(job_type, order) {
            let restored = self.unpack(&path, &members, staging, now);
            if let Err(error) = super::remove_tree(staging) {
                warnings.push(format!("what was unpacked of the cache cannot be removed: {error}"));
            }
            match restored {
                Ok((bytes, notes)) => {
                    warnings.extend(notes);
                    let size = format_size(bytes);
                    let exact = facts.key == order.key;
                    let summary = if exact {
                        format!("cache hit: restored {:?} ({size})", facts.key)
                    } else {
                        format!("cache hit: restored {:?} ({size}) in place of {:?}", facts.key, order.key)
                    };
                    return Restored { exact, summary, warnings };
                }
                Err(error) => {
                    warnings.push(format!("the cache entry {:?} cannot be used and is dropped: {error}", facts.key));
                    if fs::remove_file(&path).is_err() && path.exists() {
                        break;
                    }
                }
            }
        }
        Restored { exact: false, summary: miss(order), warnings }
    }

    /// The entry of the key itself, or the newest of the first beginning that fits.
    fn find(&self, job_type: &str, order: &CacheOrder) -> Option<(PathBuf, Facts)> {
        let ours = |facts: &Facts| facts.job_type == job_type && facts.paths == order.paths;
        let path = self.place(job_type, order);
        if let Ok(facts) = open(&path).map(|(facts, _)| facts)
            && ours(&facts)
            && facts.key == order.key
        {
            return Some((path, facts));
        }
        if order.restore_keys.is_empty() {
            return None;
        }
        let entries = fs::read_dir(&self.directory).ok()?.flatten().map(|entry| entry.path());
        let all: Vec<(PathBuf, Facts)> = entries
            .filter(|path| path.to_string_lossy().ends_with(ENTRY))
            .filter_map(|path| open(&path).ok().map(|(facts, _)| (path, facts)))
            .filter(|(_, facts)| ours(facts))
            .collect();
        let newest = |prefix: &String| {
            let fits = all.iter().enumerate().filter(|(_, (_, facts))| facts.key.starts_with(prefix.as_str()));
            fits.max_by_key(|(_, (_, facts))| facts.created_at).map(|(at, _)| at)
        };
        let found = order.restore_keys.iter().find_map(newest)?;
        all.into_iter().nth(found)
    }

    fn place(&self, job_type: &str, order: &CacheOrder) -> PathBuf {
        let mut hash = blake3::Hasher::new();
        for text in [job_type, &order.key].into_iter().chain(order.paths.iter().map(String::as_str)) {
            hash.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        }
        self.directory.join(format!("{}{ENTRY}", &hash.finalize().to_hex()[..40]))
    }

    fn unpack(
        &self,
        path: &Path,
        members: &[Member],
        staging: &Path,
        now: UnixMillis,
    ) -> Result<(u64, Vec<String>), String> {
        let (_, file) = open(path)?;
        let used = UNIX_EPOCH + Duration::from_millis(u64::try_from(now.0).unwrap_or(0));
        // Only the order of removal depends on it.
        let _ = file.set_modified(used);
        super::remove_tree(staging).map_err(|error| error.to_string())?;
        let bytes = archive::unpack(file, staging, self.entry)?;
        let mut notes = Vec::new();
        for member in members {
            notes.extend(archive::put_in_place(staging, member)?);
        }
        Ok((bytes, notes))
    }

    /// Stores the paths under the key, unless somebody has done so meanwhile.
    pub(crate) fn save(
        &self,
        job_type: &str,
        attempt: &AttemptId,
        order: &CacheOrder,
        roots: &Roots,
        now: UnixMillis,
    ) -> Saved {
        let place = self.place(job_type, order);
        if open(&place).is_ok() {
            let summary = format!("cache kept: {:?} was stored by another task meanwhile", order.key);
            return Saved { summary, warnings: Vec::new() };
        }
        let mut warnings = Vec::new();
        let summary = match self.store(job_type, attempt, order, roots, now, &place, &mut warnings) {
            Ok(Some((bytes, packed))) => {
                let (size, packed) = (format_size(bytes), format_size(packed));
                format!("cache saved: {:?} ({size}, {packed} packed)", order.key)
            }
            Ok(None) => format!("cache not saved: there is nothing to store under {:?}", order.key),
            Err(problem) => {
                warnings.push(format!("the cache {:?} was not stored: {problem}", order.key));
                format!("cache not saved: {:?}", order.key)
            }
        };
        Saved { summary, warnings }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one entry")]
    fn store(
        &self,
        job_type: &str,
        attempt: &AttemptId,
        order: &CacheOrder,
        roots: &Roots,
        now: UnixMillis,
        place: &Path,
        warnings: &mut Vec<String>,
    ) -> Result<Option<(u64, u64)>, String> {
        check_cache_key(&order.key)?;
        let mut members = roots.members(order)?;
        members.retain(|member| {
            let there = member.exists();
            if !there {
                warnings.push(format!("the cache path \"{}\" does not exist", member.shown().display()));
            }
            there
        });
        if members.is_empty() {
            return Ok(None);
        }
        let text = |error: io::Error| error.to_string();
        fs::DirBuilder::new().recursive(true).create(&self.directory).map_err(text)?;
        let new = self.directory.join(format!("{UNFINISHED}{attempt}"));
        let facts = Facts {
            format: 1,
            job_type: job_type.to_owned(),
            key: order.key.clone(),
            paths: order.paths.clone(),
            created_at: now,
        };
        let written = write(&new, &facts, &members, self.entry, warnings);
        let finished = written.and_then(|bytes| {
            let packed = fs::metadata(&new).map_err(text)?.len();
            if packed > self.total {
                let (packed, total) = (format_size(packed), format_size(self.total));
                return Err(format!("it has {packed} packed, and all caches of this ant may have {total}"));
            }
            fs::rename(&new, place).map_err(text)?;
            Ok((bytes, packed))
        });
        if finished.is_err() {
            // It is removed at the next start at the latest.
            let _ = fs::remove_file(&new);
        }
        let finished = finished?;
        self.make_room(place).map_err(|error| format!("old entries cannot be removed: {error}"))?;
        Ok(Some(finished))
    }

    /// Removes the least recently used entries until the rest keeps to the bound; never the newest one.
    fn make_room(&self, newest: &Path) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.directory)?.flatten() {
            let path = entry.path();
            if let Ok(metadata) = entry.metadata()
                && path.to_string_lossy().ends_with(ENTRY)
            {
                entries.push((metadata.modified()?, metadata.len(), path));
            }
        }
        entries.sort();
        let mut total: u64 = entries.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in entries {
            if total <= self.total {
                break;
            }
            if path != newest {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => total = total.saturating_sub(bytes),
                }
            }
        }
        Ok(())
    }
}

fn miss(order: &CacheOrder) -> String {
    format!("cache miss: nothing is stored under {:?}", order.key)
}

/// Opens an entry: its facts, and the file at the beginning of the archive.
fn open(path: &Path) -> Result<(Facts, File), String> {
    let text = |error: io::Error| error.to_string();
    let mut file = File::open(path).map_err(text)?;
    let mut head = [0; 8];
    file.read_exact(&mut head).map_err(text)?;
    let (magic, length) = head.split_at(4);
    let length = u32::from_le_bytes(length.try_into().unwrap_or_default());
    if magic != SKIPPABLE || length > LONGEST_FACTS {
        return Err("it does not begin as an entry does".to_owned());
    }
    let mut facts = vec![0; length as usize];
    file.read_exact(&mut facts).map_err(text)?;
    let facts: Facts = serde_json::from_slice(&facts).map_err(|error| error.to_string())?;
    if facts.format != 1 {
        return Err("it is of a newer version of Atta".to_owned());
    }
    Ok((facts, file))
}

fn write(
    path: &Path,
    facts: &Facts,
    members: &[Member],
    limit: u64,
    warnings: &mut Vec<String>,
) -> Result<u64, String> {
    let text = |error: io::Error| error.to_string();
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path).map_err(text)?;
    let json = serde_json::to_vec(facts).map_err(|error| error.to_string())?;
    let length = u32::try_from(json.len()).ok().filter(|length| *length <= LONGEST_FACTS);
    let length = length.ok_or("its paths are too long to be written down")?;
    file.write_all(&SKIPPABLE).and_then(|()| file.write_all(&length.to_le_bytes())).map_err(text)?;
    file.write_all(&json).map_err(text)?;
    archive::pack(file, members, limit, warnings)
}
