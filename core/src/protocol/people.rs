//! Resources about what people decide and are told.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::JobId;

/// Where an approval stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ApprovalState {
    /// It can be voted on.
    Open,
    /// It was given.
    Approved,
    /// It was refused.
    Rejected,
    /// Nobody decided in time, and the definition says `escalate`.
    TimedOut,
    /// The job went on without it: it was cancelled, or stopped.
    Closed,
}

impl ApprovalState {
    /// The name that it has in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Approved => "APPROVED",
            Self::Rejected => "REJECTED",
            Self::TimedOut => "TIMED_OUT",
            Self::Closed => "CLOSED",
        }
    }
}

/// What somebody says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// For it.
    Approve,
    /// Against it.
    Reject,
}

/// A vote to give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VoteRequest {
    /// For or against.
    pub decision: Decision,
    /// Why; required to reject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// A vote that was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VoteResource {
    /// Who.
    pub voter: String,
    /// For or against.
    pub decision: Decision,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// When.
    pub at: String,
    /// `api`, `cli` or `link`.
    pub via: String,
}

/// A question to people, and what they answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalResource {
    /// Its id.
    pub approval_id: String,
    /// The job that waits.
    pub job_id: JobId,
    /// Its definition.
    pub job_type: String,
    /// The task that asks.
    pub task: String,
    /// Number of the attempt within the job.
    pub attempt: u32,
    /// Where it stands.
    pub state: ApprovalState,
    /// What is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Votes for it that are enough.
    pub min_approvals: u32,
    /// Who may vote; with `roles` empty too: everybody.
    pub users: Vec<String>,
    /// Whose holders may vote.
    pub roles: Vec<String>,
    /// All of `users` have to approve.
    pub unanimous: bool,
    /// When it was asked.
    pub created_at: String,
    /// Until when it can be answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// What happens then: `approve`, `reject` or `escalate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_action: Option<String>,
    /// When it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<String>,
    /// The votes, in their order.
    pub votes: Vec<VoteResource>,
}

/// For whom a link is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkRequest {
    /// Who is to vote by it.
    pub voter: String,
}

/// A link by which one person can vote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LinkResource {
    /// The link. Whoever has it votes in this person's name.
    pub url: String,
    /// Whose vote it gives.
    pub voter: String,
    /// Until when.
    pub expires_at: String,
}

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeliveryState {
    /// It will be tried (again).
    Pending,
    /// The receiver has it.
    Sent,
    /// It was tried too often, or cannot arrive.
    Dead,
}

impl DeliveryState {
    /// The name that it has in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Sent => "SENT",
            Self::Dead => "DEAD",
        }
    }
}

/// One thing that one receiver is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NotificationResource {
    /// Its id; the receiver sees the same one however often it is sent.
    pub notification_id: String,
    /// The job that it is about.
    pub job_id: JobId,
    /// Its definition.
    pub job_type: String,
    /// What happened, e.g. `job.completed`, `approval.requested`.
    pub event: String,
    /// `webhook`, `slack` or `email`.
    pub channel: String,
    /// Where to, as the definition writes it.
    pub destination: String,
    /// How far it has come.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<String>,
    /// Why the last try failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When it was written.
    pub created_at: String,
    /// When it was sent or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// What is told.
    pub content: Value,
}
