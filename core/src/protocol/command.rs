//! What an ant was told to do in an attempt, as it is kept and as the HTTP API answers it. Secrets are named and not in it.
//!
//! It is stored as it is answered: what is added later needs a default, and nothing is renamed.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::agent::{
    AgentChoice, AgentLimits, AgentOrder, AgentPermission, AgentPrompt, AgentSession, ContextFile, Fallback,
    VerdictOrder,
};
use super::ant::{
    Action, ArtifactFile, ArtifactRules, Assignment, CacheOrder, HttpRequest, RenderedPart, RenderedScript,
    RequestBody, WorkspaceOrder,
};
use super::github::{GithubCredential, GithubOrder};
use crate::definition::{ArtifactsWhen, InheritEnv, KeepWorkspace, Program, redacted_git_url};
use crate::redact::MARK;
use crate::time::UnixMillis;

/// Files of a dependency that are listed; more are counted.
const FILES: usize = 50;

/// What an ant was told to do in an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CommandResource {
    /// When it was given to the ant.
    pub given_at: String,
    /// The task's name.
    pub task_type: String,
    /// What to do.
    pub action: CommandAction,
    /// Where: `TASK_DIR`, or a directory below it or below `$JOB_WORKSPACE`.
    pub directory: String,
    /// The environment that it was given, in order. Of a secret only the name is known.
    pub environment: Vec<CommandVariable>,
    /// What of the ant's own environment is passed on besides PATH, HOME, the locale and the like.
    pub inherits: InheritedEnvironment,
    /// The names of the secrets that it was given.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// The longest time that it may take, in milliseconds.
    pub timeout_ms: u64,
    /// The longest time without output, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout_ms: Option<u64>,
    /// From TERM to KILL, in milliseconds.
    pub kill_grace_ms: u64,
    /// Artifacts that are laid into TASK_DIR before it begins, in order; a later one wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<CommandInput>,
    /// Files that are kept afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<CommandArtifacts>,
    /// The directory that it shares with other tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<CommandWorkspace>,
    /// Files that come back in later jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CommandCache>,
    /// Names of the outputs that are read afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<String>,
    /// Long texts are cut in their middle: it was told all of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "method", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CommandAction {
    /// Run a script.
    Shell(ShellCommand),
    /// Make an HTTP request.
    Http(HttpCommand),
    /// Let a coding agent work.
    Agent(Box<AgentCommand>),
    /// Ask GitHub for something.
    Github(GithubCommand),
}

/// A script and what it is given to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShellCommand {
    /// What runs it.
    pub program: CommandProgram,
    /// Program and options; empty for the default shell: `bash -euo pipefail`, or `sh -eu` where there is no bash.
    pub words: Vec<String>,
    /// `before_script` and `script`.
    pub script: CommandScript,
    /// `after_script`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_script: Option<CommandScript>,
    /// The script runs on a terminal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tty: bool,
}

/// What runs a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommandProgram {
    /// The default shell.
    DefaultShell,
    /// A POSIX shell with options.
    Shell,
    /// Any other program: the script is its source file.
    Interpreter,
}

/// A script whose template expressions were bound to shell variables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommandScript {
    /// Assignments of the bound values, read before the first line; empty when nothing is bound.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub preamble: String,
    /// The text.
    pub text: String,
}

/// An HTTP request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HttpCommand {
    /// GET, POST, PUT, PATCH or DELETE.
    pub verb: String,
    /// Where to, without `query`.
    pub url: String,
    /// Added to the URL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<CommandField>,
    /// Header fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<CommandField>,
    /// A text that is sent as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// A JSON document that is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
    /// Pairs that are sent, URL-encoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<Vec<CommandField>>,
    /// How many redirects are followed.
    pub follow_redirects: u32,
    /// The most bytes of an answer's body.
    pub max_body: u64,
    /// The longest time to connect, in milliseconds.
    pub connect_timeout_ms: u64,
    /// Where the body is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub save_as: Option<String>,
}

/// A pair of texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CommandField {
    /// Its name.
    pub name: String,
    /// Its value, in pieces.
    pub value: Vec<CommandText>,
}

/// A piece of a text: one of both.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct CommandText {
    /// As it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The value of this variable of the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
}

/// What an agent is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AgentCommand {
    /// Program and model.
    pub choice: AgentChoice,
    /// What is tried afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<Fallback>,
    /// The prompt; absent when it is in a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The file that the prompt is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_file: Option<String>,
    /// Said before everything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Names of methods of work that are put before the prompt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skills: Vec<String>,
    /// What it may do without being asked.
    pub permission: AgentPermission,
    /// Tools that it may use beyond that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_tools: Vec<String>,
    /// The session that it goes on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<AgentSession>,
    /// What its final message has to hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<VerdictOrder>,
    /// Sessions whose verdicts are compared.
    pub vote: u32,
    /// What it may use up.
    pub limits: AgentLimits,
    /// The longest silence before its first event, in milliseconds.
    pub start_timeout_ms: u64,
    /// Texts of others that it is given as files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<ContextFile>,
    /// The commit whose files configure it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_from: Option<String>,
}

/// What GitHub is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GithubCommand {
    /// The operation, as definitions name it.
    pub operation: String,
    /// What it is given.
    pub settings: Map<String, Value>,
    /// Who asks: `token` or `app`.
    pub credential: String,
    /// The id of the App.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Where the API is.
    pub api_url: String,
    /// How long one answer may take, in milliseconds.
    pub request_timeout_ms: u64,
    /// What tells the texts that it writes from all others.
    pub marker: String,
}

/// A variable of the environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommandVariable {
    /// Its name.
    pub name: String,
    /// Its value; `***` for one with a secret in it.
    pub value: String,
    /// Whether there is a secret in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

/// What of the ant's own environment is passed on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct InheritedEnvironment {
    /// All of it.
    pub all: bool,
    /// These.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

/// The artifacts of one dependency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommandInput {
    /// The task that made them.
    pub task: String,
    /// The files, the first 50.
    pub files: Vec<ArtifactFile>,
    /// How many there are besides.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Which files are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommandArtifacts {
    /// Globs relative to TASK_DIR.
    pub paths: Vec<String>,
    /// Globs to leave out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// `always`, `on_success` or `on_failure`.
    pub when: String,
}

/// The directory that the tasks of a job share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommandWorkspace {
    /// The Nonce of the job attempts that share it.
    pub nonce: String,
    /// A task has started in it before.
    pub made: bool,
    /// `never`, `on_failure` or `always`.
    pub keep: String,
    /// The repository, without passwords.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Branch, tag or commit to begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The branch that is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

/// Files that come back in later jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommandCache {
    /// What they are stored and found under.
    pub key: String,
    /// Files and directories.
    pub paths: Vec<String>,
    /// Beginnings of other keys that are good enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restore_keys: Vec<String>,
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl CommandResource {
    /// What an assignment says, without the values of its secrets where they are known to be. What else may hold one is for
    /// the redactor.
    pub fn of(assignment: &Assignment, given_at: UnixMillis) -> Self {
        let plain = assignment.environment.iter();
        let plain =
            plain.map(|(name, value)| CommandVariable { name: name.clone(), value: value.clone(), secret: false });
        let secret = assignment.secrets.environment.keys();
        let secret = secret.map(|name| CommandVariable { name: name.clone(), value: MARK.to_owned(), secret: true });
        let directory = match &assignment.action {
            Action::Agent(order) => order.directory.clone(),
            _ => None,
        };
        Self {
            given_at: given_at.to_rfc3339(),
            task_type: assignment.task.clone(),
            action: action(&assignment.action),
            directory: directory.unwrap_or_else(|| "TASK_DIR".to_owned()),
            environment: plain.chain(secret).collect(),
            inherits: inherits(&assignment.inherit_env),
            secrets: assignment.secrets.values.iter().map(|secret| secret.name.clone()).collect(),
            timeout_ms: millis(assignment.timeout),
            idle_timeout_ms: assignment.idle_timeout.map(millis),
            kill_grace_ms: millis(assignment.kill_grace),
            inputs: assignment
                .inputs
                .iter()
                .map(|input| CommandInput {
                    task: input.task.clone(),
                    files: input.files.iter().take(FILES).cloned().collect(),
                    more: input.files.len().saturating_sub(FILES) as u64,
                })
                .collect(),
            artifacts: assignment.artifacts.as_ref().map(artifacts),
            workspace: assignment.workspace.as_ref().map(workspace),
            cache: assignment.cache.as_ref().map(cache),
            outputs: assignment.outputs.iter().map(|output| output.name.clone()).collect(),
            cut: false,
        }
    }
}

fn action(action: &Action) -> CommandAction {
    match action {
        Action::Shell { program, script, after_script, tty } => {
            let (kind, words) = match program {
                Program::DefaultShell => (CommandProgram::DefaultShell, Vec::new()),
                Program::Shell(words) => (CommandProgram::Shell, words.clone()),
                Program::Interpreter(words) => (CommandProgram::Interpreter, words.clone()),
            };
            let (script, after_script) = (self::script(script), after_script.as_ref().map(self::script));
            CommandAction::Shell(ShellCommand { program: kind, words, script, after_script, tty: *tty })
        }
        Action::Http(request) => CommandAction::Http(http(request)),
        Action::Agent(order) => CommandAction::Agent(Box::new(agent(order))),
        Action::Github(order) => CommandAction::Github(github(order)),
    }
}

fn script(script: &RenderedScript) -> CommandScript {
    CommandScript { preamble: script.preamble.clone(), text: script.text.clone() }
}

fn pieces(parts: &[RenderedPart]) -> Vec<CommandText> {
    let piece = |part: &RenderedPart| match part {
        RenderedPart::Text(text) => CommandText { text: Some(text.clone()), variable: None },
        RenderedPart::Variable(name) => CommandText { text: None, variable: Some(name.clone()) },
    };
    parts.iter().map(piece).collect()
}

fn fields(pairs: &[(String, Vec<RenderedPart>)]) -> Vec<CommandField> {
    pairs.iter().map(|(name, parts)| CommandField { name: name.clone(), value: pieces(parts) }).collect()
}

fn http(request: &HttpRequest) -> HttpCommand {
    let query = request.query.iter().map(|(name, value)| CommandField {
        name: name.clone(),
        value: vec![CommandText { text: Some(value.clone()), variable: None }],
    });
    let (text, json, form) = match &request.body {
        RequestBody::None => (None, None, None),
        RequestBody::Text(text) => (Some(text.clone()), None, None),
        RequestBody::Json(value) => (None, Some(value.clone()), None),
        RequestBody::Form(pairs) => (None, None, Some(fields(pairs))),
    };
    HttpCommand {
        verb: request.verb.clone(),
        url: request.url.clone(),
        query: query.collect(),
        headers: fields(&request.headers),
        text,
        json,
        form,
        follow_redirects: request.follow_redirects,
        max_body: request.max_body,
        connect_timeout_ms: millis(request.connect_timeout),
        save_as: request.save_as.clone(),
    }
}

fn agent(order: &AgentOrder) -> AgentCommand {
    let (prompt, prompt_file) = match &order.prompt {
        AgentPrompt::Text(text) => (Some(text.clone()), None),
        AgentPrompt::File(file) => (None, Some(file.clone())),
    };
    AgentCommand {
        choice: order.choice.clone(),
        fallback: order.fallback.clone(),
        prompt,
        prompt_file,
        system: order.system.clone(),
        skills: order.skills.clone(),
        permission: order.permission,
        allowed_tools: order.allowed_tools.clone(),
        resume: order.resume.clone(),
        verdict: order.verdict.clone(),
        vote: order.vote,
        limits: order.limits,
        start_timeout_ms: millis(order.watch.start),
        context: order.context.clone(),
        config_from: order.config_from.clone(),
    }
}

fn github(order: &GithubOrder) -> GithubCommand {
    let (credential, app) = match &order.credential {
        GithubCredential::Token(_) => ("token", None),
        GithubCredential::App { id, .. } => ("app", Some(id.clone())),
    };
    GithubCommand {
        operation: order.operation.as_str().to_owned(),
        settings: order.settings.clone(),
        credential: credential.to_owned(),
        app,
        api_url: order.api_url.clone(),
        request_timeout_ms: millis(order.request_timeout),
        marker: order.marker.clone(),
    }
}

fn inherits(inherit: &InheritEnv) -> InheritedEnvironment {
    match inherit {
        InheritEnv::None => InheritedEnvironment::default(),
        InheritEnv::Names(names) => InheritedEnvironment { all: false, names: names.clone() },
        InheritEnv::All => InheritedEnvironment { all: true, names: Vec::new() },
    }
}

fn artifacts(rules: &ArtifactRules) -> CommandArtifacts {
    let when = match rules.when {
        ArtifactsWhen::Always => "always",
        ArtifactsWhen::OnSuccess => "on_success",
        ArtifactsWhen::OnFailure => "on_failure",
    };
    CommandArtifacts { paths: rules.paths.clone(), exclude: rules.exclude.clone(), when: when.to_owned() }
}

fn workspace(order: &WorkspaceOrder) -> CommandWorkspace {
    let keep = match order.keep {
        KeepWorkspace::Never => "never",
        KeepWorkspace::OnFailure => "on_failure",
        KeepWorkspace::Always => "always",
    };
    let git = order.git.as_ref();
    CommandWorkspace {
        nonce: order.id.nonce.clone(),
        made: order.made,
        keep: keep.to_owned(),
        repository: git.map(|git| redacted_git_url(&git.url)),
        reference: git.and_then(|git| git.reference.clone()),
        branch: git.and_then(|git| git.branch.clone()),
    }
}

fn cache(order: &CacheOrder) -> CommandCache {
    CommandCache { key: order.key.clone(), paths: order.paths.clone(), restore_keys: order.restore_keys.clone() }
}
