//! The ant's life: start, poll, report, drain, abort.

mod adoption;
mod config;
mod core;
mod hearing;
mod leftovers;
mod outbox;
mod parts;
mod retry;
mod seal;
mod typing;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use atta_core::protocol::ant::Heartbeat;
use atta_core::resilience::{Board, Component, Pauses, RestartPolicy};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::blocking::{blocking, detached};
use crate::supervisor;
use crate::workspace::{CacheStore, SharedWorkspaces, SpareDirectories, WorkspaceStore};
use crate::{IsolationLevel, Launcher, LinkError, QueenLink};

use core::Parts;
use leftovers::Leftovers;
use outbox::Outbox;
use retry::SAY_AGAIN;

pub use config::{AgentRunner, AntConfig, Orphans, RunningAttempt, SpoolUse, StartError};
pub(crate) use core::{Core, Order, Waits};
pub(crate) use retry::{Said, say};
pub(crate) use seal::{Kind, Seal};
pub(crate) use typing::Typing;

/// How long an ant that hands over waits for requests under way.
const HANDING_OVER: Duration = Duration::from_secs(20);
/// Signs of life do not come more often.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// A running ant.
pub struct Ant {
    core: Arc<Core>,
    /// Ended in this order.
    parts: Vec<JoinHandle<()>>,
    aborted: CancellationToken,
    launcher: Component,
    /// Nothing more is removed of what earlier ants have left.
    clearing_ends: CancellationToken,
    /// A part is lost that cannot be begun anew.
    lost: CancellationToken,
}

impl Ant {
    /// Takes up what a previous ant on this directory has left running, once that ant is gone (waits at most
    /// [`AntConfig::lock_wait`]), starts to poll, and removes what it left otherwise.
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
        let key = directory.join("key");
        let seal = Arc::new(Seal::open_or_make(&key, config.entropy.clone()).map_err(failed("use", &key))?);
        let session_file = directory.join("session");
        let session = next_session(&session_file, &config).map_err(failed("use", &session_file))?;
        let boot = config.boot_id.clone().unwrap_or_else(adoption::boot_id);

        let stock = adoption::take_stock(&attempts_dir, &seal, &boot).await.map_err(failed("read", &attempts_dir))?;
        let (adopted, lost) = (stock.adopted.len(), stock.lost.len());
        let not_begun = stock.not_begun.len();
        if adopted + lost + not_begun > 0 {
            tracing::info!(adopted, lost, not_begun, "looked at what a previous ant has left");
        }
        let strongest = config.isolation.unwrap_or(IsolationLevel::CgroupKill);
        let name = format!("atta-{}", &blake3::hash(attempts_dir.as_os_str().as_encoded_bytes()).to_hex()[..16]);
        let spare_dir = attempts_dir.with_file_name("spare");
        let old_spares = spare_dir.clone();
        let cache_dir = attempts_dir.with_file_name("cache");
        let workspaces_dir = attempts_dir.with_file_name("workspaces");
        let store = WorkspaceStore::of_ant(attempts_dir.parent().unwrap_or(&directory));
        let mut leftovers = Leftovers::new(attempts_dir.with_file_name("leftovers"), session);
        let (quota, cache_size, cache_entry_size) =
            (config.workspace_quota, config.cache_size, config.cache_entry_size);
        let keep: Vec<_> = stock.adopted.iter().map(|adopted| format!("{}-", adopted.assignment.attempt_id)).collect();
        let shared = stock.adopted.iter().any(|adopted| adopted.assignment.workspace.is_some());
        let sweep = blocking(move || {
            // What the strongest level finds may be of an ant with a weaker one, so all are looked at.
            supervisor::sweep(&name, |cgroup| keep.iter().any(|attempt| cgroup.starts_with(attempt)));
            let plan = supervisor::detect(&name, strongest);
            for (path, lock) in stock.not_begun {
                leftovers.take(&path, lock);
            }
            leftovers.take(&old_spares, None);
            let workspaces = SharedWorkspaces::open(store, quota, shared).map_err(failed("read", &workspaces_dir))?;
            for path in workspaces.store.trash().map_err(failed("read", &workspaces_dir))? {
                leftovers.take(&path, None);
            }
            let unusable = failed("clean", &cache_dir);
            let cache = CacheStore::open(cache_dir, cache_size, cache_entry_size).map_err(unusable)?;
            Ok::<_, StartError>((plan, workspaces, cache, leftovers))
        });
        let swept = sweep.await.unwrap_or_else(|panic| Err(failed("clean", &attempts_dir)(io::Error::other(panic))));
        let (plan, workspaces, cache, leftovers) = swept?;
        launcher.prepare(&plan).map_err(StartError::Launcher)?;

        // Those of attempts whose end is being told are on their way while the next ones begin.
        let spares = 2 * usize::try_from(config.slots).unwrap_or(usize::MAX / 2) + 4;
        let spares = SpareDirectories::new(spare_dir, spares);
        let (outbox, queue) = Outbox::new();
        let board = config
            .board
            .clone()
            .unwrap_or_else(|| Arc::new(Board::new(Arc::clone(&config.clock), Arc::clone(&config.entropy))));
        let core = Core::new(Parts {
            config,
            session,
            boot,
            seal,
            link,
            launcher,
            plan,
            attempts_dir,
            spares,
            workspaces,
            cache,
            outbox,
            board: Arc::clone(&board),
            lost: stock.lost,
            lock,
        });
        for adopted in stock.adopted {
            core.adopt(adopted);
        }
        let lost = CancellationToken::new();
        let again = Some(RestartPolicy::default());
        let (asking, reporting, sweeping, living) = (core.clone(), core.clone(), core.clone(), core.clone());
        let mut queue = Some(queue);
        // What was taken out of the outbox and not heard would be missing: only another process reads it all again.
        let deliver = move || outbox::deliver_from(reporting.clone(), queue.take());
        let parts = vec![
            parts::run(&board, "ant: questions for work", again, &lost, move || ask_for_work(asking.clone())),
            parts::run(&board, "ant: reports", None, &lost, deliver),
            parts::run(&board, "ant: workspaces", again, &lost, move || SharedWorkspaces::sweep(sweeping.clone())),
            parts::run(&board, "ant: signs of life", again, &lost, move || give_signs_of_life(living.clone())),
        ];
        let launcher = board.begin("ant: launcher", None, Duration::MAX);
        // It may take long, so not before it polls.
        let clearing_ends = CancellationToken::new();
        let stop = clearing_ends.clone();
        if let Err(error) = detached("leftovers", move || leftovers.remove(&stop)) {
            tracing::warn!(%error, "what a previous ant has left is not removed before the next start");
        }
        Ok(Self { core, parts, aborted: CancellationToken::new(), launcher, clearing_ends, lost })
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
            biased;
            () = finish => {}
            () = self.aborted.cancelled() => {}
        }
        self.end().await;
    }

    /// Kills all trees, waits until they are empty, delivers nothing more, then ends the launcher.
    pub async fn abort(&self) {
        self.aborted.cancel();
        self.stop_parts();
        self.core.forget_all();
        self.core.tasks.close();
        self.core.tasks.wait().await;
        self.end().await;
    }

    /// Ends this ant as if it were killed, but in order: what runs goes on, and the next ant on the directory takes it up.
    /// Takes no more work, and waits 20 s at most for what nobody can take up: HTTP requests, which have no shim. For
    /// upgrades. Not for an ant with [`Orphans::Kill`].
    pub async fn hand_over(&self) {
        self.core.tasks.close();
        self.core.ask_again.notify_one();
        // What is over the time is lost, as when the ant is killed.
        let _ = tokio::time::timeout(HANDING_OVER, self.core.nothing_without_a_shim()).await;
        self.hand_over_now().await;
    }

    /// The same without waiting for anything: a part of the ant is lost.
    pub async fn hand_over_now(&self) {
        self.aborted.cancel();
        self.stop_parts();
        self.core.let_go();
        self.core.tasks.close();
        self.core.tasks.wait().await;
        self.core.launcher.leave();
    }

    fn stop_parts(&self) {
        self.clearing_ends.cancel();
        for part in &self.parts {
            part.abort();
        }
    }

    async fn end(&self) {
        self.stop_parts();
        let core = self.core.clone();
        let end = move || {
            core.launcher.shut_down();
            // A launcher that was killed has left it.
            core.plan.remove();
            core.spares.remove()
        };
        match blocking(end).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "spare directories cannot be removed"),
            Err(panic) => tracing::error!(%panic, "the launcher was not waited for"),
        }
    }

    /// Returns when the launcher process was found dead: nothing can be started any more, and attempts that were to start
    /// are not reported. What runs goes on, and a new ant can take over.
    pub async fn launcher_lost(&self) {
        self.core.launcher_lost.cancelled().await;
        self.launcher.failed("it was killed");
    }

    /// Returns when a part of the ant is lost that cannot be begun anew, or was too often: why. What runs goes on, and the
    /// next ant on the directory takes it up.
    pub async fn lost(&self) -> String {
        self.lost.cancelled().await;
        self.core.board.fatal().unwrap_or_default()
    }

    /// What runs now, in no particular order.
    pub fn running(&self) -> Vec<RunningAttempt> {
        self.core.running()
    }

    /// How much output is on disk.
    pub fn spool(&self) -> SpoolUse {
        self.core.spool()
    }

    /// How process trees are contained.
    pub fn isolation(&self) -> IsolationLevel {
        self.core.plan.level()
    }
}

impl Drop for Ant {
    fn drop(&mut self) {
        self.stop_parts();
        self.core.forget_all();
    }
}

/// Keeps a question for work open. When slots have become free, a newer one replaces it; the older one is still heard to
/// its end, because its answer may be on the way already.
async fn ask_for_work(core: Arc<Core>) {
    let mut pauses = Pauses::new(SAY_AGAIN);
    let mut open = JoinSet::new();
    loop {
        if open.is_empty() {
            core.ask(&mut open);
        }
        let answer = tokio::select! {
            biased;
            answer = open.join_next() => answer,
            () = core.ask_again.notified() => {
                core.ask(&mut open);
                continue;
            }
        };
        match answer {
            Some(Ok((lost, Ok(orders)))) => {
                pauses.reset();
                core.obey(orders);
                core.lost_is_known(&lost);
            }
            Some(Ok((_, Err(error)))) => {
                if let LinkError::Unreachable(detail) = &error {
                    tracing::debug!(detail, "the queen is away");
                } else {
                    tracing::warn!(%error, "the queen does not give work to this ant");
                }
                tokio::time::sleep(pauses.next(&*core.config.entropy)).await;
            }
            Some(Err(panic)) => tracing::error!(%panic, "a question for work failed"),
            None => {}
        }
    }
}

/// Says that the ant lives, often enough for the shortest lease, whatever else it does.
async fn give_signs_of_life(core: Arc<Core>) {
    let mut last = Instant::now();
    loop {
        let Some(lease) = core.shortest_lease() else {
            core.leased.notified().await;
            last = Instant::now();
            continue;
        };
        let pause = (lease / 3).max(SHORTEST_PAUSE);
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(last + pause) => {}
            // Its lease may be shorter.
            () = core.leased.notified() => continue,
        }
        last = Instant::now();
        let ant = core.config.id.clone();
        let heartbeat =
            Heartbeat { ant, session: core.session, heard: core.heard(), condition: Some(core.condition()) };
        match tokio::time::timeout(pause, core.link.heartbeat(heartbeat)).await {
            Ok(Ok(orders)) => core.obey(orders),
            Ok(Err(error)) => tracing::debug!(%error, "a sign of life was not heard"),
            Err(_) => tracing::debug!("a sign of life was not answered in time"),
        }
    }
}

/// A number greater than those of all earlier ants on the directory, also when the clock was set back.
fn next_session(path: &Path, config: &AntConfig) -> io::Result<u64> {
    let last = match fs::read_to_string(path) {
        Ok(text) => text.trim().parse().unwrap_or(0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    let now = u64::try_from(config.clock.now().0).unwrap_or(0) << 20 | config.entropy.next_u64() >> 44;
    let session = now.max(last + 1);
    fs::write(path, session.to_string())?;
    Ok(session)
}

/// Takes the lock, which shows other ants that the directory is taken.
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
