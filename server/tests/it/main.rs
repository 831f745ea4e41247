//! Tests of the server as a whole, each with a data directory of its own.

mod api;
mod queen;
