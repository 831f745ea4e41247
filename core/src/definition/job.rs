//! The job's own keys.

use std::collections::HashSet;

use indexmap::IndexMap;

use super::keys::{JOB, TASK};
use super::scalar::Meaning;
use super::task::{PRIORITIES, defaults_help};
use super::tree::{Entry, Kind, Node};
use super::walk::{Keys, Walk, Zero};
use super::{
    FailOn, InheritEnv, JobDefinition, Misfire, RetryFrom, Schedule, Span, TaskDefinition, TemplateText, VariableValue,
    code,
};

/// Cron lines of one definition; each costs a search for its next tick.
const MOST_CRON_LINES: usize = 20;

impl Walk {
    /// The whole definition, as far as it can be read.
    pub(super) fn job(&mut self, root: &Node<'_>) -> Option<JobDefinition> {
        let Kind::Mapping(entries) = &root.kind else {
            if !matches!(root.kind, Kind::Reported) {
                self.problems.error_with_help(
                    code::TYPE,
                    Span { start: root.span.start, end: root.span.end.min(root.span.start + 1) },
                    format!("a job definition is a mapping, and this is {}", root.described()),
                    "begin with `job_type: name` and `tasks:`",
                );
            }
            return None;
        };
        let mut keys = Keys::new(entries.iter());
        let job_type = self.job_type(&mut keys, root.span);
        let version = keys.take("version").and_then(|entry| self.version(&entry.value));
        let description = self.optional(&mut keys, "description", Self::template);
        let labels = keys.take("labels").map(|entry| self.labels(&entry.value)).unwrap_or_default();
        let params = self.params(&mut keys);
        let job_variables = keys.take("job_variables").map(|e| self.job_variables(&e.value)).unwrap_or_default();
        let environment = keys.take("environment").map(|e| self.environment(&e.value)).unwrap_or_default();
        let schedule = self.schedule(&mut keys);
        let triggers = keys.take("triggers").map(|entry| self.triggers(&entry.value)).unwrap_or_default();
        let skip_if = self.optional(&mut keys, "skip_if", Self::template_spelling);
        let max_concurrency =
            keys.take("max_concurrency").and_then(|e| self.integer("max_concurrency", &e.value, 1..=u32::MAX));
        let concurrency = keys.take("concurrency").and_then(|entry| self.concurrency(&entry.value));
        let priority = keys.take("priority").and_then(|e| self.choice("priority", &e.value, &PRIORITIES));
        let user_key = self.optional(&mut keys, "user_key", Self::template);
        let timeout = self.optional_duration(&mut keys, "timeout", Zero::Refused);
        let retry = self.job_retry(&mut keys);
        let retry_from = keys.take("retry_from").and_then(|e| {
            self.choice("retry_from", &e.value, &[("failed", RetryFrom::Failed), ("start", RetryFrom::Start)])
        });
        let fail_on = keys.take("fail_on").and_then(|e| {
            let choices = [("unhandled", FailOn::Unhandled), ("any_failure", FailOn::AnyFailure)];
            self.choice("fail_on", &e.value, &choices)
        });
        let fail_fast = self.optional(&mut keys, "fail_fast", Self::boolean);
        let resume_after = self.optional_duration(&mut keys, "resume_after", Zero::Refused);
        let inherit_env = keys.take("inherit_env").map(|e| self.inherit_env(&e.value)).unwrap_or_default();
        let workspace = keys.take("workspace").and_then(|e| self.workspace(&e.value));
        let retention = keys.take("retention").map(|e| self.retention(&e.value)).unwrap_or_default();
        let outcome = keys.take("outcome").and_then(|e| self.outcome(&e.value));
        let notify = self.notifications(&mut keys);
        let budget = keys.take("budget").and_then(|entry| self.budget(&entry.value));
        let tasks = self.tasks(&mut keys, root.span);
        self.unknown_keys(&keys, &JOB);
        Some(JobDefinition {
            job_type,
            version,
            description,
            labels,
            params,
            job_variables,
            environment,
            schedule,
            triggers,
            skip_if,
            max_concurrency,
            concurrency,
            priority: priority.unwrap_or_default(),
            user_key,
            timeout,
            retry,
            retry_from: retry_from.unwrap_or_default(),
            fail_on: fail_on.unwrap_or_default(),
            fail_fast: fail_fast.unwrap_or(false),
            resume_after,
            inherit_env,
            workspace,
            retention,
            outcome,
            notify,
            budget,
            tasks,
        })
    }

    fn job_type(&mut self, keys: &mut Keys<'_, '_>, root: Span) -> String {
        let Some(entry) = keys.take("job_type") else {
            self.problems.error_with_help(
                code::MISSING_KEY,
                Span { start: root.start, end: root.start },
                "the definition has no `job_type`",
                "give the job a name: `job_type: nightly-build`",
            );
            return String::new();
        };
        let Some(name) = self.text("job_type", &entry.value) else { return String::new() };
        self.check_job_type(&name, entry.value.span);
        name
    }

    fn version(&mut self, node: &Node<'_>) -> Option<String> {
        let text = self.spelling("version", node)?;
        if let Err(error) = semver::Version::parse(&text) {
            self.problems.error_with_help(
                code::VERSION,
                node.span,
                format!("\"{}\" is not a semantic version: {error}", super::scalar::shortened(&text)),
                "write three numbers, such as 1.4.0",
            );
            return None;
        }
        Some(text)
    }

    fn labels(&mut self, node: &Node<'_>) -> IndexMap<String, String> {
        let mut labels = IndexMap::new();
        for entry in self.mapping("labels", node).unwrap_or_default() {
            if let Some(value) = self.spelling(&format!("labels.{}", &*entry.key), &entry.value) {
                labels.insert(entry.key.to_string(), value);
            }
        }
        labels
    }

    fn job_variables(&mut self, node: &Node<'_>) -> IndexMap<String, VariableValue> {
        let mut variables = IndexMap::new();
        for entry in self.mapping("job_variables", node).unwrap_or_default() {
            self.check_template_name("a job variable", &entry.key, entry.key_span);
            variables.insert(entry.key.to_string(), variable(&entry.value));
        }
        variables
    }

    fn job_retry(&mut self, keys: &mut Keys<'_, '_>) -> super::RetryPolicy {
        if let Some(entry) = keys.take("retry_on") {
            self.problems.error_with_help(
                code::UNKNOWN_KEY,
                entry.key_span,
                "a job has no key `retry_on`",
                "it belongs to a task: it names results of the task's attempts",
            );
        }
        self.retry(keys)
    }

    fn inherit_env(&mut self, node: &Node<'_>) -> InheritEnv {
        match &node.kind {
            Kind::Scalar(scalar) if scalar.meaning() == Meaning::Boolean(true) => InheritEnv::All,
            Kind::Scalar(scalar) if scalar.meaning() == Meaning::Boolean(false) => InheritEnv::None,
            Kind::Sequence(items) => {
                let mut names = Vec::with_capacity(items.len());
                for item in items.iter() {
                    let Some(name) = self.text("an entry of inherit_env", item) else { continue };
                    self.check_identifier("an environment variable", &name, item.span);
                    names.push(name);
                }
                InheritEnv::Names(names)
            }
            _ => {
                self.wrong_type("inherit_env", node, "a list of names, or true", None);
                InheritEnv::None
            }
        }
    }

    fn schedule(&mut self, keys: &mut Keys<'_, '_>) -> Option<Schedule> {
        let (cron, timezone, misfire) = (keys.take("cron_trigger"), keys.take("timezone"), keys.take("misfire"));
        let zone = timezone.and_then(|entry| {
            let name = self.text("timezone", &entry.value)?;
            match super::schedule::find_zone(&name) {
                Ok(_) => Some(name),
                Err(error) => {
                    let problem = super::Diagnostic::error(code::TIMEZONE, entry.value.span, error.message);
                    self.problems.push(problem.with_help(error.help));
                    None
                }
            }
        });
        let misfire = misfire_choice(self, misfire);
        let Some(cron) = cron else {
            for entry in [timezone, keys.take("misfire")].into_iter().flatten() {
                let message = format!("`{}` has no effect without `cron_trigger`", &*entry.key);
                self.problems.push(super::Diagnostic::warning(code::UNUSED_KEY, entry.key_span, message));
            }
            return None;
        };
        let lines: Vec<&Node<'_>> = match &cron.value.kind {
            Kind::Sequence(items) => items.iter().collect(),
            _ => vec![&cron.value],
        };
        if lines.is_empty() || lines.len() > MOST_CRON_LINES {
            self.problems.error(
                code::RANGE,
                cron.value.span,
                format!("`cron_trigger` has between 1 and {MOST_CRON_LINES} lines, and this has {}", lines.len()),
            );
        }
        let mut expressions = Vec::new();
        for line in lines.into_iter().take(MOST_CRON_LINES) {
            let Some(text) = self.spelling("cron_trigger", line) else { continue };
            match super::schedule::check_line(&text) {
                Ok(()) => expressions.push(text),
                Err(error) => self
                    .problems
                    .push(super::Diagnostic::error(error.code, line.span, error.message).with_help(error.help)),
            }
        }
        Some(Schedule { expressions, timezone: zone.unwrap_or_else(|| "UTC".to_owned()), misfire })
    }

    fn tasks(&mut self, keys: &mut Keys<'_, '_>, root: Span) -> Vec<TaskDefinition> {
        let defaults = keys.take("defaults").map(|entry| self.defaults(entry)).unwrap_or_default();
        let Some(entry) = keys.take("tasks") else {
            self.problems.error_with_help(
                code::MISSING_KEY,
                Span { start: root.start, end: root.start },
                "the definition has no `tasks`",
                "a job needs at least one task: `tasks: [{task_type: hello, script: [\"echo hello\"]}]`",
            );
            return Vec::new();
        };
        if let Kind::Mapping(_) = entry.value.kind {
            let help = "write each task as `- task_type: name`, with its keys below".to_owned();
            self.wrong_type("tasks", &entry.value, "a list", Some(help));
            return Vec::new();
        }
        let Some(items) = self.list("tasks", &entry.value) else { return Vec::new() };
        if items.is_empty() {
            self.problems.error(code::VALUE, entry.value.span, "`tasks` is empty; a job needs at least one task");
            return Vec::new();
        }
        if items.len() > self.limits.tasks {
            let limit = self.limits.tasks;
            self.problems.error_with_help(
                code::TOO_MANY_TASKS,
                items[limit].span,
                format!("a definition may have {limit} tasks, and this one has {}", items.len()),
                "split the work into several jobs",
            );
            self.graph_incomplete = true;
        }
        let spent = defaults.iter().map(|entry| weight(&entry.value)).sum::<usize>();
        if spent.saturating_mul(items.len()) > self.limits.expansion * self.limits.source_bytes {
            self.problems.error_with_help(
                code::ALIAS_EXPANSION,
                entry.key_span,
                format!("`defaults` of {spent} bytes for {} tasks is more than a definition may hold", items.len()),
                "put long scripts into files of the repository",
            );
            return Vec::new();
        }
        let mut tasks: Vec<TaskDefinition> = Vec::with_capacity(items.len().min(self.limits.tasks));
        let mut names: HashSet<String> = HashSet::new();
        for item in items.iter().take(self.limits.tasks) {
            let Some(task) = self.task(item, &defaults) else {
                self.graph_incomplete = true;
                continue;
            };
            if !names.insert(task.name.clone()) {
                self.problems.error_with_help(
                    code::DUPLICATE_TASK,
                    task.span,
                    format!("there are two tasks named {}", task.name),
                    "every task needs a name of its own",
                );
                self.graph_incomplete = true;
            }
            tasks.push(task);
        }
        tasks
    }

    /// The entries of `defaults` that are keys of tasks.
    fn defaults<'s>(&mut self, entry: &Entry<'s>) -> Vec<Entry<'s>> {
        let entries = self.mapping("defaults", &entry.value).unwrap_or_default();
        let mut kept = Vec::with_capacity(entries.len());
        for entry in entries {
            if &*entry.key == "task_type" {
                self.problems.error_with_help(
                    code::UNKNOWN_KEY,
                    entry.key_span,
                    "`defaults` cannot name the tasks",
                    defaults_help(),
                );
            } else {
                kept.push(entry.clone());
            }
        }
        if kept.iter().any(|entry| &*entry.key == "delay_between_retries")
            && let Some(backoff) = kept.iter().find(|entry| &*entry.key == "retry_backoff")
        {
            self.problems.error(
                code::CONFLICT,
                backoff.key_span,
                "`delay_between_retries` and `retry_backoff` exclude each other",
            );
        }
        // Unknown keys are found in any case, also when every task overrides what is around them.
        let mut keys = Keys::new(&kept);
        for known in TASK.known() {
            keys.take(known);
        }
        self.unknown_keys(&keys, &TASK);
        kept
    }
}

fn misfire_choice(walk: &mut Walk, entry: Option<&Entry<'_>>) -> Misfire {
    let choices = [("skip", Misfire::Skip), ("run_once", Misfire::RunOnce), ("run_all", Misfire::RunAll)];
    entry.and_then(|entry| walk.choice("misfire", &entry.value, &choices)).unwrap_or_default()
}

/// A JSON-like value with templates at its string leaves.
pub(super) fn variable(node: &Node<'_>) -> VariableValue {
    match &node.kind {
        Kind::Scalar(scalar) if scalar.meaning() == Meaning::Text => {
            VariableValue::Text(TemplateText { source: scalar.text.to_string(), span: node.span })
        }
        Kind::Sequence(items) => VariableValue::List(items.iter().map(variable).collect()),
        Kind::Mapping(entries) => {
            VariableValue::Map(entries.iter().map(|entry| (entry.key.to_string(), variable(&entry.value))).collect())
        }
        _ => VariableValue::Scalar(node.to_json()),
    }
}

/// About how many bytes a copy of the value takes.
fn weight(node: &Node<'_>) -> usize {
    match &node.kind {
        Kind::Scalar(scalar) => scalar.text.len() + 16,
        Kind::Sequence(items) => items.iter().map(weight).sum::<usize>() + 16,
        Kind::Mapping(entries) => entries.iter().map(|e| e.key.len() + weight(&e.value)).sum::<usize>() + 16,
        Kind::Reported => 16,
    }
}
