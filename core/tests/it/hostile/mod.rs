//! Definitions that mean harm, or that nobody would write: each is read within bounds, without a panic, and ends in the
//! class that is expected of it.

mod graphs;
mod mutated;
mod places;
mod scripts;
mod values;
mod yaml;

use atta_core::definition::{
    Extent, Limits, Loaded, Severity, diagnostic_resources, format, load, render_diagnostics, sarif, violations,
};
use atta_core::graph::{Diagram, Plan};

/// What has to come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Accepted,
    /// Accepted, with this warning.
    Warned(&'static str),
    /// This error, perhaps among others.
    Code(&'static str),
}

/// A file that means harm.
struct Case {
    name: String,
    source: Vec<u8>,
    class: Class,
}

fn case(name: impl Into<String>, source: impl Into<Vec<u8>>, class: Class) -> Case {
    Case { name: name.into(), source: source.into(), class }
}

/// A valid job around the keys of its one task.
fn with_task(keys: &str) -> String {
    format!(
        "job_type: hostile\nparams: {{X: {{}}, N: {{type: integer, default: 1}}}}\ntasks:\n  - task_type: one\n{keys}"
    )
}

/// A valid job with more keys of its own.
fn with_job(keys: &str) -> String {
    format!(
        "job_type: hostile\nparams: {{X: {{}}, N: {{type: integer, default: 1}}}}\n{keys}\ntasks:\n  - task_type: one\n    script: [echo]\n"
    )
}

fn everything() -> Vec<Case> {
    [yaml::cases(), values::cases(), graphs::cases(), places::cases(), scripts::cases()].into_iter().flatten().collect()
}

/// Formatting reads a file several times.
const FORMATTED_UP_TO: usize = 40_000;

/// Reads a file as every way in does, and says what is not as it should be.
fn read(source: &[u8]) -> Result<Loaded, String> {
    let limits = Limits::default();
    let loaded = load("hostile.yaml", source, &limits);
    if loaded.diagnostics.len() > limits.problems + 1 {
        return Err(format!("{} problems are listed", loaded.diagnostics.len()));
    }
    if loaded.definition.is_some() != errors(&loaded).is_empty() {
        return Err("a definition comes out exactly if there is no error".to_owned());
    }
    // Whatever was found can be shown, to people and to programs, without control characters of the file.
    let shown = render_diagnostics("hostile.yaml", source, &loaded.diagnostics, false);
    if shown.chars().any(|c| c.is_control() && c != '\n') {
        return Err(format!("control characters are shown: {shown:?}"));
    }
    let _ = diagnostic_resources("hostile.yaml", source, &loaded.diagnostics);
    let _ = violations("hostile.yaml", source, &loaded.diagnostics);
    let _ = sarif("hostile.yaml", source, &loaded.diagnostics).to_string();
    if let Some(definition) = &loaded.definition {
        let (plan, _) = Plan::build(definition).map_err(|_| "what was accepted has no plan".to_owned())?;
        let diagram = Diagram::new(definition, &plan);
        let _ = (diagram.mermaid(), diagram.dot());
    }
    if source.len() < FORMATTED_UP_TO
        && let Ok(formatted) = format("hostile.yaml", source, &limits)
    {
        let again = format("hostile.yaml", formatted.text.as_bytes(), &limits)
            .map_err(|_| "what was formatted cannot be formatted again".to_owned())?;
        if formatted.extent != Extent::Nothing && again.text != formatted.text {
            return Err("formatting twice is not formatting once".to_owned());
        }
    }
    Ok(loaded)
}

fn errors(loaded: &Loaded) -> Vec<&'static str> {
    loaded.diagnostics.iter().filter(|one| one.severity == Severity::Error).map(|one| one.code).collect()
}

fn examine(case: &Case) -> Result<(), String> {
    let loaded = read(&case.source)?;
    let errors = errors(&loaded);
    let as_expected = match case.class {
        Class::Accepted => errors.is_empty(),
        Class::Warned(code) => errors.is_empty() && loaded.diagnostics.iter().any(|one| one.code == code),
        Class::Code(code) => errors.contains(&code),
    };
    if as_expected {
        return Ok(());
    }
    let shown = render_diagnostics("hostile.yaml", &case.source, &loaded.diagnostics, false);
    Err(format!("expected {:?}, got {errors:?}\n{shown:.600}", case.class))
}

/// Every case in its class, and within its memory.
fn examine_all(cases: &[Case]) {
    let wrong: Vec<String> =
        cases.iter().filter_map(|case| examine(case).err().map(|why| format!("{}: {why}", case.name))).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(peak_mib() < 400, "{} MiB were in use at once", peak_mib());
}

#[test]
fn every_hostile_definition_has_a_name_of_its_own() {
    let cases = everything();
    assert!(cases.len() >= 200, "the corpus has {} definitions", cases.len());
    let names: std::collections::HashSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len(), "every name is used once");
}

#[test]
fn hostile_yaml_ends_in_the_class_that_is_expected() {
    examine_all(&yaml::cases());
}

#[test]
fn hostile_values_end_in_the_class_that_is_expected() {
    examine_all(&values::cases());
}

#[test]
fn hostile_graphs_end_in_the_class_that_is_expected() {
    examine_all(&graphs::cases());
}

#[test]
fn hostile_templates_end_in_the_class_that_is_expected_in_every_place() {
    examine_all(&places::cases());
}

#[test]
fn hostile_scripts_end_in_the_class_that_is_expected() {
    examine_all(&scripts::cases());
}

/// The most memory that this process has had; 0 where the system does not say.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() / 1024
}

/// The same files for the fuzzer: `HOSTILE_CORPUS=directory` writes them there.
#[test]
fn the_corpus_can_be_written_to_a_directory() {
    #[expect(clippy::disallowed_methods, reason = "a switch for whoever runs the tests")]
    let Ok(directory) = std::env::var("HOSTILE_CORPUS") else { return };
    for (number, case) in everything().iter().enumerate().filter(|(_, case)| case.source.len() < 20_000) {
        std::fs::write(std::path::Path::new(&directory).join(format!("hostile-{number:03}.yaml")), &case.source)
            .unwrap();
    }
}
