//! The states of jobs, tasks and attempts, and the results of attempts, by the names that people see.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are the vocabulary of the language reference")]
pub enum JobState {
    Pending,
    Running,
    Waiting,
    Paused,
    Cancelling,
    Completed,
    Failed,
    Blocked,
    Cancelled,
    Skipped,
}

impl JobState {
    /// No further transition is possible but by a retry or a rerun.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Blocked | Self::Cancelled | Self::Skipped)
    }

    /// The name shown to people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Waiting => "WAITING",
            Self::Paused => "PAUSED",
            Self::Cancelling => "CANCELLING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Blocked => "BLOCKED",
            Self::Cancelled => "CANCELLED",
            Self::Skipped => "SKIPPED",
        }
    }
}

/// The state of a task (its latest visit).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are the vocabulary of the language reference")]
pub enum TaskState {
    Pending,
    Ready,
    Leased,
    Running,
    Waiting,
    Completed,
    Failed,
    Skipped,
    Cancelled,
}

impl TaskState {
    /// The visit has settled.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Skipped | Self::Cancelled)
    }

    /// The name shown to people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Ready => "READY",
            Self::Leased => "LEASED",
            Self::Running => "RUNNING",
            Self::Waiting => "WAITING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Skipped => "SKIPPED",
            Self::Cancelled => "CANCELLED",
        }
    }
}

/// The state of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum AttemptState {
    /// Waits for an ant.
    Ready,
    /// Given to an ant.
    Leased,
    /// The ant said that it started.
    Running,
    /// It began and waits for something outside of every ant: a vote, another job.
    Waiting,
    /// Has a result.
    Finished,
}

impl AttemptState {
    /// The name shown to people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "READY",
            Self::Leased => "LEASED",
            Self::Running => "RUNNING",
            Self::Waiting => "WAITING",
            Self::Finished => "FINISHED",
        }
    }
}

/// Why a task was skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// Its condition was false.
    When,
    /// Something that it depends on failed and no route handled it.
    UpstreamFailed,
    /// No route and no dependency led to it.
    NotReached,
}

/// A result that is not an exit code, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ResultName {
    /// The execution wall clock ran out.
    TimedOut,
    /// No output and no activity for too long.
    IdleTimedOut,
    /// No ant took it in time.
    QueueTimedOut,
    /// The process, pod or image could not be started.
    StartFailed,
    /// A signal ended it.
    Killed,
    /// The ant died and the attempt could not be re-adopted.
    Lost,
    /// Cancelled.
    Cancelled,
    /// A template or an artifact was not valid.
    Invalid,
    /// Rescheduled until its limit.
    Expired,
    /// The loop's `max_visits` was used up.
    LoopLimit,
    /// An approval was given: a success.
    Approved,
    /// An approval was refused.
    Rejected,
}

impl ResultName {
    /// All names, for lookups and suggestions.
    pub const ALL: [Self; 12] = [
        Self::TimedOut,
        Self::IdleTimedOut,
        Self::QueueTimedOut,
        Self::StartFailed,
        Self::Killed,
        Self::Lost,
        Self::Cancelled,
        Self::Invalid,
        Self::Expired,
        Self::LoopLimit,
        Self::Approved,
        Self::Rejected,
    ];

    /// The name as it is written in definitions and shown to people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TimedOut => "TIMED_OUT",
            Self::IdleTimedOut => "IDLE_TIMED_OUT",
            Self::QueueTimedOut => "QUEUE_TIMED_OUT",
            Self::StartFailed => "START_FAILED",
            Self::Killed => "KILLED",
            Self::Lost => "LOST",
            Self::Cancelled => "CANCELLED",
            Self::Invalid => "INVALID",
            Self::Expired => "EXPIRED",
            Self::LoopLimit => "LOOP_LIMIT",
            Self::Approved => "APPROVED",
            Self::Rejected => "REJECTED",
        }
    }
}

/// What an attempt ended with: an exit code or a named result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttemptResult {
    /// It ran to its end with this exit code (0–255); 0 is success.
    Exit(u16),
    /// An HTTP exchange ended with this status (100–599); 2xx and 3xx are success.
    Http(u16),
    /// An agent's work ended in this class; `DONE` is success.
    Agent(AgentClass),
    /// It ended otherwise.
    Named(ResultName),
}

/// How an agent's work ended. Each has a name and a number, and routes may use either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AgentClass {
    /// It did what it was asked, and its verdict says so.
    Done,
    /// It failed in a way that no other class describes.
    Error,
    /// A person has to decide something first.
    Blocked,
    /// It says that tests fail.
    TestsFailing,
    /// Its final message held no valid verdict.
    NoVerdict,
    /// It was to change something and changed nothing.
    NoChange,
    /// It used up its turns.
    MaxTurns,
    /// It used up its money or tokens.
    Budget,
    /// The account's limit was met.
    RateLimited,
    /// It is not logged in, or its key is refused.
    Auth,
    /// The conversation grew too long for the model.
    Context,
    /// The model or its provider refused the work.
    Policy,
    /// It never began, or fell silent, and was killed.
    Stalled,
}

impl AgentClass {
    /// All classes, by their numbers.
    pub const ALL: [Self; 13] = [
        Self::Done,
        Self::Error,
        Self::Blocked,
        Self::TestsFailing,
        Self::NoVerdict,
        Self::NoChange,
        Self::MaxTurns,
        Self::Budget,
        Self::RateLimited,
        Self::Auth,
        Self::Context,
        Self::Policy,
        Self::Stalled,
    ];

    /// Its number: what routes match as an exit code.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// The class of a number.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "DONE",
            Self::Error => "ERROR",
            Self::Blocked => "BLOCKED",
            Self::TestsFailing => "TESTS_FAILING",
            Self::NoVerdict => "NO_VERDICT",
            Self::NoChange => "NO_CHANGE",
            Self::MaxTurns => "MAX_TURNS",
            Self::Budget => "BUDGET",
            Self::RateLimited => "RATE_LIMITED",
            Self::Auth => "AUTH",
            Self::Context => "CONTEXT",
            Self::Policy => "POLICY",
            Self::Stalled => "STALLED",
        }
    }

    /// What it means, as the end of "the agent's work: …".
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Done => "it did what it was asked",
            Self::Error => "the agent failed",
            Self::Blocked => "the agent is blocked: a person has to decide something first",
            Self::TestsFailing => "the agent says that tests fail",
            Self::NoVerdict => "the agent's final message held no valid verdict",
            Self::NoChange => "the agent changed nothing",
            Self::MaxTurns => "the agent used up its turns",
            Self::Budget => "the agent used up its budget",
            Self::RateLimited => "the agent's account met its limit",
            Self::Auth => "the agent is not logged in",
            Self::Context => "the conversation grew too long for the model",
            Self::Policy => "the model or its provider refused the work",
            Self::Stalled => "the agent fell silent and was killed",
        }
    }

    /// The class of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == name)
    }
}

impl AttemptResult {
    /// The exit code (of an HTTP exchange: the status), if there is one.
    pub fn exit_code(self) -> Option<u16> {
        match self {
            Self::Exit(code) | Self::Http(code) => Some(code),
            Self::Agent(class) => Some(class.code()),
            Self::Named(_) => None,
        }
    }

    /// Whether it counts as success.
    pub fn is_success(self) -> bool {
        match self {
            Self::Exit(code) => code == 0,
            Self::Http(status) => (200..400).contains(&status),
            Self::Agent(class) => class == AgentClass::Done,
            Self::Named(name) => name == ResultName::Approved,
        }
    }

    /// The name shown to people: a result name, or COMPLETED / FAILED for exit codes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exit(_) | Self::Http(_) if self.is_success() => "COMPLETED",
            Self::Exit(_) | Self::Http(_) => "FAILED",
            Self::Agent(class) => class.as_str(),
            Self::Named(name) => name.as_str(),
        }
    }
}

/// A machine code and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// Stable, e.g. `EXIT_CODE`, `TIMED_OUT`, `ERR_NO_COMMITS`, `LOOP_LIMIT`.
    pub code: String,
    /// One sentence for people.
    pub message: String,
}
