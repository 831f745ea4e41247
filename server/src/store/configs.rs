//! Configs as they are stored.

use atta_core::time::UnixMillis;

use super::sql::query;
use super::{StoreError, StoreWriter};

/// Where a config stands: its scope (empty: the organisation; else a definition) and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConfigKey {
    pub(crate) scope: String,
    pub(crate) name: String,
}

/// A row of `configs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigRow {
    pub(crate) key: ConfigKey,
    pub(crate) content: ConfigContent,
    pub(crate) created_at: UnixMillis,
    pub(crate) updated_at: UnixMillis,
}

/// What a config holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConfigContent {
    /// A JSON value.
    Plain(String),
    Secret(Sealed),
}

/// An encrypted value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) key_id: String,
    pub(crate) nonce: Vec<u8>,
    pub(crate) ciphertext: Vec<u8>,
}

impl ConfigRow {
    pub(crate) fn is_secret(&self) -> bool {
        matches!(self.content, ConfigContent::Secret(_))
    }

    /// The key that it is encrypted with.
    pub(crate) fn key_id(&self) -> Option<&str> {
        match &self.content {
            ConfigContent::Plain(_) => None,
            ConfigContent::Secret(sealed) => Some(&sealed.key_id),
        }
    }
}

/// A change to `configs`; without a row it is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigChange {
    pub(crate) key: ConfigKey,
    pub(crate) row: Option<ConfigRow>,
}

impl StoreWriter {
    /// All configs.
    pub(crate) async fn load_configs(&mut self) -> Result<Vec<ConfigRow>, StoreError> {
        let rows = query(
            "SELECT scope, name, value, key_id, nonce, ciphertext, created_at, updated_at FROM configs
             ORDER BY scope, name",
        )
        .fetch_all(self.connection().await?)
        .await?;
        rows.iter()
            .map(|row| {
                let content = match row.try_get::<Option<String>, _>(2)? {
                    Some(value) => ConfigContent::Plain(value),
                    None => ConfigContent::Secret(Sealed {
                        key_id: row.try_get(3)?,
                        nonce: row.try_get(4)?,
                        ciphertext: row.try_get(5)?,
                    }),
                };
                Ok(ConfigRow {
                    key: ConfigKey { scope: row.try_get(0)?, name: row.try_get(1)? },
                    content,
                    created_at: UnixMillis(row.try_get(6)?),
                    updated_at: UnixMillis(row.try_get(7)?),
                })
            })
            .collect()
    }

    /// Writes one change, inside of a batch's transaction.
    pub(super) async fn write_config(&mut self, change: &ConfigChange) -> Result<(), StoreError> {
        let ConfigChange { key, row } = change;
        let Some(row) = row else {
            // One that was set and removed in one batch has no row.
            query("DELETE FROM configs WHERE scope = $1 AND name = $2")
                .bind(&key.scope)
                .bind(&key.name)
                .execute(self.connection().await?)
                .await?;
            return Ok(());
        };
        let (value, sealed) = match &row.content {
            ConfigContent::Plain(value) => (Some(value), None),
            ConfigContent::Secret(sealed) => (None, Some(sealed)),
        };
        let done = query(
            "INSERT INTO configs (scope, name, value, key_id, nonce, ciphertext, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (scope, name) DO UPDATE SET value = excluded.value, key_id = excluded.key_id,
                nonce = excluded.nonce, ciphertext = excluded.ciphertext, updated_at = excluded.updated_at",
        )
        .bind(&key.scope)
        .bind(&key.name)
        .bind(value)
        .bind(sealed.map(|sealed| &sealed.key_id))
        .bind(sealed.map(|sealed| &sealed.nonce))
        .bind(sealed.map(|sealed| &sealed.ciphertext))
        .bind(row.created_at.0)
        .bind(row.updated_at.0)
        .execute(self.connection().await?)
        .await?;
        super::write::ensure_rows("write config", 1, done.rows_affected())
    }
}
