//! From the database to memory: at the start, after a failed write, and for a job that a command brings back.
//!
//! A job's engine state is never stored: its events are replayed through `decide`. What comes out is compared with the
//! job's rows; a job where they disagree is set aside, loudly, and does not keep the others from going on.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use atta_core::engine::{AttemptNumber, AttemptState, Effect, Event, JobState, TaskIndex, TaskState, decide};
use atta_core::protocol::{AntId, AttemptId, JobId};
use atta_core::template::{ConfigValues, Limits, NoFunctions, Renderer};
use atta_core::time::{Clock, Entropy, UnixMillis};
use serde_json::{Map, Value};

use super::Refusal;
use super::accounts::Accounts;
use super::admission::Admission;
use super::ants::{self, Ant, Lease, Told};
use super::approvals::OpenApprovals;
use super::concurrency::Keys;
use super::definitions::{DefinitionEntry, LoadedVersion, label_versions};
use super::fan_out::Left;
use super::job_time::JobTime;
use super::kept_commands::Packer;
use super::leases::Losses;
use super::live::{Dirty, LiveJob, TaskData};
use super::queue::ReadyQueue;
use super::spending::{Budgets, Spending, day_of};
use super::state::{Staged, State};
use super::terminals::Terminals;
use super::variables::{JobCounts, QueenFunctions, submission_variables};
use crate::directory::Directory;
use crate::secrets::Secrets;
use crate::store::{AttemptRow, InstanceRow, StoreError, StoreWriter, StoredJob, Which, adopted_attempt};

/// How long an Idempotency-Key is remembered.
pub(super) const IDEMPOTENCY_KEPT: Duration = Duration::from_hours(24);

/// What a task with `fan_out` had of its instances when it settled.
struct Gathered {
    /// No new job attempt made the task PENDING since.
    current: bool,
    rows: Vec<InstanceRow>,
    /// The attempt that each had finished last.
    left: Vec<Option<AttemptNumber>>,
}

impl State {
    /// Reads everything that is needed from a database that was just opened.
    pub(super) async fn open(
        database: &mut StoreWriter,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        schedules: bool,
        secrets: Arc<Secrets>,
        directory: Arc<dyn Directory>,
        lease: Duration,
    ) -> Result<Self, StoreError> {
        let epoch = database.next_epoch().await?;
        // Apart: it is seldom needed, and would make every opening larger.
        Box::pin(label_versions(database)).await?;
        let monotonic = clock.monotonic();
        let ants = database.load_ants().await?;
        let now = clock.now();
        database.forget_idempotency(UnixMillis(now.0.saturating_sub(millis(IDEMPOTENCY_KEPT)))).await?;
        let counts = Arc::new(JobCounts::default());
        let functions = QueenFunctions { counts: counts.clone(), clock: clock.clone() };
        let auth = Arc::new(crate::auth::Tokens::new(database.load_tokens().await?));
        let mut state = Self {
            renderer: Renderer::new(Limits::default(), Arc::new(functions)),
            lasting: Renderer::new(Limits::default(), Arc::new(NoFunctions)),
            secrets,
            time: JobTime::new(Arc::clone(&clock)),
            auth,
            clock,
            entropy,
            schedules,
            jobs: HashMap::new(),
            damaged: HashMap::new(),
            definitions: BTreeMap::new(),
            versions: HashMap::new(),
            counts,
            user_keys: HashMap::new(),
            children: HashMap::new(),
            watchers: HashMap::new(),
            timers: std::collections::BTreeSet::new(),
            ready: ReadyQueue::default(),
            own: std::collections::BTreeSet::new(),
            webhook_buckets: HashMap::new(),
            waits_over: std::collections::BTreeSet::new(),
            approvals: OpenApprovals::default(),
            directory,
            outbox_changed: Arc::default(),
            admission: Admission::default(),
            keys: Keys::default(),
            budgets: Budgets::default(),
            unoffered: Vec::new(),
            service_changed: false,
            ants: ants.into_iter().map(|row| (row.id.clone(), Ant::awaited(row, monotonic))).collect(),
            lease,
            fence: Arc::default(),
            in_force: Arc::default(),
            tier: atta_core::resilience::Decision::default(),
            pace: Arc::default(),
            losses: Losses::default(),
            terminals: Terminals::new(epoch),
            epoch,
            tokens: 0,
            sequence: 0,
            staged: Staged::default(),
            packer: Packer::default(),
            restored: None,
        };
        state.reload(database).await?;
        Ok(state)
    }

    /// Throws all of memory away that mirrors the database, and reads it again. Ants and their sessions stay.
    pub(super) async fn reload(&mut self, database: &mut StoreWriter) -> Result<(), StoreError> {
        let definitions = database.load_definitions().await?;
        let counts = database.count_jobs().await?;
        let sequence = database.latest_sequence().await?;
        self.restored = database.load_restored().await?;
        let stored = database.load_jobs(Which::Live).await?;
        let approvals = database.load_open_approvals().await?;
        for ant in self.ants.values_mut() {
            ant.row.directory = None;
        }
        for row in database.load_ants().await? {
            if let Some(ant) = self.ants.get_mut(&row.id) {
                ant.row.mode = row.mode;
                // What is leased to it was leased to that directory, whatever was heard since and not stored.
                ant.row.directory = row.directory;
            }
        }
        let today = day_of(self.clock.now());
        let (counted, accounts) = (database.load_spend_of(today).await?, database.load_accounts().await?);
        self.budgets.reset(today, counted, Accounts::new(accounts));
        let configs = database.load_configs().await?;
        self.secrets.reset(configs);
        self.auth.reset(database.load_tokens().await?);
        self.staged = Staged::default();
        // A version that was never stored must not be found again.
        self.versions.clear();
        // Before anything is forgotten that cannot be read again: a line that breaks says nothing about a definition.
        let mut loaded = Vec::with_capacity(stored.len());
        for job in stored {
            let version = match self.read_version(database, &job.row.job_type, &job.row.version).await {
                Err(error) if error.is_unreachable() => return Err(error),
                read => read.map_err(Refusal::from).flatten(),
            };
            loaded.push((job, version));
        }
        self.jobs.clear();
        self.damaged.clear();
        self.user_keys.clear();
        self.children.clear();
        self.timers.clear();
        self.ready = ReadyQueue::default();
        self.own.clear();
        self.waits_over.clear();
        self.admission = Admission::default();
        self.keys = Keys::default();
        self.unoffered.clear();
        self.approvals = OpenApprovals::new(approvals);
        self.sequence = sequence;
        self.counts.reset(counts);
        self.definitions = definitions
            .into_iter()
            .map(|(row, versions)| (row.job_type.clone(), DefinitionEntry { row, versions }))
            .collect();
        self.rebuild_watchers();
        let mut leases = HashMap::new();
        for ant in self.ants.values_mut() {
            leases.extend(ant.held.drain());
        }
        for (job, version) in loaded {
            let id = job.row.id.clone();
            // One that is set aside keeps its key too: the database would refuse another one.
            if let Some(key) = &job.row.user_key {
                self.user_keys.insert(key.clone(), id.clone());
            }
            let live = match version {
                Ok(version) => self.replay(job, version),
                Err(refusal) => Err(format!("its definition cannot be used: {refusal}")),
            };
            match live {
                Ok(live) => self.take_in(live, &leases),
                Err(reason) => self.set_aside(&id, reason),
            }
        }
        self.read_daily_budgets(database).await;
        // Not earlier: after a failed write logs go on meanwhile, and a refusal would cut them off for good.
        let held: HashSet<&AttemptId> = self.ants.values().flat_map(|ant| ant.held.keys()).collect();
        self.fence.set_aside(self.damaged.keys().cloned().collect());
        self.fence.retain(|attempt| held.contains(attempt));
        // What seemed to have failed may be stored.
        self.outbox_changed.notify_one();
        Ok(())
    }

    /// The newest versions of definitions with agents say how much they may use on a day.
    async fn read_daily_budgets(&mut self, database: &mut StoreWriter) {
        let with_agents = self.jobs.values().filter(|live| live.definition.has_agents());
        let newest: BTreeMap<String, String> = with_agents
            .filter_map(|live| self.definitions.get(&live.row.job_type))
            .map(|entry| (entry.row.job_type.clone(), entry.row.latest_version.clone()))
            .collect();
        for (job_type, version) in newest {
            if let Err(refusal) = self.version(database, &job_type, &version).await {
                tracing::warn!(job_type, %refusal, "its newest version cannot be read: jobs keep the daily budget of theirs");
            }
        }
    }

    /// Enters a recovered job into everything that is derived from jobs.
    fn take_in(&mut self, live: LiveJob, leases: &HashMap<AttemptId, Lease>) {
        let id = live.row.id.clone();
        self.time.not_before(live.last_at);
        for (timer, due) in &live.timers {
            self.timers.insert((*due, id.clone(), *timer));
        }
        let mut ready = Vec::new();
        for (number, row) in &live.attempts {
            match (row.state, &row.ant) {
                (AttemptState::Ready, _) => ready.push(*number),
                (AttemptState::Leased | AttemptState::Running, Some(ant)) => {
                    let (attempt, token) = (AttemptId::new(&id, *number), row.token.unwrap_or_default());
                    // After a failed write it is known since when the ant knows of it. One that was to be given, or given
                    // anew, and was not, is no more on its way than one of an earlier start: its order went with the write
                    // that seemed to have failed.
                    let told = match leases.get(&attempt) {
                        Some(lease) if lease.token == token && lease.told != Told::NotYet => lease.told,
                        Some(_) | None => Told::Before,
                    };
                    let (ant, now) = (AntId(ant.clone()), self.clock.monotonic());
                    let unknown = || Ant::unknown(&ant, now, self.clock.now());
                    let ant = self.ants.entry(ant.clone()).or_insert_with(unknown);
                    ant.held.insert(attempt.clone(), Lease { token, told, sequence: 0 });
                    if let Some(reason) = live.stops.get(number) {
                        // So did the order to stop it, perhaps.
                        ant.note(ants::stop(attempt.clone(), token, reason.clone()));
                    }
                    if self.secrets.held().of(&attempt).is_none()
                        && let Ok(assignment) = live.assignment(*number, token, self.lease, &self.renderer)
                    {
                        self.secrets.held().hold(&attempt, &assignment.secrets.values);
                    }
                }
                _ => {}
            }
        }
        self.budgets.take_in(&live.row.job_type, &live.spending.open);
        self.fence.stored(live.attempts.iter().map(|(number, row)| (AttemptId::new(&id, *number), row)));
        self.join_family(&live.row);
        self.jobs.insert(id.clone(), live);
        for number in ready {
            self.enqueue(&id, number);
        }
        self.settle_place(&id);
        self.keep_key(&id);
    }

    /// What follows from a restart: PENDING jobs get into line. What ants have is settled when they say so, or when
    /// nothing was heard of them for a lease.
    pub(super) fn resume(&mut self) {
        let mut pending: Vec<JobId> = Vec::new();
        for (id, live) in &self.jobs {
            if live.row.state == JobState::Pending {
                pending.push(id.clone());
            }
        }
        pending.sort();
        for job in pending {
            self.consider(&job);
        }
    }

    /// Replays a stored job and checks it against its rows.
    pub(super) fn replay(&self, stored: StoredJob, version: Arc<LoadedVersion>) -> Result<LiveJob, String> {
        let StoredJob { row, tasks, attempts, artifacts, sessions, spend, budget, adopted, events, timers, broken } =
            stored;
        if let Some(broken) = broken {
            return Err(broken);
        }
        let params: Map<String, Value> =
            serde_json::from_str(&row.params).map_err(|error| format!("its params are damaged: {error}"))?;
        // Fields were resolved with the params that the job was created with.
        let created: Option<Map<String, Value>> =
            row.created_params
                .as_deref()
                .map(serde_json::from_str)
                .transpose()
                .map_err(|error| format!("the params that it was created with are damaged: {error}"))?;
        let scope = || {
            let params = created.as_ref().unwrap_or(&params);
            submission_variables(&version.definition, &row, params, ConfigValues::default(), &self.lasting)
        };
        let nothing_happened = events.is_empty();
        let (definition, plan) = if row.state == JobState::Skipped {
            (version.definition.clone(), version.plan.clone())
        } else {
            version.resolve(&self.lasting, scope).map_err(|refusal| refusal.to_string())?
        };
        let mut live = LiveJob::new(row, params, version, definition, plan, Arc::clone(&self.secrets));
        live.spending = Spending::read(live.spending.purse.caps, budget, spend);
        // Which attempt's outputs and artifacts each task, or each instance of a task, has now.
        let mut latest: HashMap<(TaskIndex, Option<u32>), (AttemptNumber, bool)> = HashMap::new();
        let mut instances: HashMap<AttemptNumber, u32> = HashMap::new();
        // Tasks that were taken over from another job, and whether that still counts.
        let mut taken_over: HashMap<TaskIndex, bool> = HashMap::new();
        let mut gathered: HashMap<TaskIndex, Gathered> = HashMap::new();
        let rows_by_number: HashMap<AttemptNumber, &AttemptRow> =
            attempts.iter().map(|row| (row.number, row)).collect();
        let mut sessions: HashMap<AttemptNumber, _> = sessions.into_iter().collect();
        for (position, stamped) in events.iter().enumerate() {
            let effects = decide(&live.plan, &mut live.run, stamped)
                .map_err(|error| format!("event {} of its history is refused: {error}", position + 1))?;
            live.last_at = live.last_at.max(stamped.at);
            live.note_workspace(&stamped.event, &effects);
            live.note_stops(&effects);
            if let Event::TasksAdopted { kept, .. } = &stamped.event {
                taken_over.extend(kept.iter().map(|kept| (kept.task, true)));
            }
            if let Event::ItemsExpanded { task, visit, outcome } = &stamped.event {
                live.expanded(*task, *visit, outcome);
                if outcome.is_err() {
                    gathered.remove(task);
                }
                latest.retain(|(of, instance), _| of != task || instance.is_none());
            }
            for effect in effects {
                live.project_instance(&effect);
                match effect {
                    Effect::AttemptCreated { attempt, instance: Some(instance), .. } => {
                        instances.insert(attempt, instance);
                    }
                    Effect::TaskChanged { task, to, .. } if to.is_settled() && to != TaskState::Skipped => {
                        if let Some(all) = live.fan_outs.get(&task) {
                            let left = (0..)
                                .zip(&all.rows)
                                .map(|(instance, _)| latest.get(&(task, Some(instance))).map(|(attempt, _)| *attempt));
                            gathered
                                .insert(task, Gathered { current: true, rows: all.rows.clone(), left: left.collect() });
                        }
                    }
                    Effect::JobAttemptBegan { reset, .. } => {
                        live.sessions.forget(&reset);
                        for task in reset {
                            if let Some((_, current)) = latest.get_mut(&(task, None)) {
                                *current = false;
                            }
                            if let Some(current) = taken_over.get_mut(&task) {
                                *current = false;
                            }
                            if let Some(gathered) = gathered.get_mut(&task) {
                                gathered.current = false;
                            }
                        }
                    }
                    Effect::AttemptClosed { attempt, result, .. }
                        if !matches!(stamped.event, Event::AttemptInterrupted { .. }) =>
                    {
                        let cut = matches!(stamped.event, Event::AttemptOverBudget { .. });
                        if let Some(row) = rows_by_number.get(&attempt) {
                            let place = (row.task, row.instance);
                            live.sessions.ended(place, (attempt, row.visit), sessions.remove(&attempt), (result, cut));
                        }
                        if let Some(info) = live.run.attempt(attempt) {
                            latest.insert((info.task, instances.get(&attempt).copied()), (attempt, true));
                        }
                    }
                    _ => {}
                }
            }
        }
        if live.run.state() != live.row.state {
            return Err(format!(
                "its history says that it is {}, its row says {}",
                live.run.state().as_str(),
                live.row.state.as_str()
            ));
        }
        for row in tasks {
            if row.task.0 as usize >= live.definition.tasks.len() {
                return Err(format!("it has a row of task number {}, which its definition does not have", row.task.0));
            }
            let replayed = live.run.task_state(row.task);
            if replayed != row.state {
                return Err(format!(
                    "its history says that task {} is {}, its row says {}",
                    row.name,
                    replayed.as_str(),
                    row.state.as_str()
                ));
            }
            live.tasks.insert(row.task, row);
        }
        let of_gathered: HashSet<AttemptNumber> =
            gathered.values().flat_map(|gathered| gathered.left.iter().flatten().copied()).collect();
        let mut left: HashMap<AttemptNumber, Left> = HashMap::new();
        let mut files: HashMap<AttemptNumber, _> =
            artifacts.into_iter().map(|rows| (rows.attempt, rows.files)).collect();
        for (task, outputs) in adopted {
            let outputs = serde_json::from_str(&outputs)
                .map_err(|error| format!("what it took over for task number {} is damaged: {error}", task.0))?;
            let current = taken_over.get(&task).copied().unwrap_or(false);
            let artifacts = files.remove(&adopted_attempt(task)).unwrap_or_default();
            live.results.insert(task, TaskData { current, outputs: Arc::new(outputs), artifacts });
        }
        for row in attempts {
            let replayed = live.run.attempt(row.number).map(|info| info.state);
            if replayed != Some(row.state) {
                return Err(format!("its history and its row disagree about attempt {}", row.number.0));
            }
            let of_latest =
                latest.get(&(row.task, row.instance)).filter(|(number, _)| *number == row.number).map(|(_, c)| *c);
            if of_latest.is_some() || of_gathered.contains(&row.number) {
                let outputs = serde_json::from_str(&row.outputs)
                    .map_err(|error| format!("the outputs of attempt {} are damaged: {error}", row.number.0))?;
                let artifacts = files.remove(&row.number).unwrap_or_default();
                if let Some(instance) = row.instance {
                    let one = Left::new(Arc::new(outputs), artifacts);
                    if of_latest.is_some() {
                        live.instance_left(row.task, instance, one.clone());
                    }
                    left.insert(row.number, one);
                } else {
                    let current = of_latest.unwrap_or(false);
                    let data = TaskData { current, outputs: Arc::new(outputs), artifacts };
                    live.results.insert(row.task, data);
                }
            }
            if row.state != AttemptState::Finished {
                live.attempts.insert(row.number, row);
            }
        }
        for (task, Gathered { current, rows, left: numbers }) in gathered {
            let all = numbers.iter().map(|number| number.and_then(|number| left.get(&number)).cloned());
            let data = live.together(task, &rows, &all.map(Option::unwrap_or_default).collect::<Vec<_>>());
            live.results.insert(task, TaskData { current, ..data });
        }
        live.dirty = Dirty::default();
        live.timers = timers.into_iter().collect();
        if !nothing_happened {
            let tasks: Vec<TaskIndex> = live.tasks.keys().copied().collect();
            for task in tasks {
                live.refresh_view(task);
            }
        }
        Ok(live)
    }
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
