//! Whole-program tests.

#![expect(clippy::expect_used, reason = "these are tests; clippy knows that of test functions only")]

mod agents;
mod author;
mod backup;
mod bad_definitions;
mod budgets;
mod chaos;
#[expect(clippy::unwrap_used, reason = "these are tests; clippy knows that of test functions only")]
#[path = "../../../server/tests/it/cluster.rs"]
mod cluster;
mod control_flow;
mod demo;
mod dice;
mod documentation;
mod failover;
mod hostile;
mod lifecycle;
mod live_server;
mod mail;
mod operations;
mod outcomes;
mod postgres;
mod random_jobs;
#[cfg(feature = "real-agents")]
mod real_agents;
mod recovery;
mod red_team;
mod remote;
mod scratch;
mod secrets;
mod setup_github;
mod shipped;
mod shipped_again;
mod shipped_agents;
mod shipped_control;
mod shipped_ends;
mod shipped_github;
mod shipped_http;
mod shipped_jobs;
mod shipped_keys;
mod shipped_people;
#[expect(clippy::unwrap_used, reason = "these are tests; clippy knows that of test functions only")]
mod simulation;
mod surface;
mod terminal;
mod trackers;
mod transfers;
mod triggers;
mod upgrade;
mod workflows;
mod workspaces;
