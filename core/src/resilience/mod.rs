//! What everything that talks to something remote, and everything that runs for long, shares: when to try again, when to
//! stop trying, when to begin anew, and what to leave out while there is too much to do.
//!
//! Nothing here waits, reads a clock or throws dice: time and randomness are passed in, and the caller sleeps.
//!
//! * `backoff`: pauses that grow, with full jitter
//! * `budget`: how many requests may be repetitions
//! * `breaker`: leaves a remote alone that fails, and asks it by one probe at a time whether it is back
//! * `class`: what a failure means for the next try, and what caused it
//! * `limits`: how long to wait for what
//! * `board`: the long-lived parts of a process, how they are, and how often they may be begun anew
//! * `tiers`: what a server leaves out when it has too much to do, decided by what is measured

mod backoff;
mod board;
mod breaker;
mod budget;
mod class;
#[cfg(test)]
mod fixed;
mod limits;
mod tiers;

pub use backoff::{Backoff, Pauses};
pub use board::{Board, Component, ComponentReport, ComponentState, RestartPolicy, Verdict, Working, panic_text};
pub use breaker::{Breaker, BreakerPolicy, BreakerState, Permit};
pub use budget::RetryBudget;
pub use class::{Class, causes, retry_after, root_cause};
pub use limits::TimeLimits;
pub use tiers::{Decision, Signals, Thresholds, Tier, Tiers};
