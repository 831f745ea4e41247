//! The ant: it executes and reports, and never decides.

mod link;

pub use link::*;
