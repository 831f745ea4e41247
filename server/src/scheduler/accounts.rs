//! Accounts of agents: which of them can be used, and until when the others cannot.
//!
//! An account whose limit was met is parked until the time that was said, or for a while that doubles; that is a row and
//! survives a restart. Where many agents of an account fail one after the other (a login that is gone, a release that does
//! not start), a breaker opens: nobody else is started but one at a time, to see whether it works again.

use std::collections::BTreeMap;
use std::time::Duration;

use atta_core::definition::{AgentOptions, Rotation};
use atta_core::engine::{AgentClass, AttemptResult, ResultName};
use atta_core::protocol::AttemptId;
use atta_core::protocol::agent::{AgentCli, AgentRecord};
use atta_core::resilience::{Backoff, Breaker, BreakerPolicy, BreakerState};
use atta_core::time::{Entropy, UnixMillis};

use crate::store::AccountRow;

/// How long an account is left alone whose limit was met, when nobody said until when.
const UNTOLD: Backoff = Backoff { first: Duration::from_mins(1), factor: 2, cap: Duration::from_mins(30) };
/// Nobody is parked for longer, whatever was said: the longest limits that are known are of a week.
const LONGEST: Duration = Duration::from_hours(8 * 24);
/// So many failures in a row, none of them older than [`SPAN`] before the next.
const MANY: BreakerPolicy = BreakerPolicy {
    failures: 5,
    open: Backoff { first: Duration::from_mins(2), factor: 2, cap: Duration::from_mins(30) },
};
/// Failures that lie further apart have nothing to do with one another.
const SPAN: Duration = Duration::from_mins(10);
/// An agent that fails so early, or after one turn, did not fail over its work.
const EARLY: Duration = Duration::from_mins(1);

/// All accounts that were heard of.
#[derive(Debug, Default)]
pub(super) struct Accounts(BTreeMap<String, Account>);

/// One account.
#[derive(Debug)]
pub(super) struct Account {
    /// When its limit was met once.
    pub(super) row: Option<AccountRow>,
    breaker: Breaker,
    /// When an agent failed last.
    failed_at: Duration,
    /// How.
    why: String,
    /// The attempt that tries whether it works again.
    probe: Option<AttemptId>,
}

impl Account {
    fn new(row: Option<AccountRow>) -> Self {
        Self { row, breaker: Breaker::new(MANY), failed_at: Duration::ZERO, why: String::new(), probe: None }
    }

    /// Until when its limit holds.
    pub(super) fn parked_until(&self, now: UnixMillis) -> Option<UnixMillis> {
        self.row.as_ref()?.parked_until.filter(|until| *until > now)
    }

    /// Whether many of its agents failed, and how its breaker stands.
    pub(super) fn breaker(&self, now: Duration) -> (BreakerState, Option<Duration>, &str) {
        (self.breaker.state(now), self.breaker.wait(now), &self.why)
    }

    fn hindrance(&self, name: &str, now: Now) -> Option<Hindrance> {
        if let Some(until) = self.parked_until(now.wall) {
            let said = self.row.as_ref().map_or("", |row| row.reason.as_str());
            let at = until.to_rfc3339();
            let reason = format!("the account {name} is used up until {at} ({said})");
            return Some(Hindrance { until: Some(until), reason, used_up: true });
        }
        match self.breaker.state(now.monotonic) {
            BreakerState::Closed => None,
            BreakerState::HalfOpen if self.probe.is_none() => None,
            BreakerState::HalfOpen => {
                let reason = format!("one agent tries whether the account {name} works again (before: {})", self.why);
                Some(Hindrance { until: None, reason, used_up: false })
            }
            BreakerState::Open => {
                let until = now.wall.plus(self.breaker.wait(now.monotonic).unwrap_or_default());
                let reason = format!(
                    "{} agents of the account {name} failed one after the other, the next one tries at {} (the last: {})",
                    MANY.failures,
                    until.to_rfc3339(),
                    self.why
                );
                Some(Hindrance { until: Some(until), reason, used_up: false })
            }
        }
    }
}

/// By both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) wall: UnixMillis,
    pub(super) monotonic: Duration,
}

/// Why no account can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hindrance {
    /// When to look again.
    pub(super) until: Option<UnixMillis>,
    /// The end of the sentence "waits: …".
    pub(super) reason: String,
    /// Its limit was met; otherwise it does not work.
    pub(super) used_up: bool,
}

/// The names of the accounts that a task may use.
pub(super) fn names_of(agent: &AgentOptions) -> Vec<&str> {
    if agent.accounts.is_empty() {
        return vec![agent.cli.value().copied().unwrap_or(AgentCli::Claude).as_str()];
    }
    agent.accounts.iter().map(|account| account.name.as_str()).collect()
}

impl Accounts {
    /// As they were stored. Breakers are closed: it is seen soon enough.
    pub(super) fn new(rows: Vec<AccountRow>) -> Self {
        Self(rows.into_iter().map(|row| (row.name.clone(), Account::new(Some(row)))).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&Account> {
        self.0.get(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Account)> {
        self.0.iter()
    }

    fn entry(&mut self, name: &str) -> &mut Account {
        self.0.entry(name.to_owned()).or_insert_with(|| Account::new(None))
    }

    /// The account that an attempt uses now.
    pub(super) fn choose(&self, names: &[&str], rotation: Rotation, now: Now) -> Result<String, Hindrance> {
        let mut usable: Vec<(&str, Option<UnixMillis>)> = Vec::new();
        let mut hindrances = Vec::new();
        for name in names {
            let account = self.0.get(*name);
            match account.and_then(|account| account.hindrance(name, now)) {
                Some(hindrance) => hindrances.push(hindrance),
                None => usable.push((name, account.and_then(|account| Some(account.row.as_ref()?.limited_at)))),
            }
        }
        if rotation == Rotation::LeastRecentlyLimited {
            usable.sort_by_key(|(_, limited_at)| *limited_at);
        }
        if let Some((name, _)) = usable.first() {
            return Ok((*name).to_owned());
        }
        let (all, used_up) = (hindrances.len(), hindrances.iter().all(|hindrance| hindrance.used_up));
        // The first that can be used again; one that is being tried may be soon.
        let next = hindrances.into_iter().min_by_key(|hindrance| hindrance.until);
        let nobody = || Hindrance { until: None, reason: "there is no account".to_owned(), used_up: false };
        let mut next = next.unwrap_or_else(nobody);
        next.used_up = used_up;
        if all > 1 {
            next.reason = format!("none of {all} accounts can be used; {}", next.reason);
        }
        Err(next)
    }

    /// An attempt begins with it: after failures it is the one that tries.
    pub(super) fn begins(&mut self, name: &str, attempt: &AttemptId, now: Duration) {
        let account = self.entry(name);
        if account.breaker.state(now) == BreakerState::HalfOpen {
            account.probe = Some(attempt.clone());
        }
    }

    /// An attempt that was to begin with it did not.
    pub(super) fn gave_up(&mut self, name: &str, attempt: &AttemptId) {
        if let Some(account) = self.0.get_mut(name) {
            account.probe.take_if(|probe| probe == attempt);
        }
    }

    /// An attempt has ended. Names the accounts whose rows have changed.
    pub(super) fn ended(
        &mut self,
        name: &str,
        attempt: &AttemptId,
        (result, took): (AttemptResult, Duration),
        record: Option<&AgentRecord>,
        now: Now,
        entropy: &dyn Entropy,
    ) -> Vec<String> {
        let mut changed = Vec::new();
        let own = record.and_then(|record| record.runs.first()).map(|run| run.choice.cli);
        let runs = record.map_or(&[][..], |record| &record.runs);
        // What is kept was said of the last one that was met, also when its account could be used after that.
        let said_of = runs.iter().rposition(|run| run.class == Some(AgentClass::RateLimited));
        let mut limited: Vec<(String, bool)> = Vec::new();
        for (at, run) in runs.iter().enumerate().filter(|(_, run)| run.class == Some(AgentClass::RateLimited)) {
            // Another model of the same account worked after that: the limit was of the model.
            let mut later = runs.iter().skip(at + 1).filter(|later| later.choice.cli == run.choice.cli);
            if !later.all(|later| later.class.is_none_or(is_no_work)) {
                continue;
            }
            // A fallback to another program has nothing to do with this account.
            let account = if own == Some(run.choice.cli) { name.to_owned() } else { run.choice.cli.to_string() };
            let told = said_of == Some(at);
            match limited.iter_mut().find(|(known, _)| *known == account) {
                Some((_, known)) => *known |= told,
                None => limited.push((account, told)),
            }
        }
        if result == AttemptResult::Agent(AgentClass::RateLimited) && limited.is_empty() {
            limited.push((name.to_owned(), true));
        }
        for (account, told) in limited {
            let limit = record.and_then(|record| record.limit.as_ref()).filter(|_| told);
            let said = limit.map_or("", |limit| limit.message.trim());
            self.park(&account, limit.and_then(|limit| limit.resets_at), said, now.wall);
            changed.push(account);
        }
        let account = self.entry(name);
        let probe = account.probe.take_if(|probe| probe == attempt).is_some();
        let early = took < EARLY || record.is_none_or(|record| record.usage.turns <= 1);
        let failed = match result {
            AttemptResult::Agent(AgentClass::Auth) | AttemptResult::Named(ResultName::StartFailed) => true,
            AttemptResult::Agent(AgentClass::Error) => early,
            _ => false,
        };
        let refused = matches!(result, AttemptResult::Agent(AgentClass::RateLimited | AgentClass::Auth));
        let worked = matches!(result, AttemptResult::Agent(_)) && !failed && !refused;
        if worked {
            // What began before it failed says that it works, too.
            if probe || account.breaker.state(now.monotonic) == BreakerState::Closed {
                account.breaker.close();
            }
            if let Some(row) = account.row.as_mut().filter(|row| row.strikes > 0) {
                row.strikes = 0;
                changed.push(name.to_owned());
            }
        } else if failed {
            let silent = now.monotonic.saturating_sub(account.failed_at) > SPAN;
            if silent && account.breaker.state(now.monotonic) == BreakerState::Closed {
                account.breaker.close();
            }
            account.failed_at = now.monotonic;
            let message = record.map_or("", |record| record.message.trim());
            let class = result.as_str();
            let message: String = message.chars().filter(|c| !c.is_control()).take(200).collect();
            account.why = if message.is_empty() { class.to_owned() } else { format!("{class}: {message}") };
            if (probe || account.breaker.state(now.monotonic) == BreakerState::Closed)
                && let Ok(permit) = account.breaker.ask(now.monotonic)
            {
                permit.failed(now.monotonic, entropy);
            }
        }
        changed
    }

    /// Whether a task may start although its accounts are used up: another program goes on at once then.
    pub(super) fn falls_back(&self, agent: &AgentOptions, now: Now) -> bool {
        let own = agent.cli.value().copied();
        let others = agent.fallback.iter().filter(|fallback| fallback.on.contains(&AgentClass::RateLimited));
        let mut others = others.filter_map(|fallback| fallback.cli.as_ref()?.value().copied());
        others.any(|cli| Some(cli) != own && self.choose(&[cli.as_str()], Rotation::InOrder, now).is_ok())
    }

    fn park(&mut self, name: &str, resets_at: Option<UnixMillis>, said: &str, now: UnixMillis) {
        let account = self.entry(name);
        let row = account.row.get_or_insert_with(|| AccountRow {
            name: name.to_owned(),
            parked_until: None,
            reason: String::new(),
            limited_at: now,
            strikes: 0,
        });
        let told = resets_at.filter(|at| *at > now);
        let until = match told {
            Some(at) => at.min(now.plus(LONGEST)),
            // Those that ran at the same time are told at the same time: one strike.
            None if row.parked_until.is_some_and(|until| until > now) => row.parked_until.unwrap_or(now),
            None => {
                row.strikes = row.strikes.saturating_add(1);
                now.plus(UNTOLD.bound(row.strikes))
            }
        };
        if told.is_some() {
            row.strikes = 0;
        }
        row.parked_until = Some(row.parked_until.map_or(until, |before| before.max(until)));
        row.limited_at = now;
        let said: String = said.chars().filter(|c| !c.is_control()).take(200).collect();
        row.reason = if said.is_empty() { "its limit was met".to_owned() } else { said };
    }

    /// Somebody says that it can be used. Whether there is such an account.
    pub(super) fn release(&mut self, name: &str) -> bool {
        let Some(account) = self.0.get_mut(name) else { return false };
        if let Some(row) = &mut account.row {
            row.parked_until = None;
            row.strikes = 0;
        }
        account.breaker.close();
        account.probe = None;
        true
    }
}

/// A run that ended so says nothing about whether its account can be used.
fn is_no_work(class: AgentClass) -> bool {
    matches!(class, AgentClass::RateLimited | AgentClass::Auth | AgentClass::Error | AgentClass::Stalled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use atta_core::engine::AttemptNumber;
    use atta_core::protocol::JobId;
    use atta_core::protocol::agent::{AccountLimit, AgentChoice, AgentRun, RunPurpose};

    struct Fixed;

    impl Entropy for Fixed {
        fn next_u64(&self) -> u64 {
            0
        }
    }

    fn at(seconds: u64) -> Now {
        let millis = i64::try_from(seconds).unwrap() * 1_000;
        Now { wall: UnixMillis(millis), monotonic: Duration::from_secs(seconds) }
    }

    fn attempt(number: u32) -> AttemptId {
        AttemptId::new(&JobId("job_a".to_owned()), AttemptNumber(number))
    }

    fn record(class: AgentClass, resets_at: Option<i64>) -> AgentRecord {
        let mut record = AgentRecord::empty();
        record.class = Some(class);
        record.message = "no login".to_owned();
        record.limit = (class == AgentClass::RateLimited)
            .then(|| AccountLimit { resets_at: resets_at.map(UnixMillis), message: "limit reached".to_owned() });
        record
    }

    fn end(accounts: &mut Accounts, number: u32, class: AgentClass, resets_at: Option<i64>, now: u64) {
        let record = record(class, resets_at);
        let how = (AttemptResult::Agent(class), Duration::from_secs(1));
        accounts.ended("a", &attempt(number), how, Some(&record), at(now), &Fixed);
    }

    #[test]
    fn an_account_is_parked_until_the_time_that_was_said_and_another_one_takes_its_place() {
        let mut accounts = Accounts::default();
        end(&mut accounts, 1, AgentClass::RateLimited, Some(600_000), 10);
        assert_eq!(accounts.choose(&["a", "b"], Rotation::InOrder, at(11)), Ok("b".to_owned()));
        let hindrance = accounts.choose(&["a"], Rotation::InOrder, at(599)).unwrap_err();
        assert_eq!(hindrance.until, Some(UnixMillis(600_000)));
        assert_eq!(hindrance.reason, "the account a is used up until 1970-01-01T00:10:00.000Z (limit reached)");
        assert_eq!(accounts.choose(&["a"], Rotation::InOrder, at(600)), Ok("a".to_owned()));
        assert_eq!(accounts.choose(&["a", "b"], Rotation::LeastRecentlyLimited, at(600)), Ok("b".to_owned()));
    }

    fn run(cli: AgentCli, class: AgentClass) -> AgentRun {
        AgentRun {
            choice: AgentChoice { cli, command: Vec::new(), model: None },
            purpose: RunPurpose::Work,
            class: Some(class),
            session_id: None,
            model: None,
            usage: AgentRecord::empty().usage,
            exit_code: None,
            started_at: UnixMillis(0),
            ended_at: None,
        }
    }

    #[test]
    fn what_was_said_of_the_last_limit_holds_for_its_account_only() {
        use AgentClass::{Done, RateLimited};
        use AgentCli::{Claude, Codex};
        let ended = |runs: &[(AgentCli, AgentClass)]| {
            let mut accounts = Accounts::default();
            let class = runs.last().unwrap().1;
            let mut record = record(class, None);
            record.runs = runs.iter().map(|(cli, class)| run(*cli, *class)).collect();
            record.limit = Some(AccountLimit { resets_at: Some(UnixMillis(600_000)), message: "said".to_owned() });
            let how = (AttemptResult::Agent(class), Duration::from_secs(1));
            accounts.ended("a", &attempt(1), how, Some(&record), at(10), &Fixed);
            let parked = |name: &str| {
                let row = accounts.get(name)?.row.as_ref()?;
                Some((row.parked_until?.0, row.reason.clone()))
            };
            (parked("a"), parked("codex"))
        };
        let untold = || Some((70_000, "its limit was met".to_owned()));
        let told = || Some((600_000, "said".to_owned()));
        // Another model of codex worked: its limit was the last one that was met, and the account's own was not.
        assert_eq!(ended(&[(Claude, RateLimited), (Codex, RateLimited), (Codex, Done)]), (untold(), None));
        assert_eq!(ended(&[(Claude, RateLimited), (Codex, RateLimited)]), (untold(), told()));
        assert_eq!(ended(&[(Claude, RateLimited), (Codex, RateLimited), (Claude, RateLimited)]), (told(), untold()));
        assert_eq!(ended(&[(Claude, RateLimited), (Codex, RateLimited), (Claude, Done)]), (None, told()));
    }

    #[test]
    fn without_a_time_the_pause_doubles_and_those_who_are_told_at_once_count_once() {
        let mut accounts = Accounts::default();
        let until = |accounts: &Accounts| accounts.get("a").unwrap().row.as_ref().unwrap().parked_until.unwrap().0;
        for number in 0..5 {
            end(&mut accounts, number, AgentClass::RateLimited, None, 0);
        }
        assert_eq!(until(&accounts), 60_000);
        end(&mut accounts, 9, AgentClass::RateLimited, None, 100);
        assert_eq!(until(&accounts), 100_000 + 120_000);
        end(&mut accounts, 10, AgentClass::Done, None, 300);
        end(&mut accounts, 11, AgentClass::RateLimited, None, 400);
        assert_eq!(until(&accounts), 400_000 + 60_000);
        assert!(accounts.release("a") && !accounts.release("other"));
        assert_eq!(accounts.choose(&["a"], Rotation::InOrder, at(401)), Ok("a".to_owned()));
    }

    #[test]
    fn when_many_fail_one_after_the_other_one_alone_tries_again() {
        let mut accounts = Accounts::default();
        for number in 0..5 {
            assert_eq!(accounts.choose(&["a"], Rotation::InOrder, at(1)), Ok("a".to_owned()), "{number}");
            end(&mut accounts, number, AgentClass::Auth, None, 1);
        }
        let hindrance = accounts.choose(&["a"], Rotation::InOrder, at(2)).unwrap_err();
        assert!(hindrance.reason.starts_with("5 agents of the account a failed one after the other"), "{hindrance:?}");
        assert!(hindrance.reason.ends_with("(the last: AUTH: no login)"), "{hindrance:?}");
        let later = 1 + 61;
        assert_eq!(accounts.choose(&["a"], Rotation::InOrder, at(later)), Ok("a".to_owned()));
        accounts.begins("a", &attempt(7), at(later).monotonic);
        let hindrance = accounts.choose(&["a"], Rotation::InOrder, at(later)).unwrap_err();
        assert!(hindrance.reason.starts_with("one agent tries"), "{hindrance:?}");
        end(&mut accounts, 7, AgentClass::Auth, None, later);
        assert!(accounts.choose(&["a"], Rotation::InOrder, at(later + 61)).is_err(), "it waits longer now");
        let again = later + 121;
        accounts.begins("a", &attempt(8), at(again).monotonic);
        end(&mut accounts, 8, AgentClass::NoVerdict, None, again);
        assert_eq!(accounts.choose(&["a"], Rotation::InOrder, at(again)), Ok("a".to_owned()));
    }

    #[test]
    fn failures_that_lie_apart_and_work_that_fails_late_open_nothing() {
        let mut accounts = Accounts::default();
        for number in 0..20 {
            end(&mut accounts, number, AgentClass::Auth, None, 700 * u64::from(number));
        }
        for number in 0..20 {
            let mut record = record(AgentClass::Error, None);
            record.usage.turns = 12;
            let how = (AttemptResult::Agent(AgentClass::Error), Duration::from_mins(5));
            accounts.ended("a", &attempt(100 + number), how, Some(&record), at(20_000), &Fixed);
        }
        assert_eq!(accounts.choose(&["a"], Rotation::InOrder, at(20_001)), Ok("a".to_owned()));
    }
}
