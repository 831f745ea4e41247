//! From YAML text to a typed, checked [`JobDefinition`], or to diagnostics with positions.
//!
//! [`load`] reads bytes into a tree with positions, walks it with types, then checks the graph and the templates.
//! Every problem is found in one pass; [`render_diagnostics`] shows them to people, [`diagnostic_resources`] and
//! [`sarif`] to programs.

mod accounts;
mod addresses;
mod agent;
mod agent_context;
mod approval;
mod budget;
mod cache;
mod check;
mod check_agents;
mod check_configs;
mod check_jobs;
mod check_sources;
pub mod code;
mod control;
mod data;
mod diagnostic;
mod duration;
mod env_from;
mod format;
mod git_names;
mod github;
mod http;
mod job;
mod keys;
mod limits;
mod load;
mod method;
mod methods_submit;
mod model;
mod names;
mod notify;
mod options;
mod outcome;
mod params;
mod position;
mod problems;
mod render;
mod resolve;
mod retention;
mod routes;
mod scalar;
mod schedule;
mod schema;
mod size;
mod task;
mod tree;
mod triggers;
mod walk;
mod workspace;

pub use accounts::{AgentAccount, Rotation};
pub use addresses::{AddressKind, AddressRule, parse_rule as parse_address_rule};
pub use agent::{AGENT_OUTPUTS, AgentOptions, FallbackOptions, PromptSource, ResumedTask, VerdictOptions};
pub use agent_context::{CONTEXT_CHARS, ContextFileSpec, ContextSpec, TRACKER_RESULT};
pub use approval::is_person_name;
pub use budget::{Budget, BudgetLimits, OnExceed};
pub use cache::{CacheSpec, IN_WORKSPACE, check_cache_key, check_cache_path};
pub use check_configs::{ConfigUses, KnownConfigs};
pub use diagnostic::*;
pub use duration::{DurationError, format_duration, parse_duration};
pub use format::{Extent, Formatted, format};
pub use git_names::{GitName, check_git_name, check_git_url, redacted_git_url};
pub use github::{
    GITHUB_API, GITHUB_TOKEN, GithubCredentialSpec, GithubOperation, GithubOptions, MOST_LISTED, check_github_setting,
};
pub use http::{ExpandedPart, ExpandedText, HttpBody, HttpOptions};
pub use keys::{ReferencePage, json_schema, reference_pages};
pub use limits::Limits;
pub use load::{Loaded, load, load_with, read_yaml};
pub use methods_submit::MOST_SUBMITTED;
pub use model::*;
pub use names::{is_identifier, is_job_type};
pub use notify::*;
pub use options::*;
pub use outcome::{OutcomeSpec, OutcomeState, ReworkTask};
pub use params::{check_params, coerce_cli_params};
pub use position::{LineIndex, Position, position};
pub(crate) use problems::closest;
pub use render::{DiagnosticResource, diagnostic_resources, render_diagnostics, sarif, violations};
pub use schedule::ScheduleError;
pub use schema::{check_against_schema, check_schema};
pub use size::{SizeError, format_size, parse_size};
pub use triggers::{
    JOB_TRIGGER_NAMES, JobTrigger, RateLimit, Trigger, WEBHOOK_NAMES, Wake, WebhookAuth, WebhookTrigger,
};
pub use workspace::{KeepWorkspace, WorkspaceGit, WorkspaceSpec};

#[cfg(test)]
#[expect(
    clippy::format_push_string,
    clippy::format_collect,
    clippy::duration_suboptimal_units,
    reason = "tests are read, not tuned"
)]
mod tests;
