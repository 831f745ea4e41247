//! What has changed without an event of a job: whoever shows it reads it again.

use std::collections::HashSet;

use atta_core::protocol::JobId;
use tokio::sync::watch;

use super::state::Staged;

/// A part of what the API shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Jobs that were made, or whose reason to wait is another one.
    Jobs,
    /// Definitions, their versions and when they run next.
    Definitions,
    /// Ants: who is there, and who takes work.
    Ants,
    /// The names of configs and secrets.
    Configs,
    /// API tokens.
    Tokens,
    /// What came to webhooks.
    Deliveries,
    /// Messages on their way to people.
    Notifications,
    /// What is spent, the accounts, and what the server leaves out at present.
    Status,
    /// What somebody has done, written down.
    Audit,
}

impl Topic {
    const ALL: [Self; 9] = [
        Self::Jobs,
        Self::Definitions,
        Self::Ants,
        Self::Configs,
        Self::Tokens,
        Self::Deliveries,
        Self::Notifications,
        Self::Status,
        Self::Audit,
    ];

    /// Its name in a stream.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Definitions => "definitions",
            Self::Ants => "ants",
            Self::Configs => "configs",
            Self::Tokens => "tokens",
            Self::Deliveries => "deliveries",
            Self::Notifications => "notifications",
            Self::Status => "status",
            Self::Audit => "audit",
        }
    }
}

/// How often each topic has changed since the server began. Whoever looks now and then misses none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes([u64; Topic::ALL.len()]);

impl Changes {
    /// What has changed since an earlier look.
    pub fn since(self, earlier: Self) -> impl Iterator<Item = Topic> {
        Topic::ALL.into_iter().filter(move |topic| self.0[*topic as usize] != earlier.0[*topic as usize])
    }

    /// Memory was read again: nobody knows what has changed.
    pub(super) fn note_all(changes: &watch::Sender<Self>) {
        changes.send_modify(|changes| changes.0.iter_mut().for_each(|count| *count += 1));
    }

    /// Counts what a batch has stored, and wakes those who wait for it.
    pub(super) fn note(changes: &watch::Sender<Self>, staged: &Staged, tier_changed: bool) {
        changes.send_if_modified(|changes| {
            let mut any = false;
            for topic in Topic::ALL.into_iter().filter(|topic| has(*topic, staged, tier_changed)) {
                changes.0[topic as usize] += 1;
                any = true;
            }
            any
        });
    }
}

fn has(topic: Topic, staged: &Staged, tier_changed: bool) -> bool {
    match topic {
        // What has an event is told by it.
        Topic::Jobs => {
            let told: HashSet<&JobId> = staged.events.iter().map(|event| &event.job).collect();
            staged.touched.iter().any(|job| !told.contains(job))
        }
        Topic::Definitions => {
            !staged.definitions.is_empty() || !staged.versions.is_empty() || !staged.labels.is_empty()
        }
        Topic::Ants => !staged.ants.is_empty() || !staged.forgotten_ants.is_empty() || !staged.lost_ants.is_empty(),
        Topic::Configs => !staged.configs.is_empty(),
        Topic::Tokens => !staged.tokens.is_empty(),
        Topic::Deliveries => !staged.deliveries.is_empty(),
        Topic::Notifications => !staged.outbox.is_empty() || !staged.outcomes.is_empty(),
        Topic::Status => {
            tier_changed
                || !staged.spend_days.is_empty()
                || !staged.accounts.is_empty()
                || !staged.job_budgets.is_empty()
        }
        Topic::Audit => !staged.audit.is_empty(),
    }
}
