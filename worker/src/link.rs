//! The ant's side of the line to its queen. The embedded ant's line is a function call, a remote ant's is HTTP.

use std::path::Path;
use std::time::Duration;

use atta_core::protocol::Digest;
use atta_core::protocol::ant::{Heartbeat, LogChunk, Orders, PollRequest, ReportBatch};
use atta_core::resilience::BreakerState;

/// Why a message did not get through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The queen cannot be reached or cannot answer now; the message may or may not have arrived: say it again.
    #[error("the queen is not reachable: {0}")]
    Unreachable(String),
    /// The queen says no; saying it again does not help.
    #[error("the queen refused: {0}")]
    Refused(String),
    /// The queen cannot take it as long as something is the matter with the job: keep it, and say it again later.
    #[error("the queen refused for now: {0}")]
    NotNow(String),
    /// The attempt is not this ant's under that token any more: kill its tree and forget it.
    #[error("the queen refused: {0}")]
    Stale(String),
    /// The blob does not exist or its content does not match its digest.
    #[error("artifact {digest} cannot be fetched: {detail}")]
    Blob {
        /// Which.
        digest: Digest,
        /// Why.
        detail: String,
    },
}

/// How the line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkCondition {
    /// What had to be said again since the ant started.
    pub retries: u64,
    /// Whether the queen is left alone; a line that cannot be cut has no breaker.
    pub breaker: Option<BreakerState>,
}

/// What an ant can say to its queen.
#[async_trait::async_trait]
pub trait QueenLink: Send + Sync + 'static {
    /// Asks for orders; returns as soon as there are some, with none after `wait`.
    async fn poll(&self, request: PollRequest, wait: Duration) -> Result<Orders, LinkError>;

    /// Reports; each report is applied once however often it is said.
    async fn report(&self, batch: ReportBatch) -> Result<Orders, LinkError>;

    /// Says that the ant lives, when nothing else did for a while. Answered at once.
    async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<Orders, LinkError>;

    /// Appends to an attempt's log. A chunk that was stored before is accepted and ignored.
    async fn append_log(&self, chunk: LogChunk) -> Result<(), LinkError>;

    /// Stores a file's content under its digest, which the queen checks. The file may be consumed (moved).
    async fn put_blob(&self, digest: &Digest, size: u64, file: &Path) -> Result<(), LinkError>;

    /// Writes a blob's content, checked against its digest, to a new file.
    async fn get_blob(&self, digest: &Digest, to: &Path) -> Result<(), LinkError>;

    /// How the line is.
    fn condition(&self) -> LinkCondition {
        LinkCondition::default()
    }
}
