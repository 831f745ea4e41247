//! What an ant was told and has perhaps not heard.
//!
//! Orders with something in them have a serial, counted per ant and session. An ant says with every message which
//! serials have reached it. An assignment is said again under its serial until then, because a second serial could make
//! the ant run it a second time; a stop does no harm twice and is said again under a new one. Stale tokens and releases
//! are not remembered: the ant's next roster asks for them again. What is typed is remembered by `terminals`.

use std::collections::VecDeque;
use std::time::Duration;

use atta_core::protocol::AttemptId;
use atta_core::protocol::ant::{Heard, Orders, StopOrder};

/// How old an answer is when it counts as lost on the way. Saying it again in vain does no harm.
pub(super) const SAY_AGAIN: Duration = Duration::from_secs(3);
/// Serials above a gap, when the gap is closed with empty orders: the ant remembers each of them.
const GAP: usize = 8;

/// Orders on their way to an ant.
#[derive(Debug, Default)]
pub(super) struct Said {
    serial: u64,
    entries: VecDeque<Entry>,
    /// The ant is to hear something, be it empty: its answer shows that it speaks after it.
    pub(super) asks: bool,
    asked_at: Option<Duration>,
}

#[derive(Debug)]
struct Entry {
    /// Assignments and stops only.
    orders: Orders,
    at: Duration,
    /// Answers that carried it and may have arrived.
    times: u32,
}

/// What is known of orders that were given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GivenBack {
    /// Nobody has seen them.
    Unseen,
    /// Another answer has carried them too.
    PerhapsSeen,
}

impl Said {
    /// Gives orders the next serial.
    pub(super) fn stamp(&mut self, orders: &mut Orders, now: Duration) -> u64 {
        self.serial += 1;
        self.asks = false;
        orders.serial = self.serial;
        if !orders.assignments.is_empty() || !orders.stops.is_empty() {
            let kept = Orders { stale: Vec::new(), releases: Vec::new(), terminal: Vec::new(), ..orders.clone() };
            self.entries.push_back(Entry { orders: kept, at: now, times: 1 });
        }
        self.serial
    }

    /// The ant has heard these.
    pub(super) fn heard(&mut self, epoch: u64, heard: &Heard) {
        if heard.epoch == epoch && !self.entries.is_empty() {
            self.entries.retain(|entry| !covers(heard, entry.orders.serial));
        }
    }

    /// The ant has spoken of the attempt: it has heard of it.
    pub(super) fn spoke_of(&mut self, attempt: &AttemptId) {
        for entry in &mut self.entries {
            entry.orders.assignments.retain(|assignment| assignment.attempt_id != *attempt);
        }
    }

    /// Takes out the stops that seem to be lost on the way, as far as they are still `wanted`.
    pub(super) fn lost_stops(&mut self, now: Duration, wanted: impl Fn(&StopOrder) -> bool) -> Vec<StopOrder> {
        let mut stops = Vec::new();
        for entry in self.entries.iter_mut().filter(|entry| entry.is_late(now)) {
            stops.extend(std::mem::take(&mut entry.orders.stops).into_iter().filter(&wanted));
        }
        self.entries.retain(|entry| !entry.orders.assignments.is_empty() || !entry.orders.stops.is_empty());
        stops
    }

    /// The oldest assignments that seem to be lost on the way, as far as they are still `wanted`, under their serial.
    pub(super) fn lost_assignments(
        &mut self,
        now: Duration,
        wanted: impl Fn(&atta_core::protocol::ant::Assignment) -> bool,
    ) -> Option<Orders> {
        for entry in self.entries.iter_mut().filter(|entry| entry.is_late(now)) {
            entry.orders.assignments.retain(&wanted);
        }
        self.entries.retain(|entry| !entry.orders.assignments.is_empty() || !entry.orders.stops.is_empty());
        let late = |entry: &&mut Entry| entry.is_late(now) && !entry.orders.assignments.is_empty();
        let entry = self.entries.iter_mut().find(late)?;
        entry.at = now;
        entry.times += 1;
        Some(entry.orders.clone())
    }

    /// A serial that will never reach the ant, when it remembers too many above it.
    pub(super) fn gap(&self, epoch: u64, heard: &Heard) -> Option<u64> {
        let missing = heard.upto + 1;
        let is_gap = heard.epoch == epoch
            && heard.also.len() >= GAP
            && missing < self.serial
            && !heard.also.contains(&missing)
            && !self.entries.iter().any(|entry| entry.orders.serial == missing);
        is_gap.then_some(missing)
    }

    /// An answer was not taken by anybody.
    pub(super) fn give_back(&mut self, serial: u64) -> GivenBack {
        let Some(at) = self.entries.iter().position(|entry| entry.orders.serial == serial) else {
            return GivenBack::Unseen;
        };
        let entry = &mut self.entries[at];
        if entry.times > 1 {
            entry.times -= 1;
            entry.at = Duration::ZERO;
            return GivenBack::PerhapsSeen;
        }
        self.entries.remove(at);
        GivenBack::Unseen
    }

    /// Makes the next answer one that the ant has to hear, unless it was asked a moment ago.
    pub(super) fn ask_to_hear(&mut self, now: Duration) {
        if self.asked_at.is_none_or(|at| now >= at + SAY_AGAIN) {
            self.asked_at = Some(now);
            self.asks = true;
        }
    }
}

impl Entry {
    fn is_late(&self, now: Duration) -> bool {
        now >= self.at + SAY_AGAIN
    }
}

/// Whether these orders have reached the ant.
pub(super) fn covers(heard: &Heard, serial: u64) -> bool {
    serial <= heard.upto || heard.also.contains(&serial)
}
