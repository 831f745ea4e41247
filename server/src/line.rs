//! What an ant can say to its queen, whichever way it comes: the embedded ant calls this, a remote one comes by HTTP.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use atta_core::protocol::ant::{Heartbeat, LogChunk, Orders, PollRequest, ReportBatch, ReportBody};
use atta_core::protocol::{AntId, Digest};

use crate::artifacts::{ArtifactError, ArtifactReader, ArtifactStore};
use crate::logs::{LogError, LogStore};
use crate::scheduler::{Queen, Refusal};

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The queen says no, or cannot answer now.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The log does not take it.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The content cannot be stored or fetched.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

/// The queen's end of the line; cheap to clone.
#[derive(Clone)]
pub struct AntLine {
    queen: Queen,
    logs: LogStore,
    artifacts: Arc<dyn ArtifactStore>,
}

impl AntLine {
    /// To this queen, with these logs and contents.
    pub fn new(queen: Queen, logs: LogStore, artifacts: Arc<dyn ArtifactStore>) -> Self {
        Self { queen, logs, artifacts }
    }

    /// Waits for orders, at most so long.
    pub async fn poll(&self, request: PollRequest, wait: Duration) -> Result<Orders, LineError> {
        Ok(self.queen.poll(request, wait).await?)
    }

    /// Takes reports. Whoever reports an end appends nothing more to that attempt's log.
    pub async fn report(&self, mut batch: ReportBatch) -> Result<Orders, LineError> {
        let mut finished = Vec::new();
        let held = self.queen.secrets().held();
        for report in &mut batch.reports {
            let attempt = &report.attempt_id;
            let ReportBody::Finished(end) = &mut report.body else { continue };
            finished.push(attempt.clone());
            // What comes under a stale token, or was heard before, says nothing about the log.
            if !self.queen.holds(&batch.ant, attempt, report.token) {
                continue;
            }
            if let Err(error) = held.finish_log(attempt, |chunk| self.logs.append(chunk)).await {
                // A full disk may take it a little later, and the report is said again.
                if matches!(&error, LogError::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull) {
                    return Err(error.into());
                }
                tracing::warn!(%attempt, %error, "the last of a log is not stored");
            }
            // An ant that went on with it after another one need not know of all that was stored.
            match self.logs.length(attempt).await {
                Ok(stored) => end.log_bytes = end.log_bytes.max(stored),
                Err(error) => tracing::warn!(%attempt, %error, "a log's length is not known"),
            }
        }
        let orders = self.queen.report(batch).await?;
        for attempt in finished {
            // Also when it was heard before. One that an ant still has goes on: the report was stale.
            if !self.queen.is_leased(&attempt) {
                self.logs.finish(&attempt);
            }
        }
        Ok(orders)
    }

    /// Takes a sign of life.
    pub async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<Orders, LineError> {
        Ok(self.queen.heartbeat(heartbeat).await?)
    }

    /// Appends to an attempt's log, without secrets; refused unless the ant holds the attempt under the chunk's token.
    pub async fn append_log(&self, ant: &AntId, chunk: LogChunk) -> Result<(), LineError> {
        self.queen.check_lease(ant, &chunk.attempt_id, chunk.token)?;
        let held = self.queen.secrets().held();
        let attempt = chunk.attempt_id.clone();
        let appended = held.append_log(chunk, |chunk| self.logs.append(chunk)).await;
        if !self.queen.is_leased(&attempt) {
            // It has ended meanwhile, and its log may be open again.
            self.logs.finish(&attempt);
        }
        Ok(appended?)
    }

    /// Stores a file's content, which may be consumed.
    pub async fn put_blob(&self, digest: &Digest, size: u64, file: &Path) -> Result<(), LineError> {
        Ok(self.artifacts.put(digest, size, file).await?)
    }

    /// Writes a content to a new file.
    pub async fn get_blob(&self, digest: &Digest, to: &Path) -> Result<(), LineError> {
        Ok(self.artifacts.get(digest, to).await?)
    }

    /// Opens a content from an offset on.
    pub(crate) async fn open_blob(&self, digest: &Digest, from: u64) -> Result<ArtifactReader, LineError> {
        Ok(self.artifacts.open(digest, from).await?)
    }
}
