//! Short stories: a definition in YAML, what its tasks end with, and what becomes of the job.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::definition::{JobDefinition, Limits, load};
use crate::engine::{
    AttemptNumber, AttemptResult, Effect, EngineError, Event, Failure, FanOutItem, JobRun, JobState, ResultName,
    Stamped, TaskState, Timer, decide,
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
    pub(super) results: HashMap<String, VecDeque<AttemptResult>>,
    /// How many items fan_outs have; three unless told.
    pub(super) items: HashMap<String, Result<u32, String>>,
    /// How often items were asked for.
    pub(super) asked: u32,
    /// Conditions by task: how often each is true.
    conditions: HashMap<String, Result<bool, String>>,
}

/// `tasks` is the text below `tasks:`, one flow map a line; `head` holds job keys.
pub(super) fn definition_of(head: &str, tasks: &str) -> JobDefinition {
    let lines: Vec<String> = tasks
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| format!("  - {{script: [x], task_type: {line}}}"))
        .collect();
    let lines = lines.join("\n");
    let source = format!("job_type: story\n{head}\ntasks:\n{lines}\n");
    let loaded = load("story.yaml", source.as_bytes(), &Limits::default());
    loaded.definition.unwrap_or_else(|| panic!("{:?}\n{source}", loaded.diagnostics))
}

pub(super) fn plan_of(head: &str, tasks: &str) -> Plan {
    Plan::build(&definition_of(head, tasks)).unwrap().0
}

/// `results` are those of a task's attempts in order, `task#2` means those of one instance; the last one is repeated.
pub(super) fn story(head: &str, tasks: &str, results: &[(&str, &str)]) -> Story {
    story_of(plan_of(head, tasks), results)
}

pub(super) fn story_of(plan: Plan, results: &[(&str, &str)]) -> Story {
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
        items: HashMap::new(),
        asked: 0,
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

    pub(super) fn items(mut self, task: &str, items: Result<u32, &str>) -> Self {
        self.items.insert(task.to_owned(), items.map_err(str::to_owned));
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

    /// Leases and finishes the attempt that has been READY for longest.
    pub(super) fn finish_next(&mut self) {
        let attempt = *self.ready.front().unwrap();
        self.finish(attempt);
    }

    fn finish(&mut self, attempt: AttemptNumber) {
        self.tell(Event::AttemptLeased { attempt }).unwrap();
        let info = self.run.attempt(attempt).unwrap();
        let name = self.plan.task_name(info.task).to_owned();
        let of_instance = info.instance.map(|index| format!("{name}#{index}"));
        let name = of_instance.filter(|name| self.results.contains_key(name)).unwrap_or(name);
        let list = self.results.entry(name).or_default();
        let result = if list.len() > 1 { list.pop_front() } else { list.front().copied() };
        let result = result.unwrap_or(AttemptResult::Exit(0));
        self.tell(Event::AttemptFinished { attempt, result, failure: None, retry_after: None }).unwrap();
    }

    pub(super) fn tell(&mut self, event: Event) -> Result<(), EngineError> {
        let stamped = Stamped { at: self.now, entropy: self.entropy, event };
        let effects = decide(&self.plan, &mut self.run, &stamped)?;
        let (mut conditions, mut expansions) = (Vec::new(), Vec::new());
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
                Effect::ExpandItems { task, visit } => expansions.push((*task, *visit)),
                _ => {}
            }
            self.effects.push(effect);
        }
        for (task, visit) in conditions {
            let outcome = self.conditions.get(self.plan.task_name(task)).cloned().unwrap_or(Ok(true));
            self.tell(Event::ConditionEvaluated { task, visit, outcome })?;
        }
        for (task, visit) in expansions {
            self.asked += 1;
            let items = self.items.get(self.plan.task_name(task)).cloned().unwrap_or(Ok(3));
            let item = |index: u32| FanOutItem { key: index.to_string(), value: index.into() };
            let outcome = items.map(|items| (0..items).map(item).collect());
            self.tell(Event::ItemsExpanded { task, visit, outcome })?;
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

    /// Why the job is in its state.
    pub(super) fn reason(&self) -> String {
        let reasons = self.effects.iter().rev().filter_map(|effect| match effect {
            Effect::JobChanged { reason, .. } => Some(reason.clone().unwrap_or_default()),
            _ => None,
        });
        reasons.into_iter().next().unwrap_or_default()
    }

    pub(super) fn failure(&self) -> Failure {
        self.run.verdict().unwrap().1.unwrap().clone()
    }
}
