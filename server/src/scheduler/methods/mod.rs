//! Tasks that the queen performs herself: no ant is asked, and what they do is stored in the transaction that stores
//! their result, so that it happens exactly once.
//!
//! An attempt of such a task is leased and started in the batch in which it is READY. It is finished at once, or it
//! waits: then whatever ends the waiting (a vote, the end of another job, a time) is stored and sets the attempt's timer
//! [`Timer::AttemptWait`]. When that fires, which `max_concurrency` may delay, the method says what the result is.

mod approval;
mod await_forked;
mod fork;
mod submit_jobs;

use atta_core::definition::Method;
use atta_core::engine::{AttemptNumber, AttemptResult, AttemptState, Event, Failure, ResultName, Timer};
use atta_core::protocol::JobId;
use atta_core::time::UnixMillis;

use super::Refusal;
use super::live::{Finish, Told};
use super::queue::QueueKey;
use super::state::State;
use crate::store::{StoreError, StoreWriter};

/// What became of an attempt.
pub(super) enum Performed {
    /// It has its result.
    Finished {
        result: AttemptResult,
        /// Why, when it is no success; the engine supplies a sentence when absent.
        failure: Option<Failure>,
        /// Outputs, artifacts and warnings.
        finish: Finish,
    },
    /// It waits.
    Waits {
        /// What for, as the end of the sentence "task x waits for …".
        reason: String,
        /// When [`State::wait_over`] is asked at the latest.
        until: Option<UnixMillis>,
    },
}

impl Performed {
    /// The attempt ends as INVALID with this sentence.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        let code = ResultName::Invalid.as_str().to_owned();
        Self::Finished {
            result: AttemptResult::Named(ResultName::Invalid),
            failure: Some(Failure { code, message: message.into() }),
            finish: Finish::default(),
        }
    }
}

/// A template of the task cannot be rendered: the attempt ends as INVALID, and trying again would not help.
pub(super) fn bad_template(message: String) -> Performed {
    Performed::Finished {
        result: AttemptResult::Named(ResultName::Invalid),
        failure: Some(Failure { code: "TEMPLATE".to_owned(), message }),
        finish: Finish::default(),
    }
}

/// A refusal that says that the database does not answer is no result of a task: the batch is tried again.
pub(super) fn store_error(refusal: Refusal) -> Result<Refusal, StoreError> {
    match refusal {
        Refusal::Unavailable { message } => Err(StoreError::Refused(message)),
        other => Ok(other),
    }
}

impl State {
    /// Performs all READY attempts that are the queen's own. `true` when there was one.
    pub(super) async fn perform_own(&mut self, database: &mut StoreWriter) -> Result<bool, StoreError> {
        let keys: Vec<QueueKey> = self
            .own
            .iter()
            // Those of paused jobs keep their place.
            .filter(|key| self.jobs.get(&key.job).is_none_or(|live| live.run.may_dispatch()))
            .cloned()
            .collect();
        for key in &keys {
            self.own.remove(key);
            let ready = self
                .jobs
                .get(&key.job)
                .and_then(|live| live.attempts.get(&key.attempt))
                .is_some_and(|row| row.state == AttemptState::Ready);
            if ready && self.begin_own(key) {
                let performed = self.perform_method(database, &key.job, key.attempt).await?;
                self.conclude_own(&key.job, key.attempt, performed);
            }
        }
        Ok(!keys.is_empty())
    }

    fn begin_own(&mut self, key: &QueueKey) -> bool {
        let attempt = key.attempt;
        for event in [Event::AttemptLeased { attempt }, Event::AttemptStarted { attempt }] {
            if let Err(error) = self.feed(&key.job, event, None) {
                self.damage(&key.job, &error);
                return false;
            }
        }
        true
    }

    /// Asks the methods of attempts whose waiting is over. `true` when there was one.
    pub(super) async fn end_waits(&mut self, database: &mut StoreWriter) -> Result<bool, StoreError> {
        let over = std::mem::take(&mut self.waits_over);
        for (job, attempt) in &over {
            self.forget_timer(job, Timer::AttemptWait { attempt: *attempt });
            let waits = self
                .jobs
                .get(job)
                .and_then(|live| live.attempts.get(attempt))
                .is_some_and(|row| row.state == AttemptState::Waiting);
            if waits {
                let performed = self.wait_over(database, job, *attempt).await?;
                self.conclude_own(job, *attempt, performed);
            }
        }
        Ok(!over.is_empty())
    }

    fn conclude_own(&mut self, job: &JobId, attempt: AttemptNumber, performed: Performed) {
        let now = self.time.now();
        let (event, told) = match performed {
            Performed::Finished { result, failure, finish } => {
                let told = Told { at: now, finish: Some(finish) };
                (Event::AttemptFinished { attempt, result, failure, retry_after: None }, Some(told))
            }
            Performed::Waits { reason, until } => {
                if let Some(until) = until {
                    self.wake_waiting(job, attempt, until);
                }
                (Event::AttemptWaiting { attempt, reason }, None)
            }
        };
        if let Err(error) = self.feed(job, event, told) {
            self.damage(job, &error);
        }
    }

    /// Sets when a waiting attempt's method is asked whether it is over; an earlier time stays.
    pub(super) fn wake_waiting(&mut self, job: &JobId, attempt: AttemptNumber, at: UnixMillis) {
        let timer = Timer::AttemptWait { attempt };
        let Some(live) = self.jobs.get_mut(job) else { return };
        if live.held_timers.contains(&timer) || live.timers.get(&timer).is_some_and(|due| *due <= at) {
            return;
        }
        if let Some(was) = live.timers.insert(timer, at) {
            self.timers.remove(&(was, job.clone(), timer));
        }
        self.timers.insert((at, job.clone(), timer));
        self.staged.timers.insert((job.clone(), timer), Some(at));
        self.staged.touched.insert(job.clone());
    }

    /// Does what the task says, for the first time.
    async fn perform_method(
        &mut self,
        database: &mut StoreWriter,
        job: &JobId,
        attempt: AttemptNumber,
    ) -> Result<Performed, StoreError> {
        let Some(method) = self.method_of(job, attempt) else { return Ok(Performed::invalid("the task is gone")) };
        Ok(match method {
            Method::SubmitJobs(options) => self.submit_jobs(database, job, attempt, &options).await?,
            Method::ForkJob(options) => self.fork(database, job, attempt, &options).await?,
            Method::AwaitForkedJob(options) => self.await_forked(database, job, attempt, &options).await?,
            Method::Approval(options) => self.ask_for_approval(job, attempt, &options),
            Method::ExpireArtifacts(options) => self.expire_artifacts(database, &options).await?,
            Method::Shell(_) | Method::Http(_) | Method::Agent(_) | Method::Github(_) => {
                Performed::invalid("this is a task for an ant")
            }
        })
    }

    /// Says what a waiting attempt has come to, or lets it wait on.
    async fn wait_over(
        &mut self,
        database: &mut StoreWriter,
        job: &JobId,
        attempt: AttemptNumber,
    ) -> Result<Performed, StoreError> {
        let Some(method) = self.method_of(job, attempt) else { return Ok(Performed::invalid("the task is gone")) };
        Ok(match method {
            Method::ForkJob(options) => self.fork_over(database, job, attempt, &options).await?,
            Method::AwaitForkedJob(options) => self.await_forked(database, job, attempt, &options).await?,
            Method::Approval(_) => self.approval_over(job, attempt),
            Method::SubmitJobs(_)
            | Method::ExpireArtifacts(_)
            | Method::Shell(_)
            | Method::Http(_)
            | Method::Agent(_)
            | Method::Github(_) => Performed::invalid("this does not wait"),
        })
    }

    fn method_of(&self, job: &JobId, attempt: AttemptNumber) -> Option<Method> {
        let live = self.jobs.get(job)?;
        let row = live.attempts.get(&attempt)?;
        Some(live.task(row.task).method.clone())
    }
}
