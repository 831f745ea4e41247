//! What a value becomes in each place, and why it is refused in others.

use crate::template::problem::{E_OUTSIDE, E_PLACE};
use crate::template::{Origin, TemplateProblem};

/// What is known of a value where it is printed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Printed<'v> {
    /// Its text; `None` while only the place is checked.
    pub(super) text: Option<&'v str>,
    pub(super) origin: Origin,
    /// Marked `| option`.
    pub(super) option: bool,
    /// Byte offset of the expression.
    pub(super) offset: usize,
}

impl Printed<'_> {
    /// Numbers and booleans are harmless wherever they are evaluated.
    pub(super) fn is_harmless(&self) -> bool {
        self.text.is_some_and(|text| is_whole_number(text) || matches!(text, "true" | "false"))
    }

    pub(super) fn is_outside(&self) -> bool {
        self.origin == Origin::Outside && self.text.is_some()
    }
}

/// An optional minus and up to 18 digits.
pub(super) fn is_whole_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    (1..=18).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A bare word, or part of one: `"${v}"`.
    Bare,
    /// Inside `"…"` or an unquoted here-document: `${v}`.
    Expanded,
    /// Inside `'…'`: `'"${v}"'`.
    Single,
    /// Inside `$((…))`: a whole number.
    Arithmetic,
    /// In a comment: plain words.
    Comment,
}

/// Where a value may not stand.
pub(super) fn refused(offset: usize, place: &str, help: &str) -> TemplateProblem {
    TemplateProblem::new(E_PLACE, offset, format!("a value cannot stand {place}")).with_help(help.to_owned())
}

/// A value from outside that a program would evaluate.
pub(super) fn evaluated(offset: usize, reason: &str) -> TemplateProblem {
    TemplateProblem::new(
        E_OUTSIDE,
        offset,
        format!("a value from outside cannot stand here unless it is a whole number or a boolean: {reason}"),
    )
    .with_help("pass it as an argument or by `environment:`, e.g. sh -c 'echo \"$1\"' _ {{ x }}; or declare the allowed values: enum")
}
