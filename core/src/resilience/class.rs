//! What a failure means for the next try.

use std::time::Duration;

use crate::time::{UnixMillis, parse_http_date};

/// A failure by what helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It may work the next time.
    Transient,
    /// The remote has too much to do, and may have said how long it wants to be left alone.
    RateLimited(Option<Duration>),
    /// The remote does not let this caller in: somebody has to change something.
    Denied,
    /// The same request fails for ever.
    Permanent,
}

impl Class {
    /// Of an HTTP status with its `Retry-After`; `None` for a success.
    pub fn of_status(status: u16, asked: Option<Duration>) -> Option<Self> {
        Some(match status {
            0..=399 => return None,
            401 | 403 | 407 | 426 => Self::Denied,
            429 | 503 if asked.is_some() => Self::RateLimited(asked),
            429 => Self::RateLimited(None),
            408 | 425 | 500..=599 => Self::Transient,
            _ => Self::Permanent,
        })
    }

    /// Whether saying the same again can help.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Transient | Self::RateLimited(_))
    }
}

/// The value of `Retry-After` (RFC 9110, 10.2.3): seconds or a date; at most `longest`. `None` when it asks for nothing.
pub fn retry_after(text: &str, now: UnixMillis, longest: Duration) -> Option<Duration> {
    let text = text.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => longest,
        Err(_) => parse_http_date(text)?.since(now),
    };
    Some(wait.min(longest)).filter(|wait| !wait.is_zero())
}

/// The deepest cause of an error, which says most; the error itself when nothing caused it.
pub fn root_cause<'e>(error: &'e (dyn std::error::Error + 'static)) -> &'e (dyn std::error::Error + 'static) {
    std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error)
}

/// What caused an error, from near to far, each once; the error itself when nothing did.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut source = error.source();
    while let Some(inner) = source {
        let said = inner.to_string();
        if !text.contains(&said) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&said);
        }
        source = inner.source();
    }
    if text.is_empty() { error.to_string() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_whether_trying_again_helps() {
        let soon = Some(Duration::from_secs(3));
        assert_eq!((Class::of_status(200, None), Class::of_status(304, None)), (None, None));
        assert_eq!(Class::of_status(503, None), Some(Class::Transient));
        assert_eq!(Class::of_status(503, soon), Some(Class::RateLimited(soon)));
        assert_eq!(Class::of_status(429, None), Some(Class::RateLimited(None)));
        for status in [401, 403, 426] {
            assert_eq!(Class::of_status(status, None), Some(Class::Denied));
        }
        assert!(!Class::Permanent.may_pass() && !Class::Denied.may_pass() && Class::Transient.may_pass());
        assert_eq!(Class::of_status(404, soon), Some(Class::Permanent));
    }

    #[test]
    fn the_wait_that_an_answer_asks_for_is_seconds_or_a_date_and_bounded() {
        let now = UnixMillis(784_111_777_000);
        let hour = Duration::from_hours(1);
        let wait = |text: &str| retry_after(text, now, hour);
        assert_eq!(wait("120"), Some(Duration::from_mins(2)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:37 GMT"), Some(Duration::from_mins(1)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:00 GMT"), None, "the past");
        assert_eq!(wait("99999999"), Some(hour));
        assert_eq!(wait("99999999999999999999999"), Some(hour));
        for text in ["soon", "-5", "", "1.5", "0"] {
            assert_eq!(wait(text), None, "{text}");
        }
    }
}
