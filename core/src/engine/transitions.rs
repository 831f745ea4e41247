//! The transition table: every change of a job's, a task's or an attempt's state goes through here.

use super::error::EngineError;
use super::status::{AttemptState, JobState, TaskState};

/// Whether a job may go from one state to another.
pub(super) fn job_may(from: JobState, to: JobState) -> bool {
    use JobState::{Blocked, Cancelled, Cancelling, Completed, Failed, Paused, Pending, Running, Skipped, Waiting};
    match from {
        Pending => matches!(to, Running | Cancelled | Skipped),
        Running => matches!(to, Waiting | Paused | Cancelling | Completed | Failed | Blocked | Cancelled),
        Waiting => matches!(to, Running | Paused | Cancelling | Completed | Failed | Blocked | Cancelled),
        // A FATAL result ends a paused job; a resume may find nothing left to do.
        Paused => matches!(to, Running | Waiting | Cancelling | Completed | Failed | Blocked),
        Cancelling => matches!(to, Completed | Failed | Blocked | Cancelled),
        // Retry and rerun make a new job attempt, which waits for admission like a new job.
        Completed | Failed | Blocked | Cancelled => to == Pending,
        Skipped => false,
    }
}

/// Whether a task may go from one state to another.
pub(super) fn task_may(from: TaskState, to: TaskState) -> bool {
    use TaskState::{Cancelled, Completed, Failed, Leased, Pending, Ready, Running, Skipped, Waiting};
    match from {
        // COMPLETED and FAILED: the task keeps an earlier visit of its loop, or its condition could not be evaluated.
        // WAITING: the job was paused meanwhile.
        Pending => matches!(to, Ready | Waiting | Completed | Failed | Skipped | Cancelled),
        // READY: no ant took its attempt in time, and another follows at once. RUNNING: an instance was leased.
        Ready => matches!(to, Ready | Leased | Running | Waiting | Completed | Failed | Cancelled),
        // READY: returned, or interrupted and repeated.
        Leased | Running => {
            (from == Leased && to == Running) || matches!(to, Ready | Waiting | Completed | Failed | Cancelled)
        }
        // COMPLETED: what it waited for has come.
        Waiting => matches!(to, Ready | Completed | Failed | Cancelled),
        // PENDING: the next round. The others: the loop's limit, which a header that has settled stands for.
        Completed | Failed | Skipped => matches!(to, Pending | Completed | Failed),
        Cancelled => to == Pending,
    }
}

/// Whether an instance of a `fan_out` may go from one state to another.
pub(super) fn instance_may(from: TaskState, to: TaskState) -> bool {
    use TaskState::{Cancelled, Completed, Failed, Leased, Pending, Ready, Running, Skipped, Waiting};
    match from {
        Pending => matches!(to, Ready | Cancelled),
        // PENDING: its next attempt waits for a place.
        Ready => matches!(to, Ready | Leased | Waiting | Pending | Completed | Failed | Cancelled),
        Leased | Running => {
            (from == Leased && to == Running)
                || matches!(to, Ready | Waiting | Pending | Completed | Failed | Cancelled)
        }
        Waiting => matches!(to, Ready | Pending | Completed | Failed | Cancelled),
        // It runs again: after PAUSE_JOB, or in a new job attempt that keeps the items.
        Failed | Cancelled => to == Pending,
        Completed | Skipped => false,
    }
}

/// Whether an attempt may go from one state to another.
pub(super) fn attempt_may(from: AttemptState, to: AttemptState) -> bool {
    use AttemptState::{Finished, Leased, Ready, Running, Waiting};
    match from {
        Ready => matches!(to, Leased | Finished),
        Leased => matches!(to, Ready | Running | Waiting | Finished),
        Running => matches!(to, Waiting | Finished),
        Waiting => to == Finished,
        Finished => false,
    }
}

/// The error for a change that the table does not know: a defect of the engine.
pub(super) fn illegal(what: &str, from: &str, to: &str) -> EngineError {
    EngineError::Internal(format!("{what} cannot go from {from} to {to}"))
}
