//! The queen: it decides and records, and never executes work.
//!
//! * [`store`]: the only place with SQL
//! * [`scheduler`]: [`scheduler::Queen`], the one writer around the engine: submit, commands, dispatch, timers, cron
//! * [`logs`], [`artifacts`]: the data plane
//! * [`secrets`]: configs and secrets; [`auth`]: who asks
//! * [`backup`]: archives of a running server, and moving between databases
//! * [`api`]: HTTP; [`Server`]: all of it together

pub mod api;
pub mod artifacts;
pub mod auth;
pub mod backup;
mod blocking;
pub mod dashboard;
pub mod directory;
mod line;
mod links;
mod listen;
pub mod logs;
mod notes;
pub mod notify;
mod outcomes;
mod regulator;
pub mod scheduler;
pub mod secrets;
mod server;
#[cfg(feature = "simulation")]
pub mod simulation;
mod standby;
pub mod store;
mod sweeper;
mod telemetry;
mod tls;
mod watch;

pub use line::{AntLine, LineError};
pub use scheduler::Database;
pub use server::{Server, ServerConfig, StartError};
pub use sweeper::Keeping;
pub use tls::{TlsError, TlsSource};
