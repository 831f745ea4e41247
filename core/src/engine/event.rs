//! What happens to a job from outside. Events are all that the engine sees; they are stored and replayed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::run::Ending;
use super::status::{AttemptResult, Failure, JobState, SkipReason, TaskState};
use crate::time::UnixMillis;

/// Index of a task in its definition, in declaration order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskIndex(pub u32);

/// Number of an attempt within its job, counted by the engine from 1 over all tasks, visits and job attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptNumber(pub u32);

/// An event with the instant at which the queen accepted it and 64 random bits from which the engine derives a Nonce
/// and jitter, so that a replay gives the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stamped {
    /// When it was accepted; never decreases within a job.
    pub at: UnixMillis,
    /// 64 random bits.
    pub entropy: u64,
    /// What happened.
    pub event: Event,
}

/// Something that happened to a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The scheduler admits a PENDING job (or a woken one that queued for capacity).
    Admitted,
    /// `skip_if` was truthy or could not be evaluated; only before anything started.
    SkipRequested {
        /// The rendered reason, or the error.
        reason: String,
    },
    /// Answer to [`super::Effect::EvaluateCondition`].
    ConditionEvaluated {
        /// The task.
        task: TaskIndex,
        /// Its visit.
        visit: u32,
        /// True: go on. False: SKIPPED. An error makes the visit FAILED with result INVALID.
        outcome: Result<bool, String>,
    },
    /// An ant was given the attempt.
    AttemptLeased {
        /// The attempt.
        attempt: AttemptNumber,
    },
    /// The ant says that the attempt's process runs.
    AttemptStarted {
        /// The attempt.
        attempt: AttemptNumber,
    },
    /// The attempt has its result. Accepted in READY and WAITING too (a template error at dispatch never reaches an ant).
    AttemptFinished {
        /// The attempt.
        attempt: AttemptNumber,
        /// Exit code or named result.
        result: AttemptResult,
        /// Why, when it is no success; the engine supplies a sentence when absent.
        failure: Option<Failure>,
        /// The next attempt of the visit, if there is one, does not begin earlier than so long after this event.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<Duration>,
    },
    /// The lease is gone and the attempt provably never started: it is READY again at no cost.
    AttemptReturned {
        /// The attempt.
        attempt: AttemptNumber,
    },
    /// The ant died with an attempt that may be made twice ([`crate::definition::Method::may_run_twice`]): a new attempt of
    /// the same visit, outside `retry`, at most [`super::MAX_INTERRUPTIONS`] per visit, then LOST. What else an ant lost has
    /// the result LOST ([`Self::AttemptFinished`]); histories of old have it for other attempts too.
    AttemptInterrupted {
        /// The attempt.
        attempt: AttemptNumber,
    },
    /// The agent used up what the budgets above its task had left for it: a new attempt of the same visit, outside `retry`,
    /// goes on when more is left. Accepted in LEASED and RUNNING. In a job that stops, and for an attempt that is to stop, like [`Self::AttemptFinished`].
    AttemptOverBudget {
        /// The attempt.
        attempt: AttemptNumber,
        /// How it ended: with the class BUDGET or MAX_TURNS, or TIMED_OUT.
        result: AttemptResult,
        /// Which budget it was.
        failure: Failure,
    },
    /// Nothing of the job's budget is left for its agents: the job is paused, or stops. Ignored while it stops anyway.
    BudgetUsedUp {
        /// How much of what, for people.
        reason: String,
        /// It stops, and has failed.
        fail: bool,
    },
    /// A timer that the engine set is due.
    TimerFired {
        /// Which.
        timer: Timer,
    },
    /// The attempt began and now waits for something outside of every ant (a vote, another job): its task is WAITING, the
    /// job need not be RUNNING for it. [`Event::AttemptFinished`] ends it. Accepted in LEASED and RUNNING.
    AttemptWaiting {
        /// The attempt.
        attempt: AttemptNumber,
        /// What it waits for, as the end of the sentence "task x waits for …".
        reason: String,
    },
    /// Answer to [`super::Effect::ExpandItems`].
    ItemsExpanded {
        /// The task.
        task: TaskIndex,
        /// The visit that would begin.
        visit: u32,
        /// The items in order (the engine only counts them). An error makes the visit FAILED with result INVALID.
        outcome: Result<Vec<FanOutItem>, String>,
    },
    /// What of the task waits for an instant (a retry, a reschedule; its instances too) begins its next attempt now.
    WakeRequested {
        /// The task.
        task: TaskIndex,
    },
    /// Somebody cancels the job.
    CancelRequested {
        /// Why, for people.
        reason: String,
        /// Also stop the final phase.
        force: bool,
    },
    /// Somebody pauses the job.
    PauseRequested,
    /// Somebody (or `resume_after`) resumes the job.
    ResumeRequested,
    /// A terminal job gets a new attempt that keeps completed tasks.
    RetryFailedRequested,
    /// A terminal job gets a new attempt with this task as the culprit and its incoming edges taken.
    RerunRequested {
        /// The task.
        task: TaskIndex,
    },
    /// The job runs another one again, with other params or a newer version. Accepted once, in a PENDING job in which
    /// nothing has begun: these tasks are settled as they were there, at once; the first job attempt begins all others
    /// as a rerun of that job would, and keeps its Nonce. [`super::JobRun::adoption`] makes it.
    TasksAdopted {
        /// The other job's.
        nonce: String,
        /// What is taken over. No task may be among them that comes after one that is not.
        kept: Vec<AdoptedTask>,
        /// The task that starts as if its incoming edges had been taken; without one everything that is not kept starts
        /// when its join says so.
        culprit: Option<TaskIndex>,
    },
}

/// A task that a job takes over as it was in the job that it runs again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdoptedTask {
    /// Its index in the new definition.
    pub task: TaskIndex,
    /// COMPLETED, FAILED or SKIPPED.
    pub state: TaskState,
    /// Its latest visit that ran; 0 when there was none.
    pub visit: u32,
    /// Of that visit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<AttemptResult>,
    /// Of that visit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Why it was skipped, in the last round of its loop too when it kept an earlier visit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<SkipReason>,
    /// What that visit means for the edges; nothing for a task that never ran and was not skipped by its condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// The tasks to which its route led.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub route: Vec<TaskIndex>,
    /// The verdict of its path: END_COMPLETED, END_FAILED or END_BLOCKED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<JobState>,
}

/// One item of a `fan_out`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FanOutItem {
    /// Names the instance in paths and lists; unique within the task.
    pub key: String,
    /// What the item variable stands for.
    pub value: serde_json::Value,
}

/// A timer, identified so that a late or repeated firing is recognised and ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Timer {
    /// The job attempt's wall clock.
    JobTimeout {
        /// The job attempt.
        job_attempt: u32,
    },
    /// The delay before the next job attempt.
    JobRetry {
        /// The job attempt that will begin.
        job_attempt: u32,
    },
    /// The delay before a task's next attempt (retry or reschedule).
    TaskRetry {
        /// The task.
        task: TaskIndex,
        /// Its visit.
        visit: u32,
        /// The attempt within the visit that will begin.
        attempt: u32,
    },
    /// `resume_after`.
    Resume {
        /// How many pauses there were, this one included.
        pause: u32,
    },
    /// `queue_timeout`: no ant took the attempt in time.
    QueueTimeout {
        /// The attempt.
        attempt: AttemptNumber,
    },
    /// A waiting attempt's waiting is over, or its time is. The queen sets it and says what it means with
    /// [`Event::AttemptFinished`]; the engine only clears it when the attempt ends.
    AttemptWait {
        /// The attempt.
        attempt: AttemptNumber,
    },
    /// The delay before the next attempt of one instance of a `fan_out`.
    InstanceRetry {
        /// The task.
        task: TaskIndex,
        /// Its visit.
        visit: u32,
        /// The instance.
        instance: u32,
        /// The attempt of the instance that will begin.
        attempt: u32,
    },
}
