//! Reading a log while it is written.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::reader::{LogPiece, LogReader};
use super::store::{LogError, LogStore, Progress};

/// How much is handed out at once.
const AT_MOST: usize = 64 * 1024;

/// Follows one attempt's log. It reads files by itself, at its own speed: the writer never waits for it.
pub struct LogFollower {
    store: LogStore,
    attempt: atta_core::protocol::AttemptId,
    progress: watch::Receiver<Progress>,
    reader: Option<Arc<Mutex<LogReader>>>,
    offset: u64,
    ends: bool,
}

impl LogFollower {
    pub(super) fn new(
        store: LogStore,
        attempt: atta_core::protocol::AttemptId,
        progress: watch::Receiver<Progress>,
        offset: u64,
    ) -> Self {
        Self { store, attempt, progress, reader: None, offset, ends: false }
    }

    /// The offset behind everything that was handed out.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Says that nothing more will be written: what is there is still handed out.
    pub fn end_when_drained(&mut self) {
        self.ends = true;
    }

    /// The next bytes, when there are some; `None` when the log has ended. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Option<Vec<LogPiece>>, LogError> {
        let mut reopened = false;
        loop {
            // Looked at before reading: what is written afterwards shows as a change.
            let progress = *self.progress.borrow_and_update();
            let ended = self.ends || progress.finished;
            if progress.bytes > self.offset || ended || self.reader.is_none() {
                let pieces = self.read().await?;
                if let Some(last) = pieces.last() {
                    self.offset = last.offset + last.bytes.len() as u64;
                    return Ok(Some(pieces));
                }
                if progress.bytes > self.offset && !reopened {
                    // The file was opened while the first chunk was on its way: that reader does not see it grow.
                    reopened = true;
                    self.reader = None;
                    continue;
                }
                if ended {
                    return Ok(None);
                }
            }
            if self.progress.changed().await.is_err() {
                self.ends = true;
            }
        }
    }

    async fn read(&mut self) -> Result<Vec<LogPiece>, LogError> {
        let reader = match &self.reader {
            Some(reader) => Arc::clone(reader),
            None => match self.store.open_reader(&self.attempt).await? {
                Some(reader) => Arc::clone(self.reader.insert(Arc::new(Mutex::new(reader)))),
                None => return Ok(Vec::new()),
            },
        };
        let offset = self.offset;
        let attempt = self.attempt.clone();
        tokio::task::spawn_blocking(move || {
            let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            reader.read(None, offset, AT_MOST)
        })
        .await
        .map_err(|error| LogError::interrupted(&attempt, &error))?
        .map_err(|source| LogError::Read { attempt, source })
    }
}

impl Drop for LogFollower {
    fn drop(&mut self) {
        self.store.forget_unwritten(&self.attempt);
    }
}
