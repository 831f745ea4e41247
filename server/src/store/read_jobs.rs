//! Jobs in lists, and the lookups that other resources need.

use atta_core::engine::{AttemptState, JobState};
use atta_core::protocol::JobId;
use atta_core::protocol::api::{JobSummary, ParentResource, Relation};
use atta_core::protocol::counts::JobCounts;
use indexmap::IndexMap;

use super::job_lists::{
    JobFilter, JobOrder, JobPlace, LOOKED_AT, MOST_TYPES, counting, counting_questions, last_looked_at, listing,
    types_with,
};
use super::read_model::{Reads, instant, maybe_instant};
use super::sql::{Row, query};
use super::{ColumnName, StoreError, priority_from_column, unsigned};

/// Some jobs of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedJobs {
    /// The jobs.
    pub jobs: Vec<JobSummary>,
    /// Where to go on; `None` when there are no more.
    pub next: Option<JobPlace>,
}

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

/// The columns of a list. Params may be large and are not among them. Of a job that has begun, and none of its tasks has, the
/// first of those that wait says why. When tasks have begun and none runs, the first task that is READY says it: a job may have
/// any number of attempts by then, so the task's latest one is asked. Whether one runs is not asked by EXISTS, which PostgreSQL
/// may answer from all tasks of all jobs.
pub(super) const SUMMARY: &str = "SELECT id, job_type, version, state, \
     CASE WHEN reason IS NOT NULL OR state <> 'RUNNING' THEN reason \
     WHEN started_at IS NULL THEN (SELECT a.reason FROM attempts a \
     WHERE a.job_id = jobs.id AND a.state = 'READY' AND a.reason IS NOT NULL ORDER BY a.number LIMIT 1) \
     WHEN (SELECT t.task FROM tasks t WHERE t.job_id = jobs.id AND t.state IN ('LEASED', 'RUNNING') LIMIT 1) IS NULL \
     THEN (SELECT latest.reason FROM tasks t CROSS JOIN attempts latest WHERE t.job_id = jobs.id AND t.state = 'READY' \
     AND latest.job_id = t.job_id AND latest.number = t.last_attempt AND latest.state = 'READY' AND latest.reason IS NOT NULL \
     ORDER BY t.task LIMIT 1) END, error_code, priority, user_key, attempt, \
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
        // They are read together for all jobs of an answer.
        labels: IndexMap::new(),
    })
}

fn parent(row: &Row) -> Result<Option<ParentResource>, StoreError> {
    let Some(job) = row.try_get::<Option<String>, _>(15)? else { return Ok(None) };
    let attempt: Option<u32> = row.try_get(16)?;
    let relation = relation(row.try_get(17)?, attempt);
    Ok(Some(ParentResource { job_id: JobId(job), relation, task: row.try_get(18)?, attempt }))
}

/// The states that a filter names, or all of them.
fn states_of(filter: &JobFilter) -> Vec<JobState> {
    if filter.states.is_empty() {
        return JobState::NAMES.iter().map(|(state, _)| *state).collect();
    }
    filter.states.clone()
}

impl Reads {
    /// Jobs in the order that the filter says: those behind the place `before`.
    pub async fn jobs(
        &self,
        filter: &JobFilter,
        before: Option<&JobPlace>,
        limit: u32,
    ) -> Result<ListedJobs, StoreError> {
        let rows = limit.saturating_add(1);
        let limit = limit as usize;
        let mut found = Vec::new();
        // Behind this place a part of them has not been looked at.
        let mut looked_to: Option<JobPlace> = None;
        for part in self.parts(filter).await? {
            let some = self.listed(&part, before, rows).await?;
            if part.reads_rows() && some.len() <= limit {
                looked_to = looked_to.max(self.last_looked_at(&part, before).await?);
            }
            found.extend(some);
        }
        found.sort_by(|(a, _), (b, _)| b.cmp(a));
        found.retain(|(place, _)| looked_to.as_ref().is_none_or(|end| place >= end));
        let mut next = looked_to;
        if found.len() > limit {
            found.truncate(limit);
            next = found.last().map(|(place, _)| place.clone());
        }
        let mut jobs: Vec<JobSummary> = found.into_iter().map(|(_, job)| job).collect();
        self.add_labels(&mut jobs).await?;
        Ok(ListedJobs { jobs, next })
    }

    /// How many jobs there are, as of one moment. The order does not matter.
    pub async fn job_counts(&self, filter: &JobFilter) -> Result<JobCounts, StoreError> {
        let filter = JobFilter { order: JobOrder::Created, ..filter.clone() };
        let mut counts = JobCounts::default();
        let Some(types) = self.types(&filter).await? else { return Ok(counts) };
        let states = states_of(&filter);
        let dialect = self.store.dialect();
        let mut transaction = self.store.readers().begin().await?;
        let rows = counting(dialect, "", &filter, &types, &states).build().fetch_all(&mut transaction).await?;
        let questions = counting_questions(dialect, &filter, &types).build().fetch_one(&mut transaction).await?;
        transaction.commit().await?;
        for row in &rows {
            let state = JobState::from_column("jobs", "state", row.try_get(0)?)?;
            let looked_at: u32 = unsigned("jobs", "count", row.try_get(1)?)?;
            let count = unsigned::<u32>("jobs", "count", row.try_get(2)?)?.min(LOOKED_AT);
            let budgets: u32 = unsigned("jobs", "count", row.try_get(3)?)?;
            if looked_at > LOOKED_AT {
                counts.at_least.push(state);
            }
            if state == JobState::Paused {
                counts.needs.budgets = budgets;
                counts.needs.paused = count.saturating_sub(budgets);
            }
            if state == JobState::Blocked {
                counts.needs.blocked = count;
            }
            counts.total = counts.total.saturating_add(count);
            if count > 0 {
                counts.states.insert(state.as_str().to_owned(), count);
            }
        }
        counts.needs.approvals = unsigned("approvals", "count", questions.try_get(0)?)?;
        Ok(counts)
    }

    /// The definitions whose jobs can have the labels, if that is to be known; none when they are too many to be named.
    /// `None`: no job has them.
    async fn types(&self, filter: &JobFilter) -> Result<Option<Vec<String>>, StoreError> {
        if !filter.seeks_types() {
            return Ok(Some(Vec::new()));
        }
        let rows = types_with(&filter.labels).build().fetch_all(self.store.readers()).await?;
        let types = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<String>, StoreError>>()?;
        Ok(match types.len() {
            0 => None,
            many if many > MOST_TYPES => Some(Vec::new()),
            _ => Some(types),
        })
    }

    /// Lists that together are the one that is asked for, each with an index that has its order.
    async fn parts(&self, filter: &JobFilter) -> Result<Vec<JobFilter>, StoreError> {
        let Some(types) = self.types(filter).await? else { return Ok(Vec::new()) };
        let states: Vec<JobState> = match filter.order {
            JobOrder::Finished => states_of(filter).into_iter().filter(|state| state.is_terminal()).collect(),
            JobOrder::Created => filter.states.clone(),
        };
        let mut parts = vec![JobFilter { states: states.clone(), ..filter.clone() }];
        // Each state has its order in an index, several together have none. A text is not looked for in each of them.
        if filter.order == JobOrder::Finished || (states.len() > 1 && filter.text.is_none()) {
            parts = states.iter().map(|state| JobFilter { states: vec![*state], ..filter.clone() }).collect();
        }
        if filter.order == JobOrder::Created && filter.text.is_none() && !types.is_empty() {
            let of =
                |part: &JobFilter, job_type: &String| JobFilter { job_type: Some(job_type.clone()), ..part.clone() };
            parts = parts.iter().flat_map(|part| types.iter().map(move |job_type| of(part, job_type))).collect();
        }
        Ok(parts)
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
        let at = match filter.order {
            JobOrder::Created => 11,
            JobOrder::Finished => 14,
        };
        found.iter().map(|row| Ok((JobPlace(row.try_get(at)?, row.try_get(0)?), summary(row)?))).collect()
    }

    /// The job at which looking into rows has stopped, if there may be more behind it.
    async fn last_looked_at(
        &self,
        filter: &JobFilter,
        before: Option<&JobPlace>,
    ) -> Result<Option<JobPlace>, StoreError> {
        let row = last_looked_at(filter, before).build().fetch_optional(self.store.readers()).await?;
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
    use crate::store::job_lists::LabelFilter;
    use crate::store::sql::{Builder, Dialect};

    async fn steps(reads: &Reads, query: Builder<'_>) -> String {
        let rows = query.build().fetch_all(reads.store.readers()).await.unwrap();
        let steps = rows.iter().map(|row| row.try_get::<String, _>(3).unwrap());
        // How the parent's task is found is another matter.
        let looked_at = ["jobs", "latest", "B-TREE"];
        steps.filter(|step| looked_at.iter().any(|part| step.contains(part))).collect::<Vec<_>>().join("; ")
    }

    /// What the database would do for a list.
    async fn plan(reads: &Reads, filter: &JobFilter) -> String {
        let columns = format!("EXPLAIN QUERY PLAN {SUMMARY}");
        let before = JobPlace(5, "job_5".to_owned());
        steps(reads, listing(Dialect::Sqlite, &columns, filter, Some(&before), 50)).await
    }

    fn one(change: fn(&mut JobFilter)) -> JobFilter {
        let mut filter = JobFilter::default();
        change(&mut filter);
        filter
    }

    #[tokio::test]
    async fn each_filter_of_jobs_has_an_index_that_keeps_the_order() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _writer) = Store::open(dir.path(), UnixMillis(0)).await.unwrap();
        let reads = Reads::new(store);
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
            (
                one(|filter| {
                    filter.job_type = Some("a".to_owned());
                    filter.labels = vec![LabelFilter { name: "team".to_owned(), value: Some("core".to_owned()) }];
                }),
                "jobs_by_type",
            ),
            (
                one(|filter| {
                    filter.states = vec![JobState::Failed];
                    filter.order = JobOrder::Finished;
                }),
                "jobs_by_end",
            ),
            (
                one(|filter| {
                    filter.states = vec![JobState::Failed];
                    filter.order = JobOrder::Finished;
                    filter.text = Some("a".to_owned());
                    filter.job_type = Some("a".to_owned());
                }),
                "jobs_by_end",
            ),
        ] {
            let plan = plan(&reads, &filter).await;
            assert!(plan.contains(&format!("INDEX {index} (")), "{filter:?}: {plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{filter:?}: {plan}");
            // Of a job with very many attempts only the latest of each task is looked at.
            assert!(plan.contains("SEARCH latest USING PRIMARY KEY (job_id=? AND number=?)"), "{filter:?}: {plan}");
        }
    }

    #[tokio::test]
    async fn counting_reads_an_index_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _writer) = Store::open(dir.path(), UnixMillis(0)).await.unwrap();
        let reads = Reads::new(store);
        for (filter, index) in [
            (one(|_| {}), "jobs_by_state"),
            (one(|filter| filter.created_after = Some(1)), "jobs_by_state"),
            (one(|filter| filter.job_type = Some("a".to_owned())), "jobs_by_type_state"),
        ] {
            let states = [JobState::Completed, JobState::Failed];
            let plan = steps(&reads, counting(Dialect::Sqlite, "EXPLAIN QUERY PLAN ", &filter, &[], &states)).await;
            assert_eq!(plan.matches(&format!("USING COVERING INDEX {index} (")).count(), 2, "{filter:?}: {plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{filter:?}: {plan}");
        }
    }
}
