//! Rules one by one, and properties over generated graphs and orders of events.

mod coverage;
mod driver;
mod generator;
pub(crate) mod kit;
mod properties;
mod reference;
mod rules;
mod story;
