//! The state of one job. Only [`super::decide`] changes it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::effect::RoutedFrom;
use super::event::{AttemptNumber, TaskIndex};
use super::status::{AttemptResult, AttemptState, Failure, JobState, SkipReason, TaskState};
use super::units::{Course, FanRun, Unit};
use crate::graph::{EdgeIndex, Plan};
use crate::time::UnixMillis;

/// The state of one job: what has been decided so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRun {
    pub(super) state: JobState,
    pub(super) phase: Phase,
    /// 0 before the first admission.
    pub(super) job_attempt: u32,
    pub(super) nonce: String,
    pub(super) retries_used: u32,
    pub(super) tasks: Vec<TaskRun>,
    pub(super) edges: Vec<EdgeValue>,
    pub(super) loops: Vec<LoopRun>,
    pub(super) attempts: Vec<AttemptRun>,
    /// Uses of the routes with a `max`.
    pub(super) route_uses: Vec<u32>,
    /// Counts settlements, so that a loop knows which of them happened since it was entered.
    pub(super) settlements: u64,
    /// Tasks that are READY, LEASED, RUNNING or WAITING.
    pub(super) open_tasks: u32,
    /// Attempts that are READY, LEASED or RUNNING.
    pub(super) active_attempts: u32,
    /// Tasks whose condition or items are being evaluated.
    pub(super) conditions: u32,
    /// Tasks that are WAITING.
    pub(super) waiting: BTreeSet<TaskIndex>,
    /// What WAITING attempts wait for.
    pub(super) reasons: BTreeMap<AttemptNumber, String>,
    /// The last reason given for a WAITING job.
    pub(super) wait_reason: Option<String>,
    /// READY attempts with a `queue_timeout`, and when it is over.
    pub(super) queued: BTreeMap<AttemptNumber, UnixMillis>,
    /// Some attempt of the job was given to an ant in this job attempt.
    pub(super) any_started: bool,
    pub(super) stop: Option<Stop>,
    /// A forced cancel: no final phase.
    pub(super) forced: bool,
    pub(super) verdict: Option<Verdict>,
    /// Position in the plan's order of the final phase.
    pub(super) final_position: usize,
    pub(super) pause: Pause,
    pub(super) clock: JobClock,
    /// The next job attempt, while it waits for its time or its admission.
    pub(super) next: Option<NextAttempt>,
    /// The job took tasks over from one that it runs again.
    pub(super) adoption: Option<Adoption>,
}

/// Where a job attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// Waits for admission.
    Before,
    /// Results are routed.
    Ordinary,
    /// Stopped: waits for what still runs.
    Stopping,
    /// The remaining always_run tasks run.
    Final,
    /// Waits for the time of the next job attempt.
    Between,
    /// Terminal.
    Over,
}

/// One task of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct TaskRun {
    pub(super) state: TaskState,
    /// Visits that ran (or whose condition failed) in this job attempt.
    pub(super) visit: u32,
    /// Of a `fan_out` only the newest attempt and why it is held back: its instances have their own.
    pub(super) course: Course,
    /// The instances of the latest visit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fan: Option<Box<FanRun>>,
    /// Unresolved forward edges.
    pub(super) unresolved: u32,
    /// Taken route edges.
    pub(super) routes_taken: u32,
    /// Failed edges that count.
    pub(super) edges_failed: u32,
    /// Non-optional dependency edges that are dead.
    pub(super) edges_missing: u32,
    /// The latest visit that ran or was decided by its condition.
    pub(super) outcome: Option<Outcome>,
    /// How it settled in the current round when that is not `outcome`.
    pub(super) skipped: Option<SkipReason>,
    /// An `always_run` task that is left to the final phase.
    pub(super) left_to_final: bool,
    pub(super) routed_from: Vec<RoutedFrom>,
}

/// How a visit ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) visit: u32,
    pub(super) state: TaskState,
    pub(super) result: Option<AttemptResult>,
    pub(super) failure: Option<Failure>,
    pub(super) ending: Ending,
    /// The route to tasks that was followed.
    pub(super) route: Option<usize>,
    /// END_COMPLETED, END_FAILED or END_BLOCKED.
    pub(super) end: Option<JobState>,
    /// When it settled, counted in settlements.
    pub(super) sequence: u64,
}

/// What the end of a visit means for the edges out of its task and for the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Completed, or failed under `allow_failure`, or skipped by its condition.
    Completed,
    /// Failed, and a route matched.
    Handled,
    /// Failed, and no route matched.
    Unrouted,
    /// Recorded after the job was stopped, or in the final phase: not routed.
    Recorded,
}

/// What is known about an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum EdgeValue {
    #[default]
    Unresolved,
    Taken,
    Dead,
    Failed,
}

/// One loop of a job; the first stands for the whole job.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct LoopRun {
    /// Items that have not settled in this round.
    pub(super) unsettled: u32,
    /// Starts of the header since the loop was entered.
    pub(super) starts: u32,
    /// Rounds since the loop was entered.
    pub(super) round: u32,
    /// Back edges taken in this round.
    pub(super) back_taken: Vec<EdgeIndex>,
    /// Some task failed unrouted in this round.
    pub(super) failed: bool,
    /// The number of settlements when it was entered.
    pub(super) entered: u64,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct AttemptRun {
    pub(super) task: TaskIndex,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) instance: Option<u32>,
    pub(super) visit: u32,
    pub(super) task_attempt: u32,
    pub(super) job_attempt: u32,
    pub(super) state: AttemptState,
    /// It is to be stopped: when it comes back it is not given out again.
    pub(super) killed: bool,
}

impl AttemptRun {
    pub(super) fn unit(&self) -> Unit {
        Unit { task: self.task, instance: self.instance }
    }
}

/// Why a job attempt was stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Stop {
    pub(super) kind: StopKind,
    pub(super) failure: Failure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StopKind {
    FailFast,
    Fatal,
    RestartJob,
    Cancel,
    Timeout,
    Budget,
}

/// The verdict to come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Verdict {
    pub(super) state: JobState,
    pub(super) failure: Option<Failure>,
    /// What follows after the final phase.
    pub(super) follow_up: Option<NextAttempt>,
}

/// How a job that took tasks over begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Adoption {
    /// The task that starts as if its incoming edges had been taken.
    pub(super) culprit: Option<TaskIndex>,
}

/// A job attempt that will begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) struct NextAttempt {
    pub(super) from: NextFrom,
    /// When, while it waits for its delay.
    pub(super) due: Option<UnixMillis>,
    /// Its time came while the job was paused.
    pub(super) due_passed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum NextFrom {
    /// Everything anew.
    Start,
    /// What failed, and what follows from it.
    Failed,
    /// This task, and what follows from it.
    Task(TaskIndex),
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Pause {
    pub(super) active: bool,
    /// How many pauses there were.
    pub(super) count: u32,
    /// When `resume_after` resumes the job.
    pub(super) due: Option<UnixMillis>,
    /// Tasks held back by this pause.
    pub(super) held: Vec<TaskIndex>,
}

/// How long the job attempt has been RUNNING.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct JobClock {
    /// Its first task was given to an ant.
    pub(super) begun: bool,
    pub(super) spent: Duration,
    pub(super) running_since: Option<UnixMillis>,
}

impl TaskRun {
    pub(super) fn new() -> Self {
        Self {
            state: TaskState::Pending,
            visit: 0,
            course: Course::default(),
            fan: None,
            unresolved: 0,
            routes_taken: 0,
            edges_failed: 0,
            edges_missing: 0,
            outcome: None,
            skipped: None,
            left_to_final: false,
            routed_from: Vec::new(),
        }
    }
}

/// How far a `fan_out` is, in its task's latest visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FanOutProgress {
    /// How many items there are.
    pub items: u32,
    /// How many instances have completed, those included that failed under `allow_failure`.
    pub completed: u32,
    /// How many failed.
    pub failed: u32,
    /// How many have not settled.
    pub unsettled: u32,
}

/// What is known about one instance of a `fan_out`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InstanceInfo<'a> {
    /// Its state.
    pub state: TaskState,
    /// Attempts of this visit.
    pub attempts: u32,
    /// The newest attempt, of an earlier job attempt if it was kept.
    pub latest_attempt: Option<AttemptNumber>,
    /// Once settled, unless it was cancelled before it had an attempt.
    pub result: Option<AttemptResult>,
    /// Why, when it is no success.
    pub failure: Option<&'a Failure>,
}

/// What is known about one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptInfo {
    /// Its task.
    pub task: TaskIndex,
    /// The instance of a `fan_out`, from 0.
    pub instance: Option<u32>,
    /// The visit, from 1.
    pub visit: u32,
    /// Attempt within the visit, from 1.
    pub task_attempt: u32,
    /// The job attempt, from 1.
    pub job_attempt: u32,
    /// Its state.
    pub state: AttemptState,
    /// It was told to stop.
    pub killed: bool,
}

impl JobRun {
    /// A PENDING job.
    pub fn new(plan: &Plan) -> Self {
        Self {
            state: JobState::Pending,
            phase: Phase::Before,
            job_attempt: 0,
            nonce: String::new(),
            retries_used: 0,
            tasks: vec![TaskRun::new(); plan.tasks.len()],
            edges: vec![EdgeValue::Unresolved; plan.edges.len()],
            loops: vec![LoopRun::default(); plan.loops.len()],
            attempts: Vec::new(),
            route_uses: vec![0; plan.limited_routes],
            settlements: 0,
            open_tasks: 0,
            active_attempts: 0,
            conditions: 0,
            waiting: BTreeSet::new(),
            reasons: BTreeMap::new(),
            wait_reason: None,
            queued: BTreeMap::new(),
            any_started: false,
            forced: false,
            stop: None,
            verdict: None,
            final_position: 0,
            pause: Pause::default(),
            clock: JobClock::default(),
            next: None,
            adoption: None,
        }
    }

    /// The job's state.
    pub fn state(&self) -> JobState {
        self.state
    }

    /// The job attempt, from 1; 0 before the job was admitted.
    pub fn job_attempt(&self) -> u32 {
        self.job_attempt
    }

    /// 8 hex digits; empty before the job was admitted.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Whether attempts that are READY may be given to ants now.
    pub fn may_dispatch(&self) -> bool {
        matches!(self.state, JobState::Running | JobState::Cancelling)
    }

    /// Whether the job attempt was stopped: by a cancel, FATAL, RESTART_JOB, `fail_fast` or its timeout.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_some()
    }

    /// How many pauses there were, the current one included.
    pub fn pauses(&self) -> u32 {
        self.pause.count
    }

    /// The task's state; that of the visit it kept if its loop did not reach it again.
    pub fn task_state(&self, task: TaskIndex) -> TaskState {
        self.tasks[task.0 as usize].state
    }

    /// Visits of the task in this job attempt.
    pub fn task_visit(&self, task: TaskIndex) -> u32 {
        self.tasks[task.0 as usize].visit
    }

    /// The task's newest attempt in this job attempt.
    pub fn latest_attempt(&self, task: TaskIndex) -> Option<AttemptNumber> {
        self.tasks[task.0 as usize].course.current
    }

    /// Result of the task's latest visit that ran.
    pub fn task_result(&self, task: TaskIndex) -> Option<AttemptResult> {
        self.tasks[task.0 as usize].outcome.as_ref().and_then(|outcome| outcome.result)
    }

    /// Why the task's latest visit failed.
    pub fn task_failure(&self, task: TaskIndex) -> Option<&Failure> {
        self.tasks[task.0 as usize].outcome.as_ref().and_then(|outcome| outcome.failure.as_ref())
    }

    /// How far a `fan_out` is; nothing before its items are known.
    pub fn fan_out(&self, task: TaskIndex) -> Option<FanOutProgress> {
        let fan = self.tasks[task.0 as usize].fan.as_deref()?;
        Some(FanOutProgress {
            items: fan.len(),
            completed: fan.completed(),
            failed: u32::try_from(fan.failed.len()).unwrap_or(u32::MAX),
            unsettled: fan.unsettled(),
        })
    }

    /// What is known about an instance of a `fan_out` in its task's latest visit.
    pub fn instance(&self, task: TaskIndex, index: u32) -> Option<InstanceInfo<'_>> {
        let instance = self.tasks[task.0 as usize].fan.as_deref()?.instance(index)?;
        Some(InstanceInfo {
            state: instance.state,
            attempts: instance.course.task_attempt,
            latest_attempt: instance.course.current,
            result: instance.result,
            failure: instance.failure.as_ref(),
        })
    }

    /// Retries that the task, or one instance of it, has used in its latest visit.
    pub fn retries_used(&self, task: TaskIndex, instance: Option<u32>) -> u32 {
        let Some(state) = self.tasks.get(task.0 as usize) else { return 0 };
        match instance {
            None => state.course.retries_used,
            Some(index) => state
                .fan
                .as_deref()
                .and_then(|fan| fan.instance(index))
                .map_or(0, |instance| instance.course.retries_used),
        }
    }

    /// What is known about an attempt.
    pub fn attempt(&self, number: AttemptNumber) -> Option<AttemptInfo> {
        let attempt = self.attempts.get((number.0 as usize).checked_sub(1)?)?;
        Some(AttemptInfo {
            task: attempt.task,
            instance: attempt.instance,
            visit: attempt.visit,
            task_attempt: attempt.task_attempt,
            job_attempt: attempt.job_attempt,
            state: attempt.state,
            killed: attempt.killed,
        })
    }

    /// How many attempts there are; their numbers run from 1 to this.
    pub fn attempt_count(&self) -> u32 {
        u32::try_from(self.attempts.len()).unwrap_or(u32::MAX)
    }

    /// Attempts that have no result yet.
    pub fn open_attempts(&self) -> impl Iterator<Item = (AttemptNumber, AttemptInfo)> + '_ {
        (1..=self.attempt_count())
            .map(AttemptNumber)
            .filter_map(|number| Some((number, self.attempt(number)?)))
            .filter(|(_, attempt)| attempt.state != AttemptState::Finished)
    }

    /// The verdict to come while the final phase runs (`JobResult`), and the final one afterwards, with its first cause.
    pub fn verdict(&self) -> Option<(JobState, Option<&Failure>)> {
        self.verdict.as_ref().map(|verdict| (verdict.state, verdict.failure.as_ref()))
    }
}
