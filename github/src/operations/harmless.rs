//! What agents say is said under the name of somebody who may write, where programs read along: nobody is called by it, and
//! nothing is ordered.

use std::collections::BTreeSet;

/// Nobody sees it, and no program takes the word that it stands in for one of its own.
const BREAK: char = '\u{200b}';
/// Before the name of an issue these close it.
const CLOSING: [&str; 9] = ["close", "closes", "closed", "fix", "fixes", "fixed", "resolve", "resolves", "resolved"];
/// Characters of what may be the name of an issue: more than any has.
const NAME: usize = 300;

/// A text without orders, but for its first line, which the definition itself has to say: mentions, commands that begin a line,
/// and words that close issues are broken.
pub(super) fn harmless(text: &str) -> String {
    let own = text.find(is_line_end).unwrap_or(text.len());
    let rest = &text[own..];
    let mut found = BTreeSet::new();
    commands(rest, &mut found);
    mentions(rest, &mut found);
    closings(rest, &mut found);
    let mut made = text[..own].to_owned();
    let mut from = 0;
    for at in found {
        made.push_str(&rest[from..at]);
        made.push(BREAK);
        from = at;
    }
    made.push_str(&rest[from..]);
    made
}

/// Whatever some program takes for the end of a line.
fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// `/word` and `bors …` at the beginning of a line.
fn commands(text: &str, found: &mut BTreeSet<usize>) {
    let mut begin = 0;
    for line in text.split_inclusive(is_line_end) {
        let words = line.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        let at = begin + line.len() - words.len();
        begin += line.len();
        let name = |c: char| c.is_ascii_alphanumeric();
        if words.strip_prefix('/').is_some_and(|word| word.starts_with(name)) {
            found.insert(at + 1);
        }
        let (bors, after) = words.split_at_checked(4).unwrap_or_default();
        if bors.eq_ignore_ascii_case("bors") && !after.starts_with(name) {
            found.insert(at + 4);
        }
    }
}

/// `@name`.
fn mentions(text: &str, found: &mut BTreeSet<usize>) {
    for (at, sign) in text.match_indices('@') {
        let after = at + sign.len();
        if text[after..].starts_with(|c: char| c.is_ascii_alphanumeric()) {
            found.insert(after);
        }
    }
}

/// `Closes #12`, which may go on in the next line.
fn closings(text: &str, found: &mut BTreeSet<usize>) {
    let mut from = 0;
    while let Some(ahead) = text[from..].find(|c: char| c.is_ascii_alphabetic()) {
        let begin = from + ahead;
        let length = text[begin..].find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len() - begin);
        from = begin + length;
        let word = &text[begin..from];
        if CLOSING.iter().any(|closing| word.eq_ignore_ascii_case(closing)) && names_issue(&text[from..]) {
            found.insert(from);
        }
    }
}

/// Whether this goes on with `#12`, `GH-12`, `owner/name#12` or an address, perhaps in some markup.
fn names_issue(text: &str) -> bool {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || ":*_`[(<".contains(c));
    let name: String =
        text.chars().take(NAME).take_while(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
    let number = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
    ["http://", "https://", "gh-"].iter().any(|begin| name.starts_with(begin)) || name.split('#').skip(1).any(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a text that is not the first line; `|` shows where it was broken.
    fn broken(text: &str) -> String {
        let made = harmless(&format!("Own @ada, Closes #1\n{text}"));
        made.strip_prefix("Own @ada, Closes #1\n").expect("the first line stays").replace(BREAK, "|")
    }

    #[test]
    fn nobody_is_called_and_nothing_is_ordered() {
        for (text, expected) in [
            ("cc @ada and (@acme/all)", "cc @|ada and (@|acme/all)"),
            ("@dependabot merge", "@|dependabot merge"),
            ("/approve", "/|approve"),
            ("  /lgtm\n\u{feff}/merge", "  /|lgtm\n\u{feff}/|merge"),
            ("well\r/hold\u{2028}/close", "well\r/|hold\u{2028}/|close"),
            ("bors r+", "bors| r+"),
            ("BORS: try", "BORS|: try"),
            ("Closes #12", "Closes| #12"),
            ("It FIXES: acme/shop#3.", "It FIXES|: acme/shop#3."),
            ("resolved\nGH-7", "resolved|\nGH-7"),
            ("fix [the bug](x), close **#4**", "fix [the bug](x), close| **#4**"),
            ("Resolves <https://github.com/acme/shop/issues/1>", "Resolves| <https://github.com/acme/shop/issues/1>"),
        ] {
            assert_eq!(broken(text), expected, "{text}");
        }
    }

    #[test]
    fn other_words_stay_as_they_are() {
        for text in [
            "See #12 and src/a.rs, lines 1/2 @ 3.",
            "It closes the file, and a fix is in work.",
            "- /tmp is full",
            "borsch is good",
            "",
            "\n\n",
        ] {
            assert_eq!(broken(text), text);
        }
        assert_eq!(
            harmless("Closes #1. @ada /approve"),
            "Closes #1. @ada /approve",
            "the first line is the definition's"
        );
        let once = harmless("Own\n@ada\n/close");
        assert_eq!(harmless(&once), once);
    }

    #[test]
    fn what_is_long_takes_no_time() {
        let long = "fix-".repeat(16_000);
        assert_eq!(broken(&long), long);
    }
}
