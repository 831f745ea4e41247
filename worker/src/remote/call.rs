//! One request, and what its answer means.

use std::sync::atomic::Ordering;
use std::time::Duration;

use atta_core::protocol::ant::{Hello, JOB_DAMAGED, STALE_TOKEN, UPLOADED_HEADER};
use atta_core::protocol::api::Problem;
use atta_core::resilience::{Class, Permit, retry_after, root_cause};
use atta_core::time::UnixMillis;
use reqwest::header::RETRY_AFTER;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;

use super::{PULSE, RemoteLink};
use crate::LinkError;

/// The longest that a queen may ask to wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The pause of an ant that is not let in: between this and twice as much.
const DENIED: Duration = Duration::from_secs(10);
/// The least pause while more than the budget's share of what is sent are repetitions.
const OVER_BUDGET: Duration = Duration::from_secs(1);

/// Why there is no answer to work with.
#[derive(Debug)]
pub(super) enum Failed {
    /// Nothing came back, or the queen cannot answer now.
    Away { detail: String, wait: Option<Duration> },
    /// The queen does not let this ant in. It may be let in again; what it has to say waits until then.
    Denied { code: String, detail: String },
    /// The queen does not take this message.
    Refused { status: StatusCode, code: String, detail: String, uploaded: Option<u64>, wait: Option<Duration> },
}

impl Failed {
    /// The queen did not answer, or could not: what a breaker counts. One that asks for patience is there.
    fn is_failure(&self) -> bool {
        matches!(self, Self::Away { wait: None, .. })
    }

    pub(super) fn away(detail: impl Into<String>) -> Self {
        Self::Away { detail: detail.into(), wait: None }
    }
}

/// The deepest cause, which says most.
pub(super) fn cause(error: &reqwest::Error) -> String {
    let cause = root_cause(error);
    if error.is_timeout() && !cause.to_string().contains("timed out") {
        return "no answer came in time".to_owned();
    }
    let text = cause.to_string();
    // What follows is an address of somebody's manual.
    text.split(": http").next().unwrap_or(&text).to_owned()
}

impl RemoteLink {
    /// Sends; an answer that is no success is a failure.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, Failed> {
        let response = request.send().await.map_err(|error| self.no_answer(&error))?;
        if response.status().is_success() { Ok(response) } else { Err(read_failure(response).await) }
    }

    /// Leave to send something. After a row of failures the queen is left alone, and greeted by one caller at a time:
    /// nothing that may take long is ever the probe.
    async fn permit(&self) -> Result<Permit<'_>, Failed> {
        let closed = |wait| Failed::Away { detail: "it did not answer a moment ago".to_owned(), wait: Some(wait) };
        let permit = self.breaker.ask(self.began.elapsed()).map_err(closed)?;
        if !permit.is_probe() {
            return Ok(permit);
        }
        let greeting = self.request(&self.control, Method::GET, &["hello"], &[]).timeout(PULSE);
        let result = self.json::<Hello>(greeting).await;
        self.settle(permit, &result);
        match result {
            Err(failed) if failed.is_failure() => Err(failed),
            _ => self.breaker.ask(self.began.elapsed()).map_err(closed),
        }
    }

    /// What came of something that was sent.
    fn settle<T>(&self, permit: Permit<'_>, result: &Result<T, Failed>) {
        match result {
            Err(failed) if failed.is_failure() => permit.failed(self.began.elapsed(), &*self.entropy),
            _ => permit.succeeded(),
        }
    }

    /// Waits for the answer to what can be said again, unless the queen is left alone.
    async fn careful<T>(&self, answer: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
        let permit = self.permit().await?;
        let result = answer.await;
        self.settle(permit, &result);
        if result.is_ok() {
            self.budget.answered();
        }
        result
    }

    /// Sends what can be said again, unless the queen is left alone.
    pub(super) async fn send_careful(&self, request: RequestBuilder) -> Result<Response, Failed> {
        self.careful(self.send(request)).await
    }

    /// Sends and reads a JSON answer, unless the queen is left alone.
    pub(super) async fn json_careful<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failed> {
        self.careful(self.json(request)).await
    }

    /// Sends and reads a JSON answer.
    pub(super) async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failed> {
        let response = self.send(request).await?;
        let body = response.bytes().await.map_err(|error| self.no_answer(&error))?;
        serde_json::from_slice(&body)
            .map_err(|error| Failed::away(format!("the answer is not understood ({error}): is this an Atta server?")))
    }

    pub(super) fn no_answer(&self, error: &reqwest::Error) -> Failed {
        if let Some(detail) = self.pinned.as_ref().and_then(|pinned| pinned.take_mismatch()) {
            return Failed::Denied { code: "FINGERPRINT".to_owned(), detail };
        }
        Failed::away(cause(error))
    }

    /// What the ant is told, after the pause that is due.
    pub(super) async fn link_error(&self, failed: Failed) -> LinkError {
        match failed {
            Failed::Away { detail, wait } => {
                self.notice.away(self.queen(), &detail);
                self.retries.fetch_add(1, Ordering::Relaxed);
                let wait = if self.budget.retry() { wait } else { Some(wait.unwrap_or_default().max(OVER_BUDGET)) };
                self.pause(wait).await;
                LinkError::Unreachable(detail)
            }
            Failed::Denied { code, detail } => {
                self.notice.denied(&code, &detail);
                self.pause(Some(DENIED)).await;
                LinkError::Unreachable(format!("{code}: {detail}"))
            }
            Failed::Refused { code, detail, .. } => {
                self.notice.well();
                match code.as_str() {
                    STALE_TOKEN => LinkError::Stale(detail),
                    JOB_DAMAGED => LinkError::NotNow(detail),
                    _ => LinkError::Refused(format!("{code}: {detail}")),
                }
            }
        }
    }

    /// Waits for a time and up to as much again, so that many ants do not come back at once.
    pub(super) async fn pause(&self, wait: Option<Duration>) {
        if let Some(wait) = wait {
            let wait = wait.min(LONGEST_PAUSE);
            let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
            tokio::time::sleep(wait + Duration::from_millis(self.entropy.next_u64() % millis)).await;
        }
    }
}

async fn read_failure(response: Response) -> Failed {
    let status = response.status();
    let text = |name: &str| response.headers().get(name)?.to_str().ok();
    // A queen says it in seconds; dates are of somebody else, and are passed by.
    let wait = text(RETRY_AFTER.as_str()).and_then(|text| retry_after(text, UnixMillis(i64::MAX), LONGEST_PAUSE));
    let uploaded = text(UPLOADED_HEADER).and_then(|text| text.trim().parse().ok());
    let body = response.bytes().await.unwrap_or_default();
    let problem: Option<Problem> = serde_json::from_slice(&body).ok();
    let detail = problem.as_ref().map_or_else(|| format!("it answered {status}"), |problem| problem.detail.clone());
    let code = problem.as_ref().map_or_else(|| "HTTP".to_owned(), |problem| problem.code.clone());
    match Class::of_status(status.as_u16(), wait) {
        Some(Class::Denied) => Failed::Denied { code, detail },
        Some(Class::RateLimited(_)) if code == "TOO_MANY_FAILURES" => Failed::Denied { code, detail },
        Some(Class::RateLimited(asked)) => Failed::Away { detail, wait: Some(asked.unwrap_or(OVER_BUDGET)) },
        Some(Class::Transient) => Failed::Away { detail, wait },
        // A HEAD has no body.
        _ if status == StatusCode::NOT_FOUND && uploaded.is_some() => {
            Failed::Refused { status, code, detail, uploaded, wait }
        }
        // Something else answers there, or an older server: what the ant has to say is not to be lost on it.
        _ if problem.is_none() || code == "NO_ROUTE" => {
            Failed::Away { detail: format!("{detail}: is this an Atta server that takes ants?"), wait }
        }
        _ => Failed::Refused { status, code, detail, uploaded, wait },
    }
}
