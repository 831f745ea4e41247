//! The attempts of a job.

use atta_core::protocol::JobId;
use atta_core::protocol::api::{JobAttemptResource, JobDetail, Page};
use atta_core::protocol::command::CommandResource;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use utoipa_axum::routes;

use super::Context;
use super::access::{Access, Routes};
use super::page::{Binding, tagged};
use super::problem::ApiError;
use super::request::{Params, Path};
use crate::store::{HistoryOrder, StoredCommand};

/// Attempts of a task that stand with its job; all are listed here.
const WITH_JOB: usize = 20;

/// Instances of a task whose `results` stand with its job; all are listed with their task.
const RESULTS_WITH_JOB: u32 = 1_000;

pub(super) fn routes() -> Routes {
    Routes::new().with(Access::VIEWER, routes!(list)).with(Access::VIEWER, routes!(command))
}

/// List the attempts of a job, oldest first unless told otherwise
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/attempts", tag = "jobs", operation_id = "list_attempts",
    params(
        ("id" = String, Path, description = "The job's id"),
        ("task" = Option<String>, Query, description = "Of this task"),
        ("order" = Option<String>, Query, description = "`oldest` by default; `newest`: the latest attempt comes first"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "Rows of a page, 50 by default"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before, with the same filters"),
    ),
    responses((status = 200, body = Page<JobAttemptResource>))
)]
async fn list(
    State(context): State<Context>,
    Path(id): Path<String>,
    mut params: Params,
) -> Result<Json<Page<JobAttemptResource>>, ApiError> {
    let task = params.one("task")?;
    let order = history_order(&mut params)?;
    let limit = params.limit()?;
    let cursor = params.one("cursor")?;
    params.finish()?;
    let job = JobId(id);
    match &task {
        None if !context.reads.job_exists(&job).await? => return Err(super::jobs::unknown(&job)),
        None => {}
        Some(task) => match context.reads.has_task(&job, task).await? {
            None => return Err(super::jobs::unknown(&job)),
            Some(false) => return Err(ApiError::not_found(format_args!("task {task} of the job {job}"))),
            Some(true) => {}
        },
    }
    let name = match order {
        HistoryOrder::Oldest => "attempts",
        HistoryOrder::Newest => "attempts, newest first",
    };
    let binding = Binding::new(name, &(&job, &task));
    let after: Option<u32> = binding.key(cursor.as_deref())?;
    let rows = context.reads.attempts(&job, task.as_deref(), order, after, limit + 1).await?;
    Ok(Json(binding.page(rows, limit, |row| row.attempt.number)?))
}

/// The order that a request wants the history of a job in.
pub(super) fn history_order(params: &mut Params) -> Result<HistoryOrder, ApiError> {
    let order = params.parsed("order", |word| match word {
        "oldest" => Ok(HistoryOrder::Oldest),
        "newest" => Ok(HistoryOrder::Newest),
        _ => Err("oldest or newest is expected"),
    })?;
    Ok(order.unwrap_or_default())
}

/// Get what an ant was told to do in an attempt
///
/// The script, request or prompt as it was sent, with the environment and all else; secrets are named, their values are not there.
/// It is kept as long as the job. 404 `COMMAND_NOT_GIVEN` when no ant has been told anything (yet), and `COMMAND_NOT_KEPT` for an
/// attempt of an earlier version of the server.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/attempts/{number}/command", tag = "jobs", operation_id = "get_command",
    params(
        ("id" = String, Path, description = "The job's id"),
        ("number" = u32, Path, description = "The attempt's number within the job"),
    ),
    responses((status = 200, body = CommandResource), (status = 304, description = "Not changed"))
)]
async fn command(
    State(context): State<Context>,
    Path((id, number)): Path<(String, u32)>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    params.finish()?;
    let job = JobId(id);
    let absent = |code, detail| Err(ApiError::new(StatusCode::NOT_FOUND, code, detail));
    match context.reads.attempt_command(&job, number).await? {
        StoredCommand::NoAttempt if !context.reads.job_exists(&job).await? => Err(super::jobs::unknown(&job)),
        StoredCommand::NoAttempt => Err(ApiError::not_found(format_args!("attempt {number} of the job {job}"))),
        StoredCommand::NotGiven => {
            let detail = format!(
                "no ant was told anything in attempt {number}: it waits for one, ended before, or the server itself does what it is about"
            );
            absent("COMMAND_NOT_GIVEN", detail)
        }
        StoredCommand::NotKept => {
            let detail = format!(
                "what the ant was told in attempt {number} is not kept: an earlier version of the server gave it out, or it could not be told without a secret"
            );
            absent("COMMAND_NOT_KEPT", detail)
        }
        StoredCommand::Kept(text) => {
            let command: CommandResource = serde_json::from_str(&text).map_err(|error| ApiError::internal(&error))?;
            tagged(&headers, &command)
        }
    }
}

/// The number of the attempt that an address names.
pub(super) async fn named(context: &Context, job: &JobId, number: &str) -> Result<u32, ApiError> {
    let unknown = || ApiError::not_found(format_args!("attempt {number} of job {job}"));
    let attempt: u32 = number.parse().map_err(|_| unknown())?;
    context.reads.attempt_state(job, attempt).await?.map(|_| attempt).ok_or_else(unknown)
}

/// Leaves out of a job what is too much to stand with it, and says where it is.
pub(super) fn bounded(mut job: JobDetail) -> JobDetail {
    let mut left_out = false;
    for task in &mut job.tasks {
        let over = task.attempt_list.len().saturating_sub(WITH_JOB);
        task.attempt_list.drain(..over);
        left_out |= over > 0;
        if task.fan_out.as_ref().is_some_and(|fan_out| fan_out.total > RESULTS_WITH_JOB) {
            task.outputs.shift_remove("results");
        }
    }
    job.attempts_href = left_out.then(|| format!("/api/v1/jobs/{}/attempts", job.summary.job_id));
    job
}
