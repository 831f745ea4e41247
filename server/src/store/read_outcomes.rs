//! What jobs have cost and achieved, read from the rows that hold it.

use atta_core::definition::OutcomeState;
use atta_core::engine::JobState;
use atta_core::protocol::JobId;
use atta_core::protocol::agent::{AgentTokens, MicroUsd};
use atta_core::protocol::outcomes_api::{FlakyTask, JobOutcome};

use super::read_model::{Reads, instant, maybe_instant};
use super::sql::{Builder, Row};
use super::{ColumnName, StoreError, unsigned};

/// Which jobs are counted. All conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutcomeFilter {
    /// Submitted at or after this instant (Unix milliseconds).
    pub since: Option<i64>,
    /// Submitted before this instant (Unix milliseconds).
    pub until: Option<i64>,
    /// Of this definition.
    pub job_type: Option<String>,
    /// In this repository.
    pub repository: Option<String>,
    /// With this agent's program: only what it has used counts.
    pub agent: Option<String>,
    /// With this model: only what it has used counts.
    pub model: Option<String>,
}

/// What one job, or one agent in it, has cost, and what the job has achieved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutcomeRow {
    pub(crate) job: String,
    pub(crate) job_type: String,
    pub(crate) repository: Option<String>,
    pub(crate) ended: Option<JobState>,
    pub(crate) error_code: Option<String>,
    pub(crate) has_url: bool,
    pub(crate) state: Option<OutcomeState>,
    pub(crate) reason: Option<String>,
    pub(crate) submitted_at: i64,
    pub(crate) opened_at: Option<i64>,
    pub(crate) merged_at: Option<i64>,
    pub(crate) rework: Option<u32>,
    pub(crate) attempts: u32,
    pub(crate) turns: u64,
    pub(crate) tokens: AgentTokens,
    pub(crate) tokens_unknown: u32,
    pub(crate) micros: u64,
    pub(crate) cost_unknown: u32,
    /// Program and model, if it is about one agent.
    pub(crate) agent: Option<(String, String)>,
}

/// Rows that are in memory at once. No job has so many agents.
const ROWS: u32 = 5_000;

const OF_JOB: &str =
    "o.job_id, o.job_type, o.repository, o.ended, o.error_code, o.url IS NOT NULL, o.state, o.reason, o.submitted_at,
    o.opened_at, o.merged_at, o.rework";

/// The columns of numbers, of the table with this name.
fn used(table: &str) -> String {
    let columns = [
        "attempts",
        "turns",
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "tokens_unknown",
        "cost_micros",
        "cost_unknown",
    ];
    columns.map(|column| format!("{table}.{column}")).join(", ")
}

fn state(row: &Row, column: usize) -> Result<Option<OutcomeState>, StoreError> {
    let word: Option<String> = row.try_get(column)?;
    word.map(|word| {
        OutcomeState::parse(&word).ok_or(StoreError::Value { table: "outcomes", column: "state", value: word })
    })
    .transpose()
}

fn ended(row: &Row, column: usize) -> Result<Option<JobState>, StoreError> {
    let name: Option<&str> = row.try_get(column)?;
    name.map(|name| JobState::from_column("outcomes", "ended", name)).transpose()
}

fn number<T: TryFrom<i64>>(row: &Row, column: usize) -> Result<T, StoreError> {
    unsigned("outcomes", "a number", row.try_get(column)?)
}

fn tokens(row: &Row, first: usize) -> Result<AgentTokens, StoreError> {
    Ok(AgentTokens {
        input: number(row, first)?,
        output: number(row, first + 1)?,
        cache_read: number(row, first + 2)?,
        cache_write: number(row, first + 3)?,
    })
}

fn outcome_row(row: &Row, of_agent: bool) -> Result<OutcomeRow, StoreError> {
    let rework: Option<i64> = row.try_get(11)?;
    Ok(OutcomeRow {
        job: row.try_get(0)?,
        job_type: row.try_get(1)?,
        repository: row.try_get(2)?,
        ended: ended(row, 3)?,
        error_code: row.try_get(4)?,
        has_url: row.try_get(5)?,
        state: state(row, 6)?,
        reason: row.try_get(7)?,
        submitted_at: row.try_get(8)?,
        opened_at: row.try_get(9)?,
        merged_at: row.try_get(10)?,
        rework: rework.map(|rounds| unsigned("outcomes", "rework", rounds)).transpose()?,
        attempts: number(row, 12)?,
        turns: number(row, 13)?,
        tokens: tokens(row, 14)?,
        tokens_unknown: number(row, 18)?,
        micros: number(row, 19)?,
        cost_unknown: number(row, 20)?,
        agent: if of_agent { Some((row.try_get(21)?, row.try_get(22)?)) } else { None },
    })
}

fn conditions<'q>(text: &mut Builder<'q>, filter: &'q OutcomeFilter) {
    if let Some(since) = filter.since {
        text.push(" AND o.submitted_at >= ").push_bind(since);
    }
    if let Some(until) = filter.until {
        text.push(" AND o.submitted_at < ").push_bind(until);
    }
    if let Some(job_type) = &filter.job_type {
        text.push(" AND o.job_type = ").push_bind(job_type);
    }
    if let Some(repository) = &filter.repository {
        text.push(" AND o.repository = ").push_bind(repository);
    }
}

impl Reads {
    /// Each job that is counted; with `by_agent`, each agent in it. `take` gets one after the other, in order of submission.
    pub(crate) async fn outcomes(
        &self,
        filter: &OutcomeFilter,
        by_agent: bool,
        mut take: impl FnMut(OutcomeRow),
    ) -> Result<(), StoreError> {
        let from = if by_agent {
            format!("{}, a.cli, a.model FROM outcomes o JOIN outcome_agents a ON a.job_id = o.job_id", used("a"))
        } else {
            format!("{} FROM outcomes o", used("o"))
        };
        let mut after: Option<(i64, String)> = None;
        loop {
            let mut text = Builder::new(format!("SELECT {OF_JOB}, {from} WHERE true"));
            conditions(&mut text, filter);
            if let Some(agent) = filter.agent.as_ref().filter(|_| by_agent) {
                text.push(" AND a.cli = ").push_bind(agent);
            }
            if let Some(model) = filter.model.as_ref().filter(|_| by_agent) {
                text.push(" AND a.model = ").push_bind(model);
            }
            if let Some((at, job)) = &after {
                text.push(" AND (o.submitted_at, o.job_id) > (").push_bind(*at).push(", ").push_bind(job).push(")");
            }
            text.push(" ORDER BY o.submitted_at, o.job_id").push(if by_agent { ", a.cli, a.model" } else { "" });
            text.push(" LIMIT ").push_bind(ROWS);
            let rows = text.build().fetch_all(self.store.readers()).await?;
            let full = rows.len() == ROWS as usize;
            let rows = rows.iter().map(|row| outcome_row(row, by_agent)).collect::<Result<Vec<_>, _>>()?;
            let Some(last) = rows.last().map(|row| (row.submitted_at, row.job.clone())) else { return Ok(()) };
            // The rows of the last job may go on behind the end: it is read again as a whole, unless it is all that there is.
            let whole = full && by_agent && rows.first().is_some_and(|row| row.job != last.1);
            let rows = rows.into_iter().take_while(|row| !whole || row.job != last.1);
            let mut next = last.clone();
            for row in rows {
                next = (row.submitted_at, row.job.clone());
                take(row);
            }
            after = Some(next);
            if !full {
                return Ok(());
            }
        }
    }

    /// The tasks that were tried again most often.
    pub(crate) async fn task_retries(&self, filter: &OutcomeFilter, limit: u32) -> Result<Vec<FlakyTask>, StoreError> {
        // Sums of PostgreSQL are of another type than what is added.
        let mut text = Builder::new(
            "SELECT o.job_type, t.task, count(*), CAST(sum(t.retries) AS BIGINT), CAST(sum(t.changed) AS BIGINT)
             FROM outcomes o JOIN outcome_tasks t ON t.job_id = o.job_id WHERE true",
        );
        conditions(&mut text, filter);
        if filter.agent.is_some() || filter.model.is_some() {
            text.push(" AND EXISTS (SELECT 1 FROM outcome_agents a WHERE a.job_id = o.job_id");
            if let Some(agent) = &filter.agent {
                text.push(" AND a.cli = ").push_bind(agent);
            }
            if let Some(model) = &filter.model {
                text.push(" AND a.model = ").push_bind(model);
            }
            text.push(")");
        }
        text.push(" GROUP BY o.job_type, t.task ORDER BY 5 DESC, 4 DESC, 1, 2 LIMIT ").push_bind(limit);
        let rows = text.build().fetch_all(self.store.readers()).await?;
        rows.iter()
            .map(|row| {
                Ok(FlakyTask {
                    job_type: row.try_get(0)?,
                    task_type: row.try_get(1)?,
                    jobs: number(row, 2)?,
                    retries: number(row, 3)?,
                    changed: number(row, 4)?,
                })
            })
            .collect()
    }

    /// What one job has cost and achieved.
    pub async fn outcome(&self, job: &JobId) -> Result<Option<JobOutcome>, StoreError> {
        let mut text = Builder::new(format!(
            "SELECT {OF_JOB}, {}, o.version, o.kind, o.url, o.note, o.started_at, o.finished_at FROM outcomes o WHERE o.job_id = ",
            used("o")
        ));
        text.push_bind(&job.0);
        let Some(row) = text.build().fetch_optional(self.store.readers()).await? else { return Ok(None) };
        let one = outcome_row(&row, false)?;
        Ok(Some(JobOutcome {
            achieved: one.achieved(),
            reason: one.why(),
            job_id: JobId(one.job),
            job_type: one.job_type,
            version: row.try_get(21)?,
            state: one.ended,
            kind: row.try_get(22)?,
            repository: one.repository,
            url: row.try_get(23)?,
            note: row.try_get(24)?,
            submitted_at: instant(one.submitted_at),
            started_at: instant(row.try_get(25)?),
            opened_at: maybe_instant(one.opened_at),
            merged_at: maybe_instant(one.merged_at),
            finished_at: maybe_instant(row.try_get(26)?),
            rework: one.rework,
            attempts: one.attempts,
            turns: one.turns,
            tokens: one.tokens,
            tokens_unknown: one.tokens_unknown,
            cost_usd: MicroUsd(one.micros).dollars(),
            cost_unknown: one.cost_unknown,
        }))
    }
}
