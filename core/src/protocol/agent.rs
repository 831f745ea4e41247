//! What an agent attempt is told and what is known of it afterwards: the messages between whoever dispatches it, the runner
//! that drives the agent's program, and whoever reads the record.
//!
//! Money is whole millionths of a US dollar, so that sums are exact; what is not known is absent, never 0.

use std::fmt;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::engine::AgentClass;
use crate::time::UnixMillis;

/// Agent programs that there is an adapter for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AgentCli {
    /// Claude Code.
    Claude,
    /// Codex CLI.
    Codex,
    /// Gemini CLI.
    Gemini,
    /// opencode.
    Opencode,
    /// goose.
    Goose,
    /// GitHub Copilot CLI.
    Copilot,
    /// cursor-agent.
    Cursor,
    /// aider.
    Aider,
    /// Any program that speaks Atta's line protocol.
    Custom,
}

impl AgentCli {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Claude,
        Self::Codex,
        Self::Gemini,
        Self::Opencode,
        Self::Goose,
        Self::Copilot,
        Self::Cursor,
        Self::Aider,
        Self::Custom,
    ];

    /// As definitions write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
            Self::Opencode => "opencode",
            Self::Goose => "goose",
            Self::Copilot => "copilot",
            Self::Cursor => "cursor",
            Self::Aider => "aider",
            Self::Custom => "custom",
        }
    }

    /// The one that is written so.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cli| cli.as_str() == word)
    }
}

impl fmt::Display for AgentCli {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// US dollars in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct MicroUsd(pub u64);

impl MicroUsd {
    /// From dollars, rounded up: a limit is never below what was paid. `None` for what is no amount of money.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be within 0 and 10^15")]
    pub fn from_dollars(dollars: f64) -> Option<Self> {
        let micros = (dollars * 1e6 - 1e-6).ceil().max(0.0);
        (dollars.is_finite() && dollars >= 0.0 && micros <= 1e15).then_some(Self(micros as u64))
    }

    /// In dollars, for people and JSON.
    #[expect(clippy::cast_precision_loss, reason = "amounts are below 2^53 millionths")]
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Without its sign: `1.25`, with more digits only where they matter: `0.0013`.
    pub fn amount(self) -> String {
        let digits = format!("{:06}", self.0 % 1_000_000);
        let cents = digits.trim_end_matches('0');
        format!("{}.{cents:0<2}", self.0 / 1_000_000)
    }
}

impl fmt::Display for MicroUsd {
    /// `$1.25`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}", self.amount())
    }
}

/// All that the runner has to know. It lies in a file that only the attempt's user can read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentOrder {
    /// What is tried first.
    pub choice: AgentChoice,
    /// What is tried afterwards, in order, each when the one before ended in one of its classes.
    #[serde(default)]
    pub fallback: Vec<Fallback>,
    /// What it is to do.
    pub prompt: AgentPrompt,
    /// Said before everything else, where the program has a place for it; otherwise the beginning of the prompt.
    #[serde(default)]
    pub system: Option<String>,
    /// Names of methods of work to put before the prompt; see docs/agents.md for where they are looked for.
    #[serde(default)]
    pub skills: Vec<String>,
    /// What it may do without being asked.
    pub permission: AgentPermission,
    /// Tools that it may use beyond that, in the program's own words.
    #[serde(default)]
    pub allowed_tools: Vec<String>,
    /// The session to go on with.
    #[serde(default)]
    pub resume: Option<AgentSession>,
    /// What its final message has to hold.
    #[serde(default)]
    pub verdict: Option<VerdictOrder>,
    /// Independent sessions whose verdicts are compared; 1 is an ordinary attempt.
    pub vote: u32,
    /// What it may use up. All of its sessions together.
    pub limits: AgentLimits,
    /// How long it may be silent.
    pub watch: AgentWatch,
    /// Where it works: relative to TASK_DIR, or `$JOB_WORKSPACE/…`.
    #[serde(default)]
    pub directory: Option<String>,
    /// The commit that its changes are measured against is the one that is checked out there when it begins.
    pub track_changes: bool,
    /// A `DONE` that left neither a changed file nor a commit is `NO_CHANGE`.
    #[serde(default)]
    pub expect_changes: bool,
    /// Texts of others that it is given as files.
    #[serde(default)]
    pub context: Vec<ContextFile>,
    /// The commit whose files configure it.
    #[serde(default)]
    pub config_from: Option<String>,
    /// More files that count as configuration.
    #[serde(default)]
    pub config_paths: Vec<String>,
}

/// A text that an agent is given as a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContextFile {
    /// Its name.
    pub name: String,
    /// Where the text comes from.
    pub source: ContextSource,
    /// What it is, in a few words for the agent.
    pub about: String,
    /// The part of a JSON document.
    #[serde(default)]
    pub json_path: Option<String>,
    /// How it is read.
    pub form: ContextForm,
    /// The most characters.
    pub max_chars: u32,
    /// Without the text there is no file, and the agent begins all the same.
    #[serde(default)]
    pub optional: bool,
}

/// Below TASK_DIR, where the ant lays what only the runner reads. No artifact of a dependency is put there by accident.
pub const LAID: &str = ".atta-context";

/// Where the text of a file for an agent comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContextSource {
    /// The rendered text.
    Text(String),
    /// A file: relative to TASK_DIR, or `$JOB_WORKSPACE/…`.
    File(String),
    /// A file of TASK_DIR that was laid there for this alone: it is removed before the agent begins.
    Laid(String),
    /// There is none.
    Nothing,
}

/// How a text for an agent is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContextForm {
    /// HTML comments and hidden characters are taken out.
    Markdown,
    /// Hidden characters are made visible.
    Plain,
    /// What GitHub said, as JSON, is laid out for reading.
    Github {
        /// Only the words of those who are trusted.
        trusted_only: bool,
    },
}

/// A program and a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentChoice {
    /// Which adapter.
    pub cli: AgentCli,
    /// The program and its first arguments, instead of the usual name on PATH. `custom` has no usual name.
    #[serde(default)]
    pub command: Vec<String>,
    /// The model, in the program's own words; its default when absent.
    #[serde(default)]
    pub model: Option<String>,
}

/// What is tried when the choice before did not work out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fallback {
    /// With what.
    pub choice: AgentChoice,
    /// After which classes.
    pub on: Vec<AgentClass>,
}

/// Where the prompt comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentPrompt {
    /// The rendered text.
    Text(String),
    /// A file: relative to TASK_DIR, or `$JOB_WORKSPACE/…`.
    File(String),
}

/// What an agent may do without being asked; nobody is there to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AgentPermission {
    /// Read.
    Read,
    /// Read, and change files below its directory.
    #[default]
    Edit,
    /// Whatever its process may do.
    Full,
}

/// A session of an agent, wherever it was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentSession {
    /// Sessions belong to the program that began them.
    pub cli: AgentCli,
    /// Its name for it.
    pub id: String,
}

/// What the final message has to hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VerdictOrder {
    /// A JSON Schema.
    pub schema: Value,
    /// Without one the class is `NO_VERDICT`; otherwise it is only absent.
    pub required: bool,
    /// How often the same session is asked for it again.
    pub asks: u32,
    /// The fields that votes are counted by; all of the verdict when empty.
    #[serde(default)]
    pub vote_fields: Vec<String>,
}

/// What an attempt may use up; it is killed when more is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct AgentLimits {
    /// Turns of the model, as we count them.
    pub turns: Option<u32>,
    /// Tokens, in and out, without those read from a cache.
    pub tokens: Option<u64>,
    /// Money. What a program does not report is priced by the table.
    pub usd: Option<MicroUsd>,
}

/// How long an agent may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentWatch {
    /// Until the first event.
    pub start: Duration,
    /// Between two events, as long as neither CPU nor files move.
    pub idle: Option<Duration>,
    /// From the result to the end of the process; then it is killed, and the result counts.
    pub after_result: Duration,
    /// From TERM to KILL.
    pub kill_grace: Duration,
}

/// All that is known of an agent attempt. It is written anew whenever something becomes known, so that what ended it cannot
/// take the record with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentRecord {
    /// How it ended; absent while it runs, and when its runner was killed.
    #[serde(default)]
    pub class: Option<AgentClass>,
    /// Why, in a sentence.
    #[serde(default)]
    pub message: String,
    /// Each start of a program, in order: the first, re-asks, fallbacks, votes.
    pub runs: Vec<AgentRun>,
    /// The session to go on with.
    #[serde(default)]
    pub session: Option<AgentSession>,
    /// All runs together.
    pub usage: AgentUsage,
    /// What matched the schema.
    #[serde(default)]
    pub verdict: Option<Value>,
    /// The agent's own final message; what is longer than 64 KiB is cut in the middle.
    #[serde(default)]
    pub final_message: String,
    /// A limit of the account that was met.
    #[serde(default)]
    pub limit: Option<AccountLimit>,
    /// Tools that it was refused.
    #[serde(default)]
    pub denials: Vec<Denial>,
    /// Files below its directory that differ from the commit that it began with; at most 1 000.
    #[serde(default)]
    pub files_changed: Vec<String>,
    /// Commits that it added; at most 200.
    #[serde(default)]
    pub commits: Vec<AgentCommit>,
    /// For people: non-JSON lines, unknown events, totals that do not add up, …
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// One start of an agent's program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentRun {
    /// Program and model, as ordered.
    pub choice: AgentChoice,
    /// Why it was started.
    pub purpose: RunPurpose,
    /// How it ended; absent while it runs.
    #[serde(default)]
    pub class: Option<AgentClass>,
    /// Its session, as soon as it is known.
    #[serde(default)]
    pub session_id: Option<String>,
    /// The model that answered, as reported.
    #[serde(default)]
    pub model: Option<String>,
    /// What it used.
    pub usage: AgentUsage,
    /// The program's exit code; absent while it runs and after a signal.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// When it was started.
    pub started_at: UnixMillis,
    /// When its last process was gone.
    #[serde(default)]
    pub ended_at: Option<UnixMillis>,
}

/// Why a program was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunPurpose {
    /// To do the work.
    Work,
    /// To be asked for the verdict again.
    Reask,
    /// Because the choice before did not work out.
    Fallback,
    /// To vote.
    Vote,
}

/// What was used up. What a program does not say is absent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct AgentUsage {
    /// Turns of the model, as we count them.
    pub turns: u32,
    /// Tokens.
    pub tokens: Option<AgentTokens>,
    /// Money; absent when it is neither reported nor can be priced.
    pub cost: Option<MicroUsd>,
    /// Where `cost` comes from.
    pub cost_source: Option<CostSource>,
    /// Tokens by model, where a program says so.
    pub by_model: IndexMap<String, AgentTokens>,
}

/// Tokens by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct AgentTokens {
    /// Sent, and neither read from nor written to a cache.
    pub input: u64,
    /// Answered, reasoning included.
    pub output: u64,
    /// Read from a cache.
    pub cache_read: u64,
    /// Written to a cache.
    pub cache_write: u64,
}

impl AgentTokens {
    /// Those that limits and sums count: in and out, without those read from a cache.
    pub fn counted(&self) -> u64 {
        self.input.saturating_add(self.output).saturating_add(self.cache_write)
    }

    /// And so many more.
    pub fn add(&mut self, more: &Self) {
        self.input = self.input.saturating_add(more.input);
        self.output = self.output.saturating_add(more.output);
        self.cache_read = self.cache_read.saturating_add(more.cache_read);
        self.cache_write = self.cache_write.saturating_add(more.cache_write);
    }
}

/// Where a cost comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CostSource {
    /// The program said so.
    Reported,
    /// Tokens by the price table of this date (`YYYY-MM-DD`).
    Priced(String),
    /// Some runs one way, some the other.
    Mixed,
}

/// A limit of an account that was met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountLimit {
    /// When it can be used again, if that was said.
    #[serde(default)]
    pub resets_at: Option<UnixMillis>,
    /// What was said.
    pub message: String,
}

/// A tool that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Denial {
    /// Its name.
    pub tool: String,
    /// What for, shortened.
    pub detail: String,
}

/// A commit that an agent added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentCommit {
    /// Its full name.
    pub id: String,
    /// Its first line.
    pub subject: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_exact_and_limits_are_never_below_what_was_paid() {
        let micros = |dollars| MicroUsd::from_dollars(dollars).map(|money| money.0);
        assert_eq!([0.1, 0.25, 1e-6, 0.0].map(micros), [Some(100_000), Some(250_000), Some(1), Some(0)]);
        assert_eq!(micros(0.000_000_4), Some(1));
        assert_eq!([-1.0, f64::NAN, f64::INFINITY, 1e12].map(micros), [None; 4]);
        assert_eq!(
            [0, 1_250_000, 1_300, 20_000_000].map(|n| MicroUsd(n).to_string()),
            ["$0.00", "$1.25", "$0.0013", "$20.00"]
        );
    }
}
