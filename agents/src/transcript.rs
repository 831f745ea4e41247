//! What can be read along, and the raw stream.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::json;

/// How much of the raw stream is kept.
const MOST_RAW: u64 = 64 << 20;

/// How much is printed for people.
const MOST_SHOWN: u64 = 16 << 20;

/// How much of one message is printed.
const LONGEST_SHOWN: usize = 2000;

/// Both of them.
pub(crate) struct Transcript {
    shown: Box<dyn Write + Send>,
    shown_bytes: u64,
    /// Absent once it could not be written.
    raw: Option<BufWriter<File>>,
    raw_bytes: u64,
    most_raw: u64,
    left_out: u64,
}

impl Transcript {
    pub(crate) fn new(shown: Box<dyn Write + Send>, raw: &Path) -> io::Result<Self> {
        let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(raw)?;
        let raw = BufWriter::new(file);
        Ok(Self { shown, shown_bytes: 0, raw: Some(raw), raw_bytes: 0, most_raw: MOST_RAW, left_out: 0 })
    }

    /// Prints one line.
    pub(crate) fn show(&mut self, mark: &str, text: &str) {
        if self.shown_bytes >= MOST_SHOWN {
            return;
        }
        let mut line = format!("{mark} {}\n", on_one_line(text, LONGEST_SHOWN));
        self.shown_bytes += line.len() as u64;
        if self.shown_bytes >= MOST_SHOWN {
            line.push_str("· the rest is not shown here; see the artifact agent/transcript.jsonl\n");
        }
        // Nobody may be reading any more; the record and the raw stream stay.
        let _ = self.shown.write_all(line.as_bytes()).and_then(|()| self.shown.flush());
    }

    /// Keeps a line of the raw stream.
    pub(crate) fn keep(&mut self, line: &[u8]) {
        let length = line.len() as u64 + 1;
        if self.left_out > 0 || self.raw_bytes + length > self.most_raw {
            self.left_out += length;
            return;
        }
        self.raw_bytes += length;
        if let Some(raw) = &mut self.raw
            && raw.write_all(line).and_then(|()| raw.write_all(b"\n")).is_err()
        {
            // A full disk ends the raw stream, not the agent.
            self.raw = None;
        }
    }

    /// Whether the raw stream was given up.
    pub(crate) fn is_broken(&self) -> bool {
        self.raw.is_none()
    }

    /// Marks where a run begins.
    pub(crate) fn begin_run(&mut self, number: usize, cli: &str) {
        self.keep(json!({"atta": "run", "number": number, "cli": cli}).to_string().as_bytes());
    }

    /// Marks a line that was left out.
    pub(crate) fn skipped(&mut self, bytes: u64) {
        self.keep(json!({"atta": "line_left_out", "bytes": bytes}).to_string().as_bytes());
    }

    /// Writes what is in memory; at the end also how much was left out.
    pub(crate) fn flush(&mut self, at_the_end: bool) {
        if let Some(raw) = &mut self.raw {
            if at_the_end && self.left_out > 0 {
                let _ = writeln!(raw, "{}", json!({"atta": "rest_left_out", "bytes": self.left_out}));
                self.left_out = 0;
                self.most_raw = 0;
            }
            if raw.flush().is_err() {
                self.raw = None;
            }
        }
    }
}

/// A text on one line, cut where it is too long, without characters that move a terminal's cursor.
pub(crate) fn on_one_line(text: &str, longest: usize) -> String {
    let mut line = String::with_capacity(text.len().min(longest));
    let mut characters = text.trim().chars();
    for (index, character) in characters.by_ref().enumerate() {
        if index == longest {
            line.push_str(" …");
            break;
        }
        match character {
            '\n' => line.push_str(" ⏎ "),
            '\t' => line.push(' '),
            c if c.is_control() => {}
            c => line.push(c),
        }
    }
    line
}

/// A text that keeps its beginning and its end.
pub(crate) fn cut_in_the_middle(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let marker = "\n… [cut] …\n";
    let half = longest.saturating_sub(marker.len()) / 2;
    let head = text.floor_char_boundary(half);
    let tail = text.ceil_char_boundary(text.len() - half);
    format!("{}{marker}{}", &text[..head], &text[tail..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_raw_stream_ends_with_a_marker_where_it_is_cut() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("raw");
        let mut transcript = Transcript::new(Box::new(io::sink()), &path).unwrap();
        transcript.most_raw = 10;
        for line in ["12345", "6789", "x"] {
            transcript.keep(line.as_bytes());
        }
        transcript.flush(true);
        assert_eq!(std::fs::read_to_string(path).unwrap(), "12345\n{\"atta\":\"rest_left_out\",\"bytes\":7}\n");
    }

    #[test]
    fn what_is_shown_is_one_line_that_no_terminal_obeys() {
        assert_eq!(on_one_line("a\n\u{1b}[31mb\r\tc\n", 100), "a ⏎ [31mb c");
        assert_eq!(on_one_line("ääää", 2), "ää …");
    }

    #[test]
    fn a_long_message_keeps_its_beginning_and_its_end() {
        let cut = cut_in_the_middle(&format!("begin{}end", "ü".repeat(1000)), 100);
        assert!(cut.len() <= 100 && cut.starts_with("begin") && cut.ends_with("end") && cut.contains("[cut]"), "{cut}");
        assert_eq!(cut_in_the_middle("short", 100), "short");
    }
}
