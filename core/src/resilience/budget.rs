//! How many requests may be repetitions.

use std::sync::{Mutex, PoisonError};

/// A token bucket that answers fill and repetitions empty: when everything fails, only the reserve is said again at once,
/// and what has been answered since allows for more.
///
/// Over any time, `retries ≤ reserve + percent / 100 × answers`.
#[derive(Debug)]
pub struct RetryBudget {
    percent: u32,
    /// Hundredths of a repetition.
    most: u64,
    tokens: Mutex<u64>,
}

impl RetryBudget {
    /// Repetitions are at most this share of answers, beyond a reserve for times with few of them.
    pub const fn new(percent: u32, reserve: u32) -> Self {
        let most = reserve as u64 * 100;
        Self { percent, most, tokens: Mutex::new(most) }
    }

    /// Something was answered.
    pub fn answered(&self) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        *tokens = tokens.saturating_add(u64::from(self.percent)).min(self.most);
    }

    /// Whether something may be sent again; if so it is counted.
    pub fn retry(&self) -> bool {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        match tokens.checked_sub(100) {
            Some(rest) => {
                *tokens = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn repetitions_stay_within_their_share(
            percent in 0_u32..=100, reserve in 0_u32..20, steps in proptest::collection::vec(any::<bool>(), 0..2_000),
        ) {
            let budget = RetryBudget::new(percent, reserve);
            let (mut answers, mut retries) = (0_u64, 0_u64);
            for is_answer in steps {
                if is_answer {
                    budget.answered();
                    answers += 1;
                } else {
                    retries += u64::from(budget.retry());
                }
                prop_assert!(retries * 100 <= u64::from(reserve) * 100 + answers * u64::from(percent));
            }
        }
    }

    #[test]
    fn an_empty_budget_fills_with_answers() {
        let budget = RetryBudget::new(10, 2);
        assert!(budget.retry() && budget.retry() && !budget.retry());
        for _ in 0..9 {
            budget.answered();
        }
        assert!(!budget.retry());
        budget.answered();
        assert!(budget.retry() && !budget.retry());
    }
}
