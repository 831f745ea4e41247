//! Budgets of agents, and the accounts that they use.

use atta_core::protocol::budgets::{AccountResource, BudgetReport};
use axum::Json;
use axum::extract::State;
use utoipa_axum::routes;

use super::Context;
use super::access::{Access, Routes};
use super::problem::ApiError;
use super::request::{Params, Path};

pub(super) fn routes() -> Routes {
    Routes::new()
        .with(Access::VIEWER, routes!(budgets))
        .with(Access::VIEWER, routes!(accounts))
        .with(Access::OPERATOR, routes!(release))
}

/// What agents may use, have used, and have reserved: today, by definition, and by job
#[utoipa::path(
    get, path = "/api/v1/budgets", tag = "budgets", operation_id = "budgets",
    responses((status = 200, body = BudgetReport))
)]
async fn budgets(State(context): State<Context>, params: Params) -> Result<Json<BudgetReport>, ApiError> {
    params.finish()?;
    Ok(Json(context.queen.budgets().await?))
}

/// The accounts of agents, and which of them cannot be used now
#[utoipa::path(
    get, path = "/api/v1/accounts", tag = "budgets", operation_id = "list_accounts",
    responses((status = 200, body = [AccountResource]))
)]
async fn accounts(State(context): State<Context>, params: Params) -> Result<Json<Vec<AccountResource>>, ApiError> {
    params.finish()?;
    Ok(Json(context.queen.accounts().await?))
}

/// Use an account again, whatever was said of its limit
#[utoipa::path(
    post, path = "/api/v1/accounts/{name}/release", tag = "budgets", operation_id = "release_account",
    params(("name" = String, Path, description = "The account")),
    responses((status = 200, body = AccountResource))
)]
async fn release(
    State(context): State<Context>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Json<AccountResource>, ApiError> {
    params.finish()?;
    Ok(Json(context.queen.release_account(&name).await?))
}
