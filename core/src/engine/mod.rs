//! The engine: one pure function over (plan, job state, event), and one transition table.

mod decide;
mod effect;
mod error;
mod event;
mod run;
mod status;
mod transitions;

pub use decide::decide;
pub use effect::*;
pub use error::EngineError;
pub use event::*;
pub use run::{AttemptInfo, JobRun};
pub use status::*;
