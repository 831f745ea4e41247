//! A thin layer under the statements: what they are bound to, run on and read from, whichever database stands behind.
//!
//! Statements are written once, with `$1` placeholders, and bind [`Value`]s: what is bound is independent of the database
//! until the statement runs. Where databases differ in what they understand, the statement asks for the dialect.

mod postgres;
mod query;
mod row;
mod sqlite;
mod value;

pub(super) use postgres::{PostgresConnection, READ_ONLY, is_lost};
pub use postgres::{PostgresUrl, PostgresUrlError};
pub(super) use query::{Builder, Query, query};
pub(super) use row::Row;
pub(super) use sqlite::SqliteFile;
pub(super) use sqlx::AssertSqlSafe;
pub(super) use value::Value;

/// Where the database is, and how it is opened for writing.
#[derive(Debug)]
pub(super) enum Source {
    /// In a file.
    Sqlite(SqliteFile),
    /// At a server.
    Postgres(PostgresUrl),
}

/// What differs in what databases understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// SQLite's.
    Sqlite,
    /// PostgreSQL's.
    Postgres,
}

/// One connection.
#[derive(Debug)]
pub(super) enum Connection {
    /// To a file.
    Sqlite(sqlx::SqliteConnection),
    /// To a server.
    Postgres(PostgresConnection),
}

/// Connections for reads.
#[derive(Debug, Clone)]
pub(super) enum Pool {
    /// To a file.
    Sqlite(sqlx::SqlitePool),
    /// To a server.
    Postgres(sqlx::PgPool),
}

/// Reads that see one moment.
pub(super) enum Transaction {
    /// On a file.
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
    /// At a server.
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
}

/// What a statement runs on.
pub(super) enum Target<'c> {
    /// One connection to a file.
    Sqlite(&'c mut sqlx::SqliteConnection),
    /// Any connection of a pool to a file.
    SqlitePool(&'c sqlx::SqlitePool),
    /// One connection to a server.
    Postgres(&'c mut PostgresConnection),
    /// Reads that see one moment, at a server.
    PostgresReads(&'c mut sqlx::PgConnection),
    /// Any connection of a pool to a server.
    PostgresPool(&'c sqlx::PgPool),
}

impl Source {
    /// A new connection for writing.
    pub(super) async fn connect(&self) -> Result<Connection, sqlx::Error> {
        match self {
            Self::Sqlite(file) => file.connect().await.map(Connection::Sqlite),
            Self::Postgres(url) => url.connect().await.map(Connection::Postgres),
        }
    }

    /// Bounds the size from now on (`None`: no bound), where that is possible.
    pub(super) async fn limit_pages(
        &mut self,
        pages: Option<u32>,
        open: Option<&mut Connection>,
    ) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(file) => {
                let open = open.and_then(|connection| match connection {
                    Connection::Sqlite(connection) => Some(connection),
                    Connection::Postgres(_) => None,
                });
                file.set_page_limit(pages, open).await
            }
            Self::Postgres(_) => Ok(()),
        }
    }
}

impl Connection {
    /// Begins a transaction that writes.
    pub(super) async fn begin(&mut self) -> Result<(), sqlx::Error> {
        match self {
            // One that reads first and writes later would not wait for others.
            Self::Sqlite(_) => query("BEGIN IMMEDIATE").execute(self).await.map(drop),
            Self::Postgres(_) => query("BEGIN").execute(self).await.map(drop),
        }
    }

    /// Ends it: all is stored when this returns.
    pub(super) async fn commit(&mut self) -> Result<(), sqlx::Error> {
        query("COMMIT").execute(self).await.map(drop)
    }

    /// Ends it without a trace. Whether the connection can be used again.
    pub(super) async fn roll_back(&mut self) -> bool {
        match query("ROLLBACK").execute(&mut *self).await {
            Ok(_) => true,
            // Some errors end the transaction by themselves.
            Err(error) => match self {
                Self::Sqlite(_) => {
                    error.as_database_error().is_some_and(|error| error.message().contains("no transaction is active"))
                }
                Self::Postgres(_) => false,
            },
        }
    }

    /// Closes it in order.
    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => sqlx::Connection::close(connection).await,
            Self::Postgres(connection) => sqlx::Connection::close(connection.connection).await,
        }
    }

    /// Whether nothing can be asked of it any more.
    pub(super) fn is_broken(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(connection) => connection.is_broken(),
        }
    }

    /// What it understands.
    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs statements that nothing is bound to.
    pub(super) async fn run_script(&mut self, script: &'static str) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => sqlx::raw_sql(script).execute(connection).await.map(drop),
            Self::Postgres(connection) => sqlx::raw_sql(script).execute(&mut connection.connection).await.map(drop),
        }
    }
}

impl Pool {
    /// Begins reads that see one moment.
    pub(super) async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        match self {
            Self::Sqlite(pool) => pool.begin().await.map(Transaction::Sqlite),
            Self::Postgres(pool) => {
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
                pool.begin_with(begin).await.map(Transaction::Postgres)
            }
        }
    }

    /// Connections that wait for somebody to ask them.
    #[cfg(test)]
    pub(super) fn idle_connections(&self) -> usize {
        match self {
            Self::Sqlite(pool) => pool.num_idle(),
            Self::Postgres(pool) => pool.num_idle(),
        }
    }

    /// Closes all connections.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }

    /// What it understands.
    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }
}

impl Transaction {
    /// Ends it and gives its connection back.
    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await,
            Self::Postgres(transaction) => transaction.commit().await,
        }
    }
}

impl<'c> From<&'c mut Connection> for Target<'c> {
    fn from(connection: &'c mut Connection) -> Self {
        match connection {
            Connection::Sqlite(connection) => Self::Sqlite(connection),
            Connection::Postgres(connection) => Self::Postgres(connection),
        }
    }
}

impl<'c> From<&'c Pool> for Target<'c> {
    fn from(pool: &'c Pool) -> Self {
        match pool {
            Pool::Sqlite(pool) => Self::SqlitePool(pool),
            Pool::Postgres(pool) => Self::PostgresPool(pool),
        }
    }
}

impl<'c> From<&'c mut Transaction> for Target<'c> {
    fn from(transaction: &'c mut Transaction) -> Self {
        match transaction {
            Transaction::Sqlite(transaction) => Self::Sqlite(transaction),
            Transaction::Postgres(transaction) => Self::PostgresReads(transaction),
        }
    }
}
