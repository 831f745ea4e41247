use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::secret::SecretText;

fn redactor(values: &[&str]) -> Redactor {
    let secrets: Vec<SecretValue> = values
        .iter()
        .enumerate()
        .map(|(index, value)| SecretValue { name: format!("S{index}"), value: SecretText::new((*value).to_owned()) })
        .collect();
    Redactor::new(&secrets).unwrap()
}

/// Pushes pieces of these lengths.
fn streamed(redactor: &Redactor, mask: Mask, bytes: &[u8], lengths: &[usize]) -> Vec<u8> {
    let mut stream = Stream::new(redactor, mask);
    let mut out = Vec::new();
    let mut rest = bytes;
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at(rest.len().min(*length));
        stream.push(piece, &mut out);
        rest = after;
    }
    stream.finish(&mut out);
    out
}

#[test]
fn a_secret_that_is_split_over_any_two_writes_is_found() {
    let redactor = redactor(&["correct-horse"]);
    let text = "a correct-horse; correct-hors, correct-horsecorrect-horse.";
    for first in 0..text.len() {
        let out = streamed(&redactor, Mask::Mark, text.as_bytes(), &[first.max(1), 1, 3]);
        assert_eq!(String::from_utf8(out).unwrap(), "a ***; correct-hors, ***.");
        let out = streamed(&redactor, Mask::SameLength, text.as_bytes(), &[first.max(1)]);
        let expected = format!("a {}; correct-hors, {}.", "*".repeat(13), "*".repeat(26));
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

#[test]
fn only_what_may_become_a_secret_is_held_back() {
    let redactor = redactor(&["correct-horse"]);
    let mut stream = Stream::new(&redactor, Mask::Mark);
    let mut out = Vec::new();
    stream.push(b"the prompt: corr", &mut out);
    assert_eq!(out, b"the prompt: ");
    stream.push(b"upt", &mut out);
    assert_eq!((out.as_slice(), stream.held()), (b"the prompt: corrupt".as_slice(), 0));
}

#[test]
fn blanks_without_end_are_not_held_back() {
    let redactor = redactor(&["correct-horse"]);
    let encoded = STANDARD.encode("correct-horse");
    let mut stream = Stream::new(&redactor, Mask::Mark);
    let mut out = Vec::new();
    stream.push(&encoded.as_bytes()[..9], &mut out);
    for _ in 0..1_000 {
        stream.push(&[b' '; 4_096], &mut out);
        assert!(stream.held() <= 9 + 4_096, "{} bytes are held back", stream.held());
    }
    stream.finish(&mut out);
    assert_eq!(out.len(), 9 + 1_000 * 4_096);
    // An indented line is not the end.
    let wrapped = format!("{}\n{}{}", &encoded[..9], " ".repeat(200), &encoded[9..]);
    assert_eq!(redactor.text(&wrapped), "***");
}

#[test]
fn secrets_that_overlap_are_covered_whole() {
    let redactor = redactor(&["abcdefX", "efXghijk"]);
    for lengths in [[100], [1], [6], [7], [8]] {
        assert_eq!(streamed(&redactor, Mask::Mark, b"-abcdefXghijk-", &lengths), b"-***-");
    }
}

/// What programs make of a secret.
fn encodings(value: &str) -> Vec<(&'static str, String)> {
    let percent = |lower: bool| -> String {
        value
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
                _ if lower => format!("%{byte:02x}"),
                _ => format!("%{byte:02X}"),
            })
            .collect()
    };
    let ascii: String =
        value.chars().map(|c| if c.is_ascii() { c.to_string() } else { format!("\\u{:04x}", c as u32) }).collect();
    let json = json!(value).to_string();
    vec![
        ("plain", value.to_owned()),
        ("base64", STANDARD.encode(value)),
        ("base64 for URLs", URL_SAFE_NO_PAD.encode(value)),
        ("percent", percent(false)),
        ("percent, lower case", percent(true)),
        ("form", percent(false).replace("%20", "+")),
        ("JSON", json.clone()),
        ("JSON in JSON", json!(json).to_string()),
        ("JSON, only ASCII", json!(ascii).to_string().replace("\\\\u", "\\u")),
        ("shell", format!("'{}'", value.replace('\'', "'\\''"))),
        ("hex", hex::encode(value)),
        ("HEX", hex::encode_upper(value)),
        ("markup", value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")),
    ]
}

#[test]
fn the_usual_encodings_are_found() {
    for value in ["s3cr=t/+?&v", "it's \"quoted\" <b> & more", "gr\u{fc}n \u{2713} secret", "with spaces/and/slashes"] {
        let redactor = redactor(&[value]);
        for (what, text) in encodings(value) {
            let line = format!("before {text} after");
            let clean = redactor.text(&line);
            let trimmed = clean.trim_start_matches("before ").trim_end_matches(" after");
            assert!(trimmed.trim_matches(['"', '\'', '\\']) == MARK, "{what} of {value:?}: {line} → {clean}");
        }
    }
}

#[test]
fn base64_is_found_inside_of_other_base64_and_over_line_breaks() {
    let value = "a-long-secret-that-is-longer-than-one-line-of-base64-and-then-some-more-0123456789";
    let redactor = redactor(&[value]);
    for before in ["", "x", "xy", "user:", "user:name:more"] {
        let whole = STANDARD.encode(format!("{before}{value}\nrest"));
        let wrapped: Vec<String> =
            whole.as_bytes().chunks(76).map(|line| String::from_utf8(line.to_vec()).unwrap()).collect();
        for text in [whole.clone(), wrapped.join("\n"), wrapped.join("\r\n  ")] {
            for lengths in [[1], [5], [1000]] {
                let out = streamed(&redactor, Mask::Mark, text.as_bytes(), &lengths);
                let out = String::from_utf8(out).unwrap();
                // No eight characters of the secret's own base64 are left.
                let inner = STANDARD.encode(format!("{before}{value}"));
                for window in inner.as_bytes()[before.len() * 4 / 3 + 4..].windows(8) {
                    let window = std::str::from_utf8(window).unwrap();
                    assert!(!out.contains(window), "{before:?}: {text} → {out}");
                }
                assert!(out.contains(MARK));
            }
        }
    }
}

#[test]
fn each_line_of_a_secret_is_one() {
    let value = "-----BEGIN KEY-----\nMIIBOgIBAAJBAK\n  indented line\nab\n-----END KEY-----\n";
    let redactor = redactor(&[value]);
    assert_eq!(redactor.text("x MIIBOgIBAAJBAK y"), "x *** y");
    assert_eq!(redactor.text("indented line"), MARK);
    assert_eq!(redactor.text("ab"), "ab", "a short line alone is no secret");
    assert_eq!(redactor.text(&format!("[{value}]")), "[***]");
    assert_eq!(redactor.text(&value.replace('\n', "\r\n")), MARK);
    assert!(!redactor.text(&json!({ "key": value }).to_string()).contains("MIIB"));
}

#[test]
fn a_short_secret_is_replaced_where_it_stands_alone() {
    let redactor = redactor(&["abc"]);
    assert_eq!(redactor.text("abc (abc) abcd xabc a_abc abc-abc abc"), "*** (***) abcd xabc a_abc ***-*** ***");
    for lengths in [[1], [2], [3], [4]] {
        let out = streamed(&redactor, Mask::Mark, b"abc abcd xabc abc", &lengths);
        assert_eq!(String::from_utf8(out).unwrap(), "*** abcd xabc ***");
    }
}

#[test]
fn json_values_are_cleaned_in_texts_keys_and_numbers() {
    let redactor = redactor(&["hunter2hunter2", "31415926"]);
    let mut value = json!({"a": ["x hunter2hunter2"], "hunter2hunter2": 1, "n": 31_415_926, "ok": true});
    assert!(redactor.clean_json(&mut value));
    assert_eq!(value, json!({"a": ["x ***"], "***": 1, "n": "***", "ok": true}));
    let mut clean = json!({"a": [1, "x"], "b": null});
    assert!(!redactor.clean_json(&mut clean));
    assert_eq!(clean, json!({"a": [1, "x"], "b": null}));
}

#[test]
fn a_search_names_the_secret_and_not_its_value() {
    let redactor = redactor(&["hunter2hunter2", "correct-horse"]);
    let mut search = Search::new(&redactor);
    assert_eq!(search.push(b"nothing, correct-h"), None);
    assert_eq!(search.push(b"orse"), Some("S1"));
    let mut search = Search::new(&redactor);
    assert_eq!(search.push(b"hunter2hunter"), None);
    assert_eq!(search.finish(), None);
    let shown = format!("{redactor:?} {search:?} {:?}", Stream::new(&redactor, Mask::Mark));
    assert!(!shown.contains("hunter2") && !shown.contains("horse"), "{shown}");
}

#[test]
fn a_stream_goes_on_elsewhere_as_if_nothing_had_been() {
    let redactor = redactor(&["hunter2hunter2", "abc"]);
    let text = b"a hunter2hunter2hunter2 abc x hunter2hunter2";
    let whole = streamed(&redactor, Mask::Mark, text, &[usize::MAX]);
    for cut in 0..=text.len() {
        let mut out = Vec::new();
        let mut first = Stream::new(&redactor, Mask::Mark);
        first.push(&text[..cut], &mut out);
        let state: StreamState = serde_json::from_value(json!(first.state())).unwrap();
        let mut second = Stream::resume(&redactor, Mask::Mark, &state);
        second.push(&text[cut..], &mut out);
        second.finish(&mut out);
        assert_eq!(out, whole, "cut at {cut}");
    }
}

#[test]
fn half_a_secret_before_a_gap_is_not_shown() {
    let redactor = redactor(&["hunter2hunter2"]);
    let mut stream = Stream::new(&redactor, Mask::Mark);
    let mut out = Vec::new();
    stream.push(b"x hunter2hun", &mut out);
    stream.gap(&mut out);
    stream.push(b"gone on", &mut out);
    stream.finish(&mut out);
    assert_eq!(out, b"x ***gone on");
}

#[test]
fn nothing_to_look_for_is_no_redactor() {
    assert!(Redactor::new(&[]).is_none());
    let blank = SecretValue { name: "A".to_owned(), value: SecretText::new(" \n".to_owned()) };
    assert!(Redactor::new(&[blank]).is_none());
}

/// Texts with few letters, so that secrets, parts of them and overlaps are frequent.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(b'='), Just(b'\n'), Just(b' ')], 0..12)
}

fn secret() -> impl Strategy<Value = String> {
    "[ab=]{6,12}(\n[ab]{6,9})?|[ab]{3}".prop_filter("not blank", |text| !text.trim().is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn chunks_of_any_size_leak_nothing_and_change_nothing_else(
        secrets in proptest::collection::vec(secret(), 1..4),
        parts in proptest::collection::vec((piece(), any::<proptest::sample::Index>(), 0..5_usize), 1..8),
        lengths in proptest::collection::vec(1..9_usize, 1..6),
    ) {
        let values: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let redactor = redactor(&values);
        let mut text = Vec::new();
        for (piece, which, form) in &parts {
            text.extend_from_slice(piece);
            let value = which.get(&secrets);
            match form {
                0 => text.extend_from_slice(value.as_bytes()),
                1 => text.extend_from_slice(STANDARD.encode(value).as_bytes()),
                2 => text.extend_from_slice(json!(value).to_string().as_bytes()),
                _ => {}
            }
        }
        for mask in [Mask::Mark, Mask::SameLength] {
            let whole = streamed(&redactor, mask, &text, &[usize::MAX]);
            let pieces = streamed(&redactor, mask, &text, &lengths);
            prop_assert_eq!(&whole, &pieces);
            for value in &values {
                let short = value.len() < 6;
                let leaks = !short && pieces.windows(value.len()).any(|window| window == value.as_bytes());
                prop_assert!(!leaks, "{:?} in {:?}", value, String::from_utf8_lossy(&pieces));
            }
            let (found, _) = redactor.scan(&text, None, true);
            if mask == Mask::SameLength {
                prop_assert_eq!(pieces.len(), text.len());
                for (at, (was, is)) in text.iter().zip(&pieces).enumerate() {
                    let covered = found.iter().any(|found| (found.start..found.end).contains(&at));
                    prop_assert_eq!(*is, if covered { b'*' } else { *was });
                }
            }
            if found.is_empty() {
                prop_assert_eq!(&pieces, &text);
            }
        }
    }
}
