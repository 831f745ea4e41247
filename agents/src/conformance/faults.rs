//! What can go wrong with an agent, and what has to come of it.

use std::time::Duration;

use atta_core::engine::AgentClass;
use atta_core::protocol::agent::{AgentCli, AgentLimits, AgentRecord, AgentTokens};

use super::wire::{CACHED, INPUT, OUTPUT, RESETS_IN};

macro_rules! faults {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)*) => {
        /// Something that a stand-in does wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Fault {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Fault {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name on command lines.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

faults! {
    /// Nothing is wrong.
    None = "none",
    /// It waits for the end of its stdin before it begins.
    OpenStdin = "open-stdin",
    /// It never ends after its result.
    HangAfterResult = "hang-after-result",
    /// It never ends after its result, and it and its children ignore TERM.
    IgnoresTerm = "ignores-term",
    /// It leaves children in sessions of their own that hold its pipes.
    Orphans = "orphans",
    /// It ends with 0 and never says how it ended.
    MissingResult = "missing-result",
    /// It says that it failed, and ends with 0.
    ExitZeroOnFailure = "exit-0-on-failure",
    /// It says that it succeeded, and ends with 1.
    ExitOneAfterSuccess = "exit-1-after-success",
    /// It dies by a signal in the middle.
    Crash = "crash",
    /// One of its lines has 12 MB.
    LongLine = "long-line",
    /// It writes its characters in pieces.
    SplitUtf8 = "split-utf-8",
    /// Some of its lines are no JSON.
    Garbage = "garbage",
    /// It sends events that nobody knows.
    UnknownEvents = "unknown-events",
    /// It says the same total twice.
    RepeatedTotals = "repeated-totals",
    /// Its account is limited, it does not say until when.
    RateLimit = "rate-limit",
    /// Its account is limited until a time that it says.
    RateLimitWithReset = "rate-limit-with-reset",
    /// It is not logged in.
    Auth = "auth",
    /// The conversation is too long.
    Context = "context",
    /// The provider refuses the work.
    Policy = "policy",
    /// It goes on and on.
    TooManyTurns = "too-many-turns",
    /// It uses more than it was given.
    TooExpensive = "too-expensive",
    /// It never says anything.
    NeverBegins = "never-begins",
    /// It falls silent in the middle.
    FallsSilent = "falls-silent",
    /// Its final message has no verdict.
    NoVerdict = "no-verdict",
    /// The verdict does not match its schema.
    InvalidVerdict = "invalid-verdict",
    /// It gives its verdict when it is asked again.
    VerdictWhenAsked = "verdict-when-asked",
    /// The attempt is ended while it works, and it ignores TERM.
    ToldToEnd = "told-to-end",
}

/// Whether the format tells while it works what an answer used.
pub(super) fn tells_usage_at_once(cli: AgentCli) -> bool {
    matches!(cli, AgentCli::Claude | AgentCli::Opencode | AgentCli::Aider | AgentCli::Custom)
}

/// How many turns a stand-in takes that is too expensive and is not stopped.
pub(super) const EXPENSIVE_TURNS: u32 = 6;

impl Fault {
    /// The fault of this name.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|fault| fault.as_str() == word)
    }

    /// What the attempt may use.
    pub(super) fn limits(self) -> AgentLimits {
        match self {
            Self::TooManyTurns => AgentLimits { turns: Some(3), ..AgentLimits::default() },
            Self::TooExpensive => AgentLimits { tokens: Some(3 * (INPUT + OUTPUT)), ..AgentLimits::default() },
            _ => AgentLimits::default(),
        }
    }

    /// How long it may take to begin, be silent, and end; generous where it is not what the case is about.
    pub(super) fn patience(self) -> (Duration, Option<Duration>, Duration) {
        let (long, short) = (Duration::from_mins(1), Duration::from_millis(600));
        match self {
            Self::NeverBegins => (short, None, long),
            Self::FallsSilent => (long, Some(short), long),
            Self::HangAfterResult | Self::IgnoresTerm => (long, None, short),
            _ => (long, None, long),
        }
    }

    /// How often it may be asked for its verdict again.
    pub(super) fn asks(self) -> u32 {
        u32::from(self == Self::VerdictWhenAsked)
    }

    /// The class that has to come of it; absent when the attempt was told to end.
    pub(super) fn class(self, cli: AgentCli) -> Option<AgentClass> {
        // aider has no result: a good exit is one. Who tells what was used at the end only has ended by then.
        let ends_well = match self {
            Self::MissingResult => cli == AgentCli::Aider,
            Self::TooExpensive => !tells_usage_at_once(cli),
            _ => false,
        };
        if ends_well {
            return Some(AgentClass::Done);
        }
        Some(match self {
            Self::None
            | Self::OpenStdin
            | Self::HangAfterResult
            | Self::IgnoresTerm
            | Self::Orphans
            | Self::LongLine
            | Self::SplitUtf8
            | Self::Garbage
            | Self::UnknownEvents
            | Self::RepeatedTotals
            | Self::VerdictWhenAsked => AgentClass::Done,
            Self::MissingResult | Self::ExitZeroOnFailure | Self::ExitOneAfterSuccess | Self::Crash => {
                AgentClass::Error
            }
            Self::RateLimit | Self::RateLimitWithReset => AgentClass::RateLimited,
            Self::Auth => AgentClass::Auth,
            Self::Context => AgentClass::Context,
            Self::Policy => AgentClass::Policy,
            Self::TooManyTurns => AgentClass::MaxTurns,
            Self::TooExpensive => AgentClass::Budget,
            Self::NeverBegins | Self::FallsSilent => AgentClass::Stalled,
            Self::NoVerdict | Self::InvalidVerdict => AgentClass::NoVerdict,
            Self::ToldToEnd => return None,
        })
    }

    /// What else is wrong with a record.
    pub(super) fn complaints(self, cli: AgentCli, record: &AgentRecord, began_at: i64) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut check = |right: bool, what: String| {
            if !right {
                wrong.push(what);
            }
        };
        let class = self.class(cli);
        check(record.class == class, format!("class {:?} instead of {class:?}: {}", record.class, record.message));
        check(self == Self::NeverBegins || record.session.is_some(), "the session is not known".to_owned());
        check(!record.message.is_empty(), "no message".to_owned());
        check(record.usage.cost.is_none_or(|cost| cost.0 > 0), "an unknown cost is 0".to_owned());
        let warned = |words: &str| record.warnings.iter().any(|warning| warning.contains(words));
        match self {
            Self::None | Self::RepeatedTotals | Self::HangAfterResult | Self::IgnoresTerm => {
                check(record.usage.turns == 2, format!("{} turns instead of 2", record.usage.turns));
                let tokens =
                    AgentTokens { input: 2 * INPUT, output: 2 * OUTPUT, cache_read: 2 * CACHED, cache_write: 0 };
                check(record.usage.tokens == Some(tokens), format!("tokens {:?}", record.usage.tokens));
                check(record.verdict.is_some(), "no verdict".to_owned());
                check(record.warnings.is_empty(), format!("warnings: {:?}", record.warnings));
            }
            Self::LongLine if cli != AgentCli::Aider => {
                check(warned("was left out"), "no warning of the long line".to_owned());
            }
            Self::SplitUtf8 => {
                check(record.final_message.contains("→ä😀←"), format!("message {:?}", record.final_message));
            }
            Self::Garbage if cli != AgentCli::Aider => {
                check(warned("were no JSON"), "no warning of the garbage".to_owned());
            }
            Self::UnknownEvents if cli != AgentCli::Aider => {
                check(warned("telepathy"), "no warning of the unknown event".to_owned());
            }
            Self::RateLimit => {
                let limit = record.limit.as_ref();
                check(limit.is_some_and(|limit| limit.resets_at.is_none()), format!("limit {limit:?}"));
            }
            Self::RateLimitWithReset => {
                let at = record.limit.as_ref().and_then(|limit| limit.resets_at);
                let within = at.is_some_and(|at| (at.0 - began_at - RESETS_IN * 1000).abs() < 300_000);
                check(within, format!("limit {:?}", record.limit));
            }
            Self::TooManyTurns => check((4..=6).contains(&record.usage.turns), format!("{} turns", record.usage.turns)),
            Self::TooExpensive if !tells_usage_at_once(cli) => {
                check(warned("only its end told"), "no warning that the limit was known too late".to_owned());
            }
            Self::TooExpensive => check(record.usage.turns < EXPENSIVE_TURNS, format!("{} turns", record.usage.turns)),
            Self::VerdictWhenAsked => {
                check(record.runs.len() == 2, format!("{} runs instead of 2", record.runs.len()));
                let sessions: Vec<_> = record.runs.iter().map(|run| &run.session_id).collect();
                check(sessions.windows(2).all(|pair| pair[0] == pair[1]), format!("sessions {sessions:?}"));
                check(record.verdict.is_some(), "no verdict".to_owned());
            }
            _ => {}
        }
        wrong
    }
}
