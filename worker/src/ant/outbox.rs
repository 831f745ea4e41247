//! The reports on their way to the queen: in order, in batches, each said until it is heard.

use std::sync::Arc;
use std::time::Duration;

use atta_core::protocol::ant::{Heard, Report, ReportBatch, ReportBody};
use atta_core::resilience::Pauses;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::Core;
use super::retry::SAY_AGAIN;
use crate::LinkError;

/// How long the report of a start waits for another report to go with. Most attempts of small commands have ended by
/// then, and both go in one message.
const START_WAITS: Duration = Duration::from_millis(20);
/// Reports in one batch.
const LARGEST_BATCH: usize = 256;

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
    while let Some((first, listener)) = queue.recv().await {
        let mut reports = vec![first];
        let mut listeners: Vec<_> = listener.into_iter().collect();
        let send_at = Instant::now() + START_WAITS;
        loop {
            while reports.len() < LARGEST_BATCH
                && let Ok((report, listener)) = queue.try_recv()
            {
                reports.push(report);
                listeners.extend(listener);
            }
            let only_starts = reports.iter().all(|report| matches!(report.body, ReportBody::Started { .. }));
            if !only_starts || reports.len() >= LARGEST_BATCH {
                break;
            }
            match timeout_at(send_at, queue.recv()).await {
                Ok(Some((report, listener))) => {
                    reports.push(report);
                    listeners.extend(listener);
                }
                Ok(None) | Err(_) => break,
            }
        }
        let count = reports.len();
        send(&core, reports).await;
        for listener in listeners {
            // An attempt that was let go does not listen.
            let _ = listener.send(());
        }
        core.outbox.waiting.send_modify(|waiting| *waiting -= count);
    }
}

async fn send(core: &Arc<Core>, reports: Vec<Report>) {
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
                return;
            }
            Err(LinkError::Unreachable(detail)) => {
                tracing::debug!(detail, "the queen is away; reports wait");
                tokio::time::sleep(pauses.next(&*core.config.entropy)).await;
            }
            Err(refusal) => {
                tracing::error!(%refusal, reports = batch.reports.len(), "the queen refused a batch of reports");
                return;
            }
        }
    }
}
