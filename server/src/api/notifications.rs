//! Notifications: what is told to whom, and how far it has come.

use atta_core::protocol::JobId;
use atta_core::protocol::api::Page;
use atta_core::protocol::people::{DeliveryState, NotificationResource};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use utoipa_axum::routes;

use super::Context;
use super::access::{Access, Routes};
use super::page::{Binding, tagged};
use super::problem::ApiError;
use super::request::{Params, Path};
use crate::store::NotificationFilter;

pub(super) fn routes() -> Routes {
    Routes::new()
        .with(Access::VIEWER, routes!(list))
        .with(Access::VIEWER, routes!(get))
        .with(Access::OPERATOR, routes!(retry))
}

fn state_by_name(name: &str) -> Result<DeliveryState, String> {
    serde_json::from_value(serde_json::Value::from(name.to_ascii_uppercase()))
        .map_err(|_| "one of PENDING, SENT, DEAD is expected".to_owned())
}

/// List notifications, newest first
#[utoipa::path(
    get, path = "/api/v1/notifications", tag = "notifications", operation_id = "list_notifications",
    params(
        ("state" = Option<DeliveryState>, Query, description = "How far they have come; DEAD: given up"),
        ("job" = Option<String>, Query, description = "About this job"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "Rows of a page, 50 by default"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before, with the same filters"),
    ),
    responses((status = 200, body = Page<NotificationResource>), (status = 304, description = "Not changed"))
)]
async fn list(State(context): State<Context>, headers: HeaderMap, mut params: Params) -> Result<Response, ApiError> {
    let filter =
        NotificationFilter { state: params.parsed("state", state_by_name)?, job: params.one("job")?.map(JobId) };
    let limit = params.limit()?;
    let cursor = params.one("cursor")?;
    params.finish()?;
    let binding = Binding::new("notifications", &filter);
    let before: Option<String> = binding.key(cursor.as_deref())?;
    let rows = context.reads.notifications(&filter, before.as_deref(), limit + 1).await?;
    tagged(&headers, &binding.page(rows, limit, |row| row.notification_id.clone())?)
}

/// Get a notification
#[utoipa::path(
    get, path = "/api/v1/notifications/{id}", tag = "notifications", operation_id = "get_notification",
    params(("id" = String, Path, description = "The notification's id")),
    responses((status = 200, body = NotificationResource), (status = 304, description = "Not changed"))
)]
async fn get(
    State(context): State<Context>,
    Path(id): Path<String>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    params.finish()?;
    tagged(&headers, &find(&context, &id).await?)
}

async fn find(context: &Context, id: &str) -> Result<NotificationResource, ApiError> {
    let found = context.reads.notification(id).await?;
    found.ok_or_else(|| ApiError::not_found(format_args!("notification {id}")))
}

/// Send a notification again that was given up
///
/// One that still waits is brought forward; one that has arrived is not sent twice.
#[utoipa::path(
    post, path = "/api/v1/notifications/{id}/retry", tag = "notifications", operation_id = "retry_notification",
    params(("id" = String, Path, description = "The notification's id")),
    responses((status = 202, body = NotificationResource))
)]
async fn retry(State(context): State<Context>, Path(id): Path<String>, params: Params) -> Result<Response, ApiError> {
    params.finish()?;
    context.queen.redeliver(&id).await?;
    Ok((StatusCode::ACCEPTED, Json(find(&context, &id).await?)).into_response())
}
