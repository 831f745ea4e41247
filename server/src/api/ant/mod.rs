//! The line to remote ants. An ant asks, the queen answers; nothing is ever sent to an ant by itself, so that ants work
//! behind NAT.
//!
//! * `messages`: polls, reports, heartbeats
//! * `log`: pieces of logs
//! * `blobs`: artifacts, in parts when a connection breaks

mod blobs;
mod log;
mod messages;

use atta_core::protocol::AntId;
use atta_core::protocol::ant::{PROTOCOL, PROTOCOL_HEADER};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use utoipa_axum::routes;

use super::access::{Access, Routes};
use super::problem::ApiError;
use crate::auth::Caller;
use crate::line::LineError;

/// The id of the ant inside of the server.
const EMBEDDED: &str = "local";

pub(super) fn routes() -> Routes {
    Routes::new()
        .with(Access::ANT, routes!(messages::hello))
        .with(Access::ANT, routes!(messages::poll))
        .with(Access::ANT, routes!(messages::report))
        .with(Access::ANT, routes!(messages::heartbeat))
        .with(Access::ANT, routes!(log::append))
        .with(Access::ANT, routes!(blobs::head, blobs::get, blobs::put))
}

/// That the ant speaks a protocol that is understood here: this one, or that of one version before or after.
struct Spoken;

impl<S: Send + Sync> FromRequestParts<S> for Spoken {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let value = parts.headers.get(PROTOCOL_HEADER);
        let spoken: Option<u32> = value.and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
        let Some(spoken) = spoken else {
            return Err(ApiError::bad_request(format!(
                "the header {PROTOCOL_HEADER} must say which protocol the ant speaks"
            )));
        };
        if spoken.abs_diff(PROTOCOL) <= 1 {
            return Ok(Self);
        }
        let older = if spoken < PROTOCOL { "ant" } else { "server" };
        Err(ApiError::new(
            StatusCode::UPGRADE_REQUIRED,
            "PROTOCOL",
            format!("the ant speaks protocol {spoken} and this server {PROTOCOL}, and they may differ by one: upgrade the {older}"),
        )
        .with_header(HeaderName::from_static(PROTOCOL_HEADER), HeaderValue::from(PROTOCOL)))
    }
}

/// That whoever holds the token may speak for this ant.
fn check_ant(caller: Option<&Caller>, ant: &AntId) -> Result<(), ApiError> {
    let forbidden = |code, detail: String| Err(ApiError::new(StatusCode::FORBIDDEN, code, detail));
    if !atta_core::definition::is_person_name(&ant.0) {
        return Err(ApiError::bad_request(
            "an ant's id takes letters, digits, `.`, `_`, `@`, `+` and `-`, at most 100, a letter or digit first",
        ));
    }
    if ant.0 == EMBEDDED {
        return forbidden("ANT_RESERVED", format!("{EMBEDDED} is the ant inside of the server: choose another id"));
    }
    match caller.and_then(|caller| caller.ant.as_ref().map(|only| (caller, only))) {
        Some((caller, only)) if *only != ant.0 => {
            forbidden("ANT_OF_ANOTHER", format!("the token {} is for the ant {only}, not for {ant}", caller.token))
        }
        _ => Ok(()),
    }
}

/// That the ant may have its tags.
fn check_tags(caller: Option<&Caller>, tags: &[String]) -> Result<(), ApiError> {
    let Some((caller, allowed)) = caller.and_then(|caller| Some((caller, caller.tags.as_ref()?))) else {
        return Ok(());
    };
    match tags.iter().find(|tag| !allowed.contains(tag)) {
        None => Ok(()),
        Some(tag) => {
            let allowed = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
            let detail = format!("the token {} does not allow the tag {tag}; it allows: {allowed}", caller.token);
            Err(ApiError::new(StatusCode::FORBIDDEN, "TAG_NOT_ALLOWED", detail))
        }
    }
}

impl From<LineError> for ApiError {
    fn from(error: LineError) -> Self {
        use crate::artifacts::ArtifactError;
        use crate::logs::LogError;
        let refused =
            |code, error: &dyn std::error::Error| Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, error.to_string());
        match error {
            LineError::Refused(refusal) => refusal.into(),
            // A full disk may have space again: the ant says it once more.
            LineError::Log(error @ (LogError::Write { .. } | LogError::Read { .. })) => {
                tracing::error!(%error, "a log was not stored");
                Self::unavailable("LOG_UNAVAILABLE", error.to_string())
            }
            LineError::Log(error) => refused("LOG_REFUSED", &error),
            LineError::Artifact(error @ ArtifactError::Io { .. }) => {
                tracing::error!(%error, "a content was not stored or read");
                Self::unavailable("BLOB_UNAVAILABLE", error.to_string())
            }
            LineError::Artifact(ArtifactError::Missing(digest)) => Self::not_found(format_args!("content {digest}")),
            LineError::Artifact(error) => refused("BLOB_REFUSED", &error),
        }
    }
}
