//! Tests of the queen as a whole, each with a data directory of its own.

mod queen;
