//! Reading a job of the queen in this process.

use atta_core::engine::AttemptNumber;
use atta_core::protocol::api::{EventResource, JobDetail};
use atta_core::protocol::{AttemptId, JobId};
use atta_server::Server;
use atta_server::logs::LogStore;
use atta_server::store::Reads;
use tokio::sync::watch;

use crate::exit::{CommandResult, Failure};

/// How many events are read at once.
const EVENTS_AT_ONCE: u32 = 500;

/// How much of a log is read for its last lines.
const TAIL_BYTES: u64 = 16 * 1024;

/// What happens to one job.
pub(super) struct JobSource<'a> {
    job: &'a JobId,
    reads: Reads,
    logs: LogStore,
    latest: watch::Receiver<i64>,
    after: i64,
    more: bool,
}

impl<'a> JobSource<'a> {
    pub(super) fn new(server: &Server, job: &'a JobId) -> Self {
        Self {
            job,
            reads: Reads::new(server.queen().store().clone()),
            logs: server.logs().clone(),
            latest: server.queen().latest_event(),
            after: 0,
            more: true,
        }
    }

    /// The job with its tasks.
    pub(super) async fn detail(&self) -> CommandResult<JobDetail> {
        let job = self.reads.job(self.job).await.map_err(|error| unreadable(&error))?;
        job.ok_or_else(|| Failure::failed(format!("{} is not stored.", self.job)))
    }

    /// The next events, each with what was decided on it; waits until there are some. When nothing is dropped half-way,
    /// nothing is lost or repeated.
    pub(super) async fn next_events(&mut self) -> CommandResult<Vec<Vec<EventResource>>> {
        loop {
            if !self.more && self.latest.changed().await.is_err() {
                return Err(Failure::failed("The queen stopped before the job ended."));
            }
            // Looked at before the read, so that what is written meanwhile is a change.
            self.latest.borrow_and_update();
            let events = self
                .reads
                .events(Some(self.job), self.after, EVENTS_AT_ONCE)
                .await
                .map_err(|error| unreadable(&error))?;
            self.more = events.len() >= EVENTS_AT_ONCE as usize;
            if let Some(last) = events.iter().rev().find_map(|lines| lines.last()) {
                self.after = last.sequence;
                return Ok(events);
            }
        }
    }

    /// The last bytes of an attempt's log; nothing when it cannot be read, for the verdict counts more than that.
    pub(super) async fn log_tail(&self, attempt: u32) -> Vec<u8> {
        let id = AttemptId::new(self.job, AttemptNumber(attempt));
        let Ok(total) = self.logs.length(&id).await else { return Vec::new() };
        match self.logs.read(&id, total.saturating_sub(TAIL_BYTES)..total, None).await {
            Ok((pieces, _)) => pieces.into_iter().flat_map(|piece| piece.bytes).collect(),
            Err(error) => {
                tracing::warn!(%error, "the end of a log cannot be shown");
                Vec::new()
            }
        }
    }
}

fn unreadable(error: &atta_server::store::StoreError) -> Failure {
    Failure::failed(format!("The job cannot be read: {error}."))
}
