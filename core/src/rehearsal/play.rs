//! Drives the engine from its first event to the job's end.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::assume::{Assumptions, success};
use super::knowledge::{Knowledge, Tasks};
use crate::definition::{JobDefinition, check_params};
use crate::engine::{
    AttemptNumber, AttemptResult, Effect, EngineError, Event, FanOutItem, JobRun, JobState, ResultName, Stamped,
    TaskIndex, TaskState, Timer, decide,
};
use crate::graph::Plan;
use crate::protocol::api::FieldViolation;
use crate::template::Renderer;
use crate::time::UnixMillis;

/// Items of a fan_out about which nothing is known.
const ASSUMED_ITEMS: u32 = 2;

/// Events after which a rehearsal is given up: a job may reschedule for weeks.
const MOST_EVENTS: usize = 200_000;

/// Steps that are kept; more are counted.
const MOST_STEPS: usize = 20_000;

/// Bits for Nonce and jitter: a plan is the same each time.
const ENTROPY: u64 = 0x5eed_5eed_5eed_5eed;

/// What a job would do.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Rehearsal {
    /// The definition's name.
    pub job_type: String,
    /// COMPLETED, FAILED, BLOCKED or SKIPPED.
    pub verdict: JobState,
    /// The first cause of a verdict that is not COMPLETED.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The error code that the job would show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// Job attempts.
    pub job_attempts: u32,
    /// How long the job would wait in all, in milliseconds. Attempts take no time here.
    pub waits_ms: u64,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// Steps that are left out because there are too many.
    #[serde(skip_serializing_if = "is_zero")]
    pub steps_left_out: usize,
    /// The tasks at the end, in declaration order.
    pub tasks: Vec<RehearsedTask>,
    /// What could not be known, and was assumed.
    pub assumed: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// One thing that would happen.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Step {
    /// Milliseconds since the start, waits only.
    pub at_ms: u64,
    /// What it is.
    pub kind: StepKind,
    /// The task that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The visit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visit: Option<u32>,
    /// The attempt within the visit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The instance of a fan_out, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<u32>,
    /// The result, the target of the route, the reason.
    pub text: String,
}

/// What kind of thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// An attempt ran and had this result.
    Ran,
    /// A route was taken.
    Route,
    /// A task was skipped.
    Skipped,
    /// A task was cancelled.
    Cancelled,
    /// A further attempt of the job began.
    JobAttempt,
    /// Nothing happens for this long.
    Waits,
    /// The job paused until somebody resumes it.
    Paused,
    /// The verdict is known; `always_run` tasks follow.
    FinalPhase,
}

/// A task at the end.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RehearsedTask {
    /// Its name.
    pub task: String,
    /// Its state.
    pub state: TaskState,
    /// The result of its last visit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Visits in the last job attempt.
    pub visits: u32,
    /// Attempts in all.
    pub attempts: u32,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// The params do not fit.
    #[error("the params do not fit the definition")]
    Params(Vec<FieldViolation>),
    /// A key whose value is a template cannot be used.
    #[error("{0}")]
    Fields(String),
    /// It goes on for ever, or nearly.
    #[error(
        "the job does not end within {MOST_EVENTS} events: a result that is assumed for every attempt keeps it going"
    )]
    Endless,
    /// Whoever asked does not wait any longer.
    #[error(
        "it takes too long to find out what the job does: assume results that lead to its end sooner, or fewer items"
    )]
    TooLong,
    /// The engine refused an event.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Plays a job with these params to its end.
pub fn rehearse(
    definition: &JobDefinition,
    params: &Map<String, Value>,
    assumptions: &Assumptions,
) -> Result<Rehearsal, RehearsalError> {
    rehearse_while(definition, params, assumptions, &|| true)
}

/// The same, as long as `goes_on` says so. It is asked often.
pub fn rehearse_while(
    definition: &JobDefinition,
    params: &Map<String, Value>,
    assumptions: &Assumptions,
    goes_on: &dyn Fn() -> bool,
) -> Result<Rehearsal, RehearsalError> {
    let params = check_params(definition, params).map_err(RehearsalError::Params)?;
    let tasks = Tasks::new(definition, assumptions.outputs.clone());
    let knowledge = Knowledge { definition, params: &params, tasks, renderer: Renderer::default() };
    // Each template has its own bounds, and there may be thousands.
    let resolved = definition.resolve_fields(&mut |template| {
        if goes_on() { knowledge.text(&template.source) } else { Err("there is no time for it".to_owned()) }
    });
    if !goes_on() {
        return Err(RehearsalError::TooLong);
    }
    let resolved = resolved.map_err(|problems| RehearsalError::Fields(said(&problems)))?;
    let (mut plan, _) = Plan::build(&resolved).map_err(|problems| RehearsalError::Fields(said(&problems)))?;
    plan.without_jitter();
    let knowledge = Knowledge { definition: &resolved, ..knowledge };
    Play::new(&plan, &knowledge, assumptions, goes_on).finish()
}

fn said(problems: &[crate::definition::Diagnostic]) -> String {
    problems.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>().join("; ")
}

struct Play<'a> {
    plan: &'a Plan,
    knowledge: &'a Knowledge<'a>,
    assumptions: &'a Assumptions,
    goes_on: &'a dyn Fn() -> bool,
    run: JobRun,
    now: i64,
    ready: VecDeque<AttemptNumber>,
    killed: Vec<AttemptNumber>,
    timers: BTreeMap<Timer, UnixMillis>,
    questions: VecDeque<Event>,
    instances: HashMap<AttemptNumber, u32>,
    attempts: Vec<u32>,
    steps: Vec<Step>,
    left_out: usize,
    assumed: Vec<String>,
    events: usize,
    failure: Option<(Option<String>, String)>,
}

impl<'a> Play<'a> {
    fn new(
        plan: &'a Plan,
        knowledge: &'a Knowledge<'a>,
        assumptions: &'a Assumptions,
        goes_on: &'a dyn Fn() -> bool,
    ) -> Self {
        Self {
            plan,
            knowledge,
            assumptions,
            goes_on,
            run: JobRun::new(plan),
            now: 0,
            ready: VecDeque::new(),
            killed: Vec::new(),
            timers: BTreeMap::new(),
            questions: VecDeque::new(),
            instances: HashMap::new(),
            attempts: vec![0; plan.len()],
            steps: Vec::new(),
            left_out: 0,
            assumed: Vec::new(),
            events: 0,
            failure: None,
        }
    }

    fn finish(mut self) -> Result<Rehearsal, RehearsalError> {
        match self.knowledge.skip_reason() {
            Ok(Some(reason)) => self.event(Event::SkipRequested { reason })?,
            Ok(None) => self.event(Event::Admitted)?,
            Err(problem) => {
                self.assume(format!("`skip_if` lets the job run, because it cannot be known here: {problem}"));
                self.event(Event::Admitted)?;
            }
        }
        while !self.run.state().is_terminal() {
            self.advance()?;
        }
        Ok(self.report())
    }

    /// The next thing that happens.
    fn advance(&mut self) -> Result<(), RehearsalError> {
        if let Some(attempt) = self.killed.pop() {
            let result = AttemptResult::Named(ResultName::Cancelled);
            return self.event(Event::AttemptFinished { attempt, result, failure: None, retry_after: None });
        }
        if self.run.may_dispatch()
            && let Some(attempt) = self.ready.pop_front()
        {
            return self.attempt(attempt);
        }
        if self.run.state() == JobState::Pending && self.timers.is_empty() {
            // A job that queues for capacity: here there is always some.
            return self.event(Event::Admitted);
        }
        let next = self.timers.iter().min_by_key(|(_, due)| **due).map(|(timer, due)| (*timer, *due));
        let Some((timer, due)) = next else {
            let step = self.step(StepKind::Paused, "until somebody resumes the job");
            self.keep(step);
            self.assume("somebody resumes the job when it is paused".to_owned());
            return self.event(Event::ResumeRequested);
        };
        self.timers.remove(&timer);
        if due.0 > self.now {
            let waits = Duration::from_millis(u64::try_from(due.0 - self.now).unwrap_or_default());
            let mut step = self.step(StepKind::Waits, &crate::definition::format_duration(waits));
            step.task = self.waiting_task(timer);
            self.keep(step);
            self.now = due.0;
        }
        self.event(Event::TimerFired { timer })
    }

    fn waiting_task(&self, timer: Timer) -> Option<String> {
        match timer {
            Timer::TaskRetry { task, .. } | Timer::InstanceRetry { task, .. } => {
                Some(self.plan.task_name(task).to_owned())
            }
            _ => None,
        }
    }

    fn attempt(&mut self, attempt: AttemptNumber) -> Result<(), RehearsalError> {
        let Some(info) = self.run.attempt(attempt) else { return Ok(()) };
        if info.state == crate::engine::AttemptState::Finished {
            return Ok(());
        }
        let name = self.plan.task_name(info.task).to_owned();
        let ran = &mut self.attempts[info.task.0 as usize];
        let assumed = self.assumptions.results.get(&name);
        let result = assumed.and_then(|results| results.get(*ran as usize).or(results.last())).copied();
        *ran += 1;
        let method = &self.knowledge.definition.tasks[info.task.0 as usize].method;
        let result = result.unwrap_or_else(|| success(method));
        let mut step = self.step(StepKind::Ran, &shown(result));
        step.task = Some(name);
        step.visit = Some(info.visit);
        step.attempt = Some(info.task_attempt);
        step.instance = self.instances.get(&attempt).copied();
        self.keep(step);
        self.event(Event::AttemptLeased { attempt })?;
        self.event(Event::AttemptStarted { attempt })?;
        self.killed.retain(|other| *other != attempt);
        self.event(Event::AttemptFinished { attempt, result, failure: None, retry_after: None })
    }

    /// Applies an event, and what follows from it at once.
    fn event(&mut self, event: Event) -> Result<(), RehearsalError> {
        self.questions.push_back(event);
        while let Some(event) = self.questions.pop_front() {
            self.events += 1;
            if self.events > MOST_EVENTS {
                return Err(RehearsalError::Endless);
            }
            if !(self.goes_on)() {
                return Err(RehearsalError::TooLong);
            }
            let stamped = Stamped { at: UnixMillis(self.now), entropy: ENTROPY, event };
            let effects = decide(self.plan, &mut self.run, &stamped)?;
            for effect in effects {
                self.effect(effect);
            }
        }
        Ok(())
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::EvaluateCondition { task, visit } => {
                let holds = self.condition(task, visit);
                self.questions.push_back(Event::ConditionEvaluated { task, visit, outcome: Ok(holds) });
            }
            Effect::ExpandItems { task, visit } => {
                let count = self.items(task, visit);
                let items = (0..count).map(|n| FanOutItem { key: n.to_string(), value: Value::Null }).collect();
                self.questions.push_back(Event::ItemsExpanded { task, visit, outcome: Ok(items) });
            }
            Effect::AttemptCreated { attempt, instance, .. } => {
                if let Some(instance) = instance {
                    self.instances.insert(attempt, instance);
                }
                self.ready.push_back(attempt);
            }
            Effect::AttemptRequeued { attempt } => self.ready.push_back(attempt),
            Effect::KillAttempt { attempt, .. } => self.killed.push(attempt),
            Effect::SetTimer { timer, due }
                // Attempts take no time, so nothing is ever too late.
                if !matches!(timer, Timer::QueueTimeout { .. } | Timer::JobTimeout { .. }) => {
                    self.timers.insert(timer, due);
                }
            Effect::ClearTimer { timer } => {
                self.timers.remove(&timer);
            }
            Effect::RouteTaken { task, visit, matched, target } => {
                let mut step = self.step(StepKind::Route, &format!("{matched} → {target}"));
                step.task = Some(self.plan.task_name(task).to_owned());
                step.visit = Some(visit);
                self.keep(step);
            }
            Effect::TaskChanged { task, visit, to, skip_reason, result, .. } => {
                let name = self.plan.task_name(task).to_owned();
                self.knowledge.tasks.set(&name, to.as_str(), result);
                let (kind, text) = match (to, skip_reason) {
                    (TaskState::Skipped, Some(reason)) => (StepKind::Skipped, words(&reason)),
                    (TaskState::Cancelled, _) => (StepKind::Cancelled, String::new()),
                    _ => return,
                };
                let mut step = self.step(kind, &text);
                step.task = Some(name);
                step.visit = Some(visit).filter(|visit| *visit > 0);
                self.keep(step);
            }
            Effect::JobAttemptBegan { job_attempt, reset, .. } => {
                for task in reset {
                    self.knowledge.tasks.set(self.plan.task_name(task), "PENDING", None);
                }
                if job_attempt > 1 {
                    let step = self.step(StepKind::JobAttempt, &format!("attempt {job_attempt} of the job"));
                    self.keep(step);
                }
            }
            Effect::FinalPhaseBegan { verdict, .. } => {
                let step = self.step(StepKind::FinalPhase, verdict.as_str());
                self.keep(step);
            }
            Effect::JobFinished { failure, .. } => {
                self.failure = failure.map(|failure| (Some(failure.code), failure.message));
            }
            _ => {}
        }
    }

    fn condition(&mut self, task: TaskIndex, visit: u32) -> bool {
        let name = self.plan.task_name(task).to_owned();
        if let Some(holds) = self.assumptions.conditions.get(&name) {
            return *holds;
        }
        match self.knowledge.condition(&self.run, task.0 as usize, visit) {
            Ok(holds) => holds,
            Err(problem) => {
                self.assume(format!(
                    "the condition of {name} holds, because it cannot be known here: {problem}; \
                     say otherwise with --assume {name}.when=false"
                ));
                true
            }
        }
    }

    fn items(&mut self, task: TaskIndex, visit: u32) -> u32 {
        let name = self.plan.task_name(task).to_owned();
        if let Some(count) = self.assumptions.items.get(&name) {
            return *count;
        }
        match self.knowledge.item_count(&self.run, task.0 as usize, visit) {
            Ok(count) => count,
            Err(problem) => {
                self.assume(format!(
                    "{name} has {ASSUMED_ITEMS} items, because they cannot be known here: {problem}; \
                     say otherwise with --assume {name}.items=N"
                ));
                ASSUMED_ITEMS
            }
        }
    }

    fn assume(&mut self, sentence: String) {
        if !self.assumed.contains(&sentence) {
            self.assumed.push(sentence);
        }
    }

    fn step(&self, kind: StepKind, text: &str) -> Step {
        let at_ms = u64::try_from(self.now).unwrap_or_default();
        Step { at_ms, kind, task: None, visit: None, attempt: None, instance: None, text: text.to_owned() }
    }

    fn keep(&mut self, step: Step) {
        if self.steps.len() < MOST_STEPS {
            self.steps.push(step);
        } else {
            self.left_out += 1;
        }
    }

    fn report(self) -> Rehearsal {
        let tasks = self.plan.tasks().map(|task| RehearsedTask {
            task: self.plan.task_name(task).to_owned(),
            state: self.run.task_state(task),
            result: self.run.task_result(task).map(shown),
            visits: self.run.task_visit(task),
            attempts: self.attempts[task.0 as usize],
        });
        let tasks = tasks.collect();
        let (error_code, reason) = self.failure.map_or((None, None), |(code, reason)| (code, Some(reason)));
        Rehearsal {
            job_type: self.knowledge.definition.job_type.clone(),
            verdict: self.run.state(),
            reason,
            error_code,
            job_attempts: self.run.job_attempt(),
            waits_ms: u64::try_from(self.now).unwrap_or_default(),
            steps: self.steps,
            steps_left_out: self.left_out,
            tasks,
            assumed: self.assumed,
        }
    }
}

/// `exit 3`, `status 404`, `TIMED_OUT`, `COMPLETED`.
fn shown(result: AttemptResult) -> String {
    match result {
        AttemptResult::Exit(0) => "COMPLETED".to_owned(),
        AttemptResult::Exit(code) => format!("exit {code}"),
        AttemptResult::Http(status) => format!("status {status}"),
        AttemptResult::Agent(_) | AttemptResult::Named(_) => result.as_str().to_owned(),
    }
}

fn words<T: Serialize>(reason: &T) -> String {
    serde_json::to_value(reason).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
