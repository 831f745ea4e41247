//! The task that sends.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use atta_core::resilience::Component;
use atta_core::time::{Clock, Entropy, UnixMillis};
use serde_json::Value;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::breakers::{Breakers, Destination};
use super::mail::Mail;
use super::message::Told;
use super::target::Targets;
use super::web::{Post, Web};
use super::{Failed, NotifyConfig, Receiver};
use crate::links::Links;
use crate::scheduler::Queen;
use crate::store::{Channel, ColumnName as _, DeliveryChange, DeliveryOutcome, DueDelivery, Reads, StoreError};
use crate::watch::Watch;

/// Deliveries that run at once, each to another destination.
const AT_ONCE: usize = 32;
/// Rows that are looked at in one go.
const ROWS: u32 = 128;
/// How long to wait when the database cannot be read or written.
const PAUSE: Duration = Duration::from_secs(1);
/// The wall clock may be set while nothing happens: look at least this often while something waits.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);

/// What the notifier works with.
pub(crate) struct NotifierParts {
    pub(crate) config: NotifyConfig,
    pub(crate) queen: Queen,
    pub(crate) reads: Reads,
    pub(crate) links: Arc<Links>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// The address under which people reach this server, without a slash at its end.
    pub(crate) public_url: String,
}

/// Sends until it is told to stop.
pub(crate) struct Notifier {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

struct Inner {
    parts: NotifierParts,
    web: Web,
    breakers: Breakers,
    /// The beginning of the breakers' time.
    began: Instant,
}

impl Notifier {
    /// Begins with what a former process left.
    pub(crate) fn start(parts: NotifierParts, watch: &Watch) -> Result<Self, String> {
        let web = Web::new(&parts.config)?;
        let stop = CancellationToken::new();
        let inner = Arc::new(Inner { breakers: Breakers::new(&parts.config), parts, web, began: Instant::now() });
        let told = stop.clone();
        let task = watch.run("notifier", move |component| run(Arc::clone(&inner), component, told.clone()));
        Ok(Self { stop, task })
    }

    /// Begins nothing more; what is on its way is given up and sent again by the next process.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "notifications ended badly");
        }
    }
}

fn destination(due: &DueDelivery) -> Destination {
    let place = if due.channel == Channel::Email { String::new() } else { due.destination.clone() };
    (due.channel, place)
}

async fn run(inner: Arc<Inner>, component: Component, stop: CancellationToken) -> Result<(), String> {
    let mut busy: BTreeSet<Destination> = BTreeSet::new();
    let mut running: JoinSet<Destination> = JoinSet::new();
    loop {
        let working = component.work();
        let started = start_due(&inner, &mut busy, &mut running).await;
        drop(working);
        component.trouble(started.as_ref().err().map(ToString::to_string));
        let wake = match started {
            Ok(wake) => wake,
            Err(error) => {
                tracing::warn!(%error, "notifications cannot be read");
                Some(PAUSE)
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = inner.parts.queen.outbox_changed() => {}
            Some(done) = running.join_next(), if !running.is_empty() => match done {
                Ok(destination) => {
                    busy.remove(&destination);
                }
                Err(error) => {
                    tracing::error!(%error, "a delivery ended badly");
                    if running.is_empty() {
                        busy.clear();
                    }
                }
            },
            () = sleep(wake) => {}
        }
    }
    running.shutdown().await;
    Ok(())
}

async fn sleep(wake: Option<Duration>) {
    match wake {
        // A millisecond more than needed: instants of the clock are cut to milliseconds.
        Some(rest) => tokio::time::sleep((rest + Duration::from_millis(1)).min(LONGEST_SLEEP)).await,
        None => std::future::pending().await,
    }
}

/// Begins what is due; says how long until the next one is.
async fn start_due(
    inner: &Arc<Inner>,
    busy: &mut BTreeSet<Destination>,
    running: &mut JoinSet<Destination>,
) -> Result<Option<Duration>, StoreError> {
    let (mut left_alone, mut wake) = inner.breakers.left_alone(inner.began.elapsed());
    loop {
        let excluded = busy.iter().chain(left_alone.iter().filter(|one| !busy.contains(one)));
        let pending = inner.parts.reads.pending_deliveries(excluded, ROWS).await?;
        let full = pending.len() >= ROWS as usize;
        let mut began = false;
        for due in pending {
            let now = inner.parts.clock.now();
            if due.due > now {
                let rest = due.due.since(now);
                return Ok(Some(wake.map_or(rest, |wake| wake.min(rest))));
            }
            if running.len() >= AT_ONCE {
                return Ok(wake);
            }
            let destination = destination(&due);
            if !busy.insert(destination.clone()) {
                continue;
            }
            began = true;
            let inner = Arc::clone(inner);
            running.spawn(async move {
                inner.deliver(due).await;
                destination
            });
        }
        // Others may stand behind many rows of one destination.
        if !(full && began) {
            return Ok(wake);
        }
        (left_alone, wake) = inner.breakers.left_alone(inner.began.elapsed());
    }
}

impl Inner {
    /// One try, and its outcome stored.
    async fn deliver(&self, due: DueDelivery) {
        let began = Instant::now();
        let breaker = self.breakers.of(&destination(&due));
        // Whoever has to wait after all is tried with the others, and has used up no try.
        let Ok(permit) = breaker.ask(self.began.elapsed()) else { return };
        let result = self.attempt(&due).await;
        match result.as_ref().map_or_else(|failed| failed.receiver, |()| Receiver::Works) {
            Receiver::Works => permit.succeeded(),
            Receiver::Away => permit.failed(self.began.elapsed(), &*self.parts.entropy),
            Receiver::Unknown => drop(permit),
        }
        let now = self.parts.clock.now();
        let outcome = match result {
            Ok(()) => DeliveryOutcome::Sent,
            Err(failed) => self.after(&due, failed, now),
        };
        let (channel, id) = (due.channel, &due.id);
        match &outcome {
            DeliveryOutcome::Dead { error } => {
                tracing::warn!(notification = %id, ?channel, job = %due.job, error, "a notification was given up");
            }
            outcome => {
                tracing::debug!(notification = %id, ?channel, ?outcome, took = ?began.elapsed(), "notification");
            }
        }
        if matches!(outcome, DeliveryOutcome::Again { .. }) {
            metrics::counter!("atta_retries_total", "dependency" => channel.column_name()).increment(1);
        }
        metrics::counter!("atta_notifications_total", "outcome" => label(&outcome)).increment(1);
        let change = DeliveryChange { id: due.id, outcome, at: now };
        // What was sent must be known as sent before it could be tried again.
        while let Err(error) = self.parts.queen.delivered(vec![change.clone()]).await {
            tracing::warn!(%error, notification = change.id, "the outcome of a notification is not stored yet");
            if self.parts.queen.health().is_err_and(|problem| problem.contains("stopped")) {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn after(&self, due: &DueDelivery, failed: Failed, now: UnixMillis) -> DeliveryOutcome {
        let config = &self.parts.config;
        let tries = due.attempts + 1;
        let Failed { reason, for_good, after, receiver: _ } = failed;
        if for_good {
            return DeliveryOutcome::Dead { error: reason };
        }
        if tries >= config.attempts {
            return DeliveryOutcome::Dead { error: format!("{reason}; given up after {tries} tries") };
        }
        let wait = config.pauses().delay(tries, &*self.parts.entropy);
        DeliveryOutcome::Again { at: now.plus(wait.max(after.unwrap_or_default())), error: reason }
    }

    async fn attempt(&self, due: &DueDelivery) -> Result<(), Failed> {
        let parts = &self.parts;
        let found = parts.reads.job_with_source(&due.job).await.map_err(|error| Failed::once(error.to_string()))?;
        let (row, source) = found.ok_or_else(|| Failed::for_good("the job is gone"))?;
        let content: Value =
            serde_json::from_str(&due.content).map_err(|_| Failed::for_good("what is stored is damaged"))?;
        let vote_url = due.voter.as_deref().and_then(|voter| self.vote_url(&content, voter));
        let url = format!("{}/api/v1/jobs/{}", parts.public_url, due.job);
        let told = Told { content: &content, url, vote_url };
        let now = parts.clock.now();
        let targets = Targets::new(row, &source, parts.queen.secrets(), &*parts.entropy, Arc::clone(&parts.clock))?;
        let gone = || Failed::for_good("the definition has no such notification any more");
        let rule = targets.definition.notify.get(due.rule as usize).ok_or_else(gone)?;
        let post = |url, headers, secret, body: &Value| Post {
            url,
            headers,
            secret,
            delivery: due.id.clone(),
            event: due.event.clone(),
            sent_at: now,
            body: body.to_string().into_bytes(),
        };
        match due.channel {
            Channel::Webhook => {
                let target = rule.webhook.as_ref().ok_or_else(gone)?;
                let url = targets.render("webhook.url", &target.url)?;
                let secret =
                    target.secret.as_ref().map(|secret| targets.render("webhook.secret", secret)).transpose()?;
                let mut headers = Vec::with_capacity(target.headers.len());
                for (name, value) in &target.headers {
                    headers.push((name.clone(), targets.render(&format!("webhook.headers.{name}"), value)?));
                }
                self.web.post(post(url, headers, secret, &told.webhook(&due.id, now)), now).await
            }
            Channel::Slack => {
                let target = rule.slack.as_ref().ok_or_else(gone)?;
                let url = targets.render("slack.url", &target.url)?;
                self.web.post(post(url, Vec::new(), None, &told.slack()), now).await
            }
            Channel::Email => {
                let target = rule.email.as_ref().ok_or_else(gone)?;
                let mailer = parts.config.mailer.as_ref().ok_or_else(|| {
                    Failed::for_good("the server was started without an SMTP server (--smtp-url, ATTA_SMTP_URL)")
                })?;
                let to = if due.voter.is_some() {
                    due.destination.clone()
                } else {
                    let address = target.to.get(due.recipient as usize).ok_or_else(gone)?;
                    targets.render("email.to", address)?.to_string()
                };
                let from = target.from.as_ref().map(|from| targets.render("email.from", from)).transpose()?;
                let mail = Mail {
                    to,
                    from: from.map(|from| from.to_string()),
                    subject: told.subject().to_owned(),
                    text: told.mail(),
                    delivery: due.id.clone(),
                    at: now,
                };
                mailer.send(mail, parts.config.timeout).await
            }
        }
    }

    /// A link of one person's own, when an approval is asked for.
    fn vote_url(&self, content: &Value, voter: &str) -> Option<String> {
        if content["event"] != "approval.requested" {
            return None;
        }
        let id = content["approval"]["approval_id"].as_str()?;
        let deadline = content["approval"]["deadline"].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok());
        let deadline = deadline.map(|at| UnixMillis(at.as_millisecond()));
        let (token, _) = self.parts.links.make(id, voter, deadline, self.parts.clock.now());
        Some(format!("{}/api/v1/approvals/{id}?token={token}", self.parts.public_url))
    }
}

fn label(outcome: &DeliveryOutcome) -> &'static str {
    match outcome {
        DeliveryOutcome::Sent => "sent",
        DeliveryOutcome::Again { .. } => "again",
        DeliveryOutcome::Dead { .. } | DeliveryOutcome::Anew => "dead",
    }
}
