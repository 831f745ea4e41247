//! Ants: which there are, and taking them out of service.

use atta_core::protocol::AntId;
use atta_core::protocol::ants::{AntMode, AntResource};
use atta_core::protocol::api::Page;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use utoipa_axum::routes;

use super::Context;
use super::access::{Access, Routes};
use super::page::{Binding, tagged};
use super::problem::ApiError;
use super::request::{Params, Path};

pub(super) fn routes() -> Routes {
    Routes::new()
        .with(Access::VIEWER, routes!(list))
        .with(Access::OPERATOR, routes!(cordon))
        .with(Access::OPERATOR, routes!(uncordon))
        .with(Access::OPERATOR, routes!(drain))
}

/// List the ants
#[utoipa::path(
    get, path = "/api/v1/ants", tag = "ants", operation_id = "list_ants",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "Rows of a page, 50 by default"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, body = Page<AntResource>), (status = 304, description = "Not changed"))
)]
async fn list(State(context): State<Context>, headers: HeaderMap, mut params: Params) -> Result<Response, ApiError> {
    let limit = params.limit()?;
    let cursor = params.one("cursor")?;
    params.finish()?;
    let binding = Binding::new("ants", &());
    let after: String = binding.key(cursor.as_deref())?.unwrap_or_default();
    let mut rows = context.queen.ants().await?;
    rows.retain(|ant| ant.ant_id.0 > after);
    rows.truncate(limit as usize + 1);
    tagged(&headers, &binding.page(rows, limit, |row| row.ant_id.0.clone())?)
}

/// Give an ant no new work
///
/// What it runs goes on. Survives restarts of the ant and of the server.
#[utoipa::path(
    post, path = "/api/v1/ants/{id}/cordon", tag = "ants", operation_id = "cordon_ant",
    params(("id" = String, Path, description = "The ant")),
    responses((status = 200, body = AntResource))
)]
async fn cordon(context: State<Context>, id: Path<String>, params: Params) -> Result<Json<AntResource>, ApiError> {
    set(context, id, params, AntMode::Cordoned).await
}

/// Give an ant work again
#[utoipa::path(
    post, path = "/api/v1/ants/{id}/uncordon", tag = "ants", operation_id = "uncordon_ant",
    params(("id" = String, Path, description = "The ant")),
    responses((status = 200, body = AntResource))
)]
async fn uncordon(context: State<Context>, id: Path<String>, params: Params) -> Result<Json<AntResource>, ApiError> {
    set(context, id, params, AntMode::Open).await
}

/// Give an ant no new work, to take it away when it has none
///
/// It is empty when `used` is 0.
#[utoipa::path(
    post, path = "/api/v1/ants/{id}/drain", tag = "ants", operation_id = "drain_ant",
    params(("id" = String, Path, description = "The ant")),
    responses((status = 200, body = AntResource))
)]
async fn drain(context: State<Context>, id: Path<String>, params: Params) -> Result<Json<AntResource>, ApiError> {
    set(context, id, params, AntMode::Draining).await
}

async fn set(
    State(context): State<Context>,
    Path(id): Path<String>,
    params: Params,
    mode: AntMode,
) -> Result<Json<AntResource>, ApiError> {
    params.finish()?;
    Ok(Json(context.queen.set_ant_mode(&AntId(id), mode).await?))
}
