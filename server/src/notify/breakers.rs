//! Which receivers are left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use atta_core::resilience::{Breaker, BreakerPolicy, BreakerState};

use super::NotifyConfig;
use crate::store::{Channel, ColumnName as _};

/// What is busy with one delivery. All e-mails go to the same server.
pub(super) type Destination = (Channel, String);

/// One breaker per receiver that failed lately.
pub(super) struct Breakers {
    policy: BreakerPolicy,
    /// Whoever has something for a receiver asks at least so often.
    longest: Duration,
    known: Mutex<BTreeMap<Destination, Arc<Breaker>>>,
}

impl Breakers {
    pub(super) fn new(config: &NotifyConfig) -> Self {
        Self { policy: config.breaker(), longest: config.longest_delay, known: Mutex::default() }
    }

    /// The receiver's.
    pub(super) fn of(&self, destination: &Destination) -> Arc<Breaker> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(destination.clone()).or_insert_with(|| Arc::new(Breaker::new(self.policy))))
    }

    /// Receivers that are left alone, and how long until the first of them is tried again. What nobody needs any more is
    /// forgotten.
    pub(super) fn left_alone(&self, now: Duration) -> (BTreeSet<Destination>, Option<Duration>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut closed, mut rest) = (BTreeSet::new(), None::<Duration>);
        let mut states = BTreeMap::new();
        known.retain(|destination, breaker| {
            let state = breaker.state(now);
            let forgotten = breaker.idle(now).checked_sub(self.longest);
            let needed = match state {
                BreakerState::Open => true,
                // One that works needs none before it fails.
                BreakerState::Closed if breaker.is_calm() => false,
                // Everything that was to go there has been given up, or is gone with its job.
                BreakerState::Closed | BreakerState::HalfOpen => forgotten.is_none(),
            };
            if !needed && Arc::strong_count(breaker) == 1 {
                return false;
            }
            *states.entry((destination.0, state.as_str())).or_insert(0_u32) += 1;
            let mut wake = breaker.wait(now);
            if wake.is_some() {
                closed.insert(destination.clone());
            } else if !breaker.is_calm() && needed {
                // To forget it then.
                wake = Some(self.longest.saturating_sub(breaker.idle(now)));
            }
            rest = [rest, wake].into_iter().flatten().min();
            true
        });
        for channel in [Channel::Webhook, Channel::Slack, Channel::Email] {
            for state in [BreakerState::Open, BreakerState::HalfOpen] {
                let count = states.get(&(channel, state.as_str())).copied().unwrap_or(0);
                metrics::gauge!("atta_breakers", "dependency" => channel.column_name(), "state" => state.as_str())
                    .set(f64::from(count));
            }
        }
        (closed, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atta_core::time::Entropy;

    struct Fixed;

    impl Entropy for Fixed {
        fn next_u64(&self) -> u64 {
            0
        }
    }

    fn count(breakers: &Breakers) -> usize {
        breakers.known.lock().unwrap().len()
    }

    #[test]
    fn a_receiver_that_nobody_asks_any_more_is_forgotten_after_the_longest_delay() {
        let config = NotifyConfig::default();
        let breakers = Breakers::new(&config);
        let (away, shaky) = ((Channel::Webhook, "away".to_owned()), (Channel::Webhook, "shaky".to_owned()));
        let at = Duration::from_secs(1);
        for _ in 0..5 {
            breakers.of(&away).ask(at).unwrap().failed(at, &Fixed);
        }
        breakers.of(&shaky).ask(at).unwrap().failed(at, &Fixed);
        breakers.of(&(Channel::Email, String::new())).ask(at).unwrap().succeeded();
        let (closed, wake) = breakers.left_alone(at);
        assert_eq!((closed.len(), count(&breakers)), (1, 2));
        assert_eq!(wake, Some(Duration::from_secs(30)), "the probe");

        let last = (at + config.longest_delay).saturating_sub(Duration::from_secs(1));
        let (closed, wake) = breakers.left_alone(last);
        assert_eq!((closed.len(), count(&breakers)), (0, 2), "somebody may wait for his next try");
        assert_eq!(wake, Some(Duration::from_secs(1)), "to look whether somebody did");
        let held = breakers.of(&away);
        assert_eq!(breakers.left_alone(last + Duration::from_secs(2)).1, None);
        assert_eq!(count(&breakers), 1, "one that is in use stays");
        drop(held);
        breakers.left_alone(last + Duration::from_secs(2));
        assert_eq!(count(&breakers), 0);
    }
}
