//! Plays a job: leases, starts and finishes attempts, fires timers and answers conditions in a random order, and checks
//! after every event what must always hold.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::kit::{Random, mix};
use crate::engine::{
    AgentClass, AttemptNumber, AttemptResult, AttemptState, Effect, Event, Failure, FanOutItem, JobRun, JobState,
    ResultName, SkipReason, Stamped, TaskIndex, TaskState, Timer, decide,
};
use crate::graph::Plan;
use crate::time::UnixMillis;

/// What the world does besides running attempts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct World {
    /// Attempts are returned and interrupted, events repeated.
    pub(crate) unreliable: bool,
    /// The job is paused and resumed by people.
    pub(crate) pauses: bool,
    /// The job is cancelled at some moment.
    pub(crate) cancels: bool,
    /// The live state is serialised, or rebuilt from the events, now and then.
    pub(crate) restarts: bool,
    /// Attempts may wait for something outside of every ant.
    pub(crate) waits: bool,
}

/// The end of a run, as far as it must not depend on the order of events.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct End {
    pub(crate) state: JobState,
    pub(crate) job_attempts: u32,
    pub(crate) tasks: Vec<(TaskState, u32, Option<AttemptResult>)>,
    /// Of each fan_out, in item order.
    pub(crate) instances: Vec<Vec<(TaskState, Option<AttemptResult>)>>,
}

pub(crate) struct Driver<'a> {
    plan: &'a Plan,
    pub(crate) run: JobRun,
    random: Random,
    outcomes: u64,
    now: i64,
    log: Vec<Stamped>,
    ready: Vec<AttemptNumber>,
    given: Vec<AttemptNumber>,
    waiting: Vec<AttemptNumber>,
    killed: Vec<AttemptNumber>,
    timers: BTreeMap<Timer, i64>,
    tasks: Vec<TaskState>,
    job: JobState,
    /// As the effects tell, by task and index.
    instances: HashMap<(u32, u32), TaskState>,
    /// Finished attempts per job attempt, task, instance and visit: outcomes do not depend on interruptions.
    finished: HashMap<(u32, u32, u32, u32), u64>,
    settled: HashMap<(u32, u32, u32), u32>,
    always_run: HashMap<(u32, u32), u32>,
    rerun: bool,
    finals: u32,
    leased_any: bool,
    commands: u32,
    nonce: String,
    /// Added to the number of the job attempt: another job's attempts before this one.
    pub(super) attempts_before: u32,
    /// Every fan_out has one item, and nothing is approved.
    pub(super) single: bool,
    /// What happened, by name, and how often.
    pub(crate) seen: BTreeMap<String, u32>,
}

type Checked<T = ()> = Result<T, String>;

impl<'a> Driver<'a> {
    pub(crate) fn new(plan: &'a Plan, outcomes: u64, order: u64) -> Self {
        Self {
            plan,
            run: JobRun::new(plan),
            random: Random(order),
            outcomes,
            now: 1_000_000,
            log: Vec::new(),
            ready: Vec::new(),
            given: Vec::new(),
            waiting: Vec::new(),
            killed: Vec::new(),
            timers: BTreeMap::new(),
            tasks: vec![TaskState::Pending; plan.len()],
            job: JobState::Pending,
            instances: HashMap::new(),
            finished: HashMap::new(),
            settled: HashMap::new(),
            always_run: HashMap::new(),
            rerun: false,
            finals: 0,
            leased_any: false,
            commands: 0,
            nonce: String::new(),
            attempts_before: 0,
            single: false,
            seen: BTreeMap::new(),
        }
    }

    /// Plays to the end.
    pub(crate) fn play(&mut self, world: World) -> Checked<End> {
        self.event(Event::Admitted)?;
        let mut steps = 0;
        while !self.run.state().is_terminal() {
            steps += 1;
            if steps > 20_000 {
                return Err("the run does not end".to_owned());
            }
            self.step(world)?;
        }
        self.check_end()?;
        Ok(self.end())
    }

    pub(crate) fn end(&self) -> End {
        let tasks = self
            .plan
            .tasks()
            .map(|task| (self.run.task_state(task), self.run.task_visit(task), self.run.task_result(task)));
        let instances = |task: TaskIndex| {
            let items = self.run.fan_out(task).map_or(0, |fan_out| fan_out.items);
            let instances = (0..items).filter_map(|index| self.run.instance(task, index));
            instances.map(|instance| (instance.state, instance.result)).collect()
        };
        End {
            state: self.run.state(),
            job_attempts: self.run.job_attempt(),
            tasks: tasks.collect(),
            instances: self.plan.tasks().map(instances).collect(),
        }
    }

    fn step(&mut self, world: World) -> Checked {
        if world.restarts && self.random.chance(3) {
            self.restart()?;
        }
        if world.unreliable && self.random.chance(10) {
            self.disturb()?;
        }
        if world.cancels && self.random.chance(2) {
            let force = self.random.chance(20);
            self.maybe(Event::CancelRequested { reason: "enough".to_owned(), force })?;
            if self.run.state().is_terminal() {
                return Ok(());
            }
        }
        if world.pauses && self.random.chance(4) {
            self.maybe(Event::PauseRequested)?;
        }
        // A repeated timer may have been due.
        if self.run.state().is_terminal() { Ok(()) } else { self.progress(world) }
    }

    /// One of the things that can happen; there must be one.
    fn progress(&mut self, world: World) -> Checked {
        let mut choices: Vec<Event> = Vec::new();
        if self.run.may_dispatch() && !self.ready.is_empty() {
            let attempt = *self.random.pick(&self.ready);
            choices.extend([Event::AttemptLeased { attempt }, Event::AttemptLeased { attempt }]);
        }
        if !self.given.is_empty() {
            let attempt = *self.random.pick(&self.given);
            choices.push(Event::AttemptStarted { attempt });
            choices.push(self.finish(attempt));
            choices.push(self.finish(attempt));
            if world.waits {
                choices.push(Event::AttemptWaiting { attempt, reason: "a vote".to_owned() });
            }
        }
        if !self.waiting.is_empty() {
            let attempt = *self.random.pick(&self.waiting);
            choices.push(self.finish(attempt));
        }
        let earliest = self.timers.iter().min_by_key(|(_, due)| **due).map(|(timer, due)| (*timer, *due));
        let idle = choices.is_empty();
        let mut advance = None;
        if let Some((timer, due)) = earliest
            && (idle || self.random.chance(10))
        {
            advance = Some(due);
            choices = vec![Event::TimerFired { timer }];
        }
        if self.run.state() == JobState::Paused
            && (world.pauses || choices.is_empty())
            && (idle || self.random.chance(10))
        {
            choices.push(Event::ResumeRequested);
        }
        if choices.is_empty() {
            return Err(format!("deadlock: the job is {:?} and nothing can happen", self.run.state()));
        }
        let event = self.random.pick(&choices).clone();
        if let (Some(due), Event::TimerFired { timer }) = (advance, &event) {
            self.now = self.now.max(due);
            self.timers.remove(timer);
        }
        self.event(event)
    }

    fn finish(&mut self, attempt: AttemptNumber) -> Event {
        let info = self.run.attempt(attempt).unwrap();
        let key = (info.job_attempt, info.task.0, info.instance.unwrap_or_default(), info.visit);
        let before = self.finished.get(&key).copied().unwrap_or_default();
        let result = if self.killed.contains(&attempt) && self.random.chance(80) {
            AttemptResult::Named(ResultName::Cancelled)
        } else {
            self.outcome(info.task, info.instance.unwrap_or_default(), info.visit, before)
        };
        Event::AttemptFinished { attempt, result, failure: None, retry_after: None }
    }

    fn outcome(&self, task: TaskIndex, instance: u32, visit: u32, before: u64) -> AttemptResult {
        let job_attempt = u64::from(self.attempts_before + self.run.job_attempt());
        let parts = [u64::from(task.0) | u64::from(instance) << 32, u64::from(visit), before, job_attempt];
        let bits = parts.iter().fold(self.outcomes, |bits, part| mix(bits ^ part.wrapping_add(0x51_7c_c1)));
        // Whatever is repeated ends at last.
        match bits % 100 {
            _ if before > 6 => AttemptResult::Exit(0),
            0..60 => AttemptResult::Exit(0),
            60..72 => AttemptResult::Exit(1),
            72..80 => AttemptResult::Exit(3),
            80..86 => AttemptResult::Exit(4),
            86..90 => AttemptResult::Exit(99),
            90..93 if !self.single => AttemptResult::Named(ResultName::Approved),
            93..96 => AttemptResult::Named(ResultName::Rejected),
            _ => AttemptResult::Named(ResultName::TimedOut),
        }
    }

    /// The result of a task's only attempt, in a job without retries.
    pub(super) fn outcome_of_attempt(&self, task: TaskIndex, instance: u32) -> AttemptResult {
        self.outcome(task, instance, 1, 0)
    }

    /// How many items a fan_out has.
    pub(super) fn items(&self, task: TaskIndex, visit: u32) -> Result<u32, String> {
        let bits = mix(self.outcomes ^ mix(u64::from(task.0) << 20 | u64::from(visit) | 1 << 50));
        match bits % 20 {
            _ if self.single => Ok(1),
            0 => Err("undefined value".to_owned()),
            1..4 => Ok(0),
            4..8 => Ok(1),
            8..18 => Ok(2 + u32::try_from((bits >> 32) % 4).unwrap()),
            _ => Ok(12),
        }
    }

    pub(super) fn condition(&self, task: TaskIndex, visit: u32) -> Result<bool, String> {
        let bits = mix(self.outcomes ^ mix(u64::from(task.0) << 20 | u64::from(visit)));
        match bits % 20 {
            0..12 => Ok(true),
            12..19 => Ok(false),
            _ => Err("undefined value".to_owned()),
        }
    }

    /// Things that go wrong: what comes late or twice changes nothing.
    fn disturb(&mut self) -> Checked {
        let asleep = self.timers.keys().find_map(|timer| match timer {
            Timer::TaskRetry { task, .. } | Timer::InstanceRetry { task, .. } => Some(*task),
            _ => None,
        });
        if let Some(task) = asleep.filter(|_| self.random.chance(30)) {
            return self.event(Event::WakeRequested { task });
        }
        let number =
            AttemptNumber(1 + u32::try_from(self.random.below(self.run.attempt_count() as usize + 2)).unwrap());
        let event = match self.random.below(7) {
            0 => Event::AttemptReturned { attempt: number },
            1 => Event::AttemptInterrupted { attempt: number },
            2 => Event::AttemptStarted { attempt: number },
            3 => Event::Admitted,
            // In the final phase there is no budget.
            6 if self.run.is_stopped() || self.run.verdict().is_some() => Event::Admitted,
            6 => Self::short_of_budget(number),
            4 => {
                let late = self.log.iter().filter(|stamped| {
                    matches!(
                        stamped.event,
                        Event::TimerFired { .. } | Event::ConditionEvaluated { .. } | Event::ItemsExpanded { .. }
                    )
                });
                let late: Vec<Event> = late.map(|stamped| stamped.event.clone()).collect();
                if late.is_empty() { Event::Admitted } else { self.random.pick(&late).clone() }
            }
            _ => {
                let closed = self.run.attempt(number).is_some_and(|attempt| attempt.state == AttemptState::Finished);
                let before = self.run.clone();
                let event = Event::AttemptFinished {
                    attempt: number,
                    result: AttemptResult::Exit(0),
                    failure: None,
                    retry_after: None,
                };
                if closed {
                    self.event(event)?;
                    return if self.run == before { Ok(()) } else { Err("a late result changed the job".to_owned()) };
                }
                Event::AttemptLeased { attempt: AttemptNumber(u32::MAX) }
            }
        };
        self.maybe(event)
    }

    fn short_of_budget(attempt: AttemptNumber) -> Event {
        let failure = Failure { code: "BUDGET".to_owned(), message: "nothing is left".to_owned() };
        Event::AttemptOverBudget { attempt, result: AttemptResult::Agent(AgentClass::Budget), failure }
    }

    /// An event that may be refused; then nothing changes.
    pub(crate) fn maybe(&mut self, event: Event) -> Checked {
        let before = self.run.clone();
        let stamped = Stamped { at: UnixMillis(self.now), entropy: self.random.next(), event };
        match decide(self.plan, &mut self.run, &stamped) {
            Ok(effects) => self.applied(stamped, effects),
            Err(error) if error.code() == "INTERNAL" => Err(error.to_string()),
            Err(error) if self.run != before => Err(format!("a refused event changed the job: {error}")),
            Err(_) => Ok(()),
        }
    }

    pub(crate) fn event(&mut self, event: Event) -> Checked {
        self.now += i64::try_from(self.random.below(400)).unwrap();
        let stamped = Stamped { at: UnixMillis(self.now), entropy: self.random.next(), event };
        match decide(self.plan, &mut self.run, &stamped) {
            Ok(effects) => self.applied(stamped, effects),
            Err(error) => {
                let log: Vec<String> =
                    self.log.iter().rev().take(12).map(|stamped| format!("{:?}", stamped.event)).collect();
                Err(format!("{:?} was refused: {error}\n  after, latest first: {}", stamped.event, log.join("\n    ")))
            }
        }
    }

    fn applied(&mut self, stamped: Stamped, effects: Vec<Effect>) -> Checked {
        if matches!(stamped.event, Event::WakeRequested { .. }) {
            *self.seen.entry("waiting task woken".to_owned()).or_default() += 1;
        }
        if let Event::RerunRequested { .. } | Event::RetryFailedRequested | Event::TasksAdopted { .. } = stamped.event {
            self.commands += 1;
        }
        if let Event::TimerFired { timer } = &stamped.event {
            self.timers.remove(timer);
        }
        self.log.push(stamped);
        if let Some(Stamped { event: Event::ItemsExpanded { task, .. }, .. }) = self.log.last()
            && !effects.is_empty()
        {
            self.instances.retain(|(of, _), _| *of != task.0);
        }
        let mut answers = Vec::new();
        for effect in effects {
            self.observe(effect, &mut answers)?;
        }
        self.check_fan_outs(answers.is_empty())?;
        for answer in answers {
            self.event(answer)?;
        }
        Ok(())
    }

    /// The states of tasks follow from those of their instances, by counting anew.
    fn check_fan_outs(&self, answered: bool) -> Checked {
        for task in self.plan.tasks() {
            let Some(progress) = self.run.fan_out(task) else { continue };
            let told = |index| self.instances.get(&(task.0, index)).copied().unwrap_or(TaskState::Pending);
            let states: Vec<TaskState> = (0..progress.items).map(told).collect();
            let known = |index| self.run.instance(task, index).map(|instance| instance.state);
            if (0..progress.items).any(|index| known(index) != Some(states[index as usize])) {
                return Err(format!("the effects do not tell the instances of task {}: {states:?}", task.0));
            }
            let count = |wanted: &[TaskState]| states.iter().filter(|state| wanted.contains(state)).count();
            let unsettled = states.len() - count(&[TaskState::Completed, TaskState::Failed, TaskState::Cancelled]);
            if unsettled != progress.unsettled as usize
                || progress.completed + progress.unsettled + progress.failed > progress.items
            {
                return Err(format!("task {} counts its instances wrong: {progress:?} of {states:?}", task.0));
            }
            let state = self.run.task_state(task);
            let wanted = if count(&[TaskState::Leased, TaskState::Running]) > 0 {
                TaskState::Running
            } else if count(&[TaskState::Ready]) > 0 {
                TaskState::Ready
            } else {
                TaskState::Waiting
            };
            if unsettled > 0 && state != wanted && answered {
                return Err(format!("task {} is {state:?} and its instances are {states:?}", task.0));
            }
            let open = self.ready.iter().chain(&self.given).chain(&self.waiting);
            let open = open.filter(|attempt| self.run.attempt(**attempt).is_some_and(|info| info.task == task)).count();
            let most = self.plan.task(task).fan_out.and_then(|fan_out| fan_out.max_parallel).unwrap_or(u32::MAX);
            if open > most as usize {
                return Err(format!("{open} instances of task {} have an attempt, at most {most} may", task.0));
            }
            let idle = self.run.state() != JobState::Paused && open < most as usize;
            if idle && answered && count(&[TaskState::Pending]) > 0 && !state.is_settled() {
                let log: Vec<String> =
                    self.log.iter().rev().take(12).map(|stamped| format!("{:?}", stamped.event)).collect();
                return Err(format!(
                    "instances of task {} wait although there is place: {states:?}\n  after, latest first: {}",
                    task.0,
                    log.join("\n    ")
                ));
            }
        }
        Ok(())
    }

    fn note(&mut self, effect: &Effect) {
        let event = self.log.last().map(|stamped| &stamped.event);
        let mut saw = |what: String| *self.seen.entry(what).or_default() += 1;
        match effect {
            Effect::JobChanged { from, to, .. } => match (to, event) {
                (JobState::Paused, _) if !self.given.is_empty() => saw("PAUSED while attempts run".to_owned()),
                (JobState::Paused, _) if self.run.open_attempts().next().is_none() && *from == JobState::Waiting => {
                    saw("PAUSED between job attempts".to_owned());
                }
                (_, Some(Event::TimerFired { timer: Timer::Resume { .. } })) => saw("resumed by its timer".to_owned()),
                (JobState::Cancelling, Some(Event::CancelRequested { force: true, .. })) => {
                    saw("cancelled by force".to_owned());
                }
                _ => {}
            },
            Effect::JobAttemptBegan { job_attempt, nonce, .. } => {
                let same = std::mem::replace(&mut self.nonce, nonce.clone()) == *nonce;
                saw(match (job_attempt, self.commands, same) {
                    (1, ..) => "first job attempt",
                    (_, 0, true) => "job attempt that keeps what completed",
                    (_, 0, false) => "job attempt from the start",
                    _ => "rerun or retry by command",
                }
                .to_owned());
            }
            Effect::JobFinished { verdict, .. } => saw(format!("job {}", verdict.as_str())),
            Effect::FinalPhaseBegan { .. } => saw("final phase".to_owned()),
            Effect::RouteTaken { task, target, .. } => {
                if target.starts_with('t') {
                    return saw("route to tasks".to_owned());
                }
                saw(format!("route {target}"));
                if self.job == JobState::Paused {
                    saw(format!("route {target} while PAUSED"));
                }
                if self.plan.task(*task).in_loop != 0 {
                    saw(format!("route {target} in a loop"));
                }
            }
            Effect::TaskChanged { result, skip_reason, .. } => {
                if let Some(AttemptResult::Named(name)) = result {
                    saw(format!("result {}", name.as_str()));
                }
                if let Some(reason) = skip_reason {
                    saw(format!("skipped {reason:?}"));
                }
            }
            Effect::ExpandItems { .. } => saw("items asked for".to_owned()),
            Effect::InstanceChanged { state, .. } => {
                saw(format!("instance {}", state.as_str()));
                if *state == TaskState::Pending {
                    saw(match event {
                        Some(Event::ResumeRequested | Event::TimerFired { timer: Timer::Resume { .. } }) => {
                            "instance again after PAUSE_JOB"
                        }
                        Some(Event::Admitted | Event::TimerFired { timer: Timer::JobRetry { .. } }) => {
                            "instance again in a job attempt that keeps the items"
                        }
                        _ => "instance waits for a place again",
                    }
                    .to_owned());
                }
            }
            Effect::AttemptWaits { .. } => {
                saw("attempt waits".to_owned());
                if self.job == JobState::Paused {
                    saw("attempt waits while PAUSED".to_owned());
                }
            }
            Effect::AttemptCreated { instance: Some(_), task_attempt, .. } if *task_attempt > 1 => {
                saw("second attempt of an instance".to_owned());
            }
            Effect::AttemptCreated { task, visit, task_attempt, .. } => {
                if *task_attempt > 1 {
                    saw("second attempt of a visit".to_owned());
                } else if *visit > 1 {
                    saw("second visit".to_owned());
                }
                if self.plan.is_always_run(*task) && self.run.verdict().is_none() {
                    saw("always_run by a route".to_owned());
                }
            }
            Effect::AttemptClosed { result: AttemptResult::Named(ResultName::Lost), .. } => {
                saw("result LOST".to_owned());
            }
            Effect::AttemptRequeued { .. } => saw("attempt requeued".to_owned()),
            Effect::KillAttempt { .. } => {
                saw("attempt killed".to_owned());
                if let Some(Event::TimerFired { timer: Timer::JobTimeout { .. } }) = event {
                    saw("job timeout fired".to_owned());
                }
            }
            _ => {}
        }
    }

    fn observe(&mut self, effect: Effect, answers: &mut Vec<Event>) -> Checked {
        self.note(&effect);
        match effect {
            Effect::JobChanged { from, to, .. } => {
                if from != self.job {
                    return Err(format!("the job was {:?}, not {from:?}", self.job));
                }
                self.job = to;
            }
            Effect::JobAttemptBegan { reset, .. } => {
                for task in reset {
                    self.tasks[task.0 as usize] = TaskState::Pending;
                }
            }
            Effect::JobFinished { .. } => {
                if !self.timers.is_empty() {
                    return Err(format!("timers are left: {:?}", self.timers));
                }
            }
            Effect::FinalPhaseBegan { .. } => self.finals += 1,
            Effect::TaskChanged { task, visit, from, to, result, skip_reason, .. } => {
                if self.tasks[task.0 as usize] != from {
                    return Err(format!("task {} was {:?}, not {from:?}", task.0, self.tasks[task.0 as usize]));
                }
                self.tasks[task.0 as usize] = to;
                let kept = from == TaskState::Pending
                    && result.is_some()
                    && result != Some(AttemptResult::Named(ResultName::Invalid));
                let limit = result == Some(AttemptResult::Named(ResultName::LoopLimit));
                let ran = matches!(to, TaskState::Completed | TaskState::Failed) && !kept && !limit;
                if ran && skip_reason != Some(SkipReason::When) {
                    let count = self.settled.entry((self.run.job_attempt(), task.0, visit)).or_default();
                    *count += 1;
                    if *count > 1 && from != TaskState::Pending {
                        return Err(format!("task {} settled twice in visit {visit}", task.0));
                    }
                }
            }
            Effect::EvaluateCondition { task, visit } => {
                answers.push(Event::ConditionEvaluated { task, visit, outcome: self.condition(task, visit) });
            }
            Effect::ExpandItems { task, visit } => {
                let item = |index: u32| FanOutItem { key: index.to_string(), value: index.into() };
                let outcome = self.items(task, visit).map(|items| (0..items).map(item).collect());
                answers.push(Event::ItemsExpanded { task, visit, outcome });
                self.check_join(task)?;
                if self.plan.is_always_run(task) {
                    *self.always_run.entry((self.run.job_attempt(), task.0)).or_default() += 1;
                }
            }
            Effect::InstanceChanged { task, instance, state, .. } => {
                self.instances.insert((task.0, instance), state);
            }
            Effect::AttemptWaits { attempt, .. } => {
                self.given.retain(|given| *given != attempt);
                self.waiting.push(attempt);
            }
            Effect::AttemptCreated { attempt, task, task_attempt, job_attempt, instance, .. } => {
                let open = self.ready.iter().chain(&self.given).chain(&self.waiting);
                let of_same = |other: &AttemptNumber| {
                    self.run.attempt(*other).is_some_and(|info| info.task == task && info.instance == instance)
                };
                if let Some(other) = open.copied().find(of_same) {
                    return Err(format!("attempt {} began beside attempt {}", attempt.0, other.0));
                }
                if attempt.0 != self.run.attempt_count() && self.run.attempt(attempt).is_none() {
                    return Err(format!("attempt {} is not known", attempt.0));
                }
                self.ready.push(attempt);
                if task_attempt == 1 {
                    self.check_join(task)?;
                    if instance.is_none() && self.plan.is_always_run(task) {
                        *self.always_run.entry((job_attempt, task.0)).or_default() += 1;
                    }
                }
            }
            Effect::AttemptRequeued { attempt } => {
                self.given.retain(|given| *given != attempt);
                self.ready.push(attempt);
            }
            Effect::AttemptClosed { attempt, result, .. } => {
                self.ready.retain(|ready| *ready != attempt);
                self.given.retain(|given| *given != attempt);
                self.waiting.retain(|waiting| *waiting != attempt);
                let info = self.run.attempt(attempt).ok_or("a closed attempt is not known")?;
                let again = [AttemptResult::Named(ResultName::Lost), AttemptResult::Agent(AgentClass::Budget)];
                if !again.contains(&result) {
                    let key = (info.job_attempt, info.task.0, info.instance.unwrap_or_default(), info.visit);
                    *self.finished.entry(key).or_default() += 1;
                }
            }
            Effect::KillAttempt { attempt, .. } => {
                if !self.given.contains(&attempt) {
                    return Err(format!("attempt {} is killed but no ant has it", attempt.0));
                }
                self.killed.push(attempt);
            }
            Effect::SetTimer { timer, due } => {
                self.timers.insert(timer, due.0);
            }
            Effect::ClearTimer { timer } => {
                self.timers.remove(&timer);
            }
            Effect::RouteTaken { .. } => {}
        }
        if let Some(Stamped { event: Event::AttemptLeased { attempt }, .. }) = self.log.last()
            && let Some(at) = self.ready.iter().position(|ready| ready == attempt)
            && self.run.attempt(*attempt).is_some_and(|info| info.state == AttemptState::Leased)
        {
            self.ready.swap_remove(at);
            self.given.push(*attempt);
            self.leased_any = true;
        }
        Ok(())
    }

    /// A task starts only when everything before it has settled.
    fn check_join(&self, task: TaskIndex) -> Checked {
        if self.commands > 0 || self.run.verdict().is_some() {
            return Ok(());
        }
        for index in &self.plan.task(task).incoming {
            let edge = self.plan.edges[*index];
            let source = self.plan.task(edge.from);
            let loops = if edge.exits == 0 { vec![edge.from] } else { self.plan.loops[edge.exits].tasks.clone() };
            for before in loops {
                if !self.tasks[before.0 as usize].is_settled() && !source.always_run {
                    return Err(format!("task {} started before task {} settled", task.0, before.0));
                }
            }
        }
        Ok(())
    }

    fn check_end(&self) -> Checked {
        for task in self.plan.tasks() {
            if !self.run.task_state(task).is_settled() {
                return Err(format!("task {} is {:?} in a job that is over", task.0, self.run.task_state(task)));
            }
            if self.tasks[task.0 as usize] != self.run.task_state(task) {
                return Err(format!("the effects do not tell the state of task {}", task.0));
            }
        }
        let open = self.ready.len() + self.given.len() + self.waiting.len();
        if self.run.open_attempts().next().is_some() || open > 0 {
            return Err("attempts are open in a job that is over".to_owned());
        }
        for ((job_attempt, task), count) in &self.always_run {
            if *count > 1 {
                return Err(format!("always_run task {task} ran {count} times in job attempt {job_attempt}"));
            }
        }
        let forced = self.log.iter().any(|stamped| matches!(stamped.event, Event::CancelRequested { force: true, .. }));
        let cancelled = self.run.state() == JobState::Cancelled;
        for task in self.plan.tasks().filter(|task| self.plan.is_always_run(*task)) {
            let ran = self.always_run.iter().any(|((_, ran), count)| *ran == task.0 && *count == 1);
            if !ran && !forced && (self.leased_any || !cancelled) {
                return Err(format!("always_run task {} never ran", task.0));
            }
        }
        let keys: BTreeSet<_> = self.run.reasons.keys().chain(self.run.queued.keys()).collect();
        if !keys.is_empty() || !self.run.waiting.is_empty() {
            return Err("something is left to be waited for in a job that is over".to_owned());
        }
        let replayed = self.replayed()?;
        if replayed != self.run {
            return Err("the replayed events give another state".to_owned());
        }
        Ok(())
    }

    fn replayed(&self) -> Checked<JobRun> {
        let mut run = JobRun::new(self.plan);
        for stamped in &self.log {
            decide(self.plan, &mut run, stamped).map_err(|error| format!("in the replay: {error}"))?;
        }
        Ok(run)
    }

    fn restart(&mut self) -> Checked {
        let restored = if self.random.chance(50) {
            self.replayed()?
        } else {
            let text = serde_json::to_string(&self.run).map_err(|error| error.to_string())?;
            serde_json::from_str(&text).map_err(|error| error.to_string())?
        };
        if restored != self.run {
            return Err("recovery gives another state".to_owned());
        }
        self.run = restored;
        Ok(())
    }

    /// After the end: commands on a job that is over, played to its next end.
    pub(crate) fn command(&mut self, event: Event, world: World) -> Checked<End> {
        self.rerun = true;
        self.event(event)?;
        self.always_run.clear();
        self.settled.clear();
        self.leased_any = false;
        self.play(world)
    }
}
