//! What the loader accepts and what it says.

mod accepted;
mod agents;
mod approvals;
mod control;
mod documented;
mod github;
mod graphs;
mod parameters;
mod refused;
mod requests;
mod schedules;
mod secrets;
mod shown;
mod submissions;
mod triggers;
mod undefined;
mod workspaces;

use super::*;

/// All problems as `line:column code: message (help)`.
pub(super) fn problems(source: &str) -> Vec<String> {
    let loaded = load("flow.yaml", source.as_bytes(), &Limits::default());
    let errors = loaded.diagnostics.iter().any(|one| one.severity == Severity::Error);
    assert_eq!(loaded.definition.is_none(), errors, "a definition comes out if there is no error");
    diagnostic_resources("flow.yaml", source, &loaded.diagnostics)
        .into_iter()
        .map(|one| {
            let help = one.help.map(|help| format!(" ({help})")).unwrap_or_default();
            format!("{}:{} {}: {}{help}", one.line, one.column, one.code, one.message)
        })
        .collect()
}

/// The definition; the test fails with the problems if there is none.
pub(super) fn definition(source: &str) -> JobDefinition {
    let loaded = load("flow.yaml", source.as_bytes(), &Limits::default());
    let shown = render_diagnostics("flow.yaml", source, &loaded.diagnostics, false);
    loaded.definition.unwrap_or_else(|| panic!("{shown}"))
}
