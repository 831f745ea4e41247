//! The reports on their way to the queen: in order, in batches, each said until it is heard.

use std::sync::Arc;
use std::time::Duration;

use atta_core::protocol::ant::{Heard, Report, ReportBatch, ReportBody};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::Core;
use super::retry::Backoff;
use crate::LinkError;

/// How long the report of a start waits for another report to go with. Most attempts of small commands have ended by
/// then, and both go in one message.
const START_WAITS: Duration = Duration::from_millis(20);
/// Reports in one batch.
const LARGEST_BATCH: usize = 256;

/// The entrance.
pub(crate) struct Outbox {
    queue: UnboundedSender<Report>,
    waiting: watch::Sender<usize>,
}

impl Outbox {
    pub(crate) fn new() -> (Self, UnboundedReceiver<Report>) {
        let (queue, receiver) = mpsc::unbounded_channel();
        (Self { queue, waiting: watch::Sender::new(0) }, receiver)
    }

    pub(crate) fn push(&self, report: Report) {
        self.waiting.send_modify(|count| *count += 1);
        if self.queue.send(report).is_err() {
            self.waiting.send_modify(|count| *count -= 1);
        }
    }

    /// Returns when everything was heard.
    pub(crate) async fn empty(&self) {
        let _ = self.waiting.subscribe().wait_for(|count| *count == 0).await;
    }
}

/// Sends what is put into the outbox.
pub(crate) async fn deliver(core: Arc<Core>, mut queue: UnboundedReceiver<Report>) {
    while let Some(first) = queue.recv().await {
        let mut reports = vec![first];
        let send_at = Instant::now() + START_WAITS;
        loop {
            while reports.len() < LARGEST_BATCH
                && let Ok(report) = queue.try_recv()
            {
                reports.push(report);
            }
            let only_starts = reports.iter().all(|report| matches!(report.body, ReportBody::Started { .. }));
            if !only_starts || reports.len() >= LARGEST_BATCH {
                break;
            }
            match timeout_at(send_at, queue.recv()).await {
                Ok(Some(report)) => reports.push(report),
                Ok(None) | Err(_) => break,
            }
        }
        let count = reports.len();
        send(
            &core,
            ReportBatch { ant: core.config.id.clone(), session: core.session, heard: Heard::default(), reports },
        )
        .await;
        core.outbox.waiting.send_modify(|waiting| *waiting -= count);
    }
}

async fn send(core: &Arc<Core>, batch: ReportBatch) {
    let mut backoff = Backoff::default();
    loop {
        match core.link.report(batch.clone()).await {
            Ok(orders) => {
                core.obey(orders);
                core.offer_free_slots();
                return;
            }
            Err(LinkError::Unreachable(detail)) => {
                tracing::debug!(detail, "the queen is away; reports wait");
                tokio::time::sleep(backoff.next(&*core.config.entropy)).await;
            }
            Err(refusal) => {
                tracing::error!(%refusal, reports = batch.reports.len(), "the queen refused a batch of reports");
                return;
            }
        }
    }
}
