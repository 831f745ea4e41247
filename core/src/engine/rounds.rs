//! Loops run in rounds.

use super::decide::{Done, Step};
use super::event::TaskIndex;
use super::run::{EdgeValue, LoopRun};
use super::settle::Visit;
use super::status::{AttemptResult, Failure, ResultName, TaskState};
use crate::graph::{EdgeKind, LoopIndex, ROOT};

impl Step<'_> {
    /// A task or an inner loop of this loop has settled.
    pub(super) fn item_settled(&mut self, index: LoopIndex) -> Done {
        let state = self.loop_mut(index);
        state.unsettled -= 1;
        if state.unsettled == 0 && index != ROOT { self.round_over(index) } else { Ok(()) }
    }

    fn round_over(&mut self, index: LoopIndex) -> Done {
        let state = &self.run.loops[index];
        if state.back_taken.is_empty() || state.failed {
            return self.loop_ended(index);
        }
        let plan = &self.plan.loops[index];
        if state.starts < plan.max_visits {
            return self.next_round(index);
        }
        let failure = Failure {
            code: ResultName::LoopLimit.as_str().to_owned(),
            message: format!(
                "the loop of task \"{}\" came round again after {} visits",
                self.plan.task_name(plan.header),
                plan.max_visits
            ),
        };
        self.task_mut(plan.header).skipped = None;
        self.route(plan.header, AttemptResult::Named(ResultName::LoopLimit), failure, Visit::LoopLimit(index))
    }

    /// The edges out of the loop resolve.
    pub(super) fn loop_ended(&mut self, index: LoopIndex) -> Done {
        self.loop_mut(index).back_taken.clear();
        for edge in &self.plan.loops[index].exit_edges {
            let value = self.outward_value(&self.plan.edges[*edge]);
            self.arrive(*edge, value);
        }
        let parent = self.plan.loops[index].parent;
        if self.run.loops[index].failed {
            self.loop_mut(parent).failed = true;
        }
        self.item_settled(parent)
    }

    fn next_round(&mut self, index: LoopIndex) -> Done {
        let plan = &self.plan.loops[index];
        for child in &plan.children {
            self.enter_loop(*child);
        }
        let state = self.loop_mut(index);
        state.round += 1;
        state.failed = false;
        state.unsettled = items(plan.items);
        let back_taken = std::mem::take(&mut state.back_taken);
        for task in &plan.tasks {
            self.set_task_state(*task, TaskState::Pending)?;
            self.task_mut(*task).skipped = None;
            for edge in &self.plan_task(*task).incoming {
                let from_inside = self.plan.contains(index, self.plan.edges[*edge].from);
                if from_inside {
                    self.run.edges[*edge] = EdgeValue::Unresolved;
                } else if self.plan.edges[*edge].kind == EdgeKind::Route {
                    self.run.edges[*edge] = EdgeValue::Dead;
                }
            }
            self.recount(*task);
        }
        self.start_by(plan.header, &back_taken)?;
        let free: Vec<TaskIndex> = plan
            .tasks
            .iter()
            .copied()
            .filter(|task| *task != plan.header && self.task(*task).unresolved == 0)
            .collect();
        self.joins.extend(free);
        Ok(())
    }

    /// The loop and those inside it are as if they had never run.
    pub(super) fn enter_loop(&mut self, index: LoopIndex) {
        let plan = &self.plan.loops[index];
        self.run.loops[index] =
            LoopRun { unsettled: items(plan.items), entered: self.run.settlements, ..LoopRun::default() };
        for counter in &plan.counters {
            self.run.route_uses[*counter] = 0;
        }
        for child in &plan.children {
            self.enter_loop(*child);
        }
    }
}

fn items(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
