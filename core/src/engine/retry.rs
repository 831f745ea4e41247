//! Further attempts of a visit: retries with their delays, and RESCHEDULE.

use std::time::Duration;

use super::attempts::default_failure;
use super::decide::{Done, Step};
use super::effect::Effect;
use super::event::{TaskIndex, Timer};
use super::run::Hold;
use super::settle::Visit;
use super::status::{AttemptResult, ResultName, TaskState};
use crate::graph::{DelayPlan, RetryPlan};
use crate::time::UnixMillis;

impl Step<'_> {
    pub(super) fn may_retry(&self, task: TaskIndex, visit: Visit) -> bool {
        matches!(visit, Visit::Ran { template_error: false } | Visit::Expired)
            && self.task(task).retries_used < self.plan_task(task).retry.retries
    }

    pub(super) fn retry(&mut self, task: TaskIndex) -> Done {
        self.task_mut(task).retries_used += 1;
        let used = self.task(task).retries_used;
        let delay = self.delay(&self.plan_task(task).retry, used, u64::from(task.0));
        self.begin_attempt_at(task, self.at.plus(delay))
    }

    /// The delay before the n-th extra attempt. Full jitter: uniform from nothing to the whole delay.
    pub(super) fn delay(&self, retry: &RetryPlan, nth: u32, salt: u64) -> Duration {
        match retry.delay {
            DelayPlan::Constant(delay) => delay,
            DelayPlan::Exponential { initial, factor, max, jitter } => {
                let exponent = i32::try_from(nth.saturating_sub(1)).unwrap_or(i32::MAX);
                let seconds = (initial.as_secs_f64() * factor.powi(exponent)).min(max.as_secs_f64());
                let share = if jitter { unit(mix(self.entropy ^ salt.rotate_left(32) ^ u64::from(nth))) } else { 1.0 };
                Duration::try_from_secs_f64(seconds * share).unwrap_or(max)
            }
        }
    }

    /// RESCHEDULE: "not yet".
    pub(super) fn reschedule(&mut self, task: TaskIndex, after: Duration, until: Duration) -> Done {
        // An attempt that could not be given to an ant counts from its end: it must not be repeated for ever.
        let at = self.at;
        let limit = self.task_mut(task).visit_started.get_or_insert(at).plus(until);
        if self.at >= limit {
            let result = AttemptResult::Named(ResultName::Expired);
            return self.route(task, result, default_failure(result), Visit::Expired);
        }
        // The last attempt is made at the limit.
        self.begin_attempt_at(task, self.at.plus(after).min(limit))
    }

    fn begin_attempt_at(&mut self, task: TaskIndex, due: UnixMillis) -> Done {
        if due <= self.at {
            return self.begin_attempt(task);
        }
        if self.task(task).state != TaskState::Waiting {
            self.set_task_state(task, TaskState::Waiting)?;
        }
        self.task_mut(task).hold = Hold::Until(due);
        let timer = self.task_timer(task);
        self.emit(Effect::SetTimer { timer, due });
        Ok(())
    }

    pub(super) fn task_timer(&self, task: TaskIndex) -> Timer {
        let state = self.task(task);
        Timer::TaskRetry { task, visit: state.visit, attempt: state.task_attempt + 1 }
    }

    /// Ignored when the task does not wait for it; set again when it fired before its time.
    pub(super) fn task_retry_due(&mut self, task: TaskIndex, visit: u32, attempt: u32) -> Done {
        let Some(state) = self.run.tasks.get(task.0 as usize) else { return Ok(()) };
        let Hold::Until(due) = state.hold else { return Ok(()) };
        let timer = Timer::TaskRetry { task, visit, attempt };
        if timer != self.task_timer(task) {
            return Ok(());
        }
        if self.at < due {
            self.emit(Effect::SetTimer { timer, due });
            return Ok(());
        }
        self.begin_attempt(task)
    }
}

/// SplitMix64's finalizer (Steele, Lea, Flood 2014): bits that look random for any input.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A number in `0.0..=1.0` from random bits.
fn unit(bits: u64) -> f64 {
    f64::from(u32::try_from(bits >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}
