//! Why the queen does not do something.

use atta_core::protocol::api::FieldViolation;

/// A request that is not carried out; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 404.
    #[error("{what} not found")]
    NotFound {
        /// E.g. `job job_…`, `definition build`.
        what: String,
    },
    /// 422, or 400 for `code` = `BAD_REQUEST`.
    #[error("{message}")]
    Invalid {
        /// Stable machine code.
        code: &'static str,
        /// A sentence.
        message: String,
        /// What is wrong where.
        violations: Vec<FieldViolation>,
    },
    /// 409: it does not fit the state.
    #[error("{message}")]
    Conflict {
        /// Stable machine code, e.g. `DUPLICATE_USER_KEY`, `JOB_TERMINAL`, `DEFINITION_DISABLED`.
        code: &'static str,
        /// A sentence.
        message: String,
    },
    /// 503 with Retry-After: the database cannot be written (disk full, …) or the queen shuts down.
    #[error("{message}")]
    Unavailable {
        /// A sentence.
        message: String,
    },
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
