//! What every request goes through: its id, the checks against foreign web pages, problem answers, metrics.

use std::any::Any;
use std::net::IpAddr;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::Context;
use super::access::{self, Done, Route};
use super::problem::ApiError;
use crate::auth::{AuthMode, Caller};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// The id of a request, for handlers that write it down.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) String);

/// Outermost layer.
pub(super) async fn wrap(State(context): State<Context>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let request_id = request_id(&context, request.headers());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().map(|matched| matched.as_str().to_owned());
    request.extensions_mut().insert(RequestId(request_id.clone()));
    let response = match admit(&context, route.as_deref(), &mut request) {
        // What is logged on the way carries the request's id.
        Ok((caller, route)) => {
            let response = next.run(request).instrument(tracing::error_span!("request", request_id)).await;
            match caller {
                Some(caller) => {
                    let done =
                        Done { method: &method, path: &path, status: response.status(), request_id: &request_id };
                    access::audit(&context, &caller, route, done).await;
                    access::bound_to_token(&context, &caller, response)
                }
                None => response,
            }
        }
        Err(refused) => refused.into_response(),
    };
    let mut response = match problem_of(&response, &method, &path) {
        Some(problem) => problem.render(&request_id),
        None => response,
    };
    let status = response.status();
    if method == Method::HEAD && (status.is_client_error() || status.is_server_error()) {
        *response.body_mut() = Body::empty();
    }
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    let labels = [
        ("method", method_label(&method)),
        ("route", route.unwrap_or_else(|| "none".to_owned())),
        ("status", status.as_u16().to_string()),
    ];
    metrics::counter!("atta_http_requests_total", &labels).increment(1);
    metrics::histogram!("atta_http_request_seconds", &labels).record(began.elapsed().as_secs_f64());
    tracing::debug!(%method, path, status = status.as_u16(), request_id, "request");
    response
}

/// Whether a request may go on, and who sends it.
fn admit(
    context: &Context,
    route: Option<&str>,
    request: &mut Request,
) -> Result<(Option<Caller>, Option<Route>), ApiError> {
    check_sender(context.auth, request.method(), request.uri(), request.headers())?;
    let (caller, route) = access::authorise(context, route, request)?;
    if let Some(caller) = &caller {
        request.extensions_mut().insert(caller.clone());
    }
    Ok((caller, route))
}

/// Clients can make up methods, and each label is kept for ever.
fn method_label(method: &Method) -> String {
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    if known.contains(method) { method.to_string() } else { "other".to_owned() }
}

/// The client's id if it is a sane one, else one of our own.
fn request_id(context: &Context, headers: &HeaderMap) -> String {
    let sane = |id: &&str| {
        !id.is_empty() && id.len() <= 128 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
    };
    headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(sane)
        .map_or_else(|| format!("{:016x}", context.entropy.next_u64()), str::to_owned)
}

/// Every error is a problem answer, whoever made it.
fn problem_of(response: &Response, method: &Method, path: &str) -> Option<ApiError> {
    if let Some(error) = response.extensions().get::<ApiError>() {
        return Some(error.clone());
    }
    let status = response.status();
    let is_problem = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/problem+json"));
    if is_problem || !(status.is_client_error() || status.is_server_error()) || carries_report(response) {
        return None;
    }
    Some(match status {
        StatusCode::METHOD_NOT_ALLOWED => ApiError::new(
            status,
            "METHOD_NOT_ALLOWED",
            format!("{method} is not allowed on {path}: see the header Allow"),
        ),
        StatusCode::NOT_FOUND => ApiError::new(status, "NO_ROUTE", format!("there is nothing at {path}")),
        _ => ApiError::new(status, "REFUSED", status.canonical_reason().unwrap_or("the request was refused")),
    })
}

/// Health checks answer 503 with a report of their own.
fn carries_report(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/json"))
}

/// A handler panicked: the server lives on.
#[expect(clippy::needless_pass_by_value, reason = "the layer's signature")]
pub(super) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let detail = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned());
    tracing::error!(panic = detail, "a handler panicked");
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "INTERNAL",
        "the server failed on this request; its log says more under the request's id",
    )
    .into_response()
}

/// A web page that somebody visits must not be able to give orders to a server that asks for no tokens: a page of
/// another origin says so in `Origin`, and a page that made its own name point here (DNS rebinding) says so in `Host`. A token is
/// nothing that a browser adds by itself: where one is needed, the server may have any name.
fn check_sender(auth: AuthMode, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
    // These requests prove where they come from, and come from elsewhere.
    if uri.path().starts_with(super::hooks::PREFIX) {
        return Ok(());
    }
    let host = uri
        .authority()
        .map(|authority| authority.as_str().to_owned())
        .or_else(|| headers.get(header::HOST).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()));
    if auth == AuthMode::Open
        && let Some(host) = &host
        && !is_loopback(host)
    {
        return Err(ApiError::new(
            StatusCode::MISDIRECTED_REQUEST,
            "FOREIGN_HOST",
            format!("this server is not called {host:?}: use localhost or a loopback address"),
        ));
    }
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let foreign = |origin: &str| {
        ApiError::new(
            StatusCode::FORBIDDEN,
            "CROSS_ORIGIN",
            format!("a page of {origin} may not change anything on this server"),
        )
    };
    if let Some(origin) = headers.get(header::ORIGIN) {
        let origin = String::from_utf8_lossy(origin.as_bytes()).into_owned();
        let own = host.as_ref().is_some_and(|host| {
            origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) == Some(host.as_str())
        });
        if !own {
            return Err(foreign(&origin));
        }
    }
    if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site") {
        return Err(foreign("another site"));
    }
    Ok(())
}

/// Whether a `Host` names this machine itself.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, port)) if port.is_empty() || is_port(port) => name,
            _ => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            Some(_) => return false,
            None => host,
        },
    };
    let name = name.to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_answered_with_a_problem_that_tells_no_internals() {
        let response = panicked(Box::new("index out of bounds at secret.rs"));
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let problem = problem_of(&response, &Method::GET, "/x").unwrap();
        assert_eq!(
            (problem.code, problem.detail.as_str()),
            ("INTERNAL", "the server failed on this request; its log says more under the request's id")
        );
    }

    #[test]
    fn only_names_of_this_machine_are_hosts() {
        for host in ["localhost", "LOCALHOST:7777", "a.localhost:1", "127.0.0.1", "127.9.9.9:80", "[::1]", "[::1]:80"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "10.0.0.1",
            "127.0.0.1.evil.example",
            "[::1]evil",
            "[::2]",
            "",
            "localhost:80:evil",
            "evil@localhost",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
