//! Opening a data directory: lock, connection, pragmas, migrations.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use atta_core::time::UnixMillis;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Row, SqliteConnection};

use super::lock::DirectoryLock;
use super::{OpenError, Store, StoreError, StoreWriter, migrate};

/// A file of up to this size is checked page by page when it is opened; a larger one as it is read.
const QUICK_CHECK_UP_TO: u64 = 16 * 1024 * 1024;

/// How many reads run at once.
const READERS: u32 = 4;

impl Store {
    /// Opens or creates `dir` with its database. The writer is the only one that there is.
    pub(crate) async fn open(dir: &Path, now: UnixMillis) -> Result<(Self, StoreWriter), OpenError> {
        let lock = DirectoryLock::take(dir)?;
        let file = dir.join("atta.db");
        let size = std::fs::metadata(&file).map_or(0, |metadata| metadata.len());
        let options = writer_options(&file);
        let mut connection =
            options.connect().await.map_err(|error| OpenError::from_store(&file, &StoreError::from(error)))?;
        if size > 0 {
            check(&mut connection, &file, size).await?;
        }
        migrate::migrate(&mut connection, &file, now).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .min_connections(0)
            .idle_timeout(Duration::from_mins(5))
            .connect_lazy_with(reader_options(&file));
        let writer = StoreWriter::new(connection, options, Arc::new(lock));
        Ok((Self { readers, file }, writer))
    }

    /// Closes the connections of the readers.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
    }

    /// The database file.
    pub fn file(&self) -> &PathBuf {
        &self.file
    }
}

fn writer_options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .statement_cache_capacity(200)
        .thread_name(|_| "atta-db-writer".to_owned())
        .disable_statement_logging()
}

fn reader_options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .read_only(true)
        .busy_timeout(Duration::from_secs(5))
        .thread_name(|n| format!("atta-db-read-{n}"))
        .disable_statement_logging()
}

async fn check(connection: &mut SqliteConnection, file: &Path, size: u64) -> Result<(), OpenError> {
    let wrong = |error: sqlx::Error| OpenError::from_store(file, &StoreError::from(error));
    // Reads the header and the schema: enough to tell a file that is no database.
    sqlx::query("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *connection).await.map_err(wrong)?;
    if size <= QUICK_CHECK_UP_TO {
        let row = sqlx::query("PRAGMA quick_check(1)").fetch_one(&mut *connection).await.map_err(wrong)?;
        let verdict: String = row.try_get(0).map_err(wrong)?;
        if verdict != "ok" {
            return Err(OpenError::Corrupt { file: file.display().to_string(), detail: verdict });
        }
    }
    Ok(())
}
