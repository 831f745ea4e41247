//! The compiled form of a definition: edges, entries, loops, routes.

mod build;
mod plan;

pub use plan::*;
