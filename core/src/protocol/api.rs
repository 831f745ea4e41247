//! Resources of the HTTP API and of `--json` output. Instants are RFC 3339 in UTC.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub use super::configs::{ConfigRequest, ConfigResource, ConfigScope, NamedConfigRequest, SecretsStatus};
use super::counts::ForkedCounts;
use super::graph::GraphResource;
use super::triggers_api::TriggerResource;
use super::{Digest, JobId};
use crate::definition::Priority;
use crate::engine::{AttemptState, Failure, JobState, RoutedFrom, SkipReason, TaskState};
use crate::resilience::{ComponentReport, Tier};

/// A page of a list. Give `next_cursor` back as `cursor` to go on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Opaque; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A problem answer, RFC 9457 (`application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the machine code says what it is.
    #[serde(rename = "type")]
    pub problem_type: String,
    /// The HTTP status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// Stable machine code.
    pub code: String,
    /// A sentence for people.
    pub detail: String,
    /// Identifies the request in the server's log.
    pub request_id: String,
    /// What is wrong where.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub field_violations: Vec<FieldViolation>,
}

/// What is wrong with one field of a request, or with one place of a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldViolation {
    /// A path such as `params.Issue`, or `file:line:column`.
    pub field: String,
    /// Stable machine code.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

/// A request to run a job.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitRequest {
    /// Which definition (its newest enabled version).
    pub job_type: String,
    /// A version: its semantic version or content hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Parameters.
    #[serde(default)]
    pub params: serde_json::Map<String, Value>,
    /// Overrides the definition's `user_key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_key: Option<String>,
    /// Overrides the definition's priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Overrides the definition's description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Not before this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_at: Option<String>,
}

/// The answer to a submit (202).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubmitResponse {
    /// The job.
    pub job_id: JobId,
    /// Its state at that moment.
    pub state: JobState,
    /// `/api/v1/jobs/{id}`.
    pub href: String,
}

/// A job in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobSummary {
    /// Its id.
    pub job_id: JobId,
    /// Its definition.
    pub job_type: String,
    /// Content hash of the version.
    pub version: String,
    /// Its state.
    pub state: JobState,
    /// Why it waits, was skipped or failed, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Machine code of the first cause of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// Order of dispatch.
    pub priority: Priority,
    /// Deduplication key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_key: Option<String>,
    /// Job attempt, from 1.
    pub attempt: u32,
    /// Rendered description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who submitted it: `api`, `cli`, `cron`.
    pub submitted_by: String,
    /// When it was submitted.
    pub created_at: String,
    /// The schedule's tick, or the time before which it does not start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled_at: Option<String>,
    /// When its first task started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// The job that it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ParentResource>,
    /// The labels of its definition's version.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub labels: IndexMap<String, String>,
}

/// How a job came from another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// By FORK_JOB: it is cancelled with its parent.
    Forked,
    /// By SUBMIT_JOBS.
    Submitted,
    /// By a trigger, at the other one's end.
    Triggered,
}

/// The job that another one comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ParentResource {
    /// Its id.
    pub job_id: JobId,
    /// How.
    pub relation: Relation,
    /// The task that made the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The number of that task's attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
}

/// A job that comes from another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChildResource {
    /// Its id.
    pub job_id: JobId,
    /// Its definition.
    pub job_type: String,
    /// Its state.
    pub state: JobState,
    /// How it came to be.
    pub relation: Relation,
    /// The task that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The number of that task's attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
}

/// A job with everything about its tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobDetail {
    /// The summary.
    #[serde(flatten)]
    pub summary: JobSummary,
    /// Its parameters.
    pub params: serde_json::Map<String, Value>,
    /// 8 hex digits.
    pub nonce: Option<String>,
    /// The first cause of a failure.
    pub error: Option<Failure>,
    /// The job that it runs again with other params or another version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<JobId>,
    /// Jobs that run it again, the oldest first (the first 100).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reruns: Vec<JobId>,
    /// Its budget, when it has one and an agent has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<super::budgets::JobBudget>,
    /// What its agents have used, when there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents: Option<super::agents_api::AgentTotals>,
    /// Its tasks: in order of first start, then those that never started, in declaration order.
    pub tasks: Vec<TaskResource>,
    /// Where all attempts are listed; absent when all of them stand with their tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_href: Option<String>,
    /// Jobs that it forked, submitted or triggered, the oldest 100; `GET /api/v1/jobs?parent=` lists all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<ChildResource>,
}

/// A task of a job: its latest visit that ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskResource {
    /// Its name.
    pub task_type: String,
    /// Its state.
    pub state: TaskState,
    /// `COMPLETED`, `FAILED` or a result's name; for skipped tasks the reason (`when`, `upstream_failed`, `not_reached`).
    pub result: Option<String>,
    /// Exit code of the last attempt.
    pub exit_code: Option<u16>,
    /// Why it failed.
    pub error: Option<Failure>,
    /// Why it was skipped.
    pub skip_reason: Option<SkipReason>,
    /// Visits so far.
    pub visits: u32,
    /// Attempts so far, over all visits and job attempts.
    pub attempts: u32,
    /// The target of the route that the latest visit took, as written.
    pub route: Option<String>,
    /// Start of the latest visit's first attempt.
    pub started_at: Option<String>,
    /// End of its last attempt.
    pub finished_at: Option<String>,
    /// Outputs of the latest attempt. With `fan_out`: of all instances, `results` only when there are at most 1 000.
    pub outputs: IndexMap<String, Value>,
    /// Artifacts of the latest attempt.
    pub artifacts: Vec<ArtifactResource>,
    /// The job from which it was taken over as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted_from: Option<JobId>,
    /// Its instances, when it has `fan_out` and its items are known; the list is at `…/tasks/{task}/instances`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fan_out: Option<FanOutResource>,
    /// The jobs that it made in all its attempts, forked or submitted, as far as they are kept; absent when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked: Option<ForkedCounts>,
    /// The latest 20 attempts, oldest first (absent in `atta run --json`); `GET /api/v1/jobs/{id}/attempts` lists all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempt_list: Vec<AttemptResource>,
}

/// The instances of a task with `fan_out`, counted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct FanOutResource {
    /// How many items there are.
    pub total: u32,
    /// How many instances are in each state; states that none is in are absent.
    pub counts: IndexMap<String, u32>,
}

/// One instance of a task with `fan_out`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InstanceResource {
    /// The position of its item, from 0.
    pub index: u32,
    /// The key of its item.
    pub key: String,
    /// Its state.
    pub state: TaskState,
    /// `COMPLETED`, `FAILED` or a result's name.
    pub result: Option<String>,
    /// Exit code of its last attempt.
    pub exit_code: Option<u16>,
    /// Why it failed.
    pub error: Option<Failure>,
    /// Attempts so far, since the items are known.
    pub attempts: u32,
    /// Number of its latest attempt within the job.
    pub last_attempt: Option<u32>,
    /// Outputs of its latest attempt.
    pub outputs: IndexMap<String, Value>,
}

/// An attempt in a list of those of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobAttemptResource {
    /// Its task.
    pub task_type: String,
    /// The attempt.
    #[serde(flatten)]
    pub attempt: AttemptResource,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AttemptResource {
    /// Its number within the job.
    pub number: u32,
    /// The job attempt.
    pub job_attempt: u32,
    /// The visit.
    pub visit: u32,
    /// The attempt within the visit.
    pub task_attempt: u32,
    /// The instance of a `fan_out`, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<u32>,
    /// The key of its item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_key: Option<String>,
    /// Its state.
    pub state: AttemptState,
    /// What it waits for: an ant, a vote, another job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `COMPLETED`, `FAILED` or a result's name.
    pub result: Option<String>,
    /// Its exit code.
    pub exit_code: Option<u16>,
    /// Why it failed.
    pub error: Option<Failure>,
    /// The edges that started the visit.
    pub routed_from: Vec<RoutedFrom>,
    /// The ant that has or had it.
    pub ant: Option<String>,
    /// How its process tree is contained.
    pub isolation: Option<String>,
    /// When it became ready.
    pub created_at: String,
    /// When it started.
    pub started_at: Option<String>,
    /// When it ended.
    pub finished_at: Option<String>,
    /// Its outputs.
    pub outputs: IndexMap<String, Value>,
    /// Its artifacts.
    pub artifacts: Vec<ArtifactResource>,
    /// For people.
    pub warnings: Vec<String>,
    /// Bytes of log.
    pub log_bytes: u64,
    /// What is known of its agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Box<super::agents_api::AgentResource>>,
    /// It has a terminal: while it runs somebody may type into it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tty: bool,
}

/// A stored artifact file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArtifactResource {
    /// Relative path.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// BLAKE3, hex.
    pub digest: Digest,
    /// The name of its group (`artifacts.name`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Until when it is kept, if its task says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Since when its content is not kept any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired_at: Option<String>,
}

/// A definition and its newest version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DefinitionResource {
    /// Its name.
    pub job_type: String,
    /// Content hash of the newest version.
    pub version: String,
    /// The author's semantic version.
    pub semver: Option<String>,
    /// How many versions there are.
    pub versions: u32,
    /// A disabled definition takes no jobs and its schedule rests.
    pub enabled: bool,
    /// Why the scheduler cannot evaluate it, when it cannot (`skip_if` failed, …).
    pub degraded: Option<String>,
    /// Its cron lines.
    pub schedule: Vec<String>,
    /// When it runs next.
    pub next_run_at: Option<String>,
    /// When its newest version was stored.
    pub updated_at: String,
    /// Warnings of the validator.
    pub warnings: Vec<FieldViolation>,
    /// The labels of its newest version.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub labels: IndexMap<String, String>,
    /// What starts its jobs besides submits and its schedule, in the order of its newest version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<TriggerResource>,
}

/// An immutable version of a definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VersionResource {
    /// Its definition.
    pub job_type: String,
    /// Content hash.
    pub version: String,
    /// The author's semantic version.
    pub semver: Option<String>,
    /// When it was stored.
    pub created_at: String,
    /// The YAML text as uploaded.
    pub source: String,
    /// The text as a picture; absent for a text that this server reads differently from the one that stored it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph: Option<GraphResource>,
}

/// A version of a definition in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionSummary {
    /// Its definition.
    pub job_type: String,
    /// Content hash.
    pub version: String,
    /// The author's semantic version.
    pub semver: Option<String>,
    /// When it was stored.
    pub created_at: String,
}

/// What validating a definition found; nothing was stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ValidationReport {
    /// Whether an upload would be accepted.
    pub valid: bool,
    /// The definition's name, if it is valid.
    pub job_type: Option<String>,
    /// How many tasks it has, if it is valid.
    pub tasks: Option<u32>,
    /// Errors; none if it is valid.
    pub errors: Vec<FieldViolation>,
    /// Legal but suspicious.
    pub warnings: Vec<FieldViolation>,
    /// The schedule in words.
    pub schedule: Option<String>,
    /// The next times at which it would run.
    pub next_runs: Vec<String>,
    /// The definition as a picture, if it is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph: Option<GraphResource>,
}

/// An artifact of a job in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobArtifactResource {
    /// The number of the attempt that made it.
    pub attempt: u32,
    /// The attempt's task.
    pub task_type: String,
    /// The key of the attempt's item, for an instance of a `fan_out`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_key: Option<String>,
    /// Relative path.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// BLAKE3, hex.
    pub digest: Digest,
    /// Whether its owner may execute it.
    pub executable: bool,
    /// The name of its group (`artifacts.name`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Until when it is kept, if its task says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Since when its content is not kept any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired_at: Option<String>,
}

/// Options of a cancel.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelRequest {
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Also stop the final phase (`always_run`).
    #[serde(default)]
    pub force: bool,
}

/// How a paused job goes on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResumeRequest {
    /// Params to go on with, instead of those of the same names. What was rendered before stays as it is.
    #[serde(default)]
    pub params: serde_json::Map<String, Value>,
    /// Limits of the job's budget from now on; those that are not named stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<super::budgets::BudgetAmounts>,
}

/// Where a rerun begins. With params or a version it is a new job, that keeps what completed before the task.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RerunRequest {
    /// A task's name.
    pub from: String,
    /// Params instead of those of the same names: the rerun is a new job.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub params: serde_json::Map<String, Value>,
    /// A version, by its semantic version or content hash: the rerun is a new job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The newest version: the rerun is a new job.
    #[serde(default)]
    pub latest: bool,
}

/// How a job is submitted again.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResubmitRequest {
    /// Params instead of those of the same names.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub params: serde_json::Map<String, Value>,
    /// A version, by its semantic version or content hash; that of the job without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The newest version.
    #[serde(default)]
    pub latest: bool,
}

/// A piece of a log that is followed: the data of a `log` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogEvent {
    /// Offset of its first byte in the whole log, all streams.
    pub offset: u64,
    /// The stream.
    pub stream: super::ant::LogStream,
    /// When the ant read it.
    pub at: String,
    /// The bytes, if they are UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The bytes otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// Answer of a health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthReport {
    /// `ok` or `unavailable`.
    pub status: String,
    /// What was looked at: `ok`, or what is wrong.
    pub checks: IndexMap<String, String>,
    /// The long-lived parts of the server's process, its ant's included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<ComponentReport>,
    /// What the server leaves out while it has too much to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degradation: Option<DegradationResource>,
}

/// What a server leaves out while it has too much to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DegradationResource {
    /// How much.
    pub tier: Tier,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Somebody has set it.
    pub by_hand: bool,
    /// Bytes that are free where the data is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_free_bytes: Option<u64>,
    /// Bytes of memory that are available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_available_bytes: Option<u64>,
    /// How long storing takes, in milliseconds, as a moving average; absent when nothing was stored lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_ms: Option<u64>,
    /// How much of the writer's queue is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer_queue_percent: Option<u32>,
}

/// A tier that somebody sets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DegradationRequest {
    /// How much is left out.
    pub tier: Tier,
    /// Why; those who wait are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionInfo {
    /// Of the program.
    pub version: String,
    /// Of the API.
    pub api: String,
}

/// One line of a job's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventResource {
    /// Position in the server's history: the cursor for streams.
    pub sequence: i64,
    /// The job.
    pub job_id: JobId,
    /// When.
    pub at: String,
    /// The type of the event or effect, e.g. `task_changed`.
    pub kind: String,
    /// Its data; tasks are named.
    pub data: Value,
}

/// What came of a delivery to a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryOutcome {
    /// It submitted a job.
    Submitted,
    /// It woke a task.
    Woke,
    /// The job's `user_key` is held by another live job.
    Duplicate,
    /// The filter let nothing through, or nothing waits to be woken.
    Filtered,
    /// The sender only asked whether somebody is there.
    Ping,
    /// The same delivery had its effect before.
    Replayed,
    /// Too many of them.
    Limited,
    /// Something could not be evaluated, or the job is not acceptable.
    Refused,
}

impl DeliveryOutcome {
    /// The name shown to people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Woke => "woke",
            Self::Duplicate => "duplicate",
            Self::Filtered => "filtered",
            Self::Ping => "ping",
            Self::Replayed => "replayed",
            Self::Limited => "limited",
            Self::Refused => "refused",
        }
    }

    /// Whether the same delivery has nothing more to do when it comes again.
    pub fn is_effect(self) -> bool {
        !matches!(self, Self::Replayed | Self::Limited | Self::Refused)
    }
}

/// The answer to a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookAnswer {
    /// Where the delivery is recorded.
    pub delivery_id: String,
    /// What came of it.
    pub outcome: DeliveryOutcome,
    /// The job that it submitted, woke or found.
    pub job_id: Option<JobId>,
    /// Why, when there is something to say.
    pub message: Option<String>,
    /// When to come again, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

/// A recorded delivery. Only those that proved where they come from are recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryResource {
    /// Its id.
    pub id: String,
    /// The definition.
    pub job_type: String,
    /// The webhook's name.
    pub trigger: String,
    /// The sender's id of it, or the digest of its body.
    pub sender_id: String,
    /// What happened, as the sender calls it.
    pub event: Option<String>,
    /// Its headers, without those that prove anything.
    pub headers: std::collections::BTreeMap<String, String>,
    /// What came of it.
    pub outcome: DeliveryOutcome,
    /// The job that it submitted, woke or found.
    pub job_id: Option<JobId>,
    /// Why, when there is something to say.
    pub message: Option<String>,
    /// The delivery that somebody asked for again.
    pub redelivery_of: Option<String>,
    /// When it came.
    pub received_at: String,
    /// How long its body is.
    pub body_bytes: u64,
}

/// A delivery with its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryDetail {
    /// The delivery.
    pub delivery: DeliveryResource,
    /// The body, if it is UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The body otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}
