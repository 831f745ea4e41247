//! Webhooks of definitions, for requests that have not proven themselves yet: they ask nothing of the writer.

use std::sync::{Arc, PoisonError};

use atta_core::definition::{KnownConfigs, Limits, Trigger, WebhookTrigger, load_with};

use super::StoreError;
use super::read_model::Reads;
use super::sql::query;

/// The webhooks of a version of a definition.
#[derive(Debug)]
pub(super) struct Webhooks {
    version: String,
    all: Vec<WebhookTrigger>,
}

impl Reads {
    /// The webhook of the newest version of a definition. One that this program cannot load any more has none.
    pub async fn webhook(&self, job_type: &str, name: &str) -> Result<Option<WebhookTrigger>, StoreError> {
        let row = query("SELECT latest_version FROM definitions WHERE job_type = $1")
            .bind(job_type)
            .fetch_optional(self.store.readers())
            .await?;
        let Some(row) = row else { return Ok(None) };
        let webhooks = self.webhooks_of(job_type, row.try_get(0)?).await?;
        Ok(webhooks.all.iter().find(|webhook| webhook.name == name).cloned())
    }

    /// One version per definition is remembered, so that nobody can have the same one parsed time and again.
    async fn webhooks_of(&self, job_type: &str, version: String) -> Result<Arc<Webhooks>, StoreError> {
        let known = self.webhooks.lock().unwrap_or_else(PoisonError::into_inner).get(job_type).cloned();
        if let Some(known) = known.filter(|known| known.version == version) {
            return Ok(known);
        }
        let row = query("SELECT source FROM definition_versions WHERE job_type = $1 AND version = $2")
            .bind(job_type)
            .bind(&version)
            .fetch_optional(self.store.readers())
            .await?;
        let source: String = row.map_or_else(|| Ok(String::new()), |row| row.try_get(0))?;
        let all = tokio::task::spawn_blocking(move || webhooks_in(&source)).await.unwrap_or_default();
        let webhooks = Arc::new(Webhooks { version, all });
        let mut known = self.webhooks.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(job_type.to_owned(), Arc::clone(&webhooks));
        Ok(webhooks)
    }
}

fn webhooks_in(source: &str) -> Vec<WebhookTrigger> {
    let loaded = load_with("definition.yaml", source.as_bytes(), &Limits::default(), KnownConfigs::Any);
    let triggers = loaded.definition.into_iter().flat_map(|definition| definition.triggers);
    let webhooks = triggers.filter_map(|trigger| match trigger {
        Trigger::Webhook(webhook) => Some(webhook),
        Trigger::Job(_) => None,
    });
    webhooks.collect()
}
