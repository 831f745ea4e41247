//! Following a job of a server to its end.

use atta_core::protocol::JobId;
use atta_core::protocol::api::EventResource;

use super::Server;
use super::stream::Messages;
use crate::exit::{CommandResult, Exit, Failure};
use crate::output;
use crate::progress::{Line, Progress, log_tail, summary};

/// How much of a failed attempt's log is fetched for its last lines.
const TAIL_BYTES: u64 = 16 * 1024;

/// The events of a job as they happen, until its end; a broken connection is taken up again where it broke.
pub(crate) struct EventFollower<'a> {
    server: &'a Server,
    job: &'a JobId,
    after: i64,
    messages: Option<Messages>,
    broken: u32,
}

impl<'a> EventFollower<'a> {
    /// From the beginning.
    pub(crate) fn new(server: &'a Server, job: &'a JobId) -> Self {
        Self { server, job, after: 0, messages: None, broken: 0 }
    }

    /// The next event; `None` when the job has ended.
    pub(crate) async fn next(&mut self) -> CommandResult<Option<EventResource>> {
        loop {
            let messages = match self.messages.as_mut() {
                Some(messages) => messages,
                None => {
                    let after = self.after.to_string();
                    let request =
                        self.server.get(&["jobs", &self.job.0, "events", "stream"], &[("after", after.as_str())]);
                    let response = self.server.send(request).await?;
                    self.messages.insert(Messages::new(self.server, response))
                }
            };
            match messages.next().await {
                Ok(Some(message)) if message.event == "end" => return Ok(None),
                Ok(Some(message)) => {
                    let Ok(event) = serde_json::from_str::<EventResource>(&message.data) else { continue };
                    self.after = event.sequence;
                    self.broken = 0;
                    return Ok(Some(event));
                }
                Ok(None) if self.server.job(self.job).await?.summary.state.is_terminal() => return Ok(None),
                Ok(None) | Err(Failure { exit: Exit::Unreachable, .. }) if self.broken < 20 => {
                    self.messages = None;
                    self.broken += 1;
                    tokio::time::sleep(std::time::Duration::from_millis(250)).await;
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
        for line in progress.apply(&[event]) {
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
                && let Ok(bytes) = response.bytes().await
            {
                output::say(&log_tail(&bytes, 15));
            }
        }
    }
}
