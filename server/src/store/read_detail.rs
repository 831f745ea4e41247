//! One job with everything about its tasks, attempts and artifacts.

use std::collections::HashMap;

use atta_core::engine::{JobState, SkipReason, TaskState};
use atta_core::protocol::agents_api::AgentTotals;
use atta_core::protocol::api::{
    ArtifactResource, AttemptResource, ChildResource, JobArtifactResource, JobDetail, TaskResource,
};
use atta_core::protocol::counts::ForkedCounts;
use atta_core::protocol::{Digest, JobId};
use indexmap::IndexMap;

use super::read_attempts::{artifact, attempts_by_task, exit_code, failure};
use super::read_instances::{describe_fan_out, instances_by_task};
use super::read_jobs::{SUMMARY, relation, summary};
use super::read_model::{Reads, json, maybe_instant};
use super::spend::job_budget;
use super::sql::{AssertSqlSafe, Row, Transaction, query};
use super::{ADOPTED, ColumnName, StoreError, unsigned};

/// An artifact and the attempt that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredArtifact {
    /// The content.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// Since when the content is not kept any more.
    pub expired_at: Option<String>,
}

impl Reads {
    /// A job with its tasks, attempts and artifacts, all as of one moment.
    pub async fn job(&self, id: &JobId) -> Result<Option<JobDetail>, StoreError> {
        let mut transaction = self.store.readers().begin().await?;
        let row =
            query(AssertSqlSafe(format!("{SUMMARY}, params, nonce, error_message, rerun_of FROM jobs WHERE id = $1")))
                .bind(&id.0)
                .fetch_optional(&mut transaction)
                .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let mut attempts = attempts_by_task(&mut transaction, id).await?;
        let budget = job_budget(&mut transaction, id).await?;
        let mut instances = if attempts.values().flatten().any(|attempt| attempt.instance.is_some()) {
            instances_by_task(&mut transaction, id).await?
        } else {
            HashMap::new()
        };
        let task_rows = query(
            "SELECT task, name, state, visits, attempts, last_attempt, result, exit_code, error_code, error_message,
                skip_reason, route, first_started_at, started_at, finished_at
             FROM tasks WHERE job_id = $1 ORDER BY task",
        )
        .bind(&id.0)
        .fetch_all(&mut transaction)
        .await?;
        let children = children(&mut transaction, id).await?;
        let mut forked = forked(&mut transaction, id).await?;
        let rerun_of: Option<String> = row.try_get("rerun_of")?;
        let mut adopted = if rerun_of.is_some() { adopted(&mut transaction, id).await? } else { HashMap::new() };
        let reruns = query("SELECT id FROM jobs WHERE rerun_of = $1 ORDER BY id LIMIT 100")
            .bind(&id.0)
            .fetch_all(&mut transaction)
            .await?;
        let reruns = reruns.iter().map(|row| Ok(JobId(row.try_get(0)?))).collect::<Result<_, StoreError>>()?;
        // The connection goes back before the definition is read with another one.
        transaction.commit().await?;
        let mut summary = summary(&row)?;
        self.add_labels(std::slice::from_mut(&mut summary)).await?;
        let outline = self.outline(&summary.job_type, &summary.version).await?;
        let agents = totals(&attempts, &outline.agents);
        let mut started: Vec<(i64, u32, TaskResource)> = Vec::new();
        let mut never: Vec<(i64, TaskResource)> = Vec::new();
        let mut seen = vec![false; outline.tasks.len()];
        for row in &task_rows {
            let index: i64 = row.try_get(0)?;
            if let Some(seen) = usize::try_from(index).ok().and_then(|index| seen.get_mut(index)) {
                *seen = true;
            }
            let mut list = attempts.remove(&index).unwrap_or_default();
            let tty = outline.has_terminal(index);
            for attempt in &mut list {
                attempt.tty = tty;
            }
            let first_attempt = list.first().map_or(0, |attempt| attempt.number);
            let first_start: Option<i64> = row.try_get(12)?;
            let declared = usize::try_from(index).ok().and_then(|index| outline.fan_outs.get(index)?.as_ref());
            let list_of_instances = instances.remove(&index).unwrap_or_default();
            let mut task = task_of(row, list)?;
            task.forked = forked.remove(&index);
            if let Some(declared) = declared {
                describe_fan_out(&mut task, declared, &list_of_instances);
            }
            if let Some((source, outputs, artifacts)) = adopted.remove(&index)
                && task.attempts == 0
            {
                (task.adopted_from, task.outputs, task.artifacts) = (Some(source), outputs, artifacts);
            }
            match first_start {
                Some(at) => started.push((at, first_attempt, task)),
                None => never.push((index, task)),
            }
        }
        let unseen = seen.iter().zip(&outline.tasks).enumerate().filter(|(_, (seen, _))| !**seen);
        never.extend(unseen.map(|(index, (_, name))| (i64::try_from(index).unwrap_or(i64::MAX), pending(name))));
        started.sort_by_key(|(at, number, _)| (*at, *number));
        never.sort_by_key(|(index, _)| *index);
        Ok(Some(JobDetail {
            params: json("jobs", "params", row.try_get(19)?)?,
            nonce: row.try_get(20)?,
            error: failure(summary.error_code.clone(), row.try_get(21)?),
            children,
            attempts_href: None,
            agents,
            budget,
            rerun_of: rerun_of.map(JobId),
            reruns,
            tasks: started.into_iter().map(|(.., task)| task).chain(never.into_iter().map(|(_, task)| task)).collect(),
            summary,
        }))
    }

    /// Artifacts of a job, or of one of its attempts or tasks, in order of attempt and path.
    pub async fn artifacts(
        &self,
        job: &JobId,
        attempt: Option<u32>,
        task: Option<&str>,
        after: (u32, &str),
        limit: u32,
    ) -> Result<Vec<JobArtifactResource>, StoreError> {
        let rows = query(
            "SELECT f.attempt, t.name, f.path, f.size, f.digest, f.executable, a.item_key, f.group_name, f.expires_at, f.expired_at
             FROM artifacts f
             JOIN attempts a ON a.job_id = f.job_id AND a.number = f.attempt
             JOIN tasks t ON t.job_id = a.job_id AND t.task = a.task
             WHERE f.job_id = $1 AND ($2 IS NULL OR f.attempt = $2) AND ($6 IS NULL OR t.name = $6) AND (f.attempt, f.path) > ($3, $4)
             ORDER BY f.attempt, f.path LIMIT $5",
        )
        .bind(&job.0)
        .bind(attempt)
        .bind(after.0)
        .bind(after.1)
        .bind(limit)
        .bind(task)
        .fetch_all(self.store.readers())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(JobArtifactResource {
                    attempt: unsigned("artifacts", "attempt", row.try_get(0)?)?,
                    task_type: row.try_get(1)?,
                    item_key: row.try_get(6)?,
                    name: row.try_get(2)?,
                    size: unsigned("artifacts", "size", row.try_get(3)?)?,
                    digest: Digest(row.try_get(4)?),
                    executable: row.try_get(5)?,
                    group: row.try_get(7)?,
                    expires_at: maybe_instant(row.try_get(8)?),
                    expired_at: maybe_instant(row.try_get(9)?),
                })
            })
            .collect()
    }

    /// An artifact of an attempt.
    pub async fn artifact(&self, job: &JobId, attempt: u32, path: &str) -> Result<Option<StoredArtifact>, StoreError> {
        let row =
            query("SELECT digest, size, expired_at FROM artifacts WHERE job_id = $1 AND attempt = $2 AND path = $3")
                .bind(&job.0)
                .bind(attempt)
                .bind(path)
                .fetch_optional(self.store.readers())
                .await?;
        row.as_ref().map(stored).transpose()
    }

    /// An artifact of the latest attempt of a task that has it.
    pub async fn artifact_of_task(
        &self,
        job: &JobId,
        task: &str,
        path: &str,
    ) -> Result<Option<StoredArtifact>, StoreError> {
        let row = query(
            "SELECT f.digest, f.size, f.expired_at FROM artifacts f
             JOIN attempts a ON a.job_id = f.job_id AND a.number = f.attempt
             JOIN tasks t ON t.job_id = a.job_id AND t.task = a.task
             WHERE f.job_id = $1 AND t.name = $2
                AND (a.item_key IS NULL AND f.path = $3 OR t.name || '/' || a.item_key || '/' || f.path = $3)
             ORDER BY f.attempt DESC LIMIT 1",
        )
        .bind(&job.0)
        .bind(task)
        .bind(path)
        .fetch_optional(self.store.readers())
        .await?;
        if row.is_some() {
            return row.as_ref().map(stored).transpose();
        }
        let row = query(
            "SELECT f.digest, f.size, f.expired_at FROM tasks t
             JOIN artifacts f ON f.job_id = t.job_id AND f.attempt = $4 + t.task
             WHERE t.job_id = $1 AND t.name = $2 AND f.path = $3",
        )
        .bind(&job.0)
        .bind(task)
        .bind(path)
        .bind(i64::from(ADOPTED))
        .fetch_optional(self.store.readers())
        .await?;
        row.as_ref().map(stored).transpose()
    }
}

/// What the agents of a job have used. Of an attempt that began and left no record nothing is known.
fn totals(attempts: &HashMap<i64, Vec<AttemptResource>>, agents: &[bool]) -> Option<AgentTotals> {
    let known = attempts.values().flatten().filter_map(|attempt| attempt.agent.as_deref());
    let is_agent =
        |task: i64| usize::try_from(task).ok().and_then(|task| agents.get(task).copied()).unwrap_or_default();
    let of_agents = attempts.iter().filter(|(task, _)| is_agent(**task)).flat_map(|(_, attempts)| attempts);
    let began = |attempt: &&AttemptResource| {
        attempt.agent.is_none()
            && attempt.finished_at.is_some()
            && (attempt.started_at.is_some() || attempt.result.as_deref() == Some("LOST"))
    };
    AgentTotals::of(known, u32::try_from(of_agents.filter(began).count()).unwrap_or(u32::MAX))
}

/// What a task was taken over with.
type Adopted = (JobId, IndexMap<String, serde_json::Value>, Vec<ArtifactResource>);

/// By task: what was taken over from the job that this one runs again.
async fn adopted(connection: &mut Transaction, job: &JobId) -> Result<HashMap<i64, Adopted>, StoreError> {
    let rows = query("SELECT task, source_job, outputs FROM adopted_tasks WHERE job_id = $1")
        .bind(&job.0)
        .fetch_all(&mut *connection)
        .await?;
    let mut adopted: HashMap<i64, Adopted> = HashMap::new();
    for row in &rows {
        let outputs = json("adopted_tasks", "outputs", row.try_get(2)?)?;
        adopted.insert(row.try_get(0)?, (JobId(row.try_get(1)?), outputs, Vec::new()));
    }
    let files = query(
        "SELECT attempt - $2, path, size, digest, group_name, expires_at, expired_at FROM artifacts WHERE job_id = $1 AND attempt >= $2 ORDER BY attempt, path",
    )
    .bind(&job.0)
    .bind(i64::from(ADOPTED))
    .fetch_all(&mut *connection)
    .await?;
    for row in &files {
        if let Some((.., artifacts)) = adopted.get_mut(&row.try_get::<i64, _>(0)?) {
            artifacts.push(artifact(row)?);
        }
    }
    Ok(adopted)
}

fn stored(row: &Row) -> Result<StoredArtifact, StoreError> {
    Ok(StoredArtifact {
        digest: Digest(row.try_get(0)?),
        size: unsigned("artifacts", "size", row.try_get(1)?)?,
        expired_at: maybe_instant(row.try_get(2)?),
    })
}

/// The oldest jobs that a job made.
async fn children(connection: &mut Transaction, job: &JobId) -> Result<Vec<ChildResource>, StoreError> {
    let rows = query(
        "SELECT j.id, j.job_type, j.state, j.forked, j.parent_attempt, t.name FROM jobs j
         LEFT JOIN attempts a ON a.job_id = j.parent_job AND a.number = j.parent_attempt
         LEFT JOIN tasks t ON t.job_id = a.job_id AND t.task = a.task
         WHERE j.parent_job = $1 ORDER BY j.id LIMIT 100",
    )
    .bind(&job.0)
    .fetch_all(&mut *connection)
    .await?;
    rows.iter()
        .map(|row| {
            let attempt: Option<u32> = row.try_get(4)?;
            Ok(ChildResource {
                job_id: JobId(row.try_get(0)?),
                job_type: row.try_get(1)?,
                state: JobState::from_column("jobs", "state", row.try_get(2)?)?,
                relation: relation(row.try_get(3)?, attempt),
                task: row.try_get(5)?,
                attempt,
            })
        })
        .collect()
}

/// By task: the jobs that its attempts made, counted. Those that the end of the job triggered are of no attempt.
async fn forked(connection: &mut Transaction, job: &JobId) -> Result<HashMap<i64, ForkedCounts>, StoreError> {
    let rows = query(
        "SELECT a.task, j.state, count(*) FROM jobs j
         JOIN attempts a ON a.job_id = j.parent_job AND a.number = j.parent_attempt
         WHERE j.parent_job = $1 GROUP BY a.task, j.state ORDER BY a.task, j.state",
    )
    .bind(&job.0)
    .fetch_all(&mut *connection)
    .await?;
    let mut forked: HashMap<i64, ForkedCounts> = HashMap::new();
    for row in &rows {
        let state = JobState::from_column("jobs", "state", row.try_get(1)?)?;
        let count: u32 = unsigned("jobs", "count", row.try_get(2)?)?;
        let counts = forked.entry(row.try_get(0)?).or_default();
        counts.total = counts.total.saturating_add(count);
        counts.counts.insert(state.as_str().to_owned(), count);
    }
    Ok(forked)
}

fn task_of(row: &Row, attempt_list: Vec<AttemptResource>) -> Result<TaskResource, StoreError> {
    let skip: Option<&str> = row.try_get(10)?;
    let last: Option<u32> = row.try_get(5)?;
    let latest = attempt_list.iter().find(|attempt| Some(attempt.number) == last);
    Ok(TaskResource {
        task_type: row.try_get(1)?,
        state: TaskState::from_column("tasks", "state", row.try_get(2)?)?,
        result: skip.map_or_else(|| row.try_get(6), |reason| Ok(Some(reason.to_owned())))?,
        exit_code: exit_code("tasks", row.try_get(7)?)?,
        error: failure(row.try_get(8)?, row.try_get(9)?),
        skip_reason: skip.map(|reason| SkipReason::from_column("tasks", "skip_reason", reason)).transpose()?,
        visits: unsigned("tasks", "visits", row.try_get(3)?)?,
        attempts: unsigned("tasks", "attempts", row.try_get(4)?)?,
        route: row.try_get(11)?,
        started_at: maybe_instant(row.try_get(13)?),
        finished_at: maybe_instant(row.try_get(14)?),
        outputs: latest.map(|attempt| attempt.outputs.clone()).unwrap_or_default(),
        artifacts: latest.map(|attempt| attempt.artifacts.clone()).unwrap_or_default(),
        adopted_from: None,
        fan_out: None,
        forked: None,
        attempt_list,
    })
}

/// A task that nothing has happened to has no row.
fn pending(name: &str) -> TaskResource {
    TaskResource {
        task_type: name.to_owned(),
        state: TaskState::Pending,
        result: None,
        exit_code: None,
        error: None,
        skip_reason: None,
        visits: 0,
        attempts: 0,
        route: None,
        started_at: None,
        finished_at: None,
        outputs: IndexMap::new(),
        artifacts: Vec::new(),
        adopted_from: None,
        fan_out: None,
        forked: None,
        attempt_list: Vec::new(),
    }
}
