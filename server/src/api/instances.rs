//! The instances of a task with `fan_out`.

use atta_core::engine::TaskState;
use atta_core::protocol::JobId;
use atta_core::protocol::api::{InstanceResource, Page};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::routes;

use super::Context;
use super::access::{Access, Routes};
use super::page::Binding;
use super::problem::ApiError;
use super::request::{Params, Path};

pub(super) fn routes() -> Routes {
    Routes::new().with(Access::VIEWER, routes!(list))
}

/// List the instances of a task with `fan_out`, in the order of its items
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/tasks/{task}/instances", tag = "jobs", operation_id = "list_task_instances",
    params(
        ("id" = String, Path, description = "The job's id"),
        ("task" = String, Path, description = "The task's name"),
        ("state" = Option<Vec<TaskState>>, Query, description = "Any of these; may be repeated, or a list with commas"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "Rows of a page, 50 by default"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before, with the same filters"),
    ),
    responses((status = 200, body = Page<InstanceResource>))
)]
async fn list(
    State(context): State<Context>,
    Path((id, task)): Path<(String, String)>,
    mut params: Params,
) -> Result<Json<Page<InstanceResource>>, ApiError> {
    let mut states = Vec::new();
    for name in params.many("state").iter().flat_map(|names| names.split(',')) {
        states.push(serde_json::from_value::<TaskState>(serde_json::Value::from(name)).map_err(|_| {
            ApiError::new(StatusCode::BAD_REQUEST, "BAD_QUERY", "the request's query is not valid").with_violation(
                "state",
                "INVALID",
                format!(
                    "state {name:?}: one of PENDING, READY, LEASED, RUNNING, WAITING, COMPLETED, FAILED, CANCELLED is \
                     expected"
                ),
            )
        })?);
    }
    let limit = params.limit()?;
    let cursor = params.one("cursor")?;
    params.finish()?;
    let job = JobId(id);
    if !context.reads.job_exists(&job).await? {
        return Err(super::jobs::unknown(&job));
    }
    let binding = Binding::new("instances", &(&job, &task, &states));
    let after: Option<u32> = binding.key(cursor.as_deref())?;
    let rows = context
        .reads
        .instances(&job, &task, &states, after, limit + 1)
        .await?
        .ok_or_else(|| ApiError::not_found(format_args!("task {task} with a fan_out in the job {job}")))?;
    Ok(Json(binding.page(rows, limit, |row| row.index)?))
}
