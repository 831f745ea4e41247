//! Bodies and queries, read with errors that say what is wrong.

use std::fmt::Display;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest as _, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::problem::ApiError;

/// Largest JSON body: parameters of a job.
const JSON_LIMIT: usize = 4 * 1024 * 1024;

/// Largest body of a definition. The loader's own limit is lower and explains itself better.
const YAML_LIMIT: usize = 8 * 1024 * 1024;

/// Rows of a page unless the client says otherwise, and at most.
const PAGE: u32 = 50;
const LARGEST_PAGE: u32 = 500;

/// How long nothing may come of a body before it is cut off.
pub(super) const IDLE: Duration = Duration::from_mins(1);

/// Nothing came of a body for so long.
pub(super) fn idle(limit: Duration) -> ApiError {
    let detail = format!("nothing came for {} s", limit.as_secs());
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "UPLOAD_IDLE", detail)
}

/// More came than may come.
fn too_large(limit: usize) -> ApiError {
    let detail = format!("the request's body may have {limit} bytes");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", detail)
}

/// A whole body. One of which nothing comes any more is not waited for.
pub(super) async fn bytes(body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let mut body = body.into_data_stream();
    let mut received = Vec::new();
    loop {
        match timeout(IDLE, body.next()).await {
            Ok(Some(Ok(piece))) if received.len() + piece.len() > limit => return Err(too_large(limit)),
            Ok(Some(Ok(piece))) => received.extend_from_slice(&piece),
            Ok(Some(Err(error))) => {
                return Err(ApiError::bad_request(format!("the request's body broke off: {error}")));
            }
            Ok(None) => return Ok(received.into()),
            Err(_) => return Err(idle(IDLE)),
        }
    }
}

pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?;
    let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
    Some(text.split(';').next().unwrap_or_default().trim().to_owned())
}

fn unsupported(found: &str, expected: &str) -> ApiError {
    ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "UNSUPPORTED_MEDIA_TYPE",
        format!("a body of type {found:?} is not understood: send Content-Type: {expected}"),
    )
}

/// The YAML text of a definition.
pub(super) async fn yaml(request: Request) -> Result<Bytes, ApiError> {
    const KNOWN: [&str; 8] = [
        "application/yaml",
        "application/x-yaml",
        "text/yaml",
        "text/x-yaml",
        "text/vnd.yaml",
        "text/plain",
        "application/octet-stream",
        // What `curl --data-binary` says unless told otherwise.
        "application/x-www-form-urlencoded",
    ];
    if let Some(found) = media_type(request.headers())
        && !KNOWN.contains(&found.as_str())
    {
        return Err(unsupported(&found, KNOWN[0]));
    }
    bytes(request.into_body(), YAML_LIMIT).await
}

/// Bytes of no other type.
pub(super) async fn octets(request: Request, limit: usize) -> Result<Bytes, ApiError> {
    const KNOWN: &str = "application/octet-stream";
    if let Some(found) = media_type(request.headers())
        && found != KNOWN
    {
        return Err(unsupported(&found, KNOWN));
    }
    bytes(request.into_body(), limit).await
}

/// A JSON body.
pub(super) async fn json<T: DeserializeOwned>(request: Request) -> Result<T, ApiError> {
    if let Some(found) = media_type(request.headers())
        && found != "application/json"
        && !(found.starts_with("application/") && found.ends_with("+json"))
    {
        return Err(unsupported(&found, "application/json"));
    }
    let body = bytes(request.into_body(), JSON_LIMIT).await?;
    parse(&body)
}

/// A JSON body that may be absent.
pub(super) async fn optional_json<T: DeserializeOwned + Default>(request: Request) -> Result<T, ApiError> {
    let (parts, body) = request.into_parts();
    let body = bytes(body, JSON_LIMIT).await?;
    if body.is_empty() {
        return Ok(T::default());
    }
    json(Request::from_parts(parts, Body::from(body))).await
}

/// The fields of a form.
pub(super) async fn form<T: DeserializeOwned>(request: Request) -> Result<T, ApiError> {
    let (parts, body) = request.into_parts();
    let body = bytes(body, JSON_LIMIT).await?;
    match axum::Form::from_request(Request::from_parts(parts, Body::from(body)), &()).await {
        Ok(axum::Form(fields)) => Ok(fields),
        Err(error) => Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "INVALID_REQUEST",
            "the form's fields are not those that are expected",
        )
        .with_violation("body", "INVALID", error.body_text())),
    }
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            let detail = error.to_string();
            ApiError::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "INVALID_REQUEST",
                "the request's body does not have the form that is expected",
            )
            .with_violation("body", "INVALID", detail)
        }
        _ if body.is_empty() => ApiError::bad_request("the request has no body: JSON is expected"),
        _ => ApiError::bad_request(format!("the request's body is not valid JSON: {error}")),
    })
}

/// The query of a request: taken apart name by name, so that an unknown one is an error.
pub(super) struct Params {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Query(pairs) = Query::from_request_parts(parts, state)
            .await
            .map_err(|error| bad_query().with_violation("query", "INVALID", error.body_text()))?;
        Ok(Self { pairs, known: Vec::new() })
    }
}

fn bad_query() -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "BAD_QUERY", "the request's query is not valid")
}

impl Params {
    /// All values of a name.
    pub(super) fn many(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        let (found, rest) = std::mem::take(&mut self.pairs).into_iter().partition(|(key, _)| key == name);
        self.pairs = rest;
        Vec::into_iter(found).map(|(_, value)| value).collect()
    }

    /// The only value of a name.
    pub(super) fn one(&mut self, name: &'static str) -> Result<Option<String>, ApiError> {
        let mut found = self.many(name);
        match found.len() {
            0 | 1 => Ok(found.pop()),
            _ => Err(bad_query().with_violation(name, "REPEATED", format!("{name} may be given once"))),
        }
    }

    /// The only value of a name, understood.
    pub(super) fn parsed<T, E: Display>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, ApiError> {
        match self.one(name)? {
            None => Ok(None),
            Some(text) => parse(&text)
                .map(Some)
                .map_err(|error| bad_query().with_violation(name, "INVALID", format!("{name} {text:?}: {error}"))),
        }
    }

    /// How many rows a page has.
    pub(super) fn limit(&mut self) -> Result<u32, ApiError> {
        let limit = self.parsed("limit", |text| match text.parse() {
            Ok(limit @ 1..=LARGEST_PAGE) => Ok(limit),
            _ => Err(format!("a number from 1 to {LARGEST_PAGE} is expected")),
        })?;
        Ok(limit.unwrap_or(PAGE))
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, name: &'static str) -> Result<bool, ApiError> {
        let flag = self.parsed(name, |text| match text {
            "true" | "1" | "" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err("true or false is expected"),
        })?;
        Ok(flag.unwrap_or(false))
    }

    /// An instant, as Unix milliseconds.
    pub(super) fn instant(&mut self, name: &'static str) -> Result<Option<i64>, ApiError> {
        self.parsed(name, |text| {
            text.parse::<jiff::Timestamp>()
                .map(jiff::Timestamp::as_millisecond)
                .map_err(|_| "an instant such as 2026-01-31T12:00:00Z is expected")
        })
    }

    /// Nothing else may be there.
    pub(super) fn finish(self) -> Result<(), ApiError> {
        match self.pairs.first() {
            None => Ok(()),
            Some((name, _)) => {
                let known =
                    if self.known.is_empty() { "there are none here".to_owned() } else { self.known.join(", ") };
                Err(bad_query().with_violation(
                    name.clone(),
                    "UNKNOWN",
                    format!("there is no such query parameter; known: {known}"),
                ))
            }
        }
    }
}

/// A path whose parameters cannot be decoded leads nowhere.
pub(super) struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(_) => Err(ApiError::new(
                StatusCode::NOT_FOUND,
                "NO_ROUTE",
                format!("there is nothing at {}", parts.uri.path()),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{Stream, stream};

    use super::*;

    fn piece(length: usize) -> impl Stream<Item = Result<Bytes, Infallible>> {
        stream::iter([Ok(vec![b'x'; length].into())])
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_in_its_middle_is_cut_off() {
        let stopped = Body::from_stream(piece(3).chain(stream::pending()));
        let error = bytes(stopped, JSON_LIMIT).await.unwrap_err();
        assert_eq!(
            (error.status.as_u16(), error.code, &error.detail[..]),
            (408, "UPLOAD_IDLE", "nothing came for 60 s")
        );
        // One that comes slowly is none.
        let late = stream::once(async {
            tokio::time::sleep(IDLE / 2).await;
            Ok(Bytes::from_static(b"late"))
        });
        let slow = Body::from_stream(piece(1).chain(late));
        assert_eq!(&bytes(slow, 5).await.unwrap()[..], b"xlate");
        let error = bytes(Body::from_stream(piece(5).chain(piece(1))), 5).await.unwrap_err();
        assert_eq!((error.status.as_u16(), error.code), (413, "TOO_LARGE"));
        let broken = stream::iter([Err::<Bytes, _>(std::io::Error::other("cut"))]);
        let error = bytes(Body::from_stream(broken), 5).await.unwrap_err();
        assert_eq!(error.status.as_u16(), 400);
        assert!(error.detail.starts_with("the request's body broke off: "), "{}", error.detail);
    }
}
