//! Which leases are valid, for what does not go through the writer: pieces of logs, uploads.

use std::collections::{HashMap, HashSet};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use atta_core::engine::AttemptState;
use atta_core::protocol::{AntId, AttemptId, JobId};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::store::AttemptRow;

/// The leases that are stored. The writer keeps it in step after each commit, before it answers anybody.
#[derive(Debug, Default)]
pub(super) struct Fence {
    leases: RwLock<HashMap<AttemptId, (AntId, u64)>>,
    /// Jobs whose leases are not known here, and may be valid all the same.
    set_aside: RwLock<HashSet<JobId>>,
    /// Hears of attempts that are taken from their ants, once somebody listens.
    ended: OnceLock<UnboundedSender<AttemptId>>,
}

impl Fence {
    /// Whether the ant has the attempt under this token now.
    pub(super) fn holds(&self, ant: &AntId, attempt: &AttemptId, token: u64) -> bool {
        self.read().get(attempt).is_some_and(|(of, valid)| of == ant && *valid == token)
    }

    /// Whether nothing can be said about the leases of the job.
    pub(super) fn is_set_aside(&self, job: &JobId) -> bool {
        self.set_aside.read().unwrap_or_else(PoisonError::into_inner).contains(job)
    }

    /// These jobs are set aside, and no others.
    pub(super) fn set_aside(&self, jobs: HashSet<JobId>) {
        *self.set_aside.write().unwrap_or_else(PoisonError::into_inner) = jobs;
    }

    /// This job is set aside, too.
    pub(super) fn set_aside_too(&self, job: JobId) {
        self.set_aside.write().unwrap_or_else(PoisonError::into_inner).insert(job);
    }

    /// Whether any ant has the attempt now.
    pub(super) fn is_leased(&self, attempt: &AttemptId) -> bool {
        self.read().contains_key(attempt)
    }

    /// The attempts that end from now on without a report of the ant that has them. Only who asks first hears of them.
    pub(super) fn ends(&self) -> UnboundedReceiver<AttemptId> {
        let (sender, ends) = unbounded_channel();
        let _ = self.ended.set(sender);
        ends
    }

    fn say_ended(&self, attempt: AttemptId) {
        if let Some(ended) = self.ended.get() {
            // Nobody may be listening any more.
            let _ = ended.send(attempt);
        }
    }

    /// Nothing else is leased.
    pub(super) fn retain(&self, mut leased: impl FnMut(&AttemptId) -> bool) {
        self.write().retain(|attempt, _| {
            let stays = leased(attempt);
            if !stays {
                self.say_ended(attempt.clone());
            }
            stays
        });
    }

    /// The ant has done its part, whatever becomes of the attempt.
    pub(super) fn forget(&self, attempt: &AttemptId) {
        if self.write().remove(attempt).is_some() {
            self.say_ended(attempt.clone());
        }
    }

    /// These rows are stored.
    pub(super) fn stored<'a>(&self, rows: impl Iterator<Item = (AttemptId, &'a AttemptRow)>) {
        let mut rows = rows.peekable();
        if rows.peek().is_none() {
            return;
        }
        let mut leases = self.write();
        for (attempt, row) in rows {
            let leased = matches!(row.state, AttemptState::Leased | AttemptState::Running);
            if leased && let (Some(ant), Some(token)) = (&row.ant, row.token) {
                leases.insert(attempt, (AntId(ant.clone()), token));
            } else if leases.remove(&attempt).is_some() && row.state == AttemptState::Finished && row.token.is_none() {
                // What its ant has reported keeps its token; what is given out again goes on with its log.
                self.say_ended(attempt);
            }
        }
    }

    /// Nothing of this job is wanted any more.
    pub(super) fn forget_job(&self, job: &JobId) {
        self.set_aside.write().unwrap_or_else(PoisonError::into_inner).remove(job);
        self.retain(|attempt| attempt.parts().is_none_or(|(of, _)| of != *job));
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<AttemptId, (AntId, u64)>> {
        self.leases.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<AttemptId, (AntId, u64)>> {
        self.leases.write().unwrap_or_else(PoisonError::into_inner)
    }
}
