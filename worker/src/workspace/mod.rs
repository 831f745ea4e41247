//! Files of attempts: the directory, what is laid into it and what is taken out of it.

mod artifacts;
mod directory;
mod inputs;
mod outputs;

pub(crate) use artifacts::{Found, collect};
pub(crate) use directory::{AttemptDirectory, SpareDirectories, remove_tree};
pub(crate) use inputs::plan as plan_inputs;
pub(crate) use outputs::read as read_outputs;
