//! The long-lived parts of a process: how each is, and how often it may be begun anew.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::backoff::Backoff;
use crate::time::{Clock, Entropy, UnixMillis};

/// How often a part may be begun anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartPolicy {
    /// So often at most…
    pub most: u32,
    /// …within this time.
    pub within: Duration,
    /// How long to wait before it is.
    pub pause: Backoff,
}

impl Default for RestartPolicy {
    /// Five times within ten minutes, a moment later.
    fn default() -> Self {
        let pause = Backoff { first: Duration::from_millis(100), factor: 4, cap: Duration::from_secs(10) };
        Self { most: 5, within: Duration::from_mins(10), pause }
    }
}

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ComponentState {
    /// It works, or waits for work.
    Running,
    /// It works, and what it does fails at present.
    Troubled,
    /// It has been busy with one thing for longer than it should.
    Stalled,
    /// It failed and is begun anew in a moment.
    Restarting,
    /// It failed, and the process ends.
    Failed,
    /// It was told to end.
    Stopped,
}

impl ComponentState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Running, Self::Troubled, Self::Stalled, Self::Restarting, Self::Failed, Self::Stopped];

    /// The name that it has in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Troubled => "TROUBLED",
            Self::Stalled => "STALLED",
            Self::Restarting => "RESTARTING",
            Self::Failed => "FAILED",
            Self::Stopped => "STOPPED",
        }
    }
}

/// What is to be done about a part that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Begin it anew after this pause.
    Restart(Duration),
    /// End the process, for this reason.
    End(String),
}

/// One part, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ComponentReport {
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: ComponentState,
    /// Since when, RFC 3339.
    pub since: String,
    /// How often it was begun anew since the process started.
    pub restarts: u32,
    /// Why it failed the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// One part. Clones are the same part.
#[derive(Clone)]
pub struct Component {
    inner: Arc<Part>,
}

struct Part {
    name: String,
    policy: Option<RestartPolicy>,
    /// Longer than this it is not busy with one thing.
    limit: Duration,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// When it began what it does now, in milliseconds of monotonic time and one more; 0: it waits.
    busy_since: AtomicU64,
    now: Mutex<Now>,
}

struct Now {
    state: ComponentState,
    since: UnixMillis,
    restarts: u32,
    /// When it failed lately, by monotonic time.
    failures: Vec<Duration>,
    last_error: Option<String>,
}

/// All parts of a process, in the order in which they were begun.
pub struct Board {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    parts: Mutex<Vec<Component>>,
}

impl Board {
    /// Without parts.
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clock, entropy, parts: Mutex::default() }
    }

    /// A part begins. Without a policy it is not begun anew when it fails: its memory may be wrong, or it holds what
    /// cannot be made again. `limit`: how long it may be busy with one thing.
    pub fn begin(&self, name: &str, policy: Option<RestartPolicy>, limit: Duration) -> Component {
        let now = Now {
            state: ComponentState::Running,
            since: self.clock.now(),
            restarts: 0,
            failures: Vec::new(),
            last_error: None,
        };
        let component = Component {
            inner: Arc::new(Part {
                name: name.to_owned(),
                policy,
                limit,
                clock: Arc::clone(&self.clock),
                entropy: Arc::clone(&self.entropy),
                busy_since: AtomicU64::new(0),
                now: Mutex::new(now),
            }),
        };
        self.parts().push(component.clone());
        component
    }

    fn parts(&self) -> MutexGuard<'_, Vec<Component>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How all parts are.
    pub fn report(&self) -> Vec<ComponentReport> {
        self.parts().iter().map(Component::report).collect()
    }

    /// Why the process has to end, if it has to.
    pub fn fatal(&self) -> Option<String> {
        let report = self.report().into_iter().find(|part| part.state == ComponentState::Failed)?;
        report.last_error
    }
}

impl Component {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.inner.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, now: &mut Now, state: ComponentState) {
        if now.state != state {
            now.state = state;
            now.since = self.inner.clock.now();
        }
    }

    /// It begins one thing, and is busy until the guard is dropped.
    pub fn work(&self) -> Working {
        let millis = u64::try_from(self.inner.clock.monotonic().as_millis()).unwrap_or(u64::MAX - 1);
        self.inner.busy_since.store(millis + 1, Ordering::Relaxed);
        Working { part: Arc::clone(&self.inner) }
    }

    /// It failed: with this reason in its own words.
    pub fn failed(&self, reason: &str) -> Verdict {
        let part = &self.inner;
        part.busy_since.store(0, Ordering::Relaxed);
        let at = part.clock.monotonic();
        let mut now = self.now();
        now.last_error = Some(reason.to_owned());
        let verdict = match part.policy {
            None => Verdict::End(format!("{} failed and cannot be begun anew safely: {reason}", part.name)),
            Some(policy) => {
                now.failures.retain(|failure| at.saturating_sub(*failure) < policy.within);
                now.failures.push(at);
                let count = u32::try_from(now.failures.len()).unwrap_or(u32::MAX);
                if count > policy.most {
                    Verdict::End(format!(
                        "{} failed {count} times within {} s, the last time because {reason}",
                        part.name,
                        policy.within.as_secs_f64()
                    ))
                } else {
                    Verdict::Restart(policy.pause.delay(count, &*part.entropy))
                }
            }
        };
        match &verdict {
            Verdict::Restart(_) => {
                now.restarts += 1;
                self.set(&mut now, ComponentState::Restarting);
            }
            Verdict::End(why) => {
                now.last_error = Some(why.clone());
                self.set(&mut now, ComponentState::Failed);
            }
        }
        verdict
    }

    /// It was begun anew.
    pub fn begun(&self) {
        self.set(&mut self.now(), ComponentState::Running);
    }

    /// What it does fails at present, or works again.
    pub fn trouble(&self, problem: Option<String>) {
        let mut now = self.now();
        if !matches!(now.state, ComponentState::Running | ComponentState::Troubled) {
            return;
        }
        let state = if problem.is_some() { ComponentState::Troubled } else { ComponentState::Running };
        if problem.is_some() {
            now.last_error = problem;
        }
        self.set(&mut now, state);
    }

    /// It was told to end.
    pub fn stopped(&self) {
        let mut now = self.now();
        if now.state != ComponentState::Failed {
            self.set(&mut now, ComponentState::Stopped);
        }
    }

    /// How it is.
    pub fn report(&self) -> ComponentReport {
        let now = self.now();
        let mut report = ComponentReport {
            name: self.inner.name.clone(),
            state: now.state,
            since: now.since.to_rfc3339(),
            restarts: now.restarts,
            last_error: now.last_error.clone(),
        };
        if matches!(now.state, ComponentState::Running | ComponentState::Troubled)
            && let Some(busy) = self.busy_for().filter(|busy| *busy > self.inner.limit)
        {
            report.state = ComponentState::Stalled;
            let millis = i64::try_from(busy.as_millis()).unwrap_or(i64::MAX);
            report.since = UnixMillis(self.inner.clock.now().0.saturating_sub(millis)).to_rfc3339();
        }
        report
    }

    fn busy_for(&self) -> Option<Duration> {
        let since = Duration::from_millis(self.inner.busy_since.load(Ordering::Relaxed).checked_sub(1)?);
        Some(self.inner.clock.monotonic().saturating_sub(since))
    }
}

/// A part is busy with one thing.
#[must_use = "it is busy until this is dropped"]
pub struct Working {
    part: Arc<Part>,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.part.busy_since.store(0, Ordering::Relaxed);
    }
}

/// What a panic says.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "it panicked without a word".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::fixed::Fixed;
    use super::*;
    use std::sync::atomic::AtomicI64;

    #[derive(Default)]
    struct Hand(AtomicI64);

    impl Hand {
        fn pass(&self, time: Duration) {
            self.0.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
        }
    }

    impl Clock for Hand {
        fn now(&self) -> UnixMillis {
            UnixMillis(self.0.load(Ordering::SeqCst))
        }
    }

    fn board() -> (Arc<Hand>, Board) {
        let clock = Arc::new(Hand::default());
        (Arc::clone(&clock), Board::new(clock, Arc::new(Fixed(0))))
    }

    #[test]
    fn a_part_that_fails_too_often_in_too_short_a_time_ends_the_process() {
        let (clock, board) = board();
        let policy = RestartPolicy { most: 2, within: Duration::from_mins(1), ..RestartPolicy::default() };
        let part = board.begin("sweeper", Some(policy), Duration::from_secs(5));
        for _ in 0..10 {
            assert!(matches!(part.failed("it panicked"), Verdict::Restart(_)));
            part.begun();
            clock.pass(Duration::from_secs(31));
        }
        clock.pass(Duration::from_mins(1));
        assert!(matches!(part.failed("a"), Verdict::Restart(_)) && matches!(part.failed("b"), Verdict::Restart(_)));
        assert_eq!(board.fatal(), None);
        let why = "sweeper failed 3 times within 60 s, the last time because c";
        assert_eq!(part.failed("c"), Verdict::End(why.to_owned()));
        assert_eq!(board.fatal().as_deref(), Some(why));
        let report = &board.report()[0];
        assert_eq!((report.state, report.restarts), (ComponentState::Failed, 12));
    }

    #[test]
    fn a_part_that_cannot_be_begun_anew_ends_the_process_at_once() {
        let (_, board) = board();
        let part = board.begin("writer", None, Duration::from_secs(5));
        let why = "writer failed and cannot be begun anew safely: index out of bounds";
        assert_eq!(part.failed("index out of bounds"), Verdict::End(why.to_owned()));
        part.stopped();
        assert_eq!(board.fatal().as_deref(), Some(why), "its end does not hide why");
    }

    #[test]
    fn a_part_is_stalled_while_it_is_busy_with_one_thing_for_too_long() {
        let (clock, board) = board();
        let part = board.begin("writer", None, Duration::from_secs(5));
        clock.pass(Duration::from_hours(1));
        assert_eq!(part.report().state, ComponentState::Running, "who waits is not stalled");
        let busy = part.work();
        clock.pass(Duration::from_secs(5));
        assert_eq!(part.report().state, ComponentState::Running);
        clock.pass(Duration::from_secs(1));
        assert_eq!(
            (part.report().state, part.report().since.as_str()),
            (ComponentState::Stalled, "1970-01-01T01:00:00.000Z")
        );
        drop(busy);
        assert_eq!(part.report().state, ComponentState::Running);
    }

    #[test]
    fn trouble_is_shown_and_passes() {
        let (_, board) = board();
        let part = board.begin("notifier", Some(RestartPolicy::default()), Duration::from_secs(5));
        part.trouble(Some("the database is locked".to_owned()));
        let report = part.report();
        assert_eq!(
            (report.state, report.last_error.as_deref()),
            (ComponentState::Troubled, Some("the database is locked"))
        );
        part.trouble(None);
        assert_eq!(part.report().state, ComponentState::Running);
    }
}
