//! From PENDING to RUNNING: `scheduled_at`, `skip_if`, `max_concurrency`; and back to RUNNING for jobs that wake.
//!
//! Jobs over `max_concurrency` wait in one line per definition: jobs that wake before new ones, each group by rank.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use atta_core::engine::{Event, JobState, Timer};
use atta_core::protocol::JobId;
use atta_core::template::is_truthy;
use atta_core::time::UnixMillis;

use super::queue::Rank;
use super::state::State;
use super::variables::explain;

/// Who goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Woken,
    New,
}

/// Jobs that wait to run.
#[derive(Debug, Default)]
pub(super) struct Admission {
    lines: HashMap<String, BTreeSet<(Class, Rank, JobId)>>,
    places: HashMap<JobId, (String, Class, Rank)>,
    /// Definitions where somebody came or a place became free.
    pub(super) changed: BTreeSet<String>,
    /// Who came since the last time that places were given out.
    joined: Vec<JobId>,
    /// New jobs that are left out at present.
    pub(super) held: BTreeSet<JobId>,
    /// Jobs that start later.
    pub(super) scheduled: BTreeSet<(UnixMillis, JobId)>,
    /// Jobs that take a place of their definition's `max_concurrency`.
    occupied: BTreeMap<String, u32>,
}

impl Admission {
    fn join(&mut self, job_type: &str, class: Class, rank: Rank, job: &JobId) {
        if self.places.contains_key(job) {
            return;
        }
        self.lines.entry(job_type.to_owned()).or_default().insert((class, rank, job.clone()));
        self.places.insert(job.clone(), (job_type.to_owned(), class, rank));
        self.changed.insert(job_type.to_owned());
        self.joined.push(job.clone());
    }

    /// Takes a job out of its line.
    pub(super) fn leave(&mut self, job: &JobId) {
        self.held.remove(job);
        if let Some((job_type, class, rank)) = self.places.remove(job)
            && let Some(line) = self.lines.get_mut(&job_type)
        {
            line.remove(&(class, rank, job.clone()));
            if line.is_empty() {
                self.lines.remove(&job_type);
            }
        }
    }

    fn first(&self, job_type: &str) -> Option<&JobId> {
        self.lines.get(job_type)?.first().map(|(_, _, job)| job)
    }

    fn occupied(&self, job_type: &str) -> u32 {
        self.occupied.get(job_type).copied().unwrap_or(0)
    }

    /// Whether no further job of the definition may run, those in line before it counted.
    pub(super) fn is_full(&self, job_type: &str, limit: Option<u32>) -> bool {
        limit.is_some_and(|limit| self.occupied(job_type) >= limit || self.lines.contains_key(job_type))
    }
}

impl State {
    /// A new or recovered PENDING job: when its time has come it is skipped or gets into line.
    pub(super) fn consider(&mut self, job: &JobId) {
        let now = self.clock.now();
        let Some(live) = self.jobs.get_mut(job) else { return };
        if live.run.job_attempt() > 0 {
            // A command brought it back: it has been through all this.
            self.await_admission(job);
            return;
        }
        // A tick is an instant that has come.
        let due = live.row.scheduled_at.filter(|at| *at > now && live.row.tick.is_none());
        if let Some(due) = due {
            live.set_reason(Some(format!("scheduled for {}", due.to_rfc3339())));
            self.staged.touched.insert(job.clone());
            self.admission.scheduled.insert((due, job.clone()));
            return;
        }
        // Somebody wants a job that runs another one again in any case.
        if live.row.origin.rerun_of.is_none() && self.skip(job) {
            return;
        }
        let Some(live) = self.jobs.get(job) else { return };
        if live.row.state == JobState::Pending && self.takes_key(job) {
            self.join_line(job);
        }
    }

    /// The job waits for nothing any more but a place of its definition's `max_concurrency`.
    pub(super) fn join_line(&mut self, job: &JobId) {
        if self.holds_back(job) {
            return;
        }
        let now = self.clock.now();
        let Some(live) = self.jobs.get(job) else { return };
        let (class, since) = if live.run.job_attempt() > 0 {
            (Class::Woken, now)
        } else {
            (Class::New, live.row.scheduled_at.unwrap_or(live.row.created_at).max(live.row.created_at))
        };
        let rank = Rank::new(live.row.priority, since);
        let job_type = live.row.job_type.clone();
        self.admission.join(&job_type, class, rank, job);
    }

    /// Evaluates `skip_if`; an error fails closed: skipped, and the definition is degraded.
    fn skip(&mut self, job: &JobId) -> bool {
        let Some(live) = self.jobs.get(job) else { return true };
        let Some(template) = live.definition.skip_if.clone() else { return false };
        let job_type = live.row.job_type.clone();
        let scope = live.variables(live.builtins(None), &self.renderer, true);
        let (reason, degraded) = match self.renderer.render_text(&template.source, &scope) {
            Ok(text) if !is_truthy(&text) => {
                self.set_degraded(&job_type, None);
                return false;
            }
            Ok(text) => (format!("skip_if: {}", text.trim()), None),
            Err(problem) => {
                let error = explain(&live.version.source, "skip_if", &template, &problem);
                (error.clone(), Some(error))
            }
        };
        self.set_degraded(&job_type, degraded);
        self.skip_job(job, reason);
        true
    }

    /// Ends a PENDING job as SKIPPED.
    pub(super) fn skip_job(&mut self, job: &JobId, reason: String) {
        if let Err(error) = self.feed(job, Event::SkipRequested { reason }, None) {
            self.damage(job, &error);
        }
    }

    /// Jobs whose `scheduled_at` has come.
    pub(super) fn start_scheduled(&mut self) {
        let now = self.clock.now();
        while let Some((due, _)) = self.admission.scheduled.first()
            && *due <= now
            && let Some((_, job)) = self.admission.scheduled.pop_first()
        {
            if self.jobs.get(&job).is_some_and(|live| live.row.state == JobState::Pending) {
                if let Some(live) = self.jobs.get_mut(&job) {
                    live.set_reason(None);
                    self.staged.touched.insert(job.clone());
                }
                self.consider(&job);
            }
        }
    }

    /// A timer is due. One that would make the job run waits for a place; `true` when it fired.
    pub(super) fn fire(&mut self, job: &JobId, timer: Timer) {
        let Some(live) = self.jobs.get_mut(job) else { return };
        let wakes = matches!(
            timer,
            Timer::TaskRetry { .. }
                | Timer::InstanceRetry { .. }
                | Timer::JobRetry { .. }
                | Timer::Resume { .. }
                | Timer::AttemptWait { .. }
        );
        let limit = live.definition.max_concurrency;
        let job_type = live.row.job_type.clone();
        if wakes && limit.is_some() && !live.occupies {
            let due = live.timers.get(&timer).copied();
            live.held_timers.insert(timer);
            let rank = Rank::new(live.row.priority, due.unwrap_or_else(|| self.time.now()));
            if let Some(due) = due {
                // Its row stays, it is only not waited for any more.
                self.timers.remove(&(due, job.clone(), timer));
            }
            self.admission.join(&job_type, Class::Woken, rank, job);
            return;
        }
        self.fire_now(job, timer);
    }

    fn fire_now(&mut self, job: &JobId, timer: Timer) {
        let event = match timer {
            // The timer stands for a command that had to wait as well, of which the engine does not know.
            Timer::Resume { pause } => {
                let live = self.jobs.get(job);
                if live.is_none_or(|live| live.row.state != JobState::Paused || live.run.pauses() != pause) {
                    self.forget_timer(job, timer);
                    return;
                }
                Event::ResumeRequested
            }
            // Its method says what that means.
            Timer::AttemptWait { attempt } => {
                self.waits_over.insert((job.clone(), attempt));
                return;
            }
            _ => Event::TimerFired { timer },
        };
        if let Err(error) = self.feed(job, event, None) {
            self.damage(job, &error);
        }
        if matches!(timer, Timer::Resume { .. }) {
            self.forget_timer(job, timer);
        }
    }

    /// Removes a timer that the engine does not ask for any more.
    pub(super) fn forget_timer(&mut self, job: &JobId, timer: Timer) {
        if let Some(live) = self.jobs.get_mut(job)
            && let Some(due) = live.timers.remove(&timer)
        {
            live.held_timers.remove(&timer);
            self.timers.remove(&(due, job.clone(), timer));
            self.staged.timers.insert((job.clone(), timer), None);
        }
    }

    /// A job that was told to go on by a command, and that the engine keeps until it is admitted again.
    pub(super) fn await_admission(&mut self, job: &JobId) {
        if self.takes_key(job) {
            self.join_line(job);
        }
    }

    /// Lets jobs run as long as there are places.
    pub(super) fn admit(&mut self) {
        self.hand_keys_on();
        while let Some(job_type) = self.admission.changed.pop_first() {
            while let Some(job) = self.admission.first(&job_type).cloned() {
                let limit = self.jobs.get(&job).and_then(|live| live.definition.max_concurrency);
                if limit.is_some_and(|limit| self.admission.occupied(&job_type) >= limit) {
                    break;
                }
                self.admission.leave(&job);
                if self.holds_back(&job) {
                    continue;
                }
                let held =
                    self.jobs.get_mut(&job).map(|live| std::mem::take(&mut live.held_timers)).unwrap_or_default();
                if held.is_empty()
                    && let Err(error) = self.feed(&job, Event::Admitted, None)
                {
                    self.damage(&job, &error);
                }
                for timer in held {
                    self.fire_now(&job, timer);
                }
            }
            // What was admitted may have ended at once.
            self.hand_keys_on();
        }
        self.say_what_they_wait_for();
    }

    /// To those who came since and were not admitted.
    fn say_what_they_wait_for(&mut self) {
        for job in std::mem::take(&mut self.admission.joined) {
            if !self.admission.places.contains_key(&job) {
                continue;
            }
            let Some(live) = self.jobs.get_mut(&job) else { continue };
            let Some(limit) = live.definition.max_concurrency else { continue };
            let reason = format!("waits for max_concurrency {limit}");
            if live.row.reason.as_deref() != Some(&reason) {
                live.set_reason(Some(reason));
                self.staged.touched.insert(job);
            }
        }
    }

    /// Counts the job's place, and takes it out of line when it does not wait any more.
    pub(super) fn settle_place(&mut self, job: &JobId) {
        let Some(live) = self.jobs.get_mut(job) else { return };
        let occupies = live.takes_a_place();
        let was = std::mem::replace(&mut live.occupies, occupies);
        let state = live.row.state;
        let job_type = live.row.job_type.clone();
        if occupies != was {
            let count = self.admission.occupied.entry(job_type.clone()).or_default();
            *count = if occupies { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                self.admission.occupied.remove(&job_type);
            }
            // Whatever version it is of: those in line may be of another one.
            if !occupies && self.admission.lines.contains_key(&job_type) {
                self.admission.changed.insert(job_type);
            }
        }
        if state.is_terminal() {
            self.admission.leave(job);
        }
    }
}
