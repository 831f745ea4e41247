//! The queen's decisions: one writer that feeds commands to the engine, stores what it decides and performs the effects.

mod refusal;

use std::path::PathBuf;
use std::sync::Arc;

use atta_core::engine::JobState;
use atta_core::protocol::JobId;
use atta_core::protocol::ant::{Orders, PollRequest, ReportBatch};
use atta_core::protocol::api::{DefinitionResource, SubmitRequest, SubmitResponse};
use atta_core::time::{Clock, Entropy};
use tokio::sync::watch;

pub use refusal::Refusal;

pub use crate::store::OpenError;
use crate::store::Store;

/// Everything that the queen needs from outside.
pub struct QueenConfig {
    /// Directory for the database (`atta.db`); created when absent.
    pub data_dir: PathBuf,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness for ids, nonces, jitter.
    pub entropy: Arc<dyn Entropy>,
    /// Whether cron schedules fire (`atta run` has none).
    pub schedules: bool,
}

/// A command of a person or a client on a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobCommand {
    /// Idempotent. `force` also stops the final phase.
    Cancel {
        /// Why.
        reason: String,
        /// Also stop the final phase.
        force: bool,
    },
    /// No new attempts.
    Pause,
    /// Go on.
    Resume,
    /// A new job attempt that keeps completed tasks.
    RetryFailed,
    /// A new job attempt from this task on.
    RerunFrom {
        /// The task's name.
        task: String,
    },
}

/// Handle to the queen; cheap to clone.
#[derive(Clone)]
pub struct Queen {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    latest_event: watch::Receiver<i64>,
}

impl Queen {
    /// Opens (or creates) the data directory, migrates, recovers every live job by replay and starts the writer.
    pub async fn open(config: QueenConfig) -> Result<Self, OpenError> {
        todo!()
    }

    /// Validates and stores a definition as a new version (or finds the same content again).
    pub async fn upload_definition(&self, file_name: &str, source: &str) -> Result<DefinitionResource, Refusal> {
        todo!()
    }

    /// Enables or disables a definition.
    pub async fn set_enabled(&self, job_type: &str, enabled: bool) -> Result<DefinitionResource, Refusal> {
        todo!()
    }

    /// Accepts a job; it is stored when this returns. `idempotency_key` with another body is refused with 422.
    pub async fn submit(
        &self,
        request: SubmitRequest,
        submitted_by: &str,
        idempotency_key: Option<&str>,
    ) -> Result<SubmitResponse, Refusal> {
        todo!()
    }

    /// Performs a command and returns the job's state afterwards.
    pub async fn command(&self, job: &JobId, command: JobCommand) -> Result<JobState, Refusal> {
        todo!()
    }

    /// An ant asks for work. Waits until there is an order, or until `wait` is over (then: no orders).
    pub async fn poll(&self, request: PollRequest, wait: std::time::Duration) -> Result<Orders, Refusal> {
        todo!()
    }

    /// An ant reports. The answer may carry the next assignments for slots that the reports freed.
    pub async fn report(&self, batch: ReportBatch) -> Result<Orders, Refusal> {
        todo!()
    }

    /// For reads.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The sequence of the newest committed event; changes wake the readers of streams.
    pub fn latest_event(&self) -> watch::Receiver<i64> {
        self.inner.latest_event.clone()
    }

    /// Whether the writer lives and the last write succeeded; the text says what is wrong.
    pub fn health(&self) -> Result<(), String> {
        todo!()
    }

    /// Stops dispatch, lets the writer finish what is queued, closes the database.
    pub async fn shutdown(&self) {
        todo!()
    }
}
