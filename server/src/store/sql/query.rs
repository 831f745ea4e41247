//! Statements.

use std::fmt::Write;

use futures_util::TryStreamExt as _;
use sqlx::{SqlSafeStr, SqlStr};
use tokio::time::timeout;

use super::postgres::{self, STATEMENT};
use super::{AssertSqlSafe, PostgresConnection, Row, Target, Transaction, Value};

/// A statement with what is bound to it. Every text is prepared once per connection.
#[must_use]
pub(in crate::store) struct Query<'q> {
    pub(super) text: SqlStr,
    pub(super) values: Vec<Value<'q>>,
}

/// A statement.
pub(in crate::store) fn query<'q>(text: impl SqlSafeStr) -> Query<'q> {
    Query { text: text.into_sql_str(), values: Vec::new() }
}

/// What a statement did.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Done {
    pub(super) rows_affected: u64,
}

impl Done {
    /// How many rows it inserted, updated or deleted.
    pub(in crate::store) fn rows_affected(self) -> u64 {
        self.rows_affected
    }
}

impl<'q> Query<'q> {
    /// A statement with all its values.
    pub(in crate::store) fn with(text: impl SqlSafeStr, values: Vec<Value<'q>>) -> Self {
        Self { text: text.into_sql_str(), values }
    }

    /// Binds the next placeholder.
    pub(in crate::store) fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.values.push(value.into());
        self
    }

    // What is asked of a server is boxed: it waits for long, and what is asked of a file must not grow with it.

    /// Runs it.
    pub(in crate::store) async fn execute<'c>(self, on: impl Into<Target<'c>>) -> Result<Done, sqlx::Error> {
        let rows_affected = match on.into() {
            Target::Sqlite(connection) => self.into_sqlite()?.execute(connection).await?.rows_affected(),
            Target::SqlitePool(pool) => self.into_sqlite()?.execute(pool).await?.rows_affected(),
            Target::Postgres(on) => {
                let (connection, broken) = on.split();
                Box::pin(PostgresConnection::answer(broken, self.into_postgres()?.execute(connection)))
                    .await?
                    .rows_affected()
            }
            Target::PostgresReads(connection) => {
                Box::pin(postgres::within(self.into_postgres()?.execute(connection))).await?.rows_affected()
            }
            Target::PostgresPool(pool) => {
                let (asked, mut connection) = (self.into_postgres()?, pool.acquire().await?);
                let answer = Box::pin(timeout(STATEMENT, asked.execute(&mut *connection))).await;
                postgres::give_back(connection, answer)?.rows_affected()
            }
        };
        Ok(Done { rows_affected })
    }

    /// All rows.
    pub(in crate::store) async fn fetch_all<'c>(self, on: impl Into<Target<'c>>) -> Result<Vec<Row>, sqlx::Error> {
        let rows = match on.into() {
            Target::Sqlite(connection) => self.into_sqlite()?.fetch_all(connection).await?,
            Target::SqlitePool(pool) => self.into_sqlite()?.fetch_all(pool).await?,
            Target::Postgres(on) => {
                let (connection, broken) = on.split();
                let rows =
                    Box::pin(PostgresConnection::answer(broken, self.into_postgres()?.fetch_all(connection))).await?;
                return Ok(rows.into_iter().map(Row::Postgres).collect());
            }
            Target::PostgresReads(connection) => {
                let rows = Box::pin(postgres::within(self.into_postgres()?.fetch_all(connection))).await?;
                return Ok(rows.into_iter().map(Row::Postgres).collect());
            }
            Target::PostgresPool(pool) => {
                let (asked, mut connection) = (self.into_postgres()?, pool.acquire().await?);
                let answer = Box::pin(timeout(STATEMENT, asked.fetch_all(&mut *connection))).await;
                let rows = postgres::give_back(connection, answer)?;
                return Ok(rows.into_iter().map(Row::Postgres).collect());
            }
        };
        Ok(rows.into_iter().map(Row::Sqlite).collect())
    }

    /// The first row, if there is one.
    pub(in crate::store) async fn fetch_optional<'c>(
        self,
        on: impl Into<Target<'c>>,
    ) -> Result<Option<Row>, sqlx::Error> {
        let row = match on.into() {
            Target::Sqlite(connection) => self.into_sqlite()?.fetch_optional(connection).await?,
            Target::SqlitePool(pool) => self.into_sqlite()?.fetch_optional(pool).await?,
            Target::Postgres(on) => {
                let (connection, broken) = on.split();
                let row =
                    Box::pin(PostgresConnection::answer(broken, self.into_postgres()?.fetch_optional(connection)))
                        .await?;
                return Ok(row.map(Row::Postgres));
            }
            Target::PostgresReads(connection) => {
                let row = Box::pin(postgres::within(self.into_postgres()?.fetch_optional(connection))).await?;
                return Ok(row.map(Row::Postgres));
            }
            Target::PostgresPool(pool) => {
                let (asked, mut connection) = (self.into_postgres()?, pool.acquire().await?);
                let answer = Box::pin(timeout(STATEMENT, asked.fetch_optional(&mut *connection))).await;
                return Ok(postgres::give_back(connection, answer)?.map(Row::Postgres));
            }
        };
        Ok(row.map(Row::Sqlite))
    }

    /// Each row in turn, with only some of them in memory.
    pub(in crate::store) async fn for_each<E: From<sqlx::Error>>(
        self,
        on: &mut Transaction,
        mut take: impl AsyncFnMut(Row) -> Result<(), E>,
    ) -> Result<(), E> {
        match on {
            Transaction::Sqlite(transaction) => {
                let mut rows = self.into_sqlite()?.fetch(&mut **transaction);
                while let Some(row) = rows.try_next().await? {
                    take(Row::Sqlite(row)).await?;
                }
            }
            Transaction::Postgres(transaction) => {
                let mut rows = self.into_postgres()?.fetch(&mut **transaction);
                while let Some(row) = rows.try_next().await? {
                    take(Row::Postgres(row)).await?;
                }
            }
        }
        Ok(())
    }

    /// The first row, which there must be.
    pub(in crate::store) async fn fetch_one<'c>(self, on: impl Into<Target<'c>>) -> Result<Row, sqlx::Error> {
        self.fetch_optional(on).await?.ok_or(sqlx::Error::RowNotFound)
    }
}

/// A statement whose text depends on what is asked.
pub(in crate::store) struct Builder<'q> {
    text: String,
    values: Vec<Value<'q>>,
}

impl<'q> Builder<'q> {
    /// Begins with this text.
    pub(in crate::store) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), values: Vec::new() }
    }

    /// Adds text.
    pub(in crate::store) fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a placeholder and what it stands for.
    pub(in crate::store) fn push_bind(&mut self, value: impl Into<Value<'q>>) -> &mut Self {
        self.values.push(value.into());
        // Writing to a String cannot fail.
        let _ = write!(self.text, "${}", self.values.len());
        self
    }

    /// Adds a list of placeholders in parentheses. There must be values, or it is no SQL.
    pub(in crate::store) fn push_list<V: Into<Value<'q>>>(&mut self, values: impl IntoIterator<Item = V>) -> &mut Self {
        let mut before = '(';
        for value in values {
            self.text.push(before);
            self.push_bind(value);
            before = ',';
        }
        self.text.push(')');
        self
    }

    /// The statement.
    pub(in crate::store) fn build(self) -> Query<'q> {
        Query::with(AssertSqlSafe(self.text), self.values)
    }
}
