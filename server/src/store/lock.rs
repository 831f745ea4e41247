//! One server per data directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::OpenError;

/// Says that what is in the directory is not whole.
pub(crate) const UNFINISHED: &str = "restore.unfinished";

/// Holds `server.lock`; the kernel releases it with the process, however that ends.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Creates the directory when absent and takes its lock.
    pub(super) fn take(dir: &Path) -> Result<Self, OpenError> {
        Self::locked(dir, File::try_lock)
    }

    /// Like [`Self::take`], but shared with others who share it: their database is elsewhere, and says whose turn it is.
    pub(super) fn share(dir: &Path) -> Result<Self, OpenError> {
        Self::locked(dir, File::try_lock_shared)
    }

    fn locked(dir: &Path, lock: fn(&File) -> Result<(), TryLockError>) -> Result<Self, OpenError> {
        let not_writable = |source| OpenError::NotWritable { dir: dir.display().to_string(), source };
        std::fs::create_dir_all(dir).map_err(not_writable)?;
        let path = dir.join("server.lock");
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(not_writable)?;
        match lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // The pid is only for the message: a lock file that cannot be read is still somebody's lock.
                let _ = file.read_to_string(&mut pid);
                let pid = pid.trim();
                let pid = if pid.is_empty() { "unknown" } else { pid }.to_owned();
                return Err(OpenError::InUse { dir: dir.display().to_string(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(not_writable(source)),
        }
        file.set_len(0).map_err(not_writable)?;
        file.rewind().map_err(not_writable)?;
        writeln!(file, "{}", std::process::id()).map_err(not_writable)?;
        if dir.join(UNFINISHED).exists() {
            return Err(OpenError::Unfinished { dir: dir.display().to_string() });
        }
        Ok(Self { _file: file })
    }
}
