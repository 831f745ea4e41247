//! Removing what nobody wants to keep any longer: jobs after their retention, artifacts after their time.
//!
//! The writer only removes rows, a bounded number in a transaction, and writes down which files nobody may need any more.
//! The files themselves are removed by [`crate::sweeper`] afterwards.

use std::collections::HashSet;

use atta_core::definition::{ExpireOptions, Retention};
use atta_core::engine::AttemptResult;
use atta_core::protocol::JobId;
use atta_core::time::UnixMillis;
use indexmap::IndexMap;
use serde_json::Value;

use super::live::Finish;
use super::methods::Performed;
use super::recovery::{IDEMPOTENCY_KEPT, millis};
use super::state::State;
use crate::store::{Garbage, StoreError, StoreWriter};

/// Jobs that one transaction removes.
const JOBS: u32 = 20;
/// Artifacts that one transaction lets expire.
const ARTIFACTS: u32 = 500;
/// Artifacts that one EXPIRE_ARTIFACTS task lets expire.
const BY_TASK: u32 = 20_000;

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Jobs that were removed.
    pub jobs: usize,
    /// Artifacts that expired.
    pub artifacts: usize,
    /// Whether there is more to do.
    pub more: bool,
}

impl State {
    /// Stages the removal of what is over.
    pub(super) async fn sweep(&mut self, database: &mut StoreWriter, default: &Retention) -> Result<Swept, StoreError> {
        let now = self.clock.now();
        let needed: HashSet<JobId> = self
            .jobs
            .values()
            .flat_map(|live| {
                let origin = &live.row.origin;
                origin.rerun_of.iter().chain(&origin.parent).chain([&live.row.id])
            })
            .cloned()
            .collect();
        database.forget_idempotency(UnixMillis(now.0.saturating_sub(millis(IDEMPOTENCY_KEPT)))).await?;
        let mut swept = Swept::default();
        let jobs = database.overdue_jobs(now, default, JOBS).await?;
        let artifacts = database.overdue_artifacts(now, ARTIFACTS).await?;
        let full = jobs.len() == JOBS as usize || artifacts.len() == ARTIFACTS as usize;
        for (job, job_type, state) in jobs {
            if needed.contains(&job) || self.damaged.contains_key(&job) || self.staged.expiry.jobs.contains(&job) {
                continue;
            }
            self.counts.remove(&job_type, state);
            self.staged.expiry.jobs.push(job);
            swept.jobs += 1;
        }
        for key in artifacts {
            if needed.contains(&key.job) {
                continue;
            }
            self.staged.expiry.artifacts.push((key, now));
            swept.artifacts += 1;
        }
        swept.more = full && swept.jobs + swept.artifacts > 0;
        Ok(swept)
    }

    /// Files that are gone.
    pub(super) fn clear_garbage(&mut self, cleared: Vec<Garbage>) {
        self.staged.expiry.cleared.extend(cleared);
    }

    /// EXPIRE_ARTIFACTS.
    pub(super) async fn expire_artifacts(
        &mut self,
        database: &mut StoreWriter,
        options: &ExpireOptions,
    ) -> Result<Performed, StoreError> {
        let Some(age) = options.older_than.value() else {
            return Ok(Performed::invalid("older_than: its template was not resolved when the job was created"));
        };
        let now = self.clock.now();
        let before = UnixMillis(now.0.saturating_sub(millis(*age)));
        let mut keys = database.artifacts_before(before, &options.job_types, BY_TASK).await?;
        let more = keys.len() == BY_TASK as usize;
        keys.retain(|key| !self.jobs.contains_key(&key.job));
        let bytes: u64 = keys.iter().map(|key| key.size).sum();
        let outputs = IndexMap::from([
            ("artifacts".to_owned(), Value::from(keys.len())),
            ("bytes".to_owned(), Value::from(bytes)),
            ("more".to_owned(), Value::from(more)),
        ]);
        self.staged.expiry.artifacts.extend(keys.into_iter().map(|key| (key, now)));
        let finish = Finish { outputs, ..Finish::default() };
        Ok(Performed::Finished { result: AttemptResult::Exit(0), failure: None, finish })
    }
}
