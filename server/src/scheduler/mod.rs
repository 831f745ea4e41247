//! The queen's decisions: one writer that feeds commands to the engine, stores what it decides and performs the effects.
//!
//! * `writer`: the task that owns everything: collects commands, runs a batch, writes it in one transaction, answers
//! * `state`: what it keeps in memory; everything here can be rebuilt from the database, and is after a failed write
//! * `live`: one live job: feeds events to the engine and projects what it decides into rows
//! * `definitions`, `submit`, `admission`, `concurrency`, `commands`, `rerun`, `cron`: from a definition to a running job
//! * `tokens`: making and revoking API tokens
//! * `configs`: setting and removing configs and secrets, and the rotation of their keys
//! * `ants`, `queue`, `dispatch`, `assignment`, `request`, `given`, `report`: from a ready attempt to an ant and back
//! * `spending`, `accounts`, `budget_commands`: what agents may use up, whose limits they meet, and who asks about it
//! * `leases`, `roster`, `said`, `fence`: whether ants live, what they have, what has reached them, and which tokens count
//! * `ant_commands`: what people ask of ants
//! * `fan_out`: the items of tasks and what became of each
//! * `webhook`: deliveries of webhooks
//! * `families`, `job_triggers`: what jobs mean to the jobs that made them, and to definitions that wait for their ends
//! * `expiry`: removing what is not kept any longer
//! * `methods`: tasks that the queen performs herself
//! * `approvals`: votes of people
//! * `notifications`: what is to be told to whom, and what became of it
//! * `recovery`: from the database to memory
//! * `restored`: the first start after a restore
//! * `damaged`: jobs that cannot go on
//! * `terminals`: who types into which attempt
//! * `tier`: what is left out while there is too much to do
//! * `figures`: how much there is to do, for metrics

mod accounts;
mod admission;
mod agents;
mod ant_commands;
mod ants;
mod approvals;
mod assignment;
mod budget_commands;
mod command;
mod commands;
mod concurrency;
mod configs;
mod context;
mod cron;
mod damaged;
mod definitions;
mod dispatch;
mod expiry;
mod families;
mod fan_out;
mod fence;
mod figures;
mod github;
mod given;
mod job_time;
mod job_triggers;
mod kept_commands;
mod leases;
mod live;
mod methods;
mod notifications;
mod outcomes;
mod project;
mod queue;
mod recovery;
mod refusal;
mod report;
mod request;
mod rerun;
mod restored;
mod roster;
mod said;
mod spending;
mod state;
mod submit;
mod terminals;
mod tier;
pub(crate) mod tokens;
mod topics;
mod variables;
mod webhook;
mod workspaces;
mod writer;

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use atta_core::budget::Caps;
use atta_core::definition::KnownConfigs;
use atta_core::definition::Retention;
use atta_core::engine::JobState;
use atta_core::protocol::ant::{Heartbeat, Orders, PollRequest, ReportBatch, ReportBody, STALE_TOKEN};
use atta_core::protocol::api::{DefinitionResource, SubmitRequest, SubmitResponse};
use atta_core::protocol::terminal::{TerminalSession, TerminalSize};
use atta_core::protocol::{AntId, AttemptId, JobId};
use atta_core::resilience::{Component, Decision, panic_text};
use atta_core::time::{Clock, Entropy};
use futures_util::FutureExt as _;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use command::{Command, Reply, Submission};
use definitions::LoadedVersion;
use fence::Fence;
use state::State;
use writer::Writer;

pub use approvals::{Vote, VoteOn};
pub use expiry::Swept;
pub use figures::{BudgetFigures, Figures, Load};
pub use refusal::Refusal;
pub use rerun::{RunAgain, VersionChoice};
pub use terminals::{TerminalCommand, Typist};
pub use topics::{Changes, Topic};
pub use webhook::Delivery;

use crate::auth::Tokens;
use crate::directory::Directory;
use crate::secrets::{KeySource, Secrets};
pub use crate::store::OpenError;
pub use crate::store::{Database, PostgresUrl};
use crate::store::{Garbage, Store};

/// How many commands may wait for the writer; more callers wait for a place.
const QUEUE: usize = 1024;

/// Everything that the queen needs from outside.
pub struct QueenConfig {
    /// Directory for the database (`atta.db`), when it is a file, and for keys; created when absent.
    pub data_dir: PathBuf,
    /// Where the database is.
    pub database: Database,
    /// Called once when another server is active on the same database and this one waits for its turn.
    pub on_standby: Option<Box<dyn FnOnce() + Send>>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness for ids, nonces, jitter.
    pub entropy: Arc<dyn Entropy>,
    /// Whether cron schedules fire (`atta run` has none).
    pub schedules: bool,
    /// Where the keys of secrets come from.
    pub secrets_key: KeySource,
    /// Who holds which role.
    pub directory: Arc<dyn Directory>,
    /// When nothing is heard of an ant for so long, what it runs counts as lost.
    pub lease: Duration,
    /// What all agents together may use on one day (UTC).
    pub budget_per_day: Caps,
    /// How many attempts may be typed into at once.
    pub terminal_sessions: u32,
}

/// A command of a person or a client on a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobCommand {
    /// Idempotent. `force` also stops the final phase.
    Cancel {
        /// Why.
        reason: String,
        /// Also stop the final phase.
        force: bool,
    },
    /// No new attempts.
    Pause,
    /// Go on.
    Resume,
    /// Go on with these params instead of those of the same names; what was rendered before stays as it is.
    ResumeWith {
        /// Checked like those of a submit, together with the others.
        params: serde_json::Map<String, serde_json::Value>,
        /// The job's budget from now on, where it has another one.
        budget: Caps,
    },
    /// A new job attempt that keeps completed tasks.
    RetryFailed,
    /// A new job attempt from this task on.
    RerunFrom {
        /// The task's name.
        task: String,
    },
}

/// Handle to the queen; cheap to clone. The writer ends when the last handle is dropped.
#[derive(Clone)]
pub struct Queen {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    commands: mpsc::Sender<Command>,
    latest_event: watch::Receiver<i64>,
    changes: watch::Receiver<Changes>,
    health: watch::Receiver<Result<(), String>>,
    clock_changed: Arc<Notify>,
    writer: Mutex<Option<JoinHandle<()>>>,
    secrets: Arc<Secrets>,
    auth: Arc<Tokens>,
    entropy: Arc<dyn Entropy>,
    /// One rotation of keys at a time.
    rotation: Arc<tokio::sync::Mutex<()>>,
    outbox_changed: Arc<Notify>,
    /// Counts the starts of queens on this database.
    epoch: u64,
    fence: Arc<Fence>,
    overtaken: Option<CancellationToken>,
    /// The writer among the parts of its server.
    component: Arc<OnceLock<Component>>,
    tier: Arc<tier::InForce>,
    pace: Arc<figures::Pace>,
}

impl Queen {
    /// Opens (or creates) the data directory, migrates, recovers every live job by replay and starts the writer.
    pub async fn open(config: QueenConfig) -> Result<Self, OpenError> {
        let QueenConfig {
            data_dir,
            database,
            on_standby,
            clock,
            entropy,
            schedules,
            secrets_key,
            directory,
            lease,
            budget_per_day,
            terminal_sessions,
        } = config;
        let (store, mut database) = Store::open_in(&data_dir, &database, clock.now(), on_standby).await?;
        let overtaken = database.watch().map(|watch| watch.overtaken);
        let configs = database.load_configs().await.map_err(|error| OpenError::from_store(store.name(), &error))?;
        let secrets = Arc::new(Secrets::open(configs, &secrets_key, &data_dir, &*entropy));
        let mut state =
            State::open(&mut database, clock, entropy.clone(), schedules, Arc::clone(&secrets), directory, lease)
                .await
                .map_err(|error| OpenError::from_store(store.name(), &error))?;
        state.budgets.per_day = budget_per_day;
        state.terminals.most = terminal_sessions as usize;
        let (commands, receiver) = mpsc::channel(QUEUE);
        let (sequence, latest_event) = watch::channel(state.latest_sequence());
        let (changed, changes) = watch::channel(Changes::default());
        let (health_sender, health) = watch::channel(Ok(()));
        let clock_changed = Arc::new(Notify::new());
        let outbox_changed = Arc::clone(&state.outbox_changed);
        let auth = Arc::clone(&state.auth);
        let epoch = u64::from(state.epoch);
        let fence = Arc::clone(&state.fence);
        // Before anything begins.
        if let Some((tier, reason)) = crate::regulator::kept(&data_dir) {
            state.in_force.set(Decision { tier, reason, by_hand: true });
        }
        let (tier, pace) = (Arc::clone(&state.in_force), Arc::clone(&state.pace));
        let mut writer =
            Writer::new(state, database, receiver, (sequence, changed), health_sender, clock_changed.clone());
        // What the restart itself changes (overdue timers) is stored before anybody is served.
        writer.recover().await.map_err(|detail| OpenError::Database { file: store.name().to_owned(), detail })?;
        let component = Arc::new(OnceLock::<Component>::new());
        writer.watched_by(Arc::clone(&component));
        let watched = Arc::clone(&component);
        let writer = Mutex::new(Some(tokio::spawn(async move {
            // Not to go on: only its reason is kept, and known before anybody hears that the writer is gone.
            let mut writer = pin!(AssertUnwindSafe(writer.run()).catch_unwind());
            if let Err(panic) = writer.as_mut().await {
                let reason = panic_text(&*panic);
                tracing::error!(reason, "the writer ended badly");
                if let Some(component) = watched.get() {
                    component.failed(&reason);
                }
            } else if let Some(component) = watched.get() {
                component.stopped();
            }
        })));
        let rotation = Arc::new(tokio::sync::Mutex::new(()));
        let queen = Self {
            inner: Arc::new(Inner {
                store,
                commands,
                latest_event,
                changes,
                health,
                clock_changed,
                writer,
                secrets,
                auth,
                entropy,
                rotation,
                outbox_changed,
                epoch,
                fence,
                overtaken,
                component,
                tier,
                pace,
            }),
        };
        queen.finish_rotation();
        Ok(queen)
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.inner.commands.send(command(reply)).await.map_err(|_| Refusal::shutting_down())?;
        answer.await.map_err(|_| Refusal::shutting_down())?
    }

    /// Like `ask`, for orders: what was given and not taken goes back to the queue.
    async fn ask_for_orders(
        &self,
        ant: AntId,
        command: impl FnOnce(Reply<Orders>) -> Command,
    ) -> Result<Orders, Refusal> {
        let (reply, answer) = oneshot::channel();
        let mut guard = OrdersGuard { answer, ant, commands: self.inner.commands.clone() };
        self.inner.commands.send(command(reply)).await.map_err(|_| Refusal::shutting_down())?;
        (&mut guard.answer).await.map_err(|_| Refusal::shutting_down())?
    }

    /// Validates and stores a definition as a new version (or finds the same content again).
    pub async fn upload_definition(&self, file_name: &str, source: &str) -> Result<DefinitionResource, Refusal> {
        let (file_name, source) = (file_name.to_owned(), source.to_owned());
        // A large file takes a while: not on a thread that others wait for.
        let secrets = Arc::clone(&self.inner.secrets);
        let parse = move || {
            let exists = |job_type: &str, name: &str| secrets.has_config(job_type, name);
            LoadedVersion::parse(&file_name, &source, KnownConfigs::These(&exists))
        };
        let version = tokio::task::spawn_blocking(parse).await.map_err(|error| Refusal::Unavailable {
            message: format!("the definition could not be read: {error}"),
        })??;
        self.ask(|reply| Command::Upload { version: Arc::new(version), reply }).await
    }

    /// Enables or disables a definition.
    pub async fn set_enabled(&self, job_type: &str, enabled: bool) -> Result<DefinitionResource, Refusal> {
        self.ask(|reply| Command::SetEnabled { job_type: job_type.to_owned(), enabled, reply }).await
    }

    /// Accepts a job; it is stored when this returns. `idempotency_key` with another body is refused with 422.
    pub async fn submit(
        &self,
        request: SubmitRequest,
        submitted_by: &str,
        idempotency_key: Option<&str>,
    ) -> Result<SubmitResponse, Refusal> {
        let submission = Box::new(Submission {
            request,
            submitted_by: submitted_by.to_owned(),
            idempotency_key: idempotency_key.map(str::to_owned),
        });
        self.ask(|reply| Command::Submit { submission, reply }).await
    }

    /// Performs a command and returns the job's state afterwards.
    pub async fn command(&self, job: &JobId, command: JobCommand) -> Result<JobState, Refusal> {
        self.ask(|reply| Command::Job { job: job.clone(), command, reply }).await
    }

    /// Runs a job that has ended again, as a new job: with other params or another version of its definition. It keeps
    /// what completed before the task to begin with.
    pub async fn run_again(&self, job: &JobId, again: RunAgain) -> Result<SubmitResponse, Refusal> {
        self.ask(|reply| Command::RunAgain { job: job.clone(), again: Box::new(again), reply }).await
    }

    /// An ant asks for work. Waits until there is an order, or until `wait` is over (then: no orders).
    pub async fn poll(&self, request: PollRequest, wait: Duration) -> Result<Orders, Refusal> {
        let deadline = Instant::now() + wait;
        let ant = request.ant.clone();
        self.ask_for_orders(ant, |reply| Command::Poll { request, deadline, reply }).await
    }

    /// An ant reports. The answer may carry the next assignments for slots that the reports freed.
    ///
    /// Reports that only say that attempts started are accepted at once and stored with the next batch: losing them
    /// with the process loses nothing, for the ant says with its next roster which attempts it has begun.
    pub async fn report(&self, batch: ReportBatch) -> Result<Orders, Refusal> {
        if batch.reports.iter().all(|report| matches!(report.body, ReportBody::Started { .. })) {
            self.inner.commands.send(Command::LateReport(batch)).await.map_err(|_| Refusal::shutting_down())?;
            return Ok(Orders { epoch: self.inner.epoch, ..Orders::default() });
        }
        let ant = batch.ant.clone();
        self.ask_for_orders(ant, |reply| Command::Report { batch, reply }).await
    }

    /// An ant lives. The answer has what it has not been told yet.
    pub async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<Orders, Refusal> {
        let ant = heartbeat.ant.clone();
        self.ask_for_orders(ant, |reply| Command::Heartbeat { heartbeat, reply }).await
    }

    /// Gives somebody the right to type into an attempt that runs and has a terminal. One may at a time; `take_over` ends
    /// the session of another one.
    pub async fn open_terminal(
        &self,
        attempt: &AttemptId,
        by: Typist,
        size: TerminalSize,
        take_over: bool,
    ) -> Result<TerminalSession, Refusal> {
        let attempt = attempt.clone();
        self.ask(|reply| Command::OpenTerminal { attempt, by, size, take_over, reply }).await
    }

    /// Does something with a session of [`Self::open_terminal`]. An input that was taken is typed once, however often it is
    /// said.
    pub async fn use_terminal(
        &self,
        attempt: &AttemptId,
        session: &str,
        by: Typist,
        command: TerminalCommand,
    ) -> Result<(), Refusal> {
        let (attempt, session) = (attempt.clone(), session.to_owned());
        self.ask(|reply| Command::UseTerminal { attempt, session, by, command, reply }).await
    }

    /// Whether the ant has the attempt under this token now. What comes under another one is stale: pieces of logs and
    /// uploads are refused (`STALE_TOKEN`). Asks memory only, and waits for nobody.
    pub fn holds(&self, ant: &AntId, attempt: &AttemptId, token: u64) -> bool {
        #[cfg(feature = "simulation")]
        if crate::simulation::is_sabotaged(crate::simulation::Sabotage::Fencing) {
            return true;
        }
        self.inner.fence.holds(ant, attempt, token)
    }

    /// Refuses what comes of an attempt that the ant does not have under this token: [`STALE_TOKEN`], unless the job is set
    /// aside. Then the ant may have it rightly, and is not to kill it.
    pub(crate) fn check_lease(&self, ant: &AntId, attempt: &AttemptId, token: u64) -> Result<(), Refusal> {
        if self.holds(ant, attempt, token) {
            return Ok(());
        }
        if let Some((job, _)) = attempt.parts()
            && self.inner.fence.is_set_aside(&job)
        {
            return Err(Refusal::damaged(&job, "it is set aside, and its logs with it"));
        }
        let message = format!("{attempt} is not leased to {ant} under that token");
        Err(Refusal::Conflict { code: STALE_TOKEN, message })
    }

    /// Whether any ant has the attempt now. Asks memory only, as [`Self::holds`] does.
    pub(crate) fn is_leased(&self, attempt: &AttemptId) -> bool {
        self.inner.fence.is_leased(attempt)
    }

    /// The attempts that end from now on without a report of the ant that has them: nothing more is appended to their logs.
    /// Only who asks first hears of them.
    pub(crate) fn lease_ends(&self) -> mpsc::UnboundedReceiver<AttemptId> {
        self.inner.fence.ends()
    }

    /// Configs and secrets.
    pub fn secrets(&self) -> &Arc<Secrets> {
        &self.inner.secrets
    }

    /// Removes a bounded part of what is over: of jobs whose definition says nothing, by `default`.
    pub async fn sweep(&self, default: Retention) -> Result<Swept, Refusal> {
        self.ask(|reply| Command::Sweep { default, reply }).await
    }

    /// Says that files are gone which were written down as garbage.
    pub(crate) async fn clear_garbage(&self, files: Vec<Garbage>) -> Result<(), Refusal> {
        self.ask(|reply| Command::ClearGarbage { files, reply }).await
    }

    /// For reads.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The sequence of the newest committed event; changes wake the readers of streams.
    pub fn latest_event(&self) -> watch::Receiver<i64> {
        self.inner.latest_event.clone()
    }

    /// What has changed without an event of a job; changes wake the readers of streams.
    pub fn changes(&self) -> watch::Receiver<Changes> {
        self.inner.changes.clone()
    }

    /// Whether the writer lives and the last write succeeded; the text says what is wrong.
    pub fn health(&self) -> Result<(), String> {
        if self.inner.commands.is_closed() {
            let last = self.inner.health.borrow().clone();
            return Err(last.err().unwrap_or_else(|| "the writer has stopped".to_owned()));
        }
        self.inner.health.borrow().clone()
    }

    /// Whether other servers may wait for the turn of this one.
    pub fn may_be_overtaken(&self) -> bool {
        self.inner.overtaken.is_some()
    }

    /// Whether another server has taken over the database, so that this one must not do anything more.
    pub fn is_overtaken(&self) -> bool {
        self.inner.overtaken.as_ref().is_some_and(CancellationToken::is_cancelled)
    }

    /// The writer is this part of its server.
    pub(crate) fn is_part(&self, component: Component) {
        // Only the first server counts; there is no other one.
        let _ = self.inner.component.set(component);
    }

    /// The writer among the parts of its server.
    pub(crate) fn component(&self) -> Option<&Component> {
        self.inner.component.get()
    }

    /// Returns when the writer has ended, in order or by a panic.
    pub async fn stopped(&self) {
        self.inner.commands.closed().await;
    }

    /// Changes of [`Self::health`].
    pub fn health_changes(&self) -> watch::Receiver<Result<(), String>> {
        self.inner.health.clone()
    }

    /// Says that the [`Clock`] was set to another time, so that timers and schedules are looked at now.
    pub fn clock_changed(&self) {
        self.inner.clock_changed.notify_one();
    }

    /// Bounds the size of the database in pages, as a full disk would; `None` lifts the bound.
    #[doc(hidden)]
    pub async fn limit_database_pages(&self, pages: Option<u32>) -> Result<(), Refusal> {
        self.ask(|reply| Command::LimitPages(pages, reply)).await
    }

    /// Stops dispatch, lets the writer finish what is queued, closes the database.
    pub async fn shutdown(&self) {
        // An error says that it has stopped already.
        let _ = self.ask(Command::Shutdown).await;
        self.join().await;
        self.inner.store.close().await;
    }

    /// Stops at once, as if the process was killed: what is not committed is lost.
    #[doc(hidden)]
    pub async fn abandon(&self) {
        if let Some(writer) = self.take_writer() {
            writer.abort();
            let _ = writer.await;
        }
        self.inner.store.close().await;
    }

    fn take_writer(&self) -> Option<JoinHandle<()>> {
        self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn join(&self) {
        if let Some(writer) = self.take_writer()
            && let Err(error) = writer.await
        {
            tracing::error!(%error, "the writer ended badly");
        }
    }
}

/// Gives orders back that were sent to a caller who did not wait for them.
struct OrdersGuard {
    answer: oneshot::Receiver<Result<Orders, Refusal>>,
    ant: AntId,
    commands: mpsc::Sender<Command>,
}

impl Drop for OrdersGuard {
    fn drop(&mut self) {
        self.answer.close();
        if let Ok(Ok(orders)) = self.answer.try_recv() {
            let command = Command::Undelivered { ant: self.ant.clone(), orders };
            // With a full queue the ant is told again, or its roster says that it does not have them.
            let _ = self.commands.try_send(command);
        }
    }
}
