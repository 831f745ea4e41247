//! Keys about how long things are kept.

use super::{DURATION, Shape, Vocabulary, key, list};

/// A duration, or days.
pub(super) const KEEPING: Shape = Shape::OneOf(&[Shape::Duration, Shape::Integer(1, 36_500)]);

pub(in super::super) const RETENTION: Vocabulary = Vocabulary {
    what: "retention",
    keys: &[
        key("completed", KEEPING, "retention", "How long a job that COMPLETED is kept; a number is days."),
        key("failed", KEEPING, "retention", "How long a job that FAILED is kept."),
        key("blocked", KEEPING, "retention", "How long a job that ended BLOCKED is kept."),
        key("cancelled", KEEPING, "retention", "How long a CANCELLED job is kept."),
        key("skipped", KEEPING, "retention", "How long a SKIPPED job is kept."),
    ],
    later: &[],
    foreign: &[("success", "completed"), ("failure", "failed"), ("canceled", "cancelled")],
};

pub(in super::super) const EXPIRE: Vocabulary = Vocabulary {
    what: "expire",
    keys: &[
        key(
            "older_than",
            DURATION,
            "expire-artifacts",
            "Artifacts that were kept before so long expire now. Those of unfinished jobs stay.",
        )
        .required(),
        key(
            "job_types",
            list(&Shape::Form("name", "^[a-z0-9][a-z0-9._-]{0,99}$")),
            "expire-artifacts",
            "Only artifacts of jobs of these definitions.",
        )
        .default("all"),
    ],
    later: &[],
    foreign: &[("age", "older_than"), ("older", "older_than"), ("job_type", "job_types")],
};
