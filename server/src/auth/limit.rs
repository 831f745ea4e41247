//! How often somebody may be wrong: whoever tries tokens out is slowed down, and does not fill the log.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many failures per window and peer are answered one by one.
const ALLOWED: u32 = 20;
const WINDOW: Duration = Duration::from_mins(1);
/// Peers that are remembered; beyond it the oldest windows go.
const PEERS: usize = 4096;

/// Failures by peer. Right tokens are never held up, so that nobody can lock others out.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    peers: Mutex<HashMap<IpAddr, (Instant, u32)>>,
}

impl Failures {
    /// Counts a failure. `Err`: there were too many; how long to wait.
    pub(crate) fn note(&self, peer: IpAddr, now: Instant) -> Result<u32, Duration> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= PEERS {
            peers.retain(|_, (since, _)| now.duration_since(*since) < WINDOW);
            if peers.len() >= PEERS {
                // A flood from everywhere: begin anew, memory stays bounded.
                peers.clear();
            }
        }
        let (since, count) = peers.entry(peer).or_insert((now, 0));
        if now.duration_since(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        if *count > ALLOWED { Err(WINDOW.saturating_sub(now.duration_since(*since))) } else { Ok(*count) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_is_wrong_too_often_waits_and_others_do_not() {
        let failures = Failures::default();
        let now = Instant::now();
        let (one, other) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        for count in 1..=ALLOWED {
            assert_eq!(failures.note(one, now), Ok(count));
        }
        assert_eq!(failures.note(one, now), Err(WINDOW));
        assert_eq!(failures.note(other, now), Ok(1));
        assert_eq!(failures.note(one, now + WINDOW), Ok(1));
    }
}
