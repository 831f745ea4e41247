//! The embedded ant's line to its queen: function calls.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use atta_core::protocol::{AntId, Digest};
use atta_core::protocol::ant::{Heartbeat, LogChunk, Orders, PollRequest, ReportBatch, ReportBody};
use atta_server::Server;
use atta_server::artifacts::{ArtifactError, ArtifactStore};
use atta_server::logs::{LogError, LogStore};
use atta_server::scheduler::{Queen, Refusal};
use atta_worker::{LinkError, QueenLink};

/// A line that cannot be cut.
pub(crate) struct EmbeddedLink {
    ant: AntId,
    queen: Queen,
    logs: LogStore,
    artifacts: Arc<dyn ArtifactStore>,
}

impl EmbeddedLink {
    /// From this ant to this server.
    pub(crate) fn new(ant: AntId, server: &Server) -> Self {
        Self {
            ant,
            queen: server.queen().clone(),
            logs: server.logs().clone(),
            artifacts: Arc::clone(server.artifacts()),
        }
    }
}

#[async_trait::async_trait]
impl QueenLink for EmbeddedLink {
    async fn poll(&self, request: PollRequest, wait: Duration) -> Result<Orders, LinkError> {
        self.queen.poll(request, wait).await.map_err(refused)
    }

    async fn report(&self, batch: ReportBatch) -> Result<Orders, LinkError> {
        let finished: Vec<_> = batch
            .reports
            .iter()
            .filter(|report| matches!(report.body, ReportBody::Finished(_)))
            .map(|report| (report.attempt_id.clone(), report.token))
            .collect();
        let held = self.queen.secrets().held();
        // What comes under a stale token, or was heard before, says nothing about the log.
        for (attempt, _) in finished.iter().filter(|(id, token)| self.queen.holds(&self.ant, id, *token)) {
            held.finish_log(attempt, |chunk| self.logs.append(chunk)).await.map_err(log_refused)?;
        }
        let orders = self.queen.report(batch).await.map_err(refused)?;
        for (attempt, _) in finished {
            // Also when the report was stale: this ant appends nothing more to that attempt's log.
            self.logs.finish(&attempt);
        }
        Ok(orders)
    }

    async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<Orders, LinkError> {
        self.queen.heartbeat(heartbeat).await.map_err(refused)
    }

    async fn append_log(&self, chunk: LogChunk) -> Result<(), LinkError> {
        if !self.queen.holds(&self.ant, &chunk.attempt_id, chunk.token) {
            return Err(LinkError::Refused(format!(
                "STALE_TOKEN: {} is not leased to this ant under that token",
                chunk.attempt_id
            )));
        }
        let held = self.queen.secrets().held();
        held.append_log(chunk, |chunk| self.logs.append(chunk)).await.map_err(log_refused)
    }

    async fn put_blob(&self, digest: &Digest, size: u64, file: &Path) -> Result<(), LinkError> {
        self.artifacts.put(digest, size, file).await.map_err(|error| blob(digest, error))
    }

    async fn get_blob(&self, digest: &Digest, to: &Path) -> Result<(), LinkError> {
        self.artifacts.get(digest, to).await.map_err(|error| blob(digest, error))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn log_refused(error: LogError) -> LinkError {
    match error {
        // A full disk may have space again; the ant says the chunk once more.
        LogError::Write { .. } | LogError::Read { .. } => LinkError::Unreachable(error.to_string()),
        _ => LinkError::Refused(error.to_string()),
    }
}

fn refused(refusal: Refusal) -> LinkError {
    match refusal {
        Refusal::Unavailable { message } => LinkError::Unreachable(message),
        other => LinkError::Refused(other.to_string()),
    }
}

fn blob(digest: &Digest, error: ArtifactError) -> LinkError {
    let detail = match error {
        ArtifactError::Io { action, source, .. } => format!("it cannot be {action}: {source}"),
        ArtifactError::Mismatch { detail, .. } => detail,
        other => other.to_string(),
    };
    LinkError::Blob { digest: digest.clone(), detail }
}
