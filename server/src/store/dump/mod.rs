//! All rows of a database in a form that every database takes: what backups hold, and what moves from one database to
//! another.
//!
//! * `schema`: which tables a version of the schema has, in the order of their references
//! * `read`: all rows of one moment
//! * `load`: into an empty database, all or nothing
//! * `text`: rows as lines of JSON

mod load;
mod read;
mod schema;
mod text;

use std::collections::BTreeMap;

use super::sql::Value;
use super::{OpenError, StoreError};

pub(in crate::store) use load::RESTORED;
pub(crate) use load::{Loader, Restored};
pub(crate) use read::Dump;

/// Some rows of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) table: String,
    pub(crate) columns: Vec<String>,
    rows: Vec<Vec<Value<'static>>>,
}

/// How many rows each table has.
pub(crate) type Counts = BTreeMap<String, u64>;

/// Why rows cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It does not give or take rows.
    #[error("database {name}: {source}")]
    Store {
        /// Which database.
        name: String,
        /// Why.
        source: StoreError,
    },
    /// There is no database of ours.
    #[error("{name} holds no database of Atta: {detail}")]
    Nothing {
        /// Where it was looked for.
        name: String,
        /// What is missing.
        detail: String,
    },
    /// A server is active on it.
    #[error("a server is active on {name}: stop it first")]
    Active {
        /// Which database.
        name: String,
    },
    /// The target is not empty.
    #[error("{name} is not empty, it has {what}: nothing was changed; take an empty one")]
    NotEmpty {
        /// Which database.
        name: String,
        /// What is there.
        what: String,
    },
    /// It was lost while it stored.
    #[error(
        "database {name} was lost in the moment when the rows were to be stored, and does not say whether it has them"
    )]
    InDoubt {
        /// Which database.
        name: String,
    },
    /// Its schema is older than those that can be moved.
    #[error(
        "database {name} has schema {found}, and rows are moved from schema {oldest} on: start this version of the \
             server on it once, which brings it up to date"
    )]
    TooOld {
        /// Which database.
        name: String,
        /// Its version.
        found: i64,
        /// The oldest possible.
        oldest: i64,
    },
    /// Rows came that the schema has no place for.
    #[error("the rows do not fit the schema: {0}")]
    Misfit(String),
    /// Not everything has arrived.
    #[error("table {table} has {found} rows in {name} where {wanted} were sent: nothing was kept")]
    Count {
        /// The target.
        name: String,
        /// Which table.
        table: String,
        /// How many are there.
        found: u64,
        /// How many there should be.
        wanted: u64,
    },
}

impl DumpError {
    fn store(name: &str) -> impl Fn(StoreError) -> Self + '_ {
        move |source| Self::Store { name: name.to_owned(), source }
    }

    fn sql(name: &str) -> impl Fn(sqlx::Error) -> Self + '_ {
        move |source| Self::Store { name: name.to_owned(), source: source.into() }
    }
}
