//! What an attempt does, one file per method, and what the methods share.

mod agent;
mod attempt;
mod environment;
mod exchange;
mod github;
mod guard;
mod http;
mod log;
mod memory;
mod phrase;
mod process;
mod program;
mod set_output;
mod shared;
mod shell;

pub(crate) use http::REQUESTED;
pub(crate) use memory::{Adopted, AdoptedFrom, Left, Memory, Record};
pub(crate) use process::ShimLine;
pub(crate) use program::find as find_program;

use std::path::PathBuf;
use std::sync::Arc;

use atta_core::protocol::AttemptId;
use atta_core::protocol::ant::{Action, Assignment, AttemptReport};
use atta_core::secret::SecretValue;
use tokio::sync::watch;

use crate::ant::{Core, Order};
use crate::workspace::Lease;

pub use guard::{HostResolver, HttpPolicy, PrivateAddresses, SystemResolver};

/// The end of an attempt.
pub(crate) struct Finished {
    /// What is reported; nothing when the attempt is to be forgotten.
    pub(crate) report: Option<AttemptReport>,
    /// To be removed.
    pub(crate) directory: PathBuf,
    /// A process of it may still be there, so no other attempt may get its directory.
    pub(crate) haunted: bool,
    /// To be released when the end was heard.
    pub(crate) shim: Option<ShimLine>,
}

/// Executes an attempt to its end: its log and artifacts are delivered when this returns.
pub(crate) async fn execute(core: &Arc<Core>, assignment: Assignment, orders: watch::Receiver<Order>) -> Finished {
    match &assignment.action {
        Action::Shell { .. } | Action::Agent(_) => shell::execute(core, assignment, orders).await,
        Action::Http(_) => http::execute(core, assignment, orders).await,
        Action::Github(_) => github::execute(core, assignment, orders).await,
    }
}

/// Goes on with an attempt that an earlier ant began, to its end.
pub(crate) async fn resume(
    core: &Arc<Core>,
    adopted: Adopted,
    workspace: Option<Lease>,
    orders: watch::Receiver<Order>,
) -> Finished {
    shell::resume(core, adopted, workspace, orders).await
}

/// The secrets of an attempt: what it was given, and what it takes over from the ant.
pub(crate) fn secrets(core: &Core, assignment: &Assignment) -> Vec<SecretValue> {
    let mut secrets = assignment.secrets.values.clone();
    secrets.extend(environment::inherited_secrets(&core.config.environment, &assignment.inherit_env));
    secrets
}

/// The names of the cgroups that programs of an attempt may be in.
pub(crate) fn cgroups(id: &AttemptId) -> [String; 2] {
    [memory::Stage::Script, memory::Stage::After].map(|stage| stage.cgroup(id))
}
