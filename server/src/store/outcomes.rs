//! What jobs have cost and achieved: rows that are added to, in the transaction of what they are about.

use atta_core::definition::OutcomeState;
use atta_core::engine::JobState;
use atta_core::protocol::JobId;
use atta_core::protocol::agent::{AgentRecord, AgentTokens, AgentUsage};
use atta_core::time::UnixMillis;
use indexmap::IndexMap;

use super::sql::query;
use super::{ColumnName, StoreError, StoreWriter, signed};

/// What a definition says about what a job has achieved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Said {
    pub(crate) kind: Option<String>,
    pub(crate) repository: Option<String>,
    pub(crate) url: Option<String>,
    pub(crate) state: Option<OutcomeState>,
    pub(crate) reason: Option<String>,
    /// What is wrong with it.
    pub(crate) note: Option<String>,
}

/// What an attempt of an agent has used.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct AgentUse {
    /// All of it.
    pub(crate) all: Used,
    /// By program and model.
    pub(crate) parts: IndexMap<(String, String), Used>,
}

/// As far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Used {
    turns: u64,
    tokens: AgentTokens,
    tokens_unknown: bool,
    micros: u64,
    cost_unknown: bool,
}

impl Used {
    fn add(&mut self, usage: &AgentUsage, attempt: &AgentUsage) {
        self.turns = self.turns.saturating_add(u64::from(usage.turns));
        match usage.tokens {
            Some(tokens) => self.tokens.add(&tokens),
            // Of a run that never spoke nothing is known, and nothing is missing either, if the sum is known.
            None => self.tokens_unknown |= attempt.tokens.is_none(),
        }
        match usage.cost {
            Some(cost) => self.micros = self.micros.saturating_add(cost.0),
            None => self.cost_unknown |= attempt.cost.is_none(),
        }
    }
}

impl AgentUse {
    /// Of an attempt with a record. What one of its runs is known to have used counts, also when that of another is not.
    pub(crate) fn of(record: &AgentRecord) -> Self {
        let mut this = Self::default();
        for run in &record.runs {
            let model = run.model.as_ref().or(run.choice.model.as_ref()).cloned().unwrap_or_default();
            let part = this.parts.entry((run.choice.cli.to_string(), model)).or_default();
            part.add(&run.usage, &record.usage);
            this.all.add(&run.usage, &record.usage);
        }
        if record.runs.is_empty() {
            this.parts.entry(Default::default()).or_default().add(&record.usage, &record.usage);
        }
        // The sum is the record's own, where there is one.
        let usage = &record.usage;
        this.all.turns = u64::from(usage.turns);
        this.all.tokens = usage.tokens.unwrap_or(this.all.tokens);
        this.all.tokens_unknown = usage.tokens.is_none();
        this.all.micros = usage.cost.map_or(this.all.micros, |cost| cost.0);
        this.all.cost_unknown = usage.cost.is_none();
        this
    }

    /// Of an attempt without a record: nothing is known.
    pub(crate) fn unknown(cli: Option<String>) -> Self {
        let all = Used { tokens_unknown: true, cost_unknown: true, ..Used::default() };
        Self { all, parts: IndexMap::from([((cli.unwrap_or_default(), String::new()), all)]) }
    }
}

/// What is new about a job's cost and outcome. Numbers are added to what is stored; what is said and absent stays as it was.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OutcomeChange {
    pub(crate) job: JobId,
    pub(crate) job_type: String,
    pub(crate) version: String,
    pub(crate) submitted_at: UnixMillis,
    pub(crate) started_at: UnixMillis,
    /// How and when the job ended; nothing while it lives.
    pub(crate) ended: Option<(JobState, UnixMillis)>,
    pub(crate) error_code: Option<String>,
    pub(crate) said: Said,
    /// When that was said.
    pub(crate) at: UnixMillis,
    /// More rounds of rework; absent where nothing says what a round is.
    pub(crate) rework: Option<u32>,
    pub(crate) agents: Vec<AgentUse>,
    /// By task: more retries, and how many of them changed the result.
    pub(crate) retries: Vec<(String, u32, u32)>,
}

const UPSERT: &str = "INSERT INTO outcomes (job_id, job_type, version, submitted_at, started_at, finished_at, ended, error_code,
        kind, repository, url, state, reason, note, opened_at, merged_at, rework, attempts, turns, input_tokens, output_tokens,
        cache_read_tokens, cache_write_tokens, tokens_unknown, cost_micros, cost_unknown)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26)
    ON CONFLICT (job_id) DO UPDATE SET finished_at = excluded.finished_at, ended = excluded.ended, error_code = excluded.error_code,
        kind = coalesce(excluded.kind, outcomes.kind), repository = coalesce(excluded.repository, outcomes.repository),
        url = coalesce(excluded.url, outcomes.url), state = coalesce(excluded.state, outcomes.state),
        reason = coalesce(excluded.reason, outcomes.reason), note = excluded.note,
        opened_at = coalesce(outcomes.opened_at, excluded.opened_at),
        merged_at = coalesce(outcomes.merged_at, excluded.merged_at),
        rework = coalesce(outcomes.rework + excluded.rework, excluded.rework, outcomes.rework),
        attempts = outcomes.attempts + excluded.attempts, turns = outcomes.turns + excluded.turns,
        input_tokens = outcomes.input_tokens + excluded.input_tokens,
        output_tokens = outcomes.output_tokens + excluded.output_tokens,
        cache_read_tokens = outcomes.cache_read_tokens + excluded.cache_read_tokens,
        cache_write_tokens = outcomes.cache_write_tokens + excluded.cache_write_tokens,
        tokens_unknown = outcomes.tokens_unknown + excluded.tokens_unknown,
        cost_micros = outcomes.cost_micros + excluded.cost_micros,
        cost_unknown = outcomes.cost_unknown + excluded.cost_unknown";

const UPSERT_AGENT: &str =
    "INSERT INTO outcome_agents (job_id, cli, model, attempts, turns, input_tokens, output_tokens,
        cache_read_tokens, cache_write_tokens, tokens_unknown, cost_micros, cost_unknown)
    VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9, $10, $11)
    ON CONFLICT (job_id, cli, model) DO UPDATE SET attempts = outcome_agents.attempts + 1,
        turns = outcome_agents.turns + excluded.turns,
        input_tokens = outcome_agents.input_tokens + excluded.input_tokens,
        output_tokens = outcome_agents.output_tokens + excluded.output_tokens,
        cache_read_tokens = outcome_agents.cache_read_tokens + excluded.cache_read_tokens,
        cache_write_tokens = outcome_agents.cache_write_tokens + excluded.cache_write_tokens,
        tokens_unknown = outcome_agents.tokens_unknown + excluded.tokens_unknown,
        cost_micros = outcome_agents.cost_micros + excluded.cost_micros,
        cost_unknown = outcome_agents.cost_unknown + excluded.cost_unknown";

const UPSERT_TASK: &str = "INSERT INTO outcome_tasks (job_id, task, retries, changed) VALUES ($1, $2, $3, $4)
    ON CONFLICT (job_id, task) DO UPDATE SET retries = outcome_tasks.retries + excluded.retries,
        changed = outcome_tasks.changed + excluded.changed";

impl StoreWriter {
    /// Adds to what a job has cost and achieved, inside of a batch's transaction.
    pub(super) async fn write_achieved(&mut self, change: &OutcomeChange) -> Result<(), StoreError> {
        let said = &change.said;
        let sum = |of: fn(&Used) -> u64| -> i64 {
            signed(change.agents.iter().map(|agent| of(&agent.all)).fold(0, u64::saturating_add))
        };
        let is_there = said.url.is_some() || said.state.is_some_and(|state| state != OutcomeState::NeedsHuman);
        let merged = said.state == Some(OutcomeState::Merged);
        query(UPSERT)
            .bind(&change.job.0)
            .bind(&change.job_type)
            .bind(&change.version)
            .bind(change.submitted_at.0)
            .bind(change.started_at.0)
            .bind(change.ended.map(|(_, at)| at.0))
            .bind(change.ended.map(|(state, _)| state.column_name()))
            .bind(change.error_code.as_deref())
            .bind(said.kind.as_deref())
            .bind(said.repository.as_deref())
            .bind(said.url.as_deref())
            .bind(said.state.map(OutcomeState::as_str))
            .bind(said.reason.as_deref())
            .bind(said.note.as_deref())
            .bind(is_there.then_some(change.at.0))
            .bind(merged.then_some(change.at.0))
            .bind(change.rework.map(i64::from))
            .bind(signed(change.agents.len() as u64))
            .bind(sum(|used| used.turns))
            .bind(sum(|used| used.tokens.input))
            .bind(sum(|used| used.tokens.output))
            .bind(sum(|used| used.tokens.cache_read))
            .bind(sum(|used| used.tokens.cache_write))
            .bind(sum(|used| u64::from(used.tokens_unknown)))
            .bind(sum(|used| used.micros))
            .bind(sum(|used| u64::from(used.cost_unknown)))
            .execute(self.connection().await?)
            .await?;
        for ((cli, model), used) in change.agents.iter().flat_map(|agent| &agent.parts) {
            query(UPSERT_AGENT)
                .bind(&change.job.0)
                .bind(cli)
                .bind(model)
                .bind(signed(used.turns))
                .bind(signed(used.tokens.input))
                .bind(signed(used.tokens.output))
                .bind(signed(used.tokens.cache_read))
                .bind(signed(used.tokens.cache_write))
                .bind(i64::from(used.tokens_unknown))
                .bind(signed(used.micros))
                .bind(i64::from(used.cost_unknown))
                .execute(self.connection().await?)
                .await?;
        }
        for (task, retries, changed) in &change.retries {
            query(UPSERT_TASK)
                .bind(&change.job.0)
                .bind(task)
                .bind(*retries)
                .bind(*changed)
                .execute(self.connection().await?)
                .await?;
        }
        Ok(())
    }
}
