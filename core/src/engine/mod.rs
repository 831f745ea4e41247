//! The engine: one pure function over (plan, job state, event), and one transition table.

mod effect;
mod event;
mod status;

pub use effect::*;
pub use event::*;
pub use status::*;
