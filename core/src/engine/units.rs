//! What attempts are made for: a task, or one instance of its `fan_out`, each with its own course of attempts.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::event::{AttemptNumber, TaskIndex};
use super::status::{AttemptResult, Failure, TaskState};
use crate::time::UnixMillis;

/// A task, or one instance of its `fan_out`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) task: TaskIndex,
    pub(super) instance: Option<u32>,
}

impl From<TaskIndex> for Unit {
    fn from(task: TaskIndex) -> Self {
        Self { task, instance: None }
    }
}

/// The attempts of one visit, one after another.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Course {
    /// Attempts of the visit.
    pub(super) task_attempt: u32,
    pub(super) retries_used: u32,
    pub(super) interruptions: u32,
    /// Times that a LOST attempt was repeated in the final phase.
    pub(super) lost_repeats: u32,
    /// The newest attempt, of an earlier visit before this one has its first.
    pub(super) current: Option<AttemptNumber>,
    /// When the visit's first attempt was given to an ant.
    pub(super) visit_started: Option<UnixMillis>,
    /// Why it is WAITING or held back.
    pub(super) hold: Hold,
}

impl Course {
    /// The course of the visit after this one.
    pub(super) fn next_visit(&self) -> Self {
        Self { current: self.current, ..Self::default() }
    }
}

/// What a task or an instance waits for that is not an ant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Hold {
    #[default]
    None,
    /// Its condition is being evaluated.
    Condition,
    /// Its items are being evaluated.
    Items,
    /// WAITING for this instant.
    Until(UnixMillis),
    /// WAITING since it paused the job, or since its time came while the job was paused.
    Resume,
    /// PENDING: it would start if the job were not paused.
    Start,
}

/// The instances of one visit of a `fan_out`. The sets and counts follow from the states of the instances, so that no
/// event has to look at all of them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct FanRun {
    pub(super) instances: Vec<Instance>,
    /// PENDING: they wait for a place.
    pub(super) pending: BTreeSet<u32>,
    pub(super) waiting: BTreeSet<u32>,
    /// Failed for good, without those that `allow_failure` lets pass.
    pub(super) failed: BTreeSet<u32>,
    pub(super) cancelled: BTreeSet<u32>,
    pub(super) ready: u32,
    /// LEASED or RUNNING.
    pub(super) running: u32,
    /// Attempts without a result.
    pub(super) open_attempts: u32,
    /// What is left was told to stop.
    pub(super) halted: bool,
    /// The pause will start what waits for a place.
    pub(super) held: bool,
    /// The items of an earlier visit: what did not complete in it begins again with the next.
    pub(super) kept: bool,
}

/// One instance of a `fan_out`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Instance {
    pub(super) state: TaskState,
    pub(super) course: Course,
    pub(super) result: Option<AttemptResult>,
    pub(super) failure: Option<Failure>,
    /// It failed and counts as completed.
    pub(super) allowed: bool,
    /// Its uses of routes with a `max`, by counter.
    pub(super) uses: Vec<(usize, u32)>,
}

impl FanRun {
    pub(super) fn new(items: u32) -> Self {
        let instance = Instance {
            state: TaskState::Pending,
            course: Course::default(),
            result: None,
            failure: None,
            allowed: false,
            uses: Vec::new(),
        };
        Self { instances: vec![instance; items as usize], pending: (0..items).collect(), ..Self::default() }
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.instances.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn instance(&self, index: u32) -> Option<&Instance> {
        self.instances.get(index as usize)
    }

    /// Instances that have not settled.
    pub(super) fn unsettled(&self) -> u32 {
        self.ready + self.running + count(&self.pending) + count(&self.waiting)
    }

    /// Instances that completed, or failed under `allow_failure`.
    pub(super) fn completed(&self) -> u32 {
        self.len() - self.unsettled() - count(&self.failed) - count(&self.cancelled)
    }

    /// Changes the state of an instance whose other fields are up to date.
    pub(super) fn change(&mut self, index: u32, to: TaskState) {
        let Some(instance) = self.instances.get_mut(index as usize) else { return };
        let from = std::mem::replace(&mut instance.state, to);
        let allowed = instance.allowed;
        match from {
            TaskState::Ready => self.ready -= 1,
            TaskState::Leased | TaskState::Running => self.running -= 1,
            state => {
                if let Some(set) = self.set_of(state, false) {
                    set.remove(&index);
                }
            }
        }
        match to {
            TaskState::Ready => self.ready += 1,
            TaskState::Leased | TaskState::Running => self.running += 1,
            state => {
                if let Some(set) = self.set_of(state, allowed) {
                    set.insert(index);
                }
            }
        }
    }

    fn set_of(&mut self, state: TaskState, allowed: bool) -> Option<&mut BTreeSet<u32>> {
        match state {
            TaskState::Pending => Some(&mut self.pending),
            TaskState::Waiting => Some(&mut self.waiting),
            TaskState::Failed if !allowed => Some(&mut self.failed),
            TaskState::Cancelled => Some(&mut self.cancelled),
            _ => None,
        }
    }
}

fn count(set: &BTreeSet<u32>) -> u32 {
    u32::try_from(set.len()).unwrap_or(u32::MAX)
}
