//! How much there is to do, for metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use atta_core::budget::{Caps, Purse, Scope, Sums};
use atta_core::definition::is_job_type;
use atta_core::engine::JobState;
use atta_core::protocol::AntId;
use atta_core::protocol::ant::AntCondition;
use atta_core::protocol::ants::AntState;
use atta_core::protocol::budgets::AccountState;
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
    /// Budgets of the organisation and of definitions with agents, today, and those of all live jobs together.
    pub budgets: Vec<BudgetFigures>,
    /// READY attempts of agents that wait for more than a slot, by what they wait for.
    pub waiting: BTreeMap<&'static str, u64>,
    /// Accounts by their state.
    pub accounts: BTreeMap<&'static str, u64>,
    /// Attempts that somebody may type into.
    pub terminals: usize,
}

/// What of a budget is gone.
#[derive(Debug, Clone)]
pub struct BudgetFigures {
    /// Whose.
    pub scope: Scope,
    /// Of which definition, where it is one's.
    pub job_type: Option<String>,
    /// The limits.
    pub limits: Caps,
    /// What was used by attempts that have ended.
    pub used: Sums,
    /// What those that run may use.
    pub reserved: Sums,
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
            terminals: self.terminals.sessions(),
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
        figures.budgets = self.budget_figures();
        figures.waiting = self.waiting_by_cause();
        figures.accounts = [AccountState::Open, AccountState::Parked, AccountState::Broken, AccountState::Probing]
            .map(|state| (state.as_str(), 0))
            .into();
        for account in self.list_accounts() {
            *figures.accounts.entry(account.state.as_str()).or_default() += 1;
        }
        figures
    }

    fn budget_figures(&self) -> Vec<BudgetFigures> {
        let line = |scope, job_type: Option<&String>, purse: &Purse| BudgetFigures {
            scope,
            job_type: job_type.cloned(),
            limits: purse.caps,
            used: purse.used,
            reserved: purse.reserved,
        };
        let mut figures = vec![line(Scope::Day, None, &self.budgets.all())];
        // Those of which nothing was used today, too: what was said of yesterday is not true any more. And those that used
        // something, though no version of them was looked at since the start.
        let with_agents = self.definitions.keys().filter(|job_type| self.has_agents(job_type));
        let known: BTreeSet<&String> = with_agents.chain(self.budgets.definitions()).collect();
        for job_type in known.into_iter().filter(|job_type| is_job_type(job_type)) {
            let caps = self.caps_of_definition(job_type).unwrap_or_default();
            figures.push(line(Scope::Definition, Some(job_type), &self.budgets.definition(job_type, caps)));
        }
        let mut jobs = Purse::default();
        for live in self.jobs.values().filter(|live| !live.spending.purse.caps.is_empty()) {
            jobs.used.add(&live.spending.purse.used);
            jobs.reserved.add(&live.spending.purse.reserved);
        }
        figures.push(line(Scope::Job, None, &jobs));
        figures
    }
}
