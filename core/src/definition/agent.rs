//! `method: AGENT`: its options, and how they are read.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::agent_context::ContextFileSpec;
use super::keys::{AGENT, FALLBACK, VERDICT};
use super::scalar::{Meaning, shortened};
use super::tree::{Entry, Kind, Node};
use super::walk::{Keys, Walk, Zero, one_of, whole_template};
use super::{AgentAccount, Field, IN_WORKSPACE, Method, Rotation, Span, TemplateText, code};
use crate::engine::AgentClass;
use crate::protocol::agent::{AgentCli, AgentPermission, MicroUsd};

/// How long an agent may take to say something when nothing is said.
const START: Duration = Duration::from_mins(2);
/// How long its process may stay after its result.
const AFTER_RESULT: Duration = Duration::from_secs(30);
/// The most dollars that one attempt may be allowed.
const MOST_DOLLARS: f64 = 1e6;
/// After which classes a fallback is tried when nothing is said: nothing was done, and another account may do it.
const FALLBACK_ON: [AgentClass; 2] = [AgentClass::RateLimited, AgentClass::Auth];

/// Outputs that every AGENT task has.
pub const AGENT_OUTPUTS: [&str; 8] =
    ["verdict", "message", "session_id", "turns", "cost_usd", "files_changed", "commits", "limit"];

/// Options of `method: AGENT` (the key `agent`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentOptions {
    /// Which program.
    pub cli: Field<AgentCli>,
    /// The program and its first arguments, instead of the usual name on PATH.
    pub command: Vec<String>,
    /// The model, in the program's own words.
    pub model: Option<TemplateText>,
    /// What it is to do.
    pub prompt: PromptSource,
    /// Said before everything else.
    pub system: Option<TemplateText>,
    /// Methods of work that are put before the prompt, by name.
    pub skills: Vec<String>,
    /// Turns of the model.
    pub max_turns: Option<Field<u32>>,
    /// Tokens, in and out.
    pub max_tokens: Option<Field<u32>>,
    /// Money.
    pub max_usd: Option<Field<MicroUsd>>,
    /// Whose limits it meets; the account with the name of the program when empty.
    pub accounts: Vec<AgentAccount>,
    /// Which of several accounts.
    pub rotation: Rotation,
    /// Tools that it may use beyond what `permission` allows.
    pub allowed_tools: Vec<String>,
    /// What it may do without being asked.
    pub permission: AgentPermission,
    /// The task whose session it goes on with.
    pub resume: Option<ResumedTask>,
    /// What its final message has to hold.
    pub verdict: Option<VerdictOptions>,
    /// Independent sessions whose verdicts are compared.
    pub vote: u32,
    /// What is tried when the choice before did not work out.
    pub fallback: Vec<FallbackOptions>,
    /// Where it works; TASK_DIR when absent.
    pub directory: Option<TemplateText>,
    /// Texts of others that it is given as files.
    #[serde(default)]
    pub context: Vec<ContextFileSpec>,
    /// The commit whose files configure the agent, whatever the checkout has.
    #[serde(default)]
    pub config_from: Option<TemplateText>,
    /// More files that count as configuration: globs.
    #[serde(default)]
    pub config_paths: Vec<String>,
    /// Until it says something.
    pub start_timeout: Field<Duration>,
    /// From its result to the end of its process.
    pub after_result: Field<Duration>,
    /// Files and commits are compared with what was checked out when it began.
    pub track_changes: bool,
    /// A success that changed nothing is NO_CHANGE.
    pub expect_changes: bool,
    /// Where the mapping stands.
    pub span: Span,
}

/// Where the prompt comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PromptSource {
    /// This text.
    Text(TemplateText),
    /// A file: relative to TASK_DIR, or `$JOB_WORKSPACE/…`.
    File(TemplateText),
}

/// A task whose session is gone on with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumedTask {
    /// Its name.
    pub task: String,
    /// Where it stands.
    pub span: Span,
}

/// What the final message of an agent has to hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerdictOptions {
    /// A JSON Schema, checked.
    pub schema: serde_json::Value,
    /// Without it the class is NO_VERDICT.
    pub required: bool,
    /// How often the same session is asked for it again.
    pub asks: u32,
    /// The fields that votes are counted by; all of it when empty.
    pub vote_fields: Vec<String>,
}

/// A program and a model to try when the choice before did not work out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FallbackOptions {
    /// Which program; the task's own when absent.
    pub cli: Option<Field<AgentCli>>,
    /// The program and its first arguments.
    pub command: Vec<String>,
    /// The model.
    pub model: Option<TemplateText>,
    /// After which classes.
    pub on: Vec<AgentClass>,
}

impl AgentOptions {
    /// Its templates.
    pub fn templates(&self) -> impl Iterator<Item = &TemplateText> {
        let (PromptSource::Text(prompt) | PromptSource::File(prompt)) = &self.prompt;
        let own = [
            Some(prompt),
            self.system.as_ref(),
            self.model.as_ref(),
            self.directory.as_ref(),
            self.config_from.as_ref(),
        ];
        let context = self.context.iter().filter_map(ContextFileSpec::template);
        own.into_iter()
            .flatten()
            .chain(context)
            .chain(self.fallback.iter().filter_map(|fallback| fallback.model.as_ref()))
    }
}

impl Walk {
    /// `agent`, with everything in it.
    pub(super) fn agent_options(&mut self, keys: &mut Keys<'_, '_>, task_span: Span) -> Option<Method> {
        let Some(entry) = keys.take("agent") else {
            self.problems.error_with_help(
                code::MISSING_KEY,
                task_span,
                "this AGENT task has no `agent`",
                "write `agent: {cli: claude, prompt: \"Make the tests pass.\"}`",
            );
            return None;
        };
        let entries = self.mapping("agent", &entry.value)?;
        let mut keys = Keys::new(entries);
        let cli = self.wanted_cli(&mut keys, entry.key_span);
        let command_entry = keys.take("command");
        let command = command_entry.and_then(|entry| self.agent_command("agent.command", &entry.value));
        if command_entry.is_none() && cli == Some(Field::Value(AgentCli::Custom)) {
            self.needs_command(entry.key_span);
        }
        let prompt = self.prompt(&mut keys, entry.key_span);
        let resume = keys.take("resume").and_then(|entry| {
            let task = self.spelling("resume", &entry.value)?;
            Some(ResumedTask { task, span: entry.value.span })
        });
        let verdict_entry = keys.take("verdict");
        let verdict = verdict_entry.and_then(|entry| self.verdict(&entry.value));
        let vote_entry = keys.take("vote");
        let vote = vote_entry.and_then(|entry| self.integer("vote", &entry.value, 1..=9)).unwrap_or(1);
        let tracked = keys.take("track_changes").and_then(|entry| self.boolean("track_changes", &entry.value));
        let expected = keys.take("expect_changes");
        let expect_changes = expected.and_then(|entry| self.boolean("expect_changes", &entry.value)).unwrap_or(false);
        let (accounts, rotation) = self.accounts(&mut keys);
        let options = AgentOptions {
            accounts,
            rotation,
            cli: cli.unwrap_or(Field::Value(AgentCli::Claude)),
            command: command.unwrap_or_default(),
            model: self.optional(&mut keys, "model", Self::template),
            prompt: prompt
                .unwrap_or(PromptSource::Text(TemplateText { source: String::new(), span: entry.value.span })),
            system: self.optional(&mut keys, "system", Self::template),
            skills: keys.take("skills").map(|entry| self.skills(&entry.value)).unwrap_or_default(),
            max_turns: keys
                .take("max_turns")
                .and_then(|entry| self.integer_field("max_turns", &entry.value, 1..=100_000)),
            max_tokens: keys
                .take("max_tokens")
                .and_then(|entry| self.integer_field("max_tokens", &entry.value, 1..=u32::MAX)),
            max_usd: keys.take("max_usd").and_then(|entry| self.dollars("max_usd", &entry.value)),
            allowed_tools: keys
                .take("allowed_tools")
                .map(|entry| self.words("allowed_tools", &entry.value))
                .unwrap_or_default(),
            permission: keys
                .take("permission")
                .and_then(|entry| self.choice("permission", &entry.value, &PERMISSIONS))
                .unwrap_or_default(),
            resume,
            verdict,
            vote,
            fallback: keys.take("fallback").map(|entry| self.fallbacks(&entry.value)).unwrap_or_default(),
            directory: self.optional(&mut keys, "directory", Self::template),
            context: keys.take("context").map(|entry| self.context_files(&entry.value)).unwrap_or_default(),
            config_from: self.optional(&mut keys, "config_from", Self::template),
            config_paths: keys.take("config_paths").map(|entry| self.config_paths(&entry.value)).unwrap_or_default(),
            start_timeout: self
                .optional_duration(&mut keys, "start_timeout", Zero::Refused)
                .unwrap_or(Field::Value(START)),
            after_result: self
                .optional_duration(&mut keys, "after_result", Zero::Allowed)
                .unwrap_or(Field::Value(AFTER_RESULT)),
            track_changes: tracked.unwrap_or(true),
            expect_changes,
            span: entry.key_span,
        };
        self.unknown_keys(&keys, &AGENT);
        if let Some(directory) = &options.directory {
            self.check_agent_path("directory", directory);
        }
        if options.config_from.is_none() && !options.config_paths.is_empty() {
            self.problems.error_with_help(
                code::CONFLICT,
                entry.key_span,
                "`config_paths` has no effect without `config_from`",
                "say which commit the configuration is taken from: `config_from: origin/main`",
            );
        }
        if let PromptSource::File(file) = &options.prompt {
            self.check_agent_path("prompt_file", file);
        }
        self.check_vote(&options, verdict_entry.is_some(), vote_entry);
        if let Some(expected) = expected.filter(|_| expect_changes) {
            self.check_expected_changes(&options, expected.key_span);
        }
        Some(Method::Agent(Box::new(options)))
    }

    fn wanted_cli(&mut self, keys: &mut Keys<'_, '_>, span: Span) -> Option<Field<AgentCli>> {
        if let Some(entry) = keys.take("cli") {
            return self.cli(&entry.value);
        }
        let names: Vec<&str> = AgentCli::ALL.iter().map(|cli| cli.as_str()).collect();
        self.problems.error_with_help(
            code::MISSING_KEY,
            span,
            "`agent` does not say which program it is: it needs `cli`",
            format!("write {}", one_of(&names)),
        );
        None
    }

    fn cli(&mut self, node: &Node<'_>) -> Option<Field<AgentCli>> {
        if let Some(template) = whole_template(node) {
            return Some(Field::Template(template));
        }
        self.choice("cli", node, &AgentCli::ALL.map(|cli| (cli.as_str(), cli))).map(Field::Value)
    }

    fn needs_command(&mut self, span: Span) {
        self.problems.error_with_help(
            code::MISSING_KEY,
            span,
            "`cli: custom` needs `command`: there is no usual program of that name",
            "name the program and its arguments: `command: [./my-agent, --json]`",
        );
    }

    fn agent_command(&mut self, key: &str, node: &Node<'_>) -> Option<Vec<String>> {
        let items = self.list(key, node)?;
        let words: Vec<String> =
            items.iter().filter_map(|item| self.spelling(&format!("an entry of {key}"), item)).collect();
        if words.first().is_none_or(String::is_empty) {
            self.problems.error(code::VALUE, node.span, format!("`{key}` names no program"));
            return None;
        }
        if words.iter().any(|word| word.contains("{{") || word.contains("{%")) {
            self.problems.error_with_help(
                code::VALUE,
                node.span,
                format!("`{key}` cannot hold a template"),
                "values reach the program by the prompt or by `environment`",
            );
            return None;
        }
        Some(words)
    }

    fn prompt(&mut self, keys: &mut Keys<'_, '_>, span: Span) -> Option<PromptSource> {
        match (keys.take("prompt"), keys.take("prompt_file")) {
            (Some(_), Some(file)) => {
                self.problems.error_with_help(
                    code::CONFLICT,
                    file.key_span,
                    "`prompt` and `prompt_file` exclude each other: an agent is told one thing",
                    "keep one; a prompt can name files that the agent is to read",
                );
                None
            }
            (Some(entry), None) => {
                let text = self.template("prompt", &entry.value)?;
                if text.source.trim().is_empty() {
                    self.problems.error(
                        code::VALUE,
                        entry.value.span,
                        "`prompt` is empty: the agent has nothing to do",
                    );
                    return None;
                }
                Some(PromptSource::Text(text))
            }
            (None, Some(entry)) => self.template("prompt_file", &entry.value).map(PromptSource::File),
            (None, None) => {
                self.problems.error_with_help(
                    code::MISSING_KEY,
                    span,
                    "this agent is not told what to do: it needs `prompt` or `prompt_file`",
                    "write `prompt: \"Make the tests pass.\"`",
                );
                None
            }
        }
    }

    /// What is written of a path has to stay inside TASK_DIR or the workspace.
    pub(super) fn check_agent_path(&mut self, key: &str, path: &TemplateText) {
        let text = path.source.as_str();
        let rest = if text == IN_WORKSPACE.trim_end_matches('/') {
            ""
        } else {
            text.strip_prefix(IN_WORKSPACE).unwrap_or(text)
        };
        if rest.is_empty() && text.starts_with('$') || rest.contains("{{") || rest.contains("{%") {
            return;
        }
        if rest.starts_with('$') {
            self.problems.error_with_help(
                code::PATH,
                path.span,
                format!("the path \"{}\" in `{key}` begins with a variable other than $JOB_WORKSPACE", shortened(text)),
                "paths are relative to TASK_DIR, or begin with `$JOB_WORKSPACE/`",
            );
            return;
        }
        self.check_path(key, rest, path.span);
    }

    fn skills(&mut self, node: &Node<'_>) -> Vec<String> {
        let names = self.words("skills", node);
        for name in &names {
            let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
            if name.len() > 100 || name.is_empty() || !name.bytes().all(valid) {
                self.problems.error_with_help(
                    code::NAME,
                    node.span,
                    format!("\"{}\" cannot be the name of a skill", shortened(name)),
                    "names take letters, digits, `_` and `-`, at most 100",
                );
            }
        }
        names
    }

    fn words(&mut self, key: &str, node: &Node<'_>) -> Vec<String> {
        let items = self.list(key, node).unwrap_or_default();
        items.iter().filter_map(|item| self.text(&format!("an entry of {key}"), item)).collect()
    }

    pub(super) fn dollars(&mut self, key: &str, node: &Node<'_>) -> Option<Field<MicroUsd>> {
        if let Some(template) = whole_template(node) {
            return Some(Field::Template(template));
        }
        let number = match &node.kind {
            Kind::Scalar(scalar) => match scalar.meaning() {
                Meaning::Float(value) => Some(value),
                Meaning::Integer(_) => scalar.text.parse().ok(),
                _ => None,
            },
            _ => None,
        };
        let Some(number) = number else {
            let help = "write dollars as a number: 2.50".to_owned();
            self.wrong_type(key, node, "an amount of US dollars", Some(help));
            return None;
        };
        match read_dollars(number) {
            Ok(amount) => Some(Field::Value(amount)),
            Err(message) => {
                self.problems.error(code::RANGE, node.span, format!("`{key}` {message}"));
                None
            }
        }
    }

    fn verdict(&mut self, node: &Node<'_>) -> Option<VerdictOptions> {
        let entries = self.mapping("verdict", node)?;
        let mut keys = Keys::new(entries);
        let schema = if let Some(entry) = keys.take("schema") {
            self.json_schema("the verdict", &entry.value)
        } else {
            self.problems.error_with_help(
                code::MISSING_KEY,
                node.span,
                "`verdict` does not say what a verdict looks like: it needs `schema`",
                "write `schema: {type: object, required: [ok], properties: {ok: {type: boolean}}}`",
            );
            None
        };
        let required = self.optional(&mut keys, "required", Self::boolean).unwrap_or(true);
        let asks = keys.take("asks").and_then(|entry| self.integer("asks", &entry.value, 0..=5)).unwrap_or(1);
        let fields = keys.take("vote_fields");
        let vote_fields = fields.map(|entry| self.words("vote_fields", &entry.value)).unwrap_or_default();
        self.unknown_keys(&keys, &VERDICT);
        if let (Some(fields), Some(properties)) =
            (fields, schema.as_ref().and_then(|schema| schema.get("properties")?.as_object()))
        {
            for name in vote_fields.iter().filter(|name| !properties.contains_key(*name)) {
                let help = match self.problems.suggestion(name, properties.keys().map(String::as_str)) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None => "name properties of the verdict's schema".to_owned(),
                };
                self.problems.error_with_help(
                    code::VALUE,
                    fields.value.span,
                    format!("`vote_fields` names {}, which the schema of the verdict does not have", shortened(name)),
                    help,
                );
            }
        }
        Some(VerdictOptions { schema: schema?, required, asks, vote_fields })
    }

    fn check_vote(&mut self, options: &AgentOptions, has_verdict: bool, vote: Option<&Entry<'_>>) {
        let Some(vote) = vote.filter(|_| options.vote > 1) else {
            if let Some(verdict) = &options.verdict
                && !verdict.vote_fields.is_empty()
            {
                self.problems.error_with_help(
                    code::CONFLICT,
                    options.span,
                    "`vote_fields` has no effect without `vote`",
                    "say how many sessions vote: `vote: 3`",
                );
            }
            return;
        };
        if !has_verdict {
            self.problems.error_with_help(
                code::CONFLICT,
                vote.key_span,
                "`vote` needs `verdict`: what is counted are verdicts",
                "say what a verdict looks like: `verdict: {schema: {…}}`",
            );
        }
        if let Some(resume) = &options.resume {
            self.problems.error_with_help(
                code::CONFLICT,
                resume.span,
                "`resume` and `vote` exclude each other: voters must not know of one another",
                "let one task go on with the session, and another one vote",
            );
        }
    }

    fn check_expected_changes(&mut self, options: &AgentOptions, span: Span) {
        let (message, help) = if !options.track_changes {
            (
                "`expect_changes` needs `track_changes`: nobody would know whether something changed",
                "remove `track_changes: false`",
            )
        } else if options.permission == AgentPermission::Read {
            (
                "`expect_changes` and `permission: read` exclude each other: this agent may change nothing",
                "allow it: `permission: edit`",
            )
        } else {
            return;
        };
        self.problems.error_with_help(code::CONFLICT, span, message, help);
    }

    fn fallbacks(&mut self, node: &Node<'_>) -> Vec<FallbackOptions> {
        let items = self.list("fallback", node).unwrap_or_default();
        items.iter().filter_map(|item| self.fallback(item)).collect()
    }

    fn fallback(&mut self, node: &Node<'_>) -> Option<FallbackOptions> {
        let entries = self.mapping("an entry of fallback", node)?;
        let mut keys = Keys::new(entries);
        let cli = keys.take("cli");
        let cli = match cli {
            Some(entry) => Some(self.cli(&entry.value)?),
            None => None,
        };
        let command = keys.take("command");
        if command.is_none() && cli == Some(Field::Value(AgentCli::Custom)) {
            self.needs_command(node.span);
        }
        let command = command.and_then(|entry| self.agent_command("fallback.command", &entry.value));
        let model = self.optional(&mut keys, "model", Self::template);
        let on = keys.take("on").map_or_else(|| FALLBACK_ON.to_vec(), |entry| self.fallback_classes(&entry.value));
        self.unknown_keys(&keys, &FALLBACK);
        if cli.is_none() && model.is_none() && command.is_none() {
            self.problems.error_with_help(
                code::MISSING_KEY,
                node.span,
                "this fallback is the same again: it names neither `cli` nor `command` nor `model`",
                "name another model or program; the same again is what `retry` does",
            );
        }
        Some(FallbackOptions { cli, command: command.unwrap_or_default(), model, on })
    }

    fn fallback_classes(&mut self, node: &Node<'_>) -> Vec<AgentClass> {
        let mut classes = Vec::new();
        for item in self.list("on", node).unwrap_or_default() {
            let Some(word) = self.spelling("an entry of on", item) else { continue };
            match AgentClass::parse(&word) {
                Some(AgentClass::Done) => self.problems.error_with_help(
                    code::ROUTE_RESULT,
                    item.span,
                    "a fallback is for what did not work out, and DONE did",
                    "name classes such as RATE_LIMITED, AUTH or STALLED",
                ),
                Some(class) => classes.push(class),
                None => {
                    let help = match self.problems.suggestion(&word, AgentClass::ALL.iter().map(|one| one.as_str())) {
                        Some(meant) => format!("did you mean {meant}?"),
                        None => "name classes such as RATE_LIMITED, AUTH or STALLED".to_owned(),
                    };
                    self.problems.error_with_help(
                        code::ROUTE_RESULT,
                        item.span,
                        format!("\"{}\" is no class of an agent's work", shortened(&word)),
                        help,
                    );
                }
            }
        }
        classes
    }
}

/// The words of `permission`.
const PERMISSIONS: [(&str, AgentPermission); 3] =
    [("read", AgentPermission::Read), ("edit", AgentPermission::Edit), ("full", AgentPermission::Full)];

/// An amount that an attempt may cost. The error is the end of a sentence that begins with the key.
pub(super) fn read_dollars(number: f64) -> Result<MicroUsd, String> {
    let amount = MicroUsd::from_dollars(number).filter(|amount| amount.0 > 0 && number <= MOST_DOLLARS);
    amount.ok_or_else(|| format!("must be more than 0 and at most {MOST_DOLLARS} US dollars, and {number} is not"))
}
