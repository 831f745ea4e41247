//! Rules one by one, and properties over generated graphs and orders of events.

mod adoption;
mod coverage;
mod driver;
mod fan_out;
mod generator;
pub(crate) mod kit;
mod properties;
mod reference;
mod rules;
mod spent;
mod story;
