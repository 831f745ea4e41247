//! YAML text → a tree in which every key and every value knows where it stands.
//!
//! Scalars stay text; what a plain `5` or `true` means is decided where a type is expected ([`super::scalar`]).

use std::borrow::Cow;
use std::collections::HashSet;
use std::rc::Rc;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, StructureStyle};

use super::{Diagnostic, Limits, Span, code};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node<'s> {
    pub(super) kind: Kind<'s>,
    pub(super) span: Span,
}

#[derive(Debug, Clone)]
pub(super) enum Kind<'s> {
    Scalar(Scalar<'s>),
    Sequence(Rc<Vec<Node<'s>>>),
    Mapping(Rc<Vec<Entry<'s>>>),
    /// Already reported; whatever is expected here, nothing more is said.
    Reported,
}

#[derive(Debug, Clone)]
pub(super) struct Entry<'s> {
    pub(super) key: Text<'s>,
    pub(super) key_span: Span,
    pub(super) value: Node<'s>,
}

#[derive(Debug, Clone)]
pub(super) struct Scalar<'s> {
    pub(super) text: Text<'s>,
    /// Written without quotes on one or more lines: may mean a number, a boolean or null.
    pub(super) plain: bool,
}

/// Text of the source, or text made from it; cheap to clone.
#[derive(Debug, Clone)]
pub(super) enum Text<'s> {
    Source(&'s str),
    Made(Rc<str>),
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Source(text) => text,
            Self::Made(text) => text,
        }
    }
}

impl<'s> From<Cow<'s, str>> for Text<'s> {
    fn from(text: Cow<'s, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::Source(text),
            Cow::Owned(text) => Self::Made(text.into()),
        }
    }
}

/// What is bounded while aliases are expanded.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    nodes: usize,
    bytes: usize,
    height: usize,
}

struct Anchored<'s> {
    node: Node<'s>,
    size: Size,
}

/// A collection that is being read.
struct Open<'s> {
    span: Span,
    anchor: usize,
    size: Size,
    content: Content<'s>,
}

enum Content<'s> {
    Sequence(Vec<Node<'s>>),
    Mapping { flow: bool, key: Option<(Text<'s>, Span, KeyRole)>, entries: Vec<Entry<'s>>, merges: Vec<Node<'s>> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyRole {
    Field,
    /// `<<`
    Merge,
    /// No usable key: the value is read and dropped.
    Dropped,
    /// A flow mapping as the key of a flow mapping: `{{ X }}`.
    Braces,
    /// The same around one that has been reported.
    MoreBraces,
}

/// The tree of the one document, and the problems that did not stop the reading. `Err` is the one problem that did.
pub(super) fn parse<'s>(source: &'s str, limits: &Limits) -> Result<(Option<Node<'s>>, Vec<Diagnostic>), Diagnostic> {
    let mut options = granit_parser::options! {
        flow_nesting_limit: limits.depth,
        block_nesting_limit: limits.depth,
        emit_unresolved_aliases: true,
    };
    options.set_emit_comments(false);
    let mut builder = Builder {
        source,
        limits,
        open: Vec::new(),
        anchors: Vec::new(),
        root: None,
        documents: 0,
        written: Size::default(),
        expanded: Size::default(),
        problems: Vec::new(),
    };
    for event in Parser::new_from_str_with_options(source, options) {
        let (event, span) = event.map_err(|error| syntax_error(source, limits, &error))?;
        builder.event(event, span)?;
    }
    Ok((builder.root, builder.problems))
}

struct Builder<'s, 'l> {
    source: &'s str,
    limits: &'l Limits,
    open: Vec<Open<'s>>,
    anchors: Vec<Option<Anchored<'s>>>,
    root: Option<Node<'s>>,
    documents: usize,
    written: Size,
    expanded: Size,
    problems: Vec<Diagnostic>,
}

impl<'s> Builder<'s, '_> {
    fn event(&mut self, event: Event<'s>, span: granit_parser::Span) -> Result<(), Diagnostic> {
        let tag = span.tag_span().map(|tag| self.span(&tag));
        let span = self.span(&span);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Diagnostic::error(
                        code::MULTIPLE_DOCUMENTS,
                        span,
                        "a second YAML document begins here; a file holds one job definition",
                    )
                    .with_help("remove the `---` line or move what follows it to a file of its own"));
                }
            }
            Event::Scalar(text, style, anchor, tag_value) => {
                let forced = tag_value.as_ref().is_some_and(|tag| matches!(tag.suffix(), "str" | "!"));
                let size = Size { nodes: 1, bytes: text.len(), height: 1 };
                let scalar = Scalar { text: text.into(), plain: style == ScalarStyle::Plain && !forced };
                self.check_tag(tag, tag_value.as_deref(), scalar.core_tag());
                let span = trimmed(self.source, span);
                self.place(Node { kind: Kind::Scalar(scalar), span }, size, anchor, true)?;
            }
            Event::Alias(id) => {
                let Some(Some(anchored)) = self.anchors.get(id) else {
                    return Err(Diagnostic::error(
                        code::ALIAS_EXPANSION,
                        span,
                        "this alias stands inside the very value that it names",
                    )
                    .with_help("an alias can only repeat a value that is complete before it"));
                };
                let (node, size) = (anchored.node.clone(), anchored.size);
                self.grow(size, span)?;
                self.place(node, size, 0, false)?;
            }
            Event::UnresolvedAlias(name) => {
                self.problems.push(
                    Diagnostic::error(code::YAML, span, format!("nothing above is anchored with `&{name}`")).with_help(
                        "in YAML an unquoted `*` begins an alias; put the text in quotes if you mean the character",
                    ),
                );
                self.place(Node { kind: Kind::Reported, span }, Size { nodes: 1, bytes: 0, height: 1 }, 0, true)?;
            }
            Event::SequenceStart(_, anchor, tag_value) => {
                self.check_tag(tag, tag_value.as_deref(), "seq");
                self.begin(span, anchor, Content::Sequence(Vec::new()))?;
            }
            Event::MappingStart(style, anchor, tag_value) => {
                self.check_tag(tag, tag_value.as_deref(), "map");
                let flow = style == StructureStyle::Flow;
                let content = Content::Mapping { flow, key: None, entries: Vec::new(), merges: Vec::new() };
                self.begin(span, anchor, content)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span)?,
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, span: Span, anchor: usize, content: Content<'s>) -> Result<(), Diagnostic> {
        if self.open.len() >= self.limits.depth {
            return Err(too_deep(self.limits, span));
        }
        if anchor > 0 {
            reserve(&mut self.anchors, anchor);
        }
        let size = Size { nodes: 1, bytes: 0, height: 1 };
        self.open.push(Open { span, anchor, size, content });
        Ok(())
    }

    fn end(&mut self, end: Span) -> Result<(), Diagnostic> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let mut span = open.span;
        let kind = match open.content {
            Content::Sequence(items) => {
                span.end = items.last().map_or(span.end, |item| item.span.end).max(span.end);
                Kind::Sequence(Rc::new(items))
            }
            Content::Mapping { flow, entries, merges, key } => {
                span.end = entries.last().map_or(span.end, |entry| entry.value.span.end).max(span.end);
                match key.map(|(_, _, role)| role) {
                    Some(KeyRole::Braces) if flow => {
                        span.end = end.end;
                        self.unquoted_template(span);
                        Kind::Reported
                    }
                    Some(KeyRole::MoreBraces) if flow => Kind::Reported,
                    _ => {
                        let entries = self.without_duplicates(entries);
                        Kind::Mapping(Rc::new(self.merged(entries, merges)))
                    }
                }
            }
        };
        if self.source.as_bytes().get(end.start).is_some_and(|byte| matches!(byte, b'}' | b']')) {
            span.end = end.end;
        }
        self.place(Node { kind, span }, open.size, open.anchor, true)
    }

    /// Puts a finished node where it belongs: into the collection that is open, or at the root.
    fn place(&mut self, node: Node<'s>, size: Size, anchor: usize, written: bool) -> Result<(), Diagnostic> {
        if written {
            self.written.nodes += 1;
            self.written.bytes += if matches!(node.kind, Kind::Scalar(_)) { size.bytes } else { 0 };
            if self.written.nodes + self.expanded.nodes > self.limits.nodes {
                return Err(too_many_nodes(self.limits, node.span));
            }
        }
        if self.open.len() + size.height > self.limits.depth + 1 {
            return Err(too_deep(self.limits, node.span));
        }
        if anchor > 0 {
            reserve(&mut self.anchors, anchor);
            self.anchors[anchor] = Some(Anchored { node: node.clone(), size });
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        parent.size.nodes += size.nodes;
        parent.size.bytes += size.bytes;
        parent.size.height = parent.size.height.max(size.height + 1);
        match &mut parent.content {
            Content::Sequence(items) => items.push(node),
            Content::Mapping { flow, key, entries, merges } => match key.take() {
                None => {
                    let empty = Text::Source("");
                    *key = Some(match node.kind {
                        Kind::Scalar(scalar) if scalar.plain && &*scalar.text == "<<" => {
                            (scalar.text, node.span, KeyRole::Merge)
                        }
                        Kind::Scalar(scalar) => (scalar.text, node.span, KeyRole::Field),
                        Kind::Mapping(_) if *flow => (empty, node.span, KeyRole::Braces),
                        Kind::Reported if *flow => (empty, node.span, KeyRole::MoreBraces),
                        Kind::Reported => (empty, node.span, KeyRole::Dropped),
                        Kind::Sequence(_) | Kind::Mapping(_) => {
                            self.problems.push(
                                Diagnostic::error(code::YAML_KEY, node.span, "a key must be plain text")
                                    .with_help("lists and mappings cannot be keys here"),
                            );
                            (empty, node.span, KeyRole::Dropped)
                        }
                    });
                }
                Some((text, key_span, KeyRole::Field)) => entries.push(Entry { key: text, key_span, value: node }),
                Some((_, _, KeyRole::Merge)) => merges.push(node),
                Some((_, _, KeyRole::Dropped)) => {}
                // Kept as the key, so that the end of the mapping knows what it was.
                Some((text, key_span, role @ (KeyRole::Braces | KeyRole::MoreBraces))) => {
                    *key = Some((text, key_span, role));
                }
            },
        }
        Ok(())
    }

    fn grow(&mut self, size: Size, span: Span) -> Result<(), Diagnostic> {
        self.expanded.nodes += size.nodes;
        self.expanded.bytes += size.bytes;
        let factor = self.limits.expansion;
        // Small files may repeat themselves freely.
        let too_many = self.expanded.nodes > factor * self.written.nodes.max(1_000);
        let too_long = self.expanded.bytes > factor * self.source.len().max(64 << 10);
        if too_many || too_long {
            return Err(Diagnostic::error(
                code::ALIAS_EXPANSION,
                span,
                format!("aliases make this document more than {factor} times as large as it is written"),
            )
            .with_help("repeat less: an alias of a list of aliases grows exponentially"));
        }
        if self.written.nodes + self.expanded.nodes > self.limits.nodes {
            return Err(too_many_nodes(self.limits, span));
        }
        Ok(())
    }

    /// A tag may say what a value is anyway, and that a scalar is text; it makes nothing else of a value.
    fn check_tag(&mut self, span: Option<Span>, tag: Option<&granit_parser::Tag>, fits: &str) {
        let (Some(span), Some(tag)) = (span, tag) else { return };
        let core = tag.handle() == "tag:yaml.org,2002:";
        let non_specific = tag.handle().is_empty() && tag.suffix() == "!";
        if core
            && tag.suffix() != fits
            && matches!(tag.suffix(), "str" | "int" | "float" | "bool" | "null" | "seq" | "map")
        {
            let message = format!("this is tagged `!!{}`, and it is `!!{fits}`", tag.suffix());
            self.problems.push(
                Diagnostic::error(code::YAML_TAG, span, message).with_help("remove the tag and write the value itself"),
            );
        } else if !(non_specific || core && tag.suffix() == fits) {
            self.problems.push(
                Diagnostic::error(code::YAML_TAG, span, "YAML tags have no meaning in a definition")
                    .with_help("remove it; text that begins with `!` must be quoted"),
            );
        }
    }

    fn unquoted_template(&mut self, span: Span) {
        let written = &self.source[span.start..span.end];
        self.problems.push(unquoted_template(span, Some(written)));
    }

    fn without_duplicates(&mut self, entries: Vec<Entry<'s>>) -> Vec<Entry<'s>> {
        let duplicated = if entries.len() <= 8 {
            entries.iter().enumerate().any(|(index, entry)| entries[..index].iter().any(|e| *e.key == *entry.key))
        } else {
            let mut seen = HashSet::with_capacity(entries.len());
            entries.iter().any(|entry| !seen.insert(&*entry.key))
        };
        if !duplicated {
            return entries;
        }
        let mut first = std::collections::HashMap::new();
        let mut kept: Vec<Entry<'s>> = Vec::with_capacity(entries.len());
        for entry in entries {
            if let Some(&earlier) = first.get(&*entry.key) {
                let line = line_of(self.source.as_bytes(), earlier);
                self.problems.push(
                    Diagnostic::error(
                        code::DUPLICATE_KEY,
                        entry.key_span,
                        format!("the key \"{}\" stands twice in this mapping", &*entry.key),
                    )
                    .with_help(format!("it is given first on line {line}; remove one of them")),
                );
            } else {
                first.insert(entry.key.to_string(), entry.key_span.start);
                kept.push(entry);
            }
        }
        kept
    }

    /// Adds what `<<` brings: keys that are given here win, then the earlier of several merged mappings.
    fn merged(&mut self, mut entries: Vec<Entry<'s>>, merges: Vec<Node<'s>>) -> Vec<Entry<'s>> {
        if merges.is_empty() {
            return entries;
        }
        let mut present: HashSet<String> = entries.iter().map(|entry| entry.key.to_string()).collect();
        for merge in merges {
            let sources: Vec<Node<'s>> = match merge.kind {
                Kind::Sequence(items) => items.to_vec(),
                _ => vec![merge],
            };
            for source in sources {
                match &source.kind {
                    Kind::Mapping(added) => {
                        for entry in added.iter() {
                            if present.insert(entry.key.to_string()) {
                                entries.push(entry.clone());
                            }
                        }
                    }
                    Kind::Reported => {}
                    _ => self.problems.push(
                        Diagnostic::error(
                            code::MERGE_KEY,
                            source.span,
                            "`<<` merges mappings, and this is not a mapping",
                        )
                        .with_help("write `<<: *name` or `<<: [*one, *other]`"),
                    ),
                }
            }
        }
        entries
    }

    fn span(&self, span: &granit_parser::Span) -> Span {
        let start = span.start.byte_offset().unwrap_or(0).min(self.source.len());
        let end = span.end.byte_offset().unwrap_or(start).clamp(start, self.source.len());
        Span { start, end }
    }
}

fn reserve(anchors: &mut Vec<Option<Anchored<'_>>>, anchor: usize) {
    if anchors.len() <= anchor {
        anchors.resize_with(anchor + 1, || None);
    }
}

/// Multi-line scalars end before the line break, so that a caret never points at the next line.
fn trimmed(source: &str, span: Span) -> Span {
    let text = &source[span.start..span.end];
    Span {
        start: span.start,
        end: span.start + text.trim_end().len().max(usize::from(text.is_empty())).min(text.len()),
    }
}

fn too_deep(limits: &Limits, span: Span) -> Diagnostic {
    Diagnostic::error(code::DEPTH, span, format!("more than {} levels of nesting", limits.depth))
        .with_help("a definition needs about ten; is a bracket missing?")
}

fn too_many_nodes(limits: &Limits, span: Span) -> Diagnostic {
    Diagnostic::error(code::NODES, span, format!("more than {} YAML values in one file", limits.nodes))
        .with_help("split the definition")
}

fn unquoted_template(span: Span, written: Option<&str>) -> Diagnostic {
    let diagnostic = Diagnostic::error(
        code::UNQUOTED_TEMPLATE,
        span,
        "a value that begins with `{{` is a YAML mapping, not a template",
    );
    match written.filter(|text| !text.contains('\n')) {
        Some(text) if text.contains('"') => diagnostic.with_help(format!("put it in quotes: '{text}'")),
        Some(text) => diagnostic.with_help(format!("put it in quotes: \"{text}\"")),
        None => diagnostic.with_help("put the whole value in quotes: \"{{ … }}\""),
    }
}

/// The line of an offset, from 1.
pub(super) fn line_of(source: &[u8], offset: usize) -> usize {
    source[..offset].split(|byte| *byte == b'\n').count()
}

/// The line that contains `offset`, without its break.
fn line_at(source: &str, offset: usize) -> Span {
    let start = source[..offset].rfind('\n').map_or(0, |at| at + 1);
    let end = source[offset..].find('\n').map_or(source.len(), |at| offset + at);
    Span { start, end }
}

fn syntax_error(source: &str, limits: &Limits, error: &ScanError) -> Diagnostic {
    let mut offset = error.marker().byte_offset().unwrap_or(source.len()).min(source.len());
    while !source.is_char_boundary(offset) {
        offset -= 1;
    }
    let width = source[offset..].chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8);
    let span = Span { start: offset, end: offset + width };
    if *error.kind() == ErrorKind::RecursionLimitExceeded {
        return too_deep(limits, span);
    }
    if let Some(template) = braces_near(source, offset) {
        return template;
    }
    if let Some(tab) = tab_near(source, offset, error.kind()) {
        return tab;
    }
    let (message, help) = explain(error.kind());
    let diagnostic = Diagnostic::error(code::YAML, span, format!("this is not valid YAML: {message}"));
    match help {
        Some(help) => diagnostic.with_help(help),
        None => diagnostic,
    }
}

/// An unquoted template that the parser could not even read as a mapping: `{{ x | default("a") }}-suffix`.
fn braces_near(source: &str, offset: usize) -> Option<Diagnostic> {
    let mut line = line_at(source, offset);
    // The error shows at the end of the value or on the line after it.
    for _ in 0..2 {
        let text = &source[line.start..line.end];
        let found = [": {{", "- {{", "[{{", ", {{", ": {%", "- {%"].into_iter().find_map(|mark| text.find(mark));
        if let Some(at) = found.filter(|at| !inside_quotes(&text[..*at])) {
            let brace = at + text[at..].find('{').unwrap_or(0);
            let span = Span { start: line.start + brace, end: line.start + text.trim_end().len() };
            let written = &source[span.start..span.end];
            if written.starts_with("{%") {
                return Some(
                    Diagnostic::error(code::UNQUOTED_TEMPLATE, span, "a value cannot begin with `{%` without quotes")
                        .with_help("put it in quotes, or use a block scalar: `key: |` and the template below"),
                );
            }
            return Some(unquoted_template(span, Some(written)));
        }
        if line.start == 0 {
            return None;
        }
        line = line_at(source, line.start - 1);
    }
    None
}

fn inside_quotes(text: &str) -> bool {
    text.matches('"').count() % 2 == 1 || text.matches('\'').count() % 2 == 1
}

fn tab_near(source: &str, offset: usize, kind: &ErrorKind) -> Option<Diagnostic> {
    let about_tabs = matches!(
        kind,
        ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabAtBlockScalarStart
            | ErrorKind::TabInPlainScalar
    );
    // The error may show at the end of the line before.
    let here = line_at(source, offset);
    let next = line_at(source, (here.end + 1).min(source.len()));
    let indented_by_tab = |line: &Span| {
        let text = &source[line.start..line.end];
        let indentation = &text[..text.len() - text.trim_start_matches([' ', '\t']).len()];
        indentation.find('\t').map(|tab| line.start + tab)
    };
    let elsewhere =
        || if about_tabs { source[here.start..here.end].find('\t').map(|tab| here.start + tab) } else { None };
    let start = indented_by_tab(&here).or_else(|| indented_by_tab(&next).filter(|_| about_tabs)).or_else(elsewhere)?;
    let end = start + source[start..].bytes().take_while(|byte| *byte == b'\t').count();
    Some(
        Diagnostic::error(code::TAB, Span { start, end }, "YAML does not allow tabs for indentation")
            .with_help("indent with spaces; most editors can convert the whole file"),
    )
}

fn explain(kind: &ErrorKind) -> (String, Option<&'static str>) {
    let help = match kind {
        ErrorKind::MappingValueNotAllowed => {
            return (
                "`:` begins a value where none can stand".to_owned(),
                Some("check the indentation of this line and the one above; text that contains `: ` must be quoted"),
            );
        }
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey | ErrorKind::ExpectedBlockMappingKey => {
            return (
                "a `key: value` line was expected here".to_owned(),
                Some("check the indentation, and that the key is followed by `: `"),
            );
        }
        ErrorKind::InvalidQuotedScalarIndent | ErrorKind::UnclosedQuotedScalar => {
            return ("a quoted text is never closed".to_owned(), Some("look for a missing quote before this place"));
        }
        ErrorKind::UnexpectedCharacter { character } if character.is_control() => {
            return (
                format!("the control character U+{:04X} cannot stand in a file", u32::from(*character)),
                Some("remove it; most editors can show it"),
            );
        }
        ErrorKind::UnexpectedCharacter { character } => {
            return (format!("unquoted text cannot begin with `{character}`"), Some("put the whole value in quotes"));
        }
        ErrorKind::UnclosedFlowCollection { open } => {
            return (format!("`{open}` is never closed"), None);
        }
        ErrorKind::UnknownQuotedScalarEscape => {
            Some("inside \"…\" a backslash begins an escape; write `\\\\` or use '…' instead")
        }
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::ExpectedFlowSequenceSeparator => {
            Some("text with brackets, braces or commas must be quoted")
        }
        ErrorKind::InvalidIndentation | ErrorKind::ExpectedBlockSequenceEntry => {
            Some("lines of one block must begin in the same column")
        }
        _ => None,
    };
    (kind.to_string(), help)
}
