//! Backups of a running server, and moving from one database to the other.
//!
//! * `archive`: the file: a tar in zstd, whose members are checked against an index that is in it
//! * `save`: writes one beside a running server; `verify`: reads one without changing anything
//! * `restore`: into an empty data directory and an empty database
//! * `transfer`: all rows from one database into another one
//!
//! Rows travel in the form of `store::dump`, whichever database they come from: a backup of one can be restored into the
//! other.

mod archive;
mod error;
mod hold;
mod restore;
mod save;
#[cfg(test)]
mod tests;
mod transfer;
mod verify;

use std::path::Path;

pub use archive::{Header, Manifest};
pub use error::BackupError;
pub(crate) use hold::Hold;
pub use restore::{RestoreReport, RestoreRequest, restore};
pub use save::{BackupReport, BackupRequest, back_up};
pub use transfer::{TransferReport, TransferRequest, transfer};
pub use verify::verify;

use crate::links::KEY_FILE as LINKS_KEY;
use crate::secrets::KEY_FILE as SECRETS_KEY;
use crate::tls::FILE as TLS_FILE;

/// What opens something: secrets, links to vote by, the server's certificate.
const KEYS: [&str; 3] = [SECRETS_KEY, LINKS_KEY, TLS_FILE];

/// What is not finished in a database.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Unfinished {
    /// Jobs that have no end, by their states.
    pub jobs: std::collections::BTreeMap<String, u64>,
    /// Attempts that ants had.
    pub attempts: u64,
}

/// What a member of an archive is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// Rows of this table.
    Rows(String),
    /// A content, by its digest.
    Artifact(String),
    /// A log: the directory of its job, and its file there.
    Log(String, String),
    /// One of [`KEYS`].
    Key(String),
}

impl Kind {
    /// By its path. Nothing else is ever written anywhere.
    fn of(path: &str) -> Option<Self> {
        let plain = |text: &str| {
            !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            ["database", table, chunk] if plain(table) && chunk.strip_suffix(".jsonl").is_some() => {
                Some(Self::Rows((*table).to_owned()))
            }
            ["artifacts", first, rest] => {
                let digest = atta_core::protocol::Digest(format!("{first}{rest}"));
                (first.len() == 2 && digest.is_well_formed()).then_some(Self::Artifact(digest.0))
            }
            ["logs", job, file] => {
                let (number, extension) = file.split_once('.')?;
                let known = matches!(extension, "log" | "logz") && number.parse::<u32>().is_ok();
                (plain(job) && known).then(|| Self::Log((*job).to_owned(), (*file).to_owned()))
            }
            ["keys", name] => KEYS.contains(name).then(|| Self::Key((*name).to_owned())),
            _ => None,
        }
    }

    fn artifact(digest: &str) -> String {
        let (first, rest) = digest.split_at_checked(2).unwrap_or((digest, ""));
        format!("artifacts/{first}/{rest}")
    }
}

/// The directory above a file.
fn parent(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
