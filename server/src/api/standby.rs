//! What a server answers that waits for its turn: that it lives and waits, and to everything else that it cannot.

use atta_core::protocol::api::{HealthReport, VersionInfo};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use indexmap::IndexMap;

use super::problem::ApiError;

/// What is said about it.
const WAITS: &str = "another server is active on this database; this one takes over when that is gone";

/// Routes of a server that waits.
pub(crate) fn standby_router(version: &'static str) -> Router {
    let live = || async {
        Json(HealthReport {
            status: "ok".to_owned(),
            checks: IndexMap::new(),
            components: Vec::new(),
            degradation: None,
        })
    };
    let version = move || async move { Json(VersionInfo { version: version.to_owned(), api: "v1".to_owned() }) };
    Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(waits))
        .route("/health/deep", get(waits))
        .route("/api/v1/version", get(version))
        .fallback(refuse)
}

async fn waits() -> Response {
    let checks = IndexMap::from([("writer".to_owned(), WAITS.to_owned())]);
    (
        StatusCode::SERVICE_UNAVAILABLE,
        Json(HealthReport { status: "standby".to_owned(), checks, components: Vec::new(), degradation: None }),
    )
        .into_response()
}

async fn refuse() -> Response {
    ApiError::unavailable("STANDBY", WAITS).render("standby")
}
