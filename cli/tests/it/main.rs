//! Whole-program tests.

#![expect(clippy::expect_used, reason = "these are tests; clippy knows that of test functions only")]

mod demo;
mod live_server;
mod shipped;
