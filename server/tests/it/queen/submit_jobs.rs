//! SUBMIT_JOBS: one job per item.

use std::time::Duration;

use atta_core::protocol::JobId;
use atta_core::protocol::api::SubmitRequest;
use serde_json::{Value, json};

use super::rig::{Ant, Rig, request};

const BUILD: &str = "
job_type: build
description: \"Builds {{ Name }}\"
params: {Name: {pattern: \"^[a-z]+$\", required: true}}
tasks: [{task_type: make, script: [make], tags: [rare]}]
";

fn source(submit: &str, rest: &str) -> String {
    format!(
        "job_type: scan\nparams: {{Names: {{type: array, default: [a, b]}}}}\ntasks:\n- task_type: submit\n  submit: {{job_type: build, items: \"{{{{ Names }}}}\", params: {{Name: \"{{{{ item }}}}\"}}{submit}}}\n{rest}"
    )
}

async fn scan(rig: &Rig, names: Value) -> JobId {
    let params = json!({ "Names": names }).as_object().cloned().unwrap();
    rig.queen.submit(SubmitRequest { params, ..request("scan") }, "test", None).await.unwrap().job_id
}

async fn outputs(rig: &Rig, job: &JobId) -> Value {
    let rows =
        rig.rows(&format!("SELECT outputs FROM attempts WHERE job_id = '{job}' ORDER BY number DESC LIMIT 1")).await;
    serde_json::from_str(&rows.concat()).unwrap()
}

async fn failure(rig: &Rig, job: &JobId) -> String {
    rig.rows(&format!("SELECT result, error_code, error_message FROM tasks WHERE job_id = '{job}'")).await.concat()
}

#[tokio::test]
pub(crate) async fn each_item_becomes_a_job_of_its_own() {
    let rig = Rig::new().await;
    rig.upload(BUILD).await;
    rig.upload(&source(", user_key: \"k-{{ item }}\", description: \"Look at {{ item }}\", priority: \"{{ 'HIGH' if item == 'a' else 'LOW' }}\"", "")).await;
    let job = rig.submit("scan").await;
    assert_eq!(rig.state(&job).await, "COMPLETED", "nobody waits for them");
    assert_eq!(
        rig.rows("SELECT user_key, description, priority, submitted_by, forked, params FROM jobs WHERE job_type = 'build' ORDER BY user_key").await,
        [
            format!("k-a Look at a 1 job:{job} 0 {{\"Name\":\"a\"}}"),
            format!("k-b Look at b 3 job:{job} 0 {{\"Name\":\"b\"}}"),
        ]
    );
    let outputs = outputs(&rig, &job).await;
    assert_eq!((&outputs["submitted"], &outputs["duplicate"], &outputs["refused"]), (&json!(2), &json!(0), &json!(0)));
    let ids = rig.rows("SELECT id FROM jobs WHERE job_type = 'build' ORDER BY user_key").await;
    assert_eq!(outputs["results"][1], json!({"index": 1, "outcome": "submitted", "job_id": ids[1], "reason": null}));
}

#[tokio::test]
pub(crate) async fn a_description_that_was_given_stays() {
    let mut rig = Rig::new().await;
    rig.upload(&BUILD.replace(", tags: [rare]", "")).await;
    rig.upload(&source(", description: \"Mine\"", "")).await;
    scan(&rig, json!(["a"])).await;
    rig.restart().await;
    let mut ant = Ant::new("ant", 1);
    ant.work(&rig.queen).await;
    assert_eq!(rig.rows("SELECT state, description FROM jobs WHERE job_type = 'build'").await, ["COMPLETED Mine"]);
}

#[tokio::test]
pub(crate) async fn an_item_whose_key_is_held_is_a_duplicate_and_no_failure() {
    let rig = Rig::new().await;
    rig.upload(BUILD).await;
    rig.upload(&source(", user_key: \"k-{{ item }}\"", "")).await;
    scan(&rig, json!(["a"])).await;
    let holder = rig.rows("SELECT id FROM jobs WHERE user_key = 'k-a'").await.concat();
    let job = scan(&rig, json!(["a", "b", "b"])).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
    let outputs = outputs(&rig, &job).await;
    let outcomes: Vec<&str> =
        outputs["results"].as_array().unwrap().iter().map(|one| one["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["duplicate", "submitted", "duplicate"]);
    assert_eq!(outputs["results"][0]["job_id"], json!(holder));
    assert_eq!(outputs["results"][2]["job_id"], outputs["results"][1]["job_id"]);
    assert!(outputs["results"][0]["reason"].as_str().unwrap().contains(&format!("is held by the job {holder}")));
}

#[tokio::test]
pub(crate) async fn a_duplicate_by_the_key_of_its_own_definition_names_the_job_too() {
    let rig = Rig::new().await;
    rig.upload(&BUILD.replace("tasks:", "user_key: always\ntasks:")).await;
    rig.upload(&source("", "")).await;
    let job = scan(&rig, json!(["a", "b"])).await;
    let outputs = outputs(&rig, &job).await;
    let ids = rig.rows("SELECT id FROM jobs WHERE job_type = 'build'").await;
    assert_eq!((&outputs["submitted"], &outputs["duplicate"]), (&json!(1), &json!(1)));
    assert_eq!(outputs["results"][1]["job_id"], json!(ids[0]));
}

#[tokio::test]
pub(crate) async fn a_refused_item_fails_the_task_with_all_outcomes_listed() {
    let rig = Rig::new().await;
    rig.upload(BUILD).await;
    rig.upload(&source("", "")).await;
    let job = scan(&rig, json!(["a", "B4D", "c", 5])).await;
    assert_eq!(rig.state(&job).await, "FAILED");
    let outputs = outputs(&rig, &job).await;
    assert_eq!((&outputs["submitted"], &outputs["refused"]), (&json!(2), &json!(2)));
    assert_eq!(rig.tasks(&job).await, ["submit FAILED 1 1 1"]);
    let failure = failure(&rig, &job).await;
    assert!(failure.starts_with("FAILED ITEMS_REFUSED 2 of 4 items were refused: item 1: "), "{failure}");
    assert!(failure.contains("; item 3: "), "{failure}");
    assert_eq!(rig.rows("SELECT count(*) FROM jobs WHERE job_type = 'build'").await, ["2"]);
}

#[tokio::test]
pub(crate) async fn an_unknown_or_disabled_definition_refuses_its_items() {
    let rig = Rig::new().await;
    rig.upload(BUILD).await;
    rig.queen.set_enabled("build", false).await.unwrap();
    rig.upload("job_type: scan\ntasks: [{task_type: submit, submit: {job_type: \"{{ item }}\", items: [build, nothing, \"Bad Name\"]}}]\n").await;
    let job = rig.submit("scan").await;
    let failure = failure(&rig, &job).await;
    for expected in [
        "item 0: definition build is disabled",
        "item 1: definition nothing not found",
        "item 2: definition Bad Name not found",
    ] {
        assert!(failure.contains(expected), "{failure}");
    }
}

#[tokio::test]
pub(crate) async fn a_thousand_items_are_the_limit() {
    let rig = Rig::new().await;
    rig.upload(&BUILD.replace("{pattern: \"^[a-z]+$\", required: true}", "{type: integer}")).await;
    rig.upload(&source("", "")).await;
    let job = scan(&rig, json!((0..1001).collect::<Vec<_>>())).await;
    let failed = failure(&rig, &job).await;
    assert!(
        failed.contains("there are 1001 items, and a task may submit 1000 jobs; nothing was submitted"),
        "{failed}"
    );
    assert_eq!(rig.rows("SELECT count(*) FROM jobs").await, ["1"]);
    let job = scan(&rig, json!((0..1000).collect::<Vec<_>>())).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
    assert_eq!(rig.rows("SELECT count(*) FROM jobs WHERE job_type = 'build'").await, ["1000"]);
}

#[tokio::test]
pub(crate) async fn items_that_are_no_array_are_refused_and_none_are_fine() {
    let rig = Rig::new().await;
    rig.upload(BUILD).await;
    rig.upload("job_type: scan\ntasks: [{task_type: submit, submit: {job_type: build, items: \"{{ JobID }}\"}}]\n")
        .await;
    let job = rig.submit("scan").await;
    assert!(failure(&rig, &job).await.contains("it must give a JSON array"), "{}", failure(&rig, &job).await);
    rig.upload(&source("", "")).await;
    let job = scan(&rig, json!([])).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
    assert_eq!(outputs(&rig, &job).await["results"], json!([]));
}

#[tokio::test]
pub(crate) async fn a_retry_submits_nothing_twice() {
    let mut rig = Rig::new().await;
    rig.upload(BUILD).await;
    rig.upload(&source("", "  retry: 1\n  delay_between_retries: 1s\n")).await;
    let job = scan(&rig, json!(["a", "a", "BAD", "c"])).await;
    assert_eq!(rig.state(&job).await, "WAITING");
    let before = rig.rows("SELECT id FROM jobs WHERE job_type = 'build' ORDER BY id").await;
    assert_eq!(before.len(), 3, "equal items are different ones");
    rig.restart().await;
    rig.advance(Duration::from_secs(2)).await;
    assert_eq!(rig.state(&job).await, "FAILED");
    assert_eq!(rig.rows("SELECT id FROM jobs WHERE job_type = 'build' ORDER BY id").await, before);
    let outputs = outputs(&rig, &job).await;
    assert_eq!((&outputs["submitted"], &outputs["refused"]), (&json!(3), &json!(1)));
    let ids: Vec<&Value> = [0, 1, 3].iter().map(|index| &outputs["results"][*index]["job_id"]).collect();
    assert!(before.iter().all(|id| ids.contains(&&json!(id))), "{ids:?}");
}

#[tokio::test]
pub(crate) async fn a_retry_of_the_job_submits_only_what_is_missing() {
    let rig = Rig::new().await;
    rig.upload(BUILD).await;
    rig.upload("job_type: scan\nparams: {Names: {type: array}}\ntasks:\n- {task_type: submit, submit: {job_type: \"{{ item }}\", params: {Name: x}, items: [build, later]}}\n").await;
    let job = rig.submit("scan").await;
    assert_eq!(rig.state(&job).await, "FAILED");
    rig.upload(&BUILD.replace("job_type: build", "job_type: later")).await;
    rig.queen.command(&job, atta_server::scheduler::JobCommand::RetryFailed).await.unwrap();
    assert_eq!(rig.state(&job).await, "COMPLETED");
    assert_eq!(
        rig.rows("SELECT job_type FROM jobs WHERE parent_job IS NOT NULL ORDER BY job_type").await,
        ["build", "later"]
    );
}

#[tokio::test]
pub(crate) async fn submitted_jobs_outlive_a_cancelled_parent() {
    let rig = Rig::new().await;
    rig.upload(BUILD).await;
    rig.upload(&source("", "- {task_type: long, dependencies: [submit], script: [x], tags: [rare]}\n")).await;
    let job = rig.submit("scan").await;
    rig.queen
        .command(&job, atta_server::scheduler::JobCommand::Cancel { reason: "enough".to_owned(), force: false })
        .await
        .unwrap();
    assert_eq!(rig.state(&job).await, "CANCELLED");
    assert_eq!(rig.rows("SELECT DISTINCT state FROM jobs WHERE job_type = 'build'").await, ["RUNNING"]);
}

#[tokio::test]
pub(crate) async fn a_dry_run_submits_nothing_and_tells_who_has_or_had_each_key() {
    let mut rig = Rig::new().await;
    rig.upload(&BUILD.replace(", tags: [rare]", "")).await;
    rig.upload(&source(", user_key: \"k-{{ item }}\"", "")).await;
    scan(&rig, json!(["a"])).await;
    let mut ant = Ant::new("ant", 1);
    ant.work(&rig.queen).await;
    scan(&rig, json!(["b"])).await;
    rig.restart().await;
    rig.upload(&source(", dry_run: true, user_key: \"k-{{ item }}\"", "")).await;
    // Params are not looked at: nothing is made of them.
    let job = scan(&rig, json!(["a", "b", "C"])).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
    assert_eq!(rig.rows("SELECT user_key, state FROM jobs WHERE job_type = 'build' ORDER BY user_key").await.len(), 2);
    let ids = rig.rows("SELECT id FROM jobs WHERE job_type = 'build' ORDER BY user_key").await;
    let results = outputs(&rig, &job).await["results"].clone();
    assert_eq!(
        results[0],
        json!({"index": 0, "outcome": "possible", "job_id": ids[0], "reason": null, "ended": "COMPLETED"})
    );
    assert_eq!(results[1], json!({"index": 1, "outcome": "duplicate", "job_id": ids[1], "reason": null}));
    assert_eq!(results[2], json!({"index": 2, "outcome": "possible", "job_id": null, "reason": null, "ended": null}));
}

#[tokio::test]
pub(crate) async fn the_jobs_that_a_task_made_are_counted_by_state() {
    let rig = Rig::new().await;
    rig.upload(BUILD).await;
    rig.upload(&source("", "- {task_type: after, dependencies: [submit], script: [echo], tags: [rare]}\n")).await;
    let job = scan(&rig, json!(["a", "b", "c"])).await;
    let made = rig.rows("SELECT id FROM jobs WHERE job_type = 'build' ORDER BY id").await;
    let cancel = atta_server::scheduler::JobCommand::Cancel { reason: "enough".to_owned(), force: false };
    rig.queen.command(&JobId(made[0].clone()), cancel).await.unwrap();
    let detail = atta_server::store::Reads::new(rig.queen.store().clone()).job(&job).await.unwrap().unwrap();
    let counted: Vec<Value> =
        detail.tasks.iter().map(|task| json!({"task": task.task_type, "forked": task.forked})).collect();
    assert_eq!(
        counted,
        [
            json!({"task": "submit", "forked": {"total": 3, "counts": {"CANCELLED": 1, "RUNNING": 2}}}),
            json!({"task": "after", "forked": null}),
        ]
    );
}
