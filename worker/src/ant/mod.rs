//! The ant's life: start, poll, report, drain, abort.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use atta_core::protocol::{AntId, AttemptId};
use atta_core::time::{Clock, Entropy, UnixMillis};

use crate::{IsolationLevel, Launcher, QueenLink};

/// What an ant is told at its start.
#[derive(Clone)]
pub struct AntConfig {
    /// Who it is.
    pub id: AntId,
    /// Atta's data directory; the ant keeps to `ant/` in it.
    pub data_dir: PathBuf,
    /// How many attempts it runs at once; at least 1.
    pub slots: u32,
    /// Its tags.
    pub tags: Vec<String>,
    /// The ant's own environment: a snapshot made by the edge, of which attempts see the allow-list and what
    /// `inherit_env` names.
    pub environment: Vec<(OsString, OsString)>,
    /// Wall time of reports and log segments.
    pub clock: Arc<dyn Clock>,
    /// The session number and the jitter of retries.
    pub entropy: Arc<dyn Entropy>,
    /// The strongest isolation to use; `None` is the strongest that works here.
    pub isolation: Option<IsolationLevel>,
    /// How long to wait for the process trees of a previous ant on the same directory to be gone.
    pub lock_wait: Duration,
}

impl AntConfig {
    /// A configuration with no tags, no environment, the strongest isolation and a lock wait of 30 s.
    pub fn new(id: AntId, data_dir: PathBuf, slots: u32, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            id,
            data_dir,
            slots: slots.max(1),
            tags: Vec::new(),
            environment: Vec::new(),
            clock,
            entropy,
            isolation: None,
            lock_wait: Duration::from_secs(30),
        }
    }
}

/// Why an ant could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another ant, or what a previous one left running, holds the directory.
    #[error("{} is held by another ant, or by processes of a previous one that are not gone after {waited:?}; stop that ant (`fuser -v` on the file shows who holds it) or use another data directory", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// How long was waited.
        waited: Duration,
    },
    /// A directory or file of the ant cannot be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Directory {
        /// `create`, `lock`, …
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The launcher process does not answer.
    #[error("the process launcher is gone: {0}")]
    Launcher(#[source] io::Error),
}

/// An attempt that the ant works on now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningAttempt {
    /// Which.
    pub attempt_id: AttemptId,
    /// The task's name.
    pub task: String,
    /// Since when.
    pub since: UnixMillis,
}

/// A running ant.
pub struct Ant {}

impl Ant {
    /// Waits until the trees of a previous ant on this directory are gone (at most [`AntConfig::lock_wait`]), removes
    /// what it left, and starts to poll.
    #[expect(clippy::unused_async, reason = "signatures first")]
    pub async fn start(config: AntConfig, launcher: Launcher, link: Arc<dyn QueenLink>) -> Result<Self, StartError> {
        drop((config, launcher, link));
        unimplemented!()
    }

    /// Takes no more work, finishes what runs and delivers it, then ends the launcher.
    #[expect(clippy::unused_async, reason = "signatures first")]
    pub async fn drain(self) {}

    /// Kills all trees, waits until they are empty, delivers nothing more, then ends the launcher.
    #[expect(clippy::unused_async, reason = "signatures first")]
    pub async fn abort(self) {}

    /// What runs now, in no particular order.
    pub fn running(&self) -> Vec<RunningAttempt> {
        Vec::new()
    }

    /// How process trees are contained.
    pub fn isolation(&self) -> IsolationLevel {
        IsolationLevel::Subreaper
    }
}
