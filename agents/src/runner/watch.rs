//! Whether an agent is alive: events, CPU time, files.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use atta_core::protocol::agent::AgentWatch;

use crate::process;

/// How many files are looked at for a sign of life.
const MOST_FILES: usize = 50_000;

/// A tree that uses less than one part in this many of a processor is waiting, not working.
const BUSY_PART: u32 = 100;

/// Why an agent is ended by its watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Silence {
    NeverBegan(Duration),
    Fell(Duration),
    AfterResult,
}

/// Watches one run. Instants are the clock's monotonic time.
pub(super) struct Watch {
    limits: AgentWatch,
    directory: PathBuf,
    started: Duration,
    began: bool,
    quiet_since: Duration,
    result_at: Option<Duration>,
    looked: Option<Look>,
}

/// A look at what moves besides events.
struct Look {
    at: Duration,
    ticks: u64,
    files: (usize, Option<SystemTime>),
}

impl Watch {
    pub(super) fn new(limits: AgentWatch, directory: &Path, now: Duration) -> Self {
        Self {
            limits,
            directory: directory.to_owned(),
            started: now,
            began: false,
            quiet_since: now,
            result_at: None,
            looked: None,
        }
    }

    /// It wrote something.
    pub(super) fn sign(&mut self, now: Duration) {
        self.quiet_since = now;
        self.looked = None;
    }

    /// It sent an event.
    pub(super) fn event(&mut self) {
        self.began = true;
    }

    /// It said how it ended.
    pub(super) fn result(&mut self, now: Duration) {
        self.result_at = Some(now);
    }

    /// It goes on working after it said that it had ended.
    pub(super) fn goes_on(&mut self) {
        self.result_at = None;
    }

    /// Whether it has been silent for too long.
    pub(super) fn check(&mut self, now: Duration) -> Option<Silence> {
        if let Some(at) = self.result_at {
            return (now.saturating_sub(at) >= self.limits.after_result).then_some(Silence::AfterResult);
        }
        if !self.began && now.saturating_sub(self.started) >= self.limits.start {
            return Some(Silence::NeverBegan(self.limits.start));
        }
        let idle = self.limits.idle?;
        let every = (idle / 4).max(Duration::from_millis(20));
        if now.saturating_sub(self.looked.as_ref().map_or(self.quiet_since, |look| look.at)) < every {
            return None;
        }
        let look = Look { at: now, ticks: process::cpu_ticks(), files: newest(&self.directory) };
        // Without a look before this one nobody knows whether it moved, however long that took.
        let before = self.looked.replace(look)?;
        if self.looked.as_ref().is_some_and(|look| look.moved_since(&before)) {
            self.quiet_since = now;
        }
        (now.saturating_sub(self.quiet_since) >= idle).then_some(Silence::Fell(idle))
    }
}

impl Look {
    fn moved_since(&self, before: &Self) -> bool {
        // A tick is a hundredth of a second; one of them may be rounding.
        let used = Duration::from_millis(10) * u32::try_from(self.ticks.abs_diff(before.ticks)).unwrap_or(u32::MAX);
        let busy = (self.at.saturating_sub(before.at) / BUSY_PART).max(Duration::from_millis(10));
        used > busy || self.files != before.files
    }
}

/// How many files there are below a directory, and when the newest of them was changed.
fn newest(directory: &Path) -> (usize, Option<SystemTime>) {
    let mut found = (0, None);
    for entry in walkdir::WalkDir::new(directory).into_iter().flatten().take(MOST_FILES) {
        found.0 += 1;
        found.1 = found.1.max(entry.metadata().ok().and_then(|state| state.modified().ok()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn watch(directory: &Path) -> Watch {
        let limits =
            AgentWatch { start: 10 * SECOND, idle: Some(4 * SECOND), after_result: 2 * SECOND, kill_grace: SECOND };
        Watch::new(limits, directory, Duration::ZERO)
    }

    #[test]
    fn files_that_change_are_a_sign_of_life() {
        let directory = tempfile::tempdir().unwrap();
        let mut watch = watch(directory.path());
        watch.event();
        for second in 1..20 {
            std::fs::write(directory.path().join(second.to_string()), "x").unwrap();
            assert_eq!(watch.check(second * SECOND), None, "{second}");
        }
        assert_eq!((20..24).find_map(|second| watch.check(second * SECOND)), Some(Silence::Fell(4 * SECOND)));
    }

    #[test]
    fn time_in_which_nobody_looked_is_no_silence() {
        let directory = tempfile::tempdir().unwrap();
        let mut watch = watch(directory.path());
        watch.event();
        assert_eq!(watch.check(100 * SECOND), None);
        assert_eq!(watch.check(100 * SECOND + SECOND / 2), None);
        assert_eq!(watch.check(101 * SECOND), Some(Silence::Fell(4 * SECOND)));
    }

    #[test]
    fn what_never_begins_and_what_does_not_end_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let mut never = watch(directory.path());
        never.limits.idle = None;
        assert_eq!(never.check(9 * SECOND), None);
        assert_eq!(never.check(10 * SECOND), Some(Silence::NeverBegan(10 * SECOND)));
        let mut ended = watch(directory.path());
        ended.event();
        ended.result(SECOND);
        assert_eq!(ended.check(2 * SECOND), None);
        assert_eq!(ended.check(3 * SECOND), Some(Silence::AfterResult));
        ended.goes_on();
        ended.sign(3 * SECOND);
        assert_eq!(ended.check(3 * SECOND), None);
    }
}
