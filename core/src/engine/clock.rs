//! The job's timeout: it counts the time in which a job attempt is RUNNING, from its first lease.

use super::decide::{Done, Step};
use super::effect::Effect;
use super::event::Timer;
use super::run::{JobClock, Phase, StopKind};
use super::status::{Failure, JobState};

impl Step<'_> {
    /// Sets or clears the timer when the job began or ceased to be RUNNING.
    pub(super) fn update_clock(&mut self) {
        let Some(timeout) = self.plan.job.timeout else { return };
        let runs = self.run.phase == Phase::Ordinary && self.run.state == JobState::Running && self.run.clock.begun;
        let timer = Timer::JobTimeout { job_attempt: self.run.job_attempt };
        match (runs, self.run.clock.running_since) {
            (true, None) => {
                self.run.clock.running_since = Some(self.at);
                let due = self.at.plus(timeout.saturating_sub(self.run.clock.spent));
                self.emit(Effect::SetTimer { timer, due });
            }
            (false, Some(since)) => {
                self.run.clock.spent += self.at.since(since);
                self.run.clock.running_since = None;
                self.emit(Effect::ClearTimer { timer });
            }
            _ => {}
        }
    }

    /// A new job attempt has the whole timeout again.
    pub(super) fn reset_clock(&mut self) {
        self.run.clock = JobClock::default();
    }

    pub(super) fn job_timed_out(&mut self, job_attempt: u32) -> Done {
        let (Some(timeout), Some(since)) = (self.plan.job.timeout, self.run.clock.running_since) else { return Ok(()) };
        if job_attempt != self.run.job_attempt || self.run.phase != Phase::Ordinary {
            return Ok(());
        }
        let spent = self.run.clock.spent + self.at.since(since);
        if spent < timeout {
            // Fired for an earlier stretch, or by a clock that was set back: it is still needed.
            let due = self.at.plus(timeout.saturating_sub(spent));
            self.emit(Effect::SetTimer { timer: Timer::JobTimeout { job_attempt }, due });
            return Ok(());
        }
        let message = format!("the job ran longer than its timeout of {timeout:?}");
        self.stop(StopKind::Timeout, Failure { code: "JOB_TIMEOUT".to_owned(), message })
    }
}
