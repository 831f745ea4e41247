//! While a backup reads files, the server removes none: a lock on a file of the data directory, shared by backups, and
//! taken alone by whoever removes. It ends with its process, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

const FILE: &str = "backup.lock";

/// Holds the lock.
#[derive(Debug)]
pub(crate) struct Hold {
    _file: File,
}

fn open(dir: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(dir.join(FILE))
}

impl Hold {
    /// Makes the file: it is the server's then, also when the first backup is made as root.
    pub(crate) fn make(dir: &Path) -> io::Result<()> {
        open(dir).map(drop)
    }

    /// Nothing is removed as long as this lives. Waits for what is being removed.
    pub(crate) fn keep(dir: &Path) -> io::Result<Self> {
        let file = open(dir)?;
        file.lock_shared()?;
        Ok(Self { _file: file })
    }

    /// No backup begins as long as this lives; `None`: one is being made.
    pub(crate) fn remove(dir: &Path) -> io::Result<Option<Self>> {
        let file = open(dir)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_removed_while_backups_are_made() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (Hold::keep(dir.path()).unwrap(), Hold::keep(dir.path()).unwrap());
        assert!(Hold::remove(dir.path()).unwrap().is_none());
        drop(one);
        assert!(Hold::remove(dir.path()).unwrap().is_none());
        drop(other);
        assert!(Hold::remove(dir.path()).unwrap().is_some());
    }
}
