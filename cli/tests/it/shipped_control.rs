//! The examples of fan_out, queue_timeout and concurrency are run.

use serde_json::json;

use crate::shipped::{outline, run, sorted, task};

#[test]
fn instances_run_for_each_item_and_their_results_come_together() {
    let (code, job) = run("fan-out.yaml", &[]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    assert_eq!(
        sorted(outline(&job)),
        ["build COMPLETED report", "plan COMPLETED -", "repair SKIPPED -", "report COMPLETED -"]
    );
    let build = task(&job, "build");
    assert_eq!(build["outputs"]["bytes"], json!([300, 100, 200]));
    assert_eq!(build["outputs"]["results"][1]["key"], "cli");
    assert_eq!(build["attempts"], 3);
    assert_eq!(build["artifacts"][2]["name"], "build/docs/built.txt");
    assert_eq!(task(&job, "report")["outputs"]["sizes"], json!([300, 100, 200]));

    let (code, job) = run("fan-out.yaml", &["Broken=cli"]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    let build = task(&job, "build");
    assert_eq!((build["state"].as_str(), build["exit_code"].as_u64()), (Some("FAILED"), Some(3)), "{job:#}");
    assert_eq!(build["route"], "repair");
    assert_eq!(build["outputs"]["bytes"], json!([300, null, 200]));
    assert_eq!(task(&job, "repair")["outputs"]["broken"], "cli");
}

#[test]
fn no_items_are_a_success_and_hostile_items_stay_values() {
    let (code, job) = run("fan-out-items.yaml", &[]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    assert_eq!(task(&job, "each")["outputs"], json!({"line": [], "results": []}));
    assert_eq!(task(&job, "count")["outputs"]["count"], 0);

    let words = json!(["$(touch pwned)", "`id`", "a'b\"c", "{{ 7 * 7 }}", "; exit 9", "fail fast"]);
    let (code, job) = run("fan-out-items.yaml", &[&format!("Words={words}")]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    let lines = task(&job, "each")["outputs"]["line"].as_array().expect("an array").clone();
    for (index, word) in words.as_array().expect("an array").iter().enumerate() {
        let expected = format!("{index}|{index}|{}", word.as_str().expect("a text"));
        assert_eq!(lines[index].as_str().expect("a text").trim_end(), expected);
    }

    let (code, job) = run("fan-out-items.yaml", &[r#"Words=["a","fail","b","c"]"#]);
    assert_eq!((code, job["state"].as_str()), (1, Some("FAILED")), "{job:#}");
    let states: Vec<_> = task(&job, "each")["outputs"]["results"]
        .as_array()
        .expect("an array")
        .iter()
        .map(|one| one["state"].as_str().expect("a state").to_owned())
        .collect();
    assert_eq!(states, ["COMPLETED", "FAILED", "CANCELLED", "CANCELLED"]);
}

#[test]
fn a_task_that_no_ant_takes_in_time_can_be_routed() {
    let (code, job) = run("queue-timeout.yaml", &[]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    assert_eq!(sorted(outline(&job)), ["fast FAILED slow", "publish COMPLETED -", "slow COMPLETED publish"]);
    assert_eq!(task(&job, "fast")["result"], "QUEUE_TIMED_OUT");
}

#[test]
fn a_job_with_a_concurrency_key_runs() {
    let (code, job) = run("concurrency.yaml", &["Environment=production"]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
}
