//! The typed form of a job definition. Every value here has been checked; spans lead back to the source text.

use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::github::GithubOptions;
use super::http::HttpOptions;
use super::{ApprovalOptions, AwaitOptions, ExpireOptions, ForkOptions, SubmitJobsOptions, Trigger};

/// A region of the source text: byte offsets, end exclusive. Lines and columns are derived from the text when shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Span {
    /// Byte offset of the first byte.
    pub start: usize,
    /// Byte offset after the last byte.
    pub end: usize,
}

/// Text that is a template: rendered when it is needed, never while YAML is parsed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateText {
    /// The template source, as the YAML scalar's value.
    pub source: String,
    /// Where the scalar stands.
    pub span: Span,
}

/// A value that is given, or is one whole `{{ template }}` over params and job variables, resolved when a job is created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Field<T> {
    /// Given literally.
    Value(T),
    /// To be rendered when the job is created.
    Template(TemplateText),
}

impl<T> Field<T> {
    /// The literal value; `None` while it is still a template.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Template(_) => None,
        }
    }
}

/// A checked job definition: one YAML file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobDefinition {
    /// Unique name within the organisation.
    pub job_type: String,
    /// Optional semantic version given by the author.
    pub version: Option<String>,
    /// Markdown template shown to people.
    pub description: Option<TemplateText>,
    /// Free labels.
    pub labels: IndexMap<String, String>,
    /// Typed parameters; `required_params` are folded in as required strings.
    pub params: IndexMap<String, ParamSpec>,
    /// Defaults for template variables; string leaves are templates.
    pub job_variables: IndexMap<String, VariableValue>,
    /// Environment of every task (defaults already merged below task level by [`TaskDefinition::environment`]).
    pub environment: IndexMap<String, TemplateText>,
    /// When the job starts by itself.
    pub schedule: Option<Schedule>,
    /// What else starts it.
    pub triggers: Vec<Trigger>,
    /// Evaluated before anything is allocated; truthy text skips the job.
    pub skip_if: Option<TemplateText>,
    /// Jobs of this type that may be RUNNING at once.
    pub max_concurrency: Option<u32>,
    /// A key that one job at a time may hold.
    pub concurrency: Option<Concurrency>,
    /// Order of dispatch.
    pub priority: Priority,
    /// Deduplication key among non-terminal jobs of the organisation.
    pub user_key: Option<TemplateText>,
    /// Wall clock of a job attempt, counted while RUNNING.
    pub timeout: Option<Field<Duration>>,
    /// Extra job attempts and the delay before each.
    pub retry: RetryPolicy,
    /// What a job retry keeps.
    pub retry_from: RetryFrom,
    /// Which failures decide the verdict.
    pub fail_on: FailOn,
    /// The first unrouted failure stops the job.
    pub fail_fast: bool,
    /// A paused job resumes by itself after this long.
    pub resume_after: Option<Field<Duration>>,
    /// Environment of the ant that is passed on.
    pub inherit_env: InheritEnv,
    /// A directory that the tasks share.
    pub workspace: Option<super::WorkspaceSpec>,
    /// How long the job is kept after its end.
    pub retention: Retention,
    /// What the job is to achieve.
    pub outcome: Option<super::OutcomeSpec>,
    /// Who is told of what (`notify`, and `webhook` as one more entry).
    pub notify: Vec<super::Notification>,
    /// What its agents may use up together.
    pub budget: Option<super::Budget>,
    /// The tasks, in declaration order.
    pub tasks: Vec<TaskDefinition>,
}

/// How long a job is kept after it ended so; the server's own default where absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the states")]
pub struct Retention {
    pub completed: Option<Duration>,
    pub failed: Option<Duration>,
    pub blocked: Option<Duration>,
    pub cancelled: Option<Duration>,
    pub skipped: Option<Duration>,
}

/// A key that one job at a time may hold, from its start to its end, across definitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concurrency {
    /// Rendered when the job is submitted.
    pub key: TemplateText,
    /// What happens while another job holds it.
    pub on_conflict: OnConflict,
}

/// What happens to a job while another one holds its concurrency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// It waits.
    #[default]
    Queue,
    /// It ends SKIPPED.
    Skip,
    /// The other one is cancelled, and it waits for its end.
    CancelRunning,
}

/// The most items of a `fan_out`.
pub const MOST_ITEMS: u32 = 10_000;

/// One instance of a task per item of an array.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FanOut {
    /// A template that gives a JSON array, or a list with templates in its texts.
    pub items: VariableValue,
    /// What the item is called in the templates of the task.
    pub item_var: String,
    /// Names the instances, rendered for each; their positions when absent.
    pub key: Option<TemplateText>,
    /// Instances that may be READY or run at once.
    pub max_parallel: Option<Field<u32>>,
    /// The first failure stops the others.
    pub fail_fast: bool,
    /// Where it stands.
    pub span: Span,
}

/// A typed job parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParamSpec {
    /// The declared type; string when only listed in `required_params`.
    pub param_type: ParamType,
    /// A submit without it is refused.
    pub required: bool,
    /// Used when the submit does not name it.
    pub default: Option<serde_json::Value>,
    /// The allowed values.
    pub allowed: Option<Vec<serde_json::Value>>,
    /// A regular expression that a string value must match somewhere.
    pub pattern: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Where it is declared.
    pub span: Span,
}

/// The type of a parameter or output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "JSON's own types")]
pub enum ParamType {
    String,
    Integer,
    Number,
    Boolean,
    Object,
    Array,
}

/// A job variable: JSON-like, with templates at its string leaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum VariableValue {
    /// A string: always a template.
    Text(TemplateText),
    /// null, a boolean or a number.
    Scalar(serde_json::Value),
    /// A list.
    List(Vec<VariableValue>),
    /// A mapping.
    Map(IndexMap<String, VariableValue>),
}

impl VariableValue {
    /// Visits each template in it, in order.
    pub fn for_each_template<'v>(&'v self, visit: &mut impl FnMut(&'v TemplateText)) {
        match self {
            Self::Text(template) => visit(template),
            Self::Scalar(_) => {}
            Self::List(items) => items.iter().for_each(|item| item.for_each_template(visit)),
            Self::Map(entries) => entries.values().for_each(|item| item.for_each_template(visit)),
        }
    }

    /// The value with what `render` makes of each template in its place; the first error ends it.
    pub fn to_json<E>(
        &self,
        render: &mut impl FnMut(&TemplateText) -> Result<serde_json::Value, E>,
    ) -> Result<serde_json::Value, E> {
        Ok(match self {
            Self::Text(template) => render(template)?,
            Self::Scalar(value) => value.clone(),
            Self::List(items) => {
                serde_json::Value::Array(items.iter().map(|item| item.to_json(render)).collect::<Result<_, E>>()?)
            }
            Self::Map(entries) => {
                let entries = entries.iter().map(|(key, item)| Ok((key.clone(), item.to_json(render)?)));
                serde_json::Value::Object(entries.collect::<Result<_, E>>()?)
            }
        })
    }
}

/// When a job starts by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Cron lines as written (5, 6 or 7 fields), each checked.
    pub expressions: Vec<String>,
    /// IANA zone name.
    pub timezone: String,
    /// What happens to ticks that were missed.
    pub misfire: Misfire,
}

/// What happens to schedule ticks that passed while nobody looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Misfire {
    /// They are dropped, visibly.
    #[default]
    Skip,
    /// One job for all of them.
    RunOnce,
    /// One job each.
    RunAll,
}

/// Order of dispatch; the first is the most urgent.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Priority {
    Critical,
    High,
    #[default]
    Normal,
    Low,
}

/// What a job retry keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RetryFrom {
    /// Completed tasks keep their state, outputs and artifacts; the Nonce stays.
    #[default]
    Failed,
    /// Everything anew, with a new Nonce.
    Start,
}

/// Which failures make the job FAILED.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailOn {
    /// Only failures that no route handled.
    #[default]
    Unhandled,
    /// Every failure without `allow_failure`.
    AnyFailure,
}

/// Environment variables of the ant that a task may see beyond the allow-list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum InheritEnv {
    /// None.
    #[default]
    None,
    /// These.
    Names(Vec<String>),
    /// All of them.
    All,
}

/// Extra attempts and the delay before each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Extra attempts; 0 is none.
    pub retries: Field<u32>,
    /// The delay before each extra attempt.
    pub delay: RetryDelay,
    /// Routes that are decisions but are retried all the same (task level only).
    pub retry_on: Vec<RouteMatch>,
}

/// The delay before an extra attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum RetryDelay {
    /// The same each time.
    Constant(Field<Duration>),
    /// `initial · factor^(n-1)`, at most `max`; with full jitter the actual delay is uniform in `0..=that`.
    Exponential {
        /// Before the first extra attempt.
        initial: Duration,
        /// At least 1.
        factor: f64,
        /// Upper bound.
        max: Duration,
        /// Full jitter, or none.
        jitter: bool,
    },
}

impl Default for RetryDelay {
    fn default() -> Self {
        Self::Exponential { initial: Duration::from_secs(1), factor: 2.0, max: Duration::from_mins(5), jitter: true }
    }
}

/// A secret or a config that becomes an environment variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvReference {
    /// Its name, and the variable's.
    pub name: String,
    /// A secret; else a config.
    pub secret: bool,
    /// Where the name stands.
    pub span: Span,
}

impl JobDefinition {
    /// Whether a task of it is an agent's.
    pub fn has_agents(&self) -> bool {
        self.tasks.iter().any(|task| task.method.agent().is_some())
    }
}

/// One node of the workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskDefinition {
    /// `task_type`: the node's name, unique in the definition.
    pub name: String,
    /// Where the name stands.
    pub span: Span,
    /// For people.
    pub description: Option<TemplateText>,
    /// What it does.
    pub method: Method,
    /// Environment on top of the job's.
    pub environment: IndexMap<String, TemplateText>,
    /// Secrets and configs that become environment variables of the same name.
    pub env_from: Vec<EnvReference>,
    /// Order and artifacts; `None` when the key is absent (`dependencies: []` is `Some(vec![])`).
    pub dependencies: Option<Vec<Dependency>>,
    /// Where to go next, in declaration order (`on_completed`/`on_failed` are entries COMPLETED/FAILED).
    pub routes: Vec<Route>,
    /// Runs exactly once per job attempt, whatever happened.
    pub always_run: bool,
    /// A failure counts as completed.
    pub allow_failure: bool,
    /// Falsy text skips the task (`except` is folded in as a negation).
    pub when: Option<Condition>,
    /// Execution wall clock of one attempt.
    pub timeout: Field<Duration>,
    /// Longest time without output and without CPU or file activity.
    pub idle_timeout: Option<Field<Duration>>,
    /// Longest time that an attempt waits for an ant.
    pub queue_timeout: Option<Field<Duration>>,
    /// From TERM to KILL.
    pub kill_grace: Field<Duration>,
    /// Extra attempts.
    pub retry: RetryPolicy,
    /// Bound of the loop whose header this task is.
    pub max_visits: Option<u32>,
    /// One instance per item.
    pub fan_out: Option<FanOut>,
    /// Files to keep.
    pub artifacts: Option<ArtifactsSpec>,
    /// Files that come back in later jobs.
    pub cache: Option<super::CacheSpec>,
    /// Declared outputs.
    pub outputs: Vec<OutputSpec>,
    /// Whether stdout is shown in reports.
    pub report_stdout: bool,
    /// Overrides the job's.
    pub priority: Option<Priority>,
    /// The ant must have all of these.
    pub tags: Vec<TemplateText>,
}

/// A condition on a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// The template whose text is judged by [`crate::template::is_truthy`].
    pub template: TemplateText,
    /// `except`: the judgement is turned round.
    pub negated: bool,
}

/// What a task does; each method has its own options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Method {
    /// Commands in one shell process on the ant.
    Shell(ShellOptions),
    /// An HTTP request, made by the ant.
    Http(HttpOptions),
    /// Something on GitHub, asked for by the ant.
    Github(Box<GithubOptions>),
    /// One job per item.
    SubmitJobs(SubmitJobsOptions),
    /// A job inside this one.
    ForkJob(ForkOptions),
    /// Waits for forked jobs.
    AwaitForkedJob(AwaitOptions),
    /// A coding agent at work, on the ant.
    Agent(Box<super::AgentOptions>),
    /// Waits for people.
    Approval(ApprovalOptions),
    /// Removes stored artifacts.
    ExpireArtifacts(ExpireOptions),
}

impl Method {
    /// The commands, when that is what it is.
    pub fn shell(&self) -> Option<&ShellOptions> {
        match self {
            Self::Shell(options) => Some(options),
            _ => None,
        }
    }

    /// The agent's options, when that is what it is.
    pub fn agent(&self) -> Option<&super::AgentOptions> {
        match self {
            Self::Agent(options) => Some(options),
            _ => None,
        }
    }

    /// Methods of ants that the first ones with a line of their own did not have.
    pub const BEYOND_EVERY_ANT: [&'static str; 3] = ["AGENT", "GITHUB", Self::TTY];

    /// As ants call it that they can give a script a terminal.
    pub const TTY: &'static str = "TTY";

    /// Its name, when there are ants that cannot do it.
    pub fn beyond_every_ant(&self) -> Option<&'static str> {
        match self {
            Self::Agent(_) => Some(Self::BEYOND_EVERY_ANT[0]),
            Self::Github(_) => Some(Self::BEYOND_EVERY_ANT[1]),
            _ if self.has_terminal() => Some(Self::TTY),
            _ => None,
        }
    }

    /// Whether it is a script on a terminal.
    pub fn has_terminal(&self) -> bool {
        self.shell().is_some_and(|shell| shell.tty)
    }

    /// Whether it can use the workspace of its job.
    pub fn uses_workspace(&self) -> bool {
        matches!(self, Self::Shell(_) | Self::Agent(_))
    }

    /// Whether its result is a status, and its outputs come from an answer.
    pub fn asks_over_http(&self) -> bool {
        matches!(self, Self::Http(_) | Self::Github(_))
    }

    /// Whether doing it a second time changes nothing, so that an attempt that an ant has lost may simply run again.
    pub fn may_run_twice(&self) -> bool {
        matches!(self, Self::Github(_))
    }

    /// Whether an ant does it; the queen does the others herself.
    pub fn runs_on_ant(&self) -> bool {
        matches!(self, Self::Shell(_) | Self::Http(_) | Self::Agent(_) | Self::Github(_))
    }
}

/// Options of `method: SHELL`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShellOptions {
    /// Runs first, in the same process as `script`.
    pub before_script: Vec<TemplateText>,
    /// The commands.
    pub script: Vec<TemplateText>,
    /// Always runs afterwards, in a process of its own; cannot change the result.
    pub after_script: Vec<TemplateText>,
    /// The program and its leading arguments.
    pub program: Program,
    /// Whether `script` runs on a terminal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tty: bool,
}

/// What a script is given to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Program {
    /// `[bash, -euo, pipefail]`, or `[sh, -eu]` where the ant has no bash.
    DefaultShell,
    /// A POSIX shell by name with options (`shell:`): scripts get contextual quoting.
    Shell(Vec<String>),
    /// Any other program (`interpreter:`): the script is its source file, values from outside must come by environment.
    Interpreter(Vec<String>),
}

/// An edge that orders and brings artifacts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// The task that it names.
    pub task: String,
    /// Waited for, but any outcome satisfies it.
    pub optional: bool,
    /// Whether its artifacts are downloaded.
    pub artifacts: bool,
    /// Where it stands.
    pub span: Span,
}

/// One route of a task: on this result, go there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// What it matches.
    pub matches: RouteMatch,
    /// What happens then.
    pub target: RouteTarget,
    /// With `{goto, max}`: after so many uses per entry into the loop the entry does not match any more.
    pub max: Option<u32>,
    /// Where it stands.
    pub span: Span,
}

/// What a route matches, from most to least specific.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RouteMatch {
    /// An exact exit code (0–255; for HTTP a status).
    Code(u16),
    /// An inclusive range of exit codes.
    Range(u16, u16),
    /// A result by name.
    Result(crate::engine::ResultName),
    /// A class of an agent's work, by name.
    Agent(crate::engine::AgentClass),
    /// Success.
    Completed,
    /// Failure.
    Failed,
    /// Anything.
    Any,
}

/// What a route does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteTarget {
    /// Start these tasks, in parallel.
    Tasks(Vec<String>),
    /// Treat as completed and follow that route.
    Completed,
    /// Treat as failed and follow that route.
    Failed,
    /// The job stops and fails; no retry of any kind.
    Fatal,
    /// A new attempt, consuming `retry`.
    RestartTask,
    /// Stop, then a new job attempt from the start, consuming the job's `retry`.
    RestartJob,
    /// The job pauses; on resume the task gets a new attempt.
    PauseJob,
    /// "Not yet": a new attempt of the same visit later.
    Reschedule {
        /// How long to wait.
        after: Field<Duration>,
        /// How long after the visit's first start the result becomes EXPIRED.
        until: Field<Duration>,
    },
    /// The path ends; the job is COMPLETED as far as this path goes.
    EndCompleted,
    /// The path ends; the job is FAILED.
    EndFailed,
    /// The path ends; the job is BLOCKED.
    EndBlocked,
    /// Failed with this error code (with the leading `ERR_`).
    Error(String),
}

/// Files that a task keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactsSpec {
    /// Globs relative to TASK_DIR. Checked: no absolute path, no `..`.
    pub paths: Vec<TemplateText>,
    /// Globs to leave out.
    pub exclude: Vec<String>,
    /// On which outcomes they are kept.
    pub when: ArtifactsWhen,
    /// The group under which they are listed and fetched together.
    pub name: Option<String>,
    /// How long they are kept; as long as the job when absent.
    pub expire_after: Option<Field<Duration>>,
}

/// On which outcomes artifacts are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum ArtifactsWhen {
    #[default]
    Always,
    OnSuccess,
    OnFailure,
}

/// A declared output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputSpec {
    /// Its name.
    pub name: String,
    /// Where its value comes from.
    pub source: OutputSource,
    /// A dotted path into a JSON document (`a.b.0`), when `source` is JSON.
    pub json_path: Option<String>,
    /// The declared type; anything when absent.
    pub output_type: Option<ParamType>,
    /// A JSON Schema that the value must match; checked when the definition was loaded.
    pub schema: Option<serde_json::Value>,
    /// Where it stands.
    pub span: Span,
}

/// Where an output's value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputSource {
    /// Lines or JSON written to the file `$ATTA_OUTPUT`.
    OutputFile,
    /// A file relative to TASK_DIR.
    File(String),
    /// The attempt's stdout.
    Stdout,
    /// A file relative to TASK_DIR that is among the kept artifacts.
    Artifact(String),
    /// The body of the HTTP answer.
    Body,
}
