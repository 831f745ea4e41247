//! What people ask about budgets and accounts, and change of them.

use std::collections::{BTreeMap, BTreeSet};

use atta_core::budget::{Caps, Measure, Purse};
use atta_core::definition::is_job_type;
use atta_core::engine::AttemptState;
use atta_core::protocol::JobId;
use atta_core::protocol::budgets::{
    AccountResource, AccountState, BudgetAmounts, BudgetReport, BudgetResource, BudgetScope,
};
use atta_core::resilience::BreakerState;

use super::accounts::names_of;
use super::command::Command;
use super::queue::QueueKey;
use super::spending::{Cause, next_day};
use super::state::State;
use super::{Queen, Refusal};

impl Queen {
    /// All budgets, and what has become of them.
    pub async fn budgets(&self) -> Result<BudgetReport, Refusal> {
        self.ask(Command::Budgets).await
    }

    /// All accounts that were heard of.
    pub async fn accounts(&self) -> Result<Vec<AccountResource>, Refusal> {
        self.ask(Command::ListAccounts).await
    }

    /// An account can be used again, whatever was said.
    pub async fn release_account(&self, name: &str) -> Result<AccountResource, Refusal> {
        self.ask(|reply| Command::ReleaseAccount { name: name.to_owned(), reply }).await
    }
}

impl State {
    /// What the limits of a paused job will be, if they are to be others.
    pub(super) fn changed_budget(&self, job: &JobId, budget: &Caps) -> Result<Option<Caps>, Refusal> {
        if budget.is_empty() {
            return Ok(None);
        }
        let live = self.jobs.get(job).ok_or_else(|| Refusal::job_not_found(job))?;
        live.must_be_paused("another budget")?;
        let purse = &live.spending.purse;
        for measure in Measure::ALL {
            let used = purse.used.get(measure);
            if let Some(most) = budget.get(measure).filter(|most| *most <= used) {
                return Err(Refusal::Conflict {
                    code: "BUDGET_TOO_LOW",
                    message: format!(
                        "the agents of the job {job} have used {} {unit} already: a budget of {} {unit} leaves nothing",
                        measure.amount(used),
                        measure.amount(most),
                        unit = measure.unit()
                    ),
                });
            }
        }
        Ok(Some(purse.caps.replaced_by(budget)))
    }

    /// A paused job goes on with these limits.
    pub(super) fn change_budget(&mut self, job: &JobId, caps: Caps) {
        let Some(live) = self.jobs.get_mut(job) else { return };
        live.spending.change_caps(caps);
        self.staged.job_budgets.insert(job.clone(), caps);
        self.staged.touched.insert(job.clone());
        self.budgets.stir(&Cause::Job(job.clone()));
    }

    pub(super) fn budget_report(&self) -> BudgetReport {
        let is_ready = |key: &QueueKey| self.is_ready(key);
        let line =
            |scope, job_type: Option<&String>, job_id: Option<&JobId>, purse: &Purse, cause: &Cause| BudgetResource {
                scope,
                job_type: job_type.cloned(),
                job_id: job_id.cloned(),
                limits: BudgetAmounts::limits(&purse.caps),
                used: BudgetAmounts::sums(&purse.used),
                reserved: BudgetAmounts::sums(&purse.reserved),
                running: purse.open,
                waiting: self.budgets.waiting(cause, is_ready),
            };
        let mut budgets = vec![line(BudgetScope::Day, None, None, &self.budgets.all(), &Cause::Day)];
        let limited = self
            .definitions
            .keys()
            .filter(|job_type| self.caps_of_definition(job_type).is_some_and(|caps| !caps.is_empty()));
        let known: BTreeSet<&String> = limited.chain(self.budgets.definitions()).collect();
        for job_type in known.into_iter().filter(|job_type| is_job_type(job_type)) {
            let caps = self.caps_of_definition(job_type).unwrap_or_default();
            let purse = self.budgets.definition(job_type, caps);
            let cause = Cause::Definition(job_type.clone());
            budgets.push(line(BudgetScope::Definition, Some(job_type), None, &purse, &cause));
        }
        let jobs: BTreeMap<&JobId, _> =
            self.jobs.iter().filter(|(_, live)| !live.spending.purse.caps.is_empty()).collect();
        for (id, live) in jobs {
            let cause = Cause::Job(id.clone());
            budgets.push(line(BudgetScope::Job, Some(&live.row.job_type), Some(id), &live.spending.purse, &cause));
        }
        let next = next_day(self.budgets.today);
        let day = atta_core::time::UnixMillis(next.0 - 1).to_rfc3339();
        BudgetReport {
            day: day.split('T').next().unwrap_or_default().to_owned(),
            next_day_at: next.to_rfc3339(),
            budgets,
        }
    }

    /// READY attempts of agents that wait, by what they wait for.
    pub(super) fn waiting_by_cause(&self) -> BTreeMap<&'static str, u64> {
        let mut waiting: BTreeMap<_, _> = Cause::NAMES.map(|name| (name, 0)).into();
        for (cause, keys) in self.budgets.lines() {
            let ready = keys.filter(|key| self.is_ready(key)).count();
            *waiting.entry(cause.name()).or_default() += ready as u64;
        }
        waiting
    }

    fn is_ready(&self, key: &QueueKey) -> bool {
        let row = self.jobs.get(&key.job).and_then(|live| live.attempts.get(&key.attempt));
        row.is_some_and(|row| row.state == AttemptState::Ready)
    }

    pub(super) fn list_accounts(&self) -> Vec<AccountResource> {
        let (wall, monotonic) = (self.clock.now(), self.clock.monotonic());
        let (mut running, mut waiting): (BTreeMap<&str, u32>, BTreeMap<&str, u32>) = (BTreeMap::new(), BTreeMap::new());
        for row in self.jobs.values().flat_map(|live| live.spending.open.values()) {
            *running.entry(row.account.as_str()).or_default() += 1;
        }
        for key in self.budgets.waiting_for_accounts().filter(|key| self.is_ready(key)) {
            let Some(live) = self.jobs.get(&key.job) else { continue };
            let agent = live.attempts.get(&key.attempt).and_then(|row| live.task(row.task).method.agent());
            for name in agent.map(names_of).unwrap_or_default() {
                *waiting.entry(name).or_default() += 1;
            }
        }
        let resource = |(name, account): (&String, &super::accounts::Account)| {
            let parked = account.parked_until(wall);
            let (breaker, wait, why) = account.breaker(monotonic);
            let (state, until, reason) = match (parked, breaker) {
                (Some(until), _) => {
                    let said = account.row.as_ref().map(|row| row.reason.clone());
                    (AccountState::Parked, Some(until), said)
                }
                (None, BreakerState::Closed) => (AccountState::Open, None, None),
                (None, BreakerState::Open) => {
                    let until = wall.plus(wait.unwrap_or_default());
                    (AccountState::Broken, Some(until), Some(why.to_owned()))
                }
                (None, BreakerState::HalfOpen) => (AccountState::Probing, None, Some(why.to_owned())),
            };
            AccountResource {
                name: name.clone(),
                state,
                reason,
                until: until.map(atta_core::time::UnixMillis::to_rfc3339),
                limited_at: account.row.as_ref().map(|row| row.limited_at.to_rfc3339()),
                running: running.get(name.as_str()).copied().unwrap_or(0),
                waiting: waiting.get(name.as_str()).copied().unwrap_or(0),
            }
        };
        self.budgets.accounts.iter().map(resource).collect()
    }

    pub(super) fn release_account(&mut self, name: &str) -> Result<AccountResource, Refusal> {
        if self.budgets.accounts.release(name) {
            self.staged.accounts.insert(name.to_owned());
            self.budgets.stir_accounts();
        }
        let known = self.list_accounts().into_iter().find(|account| account.name == name);
        known.ok_or_else(|| Refusal::NotFound { what: format!("account {name}") })
    }
}
