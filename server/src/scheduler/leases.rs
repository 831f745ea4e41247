//! Whether ants live: what anybody hears of an ant renews all its leases, and after a whole lease of silence they end.
//!
//! An ant is judged by what the queen could have heard, not by what the clock says. After two thirds of a lease without
//! a word it counts as silent, and a third later as lost; but when the queen finds that she herself was not awake at one
//! of these instants (she was stopped, the machine slept, the disk was full), she listens for another third first. What
//! waits in her queue is read before anybody is judged.

use std::time::Duration;

use atta_core::engine::{AttemptResult, AttemptState, Event, Failure, ResultName};
use atta_core::protocol::ant::Orders;
use atta_core::protocol::ants::AntMode;
use atta_core::protocol::{AntId, AttemptId};

use super::ants::Ant;
use super::state::State;

/// What the queen thinks of an ant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contact {
    /// It was heard of a moment ago.
    Live,
    /// The queen has noticed at this instant that it had been silent for a while.
    Silent(Duration),
    /// It was silent for a lease.
    Lost,
}

/// Ants that are lost within one lease, from which on it is no matter of single ants any more.
const MANY: usize = 3;

/// Ants of which nothing was heard for so long are forgotten, unless somebody took them out of service.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(24);

/// Ants that were lost a moment ago. When it is half of all, the network or something else in common has failed, and
/// they will be back soon: to give all their work to the others at once would only bring those down as well.
#[derive(Debug, Default)]
pub(super) struct Losses {
    recent: Vec<(Duration, AntId)>,
    /// Nothing is given out before this.
    pub(super) pause_until: Option<Duration>,
}

/// So late may the queen be at one of her looks: a share of the lease.
const LATE: u32 = 30;

impl Ant {
    /// Something was heard of it.
    pub(super) fn renew(&mut self, now: Duration) {
        self.heard_at = now;
        self.contact = Contact::Live;
    }

    fn is_forgettable(&self, now: Duration) -> bool {
        self.is_gone(now) && self.held.is_empty() && self.row.mode == AntMode::Open
    }

    /// Whether nothing is heard of it, and it is waited for.
    pub(super) fn is_lost(&self, now: Duration) -> bool {
        self.contact == Contact::Lost && !self.is_gone(now)
    }

    /// Whether nobody waits for it any more.
    pub(super) fn is_gone(&self, now: Duration) -> bool {
        self.contact == Contact::Lost && now >= self.heard_at + FORGOTTEN_AFTER
    }

    /// When to look at it next.
    fn look_at(&self, lease: Duration) -> Option<Duration> {
        match self.contact {
            Contact::Live => Some(self.heard_at + lease * 2 / 3),
            Contact::Silent(noticed) => Some((self.heard_at + lease).max(noticed + lease / 3)),
            Contact::Lost => None,
        }
    }
}

impl State {
    /// When the next ant or terminal is to be looked at, by the clock's monotonic time.
    pub(super) fn next_look(&self) -> Option<Duration> {
        let ants = self.ants.values().filter_map(|ant| ant.look_at(self.lease));
        ants.chain(self.losses.pause_until).chain(self.terminals.next_look()).min()
    }

    /// Looks at the ants that were silent. `all_read`: nothing waits that one of them may have said.
    pub(super) fn judge_ants(&mut self, all_read: bool) {
        let (now, lease) = (self.clock.monotonic(), self.lease);
        let mut lost = Vec::new();
        for (id, ant) in &mut self.ants {
            if ant.is_forgettable(now) {
                self.staged.forgotten_ants.insert(id.clone());
            }
            let Some(due) = ant.look_at(lease).filter(|due| *due <= now) else { continue };
            match ant.contact {
                Contact::Live => ant.contact = Contact::Silent(now),
                Contact::Silent(_) if now > due + lease / LATE => ant.contact = Contact::Silent(now),
                Contact::Silent(_) if all_read => lost.push(id.clone()),
                // The next batch reads on at once.
                Contact::Silent(_) | Contact::Lost => {}
            }
        }
        self.count_losses(now, &lost);
        for id in lost {
            self.give_up(&id);
        }
    }

    /// Pauses when at least half of the ants are lost within a lease.
    fn count_losses(&mut self, now: Duration, lost: &[AntId]) {
        let losses = &mut self.losses;
        if losses.pause_until.is_some_and(|until| until <= now) {
            losses.pause_until = None;
            self.service_changed = true;
            metrics::gauge!("atta_dispatch_paused").set(0.0);
        }
        losses.recent.retain(|(at, id)| now < *at + self.lease && !lost.contains(id));
        let with_slots = |id: &&AntId| self.ants.get(*id).is_some_and(|ant| ant.slots > 0 || !ant.held.is_empty());
        let lost: Vec<AntId> = lost.iter().filter(with_slots).cloned().collect();
        if lost.is_empty() {
            return;
        }
        losses.recent.extend(lost.into_iter().map(|id| (now, id)));
        let gone = losses.recent.len();
        let is_gone = |id: &AntId| losses.recent.iter().any(|(_, of)| of == id);
        let others = self.ants.iter().filter(|(id, ant)| ant.is_in_service() && ant.slots > 0 && !is_gone(id)).count();
        if gone >= MANY && gone >= others {
            tracing::error!(
                lost = gone,
                left = others,
                "many ants were lost at once: no work is given out for a lease"
            );
            metrics::counter!("atta_mass_losses_total").increment(1);
            metrics::gauge!("atta_dispatch_paused").set(1.0);
            losses.pause_until = Some(now + self.lease);
        }
    }

    /// Why nothing is given out at present, if so.
    pub(super) fn dispatch_is_paused(&self) -> Option<String> {
        let until = self.losses.pause_until?;
        (self.clock.monotonic() < until).then(|| {
            let (lost, lease) = (self.losses.recent.len(), self.lease.as_secs_f64());
            format!("waits for the ants: {lost} were lost at once, so no work is given out for {lease} s")
        })
    }

    /// The queen could not hear anybody: whoever was silent gets time to speak.
    pub(super) fn listen_anew(&mut self) {
        let now = self.clock.monotonic();
        for ant in self.ants.values_mut().filter(|ant| ant.contact != Contact::Lost) {
            ant.contact = Contact::Silent(now);
        }
    }

    /// An ant is gone: so are its attempts.
    fn give_up(&mut self, id: &AntId) {
        let lease = self.lease;
        let Some(ant) = self.ants.get(id) else { return };
        let mut held: Vec<AttemptId> = ant.held.keys().cloned().collect();
        held.sort();
        if !held.is_empty() {
            tracing::warn!(ant = %id, attempts = held.len(), "nothing was heard of an ant for a whole lease: what it runs is lost");
        }
        for attempt in held {
            let seconds = lease.as_secs_f64();
            self.lose(&attempt, format!("nothing was heard of the ant {id} for {seconds} s"));
        }
        self.staged.lost_ants.insert(id.clone());
    }

    /// That was stored.
    pub(super) fn given_up(&mut self, id: &AntId) {
        let Some(ant) = self.ants.get_mut(id) else { return };
        ant.contact = Contact::Lost;
        self.service_changed = true;
        // Before it gets work it has to say what it has.
        ant.met = false;
        ant.notices = Orders::default();
        if let Some(poll) = ant.poll.take() {
            // If it is there after all, it asks again, and hears what is stale.
            let _ = poll.reply.send(Ok(Orders { epoch: u64::from(self.epoch), ..Orders::default() }));
        }
        metrics::counter!("atta_ants_lost_total").increment(1);
    }

    /// An attempt ends without its result: a result like any other, unless what it does may be done twice.
    pub(super) fn lose(&mut self, attempt: &AttemptId, reason: String) {
        let Some((job, number)) = attempt.parts() else { return };
        if self.damaged.contains_key(&job) {
            for ant in self.ants.values_mut() {
                ant.held.remove(attempt);
            }
            return;
        }
        let live = self.jobs.get(&job);
        let task = live.and_then(|live| live.attempts.get(&number).map(|row| live.task(row.task)));
        let event = if task.is_some_and(|task| task.method.may_run_twice()) {
            Event::AttemptInterrupted { attempt: number }
        } else {
            Event::AttemptFinished {
                attempt: number,
                result: AttemptResult::Named(ResultName::Lost),
                failure: Some(Failure { code: ResultName::Lost.as_str().to_owned(), message: reason }),
                retry_after: None,
            }
        };
        match self.feed(&job, event, None) {
            // Whatever still comes under its token is stale.
            Ok(()) => self.clear_token(attempt),
            Err(error) => self.damage(&job, &error),
        }
    }

    /// An attempt provably never began: it is given out again at no cost.
    pub(super) fn give_again(&mut self, attempt: &AttemptId) {
        let Some((job, number)) = attempt.parts() else { return };
        let row = self.jobs.get(&job).and_then(|live| live.attempts.get(&number));
        let Some(ant) = row.filter(|row| row.state == AttemptState::Leased).and_then(|row| row.ant.clone()) else {
            return;
        };
        if self.damaged.contains_key(&job) {
            return;
        }
        if let Some(ant) = self.ants.get_mut(&AntId(ant)) {
            ant.held.remove(attempt);
        }
        match self.feed(&job, Event::AttemptReturned { attempt: number }, None) {
            Ok(()) => self.clear_token(attempt),
            Err(error) => self.damage(&job, &error),
        }
    }

    fn clear_token(&mut self, attempt: &AttemptId) {
        let Some((job, number)) = attempt.parts() else { return };
        if let Some(row) = self.jobs.get_mut(&job).and_then(|live| live.attempt_row(number)) {
            row.token = None;
        }
    }
}
