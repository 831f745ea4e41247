//! What agents may use up together, and what each gets of it before it starts.
//!
//! A budget has a *purse*: what was used, and what is reserved for attempts that have started. An attempt starts when every
//! purse above it has something left for it, and what it gets at most is reserved until it has ended; then what it really
//! used is counted. So nobody can be started with money that somebody else is spending.

use std::fmt;

use crate::engine::{AgentClass, AttemptResult, ResultName};
use crate::protocol::agent::{AgentRecord, MicroUsd};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// Money, in millionths of a US dollar.
    Usd,
    /// Tokens, in and out, without those read from a cache.
    Tokens,
    /// Turns of the model.
    Turns,
    /// Time, in milliseconds.
    Time,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Usd, Self::Tokens, Self::Turns, Self::Time];

    /// The key of `budget`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Usd => "usd",
            Self::Tokens => "tokens",
            Self::Turns => "agent_turns",
            Self::Time => "minutes",
        }
    }

    /// The one with this key.
    pub fn of_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|measure| measure.key() == key)
    }

    /// What amounts of it are called.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Usd => "USD",
            Self::Tokens => "tokens",
            Self::Turns => "turns",
            Self::Time => "minutes",
        }
    }

    /// An amount without its unit, for people: `5.02`, `12000`.
    pub fn amount(self, amount: u64) -> String {
        match self {
            Self::Usd => MicroUsd(amount).amount(),
            Self::Tokens | Self::Turns => amount.to_string(),
            Self::Time if amount.is_multiple_of(60_000) => (amount / 60_000).to_string(),
            // Rounded up: what was used is never below what is said.
            Self::Time => format!("{}.{:02}", amount.div_ceil(600) / 100, amount.div_ceil(600) % 100),
        }
    }
}

/// At most so much of each; nothing where there is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Caps([Option<u64>; 4]);

impl Caps {
    /// Of one measure.
    pub fn get(&self, measure: Measure) -> Option<u64> {
        self.0[measure as usize]
    }

    /// Sets the one of a measure.
    pub fn set(&mut self, measure: Measure, most: Option<u64>) {
        self.0[measure as usize] = most;
    }

    /// Whether there is no limit at all.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Those of `other` where it has some, else these.
    #[must_use]
    pub fn replaced_by(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| other.0[at].or(self.0[at])))
    }
}

/// So much of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums([u64; 4]);

impl Sums {
    /// Of one measure.
    pub fn get(&self, measure: Measure) -> u64 {
        self.0[measure as usize]
    }

    /// Sets the one of a measure.
    pub fn set(&mut self, measure: Measure, amount: u64) {
        self.0[measure as usize] = amount;
    }

    /// And so much more.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum = sum.saturating_add(more);
        }
    }

    /// And so much less.
    pub fn subtract(&mut self, other: &Self) {
        for (sum, less) in self.0.iter_mut().zip(other.0) {
            *sum = sum.saturating_sub(less);
        }
    }
}

/// Whose budget it is, from the nearest to the farthest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// The job's.
    Job,
    /// Of all jobs of a definition, on one day.
    Definition,
    /// Of all jobs of the organisation, on one day.
    Day,
}

impl Scope {
    const ALL: [Self; 3] = [Self::Job, Self::Definition, Self::Day];

    /// In columns and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Definition => "definition",
            Self::Day => "day",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

/// A budget and what has become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purse {
    /// The limits.
    pub caps: Caps,
    /// What was used by attempts that have ended.
    pub used: Sums,
    /// What those that have not ended may use.
    pub reserved: Sums,
    /// How many have not ended.
    pub open: u32,
}

impl Purse {
    /// What is left of one measure, if it is limited.
    pub fn left(&self, measure: Measure) -> Option<u64> {
        let gone = self.used.get(measure).saturating_add(self.reserved.get(measure));
        self.caps.get(measure).map(|cap| cap.saturating_sub(gone))
    }

    /// Something is reserved.
    pub fn reserve(&mut self, part: &Part) {
        self.reserved.add(&part.reserved());
        self.open += 1;
    }

    /// It is not reserved any more.
    pub fn release(&mut self, part: &Part) {
        self.reserved.subtract(&part.reserved());
        self.open = self.open.saturating_sub(1);
    }
}

/// A purse, whose it is, and how many share what is left of it at present.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Whose.
    pub scope: Scope,
    /// The purse.
    pub purse: Purse,
    /// At least 1: among so many that start soon what is left is divided.
    pub sharers: u32,
}

/// What an attempt may use at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Part {
    /// The limits: its own, or less.
    pub caps: Caps,
    /// Which budget made it less.
    by: [Option<Scope>; 4],
}

impl Part {
    /// The budget that made a limit what it is; nothing where it is the attempt's own.
    pub fn bound_by(&self, measure: Measure) -> Option<Scope> {
        self.by[measure as usize]
    }

    fn reserved(&self) -> Sums {
        Sums(self.caps.0.map(Option::unwrap_or_default))
    }

    /// For storing: `usd=job,minutes=day`.
    pub fn bounds(&self) -> String {
        let bounds = Measure::ALL.into_iter().filter_map(|measure| {
            let scope = self.bound_by(measure)?;
            Some(format!("{}={}", measure.key(), scope.as_str()))
        });
        bounds.collect::<Vec<_>>().join(",")
    }

    /// What was stored. `None` when it is not of that form.
    pub fn stored(caps: Caps, bounds: &str) -> Option<Self> {
        let mut by = [None; 4];
        for bound in bounds.split(',').filter(|bound| !bound.is_empty()) {
            let (measure, scope) = bound.split_once('=')?;
            by[Measure::of_key(measure)? as usize] = Some(Scope::parse(scope)?);
        }
        Some(Self { caps, by })
    }

    /// The budget that ended an attempt, when that is what ended it: what it is known to have used is all that the budget
    /// had left for it.
    pub fn ended_by(&self, result: AttemptResult, known: &Known) -> Option<(Scope, Measure)> {
        let measures: &[Measure] = match result {
            AttemptResult::Agent(AgentClass::Budget) => &[Measure::Usd, Measure::Tokens],
            AttemptResult::Agent(AgentClass::MaxTurns) => &[Measure::Turns],
            // Its ant's clock measured it.
            AttemptResult::Named(ResultName::TimedOut) => {
                return Some((self.bound_by(Measure::Time)?, Measure::Time));
            }
            _ => return None,
        };
        measures.iter().find_map(|measure| {
            let scope = self.bound_by(*measure)?;
            (known.get(*measure)? >= self.caps.get(*measure)?).then_some((scope, *measure))
        })
    }

    /// What is counted of an attempt: what it used, or what was reserved for it where nobody knows.
    pub fn counted(&self, known: &Known) -> Sums {
        Sums(std::array::from_fn(|at| known.0[at].or(self.caps.0[at]).unwrap_or(0)))
    }
}

/// What an attempt is known to have used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Known([Option<u64>; 4]);

impl Known {
    /// From its record, if there is one, and the time that it took in milliseconds.
    pub fn of(record: Option<&AgentRecord>, millis: u64) -> Self {
        let usage = record.map(|record| &record.usage);
        let tokens = usage.and_then(|usage| usage.tokens).map(|tokens| tokens.counted());
        let turns = usage.map(|usage| u64::from(usage.turns));
        Self([usage.and_then(|usage| usage.cost).map(|cost| cost.0), tokens, turns, Some(millis)])
    }

    /// It never began.
    pub fn nothing() -> Self {
        Self([Some(0); 4])
    }

    /// Of one measure.
    pub fn get(&self, measure: Measure) -> Option<u64> {
        self.0[measure as usize]
    }
}

/// Why an attempt cannot start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Short {
    /// Whose budget.
    pub scope: Scope,
    /// What it lacks.
    pub measure: Measure,
    /// Others have something reserved: when they have ended, more may be left.
    pub may_ease: bool,
}

/// Where nobody asks for a certain amount, a part is at least this share of the whole: many small ones would cost their
/// agents more than they bring.
const SMALLEST_SHARE: u64 = 100;

/// What an attempt with these limits of its own gets, or which budget has too little. Purses are asked in order.
///
/// Who says how much it needs gets that, or waits as long as others may give something back; then it gets what there is.
/// Who does not say gets a fair part. Time is always shared: the usual timeout is no estimate.
pub fn share(purses: &[Asked], own: &Caps) -> Result<Part, Short> {
    let mut part = Part { caps: *own, by: [None; 4] };
    for measure in Measure::ALL {
        let wanted = own.get(measure).filter(|_| measure != Measure::Time);
        for Asked { scope, purse, sharers } in purses {
            let (Some(left), Some(cap)) = (purse.left(measure), purse.caps.get(measure)) else { continue };
            let may_ease = purse.open > 0;
            // More than a nearer one gives is of no use.
            let wanted = wanted.map(|wanted| part.caps.get(measure).map_or(wanted, |given| wanted.min(given)));
            let offered = match wanted {
                Some(wanted) if left >= wanted => wanted,
                Some(_) if may_ease => 0,
                Some(_) => left,
                None => (left / u64::from(*sharers).max(1)).max((cap / SMALLEST_SHARE).max(1)).min(left),
            };
            if offered == 0 {
                return Err(Short { scope: *scope, measure, may_ease });
            }
            if part.caps.get(measure).is_none_or(|most| offered < most) {
                part.caps.set(measure, Some(offered));
                part.by[measure as usize] = Some(*scope);
            }
        }
    }
    Ok(part)
}

/// How much of a budget is used, for people: `5.02 of 5.00 USD`.
#[derive(Debug, Clone, Copy)]
pub struct Spent<'a>(pub &'a Purse, pub Measure);

impl fmt::Display for Spent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(purse, measure) = *self;
        let cap = purse.caps.get(measure).map_or_else(|| "unlimited".to_owned(), |cap| measure.amount(cap));
        write!(f, "{} of {cap} {}", measure.amount(purse.used.get(measure)), measure.unit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn caps(usd: u64) -> Caps {
        let mut caps = Caps::default();
        caps.set(Measure::Usd, Some(usd));
        caps
    }

    fn asked(purse: Purse, sharers: u32) -> Asked {
        Asked { scope: Scope::Job, purse, sharers }
    }

    #[test]
    fn who_says_what_it_needs_gets_that_or_waits_and_who_does_not_gets_a_fair_part() {
        let mut purse = Purse { caps: caps(1_000), ..Purse::default() };
        let part = share(&[asked(purse, 4)], &Caps::default()).unwrap();
        assert_eq!((part.caps.get(Measure::Usd), part.bound_by(Measure::Usd)), (Some(250), Some(Scope::Job)));
        let own = share(&[asked(purse, 4)], &caps(700)).unwrap();
        assert_eq!((own.caps.get(Measure::Usd), own.bound_by(Measure::Usd)), (Some(700), None));
        purse.reserve(&own);
        let short = share(&[asked(purse, 1)], &caps(700)).unwrap_err();
        assert!(short.may_ease && short.measure == Measure::Usd, "{short:?}");
        purse.release(&own);
        purse.used.add(&own.counted(&Known([Some(650), None, None, Some(1)])));
        let rest = share(&[asked(purse, 1)], &caps(700)).unwrap();
        assert_eq!((rest.caps.get(Measure::Usd), rest.bound_by(Measure::Usd)), (Some(350), Some(Scope::Job)));
        purse.used.set(Measure::Usd, 1_020);
        assert_eq!(share(&[asked(purse, 1)], &caps(1)).map_err(|short| short.may_ease), Err(false));
        assert_eq!(Spent(&purse, Measure::Usd).to_string(), "0.00102 of 0.001 USD");
    }

    #[test]
    fn the_nearest_limit_that_is_tighter_names_the_budget_that_ended_it() {
        let job = Asked { scope: Scope::Job, purse: Purse { caps: caps(500), ..Purse::default() }, sharers: 1 };
        let day = Asked { scope: Scope::Day, purse: Purse { caps: caps(300), ..Purse::default() }, sharers: 1 };
        let part = share(&[job, day], &caps(400)).unwrap();
        assert_eq!(part.bounds(), "usd=day");
        assert_eq!(Part::stored(part.caps, &part.bounds()), Some(part));
        let budget = AttemptResult::Agent(AgentClass::Budget);
        assert_eq!(part.ended_by(budget, &Known([Some(301), None, None, None])), Some((Scope::Day, Measure::Usd)));
        assert_eq!(part.ended_by(budget, &Known([Some(299), None, None, None])), None);
        assert_eq!(part.ended_by(budget, &Known::default()), None, "what is not known ended nothing");
        let done = AttemptResult::Agent(AgentClass::Done);
        assert_eq!(part.ended_by(done, &Known([Some(301), None, None, None])), None);
    }

    #[test]
    fn a_farther_budget_is_asked_for_no_more_than_what_the_nearer_one_gives() {
        let job = Purse { caps: caps(300), ..Purse::default() };
        let mut day = Purse { caps: caps(1_000), ..Purse::default() };
        day.reserve(&share(&[asked(day, 1)], &caps(600)).unwrap());
        let day = Asked { scope: Scope::Day, purse: day, sharers: 1 };
        let part = share(&[asked(job, 1), day], &caps(700)).unwrap();
        assert_eq!((part.caps.get(Measure::Usd), part.bounds().as_str()), (Some(300), "usd=job"));
        let short = share(&[asked(Purse { caps: caps(500), ..Purse::default() }, 1), day], &caps(700)).unwrap_err();
        assert_eq!((short.scope, short.may_ease), (Scope::Day, true));
    }

    #[test]
    fn what_nobody_knows_is_counted_as_what_was_reserved() {
        let part = share(&[asked(Purse { caps: caps(90), ..Purse::default() }, 3)], &Caps::default()).unwrap();
        assert_eq!(part.counted(&Known::of(None, 5)).get(Measure::Usd), 30);
        assert_eq!(part.counted(&Known::of(None, 5)).get(Measure::Time), 5);
        assert_eq!(part.counted(&Known::nothing()).get(Measure::Usd), 0);
    }

    proptest! {
        /// However attempts come and go, no more is reserved and used than there is, but for what they overran.
        #[test]
        fn a_purse_is_never_overspent_by_more_than_those_overran_that_ran(
            steps in prop::collection::vec((0_u64..400, 0_u64..30, 1_u32..8, any::<bool>()), 1..60), cap in 1_u64..5_000,
        ) {
            let mut purse = Purse { caps: caps(cap), ..Purse::default() };
            let mut running: Vec<Part> = Vec::new();
            let mut overran = 0;
            for (wish, over, sharers, ends) in steps {
                if ends && let Some(part) = running.pop() {
                    let most = part.caps.get(Measure::Usd).unwrap();
                    purse.release(&part);
                    purse.used.add(&part.counted(&Known([Some(most + over), None, None, None])));
                    overran += over;
                } else {
                    let own = if wish % 3 == 0 { Caps::default() } else { caps(wish) };
                    if let Ok(part) = share(&[asked(purse, sharers)], &own) {
                        purse.reserve(&part);
                        running.push(part);
                    }
                }
                prop_assert!(purse.used.get(Measure::Usd) + purse.reserved.get(Measure::Usd) <= cap + overran);
            }
        }
    }

    #[test]
    fn amounts_read_like_what_people_write() {
        assert_eq!(Measure::Usd.amount(5_020_000), "5.02");
        assert_eq!(Measure::Time.amount(90_000), "1.50");
        assert_eq!(Measure::Time.amount(1), "0.01");
        assert_eq!(Measure::Time.amount(600_000), "10");
    }
}
