//! One live job: its engine state and the rows that mirror it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use atta_core::definition::JobDefinition;
use atta_core::engine::{
    AttemptNumber, Effect, EngineError, Event, JobRun, JobState, Stamped, TaskIndex, Timer, decide,
};
use atta_core::graph::Plan;
use atta_core::protocol::agent::AgentRecord;
use atta_core::protocol::ant::ArtifactFile;
use atta_core::time::UnixMillis;
use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::agents::Sessions;
use super::definitions::LoadedVersion;
use super::fan_out::Instances;
use super::outcomes::{NewsOfOutcome, is_of_interest};
use super::project::Projection;
use super::queue::QueueKey;
use super::spending::Spending;
use super::variables::TaskTable;
use super::workspaces::WorkspaceProgress;
use crate::secrets::Secrets;
use crate::store::{AttemptRow, JobRow, Said, TaskRow};

/// A job that is not over, or that a command has just brought back.
pub(super) struct LiveJob {
    pub(super) row: JobRow,
    pub(super) params: Map<String, Value>,
    pub(super) version: Arc<LoadedVersion>,
    /// With all fields resolved for these params.
    pub(super) definition: Arc<JobDefinition>,
    pub(super) plan: Arc<Plan>,
    pub(super) run: JobRun,
    /// Rows of tasks that something has happened to.
    pub(super) tasks: BTreeMap<TaskIndex, TaskRow>,
    /// Rows of attempts that are not finished, and of those that finished in this batch.
    pub(super) attempts: BTreeMap<AttemptNumber, AttemptRow>,
    /// What the latest finished attempt of each task left.
    pub(super) results: HashMap<TaskIndex, TaskData>,
    /// The instances of tasks with `fan_out` whose items are known.
    pub(super) fan_outs: HashMap<TaskIndex, Instances>,
    /// What agents can go on with.
    pub(super) sessions: Sessions,
    /// What they have used.
    pub(super) spending: Spending,
    /// Configs, and the secrets that attempts are given.
    pub(super) secrets: Arc<Secrets>,
    /// What templates see of the tasks.
    pub(super) view: Arc<TaskTable>,
    pub(super) timers: BTreeMap<Timer, UnixMillis>,
    /// Timers that are due and wait for `max_concurrency`.
    pub(super) held_timers: BTreeSet<Timer>,
    /// READY attempts with their place in the queue.
    pub(super) queued: HashMap<AttemptNumber, (Vec<String>, QueueKey)>,
    /// Attempts that an ant has and that are to stop, with the reason.
    pub(super) stops: BTreeMap<AttemptNumber, String>,
    /// READY attempts that wait until the job is not paused any more.
    pub(super) parked: Vec<AttemptNumber>,
    /// The instant of the newest event: time never goes back within a job.
    pub(super) last_at: UnixMillis,
    /// Counts against `max_concurrency`.
    pub(super) occupies: bool,
    pub(super) workspace: WorkspaceProgress,
    /// What it costs and achieves is counted.
    pub(super) of_interest: bool,
    /// What its definition said last about what it has achieved, as far as this server knows.
    pub(super) said: Option<Said>,
    pub(super) dirty: Dirty,
}

/// What of a live job must be written.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    /// The job has no row yet.
    pub(super) new: bool,
    pub(super) row: bool,
    /// The job goes on with other params.
    pub(super) params: bool,
    pub(super) tasks: BTreeSet<TaskIndex>,
    pub(super) attempts: BTreeSet<AttemptNumber>,
    pub(super) instances: BTreeSet<(TaskIndex, u32)>,
    /// Instances from this one on are no more.
    pub(super) instances_removed: BTreeMap<TaskIndex, u32>,
    /// A task has settled: the description may read otherwise now.
    pub(super) describe: bool,
    /// What is new about what it costs and achieves.
    pub(super) outcome: NewsOfOutcome,
}

/// What a task's latest finished attempt left.
#[derive(Debug, Clone)]
pub(super) struct TaskData {
    /// False once a new job attempt made the task PENDING again: then only the task itself still sees it.
    pub(super) current: bool,
    pub(super) outputs: Arc<IndexMap<String, Value>>,
    pub(super) artifacts: Vec<ArtifactFile>,
}

/// What an ant said with an event and is no matter of the engine's.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// When it happened, by the ant's clock.
    pub(super) at: UnixMillis,
    /// With the end of an attempt.
    pub(super) finish: Option<Finish>,
}

/// What came with the end of an attempt.
#[derive(Debug, Clone, Default)]
pub(super) struct Finish {
    pub(super) outputs: IndexMap<String, Value>,
    pub(super) artifacts: Vec<ArtifactFile>,
    pub(super) warnings: Vec<String>,
    pub(super) log_bytes: u64,
    /// What is known of an agent.
    pub(super) agent: Option<Box<AgentRecord>>,
}

/// An event that the engine accepted, with what it decided.
pub(super) struct Applied {
    pub(super) stamped: Stamped,
    pub(super) effects: Vec<Effect>,
    pub(super) projection: Projection,
}

impl LiveJob {
    /// A PENDING job.
    pub(super) fn new(
        row: JobRow,
        params: Map<String, Value>,
        version: Arc<LoadedVersion>,
        definition: Arc<JobDefinition>,
        plan: Arc<Plan>,
        secrets: Arc<Secrets>,
    ) -> Self {
        let of_interest = is_of_interest(&definition);
        let limits = definition.budget.as_ref().map(|budget| budget.limits.caps()).unwrap_or_default();
        Self {
            secrets,
            run: JobRun::new(&plan),
            view: Arc::new(TaskTable::new(version.task_names.clone(), version.task_name_set.clone())),
            last_at: row.created_at,
            row,
            params,
            version,
            definition,
            plan,
            tasks: BTreeMap::new(),
            attempts: BTreeMap::new(),
            results: HashMap::new(),
            fan_outs: HashMap::new(),
            sessions: Sessions::default(),
            spending: Spending::read(limits, None, Vec::new()),
            timers: BTreeMap::new(),
            held_timers: BTreeSet::new(),
            queued: HashMap::new(),
            stops: BTreeMap::new(),
            parked: Vec::new(),
            occupies: false,
            workspace: WorkspaceProgress::default(),
            of_interest,
            said: None,
            dirty: Dirty::default(),
        }
    }

    /// Feeds an event to the engine and brings the rows up to date. An error changes nothing.
    pub(super) fn apply(
        &mut self,
        event: Event,
        now: UnixMillis,
        entropy: u64,
        told: Option<Told>,
    ) -> Result<Applied, EngineError> {
        let stamped = Stamped { at: now.max(self.last_at), entropy, event };
        let (before, begun) = (self.before_end(&stamped.event), self.row.started_at.is_some());
        let effects = decide(&self.plan, &mut self.run, &stamped)?;
        self.last_at = stamped.at;
        let released = self.note_workspace(&stamped.event, &effects);
        self.note_stops(&effects);
        let mut projection = self.project(&stamped, &effects, told);
        projection.released_workspace = released;
        self.update_view(&stamped.event, &effects);
        self.note_outcome(begun, &effects, before, &projection);
        Ok(Applied { stamped, effects, projection })
    }

    /// Takes note of the attempts that are to stop, also in a replay.
    pub(super) fn note_stops(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::KillAttempt { attempt, reason } => {
                    self.stops.insert(*attempt, reason.clone());
                }
                Effect::AttemptClosed { attempt, .. } => {
                    self.stops.remove(attempt);
                }
                _ => {}
            }
        }
    }

    /// The row of a task, made when it has none.
    pub(super) fn task_row(&mut self, task: TaskIndex) -> &mut TaskRow {
        self.dirty.tasks.insert(task);
        let plan = &self.plan;
        self.tasks.entry(task).or_insert_with(|| TaskRow::new(task, plan.task_name(task)))
    }

    /// The row of an unfinished attempt, to be changed.
    pub(super) fn attempt_row(&mut self, number: AttemptNumber) -> Option<&mut AttemptRow> {
        let row = self.attempts.get_mut(&number)?;
        self.dirty.attempts.insert(number);
        Some(row)
    }

    /// Whether the job takes one of the places of `max_concurrency`: it runs, or what was started still runs.
    pub(super) fn takes_a_place(&self) -> bool {
        matches!(self.row.state, JobState::Running | JobState::Cancelling)
            || self.attempts.values().any(|attempt| attempt.ant.is_some() && attempt.result.is_none())
    }

    /// Sets the sentence that says what the job waits for.
    pub(super) fn set_reason(&mut self, reason: Option<String>) {
        if self.row.reason != reason {
            self.row.reason = reason;
            self.dirty.row = true;
        }
    }
}
