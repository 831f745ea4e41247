//! Approvals: what people are asked, and their votes.
//!
//! Who votes is said by the token of the request, or by the signature of a link. On a server that asks for no tokens it is
//! said by the header `X-Atta-User` and believed, as everybody who reaches it may do anything else as well.

use atta_core::protocol::JobId;
use atta_core::protocol::access::Role;
use atta_core::protocol::api::Page;
use atta_core::protocol::people::{ApprovalResource, ApprovalState, Decision, LinkRequest, LinkResource, VoteRequest};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::routes;

use super::Context;
use super::access::{Access, Routes};
use super::approval_page;
use super::page::{Binding, tagged};
use super::problem::ApiError;
use super::request::{Params, Path, form, json};
use crate::auth::Caller;
use crate::links::LinkError;
use crate::scheduler::{Vote, VoteOn};
use crate::store::{ApprovalFilter, Via};

const USER: HeaderName = HeaderName::from_static("x-atta-user");

pub(super) fn routes() -> Routes {
    Routes::new()
        .with(Access::VIEWER, routes!(list))
        .with(Access::Linked(Role::Viewer), routes!(get))
        .with(Access::Linked(Role::Operator), routes!(vote))
        .with(Access::ADMIN, routes!(link))
        .with(Access::VIEWER, routes!(list_of_job))
        .with(Access::OPERATOR, routes!(vote_on_task))
}

fn state_by_name(name: &str) -> Result<Option<ApprovalState>, String> {
    if name == "all" {
        return Ok(None);
    }
    serde_json::from_value(serde_json::Value::from(name))
        .map(Some)
        .map_err(|_| "one of OPEN, APPROVED, REJECTED, TIMED_OUT, CLOSED or all is expected".to_owned())
}

/// List approvals, newest first
///
/// Those that can be voted on, unless `state` says otherwise.
#[utoipa::path(
    get, path = "/api/v1/approvals", tag = "approvals", operation_id = "list_approvals",
    params(
        ("state" = Option<String>, Query, description = "OPEN by default; APPROVED, REJECTED, TIMED_OUT, CLOSED, or all"),
        ("job_type" = Option<String>, Query, description = "Of jobs of this definition"),
        ("voter" = Option<String>, Query, description = "On which this person may vote"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "Rows of a page, 50 by default"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before, with the same filters"),
    ),
    responses((status = 200, body = Page<ApprovalResource>), (status = 304, description = "Not changed"))
)]
async fn list(State(context): State<Context>, headers: HeaderMap, mut params: Params) -> Result<Response, ApiError> {
    let state = params.parsed("state", state_by_name)?.unwrap_or(Some(ApprovalState::Open));
    let voter = params.one("voter")?.map(|voter| {
        let roles = context.directory.roles_of(&voter);
        (voter, roles)
    });
    let filter = ApprovalFilter { state, job: None, job_type: params.one("job_type")?, voter };
    page(&context, &headers, filter, params).await
}

/// List the approvals of a job, newest first
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/approvals", tag = "approvals", operation_id = "list_approvals_of_job",
    params(
        ("id" = String, Path, description = "The job's id"),
        ("state" = Option<String>, Query, description = "All by default; OPEN, APPROVED, REJECTED, TIMED_OUT or CLOSED"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "Rows of a page, 50 by default"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before, with the same filters"),
    ),
    responses((status = 200, body = Page<ApprovalResource>), (status = 304, description = "Not changed"))
)]
async fn list_of_job(
    State(context): State<Context>,
    Path(id): Path<String>,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, ApiError> {
    let id = JobId(id);
    if !context.reads.job_exists(&id).await? {
        return Err(super::jobs::unknown(&id));
    }
    let state = params.parsed("state", state_by_name)?.flatten();
    page(&context, &headers, ApprovalFilter { state, job: Some(id), ..ApprovalFilter::default() }, params).await
}

async fn page(
    context: &Context,
    headers: &HeaderMap,
    filter: ApprovalFilter,
    mut params: Params,
) -> Result<Response, ApiError> {
    let limit = params.limit()?;
    let cursor = params.one("cursor")?;
    params.finish()?;
    let binding = Binding::new("approvals", &filter);
    let before: Option<String> = binding.key(cursor.as_deref())?;
    let rows = context.reads.approvals(&filter, before.as_deref(), limit + 1).await?;
    tagged(headers, &binding.page(rows, limit, |row| row.approval_id.clone())?)
}

fn unknown(id: &str) -> ApiError {
    ApiError::not_found(format_args!("approval {id}"))
}

fn bad_link(error: &LinkError) -> ApiError {
    let status = match error {
        LinkError::Expired(_) => StatusCode::GONE,
        _ => StatusCode::FORBIDDEN,
    };
    ApiError::new(status, error.code(), error.to_string())
}

/// Get an approval with its votes
///
/// With the `token` of a signed link it is a page for a browser when one asks; nothing changes by looking at it.
#[utoipa::path(
    get, path = "/api/v1/approvals/{id}", tag = "approvals", operation_id = "get_approval",
    params(
        ("id" = String, Path, description = "The approval's id"),
        ("token" = Option<String>, Query, description = "Of a signed link"),
    ),
    responses(
        (status = 200, content((ApprovalResource = "application/json"), (String = "text/html"))),
        (status = 304, description = "Not changed")
    )
)]
async fn get(
    State(context): State<Context>,
    Path(id): Path<String>,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, ApiError> {
    let token = params.one("token")?;
    params.finish()?;
    let voter = match &token {
        Some(token) => Some(context.links.check(&id, token, context.clock.now()).map_err(|error| bad_link(&error))?),
        None => None,
    };
    let approval = context.reads.approval(&id).await?.ok_or_else(|| unknown(&id))?;
    match (voter, token) {
        (Some(voter), Some(token)) if wants_page(&headers) => Ok(approval_page::question(&approval, &voter, &token)),
        _ => tagged(&headers, &approval),
    }
}

fn wants_page(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).is_some_and(|value| String::from_utf8_lossy(value.as_bytes()).contains("text/html"))
}

/// Who says what, and how it came.
async fn ballot(context: &Context, on: VoteOn, mut params: Params, request: Request) -> Result<Response, ApiError> {
    let headers = request.headers().clone();
    let token = params.one("token")?;
    params.finish()?;
    let (voter, via) = match (&token, &on) {
        (Some(token), VoteOn::Approval(id)) => {
            let voter = context.links.check(id, token, context.clock.now()).map_err(|error| bad_link(&error))?;
            if let Some(named) = user(&headers)?
                && named != voter
            {
                let message = format!("the link is for {voter}, and the header X-Atta-User names {named}");
                return Err(ApiError::new(StatusCode::FORBIDDEN, "LINK_OF_ANOTHER", message));
            }
            (voter, Via::Link)
        }
        (Some(_), VoteOn::Task(..)) => {
            return Err(ApiError::bad_request("a token is for /api/v1/approvals/{id}/votes"));
        }
        (None, _) => {
            let named = user(&headers)?;
            let known = request.extensions().get::<Caller>().map(|caller| caller.user.clone());
            if let (Some(named), Some(known)) = (&named, &known)
                && named != known
            {
                let message = format!("the token is that of {known}, and the header X-Atta-User names {named}");
                return Err(ApiError::new(StatusCode::FORBIDDEN, "TOKEN_OF_ANOTHER", message));
            }
            let voter = known.or(named).ok_or_else(|| {
                ApiError::bad_request("the header X-Atta-User must say who votes (atta approve --as NAME)")
            })?;
            (voter, if super::jobs::from_cli(&headers) { Via::Cli } else { Via::Api })
        }
    };
    let is_form = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    // A form comes from the page of a link: without its token any page of the web could send one.
    let VoteRequest { decision, comment } =
        if is_form && via == Via::Link { form(request).await? } else { json(request).await? };
    let vote = Vote { on, voter: voter.clone(), decision, comment, via };
    let voted = context.queen.vote(vote).await;
    if is_form && wants_page(&headers) {
        return Ok(match voted {
            Ok(_) => approval_page::thanks(&voter, decision == Decision::Approve),
            Err(refusal) => approval_page::refused(&ApiError::from(refusal)),
        });
    }
    Ok(Json(voted?).into_response())
}

fn user(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(USER) else { return Ok(None) };
    let name = value.to_str().ok().filter(|name| atta_core::definition::is_person_name(name));
    name.map(|name| Some(name.to_owned())).ok_or_else(|| {
        ApiError::bad_request(
            "X-Atta-User must be a name of letters, digits, `.`, `_`, `@`, `+` and `-`, at most 100, a letter or digit first",
        )
    })
}

/// Vote on an approval
///
/// One person has one vote. A rejection needs a comment, and one rejection rejects.
#[utoipa::path(
    post, path = "/api/v1/approvals/{id}/votes", tag = "approvals", operation_id = "vote",
    params(
        ("id" = String, Path, description = "The approval's id"),
        ("X-Atta-User" = Option<String>, Header, description = "Who votes; believed where no tokens are needed"),
        ("token" = Option<String>, Query, description = "Of a signed link; instead of the header"),
    ),
    request_body = VoteRequest,
    responses((status = 200, content((ApprovalResource = "application/json"), (String = "text/html"))))
)]
async fn vote(
    State(context): State<Context>,
    Path(id): Path<String>,
    params: Params,
    request: Request,
) -> Result<Response, ApiError> {
    ballot(&context, VoteOn::Approval(id), params, request).await
}

/// Vote on what a task asks now
///
/// The same for the one open approval of a task.
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/tasks/{task}/votes", tag = "approvals", operation_id = "vote_on_task",
    params(
        ("id" = String, Path, description = "The job's id"),
        ("task" = String, Path, description = "The task's name"),
        ("X-Atta-User" = Option<String>, Header, description = "Who votes; believed where no tokens are needed"),
    ),
    request_body = VoteRequest,
    responses((status = 200, body = ApprovalResource))
)]
async fn vote_on_task(
    State(context): State<Context>,
    Path((id, task)): Path<(String, String)>,
    params: Params,
    request: Request,
) -> Result<Response, ApiError> {
    ballot(&context, VoteOn::Task(JobId(id), task), params, request).await
}

/// Make a link by which one person can vote
///
/// Whoever has the link votes in that person's name, once, until the approval's deadline, or for 7 days.
#[utoipa::path(
    post, path = "/api/v1/approvals/{id}/links", tag = "approvals", operation_id = "make_link",
    params(("id" = String, Path, description = "The approval's id")),
    request_body = LinkRequest,
    responses((status = 201, body = LinkResource))
)]
async fn link(
    State(context): State<Context>,
    Path(id): Path<String>,
    params: Params,
    request: Request,
) -> Result<Response, ApiError> {
    params.finish()?;
    let base = context.public_url.clone().unwrap_or_else(|| {
        let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or("localhost");
        format!("{}://{host}", context.scheme)
    });
    let LinkRequest { voter } = json(request).await?;
    let approval = context.reads.approval(&id).await?.ok_or_else(|| unknown(&id))?;
    if !atta_core::definition::is_person_name(&voter) {
        return Err(ApiError::bad_request(format!("{voter:?} cannot be the name of a user")));
    }
    let asked = approval.users.is_empty() && approval.roles.is_empty()
        || approval.users.contains(&voter)
        || context.directory.roles_of(&voter).iter().any(|role| approval.roles.contains(role));
    if !asked {
        let message = format!("{voter} may not vote on {id}, and gets no link");
        return Err(ApiError::new(StatusCode::FORBIDDEN, "MAY_NOT_VOTE", message));
    }
    if approval.state != ApprovalState::Open {
        let message = format!("{id} is {} already: there is nothing to vote on", approval.state.as_str());
        return Err(ApiError::new(StatusCode::CONFLICT, "APPROVAL_DECIDED", message));
    }
    let now = context.clock.now();
    let deadline = approval.deadline.as_deref().and_then(|at| at.parse::<jiff::Timestamp>().ok());
    let deadline = deadline.map(|at| atta_core::time::UnixMillis(at.as_millisecond()));
    let (token, expires_at) = context.links.make(&id, &voter, deadline, now);
    let link = LinkResource {
        url: format!("{base}/api/v1/approvals/{id}?token={token}"),
        voter,
        expires_at: expires_at.to_rfc3339(),
    };
    let mut response = (StatusCode::CREATED, Json(link)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
