//! What an attempt does, one file per method, and what the methods share.

mod attempt;
mod environment;
mod exchange;
mod guard;
mod http;
mod log;
mod phrase;
mod process;
mod program;
mod set_output;
mod shared;
mod shell;

pub(crate) use program::find as find_program;

use std::path::PathBuf;
use std::sync::Arc;

use atta_core::protocol::ant::{Action, Assignment, AttemptReport};
use tokio::sync::watch;

use crate::ant::{Core, Order};

pub use guard::{HostResolver, HttpPolicy, PrivateAddresses, SystemResolver};

/// The end of an attempt.
pub(crate) struct Finished {
    /// What is reported; nothing when the attempt is to be forgotten.
    pub(crate) report: Option<AttemptReport>,
    /// To be removed.
    pub(crate) directory: PathBuf,
    /// A process of it may still be there, so no other attempt may get its directory.
    pub(crate) haunted: bool,
}

/// Executes an attempt to its end: its log and artifacts are delivered when this returns.
pub(crate) async fn execute(core: &Arc<Core>, assignment: Assignment, orders: watch::Receiver<Order>) -> Finished {
    match &assignment.action {
        Action::Shell { .. } => shell::execute(core, assignment, orders).await,
        Action::Http(_) => http::execute(core, assignment, orders).await,
    }
}
