//! Files of attempts: the directory, what is laid into it and what is taken out of it; what they share with other
//! tasks of their job, and with later jobs.

mod archive;
mod artifacts;
mod cache;
mod directory;
mod git;
mod inputs;
mod mirror;
mod outputs;
mod record;
mod removal;
mod settings;
mod shared;

pub(crate) use artifacts::{Contents, Found, collect};
pub(crate) use cache::{CacheStore, Restored, Roots};
pub(crate) use directory::{AttemptDirectory, SpareDirectories, remove_tree};
pub(crate) use git::Git;
pub(crate) use inputs::plan as plan_inputs;
pub(crate) use mirror::Fault as WorkspaceFault;
pub(crate) use outputs::{Sources, read as read_outputs};
pub use record::{
    DamagedRecord, GitRecord, Kept, WorkspaceRecord, WorkspaceState, WorkspaceStore, measure as measure_workspace,
};
pub use removal::RemovalRefused;
pub(crate) use removal::{Removal, remove};
pub(crate) use shared::{Lease, SharedWorkspaces, settle};
