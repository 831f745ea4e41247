//! The engine's only entry, and the step that one event is.

use std::collections::VecDeque;
use std::time::Duration;

use super::effect::Effect;
use super::error::EngineError;
use super::event::{AttemptNumber, Event, Stamped, TaskIndex, Timer};
use super::run::{JobRun, LoopRun, Phase, TaskRun};
use super::status::{AttemptResult, AttemptState, Failure, JobState, SkipReason, TaskState};
use super::transitions::{attempt_may, illegal, job_may, task_may};
use super::units::{Course, Unit};
use crate::graph::{Plan, PlanTask};
use crate::time::UnixMillis;

/// Applies an event to a job and says what follows. An event that is refused leaves the job as it was.
///
/// Events that come late or twice, as they may when messages are repeated, change nothing and have no effects: a result
/// or a start of an attempt that already has a result, a timer that was cleared, an answer about a condition that nobody
/// waits for any more, a cancel of a job that is being cancelled, a pause of a paused job.
///
/// Whoever holds back a woken job for `max_concurrency` does so by delivering its `TimerFired` or `ResumeRequested` only
/// when there is room; the engine starts what they wake at once.
pub fn decide(plan: &Plan, run: &mut JobRun, stamped: &Stamped) -> Result<Vec<Effect>, EngineError> {
    let mut step = Step { at: stamped.at, entropy: stamped.entropy, ..Step::looking(plan, run) };
    step.apply(&stamped.event)?;
    step.settle_down()?;
    Ok(step.effects)
}

/// One event being applied.
pub(super) struct Step<'a> {
    pub(super) plan: &'a Plan,
    pub(super) run: &'a mut JobRun,
    pub(super) at: UnixMillis,
    pub(super) entropy: u64,
    /// What the attempt that has just ended asks for before the next.
    pub(super) retry_after: Duration,
    pub(super) effects: Vec<Effect>,
    /// Tasks whose incoming edges are all resolved.
    pub(super) joins: VecDeque<TaskIndex>,
    /// Tasks of whose instances something changed.
    pub(super) touched: Vec<TaskIndex>,
}

pub(super) type Done = Result<(), EngineError>;

impl<'a> Step<'a> {
    /// A step in which nothing happens.
    pub(super) fn looking(plan: &'a Plan, run: &'a mut JobRun) -> Self {
        Step {
            plan,
            run,
            at: UnixMillis(0),
            entropy: 0,
            retry_after: Duration::ZERO,
            effects: Vec::new(),
            joins: VecDeque::new(),
            touched: Vec::new(),
        }
    }

    fn apply(&mut self, event: &Event) -> Done {
        match event {
            Event::Admitted => self.admitted(),
            Event::SkipRequested { reason } => self.skip_job(reason),
            Event::ConditionEvaluated { task, visit, outcome } => self.condition_evaluated(*task, *visit, outcome),
            Event::AttemptLeased { attempt } => self.leased(*attempt),
            Event::AttemptStarted { attempt } => self.started(*attempt),
            Event::AttemptFinished { attempt, result, failure, retry_after } => {
                self.retry_after = retry_after.unwrap_or_default();
                self.finished(*attempt, *result, failure.clone())
            }
            Event::AttemptWaiting { attempt, reason } => self.waiting(*attempt, reason),
            Event::ItemsExpanded { task, visit, outcome } => self.items_expanded(*task, *visit, outcome),
            Event::WakeRequested { task } => self.wake_requested(*task),
            Event::AttemptReturned { attempt } => self.returned(*attempt),
            Event::AttemptInterrupted { attempt } => self.interrupted(*attempt),
            Event::AttemptOverBudget { attempt, result, failure } => self.over_budget(*attempt, *result, failure),
            Event::BudgetUsedUp { reason, fail } => self.budget_used_up(reason, *fail),
            Event::TimerFired { timer } => match *timer {
                Timer::JobTimeout { job_attempt } => self.job_timed_out(job_attempt),
                Timer::JobRetry { job_attempt } => self.job_retry_due(job_attempt),
                timer @ Timer::TaskRetry { task, .. } => self.retry_due(task.into(), timer),
                timer @ Timer::InstanceRetry { task, instance, .. } => {
                    self.retry_due(Unit { task, instance: Some(instance) }, timer)
                }
                Timer::Resume { pause } => self.resume_due(pause),
                // What a waiting attempt ends with comes with its result.
                Timer::AttemptWait { .. } => Ok(()),
                Timer::QueueTimeout { attempt } => self.queue_timed_out(attempt),
            },
            Event::CancelRequested { reason, force } => self.cancel(reason, *force),
            Event::PauseRequested => self.pause_requested(),
            Event::ResumeRequested => self.resume_requested(),
            Event::RetryFailedRequested => self.retry_failed_requested(),
            Event::RerunRequested { task } => self.rerun_requested(*task),
            Event::TasksAdopted { nonce, kept, culprit } => self.tasks_adopted(nonce, kept, *culprit),
        }
    }

    /// Decides joins and ends of phases until nothing follows any more.
    fn settle_down(&mut self) -> Done {
        loop {
            while let Some(task) = self.joins.pop_front() {
                self.decide_join(task)?;
            }
            while let Some(task) = self.touched.pop() {
                self.refresh_fan(task)?;
            }
            if !self.conclude()? {
                break;
            }
        }
        self.update_job_state()?;
        self.update_clock();
        Ok(())
    }

    pub(super) fn task(&self, task: TaskIndex) -> &TaskRun {
        &self.run.tasks[task.0 as usize]
    }

    pub(super) fn task_mut(&mut self, task: TaskIndex) -> &mut TaskRun {
        &mut self.run.tasks[task.0 as usize]
    }

    pub(super) fn course(&self, unit: Unit) -> &Course {
        let task = self.task(unit.task);
        match unit.instance.and_then(|index| task.fan.as_ref()?.instance(index)) {
            Some(instance) => &instance.course,
            None => &task.course,
        }
    }

    pub(super) fn course_mut(&mut self, unit: Unit) -> &mut Course {
        let TaskRun { course, fan, .. } = self.task_mut(unit.task);
        match unit.instance.and_then(|index| fan.as_mut()?.instances.get_mut(index as usize)) {
            Some(instance) => &mut instance.course,
            None => course,
        }
    }

    pub(super) fn unit_state(&self, unit: Unit) -> TaskState {
        let task = self.task(unit.task);
        unit.instance.and_then(|index| task.fan.as_ref()?.instance(index)).map_or(task.state, |instance| instance.state)
    }

    /// A change of a task or an instance that is not settling.
    pub(super) fn set_unit_state(&mut self, unit: Unit, to: TaskState) -> Done {
        match unit.instance {
            Some(index) => self.set_instance_state(unit.task, index, to),
            None => self.set_task_state(unit.task, to),
        }
    }

    pub(super) fn plan_task(&self, task: TaskIndex) -> &'a PlanTask {
        self.plan.task(task)
    }

    pub(super) fn loop_mut(&mut self, index: usize) -> &mut LoopRun {
        &mut self.run.loops[index]
    }

    pub(super) fn emit(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn set_job_state(&mut self, to: JobState, reason: Option<String>) -> Done {
        let from = self.run.state;
        if !job_may(from, to) {
            return Err(illegal("a job", from.as_str(), to.as_str()));
        }
        self.run.state = to;
        self.emit(Effect::JobChanged { from, to, reason });
        Ok(())
    }

    /// A change of a task that is not settling.
    pub(super) fn set_task_state(&mut self, task: TaskIndex, to: TaskState) -> Done {
        self.settle_task_state(task, to, None, None, None, false)
    }

    pub(super) fn settle_task_state(
        &mut self,
        task: TaskIndex,
        to: TaskState,
        result: Option<AttemptResult>,
        skip_reason: Option<SkipReason>,
        failure: Option<Failure>,
        handled: bool,
    ) -> Done {
        let (from, visit) = (self.task(task).state, self.task(task).visit);
        if !task_may(from, to) {
            return Err(illegal(&format!("task \"{}\"", self.plan.task_name(task)), from.as_str(), to.as_str()));
        }
        self.task_mut(task).state = to;
        match (is_open(from), is_open(to)) {
            (false, true) => self.run.open_tasks += 1,
            (true, false) => self.run.open_tasks -= 1,
            _ => {}
        }
        if to == TaskState::Waiting {
            self.run.waiting.insert(task);
        } else if from == TaskState::Waiting {
            self.run.waiting.remove(&task);
        }
        self.emit(Effect::TaskChanged { task, visit, from, to, result, skip_reason, failure, handled });
        Ok(())
    }

    pub(super) fn set_attempt_state(&mut self, number: AttemptNumber, to: AttemptState) -> Done {
        let attempt = &mut self.run.attempts[number.0 as usize - 1];
        let from = attempt.state;
        if !attempt_may(from, to) {
            return Err(EngineError::IllegalTransition { attempt: number, from, to });
        }
        // One that waits does not keep its job RUNNING.
        match (from, to) {
            (AttemptState::Waiting, _) => {}
            (_, AttemptState::Finished | AttemptState::Waiting) => self.run.active_attempts -= 1,
            _ => {}
        }
        attempt.state = to;
        Ok(())
    }

    /// RUNNING while an attempt is ready, leased or running, else WAITING.
    fn update_job_state(&mut self) -> Done {
        if matches!(self.run.phase, Phase::Before | Phase::Over) || self.run.state == JobState::Cancelling {
            return Ok(());
        }
        if self.run.pause.active {
            return Ok(());
        }
        let busy = self.run.active_attempts > 0 || self.run.conditions > 0;
        let wanted = if busy { JobState::Running } else { JobState::Waiting };
        let next_due = self.run.next.as_ref().and_then(|next| next.due);
        if wanted == self.run.state && (wanted == JobState::Running || next_due.is_some()) {
            return Ok(());
        }
        let reason = match (wanted, next_due) {
            (JobState::Running, _) => None,
            (_, Some(due)) => Some(format!("job attempt {} begins at {}", self.run.job_attempt + 1, due.to_rfc3339())),
            _ => self.waits_for(),
        };
        if wanted == self.run.state {
            self.update_wait_reason(reason);
            return Ok(());
        }
        self.run.wait_reason.clone_from(&reason);
        self.set_job_state(wanted, reason)
    }
}

fn is_open(state: TaskState) -> bool {
    matches!(state, TaskState::Ready | TaskState::Leased | TaskState::Running | TaskState::Waiting)
}
