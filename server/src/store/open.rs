//! Opening a data directory: lock, connection, pragmas, migrations.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use atta_core::time::UnixMillis;
use sqlx::{Row as _, SqliteConnection};

use super::lock::DirectoryLock;
use super::sql::{Connection, Pool, Source, SqliteFile};
use super::{OpenError, Store, StoreError, StoreWriter, migrate};

/// A file of up to this size is checked page by page when it is opened; a larger one as it is read.
const QUICK_CHECK_UP_TO: u64 = 16 * 1024 * 1024;

impl Store {
    /// Opens or creates `dir` with its database. The writer is the only one that there is.
    pub(crate) async fn open(dir: &Path, now: UnixMillis) -> Result<(Self, StoreWriter), OpenError> {
        let lock = DirectoryLock::take(dir)?;
        let file = dir.join("atta.db");
        let size = std::fs::metadata(&file).map_or(0, |metadata| metadata.len());
        let source = SqliteFile::new(&file);
        let mut connection =
            source.connect().await.map_err(|error| OpenError::from_store(&file, &StoreError::from(error)))?;
        if size > 0 {
            check(&mut connection, &file, size).await?;
        }
        migrate::migrate(&mut connection, &file, now).await?;
        let readers = Pool::Sqlite(source.readers());
        let writer = StoreWriter::new(Connection::Sqlite(connection), Source::Sqlite(source), Arc::new(lock));
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
