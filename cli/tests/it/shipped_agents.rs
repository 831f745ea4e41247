//! The examples of agents are run, each with a stand-in that it brings along.

use serde_json::{Value, json};

use crate::shipped::{outline, run, task};

fn artifacts(job: &Value, name: &str) -> Vec<String> {
    let list = task(job, name)["artifacts"].as_array().cloned().unwrap_or_default();
    list.iter().filter_map(|file| Some(file["name"].as_str()?.to_owned())).collect()
}

#[test]
fn the_verdict_of_an_agent_decides() {
    let (code, job) = run("agent.yaml", &[]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    let outputs = &task(&job, "review")["outputs"];
    assert_eq!(outputs["verdict"], json!({"approved": true, "reason": "It is right."}), "{job:#}");
    assert_eq!((&outputs["session_id"], &outputs["cost_usd"]), (&json!("session-1"), &json!(0.01)));
    assert_eq!(artifacts(&job, "review"), ["agent/record.json", "agent/transcript.jsonl"]);
    let (code, job) = run("agent.yaml", &["Text=Two and two are five."]);
    assert_eq!((code, job["state"].as_str()), (4, Some("BLOCKED")), "{job:#}");
}

#[test]
fn another_agent_goes_on_when_an_account_is_used_up() {
    let (code, job) = run("agent-limits.yaml", &[]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    assert_eq!(outline(&job), ["stand-in COMPLETED -", "work COMPLETED -"]);
    let outputs = &task(&job, "work")["outputs"];
    assert_eq!((&outputs["message"], &outputs["cost_usd"]), (&json!("Done."), &Value::Null), "{job:#}");
}

#[test]
fn a_job_ends_when_its_agents_have_used_up_their_budget() {
    let (code, job) = run("budget.yaml", &[]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    assert_eq!(task(&job, "work")["outputs"]["cost_usd"], json!(3.0), "{job:#}");
    let (code, job) = run("budget.yaml", &["Turns=90"]);
    assert_eq!((code, job["error_code"].as_str()), (1, Some("BUDGET_EXCEEDED")), "{job:#}");
    let said = job["error"].as_str().unwrap_or_default();
    assert!(said.contains("BUDGET: 6.00 of 5.00 USD are used"), "one turn too many, not more: {said}");
}

#[test]
fn another_account_is_used_when_the_limit_of_the_first_is_met() {
    let (code, job) = run("agent-accounts.yaml", &[]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    assert_eq!(outline(&job), ["stand-in COMPLETED -", "work COMPLETED -", "alone COMPLETED -"]);
    assert_eq!(
        (&task(&job, "work")["outputs"]["message"], &task(&job, "work")["attempts"]),
        (&json!("Done with key-of-b."), &json!(2))
    );
}

#[test]
fn a_task_goes_on_with_the_session_of_another_one() {
    let (code, job) = run("agent-session.yaml", &[]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    let (first, second) = (&task(&job, "implement")["outputs"], &task(&job, "refine")["outputs"]);
    assert_eq!((&first["session_id"], &first["message"]), (&json!("session-1"), &json!("After nobody.")));
    assert_eq!((&second["session_id"], &second["message"]), (&json!("session-1"), &json!("After session-1.")));
    assert_eq!(first["files_changed"], json!(["notes"]));
    assert_eq!(first["commits"][0]["subject"], "Write a note");
}

#[test]
fn the_majority_of_independent_agents_counts() {
    let (code, job) = run("agent-vote.yaml", &[]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    assert_eq!(task(&job, "judge")["outputs"]["verdict"]["approved"], true, "{job:#}");
    assert_eq!(task(&job, "judge")["outputs"]["turns"], 3, "{job:#}");
}

#[test]
fn an_agent_reads_what_others_wrote_without_what_is_hidden_and_is_configured_by_the_base() {
    let (code, job) = run("agent-context.yaml", &[]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    let message = &task(&job, "implement")["outputs"]["message"];
    assert_eq!(message, "Be careful. Hidden: 0, failed: 1, more: 2", "{job:#}");
    assert_eq!(task(&job, "implement")["outputs"]["files_changed"], json!([]), "{job:#}");
    assert_eq!(task(&job, "check")["outputs"]["code"], 4, "{job:#}");
}
