//! What jobs have cost and achieved, as resources of the API.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::JobId;
use super::agent::AgentTokens;
use crate::engine::JobState;

/// What groups are made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutcomesBy {
    /// The definition.
    Definition,
    /// The repository that its `outcome` names.
    Repository,
    /// The agent's program.
    Agent,
    /// The model.
    Model,
    /// The day on which the job was submitted, in UTC.
    Day,
    /// Each job.
    Job,
}

impl OutcomesBy {
    /// All of them with their words.
    pub const NAMES: [(Self, &'static str); 6] = [
        (Self::Definition, "definition"),
        (Self::Repository, "repository"),
        (Self::Agent, "agent"),
        (Self::Model, "model"),
        (Self::Day, "day"),
        (Self::Job, "job"),
    ];

    /// What a word means.
    pub fn parse(word: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(_, name)| *name == word).map(|(by, _)| by)
    }
}

/// How a job ended, or where it is, as far as its outcome goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Achieved {
    /// The job has not ended.
    InProgress,
    /// What it made was taken.
    Merged,
    /// What it made was turned down.
    Closed,
    /// Somebody has to go on.
    NeedsHuman,
    /// The job failed.
    Failed,
    /// The job was cancelled.
    Cancelled,
    /// What it made is there, and nobody has decided about it.
    Open,
    /// The job is done, and nothing says what it was to achieve.
    Completed,
}

/// Figures of jobs with agents, or with an `outcome`, that were submitted within a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OutcomesResource {
    /// Since when.
    pub since: Option<String>,
    /// Until when.
    pub until: Option<String>,
    /// What the groups are made by.
    pub by: Option<OutcomesBy>,
    /// All of them together.
    pub total: OutcomeFigures,
    /// The groups: days in their order, others by cost. A job in which several agents or models took part is in several.
    pub groups: Vec<OutcomeGroup>,
    /// Groups that are left out.
    pub more_groups: u32,
    /// Tasks that were tried again most often; at most 20.
    pub flaky_tasks: Vec<FlakyTask>,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OutcomeGroup {
    /// What is common to its jobs; null where that is not known.
    pub key: Option<String>,
    /// Its figures.
    #[serde(flatten)]
    pub figures: OutcomeFigures,
}

/// What some jobs have cost and achieved. Averages and rates of nothing are null, never 0.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct OutcomeFigures {
    /// Jobs that have started.
    pub jobs: u32,
    /// Of these, not ended.
    pub in_progress: u32,
    /// Jobs that made something to look at: a pull request.
    pub pull_requests: u32,
    /// Taken.
    pub merged: u32,
    /// Turned down.
    pub closed: u32,
    /// Left to somebody.
    pub needs_human: u32,
    /// Failed.
    pub failed: u32,
    /// Cancelled.
    pub cancelled: u32,
    /// There, and not decided about when the job ended.
    pub open: u32,
    /// Done, without saying what was to be achieved.
    pub completed: u32,
    /// Attempts of agents.
    pub attempts: u32,
    /// Turns of their models.
    pub turns: u64,
    /// Tokens, as far as they are known.
    pub tokens: AgentTokens,
    /// Attempts whose tokens are not known.
    pub tokens_unknown: u32,
    /// US dollars, as far as they are known.
    pub cost_usd: f64,
    /// Attempts whose cost is not known: if there are any, the costs here are the least that it can have been.
    pub cost_unknown: u32,
    /// All cost, that of jobs that came to nothing included, by what was merged.
    pub cost_per_merged_usd: Option<f64>,
    /// Merged without a round of rework, of those where rounds are counted: from 0 to 1.
    pub first_time_right: Option<f64>,
    /// Rounds of rework of jobs that made something to look at.
    pub rework: Spread,
    /// Seconds from the submission to the pull request.
    pub seconds_to_pull_request: Spread,
    /// Seconds from the submission to the merge.
    pub seconds_to_merge: Spread,
    /// Why jobs failed, were turned down or were left to somebody; the most frequent 20.
    pub reasons: Vec<ReasonCount>,
}

/// Where the middle of some numbers is.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Spread {
    /// How many there are.
    pub count: u32,
    /// As many are smaller as are larger.
    pub median: Option<f64>,
    /// Their sum by their number.
    pub mean: Option<f64>,
}

/// How often something was the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReasonCount {
    /// A code.
    pub code: String,
    /// So many jobs.
    pub jobs: u32,
}

/// A task that is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FlakyTask {
    /// Its definition.
    pub job_type: String,
    /// The task.
    pub task_type: String,
    /// In so many jobs.
    pub jobs: u32,
    /// Retries.
    pub retries: u32,
    /// Retries that succeeded where the attempt before had failed.
    pub changed: u32,
}

/// What one job has cost and achieved. It can be asked for when the job itself is not kept any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobOutcome {
    /// The job.
    pub job_id: JobId,
    /// Its definition.
    pub job_type: String,
    /// The version of it.
    pub version: String,
    /// How it ended, or that it has not.
    pub achieved: Achieved,
    /// The state in which the job ended.
    pub state: Option<JobState>,
    /// What it was to achieve, in the definition's word.
    pub kind: Option<String>,
    /// Where.
    pub repository: Option<String>,
    /// Where it can be looked at.
    pub url: Option<String>,
    /// Why it was not achieved.
    pub reason: Option<String>,
    /// What is wrong with what the definition's `outcome` says.
    pub note: Option<String>,
    /// When it was submitted.
    pub submitted_at: String,
    /// When its first task started.
    pub started_at: String,
    /// When there was something to look at.
    pub opened_at: Option<String>,
    /// When it was merged.
    pub merged_at: Option<String>,
    /// When the job ended.
    pub finished_at: Option<String>,
    /// Rounds of rework; null where nothing says what a round is.
    pub rework: Option<u32>,
    /// Attempts of agents.
    pub attempts: u32,
    /// Turns of their models.
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
