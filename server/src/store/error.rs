//! What can go wrong with the database.

use std::path::Path;

use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;

use super::sql::{READ_ONLY, is_lost};

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
    /// The connection to the database's server is lost, or it takes none. What was asked may be asked again.
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    /// A part of what was to be written was refused for another reason of the database.
    #[error("{0}")]
    Refused(String),
    /// Another server writes to this database now.
    #[error("another server has taken over this database: this one must not write to it any more")]
    TakenOver,
}

/// What an error of a database means, whichever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// What was to be written contradicts what is stored, or cannot be stored at all: trying again will not help.
    Constraint,
    /// There is no space.
    Full,
    /// Nothing may be written.
    ReadOnly,
    /// The disk fails.
    Disk,
    /// What is stored is damaged.
    Corrupt,
    /// It cannot be opened.
    CannotOpen,
    /// The user or password is wrong, or may not do this.
    Denied,
    /// There is no such database.
    Missing,
    /// The server is not there, or has no place.
    Unreachable,
    /// Anything else.
    Other,
}

impl Fault {
    pub(super) fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => {
                if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
                    return Self::of_postgres(error.code());
                }
                let sqlite = error.try_downcast_ref::<SqliteError>();
                let code: Option<i32> = sqlite.and_then(|_| error.code()?.parse().ok());
                code.map_or(Self::Other, |code| Self::of_sqlite(code & 0xff))
            }
            error if is_lost(error) => Self::Unreachable,
            _ => Self::Other,
        }
    }

    /// By the primary result code.
    fn of_sqlite(code: i32) -> Self {
        match code {
            8 => Self::ReadOnly,
            10 => Self::Disk,
            11 | 26 => Self::Corrupt,
            13 => Self::Full,
            14 => Self::CannotOpen,
            19 => Self::Constraint,
            _ => Self::Other,
        }
    }

    /// By the SQLSTATE, whose first two characters are its class.
    fn of_postgres(code: &str) -> Self {
        match (code, code.get(..2).unwrap_or_default()) {
            ("53100", _) => Self::Full,
            (READ_ONLY, _) => Self::ReadOnly,
            ("58030", _) => Self::Disk,
            ("XX001" | "XX002", _) => Self::Corrupt,
            ("3D000", _) => Self::Missing,
            ("42501", _) | (_, "28") => Self::Denied,
            // Contradictions, values that no column can have, texts that are too long for an index.
            (_, "22" | "23" | "54") => Self::Constraint,
            // Lost or refused connections; out of memory or places; shutting down, starting up; conflicts of transactions.
            (_, "08" | "53" | "57" | "40") => Self::Unreachable,
            _ => Self::Other,
        }
    }
}

impl StoreError {
    /// Whether what was to be written contradicts what is stored, so that trying again will not help.
    pub(crate) fn is_constraint(&self) -> bool {
        match self {
            Self::Database(error) => Fault::of(error) == Fault::Constraint,
            Self::RowsAffected { .. } => true,
            Self::Value { .. } | Self::Unreachable(_) | Self::Refused(_) | Self::TakenOver => false,
        }
    }

    /// Whether the database's server is away, so that the same may be asked again.
    pub(crate) fn is_unreachable(&self) -> bool {
        match self {
            Self::Database(error) => Fault::of(error) == Fault::Unreachable,
            Self::Unreachable(_) => true,
            Self::RowsAffected { .. } | Self::Value { .. } | Self::Refused(_) | Self::TakenOver => false,
        }
    }
}

fn describe(error: &sqlx::Error) -> String {
    let detail = error.as_database_error().map_or_else(|| error.to_string(), |e| e.message().to_owned());
    match Fault::of(error) {
        Fault::Full => format!("the database cannot grow, the disk is full ({detail}): free some space"),
        Fault::ReadOnly => format!("the database is read-only ({detail})"),
        Fault::Disk => format!("the disk does not work ({detail}): is it full or failing?"),
        Fault::Constraint => format!("what was to be stored contradicts what is stored ({detail})"),
        Fault::Corrupt => format!("the database is damaged ({detail})"),
        Fault::Unreachable => format!("the database cannot be reached ({detail})"),
        Fault::Denied => {
            format!("the database does not let this server in ({detail}): see its user, password and grants")
        }
        Fault::Missing => format!("{detail}: create it first"),
        Fault::CannotOpen | Fault::Other => detail,
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
        /// The file, or the address of the database.
        file: String,
        /// What the database said.
        detail: String,
    },
    /// The database is newer than this program.
    #[error("database {file} has schema {found}, this program knows up to {known}: use a newer atta")]
    TooNew {
        /// The file, or the address of the database.
        file: String,
        /// Its schema version.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// Something was being put into the data directory, and did not get to its end.
    #[error(
        "data directory {dir} holds a part of a backup only, because restoring it did not get to its end: empty it (and \
             the database) and restore again"
    )]
    Unfinished {
        /// The directory.
        dir: String,
    },
    /// The data directory goes with another database.
    #[error(
        "data directory {dir} goes with another database, {known}, and not with {file}: start with that one, or take \
             another data directory (`atta migrate-store` moves rows from one database to another). If they do belong \
             together, remove {dir}/database.id"
    )]
    Stranger {
        /// The database that was to be opened.
        file: String,
        /// The data directory.
        dir: String,
        /// Where the database was that it goes with.
        known: String,
    },
    /// The database is empty, and the data directory is not.
    #[error(
        "data directory {dir} has files of jobs ({part}) already, and {file} is empty: start with the database that \
             knows these jobs (is ATTA_DATABASE_URL what it was?), or take another data directory"
    )]
    Orphans {
        /// The database that was to be opened.
        file: String,
        /// The data directory.
        dir: String,
        /// Which of its directories has files.
        part: &'static str,
    },
    /// The data directory has a database of its own, and is to go with another one.
    #[error(
        "data directory {dir} has a database of its own (atta.db), and is to go with {file}: move its rows with `atta \
             migrate-store --from sqlite:{dir}`, or start without ATTA_DATABASE_URL, or take another data directory; move \
             atta.db away if nobody needs it"
    )]
    HasFile {
        /// The database that was to be opened.
        file: String,
        /// The data directory.
        dir: String,
    },
    /// What was in this database is in another one now.
    #[error(
        "what was in {file} has moved to {to}: start with that database; or remove {dir}/database.moved to go back to \
             how it was then, and what has happened since may happen again"
    )]
    Moved {
        /// The file, or the address of the database.
        file: String,
        /// `PostgreSQL` or `SQLite`.
        to: String,
        /// The data directory.
        dir: String,
    },
    /// Another server took it over meanwhile.
    #[error("database {file} was taken over by another server while this one opened it: start it again")]
    TakenOver {
        /// Which database.
        file: String,
    },
    /// Anything else.
    #[error("database {file} cannot be opened: {detail}")]
    Database {
        /// The file, or the address of the database.
        file: String,
        /// What the database said.
        detail: String,
    },
}

impl OpenError {
    /// The reason why a database could not be opened, from what it said.
    pub(crate) fn from_store(name: &str, error: &StoreError) -> Self {
        let fault = match error {
            StoreError::Database(error) => Fault::of(error),
            StoreError::TakenOver => return Self::TakenOver { file: name.to_owned() },
            _ => Fault::Other,
        };
        let (file, detail) = (name.to_owned(), error.to_string());
        let is_file = !name.starts_with("postgres://");
        match fault {
            Fault::Corrupt => Self::Corrupt { file, detail },
            Fault::ReadOnly | Fault::CannotOpen if is_file => {
                let dir = Path::new(&file).parent().unwrap_or_else(|| Path::new(".")).display().to_string();
                Self::NotWritable { dir, source: std::io::Error::other(detail) }
            }
            _ => Self::Database { file, detail },
        }
    }
}
