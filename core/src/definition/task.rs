//! One task.

use std::time::Duration;

use indexmap::IndexMap;

use super::keys::{BACKOFF, TASK};
use super::scalar::Meaning;
use super::tree::{Entry, Kind, Node};
use super::walk::{Keys, Walk, Zero, listed};
use super::{
    Condition, Diagnostic, Field, Method, ParamType, Priority, RetryDelay, RetryPolicy, RouteMatch, TaskDefinition,
    TemplateText, code,
};

pub(super) const PRIORITIES: [(&str, Priority); 4] =
    [("CRITICAL", Priority::Critical), ("HIGH", Priority::High), ("NORMAL", Priority::Normal), ("LOW", Priority::Low)];

pub(super) const TYPES: [(&str, ParamType); 6] = [
    ("string", ParamType::String),
    ("integer", ParamType::Integer),
    ("number", ParamType::Number),
    ("boolean", ParamType::Boolean),
    ("object", ParamType::Object),
    ("array", ParamType::Array),
];

/// How long a forked job is waited for when nothing is said: its own tasks have limits of their own.
const FORKED: Duration = Duration::from_hours(14 * 24);

/// Keys that say how an ant runs a task.
const FOR_ANTS: [&str; 6] = ["environment", "idle_timeout", "kill_grace", "tags", "artifacts", "outputs"];

/// Keys of which a task has one: its own choice puts the other one of `defaults` out of force.
pub(super) const ALTERNATIVES: [(&str, &str); 3] =
    [("when", "except"), ("shell", "interpreter"), ("delay_between_retries", "retry_backoff")];

/// The keys of a task with those of `defaults` behind them that it does not set itself.
fn with_defaults<'n, 's>(own: &'n [Entry<'s>], defaults: &'n [Entry<'s>]) -> Keys<'n, 's> {
    let overridden = |key: &str| {
        let has = |wanted: &str| own.iter().any(|entry| *entry.key == *wanted);
        // `environment` is merged variable by variable.
        key == "environment"
            || has(key)
            || ALTERNATIVES.iter().any(|(a, b)| (key == *a && has(b)) || (key == *b && has(a)))
    };
    Keys::new(own.iter().chain(defaults.iter().filter(|entry| !overridden(&entry.key))))
}

impl Walk {
    /// A task, as far as it can be read; `None` without a name.
    pub(super) fn task(&mut self, node: &Node<'_>, defaults: &[Entry<'_>]) -> Option<TaskDefinition> {
        let own = self.mapping("an entry of tasks", node)?;
        let mut keys = with_defaults(own, defaults);
        let named = keys.take("task_type");
        let label_span = own.first().map_or(node.span, |entry| entry.key_span);
        let name = if let Some(entry) = named {
            self.text("task_type", &entry.value)
        } else {
            self.problems.error_with_help(
                code::MISSING_KEY,
                label_span,
                "this task has no `task_type`",
                "give it a name: `task_type: build`",
            );
            None
        };
        let span = named.map_or(label_span, |entry| entry.value.span);
        if let Some(name) = &name {
            self.check_task_name(name, span);
        }
        let always_run = self.optional(&mut keys, "always_run", Self::boolean).unwrap_or(false);
        let method = self.method(&mut keys, defaults, label_span);
        self.http_task = method.asks_over_http();
        self.agent_task = matches!(method, Method::Agent(_));
        let routes = self.routes(&mut keys);
        let when = self.condition(&mut keys);
        if always_run {
            self.check_always_run(&routes, when.as_ref());
        }
        let environment = self.task_environment(&mut keys, defaults);
        self.keys_for_ants(own, &method);
        let default_timeout = match &method {
            _ if always_run => Duration::from_mins(5),
            Method::ForkJob(_) | Method::AwaitForkedJob(_) => FORKED,
            _ => Duration::from_hours(1),
        };
        let task = TaskDefinition {
            name: name.clone().unwrap_or_default(),
            span,
            description: self.optional(&mut keys, "description", Self::template),
            method,
            environment,
            env_from: keys.take("env_from").map(|entry| self.env_from(&entry.value)).unwrap_or_default(),
            dependencies: keys.take("dependencies").and_then(|entry| {
                let dependencies = self.dependencies(&entry.value);
                self.graph_incomplete |= dependencies.is_none();
                dependencies
            }),
            routes,
            always_run,
            allow_failure: self.optional(&mut keys, "allow_failure", Self::boolean).unwrap_or(false),
            when,
            timeout: self
                .optional_duration(&mut keys, "timeout", Zero::Refused)
                .unwrap_or(Field::Value(default_timeout)),
            idle_timeout: self.optional_duration(&mut keys, "idle_timeout", Zero::Refused),
            queue_timeout: self.optional_duration(&mut keys, "queue_timeout", Zero::Refused),
            kill_grace: self
                .optional_duration(&mut keys, "kill_grace", Zero::Allowed)
                .unwrap_or(Field::Value(Duration::from_secs(10))),
            retry: self.retry(&mut keys),
            max_visits: keys.take("max_visits").and_then(|entry| self.integer("max_visits", &entry.value, 1..=100_000)),
            fan_out: keys.take("fan_out").and_then(|entry| self.fan_out(&entry.value, always_run)),
            artifacts: keys.take("artifacts").and_then(|entry| self.artifacts(&entry.value)),
            cache: keys.take("cache").and_then(|entry| self.cache(&entry.value)),
            outputs: keys.take("outputs").map(|entry| self.outputs(&entry.value)).unwrap_or_default(),
            report_stdout: self.optional(&mut keys, "report_stdout", Self::boolean).unwrap_or(true),
            priority: keys.take("priority").and_then(|entry| self.choice("priority", &entry.value, &PRIORITIES)),
            tags: keys.take("tags").map(|entry| self.templates("tags", &entry.value)).unwrap_or_default(),
        };
        self.unknown_keys(&keys, &TASK);
        if name.is_none() {
            self.graph_incomplete = true;
            return None;
        }
        Some(task)
    }

    /// Keys that say how an ant runs something are for nothing where no ant does.
    fn keys_for_ants(&mut self, own: &[Entry<'_>], method: &Method) {
        if method.runs_on_ant() {
            return;
        }
        for entry in own.iter().filter(|entry| FOR_ANTS.contains(&&*entry.key)) {
            let message = format!("`{}` has no effect: no ant runs this task", &*entry.key);
            self.problems.push(Diagnostic::warning(code::UNUSED_KEY, entry.key_span, message));
        }
    }

    pub(super) fn optional<T>(
        &mut self,
        keys: &mut Keys<'_, '_>,
        key: &str,
        read: impl FnOnce(&mut Self, &str, &Node<'_>) -> Option<T>,
    ) -> Option<T> {
        keys.take(key).and_then(|entry| read(self, key, &entry.value))
    }

    pub(super) fn optional_duration(
        &mut self,
        keys: &mut Keys<'_, '_>,
        key: &str,
        zero: Zero,
    ) -> Option<Field<Duration>> {
        keys.take(key).and_then(|entry| self.duration_field(key, &entry.value, zero))
    }

    fn task_environment(&mut self, keys: &mut Keys<'_, '_>, defaults: &[Entry<'_>]) -> IndexMap<String, TemplateText> {
        let mut environment = IndexMap::new();
        if let Some(entry) = defaults.iter().find(|entry| &*entry.key == "environment") {
            environment = self.environment(&entry.value);
        }
        if let Some(entry) = keys.take("environment") {
            environment.extend(self.environment(&entry.value));
        }
        environment
    }

    pub(super) fn environment(&mut self, node: &Node<'_>) -> IndexMap<String, TemplateText> {
        let mut environment = IndexMap::new();
        for entry in self.mapping("environment", node).unwrap_or_default() {
            self.check_variable_name(&entry.key, entry.key_span);
            if let Some(value) = self.template_spelling(&format!("environment.{}", &*entry.key), &entry.value) {
                environment.insert(entry.key.to_string(), value);
            }
        }
        environment
    }

    fn condition(&mut self, keys: &mut Keys<'_, '_>) -> Option<Condition> {
        let (when, except) = (keys.take("when"), keys.take("except"));
        if let (Some(_), Some(except)) = (when, except) {
            self.problems.error_with_help(
                code::CONFLICT,
                except.key_span,
                "`when` and `except` exclude each other",
                "`except` is `when` turned round: write both conditions into one `when`",
            );
        }
        let (key, entry, negated) = match (when, except) {
            (Some(entry), _) => ("when", entry, false),
            (None, Some(entry)) => ("except", entry, true),
            (None, None) => return None,
        };
        self.template_spelling(key, &entry.value).map(|template| Condition { template, negated })
    }

    pub(super) fn retry(&mut self, keys: &mut Keys<'_, '_>) -> RetryPolicy {
        let retries = keys.take("retry").and_then(|entry| self.integer_field("retry", &entry.value, 0..=1_000));
        let retry_on = keys.take("retry_on").map(|entry| self.retry_on(&entry.value)).unwrap_or_default();
        let (constant, backoff) = (keys.take("delay_between_retries"), keys.take("retry_backoff"));
        if let (Some(_), Some(backoff)) = (constant, backoff) {
            self.problems.error_with_help(
                code::CONFLICT,
                backoff.key_span,
                "`delay_between_retries` and `retry_backoff` exclude each other",
                "the first is constant, the second grows: keep one",
            );
        }
        let delay = match (constant, backoff) {
            (Some(entry), _) => {
                self.duration_field("delay_between_retries", &entry.value, Zero::Allowed).map(RetryDelay::Constant)
            }
            (None, Some(entry)) => self.backoff(&entry.value),
            (None, None) => None,
        };
        RetryPolicy { retries: retries.unwrap_or(Field::Value(0)), delay: delay.unwrap_or_default(), retry_on }
    }

    fn retry_on(&mut self, node: &Node<'_>) -> Vec<RouteMatch> {
        let mut matches = Vec::new();
        for item in self.list("retry_on", node).unwrap_or_default() {
            let Some(text) = self.spelling("an entry of retry_on", item) else { continue };
            match self.route_match(&text, item.span) {
                Some(RouteMatch::Completed | RouteMatch::Failed | RouteMatch::Any) => self.problems.error_with_help(
                    code::ROUTE_RESULT,
                    item.span,
                    format!("`retry_on` names codes, ranges and results, and {text} is none"),
                    "failures without a route of their own are retried anyway",
                ),
                Some(found) => matches.push(found),
                None => {}
            }
        }
        matches
    }

    fn backoff(&mut self, node: &Node<'_>) -> Option<RetryDelay> {
        let entries = self.mapping("retry_backoff", node)?;
        let mut keys = Keys::new(entries);
        let initial = keys.take("initial").and_then(|e| self.duration("initial", &e.value, Zero::Allowed));
        let max = keys.take("max");
        let max_span = max.map_or(node.span, |entry| entry.value.span);
        let max = max.and_then(|e| self.duration("max", &e.value, Zero::Refused));
        let factor = keys.take("factor").and_then(|entry| self.factor(&entry.value));
        let jitter = keys.take("jitter").and_then(|entry| {
            self.choice("jitter", &entry.value, &[("full", true), ("none", false), ("true", true), ("false", false)])
        });
        self.unknown_keys(&keys, &BACKOFF);
        let initial = initial.unwrap_or(Duration::from_secs(1));
        let max = max.unwrap_or_else(|| Duration::from_mins(5).max(initial));
        if max < initial {
            self.problems.error(code::RANGE, max_span, "`max` must not be shorter than `initial`");
        }
        Some(RetryDelay::Exponential { initial, factor: factor.unwrap_or(2.0), max, jitter: jitter.unwrap_or(true) })
    }

    fn factor(&mut self, node: &Node<'_>) -> Option<f64> {
        let Kind::Scalar(scalar) = &node.kind else {
            self.wrong_type("factor", node, "a number", None);
            return None;
        };
        let value = match scalar.meaning() {
            Meaning::Float(value) => value,
            Meaning::Integer(_) => scalar.text.parse().unwrap_or(f64::NAN),
            _ => {
                self.wrong_type("factor", node, "a number", None);
                return None;
            }
        };
        if (1.0..=100.0).contains(&value) {
            return Some(value);
        }
        self.problems.error(
            code::RANGE,
            node.span,
            format!("`factor` must be between 1 and 100, and {} is not", &*scalar.text),
        );
        None
    }
}

/// The keys that `defaults` may hold.
pub(super) fn defaults_help() -> String {
    format!("`defaults` takes the keys of a task but {}", listed(&["task_type"]))
}
