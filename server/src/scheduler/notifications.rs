//! What is to be told to whom. It is written down in the transaction of what it tells of, and sent by others later.

use atta_core::definition::{Notification, TemplateText};
use atta_core::engine::JobState;
use atta_core::protocol::people::DeliveryState;
use atta_core::time::UnixMillis;
use serde_json::{Map, Value, json};

use super::command::Command;
use super::live::LiveJob;
use super::state::State;
use super::{Queen, Refusal};
use crate::store::{ApprovalRow, Channel, DeliveryChange, DeliveryOutcome, OutboxRow, StoreWriter, json as to_json};

/// The address that stands for everybody who may vote.
const VOTERS: &str = "voters";

/// Longest text of an entry's own, in bytes.
const LONGEST_TEXT: usize = 16 * 1024;

/// Something that people may want to be told.
#[derive(Debug, Clone)]
pub(super) enum Occasion {
    /// The job is in this state now.
    Job(JobState),
    /// A vote is asked for.
    Asked(Box<ApprovalRow>),
    /// Too few voted in time.
    NotAnswered(Box<ApprovalRow>),
}

impl Occasion {
    fn event(&self) -> &'static str {
        match self {
            Self::Job(JobState::Completed) => "job.completed",
            Self::Job(JobState::Failed) => "job.failed",
            Self::Job(JobState::Blocked) => "job.blocked",
            Self::Job(JobState::Cancelled) => "job.cancelled",
            Self::Job(JobState::Skipped) => "job.skipped",
            Self::Job(JobState::Paused) => "job.paused",
            Self::Job(_) => "job.changed",
            Self::Asked(_) => "approval.requested",
            Self::NotAnswered(_) => "approval.timed_out",
        }
    }

    fn approval(&self) -> Option<&ApprovalRow> {
        match self {
            Self::Job(_) => None,
            Self::Asked(row) | Self::NotAnswered(row) => Some(row),
        }
    }

    fn concerns(&self, notification: &Notification) -> bool {
        match self {
            Self::Job(state) => notification.is_about(*state),
            Self::Asked(_) | Self::NotAnswered(_) => notification.is_about_approvals(),
        }
    }

    fn title(&self, live: &LiveJob) -> String {
        let of = format!("{} {}", live.row.job_type, live.row.id);
        match self {
            Self::Job(state) => format!("{of} {}", state.as_str()),
            Self::Asked(row) => format!("{of} waits for an approval: {}", row.task),
            Self::NotAnswered(row) => format!("{of}: the approval {} was not decided in time", row.task),
        }
    }
}

impl State {
    /// An id that sorts by time.
    pub(super) fn new_id(&self, prefix: &str) -> String {
        let id = self.new_job_id().0;
        format!("{prefix}_{}", id.strip_prefix("job_").unwrap_or(&id))
    }

    /// Turns what happened in the batch into rows of the outbox, when everything about the jobs is known.
    pub(super) fn write_occasions(&mut self) {
        if self.staged.occasions.is_empty() {
            return;
        }
        for (job, occasion) in std::mem::take(&mut self.staged.occasions) {
            let Some(live) = self.jobs.get(&job) else { continue };
            // The definition as it was when the job was submitted.
            let mut rows = Vec::new();
            for (rule, notification) in live.definition.notify.iter().enumerate() {
                if !occasion.concerns(notification) {
                    continue;
                }
                let content = self.content(live, &occasion, notification);
                for (channel, recipient, voter, destination) in self.recipients(notification, &occasion) {
                    rows.push(OutboxRow {
                        id: self.new_id("ntf"),
                        job: job.clone(),
                        event: occasion.event(),
                        rule: u32::try_from(rule).unwrap_or(u32::MAX),
                        channel,
                        recipient,
                        voter,
                        destination,
                        content: to_json(&content),
                        created_at: self.clock.now(),
                    });
                }
            }
            self.staged.outbox.append(&mut rows);
        }
    }

    /// Channel, number of the address, voter and the destination in the definition's own words.
    fn recipients(
        &self,
        notification: &Notification,
        occasion: &Occasion,
    ) -> Vec<(Channel, u32, Option<String>, String)> {
        let mut found = Vec::new();
        if let Some(target) = &notification.webhook {
            found.push((Channel::Webhook, 0, None, target.url.source.clone()));
        }
        if let Some(target) = &notification.slack {
            found.push((Channel::Slack, 0, None, target.url.source.clone()));
        }
        for (number, address) in (0..).zip(notification.email.iter().flat_map(|target| &target.to)) {
            let text = address.source.trim();
            if text != VOTERS {
                found.push((Channel::Email, number, None, text.to_owned()));
                continue;
            }
            let Some(row) = occasion.approval() else { continue };
            let mut voters = row.policy.users.clone();
            voters.extend(row.policy.roles.iter().flat_map(|role| self.directory.holders(role)));
            voters.sort();
            voters.dedup();
            for voter in voters {
                if let Some(email) = self.directory.email(&voter) {
                    found.push((Channel::Email, number, Some(voter), email));
                } else {
                    tracing::warn!(%voter, approval = row.id, "no e-mail address is known of somebody who may vote");
                }
            }
        }
        found
    }

    fn content(&self, live: &LiveJob, occasion: &Occasion, notification: &Notification) -> Value {
        let row = &live.row;
        let error = row.failure.as_ref().map(|failure| json!({"code": failure.code, "message": failure.message}));
        let mut content = Map::new();
        content.insert("event".to_owned(), occasion.event().into());
        content.insert("title".to_owned(), occasion.title(live).into());
        content.insert("occurred_at".to_owned(), live.last_at.to_rfc3339().into());
        if let Some(template) = &notification.message {
            content.insert("message".to_owned(), self.told(live, "notify.message", template).into());
        }
        if let Some(template) = notification.email.as_ref().and_then(|email| email.subject.as_ref()) {
            content.insert("subject".to_owned(), self.told(live, "notify.email.subject", template).into());
        }
        content.insert(
            "job".to_owned(),
            json!({
                "job_id": row.id,
                "job_type": row.job_type,
                "version": row.version,
                "state": row.state.as_str(),
                "reason": row.reason,
                "attempt": row.attempt,
                "user_key": row.user_key,
                "description": row.description,
                "submitted_by": row.submitted_by,
                "created_at": row.created_at.to_rfc3339(),
                "started_at": row.started_at.map(UnixMillis::to_rfc3339),
                "finished_at": row.finished_at.map(UnixMillis::to_rfc3339),
                "error": error,
            }),
        );
        if let Some(asked) = occasion.approval() {
            content.insert(
                "approval".to_owned(),
                json!({
                    "approval_id": asked.id,
                    "task": asked.task,
                    "message": asked.message,
                    "min_approvals": asked.policy.min_approvals,
                    "users": asked.policy.users,
                    "roles": asked.policy.roles,
                    "unanimous": asked.policy.unanimous,
                    "deadline": asked.deadline.map(UnixMillis::to_rfc3339),
                }),
            );
        }
        Value::Object(content)
    }

    /// A text of the definition's own. It never keeps a message from being sent.
    fn told(&self, live: &LiveJob, key: &str, template: &TemplateText) -> String {
        let scope = live.variables(live.builtins(None), &self.renderer, true);
        let mut text = self
            .renderer
            .render_text(&template.source, &scope)
            .unwrap_or_else(|problem| format!("({})", live.explain(key, template, &problem)));
        if text.len() > LONGEST_TEXT {
            let mut end = LONGEST_TEXT;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push('…');
        }
        text
    }

    /// A delivery that was given up, or that waits, is tried now.
    pub(super) async fn redeliver(&mut self, database: &mut StoreWriter, id: &str) -> Result<(), Refusal> {
        match database.delivery_state(id).await? {
            None => return Err(Refusal::NotFound { what: format!("notification {id}") }),
            Some(DeliveryState::Sent) => {
                return Err(Refusal::Conflict {
                    code: "ALREADY_SENT",
                    message: format!("the notification {id} has arrived: it is not sent twice"),
                });
            }
            Some(DeliveryState::Pending | DeliveryState::Dead) => {}
        }
        let change = DeliveryChange { id: id.to_owned(), outcome: DeliveryOutcome::Anew, at: self.clock.now() };
        self.staged.outcomes.push(change);
        Ok(())
    }
}

impl Queen {
    /// Tries a delivery anew that was given up, or brings one forward that waits.
    pub async fn redeliver(&self, id: &str) -> Result<(), Refusal> {
        let id = id.to_owned();
        self.ask(|reply| Command::Redeliver { id, reply }).await
    }

    /// Stores what became of deliveries.
    pub(crate) async fn delivered(&self, changes: Vec<DeliveryChange>) -> Result<(), Refusal> {
        self.ask(|reply| Command::Delivered { changes, reply }).await
    }

    /// Wakes when something is to be told to somebody.
    pub(crate) async fn outbox_changed(&self) {
        self.inner.outbox_changed.notified().await;
    }
}
