//! What the generated graphs and runs reach: properties over graphs that never have a feature say nothing about it.

use std::collections::{BTreeMap, HashSet};

use super::driver::{Driver, World};
use super::generator::{Features, definition};
use super::kit::{Random, mix};
use crate::definition::{FailOn, JobDefinition, RetryFrom, RouteTarget};
use crate::engine::{Event, JobState, TaskIndex};
use crate::graph::{EdgeKind, Plan};

/// Each of these must happen at least so often.
const AT_LEAST: u32 = 10;

const GRAPHS: &[&str] = &[
    "loop",
    "loop in a loop",
    "loop entered past its header",
    "loop entered from two tasks",
    "loop with two back edges",
    "loop that starts with the job",
    "join across a loop's border",
    "join of routes and dependencies",
    "optional dependency",
    "dependency on itself",
    "dependency that closes a loop",
    "route to a list",
    "route with a max",
    "retry_on",
    "always_run",
    "always_run with routes to it",
    "always_run with edges out of it",
    "always_run after always_run",
    "allow_failure",
    "fail_fast",
    "fail_on any_failure",
    "job timeout",
    "job retry from failed",
    "job retry from start",
    "resume_after",
    "fan_out",
    "fan_out with max_parallel",
    "fan_out with fail_fast",
    "fan_out that is always_run",
    "fan_out in a loop",
    "queue_timeout",
];

const RUNS: &[&str] = &[
    "route COMPLETED",
    "route END_BLOCKED",
    "route END_COMPLETED",
    "route END_FAILED",
    "route ERR_X",
    "route FAILED",
    "route FATAL",
    "route FATAL while PAUSED",
    "route PAUSE_JOB",
    "route PAUSE_JOB in a loop",
    "route RESCHEDULE",
    "route RESTART_JOB",
    "route RESTART_TASK",
    "route to tasks",
    "result LOOP_LIMIT",
    "result TIMED_OUT",
    "result INVALID",
    "result CANCELLED",
    "result LOST",
    "result QUEUE_TIMED_OUT",
    "result APPROVED",
    "result REJECTED",
    "items asked for",
    "instance READY",
    "instance RUNNING",
    "instance WAITING",
    "instance COMPLETED",
    "instance FAILED",
    "instance CANCELLED",
    "instance waits for a place again",
    "instance again after PAUSE_JOB",
    "instance again in a job attempt that keeps the items",
    "second attempt of an instance",
    "waiting task woken",
    "attempt waits",
    "attempt waits while PAUSED",
    "skipped When",
    "skipped UpstreamFailed",
    "skipped NotReached",
    "second visit",
    "second attempt of a visit",
    "attempt requeued",
    "attempt killed",
    "always_run by a route",
    "final phase",
    "job attempt from the start",
    "job attempt that keeps what completed",
    "rerun or retry by command",
    "PAUSED while attempts run",
    "PAUSED between job attempts",
    "resumed by its timer",
    "job timeout fired",
    "cancelled by force",
    "job COMPLETED",
    "job FAILED",
    "job BLOCKED",
    "job CANCELLED",
];

fn features_of(definition: &JobDefinition, plan: &Plan) -> HashSet<&'static str> {
    let mut found = HashSet::new();
    let mut has = |what: &'static str, condition: bool| {
        if condition {
            found.insert(what);
        }
    };
    for (index, this) in plan.loops.iter().enumerate().skip(1) {
        let inside = |task: TaskIndex| plan.contains(index, task);
        let entering = plan.edges.iter().filter(|edge| !inside(edge.from) && inside(edge.to));
        let entering: Vec<_> = entering.filter(|edge| edge.back_of.is_none()).collect();
        has("loop", true);
        has("loop in a loop", this.depth > 1);
        has("loop entered past its header", entering.iter().any(|edge| edge.to != this.header));
        has("loop entered from two tasks", entering.iter().map(|edge| edge.from).collect::<HashSet<_>>().len() > 1);
        has("loop that starts with the job", entering.is_empty());
        has("loop with two back edges", plan.edges.iter().filter(|edge| edge.back_of == Some(index)).count() > 1);
    }
    for task in plan.tasks() {
        let node = plan.task(task);
        let incoming: Vec<_> = node.incoming.iter().map(|edge| plan.edges[*edge]).collect();
        let routes = incoming.iter().filter(|edge| edge.kind == EdgeKind::Route).count();
        let waited_for =
            |other: TaskIndex| incoming.iter().any(|edge| edge.from == other && edge.kind != EdgeKind::Route);
        has("join across a loop's border", incoming.len() > 1 && incoming.iter().any(|edge| edge.exits != 0));
        has("join of routes and dependencies", routes > 0 && routes < incoming.len());
        has("optional dependency", node.dependencies.iter().any(|dependency| dependency.optional));
        has("dependency on itself", node.dependencies.iter().any(|dependency| dependency.task == task));
        has("retry_on", !node.retry.retry_on.is_empty());
        has("allow_failure", node.allow_failure);
        has("route with a max", node.routes.iter().any(|route| route.limit.is_some()));
        has("always_run", node.always_run);
        has("fan_out", node.fan_out.is_some());
        has("fan_out with max_parallel", node.fan_out.is_some_and(|fan_out| fan_out.max_parallel.is_some()));
        has("fan_out with fail_fast", node.fan_out.is_some_and(|fan_out| fan_out.fail_fast));
        has("fan_out that is always_run", node.fan_out.is_some() && node.always_run);
        has("fan_out in a loop", node.fan_out.is_some() && node.in_loop != 0);
        has("queue_timeout", node.queue_timeout.is_some());
        has("always_run with routes to it", node.always_run && node.has_route_edges);
        has("always_run with edges out of it", node.always_run && !node.outgoing.is_empty());
        let others = || node.dependencies.iter().map(|dependency| dependency.task).filter(|other| *other != task);
        has("dependency that closes a loop", !node.always_run && others().any(|other| !waited_for(other)));
        has("always_run after always_run", node.always_run && others().any(|other| plan.is_always_run(other)));
    }
    let targets = definition.tasks.iter().flat_map(|task| &task.routes).map(|route| &route.target);
    has("route to a list", targets.into_iter().any(|to| matches!(to, RouteTarget::Tasks(list) if list.len() > 1)));
    has("fail_fast", definition.fail_fast);
    has("fail_on any_failure", definition.fail_on == FailOn::AnyFailure);
    has("job timeout", definition.timeout.is_some());
    has("resume_after", definition.resume_after.is_some());
    let retries = plan.job.retry.retries > 0;
    has("job retry from failed", retries && definition.retry_from == RetryFrom::Failed);
    has("job retry from start", retries && definition.retry_from == RetryFrom::Start);
    found
}

#[test]
fn the_generated_graphs_and_runs_reach_every_rule() {
    let all = Features { loops: true, always_run: true, stops: true, pauses: true, job_retry: true };
    let mut reached: BTreeMap<String, u32> = BTreeMap::new();
    for seed in 20_000..21_000 {
        let definition = definition(mix(seed), all);
        let Ok((plan, _)) = Plan::build(&definition) else { continue };
        for feature in features_of(&definition, &plan) {
            *reached.entry(feature.to_owned()).or_default() += 1;
        }
        let mut random = Random(mix(seed));
        for _ in 0..3 {
            let world = World {
                unreliable: random.chance(50),
                pauses: random.chance(40),
                cancels: random.chance(25),
                restarts: false,
                waits: random.chance(50),
            };
            let mut driver = Driver::new(&plan, mix(seed), random.next());
            let end = driver.play(world).unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
            if end.state == JobState::Failed {
                driver
                    .command(Event::RetryFailedRequested, world)
                    .unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
            }
            for (what, count) in driver.seen {
                *reached.entry(what).or_default() += count;
            }
        }
    }
    let missing: Vec<_> = GRAPHS
        .iter()
        .chain(RUNS)
        .map(|what| (*what, reached.get(*what).copied().unwrap_or_default()))
        .filter(|(_, count)| *count < AT_LEAST)
        .collect();
    assert!(missing.is_empty(), "reached too seldom: {missing:?}\nof {reached:#?}");
}
