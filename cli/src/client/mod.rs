//! Commands that talk to a server over its HTTP API.

mod ants;
mod approvals;
mod artifacts;
mod attach;
mod attempt_command;
mod budgets;
mod configs;
mod definitions;
mod degrade;
mod deliveries;
mod download;
mod events;
pub(crate) mod follow;
mod http;
mod job_commands;
mod jobs;
mod logs;
mod notifications;
mod outcomes;
#[cfg(test)]
mod scripted;
mod stream;
mod submit;
mod tokens;

pub(crate) use ants::ants;
pub(crate) use approvals::{approvals, vote};
pub(crate) use artifacts::artifacts;
pub(crate) use attach::attach;
pub(crate) use budgets::{accounts, budget};
pub(crate) use configs::{config, secret, store_config, without_line_end};
pub(crate) use definitions::{definitions, upload_text};
pub(crate) use degrade::{degrade, sentence as degradation_sentence};
pub(crate) use deliveries::deliveries;
pub(crate) use events::events;
pub(crate) use http::{Server, authorities_pem, given_token};
pub(crate) use job_commands::{JobVerb, cancel, perform, rerun, resubmit, resume};
pub(crate) use jobs::jobs;
pub(crate) use logs::logs;
pub(crate) use notifications::notifications;
pub(crate) use outcomes::outcomes;
pub(crate) use submit::submit;
pub(crate) use tokens::token;
