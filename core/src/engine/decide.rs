//! The engine's only entry.

use super::effect::Effect;
use super::error::EngineError;
use super::event::Stamped;
use super::run::JobRun;
use crate::graph::Plan;

/// Applies an event to a job and says what follows. An error leaves the job as it was.
pub fn decide(_plan: &Plan, _run: &mut JobRun, _stamped: &Stamped) -> Result<Vec<Effect>, EngineError> {
    Err(EngineError::Internal("not built yet".to_owned()))
}
