//! How long things are kept: `retention` of a job, the method EXPIRE_ARTIFACTS.

use std::time::Duration;

use super::keys::{EXPIRE, RETENTION};
use super::scalar::Meaning;
use super::tree::{Kind, Node};
use super::walk::{Keys, Walk, Zero};
use super::{ExpireOptions, Field, Method, Retention, Span, code};

const DAY: Duration = Duration::from_hours(24);

impl Retention {
    /// The same for every state.
    pub fn all(time: Duration) -> Self {
        let time = Some(time);
        Self { completed: time, failed: time, blocked: time, cancelled: time, skipped: time }
    }

    /// For a job that ended in this state; `None` when nothing is said about it.
    pub fn of(&self, state: crate::engine::JobState) -> Option<Duration> {
        use crate::engine::JobState;
        match state {
            JobState::Completed => self.completed,
            JobState::Failed => self.failed,
            JobState::Blocked => self.blocked,
            JobState::Cancelled => self.cancelled,
            JobState::Skipped => self.skipped,
            _ => None,
        }
    }
}

impl Walk {
    pub(super) fn retention(&mut self, node: &Node<'_>) -> Retention {
        let Kind::Mapping(entries) = &node.kind else {
            return self.keeping("retention", node).map(Retention::all).unwrap_or_default();
        };
        let mut keys = Keys::new(entries.iter());
        let mut time = |walk: &mut Self, key: &str| {
            keys.take(key).and_then(|entry| walk.keeping(&format!("retention.{key}"), &entry.value))
        };
        let retention = Retention {
            completed: time(self, "completed"),
            failed: time(self, "failed"),
            blocked: time(self, "blocked"),
            cancelled: time(self, "cancelled"),
            skipped: time(self, "skipped"),
        };
        self.unknown_keys(&keys, &RETENTION);
        retention
    }

    /// A duration; a number is days.
    fn keeping(&mut self, key: &str, node: &Node<'_>) -> Option<Duration> {
        if let Kind::Scalar(scalar) = &node.kind
            && let Meaning::Integer(_) = scalar.meaning()
        {
            return self.integer(key, node, 1..=36_500).map(|days| DAY * days);
        }
        self.duration(key, node, Zero::Refused)
    }

    pub(super) fn expire_options(&mut self, keys: &mut Keys<'_, '_>, task_span: Span) -> Method {
        let mut options = ExpireOptions { older_than: Field::Value(DAY), job_types: Vec::new() };
        let Some(entry) = keys.take("expire") else {
            self.missing_older_than(task_span);
            return Method::ExpireArtifacts(options);
        };
        let Some(entries) = self.mapping("expire", &entry.value) else { return Method::ExpireArtifacts(options) };
        let mut inner = Keys::new(entries);
        match inner.take("older_than") {
            Some(entry) => {
                if let Some(time) = self.duration_field("older_than", &entry.value, Zero::Refused) {
                    options.older_than = time;
                }
            }
            None => self.missing_older_than(entry.value.span),
        }
        if let Some(entry) = inner.take("job_types") {
            for item in self.list("expire.job_types", &entry.value).unwrap_or_default() {
                let Some(name) = self.text("an entry of expire.job_types", item) else { continue };
                self.check_job_type(&name, item.span);
                options.job_types.push(name);
            }
        }
        self.unknown_keys(&inner, &EXPIRE);
        Method::ExpireArtifacts(options)
    }

    fn missing_older_than(&mut self, span: Span) {
        self.problems.error_with_help(
            code::MISSING_KEY,
            span,
            "EXPIRE_ARTIFACTS needs `expire` with `older_than`",
            "say which artifacts may go: `expire: {older_than: 30d}`",
        );
    }
}
