//! Budgets: what becomes of an agent that used up its part, and of a job with nothing left. How much that is, is counted
//! outside; here is only what follows.

use super::decide::{Done, Step};
use super::event::AttemptNumber;
use super::run::{Phase, StopKind};
use super::status::{AttemptResult, AttemptState, Failure};

/// The code of a job that a budget stopped.
pub const BUDGET_EXCEEDED: &str = "BUDGET_EXCEEDED";

impl Step<'_> {
    /// Of an attempt that no ant has: ignored.
    pub(super) fn over_budget(&mut self, number: AttemptNumber, result: AttemptResult, failure: &Failure) -> Done {
        let attempt = self.known(number)?;
        if !matches!(attempt.state, AttemptState::Leased | AttemptState::Running) {
            return Ok(());
        }
        if attempt.killed || self.run.phase != Phase::Ordinary {
            return self.finished(number, result, Some(failure.clone()));
        }
        self.close(number, result, failure)?;
        self.begin_attempt(attempt.unit())
    }

    /// The final phase has no budget, and what is over needs none.
    pub(super) fn budget_used_up(&mut self, reason: &str, fail: bool) -> Done {
        match (self.run.phase, fail) {
            (Phase::Ordinary, true) => {
                let failure = Failure { code: BUDGET_EXCEEDED.to_owned(), message: reason.to_owned() };
                self.stop(StopKind::Budget, failure)
            }
            (Phase::Ordinary, false) => self.pause(reason.to_owned()),
            _ => Ok(()),
        }
    }
}
