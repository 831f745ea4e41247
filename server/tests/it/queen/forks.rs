//! Jobs inside jobs: FORK_JOB and AWAIT_FORKED_JOB.

use std::time::Duration;

use atta_core::protocol::ant::ArtifactFile;
use atta_core::protocol::{Digest, JobId};
use atta_server::scheduler::JobCommand;
use serde_json::json;

use super::rig::{Ant, Rig};

const CHILD: &str = "
job_type: child
params: {Name: {default: nobody}, Count: {type: integer, default: 1}}
tasks:
- {task_type: build, script: [make], outputs: [size]}
- {task_type: cleanup, always_run: true, script: [rm]}
";

fn parent(fork: &str, rest: &str) -> String {
    format!(
        "job_type: parent\ntasks:\n- task_type: fork\n  sub_workflow: {{job_type: child{fork}}}\n{rest}- {{task_type: after, dependencies: [fork], script: [echo]}}\n"
    )
}

async fn child_of(rig: &Rig, job: &JobId) -> JobId {
    let mut children =
        rig.rows(&format!("SELECT id FROM jobs WHERE parent_job = '{job}' AND forked ORDER BY id")).await;
    assert!(!children.is_empty(), "nothing was forked");
    JobId(children.pop().unwrap())
}

async fn outputs(rig: &Rig, job: &JobId, task: &str) -> serde_json::Value {
    let rows = rig
        .rows(&format!(
            "SELECT a.outputs FROM attempts a JOIN tasks t ON t.job_id = a.job_id AND t.last_attempt = a.number WHERE a.job_id = '{job}' AND t.name = '{task}'"
        ))
        .await;
    serde_json::from_str(&rows.concat()).unwrap()
}

async fn failure(rig: &Rig, job: &JobId, task: &str) -> String {
    rig.rows(&format!("SELECT result, error_code, error_message FROM tasks WHERE job_id = '{job}' AND name = '{task}'"))
        .await
        .concat()
}

/// Ends these attempts, and all that follow from them.
async fn finish_all(rig: &Rig, ant: &mut Ant, mut work: Vec<atta_core::protocol::ant::Assignment>) {
    while !work.is_empty() {
        for one in std::mem::take(&mut work) {
            work.extend(ant.finish(&rig.queen, &one).await.assignments);
        }
    }
    ant.work(&rig.queen).await;
}

fn cancel() -> JobCommand {
    JobCommand::Cancel { reason: "enough".to_owned(), force: false }
}

#[tokio::test]
pub(crate) async fn a_forked_job_takes_params_and_gives_outputs_and_artifacts() {
    let rig = Rig::new().await;
    rig.upload(CHILD).await;
    let fork = ", params: {Name: \"for {{ JobID }}\", Count: \"{{ 1 + 2 }}\"}, outputs: {size: \"{{ tasks.build.outputs.size }}\", name: \"{{ Name }}\", up: \"{{ ParentJobID }}\"}";
    rig.upload(&parent(fork, "")).await;
    let mut ant = Ant::new("ant", 2);
    ant.outputs.insert("build".to_owned(), [("size".to_owned(), json!(17))].into_iter().collect());
    let file =
        ArtifactFile { path: "out/a.bin".to_owned(), digest: Digest("0".repeat(64)), size: 3, executable: false };
    ant.artifacts.insert("build".to_owned(), vec![file]);

    let job = rig.submit("parent").await;
    assert_eq!(rig.state(&job).await, "WAITING");
    let child = child_of(&rig, &job).await;
    let reason = rig.rows(&format!("SELECT reason FROM attempts WHERE job_id = '{job}'")).await.concat();
    assert_eq!(reason, format!("the forked job {child} (child)"));
    assert_eq!(
        rig.rows(&format!("SELECT submitted_by, depth, params FROM jobs WHERE id = '{child}'")).await,
        [format!("job:{job} 1 {{\"Name\":\"for {job}\",\"Count\":3}}")]
    );

    ant.work(&rig.queen).await;
    assert_eq!((rig.state(&child).await.as_str(), rig.state(&job).await.as_str()), ("COMPLETED", "COMPLETED"));
    assert_eq!(
        outputs(&rig, &job, "fork").await,
        json!({"job_id": child.0, "state": "COMPLETED", "error_code": null, "size": 17, "name": format!("for {job}"), "up": job.0})
    );
    let inputs = &ant.seen.iter().find(|assignment| assignment.task == "after").unwrap().inputs;
    assert_eq!(inputs[0].files[0].path, "build/out/a.bin");
}

#[tokio::test]
pub(crate) async fn the_end_of_the_forked_job_is_the_result_of_the_task() {
    let rig = Rig::new().await;
    rig.upload("job_type: child\ntasks:\n- {task_type: build, script: [make], on_exit_code: {2: END_BLOCKED}}\n").await;
    rig.upload(&parent("", "  on_exit_code: {2: END_BLOCKED}\n")).await;
    for (code, state, shown) in [(1, "FAILED", "FAILED FORKED_JOB_FAILED"), (2, "BLOCKED", "FAILED FORKED_JOB_BLOCKED")]
    {
        let mut ant = Ant::new("ant", 1).with_code("build", &[code]);
        let (job, ended) = rig.run("parent", &mut ant).await;
        let child = child_of(&rig, &job).await;
        assert_eq!(ended, state);
        let failure = failure(&rig, &job, "fork").await;
        assert!(
            failure.starts_with(shown) && failure.contains(&format!("the forked job {child} (child) is {state}")),
            "{failure}"
        );
    }
    let mut ant = Ant::new("ant", 1);
    let job = rig.submit("parent").await;
    let child = child_of(&rig, &job).await;
    rig.queen.command(&child, cancel()).await.unwrap();
    ant.work(&rig.queen).await;
    assert_eq!(rig.tasks(&job).await[0], "fork FAILED 1 1 3");
    assert_eq!(outputs(&rig, &job, "fork").await["state"], "CANCELLED");
}

#[tokio::test]
pub(crate) async fn a_skipped_job_counts_as_a_success_without_outputs() {
    let rig = Rig::new().await;
    rig.upload("job_type: child\nskip_if: \"true\"\ntasks:\n- {task_type: build, script: [make]}\n").await;
    rig.upload(&parent(", outputs: {size: \"{{ tasks.build.outputs.size }}\"}", "")).await;
    let mut ant = Ant::new("ant", 1);
    let (job, state) = rig.run("parent", &mut ant).await;
    assert_eq!(state, "COMPLETED");
    assert_eq!(outputs(&rig, &job, "fork").await["state"], "SKIPPED");
    let warnings =
        rig.rows(&format!("SELECT warnings FROM attempts WHERE job_id = '{job}' AND number = 1")).await.concat();
    assert!(warnings.contains("the output size of the forked job"), "{warnings}");
}

#[tokio::test]
pub(crate) async fn an_output_that_cannot_be_rendered_makes_the_task_invalid() {
    let rig = Rig::new().await;
    rig.upload(CHILD).await;
    rig.upload(&parent(", outputs: {size: \"{{ tasks.build.outputs.nothing }}\"}", "  retry: 3\n")).await;
    let mut ant = Ant::new("ant", 1);
    let (job, state) = rig.run("parent", &mut ant).await;
    assert_eq!(state, "FAILED");
    let failure = failure(&rig, &job, "fork").await;
    assert!(failure.starts_with("INVALID TEMPLATE the output size of the forked job"), "{failure}");
}

#[tokio::test]
pub(crate) async fn what_cannot_be_forked_is_invalid_and_says_why() {
    let rig = Rig::new().await;
    rig.upload(CHILD).await;
    for (fork, expected) in [
        ("job_type: nothing", "nothing cannot be forked: definition nothing not found"),
        ("job_type: child, version: 9.9.9", "child cannot be forked: version 9.9.9 of definition child not found"),
        ("job_type: child, params: {Count: many}", "child cannot be forked: "),
        ("job_type: child, params: {Nmae: x}", "child cannot be forked: "),
    ] {
        rig.upload(&format!("job_type: parent\ntasks: [{{task_type: fork, sub_workflow: {{{fork}}}}}]\n")).await;
        let (job, state) = rig.run("parent", &mut Ant::new("ant", 1)).await;
        assert_eq!(state, "FAILED");
        let failure = failure(&rig, &job, "fork").await;
        assert!(failure.starts_with(&format!("INVALID INVALID {expected}")), "{failure}");
    }
    rig.queen.set_enabled("child", false).await.unwrap();
    rig.upload(&parent("", "")).await;
    let (job, _) = rig.run("parent", &mut Ant::new("ant", 1)).await;
    assert!(failure(&rig, &job, "fork").await.contains("definition child is disabled"));
}

#[tokio::test]
pub(crate) async fn a_version_can_be_pinned() {
    let rig = Rig::new().await;
    let version = |number: &str| {
        format!("job_type: child\nversion: {number}\ntasks: [{{task_type: build, script: [make {number}]}}]\n")
    };
    rig.upload(&version("1.0.0")).await;
    rig.upload(&version("2.0.0")).await;
    rig.upload(&parent(", version: 1.0.0", "")).await;
    let mut ant = Ant::new("ant", 1);
    rig.run("parent", &mut ant).await;
    assert_eq!(super::rig::script_of(&ant.seen[0]).trim(), "make 1.0.0");
}

#[tokio::test]
pub(crate) async fn a_circle_of_forks_is_refused_with_its_path() {
    let rig = Rig::new().await;
    rig.upload("job_type: a\ntasks: [{task_type: t, sub_workflow: {job_type: b}}]\n").await;
    rig.upload("job_type: b\ntasks: [{task_type: t, sub_workflow: {job_type: \"{{ 'a' }}\"}}]\n").await;
    let (_, state) = rig.run("a", &mut Ant::new("ant", 1)).await;
    assert_eq!(state, "FAILED");
    let failures =
        rig.rows("SELECT t.error_message FROM tasks t JOIN jobs j ON j.id = t.job_id ORDER BY j.depth DESC").await;
    assert_eq!(failures[0], "a cannot be forked here, because it would fork itself: a → b → a");
    assert_eq!(rig.rows("SELECT count(*) FROM jobs").await, ["2"]);

    rig.upload("job_type: self\ntasks: [{task_type: t, sub_workflow: {job_type: \"{{ JobType }}\"}}]\n").await;
    let (job, _) = rig.run("self", &mut Ant::new("ant", 1)).await;
    assert!(failure(&rig, &job, "t").await.contains("it would fork itself: self → self"));
}

#[tokio::test]
pub(crate) async fn forks_may_lie_eight_deep() {
    let rig = Rig::new().await;
    for level in 0..10 {
        rig.upload(&format!(
            "job_type: level-{level}\ntasks: [{{task_type: t, sub_workflow: {{job_type: level-{}}}}}]\n",
            level + 1
        ))
        .await;
    }
    rig.upload("job_type: level-10\ntasks: [{task_type: t, script: [x]}]\n").await;
    let (_, state) = rig.run("level-0", &mut Ant::new("ant", 1)).await;
    assert_eq!(state, "FAILED");
    assert_eq!(rig.rows("SELECT count(*), max(depth) FROM jobs").await, ["9 8"]);
    let failures =
        rig.rows("SELECT t.error_message FROM tasks t JOIN jobs j ON j.id = t.job_id ORDER BY j.depth DESC").await;
    assert!(failures[0].starts_with("level-9 cannot be forked here: forks and triggers may lie 8 deep, and this would be number 9 (level-0 → level-1"), "{failures:?}");
}

#[tokio::test]
pub(crate) async fn a_cancelled_parent_cancels_its_children_and_their_children() {
    let rig = Rig::new().await;
    rig.upload(CHILD).await;
    rig.upload("job_type: middle\ntasks: [{task_type: fork, sub_workflow: {job_type: child}}]\n").await;
    rig.upload("job_type: top\ntasks: [{task_type: fork, sub_workflow: {job_type: middle}}, {task_type: other, sub_workflow: {job_type: child, wait: false}}]\n").await;
    let mut ant = Ant::new("ant", 4);
    let job = rig.submit("top").await;
    let work = ant.poll(&rig.queen).await.assignments;
    assert_eq!(work.len(), 2, "both children run");
    for one in &work {
        ant.start(&rig.queen, one).await;
    }
    rig.queen.command(&job, cancel()).await.unwrap();
    assert_eq!(
        rig.rows("SELECT job_type, state FROM jobs ORDER BY job_type, id").await,
        ["child CANCELLING", "child CANCELLING", "middle CANCELLED", "top CANCELLED"]
    );
    finish_all(&rig, &mut ant, work).await;
    assert_eq!(rig.rows("SELECT DISTINCT state FROM jobs").await, ["CANCELLED"]);
    let cleaned = rig.rows("SELECT state FROM tasks WHERE name = 'cleanup'").await;
    assert_eq!(cleaned, ["COMPLETED", "COMPLETED"], "always_run of the children runs");
}

#[tokio::test]
pub(crate) async fn a_parent_that_fails_takes_what_it_did_not_wait_for_along_and_one_that_completes_does_not() {
    for (code, child) in [(1, "CANCELLED"), (0, "RUNNING")] {
        let rig = Rig::new().await;
        rig.upload("job_type: child\ntasks: [{task_type: build, script: [make], tags: [rare]}]\n").await;
        rig.upload(&parent(", wait: false", "")).await;
        let mut ant = Ant::new("ant", 1).with_code("after", &[code]);
        let (job, _) = rig.run("parent", &mut ant).await;
        assert_eq!(rig.state(&child_of(&rig, &job).await).await, child);
    }
}

#[tokio::test]
pub(crate) async fn a_stop_cancels_the_children_at_once() {
    let rig = Rig::new().await;
    rig.upload("job_type: child\ntasks: [{task_type: build, script: [make], tags: [rare]}]\n").await;
    rig.upload("job_type: parent\ntasks:\n- {task_type: fork, sub_workflow: {job_type: child}}\n- {task_type: bad, dependencies: [], script: [x], on_failed: FATAL}\n- {task_type: slow, always_run: true, script: [x]}\n").await;
    let mut ant = Ant::new("ant", 1).with_code("bad", &[1]);
    let job = rig.submit("parent").await;
    let work = ant.poll(&rig.queen).await.assignments.remove(0);
    ant.finish(&rig.queen, &work).await;
    assert_eq!(rig.state(&child_of(&rig, &job).await).await, "CANCELLED");
    assert_eq!(rig.state(&job).await, "RUNNING", "its always_run task runs");
}

#[tokio::test]
pub(crate) async fn the_timeout_of_the_task_bounds_the_waiting() {
    let rig = Rig::new().await;
    rig.upload("job_type: child\ntasks: [{task_type: build, script: [make], tags: [rare]}]\n").await;
    rig.upload(&parent("", "  timeout: 10m\n  on_exit_code: {TIMED_OUT: END_BLOCKED}\n")).await;
    let job = rig.submit("parent").await;
    rig.advance(Duration::from_secs(599)).await;
    assert_eq!(rig.state(&job).await, "WAITING");
    rig.advance(Duration::from_secs(2)).await;
    let child = child_of(&rig, &job).await;
    assert_eq!((rig.state(&job).await.as_str(), rig.state(&child).await.as_str()), ("BLOCKED", "CANCELLED"));
    assert!(
        failure(&rig, &job, "fork").await.contains(&format!("the forked job {child} did not end within the timeout"))
    );
}

#[tokio::test]
pub(crate) async fn a_retry_of_the_task_forks_a_new_job() {
    let rig = Rig::new().await;
    rig.upload(CHILD).await;
    rig.upload(&parent("", "  retry: 1\n  delay_between_retries: 1s\n")).await;
    let mut ant = Ant::new("ant", 1).with_code("build", &[1, 0]);
    let (job, _) = rig.run("parent", &mut ant).await;
    rig.advance(Duration::from_secs(2)).await;
    ant.work(&rig.queen).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
    assert_eq!(
        rig.rows(&format!("SELECT state, parent_attempt FROM jobs WHERE parent_job = '{job}' ORDER BY parent_attempt"))
            .await,
        ["FAILED 1", "COMPLETED 2"]
    );
}

#[tokio::test]
pub(crate) async fn a_waiting_parent_holds_no_place_of_max_concurrency_and_queues_for_one_when_it_wakes() {
    let rig = Rig::new().await;
    rig.upload(CHILD).await;
    rig.upload(&format!("max_concurrency: 1\n{}", parent(", outputs: {size: \"{{ tasks.build.state }}\"}", ""))).await;
    let mut ant = Ant::new("ant", 1);
    let first = rig.submit("parent").await;
    let second = rig.submit("parent").await;
    assert_eq!((rig.state(&first).await.as_str(), rig.state(&second).await.as_str()), ("WAITING", "WAITING"));
    ant.work(&rig.queen).await;
    assert_eq!(rig.rows("SELECT DISTINCT state FROM jobs").await, ["COMPLETED"]);
    assert_eq!(outputs(&rig, &first, "fork").await["size"], "COMPLETED");
    assert_eq!(
        outputs(&rig, &second, "fork").await["size"],
        "COMPLETED",
        "it was read after the child had left memory"
    );
}

#[tokio::test]
pub(crate) async fn a_restart_at_any_moment_changes_nothing_about_the_end() {
    for kill_after in 0..8 {
        let mut rig = Rig::new().await;
        rig.upload(CHILD).await;
        rig.upload("job_type: middle\ntasks: [{task_type: fork, sub_workflow: {job_type: child, outputs: {s: \"{{ tasks.build.state }}\"}}}]\n").await;
        rig.upload("job_type: top\ntasks:\n- {task_type: fork, sub_workflow: {job_type: middle, outputs: {s: \"{{ tasks.fork.outputs.s }}\"}}}\n- {task_type: start, sub_workflow: {job_type: child, wait: false}}\n- {task_type: wait, dependencies: [start], await_forked_tasks: [start]}\n- {task_type: last, dependencies: [fork, wait], script: [x]}\n").await;
        let job = rig.submit("top").await;
        let mut session = 1;
        let mut messages = 0;
        loop {
            if messages == kill_after {
                rig.restart().await;
                session += 1;
            }
            messages += 1;
            let mut ant = Ant::new("ant", 1);
            ant.session = session;
            let Some(work) = ant.poll(&rig.queen).await.assignments.pop() else { break };
            let body = ant.report_of(&work);
            rig.queen.report(ant.batch(vec![super::rig::report(&work, 2, body)])).await.unwrap();
            session += 1;
        }
        assert_eq!(rig.state(&job).await, "COMPLETED", "killed after {kill_after}");
        assert_eq!(outputs(&rig, &job, "fork").await["s"], "COMPLETED");
        assert_eq!(rig.rows("SELECT count(*) FROM jobs").await, ["4"], "killed after {kill_after}");
    }
}

#[tokio::test]
pub(crate) async fn an_await_waits_for_all_and_fails_with_the_first_failed() {
    let rig = Rig::new().await;
    rig.upload(
        "job_type: child\nparams: {Name: {}}\ntasks: [{task_type: build, script: [\"echo {{ Name }}\"], outputs: [size]}]\n",
    )
    .await;
    let fork = |name: &str| {
        format!(
            "- {{task_type: {name}, sub_workflow: {{job_type: child, wait: false, params: {{Name: {name}}}, outputs: {{name: \"{{{{ Name }}}}\"}}}}}}\n"
        )
    };
    let source = format!(
        "job_type: parent\ntasks:\n{}{}{}- task_type: wait\n  dependencies: [one, two, three]\n  await_forked_tasks: [one, two, three]\n",
        fork("one"),
        fork("two"),
        fork("three")
    );
    rig.upload(&source).await;
    let mut ant = Ant::new("ant", 3).with_code("build", &[0, 4, 5]);
    let job = rig.submit("parent").await;
    assert_eq!(rig.state(&job).await, "WAITING");
    let work = ant.poll(&rig.queen).await.assignments;
    assert_eq!(work.len(), 3);
    ant.finish(&rig.queen, &work[0]).await;
    assert_eq!(rig.state(&job).await, "WAITING");
    ant.finish(&rig.queen, &work[1]).await;
    ant.finish(&rig.queen, &work[2]).await;
    assert_eq!(rig.state(&job).await, "FAILED");
    let failure = failure(&rig, &job, "wait").await;
    assert!(failure.contains("(forked by two)"), "{failure}");
    let outputs = outputs(&rig, &job, "wait").await;
    assert_eq!((&outputs["one"]["name"], &outputs["one"]["state"]), (&json!("one"), &json!("COMPLETED")));
    assert_eq!(outputs["three"]["state"], "FAILED");
}

#[tokio::test]
pub(crate) async fn an_await_of_a_skipped_fork_has_nothing_to_wait_for() {
    let rig = Rig::new().await;
    rig.upload(CHILD).await;
    rig.upload("job_type: parent\ntasks:\n- {task_type: fork, when: \"false\", sub_workflow: {job_type: child, wait: false}}\n- {task_type: wait, dependencies: [fork], await_forked_tasks: [fork]}\n").await;
    let (job, state) = rig.run("parent", &mut Ant::new("ant", 1)).await;
    assert_eq!(state, "COMPLETED");
    assert_eq!(outputs(&rig, &job, "wait").await, json!({"fork": null}));
}

#[tokio::test]
pub(crate) async fn a_fan_out_of_forks_runs_in_parallel_and_collects_in_order() {
    let rig = Rig::new().await;
    rig.upload(CHILD).await;
    rig.upload("job_type: parent\ntasks:\n- task_type: fork\n  fan_out: {items: [c, a, b], key: \"{{ item }}\"}\n  sub_workflow: {job_type: child, params: {Name: \"{{ item }}\"}, outputs: {name: \"{{ Name }}\"}}\n").await;
    let mut ant = Ant::new("ant", 8);
    let job = rig.submit("parent").await;
    let mut work = ant.poll(&rig.queen).await.assignments;
    assert_eq!(work.len(), 3, "all three run at once");
    work.reverse();
    finish_all(&rig, &mut ant, work).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
    let detail = atta_server::store::Reads::new(rig.queen.store().clone()).job(&job).await.unwrap().unwrap();
    assert_eq!(detail.tasks[0].outputs["name"], json!(["c", "a", "b"]));
}
