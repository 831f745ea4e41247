//! Definitions as the writer reads them.

use atta_core::time::UnixMillis;

use super::dump::RESTORED;
use super::sql::{Row, query};
use super::{DefinitionRow, IdempotencyRow, Restored, StoreError, StoreWriter, VersionRow, unsigned};

fn version_row(row: &Row) -> Result<VersionRow, StoreError> {
    Ok(VersionRow {
        job_type: row.try_get(0)?,
        version: row.try_get(1)?,
        semver: row.try_get(2)?,
        source: row.try_get(3)?,
        warnings: row.try_get(4)?,
        created_at: UnixMillis(row.try_get(5)?),
    })
}

impl StoreWriter {
    /// All definitions, with the number of versions of each.
    pub(crate) async fn load_definitions(&mut self) -> Result<Vec<(DefinitionRow, u32)>, StoreError> {
        let rows = query(
            "SELECT d.job_type, d.latest_version, d.enabled, d.degraded, d.next_fire_at, d.created_at, d.updated_at,
                (SELECT count(*) FROM definition_versions v WHERE v.job_type = d.job_type), d.watches
             FROM definitions d ORDER BY d.job_type",
        )
        .fetch_all(self.connection().await?)
        .await?;
        rows.iter()
            .map(|row| {
                let definition = DefinitionRow {
                    job_type: row.try_get(0)?,
                    latest_version: row.try_get(1)?,
                    enabled: row.try_get(2)?,
                    degraded: row.try_get(3)?,
                    next_fire_at: row.try_get::<Option<i64>, _>(4)?.map(UnixMillis),
                    watches: super::live::from_json("definitions", "watches", row.try_get(8)?)?,
                    created_at: UnixMillis(row.try_get(5)?),
                    updated_at: UnixMillis(row.try_get(6)?),
                };
                Ok((definition, unsigned("definition_versions", "count", row.try_get(7)?)?))
            })
            .collect()
    }

    /// A version by its content hash, or the newest one with this semantic version.
    pub(crate) async fn load_version(
        &mut self,
        job_type: &str,
        version: &str,
    ) -> Result<Option<VersionRow>, StoreError> {
        let row = query(
            "SELECT job_type, version, semver, source, warnings, created_at FROM definition_versions
             WHERE job_type = $1 AND (version = $2 OR semver = $2) ORDER BY version = $2 DESC, created_at DESC LIMIT 1",
        )
        .bind(job_type)
        .bind(version)
        .fetch_optional(self.connection().await?)
        .await?;
        row.as_ref().map(version_row).transpose()
    }

    /// The answer that was given to a request with this Idempotency-Key.
    pub(crate) async fn load_idempotency(&mut self, key: &str) -> Result<Option<IdempotencyRow>, StoreError> {
        let row = query("SELECT key, request_hash, status, response, created_at FROM idempotency_keys WHERE key = $1")
            .bind(key)
            .fetch_optional(self.connection().await?)
            .await?;
        row.map(|row| {
            Ok(IdempotencyRow {
                key: row.try_get(0)?,
                request_hash: row.try_get(1)?,
                status: unsigned("idempotency_keys", "status", row.try_get(2)?)?,
                response: row.try_get(3)?,
                created_at: UnixMillis(row.try_get(4)?),
            })
        })
        .transpose()
    }

    /// Forgets keys that are older than `before`.
    pub(crate) async fn forget_idempotency(&mut self, before: UnixMillis) -> Result<(), StoreError> {
        query("DELETE FROM idempotency_keys WHERE created_at < $1")
            .bind(before.0)
            .execute(self.connection().await?)
            .await?;
        Ok(())
    }

    /// Whether the database was restored from a backup, and nobody has followed up on that yet.
    pub(crate) async fn load_restored(&mut self) -> Result<Option<Restored>, StoreError> {
        let row = query("SELECT value FROM meta WHERE key = $1")
            .bind(RESTORED)
            .fetch_optional(self.connection().await?)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let value: String = row.try_get(0)?;
        serde_json::from_str(&value).map(Some).map_err(|_| StoreError::Value { table: "meta", column: "value", value })
    }

    /// Inside of a batch's transaction: that was followed up.
    pub(super) async fn forget_restored(&mut self) -> Result<(), StoreError> {
        query("DELETE FROM meta WHERE key = $1").bind(RESTORED).execute(self.connection().await?).await?;
        Ok(())
    }

    /// Counts openings of the database, from 1: the upper half of fencing tokens.
    pub(crate) async fn next_epoch(&mut self) -> Result<u32, StoreError> {
        if let Some(claim) = self.claim() {
            // It was counted when the database was taken over.
            return Ok(claim.epoch());
        }
        let row = query("SELECT value FROM meta WHERE key = 'epoch'").fetch_optional(self.connection().await?).await?;
        let last = match row {
            None => 0,
            Some(row) => {
                let value: String = row.try_get(0)?;
                value.parse::<u32>().map_err(|_| StoreError::Value { table: "meta", column: "value", value })?
            }
        };
        let epoch = last + 1;
        self.set_meta("epoch", &epoch.to_string()).await?;
        Ok(epoch)
    }
}
