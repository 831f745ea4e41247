//! Stops: FATAL, RESTART_JOB, fail_fast, the job's timeout and cancel. What runs is killed, all else is CANCELLED, and
//! the final phase follows.

use super::decide::{Done, Step};
use super::effect::Effect;
use super::error::EngineError;
use super::event::{AttemptNumber, TaskIndex};
use super::run::{NextFrom, Phase, Stop, StopKind};
use super::status::{AttemptState, Failure, JobState, TaskState};
use super::units::{Hold, Unit};

impl Step<'_> {
    /// Stops the job attempt. Whoever settles a task by it has done so before.
    pub(super) fn stop(&mut self, kind: StopKind, failure: Failure) -> Done {
        let reason = failure.message.clone();
        self.run.phase = Phase::Stopping;
        self.run.stop = Some(Stop { kind, failure });
        self.joins.clear();
        if self.run.pause.active {
            self.end_pause();
        }
        for task in self.plan.tasks() {
            let always_run = self.plan_task(task).always_run;
            match self.task(task).state {
                TaskState::Pending => self.cancel_pending(task, always_run)?,
                _ if always_run => {
                    if self.task(task).course.hold == Hold::Resume {
                        self.begin_attempt(task.into())?;
                    }
                }
                _ => self.halt(task, &reason)?,
            }
        }
        Ok(())
    }

    fn cancel_pending(&mut self, task: TaskIndex, always_run: bool) -> Done {
        self.expect_no_answer(task);
        if always_run { Ok(()) } else { self.set_task_state(task, TaskState::Cancelled) }
    }

    /// Nobody waits any more for what its condition or its items are.
    fn expect_no_answer(&mut self, task: TaskIndex) {
        if matches!(std::mem::take(&mut self.task_mut(task).course.hold), Hold::Condition | Hold::Items) {
            self.run.conditions -= 1;
        }
    }

    /// Ends what the task does.
    fn halt(&mut self, task: TaskIndex, reason: &str) -> Done {
        match self.task(task).state {
            TaskState::Pending => {
                self.expect_no_answer(task);
                Ok(())
            }
            state if state.is_settled() => Ok(()),
            _ if self.is_fanned_out(task) => self.halt_fan(task, reason),
            state => self.halt_unit(task.into(), state, reason),
        }
    }

    /// Kills the attempt where an ant has it, else cancels it and whatever would follow.
    pub(super) fn halt_unit(&mut self, unit: Unit, state: TaskState, reason: &str) -> Done {
        let course = self.course(unit);
        match (state, course.current) {
            (TaskState::Ready, Some(number)) => self.cancel_attempt(number, unit),
            (TaskState::Waiting, Some(number)) if self.waits_outside(number) => self.cancel_attempt(number, unit),
            (TaskState::Leased | TaskState::Running, Some(number)) => {
                self.kill(number, reason);
                Ok(())
            }
            (TaskState::Waiting | TaskState::Pending, _) => {
                if let Hold::Until(_) = course.hold {
                    let timer = self.unit_timer(unit);
                    self.emit(Effect::ClearTimer { timer });
                }
                self.course_mut(unit).hold = Hold::None;
                match unit.instance {
                    Some(index) => self.settle_instance(unit.task, index, TaskState::Cancelled, None, None, false),
                    None => self.set_task_state(unit.task, TaskState::Cancelled),
                }
            }
            _ => Ok(()),
        }
    }

    /// Whether the attempt waits for something that is no time: no ant has it.
    fn waits_outside(&self, number: AttemptNumber) -> bool {
        self.run.attempts[number.0 as usize - 1].state == AttemptState::Waiting
    }

    fn kill(&mut self, number: AttemptNumber, reason: &str) {
        let attempt = &mut self.run.attempts[number.0 as usize - 1];
        if attempt.state != AttemptState::Finished && !attempt.killed {
            attempt.killed = true;
            self.emit(Effect::KillAttempt { attempt: number, reason: reason.to_owned() });
        }
    }

    /// Cancel is idempotent; in the final phase it needs force.
    pub(super) fn cancel(&mut self, reason: &str, force: bool) -> Done {
        let failure = Failure { code: "CANCELLED".to_owned(), message: reason.to_owned() };
        match self.run.phase {
            Phase::Over if self.run.state == JobState::Cancelled => Ok(()),
            Phase::Over => Err(EngineError::JobTerminal(self.run.state)),
            Phase::Before => self.cancel_before_start(failure),
            Phase::Ordinary => {
                self.run.forced = force;
                self.set_job_state(JobState::Cancelling, Some(reason.to_owned()))?;
                self.stop(StopKind::Cancel, failure)?;
                if force { self.force(reason) } else { Ok(()) }
            }
            Phase::Stopping => {
                if force {
                    self.force(reason)?;
                }
                if self.run.state != JobState::Cancelling {
                    self.set_job_state(JobState::Cancelling, Some(reason.to_owned()))?;
                    self.run.stop = Some(Stop { kind: StopKind::Cancel, failure });
                }
                Ok(())
            }
            Phase::Final => self.cancel_final_phase(reason, failure, force),
            Phase::Between => self.cancel_between(reason, failure, force),
        }
    }

    fn cancel_before_start(&mut self, failure: Failure) -> Done {
        for task in self.plan.tasks() {
            if self.task(task).state == TaskState::Pending {
                self.set_task_state(task, TaskState::Cancelled)?;
            }
        }
        self.run.next = None;
        self.finish_job(JobState::Cancelled, Some(failure))
    }

    fn cancel_final_phase(&mut self, reason: &str, failure: Failure, force: bool) -> Done {
        let Some(verdict) = self.run.verdict.as_mut() else { return Ok(()) };
        let again = verdict.follow_up.take().is_some();
        if again {
            verdict.state = JobState::Cancelled;
            verdict.failure = Some(failure);
        } else if !force && self.run.state != JobState::Cancelling {
            return Err(EngineError::FinalPhase { verdict: verdict.state });
        }
        if self.run.state != JobState::Cancelling && (again || force) {
            self.set_job_state(JobState::Cancelling, Some(reason.to_owned()))?;
        }
        if force { self.force(reason) } else { Ok(()) }
    }

    fn cancel_between(&mut self, reason: &str, failure: Failure, force: bool) -> Done {
        self.run.forced = force;
        if self.run.pause.active {
            self.end_pause();
        }
        let next = self.run.next.take();
        if next.as_ref().is_some_and(|next| next.due.is_some() && !next.due_passed) {
            let timer = super::Timer::JobRetry { job_attempt: self.run.job_attempt + 1 };
            self.emit(Effect::ClearTimer { timer });
        }
        self.set_job_state(JobState::Cancelling, Some(reason.to_owned()))?;
        if next.is_some_and(|next| next.from == NextFrom::Start) {
            // Its always_run tasks have run already.
            return self.finish_job(JobState::Cancelled, Some(failure));
        }
        self.run.phase = Phase::Stopping;
        self.run.stop = Some(Stop { kind: StopKind::Cancel, failure });
        Ok(())
    }

    /// Stops `always_run` tasks too.
    fn force(&mut self, reason: &str) -> Done {
        self.run.forced = true;
        for task in &self.plan.final_order {
            self.halt(*task, reason)?;
        }
        Ok(())
    }
}
