//! Pieces of logs: a header in JSON, then the bytes as the process wrote them.

use std::io::Read as _;

use atta_core::protocol::AntId;
use atta_core::protocol::ant::{ANT_HEADER, LogChunk};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::super::Context;
use super::super::access::Asker;
use super::super::problem::ApiError;
use super::super::request::{Params, parse, too_large};
use super::{IDLE, Spoken, check_ant, idle};

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
    let body = receive(request.into_body()).await?;
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

/// The body. It is one of few that are read at a time: a connection on which nothing comes any more gives its place up.
async fn receive(body: Body) -> Result<Bytes, ApiError> {
    let mut body = body.into_data_stream();
    let mut received = Vec::new();
    loop {
        match timeout(IDLE, body.next()).await {
            Ok(Some(Ok(piece))) if received.len() + piece.len() > LARGEST => return Err(too_large(LARGEST)),
            Ok(Some(Ok(piece))) => received.extend_from_slice(&piece),
            Ok(Some(Err(error))) => {
                return Err(ApiError::bad_request(format!("the request's body broke off: {error}")));
            }
            Ok(None) => return Ok(received.into()),
            Err(_) => return Err(idle(IDLE)),
        }
    }
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    fn body(piece: usize) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> {
        stream::iter([Ok(vec![b'x'; piece].into())])
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_in_its_middle_is_cut_off() {
        let stopped = Body::from_stream(body(3).chain(stream::pending()));
        let error = receive(stopped).await.unwrap_err();
        assert_eq!(
            (error.status.as_u16(), error.code, &error.detail[..]),
            (408, "UPLOAD_IDLE", "nothing came for 60 s")
        );
        // One that comes slowly is none.
        let late = stream::once(async {
            tokio::time::sleep(IDLE / 2).await;
            Ok(Bytes::from_static(b"late"))
        });
        let slow = Body::from_stream(body(1).chain(late));
        assert_eq!(&receive(slow).await.unwrap()[..], b"xlate");
        let error = receive(Body::from_stream(body(LARGEST).chain(body(1)))).await.unwrap_err();
        assert_eq!((error.status.as_u16(), error.code), (413, "TOO_LARGE"));
    }
}
