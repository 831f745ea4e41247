//! `::set-output name=NAME::VALUE` on stdout, for declared names only.

use std::collections::HashSet;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// What a line begins with that sets an output.
const COMMAND: &[u8] = b"::set-output ";
/// A longer line sets nothing.
const LONGEST_LINE: usize = 64 << 10;
/// Bytes of all values.
const MOST: usize = 1 << 20;
/// More are not told.
const MOST_WARNINGS: usize = 10;

/// What was said in the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spoken {
    /// The last value of each name.
    pub(super) values: IndexMap<String, String>,
    pub(super) warnings: Vec<String>,
}

/// Looks for the command at the beginning of each line of a stream that comes in pieces.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SetOutputs {
    declared: HashSet<String>,
    line: Vec<u8>,
    state: Line,
    bytes: usize,
    spoken: Spoken,
    told: HashSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Line {
    /// It may be the command.
    Open,
    /// It is not.
    Other,
    /// It is, and too long.
    TooLong,
}

impl SetOutputs {
    pub(super) fn new(declared: impl IntoIterator<Item = String>) -> Self {
        Self {
            declared: declared.into_iter().collect(),
            line: Vec::new(),
            state: Line::Open,
            bytes: 0,
            spoken: Spoken::default(),
            told: HashSet::new(),
        }
    }

    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let part = &bytes[..end.unwrap_or(bytes.len())];
            if self.state == Line::Open {
                self.take(part);
            }
            let Some(end) = end else { return };
            self.end_line();
            bytes = &bytes[end + 1..];
        }
    }

    /// Something is missing here: what follows begins a line.
    pub(super) fn gap(&mut self) {
        self.line.clear();
        self.state = Line::Open;
    }

    fn take(&mut self, part: &[u8]) {
        let room = (LONGEST_LINE + 1).saturating_sub(self.line.len());
        self.line.extend_from_slice(&part[..part.len().min(room)]);
        let known = self.line.len().min(COMMAND.len());
        if self.line[..known] != COMMAND[..known] {
            self.state = Line::Other;
            self.line.clear();
        } else if self.line.len() > LONGEST_LINE {
            self.state = Line::TooLong;
            self.line.clear();
        }
    }

    fn end_line(&mut self) {
        match self.state {
            Line::Open if self.line.starts_with(COMMAND) => {
                let line = std::mem::take(&mut self.line);
                self.command(&String::from_utf8_lossy(&line[COMMAND.len()..]));
            }
            Line::TooLong => {
                self.warn(format!("a line with ::set-output is longer than {LONGEST_LINE} bytes and was ignored"));
            }
            Line::Open | Line::Other => {}
        }
        self.line.clear();
        self.state = Line::Open;
    }

    fn command(&mut self, rest: &str) {
        let rest = rest.strip_suffix('\r').unwrap_or(rest);
        let Some((properties, value)) = rest.split_once("::") else {
            return self.warn("a line with ::set-output is not of the form ::set-output name=NAME::VALUE".to_owned());
        };
        let name = properties.split(',').find_map(|property| property.trim().strip_prefix("name="));
        let Some(name) = name.map(|name| unescaped(name, true)) else {
            return self
                .warn("a line with ::set-output names no output: write ::set-output name=NAME::VALUE".to_owned());
        };
        if !self.declared.contains(&name) {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
            if self.told.len() < MOST_WARNINGS && self.told.insert(shown.clone()) {
                self.warn(format!("::set-output of `{shown}` was ignored: it is not among the declared `outputs`"));
            }
            return;
        }
        let value = unescaped(value, false);
        self.bytes += value.len();
        if self.bytes > MOST {
            return self.warn(format!("::set-output of `{name}` was ignored: all values together exceed {MOST} bytes"));
        }
        self.spoken.values.insert(name, value);
    }

    fn warn(&mut self, warning: String) {
        if self.spoken.warnings.len() < MOST_WARNINGS {
            self.spoken.warnings.push(warning);
        }
    }

    /// The last line needs no end.
    pub(super) fn finish(mut self) -> Spoken {
        self.end_line();
        self.spoken
    }
}

/// `%25`, `%0D` and `%0A`, in names `%3A` and `%2C` too; any other `%` stands for itself.
fn unescaped(text: &str, name: bool) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        result.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 3).map(str::to_ascii_uppercase);
        let meant = match code.as_deref() {
            Some("25") => Some('%'),
            Some("0D") => Some('\r'),
            Some("0A") => Some('\n'),
            Some("3A") if name => Some(':'),
            Some("2C") if name => Some(','),
            _ => None,
        };
        result.push(meant.unwrap_or('%'));
        rest = &rest[at + if meant.is_some() { 3 } else { 1 }..];
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spoken(chunks: &[&[u8]]) -> Spoken {
        let mut outputs = SetOutputs::new(["a".to_owned(), "b".to_owned()]);
        for chunk in chunks {
            outputs.read(chunk);
        }
        outputs.finish()
    }

    fn pairs(spoken: &Spoken) -> Vec<(&str, &str)> {
        spoken.values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    #[test]
    fn a_line_sets_an_output_however_it_is_cut() {
        let text = b"hello\n::set-output name=a::one::two\nx ::set-output name=b::no\n::set-output name=b::last";
        for cut in 0..text.len() {
            let said = spoken(&[&text[..cut], &text[cut..]]);
            assert_eq!(pairs(&said), [("a", "one::two"), ("b", "last")], "cut at {cut}");
            assert_eq!(said.warnings, Vec::<String>::new());
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(pairs(&spoken(&bytes)).len(), 2);
    }

    #[test]
    fn the_last_value_counts_and_escapes_are_read_once() {
        let said = spoken(&[b"::set-output name=a::1\r\n::set-output name=a::x%0Ay%250A%2C%zz%\n"]);
        assert_eq!(pairs(&said), [("a", "x\ny%0A%2C%zz%")]);
    }

    #[test]
    fn undeclared_names_and_overlong_lines_are_told_and_ignored() {
        let long = [b"::set-output name=a::".as_slice(), &vec![b'x'; 70_000], b"\n::set-output name=b::1\n"].concat();
        let said = spoken(&[&long]);
        assert_eq!(pairs(&said), [("b", "1")]);
        assert_eq!(said.warnings, ["a line with ::set-output is longer than 65536 bytes and was ignored"]);
        let said = spoken(&[b"::set-output name=evil::1\n::set-output name=evil::2\n::set-output evil\n"]);
        assert_eq!(pairs(&said), []);
        assert_eq!(
            said.warnings,
            [
                "::set-output of `evil` was ignored: it is not among the declared `outputs`",
                "a line with ::set-output is not of the form ::set-output name=NAME::VALUE",
            ]
        );
        // A long line that is no command costs nothing.
        assert_eq!(spoken(&[&vec![b'y'; 1_000_000]]).warnings, Vec::<String>::new());
    }
}
