//! The compiled form of a definition: edges, entries, loops, routes.

mod build;
mod checks;
mod components;
mod loops;
mod plan;
#[cfg(test)]
mod tests;

pub use plan::*;
