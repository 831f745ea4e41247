//! What a job would do. Nothing is run or stored, and neither configs nor secrets are looked at.

use std::sync::Arc;
use std::time::Duration;

use atta_core::definition::{JobDefinition, KnownConfigs, Limits, load_with};
use atta_core::protocol::api::FieldViolation;
use atta_core::protocol::rehearsals::{RehearsalRequest, TaskAssumption};
use atta_core::rehearsal::{AssumeError, Assumptions, Rehearsal, RehearsalError, rehearse_while};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use indexmap::IndexMap;
use utoipa_axum::routes;

use super::Context;
use super::access::{Access, Routes};
use super::definitions::{file_name, invalid, unknown, unknown_version};
use super::problem::ApiError;
use super::request::{Params, json};

/// How long one rehearsal may take.
const LONGEST: Duration = Duration::from_secs(5);

pub(super) fn routes() -> Routes {
    Routes::new().with(Access::VIEWER, routes!(rehearse))
}

/// Say what a job would do
///
/// The engine itself in virtual time, with assumed results, as `atta plan` does it: nothing is run or stored. Configs and secrets
/// are not known to it; what depends on them, or on outputs that are not assumed, is assumed and listed in `assumed`.
#[utoipa::path(
    post, path = "/api/v1/definitions:rehearse", tag = "definitions", operation_id = "rehearse_definition",
    request_body = RehearsalRequest,
    responses((status = 200, body = Rehearsal))
)]
async fn rehearse(
    State(context): State<Context>,
    params: Params,
    request: Request,
) -> Result<Json<Rehearsal>, ApiError> {
    params.finish()?;
    let request: RehearsalRequest = json(request).await?;
    let (file, source) = source(&context, &request).await?;
    let permit = context.rehearsal_permit()?;
    let clock = context.clock.clone();
    // Gone when whoever asks does not wait any more.
    let waits = Arc::new(());
    let asked = Arc::downgrade(&waits);
    let play = move || {
        let end = clock.monotonic() + LONGEST;
        let goes_on = || asked.strong_count() > 0 && clock.monotonic() < end;
        let loaded = load_with(&file, source.as_bytes(), &Limits::default(), KnownConfigs::Any);
        let Some(definition) = loaded.definition else {
            return Err(invalid(&file, source.as_bytes(), &loaded.diagnostics, "so nothing can be said"));
        };
        let assumptions = assumptions(&definition, &request.assume)?;
        let rehearsal = rehearse_while(&definition, &request.params, &assumptions, &goes_on).map_err(refusal)?;
        drop(permit);
        Ok(Json(rehearsal))
    };
    // It may take a while: not on a thread that serves requests.
    let played = tokio::task::spawn_blocking(play).await;
    drop(waits);
    played.map_err(|error| ApiError::internal(&error))?
}

/// The text of the definition, and its name for messages.
async fn source(context: &Context, request: &RehearsalRequest) -> Result<(String, String), ApiError> {
    match (&request.source, &request.job_type) {
        (Some(source), None) if request.version.is_none() => Ok((file_name(request.file.clone())?, source.clone())),
        (None, Some(job_type)) => {
            let version = match &request.version {
                Some(version) => version.clone(),
                None => context.reads.definition(job_type).await?.ok_or_else(|| unknown(job_type))?.version,
            };
            let found = context.reads.version(job_type, &version).await?;
            Ok((job_type.clone(), found.ok_or_else(|| unknown_version(job_type, &version))?.source))
        }
        _ => Err(unprocessable("INVALID_REQUEST", "the request does not name one definition").with_violation(
            "source",
            "INVALID",
            "either `source` is expected, or `job_type` and perhaps `version`",
        )),
    }
}

fn unprocessable(code: &'static str, detail: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
}

fn assumptions(definition: &JobDefinition, given: &IndexMap<String, TaskAssumption>) -> Result<Assumptions, ApiError> {
    let mut assumptions = Assumptions::default();
    let mut wrong = Vec::new();
    for (task, assumed) in given {
        let TaskAssumption { results, when, items, outputs } = assumed;
        let mut take = |part: &str, taken: Result<(), AssumeError>| {
            if let Err(error) = taken {
                let (field, code) = match &error {
                    AssumeError::UnknownTask(..) => (format!("assume.{task}"), "UNKNOWN"),
                    _ => (format!("assume.{task}.{part}"), "INVALID"),
                };
                wrong.push(FieldViolation { field, code: code.to_owned(), message: error.to_string() });
            }
        };
        if !results.is_empty() {
            take("results", assumptions.results(definition, task, results.iter().map(String::as_str)));
        }
        if let Some(holds) = when {
            take("when", assumptions.condition(definition, task, *holds));
        }
        if let Some(count) = items {
            take("items", assumptions.items(definition, task, *count));
        }
        if let Some(outputs) = outputs {
            take("outputs", assumptions.outputs(definition, task, outputs.clone()));
        }
    }
    if wrong.is_empty() {
        return Ok(assumptions);
    }
    let mut error =
        unprocessable("INVALID_ASSUMPTION", format!("what is assumed does not fit {}", definition.job_type));
    error.violations = wrong;
    Err(error)
}

fn refusal(error: RehearsalError) -> ApiError {
    let detail = error.to_string();
    match error {
        RehearsalError::Params(violations) => ApiError { violations, ..unprocessable("INVALID_PARAMS", detail) },
        RehearsalError::Fields(_) => unprocessable("INVALID_PARAMS", detail),
        RehearsalError::Endless => unprocessable("REHEARSAL_ENDLESS", detail),
        RehearsalError::TooLong => unprocessable("REHEARSAL_TOO_LONG", detail),
        RehearsalError::Engine(error) => ApiError::internal(&error),
    }
}
