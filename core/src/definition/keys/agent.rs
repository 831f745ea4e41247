//! The options of AGENT tasks.

use super::{DURATION, ENVIRONMENT, Shape, TASK_NAME, Vocabulary, key, list};

/// Programs that there is an adapter for.
const CLI: Shape = Shape::OrTemplate(&Shape::Choice(&[
    "claude", "codex", "gemini", "opencode", "goose", "copilot", "cursor", "aider", "custom",
]));
/// A program and its first arguments.
const COMMAND: Shape = Shape::List(&Shape::Scalar, 1, usize::MAX);
/// A class of an agent's work.
const CLASS: Shape = Shape::Choice(&[
    "ERROR",
    "BLOCKED",
    "TESTS_FAILING",
    "NO_VERDICT",
    "NO_CHANGE",
    "MAX_TURNS",
    "BUDGET",
    "RATE_LIMITED",
    "AUTH",
    "CONTEXT",
    "POLICY",
    "STALLED",
]);

pub(in super::super) const AGENT: Vocabulary = Vocabulary {
    what: "agent",
    keys: &[
        key(
            "cli",
            CLI,
            "agent",
            "Which agent: the command line program that is started, and how it is spoken to. `custom` is any program that \
             speaks Atta's line protocol, named by `command`.",
        )
        .required(),
        key(
            "command",
            COMMAND,
            "agent",
            "The program and its first arguments, instead of the usual name on the ant's `PATH`. No template. Required \
             for `custom`.",
        ),
        key(
            "prompt",
            Shape::Template,
            "agent",
            "What the agent is to do. Values from outside may stand in it: it is data, never a command line. Excludes \
             `prompt_file`; one of the two is required.",
        ),
        key(
            "prompt_file",
            Shape::Template,
            "agent-session",
            "A file with the prompt: relative to the task's directory, or `$JOB_WORKSPACE/…`. A dependency may have made \
             it.",
        ),
        key(
            "system",
            Shape::Template,
            "agent-session",
            "Said before everything else, where the program has a place for it; otherwise it begins the prompt.",
        ),
        key(
            "skills",
            list(&Shape::Form("name", "^[A-Za-z0-9_-]{1,100}$")),
            "agent-limits",
            "Methods of work by name, whose texts are put before the prompt; see docs/agents.md for where they are looked \
             for.",
        ),
        key("model", Shape::Template, "agent-limits", "The model, in the program's own words.")
            .default("the program's own"),
        key(
            "max_turns",
            Shape::OrTemplate(&Shape::Integer(1, 100_000)),
            "agent-limits",
            "Turns of the model that an attempt may take, as we count them; beyond it the agent is killed and the class is \
             `MAX_TURNS`.",
        )
        .default("no limit"),
        key(
            "max_tokens",
            Shape::OrTemplate(&Shape::Integer(1, u32::MAX)),
            "agent-limits",
            "Tokens, in and out, that an attempt may use, without those read from a cache; beyond it the class is \
             `BUDGET`.",
        )
        .default("no limit"),
        key(
            "max_usd",
            Shape::OrTemplate(&Shape::Number(0.000_001, 1_000_000.0)),
            "agent-limits",
            "US dollars that an attempt may cost, as the program reports or the price table says; beyond it the class is \
             `BUDGET`.",
        )
        .default("no limit"),
        key(
            "account",
            Shape::Scalar,
            "agent-accounts",
            "Whose limits the agent meets. When an account is used up, all tasks that name it wait until it can be used \
             again. Short for `accounts` with one entry.",
        )
        .default("the name of the `cli`"),
        key(
            "accounts",
            list(&Shape::OneOf(&[Shape::Scalar, Shape::Mapping(&ACCOUNT)])),
            "agent-accounts",
            "Accounts to choose from when an attempt starts: names, or mappings with what the agent needs to use them. \
             Those that are used up are passed over.",
        ),
        key(
            "rotation",
            Shape::Choice(&["in_order", "least_recently_limited"]),
            "agent-accounts",
            "Which of the `accounts` that can be used: the first, or the one whose limit was met the longest ago.",
        )
        .default("in_order"),
        key(
            "allowed_tools",
            list(&Shape::Text),
            "agent-limits",
            "Tools that it may use beyond what `permission` allows, in the program's own words.",
        ),
        key(
            "permission",
            Shape::Choice(&["read", "edit", "full"]),
            "agent-limits",
            "What it may do without being asked, for nobody is there: `read`; `edit` files below its directory too; \
             `full`, whatever its process may do.",
        )
        .default("edit"),
        key(
            "resume",
            TASK_NAME,
            "agent-session",
            "The AGENT task whose session it goes on with: one that comes before it, or itself, which lets later attempts \
             of the same visit go on where the earlier ones stopped. Without a known session it begins anew.",
        ),
        key(
            "verdict",
            Shape::Mapping(&VERDICT),
            "agent",
            "What the agent's final message has to hold: a JSON object. It becomes the output `verdict`.",
        ),
        key(
            "vote",
            Shape::Integer(1, 9),
            "agent-vote",
            "So many independent sessions do the work, and the majority of their verdicts counts; without one the class is \
             `NO_VERDICT`. Needs `verdict`.",
        )
        .default("1"),
        key(
            "fallback",
            list(&Shape::Mapping(&FALLBACK)),
            "agent-limits",
            "Other programs or models that are tried in order, each when the one before ended in one of its classes.",
        ),
        key(
            "directory",
            Shape::Template,
            "agent-session",
            "Where the agent works: relative to the task's directory, `$JOB_WORKSPACE`, or below it.",
        )
        .default("the task's directory"),
        key(
            "context",
            list(&Shape::Mapping(&CONTEXT)),
            "agent-context",
            "Texts that others wrote, given to the agent as files with a frame that says so, without hidden characters and \
             comments. The prompt names them by itself. See docs/security.md.",
        ),
        key(
            "config_from",
            Shape::Template,
            "agent-context",
            "The commit or branch whose files configure the agent (`CLAUDE.md`, `.claude/`, `.mcp.json`, …), whatever the \
             checkout has; what the checkout has is put back afterwards. See docs/security.md for the list.",
        )
        .default("the checkout itself"),
        key(
            "config_paths",
            list(&Shape::Text),
            "agent-context",
            "More files that count as configuration: globs, relative to the repository.",
        ),
        key(
            "start_timeout",
            DURATION,
            "agent-limits",
            "The longest until the program says anything; then the class is `STALLED`.",
        )
        .default("2m"),
        key(
            "after_result",
            DURATION,
            "agent-limits",
            "How long its process may stay after it has given its result. Then it is killed, and the result counts.",
        )
        .default("30s"),
        key(
            "track_changes",
            Shape::Boolean,
            "agent-limits",
            "Whether files and commits are compared with what was checked out when it began (outputs `files_changed` and \
             `commits`).",
        )
        .default("true"),
        key(
            "expect_changes",
            Shape::Boolean,
            "agent-session",
            "A success that changed no file and added no commit is `NO_CHANGE`. Needs a `workspace` or a `directory`.",
        )
        .default("false"),
    ],
    later: &[],
    foreign: &[
        ("provider", "cli"),
        ("tool", "cli"),
        ("args", "command"),
        ("instructions", "prompt"),
        ("system_prompt", "system"),
        ("max_cost", "max_usd"),
        ("max_budget_usd", "max_usd"),
        ("tools", "allowed_tools"),
        ("permission_mode", "permission"),
        ("permissions", "permission"),
        ("session", "resume"),
        ("output_schema", "verdict"),
        ("schema", "verdict"),
        ("votes", "vote"),
        ("cwd", "directory"),
        ("working_directory", "directory"),
    ],
};

pub(in super::super) const CONTEXT: Vocabulary = Vocabulary {
    what: "an entry of context",
    keys: &[
        key("name", Shape::Form("name", "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$"), "agent-context", "What the file is called.")
            .required(),
        key("text", Shape::Template, "agent-context", "The text itself. One of `text`, `file` and `from` is required."),
        key(
            "file",
            Shape::Template,
            "agent-context",
            "A file: relative to the task's directory, or `$JOB_WORKSPACE/…`; with `from`, an artifact of that task.",
        ),
        key(
            "from",
            TASK_NAME,
            "agent-context",
            "A task whose artifact it is. Of a GITHUB task without `file` it is what GitHub said (the issue with its \
             comments; reviews, checks), laid out for reading; another task may leave a document of that form in \
             `tracker/result.json`. No dependency has to name the task.",
        ),
        key(
            "json_path",
            Shape::Text,
            "agent-context",
            "The part of a JSON document: keys and positions with dots.",
        ),
        key(
            "format",
            Shape::Choice(&["markdown", "plain"]),
            "agent-context",
            "`markdown`: HTML comments and hidden characters are taken out. `plain`, for code and logs: hidden characters are \
             made visible, and everything else stays.",
        )
        .default("`markdown` for results of GITHUB tasks and names with `.md`, otherwise `plain`"),
        key(
            "max_chars",
            Shape::Integer(1_000, 4_000_000),
            "agent-context",
            "The most characters; of what is longer, the middle is left out, visibly.",
        )
        .default("200000"),
        key(
            "optional",
            Shape::Boolean,
            "agent-context",
            "Without the file or artifact there is no such file, and the agent begins all the same. Otherwise the attempt is \
             `INVALID` or `ERROR`.",
        )
        .default("false"),
        key(
            "trusted_only",
            Shape::Boolean,
            "agent-issue",
            "Of what was said on GitHub, only the words of those who are trusted there, and how many others there are.",
        )
        .default("true"),
    ],
    later: &[],
    foreign: &[("path", "file"), ("task", "from"), ("content", "text"), ("artifact", "file"), ("max_length", "max_chars")],
};

pub(in super::super) const ACCOUNT: Vocabulary = Vocabulary {
    what: "an account",
    keys: &[
        key("name", Shape::Scalar, "agent-accounts", "Its name. Definitions that name the same account share it.")
            .required(),
        key(
            "environment",
            ENVIRONMENT,
            "agent-accounts",
            "Variables of agents that use this account, besides those of the task: usually a key, from a secret.",
        ),
    ],
    later: &[],
    foreign: &[("env", "environment"), ("account", "name")],
};

pub(in super::super) const VERDICT: Vocabulary = Vocabulary {
    what: "verdict",
    keys: &[
        key(
            "schema",
            Shape::Any,
            "agent",
            "A JSON Schema (draft 2020-12). The verdict is the last JSON object of the agent's final message that matches \
             it.",
        )
        .required(),
        key(
            "required",
            Shape::Boolean,
            "agent-session",
            "Without a verdict the class is `NO_VERDICT`, which is never a success. With `false` it is only absent.",
        )
        .default("true"),
        key(
            "asks",
            Shape::Integer(0, 5),
            "agent-vote",
            "How often the same session is asked again for a verdict that is missing or does not match.",
        )
        .default("1"),
        key(
            "vote_fields",
            list(&Shape::Text),
            "agent-vote",
            "The fields by which votes are counted. The verdict is then that of the first session in the majority.",
        )
        .default("the whole verdict"),
    ],
    later: &[],
    foreign: &[("json_schema", "schema"), ("retries", "asks"), ("fields", "vote_fields")],
};

pub(in super::super) const FALLBACK: Vocabulary = Vocabulary {
    what: "an entry of fallback",
    keys: &[
        key("cli", CLI, "agent-limits", "Which agent.").default("the task's"),
        key("command", COMMAND, "agent-limits", "The program and its first arguments."),
        key("model", Shape::Template, "agent-limits", "The model, in the program's own words."),
        key("on", list(&CLASS), "agent-limits", "The classes after which it is tried.")
            .default("`[RATE_LIMITED, AUTH]`"),
    ],
    later: &[],
    foreign: &[("when", "on"), ("classes", "on")],
};
