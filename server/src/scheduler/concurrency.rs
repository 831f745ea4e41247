//! `concurrency`: of all jobs with one key, whatever their definition, one at a time may have started and not ended.
//!
//! A PENDING job takes its key before it gets into the line for `max_concurrency`, and gives it back when it is terminal.
//! While another job has it, it waits in the key's line: jobs that cancelled the holder first, then by rank.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use atta_core::definition::OnConflict;
use atta_core::engine::{Event, JobState};
use atta_core::protocol::JobId;

use super::queue::Rank;
use super::state::State;

/// Jobs of a line that are told which job has the key; the others are told that they are behind them. So the work when a
/// key is handed on does not grow with the line.
const TOLD: usize = 20;

/// Who goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    CancelledTheHolder,
    Queued,
}

/// Keys, their holders, and those who wait for them.
#[derive(Debug, Default)]
pub(super) struct Keys {
    holders: HashMap<String, JobId>,
    lines: BTreeMap<String, BTreeSet<(Turn, Rank, JobId)>>,
    places: HashMap<JobId, (Turn, Rank)>,
    /// Keys that became free, or where somebody came.
    pub(super) changed: BTreeSet<String>,
}

impl Keys {
    fn join(&mut self, key: &str, turn: Turn, rank: Rank, job: &JobId) {
        if self.places.insert(job.clone(), (turn, rank)).is_none() {
            self.lines.entry(key.to_owned()).or_default().insert((turn, rank, job.clone()));
            self.changed.insert(key.to_owned());
        }
    }

    fn leave(&mut self, key: &str, job: &JobId) {
        if let Some((turn, rank)) = self.places.remove(job)
            && let Some(line) = self.lines.get_mut(key)
        {
            line.remove(&(turn, rank, job.clone()));
            if line.is_empty() {
                self.lines.remove(key);
            }
            self.changed.insert(key.to_owned());
        }
    }
}

impl State {
    /// Whether the PENDING job has its key, or needs none. If not it waits in line, or is skipped.
    pub(super) fn takes_key(&mut self, job: &JobId) -> bool {
        let Some(live) = self.jobs.get(job) else { return false };
        let Some(key) = live.row.concurrency_key.clone() else { return true };
        let on_conflict = live.definition.concurrency.as_ref().map_or(OnConflict::Queue, |one| one.on_conflict);
        let since = live.row.scheduled_at.unwrap_or(live.row.created_at).max(live.row.created_at);
        let rank = Rank::new(live.row.priority, since);
        let is_new = live.run.job_attempt() == 0;
        let holder = match self.keys.holders.get(&key) {
            Some(holder) if holder == job => return true,
            Some(holder) => Some(holder.clone()),
            None if self.keys.lines.contains_key(&key) => None,
            None => {
                self.keys.holders.insert(key, job.clone());
                return true;
            }
        };
        match (on_conflict, holder) {
            // What has started before can only wait: it came back by somebody's command.
            (OnConflict::Skip, Some(holder)) if is_new => {
                let reason = format!("the concurrency key {key} is held by the job {holder}, which has not ended");
                self.skip_job(job, reason);
            }
            (OnConflict::CancelRunning, Some(holder)) => {
                self.keys.join(&key, Turn::CancelledTheHolder, rank, job);
                self.make_room(job, &key, &holder);
            }
            _ => self.keys.join(&key, Turn::Queued, rank, job),
        }
        false
    }

    /// Cancels the holder of a key, and jobs in line that had cancelled one before.
    fn make_room(&mut self, job: &JobId, key: &str, holder: &JobId) {
        let line = self.keys.lines.get(key).into_iter().flatten();
        let superseded = line
            .take_while(|(turn, ..)| *turn == Turn::CancelledTheHolder)
            .map(|(.., waiting)| waiting)
            .filter(|waiting| *waiting != job);
        let over: Vec<JobId> = superseded.chain([holder]).cloned().collect();
        for other in over {
            let reason = format!("the job {job} takes over the concurrency key {key}");
            // One that is about to end anyway is only waited for.
            if let Err(error) = self.feed(&other, Event::CancelRequested { reason, force: false }, None) {
                tracing::debug!(job = %other, %error, "not cancelled");
            }
        }
    }

    /// A recovered job that has started holds its key.
    pub(super) fn keep_key(&mut self, job: &JobId) {
        let Some(live) = self.jobs.get(job) else { return };
        if live.row.state != JobState::Pending
            && !live.row.state.is_terminal()
            && let Some(key) = &live.row.concurrency_key
        {
            self.keys.holders.insert(key.clone(), job.clone());
        }
    }

    /// A job is terminal: whoever waits for its key may have it.
    pub(super) fn give_key_back(&mut self, job: &JobId) {
        let Some(key) = self.jobs.get(job).and_then(|live| live.row.concurrency_key.clone()) else { return };
        self.keys.leave(&key, job);
        if self.keys.holders.get(&key) == Some(job) {
            self.keys.holders.remove(&key);
            self.keys.changed.insert(key);
        }
    }

    /// Gives free keys to the first in line, and says to the others what they wait for.
    pub(super) fn hand_keys_on(&mut self) {
        while let Some(key) = self.keys.changed.pop_first() {
            if !self.keys.holders.contains_key(&key)
                && let Some((.., job)) = self.keys.lines.get(&key).and_then(BTreeSet::first).cloned()
            {
                self.keys.leave(&key, &job);
                self.keys.holders.insert(key.clone(), job.clone());
                self.join_line(&job);
            }
            self.say_who_has(&key);
            if self.keys.holders.contains_key(&key) {
                self.keys.changed.remove(&key);
            }
        }
    }

    fn say_who_has(&mut self, key: &str) {
        let (Some(line), Some(holder)) = (self.keys.lines.get(key), self.keys.holders.get(key)) else { return };
        let named = format!("waits for the concurrency key {key}, which the job {holder} holds");
        let first: Vec<JobId> = line.iter().take(TOLD).map(|(.., job)| job.clone()).collect();
        for job in first {
            self.say_to(&job, named.clone());
        }
        if let Some(last) = self.keys.lines.get(key).filter(|line| line.len() > TOLD).and_then(BTreeSet::last) {
            // Whoever came last has been told nothing yet.
            let job = last.2.clone();
            self.say_to(&job, format!("waits for the concurrency key {key} behind more than {TOLD} other jobs"));
        }
    }

    fn say_to(&mut self, job: &JobId, reason: String) {
        if let Some(live) = self.jobs.get_mut(job)
            && live.row.reason.as_ref() != Some(&reason)
        {
            live.set_reason(Some(reason));
            self.staged.touched.insert(job.clone());
        }
    }
}
