//! What an ant is told, and what it says about itself.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use atta_core::protocol::{AntId, AttemptId};
use atta_core::resilience::Board;
use atta_core::time::{Clock, Entropy, UnixMillis};
use atta_github::Patience;

use crate::{HttpPolicy, IsolationLevel};

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
    /// Bytes that kept workspaces may take before the oldest go.
    pub workspace_quota: u64,
    /// Bytes of all cached files, packed; the least recently used go first.
    pub cache_size: u64,
    /// Bytes of one cache entry, unpacked.
    pub cache_entry_size: u64,
    /// Which addresses requests may go to.
    pub http: HttpPolicy,
    /// How long an attempt of the method GITHUB waits by itself.
    pub github_patience: Patience,
    /// How long to wait for a previous ant on the same directory to be gone.
    pub lock_wait: Duration,
    /// What becomes of process trees when the ant dies.
    pub orphans: Orphans,
    /// Bytes of output that wait for the queen on disk, of all attempts together; each has the same share. While the queen
    /// is away and the share is used up, output is left out, and the log says so.
    pub spool_limit: u64,
    /// How long output waits for the queen while she is away. What has waited longer is left out, and the log says so;
    /// what may have reached her already, a piece of each log, stays.
    pub spool_age: Duration,
    /// Where the parts of the ant show how they are; `None`: on one of its own.
    pub board: Option<Arc<Board>>,
    /// What drives the agents of AGENT tasks.
    pub agent_runner: AgentRunner,
    /// What tells this start of the machine from others; `None` asks the kernel.
    pub boot_id: Option<String>,
}

/// The program that drives an agent: it gets the files of the order and of the record as its last two arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRunner {
    /// Its file.
    pub program: PathBuf,
    /// What it is called with before those.
    pub arguments: Vec<String>,
}

impl AgentRunner {
    /// Its file as scripts can name it.
    pub(crate) fn named(&self) -> Option<PathBuf> {
        if self.program != Path::new("/proc/self/exe") {
            return Some(self.program.clone());
        }
        let own = std::fs::read_link(&self.program).ok()?;
        // Replaced by another version since: that one is meant.
        let name = own.to_str()?.strip_suffix(" (deleted)").map(PathBuf::from);
        Some(name.unwrap_or(own))
    }
}

impl Default for AgentRunner {
    /// This program itself, whichever version of it lies on the disk by now.
    fn default() -> Self {
        Self { program: "/proc/self/exe".into(), arguments: vec!["agent-runner".to_owned()] }
    }
}

/// What becomes of process trees when the ant dies, also by force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Orphans {
    /// They go on, and the next ant on the same directory takes them up.
    #[default]
    Keep,
    /// They are killed: there will be no next ant.
    Kill,
}

impl AntConfig {
    /// A configuration with no tags, no environment, the strongest isolation, 20 GiB for kept workspaces, 5 GiB for
    /// caches, 2 GiB of them for one entry, requests to public addresses only, a lock wait of 30 s, orphans that are kept,
    /// and 1 GiB and seven days for output.
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
            workspace_quota: 20 << 30,
            cache_size: 5 << 30,
            cache_entry_size: 2 << 30,
            http: HttpPolicy::default(),
            github_patience: Patience::default(),
            lock_wait: Duration::from_secs(30),
            orphans: Orphans::default(),
            spool_limit: 1 << 30,
            spool_age: Duration::from_hours(7 * 24),
            board: None,
            agent_runner: AgentRunner::default(),
            boot_id: None,
        }
    }
}

/// Why an ant could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another ant, or what a previous one left running, holds the directory.
    #[error(
        "{} is held by another ant, or by processes of a previous one that were not gone after {waited:?}; \
         stop that ant (`fuser -v` on the file shows who holds it) or use another data directory",
        path.display()
    )]
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

/// Output that is on disk, on its way to the queen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolUse {
    /// [`AntConfig::spool_limit`].
    pub limit: u64,
    /// [`AntConfig::spool_age`].
    pub age: Duration,
    /// What one attempt may have of the limit while the queen is away.
    pub share: u64,
    /// Bytes of all attempts.
    pub used: u64,
    /// When the first of them was written; `None`: nothing waits.
    pub since: Option<UnixMillis>,
}
