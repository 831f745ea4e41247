//! What helps to write definitions, without a server.

mod args;
mod diff;
mod fmt;
mod graph;
mod plan;
mod schema;

pub(crate) use args::{FmtArgs, GraphArgs, GraphFormat, PlanArgs};
pub(crate) use fmt::fmt;
pub(crate) use graph::graph;
pub(crate) use plan::plan;
pub(crate) use schema::schema;
