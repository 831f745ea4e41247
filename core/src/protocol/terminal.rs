//! Terminals of tasks: what people type into an attempt, from the API to the ant.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use super::AttemptId;
use crate::graph::invisible;

/// A terminal that nobody has resized has so many columns…
pub const COLUMNS: u16 = 120;
/// …and rows.
pub const ROWS: u16 = 30;
/// A terminal has at least so many columns and rows…
pub const SMALLEST: u16 = 2;
/// …and at most.
pub const LARGEST: u16 = 1000;
/// Bytes of one input, at most.
pub const INPUT: usize = 16 * 1024;

fn columns() -> u16 {
    COLUMNS
}

fn rows() -> u16 {
    ROWS
}

/// How large a terminal is, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TerminalSize {
    /// 2 to 1000.
    #[schema(minimum = 2, maximum = 1000)]
    pub columns: u16,
    /// 2 to 1000.
    #[schema(minimum = 2, maximum = 1000)]
    pub rows: u16,
}

impl Default for TerminalSize {
    fn default() -> Self {
        Self { columns: COLUMNS, rows: ROWS }
    }
}

impl TerminalSize {
    /// Whether a terminal can be that large.
    pub fn is_possible(self) -> bool {
        let possible = SMALLEST..=LARGEST;
        possible.contains(&self.columns) && possible.contains(&self.rows)
    }
}

/// A request to type into the terminal of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TerminalRequest {
    /// End the session of somebody else who types.
    #[serde(default)]
    pub take_over: bool,
    /// How many columns the terminal gets, 2 to 1000; 120 when absent.
    #[serde(default = "columns")]
    #[schema(minimum = 2, maximum = 1000)]
    pub columns: u16,
    /// How many rows, 2 to 1000; 30 when absent.
    #[serde(default = "rows")]
    #[schema(minimum = 2, maximum = 1000)]
    pub rows: u16,
}

impl Default for TerminalRequest {
    fn default() -> Self {
        Self { take_over: false, columns: COLUMNS, rows: ROWS }
    }
}

impl TerminalRequest {
    /// The size in it.
    pub fn size(self) -> TerminalSize {
        TerminalSize { columns: self.columns, rows: self.rows }
    }
}

/// The right to type into the terminal of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TerminalSession {
    /// Names it in further requests; nobody else knows it.
    pub session: String,
    /// The attempt.
    pub attempt_id: AttemptId,
    /// It ends when so many milliseconds have gone by without a request of it.
    pub expires_after_ms: u64,
    /// The `seq` of the first input.
    pub next_seq: u64,
}

/// For an ant: what is to be typed into an attempt, or how large its terminal is from now on. Nothing is typed twice: each
/// byte has a position on a line, and what lies before the position that the attempt has come to was typed before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalOrder {
    /// Which attempt.
    pub attempt_id: AttemptId,
    /// Its fencing token.
    pub token: u64,
    /// Counts the lines to attempts; what comes on an older one is late.
    pub line: u64,
    /// The position of the first byte on its line.
    pub position: u64,
    /// What is typed.
    #[serde(default, with = "as_base64", skip_serializing_if = "Vec::is_empty")]
    pub bytes: Vec<u8>,
    /// The size from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<TerminalSize>,
}

/// For the queen: how far an attempt has come with what was typed into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypedInput {
    /// Which attempt.
    pub attempt_id: AttemptId,
    /// The newest line.
    pub line: u64,
    /// All bytes before this position of it have reached what watches over the program.
    pub upto: u64,
}

/// Bytes that need not be text, in JSON.
mod as_base64 {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

/// Why a session has ended whose attempt is over, in the answer with the code `TERMINAL_CLOSED`.
pub const ATTEMPT_ENDED: &str = "the attempt has ended";

/// Bytes as people can read them: what they would not see as it is, is written as an escape.
pub fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                character if invisible(character) => text.extend(character.escape_unicode()),
                character => text.push(character),
            }
        }
        for byte in chunk.invalid() {
            text.extend(["\\x".to_owned(), hex::encode([*byte])]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(bytes: &[u8], size: Option<TerminalSize>) -> TerminalOrder {
        let attempt_id = AttemptId("job_a-1".to_owned());
        TerminalOrder { attempt_id, token: 7, line: 1, position: 3, bytes: bytes.to_vec(), size }
    }

    #[test]
    fn an_order_survives_the_way_whatever_is_typed() {
        for order in [order(&[0, 255, b'\r', 0xc3], None), order(b"", Some(TerminalSize { columns: 80, rows: 24 }))] {
            let text = serde_json::to_string(&order).unwrap();
            assert_eq!(serde_json::from_str::<TerminalOrder>(&text).unwrap(), order, "{text}");
        }
    }

    #[test]
    fn a_request_may_say_nothing_and_sizes_have_bounds() {
        let request: TerminalRequest = serde_json::from_str("{}").unwrap();
        assert_eq!(request, TerminalRequest { take_over: false, columns: 120, rows: 30 });
        for (columns, rows, possible) in [(2, 2, true), (1000, 1000, true), (1, 30, false), (80, 1001, false)] {
            assert_eq!(TerminalSize { columns, rows }.is_possible(), possible, "{columns}x{rows}");
        }
    }

    #[test]
    fn what_was_typed_can_be_read_and_told_apart() {
        assert_eq!(escaped("ls -l ä\r".as_bytes()), "ls -l ä\\r");
        assert_eq!(escaped("a\u{202e}b\u{200b}".as_bytes()), "a\\u{202e}b\\u{200b}");
        assert_eq!(escaped(b"\x03\x1b[A\xff\\n"), "\\u{3}\\u{1b}[A\\xff\\\\n");
    }
}
