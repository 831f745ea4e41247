//! Whole-program tests.

mod demo;
mod live_server;
mod shipped;
