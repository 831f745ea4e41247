//! From YAML text to a typed, checked [`JobDefinition`], or to diagnostics with positions.

mod diagnostic;
mod model;

pub use diagnostic::*;
pub use model::*;
