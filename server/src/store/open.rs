//! Opening a database: whose turn it is, connections, checks, migrations.

use std::path::Path;

use atta_core::time::UnixMillis;

use super::claim::{Claim, wait_for_turn};
use super::lock::DirectoryLock;
use super::sql::{Connection, Dialect, Pool, PostgresUrl, Source, SqliteFile, query};
use super::{OpenError, Store, StoreError, StoreWriter, binding, migrate, moved};

/// The database in the data directory.
pub(super) const FILE: &str = "atta.db";

/// A file of up to this size is checked page by page when it is opened; a larger one as it is read.
const QUICK_CHECK_UP_TO: u64 = 16 * 1024 * 1024;

/// Where the database is.
#[derive(Debug, Clone, Default)]
pub enum Database {
    /// SQLite: the file `atta.db` in the data directory.
    #[default]
    File,
    /// PostgreSQL.
    Postgres(PostgresUrl),
}

impl Store {
    /// Opens or creates the database of a data directory. The writer is the only one that there is.
    #[cfg(test)]
    pub(crate) async fn open(dir: &Path, now: UnixMillis) -> Result<(Self, StoreWriter), OpenError> {
        open_file(dir, now).await
    }

    /// Opens or creates the database. The writer is the only one that there is: as long as another server is active on the
    /// same PostgreSQL database this waits, and calls `waiting` once.
    pub(crate) async fn open_in(
        dir: &Path,
        database: &Database,
        now: UnixMillis,
        waiting: Option<Box<dyn FnOnce() + Send>>,
    ) -> Result<(Self, StoreWriter), OpenError> {
        match database {
            Database::File => Box::pin(open_file(dir, now)).await,
            Database::Postgres(url) => Box::pin(open_server(dir, url, now, waiting)).await,
        }
    }

    /// Closes the connections of the readers.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
    }

    /// The database's file or address, without a password.
    pub fn name(&self) -> &str {
        &self.name
    }
}

async fn open_file(dir: &Path, now: UnixMillis) -> Result<(Store, StoreWriter), OpenError> {
    let lock = DirectoryLock::take(dir)?;
    let file = dir.join(FILE);
    let name = file.display().to_string();
    moved::check(dir, &name, Dialect::Sqlite)?;
    let wrong = |error: StoreError| OpenError::from_store(&name, &error);
    let size = std::fs::metadata(&file).map_or(0, |metadata| metadata.len());
    if size == 0 {
        binding::check_empty(dir, &name)?;
    }
    let source = SqliteFile::new(&file);
    let mut connection = Connection::Sqlite(source.connect().await.map_err(|error| wrong(error.into()))?);
    if size > 0 {
        check(&mut connection, &name, size).await?;
        binding::check(&mut connection, dir, &name).await?;
    }
    migrate::migrate(&mut connection, &name, now).await?;
    binding::bind(&mut connection, dir, &name).await?;
    let readers = Pool::Sqlite(source.readers());
    let writer = StoreWriter::new(connection, Source::Sqlite(source), lock, None);
    Ok((Store { readers, name }, writer))
}

async fn open_server(
    dir: &Path,
    url: &PostgresUrl,
    now: UnixMillis,
    waiting: Option<Box<dyn FnOnce() + Send>>,
) -> Result<(Store, StoreWriter), OpenError> {
    let lock = DirectoryLock::share(dir)?;
    let name = url.to_string();
    moved::check(dir, &name, Dialect::Postgres)?;
    let wrong = |error: StoreError| OpenError::from_store(&name, &error);
    let mut connection = wait_for_turn(url, waiting).await.map_err(wrong)?;
    binding::check(&mut connection, dir, &name).await?;
    // An older server is out of it before the tables change, and whoever waits sees that this one lives.
    let claim = if migrate::check(&mut connection, &name).await? {
        let claim = Claim::take(&mut connection, url).await.map_err(wrong)?;
        migrate::migrate(&mut connection, &name, now).await?;
        claim
    } else {
        migrate::migrate(&mut connection, &name, now).await?;
        Claim::take(&mut connection, url).await.map_err(wrong)?
    };
    binding::bind(&mut connection, dir, &name).await?;
    let readers = Pool::Postgres(url.readers());
    let writer = StoreWriter::new(connection, Source::Postgres(url.clone()), lock, Some(claim));
    Ok((Store { readers, name }, writer))
}

async fn check(connection: &mut Connection, name: &str, size: u64) -> Result<(), OpenError> {
    let wrong = |error: sqlx::Error| OpenError::from_store(name, &StoreError::from(error));
    // Reads the header and the schema: enough to tell a file that is no database.
    query("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *connection).await.map_err(wrong)?;
    if size <= QUICK_CHECK_UP_TO {
        let row = query("PRAGMA quick_check(1)").fetch_one(&mut *connection).await.map_err(wrong)?;
        let verdict: String = row.try_get(0).map_err(wrong)?;
        if verdict != "ok" {
            return Err(OpenError::Corrupt { file: name.to_owned(), detail: verdict });
        }
    }
    Ok(())
}
