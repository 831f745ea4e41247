//! What we ship is run: the examples.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::live_server::{atta, repository};
pub(crate) use crate::scratch::task;

/// Runs a definition with `atta run --json`; returns the exit code and the document.
pub(crate) fn run(file: &str, params: &[&str]) -> (i32, Value) {
    let mut command = Command::new(atta());
    command.arg("run").arg(repository().join("workflows/examples").join(file)).arg("--json");
    for param in params {
        command.args(["-p", param]);
    }
    let output = command.output().expect("atta starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let document = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().expect("atta exits"), document)
}

/// `name STATE route` of each task, in the document's order.
pub(crate) fn outline(document: &Value) -> Vec<String> {
    let tasks = document["tasks"].as_array().expect("a job has tasks");
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    tasks
        .iter()
        .map(|task| format!("{} {} {}", word(&task["task_type"]), word(&task["state"]), word(&task["route"])))
        .collect()
}

pub(crate) fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

#[test]
fn the_diamond_joins_both_branches() {
    let (code, job) = run("diamond.yaml", &[]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    assert_eq!(
        sorted(outline(&job)),
        ["build COMPLETED -", "lint COMPLETED -", "report COMPLETED -", "test COMPLETED -"]
    );
    assert_eq!(task(&job, "build")["artifacts"][0]["name"], "product.txt");
}

#[test]
fn exit_codes_choose_the_route() {
    let (code, job) = run("exit-codes.yaml", &[]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    assert_eq!(outline(&job), ["check FAILED repair", "repair COMPLETED publish", "publish COMPLETED -"]);

    let (code, job) = run("exit-codes.yaml", &["Code=0"]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")));
    assert_eq!(outline(&job), ["check COMPLETED publish", "publish COMPLETED -", "repair SKIPPED -"]);

    let (code, job) = run("exit-codes.yaml", &["Code=70"]);
    assert_eq!((code, job["error_code"].as_str()), (1, Some("ERR_WRONG_USAGE")), "{job:#}");

    let (code, job) = run("exit-codes.yaml", &["Code=9"]);
    assert_eq!((code, job["state"].as_str()), (4, Some("BLOCKED")), "{job:#}");
    assert_eq!(outline(&job)[0], "check FAILED END_BLOCKED");
}

#[test]
fn a_loop_ends_with_success_or_with_its_bound() {
    let (code, job) = run("loop.yaml", &[]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    assert_eq!((task(&job, "test")["visits"].as_u64(), task(&job, "fix")["visits"].as_u64()), (Some(3), Some(2)));

    let (code, job) = run("loop.yaml", &["Good=99"]);
    assert_eq!((code, job["error_code"].as_str()), (1, Some("ERR_STILL_BROKEN")), "{job:#}");
    assert_eq!((task(&job, "test")["visits"].as_u64(), task(&job, "fix")["visits"].as_u64()), (Some(4), Some(3)));
    assert_eq!(task(&job, "publish")["state"], "SKIPPED");
}

#[test]
fn an_allowed_failure_stops_nothing() {
    let (code, job) = run("allow-failure.yaml", &[]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    assert_eq!(sorted(outline(&job)), ["publish COMPLETED -", "spelling FAILED -"]);
}

#[test]
fn a_false_condition_skips_one_task_only() {
    let (code, job) = run("when.yaml", &[]);
    assert_eq!(code, 0, "{job:#}");
    assert_eq!(sorted(outline(&job)), ["build COMPLETED -", "deploy SKIPPED -", "notify COMPLETED -"]);
    assert_eq!(task(&job, "deploy")["result"], "when");
    let (_, job) = run("when.yaml", &["Deploy=true"]);
    assert_eq!(task(&job, "deploy")["state"], "COMPLETED", "{job:#}");
}

#[test]
fn cleanup_runs_after_a_failure() {
    let (code, job) = run("always-run.yaml", &[]);
    assert_eq!((code, job["state"].as_str()), (1, Some("FAILED")), "{job:#}");
    assert_eq!(outline(&job), ["work FAILED -", "cleanup COMPLETED -"]);
    assert_eq!(task(&job, "cleanup")["artifacts"][0]["name"], "record.txt");
}

#[test]
fn a_flaky_task_is_tried_again() {
    let (code, job) = run("retry.yaml", &[]);
    assert_eq!((code, task(&job, "flaky")["attempts"].as_u64()), (0, Some(3)), "{job:#}");
    assert_eq!(task(&job, "flaky")["visits"], 1);
}

#[test]
fn outputs_arrive_with_their_types() {
    let (code, job) = run("outputs.yaml", &[]);
    assert_eq!(code, 0, "{job:#}");
    assert_eq!(task(&job, "measure")["outputs"]["words"], 3);
    assert_eq!(task(&job, "measure")["outputs"]["title"], "It works");
    assert!(task(&job, "report")["outputs"]["text"].as_str().is_some_and(|text| text.starts_with("It works, in 3")));
}

#[test]
fn a_blocked_job_is_neither_success_nor_failure() {
    let (code, job) = run("blocked.yaml", &[]);
    assert_eq!((code, job["state"].as_str()), (4, Some("BLOCKED")), "{job:#}");
    assert_eq!(outline(&job), ["plan FAILED END_BLOCKED", "implement SKIPPED -"]);
}

#[test]
fn a_timeout_can_be_routed() {
    let (code, job) = run("time-limits.yaml", &[]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    assert_eq!(task(&job, "slow")["result"], "TIMED_OUT");
    assert_eq!(outline(&job), ["slow FAILED shortcut", "shortcut COMPLETED END_COMPLETED"]);
}

#[test]
fn hostile_values_are_printed_as_they_are() {
    let out = TempDir::new().expect("a temporary directory can be made");
    let output = Command::new(atta())
        .arg("run")
        .arg(repository().join("workflows/examples/quoting.yaml"))
        .arg("-o")
        .arg(out.path())
        .output()
        .expect("atta starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let log = fs::read_to_string(out.path().join("print.log")).expect("the log was written");
    let title = "$(touch pwned)`\"'{{7*7}}";
    assert_eq!(log, format!("{title}\ntitle {title}\nhere: {title}\n"));
}

#[test]
fn every_example_is_tested_and_every_shipped_workflow_is_valid() {
    let mut tests = String::new();
    for directory in ["cli/tests/it", "cli/tests/it/workflows", "cli/tests/it/workflows/jira"] {
        for entry in fs::read_dir(repository().join(directory)).expect("the directory exists").flatten() {
            if entry.path().is_file() {
                tests.push_str(&fs::read_to_string(entry.path()).expect("a test is text"));
            }
        }
    }
    let mut files = BTreeSet::new();
    for directory in ["workflows", "workflows/examples"] {
        for entry in fs::read_dir(repository().join(directory)).expect("the directory exists").flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "yaml") {
                files.insert(entry.path());
            }
        }
    }
    assert!(files.len() > 10);
    for file in &files {
        let name = file.file_name().and_then(|name| name.to_str()).expect("the name is text");
        assert!(
            tests.contains(&format!("{name}\"")) || tests.contains(&format!("\"{}\"", name.trim_end_matches(".yaml"))),
            "{name} is not run by a test"
        );
    }
    let output = Command::new(atta()).arg("validate").args(&files).output().expect("atta starts");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
