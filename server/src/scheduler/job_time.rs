//! The time in which jobs live: it does not go back.
//!
//! Delays and limits of jobs are instants, for they survive restarts. A clock that is set back by an hour would lengthen
//! each of them by an hour. So what the clock loses is added again, for events and timers of jobs only: schedules,
//! `scheduled_at` and whatever is kept for so many days go by the clock itself. A clock that is set forward is believed.
//! A restart goes on from the newest event of the live jobs.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use atta_core::time::{Clock, UnixMillis};

/// Smaller steps are how clocks are kept right; nobody needs to hear of them.
const WORTH_TELLING: i64 = 1_000;

pub(super) struct JobTime {
    clock: Arc<dyn Clock>,
    /// What the clock said when it was last looked at.
    seen: AtomicI64,
    /// So many milliseconds are added to what it says.
    ahead: AtomicI64,
}

impl JobTime {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let seen = AtomicI64::new(clock.now().0);
        Self { clock, seen, ahead: AtomicI64::new(0) }
    }

    /// The instant for an event, and for what is due.
    pub(super) fn now(&self) -> UnixMillis {
        let clock = self.clock.now().0;
        let back = self.seen.swap(clock, Ordering::Relaxed).saturating_sub(clock);
        if back > 0 {
            self.ahead.fetch_add(back, Ordering::Relaxed);
            if back >= WORTH_TELLING {
                tracing::warn!(milliseconds = back, "the clock was set back: delays of jobs do not get longer by it");
            }
        }
        UnixMillis(clock.saturating_add(self.ahead.load(Ordering::Relaxed)))
    }

    /// Something is known to have happened then.
    pub(super) fn not_before(&self, instant: UnixMillis) {
        let behind = instant.0.saturating_sub(self.now().0);
        if behind > 0 {
            self.ahead.fetch_add(behind, Ordering::Relaxed);
        }
    }
}
