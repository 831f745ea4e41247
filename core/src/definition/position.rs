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
    starts: Vec<u32>,
}

impl<'s> LineIndex<'s> {
    /// Finds all line breaks once.
    pub fn new(source: &'s str) -> Self {
        let is_break = |byte: &u8| *byte == b'\n';
        let mut starts = Vec::with_capacity(source.bytes().filter(is_break).count() + 1);
        starts.push(0);
        // Definitions are far from 4 GiB; what stands behind that counts as one line.
        starts.extend((1u32..).zip(source.bytes()).filter(|(_, byte)| is_break(byte)).map(|(after, _)| after));
        Self { source, starts }
    }

    /// The position of a byte offset; offsets behind the end are the end.
    pub fn position(&self, offset: usize) -> Position {
        let mut offset = offset.min(self.source.len());
        while !self.source.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.starts.partition_point(|start| *start as usize <= offset);
        let start = self.starts[line - 1] as usize;
        Position { line, column: self.source[start..offset].chars().count() + 1 }
    }

    /// The text of a line (from 1) without its break, and the offset at which it begins.
    pub fn line(&self, line: usize) -> (usize, &'s str) {
        let start = self.starts.get(line - 1).map_or(self.source.len(), |start| *start as usize);
        let end = self.starts.get(line).map_or(self.source.len(), |next| *next as usize - 1);
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
