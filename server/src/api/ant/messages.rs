//! Polls, reports and heartbeats: small, and never behind logs or artifacts.

use std::future::Future;
use std::time::Duration;

use atta_core::protocol::ant::{Heartbeat, Hello, PROTOCOL, PollRequest, ReportBatch};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::Context;
use super::super::access::Asker;
use super::super::problem::ApiError;
use super::super::request::{Params, bytes, parse};
use super::{Spoken, check_ant, check_tags};
use crate::auth::Caller;

/// How long a poll may stay open, in seconds.
const LONGEST_WAIT: u64 = 60;
/// Largest message. A batch of reports carries outputs.
const LARGEST: usize = 64 * 1024 * 1024;

/// Orders hold secrets: nobody in between keeps them.
fn private(value: &impl Serialize) -> Response {
    let mut response = Json(value).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn message<T: DeserializeOwned>(request: Request) -> Result<T, ApiError> {
    parse(&bytes(request.into_body(), LARGEST).await?)
}

/// Waits for an answer while the token is good and the server does not stop.
async fn answer<T>(
    context: &Context,
    caller: Option<&Caller>,
    work: impl Future<Output = Result<T, crate::line::LineError>>,
) -> Result<T, ApiError> {
    let ended = async {
        match caller {
            Some(caller) => context.queen.tokens().ended(&caller.token_id, &*context.clock).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = ended => {
            let detail = "the token of this ant is not good any more";
            Err(ApiError::new(axum::http::StatusCode::UNAUTHORIZED, "TOKEN_ENDED", detail))
        }
        answer = work => Ok(answer?),
        () = context.stop.cancelled() => Err(ApiError::unavailable("UNAVAILABLE", "the server shuts down: try again")),
    }
}

/// Ask what the server speaks
#[utoipa::path(
    get, path = "/api/v1/ant/hello", tag = "ant line", operation_id = "ant_hello",
    params(("Atta-Protocol" = u32, Header, description = "The protocol that the ant speaks")),
    responses((status = 200, body = Hello))
)]
pub(super) async fn hello(State(context): State<Context>, _: Spoken, params: Params) -> Result<Json<Hello>, ApiError> {
    params.finish()?;
    Ok(Json(Hello { protocol: PROTOCOL, version: context.version.to_owned() }))
}

/// Ask for orders
///
/// Answers as soon as there are some, with none after `wait`. The messages are those of the protocol that ant and server
/// share; they are no part of the API that other programs can rely on.
#[utoipa::path(
    post, path = "/api/v1/ant/poll", tag = "ant line", operation_id = "ant_poll",
    params(
        ("Atta-Protocol" = u32, Header, description = "The protocol that the ant speaks"),
        ("wait" = Option<u64>, Query, maximum = 60, description = "Seconds, 30 by default"),
    ),
    request_body(content = Value, description = "A PollRequest of the ant protocol"),
    responses((status = 200, body = Value, description = "Orders of the ant protocol"))
)]
pub(super) async fn poll(
    State(context): State<Context>,
    Asker(caller): Asker,
    _: Spoken,
    mut params: Params,
    request: Request,
) -> Result<Response, ApiError> {
    let wait = params.parsed("wait", |text| match text.parse() {
        Ok(wait @ 0..=LONGEST_WAIT) => Ok(wait),
        _ => Err(format!("a number of seconds up to {LONGEST_WAIT} is expected")),
    })?;
    params.finish()?;
    let request: PollRequest = message(request).await?;
    check_ant(caller.as_ref(), &request.ant)?;
    check_tags(caller.as_ref(), &request.tags)?;
    let work = context.line.poll(request, Duration::from_secs(wait.unwrap_or(30)));
    Ok(private(&answer(&context, caller.as_ref(), work).await?))
}

/// Report what became of attempts
///
/// Each report is applied once, however often it is said.
#[utoipa::path(
    post, path = "/api/v1/ant/report", tag = "ant line", operation_id = "ant_report",
    params(("Atta-Protocol" = u32, Header, description = "The protocol that the ant speaks")),
    request_body(content = Value, description = "A ReportBatch of the ant protocol"),
    responses((status = 200, body = Value, description = "Orders of the ant protocol"))
)]
pub(super) async fn report(
    State(context): State<Context>,
    Asker(caller): Asker,
    _: Spoken,
    params: Params,
    request: Request,
) -> Result<Response, ApiError> {
    params.finish()?;
    let batch: ReportBatch = message(request).await?;
    check_ant(caller.as_ref(), &batch.ant)?;
    Ok(private(&context.line.report(batch).await?))
}

/// Say that the ant lives
#[utoipa::path(
    post, path = "/api/v1/ant/heartbeat", tag = "ant line", operation_id = "ant_heartbeat",
    params(("Atta-Protocol" = u32, Header, description = "The protocol that the ant speaks")),
    request_body(content = Value, description = "A Heartbeat of the ant protocol"),
    responses((status = 200, body = Value, description = "Orders of the ant protocol"))
)]
pub(super) async fn heartbeat(
    State(context): State<Context>,
    Asker(caller): Asker,
    _: Spoken,
    params: Params,
    request: Request,
) -> Result<Response, ApiError> {
    params.finish()?;
    let heartbeat: Heartbeat = message(request).await?;
    check_ant(caller.as_ref(), &heartbeat.ant)?;
    Ok(private(&context.line.heartbeat(heartbeat).await?))
}
