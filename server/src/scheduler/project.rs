//! From the engine's decisions to rows: what people see of a job is written here and nowhere else.

use std::sync::Arc;

use atta_core::engine::{AttemptNumber, AttemptState, Effect, Event, JobState, Stamped, TaskIndex, TaskState, Timer};
use atta_core::protocol::ant::WorkspaceRelease;
use atta_core::time::UnixMillis;

use super::fan_out::Left;
use super::live::{LiveJob, TaskData, Told};
use crate::store::{AgentRow, ArtifactRows, AttemptRow, json};

/// What of an event's effects concerns more than the job's own rows.
#[derive(Debug, Default)]
pub(super) struct Projection {
    /// The job's state before, when it changed.
    pub(super) job_was: Option<JobState>,
    /// What the engine asks.
    pub(super) questions: Vec<Question>,
    /// Attempts that became READY.
    pub(super) ready: Vec<AttemptNumber>,
    /// Attempts that have their result now.
    pub(super) closed: Vec<AttemptNumber>,
    /// Attempts to stop, with the reason.
    pub(super) kills: Vec<(AttemptNumber, String)>,
    /// Timers set (with the due time) and cleared.
    pub(super) timers: Vec<TimerUpdate>,
    /// What was kept.
    pub(super) artifacts: Option<ArtifactRows>,
    /// What is known of an agent.
    pub(super) agent: Option<AgentRow>,
    /// A workspace that the job does not need any more.
    pub(super) released_workspace: Option<WorkspaceRelease>,
}

/// What the engine asks about a task and the visit that would begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// Whether `when` holds.
    Condition(TaskIndex, u32),
    /// What the items of its `fan_out` are.
    Items(TaskIndex, u32),
}

/// A timer that was set, moved or cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimerUpdate {
    pub(super) timer: Timer,
    /// When it was due before.
    pub(super) was: Option<UnixMillis>,
    /// When it is due now; `None` when it was cleared.
    pub(super) due: Option<UnixMillis>,
}

impl LiveJob {
    /// Brings the rows up to date with an event and its effects.
    pub(super) fn project(&mut self, stamped: &Stamped, effects: &[Effect], told: Option<Told>) -> Projection {
        let at = stamped.at;
        let mut out = Projection::default();
        // The ant's clock tells how long an attempt took; it may not contradict ours.
        let happened = told.as_ref().map_or(at, |told| told.at.min(at));
        self.project_event(stamped, happened, &mut out);
        let mut finish = told.and_then(|told| told.finish);
        for effect in effects {
            match effect {
                Effect::JobChanged { from, to, reason } => {
                    out.job_was.get_or_insert(*from);
                    self.row.state = *to;
                    self.row.reason.clone_from(reason);
                    self.row.finished_at = to.is_terminal().then_some(at);
                    self.row.expires_at = self.definition.retention.of(*to).map(|time| at.plus(time));
                    if !to.is_terminal() {
                        self.row.failure = None;
                    }
                    self.dirty.row = true;
                }
                Effect::JobAttemptBegan { job_attempt, nonce, reset } => {
                    self.row.attempt = *job_attempt;
                    self.row.nonce = Some(nonce.clone());
                    self.dirty.row = true;
                    self.sessions.forget(reset);
                    for task in reset {
                        if let Some(data) = self.results.get_mut(task) {
                            data.current = false;
                        }
                        if self.tasks.contains_key(task) {
                            self.task_row(*task).state = self.run.task_state(*task);
                        }
                    }
                }
                Effect::JobFinished { failure, .. } => {
                    self.row.failure.clone_from(failure);
                    self.dirty.row = true;
                    self.dirty.describe = true;
                }
                Effect::FinalPhaseBegan { .. } => {}
                Effect::TaskChanged { task, visit, from, to, result, skip_reason, failure, .. } => {
                    let of_instances = self.task(*task).fan_out.is_some();
                    if of_instances && to.is_settled() && *to != TaskState::Skipped {
                        self.gather(*task);
                    }
                    let row = self.task_row(*task);
                    row.state = *to;
                    if of_instances && *from == TaskState::Pending && !to.is_settled() {
                        row.begin_visit();
                    }
                    if *visit > 0 {
                        row.visits = *visit;
                    }
                    if to.is_settled() {
                        row.skip_reason = *skip_reason;
                        if result.is_some() {
                            row.result = *result;
                        }
                        row.failure.clone_from(failure);
                        row.finished_at = Some(row.started_at.map_or(happened, |started| started.max(happened)));
                        self.dirty.describe = true;
                    }
                }
                Effect::RouteTaken { task, target, .. } => self.task_row(*task).route = Some(target.clone()),
                Effect::EvaluateCondition { task, visit } => {
                    out.questions.push(Question::Condition(*task, *visit));
                }
                Effect::ExpandItems { task, visit } => out.questions.push(Question::Items(*task, *visit)),
                Effect::InstanceChanged { .. } => self.project_instance(effect),
                Effect::AttemptCreated { attempt, task, visit, task_attempt, job_attempt, routed_from, instance } => {
                    let row = self.task_row(*task);
                    row.attempts += 1;
                    row.last_attempt = Some(*attempt);
                    row.visits = *visit;
                    row.finished_at = None;
                    if *task_attempt == 1 && instance.is_none() {
                        row.begin_visit();
                    }
                    self.project_instance(effect);
                    let item_key = instance
                        .and_then(|instance| self.fan_outs.get(task)?.items.get(instance as usize))
                        .map(|item| item.key.clone());
                    let row = AttemptRow {
                        number: *attempt,
                        task: *task,
                        visit: *visit,
                        task_attempt: *task_attempt,
                        job_attempt: *job_attempt,
                        state: AttemptState::Ready,
                        instance: *instance,
                        item_key,
                        reason: None,
                        token: None,
                        ant: None,
                        isolation: None,
                        result: None,
                        failure: None,
                        routed_from: json(routed_from),
                        outputs: "{}".to_owned(),
                        warnings: "[]".to_owned(),
                        log_bytes: 0,
                        created_at: at,
                        started_at: None,
                        finished_at: None,
                    };
                    self.attempts.insert(*attempt, row);
                    self.dirty.attempts.insert(*attempt);
                    out.ready.push(*attempt);
                }
                Effect::AttemptWaits { attempt, reason } => {
                    if let Some(row) = self.attempt_row(*attempt) {
                        row.state = AttemptState::Waiting;
                        row.reason = Some(reason.clone());
                    }
                }
                Effect::AttemptRequeued { attempt } => {
                    if let Some(row) = self.attempt_row(*attempt) {
                        row.state = AttemptState::Ready;
                        row.token = None;
                        row.ant = None;
                        out.ready.push(*attempt);
                    }
                }
                Effect::AttemptClosed { attempt, result, failure } => {
                    let finish = if concerns(&stamped.event, *attempt) { finish.take() } else { None };
                    let interrupted = matches!(stamped.event, Event::AttemptInterrupted { .. });
                    let job = self.row.id.clone();
                    let spec = self.attempts.get(attempt).and_then(|row| self.task(row.task).artifacts.as_ref());
                    let group = spec.and_then(|spec| spec.name.clone());
                    let kept = spec.and_then(|spec| spec.expire_after.as_ref()).and_then(|time| time.value().copied());
                    if let Some(row) = self.attempt_row(*attempt) {
                        row.state = AttemptState::Finished;
                        row.reason = None;
                        row.result = Some(*result);
                        row.failure.clone_from(failure);
                        let ended = happened.max(row.started_at.unwrap_or(row.created_at));
                        row.finished_at = Some(ended);
                        if interrupted {
                            // Whatever still reports under the old token is stale.
                            row.token = None;
                        }
                        let (task, instance) = (row.task, row.instance);
                        let finish = finish.unwrap_or_default();
                        if !finish.outputs.is_empty() {
                            row.outputs = json(&finish.outputs);
                        }
                        if !finish.warnings.is_empty() {
                            row.warnings = json(&finish.warnings);
                        }
                        row.log_bytes = finish.log_bytes;
                        if !finish.artifacts.is_empty() {
                            let files = finish.artifacts.clone();
                            let expires_at = kept.map(|time| at.plus(time));
                            out.artifacts = Some(ArtifactRows { job, attempt: *attempt, files, group, expires_at });
                        }
                        let visit = row.visit;
                        if let Some(record) = finish.agent {
                            let cut = matches!(stamped.event, Event::AttemptOverBudget { .. });
                            let place = (task, instance);
                            self.sessions.ended(place, (*attempt, visit), record.session.clone(), (*result, cut));
                            out.agent = Some(AgentRow { job: self.row.id.clone(), attempt: *attempt, record });
                        }
                        // An interrupted attempt left nothing, what came before it still counts.
                        if interrupted {
                            // Nothing to keep.
                        } else if let Some(instance) = instance {
                            let left = Left::new(Arc::new(finish.outputs), finish.artifacts);
                            self.instance_left(task, instance, left);
                        } else {
                            let data = TaskData {
                                current: true,
                                outputs: Arc::new(finish.outputs),
                                artifacts: finish.artifacts,
                            };
                            self.results.insert(task, data);
                        }
                        let row = self.task_row(task);
                        row.finished_at = Some(ended);
                        if instance.is_none() {
                            row.result = Some(*result);
                        }
                    }
                    out.closed.push(*attempt);
                }
                Effect::KillAttempt { attempt, reason } => out.kills.push((*attempt, reason.clone())),
                Effect::SetTimer { timer, due } => {
                    let was = self.timers.insert(*timer, *due);
                    self.held_timers.remove(timer);
                    out.timers.push(TimerUpdate { timer: *timer, was, due: Some(*due) });
                }
                Effect::ClearTimer { timer } => {
                    self.clear_timer(*timer, &mut out);
                }
            }
        }
        out
    }

    /// What the event itself says about an attempt or a timer.
    fn project_event(&mut self, stamped: &Stamped, happened: UnixMillis, out: &mut Projection) {
        match &stamped.event {
            Event::AttemptLeased { attempt } => {
                if let Some(row) = self.attempt_row(*attempt) {
                    row.state = AttemptState::Leased;
                    row.reason = None;
                }
            }
            Event::AttemptStarted { attempt } => {
                if let Some(row) = self.attempt_row(*attempt) {
                    row.state = AttemptState::Running;
                    let started = happened.max(row.created_at);
                    row.started_at = Some(started);
                    let task = row.task;
                    self.mark_started(task, started);
                }
            }
            Event::AttemptFinished { attempt, .. } | Event::AttemptOverBudget { attempt, .. } => {
                // An ant may say with one word that an attempt started and finished.
                if let Some(row) = self.attempts.get(attempt)
                    && row.state == AttemptState::Leased
                {
                    let (task, started) = (row.task, happened.max(row.created_at));
                    self.mark_started(task, started);
                }
            }
            Event::ItemsExpanded { task, visit, outcome } => self.expanded(*task, *visit, outcome),
            Event::TimerFired { timer } => self.clear_timer(*timer, out),
            _ => {}
        }
    }

    fn clear_timer(&mut self, timer: Timer, out: &mut Projection) {
        if let Some(was) = self.timers.remove(&timer) {
            self.held_timers.remove(&timer);
            out.timers.push(TimerUpdate { timer, was: Some(was), due: None });
        }
    }

    fn mark_started(&mut self, task: TaskIndex, at: UnixMillis) {
        let row = self.task_row(task);
        row.first_started_at.get_or_insert(at);
        row.started_at.get_or_insert(at);
        if self.row.started_at.is_none() {
            self.row.started_at = Some(at);
            self.dirty.row = true;
        }
    }
}

/// Whether the event is the end of this attempt.
fn concerns(event: &Event, number: AttemptNumber) -> bool {
    matches!(event, Event::AttemptFinished { attempt, .. } | Event::AttemptOverBudget { attempt, .. } if *attempt == number)
}
