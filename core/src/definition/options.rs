//! Options of the methods that run no script.

use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{Field, Span, TemplateText, VariableValue};

/// Options of `method: SUBMIT_JOBS` (the key `submit`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubmitJobsOptions {
    /// Which definition.
    pub job_type: TemplateText,
    /// A version other than the newest: a content hash or a semantic version.
    pub version: Option<String>,
    /// A list, or a template that yields an array: one job per item.
    pub items: VariableValue,
    /// The name under which templates see the item.
    pub item_var: String,
    /// Params of each job; string leaves are templates.
    pub params: IndexMap<String, VariableValue>,
    /// Overrides the definition's.
    pub user_key: Option<TemplateText>,
    /// Overrides the definition's.
    pub description: Option<TemplateText>,
    /// Overrides the definition's; renders to the name of a priority.
    pub priority: Option<TemplateText>,
    /// Nothing is submitted: what there is under each `user_key` is told.
    pub dry_run: bool,
}

/// Options of `method: FORK_JOB` (the key `sub_workflow`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForkOptions {
    /// Which definition.
    pub job_type: TemplateText,
    /// A version other than the newest: a content hash or a semantic version.
    pub version: Option<String>,
    /// Params of the job; string leaves are templates.
    pub params: IndexMap<String, VariableValue>,
    /// Outputs of this task: templates over the names of the forked job when it has ended.
    pub outputs: IndexMap<String, TemplateText>,
    /// Whether the task waits for the job's end; otherwise AWAIT_FORKED_JOB may.
    pub wait: bool,
}

/// Options of `method: AWAIT_FORKED_JOB`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitOptions {
    /// FORK_JOB tasks of this job.
    pub tasks: Vec<AwaitedTask>,
}

/// A task whose forked job is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitedTask {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub span: Span,
}

/// Options of `method: APPROVAL` (the key `approval`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApprovalOptions {
    /// Votes for it that are enough.
    pub min_approvals: u32,
    /// Who may vote; with `roles` empty too: everybody.
    pub users: Vec<String>,
    /// Whose holders may vote.
    pub roles: Vec<String>,
    /// All of `users` must vote for it.
    pub unanimous: bool,
    /// How long it waits; for ever when absent.
    pub timeout: Option<Field<Duration>>,
    /// What happens then.
    pub timeout_action: ApprovalTimeout,
    /// What people are asked; the task's description when absent.
    pub message: Option<TemplateText>,
}

/// What happens to an approval that nobody decided in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApprovalTimeout {
    /// It counts as given.
    Approve,
    /// It counts as refused.
    #[default]
    Reject,
    /// The result is TIMED_OUT, after everybody who may vote was told again.
    Escalate,
}

/// Options of `method: EXPIRE_ARTIFACTS`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExpireOptions {
    /// Only what is older.
    pub older_than: Field<Duration>,
    /// Only artifacts of jobs of these types; all when empty.
    pub job_types: Vec<String>,
}
