//! Reads a backup to its end, and keeps nothing.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use super::archive::{self, Header, Manifest};
use super::{BackupError, Kind};
use crate::store::Chunk;

/// Whether an archive is whole, and what is in it.
pub fn verify(file: &Path) -> Result<(Header, Manifest), BackupError> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let found = archive::read(
        file,
        |_| Ok(()),
        |path, _, content| {
            if let Kind::Rows(table) = kind(file, path)? {
                *counts.entry(table.clone()).or_default() += rows(file, path, &table, content)?.len() as u64;
            }
            Ok(())
        },
    )?;
    check_counts(file, &counts, &found.1)?;
    Ok(found)
}

/// What a member is; nothing in an archive is unknown.
pub(super) fn kind(file: &Path, path: &str) -> Result<Kind, BackupError> {
    Kind::of(path).ok_or_else(|| BackupError::Damaged {
        file: file.to_owned(),
        detail: format!("nobody knows what {path:?} is for"),
    })
}

/// The rows of a member.
pub(super) fn rows(file: &Path, path: &str, table: &str, content: &mut dyn Read) -> Result<Chunk, BackupError> {
    let mut text = Vec::new();
    content.read_to_end(&mut text).map_err(|source| BackupError::Read { file: file.to_owned(), source })?;
    let damaged = |detail: String| BackupError::Damaged { file: file.to_owned(), detail: format!("{path}: {detail}") };
    let text = String::from_utf8(text).map_err(|_| damaged("it is no text".to_owned()))?;
    Chunk::from_text(table, &text).map_err(damaged)
}

/// Compares the rows that came with those that were sent.
pub(super) fn check_counts(
    file: &Path,
    counts: &BTreeMap<String, u64>,
    manifest: &Manifest,
) -> Result<(), BackupError> {
    for (table, wanted) in &manifest.tables {
        let found = counts.get(table).copied().unwrap_or(0);
        if found != *wanted {
            let detail = format!("it has {found} rows of the table {table} where {wanted} were saved");
            return Err(BackupError::Damaged { file: file.to_owned(), detail });
        }
    }
    Ok(())
}
