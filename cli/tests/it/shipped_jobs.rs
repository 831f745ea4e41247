//! Examples of jobs that make jobs.

use std::process::Command;

use serde_json::Value;

use crate::live_server::{atta, repository};
use crate::shipped::{outline, sorted, task};

/// Runs an example with other ones beside it.
fn run_with(file: &str, with: &[&str]) -> (i32, Value) {
    run_with_params(file, with, &[])
}

fn run_with_params(file: &str, with: &[&str], params: &[&str]) -> (i32, Value) {
    let examples = repository().join("workflows/examples");
    let mut command = Command::new(atta());
    command.arg("run").arg(examples.join(file)).arg("--json");
    for other in with {
        command.arg("--with").arg(examples.join(other));
    }
    for param in params {
        command.args(["-p", param]);
    }
    let output = command.output().expect("atta starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let document = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().expect("atta exits"), document)
}

/// `job_type STATE` of the other jobs.
fn others(document: &Value) -> Vec<String> {
    let jobs = document["jobs"].as_array().expect("there were other jobs");
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    jobs.iter().map(|job| format!("{} {}", word(&job["job_type"]), word(&job["state"]))).collect()
}

#[test]
fn a_forked_job_gives_outputs_and_artifacts() {
    let (code, job) = run_with("fork.yaml", &["fork-child.yaml"]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    assert_eq!(sorted(outline(&job)), ["measure COMPLETED -", "report COMPLETED -"]);
    assert_eq!(task(&job, "measure")["outputs"]["words"], 3);
    assert_eq!(task(&job, "measure")["artifacts"][0]["name"], "count/text.txt");
    assert_eq!(others(&job), ["example-fork-child COMPLETED"]);
    assert_eq!(job["jobs"][0]["parent"]["relation"], "forked");
    assert_eq!(job["jobs"][0]["parent"]["task"], "measure");
}

#[test]
fn a_fork_of_an_unknown_definition_is_said() {
    let (code, job) = run_with("fork.yaml", &[]);
    assert_eq!(code, 1, "{job:#}");
    assert_eq!(task(&job, "measure")["result"], "INVALID");
    assert!(
        job["error"].as_str().is_some_and(|error| error.contains("definition example-fork-child not found")),
        "{job:#}"
    );
}

#[test]
fn forked_jobs_can_be_awaited_later() {
    let (code, job) = run_with("await.yaml", &["fork-child.yaml"]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    assert_eq!(task(&job, "both")["outputs"]["left"]["words"], 1);
    assert_eq!(task(&job, "both")["outputs"]["right"]["words"], 3);
    assert_eq!(others(&job).len(), 2);
}

#[test]
fn each_item_becomes_a_job() {
    let (code, job) = run_with("submit-jobs.yaml", &["submit-jobs-item.yaml"]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    let outputs = &task(&job, "submit")["outputs"];
    assert_eq!((outputs["submitted"].as_u64(), outputs["duplicate"].as_u64()), (Some(2), Some(1)), "{job:#}");
    assert_eq!(others(&job), ["example-submit-jobs-item COMPLETED"; 2], "they are waited for");
}

#[test]
fn a_dry_run_looks_and_submits_nothing() {
    let (code, job) = run_with("submit-jobs-dry.yaml", &["submit-jobs-item.yaml"]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    let results = &task(&job, "look")["outputs"]["results"];
    assert_eq!(
        (&results[0]["outcome"], &results[1]["ended"]),
        (&"possible".into(), &serde_json::Value::Null),
        "{job:#}"
    );
    assert!(job["jobs"].is_null(), "nothing was submitted: {job:#}");
}

#[test]
fn the_end_of_a_job_starts_another() {
    let (code, job) = run_with("on-job-source.yaml", &["on-job.yaml"]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    assert_eq!(others(&job), ["on-job COMPLETED"]);
    assert_eq!(job["jobs"][0]["parent"]["relation"], "triggered");
}

#[test]
fn a_job_per_item_with_a_job_inside_gives_its_results_in_order() {
    let with = ["fan-out-forks-page.yaml", "fork-child.yaml"];
    let (code, job) = run_with("fan-out-forks.yaml", &with);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    assert_eq!(sorted(outline(&job)), ["mend SKIPPED -", "pages COMPLETED report", "report COMPLETED -"]);
    assert_eq!(task(&job, "pages")["outputs"]["words"], serde_json::json!([1, 3, 2]));
    assert_eq!(task(&job, "report")["outputs"]["words"], serde_json::json!([1, 3, 2]));
    let mut all = others(&job);
    all.sort();
    assert_eq!(all, [["example-fan-out-forks-page COMPLETED"; 3], ["example-fork-child COMPLETED"; 3]].concat());
    let (code, job) = run_with_params("fan-out-forks.yaml", &with, &[r#"Texts=["good", "broken"]"#]);
    assert_eq!((code, job["state"].as_str()), (4, Some("BLOCKED")), "{job:#}");
    assert_eq!(sorted(outline(&job)), ["mend COMPLETED END_BLOCKED", "pages FAILED mend", "report SKIPPED -"]);
    assert_eq!(task(&job, "pages")["outputs"]["words"], serde_json::json!([1, null]));
}
