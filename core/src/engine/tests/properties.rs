//! Properties over generated graphs. Every failure names a seed that repeats it, after taking out the tasks and routes
//! that it does not need.

use super::driver::{Driver, World};
use super::generator::{Features, definition};
use super::kit::{Random, mix};
use crate::definition::JobDefinition;
use crate::engine::{Event, JobState, TaskIndex};
use crate::graph::Plan;

const PLAIN: Features = Features { loops: true, always_run: true, stops: false, pauses: false, job_retry: true };
const ALL: Features = Features { loops: true, always_run: true, stops: true, pauses: true, job_retry: true };

type Check = fn(&JobDefinition, u64) -> Result<(), String>;

/// Checks `count` graphs from the seed on; at most one in twenty may be invalid.
fn for_all(first: u64, count: u64, features: Features, check: Check) {
    let mut refused = 0;
    for seed in (first..).take(usize::try_from(count).unwrap()) {
        let definition = definition(mix(seed), features);
        if Plan::build(&definition).is_err() {
            refused += 1;
            continue;
        }
        if let Err(problem) = check(&definition, seed) {
            let (smaller, problem) = shrink(definition, seed, check, problem);
            let tasks: Vec<String> = smaller.tasks.iter().map(describe).collect();
            panic!(
                "seed {seed}: {problem}\n  fail_fast {} retry {:?} {:?} fail_on {:?} timeout {:?}\n{}",
                smaller.fail_fast,
                smaller.retry.retries,
                smaller.retry_from,
                smaller.fail_on,
                smaller.timeout,
                tasks.join("\n")
            );
        }
    }
    assert!(refused * 20 <= count, "{refused} of {count} generated graphs are invalid");
}

fn describe(task: &crate::definition::TaskDefinition) -> String {
    let routes: Vec<String> = task
        .routes
        .iter()
        .map(|route| format!("{:?}(max {:?}) -> {:?}", route.matches, route.max, route.target))
        .collect();
    let dependencies: Vec<String> = task
        .dependencies
        .iter()
        .flatten()
        .map(|dependency| format!("{}{}", dependency.task, if dependency.optional { "?" } else { "" }))
        .collect();
    format!(
        "  {}: deps {dependencies:?} always_run {} allow_failure {} when {} max_visits {:?} retry {:?} fan_out {:?} queue_timeout {:?} routes {routes:?}",
        task.name,
        task.always_run,
        task.allow_failure,
        task.when.is_some(),
        task.max_visits,
        task.retry.retries,
        task.fan_out.as_ref().map(|fan_out| (&fan_out.max_parallel, fan_out.fail_fast)),
        task.queue_timeout,
    )
}

/// Takes out what the failure does not need.
fn shrink(mut definition: JobDefinition, seed: u64, check: Check, mut problem: String) -> (JobDefinition, String) {
    loop {
        let mut smaller = Vec::new();
        for index in 0..definition.tasks.len() {
            for route in 0..definition.tasks[index].routes.len() {
                let mut candidate = definition.clone();
                candidate.tasks[index].routes.remove(route);
                smaller.push(candidate);
            }
            let plain = |change: fn(&mut crate::definition::TaskDefinition)| {
                let mut candidate = definition.clone();
                change(&mut candidate.tasks[index]);
                candidate
            };
            smaller.push(plain(|task| task.when = None));
            smaller.push(plain(|task| task.allow_failure = false));
            smaller.push(plain(|task| task.fan_out = None));
            smaller.push(plain(|task| task.fan_out.iter_mut().for_each(|fan_out| fan_out.max_parallel = None)));
            smaller.push(plain(|task| task.fan_out.iter_mut().for_each(|fan_out| fan_out.fail_fast = false)));
            smaller.push(plain(|task| task.queue_timeout = None));
            smaller.push(plain(|task| task.retry = super::kit::retries(0)));
            smaller.push(plain(|task| task.max_visits = None));
            smaller.push(plain(|task| task.routes.iter_mut().for_each(|route| route.max = None)));
            smaller.push(plain(|task| {
                if let Some(dependencies) = &mut task.dependencies {
                    dependencies.pop();
                }
            }));
        }
        smaller.push(JobDefinition { retry: super::kit::retries(0), ..definition.clone() });
        smaller.push(JobDefinition { timeout: None, ..definition.clone() });
        let found = smaller.into_iter().filter(|candidate| *candidate != definition).find_map(|candidate| {
            Plan::build(&candidate).ok()?;
            check(&candidate, seed).err().map(|problem| (candidate, problem))
        });
        match found {
            Some((candidate, found)) => (definition, problem) = (candidate, found),
            None => return (definition, problem),
        }
    }
}

fn plan(definition: &JobDefinition) -> Plan {
    Plan::build(definition).map(|(plan, _)| plan).unwrap()
}

/// The end is the same whatever the order of events, also with restarts of the queen, lost ants and repeated messages.
fn same_end(definition: &JobDefinition, seed: u64) -> Result<(), String> {
    let plan = plan(definition);
    let first = Driver::new(&plan, mix(seed), 1).play(World::default())?;
    for order in 2..5_u64 {
        let world = World { unreliable: order % 2 == 0, restarts: order == 3, waits: order != 2, ..World::default() };
        let other = Driver::new(&plan, mix(seed), mix(order ^ seed)).play(world)?;
        if other != first {
            return Err(format!("the end depends on the order of events:\n{first:?}\n{other:?}"));
        }
    }
    Ok(())
}

/// Whatever happens, the run ends well-formed; then commands begin it anew.
fn ends(definition: &JobDefinition, seed: u64) -> Result<(), String> {
    let plan = plan(definition);
    for order in 1..4_u64 {
        let mut random = Random(mix(seed ^ order));
        let world = World {
            unreliable: random.chance(50),
            pauses: random.chance(40),
            cancels: random.chance(40),
            restarts: random.chance(40),
            waits: random.chance(50),
        };
        let mut driver = Driver::new(&plan, mix(seed), random.next());
        let mut end = driver.play(world)?;
        for _ in 0..2 {
            let task = TaskIndex(u32::try_from(random.below(plan.len())).unwrap());
            let retry = matches!(end.state, JobState::Failed) && random.chance(60);
            let event = if retry { Event::RetryFailedRequested } else { Event::RerunRequested { task } };
            end = driver.command(event.clone(), world).map_err(|problem| format!("after {event:?}: {problem}"))?;
        }
    }
    Ok(())
}

/// A `fan_out` with one item decides as the plain task does.
fn one_item_is_like_none(definition: &JobDefinition, seed: u64) -> Result<(), String> {
    let mut plain = definition.clone();
    for task in &mut plain.tasks {
        // An allowed failure makes the task FAILED, and a fan_out with it COMPLETED.
        (task.fan_out, task.allow_failure) = (None, false);
    }
    let mut fanned = plain.clone();
    for task in &mut fanned.tasks {
        task.fan_out = Some(super::kit::fan_out());
    }
    let mut ends = Vec::new();
    for definition in [plain, fanned] {
        let plan = plan(&definition);
        let mut driver = Driver::new(&plan, mix(seed), seed);
        driver.single = true;
        let mut end = driver.play(World::default())?;
        end.instances.clear();
        ends.push(end);
    }
    if ends[0] == ends[1] { Ok(()) } else { Err(format!("plain: {:?}\nfanned out: {:?}", ends[0], ends[1])) }
}

/// A rerun that is a new job ends as one that is a new attempt of the same job.
fn rerun_elsewhere(definition: &JobDefinition, seed: u64) -> Result<(), String> {
    let mut definition = definition.clone();
    // What a job has used of its retries, and the items of a fan_out, are not taken over.
    definition.retry = super::kit::retries(0);
    for task in &mut definition.tasks {
        task.fan_out = None;
    }
    let plan = plan(&definition);
    let mut random = Random(mix(seed));
    let mut old = Driver::new(&plan, mix(seed), random.next());
    let end = old.play(World::default())?;
    let task = TaskIndex(u32::try_from(random.below(plan.len())).unwrap());
    let from = (end.state != JobState::Failed || random.chance(50)).then_some(task);
    let adoption = old.run.adoption(&plan, &plan, from.map(|task| plan.task_name(task)));
    let adoption = adoption.map_err(|error| error.to_string())?;
    let mut new = Driver::new(&plan, mix(seed), random.next());
    new.attempts_before = 1;
    new.event(adoption)?;
    let world = World { restarts: true, waits: true, ..World::default() };
    let elsewhere = new.play(world)?;
    let command = from.map_or(Event::RetryFailedRequested, |task| Event::RerunRequested { task });
    let here = old.command(command, World::default())?;
    if new.run.nonce() != old.run.nonce() {
        return Err("the Nonce is not kept".to_owned());
    }
    if (&here.tasks, here.state) == (&elsewhere.tasks, elsewhere.state) {
        Ok(())
    } else {
        Err(format!("from {from:?}: as a new attempt {here:?}\nas a new job {elsewhere:?}"))
    }
}

#[test]
fn a_rerun_as_a_new_job_ends_as_one_of_the_same_job() {
    for_all(40_000, 2000, PLAIN, rerun_elsewhere);
}

#[test]
fn a_fan_out_over_one_item_ends_as_the_plain_task_does() {
    for_all(30_000, 2000, PLAIN, one_item_is_like_none);
}

#[test]
fn the_end_does_not_depend_on_the_order_of_events() {
    for_all(0, 3000, PLAIN, same_end);
}

#[test]
fn the_end_of_other_graphs_does_not_depend_on_the_order_of_events() {
    for_all(3000, 3000, PLAIN, same_end);
}

#[test]
fn every_run_ends_whatever_happens() {
    for_all(10_000, 2500, ALL, ends);
}

#[test]
fn every_run_of_other_graphs_ends_whatever_happens() {
    for_all(12_500, 2500, ALL, ends);
}
