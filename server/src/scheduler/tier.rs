//! What is left out while the server has too much to do. Nothing that was accepted is lost: jobs stay PENDING with the
//! reason, and get into line when it is over. Results, logs and signs of life are never left out.

use std::sync::{Mutex, PoisonError};

use atta_core::definition::Priority;
use atta_core::engine::JobState;
use atta_core::protocol::JobId;
use atta_core::resilience::{Decision, Tier};

use super::state::State;
use super::{Queen, Refusal};

/// What was decided last. The writer takes it up with its next batch.
#[derive(Debug, Default)]
pub(super) struct InForce(Mutex<Decision>);

impl InForce {
    fn get(&self) -> Decision {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set(&self, decision: Decision) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = decision;
    }
}

impl Queen {
    /// How much is left out from now on.
    pub fn set_tier(&self, decision: Decision) {
        self.inner.tier.set(decision);
        self.clock_changed();
    }

    /// How much is left out, and why.
    pub fn tier(&self) -> Decision {
        self.inner.tier.get()
    }
}

impl State {
    /// Takes up what was decided since the last batch.
    pub(super) fn apply_tier(&mut self) {
        let decision = self.in_force.get();
        if decision == self.tier {
            return;
        }
        let was = std::mem::replace(&mut self.tier, decision);
        let now = &self.tier;
        // Another thing is measured that asks for the same: those that wait have been told enough.
        if was.tier == now.tier && !was.by_hand && !now.by_hand {
            return;
        }
        let paused = |tier: Tier| tier == Tier::ReadOnly;
        let dispatch_changes = paused(was.tier) != paused(now.tier);
        for job in std::mem::take(&mut self.admission.held) {
            let pending = self.jobs.get(&job).is_some_and(|live| live.row.state == JobState::Pending);
            // Only what changes is written.
            if !pending || self.holds_back(&job) {
                continue;
            }
            if let Some(live) = self.jobs.get_mut(&job) {
                live.set_reason(None);
                self.staged.touched.insert(job.clone());
            }
            self.join_line(&job);
        }
        if dispatch_changes {
            // What they wait for is another thing now.
            self.unoffered.extend(self.ready.keys().cloned());
        }
    }

    /// Whether a new job has to wait until there is less to do; then it does, with the reason.
    pub(super) fn holds_back(&mut self, job: &JobId) -> bool {
        let tier = self.tier.tier;
        if tier == Tier::Normal {
            return false;
        }
        let Some(live) = self.jobs.get(job) else { return false };
        // What has begun goes on to its end.
        if live.run.job_attempt() > 0 {
            return false;
        }
        // And so does what it forked: a job that waits for its child would never end.
        let origin = &live.row.origin;
        let forked = origin.forked && origin.parent.as_ref().is_some_and(|id| self.jobs.contains_key(id));
        if forked && tier < Tier::ReadOnly {
            return false;
        }
        let what = match tier {
            Tier::Shed if live.row.priority == Priority::Low => "jobs of low priority",
            Tier::Shed if live.row.tick.is_some() => "jobs of schedules",
            Tier::Normal | Tier::Shed => return false,
            Tier::Finish | Tier::ReadOnly => "new jobs",
        };
        let reason = format!("waits: the server begins no {what} at present ({})", self.tier.reason);
        if live.row.reason.as_deref() != Some(&reason)
            && let Some(live) = self.jobs.get_mut(job)
        {
            live.set_reason(Some(reason));
            self.staged.touched.insert(job.clone());
        }
        self.admission.held.insert(job.clone());
        true
    }

    /// Why no attempt is given out, if so.
    pub(super) fn is_read_only(&self) -> Option<String> {
        let reason = &self.tier.reason;
        (self.tier.tier == Tier::ReadOnly).then(|| format!("waits: the server begins nothing at present ({reason})"))
    }

    /// Refuses what would be more work.
    pub(super) fn accepts_work(&self) -> Result<(), Refusal> {
        if self.tier.tier < Tier::ReadOnly {
            return Ok(());
        }
        let message = format!("the server takes no jobs at present: {}", self.tier.reason);
        Err(Refusal::Unavailable { message })
    }
}
