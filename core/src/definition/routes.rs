//! Routes and dependencies of a task.

use std::time::Duration;

use super::keys::{LONG_DEPENDENCY, LONG_ROUTE};
use super::names::{WORDS, is_special_word};
use super::scalar::{Meaning, shortened};
use super::tree::{Entry, Kind, Node};
use super::walk::{Keys, Walk, Zero};
use super::{Condition, Dependency, Diagnostic, Field, Route, RouteMatch, RouteTarget, Span, code};
use crate::engine::{AgentClass, ResultName};

/// `RESCHEDULE` without a time.
const RESCHEDULE_AFTER: Duration = Duration::from_mins(2);
/// How long a task may be rescheduled when nothing is said.
const RESCHEDULE_UNTIL: Duration = Duration::from_hours(14 * 24);

/// All codes, the ranges between them, the results and the words: nobody needs more.
const MOST_ROUTES: usize = 400;

impl Walk {
    /// `on_completed`, `on_failed` and `on_exit_code`, checked for overlaps.
    pub(super) fn routes(&mut self, keys: &mut Keys<'_, '_>) -> Vec<Route> {
        let mut routes: Vec<Route> = Vec::new();
        for (key, matches) in [("on_completed", RouteMatch::Completed), ("on_failed", RouteMatch::Failed)] {
            if let Some(entry) = keys.take(key) {
                self.route(key, matches, entry, &mut routes);
            }
        }
        if let Some(entry) = keys.take("on_exit_code") {
            let entries = self.mapping("on_exit_code", &entry.value).unwrap_or_default();
            if entries.len() > MOST_ROUTES {
                self.problems.error(
                    code::ROUTE_OVERLAP,
                    entry.key_span,
                    format!("{} routes are more than there are results", entries.len()),
                );
                self.graph_incomplete = true;
            }
            for entry in entries.iter().take(MOST_ROUTES) {
                match self.route_match(&entry.key, entry.key_span) {
                    Some(matches) => self.route(&format!("on_exit_code.{}", &*entry.key), matches, entry, &mut routes),
                    None => self.graph_incomplete = true,
                }
            }
        }
        self.check_circle(&routes);
        routes
    }

    fn route(&mut self, key: &str, matches: RouteMatch, entry: &Entry<'_>, routes: &mut Vec<Route>) {
        let overlap = routes.iter().find_map(|earlier| overlap(&earlier.matches, &matches));
        if let Some(overlap) = overlap {
            self.problems.error_with_help(
                code::ROUTE_OVERLAP,
                entry.key_span,
                format!("{overlap}, so the results have two routes"),
                "each result can have one route of each kind: remove one or make the ranges meet without overlap",
            );
        }
        match self.route_target(key, &entry.value) {
            Some((target, max)) => {
                let span = Span { start: entry.key_span.start, end: entry.value.span.end.max(entry.key_span.end) };
                routes.push(Route { matches, target, max, span });
            }
            None => self.graph_incomplete = true,
        }
    }

    /// What stands before the colon: a code, a range, a result, `COMPLETED`, `FAILED` or `*`.
    pub(super) fn route_match(&mut self, text: &str, span: Span) -> Option<RouteMatch> {
        match text {
            "COMPLETED" => return Some(RouteMatch::Completed),
            "FAILED" => return Some(RouteMatch::Failed),
            "*" => return Some(RouteMatch::Any),
            _ => {}
        }
        if let Some(class) = AgentClass::parse(text) {
            if !self.agent_task {
                self.problems.error_with_help(
                    code::ROUTE_RESULT,
                    span,
                    format!("{text} is a class of an agent's work, and this is no AGENT task"),
                    "other tasks have exit codes, COMPLETED, FAILED and results such as TIMED_OUT",
                );
                return None;
            }
            return Some(RouteMatch::Agent(class));
        }
        if let Some(result) = ResultName::ALL.into_iter().find(|result| result.as_str() == text) {
            return Some(RouteMatch::Result(result));
        }
        if text.starts_with(|c: char| c.is_ascii_digit()) || text.starts_with('-') {
            return self.code_match(text, span);
        }
        let classes: &[AgentClass] = if self.agent_task { &AgentClass::ALL } else { &[] };
        let names =
            ResultName::ALL.iter().map(|result| result.as_str()).chain(classes.iter().map(|class| class.as_str()));
        let names = names.chain(["COMPLETED", "FAILED"]);
        let help = match self.problems.suggestion(text, names) {
            Some(meant) => format!("did you mean {meant}?"),
            None => {
                "write an exit code, a range such as \"64-78\", COMPLETED, FAILED, \"*\" or a result such as TIMED_OUT"
                    .to_owned()
            }
        };
        self.problems.error_with_help(
            code::ROUTE_RESULT,
            span,
            format!("\"{}\" is not a result that a task can have", shortened(text)),
            help,
        );
        None
    }

    fn code_match(&mut self, text: &str, span: Span) -> Option<RouteMatch> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let canonical = digits && (text == "0" || !text.starts_with('0'));
            if canonical { text.parse::<u32>().ok() } else { None }
        };
        let codes = match text.split_once('-') {
            Some((low, high)) => number(low.trim()).zip(number(high.trim())),
            None => number(text).map(|code| (code, code)),
        };
        let Some((low, high)) = codes else {
            self.problems.error_with_help(
                code::ROUTE_RESULT,
                span,
                format!("\"{}\" is neither an exit code nor a range of exit codes", shortened(text)),
                "write a code from 0 to 255, or a range in quotes such as \"64-78\"",
            );
            return None;
        };
        let (least, most) = match (self.http_task, self.agent_task) {
            (true, _) => (100, 599),
            (_, true) => (0, 12),
            _ => (0, 255),
        };
        if let Some(wrong) = [low, high].into_iter().find(|code| !(least..=most).contains(code)) {
            let (what, help) = if self.http_task {
                ("an HTTP status", "a request that got no answer has a result such as TIMED_OUT or START_FAILED")
            } else if self.agent_task {
                (
                    "the number of an agent's class",
                    "the exit code of its program is no result; see the classes in docs/reference/routes.md",
                )
            } else {
                ("an exit code", "a process that a signal ended has the result KILLED; a timeout has TIMED_OUT")
            };
            self.problems.error_with_help(
                code::RANGE,
                span,
                format!("{what} is between {least} and {most}, and {wrong} is not"),
                help,
            );
            return None;
        }
        let (low, high) = (u16::try_from(low).unwrap_or(255), u16::try_from(high).unwrap_or(255));
        if low > high {
            self.problems.error_with_help(
                code::ROUTE_RESULT,
                span,
                format!("the range \"{text}\" is empty: {low} is more than {high}"),
                format!("write \"{high}-{low}\""),
            );
            return None;
        }
        Some(if text.contains('-') && low < high { RouteMatch::Range(low, high) } else { RouteMatch::Code(low) })
    }

    fn route_target(&mut self, key: &str, node: &Node<'_>) -> Option<(RouteTarget, Option<u32>)> {
        match &node.kind {
            Kind::Mapping(entries) => self.long_route(key, entries, node.span),
            _ => self.short_target(key, node).map(|target| (target, None)),
        }
    }

    fn short_target(&mut self, key: &str, node: &Node<'_>) -> Option<RouteTarget> {
        match &node.kind {
            Kind::Sequence(items) => self.target_list(key, items, node.span),
            Kind::Scalar(scalar) if scalar.meaning() != Meaning::Null => self.target_word(&scalar.text, node.span),
            _ => {
                self.wrong_type(key, node, "a task, a list of tasks or a word such as FATAL", None);
                None
            }
        }
    }

    fn target_list(&mut self, key: &str, items: &[Node<'_>], span: Span) -> Option<RouteTarget> {
        if items.is_empty() {
            self.problems.error_with_help(
                code::ROUTE_TARGET,
                span,
                format!("`{key}` leads to an empty list"),
                "name a task, or write END_COMPLETED, END_FAILED or END_BLOCKED to end the path",
            );
            return None;
        }
        let mut names: Vec<String> = Vec::with_capacity(items.len());
        let mut seen = std::collections::HashSet::new();
        let mut complete = true;
        for item in items {
            let Some(name) = self.spelling(&format!("an entry of {key}"), item) else {
                complete = false;
                continue;
            };
            if is_special_word(&name) {
                self.problems.error_with_help(
                    code::ROUTE_TARGET,
                    item.span,
                    format!("the word {name} cannot stand in a list of tasks"),
                    "a list starts tasks in parallel; a word must be the whole value",
                );
                complete = false;
            } else if !seen.insert(name.clone()) {
                self.problems.error(
                    code::ROUTE_TARGET,
                    item.span,
                    format!("the task {name} stands twice in this list"),
                );
            } else {
                names.push(name);
            }
        }
        complete.then_some(RouteTarget::Tasks(names))
    }

    fn target_word(&mut self, word: &str, span: Span) -> Option<RouteTarget> {
        Some(match word {
            "COMPLETED" => RouteTarget::Completed,
            "FAILED" => RouteTarget::Failed,
            "FATAL" => RouteTarget::Fatal,
            "RESTART_TASK" => RouteTarget::RestartTask,
            "RESTART_JOB" => RouteTarget::RestartJob,
            "PAUSE_JOB" => RouteTarget::PauseJob,
            "RESCHEDULE" | "EXECUTING" => {
                RouteTarget::Reschedule { after: Field::Value(RESCHEDULE_AFTER), until: Field::Value(RESCHEDULE_UNTIL) }
            }
            "END_COMPLETED" => RouteTarget::EndCompleted,
            "END_FAILED" => RouteTarget::EndFailed,
            "END_BLOCKED" => RouteTarget::EndBlocked,
            _ if word.starts_with("ERR_") => {
                let name = &word[4..];
                let valid = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
                if name.is_empty() || name.len() > 60 || !name.bytes().all(valid) {
                    self.problems.error_with_help(
                        code::ROUTE_TARGET,
                        span,
                        format!("\"{}\" is not an error code", shortened(word)),
                        "write ERR_ and then capital letters, digits and `_`, such as ERR_NO_COMMITS",
                    );
                    return None;
                }
                RouteTarget::Error(word.to_owned())
            }
            _ if is_special_word(word) => {
                self.problems.error_with_help(
                    code::ROUTE_TARGET,
                    span,
                    format!("{word} is a result, not a place to go to"),
                    "name a task, or a word such as FAILED, FATAL or END_FAILED",
                );
                return None;
            }
            _ if word.contains("{{") => {
                self.problems.error_with_help(
                    code::ROUTE_TARGET,
                    span,
                    "the target of a route cannot be a template",
                    "the graph is fixed when a definition is stored; use one route per exit code",
                );
                return None;
            }
            _ => {
                let shouted = word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
                if let Some(meant) = shouted.then(|| self.problems.suggestion(word, WORDS)).flatten() {
                    self.problems.error_with_help(
                        code::ROUTE_TARGET,
                        span,
                        format!("{word} is neither a task nor one of the words of a route"),
                        format!("did you mean {meant}?"),
                    );
                    return None;
                }
                RouteTarget::Tasks(vec![word.to_owned()])
            }
        })
    }

    fn long_route(&mut self, key: &str, entries: &[Entry<'_>], span: Span) -> Option<(RouteTarget, Option<u32>)> {
        let mut keys = Keys::new(entries);
        let goto = keys.take("goto");
        let max = keys.take("max");
        let reschedule = keys.take("reschedule");
        let until = keys.take("until");
        self.unknown_keys(&keys, &LONG_ROUTE);
        if let (Some(_), Some(reschedule)) = (goto, reschedule) {
            self.problems.error(
                code::CONFLICT,
                reschedule.key_span,
                "a route has either `goto` or `reschedule`, not both",
            );
            return None;
        }
        if let Some(reschedule) = reschedule {
            if let Some(max) = max {
                self.problems.error_with_help(
                    code::CONFLICT,
                    max.key_span,
                    "`max` belongs to `goto`",
                    "bound a reschedule in time: {reschedule: 2m, until: 14d}",
                );
            }
            let after = self.duration_field("reschedule", &reschedule.value, Zero::Refused);
            let until = match until {
                Some(entry) => self.duration_field("until", &entry.value, Zero::Refused),
                None => Some(Field::Value(RESCHEDULE_UNTIL)),
            };
            return Some((RouteTarget::Reschedule { after: after?, until: until? }, None));
        }
        if let Some(until) = until {
            self.problems.error(code::CONFLICT, until.key_span, "`until` belongs to `reschedule`");
        }
        let Some(goto) = goto else {
            self.problems.error_with_help(
                code::MISSING_KEY,
                span,
                format!("`{key}` says neither `goto` nor `reschedule`"),
                "write {goto: task, max: 3} or {reschedule: 2m, until: 14d}",
            );
            return None;
        };
        let target = self.short_target("goto", &goto.value);
        let max = max.and_then(|entry| self.integer("max", &entry.value, 1..=100_000));
        Some((target?, max))
    }

    /// `COMPLETED: FAILED` with `FAILED: COMPLETED`, or a word that leads to itself.
    fn check_circle(&mut self, routes: &[Route]) {
        let find = |matches: &RouteMatch, target: &RouteTarget| {
            routes.iter().find(|route| route.matches == *matches && route.target == *target)
        };
        let own = find(&RouteMatch::Completed, &RouteTarget::Completed)
            .or_else(|| find(&RouteMatch::Failed, &RouteTarget::Failed));
        if let Some(route) = own {
            self.problems.error_with_help(
                code::ROUTE_TARGET,
                route.span,
                "this route leads to itself",
                "leave it out: that is what happens without a route",
            );
        }
        let there = find(&RouteMatch::Completed, &RouteTarget::Failed);
        if let Some((route, _)) = there.zip(find(&RouteMatch::Failed, &RouteTarget::Completed)) {
            self.problems.error(
                code::ROUTE_TARGET,
                route.span,
                "COMPLETED leads to FAILED and FAILED leads to COMPLETED: they lead nowhere",
            );
        }
    }

    /// What would keep an `always_run` task from running, or from ending the job.
    pub(super) fn check_always_run(&mut self, routes: &[Route], when: Option<&Condition>) {
        if let Some(condition) = when {
            self.problems.error_with_help(
                code::ALWAYS_RUN,
                condition.template.span,
                "an `always_run` task cannot have a condition: it runs whatever happened",
                "decide inside its script, e.g. by `{{ JobResult }}`",
            );
        }
        for route in routes {
            let word = match route.target {
                RouteTarget::Fatal => "FATAL",
                RouteTarget::RestartJob => "RESTART_JOB",
                RouteTarget::PauseJob => "PAUSE_JOB",
                RouteTarget::Reschedule { .. } => "RESCHEDULE",
                RouteTarget::EndCompleted => "END_COMPLETED",
                RouteTarget::EndFailed => "END_FAILED",
                RouteTarget::EndBlocked => "END_BLOCKED",
                _ => continue,
            };
            self.problems.error_with_help(
                code::ALWAYS_RUN,
                route.span,
                format!("an `always_run` task cannot use {word}"),
                "it runs when the outcome of the job is settled already, and cannot change it",
            );
        }
    }

    pub(super) fn dependencies(&mut self, node: &Node<'_>) -> Option<Vec<Dependency>> {
        let items = self.list("dependencies", node)?;
        let mut dependencies: Vec<Dependency> = Vec::with_capacity(items.len());
        let mut seen = std::collections::HashSet::new();
        for item in items {
            let Some(dependency) = self.dependency(item) else {
                self.graph_incomplete = true;
                continue;
            };
            if seen.insert(dependency.task.clone()) {
                dependencies.push(dependency);
            } else {
                self.problems.error(
                    code::CONFLICT,
                    dependency.span,
                    format!("the dependency on {} is listed twice", dependency.task),
                );
            }
        }
        Some(dependencies)
    }

    fn dependency(&mut self, item: &Node<'_>) -> Option<Dependency> {
        let span = item.span;
        let Kind::Mapping(entries) = &item.kind else {
            let task = self.spelling("a dependency", item)?;
            return self.dependency_name(&task, span).then_some(Dependency {
                task,
                optional: false,
                artifacts: true,
                span,
            });
        };
        let mut keys = Keys::new(entries.iter());
        let task = keys.take("task");
        let optional = keys.take("optional").and_then(|entry| self.boolean("optional", &entry.value));
        let artifacts = keys.take("artifacts").and_then(|entry| self.boolean("artifacts", &entry.value));
        self.unknown_keys(&keys, &LONG_DEPENDENCY);
        let Some(task) = task else {
            self.problems.push(
                Diagnostic::error(code::MISSING_KEY, span, "a dependency needs `task`")
                    .with_help("write {task: build, optional: true}"),
            );
            return None;
        };
        let name = self.spelling("task", &task.value)?;
        self.dependency_name(&name, task.value.span).then_some(Dependency {
            task: name,
            optional: optional.unwrap_or(false),
            artifacts: artifacts.unwrap_or(true),
            span: task.value.span,
        })
    }

    fn dependency_name(&mut self, name: &str, span: Span) -> bool {
        if is_special_word(name) || name.contains("{{") {
            self.problems.error_with_help(
                code::ROUTE_TARGET,
                span,
                format!("a dependency must name a task, and \"{}\" cannot be one", shortened(name)),
                "routes use such words; a dependency is on a task",
            );
            return false;
        }
        true
    }
}

/// How two routes of the same kind overlap.
fn overlap(earlier: &RouteMatch, later: &RouteMatch) -> Option<String> {
    match (earlier, later) {
        (RouteMatch::Range(a, b), RouteMatch::Range(c, d)) if a <= d && c <= b => {
            Some(format!("the ranges {a}-{b} and {c}-{d} overlap"))
        }
        (RouteMatch::Completed, RouteMatch::Completed) => Some("`on_completed` stands beside COMPLETED".to_owned()),
        (RouteMatch::Failed, RouteMatch::Failed) => Some("`on_failed` stands beside FAILED".to_owned()),
        (RouteMatch::Code(code), RouteMatch::Agent(class)) | (RouteMatch::Agent(class), RouteMatch::Code(code))
            if *code == class.code() =>
        {
            Some(format!("{code} is the number of {}", class.as_str()))
        }
        (a, b) if a == b => Some("the same result is listed twice".to_owned()),
        _ => None,
    }
}
