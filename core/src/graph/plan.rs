//! The plan: everything that the engine needs to know about a definition, by index.

use std::collections::HashMap;
use std::time::Duration;

use crate::definition::{Diagnostic, FailOn, JobDefinition, RetryFrom, RouteMatch, RouteTarget};
use crate::engine::{AttemptResult, TaskIndex};

/// A compiled definition. The engine decides with it alone; it has no templates and no names of files.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) tasks: Vec<PlanTask>,
    pub(crate) edges: Vec<Edge>,
    /// The first is no loop: it stands for the whole job.
    pub(crate) loops: Vec<LoopPlan>,
    pub(crate) names: HashMap<String, TaskIndex>,
    pub(crate) job: JobPolicy,
    /// The `always_run` tasks in the order of the final phase.
    pub(crate) final_order: Vec<TaskIndex>,
    /// How many routes have a `max`: their uses are counted.
    pub(crate) limited_routes: usize,
}

/// What the job keys say about control flow.
#[derive(Debug, Clone)]
pub(crate) struct JobPolicy {
    pub(crate) timeout: Option<Duration>,
    pub(crate) resume_after: Option<Duration>,
    pub(crate) retry: RetryPlan,
    pub(crate) retry_from: RetryFrom,
    pub(crate) fail_on: FailOn,
    pub(crate) fail_fast: bool,
}

/// A retry policy whose fields are known.
#[derive(Debug, Clone)]
pub(crate) struct RetryPlan {
    pub(crate) retries: u32,
    pub(crate) delay: DelayPlan,
    pub(crate) retry_on: Vec<RouteMatch>,
}

#[derive(Debug, Clone)]
pub(crate) enum DelayPlan {
    Constant(Duration),
    Exponential { initial: Duration, factor: f64, max: Duration, jitter: bool },
}

/// Index of a loop in [`Plan::loops`].
pub(crate) type LoopIndex = usize;
/// Index of an edge in [`Plan::edges`].
pub(crate) type EdgeIndex = usize;

/// The whole job, seen as the outermost round.
pub(crate) const ROOT: LoopIndex = 0;

#[derive(Debug, Clone)]
pub(crate) struct PlanTask {
    pub(crate) name: String,
    pub(crate) always_run: bool,
    pub(crate) allow_failure: bool,
    pub(crate) has_condition: bool,
    pub(crate) retry: RetryPlan,
    pub(crate) fan_out: Option<FanOutPlan>,
    /// None for methods that the queen performs.
    pub(crate) queue_timeout: Option<Duration>,
    pub(crate) routes: Vec<PlanRoute>,
    pub(crate) dependencies: Vec<PlanDependency>,
    /// Innermost loop that it is in.
    pub(crate) in_loop: LoopIndex,
    /// Starts with the job.
    pub(crate) entry: bool,
    /// The tasks with a route to it, back edges too.
    pub(crate) route_sources: Vec<TaskIndex>,
    /// Forward edges into it: its join.
    pub(crate) incoming: Vec<EdgeIndex>,
    /// All edges out of it, back edges too; no loop-closing dependencies.
    pub(crate) outgoing: Vec<EdgeIndex>,
    /// Its join has a route edge.
    pub(crate) has_route_edges: bool,
}

/// What the engine needs to know about a `fan_out`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FanOutPlan {
    /// Instances that may have an open attempt at once.
    pub(crate) max_parallel: Option<u32>,
    pub(crate) fail_fast: bool,
}

/// A dependency as the definition lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanDependency {
    /// The task that it names; the task itself for its own latest earlier attempt.
    pub task: TaskIndex,
    /// Whether its artifacts are downloaded.
    pub artifacts: bool,
    /// Whether any outcome satisfies it.
    pub optional: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct PlanRoute {
    pub(crate) matches: RouteMatch,
    pub(crate) target: PlanTarget,
    pub(crate) limit: Option<RouteLimit>,
}

/// `{goto, max}`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RouteLimit {
    /// Index of the counter.
    pub(crate) counter: usize,
    pub(crate) max: u32,
}

/// [`RouteTarget`] with task indexes.
#[derive(Debug, Clone)]
pub(crate) enum PlanTarget {
    Tasks { tasks: Vec<TaskIndex>, scope: LoopIndex },
    Word(RouteTarget),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Edge {
    pub(crate) from: TaskIndex,
    pub(crate) to: TaskIndex,
    pub(crate) kind: EdgeKind,
    /// The outermost loop that has its source and not its target: it resolves when that loop has ended. `ROOT` for an
    /// edge that resolves as soon as its source settles.
    pub(crate) exits: LoopIndex,
    /// The loop whose next round it begins.
    pub(crate) back_of: Option<LoopIndex>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum EdgeKind {
    Route,
    Dependency { optional: bool },
}

#[derive(Debug, Clone, Default)]
pub(crate) struct LoopPlan {
    pub(crate) parent: LoopIndex,
    pub(crate) depth: usize,
    pub(crate) header: TaskIndex,
    pub(crate) max_visits: u32,
    /// All its tasks, those of inner loops too; never `always_run` ones.
    pub(crate) tasks: Vec<TaskIndex>,
    /// The loops directly in it.
    pub(crate) children: Vec<LoopIndex>,
    /// Its tasks outside inner loops, plus its inner loops: what must settle before a round is over.
    pub(crate) items: usize,
    /// The edges that resolve when it has ended.
    pub(crate) exit_edges: Vec<EdgeIndex>,
    /// Counters of the routes whose uses are counted per entry into it.
    pub(crate) counters: Vec<usize>,
    /// Some forward edge from outside leads into it.
    pub(crate) entered: bool,
}

impl Plan {
    /// Compiles a checked definition; warnings come with success.
    pub fn build(definition: &JobDefinition) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        super::build::build(definition)
    }

    /// Makes every growing delay exactly as long as it may be.
    pub(crate) fn without_jitter(&mut self) {
        for policy in self.tasks.iter_mut().map(|task| &mut task.retry).chain([&mut self.job.retry]) {
            if let DelayPlan::Exponential { jitter, .. } = &mut policy.delay {
                *jitter = false;
            }
        }
    }

    /// How many tasks there are.
    #[expect(clippy::len_without_is_empty, reason = "a plan has at least one task")]
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// The task of this name.
    pub fn task_index(&self, name: &str) -> Option<TaskIndex> {
        self.names.get(name).copied()
    }

    /// The task's name.
    pub fn task_name(&self, task: TaskIndex) -> &str {
        &self.task(task).name
    }

    /// All tasks, in declaration order.
    pub fn tasks(&self) -> impl Iterator<Item = TaskIndex> + use<> {
        (0..u32::try_from(self.tasks.len()).unwrap_or(u32::MAX)).map(TaskIndex)
    }

    /// The task's dependencies in declared order, with those that close a loop and the task itself.
    pub fn dependencies(&self, task: TaskIndex) -> &[PlanDependency] {
        &self.task(task).dependencies
    }

    /// Whether the task is done once per item.
    pub fn is_fan_out(&self, task: TaskIndex) -> bool {
        self.task(task).fan_out.is_some()
    }

    /// Whether the task runs in any case.
    pub fn is_always_run(&self, task: TaskIndex) -> bool {
        self.task(task).always_run
    }

    /// Whether some path of edges, those that close a loop too, leads from `ancestor` to `task`. `always_run` tasks
    /// without routes run last: everything is before them.
    pub fn is_ancestor(&self, ancestor: TaskIndex, task: TaskIndex) -> bool {
        let end = self.task(task);
        if end.always_run && ancestor != task && !self.task(ancestor).always_run {
            return true;
        }
        let mut seen = vec![false; self.tasks.len()];
        let mut stack = vec![task];
        while let Some(next) = stack.pop() {
            let node = self.task(next);
            let dependencies = node.dependencies.iter().map(|dependency| dependency.task);
            for source in dependencies.chain(node.route_sources.iter().copied()) {
                if source == ancestor {
                    return true;
                }
                if !std::mem::replace(&mut seen[source.0 as usize], true) {
                    stack.push(source);
                }
            }
        }
        false
    }

    pub(crate) fn task(&self, task: TaskIndex) -> &PlanTask {
        &self.tasks[task.0 as usize]
    }

    /// Whether the loop, or one inside it, has the task.
    pub(crate) fn contains(&self, outer: LoopIndex, task: TaskIndex) -> bool {
        let mut at = self.task(task).in_loop;
        while self.loops[at].depth > self.loops[outer].depth {
            at = self.loops[at].parent;
        }
        at == outer
    }
}

/// Whether a route's match or a `retry_on` entry names this result directly: by code, range or result name.
pub(crate) fn names_result(matches: &RouteMatch, result: AttemptResult) -> bool {
    match (matches, result) {
        (RouteMatch::Code(code), _) => result.exit_code() == Some(*code),
        (RouteMatch::Range(first, last), _) => result.exit_code().is_some_and(|code| (*first..=*last).contains(&code)),
        (RouteMatch::Result(name), AttemptResult::Named(result)) => *name == result,
        (RouteMatch::Agent(class), AttemptResult::Agent(result)) => *class == result,
        _ => false,
    }
}
