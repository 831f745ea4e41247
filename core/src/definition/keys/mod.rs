//! The table of keys: every mapping of the language, its keys, what each takes and what it means.
//!
//! It is the one list of them. The loader takes from here which keys exist; the JSON Schema and the reference pages are
//! generated from it. A new key is one entry, `key(name, shape, example, doc)`, in the vocabulary of its mapping; a new
//! mapping is a vocabulary that the shape of some key leads to.

mod agent;
mod approval;
mod budget;
mod control;
mod data;
mod github;
mod http;
mod job;
mod notify;
mod outcome;
mod pages;
mod retention;
mod route;
mod schema;
mod submission;
mod task;
mod trigger;
mod word;
mod workspace;

pub use pages::{ReferencePage, reference_pages};
pub use schema::json_schema;

pub(super) use agent::{ACCOUNT, AGENT, CONTEXT, FALLBACK, VERDICT};
pub(super) use approval::APPROVAL;
pub(super) use budget::{BUDGET, PER_DAY};
pub(super) use control::{CONCURRENCY, FAN_OUT};
pub(super) use data::{ARTIFACTS, OUTPUT, PARAM};
pub(super) use github::{GITHUB, GITHUB_APP};
pub(super) use http::HTTP;
pub(super) use job::JOB;
pub(super) use notify::{EMAIL, NOTIFY, SLACK, WEBHOOK, WHOLE_WEBHOOK};
pub(super) use outcome::OUTCOME;
pub(super) use retention::{EXPIRE, RETENTION};
pub(super) use route::{LONG_DEPENDENCY, LONG_ROUTE};
pub(super) use submission::{SUB_WORKFLOW, SUBMIT};
pub(super) use task::{BACKOFF, ENV_FROM, TASK};
pub(super) use trigger::{BEARER_AUTH, HMAC_AUTH, JOB_TRIGGER, WAKE, WEBHOOK_AUTH, WEBHOOK_TRIGGER};
pub(super) use word::WORDS;
pub(super) use workspace::{CACHE, WORKSPACE, WORKSPACE_GIT};

/// Keys of one kind of mapping: what is known, and what is known but comes later.
pub(super) struct Vocabulary {
    /// How a message names the mapping, e.g. `a task`.
    pub(super) what: &'static str,
    pub(super) keys: &'static [Key],
    pub(super) later: &'static [&'static str],
    /// Words that people bring from other tools, and the word to use here.
    pub(super) foreign: &'static [(&'static str, &'static str)],
}

impl Vocabulary {
    /// The names of the keys.
    pub(super) fn known(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|key| key.name)
    }

    /// The mapping's name in links: `task`, `retry_backoff`.
    fn slug(&self) -> String {
        self.what.trim_start_matches("a ").trim_start_matches("an ").replace(' ', "-")
    }

    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    /// The file under `workflows/examples/`, without `.yaml`, that shows it.
    pub(super) example: &'static str,
    /// What it means: one paragraph of Markdown.
    pub(super) doc: &'static str,
    pub(super) required: bool,
    /// What holds without it, as people would write or say it.
    pub(super) default: Option<&'static str>,
}

/// An optional key without a default.
pub(super) const fn key(name: &'static str, shape: Shape, example: &'static str, doc: &'static str) -> Key {
    Key { name, shape, example, doc, required: false, default: None }
}

impl Key {
    /// The mapping is not valid without it.
    pub(super) const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// What holds without it.
    pub(super) const fn default(mut self, text: &'static str) -> Self {
        self.default = Some(text);
        self
    }
}

/// What a key takes.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// Text; what looks like a number or boolean must be quoted.
    Text,
    /// Text of one form: how people call it, and a regular expression.
    Form(&'static str, &'static str),
    /// Text, number or boolean, taken as it is spelled.
    Scalar,
    /// Text with templates in it.
    Template,
    /// The same; a number or boolean is taken as it is spelled.
    TemplateScalar,
    Boolean,
    /// A whole number in this range; `u32::MAX` means no bound.
    Integer(u32, u32),
    /// A number in this range.
    Number(f64, f64),
    /// `250ms`, `90s`, `15m`, `2h30m`, `7d`.
    Duration,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Anything that JSON can say.
    Any,
    /// No value: `name:`
    Nothing,
    /// The shape, or one whole `"{{ template }}"` that renders to it.
    OrTemplate(&'static Shape),
    /// A list with at least and at most so many items; `usize::MAX` means no bound.
    List(&'static Shape, usize, usize),
    /// Names, as this regular expression allows, each with a value.
    Map(&'static str, &'static Shape),
    OneOf(&'static [Shape]),
    Mapping(&'static Vocabulary),
    /// The keys of a task, all optional, without its name.
    TaskDefaults,
}

impl std::fmt::Debug for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.in_words())
    }
}

/// Names of params, variables and outputs.
pub(super) const IDENTIFIER: &str = "^[A-Za-z_][A-Za-z0-9_]{0,99}$";
/// Any name.
pub(super) const ANY_NAME: &str = "";
/// A list of any length.
pub(super) const fn list(item: &'static Shape) -> Shape {
    Shape::List(item, 0, usize::MAX)
}
/// The name of a task.
pub(super) const TASK_NAME: Shape = Shape::Form("name of a task", "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$");
/// A duration, or a template that renders to one.
pub(super) const DURATION: Shape = Shape::OrTemplate(&Shape::Duration);
/// The types of params and outputs.
pub(super) const TYPE: Shape = Shape::Choice(&["string", "integer", "number", "boolean", "object", "array"]);
/// Order of dispatch.
pub(super) const PRIORITY: Shape = Shape::Choice(&["CRITICAL", "HIGH", "NORMAL", "LOW"]);
/// Variables with templates as values.
pub(super) const ENVIRONMENT: Shape = Shape::Map(IDENTIFIER, &Shape::TemplateScalar);

impl Shape {
    /// The shape in words, for tables and messages.
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Form(what, _) => (*what).to_owned(),
            Self::Scalar => "text or number".to_owned(),
            Self::Template => "template".to_owned(),
            Self::TemplateScalar => "template or scalar".to_owned(),
            Self::Boolean => "`true` or `false`".to_owned(),
            Self::Integer(low, u32::MAX) => format!("integer from {low}"),
            Self::Integer(low, high) => format!("integer {low}–{high}"),
            Self::Number(low, high) => format!("number {low}–{high}"),
            Self::Duration => "duration".to_owned(),
            Self::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
            Self::Any => "any value".to_owned(),
            Self::Nothing => "nothing".to_owned(),
            Self::OrTemplate(shape) => format!("{} or a template", shape.in_words()),
            Self::List(item, ..) => format!("list of: {}", item.in_words()),
            Self::Map(_, value) => format!("name → {}", value.in_words()),
            Self::OneOf(shapes) => shapes.iter().map(Self::in_words).collect::<Vec<_>>().join("; or "),
            Self::Mapping(vocabulary) => format!("mapping: {}", vocabulary.what),
            Self::TaskDefaults => "mapping: the keys of a task".to_owned(),
        }
    }

    /// The mappings that are directly in it.
    pub(super) fn mappings(&self) -> Vec<&'static Vocabulary> {
        match self {
            Self::OrTemplate(inner) | Self::List(inner, ..) | Self::Map(_, inner) => inner.mappings(),
            Self::OneOf(shapes) => shapes.iter().flat_map(Self::mappings).collect(),
            Self::Mapping(vocabulary) => vec![vocabulary],
            _ => Vec::new(),
        }
    }
}

/// A mapping and every mapping inside it, each once, the outermost first.
fn reached_from(outermost: &'static Vocabulary) -> Vec<&'static Vocabulary> {
    let mut found = vec![outermost];
    let mut next = 0;
    while let Some(vocabulary) = found.get(next) {
        for inner in vocabulary.keys.iter().flat_map(|key| key.shape.mappings()) {
            if found.iter().all(|known| known.what != inner.what) {
                found.push(inner);
            }
        }
        next += 1;
    }
    found
}

/// Every mapping of the language, each once.
fn vocabularies() -> Vec<&'static Vocabulary> {
    reached_from(&JOB)
}

#[cfg(test)]
mod tests;
