//! Says what is wrong with the line once, and that it is well again.

use std::sync::{Mutex, PoisonError};

/// What was said last.
#[derive(Debug, Default)]
pub(super) struct Notice {
    said: Mutex<Option<String>>,
}

impl Notice {
    /// Whether this is news.
    fn is_new(&self, what: &str) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.as_deref() == Some(what) {
            return false;
        }
        *said = Some(what.to_owned());
        true
    }

    pub(super) fn away(&self, queen: &str, detail: &str) {
        if self.is_new("away") {
            tracing::warn!(queen, reason = detail, "the queen cannot be reached; trying until she answers");
        } else {
            tracing::debug!(queen, reason = detail, "the queen cannot be reached");
        }
    }

    pub(super) fn denied(&self, code: &str, detail: &str) {
        // Why may change from answer to answer: revoked, then wrong too often.
        if self.is_new("denied") {
            tracing::error!(code, reason = detail, "the queen does not let this ant in; trying until she does");
        } else {
            tracing::debug!(code, reason = detail, "the queen does not let this ant in");
        }
    }

    pub(super) fn well(&self) {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner).take();
        if said.is_some() {
            tracing::info!("the queen answers");
        }
    }
}
