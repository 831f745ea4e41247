//! The forms in which a secret may turn up.

use std::collections::BTreeSet;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::{Zeroize, Zeroizing};

/// A shorter secret is looked for as a whole word only, and in no other form.
pub(super) const SHORT: usize = 6;

/// A secret with more lines has only few forms of each.
const MANY_LINES: usize = 200;

/// What everybody leaves as it is.
const UNRESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// As paths are written.
const PATH: AsciiSet = UNRESERVED.remove(b'/');
/// As JavaScript's `encodeURIComponent` does.
const COMPONENT: AsciiSet = UNRESERVED.remove(b'!').remove(b'*').remove(b'\'').remove(b'(').remove(b')');
/// As forms are sent, but for the space.
const FORM: AsciiSet = UNRESERVED.add(b'~').remove(b'*');

/// A text to look for; wiped from memory when it is dropped.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text(pub(super) Vec<u8>);

impl Drop for Text {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Texts to look for.
#[derive(Default)]
pub(super) struct Forms {
    /// As they stand.
    pub(super) plain: BTreeSet<Text>,
    /// With any blanks and line ends in between.
    pub(super) spread: BTreeSet<Text>,
    /// Only as a whole word.
    pub(super) words: BTreeSet<Text>,
}

impl Forms {
    pub(super) fn of(value: &str) -> Self {
        let mut forms = Self::default();
        let bare = value.trim_matches(['\n', '\r', ' ', '\t']);
        if bare.is_empty() {
            return forms;
        }
        if bare.len() < SHORT {
            forms.words.insert(Text(bare.as_bytes().to_vec()));
            return forms;
        }
        for whole in [value, bare] {
            forms.all_of(whole);
            if whole.contains('\n') && !whole.contains('\r') {
                forms.all_of(&Zeroizing::new(whole.replace('\n', "\r\n")));
            }
        }
        if bare.contains('\n') {
            let lines: Vec<&str> = bare.lines().map(str::trim).filter(|line| line.len() >= SHORT).collect();
            for line in &lines {
                if lines.len() <= MANY_LINES {
                    forms.all_of(line);
                } else {
                    forms.add(line);
                    forms.json(line);
                }
            }
        }
        forms
    }

    fn all_of(&mut self, value: &str) {
        self.add(value);
        self.json(value);
        self.percent(value);
        self.shell(value);
        self.base64(value.as_bytes());
        let hex = Zeroizing::new(hex::encode(value));
        self.add(&hex.to_ascii_uppercase());
        self.add(&hex);
        let text = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let attribute = text.replace('"', "&quot;");
        self.add(&attribute.replace('\'', "&#39;"));
        self.add(&attribute);
        self.add(&text);
    }

    fn add(&mut self, text: &str) {
        if text.len() >= SHORT {
            self.plain.insert(Text(text.as_bytes().to_vec()));
        }
    }

    /// Inside of a JSON string, as different writers write it; once more inside of another one.
    fn json(&mut self, value: &str) {
        let quoted = serde_json::Value::from(value).to_string();
        let json = &quoted[1..quoted.len() - 1];
        self.add(json);
        self.add(&json.replace('/', "\\/"));
        self.add(&json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e"));
        for upper in [false, true] {
            let mut ascii = String::new();
            for c in json.chars() {
                let mut units = [0; 2];
                if c.is_ascii() && c != '\u{7f}' {
                    ascii.push(c);
                    continue;
                }
                for unit in c.encode_utf16(&mut units) {
                    // Writing to a String cannot fail.
                    let _ = if upper { write!(ascii, "\\u{unit:04X}") } else { write!(ascii, "\\u{unit:04x}") };
                }
            }
            self.add(&ascii);
        }
        if json.contains('\\') {
            self.add(&json.replace('\\', "\\\\").replace('"', "\\\""));
        }
    }

    fn percent(&mut self, value: &str) {
        for set in [&UNRESERVED, &PATH, &COMPONENT, &FORM] {
            let upper = utf8_percent_encode(value, set).to_string();
            let lower = lower_escapes(&upper);
            for text in [upper, lower] {
                self.add(&text.replace("%20", "+"));
                self.add(&text);
            }
        }
    }

    /// As shells print what they run, and as it is written between single quotes.
    fn shell(&mut self, value: &str) {
        if value.contains('\'') {
            self.add(&value.replace('\'', "'\\''"));
            self.add(&value.replace('\'', "'\"'\"'"));
        }
        let mut escaped = String::with_capacity(value.len() * 2);
        for c in value.chars() {
            if c.is_ascii() && !c.is_ascii_alphanumeric() && !"_./-@%+=:,".contains(c) {
                escaped.push('\\');
            }
            escaped.push(c);
        }
        self.add(&escaped);
    }

    /// Encoded by itself, and in the middle of something else: then its first and last characters share bits with what
    /// is around, and only those between are known.
    fn base64(&mut self, value: &[u8]) {
        for engine in [STANDARD, URL_SAFE] {
            for before in 0..3_usize {
                let mut padded = Zeroizing::new(vec![0; before]);
                padded.extend_from_slice(value);
                let text = Zeroizing::new(engine.encode(&*padded));
                let first = if before == 0 { 0 } else { before + 1 };
                let known = padded.len() * 8 / 6;
                self.spread(&text[first..known]);
                // Where nothing follows it, the last bits are known too.
                self.spread(text[first..].trim_end_matches('='));
                self.spread(&text[first..]);
            }
        }
    }

    fn spread(&mut self, text: &str) {
        if text.len() >= SHORT {
            self.spread.insert(Text(text.as_bytes().to_vec()));
        }
    }
}

/// `%2F` → `%2f`.
fn lower_escapes(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut left = 0;
    for c in text.chars() {
        result.push(if left > 0 { c.to_ascii_lowercase() } else { c });
        left = if c == '%' { 2 } else { i32::max(left - 1, 0) };
    }
    result
}
