//! The reports on their way to the queen: in order, in batches, each said until it is heard.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use atta_core::engine::{AttemptResult, Failure, ResultName};
use atta_core::protocol::ant::{AttemptReport, Heard, Report, ReportBatch, ReportBody};
use atta_core::resilience::Pauses;
use indexmap::IndexMap;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Core;
use super::retry::SAY_AGAIN;
use crate::LinkError;

/// How long the report of a start waits for another report to go with. Most attempts of small commands have ended by
/// then, and both go in one message.
const START_WAITS: Duration = Duration::from_millis(20);
/// Reports in one batch.
const LARGEST_BATCH: usize = 256;
/// Bytes of the reports in one batch: well below what the queen takes (64 MiB), and little enough to arrive in time. A
/// larger report goes alone.
const LARGEST_MESSAGE: usize = 8 << 20;

/// A report, and who wants to know when it was heard.
pub(crate) type Posted = (Report, Option<oneshot::Sender<()>>);

/// The entrance.
pub(crate) struct Outbox {
    queue: UnboundedSender<Posted>,
    waiting: watch::Sender<usize>,
}

impl Outbox {
    pub(crate) fn new() -> (Self, UnboundedReceiver<Posted>) {
        let (queue, receiver) = mpsc::unbounded_channel();
        (Self { queue, waiting: watch::Sender::new(0) }, receiver)
    }

    pub(crate) fn push(&self, report: Report, heard: Option<oneshot::Sender<()>>) {
        self.waiting.send_modify(|count| *count += 1);
        if self.queue.send((report, heard)).is_err() {
            self.waiting.send_modify(|count| *count -= 1);
        }
    }

    /// Reports that were not heard.
    pub(crate) fn waiting(&self) -> usize {
        *self.waiting.borrow()
    }

    /// Returns when everything was heard.
    pub(crate) async fn empty(&self) {
        let _ = self.waiting.subscribe().wait_for(|count| *count == 0).await;
    }
}

/// Sends what is put into the outbox; there is one who does.
pub(crate) async fn deliver_from(core: Arc<Core>, queue: Option<UnboundedReceiver<Posted>>) {
    if let Some(queue) = queue {
        deliver(core, queue).await;
    }
}

async fn deliver(core: Arc<Core>, mut queue: UnboundedReceiver<Posted>) {
    // Taken out of the queue, and said before what is still in it.
    let mut next = VecDeque::new();
    // Ends that she does not take now. What comes meanwhile does not wait for them.
    let mut refused = Vec::new();
    let (mut pauses, mut again_at) = (Pauses::new(SAY_AGAIN), Instant::now());
    loop {
        let due = !refused.is_empty() && again_at <= Instant::now();
        let first = match next.pop_front() {
            Some(posted) => Some(posted),
            None if due => None,
            None if refused.is_empty() => match queue.recv().await {
                Some(posted) => Some(posted),
                None => return,
            },
            // Nothing more comes: there is still this to say.
            None if queue.is_closed() && queue.is_empty() => {
                sleep_until(again_at).await;
                None
            }
            None => timeout_at(again_at, queue.recv()).await.ok().flatten(),
        };
        let Some(first) = first else {
            for posted in std::mem::take(&mut refused) {
                refused.extend(send(&core, Batch::of(posted)).await);
            }
            if refused.is_empty() {
                pauses.reset();
            } else {
                again_at = Instant::now() + pauses.next(&*core.config.entropy);
            }
            continue;
        };
        let batch = gather(first, &mut next, &mut queue).await;
        let kept = send(&core, batch).await;
        for (report, _) in &kept {
            tracing::warn!(attempt = %report.attempt_id, "the queen does not take the end of an attempt now: it is kept");
        }
        if refused.is_empty() && !kept.is_empty() {
            again_at = Instant::now() + pauses.next(&*core.config.entropy);
        }
        refused.extend(kept);
    }
}

/// Reports that are said together.
struct Batch {
    posted: Vec<Posted>,
    bytes: usize,
}

impl Batch {
    fn of(first: Posted) -> Self {
        // Alone it is said however large it is.
        Self { bytes: size(&first.0), posted: vec![first] }
    }

    /// Takes one more, or gives it back: there is no room for it.
    fn take(&mut self, posted: Posted) -> Result<(), Posted> {
        let bytes = self.bytes + size(&posted.0);
        if self.posted.len() >= LARGEST_BATCH || bytes > LARGEST_MESSAGE {
            return Err(posted);
        }
        self.bytes = bytes;
        self.posted.push(posted);
        Ok(())
    }

    fn has_only_starts(&self) -> bool {
        self.posted.iter().all(|(report, _)| matches!(report.body, ReportBody::Started { .. }))
    }
}

/// What goes with a report: all that waits, as far as there is room, and what comes in a moment when nothing has ended yet.
async fn gather(first: Posted, next: &mut VecDeque<Posted>, queue: &mut UnboundedReceiver<Posted>) -> Batch {
    let mut batch = Batch::of(first);
    let send_at = Instant::now() + START_WAITS;
    loop {
        let more = match next.pop_front() {
            Some(posted) => Some(posted),
            None => queue.try_recv().ok(),
        };
        let more = match more {
            Some(posted) => posted,
            None if !batch.has_only_starts() => return batch,
            None => match timeout_at(send_at, queue.recv()).await {
                Ok(Some(posted)) => posted,
                Ok(None) | Err(_) => return batch,
            },
        };
        if let Err(posted) = batch.take(more) {
            next.push_front(posted);
            return batch;
        }
    }
}

/// Bytes of a report in a message.
fn size(report: &Report) -> usize {
    let mut count = Count(0);
    // What cannot be written is refused when it is sent.
    let _ = serde_json::to_writer(&mut count, report);
    count.0
}

struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says a batch and tells those who listen. When the queen refuses it, one report may be at fault: each is said by itself,
/// and an end that she refuses is said without what may be wrong with it. Gives back the ends that she does not take then
/// either: that is no matter of what they say, and what they are the end of stays until she does.
async fn send(core: &Arc<Core>, batch: Batch) -> Vec<Posted> {
    let (reports, listeners): (Vec<Report>, Vec<_>) = batch.posted.into_iter().unzip();
    let refusal = match say(core, reports.clone()).await {
        Ok(()) => {
            for listener in listeners {
                heard(core, listener);
            }
            return Vec::new();
        }
        Err(refusal) => refusal,
    };
    let several = reports.len() > 1;
    if several {
        tracing::warn!(%refusal, reports = reports.len(), "the queen refused a batch of reports: each is said by itself");
    }
    let mut refused = Vec::new();
    for (report, listener) in reports.into_iter().zip(listeners) {
        let refusal = if several { say(core, vec![report.clone()]).await.err() } else { Some(refusal.clone()) };
        let taken = match refusal {
            None => true,
            Some(refusal) => say_plainly(core, &report, &refusal).await,
        };
        if taken {
            heard(core, listener);
        } else {
            refused.push((report, listener));
        }
    }
    refused
}

fn heard(core: &Arc<Core>, listener: Option<oneshot::Sender<()>>) {
    if let Some(listener) = listener {
        // An attempt that was let go does not listen.
        let _ = listener.send(());
    }
    core.outbox.waiting.send_modify(|waiting| *waiting -= 1);
}

/// Says of a report that was refused what can be said. `false`: not even that is taken.
async fn say_plainly(core: &Arc<Core>, report: &Report, refusal: &LinkError) -> bool {
    let attempt = &report.attempt_id;
    let ReportBody::Finished(end) = &report.body else {
        // Nothing is lost: the next question for work names the attempt, and so does its end.
        tracing::error!(%attempt, %refusal, "the queen refused the report of a start");
        return true;
    };
    if let LinkError::NotNow(_) = refusal {
        return false;
    }
    tracing::error!(%attempt, %refusal, "the queen refused the report of an end: it is said without what was in it");
    let report = Report { body: ReportBody::Finished(Box::new(plain(end, refusal))), ..report.clone() };
    match say(core, vec![report]).await {
        Ok(()) => true,
        Err(refusal) => {
            tracing::error!(%attempt, %refusal, "the queen takes no end of an attempt");
            false
        }
    }
}

/// An end that says only that there was one, and why nothing else is known of it.
fn plain(end: &AttemptReport, refusal: &LinkError) -> AttemptReport {
    let code = end.result.exit_code().map(|code| format!(", exit code {code}")).unwrap_or_default();
    let (result, outputs, artifacts) = (end.result.as_str(), end.outputs.len(), end.artifacts.len());
    let message = format!(
        "the report of its end was not taken, and what it said is not kept ({result}{code}, outputs: {outputs}, artifacts: \
         {artifacts}): {refusal}"
    );
    AttemptReport {
        result: AttemptResult::Named(ResultName::Invalid),
        failure: Some(Failure { code: ResultName::Invalid.as_str().to_owned(), message }),
        outputs: IndexMap::new(),
        artifacts: Vec::new(),
        warnings: Vec::new(),
        log_bytes: end.log_bytes,
        retry_after: None,
        agent: None,
    }
}

/// Says reports until they are answered.
async fn say(core: &Arc<Core>, reports: Vec<Report>) -> Result<(), LinkError> {
    let (ant, session) = (core.config.id.clone(), core.session);
    let mut batch = ReportBatch { ant, session, heard: Heard::default(), reports };
    let mut pauses = Pauses::new(SAY_AGAIN);
    loop {
        // What has come in since the last try counts, too.
        batch.heard = core.heard();
        match core.link.report(batch.clone()).await {
            Ok(orders) => {
                core.obey(orders);
                core.offer_free_slots();
                return Ok(());
            }
            Err(LinkError::Unreachable(detail)) => {
                tracing::debug!(detail, "the queen is away; reports wait");
                tokio::time::sleep(pauses.next(&*core.config.entropy)).await;
            }
            Err(refusal) => return Err(refusal),
        }
    }
}

#[cfg(test)]
mod tests {
    use atta_core::protocol::AttemptId;
    use atta_core::time::UnixMillis;
    use serde_json::Value;

    use super::*;

    /// The end of an attempt whose outputs have so many bytes.
    fn end(number: usize, bytes: usize) -> Report {
        let end = AttemptReport {
            result: AttemptResult::Exit(0),
            failure: None,
            outputs: IndexMap::from([("text".to_owned(), Value::from("x".repeat(bytes)))]),
            artifacts: Vec::new(),
            warnings: Vec::new(),
            log_bytes: 0,
            retry_after: None,
            agent: None,
        };
        let (attempt_id, body) = (AttemptId(format!("job_0-{number}")), ReportBody::Finished(Box::new(end)));
        Report { attempt_id, token: 1, sequence: 2, at: UnixMillis(1), body }
    }

    #[tokio::test]
    async fn a_batch_is_bounded_by_its_bytes_and_nothing_is_left_out_of_turn() {
        const MIB: usize = 1 << 20;
        let (outbox, mut queue) = Outbox::new();
        let sizes = [[MIB; 20].as_slice(), &[LARGEST_MESSAGE + MIB], &[10; 300]].concat();
        for (number, bytes) in sizes.iter().enumerate() {
            outbox.push(end(number, *bytes), None);
        }
        let (mut next, mut batches, mut said) = (VecDeque::new(), Vec::new(), Vec::new());
        while said.len() < sizes.len() {
            let first = next.pop_front().unwrap_or_else(|| queue.try_recv().unwrap());
            let batch = gather(first, &mut next, &mut queue).await;
            assert!(batch.bytes <= LARGEST_MESSAGE || batch.posted.len() == 1, "{}", batch.bytes);
            batches.push(batch.posted.len());
            said.extend(batch.posted.into_iter().map(|(report, _)| report.attempt_id.0));
        }
        assert_eq!(batches, [7, 7, 6, 1, LARGEST_BATCH, 300 - LARGEST_BATCH]);
        assert_eq!(said, (0..sizes.len()).map(|number| format!("job_0-{number}")).collect::<Vec<_>>());
    }
}
