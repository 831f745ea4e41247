//! Why an operation failed: a code for routes and programs, a sentence for people.

use std::time::Duration;

/// What kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// GitHub wants to be left alone for a while.
    RateLimited,
    /// There is no such thing, or this credential does not see it.
    NotFound,
    /// The credential is not accepted, or may not do that.
    Auth,
    /// GitHub refuses what it was given.
    Validation,
    /// GitHub does not answer, or says that it cannot at present.
    Unavailable,
    /// An answer that makes no sense.
    Unexpected,
    /// The search was not finished, or there is more than can be looked through.
    Incomplete,
    /// The address is not allowed.
    AddressRefused,
    /// What the definition says cannot be done.
    Invalid,
}

impl Kind {
    /// The code of the failure.
    pub fn code(self) -> &'static str {
        match self {
            Self::RateLimited => "GITHUB_RATE_LIMITED",
            Self::NotFound => "GITHUB_NOT_FOUND",
            Self::Auth => "GITHUB_AUTH",
            Self::Validation => "GITHUB_VALIDATION",
            Self::Unavailable => "GITHUB_UNAVAILABLE",
            Self::Unexpected => "GITHUB_UNEXPECTED",
            Self::Incomplete => "GITHUB_INCOMPLETE",
            Self::AddressRefused => "ADDRESS_REFUSED",
            Self::Invalid => "INVALID",
        }
    }
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// What kind of failure.
    pub kind: Kind,
    /// What is wrong and what to do about it.
    pub message: String,
    /// What GitHub answered, if it did.
    pub answered: Option<u16>,
    /// It does not help to ask again earlier.
    pub retry_after: Option<Duration>,
    /// What was to be written may have been.
    pub(crate) uncertain: bool,
}

impl Failed {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), answered: None, retry_after: None, uncertain: false }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    pub(crate) fn unexpected(message: impl Into<String>) -> Self {
        Self::new(Kind::Unexpected, message)
    }

    pub(crate) fn answered(mut self, status: u16) -> Self {
        self.answered = Some(status);
        self
    }

    pub(crate) fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    pub(crate) fn uncertain(mut self) -> Self {
        self.uncertain = true;
        self
    }

    /// The status for routes: what GitHub answered, but the same for everything that asks for patience (429), for
    /// everything that is no answer (503), and for what cannot be understood (502). Nothing when nobody was asked.
    pub fn status(&self) -> Option<u16> {
        match self.kind {
            Kind::RateLimited => Some(429),
            Kind::NotFound => Some(self.answered.unwrap_or(404)),
            Kind::Auth => Some(self.answered.unwrap_or(401)),
            Kind::Validation => Some(self.answered.unwrap_or(422)),
            Kind::Unavailable | Kind::Incomplete => Some(self.answered.filter(|status| *status >= 500).unwrap_or(503)),
            Kind::Unexpected => Some(502),
            Kind::AddressRefused | Kind::Invalid => None,
        }
    }
}
