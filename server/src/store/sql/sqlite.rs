//! SQLite: a file of this server alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Arguments as _, ConnectOptions as _, Sqlite, SqliteConnection, SqlitePool};

use super::{AssertSqlSafe, Query, Value};

/// How many reads run at once.
const READERS: u32 = 4;

/// How the file is opened.
#[derive(Debug, Clone)]
pub(in crate::store) struct SqliteFile {
    path: PathBuf,
    page_limit: Option<u32>,
}

impl SqliteFile {
    /// The file at this path.
    pub(in crate::store) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), page_limit: None }
    }

    /// Opens or creates it for writing.
    pub(in crate::store) async fn connect(&self) -> Result<SqliteConnection, sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(&self.path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            .statement_cache_capacity(200)
            .thread_name(|_| "atta-db-writer".to_owned())
            .disable_statement_logging();
        let mut connection = options.connect().await?;
        if self.page_limit.is_some() {
            self.limit_pages(&mut connection).await?;
        }
        Ok(connection)
    }

    /// Connections for reads.
    pub(in crate::store) fn readers(&self) -> SqlitePool {
        let options = SqliteConnectOptions::new()
            .filename(&self.path)
            .read_only(true)
            .busy_timeout(Duration::from_secs(5))
            .thread_name(|n| format!("atta-db-read-{n}"))
            .disable_statement_logging();
        SqlitePoolOptions::new()
            .max_connections(READERS)
            .min_connections(0)
            .idle_timeout(Duration::from_mins(5))
            .connect_lazy_with(options)
    }

    /// A connection for reads beside the server's. It may write, because after a crash the first one that opens the file
    /// has to bring it in order; no statement does.
    pub(in crate::store) fn onlookers(&self) -> SqlitePool {
        let options = SqliteConnectOptions::new()
            .filename(&self.path)
            .create_if_missing(false)
            .busy_timeout(Duration::from_secs(30))
            .pragma("query_only", "ON")
            .disable_statement_logging();
        SqlitePoolOptions::new().max_connections(1).min_connections(0).connect_lazy_with(options)
    }

    /// A database that is gone when its connection is.
    pub(in crate::store) async fn fleeting() -> Result<SqliteConnection, sqlx::Error> {
        SqliteConnectOptions::new().in_memory(true).disable_statement_logging().connect().await
    }

    /// Bounds the file's size from now on (`None`: no bound), also for a connection that is open.
    pub(in crate::store) async fn set_page_limit(
        &mut self,
        pages: Option<u32>,
        open: Option<&mut SqliteConnection>,
    ) -> Result<(), sqlx::Error> {
        self.page_limit = pages;
        match open {
            Some(connection) => self.limit_pages(connection).await,
            None => Ok(()),
        }
    }

    async fn limit_pages(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let pages = self.page_limit.unwrap_or(u32::MAX - 1);
        sqlx::raw_sql(AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"))).execute(connection).await?;
        Ok(())
    }
}

impl Query<'_> {
    pub(super) fn into_sqlite(self) -> Result<sqlx::query::Query<'static, Sqlite, SqliteArguments>, sqlx::Error> {
        let mut arguments = SqliteArguments::default();
        arguments.reserve(self.values.len(), 0);
        for value in self.values {
            match value {
                Value::Int(value) => arguments.add(value),
                Value::Bool(value) => arguments.add(value),
                Value::Text(value) => arguments.add(value.map(std::borrow::Cow::into_owned)),
                Value::Bytes(value) => arguments.add(value.map(std::borrow::Cow::into_owned)),
            }
            .map_err(sqlx::Error::Encode)?;
        }
        Ok(sqlx::query_with(self.text, arguments))
    }
}
