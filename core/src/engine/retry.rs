//! Further attempts of a visit: retries with their delays, and RESCHEDULE.

use std::time::Duration;

use super::attempts::default_failure;
use super::decide::{Done, Step};
use super::effect::Effect;
use super::error::EngineError;
use super::event::{TaskIndex, Timer};
use super::settle::Visit;
use super::status::{AttemptResult, ResultName, TaskState};
use super::units::{Hold, Unit};
use crate::graph::{DelayPlan, RetryPlan};
use crate::time::UnixMillis;

impl Step<'_> {
    pub(super) fn may_retry(&self, unit: Unit, visit: Visit) -> bool {
        matches!(visit, Visit::Ran { template_error: false } | Visit::Expired)
            && self.course(unit).retries_used < self.plan_task(unit.task).retry.retries
    }

    pub(super) fn retry(&mut self, unit: Unit) -> Done {
        let course = self.course_mut(unit);
        course.retries_used += 1;
        let used = course.retries_used;
        let salt = u64::from(unit.task.0) | unit.instance.map_or(0, |index| (u64::from(index) + 1) << 32);
        let delay = self.delay(&self.plan_task(unit.task).retry, used, salt);
        self.begin_attempt_at(unit, self.at.plus(delay.max(self.retry_after)))
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
    pub(super) fn reschedule(&mut self, unit: Unit, after: Duration, until: Duration) -> Done {
        // An attempt that could not be given to an ant counts from its end: it must not be repeated for ever.
        let at = self.at;
        let limit = self.course_mut(unit).visit_started.get_or_insert(at).plus(until);
        if self.at >= limit {
            let result = AttemptResult::Named(ResultName::Expired);
            return self.route_unit(unit, result, default_failure(result), Visit::Expired);
        }
        // The last attempt is made at the limit.
        self.begin_attempt_at(unit, self.at.plus(after.max(self.retry_after)).min(limit))
    }

    fn begin_attempt_at(&mut self, unit: Unit, due: UnixMillis) -> Done {
        if due <= self.at {
            return self.begin_attempt(unit);
        }
        if self.unit_state(unit) != TaskState::Waiting {
            self.set_unit_state(unit, TaskState::Waiting)?;
        }
        self.course_mut(unit).hold = Hold::Until(due);
        let timer = self.unit_timer(unit);
        self.emit(Effect::SetTimer { timer, due });
        Ok(())
    }

    pub(super) fn unit_timer(&self, unit: Unit) -> Timer {
        let Unit { task, instance } = unit;
        let (visit, attempt) = (self.task(task).visit, self.course(unit).task_attempt + 1);
        match instance {
            Some(instance) => Timer::InstanceRetry { task, visit, instance, attempt },
            None => Timer::TaskRetry { task, visit, attempt },
        }
    }

    /// What of the task waits for an instant goes on now.
    pub(super) fn wake_requested(&mut self, task: TaskIndex) -> Done {
        let Some(state) = self.run.tasks.get(task.0 as usize) else { return Err(EngineError::UnknownTask(task.0)) };
        let instances = state.fan.iter().flat_map(|fan| &fan.waiting);
        let waiting: Vec<Unit> = std::iter::once(Unit::from(task))
            .chain(instances.map(|index| Unit { task, instance: Some(*index) }))
            .filter(|unit| matches!(self.course(*unit).hold, Hold::Until(_)))
            .collect();
        if waiting.is_empty() {
            return Err(EngineError::NotWaiting(self.plan.task_name(task).to_owned()));
        }
        for unit in waiting {
            let timer = self.unit_timer(unit);
            self.emit(Effect::ClearTimer { timer });
            self.begin_attempt(unit)?;
        }
        Ok(())
    }

    /// Ignored when nothing waits for it; set again when it fired before its time.
    pub(super) fn retry_due(&mut self, unit: Unit, timer: Timer) -> Done {
        let known = match (self.run.tasks.get(unit.task.0 as usize), unit.instance) {
            (Some(state), Some(index)) => state.fan.as_ref().is_some_and(|fan| fan.instance(index).is_some()),
            (state, None) => state.is_some(),
            (None, Some(_)) => false,
        };
        if !known || timer != self.unit_timer(unit) {
            return Ok(());
        }
        let Hold::Until(due) = self.course(unit).hold else { return Ok(()) };
        if self.at < due {
            self.emit(Effect::SetTimer { timer, due });
            return Ok(());
        }
        self.begin_attempt(unit)
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
