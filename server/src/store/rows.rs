//! Rows as the writer keeps them in memory and the store writes them.

use atta_core::budget::Caps;
use atta_core::definition::Priority;
use atta_core::engine::{
    AttemptNumber, AttemptResult, AttemptState, Failure, JobState, SkipReason, Stamped, TaskIndex, TaskState, Timer,
};
use atta_core::protocol::ant::ArtifactFile;
use atta_core::protocol::{AntId, JobId};
use atta_core::time::UnixMillis;

use super::InstanceRow;

/// A row of `jobs`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JobRow {
    pub(crate) id: JobId,
    pub(crate) job_type: String,
    pub(crate) version: String,
    pub(crate) state: JobState,
    pub(crate) reason: Option<String>,
    pub(crate) failure: Option<Failure>,
    pub(crate) priority: Priority,
    pub(crate) user_key: Option<String>,
    /// A JSON object.
    pub(crate) params: String,
    pub(crate) description: Option<String>,
    /// It was given with the job: the definition's does not count.
    pub(crate) description_given: bool,
    pub(crate) submitted_by: String,
    pub(crate) tick: Option<UnixMillis>,
    pub(crate) attempt: u32,
    pub(crate) nonce: Option<String>,
    pub(crate) created_at: UnixMillis,
    pub(crate) scheduled_at: Option<UnixMillis>,
    pub(crate) started_at: Option<UnixMillis>,
    pub(crate) finished_at: Option<UnixMillis>,
    pub(crate) origin: JobOrigin,
    /// The rendered `concurrency.key`.
    pub(crate) concurrency_key: Option<String>,
    /// The params that the job was created with, if it was resumed with others.
    pub(crate) created_params: Option<String>,
    /// When its definition lets it go; only when it is over.
    pub(crate) expires_at: Option<UnixMillis>,
}

/// Where a job comes from, when another job made it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct JobOrigin {
    /// The job that made it.
    pub(crate) parent: Option<JobId>,
    /// The attempt that submitted or forked it; none when the end of the parent triggered it.
    pub(crate) attempt: Option<AttemptNumber>,
    /// It is cancelled with its parent, and its parent may wait for it.
    pub(crate) forked: bool,
    /// How many forks and triggers lie above it.
    pub(crate) depth: u32,
    /// What of its parent it comes from: no two children of a job have the same.
    pub(crate) key: Option<String>,
    /// The job that it runs again with other params or another version.
    pub(crate) rerun_of: Option<JobId>,
}

/// A row of `tasks`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TaskRow {
    pub(crate) task: TaskIndex,
    pub(crate) name: String,
    pub(crate) state: TaskState,
    pub(crate) visits: u32,
    pub(crate) attempts: u32,
    pub(crate) last_attempt: Option<AttemptNumber>,
    pub(crate) result: Option<AttemptResult>,
    pub(crate) failure: Option<Failure>,
    pub(crate) skip_reason: Option<SkipReason>,
    pub(crate) route: Option<String>,
    pub(crate) first_started_at: Option<UnixMillis>,
    pub(crate) started_at: Option<UnixMillis>,
    pub(crate) finished_at: Option<UnixMillis>,
}

impl TaskRow {
    /// A task that nothing has happened to.
    pub(crate) fn new(task: TaskIndex, name: &str) -> Self {
        Self {
            task,
            name: name.to_owned(),
            state: TaskState::Pending,
            visits: 0,
            attempts: 0,
            last_attempt: None,
            result: None,
            failure: None,
            skip_reason: None,
            route: None,
            first_started_at: None,
            started_at: None,
            finished_at: None,
        }
    }
}

impl TaskRow {
    /// Nothing of the visit before is its result any more.
    pub(crate) fn begin_visit(&mut self) {
        self.result = None;
        self.failure = None;
        self.skip_reason = None;
        self.route = None;
        self.started_at = None;
        self.finished_at = None;
    }
}

/// A row of `attempts`. JSON columns are kept as text: nothing but the API reads them again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AttemptRow {
    pub(crate) number: AttemptNumber,
    pub(crate) task: TaskIndex,
    pub(crate) visit: u32,
    pub(crate) task_attempt: u32,
    pub(crate) job_attempt: u32,
    pub(crate) state: AttemptState,
    /// The instance of a `fan_out`.
    pub(crate) instance: Option<u32>,
    /// The key of its item.
    pub(crate) item_key: Option<String>,
    /// What it waits for.
    pub(crate) reason: Option<String>,
    pub(crate) token: Option<u64>,
    pub(crate) ant: Option<String>,
    pub(crate) isolation: Option<String>,
    pub(crate) result: Option<AttemptResult>,
    pub(crate) failure: Option<Failure>,
    /// A JSON array.
    pub(crate) routed_from: String,
    /// A JSON object.
    pub(crate) outputs: String,
    /// A JSON array.
    pub(crate) warnings: String,
    pub(crate) log_bytes: u64,
    pub(crate) created_at: UnixMillis,
    pub(crate) started_at: Option<UnixMillis>,
    pub(crate) finished_at: Option<UnixMillis>,
}

/// Rows of `artifacts`: what one attempt kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ArtifactRows {
    pub(crate) job: JobId,
    pub(crate) attempt: AttemptNumber,
    pub(crate) files: Vec<ArtifactFile>,
    /// The name of the group.
    pub(crate) group: Option<String>,
    pub(crate) expires_at: Option<UnixMillis>,
}

/// A row of `adopted_tasks`: what a task had left in the job that this one runs again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AdoptedRow {
    pub(crate) job: JobId,
    pub(crate) task: TaskIndex,
    pub(crate) source_job: JobId,
    /// A JSON object.
    pub(crate) outputs: String,
}

/// Where the artifacts of a task that was taken over stand among those of attempts, whose numbers are far below.
pub(crate) fn adopted_attempt(task: TaskIndex) -> AttemptNumber {
    AttemptNumber(ADOPTED + task.0)
}

/// The first of the numbers of [`adopted_attempt`].
pub(crate) const ADOPTED: u32 = 1 << 31;

/// A row of `events`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EventRow {
    pub(crate) sequence: i64,
    pub(crate) job: JobId,
    pub(crate) stamped: Stamped,
    /// A JSON array.
    pub(crate) effects: String,
}

/// A change to `timers`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TimerChange {
    pub(crate) job: JobId,
    pub(crate) timer: Timer,
    /// `None` removes it.
    pub(crate) due: Option<UnixMillis>,
}

/// A row of `definitions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DefinitionRow {
    pub(crate) job_type: String,
    pub(crate) latest_version: String,
    pub(crate) enabled: bool,
    pub(crate) degraded: Option<String>,
    pub(crate) next_fire_at: Option<UnixMillis>,
    /// The definitions whose jobs trigger it.
    pub(crate) watches: Vec<String>,
    pub(crate) created_at: UnixMillis,
    pub(crate) updated_at: UnixMillis,
}

/// A row of `definition_versions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VersionRow {
    pub(crate) job_type: String,
    pub(crate) version: String,
    pub(crate) semver: Option<String>,
    pub(crate) source: String,
    /// A JSON array of field violations.
    pub(crate) warnings: String,
    pub(crate) created_at: UnixMillis,
}

/// A row of `idempotency_keys`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdempotencyRow {
    pub(crate) key: String,
    pub(crate) request_hash: String,
    pub(crate) status: u16,
    /// A JSON document.
    pub(crate) response: String,
    pub(crate) created_at: UnixMillis,
}

/// Everything that one transaction writes.
#[derive(Debug, Default)]
pub(crate) struct Changes<'a> {
    pub(crate) versions: Vec<&'a VersionRow>,
    /// The labels of these versions.
    pub(crate) labels: Vec<&'a super::LabelRows>,
    pub(crate) definitions: Vec<&'a DefinitionRow>,
    pub(crate) new_jobs: Vec<&'a JobRow>,
    pub(crate) jobs: Vec<&'a JobRow>,
    /// Jobs that end without their engine: whatever of them is open ends with them. Their rows are among `jobs`.
    pub(crate) abandoned: Vec<(&'a JobId, UnixMillis)>,
    /// Jobs that go on with other params.
    pub(crate) params: Vec<&'a JobRow>,
    pub(crate) tasks: Vec<(&'a JobId, &'a TaskRow)>,
    pub(crate) attempts: Vec<(&'a JobId, &'a AttemptRow)>,
    pub(crate) instances: Vec<(&'a JobId, &'a InstanceRow)>,
    /// Instances from this one on are no more.
    pub(crate) instances_removed: Vec<(&'a JobId, TaskIndex, u32)>,
    pub(crate) artifacts: Vec<&'a ArtifactRows>,
    pub(crate) agents: Vec<&'a super::AgentRow>,
    pub(crate) commands: Vec<&'a super::CommandRow>,
    /// What jobs have cost and achieved.
    pub(crate) achieved: Vec<&'a super::OutcomeChange>,
    /// What attempts of agents may use or have used; `None`: nothing at all.
    pub(crate) spend: Vec<(&'a JobId, AttemptNumber, Option<&'a super::SpendRow>)>,
    /// By day and definition.
    pub(crate) spend_days: Vec<(i64, &'a str, &'a super::DaySum)>,
    pub(crate) job_budgets: Vec<(&'a JobId, &'a Caps)>,
    pub(crate) accounts: Vec<&'a super::AccountRow>,
    pub(crate) adopted: Vec<&'a AdoptedRow>,
    pub(crate) events: Vec<&'a EventRow>,
    pub(crate) timers: Vec<TimerChange>,
    pub(crate) idempotency: Vec<&'a IdempotencyRow>,
    pub(crate) configs: Vec<super::ConfigChange>,
    pub(crate) expiry: super::ExpiryChange,
    pub(crate) deliveries: Vec<&'a super::DeliveryRow>,
    pub(crate) approvals: Vec<&'a super::ApprovalRow>,
    pub(crate) votes: Vec<&'a super::VoteRow>,
    pub(crate) outbox: Vec<&'a super::OutboxRow>,
    pub(crate) outcomes: Vec<&'a super::DeliveryChange>,
    pub(crate) tokens: Vec<&'a super::TokenRow>,
    pub(crate) audit: Vec<&'a super::AuditRow>,
    pub(crate) ants: Vec<&'a super::AntRow>,
    pub(crate) ants_removed: Vec<&'a AntId>,
    /// What follows from a restore is in this batch.
    pub(crate) restored_done: bool,
    /// Written to `meta`, so that a batch without other changes proves that writing works.
    pub(crate) probe: Option<UnixMillis>,
}

impl Changes<'_> {
    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        // All of them by name: one that is forgotten here would be lost when it comes alone.
        let Self {
            versions,
            labels,
            definitions,
            new_jobs,
            jobs,
            abandoned,
            params,
            tasks,
            attempts,
            instances,
            instances_removed,
            artifacts,
            agents,
            commands,
            achieved,
            spend,
            spend_days,
            job_budgets,
            accounts,
            adopted,
            events,
            timers,
            idempotency,
            configs,
            expiry,
            deliveries,
            tokens,
            audit,
            approvals,
            votes,
            outbox,
            outcomes,
            ants,
            ants_removed,
            restored_done,
            probe,
        } = self;
        versions.is_empty()
            && labels.is_empty()
            && definitions.is_empty()
            && new_jobs.is_empty()
            && jobs.is_empty()
            && abandoned.is_empty()
            && params.is_empty()
            && tasks.is_empty()
            && attempts.is_empty()
            && instances.is_empty()
            && instances_removed.is_empty()
            && artifacts.is_empty()
            && agents.is_empty()
            && commands.is_empty()
            && achieved.is_empty()
            && spend.is_empty()
            && spend_days.is_empty()
            && job_budgets.is_empty()
            && accounts.is_empty()
            && adopted.is_empty()
            && events.is_empty()
            && timers.is_empty()
            && idempotency.is_empty()
            && configs.is_empty()
            && expiry.is_empty()
            && deliveries.is_empty()
            && tokens.is_empty()
            && audit.is_empty()
            && approvals.is_empty()
            && votes.is_empty()
            && outbox.is_empty()
            && outcomes.is_empty()
            && ants.is_empty()
            && ants_removed.is_empty()
            && !restored_done
            && probe.is_none()
    }
}
