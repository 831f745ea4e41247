//! PostgreSQL: a database of its own process, reached over a connection that can be lost.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgDatabaseError, PgPoolOptions, PgSeverity};
use sqlx::{Arguments as _, ConnectOptions as _, PgConnection, PgPool, Postgres};

use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::{Query, Value, query};

/// How many reads run at once.
const READERS: u32 = 8;
/// How long a read waits for a connection, and how long it takes to connect.
const CONNECT: Duration = Duration::from_secs(5);
/// The SQLSTATE of a statement that writes where nothing may be written.
pub(in crate::store) const READ_ONLY: &str = "25006";
/// A statement that takes longer has lost its server.
pub(super) const STATEMENT: Duration = Duration::from_mins(1);

/// Where a PostgreSQL database is. Its password is shown nowhere.
#[derive(Clone)]
pub struct PostgresUrl {
    options: Box<PgConnectOptions>,
    shown: String,
}

/// A text that is no address of a PostgreSQL database.
#[derive(Debug, thiserror::Error)]
#[error("{detail}; write postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
pub struct PostgresUrlError {
    detail: String,
}

impl FromStr for PostgresUrl {
    type Err = PostgresUrlError;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        // Nothing of the text is repeated: it has a password in it.
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(PostgresUrlError { detail: "it does not begin with postgres://".to_owned() });
        }
        let options = PgConnectOptions::from_str(url).map_err(|error| PostgresUrlError {
            detail: match error {
                sqlx::Error::Configuration(error) => error.to_string(),
                error => error.to_string(),
            },
        })?;
        let name = options.get_database().unwrap_or_else(|| options.get_username());
        let place = match options.get_socket() {
            Some(socket) => format!("{}:{}", socket.display(), options.get_port()),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        let shown = format!("postgres://{}@{place}/{name}", options.get_username());
        let named = options.get_application_name().is_some();
        let options = if named { options } else { options.application_name("atta") };
        let options = options.statement_cache_capacity(500).disable_statement_logging();
        Ok(Self { options: Box::new(options), shown })
    }
}

/// Without the password.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Without the password.
impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresUrl").field(&self.shown).finish()
    }
}

impl PostgresUrl {
    /// A connection for writing. What it commits is on disk even if the server is set up for less.
    pub(in crate::store) async fn connect(&self) -> Result<PostgresConnection, sqlx::Error> {
        let connecting = self.options.connect();
        let connection = timeout(CONNECT, connecting).await.unwrap_or_else(|_| Err(timed_out()))?;
        let mut connection = PostgresConnection { connection, broken: false };
        let durable = "SELECT set_config('synchronous_commit', 'on', false)
             WHERE current_setting('synchronous_commit') = 'off'";
        query(durable).fetch_optional(super::Target::Postgres(&mut connection)).await?;
        Ok(connection)
    }

    /// Connections for reads.
    pub(in crate::store) fn readers(&self) -> PgPool {
        let options = PgConnectOptions::clone(&self.options).options([("default_transaction_read_only", "on")]);
        PgPoolOptions::new()
            .max_connections(READERS)
            .min_connections(0)
            .acquire_timeout(CONNECT)
            .idle_timeout(Duration::from_mins(5))
            .connect_lazy_with(options)
    }
}

/// A connection, and whether it is known to be lost.
#[derive(Debug)]
pub(in crate::store) struct PostgresConnection {
    pub(super) connection: PgConnection,
    broken: bool,
}

impl PostgresConnection {
    /// Whether nothing can be asked of it any more.
    pub(in crate::store) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Waits for an answer, but not for ever, and remembers when the connection is lost.
    pub(super) async fn answer<T>(
        broken: &mut bool,
        asked: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        // A question that is given up half-way leaves a connection that cannot be used.
        let before = std::mem::replace(broken, true);
        let result = within(asked).await;
        *broken = before || result.as_ref().is_err_and(is_lost);
        result
    }

    pub(super) fn split(&mut self) -> (&mut PgConnection, &mut bool) {
        (&mut self.connection, &mut self.broken)
    }
}

/// Waits for an answer, but not for ever.
pub(super) async fn within<T>(asked: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(STATEMENT, asked).await.unwrap_or_else(|_| Err(timed_out()))
}

/// What a connection of a pool answered, within the time. One that does not answer is dropped and not given back: whoever
/// came next would wait for it too.
pub(super) fn give_back<T>(
    connection: PoolConnection<Postgres>,
    answer: Result<Result<T, sqlx::Error>, Elapsed>,
) -> Result<T, sqlx::Error> {
    answer.unwrap_or_else(|_| {
        drop(connection.detach());
        Err(timed_out())
    })
}

fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "the server does not answer"))
}

/// Whether an error says that the connection, and not the statement, is at fault. So is one on which nothing can be written:
/// its server may have become a replica of another one, which the next connection finds.
pub(in crate::store) fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => error.try_downcast_ref::<PgDatabaseError>().is_some_and(|error| {
            matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic)
                || error.code().starts_with("08")
                || error.code() == READ_ONLY
        }),
        _ => false,
    }
}

impl Query<'_> {
    pub(super) fn into_postgres(self) -> Result<sqlx::query::Query<'static, Postgres, PgArguments>, sqlx::Error> {
        let mut arguments = PgArguments::default();
        arguments.reserve(self.values.len(), 0);
        for value in &self.values {
            match value {
                Value::Int(value) => arguments.add(value),
                Value::Bool(value) => arguments.add(value),
                // The one character that its texts cannot have; its picture stands for it.
                Value::Text(Some(text)) if text.contains('\0') => arguments.add(text.replace('\0', "\u{2400}")),
                Value::Text(value) => arguments.add(value.as_deref()),
                Value::Bytes(value) => arguments.add(value.as_deref()),
            }
            .map_err(sqlx::Error::Encode)?;
        }
        Ok(sqlx::query_with(self.text, arguments))
    }
}
