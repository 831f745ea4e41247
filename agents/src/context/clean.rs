//! What a person does not see in a text, an agent must not read as if it were there.

/// A text without what is hidden in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Cleaned {
    pub(super) text: String,
    /// Characters that are not shown, and codes of terminals.
    pub(super) hidden: usize,
    /// HTML comments, and what stands in their place in Markdown.
    pub(super) comments: usize,
}

/// What takes a comment's place, so that nothing new is made of its neighbours.
const REMOVED: &str = "[a hidden comment was removed here]";

/// Markdown as it is read on a page: without hidden characters, without comments, wherever they stand. Those in code are
/// shown on a page, and removed all the same: where code begins and ends is not something to argue about with whoever wrote
/// the text.
pub(super) fn markdown(text: &str) -> Cleaned {
    let (text, hidden) = visible(text, None);
    let (text, mut comments) = without_comments(&text);
    let mut lines = Vec::new();
    for line in text.split('\n') {
        if is_reference_comment(line) {
            comments += 1;
            lines.push(REMOVED);
        } else {
            lines.push(line);
        }
    }
    Cleaned { text: lines.join("\n"), hidden, comments }
}

/// Code and logs: what is hidden is made visible, so that nobody is misled by it either.
pub(super) fn plain(text: &str) -> Cleaned {
    let (text, hidden) = visible(text, Some(&|c: char| format!("<U+{:04X}>", u32::from(c))));
    Cleaned { text, hidden, comments: 0 }
}

/// Takes out hidden characters and codes of terminals, or shows each character.
fn visible(text: &str, show: Option<&dyn Fn(char) -> String>) -> (String, usize) {
    let mut out = String::with_capacity(text.len());
    let mut hidden = 0;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\n' | '\t' => out.push(c),
            '\r' => {
                // Alone it would let what follows be written over what came before.
                if rest.peek() != Some(&'\n') {
                    out.push('\n');
                }
            }
            '\u{2028}' | '\u{2029}' | '\u{85}' | '\u{b}' | '\u{c}' => out.push('\n'),
            '\u{1b}' | '\u{9b}' | '\u{9d}' | '\u{90}' | '\u{98}' | '\u{9e}' | '\u{9f}' => {
                hidden += 1;
                skip_code(c, &mut rest);
            }
            c if is_hidden(c) => {
                hidden += 1;
                if let Some(show) = show {
                    out.push_str(&show(c));
                }
            }
            c => out.push(c),
        }
    }
    (out, hidden)
}

/// A code of a terminal, from behind its first character on. One that does not end takes its line only.
fn skip_code(first: char, rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    let kind = if first == '\u{1b}' { rest.next_if(|c| *c != '\n') } else { Some(first) };
    match kind {
        // CSI: parameters, then one letter.
        Some('[' | '\u{9b}') => {
            while rest.next_if(|c| matches!(c, ' '..='?')).is_some() {}
            rest.next_if(|c| matches!(c, '@'..='~'));
        }
        // OSC, DCS, SOS, PM, APC: a text up to BEL or ST.
        Some(']' | 'P' | 'X' | '^' | '_' | '\u{9d}' | '\u{90}' | '\u{98}' | '\u{9e}' | '\u{9f}') => {
            while let Some(c) = rest.next_if(|c| *c != '\n') {
                if matches!(c, '\u{7}' | '\u{9c}') {
                    return;
                }
                if c == '\u{1b}' {
                    rest.next_if(|c| *c == '\\');
                    return;
                }
            }
        }
        // Which set of characters: one more.
        Some('(' | ')' | '*' | '+' | '#' | '%' | ' ') => {
            rest.next_if(|c| *c != '\n');
        }
        _ => {}
    }
}

/// Characters that show nothing, or change how others are shown.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            // Soft hyphen, joiners, marks of direction, fillers.
            0xAD | 0x34F | 0x61C | 0x115F | 0x1160 | 0x17B4 | 0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F
            | 0x202A..=0x202E | 0x2060..=0x206F | 0x3164 | 0xFFA0 | 0xFEFF
            // Numbers and annotations that are not shown.
            | 0x600..=0x605 | 0x6DD | 0x70F | 0x890 | 0x891 | 0x8E2 | 0xFFF0..=0xFFFB
            | 0x110BD | 0x110CD | 0x13430..=0x1345F | 0x1BCA0..=0x1BCA3 | 0x1D173..=0x1D17A
            // Selectors of variants, which can carry any text.
            | 0xFE00..=0xFE0F | 0xE0100..=0xE01EF
            // Tags, and all the rest of their plane.
            | 0xE0000..=0xE00FF | 0xE01F0..=0xE0FFF
            // Characters that there are none of, and private ones of the higher planes.
            | 0xFDD0..=0xFDEF | 0xF0000..=0x0010_FFFF)
        || u32::from(c) & 0xFFFE == 0xFFFE
}

/// A text without HTML comments. One that is not closed goes on to the end.
fn without_comments(text: &str) -> (String, usize) {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut comments = 0;
    while let Some(at) = rest.find("<!--") {
        out.push_str(&rest[..at]);
        out.push_str(REMOVED);
        comments += 1;
        let inner = &rest[at + 4..];
        // `<!-->` and `<!--->` are whole comments.
        let end = [">", "->"].iter().find(|end| inner.starts_with(**end)).map(|end| end.len());
        let end = end.or_else(|| {
            let ends = ["-->", "--!>"].iter().filter_map(|end| inner.find(end).map(|at| (at, at + end.len())));
            ends.min().map(|(_, end)| end)
        });
        rest = end.map_or("", |end| &inner[end..]);
    }
    out.push_str(rest);
    (out, comments)
}

/// `[//]: # (text)` and its like: a definition that nothing refers to is not shown.
fn is_reference_comment(line: &str) -> bool {
    let line = line.trim_start_matches([' ', '\t', '>']);
    let Some((label, target)) = line.strip_prefix('[').and_then(|rest| rest.split_once("]:")) else { return false };
    let target = target.trim_start();
    !label.contains(']') && (target.starts_with('#') || target.starts_with("<>") || label.starts_with("//"))
}

/// The beginning and the end of a text, with a line between them that says how much is missing.
pub(super) fn shortened(text: &str, most: usize) -> (String, usize) {
    let count = text.chars().count();
    if count <= most {
        return (text.to_owned(), 0);
    }
    // The end is where logs say what went wrong.
    let tail = most / 3;
    let head = most - tail;
    let place = |number: usize| text.char_indices().nth(number).map_or(text.len(), |(at, _)| at);
    let left_out = count - most;
    let (first, last) = (&text[..place(head)], &text[place(count - tail)..]);
    (format!("{first}\n\n[… {left_out} characters are left out here …]\n\n{last}"), left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(text: &str) -> String {
        markdown(text).text.replace(REMOVED, "§")
    }

    #[test]
    fn comments_are_removed_wherever_they_stand_and_however_they_end() {
        for (text, expected) in [
            ("a <!-- b --> c", "a § c"),
            ("a <!-- b", "a §"),
            ("a <!--> b --> c", "a § b --> c"),
            ("a <!---> b", "a § b"),
            ("a <!-- b --!> c", "a § c"),
            ("<!-- a <!-- b --> c -->", "§ c -->"),
            ("```html\n<!-- in code -->\n```", "```html\n§\n```"),
            ("<!-- a\nb\n-->c", "§c"),
            ("<!<!-- x -->-- y -->", "<!§-- y -->"),
            ("<\u{200b}!-- hidden -->", "§"),
            ("<!\u{e0001}-- hidden --\u{ad}>", "§"),
            ("[//]: # (ignore all)", "§"),
            ("> [comment]: # \"ignore\"", "§"),
            ("[//]: <> (ignore)", "§"),
            ("[docs]: https://example.com", "[docs]: https://example.com"),
        ] {
            assert_eq!(clean(text), expected, "{text:?}");
        }
        assert_eq!(
            markdown("<!-- a --><!-- b -->x\u{200b}"),
            Cleaned { text: format!("{REMOVED}{REMOVED}x"), hidden: 1, comments: 2 }
        );
    }

    #[test]
    fn hidden_characters_are_taken_out_and_letters_of_all_languages_stay() {
        for (text, expected) in [
            ("i\u{200b}g\u{2060}nore", "ignore"),
            ("\u{202e}abc\u{202c}\u{2066}d\u{2069}", "abcd"),
            ("a\u{e0069}\u{e0067}b", "ab"),
            ("x\u{fe0f}\u{e0101}y", "xy"),
            ("\u{3164}\u{ffa0}\u{115f}a", "a"),
            ("a\u{0}\u{8}\u{7f}b", "ab"),
            ("a\rb\r\nc", "a\nb\nc"),
            ("a\u{2028}b", "a\nb"),
            ("Grüße, 日本語, हिन्दी, العربية, 😀", "Grüße, 日本語, हिन्दी, العربية, 😀"),
        ] {
            assert_eq!(clean(text), expected, "{text:?}");
        }
    }

    #[test]
    fn codes_of_terminals_go_as_a_whole() {
        for (text, expected) in [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]8;;http://x\u{7}link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}]0;title never ends\nnext", "\nnext"),
            ("\u{9b}2Ja", "a"),
            ("a\u{1b}(Bb\u{1b}c", "ab"),
            ("\u{1b}", ""),
            ("\u{1b}[8mhidden", "hidden"),
        ] {
            assert_eq!(clean(text), expected, "{text:?}");
        }
    }

    #[test]
    fn code_keeps_its_comments_and_shows_what_is_hidden() {
        let cleaned = plain("if (a\u{202e}) { // <!-- x -->");
        assert_eq!((cleaned.text.as_str(), cleaned.hidden), ("if (a<U+202E>) { // <!-- x -->", 1));
    }

    #[test]
    fn of_what_is_too_long_the_middle_is_missing_and_that_is_said() {
        assert_eq!(shortened("äöü", 3), ("äöü".to_owned(), 0));
        let (text, left_out) = shortened(&"ä".repeat(100), 30);
        assert_eq!((left_out, text.matches('ä').count()), (70, 30));
        assert!(text.contains("\n[… 70 characters are left out here …]\n"));
    }
}
