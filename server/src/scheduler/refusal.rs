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
