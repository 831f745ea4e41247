//! The keys of `outcome`.

use super::{Shape, Vocabulary, key, list};

/// The name of a task.
const TASK_NAME: Shape = Shape::Text;

pub(in super::super) const OUTCOME: Vocabulary = Vocabulary {
    what: "outcome",
    keys: &[
        key(
            "kind",
            Shape::TemplateScalar,
            "outcome",
            "What the job is to achieve, in a word of your own, such as `pull_request`.",
        ),
        key(
            "repository",
            Shape::TemplateScalar,
            "outcome",
            "Where: a repository, a project, a board. Figures can be asked for by it.",
        ),
        key(
            "url",
            Shape::TemplateScalar,
            "outcome",
            "Where it can be looked at. The first time that there is one, the pull request is there.",
        ),
        key(
            "state",
            Shape::TemplateScalar,
            "outcome",
            "How far it is: `open`, `merged`, `closed` or `needs_human`. What it does not say by the end of the job follows \
             from the job's own end.",
        ),
        key(
            "reason",
            Shape::TemplateScalar,
            "outcome",
            "Why it was not achieved, as a short code. Without it the job's error code is taken.",
        ),
        key(
            "rework",
            Shape::OneOf(&[TASK_NAME, list(&TASK_NAME)]),
            "outcome",
            "A task, or several: each visit of one of them is a round of rework. A result that came without any was \
             right the first time.",
        ),
    ],
    later: &[],
    foreign: &[("status", "state"), ("link", "url"), ("repo", "repository"), ("type", "kind")],
};
