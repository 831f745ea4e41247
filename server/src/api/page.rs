//! Pages with opaque cursors, and answers that say whether they changed.

use atta_core::protocol::api::Page;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::problem::ApiError;

const CURSOR_VERSION: u8 = 1;
const BINDING: usize = 8;

/// What a cursor belongs to: the list and its filters. A cursor of another list is refused.
pub(super) struct Binding([u8; BINDING]);

impl Binding {
    pub(super) fn new(list: &str, filters: &impl std::fmt::Debug) -> Self {
        let hash = blake3::hash(format!("{list}\n{filters:?}").as_bytes());
        let mut binding = [0; BINDING];
        binding.copy_from_slice(&hash.as_bytes()[..BINDING]);
        Self(binding)
    }

    /// The cursor behind a row with this key.
    pub(super) fn cursor<K: Serialize>(&self, key: &K) -> Result<String, ApiError> {
        let mut bytes = vec![CURSOR_VERSION];
        bytes.extend_from_slice(&self.0);
        serde_json::to_writer(&mut bytes, key).map_err(|error| ApiError::internal(&error))?;
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The key that a cursor of ours holds.
    pub(super) fn key<K: DeserializeOwned>(&self, cursor: Option<&str>) -> Result<Option<K>, ApiError> {
        let Some(cursor) = cursor else {
            return Ok(None);
        };
        let bad = |message: &str| {
            ApiError::new(StatusCode::BAD_REQUEST, "BAD_CURSOR", "the cursor is not valid")
                .with_violation("cursor", "INVALID", message)
        };
        let bytes = URL_SAFE_NO_PAD.decode(cursor).unwrap_or_default();
        let Some((&CURSOR_VERSION, rest)) = bytes.split_first() else {
            return Err(bad("it is not a next_cursor of this server"));
        };
        let Some((binding, key)) = rest.split_first_chunk::<BINDING>() else {
            return Err(bad("it is not a next_cursor of this server"));
        };
        if *binding != self.0 {
            return Err(bad("it belongs to another list or to other filters: start again without a cursor"));
        }
        serde_json::from_slice(key).map(Some).map_err(|_| bad("it is not a next_cursor of this server"))
    }

    /// A page of rows, of which one more than `limit` was asked for.
    pub(super) fn page<T, K: Serialize>(
        &self,
        mut rows: Vec<T>,
        limit: u32,
        key: impl Fn(&T) -> K,
    ) -> Result<Page<T>, ApiError> {
        let limit = limit as usize;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = match rows.last() {
            Some(last) if more => Some(self.cursor(&key(last))?),
            _ => None,
        };
        Ok(Page { items: rows, next_cursor })
    }
}

/// A JSON answer with an ETag; 304 when the client has it already.
pub(super) fn tagged(request: &HeaderMap, value: &impl Serialize) -> Result<Response, ApiError> {
    let body = serde_json::to_vec(value).map_err(|error| ApiError::internal(&error))?;
    let tag = format!("\"{}\"", &blake3::hash(&body).to_hex()[..16]);
    let mut response = if has(request, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = Response::new(Body::from(body));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// Whether `If-None-Match` names this tag.
pub(super) fn has(request: &HeaderMap, tag: &str) -> bool {
    request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').map(|one| one.trim().trim_start_matches("W/")).any(|one| one == tag || one == "*")
    })
}
