//! The keys of triggers.

use super::{ANY_NAME, Shape, TASK_NAME, Vocabulary, key};

const NAME: Shape = Shape::Form("name", "^[a-z0-9][a-z0-9._-]{0,99}$");
const SECRET: Shape =
    Shape::Form("reference to a secret", "^\\s*\\{\\{\\s*secrets\\.[A-Za-z_][A-Za-z0-9_]*\\s*\\}\\}\\s*$");
const JOB_NAMES: Shape = Shape::OneOf(&[NAME, Shape::List(&NAME, 1, usize::MAX)]);

pub(in super::super) const WEBHOOK_TRIGGER: Vocabulary = Vocabulary {
    what: "a webhook trigger",
    keys: &[
        key("type", Shape::Choice(&["webhook"]), "webhook", "What starts the job: a request from outside.").required(),
        key("name", NAME, "webhook", "The last part of the URL, `/api/v1/hooks/<job_type>/<name>`.").required(),
        key(
            "auth",
            Shape::Mapping(&WEBHOOK_AUTH),
            "webhook",
            "How a request proves where it comes from; without a valid proof nothing happens.",
        )
        .required(),
        key(
            "filter",
            Shape::TemplateScalar,
            "webhook",
            "A condition over `payload`, `headers` and `event`; falsy text lets nothing through, and an error neither.",
        ),
        key(
            "params",
            Shape::Map(ANY_NAME, &Shape::Any),
            "webhook",
            "Params of the job; the texts in them are templates over `payload`, `headers` and `event`.",
        ),
        key("user_key", Shape::Template, "webhook", "Overrides the definition's `user_key`, over the same names."),
        key(
            "rate_limit",
            Shape::Form("rate", "^ *[1-9][0-9]* */.+$"),
            "webhook",
            "How many deliveries may do something in how long, such as `30/1m`; more get 429 with `Retry-After`.",
        ),
        key(
            "wake",
            Shape::Mapping(&WAKE),
            "webhook-wake",
            "Instead of submitting a job: begin the next attempt of a task that waits for its time, now.",
        ),
    ],
    later: &[],
    foreign: &[("secret", "auth"), ("condition", "filter"), ("when", "filter"), ("path", "name")],
};

pub(in super::super) const WEBHOOK_AUTH: Vocabulary = Vocabulary {
    what: "auth",
    keys: &[
        key(
            "hmac_sha256",
            Shape::OneOf(&[SECRET, Shape::Mapping(&HMAC_AUTH)]),
            "webhook",
            "The request is signed with this secret as GitHub does it: `X-Hub-Signature-256: sha256=…`.",
        ),
        key(
            "bearer",
            Shape::OneOf(&[SECRET, Shape::Mapping(&BEARER_AUTH)]),
            "webhook-wake",
            "The request carries this secret: `Authorization: Bearer …`.",
        ),
    ],
    later: &[],
    foreign: &[("github", "hmac_sha256"), ("hmac", "hmac_sha256"), ("token", "bearer")],
};

pub(in super::super) const HMAC_AUTH: Vocabulary = Vocabulary {
    what: "hmac_sha256",
    keys: &[
        key("secret", SECRET, "webhook", "The secret.").required(),
        key("header", Shape::Text, "webhook", "The header with the signature.").default("X-Hub-Signature-256"),
    ],
    later: &[],
    foreign: &[],
};

pub(in super::super) const BEARER_AUTH: Vocabulary = Vocabulary {
    what: "bearer",
    keys: &[key("secret", SECRET, "webhook-wake", "The secret.").required()],
    later: &[],
    foreign: &[],
};

pub(in super::super) const WAKE: Vocabulary = Vocabulary {
    what: "wake",
    keys: &[
        key("task", TASK_NAME, "webhook-wake", "The task that waits.").required(),
        key("user_key", Shape::Template, "webhook-wake", "The `user_key` of its job.").required(),
    ],
    later: &[],
    foreign: &[],
};

pub(in super::super) const JOB_TRIGGER: Vocabulary = Vocabulary {
    what: "a job trigger",
    keys: &[
        key("type", Shape::Choice(&["job"]), "on-job", "What starts the job: the end of another one.").required(),
        key("job_type", JOB_NAMES, "on-job", "The definitions whose jobs count.").required(),
        key(
            "states",
            Shape::List(&Shape::Choice(&["COMPLETED", "FAILED", "BLOCKED", "CANCELLED", "SKIPPED"]), 1, usize::MAX),
            "on-job",
            "The ends that count.",
        )
        .default("`[COMPLETED]`"),
        key(
            "filter",
            Shape::TemplateScalar,
            "on-job",
            "A condition over `job`, the job that ended; falsy text lets nothing through, and an error neither.",
        ),
        key(
            "params",
            Shape::Map(ANY_NAME, &Shape::Any),
            "on-job",
            "Params of the new job; the texts in them are templates over `job`.",
        ),
        key("user_key", Shape::Template, "on-job", "Overrides the definition's `user_key`, over the same name."),
    ],
    later: &[],
    foreign: &[("state", "states"), ("on", "states"), ("when", "filter")],
};
