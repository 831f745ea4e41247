//! The ants that the queen knows: their sessions, slots and what they hold.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use atta_core::protocol::ant::{AntCondition, Orders, StopOrder, WorkspaceId};
use atta_core::protocol::ants::AntMode;
use atta_core::protocol::{AntId, AttemptId};
use atta_core::time::UnixMillis;
use tokio::time::Instant;

use super::command::Reply;
use super::leases::Contact;
use super::said::Said;
use crate::store::AntRow;

/// Earlier sessions of an ant that are remembered.
const REPLACED_KEPT: usize = 16;

/// An ant: one that has polled, or one that the database names.
pub(super) struct Ant {
    /// What is stored of it.
    pub(super) row: AntRow,
    /// Sessions whose place another one has taken: a late message of one must not bring it back.
    replaced: VecDeque<u64>,
    /// A poll of its session has come since the queen started, or since the ant was given up.
    pub(super) met: bool,
    /// That poll is not stored yet.
    pub(super) settling: bool,
    pub(super) contact: Contact,
    /// What it said about itself.
    pub(super) condition: Option<AntCondition>,
    /// When something was heard of it, by the clock's monotonic time.
    pub(super) heard_at: Duration,
    pub(super) slots: usize,
    pub(super) tags: BTreeSet<String>,
    /// Attempts leased to it and not finished; each takes a slot.
    pub(super) held: HashMap<AttemptId, Lease>,
    /// Workspaces that it holds, as its latest poll said, and those that it was given since.
    pub(super) workspaces: BTreeSet<WorkspaceId>,
    /// Its waiting poll.
    pub(super) poll: Option<Poll>,
    /// What it was told and has perhaps not heard.
    pub(super) said: Said,
    /// Stops and stale tokens that it has not been told yet.
    pub(super) notices: Orders,
}

/// What is known of a lease beyond its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) token: u64,
    pub(super) told: Told,
    /// The latest report that was applied.
    pub(super) sequence: u64,
}

/// When an ant was told of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Before its present process, or the queen's, began.
    Before,
    /// Not yet, as far as is known.
    NotYet,
    /// With the orders of this serial.
    With(u64),
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
    /// The latest one that the database knows; it has not polled since the queen started.
    Returning,
    /// The ant is new, or was started again.
    New,
    /// Another one has taken its place.
    Replaced,
}

impl Ant {
    /// One that has not polled yet: its time begins now.
    pub(super) fn awaited(row: AntRow, now: Duration) -> Self {
        Self {
            row,
            replaced: VecDeque::new(),
            met: false,
            settling: false,
            contact: Contact::Live,
            condition: None,
            heard_at: now,
            slots: 0,
            tags: BTreeSet::new(),
            held: HashMap::new(),
            workspaces: BTreeSet::new(),
            poll: None,
            said: Said::default(),
            notices: Orders::default(),
        }
    }

    /// One of which nothing is stored.
    pub(super) fn unknown(id: &AntId, now: Duration, at: UnixMillis) -> Self {
        let row = AntRow { id: id.clone(), session: None, mode: AntMode::Open, since: at, directory: None };
        Self::awaited(row, now)
    }

    /// Sessions grow: each process of an ant has a greater one than those before. So a lower one is of a process that
    /// has ended, unless nothing was heard of the greater one for a whole lease.
    pub(super) fn session(&self, session: u64) -> Session {
        match self.row.session {
            Some(current) if current == session && self.settling => Session::New,
            Some(current) if current == session && self.met => Session::Current,
            Some(current) if current == session => Session::Returning,
            Some(current) if session < current && self.contact != Contact::Lost => Session::Replaced,
            _ if self.replaced.contains(&session) => Session::Replaced,
            _ => Session::New,
        }
    }

    /// Another process of it has begun.
    pub(super) fn replace_session(&mut self, session: u64, at: UnixMillis) {
        if let Some(old) = self.row.session.replace(session).filter(|old| *old != session) {
            self.replaced.push_back(old);
            if self.replaced.len() > REPLACED_KEPT {
                self.replaced.pop_front();
            }
        }
        self.row.since = at;
        self.met = true;
        self.settling = true;
        self.said = Said::default();
        self.notices = Orders::default();
        for lease in self.held.values_mut() {
            lease.told = Told::Before;
        }
    }

    /// Whether its process is on another data directory than the one before it, with whatever was begun there. A program of
    /// the version before does not say it: then it is as likely the same one.
    pub(super) fn comes_from_elsewhere(&self, directory: Option<&str>) -> bool {
        self.row.directory.as_deref().zip(directory).is_some_and(|(before, now)| before != now)
    }

    /// Whether it is connected.
    pub(super) fn is_there(&self) -> bool {
        self.met && self.contact != Contact::Lost
    }

    /// Whether it can be given work: it has polled, and nobody has taken it out of service.
    pub(super) fn is_in_service(&self) -> bool {
        self.is_there() && self.row.mode == AntMode::Open
    }

    /// Whether its poll waits for an answer.
    pub(super) fn can_be_told(&self) -> bool {
        self.poll.as_ref().is_some_and(|poll| !poll.reply.is_closed())
    }

    /// Slots that nothing holds.
    pub(super) fn free_slots(&self) -> usize {
        self.slots.saturating_sub(self.held.len())
    }

    /// Takes note of something to tell it, once.
    pub(super) fn note(&mut self, orders: Orders) {
        merge(&mut self.notices, orders);
    }

    /// Gives orders a serial; what must reach the ant is remembered until it has.
    pub(super) fn stamp(&mut self, epoch: u64, orders: &mut Orders, now: Duration) {
        orders.epoch = epoch;
        if is_empty(orders) && !self.said.asks {
            return;
        }
        let serial = self.said.stamp(orders, now);
        for assignment in &orders.assignments {
            if let Some(lease) = self.held.get_mut(&assignment.attempt_id)
                && lease.token == assignment.token
            {
                lease.told = Told::With(serial);
            }
        }
    }
}

/// All ants, in a fixed order.
pub(super) type Ants = BTreeMap<AntId, Ant>;

/// Adds orders to orders. Stops, stale tokens and releases do no harm twice, but once is enough.
pub(super) fn merge(into: &mut Orders, from: Orders) {
    into.assignments.extend(from.assignments);
    add(&mut into.stops, from.stops, |a, b| a.attempt_id == b.attempt_id && a.token == b.token);
    add(&mut into.stale, from.stale, |a, b| a == b);
    add(&mut into.releases, from.releases, |a, b| a.workspace == b.workspace);
    into.terminal.extend(from.terminal);
}

fn add<T>(into: &mut Vec<T>, from: Vec<T>, same: impl Fn(&T, &T) -> bool) {
    for item in from {
        if !into.iter().any(|known| same(known, &item)) {
            into.push(item);
        }
    }
}

/// Whether there is nothing to say.
pub(super) fn is_empty(orders: &Orders) -> bool {
    orders.assignments.is_empty()
        && orders.stops.is_empty()
        && orders.stale.is_empty()
        && orders.releases.is_empty()
        && orders.terminal.is_empty()
}

/// Orders with one stop.
pub(super) fn stop(attempt_id: AttemptId, token: u64, reason: String) -> Orders {
    Orders { stops: vec![StopOrder { attempt_id, token, reason }], ..Orders::default() }
}
