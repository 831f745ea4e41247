//! What may have been lost: of whose ant the queen heard nothing for a lease, and what was killed with its machine.
//!
//! Times are those of the queen's own clock that nobody sets: by it she judges.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use atta_core::protocol::AttemptId;

/// A message that says that an ant lives.
#[derive(Debug)]
struct Message {
    at: Duration,
    session: u64,
    is_poll: bool,
    /// What she has not answered she may not have heard.
    answered: bool,
}

/// When the queen was there, and whom she heard.
#[derive(Debug, Default)]
pub(super) struct Hearings {
    /// From when to when there was a queen; the last one may still be there.
    queens: Vec<(Duration, Option<Duration>)>,
    messages: BTreeMap<usize, Vec<Message>>,
    /// When attempts were first given to an ant.
    given: BTreeMap<AttemptId, Duration>,
    /// Attempts whose shims were killed, or whose machines stopped.
    killed: BTreeSet<AttemptId>,
}

impl Hearings {
    pub(super) fn queen_begins(&mut self, at: Duration) {
        self.queens.push((at, None));
    }

    pub(super) fn queen_ends(&mut self, at: Duration) {
        if let Some((_, end @ None)) = self.queens.last_mut() {
            *end = Some(at);
        }
    }

    /// A message comes from an ant; its number is for [`Self::answered`].
    pub(super) fn arrives(&mut self, ant: usize, at: Duration, session: u64, is_poll: bool) -> usize {
        let messages = self.messages.entry(ant).or_default();
        messages.push(Message { at, session, is_poll, answered: false });
        messages.len() - 1
    }

    pub(super) fn answered(&mut self, ant: usize, number: usize) {
        if let Some(message) = self.messages.get_mut(&ant).and_then(|messages| messages.get_mut(number)) {
            message.answered = true;
        }
    }

    pub(super) fn gives(&mut self, attempt: &AttemptId, at: Duration) {
        self.given.entry(attempt.clone()).or_insert(at);
    }

    pub(super) fn killed(&mut self, attempt: AttemptId) {
        self.killed.insert(attempt);
    }

    /// Whether there was a reason, by then, for which an attempt of this ant may be lost.
    pub(super) fn may_be_lost(&self, attempt: &AttemptId, ant: usize, by: Duration, lease: Duration) -> bool {
        let since = self.given.get(attempt).copied().unwrap_or_default();
        self.killed.contains(attempt) || self.was_silent(ant, since, by, lease)
    }

    /// Whether, by then, a queen who was there had heard nothing of the ant for a lease, and not only before `since`.
    /// A new one gives everybody a lease of her own.
    pub(super) fn was_silent(&self, ant: usize, since: Duration, by: Duration, lease: Duration) -> bool {
        let mut known = BTreeSet::new();
        let mut heard = Vec::new();
        for message in self.messages.get(&ant).into_iter().flatten().filter(|message| message.answered) {
            // A sign of life of an ant that has not said what it has does not count.
            if message.is_poll {
                known.insert(message.session);
            }
            if known.contains(&message.session) {
                heard.push(message.at);
            }
        }
        self.queens.iter().any(|(from, to)| {
            let (mut last, end) = (*from, to.map_or(by, |to| to.min(by)));
            let there = heard.iter().copied().filter(|at| (*from..=end).contains(at));
            there.chain([end]).any(|at| {
                let silent = at.saturating_sub(last) >= lease && at >= since;
                last = at;
                silent
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    fn secs(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// A queen who comes at 0, and an ant that polls at 0 and gives signs of life then.
    fn heard(signs: &[u64]) -> Hearings {
        let mut hearings = Hearings::default();
        hearings.queen_begins(secs(0));
        for (number, at) in [0].iter().chain(signs).enumerate() {
            let message = hearings.arrives(0, secs(*at), 7, number == 0);
            hearings.answered(0, message);
        }
        hearings
    }

    #[test]
    fn only_silence_of_a_lease_in_the_time_of_one_queen_excuses_a_loss() {
        let silent = |hearings: &Hearings, since: u64, by: u64| hearings.was_silent(0, secs(since), secs(by), LEASE);
        assert!(!silent(&heard(&[29, 58]), 0, 80));
        assert!(silent(&heard(&[29, 59]), 0, 80), "a whole lease");
        assert!(!silent(&heard(&[29, 59]), 60, 80), "it was over before");
        assert!(silent(&heard(&[29]), 0, 59), "it lasts still");
        assert!(!silent(&heard(&[29, 70]), 0, 58), "it was not so long yet");
        // She was away for longer, and hears it again in time.
        let mut hearings = heard(&[20]);
        hearings.queen_ends(secs(40));
        hearings.queen_begins(secs(1_000));
        assert!(!silent(&hearings, 0, 1_029));
        assert!(silent(&hearings, 0, 1_030));
        // Neither what is not answered nor what comes before the first poll of its session is heard.
        let mut hearings = heard(&[]);
        hearings.arrives(0, secs(20), 7, false);
        let early = hearings.arrives(0, secs(21), 8, false);
        hearings.answered(0, early);
        assert!(silent(&hearings, 0, 30));
    }

    #[test]
    fn what_was_killed_may_be_lost_and_nothing_else_of_its_ant() {
        let mut hearings = heard(&[20, 40]);
        let (one, other) = (AttemptId("j-1".to_owned()), AttemptId("j-2".to_owned()));
        hearings.killed(one.clone());
        assert!(hearings.may_be_lost(&one, 0, secs(50), LEASE));
        assert!(!hearings.may_be_lost(&other, 0, secs(50), LEASE));
        hearings.gives(&other, secs(75));
        hearings.gives(&other, secs(90));
        assert!(hearings.may_be_lost(&other, 0, secs(80), LEASE), "it was given before the silence was over");
        assert!(!heard(&[20, 40, 70, 80]).was_silent(0, secs(75), secs(80), LEASE));
    }
}
