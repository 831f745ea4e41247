//! Looking up routes, and how they are written.

use std::time::Duration;

use super::decide::Step;
use super::settle::Visit;
use super::status::AttemptResult;
use super::units::Unit;
use crate::definition::{Field, RouteMatch, RouteTarget};
use crate::graph::{Plan, PlanRoute, PlanTarget, names_result};

/// A time of a route. Templates are values when a job is made; a plan that nobody has made a job of waits for ever.
pub(super) fn resolved(field: &Field<Duration>) -> Duration {
    field.value().copied().unwrap_or(Duration::MAX)
}

/// How a result counts when nothing more exact is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Completed,
    Failed,
}

impl Class {
    pub(super) fn of(result: AttemptResult) -> Self {
        if result.is_success() { Self::Completed } else { Self::Failed }
    }
}

impl Step<'_> {
    /// The route for a result: exact code, range, result name, COMPLETED or FAILED, `*`.
    pub(super) fn find_route(&self, unit: Unit, result: AttemptResult, class: Class, visit: Visit) -> Option<usize> {
        let exact = |matches: &RouteMatch| matches!(matches, RouteMatch::Code(_)) && names_result(matches, result);
        let range = |matches: &RouteMatch| matches!(matches, RouteMatch::Range(..)) && names_result(matches, result);
        let named = |matches: &RouteMatch| {
            matches!(matches, RouteMatch::Result(_) | RouteMatch::Agent(_)) && names_result(matches, result)
        };
        self.first_route(unit, visit, exact)
            .or_else(|| self.first_route(unit, visit, range))
            .or_else(|| self.first_route(unit, visit, named))
            .or_else(|| self.class_route(unit, class, visit))
            .or_else(|| self.first_route(unit, visit, |matches| *matches == RouteMatch::Any))
    }

    /// The route of the word COMPLETED or FAILED.
    pub(super) fn class_route(&self, unit: Unit, class: Class, visit: Visit) -> Option<usize> {
        let wanted = match class {
            Class::Completed => RouteMatch::Completed,
            Class::Failed => RouteMatch::Failed,
        };
        self.first_route(unit, visit, |matches| *matches == wanted)
    }

    fn first_route(&self, unit: Unit, visit: Visit, fits: impl Fn(&RouteMatch) -> bool) -> Option<usize> {
        let routes = &self.plan_task(unit.task).routes;
        routes.iter().position(|route| fits(&route.matches) && self.is_usable(unit, route, visit))
    }

    fn is_usable(&self, unit: Unit, route: &PlanRoute, visit: Visit) -> bool {
        if route.limit.is_some_and(|limit| self.uses(unit, limit.counter) >= limit.max) {
            return false;
        }
        let again = matches!(
            route.target,
            PlanTarget::Word(RouteTarget::RestartTask | RouteTarget::PauseJob | RouteTarget::Reschedule { .. })
        );
        match visit {
            Visit::Ran { .. } => true,
            Visit::Expired => !matches!(route.target, PlanTarget::Word(RouteTarget::Reschedule { .. })),
            // There is no attempt that could be repeated.
            Visit::WithoutAttempt => !again,
            Visit::Fanned { failed } => match route.target {
                PlanTarget::Word(RouteTarget::Reschedule { .. }) => false,
                // It would have nothing to repeat.
                PlanTarget::Word(RouteTarget::PauseJob) => failed,
                _ => true,
            },
            Visit::LoopLimit(index) => match &route.target {
                PlanTarget::Tasks { tasks, .. } => !tasks.iter().any(|task| self.plan.contains(index, *task)),
                PlanTarget::Word(_) => !again,
            },
        }
    }
}

impl Step<'_> {
    /// Uses of a route with a `max`; those of an instance are its own.
    fn uses(&self, unit: Unit, counter: usize) -> u32 {
        let own = unit
            .instance
            .and_then(|index| self.fan(unit.task)?.instance(index))
            .map_or(0, |instance| instance.uses.iter().find(|(of, _)| *of == counter).map_or(0, |(_, uses)| *uses));
        self.run.route_uses[counter] + own
    }
}

/// A route's match as it is written.
pub(crate) fn written_match(matches: &RouteMatch) -> String {
    match matches {
        RouteMatch::Code(code) => code.to_string(),
        RouteMatch::Range(first, last) => format!("{first}-{last}"),
        RouteMatch::Result(name) => name.as_str().to_owned(),
        RouteMatch::Agent(class) => class.as_str().to_owned(),
        RouteMatch::Completed => "COMPLETED".to_owned(),
        RouteMatch::Failed => "FAILED".to_owned(),
        RouteMatch::Any => "*".to_owned(),
    }
}

/// A route's target as it is written; a list with commas.
pub(super) fn written_target(plan: &Plan, target: &PlanTarget) -> String {
    let word = match target {
        PlanTarget::Tasks { tasks, .. } => {
            return tasks.iter().map(|task| plan.task_name(*task)).collect::<Vec<_>>().join(", ");
        }
        PlanTarget::Word(word) => word,
    };
    match word {
        RouteTarget::Tasks(tasks) => return tasks.join(", "),
        RouteTarget::Error(code) => return code.clone(),
        RouteTarget::Completed => "COMPLETED",
        RouteTarget::Failed => "FAILED",
        RouteTarget::Fatal => "FATAL",
        RouteTarget::RestartTask => "RESTART_TASK",
        RouteTarget::RestartJob => "RESTART_JOB",
        RouteTarget::PauseJob => "PAUSE_JOB",
        RouteTarget::Reschedule { .. } => "RESCHEDULE",
        RouteTarget::EndCompleted => "END_COMPLETED",
        RouteTarget::EndFailed => "END_FAILED",
        RouteTarget::EndBlocked => "END_BLOCKED",
    }
    .to_owned()
}
