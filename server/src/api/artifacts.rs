//! Artifacts: lists and downloads. Their content comes from tasks, so a browser must never show it as a page of ours.

use std::io;

use atta_core::protocol::JobId;
use atta_core::protocol::api::{JobArtifactResource, Page};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use tokio::io::AsyncReadExt;
use utoipa_axum::routes;

use super::Context;
use super::access::{Access, Routes};
use super::page::{Binding, has};
use super::problem::ApiError;
use super::request::{Params, Path};
use crate::store::StoredArtifact;

/// Bytes that are read from disk at once.
const READ: usize = 128 * 1024;

pub(super) fn routes() -> Routes {
    Routes::new()
        .with(Access::VIEWER, routes!(of_job))
        .with(Access::VIEWER, routes!(of_attempt))
        .with(Access::VIEWER, routes!(download))
        .with(Access::VIEWER, routes!(download_of_task))
}

/// List the artifacts of a job, by attempt and name
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/artifacts", tag = "artifacts", operation_id = "list_job_artifacts",
    params(
        ("id" = String, Path, description = "The job's id"),
        ("task" = Option<String>, Query, description = "Only of this task"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "Rows of a page, 50 by default"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, body = Page<JobArtifactResource>))
)]
async fn of_job(
    State(context): State<Context>,
    Path(id): Path<String>,
    mut params: Params,
) -> Result<Json<Page<JobArtifactResource>>, ApiError> {
    let job = JobId(id);
    let task = params.one("task")?;
    if !context.reads.job_exists(&job).await? {
        return Err(super::jobs::unknown(&job));
    }
    list(&context, &job, None, task, params).await
}

/// List the artifacts of an attempt, by name
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/attempts/{number}/artifacts", tag = "artifacts",
    operation_id = "list_attempt_artifacts",
    params(
        ("id" = String, Path, description = "The job's id"),
        ("number" = u32, Path, description = "The attempt's number within the job"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "Rows of a page, 50 by default"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, body = Page<JobArtifactResource>))
)]
async fn of_attempt(
    State(context): State<Context>,
    Path((id, number)): Path<(String, String)>,
    params: Params,
) -> Result<Json<Page<JobArtifactResource>>, ApiError> {
    let job = JobId(id);
    let attempt = super::attempts::named(&context, &job, &number).await?;
    list(&context, &job, Some(attempt), None, params).await
}

async fn list(
    context: &Context,
    job: &JobId,
    attempt: Option<u32>,
    task: Option<String>,
    mut params: Params,
) -> Result<Json<Page<JobArtifactResource>>, ApiError> {
    let limit = params.limit()?;
    let cursor = params.one("cursor")?;
    params.finish()?;
    let binding = Binding::new("artifacts", &(job, attempt, &task));
    let (number, name): (u32, String) = binding.key(cursor.as_deref())?.unwrap_or_default();
    let rows = context.reads.artifacts(job, attempt, task.as_deref(), (number, &name), limit + 1).await?;
    Ok(Json(binding.page(rows, limit, |row| (row.attempt, row.name.clone()))?))
}

/// Download an artifact of an attempt
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/attempts/{number}/artifacts/{*path}", tag = "artifacts",
    operation_id = "download_artifact",
    params(
        ("id" = String, Path, description = "The job's id"),
        ("number" = u32, Path, description = "The attempt's number within the job"),
        ("path" = String, Path, description = "The artifact's name, with its slashes"),
        ("Range" = Option<String>, Header, description = "`bytes=N-`: from this offset on"),
        ("If-Range" = Option<String>, Header, description = "The ETag of what has come already"),
    ),
    responses(
        (status = 200, body = String, content_type = "application/octet-stream"),
        (status = 206, body = String, content_type = "application/octet-stream", description = "From the offset on"),
        (status = 304, description = "Not changed"),
    )
)]
async fn download(
    State(context): State<Context>,
    Path((id, number, path)): Path<(String, String, String)>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    params.finish()?;
    let job = JobId(id);
    let found = match number.parse() {
        Ok(attempt) => context.reads.artifact(&job, attempt, &path).await?,
        Err(_) => None,
    };
    let stored =
        found.ok_or_else(|| ApiError::not_found(format_args!("artifact {path:?} of attempt {number} of job {job}")))?;
    send(&context, &headers, &path, stored).await
}

/// Download an artifact of the latest attempt of a task that has it
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/tasks/{task}/artifacts/{*path}", tag = "artifacts",
    operation_id = "download_task_artifact",
    params(
        ("id" = String, Path, description = "The job's id"),
        ("task" = String, Path, description = "The task's name"),
        ("path" = String, Path, description = "The artifact's name, with its slashes"),
        ("Range" = Option<String>, Header, description = "`bytes=N-`: from this offset on"),
        ("If-Range" = Option<String>, Header, description = "The ETag of what has come already"),
    ),
    responses(
        (status = 200, body = String, content_type = "application/octet-stream"),
        (status = 206, body = String, content_type = "application/octet-stream", description = "From the offset on"),
        (status = 304, description = "Not changed"),
    )
)]
async fn download_of_task(
    State(context): State<Context>,
    Path((id, task, path)): Path<(String, String, String)>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    params.finish()?;
    let job = JobId(id);
    let found = context.reads.artifact_of_task(&job, &task, &path).await?;
    let stored =
        found.ok_or_else(|| ApiError::not_found(format_args!("artifact {path:?} of task {task} of job {job}")))?;
    send(&context, &headers, &path, stored).await
}

async fn send(
    context: &Context,
    request: &HeaderMap,
    path: &str,
    stored: StoredArtifact,
) -> Result<Response, ApiError> {
    if let Some(at) = &stored.expired_at {
        return Err(ApiError::gone("ARTIFACT_EXPIRED", format!("the artifact {path:?} expired at {at}")));
    }
    let tag = format!("\"{}\"", stored.digest);
    let mut headers = HeaderMap::new();
    let mut set = |name, value: String| {
        HeaderValue::from_str(&value)
            .map(|value| headers.insert(name, value))
            .map_err(|error| ApiError::internal(&error))
    };
    set(header::ETAG, tag.clone())?;
    if has(request, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    set(header::CONTENT_TYPE, "application/octet-stream".to_owned())?;
    set(header::CONTENT_DISPOSITION, disposition(path))?;
    set(header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox".to_owned())?;
    set(header::ACCEPT_RANGES, "bytes".to_owned())?;
    let from = from(request, &tag);
    if from >= stored.size && from > 0 {
        let detail = format!("the artifact {path:?} has {} bytes: nothing is left at {from}", stored.size);
        return Err(ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE", detail));
    }
    set(header::CONTENT_LENGTH, (stored.size - from).to_string())?;
    let status = if from > 0 {
        set(header::CONTENT_RANGE, format!("bytes {from}-{}/{}", stored.size - 1, stored.size))?;
        StatusCode::PARTIAL_CONTENT
    } else {
        StatusCode::OK
    };
    let permit = context.transfer_permit()?;
    let reader = context.artifacts.open(&stored.digest, from).await?;
    if reader.size != stored.size {
        return Err(ApiError::internal(&format_args!(
            "the content of artifact {} has {} bytes instead of {}",
            stored.digest, reader.size, stored.size
        )));
    }
    // A content that was changed on disk must not look like a complete download: its last piece is held back until the
    // digest is known. Of a part only whoever has the rest can say it.
    let state = (reader.content, blake3::Hasher::new(), None::<Bytes>, permit);
    let body = stream::try_unfold(state, move |(mut content, mut hasher, mut held, permit)| {
        let digest = stored.digest.clone();
        async move {
            loop {
                let mut buffer = bytes::BytesMut::with_capacity(READ);
                while buffer.len() < READ && content.read_buf(&mut buffer).await? > 0 {}
                if buffer.is_empty() {
                    if from == 0 && held.is_some() && hasher.finalize().to_hex().as_str() != digest.0 {
                        tracing::error!(%digest, "a stored artifact does not match its digest");
                        return Err(io::Error::new(
                            io::ErrorKind::InvalidData,
                            "the content does not match its digest",
                        ));
                    }
                    return Ok(held.map(|last| (last, (content, hasher, None, permit))));
                }
                let piece = buffer.freeze();
                if from == 0 {
                    hasher.update(&piece);
                }
                if let Some(ready) = held.replace(piece) {
                    return Ok(Some((ready, (content, hasher, held, permit))));
                }
            }
        }
    });
    Ok((status, headers, Body::from_stream(body)).into_response())
}

/// Where a download is to go on: `Range: bytes=N-`. Any other form, and one of another content, is ignored, as HTTP
/// allows.
fn from(request: &HeaderMap, tag: &str) -> u64 {
    let text = |name| request.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if text(header::IF_RANGE).is_some_and(|wanted| wanted.trim() != tag) {
        return 0;
    }
    let range = text(header::RANGE).and_then(|range| range.trim().strip_prefix("bytes=")?.strip_suffix('-'));
    range.and_then(|from| from.parse().ok()).unwrap_or(0)
}

/// `attachment` with the last part of a name, RFC 6266: a harmless ASCII form and the exact one.
fn disposition(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ') { c } else { '_' })
        .collect();
    let mut exact = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_~".contains(&byte) {
            exact.push(char::from(byte));
        } else {
            exact.push('%');
            exact.push_str(&hex::encode_upper([byte]));
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_cannot_leave_the_header() {
        assert_eq!(disposition("a/b.txt"), "attachment; filename=\"b.txt\"; filename*=UTF-8''b.txt");
        assert_eq!(
            disposition("x/ä\"\r\nSet-Cookie: a=b;.html"),
            "attachment; filename=\"____Set-Cookie_ a_b_.html\"; \
             filename*=UTF-8''%C3%A4%22%0D%0ASet-Cookie%3A%20a%3Db%3B.html"
        );
    }
}
