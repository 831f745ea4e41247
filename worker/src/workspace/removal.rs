//! Removing a workspace: never while its job may still use it, never with work that is nowhere else, unless somebody
//! who knows says so.

use std::path::PathBuf;

use atta_core::protocol::ant::WorkspaceId;

use super::git::Git;
use super::mirror::{Mirror, Work};
use super::record::{WorkspaceRecord, WorkspaceState, WorkspaceStore};

/// How sure the one who removes it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    /// Only one whose job is over and whose work is on the remote, which is looked at.
    Pushed,
    /// Its job has just ended, and its work has just been looked at.
    Checked,
    /// Its job has ended before any task saw it.
    Unused,
    /// Whatever it is.
    Forced,
}

/// Why a workspace is not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemovalRefused {
    /// There is none.
    #[error("there is no such workspace")]
    Unknown,
    /// Its job is not over.
    #[error("its job is not over")]
    Live,
    /// It has work that is nowhere else.
    #[error("unpushed work: {0}")]
    Unpushed(String),
    /// It cannot be seen whether its work is on the remote.
    #[error("nobody can say whether its work is pushed, because {0}")]
    Doubt(String),
    /// A file or git was in the way.
    #[error("{0}")]
    Failed(String),
}

impl From<std::io::Error> for RemovalRefused {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Removes a workspace, or goes on with a removal that was interrupted.
pub(crate) async fn remove(
    store: &WorkspaceStore,
    git: &Git,
    id: &WorkspaceId,
    how: Removal,
) -> Result<(), RemovalRefused> {
    let record = read(store, id)?;
    if how == Removal::Pushed
        && record.state == WorkspaceState::Kept
        && let Some(of) = record.git.as_ref().filter(|of| !of.discard_unpushed)
    {
        let mirror = Mirror::new(store.mirrors(), &of.mirror);
        match mirror.work(git, &store.path(id), of, true).await {
            Ok(Work::Pushed(_)) => {}
            Ok(Work::Unpushed(what)) => return Err(RemovalRefused::Unpushed(what)),
            Err(error) => return Err(RemovalRefused::Doubt(error.to_string())),
        }
    }
    let (owned, wanted) = (store.clone(), id.clone());
    let (record, trash) = blocking(move || take_away(&owned, &wanted, how)).await?;
    let remove_tree = move || super::remove_tree(&trash).map_err(RemovalRefused::from);
    blocking(remove_tree).await?;
    if let Some(of) = &record.git {
        let mirror = Mirror::new(store.mirrors(), &of.mirror);
        mirror.forget(git, of).await.map_err(|error| RemovalRefused::Failed(error.to_string()))?;
    }
    store.forget(&store.lock()?, id)?;
    Ok(())
}

fn read(store: &WorkspaceStore, id: &WorkspaceId) -> Result<WorkspaceRecord, RemovalRefused> {
    store.read(id)?.ok_or(RemovalRefused::Unknown)
}

/// From here on there is no way back.
fn take_away(
    store: &WorkspaceStore,
    id: &WorkspaceId,
    how: Removal,
) -> Result<(WorkspaceRecord, PathBuf), RemovalRefused> {
    let lock = store.lock()?;
    let mut record = read(store, id)?;
    let may = match record.state {
        WorkspaceState::Kept | WorkspaceState::Removing => true,
        WorkspaceState::Live => matches!(how, Removal::Checked | Removal::Forced),
        WorkspaceState::Preparing => matches!(how, Removal::Checked | Removal::Unused | Removal::Forced),
    };
    if !may {
        return Err(RemovalRefused::Live);
    }
    record.state = WorkspaceState::Removing;
    store.write(&lock, &record)?;
    let trash = store.discard(id)?;
    Ok((record, trash))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RemovalRefused> + Send + 'static,
) -> Result<T, RemovalRefused> {
    match crate::blocking::blocking(work).await {
        Ok(result) => result,
        Err(panic) => Err(RemovalRefused::Failed(panic.to_string())),
    }
}
