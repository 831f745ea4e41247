//! Who may use which route: said where the route is listed, so that none is forgotten, and checked before anything else.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use atta_core::protocol::access::Role;
use axum::body::Body;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::MethodRouter;
use futures_util::StreamExt as _;
use tokio::time::Instant;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::SecurityRequirement;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::Context;
use super::problem::ApiError;
use crate::auth::{AuthMode, Caller};
use crate::store::AuditRow;

/// The name of the security scheme in the description.
pub(super) const SCHEME: &str = "token";

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody: it tells nothing.
    Open,
    /// Who proves by other means that they may, e.g. by a signature over the request.
    Proven,
    /// Who has a signed link, or a role.
    Linked(Role),
    /// Who has a role, or one that includes it.
    Least(Role),
}

impl Access {
    pub(super) const VIEWER: Self = Self::Least(Role::Viewer);
    pub(super) const SUBMITTER: Self = Self::Least(Role::Submitter);
    pub(super) const OPERATOR: Self = Self::Least(Role::Operator);
    pub(super) const ADMIN: Self = Self::Least(Role::Admin);
    pub(super) const ANT: Self = Self::Least(Role::Ant);

    /// As the description says it.
    fn requirements(self) -> Vec<SecurityRequirement> {
        let role = |role: Role| SecurityRequirement::new(SCHEME, [role.as_str()]);
        match self {
            Self::Open | Self::Proven => vec![SecurityRequirement::default()],
            Self::Linked(least) => vec![role(least), SecurityRequirement::default()],
            Self::Least(least) => vec![role(least)],
        }
    }
}

/// What is known of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) access: Access,
    /// The operation's id.
    pub(super) operation: String,
}

/// All routes, by their pattern and method.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    routes: HashMap<String, Vec<(Method, Route)>>,
}

impl RouteTable {
    fn add(&mut self, path: &str, method: Method, route: Route) {
        self.routes.entry(path.to_owned()).or_default().push((method, route));
    }

    fn get(&self, path: &str, method: &Method) -> Option<&Route> {
        let routes = self.routes.get(path)?;
        let of = |method: &Method| routes.iter().find(|(known, _)| known == method).map(|(_, route)| route);
        // HEAD is answered by GET.
        of(method).or_else(|| if *method == Method::HEAD { of(&Method::GET) } else { None })
    }
}

/// Routes with their description, none without saying who may use it.
#[derive(Default)]
pub(super) struct Routes {
    router: OpenApiRouter<Context>,
    table: RouteTable,
}

impl Routes {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Those of a description that has begun.
    pub(super) fn described_by(api: OpenApi) -> Self {
        Self { router: OpenApiRouter::with_openapi(api), table: RouteTable::default() }
    }

    /// Adds what `routes!` makes of handlers.
    pub(super) fn with(mut self, access: Access, routes: UtoipaMethodRouter<Context>) -> Self {
        let (schemas, mut paths, router) = routes;
        for (path, item) in &mut paths.paths {
            for (method, operation) in operations(item) {
                operation.security = Some(access.requirements());
                let operation = operation.operation_id.clone().unwrap_or_else(|| path.clone());
                self.table.add(path, method, Route { access, operation });
            }
        }
        self.router = self.router.routes((schemas, paths, router));
        self
    }

    /// Adds a route that the description does not have.
    pub(super) fn plain(mut self, access: Access, path: &str, router: MethodRouter<Context>) -> Self {
        self.table.add(path, Method::GET, Route { access, operation: path.to_owned() });
        self.router = self.router.route(path, router);
        self
    }

    pub(super) fn merge(mut self, other: Self) -> Self {
        for (path, routes) in other.table.routes {
            self.table.routes.entry(path).or_default().extend(routes);
        }
        self.router = self.router.merge(other.router);
        self
    }

    pub(super) fn split(self) -> (axum::Router<Context>, OpenApi, RouteTable) {
        let (router, api) = self.router.split_for_parts();
        (router, api, self.table)
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    [
        (Method::GET, &mut item.get),
        (Method::HEAD, &mut item.head),
        (Method::POST, &mut item.post),
        (Method::PUT, &mut item.put),
        (Method::PATCH, &mut item.patch),
        (Method::DELETE, &mut item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Who asks; nobody knows on a server that answers everybody.
pub(super) struct Asker(pub(super) Option<Caller>);

impl<S: Send + Sync> FromRequestParts<S> for Asker {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.extensions.get::<Caller>().cloned()))
    }
}

/// Whether a request may go on, and who sends it.
pub(super) fn authorise(
    context: &Context,
    route: Option<&str>,
    request: &Request,
) -> Result<(Option<Caller>, Option<Route>), ApiError> {
    let known = route.and_then(|route| context.routes.get(route, request.method())).cloned();
    let access = known.as_ref().map(|known| known.access);
    match access {
        Some(Access::Open | Access::Proven) => return Ok((None, known)),
        // The handler checks the link's signature.
        Some(Access::Linked(_)) if has_link(request) => return Ok((None, known)),
        _ => {}
    }
    let caller = match bearer(request.headers()) {
        Bearer::Token(token) => {
            let checked = context.queen.tokens().check(&token, context.clock.now());
            Some(checked.map_err(|denied| refused(context, request, denied.code(), &denied.to_string()))?)
        }
        Bearer::Other if context.auth == AuthMode::Required => {
            let detail = "the header Authorization has to be `Bearer` and a token of this server";
            return Err(refused(context, request, "TOKEN_MISSING", detail));
        }
        Bearer::None if context.auth == AuthMode::Required => {
            let detail = "this server answers only requests with a token: Authorization: Bearer atta_… (atta: --token-file, ATTA_TOKEN_FILE or ATTA_TOKEN)";
            return Err(refused(context, request, "TOKEN_MISSING", detail));
        }
        Bearer::Other | Bearer::None => None,
    };
    if let (Some(caller), Some(Access::Least(needed) | Access::Linked(needed))) = (&caller, access)
        && !caller.role.covers(needed)
    {
        let detail =
            format!("this needs the role {needed}, and the token {} has the role {}", caller.token, caller.role);
        let error = ApiError::new(StatusCode::FORBIDDEN, "ROLE_NEEDED", detail);
        let challenge = format!("Bearer realm=\"atta\", error=\"insufficient_scope\", scope=\"{needed}\"");
        return Err(match HeaderValue::from_str(&challenge) {
            Ok(value) => error.with_header(header::WWW_AUTHENTICATE, value),
            Err(_) => error,
        });
    }
    Ok((caller, known))
}

enum Bearer {
    None,
    Other,
    Token(String),
}

fn bearer(headers: &HeaderMap) -> Bearer {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Bearer::None };
    let parts = value.to_str().ok().and_then(|text| text.split_once(' '));
    match parts {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Bearer::Token(token.trim().to_owned()),
        _ => Bearer::Other,
    }
}

fn has_link(request: &Request) -> bool {
    let query = request.uri().query().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "token")
}

/// 401; 429 for somebody who was wrong too often.
fn refused(context: &Context, request: &Request, code: &'static str, detail: &str) -> ApiError {
    let peer = peer(request);
    match context.failures.note(peer, Instant::now()) {
        Ok(_) => {
            metrics::counter!("atta_unauthorized_total", "code" => code).increment(1);
            tracing::warn!(%peer, code, path = request.uri().path(), "a request was not authenticated");
            let challenge = if code == "TOKEN_MISSING" {
                "Bearer realm=\"atta\""
            } else {
                "Bearer realm=\"atta\", error=\"invalid_token\""
            };
            ApiError::new(StatusCode::UNAUTHORIZED, code, detail)
                .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
        }
        Err(wait) => {
            metrics::counter!("atta_unauthorized_total", "code" => "TOO_MANY_FAILURES").increment(1);
            let detail =
                "too many requests from this address had no token that is good: wait, then try with a good one";
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_FAILURES", detail)
                .with_header(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)))
        }
    }
}

/// The address that a request came from; the machine itself when nobody knows.
fn peer(request: &Request) -> IpAddr {
    let info = request.extensions().get::<ConnectInfo<Peer>>();
    info.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(Peer(address))| address.ip().to_canonical())
}

/// Operations that change nothing, although they are no GET: what they are asked is too long for an address.
const ONLY_ASK: [&str; 2] = ["validate_definition", "rehearse_definition"];

/// A request that was answered.
pub(super) struct Done<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) status: StatusCode,
    pub(super) request_id: &'a str,
}

/// Writes down what somebody with a token has changed.
pub(super) async fn audit(context: &Context, caller: &Caller, route: Option<Route>, done: Done<'_>) {
    let changes = !matches!(*done.method, Method::GET | Method::HEAD | Method::OPTIONS);
    let worth = changes && done.status.is_success() && caller.role != Role::Ant;
    let unwritten = |operation: &str| ONLY_ASK.contains(&operation) || super::terminal::is_written_down(operation);
    let Some(route) = route.filter(|route| worth && !unwritten(&route.operation)) else { return };
    let row = AuditRow {
        at: context.clock.now(),
        user: caller.user.clone(),
        token: caller.token.clone(),
        action: route.operation,
        target: done.path.to_owned(),
        status: done.status.as_u16(),
        request_id: done.request_id.to_owned(),
        detail: None,
    };
    context.queen.write_audit(row).await;
}

/// Ends a stream when the token of who listens is no good any more.
pub(super) fn bound_to_token(context: &Context, caller: &Caller, response: Response) -> Response {
    let is_stream = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
    if !is_stream {
        return response;
    }
    let (tokens, clock, id) = (context.queen.tokens().clone(), context.clock.clone(), caller.token_id.clone());
    let ended = async move { tokens.ended(&id, &*clock).await };
    let (parts, body) = response.into_parts();
    let body = Body::from_stream(body.into_data_stream().take_until(Box::pin(ended)));
    Response::from_parts(parts, body)
}
