//! What the parts of Atta say to each other. These shapes are stored or cross process borders: version them with care.

pub mod access;
pub mod agent;
pub mod agent_configuration;
pub mod agent_outputs;
pub mod agents_api;
pub mod ant;
pub mod ants;
pub mod api;
pub mod budgets;
pub mod command;
mod configs;
pub mod counts;
pub mod github;
pub mod graph;
mod id;
pub mod outcomes_api;
pub mod people;
pub mod rehearsals;
pub mod terminal;
pub mod triggers_api;

pub use id::*;
