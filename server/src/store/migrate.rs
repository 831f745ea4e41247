//! Schema versions. A migration that has been released is never changed: its checksum is stored with it.

use std::path::Path;

use atta_core::time::UnixMillis;
use sqlx::{Connection, Row, SqliteConnection};

use super::{OpenError, StoreError};

struct Migration {
    version: i64,
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "initial", sql: include_str!("../../migrations/sqlite/0001_initial.sql") },
    Migration {
        version: 2,
        name: "waiting and instances",
        sql: include_str!("../../migrations/sqlite/0002_waiting_and_instances.sql"),
    },
    Migration { version: 3, name: "configs", sql: include_str!("../../migrations/sqlite/0003_configs.sql") },
    Migration {
        version: 4,
        name: "approvals and notifications",
        sql: include_str!("../../migrations/sqlite/0004_approvals_and_notifications.sql"),
    },
    Migration { version: 5, name: "deliveries", sql: include_str!("../../migrations/sqlite/0005_deliveries.sql") },
    Migration { version: 6, name: "expiry", sql: include_str!("../../migrations/sqlite/0006_expiry.sql") },
    Migration { version: 8, name: "items", sql: include_str!("../../migrations/sqlite/0008_items.sql") },
    Migration { version: 9, name: "families", sql: include_str!("../../migrations/sqlite/0009_families.sql") },
    Migration { version: 10, name: "list indexes", sql: include_str!("../../migrations/sqlite/0010_list_indexes.sql") },
    Migration { version: 11, name: "tokens", sql: include_str!("../../migrations/sqlite/0011_tokens.sql") },
    Migration { version: 12, name: "ants", sql: include_str!("../../migrations/sqlite/0012_ants.sql") },
];

impl Migration {
    fn checksum(&self) -> String {
        blake3::hash(self.sql.as_bytes()).to_hex().to_string()
    }
}

/// Brings the schema up to date; refuses a database that a newer program wrote, or whose migrations are not ours.
pub(super) async fn migrate(connection: &mut SqliteConnection, file: &Path, now: UnixMillis) -> Result<(), OpenError> {
    let wrong = |error: sqlx::Error| OpenError::from_store(file, &StoreError::from(error));
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS schema_migrations (
            version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT",
    )
    .execute(&mut *connection)
    .await
    .map_err(wrong)?;
    let applied: Vec<(i64, String)> = sqlx::query("SELECT version, checksum FROM schema_migrations ORDER BY version")
        .fetch_all(&mut *connection)
        .await
        .map_err(wrong)?
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect::<Result<_, sqlx::Error>>()
        .map_err(wrong)?;
    let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    if let Some((found, _)) = applied.last()
        && *found > known
    {
        return Err(OpenError::TooNew { file: file.display().to_string(), found: *found, known });
    }
    for migration in MIGRATIONS {
        if let Some((_, checksum)) = applied.iter().find(|(version, _)| *version == migration.version) {
            if *checksum != migration.checksum() {
                return Err(OpenError::Database {
                    file: file.display().to_string(),
                    detail: format!(
                        "its migration {} ({}) is not the one of this program: it was made by an unreleased version",
                        migration.version, migration.name
                    ),
                });
            }
            continue;
        }
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(wrong)?;
        sqlx::raw_sql(migration.sql).execute(&mut *transaction).await.map_err(wrong)?;
        sqlx::query("INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES ($1, $2, $3, $4)")
            .bind(migration.version)
            .bind(migration.name)
            .bind(migration.checksum())
            .bind(now.0)
            .execute(&mut *transaction)
            .await
            .map_err(wrong)?;
        transaction.commit().await.map_err(wrong)?;
    }
    Ok(())
}
