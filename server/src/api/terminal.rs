//! Terminals of attempts: typing into a program that runs. What it prints is its log (`logs`).

use atta_core::engine::AttemptNumber;
use atta_core::protocol::terminal::{INPUT, TerminalRequest, TerminalSession, TerminalSize};
use atta_core::protocol::{AttemptId, JobId};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::routes;

use super::Context;
use super::access::{Access, Routes};
use super::envelope::RequestId;
use super::problem::ApiError;
use super::request::{Params, Path, json, octets, optional_json};
use crate::auth::Caller;
use crate::scheduler::{TerminalCommand, Typist};

/// The operations here, which the queen writes down herself, with what was typed.
const OPERATIONS: [&str; 4] = ["open_terminal", "type_into_terminal", "resize_terminal", "close_terminal"];

pub(super) fn routes() -> Routes {
    Routes::new()
        .with(Access::OPERATOR, routes!(open))
        .with(Access::OPERATOR, routes!(input))
        .with(Access::OPERATOR, routes!(resize))
        .with(Access::OPERATOR, routes!(close))
}

/// Whether an operation is in the audit anyway.
pub(super) fn is_written_down(operation: &str) -> bool {
    OPERATIONS.contains(&operation)
}

/// Open a session to type into the terminal of an attempt
///
/// Of a task with `tty: true`, while it runs. One session may type into an attempt: another one is refused (409,
/// TERMINAL_IN_USE) unless it takes over. A session ends when nothing was heard of it for `expires_after_ms`, when it is
/// taken over, with the attempt, and with the server: then its requests are answered 410, TERMINAL_CLOSED. What is typed is
/// in the audit.
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/attempts/{number}/terminal", tag = "terminals", operation_id = "open_terminal",
    params(
        ("id" = String, Path, description = "The job's id"),
        ("number" = u32, Path, description = "The attempt's number within the job"),
    ),
    request_body = Option<TerminalRequest>,
    responses((status = 201, body = TerminalSession))
)]
async fn open(
    State(context): State<Context>,
    Path((id, number)): Path<(String, String)>,
    params: Params,
    request: Request,
) -> Result<Response, ApiError> {
    params.finish()?;
    let attempt = attempt(&context, id, &number).await?;
    let by = typist(&request);
    let request: TerminalRequest = optional_json(request).await?;
    let size = possible(request.size())?;
    let session = context.queen.open_terminal(&attempt, by, size, request.take_over).await?;
    let mut response = (StatusCode::CREATED, Json(session)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Type into the terminal of an attempt
///
/// 1 to 16384 bytes. `seq` counts the inputs of a session: the one that was typed already is answered 204 and not typed
/// twice, a later one than the next is refused (409, TERMINAL_GAP). When too much waits for the ant: 429, TERMINAL_BUSY.
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/attempts/{number}/terminal/{session}/input", tag = "terminals",
    operation_id = "type_into_terminal",
    params(
        ("id" = String, Path, description = "The job's id"),
        ("number" = u32, Path, description = "The attempt's number within the job"),
        ("session" = String, Path, description = "The session"),
        ("seq" = u64, Query, description = "Of the first input `next_seq`, then one more each time"),
    ),
    request_body(content = String, content_type = "application/octet-stream", description = "What is typed"),
    responses((status = 204, description = "It is typed, or was"))
)]
async fn input(
    State(context): State<Context>,
    Path((id, number, session)): Path<(String, String, String)>,
    mut params: Params,
    request: Request,
) -> Result<StatusCode, ApiError> {
    let seq = params.parsed("seq", |text| match text.parse::<u64>() {
        Ok(seq) if seq > 0 => Ok(seq),
        _ => Err("a number from 1 on is expected"),
    })?;
    params.finish()?;
    let seq = seq.ok_or_else(|| ApiError::bad_request("the query has to say the `seq` of the input"))?;
    let attempt = attempt(&context, id, &number).await?;
    let by = typist(&request);
    let bytes = octets(request, INPUT).await?;
    if bytes.is_empty() {
        return Err(ApiError::bad_request("the request's body is empty: 1 to 16384 bytes are expected"));
    }
    let command = TerminalCommand::Input { seq, bytes: bytes.to_vec() };
    context.queen.use_terminal(&attempt, &session, by, command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Say how large the terminal of an attempt is
///
/// Also a sign of life of the session.
#[utoipa::path(
    put, path = "/api/v1/jobs/{id}/attempts/{number}/terminal/{session}/size", tag = "terminals",
    operation_id = "resize_terminal",
    params(
        ("id" = String, Path, description = "The job's id"),
        ("number" = u32, Path, description = "The attempt's number within the job"),
        ("session" = String, Path, description = "The session"),
    ),
    request_body = TerminalSize,
    responses((status = 204, description = "It has this size"))
)]
async fn resize(
    State(context): State<Context>,
    Path((id, number, session)): Path<(String, String, String)>,
    params: Params,
    request: Request,
) -> Result<StatusCode, ApiError> {
    params.finish()?;
    let attempt = attempt(&context, id, &number).await?;
    let by = typist(&request);
    let size = possible(json(request).await?)?;
    context.queen.use_terminal(&attempt, &session, by, TerminalCommand::Resize(size)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End a session of a terminal
///
/// The program goes on.
#[utoipa::path(
    delete, path = "/api/v1/jobs/{id}/attempts/{number}/terminal/{session}", tag = "terminals",
    operation_id = "close_terminal",
    params(
        ("id" = String, Path, description = "The job's id"),
        ("number" = u32, Path, description = "The attempt's number within the job"),
        ("session" = String, Path, description = "The session"),
    ),
    responses((status = 204, description = "It has ended"))
)]
async fn close(
    State(context): State<Context>,
    Path((id, number, session)): Path<(String, String, String)>,
    params: Params,
    request: Request,
) -> Result<StatusCode, ApiError> {
    params.finish()?;
    let attempt = attempt(&context, id, &number).await?;
    context.queen.use_terminal(&attempt, &session, typist(&request), TerminalCommand::Close).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The attempt that a path names.
async fn attempt(context: &Context, id: String, number: &str) -> Result<AttemptId, ApiError> {
    let job = JobId(id);
    let number = super::attempts::named(context, &job, number).await?;
    Ok(AttemptId::new(&job, AttemptNumber(number)))
}

fn possible(size: TerminalSize) -> Result<TerminalSize, ApiError> {
    if size.is_possible() {
        return Ok(size);
    }
    let detail = format!("a terminal has 2 to 1000 columns and rows, not {} and {}", size.columns, size.rows);
    Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "INVALID_REQUEST", detail))
}

/// Who types; without a token it can only be somebody on this machine.
fn typist(request: &Request) -> Typist {
    let caller = request.extensions().get::<Caller>();
    let request_id = request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    Typist {
        user: caller.map_or_else(|| "somebody on this machine".to_owned(), |caller| caller.user.clone()),
        token: caller.map_or_else(|| "-".to_owned(), |caller| caller.token.clone()),
        request_id,
    }
}
