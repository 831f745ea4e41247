//! Byte offsets → lines and columns.

/// A place in a text as editors count it: both from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

/// The position of a byte offset; offsets behind the end are the end. For many offsets in one text use [`LineIndex`].
pub fn position(source: &str, offset: usize) -> Position {
    LineIndex::new(source).position(offset)
}

/// Where the lines of a text begin.
#[derive(Debug, Clone)]
pub struct LineIndex<'s> {
    source: &'s str,
    starts: Vec<usize>,
}

impl<'s> LineIndex<'s> {
    /// Finds all line breaks once.
    pub fn new(source: &'s str) -> Self {
        let breaks = source.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { source, starts: std::iter::once(0).chain(breaks).collect() }
    }

    /// The position of a byte offset; offsets behind the end are the end.
    pub fn position(&self, offset: usize) -> Position {
        let mut offset = offset.min(self.source.len());
        while !self.source.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.starts.partition_point(|start| *start <= offset);
        // A line of many megabytes is not text that anybody counts columns in.
        let start = self.starts[line - 1];
        Position { line, column: self.source[start..offset].chars().count() + 1 }
    }

    /// The text of a line (from 1) without its break, and the offset at which it begins.
    pub fn line(&self, line: usize) -> (usize, &'s str) {
        let start = self.starts.get(line - 1).copied().unwrap_or(self.source.len());
        let end = self.starts.get(line).map_or(self.source.len(), |next| next - 1);
        (start, self.source[start..end.max(start)].trim_end_matches('\r'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_count_breaks() {
        let source = "a: ü\nbc: x";
        assert_eq!(position(source, 0), Position { line: 1, column: 1 });
        assert_eq!(position(source, 5), Position { line: 1, column: 5 });
        assert_eq!(position(source, 6), Position { line: 2, column: 1 });
        assert_eq!(position(source, 999), Position { line: 2, column: 6 });
        assert_eq!(LineIndex::new(source).line(2), (6, "bc: x"));
    }
}
