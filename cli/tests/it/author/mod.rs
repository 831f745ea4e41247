//! The commands for those who write definitions.

mod fmt;
mod graph;
mod plan;
