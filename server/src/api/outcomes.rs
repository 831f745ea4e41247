//! What jobs have cost and achieved.

use atta_core::protocol::JobId;
use atta_core::protocol::outcomes_api::{JobOutcome, OutcomesBy, OutcomesResource};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use utoipa_axum::routes;

use super::Context;
use super::access::{Access, Routes};
use super::page::tagged;
use super::problem::ApiError;
use super::request::{Params, Path};
use crate::outcomes::{MOST_GROUPS, outcomes};
use crate::store::OutcomeFilter;

/// Groups of an answer, unless the client says otherwise.
const GROUPS: usize = 100;

pub(super) fn routes() -> Routes {
    Routes::new().with(Access::VIEWER, routes!(list)).with(Access::VIEWER, routes!(get))
}

/// Get figures of what jobs have cost and achieved
///
/// Jobs with AGENT tasks, or with an `outcome` in their definition, that were submitted within a time. They are counted
/// also when they are not kept any more.
#[utoipa::path(
    get, path = "/api/v1/outcomes", tag = "outcomes", operation_id = "get_outcomes",
    params(
        ("since" = Option<String>, Query, description = "Submitted at or after this instant"),
        ("until" = Option<String>, Query, description = "Submitted before this instant"),
        ("definition" = Option<String>, Query, description = "Of this definition"),
        ("repository" = Option<String>, Query, description = "In this repository"),
        ("agent" = Option<String>, Query, description = "With this agent's program: only what it has used counts"),
        ("model" = Option<String>, Query, description = "With this model: only what it has used counts"),
        ("by" = Option<OutcomesBy>, Query, description = "What groups are made by"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 10_000, description = "Groups, 100 by default"),
    ),
    responses((status = 200, body = OutcomesResource), (status = 304, description = "Not changed"))
)]
async fn list(State(context): State<Context>, headers: HeaderMap, mut params: Params) -> Result<Response, ApiError> {
    let filter = OutcomeFilter {
        since: params.instant("since")?,
        until: params.instant("until")?,
        job_type: params.one("definition")?,
        repository: params.one("repository")?,
        agent: params.one("agent")?,
        model: params.one("model")?,
    };
    let by = params.parsed("by", |word| {
        OutcomesBy::parse(word).ok_or_else(|| {
            let known: Vec<_> = OutcomesBy::NAMES.iter().map(|(_, name)| *name).collect();
            format!("one of {} is expected", known.join(", "))
        })
    })?;
    let limit = params.parsed("limit", |text| match text.parse() {
        Ok(limit @ 1..=MOST_GROUPS) => Ok(limit),
        _ => Err(format!("a number from 1 to {MOST_GROUPS} is expected")),
    })?;
    params.finish()?;
    tagged(&headers, &outcomes(&context.reads, &filter, by, limit.unwrap_or(GROUPS)).await?)
}

/// Get what one job has cost and achieved
///
/// Also of a job that is not kept any more.
#[utoipa::path(
    get, path = "/api/v1/outcomes/{job}", tag = "outcomes", operation_id = "get_job_outcome",
    params(("job" = String, Path, description = "The job's id")),
    responses((status = 200, body = JobOutcome), (status = 304, description = "Not changed"))
)]
async fn get(
    State(context): State<Context>,
    Path(job): Path<String>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    params.finish()?;
    let job = JobId(job);
    let found = context.reads.outcome(&job).await?;
    tagged(&headers, &found.ok_or_else(|| ApiError::not_found(format_args!("an outcome of job {job}")))?)
}
