//! What agents may use up together.

use super::{Key, Shape, Vocabulary, key};

/// Any whole number from 1 on, or a template.
const COUNT: Shape = Shape::OrTemplate(&Shape::Integer(1, u32::MAX));

const USD: Key = key(
    "usd",
    Shape::OrTemplate(&Shape::Number(0.000_001, 1_000_000.0)),
    "budget",
    "US dollars, as the programs report or the price table says.",
);
const TOKENS: Key = key("tokens", COUNT, "budget", "Tokens, in and out, without those read from a cache.");
const TURNS: Key = key("agent_turns", COUNT, "budget", "Turns of the models, as we count them.");
const MINUTES: Key =
    key("minutes", COUNT, "budget", "Minutes that agents run. Those that run at the same time count each for itself.");

pub(in super::super) const BUDGET: Vocabulary = Vocabulary {
    what: "budget",
    keys: &[
        USD,
        TOKENS,
        TURNS,
        MINUTES,
        key(
            "on_exceed",
            Shape::Choice(&["pause", "fail"]),
            "budget",
            "What happens when nothing is left: the job is paused, and `atta resume JOB --budget usd=10` goes on in the \
             same sessions; or it stops and FAILS with the code `BUDGET_EXCEEDED`.",
        )
        .default("pause"),
        key(
            "per_day",
            Shape::Mapping(&PER_DAY),
            "budget",
            "The same for all jobs of this definition together, on one day (UTC). At the limit agents wait until \
             midnight. The newest version's holds.",
        ),
    ],
    later: &[],
    foreign: &[
        ("max_usd", "usd"),
        ("dollars", "usd"),
        ("cost", "usd"),
        ("max_tokens", "tokens"),
        ("turns", "agent_turns"),
        ("max_turns", "agent_turns"),
        ("daily", "per_day"),
        ("on_exceeded", "on_exceed"),
    ],
};

pub(in super::super) const PER_DAY: Vocabulary = Vocabulary {
    what: "per_day",
    keys: &[
        key("usd", Shape::Number(0.000_001, 1_000_000.0), "budget", "US dollars a day."),
        key("tokens", Shape::Integer(1, u32::MAX), "budget", "Tokens a day."),
        key("agent_turns", Shape::Integer(1, u32::MAX), "budget", "Turns a day."),
        key("minutes", Shape::Integer(1, u32::MAX), "budget", "Minutes of agents a day."),
    ],
    later: &[],
    foreign: &[],
};
