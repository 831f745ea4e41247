//! What can go wrong with the database.

use std::path::Path;

/// A statement or a stored value failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or could not do it.
    #[error("{}", describe(.0))]
    Database(#[from] sqlx::Error),
    /// A statement touched another number of rows than it must.
    #[error("{statement} changed {changed} rows instead of {expected}")]
    RowsAffected {
        /// Which statement.
        statement: &'static str,
        /// How many it should change.
        expected: u64,
        /// How many it changed.
        changed: u64,
    },
    /// A stored value is not one that this program writes.
    #[error("{table}.{column} holds {value:?}, which is no such value")]
    Value {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// What is stored.
        value: String,
    },
}

impl StoreError {
    /// Whether what was to be written contradicts what is stored, so that trying again will not help.
    pub(crate) fn is_constraint(&self) -> bool {
        match self {
            Self::Database(error) => primary_code(error) == Some(SQLITE_CONSTRAINT),
            Self::RowsAffected { .. } => true,
            Self::Value { .. } => false,
        }
    }
}

/// SQLite's primary result codes that need words of their own.
const SQLITE_READONLY: i32 = 8;
const SQLITE_IOERR: i32 = 10;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_CANTOPEN: i32 = 14;
const SQLITE_CONSTRAINT: i32 = 19;
const SQLITE_NOTADB: i32 = 26;

/// SQLite's primary result code.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

fn describe(error: &sqlx::Error) -> String {
    let detail = error.as_database_error().map_or_else(|| error.to_string(), |e| e.message().to_owned());
    match primary_code(error) {
        Some(SQLITE_FULL) => format!("the database cannot grow, the disk is full ({detail}): free some space"),
        Some(SQLITE_READONLY) => format!("the database is read-only ({detail})"),
        Some(SQLITE_IOERR) => format!("the disk does not work ({detail}): is it full or failing?"),
        Some(SQLITE_CONSTRAINT) => format!("what was to be stored contradicts what is stored ({detail})"),
        Some(SQLITE_CORRUPT | SQLITE_NOTADB) => format!("the database is damaged ({detail})"),
        _ => detail,
    }
}

/// Why a data directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another server uses it.
    #[error("data directory {dir} is in use by another server (process {pid})")]
    InUse {
        /// The directory.
        dir: String,
        /// Its process id as written in the lock file.
        pid: String,
    },
    /// It cannot be created or written.
    #[error("data directory {dir} cannot be written: {source}")]
    NotWritable {
        /// The directory.
        dir: String,
        /// Why.
        source: std::io::Error,
    },
    /// The database file is damaged or no database.
    #[error("database {file} is damaged: {detail}; restore a backup or move it away")]
    Corrupt {
        /// The file.
        file: String,
        /// What the database said.
        detail: String,
    },
    /// The database is newer than this program.
    #[error("database {file} has schema {found}, this program knows up to {known}: use a newer atta")]
    TooNew {
        /// The file.
        file: String,
        /// Its schema version.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// Anything else.
    #[error("database {file} cannot be opened: {detail}")]
    Database {
        /// The file.
        file: String,
        /// What the database said.
        detail: String,
    },
}

impl OpenError {
    /// The reason why `file` could not be opened, from what the database said.
    pub(crate) fn from_store(file: &Path, error: &StoreError) -> Self {
        let file = file.display().to_string();
        let code = match error {
            StoreError::Database(error) => primary_code(error),
            _ => None,
        };
        let detail = error.to_string();
        match code {
            Some(SQLITE_CORRUPT | SQLITE_NOTADB) => Self::Corrupt { file, detail },
            Some(SQLITE_READONLY | SQLITE_CANTOPEN) => {
                let dir = Path::new(&file).parent().unwrap_or_else(|| Path::new(".")).display().to_string();
                Self::NotWritable { dir, source: std::io::Error::other(detail) }
            }
            _ => Self::Database { file, detail },
        }
    }
}
