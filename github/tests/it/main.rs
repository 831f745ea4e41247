//! The operations against a GitHub of the tests, over real HTTP.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "these are tests; clippy knows that of test functions only"
)]

mod activity;
mod apps;
mod desk;
mod issues;
mod trouble;
mod writes;
