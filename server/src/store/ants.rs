//! The ants that have asked for work.

use atta_core::protocol::AntId;
use atta_core::protocol::ants::AntMode;
use atta_core::time::UnixMillis;

use super::sql::query;
use super::{ColumnName, StoreError, StoreWriter};

impl ColumnName for AntMode {
    const NAMES: &'static [(Self, &'static str)] =
        &[(Self::Open, "open"), (Self::Cordoned, "cordoned"), (Self::Draining, "draining")];
}

/// A row of `ants`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AntRow {
    pub(crate) id: AntId,
    /// Of its latest process.
    pub(crate) session: Option<u64>,
    pub(crate) mode: AntMode,
    /// When that process was first heard of.
    pub(crate) since: UnixMillis,
    /// What tells its data directory from others.
    pub(crate) directory: Option<String>,
}

impl StoreWriter {
    /// All of them.
    pub(crate) async fn load_ants(&mut self) -> Result<Vec<AntRow>, StoreError> {
        let rows = query("SELECT id, session, mode, since, directory FROM ants ORDER BY id")
            .fetch_all(self.connection().await?)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(AntRow {
                    id: AntId(row.try_get(0)?),
                    session: row.try_get::<Option<i64>, _>(1)?.map(i64::cast_unsigned),
                    mode: AntMode::from_column("ants", "mode", row.try_get(2)?)?,
                    since: UnixMillis(row.try_get(3)?),
                    directory: row.try_get(4)?,
                })
            })
            .collect()
    }

    /// Writes one, inside of a batch's transaction.
    pub(super) async fn write_ant(&mut self, row: &AntRow) -> Result<(), StoreError> {
        query(
            "INSERT INTO ants (id, session, mode, since, directory) VALUES ($1, $2, $3, $4, $5)
                ON CONFLICT (id) DO UPDATE SET session = excluded.session, mode = excluded.mode, since = excluded.since,
                    directory = excluded.directory",
        )
        .bind(&row.id.0)
        .bind(row.session.map(u64::cast_signed))
        .bind(row.mode.column_name())
        .bind(row.since.0)
        .bind(row.directory.as_deref())
        .execute(self.connection().await?)
        .await?;
        Ok(())
    }

    /// Forgets one, inside of a batch's transaction.
    pub(super) async fn remove_ant(&mut self, id: &AntId) -> Result<(), StoreError> {
        query("DELETE FROM ants WHERE id = $1").bind(&id.0).execute(self.connection().await?).await?;
        Ok(())
    }
}
