//! Jobs: submit, list, get, and the commands on them.

use atta_core::engine::JobState;
use atta_core::protocol::JobId;
use atta_core::protocol::api::{
    CancelRequest, JobDetail, JobSummary, Page, RerunRequest, ResubmitRequest, ResumeRequest, SubmitRequest,
    SubmitResponse,
};
use atta_core::protocol::counts::JobCounts;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa_axum::routes;

use super::Context;
use super::access::{Access, Routes};
use super::attempts::bounded;
use super::page::{Binding, tagged};
use super::problem::ApiError;
use super::request::{Params, Path, json, optional_json};
use crate::auth::Caller;
use crate::scheduler::{JobCommand, RunAgain, VersionChoice};
use crate::store::{JobFilter, JobOrder, JobPlace, LabelFilter};

/// Labels that one request may name.
const MOST_LABELS: usize = 10;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

pub(super) fn routes() -> Routes {
    Routes::new()
        .with(Access::VIEWER, routes!(list))
        .with(Access::SUBMITTER, routes!(submit))
        .with(Access::VIEWER, routes!(counts))
        .with(Access::VIEWER, routes!(get))
        .with(Access::OPERATOR, routes!(cancel))
        .with(Access::OPERATOR, routes!(pause))
        .with(Access::OPERATOR, routes!(resume))
        .with(Access::OPERATOR, routes!(retry))
        .with(Access::OPERATOR, routes!(rerun))
        .with(Access::OPERATOR, routes!(resubmit))
        .with(Access::SUBMITTER, routes!(submit_short))
}

/// Submit a job
///
/// The job is stored when the answer comes. With an `Idempotency-Key` the same request gives the same job again; another
/// request under the same key is a 422.
#[utoipa::path(
    post, path = "/api/v1/jobs", tag = "jobs", operation_id = "submit_job",
    params(("Idempotency-Key" = Option<String>, Header, description = "Up to 255 visible characters")),
    request_body = SubmitRequest,
    responses((status = 202, body = SubmitResponse, headers(("location" = String))))
)]
async fn submit(State(context): State<Context>, params: Params, request: Request) -> Result<Response, ApiError> {
    accept(&context, params, request).await
}

/// Submit a job (short form)
///
/// The same as `POST /api/v1/jobs`.
#[utoipa::path(
    post, path = "/api/jobs/requests", tag = "jobs", operation_id = "submit_job_short",
    params(("Idempotency-Key" = Option<String>, Header, description = "Up to 255 visible characters")),
    request_body = SubmitRequest,
    responses((status = 202, body = SubmitResponse, headers(("location" = String))))
)]
async fn submit_short(State(context): State<Context>, params: Params, request: Request) -> Result<Response, ApiError> {
    accept(&context, params, request).await
}

async fn accept(context: &Context, params: Params, request: Request) -> Result<Response, ApiError> {
    params.finish()?;
    let key = idempotency_key(request.headers())?;
    let submitted_by = submitter(&request);
    let request: SubmitRequest = json(request).await?;
    let answer = context.queen.submit(request, &submitted_by, key.as_deref()).await?;
    Ok(accepted(&answer))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    value
        .to_str()
        .ok()
        .filter(|key| (1..=255).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()))
        .map(|key| Some(key.to_owned()))
        .ok_or_else(|| ApiError::bad_request("Idempotency-Key must be 1 to 255 visible ASCII characters"))
}

pub(super) fn from_cli(headers: &HeaderMap) -> bool {
    headers.get(header::USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(b"atta/"))
}

fn accepted(answer: &SubmitResponse) -> Response {
    let mut response = (StatusCode::ACCEPTED, Json(answer)).into_response();
    if let Ok(location) = HeaderValue::from_str(&answer.href) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// The name that a state has in the API.
fn state_by_name(name: &str) -> Result<JobState, String> {
    serde_json::from_value(serde_json::Value::from(name)).map_err(|_| {
        "one of PENDING, RUNNING, WAITING, PAUSED, CANCELLING, COMPLETED, FAILED, BLOCKED, CANCELLED, SKIPPED is expected"
            .to_owned()
    })
}

/// What a label filter says: `name:value`, or a name alone.
fn label_filter(text: &str) -> Result<LabelFilter, &'static str> {
    let (name, value) = match text.split_once(':') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    if name.is_empty() {
        return Err("`name:value` is expected, or a name alone");
    }
    Ok(LabelFilter { name: name.to_owned(), value })
}

/// Which jobs a request is about.
fn job_filter(params: &mut Params) -> Result<JobFilter, ApiError> {
    let mut states = Vec::new();
    for name in params.many("state").iter().flat_map(|names| names.split(',')) {
        states.push(state_by_name(name).map_err(|message| invalid("state", &format!("state {name:?}: {message}")))?);
    }
    states.sort_unstable();
    states.dedup();
    let mut labels = Vec::new();
    for text in params.many("label") {
        labels.push(label_filter(&text).map_err(|message| invalid("label", &format!("label {text:?}: {message}")))?);
    }
    if labels.len() > MOST_LABELS {
        return Err(invalid("label", &format!("at most {MOST_LABELS} labels may be asked for at once")));
    }
    Ok(JobFilter {
        states,
        job_type: params.one("job_type")?,
        parent: params.one("parent")?,
        user_key: params.one("user_key")?,
        created_after: params.instant("created_after")?,
        created_before: params.instant("created_before")?,
        labels,
        text: params.one("text")?.filter(|text| !text.is_empty()),
        order: JobOrder::Created,
    })
}

fn invalid(name: &str, message: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "BAD_QUERY", "the request's query is not valid")
        .with_violation(name, "INVALID", message)
}

/// The order of a list; what has not ended has no place in the order of ends.
fn job_order(params: &mut Params, states: &[JobState]) -> Result<JobOrder, ApiError> {
    let order = params.parsed("order", |word| match word {
        "created" => Ok(JobOrder::Created),
        "finished" => Ok(JobOrder::Finished),
        _ => Err("created or finished is expected"),
    })?;
    let order = order.unwrap_or_default();
    match states.iter().find(|state| !state.is_terminal()) {
        Some(state) if order == JobOrder::Finished => Err(invalid(
            "order",
            &format!("order \"finished\" is one of jobs that have ended, and a job that is {} has not", state.as_str()),
        )),
        _ => Ok(order),
    }
}

/// List jobs, newest first
///
/// With `text` or `label`, and with other filters than `state` in the order `finished`, one page looks through 10 000 jobs (of
/// each definition and state): it may have fewer jobs than asked for, or none, and a `next_cursor`.
#[utoipa::path(
    get, path = "/api/v1/jobs", tag = "jobs", operation_id = "list_jobs",
    params(
        ("state" = Option<Vec<JobState>>, Query, description = "Any of these; may be repeated, or a list with commas"),
        ("job_type" = Option<String>, Query, description = "Of this definition"),
        ("parent" = Option<String>, Query, description = "That this job forked, submitted or triggered"),
        ("user_key" = Option<String>, Query, description = "With this key"),
        ("created_after" = Option<String>, Query, description = "Submitted at or after this instant"),
        ("created_before" = Option<String>, Query, description = "Submitted before this instant"),
        ("label" = Option<Vec<String>>, Query, description = "With this label of its definition, `name:value` or a name \
            alone; with all of them when it is repeated"),
        ("text" = Option<String>, Query, description = "Occurs in id, type, key, description or reason"),
        ("order" = Option<String>, Query, description = "`created` by default; `finished`: what ended last comes first, \
            and what has not ended is left out"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "Rows of a page, 50 by default"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before, with the same filters"),
    ),
    responses((status = 200, body = Page<JobSummary>), (status = 304, description = "Not changed"))
)]
async fn list(State(context): State<Context>, headers: HeaderMap, mut params: Params) -> Result<Response, ApiError> {
    let mut filter = job_filter(&mut params)?;
    filter.order = job_order(&mut params, &filter.states)?;
    let limit = params.limit()?;
    let cursor = params.one("cursor")?;
    params.finish()?;
    let binding = Binding::new("jobs", &filter);
    let before: Option<JobPlace> = binding.key(cursor.as_deref())?;
    let listed = context.reads.jobs(&filter, before.as_ref(), limit).await?;
    let next_cursor = listed.next.map(|place| binding.cursor(&place)).transpose()?;
    tagged(&headers, &Page { items: listed.jobs, next_cursor })
}

/// Count jobs by state, and by what they need from somebody
///
/// Counting ends at 10 000 jobs of a state; with `text`, `label` at the newest 10 000 of each: `at_least` names these states.
#[utoipa::path(
    get, path = "/api/v1/jobs/counts", tag = "jobs", operation_id = "count_jobs",
    params(
        ("state" = Option<Vec<JobState>>, Query, description = "Any of these; may be repeated, or a list with commas"),
        ("job_type" = Option<String>, Query, description = "Of this definition"),
        ("parent" = Option<String>, Query, description = "That this job forked, submitted or triggered"),
        ("user_key" = Option<String>, Query, description = "With this key"),
        ("created_after" = Option<String>, Query, description = "Submitted at or after this instant"),
        ("created_before" = Option<String>, Query, description = "Submitted before this instant"),
        ("label" = Option<Vec<String>>, Query, description = "With this label of its definition, `name:value` or a name \
            alone; with all of them when it is repeated"),
        ("text" = Option<String>, Query, description = "Occurs in id, type, key, description or reason"),
    ),
    responses((status = 200, body = JobCounts), (status = 304, description = "Not changed"))
)]
async fn counts(State(context): State<Context>, headers: HeaderMap, mut params: Params) -> Result<Response, ApiError> {
    let filter = job_filter(&mut params)?;
    params.finish()?;
    tagged(&headers, &context.reads.job_counts(&filter).await?)
}

/// Get a job with its tasks, latest attempts and routes taken
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}", tag = "jobs", operation_id = "get_job",
    params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, body = JobDetail), (status = 304, description = "Not changed"))
)]
async fn get(
    State(context): State<Context>,
    Path(id): Path<String>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    params.finish()?;
    let id = JobId(id);
    tagged(&headers, &bounded(context.reads.job(&id).await?.ok_or_else(|| unknown(&id))?))
}

pub(super) fn unknown(id: &JobId) -> ApiError {
    ApiError::not_found(format_args!("job {id}"))
}

/// A body that says nothing.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

async fn perform(context: &Context, id: String, command: JobCommand) -> Result<Response, ApiError> {
    let job_id = JobId(id);
    let state = context.queen.command(&job_id, command).await?;
    Ok(accepted(&SubmitResponse { href: format!("/api/v1/jobs/{job_id}"), job_id, state }))
}

/// Cancel a job
///
/// Running tasks are stopped, then `always_run` tasks run. Cancelling again changes nothing.
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/cancel", tag = "jobs", operation_id = "cancel_job",
    params(("id" = String, Path, description = "The job's id")),
    request_body = Option<CancelRequest>,
    responses((status = 202, body = SubmitResponse))
)]
async fn cancel(
    State(context): State<Context>,
    Path(id): Path<String>,
    params: Params,
    request: Request,
) -> Result<Response, ApiError> {
    params.finish()?;
    let CancelRequest { reason, force } = optional_json(request).await?;
    let reason = reason.filter(|reason| !reason.is_empty()).unwrap_or_else(|| "cancelled by request".to_owned());
    perform(&context, id, JobCommand::Cancel { reason, force }).await
}

/// Pause a job: running attempts finish, nothing new starts
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/pause", tag = "jobs", operation_id = "pause_job",
    params(("id" = String, Path, description = "The job's id")),
    responses((status = 202, body = SubmitResponse))
)]
async fn pause(
    State(context): State<Context>,
    Path(id): Path<String>,
    params: Params,
    request: Request,
) -> Result<Response, ApiError> {
    params.finish()?;
    let Nothing {} = optional_json(request).await?;
    perform(&context, id, JobCommand::Pause).await
}

/// Resume a paused job, with other params and another budget if some are given
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/resume", tag = "jobs", operation_id = "resume_job",
    params(("id" = String, Path, description = "The job's id")),
    request_body = Option<ResumeRequest>,
    responses((status = 202, body = SubmitResponse))
)]
async fn resume(
    State(context): State<Context>,
    Path(id): Path<String>,
    params: Params,
    request: Request,
) -> Result<Response, ApiError> {
    params.finish()?;
    let ResumeRequest { params, budget } = optional_json(request).await?;
    let budget = budget.unwrap_or_default().caps().map_err(|sentence| {
        ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "INVALID_BUDGET",
            format!("the budget cannot be used: {sentence}"),
        )
    })?;
    let command = if params.is_empty() && budget.is_empty() {
        JobCommand::Resume
    } else {
        JobCommand::ResumeWith { params, budget }
    };
    perform(&context, id, command).await
}

/// Retry a failed job: a new job attempt that keeps completed tasks
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/retry", tag = "jobs", operation_id = "retry_job",
    params(("id" = String, Path, description = "The job's id")),
    responses((status = 202, body = SubmitResponse))
)]
async fn retry(
    State(context): State<Context>,
    Path(id): Path<String>,
    params: Params,
    request: Request,
) -> Result<Response, ApiError> {
    params.finish()?;
    let Nothing {} = optional_json(request).await?;
    perform(&context, id, JobCommand::RetryFailed).await
}

/// Rerun a job from a task on: a new job attempt; with other params or another version a new job
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/rerun", tag = "jobs", operation_id = "rerun_job",
    params(("id" = String, Path, description = "The job's id")),
    request_body = RerunRequest,
    responses((status = 202, body = SubmitResponse))
)]
async fn rerun(
    State(context): State<Context>,
    Path(id): Path<String>,
    params: Params,
    request: Request,
) -> Result<Response, ApiError> {
    params.finish()?;
    let submitted_by = submitter(&request);
    let RerunRequest { from, params, version, latest } = json(request).await?;
    let version = version_choice(version, latest)?;
    if params.is_empty() && version == VersionChoice::Same {
        return perform(&context, id, JobCommand::RerunFrom { task: from }).await;
    }
    let again = RunAgain { from: Some(from), params, version, submitted_by };
    Ok(accepted(&context.queen.run_again(&JobId(id), again).await?))
}

/// Submit a job that has ended again: a new job
///
/// It has the params of the first but for those that are given, and takes nothing over.
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/resubmit", tag = "jobs", operation_id = "resubmit_job",
    params(("id" = String, Path, description = "The job's id")),
    request_body = Option<ResubmitRequest>,
    responses((status = 202, body = SubmitResponse))
)]
async fn resubmit(
    State(context): State<Context>,
    Path(id): Path<String>,
    params: Params,
    request: Request,
) -> Result<Response, ApiError> {
    params.finish()?;
    let submitted_by = submitter(&request);
    let ResubmitRequest { params, version, latest } = optional_json(request).await?;
    let version = version_choice(version, latest)?;
    let again = RunAgain { from: None, params, version, submitted_by };
    Ok(accepted(&context.queen.run_again(&JobId(id), again).await?))
}

/// Whose token it is, or else by which way the request came.
fn submitter(request: &Request) -> String {
    let known = request.extensions().get::<Caller>().map(|caller| caller.user.clone());
    known.unwrap_or_else(|| if from_cli(request.headers()) { "cli" } else { "api" }.to_owned())
}

fn version_choice(version: Option<String>, latest: bool) -> Result<VersionChoice, ApiError> {
    match (version, latest) {
        (Some(_), true) => Err(ApiError::bad_request("version and latest exclude each other")),
        (Some(version), false) => Ok(VersionChoice::Named(version)),
        (None, true) => Ok(VersionChoice::Newest),
        (None, false) => Ok(VersionChoice::Same),
    }
}
