//! What helps to write definitions, without a server.

mod schema;

pub(crate) use schema::schema;
