//! `notify` and `webhook`: who is told of what.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::keys::{EMAIL, NOTIFY, SLACK, WEBHOOK, WHOLE_WEBHOOK};
use super::tree::{Entry, Kind, Node};
use super::walk::{Keys, Walk};
use super::{Span, TemplateText, code};
use crate::engine::JobState;

/// Entries of `notify` in one definition.
const MOST: usize = 50;

/// One entry of `notify`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// Of what; [`NotifyWhen::Never`] stands alone.
    pub when: Vec<NotifyWhen>,
    /// A text to go along.
    pub message: Option<TemplateText>,
    /// A signed POST of a JSON document.
    pub webhook: Option<WebhookTarget>,
    /// A message in the form that Slack takes.
    pub slack: Option<SlackTarget>,
    /// An e-mail.
    pub email: Option<EmailTarget>,
}

impl Notification {
    /// Whether it is about a job that is in this state now.
    pub fn is_about(&self, state: JobState) -> bool {
        self.when.iter().any(|when| when.covers(state))
    }

    /// Whether it is about approvals.
    pub fn is_about_approvals(&self) -> bool {
        self.when.contains(&NotifyWhen::OnApproval)
    }

    /// Templates of what is said.
    pub fn texts(&self) -> impl Iterator<Item = &TemplateText> {
        self.message.iter().chain(self.email.iter().filter_map(|email| email.subject.as_ref()))
    }

    /// Templates of where it goes that may hold secrets: URLs, keys and header values.
    pub fn targets(&self) -> impl Iterator<Item = &TemplateText> {
        let webhook = self
            .webhook
            .iter()
            .flat_map(|target| std::iter::once(&target.url).chain(&target.secret).chain(target.headers.values()));
        webhook.chain(self.slack.iter().map(|target| &target.url))
    }

    /// Templates of e-mail addresses.
    pub fn addresses(&self) -> impl Iterator<Item = &TemplateText> {
        self.email.iter().flat_map(|target| target.to.iter().chain(&target.from))
    }
}

/// Replaces each whole `{{ secrets.NAME }}` of a template; anything else about secrets stays as it is.
pub fn replace_secrets(source: &str, mut with: impl FnMut(&str, &str) -> String) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{{") {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        let Some(end) = from.find("}}") else {
            rest = from;
            break;
        };
        let (expression, after) = from.split_at(end + 2);
        match expression[2..end].trim().strip_prefix("secrets.") {
            Some(name) if super::is_identifier(name) => out.push_str(&with(name, expression)),
            _ => out.push_str(expression),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Of what somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotifyWhen {
    /// Every end.
    Always,
    /// COMPLETED.
    OnSuccess,
    /// FAILED.
    OnFailure,
    /// BLOCKED.
    OnBlocked,
    /// CANCELLED.
    OnCancelled,
    /// SKIPPED.
    OnSkipped,
    /// PAUSED.
    OnPaused,
    /// An approval is asked for, or its time ran out.
    OnApproval,
    /// Nothing.
    Never,
}

impl NotifyWhen {
    const WORDS: [(&'static str, Self); 9] = [
        ("always", Self::Always),
        ("on_success", Self::OnSuccess),
        ("on_failure", Self::OnFailure),
        ("on_blocked", Self::OnBlocked),
        ("on_cancelled", Self::OnCancelled),
        ("on_skipped", Self::OnSkipped),
        ("on_paused", Self::OnPaused),
        ("on_approval", Self::OnApproval),
        ("never", Self::Never),
    ];

    fn covers(self, state: JobState) -> bool {
        match self {
            Self::Always => state.is_terminal(),
            Self::OnSuccess => state == JobState::Completed,
            Self::OnFailure => state == JobState::Failed,
            Self::OnBlocked => state == JobState::Blocked,
            Self::OnCancelled => state == JobState::Cancelled,
            Self::OnSkipped => state == JobState::Skipped,
            Self::OnPaused => state == JobState::Paused,
            Self::OnApproval | Self::Never => false,
        }
    }
}

/// Where a webhook goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WebhookTarget {
    /// Where to.
    pub url: TemplateText,
    /// The key of its signature.
    pub secret: Option<TemplateText>,
    /// Further header fields.
    pub headers: IndexMap<String, TemplateText>,
}

/// Where a Slack message goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlackTarget {
    /// The incoming webhook.
    pub url: TemplateText,
}

/// Where an e-mail goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EmailTarget {
    /// Addresses; `voters` stands for those who may vote.
    pub to: Vec<TemplateText>,
    /// The subject line.
    pub subject: Option<TemplateText>,
    /// The sender.
    pub from: Option<TemplateText>,
}

impl Walk {
    /// `notify`, and `webhook` as a further entry.
    pub(super) fn notifications(&mut self, keys: &mut Keys<'_, '_>) -> Vec<Notification> {
        let mut found = Vec::new();
        if let Some(entry) = keys.take("notify") {
            let items = self.list("notify", &entry.value).unwrap_or_default();
            if items.len() > MOST {
                let message = format!("`notify` has at most {MOST} entries, and this has {}", items.len());
                self.problems.error(code::RANGE, entry.key_span, message);
            }
            for item in items.iter().take(MOST) {
                found.extend(self.notification(item));
            }
        }
        if let Some(entry) = keys.take("webhook") {
            found.extend(self.job_webhook(entry));
        }
        found
    }

    fn notification(&mut self, node: &Node<'_>) -> Option<Notification> {
        let entries = self.mapping("an entry of notify", node)?;
        let mut keys = Keys::new(entries);
        let when = self.when_told(&mut keys);
        let message = self.optional(&mut keys, "message", Self::template);
        let told = ["webhook", "slack", "email"].iter().any(|key| keys.has(key));
        let webhook = keys.take("webhook").and_then(|entry| {
            let mut keys = Keys::new(self.mapping("webhook", &entry.value)?);
            let target = self.webhook_target(&mut keys, entry.key_span);
            self.unknown_keys(&keys, &WEBHOOK);
            target
        });
        let slack = keys.take("slack").and_then(|entry| {
            let mut keys = Keys::new(self.mapping("slack", &entry.value)?);
            let url = self.target_url(&mut keys, "slack", entry.key_span);
            self.unknown_keys(&keys, &SLACK);
            Some(SlackTarget { url: url? })
        });
        let email = keys.take("email").and_then(|entry| self.email_target(entry));
        self.unknown_keys(&keys, &NOTIFY);
        if !told {
            self.problems.error_with_help(
                code::MISSING_KEY,
                Span { start: node.span.start, end: node.span.end.min(node.span.start + 1) },
                "this entry of `notify` says neither `webhook` nor `slack` nor `email`",
                "say where to: `slack: {url: …}`",
            );
        }
        Some(Notification { when, message, webhook, slack, email })
    }

    fn job_webhook(&mut self, entry: &Entry<'_>) -> Option<Notification> {
        let mut keys = Keys::new(self.mapping("webhook", &entry.value)?);
        let when = self.when_told(&mut keys);
        let webhook = self.webhook_target(&mut keys, entry.key_span);
        self.unknown_keys(&keys, &WHOLE_WEBHOOK);
        Some(Notification { when, message: None, webhook: Some(webhook?), slack: None, email: None })
    }

    fn webhook_target(&mut self, keys: &mut Keys<'_, '_>, span: Span) -> Option<WebhookTarget> {
        let url = self.target_url(keys, "webhook", span);
        let secret = self.optional(keys, "secret", Self::template);
        let mut headers = IndexMap::new();
        if let Some(entry) = keys.take("headers") {
            for entry in self.mapping("headers", &entry.value).unwrap_or_default() {
                let name = &*entry.key;
                let ours = name.to_ascii_lowercase();
                if name.is_empty()
                    || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
                {
                    self.problems.error(
                        code::NAME,
                        entry.key_span,
                        format!("\"{}\" cannot be the name of a header field", super::scalar::shortened(name)),
                    );
                } else if ours.starts_with("x-atta-")
                    || ["host", "content-length", "content-type"].contains(&ours.as_str())
                {
                    self.problems.error(
                        code::RESERVED_NAME,
                        entry.key_span,
                        format!("the header field {name} is set by Atta itself"),
                    );
                }
                if let Some(value) = self.template_spelling(&format!("headers.{name}"), &entry.value) {
                    headers.insert(name.to_owned(), value);
                }
            }
        }
        Some(WebhookTarget { url: url?, secret, headers })
    }

    fn target_url(&mut self, keys: &mut Keys<'_, '_>, what: &str, span: Span) -> Option<TemplateText> {
        let Some(entry) = keys.take("url") else {
            let help = format!("write `{what}: {{url: \"https://…\"}}`");
            self.problems.error_with_help(code::MISSING_KEY, span, format!("`{what}` has no `url`"), help);
            return None;
        };
        let url = self.template("url", &entry.value)?;
        let known = ["https://", "http://", "{{"].iter().any(|start| url.source.starts_with(start));
        if !known {
            self.problems.error_with_help(
                code::VALUE,
                url.span,
                format!("`url` is no address of the web: \"{}\"", super::scalar::shortened(&url.source)),
                "it begins with https:// or http://",
            );
        }
        Some(url)
    }

    fn email_target(&mut self, entry: &Entry<'_>) -> Option<EmailTarget> {
        let mut keys = Keys::new(self.mapping("email", &entry.value)?);
        let to = if let Some(entry) = keys.take("to") {
            match &entry.value.kind {
                Kind::Sequence(items) => {
                    items.iter().filter_map(|item| self.template("an entry of to", item)).collect()
                }
                _ => self.template("to", &entry.value).into_iter().collect(),
            }
        } else {
            self.problems.error_with_help(
                code::MISSING_KEY,
                entry.key_span,
                "`email` has no `to`",
                "write `email: {to: team@example.org}`",
            );
            Vec::new()
        };
        if to.len() > MOST {
            let message = format!("`to` has at most {MOST} addresses, and this has {}", to.len());
            self.problems.error(code::RANGE, entry.key_span, message);
        }
        let subject = self.optional(&mut keys, "subject", Self::template);
        let from = self.optional(&mut keys, "from", Self::template);
        self.unknown_keys(&keys, &EMAIL);
        for address in to.iter().chain(&from) {
            self.check_address(address);
        }
        (!to.is_empty()).then_some(EmailTarget { to, subject, from })
    }

    fn check_address(&mut self, address: &TemplateText) {
        let text = address.source.trim();
        let broken = text.contains(['\n', '\r', ',', ';']);
        if text != "voters" && (broken || !(text.contains('@') || text.contains("{{"))) {
            self.problems.error_with_help(
                code::VALUE,
                address.span,
                format!("\"{}\" is no e-mail address", super::scalar::shortened(text)),
                "one address such as team@example.org or \"Team <team@example.org>\"; several are a list",
            );
        }
    }

    fn when_told(&mut self, keys: &mut Keys<'_, '_>) -> Vec<NotifyWhen> {
        let Some(entry) = keys.take("when") else { return vec![NotifyWhen::Always] };
        let items: Vec<&Node<'_>> = match &entry.value.kind {
            Kind::Sequence(items) => items.iter().collect(),
            _ => vec![&entry.value],
        };
        if items.is_empty() {
            let help = "leave it out for `always`, or write `never`";
            self.problems.error_with_help(code::VALUE, entry.value.span, "`when` is empty", help);
        }
        let mut found: Vec<NotifyWhen> = Vec::new();
        for item in items {
            let Some(word) = self.choice("when", item, &NotifyWhen::WORDS) else { continue };
            if !found.contains(&word) {
                found.push(word);
            }
        }
        if found.len() > 1 && found.contains(&NotifyWhen::Never) {
            self.problems.error_with_help(
                code::CONFLICT,
                entry.value.span,
                "`never` stands beside other words",
                "never means never: leave the others out",
            );
        }
        found
    }
}
