//! Agents: a process that runs the agent of one attempt.
//!
//! The ant writes an [`AgentOrder`](atta_core::protocol::agent::AgentOrder) to a file and starts [`run_from_files`] in a
//! process of its own, in place of a script. What is known of the attempt stands in an
//! [`AgentRecord`](atta_core::protocol::agent::AgentRecord) that is rewritten whenever something becomes known.

mod adapters;
mod changes;
mod classify;
mod configuration;
pub mod conformance;
mod context;
mod event;
mod git;
mod globs;
mod inside;
mod lines;
mod prices;
mod process;
mod record;
mod runner;
mod skills;
mod transcript;
mod usage;
mod verdict;

pub use globs::PathGlobs;
pub use prices::{PriceError, Prices};
pub use runner::{Surroundings, TOLD_TO_END, restore_from_files, run_from_files, run_order};
