//! Into an empty database, in one transaction: everything is there afterwards, or nothing.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use atta_core::time::UnixMillis;
use serde::{Deserialize, Serialize};

use super::super::lock::DirectoryLock;
use super::super::open::FILE;
use super::super::sql::{
    AssertSqlSafe, Builder, Connection, Dialect, PostgresUrl, Query, SqliteFile, Value, is_lost, query,
};
use super::super::{Database, OpenError, StoreError, binding::Binding, claim, migrate};
use super::schema::{Kind, Schema};
use super::{Chunk, Counts, DumpError};
use crate::backup::Unfinished;

/// Values in one statement, well below what either database takes.
const MOST_VALUES: usize = 6_000;
const MOST_ROWS: usize = 200;
/// How often a database is asked whether it has stored everything, when it was lost in that moment.
const LOOKS: u32 = if cfg!(test) { 4 } else { 60 };
const LOOK: Duration = Duration::from_millis(500);

/// A database that was restored from a backup, as the server finds it noted at its first start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Restored {
    /// When the backup was made, in Unix milliseconds.
    pub(crate) backup_at: i64,
    /// Jobs may go on by themselves.
    pub(crate) go_on: bool,
}

/// What `meta` calls it.
pub(in crate::store) const RESTORED: &str = "restored";

/// An empty database that is being filled.
pub(crate) struct Loader {
    connection: Connection,
    schema: Schema,
    name: String,
    dir: PathBuf,
    /// Of columns that are not what the schema says in words of SQLite.
    kinds: HashMap<String, Vec<Kind>>,
    binding: Binding,
    url: Option<PostgresUrl>,
    _lock: Option<DirectoryLock>,
}

impl Loader {
    /// Takes an empty database and makes the tables of a version of the schema. `dir` is the data directory;
    /// `lock_dir`: nobody else may use it meanwhile, which is always so with a database in it.
    pub(crate) async fn begin(
        dir: &Path,
        lock_dir: bool,
        database: &Database,
        version: i64,
        now: UnixMillis,
    ) -> Result<Self, DumpError> {
        let (name, lock, connection) = match database {
            Database::File => {
                let file = dir.join(FILE);
                let name = file.display().to_string();
                let lock = DirectoryLock::take(dir)?;
                if file.exists() {
                    return Err(DumpError::NotEmpty {
                        name: dir.display().to_string(),
                        what: format!("a database ({FILE})"),
                    });
                }
                let connection = SqliteFile::new(&file).connect().await.map(Connection::Sqlite);
                (name, Some(lock), connection)
            }
            Database::Postgres(url) => {
                let lock = lock_dir.then(|| DirectoryLock::take(dir)).transpose()?;
                (url.to_string(), lock, url.connect().await.map(Connection::Postgres))
            }
        };
        let opened = |error: sqlx::Error| DumpError::Open(OpenError::from_store(&name, &error.into()));
        let mut connection = connection.map_err(opened)?;
        if connection.dialect() == Dialect::Postgres
            && !claim::try_lock(&mut connection).await.map_err(DumpError::store(&name))?
        {
            return Err(DumpError::Active { name });
        }
        let schema = Schema::of(version).await.map_err(DumpError::store(&name))?;
        let binding = Binding::new(&mut connection, &name).await.map_err(DumpError::store(&name))?;
        let url = match database {
            Database::File => None,
            Database::Postgres(url) => Some(url.clone()),
        };
        let dir = dir.to_owned();
        let mut loader = Self { connection, schema, name, dir, kinds: HashMap::new(), binding, url, _lock: lock };
        loader.make_tables(now).await?;
        Ok(loader)
    }

    async fn make_tables(&mut self, now: UnixMillis) -> Result<(), DumpError> {
        self.refuse_tables().await?;
        let name = self.name.clone();
        self.connection.begin().await.map_err(DumpError::sql(&name))?;
        migrate::migrate_inside(&mut self.connection, 0, self.schema.version, now)
            .await
            .map_err(DumpError::store(&name))?;
        for table in &self.schema.tables {
            let mut kinds: Vec<Kind> = table.columns.iter().map(|(_, kind)| *kind).collect();
            if self.connection.dialect() == Dialect::Postgres {
                let rows = query(
                    "SELECT column_name::text FROM information_schema.columns WHERE table_schema = current_schema()
                     AND table_name = $1 AND data_type = 'boolean'",
                )
                .bind(&table.name)
                .fetch_all(&mut self.connection)
                .await
                .map_err(DumpError::sql(&name))?;
                for row in &rows {
                    let column: String = row.try_get(0).map_err(DumpError::sql(&name))?;
                    if let Some(at) = table.columns.iter().position(|(name, _)| *name == column) {
                        kinds[at] = Kind::Bool;
                    }
                }
            }
            self.kinds.insert(table.name.clone(), kinds);
        }
        Ok(())
    }

    /// Tables of ours are somebody's jobs, also when they have no rows yet.
    async fn refuse_tables(&mut self) -> Result<(), DumpError> {
        if self.connection.dialect() == Dialect::Sqlite {
            return Ok(());
        }
        let mut asked = Builder::new(
            "SELECT min(table_name::text) FROM information_schema.tables WHERE table_schema = current_schema()
             AND table_name IN ",
        );
        let names = self.schema.tables.iter().map(|table| table.name.as_str());
        asked.push_list(names.chain(["schema_migrations"]));
        let row = asked.build().fetch_one(&mut self.connection).await.map_err(DumpError::sql(&self.name))?;
        match row.try_get::<Option<String>, _>(0).map_err(DumpError::sql(&self.name))? {
            None => Ok(()),
            Some(table) => {
                Err(DumpError::NotEmpty { name: self.name.clone(), what: format!("a table {table} already") })
            }
        }
    }

    /// Its file or address, without a password.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What the data directory notes of it.
    pub(crate) fn binding(&self) -> Binding {
        self.binding.clone()
    }

    /// Inserts rows.
    pub(crate) async fn add(&mut self, chunk: &Chunk) -> Result<(), DumpError> {
        let misfit = |what: &str| DumpError::Misfit(format!("{what} of table {:?}", chunk.table));
        let table = self.schema.table(&chunk.table).ok_or_else(|| misfit("there is no such table: rows"))?;
        let of_table = self.kinds.get(&chunk.table).ok_or_else(|| misfit("rows"))?;
        let mut kinds = Vec::with_capacity(chunk.columns.len());
        for column in &chunk.columns {
            let at = table.columns.iter().position(|(name, _)| name == column);
            let kind = at.and_then(|at| of_table.get(at));
            kinds.push(*kind.ok_or_else(|| misfit(&format!("there is no such column: {column:?}")))?);
        }
        if kinds.is_empty() {
            return Err(misfit("no columns"));
        }
        let columns = chunk.columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ");
        let most = (MOST_VALUES / kinds.len()).clamp(1, MOST_ROWS);
        for rows in chunk.rows().chunks(most) {
            let mut text = format!("INSERT INTO {} ({columns}) VALUES ", table.name);
            let mut values = Vec::with_capacity(rows.len() * kinds.len());
            for (number, row) in rows.iter().enumerate() {
                text.push_str(if number == 0 { "(" } else { ",(" });
                for (at, (value, kind)) in row.iter().zip(&kinds).enumerate() {
                    let value = typed(value, *kind)
                        .ok_or_else(|| misfit(&format!("a value of another type in column {:?}", chunk.columns[at])))?;
                    values.push(value);
                    text.push_str(if at == 0 { "$" } else { ",$" });
                    text.push_str(&values.len().to_string());
                }
                text.push(')');
            }
            let done = Query::with(AssertSqlSafe(text), values)
                .execute(&mut self.connection)
                .await
                .map_err(DumpError::sql(&self.name))?;
            if done.rows_affected() != rows.len() as u64 {
                return Err(misfit("not all rows were taken: some"));
            }
        }
        Ok(())
    }

    /// Compares what is there with what was sent, brings the schema up to date and keeps everything.
    pub(crate) async fn finish(
        mut self,
        counts: &Counts,
        restored: Option<&Restored>,
        now: UnixMillis,
    ) -> Result<Unfinished, DumpError> {
        match self.complete(counts, restored, now).await {
            Ok(unfinished) => {
                if let Err(error) = self.connection.close().await {
                    tracing::debug!(%error, "the connection was not closed in order after everything was stored");
                }
                Ok(unfinished)
            }
            Err(error) => {
                self.give_up().await;
                Err(error)
            }
        }
    }

    async fn complete(
        &mut self,
        counts: &Counts,
        restored: Option<&Restored>,
        now: UnixMillis,
    ) -> Result<Unfinished, DumpError> {
        if let Some(unknown) = counts.keys().find(|name| self.schema.table(name).is_none()) {
            return Err(DumpError::Misfit(format!("there is no table {unknown:?}")));
        }
        for table in &self.schema.tables {
            let text = format!("SELECT count(*) FROM {}", table.name);
            let row = query(AssertSqlSafe(text)).fetch_one(&mut self.connection).await;
            let found: i64 = row.and_then(|row| row.try_get(0)).map_err(DumpError::sql(&self.name))?;
            let (found, wanted) = (u64::try_from(found).unwrap_or(0), counts.get(&table.name).copied().unwrap_or(0));
            if found != wanted {
                return Err(DumpError::Count { name: self.name.clone(), table: table.name.clone(), found, wanted });
            }
        }
        if let Some(restored) = restored {
            mark(&mut self.connection, restored, now).await.map_err(DumpError::store(&self.name))?;
        }
        migrate::migrate_inside(&mut self.connection, self.schema.version, migrate::newest(), now)
            .await
            .map_err(DumpError::store(&self.name))?;
        let unfinished = self.unfinished().await.map_err(DumpError::sql(&self.name))?;
        self.binding.store(&mut self.connection).await.map_err(DumpError::store(&self.name))?;
        let Err(error) = self.connection.commit().await else { return Ok(unfinished) };
        let url = match &self.url {
            Some(url) if is_lost(&error) => url,
            _ => return Err(DumpError::sql(&self.name)(error)),
        };
        match look_whether_stored(url, &self.binding).await {
            Some(true) => Ok(unfinished),
            Some(false) => Err(DumpError::sql(&self.name)(error)),
            None => Err(DumpError::InDoubt { name: self.name.clone() }),
        }
    }

    async fn unfinished(&mut self) -> Result<Unfinished, sqlx::Error> {
        let mut found = Unfinished::default();
        let rows = query("SELECT state, count(*) FROM jobs WHERE finished_at IS NULL GROUP BY state")
            .fetch_all(&mut self.connection)
            .await?;
        for row in &rows {
            found.jobs.insert(row.try_get(0)?, u64::try_from(row.try_get::<i64, _>(1)?).unwrap_or(0));
        }
        let row = query("SELECT count(*) FROM attempts WHERE state IN ('LEASED', 'RUNNING')")
            .fetch_one(&mut self.connection)
            .await?;
        found.attempts = u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or(0);
        Ok(found)
    }

    /// Leaves the database as empty as it was.
    pub(crate) async fn give_up(mut self) {
        let rolled_back = self.connection.roll_back().await;
        let is_file = self.connection.dialect() == Dialect::Sqlite;
        if let Err(error) = self.connection.close().await {
            tracing::debug!(%error, rolled_back, "the connection was not closed in order");
        }
        if is_file {
            for file in [FILE.to_owned(), format!("{FILE}-wal"), format!("{FILE}-shm")] {
                // The reason why it is given up matters more.
                let _ = fs::remove_file(self.dir.join(file));
            }
        }
    }
}

/// The connection was lost while the database was to store everything. `None`: it does not come back.
async fn look_whether_stored(url: &PostgresUrl, binding: &Binding) -> Option<bool> {
    for _ in 0..LOOKS {
        if let Ok(connection) = url.connect().await {
            let mut connection = Connection::Postgres(connection);
            // As long as the lost session has the lock it may be about to store.
            if let Ok(true) = claim::try_lock(&mut connection).await
                && let Ok(stored) = binding.is_of(&mut connection).await
            {
                return Some(stored);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    None
}

/// The world of these rows may have gone on without us: its ants have to notice, and its messages are not sent again,
/// unless nothing has happened since.
pub(super) async fn mark(connection: &mut Connection, restored: &Restored, now: UnixMillis) -> Result<(), StoreError> {
    let row = query("SELECT value FROM meta WHERE key = 'epoch'").fetch_optional(&mut *connection).await?;
    let last: String = row.map(|row| row.try_get(0)).transpose()?.unwrap_or_else(|| "0".to_owned());
    // No server starts every second, so that the seconds are ahead of whatever the old world came to, and of every
    // world that was restored before.
    let seconds = u32::try_from(now.0 / 1000).unwrap_or(0);
    let epoch = last.parse::<u32>().map_or(seconds, |last| last.saturating_add(1).max(seconds));
    for (key, value) in [("epoch", epoch.to_string()), (RESTORED, super::super::json(restored))] {
        query("INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value")
            .bind(key)
            .bind(value)
            .execute(&mut *connection)
            .await?;
    }
    if restored.go_on {
        return Ok(());
    }
    let made = UnixMillis(restored.backup_at).to_rfc3339();
    query(
        "UPDATE outbox SET state = 'DEAD', next_at = NULL, finished_at = $1, last_error = $2 WHERE state = 'PENDING'",
    )
    .bind(now.0)
    .bind(format!("the server was restored from a backup of {made}: this may have been sent since"))
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// The same value in the type of its column.
fn typed(value: &Value<'static>, kind: Kind) -> Option<Value<'static>> {
    Some(match (value, kind) {
        (Value::Int(None) | Value::Bool(None) | Value::Text(None) | Value::Bytes(None), kind) => match kind {
            Kind::Int => Value::Int(None),
            Kind::Bool => Value::Bool(None),
            Kind::Text => Value::Text(None),
            Kind::Bytes => Value::Bytes(None),
        },
        (Value::Int(Some(value @ (0 | 1))), Kind::Bool) => Value::Bool(Some(*value == 1)),
        (Value::Bool(Some(value)), Kind::Int) => Value::Int(Some(i64::from(*value))),
        (Value::Int(_), Kind::Int)
        | (Value::Bool(_), Kind::Bool)
        | (Value::Text(_), Kind::Text)
        | (Value::Bytes(_), Kind::Bytes) => value.clone(),
        _ => return None,
    })
}
