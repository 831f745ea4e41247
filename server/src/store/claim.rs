//! Who may write to a PostgreSQL database: one server at a time, and one that was overtaken never again.
//!
//! The active server's connection holds an advisory lock, which ends with its session. Whoever takes over raises the epoch;
//! every transaction of a batch changes the row `writer` of `meta` on condition that it still has the epoch of this server,
//! so that two can never both store something. A server that hangs is recognised by its pulse, which stands still: the
//! server that waits ends its session then.

use std::sync::Arc;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::StoreError;
use super::sql::{Connection, PostgresUrl, query};

/// The first half of the advisory lock's key; the second is of the schema, so that several may share a database.
const LOCK: &str = "1098151009, hashtext(current_schema())";
/// The same as it is shown in `pg_locks`.
const HOLDER: &str = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
     AND classid::bigint = 1098151009 AND objid::bigint = hashtext(current_schema())::bigint & 4294967295";
/// How often the active server shows that it lives.
const PULSE: Duration = Duration::from_secs(1);
/// How long a server that waits leaves a database alone that was away: the active one finds back first.
const AWAY: Duration = Duration::from_secs(4);
/// How often a server that waits looks.
const LOOK: Duration = Duration::from_millis(500);
/// A session of ours that has ended is noticed within this.
const FIRST_LOOKS: [u64; 6] = [5, 10, 20, 40, 80, 160];
/// So many looks at the same pulse, and the active server hangs.
const STILL: u32 = 20;
/// How long the end of a session that was told to end may take.
const ENDING: Duration = Duration::from_secs(5);

/// The right to write to a database.
#[derive(Debug)]
pub(super) struct Claim {
    epoch: u32,
    /// The last batch that was begun.
    batch: u64,
    /// The last batch of which it is known that it is stored.
    stored: u64,
    /// The process of the server that holds the lock for us.
    backend: i64,
    overtaken: CancellationToken,
    uneasy: Arc<Notify>,
    pulse: Pulse,
}

/// Ends with the claim.
#[derive(Debug)]
struct Pulse(JoinHandle<()>);

impl Drop for Pulse {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Waits until no other server is active, and holds the lock then. `waiting` is called once, when there is another one.
pub(super) async fn wait_for_turn(
    url: &PostgresUrl,
    waiting: Option<Box<dyn FnOnce() + Send>>,
) -> Result<Connection, StoreError> {
    let mut connection = Connection::Postgres(url.connect().await?);
    let mut waiting = waiting;
    let (mut looks, mut last, mut still) = (0_usize, None, 0_u32);
    loop {
        match try_lock(&mut connection).await {
            Ok(true) => return Ok(connection),
            Ok(false) => {}
            // While it waits, nothing is lost by a database that is away.
            Err(error) => {
                tracing::warn!(%error, "the database cannot be asked whose turn it is");
                tokio::time::sleep(AWAY).await;
                if let Ok(again) = url.connect().await {
                    connection = Connection::Postgres(again);
                }
                (last, still) = (None, 0);
                continue;
            }
        }
        let Some(wait) = FIRST_LOOKS.get(looks) else {
            if looks == FIRST_LOOKS.len() {
                looks += 1;
                tracing::info!(database = %url, "stand-by: another server is active on this database");
                if let Some(waiting) = waiting.take() {
                    waiting();
                }
            }
            // Its tables may not be there yet, or it may be away: then nothing is known of it.
            let pulse = meta(&mut connection, "pulse").await.ok().flatten();
            still = if pulse.is_some() && pulse == last { still + 1 } else { 0 };
            last = pulse;
            if still >= STILL {
                tracing::warn!("the active server hangs: its session is ended");
                still = 0;
                if let Err(error) = end_session(&mut connection, None).await {
                    tracing::warn!(%error, "the session of the active server cannot be ended");
                }
            }
            tokio::time::sleep(LOOK).await;
            continue;
        };
        looks += 1;
        tokio::time::sleep(Duration::from_millis(*wait)).await;
    }
}

/// What a PostgreSQL database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseReport {
    /// The version of the server.
    pub version: String,
    /// How long a question takes.
    pub latency: Duration,
    /// Whether a server of ours is active on it.
    pub active: bool,
}

impl PostgresUrl {
    /// Asks whether it answers, and how fast. Changes nothing.
    pub async fn ask(&self) -> Result<DatabaseReport, StoreError> {
        let mut connection = Connection::Postgres(self.connect().await?);
        let version = query("SELECT current_setting('server_version')").fetch_one(&mut connection).await?.try_get(0)?;
        let active = !query(HOLDER).fetch_all(&mut connection).await?.is_empty();
        let mut latency = Duration::MAX;
        for _ in 0..5 {
            let asked = tokio::time::Instant::now();
            query("SELECT 1").fetch_one(&mut connection).await?;
            latency = latency.min(asked.elapsed());
        }
        connection.close().await?;
        Ok(DatabaseReport { version, latency, active })
    }
}

/// Takes the lock if nobody has it.
pub(super) async fn try_lock(connection: &mut Connection) -> Result<bool, StoreError> {
    let text = format!("SELECT pg_try_advisory_lock({LOCK})");
    Ok(query(AssertSqlSafe(text)).fetch_one(connection).await?.try_get(0)?)
}

/// Ends the session that holds the lock, or only this one.
async fn end_session(connection: &mut Connection, only: Option<i64>) -> Result<(), StoreError> {
    let text = format!("SELECT pg_terminate_backend(pid) FROM ({HOLDER}) AS holder WHERE $1 IS NULL OR pid = $1");
    query(AssertSqlSafe(text)).bind(only).fetch_all(connection).await?;
    Ok(())
}

async fn meta(connection: &mut Connection, key: &'static str) -> Result<Option<String>, StoreError> {
    let row = query("SELECT value FROM meta WHERE key = $1").bind(key).fetch_optional(connection).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

async fn backend(connection: &mut Connection) -> Result<i64, StoreError> {
    Ok(query("SELECT pg_backend_pid()::bigint").fetch_one(connection).await?.try_get(0)?)
}

impl Claim {
    /// Raises the epoch, with the lock held.
    pub(super) async fn take(connection: &mut Connection, url: &PostgresUrl) -> Result<Self, StoreError> {
        let backend = backend(connection).await?;
        query("INSERT INTO meta (key, value) VALUES ('epoch', '0'), ('writer', '0 0'), ('pulse', '0') ON CONFLICT DO NOTHING")
            .execute(&mut *connection)
            .await?;
        connection.begin().await?;
        // Waits for the last transaction of a session that was told to end.
        query("SELECT value FROM meta WHERE key = 'writer' FOR UPDATE").fetch_one(&mut *connection).await?;
        let value = meta(connection, "epoch").await?.unwrap_or_default();
        let epoch = match value.parse::<u32>() {
            Ok(last) => last + 1,
            Err(_) => return Err(StoreError::Value { table: "meta", column: "value", value }),
        };
        for (key, value) in [("epoch", epoch.to_string()), ("writer", mark(epoch, 0))] {
            query("UPDATE meta SET value = $2 WHERE key = $1").bind(key).bind(value).execute(&mut *connection).await?;
        }
        connection.commit().await?;
        let overtaken = CancellationToken::new();
        let uneasy = Arc::new(Notify::new());
        let pulse = Pulse(tokio::spawn(beat(url.clone(), epoch, overtaken.clone(), Arc::clone(&uneasy))));
        Ok(Self { epoch, batch: 0, stored: 0, backend, overtaken, uneasy, pulse })
    }

    /// How often the database was taken over.
    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Is cancelled when another server has taken over.
    pub(super) fn overtaken(&self) -> &CancellationToken {
        &self.overtaken
    }

    /// Is notified when the database may be away.
    pub(super) fn uneasy(&self) -> &Arc<Notify> {
        &self.uneasy
    }

    /// Makes a new connection the one that may write, unless another server has taken over. Whether all batches are there
    /// that were stored: after a fail-over to a replica that was behind, the last ones are not.
    pub(super) async fn renew(&mut self, connection: &mut Connection) -> Result<bool, StoreError> {
        let give_up = tokio::time::Instant::now() + ENDING;
        while !try_lock(connection).await? {
            self.check(connection).await?;
            // The server has not noticed that our session is over.
            end_session(connection, Some(self.backend)).await?;
            if tokio::time::Instant::now() >= give_up {
                return Err(StoreError::Unreachable("another session holds its lock".to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.backend = backend(connection).await?;
        let batch = self.check(connection).await?;
        let whole = batch >= self.stored;
        self.stored = batch;
        Ok(whole)
    }

    /// The last batch that is there, unless another server has taken over.
    async fn check(&self, connection: &mut Connection) -> Result<u64, StoreError> {
        let value = meta(connection, "writer").await?.unwrap_or_default();
        match value.split_once(' ') {
            Some((epoch, batch)) if epoch == self.epoch.to_string() => {
                batch.parse().map_err(|_| StoreError::Value { table: "meta", column: "value", value })
            }
            _ => Err(self.lost()),
        }
    }

    /// The batch that was begun last is stored.
    pub(super) fn confirm(&mut self) {
        self.stored = self.batch;
    }

    fn lost(&self) -> StoreError {
        self.overtaken.cancel();
        StoreError::TakenOver
    }

    /// The first statement of a batch's transaction.
    pub(super) async fn enter(&mut self, connection: &mut Connection) -> Result<(), StoreError> {
        self.batch += 1;
        let done = query("UPDATE meta SET value = $2 WHERE key = 'writer' AND split_part(value, ' ', 1) = $1")
            .bind(self.epoch.to_string())
            .bind(mark(self.epoch, self.batch))
            .execute(connection)
            .await?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(self.lost()) }
    }

    /// Whether the batch that was begun last is stored. Only when no other session of ours can be about to store it.
    pub(super) async fn has_stored(&self, connection: &mut Connection) -> Result<bool, StoreError> {
        Ok(meta(connection, "writer").await? == Some(mark(self.epoch, self.batch)))
    }

    /// Stops showing that this server lives.
    pub(super) fn stop(&self) {
        self.pulse.0.abort();
    }
}

/// What `writer` holds.
fn mark(epoch: u32, batch: u64) -> String {
    format!("{epoch} {batch}")
}

/// Shows that this server lives, and looks whether it is still its turn: also while there is nothing to store.
async fn beat(url: PostgresUrl, epoch: u32, overtaken: CancellationToken, uneasy: Arc<Notify>) {
    let mut connection = None;
    loop {
        match beat_once(&mut connection, &url, epoch).await {
            Ok(true) => {}
            Ok(false) => return overtaken.cancel(),
            Err(error) => {
                tracing::debug!(%error, "no pulse");
                connection = None;
                uneasy.notify_one();
            }
        }
        tokio::time::sleep(PULSE).await;
    }
}

async fn beat_once(connection: &mut Option<Connection>, url: &PostgresUrl, epoch: u32) -> Result<bool, StoreError> {
    let open = if let Some(open) = connection {
        open
    } else {
        let open = connection.insert(Connection::Postgres(url.connect().await?));
        // It is of no use after a crash.
        query("SELECT set_config('synchronous_commit', 'off', false)").fetch_one(&mut *open).await?;
        open
    };
    let done = query(
        "UPDATE meta SET value = (value::bigint + 1)::text WHERE key = 'pulse'
         AND EXISTS (SELECT 1 FROM meta WHERE key = 'writer' AND split_part(value, ' ', 1) = $1)",
    )
    .bind(epoch.to_string())
    .execute(open)
    .await?;
    Ok(done.rows_affected() == 1)
}
