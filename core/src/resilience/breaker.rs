//! A circuit breaker (Nygard, "Release It!"): who fails again and again is left alone, and asked by one probe at a time
//! whether it is back.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::backoff::{Backoff, up_to};
use crate::time::Entropy;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// So many failures in a row open it.
    pub failures: u32,
    /// How long it stays open: between half the bound and the whole, and the bound grows with each probe that fails.
    pub open: Backoff,
}

/// How a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything passes.
    Closed,
    /// Nothing passes.
    Open,
    /// One probe may pass, or is on its way.
    HalfOpen,
}

impl BreakerState {
    /// For metrics and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

#[derive(Debug)]
enum Circuit {
    Closed { failures: u32 },
    Open { until: Duration, trips: u32 },
    Probing { trips: u32 },
}

#[derive(Debug)]
struct Inner {
    circuit: Circuit,
    /// Grows whenever the breaker opens or closes: what was sent before says nothing about now.
    generation: u64,
    /// When somebody last asked for leave.
    asked: Duration,
}

/// See the module. Time is monotonic, since any instant.
#[derive(Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    inner: Mutex<Inner>,
}

/// Leave to send once. Dropped without a word (the caller gave up) it says nothing about the remote; a probe's place is
/// free again.
#[derive(Debug)]
#[must_use = "say what came of it"]
pub struct Permit<'a> {
    breaker: &'a Breaker,
    generation: u64,
    probe: bool,
}

impl Breaker {
    /// Closed.
    pub const fn new(policy: BreakerPolicy) -> Self {
        let inner = Inner { circuit: Circuit::Closed { failures: 0 }, generation: 0, asked: Duration::ZERO };
        Self { policy, inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leave to send; or how long to wait before asking again. While a probe is on its way that is how long the breaker
    /// was open at least.
    pub fn ask(&self, now: Duration) -> Result<Permit<'_>, Duration> {
        let mut inner = self.inner();
        inner.asked = now;
        let generation = inner.generation;
        match inner.circuit {
            Circuit::Closed { .. } => Ok(Permit { breaker: self, generation, probe: false }),
            Circuit::Open { until, trips } if until <= now => {
                inner.circuit = Circuit::Probing { trips };
                Ok(Permit { breaker: self, generation, probe: true })
            }
            Circuit::Open { until, .. } => Err(until.saturating_sub(now)),
            Circuit::Probing { trips } => Err(self.policy.open.bound(trips) / 2),
        }
    }

    /// How it stands.
    pub fn state(&self, now: Duration) -> BreakerState {
        match self.inner().circuit {
            Circuit::Closed { .. } => BreakerState::Closed,
            Circuit::Open { until, .. } if until > now => BreakerState::Open,
            Circuit::Open { .. } | Circuit::Probing { .. } => BreakerState::HalfOpen,
        }
    }

    /// How long nothing passes, when nothing passes now.
    pub fn wait(&self, now: Duration) -> Option<Duration> {
        match self.inner().circuit {
            Circuit::Open { until, .. } => until.checked_sub(now).filter(|left| !left.is_zero()),
            _ => None,
        }
    }

    /// How long nobody has asked for leave.
    pub fn idle(&self, now: Duration) -> Duration {
        now.saturating_sub(self.inner().asked)
    }

    /// Whether the last thing that came back was a success, or nothing was sent.
    pub fn is_calm(&self) -> bool {
        matches!(self.inner().circuit, Circuit::Closed { failures: 0 })
    }

    /// It is known otherwise that the remote is back.
    pub fn close(&self) {
        let mut inner = self.inner();
        if !matches!(inner.circuit, Circuit::Closed { failures: 0 }) {
            inner.circuit = Circuit::Closed { failures: 0 };
            inner.generation += 1;
        }
    }

    fn open(&self, inner: &mut Inner, trips: u32, now: Duration, entropy: &dyn Entropy) {
        let half = self.policy.open.bound(trips) / 2;
        inner.circuit = Circuit::Open { until: now + half + up_to(half, entropy), trips };
        inner.generation += 1;
    }
}

impl Permit<'_> {
    /// Whether this is the one probe.
    pub fn is_probe(&self) -> bool {
        self.probe
    }

    /// The remote answered, whatever it said.
    pub fn succeeded(mut self) {
        let probe = std::mem::take(&mut self.probe);
        let mut inner = self.breaker.inner();
        if inner.generation != self.generation {
            return;
        }
        inner.circuit = Circuit::Closed { failures: 0 };
        inner.generation += u64::from(probe);
    }

    /// It did not, or it cannot work now.
    pub fn failed(mut self, now: Duration, entropy: &dyn Entropy) {
        let probe = std::mem::take(&mut self.probe);
        let breaker = self.breaker;
        let mut inner = breaker.inner();
        if inner.generation != self.generation {
            return;
        }
        match &mut inner.circuit {
            Circuit::Closed { failures } => {
                *failures += 1;
                if *failures >= breaker.policy.failures {
                    breaker.open(&mut inner, 1, now, entropy);
                }
            }
            Circuit::Probing { trips } if probe => {
                let trips = trips.saturating_add(1);
                breaker.open(&mut inner, trips, now, entropy);
            }
            Circuit::Probing { .. } | Circuit::Open { .. } => {}
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if !self.probe {
            return;
        }
        let mut inner = self.breaker.inner();
        if inner.generation == self.generation
            && let Circuit::Probing { trips } = inner.circuit
        {
            inner.circuit = Circuit::Open { until: Duration::ZERO, trips };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixed::Fixed;
    use super::*;
    use proptest::prelude::*;
    use std::sync::Barrier;

    const POLICY: BreakerPolicy = BreakerPolicy {
        failures: 3,
        open: Backoff { first: Duration::from_secs(1), factor: 2, cap: Duration::from_secs(8) },
    };

    fn tripped(at: Duration) -> Breaker {
        let breaker = Breaker::new(POLICY);
        for _ in 0..POLICY.failures {
            breaker.ask(at).expect("it is closed").failed(at, &Fixed(0));
        }
        breaker
    }

    #[test]
    fn of_a_hundred_callers_at_once_exactly_one_is_the_probe() {
        for round in 0..20 {
            let breaker = tripped(Duration::ZERO);
            let now = Duration::from_secs(1);
            assert_eq!(breaker.state(now), BreakerState::HalfOpen);
            let barrier = Barrier::new(100);
            let permits: Vec<bool> = std::thread::scope(|scope| {
                let callers: Vec<_> = (0..100)
                    .map(|_| {
                        scope.spawn(|| {
                            barrier.wait();
                            match breaker.ask(now) {
                                Ok(permit) => {
                                    assert!(permit.is_probe());
                                    // It stays on its way until all have asked.
                                    Some(permit)
                                }
                                Err(_) => None,
                            }
                        })
                    })
                    .collect();
                let permits: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
                permits.iter().map(Option::is_some).collect()
            });
            assert_eq!(permits.iter().filter(|passed| **passed).count(), 1, "round {round}");
        }
    }

    #[test]
    fn a_probe_that_works_lets_everybody_through_and_one_that_fails_doubles_the_wait() {
        let breaker = tripped(Duration::ZERO);
        assert_eq!(breaker.ask(Duration::ZERO).map(|_| ()), Err(Duration::from_millis(500)));
        let at = Duration::from_millis(500);
        breaker.ask(at).expect("a probe").failed(at, &Fixed(0));
        assert_eq!(breaker.ask(at).map(|_| ()), Err(Duration::from_secs(1)));
        let at = Duration::from_millis(1_500);
        breaker.ask(at).expect("a probe").succeeded();
        assert_eq!(breaker.state(at), BreakerState::Closed);
        let (a, b) = (breaker.ask(at).expect("closed"), breaker.ask(at).expect("closed"));
        assert!(!a.is_probe() && !b.is_probe());
        a.succeeded();
        b.succeeded();
    }

    #[test]
    fn a_probe_that_is_given_up_leaves_its_place_to_another() {
        let breaker = tripped(Duration::ZERO);
        let at = Duration::from_secs(1);
        drop(breaker.ask(at).expect("a probe"));
        assert!(breaker.ask(at).expect("another probe").is_probe());
    }

    #[test]
    fn what_was_sent_before_it_opened_says_nothing_afterwards() {
        let breaker = Breaker::new(POLICY);
        let at = Duration::ZERO;
        let late: Vec<_> = (0..5).map(|_| breaker.ask(at).expect("closed")).collect();
        for permit in late {
            permit.failed(at, &Fixed(0));
        }
        assert_eq!(breaker.ask(at).map(|_| ()), Err(Duration::from_millis(500)), "five failures are one trip");
        let early = Breaker::new(POLICY);
        let success = early.ask(at).expect("closed");
        for _ in 0..3 {
            early.ask(at).expect("closed").failed(at, &Fixed(0));
        }
        success.succeeded();
        assert_eq!(early.state(at), BreakerState::Open);
        early.close();
        assert_eq!(early.state(at), BreakerState::Closed);
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Ask,
        Succeed(usize),
        Fail(usize),
        GiveUp(usize),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Ask),
            1 => (0_usize..8).prop_map(Step::Succeed),
            3 => (0_usize..8).prop_map(Step::Fail),
            1 => (0_usize..8).prop_map(Step::GiveUp),
            2 => (0_u64..3_000).prop_map(Step::Pass),
        ]
    }

    proptest! {
        #[test]
        fn in_any_order_there_is_one_probe_at_most_and_nothing_passes_beside_it(
            steps in proptest::collection::vec(step(), 0..200), dice: u64,
        ) {
            let breaker = Breaker::new(POLICY);
            let mut now = Duration::ZERO;
            let mut permits: Vec<Permit<'_>> = Vec::new();
            for step in steps {
                let probes = permits.iter().filter(|permit| permit.is_probe()).count();
                prop_assert!(probes <= 1);
                let state = breaker.state(now);
                match step {
                    Step::Ask => match breaker.ask(now) {
                        Ok(permit) => {
                            prop_assert!(state != BreakerState::Open);
                            prop_assert_eq!(permit.is_probe(), state == BreakerState::HalfOpen);
                            prop_assert!(!permit.is_probe() || probes == 0);
                            permits.push(permit);
                        }
                        Err(wait) => {
                            prop_assert!(state != BreakerState::Closed);
                            prop_assert!(wait <= POLICY.open.cap);
                        }
                    },
                    Step::Succeed(at) if at < permits.len() => permits.swap_remove(at).succeeded(),
                    Step::Fail(at) if at < permits.len() => permits.swap_remove(at).failed(now, &Fixed(dice)),
                    Step::GiveUp(at) if at < permits.len() => drop(permits.swap_remove(at)),
                    Step::Pass(millis) => now += Duration::from_millis(millis),
                    _ => {}
                }
            }
            // Whatever happened, it never stays shut for ever.
            permits.clear();
            now += POLICY.open.cap;
            prop_assert!(breaker.ask(now).is_ok());
        }
    }
}
