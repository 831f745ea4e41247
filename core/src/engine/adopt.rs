//! A job that runs another one again, with other params or a newer version: what that one completed is taken over.

use std::collections::HashSet;

use super::decide::{Done, Step};
use super::error::EngineError;
use super::event::{AdoptedTask, Event, TaskIndex};
use super::run::{Adoption, Ending, JobRun, NextAttempt, NextFrom, Outcome, Phase};
use super::status::{JobState, SkipReason, TaskState};
use crate::graph::{Plan, PlanTarget};

/// Why a job cannot be run again by another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdoptionError {
    /// The engine would refuse the same command for the job itself.
    #[error(transparent)]
    Refused(#[from] EngineError),
    /// Neither version has the task to start from.
    #[error("the new version has no task \"{0}\" to start from")]
    UnknownTask(String),
    /// A task whose results are kept does not exist any more.
    #[error("task \"{0}\" would be kept as it is, but the new version does not have it; start from an earlier task")]
    Missing(String),
    /// A task whose results are kept is another one now.
    #[error(
        "task \"{task}\" would be kept as it is, but {what} in the new version; rerun from it or from an earlier task"
    )]
    Changed {
        /// Its name.
        task: String,
        /// What is different.
        what: String,
    },
}

impl AdoptionError {
    /// The stable machine code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(error) => error.code(),
            Self::UnknownTask(_) => "UNKNOWN_TASK",
            Self::Missing(_) | Self::Changed { .. } => "NOT_ADOPTABLE",
        }
    }
}

impl JobRun {
    /// The event that makes a new job with plan `new` go on where this one, which is over, is started again: from the
    /// task of this name, or from what failed. Tasks are matched by name.
    pub fn adoption(&self, old: &Plan, new: &Plan, from: Option<&str>) -> Result<Event, AdoptionError> {
        let mut copy = self.clone();
        let mut step = Step::looking(old, &mut copy);
        step.refuse_unless_over()?;
        if step.run.job_attempt == 0 || (from.is_none() && step.run.state == JobState::Completed) {
            return Err(EngineError::NothingToRetry(step.run.state).into());
        }
        let culprit = match from {
            Some(name) => Some(new.task_index(name).ok_or_else(|| AdoptionError::UnknownTask(name.to_owned()))?),
            None => None,
        };
        let culprits = match from {
            Some(name) => old.task_index(name).into_iter().collect(),
            None => step.culprits(),
        };
        let reset = step.affected(culprits);
        step.keep_recorded(&reset);
        let mut kept = Vec::new();
        for task in old.tasks().filter(|task| !reset.contains(task) && !old.is_always_run(*task)) {
            let state = step.task(task).state;
            if state.is_settled() && state != TaskState::Cancelled && from != Some(old.task_name(task)) {
                kept.push(step.adopted(task, new)?);
            }
        }
        kept.sort_by_key(|adopted| adopted.task);
        let mut fresh = JobRun::new(new);
        let begins = Step::looking(new, &mut fresh).begins_without(&kept);
        if let Some(adopted) = kept.iter().find(|adopted| begins.contains(&adopted.task)) {
            return Err(changed(new.task_name(adopted.task), "it follows from a task that runs"));
        }
        Ok(Event::TasksAdopted { nonce: self.nonce.clone(), kept, culprit })
    }
}

fn changed(task: &str, what: &str) -> AdoptionError {
    AdoptionError::Changed { task: task.to_owned(), what: what.to_owned() }
}

/// What a task depends on, by name, and whether any outcome of it will do.
fn dependencies(plan: &Plan, task: TaskIndex) -> HashSet<(&str, bool)> {
    plan.dependencies(task).iter().map(|dependency| (plan.task_name(dependency.task), dependency.optional)).collect()
}

impl Step<'_> {
    /// How a settled task is in the new plan.
    fn adopted(&self, task: TaskIndex, new: &Plan) -> Result<AdoptedTask, AdoptionError> {
        let name = self.plan.task_name(task);
        let index = new.task_index(name).ok_or_else(|| AdoptionError::Missing(name.to_owned()))?;
        if new.is_always_run(index) {
            return Err(changed(name, "it is always_run"));
        }
        if dependencies(self.plan, task) != dependencies(new, index) {
            return Err(changed(name, "it has other dependencies"));
        }
        let state = self.task(task);
        let outcome = state.outcome.as_ref();
        let mut route = Vec::new();
        if let Some(PlanTarget::Tasks { tasks, .. }) =
            outcome.and_then(|outcome| outcome.route).map(|route| &self.plan_task(task).routes[route].target)
        {
            for target in tasks {
                let target = self.plan.task_name(*target);
                route.push(new.task_index(target).ok_or_else(|| changed(name, "the route that it took is gone"))?);
            }
        }
        if !route.is_empty() && route_to(new, index, &route).is_none() {
            return Err(changed(name, "the route that it took is gone"));
        }
        Ok(AdoptedTask {
            task: index,
            state: state.state,
            visit: outcome.map_or(0, |outcome| outcome.visit),
            result: outcome.and_then(|outcome| outcome.result),
            failure: outcome.and_then(|outcome| outcome.failure.clone()),
            skipped: state.skipped,
            ending: outcome.map(|outcome| outcome.ending),
            route,
            end: outcome.and_then(|outcome| outcome.end),
        })
    }

    /// What runs in a new job in which these tasks are settled.
    fn begins_without(&self, kept: &[AdoptedTask]) -> HashSet<TaskIndex> {
        let kept: HashSet<TaskIndex> = kept.iter().map(|adopted| adopted.task).collect();
        let others = self.plan.tasks().filter(|task| !kept.contains(task) && !self.plan_task(*task).always_run);
        self.affected(others.collect())
    }

    /// What the first attempt of a job that took tasks over begins with: everything that is not settled.
    pub(super) fn not_adopted(&self) -> HashSet<TaskIndex> {
        let open = |task: &TaskIndex| matches!(self.task(*task).state, TaskState::Pending | TaskState::Cancelled);
        let culprit = self.run.adoption.and_then(|adoption| adoption.culprit);
        let ordinary = self.plan.tasks().filter(|task| !self.plan_task(*task).always_run);
        self.affected(ordinary.filter(open).chain(culprit).collect())
    }

    pub(super) fn tasks_adopted(&mut self, nonce: &str, kept: &[AdoptedTask], culprit: Option<TaskIndex>) -> Done {
        if self.run.phase != Phase::Before || self.run.job_attempt > 0 || self.run.adoption.is_some() {
            return Err(EngineError::NotPending(self.run.state));
        }
        let routes = self.check_adopted(kept, culprit)?;
        nonce.clone_into(&mut self.run.nonce);
        self.run.adoption = Some(Adoption { culprit });
        let from = culprit.map_or(NextFrom::Failed, NextFrom::Task);
        self.run.next = Some(NextAttempt { from, due: None, due_passed: false });
        for (adopted, route) in kept.iter().zip(routes) {
            self.run.settlements += 1;
            let sequence = self.run.settlements;
            let AdoptedTask { task, visit, state, result, skipped, end, .. } = *adopted;
            let failure = adopted.failure.clone();
            let entry = self.task_mut(task);
            (entry.visit, entry.skipped) = (visit, skipped);
            entry.outcome = adopted.ending.map(|ending| Outcome {
                visit,
                state,
                result,
                failure: failure.clone(),
                ending,
                route,
                end,
                sequence,
            });
            // A task that its loop did not reach again has the state of the visit that it keeps.
            let reason = match (state, adopted.ending) {
                (TaskState::Skipped, Some(_)) => Some(SkipReason::When),
                (TaskState::Skipped, None) => skipped,
                _ => None,
            };
            let handled = state == TaskState::Failed && adopted.ending != Some(Ending::Unrouted);
            self.settle_task_state(task, state, result, reason, failure, handled)?;
        }
        Ok(())
    }

    /// The routes that were taken, or why these tasks cannot be taken over.
    fn check_adopted(
        &self,
        kept: &[AdoptedTask],
        culprit: Option<TaskIndex>,
    ) -> Result<Vec<Option<usize>>, EngineError> {
        let count = u32::try_from(self.plan.len()).unwrap_or(u32::MAX);
        if let Some(unknown) = kept.iter().map(|adopted| adopted.task).chain(culprit).find(|task| task.0 >= count) {
            return Err(EngineError::UnknownTask(unknown.0));
        }
        let mut routes = Vec::with_capacity(kept.len());
        let mut seen = HashSet::new();
        for adopted in kept {
            let refused = |why: &str| EngineError::NotAdoptable {
                task: self.plan.task_name(adopted.task).to_owned(),
                why: why.to_owned(),
            };
            if !seen.insert(adopted.task) {
                return Err(refused("it is listed twice"));
            }
            if self.plan.is_always_run(adopted.task) || culprit == Some(adopted.task) {
                return Err(refused("it runs again in any case"));
            }
            if !adopted.state.is_settled() || adopted.state == TaskState::Cancelled {
                return Err(refused("it has not settled"));
            }
            if adopted.ending.is_none() && (adopted.skipped.is_none() || adopted.state != TaskState::Skipped) {
                return Err(refused("it neither ran nor was it skipped"));
            }
            routes.push(match adopted.route.as_slice() {
                [] => None,
                targets => Some(
                    route_to(self.plan, adopted.task, targets)
                        .ok_or_else(|| refused("no route leads where it went"))?,
                ),
            });
        }
        let begins = self.begins_without(kept);
        if let Some(adopted) = kept.iter().find(|adopted| begins.contains(&adopted.task)) {
            let task = self.plan.task_name(adopted.task).to_owned();
            return Err(EngineError::NotAdoptable { task, why: "it follows from a task that runs".to_owned() });
        }
        Ok(routes)
    }
}

/// The task's route that leads to just these tasks.
fn route_to(plan: &Plan, task: TaskIndex, targets: &[TaskIndex]) -> Option<usize> {
    let wanted: HashSet<TaskIndex> = targets.iter().copied().collect();
    plan.task(task).routes.iter().position(|route| match &route.target {
        PlanTarget::Tasks { tasks, .. } => tasks.iter().copied().collect::<HashSet<_>>() == wanted,
        PlanTarget::Word(_) => false,
    })
}
