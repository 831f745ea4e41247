//! What the writer reads again after a restart or a failed write: jobs with their rows and their history.

use std::collections::HashMap;

use atta_core::engine::{
    AttemptNumber, AttemptState, Failure, JobState, SkipReason, Stamped, TaskIndex, TaskState, Timer,
};
use atta_core::protocol::agent::AgentSession;
use atta_core::protocol::ant::ArtifactFile;
use atta_core::protocol::{AntId, Digest, JobId};
use atta_core::time::UnixMillis;

use super::sql::{AssertSqlSafe, Row, query};
use super::{
    ArtifactRows, AttemptRow, ColumnName, JobOrigin, JobRow, StoreError, StoreWriter, TaskRow, priority_from_column,
    result_from_columns, unsigned,
};

/// A job with everything that is needed to go on with it.
#[derive(Debug)]
pub(crate) struct StoredJob {
    pub(crate) row: JobRow,
    pub(crate) tasks: Vec<TaskRow>,
    pub(crate) attempts: Vec<AttemptRow>,
    pub(crate) artifacts: Vec<ArtifactRows>,
    /// The sessions that its agents had.
    pub(crate) sessions: Vec<(AttemptNumber, AgentSession)>,
    /// What its agents may use or have used.
    pub(crate) spend: Vec<super::SpendRow>,
    /// Its budget, once it is known.
    pub(crate) budget: Option<atta_core::budget::Caps>,
    /// Outputs of tasks that it took over.
    pub(crate) adopted: Vec<(TaskIndex, String)>,
    pub(crate) events: Vec<Stamped>,
    pub(crate) timers: Vec<(Timer, UnixMillis)>,
    /// Why something of it cannot be read. The others can be read all the same.
    pub(crate) broken: Option<String>,
}

impl StoredJob {
    fn new(row: JobRow) -> Self {
        Self {
            row,
            tasks: Vec::new(),
            attempts: Vec::new(),
            artifacts: Vec::new(),
            sessions: Vec::new(),
            spend: Vec::new(),
            budget: None,
            adopted: Vec::new(),
            events: Vec::new(),
            timers: Vec::new(),
            broken: None,
        }
    }

    /// Takes a row of something of the job, or takes note that it cannot be read.
    fn take<T>(&mut self, read: Result<T, StoreError>, put: impl FnOnce(&mut Self, T)) {
        match read {
            Ok(value) => put(self, value),
            Err(error) => {
                self.broken.get_or_insert_with(|| error.to_string());
            }
        }
    }
}

/// Which jobs to load. The text is part of statements, so that each is prepared once.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Which<'a> {
    /// All that are not terminal.
    Live,
    /// One.
    Job(&'a JobId),
}

impl Which<'_> {
    fn condition(self, column: &str) -> String {
        match self {
            // Must be spelt like the partial index `jobs_live`, or it is not used.
            Self::Live => format!(
                "{column} IN (SELECT id FROM jobs WHERE state NOT IN ('COMPLETED','FAILED','BLOCKED','CANCELLED','SKIPPED'))"
            ),
            Self::Job(_) => format!("{column} = $1"),
        }
    }
}

fn failure(row: &Row, code: &str, message: &str) -> Result<Option<Failure>, StoreError> {
    let code: Option<String> = row.try_get(code)?;
    let message: Option<String> = row.try_get(message)?;
    Ok(code.map(|code| Failure { code, message: message.unwrap_or_default() }))
}

fn instant(row: &Row, column: &str) -> Result<Option<UnixMillis>, StoreError> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(UnixMillis))
}

pub(super) fn job_row(row: &Row) -> Result<JobRow, StoreError> {
    Ok(JobRow {
        id: JobId(row.try_get("id")?),
        job_type: row.try_get("job_type")?,
        version: row.try_get("version")?,
        state: JobState::from_column("jobs", "state", row.try_get("state")?)?,
        reason: row.try_get("reason")?,
        failure: failure(row, "error_code", "error_message")?,
        priority: priority_from_column(row.try_get("priority")?)?,
        user_key: row.try_get("user_key")?,
        params: row.try_get("params")?,
        description: row.try_get("description")?,
        description_given: row.try_get("description_given")?,
        submitted_by: row.try_get("submitted_by")?,
        tick: instant(row, "tick")?,
        attempt: unsigned("jobs", "attempt", row.try_get("attempt")?)?,
        nonce: row.try_get("nonce")?,
        created_at: UnixMillis(row.try_get("created_at")?),
        scheduled_at: instant(row, "scheduled_at")?,
        started_at: instant(row, "started_at")?,
        finished_at: instant(row, "finished_at")?,
        origin: job_origin(row)?,
        concurrency_key: row.try_get("concurrency_key")?,
        created_params: row.try_get("created_params")?,
        expires_at: instant(row, "expires_at")?,
    })
}

fn job_origin(row: &Row) -> Result<JobOrigin, StoreError> {
    let attempt: Option<i64> = row.try_get("parent_attempt")?;
    Ok(JobOrigin {
        parent: row.try_get::<Option<String>, _>("parent_job")?.map(JobId),
        attempt: attempt.map(|number| unsigned("jobs", "parent_attempt", number).map(AttemptNumber)).transpose()?,
        key: row.try_get("origin_key")?,
        forked: row.try_get("forked")?,
        depth: unsigned("jobs", "depth", row.try_get("depth")?)?,
        rerun_of: row.try_get::<Option<String>, _>("rerun_of")?.map(JobId),
    })
}

fn task_row(row: &Row) -> Result<TaskRow, StoreError> {
    let result: Option<&str> = row.try_get("result")?;
    let exit_code: Option<i64> = row.try_get("exit_code")?;
    let last_attempt: Option<i64> = row.try_get("last_attempt")?;
    Ok(TaskRow {
        task: TaskIndex(unsigned("tasks", "task", row.try_get("task")?)?),
        name: row.try_get("name")?,
        state: TaskState::from_column("tasks", "state", row.try_get("state")?)?,
        visits: unsigned("tasks", "visits", row.try_get("visits")?)?,
        attempts: unsigned("tasks", "attempts", row.try_get("attempts")?)?,
        last_attempt: last_attempt.map(|n| unsigned("tasks", "last_attempt", n).map(AttemptNumber)).transpose()?,
        result: result.map(|result| result_from_columns("tasks", result, exit_code)).transpose()?,
        failure: failure(row, "error_code", "error_message")?,
        skip_reason: row
            .try_get::<Option<&str>, _>("skip_reason")?
            .map(|name| SkipReason::from_column("tasks", "skip_reason", name))
            .transpose()?,
        route: row.try_get("route")?,
        first_started_at: instant(row, "first_started_at")?,
        started_at: instant(row, "started_at")?,
        finished_at: instant(row, "finished_at")?,
    })
}

fn attempt_row(row: &Row) -> Result<AttemptRow, StoreError> {
    let result: Option<&str> = row.try_get("result")?;
    let exit_code: Option<i64> = row.try_get("exit_code")?;
    Ok(AttemptRow {
        number: AttemptNumber(unsigned("attempts", "number", row.try_get("number")?)?),
        task: TaskIndex(unsigned("attempts", "task", row.try_get("task")?)?),
        visit: unsigned("attempts", "visit", row.try_get("visit")?)?,
        task_attempt: unsigned("attempts", "task_attempt", row.try_get("task_attempt")?)?,
        job_attempt: unsigned("attempts", "job_attempt", row.try_get("job_attempt")?)?,
        state: AttemptState::from_column("attempts", "state", row.try_get("state")?)?,
        instance: row
            .try_get::<Option<i64>, _>("instance")?
            .map(|instance| unsigned("attempts", "instance", instance))
            .transpose()?,
        item_key: row.try_get("item_key")?,
        reason: row.try_get("reason")?,
        token: row.try_get::<Option<i64>, _>("token")?.map(i64::cast_unsigned),
        ant: row.try_get("ant")?,
        isolation: row.try_get("isolation")?,
        result: result.map(|result| result_from_columns("attempts", result, exit_code)).transpose()?,
        failure: failure(row, "error_code", "error_message")?,
        routed_from: row.try_get("routed_from")?,
        outputs: row.try_get("outputs")?,
        warnings: row.try_get("warnings")?,
        log_bytes: unsigned("attempts", "log_bytes", row.try_get("log_bytes")?)?,
        created_at: UnixMillis(row.try_get("created_at")?),
        started_at: instant(row, "started_at")?,
        finished_at: instant(row, "finished_at")?,
    })
}

fn artifact_row(row: &Row) -> Result<(AttemptNumber, ArtifactFile), StoreError> {
    let attempt = AttemptNumber(unsigned("artifacts", "attempt", row.try_get("attempt")?)?);
    let file = ArtifactFile {
        path: row.try_get("path")?,
        digest: Digest(row.try_get("digest")?),
        size: unsigned("artifacts", "size", row.try_get("size")?)?,
        executable: row.try_get("executable")?,
    };
    Ok((attempt, file))
}

fn adopted_row(row: &Row) -> Result<(TaskIndex, String), StoreError> {
    Ok((TaskIndex(unsigned("adopted_tasks", "task", row.try_get("task")?)?), row.try_get("outputs")?))
}

fn timer_row(row: &Row) -> Result<(Timer, UnixMillis), StoreError> {
    Ok((from_json("timers", "timer", row.try_get("timer")?)?, UnixMillis(row.try_get("due_at")?)))
}

fn event_row(row: &Row) -> Result<Stamped, StoreError> {
    Ok(Stamped {
        at: UnixMillis(row.try_get("at")?),
        entropy: row.try_get::<i64, _>("entropy")?.cast_unsigned(),
        event: from_json("events", "event", row.try_get("event")?)?,
    })
}

pub(super) fn from_json<T: serde::de::DeserializeOwned>(
    table: &'static str,
    column: &'static str,
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Value { table, column, value: format!("{text} ({error})") })
}

impl StoreWriter {
    async fn select(&mut self, text: String, which: Which<'_>) -> Result<Vec<Row>, StoreError> {
        let mut query = query(AssertSqlSafe(text));
        if let Which::Job(job) = which {
            query = query.bind(job.0.clone());
        }
        Ok(query.fetch_all(self.connection().await?).await?)
    }

    /// Jobs with their rows and history, in order of creation.
    pub(crate) async fn load_jobs(&mut self, which: Which<'_>) -> Result<Vec<StoredJob>, StoreError> {
        let rows =
            self.select(format!("SELECT * FROM jobs WHERE {} ORDER BY id", which.condition("id")), which).await?;
        let mut jobs = Vec::with_capacity(rows.len());
        let mut position = HashMap::with_capacity(rows.len());
        for row in rows {
            let row = job_row(&row)?;
            position.insert(row.id.0.clone(), jobs.len());
            jobs.push(StoredJob::new(row));
        }
        if jobs.is_empty() {
            return Ok(jobs);
        }
        let condition = which.condition("job_id");
        let find = |row: &Row| -> Result<Option<usize>, StoreError> {
            Ok(position.get(row.try_get::<&str, _>("job_id")?).copied())
        };
        for row in self.select(format!("SELECT * FROM tasks WHERE {condition} ORDER BY job_id, task"), which).await? {
            if let Some(at) = find(&row)? {
                jobs[at].take(task_row(&row), |job, row| job.tasks.push(row));
            }
        }
        let text = format!("SELECT * FROM attempts WHERE {condition} ORDER BY job_id, number");
        for row in self.select(text, which).await? {
            if let Some(at) = find(&row)? {
                jobs[at].take(attempt_row(&row), |job, row| job.attempts.push(row));
            }
        }
        let text = format!("SELECT * FROM artifacts WHERE {condition} ORDER BY job_id, attempt, path");
        for row in self.select(text, which).await? {
            let Some(at) = find(&row)? else { continue };
            jobs[at].take(artifact_row(&row), |job, (attempt, file)| match job.artifacts.last_mut() {
                Some(last) if last.attempt == attempt => last.files.push(file),
                _ => {
                    let id = job.row.id.clone();
                    job.artifacts.push(ArtifactRows {
                        job: id,
                        attempt,
                        files: vec![file],
                        group: None,
                        expires_at: None,
                    });
                }
            });
        }
        let text = format!(
            "SELECT job_id, attempt, session_cli, session_id FROM agent_attempts WHERE session_id IS NOT NULL AND {condition}"
        );
        for row in self.select(text, which).await? {
            if let Some(at) = find(&row)? {
                jobs[at].take(super::agents::session_row(&row), |job, row| job.sessions.push(row));
            }
        }
        for row in self.select(format!("SELECT * FROM agent_spend WHERE {condition}"), which).await? {
            if let Some(at) = find(&row)? {
                jobs[at].take(super::spend::spend_row(&row), |job, row| job.spend.push(row));
            }
        }
        for row in self.select(format!("SELECT * FROM job_budgets WHERE {condition}"), which).await? {
            if let Some(at) = find(&row)? {
                jobs[at].take(super::spend::budget_row(&row), |job, caps| job.budget = Some(caps));
            }
        }
        let text = format!("SELECT job_id, task, outputs FROM adopted_tasks WHERE {condition}");
        for row in self.select(text, which).await? {
            if let Some(at) = find(&row)? {
                jobs[at].take(adopted_row(&row), |job, row| job.adopted.push(row));
            }
        }
        let text = format!("SELECT job_id, timer, due_at FROM timers WHERE {condition}");
        for row in self.select(text, which).await? {
            if let Some(at) = find(&row)? {
                jobs[at].take(timer_row(&row), |job, row| job.timers.push(row));
            }
        }
        let text = format!("SELECT job_id, at, entropy, event FROM events WHERE {condition} ORDER BY job_id, sequence");
        for row in self.select(text, which).await? {
            if let Some(at) = find(&row)? {
                jobs[at].take(event_row(&row), |job, row| job.events.push(row));
            }
        }
        Ok(jobs)
    }

    /// How many jobs there are of each definition in each state.
    pub(crate) async fn count_jobs(&mut self) -> Result<Vec<(String, JobState, u64)>, StoreError> {
        let rows = query("SELECT job_type, state, count(*) FROM jobs GROUP BY job_type, state")
            .fetch_all(self.connection().await?)
            .await?;
        rows.iter()
            .map(|row| {
                Ok((
                    row.try_get(0)?,
                    JobState::from_column("jobs", "state", row.try_get(1)?)?,
                    unsigned("jobs", "count", row.try_get(2)?)?,
                ))
            })
            .collect()
    }

    /// The sequence of the newest event; 0 when there is none.
    pub(crate) async fn latest_sequence(&mut self) -> Result<i64, StoreError> {
        let row = query("SELECT coalesce(max(sequence), 0) FROM events").fetch_one(self.connection().await?).await?;
        Ok(row.try_get(0)?)
    }

    /// The last token of an attempt, if there is such an attempt with one.
    pub(crate) async fn attempt_lease(
        &mut self,
        job: &JobId,
        number: AttemptNumber,
    ) -> Result<Option<(AntId, u64)>, StoreError> {
        let row = query("SELECT ant, token FROM attempts WHERE job_id = $1 AND number = $2")
            .bind(&job.0)
            .bind(i64::from(number.0))
            .fetch_optional(self.connection().await?)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let (ant, token): (Option<String>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
        Ok(ant.zip(token).map(|(ant, token)| (AntId(ant), token.cast_unsigned())))
    }

    /// Whether there is such a job, and its state.
    pub(crate) async fn job_state(&mut self, job: &JobId) -> Result<Option<JobState>, StoreError> {
        let row =
            query("SELECT state FROM jobs WHERE id = $1").bind(&job.0).fetch_optional(self.connection().await?).await?;
        row.map(|row| JobState::from_column("jobs", "state", row.try_get(0)?)).transpose()
    }

    /// The job that the tick of a schedule made.
    pub(crate) async fn tick_exists(&mut self, job_type: &str, tick: UnixMillis) -> Result<bool, StoreError> {
        let row = query("SELECT 1 FROM jobs WHERE job_type = $1 AND tick = $2")
            .bind(job_type)
            .bind(tick.0)
            .fetch_optional(self.connection().await?)
            .await?;
        Ok(row.is_some())
    }
}
