//! Why an event is refused. A refused event changes nothing and is not stored.

use super::event::AttemptNumber;
use super::status::{AttemptState, JobState};

/// Why [`super::decide`] refused an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The job does not have that attempt.
    #[error("attempt {} is not known to this job", .0.0)]
    UnknownAttempt(AttemptNumber),
    /// The definition does not have that task.
    #[error("the definition has no task number {0}")]
    UnknownTask(u32),
    /// The job is over.
    #[error("the job is already {}; retry it or rerun it from a task instead", .0.as_str())]
    JobTerminal(JobState),
    /// The job is not over.
    #[error("the job is {}; only a job that has ended can be retried or rerun", .0.as_str())]
    JobNotTerminal(JobState),
    /// Only `always_run` tasks are left.
    #[error("only the always_run tasks are left to run and the job will be {}; cancel with force to stop them as well", .verdict.as_str())]
    FinalPhase {
        /// What the job will be.
        verdict: JobState,
    },
    /// The job does not wait for admission.
    #[error("the job is {}; only a PENDING job can be skipped", .0.as_str())]
    NotPending(JobState),
    /// The job has not started.
    #[error("the job has not started yet, so there is nothing to pause; cancel it or let it start")]
    NotStarted,
    /// The job is being stopped.
    #[error("the job is being stopped and cannot be paused")]
    Stopping,
    /// The job is not paused.
    #[error("the job is {}, not PAUSED", .0.as_str())]
    NotPaused(JobState),
    /// Nothing of the task waits for its time.
    #[error("task \"{0}\" does not wait for its next attempt: there is nothing to wake")]
    NotWaiting(String),
    /// Nothing failed.
    #[error("the job is {}: there is nothing that failed to be retried; rerun it from a task or submit it again", .0.as_str())]
    NothingToRetry(JobState),
    /// The job does not begin with that task taken over.
    #[error("task \"{task}\" cannot be taken over: {why}")]
    NotAdoptable {
        /// Its name.
        task: String,
        /// What is wrong with that.
        why: String,
    },
    /// The attempt may not be given to an ant.
    #[error("the job is {}: attempt {} must not be dispatched now", .state.as_str(), .attempt.0)]
    NotDispatchable {
        /// Which attempt.
        attempt: AttemptNumber,
        /// The job's state.
        state: JobState,
    },
    /// An attempt cannot go from this state to that one.
    #[error("attempt {} is {} and cannot become {}", .attempt.0, .from.as_str(), .to.as_str())]
    IllegalTransition {
        /// Which attempt.
        attempt: AttemptNumber,
        /// Its state.
        from: AttemptState,
        /// The state that the event asks for.
        to: AttemptState,
    },
    /// A rule of the engine itself was broken: a defect of the engine, found by the transition table.
    #[error("defect in the engine: {0}")]
    Internal(String),
}

impl EngineError {
    /// The stable machine code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownAttempt(_) => "UNKNOWN_ATTEMPT",
            Self::UnknownTask(_) => "UNKNOWN_TASK",
            Self::JobTerminal(_) => "JOB_TERMINAL",
            Self::JobNotTerminal(_) => "JOB_NOT_TERMINAL",
            Self::FinalPhase { .. } => "FINAL_PHASE",
            Self::NotPending(_) => "NOT_PENDING",
            Self::NotStarted => "NOT_STARTED",
            Self::Stopping => "STOPPING",
            Self::NotPaused(_) => "NOT_PAUSED",
            Self::NotWaiting(_) => "NOT_WAITING",
            Self::NothingToRetry(_) => "NOTHING_TO_RETRY",
            Self::NotAdoptable { .. } => "NOT_ADOPTABLE",
            Self::NotDispatchable { .. } => "NOT_DISPATCHABLE",
            Self::IllegalTransition { .. } => "ILLEGAL_TRANSITION",
            Self::Internal(_) => "INTERNAL",
        }
    }
}
