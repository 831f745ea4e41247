//! The keys of a task.

use super::agent::AGENT;
use super::approval::APPROVAL;
use super::control::FAN_OUT;
use super::data::{ARTIFACTS, OUTPUT};
use super::github::GITHUB;
use super::http::{HTTP, PAIRS};
use super::retention::EXPIRE;
use super::route::{DEPENDENCY, RESULT, ROUTE};
use super::submission::{SUB_WORKFLOW, SUBMIT};
use super::workspace::CACHE;
use super::{DURATION, ENVIRONMENT, IDENTIFIER, PRIORITY, Shape, TASK_NAME, Vocabulary, key, list};

/// A program and its arguments.
const COMMAND_LINE: Shape = Shape::OneOf(&[Shape::Text, Shape::List(&Shape::Scalar, 1, usize::MAX)]);

pub(in super::super) const TASK: Vocabulary = Vocabulary {
    what: "a task",
    keys: &[
        key(
            "task_type",
            TASK_NAME,
            "diamond",
            "The name of the task, unique in the definition: letters, digits, `.`, `_` and `-`, at most 100, a letter or \
             digit first. Routes, dependencies and templates use it.",
        )
        .required(),
        key(
            "method",
            Shape::Choice(&[
                "SHELL",
                "AGENT",
                "HTTP_GET",
                "HTTP_POST",
                "HTTP_PUT",
                "HTTP_PATCH",
                "HTTP_DELETE",
                "GITHUB",
                "SUBMIT_JOBS",
                "FORK_JOB",
                "AWAIT_FORKED_JOB",
                "EXPIRE_ARTIFACTS",
                "APPROVAL",
                "MANUAL",
            ]),
            "scripts",
            "What the task does; each method has options of its own.",
        )
            .default("SHELL"),
        key("description", Shape::Template, "scripts", "For people."),
        key(
            "script",
            Shape::List(&Shape::Template, 1, usize::MAX),
            "scripts",
            "The commands. All entries run in one process of the shell, so that `cd` and variables carry over; the first \
             that fails ends it, and its exit code is the task's. Values in templates are never parsed as shell syntax.",
        ),
        key(
            "before_script",
            list(&Shape::Template),
            "scripts",
            "Runs before `script`, in the same process.",
        ),
        key(
            "after_script",
            list(&Shape::Template),
            "scripts",
            "Runs afterwards in a process of its own, whatever happened, and changes no result.",
        ),
        key(
            "shell",
            COMMAND_LINE,
            "diamond",
            "The shell and its options: `bash`, `sh`, `dash`, `ash` or `ksh`. Excludes `interpreter`.",
        )
        .default("`[bash, -euo, pipefail]`, or `[sh, -eu]` where there is no bash"),
        key(
            "interpreter",
            COMMAND_LINE,
            "interpreter",
            "Another program that gets `script` as the file to run, such as `python3`. Values from outside reach it by \
             `environment`. Excludes `shell`.",
        ),
        key(
            "tty",
            Shape::Boolean,
            "terminal",
            "Runs `before_script` and `script` on a terminal: stdin, stdout and stderr are one, people with the role \
             operator can type into it (`atta attach`, or on the page of the job), and what it prints is the log. Lines end \
             with CR LF, and stdout and stderr cannot be told apart.",
        )
        .default("false"),
        key(
            "submit",
            Shape::Mapping(&SUBMIT),
            "submit-jobs",
            "Makes it a SUBMIT_JOBS task: jobs of their own, one for each item, which nobody waits for.",
        ),
        key(
            "sub_workflow",
            Shape::Mapping(&SUB_WORKFLOW),
            "fork",
            "Makes it a FORK_JOB task: a job inside this one, which is cancelled with it.",
        ),
        key(
            "await_forked_tasks",
            Shape::List(&TASK_NAME, 1, usize::MAX),
            "await",
            "Of an AWAIT_FORKED_JOB task: the FORK_JOB tasks whose jobs it waits for.",
        ),
        key(
            "approval",
            Shape::Mapping(&APPROVAL),
            "approval",
            "For APPROVAL: who decides, how many of them, and how long they have. The result is `APPROVED` (a success) or \
             `REJECTED`, and both can be routed. Alone it says that the method is APPROVAL.",
        ),
        key(
            "agent",
            Shape::Mapping(&AGENT),
            "agent",
            "Makes it an AGENT task: a coding agent is told what to do, watched and counted. Its class is the result \
             (`DONE` is a success, the others can be routed by name or number), and the outputs are `verdict`, `message`, \
             `session_id`, `turns`, `cost_usd`, `files_changed`, `commits` and `limit`.",
        ),
        key(
            "url",
            Shape::Template,
            "http-get",
            "Where an `HTTP_*` task sends its request; http and https. The status is the result: 200–399 is a success, \
             and routes may name each status and ranges. `{{ x | urlencode }}` makes one piece of a path of any value.",
        ),
        key("query", PAIRS, "http-get", "Added to the URL of a request, percent-encoded."),
        key(
            "headers",
            PAIRS,
            "http-post",
            "Headers of a request. `${NAME}` stands for a variable of the task's `environment`, which only the ant knows: \
             `Authorization: \"Bearer ${TOKEN}\"`.",
        ),
        key("body", Shape::Template, "http-put", "What a request sends, as it is. Excludes `json` and `form`."),
        key(
            "json",
            Shape::Any,
            "http-post",
            "What a request sends, as a JSON document. Strings are templates; one whole `{{ x }}` keeps its type. \
             Excludes `body` and `form`.",
        ),
        key(
            "form",
            PAIRS,
            "http-form",
            "What a request sends, as a URL-encoded form. `${NAME}` works as in `headers`. Excludes `body` and `json`.",
        ),
        key(
            "expire",
            Shape::Mapping(&EXPIRE),
            "expire-artifacts",
            "Which artifacts a task of the method EXPIRE_ARTIFACTS removes. Its outputs are `artifacts` and `bytes`.",
        ),
        key(
            "github",
            Shape::Mapping(&GITHUB),
            "github-issues",
            "What a task of the method GITHUB does. Alone it says that the method is GITHUB. The result is the status: 200, \
             or what GitHub answered; 429 says that it wants to be left alone for a while, 503 that it cannot be reached.",
        ),
        key("http", Shape::Mapping(&HTTP), "http-get", "How a request is made."),
        key("environment", ENVIRONMENT, "variables", "Environment variables, on top of the job's."),
        key(
            "env_from",
            list(&Shape::Mapping(&ENV_FROM)),
            "secrets",
            "Secrets and configs that become environment variables of the same name. The task's `environment` comes after.",
        ),
        key(
            "dependencies",
            list(&DEPENDENCY),
            "dependencies",
            "The tasks that come before this one, and whose artifacts it gets. `[]` says that it starts with the job.",
        ),
        key("on_completed", ROUTE, "exit-codes", "Where to go after a success; the same as the route `COMPLETED`."),
        key("on_failed", ROUTE, "words", "Where to go after a failure; the same as the route `FAILED`."),
        key(
            "on_exit_code",
            Shape::Map(RESULT, &ROUTE),
            "exit-codes",
            "Where to go on which result. The first that fits is taken: exact code, range (`\"64-78\"`), name of the \
             result, `COMPLETED` or `FAILED`, `\"*\"`. If none fits, success ends the path and failure fails the job.",
        ),
        key(
            "always_run",
            Shape::Boolean,
            "always-run",
            "Runs once per job attempt, after everything else, however the job ends; does not change the verdict.",
        )
        .default("false"),
        key(
            "allow_failure",
            Shape::Boolean,
            "allow-failure",
            "A failure counts as completed, for what follows and for the verdict, and stays visible.",
        )
        .default("false"),
        key(
            "when",
            Shape::TemplateScalar,
            "when",
            "Rendered when the task would start; if the text is false (`false`, `0`, `no`, `off`, empty, …) the task is \
             SKIPPED and what follows goes on. Excludes `except`.",
        ),
        key("except", Shape::TemplateScalar, "except", "The opposite of `when`: the task is SKIPPED if it is true."),
        key("timeout", DURATION, "time-limits", "The longest that an attempt may run; then its result is `TIMED_OUT`.")
            .default("1h; 5m with `always_run`; 14d for a forked job"),
        key(
            "idle_timeout",
            DURATION,
            "idle",
            "The longest that an attempt may neither write nor use the processor nor touch files; then its result is \
             `IDLE_TIMED_OUT`.",
        )
        .default("off"),
        key(
            "queue_timeout",
            DURATION,
            "queue-timeout",
            "The longest that an attempt may wait for an ant; then its result is `QUEUE_TIMED_OUT`.",
        )
        .default("off"),
        key(
            "kill_grace",
            DURATION,
            "time-limits",
            "The time from SIGTERM to SIGKILL when an attempt has to end.",
        )
        .default("10s"),
        key(
            "retry",
            Shape::OrTemplate(&Shape::Integer(0, 1_000)),
            "retry",
            "Further attempts after a failure. A route by code, range or result that decides something is followed \
             without one, unless `retry_on` names the result.",
        )
        .default("0"),
        key(
            "retry_on",
            list(&Shape::OneOf(&[Shape::Form("code, range or result", RESULT), Shape::Integer(0, 255)])),
            "backoff",
            "Results that are tried again although they have a route of their own.",
        ),
        key(
            "delay_between_retries",
            DURATION,
            "retry",
            "The time before each further attempt, always the same. Excludes `retry_backoff`.",
        ),
        key(
            "retry_backoff",
            Shape::Mapping(&BACKOFF),
            "backoff",
            "The time before each further attempt, growing. Excludes `delay_between_retries`.",
        )
        .default("1s, doubling, at most 5m, jittered"),
        key(
            "max_visits",
            Shape::Integer(1, 100_000),
            "loop",
            "The bound of the loop that begins with this task: how often it may start, the first time included. Beyond it \
             the result is `LOOP_LIMIT`.",
        ),
        key(
            "fan_out",
            Shape::Mapping(&FAN_OUT),
            "fan-out",
            "Runs the task once per item of an array. `retry`, RESTART_TASK, RESCHEDULE and `allow_failure` act on each \
             instance; routes are looked up once, when all have settled.",
        ),
        key("artifacts", Shape::Mapping(&ARTIFACTS), "artifacts", "Files to keep, and to give to later tasks."),
        key(
            "cache",
            Shape::Mapping(&CACHE),
            "cache",
            "Files that come back in later jobs of the same type: laid down before the first command, stored after a \
             success.",
        ),
        key(
            "outputs",
            Shape::OneOf(&[
                list(&Shape::Form("name", IDENTIFIER)),
                Shape::Map(IDENTIFIER, &Shape::OneOf(&[Shape::Mapping(&OUTPUT), Shape::Nothing])),
            ]),
            "outputs",
            "Small values to keep: `tasks.<name>.outputs.<output>` in templates. Names alone come from `$ATTA_OUTPUT`.",
        ),
        key("tags", list(&Shape::Template), "tags", "The ant that runs it must have all of these."),
        key("priority", PRIORITY, "scripts", "Order of dispatch, instead of the job's."),
        key(
            "report_stdout",
            Shape::Boolean,
            "scripts",
            "Whether what it writes to stdout is shown in reports.",
        )
        .default("true"),
    ],
    later: &[
        "container",
        "env_value_from",
        "node_selector",
        "resources",
        "sandbox",
        "service_account",
        "services",
        "start_timeout",
    ],
    foreign: &[
        ("name", "task_type"),
        ("id", "task_type"),
        ("run", "script"),
        ("command", "script"),
        ("commands", "script"),
        ("steps", "script"),
        ("needs", "dependencies"),
        ("depends_on", "dependencies"),
        ("depends", "dependencies"),
        ("env", "environment"),
        ("variables", "environment"),
        ("if", "when"),
        ("condition", "when"),
        ("retries", "retry"),
        ("on_success", "on_completed"),
        ("on_failure", "on_failed"),
        ("on_error", "on_failed"),
        ("continue_on_error", "allow_failure"),
        ("continue-on-error", "allow_failure"),
        ("timeout-minutes", "timeout"),
        ("always", "always_run"),
        ("output", "outputs"),
    ],
};

pub(in super::super) const ENV_FROM: Vocabulary = Vocabulary {
    what: "an entry of env_from",
    keys: &[
        key("secrets", list(&Shape::Form("name", IDENTIFIER)), "secrets", "Names of secrets."),
        key(
            "configs",
            list(&Shape::Form("name", IDENTIFIER)),
            "secrets",
            "Names of configs that are not secret; a value that is no text is given as JSON.",
        ),
    ],
    later: &[],
    foreign: &[("secret", "secrets"), ("secretRef", "secrets"), ("config", "configs"), ("configMapRef", "configs")],
};

pub(in super::super) const BACKOFF: Vocabulary = Vocabulary {
    what: "retry_backoff",
    keys: &[
        key("initial", Shape::Duration, "backoff", "Before the first further attempt.").default("1s"),
        key("factor", Shape::Number(1.0, 100.0), "backoff", "How much longer each wait is than the one before.")
            .default("2"),
        key("max", Shape::Duration, "backoff", "The longest wait; not shorter than `initial`.").default("5m"),
        key(
            "jitter",
            Shape::OneOf(&[Shape::Choice(&["full", "none"]), Shape::Boolean]),
            "backoff",
            "`full`: the wait is a random time up to the computed one, so that many tasks do not come back at once. \
             `none`: exactly that.",
        )
        .default("full"),
    ],
    later: &[],
    foreign: &[("delay", "initial"), ("multiplier", "factor"), ("max_delay", "max"), ("base", "initial")],
};
