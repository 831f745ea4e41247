//! What starts a job besides a submit and a schedule: webhooks, and the ends of other jobs.

use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::check::locate;
use super::keys::{BEARER_AUTH, HMAC_AUTH, JOB_TRIGGER, WAKE, WEBHOOK_AUTH, WEBHOOK_TRIGGER};
use super::problems::Problems;
use super::tree::{Kind, Node};
use super::walk::{Keys, Walk};
use super::{Diagnostic, JobDefinition, Span, TemplateText, VariableValue, code, parse_duration};
use crate::engine::JobState;
use crate::template;

/// What templates of a webhook know.
pub const WEBHOOK_NAMES: [&str; 3] = ["payload", "headers", "event"];
/// What templates of a job trigger know.
pub const JOB_TRIGGER_NAMES: [&str; 1] = ["job"];

/// The header that GitHub signs with, and everybody who does as GitHub does.
const SIGNATURE_HEADER: &str = "x-hub-signature-256";

/// What starts a job by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Trigger {
    /// A signed request from outside.
    Webhook(WebhookTrigger),
    /// The end of a job of another definition.
    Job(JobTrigger),
}

/// `type: webhook`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WebhookTrigger {
    /// Names it in its URL; unique among the definition's webhooks.
    pub name: String,
    /// How a request proves where it comes from.
    pub auth: WebhookAuth,
    /// Falsy text lets nothing through.
    pub filter: Option<TemplateText>,
    /// Params of the job; string leaves are templates.
    pub params: IndexMap<String, VariableValue>,
    /// Overrides the definition's.
    pub user_key: Option<TemplateText>,
    /// Deliveries that may do something in a while.
    pub rate_limit: Option<RateLimit>,
    /// Instead of submitting a job: wake a task of a live one.
    pub wake: Option<Wake>,
    /// Where it stands.
    pub span: Span,
}

/// How a webhook's request proves where it comes from. The secrets are named, never written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WebhookAuth {
    /// The header holds `sha256=` and the HMAC-SHA256 of the body in hex.
    HmacSha256 {
        /// The name of the secret.
        secret: String,
        /// The header, in lower case.
        header: String,
    },
    /// The header `Authorization: Bearer …` holds the secret itself.
    Bearer {
        /// The name of the secret.
        secret: String,
    },
}

impl WebhookAuth {
    /// The name of the secret.
    pub fn secret(&self) -> &str {
        match self {
            Self::HmacSha256 { secret, .. } | Self::Bearer { secret } => secret,
        }
    }
}

/// So many in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// How many.
    pub count: u32,
    /// In how long.
    pub per: Duration,
}

/// A task that waits for its next attempt (RESCHEDULE, a retry) is brought forward.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wake {
    /// The task.
    pub task: String,
    /// The key of the live job.
    pub user_key: TemplateText,
}

/// `type: job`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobTrigger {
    /// The definitions whose jobs count.
    pub job_types: Vec<String>,
    /// The terminal states that count.
    pub states: Vec<JobState>,
    /// Falsy text lets nothing through.
    pub filter: Option<TemplateText>,
    /// Params of the job; string leaves are templates.
    pub params: IndexMap<String, VariableValue>,
    /// Overrides the definition's.
    pub user_key: Option<TemplateText>,
    /// Where it stands.
    pub span: Span,
}

const TERMINAL: [(&str, JobState); 5] = [
    ("COMPLETED", JobState::Completed),
    ("FAILED", JobState::Failed),
    ("BLOCKED", JobState::Blocked),
    ("CANCELLED", JobState::Cancelled),
    ("SKIPPED", JobState::Skipped),
];

#[derive(Debug, Clone, Copy)]
enum Type {
    Webhook,
    Job,
}

impl Walk {
    pub(super) fn triggers(&mut self, node: &Node<'_>) -> Vec<Trigger> {
        let mut triggers: Vec<Trigger> = Vec::new();
        for item in self.list("triggers", node).unwrap_or_default() {
            let Some(trigger) = self.trigger(item) else { continue };
            if let Trigger::Webhook(new) = &trigger
                && triggers.iter().any(|one| matches!(one, Trigger::Webhook(old) if old.name == new.name))
            {
                let message = format!("there are two webhooks named {}", new.name);
                self.problems.error_with_help(code::CONFLICT, new.span, message, "every webhook has a URL of its own");
            }
            triggers.push(trigger);
        }
        triggers
    }

    fn trigger(&mut self, node: &Node<'_>) -> Option<Trigger> {
        let entries = self.mapping("an entry of triggers", node)?;
        let mut keys = Keys::new(entries);
        let Some(entry) = keys.take("type") else {
            self.problems.error_with_help(
                code::MISSING_KEY,
                node.span,
                "this trigger has no `type`",
                "write `type: webhook` or `type: job`",
            );
            return None;
        };
        let span = entry.value.span;
        match self.choice("type", &entry.value, &[("webhook", Type::Webhook), ("job", Type::Job)])? {
            Type::Webhook => self.webhook_trigger(&mut keys, span).map(Trigger::Webhook),
            Type::Job => self.job_trigger(&mut keys, span).map(Trigger::Job),
        }
    }

    fn webhook_trigger(&mut self, keys: &mut Keys<'_, '_>, span: Span) -> Option<WebhookTrigger> {
        let name = self.needed(keys, "name", span, "it is the last part of the webhook's URL: `name: issues`");
        let name = name.and_then(|entry| {
            let name = self.text("name", &entry.value)?;
            self.check_job_type(&name, entry.value.span);
            Some(name)
        });
        let auth = self.needed(
            keys,
            "auth",
            span,
            "say how a request proves where it comes from: `auth: {hmac_sha256: \"{{ secrets.Webhook }}\"}`",
        );
        let auth = auth.and_then(|entry| self.webhook_auth(&entry.value));
        let (filter, params, user_key) = self.what_it_submits(keys);
        let rate_limit = keys.take("rate_limit").and_then(|entry| self.rate_limit(&entry.value));
        let wake = keys.take("wake").and_then(|entry| self.wake(&entry.value));
        if wake.is_some() && (!params.is_empty() || user_key.is_some()) {
            self.problems.error_with_help(
                code::CONFLICT,
                span,
                "a webhook that wakes a task submits no job: `params` and `user_key` have no meaning",
                "`wake` has a `user_key` of its own, which names the live job",
            );
        }
        self.unknown_keys(keys, &WEBHOOK_TRIGGER);
        Some(WebhookTrigger { name: name?, auth: auth?, filter, params, user_key, rate_limit, wake, span })
    }

    fn job_trigger(&mut self, keys: &mut Keys<'_, '_>, span: Span) -> Option<JobTrigger> {
        let entry = self.needed(keys, "job_type", span, "name the definition whose jobs count: `job_type: build`");
        let mut job_types = Vec::new();
        if let Some(entry) = entry {
            let nodes: Vec<&Node<'_>> = match &entry.value.kind {
                Kind::Sequence(items) => items.iter().collect(),
                _ => vec![&entry.value],
            };
            if nodes.is_empty() {
                self.problems.error(code::VALUE, entry.value.span, "`job_type` is empty: it names no definition");
            }
            for node in nodes {
                if let Some(name) = self.text("job_type", node) {
                    self.check_job_type(&name, node.span);
                    job_types.push(name);
                }
            }
        }
        let mut states = Vec::new();
        if let Some(entry) = keys.take("states") {
            for item in self.list("states", &entry.value).unwrap_or_default() {
                states.extend(self.choice("an entry of states", item, &TERMINAL));
            }
            if states.is_empty() {
                self.problems.error(code::VALUE, entry.value.span, "`states` names no state");
            }
        } else {
            states.push(JobState::Completed);
        }
        let (filter, params, user_key) = self.what_it_submits(keys);
        self.unknown_keys(keys, &JOB_TRIGGER);
        entry?;
        Some(JobTrigger { job_types, states, filter, params, user_key, span })
    }

    fn what_it_submits(
        &mut self,
        keys: &mut Keys<'_, '_>,
    ) -> (Option<TemplateText>, IndexMap<String, VariableValue>, Option<TemplateText>) {
        let filter = self.optional(keys, "filter", Self::template_spelling);
        let mut params = IndexMap::new();
        if let Some(entry) = keys.take("params") {
            for param in self.mapping("params", &entry.value).unwrap_or_default() {
                params.insert(param.key.to_string(), super::job::variable(&param.value));
            }
        }
        let user_key = self.optional(keys, "user_key", Self::template);
        (filter, params, user_key)
    }

    fn needed<'n, 's>(
        &mut self,
        keys: &mut Keys<'n, 's>,
        key: &str,
        span: Span,
        help: &str,
    ) -> Option<&'n super::tree::Entry<'s>> {
        let entry = keys.take(key);
        if entry.is_none() {
            self.problems.error_with_help(code::MISSING_KEY, span, format!("this trigger has no `{key}`"), help);
        }
        entry
    }

    fn webhook_auth(&mut self, node: &Node<'_>) -> Option<WebhookAuth> {
        let entries = self.mapping("auth", node)?;
        let mut keys = Keys::new(entries);
        let (hmac, bearer) = (keys.take("hmac_sha256"), keys.take("bearer"));
        self.unknown_keys(&keys, &WEBHOOK_AUTH);
        match (hmac, bearer) {
            (Some(entry), None) => self.hmac_auth(&entry.value),
            (None, Some(entry)) => {
                let secret = if let Kind::Mapping(entries) = &entry.value.kind {
                    let mut keys = Keys::new(entries.iter());
                    let secret = keys.take("secret");
                    self.unknown_keys(&keys, &BEARER_AUTH);
                    secret.and_then(|entry| self.secret_reference(&entry.value))
                } else {
                    self.secret_reference(&entry.value)
                };
                secret.map(|secret| WebhookAuth::Bearer { secret })
            }
            _ => {
                self.problems.error_with_help(
                    code::VALUE,
                    node.span,
                    "`auth` is either `hmac_sha256` or `bearer`",
                    "GitHub and most others sign: `auth: {hmac_sha256: \"{{ secrets.Webhook }}\"}`",
                );
                None
            }
        }
    }

    fn hmac_auth(&mut self, node: &Node<'_>) -> Option<WebhookAuth> {
        let Kind::Mapping(entries) = &node.kind else {
            let secret = self.secret_reference(node)?;
            return Some(WebhookAuth::HmacSha256 { secret, header: SIGNATURE_HEADER.to_owned() });
        };
        let mut keys = Keys::new(entries.iter());
        let secret = keys.take("secret");
        let header = keys.take("header").and_then(|entry| {
            let name = self.text("header", &entry.value)?;
            let token = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            if !token {
                let message = format!("\"{}\" is no name of a header", super::scalar::shortened(&name));
                self.problems.error(code::VALUE, entry.value.span, message);
                return None;
            }
            Some(name.to_ascii_lowercase())
        });
        self.unknown_keys(&keys, &HMAC_AUTH);
        let Some(secret) = secret else {
            self.problems.error_with_help(
                code::MISSING_KEY,
                node.span,
                "`hmac_sha256` needs `secret`",
                "write {secret: \"{{ secrets.Webhook }}\"}",
            );
            return None;
        };
        let secret = self.secret_reference(&secret.value)?;
        Some(WebhookAuth::HmacSha256 { secret, header: header.unwrap_or_else(|| SIGNATURE_HEADER.to_owned()) })
    }

    /// `{{ secrets.Name }}` and nothing else: the name.
    fn secret_reference(&mut self, node: &Node<'_>) -> Option<String> {
        let text = self.text("the secret", node)?;
        let name = text
            .trim()
            .strip_prefix("{{")
            .and_then(|rest| rest.strip_suffix("}}"))
            .and_then(|inner| inner.trim().strip_prefix("secrets."))
            .filter(|name| {
                !name.is_empty()
                    && !name.starts_with(|c: char| c.is_ascii_digit())
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            });
        if name.is_none() {
            self.problems.error_with_help(
                code::VALUE,
                node.span,
                "this must be a reference to a secret and nothing else",
                "store it with `atta secret set Webhook` and write \"{{ secrets.Webhook }}\"",
            );
        }
        name.map(str::to_owned)
    }

    fn rate_limit(&mut self, node: &Node<'_>) -> Option<RateLimit> {
        let text = self.text("rate_limit", node)?;
        let limit = text.split_once('/').and_then(|(count, per)| {
            let count = count.trim().parse::<u32>().ok().filter(|count| *count > 0)?;
            let per = parse_duration(per.trim()).ok().filter(|per| *per >= Duration::from_secs(1))?;
            Some(RateLimit { count, per })
        });
        if limit.is_none() {
            self.problems.error_with_help(
                code::VALUE,
                node.span,
                format!("\"{}\" is no rate", super::scalar::shortened(&text)),
                "write how many in how long, at least a second: \"30/1m\"",
            );
        }
        limit
    }

    fn wake(&mut self, node: &Node<'_>) -> Option<Wake> {
        let entries = self.mapping("wake", node)?;
        let mut keys = Keys::new(entries);
        let task = keys.take("task").and_then(|entry| self.text("task", &entry.value));
        let user_key = self.optional(&mut keys, "user_key", Self::template);
        self.unknown_keys(&keys, &WAKE);
        let (Some(task), Some(user_key)) = (task, user_key) else {
            self.problems.error_with_help(
                code::MISSING_KEY,
                node.span,
                "`wake` needs `task` and `user_key`",
                "name the task that waits and the key of its job: {task: review, user_key: \"pr-{{ payload.number }}\"}",
            );
            return None;
        };
        Some(Wake { task, user_key })
    }
}

/// Checks what templates of triggers refer to, and that what is to be woken exists.
pub(super) fn check(definition: &JobDefinition, source: &str, problems: &mut Problems) {
    for trigger in &definition.triggers {
        let (names, filter, params, user_key): (&[&str], _, _, _) = match trigger {
            Trigger::Webhook(one) => (&WEBHOOK_NAMES, &one.filter, &one.params, &one.user_key),
            Trigger::Job(one) => (&JOB_TRIGGER_NAMES, &one.filter, &one.params, &one.user_key),
        };
        let mut templates: Vec<&TemplateText> = filter.iter().chain(user_key).collect();
        for value in params.values() {
            value.for_each_template(&mut |template| templates.push(template));
        }
        let (Trigger::Webhook(WebhookTrigger { span, .. }) | Trigger::Job(JobTrigger { span, .. })) = trigger;
        for name in params.keys() {
            if !definition.params.contains_key(name) {
                let known = definition.params.keys().map(String::as_str);
                let mut problem = Diagnostic::error(
                    code::UNDECLARED,
                    *span,
                    format!("the trigger gives a param `{name}`, which the job does not have"),
                );
                if let Some(meant) = problems.suggestion(name, known) {
                    problem = problem.with_help(format!("did you mean `{meant}`?"));
                }
                problems.push(problem);
            }
        }
        if let Trigger::Webhook(WebhookTrigger { wake: Some(wake), .. }) = trigger {
            templates.push(&wake.user_key);
            if !definition.tasks.iter().any(|task| task.name == wake.task) {
                let message =
                    format!("`wake` names the task \"{}\", and there is none", super::scalar::shortened(&wake.task));
                problems.error_with_help("E-UNKNOWN-TASK", *span, message, "it must be a task of this definition");
            }
        }
        if let Trigger::Job(JobTrigger { job_types, span, .. }) = trigger
            && job_types.contains(&definition.job_type)
        {
            problems.error_with_help(
                code::TRIGGER_SELF,
                *span,
                format!("{} is triggered by its own end, which would never end", definition.job_type),
                "use `cron_trigger`, a loop, or SUBMIT_JOBS with a condition",
            );
        }
        for one in templates {
            check_template(one, names, source, problems);
        }
    }
}

fn check_template(text: &TemplateText, names: &[&str], source: &str, problems: &mut Problems) {
    if !text.source.contains('{') {
        return;
    }
    let inspection = match template::inspect(&text.source) {
        Ok(inspection) => inspection,
        Err(problem) => {
            let span = problem.offset.map_or(text.span, |offset| locate(source, text, offset, 2));
            let mut diagnostic = Diagnostic::error(problem.code, span, problem.message);
            diagnostic.help = problem.help;
            problems.push(diagnostic);
            return;
        }
    };
    for reference in &inspection.references {
        let Some(name) = reference.path.first() else { continue };
        if names.contains(&name.as_str()) || name == "configs" {
            continue;
        }
        let span = locate(source, text, reference.offset, name.len());
        let message = format!(
            "`{}` is not known here: a trigger is evaluated before there is a job",
            super::scalar::shortened(name)
        );
        let known = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        problems.error_with_help(code::UNDECLARED, span, message, format!("what is known is {known} and configs.…"));
    }
}
