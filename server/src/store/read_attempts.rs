//! Attempts of a job as resources.

use std::collections::HashMap;

use atta_core::engine::{AttemptState, Failure};
use atta_core::protocol::JobId;
use atta_core::protocol::agent::AgentRecord;
use atta_core::protocol::api::{ArtifactResource, AttemptResource, JobAttemptResource};

use super::read_model::{HistoryOrder, Reads, instant, json, maybe_instant};
use super::sql::{Builder, Row, Transaction};
use super::{ColumnName, StoreError, unsigned};
use atta_core::protocol::Digest;

/// The columns that [`attempt`] reads.
const COLUMNS: &str = "SELECT a.task, a.number, a.job_attempt, a.visit, a.task_attempt, a.state, a.result, a.exit_code, a.error_code,
    a.error_message, a.routed_from, a.ant, a.isolation, a.created_at, a.started_at, a.finished_at, a.outputs, a.warnings,
    a.log_bytes, a.instance, a.item_key, a.reason,
    (SELECT g.record FROM agent_attempts g WHERE g.job_id = a.job_id AND g.attempt = a.number)";

/// The columns that [`files`] reads.
const FILES: &str =
    "SELECT attempt, path, size, digest, group_name, expires_at, expired_at FROM artifacts WHERE job_id = ";

/// Artifacts by attempt.
type Files = HashMap<u32, Vec<ArtifactResource>>;

pub(super) fn failure(code: Option<String>, message: Option<String>) -> Option<Failure> {
    code.map(|code| Failure { message: message.unwrap_or_else(|| code.clone()), code })
}

pub(super) fn exit_code(table: &'static str, code: Option<i64>) -> Result<Option<u16>, StoreError> {
    code.map(|code| unsigned(table, "exit_code", code)).transpose()
}

/// From `path, size, digest, group_name, expires_at, expired_at`, which come after a first column of another kind.
pub(super) fn artifact(row: &Row) -> Result<ArtifactResource, StoreError> {
    Ok(ArtifactResource {
        name: row.try_get(1)?,
        size: unsigned("artifacts", "size", row.try_get(2)?)?,
        digest: Digest(row.try_get(3)?),
        group: row.try_get(4)?,
        expires_at: maybe_instant(row.try_get(5)?),
        expired_at: maybe_instant(row.try_get(6)?),
    })
}

fn files(rows: &[Row]) -> Result<Files, StoreError> {
    let mut files = Files::new();
    for row in rows {
        let attempt = unsigned("artifacts", "attempt", row.try_get(0)?)?;
        files.entry(attempt).or_default().push(artifact(row)?);
    }
    Ok(files)
}

fn attempt(row: &Row, files: &mut Files) -> Result<AttemptResource, StoreError> {
    let number = unsigned("attempts", "number", row.try_get(1)?)?;
    let agent: Option<&str> = row.try_get(22)?;
    let agent: Option<AgentRecord> = agent.map(|text| json("agent_attempts", "record", text)).transpose()?;
    Ok(AttemptResource {
        number,
        job_attempt: unsigned("attempts", "job_attempt", row.try_get(2)?)?,
        visit: unsigned("attempts", "visit", row.try_get(3)?)?,
        task_attempt: unsigned("attempts", "task_attempt", row.try_get(4)?)?,
        instance: row.try_get(19)?,
        item_key: row.try_get(20)?,
        state: AttemptState::from_column("attempts", "state", row.try_get(5)?)?,
        reason: row.try_get(21)?,
        result: row.try_get(6)?,
        exit_code: exit_code("attempts", row.try_get(7)?)?,
        error: failure(row.try_get(8)?, row.try_get(9)?),
        routed_from: json("attempts", "routed_from", row.try_get(10)?)?,
        ant: row.try_get(11)?,
        isolation: row.try_get(12)?,
        created_at: instant(row.try_get(13)?),
        started_at: maybe_instant(row.try_get(14)?),
        finished_at: maybe_instant(row.try_get(15)?),
        outputs: json("attempts", "outputs", row.try_get(16)?)?,
        artifacts: files.remove(&number).unwrap_or_default(),
        warnings: json("attempts", "warnings", row.try_get(17)?)?,
        log_bytes: unsigned("attempts", "log_bytes", row.try_get(18)?)?,
        agent: agent.map(|record| Box::new(record.resource())),
        // What the definition says is not known here.
        tty: false,
    })
}

/// All attempts of a job by task, oldest first, with their artifacts.
pub(super) async fn attempts_by_task(
    connection: &mut Transaction,
    job: &JobId,
) -> Result<HashMap<i64, Vec<AttemptResource>>, StoreError> {
    let mut text = Builder::new(FILES);
    text.push_bind(&job.0).push(" ORDER BY attempt, path");
    let mut files = files(&text.build().fetch_all(&mut *connection).await?)?;
    let mut text = Builder::new(COLUMNS);
    text.push(" FROM attempts a WHERE a.job_id = ").push_bind(&job.0).push(" ORDER BY a.number");
    let rows = text.build().fetch_all(&mut *connection).await?;
    let mut attempts: HashMap<i64, Vec<AttemptResource>> = HashMap::new();
    for row in &rows {
        attempts.entry(row.try_get(0)?).or_default().push(attempt(row, &mut files)?);
    }
    Ok(attempts)
}

impl Reads {
    /// Attempts of a job, or of one of its tasks, in order: those that come in it behind the number `after`.
    pub async fn attempts(
        &self,
        job: &JobId,
        task: Option<&str>,
        order: HistoryOrder,
        after: Option<u32>,
        limit: u32,
    ) -> Result<Vec<JobAttemptResource>, StoreError> {
        let mut text = Builder::new(COLUMNS);
        text.push(", t.name FROM attempts a JOIN tasks t ON t.job_id = a.job_id AND t.task = a.task WHERE a.job_id = ");
        text.push_bind(&job.0);
        if let Some(after) = after {
            text.push(match order {
                HistoryOrder::Oldest => " AND a.number > ",
                HistoryOrder::Newest => " AND a.number < ",
            });
            text.push_bind(after);
        }
        if let Some(task) = task {
            text.push(" AND t.name = ").push_bind(task);
        }
        text.push(match order {
            HistoryOrder::Oldest => " ORDER BY a.number LIMIT ",
            HistoryOrder::Newest => " ORDER BY a.number DESC LIMIT ",
        });
        text.push_bind(limit);
        let rows = text.build().fetch_all(self.store.readers()).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let numbers = rows.iter().map(|row| Ok(row.try_get::<i64, _>(1)?)).collect::<Result<Vec<_>, StoreError>>()?;
        let mut text = Builder::new(FILES);
        text.push_bind(&job.0).push(" AND attempt IN ").push_list(numbers);
        text.push(" ORDER BY attempt, path");
        let mut files = files(&text.build().fetch_all(self.store.readers()).await?)?;
        let outline = self.outline_of_job(job).await?.unwrap_or_default();
        rows.iter()
            .map(|row| {
                let tty = outline.has_terminal(row.try_get(0)?);
                let attempt = AttemptResource { tty, ..attempt(row, &mut files)? };
                Ok(JobAttemptResource { task_type: row.try_get(23)?, attempt })
            })
            .collect()
    }

    /// Whether a job has such a task, though nothing may have happened to it. `None`: there is no such job.
    pub async fn has_task(&self, job: &JobId, task: &str) -> Result<Option<bool>, StoreError> {
        Ok(self.outline_of_job(job).await?.map(|outline| outline.tasks.iter().any(|name| name == task)))
    }
}
