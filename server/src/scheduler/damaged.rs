//! Jobs that are set aside: their history and rows disagree, their definition cannot be used any more, or the engine
//! refused what it must be told. Nothing is done with them until somebody cancels them.

use atta_core::engine::{AttemptResult, Effect, EngineError, Event, Failure, JobState, ResultName, Stamped};
use atta_core::protocol::ant::JOB_DAMAGED;
use atta_core::protocol::{AttemptId, JobId};

use super::Refusal;
use super::ants;
use super::families::EndedJob;
use super::live::{Dirty, LiveJob};
use super::notifications::Occasion;
use super::state::State;
use crate::store::{EventRow, JobOrigin, JobRow, OpenLease, StoreWriter, json};

impl Refusal {
    /// A job of which more is needed than its rows.
    pub(super) fn damaged(job: &JobId, reason: &str) -> Self {
        Self::Conflict { code: JOB_DAMAGED, message: format!("nothing can be done with the job {job}: {reason}") }
    }
}

impl State {
    /// Sets a job aside. The first reason stays.
    pub(super) fn set_aside(&mut self, job: &JobId, reason: String) {
        if self.damaged.contains_key(job) {
            return;
        }
        tracing::error!(%job, %reason, "job is set aside; it can be cancelled");
        metrics::counter!("atta_jobs_damaged_total").increment(1);
        self.fence.set_aside_too(job.clone());
        self.damaged.insert(job.clone(), reason);
    }

    /// The engine refused what the queen must be able to tell it. A defect of the engine sets the job aside: nothing
    /// more is done with it until a restart has looked at it again.
    pub(super) fn damage(&mut self, job: &JobId, error: &EngineError) {
        metrics::counter!("atta_engine_refusals_total").increment(1);
        if matches!(error, EngineError::Internal(_)) {
            self.set_aside(job, error.to_string());
        } else {
            tracing::error!(%job, %error, "the engine refused an event");
        }
    }

    /// Refuses what needs a job that is set aside.
    pub(super) fn refuse_damaged(&self, job: &JobId) -> Result<(), Refusal> {
        let ended = self.staged.abandoned.get(job).and_then(|row| row.failure.as_ref());
        match self.damaged.get(job).or(ended.map(|failure| &failure.message)) {
            Some(reason) => Err(Refusal::damaged(job, reason)),
            None => Ok(()),
        }
    }

    /// Where a job comes from that is in memory, or that was abandoned in this batch.
    pub(super) fn origin_of(&self, job: &JobId) -> Option<&JobOrigin> {
        let live = self.jobs.get(job).map(|live| &live.row.origin);
        live.or_else(|| self.staged.abandoned.get(job).map(|row| &row.origin))
    }

    /// Ends a job that is set aside, by its rows alone: it is CANCELLED, what it held is free, ants are told to stop what
    /// they have of it. Its always_run tasks do not run, for nobody can say which those are.
    pub(super) async fn abandon(
        &mut self,
        database: &mut StoreWriter,
        job: &JobId,
        why: &str,
    ) -> Result<JobState, Refusal> {
        let Some(damage) = self.damaged.get(job).cloned() else { return Err(Refusal::job_not_found(job)) };
        let (mut row, leases) = if let Some(live) = self.jobs.get(job) {
            (live.row.clone(), leases_of(live))
        } else {
            let row = database.job_row(job).await?.ok_or_else(|| Refusal::job_not_found(job))?;
            (row, database.open_leases(job).await?)
        };
        let now = self.clock.now();
        let from = row.state;
        let failure = Failure {
            code: JOB_DAMAGED.to_owned(),
            message: format!("cancelled ({why}), for nothing else could be done with it: {damage}"),
        };
        row.state = JobState::Cancelled;
        row.reason = Some(why.to_owned());
        row.failure = Some(failure.clone());
        row.finished_at = Some(now);
        self.sequence += 1;
        self.staged.events.push(EventRow {
            sequence: self.sequence,
            job: job.clone(),
            stamped: Stamped {
                at: now,
                entropy: self.entropy.next_u64(),
                event: Event::CancelRequested { reason: why.to_owned(), force: true },
            },
            effects: json(&[
                Effect::JobChanged { from, to: JobState::Cancelled, reason: Some(why.to_owned()) },
                Effect::JobFinished { verdict: JobState::Cancelled, failure: Some(failure) },
            ]),
        });
        self.give_up_leases(job, leases, why);
        for (of, attempt) in self.approvals.of_job(job) {
            let result = AttemptResult::Named(ResultName::Cancelled);
            if let Some(closed) = self.approvals.close(&of, attempt, result, now) {
                self.staged.approvals.insert(closed.id.clone(), closed);
            }
        }
        if let Some(key) = &row.user_key
            && self.user_keys.get(key) == Some(job)
        {
            self.user_keys.remove(key);
        }
        self.counts.change(&row.job_type, from, JobState::Cancelled);
        self.staged.timers.retain(|(of, _), _| of != job);
        self.staged.orphans.push((job.clone(), None));
        if row.origin.forked || self.watchers.contains_key(&row.job_type) {
            self.staged.ended.push(EndedJob { job: job.clone(), state: JobState::Cancelled, attempt: row.attempt });
        }
        self.staged.finished_jobs.push(JobState::Cancelled);
        self.damaged.remove(job);
        self.close_live(job, &mut row);
        self.staged.abandoned.insert(job.clone(), row);
        tracing::warn!(%job, %damage, "a job that was set aside is cancelled");
        self.admit();
        Ok(JobState::Cancelled)
    }

    /// Tells ants to stop, and counts their slots as free.
    fn give_up_leases(&mut self, job: &JobId, leases: Vec<OpenLease>, why: &str) {
        let is_of = |id: &AttemptId| id.parts().is_some_and(|(of, _)| of == *job);
        for ant in self.ants.values_mut() {
            ant.held.retain(|held, _| !is_of(held));
        }
        for OpenLease { attempt, token, ant } in leases {
            let id = AttemptId::new(job, attempt);
            self.secrets.held().release(&id);
            if self.ants.contains_key(&ant) {
                ants::merge(self.staged.orders.entry(ant).or_default(), ants::stop(id, token, why.to_owned()));
            }
        }
    }

    /// Takes a job that is in memory out of everything where it waits or holds something.
    fn close_live(&mut self, job: &JobId, row: &mut JobRow) {
        self.abandon_spending(job);
        let Some(live) = self.jobs.get_mut(job) else { return };
        row.expires_at = live.definition.retention.of(JobState::Cancelled).map(|time| live.last_at.plus(time));
        live.row = row.clone();
        live.dirty = Dirty { new: live.dirty.new, row: true, ..Dirty::default() };
        live.attempts.clear();
        live.parked.clear();
        live.held_timers.clear();
        for (timer, due) in std::mem::take(&mut live.timers) {
            self.timers.remove(&(due, job.clone(), timer));
        }
        for (_, (tags, key)) in std::mem::take(&mut live.queued) {
            self.ready.remove(&tags, &key);
        }
        if live.definition.notify.iter().any(|notification| notification.is_about(JobState::Cancelled)) {
            self.staged.occasions.push((job.clone(), Occasion::Job(JobState::Cancelled)));
        }
        self.own.retain(|key| key.job != *job);
        self.staged.touched.insert(job.clone());
        self.give_key_back(job);
        self.settle_place(job);
    }
}

fn leases_of(live: &LiveJob) -> Vec<OpenLease> {
    let open = live.attempts.values().filter(|row| row.result.is_none());
    open.filter_map(|row| {
        let ant = atta_core::protocol::AntId(row.ant.clone()?);
        Some(OpenLease { attempt: row.number, token: row.token?, ant })
    })
    .collect()
}
