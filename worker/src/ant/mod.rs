//! The ant's life: start, poll, report, drain, abort.

mod outbox;
mod retry;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use atta_core::protocol::ant::{Assignment, Heard, Orders, PollRequest, Report, ReportBody, Roster};
use atta_core::protocol::{AntId, AttemptId};
use atta_core::time::{Clock, Entropy, UnixMillis};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::executor;
use crate::supervisor::{self, ContainmentPlan};
use crate::workspace::{CacheStore, SharedWorkspaces, SpareDirectories, WorkspaceStore, remove_tree};
use crate::{HttpPolicy, IsolationLevel, Launcher, LinkError, QueenLink};

use outbox::Outbox;
use retry::Backoff;
pub(crate) use retry::{Said, say};

/// How long one question for work may stay open.
const POLL_WAIT: Duration = Duration::from_mins(1);

/// What an ant is told at its start.
#[derive(Clone)]
pub struct AntConfig {
    /// Who it is.
    pub id: AntId,
    /// Atta's data directory; the ant keeps to `ant/` in it.
    pub data_dir: PathBuf,
    /// How many attempts it runs at once; at least 1.
    pub slots: u32,
    /// Its tags.
    pub tags: Vec<String>,
    /// The ant's own environment: a snapshot made by the edge, of which attempts see the allow-list and what
    /// `inherit_env` names.
    pub environment: Vec<(OsString, OsString)>,
    /// Wall time of reports and log segments.
    pub clock: Arc<dyn Clock>,
    /// The session number and the jitter of retries.
    pub entropy: Arc<dyn Entropy>,
    /// The strongest isolation to use; `None` is the strongest that works here.
    pub isolation: Option<IsolationLevel>,
    /// Bytes that kept workspaces may take before the oldest go.
    pub workspace_quota: u64,
    /// Bytes of all cached files, packed; the least recently used go first.
    pub cache_size: u64,
    /// Bytes of one cache entry, unpacked.
    pub cache_entry_size: u64,
    /// Which addresses requests may go to.
    pub http: HttpPolicy,
    /// How long to wait for the process trees of a previous ant on the same directory to be gone.
    pub lock_wait: Duration,
}

impl AntConfig {
    /// A configuration with no tags, no environment, the strongest isolation, 20 GiB for kept workspaces, 5 GiB for
    /// caches, 2 GiB of them for one entry, requests to public addresses only, and a lock wait of 30 s.
    pub fn new(id: AntId, data_dir: PathBuf, slots: u32, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            id,
            data_dir,
            slots: slots.max(1),
            tags: Vec::new(),
            environment: Vec::new(),
            clock,
            entropy,
            isolation: None,
            workspace_quota: 20 << 30,
            cache_size: 5 << 30,
            cache_entry_size: 2 << 30,
            http: HttpPolicy::default(),
            lock_wait: Duration::from_secs(30),
        }
    }
}

/// Why an ant could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another ant, or what a previous one left running, holds the directory.
    #[error(
        "{} is held by another ant, or by processes of a previous one that were not gone after {waited:?}; \
         stop that ant (`fuser -v` on the file shows who holds it) or use another data directory",
        path.display()
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// How long was waited.
        waited: Duration,
    },
    /// A directory or file of the ant cannot be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Directory {
        /// `create`, `lock`, …
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The launcher process does not answer.
    #[error("the process launcher is gone: {0}")]
    Launcher(#[source] io::Error),
}

/// An attempt that the ant works on now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningAttempt {
    /// Which.
    pub attempt_id: AttemptId,
    /// The task's name.
    pub task: String,
    /// Since when.
    pub since: UnixMillis,
}

/// What an attempt is to do, beyond running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// Go on.
    Run,
    /// TERM, grace, KILL; report it.
    Stop(String),
    /// KILL, and no word to the queen.
    Forget,
}

struct Entry {
    token: u64,
    task: String,
    since: UnixMillis,
    orders: watch::Sender<Order>,
}

/// What the parts of an ant share.
pub(crate) struct Core {
    pub(crate) config: AntConfig,
    pub(crate) session: u64,
    pub(crate) link: Arc<dyn QueenLink>,
    pub(crate) launcher: Launcher,
    pub(crate) plan: ContainmentPlan,
    /// `ant/attempts`, absolute.
    pub(crate) attempts_dir: PathBuf,
    pub(crate) spares: SpareDirectories,
    pub(crate) workspaces: SharedWorkspaces,
    pub(crate) cache: CacheStore,
    pub(crate) outbox: Outbox,
    attempts: Mutex<HashMap<AttemptId, Entry>>,
    /// Nothing is begun any more; set and read with `attempts` locked.
    ended: AtomicBool,
    launcher_lost: CancellationToken,
    tasks: TaskTracker,
    /// Slots that the queen heard of as free in the newest open question, and the wish for a newer one.
    asked_for: AtomicU32,
    ask_again: Notify,
    /// Held by launcher and shims too.
    _lock: File,
}

/// A running ant.
pub struct Ant {
    core: Arc<Core>,
    poll: JoinHandle<()>,
    deliver: JoinHandle<()>,
    sweep: JoinHandle<()>,
    aborted: CancellationToken,
}

impl Ant {
    /// Waits until the trees of a previous ant on this directory are gone (at most [`AntConfig::lock_wait`]), removes
    /// what it left, and starts to poll.
    pub async fn start(config: AntConfig, launcher: Launcher, link: Arc<dyn QueenLink>) -> Result<Self, StartError> {
        let directory = config.data_dir.join("ant");
        let failed = |action: &'static str, path: &Path| {
            let path = path.to_owned();
            move |source| StartError::Directory { action, path, source }
        };
        let attempts_dir = directory.join("attempts");
        fs::create_dir_all(&attempts_dir).map_err(failed("create", &attempts_dir))?;
        let attempts_dir = attempts_dir.canonicalize().map_err(failed("use", &attempts_dir))?;
        let lock = lock(&directory.join("ant.lock"), config.lock_wait).await?;

        let strongest = config.isolation.unwrap_or(IsolationLevel::CgroupKill);
        let name = format!("atta-{}", &blake3::hash(attempts_dir.as_os_str().as_encoded_bytes()).to_hex()[..16]);
        let spare_dir = attempts_dir.with_file_name("spare");
        let (swept, old_spares) = (attempts_dir.clone(), spare_dir.clone());
        let cache_dir = attempts_dir.with_file_name("cache");
        let store = WorkspaceStore::of_ant(attempts_dir.parent().unwrap_or(&directory));
        let (quota, cache_size, cache_entry_size) =
            (config.workspace_quota, config.cache_size, config.cache_entry_size);
        let sweep = tokio::task::spawn_blocking(move || {
            // What the strongest level finds may be of an ant with a weaker one, so all are looked at.
            supervisor::sweep(&name);
            let plan = supervisor::detect(&name, strongest);
            let stale = sweep_directories(&swept)?;
            if let Err(error) = remove_tree(&old_spares) {
                tracing::warn!(directory = %old_spares.display(), %error, "spare directories cannot be removed");
            }
            let workspaces = SharedWorkspaces::open(store, quota)?;
            let cache = CacheStore::open(cache_dir, cache_size, cache_entry_size)?;
            if stale > 0 {
                tracing::info!(stale, "removed the directories of attempts that a previous ant did not finish");
            }
            Ok((plan, workspaces, cache))
        });
        let swept = sweep.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        let (plan, workspaces, cache) = swept.map_err(failed("clean", &attempts_dir))?;
        launcher.adopt(&lock, &plan).map_err(StartError::Launcher)?;

        let spares = SpareDirectories::new(spare_dir, usize::try_from(config.slots).unwrap_or(usize::MAX));
        let (outbox, queue) = Outbox::new();
        let core = Arc::new(Core {
            session: config.entropy.next_u64(),
            config,
            link,
            launcher,
            plan,
            attempts_dir,
            spares,
            workspaces,
            cache,
            outbox,
            attempts: Mutex::default(),
            ended: AtomicBool::new(false),
            launcher_lost: CancellationToken::new(),
            tasks: TaskTracker::new(),
            asked_for: AtomicU32::new(0),
            ask_again: Notify::new(),
            _lock: lock,
        });
        let deliver = tokio::spawn(outbox::deliver(core.clone(), queue));
        let sweep = tokio::spawn(SharedWorkspaces::sweep(core.clone()));
        let poll = tokio::spawn(ask_for_work(core.clone()));
        Ok(Self { core, poll, deliver, sweep, aborted: CancellationToken::new() })
    }

    /// Takes no more work, finishes what runs and delivers it, then ends the launcher. Waits as long as the queen is
    /// away, or until [`Self::abort`] is called.
    pub async fn drain(&self) {
        self.core.tasks.close();
        // The newest question says that there are no slots any more.
        self.core.ask_again.notify_one();
        let finish = async {
            // Questions stay open while attempts run: an answer may be an order to stop one, or work given just before.
            loop {
                self.core.tasks.wait().await;
                self.core.outbox.empty().await;
                if self.core.tasks.is_empty() {
                    break;
                }
            }
        };
        tokio::select! {
            () = finish => {}
            () = self.aborted.cancelled() => {}
        }
        self.end().await;
    }

    /// Kills all trees, waits until they are empty, delivers nothing more, then ends the launcher.
    pub async fn abort(&self) {
        self.aborted.cancel();
        self.poll.abort();
        self.deliver.abort();
        self.sweep.abort();
        self.core.forget_all();
        self.core.tasks.close();
        self.core.tasks.wait().await;
        self.end().await;
    }

    async fn end(&self) {
        self.poll.abort();
        self.deliver.abort();
        self.sweep.abort();
        let core = self.core.clone();
        let end = move || {
            core.launcher.shut_down();
            // A launcher that was killed has left it.
            core.plan.remove();
            core.spares.remove()
        };
        match tokio::task::spawn_blocking(end).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "spare directories cannot be removed"),
            Err(panic) => tracing::error!(%panic, "the launcher was not waited for"),
        }
    }

    /// Returns when the launcher process was found dead: nothing can be started any more, and attempts that were to start
    /// are not reported. What runs goes on, and a new ant can take over.
    pub async fn launcher_lost(&self) {
        self.core.launcher_lost.cancelled().await;
    }

    /// What runs now, in no particular order.
    pub fn running(&self) -> Vec<RunningAttempt> {
        let attempts = self.core.attempts();
        attempts
            .iter()
            .map(|(id, entry)| RunningAttempt { attempt_id: id.clone(), task: entry.task.clone(), since: entry.since })
            .collect()
    }

    /// How process trees are contained.
    pub fn isolation(&self) -> IsolationLevel {
        self.core.plan.level()
    }
}

impl Drop for Ant {
    fn drop(&mut self) {
        self.poll.abort();
        self.deliver.abort();
        self.sweep.abort();
        self.core.forget_all();
    }
}

impl Core {
    fn attempts(&self) -> MutexGuard<'_, HashMap<AttemptId, Entry>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_all(&self) {
        let attempts = self.attempts();
        self.ended.store(true, Ordering::SeqCst);
        for entry in attempts.values() {
            entry.orders.send_replace(Order::Forget);
        }
    }

    /// Does what the queen says. Orders about attempts that are not here are late, and nothing is left to do for them.
    fn obey(self: &Arc<Self>, orders: Orders) {
        for id in orders.stale {
            if let Some(entry) = self.attempts().get(&id) {
                entry.orders.send_replace(Order::Forget);
            }
        }
        for stop in orders.stops {
            if let Some(entry) = self.attempts().get(&stop.attempt_id)
                && entry.token == stop.token
            {
                entry.orders.send_if_modified(|order| {
                    let first = *order == Order::Run;
                    if first {
                        *order = Order::Stop(stop.reason);
                    }
                    first
                });
            }
        }
        for release in orders.releases {
            self.workspaces.release(self, release);
        }
        for assignment in orders.assignments {
            self.begin(assignment);
        }
    }

    fn begin(self: &Arc<Self>, assignment: Assignment) {
        let (sender, orders) = watch::channel(Order::Run);
        {
            let mut attempts = self.attempts();
            // Said twice: it runs already. Or said while everything is killed: nobody would kill this one.
            if attempts.contains_key(&assignment.attempt_id) || self.ended.load(Ordering::SeqCst) {
                return;
            }
            let entry = Entry {
                token: assignment.token,
                task: assignment.task.clone(),
                since: self.config.clock.now(),
                orders: sender,
            };
            attempts.insert(assignment.attempt_id.clone(), entry);
            if let Some(workspace) = &assignment.workspace {
                self.workspaces.expect(&workspace.id);
            }
        }
        let core = self.clone();
        self.tasks.spawn(async move {
            let (id, token) = (assignment.attempt_id.clone(), assignment.token);
            let finished = executor::execute(&core, assignment, orders).await;
            core.attempts().remove(&id);
            if let Some(report) = finished.report {
                core.report(&id, token, 2, ReportBody::Finished(Box::new(report)));
            }
            let directory = finished.directory;
            let removal = tokio::task::spawn_blocking(move || {
                let gone = if finished.haunted { remove_tree(&directory) } else { core.spares.take(&directory) };
                gone.map_err(|error| (directory, error))
            });
            if let Ok(Err((directory, error))) = removal.await {
                tracing::warn!(directory = %directory.display(), %error, "an attempt's directory cannot be removed");
            }
        });
    }

    /// Runs something that the ant's end waits for.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work);
    }

    /// The launcher does not answer any more.
    pub(crate) fn lose_launcher(&self) {
        self.launcher_lost.cancel();
        self.ask_again.notify_one();
    }

    fn free_slots(&self) -> u32 {
        if self.launcher_lost.is_cancelled() {
            return 0;
        }
        let running = u32::try_from(self.attempts().len()).unwrap_or(u32::MAX);
        if self.tasks.is_closed() { 0 } else { self.config.slots.saturating_sub(running) }
    }

    /// Opens a question for work.
    fn ask(&self, open: &mut JoinSet<Result<Orders, LinkError>>) {
        let free_slots = self.free_slots();
        self.asked_for.store(free_slots, Ordering::SeqCst);
        let request = PollRequest {
            ant: self.config.id.clone(),
            session: self.session,
            slots: if self.tasks.is_closed() { 0 } else { self.config.slots },
            free_slots,
            tags: self.config.tags.clone(),
            workspaces: self.workspaces.held(),
            roster: Roster::default(),
            heard: Heard::default(),
        };
        let link = self.link.clone();
        open.spawn(async move { link.poll(request, POLL_WAIT).await });
    }

    /// After the answer to a report: when it left slots free that the open question does not offer, asks again.
    fn offer_free_slots(&self) {
        if self.free_slots() > self.asked_for.load(Ordering::SeqCst) {
            self.ask_again.notify_one();
        }
    }

    /// Puts a report into the outbox.
    pub(crate) fn report(&self, attempt_id: &AttemptId, token: u64, sequence: u64, body: ReportBody) {
        let at = self.config.clock.now();
        self.outbox.push(Report { attempt_id: attempt_id.clone(), token, sequence, at, body });
    }
}

/// Keeps a question for work open. When slots have become free, a newer one replaces it; the older one is still heard to
/// its end, because its answer may be on the way already.
async fn ask_for_work(core: Arc<Core>) {
    let mut backoff = Backoff::default();
    let mut open = JoinSet::new();
    loop {
        if open.is_empty() {
            core.ask(&mut open);
        }
        let answer = tokio::select! {
            answer = open.join_next() => answer,
            () = core.ask_again.notified() => {
                core.ask(&mut open);
                continue;
            }
        };
        match answer {
            Some(Ok(Ok(orders))) => {
                backoff.reset();
                core.obey(orders);
            }
            Some(Ok(Err(error))) => {
                if let LinkError::Unreachable(detail) = &error {
                    tracing::debug!(detail, "the queen is away");
                } else {
                    tracing::warn!(%error, "the queen does not give work to this ant");
                }
                tokio::time::sleep(backoff.next(&*core.config.entropy)).await;
            }
            Some(Err(panic)) => tracing::error!(%panic, "a question for work failed"),
            None => {}
        }
    }
}

/// Takes the lock; it is held by launcher and shims too, and free when the last of them has ended.
async fn lock(path: &Path, wait: Duration) -> Result<File, StartError> {
    let failed = |source| StartError::Directory { action: "lock", path: path.to_owned(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(failed)?;
    let give_up = tokio::time::Instant::now() + wait;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
            Err(TryLockError::WouldBlock) if tokio::time::Instant::now() >= give_up => {
                return Err(StartError::Locked { path: path.to_owned(), waited: wait });
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

fn sweep_directories(attempts: &Path) -> io::Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(attempts)? {
        let path = entry?.path();
        match remove_tree(&path) {
            Ok(()) => count += 1,
            // A mount in it, files of another user: no reason not to start, because no other attempt will use it.
            Err(error) => tracing::warn!(directory = %path.display(), %error, "what a previous ant left stays"),
        }
    }
    Ok(count)
}
