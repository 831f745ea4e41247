//! Writing: everything that a batch changed, in one short transaction, with few statements.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use atta_core::engine::JobState;
use atta_core::time::UnixMillis;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

#[cfg(feature = "simulation")]
use crate::simulation;

use super::claim::Claim;
use super::lock::DirectoryLock;
use super::sql::{AssertSqlSafe, Connection, Query, Source, Value, query};
use super::{Changes, ColumnName, StoreError, priority_column, result_columns};

/// Rows per statement. A few fixed sizes, so that every statement is prepared once.
const CHUNKS: [usize; 4] = [64, 16, 4, 1];

/// How long a database that could not be reached is left alone, the first time and at most.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_millis(900);
/// How long and how often to look whether a batch is stored whose storing was interrupted.
const LOOK_FOR: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(250);
const LOST: &str = "the database has lost what it had stored, as after a fail-over to a replica that was behind: all of it \
    is read again";

/// The one connection that writes.
#[derive(Debug)]
pub(crate) struct StoreWriter {
    connection: Option<Connection>,
    source: Source,
    texts: HashMap<(&'static str, usize), Arc<str>>,
    claim: Option<Claim>,
    /// Of what was stored, something is not there any more: whoever remembers it has to read it again.
    lost: bool,
    reopening: Reopening,
    _lock: DirectoryLock,
}

/// How long to leave a database alone that could not be reached.
#[derive(Debug, Default)]
struct Reopening {
    failures: u32,
    not_before: Option<Instant>,
    last: String,
}

impl Reopening {
    fn may_try(&self) -> Result<(), StoreError> {
        match self.not_before {
            Some(at) if at > Instant::now() => Err(StoreError::Unreachable(self.last.clone())),
            _ => Ok(()),
        }
    }

    fn failed(&mut self, error: StoreError) -> StoreError {
        let wait = SHORTEST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        metrics::counter!("atta_retries_total", "dependency" => "database").increment(1);
        self.not_before = Some(Instant::now() + wait);
        if let StoreError::Unreachable(detail) = &error {
            self.last.clone_from(detail);
        } else {
            self.last = error.to_string();
        }
        error
    }
}

/// What can happen to the right to write.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    /// Another server has taken over.
    pub(crate) overtaken: CancellationToken,
    /// The database may be away.
    pub(crate) uneasy: Arc<Notify>,
}

/// A statement that inserts (or replaces) any number of rows.
struct ManyRows {
    name: &'static str,
    head: &'static str,
    columns: usize,
    tail: &'static str,
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

/// The same for those that wait: one decision may concern thousands of them.
const WAITING_JOBS: ManyRows = ManyRows {
    name: "update jobs that wait",
    head: "UPDATE jobs SET state = new.column2, reason = new.column3, error_code = new.column4,
        error_message = new.column5, description = new.column6, attempt = new.column7, nonce = new.column8,
        started_at = new.column9, finished_at = new.column10, expires_at = new.column11 FROM (VALUES ",
    columns: 11,
    tail: ") AS new WHERE jobs.id = new.column1",
};

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

const COMMANDS: ManyRows = ManyRows {
    name: "write commands",
    head: "INSERT INTO attempt_commands (job_id, attempt, command) VALUES ",
    columns: 3,
    tail: " ON CONFLICT (job_id, attempt) DO UPDATE SET command = excluded.command",
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
    pub(super) fn new(connection: Connection, source: Source, lock: DirectoryLock, claim: Option<Claim>) -> Self {
        let texts = HashMap::new();
        let reopening = Reopening::default();
        Self { connection: Some(connection), source, claim, lost: false, texts, reopening, _lock: lock }
    }

    /// The connection; opened anew when the last one broke.
    pub(super) async fn connection(&mut self) -> Result<&mut Connection, StoreError> {
        if self.connection.as_ref().is_some_and(Connection::is_broken) {
            tracing::warn!("the connection to the database is lost");
            self.connection = None;
        }
        if self.connection.is_none() {
            self.reopening.may_try()?;
            match self.open_again().await {
                Ok(connection) => self.connection = Some(connection),
                Err(error) => return Err(self.reopening.failed(error)),
            }
            self.reopening = Reopening::default();
        }
        self.connection.as_mut().ok_or(StoreError::Database(sqlx::Error::WorkerCrashed))
    }

    async fn open_again(&mut self) -> Result<Connection, StoreError> {
        if self.is_overtaken() {
            return Err(StoreError::TakenOver);
        }
        let mut connection = self.source.connect().await?;
        if let Some(claim) = &mut self.claim
            && !claim.renew(&mut connection).await?
        {
            tracing::error!("{LOST}");
            self.lost = true;
        }
        Ok(connection)
    }

    /// What was stored is read again now.
    pub(crate) async fn read_again(&mut self) -> Result<(), StoreError> {
        self.connection().await?;
        self.lost = false;
        Ok(())
    }

    /// That what is remembered is what is stored.
    fn check_memory(&self) -> Result<(), StoreError> {
        if self.lost { Err(StoreError::Refused(LOST.to_owned())) } else { Ok(()) }
    }

    /// The right to write, where it can be lost.
    pub(super) fn claim(&self) -> Option<&Claim> {
        self.claim.as_ref()
    }

    /// What happens to the right to write, where it can be lost.
    pub(crate) fn watch(&self) -> Option<Watch> {
        let claim = self.claim.as_ref()?;
        Some(Watch { overtaken: claim.overtaken().clone(), uneasy: Arc::clone(claim.uneasy()) })
    }

    /// Whether another server has taken over.
    pub(crate) fn is_overtaken(&self) -> bool {
        self.claim.as_ref().is_some_and(|claim| claim.overtaken().is_cancelled())
    }

    /// Looks whether the connection is there, and gets another one if it is not. An error too when that leads to a database
    /// that has lost something.
    pub(crate) async fn reassure(&mut self) -> Result<(), StoreError> {
        let asked = query("SELECT count(*) FROM meta").fetch_one(self.connection().await?).await;
        match asked.map_err(StoreError::from) {
            Err(error) if error.is_unreachable() => {
                self.connection().await?;
            }
            other => {
                other?;
            }
        }
        self.check_memory()
    }

    /// Writes all changes in one transaction. When this fails nothing of it is stored; only when the database stays away
    /// after the connection was lost in the very moment of storing nobody knows, until it is back.
    pub(crate) async fn write(&mut self, changes: &Changes<'_>) -> Result<(), StoreError> {
        let result = match self.begin().await {
            Ok(()) => self.write_all(changes).await,
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            self.roll_back().await;
            return Err(error);
        }
        #[cfg(feature = "simulation")]
        simulation::pass(simulation::Point::BeforeCommit).await;
        let result = self.connection().await?.commit().await.map_err(StoreError::from);
        #[cfg(feature = "simulation")]
        self.after_commit(changes).await?;
        match result {
            Err(error) if error.is_unreachable() && self.claim.is_some() => self.look_whether_stored(error).await,
            Err(error) => {
                self.roll_back().await;
                Err(error)
            }
            Ok(()) => {
                if let Some(claim) = &mut self.claim {
                    claim.confirm();
                }
                Ok(())
            }
        }
    }

    #[cfg(feature = "simulation")]
    async fn after_commit(&mut self, changes: &Changes<'_>) -> Result<(), StoreError> {
        simulation::pass(simulation::Point::AfterCommit).await;
        if simulation::is_sabotaged(simulation::Sabotage::Transactions) {
            self.begin().await?;
            self.write_events(changes).await?;
            self.connection().await?.commit().await?;
        }
        Ok(())
    }

    pub(super) async fn begin(&mut self) -> Result<(), StoreError> {
        self.connection().await?;
        self.check_memory()?;
        self.connection().await?.begin().await?;
        if let (Some(connection), Some(claim)) = (&mut self.connection, &mut self.claim) {
            claim.enter(connection).await?;
        }
        Ok(())
    }

    /// The connection was lost while the database was to store a batch.
    async fn look_whether_stored(&mut self, error: StoreError) -> Result<(), StoreError> {
        self.connection = None;
        let give_up = Instant::now() + LOOK_FOR;
        while Instant::now() < give_up {
            if let Err(StoreError::TakenOver) = self.connection().await {
                return Err(StoreError::TakenOver);
            }
            if let (Some(connection), Some(claim)) = (&mut self.connection, &mut self.claim)
                && let Ok(stored) = claim.has_stored(connection).await
            {
                if !stored {
                    return Err(error);
                }
                claim.confirm();
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(error)
    }

    /// What cannot be rolled back is dropped with its connection.
    pub(super) async fn roll_back(&mut self) {
        if let Some(mut connection) = self.connection.take()
            && !connection.is_broken()
            && connection.roll_back().await
        {
            self.connection = Some(connection);
        }
    }

    async fn write_events(&mut self, changes: &Changes<'_>) -> Result<(), StoreError> {
        self.many(&EVENTS, &changes.events, |row, cells| {
            cells.extend([
                row.sequence.into(),
                (&row.job.0).into(),
                row.stamped.at.0.into(),
                row.stamped.entropy.cast_signed().into(),
                json(&row.stamped.event).into(),
                (&row.effects).into(),
            ]);
        })
        .await
    }

    async fn write_all(&mut self, changes: &Changes<'_>) -> Result<(), StoreError> {
        let millis = |at: Option<UnixMillis>| Value::Int(at.map(|at| at.0));

        self.many(&VERSIONS, &changes.versions, |row, cells| {
            cells.extend([
                (&row.job_type).into(),
                (&row.version).into(),
                row.semver.as_deref().into(),
                (&row.source).into(),
                (&row.warnings).into(),
                row.created_at.0.into(),
            ]);
        })
        .await?;
        for row in &changes.labels {
            self.write_labels(row).await?;
        }
        self.many(&DEFINITIONS, &changes.definitions, |row, cells| {
            cells.extend([
                (&row.job_type).into(),
                (&row.latest_version).into(),
                row.enabled.into(),
                row.degraded.as_deref().into(),
                millis(row.next_fire_at),
                row.created_at.0.into(),
                row.updated_at.0.into(),
                json(&row.watches).into(),
            ]);
        })
        .await?;
        for (job, at) in &changes.abandoned {
            self.write_abandoned(job, *at).await?;
        }
        // Before the new ones, which may take a user_key that one of these gives up.
        let (waiting, others): (Vec<_>, Vec<_>) =
            changes.jobs.iter().copied().partition(|row| row.state == JobState::Pending);
        for row in others {
            let done = query(UPDATE_JOB)
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
        self.many(&WAITING_JOBS, &waiting, |row, cells| {
            cells.extend([
                (&row.id.0).into(),
                row.state.column_name().into(),
                row.reason.as_deref().into(),
                row.failure.as_ref().map(|failure| failure.code.as_str()).into(),
                row.failure.as_ref().map(|failure| failure.message.as_str()).into(),
                row.description.as_deref().into(),
                i64::from(row.attempt).into(),
                row.nonce.as_deref().into(),
                millis(row.started_at),
                millis(row.finished_at),
                millis(row.expires_at),
            ]);
        })
        .await?;
        self.many(&NEW_JOBS, &changes.new_jobs, |row, cells| {
            cells.extend([
                (&row.id.0).into(),
                (&row.job_type).into(),
                (&row.version).into(),
                row.state.column_name().into(),
                row.reason.as_deref().into(),
                row.failure.as_ref().map(|failure| failure.code.as_str()).into(),
                row.failure.as_ref().map(|failure| failure.message.as_str()).into(),
                priority_column(row.priority).into(),
                row.user_key.as_deref().into(),
                (&row.params).into(),
                row.description.as_deref().into(),
                (&row.submitted_by).into(),
                millis(row.tick),
                row.attempt.into(),
                row.nonce.as_deref().into(),
                row.created_at.0.into(),
                millis(row.scheduled_at),
                millis(row.started_at),
                millis(row.finished_at),
                row.origin.parent.as_ref().map(|job| job.0.as_str()).into(),
                row.origin.attempt.map(|attempt| i64::from(attempt.0)).into(),
                row.origin.forked.into(),
                row.origin.depth.into(),
                row.origin.rerun_of.as_ref().map(|job| job.0.as_str()).into(),
                row.concurrency_key.as_deref().into(),
                row.origin.key.as_deref().into(),
                row.description_given.into(),
                millis(row.expires_at),
            ]);
        })
        .await?;
        for row in &changes.params {
            let done = query("UPDATE jobs SET params = $2, created_params = $3 WHERE id = $1")
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
                (&job.0).into(),
                row.task.0.into(),
                (&row.name).into(),
                row.state.column_name().into(),
                row.visits.into(),
                row.attempts.into(),
                row.last_attempt.map(|number| i64::from(number.0)).into(),
                result.map(|(name, _)| name).into(),
                result.and_then(|(_, code)| code).into(),
                row.failure.as_ref().map(|failure| failure.code.as_str()).into(),
                row.failure.as_ref().map(|failure| failure.message.as_str()).into(),
                row.skip_reason.map(ColumnName::column_name).into(),
                row.route.as_deref().into(),
                millis(row.first_started_at),
                millis(row.started_at),
                millis(row.finished_at),
            ]);
        })
        .await?;
        self.many(&ATTEMPTS, &changes.attempts, |(job, row), cells| {
            let result = row.result.map(result_columns);
            cells.extend([
                (&job.0).into(),
                row.number.0.into(),
                row.task.0.into(),
                row.instance.map(i64::from).into(),
                row.item_key.as_deref().into(),
                row.visit.into(),
                row.task_attempt.into(),
                row.job_attempt.into(),
                row.state.column_name().into(),
                row.reason.as_deref().into(),
                row.token.map(u64::cast_signed).into(),
                row.ant.as_deref().into(),
                row.isolation.as_deref().into(),
                result.map(|(name, _)| name).into(),
                result.and_then(|(_, code)| code).into(),
                row.failure.as_ref().map(|failure| failure.code.as_str()).into(),
                row.failure.as_ref().map(|failure| failure.message.as_str()).into(),
                (&row.routed_from).into(),
                (&row.outputs).into(),
                (&row.warnings).into(),
                i64::try_from(row.log_bytes).unwrap_or(i64::MAX).into(),
                row.created_at.0.into(),
                millis(row.started_at),
                millis(row.finished_at),
            ]);
        })
        .await?;
        self.many(&COMMANDS, &changes.commands, |row, cells| {
            cells.extend([(&row.job.0).into(), row.attempt.0.into(), (&row.command).into()]);
        })
        .await?;
        for (job, task, from) in &changes.instances_removed {
            query("DELETE FROM task_instances WHERE job_id = $1 AND task = $2 AND instance >= $3")
                .bind(&job.0)
                .bind(task.0)
                .bind(*from)
                .execute(self.connection().await?)
                .await?;
        }
        self.many(&INSTANCES, &changes.instances, |(job, row), cells| {
            let result = row.result.map(result_columns);
            cells.extend([
                (&job.0).into(),
                row.task.0.into(),
                row.instance.into(),
                row.visit.into(),
                (&row.key).into(),
                row.state.column_name().into(),
                row.attempts.into(),
                row.last_attempt.map(|number| i64::from(number.0)).into(),
                result.map(|(name, _)| name).into(),
                result.and_then(|(_, code)| code).into(),
                row.failure.as_ref().map(|failure| failure.code.as_str()).into(),
                row.failure.as_ref().map(|failure| failure.message.as_str()).into(),
            ]);
        })
        .await?;
        let files: Vec<_> =
            changes.artifacts.iter().flat_map(|rows| rows.files.iter().map(move |file| (rows, file))).collect();
        self.many(&ARTIFACTS, &files, |(rows, file), cells| {
            cells.extend([
                (&rows.job.0).into(),
                rows.attempt.0.into(),
                (&file.path).into(),
                (&file.digest.0).into(),
                i64::try_from(file.size).unwrap_or(i64::MAX).into(),
                file.executable.into(),
                rows.group.as_deref().into(),
                millis(rows.expires_at),
            ]);
        })
        .await?;
        self.write_agents(&changes.agents).await?;
        for change in &changes.achieved {
            self.write_achieved(change).await?;
        }
        self.write_spending(changes).await?;
        self.many(&ADOPTED, &changes.adopted, |row, cells| {
            cells.extend([(&row.job.0).into(), row.task.0.into(), (&row.source_job.0).into(), (&row.outputs).into()]);
        })
        .await?;
        #[cfg(feature = "simulation")]
        let apart = simulation::is_sabotaged(simulation::Sabotage::Transactions);
        #[cfg(not(feature = "simulation"))]
        let apart = false;
        if !apart {
            self.write_events(changes).await?;
        }
        let set: Vec<_> = changes.timers.iter().filter_map(|change| Some((change, change.due?))).collect();
        self.many(&SET_TIMERS, &set, |(change, due), cells| {
            cells.extend([(&change.job.0).into(), json(&change.timer).into(), due.0.into()]);
        })
        .await?;
        for change in changes.timers.iter().filter(|change| change.due.is_none()) {
            // A timer that was set and cleared in one batch has no row.
            query("DELETE FROM timers WHERE job_id = $1 AND timer = $2")
                .bind(&change.job.0)
                .bind(json(&change.timer))
                .execute(self.connection().await?)
                .await?;
        }
        self.many(&IDEMPOTENCY, &changes.idempotency, |row, cells| {
            cells.extend([
                (&row.key).into(),
                (&row.request_hash).into(),
                row.status.into(),
                (&row.response).into(),
                row.created_at.0.into(),
            ]);
        })
        .await?;
        for row in &changes.ants {
            self.write_ant(row).await?;
        }
        for id in &changes.ants_removed {
            self.remove_ant(id).await?;
        }
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
        for row in &changes.tokens {
            self.write_token(row).await?;
        }
        for row in &changes.audit {
            self.write_audit(row).await?;
        }
        if !changes.expiry.is_empty() {
            self.write_expiry(&changes.expiry).await?;
        }
        if changes.restored_done {
            self.forget_restored().await?;
        }
        if let Some(now) = changes.probe {
            self.set_meta("last_probe", &now.0.to_string()).await?;
        }
        Ok(())
    }

    /// Writes `meta` outside of a batch's transaction, or inside when one is open.
    pub(super) async fn set_meta(&mut self, key: &str, value: &str) -> Result<(), StoreError> {
        let done = query(
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
        fill: impl for<'a> Fn(&'a T, &mut Vec<Value<'a>>),
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
            let done = Query::with(AssertSqlSafe(text), cells).execute(self.connection().await?).await?;
            ensure_rows(statement.name, size as u64, done.rows_affected())?;
        }
        Ok(())
    }

    /// Bounds the database's size from now on (`None`: no bound), as a full disk would. For tests of that case.
    pub(crate) async fn limit_pages(&mut self, pages: Option<u32>) -> Result<(), StoreError> {
        Ok(self.source.limit_pages(pages, self.connection.as_mut()).await?)
    }

    /// Closes the connection; the last one folds the write-ahead log into the database.
    pub(crate) async fn close(mut self) -> Result<(), StoreError> {
        if let Some(claim) = &self.claim {
            claim.stop();
        }
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

pub(super) fn ensure_rows(statement: &'static str, expected: u64, changed: u64) -> Result<(), StoreError> {
    if expected == changed { Ok(()) } else { Err(StoreError::RowsAffected { statement, expected, changed }) }
}

/// JSON of a value of ours, which always has one.
#[expect(clippy::expect_used, reason = "these types have string keys only and no failing serializer")]
pub(crate) fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("serializable")
}
