//! The keys of a job.

use super::budget::BUDGET;
use super::control::CONCURRENCY;
use super::data::PARAM;
use super::notify::{NOTIFY, WHOLE_WEBHOOK};
use super::outcome::OUTCOME;
use super::retention::{KEEPING, RETENTION};
use super::task::{BACKOFF, TASK};
use super::trigger::{JOB_TRIGGER, WEBHOOK_TRIGGER};
use super::workspace::WORKSPACE;
use super::{ANY_NAME, DURATION, ENVIRONMENT, IDENTIFIER, PRIORITY, Shape, Vocabulary, key, list};

pub(in super::super) const JOB: Vocabulary = Vocabulary {
    what: "a job",
    keys: &[
        key(
            "job_type",
            Shape::Form("name", "^[a-z0-9][a-z0-9._-]{0,99}$"),
            "diamond",
            "The name of the definition, unique on the server: lower-case letters, digits, `.`, `_` and `-`, at most \
             100, a letter or digit first.",
        )
        .required(),
        key(
            "version",
            Shape::Form("semantic version", "^[0-9]+\\.[0-9]+\\.[0-9]+([-+].*)?$"),
            "about",
            "A semantic version that a submit or another job can ask for. Every upload that changes something is a \
             version in any case, by the digest of its content.",
        ),
        key(
            "description",
            Shape::Template,
            "about",
            "Markdown for people. It is a template, rendered again when values change; an error in it fails nothing.",
        ),
        key("labels", Shape::Map(ANY_NAME, &Shape::Scalar), "about", "Free pairs of names and texts."),
        key(
            "params",
            Shape::Map(IDENTIFIER, &Shape::OneOf(&[Shape::Mapping(&PARAM), Shape::Nothing])),
            "params",
            "What a submit may give, with types. Anything that is not declared here is refused. Templates use the values \
             by their names.",
        ),
        key(
            "required_params",
            list(&Shape::Form("name", IDENTIFIER)),
            "params",
            "Short for params of type string that must be given.",
        ),
        key(
            "job_variables",
            Shape::Map(IDENTIFIER, &Shape::Any),
            "variables",
            "Values for templates, of any JSON type; the texts in them are templates themselves, and may use params.",
        ),
        key("environment", ENVIRONMENT, "variables", "Environment variables of every task."),
        key(
            "cron_trigger",
            Shape::OneOf(&[Shape::Scalar, Shape::List(&Shape::Scalar, 1, 20)]),
            "schedule",
            "When the job starts by itself: a line of 5 fields (minute, hour, day, month, weekday), 6 (seconds first) or \
             7 (seconds first, year last), or a list of lines. A tick gives one job, whatever happens.",
        ),
        key(
            "triggers",
            list(&Shape::OneOf(&[Shape::Mapping(&WEBHOOK_TRIGGER), Shape::Mapping(&JOB_TRIGGER)])),
            "webhook",
            "What else starts the job: webhooks, and the ends of jobs of other definitions.",
        ),
        key("timezone", Shape::Text, "schedule", "The IANA zone in which `cron_trigger` is meant.").default("UTC"),
        key(
            "misfire",
            Shape::Choice(&["skip", "run_once", "run_all"]),
            "schedule",
            "What becomes of ticks that passed while the server was away: nothing, one job for all, or one each.",
        )
        .default("skip"),
        key(
            "skip_if",
            Shape::TemplateScalar,
            "skip-if",
            "Rendered before anything else happens. If the text is true the job ends SKIPPED, with it as the reason. An \
             error in it skips too.",
        ),
        key(
            "max_concurrency",
            Shape::Integer(1, u32::MAX),
            "one-at-a-time",
            "How many jobs of this definition may be RUNNING at once. The others wait, in order.",
        )
        .default("no limit"),
        key(
            "concurrency",
            Shape::Mapping(&CONCURRENCY),
            "concurrency",
            "A key that one job at a time may hold, across definitions, from its start to its end.",
        ),
        key(
            "priority",
            PRIORITY,
            "one-at-a-time",
            "Order of dispatch. What waits becomes more urgent with time, so that nothing starves.",
        )
        .default("NORMAL"),
        key(
            "user_key",
            Shape::Template,
            "one-at-a-time",
            "A key that no two unfinished jobs of the server may have: a submit of a second one is refused.",
        ),
        key(
            "timeout",
            DURATION,
            "job-timeout",
            "The longest that an attempt of the job may be RUNNING; waiting and paused time does not count. Beyond it the \
             job stops and FAILS; `always_run` tasks have their own time.",
        )
        .default("no limit"),
        key(
            "retry",
            Shape::OrTemplate(&Shape::Integer(0, 1_000)),
            "job-retry",
            "Further attempts of a job that FAILED.",
        )
        .default("0"),
        key(
            "retry_from",
            Shape::Choice(&["failed", "start"]),
            "job-retry",
            "What a further attempt keeps: `failed` keeps what is completed and repeats what failed and what follows \
             from it; `start` begins anew, with a new `Nonce`.",
        )
        .default("failed"),
        key(
            "delay_between_retries",
            DURATION,
            "job-retry",
            "The time before each further attempt, always the same. Excludes `retry_backoff`.",
        ),
        key(
            "retry_backoff",
            Shape::Mapping(&BACKOFF),
            "job-backoff",
            "The time before each further attempt, growing. Excludes `delay_between_retries`.",
        )
        .default("1s, doubling, at most 5m, jittered"),
        key(
            "fail_on",
            Shape::Choice(&["unhandled", "any_failure"]),
            "fail-on",
            "Which failures make the job FAILED: those that no route handles, or all without `allow_failure`.",
        )
        .default("unhandled"),
        key(
            "fail_fast",
            Shape::Boolean,
            "fail-fast",
            "The first failure that no route handles stops everything else, instead of letting other branches end.",
        )
        .default("false"),
        key(
            "resume_after",
            DURATION,
            "pause",
            "A paused job goes on by itself after so long.",
        )
        .default("never"),
        key(
            "retention",
            Shape::OneOf(&[Shape::Mapping(&RETENTION), KEEPING]),
            "retention",
            "How long a job is kept after its end, per state or for all: a duration, or a number of days. Then it is \
             removed with its events, logs and artifacts.",
        )
        .default("the server's own, which is for ever"),
        key(
            "outcome",
            Shape::Mapping(&OUTCOME),
            "outcome",
            "What the job is to achieve and how to see whether it has: `atta outcomes` counts it. Its texts are templates, \
             rendered again whenever a task has settled or an attempt has ended, and at the end of the job. One that cannot be \
             rendered yet, or is empty, says nothing: what was said before stays. An error in it fails nothing.",
        ),
        key(
            "budget",
            Shape::Mapping(&BUDGET),
            "budget",
            "What the AGENT tasks of a job may use up together: hard limits over all their attempts, counted before they \
             start and when they have ended. See docs/budgets.md.",
        ),
        key(
            "inherit_env",
            Shape::OneOf(&[Shape::Boolean, list(&Shape::Form("name", IDENTIFIER))]),
            "variables",
            "Names of variables that tasks see of the ant's own environment, beyond `PATH`, `HOME`, `LANG` and their \
             like; `true` for all of them.",
        )
        .default("none"),
        key(
            "workspace",
            Shape::Mapping(&WORKSPACE),
            "workspace",
            "A directory that the tasks of the job share: `JOB_WORKSPACE` in their environment.",
        ),
        key(
            "notify",
            list(&Shape::Mapping(&NOTIFY)),
            "notify",
            "Who is told when the job ends, pauses or asks for an approval: a list of entries, each with `when` and one or \
             more of `webhook`, `slack` and `email`. Deliveries are stored with what they tell and repeated until they \
             arrive.",
        ),
        key(
            "webhook",
            Shape::Mapping(&WHOLE_WEBHOOK),
            "notify",
            "Short for one entry of `notify` with a `webhook`.",
        ),
        key(
            "defaults",
            Shape::TaskDefaults,
            "diamond",
            "Keys of tasks, for each task that does not say otherwise. `environment` is merged name by name.",
        ),
        key(
            "tasks",
            Shape::List(&Shape::Mapping(&TASK), 1, 10_000),
            "diamond",
            "The tasks. Without edges they start at once; `dependencies` and routes order them.",
        )
        .required(),
    ],
    later: &[],
    foreign: &[
        ("name", "job_type"),
        ("jobs", "tasks"),
        ("steps", "tasks"),
        ("env", "environment"),
        ("variables", "job_variables"),
        ("schedule", "cron_trigger"),
        ("cron", "cron_trigger"),
        ("on", "cron_trigger"),
        ("inputs", "params"),
        ("parameters", "params"),
        ("retries", "retry"),
    ],
};
