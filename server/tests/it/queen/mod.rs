//! The queen with a scripted ant and a clock that stands still until it is moved.

mod agents;
mod approvals;
mod budgets;
mod clocks;
mod commands;
mod concurrency;
mod damaged;
mod dispatch;
mod failures;
mod fan_out;
mod fan_out_approvals;
mod flow;
mod forks;
mod job_triggers;
mod leases;
mod lost_connections;
mod outcomes;
mod postgres;
mod recovery;
pub(crate) mod rig;
mod scale;
mod schedules;
mod submit;
mod submit_jobs;
mod tiers;
mod undefined;
mod workspaces;
