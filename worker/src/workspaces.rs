//! Workspaces of jobs, looked at and removed from outside of the ant, also while it runs.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use atta_core::engine::JobState;
use atta_core::protocol::ant::WorkspaceId;
use atta_core::time::UnixMillis;

pub use crate::workspace::{
    DamagedRecord, GitRecord, Kept, RemovalRefused, WorkspaceRecord, WorkspaceState, WorkspaceStore,
    measure_workspace as measure,
};
use crate::workspace::{Git, Removal, remove as remove_workspace, settle};

/// Removes a workspace. Without `force` only one whose job is over and whose work is on its remote. `path` is where git
/// is looked for.
pub async fn remove(
    store: &WorkspaceStore,
    id: &WorkspaceId,
    force: bool,
    path: Option<&OsStr>,
) -> Result<(), RemovalRefused> {
    let how = if force { Removal::Forced } else { Removal::Pushed };
    remove_workspace(store, &git(path), id, how).await
}

/// Keeps or removes all workspaces by their own rules after the only job of a data directory, whose ant has ended.
/// Returns those that are kept.
pub async fn settle_all(
    data_dir: &Path,
    outcome: Option<JobState>,
    now: UnixMillis,
    path: Option<&OsStr>,
) -> std::io::Result<Vec<WorkspaceRecord>> {
    let store = WorkspaceStore::new(data_dir);
    for record in store.list()?.0 {
        if record.state != WorkspaceState::Kept
            && let Err(problem) = settle(&store, &git(path), &record.id, outcome, now).await
        {
            tracing::warn!(workspace = WorkspaceStore::name(&record.id), problem, "a workspace stays");
        }
    }
    Ok(store.list()?.0)
}

fn git(path: Option<&OsStr>) -> Git {
    let environment: Vec<(OsString, OsString)> =
        path.map(|path| ("PATH".into(), path.to_owned())).into_iter().collect();
    Git::new(&environment, None, None)
}
