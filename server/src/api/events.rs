//! History: pages of it, and streams that wake with every commit.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use atta_core::protocol::JobId;
use atta_core::protocol::api::{EventResource, Page};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use utoipa_axum::routes;

use super::Context;
use super::access::{Access, Routes};
use super::attempts::history_order;
use super::page::Binding;
use super::problem::ApiError;
use super::request::{Params, Path};
use crate::scheduler::{Changes, Topic};
use crate::store::HistoryOrder;

/// Stored events that are read at once.
const BATCH: u32 = 100;
/// Between two messages about what has changed without an event.
const CHANGES_APART: Duration = Duration::from_millis(500);

pub(super) fn routes() -> Routes {
    Routes::new()
        .with(Access::VIEWER, routes!(list))
        .with(Access::VIEWER, routes!(stream_of_job))
        .with(Access::VIEWER, routes!(stream_of_all))
}

/// List what happened to a job, oldest first unless told otherwise
///
/// In the order `newest` the lines of one sequence number come backwards too: all of it is the other order read from its end.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/events", tag = "events", operation_id = "list_events",
    params(
        ("id" = String, Path, description = "The job's id"),
        ("order" = Option<String>, Query, description = "`oldest` by default; `newest`: what happened last comes first"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "Rows of a page, 50 by default"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before, in the same order"),
    ),
    responses((status = 200, body = Page<EventResource>))
)]
async fn list(
    State(context): State<Context>,
    Path(id): Path<String>,
    mut params: Params,
) -> Result<Json<Page<EventResource>>, ApiError> {
    let order = history_order(&mut params)?;
    let limit = params.limit()?;
    let cursor = params.one("cursor")?;
    params.finish()?;
    let id = JobId(id);
    if !context.reads.job_exists(&id).await? {
        return Err(super::jobs::unknown(&id));
    }
    let (name, edge) = match order {
        HistoryOrder::Oldest => ("events", 0),
        HistoryOrder::Newest => ("events, newest first", i64::MAX),
    };
    let binding = Binding::new(name, &id);
    // The event to go on behind, and how many lines of the next one were seen.
    let (mut after, mut skip): (i64, usize) = binding.key(cursor.as_deref())?.unwrap_or((edge, 0));
    let wanted = limit as usize;
    let mut items = Vec::new();
    loop {
        // `after` is the last event that was seen whole; with `skip`, the next one was seen in part.
        let mut batch = match order {
            HistoryOrder::Oldest => context.reads.events(Some(&id), after, BATCH).await?,
            HistoryOrder::Newest => context.reads.events_before(&id, after, BATCH).await?,
        };
        if order == HistoryOrder::Newest {
            for lines in &mut batch {
                lines.reverse();
            }
        }
        let complete = batch.len() < BATCH as usize;
        for lines in batch {
            let Some(sequence) = lines.first().map(|line| line.sequence) else { continue };
            let total = lines.len();
            let from = std::mem::take(&mut skip);
            let room = wanted - items.len();
            items.extend(lines.into_iter().skip(from).take(room));
            if total.saturating_sub(from) > room {
                // Just in front of this event, whatever comes meanwhile.
                let edge = match order {
                    HistoryOrder::Oldest => after,
                    HistoryOrder::Newest => sequence + 1,
                };
                let next_cursor = Some(binding.cursor(&(edge, from + room))?);
                return Ok(Json(Page { items, next_cursor }));
            }
            after = sequence;
        }
        if complete {
            return Ok(Json(Page { items, next_cursor: None }));
        }
    }
}

/// Follow a job
///
/// Server-sent events: each line of the history is one message with its kind as `event` and an EventResource as `data`.
/// `id` stands on the last line of each sequence number: give it back as `Last-Event-ID` (or `after`) to go on. When the
/// job is terminal and everything was sent, a message `end` follows and the stream closes.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/events/stream", tag = "events", operation_id = "stream_job_events",
    params(
        ("id" = String, Path, description = "The job's id"),
        ("after" = Option<i64>, Query, description = "Only what came after this sequence number; 0 by default"),
        ("Last-Event-ID" = Option<i64>, Header, description = "The same, and it wins"),
    ),
    responses((status = 200, body = String, content_type = "text/event-stream"))
)]
async fn stream_of_job(
    State(context): State<Context>,
    Path(id): Path<String>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    let after = start(&headers, params)?.unwrap_or(0);
    let id = JobId(id);
    if !context.reads.job_exists(&id).await? {
        return Err(super::jobs::unknown(&id));
    }
    let permit = context.stream_permit()?;
    Ok(sse(messages(context, Some(id), after, permit)))
}

/// Follow all jobs
///
/// As for one job, from now on unless told otherwise; it ends when the server stops. What changes without an event of a job
/// is told by messages `changed` without an id, at most two in a second: `{"topics": ["ants"]}`, of `jobs`, `definitions`,
/// `ants`, `configs`, `tokens`, `deliveries`, `notifications`, `status` and `audit`. More may come: pass by what you do not
/// know.
#[utoipa::path(
    get, path = "/api/v1/events/stream", tag = "events", operation_id = "stream_events",
    params(
        ("after" = Option<i64>, Query, description = "Only what came after this sequence number; now by default"),
        ("Last-Event-ID" = Option<i64>, Header, description = "The same, and it wins"),
    ),
    responses((status = 200, body = String, content_type = "text/event-stream"))
)]
async fn stream_of_all(
    State(context): State<Context>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    let now = *context.queen.latest_event().borrow();
    let after = start(&headers, params)?.unwrap_or(now);
    let permit = context.stream_permit()?;
    Ok(sse(messages(context, None, after, permit)))
}

/// Where a stream starts.
fn start(headers: &HeaderMap, mut params: Params) -> Result<Option<i64>, ApiError> {
    let number = |text: &str| match text.trim().parse::<i64>() {
        Ok(number @ 0..) => Ok(number),
        _ => Err("a sequence number is expected"),
    };
    let after = params.parsed("after", number)?;
    params.finish()?;
    match headers.get("last-event-id") {
        None => Ok(after),
        Some(value) => value
            .to_str()
            .ok()
            .and_then(|text| number(text).ok())
            .map(Some)
            .ok_or_else(|| ApiError::bad_request("Last-Event-ID must be the id of a message of this stream")),
    }
}

/// A stream as an answer, with a comment now and then so that dead connections are noticed.
pub(super) fn sse(stream: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response()
}

struct Reader {
    context: Context,
    job: Option<JobId>,
    after: i64,
    latest: watch::Receiver<i64>,
    /// Of all jobs' stream: what changes without an event, and how it was when it was told last.
    changes: Option<(watch::Receiver<Changes>, Changes)>,
    /// Not before this is it told again.
    changes_at: Instant,
    pending: VecDeque<Event>,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

fn messages(
    context: Context,
    job: Option<JobId>,
    after: i64,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> + Send + 'static {
    let latest = context.queen.latest_event();
    let changes = job.is_none().then(|| {
        let mut changes = context.queen.changes();
        let known = *changes.borrow_and_update();
        (changes, known)
    });
    let (pending, changes_at) = (VecDeque::new(), Instant::now());
    let reader = Reader { context, job, after, latest, changes, changes_at, pending, ended: false, _permit: permit };
    stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((Ok(event), reader))
    })
}

/// What has changed without an event, as soon as it may be told. Whoever stops waiting for it misses nothing.
async fn changed(changes: &mut Option<(watch::Receiver<Changes>, Changes)>, at: Instant) -> Event {
    let Some((changes, known)) = changes else { return pending().await };
    loop {
        tokio::time::sleep_until(at).await;
        if changes.changed().await.is_err() {
            // The other channel has ended too, and ends the stream.
            return pending().await;
        }
        let now = *changes.borrow_and_update();
        let topics: Vec<&str> = now.since(*known).map(Topic::as_str).collect();
        *known = now;
        if !topics.is_empty() {
            return Event::default().event("changed").data(serde_json::json!({ "topics": topics }).to_string());
        }
    }
}

impl Reader {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            // Noted before reading: a commit that comes afterwards wakes us.
            self.latest.borrow_and_update();
            match self.read().await {
                Ok(()) if self.pending.is_empty() => {
                    tokio::select! {
                        changed = self.latest.changed() => self.ended = changed.is_err(),
                        event = changed(&mut self.changes, self.changes_at) => {
                            self.changes_at = Instant::now() + CHANGES_APART;
                            self.pending.push_back(event);
                        }
                        () = self.context.stop.cancelled() => self.ended = true,
                    }
                }
                Ok(()) => {}
                Err(error) => {
                    self.ended = true;
                    return Some(Event::default().event("error").data(error.detail));
                }
            }
        }
    }

    async fn read(&mut self) -> Result<(), ApiError> {
        // The state first: what led to it is then among the events that are read.
        let terminal = match &self.job {
            Some(job) => self.context.reads.job_is_terminal(job).await?,
            None => false,
        };
        for lines in self.context.reads.events(self.job.as_ref(), self.after, BATCH).await? {
            let last = lines.len().saturating_sub(1);
            for (index, line) in lines.into_iter().enumerate() {
                self.after = line.sequence;
                let event =
                    Event::default().event(&line.kind).json_data(&line).map_err(|error| ApiError::internal(&error))?;
                let event = if index == last { event.id(line.sequence.to_string()) } else { event };
                self.pending.push_back(event);
            }
        }
        if terminal && self.pending.is_empty() {
            self.ended = true;
            self.pending.push_back(Event::default().event("end").data("{}"));
        }
        Ok(())
    }
}
