//! Removes what is over: tells the writer when something is due, then removes the files that nobody needs any more.
//!
//! A content may be wanted again while it is being removed: an ant stores it first, and only then reports the artifact
//! that names it. While a backup is made nothing is removed. Else a content is removed only when no row names it and nobody
//! has stored it lately ([`ArtifactStore::remove`]), both looked at after it was written down as garbage, or found to be old.
//! Downloads go on: the file is open.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use atta_core::definition::Retention;
use atta_core::protocol::AttemptId;
use atta_core::resilience::Component;
use atta_core::time::Clock;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::artifacts::{ArtifactStore, Removal, Uploads};
use crate::backup::Hold;
use crate::logs::LogStore;
use crate::scheduler::Queen;
use crate::store::{Garbage, StoreError};
use crate::watch::Watch;

/// Files that are removed before the database is told.
const FILES: u32 = 200;
/// The wall clock may be set: look at least so often while something is to expire.
const LONGEST_SLEEP: Duration = Duration::from_mins(10);
/// After a change: many come together.
const CALM: Duration = Duration::from_secs(2);
/// How often contents are looked for that nothing names and nothing has named: those of attempts that were lost on the way.
const LOOK_FOR_UNLISTED: Duration = Duration::from_hours(24);
/// How long a server has to run before it removes any content.
const SETTLED: Duration = Duration::from_hours(1);
/// After an error, and while contents are too new to be removed.
const AGAIN: Duration = Duration::from_mins(5);

/// What the server keeps, and how long.
#[derive(Debug, Clone, Copy)]
pub struct Keeping {
    /// For jobs whose definition says nothing; `None` keeps them for ever.
    pub retention: Retention,
    /// A content that was stored more lately than this may belong to an attempt that has not reported yet.
    pub stored_lately: Duration,
}

impl Default for Keeping {
    fn default() -> Self {
        Self { retention: Retention::default(), stored_lately: Duration::from_hours(24) }
    }
}

pub(crate) struct Sweeper {
    pub(crate) queen: Queen,
    pub(crate) logs: LogStore,
    pub(crate) artifacts: Arc<dyn ArtifactStore>,
    pub(crate) uploads: Uploads,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) keeping: Keeping,
    pub(crate) data_dir: PathBuf,
}

impl Sweeper {
    pub(crate) fn start(self, watch: &Watch) -> JoinHandle<()> {
        let sweeper = Arc::new(self);
        watch.run("sweeper", move |component| Arc::clone(&sweeper).run(component))
    }

    async fn run(self: Arc<Self>, component: Component) -> Result<(), String> {
        let mut events = self.queen.latest_event();
        let (began, mut looked) = (Instant::now(), None::<Instant>);
        // Ants that could not report while no server was there do it first.
        let settled = SETTLED.min(self.keeping.stored_lately);
        loop {
            let busy = component.work();
            let mut swept = self.sweep(began.elapsed() >= settled).await;
            let due = looked.map_or(began.elapsed() >= settled, |looked| looked.elapsed() >= LOOK_FOR_UNLISTED);
            if swept.is_ok() && due {
                match self.remove_unlisted().await {
                    Ok(()) => looked = Some(Instant::now()),
                    Err(error) => swept = Err(error),
                }
            }
            drop(busy);
            component.trouble(swept.as_ref().err().cloned());
            let wait = match swept {
                Ok(left) => {
                    let next = self.queen.store().next_expiry(&self.keeping.retention).await;
                    let due = next.map(|next| next.map(|at| at.since(self.clock.now()).min(LONGEST_SLEEP)));
                    match due {
                        // What is due and was not removed is needed by somebody, whose end will wake us.
                        Ok(due) => {
                            let due = due.map(|due| if due.is_zero() { AGAIN } else { due });
                            due.into_iter().chain(left.then_some(AGAIN)).min()
                        }
                        Err(error) => {
                            tracing::warn!(%error, "it is not known when something expires");
                            Some(AGAIN)
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "what has expired was not removed");
                    Some(AGAIN)
                }
            };
            let sleep = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep => {}
                changed = events.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    tokio::time::sleep(CALM).await;
                    events.mark_unchanged();
                }
            }
        }
    }

    /// Removes everything that is due. `true` when files stay that are too new. Until it has `settled`, contents stay: an
    /// end may name them that an ant could not report while no server was there.
    async fn sweep(&self, settled: bool) -> Result<bool, String> {
        let due = self.queen.store().next_expiry(&self.keeping.retention).await.map_err(|error| error.to_string())?;
        if due.is_some_and(|due| due <= self.clock.now()) {
            loop {
                let swept = self.queen.sweep(self.keeping.retention).await.map_err(|refusal| refusal.to_string())?;
                if swept.jobs + swept.artifacts > 0 {
                    tracing::info!(jobs = swept.jobs, artifacts = swept.artifacts, "removed what has expired");
                }
                if !swept.more {
                    break;
                }
            }
        }
        loop {
            let garbage = self.queen.store().garbage(FILES, settled).await.map_err(|error| error.to_string())?;
            if garbage.is_empty() {
                return Ok(!settled);
            }
            // A backup may be about to read them.
            let hold = Hold::remove(&self.data_dir).map_err(|error| format!("backup.lock cannot be used: {error}"))?;
            let Some(_hold) = hold else {
                tracing::debug!("files that have expired stay while a backup is made");
                return Ok(true);
            };
            let mut cleared = Vec::with_capacity(garbage.len());
            let mut left = false;
            for (file, named) in garbage {
                match self.remove(&file, named).await {
                    Ok(true) => cleared.push(file),
                    Ok(false) => left = true,
                    Err(error) => {
                        tracing::warn!(?file, error, "an expired file cannot be removed");
                        left = true;
                    }
                }
            }
            let nothing = cleared.is_empty();
            if !nothing {
                self.queen.clear_garbage(cleared).await.map_err(|refusal| refusal.to_string())?;
            }
            if nothing || left {
                return Ok(left);
            }
        }
    }

    /// Removes contents that an attempt has stored and never reported, because it was lost in between.
    async fn remove_unlisted(&self) -> Result<(), String> {
        let matches = self.queen.store().goes_with(&self.data_dir).await.map_err(|error| error.to_string())?;
        if !matches {
            return Err("no file is removed: the data directory does not note this database (database.id)".to_owned());
        }
        let oldest = self.queen.store().oldest_lease().await.map_err(|error: StoreError| error.to_string())?;
        // An attempt may send for days, and names all of it at its end.
        let leased = oldest.map_or(Duration::ZERO, |oldest| self.clock.now().since(oldest));
        let age = self.keeping.stored_lately.max(leased);
        let mut removed = 0;
        for first in 0..=u8::MAX {
            let aged = self.artifacts.aged(first, age).await.map_err(|error| error.to_string())?;
            if aged.is_empty() {
                continue;
            }
            let hold = Hold::remove(&self.data_dir).map_err(|error| format!("backup.lock cannot be used: {error}"))?;
            let Some(_hold) = hold else { return Ok(()) };
            for digest in aged {
                let named = || self.queen.store().is_named(&digest);
                if named().await.map_err(|error: StoreError| error.to_string())? {
                    continue;
                }
                let removal = self.artifacts.remove(&digest, age).await.map_err(|error| error.to_string())?;
                if removal == Removal::Gone {
                    removed += 1;
                    if named().await.map_err(|error: StoreError| error.to_string())? {
                        tracing::error!(%digest, "a content was removed that an artifact names");
                    }
                }
            }
        }
        if removed > 0 {
            tracing::info!(removed, "removed contents that no artifact names");
        }
        let forgotten = self.uploads.forget().await.map_err(|error| format!("uploads/ cannot be swept: {error}"))?;
        if forgotten > 0 {
            tracing::info!(forgotten, "removed parts of contents that nobody went on sending");
        }
        Ok(())
    }

    /// `true` when there is nothing left to do about the file.
    async fn remove(&self, file: &Garbage, named: bool) -> Result<bool, String> {
        match file {
            Garbage::Log(attempt) => {
                let removed = self.logs.remove(&AttemptId(attempt.clone())).await;
                removed.map(|()| true).map_err(|error| error.to_string())
            }
            Garbage::Artifact(_) if named => Ok(true),
            Garbage::Artifact(digest) => {
                let stored_lately = self.keeping.stored_lately;
                let removal = self.artifacts.remove(digest, stored_lately).await.map_err(|error| error.to_string())?;
                if removal == Removal::TooNew {
                    return Ok(false);
                }
                let named = self.queen.store().is_named(digest).await.map_err(|error: StoreError| error.to_string())?;
                if named {
                    tracing::error!(%digest, "a content was removed that an artifact names");
                }
                Ok(true)
            }
        }
    }
}
