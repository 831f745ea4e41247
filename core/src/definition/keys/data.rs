//! Params, artifacts and outputs.

use super::{DURATION, Shape, TYPE, Vocabulary, key, list};

pub(in super::super) const PARAM: Vocabulary = Vocabulary {
    what: "a param",
    keys: &[
        key("type", TYPE, "params", "What a value must be. Others are refused when a job is submitted.")
            .default("string"),
        key("required", Shape::Boolean, "params", "A submit without it is refused.").default("false"),
        key(
            "default",
            Shape::Any,
            "params",
            "The value when a submit does not give one. It has to be valid itself. Without it the name is undefined.",
        ),
        key("enum", Shape::List(&Shape::Any, 1, usize::MAX), "params", "The values that are allowed."),
        key(
            "pattern",
            Shape::Text,
            "params",
            "A regular expression that a string has to match somewhere; anchor it with `^` and `$` to match all of it.",
        ),
        key("description", Shape::Text, "params", "What it is for, shown to people who submit the job."),
    ],
    later: &[],
    foreign: &[("choices", "enum"), ("options", "enum"), ("values", "enum"), ("regex", "pattern")],
};

pub(in super::super) const ARTIFACTS: Vocabulary = Vocabulary {
    what: "artifacts",
    keys: &[
        key(
            "paths",
            list(&Shape::Template),
            "artifacts",
            "Files to keep: paths and globs (`*`, `**`, `?`, `[…]`) relative to the task's directory. After a success a \
             path without wildcard that does not exist makes the attempt `INVALID`.",
        )
        .required(),
        key("exclude", list(&Shape::Text), "artifacts", "Globs of files to leave out."),
        key(
            "when",
            Shape::Choice(&["always", "on_success", "on_failure"]),
            "artifacts",
            "After which attempts they are kept.",
        )
        .default("always"),
        key(
            "name",
            Shape::Form("name", "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"),
            "expire-after",
            "A name for all of them together: `atta artifacts JOB --name NAME`.",
        ),
        key(
            "expire_after",
            DURATION,
            "expire-after",
            "How long they are kept after the attempt. Then they stay listed as expired, and their content is removed.",
        )
        .default("as long as the job"),
    ],
    later: &[],
    foreign: &[("path", "paths"), ("files", "paths")],
};

pub(in super::super) const OUTPUT: Vocabulary = Vocabulary {
    what: "an output",
    keys: &[
        key(
            "from",
            Shape::Choice(&["output", "stdout", "file", "artifact", "body"]),
            "outputs",
            "Where the value comes from: the file `$ATTA_OUTPUT` (lines `name=value`, or a JSON object), what the task \
             writes to stdout, a `file`, an `artifact` that is kept (named by `file`), or the `body` of an HTTP answer.",
        )
        .default("`output`, or `file` where `file` is given; `body` for a request"),
        key("file", Shape::Text, "outputs", "A file in the task's directory that holds the value."),
        key(
            "json_path",
            Shape::Scalar,
            "outputs",
            "Where in the JSON document of the source the value stands, with dots: `verdict.tests.0.name`.",
        ),
        key("type", TYPE, "outputs", "What the value must be; another one makes the attempt `INVALID`.")
            .default("anything"),
        key(
            "schema",
            Shape::Any,
            "outputs-schema",
            "A JSON Schema (draft 2020-12, no references to other documents) that the value must match; another value \
             makes the attempt `INVALID`.",
        ),
    ],
    later: &[],
    foreign: &[("path", "file"), ("json", "json_path")],
};
