//! Deliveries of webhooks that have proven where they come from: what they do, and their record.
//!
//! A delivery is decided and recorded in one transaction with the job that it makes. Whatever cannot be evaluated lets
//! nothing through.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use atta_core::definition::{JobDefinition, RateLimit, TemplateText, Trigger, WebhookTrigger};
use atta_core::protocol::JobId;
use atta_core::protocol::api::{DeliveryOutcome, WebhookAnswer};
use atta_core::template::{Builtins, ConfigValues, Renderer, Variables, is_truthy};
use atta_core::time::UnixMillis;
use serde_json::Value;

use super::command::Command;
use super::definitions::LoadedVersion;
use super::state::State;
use super::submit::{WantedJob, job_id};
use super::variables::{render_params, render_text};
use super::{Queen, Refusal};
use crate::store::{DeliveryRow, JobOrigin, StoreWriter, json};

/// A delivery that has proven where it comes from.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The definition.
    pub job_type: String,
    /// The webhook.
    pub trigger: String,
    /// The sender's id of it, or a digest: the same one does nothing twice.
    pub sender_id: String,
    /// What happened, as the sender calls it.
    pub event: Option<String>,
    /// What templates and people may see of the headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body as it came.
    pub body: Vec<u8>,
    /// The body, understood.
    pub payload: Value,
    /// Somebody asks for it again.
    pub redelivery_of: Option<String>,
}

/// How many deliveries of a webhook may still do something now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    tokens: f64,
    at: UnixMillis,
}

/// What a delivery came to.
struct Decided {
    outcome: DeliveryOutcome,
    job: Option<JobId>,
    message: Option<String>,
    /// With `limited`: when to come again, in seconds.
    retry_after: Option<u64>,
}

impl Decided {
    fn new(outcome: DeliveryOutcome, message: impl Into<Option<String>>) -> Self {
        Self { outcome, job: None, message: message.into(), retry_after: None }
    }
}

impl State {
    /// The webhook of the newest version of a definition.
    async fn find_webhook(
        &mut self,
        database: &mut StoreWriter,
        job_type: &str,
        name: &str,
    ) -> Result<(Arc<LoadedVersion>, WebhookTrigger), Refusal> {
        let nothing = || Refusal::NotFound { what: format!("webhook {name} of the definition {job_type}") };
        let latest = self.definitions.get(job_type).ok_or_else(nothing)?.row.latest_version.clone();
        let version = self.version(database, job_type, &latest).await?;
        let found = webhooks(&version.definition).find(|webhook| webhook.name == name).cloned();
        Ok((version, found.ok_or_else(nothing)?))
    }

    /// Does what a delivery asks for, and records it.
    pub(super) async fn deliver(
        &mut self,
        database: &mut StoreWriter,
        delivery: Delivery,
    ) -> Result<WebhookAnswer, Refusal> {
        let (version, webhook) = self.find_webhook(database, &delivery.job_type, &delivery.trigger).await?;
        let decided = self.decide_delivery(database, &version, &webhook, &delivery).await?;
        let now = self.clock.now();
        let (a, b) = (self.entropy.next_u64(), self.entropy.next_u64());
        let id = job_id(u64::try_from(now.0).unwrap_or(0), a, b).0.replacen("job_", "dlv_", 1);
        metrics::counter!("atta_webhook_deliveries_total", "outcome" => decided.outcome.as_str()).increment(1);
        self.staged.deliveries.push(DeliveryRow {
            id: id.clone(),
            job_type: delivery.job_type,
            trigger: delivery.trigger,
            sender_id: delivery.sender_id,
            event: delivery.event,
            headers: json(&delivery.headers),
            body: delivery.body,
            outcome: decided.outcome,
            job: decided.job.clone(),
            message: decided.message.clone(),
            redelivery_of: delivery.redelivery_of,
            received_at: now,
        });
        Ok(WebhookAnswer {
            delivery_id: id,
            outcome: decided.outcome,
            job_id: decided.job,
            message: decided.message,
            retry_after: decided.retry_after,
        })
    }

    async fn decide_delivery(
        &mut self,
        database: &mut StoreWriter,
        version: &Arc<LoadedVersion>,
        webhook: &WebhookTrigger,
        delivery: &Delivery,
    ) -> Result<Decided, Refusal> {
        if delivery.redelivery_of.is_none() {
            let staged = self.staged.deliveries.iter().find(|row| {
                row.outcome.is_effect()
                    && (row.job_type.as_str(), row.trigger.as_str(), row.sender_id.as_str())
                        == (delivery.job_type.as_str(), delivery.trigger.as_str(), delivery.sender_id.as_str())
            });
            let before = match staged {
                Some(row) => Some((row.id.clone(), row.job.clone())),
                None => database.delivered_before(&delivery.job_type, &delivery.trigger, &delivery.sender_id).await?,
            };
            if let Some((first, job)) = before {
                let message = format!("the same delivery was received before as {first}; nothing was done again");
                return Ok(Decided { job, ..Decided::new(DeliveryOutcome::Replayed, message) });
            }
        }
        if delivery.event.as_deref() == Some("ping") {
            return Ok(Decided::new(DeliveryOutcome::Ping, None));
        }
        if let Some(limit) = webhook.rate_limit
            && let Some(seconds) = self.over_limit(&delivery.job_type, &delivery.trigger, limit)
        {
            let message = format!(
                "more than {} deliveries in {}: come again in {seconds} s",
                limit.count,
                atta_core::definition::format_duration(limit.per)
            );
            return Ok(Decided { retry_after: Some(seconds), ..Decided::new(DeliveryOutcome::Limited, message) });
        }
        Ok(match self.act(database, version, webhook, delivery).await {
            Ok(decided) => decided,
            Err(Refusal::Duplicate { key, holder }) => {
                let message = Refusal::Duplicate { key, holder: holder.clone() }.to_string();
                Decided { job: Some(holder), ..Decided::new(DeliveryOutcome::Duplicate, message) }
            }
            // What is wrong with the database concerns the whole batch.
            Err(refusal @ Refusal::Unavailable { .. }) => return Err(refusal),
            Err(refusal) => Decided::new(DeliveryOutcome::Refused, refusal.sentence()),
        })
    }

    async fn act(
        &mut self,
        database: &mut StoreWriter,
        version: &Arc<LoadedVersion>,
        webhook: &WebhookTrigger,
        delivery: &Delivery,
    ) -> Result<Decided, Refusal> {
        let scope = scope(delivery, self.secrets.values(&delivery.job_type), &self.renderer);
        let text = |key: &str, template: &TemplateText| {
            render_text(&version.source, key, template, &self.renderer, &scope).map_err(not_evaluated)
        };
        if let Some(filter) = &webhook.filter
            && !is_truthy(&text("filter", filter)?)
        {
            return Ok(Decided::new(DeliveryOutcome::Filtered, None));
        }
        if let Some(wake) = &webhook.wake {
            let key = text("wake.user_key", &wake.user_key)?.trim().to_owned();
            return Ok(self.wake_task(&key, &wake.task));
        }
        let params =
            render_params(&version.source, "params", &webhook.params, &self.renderer, &scope).map_err(not_evaluated)?;
        let user_key = webhook.user_key.as_ref().map(|template| text("user_key", template)).transpose()?;
        let wanted = WantedJob {
            job_type: delivery.job_type.clone(),
            version: Some(version.version.clone()),
            params,
            user_key,
            priority: None,
            description: None,
            submitted_by: format!("webhook:{}", delivery.trigger),
            scheduled_at: None,
            origin: JobOrigin::default(),
        };
        let id = self.accept(database, wanted).await?;
        self.admit();
        Ok(Decided { job: Some(id), ..Decided::new(DeliveryOutcome::Submitted, None) })
    }

    /// Begins the next attempt of a task that waits for its time.
    fn wake_task(&mut self, user_key: &str, task: &str) -> Decided {
        let Some(job) = self.user_keys.get(user_key).cloned() else {
            let message = format!("no live job has the user_key {user_key}");
            return Decided::new(DeliveryOutcome::Filtered, message);
        };
        let Some(index) = self.jobs.get(&job).and_then(|live| live.plan.task_index(task)) else {
            let message = format!("the job {job} has no task {task}");
            return Decided { job: Some(job), ..Decided::new(DeliveryOutcome::Refused, message) };
        };
        let full = self.jobs.get(&job).is_some_and(|live| {
            !live.occupies && self.admission.is_full(&live.row.job_type, live.definition.max_concurrency)
        });
        if full {
            let message = format!("the job {job} would run beyond max_concurrency; it goes on at its own time");
            return Decided { job: Some(job), ..Decided::new(DeliveryOutcome::Filtered, message) };
        }
        match self.feed(&job, atta_core::engine::Event::WakeRequested { task: index }, None) {
            Ok(()) => Decided { job: Some(job), ..Decided::new(DeliveryOutcome::Woke, None) },
            Err(error) => {
                let message = error.to_string();
                Decided { job: Some(job), ..Decided::new(DeliveryOutcome::Filtered, message) }
            }
        }
    }

    /// Takes one of the webhook's deliveries; seconds to wait when there is none.
    fn over_limit(&mut self, job_type: &str, trigger: &str, limit: RateLimit) -> Option<u64> {
        let now = self.clock.now();
        let count = f64::from(limit.count);
        let per_second = count / limit.per.as_secs_f64();
        let key = (job_type.to_owned(), trigger.to_owned());
        let bucket = self.webhook_buckets.entry(key).or_insert(Bucket { tokens: count, at: now });
        bucket.tokens = (bucket.tokens + now.since(bucket.at).as_secs_f64() * per_second).min(count);
        bucket.at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return None;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of seconds")]
        Some(((1.0 - bucket.tokens) / per_second).ceil().max(1.0) as u64)
    }
}

pub(super) type Buckets = HashMap<(String, String), Bucket>;

fn webhooks(definition: &JobDefinition) -> impl Iterator<Item = &WebhookTrigger> {
    definition.triggers.iter().filter_map(|trigger| match trigger {
        Trigger::Webhook(webhook) => Some(webhook),
        Trigger::Job(_) => None,
    })
}

fn scope(delivery: &Delivery, configs: ConfigValues, renderer: &Renderer) -> Variables {
    let headers = serde_json::to_value(&delivery.headers).unwrap_or_default();
    Variables::builder()
        .configs(configs)
        .local("payload", &delivery.payload)
        .local("headers", &headers)
        .local("event", &delivery.event.clone().map_or(Value::Null, Value::from))
        .builtins(Builtins::new())
        .build(renderer)
}

fn not_evaluated(message: String) -> Refusal {
    Refusal::Invalid { code: "TRIGGER_NOT_EVALUATED", message, violations: Vec::new() }
}

impl Queen {
    /// Does what a delivery asks for; it is recorded when this returns.
    pub async fn deliver(&self, delivery: Delivery) -> Result<WebhookAnswer, Refusal> {
        self.ask(|reply| Command::Deliver { delivery: Box::new(delivery), reply }).await
    }
}
