//! How long to wait for what.

use std::time::Duration;

/// Waits that have nothing to do with each other: a host that is down shows in seconds, and an answer that stands still is
/// broken after a minute. How long a whole request may take depends on what it is, and stands with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimits {
    /// To find the host, connect and agree on TLS.
    pub connect: Duration,
    /// Without anything moving.
    pub idle: Duration,
}
