//! Where the block collections of a text begin and end, by line and column.

use granit_parser::{Event, Parser, ScalarStyle, StructureStyle};

/// A value, as far as its lines matter.
#[derive(Debug)]
pub(super) struct Block {
    /// First line, from 0.
    pub(super) line: usize,
    /// Byte offset in that line.
    pub(super) column: usize,
    /// Last line with something in it.
    pub(super) last: usize,
    pub(super) kind: BlockKind,
}

#[derive(Debug)]
pub(super) enum BlockKind {
    /// A scalar, an alias or a flow collection.
    Whole,
    Sequence(Vec<Block>),
    Mapping(Vec<Pair>),
}

#[derive(Debug)]
pub(super) struct Pair {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) key: String,
    pub(super) value: Block,
}

enum Open {
    Sequence {
        items: Vec<Block>,
    },
    Mapping {
        line: usize,
        column: usize,
        key: Option<(usize, usize, String)>,
        pairs: Vec<Pair>,
    },
    /// Inside a flow collection: so many are open.
    Flow {
        line: usize,
        column: usize,
        depth: usize,
    },
}

/// The root mapping; `None` where the text does something that lines cannot show.
pub(super) fn read(text: &str) -> Option<Block> {
    let starts: Vec<usize> = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let place = |offset: usize| {
        let line = starts.partition_point(|start| *start <= offset).saturating_sub(1);
        (line, offset - starts[line])
    };
    let mut options = granit_parser::options! { emit_unresolved_aliases: true };
    options.set_emit_comments(false);
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.ok()?;
        let start = span.start.byte_offset()?.min(text.len());
        let end = span.end.byte_offset()?.clamp(start, text.len());
        let (line, column) = place(start);
        if let Some(Open::Flow { depth, line: first, column: at }) = open.last_mut() {
            match event {
                Event::SequenceStart(..) | Event::MappingStart(..) => *depth += 1,
                Event::SequenceEnd | Event::MappingEnd => {
                    *depth -= 1;
                    if *depth == 0 {
                        let whole =
                            Block { line: *first, column: *at, last: place(end.max(1) - 1).0, kind: BlockKind::Whole };
                        open.pop();
                        finish(&mut open, &mut root, whole, None)?;
                    }
                }
                _ => {}
            }
            continue;
        }
        match event {
            Event::Scalar(value, ScalarStyle::Literal | ScalarStyle::Folded, ..) => {
                // The parser tells where the text begins; what begins the value is on the line above.
                let header = text[..start].trim_end().len().max(1) - 1;
                let header = if text[..start].ends_with('\n') || text[starts[line]..start].trim().is_empty() {
                    place(header).0
                } else {
                    line
                };
                let written = text[starts[header]..].lines().next().unwrap_or_default();
                let depth = written.len() - written.trim_start().len();
                let dash = written[depth..].strip_prefix("- ");
                let column = dash.map_or(depth, |rest| written.len() - rest.trim_start().len());
                let content = &text[start..end];
                // With `|+` the blank lines at the end belong to the text.
                let keeps = written.contains("|+") || written.contains(">+") || written.trim_end().ends_with('+');
                let until = if keeps { end } else { start + content.trim_end().len() };
                let last =
                    if content.trim().is_empty() && !keeps { header } else { place(until.max(1) - 1).0.max(header) };
                let whole = Block { line: header, column, last, kind: BlockKind::Whole };
                finish(&mut open, &mut root, whole, Some(&value))?;
            }
            Event::Scalar(value, ..) => {
                let until = start + text[start..end].trim_end().len();
                let last = if until == start { line } else { place(until - 1).0 };
                finish(&mut open, &mut root, Block { line, column, last, kind: BlockKind::Whole }, Some(&value))?;
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                finish(&mut open, &mut root, Block { line, column, last: line, kind: BlockKind::Whole }, None)?;
            }
            Event::SequenceStart(StructureStyle::Flow, ..) | Event::MappingStart(StructureStyle::Flow, ..) => {
                open.push(Open::Flow { line, column, depth: 1 });
            }
            Event::SequenceStart(..) => open.push(Open::Sequence { items: Vec::new() }),
            Event::MappingStart(..) => open.push(Open::Mapping { line, column, key: None, pairs: Vec::new() }),
            Event::SequenceEnd => {
                let Some(Open::Sequence { items }) = open.pop() else { return None };
                // The parser tells where the first item begins, which is behind its dash.
                let first = items.first()?;
                let line = first.line;
                let before = text[starts[line]..].get(..first.column)?.trim_end();
                let column = before.ends_with('-').then(|| before.len() - 1)?;
                let last = items.last().map_or(line, |item| item.last);
                finish(&mut open, &mut root, Block { line, column, last, kind: BlockKind::Sequence(items) }, None)?;
            }
            Event::MappingEnd => {
                let Some(Open::Mapping { line, column, key: None, pairs }) = open.pop() else { return None };
                let last = pairs.last().map_or(line, |pair| pair.value.last.max(pair.line));
                finish(&mut open, &mut root, Block { line, column, last, kind: BlockKind::Mapping(pairs) }, None)?;
            }
            _ => {}
        }
    }
    root
}

fn finish(open: &mut [Open], root: &mut Option<Block>, block: Block, text: Option<&str>) -> Option<()> {
    match open.last_mut() {
        None => *root = Some(block),
        Some(Open::Sequence { items, .. }) => items.push(block),
        Some(Open::Mapping { key, pairs, .. }) => match key.take() {
            // A key is a scalar on one line.
            None => {
                let text = text.filter(|_| block.line == block.last)?;
                *key = Some((block.line, block.column, text.to_owned()));
            }
            Some((line, column, name)) => pairs.push(Pair { line, column, key: name, value: block }),
        },
        Some(Open::Flow { .. }) => return None,
    }
    Some(())
}
