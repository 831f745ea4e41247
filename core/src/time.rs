//! Instants as they are stored and sent: milliseconds since the Unix epoch, UTC.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z. The only representation of an instant in state, storage and protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// This instant plus a duration, saturating at the ends of the range.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339 in UTC with milliseconds, as the API shows it.
    pub fn to_rfc3339(self) -> String {
        jiff::Timestamp::from_millisecond(self.0)
            .map_or_else(|_| format!("@{}ms", self.0), |timestamp| format!("{timestamp:.3}"))
    }
}

/// Reads a date of an HTTP header (RFC 9110, 5.6.7), in the form that is not obsolete.
pub fn parse_http_date(text: &str) -> Option<UnixMillis> {
    let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(UnixMillis(zoned.timestamp().as_millisecond()))
}

/// A clock that is passed in.
pub trait Clock: Send + Sync + 'static {
    /// The current instant.
    fn now(&self) -> UnixMillis;

    /// Time since some instant that stays the same as long as the program runs: for what must not be cut short by
    /// somebody who sets the clock. Unless a clock knows better it is the wall time.
    fn monotonic(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.now().0).unwrap_or(0))
    }
}

/// Randomness that is passed in: ids, nonces and jitter are derived from it.
pub trait Entropy: Send + Sync + 'static {
    /// 64 random bits.
    fn next_u64(&self) -> u64;
}

/// Random bytes for keys, nonces and tokens.
pub fn random_bytes<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&entropy.next_u64().to_le_bytes()[..chunk.len()]);
    }
    bytes
}

/// Reads an instant as RFC 3339 writes it.
pub fn parse_rfc3339(text: &str) -> Option<UnixMillis> {
    Some(UnixMillis(text.parse::<jiff::Timestamp>().ok()?.as_millisecond()))
}
