//! What is left out while the server has too much to do.

use atta_core::protocol::api::{DegradationRequest, DegradationResource};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use utoipa_axum::routes;

use super::Context;
use super::access::{Access, Routes};
use super::problem::ApiError;
use super::request::{Params, json};

pub(super) fn routes() -> Routes {
    Routes::new()
        .with(Access::VIEWER, routes!(show))
        .with(Access::ADMIN, routes!(set))
        .with(Access::ADMIN, routes!(release))
}

/// What the server leaves out, and what it measures
#[utoipa::path(
    get, path = "/api/v1/degradation", tag = "health", operation_id = "degradation",
    responses((status = 200, body = DegradationResource))
)]
async fn show(State(context): State<Context>, params: Params) -> Result<Json<DegradationResource>, ApiError> {
    params.finish()?;
    Ok(Json(context.regulator.resource()))
}

/// Leave out something, whatever is measured
///
/// Holds until it is taken back, also when the server is started again. What is measured may leave out more.
#[utoipa::path(
    put, path = "/api/v1/degradation", tag = "health", operation_id = "set_degradation",
    request_body = DegradationRequest,
    responses((status = 200, body = DegradationResource))
)]
async fn set(
    State(context): State<Context>,
    params: Params,
    request: Request,
) -> Result<Json<DegradationResource>, ApiError> {
    params.finish()?;
    let request: DegradationRequest = json(request).await?;
    let reason = request.reason.map(|reason| reason.chars().filter(|c| !c.is_control()).take(200).collect::<String>());
    let reason = reason.filter(|reason| !reason.trim().is_empty());
    let reason = reason.map_or_else(|| "set by hand".to_owned(), |reason| format!("set by hand: {}", reason.trim()));
    change(&context, Some((request.tier, reason)))
}

/// Leave it to what is measured
#[utoipa::path(
    delete, path = "/api/v1/degradation", tag = "health", operation_id = "release_degradation",
    responses((status = 200, body = DegradationResource))
)]
async fn release(State(context): State<Context>, params: Params) -> Result<Json<DegradationResource>, ApiError> {
    params.finish()?;
    change(&context, None)
}

fn change(
    context: &Context,
    hand: Option<(atta_core::resilience::Tier, String)>,
) -> Result<Json<DegradationResource>, ApiError> {
    context.regulator.set(hand).map_err(|error| {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "NOT_KEPT",
            format!("what was set cannot be kept in the data directory: {error}"),
        )
    })?;
    Ok(Json(context.regulator.resource()))
}
