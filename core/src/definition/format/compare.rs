//! What a text says: its values and its comments.

use std::collections::HashSet;

use granit_parser::{Event, Parser};
use serde_json::Value;

use super::super::tree::{self, Kind};
use super::super::{Limits, code};

/// What must not change.
#[derive(Debug, Clone)]
pub(super) struct Content {
    value: Value,
    comments: Vec<String>,
    /// There are anchors or merge keys: the order of keys matters.
    pub(super) anchors: bool,
    /// Lines, from 0, that lie within a value of several lines, its first one left out.
    pub(super) scalar_lines: HashSet<usize>,
}

impl Content {
    /// `None` for what is no YAML mapping that the loader can read.
    pub(super) fn of(text: &str, limits: &Limits) -> Option<Self> {
        if text.len() > limits.source_bytes {
            return None;
        }
        let (root, problems) = tree::parse(text, limits).ok()?;
        let root = root.filter(|root| matches!(root.kind, Kind::Mapping(_)))?;
        // What was left out of the tree could not be compared.
        let lossy =
            [code::YAML, code::YAML_KEY, code::DUPLICATE_KEY, code::MERGE_KEY, code::UNQUOTED_TEMPLATE, code::YAML_TAG];
        if problems.iter().any(|problem| lossy.contains(&problem.code)) {
            return None;
        }
        let mut content =
            Self { value: root.to_json(), comments: Vec::new(), anchors: false, scalar_lines: HashSet::new() };
        let mut options = granit_parser::options! {
            flow_nesting_limit: limits.depth,
            block_nesting_limit: limits.depth,
        };
        options.set_emit_comments(true);
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = event.ok()?;
            match event {
                Event::Comment(comment, _) => content.comments.push(comment.trim_end().to_owned()),
                Event::Alias(_) => content.anchors = true,
                Event::Scalar(_, _, anchor, _) => {
                    content.anchors |= anchor > 0;
                    let first = span.start.line();
                    content
                        .scalar_lines
                        .extend((first..span.end.line().max(first)).map(|line| line.saturating_sub(1) + 1));
                }
                Event::SequenceStart(_, anchor, _) | Event::MappingStart(_, anchor, _) => content.anchors |= anchor > 0,
                _ => {}
            }
        }
        content.comments.sort();
        Some(content)
    }

    /// Whether the text says the same.
    pub(super) fn is_content_of(&self, text: &str, limits: &Limits) -> bool {
        Self::of(text, limits).is_some_and(|other| other.value == self.value && other.comments == self.comments)
    }
}
