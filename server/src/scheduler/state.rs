//! What the writer keeps in memory. All of it can be rebuilt from the database.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use atta_core::budget::Caps;
use atta_core::definition::Priority;
use atta_core::engine::{AttemptNumber, AttemptResult, AttemptState, EngineError, Event, JobState, Timer};
use atta_core::protocol::ant::Orders;
use atta_core::protocol::{AntId, AttemptId, JobId};
use atta_core::resilience::Decision;
use atta_core::template::Renderer;
use atta_core::time::{Clock, Entropy, UnixMillis};

use tokio::sync::Notify;

use super::admission::Admission;
use super::ants::{self, Ants};
use super::approvals::OpenApprovals;
use super::concurrency::Keys;
use super::definitions::{DefinitionEntry, LoadedVersion};
use super::families::EndedJob;
use super::fence::Fence;
use super::figures::Pace;
use super::job_time::JobTime;
use super::kept_commands::Packer;
use super::leases::Losses;
use super::live::{Applied, LiveJob, Told};
use super::notifications::Occasion;
use super::project::Question;
use super::queue::{QueueKey, Rank, ReadyQueue, needed_method};
use super::spending::Budgets;
use super::terminals::Terminals;
use super::tier::InForce;
use super::variables::JobCounts;
use super::webhook::Buckets;
use super::workspaces;
use crate::auth::Tokens;
use crate::directory::Directory;
use crate::secrets::Secrets;
use crate::store::{
    AdoptedRow, AgentRow, ApprovalRow, ArtifactRows, AuditRow, Changes, ColumnName, CommandRow, ConfigKey, DaySum,
    DeliveryChange, DeliveryRow, EventRow, IdempotencyRow, JobRow, LabelRows, OutboxRow, OutcomeChange, SpendRow,
    TimerChange, TokenRow, VersionRow, VoteRow, json,
};

/// Parsed versions that are kept besides the newest of each definition.
const VERSIONS_KEPT: usize = 64;

/// What a batch wants to store and say, besides the rows of live jobs.
#[derive(Default)]
pub(super) struct Staged {
    pub(super) touched: BTreeSet<JobId>,
    pub(super) events: Vec<EventRow>,
    pub(super) artifacts: Vec<ArtifactRows>,
    pub(super) agents: Vec<AgentRow>,
    /// What ants are told; an attempt may be given twice.
    pub(super) commands: BTreeMap<(JobId, AttemptNumber), CommandRow>,
    pub(super) achieved: Vec<OutcomeChange>,
    /// What attempts of agents may use or have used; `None`: nothing at all.
    pub(super) spend: BTreeMap<(JobId, AttemptNumber), Option<SpendRow>>,
    pub(super) spend_days: BTreeMap<(i64, String), DaySum>,
    pub(super) job_budgets: BTreeMap<JobId, Caps>,
    /// Accounts whose rows change.
    pub(super) accounts: BTreeSet<String>,
    pub(super) adopted: Vec<AdoptedRow>,
    pub(super) timers: BTreeMap<(JobId, Timer), Option<UnixMillis>>,
    pub(super) versions: Vec<VersionRow>,
    pub(super) labels: Vec<LabelRows>,
    pub(super) definitions: BTreeSet<String>,
    pub(super) idempotency: Vec<IdempotencyRow>,
    pub(super) configs: BTreeSet<ConfigKey>,
    pub(super) expiry: crate::store::ExpiryChange,
    pub(super) deliveries: Vec<DeliveryRow>,
    pub(super) tokens: Vec<TokenRow>,
    pub(super) audit: Vec<AuditRow>,
    pub(super) approvals: BTreeMap<String, ApprovalRow>,
    pub(super) votes: Vec<VoteRow>,
    /// What somebody is to be told; made into rows at the end of the batch.
    pub(super) occasions: Vec<(JobId, Occasion)>,
    pub(super) outbox: Vec<OutboxRow>,
    pub(super) outcomes: Vec<DeliveryChange>,
    pub(super) orders: BTreeMap<AntId, Orders>,
    pub(super) finished_jobs: Vec<JobState>,
    pub(super) finished_attempts: Vec<AttemptResult>,
    /// Jobs that ended, where somebody may want to know.
    pub(super) ended: Vec<EndedJob>,
    /// Jobs that were ended without their engine.
    pub(super) abandoned: BTreeMap<JobId, JobRow>,
    /// Jobs whose forked jobs are to be looked at, or one of their attempts that has ended.
    pub(super) orphans: Vec<(JobId, Option<AttemptNumber>)>,
    /// Ants whose rows change.
    pub(super) ants: BTreeSet<AntId>,
    /// Ants that nobody needs to know of any more.
    pub(super) forgotten_ants: BTreeSet<AntId>,
    /// Ants that are given up.
    pub(super) lost_ants: BTreeSet<AntId>,
    /// Jobs that were made of something of another one.
    pub(super) by_origin: HashMap<(JobId, String), JobId>,
}

/// The queen's memory.
pub(super) struct State {
    pub(super) clock: Arc<dyn Clock>,
    /// The time of events and timers.
    pub(super) time: JobTime,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) schedules: bool,
    pub(super) jobs: HashMap<JobId, LiveJob>,
    /// Jobs whose history and rows disagree, with the reason: nothing is done with them.
    pub(super) damaged: HashMap<JobId, String>,
    pub(super) definitions: BTreeMap<String, DefinitionEntry>,
    pub(super) versions: HashMap<(String, String), Arc<LoadedVersion>>,
    pub(super) counts: Arc<JobCounts>,
    pub(super) renderer: Renderer,
    /// Knows nothing but what it is given: what it renders is the same at any time.
    pub(super) lasting: Renderer,
    pub(super) secrets: Arc<Secrets>,
    /// API tokens.
    pub(super) auth: Arc<Tokens>,
    /// Keys of live jobs.
    pub(super) user_keys: HashMap<String, JobId>,
    /// The forked jobs in memory, by the job that forked them.
    pub(super) children: HashMap<JobId, BTreeSet<JobId>>,
    /// Definitions that the ends of jobs trigger, by the definition of those jobs.
    pub(super) watchers: HashMap<String, BTreeSet<String>>,
    pub(super) timers: BTreeSet<(UnixMillis, JobId, Timer)>,
    pub(super) ready: ReadyQueue,
    /// READY attempts that the queen performs herself.
    pub(super) own: BTreeSet<QueueKey>,
    pub(super) webhook_buckets: Buckets,
    /// Waiting attempts to look at in this batch.
    pub(super) waits_over: BTreeSet<(JobId, AttemptNumber)>,
    /// What can be voted on.
    pub(super) approvals: OpenApprovals,
    pub(super) directory: Arc<dyn Directory>,
    /// Something is to be told to somebody.
    pub(super) outbox_changed: Arc<Notify>,
    pub(super) admission: Admission,
    /// `concurrency` keys.
    pub(super) keys: Keys,
    /// What agents may use, and whose.
    pub(super) budgets: Budgets,
    /// READY attempts that are to be told what they wait for.
    pub(super) unoffered: Vec<QueueKey>,
    /// Ants came, went or do other work: what others wait for may be another thing now.
    pub(super) service_changed: bool,
    pub(super) ants: Ants,
    /// What of `ants` counts outside of the writer.
    pub(super) fence: Arc<Fence>,
    /// What is left out, as it was decided last, and as it is carried out.
    pub(super) in_force: Arc<InForce>,
    pub(super) tier: Decision,
    /// How long storing takes.
    pub(super) pace: Arc<Pace>,
    /// Who types into which attempt.
    pub(super) terminals: Terminals,
    /// Ants that were lost a moment ago.
    pub(super) losses: Losses,
    /// How long an attempt lasts without a sign of life of its ant.
    pub(super) lease: Duration,
    pub(super) epoch: u32,
    pub(super) tokens: u32,
    pub(super) sequence: i64,
    pub(super) staged: Staged,
    pub(super) packer: Packer,
    /// The database was restored from a backup, which is to be followed up.
    pub(super) restored: Option<crate::store::Restored>,
}

impl State {
    /// The sequence of the newest event.
    pub(super) fn latest_sequence(&self) -> i64 {
        self.sequence
    }

    /// A fencing token that was never used before.
    pub(super) fn next_token(&mut self) -> u64 {
        self.tokens += 1;
        (u64::from(self.epoch) << 32) | u64::from(self.tokens)
    }

    /// Feeds an event to a live job, evaluates the conditions that this asks for, and takes note of what follows.
    pub(super) fn feed(&mut self, job: &JobId, event: Event, told: Option<Told>) -> Result<(), EngineError> {
        if let Some(reason) = self.damaged.get(job) {
            return Err(EngineError::Internal(format!("set aside: {reason}")));
        }
        let mut next = Some((event, told));
        let mut questions = std::collections::VecDeque::new();
        loop {
            let (event, told) = if let Some(next) = next.take() {
                next
            } else {
                let Some(question) = questions.pop_front() else { return Ok(()) };
                let Some(live) = self.jobs.get(job) else { return Ok(()) };
                let answer = match question {
                    Question::Condition(task, visit) => {
                        let outcome = live.evaluate_condition(task, visit, &self.renderer);
                        Event::ConditionEvaluated { task, visit, outcome }
                    }
                    Question::Items(task, visit) => {
                        let outcome = live.expand_items(task, visit, &self.renderer);
                        Event::ItemsExpanded { task, visit, outcome }
                    }
                };
                (answer, None)
            };
            let now = self.time.now();
            let entropy = self.entropy.next_u64();
            let Some(live) = self.jobs.get_mut(job) else {
                return Err(EngineError::Internal(format!("{job} is not live")));
            };
            let applied = live.apply(event, now, entropy, told)?;
            questions.extend(applied.projection.questions.iter().copied());
            self.follow(job, applied);
        }
    }

    /// What an accepted event means outside of the job's own rows.
    fn follow(&mut self, job: &JobId, applied: Applied) {
        let Applied { stamped, effects, projection } = applied;
        let returned = match stamped.event {
            Event::AttemptReturned { attempt } => Some(attempt),
            _ => None,
        };
        self.sequence += 1;
        self.staged.events.push(EventRow {
            sequence: self.sequence,
            job: job.clone(),
            stamped,
            effects: json(&effects),
        });
        if !self.staged.touched.contains(job) {
            self.staged.touched.insert(job.clone());
        }
        for change in projection.timers {
            if let Some(was) = change.was {
                self.timers.remove(&(was, job.clone(), change.timer));
            }
            if let Some(due) = change.due {
                self.timers.insert((due, job.clone(), change.timer));
            }
            self.staged.timers.insert((job.clone(), change.timer), change.due);
        }
        for number in projection.ready {
            if returned == Some(number) {
                self.give_back(job, number);
            }
            self.enqueue(job, number);
        }
        for number in &projection.closed {
            let record = projection.agent.as_ref().filter(|row| row.attempt == *number).map(|row| &*row.record);
            self.settle_spending(job, *number, record);
        }
        let has_children = self.children.contains_key(job);
        let Some(live) = self.jobs.get_mut(job) else { return };
        if has_children {
            let state = live.row.state;
            if live.run.is_stopped() || matches!(state, JobState::Failed | JobState::Cancelled) {
                self.staged.orphans.push((job.clone(), None));
            }
            self.staged.orphans.extend(projection.closed.iter().map(|number| (job.clone(), Some(*number))));
        }
        for number in projection.closed {
            if let Some((tags, key)) = live.queued.remove(&number) {
                self.ready.remove(&tags, &key);
            }
            let Some(row) = live.attempts.get(&number) else { continue };
            if let Some(ant) = row.ant.as_ref().and_then(|ant| self.ants.get_mut(&AntId(ant.clone()))) {
                ant.held.remove(&AttemptId::new(job, number));
            }
            // An interrupted one has no token any more, and had secrets all the same.
            if self.secrets.held().any() {
                self.secrets.held().release(&AttemptId::new(job, number));
            }
            if let Some(result) = row.result {
                self.staged.finished_attempts.push(result);
                if let Some(closed) = self.approvals.close(job, number, result, live.last_at) {
                    self.staged.approvals.insert(closed.id.clone(), closed);
                }
            }
        }
        for (number, reason) in projection.kills {
            if let Some(row) = live.attempts.get(&number)
                && let (Some(ant), Some(token)) = (&row.ant, row.token)
            {
                let orders = self.staged.orders.entry(AntId(ant.clone())).or_default();
                ants::merge(orders, ants::stop(AttemptId::new(job, number), token, reason));
            }
        }
        if let Some(release) = projection.released_workspace {
            workspaces::release(&self.ants, &mut self.staged, &release);
        }
        if let Some(artifacts) = projection.artifacts {
            self.staged.artifacts.push(artifacts);
        }
        self.staged.agents.extend(projection.agent);
        if let Some(was) = projection.job_was {
            let state = live.row.state;
            let job_type = live.row.job_type.clone();
            if was != state {
                self.counts.change(&job_type, was, state);
                if live.definition.notify.iter().any(|notification| notification.is_about(state)) {
                    self.staged.occasions.push((job.clone(), Occasion::Job(state)));
                }
            }
            if state.is_terminal() {
                self.staged.finished_jobs.push(state);
                if live.row.origin.forked || self.watchers.contains_key(&job_type) {
                    let attempt = live.run.job_attempt();
                    self.staged.ended.push(EndedJob { job: job.clone(), state, attempt });
                }
                live.held_timers.clear();
                for (timer, due) in std::mem::take(&mut live.timers) {
                    self.timers.remove(&(due, job.clone(), timer));
                    self.staged.timers.insert((job.clone(), timer), None);
                }
                if let Some(key) = &live.row.user_key {
                    self.user_keys.remove(key);
                }
                self.give_key_back(job);
            } else if live.run.may_dispatch() {
                for number in std::mem::take(&mut live.parked) {
                    self.enqueue(job, number);
                }
            }
        }
        self.settle_place(job);
    }

    /// Puts a READY attempt into the queue.
    pub(super) fn enqueue(&mut self, job: &JobId, number: AttemptNumber) {
        let Some(live) = self.jobs.get_mut(job) else { return };
        let Some(row) = live.attempts.get(&number).filter(|row| row.state == AttemptState::Ready) else { return };
        let task = &live.definition.tasks[row.task.0 as usize];
        let priority: Priority = task.priority.unwrap_or(live.row.priority);
        let rank = Rank::new(priority, row.created_at);
        if !task.method.runs_on_ant() {
            self.own.insert(QueueKey { rank, job: job.clone(), attempt: number });
            return;
        }
        let method = task.method.beyond_every_ant().map(needed_method);
        let mut tags = if task.tags.is_empty() {
            Vec::new()
        } else {
            // Tags that cannot be rendered make the attempt INVALID when its assignment is made.
            live.render_tags(number, &self.renderer).unwrap_or_default()
        };
        if let Some(method) = method {
            tags.push(method);
            tags.sort();
        }
        let key = QueueKey { rank, job: job.clone(), attempt: number };
        self.ready.push(tags.clone(), key.clone());
        self.unoffered.push(key.clone());
        live.queued.insert(number, (tags, key));
    }

    /// All that the batch has changed.
    pub(super) fn changes(&self) -> Changes<'_> {
        let mut changes = Changes {
            versions: self.staged.versions.iter().collect(),
            labels: self.staged.labels.iter().collect(),
            definitions: self
                .staged
                .definitions
                .iter()
                .filter_map(|job_type| self.definitions.get(job_type))
                .map(|entry| &entry.row)
                .collect(),
            artifacts: self.staged.artifacts.iter().collect(),
            agents: self.staged.agents.iter().collect(),
            commands: self.staged.commands.values().collect(),
            achieved: self.staged.achieved.iter().collect(),
            spend: self.staged.spend.iter().map(|((job, attempt), row)| (job, *attempt, row.as_ref())).collect(),
            spend_days: self
                .staged
                .spend_days
                .iter()
                .map(|((day, job_type), sum)| (*day, job_type.as_str(), sum))
                .collect(),
            job_budgets: self.staged.job_budgets.iter().collect(),
            accounts: self
                .staged
                .accounts
                .iter()
                .filter_map(|name| self.budgets.accounts.get(name)?.row.as_ref())
                .collect(),
            adopted: self.staged.adopted.iter().collect(),
            events: self.staged.events.iter().collect(),
            timers: self
                .staged
                .timers
                .iter()
                .map(|((job, timer), due)| TimerChange { job: job.clone(), timer: *timer, due: *due })
                .collect(),
            idempotency: self.staged.idempotency.iter().collect(),
            approvals: self.staged.approvals.values().collect(),
            votes: self.staged.votes.iter().collect(),
            outbox: self.staged.outbox.iter().collect(),
            outcomes: self.staged.outcomes.iter().collect(),
            configs: self.config_changes(),
            expiry: self.staged.expiry.clone(),
            deliveries: self.staged.deliveries.iter().collect(),
            tokens: self.staged.tokens.iter().collect(),
            audit: self.staged.audit.iter().chain(&self.terminals.audit).collect(),
            ants_removed: self.staged.forgotten_ants.iter().collect(),
            ants: self.staged.ants.iter().filter_map(|id| self.ants.get(id)).map(|ant| &ant.row).collect(),
            restored_done: self.restored.is_some(),
            ..Changes::default()
        };
        for live in self.staged.touched.iter().filter_map(|job| self.jobs.get(job)) {
            if live.dirty.new {
                changes.new_jobs.push(&live.row);
            } else if live.dirty.row {
                changes.jobs.push(&live.row);
            }
            if live.dirty.params {
                changes.params.push(&live.row);
            }
            let id = &live.row.id;
            changes.tasks.extend(live.dirty.tasks.iter().filter_map(|task| Some((id, live.tasks.get(task)?))));
            changes
                .instances_removed
                .extend(live.dirty.instances_removed.iter().map(|(task, from)| (id, *task, *from)));
            changes.instances.extend(
                live.dirty
                    .instances
                    .iter()
                    .filter_map(|(task, instance)| Some((id, live.fan_outs.get(task)?.rows.get(*instance as usize)?))),
            );
            changes.attempts.extend(live.dirty.attempts.iter().filter_map(|n| Some((id, live.attempts.get(n)?))));
        }
        for (job, row) in &self.staged.abandoned {
            changes.abandoned.push((job, row.finished_at.unwrap_or(row.created_at)));
            if !self.jobs.contains_key(job) {
                changes.jobs.push(row);
            }
        }
        // A key that one job gives up may be taken by another one in the same transaction.
        changes.jobs.sort_by_key(|row| !row.state.is_terminal());
        changes
    }

    /// After the commit: what was dirty is clean, what is over is forgotten.
    pub(super) fn committed(&mut self) -> Staged {
        let mut staged = std::mem::take(&mut self.staged);
        self.restored = None;
        // It was stored with the rest.
        staged.audit.append(&mut self.terminals.audit);
        self.terminals.committed();
        if !staged.outbox.is_empty() || !staged.outcomes.is_empty() {
            self.outbox_changed.notify_one();
        }
        for job in &staged.touched {
            let Some(live) = self.jobs.get_mut(job) else { continue };
            let rows = live.dirty.attempts.iter().filter_map(|number| Some((*number, live.attempts.get(number)?)));
            self.fence.stored(rows.map(|(number, row)| (AttemptId::new(job, number), row)));
            if live.row.state.is_terminal() {
                self.forget_job(job);
                continue;
            }
            let dirty = std::mem::take(&mut live.dirty);
            for number in dirty.attempts {
                if live.attempts.get(&number).is_some_and(|row| row.result.is_some()) {
                    live.attempts.remove(&number);
                }
            }
        }
        if self.versions.len() > VERSIONS_KEPT + self.definitions.len() {
            // What a live job uses is kept by the job; the newest are what is asked for next.
            let definitions = &self.definitions;
            self.versions.retain(|(job_type, version), _| {
                definitions.get(job_type).is_some_and(|entry| entry.row.latest_version == *version)
            });
        }
        for job in staged.abandoned.keys() {
            self.fence.forget_job(job);
        }
        for id in &staged.ants {
            if let Some(ant) = self.ants.get_mut(id) {
                ant.settling = false;
            }
        }
        for id in &staged.forgotten_ants {
            self.ants.remove(id);
        }
        for id in &staged.lost_ants {
            self.given_up(id);
        }
        for state in &staged.finished_jobs {
            metrics::counter!("atta_jobs_finished_total", "state" => state.column_name()).increment(1);
        }
        for result in &staged.finished_attempts {
            metrics::counter!("atta_attempts_finished_total", "result" => result.as_str()).increment(1);
        }
        #[expect(clippy::cast_precision_loss, reason = "a gauge for people")]
        metrics::gauge!("atta_queue_depth").set(self.ready.len() as f64);
        staged
    }
}

impl State {
    /// Renders the descriptions of jobs where a task has settled.
    pub(super) fn describe_touched(&mut self) {
        for job in &self.staged.touched {
            if let Some(live) = self.jobs.get_mut(job)
                && live.dirty.describe
            {
                live.describe(&self.renderer);
            }
        }
    }
}
