//! `concurrency` keys, params on resume, and what jobs and attempts say that they wait for.

use std::time::Duration;

use atta_core::protocol::JobId;
use atta_core::protocol::api::SubmitRequest;
use atta_server::scheduler::{JobCommand, Refusal, RunAgain, VersionChoice};
use serde_json::json;

use super::rig::{Ant, Rig, request};

fn deploy(job_type: &str, on_conflict: &str) -> String {
    format!(
        "job_type: {job_type}\nparams: {{To: {{default: staging}}}}\nconcurrency: {{key: \"deploy-{{{{ To }}}}\", on_conflict: {on_conflict}}}\ntasks:\n  - task_type: {job_type}\n    script: [\"true\"]\n"
    )
}

async fn submit(rig: &Rig, job_type: &str, to: &str) -> JobId {
    let mut request: SubmitRequest = request(job_type);
    request.params.insert("To".to_owned(), json!(to));
    rig.queen.submit(request, "test", None).await.unwrap().job_id
}

fn cancel(reason: &str) -> JobCommand {
    JobCommand::Cancel { reason: reason.to_owned(), force: false }
}

#[tokio::test]
pub(crate) async fn one_job_at_a_time_holds_a_key_whatever_its_definition() {
    let mut rig = Rig::new().await;
    rig.upload(&deploy("a", "queue")).await;
    rig.upload(&deploy("b", "queue")).await;
    let first = submit(&rig, "a", "production").await;
    let second = submit(&rig, "b", "production").await;
    let other = submit(&rig, "b", "staging").await;
    let third = submit(&rig, "a", "production").await;
    assert_eq!(rig.state(&first).await, "RUNNING");
    assert_eq!(rig.state(&other).await, "RUNNING");
    let waits = format!("waits for the concurrency key deploy-production, which the job {first} holds");
    for job in [&second, &third] {
        assert_eq!((rig.state(job).await, rig.reason(job).await), ("PENDING".to_owned(), waits.clone()));
    }
    // Paused it still holds the key.
    rig.queen.command(&first, JobCommand::Pause).await.unwrap();
    rig.restart().await;
    assert_eq!(rig.state(&second).await, "PENDING");
    rig.queen.command(&first, cancel("enough")).await.unwrap();
    assert_eq!(rig.state(&first).await, "CANCELLED");
    assert_eq!(rig.state(&second).await, "RUNNING");
    let waits = format!("waits for the concurrency key deploy-production, which the job {second} holds");
    assert_eq!((rig.state(&third).await, rig.reason(&third).await), ("PENDING".to_owned(), waits));
    let mut ant = Ant::new("ant", 4);
    ant.work(&rig.queen).await;
    assert_eq!(rig.state(&third).await, "COMPLETED");
    assert_eq!(rig.reason(&third).await, "-");
}

#[tokio::test]
pub(crate) async fn a_job_that_does_not_want_to_wait_is_skipped_and_says_for_whom() {
    let rig = Rig::new().await;
    rig.upload(&deploy("a", "skip")).await;
    let first = submit(&rig, "a", "x").await;
    let second = submit(&rig, "a", "x").await;
    assert_eq!(rig.state(&second).await, "SKIPPED");
    assert_eq!(
        rig.reason(&second).await,
        format!("the concurrency key deploy-x is held by the job {first}, which has not ended")
    );
    let mut ant = Ant::new("ant", 1);
    ant.work(&rig.queen).await;
    let third = submit(&rig, "a", "x").await;
    assert_eq!((rig.state(&first).await.as_str(), rig.state(&third).await.as_str()), ("COMPLETED", "RUNNING"));
}

#[tokio::test]
pub(crate) async fn the_newest_takes_a_key_over_when_the_cancelled_holder_has_ended() {
    let mut rig = Rig::new().await;
    rig.upload(&deploy("a", "cancel_running")).await;
    let first = submit(&rig, "a", "x").await;
    let mut ant = Ant::new("ant", 4);
    let work = ant.poll(&rig.queen).await.assignments;
    ant.start(&rig.queen, &work[0]).await;
    let second = submit(&rig, "a", "x").await;
    assert_eq!(rig.state(&first).await, "CANCELLING");
    assert_eq!(rig.state(&second).await, "PENDING", "the first still runs");
    let third = submit(&rig, "a", "x").await;
    assert_eq!(rig.state(&second).await, "CANCELLED", "nobody wants it any more");
    assert_eq!(
        rig.rows(&format!("SELECT error_message FROM jobs WHERE id = '{second}'")).await.concat(),
        format!("the job {third} takes over the concurrency key deploy-x")
    );
    let next = ant.finish(&rig.queen, &work[0]).await.assignments;
    assert_eq!(rig.state(&first).await, "CANCELLED");
    assert_eq!(rig.state(&third).await, "RUNNING");
    rig.restart().await;
    ant.finish(&rig.queen, &next[0]).await;
    assert_eq!(rig.state(&third).await, "COMPLETED");
}

#[tokio::test]
pub(crate) async fn a_job_that_is_retried_waits_for_its_key_too() {
    let rig = Rig::new().await;
    rig.upload(&deploy("a", "queue")).await;
    let first = submit(&rig, "a", "x").await;
    let mut ant = Ant::new("ant", 1).with_code("a", &[1]);
    ant.work(&rig.queen).await;
    assert_eq!(rig.state(&first).await, "FAILED");
    let second = submit(&rig, "a", "x").await;
    rig.queen.command(&first, JobCommand::RetryFailed).await.unwrap();
    assert_eq!(rig.state(&first).await, "PENDING");
    assert_eq!(
        rig.reason(&first).await,
        format!("waits for the concurrency key deploy-x, which the job {second} holds")
    );
    ant.work(&rig.queen).await;
    assert_eq!((rig.state(&second).await.as_str(), rig.state(&first).await.as_str()), ("COMPLETED", "COMPLETED"));
}

#[tokio::test]
pub(crate) async fn a_key_that_cannot_be_rendered_refuses_the_submit() {
    let rig = Rig::new().await;
    rig.upload(&deploy("a", "queue").replace("{{ To }}", "{{ To | from_json }}")).await;
    let refused = rig.queen.submit(request("a"), "test", None).await.unwrap_err();
    assert!(refused.to_string().starts_with("concurrency.key (line 3):"), "{refused}");
}

const PAUSES: &str = "job_type: flow\nparams: {Step: {type: integer, default: 1}, Wait: {default: 5s}}\ntasks:\n  - task_type: ask\n    environment: {STEP: \"{{ Step }}\"}\n    timeout: \"{{ Wait }}\"\n    script: [\"true\"]\n    on_exit_code: {3: PAUSE_JOB, COMPLETED: then}\n  - task_type: then\n    environment: {STEP: \"{{ Step }}\"}\n    script: [\"true\"]\n";

#[tokio::test]
pub(crate) async fn a_paused_job_goes_on_with_other_params_and_remembers_what_was_made_of_the_first() {
    let mut rig = Rig::new().await;
    rig.upload(PAUSES).await;
    let mut ant = Ant::new("ant", 1).with_code("ask", &[3]);
    let (job, state) = rig.run("flow", &mut ant).await;
    assert_eq!(state, "PAUSED");
    let with = |params: serde_json::Value| JobCommand::ResumeWith {
        params: params.as_object().unwrap().clone(),
        budget: atta_core::budget::Caps::default(),
    };
    let Refusal::Invalid { code, violations, .. } =
        rig.queen.command(&job, with(json!({"Step": "many", "Other": 1}))).await.unwrap_err()
    else {
        panic!("it must be refused")
    };
    assert_eq!(code, "INVALID_PARAMS");
    let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields.len(), 2, "{fields:?}");
    assert_eq!(rig.state(&job).await, "PAUSED");
    rig.queen.command(&job, with(json!({"Step": 7, "Wait": "90s"}))).await.unwrap();
    rig.restart().await;
    assert_eq!(rig.rows("SELECT params FROM jobs").await, ["{\"Step\":7,\"Wait\":\"90s\"}"]);
    let mut ant = Ant::new("another", 1);
    let work = ant.poll(&rig.queen).await.assignments;
    assert_eq!(work[0].environment["STEP"], "7");
    assert_eq!(work[0].timeout, Duration::from_secs(5), "durations were resolved when the job was created");
    let then = ant.finish(&rig.queen, &work[0]).await.assignments;
    assert_eq!(then[0].environment["STEP"], "7");
    ant.finish(&rig.queen, &then[0]).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
    let refused = rig.queen.command(&job, with(json!({"Step": 8}))).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!("the job {job} is COMPLETED: only a paused job can be resumed with other params")
    );
}

#[tokio::test]
pub(crate) async fn an_attempt_says_which_ant_it_waits_for() {
    let rig = Rig::new().await;
    rig.upload(
        "job_type: flow\ntasks:\n  - {task_type: a, script: [\"true\"], tags: [gpu], dependencies: []}\n  - {task_type: b, script: [\"true\"], dependencies: []}\n  - {task_type: c, script: [\"true\"], dependencies: []}\n",
    )
    .await;
    let mut ant = Ant::new("ant", 1);
    ant.poll(&rig.queen).await;
    rig.submit("flow").await;
    let work = ant.poll(&rig.queen).await.assignments;
    let reasons = rig.rows("SELECT state, reason FROM attempts ORDER BY number").await;
    assert_eq!(reasons[0], "READY waits for an ant with the tag gpu: no connected ant has it");
    assert_eq!(reasons[2], "READY waits for an ant to ask for work");
    let next = ant.finish(&rig.queen, &work[0]).await.assignments;
    let second = rig.submit("flow").await;
    let reasons = rig.rows(&format!("SELECT reason FROM attempts WHERE job_id = '{second}' ORDER BY number")).await;
    assert_eq!(reasons[1], "waits for an ant: 1 of 1 slots busy");
    ant.finish(&rig.queen, &next[0]).await;
    rig.queen.command(&second, cancel("enough")).await.unwrap();
    ant.tags.push("gpu".to_owned());
    ant.held = 0;
    let mut ant = Ant { session: 2, ..ant };
    ant.work(&rig.queen).await;
    assert_eq!(rig.rows("SELECT reason FROM attempts ORDER BY number").await, ["-"; 6]);
}

#[tokio::test]
pub(crate) async fn attempts_of_a_paused_job_wait_aside_and_come_back_in_their_place() {
    let mut rig = Rig::new().await;
    rig.upload("job_type: flow\ntasks:\n  - {task_type: a, script: [\"true\"], dependencies: []}\n  - {task_type: b, script: [\"true\"], dependencies: []}\n").await;
    let job = rig.submit("flow").await;
    rig.queen.command(&job, JobCommand::Pause).await.unwrap();
    let mut ant = Ant::new("ant", 2);
    assert!(ant.poll(&rig.queen).await.assignments.is_empty());
    assert!(ant.poll(&rig.queen).await.assignments.is_empty());
    rig.queen.command(&job, JobCommand::Resume).await.unwrap();
    assert_eq!(ant.poll(&rig.queen).await.assignments.len(), 2);
    rig.restart().await;
}

const CHAIN: &str = "job_type: flow\nparams: {Step: {type: integer, default: 1}}\ntasks:\n  - task_type: plan\n    script: [\"true\"]\n    outputs: [size]\n    artifacts: {paths: [file]}\n  - task_type: build\n    dependencies: [plan]\n    environment: {STEP: \"{{ Step }}\", SIZE: \"{{ tasks.plan.outputs.size }}\"}\n    script: [\"true\"]\n";

#[tokio::test]
pub(crate) async fn a_rerun_with_other_params_is_a_new_job_that_keeps_what_completed_before() {
    let mut rig = Rig::new().await;
    rig.upload(CHAIN).await;
    let mut ant = Ant::new("ant", 1).with_code("build", &[1]);
    ant.outputs.insert("plan".to_owned(), [("size".to_owned(), json!(42))].into_iter().collect());
    let file = atta_core::protocol::ant::ArtifactFile {
        path: "file".to_owned(),
        digest: atta_core::protocol::Digest(blake3::hash(b"x").to_hex().to_string()),
        size: 1,
        executable: false,
    };
    ant.artifacts.insert("plan".to_owned(), vec![file]);
    let (job, state) = rig.run("flow", &mut ant).await;
    assert_eq!(state, "FAILED");
    let again = |step: serde_json::Value| RunAgain {
        from: Some("build".to_owned()),
        params: json!({"Step": step}).as_object().unwrap().clone(),
        version: VersionChoice::Same,
        submitted_by: "test".to_owned(),
    };
    let refused = rig.queen.run_again(&job, again(json!("many"))).await.unwrap_err();
    assert!(refused.to_string().contains("Step"), "{refused}");
    let new = rig.queen.run_again(&job, again(json!(7))).await.unwrap().job_id;
    rig.restart().await;
    let mut ant = Ant::new("another", 1);
    ant.work(&rig.queen).await;
    assert_eq!((rig.state(&new).await.as_str(), ant.tasks_seen()), ("COMPLETED", vec!["build"]));
    assert_eq!((&*ant.seen[0].environment["STEP"], &*ant.seen[0].environment["SIZE"]), ("7", "42"));
    assert_eq!(ant.seen[0].inputs[0].files[0].path, "file");
    assert_eq!(rig.state(&job).await, "FAILED", "the first stays as it is");
    let reads = atta_server::store::Reads::new(rig.queen.store().clone());
    let (old, new) = (reads.job(&job).await.unwrap().unwrap(), reads.job(&new).await.unwrap().unwrap());
    assert_eq!((old.reruns, new.rerun_of), (vec![new.summary.job_id], Some(job.clone())));
    let plan = new.tasks.iter().find(|task| task.task_type == "plan").unwrap();
    assert_eq!((plan.adopted_from.as_ref(), &plan.outputs["size"]), (Some(&job), &json!(42)));
    assert_eq!(plan.artifacts[0].name, "file");
}

#[tokio::test]
pub(crate) async fn a_version_in_which_a_kept_task_is_another_one_is_refused() {
    let rig = Rig::new().await;
    rig.upload(CHAIN).await;
    let mut ant = Ant::new("ant", 1);
    let (job, _) = rig.run("flow", &mut ant).await;
    rig.upload(
        &CHAIN
            .replace("task_type: plan", "task_type: design")
            .replace("[plan]", "[design]")
            .replace("tasks.plan", "tasks.design"),
    )
    .await;
    let again = RunAgain { from: Some("build".to_owned()), version: VersionChoice::Newest, ..RunAgain::default() };
    let refused = rig.queen.run_again(&job, again).await.unwrap_err();
    assert!(matches!(refused, Refusal::Conflict { code: "NOT_ADOPTABLE", .. }), "{refused}");
    assert!(refused.to_string().contains("task \"plan\" would be kept"), "{refused}");
    assert_eq!(rig.rows("SELECT count(*) FROM jobs").await, ["1"]);
}

#[tokio::test]
pub(crate) async fn a_job_that_is_submitted_again_takes_nothing_over_and_one_that_runs_is_refused() {
    let rig = Rig::new().await;
    rig.upload(CHAIN).await;
    let running = rig.submit("flow").await;
    let refused = rig.queen.run_again(&running, RunAgain::default()).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("the job {running} is RUNNING: it can be run again when it has ended"));
    let mut ant = Ant::new("ant", 1).with_code("build", &[1]);
    ant.outputs.insert("plan".to_owned(), [("size".to_owned(), json!(1))].into_iter().collect());
    ant.work(&rig.queen).await;
    let new = rig.queen.run_again(&running, RunAgain::default()).await.unwrap().job_id;
    ant.seen.clear();
    ant.work(&rig.queen).await;
    assert_eq!((rig.state(&new).await.as_str(), ant.tasks_seen()), ("COMPLETED", vec!["plan", "build"]));
}

#[tokio::test]
pub(crate) async fn a_job_that_is_taken_over_takes_its_forked_jobs_along_before_the_next_begins() {
    let mut rig = Rig::new().await;
    rig.upload("job_type: child\ntasks:\n- {task_type: build, script: [make]}\n- {task_type: cleanup, always_run: true, script: [rm]}\n").await;
    rig.upload("job_type: middle\ntasks: [{task_type: fork, sub_workflow: {job_type: child}}]\n").await;
    rig.upload("job_type: top\nconcurrency: {key: one, on_conflict: cancel_running}\ntasks:\n- {task_type: left, dependencies: [], sub_workflow: {job_type: middle}}\n- {task_type: right, dependencies: [], sub_workflow: {job_type: child, wait: false}}\n- {task_type: own, dependencies: [], script: [x]}\n").await;
    let first = rig.submit("top").await;
    let mut ant = Ant::new("ant", 8);
    let work = ant.poll(&rig.queen).await.assignments;
    assert_eq!(work.len(), 3, "two children and the job itself");
    for one in &work {
        ant.start(&rig.queen, one).await;
    }
    let second = rig.submit("top").await;
    assert_eq!((rig.state(&first).await.as_str(), rig.state(&second).await.as_str()), ("CANCELLING", "PENDING"));
    assert_eq!(
        rig.rows(&format!(
            "SELECT job_type, state FROM jobs WHERE id NOT IN ('{first}', '{second}') ORDER BY job_type, id"
        ))
        .await,
        ["child CANCELLING", "child CANCELLING", "middle CANCELLED"]
    );
    rig.restart().await;
    ant.session += 1;
    ant.held = 0;
    ant.work(&rig.queen).await;
    assert_eq!((rig.state(&first).await.as_str(), rig.state(&second).await.as_str()), ("CANCELLED", "COMPLETED"));
    let cleaned = rig.rows("SELECT count(*) FROM tasks WHERE name = 'cleanup' AND state = 'COMPLETED'").await;
    assert_eq!(cleaned, ["4"], "always_run of all children has run");
    assert_eq!(
        rig.rows("SELECT state, count(*) FROM jobs WHERE job_type != 'top' GROUP BY state ORDER BY state").await,
        ["CANCELLED 3", "COMPLETED 3"]
    );
}

#[tokio::test]
pub(crate) async fn two_reruns_at_once_in_place_are_one_and_with_params_two_jobs() {
    let rig = Rig::new().await;
    rig.upload(CHAIN).await;
    let mut ant = Ant::new("ant", 2);
    ant.outputs.insert("plan".to_owned(), [("size".to_owned(), json!(1))].into_iter().collect());
    let (job, _) = rig.run("flow", &mut ant).await;
    let rerun = || JobCommand::RerunFrom { task: "build".to_owned() };
    let (one, other) = tokio::join!(rig.queen.command(&job, rerun()), rig.queen.command(&job, rerun()));
    let refused: Vec<Refusal> = [one, other].into_iter().filter_map(Result::err).collect();
    assert!(matches!(&refused[..], [Refusal::Conflict { code: "JOB_NOT_TERMINAL", .. }]), "{refused:?}");
    ant.work(&rig.queen).await;
    assert_eq!(rig.rows("SELECT state, attempt FROM jobs").await, ["COMPLETED 2"]);

    let again = |step: i64| RunAgain {
        from: Some("build".to_owned()),
        params: json!({"Step": step}).as_object().unwrap().clone(),
        submitted_by: "test".to_owned(),
        ..RunAgain::default()
    };
    let (one, other) = tokio::join!(rig.queen.run_again(&job, again(2)), rig.queen.run_again(&job, again(3)));
    let jobs = [one.unwrap().job_id, other.unwrap().job_id];
    ant.seen.clear();
    ant.work(&rig.queen).await;
    assert_eq!([rig.state(&jobs[0]).await, rig.state(&jobs[1]).await], ["COMPLETED", "COMPLETED"]);
    assert_eq!(ant.tasks_seen(), ["build", "build"], "nothing of the other one is taken over");
    // With a user_key only one of them is made.
    rig.upload(&CHAIN.replacen("job_type: flow\n", "job_type: keyed\nuser_key: one\n", 1)).await;
    let (job, _) = rig.run("keyed", &mut ant).await;
    let (one, other) = tokio::join!(rig.queen.run_again(&job, again(2)), rig.queen.run_again(&job, again(3)));
    let refused: Vec<Refusal> = [one, other].into_iter().filter_map(Result::err).collect();
    assert!(
        refused.len() == 1 && refused[0].to_string().contains("the user_key one is held by the job"),
        "{refused:?}"
    );
}
