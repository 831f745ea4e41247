//! Schema versions. A migration that has been released is never changed: its checksum is stored with it.

use super::sql::{Connection, Dialect, query};
use super::{OpenError, StoreError};
use atta_core::time::UnixMillis;

struct Migration {
    version: i64,
    name: &'static str,
    sql: &'static str,
}

const SQLITE: &[Migration] = &[
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
    Migration { version: 13, name: "agents", sql: include_str!("../../migrations/sqlite/0013_agents.sql") },
    Migration { version: 14, name: "budgets", sql: include_str!("../../migrations/sqlite/0014_budgets.sql") },
    Migration { version: 15, name: "outcomes", sql: include_str!("../../migrations/sqlite/0015_outcomes.sql") },
    Migration { version: 16, name: "terminals", sql: include_str!("../../migrations/sqlite/0016_terminals.sql") },
    Migration { version: 17, name: "labels", sql: include_str!("../../migrations/sqlite/0017_labels.sql") },
    Migration { version: 18, name: "commands", sql: include_str!("../../migrations/sqlite/0018_commands.sql") },
    Migration {
        version: 19,
        name: "ant directories",
        sql: include_str!("../../migrations/sqlite/0019_ant_directories.sql"),
    },
];

/// PostgreSQL's begin with the tables of version 9; from there on every version has a migration here.
const POSTGRES: &[Migration] = &[
    Migration { version: 9, name: "baseline", sql: include_str!("../../migrations/postgres/0009_baseline.sql") },
    Migration {
        version: 10,
        name: "list indexes",
        sql: include_str!("../../migrations/postgres/0010_list_indexes.sql"),
    },
    Migration { version: 11, name: "tokens", sql: include_str!("../../migrations/postgres/0011_tokens.sql") },
    Migration { version: 12, name: "ants", sql: include_str!("../../migrations/postgres/0012_ants.sql") },
    Migration { version: 13, name: "agents", sql: include_str!("../../migrations/postgres/0013_agents.sql") },
    Migration { version: 14, name: "budgets", sql: include_str!("../../migrations/postgres/0014_budgets.sql") },
    Migration { version: 15, name: "outcomes", sql: include_str!("../../migrations/postgres/0015_outcomes.sql") },
    Migration { version: 16, name: "terminals", sql: include_str!("../../migrations/postgres/0016_terminals.sql") },
    Migration { version: 17, name: "labels", sql: include_str!("../../migrations/postgres/0017_labels.sql") },
    Migration { version: 18, name: "commands", sql: include_str!("../../migrations/postgres/0018_commands.sql") },
    Migration {
        version: 19,
        name: "ant directories",
        sql: include_str!("../../migrations/postgres/0019_ant_directories.sql"),
    },
];

impl Migration {
    fn checksum(&self) -> String {
        blake3::hash(self.sql.as_bytes()).to_hex().to_string()
    }
}

fn of(dialect: Dialect) -> &'static [Migration] {
    match dialect {
        Dialect::Sqlite => SQLITE,
        Dialect::Postgres => POSTGRES,
    }
}

/// Refuses a database that a newer program wrote, or whose migrations are not ours. Whether it has tables.
pub(super) async fn check(connection: &mut Connection, name: &str) -> Result<bool, OpenError> {
    Ok(!checked(connection, name).await?.is_empty())
}

/// The same; the versions that it has.
async fn checked(connection: &mut Connection, name: &str) -> Result<Vec<(i64, String)>, OpenError> {
    let applied = applied(connection).await.map_err(|error| OpenError::from_store(name, &error))?;
    let migrations = of(connection.dialect());
    let known = migrations.iter().map(|migration| migration.version).max().unwrap_or(0);
    if let Some((found, _)) = applied.last()
        && *found > known
    {
        return Err(OpenError::TooNew { file: name.to_owned(), found: *found, known });
    }
    for migration in migrations {
        if let Some((_, checksum)) = applied.iter().find(|(version, _)| *version == migration.version)
            && *checksum != migration.checksum()
        {
            return Err(OpenError::Database {
                file: name.to_owned(),
                detail: format!(
                    "its migration {} ({}) is not the one of this program: it was made by an unreleased version",
                    migration.version, migration.name
                ),
            });
        }
    }
    Ok(applied)
}

/// Brings the schema up to date; refuses a database that a newer program wrote, or whose migrations are not ours.
pub(super) async fn migrate(connection: &mut Connection, name: &str, now: UnixMillis) -> Result<(), OpenError> {
    let applied = checked(connection, name).await?;
    let wrong = |error: StoreError| OpenError::from_store(name, &error);
    for migration in of(connection.dialect()) {
        if applied.iter().all(|(version, _)| *version != migration.version) {
            apply(connection, migration, now).await.map_err(wrong)?;
        }
    }
    Ok(())
}

/// The newest version that this program knows.
pub(super) fn newest() -> i64 {
    SQLITE.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// The oldest version that both databases have.
pub(super) fn oldest_of_both() -> i64 {
    POSTGRES.iter().map(|migration| migration.version).min().unwrap_or(0)
}

/// Brings an empty database, or one that is at `after`, to a version, inside of the transaction that is open.
pub(super) async fn migrate_inside(
    connection: &mut Connection,
    after: i64,
    up_to: i64,
    now: UnixMillis,
) -> Result<(), StoreError> {
    if after == 0 {
        applied(connection).await?;
    }
    for migration in of(connection.dialect()) {
        if migration.version > after && migration.version <= up_to {
            run(connection, migration, now).await?;
        }
    }
    Ok(())
}

/// The versions that the database has, with the checksums of what made them.
async fn applied(connection: &mut Connection) -> Result<Vec<(i64, String)>, StoreError> {
    match connection.dialect() {
        Dialect::Sqlite => {
            query(
                "CREATE TABLE IF NOT EXISTS schema_migrations (
                    version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT",
            )
            .execute(&mut *connection)
            .await?;
        }
        Dialect::Postgres => {
            // Asked for, because creating what exists is worth a notice to the server.
            let row = query("SELECT to_regclass('schema_migrations') IS NOT NULL").fetch_one(&mut *connection).await?;
            if !row.try_get::<bool, _>(0)? {
                query(
                    "CREATE TABLE schema_migrations (
                        version BIGINT PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)",
                )
                .execute(&mut *connection)
                .await?;
            }
        }
    }
    let rows =
        query("SELECT version, checksum FROM schema_migrations ORDER BY version").fetch_all(&mut *connection).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

async fn apply(connection: &mut Connection, migration: &Migration, now: UnixMillis) -> Result<(), StoreError> {
    connection.begin().await?;
    run(connection, migration, now).await?;
    Ok(connection.commit().await?)
}

async fn run(connection: &mut Connection, migration: &Migration, now: UnixMillis) -> Result<(), StoreError> {
    connection.run_script(migration.sql).await?;
    query("INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES ($1, $2, $3, $4)")
        .bind(migration.version)
        .bind(migration.name)
        .bind(migration.checksum())
        .bind(now.0)
        .execute(&mut *connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_databases_have_the_same_versions() {
        let versions = |migrations: &[Migration], from: i64| -> Vec<i64> {
            migrations.iter().map(|migration| migration.version).filter(|version| *version >= from).collect()
        };
        let first = POSTGRES[0].version;
        assert_eq!(
            versions(SQLITE, first),
            versions(POSTGRES, first),
            "a migration of SQLite needs one of PostgreSQL with the same number (server/migrations/postgres), and vice versa"
        );
    }
}
