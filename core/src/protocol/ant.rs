//! Messages between the queen and an ant. Each may arrive late, twice or never; attempt id and fencing token decide
//! whether a report still counts.

use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::github::GithubOrder;
use super::terminal::{TerminalOrder, TypedInput};
use super::{AntId, AttemptId, Digest, JobId};
use crate::definition::{ArtifactsWhen, InheritEnv, KeepWorkspace, OutputSpec, Program};
use crate::engine::{AttemptResult, Failure, JobState};
use crate::secret::{SecretText, SecretValue};
use crate::time::UnixMillis;

/// Which version of these messages this program speaks. It grows when a message changes in a way that the program before
/// cannot do without; programs whose versions differ by one understand each other: what one does not know it ignores, what
/// the other does not say has a default.
pub const PROTOCOL: u32 = 1;
/// The header in which an ant says its [`PROTOCOL`].
pub const PROTOCOL_HEADER: &str = "atta-protocol";
/// The header in which an ant says who it is where the message has no place for it.
pub const ANT_HEADER: &str = "atta-ant";
/// The header in which the queen says how many bytes of a content have come.
pub const UPLOADED_HEADER: &str = "atta-uploaded";

/// The code with which the queen refuses what comes under a token that does not count any more.
pub const STALE_TOKEN: &str = "STALE_TOKEN";

/// The code with which the queen refuses what concerns a job that is set aside: the same may be taken later.
pub const JOB_DAMAGED: &str = "JOB_DAMAGED";

/// How long an attempt's lease lasts when nothing else is configured.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(30);

fn default_lease() -> Duration {
    DEFAULT_LEASE
}

/// What the queen says to an ant that has just come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Hello {
    /// Her [`PROTOCOL`].
    pub protocol: u32,
    /// Her program's version.
    pub version: String,
}

/// An ant asks for work, and says how much it can take. The answer waits until there is something to say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PollRequest {
    /// Who asks.
    pub ant: AntId,
    /// Minted anew by each ant process; a new session replaces the ant's old one.
    pub session: u64,
    /// What tells its data directory from others: only there it can be seen what its earlier processes have begun. An older
    /// program does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// How many attempts it can run at once in all.
    pub slots: u32,
    /// How many more it can take now.
    pub free_slots: u32,
    /// Its tags.
    pub tags: Vec<String>,
    /// What it can do beyond what every ant can ([`Method::beyond_every_ant`]). An older program says nothing, and is given
    /// nothing that it could not read.
    ///
    /// [`Method::beyond_every_ant`]: crate::definition::Method::beyond_every_ant
    #[serde(default)]
    pub methods: Vec<String>,
    /// Workspaces that it holds for jobs of which it has not heard that they are over.
    pub workspaces: Vec<WorkspaceId>,
    /// What it has of all that it was ever given.
    #[serde(default)]
    pub roster: Roster,
    /// Which orders have reached it.
    #[serde(default)]
    pub heard: Heard,
    /// How far attempts with a terminal have come with what was typed into them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub typed: Vec<TypedInput>,
    /// How it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<AntCondition>,
}

/// The attempts that an ant has, whichever of its processes began them. The queen compares it with what it has leased to
/// the ant: what is not in it, and was not ordered a moment ago, is not there any more.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Roster {
    /// They run, or have ended and their reports are on the way.
    pub held: Vec<HeldAttempt>,
    /// They were begun and cannot be brought to an end. Said until the queen has answered.
    pub lost: Vec<LostAttempt>,
}

/// An attempt under a lease.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HeldAttempt {
    /// Which.
    pub attempt_id: AttemptId,
    /// Its fencing token.
    pub token: u64,
}

/// An attempt that was begun and of which nothing can be said but that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostAttempt {
    /// Which.
    pub attempt_id: AttemptId,
    /// A sentence: why.
    pub reason: String,
}

/// Which orders have reached an ant. What is not in here is said again; what is in here is not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Heard {
    /// The queen's epoch that the numbers belong to.
    pub epoch: u64,
    /// All serials up to this one.
    pub upto: u64,
    /// Further ones.
    pub also: Vec<u64>,
}

/// A sign of life. Whatever an ant says is one too; this is for when it has nothing to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Who lives.
    pub ant: AntId,
    /// Its session.
    pub session: u64,
    /// Which orders have reached it.
    pub heard: Heard,
    /// How it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<AntCondition>,
}

/// What an ant says about itself, for metrics.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AntCondition {
    /// Bytes of output on its disk that wait for the queen.
    pub spool_bytes: u64,
    /// How many there may be.
    pub spool_limit_bytes: u64,
    /// How long they may wait, in milliseconds; an older program does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spool_limit_ms: Option<u64>,
    /// When the first of them was written; absent when nothing waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spool_since: Option<UnixMillis>,
    /// Reports that the queen has not heard.
    pub outbox_reports: u64,
    /// What had to be said again since it started.
    pub retries: u64,
    /// Parts that were begun anew since it started.
    pub restarts: u64,
    /// The state of its breaker towards the queen: `closed`, `open` or `half_open`.
    pub breaker: Option<String>,
}

/// Which workspace: a job has one for all its attempts that keep the Nonce.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WorkspaceId {
    /// The job.
    pub job_id: JobId,
    /// 8 hex digits: those of the job attempts that share it.
    pub nonce: String,
}

/// The answer to a poll, to a report and to a heartbeat. An ant obeys each serial of an epoch once.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Orders {
    /// Counts the queen's starts; serials begin anew with it.
    #[serde(default)]
    pub epoch: u64,
    /// To be found in [`Heard`] afterwards; 0 when there is nothing to obey.
    #[serde(default)]
    pub serial: u64,
    /// Attempts to run, each taking a slot.
    pub assignments: Vec<Assignment>,
    /// Attempts to stop.
    pub stops: Vec<StopOrder>,
    /// Reports that were refused because their token is stale: kill those trees and forget them.
    pub stale: Vec<AttemptId>,
    /// Workspaces that are not needed any more.
    pub releases: Vec<WorkspaceRelease>,
    /// What is typed into attempts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub terminal: Vec<TerminalOrder>,
}

/// A workspace's job is over, or has begun anew: keep it or remove it by its own rule. Said again as long as polls name
/// the workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceRelease {
    /// Which.
    pub workspace: WorkspaceId,
    /// How the job, or the attempt that began it, ended; `None` when the queen does not know the job.
    pub outcome: Option<JobState>,
}

/// Stop an attempt: TERM, grace, KILL; its result is still reported (CANCELLED).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopOrder {
    /// Which.
    pub attempt_id: AttemptId,
    /// Its fencing token.
    pub token: u64,
    /// A sentence: why.
    pub reason: String,
}

/// One attempt to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assignment {
    /// Which.
    pub attempt_id: AttemptId,
    /// Fencing token: every report names it.
    pub token: u64,
    /// When nothing is heard of the ant for so long, the attempt counts as lost. A third of it is the longest pause
    /// between two signs of life.
    #[serde(default = "default_lease")]
    pub lease: Duration,
    /// Its job.
    pub job_id: JobId,
    /// The job's type.
    pub job_type: String,
    /// The task's name.
    pub task: String,
    /// What to do.
    pub action: Action,
    /// Rendered environment, `ATTA_*` built-ins included.
    pub environment: IndexMap<String, String>,
    /// What of its environment nobody else may see.
    #[serde(default)]
    pub secrets: GivenSecrets,
    /// What of the ant's own environment is passed on beyond the allow-list.
    pub inherit_env: InheritEnv,
    /// Execution wall clock.
    pub timeout: Duration,
    /// Longest time without output and without CPU or file activity.
    pub idle_timeout: Option<Duration>,
    /// From TERM to KILL.
    pub kill_grace: Duration,
    /// Artifacts to lay into TASK_DIR before the first command, in order; a later one wins.
    pub inputs: Vec<ArtifactInput>,
    /// Files to keep afterwards.
    pub artifacts: Option<ArtifactRules>,
    /// The directory that it shares with other tasks of its job.
    pub workspace: Option<WorkspaceOrder>,
    /// Files that come back in later jobs.
    pub cache: Option<CacheOrder>,
    /// Outputs to read afterwards.
    pub outputs: Vec<OutputSpec>,
}

/// The secrets that an attempt is given.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct GivenSecrets {
    /// Environment variables with secrets in them, besides [`Assignment::environment`].
    pub environment: IndexMap<String, SecretText>,
    /// The secrets themselves: redacted from whatever leaves the ant.
    pub values: Vec<SecretValue>,
}

/// What an attempt does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Action {
    /// Run a script.
    Shell {
        /// What the script is given to.
        program: Program,
        /// `before_script` and `script`, rendered, one file.
        script: RenderedScript,
        /// `after_script`, rendered; its own process, cannot change the result.
        after_script: Option<RenderedScript>,
        /// Whether the script runs on a terminal.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        tty: bool,
    },
    /// Make an HTTP request.
    Http(Box<HttpRequest>),
    /// Let a coding agent work.
    Agent(Box<super::agent::AgentOrder>),
    /// Ask GitHub for something.
    Github(Box<GithubOrder>),
}

impl Action {
    /// Whether its script runs on a terminal.
    pub fn has_terminal(&self) -> bool {
        matches!(self, Self::Shell { tty: true, .. })
    }
}

/// A request with everything rendered but what only the environment holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpRequest {
    /// GET, POST, PUT, PATCH or DELETE.
    pub verb: String,
    /// Where to, without `query`.
    pub url: String,
    /// Added to the URL.
    pub query: Vec<(String, String)>,
    /// Header fields.
    pub headers: Vec<(String, Vec<RenderedPart>)>,
    /// What is sent.
    pub body: RequestBody,
    /// How many redirects are followed.
    pub follow_redirects: u32,
    /// Bytes of the answer's body beyond which the attempt is INVALID.
    pub max_body: u64,
    /// To resolve the name, connect and agree on TLS.
    pub connect_timeout: Duration,
    /// Hosts, addresses and networks that the definition asks to be let through although they are private.
    pub allow: Vec<String>,
    /// The definition asks for all private addresses.
    pub allow_private: bool,
    /// PEM file with further certificate authorities.
    pub ca_file: Option<String>,
    /// Where the body is kept, relative to TASK_DIR.
    pub save_as: Option<String>,
}

/// What a request sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestBody {
    /// Nothing.
    None,
    /// Text as it is.
    Text(String),
    /// A JSON document.
    Json(serde_json::Value),
    /// Pairs, to be URL-encoded.
    Form(Vec<(String, Vec<RenderedPart>)>),
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RenderedPart {
    /// As it is.
    Text(String),
    /// The value of a variable of the attempt's environment.
    Variable(String),
}

/// A script whose template expressions were bound to shell variables.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RenderedScript {
    /// Assignments of bound values, one shell word each, sourced on the script's first line; empty when nothing is bound.
    pub preamble: String,
    /// The script text; line numbers equal the definition's.
    pub text: String,
}

/// The artifacts of one dependency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactInput {
    /// The task that made them.
    pub task: String,
    /// The files.
    pub files: Vec<ArtifactFile>,
}

/// One stored file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ArtifactFile {
    /// Relative path with `/`; never absolute, never with `..`.
    pub path: String,
    /// Its content.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// Whether the owner may execute it.
    pub executable: bool,
}

/// Which files an attempt keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRules {
    /// Rendered globs relative to TASK_DIR.
    pub paths: Vec<String>,
    /// Globs to leave out.
    pub exclude: Vec<String>,
    /// On which outcomes.
    pub when: ArtifactsWhen,
}

/// The directory that the tasks of a job share, in the environment as `JOB_WORKSPACE`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkspaceOrder {
    /// Which.
    pub id: WorkspaceId,
    /// A task has started in it before: when it is not there any more, the attempt is INVALID.
    pub made: bool,
    /// Whether it stays when the job is over.
    pub keep: KeepWorkspace,
    /// How long a kept one stays.
    pub ttl: Duration,
    /// The most bytes that it may have after the task.
    pub size_limit: Option<u64>,
    /// What it holds at the beginning.
    pub git: Option<GitOrder>,
}

/// A worktree of a repository. Names and address have been checked; the ant checks them again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitOrder {
    /// Address of the repository; may hold a password.
    pub url: String,
    /// Branch, tag or commit to begin with; the default branch when absent.
    pub reference: Option<String>,
    /// The branch to make; a detached HEAD when absent.
    pub branch: Option<String>,
    /// Work that is on no branch of the remote may be removed with the workspace.
    pub discard_unpushed: bool,
}

/// Files that are laid down before the first command and stored after a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheOrder {
    /// What they are stored and found under, within the job's type.
    pub key: String,
    /// Files and directories: relative to TASK_DIR, or `$JOB_WORKSPACE/…`.
    pub paths: Vec<String>,
    /// Beginnings of other keys that are good enough, the best first.
    pub restore_keys: Vec<String>,
}

/// Reports in order of their sequence numbers; the queen applies each once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportBatch {
    /// Who reports.
    pub ant: AntId,
    /// The ant process's session.
    pub session: u64,
    /// Which orders have reached it.
    #[serde(default)]
    pub heard: Heard,
    /// The reports.
    pub reports: Vec<Report>,
}

/// One report about one attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Which attempt.
    pub attempt_id: AttemptId,
    /// Its fencing token.
    pub token: u64,
    /// Counts from 1 per attempt.
    pub sequence: u64,
    /// When it happened, by the ant's clock.
    pub at: UnixMillis,
    /// What happened.
    pub body: ReportBody,
}

/// What happened to an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ReportBody {
    /// Its process runs.
    Started {
        /// How the tree is contained: `cgroup.kill`, `freezer` or `subreaper`.
        isolation: String,
    },
    /// It has ended, its artifacts and log are stored; frees its slot.
    Finished(Box<AttemptReport>),
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptReport {
    /// Exit code or named result.
    pub result: AttemptResult,
    /// Why, when it is no success.
    pub failure: Option<Failure>,
    /// Outputs, of failed attempts too.
    pub outputs: IndexMap<String, serde_json::Value>,
    /// What was kept.
    pub artifacts: Vec<ArtifactFile>,
    /// For people: a glob that matched nothing, an artifact that another one replaced, a `after_script` that failed, …
    pub warnings: Vec<String>,
    /// Bytes of log that were produced (0: there is no log).
    pub log_bytes: u64,
    /// Another attempt should not begin earlier than so long after this one's end; at most a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
    /// What is known of an agent, however its attempt ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Box<super::agent::AgentRecord>>,
}

/// A piece of an attempt's log: both streams in order of arrival.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogChunk {
    /// Which attempt.
    pub attempt_id: AttemptId,
    /// Its fencing token.
    pub token: u64,
    /// Byte offset of the first byte in the attempt's log.
    pub offset: u64,
    /// Consecutive segments that together cover the bytes.
    pub segments: Vec<LogSegment>,
    /// The bytes as the process wrote them.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

/// A run of bytes from one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSegment {
    /// Which stream.
    pub stream: LogStream,
    /// When it was read.
    pub at: UnixMillis,
    /// How many bytes.
    pub len: u32,
}

/// A stream of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// What Atta itself says (warnings, the reason of a kill).
    System,
}
