//! How much there is to do, for metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use atta_core::engine::JobState;
use atta_core::protocol::AntId;
use atta_core::protocol::ant::AntCondition;
use atta_core::protocol::ants::AntState;
use tokio::time::Instant;

use super::command::Command;
use super::state::State;
use super::{Queen, Refusal};

/// A moving average is of no use any more when nothing was stored for so long.
const STALE: Duration = Duration::from_secs(10);

/// What the writer has in memory, counted.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// READY attempts that wait for an ant.
    pub ready: usize,
    /// How long the one of them has waited that is next.
    pub next_waits: Duration,
    /// PENDING jobs that are left out at present.
    pub held: usize,
    /// All jobs by their state.
    pub jobs: BTreeMap<JobState, u64>,
    /// Attempts that ants have.
    pub attempts: usize,
    /// Ants by their state.
    pub ants: BTreeMap<&'static str, u32>,
    /// Slots of ants that live.
    pub slots: usize,
    /// What ants have said about themselves.
    pub conditions: Vec<(AntId, AntCondition)>,
}

/// How hard the writer works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Commands that wait for it.
    pub waiting: usize,
    /// How many could.
    pub room: usize,
    /// How long storing takes, as a moving average; `None`: nothing was stored lately.
    pub commit: Option<Duration>,
}

/// A moving average over commits.
#[derive(Debug, Default)]
pub(super) struct Pace(std::sync::Mutex<Option<(Duration, Instant)>>);

impl Pace {
    pub(super) fn note(&self, took: Duration) {
        let mut pace = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let average = match *pace {
            Some((average, at)) if at.elapsed() < STALE => (average * 7 + took) / 8,
            _ => took,
        };
        *pace = Some((average, Instant::now()));
    }

    fn get(&self) -> Option<Duration> {
        let pace = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        (*pace).filter(|(_, at)| at.elapsed() < STALE).map(|(average, _)| average)
    }
}

impl Queen {
    /// How much there is to do.
    pub async fn figures(&self) -> Result<Figures, Refusal> {
        self.ask(Command::Figures).await
    }

    /// How hard the writer works; asks nobody.
    pub fn load(&self) -> Load {
        let commands = &self.inner.commands;
        let room = commands.max_capacity();
        Load { waiting: room - commands.capacity(), room, commit: self.inner.pace.get() }
    }
}

impl State {
    pub(super) fn figures(&self) -> Figures {
        let now = self.clock.now();
        let next = self.ready.first().and_then(|key| self.jobs.get(&key.job)?.attempts.get(&key.attempt));
        let mut figures = Figures {
            ready: self.ready.len(),
            next_waits: next.map(|row| now.since(row.created_at)).unwrap_or_default(),
            held: self.admission.held.len(),
            jobs: self.counts.totals(),
            ants: [AntState::Awaited, AntState::Live, AntState::Silent, AntState::Lost]
                .map(|state| (state.as_str(), 0))
                .into(),
            ..Figures::default()
        };
        for ant in self.ants.values() {
            let state = ant.state();
            *figures.ants.entry(state.as_str()).or_default() += 1;
            figures.attempts += ant.held.len();
            if matches!(state, AntState::Live | AntState::Silent) {
                figures.slots += ant.slots;
            }
            figures.conditions.extend(ant.condition.clone().map(|condition| (ant.row.id.clone(), condition)));
        }
        figures
    }
}
