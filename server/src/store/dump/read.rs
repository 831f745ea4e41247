//! All rows of one moment, while a server may go on writing.

use std::fmt::Write as _;
use std::path::Path;

use atta_core::engine::AttemptNumber;
use atta_core::protocol::{AttemptId, Digest, JobId};
use atta_core::time::UnixMillis;
use tokio::sync::mpsc;

use super::super::lock::DirectoryLock;
use super::super::open::FILE;
use super::super::sql::{AssertSqlSafe, Connection, Dialect, Pool, SqliteFile, Transaction, Value, query};
use super::super::{Database, OpenError, StoreError, binding, claim, migrate, moved, unsigned};
use super::load::{Restored, mark};
use super::schema::Schema;
use super::text::size;
use super::{Chunk, Counts, DumpError};

/// A chunk is sent when it is about so large, or has so many rows.
const CHUNK_BYTES: usize = 1 << 20;
const CHUNK_ROWS: usize = 1_000;

/// What belongs to one database, or to a session on it, and to no other one.
const OWN: [&str; 3] = ["writer", "pulse", binding::KEY];

/// A database as it is at one moment.
pub(crate) struct Dump {
    pool: Pool,
    transaction: Transaction,
    schema: Schema,
    name: String,
    /// When no server may be active meanwhile.
    alone: Option<(Option<DirectoryLock>, Option<Connection>)>,
}

impl Dump {
    /// Of a database that a server may be active on, and whose moment is now.
    pub(crate) async fn open(dir: &Path, database: &Database) -> Result<Self, DumpError> {
        Self::at_once(dir, database, None).await
    }

    /// Of a database that no server may be active on until this is dropped.
    pub(crate) async fn open_alone(dir: &Path, database: &Database) -> Result<Self, DumpError> {
        let alone = match database {
            Database::File => {
                missing(dir)?;
                (Some(DirectoryLock::take(dir)?), None)
            }
            Database::Postgres(url) => {
                let name = url.to_string();
                let connection = url.connect().await.map_err(StoreError::from);
                let mut connection =
                    Connection::Postgres(connection.map_err(|error| OpenError::from_store(&name, &error))?);
                if !claim::try_lock(&mut connection).await.map_err(DumpError::store(&name))? {
                    return Err(DumpError::Active { name });
                }
                (None, Some(connection))
            }
        };
        Self::at_once(dir, database, Some(alone)).await
    }

    async fn at_once(
        dir: &Path,
        database: &Database,
        alone: Option<(Option<DirectoryLock>, Option<Connection>)>,
    ) -> Result<Self, DumpError> {
        let (pool, name, dialect) = match database {
            Database::File => {
                missing(dir)?;
                let file = dir.join(FILE);
                (Pool::Sqlite(SqliteFile::new(&file).onlookers()), file.display().to_string(), Dialect::Sqlite)
            }
            Database::Postgres(url) => (Pool::Postgres(url.readers()), url.to_string(), Dialect::Postgres),
        };
        moved::check(dir, &name, dialect)?;
        let wrong = |error: sqlx::Error| DumpError::Open(OpenError::from_store(&name, &error.into()));
        let mut transaction = pool.begin().await.map_err(wrong)?;
        let there = match &transaction {
            Transaction::Sqlite(_) => "SELECT count(*) FROM sqlite_schema WHERE name = 'schema_migrations'",
            Transaction::Postgres(_) => "SELECT count(to_regclass('schema_migrations'))",
        };
        let there: i64 =
            query(there).fetch_one(&mut transaction).await.and_then(|row| row.try_get(0)).map_err(wrong)?;
        let nothing = || DumpError::Nothing { name: name.clone(), detail: "it has none of its tables".to_owned() };
        if there == 0 {
            return Err(nothing());
        }
        let found: Option<i64> = query("SELECT max(version) FROM schema_migrations")
            .fetch_one(&mut transaction)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(wrong)?;
        let (found, known, oldest) = (found.ok_or_else(nothing)?, migrate::newest(), migrate::oldest_of_both());
        if found > known {
            return Err(OpenError::TooNew { file: name, found, known }.into());
        }
        if found < oldest {
            return Err(DumpError::TooOld { name, found, oldest });
        }
        let id = binding::id(&mut transaction).await.map_err(DumpError::store(&name))?;
        binding::check_id(dir, &name, id.as_deref())?;
        let schema = Schema::of(found).await.map_err(DumpError::store(&name))?;
        Ok(Self { pool, transaction, schema, name, alone })
    }

    /// The version of its schema.
    pub(crate) fn version(&self) -> i64 {
        self.schema.version
    }

    /// Its file or address, without a password.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Sends all rows, table by table, each table behind those that it refers to. Ends early when nobody takes them.
    pub(crate) async fn send(&mut self, to: mpsc::Sender<Chunk>) -> Result<Counts, DumpError> {
        let mut counts = Counts::new();
        let name = self.name.clone();
        for table in &self.schema.tables {
            let columns: Vec<String> = table.columns.iter().map(|(column, _)| column.clone()).collect();
            let list = columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ");
            let mut text = format!("SELECT {list} FROM {}", table.name);
            if table.name == "meta" {
                let words = OWN.map(|key| format!("'{key}'")).join(", ");
                let _ = write!(text, " WHERE key NOT IN ({words})");
            }
            let mut chunk = Chunk::new(&table.name, columns.clone());
            let (mut bytes, mut count, width) = (0, 0_u64, columns.len());
            query(AssertSqlSafe(text))
                .for_each(&mut self.transaction, async |row| -> Result<(), StoreError> {
                    let values: Vec<Value<'static>> = (0..width).map(|at| row.value(at)).collect::<Result<_, _>>()?;
                    bytes += values.iter().map(size).sum::<usize>();
                    count += 1;
                    chunk.push(values);
                    if bytes >= CHUNK_BYTES || chunk.len() >= CHUNK_ROWS {
                        let full = std::mem::replace(&mut chunk, Chunk::new(&table.name, columns.clone()));
                        bytes = 0;
                        // Whoever does not take it knows why.
                        let _ = to.send(full).await;
                    }
                    Ok(())
                })
                .await
                .map_err(DumpError::store(&name))?;
            if chunk.len() > 0 {
                let _ = to.send(chunk).await;
            }
            counts.insert(table.name.clone(), count);
            if to.is_closed() {
                break;
            }
        }
        Ok(counts)
    }

    /// Names the contents of artifacts and the attempts, all of them of the same moment.
    pub(crate) async fn files<E: From<StoreError>>(
        &mut self,
        mut artifact: impl FnMut(Digest, u64) -> Result<(), E>,
        mut attempt: impl FnMut(AttemptId) -> Result<(), E>,
    ) -> Result<(), E> {
        /// Both errors in one.
        struct Either<E>(E);
        impl<E: From<StoreError>> From<sqlx::Error> for Either<E> {
            fn from(error: sqlx::Error) -> Self {
                Self(StoreError::from(error).into())
            }
        }
        query("SELECT digest, max(size) FROM artifacts WHERE expired_at IS NULL GROUP BY digest")
            .for_each(&mut self.transaction, async |row| -> Result<(), Either<E>> {
                let size = unsigned("artifacts", "size", row.try_get(1)?).map_err(|error| Either(error.into()))?;
                artifact(Digest(row.try_get(0)?), size).map_err(Either)
            })
            .await
            .map_err(|Either(error)| error)?;
        query("SELECT job_id, number FROM attempts")
            .for_each(&mut self.transaction, async |row| -> Result<(), Either<E>> {
                let number = unsigned("attempts", "number", row.try_get(1)?).map_err(|error| Either(error.into()))?;
                attempt(AttemptId::new(&JobId(row.try_get(0)?), AttemptNumber(number))).map_err(Either)
            })
            .await
            .map_err(|Either(error)| error)?;
        Ok(())
    }

    /// Its rows are in another database now. A server that is started on these all the same takes them for restored.
    pub(crate) async fn retire(mut self, dir: &Path, database: &Database, now: UnixMillis) -> Result<(), DumpError> {
        let name = self.name.clone();
        let lock = self.alone.take();
        self.close().await?;
        let (_directory, connection) = lock.unwrap_or_default();
        let mut connection = match (connection, database) {
            (Some(connection), _) => connection,
            (None, Database::File) => {
                let connection = SqliteFile::new(&dir.join(FILE)).connect().await;
                Connection::Sqlite(connection.map_err(DumpError::sql(&name))?)
            }
            (None, Database::Postgres(url)) => {
                Connection::Postgres(url.connect().await.map_err(DumpError::sql(&name))?)
            }
        };
        connection.begin().await.map_err(DumpError::sql(&name))?;
        let restored = Restored { backup_at: now.0, go_on: false };
        mark(&mut connection, &restored, now).await.map_err(DumpError::store(&name))?;
        connection.commit().await.map_err(DumpError::sql(&name))?;
        connection.close().await.map_err(DumpError::sql(&name))
    }

    /// Lets the database go.
    pub(crate) async fn close(self) -> Result<(), DumpError> {
        let Self { pool, transaction, name, alone, .. } = self;
        transaction.commit().await.map_err(DumpError::sql(&name))?;
        pool.close().await;
        if let Some((_, Some(connection))) = alone {
            connection.close().await.map_err(DumpError::sql(&name))?;
        }
        Ok(())
    }
}

fn missing(dir: &Path) -> Result<(), DumpError> {
    if dir.join(FILE).is_file() {
        return Ok(());
    }
    let detail = format!("there is no {FILE} in it; for PostgreSQL give --database or ATTA_DATABASE_URL");
    Err(DumpError::Nothing { name: dir.display().to_string(), detail })
}
