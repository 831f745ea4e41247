//! What a job would do: the engine itself, driven in virtual time by assumed results. Nothing is run.
//!
//! Every attempt succeeds unless something else is assumed. Conditions and items are evaluated with what is known; where
//! that is not enough (an output of a task that never ran), the answer is assumed, and the assumption is reported.

mod assume;
mod knowledge;
mod play;

pub use assume::{AssumeError, Assumptions};
pub use play::{Rehearsal, RehearsalError, RehearsedTask, Step, StepKind, rehearse, rehearse_while};

#[cfg(test)]
mod tests;
