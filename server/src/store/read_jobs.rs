//! Jobs in lists, and the lookups that other resources need.

use atta_core::engine::{AttemptState, JobState};
use atta_core::protocol::JobId;
use atta_core::protocol::api::{JobSummary, ParentResource, Relation};
use serde::{Deserialize, Serialize};

use super::read_model::{Reads, instant, maybe_instant};
use super::sql::{Builder, Dialect, Row, query};
use super::{ColumnName, StoreError, priority_from_column, unsigned};

/// Which jobs are listed. All conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// One of these states; empty: any.
    pub states: Vec<JobState>,
    /// Of this definition.
    pub job_type: Option<String>,
    /// That this job forked, submitted or triggered.
    pub parent: Option<String>,
    /// With this key.
    pub user_key: Option<String>,
    /// Submitted at or after this instant (Unix milliseconds).
    pub created_after: Option<i64>,
    /// Submitted before this instant (Unix milliseconds).
    pub created_before: Option<i64>,
    /// This text occurs in id, type, key, description or reason, whatever the case.
    pub text: Option<String>,
}

/// Where a job stands in the order of lists: when it was submitted, and its id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JobPlace(i64, String);

/// Some jobs of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedJobs {
    /// The jobs.
    pub jobs: Vec<JobSummary>,
    /// Where to go on; `None` when there are no more.
    pub next: Option<JobPlace>,
}

/// Jobs in which one page of a list looks for a text.
const LOOKED_AT: u32 = 10_000;

const NEWEST_FIRST: &str = " ORDER BY created_at DESC, id DESC";

/// What a task's name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskLookup {
    /// There is no such job.
    NoJob,
    /// The job has no such task.
    NoTask,
    /// The task has no attempt yet.
    NotStarted,
    /// Number and state of its latest attempt.
    Attempt(u32, AttemptState),
}

/// The columns of a list. Params may be large and are not among them.
pub(super) const SUMMARY: &str = "SELECT id, job_type, version, state, reason, error_code, priority, user_key, attempt, \
     description, submitted_by, created_at, coalesce(tick, scheduled_at), started_at, finished_at, parent_job, parent_attempt, forked, \
     CASE WHEN parent_job IS NOT NULL THEN (SELECT t.name FROM attempts a JOIN tasks t ON t.job_id = a.job_id AND t.task = a.task \
     WHERE a.job_id = jobs.parent_job AND a.number = jobs.parent_attempt) END";

/// How a job came from its parent.
pub(super) fn relation(forked: bool, attempt: Option<u32>) -> Relation {
    match (forked, attempt) {
        (true, _) => Relation::Forked,
        (false, Some(_)) => Relation::Submitted,
        (false, None) => Relation::Triggered,
    }
}

pub(super) fn summary(row: &Row) -> Result<JobSummary, StoreError> {
    Ok(JobSummary {
        job_id: JobId(row.try_get(0)?),
        job_type: row.try_get(1)?,
        version: row.try_get(2)?,
        state: JobState::from_column("jobs", "state", row.try_get(3)?)?,
        reason: row.try_get(4)?,
        error_code: row.try_get(5)?,
        priority: priority_from_column(row.try_get(6)?)?,
        user_key: row.try_get(7)?,
        attempt: unsigned("jobs", "attempt", row.try_get(8)?)?,
        description: row.try_get(9)?,
        submitted_by: row.try_get(10)?,
        created_at: instant(row.try_get(11)?),
        scheduled_at: maybe_instant(row.try_get(12)?),
        started_at: maybe_instant(row.try_get(13)?),
        finished_at: maybe_instant(row.try_get(14)?),
        parent: parent(row)?,
    })
}

fn parent(row: &Row) -> Result<Option<ParentResource>, StoreError> {
    let Some(job) = row.try_get::<Option<String>, _>(15)? else { return Ok(None) };
    let attempt: Option<u32> = row.try_get(16)?;
    let relation = relation(row.try_get(17)?, attempt);
    Ok(Some(ParentResource { job_id: JobId(job), relation, task: row.try_get(18)?, attempt }))
}

/// All conditions of a list but for the text.
fn conditions<'q>(query: &mut Builder<'q>, filter: &'q JobFilter, before: Option<&'q JobPlace>) {
    if let Some(JobPlace(at, id)) = before {
        query.push(" AND (created_at, id) < (").push_bind(*at).push(", ").push_bind(id).push(")");
    }
    match &filter.states[..] {
        [] => {}
        [one] => {
            query.push(" AND state = ").push_bind(one.column_name());
        }
        several => {
            query.push(" AND state IN ").push_list(several.iter().map(|state| state.column_name()));
        }
    }
    if let Some(job_type) = &filter.job_type {
        query.push(" AND job_type = ").push_bind(job_type);
    }
    if let Some(parent) = &filter.parent {
        query.push(" AND parent_job = ").push_bind(parent);
    }
    if let Some(user_key) = &filter.user_key {
        query.push(" AND user_key = ").push_bind(user_key);
    }
    if let Some(after) = filter.created_after {
        query.push(" AND created_at >= ").push_bind(after);
    }
    if let Some(before) = filter.created_before {
        query.push(" AND created_at < ").push_bind(before);
    }
}

/// The statement of a list. A text is looked for in so many jobs that no list takes long.
fn listing<'q>(
    dialect: Dialect,
    columns: &str,
    filter: &'q JobFilter,
    before: Option<&'q JobPlace>,
    rows: u32,
) -> Builder<'q> {
    let mut query = Builder::new(columns);
    let Some(text) = &filter.text else {
        query.push(" FROM jobs WHERE true");
        conditions(&mut query, filter, before);
        query.push(NEWEST_FIRST).push(" LIMIT ").push_bind(rows);
        return query;
    };
    query.push(" FROM (SELECT * FROM jobs WHERE true");
    conditions(&mut query, filter, before);
    let (position, collation) = match dialect {
        Dialect::Sqlite => ("instr", ""),
        // As the other does it, whatever the locale of the database is.
        Dialect::Postgres => ("strpos", " COLLATE \"C\""),
    };
    query.push(NEWEST_FIRST).push(" LIMIT ").push_bind(LOOKED_AT).push(") jobs WHERE ").push(position).push(
        "(lower(id || ' ' || job_type || ' ' || coalesce(user_key, '') || ' ' || coalesce(description, '') || ' ' \
         || coalesce(reason, '')), lower(",
    );
    query.push_bind(text).push(collation).push(")) > 0").push(NEWEST_FIRST).push(" LIMIT ").push_bind(rows);
    query
}

impl Reads {
    /// Jobs, newest first: those behind the place `before`.
    pub async fn jobs(
        &self,
        filter: &JobFilter,
        before: Option<&JobPlace>,
        limit: u32,
    ) -> Result<ListedJobs, StoreError> {
        let rows = limit.saturating_add(1);
        let mut found = Vec::new();
        if filter.states.len() > 1 && filter.text.is_none() {
            // Each state has its order in an index, several together have none.
            for state in &filter.states {
                let one = JobFilter { states: vec![*state], ..filter.clone() };
                found.extend(self.listed(&one, before, rows).await?);
            }
            found.sort_by(|(a, _), (b, _)| b.cmp(a));
        } else {
            found = self.listed(filter, before, rows).await?;
        }
        let limit = limit as usize;
        let mut next = None;
        if found.len() > limit {
            found.truncate(limit);
            next = found.last().map(|(place, _)| place.clone());
        } else if filter.text.is_some() {
            next = self.last_looked_at(filter, before).await?;
        }
        Ok(ListedJobs { jobs: found.into_iter().map(|(_, job)| job).collect(), next })
    }

    async fn listed(
        &self,
        filter: &JobFilter,
        before: Option<&JobPlace>,
        rows: u32,
    ) -> Result<Vec<(JobPlace, JobSummary)>, StoreError> {
        let found = listing(self.store.dialect(), SUMMARY, filter, before, rows)
            .build()
            .fetch_all(self.store.readers())
            .await?;
        found.iter().map(|row| Ok((JobPlace(row.try_get(11)?, row.try_get(0)?), summary(row)?))).collect()
    }

    /// The job at which looking for a text has stopped, if there may be more behind it.
    async fn last_looked_at(
        &self,
        filter: &JobFilter,
        before: Option<&JobPlace>,
    ) -> Result<Option<JobPlace>, StoreError> {
        let mut query = Builder::new("SELECT created_at, id FROM jobs WHERE true");
        conditions(&mut query, filter, before);
        query.push(NEWEST_FIRST).push(" LIMIT 1 OFFSET ").push_bind(LOOKED_AT - 1);
        let row = query.build().fetch_optional(self.store.readers()).await?;
        row.map(|row| Ok(JobPlace(row.try_get(0)?, row.try_get(1)?))).transpose()
    }

    /// Whether there is such a job.
    pub async fn job_exists(&self, job: &JobId) -> Result<bool, StoreError> {
        let row = query("SELECT EXISTS (SELECT 1 FROM jobs WHERE id = $1)")
            .bind(&job.0)
            .fetch_one(self.store.readers())
            .await?;
        Ok(row.try_get(0)?)
    }

    /// Whether a job has ended.
    pub async fn job_is_terminal(&self, job: &JobId) -> Result<bool, StoreError> {
        let row = query("SELECT finished_at IS NOT NULL FROM jobs WHERE id = $1")
            .bind(&job.0)
            .fetch_optional(self.store.readers())
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or(true))
    }

    /// The state of an attempt.
    pub async fn attempt_state(&self, job: &JobId, number: u32) -> Result<Option<AttemptState>, StoreError> {
        let row = query("SELECT state FROM attempts WHERE job_id = $1 AND number = $2")
            .bind(&job.0)
            .bind(number)
            .fetch_optional(self.store.readers())
            .await?;
        row.map(|row| AttemptState::from_column("attempts", "state", row.try_get(0)?)).transpose()
    }

    /// The latest attempt of a task.
    pub async fn latest_attempt(&self, job: &JobId, task: &str) -> Result<TaskLookup, StoreError> {
        let Some(outline) = self.outline_of_job(job).await? else { return Ok(TaskLookup::NoJob) };
        let row = query(
            "SELECT a.number, a.state FROM tasks t JOIN attempts a ON a.job_id = t.job_id AND a.number = t.last_attempt
             WHERE t.job_id = $1 AND t.name = $2",
        )
        .bind(&job.0)
        .bind(task)
        .fetch_optional(self.store.readers())
        .await?;
        match row {
            Some(row) => Ok(TaskLookup::Attempt(
                unsigned("attempts", "number", row.try_get(0)?)?,
                AttemptState::from_column("attempts", "state", row.try_get(1)?)?,
            )),
            None if outline.tasks.iter().any(|name| name == task) => Ok(TaskLookup::NotStarted),
            None => Ok(TaskLookup::NoTask),
        }
    }
}

#[cfg(test)]
mod tests {
    use atta_core::time::UnixMillis;

    use super::*;
    use crate::store::Store;

    /// What the database would do for a list.
    async fn plan(reads: &Reads, filter: &JobFilter) -> String {
        let columns = format!("EXPLAIN QUERY PLAN {SUMMARY}");
        let before = JobPlace(5, "job_5".to_owned());
        let query = listing(Dialect::Sqlite, &columns, filter, Some(&before), 50).build();
        let rows = query.fetch_all(reads.store.readers()).await.unwrap();
        let steps = rows.iter().map(|row| row.try_get::<String, _>(3).unwrap());
        // How the parent's task is found is another matter.
        steps.filter(|step| step.contains("jobs") || step.contains("B-TREE")).collect::<Vec<_>>().join("; ")
    }

    #[tokio::test]
    async fn each_filter_of_jobs_has_an_index_that_keeps_the_order() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _writer) = Store::open(dir.path(), UnixMillis(0)).await.unwrap();
        let reads = Reads::new(store);
        let one = |change: fn(&mut JobFilter)| {
            let mut filter = JobFilter::default();
            change(&mut filter);
            filter
        };
        for (filter, index) in [
            (one(|_| {}), "jobs_by_creation"),
            (one(|filter| filter.states = vec![JobState::Failed]), "jobs_by_state"),
            (one(|filter| filter.job_type = Some("a".to_owned())), "jobs_by_type"),
            (one(|filter| filter.user_key = Some("a".to_owned())), "jobs_by_user_key"),
            (one(|filter| filter.created_after = Some(1)), "jobs_by_creation"),
            (one(|filter| filter.created_before = Some(1)), "jobs_by_creation"),
            (
                one(|filter| {
                    filter.states = vec![JobState::Failed];
                    filter.job_type = Some("a".to_owned());
                }),
                "jobs_by_type_state",
            ),
            (one(|filter| filter.text = Some("a".to_owned())), "jobs_by_creation"),
        ] {
            let plan = plan(&reads, &filter).await;
            assert!(plan.contains(&format!("INDEX {index} (")), "{filter:?}: {plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{filter:?}: {plan}");
        }
    }
}
