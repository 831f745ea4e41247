//! Job attempts: the first one, retries, and the commands on jobs that are over.

use std::collections::HashSet;

use super::decide::{Done, Step};
use super::effect::Effect;
use super::error::EngineError;
use super::event::{TaskIndex, Timer};
use super::routes::Class;
use super::run::{Adoption, EdgeValue, Ending, NextAttempt, NextFrom, Phase, TaskRun};
use super::settle::Visit;
use super::status::{Failure, JobState, SkipReason, TaskState};
use super::units::FanRun;
use crate::graph::{Edge, EdgeKind, PlanTarget, ROOT};

/// What becomes of a task that completed after its job attempt was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Late {
    /// It is kept, with this route to tasks.
    Kept(Option<usize>),
    /// It is done again.
    Again,
}

impl Step<'_> {
    /// A PENDING job begins; any other that lives ignores it.
    pub(super) fn admitted(&mut self) -> Done {
        match self.run.phase {
            Phase::Over => Err(EngineError::JobTerminal(self.run.state)),
            Phase::Before => {
                self.set_job_state(JobState::Running, None)?;
                self.begin_next_attempt()
            }
            _ => Ok(()),
        }
    }

    /// `skip_if`: the job is over before anything was decided about its tasks; they stay PENDING.
    pub(super) fn skip_job(&mut self, reason: &str) -> Done {
        if self.run.phase != Phase::Before || self.run.job_attempt > 0 {
            return Err(EngineError::NotPending(self.run.state));
        }
        let failure = Failure { code: "SKIP_IF".to_owned(), message: reason.to_owned() };
        self.finish_job(JobState::Skipped, Some(failure))
    }

    pub(super) fn retry_failed_requested(&mut self) -> Done {
        self.refuse_unless_over()?;
        if self.run.state == JobState::Completed {
            return Err(EngineError::NothingToRetry(self.run.state));
        }
        self.await_admission(NextFrom::Failed, "retry of what failed was requested".to_owned())
    }

    pub(super) fn rerun_requested(&mut self, task: TaskIndex) -> Done {
        if task.0 as usize >= self.plan.len() {
            return Err(EngineError::UnknownTask(task.0));
        }
        self.refuse_unless_over()?;
        if self.run.job_attempt == 0 {
            return Err(EngineError::NothingToRetry(self.run.state));
        }
        self.await_admission(
            NextFrom::Task(task),
            format!("rerun from task \"{}\" was requested", self.plan.task_name(task)),
        )
    }

    pub(super) fn refuse_unless_over(&self) -> Done {
        match (self.run.phase, self.run.state) {
            (Phase::Over, JobState::Skipped) => Err(EngineError::NothingToRetry(JobState::Skipped)),
            (Phase::Over, _) => Ok(()),
            (_, state) => Err(EngineError::JobNotTerminal(state)),
        }
    }

    fn await_admission(&mut self, from: NextFrom, reason: String) -> Done {
        self.set_job_state(JobState::Pending, Some(reason))?;
        self.run.phase = Phase::Before;
        self.run.next = Some(NextAttempt { from, due: None, due_passed: false });
        self.run.any_started = false;
        Ok(())
    }

    /// Ignored when no job attempt waits for it; set again when it fired before its time.
    pub(super) fn job_retry_due(&mut self, job_attempt: u32) -> Done {
        let Some(next) = &mut self.run.next else { return Ok(()) };
        let Some(due) = next.due else { return Ok(()) };
        if self.run.phase != Phase::Between || job_attempt != self.run.job_attempt + 1 || next.due_passed {
            return Ok(());
        }
        if self.at < due {
            self.emit(Effect::SetTimer { timer: Timer::JobRetry { job_attempt }, due });
            return Ok(());
        }
        if self.run.pause.active {
            next.due_passed = true;
            return Ok(());
        }
        self.begin_next_attempt()
    }

    pub(super) fn begin_next_attempt(&mut self) -> Done {
        let from = self.run.next.take().map_or(NextFrom::Start, |next| next.from);
        let first = self.run.job_attempt == 0;
        let adoption = self.run.adoption.filter(|_| first);
        let from = match adoption {
            Some(Adoption { culprit }) => culprit.map_or(NextFrom::Failed, NextFrom::Task),
            // A cancelled PENDING job has no attempt that could be kept.
            None if first => NextFrom::Start,
            None => from,
        };
        let manual = self.run.phase == Phase::Before;
        let reset = match from {
            _ if adoption.is_some() => self.not_adopted(),
            NextFrom::Start => self.plan.tasks().collect::<HashSet<_>>(),
            NextFrom::Failed => self.affected(self.culprits()),
            NextFrom::Task(task) => self.affected(vec![task]),
        };
        self.run.job_attempt += 1;
        self.run.phase = Phase::Ordinary;
        (self.run.stop, self.run.verdict, self.run.forced) = (None, None, false);
        self.reset_clock();
        if from == NextFrom::Start {
            self.run.nonce = format!("{:08x}", self.entropy >> 32);
            self.run.any_started = false;
        }
        self.keep_recorded(&reset);
        let changed = self.reset_tasks(&reset, manual, from != NextFrom::Start);
        let (job_attempt, nonce) = (self.run.job_attempt, self.run.nonce.clone());
        self.emit(Effect::JobAttemptBegan { job_attempt, nonce, reset: changed });
        if let NextFrom::Task(task) = from {
            self.start_from(task)?;
        }
        let forced = |task: TaskIndex| from == NextFrom::Task(task) && !self.plan_task(task).always_run;
        let free: Vec<TaskIndex> = self
            .plan
            .tasks()
            .filter(|task| reset.contains(task) && self.task(*task).unresolved == 0 && !forced(*task))
            .collect();
        self.joins.extend(free);
        Ok(())
    }

    /// The tasks that made the attempt fail, be blocked or be cancelled.
    pub(super) fn culprits(&self) -> Vec<TaskIndex> {
        self.plan
            .tasks()
            .filter(|task| {
                let (plan, state) = (self.plan_task(*task), self.task(*task));
                if plan.always_run {
                    return false;
                }
                let Some(outcome) = &state.outcome else { return state.state == TaskState::Cancelled };
                let blocked = outcome.end == Some(JobState::Blocked);
                state.state == TaskState::Cancelled
                    || self.makes_job_fail(*task)
                    || blocked
                    || (outcome.ending == Ending::Recorded && self.late_route(*task) == Late::Again)
            })
            .collect()
    }

    /// How a task that completed after the stop goes on if it is kept: by no route, or by one to tasks. Everything else
    /// that was recorded only is done again.
    fn late_route(&self, task: TaskIndex) -> Late {
        let Some(outcome) = &self.task(task).outcome else { return Late::Again };
        let Some(result) = outcome.result else { return Late::Again };
        if outcome.state != TaskState::Completed || !self.is_outside_loops(task) {
            return Late::Again;
        }
        let route = self.find_route(task.into(), result, Class::Completed, Visit::Ran { template_error: false });
        match route.map(|route| &self.plan_task(task).routes[route].target) {
            None => Late::Kept(None),
            Some(PlanTarget::Tasks { .. }) => Late::Kept(route),
            Some(PlanTarget::Word(_)) => Late::Again,
        }
    }

    pub(super) fn keep_recorded(&mut self, reset: &HashSet<TaskIndex>) {
        for task in self.plan.tasks() {
            let recorded = self.task(task).outcome.as_ref().is_some_and(|outcome| outcome.ending == Ending::Recorded);
            if !recorded || reset.contains(&task) || self.plan_task(task).always_run {
                continue;
            }
            if let Late::Kept(route) = self.late_route(task)
                && let Some(outcome) = &mut self.task_mut(task).outcome
            {
                outcome.ending = Ending::Completed;
                outcome.route = route;
            }
        }
    }

    /// These tasks, the loops that they are in, and everything that follows from them.
    pub(super) fn affected(&self, culprits: Vec<TaskIndex>) -> HashSet<TaskIndex> {
        let mut affected: HashSet<TaskIndex> = culprits.iter().copied().collect();
        let mut stack = culprits;
        while let Some(task) = stack.pop() {
            let after = self.plan_task(task).outgoing.iter().map(|edge| self.plan.edges[*edge].to);
            let outermost = self.outermost_loop(task);
            let together: &[TaskIndex] = if outermost == ROOT { &[] } else { &self.plan.loops[outermost].tasks };
            for next in after.chain(together.iter().copied()) {
                if affected.insert(next) {
                    stack.push(next);
                }
            }
        }
        affected
    }

    fn outermost_loop(&self, task: TaskIndex) -> usize {
        let mut at = self.plan_task(task).in_loop;
        while at != ROOT && self.plan.loops[at].parent != ROOT {
            at = self.plan.loops[at].parent;
        }
        at
    }

    /// Makes the tasks PENDING again; the edges from those that are kept have the values that these give them.
    fn reset_tasks(&mut self, reset: &HashSet<TaskIndex>, manual: bool, keep_items: bool) -> Vec<TaskIndex> {
        let mut changed = Vec::new();
        for task in self.plan.tasks() {
            let plan = self.plan_task(task);
            // A command is a new attempt with a final phase of its own.
            let again = manual && plan.always_run;
            if !reset.contains(&task) && !again {
                continue;
            }
            if self.task(task).state != TaskState::Pending {
                changed.push(task);
            }
            let fan = if keep_items { self.kept_items(task, reset) } else { None };
            *self.task_mut(task) = TaskRun { left_to_final: !reset.contains(&task), fan, ..TaskRun::new() };
            for route in &plan.routes {
                if let Some(limit) = route.limit {
                    self.run.route_uses[limit.counter] = 0;
                }
            }
        }
        let mut unsettled = 0;
        for task in self.plan.tasks().filter(|task| reset.contains(task)) {
            let plan = self.plan_task(task);
            if plan.in_loop == ROOT && !plan.always_run {
                unsettled += 1;
            }
            for index in &plan.incoming {
                let edge = self.plan.edges[*index];
                self.run.edges[*index] =
                    if reset.contains(&edge.from) { EdgeValue::Unresolved } else { self.kept_value(*index, &edge) };
            }
            self.recount(task);
        }
        for child in &self.plan.loops[ROOT].children {
            if reset.contains(&self.plan.loops[*child].header) {
                self.enter_loop(*child);
                unsettled += 1;
            }
        }
        self.run.loops[ROOT].unsettled = unsettled;
        self.run.loops[ROOT].failed = false;
        changed
    }

    /// The items of a `fan_out` in which something failed, when nothing changed from which they may have come.
    fn kept_items(&mut self, task: TaskIndex, reset: &HashSet<TaskIndex>) -> Option<Box<FanRun>> {
        let mut fan = self.task_mut(task).fan.take()?;
        let plan = self.plan_task(task);
        let anew = plan.always_run
            || plan.in_loop != ROOT
            || plan.incoming.iter().any(|edge| reset.contains(&self.plan.edges[*edge].from));
        if anew || (fan.failed.is_empty() && fan.cancelled.is_empty()) {
            return None;
        }
        (fan.kept, fan.held) = (true, false);
        Some(fan)
    }

    fn kept_value(&self, index: usize, edge: &Edge) -> EdgeValue {
        if self.task(edge.from).left_to_final || self.task(edge.from).state == TaskState::Pending {
            return match self.run.edges[index] {
                EdgeValue::Unresolved => EdgeValue::Dead,
                value => value,
            };
        }
        self.outward_value(edge)
    }

    /// Rerun: the task starts as if all its edges had been taken. Its loops are in the middle of a round that began
    /// there, so that nothing else of them starts by itself.
    fn start_from(&mut self, task: TaskIndex) -> Done {
        let plan = self.plan_task(task);
        if plan.always_run {
            return Ok(());
        }
        for edge in &plan.incoming {
            self.run.edges[*edge] = EdgeValue::Taken;
        }
        self.recount(task);
        let mut at = plan.in_loop;
        let mut headers = Vec::new();
        while at != ROOT {
            let found = &self.plan.loops[at];
            for member in found.tasks.iter().filter(|member| **member != task) {
                for edge in &self.plan_task(*member).incoming {
                    let outside = !self.plan.contains(at, self.plan.edges[*edge].from);
                    if outside
                        && self.plan.edges[*edge].kind == EdgeKind::Route
                        && self.run.edges[*edge] != EdgeValue::Unresolved
                    {
                        self.run.edges[*edge] = EdgeValue::Dead;
                    }
                }
                self.recount(*member);
            }
            if found.header != task {
                headers.push(found.header);
            }
            at = found.parent;
        }
        self.start(task)?;
        for header in headers {
            self.skip(header, SkipReason::NotReached)?;
        }
        Ok(())
    }
}
