//! Reads typed values out of the tree: reports what is wrong, and goes on.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::keys::Vocabulary;
use super::problems::Problems;
use super::scalar::{Meaning, shortened};
use super::tree::{Entry, Kind, Node, Scalar};
use super::{Diagnostic, Field, Limits, Span, TemplateText, code, parse_duration};

pub(super) struct Walk {
    pub(super) problems: Problems,
    pub(super) limits: Limits,
    /// A task, route or dependency was left out because it is wrong: what only the whole graph shows is not reported.
    pub(super) graph_incomplete: bool,
    /// The task that is read makes an HTTP request: its results are statuses, its outputs come from the answer.
    pub(super) http_task: bool,
    /// The task that is read is an agent's.
    pub(super) agent_task: bool,
}

/// The keys of a mapping that are not read yet.
pub(super) struct Keys<'n, 's> {
    entries: Vec<(&'n Entry<'s>, bool)>,
}

impl<'n, 's> Keys<'n, 's> {
    pub(super) fn new(entries: impl IntoIterator<Item = &'n Entry<'s>>) -> Self {
        Self { entries: entries.into_iter().map(|entry| (entry, false)).collect() }
    }

    /// The entry with this key; counts as read.
    pub(super) fn take(&mut self, key: &str) -> Option<&'n Entry<'s>> {
        let found = self.entries.iter_mut().find(|(entry, _)| *entry.key == *key)?;
        found.1 = true;
        Some(found.0)
    }

    /// Whether the key is there; does not count as read.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(entry, _)| *entry.key == *key)
    }

    /// What nobody has asked for.
    pub(super) fn unread(&self) -> impl Iterator<Item = &'n Entry<'s>> + '_ {
        self.entries.iter().filter(|(_, read)| !read).map(|(entry, _)| *entry)
    }
}

impl Walk {
    pub(super) fn new(limits: Limits) -> Self {
        Self { problems: Problems::default(), limits, graph_incomplete: false, http_task: false, agent_task: false }
    }

    /// Reports every key that nobody has read.
    pub(super) fn unknown_keys(&mut self, keys: &Keys<'_, '_>, vocabulary: &Vocabulary) {
        for entry in keys.unread() {
            let key = &*entry.key;
            let what = vocabulary.what;
            if vocabulary.later.contains(&key) {
                self.unsupported(entry.key_span, &format!("the key `{key}` of {what}"));
                continue;
            }
            let mut problem =
                Diagnostic::error(code::UNKNOWN_KEY, entry.key_span, format!("{what} has no key `{}`", shortened(key)));
            let foreign = vocabulary.foreign.iter().find(|(word, _)| *word == key).map(|(_, ours)| *ours);
            let names = vocabulary.known().chain(vocabulary.later.iter().copied());
            if let Some(meant) = foreign.or_else(|| self.problems.suggestion(key, names)) {
                problem = problem.with_help(format!("did you mean `{meant}`?"));
            } else if vocabulary.keys.len() <= 8 {
                let known: Vec<&str> = vocabulary.known().collect();
                problem = problem.with_help(format!("its keys are {}", listed(&known)));
            }
            self.problems.push(problem);
        }
    }

    pub(super) fn unsupported(&mut self, span: Span, what: &str) {
        self.problems.error_with_help(
            code::UNSUPPORTED,
            span,
            format!("{what} is not supported by this version"),
            "it is part of the language and arrives with a later version; remove it for now",
        );
    }

    pub(super) fn wrong_type(&mut self, key: &str, node: &Node<'_>, wanted: &str, help: Option<String>) {
        if matches!(node.kind, Kind::Reported) {
            return;
        }
        let diagnostic = if node.is_null() {
            Diagnostic::error(code::TYPE, node.span, format!("{} has no value; it must be {wanted}", named(key)))
                .with_help("give it a value or remove the key")
        } else {
            let found = node.described();
            let diagnostic = Diagnostic::error(
                code::TYPE,
                node.span,
                format!("{} must be {wanted}, and this is {found}", named(key)),
            );
            match help {
                Some(help) => diagnostic.with_help(help),
                None => diagnostic,
            }
        };
        self.problems.push(diagnostic);
    }

    pub(super) fn mapping<'n, 's>(&mut self, key: &str, node: &'n Node<'s>) -> Option<&'n [Entry<'s>]> {
        if let Kind::Mapping(entries) = &node.kind {
            return Some(entries);
        }
        self.wrong_type(key, node, "a mapping", None);
        None
    }

    pub(super) fn list<'n, 's>(&mut self, key: &str, node: &'n Node<'s>) -> Option<&'n [Node<'s>]> {
        match &node.kind {
            Kind::Sequence(items) => return Some(items),
            Kind::Scalar(scalar) if scalar.meaning() != Meaning::Null => {
                let help = if scalar.text.contains('\n') {
                    "begin it with `- |` to make it the one entry of a list".to_owned()
                } else {
                    format!("write [{}]", quoted_if_needed(scalar))
                };
                self.wrong_type(key, node, "a list", Some(help));
            }
            _ => self.wrong_type(key, node, "a list", None),
        }
        None
    }

    fn scalar<'n, 's>(&mut self, key: &str, node: &'n Node<'s>, wanted: &str) -> Option<&'n Scalar<'s>> {
        match &node.kind {
            Kind::Scalar(scalar) if scalar.meaning() != Meaning::Null => return Some(scalar),
            Kind::Mapping(entries) if entries.len() == 1 && wanted == "text" => {
                self.wrong_type(key, node, wanted, Some("text that contains `: ` must be quoted".to_owned()));
            }
            _ => self.wrong_type(key, node, wanted, None),
        }
        None
    }

    /// Text, written as text: `5` and `true` need quotes.
    pub(super) fn text(&mut self, key: &str, node: &Node<'_>) -> Option<String> {
        let scalar = self.scalar(key, node, "text")?;
        if scalar.meaning() != Meaning::Text {
            self.wrong_type(key, node, "text", Some(format!("put it in quotes: \"{}\"", shortened(&scalar.text))));
            return None;
        }
        Some(scalar.text.to_string())
    }

    /// Text where a number or boolean can only mean its own spelling: values of variables and labels.
    pub(super) fn spelling(&mut self, key: &str, node: &Node<'_>) -> Option<String> {
        self.scalar(key, node, "text").map(|scalar| scalar.text.to_string())
    }

    pub(super) fn template(&mut self, key: &str, node: &Node<'_>) -> Option<TemplateText> {
        self.text(key, node).map(|source| TemplateText { source, span: node.span })
    }

    pub(super) fn template_spelling(&mut self, key: &str, node: &Node<'_>) -> Option<TemplateText> {
        self.spelling(key, node).map(|source| TemplateText { source, span: node.span })
    }

    /// A list of templates; entries that are wrong are reported and left out.
    pub(super) fn templates(&mut self, key: &str, node: &Node<'_>) -> Vec<TemplateText> {
        let items = self.list(key, node).unwrap_or_default();
        items.iter().filter_map(|item| self.template(&format!("an entry of {key}"), item)).collect()
    }

    pub(super) fn boolean(&mut self, key: &str, node: &Node<'_>) -> Option<bool> {
        let scalar = self.scalar(key, node, "true or false")?;
        if let Meaning::Boolean(value) = scalar.meaning() {
            return Some(value);
        }
        let help = match scalar.text.to_lowercase().as_str() {
            "yes" | "on" | "y" | "true" | "1" => Some("write true, without quotes".to_owned()),
            "no" | "off" | "n" | "false" | "0" => Some("write false, without quotes".to_owned()),
            _ => None,
        };
        self.wrong_type(key, node, "true or false", help);
        None
    }

    pub(super) fn integer(&mut self, key: &str, node: &Node<'_>, range: RangeInclusive<u32>) -> Option<u32> {
        let scalar = self.scalar(key, node, "a whole number")?;
        match scalar.meaning() {
            Meaning::Integer(value) => self.in_range(key, node.span, value, range),
            Meaning::Text if scalar.text.trim().parse::<i64>().is_ok() => {
                self.wrong_type(key, node, "a whole number", Some("remove the quotes".to_owned()));
                None
            }
            Meaning::Text if scalar.text.contains("{{") => {
                self.wrong_type(key, node, "a whole number", Some("a template cannot stand here".to_owned()));
                None
            }
            _ => {
                self.wrong_type(key, node, "a whole number", None);
                None
            }
        }
    }

    fn in_range(&mut self, key: &str, span: Span, value: i128, range: RangeInclusive<u32>) -> Option<u32> {
        let number = u32::try_from(value).ok().filter(|number| range.contains(number));
        if number.is_none() {
            let (low, high) = range.into_inner();
            let allowed =
                if high == u32::MAX { format!("at least {low}") } else { format!("between {low} and {high}") };
            self.problems.error(code::RANGE, span, format!("`{key}` must be {allowed}, and {value} is not"));
        }
        number
    }

    /// A whole number, or one whole template that renders to one.
    pub(super) fn integer_field(
        &mut self,
        key: &str,
        node: &Node<'_>,
        range: RangeInclusive<u32>,
    ) -> Option<Field<u32>> {
        match whole_template(node) {
            Some(template) => Some(Field::Template(template)),
            None => self.integer(key, node, range).map(Field::Value),
        }
    }

    /// A duration, or one whole template that renders to one.
    pub(super) fn duration_field(&mut self, key: &str, node: &Node<'_>, zero: Zero) -> Option<Field<Duration>> {
        match whole_template(node) {
            Some(template) => Some(Field::Template(template)),
            None => self.duration(key, node, zero).map(Field::Value),
        }
    }

    pub(super) fn duration(&mut self, key: &str, node: &Node<'_>, zero: Zero) -> Option<Duration> {
        let scalar = self.scalar(key, node, "a duration")?;
        if let Meaning::Boolean(_) = scalar.meaning() {
            self.wrong_type(key, node, "a duration", Some("leave the key out for its default".to_owned()));
            return None;
        }
        match parse_duration(&scalar.text) {
            Ok(Duration::ZERO) if zero == Zero::Refused => {
                self.problems.error_with_help(
                    code::DURATION,
                    node.span,
                    format!("`{key}` must be longer than 0"),
                    "leave the key out for its default",
                );
                None
            }
            Ok(duration) => Some(duration),
            Err(error) => {
                self.problems.error_with_help(
                    code::DURATION,
                    node.span,
                    format!("`{key}`: {}", error.message),
                    error.help,
                );
                None
            }
        }
    }

    /// One of several words.
    pub(super) fn choice<T: Copy>(&mut self, key: &str, node: &Node<'_>, choices: &[(&str, T)]) -> Option<T> {
        let scalar = self.scalar(key, node, "one of its words")?;
        let word = &*scalar.text;
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == word) {
            return Some(*value);
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let help = match self.problems.suggestion(word, names.iter().copied()) {
            Some(meant) => format!("did you mean {meant}?"),
            None => "see the language reference for what they mean".to_owned(),
        };
        self.problems.error_with_help(
            code::VALUE,
            node.span,
            format!("`{key}` must be {}, and this is {}", one_of(&names), scalar.described()),
            help,
        );
        None
    }
}

/// Keys stand in backquotes; phrases such as `an entry of script` do not.
fn named(key: &str) -> String {
    if key.contains(' ') { key.to_owned() } else { format!("`{key}`") }
}

/// Whether a duration may be nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zero {
    Allowed,
    Refused,
}

/// The node as a template if it is one whole `{{ … }}`.
pub(super) fn whole_template(node: &Node<'_>) -> Option<TemplateText> {
    let Kind::Scalar(scalar) = &node.kind else { return None };
    let text = scalar.text.trim();
    let inner = text.strip_prefix("{{")?.strip_suffix("}}")?;
    (!inner.contains("{{") && !inner.contains("}}")).then(|| TemplateText { source: text.to_owned(), span: node.span })
}

fn quoted_if_needed(scalar: &Scalar<'_>) -> String {
    let text = shortened(&scalar.text);
    if scalar.plain && !text.contains([',', '[', ']', '{', '}', ':', '#']) { text } else { format!("\"{text}\"") }
}

/// `a`, `a and b`, `a, b and c`, each in backquotes.
pub(super) fn listed(names: &[&str]) -> String {
    joined(&names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>(), "and")
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn one_of(names: &[&str]) -> String {
    joined(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), "or")
}

fn joined(names: &[String], conjunction: &str) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} {conjunction} {last}", first.join(", ")),
    }
}
