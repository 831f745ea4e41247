//! API tokens, and what was done with them.

use atta_core::protocol::access::{AuditEntry, CallerResource, NewToken, Role, TokenRequest, TokenResource};
use atta_core::protocol::api::Page;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::routes;

use super::Context;
use super::access::{Access, Asker, Routes};
use super::page::{Binding, tagged};
use super::problem::ApiError;
use super::request::{Params, Path, json};

pub(super) fn routes() -> Routes {
    Routes::new()
        .with(Access::ADMIN, routes!(list, create))
        .with(Access::ADMIN, routes!(revoke))
        .with(Access::ADMIN, routes!(audit))
        .with(Access::VIEWER, routes!(whoami))
}

/// List the API tokens, those too that are no good any more
#[utoipa::path(
    get, path = "/api/v1/tokens", tag = "access", operation_id = "list_tokens",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "Rows of a page, 50 by default"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, body = Page<TokenResource>), (status = 304, description = "Not changed"))
)]
async fn list(State(context): State<Context>, headers: HeaderMap, mut params: Params) -> Result<Response, ApiError> {
    let limit = params.limit()?;
    let cursor = params.one("cursor")?;
    params.finish()?;
    let binding = Binding::new("tokens", &());
    let after: String = binding.key(cursor.as_deref())?.unwrap_or_default();
    let rows = context.queen.tokens().list(&after, limit + 1, context.clock.now());
    tagged(&headers, &binding.page(rows, limit, |row| row.token_id.clone())?)
}

/// Make an API token
///
/// The answer is the only place where its value is ever shown.
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "access", operation_id = "create_token",
    request_body = TokenRequest,
    responses((status = 201, body = NewToken))
)]
async fn create(
    State(context): State<Context>,
    Asker(caller): Asker,
    params: Params,
    request: Request,
) -> Result<Response, ApiError> {
    params.finish()?;
    let request: TokenRequest = json(request).await?;
    let by = caller.map_or_else(|| "somebody on this machine".to_owned(), |caller| caller.user);
    let token = context.queen.create_token(request, &by).await?;
    let mut response = (StatusCode::CREATED, Json(token)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Revoke an API token
///
/// From now on it is no good; what listens with it is cut off.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{id}", tag = "access", operation_id = "revoke_token",
    params(("id" = String, Path, description = "The token's id, or its name while it is good")),
    responses((status = 200, body = TokenResource))
)]
async fn revoke(
    State(context): State<Context>,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<TokenResource>, ApiError> {
    params.finish()?;
    Ok(Json(context.queen.revoke_token(&id).await?))
}

/// List what was changed with tokens, newest first
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "access", operation_id = "list_audit",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "Rows of a page, 50 by default"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, body = Page<AuditEntry>), (status = 304, description = "Not changed"))
)]
async fn audit(State(context): State<Context>, headers: HeaderMap, mut params: Params) -> Result<Response, ApiError> {
    let limit = params.limit()?;
    let cursor = params.one("cursor")?;
    params.finish()?;
    let binding = Binding::new("audit", &());
    let before: Option<i64> = binding.key(cursor.as_deref())?;
    let rows = context.reads.audit(before, limit + 1).await?;
    tagged(&headers, &binding.page(rows, limit, |row| row.sequence)?)
}

/// Say who asks, and what they may do
#[utoipa::path(
    get, path = "/api/v1/whoami", tag = "access", operation_id = "whoami",
    responses((status = 200, body = CallerResource))
)]
async fn whoami(Asker(caller): Asker, params: Params) -> Result<Json<CallerResource>, ApiError> {
    params.finish()?;
    Ok(Json(match caller {
        Some(caller) => CallerResource { user: Some(caller.user), token: Some(caller.token), role: caller.role },
        // Only a server that asks for no tokens lets them pass.
        None => CallerResource { user: None, token: None, role: Role::Admin },
    }))
}
