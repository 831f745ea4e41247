//! Definitions: upload, list, get, versions, validate, enable and disable.

use std::sync::Arc;

use atta_core::definition::{Diagnostic, KnownConfigs, Limits, Severity, load, load_with, violations};
use atta_core::protocol::api::{DefinitionResource, Page, ValidationReport, VersionResource, VersionSummary};
use atta_core::protocol::graph::GraphResource;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::routes;

use super::Context;
use super::access::{Access, Routes};
use super::page::{Binding, tagged};
use super::problem::ApiError;
use super::request::{Params, Path, yaml};

/// How many coming runs a validation shows.
const NEXT_RUNS: usize = 5;

pub(super) fn routes() -> Routes {
    Routes::new()
        .with(Access::VIEWER, routes!(list))
        .with(Access::ADMIN, routes!(upload))
        .with(Access::SUBMITTER, routes!(validate))
        .with(Access::VIEWER, routes!(get))
        .with(Access::VIEWER, routes!(versions))
        .with(Access::VIEWER, routes!(version))
        .with(Access::ADMIN, routes!(enable))
        .with(Access::ADMIN, routes!(disable))
        .with(Access::ADMIN, routes!(upload_short))
}

/// Store a definition
///
/// The body is the YAML text. The same text again is the same version (200); anything else is a new one (201). With
/// problems nothing is stored; each stands in `field_violations` with `file:line:column`.
#[utoipa::path(
    post, path = "/api/v1/definitions", tag = "definitions", operation_id = "upload_definition",
    params(("file" = Option<String>, Query, description = "The file's name, for messages")),
    request_body(content = String, content_type = "application/yaml"),
    responses(
        (status = 201, body = DefinitionResource, description = "A new version"),
        (status = 200, body = DefinitionResource, description = "The version existed already"),
    )
)]
async fn upload(State(context): State<Context>, params: Params, request: Request) -> Result<Response, ApiError> {
    store(&context, params, request).await
}

/// Store a definition (short form)
///
/// The same as `POST /api/v1/definitions`.
#[utoipa::path(
    post, path = "/api/jobs/definitions", tag = "definitions", operation_id = "upload_definition_short",
    params(("file" = Option<String>, Query, description = "The file's name, for messages")),
    request_body(content = String, content_type = "application/yaml"),
    responses(
        (status = 201, body = DefinitionResource, description = "A new version"),
        (status = 200, body = DefinitionResource, description = "The version existed already"),
    )
)]
async fn upload_short(State(context): State<Context>, params: Params, request: Request) -> Result<Response, ApiError> {
    store(&context, params, request).await
}

async fn store(context: &Context, params: Params, request: Request) -> Result<Response, ApiError> {
    let (file, body) = source(params, request).await?;
    let Ok(source) = std::str::from_utf8(&body) else {
        // The loader says where it stops being text.
        let found = load(&file, &body, &Limits::default()).diagnostics;
        return Err(invalid(&file, &body, &found, "nothing was stored"));
    };
    let known = context.reads.knows_source(source).await?;
    let definition = context.queen.upload_definition(&file, source).await?;
    let status = if known { StatusCode::OK } else { StatusCode::CREATED };
    let mut response = (status, Json(&definition)).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/definitions/{}", definition.job_type)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

async fn source(mut params: Params, request: Request) -> Result<(String, axum::body::Bytes), ApiError> {
    let file = params.one("file")?;
    params.finish()?;
    Ok((file_name(file)?, yaml(request).await?))
}

/// The name that messages give to a text.
pub(super) fn file_name(given: Option<String>) -> Result<String, ApiError> {
    let file = given.unwrap_or_else(|| "definition.yaml".to_owned());
    if file.is_empty() || file.len() > 255 || file.chars().any(char::is_control) {
        return Err(ApiError::bad_request("`file` must be a file's name of 1 to 255 bytes without control characters"));
    }
    Ok(file)
}

/// What is wrong with a definition, and what was therefore not done.
pub(super) fn invalid(file: &str, source: &[u8], found: &[Diagnostic], consequence: &str) -> ApiError {
    let errors: Vec<Diagnostic> = found.iter().filter(|one| one.severity == Severity::Error).cloned().collect();
    let mut error = ApiError::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "INVALID_DEFINITION",
        format!("{file} has {} problem(s); {consequence}", errors.len()),
    );
    error.violations = violations(file, source, &errors);
    error
}

/// Check a definition
///
/// Nothing is stored. The answer is 200 for invalid definitions too; `valid` says which.
#[utoipa::path(
    post, path = "/api/v1/definitions:validate", tag = "definitions", operation_id = "validate_definition",
    params(("file" = Option<String>, Query, description = "The file's name, for messages")),
    request_body(content = String, content_type = "application/yaml"),
    responses((status = 200, body = ValidationReport))
)]
async fn validate(
    State(context): State<Context>,
    params: Params,
    request: Request,
) -> Result<Json<ValidationReport>, ApiError> {
    let (file, body) = source(params, request).await?;
    let now = context.clock.now();
    let secrets = Arc::clone(context.queen.secrets());
    let check = move || {
        let exists = |job_type: &str, name: &str| secrets.has_config(job_type, name);
        let loaded = load_with(&file, &body, &Limits::default(), KnownConfigs::These(&exists));
        let (errors, warnings): (Vec<_>, Vec<_>) =
            loaded.diagnostics.into_iter().partition(|one| one.severity == Severity::Error);
        let schedule = loaded.definition.as_ref().and_then(|definition| definition.schedule.as_ref());
        ValidationReport {
            valid: loaded.definition.is_some(),
            job_type: loaded.definition.as_ref().map(|definition| definition.job_type.clone()),
            tasks: loaded
                .definition
                .as_ref()
                .map(|definition| u32::try_from(definition.tasks.len()).unwrap_or(u32::MAX)),
            errors: violations(&file, &body, &errors),
            warnings: violations(&file, &body, &warnings),
            schedule: schedule.map(atta_core::definition::Schedule::describe),
            next_runs: schedule.map(|schedule| schedule.upcoming_local(now, NEXT_RUNS)).unwrap_or_default(),
            graph: loaded.definition.as_ref().and_then(GraphResource::of),
        }
    };
    // A large or hostile file takes a while: not on a thread that serves requests.
    let report = tokio::task::spawn_blocking(check).await.map_err(|error| ApiError::internal(&error))?;
    Ok(Json(report))
}

/// List definitions by name
#[utoipa::path(
    get, path = "/api/v1/definitions", tag = "definitions", operation_id = "list_definitions",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "Rows of a page, 50 by default"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, body = Page<DefinitionResource>))
)]
async fn list(State(context): State<Context>, headers: HeaderMap, mut params: Params) -> Result<Response, ApiError> {
    let limit = params.limit()?;
    let cursor = params.one("cursor")?;
    params.finish()?;
    let binding = Binding::new("definitions", &());
    let after: String = binding.key(cursor.as_deref())?.unwrap_or_default();
    let rows = context.reads.definitions(&after, limit + 1).await?;
    tagged(&headers, &binding.page(rows, limit, |row| row.job_type.clone())?)
}

/// Get a definition
#[utoipa::path(
    get, path = "/api/v1/definitions/{job_type}", tag = "definitions", operation_id = "get_definition",
    params(("job_type" = String, Path, description = "The definition's name")),
    responses((status = 200, body = DefinitionResource), (status = 304, description = "Not changed"))
)]
async fn get(
    State(context): State<Context>,
    Path(job_type): Path<String>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    params.finish()?;
    let definition = context.reads.definition(&job_type).await?;
    tagged(&headers, &definition.ok_or_else(|| unknown(&job_type))?)
}

pub(super) fn unknown(job_type: &str) -> ApiError {
    ApiError::not_found(format_args!("definition {job_type}"))
}

pub(super) fn unknown_version(job_type: &str, version: &str) -> ApiError {
    ApiError::not_found(format_args!("version {version} of definition {job_type}"))
}

/// List the versions of a definition, newest first
#[utoipa::path(
    get, path = "/api/v1/definitions/{job_type}/versions", tag = "definitions", operation_id = "list_versions",
    params(
        ("job_type" = String, Path, description = "The definition's name"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "Rows of a page, 50 by default"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, body = Page<VersionSummary>))
)]
async fn versions(
    State(context): State<Context>,
    Path(job_type): Path<String>,
    mut params: Params,
) -> Result<Json<Page<VersionSummary>>, ApiError> {
    let limit = params.limit()?;
    let cursor = params.one("cursor")?;
    params.finish()?;
    let binding = Binding::new("versions", &job_type);
    let before: Option<(i64, String)> = binding.key(cursor.as_deref())?;
    let before = before.as_ref().map(|(at, version)| (*at, version.as_str()));
    let rows = context.reads.versions(&job_type, before, limit + 1).await?;
    if rows.is_empty() && before.is_none() {
        return Err(unknown(&job_type));
    }
    let page = binding.page(rows, limit, |(at, row)| (*at, row.version.clone()))?;
    Ok(Json(Page { items: page.items.into_iter().map(|(_, row)| row).collect(), next_cursor: page.next_cursor }))
}

/// Get a version with its text
#[utoipa::path(
    get, path = "/api/v1/definitions/{job_type}/versions/{version}", tag = "definitions",
    operation_id = "get_version",
    params(
        ("job_type" = String, Path, description = "The definition's name"),
        ("version" = String, Path, description = "Content hash or semantic version"),
    ),
    responses((status = 200, body = VersionResource), (status = 304, description = "Not changed"))
)]
async fn version(
    State(context): State<Context>,
    Path((job_type, version)): Path<(String, String)>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    params.finish()?;
    let found = context.reads.version(&job_type, &version).await?;
    let mut found = found.ok_or_else(|| unknown_version(&job_type, &version))?;
    let draw = move || {
        let loaded = load(&found.job_type, found.source.as_bytes(), &Limits::default());
        found.graph = loaded.definition.as_ref().and_then(GraphResource::of);
        found
    };
    // As for a validation.
    let found = tokio::task::spawn_blocking(draw).await.map_err(|error| ApiError::internal(&error))?;
    tagged(&headers, &found)
}

/// Enable a definition: it takes jobs and its schedule runs
#[utoipa::path(
    post, path = "/api/v1/definitions/{job_type}/enable", tag = "definitions", operation_id = "enable_definition",
    params(("job_type" = String, Path, description = "The definition's name")),
    responses((status = 200, body = DefinitionResource))
)]
async fn enable(
    State(context): State<Context>,
    Path(job_type): Path<String>,
    params: Params,
) -> Result<Json<DefinitionResource>, ApiError> {
    params.finish()?;
    Ok(Json(context.queen.set_enabled(&job_type, true).await?))
}

/// Disable a definition: it takes no jobs and its schedule rests
#[utoipa::path(
    post, path = "/api/v1/definitions/{job_type}/disable", tag = "definitions", operation_id = "disable_definition",
    params(("job_type" = String, Path, description = "The definition's name")),
    responses((status = 200, body = DefinitionResource))
)]
async fn disable(
    State(context): State<Context>,
    Path(job_type): Path<String>,
    params: Params,
) -> Result<Json<DefinitionResource>, ApiError> {
    params.finish()?;
    Ok(Json(context.queen.set_enabled(&job_type, false).await?))
}
