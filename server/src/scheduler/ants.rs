//! The ants that the queen knows: their sessions, slots and what they hold.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use atta_core::protocol::ant::{Orders, PollRequest, StopOrder, WorkspaceId};
use atta_core::protocol::{AntId, AttemptId};
use tokio::time::Instant;

use super::command::Reply;

/// An ant. It exists from its first poll on.
pub(super) struct Ant {
    pub(super) session: u64,
    pub(super) slots: usize,
    pub(super) tags: BTreeSet<String>,
    /// Attempts leased to it and not finished; each takes a slot.
    pub(super) held: HashSet<AttemptId>,
    /// Workspaces that it holds, as its latest poll said, and those that it was given since.
    pub(super) workspaces: BTreeSet<WorkspaceId>,
    /// Its waiting poll.
    pub(super) poll: Option<Poll>,
    /// Sessions that were replaced: a late message of one must not bring it back.
    replaced: HashSet<u64>,
    /// Stops and stale tokens that it has not been told yet.
    pub(super) notices: Orders,
}

/// A poll that waits for orders.
pub(super) struct Poll {
    pub(super) deadline: Instant,
    /// How many attempts the ant can take, as it sees it.
    pub(super) free_slots: usize,
    pub(super) reply: Reply<Orders>,
}

/// How a message's session relates to what is known of its ant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Session {
    /// The current one.
    Current,
    /// The ant is new, or was started again.
    New,
    /// It was replaced by another one.
    Replaced,
}

impl Ant {
    pub(super) fn new(request: &PollRequest) -> Self {
        Self {
            session: request.session,
            slots: request.slots as usize,
            tags: request.tags.iter().cloned().collect(),
            held: HashSet::new(),
            workspaces: BTreeSet::new(),
            poll: None,
            replaced: HashSet::new(),
            notices: Orders::default(),
        }
    }

    pub(super) fn session(&self, session: u64) -> Session {
        if session == self.session {
            Session::Current
        } else if self.replaced.contains(&session) {
            Session::Replaced
        } else {
            Session::New
        }
    }

    /// Its process was started again.
    pub(super) fn replace_session(&mut self, request: &PollRequest) {
        self.replaced.insert(self.session);
        self.session = request.session;
        self.notices = Orders::default();
    }

    /// Whether its poll waits for an answer.
    pub(super) fn can_be_told(&self) -> bool {
        self.poll.as_ref().is_some_and(|poll| !poll.reply.is_closed())
    }

    /// Slots that nothing holds.
    pub(super) fn free_slots(&self) -> usize {
        self.slots.saturating_sub(self.held.len())
    }
}

/// All ants, in a fixed order.
pub(super) type Ants = BTreeMap<AntId, Ant>;

/// Adds orders to orders.
pub(super) fn merge(into: &mut Orders, from: Orders) {
    into.assignments.extend(from.assignments);
    into.stops.extend(from.stops);
    into.stale.extend(from.stale);
    into.releases.extend(from.releases);
}

/// Whether there is nothing to say.
pub(super) fn is_empty(orders: &Orders) -> bool {
    orders.assignments.is_empty() && orders.stops.is_empty() && orders.stale.is_empty() && orders.releases.is_empty()
}

/// Orders with one stop.
pub(super) fn stop(attempt_id: AttemptId, token: u64, reason: String) -> Orders {
    Orders { stops: vec![StopOrder { attempt_id, token, reason }], ..Orders::default() }
}
