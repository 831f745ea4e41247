//! Durations and numbers that are templates become values when a job is created.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::agent::read_dollars;
use super::{
    AgentOptions, BudgetLimits, Diagnostic, Field, JobDefinition, MOST_ITEMS, Method, RetryDelay, RetryPolicy,
    RouteTarget, TemplateText, code, parse_duration, parse_size,
};

use crate::protocol::agent::{AgentCli, MicroUsd};

/// Renders a template to text, or says why it cannot.
type Render<'r> = dyn FnMut(&TemplateText) -> Result<String, String> + 'r;

impl JobDefinition {
    /// The definition with every [`Field::Template`] turned into the value that it renders to. The messages name the
    /// keys that did not render to what they must be.
    pub fn resolve_fields(&self, render: &mut Render<'_>) -> Result<Self, Vec<Diagnostic>> {
        let mut resolver = Resolver { render, problems: Vec::new() };
        let mut resolved = self.clone();
        resolver.optional_duration("timeout", &mut resolved.timeout, false);
        resolver.optional_duration("resume_after", &mut resolved.resume_after, false);
        if let Some(workspace) = &mut resolved.workspace {
            resolver.duration("workspace.ttl", &mut workspace.ttl, false);
            if let Some(limit) = &mut workspace.size_limit {
                resolver.size("workspace.size_limit", limit);
            }
        }
        if let Some(budget) = &mut resolved.budget {
            resolver.budget(&mut budget.limits);
        }
        resolver.retry("", &mut resolved.retry);
        for task in &mut resolved.tasks {
            let of = format!(" of the task {}", task.name);
            resolver.duration(&format!("timeout{of}"), &mut task.timeout, false);
            resolver.optional_duration(&format!("idle_timeout{of}"), &mut task.idle_timeout, false);
            resolver.optional_duration(&format!("queue_timeout{of}"), &mut task.queue_timeout, false);
            if let Some(parallel) = task.fan_out.as_mut().and_then(|fan_out| fan_out.max_parallel.as_mut()) {
                resolver.number(&format!("max_parallel{of}"), parallel, 1..=MOST_ITEMS);
            }
            if let Some(expire_after) = task.artifacts.as_mut().map(|artifacts| &mut artifacts.expire_after) {
                resolver.optional_duration(&format!("expire_after{of}"), expire_after, false);
            }
            if let Method::ExpireArtifacts(expire) = &mut task.method {
                resolver.duration(&format!("older_than{of}"), &mut expire.older_than, false);
            }
            resolver.duration(&format!("kill_grace{of}"), &mut task.kill_grace, true);
            resolver.retry(&of, &mut task.retry);
            for route in &mut task.routes {
                if let RouteTarget::Reschedule { after, until } = &mut route.target {
                    resolver.duration(&format!("reschedule{of}"), after, false);
                    resolver.duration(&format!("until{of}"), until, false);
                }
            }
            if let Method::Agent(agent) = &mut task.method {
                resolver.agent(&of, agent);
            }
            if let Method::Approval(approval) = &mut task.method {
                resolver.optional_duration(&format!("approval.timeout{of}"), &mut approval.timeout, false);
            }
        }
        if resolver.problems.is_empty() { Ok(resolved) } else { Err(resolver.problems) }
    }
}

struct Resolver<'a, 'r> {
    render: &'a mut Render<'r>,
    problems: Vec<Diagnostic>,
}

impl Resolver<'_, '_> {
    fn agent(&mut self, of: &str, agent: &mut AgentOptions) {
        self.cli(&format!("agent.cli{of}"), &mut agent.cli, !agent.command.is_empty());
        for fallback in &mut agent.fallback {
            if let Some(cli) = &mut fallback.cli {
                self.cli(&format!("agent.fallback.cli{of}"), cli, !fallback.command.is_empty());
            }
        }
        if let Some(turns) = &mut agent.max_turns {
            self.number(&format!("agent.max_turns{of}"), turns, 1..=100_000);
        }
        if let Some(tokens) = &mut agent.max_tokens {
            self.number(&format!("agent.max_tokens{of}"), tokens, 1..=u32::MAX);
        }
        if let Some(usd) = &mut agent.max_usd {
            self.dollars(&format!("agent.max_usd{of}"), usd);
        }
        self.duration(&format!("agent.start_timeout{of}"), &mut agent.start_timeout, false);
        self.duration(&format!("agent.after_result{of}"), &mut agent.after_result, true);
    }

    fn budget(&mut self, limits: &mut BudgetLimits) {
        if let Some(usd) = &mut limits.usd {
            self.dollars("budget.usd", usd);
        }
        let numbers = [
            ("tokens", &mut limits.tokens),
            ("agent_turns", &mut limits.agent_turns),
            ("minutes", &mut limits.minutes),
        ];
        for (key, number) in numbers {
            if let Some(number) = number {
                self.number(&format!("budget.{key}"), number, 1..=u32::MAX);
            }
        }
    }

    fn dollars(&mut self, key: &str, field: &mut Field<MicroUsd>) {
        self.field(key, field, |text| {
            let number = text.trim().parse::<f64>();
            let number = number.map_err(|_| format!("\"{}\" is no number", super::scalar::shortened(text)))?;
            read_dollars(number).map_err(|message| format!("it {message}"))
        });
    }

    fn cli(&mut self, key: &str, field: &mut Field<AgentCli>, has_command: bool) {
        self.field(key, field, |text| match AgentCli::parse(text.trim()) {
            Some(AgentCli::Custom) if !has_command => {
                Err("it is custom, and there is no `command` that says which program that is".to_owned())
            }
            Some(cli) => Ok(cli),
            None => {
                let names = AgentCli::ALL.map(AgentCli::as_str);
                let known = super::walk::one_of(&names);
                Err(format!("it must be {known}, and \"{}\" is not", super::scalar::shortened(text)))
            }
        });
    }

    fn retry(&mut self, of: &str, retry: &mut RetryPolicy) {
        self.number(&format!("retry{of}"), &mut retry.retries, 0..=1_000);
        if let RetryDelay::Constant(delay) = &mut retry.delay {
            self.duration(&format!("delay_between_retries{of}"), delay, true);
        }
    }

    fn optional_duration(&mut self, key: &str, field: &mut Option<Field<Duration>>, zero: bool) {
        if let Some(field) = field {
            self.duration(key, field, zero);
        }
    }

    fn duration(&mut self, key: &str, field: &mut Field<Duration>, zero: bool) {
        self.field(key, field, |text| match parse_duration(text) {
            Ok(Duration::ZERO) if !zero => Err("it must be longer than 0".to_owned()),
            Ok(duration) => Ok(duration),
            Err(error) => Err(format!("{}; {}", error.message, error.help)),
        });
    }

    fn size(&mut self, key: &str, field: &mut Field<u64>) {
        self.field(key, field, |text| match parse_size(text) {
            Ok(0) => Err("it must be more than 0".to_owned()),
            Ok(bytes) => Ok(bytes),
            Err(error) => Err(error.to_string()),
        });
    }

    fn number(&mut self, key: &str, field: &mut Field<u32>, range: RangeInclusive<u32>) {
        self.field(key, field, |text| {
            let number = text.trim().parse::<u32>().ok().filter(|number| range.contains(number));
            number.ok_or_else(|| {
                let (low, high) = range.into_inner();
                format!("\"{}\" is not a whole number between {low} and {high}", super::scalar::shortened(text))
            })
        });
    }

    fn field<T>(&mut self, key: &str, field: &mut Field<T>, read: impl FnOnce(&str) -> Result<T, String>) {
        let Field::Template(template) = field else { return };
        let rendered = (self.render)(template);
        match rendered.and_then(|text| read(&text)) {
            Ok(value) => *field = Field::Value(value),
            Err(reason) => {
                self.problems.push(Diagnostic::error(code::FIELD, template.span, format!("`{key}`: {reason}")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::definition::{Field, Limits, load};
    use std::time::Duration;

    const SOURCE: &[u8] = b"job_type: a\ntimeout: \"{{ Long }}\"\ntasks:\n- task_type: t\n  script: [\"true\"]\n  retry: \"{{ Times }}\"\nparams: {Long: {}, Times: {}}\n";

    #[test]
    fn templated_fields_become_values_and_errors_name_the_key() {
        let definition = load("a.yaml", SOURCE, &Limits::default()).definition.unwrap();
        assert!(definition.timeout.as_ref().unwrap().value().is_none());
        let resolved = definition
            .resolve_fields(&mut |text| Ok(if text.source.contains("Long") { "90s".into() } else { "3".into() }))
            .unwrap();
        assert_eq!(resolved.timeout, Some(Field::Value(Duration::from_secs(90))));
        assert_eq!(resolved.tasks[0].retry.retries, Field::Value(3));

        let problems = definition.resolve_fields(&mut |_| Ok("lots".into())).unwrap_err();
        let messages: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(messages.len(), 2);
        assert!(messages[0].starts_with("`timeout`: \"lots\" is not a duration"), "{messages:?}");
        assert!(messages[1].starts_with("`retry of the task t`: \"lots\" is not a whole number"), "{messages:?}");
    }
}
