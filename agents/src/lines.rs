//! Lines out of a stream of bytes, however it is cut into reads.

/// The longest line that is kept.
pub(crate) const LONGEST: usize = 10 << 20;

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Whole(Vec<u8>),
    /// It was longer than [`LONGEST`]; only its length is known.
    TooLong(u64),
}

/// Puts reads together.
pub(crate) struct Lines {
    longest: usize,
    pending: Vec<u8>,
    /// How many bytes of a line that is too long went by.
    skipped: Option<u64>,
}

impl Lines {
    pub(crate) fn new(longest: usize) -> Self {
        Self { longest, pending: Vec::new(), skipped: None }
    }

    /// The lines that end in these bytes.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut found: impl FnMut(Line)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            bytes = &rest[1..];
            self.add(line);
            found(self.take());
        }
        self.add(bytes);
    }

    /// What came after the last end of line.
    pub(crate) fn finish(&mut self) -> Option<Line> {
        (self.skipped.is_some() || !self.pending.is_empty()).then(|| self.take())
    }

    fn add(&mut self, bytes: &[u8]) {
        if let Some(skipped) = &mut self.skipped {
            *skipped += bytes.len() as u64;
        } else if self.pending.len() + bytes.len() > self.longest {
            self.skipped = Some((self.pending.len() + bytes.len()) as u64);
            self.pending = Vec::new();
        } else {
            self.pending.extend_from_slice(bytes);
        }
    }

    fn take(&mut self) -> Line {
        if let Some(length) = self.skipped.take() {
            return Line::TooLong(length);
        }
        let mut line = std::mem::take(&mut self.pending);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Line::Whole(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(longest: usize, reads: &[&[u8]]) -> Vec<Line> {
        let mut lines = Lines::new(longest);
        let mut found = Vec::new();
        for read in reads {
            lines.push(read, |line| found.push(line));
        }
        found.extend(lines.finish());
        found
    }

    fn whole(text: &str) -> Line {
        Line::Whole(text.as_bytes().to_vec())
    }

    #[test]
    fn a_character_that_is_cut_between_two_reads_is_whole_again() {
        let text = "ä→😀\r\nnext\nrest".as_bytes();
        for cut in 0..text.len() {
            assert_eq!(all(100, &[&text[..cut], &text[cut..]]), [whole("ä→😀"), whole("next"), whole("rest")], "{cut}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_left_out_and_the_next_one_is_there() {
        assert_eq!(all(4, &[b"12345678", b"9\nab\n", b"12345"]), [Line::TooLong(9), whole("ab"), Line::TooLong(5)]);
        assert_eq!(all(4, &[b"1234\n\n"]), [whole("1234"), whole("")]);
    }

    #[test]
    fn nothing_is_kept_of_a_line_that_is_too_long() {
        let mut lines = Lines::new(1000);
        for _ in 0..1000 {
            lines.push(&[b'x'; 999], |_| panic!("no line has ended"));
            assert!(lines.pending.capacity() <= 2000);
        }
    }
}
