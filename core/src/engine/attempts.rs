//! The life of one attempt: ready, given to an ant, running, finished; or returned, or interrupted.

use super::decide::{Done, Step};
use super::effect::{Effect, MAX_INTERRUPTIONS};
use super::error::EngineError;
use super::event::{AttemptNumber, TaskIndex, Timer};
use super::run::{AttemptRun, Phase};
use super::settle::Visit;
use super::status::{AttemptResult, AttemptState, Failure, ResultName, TaskState};
use super::units::{Hold, Unit};

/// Times that a LOST attempt of an `always_run` task is repeated in the final phase.
const MAX_LOST_REPEATS: u32 = 2;

impl Step<'_> {
    pub(super) fn begin_visit(&mut self, task: TaskIndex) -> Done {
        if self.plan_task(task).fan_out.is_some() {
            return self.begin_fan_out(task);
        }
        let state = self.task_mut(task);
        state.visit += 1;
        state.course = state.course.next_visit();
        self.begin_attempt(task.into())
    }

    /// A new attempt of the current visit; while the job is paused it waits for the resume, an instance of a fan_out
    /// also for a place.
    pub(super) fn begin_attempt(&mut self, unit: Unit) -> Done {
        let task = unit.task;
        if let Some(index) = unit.instance {
            return if self.has_place(task) { self.create_attempt(unit) } else { self.queue_instance(task, index) };
        }
        if self.run.pause.active {
            if self.task(task).state != TaskState::Waiting {
                self.set_task_state(task, TaskState::Waiting)?;
            }
            self.task_mut(task).course.hold = Hold::Resume;
            self.run.pause.held.push(task);
            return Ok(());
        }
        self.create_attempt(unit)
    }

    pub(super) fn create_attempt(&mut self, unit: Unit) -> Done {
        let Unit { task, instance } = unit;
        let number = AttemptNumber(self.run.attempt_count() + 1);
        let job_attempt = self.run.job_attempt;
        let course = self.course_mut(unit);
        course.hold = Hold::None;
        course.task_attempt += 1;
        course.current = Some(number);
        let task_attempt = course.task_attempt;
        let state = self.task_mut(task);
        state.course.current = Some(number);
        let (visit, routed_from) = (state.visit, state.routed_from.clone());
        self.set_unit_state(unit, TaskState::Ready)?;
        if let Some(fan) = self.fan_mut(task) {
            fan.open_attempts += 1;
        }
        self.run.attempts.push(AttemptRun {
            task,
            instance,
            visit,
            task_attempt,
            job_attempt,
            state: AttemptState::Ready,
            killed: false,
        });
        self.run.active_attempts += 1;
        self.emit(Effect::AttemptCreated {
            attempt: number,
            task,
            visit,
            task_attempt,
            job_attempt,
            routed_from,
            instance,
        });
        self.watch_queue(number, task);
        Ok(())
    }

    pub(super) fn known(&self, number: AttemptNumber) -> Result<AttemptRun, EngineError> {
        let index = (number.0 as usize).checked_sub(1);
        index.and_then(|index| self.run.attempts.get(index)).cloned().ok_or(EngineError::UnknownAttempt(number))
    }

    pub(super) fn leased(&mut self, number: AttemptNumber) -> Done {
        let attempt = self.known(number)?;
        if attempt.state != AttemptState::Ready {
            return Err(EngineError::IllegalTransition {
                attempt: number,
                from: attempt.state,
                to: AttemptState::Leased,
            });
        }
        if !self.run.may_dispatch() {
            return Err(EngineError::NotDispatchable { attempt: number, state: self.run.state });
        }
        self.set_attempt_state(number, AttemptState::Leased)?;
        self.unwatch_queue(number);
        self.set_unit_state(attempt.unit(), TaskState::Leased)?;
        let at = self.at;
        self.course_mut(attempt.unit()).visit_started.get_or_insert(at);
        self.run.any_started = true;
        self.run.clock.begun = true;
        Ok(())
    }

    /// Late or repeated: ignored once the attempt runs or has a result.
    pub(super) fn started(&mut self, number: AttemptNumber) -> Done {
        let attempt = self.known(number)?;
        match attempt.state {
            AttemptState::Running | AttemptState::Waiting | AttemptState::Finished => Ok(()),
            AttemptState::Ready => Err(EngineError::IllegalTransition {
                attempt: number,
                from: AttemptState::Ready,
                to: AttemptState::Running,
            }),
            AttemptState::Leased => {
                self.set_attempt_state(number, AttemptState::Running)?;
                self.set_unit_state(attempt.unit(), TaskState::Running)
            }
        }
    }

    /// The attempt waits for something outside of every ant, or for something else than before. Late or repeated: ignored.
    pub(super) fn waiting(&mut self, number: AttemptNumber, reason: &str) -> Done {
        let attempt = self.known(number)?;
        match attempt.state {
            AttemptState::Waiting if self.run.reasons.get(&number).is_some_and(|known| known != reason) => {
                self.run.reasons.insert(number, reason.to_owned());
                self.emit(Effect::AttemptWaits { attempt: number, reason: reason.to_owned() });
                Ok(())
            }
            AttemptState::Waiting | AttemptState::Finished => Ok(()),
            AttemptState::Ready => Err(EngineError::IllegalTransition {
                attempt: number,
                from: AttemptState::Ready,
                to: AttemptState::Waiting,
            }),
            AttemptState::Leased | AttemptState::Running if attempt.killed => {
                self.cancel_attempt(number, attempt.unit())
            }
            AttemptState::Leased | AttemptState::Running => {
                self.set_attempt_state(number, AttemptState::Waiting)?;
                self.run.reasons.insert(number, reason.to_owned());
                self.emit(Effect::AttemptWaits { attempt: number, reason: reason.to_owned() });
                self.set_unit_state(attempt.unit(), TaskState::Waiting)
            }
        }
    }

    /// The first result counts; any other is ignored.
    pub(super) fn finished(&mut self, number: AttemptNumber, result: AttemptResult, failure: Option<Failure>) -> Done {
        let attempt = self.known(number)?;
        if attempt.state == AttemptState::Finished {
            return Ok(());
        }
        let invalid = result == AttemptResult::Named(ResultName::Invalid);
        let by_template = failure.as_ref().is_some_and(|failure| failure.code.starts_with("TEMPLATE"));
        let template_error = invalid && (by_template || attempt.state == AttemptState::Ready);
        let failure = failure.unwrap_or_else(|| default_failure(result));
        self.close(number, result, &failure)?;
        let unit = attempt.unit();
        match self.run.phase {
            Phase::Ordinary if !attempt.killed => self.route_unit(unit, result, failure, Visit::Ran { template_error }),
            // An instance that fail_fast of its fan_out stopped is no failed item.
            Phase::Ordinary if !result.is_success() => self.record_unit(unit, TaskState::Cancelled, result, failure),
            Phase::Stopping | Phase::Final if self.plan_task(unit.task).always_run && !attempt.killed => {
                self.finish_always_run(unit, result, failure, template_error)
            }
            _ => self.record_unit(unit, recorded_state(result, attempt.killed), result, failure),
        }
    }

    pub(super) fn route_unit(&mut self, unit: Unit, result: AttemptResult, failure: Failure, visit: Visit) -> Done {
        match unit.instance {
            Some(index) => self.route_instance(unit.task, index, result, failure, visit),
            None => self.route(unit.task, result, failure, visit),
        }
    }

    fn record_unit(&mut self, unit: Unit, state: TaskState, result: AttemptResult, failure: Failure) -> Done {
        match unit.instance {
            Some(index) => {
                let failure = (state != TaskState::Completed).then_some(failure);
                self.settle_instance(unit.task, index, state, Some(result), failure, false)
            }
            None => self.record_result(unit.task, state, result, failure),
        }
    }

    /// Outside ordinary operation an `always_run` task follows no route, but has its retries.
    fn finish_always_run(&mut self, unit: Unit, result: AttemptResult, failure: Failure, template_error: bool) -> Done {
        if result == AttemptResult::Named(ResultName::Lost) && self.course(unit).lost_repeats < MAX_LOST_REPEATS {
            self.course_mut(unit).lost_repeats += 1;
            return self.begin_attempt(unit);
        }
        if !result.is_success() && self.may_retry(unit, Visit::Ran { template_error }) {
            return self.retry(unit);
        }
        self.record_unit(unit, recorded_state(result, false), result, failure)
    }

    pub(super) fn close(&mut self, number: AttemptNumber, result: AttemptResult, failure: &Failure) -> Done {
        let attempt = &self.run.attempts[number.0 as usize - 1];
        let (waited, unit) = (attempt.state == AttemptState::Waiting, attempt.unit());
        self.set_attempt_state(number, AttemptState::Finished)?;
        self.unwatch_queue(number);
        if unit.instance.is_some()
            && let Some(fan) = self.fan_mut(unit.task)
        {
            fan.open_attempts -= 1;
            self.touched.push(unit.task);
        }
        if waited {
            self.run.reasons.remove(&number);
            self.emit(Effect::ClearTimer { timer: Timer::AttemptWait { attempt: number } });
        }
        let failure = (!result.is_success()).then(|| failure.clone());
        self.emit(Effect::AttemptClosed { attempt: number, result, failure });
        Ok(())
    }

    /// Closes an attempt that is not wanted any more and that no ant has.
    pub(super) fn cancel_attempt(&mut self, number: AttemptNumber, unit: Unit) -> Done {
        let result = AttemptResult::Named(ResultName::Cancelled);
        let failure = default_failure(result);
        self.close(number, result, &failure)?;
        self.record_unit(unit, TaskState::Cancelled, result, failure)
    }

    /// The lease is gone and nothing ran: ready again, or closed when the attempt was to be stopped. Late or repeated:
    /// ignored.
    pub(super) fn returned(&mut self, number: AttemptNumber) -> Done {
        let attempt = self.known(number)?;
        match attempt.state {
            AttemptState::Ready | AttemptState::Finished => Ok(()),
            AttemptState::Running | AttemptState::Waiting => {
                Err(EngineError::IllegalTransition { attempt: number, from: attempt.state, to: AttemptState::Ready })
            }
            AttemptState::Leased if attempt.killed => self.cancel_attempt(number, attempt.unit()),
            AttemptState::Leased => {
                self.set_attempt_state(number, AttemptState::Ready)?;
                self.set_unit_state(attempt.unit(), TaskState::Ready)?;
                self.emit(Effect::AttemptRequeued { attempt: number });
                self.watch_queue(number, attempt.task);
                Ok(())
            }
        }
    }

    /// The ant died: a new attempt of the same visit, or LOST after too many. Late or repeated: ignored.
    pub(super) fn interrupted(&mut self, number: AttemptNumber) -> Done {
        let attempt = self.known(number)?;
        if matches!(attempt.state, AttemptState::Ready | AttemptState::Waiting | AttemptState::Finished) {
            return Ok(());
        }
        if attempt.killed {
            return self.cancel_attempt(number, attempt.unit());
        }
        let lost = AttemptResult::Named(ResultName::Lost);
        let course = self.course_mut(attempt.unit());
        if course.interruptions >= MAX_INTERRUPTIONS {
            return self.finished(number, lost, None);
        }
        course.interruptions += 1;
        let failure = Failure {
            code: ResultName::Lost.as_str().to_owned(),
            message: "the ant died while it ran; a new attempt takes its place".to_owned(),
        };
        self.close(number, lost, &failure)?;
        self.begin_attempt(attempt.unit())
    }
}

fn recorded_state(result: AttemptResult, killed: bool) -> TaskState {
    match result {
        result if result.is_success() => TaskState::Completed,
        AttemptResult::Named(ResultName::Cancelled) => TaskState::Cancelled,
        AttemptResult::Named(ResultName::Killed | ResultName::Lost) if killed => TaskState::Cancelled,
        _ => TaskState::Failed,
    }
}

/// The sentence for a result that came without one.
pub(super) fn default_failure(result: AttemptResult) -> Failure {
    let (code, message) = match result {
        AttemptResult::Exit(code) => ("EXIT_CODE", format!("exit code {code}")),
        AttemptResult::Http(status) => ("HTTP_STATUS", format!("HTTP status {status}")),
        AttemptResult::Agent(class) => (class.as_str(), class.sentence().to_owned()),
        AttemptResult::Named(name) => {
            let sentence = match name {
                ResultName::TimedOut => "it ran longer than its timeout",
                ResultName::IdleTimedOut => "it gave no sign of life for longer than its idle_timeout",
                ResultName::QueueTimedOut => "no ant took it in time",
                ResultName::StartFailed => "it could not be started",
                ResultName::Killed => "a signal ended it",
                ResultName::Lost => "the ant died and it could not be taken up again",
                ResultName::Cancelled => "it was cancelled",
                ResultName::Invalid => "a template or an artifact was not valid",
                ResultName::Expired => "it was rescheduled until its limit",
                ResultName::LoopLimit => "the loop came round too often",
                ResultName::Approved => "it was approved",
                ResultName::Rejected => "it was rejected",
            };
            (name.as_str(), sentence.to_owned())
        }
    };
    Failure { code: code.to_owned(), message }
}
