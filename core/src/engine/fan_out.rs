//! `fan_out`: a visit is done once per item. Each instance has its own attempts, retries and reschedules; the task's
//! routes are looked up once, when all instances have settled.

use super::attempts::default_failure;
use super::decide::{Done, Step};
use super::effect::Effect;
use super::error::EngineError;
use super::event::{FanOutItem, TaskIndex};
use super::routes::{Class, resolved};
use super::run::Phase;
use super::settle::Visit;
use super::status::{AttemptResult, Failure, ResultName, TaskState};
use super::transitions::{illegal, instance_may};
use super::units::{FanRun, Hold, Unit};
use crate::definition::{RouteMatch, RouteTarget};
use crate::graph::PlanTarget;

/// What the routes make of an instance's result.
enum Fate {
    Completed,
    /// It failed and counts as completed.
    Allowed(Failure),
    Failed(Failure),
    /// This route begins another attempt.
    Again(usize),
}

impl Step<'_> {
    /// Asks for the items, or begins again with those of the earlier visit that are kept.
    pub(super) fn begin_fan_out(&mut self, task: TaskIndex) -> Done {
        let state = self.task_mut(task);
        if state.fan.as_ref().is_some_and(|fan| fan.kept) {
            state.visit += 1;
            state.course = state.course.next_visit();
            return self.begin_unfinished(task, true);
        }
        state.course.hold = Hold::Items;
        let visit = state.visit + 1;
        self.run.conditions += 1;
        self.emit(Effect::ExpandItems { task, visit });
        Ok(())
    }

    pub(super) fn items_expanded(
        &mut self,
        task: TaskIndex,
        visit: u32,
        outcome: &Result<Vec<FanOutItem>, String>,
    ) -> Done {
        let Some(state) = self.run.tasks.get_mut(task.0 as usize) else {
            return Err(EngineError::UnknownTask(task.0));
        };
        if state.course.hold != Hold::Items || state.visit + 1 != visit {
            return Ok(());
        }
        state.visit = visit;
        state.course = state.course.next_visit();
        let items = outcome.as_ref().map_or(0, |items| u32::try_from(items.len()).unwrap_or(u32::MAX));
        state.fan = Some(Box::new(FanRun::new(items)));
        self.run.conditions -= 1;
        match outcome {
            Ok(items) if !items.is_empty() => {
                self.touched.push(task);
                Ok(())
            }
            Ok(_) => {
                let result = AttemptResult::Exit(0);
                self.settle_without_attempt(task, TaskState::Completed, result, default_failure(result))
            }
            Err(message) => {
                let failure = Failure { code: "INVALID".to_owned(), message: format!("its fan_out: {message}") };
                self.settle_without_attempt(task, TaskState::Failed, AttemptResult::Named(ResultName::Invalid), failure)
            }
        }
    }

    fn settle_without_attempt(
        &mut self,
        task: TaskIndex,
        state: TaskState,
        result: AttemptResult,
        failure: Failure,
    ) -> Done {
        match self.run.phase {
            Phase::Ordinary => self.route(task, result, failure, Visit::WithoutAttempt),
            _ => self.record_result(task, state, result, failure),
        }
    }

    /// The instances that failed or were cancelled begin again, in a new visit from their first attempt.
    pub(super) fn begin_unfinished(&mut self, task: TaskIndex, new_visit: bool) -> Done {
        let Some(fan) = &mut self.task_mut(task).fan else { return Ok(()) };
        (fan.kept, fan.halted, fan.held) = (false, false, false);
        let again: Vec<u32> = fan.failed.union(&fan.cancelled).copied().collect();
        for index in again {
            if let Some(instance) = self.fan_mut(task).and_then(|fan| fan.instances.get_mut(index as usize)) {
                (instance.result, instance.failure) = (None, None);
                if new_visit {
                    instance.course = instance.course.next_visit();
                    instance.uses.clear();
                }
            }
            self.set_instance_state(task, index, TaskState::Pending)?;
        }
        self.touched.push(task);
        Ok(())
    }

    pub(super) fn fan(&self, task: TaskIndex) -> Option<&FanRun> {
        self.task(task).fan.as_deref()
    }

    pub(super) fn fan_mut(&mut self, task: TaskIndex) -> Option<&mut FanRun> {
        self.task_mut(task).fan.as_deref_mut()
    }

    /// Whether instances of the task are on their way.
    pub(super) fn is_fanned_out(&self, task: TaskIndex) -> bool {
        self.fan(task).is_some_and(|fan| fan.unsettled() > 0)
    }

    pub(super) fn set_instance_state(&mut self, task: TaskIndex, index: u32, to: TaskState) -> Done {
        let visit = self.task(task).visit;
        let name = &self.plan_task(task).name;
        let Some(fan) = self.fan_mut(task) else { return Err(illegal(name, "no fan_out", to.as_str())) };
        let from = fan.instance(index).map_or(TaskState::Skipped, |instance| instance.state);
        if !instance_may(from, to) {
            return Err(illegal(&format!("item {index} of task \"{name}\""), from.as_str(), to.as_str()));
        }
        fan.change(index, to);
        let instance = &fan.instances[index as usize];
        let (result, failure) = (instance.result, instance.failure.clone());
        if self.touched.last() != Some(&task) {
            self.touched.push(task);
        }
        self.emit(Effect::InstanceChanged { task, visit, instance: index, state: to, result, failure });
        Ok(())
    }

    /// Whether one more instance may have an attempt now.
    pub(super) fn has_place(&self, task: TaskIndex) -> bool {
        let most = self.plan_task(task).fan_out.and_then(|fan_out| fan_out.max_parallel).unwrap_or(u32::MAX);
        !self.run.pause.active && self.fan(task).is_some_and(|fan| fan.open_attempts < most)
    }

    /// The instance waits for a place.
    pub(super) fn queue_instance(&mut self, task: TaskIndex, index: u32) -> Done {
        let Some(fan) = self.fan_mut(task) else { return Ok(()) };
        let Some(instance) = fan.instances.get_mut(index as usize) else { return Ok(()) };
        instance.course.hold = Hold::None;
        if instance.state == TaskState::Pending {
            Ok(())
        } else {
            self.set_instance_state(task, index, TaskState::Pending)
        }
    }

    /// After what an event did to the instances: gives free places away and brings the task's own state up to date.
    pub(super) fn refresh_fan(&mut self, task: TaskIndex) -> Done {
        if self.task(task).state.is_settled() || !self.is_fanned_out(task) {
            return Ok(());
        }
        while self.has_place(task)
            && let Some(next) = self.fan(task).and_then(|fan| fan.pending.first().copied())
        {
            self.create_attempt(Unit { task, instance: Some(next) })?;
        }
        let paused = self.run.pause.active;
        let Some(fan) = self.fan_mut(task) else { return Ok(()) };
        let hold = paused && !fan.pending.is_empty() && !std::mem::replace(&mut fan.held, true);
        let state = match (fan.running, fan.ready) {
            (0, 0) => TaskState::Waiting,
            (0, _) => TaskState::Ready,
            _ => TaskState::Running,
        };
        if hold {
            self.run.pause.held.push(task);
        }
        if self.task(task).state == state { Ok(()) } else { self.set_task_state(task, state) }
    }

    /// An instance has a result while results are routed. Only what begins another attempt counts for it alone.
    pub(super) fn route_instance(
        &mut self,
        task: TaskIndex,
        index: u32,
        result: AttemptResult,
        failure: Failure,
        visit: Visit,
    ) -> Done {
        let unit = Unit { task, instance: Some(index) };
        let class = Class::of(result);
        let first = self.find_route(unit, result, class, visit);
        if self.is_failure(task, result, class, first) && self.may_retry(unit, visit) {
            return self.retry(unit);
        }
        match self.fate(unit, class, first, failure, visit) {
            Fate::Completed => self.settle_instance(task, index, TaskState::Completed, Some(result), None, false),
            Fate::Allowed(failure) => {
                self.settle_instance(task, index, TaskState::Failed, Some(result), Some(failure), true)
            }
            Fate::Failed(failure) => {
                self.settle_instance(task, index, TaskState::Failed, Some(result), Some(failure), false)
            }
            Fate::Again(route) => match &self.plan_task(task).routes[route].target {
                PlanTarget::Word(RouteTarget::Reschedule { after, until }) => {
                    self.use_instance_route(unit, route);
                    self.reschedule(unit, resolved(after), resolved(until))
                }
                _ => Ok(()),
            },
        }
    }

    /// Follows the words COMPLETED and FAILED as a task would, up to a route that is none of the instance's business.
    fn fate(&mut self, unit: Unit, class: Class, first: Option<usize>, mut failure: Failure, visit: Visit) -> Fate {
        let plan = self.plan_task(unit.task);
        let (mut now, mut next) = (class, first);
        let (mut tried_completed, mut tried_failed, mut restarted, mut allowed) = (false, false, false, false);
        loop {
            let Some(index) = next else {
                if now == Class::Failed && plan.allow_failure && !allowed {
                    allowed = true;
                    next = if tried_completed { None } else { self.class_route(unit, Class::Completed, visit) };
                    tried_completed = true;
                    continue;
                }
                break;
            };
            let route = &plan.routes[index];
            tried_completed |= route.matches == RouteMatch::Completed;
            tried_failed |= route.matches == RouteMatch::Failed;
            match &route.target {
                PlanTarget::Word(RouteTarget::Reschedule { .. }) => return Fate::Again(index),
                PlanTarget::Word(RouteTarget::Completed) => {
                    now = Class::Completed;
                    next = if tried_completed { None } else { self.class_route(unit, now, visit) };
                    tried_completed = true;
                }
                PlanTarget::Word(word @ (RouteTarget::Failed | RouteTarget::Error(_) | RouteTarget::RestartTask)) => {
                    if *word == RouteTarget::RestartTask && !restarted {
                        restarted = true;
                        self.use_instance_route(unit, index);
                        "ERR_RESTART_TASK".clone_into(&mut failure.code);
                    }
                    now = Class::Failed;
                    next = if tried_failed { None } else { self.class_route(unit, now, visit) };
                    tried_failed = true;
                }
                PlanTarget::Tasks { .. } | PlanTarget::Word(_) => break,
            }
        }
        match restarted || class == Class::Failed {
            true if allowed => Fate::Allowed(failure),
            true => Fate::Failed(failure),
            false => Fate::Completed,
        }
    }

    fn use_instance_route(&mut self, unit: Unit, route: usize) {
        let Some(limit) = self.plan_task(unit.task).routes[route].limit else { return };
        let Some(index) = unit.instance else { return };
        let Some(instance) = self.fan_mut(unit.task).and_then(|fan| fan.instances.get_mut(index as usize)) else {
            return;
        };
        match instance.uses.iter_mut().find(|(counter, _)| *counter == limit.counter) {
            Some((_, uses)) => *uses += 1,
            None => instance.uses.push((limit.counter, 1)),
        }
    }

    pub(super) fn settle_instance(
        &mut self,
        task: TaskIndex,
        index: u32,
        state: TaskState,
        result: Option<AttemptResult>,
        failure: Option<Failure>,
        allowed: bool,
    ) -> Done {
        let Some(fan) = self.fan_mut(task) else { return Ok(()) };
        let Some(instance) = fan.instances.get_mut(index as usize) else { return Ok(()) };
        instance.course.hold = Hold::None;
        (instance.result, instance.failure, instance.allowed) = (result, failure, allowed);
        let halted = fan.halted;
        self.set_instance_state(task, index, state)?;
        let fail_fast = self.plan_task(task).fan_out.is_some_and(|fan_out| fan_out.fail_fast);
        if !self.is_fanned_out(task) {
            return self.fan_settled(task);
        }
        if fail_fast && !halted && !allowed && state == TaskState::Failed {
            return self.halt_fan(task, &format!("item {index} failed and fail_fast of the fan_out is set"));
        }
        Ok(())
    }

    /// All instances have settled: now the task has a result.
    fn fan_settled(&mut self, task: TaskIndex) -> Done {
        let Some(fan) = self.fan(task) else { return Ok(()) };
        let failed = fan.failed.first().and_then(|index| Some((*index, fan.instance(*index)?)));
        let (state, result, failure) = match failed {
            Some((index, instance)) => {
                let result = instance.result.unwrap_or(AttemptResult::Named(ResultName::Invalid));
                let failure = instance.failure.clone().unwrap_or_else(|| default_failure(result));
                let message = format!("item {index} of {}: {}", fan.len(), failure.message);
                (TaskState::Failed, result, Failure { code: failure.code, message })
            }
            None if !fan.cancelled.is_empty() => {
                let result = AttemptResult::Named(ResultName::Cancelled);
                (TaskState::Cancelled, result, default_failure(result))
            }
            None => {
                let result = AttemptResult::Exit(0);
                (TaskState::Completed, result, default_failure(result))
            }
        };
        match self.run.phase {
            Phase::Ordinary => self.route(task, result, failure, Visit::Fanned { failed: state == TaskState::Failed }),
            _ => self.record_result(task, state, result, failure),
        }
    }

    /// Stops what is left: kills what ants have, cancels the rest.
    pub(super) fn halt_fan(&mut self, task: TaskIndex, reason: &str) -> Done {
        let Some(fan) = self.fan_mut(task) else { return Ok(()) };
        fan.halted = true;
        for index in 0..fan.len() {
            let state = self.fan(task).and_then(|fan| fan.instance(index)).map(|instance| instance.state);
            if let Some(state) = state.filter(|state| !state.is_settled()) {
                self.halt_unit(Unit { task, instance: Some(index) }, state, reason)?;
            }
        }
        Ok(())
    }
}
