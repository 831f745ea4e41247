//! Pauses between tries: exponential, with full jitter.

use std::time::Duration;

use crate::time::Entropy;

/// How pauses grow. Full jitter (Brooker, "Exponential Backoff And Jitter", 2015): each is uniform between nothing and a
/// bound, and the bound grows. So those who failed together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The bound of the first pause.
    pub first: Duration,
    /// By how much the bound grows with each failure.
    pub factor: u32,
    /// The bound of all pauses.
    pub cap: Duration,
}

impl Backoff {
    /// The longest pause after so many failures in a row; none after none.
    pub fn bound(&self, failures: u32) -> Duration {
        let Some(grown) = failures.checked_sub(1) else { return Duration::ZERO };
        self.first.saturating_mul(self.factor.saturating_pow(grown)).min(self.cap)
    }

    /// The pause after so many failures in a row: between nothing and [`Self::bound`], both included.
    pub fn delay(&self, failures: u32, entropy: &dyn Entropy) -> Duration {
        up_to(self.bound(failures), entropy)
    }
}

/// Uniform between nothing and a bound, both included, to the microsecond.
pub(super) fn up_to(bound: Duration, entropy: &dyn Entropy) -> Duration {
    let micros = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX - 1);
    Duration::from_micros(entropy.next_u64() % micros.saturating_add(1))
}

/// The pauses of one who tries until it works.
#[derive(Debug, Clone, Copy)]
pub struct Pauses {
    backoff: Backoff,
    failures: u32,
}

impl Pauses {
    /// Nothing has failed yet.
    pub fn new(backoff: Backoff) -> Self {
        Self { backoff, failures: 0 }
    }

    /// How long to wait after one more failure.
    pub fn next(&mut self, entropy: &dyn Entropy) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.backoff.delay(self.failures, entropy)
    }

    /// It worked.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since it last worked.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixed::Fixed;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_pause_is_never_longer_than_its_bound_nor_the_bound_than_the_cap(
            first in 0_u64..10_000_000, factor in 1_u32..10, cap in 0_u64..100_000_000, failures in 0_u32..100, dice: u64,
        ) {
            let (first, cap) = (Duration::from_micros(first), Duration::from_micros(cap));
            let backoff = Backoff { first, factor, cap };
            let bound = backoff.bound(failures);
            prop_assert!(bound <= cap);
            prop_assert!(backoff.bound(failures.saturating_add(1)) >= bound, "it does not shrink");
            prop_assert!(backoff.delay(failures, &Fixed(dice)) <= bound);
        }

        #[test]
        fn both_ends_of_the_bound_can_come(micros in 0_u64..1_000_000) {
            let bound = Duration::from_micros(micros);
            prop_assert_eq!(up_to(bound, &Fixed(0)), Duration::ZERO);
            prop_assert_eq!(up_to(bound, &Fixed(micros)), bound);
        }
    }

    #[test]
    fn pauses_begin_anew_when_it_worked() {
        let backoff = Backoff { first: Duration::from_millis(50), factor: 2, cap: Duration::from_secs(10) };
        let mut pauses = Pauses::new(backoff);
        let greatest = Fixed(100_000_000 - 1);
        for _ in 0..3 {
            pauses.next(&greatest);
        }
        assert_eq!((pauses.failures(), backoff.bound(3)), (3, Duration::from_millis(200)));
        pauses.reset();
        pauses.next(&greatest);
        assert_eq!(pauses.failures(), 1);
        assert_eq!((backoff.bound(0), backoff.bound(1000)), (Duration::ZERO, Duration::from_secs(10)));
    }
}
