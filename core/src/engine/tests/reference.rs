//! A second, independent evaluation of joins and dead paths in graphs without loops, by plain recursion over the
//! definition, compared with the engine.

use std::collections::HashMap;

use super::driver::{Driver, World};
use super::kit::{Random, condition, depends, fan_out, job, mix, route, task};
use crate::definition::{JobDefinition, RouteMatch, RouteTarget};
use crate::engine::{AttemptResult, TaskState};
use crate::graph::Plan;

/// What a task comes to.
#[derive(Debug, Clone, PartialEq)]
enum Fate {
    Completed(Vec<String>),
    /// Failed; a route led there.
    Handled(Vec<String>),
    Unrouted,
    SkippedByCondition(Vec<String>),
    NotReached,
    UpstreamFailed,
}

struct Reference<'a> {
    definition: &'a JobDefinition,
    driver: &'a Driver<'a>,
    known: HashMap<usize, Fate>,
}

impl Reference<'_> {
    fn fate(&mut self, index: usize) -> Fate {
        if let Some(known) = self.known.get(&index) {
            return known.clone();
        }
        let fate = self.work_out(index);
        self.known.insert(index, fate.clone());
        fate
    }

    fn work_out(&mut self, index: usize) -> Fate {
        let definition = self.definition;
        let this = &definition.tasks[index];
        let (mut routed, mut taken, mut failed, mut missing) = (false, false, false, false);
        for (source, other) in definition.tasks.iter().enumerate() {
            let leads_here = other
                .routes
                .iter()
                .any(|route| matches!(&route.target, RouteTarget::Tasks(targets) if targets.contains(&this.name)));
            if leads_here {
                routed = true;
                match self.fate(source) {
                    Fate::Completed(next) | Fate::Handled(next) | Fate::SkippedByCondition(next) => {
                        taken |= next.contains(&this.name);
                    }
                    Fate::Unrouted | Fate::UpstreamFailed => failed = true,
                    Fate::NotReached => {}
                }
            }
            for dependency in this.dependencies.iter().flatten().filter(|dependency| dependency.task == other.name) {
                match self.fate(source) {
                    _ if dependency.optional => {}
                    Fate::Unrouted | Fate::UpstreamFailed => failed = true,
                    Fate::Handled(_) | Fate::NotReached => missing = true,
                    Fate::Completed(_) | Fate::SkippedByCondition(_) => {}
                }
            }
        }
        if failed {
            return Fate::UpstreamFailed;
        }
        if if routed { !taken } else { missing } {
            return Fate::NotReached;
        }
        let number = crate::engine::TaskIndex(u32::try_from(index).unwrap());
        let result = match this.when.as_ref().map(|_| self.driver.condition(number, 1)) {
            Some(Ok(false)) => return Fate::SkippedByCondition(self.next(index, &[RouteMatch::Completed])),
            Some(Err(_)) => None,
            _ if this.fan_out.is_some() => self.fan_out(index),
            _ => Some(self.driver.outcome_of_attempt(number, 0)),
        };
        let code = match result {
            Some(AttemptResult::Exit(code)) => Some(code),
            _ => None,
        };
        let success = result.is_some_and(AttemptResult::is_success);
        let class = if success { RouteMatch::Completed } else { RouteMatch::Failed };
        let wanted: Vec<RouteMatch> = code.map(RouteMatch::Code).into_iter().chain([class, RouteMatch::Any]).collect();
        let next = self.next(index, &wanted);
        match (success, next.is_empty()) {
            (true, _) => Fate::Completed(next),
            (_, true) if this.allow_failure => Fate::Completed(self.next(index, &[RouteMatch::Completed])),
            (_, true) => Fate::Unrouted,
            _ if this.allow_failure => Fate::Completed(next),
            _ => Fate::Handled(next),
        }
    }

    /// What a fan_out comes to: the first failed item in item order decides. Failures for which there is no route do not
    /// count under `allow_failure`.
    fn fan_out(&self, index: usize) -> Option<AttemptResult> {
        let this = &self.definition.tasks[index];
        let number = crate::engine::TaskIndex(u32::try_from(index).unwrap());
        let items = self.driver.items(number, 1).ok()?;
        let results = (0..items).map(|item| self.driver.outcome_of_attempt(number, item));
        let mut failed = results.filter(|result| !result.is_success()).filter(|result| {
            let code = match result {
                AttemptResult::Exit(code) => vec![RouteMatch::Code(*code)],
                _ => Vec::new(),
            };
            let wanted: Vec<_> = code.into_iter().chain([RouteMatch::Failed, RouteMatch::Any]).collect();
            !this.allow_failure || !self.next(index, &wanted).is_empty()
        });
        Some(failed.next().unwrap_or(AttemptResult::Exit(0)))
    }

    /// Where the first of these matches leads.
    fn next(&self, index: usize, wanted: &[RouteMatch]) -> Vec<String> {
        for matches in wanted {
            let found = self.definition.tasks[index].routes.iter().find(|route| route.matches == *matches);
            if let Some(RouteTarget::Tasks(targets)) = found.map(|route| &route.target) {
                return targets.clone();
            }
        }
        Vec::new()
    }
}

fn acyclic(seed: u64) -> JobDefinition {
    let mut random = Random(seed);
    let count = 2 + random.below(10);
    let mut tasks: Vec<_> = (0..count).map(|index| task(&format!("t{index}"))).collect();
    for to in 1..count {
        for from in 0..to {
            match random.below(6) {
                0 => {
                    let optional = random.chance(25);
                    tasks[to].dependencies.get_or_insert_default().push(depends(&format!("t{from}"), optional));
                }
                1 => {
                    let choices = [
                        RouteMatch::Code(0),
                        RouteMatch::Code(1),
                        RouteMatch::Completed,
                        RouteMatch::Failed,
                        RouteMatch::Any,
                    ];
                    let matches = random.pick(&choices).clone();
                    let name = format!("t{to}");
                    match tasks[from]
                        .routes
                        .iter_mut()
                        .find(|route| route.matches == matches)
                        .map(|route| &mut route.target)
                    {
                        Some(RouteTarget::Tasks(targets)) => targets.push(name),
                        _ => tasks[from].routes.push(route(matches, RouteTarget::Tasks(vec![name]))),
                    }
                }
                _ => {}
            }
        }
        tasks[to].dependencies.get_or_insert_default();
        tasks[to].allow_failure = random.chance(15);
        tasks[to].when = random.chance(15).then(condition);
        tasks[to].fan_out = random.chance(25).then(fan_out);
    }
    job(tasks)
}

#[test]
fn joins_and_dead_paths_are_those_of_the_reference() {
    let mut skipped = 0;
    for seed in 0..3000 {
        let definition = acyclic(mix(seed));
        let (plan, _) = Plan::build(&definition).unwrap();
        let mut driver = Driver::new(&plan, mix(seed), seed);
        driver.play(World::default()).unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
        let mut reference = Reference { definition: &definition, driver: &driver, known: HashMap::new() };
        for task in plan.tasks() {
            let index = task.0 as usize;
            let fate = reference.fate(index);
            let wanted = match &fate {
                Fate::Completed(_) if driver.run.task_state(task) == TaskState::Failed => {
                    assert!(definition.tasks[index].allow_failure, "seed {seed}: task {index}");
                    TaskState::Failed
                }
                Fate::Completed(_) => TaskState::Completed,
                Fate::Handled(_) | Fate::Unrouted => TaskState::Failed,
                Fate::SkippedByCondition(_) | Fate::NotReached | Fate::UpstreamFailed => TaskState::Skipped,
            };
            skipped += u32::from(wanted == TaskState::Skipped);
            assert_eq!(driver.run.task_state(task), wanted, "seed {seed}: task {index} is {fate:?}");
        }
    }
    assert!(skipped > 1000, "the graphs are too plain: {skipped}");
}
