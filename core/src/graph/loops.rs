//! Finding loops: maximal sets of tasks that reach one another, their headers and back edges, and the loops inside them.

use std::collections::HashMap;

use super::components::{Pair, components, cycle_through, has_cycle, reached_from};
use crate::definition::{Diagnostic, TaskDefinition};

/// Loops nested deeper than this are refused: nobody can follow them, and finding them costs a pass each.
const MAX_DEPTH: usize = 64;

/// An edge as loops see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arc {
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) kind: ArcKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArcKind {
    Route,
    Dependency,
    /// A dependency of an `always_run` task: orders the final phase, never starts anything.
    Order,
}

/// What an arc turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Forward,
    /// Begins the next round of this loop.
    Back(usize),
    /// A dependency that closes a cycle: not waited for.
    Closing,
}

#[derive(Debug)]
pub(super) struct FoundLoop {
    pub(super) parent: usize,
    pub(super) depth: usize,
    pub(super) header: u32,
    pub(super) tasks: Vec<u32>,
}

/// All loops of a definition. Index 0 is no loop but the whole job.
#[derive(Debug)]
pub(super) struct Loops {
    pub(super) found: Vec<FoundLoop>,
    pub(super) in_loop: Vec<usize>,
    pub(super) roles: Vec<Role>,
}

/// A set of tasks in which loops are still to be found.
struct Region {
    tasks: Vec<u32>,
    arcs: Vec<usize>,
    parent: usize,
}

struct Finder<'a> {
    tasks: &'a [TaskDefinition],
    arcs: &'a [Arc],
    incoming: Vec<Vec<usize>>,
    loops: Loops,
    /// Which component a task was last seen in.
    member_of: Vec<usize>,
    components_seen: usize,
    problems: Vec<Diagnostic>,
}

pub(super) fn find(tasks: &[TaskDefinition], arcs: &[Arc]) -> (Loops, Vec<Diagnostic>) {
    let mut incoming = vec![Vec::new(); tasks.len()];
    for (index, arc) in arcs.iter().enumerate() {
        incoming[arc.to as usize].push(index);
    }
    let root = FoundLoop { parent: 0, depth: 0, header: 0, tasks: Vec::new() };
    let mut finder = Finder {
        tasks,
        arcs,
        incoming,
        loops: Loops { found: vec![root], in_loop: vec![0; tasks.len()], roles: vec![Role::Forward; arcs.len()] },
        member_of: vec![0; tasks.len()],
        components_seen: 0,
        problems: Vec::new(),
    };
    let everything = (0..u32::try_from(tasks.len()).unwrap_or(u32::MAX)).collect();
    let mut regions = vec![Region { tasks: everything, arcs: (0..arcs.len()).collect(), parent: 0 }];
    while let Some(region) = regions.pop() {
        finder.search(&region, &mut regions);
    }
    (finder.loops, finder.problems)
}

impl Finder<'_> {
    fn search(&mut self, region: &Region, regions: &mut Vec<Region>) {
        let pairs = self.pairs(&region.arcs, |_| true);
        let mut cyclic = components(&region.tasks, &pairs);
        let looping: std::collections::HashSet<u32> =
            pairs.iter().filter(|(from, to)| from == to).map(|(from, _)| *from).collect();
        cyclic.retain(|component| component.len() > 1 || looping.contains(&component[0]));
        cyclic.sort_unstable_by_key(|component| component[0]);
        let first = self.components_seen + 1;
        for component in &cyclic {
            self.components_seen += 1;
            for task in component {
                self.member_of[*task as usize] = self.components_seen;
            }
        }
        let mut inner = vec![Vec::new(); cyclic.len()];
        for index in &region.arcs {
            let arc = self.arcs[*index];
            let component = self.member_of[arc.from as usize];
            if component >= first && component == self.member_of[arc.to as usize] {
                inner[component - first].push(*index);
            }
        }
        for (offset, (component, arcs)) in cyclic.into_iter().zip(inner).enumerate() {
            if let Some(next) = self.resolve(component, arcs, region.parent, first + offset) {
                regions.push(next);
            }
        }
    }

    /// Makes a loop of a component, or takes a closing dependency out of it, and says what is left to search.
    fn resolve(&mut self, tasks: Vec<u32>, arcs: Vec<usize>, parent: usize, component: usize) -> Option<Region> {
        if let Some(task) = tasks.iter().find(|task| self.tasks[**task as usize].always_run) {
            self.report_always_run(*task, &tasks, &arcs);
            return None;
        }
        if let Some(header) = self.header(&tasks, &arcs, component) {
            let depth = self.loops.found[parent].depth + 1;
            if depth > MAX_DEPTH {
                let task = &self.tasks[header as usize];
                self.problems.push(
                    Diagnostic::error(
                        "E-LOOP-DEPTH",
                        task.span,
                        format!("the loop of task \"{}\" is nested more than {MAX_DEPTH} loops deep", task.name),
                    )
                    .with_help("move the inner loops into a job of their own"),
                );
                return None;
            }
            let index = self.loops.found.len();
            let mut left = Vec::with_capacity(arcs.len());
            for arc in arcs {
                if self.arcs[arc].to != header {
                    left.push(arc);
                } else if self.arcs[arc].kind == ArcKind::Route {
                    self.loops.roles[arc] = Role::Back(index);
                } else {
                    self.loops.roles[arc] = Role::Closing;
                }
            }
            for task in &tasks {
                self.loops.in_loop[*task as usize] = index;
            }
            self.loops.found.push(FoundLoop { parent, depth, header, tasks: tasks.clone() });
            return Some(Region { tasks, arcs: left, parent: index });
        }
        if let Some(left) = self.without_closing_dependencies(&tasks, &arcs) {
            return Some(Region { tasks, arcs: left, parent });
        }
        self.report_cycle(&tasks, &arcs, component);
        None
    }

    /// The first declared task with `max_visits` that an edge enters from outside; failing that the first with
    /// `max_visits`. A task that no route comes round to is no header.
    fn header(&self, tasks: &[u32], arcs: &[usize], component: usize) -> Option<u32> {
        let comes_round: std::collections::HashSet<u32> =
            arcs.iter().map(|arc| self.arcs[*arc]).filter(|arc| arc.kind == ArcKind::Route).map(|arc| arc.to).collect();
        let bounded = || {
            tasks
                .iter()
                .copied()
                .filter(|task| self.tasks[*task as usize].max_visits.is_some() && comes_round.contains(task))
        };
        bounded().find(|task| self.is_entered(*task, component)).or_else(|| bounded().next())
    }

    fn is_entered(&self, task: u32, component: usize) -> bool {
        self.incoming[task as usize].iter().any(|arc| {
            self.loops.roles[*arc] != Role::Closing && self.member_of[self.arcs[*arc].from as usize] != component
        })
    }

    /// In a cycle without a header, a dependency whose source comes after the task by routes closes the cycle.
    fn without_closing_dependencies(&mut self, tasks: &[u32], arcs: &[usize]) -> Option<Vec<usize>> {
        let routes = self.pairs(arcs, |kind| kind == ArcKind::Route);
        if has_cycle(tasks, &routes) {
            return None;
        }
        let mut outgoing: HashMap<u32, Vec<u32>> = HashMap::new();
        for (from, to) in routes {
            outgoing.entry(from).or_default().push(to);
        }
        let mut reached = HashMap::new();
        let mut left = Vec::with_capacity(arcs.len());
        for index in arcs {
            let arc = self.arcs[*index];
            let closes = arc.kind == ArcKind::Dependency
                && outgoing.contains_key(&arc.to)
                && reached.entry(arc.to).or_insert_with(|| reached_from(arc.to, &outgoing)).contains(&arc.from);
            if closes {
                self.loops.roles[*index] = Role::Closing;
            } else {
                left.push(*index);
            }
        }
        (left.len() < arcs.len()).then_some(left)
    }

    fn report_always_run(&mut self, task: u32, tasks: &[u32], arcs: &[usize]) {
        let definition = &self.tasks[task as usize];
        let ordering = self.pairs(arcs, |kind| kind != ArcKind::Route);
        if has_cycle(tasks, &ordering) {
            let cycle = self.describe(&cycle_through(task, &self.pairs(arcs, |_| true)));
            self.problems.push(
                Diagnostic::error(
                    "E-DEPENDENCY-CYCLE",
                    definition.span,
                    format!("these dependencies form a cycle: {cycle}"),
                )
                .with_help("remove one of them"),
            );
        } else {
            self.problems.push(
                Diagnostic::error(
                    "E-ALWAYS-RUN-LOOP",
                    definition.span,
                    format!("task \"{}\" is always_run and cannot be in a loop: it runs once", definition.name),
                )
                .with_help("take the route back out of it, or remove always_run"),
            );
        }
    }

    fn report_cycle(&mut self, tasks: &[u32], arcs: &[usize], component: usize) {
        let dependencies = self.pairs(arcs, |kind| kind != ArcKind::Route);
        let alone = components(tasks, &dependencies).into_iter().find(|component| component.len() > 1);
        if let Some(alone) = alone {
            let inside: Vec<Pair> = dependencies
                .into_iter()
                .filter(|(from, to)| alone.binary_search(from).is_ok() && alone.binary_search(to).is_ok())
                .collect();
            let cycle = self.describe(&cycle_through(alone[0], &inside));
            let task = &self.tasks[alone[0] as usize];
            self.problems.push(
                Diagnostic::error("E-DEPENDENCY-CYCLE", task.span, format!("these dependencies form a cycle: {cycle}"))
                    .with_help("remove one of them: none of these tasks could ever start"),
            );
            return;
        }
        let comes_round =
            |task: &&u32| arcs.iter().any(|arc| self.arcs[*arc].kind == ArcKind::Route && self.arcs[*arc].to == **task);
        let header = tasks
            .iter()
            .find(|task| comes_round(task) && self.is_entered(**task, component))
            .or_else(|| tasks.iter().find(comes_round))
            .copied()
            .unwrap_or(tasks[0]);
        let cycle = self.describe(&cycle_through(header, &self.pairs(arcs, |_| true)));
        let task = &self.tasks[header as usize];
        self.problems.push(
            Diagnostic::error(
                "E-UNBOUNDED-CYCLE",
                task.span,
                format!("this loop has no bound and could run for ever: {cycle}"),
            )
            .with_help(format!("add `max_visits` to task \"{}\", e.g. `max_visits: 3`", task.name)),
        );
    }

    fn describe(&self, cycle: &[u32]) -> String {
        let shown = 8;
        let mut names: Vec<&str> = cycle.iter().map(|task| self.tasks[*task as usize].name.as_str()).collect();
        if names.len() > shown + 2 {
            names.splice(shown..names.len() - 1, ["…"]);
        }
        names.join(" → ")
    }

    fn pairs(&self, arcs: &[usize], keep: impl Fn(ArcKind) -> bool) -> Vec<Pair> {
        arcs.iter().map(|arc| self.arcs[*arc]).filter(|arc| keep(arc.kind)).map(|arc| (arc.from, arc.to)).collect()
    }
}
