//! Following a job of a server to its end.

use std::time::Duration;

use atta_core::protocol::JobId;
use atta_core::protocol::api::EventResource;
use atta_core::resilience::{Backoff, Pauses};

use super::Server;
use super::stream::Messages;
use crate::ambient::SystemEntropy;
use crate::exit::{CommandResult, Exit, Failure};
use crate::output;
use crate::progress::{Line, Progress, log_tail, summary};

/// How much of a failed attempt's log is fetched for its last lines.
const TAIL_BYTES: u64 = 16 * 1024;

/// How often a stream that breaks off is taken up again without anything new, and after how long.
const RECONNECTS: u32 = 40;
const RECONNECT: Backoff = Backoff { first: Duration::from_millis(100), factor: 2, cap: Duration::from_secs(1) };

/// The events of a job as they happen, until its end; a broken connection is taken up again where it broke.
pub(crate) struct EventFollower<'a> {
    server: &'a Server,
    job: &'a JobId,
    /// The last event that arrived whole.
    after: String,
    messages: Option<Messages>,
    /// Lines of an event whose last line has not arrived.
    lines: Vec<EventResource>,
    broken: Pauses,
}

impl<'a> EventFollower<'a> {
    /// From the beginning.
    pub(crate) fn new(server: &'a Server, job: &'a JobId) -> Self {
        Self { server, job, after: "0".to_owned(), messages: None, lines: Vec::new(), broken: Pauses::new(RECONNECT) }
    }

    /// The lines of the next event; `None` when the job has ended. Nothing is lost when this is dropped half-way.
    pub(crate) async fn next(&mut self) -> CommandResult<Option<Vec<EventResource>>> {
        loop {
            if self.messages.is_none() {
                self.lines.clear();
                let path = ["jobs", &self.job.0, "events", "stream"];
                let request = self.server.get(&path, &[("after", self.after.as_str())]);
                self.messages = Some(Messages::new(self.server, self.server.send(request).await?));
            }
            let Some(messages) = self.messages.as_mut() else { continue };
            match messages.next().await {
                Ok(Some(message)) if message.event == "end" => return Ok(None),
                Ok(Some(message)) if message.event == "error" => return Err(Failure::failed(message.data)),
                Ok(Some(message)) => {
                    self.lines.push(serde_json::from_str(&message.data).map_err(|error| {
                        Failure::failed(format!("The server sent an event that cannot be read: {error}."))
                    })?);
                    // The last line of an event carries its number.
                    if !message.id.is_empty() {
                        self.after = message.id;
                        self.broken.reset();
                        return Ok(Some(std::mem::take(&mut self.lines)));
                    }
                }
                Err(failure) if messages.is_dead() => return Err(failure),
                Ok(None) | Err(Failure { exit: Exit::Unreachable, .. }) if self.broken.failures() < RECONNECTS => {
                    self.messages = None;
                    tokio::time::sleep(self.broken.next(&SystemEntropy)).await;
                }
                Ok(None) => {
                    return Err(Failure::new(
                        Exit::Unreachable,
                        "UNREACHABLE",
                        "The stream of events breaks off again and again.",
                    ));
                }
                Err(failure) => return Err(failure),
            }
        }
    }
}

/// Shows the progress of a job on stderr; the exit code is its verdict.
pub(crate) async fn follow(server: &Server, job: &JobId) -> CommandResult {
    let mut progress = Progress::default();
    let mut events = EventFollower::new(server, job);
    while let Some(event) = events.next().await? {
        for line in progress.apply(&event) {
            show(server, job, line).await;
        }
    }
    let job = server.job(job).await?;
    output::say(&format!("\n{}", summary(&job)));
    Ok(job.summary.state.into())
}

async fn show(server: &Server, job: &JobId, line: Line) {
    match line {
        Line::Text(text) => output::say(&format!("{text}\n")),
        Line::LogTail { attempt } => {
            let request = server
                .get(&["jobs", &job.0, "attempts", &attempt.to_string(), "log"], &[])
                .header(reqwest::header::RANGE, format!("bytes=-{TAIL_BYTES}"));
            // An attempt that wrote nothing has no log; its sentence was shown already.
            if let Ok(response) = server.send(request).await
                && let Ok(bytes) = server.body(response).await
            {
                output::say(&log_tail(&bytes, 15));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::super::scripted::scripted;
    use super::*;

    #[tokio::test]
    async fn a_line_that_fell_silent_is_taken_up_again() {
        let (server, lines) = scripted(&[
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n: a sign of life\n\n",
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nevent: end\ndata: {}\n\n",
        ])
        .await;
        let job = JobId("job_0123456789abcdef0123456789abcdef".to_owned());
        let end = EventFollower::new(&server, &job).next().await.expect("the second line tells the end");
        assert!(end.is_none());
        assert_eq!(lines.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_line_on_which_nothing_ever_came_is_given_up() {
        let (server, lines) = scripted(&["HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"]).await;
        let job = JobId("job_0123456789abcdef0123456789abcdef".to_owned());
        let failure = EventFollower::new(&server, &job).next().await.expect_err("nobody says anything");
        assert_eq!(failure.exit, Exit::Unreachable);
        assert!(failure.message.starts_with("Nothing came from http://127.0.0.1:"), "{}", failure.message);
        assert_eq!(lines.load(Ordering::SeqCst), 1);
    }
}
