//! The compiled form of a definition: edges, entries, loops, routes.

mod build;
mod checks;
mod components;
mod diagram;
mod loops;
mod plan;
#[cfg(test)]
mod tests;

pub use diagram::*;
pub use plan::*;
