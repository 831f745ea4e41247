//! Canonical formatting of a definition, line by line: indentation, spacing, order of keys, blank lines.
//!
//! Texts, quotes, flow collections and comments stay as they are written. Every result is read again and compared with
//! the original: values must be the same and no comment may be missing; where that is not so, less is changed.

mod blocks;
mod compare;
mod emit;
#[cfg(test)]
mod tests;

use super::{Diagnostic, Limits, Severity, load};
use compare::Content;

/// A formatted definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formatted {
    /// The text.
    pub text: String,
    /// How much could be done without a change of meaning.
    pub extent: Extent,
}

/// How much of the formatting was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Everything.
    Full,
    /// Everything but the order of keys.
    Order,
    /// Spaces at the ends of lines and runs of blank lines only.
    Spacing,
    /// Nothing.
    Nothing,
}

/// A text that is still changed after so many rounds is left as it is.
const MOST_ROUNDS: u32 = 4;

/// Formats a definition. What is no YAML is refused with the loader's diagnostic; definitions with other mistakes are
/// formatted all the same.
pub fn format(file_name: &str, source: &[u8], limits: &Limits) -> Result<Formatted, Vec<Diagnostic>> {
    let refused = || {
        let errors = load(file_name, source, limits).diagnostics.into_iter();
        Err(errors.filter(|one| one.severity == Severity::Error).collect())
    };
    let Ok(text) = std::str::from_utf8(source) else { return refused() };
    let Some(content) = Content::of(text, limits) else { return refused() };
    let mut best = once(text, &content, limits);
    // Where only a part could be done, the rest may have become possible.
    for _ in 0..MOST_ROUNDS {
        let Some(content) = Content::of(&best.text, limits) else { break };
        let next = once(&best.text, &content, limits);
        if next.text == best.text {
            return Ok(best);
        }
        best = next;
    }
    Ok(Formatted { text: text.to_owned(), extent: Extent::Nothing })
}

/// The most that can be done at once, and that stays as it is when it is done again.
fn once(text: &str, content: &Content, limits: &Limits) -> Formatted {
    for extent in [Extent::Full, Extent::Order, Extent::Spacing] {
        let Some(once) = attempt(text, content, extent) else { continue };
        let lasting = content.is_content_of(&once, limits)
            && Content::of(&once, limits)
                .and_then(|content| attempt(&once, &content, extent))
                .is_some_and(|twice| twice == once);
        if lasting {
            return Formatted { text: once, extent };
        }
    }
    Formatted { text: text.to_owned(), extent: Extent::Nothing }
}

fn attempt(text: &str, content: &Content, extent: Extent) -> Option<String> {
    // An anchor must stay before its aliases.
    let reorder = extent == Extent::Full && !content.anchors;
    match extent {
        Extent::Full | Extent::Order => {
            let blocks = blocks::read(text)?;
            emit::emit(text, &blocks, reorder)
        }
        Extent::Spacing => Some(emit::spacing(text, &content.scalar_lines)),
        Extent::Nothing => None,
    }
}
