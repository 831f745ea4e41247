//! What the parts of an ant share: the attempts in hand, and what the queen has said about them.

use std::collections::HashMap;
use std::fs::File;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use atta_core::definition::Method;
use atta_core::protocol::AttemptId;
use atta_core::protocol::ant::{
    Action, AntCondition, Assignment, AttemptReport, Heard, HeldAttempt, LostAttempt, Orders, PollRequest, Report,
    ReportBody, Roster,
};
use atta_core::protocol::terminal::{TerminalOrder, TypedInput};
use atta_core::redact::Redactor;
use atta_core::resilience::{Board, panic_text};
use atta_core::secret::SecretValue;
use atta_core::time::UnixMillis;
use atta_github::Hub;
use futures_util::FutureExt as _;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::adoption;
use super::config::{AntConfig, Orphans, RunningAttempt, SpoolUse};
use super::hearing::Hearing;
use super::outbox::Outbox;
use super::seal::Seal;
use super::typing::Typing;
use crate::blocking::blocking;
use crate::executor::{self, Adopted, Finished};
use crate::supervisor::ContainmentPlan;
use crate::workspace::{CacheStore, SharedWorkspaces, SpareDirectories, remove_tree};
use crate::{Launcher, LinkError, QueenLink};

/// How long one question for work may stay open.
const POLL_WAIT: Duration = Duration::from_mins(1);
/// What was typed is said with the next question for work; one is asked when it is so much, for the queen keeps it so long.
const TELL_TYPED: u64 = 16 << 10;
/// An attempt's share of the spool is never less.
const SMALLEST_SHARE: u64 = 64 << 10;

/// Output that is on its way for less, in milliseconds, does not count as waiting.
const NOTABLE_WAIT: i64 = 10_000;

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
    lease: Duration,
    orders: watch::Sender<Order>,
    /// It takes no slot any more; its report is on the way.
    ended: bool,
    /// The same attempt, given again while this one is being forgotten.
    again: Option<Assignment>,
    task_handle: Option<AbortHandle>,
    /// No shim watches over it: it ends with this process.
    shimless: bool,
    /// Output that waits on disk.
    waits: Option<Waits>,
    /// What is typed into it, when it has a terminal.
    typing: Option<Arc<Typing>>,
    /// What its shim has of that: the newest line, and the position on it.
    typed: Option<(u64, u64)>,
    /// The same, as the queen was told.
    typed_told: Option<(u64, u64)>,
}

/// Output of an attempt on its way to the queen.
#[derive(Debug, Clone)]
pub(crate) struct Waits {
    /// When the first byte of it was written.
    pub(crate) since: UnixMillis,
    /// The spool.
    pub(crate) file: PathBuf,
    /// Where in that file it begins.
    pub(crate) from: u64,
    /// Bytes that are in memory already.
    pub(crate) held: u64,
}

impl Waits {
    fn bytes(&self) -> u64 {
        // While the queen is away nobody tells the ant how much there is.
        let length = std::fs::metadata(&self.file).map_or(0, |file| file.len());
        self.held + length.saturating_sub(self.from)
    }
}

/// See the module.
pub(crate) struct Core {
    pub(crate) config: AntConfig,
    pub(crate) session: u64,
    /// Which start of the machine this is.
    pub(crate) boot: String,
    pub(crate) seal: Arc<Seal>,
    pub(crate) link: Arc<dyn QueenLink>,
    pub(crate) launcher: Launcher,
    pub(crate) plan: ContainmentPlan,
    /// `ant/attempts`, absolute.
    pub(crate) attempts_dir: std::path::PathBuf,
    pub(crate) spares: SpareDirectories,
    pub(crate) workspaces: SharedWorkspaces,
    pub(crate) cache: CacheStore,
    /// What is known of GitHub.
    pub(crate) github: Hub,
    pub(crate) outbox: Outbox,
    /// Where its parts show how they are.
    pub(super) board: Arc<Board>,
    attempts: Mutex<HashMap<AttemptId, Entry>>,
    /// Begun and lost, until the queen has answered to it.
    lost: Mutex<Vec<LostAttempt>>,
    /// Which orders were obeyed. Held while they are, so that what a question says of both is of one moment.
    hearing: Mutex<Hearing>,
    /// Nothing is begun any more; set and read with `attempts` locked.
    ended: AtomicBool,
    pub(super) launcher_lost: CancellationToken,
    pub(super) tasks: TaskTracker,
    /// Slots that the queen heard of as free in the newest open question, and the wish for a newer one.
    asked_for: AtomicU32,
    pub(super) ask_again: Notify,
    /// There may be a shorter lease now, or the first one.
    pub(super) leased: Notify,
    /// Shows other ants that the directory is taken.
    _lock: File,
}

/// What a [`Core`] is made of.
pub(super) struct Parts {
    pub(super) config: AntConfig,
    pub(super) session: u64,
    pub(super) boot: String,
    pub(super) seal: Arc<Seal>,
    pub(super) link: Arc<dyn QueenLink>,
    pub(super) launcher: Launcher,
    pub(super) plan: ContainmentPlan,
    pub(super) attempts_dir: std::path::PathBuf,
    pub(super) spares: SpareDirectories,
    pub(super) workspaces: SharedWorkspaces,
    pub(super) cache: CacheStore,
    pub(super) outbox: Outbox,
    pub(super) board: Arc<Board>,
    pub(super) lost: Vec<LostAttempt>,
    pub(super) lock: File,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Core {
    pub(super) fn new(parts: Parts) -> Arc<Self> {
        let config = &parts.config;
        let github = Hub::new(Arc::clone(&config.clock), Arc::clone(&config.entropy), config.github_patience);
        Arc::new(Self {
            github,
            config: parts.config,
            session: parts.session,
            boot: parts.boot,
            seal: parts.seal,
            link: parts.link,
            launcher: parts.launcher,
            plan: parts.plan,
            attempts_dir: parts.attempts_dir,
            spares: parts.spares,
            workspaces: parts.workspaces,
            cache: parts.cache,
            outbox: parts.outbox,
            board: parts.board,
            attempts: Mutex::default(),
            lost: Mutex::new(parts.lost),
            hearing: Mutex::default(),
            ended: AtomicBool::new(false),
            launcher_lost: CancellationToken::new(),
            tasks: TaskTracker::new(),
            asked_for: AtomicU32::new(0),
            ask_again: Notify::new(),
            leased: Notify::new(),
            _lock: parts.lock,
        })
    }

    fn attempts(&self) -> MutexGuard<'_, HashMap<AttemptId, Entry>> {
        locked(&self.attempts)
    }

    pub(super) fn forget_all(&self) {
        let attempts = self.attempts();
        self.ended.store(true, Ordering::SeqCst);
        for entry in attempts.values() {
            entry.orders.send_replace(Order::Forget);
        }
    }

    /// Lets everything go as if this process were killed: shims and directories stay for the next ant.
    pub(super) fn let_go(&self) {
        let attempts = self.attempts();
        self.ended.store(true, Ordering::SeqCst);
        for handle in attempts.values().filter_map(|entry| entry.task_handle.as_ref()) {
            handle.abort();
        }
    }

    /// Returns when no attempt is in hand that would end with this process.
    pub(super) async fn nothing_without_a_shim(&self) {
        while self.attempts().values().any(|entry| entry.shimless) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) fn running(&self) -> Vec<RunningAttempt> {
        let attempts = self.attempts();
        let running = attempts.iter().filter(|(_, entry)| !entry.ended);
        running
            .map(|(id, entry)| RunningAttempt { attempt_id: id.clone(), task: entry.task.clone(), since: entry.since })
            .collect()
    }

    /// When the attempt was taken.
    pub(crate) fn since(&self, id: &AttemptId) -> UnixMillis {
        self.attempts().get(id).map_or_else(|| self.config.clock.now(), |entry| entry.since)
    }

    /// The shortest lease of what is in hand.
    pub(super) fn shortest_lease(&self) -> Option<Duration> {
        self.attempts().values().map(|entry| entry.lease).min()
    }

    /// Bytes that the spool of one attempt may have while the queen is away.
    pub(crate) fn spool_share(&self) -> u64 {
        (self.config.spool_limit / u64::from(self.config.slots)).max(SMALLEST_SHARE)
    }

    /// Output of an attempt waits, or nothing does.
    pub(crate) fn note_waits(&self, id: &AttemptId, waits: Option<Waits>) {
        if let Some(entry) = self.attempts().get_mut(id) {
            entry.waits = waits;
        }
    }

    /// How this ant is.
    pub(super) fn condition(&self) -> AntCondition {
        // What is on its way at this moment does not wait.
        let before = UnixMillis(self.config.clock.now().0.saturating_sub(NOTABLE_WAIT));
        let (spool, link) = (self.spool_before(Some(before)), self.link.condition());
        let parts = self.board.report();
        AntCondition {
            spool_bytes: spool.used,
            spool_limit_bytes: spool.limit,
            spool_limit_ms: u64::try_from(spool.age.as_millis()).ok(),
            spool_since: spool.since,
            outbox_reports: self.outbox.waiting() as u64,
            retries: link.retries,
            restarts: parts
                .iter()
                .filter(|part| part.name.starts_with("ant:"))
                .map(|part| u64::from(part.restarts))
                .sum(),
            breaker: link.breaker.map(|state| state.as_str().to_owned()),
        }
    }

    pub(super) fn spool(&self) -> SpoolUse {
        self.spool_before(None)
    }

    /// What waits, and has since before then.
    fn spool_before(&self, then: Option<UnixMillis>) -> SpoolUse {
        let waits: Vec<Waits> = self.attempts().values().filter_map(|entry| entry.waits.clone()).collect();
        let long = waits.iter().filter(|waits| then.is_none_or(|then| waits.since <= then));
        let (mut used, mut since) = (0, None);
        for (waits, bytes) in long.map(|waits| (waits, waits.bytes())).filter(|(_, bytes)| *bytes > 0) {
            used += bytes;
            since = Some(since.map_or(waits.since, |since: UnixMillis| since.min(waits.since)));
        }
        let (limit, age) = (self.config.spool_limit, self.config.spool_age);
        SpoolUse { limit, age, share: self.spool_share(), used, since }
    }

    /// Does what the queen says, once. Orders about attempts that are not here are late, and nothing is left to do for
    /// them.
    pub(super) fn obey(self: &Arc<Self>, orders: Orders) {
        let mut hearing = locked(&self.hearing);
        if !hearing.is_news(&orders) {
            return;
        }
        let (epoch, serial) = (orders.epoch, orders.serial);
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
        for order in orders.terminal {
            self.type_in(order);
        }
        for release in orders.releases {
            self.workspaces.release(self, release);
        }
        for assignment in orders.assignments {
            self.begin(assignment);
        }
        hearing.note(epoch, serial);
    }

    /// The attempt is not this ant's under the token any more.
    pub(crate) fn forget(&self, id: &AttemptId, token: u64) {
        if let Some(entry) = self.attempts().get(id)
            && entry.token == token
        {
            entry.orders.send_replace(Order::Forget);
        }
    }

    /// Somebody types into an attempt. A stale order is late.
    fn type_in(&self, order: TerminalOrder) {
        if let Some(entry) = self.attempts().get(&order.attempt_id)
            && entry.token == order.token
            && let Some(typing) = &entry.typing
        {
            typing.push(order);
        }
    }

    /// What is typed into an attempt; `None` when it has no terminal.
    pub(crate) fn typing(&self, id: &AttemptId) -> Option<Arc<Typing>> {
        self.attempts().get(id)?.typing.clone()
    }

    /// The attempt's shim has everything that was typed before this position of a line.
    pub(crate) fn note_typed(&self, id: &AttemptId, line: u64, upto: u64) {
        let far = self.attempts().get_mut(id).is_some_and(|entry| {
            entry.typed = entry.typed.max(Some((line, upto)));
            let told = entry.typed_told.filter(|(of, _)| *of == line).map_or(0, |(_, told)| told);
            upto.saturating_sub(told) >= TELL_TYPED
        });
        if far {
            self.ask_again.notify_one();
        }
    }

    fn begin(self: &Arc<Self>, assignment: Assignment) {
        let Some(orders) = self.enter(&assignment) else { return };
        if let Some(workspace) = &assignment.workspace {
            self.workspaces.expect(&workspace.id);
        }
        let core = self.clone();
        let (id, token) = (assignment.attempt_id.clone(), assignment.token);
        let task = self.tasks.spawn(async move {
            let (id, token) = (assignment.attempt_id.clone(), assignment.token);
            let secrets = executor::secrets(&core, &assignment);
            let work = async {
                let finished = executor::execute(&core, assignment, orders).await;
                core.conclude(&id, token, finished).await;
            };
            if let Some(why) = failure_of(work).await {
                core.give_up(&id, token, why, &secrets).await;
            }
        });
        self.keep_handle(&id, token, task.abort_handle());
        self.leased.notify_one();
    }

    /// Takes an attempt into the list of those in hand.
    fn enter(&self, assignment: &Assignment) -> Option<watch::Receiver<Order>> {
        let (sender, orders) = watch::channel(Order::Run);
        let mut attempts = self.attempts();
        // Said while everything is killed: nobody would kill this one.
        if self.ended.load(Ordering::SeqCst) {
            return None;
        }
        if let Some(entry) = attempts.get_mut(&assignment.attempt_id) {
            // Said twice: it runs already. Or given anew: what is here is not wanted any more.
            if assignment.token > entry.token {
                entry.orders.send_replace(Order::Forget);
                entry.again = Some(assignment.clone());
            }
            return None;
        }
        let entry = Entry {
            token: assignment.token,
            task: assignment.task.clone(),
            since: self.config.clock.now(),
            lease: assignment.lease,
            orders: sender,
            ended: false,
            again: None,
            task_handle: None,
            shimless: matches!(assignment.action, Action::Http(_) | Action::Github(_)),
            waits: None,
            typing: assignment.action.has_terminal().then(Arc::default),
            typed: None,
            typed_told: None,
        };
        attempts.insert(assignment.attempt_id.clone(), entry);
        Some(orders)
    }

    fn keep_handle(&self, id: &AttemptId, token: u64, handle: AbortHandle) {
        if let Some(entry) = self.attempts().get_mut(id)
            && entry.token == token
        {
            entry.task_handle = Some(handle);
        }
    }

    /// Takes up what an earlier ant began. Before the first question for work, which names it.
    pub(super) fn adopt(self: &Arc<Self>, adopted: Adopted) {
        let Some(orders) = self.enter(&adopted.assignment) else { return };
        let (id, token) = (adopted.assignment.attempt_id.clone(), adopted.assignment.token);
        if let Some(entry) = self.attempts().get_mut(&id) {
            entry.since = adopted.since;
            entry.typed = adopted.typed;
            if let Some(reason) = &adopted.stop {
                entry.orders.send_replace(Order::Stop(reason.clone()));
            }
        }
        let workspace = SharedWorkspaces::enter_again(self, &adopted.assignment);
        let (core, entered) = (self.clone(), id.clone());
        let task = self.tasks.spawn(async move {
            let secrets = executor::secrets(&core, &adopted.assignment);
            let work = async {
                let finished = executor::resume(&core, adopted, workspace, orders).await;
                core.conclude(&entered, token, finished).await;
            };
            if let Some(why) = failure_of(work).await {
                core.give_up(&entered, token, why, &secrets).await;
            }
        });
        self.keep_handle(&id, token, task.abort_handle());
        self.leased.notify_one();
    }

    /// The ant itself has failed at an attempt, and nobody knows how far it had come: what runs of it is killed, and it is
    /// lost. Its directory stays until the queen knows that, for the next ant should this one not be able to say so.
    async fn give_up(self: &Arc<Self>, id: &AttemptId, token: u64, mut why: String, secrets: &[SecretValue]) {
        if let Some(redactor) = Redactor::new(secrets) {
            redactor.clean(&mut why);
        }
        tracing::error!(attempt = %id, why, "the ant failed at an attempt, which is lost");
        let (core, of) = (self.clone(), id.clone());
        let kill = move || {
            adoption::give_up(&core.attempts_dir.join(&of.0), &of);
            for name in executor::cgroups(&of) {
                core.plan.kill_attempt(&name);
            }
        };
        if let Err(panic) = blocking(kill).await {
            tracing::error!(%panic, "the processes of a lost attempt were not killed");
        }
        let lost = {
            // No question is to name it as both, or as neither.
            let _hearing = locked(&self.hearing);
            let mut attempts = self.attempts();
            let Some(entry) = attempts.get(id).filter(|entry| entry.token == token) else { return };
            let wanted = *entry.orders.borrow() != Order::Forget;
            if wanted {
                attempts.remove(id);
                let reason = format!("the ant failed inside while it worked on it: {why}");
                locked(&self.lost).push(LostAttempt { attempt_id: id.clone(), reason });
            }
            wanted
        };
        if !lost {
            // Nobody asks for it any more, or it is to begin anew.
            remove_lost(vec![self.attempts_dir.join(&id.0)]).await;
            let entry = self.attempts().remove(id);
            if let Some(assignment) = entry.and_then(|entry| entry.again) {
                self.begin(assignment);
            }
        }
        self.ask_again.notify_one();
    }

    /// The attempt has ended. Its shim and its directory stay until the queen has heard of it.
    async fn conclude(self: &Arc<Self>, id: &AttemptId, token: u64, finished: Finished) {
        let Finished { report, directory, haunted, shim } = finished;
        if let Some(entry) = self.attempts().get_mut(id) {
            entry.ended = true;
        }
        let mut entry = None;
        let reported = report.is_some();
        if let Some(report) = report {
            let heard = self.report_end(id, token, report).await.is_ok();
            entry = self.attempts().remove(id);
            if !heard && self.config.orphans == Orphans::Keep {
                // The ant ends without its queen: the next one says it again.
                return;
            }
        }
        if let Some(shim) = &shim {
            shim.release().await;
        }
        let core = self.clone();
        let removal = blocking(move || {
            let gone = if haunted { remove_tree(&directory) } else { core.spares.take(&directory) };
            gone.map_err(|error| (directory, error))
        });
        if let Ok(Err((directory, error))) = removal.await {
            tracing::warn!(directory = %directory.display(), %error, "an attempt's directory cannot be removed");
        }
        if let Some(shim) = shim {
            shim.ended().await;
        }
        if !reported {
            entry = self.attempts().remove(id);
        }
        if let Some(assignment) = entry.and_then(|entry| entry.again) {
            self.begin(assignment);
        }
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
        let running = self.attempts().values().filter(|entry| !entry.ended).count();
        let running = u32::try_from(running).unwrap_or(u32::MAX);
        if self.tasks.is_closed() { 0 } else { self.config.slots.saturating_sub(running) }
    }

    /// Opens a question for work.
    pub(super) fn ask(&self, open: &mut JoinSet<(Vec<LostAttempt>, Result<Orders, LinkError>)>) {
        let free_slots = self.free_slots();
        self.asked_for.store(free_slots, Ordering::SeqCst);
        let (heard, roster) = {
            let hearing = locked(&self.hearing);
            (hearing.heard(), self.roster())
        };
        let typed = self.typed();
        let lost = roster.lost.clone();
        let request = PollRequest {
            ant: self.config.id.clone(),
            session: self.session,
            directory: Some(self.seal.directory().to_owned()),
            slots: if self.tasks.is_closed() { 0 } else { self.config.slots },
            free_slots,
            tags: self.config.tags.clone(),
            methods: Method::BEYOND_EVERY_ANT.map(str::to_owned).to_vec(),
            workspaces: self.workspaces.held(),
            roster,
            heard,
            typed,
            condition: Some(self.condition()),
        };
        let link = self.link.clone();
        // What is lost is to be known to be known at once.
        let wait = if lost.is_empty() { POLL_WAIT } else { Duration::ZERO };
        open.spawn(async move { (lost, link.poll(request, wait).await) });
    }

    /// How far attempts have come with what was typed.
    fn typed(&self) -> Vec<TypedInput> {
        let mut attempts = self.attempts();
        let typed = attempts.iter_mut().filter_map(|(id, entry)| {
            entry.typed_told = entry.typed;
            let (line, upto) = entry.typed?;
            Some(TypedInput { attempt_id: id.clone(), line, upto })
        });
        typed.collect()
    }

    fn roster(&self) -> Roster {
        let held = self
            .attempts()
            .iter()
            .map(|(id, entry)| HeldAttempt { attempt_id: id.clone(), token: entry.token })
            .collect();
        Roster { held, lost: locked(&self.lost).clone() }
    }

    /// The queen knows that they are lost; nobody needs what is there of them.
    pub(super) fn lost_is_known(&self, known: &[LostAttempt]) {
        if known.is_empty() {
            return;
        }
        locked(&self.lost).retain(|lost| !known.contains(lost));
        let directories: Vec<_> = known.iter().map(|lost| self.attempts_dir.join(&lost.attempt_id.0)).collect();
        self.tasks.spawn(remove_lost(directories));
    }

    pub(super) fn heard(&self) -> Heard {
        locked(&self.hearing).heard()
    }

    /// After the answer to a report: when it left slots free that the open question does not offer, asks again.
    pub(super) fn offer_free_slots(&self) {
        if self.free_slots() > self.asked_for.load(Ordering::SeqCst) {
            self.ask_again.notify_one();
        }
    }

    /// Puts a report into the outbox.
    pub(crate) fn report(&self, attempt_id: &AttemptId, token: u64, sequence: u64, body: ReportBody) {
        let at = self.config.clock.now();
        self.outbox.push(Report { attempt_id: attempt_id.clone(), token, sequence, at, body }, None);
    }

    /// Puts the last report of an attempt into the outbox; the receiver hears when the queen has.
    fn report_end(&self, attempt_id: &AttemptId, token: u64, report: AttemptReport) -> oneshot::Receiver<()> {
        let (sender, heard) = oneshot::channel();
        let at = self.config.clock.now();
        let body = ReportBody::Finished(Box::new(report));
        self.outbox.push(Report { attempt_id: attempt_id.clone(), token, sequence: 2, at, body }, Some(sender));
        heard
    }
}

/// Runs the work of an attempt to its end. What a panic says, when it came to that: without this nobody would hear of it,
/// and the attempt would be in hand for ever.
fn failure_of(work: impl Future<Output = ()>) -> impl Future<Output = Option<String>> {
    // A large future, which is to be on the heap once.
    let work = AssertUnwindSafe(Box::pin(work));
    work.catch_unwind().map(|ended| ended.err().map(|panic| panic_text(&*panic)))
}

async fn remove_lost(directories: Vec<PathBuf>) {
    let remove = move || {
        for directory in directories {
            if let Err(error) = remove_tree(&directory) {
                tracing::warn!(directory = %directory.display(), %error, "a lost attempt's directory stays");
            }
        }
    };
    if let Err(panic) = blocking(remove).await {
        tracing::error!(%panic, "the directories of lost attempts were not removed");
    }
}
