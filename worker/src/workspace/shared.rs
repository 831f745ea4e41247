//! The directories that tasks of a job share, as the running ant sees them: given to attempts, released with the job,
//! swept when their time is over.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use atta_core::definition::{InheritEnv, KeepWorkspace};
use atta_core::engine::JobState;
use atta_core::protocol::ant::{Assignment, WorkspaceId, WorkspaceOrder, WorkspaceRelease};
use atta_core::time::UnixMillis;
use tokio::sync::Notify;

use super::git::{Address, Git};
use super::mirror::{self, Fault, Mirror, Work};
use super::record::{GitRecord, Kept, StoreLock, WorkspaceRecord, WorkspaceState, WorkspaceStore, measure};
use super::removal::{Removal, remove};
use crate::ant::Core;

/// Workspaces with work that is nowhere else are looked at again so often when their time is over.
const LOOK_AGAIN: Duration = Duration::from_hours(24);

/// The workspaces of a running ant.
pub(crate) struct SharedWorkspaces {
    pub(crate) store: WorkspaceStore,
    /// Bytes of kept workspaces.
    quota: u64,
    /// Those whose jobs are not over, as far as the queen has said.
    live: Mutex<HashMap<WorkspaceId, Entry>>,
    /// Something is kept that was not kept before.
    kept: Notify,
}

#[derive(Default)]
struct Entry {
    /// Attempts that use it now.
    users: usize,
    /// Who holds it may make the directory.
    gate: Arc<tokio::sync::Mutex<()>>,
    /// The job is over; waits for the last user.
    released: Option<WorkspaceRelease>,
    /// It is being kept or removed, by whoever holds the gate.
    settling: bool,
    /// How its repository is reached, as long as this ant lives: passwords are stored nowhere.
    git: Option<Git>,
}

/// An attempt's use of a workspace.
pub(crate) struct Lease {
    core: Arc<Core>,
    id: WorkspaceId,
    pub(crate) path: PathBuf,
    /// Variables for the attempt's programs.
    pub(crate) variables: Vec<(OsString, OsString)>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let released = {
            let mut live = self.core.workspaces.live();
            let Some(entry) = live.get_mut(&self.id) else { return };
            entry.users = entry.users.saturating_sub(1);
            if entry.users == 0 { entry.released.take() } else { None }
        };
        if let Some(release) = released {
            self.core.workspaces.release(&self.core, release);
        }
    }
}

impl SharedWorkspaces {
    /// Takes up what a previous ant left; tasks of it may still run in some. Blocks.
    pub(crate) fn open(store: WorkspaceStore, quota: u64, in_use: bool) -> io::Result<Self> {
        let mut live = HashMap::new();
        let (records, damaged) = store.list()?;
        for record in records {
            if matches!(record.state, WorkspaceState::Live | WorkspaceState::Preparing) {
                live.insert(record.id, Entry::default());
            }
        }
        for record in damaged {
            tracing::warn!(
                workspace = record.name,
                reason = record.reason,
                "a workspace's facts cannot be read; it stays"
            );
        }
        if !in_use && store.mirrors().is_dir() {
            mirror::unlock_all(store.mirrors());
        }
        Ok(Self { store, quota, live: Mutex::new(live), kept: Notify::new() })
    }

    fn live(&self) -> MutexGuard<'_, HashMap<WorkspaceId, Entry>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that polls name.
    pub(crate) fn held(&self) -> Vec<WorkspaceId> {
        let live = self.live();
        // A release that waits for a user has been heard.
        let mut held: Vec<_> =
            live.iter().filter(|(_, e)| e.released.is_none() && !e.settling).map(|(id, _)| id.clone()).collect();
        held.sort();
        held
    }

    /// An attempt was given that will use a workspace: polls name it from now on.
    pub(crate) fn expect(&self, id: &WorkspaceId) {
        self.live().entry(id.clone()).or_default();
    }

    /// Gives an attempt its workspace in which it is already: a previous ant gave it.
    pub(crate) fn enter_again(core: &Arc<Core>, assignment: &Assignment) -> Option<Lease> {
        let order = assignment.workspace.as_ref()?;
        let this = &core.workspaces;
        let given = assignment.environment.iter().map(|(name, value)| (name.into(), value.into()));
        let secret = assignment.secrets.environment.iter().map(|(name, value)| (name.into(), value.reveal().into()));
        let environment: Vec<(OsString, OsString)> = given.chain(secret).collect();
        let address = order.git.as_ref().map(|git| Address::new(&git.url));
        let mut live = this.live();
        let entry = live.entry(order.id.clone()).or_default();
        entry.users += 1;
        if address.is_some() {
            entry.git = Some(git_of(&core.config.environment, &assignment.inherit_env, &environment, address.as_ref()));
        }
        let path = this.store.path(&order.id);
        let mut variables = vec![("JOB_WORKSPACE".into(), path.clone().into())];
        variables.extend(address.iter().flat_map(|address| address.variables(&environment)));
        Some(Lease { core: core.clone(), id: order.id.clone(), path, variables })
    }

    /// Gives an attempt its workspace, made if it is new. May take long; can be dropped at any time.
    pub(crate) async fn acquire(
        core: &Arc<Core>,
        assignment: &Assignment,
        order: &WorkspaceOrder,
        environment: &[(OsString, OsString)],
    ) -> Result<Lease, Fault> {
        let this = &core.workspaces;
        let (gate, lease) = {
            let mut live = this.live();
            let entry = live.entry(order.id.clone()).or_default();
            entry.users += 1;
            // The job goes on after all.
            entry.released = None;
            entry.settling = false;
            let path = this.store.path(&order.id);
            (entry.gate.clone(), Lease { core: core.clone(), id: order.id.clone(), path, variables: Vec::new() })
        };
        let mut lease = lease;
        let _alone = gate.lock().await;
        let address = order.git.as_ref().map(|git| Address::new(&git.url));
        let git = git_of(&core.config.environment, &assignment.inherit_env, environment, address.as_ref());
        if address.is_some()
            && let Some(entry) = this.live().get_mut(&order.id)
        {
            entry.git = Some(git.clone());
        }
        let record = this.claim(core, assignment, order, address.as_ref()).await?;
        let tree = lease.path.clone();
        lease.variables.push(("JOB_WORKSPACE".into(), tree.clone().into()));
        lease.variables.extend(address.iter().flat_map(|address| address.variables(environment)));
        let (Some(spec), Some(of)) = (&order.git, &record.git) else {
            if record.state == WorkspaceState::Preparing {
                this.change(&order.id, |record| record.state = WorkspaceState::Live).await?;
            }
            return Ok(lease);
        };
        let mirror = Mirror::new(this.store.mirrors(), &of.mirror);
        if record.state != WorkspaceState::Preparing {
            if this.live().get(&order.id).is_some_and(|entry| entry.users == 1) {
                mirror.unlock(&tree);
            }
            mirror.restore(&of.url)?;
            return Ok(lease);
        }
        let begun = mirror.begin(&git, spec, &tree, of, &*core.config.entropy).await?;
        let claimed = GitRecord { base: Some(begun.base.clone()), branch: spec.branch.clone(), ..of.clone() };
        this.change(&order.id, |record| record.git = Some(claimed)).await?;
        mirror.finish(&git, spec.branch.as_deref(), &tree, begun).await?;
        let of_task = Git::of_task(environment);
        mirror.identify(&git, &of_task, &tree).await?;
        this.change(&order.id, |record| record.state = WorkspaceState::Live).await?;
        Ok(lease)
    }

    /// Finds the workspace's facts or writes them; an empty directory is made at once.
    async fn claim(
        &self,
        core: &Core,
        assignment: &Assignment,
        order: &WorkspaceOrder,
        address: Option<&Address>,
    ) -> Result<WorkspaceRecord, Fault> {
        let (store, now, order) = (self.store.clone(), core.config.clock.now(), order.clone());
        let job_type = assignment.job_type.clone();
        let repository = address.map(|address| (Mirror::name(address), address.clean.clone()));
        blocking(move || {
            let lock = store.lock()?;
            let path = store.path(&order.id);
            let known = store.read(&order.id)?;
            let mut record = match known {
                Some(record) if record.state == WorkspaceState::Removing => return Err(gone(&path)),
                Some(record) if record.state == WorkspaceState::Preparing => record,
                Some(_) if !path.is_dir() => return Err(gone(&path)),
                Some(record) => WorkspaceRecord { state: WorkspaceState::Live, kept: None, outcome: None, ..record },
                None if order.made => return Err(gone(&path)),
                None if fs::symlink_metadata(&path).is_ok() => {
                    let message = format!("{} is there, and nothing is known about it", path.display());
                    return Err(Fault::Failed(message));
                }
                None => WorkspaceRecord {
                    format: 1,
                    id: order.id.clone(),
                    job_type,
                    state: WorkspaceState::Preparing,
                    created_at: now,
                    used_at: now,
                    keep: order.keep,
                    ttl: order.ttl,
                    outcome: None,
                    kept: None,
                    bytes: None,
                    git: order.git.as_ref().zip(repository).map(|(git, (mirror, url))| GitRecord {
                        mirror,
                        url,
                        branch: git.branch.clone(),
                        base: None,
                        pushed: Vec::new(),
                        discard_unpushed: git.discard_unpushed,
                    }),
                },
            };
            record.used_at = now;
            store.write(&lock, &record)?;
            if record.state == WorkspaceState::Preparing && record.git.is_none() {
                super::remove_tree(&path)?;
                fs::DirBuilder::new().mode(0o700).create(&path)?;
            }
            Ok(record)
        })
        .await
    }

    /// Changes the facts of a workspace, if there are any.
    async fn change(&self, id: &WorkspaceId, change: impl FnOnce(&mut WorkspaceRecord) + Send) -> Result<(), Fault> {
        let (store, wanted) = (self.store.clone(), id.clone());
        let (lock, record) = blocking(move || {
            let lock = store.lock()?;
            let record = store.read(&wanted)?;
            Ok((lock, record))
        })
        .await?;
        let Some(mut record) = record else { return Ok(()) };
        change(&mut record);
        let store = self.store.clone();
        blocking(move || write(&store, &lock, &record)).await
    }

    /// What the queen says when a job is over, or has begun anew.
    pub(crate) fn release(&self, core: &Arc<Core>, release: WorkspaceRelease) {
        let (gate, git) = {
            let mut live = self.live();
            let Some(entry) = live.get_mut(&release.workspace) else { return };
            if entry.users > 0 {
                entry.released = Some(release);
                return;
            }
            if std::mem::replace(&mut entry.settling, true) {
                return;
            }
            (entry.gate.clone(), entry.git.take())
        };
        let WorkspaceRelease { workspace: id, outcome } = release;
        let core = core.clone();
        core.clone().spawn(async move {
            let alone = gate.lock().await;
            // An attempt that came meanwhile waits at the gate, and finds the workspace kept or gone.
            let git = git.unwrap_or_else(|| git_without_a_task(&core));
            if let Err(problem) = settle(&core.workspaces.store, &git, &id, outcome, core.config.clock.now()).await {
                let workspace = WorkspaceStore::name(&id);
                tracing::warn!(workspace, problem, "a workspace that is not needed any more stays");
            }
            {
                let mut live = core.workspaces.live();
                if live.get(&id).is_some_and(|entry| entry.users == 0) {
                    live.remove(&id);
                }
            }
            drop(alone);
            core.workspaces.keep_to_quota(&core).await;
            core.workspaces.kept.notify_one();
        });
    }

    /// Removes kept workspaces, the oldest first, until the others keep to the quota. What is nowhere else stays.
    async fn keep_to_quota(&self, core: &Arc<Core>) {
        let Ok((mut records, _)) = self.store.list() else { return };
        records.retain(|record| record.state == WorkspaceState::Kept);
        records.sort_by_key(|record| record.kept.as_ref().map(|kept| kept.since));
        let mut total: u64 = records.iter().filter_map(|record| record.bytes).sum();
        for record in &records {
            if total <= self.quota {
                return;
            }
            if record.kept.as_ref().is_some_and(|kept| kept.unpushed) {
                continue;
            }
            let git = git_without_a_task(core);
            let workspace = WorkspaceStore::name(&record.id);
            match remove(&self.store, &git, &record.id, Removal::Pushed).await {
                Ok(()) => {
                    tracing::info!(workspace, quota = self.quota, "removed a kept workspace: the quota is used up");
                    total = total.saturating_sub(record.bytes.unwrap_or(0));
                }
                Err(refusal) => tracing::debug!(workspace, %refusal, "a kept workspace stays"),
            }
        }
        if total > self.quota {
            let quota = self.quota;
            tracing::warn!(
                total,
                quota,
                "kept workspaces with unpushed work take more than the quota; look at `atta workspaces list`"
            );
        }
    }

    /// Removes kept workspaces when their time is over, for as long as the ant lives.
    pub(crate) async fn sweep(core: Arc<Core>) {
        let this = &core.workspaces;
        loop {
            let now = core.config.clock.now();
            let (records, _) = match this.store.list() {
                Ok(found) => found,
                Err(error) => {
                    tracing::warn!(%error, "workspaces cannot be listed");
                    Default::default()
                }
            };
            let mut next: Option<UnixMillis> = None;
            for record in records {
                let due = match (&record.kept, record.state) {
                    (_, WorkspaceState::Removing) => now,
                    (Some(kept), WorkspaceState::Kept) => {
                        let over = kept.since.plus(record.ttl);
                        if kept.unpushed { over.max(kept.checked_at.plus(LOOK_AGAIN)) } else { over }
                    }
                    _ => continue,
                };
                if due > now {
                    next = Some(next.map_or(due, |next| next.min(due)));
                } else if let Some(again) = this.sweep_one(&core, &record, now).await {
                    next = Some(next.map_or(again, |next| next.min(again)));
                }
            }
            let wait = next.map(|next| next.since(now).max(Duration::from_millis(10)));
            tokio::select! {
                biased;
                () = this.kept.notified() => {}
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
            }
        }
    }

    /// Removes one whose time is over; says when to try again if it stays.
    async fn sweep_one(&self, core: &Arc<Core>, record: &WorkspaceRecord, now: UnixMillis) -> Option<UnixMillis> {
        let git = git_without_a_task(core);
        let workspace = WorkspaceStore::name(&record.id);
        match remove(&self.store, &git, &record.id, Removal::Pushed).await {
            Ok(()) => {
                tracing::info!(workspace, "removed a kept workspace: its ttl is over");
                None
            }
            Err(refusal) => {
                tracing::warn!(workspace, %refusal, "a workspace stays beyond its ttl");
                let reason = refusal.to_string();
                let noted = self.change(&record.id, |record| {
                    if let Some(kept) = &mut record.kept {
                        *kept = Kept { reason, unpushed: true, checked_at: now, since: kept.since };
                    }
                });
                if let Err(fault) = noted.await {
                    tracing::warn!(workspace, ?fault, "the facts of a workspace cannot be written");
                }
                Some(now.plus(LOOK_AGAIN))
            }
        }
    }
}

/// Keeps or removes a workspace whose job is over, by its own rule. The error is a sentence.
pub(crate) async fn settle(
    store: &WorkspaceStore,
    git: &Git,
    id: &WorkspaceId,
    outcome: Option<JobState>,
    now: UnixMillis,
) -> Result<(), String> {
    let Some(record) = store.read(id).map_err(|error| error.to_string())? else { return Ok(()) };
    if matches!(record.state, WorkspaceState::Removing) {
        return remove(store, git, id, Removal::Pushed).await.map_err(|refusal| refusal.to_string());
    }
    let ended = outcome.map_or("ended while the ant was away".to_owned(), |state| format!("is {}", state.as_str()));
    let mut why = match record.keep {
        KeepWorkspace::Always => Some("keep: always".to_owned()),
        KeepWorkspace::OnFailure if outcome != Some(JobState::Completed) => {
            Some(format!("keep: on_failure, and the job {ended}"))
        }
        KeepWorkspace::OnFailure | KeepWorkspace::Never => None,
    };
    let mut unpushed = false;
    let mut pushed = Vec::new();
    if let Some(of) = &record.git
        && record.state != WorkspaceState::Preparing
        && !of.discard_unpushed
    {
        let mirror = Mirror::new(store.mirrors(), &of.mirror);
        let doubt = match mirror.work(git, &store.path(id), of, why.is_none()).await {
            Ok(Work::Pushed(tips)) => {
                pushed = tips;
                None
            }
            Ok(Work::Unpushed(what)) => Some(format!("unpushed work: {what}")),
            Err(error) => Some(format!("nobody can say whether its work is pushed, because {error}")),
        };
        unpushed = doubt.is_some();
        why = match (why, doubt) {
            (Some(rule), Some(doubt)) => Some(format!("{rule}; {doubt}")),
            (rule, doubt) => doubt.or(rule),
        };
    }
    let Some(reason) = why else {
        let how = if record.state == WorkspaceState::Preparing { Removal::Unused } else { Removal::Checked };
        return remove(store, git, id, how).await.map_err(|refusal| refusal.to_string());
    };
    let (store, id, path) = (store.clone(), id.clone(), store.path(id));
    let kept = blocking(move || {
        let bytes = measure(&path);
        let lock = store.lock()?;
        let Some(mut record) = store.read(&id)? else { return Ok(()) };
        record.state = WorkspaceState::Kept;
        record.outcome = outcome;
        record.bytes = Some(bytes);
        record.kept = Some(Kept { since: now, reason, unpushed, checked_at: now });
        if let Some(git) = &mut record.git {
            git.pushed = pushed;
        }
        write(&store, &lock, &record)
    });
    kept.await.map_err(|fault| match fault {
        Fault::Invalid(message) | Fault::Failed(message) => message,
    })
}

fn write(store: &WorkspaceStore, lock: &StoreLock, record: &WorkspaceRecord) -> Result<(), Fault> {
    store.write(lock, record).map_err(Fault::from)
}

fn gone(path: &std::path::Path) -> Fault {
    Fault::Invalid(format!(
        "the workspace of this job is gone: {} is not there any more. It was removed after an earlier task had used it, \
         or was on another ant; submit the job again, or begin it anew (`retry_from: start`)",
        path.display()
    ))
}

/// Git for a task: with the settings of the ant's user only where the definition lets HOME through.
fn git_of(
    ant: &[(OsString, OsString)],
    inherit: &InheritEnv,
    task: &[(OsString, OsString)],
    address: Option<&Address>,
) -> Git {
    let named = match inherit {
        InheritEnv::All => true,
        InheritEnv::None => false,
        InheritEnv::Names(names) => names.iter().any(|name| name == "HOME"),
    };
    let find = |wanted: &str| ant.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_os_str());
    let home: Option<&OsStr> = if named { find("HOME") } else { None };
    if task.is_empty() {
        let path: Vec<_> = ant.iter().filter(|(name, _)| name == "PATH").cloned().collect();
        return Git::new(&path, home, address);
    }
    Git::new(task, home, address)
}

fn git_without_a_task(core: &Core) -> Git {
    git_of(&core.config.environment, &InheritEnv::None, &[], None)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    match crate::blocking::blocking(work).await {
        Ok(result) => result,
        Err(panic) => Err(Fault::Failed(format!("the ant failed: {panic}"))),
    }
}
