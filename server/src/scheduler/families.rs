//! What jobs mean to the jobs that made them.
//!
//! A forked job (FORK_JOB) belongs to its parent: it is cancelled when the attempt that forked it ends without it, when
//! the parent is stopped, and when the parent ends FAILED or CANCELLED. When it ends, the attempts of the parent that wait
//! for it are woken. All of this happens in the batch in which the one thing leads to the other, so that no crash can come
//! between. A submitted job (SUBMIT_JOBS) and a triggered one go their own ways.

use std::collections::HashSet;

use atta_core::definition::Method;
use atta_core::engine::{AttemptNumber, AttemptState, EngineError, Event, JobState, Timer};
use atta_core::protocol::JobId;

use super::state::State;
use crate::store::{Ancestor, JobRow, StoreError, StoreWriter};

/// How many forks and triggers may lie above a job.
pub(super) const DEEPEST: u32 = 8;

/// A job that has just ended.
#[derive(Debug, Clone)]
pub(super) struct EndedJob {
    pub(super) job: JobId,
    pub(super) state: JobState,
    /// Its job attempt.
    pub(super) attempt: u32,
}

impl State {
    /// Takes note of a forked job that comes into memory.
    pub(super) fn join_family(&mut self, row: &JobRow) {
        if row.origin.forked
            && let Some(parent) = &row.origin.parent
        {
            self.children.entry(parent.clone()).or_default().insert(row.id.clone());
        }
    }

    /// Removes a job from memory.
    pub(super) fn forget_job(&mut self, job: &JobId) {
        let Some(live) = self.jobs.remove(job) else { return };
        if live.row.origin.forked
            && let Some(parent) = live.row.origin.parent
            && let Some(children) = self.children.get_mut(&parent)
        {
            children.remove(job);
            if children.is_empty() {
                self.children.remove(&parent);
            }
        }
    }

    /// Whether ends of jobs wait to be followed.
    pub(super) fn has_ends(&self) -> bool {
        !self.staged.ended.is_empty() || !self.staged.orphans.is_empty()
    }

    /// What follows for other jobs from the ends of jobs and attempts. `true` when there was one.
    pub(super) async fn follow_ends(&mut self, database: &mut StoreWriter) -> Result<bool, StoreError> {
        let any = self.has_ends();
        while self.has_ends() {
            for (job, attempt) in std::mem::take(&mut self.staged.orphans) {
                self.cancel_orphans(&job, attempt);
            }
            for ended in std::mem::take(&mut self.staged.ended) {
                self.wake_parent(&ended.job);
                self.fire_job_triggers(database, &ended).await?;
            }
        }
        Ok(any)
    }

    /// Cancels forked jobs that belong to nothing any more: those of one attempt that has ended, or all of a job's.
    fn cancel_orphans(&mut self, parent: &JobId, attempt: Option<AttemptNumber>) {
        let Some(children) = self.children.get(parent) else { return };
        let orphans: Vec<JobId> = match attempt {
            None => children.iter().cloned().collect(),
            Some(number) => {
                let waits = self.jobs.get(parent).is_some_and(|live| {
                    let task = live.run.attempt(number).map(|info| info.task);
                    task.is_some_and(|task| matches!(&live.task(task).method, Method::ForkJob(fork) if fork.wait))
                });
                let of_attempt = |child: &&JobId| {
                    waits && self.jobs.get(*child).is_some_and(|live| live.row.origin.attempt == Some(number))
                };
                children.iter().filter(of_attempt).cloned().collect()
            }
        };
        for orphan in orphans {
            self.cancel_child(&orphan, format!("the job {parent}, which forked it, has stopped waiting for it"));
        }
    }

    /// Cancels a job that is not over; its always_run tasks still run. One where only those are left ends by itself.
    pub(super) fn cancel_child(&mut self, child: &JobId, reason: String) {
        if self.jobs.get(child).is_none_or(|live| live.row.state.is_terminal()) || self.damaged.contains_key(child) {
            return;
        }
        match self.feed(child, Event::CancelRequested { reason, force: false }, None) {
            Ok(()) | Err(EngineError::FinalPhase { .. }) => {}
            Err(error) => self.damage(child, &error),
        }
    }

    /// Cancels what earlier attempts of the same work forked: the same visit's, and those of earlier job attempts.
    pub(super) fn cancel_superseded(&mut self, parent: &JobId, attempt: AttemptNumber) {
        let (Some(children), Some(live)) = (self.children.get(parent), self.jobs.get(parent)) else { return };
        let Some(now) = live.run.attempt(attempt) else { return };
        let superseded = |child: &&JobId| {
            let Some(child) = self.jobs.get(*child) else { return false };
            let Some(before) = child.row.origin.attempt.and_then(|number| live.run.attempt(number)) else {
                return false;
            };
            before.task == now.task
                && (before.job_attempt < now.job_attempt
                    || (before.visit == now.visit && before.instance == now.instance))
        };
        let superseded: Vec<JobId> = children.iter().filter(superseded).cloned().collect();
        for child in superseded {
            self.cancel_child(&child, format!("the job {parent} forks another job in its place"));
        }
    }

    /// Wakes the attempts of the parent that wait for a forked job.
    fn wake_parent(&mut self, child: &JobId) {
        let Some(origin) = self.origin_of(child).filter(|origin| origin.forked) else { return };
        let (Some(parent), forked_by) = (origin.parent.clone(), origin.attempt) else { return };
        let Some(live) = self.jobs.get(&parent) else { return };
        let waiting: Vec<AttemptNumber> = live
            .attempts
            .iter()
            .filter(|(number, row)| {
                row.state == AttemptState::Waiting
                    && (Some(**number) == forked_by || matches!(live.task(row.task).method, Method::AwaitForkedJob(_)))
            })
            .map(|(number, _)| *number)
            .collect();
        let now = self.time.now();
        for attempt in waiting {
            self.wake_waiting(&parent, attempt, now);
            let timer = Timer::AttemptWait { attempt };
            let due = self.jobs.get(&parent).and_then(|live| live.timers.get(&timer)).copied();
            if let Some(due) = due.filter(|due| *due <= now) {
                self.fire(&parent, timer);
                self.timers.remove(&(due, parent.clone(), timer));
            }
        }
    }

    /// The forked job of an attempt: in memory, or stored.
    pub(super) async fn forked_job(
        &mut self,
        database: &mut StoreWriter,
        parent: &JobId,
        attempt: AttemptNumber,
    ) -> Result<Option<JobId>, StoreError> {
        let of_attempt =
            |child: &&JobId| self.jobs.get(*child).is_some_and(|live| live.row.origin.attempt == Some(attempt));
        match self.children.get(parent).and_then(|children| children.iter().rev().find(of_attempt)) {
            Some(child) => Ok(Some(child.clone())),
            None => database.forked_job(parent, attempt).await,
        }
    }

    /// How deep a job that `parent` forks would lie, or the sentence that says why it cannot be forked.
    pub(super) async fn fork_depth(
        &mut self,
        database: &mut StoreWriter,
        parent: &JobId,
        job_type: &str,
    ) -> Result<Result<u32, String>, StoreError> {
        let depth = self.jobs.get(parent).map_or(0, |live| live.row.origin.depth) + 1;
        let mut chain = vec![job_type.to_owned()];
        let mut seen = HashSet::new();
        let mut at = Some(parent.clone());
        while let Some(job) = at.take() {
            if !seen.insert(job.clone()) {
                break;
            }
            let Some(ancestor) = self.ancestor(database, &job).await? else { break };
            let same = ancestor.job_type == job_type;
            chain.push(ancestor.job_type);
            if same {
                chain.reverse();
                return Ok(Err(format!(
                    "{job_type} cannot be forked here, because it would fork itself: {}",
                    chain.join(" → ")
                )));
            }
            at = ancestor.forked_by;
        }
        if depth > DEEPEST {
            chain.reverse();
            return Ok(Err(format!(
                "{job_type} cannot be forked here: forks and triggers may lie {DEEPEST} deep, and this would be number \
                 {depth} ({})",
                chain.join(" → ")
            )));
        }
        Ok(Ok(depth))
    }

    async fn ancestor(&self, database: &mut StoreWriter, job: &JobId) -> Result<Option<Ancestor>, StoreError> {
        match self.jobs.get(job) {
            Some(live) => {
                let forked_by = live.row.origin.parent.clone().filter(|_| live.row.origin.forked);
                Ok(Some(Ancestor { job_type: live.row.job_type.clone(), forked_by }))
            }
            None => database.ancestor(job).await,
        }
    }
}
