//! Plays a job: leases, starts and finishes attempts, fires timers and answers conditions in a random order, and checks
//! after every event what must always hold.

use std::collections::{BTreeMap, HashMap};

use super::kit::{Random, mix};
use crate::engine::{
    AttemptNumber, AttemptResult, AttemptState, Effect, Event, JobRun, JobState, ResultName, SkipReason, Stamped,
    TaskIndex, TaskState, Timer, decide,
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
}

/// The end of a run, as far as it must not depend on the order of events.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct End {
    pub(crate) state: JobState,
    pub(crate) job_attempts: u32,
    pub(crate) tasks: Vec<(TaskState, u32, Option<AttemptResult>)>,
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
    killed: Vec<AttemptNumber>,
    timers: BTreeMap<Timer, i64>,
    tasks: Vec<TaskState>,
    job: JobState,
    /// Finished attempts per job attempt, task and visit: outcomes do not depend on interruptions.
    finished: HashMap<(u32, u32, u32), u64>,
    settled: HashMap<(u32, u32, u32), u32>,
    always_run: HashMap<(u32, u32), u32>,
    rerun: bool,
    finals: u32,
    leased_any: bool,
    commands: u32,
    nonce: String,
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
            killed: Vec::new(),
            timers: BTreeMap::new(),
            tasks: vec![TaskState::Pending; plan.len()],
            job: JobState::Pending,
            finished: HashMap::new(),
            settled: HashMap::new(),
            always_run: HashMap::new(),
            rerun: false,
            finals: 0,
            leased_any: false,
            commands: 0,
            nonce: String::new(),
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
        End { state: self.run.state(), job_attempts: self.run.job_attempt(), tasks: tasks.collect() }
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
        let key = (info.job_attempt, info.task.0, info.visit);
        let before = self.finished.get(&key).copied().unwrap_or_default();
        let result = if self.killed.contains(&attempt) && self.random.chance(80) {
            AttemptResult::Named(ResultName::Cancelled)
        } else {
            self.outcome(info.task, info.visit, before)
        };
        Event::AttemptFinished { attempt, result, failure: None }
    }

    fn outcome(&self, task: TaskIndex, visit: u32, before: u64) -> AttemptResult {
        let job_attempt = u64::from(self.run.job_attempt());
        let parts = [u64::from(task.0), u64::from(visit), before, job_attempt];
        let bits = parts.iter().fold(self.outcomes, |bits, part| mix(bits ^ part.wrapping_add(0x51_7c_c1)));
        // Whatever is repeated ends at last.
        match bits % 100 {
            _ if before > 6 => AttemptResult::Exit(0),
            0..60 => AttemptResult::Exit(0),
            60..72 => AttemptResult::Exit(1),
            72..80 => AttemptResult::Exit(3),
            80..86 => AttemptResult::Exit(4),
            86..92 => AttemptResult::Exit(99),
            _ => AttemptResult::Named(ResultName::TimedOut),
        }
    }

    /// The result of a task's only attempt, in a job without retries.
    pub(super) fn outcome_of_attempt(&self, task: TaskIndex) -> AttemptResult {
        self.outcome(task, 1, 0)
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
        let number =
            AttemptNumber(1 + u32::try_from(self.random.below(self.run.attempt_count() as usize + 2)).unwrap());
        let event = match self.random.below(6) {
            0 => Event::AttemptReturned { attempt: number },
            1 => Event::AttemptInterrupted { attempt: number },
            2 => Event::AttemptStarted { attempt: number },
            3 => Event::Admitted,
            4 => {
                let late = self.log.iter().filter(|stamped| {
                    matches!(stamped.event, Event::TimerFired { .. } | Event::ConditionEvaluated { .. })
                });
                let late: Vec<Event> = late.map(|stamped| stamped.event.clone()).collect();
                if late.is_empty() { Event::Admitted } else { self.random.pick(&late).clone() }
            }
            _ => {
                let closed = self.run.attempt(number).is_some_and(|attempt| attempt.state == AttemptState::Finished);
                let before = self.run.clone();
                let event = Event::AttemptFinished { attempt: number, result: AttemptResult::Exit(0), failure: None };
                if closed {
                    self.event(event)?;
                    return if self.run == before { Ok(()) } else { Err("a late result changed the job".to_owned()) };
                }
                Event::AttemptLeased { attempt: AttemptNumber(u32::MAX) }
            }
        };
        self.maybe(event)
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
        if let Event::RerunRequested { .. } | Event::RetryFailedRequested = stamped.event {
            self.commands += 1;
        }
        if let Event::TimerFired { timer } = &stamped.event {
            self.timers.remove(timer);
        }
        self.log.push(stamped);
        let mut conditions = Vec::new();
        for effect in effects {
            self.observe(effect, &mut conditions)?;
        }
        for (task, visit) in conditions {
            let outcome = self.condition(task, visit);
            self.event(Event::ConditionEvaluated { task, visit, outcome })?;
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

    fn observe(&mut self, effect: Effect, conditions: &mut Vec<(TaskIndex, u32)>) -> Checked {
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
            Effect::EvaluateCondition { task, visit } => conditions.push((task, visit)),
            Effect::AttemptCreated { attempt, task, task_attempt, job_attempt, .. } => {
                if attempt.0 != self.run.attempt_count() && self.run.attempt(attempt).is_none() {
                    return Err(format!("attempt {} is not known", attempt.0));
                }
                self.ready.push(attempt);
                if task_attempt == 1 {
                    self.check_join(task)?;
                    if self.plan.is_always_run(task) {
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
                let info = self.run.attempt(attempt).ok_or("a closed attempt is not known")?;
                if result != AttemptResult::Named(ResultName::Lost) {
                    *self.finished.entry((info.job_attempt, info.task.0, info.visit)).or_default() += 1;
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
            Effect::RouteTaken { .. }
            | Effect::ExpandItems { .. }
            | Effect::InstanceChanged { .. }
            | Effect::AttemptWaits { .. } => {}
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
        if self.run.open_attempts().next().is_some() || !self.ready.is_empty() || !self.given.is_empty() {
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
