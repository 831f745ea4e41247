//! The document that `atta run --json` puts on stdout. Its shape is a promise: scripts read it.

use atta_core::engine::{JobState, TaskState};
use atta_core::protocol::JobId;
use atta_core::protocol::api::{ArtifactResource, JobDetail, JobSummary, TaskResource};
use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;

/// A finished job.
#[derive(Debug, Serialize)]
pub(crate) struct Report<'a> {
    job_id: &'a JobId,
    job_type: &'a str,
    state: JobState,
    /// Machine code of the first cause, when the job is not COMPLETED.
    error_code: Option<&'a str>,
    /// The same in a sentence; for a skipped job the reason.
    error: Option<&'a str>,
    /// Job attempt, from 1.
    attempt: u32,
    /// In order of first start, then those that never started, in declaration order.
    tasks: Vec<TaskReport<'a>>,
    /// The other jobs that there were: forked, submitted, triggered; the oldest first.
    #[serde(skip_serializing_if = "<[JobSummary]>::is_empty")]
    jobs: &'a [JobSummary],
}

/// A task: its latest visit that ran.
#[derive(Debug, Serialize)]
struct TaskReport<'a> {
    task_type: &'a str,
    state: TaskState,
    /// `COMPLETED`, `FAILED` or a result's name; why it was skipped, when it was.
    result: Option<&'a str>,
    exit_code: Option<u16>,
    visits: u32,
    attempts: u32,
    route: Option<&'a str>,
    started_at: Option<&'a str>,
    finished_at: Option<&'a str>,
    outputs: &'a IndexMap<String, Value>,
    artifacts: &'a [ArtifactResource],
}

impl<'a> Report<'a> {
    pub(super) fn new(job: &'a JobDetail, others: &'a [JobSummary]) -> Self {
        let error = job.error.as_ref();
        Self {
            job_id: &job.summary.job_id,
            job_type: &job.summary.job_type,
            state: job.summary.state,
            error_code: error.map(|error| error.code.as_str()).or(job.summary.error_code.as_deref()),
            error: error.map(|error| error.message.as_str()).or(job.summary.reason.as_deref()),
            attempt: job.summary.attempt,
            tasks: job.tasks.iter().map(TaskReport::from).collect(),
            jobs: others,
        }
    }
}

impl<'a> From<&'a TaskResource> for TaskReport<'a> {
    fn from(task: &'a TaskResource) -> Self {
        Self {
            task_type: &task.task_type,
            state: task.state,
            result: task.result.as_deref(),
            exit_code: task.exit_code,
            visits: task.visits,
            attempts: task.attempts,
            route: task.route.as_deref(),
            started_at: task.started_at.as_deref(),
            finished_at: task.finished_at.as_deref(),
            outputs: &task.outputs,
            artifacts: &task.artifacts,
        }
    }
}
