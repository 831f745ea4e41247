//! Secrets in a stream that comes in pieces: none gets through, and nothing else changes.
//!
//! The input is a list of steps: what kind of secrets there are, then texts, secrets in one of their forms, and places
//! where the stream is cut.

#![no_main]

use std::fmt::Write as _;

use atta_core::redact::{Mask, Redactor, Search, Stream};
use atta_core::secret::{SecretText, SecretValue};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use libfuzzer_sys::fuzz_target;

/// Shorter ones are found as whole words only.
const MINIMAL: usize = 6;

/// A text that is in no form of any secret that has none of these.
const STRANGE: &[u8] = b" \t\n.,;:!?";

struct Input<'d>(&'d [u8]);

impl<'d> Input<'d> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, count: usize) -> &'d [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// One of the forms that are looked for, wherever it stands.
fn form(secret: &str, which: u8) -> String {
    match which % 6 {
        0 => secret.to_owned(),
        1 => STANDARD.encode(secret),
        2 => URL_SAFE_NO_PAD.encode(secret),
        3 => secret.bytes().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }),
        4 => {
            let quoted = serde_json::Value::from(secret).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        }
        // Wrapped, as `base64` does.
        _ => STANDARD
            .encode(secret)
            .as_bytes()
            .chunks(4)
            .map(|line| format!("{}\n", String::from_utf8_lossy(line)))
            .collect(),
    }
}

fn in_pieces(redactor: &Redactor, mask: Mask, text: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut stream = Stream::new(redactor, mask);
    let mut out = Vec::new();
    let mut from = 0;
    for &cut in cuts.iter().filter(|cut| **cut <= text.len()) {
        stream.push(&text[from..cut], &mut out);
        from = cut;
    }
    stream.push(&text[from..], &mut out);
    stream.finish(&mut out);
    out
}

fn holds(text: &[u8], what: &str) -> bool {
    text.windows(what.len()).any(|window| window == what.as_bytes())
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let Some(count) = input.byte() else { return };
    let mut secrets: Vec<String> = Vec::new();
    for _ in 0..=count % 3 {
        let length = usize::from(input.byte().unwrap_or(0) % 40);
        let Ok(secret) = std::str::from_utf8(input.bytes(length)) else { return };
        secrets.push(secret.to_owned());
    }
    let values: Vec<SecretValue> = secrets
        .iter()
        .map(|secret| SecretValue { name: "S".to_owned(), value: SecretText::new(secret.clone()) })
        .collect();
    let Some(redactor) = Redactor::new(&values) else { return };

    let (mut text, mut cuts, mut put) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(step) = input.byte() {
        match step % 4 {
            0 => text.extend_from_slice(input.bytes(usize::from(step / 4))),
            1 => text.extend(
                input.bytes(usize::from(step / 4)).iter().map(|byte| STRANGE[usize::from(*byte) % STRANGE.len()]),
            ),
            2 => cuts.push(text.len()),
            _ => {
                let secret = &secrets[usize::from(step / 4) % secrets.len()];
                let form = form(secret, input.byte().unwrap_or(0));
                // In the middle of it too.
                cuts.push(text.len() + form.len() / 2);
                text.extend_from_slice(form.as_bytes());
                put.push(secret);
            }
        }
    }
    cuts.sort_unstable();

    let found = redactor.find(&text).is_some();
    let mut search = Search::new(&redactor);
    let mut searched = false;
    let mut from = 0;
    for &cut in cuts.iter().filter(|cut| **cut <= text.len()) {
        searched |= search.push(&text[from..cut]).is_some();
        from = cut;
    }
    searched |= search.push(&text[from..]).is_some();
    searched |= search.finish().is_some();
    assert_eq!(found, searched, "a search in pieces finds what a search finds");

    for mask in [Mask::Mark, Mask::SameLength] {
        let whole = in_pieces(&redactor, mask, &text, &[]);
        let pieces = in_pieces(&redactor, mask, &text, &cuts);
        assert_eq!(pieces, whole, "{mask:?} of {secrets:?} in {:?} cut at {cuts:?}", String::from_utf8_lossy(&text));
        if !found {
            assert_eq!(whole, text, "nothing was found, and the text changed");
        }
        if mask == Mask::SameLength {
            assert_eq!(whole.len(), text.len());
            assert!(whole.iter().zip(&text).all(|(now, was)| now == was || *now == b'*'));
        }
        for secret in secrets.iter().filter(|secret| secret.trim_matches(['\n', '\r', ' ', '\t']).len() >= MINIMAL) {
            // What stands for a secret may look like a part of one that has the same character.
            if secret.contains('*') {
                continue;
            }
            for which in 0..5 {
                assert!(
                    !holds(&whole, &form(secret, which)),
                    "{secret:?} is shown: {:?}",
                    String::from_utf8_lossy(&whole)
                );
            }
        }
    }
    let long = |secret: &&&String| secret.trim_matches(['\n', '\r', ' ', '\t']).len() >= MINIMAL;
    assert!(found || !put.iter().any(|secret| long(&secret)), "a secret that was put in is not found");
    if text.iter().all(|byte| STRANGE.contains(byte))
        && secrets.iter().all(|secret| !secret.bytes().any(|byte| STRANGE.contains(&byte)))
    {
        assert!(!found, "a text that has nothing of a secret");
    }
});
