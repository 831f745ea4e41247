//! Attempt logs: by byte range, or followed.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::ops::Range;
use std::time::Duration;

use atta_core::engine::{AttemptNumber, AttemptState};
use atta_core::protocol::ant::LogStream;
use atta_core::protocol::api::LogEvent;
use atta_core::protocol::{AttemptId, JobId};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::response::sse::Event;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use utoipa_axum::routes;

use super::Context;
use super::access::{Access, Routes};
use super::problem::ApiError;
use super::request::{Params, Path};
use crate::logs::{LogFollower, LogPiece, LogReader, stream_by_name};
use crate::store::TaskLookup;

/// Bytes that are read from disk at once.
const READ: usize = 256 * 1024;

/// A follower looks at most this often whether its attempt has ended, however much else happens: the end of a log is
/// told to it, and this is for attempts of which nobody tells any more.
const LOOK_EVERY: Duration = Duration::from_secs(2);

pub(super) fn routes() -> Routes {
    Routes::new().with(Access::VIEWER, routes!(of_attempt)).with(Access::VIEWER, routes!(of_task))
}

/// Read the log of an attempt
///
/// Raw bytes of all streams in order of arrival, with single byte ranges (206, 416). With `follow=true` server-sent
/// events: messages `log` with a LogEvent as `data` and the offset behind it as `id`, then `end`.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/attempts/{number}/log", tag = "logs", operation_id = "get_attempt_log",
    params(
        ("id" = String, Path, description = "The job's id"),
        ("number" = u32, Path, description = "The attempt's number within the job"),
        ("stream" = Option<LogStream>, Query, description = "Only this stream; ranges then count its bytes only"),
        ("follow" = Option<bool>, Query, description = "Go on while it is written"),
        ("offset" = Option<u64>, Query, description = "With `follow`: where to begin; Last-Event-ID wins"),
        ("Range" = Option<String>, Header, description = "E.g. `bytes=-16384`"),
    ),
    responses(
        (status = 200, body = String, content_type = "text/plain", description = "The whole log"),
        (status = 206, body = String, content_type = "text/plain", description = "A range of it"),
    )
)]
async fn of_attempt(
    State(context): State<Context>,
    Path((id, number)): Path<(String, String)>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    let query = LogQuery::read(params, &headers)?;
    let job = JobId(id);
    let number = super::attempts::named(&context, &job, &number).await?;
    answer(context, &job, number, query).await
}

/// Read the log of a task's latest attempt
///
/// As for an attempt.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/tasks/{task}/log", tag = "logs", operation_id = "get_task_log",
    params(
        ("id" = String, Path, description = "The job's id"),
        ("task" = String, Path, description = "The task's name"),
        ("stream" = Option<LogStream>, Query, description = "Only this stream; ranges then count its bytes only"),
        ("follow" = Option<bool>, Query, description = "Go on while it is written"),
        ("offset" = Option<u64>, Query, description = "With `follow`: where to begin; Last-Event-ID wins"),
        ("Range" = Option<String>, Header, description = "E.g. `bytes=-16384`"),
    ),
    responses(
        (status = 200, body = String, content_type = "text/plain", description = "The whole log"),
        (status = 206, body = String, content_type = "text/plain", description = "A range of it"),
    )
)]
async fn of_task(
    State(context): State<Context>,
    Path((id, task)): Path<(String, String)>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    let query = LogQuery::read(params, &headers)?;
    let job = JobId(id);
    match context.reads.latest_attempt(&job, &task).await? {
        TaskLookup::NoJob => Err(super::jobs::unknown(&job)),
        TaskLookup::NoTask => Err(ApiError::not_found(format_args!("task {task} of job {job}"))),
        TaskLookup::NotStarted => Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "NOT_STARTED",
            format!("task {task} of job {job} has no attempt yet, so there is no log"),
        )),
        TaskLookup::Attempt(number, _) => answer(context, &job, number, query).await,
    }
}

struct LogQuery {
    stream: Option<LogStream>,
    /// Where to begin to follow.
    follow: Option<u64>,
    range: Option<RangeSpec>,
}

impl LogQuery {
    fn read(mut params: Params, headers: &HeaderMap) -> Result<Self, ApiError> {
        let stream =
            params.parsed("stream", |name| stream_by_name(name).ok_or("stdout, stderr or system is expected"))?;
        let follow = params.flag("follow")?;
        let offset =
            params.parsed("offset", |text| text.parse::<u64>().map_err(|_| "a number of bytes is expected"))?;
        params.finish()?;
        let resumed = headers.get("last-event-id").and_then(|value| value.to_str().ok()).and_then(|id| id.parse().ok());
        let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok()).and_then(RangeSpec::parse);
        Ok(Self { stream, follow: follow.then(|| resumed.or(offset).unwrap_or(0)), range })
    }
}

/// A single byte range. Anything else is ignored, as HTTP asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RangeSpec {
    From(u64, Option<u64>),
    Last(u64),
}

impl RangeSpec {
    fn parse(header: &str) -> Option<Self> {
        let (first, last) = header.trim().strip_prefix("bytes=")?.split_once('-')?;
        let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
        match (first.trim(), last.trim()) {
            ("", last) => Some(Self::Last(number(last)?)),
            (first, "") => Some(Self::From(number(first)?, None)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::From(first, Some(last)))
            }
        }
    }

    /// The bytes of a content of this length; `None`: there are none.
    fn within(self, total: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::From(first, last) => first..last.map_or(total, |last| last.saturating_add(1).min(total)),
            Self::Last(count) => total.saturating_sub(count)..total,
        };
        (!range.is_empty()).then_some(range)
    }
}

async fn answer(context: Context, job: &JobId, number: u32, query: LogQuery) -> Result<Response, ApiError> {
    let attempt = AttemptId::new(job, AttemptNumber(number));
    if let Some(offset) = query.follow {
        let permit = context.stream_permit()?;
        return follow(context, job.clone(), number, attempt, offset, query.stream, permit).await;
    }
    let permit = context.transfer_permit()?;
    let reader = context.logs.open_reader(&attempt).await?;
    let total = reader.as_ref().map_or(0, |reader| reader.total(query.stream));
    let (status, range) = match query.range.map(|range| range.within(total)) {
        None => (StatusCode::OK, 0..total),
        Some(Some(range)) => (StatusCode::PARTIAL_CONTENT, range),
        Some(None) => {
            return Err(ApiError::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "RANGE_NOT_SATISFIABLE",
                format!("the log has {total} bytes"),
            )
            .with_header(header::CONTENT_RANGE, text_header(&format!("bytes */{total}"))?));
        }
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    if status == StatusCode::PARTIAL_CONTENT {
        let shown = format!("bytes {}-{}/{total}", range.start, range.end - 1);
        headers.insert(header::CONTENT_RANGE, text_header(&shown)?);
    }
    let mut response = Response::new(match reader {
        Some(reader) => body(reader, query.stream, range, permit),
        None => Body::empty(),
    });
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

fn text_header(text: &str) -> Result<HeaderValue, ApiError> {
    HeaderValue::from_str(text).map_err(|error| ApiError::internal(&error))
}

/// The bytes of a range, a piece at a time: the client's speed is the reader's.
fn body(reader: LogReader, stream: Option<LogStream>, range: Range<u64>, permit: OwnedSemaphorePermit) -> Body {
    Body::from_stream(stream::try_unfold((reader, range, permit), move |(mut reader, range, permit)| async move {
        if range.is_empty() {
            return Ok(None);
        }
        let read = tokio::task::spawn_blocking(move || {
            let at_most = usize::try_from(range.end - range.start).unwrap_or(usize::MAX).min(READ);
            let pieces = reader.read(stream, range.start, at_most)?;
            let bytes = pieces.iter().map(|piece| piece.bytes.as_slice()).collect::<Vec<_>>().concat();
            if bytes.is_empty() {
                return Err(std::io::Error::other("the log became shorter"));
            }
            let rest = range.start + bytes.len() as u64..range.end;
            Ok((Bytes::from(bytes), reader, rest))
        });
        let (bytes, reader, rest) = read.await.map_err(std::io::Error::other)??;
        Ok::<_, std::io::Error>(Some((bytes, (reader, rest, permit))))
    }))
}

struct Following {
    context: Context,
    job: JobId,
    number: u32,
    follower: LogFollower,
    stream: Option<LogStream>,
    latest: watch::Receiver<i64>,
    /// When was looked whether the attempt has ended, and the latest event of then.
    looked: Option<(Instant, i64)>,
    pending: VecDeque<Event>,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

async fn follow(
    context: Context,
    job: JobId,
    number: u32,
    attempt: AttemptId,
    offset: u64,
    stream: Option<LogStream>,
    permit: OwnedSemaphorePermit,
) -> Result<Response, ApiError> {
    let follower = context.logs.follow(&attempt, offset).await?;
    let latest = context.queen.latest_event();
    let following = Following {
        context,
        job,
        number,
        follower,
        stream,
        latest,
        looked: None,
        pending: VecDeque::new(),
        ended: false,
        _permit: permit,
    };
    Ok(super::events::sse(stream::unfold(following, |mut following| async move {
        let event = following.next().await?;
        Some((Ok::<_, Infallible>(event), following))
    })))
}

impl Following {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            let news = async {
                // The first look is at once: the attempt may have ended before there was a follower.
                let Some((at, known)) = self.looked else { return };
                // Whatever comes of this waiting, an event is new until somebody has looked.
                if self.latest.wait_for(|latest| *latest != known).await.is_err() {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep_until(at + LOOK_EVERY).await;
            };
            let read = tokio::select! {
                read = self.follower.next() => read,
                () = news => {
                    self.look().await;
                    continue;
                }
                () = self.context.stop.cancelled() => return None,
            };
            match read {
                Ok(Some(pieces)) => self.take(pieces),
                Ok(None) => {
                    self.ended = true;
                    let offset = self.follower.offset();
                    return Some(Event::default().event("end").data(format!("{{\"offset\":{offset}}}")));
                }
                Err(error) => {
                    tracing::warn!(job = %self.job, attempt = self.number, %error, "a log cannot be followed");
                    self.ended = true;
                    return Some(Event::default().event("error").data(error.to_string()));
                }
            }
        }
    }

    /// Whether the attempt has ended.
    async fn look(&mut self) {
        self.looked = Some((Instant::now(), *self.latest.borrow_and_update()));
        match self.context.reads.attempt_state(&self.job, self.number).await {
            Ok(Some(AttemptState::Finished) | None) => self.follower.end_when_drained(),
            Ok(Some(_)) => {}
            Err(error) => {
                tracing::warn!(job = %self.job, attempt = self.number, %error, "an attempt cannot be looked up");
            }
        }
    }

    fn take(&mut self, pieces: Vec<LogPiece>) {
        for piece in pieces.into_iter().filter(|piece| self.stream.is_none_or(|stream| stream == piece.stream)) {
            let id = (piece.offset + piece.bytes.len() as u64).to_string();
            let (text, base64) = match String::from_utf8(piece.bytes) {
                Ok(text) => (Some(text), None),
                Err(error) => (None, Some(STANDARD.encode(error.as_bytes()))),
            };
            let data = LogEvent { offset: piece.offset, stream: piece.stream, at: piece.at.to_rfc3339(), text, base64 };
            match Event::default().event("log").id(id).json_data(&data) {
                Ok(event) => self.pending.push_back(event),
                Err(error) => tracing::error!(%error, "a piece of a log cannot be written as JSON"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_ranges_are_understood_or_ignored() {
        let within = |header: &str, total| RangeSpec::parse(header).map(|range| range.within(total));
        assert_eq!(within("bytes=0-0", 5), Some(Some(0..1)));
        assert_eq!(within("bytes=2-", 5), Some(Some(2..5)));
        assert_eq!(within("bytes=-2", 5), Some(Some(3..5)));
        assert_eq!(within("bytes=-20", 5), Some(Some(0..5)));
        assert_eq!(within("bytes=1-99", 5), Some(Some(1..5)));
        assert_eq!(within("bytes=1-18446744073709551615", 5), Some(Some(1..5)));
        for outside in ["bytes=5-", "bytes=9-10", "bytes=-0"] {
            assert_eq!(within(outside, 5), Some(None), "{outside}");
        }
        for ignored in ["bytes=3-2", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4", "bytes=", "bytes=+1-2", "bytes=-"] {
            assert_eq!(RangeSpec::parse(ignored), None, "{ignored}");
        }
    }
}
