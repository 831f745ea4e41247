//! Tasks with `fan_out`: items, keys, instances, results.

use atta_core::protocol::Digest;
use atta_core::protocol::ant::{ArtifactFile, AttemptReport, Heard, Report, ReportBatch, ReportBody};
use atta_core::protocol::api::SubmitRequest;
use atta_server::store::Reads;
use serde_json::{Value, json};

use super::rig::{Ant, Rig, report, request};

fn flow(each: &str, params: &str) -> String {
    format!(
        "job_type: flow\nparams: {{Items: {{type: array, default: []}}, {params}}}\ntasks:\n  - task_type: each\n    fan_out: {each}\n    script: [\"echo {{{{ item_key }}}}\"]\n    environment: {{OWN: \"{{{{ item }}}}\"}}\n    outputs: [size]\n    artifacts: {{paths: [file]}}\n  - task_type: after\n    dependencies: [each]\n    environment: {{ALL: \"{{{{ tasks.each.outputs.size | to_json }}}}\"}}\n    script: [\"true\"]\n"
    )
}

fn with_items(items: Value) -> SubmitRequest {
    let mut request = request("flow");
    request.params.insert("Items".to_owned(), items);
    request
}

fn file(name: &str) -> ArtifactFile {
    ArtifactFile {
        path: name.to_owned(),
        digest: Digest(blake3::hash(name.as_bytes()).to_hex().to_string()),
        size: 4,
        executable: false,
    }
}

/// The sentence with which the task ends as INVALID.
async fn refusal(each: &str, items: Value) -> String {
    let rig = Rig::new().await;
    rig.upload(&flow(each, "")).await;
    let job = rig.queen.submit(with_items(items), "test", None).await.unwrap().job_id;
    assert_eq!(rig.state(&job).await, "FAILED");
    assert_eq!(rig.rows("SELECT result FROM tasks WHERE name = 'each'").await, ["INVALID"]);
    rig.rows("SELECT error_message FROM tasks WHERE name = 'each'").await.concat()
}

#[tokio::test]
pub(crate) async fn every_instance_knows_its_item_and_the_results_come_in_the_order_of_the_items() {
    let mut rig = Rig::new().await;
    rig.upload(&flow("{items: \"{{ Items }}\", key: \"k-{{ item | length }}\"}", "")).await;
    let job = rig.queen.submit(with_items(json!(["ccc", "a", "bb"])), "test", None).await.unwrap().job_id;
    let mut ant = Ant::new("ant", 10);
    let work = ant.poll(&rig.queen).await.assignments;
    let keys: Vec<_> = work.iter().map(|one| one.environment["ATTA_ITEM_KEY"].clone()).collect();
    assert_eq!(keys, ["k-3", "k-1", "k-2"]);
    assert_eq!((&*work[1].environment["OWN"], &*work[1].environment["ATTA_ITEM"]), ("a", "a"));
    assert_eq!(work[2].environment["ATTA_ITEM_INDEX"], "2");
    // They end in another order than that of the items, and the queen is killed in between.
    for (position, size) in [(2, 2), (0, 3)] {
        ant.outputs.insert("each".to_owned(), [("size".to_owned(), json!(size))].into_iter().collect());
        ant.artifacts.insert("each".to_owned(), vec![file("file")]);
        ant.start(&rig.queen, &work[position]).await;
        ant.finish(&rig.queen, &work[position]).await;
    }
    rig.restart().await;
    let counts = rig.rows("SELECT item_key, state, attempts FROM task_instances ORDER BY instance").await;
    assert_eq!(counts[0], "k-3 COMPLETED 1");
    assert_eq!(counts[2], "k-2 COMPLETED 1");
    let mut ant = Ant { session: 2, ..Ant::new("ant", 10) };
    ant.outputs.insert("each".to_owned(), [("size".to_owned(), json!(1))].into_iter().collect());
    ant.work(&rig.queen).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
    let after = ant.seen.last().unwrap();
    assert_eq!(after.environment["ALL"], "[3,1,2]");
    let paths: Vec<_> = after.inputs[0].files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["each/k-3/file", "each/k-2/file"]);
    let detail = Reads::new(rig.queen.store().clone()).job(&job).await.unwrap().unwrap();
    let each = detail.tasks.iter().find(|task| task.task_type == "each").unwrap();
    assert_eq!(each.outputs["size"], json!([3, 1, 2]));
    assert_eq!(each.outputs["results"][1]["key"], "k-1");
    assert_eq!(each.fan_out.as_ref().unwrap().counts["COMPLETED"], 3);
    assert_eq!(each.artifacts[1].name, "each/k-2/file");
}

#[tokio::test]
pub(crate) async fn a_retry_of_the_job_runs_only_the_instances_that_failed() {
    let mut rig = Rig::new().await;
    rig.upload(&flow("{items: \"{{ Items }}\", key: \"{{ item }}\", max_parallel: 1}", "")).await;
    let job = rig.queen.submit(with_items(json!(["a", "b", "c"])), "test", None).await.unwrap().job_id;
    let mut ant = Ant::new("ant", 10).with_code("each", &[0, 7, 0]);
    ant.work(&rig.queen).await;
    assert_eq!(rig.state(&job).await, "FAILED");
    assert_eq!(ant.seen.len(), 3);
    let error = rig.rows("SELECT exit_code, error_message FROM tasks WHERE name = 'each'").await.concat();
    assert!(error.starts_with('7'), "{error}");
    rig.restart().await;
    rig.queen.command(&job, atta_server::scheduler::JobCommand::RetryFailed).await.unwrap();
    let mut ant = Ant::new("another", 10);
    ant.work(&rig.queen).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
    let items: Vec<_> = ant.seen.iter().filter_map(|one| one.environment.get("ATTA_ITEM").cloned()).collect();
    assert_eq!(items, ["b"]);
    assert_eq!(
        rig.rows("SELECT item_key, state, attempts FROM task_instances ORDER BY instance").await,
        ["a COMPLETED 1", "b COMPLETED 2", "c COMPLETED 1"]
    );
    assert_eq!(rig.rows("SELECT item_key FROM attempts WHERE task = 0 ORDER BY number").await, ["a", "b", "c", "b"]);
}

#[tokio::test]
pub(crate) async fn no_items_are_a_success_with_empty_arrays() {
    let rig = Rig::new().await;
    rig.upload(&flow("{items: \"{{ Items }}\"}", "")).await;
    let mut ant = Ant::new("ant", 1);
    let (job, state) = rig.run("flow", &mut ant).await;
    assert_eq!((state.as_str(), &*ant.seen[0].environment["ALL"]), ("COMPLETED", "[]"));
    let detail = Reads::new(rig.queen.store().clone()).job(&job).await.unwrap().unwrap();
    let each = detail.tasks.iter().find(|task| task.task_type == "each").unwrap();
    assert_eq!(serde_json::to_value(&each.outputs).unwrap(), json!({"size": [], "results": []}));
}

#[tokio::test]
pub(crate) async fn what_is_no_array_of_items_is_said() {
    let plain = "{items: \"{{ Items[0] }}\"}";
    let said = refusal(plain, json!([{"a": 1}])).await;
    assert!(said.contains("items (line 5): it must give a JSON array, and this is an object"), "{said}");
    let said = refusal(plain, json!(["some text"])).await;
    assert!(said.contains("it must give a JSON array, and this is the text \"some text\""), "{said}");
    let said = refusal(plain, json!([5])).await;
    assert!(said.contains("and this is a number"), "{said}");
    let said = refusal("{items: \"{{ Items }}\"}", json!(vec![0; 10_001])).await;
    assert!(said.contains("there are 10001 items, and a task may have 10000"), "{said}");
    let said = refusal("{items: \"{{ Items }}\"}", json!(vec!["x".repeat(1 << 20); 5])).await;
    assert!(said.contains("bytes together, and may have 4194304"), "{said}");
    let said = refusal("{items: \"{{ Items[0].list }}\"}", json!([{}])).await;
    assert!(said.contains("items (line 5)") && said.contains("list"), "{said}");
}

#[tokio::test]
pub(crate) async fn a_text_that_is_a_json_array_gives_its_items() {
    let rig = Rig::new().await;
    rig.upload(&flow("{items: \"{{ Items[0] }}\"}", "")).await;
    rig.queen.submit(with_items(json!(["[1, {\"a\": 2}]"])), "test", None).await.unwrap();
    let mut ant = Ant::new("ant", 5);
    let work = ant.poll(&rig.queen).await.assignments;
    let items: Vec<_> = work.iter().map(|one| one.environment["ATTA_ITEM"].as_str()).collect();
    assert_eq!(items, ["1", "{\"a\":2}"]);
}

#[tokio::test]
pub(crate) async fn keys_that_are_no_names_or_not_unique_are_refused() {
    let key = "{items: \"{{ Items }}\", key: \"{{ item }}\"}";
    let said = refusal(key, json!(["a", "../b"])).await;
    assert!(said.contains("key: the key \"../b\" of item 1 cannot be part of a path"), "{said}");
    let said = refusal(key, json!(["a", "b", "a"])).await;
    assert!(said.contains("key: items 0 and 2 have the same key \"a\""), "{said}");
    for hostile in ["", ".", "-rf", "a/b", "a b", "ä", "$(id)", "a\nb"] {
        let said = refusal(key, json!([hostile])).await;
        assert!(said.contains("of item 0 cannot be part of a path"), "{hostile:?}: {said}");
    }
    let endless = "{items: \"{{ Items }}\", key: \"{% for i in range(100000) %}x{% endfor %}\"}";
    let said = refusal(endless, json!(["a"])).await;
    assert!(said.contains("item 0: key (line 5)"), "{said}");
}

#[tokio::test]
pub(crate) async fn hostile_items_reach_scripts_as_values() {
    let rig = Rig::new().await;
    rig.upload(&flow("{items: \"{{ Items }}\"}", "").replace("echo {{ item_key }}", "echo {{ item }}")).await;
    rig.queen.submit(with_items(json!(["$(reboot)", "a\u{0}b"])), "test", None).await.unwrap();
    let mut ant = Ant::new("ant", 5);
    let work = ant.poll(&rig.queen).await.assignments;
    assert!(!super::rig::script_of(&work[0]).contains("reboot"), "the value is bound, not spliced");
    assert_eq!(work.len(), 1, "no environment can hold the second");
    let said = rig.rows("SELECT error_message FROM attempts WHERE instance = 1").await.concat();
    assert!(said.contains("NUL"), "{said}");
}

#[tokio::test]
pub(crate) async fn ten_thousand_items_are_worked_off_in_batches() {
    let mut rig = Rig::new().await;
    rig.upload(&flow("{items: \"{{ range(10000) }}\", max_parallel: 500, key: \"n{{ item }}\"}", "")).await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 500);
    let mut work = ant.poll(&rig.queen).await.assignments;
    let mut most = 0;
    let mut done = 0;
    while !work.is_empty() {
        most = most.max(work.len());
        done += work.len();
        let reports: Vec<Report> = work
            .iter()
            .map(|assignment| {
                let body = ReportBody::Finished(Box::new(AttemptReport {
                    outputs: [("size".to_owned(), json!(1))].into_iter().collect(),
                    ..match ant.report_of(assignment) {
                        ReportBody::Finished(end) => *end,
                        ReportBody::Started { .. } => unreachable!("the rig reports ends"),
                    }
                }));
                report(assignment, 2, body)
            })
            .collect();
        let batch = ReportBatch { ant: ant.id.clone(), session: 1, heard: Heard::default(), reports };
        work = rig.queen.report(batch).await.unwrap().assignments;
    }
    assert_eq!((done, most), (10_001, 500));
    assert_eq!(rig.state(&job).await, "COMPLETED");
    assert_eq!(rig.rows("SELECT state, count(*) FROM task_instances GROUP BY state").await, ["COMPLETED 10000"]);
    rig.restart().await;
    let reads = Reads::new(rig.queen.store().clone());
    let page = reads.instances(&job, "each", &[], Some(9_997), 10).await.unwrap().unwrap();
    assert_eq!(page.iter().map(|one| one.key.as_str()).collect::<Vec<_>>(), ["n9998", "n9999"]);
}

#[tokio::test]
pub(crate) async fn a_place_of_max_parallel_is_filled_when_an_instance_ends_and_survives_a_restart() {
    let mut rig = Rig::new().await;
    rig.upload(&flow("{items: [x, y, z], max_parallel: 2}", "")).await;
    rig.submit("flow").await;
    let mut ant = Ant::new("ant", 10);
    let work = ant.poll(&rig.queen).await.assignments;
    assert_eq!(work.len(), 2);
    rig.restart().await;
    // Started again like the queen, and with nothing: it never began them.
    let mut ant = Ant { session: 2, ..Ant::new("ant", 10) };
    let work = ant.poll(&rig.queen).await.assignments;
    assert_eq!(work.len(), 2);
    let orders = ant.finish(&rig.queen, &work[0]).await;
    assert_eq!(orders.assignments[0].environment["ATTA_ITEM"], "z");
}
