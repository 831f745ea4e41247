//! The ant: it executes and reports, and never decides.
//!
//! [`Launcher::fork`] is called in `main` before any thread exists; [`Ant::start`] then takes work from a queen
//! through a [`QueenLink`] and runs each attempt under a small supervising process of its own.

mod ant;
mod blocking;
mod executor;
mod link;
pub mod remote;
#[cfg(feature = "simulation")]
pub mod simulation;
mod supervisor;
mod workspace;
pub mod workspaces;

pub use ant::{AgentRunner, Ant, AntConfig, Orphans, RunningAttempt, SpoolUse, StartError};
pub use executor::{HostResolver, HttpPolicy, PrivateAddresses, SystemResolver};
pub use link::*;
pub use supervisor::{IsolationLevel, Launcher, isolation_level};
