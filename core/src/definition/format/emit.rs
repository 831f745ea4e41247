//! Writes the lines of a text anew.

use std::collections::HashSet;

use super::super::keys::{JOB, Shape, TASK, Vocabulary};
use super::blocks::{Block, BlockKind, Pair};

/// How much deeper each level stands.
const STEP: usize = 2;

/// The whole text; `None` where it does something that lines cannot show.
pub(super) fn emit(text: &str, root: &Block, reorder: bool) -> Option<String> {
    // Something empty may stand behind the last line end: that is a line too.
    let lines: Vec<&str> = text.split('\n').collect();
    // A byte order mark would shift the columns of the first line.
    if text.starts_with('\u{feff}') || text.contains('\r') {
        return None;
    }
    let BlockKind::Mapping(pairs) = &root.kind else { return None };
    let mut writer = Writer { lines, out: String::with_capacity(text.len()), reorder };
    let first = pairs.first()?.line;
    writer.header(first);
    writer.mapping(pairs, Some(&JOB), 0, None)?;
    let end = writer.lines.len();
    writer.loose(root.last + 1..end, 0, 0);
    let mut out = writer.out;
    while out.ends_with("\n\n") {
        out.pop();
    }
    Some(out)
}

/// Without spaces at the ends of lines and runs of blank lines, where these mean nothing.
pub(super) fn spacing(text: &str, scalar_lines: &HashSet<usize>) -> String {
    let mut out = String::with_capacity(text.len());
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = if scalar_lines.contains(&number) { line } else { line.trim_end() };
        if line.is_empty() && (out.is_empty() || out.ends_with("\n\n")) && !scalar_lines.contains(&number) {
            continue;
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

struct Writer<'t> {
    lines: Vec<&'t str>,
    out: String,
    reorder: bool,
}

/// A pair or an item with the comments above it, and those that stand deeper behind the one before.
struct Entry {
    leading: std::ops::Range<usize>,
    /// After its own lines: comments that belong to what is inside it.
    trailing: std::ops::Range<usize>,
}

impl Writer<'_> {
    /// Comments at the top of the file, and what marks a document.
    fn header(&mut self, first: usize) {
        for number in 0..first {
            let line = self.lines[number].trim_end();
            match line.trim_start() {
                "" => self.blank(),
                comment if comment.starts_with('#') => self.line(0, comment),
                _ => self.line(0, line),
            }
        }
    }

    fn line(&mut self, indent: usize, text: &str) {
        self.out.extend(std::iter::repeat_n(' ', indent));
        self.out.push_str(text);
        self.out.push('\n');
    }

    /// One blank line, not at the top and not after another.
    fn blank(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }

    /// Comments and blank lines: those that stand deeper than `column` keep their distance from it.
    fn loose(&mut self, range: std::ops::Range<usize>, column: usize, indent: usize) {
        for number in range {
            let line = self.lines[number].trim_end();
            let text = line.trim_start();
            if text.is_empty() {
                self.blank();
            } else {
                let deeper = (line.len() - text.len()).saturating_sub(column);
                self.line(indent + deeper, text);
            }
        }
    }

    /// Parts what stands between two entries: what is deeper belongs to the first, the rest to the second.
    fn part(&self, between: std::ops::Range<usize>, column: usize) -> usize {
        let deeper = |number: &usize| {
            let line = self.lines[*number];
            let text = line.trim_start();
            !text.is_empty() && line.len() - text.len() > column
        };
        between.clone().rev().find(deeper).map_or(between.start, |number| number + 1)
    }

    fn entries(&self, places: &[(usize, usize)], column: usize) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::with_capacity(places.len());
        for (index, (line, _)) in places.iter().enumerate() {
            let leading = match index.checked_sub(1) {
                None => *line..*line,
                Some(before) => {
                    let start = places[before].1 + 1;
                    let parted = self.part(start..(*line).max(start), column);
                    entries[before].trailing = start..parted;
                    parted..(*line).max(parted)
                }
            };
            entries.push(Entry { leading, trailing: 0..0 });
        }
        entries
    }

    /// The pairs of a block mapping. With `dash` the first one follows a `- ` that stands so deep.
    fn mapping(
        &mut self,
        pairs: &[Pair],
        vocabulary: Option<&'static Vocabulary>,
        indent: usize,
        dash: Option<usize>,
    ) -> Option<()> {
        let column = pairs.first()?.column;
        // Every pair but the first begins its line; columns agree.
        let aligned = pairs.iter().skip(1).all(|pair| {
            pair.column == column && self.lines[pair.line].get(..column).is_some_and(|text| text.trim().is_empty())
        });
        if !aligned {
            return None;
        }
        let places: Vec<(usize, usize)> =
            pairs.iter().map(|pair| (pair.line, pair.value.last.max(pair.line))).collect();
        let entries = self.entries(&places, column);
        let mut order: Vec<usize> = (0..pairs.len()).collect();
        if self.reorder
            && let Some(vocabulary) = vocabulary
        {
            let position = |index: &usize| vocabulary.known().position(|name| name == pairs[*index].key);
            if order.iter().all(|index| position(index).is_some()) {
                order.sort_by_key(position);
            }
        }
        for (rank, index) in order.into_iter().enumerate() {
            let (pair, entry) = (&pairs[index], &entries[index]);
            if rank == 0 {
                // Before the dash, or right below the key above.
                let comments: Vec<&str> = entry.leading.clone().map(|n| self.lines[n].trim()).collect();
                for comment in comments.into_iter().filter(|comment| !comment.is_empty()) {
                    self.line(dash.unwrap_or(indent), comment);
                }
            } else {
                self.loose(entry.leading.clone(), usize::MAX, indent);
            }
            let before = match dash {
                Some(dash) if rank == 0 => format!("{}- ", " ".repeat(dash)),
                _ => " ".repeat(indent),
            };
            let inner = vocabulary.and_then(|vocabulary| vocabulary.key(&pair.key)).map(|key| key.shape);
            self.pair(pair, inner, indent, &before)?;
            self.loose(entry.trailing.clone(), column, indent);
        }
        Some(())
    }

    fn pair(&mut self, pair: &Pair, shape: Option<Shape>, indent: usize, before: &str) -> Option<()> {
        let line = self.lines[pair.line].get(pair.column..)?;
        if line.starts_with(['?', ':', '&', '!', '*']) {
            return None;
        }
        let key_end = if line.starts_with(['"', '\'']) {
            // The same key, however it is quoted: up to the quote before the colon.
            let quote = line.chars().next()?;
            let close = line[1..].find(quote)? + 2;
            line[close..].trim_start().starts_with(':').then_some(close)?
        } else {
            line.find(':').filter(|at| line[..*at].trim_end() == pair.key)?
        };
        let (key, rest) = line.split_at(key_end);
        let rest = rest.trim_start().strip_prefix(':')?;
        let (key, rest) = (key.trim_end(), rest.trim());
        let value = &pair.value;
        self.out.push_str(before);
        self.out.push_str(key);
        self.out.push(':');
        if !rest.is_empty() {
            self.out.push(' ');
            // The end of a line is part of a text in quotes of several lines only as a blank.
            self.out.push_str(rest);
        }
        self.out.push('\n');
        match &value.kind {
            BlockKind::Whole => self.rest_of_whole(value, pair.line, pair.column, indent),
            _ if value.line == pair.line => None,
            BlockKind::Mapping(pairs) => {
                let vocabulary = vocabulary_of(shape);
                self.loose_before(pair.line, value.line, indent + STEP);
                self.mapping(pairs, vocabulary, indent + STEP, None)
            }
            BlockKind::Sequence(items) => {
                let tasks = matches!(shape, Some(Shape::List(Shape::Mapping(v), ..)) if v.what == TASK.what);
                let vocabulary = vocabulary_of(shape);
                self.loose_before(pair.line, value.line, indent + STEP);
                self.sequence(value, items, vocabulary, indent + STEP, tasks)
            }
        }
    }

    /// Comments between a key and the collection below it.
    fn loose_before(&mut self, key: usize, first: usize, indent: usize) {
        for number in key + 1..first {
            let text = self.lines[number].trim().to_owned();
            if !text.is_empty() {
                self.line(indent, &text);
            }
        }
    }

    /// The further lines of a value that stays as it is, moved with its key.
    fn rest_of_whole(&mut self, value: &Block, line: usize, column: usize, indent: usize) -> Option<()> {
        for number in line + 1..=value.last {
            let text = self.lines.get(number)?;
            let content = text.trim_start_matches(' ');
            let depth = text.len() - content.len();
            if content.is_empty() && depth <= column {
                self.out.push('\n');
                continue;
            }
            let moved = (depth + indent).saturating_sub(column).max(indent + 1);
            self.out.extend(std::iter::repeat_n(' ', moved));
            self.out.push_str(content);
            self.out.push('\n');
        }
        Some(())
    }

    fn sequence(
        &mut self,
        sequence: &Block,
        items: &[Block],
        vocabulary: Option<&'static Vocabulary>,
        indent: usize,
        tasks: bool,
    ) -> Option<()> {
        let column = sequence.column;
        // Each item's dash stands in the column of the sequence, with the item behind it.
        let dashed = items.iter().all(|item| {
            let line = self.lines[item.line];
            line.get(..column).is_some_and(|text| text.trim().is_empty())
                && line.get(column..item.column).is_some_and(|text| text.trim_end() == "-")
        });
        if !dashed {
            return None;
        }
        let places: Vec<(usize, usize)> = items.iter().map(|item| (item.line, item.last)).collect();
        let entries = self.entries(&places, column);
        for (index, (item, entry)) in items.iter().zip(&entries).enumerate() {
            if tasks && index > 0 && matches!(item.kind, BlockKind::Mapping(_)) {
                self.blank();
            }
            self.loose(entry.leading.clone(), usize::MAX, indent);
            match &item.kind {
                BlockKind::Mapping(pairs) => self.mapping(pairs, vocabulary, indent + STEP, Some(indent))?,
                BlockKind::Sequence(_) => return None,
                BlockKind::Whole => {
                    let text = self.lines[item.line].get(item.column..)?.trim_end();
                    let line = format!("- {text}");
                    self.line(indent, line.trim_end());
                    self.rest_of_whole(item, item.line, column, indent)?;
                }
            }
            self.loose(entry.trailing.clone(), column, indent);
        }
        Some(())
    }
}

fn vocabulary_of(shape: Option<Shape>) -> Option<&'static Vocabulary> {
    match shape? {
        Shape::TaskDefaults => Some(&TASK),
        Shape::Mapping(vocabulary) => Some(vocabulary),
        Shape::List(item, ..) | Shape::OrTemplate(item) => vocabulary_of(Some(*item)),
        Shape::OneOf(shapes) => shapes.iter().find_map(|shape| vocabulary_of(Some(*shape))),
        _ => None,
    }
}
