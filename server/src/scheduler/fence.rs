//! Which leases are valid, for what does not go through the writer: pieces of logs, uploads.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use atta_core::engine::AttemptState;
use atta_core::protocol::{AntId, AttemptId, JobId};

use crate::store::AttemptRow;

/// The leases that are stored. The writer keeps it in step after each commit, before it answers anybody.
#[derive(Debug, Default)]
pub(super) struct Fence {
    leases: RwLock<HashMap<AttemptId, (AntId, u64)>>,
}

impl Fence {
    /// Whether the ant has the attempt under this token now.
    pub(super) fn holds(&self, ant: &AntId, attempt: &AttemptId, token: u64) -> bool {
        self.read().get(attempt).is_some_and(|(of, valid)| of == ant && *valid == token)
    }

    /// Nothing else is leased.
    pub(super) fn retain(&self, mut leased: impl FnMut(&AttemptId) -> bool) {
        self.write().retain(|attempt, _| leased(attempt));
    }

    /// These rows are stored.
    pub(super) fn stored<'a>(&self, rows: impl Iterator<Item = (AttemptId, &'a AttemptRow)>) {
        let mut rows = rows.peekable();
        if rows.peek().is_none() {
            return;
        }
        let mut leases = self.write();
        for (attempt, row) in rows {
            match (row.state, &row.ant, row.token) {
                (AttemptState::Leased | AttemptState::Running, Some(ant), Some(token)) => {
                    leases.insert(attempt, (AntId(ant.clone()), token));
                }
                _ => {
                    leases.remove(&attempt);
                }
            }
        }
    }

    /// Nothing of this job is wanted any more.
    pub(super) fn forget_job(&self, job: &JobId) {
        self.write().retain(|attempt, _| attempt.parts().is_none_or(|(of, _)| of != *job));
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<AttemptId, (AntId, u64)>> {
        self.leases.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<AttemptId, (AntId, u64)>> {
        self.leases.write().unwrap_or_else(PoisonError::into_inner)
    }
}
