//! Health, metrics and the version.

use std::time::Duration;

use atta_core::protocol::api::{DegradationResource, HealthReport, VersionInfo};
use atta_core::resilience::{ComponentReport, ComponentState};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use indexmap::IndexMap;
use utoipa_axum::routes;

use super::Context;
use super::access::{Access, Routes};
use super::problem::ApiError;
use crate::{telemetry, watch};

/// Longer than this nothing that works takes to answer.
const ROUND_TRIP: Duration = Duration::from_secs(2);
/// Less free space than this is not healthy: a commit may fail soon.
const SPACE_NEEDED: u64 = 64 * 1024 * 1024;

pub(super) fn routes() -> Routes {
    Routes::new()
        .with(Access::Open, routes!(live))
        .with(Access::Open, routes!(ready))
        .with(Access::VIEWER, routes!(deep))
        .with(Access::VIEWER, routes!(metrics))
        .with(Access::VIEWER, routes!(version))
}

fn report(checks: IndexMap<String, String>) -> Response {
    answer(checks, Vec::new(), None)
}

fn answer(
    checks: IndexMap<String, String>,
    components: Vec<ComponentReport>,
    degradation: Option<DegradationResource>,
) -> Response {
    let ok = checks.values().all(|check| check == "ok") && components.iter().all(|part| watch::problem(part).is_none());
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if ok { "ok" } else { "unavailable" };
    (status, Json(HealthReport { status: word.to_owned(), checks, components, degradation })).into_response()
}

fn said(result: Result<(), String>) -> String {
    result.map_or_else(|wrong| wrong, |()| "ok".to_owned())
}

/// Whether the process answers
#[utoipa::path(
    get, path = "/health/live", tag = "health", operation_id = "health_live",
    responses((status = 200, body = HealthReport))
)]
async fn live() -> Response {
    report(IndexMap::new())
}

/// Whether requests can be served: the writer lives, is not stuck, and its last write succeeded
#[utoipa::path(
    get, path = "/health/ready", tag = "health", operation_id = "health_ready",
    responses((status = 200, body = HealthReport), (status = 503, body = HealthReport))
)]
async fn ready(State(context): State<Context>) -> Response {
    let parts = context.watch.report(&context.queen);
    let broken = |part: &&ComponentReport| {
        part.state == ComponentState::Failed || (part.name == "writer" && part.state == ComponentState::Stalled)
    };
    let part = parts.iter().find(broken).and_then(|part| Some(format!("{}: {}", part.name, watch::problem(part)?)));
    let writer = context.queen.health().and_then(|()| part.map_or(Ok(()), Err));
    report(IndexMap::from([("writer".to_owned(), said(writer))]))
}

/// Ready, and every part works, the database answers, the writer has time, and the disk has space
#[utoipa::path(
    get, path = "/health/deep", tag = "health", operation_id = "health_deep",
    responses((status = 200, body = HealthReport), (status = 503, body = HealthReport))
)]
async fn deep(State(context): State<Context>) -> Response {
    let database = match tokio::time::timeout(ROUND_TRIP, context.reads.ping()).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", ROUND_TRIP.as_secs())),
    };
    let writer = match tokio::time::timeout(ROUND_TRIP, context.queen.ants()).await {
        Ok(_) => context.queen.health(),
        Err(_) => Err(format!("it has no time: a question was not answered within {} s", ROUND_TRIP.as_secs())),
    };
    let dir = context.data_dir.clone();
    let space = tokio::task::spawn_blocking(move || match rustix::fs::statvfs(&*dir) {
        Ok(disk) if disk.f_bavail.saturating_mul(disk.f_frsize) >= SPACE_NEEDED => Ok(()),
        Ok(disk) => Err(format!("only {} bytes are free", disk.f_bavail.saturating_mul(disk.f_frsize))),
        Err(error) => Err(error.to_string()),
    })
    .await
    .unwrap_or_else(|error| Err(error.to_string()));
    answer(
        IndexMap::from([
            ("writer".to_owned(), said(writer)),
            ("database".to_owned(), said(database)),
            ("disk".to_owned(), said(space)),
            ("secrets".to_owned(), said(context.queen.secrets().problem().map_or(Ok(()), Err))),
        ]),
        context.watch.report(&context.queen),
        Some(context.regulator.resource()),
    )
}

/// Metrics in Prometheus' text format
#[utoipa::path(
    get, path = "/metrics", tag = "health", operation_id = "metrics",
    responses((status = 200, body = String, content_type = "text/plain"))
)]
async fn metrics(State(context): State<Context>) -> Result<Response, ApiError> {
    let Some(handle) = &context.metrics else {
        return Err(ApiError::new(StatusCode::NOT_FOUND, "NO_METRICS", "this server collects no metrics"));
    };
    telemetry::collect(&context.queen, &context.watch, &context.regulator).await;
    let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((headers, handle.render()).into_response())
}

/// What answers
#[utoipa::path(
    get, path = "/api/v1/version", tag = "health", operation_id = "version",
    responses((status = 200, body = VersionInfo))
)]
async fn version(State(context): State<Context>) -> Json<VersionInfo> {
    Json(VersionInfo { version: context.version.to_owned(), api: "v1".to_owned() })
}
