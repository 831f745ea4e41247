//! Commands of people on jobs.

use std::sync::Arc;

use atta_core::definition::check_params;
use atta_core::engine::{Event, JobState, Timer};
use atta_core::protocol::JobId;
use serde_json::{Map, Value};

use super::live::LiveJob;
use super::state::State;
use super::{JobCommand, Refusal};
use crate::store::{StoreWriter, Which, json};

impl State {
    /// Performs a command and returns the job's state afterwards.
    pub(super) async fn command(
        &mut self,
        database: &mut StoreWriter,
        job: &JobId,
        command: JobCommand,
    ) -> Result<JobState, Refusal> {
        if let JobCommand::Cancel { reason, .. } = &command {
            if self.damaged.contains_key(job) {
                return self.abandon(database, job, reason).await;
            }
            if self.staged.abandoned.contains_key(job) {
                return Ok(JobState::Cancelled);
            }
        }
        self.refuse_damaged(job)?;
        let known = self.jobs.contains_key(job);
        if !known {
            let state = database.job_state(job).await?.ok_or_else(|| Refusal::job_not_found(job))?;
            if matches!(command, JobCommand::Cancel { .. }) && state == JobState::Cancelled {
                return Ok(state);
            }
            self.revive(database, job).await?;
        }
        let result = self.perform(job, command);
        if result.is_err() && !known && !self.staged.touched.contains(job) {
            // It was brought back for nothing.
            self.forget_job(job);
        }
        result
    }

    fn perform(&mut self, job: &JobId, command: JobCommand) -> Result<JobState, Refusal> {
        let live = self.jobs.get(job).ok_or_else(|| Refusal::job_not_found(job))?;
        let was = live.row.state;
        let event = match command {
            JobCommand::Cancel { reason, force } => {
                if was == JobState::Cancelled {
                    return Ok(was);
                }
                Event::CancelRequested { reason, force }
            }
            JobCommand::Pause => {
                if was == JobState::Paused {
                    return Ok(was);
                }
                Event::PauseRequested
            }
            JobCommand::Resume => {
                if was == JobState::Paused && !live.occupies {
                    let limit = live.definition.max_concurrency;
                    if self.admission.is_full(&live.row.job_type, limit) {
                        return self.resume_later(job);
                    }
                }
                Event::ResumeRequested
            }
            JobCommand::ResumeWith { params, budget } => {
                // All of it, or nothing.
                let caps = self.changed_budget(job, &budget)?;
                if !params.is_empty() {
                    self.change_params(job, &params)?;
                }
                if let Some(caps) = caps {
                    self.change_budget(job, caps);
                }
                return self.perform(job, JobCommand::Resume);
            }
            JobCommand::RetryFailed => Event::RetryFailedRequested,
            JobCommand::RerunFrom { task } => {
                let index = live
                    .plan
                    .task_index(&task)
                    .ok_or_else(|| Refusal::NotFound { what: format!("task {task} of the job {job}") })?;
                Event::RerunRequested { task: index }
            }
        };
        let comes_back = was.is_terminal();
        if comes_back
            && let Some(key) = &live.row.user_key
            && let Some(holder) = self.user_keys.get(key).filter(|holder| *holder != job)
        {
            return Err(Refusal::Duplicate { key: key.clone(), holder: holder.clone() });
        }
        self.feed(job, event, None)?;
        let Some(live) = self.jobs.get(job) else { return Ok(was) };
        let state = live.row.state;
        if comes_back && !state.is_terminal() {
            if let Some(key) = live.row.user_key.clone() {
                self.user_keys.insert(key, job.clone());
            }
            if state == JobState::Pending {
                self.await_admission(job);
            }
        }
        self.admit();
        Ok(self.jobs.get(job).map_or(state, |live| live.row.state))
    }

    /// A paused job goes on with other params. What was rendered before, and what was made of them when the job was
    /// created (durations, keys), stays as it is.
    fn change_params(&mut self, job: &JobId, given: &Map<String, Value>) -> Result<(), Refusal> {
        let live = self.jobs.get_mut(job).ok_or_else(|| Refusal::job_not_found(job))?;
        live.must_be_paused("other params")?;
        let mut params = live.params.clone();
        params.extend(given.iter().map(|(name, value)| (name.clone(), value.clone())));
        let params = check_params(&live.version.definition, &params).map_err(Refusal::params)?;
        if params != live.params {
            live.row.created_params.get_or_insert_with(|| live.row.params.clone());
            live.row.params = json(&params);
            live.params = params;
            live.dirty.params = true;
            live.dirty.describe = true;
            self.staged.touched.insert(job.clone());
        }
        Ok(())
    }

    /// The job resumes as soon as `max_concurrency` lets it: a timer that is due now and waits for its place, so that
    /// this survives a restart.
    fn resume_later(&mut self, job: &JobId) -> Result<JobState, Refusal> {
        let now = self.time.now();
        let live = self.jobs.get_mut(job).ok_or_else(|| Refusal::job_not_found(job))?;
        let timer = Timer::Resume { pause: live.run.pauses() };
        if live.held_timers.contains(&timer) {
            return Ok(live.row.state);
        }
        if let Some(was) = live.timers.insert(timer, now) {
            self.timers.remove(&(was, job.clone(), timer));
        }
        self.staged.timers.insert((job.clone(), timer), Some(now));
        self.staged.touched.insert(job.clone());
        self.fire(job, timer);
        self.admit();
        Ok(JobState::Paused)
    }

    /// Brings a terminal job back into memory, by replay.
    async fn revive(&mut self, database: &mut StoreWriter, job: &JobId) -> Result<(), Refusal> {
        if self.staged.expiry.jobs.contains(job) {
            return Err(Refusal::job_not_found(job));
        }
        let mut found = database.load_jobs(Which::Job(job)).await?;
        let stored = found.pop().ok_or_else(|| Refusal::job_not_found(job))?;
        let version = self.version(database, &stored.row.job_type.clone(), &stored.row.version.clone()).await?;
        let live = self.replay(stored, Arc::clone(&version)).map_err(|reason| Refusal::damaged(job, &reason))?;
        self.join_family(&live.row);
        self.jobs.insert(job.clone(), live);
        Ok(())
    }
}

impl LiveJob {
    /// Only a paused job can be resumed with something else.
    pub(super) fn must_be_paused(&self, with: &str) -> Result<(), Refusal> {
        if self.row.state == JobState::Paused {
            return Ok(());
        }
        let message = format!(
            "the job {} is {}: only a paused job can be resumed with {with}",
            self.row.id,
            self.row.state.as_str()
        );
        Err(Refusal::Conflict { code: "JOB_NOT_PAUSED", message })
    }
}
