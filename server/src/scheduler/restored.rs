//! The first start of a database that was restored from a backup.
//!
//! The world that the backup was made of may have gone on: what was waiting then may have run since, and what ran then is
//! over or runs without its log, whose later bytes nobody has. So whatever ran is lost, nothing that had begun goes on
//! before somebody says so, and what had not begun is cancelled, unless the operator knows that nothing has happened
//! since. Ticks that passed meanwhile are not made up for.

use atta_core::engine::{Event, JobState};
use atta_core::protocol::{AttemptId, JobId};
use atta_core::time::UnixMillis;

use super::state::State;
use crate::store::{StoreError, StoreWriter};

impl State {
    /// Does what is to be done once after a restore; it is stored with the batch that this belongs to.
    pub(super) async fn follow_restore(&mut self, database: &mut StoreWriter) -> Result<(), StoreError> {
        let Some(restored) = self.restored.clone() else { return Ok(()) };
        let made = UnixMillis(restored.backup_at).to_rfc3339();
        // Before anything is lost: what follows from that waits as well.
        let held = if restored.go_on { 0 } else { self.hold_back(&made) };
        let mut running: Vec<AttemptId> = self.ants.values().flat_map(|ant| ant.held.keys().cloned()).collect();
        running.sort();
        for attempt in &running {
            self.lose(attempt, format!("the server was restored from a backup of {made}, when it was running"));
        }
        let skipped = self.skip_past_ticks(database).await?;
        tracing::warn!(
            backup = made,
            held,
            lost = running.len(),
            schedules = skipped,
            "this server was restored from a backup"
        );
        Ok(())
    }

    fn hold_back(&mut self, made: &str) -> usize {
        let now = self.clock.now();
        let mut jobs: Vec<(JobId, JobState, bool)> = self
            .jobs
            .iter()
            .map(|(id, live)| (id.clone(), live.row.state, live.row.scheduled_at.is_some_and(|at| at > now)))
            .collect();
        jobs.sort_by(|a, b| a.0.cmp(&b.0));
        let mut held = 0;
        for (job, state, is_for_later) in jobs {
            let event = match state {
                JobState::Pending if is_for_later => continue,
                JobState::Pending => Event::CancelRequested {
                    reason: format!(
                        "it had not begun when the backup of {made} was made, and may have run since: resubmit it if not"
                    ),
                    force: false,
                },
                JobState::Running | JobState::Waiting => Event::PauseRequested,
                _ => continue,
            };
            match self.feed(&job, event, None) {
                Ok(()) => held += 1,
                // It is about to end.
                Err(error) => {
                    tracing::info!(%job, %error, "not held back");
                    continue;
                }
            }
            if let Some(live) = self.jobs.get_mut(&job)
                && live.row.state == JobState::Paused
            {
                let reason = format!("restored from a backup of {made}: resume it if it did not go on elsewhere");
                live.set_reason(Some(reason));
                self.staged.touched.insert(job);
            }
        }
        held
    }

    async fn skip_past_ticks(&mut self, database: &mut StoreWriter) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let past: Vec<(String, String)> = self
            .definitions
            .values()
            .filter(|entry| entry.row.next_fire_at.is_some_and(|at| at <= now))
            .map(|entry| (entry.row.job_type.clone(), entry.row.latest_version.clone()))
            .collect();
        for (job_type, latest) in &past {
            // One that cannot be read is dealt with when its tick is due.
            if let Ok(version) = self.version(database, job_type, latest).await {
                let next = version.definition.schedule.as_ref().and_then(|schedule| schedule.next_after(now));
                self.set_next_tick(job_type, next);
            }
        }
        Ok(past.len())
    }
}
