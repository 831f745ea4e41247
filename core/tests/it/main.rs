//! Tests of the crate as its users see it.

#![expect(clippy::unwrap_used, reason = "these are tests; clippy knows that of test functions only")]

mod hostile;
mod recorded;
