//! Collects problems while checks go on.

use std::cell::Cell;
use std::collections::HashSet;

use super::{Diagnostic, Severity, Span, code};

/// Problems kept before they are sorted and cut to the listed number; more are only counted.
const KEPT: usize = 5_000;

/// Suggestions cost a comparison with every known name, so only so many are made in one definition.
const COMPARISONS: usize = 200_000;

/// The problems found so far. The same problem at the same place (a shared `defaults` value, an aliased node) counts
/// once.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: Vec<Diagnostic>,
    seen: HashSet<(&'static str, usize, u64)>,
    errors: usize,
    uncounted: usize,
    comparisons: Cell<usize>,
}

impl Problems {
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        if !self.seen.insert((diagnostic.code, diagnostic.span.start, fingerprint(&diagnostic.message))) {
            return;
        }
        if diagnostic.severity == Severity::Error {
            self.errors += 1;
        }
        if self.found.len() < KEPT {
            self.found.push(diagnostic);
        } else {
            self.uncounted += 1;
        }
    }

    pub(super) fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.push(Diagnostic::error(code, span, message));
    }

    pub(super) fn error_with_help(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Diagnostic::error(code, span, message).with_help(help));
    }

    pub(super) fn extend(&mut self, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        for diagnostic in diagnostics {
            self.push(diagnostic);
        }
    }

    pub(super) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// The name that was probably meant.
    pub(super) fn suggestion<'n>(&self, wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
        let counted = names.into_iter().inspect(|_| self.comparisons.set(self.comparisons.get() + 1));
        if self.suggests() { closest(wrong, counted) } else { None }
    }

    /// Whether there are so few problems that looking for what was meant is worth its time.
    pub(super) fn suggests(&self) -> bool {
        self.comparisons.get() < COMPARISONS && self.found.len() < KEPT
    }

    /// In order of position, cut to `listed` with the number of those that are left out.
    pub(super) fn finish(mut self, listed: usize) -> Vec<Diagnostic> {
        self.found.sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.severity));
        let left_out = self.found.len().saturating_sub(listed) + self.uncounted;
        if left_out > 0 {
            // Errors go first when not everything fits: a warning must not push an error out.
            let mut kept: Vec<_> = Vec::with_capacity(listed + 1);
            let (errors, warnings): (Vec<_>, Vec<_>) =
                self.found.into_iter().partition(|diagnostic| diagnostic.severity == Severity::Error);
            kept.extend(errors.into_iter().chain(warnings).take(listed));
            kept.sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.severity));
            let span = kept.last().map(|last| last.span).unwrap_or_default();
            let severity = if self.errors > 0 { Severity::Error } else { Severity::Warning };
            kept.push(Diagnostic {
                code: code::TOO_MANY_PROBLEMS,
                severity,
                message: format!("{left_out} more problems are not listed"),
                span,
                help: Some("correct the ones above first".to_owned()),
            });
            return kept;
        }
        self.found
    }
}

fn fingerprint(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// The name closest to `wrong`, if one is close enough to be a slip of the keyboard.
pub(crate) fn closest<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let length = wrong.chars().count();
    if length == 0 || length > 60 {
        return None;
    }
    let lowered = wrong.to_lowercase().replace('-', "_");
    let allowed = (length / 3).clamp(1, 3);
    names
        .into_iter()
        .filter(|name| *name != wrong && name.len().abs_diff(wrong.len()) <= 3 + length / 3)
        .map(|name| (strsim::osa_distance(&lowered, &name.to_lowercase().replace('-', "_")), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
