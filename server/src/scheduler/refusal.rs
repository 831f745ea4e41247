//! Why the queen does not do something.

use atta_core::engine::EngineError;
use atta_core::protocol::JobId;
use atta_core::protocol::api::FieldViolation;

use crate::store::StoreError;

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
        /// Stable machine code, e.g. `JOB_TERMINAL`, `DEFINITION_DISABLED`.
        code: &'static str,
        /// A sentence.
        message: String,
    },
    /// 409: another job has the key and has not ended.
    #[error("the user_key {key} is held by the job {holder}, which has not ended")]
    Duplicate {
        /// The key.
        key: String,
        /// The job that has it.
        holder: JobId,
    },
    /// 403: somebody else may do it.
    #[error("{message}")]
    Forbidden {
        /// Stable machine code.
        code: &'static str,
        /// A sentence.
        message: String,
    },
    /// 410: what it is about has ended.
    #[error("{message}")]
    Gone {
        /// Stable machine code.
        code: &'static str,
        /// A sentence.
        message: String,
    },
    /// 429 with Retry-After: there is too much of it now.
    #[error("{message}")]
    TooMany {
        /// Stable machine code.
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

impl Refusal {
    pub(super) fn shutting_down() -> Self {
        Self::Unavailable { message: "the server is shutting down".to_owned() }
    }

    pub(super) fn job_not_found(job: &JobId) -> Self {
        Self::NotFound { what: format!("job {job}") }
    }

    pub(super) fn definition_not_found(job_type: &str) -> Self {
        Self::NotFound { what: format!("definition {job_type}") }
    }

    /// Params that are not right.
    pub(super) fn params(violations: Vec<FieldViolation>) -> Self {
        Self::violations("INVALID_PARAMS", "params are not right", violations)
    }

    /// One violation speaks for itself, several are counted: `2 params are not right`.
    pub(super) fn violations(code: &'static str, several: &str, violations: Vec<FieldViolation>) -> Self {
        let message = match violations.as_slice() {
            [only] => only.message.clone(),
            all => format!("{} {several}", all.len()),
        };
        Self::Invalid { code, message, violations }
    }

    /// What is wrong in one sentence, with all violations.
    pub(super) fn sentence(&self) -> String {
        match self {
            Self::Invalid { message, violations, .. } if violations.len() > 1 => {
                let all: Vec<&str> = violations.iter().map(|violation| violation.message.as_str()).collect();
                format!("{message}: {}", all.join("; "))
            }
            other => other.to_string(),
        }
    }

    pub(super) fn violation(code: &'static str, field: &str, violation: &str, message: String) -> Self {
        let violations =
            vec![FieldViolation { field: field.to_owned(), code: violation.to_owned(), message: message.clone() }];
        Self::Invalid { code, message, violations }
    }
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::UnknownTask(_) => Self::NotFound { what: "task".to_owned() },
            error => Self::Conflict { code: error.code(), message: error.to_string() },
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Unavailable { message: error.to_string() }
    }
}
