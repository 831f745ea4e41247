//! Artifacts on their way: by digest, streamed, and gone on with where a connection broke.

use atta_core::protocol::Digest;
use atta_core::protocol::ant::UPLOADED_HEADER;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use tokio::time::timeout;
use tokio_util::io::ReaderStream;

use super::super::Context;
use super::super::problem::ApiError;
use super::super::request::{IDLE, Params, Path, idle};
use super::Spoken;
use crate::artifacts::{ArtifactError, Upload};
use crate::line::LineError;

/// Bytes that are read from disk at once.
const READ: usize = 256 * 1024;

fn artifact(error: ArtifactError) -> ApiError {
    LineError::from(error).into()
}

fn digest(text: String) -> Result<Digest, ApiError> {
    let digest = Digest(text);
    if digest.is_well_formed() { Ok(digest) } else { Err(artifact(ArtifactError::BadDigest(digest.0))) }
}

/// Ask for a content, or how far its upload has come
///
/// 404 has `Atta-Uploaded`: how many bytes have come already.
#[utoipa::path(
    head, path = "/api/v1/ant/blobs/{digest}", tag = "ant line", operation_id = "ant_head_blob",
    params(
        ("Atta-Protocol" = u32, Header, description = "The protocol that the ant speaks"),
        ("digest" = String, Path, description = "BLAKE3, 64 hex digits"),
    ),
    responses((status = 200, description = "It is stored, with its size as Content-Length"))
)]
pub(super) async fn head(
    State(context): State<Context>,
    _: Spoken,
    Path(text): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    params.finish()?;
    let digest = digest(text)?;
    // Whoever hears that it is there does not send it, and names it: it is not to be removed meanwhile.
    context.artifacts.contains(&digest).await.map_err(artifact)?;
    match context.line.open_blob(&digest, 0).await {
        Ok(reader) => {
            let mut response = StatusCode::OK.into_response();
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(reader.size));
            Ok(response)
        }
        Err(LineError::Artifact(ArtifactError::Missing(_))) => {
            let uploaded = context.uploads.received(&digest).await.map_err(artifact)?;
            Err(ApiError::not_found(format_args!("content {digest}"))
                .with_header(HeaderName::from_static(UPLOADED_HEADER), HeaderValue::from(uploaded)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Fetch a content
///
/// With `Range: bytes=N-` from an offset on (206). Who fetches it checks the digest.
#[utoipa::path(
    get, path = "/api/v1/ant/blobs/{digest}", tag = "ant line", operation_id = "ant_get_blob",
    params(
        ("Atta-Protocol" = u32, Header, description = "The protocol that the ant speaks"),
        ("digest" = String, Path, description = "BLAKE3, 64 hex digits"),
        ("Range" = Option<String>, Header, description = "`bytes=N-`"),
    ),
    responses(
        (status = 200, body = String, content_type = "application/octet-stream"),
        (status = 206, body = String, content_type = "application/octet-stream", description = "From the offset on"),
    )
)]
pub(super) async fn get(
    State(context): State<Context>,
    _: Spoken,
    Path(text): Path<String>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    params.finish()?;
    let digest = digest(text)?;
    // Any other form of a range is ignored, as HTTP asks for.
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let from = range
        .and_then(|text| text.trim().strip_prefix("bytes=")?.strip_suffix('-')?.parse::<u64>().ok())
        .filter(|from| *from > 0);
    let permit = context.limits.blob_permit()?;
    let reader = context.line.open_blob(&digest, from.unwrap_or(0)).await?;
    let size = reader.size;
    let mut answer = HeaderMap::new();
    let status = match from {
        None => StatusCode::OK,
        Some(from) if from < size => {
            let range = format!("bytes {from}-{}/{size}", size - 1);
            let value = HeaderValue::from_str(&range).map_err(|error| ApiError::internal(&error))?;
            answer.insert(header::CONTENT_RANGE, value);
            StatusCode::PARTIAL_CONTENT
        }
        Some(from) => {
            let detail = format!("the content has {size} bytes: nothing is left at {from}");
            return Err(ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE", detail));
        }
    };
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    answer.insert(header::CONTENT_LENGTH, HeaderValue::from(size - from.unwrap_or(0)));
    let body = ReaderStream::with_capacity(reader.content, READ).map(move |piece| {
        // Given back when the last piece is sent, or the connection breaks.
        let _permit = &permit;
        piece
    });
    Ok((status, answer, Body::from_stream(body)).into_response())
}

/// Send a content, or what is missing of it
///
/// 409 when it does not go on where the last part ended: `Atta-Uploaded` says where that was.
#[utoipa::path(
    put, path = "/api/v1/ant/blobs/{digest}", tag = "ant line", operation_id = "ant_put_blob",
    params(
        ("Atta-Protocol" = u32, Header, description = "The protocol that the ant speaks"),
        ("digest" = String, Path, description = "BLAKE3, 64 hex digits"),
        ("size" = u64, Query, description = "Bytes of the whole content"),
        ("offset" = Option<u64>, Query, description = "Where this part begins, 0 by default"),
    ),
    request_body(content = String, content_type = "application/octet-stream"),
    responses((status = 201, description = "It is stored"))
)]
pub(super) async fn put(
    State(context): State<Context>,
    _: Spoken,
    Path(text): Path<String>,
    mut params: Params,
    request: Request,
) -> Result<StatusCode, ApiError> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| "a number of bytes is expected");
    let size = params.parsed("size", number)?;
    let offset = params.parsed("offset", number)?.unwrap_or(0);
    params.finish()?;
    let digest = digest(text)?;
    let size = size.ok_or_else(|| ApiError::bad_request("size must say how many bytes the content has"))?;
    let _permit = context.limits.blob_permit()?;
    if context.artifacts.contains(&digest).await.map_err(artifact)? {
        return Ok(StatusCode::CREATED);
    }
    let Some(mut upload) = context.uploads.begin(&digest, offset).await.map_err(artifact)? else {
        let detail = format!("somebody else sends {digest} now: ask again");
        return Err(ApiError::new(StatusCode::CONFLICT, "UPLOAD_BUSY", detail)
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("1")));
    };
    if upload.length() != offset {
        let detail = format!("{} bytes have come, and this part begins at {offset}", upload.length());
        return Err(ApiError::new(StatusCode::CONFLICT, "UPLOAD_OFFSET", detail)
            .with_header(HeaderName::from_static(UPLOADED_HEADER), HeaderValue::from(upload.length())));
    }
    let received = receive(&mut upload, request, size).await;
    // What has come is kept, whatever became of the rest.
    upload.flush().await.map_err(artifact)?;
    received?;
    if upload.length() > size {
        let detail = format!("more than {size} bytes were sent");
        upload.discard().await;
        return Err(ApiError::bad_request(detail));
    }
    let stored = context.line.put_blob(&digest, size, upload.path()).await;
    if let Err(LineError::Artifact(ArtifactError::Mismatch { .. })) = &stored {
        upload.discard().await;
    }
    stored?;
    Ok(StatusCode::CREATED)
}

/// Writes what comes, at most one piece too much.
async fn receive(upload: &mut Upload, request: Request, size: u64) -> Result<(), ApiError> {
    let mut body = request.into_body().into_data_stream();
    while upload.length() <= size {
        match timeout(IDLE, body.next()).await {
            Ok(Some(Ok(piece))) => upload.write(&piece).await.map_err(artifact)?,
            Ok(None) if upload.length() < size => {
                let detail = format!("{} of {size} bytes have come: send the rest", upload.length());
                return Err(ApiError::new(StatusCode::CONFLICT, "UPLOAD_OFFSET", detail)
                    .with_header(HeaderName::from_static(UPLOADED_HEADER), HeaderValue::from(upload.length())));
            }
            Ok(None) => break,
            Ok(Some(Err(error))) => {
                return Err(ApiError::bad_request(format!("the request's body broke off: {error}")));
            }
            Err(_) => return Err(idle(IDLE)),
        }
    }
    Ok(())
}
