//! The engine: one pure function over (plan, job state, event), and one transition table.

mod adopt;
mod attempts;
mod clock;
mod decide;
mod effect;
mod error;
mod event;
mod fan_out;
mod final_phase;
mod joins;
mod pause;
mod queue_timeout;
mod restart;
mod retry;
mod rounds;
mod routes;
mod run;
mod settle;
mod spent;
mod status;
mod stop;
mod transitions;
mod units;
mod waits;

pub use adopt::AdoptionError;
pub use decide::decide;
pub use effect::*;
pub use error::EngineError;
pub use event::*;
pub(crate) use routes::written_match;
pub use run::{AttemptInfo, Ending, FanOutProgress, InstanceInfo, JobRun};
pub use spent::BUDGET_EXCEEDED;
pub use status::*;

#[cfg(test)]
pub(crate) mod tests;
