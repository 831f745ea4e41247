//! Writing: everything that a batch changed, in one short transaction, with few statements.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Sqlite, SqliteConnection};

use super::lock::DirectoryLock;
use super::{Changes, ColumnName, StoreError, priority_column, result_columns};

/// Rows per statement. A few fixed sizes, so that every statement is prepared once.
const CHUNKS: [usize; 4] = [64, 16, 4, 1];

/// The one connection that writes.
#[derive(Debug)]
pub(crate) struct StoreWriter {
    connection: Option<SqliteConnection>,
    options: SqliteConnectOptions,
    texts: HashMap<(&'static str, usize), Arc<str>>,
    page_limit: Option<u32>,
    _lock: Arc<DirectoryLock>,
}

/// A statement that inserts (or replaces) any number of rows.
struct ManyRows {
    name: &'static str,
    head: &'static str,
    columns: usize,
    tail: &'static str,
}

/// A value to bind.
enum Cell<'a> {
    Int(i64),
    OptInt(Option<i64>),
    Text(&'a str),
    OptText(Option<&'a str>),
    Owned(String),
}

const VERSIONS: ManyRows = ManyRows {
    name: "insert versions",
    head: "INSERT INTO definition_versions (job_type, version, semver, source, warnings, created_at) VALUES ",
    columns: 6,
    tail: "",
};

const DEFINITIONS: ManyRows = ManyRows {
    name: "write definitions",
    head: "INSERT INTO definitions (job_type, latest_version, enabled, degraded, next_fire_at, created_at, updated_at, watches) VALUES ",
    columns: 8,
    tail: " ON CONFLICT (job_type) DO UPDATE SET latest_version = excluded.latest_version, enabled = excluded.enabled,
        degraded = excluded.degraded, next_fire_at = excluded.next_fire_at, updated_at = excluded.updated_at,
        watches = excluded.watches",
};

const NEW_JOBS: ManyRows = ManyRows {
    name: "insert jobs",
    head:
        "INSERT INTO jobs (id, job_type, version, state, reason, error_code, error_message, priority, user_key, params,
        description, submitted_by, tick, attempt, nonce, created_at, scheduled_at, started_at, finished_at, parent_job,
        parent_attempt, forked, depth, rerun_of, concurrency_key, origin_key, description_given, expires_at) VALUES ",
    columns: 28,
    tail: "",
};

const UPDATE_JOB: &str =
    "UPDATE jobs SET state = $2, reason = $3, error_code = $4, error_message = $5, description = $6,
    attempt = $7, nonce = $8, started_at = $9, finished_at = $10, expires_at = $11 WHERE id = $1";

const TASKS: ManyRows = ManyRows {
    name: "write tasks",
    head: "INSERT INTO tasks (job_id, task, name, state, visits, attempts, last_attempt, result, exit_code, error_code,
        error_message, skip_reason, route, first_started_at, started_at, finished_at) VALUES ",
    columns: 16,
    tail: " ON CONFLICT (job_id, task) DO UPDATE SET state = excluded.state, visits = excluded.visits,
        attempts = excluded.attempts, last_attempt = excluded.last_attempt, result = excluded.result,
        exit_code = excluded.exit_code, error_code = excluded.error_code, error_message = excluded.error_message,
        skip_reason = excluded.skip_reason, route = excluded.route, first_started_at = excluded.first_started_at,
        started_at = excluded.started_at, finished_at = excluded.finished_at",
};

const ATTEMPTS: ManyRows = ManyRows {
    name: "write attempts",
    head: "INSERT INTO attempts (job_id, number, task, instance, item_key, visit, task_attempt, job_attempt, state, reason, token, ant,
        isolation, result, exit_code, error_code, error_message, routed_from, outputs, warnings, log_bytes, created_at,
        started_at, finished_at) VALUES ",
    columns: 24,
    tail: " ON CONFLICT (job_id, number) DO UPDATE SET state = excluded.state, reason = excluded.reason, token = excluded.token, ant = excluded.ant,
        isolation = excluded.isolation, result = excluded.result, exit_code = excluded.exit_code,
        error_code = excluded.error_code, error_message = excluded.error_message, outputs = excluded.outputs,
        warnings = excluded.warnings, log_bytes = excluded.log_bytes, started_at = excluded.started_at,
        finished_at = excluded.finished_at",
};

const INSTANCES: ManyRows = ManyRows {
    name: "write instances",
    head: "INSERT INTO task_instances (job_id, task, instance, visit, item_key, state, attempts, last_attempt, result,
        exit_code, error_code, error_message) VALUES ",
    columns: 12,
    tail: " ON CONFLICT (job_id, task, instance) DO UPDATE SET visit = excluded.visit, item_key = excluded.item_key,
        state = excluded.state, attempts = excluded.attempts, last_attempt = excluded.last_attempt,
        result = excluded.result, exit_code = excluded.exit_code, error_code = excluded.error_code,
        error_message = excluded.error_message",
};

const ARTIFACTS: ManyRows = ManyRows {
    name: "insert artifacts",
    head: "INSERT INTO artifacts (job_id, attempt, path, digest, size, executable, group_name, expires_at) VALUES ",
    columns: 8,
    tail: "",
};

const ADOPTED: ManyRows = ManyRows {
    name: "insert adopted tasks",
    head: "INSERT INTO adopted_tasks (job_id, task, source_job, outputs) VALUES ",
    columns: 4,
    tail: "",
};

const EVENTS: ManyRows = ManyRows {
    name: "insert events",
    head: "INSERT INTO events (sequence, job_id, at, entropy, event, effects) VALUES ",
    columns: 6,
    tail: "",
};

const SET_TIMERS: ManyRows = ManyRows {
    name: "set timers",
    head: "INSERT INTO timers (job_id, timer, due_at) VALUES ",
    columns: 3,
    tail: " ON CONFLICT (job_id, timer) DO UPDATE SET due_at = excluded.due_at",
};

const IDEMPOTENCY: ManyRows = ManyRows {
    name: "insert idempotency keys",
    head: "INSERT INTO idempotency_keys (key, request_hash, status, response, created_at) VALUES ",
    columns: 5,
    tail: "",
};

impl StoreWriter {
    pub(super) fn new(connection: SqliteConnection, options: SqliteConnectOptions, lock: Arc<DirectoryLock>) -> Self {
        Self { connection: Some(connection), options, texts: HashMap::new(), page_limit: None, _lock: lock }
    }

    /// The connection; opened anew when the last one broke.
    pub(super) async fn connection(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        if self.connection.is_none() {
            self.connection = Some(self.options.connect().await?);
            self.apply_page_limit().await?;
        }
        self.connection.as_mut().ok_or(StoreError::Database(sqlx::Error::WorkerCrashed))
    }

    /// Writes all changes in one transaction. When this fails nothing of it is stored.
    pub(crate) async fn write(&mut self, changes: &Changes<'_>) -> Result<(), StoreError> {
        sqlx::query("BEGIN IMMEDIATE").execute(self.connection().await?).await?;
        let result = match self.write_all(changes).await {
            Ok(()) => self.commit().await,
            Err(error) => Err(error),
        };
        if result.is_err() {
            self.roll_back().await;
        }
        result
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        sqlx::query("COMMIT").execute(self.connection().await?).await?;
        Ok(())
    }

    /// Some errors end the transaction by themselves; what cannot be rolled back is dropped with its connection.
    async fn roll_back(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        match sqlx::query("ROLLBACK").execute(&mut connection).await {
            Ok(_) => self.connection = Some(connection),
            Err(error) => {
                let no_transaction =
                    error.as_database_error().is_some_and(|error| error.message().contains("no transaction is active"));
                if no_transaction {
                    self.connection = Some(connection);
                }
            }
        }
    }

    async fn write_all(&mut self, changes: &Changes<'_>) -> Result<(), StoreError> {
        use Cell::{Int, OptInt, OptText, Owned, Text};
        let millis = |at: Option<atta_core::time::UnixMillis>| OptInt(at.map(|at| at.0));

        self.many(&VERSIONS, &changes.versions, |row, cells| {
            cells.extend([
                Text(&row.job_type),
                Text(&row.version),
                OptText(row.semver.as_deref()),
                Text(&row.source),
                Text(&row.warnings),
                Int(row.created_at.0),
            ]);
        })
        .await?;
        self.many(&DEFINITIONS, &changes.definitions, |row, cells| {
            cells.extend([
                Text(&row.job_type),
                Text(&row.latest_version),
                Int(i64::from(row.enabled)),
                OptText(row.degraded.as_deref()),
                millis(row.next_fire_at),
                Int(row.created_at.0),
                Int(row.updated_at.0),
                Owned(json(&row.watches)),
            ]);
        })
        .await?;
        // Before the new ones, which may take a user_key that one of these gives up.
        for row in &changes.jobs {
            let done = sqlx::query(UPDATE_JOB)
                .bind(&row.id.0)
                .bind(row.state.column_name())
                .bind(row.reason.as_deref())
                .bind(row.failure.as_ref().map(|failure| failure.code.as_str()))
                .bind(row.failure.as_ref().map(|failure| failure.message.as_str()))
                .bind(row.description.as_deref())
                .bind(i64::from(row.attempt))
                .bind(row.nonce.as_deref())
                .bind(row.started_at.map(|at| at.0))
                .bind(row.finished_at.map(|at| at.0))
                .bind(row.expires_at.map(|at| at.0))
                .execute(self.connection().await?)
                .await?;
            ensure_rows("update job", 1, done.rows_affected())?;
        }
        self.many(&NEW_JOBS, &changes.new_jobs, |row, cells| {
            cells.extend([
                Text(&row.id.0),
                Text(&row.job_type),
                Text(&row.version),
                Text(row.state.column_name()),
                OptText(row.reason.as_deref()),
                OptText(row.failure.as_ref().map(|failure| failure.code.as_str())),
                OptText(row.failure.as_ref().map(|failure| failure.message.as_str())),
                Int(priority_column(row.priority)),
                OptText(row.user_key.as_deref()),
                Text(&row.params),
                OptText(row.description.as_deref()),
                Text(&row.submitted_by),
                millis(row.tick),
                Int(i64::from(row.attempt)),
                OptText(row.nonce.as_deref()),
                Int(row.created_at.0),
                millis(row.scheduled_at),
                millis(row.started_at),
                millis(row.finished_at),
                OptText(row.origin.parent.as_ref().map(|job| job.0.as_str())),
                OptInt(row.origin.attempt.map(|attempt| i64::from(attempt.0))),
                Int(i64::from(row.origin.forked)),
                Int(i64::from(row.origin.depth)),
                OptText(row.origin.rerun_of.as_ref().map(|job| job.0.as_str())),
                OptText(row.concurrency_key.as_deref()),
                OptText(row.origin.key.as_deref()),
                Int(i64::from(row.description_given)),
                millis(row.expires_at),
            ]);
        })
        .await?;
        for row in &changes.params {
            let done = sqlx::query("UPDATE jobs SET params = $2, created_params = $3 WHERE id = $1")
                .bind(&row.id.0)
                .bind(&row.params)
                .bind(row.created_params.as_deref())
                .execute(self.connection().await?)
                .await?;
            ensure_rows("update params", 1, done.rows_affected())?;
        }
        self.many(&TASKS, &changes.tasks, |(job, row), cells| {
            let result = row.result.map(result_columns);
            cells.extend([
                Text(&job.0),
                Int(i64::from(row.task.0)),
                Text(&row.name),
                Text(row.state.column_name()),
                Int(i64::from(row.visits)),
                Int(i64::from(row.attempts)),
                OptInt(row.last_attempt.map(|number| i64::from(number.0))),
                OptText(result.map(|(name, _)| name)),
                OptInt(result.and_then(|(_, code)| code)),
                OptText(row.failure.as_ref().map(|failure| failure.code.as_str())),
                OptText(row.failure.as_ref().map(|failure| failure.message.as_str())),
                OptText(row.skip_reason.map(ColumnName::column_name)),
                OptText(row.route.as_deref()),
                millis(row.first_started_at),
                millis(row.started_at),
                millis(row.finished_at),
            ]);
        })
        .await?;
        self.many(&ATTEMPTS, &changes.attempts, |(job, row), cells| {
            let result = row.result.map(result_columns);
            cells.extend([
                Text(&job.0),
                Int(i64::from(row.number.0)),
                Int(i64::from(row.task.0)),
                OptInt(row.instance.map(i64::from)),
                OptText(row.item_key.as_deref()),
                Int(i64::from(row.visit)),
                Int(i64::from(row.task_attempt)),
                Int(i64::from(row.job_attempt)),
                Text(row.state.column_name()),
                OptText(row.reason.as_deref()),
                OptInt(row.token.map(u64::cast_signed)),
                OptText(row.ant.as_deref()),
                OptText(row.isolation.as_deref()),
                OptText(result.map(|(name, _)| name)),
                OptInt(result.and_then(|(_, code)| code)),
                OptText(row.failure.as_ref().map(|failure| failure.code.as_str())),
                OptText(row.failure.as_ref().map(|failure| failure.message.as_str())),
                Text(&row.routed_from),
                Text(&row.outputs),
                Text(&row.warnings),
                Int(i64::try_from(row.log_bytes).unwrap_or(i64::MAX)),
                Int(row.created_at.0),
                millis(row.started_at),
                millis(row.finished_at),
            ]);
        })
        .await?;
        for (job, task, from) in &changes.instances_removed {
            sqlx::query("DELETE FROM task_instances WHERE job_id = $1 AND task = $2 AND instance >= $3")
                .bind(&job.0)
                .bind(i64::from(task.0))
                .bind(i64::from(*from))
                .execute(self.connection().await?)
                .await?;
        }
        self.many(&INSTANCES, &changes.instances, |(job, row), cells| {
            let result = row.result.map(result_columns);
            cells.extend([
                Text(&job.0),
                Int(i64::from(row.task.0)),
                Int(i64::from(row.instance)),
                Int(i64::from(row.visit)),
                Text(&row.key),
                Text(row.state.column_name()),
                Int(i64::from(row.attempts)),
                OptInt(row.last_attempt.map(|number| i64::from(number.0))),
                OptText(result.map(|(name, _)| name)),
                OptInt(result.and_then(|(_, code)| code)),
                OptText(row.failure.as_ref().map(|failure| failure.code.as_str())),
                OptText(row.failure.as_ref().map(|failure| failure.message.as_str())),
            ]);
        })
        .await?;
        let files: Vec<_> =
            changes.artifacts.iter().flat_map(|rows| rows.files.iter().map(move |file| (rows, file))).collect();
        self.many(&ARTIFACTS, &files, |(rows, file), cells| {
            cells.extend([
                Text(&rows.job.0),
                Int(i64::from(rows.attempt.0)),
                Text(&file.path),
                Text(&file.digest.0),
                Int(i64::try_from(file.size).unwrap_or(i64::MAX)),
                Int(i64::from(file.executable)),
                OptText(rows.group.as_deref()),
                millis(rows.expires_at),
            ]);
        })
        .await?;
        self.many(&ADOPTED, &changes.adopted, |row, cells| {
            cells.extend([Text(&row.job.0), Int(i64::from(row.task.0)), Text(&row.source_job.0), Text(&row.outputs)]);
        })
        .await?;
        self.many(&EVENTS, &changes.events, |row, cells| {
            cells.extend([
                Int(row.sequence),
                Text(&row.job.0),
                Int(row.stamped.at.0),
                Int(row.stamped.entropy.cast_signed()),
                Owned(json(&row.stamped.event)),
                Text(&row.effects),
            ]);
        })
        .await?;
        let set: Vec<_> = changes.timers.iter().filter_map(|change| Some((change, change.due?))).collect();
        self.many(&SET_TIMERS, &set, |(change, due), cells| {
            cells.extend([Text(&change.job.0), Owned(json(&change.timer)), Int(due.0)]);
        })
        .await?;
        for change in changes.timers.iter().filter(|change| change.due.is_none()) {
            // A timer that was set and cleared in one batch has no row.
            sqlx::query("DELETE FROM timers WHERE job_id = $1 AND timer = $2")
                .bind(&change.job.0)
                .bind(json(&change.timer))
                .execute(self.connection().await?)
                .await?;
        }
        self.many(&IDEMPOTENCY, &changes.idempotency, |row, cells| {
            cells.extend([
                Text(&row.key),
                Text(&row.request_hash),
                Int(i64::from(row.status)),
                Text(&row.response),
                Int(row.created_at.0),
            ]);
        })
        .await?;
        for row in &changes.deliveries {
            self.write_delivery(row).await?;
        }
        for change in &changes.configs {
            self.write_config(change).await?;
        }
        for row in &changes.approvals {
            self.write_approval(row).await?;
        }
        for row in &changes.votes {
            self.write_vote(row).await?;
        }
        for row in &changes.outbox {
            self.write_outbox(row).await?;
        }
        for change in &changes.outcomes {
            self.write_outcome(change).await?;
        }
        if !changes.expiry.is_empty() {
            self.write_expiry(&changes.expiry).await?;
        }
        if let Some(now) = changes.probe {
            self.set_meta("last_probe", &now.0.to_string()).await?;
        }
        Ok(())
    }

    /// Writes `meta` outside of a batch's transaction, or inside when one is open.
    pub(super) async fn set_meta(&mut self, key: &str, value: &str) -> Result<(), StoreError> {
        let done = sqlx::query(
            "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )
        .bind(key)
        .bind(value)
        .execute(self.connection().await?)
        .await?;
        ensure_rows("write meta", 1, done.rows_affected())
    }

    async fn many<T: Copy>(
        &mut self,
        statement: &ManyRows,
        rows: &[T],
        fill: impl for<'a> Fn(&'a T, &mut Vec<Cell<'a>>),
    ) -> Result<(), StoreError> {
        let mut rest = rows;
        while !rest.is_empty() {
            let size = CHUNKS.into_iter().find(|size| *size <= rest.len()).unwrap_or(1);
            let (chunk, others) = rest.split_at(size);
            rest = others;
            let text = self.texts.entry((statement.name, size)).or_insert_with(|| statement.text(size)).clone();
            let mut cells = Vec::with_capacity(size * statement.columns);
            for row in chunk {
                fill(row, &mut cells);
            }
            debug_assert_eq!(cells.len(), size * statement.columns, "{}", statement.name);
            let mut query = sqlx::query(AssertSqlSafe(text));
            for cell in cells {
                query = cell.bind(query);
            }
            let done = query.execute(self.connection().await?).await?;
            ensure_rows(statement.name, size as u64, done.rows_affected())?;
        }
        Ok(())
    }

    /// Bounds the database's size from now on (`None`: no bound), as a full disk would. For tests of that case.
    pub(crate) async fn limit_pages(&mut self, pages: Option<u32>) -> Result<(), StoreError> {
        self.page_limit = pages;
        self.apply_page_limit().await
    }

    async fn apply_page_limit(&mut self) -> Result<(), StoreError> {
        let pages = self.page_limit.unwrap_or(u32::MAX - 1);
        if let Some(connection) = self.connection.as_mut() {
            sqlx::raw_sql(AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"))).execute(connection).await?;
        }
        Ok(())
    }

    /// Closes the connection; the last one folds the write-ahead log into the database.
    pub(crate) async fn close(mut self) -> Result<(), StoreError> {
        if let Some(connection) = self.connection.take() {
            connection.close().await?;
        }
        Ok(())
    }
}

impl ManyRows {
    fn text(&self, rows: usize) -> Arc<str> {
        let mut text = self.head.to_owned();
        for row in 0..rows {
            text.push_str(if row == 0 { "(" } else { ", (" });
            for column in 0..self.columns {
                if column > 0 {
                    text.push_str(", ");
                }
                // Writing to a String cannot fail.
                let _ = write!(text, "${}", row * self.columns + column + 1);
            }
            text.push(')');
        }
        text.push_str(self.tail);
        text.into()
    }
}

impl Cell<'_> {
    fn bind(self, query: Query<'_, Sqlite, SqliteArguments>) -> Query<'_, Sqlite, SqliteArguments> {
        match self {
            Self::Int(value) => query.bind(value),
            Self::OptInt(value) => query.bind(value),
            Self::Text(value) => query.bind(value.to_owned()),
            Self::OptText(value) => query.bind(value.map(str::to_owned)),
            Self::Owned(value) => query.bind(value),
        }
    }
}

pub(super) fn ensure_rows(statement: &'static str, expected: u64, changed: u64) -> Result<(), StoreError> {
    if expected == changed { Ok(()) } else { Err(StoreError::RowsAffected { statement, expected, changed }) }
}

/// JSON of a value of ours, which always has one.
#[expect(clippy::expect_used, reason = "these types have string keys only and no failing serializer")]
pub(crate) fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("serializable")
}
