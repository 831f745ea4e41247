//! Definitions without YAML, and random numbers that a seed repeats.

use std::time::Duration;

use crate::definition::{
    Condition, Dependency, FailOn, FanOut, Field, InheritEnv, JobDefinition, Method, Priority, Program, Retention,
    RetryDelay, RetryFrom, RetryPolicy, Route, RouteMatch, RouteTarget, ShellOptions, Span, TaskDefinition,
    TemplateText, VariableValue,
};

pub(crate) fn job(tasks: Vec<TaskDefinition>) -> JobDefinition {
    JobDefinition {
        job_type: "test".to_owned(),
        version: None,
        description: None,
        labels: indexmap::IndexMap::new(),
        params: indexmap::IndexMap::new(),
        job_variables: indexmap::IndexMap::new(),
        environment: indexmap::IndexMap::new(),
        schedule: None,
        triggers: Vec::new(),
        skip_if: None,
        max_concurrency: None,
        concurrency: None,
        priority: Priority::Normal,
        user_key: None,
        timeout: None,
        retry: retries(0),
        retry_from: RetryFrom::Failed,
        fail_on: FailOn::Unhandled,
        fail_fast: false,
        resume_after: None,
        workspace: None,
        inherit_env: InheritEnv::None,
        retention: Retention::default(),
        outcome: None,
        notify: Vec::new(),
        budget: None,
        tasks,
    }
}

pub(crate) fn retries(count: u32) -> RetryPolicy {
    RetryPolicy { retries: Field::Value(count), delay: RetryDelay::default(), retry_on: Vec::new() }
}

pub(crate) fn task(name: &str) -> TaskDefinition {
    TaskDefinition {
        name: name.to_owned(),
        span: Span::default(),
        description: None,
        method: Method::Shell(ShellOptions {
            before_script: Vec::new(),
            script: Vec::new(),
            after_script: Vec::new(),
            program: Program::DefaultShell,
            tty: false,
        }),
        env_from: Vec::new(),
        environment: indexmap::IndexMap::new(),
        dependencies: None,
        routes: Vec::new(),
        always_run: false,
        allow_failure: false,
        when: None,
        timeout: Field::Value(Duration::from_hours(1)),
        idle_timeout: None,
        queue_timeout: None,
        kill_grace: Field::Value(Duration::from_secs(10)),
        retry: retries(0),
        max_visits: None,
        fan_out: None,
        artifacts: None,
        cache: None,
        outputs: Vec::new(),
        report_stdout: true,
        priority: None,
        tags: Vec::new(),
    }
}

/// Over items that the driver makes up.
pub(crate) fn fan_out() -> FanOut {
    FanOut {
        items: VariableValue::List(Vec::new()),
        item_var: "item".to_owned(),
        key: None,
        max_parallel: None,
        fail_fast: false,
        span: Span::default(),
    }
}

pub(crate) fn depends(on: &str, optional: bool) -> Dependency {
    Dependency { task: on.to_owned(), optional, artifacts: true, span: Span::default() }
}

pub(crate) fn route(matches: RouteMatch, target: RouteTarget) -> Route {
    Route { matches, target, max: None, span: Span::default() }
}

pub(crate) fn condition() -> Condition {
    let template = TemplateText { source: "{{ x }}".to_owned(), span: Span::default() };
    Condition { template, negated: false }
}

/// SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    /// True in `percent` of cases.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
