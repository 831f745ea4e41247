//! Short stories: a definition in YAML, what its tasks end with, and what becomes of the job.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::definition::{Limits, load};
use crate::engine::{
    AttemptNumber, AttemptResult, Effect, EngineError, Event, Failure, JobRun, JobState, ResultName, Stamped,
    TaskState, Timer, decide,
};
use crate::graph::Plan;
use crate::time::UnixMillis;

pub(super) struct Story {
    pub(super) plan: Plan,
    pub(super) run: JobRun,
    pub(super) effects: Vec<Effect>,
    /// Names of tasks in the order in which their attempts became ready.
    pub(super) started: Vec<String>,
    pub(super) ready: VecDeque<AttemptNumber>,
    pub(super) timers: BTreeMap<Timer, UnixMillis>,
    pub(super) now: UnixMillis,
    pub(super) entropy: u64,
    /// Results of a task's attempts in order; the last one is repeated, none is success.
    results: HashMap<String, VecDeque<AttemptResult>>,
    /// Conditions by task: how often each is true.
    conditions: HashMap<String, Result<bool, String>>,
}

/// `tasks` is the text below `tasks:`, one flow map a line; `head` holds job keys.
pub(super) fn story(head: &str, tasks: &str, results: &[(&str, &str)]) -> Story {
    let lines: Vec<String> = tasks
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| format!("  - {{script: [x], task_type: {line}}}"))
        .collect();
    let lines = lines.join("\n");
    let source = format!("job_type: story\n{head}\ntasks:\n{lines}\n");
    let loaded = load("story.yaml", source.as_bytes(), &Limits::default());
    let definition = loaded.definition.unwrap_or_else(|| panic!("{:?}\n{source}", loaded.diagnostics));
    let (plan, _) = Plan::build(&definition).unwrap();
    let run = JobRun::new(&plan);
    let results = results.iter().map(|(task, list)| ((*task).to_owned(), list.split(' ').map(result).collect()));
    Story {
        run,
        plan,
        effects: Vec::new(),
        started: Vec::new(),
        ready: VecDeque::new(),
        timers: BTreeMap::new(),
        now: UnixMillis(0),
        entropy: 0x1234_5678_9abc_def0,
        results: results.collect(),
        conditions: HashMap::new(),
    }
}

fn result(text: &str) -> AttemptResult {
    text.parse().map_or_else(
        |_| AttemptResult::Named(ResultName::ALL.into_iter().find(|name| name.as_str() == text).unwrap()),
        AttemptResult::Exit,
    )
}

impl Story {
    pub(super) fn when(mut self, task: &str, outcome: Result<bool, &str>) -> Self {
        self.conditions.insert(task.to_owned(), outcome.map_err(str::to_owned));
        self
    }

    /// Plays until the job is over or waits for somebody.
    pub(super) fn play(mut self) -> Self {
        self.tell(Event::Admitted).unwrap();
        self.go_on();
        self
    }

    pub(super) fn go_on(&mut self) {
        for _ in 0..1000 {
            if self.run.state().is_terminal() {
                return;
            }
            if let Some(attempt) = self.ready.front().copied().filter(|_| self.run.may_dispatch()) {
                self.finish(attempt);
            } else if let Some((timer, due)) = self.timers.iter().min_by_key(|(_, due)| **due).map(|(a, b)| (*a, *b)) {
                self.timers.remove(&timer);
                self.now = due;
                self.tell(Event::TimerFired { timer }).unwrap();
            } else {
                return;
            }
        }
        panic!("the story does not end: {:?}", self.started);
    }

    fn finish(&mut self, attempt: AttemptNumber) {
        self.tell(Event::AttemptLeased { attempt }).unwrap();
        let name = self.plan.task_name(self.run.attempt(attempt).unwrap().task).to_owned();
        let list = self.results.entry(name).or_default();
        let result = if list.len() > 1 { list.pop_front() } else { list.front().copied() };
        let result = result.unwrap_or(AttemptResult::Exit(0));
        self.tell(Event::AttemptFinished { attempt, result, failure: None }).unwrap();
    }

    pub(super) fn tell(&mut self, event: Event) -> Result<(), EngineError> {
        let stamped = Stamped { at: self.now, entropy: self.entropy, event };
        let effects = decide(&self.plan, &mut self.run, &stamped)?;
        let mut conditions = Vec::new();
        for effect in effects {
            match &effect {
                Effect::AttemptCreated { attempt, task, .. } => {
                    self.started.push(self.plan.task_name(*task).to_owned());
                    self.ready.push_back(*attempt);
                }
                Effect::AttemptClosed { attempt, .. } => self.ready.retain(|ready| ready != attempt),
                Effect::SetTimer { timer, due } => {
                    self.timers.insert(*timer, *due);
                }
                Effect::ClearTimer { timer } => {
                    self.timers.remove(timer);
                }
                Effect::EvaluateCondition { task, visit } => conditions.push((*task, *visit)),
                _ => {}
            }
            self.effects.push(effect);
        }
        for (task, visit) in conditions {
            let outcome = self.conditions.get(self.plan.task_name(task)).cloned().unwrap_or(Ok(true));
            self.tell(Event::ConditionEvaluated { task, visit, outcome })?;
        }
        Ok(())
    }

    pub(super) fn state(&self) -> JobState {
        self.run.state()
    }

    pub(super) fn task(&self, name: &str) -> TaskState {
        self.run.task_state(self.plan.task_index(name).unwrap())
    }

    pub(super) fn started(&self) -> String {
        self.started.join(" ")
    }

    pub(super) fn failure(&self) -> Failure {
        self.run.verdict().unwrap().1.unwrap().clone()
    }
}
