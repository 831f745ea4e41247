//! `atta validate`: problems with their places, schedules in words. No server is needed.

use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::path::Path;

use atta_core::definition::{
    Diagnostic, DiagnosticResource, JobDefinition, KnownConfigs, Limits, Loaded, Schedule, Severity,
    diagnostic_resources, load_with, render_diagnostics, sarif, violations,
};
use atta_core::time::Clock;
use owo_colors::OwoColorize;
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::{ReportFormat, ValidateArgs};
use crate::exit::{CommandResult, Exit, Failure};
use crate::output;

/// How many runs of a schedule are shown.
const NEXT_RUNS: usize = 5;

/// A file and what was found in it.
struct Checked {
    file: String,
    source: Vec<u8>,
    loaded: Loaded,
}

/// What `--format json` says about a file.
#[derive(Serialize)]
struct FileReport {
    file: String,
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<ScheduleReport>,
    diagnostics: Vec<DiagnosticResource>,
}

#[derive(Serialize)]
struct ScheduleReport {
    words: String,
    next: Vec<String>,
}

/// Checks all files; exits with 2 when one is not valid.
pub(crate) fn validate(args: &ValidateArgs, clock: &dyn Clock) -> CommandResult {
    let limits = Limits::default();
    let mut all = Vec::with_capacity(args.files.len());
    for path in &args.files {
        let file = path.display().to_string();
        let source = read_file(path, &limits)?;
        let known = |_: &str, name: &str| args.configs.iter().any(|known| known == name);
        let loaded = load_with(&file, &source, &limits, KnownConfigs::These(&known));
        all.push(Checked { file, source, loaded });
    }
    let valid = all.iter().all(|checked| checked.loaded.definition.is_some());
    match args.format {
        ReportFormat::Human => human(&all, clock)?,
        ReportFormat::Json => {
            let files: Vec<FileReport> = all.iter().map(|checked| report(checked, clock)).collect();
            output::print_json(&json!({ "valid": valid, "files": files }))?;
        }
        ReportFormat::Sarif => output::print_json(&one_sarif_log(&all))?,
    }
    Ok(if valid { Exit::Success } else { Exit::Usage })
}

/// Loads a definition for running it: warnings are said, errors are a failure.
pub(crate) fn load_file(path: &Path, configs: &[String]) -> CommandResult<(String, JobDefinition)> {
    let known = |_: &str, name: &str| configs.iter().any(|known| known == name);
    load_with_configs(path, KnownConfigs::These(&known))
}

/// Loads a definition for looking at it: any name may be a config of the server.
pub(crate) fn load_for_reading(path: &Path) -> CommandResult<JobDefinition> {
    Ok(load_with_configs(path, KnownConfigs::Any)?.1)
}

fn load_with_configs(path: &Path, configs: KnownConfigs<'_>) -> CommandResult<(String, JobDefinition)> {
    let source = read_file(path, &Limits::default())?;
    let definition = load_text(&path.display().to_string(), &source, configs)?;
    let source = String::from_utf8(source)
        .map_err(|error| Failure::usage(format!("{} is not UTF-8: {error}.", path.display())))?;
    Ok((source, definition))
}

/// The same for a text that is in memory.
pub(crate) fn load_text(name: &str, source: &[u8], configs: KnownConfigs<'_>) -> CommandResult<JobDefinition> {
    let loaded = load_with(name, source, &Limits::default(), configs);
    let diagnostics = loaded.diagnostics;
    if let Some(definition) = loaded.definition {
        if !diagnostics.is_empty() {
            output::say(&render_diagnostics(name, source, &diagnostics, true));
        }
        return Ok(definition);
    }
    let mut failure = Failure::new(Exit::Usage, "INVALID_DEFINITION", refusal(name, &diagnostics))
        .with_violations(violations(name, source, &diagnostics));
    failure.rendered = Some(render_diagnostics(name, source, &diagnostics, true).into());
    Err(failure)
}

/// Reads no more than a definition may have, and one byte to tell that there is more.
fn read_file(path: &Path, limits: &Limits) -> CommandResult<Vec<u8>> {
    let unreadable = |error: std::io::Error| Failure::usage(format!("{} cannot be read: {error}.", path.display()));
    let size = fs::metadata(path).map_err(unreadable)?.len();
    let mut source = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(size.max(limits.source_bytes as u64 + 1).min(64 << 20)).read_to_end(&mut source).map_err(unreadable)?;
    Ok(source)
}

/// `build.yaml has 2 errors and 1 warning.`
fn refusal(file: &str, diagnostics: &[Diagnostic]) -> String {
    format!("{file} has {}.", counts(diagnostics))
}

fn counts(diagnostics: &[Diagnostic]) -> String {
    let count = |severity| diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count();
    let noun = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    match (count(Severity::Error), count(Severity::Warning)) {
        (errors, 0) => noun(errors, "error"),
        (0, warnings) => noun(warnings, "warning"),
        (errors, warnings) => format!("{} and {}", noun(errors, "error"), noun(warnings, "warning")),
    }
}

fn human(all: &[Checked], clock: &dyn Clock) -> CommandResult<()> {
    for checked in all {
        let diagnostics = &checked.loaded.diagnostics;
        let mut text = render_diagnostics(&checked.file, &checked.source, diagnostics, true);
        match &checked.loaded.definition {
            None => {
                let _ = writeln!(text, "{} {}", "✗".red(), refusal(&checked.file, diagnostics));
            }
            Some(definition) => {
                let tasks = definition.tasks.len();
                let plural = if tasks == 1 { "" } else { "s" };
                let warnings =
                    if diagnostics.is_empty() { String::new() } else { format!(", {}", counts(diagnostics)) };
                let mark = "✓".green();
                let job_type = definition.job_type.bold();
                let _ = writeln!(text, "{mark} {}: {job_type}, {tasks} task{plural}{warnings}", checked.file);
                if let Some(schedule) = &definition.schedule {
                    text.push_str(&in_words(schedule, clock));
                }
            }
        }
        output::print(&text)?;
    }
    Ok(())
}

fn in_words(schedule: &Schedule, clock: &dyn Clock) -> String {
    let mut text = format!("  schedule: {}\n", schedule.describe());
    let next = schedule.upcoming_local(clock.now(), NEXT_RUNS);
    if next.is_empty() {
        text.push_str("  it never runs again\n");
    }
    for (index, run) in next.iter().enumerate() {
        let _ = writeln!(text, "  {} {run}", if index == 0 { "next runs:" } else { "          " });
    }
    text
}

fn report(checked: &Checked, clock: &dyn Clock) -> FileReport {
    let definition = checked.loaded.definition.as_ref();
    FileReport {
        file: checked.file.clone(),
        valid: definition.is_some(),
        job_type: definition.map(|definition| definition.job_type.clone()),
        tasks: definition.map(|definition| definition.tasks.len()),
        schedule: definition.and_then(|definition| definition.schedule.as_ref()).map(|schedule| ScheduleReport {
            words: schedule.describe(),
            next: schedule.upcoming_local(clock.now(), NEXT_RUNS),
        }),
        diagnostics: diagnostic_resources(&checked.file, &checked.source, &checked.loaded.diagnostics),
    }
}

/// One log with one run per file.
fn one_sarif_log(all: &[Checked]) -> Value {
    let mut logs: Vec<Value> =
        all.iter().map(|checked| sarif(&checked.file, &checked.source, &checked.loaded.diagnostics)).collect();
    let runs: Vec<Value> =
        logs.iter_mut().filter_map(|log| log["runs"].as_array_mut()).flat_map(std::mem::take).collect();
    let mut log = logs.into_iter().next().unwrap_or(Value::Null);
    log["runs"] = Value::Array(runs);
    log
}
