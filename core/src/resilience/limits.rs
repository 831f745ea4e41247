//! How long to wait for what.

use std::time::Duration;

/// Three waits that have nothing to do with each other: a host that is down shows in seconds, a large answer may take
/// hours, and one that stands still is broken after a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimits {
    /// To find the host, connect and agree on TLS.
    pub connect: Duration,
    /// From the request to the end of its answer; `None`: as long as something moves.
    pub request: Option<Duration>,
    /// Without anything moving.
    pub idle: Duration,
}
