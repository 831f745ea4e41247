//! What a graph must be and what is suspicious about it.

use std::collections::{HashMap, HashSet};

use super::Plan;
use super::build::{Connections, common_loop};
use super::loops::ArcKind;
use super::plan::{EdgeKind, PlanTarget, ROOT};
use crate::definition::{Diagnostic, FailOn, JobDefinition, Route, RouteMatch, RouteTarget, TaskDefinition};
use crate::engine::{AgentClass, ResultName, TaskIndex};

pub(super) fn check(definition: &JobDefinition, plan: &Plan, connections: &Connections) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    unreachable_tasks(definition, plan, connections, &mut problems);
    split_routes(definition, plan, &mut problems);
    exclusive_dependencies(definition, plan, &mut problems);
    if definition.fail_on == FailOn::Unhandled {
        open_handlers(definition, plan, &mut problems);
    }
    problems
}

/// In a definition with routes, a task that nothing leads to was probably forgotten in a route.
fn unreachable_tasks(
    definition: &JobDefinition,
    plan: &Plan,
    connections: &Connections,
    problems: &mut Vec<Diagnostic>,
) {
    if !connections.arcs.iter().any(|arc| arc.kind == ArcKind::Route) {
        return;
    }
    let mut has_incoming = vec![false; plan.len()];
    let mut is_dependency = vec![false; plan.len()];
    for arc in &connections.arcs {
        has_incoming[arc.to as usize] |= arc.kind != ArcKind::Order;
        is_dependency[arc.from as usize] |= arc.kind != ArcKind::Route;
    }
    for (index, task) in definition.tasks.iter().enumerate() {
        let starts_with_job = task.dependencies.as_ref().is_some_and(Vec::is_empty);
        if index > 0 && !has_incoming[index] && !task.always_run && !is_dependency[index] && !starts_with_job {
            problems.push(
                Diagnostic::error(
                    "E-UNREACHABLE",
                    task.span,
                    format!("nothing leads to task \"{}\": no route names it and it has no dependencies", task.name),
                )
                .with_help(
                    "route to it, give it `dependencies`, or write `dependencies: []` if it starts with the job",
                ),
            );
        }
    }
    for child in &plan.loops[ROOT].children {
        let found = &plan.loops[*child];
        if !found.entered && found.tasks.first() != Some(&TaskIndex(0)) {
            let task = &definition.tasks[found.header.0 as usize];
            problems.push(
                Diagnostic::error(
                    "E-UNREACHABLE",
                    task.span,
                    format!("nothing leads into the loop of task \"{}\"", task.name),
                )
                .with_help("route into the loop from outside, or declare one of its tasks first"),
            );
        }
    }
}

fn split_routes(definition: &JobDefinition, plan: &Plan, problems: &mut Vec<Diagnostic>) {
    for (index, task) in plan.tasks().zip(&definition.tasks) {
        for (route, compiled) in task.routes.iter().zip(&plan.task(index).routes) {
            let PlanTarget::Tasks { tasks, scope } = &compiled.target else { continue };
            let Some(outside) = tasks.iter().find(|target| common_loop(plan, index, **target) != *scope) else {
                continue;
            };
            problems.push(
                Diagnostic::error(
                    "E-LOOP-SPLIT",
                    route.span,
                    format!(
                        "this route of task \"{}\" leads to \"{}\" and \"{}\", of which one stays in the loop and one leaves it",
                        task.name,
                        plan.task_name(tasks[0]),
                        plan.task_name(*outside),
                    ),
                )
                .with_help("a loop is left only when it has ended: route to one of them, or add a task in between"),
            );
        }
    }
}

/// Two dependencies that different routes of one task start: only one of them ever runs.
fn exclusive_dependencies(definition: &JobDefinition, plan: &Plan, problems: &mut Vec<Diagnostic>) {
    for (index, task) in plan.tasks().zip(&definition.tasks) {
        let node = plan.task(index);
        if node.has_route_edges || node.in_loop != ROOT {
            continue;
        }
        let mut by_source: HashMap<TaskIndex, TaskIndex> = HashMap::new();
        for edge in &node.incoming {
            let edge = plan.edges[*edge];
            if edge.kind != (EdgeKind::Dependency { optional: false }) {
                continue;
            }
            let dependency = plan.task(edge.from);
            let [only] = dependency.incoming.as_slice() else { continue };
            let source = plan.edges[*only].from;
            if plan.edges[*only].kind != EdgeKind::Route || plan.task(source).in_loop != ROOT {
                continue;
            }
            let Some(other) = by_source.insert(source, edge.from) else { continue };
            let together = plan.task(source).routes.iter().any(|route| {
                matches!(&route.target, PlanTarget::Tasks { tasks, .. } if tasks.contains(&edge.from) && tasks.contains(&other))
            });
            if together {
                continue;
            }
            let span = task
                .dependencies
                .iter()
                .flatten()
                .find(|dependency| dependency.task == plan.task_name(edge.from))
                .map_or(task.span, |dependency| dependency.span);
            problems.push(
                Diagnostic::warning(
                    "W-EXCLUSIVE-DEPENDENCIES",
                    span,
                    format!(
                        "task \"{}\" never runs: it depends on \"{}\" and \"{}\", and \"{}\" starts only one of them",
                        task.name,
                        plan.task_name(other),
                        plan.task_name(edge.from),
                        plan.task_name(source),
                    ),
                )
                .with_help("make them `optional: true`, or route to this task"),
            );
        }
    }
}

/// A failure that a route catches is no failure of the job unless its handler's path ends with END_FAILED or END_BLOCKED.
fn open_handlers(definition: &JobDefinition, plan: &Plan, problems: &mut Vec<Diagnostic>) {
    let mut ordinary = vec![false; plan.len()];
    let mut stack: Vec<TaskIndex> = plan.tasks().filter(|task| plan.task(*task).entry).collect();
    for task in &stack {
        ordinary[task.0 as usize] = true;
    }
    let follow = |task: TaskIndex, failures: bool| {
        let by_dependency = plan.task(task).outgoing.iter().map(|edge| plan.edges[*edge]);
        let by_dependency = by_dependency.filter(|edge| edge.kind != EdgeKind::Route).map(|edge| edge.to);
        let by_route = plan.task(task).routes.iter().filter(move |route| failures || may_be_success(&route.matches));
        let by_route = by_route.filter_map(|route| match &route.target {
            PlanTarget::Tasks { tasks, .. } => Some(tasks),
            PlanTarget::Word(_) => None,
        });
        by_dependency.chain(by_route.flatten().copied()).collect::<Vec<_>>()
    };
    while let Some(task) = stack.pop() {
        for next in follow(task, false) {
            if !std::mem::replace(&mut ordinary[next.0 as usize], true) {
                stack.push(next);
            }
        }
    }
    let mut reported = HashSet::new();
    let mut seen = vec![false; plan.len()];
    for (index, task) in plan.tasks().zip(&definition.tasks) {
        if !ordinary[index.0 as usize] {
            continue;
        }
        for route in task.routes.iter().filter(|route| !may_be_success(&route.matches)) {
            let handlers = handlers(plan, route);
            let mut stack: Vec<TaskIndex> =
                handlers.into_iter().filter(|handler| !ordinary[handler.0 as usize]).collect();
            while let Some(handler) = stack.pop() {
                if std::mem::replace(&mut seen[handler.0 as usize], true) {
                    continue;
                }
                if ends_openly(plan, handler, &definition.tasks[handler.0 as usize]) && reported.insert(handler) {
                    problems.push(open_handler(task, route, plan.task_name(handler)));
                }
                stack.extend(follow(handler, true).into_iter().filter(|next| !ordinary[next.0 as usize]));
            }
        }
    }
}

fn open_handler(task: &TaskDefinition, route: &Route, end: &str) -> Diagnostic {
    Diagnostic::warning(
        "W-HANDLER-WITHOUT-END",
        route.span,
        format!(
            "a failure of task \"{}\" that is handled here does not make the job fail: the path ends with \"{end}\" and COMPLETED",
            task.name,
        ),
    )
    .with_help(format!("give \"{end}\" `on_completed: END_FAILED`, END_BLOCKED or, if that is meant, END_COMPLETED"))
}

fn handlers(plan: &Plan, route: &Route) -> Vec<TaskIndex> {
    match &route.target {
        RouteTarget::Tasks(targets) => targets.iter().filter_map(|target| plan.task_index(target)).collect(),
        _ => Vec::new(),
    }
}

/// Whether the task's success ends its path without a word about the job.
fn ends_openly(plan: &Plan, task: TaskIndex, definition: &TaskDefinition) -> bool {
    let routed = definition.routes.iter().any(|route| may_be_success(&route.matches));
    let followed = plan.task(task).outgoing.iter().any(|edge| plan.edges[*edge].kind != EdgeKind::Route);
    !routed && !followed && !definition.always_run
}

fn may_be_success(matches: &RouteMatch) -> bool {
    match matches {
        RouteMatch::Code(code) => *code == 0,
        RouteMatch::Range(first, _) => *first == 0,
        RouteMatch::Completed | RouteMatch::Any => true,
        RouteMatch::Result(result) => *result == ResultName::Approved,
        RouteMatch::Agent(class) => *class == AgentClass::Done,
        RouteMatch::Failed => false,
    }
}
