//! Definitions and their versions as resources.

use atta_core::definition::Trigger;
use atta_core::protocol::api::{DefinitionResource, VersionResource, VersionSummary};
use atta_core::protocol::triggers_api::TriggerResource;
use indexmap::IndexMap;

use super::read_model::{Reads, instant, json, maybe_instant};
use super::sql::{AssertSqlSafe, Row, query};
use super::{StoreError, unsigned};

const DEFINITION: &str = "SELECT d.job_type, d.latest_version, v.semver,
        (SELECT count(*) FROM definition_versions n WHERE n.job_type = d.job_type),
        d.enabled, d.degraded, d.next_fire_at, d.updated_at, v.warnings
     FROM definitions d JOIN definition_versions v ON v.job_type = d.job_type AND v.version = d.latest_version";

impl Reads {
    /// Definitions by name, those after `after`.
    pub async fn definitions(&self, after: &str, limit: u32) -> Result<Vec<DefinitionResource>, StoreError> {
        let rows = query(AssertSqlSafe(format!("{DEFINITION} WHERE d.job_type > $1 ORDER BY d.job_type LIMIT $2")))
            .bind(after)
            .bind(limit)
            .fetch_all(self.store.readers())
            .await?;
        let mut definitions = Vec::with_capacity(rows.len());
        for row in &rows {
            definitions.push(self.definition_of(row).await?);
        }
        Ok(definitions)
    }

    /// One definition.
    pub async fn definition(&self, job_type: &str) -> Result<Option<DefinitionResource>, StoreError> {
        let row = query(AssertSqlSafe(format!("{DEFINITION} WHERE d.job_type = $1")))
            .bind(job_type)
            .fetch_optional(self.store.readers())
            .await?;
        match row {
            Some(row) => Ok(Some(self.definition_of(&row).await?)),
            None => Ok(None),
        }
    }

    async fn definition_of(&self, row: &Row) -> Result<DefinitionResource, StoreError> {
        let job_type: String = row.try_get(0)?;
        let version: String = row.try_get(1)?;
        let enabled: bool = row.try_get(4)?;
        let outline = self.outline(&job_type, &version).await?;
        let mut triggers = Vec::with_capacity(outline.triggers.len());
        for trigger in &outline.triggers {
            let has_secret = match trigger {
                Trigger::Webhook(webhook) => self.has_secret(&job_type, webhook.auth.secret()).await?,
                Trigger::Job(_) => false,
            };
            triggers.push(TriggerResource::of(&job_type, trigger, enabled, |_| has_secret));
        }
        let labels = self.labels_of([(job_type.clone(), version.clone())].into()).await?;
        Ok(DefinitionResource {
            job_type,
            version,
            semver: row.try_get(2)?,
            versions: unsigned("definition_versions", "count", row.try_get(3)?)?,
            enabled,
            degraded: row.try_get(5)?,
            schedule: outline.schedule.clone(),
            next_run_at: maybe_instant(row.try_get(6)?),
            updated_at: instant(row.try_get(7)?),
            warnings: json("definition_versions", "warnings", row.try_get(8)?)?,
            labels: labels.into_values().next().map(|labels| IndexMap::clone(&labels)).unwrap_or_default(),
            triggers,
        })
    }

    /// Whether there is a secret of this name for a definition.
    async fn has_secret(&self, job_type: &str, name: &str) -> Result<bool, StoreError> {
        let row = query(
            "SELECT EXISTS (SELECT 1 FROM configs WHERE scope IN ('', $1) AND name = $2 AND ciphertext IS NOT NULL)",
        )
        .bind(job_type)
        .bind(name)
        .fetch_one(self.store.readers())
        .await?;
        Ok(row.try_get(0)?)
    }

    /// Versions of a definition, newest first: those stored before `(created_at, version)`.
    pub async fn versions(
        &self,
        job_type: &str,
        before: Option<(i64, &str)>,
        limit: u32,
    ) -> Result<Vec<(i64, VersionSummary)>, StoreError> {
        let (at, version) = before.unwrap_or((i64::MAX, ""));
        let rows = query(
            "SELECT job_type, version, semver, created_at FROM definition_versions
             WHERE job_type = $1 AND (created_at < $2 OR (created_at = $2 AND version > $3))
             ORDER BY created_at DESC, version LIMIT $4",
        )
        .bind(job_type)
        .bind(at)
        .bind(version)
        .bind(limit)
        .fetch_all(self.store.readers())
        .await?;
        rows.iter()
            .map(|row| {
                let created_at: i64 = row.try_get(3)?;
                let summary = VersionSummary {
                    job_type: row.try_get(0)?,
                    version: row.try_get(1)?,
                    semver: row.try_get(2)?,
                    created_at: instant(created_at),
                };
                Ok((created_at, summary))
            })
            .collect()
    }

    /// A version by its content hash, or the newest one with this semantic version.
    pub async fn version(&self, job_type: &str, version: &str) -> Result<Option<VersionResource>, StoreError> {
        let row = query(
            "SELECT job_type, version, semver, created_at, source FROM definition_versions
             WHERE job_type = $1 AND (version = $2 OR semver = $2)
             ORDER BY version = $2 DESC, created_at DESC LIMIT 1",
        )
        .bind(job_type)
        .bind(version)
        .fetch_optional(self.store.readers())
        .await?;
        row.map(|row| {
            Ok(VersionResource {
                job_type: row.try_get(0)?,
                version: row.try_get(1)?,
                semver: row.try_get(2)?,
                created_at: instant(row.try_get(3)?),
                source: row.try_get(4)?,
                graph: None,
            })
        })
        .transpose()
    }

    /// Whether this very text is stored already.
    pub async fn knows_source(&self, source: &str) -> Result<bool, StoreError> {
        let row = query("SELECT EXISTS (SELECT 1 FROM definition_versions WHERE version = $1 AND source = $2)")
            .bind(&blake3::hash(source.as_bytes()).to_hex()[..16])
            .bind(source)
            .fetch_one(self.store.readers())
            .await?;
        Ok(row.try_get(0)?)
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        query("SELECT count(*) FROM meta").fetch_one(self.store.readers()).await?;
        Ok(())
    }
}
