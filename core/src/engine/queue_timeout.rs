//! `queue_timeout`: how long an attempt may be READY. Time in which the job is PAUSED does not count: the whole time
//! begins anew when it is resumed.

use super::decide::{Done, Step};
use super::effect::Effect;
use super::event::{AttemptNumber, TaskIndex, Timer};
use super::status::{AttemptResult, ResultName};

impl Step<'_> {
    /// The attempt is READY.
    pub(super) fn watch_queue(&mut self, attempt: AttemptNumber, task: TaskIndex) {
        let Some(timeout) = self.plan_task(task).queue_timeout else { return };
        let due = self.at.plus(timeout);
        self.run.queued.insert(attempt, due);
        if !self.run.pause.active {
            self.emit(Effect::SetTimer { timer: Timer::QueueTimeout { attempt }, due });
        }
    }

    /// The attempt is not READY any more.
    pub(super) fn unwatch_queue(&mut self, attempt: AttemptNumber) {
        if self.run.queued.remove(&attempt).is_some() {
            self.emit(Effect::ClearTimer { timer: Timer::QueueTimeout { attempt } });
        }
    }

    /// The pause is over.
    pub(super) fn watch_queue_anew(&mut self) {
        let queued: Vec<AttemptNumber> = self.run.queued.keys().copied().collect();
        for attempt in queued {
            if let Some(info) = self.run.attempt(attempt) {
                self.watch_queue(attempt, info.task);
            }
        }
    }

    /// Ignored when the attempt is not READY or the job is paused; set again when it fired before its time.
    pub(super) fn queue_timed_out(&mut self, attempt: AttemptNumber) -> Done {
        let Some(due) = self.run.queued.get(&attempt).copied().filter(|_| !self.run.pause.active) else {
            return Ok(());
        };
        if self.at < due {
            self.emit(Effect::SetTimer { timer: Timer::QueueTimeout { attempt }, due });
            return Ok(());
        }
        self.finished(attempt, AttemptResult::Named(ResultName::QueueTimedOut), None)
    }
}
