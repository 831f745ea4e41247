//! The one task that changes anything.
//!
//! A batch: take all commands that wait (bounded), apply them in memory, fire what is due, give work to ants, write
//! everything in one transaction, then answer. When the write fails, memory is thrown away and read again from the
//! database, so that it never runs ahead; all callers of the batch are told that nothing happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use atta_core::protocol::AntId;
use atta_core::protocol::ant::{Orders, ReportBatch};
use atta_core::resilience::Component;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use super::Refusal;
use super::ants::is_empty;
use super::command::{Command, Reply};
use super::report::Reported;
use super::state::State;
use super::topics::Changes;
use crate::blocking::at_once;
use crate::store::{StoreError, StoreWriter, Watch};

/// Commands in one transaction.
const BATCH: usize = 256;
/// How long reports that nobody waits for may wait for company.
const LATE: Duration = Duration::from_millis(50);
/// How long to wait before writing is tried again by itself.
const RETRY: Duration = Duration::from_secs(1);
/// The wall clock may be set while nothing happens: look at least this often while something is due.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);

pub(super) struct Writer {
    state: State,
    database: StoreWriter,
    commands: mpsc::Receiver<Command>,
    sequence: watch::Sender<i64>,
    /// What has changed without an event.
    changes: watch::Sender<Changes>,
    health: watch::Sender<Result<(), String>>,
    clock_changed: Arc<Notify>,
    /// Commands for the next batch that the writer gives itself.
    backlog: Vec<Command>,
    /// Orders to take back whose taking back could not be stored.
    not_taken_back: Vec<(AntId, Orders)>,
    /// Reports that nobody waits for, and that could not be stored.
    late_again: Vec<ReportBatch>,
    /// Since when reports wait that nobody waits for.
    late_since: Option<Instant>,
    /// Memory must be read again before anything else.
    stale: bool,
    /// So many commands more get a transaction of their own.
    alone: usize,
    /// When to try again after a failed write.
    retry_at: Option<Instant>,
    /// The part of the server that this is.
    component: Arc<OnceLock<Component>>,
}

/// Something has happened to the right to write; whether the database may be away.
async fn happening(watch: Option<&Watch>) -> bool {
    let Some(watch) = watch else { return std::future::pending().await };
    tokio::select! {
        () = watch.overtaken.cancelled() => false,
        () = watch.uneasy.notified() => true,
    }
}

/// An answer that is sent when the batch is stored.
type Answer = Box<dyn FnOnce(Result<(), &Refusal>) + Send>;

/// Orders for an ant that reported in this batch.
struct ReportAnswer {
    ant: AntId,
    reported: Reported,
    reply: Reply<Orders>,
}

/// What a batch will answer.
#[derive(Default)]
struct Answers {
    plain: Vec<Answer>,
    reports: Vec<ReportAnswer>,
    /// Ants that said that they live.
    heartbeats: Vec<(AntId, Reply<Orders>)>,
}

impl Answers {
    fn push<T: Send + 'static>(&mut self, reply: Reply<T>, result: Result<T, Refusal>) {
        self.plain.push(Box::new(move |committed| {
            let answer = match committed {
                Ok(()) => result,
                Err(refusal) => Err(refusal.clone()),
            };
            // Nobody may be waiting any more.
            let _ = reply.send(answer);
        }));
    }
}

impl Writer {
    pub(super) fn new(
        state: State,
        database: StoreWriter,
        commands: mpsc::Receiver<Command>,
        (sequence, changes): (watch::Sender<i64>, watch::Sender<Changes>),
        health: watch::Sender<Result<(), String>>,
        clock_changed: Arc<Notify>,
    ) -> Self {
        Self {
            state,
            database,
            commands,
            sequence,
            changes,
            health,
            clock_changed,
            backlog: Vec::new(),
            not_taken_back: Vec::new(),
            late_again: Vec::new(),
            late_since: None,
            stale: false,
            alone: 0,
            retry_at: None,
            component: Arc::default(),
        }
    }

    /// Where the server finds how it is.
    pub(super) fn watched_by(&mut self, component: Arc<OnceLock<Component>>) {
        self.component = component;
    }

    /// Stores what the restart itself changes.
    pub(super) async fn recover(&mut self) -> Result<(), String> {
        let followed = self.state.follow_restore(&mut self.database).await;
        followed.map_err(|error| error.to_string())?;
        self.state.resume();
        self.run_batch(Vec::new()).await;
        (*self.health.borrow()).clone()
    }

    /// Runs until told to stop, or until nobody can tell it anything any more.
    pub(super) async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        let watch = self.database.watch();
        let end = loop {
            if self.database.is_overtaken() {
                self.give_up(std::mem::take(&mut batch));
                break None;
            }
            batch.append(&mut self.backlog);
            if self.retry_at.is_none_or(|at| at <= Instant::now()) {
                let again = std::mem::take(&mut self.not_taken_back);
                batch.extend(again.into_iter().map(|(ant, orders)| Command::Undelivered { ant, orders }));
                batch.extend(std::mem::take(&mut self.late_again).into_iter().map(Command::LateReport));
            }
            let most = if self.alone > 0 { 1 } else { BATCH };
            let room = most.saturating_sub(batch.len()).max(1);
            if batch.is_empty() || self.late_since.is_some() {
                let wake = self.wake_at();
                tokio::select! {
                    // Not at random, so that simulations can be replayed; what is asked for all the time comes last.
                    biased;
                    uneasy = happening(watch.as_ref()) => if uneasy { self.reassure().await },
                    () = self.clock_changed.notified() => {}
                    received = self.commands.recv_many(&mut batch, room) => if received == 0 { break None },
                    () = sleep_until(wake) => {}
                }
            } else {
                while batch.len() < most
                    && let Ok(command) = self.commands.try_recv()
                {
                    batch.push(command);
                }
            }
            let only_late = !batch.is_empty()
                && batch.iter().all(|command| matches!(command, Command::LateReport(_) | Command::Audit(_)));
            if only_late && batch.len() < BATCH && !self.is_due() {
                let since = *self.late_since.get_or_insert_with(Instant::now);
                if since + LATE > Instant::now() {
                    // They ride with the next batch.
                    self.backlog.append(&mut batch);
                    continue;
                }
            }
            self.late_since = None;
            let end = batch.iter().position(|command| matches!(command, Command::Shutdown(_)));
            let shutdown = end.map(|at| batch.remove(at));
            self.alone = self.alone.saturating_sub(batch.len());
            Box::pin(at_once(self.run_batch(std::mem::take(&mut batch)))).await;
            if let Some(Command::Shutdown(reply)) = shutdown {
                break Some(reply);
            }
        };
        Box::pin(at_once(self.finish(end))).await;
    }

    /// Another server writes now: nothing that is in memory is of any use.
    fn give_up(&mut self, commands: Vec<Command>) {
        let refusal = Refusal::from(StoreError::TakenOver);
        let mut rest = self.close();
        rest.extend(commands);
        self.fail(rest, &refusal);
        self.refuse_polls(&refusal);
    }

    /// Takes no commands any more; those that still wait.
    fn close(&mut self) -> Vec<Command> {
        self.commands.close();
        let mut rest = std::mem::take(&mut self.backlog);
        while let Ok(command) = self.commands.try_recv() {
            rest.push(command);
        }
        rest
    }

    fn refuse_polls(&mut self, refusal: &Refusal) {
        for ant in self.state.ants.values_mut() {
            if let Some(poll) = ant.poll.take() {
                let _ = poll.reply.send(Err(refusal.clone()));
            }
        }
    }

    /// The database may be away: better to know before somebody asks for something.
    async fn reassure(&mut self) {
        if let Err(error) = self.database.reassure().await {
            self.stale = true;
            self.say_broken(&Refusal::from(error));
        }
    }

    /// Answers what still waits and closes the database.
    async fn finish(mut self, reply: Option<Reply<()>>) {
        let mut rest = self.close();
        rest.retain(|command| !matches!(command, Command::Poll { .. } | Command::Shutdown(_)));
        if !rest.is_empty() {
            self.run_batch(rest).await;
        }
        if !self.stale {
            self.state.end_terminals();
            if let Err(error) = self.write().await {
                tracing::warn!(%error, "the last of what was typed into terminals is not in the audit");
            }
        }
        self.refuse_polls(&Refusal::shutting_down());
        if let Err(error) = self.database.close().await {
            tracing::warn!(%error, "the database was not closed cleanly");
        }
        if let Some(reply) = reply {
            let _ = reply.send(Ok(()));
        }
    }

    /// When something is due without anybody saying anything.
    fn wake_at(&self) -> Option<Instant> {
        let state = &self.state;
        let late = self.late_since.map(|since| since + LATE);
        if self.retry_at.is_some() {
            // While writing fails, only the next try is waited for: whatever else is due would fail at once, and be due again.
            return late.into_iter().chain(self.retry_at).min();
        }
        if state.service_changed {
            return Some(Instant::now());
        }
        let by_clock =
            [state.admission.scheduled.first().map(|(due, _)| *due), state.next_tick(), state.budgets.next_look()];
        let by_clock = by_clock.into_iter().flatten().min().map(|due| due.since(state.clock.now()));
        let timer = state.timers.first().map(|(due, _, _)| due.since(state.time.now()));
        let due = by_clock.into_iter().chain(timer).min().map(|rest| {
            // A millisecond more than needed: instants of the clock are cut to milliseconds.
            Instant::now() + (rest + Duration::from_millis(1)).min(LONGEST_SLEEP)
        });
        let look = state.next_look().map(|look| {
            let rest = look.saturating_sub(state.clock.monotonic()) + Duration::from_millis(1);
            Instant::now() + rest
        });
        due.into_iter().chain(look).chain(late).chain(state.next_poll_deadline()).min()
    }

    /// Whether something is to be done without anybody saying anything.
    fn is_due(&self) -> bool {
        let (state, now) = (&self.state, self.state.clock.now());
        state.timers.first().is_some_and(|(due, _, _)| *due <= state.time.now())
            || state.admission.scheduled.first().is_some_and(|(due, _)| *due <= now)
            || state.next_tick().is_some_and(|due| due <= now)
            || state.budgets.next_look().is_some_and(|due| due <= now)
            || state.service_changed
            || state.next_look().is_some_and(|look| look <= state.clock.monotonic())
            || state.next_poll_deadline().is_some_and(|deadline| deadline <= Instant::now())
            // What is tried again is not put off once more: meanwhile there would be nothing to sleep for.
            || self.retry_at.is_some_and(|at| at <= Instant::now())
    }

    async fn reload(&mut self) -> Result<(), StoreError> {
        self.database.read_again().await?;
        self.state.reload(&mut self.database).await?;
        self.state.follow_restore(&mut self.database).await
    }

    async fn run_batch(&mut self, commands: Vec<Command>) {
        let _busy = self.component.get().map(Component::work);
        if self.stale
            && let Err(error) = self.reload().await
        {
            self.fail(commands, &Refusal::from(error));
            return;
        }
        if std::mem::take(&mut self.stale) {
            self.state.resume();
            Changes::note_all(&self.changes);
        }
        let size = u32::try_from(commands.len()).unwrap_or(u32::MAX);
        let silent = Silent::of(&commands);
        let mut answers = Answers::default();
        for command in commands {
            self.apply(command, &mut answers).await;
        }
        let tier = self.state.tier.clone();
        let current = answers.reports.iter().filter(|report| report.reported.current);
        let reporting: BTreeSet<AntId> = current.map(|report| report.ant.clone()).collect();
        if let Err(error) = self.follow_up(&reporting).await {
            self.roll_back(answers, silent, &Refusal::from(error));
            return;
        }
        if let Err(error) = self.write().await {
            if error.is_constraint() {
                // One command is at fault: when the others are tried again it must not take them along.
                self.alone = BATCH;
            }
            self.roll_back(answers, silent, &Refusal::from(error));
            return;
        }
        metrics::histogram!("atta_batch_commands").record(f64::from(size));
        self.retry_at = None;
        if self.health.send_if_modified(|health| std::mem::replace(health, Ok(())).is_err()) {
            tracing::info!("the database can be written again");
        }
        let mut staged = self.state.committed();
        Changes::note(&self.changes, &staged, self.state.tier != tier);
        self.sequence.send_if_modified(|sequence| {
            let newest = self.state.latest_sequence();
            std::mem::replace(sequence, newest) != newest
        });
        self.answer(answers, &mut staged.orders);
    }

    /// Everything that follows from the commands and from the time.
    async fn follow_up(&mut self, reporting: &BTreeSet<AntId>) -> Result<(), StoreError> {
        let now = self.state.time.now();
        if self.retry_at.is_some() {
            self.state.listen_anew();
        }
        self.state.judge_ants(self.commands.is_empty());
        self.state.apply_tier();
        self.state.start_scheduled();
        while let Some((due, job, timer)) = self.state.timers.first().cloned()
            && due <= now
        {
            self.state.fire(&job, timer);
            // A timer that the engine did not want stays away.
            self.state.timers.remove(&(due, job, timer));
        }
        // Before ticks, which are skipped while somebody is in line.
        self.state.admit();
        self.state.fire_schedules(&mut self.database).await?;
        loop {
            self.state.admit();
            let ended = self.state.end_waits(&mut self.database).await?;
            let performed = self.state.perform_own(&mut self.database).await?;
            let related = self.state.follow_ends(&mut self.database).await?;
            self.state.dispatch(reporting);
            // A job whose assignment failed may have given up its place: who gets it has work for the same ants. It may
            // also be one that another job waits for.
            let settled = self.state.admission.changed.is_empty() && self.state.keys.changed.is_empty();
            if settled && !ended && !performed && !related && !self.state.has_ends() {
                break;
            }
        }
        self.state.look_after_terminals();
        self.state.describe_touched();
        self.state.note_outcomes();
        self.state.write_occasions();
        Ok(())
    }

    async fn write(&mut self) -> Result<(), StoreError> {
        self.state.take_token_uses();
        let mut changes = self.state.changes();
        if self.retry_at.is_some() || self.health.borrow().is_err() {
            changes.probe = Some(self.state.clock.now());
        }
        if changes.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        self.database.write(&changes).await?;
        self.state.pace.note(started.elapsed());
        metrics::histogram!("atta_commit_seconds").record(started.elapsed().as_secs_f64());
        Ok(())
    }

    /// Nothing of the batch happened.
    fn roll_back(&mut self, answers: Answers, silent: Silent, refusal: &Refusal) {
        self.stale = true;
        self.state.take_back_terminals();
        self.keep(silent);
        self.say_broken(refusal);
        for answer in answers.plain {
            answer(Err(refusal));
        }
        for report in answers.reports {
            let _ = report.reply.send(Err(refusal.clone()));
        }
        for (_, reply) in answers.heartbeats {
            let _ = reply.send(Err(refusal.clone()));
        }
        // First polls are compared with what is leased to the ant once more, and nobody waits longer than agreed.
        let now = Instant::now();
        for ant in self.state.ants.values_mut() {
            if let Some(poll) = ant.poll.take_if(|poll| ant.settling || poll.deadline <= now) {
                let _ = poll.reply.send(Err(refusal.clone()));
            }
        }
    }

    fn fail(&mut self, commands: Vec<Command>, refusal: &Refusal) {
        self.say_broken(refusal);
        self.keep(Silent::of(&commands));
        for command in commands {
            command.refuse(refusal);
        }
    }

    /// What nobody will say again is tried again.
    fn keep(&mut self, silent: Silent) {
        self.not_taken_back.extend(silent.undelivered);
        self.late_again.extend(silent.late);
    }

    fn say_broken(&mut self, refusal: &Refusal) {
        let message = refusal.to_string();
        // Said once, however many try in vain.
        if self.health.borrow().as_ref().err() != Some(&message) {
            tracing::error!(error = %message, "nothing can be stored");
        }
        metrics::counter!("atta_commit_failures_total").increment(1);
        self.retry_at = Some(Instant::now() + RETRY);
        drop(self.health.send_replace(Err(message)));
    }

    async fn apply(&mut self, command: Command, answers: &mut Answers) {
        let state = &mut self.state;
        let database = &mut self.database;
        match command {
            Command::Upload { version, reply } => {
                let result = state.upload(database, version).await;
                answers.push(reply, result);
            }
            Command::SetEnabled { job_type, enabled, reply } => {
                let result = state.set_enabled(database, &job_type, enabled).await;
                answers.push(reply, result);
            }
            Command::Deliver { delivery, reply } => {
                let result = match state.accepts_work() {
                    Ok(()) => state.deliver(database, *delivery).await,
                    Err(refusal) => Err(refusal),
                };
                answers.push(reply, result);
            }
            Command::Submit { submission, reply } => {
                let result = match state.accepts_work() {
                    Ok(()) => state.submit(database, *submission).await,
                    Err(refusal) => Err(refusal),
                };
                answers.push(reply, result);
            }
            Command::Job { job, command, reply } => {
                let result = state.command(database, &job, command).await;
                answers.push(reply, result);
            }
            Command::PutConfig { put, reply } => answers.push(reply, state.put_config(*put)),
            Command::RemoveConfig { key, reply } => answers.push(reply, state.remove_config(&key)),
            Command::CreateToken { request, created_by, reply } => {
                answers.push(reply, state.create_token(*request, &created_by));
            }
            Command::RevokeToken { name_or_id, reply } => answers.push(reply, state.revoke_token(&name_or_id)),
            Command::Audit(row) => state.staged.audit.push(*row),
            Command::OpenTerminal { attempt, by, size, take_over, reply } => {
                answers.push(reply, state.open_terminal(&attempt, by, size, take_over));
            }
            Command::UseTerminal { attempt, session, by, command, reply } => {
                answers.push(reply, state.use_terminal(&attempt, &session, by, command));
            }
            Command::Figures(reply) => answers.push(reply, Ok(state.figures())),
            Command::Budgets(reply) => answers.push(reply, Ok(state.budget_report())),
            Command::ListAccounts(reply) => answers.push(reply, Ok(state.list_accounts())),
            Command::ReleaseAccount { name, reply } => answers.push(reply, state.release_account(&name)),
            Command::ListAnts(reply) => answers.push(reply, Ok(state.list_ants())),
            Command::SetAntMode { ant, mode, reply } => answers.push(reply, state.set_ant_mode(&ant, mode)),
            Command::Sweep { default, reply } => {
                let result = state.sweep(database, &default).await.map_err(Refusal::from);
                answers.push(reply, result);
            }
            Command::ClearGarbage { files, reply } => {
                state.clear_garbage(files);
                answers.push(reply, Ok(()));
            }
            Command::Reencrypt(reply) => answers.push(reply, Ok(state.reencrypt_some())),
            Command::Vote { vote, reply } => {
                let result = state.vote(database, *vote).await;
                answers.push(reply, result);
            }
            Command::Delivered { changes, reply } => {
                state.staged.outcomes.extend(changes);
                answers.push(reply, Ok(()));
            }
            Command::Redeliver { id, reply } => {
                let result = state.redeliver(database, &id).await;
                answers.push(reply, result);
            }
            Command::RunAgain { job, again, reply } => {
                let result = match state.accepts_work() {
                    Ok(()) => state.run_again(database, &job, *again).await,
                    Err(refusal) => Err(refusal),
                };
                answers.push(reply, result);
            }
            Command::Poll { request, deadline, reply } => {
                state.poll(database, request, deadline, reply).await;
            }
            Command::Report { batch, reply } => {
                let ant = batch.ant.clone();
                match state.report(database, batch).await {
                    Ok(reported) => answers.reports.push(ReportAnswer { ant, reported, reply }),
                    Err(refusal) => answers.push(reply, Err(refusal)),
                }
            }
            Command::Heartbeat { heartbeat, reply } => {
                if state.heartbeat(&heartbeat) {
                    answers.heartbeats.push((heartbeat.ant, reply));
                } else {
                    // Its next poll brings it back.
                    answers.push(reply, Ok(Orders { epoch: u64::from(state.epoch), ..Orders::default() }));
                }
            }
            Command::LateReport(batch) => {
                let ant = batch.ant.clone();
                match state.report(database, batch).await {
                    Ok(Reported { stale, .. }) => {
                        if let Some(ant) = state.ants.get_mut(&ant) {
                            ant.note(Orders { stale, ..Orders::default() });
                        }
                    }
                    Err(refusal) => tracing::warn!(%ant, %refusal, "a report is lost"),
                }
            }
            Command::Undelivered { ant, orders } => state.take_back(&ant, orders),
            Command::LimitPages(pages, reply) => {
                let result = database.limit_pages(pages).await.map_err(Refusal::from);
                answers.push(reply, result);
            }
            Command::Shutdown(reply) => answers.push(reply, Ok(())),
        }
    }

    fn answer(&mut self, answers: Answers, orders: &mut BTreeMap<AntId, Orders>) {
        for answer in answers.plain {
            answer(Ok(()));
        }
        for ReportAnswer { ant, reported: Reported { stale, current }, reply } in answers.reports {
            let answer = if current {
                self.state.orders_for(&ant, orders.remove(&ant).unwrap_or_default(), stale)
            } else {
                // Without a serial: the ant obeys, and there is nothing to remember.
                Orders { epoch: u64::from(self.state.epoch), stale, ..Orders::default() }
            };
            if let Err(Ok(orders)) = reply.send(Ok(answer))
                && !is_empty(&orders)
            {
                self.backlog.push(Command::Undelivered { ant, orders });
            }
        }
        for (ant, reply) in answers.heartbeats {
            let answer = self.state.orders_for(&ant, Orders::default(), Vec::new());
            if let Err(Ok(orders)) = reply.send(Ok(answer))
                && !is_empty(&orders)
            {
                self.backlog.push(Command::Undelivered { ant, orders });
            }
        }
        for (ant, orders) in self.state.answer_polls(orders) {
            self.backlog.push(Command::Undelivered { ant, orders });
        }
    }
}

/// What of a batch nobody waits for an answer to.
#[derive(Default)]
struct Silent {
    undelivered: Vec<(AntId, Orders)>,
    late: Vec<ReportBatch>,
}

impl Silent {
    fn of(commands: &[Command]) -> Self {
        let mut silent = Self::default();
        for command in commands {
            match command {
                Command::Undelivered { ant, orders } => silent.undelivered.push((ant.clone(), orders.clone())),
                Command::LateReport(batch) => silent.late.push(batch.clone()),
                _ => {}
            }
        }
        silent
    }
}

impl Command {
    fn refuse(self, refusal: &Refusal) {
        let refusal = refusal.clone();
        match self {
            Self::Upload { reply, .. } | Self::SetEnabled { reply, .. } => drop(reply.send(Err(refusal))),
            Self::Submit { reply, .. } | Self::RunAgain { reply, .. } => drop(reply.send(Err(refusal))),
            Self::Deliver { reply, .. } => drop(reply.send(Err(refusal))),
            Self::Job { reply, .. } => drop(reply.send(Err(refusal))),
            Self::Vote { reply, .. } => drop(reply.send(Err(refusal))),
            Self::Poll { reply, .. } | Self::Report { reply, .. } | Self::Heartbeat { reply, .. } => {
                drop(reply.send(Err(refusal)));
            }
            Self::PutConfig { reply, .. } => drop(reply.send(Err(refusal))),
            Self::Reencrypt(reply) => drop(reply.send(Err(refusal))),
            Self::Sweep { reply, .. } => drop(reply.send(Err(refusal))),
            Self::Delivered { reply, .. }
            | Self::Redeliver { reply, .. }
            | Self::ClearGarbage { reply, .. }
            | Self::RemoveConfig { reply, .. }
            | Self::UseTerminal { reply, .. }
            | Self::LimitPages(_, reply)
            | Self::Shutdown(reply) => {
                drop(reply.send(Err(refusal)));
            }
            Self::OpenTerminal { reply, .. } => drop(reply.send(Err(refusal))),
            Self::Budgets(reply) => drop(reply.send(Err(refusal))),
            Self::ListAccounts(reply) => drop(reply.send(Err(refusal))),
            Self::ReleaseAccount { reply, .. } => drop(reply.send(Err(refusal))),
            Self::Figures(reply) => drop(reply.send(Err(refusal))),
            Self::ListAnts(reply) => drop(reply.send(Err(refusal))),
            Self::SetAntMode { reply, .. } => drop(reply.send(Err(refusal))),
            Self::CreateToken { reply, .. } => drop(reply.send(Err(refusal))),
            Self::RevokeToken { reply, .. } => drop(reply.send(Err(refusal))),
            Self::LateReport(_) | Self::Undelivered { .. } => {}
            Self::Audit(row) => tracing::error!(?row, "a change is not in the audit"),
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
