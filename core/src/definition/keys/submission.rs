//! The keys of what makes jobs: SUBMIT_JOBS, FORK_JOB.

use super::{IDENTIFIER, PRIORITY, Shape, Vocabulary, key};

/// Params of a job that is made, with templates in their texts.
const PARAMS: Shape = Shape::Map(IDENTIFIER, &Shape::Any);
/// A list, or a template that yields an array.
const ITEMS: Shape = Shape::OneOf(&[Shape::Template, super::list(&Shape::Any)]);
/// The name of a definition, or a template that renders to one.
const JOB_TYPE: Shape = Shape::Template;

pub(in super::super) const SUBMIT: Vocabulary = Vocabulary {
    what: "submit",
    keys: &[
        key("job_type", JOB_TYPE, "submit-jobs", "The definition of the jobs. It may depend on the item.").required(),
        key(
            "version",
            Shape::Scalar,
            "submit-jobs",
            "A version other than the newest: a semantic version, or the digest of its content.",
        ),
        key(
            "items",
            ITEMS,
            "submit-jobs",
            "A list, or a template that yields an array: one job is submitted for each item, at most 1 000.",
        )
        .required(),
        key(
            "item_var",
            Shape::Form("name", IDENTIFIER),
            "submit-jobs",
            "The name by which the other templates of `submit` call the item.",
        )
        .default("item"),
        key("params", PARAMS, "submit-jobs", "The params of each job; all texts in them are templates."),
        key(
            "user_key",
            Shape::TemplateScalar,
            "submit-jobs",
            "The job's `user_key`, instead of its definition's. If an unfinished job has it, the outcome is `duplicate`.",
        ),
        key("description", Shape::Template, "submit-jobs", "The job's description, instead of its definition's."),
        key(
            "priority",
            Shape::OneOf(&[PRIORITY, Shape::Template]),
            "submit-jobs",
            "The job's priority, instead of its definition's.",
        ),
        key(
            "dry_run",
            Shape::Boolean,
            "submit-jobs-dry",
            "Nothing is submitted. The outputs say of each item what would become of it, and which job had its `user_key` \
             last.",
        )
        .default("false"),
    ],
    later: &[],
    foreign: &[("job", "job_type"), ("inputs", "params"), ("with", "params"), ("matrix", "items"), ("key", "user_key")],
};

pub(in super::super) const SUB_WORKFLOW: Vocabulary = Vocabulary {
    what: "sub_workflow",
    keys: &[
        key("job_type", JOB_TYPE, "fork", "The definition of the forked job.").required(),
        key(
            "version",
            Shape::Scalar,
            "fork",
            "A version other than the newest: a semantic version, or the digest of its content.",
        ),
        key("params", PARAMS, "fork", "The params of the forked job; all texts in them are templates."),
        key(
            "outputs",
            Shape::Map(IDENTIFIER, &Shape::TemplateScalar),
            "fork",
            "Outputs of this task: templates over the names of the forked job when it has ended, such as \
             `\"{{ tasks.build.outputs.digest }}\"`. A template that is one whole expression keeps its type.",
        ),
        key(
            "wait",
            Shape::Boolean,
            "await",
            "Whether the task waits for the end of the forked job. If not, an AWAIT_FORKED_JOB task can.",
        )
        .default("true"),
    ],
    later: &[],
    foreign: &[("job", "job_type"), ("uses", "job_type"), ("inputs", "params"), ("with", "params")],
};
