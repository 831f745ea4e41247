//! The record of an attempt, kept on disk while it comes to be.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use atta_core::protocol::agent::AgentRecord;

/// How many warnings are kept.
const MOST_WARNINGS: usize = 100;

/// How long news that are not urgent may wait for others.
const GATHERING: Duration = Duration::from_millis(200);

/// A record and its file.
pub(crate) struct Ledger {
    pub(crate) record: AgentRecord,
    path: PathBuf,
    changed: bool,
    /// When it was tried last.
    written_at: Option<Duration>,
    /// Whether people were told that it cannot be written, since the last time that it could.
    pub(crate) complained: bool,
    left_out: usize,
}

impl Ledger {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            record: AgentRecord::empty(),
            path: path.to_owned(),
            changed: true,
            written_at: None,
            complained: false,
            left_out: 0,
        }
    }

    /// Something has changed that can wait a moment.
    pub(crate) fn touch(&mut self) {
        self.changed = true;
    }

    /// Adds a warning unless there are too many.
    pub(crate) fn warn(&mut self, warning: String) {
        self.changed = true;
        if self.record.warnings.contains(&warning) {
            return;
        }
        if self.record.warnings.len() < MOST_WARNINGS {
            self.record.warnings.push(warning);
        } else {
            self.left_out += 1;
            let last = format!("and {} more warnings", self.left_out);
            self.record.warnings.truncate(MOST_WARNINGS - 1);
            self.record.warnings.push(last);
        }
    }

    /// Writes what has changed, if the last time is long enough ago.
    pub(crate) fn write_soon(&mut self, now: Duration) -> io::Result<()> {
        if self.changed && self.written_at.is_none_or(|at| now.saturating_sub(at) >= GATHERING) {
            self.write(now)?;
        }
        Ok(())
    }

    /// Writes it now.
    pub(crate) fn write(&mut self, now: Duration) -> io::Result<()> {
        self.written_at = Some(now);
        replace(&self.path, &self.record)?;
        self.changed = false;
        self.complained = false;
        Ok(())
    }
}

/// Puts a record in the place of an older one; a reader sees the one or the other.
pub(crate) fn replace(path: &Path, record: &AgentRecord) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(record)?;
    text.push(b'\n');
    let mut next = path.as_os_str().to_owned();
    next.push(".next");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
    file.write_all(&text)?;
    drop(file);
    fs::rename(&next, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_cannot_be_written_is_tried_again_later_and_not_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::new(&directory.path().join("agent/record.json"));
        ledger.write_soon(Duration::ZERO).unwrap_err();
        ledger.write_soon(GATHERING / 2).unwrap();
        ledger.write_soon(GATHERING).unwrap_err();
        fs::create_dir(directory.path().join("agent")).unwrap();
        ledger.write_soon(2 * GATHERING).unwrap();
        assert!(directory.path().join("agent/record.json").exists());
    }
}
