//! Budgets and accounts as resources of the API.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::JobId;
use super::agent::MicroUsd;
use crate::budget::{Caps, Measure, Sums};

/// So much of each; null is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetAmounts {
    /// US dollars.
    #[serde(default)]
    pub usd: Option<f64>,
    /// Tokens, in and out, without those read from a cache.
    #[serde(default)]
    pub tokens: Option<u64>,
    /// Turns of models.
    #[serde(default)]
    pub agent_turns: Option<u64>,
    /// Minutes that agents run.
    #[serde(default)]
    pub minutes: Option<f64>,
}

impl BudgetAmounts {
    /// Of limits.
    pub fn limits(caps: &Caps) -> Self {
        Self {
            usd: caps.get(Measure::Usd).map(|micros| MicroUsd(micros).dollars()),
            tokens: caps.get(Measure::Tokens),
            agent_turns: caps.get(Measure::Turns),
            minutes: caps.get(Measure::Time).map(minutes),
        }
    }

    /// Of what was used.
    pub fn sums(sums: &Sums) -> Self {
        Self {
            usd: Some(MicroUsd(sums.get(Measure::Usd)).dollars()),
            tokens: Some(sums.get(Measure::Tokens)),
            agent_turns: Some(sums.get(Measure::Turns)),
            minutes: Some(minutes(sums.get(Measure::Time))),
        }
    }

    /// As limits. The error is a sentence.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be within 0 and 10^12")]
    pub fn caps(&self) -> Result<Caps, String> {
        let mut caps = Caps::default();
        if let Some(usd) = self.usd {
            let micros = MicroUsd::from_dollars(usd).filter(|micros| micros.0 > 0);
            let micros = micros.ok_or_else(|| format!("`usd` must be more than 0, and {usd} is not"))?;
            caps.set(Measure::Usd, Some(micros.0));
        }
        for (measure, number) in [(Measure::Tokens, self.tokens), (Measure::Turns, self.agent_turns)] {
            if number == Some(0) {
                return Err(format!("`{}` must be more than 0", measure.key()));
            }
            caps.set(measure, number);
        }
        if let Some(minutes) = self.minutes {
            let millis = minutes * 60_000.0;
            if !(1.0..=1e12).contains(&millis) {
                return Err(format!("`minutes` must be more than 0, and {minutes} is not"));
            }
            caps.set(Measure::Time, Some(millis as u64));
        }
        Ok(caps)
    }
}

#[expect(clippy::cast_precision_loss, reason = "below 2^53 milliseconds")]
fn minutes(millis: u64) -> f64 {
    millis as f64 / 60_000.0
}

/// The budget of a job, once an agent of it has begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobBudget {
    /// The limits, as somebody may have extended them.
    pub limits: BudgetAmounts,
    /// What is counted of attempts that have ended.
    pub used: BudgetAmounts,
    /// What those that run may use at most.
    pub reserved: BudgetAmounts,
    /// How many run.
    pub open: u32,
    /// Attempts of which cost or tokens are not known: what was reserved for them is counted.
    pub assumed: u32,
}

/// Whose budget it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BudgetScope {
    /// Of all agents of the organisation, today.
    Day,
    /// Of a definition, today.
    Definition,
    /// Of a job that has not ended.
    Job,
}

/// One budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BudgetResource {
    /// Whose.
    pub scope: BudgetScope,
    /// The definition.
    pub job_type: Option<String>,
    /// The job.
    pub job_id: Option<JobId>,
    /// The limits.
    pub limits: BudgetAmounts,
    /// What is counted.
    pub used: BudgetAmounts,
    /// What attempts that run may use at most.
    pub reserved: BudgetAmounts,
    /// How many run.
    pub running: u32,
    /// How many wait for this budget.
    pub waiting: u32,
}

/// All budgets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BudgetReport {
    /// The day that is counted, in UTC.
    pub day: String,
    /// When the next one begins.
    pub next_day_at: String,
    /// From the farthest to the nearest.
    pub budgets: Vec<BudgetResource>,
}

/// How an account stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountState {
    /// It can be used.
    Open,
    /// Its limit was met.
    Parked,
    /// Many agents that used it failed one after the other.
    Broken,
    /// One agent tries whether it works again.
    Probing,
}

impl AccountState {
    /// The name shown to people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Parked => "parked",
            Self::Broken => "broken",
            Self::Probing => "probing",
        }
    }
}

/// An account of agents that the server has met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountResource {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: AccountState,
    /// Why it cannot be used.
    pub reason: Option<String>,
    /// Until when.
    pub until: Option<String>,
    /// When its limit was met last.
    pub limited_at: Option<String>,
    /// Attempts that use it.
    pub running: u32,
    /// Attempts that wait for it.
    pub waiting: u32,
}
