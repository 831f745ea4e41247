//! What a server leaves out when it has too much to do. Closed loop: what is measured decides, and hysteresis keeps it
//! from swinging to and fro.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How much is left out. Each leaves out all that those before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Tier {
    /// Nothing.
    #[default]
    Normal,
    /// New jobs of low priority and of schedules wait.
    Shed,
    /// All new jobs wait; those that run go on to their end.
    Finish,
    /// No job is accepted and no attempt is begun; results, logs and signs of life are taken, everything can be read.
    ReadOnly,
}

impl Tier {
    /// From the least to the most.
    pub const ALL: [Self; 4] = [Self::Normal, Self::Shed, Self::Finish, Self::ReadOnly];

    /// The name that it has in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "NORMAL",
            Self::Shed => "SHED",
            Self::Finish => "FINISH",
            Self::ReadOnly => "READ_ONLY",
        }
    }

    /// By its name, in any case, with `-` or `_`.
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.trim().replace('-', "_").to_ascii_uppercase();
        Self::ALL.into_iter().find(|tier| tier.as_str() == name)
    }

    /// 0 to 3.
    pub fn number(self) -> u8 {
        self as u8
    }

    fn below(self) -> Self {
        Self::ALL[usize::from(self.number().saturating_sub(1))]
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What was measured just now. What is not known is not a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Signals {
    /// How long storing takes, as a moving average.
    pub commit: Option<Duration>,
    /// How much of the writer's queue is taken, in percent.
    pub queue_percent: Option<u32>,
    /// Bytes that are free where the database is.
    pub disk_free: Option<u64>,
    /// Bytes that the disk has: on a small one less has to be free.
    pub disk_total: Option<u64>,
    /// Bytes of memory that are available.
    pub memory_available: Option<u64>,
    /// Nothing can be stored.
    pub writing_fails: bool,
}

/// From which measurement on which tier is entered. It is left when the measurement is better by half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Average commit from which on jobs are shed, and from which on none is begun.
    pub commit: [Duration; 2],
    /// Percent of the writer's queue, likewise.
    pub queue_percent: [u32; 2],
    /// Free bytes of disk below which jobs are shed, none is begun, and nothing is begun at all.
    pub disk_free: [u64; 3],
    /// The same in percent of the disk; the lesser of the two counts.
    pub disk_percent: [u64; 3],
    /// Available bytes of memory below which jobs are shed, and none is begun.
    pub memory_available: [u64; 2],
    /// How long a tier is kept at least after the last measurement that asked for it.
    pub calm: Duration,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            commit: [Duration::from_millis(500), Duration::from_secs(2)],
            queue_percent: [50, 90],
            disk_free: [512 << 20, 256 << 20, 64 << 20],
            disk_percent: [10, 5, 2],
            memory_available: [256 << 20, 64 << 20],
            calm: Duration::from_secs(10),
        }
    }
}

/// A tier and why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decision {
    /// How much is left out.
    pub tier: Tier,
    /// A phrase: what asks for it. Empty for [`Tier::Normal`].
    pub reason: String,
    /// Somebody has set it by hand.
    pub by_hand: bool,
}

/// Decides which tier is in force.
#[derive(Debug, Clone)]
pub struct Tiers {
    thresholds: Thresholds,
    measured: Tier,
    reason: &'static str,
    /// When a measurement last asked for the tier in force.
    asked_at: Duration,
    hand: Option<(Tier, String)>,
}

impl Tiers {
    /// Nothing is left out.
    pub fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, measured: Tier::Normal, reason: "", asked_at: Duration::ZERO, hand: None }
    }

    /// Takes a measurement at an instant of monotonic time. Up at once, down one tier after each [`Thresholds::calm`].
    pub fn observe(&mut self, now: Duration, signals: &Signals) -> Decision {
        let (asked, reason) = self.asked(signals, false);
        if asked > self.measured {
            (self.measured, self.reason, self.asked_at) = (asked, reason, now);
        } else if self.measured > Tier::Normal {
            let (kept, why) = self.asked(signals, true);
            if kept >= self.measured {
                self.asked_at = now;
                self.reason = why;
            } else if now.saturating_sub(self.asked_at) >= self.thresholds.calm {
                self.measured = self.measured.below();
                self.asked_at = now;
                if self.measured == Tier::Normal {
                    self.reason = "";
                }
            }
        }
        self.decision()
    }

    /// Somebody sets a tier by hand: it holds whatever is measured, unless more has to be left out. `None` takes it back.
    pub fn set(&mut self, hand: Option<(Tier, String)>) -> Decision {
        self.hand = hand;
        self.decision()
    }

    /// What is in force.
    pub fn decision(&self) -> Decision {
        match &self.hand {
            // Storing cannot be commanded: what is measured may be stricter.
            Some((tier, reason)) if *tier >= self.measured => {
                Decision { tier: *tier, reason: reason.clone(), by_hand: true }
            }
            _ => Decision { tier: self.measured, reason: self.reason.to_owned(), by_hand: false },
        }
    }

    /// The tier that a measurement asks for; `keep`: for one that is in force it need not be as bad. The reason stands in
    /// every job that waits, and has no number in it: it would be another one each time.
    fn asked(&self, signals: &Signals, keep: bool) -> (Tier, &'static str) {
        let limits = &self.thresholds;
        let mut worst = (Tier::Normal, "");
        let mut ask = |tier: Tier, reason: &'static str| {
            if tier > worst.0 {
                worst = (tier, reason);
            }
        };
        if signals.writing_fails {
            ask(Tier::ReadOnly, "nothing can be stored");
        }
        if let Some(commit) = signals.commit {
            let over = limits.commit.map(|limit| commit >= if keep { limit / 2 } else { limit });
            ask(level(&over), "storing is slow");
        }
        if let Some(percent) = signals.queue_percent {
            let over = limits.queue_percent.map(|limit| percent >= if keep { limit / 2 } else { limit });
            ask(level(&over), "the writer's queue is long");
        }
        if let Some(free) = signals.disk_free {
            let under = [0, 1, 2].map(|at| {
                let share = signals.disk_total.map_or(u64::MAX, |total| total / 100 * limits.disk_percent[at]);
                let limit = limits.disk_free[at].min(share);
                free < if keep { limit / 2 * 3 } else { limit }
            });
            ask(level(&under), "little disk is free");
        }
        if let Some(available) = signals.memory_available {
            let under = limits.memory_available.map(|limit| available < if keep { limit / 2 * 3 } else { limit });
            ask(level(&under), "little memory is available");
        }
        worst
    }
}

fn level(passed: &[bool]) -> Tier {
    let count = passed.iter().filter(|passed| **passed).count();
    Tier::ALL[count.min(Tier::ALL.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn commit(millis: u64) -> Signals {
        Signals { commit: Some(Duration::from_millis(millis)), ..Signals::default() }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_is_entered_at_once_kept_while_it_is_nearly_as_bad_and_left_step_by_step() {
        let mut tiers = Tiers::new(Thresholds::default());
        assert_eq!(tiers.observe(at(0), &commit(499)).tier, Tier::Normal);
        let entered = tiers.observe(at(1), &commit(2_000));
        assert_eq!((entered.tier, entered.reason.as_str()), (Tier::Finish, "storing is slow"));
        // 1.2 s would not have been enough to enter it, and is enough to stay.
        for second in 2..120 {
            // And however slow it is, it is the same decision.
            assert_eq!(tiers.observe(at(second), &commit(1_200 + second)), entered);
        }
        assert_eq!(tiers.observe(at(128), &commit(10)).tier, Tier::Finish, "not calm for long enough");
        assert_eq!(tiers.observe(at(129), &commit(10)).tier, Tier::Shed);
        assert_eq!(tiers.observe(at(138), &commit(10)).tier, Tier::Shed);
        let left = tiers.observe(at(139), &commit(10));
        assert_eq!((left.tier, left.reason.as_str()), (Tier::Normal, ""));
    }

    #[test]
    fn what_cannot_be_stored_and_a_full_disk_make_it_read_only() {
        let full = Signals { disk_free: Some(1 << 20), ..Signals::default() };
        let fails = Signals { writing_fails: true, ..Signals::default() };
        for (signals, reason) in [(full, "little disk is free"), (fails, "nothing can be stored")] {
            let decision = Tiers::new(Thresholds::default()).observe(at(0), &signals);
            assert_eq!((decision.tier, decision.reason.as_str()), (Tier::ReadOnly, reason));
        }
        assert_eq!(Tiers::new(Thresholds::default()).observe(at(0), &Signals::default()).tier, Tier::Normal);
    }

    #[test]
    fn a_hand_holds_it_and_what_is_measured_can_only_leave_out_more() {
        let mut tiers = Tiers::new(Thresholds::default());
        let set = tiers.set(Some((Tier::Shed, "maintenance".to_owned())));
        assert_eq!((set.tier, set.by_hand), (Tier::Shed, true));
        assert_eq!(tiers.observe(at(1_000), &commit(1)).tier, Tier::Shed);
        let worse = tiers.observe(at(1_001), &commit(3_000));
        assert_eq!((worse.tier, worse.by_hand), (Tier::Finish, false));
        tiers.observe(at(1_031), &commit(1));
        tiers.observe(at(1_061), &commit(1));
        assert_eq!(tiers.decision().reason, "maintenance");
        assert_eq!(tiers.set(None).tier, Tier::Normal);
    }

    #[test]
    fn names_are_read_back() {
        for tier in Tier::ALL {
            assert_eq!(Tier::parse(tier.as_str()), Some(tier));
        }
        assert_eq!((Tier::parse("read-only"), Tier::parse("much")), (Some(Tier::ReadOnly), None));
    }

    proptest! {
        #[test]
        fn between_two_steps_down_it_is_calm(
            measured in proptest::collection::vec((0_u64..20, 0_u64..4_000), 1..200),
        ) {
            let mut tiers = Tiers::new(Thresholds::default());
            let (mut now, mut last, mut changed) = (0, Tier::Normal, 0);
            for (pass, millis) in measured {
                now += pass;
                let tier = tiers.observe(at(now), &commit(millis)).tier;
                if tier < last {
                    prop_assert_eq!(tier.number() + 1, last.number());
                    prop_assert!(now - changed >= 10, "a tier was left after {} s", now - changed);
                }
                if tier != last {
                    (last, changed) = (tier, now);
                }
            }
        }
    }
}
