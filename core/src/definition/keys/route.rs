//! Routes and dependencies in their long forms.

use super::{DURATION, Shape, TASK_NAME, Vocabulary, key};

/// The form of what is a word or the name of a task: the loader tells them apart.
pub(super) const WORD_OR_TASK: &str = "^[^{}]+$";

/// Where a route leads, in short: a task or a word; several tasks.
const TARGET: [Shape; 2] = [Shape::Form("task or word", WORD_OR_TASK), Shape::List(&TASK_NAME, 1, usize::MAX)];

/// Where a route leads.
pub(super) const ROUTE: Shape = Shape::OneOf(&[TARGET[0], TARGET[1], Shape::Mapping(&LONG_ROUTE)]);

/// What a route or `retry_on` names: a code, a range, a result.
pub(super) const RESULT: &str = "^([0-9]{1,3}( *- *[0-9]{1,3})?|[A-Z][A-Z_]*|\\*)$";

pub(in super::super) const LONG_ROUTE: Vocabulary = Vocabulary {
    what: "a route",
    keys: &[
        key("goto", Shape::OneOf(&TARGET), "loop", "Where the route leads: a task, a list of tasks, or a word."),
        key(
            "max",
            Shape::Integer(1, 100_000),
            "loop",
            "How often the route may be taken. Used up, it does not match any more and the next one that fits is looked \
             for. Counted anew for each entry into the loop.",
        )
        .default("no bound"),
        key(
            "reschedule",
            DURATION,
            "reschedule",
            "Instead of `goto`: the task is tried again after so long, as a new attempt of the same visit. Meanwhile it \
             takes no place on an ant.",
        ),
        key(
            "until",
            DURATION,
            "reschedule",
            "How long after the first attempt of the visit `reschedule` gives up, with the result `EXPIRED`.",
        )
        .default("14d"),
    ],
    later: &[],
    foreign: &[("task", "goto"), ("target", "goto"), ("after", "reschedule"), ("max_visits", "max")],
};

/// A dependency.
pub(super) const DEPENDENCY: Shape = Shape::OneOf(&[TASK_NAME, Shape::Mapping(&LONG_DEPENDENCY)]);

pub(in super::super) const LONG_DEPENDENCY: Vocabulary = Vocabulary {
    what: "a dependency",
    keys: &[
        key("task", TASK_NAME, "dependencies", "The task that has to settle first.").required(),
        key(
            "optional",
            Shape::Boolean,
            "dependencies",
            "It is waited for, but any outcome will do: completed, failed or skipped.",
        )
        .default("false"),
        key(
            "artifacts",
            Shape::Boolean,
            "dependencies",
            "Whether its artifacts are put into the directory of this task.",
        )
        .default("true"),
    ],
    later: &[],
    foreign: &[("job", "task"), ("task_type", "task"), ("name", "task")],
};
