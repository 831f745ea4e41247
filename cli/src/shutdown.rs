//! Being asked to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::{CommandResult, Failure};

/// SIGINT, SIGTERM and SIGHUP, in the order in which they arrive.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// From now on these signals do not end the process.
    pub(crate) fn catch() -> CommandResult<Self> {
        let catch = |kind| signal(kind).map_err(|error| Failure::failed(format!("Signals cannot be caught: {error}.")));
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hangup: catch(SignalKind::hangup())?,
        })
    }

    /// The next one, by name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}
