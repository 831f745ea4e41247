//! What is known of the attempts of AGENT tasks.

use atta_core::engine::{AgentClass, AttemptNumber};
use atta_core::protocol::JobId;
use atta_core::protocol::agent::{AgentCli, AgentRecord, AgentSession, CostSource};

use super::sql::{Row, query};
use super::write::json;
use super::{StoreError, StoreWriter, signed, unsigned};

/// A row of `agent_attempts`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AgentRow {
    pub(crate) job: JobId,
    pub(crate) attempt: AttemptNumber,
    pub(crate) record: Box<AgentRecord>,
}

fn source(source: &CostSource) -> String {
    match source {
        CostSource::Reported => "reported".to_owned(),
        CostSource::Priced(date) => format!("priced:{date}"),
        CostSource::Mixed => "mixed".to_owned(),
    }
}

/// From `attempt, session_cli, session_id` by name.
pub(super) fn session_row(row: &Row) -> Result<(AttemptNumber, AgentSession), StoreError> {
    let attempt = AttemptNumber(unsigned("agent_attempts", "attempt", row.try_get("attempt")?)?);
    let (cli, id): (Option<String>, String) = (row.try_get("session_cli")?, row.try_get("session_id")?);
    let cli = cli.unwrap_or_default();
    let known = AgentCli::parse(&cli);
    let cli = known.ok_or(StoreError::Value { table: "agent_attempts", column: "session_cli", value: cli })?;
    Ok((attempt, AgentSession { cli, id }))
}

impl StoreWriter {
    /// Writes records, inside of a batch's transaction.
    pub(super) async fn write_agents(&mut self, rows: &[&AgentRow]) -> Result<(), StoreError> {
        for AgentRow { job, attempt, record } in rows {
            let tokens = record.usage.tokens;
            let session = record.session.as_ref();
            query(
                "INSERT INTO agent_attempts (job_id, attempt, cli, model, class, message, session_cli, session_id, turns,
                    input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_micros, cost_source,
                    limit_resets_at, record) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
            )
            .bind(&job.0)
            .bind(attempt.0)
            .bind(record.last_run().map_or("", |run| run.choice.cli.as_str()))
            .bind(record.model())
            .bind(record.class.map(AgentClass::as_str))
            .bind(&record.message)
            .bind(session.map(|session| session.cli.as_str()))
            .bind(session.map(|session| session.id.as_str()))
            .bind(i64::from(record.usage.turns))
            .bind(tokens.map(|tokens| signed(tokens.input)))
            .bind(tokens.map(|tokens| signed(tokens.output)))
            .bind(tokens.map(|tokens| signed(tokens.cache_read)))
            .bind(tokens.map(|tokens| signed(tokens.cache_write)))
            .bind(record.usage.cost.map(|cost| signed(cost.0)))
            .bind(record.usage.cost_source.as_ref().map(source))
            .bind(record.limit.as_ref().and_then(|limit| limit.resets_at).map(|at| at.0))
            .bind(json(record.as_ref()))
            .execute(self.connection().await?)
            .await?;
        }
        Ok(())
    }
}
