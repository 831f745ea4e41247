//! Edges and joins: what a settled task means for those after it, and when a task starts.

use super::decide::{Done, Step};
use super::effect::{Effect, RoutedFrom};
use super::event::TaskIndex;
use super::run::{EdgeValue, Ending, Outcome, Phase, TaskRun};
use super::settle::Visit;
use super::status::{AttemptResult, Failure, ResultName, SkipReason, TaskState};
use super::units::Hold;
use crate::graph::{Edge, EdgeIndex, EdgeKind, Plan, PlanTarget, ROOT};

impl Step<'_> {
    /// All forward edges into the task are resolved: it starts or is skipped.
    pub(super) fn decide_join(&mut self, task: TaskIndex) -> Done {
        let state = self.task(task);
        // One that is held has been decided already.
        if self.run.phase != Phase::Ordinary || state.state != TaskState::Pending || state.course.hold != Hold::None {
            return Ok(());
        }
        let (plan, state) = (self.plan_task(task), self.task(task));
        if plan.always_run {
            return if state.routes_taken > 0 && state.edges_failed == 0 {
                self.loop_mut(ROOT).unsettled += 1;
                self.start(task)
            } else {
                self.leave_to_final_phase(task);
                Ok(())
            };
        }
        if plan.incoming.is_empty() {
            return if plan.entry && self.run.loops[plan.in_loop].round == 0 {
                self.start(task)
            } else {
                self.skip(task, SkipReason::NotReached)
            };
        }
        let starts = if plan.has_route_edges { state.routes_taken > 0 } else { state.edges_missing == 0 };
        if state.edges_failed > 0 {
            self.skip(task, SkipReason::UpstreamFailed)
        } else if starts {
            self.start(task)
        } else {
            self.skip(task, SkipReason::NotReached)
        }
    }

    /// Starts a task by its forward edges.
    pub(super) fn start(&mut self, task: TaskIndex) -> Done {
        let plan = self.plan_task(task);
        let by = if plan.has_route_edges { EdgeKind::Route } else { EdgeKind::Dependency { optional: false } };
        let taken: Vec<EdgeIndex> = plan
            .incoming
            .iter()
            .copied()
            .filter(|edge| self.run.edges[*edge] == EdgeValue::Taken)
            .filter(|edge| (self.plan.edges[*edge].kind == EdgeKind::Route) == (by == EdgeKind::Route))
            .collect();
        self.start_by(task, &taken)
    }

    /// Starts a task by these edges: evaluates its condition first, waits while the job is paused.
    pub(super) fn start_by(&mut self, task: TaskIndex, taken: &[EdgeIndex]) -> Done {
        let in_loop = self.plan_task(task).in_loop;
        if in_loop != ROOT && self.plan.loops[in_loop].header == task {
            self.loop_mut(in_loop).starts += 1;
        }
        let routed_from = taken.iter().filter_map(|edge| self.routed_from(self.plan.edges[*edge].from)).collect();
        self.task_mut(task).routed_from = routed_from;
        self.go(task)
    }

    pub(super) fn go(&mut self, task: TaskIndex) -> Done {
        if self.run.pause.active {
            self.task_mut(task).course.hold = Hold::Start;
            self.run.pause.held.push(task);
            return Ok(());
        }
        if !self.plan_task(task).has_condition {
            return self.begin_visit(task);
        }
        self.task_mut(task).course.hold = Hold::Condition;
        self.run.conditions += 1;
        let visit = self.task(task).visit + 1;
        self.emit(Effect::EvaluateCondition { task, visit });
        Ok(())
    }

    pub(super) fn condition_evaluated(&mut self, task: TaskIndex, visit: u32, outcome: &Result<bool, String>) -> Done {
        let Some(state) = self.run.tasks.get(task.0 as usize) else {
            return Err(super::EngineError::UnknownTask(task.0));
        };
        if state.course.hold != Hold::Condition || state.visit + 1 != visit {
            return Ok(());
        }
        self.task_mut(task).course.hold = Hold::None;
        self.run.conditions -= 1;
        match outcome {
            Ok(true) => self.begin_visit(task),
            Ok(false) => self.skip_by_condition(task),
            Err(message) => {
                self.task_mut(task).visit += 1;
                let failure = Failure { code: "INVALID".to_owned(), message: format!("its condition: {message}") };
                self.route(task, AttemptResult::Named(ResultName::Invalid), failure, Visit::WithoutAttempt)
            }
        }
    }

    /// Skips a task that nothing leads to, or that an upstream failure rules out. One that ran in an earlier round of
    /// its loop keeps that visit.
    pub(super) fn skip(&mut self, task: TaskIndex, reason: SkipReason) -> Done {
        self.task_mut(task).skipped = Some(reason);
        match self.task(task).outcome.clone() {
            None => self.settle_task_state(task, TaskState::Skipped, None, Some(reason), None, false)?,
            Some(kept) => {
                let by_condition = (kept.state == TaskState::Skipped).then_some(SkipReason::When);
                let handled = kept.ending != Ending::Unrouted && kept.state == TaskState::Failed;
                self.settle_task_state(task, kept.state, kept.result, by_condition, kept.failure, handled)?;
            }
        }
        self.settled(task)
    }

    /// An `always_run` task that no route starts: nothing waits for it any more.
    fn leave_to_final_phase(&mut self, task: TaskIndex) {
        self.task_mut(task).left_to_final = true;
        for edge in &self.plan_task(task).outgoing {
            self.resolve(*edge, EdgeValue::Dead);
        }
    }

    /// The task has settled in this round: its edges resolve, and its loop may have ended its round.
    pub(super) fn settled(&mut self, task: TaskIndex) -> Done {
        if self.run.phase != Phase::Ordinary {
            return Ok(());
        }
        for index in &self.plan_task(task).outgoing {
            let edge = &self.plan.edges[*index];
            if edge.exits == ROOT {
                let value = current_value(self.plan, self.task(task), edge);
                self.arrive(*index, value);
            }
        }
        let in_loop = self.plan_task(task).in_loop;
        self.item_settled(in_loop)
    }

    /// A value reaches the end of an edge: a taken back edge is remembered for the end of the round.
    pub(super) fn arrive(&mut self, index: EdgeIndex, value: EdgeValue) {
        match self.plan.edges[index].back_of {
            None => self.resolve(index, value),
            Some(of) if value == EdgeValue::Taken => self.loop_mut(of).back_taken.push(index),
            Some(_) => {}
        }
    }

    fn resolve(&mut self, index: EdgeIndex, value: EdgeValue) {
        if self.run.edges[index] != EdgeValue::Unresolved {
            return;
        }
        self.run.edges[index] = value;
        let edge = self.plan.edges[index];
        let target = self.task_mut(edge.to);
        target.unresolved -= 1;
        count(target, edge.kind, value);
        if target.unresolved == 0 {
            self.joins.push_back(edge.to);
        }
    }

    /// Counts a task's join anew from the values of its edges.
    pub(super) fn recount(&mut self, task: TaskIndex) {
        let run = &mut *self.run;
        let state = &mut run.tasks[task.0 as usize];
        (state.unresolved, state.routes_taken, state.edges_failed, state.edges_missing) = (0, 0, 0, 0);
        for edge in &self.plan.task(task).incoming {
            match run.edges[*edge] {
                EdgeValue::Unresolved => state.unresolved += 1,
                value => count(state, self.plan.edges[*edge].kind, value),
            }
        }
    }

    /// The value of an edge that leaves a loop: by the latest visit of its source that ran since the loop was entered.
    pub(super) fn outward_value(&self, edge: &Edge) -> EdgeValue {
        let source = self.task(edge.from);
        match &source.outcome {
            Some(outcome) if outcome.sequence > self.run.loops[edge.exits].entered => {
                value_of(self.plan, outcome, edge)
            }
            _ => current_value(self.plan, source, edge),
        }
    }

    fn routed_from(&self, source: TaskIndex) -> Option<RoutedFrom> {
        let outcome = self.task(source).outcome.as_ref()?;
        Some(RoutedFrom {
            task: self.plan.task_name(source).to_owned(),
            visit: outcome.visit,
            exit_code: outcome.result.and_then(AttemptResult::exit_code),
            result: outcome.result.map_or(outcome.state.as_str(), AttemptResult::as_str).to_owned(),
        })
    }
}

fn count(target: &mut TaskRun, kind: EdgeKind, value: EdgeValue) {
    match (kind, value) {
        (EdgeKind::Route, EdgeValue::Taken) => target.routes_taken += 1,
        (EdgeKind::Route | EdgeKind::Dependency { optional: false }, EdgeValue::Failed) => target.edges_failed += 1,
        (EdgeKind::Dependency { optional: false }, EdgeValue::Dead) => target.edges_missing += 1,
        _ => {}
    }
}

/// The value of an edge by how its source settled in this round.
pub(super) fn current_value(plan: &Plan, source: &TaskRun, edge: &Edge) -> EdgeValue {
    match (source.skipped, &source.outcome) {
        (Some(SkipReason::UpstreamFailed), _) => EdgeValue::Failed,
        (None, Some(outcome)) => value_of(plan, outcome, edge),
        _ => EdgeValue::Dead,
    }
}

fn value_of(plan: &Plan, outcome: &Outcome, edge: &Edge) -> EdgeValue {
    let source = plan.task(edge.from);
    let allowed = source.allow_failure && outcome.ending != Ending::Recorded;
    match (edge.kind, outcome.ending) {
        (EdgeKind::Route, _) => {
            let chosen = outcome.route.map(|route| &source.routes[route].target);
            match chosen {
                Some(PlanTarget::Tasks { tasks, .. }) if tasks.contains(&edge.to) => EdgeValue::Taken,
                _ if outcome.ending == Ending::Unrouted => EdgeValue::Failed,
                _ => EdgeValue::Dead,
            }
        }
        (EdgeKind::Dependency { .. }, Ending::Unrouted) => EdgeValue::Failed,
        (EdgeKind::Dependency { .. }, Ending::Completed) => EdgeValue::Taken,
        (EdgeKind::Dependency { .. }, Ending::Handled) if allowed => EdgeValue::Taken,
        (EdgeKind::Dependency { .. }, Ending::Recorded) if outcome.state == TaskState::Completed => EdgeValue::Taken,
        (EdgeKind::Dependency { .. }, _) => EdgeValue::Dead,
    }
}
