//! Pieces of logs: a header in JSON, then the bytes as the process wrote them.

use std::io::Read as _;

use atta_core::protocol::AntId;
use atta_core::protocol::ant::{ANT_HEADER, LogChunk};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Buf as _, Bytes};

use super::super::Context;
use super::super::access::Asker;
use super::super::problem::ApiError;
use super::super::request::{Params, bytes, parse};
use super::{Spoken, check_ant};

/// Bytes of a message, compressed or not.
const LARGEST: usize = 8 * 1024 * 1024;

/// Append to the log of an attempt
///
/// The body is the length of a header (4 bytes, the highest first), the header (a LogChunk of the ant protocol, JSON) and
/// the bytes; all of it with `Content-Encoding: zstd` if the ant likes. A piece that is stored already is accepted and
/// ignored.
#[utoipa::path(
    post, path = "/api/v1/ant/log", tag = "ant line", operation_id = "ant_append_log",
    params(
        ("Atta-Protocol" = u32, Header, description = "The protocol that the ant speaks"),
        ("Atta-Ant" = String, Header, description = "Which ant sends it"),
    ),
    request_body(content = String, content_type = "application/octet-stream"),
    responses((status = 204, description = "It is stored"))
)]
pub(super) async fn append(
    State(context): State<Context>,
    Asker(caller): Asker,
    _: Spoken,
    params: Params,
    request: Request,
) -> Result<StatusCode, ApiError> {
    params.finish()?;
    let ant = sender(request.headers())?;
    check_ant(caller.as_ref(), &ant)?;
    let encoding = request.headers().get(header::CONTENT_ENCODING).cloned();
    // Waits here and not at the disk: whoever sends more than is stored is slowed down.
    let permit = context.limits.log_permit().await?;
    // It is one of few that are read at a time.
    let body = bytes(request.into_body(), LARGEST).await?;
    let body = match encoding.as_ref().map(header::HeaderValue::as_bytes) {
        None | Some(b"identity") => body,
        Some(b"zstd") => unpack(&body)?,
        Some(_) => {
            let detail = "the body's encoding is not understood: zstd or none is";
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", detail));
        }
    };
    let chunk = read(body)?;
    context.line.append_log(&ant, chunk).await?;
    drop(permit);
    Ok(StatusCode::NO_CONTENT)
}

pub(super) fn sender(headers: &HeaderMap) -> Result<AntId, ApiError> {
    let name = headers.get(ANT_HEADER).and_then(|value| value.to_str().ok());
    name.map(|name| AntId(name.to_owned()))
        .ok_or_else(|| ApiError::bad_request(format!("the header {ANT_HEADER} must say which ant sends it")))
}

fn unpack(body: &[u8]) -> Result<Bytes, ApiError> {
    let wrong = |error: std::io::Error| ApiError::bad_request(format!("the body is not valid zstd: {error}"));
    let mut unpacked = Vec::new();
    let limit = LARGEST as u64 + 1;
    zstd::Decoder::new(body).map_err(wrong)?.take(limit).read_to_end(&mut unpacked).map_err(wrong)?;
    if unpacked.len() > LARGEST {
        let detail = format!("a piece of a log may have {LARGEST} bytes");
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", detail));
    }
    Ok(unpacked.into())
}

fn read(mut body: Bytes) -> Result<LogChunk, ApiError> {
    let short = || ApiError::bad_request("the body is shorter than its header says");
    let length = body.try_get_u32().map_err(|_| short())? as usize;
    if length > body.len() {
        return Err(short());
    }
    let mut chunk: LogChunk = parse(&body.split_to(length))?;
    chunk.bytes = body.into();
    Ok(chunk)
}
