//! Budgets: what agents may use up together is reserved before they start and counted when they have ended.
//!
//! An attempt of an agent starts when its job, its definition and the organisation have something left for it, and one of
//! its accounts can be used. Until then it stays READY, with the reason, apart from the queue: it gets back into it when
//! something has changed that it waits for. All of this happens before an attempt is given to an ant and after it has
//! ended, and is stored with that; the engine is only told what follows for the job.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::time::Duration;

use atta_core::budget::{Asked, Caps, Known, Measure, Part, Purse, Scope, Spent, Sums, share};
use atta_core::definition::{AgentOptions, Field, OnExceed};
use atta_core::engine::{AttemptNumber, AttemptResult, AttemptState, Event, Failure, ResultName};
use atta_core::protocol::agent::AgentRecord;
use atta_core::protocol::{AttemptId, JobId};
use atta_core::time::UnixMillis;

use super::accounts::{Accounts, Now, names_of};
use super::definitions::LoadedVersion;
use super::live::LiveJob;
use super::queue::QueueKey;
use super::state::State;
use crate::store::{AttemptRow, Settled, SpendRow};

/// Milliseconds of a day. Days begin at midnight, UTC.
const DAY: i64 = 86_400_000;
/// When the next ones of a line look, after the first ones.
const NEXT_ONES: Duration = Duration::from_secs(1);

/// The number of the day, since 1970.
pub(super) fn day_of(at: UnixMillis) -> i64 {
    at.0.div_euclid(DAY)
}

/// When the next day begins.
pub(super) fn next_day(day: i64) -> UnixMillis {
    UnixMillis((day + 1) * DAY)
}

/// What an attempt of an agent waits for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// Others of the job to end.
    Job(JobId),
    /// Others of the definition to end, or the next day.
    Definition(String),
    /// Others to end, or the next day.
    Day,
    /// An account; named by the first of those that the task may use.
    Account(String),
}

impl Cause {
    /// All kinds of causes.
    pub(super) const NAMES: [&str; 4] = ["job", "definition", "day", "account"];

    /// What kind it is.
    pub(super) fn name(&self) -> &'static str {
        let at = match self {
            Self::Job(_) => 0,
            Self::Definition(_) => 1,
            Self::Day => 2,
            Self::Account(_) => 3,
        };
        Self::NAMES[at]
    }
}

/// Those that wait for one cause.
#[derive(Debug, Default)]
struct Line {
    keys: BTreeSet<QueueKey>,
    /// When to look again, whatever happens.
    until: Option<UnixMillis>,
    /// Something has changed.
    stirred: bool,
    /// Those after this one have not looked since something changed, and do so then.
    behind: Option<(UnixMillis, QueueKey)>,
    /// Something has changed since the first of them looked.
    stirred_meanwhile: bool,
}

/// The budgets above jobs, the accounts, and who waits.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    /// The limits of the organisation.
    pub(super) per_day: Caps,
    pub(super) today: i64,
    /// By definition; without limits, which the newest version has.
    definitions: HashMap<String, Purse>,
    all: Purse,
    pub(super) accounts: Accounts,
    lines: BTreeMap<Cause, Line>,
}

/// What a live job's agents have used.
#[derive(Debug, Default)]
pub(super) struct Spending {
    pub(super) purse: Purse,
    /// Attempts that have something reserved.
    pub(super) open: BTreeMap<AttemptNumber, SpendRow>,
    /// The limits are stored.
    stored: bool,
}

impl Spending {
    /// As it was stored.
    pub(super) fn read(limits: Caps, changed: Option<Caps>, rows: Vec<SpendRow>) -> Self {
        let purse = Purse { caps: changed.unwrap_or(limits), ..Purse::default() };
        let mut spending = Self { purse, open: BTreeMap::new(), stored: changed.is_some() };
        for row in rows {
            if let Some(settled) = row.settled {
                spending.purse.used.add(&settled.counted);
            } else {
                spending.purse.reserve(&row.part);
                spending.open.insert(row.attempt, row);
            }
        }
        spending
    }
}

impl Spending {
    /// Somebody has changed the limits.
    pub(super) fn change_caps(&mut self, caps: Caps) {
        self.purse.caps = caps;
        self.stored = true;
    }
}

impl Budgets {
    /// Begins anew, with what was counted today.
    pub(super) fn reset(&mut self, today: i64, counted: Vec<(String, Sums)>, accounts: Accounts) {
        let per_day = self.per_day;
        *self = Self { per_day, today, accounts, ..Self::default() };
        for (job_type, sums) in counted {
            self.all.used.add(&sums);
            self.definitions.insert(job_type, Purse { used: sums, ..Purse::default() });
        }
    }

    /// Something of a live job that was read again is still reserved.
    pub(super) fn take_in(&mut self, job_type: &str, open: &BTreeMap<AttemptNumber, SpendRow>) {
        for row in open.values() {
            self.all.reserve(&row.part);
            self.definitions.entry(job_type.to_owned()).or_default().reserve(&row.part);
        }
    }

    /// Nobody reserves this any more.
    pub(super) fn release(&mut self, job_type: &str, part: &Part) {
        self.all.release(part);
        if let Some(purse) = self.definitions.get_mut(job_type) {
            purse.release(part);
        }
        self.stir(&Cause::Day);
        self.stir(&Cause::Definition(job_type.to_owned()));
    }

    /// The purse of a definition, with these limits.
    pub(super) fn definition(&self, job_type: &str, caps: Caps) -> Purse {
        Purse { caps, ..self.definitions.get(job_type).copied().unwrap_or_default() }
    }

    /// The definitions of which something was counted or is reserved today.
    pub(super) fn definitions(&self) -> impl Iterator<Item = &String> {
        self.definitions.keys()
    }

    /// The purse of the organisation.
    pub(super) fn all(&self) -> Purse {
        Purse { caps: self.per_day, ..self.all }
    }

    /// Those that wait for it look again.
    pub(super) fn stir(&mut self, cause: &Cause) {
        if let Some(line) = self.lines.get_mut(cause) {
            line.stirred = true;
        }
    }

    /// Those that wait for any account look again.
    pub(super) fn stir_accounts(&mut self) {
        for (_, line) in self.lines.iter_mut().filter(|(cause, _)| matches!(cause, Cause::Account(_))) {
            line.stirred = true;
        }
    }

    fn wait(&mut self, cause: Cause, key: QueueKey, until: Option<UnixMillis>) {
        let line = self.lines.entry(cause).or_default();
        line.keys.insert(key);
        line.until = line.until.into_iter().chain(until).min();
    }

    /// When somebody has to look again, whatever happens.
    pub(super) fn next_look(&self) -> Option<UnixMillis> {
        let behind = |line: &Line| line.behind.as_ref().map(|(at, _)| *at);
        self.lines.values().flat_map(|line| line.until.into_iter().chain(behind(line))).min()
    }

    /// On another day nothing was counted yet.
    fn begin_day(&mut self, now: UnixMillis) {
        let today = day_of(now);
        if today != self.today {
            self.today = today;
            self.all.used = Sums::default();
            for purse in self.definitions.values_mut() {
                purse.used = Sums::default();
            }
            self.definitions.retain(|_, purse| purse.open > 0);
        }
    }

    /// Those that may look again now: of each line at most so many, for the others mostly find what the first ones find.
    /// They look a little later.
    fn called(&mut self, now: UnixMillis, most: usize) -> Vec<QueueKey> {
        self.begin_day(now);
        let mut called = Vec::new();
        for line in self.lines.values_mut() {
            if line.until.is_some_and(|until| until <= now) {
                line.until = None;
                line.stirred = true;
            }
            // Those behind have their turn also when changes never cease.
            let mut turns = Vec::new();
            if std::mem::take(&mut line.stirred) {
                turns.push(Bound::Unbounded);
                line.stirred_meanwhile |= line.behind.is_some();
            }
            match line.behind.take() {
                Some((at, last)) if at <= now => turns.push(Bound::Excluded(last)),
                later => line.behind = later,
            }
            let mut next = None;
            for after in turns {
                let mut keys = line.keys.range((after, Bound::Unbounded));
                let these: Vec<QueueKey> = keys.by_ref().take(most).cloned().collect();
                next = these.last().filter(|_| keys.next().is_some()).map(|last| (now.plus(NEXT_ONES), last.clone()));
                for key in &these {
                    line.keys.remove(key);
                }
                called.extend(these);
            }
            line.behind = line.behind.take().or(next);
            // The last ones have looked, and what changed meanwhile only the first ones have seen.
            if line.behind.is_none() && std::mem::take(&mut line.stirred_meanwhile) {
                let again = now.plus(NEXT_ONES);
                line.until = Some(line.until.map_or(again, |until| until.min(again)));
            }
        }
        self.lines.retain(|_, line| !line.keys.is_empty());
        called
    }

    /// How many wait for a cause.
    pub(super) fn waiting(&self, cause: &Cause, is_ready: impl Fn(&QueueKey) -> bool) -> u32 {
        let keys = self.lines.get(cause).into_iter().flat_map(|line| &line.keys);
        u32::try_from(keys.filter(|key| is_ready(key)).count()).unwrap_or(u32::MAX)
    }

    /// All causes for which somebody waits.
    pub(super) fn lines(&self) -> impl Iterator<Item = (&Cause, impl Iterator<Item = &QueueKey>)> {
        self.lines.iter().map(|(cause, line)| (cause, line.keys.iter()))
    }

    /// The keys that wait for accounts.
    pub(super) fn waiting_for_accounts(&self) -> impl Iterator<Item = &QueueKey> {
        let lines = self.lines.iter().filter(|(cause, _)| matches!(cause, Cause::Account(_)));
        lines.flat_map(|(_, line)| &line.keys)
    }
}

/// The limits that a task sets itself.
fn own_caps(agent: &AgentOptions, timeout: &Field<Duration>) -> Caps {
    let mut caps = Caps::default();
    caps.set(Measure::Usd, agent.max_usd.as_ref().and_then(Field::value).map(|usd| usd.0));
    let number = |field: &Option<Field<u32>>| field.as_ref().and_then(Field::value).copied().map(u64::from);
    caps.set(Measure::Tokens, number(&agent.max_tokens));
    caps.set(Measure::Turns, number(&agent.max_turns));
    caps.set(Measure::Time, timeout.value().map(|timeout| millis(*timeout)));
    caps
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How long an attempt has run.
fn took(row: &AttemptRow, ended: UnixMillis) -> Duration {
    row.started_at.map(|started| ended.since(started)).unwrap_or_default()
}

impl LiveJob {
    /// What an attempt of an agent may use at most.
    pub(super) fn part_of(&self, number: AttemptNumber) -> Option<&Part> {
        self.spending.open.get(&number).map(|row| &row.part)
    }

    /// The account that an attempt uses.
    pub(super) fn account_of(&self, number: AttemptNumber) -> Option<&str> {
        self.spending.open.get(&number).map(|row| row.account.as_str())
    }

    fn agent_of(&self, number: AttemptNumber) -> Option<&AgentOptions> {
        self.task(self.attempts.get(&number)?.task).method.agent()
    }

    /// READY attempts of agents, up to so many.
    fn ready_agents(&self, most: usize) -> usize {
        let ready = self.attempts.values().filter(|row| row.state == AttemptState::Ready);
        ready.filter(|row| self.task(row.task).method.agent().is_some()).take(most).count()
    }
}

impl State {
    /// Those that wait for budgets and accounts get into the queue again, as far as something has changed.
    pub(super) fn call_those_that_wait(&mut self) {
        let most = self.all_slots().max(16);
        for key in self.budgets.called(self.clock.now(), most) {
            self.enqueue(&key.job, key.attempt);
        }
    }

    fn all_slots(&self) -> usize {
        self.ants.values().filter(|ant| ant.is_in_service()).map(|ant| ant.slots).sum::<usize>().max(1)
    }

    fn free_slots(&self) -> usize {
        let ants = self.ants.values().filter(|ant| ant.is_in_service());
        ants.map(super::ants::Ant::free_slots).sum::<usize>().max(1)
    }

    fn newest_version(&self, job_type: &str) -> Option<&LoadedVersion> {
        let latest = &self.definitions.get(job_type)?.row.latest_version;
        self.versions.get(&(job_type.to_owned(), latest.clone())).map(|version| &**version)
    }

    /// Whether a definition has agents, in its newest version.
    pub(super) fn has_agents(&self, job_type: &str) -> bool {
        let version = self.newest_version(job_type);
        version.is_some_and(|version| version.definition.has_agents())
    }

    /// The limits of a definition for a day: those of its newest version.
    pub(super) fn caps_of_definition(&self, job_type: &str) -> Option<Caps> {
        let version = self.newest_version(job_type)?;
        Some(version.definition.budget.as_ref().map(|budget| budget.per_day.caps()).unwrap_or_default())
    }

    /// Whether an attempt may be given to an ant. One of an agent has its part reserved then; otherwise it waits, apart from
    /// the queue.
    pub(super) fn may_spend(&mut self, key: &QueueKey) -> bool {
        let Some(live) = self.jobs.get(&key.job) else { return false };
        let Some((row, agent)) = live.attempts.get(&key.attempt).zip(live.agent_of(key.attempt)) else { return true };
        let job_type = live.row.job_type.as_str();
        let own = own_caps(agent, &live.task(row.task).timeout);
        let of_newest = self.caps_of_definition(job_type);
        let per_day = of_newest
            .unwrap_or_else(|| live.definition.budget.as_ref().map(|budget| budget.per_day.caps()).unwrap_or_default());
        let (job, definition, all) =
            (live.spending.purse, self.budgets.definition(job_type, per_day), self.budgets.all());
        let few = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).max(1);
        let mut purses = Vec::with_capacity(3);
        // The final phase has no budget.
        if !live.run.is_stopped() && live.run.verdict().is_none() {
            if !job.caps.is_empty() {
                let sharers = few(live.ready_agents(self.free_slots()));
                purses.push(Asked { scope: Scope::Job, purse: job, sharers });
            }
            let slots = few(self.all_slots());
            purses.push(Asked { scope: Scope::Definition, purse: definition, sharers: slots });
            purses.push(Asked { scope: Scope::Day, purse: all, sharers: slots });
        }
        let now = Now { wall: self.clock.now(), monotonic: self.clock.monotonic() };
        let part = match share(&purses, &own) {
            Ok(part) => part,
            Err(short) => {
                let measure = short.measure;
                match short.scope {
                    Scope::Job if short.may_ease => {
                        let reason = format!("waits for the budget of the job: {}", taken(&job, measure));
                        self.wait_for(key, Cause::Job(key.job.clone()), reason, None);
                    }
                    Scope::Job => self.used_up(key, &job, measure),
                    Scope::Definition => {
                        let whose = format!("of all jobs of {job_type} today");
                        let cause = Cause::Definition(job_type.to_owned());
                        self.wait_for_the_day(key, cause, &whose, &definition, measure);
                    }
                    Scope::Day => {
                        self.wait_for_the_day(key, Cause::Day, "of all agents today", &all, measure);
                    }
                }
                return false;
            }
        };
        let names = names_of(agent);
        let account = match self.budgets.accounts.choose(&names, agent.rotation, now) {
            Ok(account) => account,
            Err(hindrance) if hindrance.used_up && self.budgets.accounts.falls_back(agent, now) => {
                names.first().map_or_else(String::new, |name| (*name).to_owned())
            }
            Err(hindrance) => {
                let cause = Cause::Account(names.first().map_or_else(String::new, |name| (*name).to_owned()));
                self.wait_for(key, cause, format!("waits: {}", hindrance.reason), hindrance.until);
                return false;
            }
        };
        self.reserve(key, account, part);
        true
    }

    fn reserve(&mut self, key: &QueueKey, account: String, part: Part) {
        let Some(live) = self.jobs.get_mut(&key.job) else { return };
        self.budgets.accounts.begins(&account, &AttemptId::new(&key.job, key.attempt), self.clock.monotonic());
        live.spending.purse.reserve(&part);
        self.budgets.all.reserve(&part);
        self.budgets.definitions.entry(live.row.job_type.clone()).or_default().reserve(&part);
        if !live.spending.stored && !live.spending.purse.caps.is_empty() {
            live.spending.stored = true;
            self.staged.job_budgets.insert(key.job.clone(), live.spending.purse.caps);
        }
        let row = SpendRow { job: key.job.clone(), attempt: key.attempt, account, part, settled: None };
        self.staged.spend.insert((key.job.clone(), key.attempt), Some(row.clone()));
        live.spending.open.insert(key.attempt, row);
    }

    fn wait_for_the_day(&mut self, key: &QueueKey, cause: Cause, whose: &str, purse: &Purse, measure: Measure) {
        let tomorrow = next_day(self.budgets.today);
        let until = if purse.open > 0 { "until more of it is left" } else { "until it is raised" };
        let reason = format!(
            "waits {until}, or until {}: the budget {whose} is taken: {}",
            tomorrow.to_rfc3339(),
            taken(purse, measure)
        );
        self.wait_for(key, cause, reason, Some(tomorrow));
    }

    /// The attempt stays READY, and is not in the queue.
    fn wait_for(&mut self, key: &QueueKey, cause: Cause, reason: String, until: Option<UnixMillis>) {
        self.budgets.wait(cause, key.clone(), until);
        let Some(live) = self.jobs.get_mut(&key.job) else { return };
        live.queued.remove(&key.attempt);
        if live.attempts.get(&key.attempt).is_some_and(|row| row.reason.as_ref() != Some(&reason))
            && let Some(row) = live.attempt_row(key.attempt)
        {
            row.reason = Some(reason);
            self.staged.touched.insert(key.job.clone());
        }
    }

    /// Nothing of the job's budget is left, and nobody gives anything back.
    fn used_up(&mut self, key: &QueueKey, purse: &Purse, measure: Measure) {
        let Some(live) = self.jobs.get_mut(&key.job) else { return };
        live.queued.remove(&key.attempt);
        let fail = live.definition.budget.as_ref().is_some_and(|budget| budget.on_exceed == OnExceed::Fail);
        let spent = Spent(purse, measure);
        let reason = if fail {
            format!("BUDGET: {spent} are used, and an agent of this job needs more")
        } else {
            let key = measure.key();
            format!("BUDGET: {spent} are used, and an agent waits for more: `atta resume JOB --budget {key}=…`")
        };
        live.parked.push(key.attempt);
        if let Err(error) = self.feed(&key.job, Event::BudgetUsedUp { reason, fail }, None) {
            self.damage(&key.job, &error);
        }
    }

    /// An attempt of an agent provably never began.
    pub(super) fn give_back(&mut self, job: &JobId, number: AttemptNumber) {
        let Some(live) = self.jobs.get_mut(job) else { return };
        let Some(row) = live.spending.open.remove(&number) else { return };
        live.spending.purse.release(&row.part);
        let job_type = live.row.job_type.clone();
        self.budgets.release(&job_type, &row.part);
        self.budgets.stir(&Cause::Job(job.clone()));
        self.budgets.accounts.gave_up(&row.account, &AttemptId::new(job, number));
        self.budgets.stir_accounts();
        self.staged.spend.insert((job.clone(), number), None);
    }

    /// An attempt of an agent has ended: what it used is counted, and what was reserved is free again.
    pub(super) fn settle_spending(&mut self, job: &JobId, number: AttemptNumber, record: Option<&AgentRecord>) {
        let Some(live) = self.jobs.get(job).filter(|live| live.spending.open.contains_key(&number)) else { return };
        let Some(row) = live.attempts.get(&number) else { return };
        let Some(result) = row.result else { return };
        let lost = result == AttemptResult::Named(ResultName::Lost);
        if record.is_none() && row.started_at.is_none() && !lost {
            self.give_back(job, number);
            return;
        }
        let took = took(row, row.finished_at.unwrap_or(self.clock.now()));
        self.count(job, number, (result, took), record);
    }

    /// The job is abandoned. What its agents used nobody will say any more: those that had begun count as lost.
    pub(super) fn abandon_spending(&mut self, job: &JobId) {
        let Some(live) = self.jobs.get(job) else { return };
        let now = self.clock.now();
        let begun = |number| live.attempts.get(number).filter(|row| row.started_at.is_some()).map(|row| took(row, now));
        let open: Vec<_> = live.spending.open.keys().map(|number| (*number, begun(number))).collect();
        for (number, took) in open {
            match took {
                Some(took) => self.count(job, number, (AttemptResult::Named(ResultName::Lost), took), None),
                None => self.give_back(job, number),
            }
        }
    }

    fn count(
        &mut self,
        job: &JobId,
        number: AttemptNumber,
        (result, took): (AttemptResult, Duration),
        record: Option<&AgentRecord>,
    ) {
        let Some(live) = self.jobs.get_mut(job) else { return };
        let Some(mut spend) = live.spending.open.remove(&number) else { return };
        live.spending.purse.release(&spend.part);
        let job_type = live.row.job_type.clone();
        let counted = self.count_above(&job_type, &mut spend, &Known::of(record, millis(took)));
        self.budgets.release(&job_type, &spend.part);
        if let Some(live) = self.jobs.get_mut(job) {
            live.spending.purse.used.add(&counted);
        }
        let (wall, monotonic) = (self.clock.now(), self.clock.monotonic());
        let changed = self.budgets.accounts.ended(
            &spend.account,
            &AttemptId::new(job, number),
            (result, took),
            record,
            Now { wall, monotonic },
            &*self.entropy,
        );
        self.staged.accounts.extend(changed);
        self.budgets.stir(&Cause::Job(job.clone()));
        self.budgets.stir_accounts();
        self.staged.spend.insert((job.clone(), number), Some(spend));
    }

    /// Counts what an attempt has used in the budgets above its job.
    fn count_above(&mut self, job_type: &str, spend: &mut SpendRow, known: &Known) -> Sums {
        let wall = self.clock.now();
        let counted = spend.part.counted(known);
        self.budgets.begin_day(wall);
        let day = day_of(wall);
        let unknown_usd = known.get(Measure::Usd).is_none();
        let unknown_tokens = known.get(Measure::Tokens).is_none();
        spend.settled = Some(Settled { day, counted, unknown_usd, unknown_tokens });
        self.budgets.all.used.add(&counted);
        self.budgets.definitions.entry(job_type.to_owned()).or_default().used.add(&counted);
        let sum = self.staged.spend_days.entry((day, job_type.to_owned())).or_default();
        sum.attempts += 1;
        sum.counted.add(&counted);
        sum.unknown += u32::from(unknown_usd);
        counted
    }

    /// When it was a budget that ended an attempt: which one, in words.
    pub(super) fn over_budget(
        &self,
        job: &JobId,
        number: AttemptNumber,
        result: AttemptResult,
        (record, at): (Option<&AgentRecord>, UnixMillis),
    ) -> Option<Failure> {
        let live = self.jobs.get(job)?;
        let (part, row) = (live.part_of(number)?, live.attempts.get(&number)?);
        let (scope, measure) = part.ended_by(result, &Known::of(record, millis(took(row, at))))?;
        let whose = match scope {
            Scope::Job => "the budget of the job".to_owned(),
            Scope::Definition => format!("the budget of all jobs of {} today", live.row.job_type),
            Scope::Day => "the budget of all agents today".to_owned(),
        };
        let had = measure.amount(part.caps.get(measure).unwrap_or_default());
        let message = format!(
            "it used up what {whose} had left for it: {had} {}; it goes on in the same session when there is more",
            measure.unit()
        );
        Some(Failure { code: "BUDGET".to_owned(), message })
    }

    /// Whether an attempt that met the limit of its account may use another one at once.
    pub(super) fn has_other_account(&self, job: &JobId, number: AttemptNumber) -> bool {
        let Some(live) = self.jobs.get(job) else { return false };
        let (Some(agent), Some(own)) = (live.agent_of(number), live.account_of(number)) else { return false };
        let now = Now { wall: self.clock.now(), monotonic: self.clock.monotonic() };
        let others: Vec<&str> = names_of(agent).into_iter().filter(|name| *name != own).collect();
        !others.is_empty() && self.budgets.accounts.choose(&others, agent.rotation, now).is_ok()
    }
}

/// What of a purse is not left: `1.20 of 5.00 USD are used, and 3.80 are reserved for 4 agents that run`.
fn taken(purse: &Purse, measure: Measure) -> String {
    let spent = Spent(purse, measure);
    match purse.open {
        0 => format!("{spent} are used"),
        1 => {
            let reserved = measure.amount(purse.reserved.get(measure));
            format!("{spent} are used, and {reserved} are reserved for an agent that runs")
        }
        open => {
            let reserved = measure.amount(purse.reserved.get(measure));
            format!("{spent} are used, and {reserved} are reserved for {open} agents that run")
        }
    }
}

#[cfg(test)]
mod tests {
    use atta_core::definition::Priority;

    use super::super::queue::Rank;
    use super::*;

    fn key(number: u32) -> QueueKey {
        let rank = Rank::new(Priority::Normal, UnixMillis(0));
        QueueKey { rank, job: JobId("job_a".to_owned()), attempt: AttemptNumber(number) }
    }

    /// The numbers of those that look now; all of them wait again.
    fn called(budgets: &mut Budgets, cause: &Cause, now: i64) -> Vec<u32> {
        let called = budgets.called(UnixMillis(now), 2);
        for key in &called {
            budgets.wait(cause.clone(), key.clone(), None);
        }
        called.iter().map(|key| key.attempt.0).collect()
    }

    #[test]
    fn whoever_waits_behind_others_looks_soon_after_them_and_only_once_for_each_change() {
        let mut budgets = Budgets::default();
        let cause = Cause::Account("red".to_owned());
        for number in 1..=5 {
            budgets.wait(cause.clone(), key(number), None);
        }
        assert_eq!((called(&mut budgets, &cause, 0), budgets.next_look()), (vec![], None));
        budgets.stir_accounts();
        assert_eq!((called(&mut budgets, &cause, 0), budgets.next_look()), (vec![1, 2], Some(UnixMillis(1_000))));
        assert_eq!(called(&mut budgets, &cause, 999), Vec::<u32>::new());
        assert_eq!((called(&mut budgets, &cause, 1_000), budgets.next_look()), (vec![3, 4], Some(UnixMillis(2_000))));
        assert_eq!((called(&mut budgets, &cause, 2_000), budgets.next_look()), (vec![5], None));
        assert_eq!(called(&mut budgets, &cause, 60_000), Vec::<u32>::new());
        // Something else changes while some have not looked: from the front again.
        budgets.stir(&cause);
        called(&mut budgets, &cause, 60_000);
        budgets.stir(&cause);
        assert_eq!(called(&mut budgets, &cause, 60_001), [1, 2]);
        assert_eq!(called(&mut budgets, &cause, 61_001), [3, 4]);
    }

    #[test]
    fn whoever_waits_behind_others_has_a_turn_while_changes_never_cease_and_hears_of_each() {
        let mut budgets = Budgets::default();
        let cause = Cause::Account("red".to_owned());
        for number in 1..=6 {
            budgets.wait(cause.clone(), key(number), None);
        }
        let mut looked = Vec::new();
        for now in (0..3_000).step_by(100) {
            budgets.stir(&cause);
            looked.extend(called(&mut budgets, &cause, now));
        }
        assert!((1..=6).all(|number| looked.contains(&number)), "{looked:?}");
        // The last change comes when 3 and 4 have looked, and 5 and 6 have not.
        let mut budgets = Budgets::default();
        for number in 1..=6 {
            budgets.wait(cause.clone(), key(number), None);
        }
        budgets.stir(&cause);
        assert_eq!(called(&mut budgets, &cause, 0), [1, 2]);
        assert_eq!(called(&mut budgets, &cause, 1_000), [3, 4]);
        budgets.stir(&cause);
        assert_eq!(called(&mut budgets, &cause, 1_500), [1, 2]);
        assert_eq!((called(&mut budgets, &cause, 2_000), budgets.next_look()), (vec![5, 6], Some(UnixMillis(3_000))));
        assert_eq!(called(&mut budgets, &cause, 3_000), [1, 2]);
        assert_eq!(
            (called(&mut budgets, &cause, 4_000), called(&mut budgets, &cause, 5_000)),
            (vec![3, 4], vec![5, 6])
        );
        assert_eq!(budgets.next_look(), None);
    }
}
