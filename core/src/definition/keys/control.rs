//! The keys of `fan_out` and `concurrency`.

use super::{IDENTIFIER, Shape, Vocabulary, key, list};

pub(in super::super) const FAN_OUT: Vocabulary = Vocabulary {
    what: "fan_out",
    keys: &[
        key(
            "items",
            Shape::OneOf(&[Shape::Template, list(&Shape::Any)]),
            "fan-out",
            "The items: a list, or a template that gives a JSON array, such as an output of an earlier task. It is \
             rendered when the task would start. None is a success; more than 10 000 make the task `INVALID`.",
        )
        .required(),
        key(
            "item_var",
            Shape::Form("name", IDENTIFIER),
            "fan-out",
            "The name of the item in the templates of this task. Its position and key are `item_index` and `item_key`.",
        )
        .default("item"),
        key(
            "key",
            Shape::TemplateScalar,
            "fan-out",
            "Rendered for each item: what the instance is called in lists, logs and paths of artifacts. Letters, digits, \
             `.`, `_` and `-`; no two items may have the same.",
        )
        .default("the position, from 0"),
        key(
            "max_parallel",
            Shape::OrTemplate(&Shape::Integer(1, 10_000)),
            "fan-out",
            "How many instances may be READY or running at once.",
        )
        .default("all of them"),
        key(
            "fail_fast",
            Shape::Boolean,
            "fan-out",
            "The first instance that fails for good stops the others and those that have not begun.",
        )
        .default("false"),
    ],
    later: &[],
    foreign: &[
        ("matrix", "items"),
        ("with_items", "items"),
        ("as", "item_var"),
        ("variable", "item_var"),
        ("parallelism", "max_parallel"),
        ("max-parallel", "max_parallel"),
        ("fail-fast", "fail_fast"),
    ],
};

pub(in super::super) const CONCURRENCY: Vocabulary = Vocabulary {
    what: "concurrency",
    keys: &[
        key(
            "key",
            Shape::TemplateScalar,
            "concurrency",
            "Rendered when the job is submitted. Of all jobs with the same key, whatever their definition, one at a time \
             may have started and not ended. An empty key holds nothing.",
        )
        .required(),
        key(
            "on_conflict",
            Shape::Choice(&["queue", "skip", "cancel_running"]),
            "concurrency",
            "What happens to a job while another one holds its key: it waits in line, it ends SKIPPED, or the other one is \
             cancelled and it starts when that has ended.",
        )
        .default("queue"),
    ],
    later: &[],
    foreign: &[("group", "key"), ("cancel-in-progress", "on_conflict")],
};
