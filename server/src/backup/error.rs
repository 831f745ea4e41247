//! Why there is no backup, or why it is not restored.

use std::io;
use std::path::PathBuf;

use crate::store::{DumpError, StoreError};

/// What can go wrong with a backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database.
    #[error(transparent)]
    Database(#[from] DumpError),
    /// The database, while its files are looked for.
    #[error("the database cannot be read: {0}")]
    Store(#[from] StoreError),
    /// The archive cannot be written.
    #[error("the backup {} cannot be written: {}; nothing of it was kept", .file.display(), reason(.source))]
    Write {
        /// The archive.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is something of that name.
    #[error("{} exists already: a backup never replaces another one; choose another name, or a directory", .0.display())]
    Exists(PathBuf),
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file became shorter.
    #[error("{} changed while it was read: make the backup again", .0.display())]
    Changed(PathBuf),
    /// It is something else.
    #[error("{} is no backup of Atta: {detail}", .file.display())]
    NoBackup {
        /// The file.
        file: PathBuf,
        /// What it is instead.
        detail: String,
    },
    /// A later program wrote it.
    #[error("{} has the format {found} of a newer version (made by atta {program}), this one reads up to {known}: use a newer atta", .file.display())]
    TooNew {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: u64,
        /// The newest that this program reads.
        known: u64,
        /// Who made it.
        program: String,
    },
    /// It ends too early.
    #[error("{} is cut off: {members} files are in it and its end is missing; it cannot be restored", .file.display())]
    CutOff {
        /// The file.
        file: PathBuf,
        /// How many members it has.
        members: u64,
    },
    /// It is not what was written.
    #[error("{} is damaged: {detail}; it cannot be restored", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where, and how.
        detail: String,
    },
    /// There is something in the data directory.
    #[error("data directory {} is not empty, it has {what}: nothing was changed; restore into an empty one", .dir.display())]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
        /// What is in it.
        what: String,
    },
    /// It was tried before.
    #[error("data directory {} holds a part of a backup, because restoring it did not get to its end: empty it (and the database) and restore again", .0.display())]
    Unfinished(PathBuf),
    /// The data directory cannot be written.
    #[error("{} cannot be written: {}; what was restored so far was removed again", .file.display(), reason(.source))]
    Restore {
        /// The file or directory.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Everything is where it should be, but for the file that says so.
    #[error("everything was done, but {} cannot be changed: {source}; {what}", .file.display())]
    Mark {
        /// The file.
        file: PathBuf,
        /// What to do.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Nobody knows whether everything was stored.
    #[error("{source}; {what}")]
    InDoubt {
        /// Which database does not say it.
        source: DumpError,
        /// What to do.
        what: String,
    },
    /// The other half has stopped, and says why.
    #[error("interrupted")]
    Interrupted,
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => format!("the disk is full ({error})"),
        _ => error.to_string(),
    }
}
