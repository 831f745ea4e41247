//! What the engine wants done. Effects are performed (and projected into rows) in the transaction that stores the event.

use serde::{Deserialize, Serialize};

use super::event::{AttemptNumber, TaskIndex, Timer};
use super::status::{AttemptResult, Failure, JobState, SkipReason, TaskState};
use crate::time::UnixMillis;

/// How many times the ant may die under one visit before its attempt is LOST.
pub const MAX_INTERRUPTIONS: u32 = 10;

/// Something that the engine decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Effect {
    /// The job changed state. A WAITING job that begins to wait for something else goes from WAITING to WAITING.
    JobChanged {
        /// Before.
        from: JobState,
        /// After.
        to: JobState,
        /// A sentence: why.
        reason: Option<String>,
    },
    /// A job attempt began (the first one too).
    JobAttemptBegan {
        /// From 1.
        job_attempt: u32,
        /// 8 hex digits; new for every job attempt that begins from the start.
        nonce: String,
        /// Tasks that are PENDING again (empty for the first attempt); their rows keep their history.
        reset: Vec<TaskIndex>,
    },
    /// The final verdict is known: the job is terminal.
    JobFinished {
        /// COMPLETED, FAILED, BLOCKED, CANCELLED or SKIPPED.
        verdict: JobState,
        /// The first cause, for FAILED, CANCELLED, SKIPPED.
        failure: Option<Failure>,
    },
    /// The verdict to come is known while always_run tasks still run (`JobResult`, `JobErrorCode` in templates).
    FinalPhaseBegan {
        /// The verdict to come.
        verdict: JobState,
        /// Its cause.
        failure: Option<Failure>,
    },
    /// A task changed state.
    TaskChanged {
        /// The task.
        task: TaskIndex,
        /// The visit, from 1; 0 for a task that was skipped or cancelled before its first visit.
        visit: u32,
        /// Before.
        from: TaskState,
        /// After.
        to: TaskState,
        /// For settled tasks that ran.
        result: Option<AttemptResult>,
        /// For SKIPPED.
        skip_reason: Option<SkipReason>,
        /// For FAILED.
        failure: Option<Failure>,
        /// A failure that `allow_failure` or a route handled.
        handled: bool,
    },
    /// A task chose a route.
    RouteTaken {
        /// The task.
        task: TaskIndex,
        /// Its visit.
        visit: u32,
        /// The entry that matched, as written (`3`, `64-78`, `TIMED_OUT`, `COMPLETED`, `*`).
        matched: String,
        /// The target as written: task names or a special word.
        target: String,
    },
    /// Evaluate the task's `when`; answer with [`super::Event::ConditionEvaluated`] in the same transaction.
    EvaluateCondition {
        /// The task.
        task: TaskIndex,
        /// The visit that would begin.
        visit: u32,
    },
    /// Evaluate the task's `fan_out.items`; answer with [`super::Event::ItemsExpanded`] in the same transaction. A visit
    /// that only repeats what failed of an earlier one keeps its items and does not ask.
    ExpandItems {
        /// The task.
        task: TaskIndex,
        /// The visit that would begin.
        visit: u32,
    },
    /// One instance of a `fan_out` changed.
    InstanceChanged {
        /// The task.
        task: TaskIndex,
        /// The visit.
        visit: u32,
        /// Its index among the items, from 0.
        instance: u32,
        /// Its state now: PENDING, READY, LEASED, RUNNING, WAITING, COMPLETED, FAILED or CANCELLED.
        state: TaskState,
        /// Once settled.
        result: Option<AttemptResult>,
        /// Why, when it is no success.
        failure: Option<Failure>,
    },
    /// A new attempt is READY for dispatch.
    AttemptCreated {
        /// Its number.
        attempt: AttemptNumber,
        /// The task.
        task: TaskIndex,
        /// The visit.
        visit: u32,
        /// Attempt within the visit, from 1.
        task_attempt: u32,
        /// The job attempt.
        job_attempt: u32,
        /// The edges that started this visit.
        routed_from: Vec<RoutedFrom>,
        /// The instance of a `fan_out`, from 0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instance: Option<u32>,
    },
    /// An attempt waits for something outside of every ant.
    AttemptWaits {
        /// The attempt.
        attempt: AttemptNumber,
        /// What for.
        reason: String,
    },
    /// An attempt is READY again (it never started).
    AttemptRequeued {
        /// The attempt.
        attempt: AttemptNumber,
    },
    /// The attempt's result is recorded.
    AttemptClosed {
        /// The attempt.
        attempt: AttemptNumber,
        /// Its result.
        result: AttemptResult,
        /// Why, when it is no success.
        failure: Option<Failure>,
    },
    /// Stop a leased or running attempt (TERM, grace, KILL); its result still arrives as AttemptFinished. READY attempts
    /// are closed by the engine itself with AttemptClosed.
    KillAttempt {
        /// The attempt.
        attempt: AttemptNumber,
        /// A sentence: why.
        reason: String,
    },
    /// Fire [`super::Event::TimerFired`] at `due`.
    SetTimer {
        /// Which.
        timer: Timer,
        /// When.
        due: UnixMillis,
    },
    /// The timer is not needed any more.
    ClearTimer {
        /// Which.
        timer: Timer,
    },
}

/// The edge that started a visit, as templates see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RoutedFrom {
    /// The task that was left.
    pub task: String,
    /// Its visit.
    pub visit: u32,
    /// Its exit code.
    pub exit_code: Option<u16>,
    /// Its result's name.
    pub result: String,
}
