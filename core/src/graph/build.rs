//! From a definition to a plan.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::time::Duration;

use super::loops::{Arc, ArcKind, Loops, Role, find};
use super::plan::{
    DelayPlan, Edge, EdgeKind, FanOutPlan, JobPolicy, LoopPlan, Plan, PlanDependency, PlanRoute, PlanTarget, PlanTask,
    ROOT, RetryPlan, RouteLimit,
};
use crate::definition::{Diagnostic, Field, JobDefinition, RetryDelay, RetryPolicy, RouteTarget, Severity, Span};
use crate::engine::TaskIndex;

/// Unknown names for which a similar one is looked for; the comparison is with every task.
const MAX_SUGGESTIONS: usize = 200;

pub(super) fn build(definition: &JobDefinition) -> Result<(Plan, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut names = HashMap::with_capacity(definition.tasks.len());
    for (index, task) in (0..).zip(&definition.tasks) {
        names.entry(task.name.clone()).or_insert(TaskIndex(index));
    }
    let mut problems = unknown_tasks(definition, &names);
    let connections = connect(definition, &names);
    let (loops, cycles) = find(&definition.tasks, &connections.arcs);
    problems.extend(cycles);

    let mut plan = assemble(definition, names, &connections, &loops);
    problems.extend(super::checks::check(definition, &plan, &connections));
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        problems.sort_by_key(|problem| problem.span.start);
        return Err(problems);
    }
    plan.final_order = final_order(&plan);
    problems.sort_by_key(|problem| problem.span.start);
    Ok((plan, problems))
}

/// The edges between known tasks, before loops are known.
pub(super) struct Connections {
    pub(super) arcs: Vec<Arc>,
    optional: Vec<bool>,
}

fn connect(definition: &JobDefinition, names: &HashMap<String, TaskIndex>) -> Connections {
    let mut connections = Connections { arcs: Vec::new(), optional: Vec::new() };
    let mut seen: HashMap<(u32, u32), usize> = HashMap::new();
    for (to, task) in (0..).zip(&definition.tasks) {
        let kind = if task.always_run { ArcKind::Order } else { ArcKind::Dependency };
        for dependency in task.dependencies.iter().flatten() {
            let Some(from) = names.get(&dependency.task).map(|from| from.0) else { continue };
            if from == to {
                continue;
            }
            if let Some(first) = seen.get(&(from, to)) {
                connections.optional[*first] &= dependency.optional;
                continue;
            }
            seen.insert((from, to), connections.arcs.len());
            connections.arcs.push(Arc { from, to, kind });
            connections.optional.push(dependency.optional);
        }
    }
    let mut seen = HashSet::new();
    for (from, task) in (0..).zip(&definition.tasks) {
        for route in &task.routes {
            let RouteTarget::Tasks(targets) = &route.target else { continue };
            for to in targets.iter().filter_map(|target| names.get(target)).map(|to| to.0) {
                if seen.insert((from, to)) {
                    connections.arcs.push(Arc { from, to, kind: ArcKind::Route });
                    connections.optional.push(false);
                }
            }
        }
    }
    connections
}

fn assemble(
    definition: &JobDefinition,
    names: HashMap<String, TaskIndex>,
    connections: &Connections,
    loops: &Loops,
) -> Plan {
    let mut plan = Plan {
        tasks: Vec::with_capacity(definition.tasks.len()),
        edges: Vec::with_capacity(connections.arcs.len()),
        loops: Vec::with_capacity(loops.found.len()),
        names,
        job: JobPolicy {
            timeout: definition.timeout.as_ref().map(|timeout| known(timeout, Duration::MAX)),
            resume_after: definition.resume_after.as_ref().map(|after| known(after, Duration::MAX)),
            retry: retry_plan(&definition.retry),
            retry_from: definition.retry_from,
            fail_on: definition.fail_on,
            fail_fast: definition.fail_fast,
        },
        final_order: Vec::new(),
        limited_routes: 0,
    };
    for found in &loops.found {
        plan.loops.push(LoopPlan {
            parent: found.parent,
            depth: found.depth,
            header: TaskIndex(found.header),
            max_visits: definition.tasks.get(found.header as usize).and_then(|task| task.max_visits).unwrap_or(1),
            tasks: found.tasks.iter().copied().map(TaskIndex).collect(),
            ..LoopPlan::default()
        });
    }
    for index in 1..plan.loops.len() {
        let parent = plan.loops[index].parent;
        plan.loops[parent].children.push(index);
        plan.loops[parent].items += 1;
    }
    for (task, in_loop) in definition.tasks.iter().zip(&loops.in_loop) {
        if !task.always_run {
            plan.loops[*in_loop].items += 1;
        }
        plan.tasks.push(PlanTask {
            name: task.name.clone(),
            always_run: task.always_run,
            allow_failure: task.allow_failure,
            has_condition: task.when.is_some() && !task.always_run,
            retry: retry_plan(&task.retry),
            fan_out: task.fan_out.as_ref().map(|fan_out| FanOutPlan {
                max_parallel: fan_out.max_parallel.as_ref().map(|most| known(most, u32::MAX)),
                fail_fast: fan_out.fail_fast,
            }),
            queue_timeout: task
                .queue_timeout
                .as_ref()
                .filter(|_| task.method.runs_on_ant())
                .map(|timeout| known(timeout, Duration::MAX)),
            routes: Vec::new(),
            dependencies: task
                .dependencies
                .iter()
                .flatten()
                .filter_map(|dependency| {
                    Some(PlanDependency {
                        task: *plan.names.get(&dependency.task)?,
                        artifacts: dependency.artifacts,
                        optional: dependency.optional,
                    })
                })
                .collect(),
            in_loop: *in_loop,
            entry: false,
            route_sources: Vec::new(),
            incoming: Vec::new(),
            outgoing: Vec::new(),
            has_route_edges: false,
        });
    }
    plan.loops[ROOT].tasks = plan.tasks().filter(|task| !plan.task(*task).always_run).collect();
    add_edges(&mut plan, connections, loops);
    add_routes(&mut plan, definition);
    for task in 0..plan.tasks.len() {
        let node = &plan.tasks[task];
        let mut entered = false;
        let mut at = node.in_loop;
        while at != ROOT {
            entered |= plan.loops[at].entered;
            at = plan.loops[at].parent;
        }
        plan.tasks[task].entry = node.incoming.is_empty() && !node.always_run && !entered;
    }
    plan
}

fn add_edges(plan: &mut Plan, connections: &Connections, loops: &Loops) {
    for (index, arc) in connections.arcs.iter().enumerate() {
        let kind = match arc.kind {
            ArcKind::Order => continue,
            ArcKind::Route => EdgeKind::Route,
            ArcKind::Dependency => EdgeKind::Dependency { optional: connections.optional[index] },
        };
        let (from, to) = (TaskIndex(arc.from), TaskIndex(arc.to));
        if kind == EdgeKind::Route {
            plan.tasks[to.0 as usize].route_sources.push(from);
        }
        let back_of = match loops.roles[index] {
            Role::Closing => continue,
            Role::Forward => None,
            Role::Back(of) => Some(of),
        };
        let mut exits = ROOT;
        let mut at = plan.task(from).in_loop;
        while !plan.contains(at, to) {
            exits = at;
            at = plan.loops[at].parent;
        }
        let edge = plan.edges.len();
        plan.edges.push(Edge { from, to, kind, exits, back_of });
        plan.tasks[from.0 as usize].outgoing.push(edge);
        if exits != ROOT {
            plan.loops[exits].exit_edges.push(edge);
        }
        if back_of.is_none() {
            let target = &mut plan.tasks[to.0 as usize];
            target.incoming.push(edge);
            target.has_route_edges |= kind == EdgeKind::Route;
            let mut entered = plan.task(to).in_loop;
            while !plan.contains(entered, from) {
                plan.loops[entered].entered = true;
                entered = plan.loops[entered].parent;
            }
        }
    }
}

fn add_routes(plan: &mut Plan, definition: &JobDefinition) {
    for (index, task) in (0..).zip(&definition.tasks) {
        let mut routes = Vec::with_capacity(task.routes.len());
        for route in &task.routes {
            let (target, scope) = match &route.target {
                RouteTarget::Tasks(targets) => {
                    let tasks: Vec<TaskIndex> = targets.iter().filter_map(|target| plan.task_index(target)).collect();
                    let scope = tasks.first().map_or(ROOT, |target| common_loop(plan, TaskIndex(index), *target));
                    (PlanTarget::Tasks { tasks, scope }, scope)
                }
                word => (PlanTarget::Word(word.clone()), plan.task(TaskIndex(index)).in_loop),
            };
            let limit = route.max.map(|max| {
                let counter = plan.limited_routes;
                plan.limited_routes += 1;
                plan.loops[scope].counters.push(counter);
                RouteLimit { counter, max }
            });
            routes.push(PlanRoute { matches: route.matches.clone(), target, limit });
        }
        plan.tasks[index as usize].routes = routes;
    }
}

/// The innermost loop that has both tasks.
pub(super) fn common_loop(plan: &Plan, one: TaskIndex, other: TaskIndex) -> usize {
    let mut at = plan.task(one).in_loop;
    while !plan.contains(at, other) {
        at = plan.loops[at].parent;
    }
    at
}

fn final_order(plan: &Plan) -> Vec<TaskIndex> {
    let waits_for = |task: TaskIndex| {
        plan.task(task)
            .dependencies
            .iter()
            .map(|dependency| dependency.task)
            .filter(move |other| *other != task && plan.task(*other).always_run)
    };
    let mut missing: HashMap<TaskIndex, usize> = HashMap::new();
    let mut followers: HashMap<TaskIndex, Vec<TaskIndex>> = HashMap::new();
    let mut free = BinaryHeap::new();
    for task in plan.tasks().filter(|task| plan.task(*task).always_run) {
        let before: HashSet<TaskIndex> = waits_for(task).collect();
        if before.is_empty() {
            free.push(Reverse(task));
        }
        missing.insert(task, before.len());
        for other in before {
            followers.entry(other).or_default().push(task);
        }
    }
    let mut order = Vec::with_capacity(missing.len());
    while let Some(Reverse(task)) = free.pop() {
        order.push(task);
        for follower in followers.remove(&task).into_iter().flatten() {
            if let Some(count) = missing.get_mut(&follower) {
                *count -= 1;
                if *count == 0 {
                    free.push(Reverse(follower));
                }
            }
        }
    }
    order
}

fn retry_plan(policy: &RetryPolicy) -> RetryPlan {
    RetryPlan {
        retries: known(&policy.retries, 0),
        delay: match &policy.delay {
            RetryDelay::Constant(delay) => DelayPlan::Constant(known(delay, Duration::ZERO)),
            RetryDelay::Exponential { initial, factor, max, jitter } => {
                DelayPlan::Exponential { initial: *initial, factor: *factor, max: *max, jitter: *jitter }
            }
        },
        retry_on: policy.retry_on.clone(),
    }
}

/// The value, or while it is a template (a definition is checked before its parameters are known) the one given.
fn known<T: Clone>(field: &Field<T>, otherwise: T) -> T {
    field.value().cloned().unwrap_or(otherwise)
}

fn unknown_tasks(definition: &JobDefinition, names: &HashMap<String, TaskIndex>) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let mut unknown = |name: &str, span: Span, what: String| {
        let mut problem =
            Diagnostic::error("E-UNKNOWN-TASK", span, format!("{what} names task \"{name}\", which does not exist"));
        let similar = if problems.len() < MAX_SUGGESTIONS { most_similar(name, definition) } else { None };
        problem = match similar {
            Some(similar) => problem.with_help(format!("did you mean \"{similar}\"?")),
            None => problem.with_help("declare a task with this `task_type`, or correct the name"),
        };
        problems.push(problem);
    };
    for task in &definition.tasks {
        for dependency in task.dependencies.iter().flatten() {
            if !names.contains_key(&dependency.task) {
                unknown(&dependency.task, dependency.span, format!("a dependency of task \"{}\"", task.name));
            }
        }
        for route in &task.routes {
            let RouteTarget::Tasks(targets) = &route.target else { continue };
            for target in targets.iter().filter(|target| !names.contains_key(*target)) {
                unknown(target, route.span, format!("a route of task \"{}\"", task.name));
            }
        }
    }
    problems
}

fn most_similar<'a>(name: &str, definition: &'a JobDefinition) -> Option<&'a str> {
    definition
        .tasks
        .iter()
        .map(|task| (strsim::jaro_winkler(name, &task.name), task.name.as_str()))
        .filter(|(similarity, _)| *similarity >= 0.8)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, similar)| similar)
}
