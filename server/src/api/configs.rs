//! Configs and secrets of the organisation and of definitions. The value of a secret is never answered.

use atta_core::protocol::api::{ConfigRequest, ConfigResource, NamedConfigRequest, Page, SecretsStatus};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::de::DeserializeOwned;
use utoipa_axum::routes;

use super::Context;
use super::access::{Access, Routes};
use super::page::{Binding, tagged};
use super::problem::ApiError;
use super::request::{Params, Path, json};

pub(super) fn routes() -> Routes {
    Routes::new()
        .with(Access::VIEWER, routes!(list))
        .with(Access::VIEWER, routes!(get))
        .with(Access::ADMIN, routes!(put, remove))
        .with(Access::VIEWER, routes!(list_of_definition))
        .with(Access::VIEWER, routes!(get_of_definition))
        .with(Access::ADMIN, routes!(put_of_definition, remove_of_definition))
        .with(Access::ADMIN, routes!(put_short))
        .with(Access::VIEWER, routes!(status))
        .with(Access::ADMIN, routes!(rotate))
}

/// A body that may hold a secret: what is wrong with it is said without showing it.
async fn body<T: DeserializeOwned>(request: Request) -> Result<T, ApiError> {
    json(request).await.map_err(|mut error: ApiError| {
        for violation in &mut error.violations {
            "a JSON object is expected: {\"value\": …, \"secret\": true or false}".clone_into(&mut violation.message);
        }
        error
    })
}

fn one(context: &Context, headers: &HeaderMap, scope: &str, name: &str) -> Result<Response, ApiError> {
    let found = context.queen.secrets().get(scope, name);
    tagged(headers, &found.ok_or_else(|| ApiError::not_found(format_args!("config {name}")))?)
}

fn page(context: &Context, headers: &HeaderMap, scope: &str, mut params: Params) -> Result<Response, ApiError> {
    let limit = params.limit()?;
    let cursor = params.one("cursor")?;
    params.finish()?;
    let binding = Binding::new("configs", &scope);
    let after: String = binding.key(cursor.as_deref())?.unwrap_or_default();
    let rows = context.queen.secrets().list(scope, &after, limit + 1);
    tagged(headers, &binding.page(rows, limit, |row| row.name.clone())?)
}

/// List the organisation's configs by name
#[utoipa::path(
    get, path = "/api/v1/configs", tag = "configs", operation_id = "list_configs",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "Rows of a page, 50 by default"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, body = Page<ConfigResource>), (status = 304, description = "Not changed"))
)]
async fn list(State(context): State<Context>, headers: HeaderMap, params: Params) -> Result<Response, ApiError> {
    page(&context, &headers, "", params)
}

/// Get a config of the organisation
#[utoipa::path(
    get, path = "/api/v1/configs/{name}", tag = "configs", operation_id = "get_config",
    params(("name" = String, Path, description = "The config's name")),
    responses((status = 200, body = ConfigResource), (status = 304, description = "Not changed"))
)]
async fn get(
    State(context): State<Context>,
    Path(name): Path<String>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    params.finish()?;
    one(&context, &headers, "", &name)
}

/// Set a config or a secret of the organisation
#[utoipa::path(
    put, path = "/api/v1/configs/{name}", tag = "configs", operation_id = "put_config",
    params(("name" = String, Path, description = "Letters, digits and `_`")),
    request_body = ConfigRequest,
    responses((status = 200, body = ConfigResource))
)]
async fn put(
    State(context): State<Context>,
    Path(name): Path<String>,
    params: Params,
    request: Request,
) -> Result<Json<ConfigResource>, ApiError> {
    params.finish()?;
    let ConfigRequest { value, secret, allow_short } = body(request).await?;
    Ok(Json(context.queen.put_config(None, &name, value, secret, allow_short).await?))
}

/// Set a config or a secret of the organisation (short form)
#[utoipa::path(
    post, path = "/api/orgs/default/configs", tag = "configs", operation_id = "put_config_short",
    request_body = NamedConfigRequest,
    responses((status = 200, body = ConfigResource))
)]
async fn put_short(
    State(context): State<Context>,
    params: Params,
    request: Request,
) -> Result<Json<ConfigResource>, ApiError> {
    params.finish()?;
    let NamedConfigRequest { name, value, secret, allow_short } = body(request).await?;
    Ok(Json(context.queen.put_config(None, &name, value, secret, allow_short).await?))
}

/// Remove a config or a secret of the organisation
#[utoipa::path(
    delete, path = "/api/v1/configs/{name}", tag = "configs", operation_id = "remove_config",
    params(("name" = String, Path, description = "The config's name")),
    responses((status = 204, description = "It is gone"))
)]
async fn remove(
    State(context): State<Context>,
    Path(name): Path<String>,
    params: Params,
) -> Result<StatusCode, ApiError> {
    params.finish()?;
    context.queen.remove_config(None, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the configs of a definition by name
///
/// They exist apart from the definition: they can be set before it is uploaded.
#[utoipa::path(
    get, path = "/api/v1/definitions/{job_type}/configs", tag = "configs", operation_id = "list_definition_configs",
    params(
        ("job_type" = String, Path, description = "The definition's name"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "Rows of a page, 50 by default"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, body = Page<ConfigResource>), (status = 304, description = "Not changed"))
)]
async fn list_of_definition(
    State(context): State<Context>,
    Path(job_type): Path<String>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    page(&context, &headers, &job_type, params)
}

/// Get a config of a definition
#[utoipa::path(
    get, path = "/api/v1/definitions/{job_type}/configs/{name}", tag = "configs",
    operation_id = "get_definition_config",
    params(
        ("job_type" = String, Path, description = "The definition's name"),
        ("name" = String, Path, description = "The config's name"),
    ),
    responses((status = 200, body = ConfigResource), (status = 304, description = "Not changed"))
)]
async fn get_of_definition(
    State(context): State<Context>,
    Path((job_type, name)): Path<(String, String)>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    params.finish()?;
    one(&context, &headers, &job_type, &name)
}

/// Set a config or a secret of a definition
#[utoipa::path(
    put, path = "/api/v1/definitions/{job_type}/configs/{name}", tag = "configs",
    operation_id = "put_definition_config",
    params(
        ("job_type" = String, Path, description = "The definition's name"),
        ("name" = String, Path, description = "Letters, digits and `_`"),
    ),
    request_body = ConfigRequest,
    responses((status = 200, body = ConfigResource))
)]
async fn put_of_definition(
    State(context): State<Context>,
    Path((job_type, name)): Path<(String, String)>,
    params: Params,
    request: Request,
) -> Result<Json<ConfigResource>, ApiError> {
    params.finish()?;
    let ConfigRequest { value, secret, allow_short } = body(request).await?;
    Ok(Json(context.queen.put_config(Some(&job_type), &name, value, secret, allow_short).await?))
}

/// Remove a config or a secret of a definition
#[utoipa::path(
    delete, path = "/api/v1/definitions/{job_type}/configs/{name}", tag = "configs",
    operation_id = "remove_definition_config",
    params(
        ("job_type" = String, Path, description = "The definition's name"),
        ("name" = String, Path, description = "The config's name"),
    ),
    responses((status = 204, description = "It is gone"))
)]
async fn remove_of_definition(
    State(context): State<Context>,
    Path((job_type, name)): Path<(String, String)>,
    params: Params,
) -> Result<StatusCode, ApiError> {
    params.finish()?;
    context.queen.remove_config(Some(&job_type), &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How the keys and the secrets stand
#[utoipa::path(
    get, path = "/api/v1/secrets/status", tag = "configs", operation_id = "secrets_status",
    responses((status = 200, body = SecretsStatus))
)]
async fn status(State(context): State<Context>, params: Params) -> Result<Json<SecretsStatus>, ApiError> {
    params.finish()?;
    Ok(Json(context.queen.secrets().status()))
}

/// Encrypt all secrets anew with a new key
///
/// The server goes on meanwhile. The answer comes when all is done and the old key is forgotten; who does not wait for it
/// does not stop it.
#[utoipa::path(
    post, path = "/api/v1/secrets/rotate-key", tag = "configs", operation_id = "rotate_secrets_key",
    responses((status = 200, body = SecretsStatus))
)]
async fn rotate(State(context): State<Context>, params: Params) -> Result<Json<SecretsStatus>, ApiError> {
    params.finish()?;
    Ok(Json(context.queen.rotate_key().await?))
}
