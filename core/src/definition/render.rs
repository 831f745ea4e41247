//! Diagnostics for people (a line with a caret) and for programs (JSON, SARIF, field violations).

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Diagnostic, LineIndex, Severity};
use crate::protocol::api::FieldViolation;

/// Longest part of a source line that is shown, in characters.
const SHOWN: usize = 200;

/// A diagnostic with its position, as JSON output and the API have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DiagnosticResource {
    /// The file as it was named.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// From 1.
    pub end_line: usize,
    /// From 1, in characters; the first column after the place.
    pub end_column: usize,
    /// Stable.
    pub code: String,
    /// `error` or `warning`.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// The source as text; bytes that are no UTF-8 keep the offsets of what stands before them.
fn text(source: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(source)
}

/// One block per diagnostic: `file:line:col: code: message`, the offending line with a caret, and the help.
pub fn render_diagnostics(
    file_name: &str,
    source: impl AsRef<[u8]>,
    diagnostics: &[Diagnostic],
    color: bool,
) -> String {
    let source = text(source.as_ref());
    let lines = LineIndex::new(&source);
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii);
    let mut out = String::new();
    for diagnostic in diagnostics {
        let start = lines.position(diagnostic.span.start);
        let severity = match diagnostic.severity {
            Severity::Error => "",
            Severity::Warning => "warning: ",
        };
        let (bold, reset) = match (color, diagnostic.severity) {
            (false, _) => ("", ""),
            (true, Severity::Error) => ("\u{1b}[1;31m", "\u{1b}[0m"),
            (true, Severity::Warning) => ("\u{1b}[1;33m", "\u{1b}[0m"),
        };
        let headline = format!(
            "{file_name}:{}:{}: {bold}{severity}{}{reset}: {}\n",
            start.line,
            start.column,
            diagnostic.code,
            printable(&diagnostic.message)
        );
        out.push_str(&headline);
        let (line_start, line) = lines.line(start.line);
        let from = diagnostic.span.start.saturating_sub(line_start);
        let (shown, from, to) = excerpt(line, from, diagnostic.span.end.saturating_sub(line_start));
        if shown.trim().is_empty() || is_binary(&shown) {
            if let Some(help) = &diagnostic.help {
                out.push_str("  = help: ");
                out.push_str(&printable(help));
                out.push('\n');
            }
            continue;
        }
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let snippet = Snippet::source(shown).line_start(start.line).annotation(AnnotationKind::Primary.span(from..to));
        let mut group = Group::with_level(level).element(snippet);
        if let Some(help) = &diagnostic.help {
            group = group.element(Level::HELP.message(printable(help)));
        }
        out.push_str(&renderer.render(&[group]));
        out.push('\n');
    }
    out
}

fn is_binary(line: &str) -> bool {
    line.chars().any(|c| c == '\0' || c == '\u{fffd}')
}

/// Control characters of the source must not reach a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// The part of a line around a place, with the place in it. Offsets are bytes of the result.
fn excerpt(line: &str, from: usize, to: usize) -> (String, usize, usize) {
    let from = floor(line, from.min(line.len()));
    let to = floor(line, to.clamp(from, line.len()));
    let first = line[..from].char_indices().rev().take(SHOWN / 2).last().map_or(from, |(at, _)| at);
    let mut shown = String::new();
    let (mut start, mut end) = (None, None);
    if first > 0 {
        shown.push('…');
    }
    for (at, c) in line[first..].char_indices().take(SHOWN) {
        if first + at == from {
            start = Some(shown.len());
        }
        if first + at == to {
            end = Some(shown.len());
        }
        shown.push(if c.is_control() && c != '\t' { '\u{fffd}' } else { c });
    }
    let start = start.unwrap_or(shown.len());
    let end = end.unwrap_or(shown.len()).max(start);
    if end == start && start < shown.len() {
        // An empty place still gets a caret.
        let width = shown[start..].chars().next().map_or(0, char::len_utf8);
        return (shown, start, start + width);
    }
    (shown, start, end)
}

fn floor(text: &str, mut offset: usize) -> usize {
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// The diagnostics with their positions, for JSON.
pub fn diagnostic_resources(
    file_name: &str,
    source: impl AsRef<[u8]>,
    diagnostics: &[Diagnostic],
) -> Vec<DiagnosticResource> {
    let source = text(source.as_ref());
    let lines = LineIndex::new(&source);
    diagnostics
        .iter()
        .map(|diagnostic| {
            let (start, end) = (lines.position(diagnostic.span.start), lines.position(diagnostic.span.end));
            DiagnosticResource {
                file: file_name.to_owned(),
                line: start.line,
                column: start.column,
                end_line: end.line,
                end_column: end.column,
                code: diagnostic.code.to_owned(),
                severity: diagnostic.severity,
                message: diagnostic.message.clone(),
                help: diagnostic.help.clone(),
            }
        })
        .collect()
}

/// The diagnostics as a SARIF 2.1.0 log, for code hosts and editors.
pub fn sarif(file_name: &str, source: impl AsRef<[u8]>, diagnostics: &[Diagnostic]) -> Value {
    let found = diagnostic_resources(file_name, source, diagnostics);
    let mut codes: Vec<&str> = found.iter().map(|one| one.code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    let results: Vec<Value> = found
        .iter()
        .map(|one| {
            let message = match &one.help {
                Some(help) => format!("{} ({help})", one.message),
                None => one.message.clone(),
            };
            json!({
                "ruleId": one.code,
                "ruleIndex": codes.binary_search(&one.code.as_str()).unwrap_or_default(),
                "level": one.severity,
                "message": { "text": message },
                "locations": [{
                    "physicalLocation": {
                        "artifactLocation": { "uri": file_name.replace(' ', "%20") },
                        "region": {
                            "startLine": one.line,
                            "startColumn": one.column,
                            "endLine": one.end_line,
                            "endColumn": one.end_column,
                        }
                    }
                }]
            })
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "atta",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": codes.iter().map(|code| json!({ "id": code })).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }]
    })
}

/// The diagnostics as field violations of a problem answer: the field is `file:line:column`.
pub fn violations(file_name: &str, source: impl AsRef<[u8]>, diagnostics: &[Diagnostic]) -> Vec<FieldViolation> {
    diagnostic_resources(file_name, source, diagnostics)
        .into_iter()
        .map(|one| FieldViolation {
            field: format!("{file_name}:{}:{}", one.line, one.column),
            code: one.code,
            message: match one.help {
                Some(help) => format!("{} ({help})", one.message),
                None => one.message,
            },
        })
        .collect()
}
