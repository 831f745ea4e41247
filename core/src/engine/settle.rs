//! From a result to a settled visit: which route is followed, and what its target means.

use super::decide::{Done, Step};
use super::effect::Effect;
use super::event::TaskIndex;
use super::routes::{Class, resolved, written_match, written_target};
use super::run::{Ending, Outcome, StopKind};
use super::status::{AgentClass, AttemptResult, Failure, JobState, SkipReason, TaskState};
use super::units::Hold;
use crate::definition::{RouteMatch, RouteTarget};
use crate::graph::{LoopIndex, PlanTarget, ROOT, names_result};

/// Where a result comes from; decides which routes make sense for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Visit {
    /// An attempt ended.
    Ran {
        /// A template error would come again.
        template_error: bool,
    },
    /// RESCHEDULE reached its limit.
    Expired,
    /// The condition or the items could not be evaluated, or there are no items.
    WithoutAttempt,
    /// All instances of a `fan_out` have settled.
    Fanned {
        /// Some instance failed.
        failed: bool,
    },
    /// The loop came round once too often; its header stands for it.
    LoopLimit(LoopIndex),
}

/// What a visit settles as.
struct Settlement {
    state: TaskState,
    ending: Ending,
    result: Option<AttemptResult>,
    failure: Option<Failure>,
    route: Option<usize>,
    end: Option<JobState>,
}

impl Step<'_> {
    /// A visit has a result while results are routed.
    pub(super) fn route(&mut self, task: TaskIndex, result: AttemptResult, failure: Failure, visit: Visit) -> Done {
        let class = Class::of(result);
        let first = self.find_route(task.into(), result, class, visit);
        if self.is_failure(task, result, class, first) && self.may_retry(task.into(), visit) {
            return self.retry(task.into());
        }
        self.follow(task, result, failure, class, first, visit)
    }

    /// Whether `retry` comes before the route. A route found by code, range or result name is a decision, unless it
    /// leads to failure itself or `retry_on` names the result.
    pub(super) fn is_failure(
        &self,
        task: TaskIndex,
        result: AttemptResult,
        class: Class,
        first: Option<usize>,
    ) -> bool {
        let plan = self.plan_task(task);
        if plan.retry.retry_on.iter().any(|matches| names_result(matches, result)) {
            return true;
        }
        let Some(route) = first.map(|index| &plan.routes[index]) else { return class == Class::Failed };
        let leads_to_failure = matches!(
            route.target,
            PlanTarget::Word(RouteTarget::Failed | RouteTarget::Error(_) | RouteTarget::RestartTask)
        );
        let direct = !matches!(route.matches, RouteMatch::Completed | RouteMatch::Failed | RouteMatch::Any);
        leads_to_failure || (class == Class::Failed && !direct)
    }

    fn follow(
        &mut self,
        task: TaskIndex,
        result: AttemptResult,
        failure: Failure,
        mut class: Class,
        first: Option<usize>,
        visit: Visit,
    ) -> Done {
        let plan = self.plan_task(task);
        let (mut next, mut failure) = (first, failure);
        let (mut tried_completed, mut tried_failed, mut allowed, mut coded) = (false, false, false, false);
        loop {
            let Some(index) = next else {
                if class == Class::Failed && plan.allow_failure && !tried_completed {
                    (allowed, tried_completed) = (true, true);
                    next = self.class_route(task.into(), Class::Completed, visit);
                    if next.is_some() {
                        continue;
                    }
                }
                let ending = match class {
                    Class::Completed => Ending::Completed,
                    Class::Failed if plan.allow_failure => Ending::Completed,
                    Class::Failed => Ending::Unrouted,
                };
                return self.settle(task, settlement(class, ending, result, failure, None, None), visit);
            };
            let route = &plan.routes[index];
            self.use_route(task, index);
            tried_completed |= route.matches == RouteMatch::Completed;
            tried_failed |= route.matches == RouteMatch::Failed;
            let handled = if class == Class::Completed || allowed { Ending::Completed } else { Ending::Handled };
            let word = match &route.target {
                PlanTarget::Tasks { .. } => {
                    return self.settle(task, settlement(class, handled, result, failure, Some(index), None), visit);
                }
                PlanTarget::Word(word) => word,
            };
            match word {
                RouteTarget::Completed => {
                    class = Class::Completed;
                    next = if tried_completed { None } else { self.class_route(task.into(), class, visit) };
                    tried_completed = true;
                }
                RouteTarget::Failed | RouteTarget::Error(_) | RouteTarget::RestartTask => {
                    // The first code is the most specific one: a FAILED route that comes after it does not replace it.
                    if let Some(code) = error_code(word)
                        && !coded
                    {
                        failure.code = code;
                        coded = true;
                    }
                    class = Class::Failed;
                    next = if tried_failed { None } else { self.class_route(task.into(), class, visit) };
                    tried_failed = true;
                }
                RouteTarget::EndCompleted | RouteTarget::EndFailed | RouteTarget::EndBlocked => {
                    let end = Some(end_state(word));
                    return self.settle(task, settlement(class, handled, result, failure, None, end), visit);
                }
                RouteTarget::Fatal | RouteTarget::RestartJob => return self.stop_by_route(task, result, failure, word),
                RouteTarget::PauseJob => return self.pause_by_task(task),
                RouteTarget::Reschedule { after, until } => {
                    return self.reschedule(task.into(), resolved(after), resolved(until));
                }
                RouteTarget::Tasks(_) => return Ok(()),
            }
        }
    }

    /// The condition was false: dependencies on it are satisfied and its COMPLETED route is followed.
    pub(super) fn skip_by_condition(&mut self, task: TaskIndex) -> Done {
        let plan = self.plan_task(task);
        let chosen = self.class_route(task.into(), Class::Completed, Visit::WithoutAttempt);
        if let Some(index) = chosen {
            self.use_route(task, index);
        }
        let (route, end) = match chosen.map(|index| (index, &plan.routes[index].target)) {
            Some((index, PlanTarget::Tasks { .. })) => (Some(index), None),
            Some((
                _,
                PlanTarget::Word(word @ (RouteTarget::EndCompleted | RouteTarget::EndFailed | RouteTarget::EndBlocked)),
            )) => (None, Some(end_state(word))),
            Some((_, PlanTarget::Word(word @ (RouteTarget::Fatal | RouteTarget::RestartJob)))) => {
                let settlement = Settlement { route: None, end: None, ..skipped_settlement() };
                self.record(task, settlement, true)?;
                return self.stop_for(task, None, word);
            }
            _ => (None, None),
        };
        self.record(task, Settlement { route, end, ..skipped_settlement() }, true)?;
        self.settled(task)
    }

    fn use_route(&mut self, task: TaskIndex, index: usize) {
        let route = &self.plan_task(task).routes[index];
        if let Some(limit) = route.limit {
            self.run.route_uses[limit.counter] += 1;
        }
        let effect = Effect::RouteTaken {
            task,
            visit: self.task(task).visit,
            matched: written_match(&route.matches),
            target: written_target(self.plan, &route.target),
        };
        self.emit(effect);
    }

    fn settle(&mut self, task: TaskIndex, settlement: Settlement, visit: Visit) -> Done {
        let plan = self.plan_task(task);
        let (unrouted, result) = (settlement.ending == Ending::Unrouted, settlement.result);
        self.record(task, settlement, false)?;
        if unrouted && !plan.always_run {
            self.loop_mut(plan.in_loop).failed = true;
            if self.plan.job.fail_fast {
                let cause = self.cause(task, result);
                return self.stop(StopKind::FailFast, cause);
            }
        }
        match visit {
            Visit::LoopLimit(index) => self.loop_ended(index),
            _ => self.settled(task),
        }
    }

    fn stop_by_route(&mut self, task: TaskIndex, result: AttemptResult, failure: Failure, word: &RouteTarget) -> Done {
        let settlement = settlement(Class::Failed, Ending::Unrouted, result, failure, None, None);
        self.record(task, settlement, false)?;
        self.stop_for(task, Some(result), word)
    }

    fn stop_for(&mut self, task: TaskIndex, result: Option<AttemptResult>, word: &RouteTarget) -> Done {
        let name = self.plan.task_name(task);
        let how = result.map_or_else(|| "was skipped".to_owned(), describe_result);
        let (kind, code, what) = if *word == RouteTarget::Fatal {
            (StopKind::Fatal, "FATAL", "its route is FATAL")
        } else {
            (StopKind::RestartJob, "RESTART_JOB", "its route restarts the job")
        };
        self.stop(kind, Failure { code: code.to_owned(), message: format!("task \"{name}\" {how} and {what}") })
    }

    /// A result that comes after the job was stopped, or in the final phase: recorded, not routed.
    pub(super) fn record_result(
        &mut self,
        task: TaskIndex,
        state: TaskState,
        result: AttemptResult,
        failure: Failure,
    ) -> Done {
        let failure = (state != TaskState::Completed).then_some(failure);
        let settlement =
            Settlement { state, ending: Ending::Recorded, result: Some(result), failure, route: None, end: None };
        self.record(task, settlement, false)
    }

    fn record(&mut self, task: TaskIndex, settlement: Settlement, by_condition: bool) -> Done {
        let Settlement { state, ending, result, failure, route, end } = settlement;
        self.run.settlements += 1;
        let handled = state == TaskState::Failed && ending != Ending::Unrouted;
        let sequence = self.run.settlements;
        let entry = self.task_mut(task);
        entry.course.hold = Hold::None;
        entry.skipped = None;
        let visit = entry.visit;
        entry.outcome = Some(Outcome { visit, state, result, failure: failure.clone(), ending, route, end, sequence });
        let reason = by_condition.then_some(SkipReason::When);
        self.settle_task_state(task, state, result, reason, failure, handled)
    }

    /// Why the job fails, when this task is the reason.
    pub(super) fn cause(&self, task: TaskIndex, result: Option<AttemptResult>) -> Failure {
        let name = self.plan.task_name(task);
        let outcome = self.task(task).outcome.as_ref();
        let how = result.map_or_else(|| "was skipped".to_owned(), describe_result);
        let failure = outcome.and_then(|outcome| outcome.failure.clone());
        match (failure, outcome.and_then(|outcome| outcome.end)) {
            (_, Some(JobState::Failed)) => Failure {
                code: "END_FAILED".to_owned(),
                message: format!("task \"{name}\" {how} and its route is END_FAILED"),
            },
            (Some(failure), _) if failure.code.starts_with("ERR_") => {
                Failure { message: format!("task \"{name}\" {how}: {}", failure.code), code: failure.code }
            }
            (Some(failure), _) => {
                let detail = match result {
                    _ if self.plan_task(task).fan_out.is_some() => format!(" ({})", failure.message),
                    Some(AttemptResult::Named(_)) => format!(" ({})", failure.message),
                    _ => String::new(),
                };
                let routed = outcome.is_some_and(|outcome| outcome.ending == Ending::Unrouted);
                let what = if routed { " and no route matched" } else { "" };
                Failure { code: failure.code, message: format!("task \"{name}\" {how}{what}{detail}") }
            }
            (None, _) => Failure { code: "FAILED".to_owned(), message: format!("task \"{name}\" {how}") },
        }
    }

    /// Whether the task belongs to no loop.
    pub(super) fn is_outside_loops(&self, task: TaskIndex) -> bool {
        self.plan_task(task).in_loop == ROOT
    }
}

fn settlement(
    class: Class,
    ending: Ending,
    result: AttemptResult,
    failure: Failure,
    route: Option<usize>,
    end: Option<JobState>,
) -> Settlement {
    let (state, failure) = match class {
        Class::Completed => (TaskState::Completed, None),
        Class::Failed => (TaskState::Failed, Some(failure)),
    };
    Settlement { state, ending, result: Some(result), failure, route, end }
}

fn skipped_settlement() -> Settlement {
    Settlement {
        state: TaskState::Skipped,
        ending: Ending::Completed,
        result: None,
        failure: None,
        route: None,
        end: None,
    }
}

fn error_code(word: &RouteTarget) -> Option<String> {
    match word {
        RouteTarget::Error(code) => Some(code.clone()),
        RouteTarget::RestartTask => Some("ERR_RESTART_TASK".to_owned()),
        _ => None,
    }
}

fn end_state(word: &RouteTarget) -> JobState {
    match word {
        RouteTarget::EndFailed => JobState::Failed,
        RouteTarget::EndBlocked => JobState::Blocked,
        _ => JobState::Completed,
    }
}

/// "failed with exit code 3", "ended with TIMED_OUT".
pub(super) fn describe_result(result: AttemptResult) -> String {
    match result {
        AttemptResult::Exit(0) | AttemptResult::Agent(AgentClass::Done) => "completed".to_owned(),
        AttemptResult::Exit(code) => format!("failed with exit code {code}"),
        AttemptResult::Http(status) if result.is_success() => format!("completed with HTTP status {status}"),
        AttemptResult::Http(status) => format!("failed with HTTP status {status}"),
        AttemptResult::Agent(_) | AttemptResult::Named(_) => format!("ended with {}", result.as_str()),
    }
}
