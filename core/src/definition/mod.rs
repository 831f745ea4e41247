//! From YAML text to a typed, checked [`JobDefinition`], or to diagnostics with positions.

mod model;

pub use model::*;
