//! Keeping secrets out of what tasks write: streams, texts and JSON values, in the forms in which secrets usually turn up.
//!
//! What is looked for: the value itself, its lines, base64 (both alphabets, alone or inside of something, over line
//! breaks), percent-encoded, JSON-escaped, shell-quoted, HTML-escaped, hexadecimal. What somebody encodes otherwise on
//! purpose is not found.

mod forms;
mod stream;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::secret::SecretValue;
use forms::{Forms, Text};
pub use stream::{Mask, Search, Stream, StreamState};

/// What stands where a secret stood.
pub const MARK: &str = "***";

/// So many blanks and line ends in a row are no break of a line, with its indentation, but the end of what was encoded:
/// else everything behind its first character would have to wait for the next one.
const MOST_BLANKS: usize = 1_024;

/// Finds the secrets of an attempt. Cheap to clone.
#[derive(Clone)]
pub struct Redactor {
    inner: Arc<Inner>,
}

struct Inner {
    names: Vec<String>,
    layers: Vec<Layer>,
}

/// Needles that are looked for in the same way.
struct Layer {
    automaton: AhoCorasick,
    /// By pattern.
    needles: Vec<Needle>,
    /// The needles in order, to find out whether a text may become one.
    sorted: Vec<(Text, bool)>,
    first: [bool; 256],
    longest: usize,
    /// Blanks and line ends between the bytes of a needle do not matter, as long as there are not too many.
    spread: bool,
}

#[derive(Clone, Copy)]
struct Needle {
    secret: usize,
    /// Counts only where it stands alone.
    word: bool,
}

/// A secret that was found in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    start: usize,
    end: usize,
    secret: usize,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("names", &self.inner.names).finish_non_exhaustive()
    }
}

impl Redactor {
    /// Of these secrets; `None` when there is nothing to look for.
    pub fn new(secrets: &[SecretValue]) -> Option<Self> {
        let forms: Vec<Forms> = secrets.iter().map(|secret| Forms::of(secret.value.reveal())).collect();
        let mut plain = Vec::new();
        let mut spread = Vec::new();
        for (index, forms) in forms.into_iter().enumerate() {
            plain.extend(forms.plain.into_iter().map(|text| (text, Needle { secret: index, word: false })));
            plain.extend(forms.words.into_iter().map(|text| (text, Needle { secret: index, word: true })));
            spread.extend(forms.spread.into_iter().map(|text| (text, Needle { secret: index, word: false })));
        }
        let layers: Vec<Layer> = [Layer::new(plain, false), Layer::new(spread, true)].into_iter().flatten().collect();
        if layers.is_empty() {
            return None;
        }
        let names = secrets.iter().map(|secret| secret.name.clone()).collect();
        Some(Self { inner: Arc::new(Inner { names, layers }) })
    }

    /// A text without secrets.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let (found, _) = self.scan(text.as_bytes(), None, true);
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = Vec::with_capacity(text.len());
        let mut stream = Stream::new(self, Mask::Mark);
        stream.push(text.as_bytes(), &mut out);
        stream.finish(&mut out);
        Cow::Owned(String::from_utf8_lossy(&out).into_owned())
    }

    /// Replaces a text when it holds a secret; says whether it did.
    pub fn clean(&self, text: &mut String) -> bool {
        match self.text(text) {
            Cow::Borrowed(_) => false,
            Cow::Owned(clean) => {
                *text = clean;
                true
            }
        }
    }

    /// Replaces secrets in the texts of a JSON value, in its keys and numbers too; says whether there were any.
    pub fn clean_json(&self, value: &mut Value) -> bool {
        match value {
            Value::Null | Value::Bool(_) => false,
            Value::Number(number) => {
                let dirty = self.find(number.to_string().as_bytes()).is_some();
                if dirty {
                    *value = Value::from(MARK);
                }
                dirty
            }
            Value::String(text) => self.clean(text),
            Value::Array(items) => {
                let mut dirty = false;
                for item in items {
                    dirty |= self.clean_json(item);
                }
                dirty
            }
            Value::Object(entries) => {
                let mut dirty = false;
                for item in entries.values_mut() {
                    dirty |= self.clean_json(item);
                }
                if entries.keys().any(|key| self.find(key.as_bytes()).is_some()) {
                    dirty = true;
                    let renamed: Map<String, Value> = std::mem::take(entries)
                        .into_iter()
                        .map(|(key, value)| (self.text(&key).into_owned(), value))
                        .collect();
                    *entries = renamed;
                }
                dirty
            }
        }
    }

    /// The name of a secret that the bytes hold.
    pub fn find(&self, bytes: &[u8]) -> Option<&str> {
        let (found, _) = self.scan(bytes, None, true);
        found.first().map(|found| self.name(*found))
    }

    fn name(&self, found: Found) -> &str {
        &self.inner.names[found.secret]
    }

    /// Everything that is found in a buffer, in order, and from where on the buffer may still become a secret (its end,
    /// when nothing follows). `before` is the byte in front of it.
    fn scan(&self, buffer: &[u8], before: Option<u8>, ends: bool) -> (Vec<Found>, usize) {
        let mut found = Vec::new();
        let mut hold = buffer.len();
        for layer in &self.inner.layers {
            hold = hold.min(layer.scan(buffer, before, ends, &mut found));
        }
        found.sort_unstable();
        (found, hold)
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

impl Layer {
    /// `None` when there are no needles.
    fn new(needles: Vec<(Text, Needle)>, spread: bool) -> Option<Self> {
        if needles.is_empty() {
            return None;
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .build(needles.iter().map(|(text, _)| text.0.as_slice()))
            // Only more needles than fit into memory are refused.
            .ok()?;
        let mut first = [false; 256];
        for (text, _) in &needles {
            first[usize::from(text.0[0])] = true;
        }
        let longest = needles.iter().map(|(text, _)| text.0.len()).max().unwrap_or(0);
        let meta = needles.iter().map(|(_, needle)| *needle).collect();
        let mut sorted: Vec<_> = needles.into_iter().map(|(text, needle)| (text, needle.word)).collect();
        sorted.sort();
        Some(Self { automaton, needles: meta, sorted, first, longest, spread })
    }

    fn scan(&self, buffer: &[u8], before: Option<u8>, ends: bool, found: &mut Vec<Found>) -> usize {
        if !self.spread {
            self.search(buffer, before, ends, &|at| at, found);
            return if ends { buffer.len() } else { self.hold(buffer) };
        }
        let mut text = Zeroizing::new(Vec::with_capacity(buffer.len()));
        let mut places = Vec::with_capacity(buffer.len());
        let mut blanks = 0;
        for (place, byte) in buffer.iter().enumerate() {
            blanks = if is_blank(*byte) { blanks + 1 } else { 0 };
            // A longer gap is a character of its own, that no needle has.
            if blanks == 0 || blanks == MOST_BLANKS {
                text.push(*byte);
                places.push(place);
            }
        }
        self.search(&text, before, ends, &|at| places[at], found);
        let hold = if ends { text.len() } else { self.hold(&text) };
        places.get(hold).copied().unwrap_or(buffer.len())
    }

    fn search(
        &self,
        text: &[u8],
        before: Option<u8>,
        ends: bool,
        place: &dyn Fn(usize) -> usize,
        found: &mut Vec<Found>,
    ) {
        for hit in self.automaton.find_overlapping_iter(text) {
            let needle = self.needles[hit.pattern().as_usize()];
            if needle.word {
                let left = if hit.start() == 0 { before } else { Some(text[hit.start() - 1]) };
                let right = match text.get(hit.end()) {
                    Some(byte) => is_word(*byte),
                    // What follows is not known yet: it is held back.
                    None => !ends,
                };
                if right || left.is_some_and(is_word) {
                    continue;
                }
            }
            found.push(Found { start: place(hit.start()), end: place(hit.end() - 1) + 1, secret: needle.secret });
        }
    }

    /// Where the text's longest end begins that may become a needle.
    fn hold(&self, text: &[u8]) -> usize {
        let from = text.len().saturating_sub(self.longest);
        (from..text.len())
            .find(|&at| self.first[usize::from(text[at])] && self.may_become(&text[at..]))
            .unwrap_or(text.len())
    }

    fn may_become(&self, end: &[u8]) -> bool {
        let from = self.sorted.partition_point(|(needle, _)| needle.0.as_slice() < end);
        self.sorted[from..]
            .iter()
            .take_while(|(needle, _)| needle.0.starts_with(end))
            .any(|(needle, word)| needle.0.len() > end.len() || *word)
    }
}
