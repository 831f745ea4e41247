//! Problem answers, RFC 9457. Handlers say what is wrong; the envelope adds the request's id and renders.

use atta_core::protocol::api::{FieldViolation, Problem};
use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::artifacts::ArtifactError;
use crate::logs::LogError;
use crate::scheduler::Refusal;
use crate::store::StoreError;

/// What clients are told to wait before they try again, in seconds.
const RETRY_AFTER: &str = "2";

/// A request that is answered with a problem.
#[derive(Debug, Clone)]
pub(super) struct ApiError {
    pub status: StatusCode,
    pub code: &'static str,
    pub detail: String,
    pub violations: Vec<FieldViolation>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), violations: Vec::new(), headers: Vec::new() }
    }

    pub(super) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", format!("{what} not found"))
    }

    pub(super) fn gone(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, code, detail)
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", detail)
    }

    pub(super) fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
            .with_header(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER))
    }

    /// Something that is the server's own fault. It is logged here, once; the client learns the request's id.
    pub(super) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", format!("the server failed: {error}"))
    }

    #[must_use]
    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    #[must_use]
    pub(super) fn with_violation(
        mut self,
        field: impl Into<String>,
        code: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        self.violations.push(FieldViolation { field: field.into(), code: code.into(), message: message.into() });
        self
    }

    /// The answer.
    pub(super) fn render(self, request_id: &str) -> Response {
        let problem = Problem {
            problem_type: "about:blank".to_owned(),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            code: self.code.to_owned(),
            detail: self.detail,
            request_id: request_id.to_owned(),
            field_violations: self.violations,
        };
        let mut response = (self.status, Json(problem)).into_response();
        response.headers_mut().extend(self.headers);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let sentence = refusal.to_string();
        match refusal {
            Refusal::NotFound { what } => Self::not_found(what),
            Refusal::Invalid { code, message, violations } => {
                let status =
                    if code == "BAD_REQUEST" { StatusCode::BAD_REQUEST } else { StatusCode::UNPROCESSABLE_ENTITY };
                Self { violations, ..Self::new(status, code, message) }
            }
            Refusal::Conflict { code, message } => Self::new(StatusCode::CONFLICT, code, message),
            Refusal::Duplicate { .. } => Self::new(StatusCode::CONFLICT, "DUPLICATE_USER_KEY", sentence),
            Refusal::Forbidden { code, message } => Self::new(StatusCode::FORBIDDEN, code, message),
            Refusal::Gone { code, message } => Self::gone(code, message),
            Refusal::TooMany { code, message } => Self::new(StatusCode::TOO_MANY_REQUESTS, code, message)
                .with_header(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER)),
            Refusal::Unavailable { message } => Self::unavailable("UNAVAILABLE", message),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Database(sqlx::Error::PoolTimedOut) => {
                Self::unavailable("BUSY", "too many reads wait for the database: try again")
            }
            StoreError::Database(sqlx::Error::PoolClosed) => {
                Self::unavailable("UNAVAILABLE", "the server shuts down: try again")
            }
            error if error.is_unreachable() => Self::unavailable("UNAVAILABLE", format!("{error}: try again")),
            error => Self::internal(&error),
        }
    }
}

impl From<LogError> for ApiError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::BadAttempt(_) => Self::not_found("attempt"),
            error => Self::internal(&error),
        }
    }
}

impl From<ArtifactError> for ApiError {
    fn from(error: ArtifactError) -> Self {
        match error {
            ArtifactError::Missing(digest) => Self::new(
                StatusCode::GONE,
                "ARTIFACT_GONE",
                format!("the content of this artifact ({digest}) is not stored any more"),
            ),
            error => Self::internal(&error),
        }
    }
}
