//! Tests of the server as a whole, each with a data directory of its own.

#![expect(clippy::unwrap_used, reason = "these are tests; clippy knows that of test functions only")]

mod api;
mod cluster;
mod queen;
