//! A thin layer under the statements: what they are bound to, run on and read from, whichever database stands behind.
//!
//! Statements are written once, with `$1` placeholders, and bind [`Value`]s: what is bound is independent of the database
//! until the statement runs. Where databases differ in what they understand, the statement asks for the dialect.

mod query;
mod row;
mod sqlite;
mod value;

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
}

/// One connection.
#[derive(Debug)]
pub(super) enum Connection {
    /// To a file.
    Sqlite(sqlx::SqliteConnection),
}

/// Connections for reads.
#[derive(Debug, Clone)]
pub(super) enum Pool {
    /// To a file.
    Sqlite(sqlx::SqlitePool),
}

/// Reads that see one moment.
pub(super) enum Transaction {
    /// On a file.
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
}

/// What a statement runs on.
pub(super) enum Target<'c> {
    /// One connection to a file.
    Sqlite(&'c mut sqlx::SqliteConnection),
    /// Any connection of a pool to a file.
    SqlitePool(&'c sqlx::SqlitePool),
}

impl Source {
    /// A new connection for writing.
    pub(super) async fn connect(&self) -> Result<Connection, sqlx::Error> {
        match self {
            Self::Sqlite(file) => file.connect().await.map(Connection::Sqlite),
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
                let open = open.map(|connection| match connection {
                    Connection::Sqlite(connection) => connection,
                });
                file.set_page_limit(pages, open).await
            }
        }
    }
}

impl Connection {
    /// Begins a transaction that writes.
    pub(super) async fn begin(&mut self) -> Result<(), sqlx::Error> {
        match self {
            // One that reads first and writes later would not wait for others.
            Self::Sqlite(_) => query("BEGIN IMMEDIATE").execute(self).await.map(drop),
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
            },
        }
    }

    /// Closes it in order.
    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => sqlx::Connection::close(connection).await,
        }
    }
}

impl Pool {
    /// Begins reads that see one moment.
    pub(super) async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        match self {
            Self::Sqlite(pool) => pool.begin().await.map(Transaction::Sqlite),
        }
    }

    /// Closes all connections.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
        }
    }
}

impl Transaction {
    /// Ends it and gives its connection back.
    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await,
        }
    }
}

impl<'c> From<&'c mut Connection> for Target<'c> {
    fn from(connection: &'c mut Connection) -> Self {
        match connection {
            Connection::Sqlite(connection) => Self::Sqlite(connection),
        }
    }
}

impl<'c> From<&'c Pool> for Target<'c> {
    fn from(pool: &'c Pool) -> Self {
        match pool {
            Pool::Sqlite(pool) => Self::SqlitePool(pool),
        }
    }
}

impl<'c> From<&'c mut Transaction> for Target<'c> {
    fn from(transaction: &'c mut Transaction) -> Self {
        match transaction {
            Transaction::Sqlite(transaction) => Self::Sqlite(transaction),
        }
    }
}
