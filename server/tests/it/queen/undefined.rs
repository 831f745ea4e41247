//! Templates that pass the upload and cannot be rendered when their time has come, in each place; and those that would
//! never end, or would fill the memory.

use atta_core::protocol::JobId;
use atta_server::scheduler::Refusal;

use super::rig::{Ant, Rig, request};

/// It is declared, and has nothing.
const PARAMS: &str = "params: {P: {type: object, default: {}}}";

fn flow(job_keys: &str, task: &str) -> String {
    format!("job_type: flow\n{PARAMS}\n{job_keys}\ntasks:\n- {{task_type: t, {task}}}\n")
}

async fn rig(source: &str) -> Rig {
    let rig = Rig::new().await;
    rig.upload("job_type: child\nparams: {N: {}}\nskip_if: \"true\"\ntasks: [{task_type: build, script: [make]}]\n")
        .await;
    rig.upload(source).await;
    rig
}

async fn failure(rig: &Rig, job: &JobId) -> String {
    rig.rows(&format!("SELECT result, error_message FROM tasks WHERE job_id = '{job}'")).await.join("; ")
}

const NOTHING: &str = "{{ P.nothing }}";

#[tokio::test]
pub(crate) async fn a_task_whose_template_reads_what_is_not_there_is_invalid_and_says_which_one() {
    for (task, words) in [
        ("script: [\"echo NOTHING\"]", "script (line 5)"),
        ("script: [x], before_script: [\"echo NOTHING\"]", "before_script (line 5)"),
        ("script: [x], after_script: [\"echo NOTHING\"]", "after_script (line 5)"),
        ("script: [x], when: \"NOTHING\"", "when (line 5)"),
        ("script: [x], except: \"NOTHING\"", "except (line 5)"),
        ("script: [x], environment: {A: \"NOTHING\"}", "environment.A (line 5)"),
        ("script: [x], artifacts: {paths: [\"NOTHING\"]}", "artifacts.paths (line 5)"),
        ("script: [x], tags: [\"NOTHING\"]", "tags (line 5)"),
        ("script: [x], cache: {key: \"NOTHING\", paths: [a]}", "cache.key (line 5)"),
        ("script: [x], fan_out: {items: \"NOTHING\"}", "items (line 5)"),
        ("script: [x], fan_out: {items: [1], key: \"NOTHING\"}", "key (line 5)"),
        ("script: [\"echo NOTHING\"], fan_out: {items: [1]}", "script (line 5)"),
        ("sub_workflow: {job_type: child, params: {N: \"NOTHING\"}}", "sub_workflow.params.N (line 5)"),
        ("submit: {job_type: child, items: \"NOTHING\"}", "items (line 5)"),
        ("approval: {message: \"NOTHING\"}", "approval.message (line 5)"),
        ("method: HTTP_GET, url: \"NOTHING\"", "url (line 5)"),
        ("method: HTTP_GET, url: \"http://h/\", headers: {A: \"NOTHING\"}", "headers.A (line 5)"),
        ("method: HTTP_POST, url: \"http://h/\", body: \"NOTHING\"", "body (line 5)"),
    ] {
        let rig = rig(&flow("", &task.replace("NOTHING", NOTHING))).await;
        let mut ant = Ant::new("ant", 1);
        let (job, state) = rig.run("flow", &mut ant).await;
        let failure = failure(&rig, &job).await;
        assert_eq!(state, "FAILED", "{task}: {failure}");
        assert!(failure.starts_with("INVALID ") && failure.contains(words), "{task}: {failure}");
        assert!(failure.contains("`nothing`"), "{task}: {failure}");
        assert!(ant.seen.is_empty(), "{task}: no ant sees it");
    }
}

#[tokio::test]
pub(crate) async fn items_that_cannot_be_rendered_are_refused_one_by_one() {
    let rig = rig(&flow("", "submit: {job_type: child, items: [1, 2], params: {N: \"{{ P.nothing }}\"}}")).await;
    let (job, state) = rig.run("flow", &mut Ant::new("ant", 1)).await;
    assert_eq!(state, "FAILED");
    let failure = failure(&rig, &job).await;
    assert!(failure.contains("`nothing`") && failure.contains('2'), "{failure}");
    assert_eq!(rig.rows("SELECT count(*) FROM jobs").await, ["1"]);
}

#[tokio::test]
pub(crate) async fn what_a_job_needs_before_it_begins_refuses_the_submit() {
    for (keys, task, words) in [
        ("user_key: \"NOTHING\"", "script: [x]", "user_key (line 3)"),
        ("concurrency: {key: \"NOTHING\"}", "script: [x]", "concurrency.key (line 3)"),
        ("timeout: \"NOTHING\"", "script: [x]", "`timeout`:"),
        ("", "script: [x], timeout: \"NOTHING\"", "`timeout of the task t`:"),
    ] {
        let rig = rig(&flow(keys, task).replace("NOTHING", NOTHING)).await;
        let refused = rig.queen.submit(request("flow"), "test", None).await.unwrap_err();
        let said = match &refused {
            Refusal::Invalid { message, violations, .. } => format!("{message} {violations:?}"),
            other => panic!("{keys} {task}: {other:?}"),
        };
        assert!(said.contains(words) && said.contains("`nothing`"), "{keys} {task}: {said}");
        assert_eq!(rig.rows("SELECT count(*) FROM jobs").await, ["0"]);
    }
}

#[tokio::test]
pub(crate) async fn skip_if_fails_closed_and_a_description_fails_nothing() {
    let rig = rig(&flow("skip_if: \"{{ P.nothing }}\"", "script: [x]")).await;
    let job = rig.submit("flow").await;
    assert_eq!(rig.state(&job).await, "SKIPPED");
    let reason = rig.reason(&job).await;
    assert!(reason.contains("skip_if (line 3)") && reason.contains("`nothing`"), "{reason}");

    let described = "description: \"so far {{ P.nothing }}\"";
    let rig = self::rig(&flow(described, "script: [x], description: \"{{ P.nothing }}\"")).await;
    let (_, state) = rig.run("flow", &mut Ant::new("ant", 1)).await;
    assert_eq!(state, "COMPLETED");
}

#[tokio::test]
pub(crate) async fn templates_without_end_or_measure_are_stopped_and_the_next_job_runs() {
    let endless = "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}";
    let large = "{% for i in range(100000) %}{{ 'x' * 1000 }}{% endfor %}";
    for template in [endless, large] {
        for task in ["when: \"T\", script: [x]", "script: [x], environment: {A: \"T\"}", "script: [\"echo T\"]"] {
            let rig = rig(&flow("", &task.replace('T', template))).await;
            let mut ant = Ant::new("ant", 1);
            let (job, state) = rig.run("flow", &mut ant).await;
            let failure = failure(&rig, &job).await;
            assert_eq!(state, "FAILED", "{task}: {failure}");
            assert!(failure.starts_with("INVALID ") && failure.len() < 1_000 && ant.seen.is_empty(), "{failure}");
            rig.upload("job_type: other\ntasks: [{task_type: t, script: [x]}]\n").await;
            assert_eq!(rig.run("other", &mut ant).await.1, "COMPLETED");
        }
        let rig = rig(&flow(&format!("skip_if: \"{template}\""), "script: [x]")).await;
        let job = rig.submit("flow").await;
        assert_eq!(rig.state(&job).await, "SKIPPED");
        let rig = self::rig(&flow(&format!("description: \"{template}\""), "script: [x]")).await;
        assert_eq!(rig.run("flow", &mut Ant::new("ant", 1)).await.1, "COMPLETED");
    }
}
