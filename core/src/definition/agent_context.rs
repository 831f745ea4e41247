//! `agent.context`: texts of others that an agent is given as files.

use serde::{Deserialize, Serialize};

use super::agent::ResumedTask;
use super::keys::CONTEXT;
use super::scalar::shortened;
use super::tree::{Entry, Node};
use super::walk::{Keys, Walk};
use super::{Method, Span, TaskDefinition, TemplateText, code};
use crate::protocol::agent::ContextForm;

/// Where a task leaves what its tracker said when it is no GITHUB task: a document of the same form.
pub const TRACKER_RESULT: &str = "tracker/result.json";

impl TaskDefinition {
    /// The artifact in which it leaves what its tracker said, if it does.
    pub fn tracker_result(&self) -> Option<&'static str> {
        if matches!(self.method, Method::Github(_)) {
            return Some("github/result.json");
        }
        let kept = self.artifacts.iter().flat_map(|artifacts| &artifacts.paths);
        kept.map(|path| path.source.as_str()).any(|path| path == TRACKER_RESULT).then_some(TRACKER_RESULT)
    }
}

/// Characters of one file when nothing is said.
pub const CONTEXT_CHARS: u32 = 200_000;
/// The most files of one agent.
const MOST_FILES: usize = 50;

/// A text that an agent is given as a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextFileSpec {
    /// Its name.
    pub name: String,
    /// Where the text comes from.
    pub source: ContextSpec,
    /// The part of a JSON document, keys and positions with dots.
    pub json_path: Option<String>,
    /// How it is read; by its name when absent.
    pub form: Option<ContextForm>,
    /// The most characters.
    pub max_chars: u32,
    /// Without the text the file is left out, and the attempt goes on.
    pub optional: bool,
    /// Of what people have said on GitHub, only the words of those who are trusted.
    pub trusted_only: bool,
    /// Where it stands.
    pub span: Span,
}

/// Where the text of a file comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContextSpec {
    /// This template.
    Text(TemplateText),
    /// A file: relative to TASK_DIR, or `$JOB_WORKSPACE/…`.
    File(TemplateText),
    /// An artifact of another task; of a GITHUB task its result, when no file is named.
    From {
        /// The task.
        task: ResumedTask,
        /// The artifact.
        file: Option<TemplateText>,
    },
}

impl ContextFileSpec {
    /// Its template, if there is one.
    pub fn template(&self) -> Option<&TemplateText> {
        match &self.source {
            ContextSpec::Text(text) | ContextSpec::File(text) => Some(text),
            ContextSpec::From { file, .. } => file.as_ref(),
        }
    }
}

impl Walk {
    /// The list `context`.
    pub(super) fn context_files(&mut self, node: &Node<'_>) -> Vec<ContextFileSpec> {
        let items = self.list("context", node).unwrap_or_default();
        if items.len() > MOST_FILES {
            let message = format!("`context` has {} entries, and the most are {MOST_FILES}", items.len());
            self.problems.error(code::RANGE, node.span, message);
            return Vec::new();
        }
        let mut files: Vec<ContextFileSpec> = Vec::new();
        for item in items {
            let Some(file) = self.context_file(item) else { continue };
            if files.iter().any(|other| other.name == file.name) {
                let message = format!("two entries of `context` have the name {}", shortened(&file.name));
                self.problems.error_with_help(code::CONFLICT, file.span, message, "give each a name of its own");
            }
            files.push(file);
        }
        files
    }

    fn context_file(&mut self, node: &Node<'_>) -> Option<ContextFileSpec> {
        let entries = self.mapping("an entry of context", node)?;
        let mut keys = Keys::new(entries);
        let named = keys.take("name");
        let name = named.and_then(|entry| self.context_name(entry));
        let source = self.context_source(&mut keys, node);
        let json_path = keys.take("json_path").and_then(|entry| self.json_path(&entry.value));
        let form = keys.take("format").and_then(|entry| self.choice("format", &entry.value, &FORMS));
        let max_chars =
            keys.take("max_chars").and_then(|entry| self.integer("max_chars", &entry.value, 1_000..=4_000_000));
        let optional = self.optional(&mut keys, "optional", Self::boolean).unwrap_or(false);
        let trusted = keys.take("trusted_only");
        let trusted_only = trusted.and_then(|entry| self.boolean("trusted_only", &entry.value)).unwrap_or(true);
        self.unknown_keys(&keys, &CONTEXT);
        if named.is_none() {
            self.problems.error_with_help(
                code::MISSING_KEY,
                node.span,
                "an entry of `context` has no `name`",
                "say what the file is called: `name: issue.md`",
            );
        }
        let source = source?;
        if let Some(entry) = trusted
            && !matches!(source, ContextSpec::From { file: None, .. })
        {
            self.problems.error_with_help(
                code::CONFLICT,
                entry.key_span,
                "`trusted_only` is for results of GITHUB tasks: of other texts nobody knows who wrote which part",
                "name a GITHUB task with `from` and no `file`, or leave it out",
            );
        }
        Some(ContextFileSpec {
            name: name?,
            source,
            json_path,
            form,
            max_chars: max_chars.unwrap_or(CONTEXT_CHARS),
            optional,
            trusted_only,
            span: node.span,
        })
    }

    fn context_name(&mut self, entry: &Entry<'_>) -> Option<String> {
        let name = self.spelling("name", &entry.value)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.bytes().all(plain) {
            self.problems.error_with_help(
                code::NAME,
                entry.value.span,
                format!("\"{}\" cannot be the name of a file for an agent", shortened(&name)),
                "names take letters, digits, `.`, `_` and `-`, at most 100, and do not begin with a dot",
            );
            return None;
        }
        Some(name)
    }

    fn context_source(&mut self, keys: &mut Keys<'_, '_>, node: &Node<'_>) -> Option<ContextSpec> {
        let text = keys.take("text");
        let file = keys.take("file");
        let from = keys.take("from");
        let path = file.and_then(|entry| self.template("file", &entry.value));
        match (text, file, from) {
            (Some(text), None, None) => self.template("text", &text.value).map(ContextSpec::Text),
            (None, Some(_), None) => {
                let path = path?;
                self.check_agent_path("file", &path);
                Some(ContextSpec::File(path))
            }
            (None, _, Some(from)) => {
                let task = self.spelling("from", &from.value)?;
                if let Some(path) = &path
                    && path.source.starts_with('$')
                {
                    let message =
                        "`file` names an artifact of the task in `from`, and those are not in `$JOB_WORKSPACE`";
                    self.problems.error(code::PATH, path.span, message);
                }
                Some(ContextSpec::From { task: ResumedTask { task, span: from.value.span }, file: path })
            }
            _ => {
                self.problems.error_with_help(
                    code::CONFLICT,
                    node.span,
                    "an entry of `context` needs one place to take its text from",
                    "write `text`, `file`, or `from` with the name of a task",
                );
                None
            }
        }
    }

    /// The list `config_paths`.
    pub(super) fn config_paths(&mut self, node: &Node<'_>) -> Vec<String> {
        let items = self.list("config_paths", node).unwrap_or_default();
        let mut globs = Vec::new();
        for item in items {
            let Some(glob) = self.text("an entry of config_paths", item) else { continue };
            self.check_path("config_paths", &glob, item.span);
            globs.push(glob);
        }
        globs
    }
}

/// The words of `format`.
const FORMS: [(&str, ContextForm); 2] = [("markdown", ContextForm::Markdown), ("plain", ContextForm::Plain)];
