//! Agents as resources of the API.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::agent::{AgentCommit, AgentRecord, AgentSession, AgentTokens, CostSource, Denial, MicroUsd, RunPurpose};
use crate::engine::AgentClass;
use crate::time::UnixMillis;

/// What is known of an agent's attempt. What its program did not say is null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AgentResource {
    /// The program of its last run.
    pub cli: Option<String>,
    /// The model that answered last, or that was ordered.
    pub model: Option<String>,
    /// How the work ended; absent when something else ended it (see the attempt's result).
    pub class: Option<AgentClass>,
    /// Why, in a sentence.
    pub message: String,
    /// The session that others can go on with.
    pub session: Option<AgentSession>,
    /// Turns of the model.
    pub turns: u32,
    /// Tokens.
    pub tokens: Option<AgentTokens>,
    /// US dollars.
    pub cost_usd: Option<f64>,
    /// Where the cost comes from.
    pub cost_source: Option<CostSource>,
    /// What matched the schema.
    pub verdict: Option<Value>,
    /// The agent's own final message.
    pub final_message: String,
    /// The limit of an account that was met.
    pub limit: Option<AgentLimitResource>,
    /// Tools that it was refused.
    pub denials: Vec<Denial>,
    /// Files that it changed.
    pub files_changed: Vec<String>,
    /// Commits that it added.
    pub commits: Vec<AgentCommit>,
    /// Each start of a program.
    pub runs: Vec<AgentRunResource>,
}

/// A limit of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentLimitResource {
    /// What was said.
    pub message: String,
    /// When it can be used again, if that was said.
    pub resets_at: Option<String>,
}

/// One start of an agent's program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AgentRunResource {
    /// The program.
    pub cli: String,
    /// The model that answered, or that was ordered.
    pub model: Option<String>,
    /// Why it was started.
    pub purpose: RunPurpose,
    /// How it ended.
    pub class: Option<AgentClass>,
    /// Its session.
    pub session_id: Option<String>,
    /// Turns of the model.
    pub turns: u32,
    /// Tokens.
    pub tokens: Option<AgentTokens>,
    /// US dollars.
    pub cost_usd: Option<f64>,
    /// The program's exit code.
    pub exit_code: Option<i32>,
    /// When it was started.
    pub started_at: String,
    /// When its last process was gone.
    pub ended_at: Option<String>,
}

/// What the agents of a job have used. Attempts of which something is not known are counted, never taken for 0.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct AgentTotals {
    /// Attempts that began and have ended.
    pub attempts: u32,
    /// Turns of the model.
    pub turns: u64,
    /// Tokens, as far as they are known.
    pub tokens: AgentTokens,
    /// Attempts whose tokens are not known.
    pub tokens_unknown: u32,
    /// US dollars, as far as they are known.
    pub cost_usd: f64,
    /// Attempts whose cost is not known.
    pub cost_unknown: u32,
}

impl AgentRecord {
    /// As the API shows it.
    pub fn resource(self) -> AgentResource {
        let (cli, model) = (self.last_run().map(|run| run.choice.cli.to_string()), self.model().map(str::to_owned));
        let runs = self.runs.into_iter().map(|run| AgentRunResource {
            cli: run.choice.cli.to_string(),
            model: run.model.or(run.choice.model),
            purpose: run.purpose,
            class: run.class,
            session_id: run.session_id,
            turns: run.usage.turns,
            tokens: run.usage.tokens,
            cost_usd: run.usage.cost.map(MicroUsd::dollars),
            exit_code: run.exit_code,
            started_at: run.started_at.to_rfc3339(),
            ended_at: run.ended_at.map(UnixMillis::to_rfc3339),
        });
        AgentResource {
            cli,
            model,
            class: self.class,
            message: self.message,
            session: self.session,
            turns: self.usage.turns,
            tokens: self.usage.tokens,
            cost_usd: self.usage.cost.map(MicroUsd::dollars),
            cost_source: self.usage.cost_source,
            verdict: self.verdict,
            final_message: self.final_message,
            limit: self.limit.map(|limit| AgentLimitResource {
                message: limit.message,
                resets_at: limit.resets_at.map(UnixMillis::to_rfc3339),
            }),
            denials: self.denials,
            files_changed: self.files_changed,
            commits: self.commits,
            runs: runs.collect(),
        }
    }
}

impl AgentTotals {
    /// All of them together, and so many more of which nothing is known; `None` when there are none. Sums are made of whole
    /// millionths of a dollar.
    pub fn of<'a>(agents: impl IntoIterator<Item = &'a AgentResource>, without_record: u32) -> Option<Self> {
        let mut totals = Self {
            attempts: without_record,
            tokens_unknown: without_record,
            cost_unknown: without_record,
            ..Self::default()
        };
        let mut micros = 0_u64;
        for agent in agents {
            totals.attempts += 1;
            totals.turns += u64::from(agent.turns);
            match &agent.tokens {
                Some(tokens) => totals.tokens.add(tokens),
                None => totals.tokens_unknown += 1,
            }
            match agent.cost_usd.and_then(MicroUsd::from_dollars) {
                Some(cost) => micros = micros.saturating_add(cost.0),
                None => totals.cost_unknown += 1,
            }
        }
        totals.cost_usd = MicroUsd(micros).dollars();
        (totals.attempts > 0).then_some(totals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_counted_apart_and_sums_are_exact() {
        assert_eq!(AgentTotals::of([], 0), None);
        let with = |cost: Option<u64>, tokens: Option<u64>| {
            let mut record = AgentRecord::empty();
            record.usage.turns = 2;
            record.usage.cost = cost.map(MicroUsd);
            record.usage.tokens = tokens.map(|input| AgentTokens { input, ..AgentTokens::default() });
            record.resource()
        };
        let agents = [with(Some(100_000), Some(5)), with(None, None), with(Some(200_000), None)];
        let totals = AgentTotals::of(&agents, 0).unwrap();
        assert_eq!((totals.attempts, totals.turns, totals.tokens.input), (3, 6, 5));
        assert_eq!((totals.tokens_unknown, totals.cost_unknown), (2, 1));
        assert!((totals.cost_usd - 0.3).abs() < f64::EPSILON, "{}", totals.cost_usd);
        let lost = AgentTotals::of(&agents, 2).unwrap();
        assert_eq!(
            (lost.attempts, lost.tokens_unknown, lost.cost_unknown),
            (5, 4, 3),
            "an attempt without a record is not free"
        );
        let free = AgentTotals::of(&[with(Some(0), None)], 0).unwrap();
        assert_eq!(free.cost_unknown, 0, "what is known to cost nothing is known");
    }
}
