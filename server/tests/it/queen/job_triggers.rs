//! Jobs that the ends of other jobs start.

use atta_server::scheduler::JobCommand;

use super::rig::{Ant, Rig};

const BUILD: &str = "
job_type: build
params: {Branch: {default: main}}
tasks: [{task_type: make, script: [make], outputs: [digest]}]
";

fn deploy(trigger: &str) -> String {
    format!(
        "job_type: deploy\nparams: {{Digest: {{default: none}}, Branch: {{}}}}\ntriggers:\n- {{type: job, job_type: build{trigger}}}\ntasks: [{{task_type: ship, script: [ship], tags: [rare]}}]\n"
    )
}

#[tokio::test]
pub(crate) async fn the_end_of_a_job_submits_another_one_with_what_it_left() {
    let rig = Rig::new().await;
    rig.upload(BUILD).await;
    rig.upload(&deploy(", params: {Digest: \"{{ job.outputs.make.digest }}\", Branch: \"{{ job.params.Branch }}\"}, user_key: \"deploy-{{ job.params.Branch }}\"")).await;
    let mut ant = Ant::new("ant", 1);
    ant.outputs.insert("make".to_owned(), [("digest".to_owned(), "abc".into())].into_iter().collect());
    let (build, _) = rig.run("build", &mut ant).await;
    assert_eq!(
        rig.rows("SELECT state, submitted_by, user_key, params, depth FROM jobs WHERE job_type = 'deploy'").await,
        [format!("RUNNING trigger:{build} deploy-main {{\"Digest\":\"abc\",\"Branch\":\"main\"}} 1")]
    );
}

#[tokio::test]
pub(crate) async fn states_and_filters_choose() {
    let rig = Rig::new().await;
    rig.upload(BUILD).await;
    rig.upload(&deploy(
        ", states: [FAILED, CANCELLED], filter: \"{{ job.error_code == 'EXIT_CODE' and job.attempt == 1 }}\"",
    ))
    .await;
    rig.run("build", &mut Ant::new("ant", 1)).await;
    let count = "SELECT count(*) FROM jobs WHERE job_type = 'deploy'";
    assert_eq!(rig.rows(count).await, ["0"], "COMPLETED is not meant");
    rig.run("build", &mut Ant::new("ant", 1).with_code("make", &[1])).await;
    assert_eq!(rig.rows(count).await, ["1"]);
    let job = rig.submit("build").await;
    rig.queen.command(&job, JobCommand::Cancel { reason: "x".to_owned(), force: false }).await.unwrap();
    assert_eq!(rig.rows(count).await, ["1"], "the filter lets a cancelled one not through");
}

#[tokio::test]
pub(crate) async fn each_end_of_a_job_triggers_once_and_a_restart_adds_nothing() {
    let mut rig = Rig::new().await;
    rig.upload(BUILD).await;
    rig.upload(&deploy("")).await;
    rig.restart().await;
    let mut ant = Ant::new("ant", 1);
    let (build, _) = rig.run("build", &mut ant).await;
    let count = "SELECT count(*) FROM jobs WHERE job_type = 'deploy'";
    assert_eq!(rig.rows(count).await, ["1"], "the triggers are known again after a restart");
    rig.restart().await;
    assert_eq!(rig.rows(count).await, ["1"]);
    rig.queen.command(&build, JobCommand::RerunFrom { task: "make".to_owned() }).await.unwrap();
    ant.session += 1;
    ant.held = 0;
    ant.work(&rig.queen).await;
    assert_eq!(rig.rows(count).await, ["2"], "another attempt of the job has another end");
}

#[tokio::test]
pub(crate) async fn what_cannot_be_evaluated_lets_nothing_through_and_is_seen() {
    let rig = Rig::new().await;
    rig.upload(BUILD).await;
    for (trigger, expected) in [
        (", filter: \"{{ job.params.Nothing.x }}\"", "filter (line 4): "),
        (", params: {Digest: \"{{ job.outputs.make.digest }}\"}", "params.Digest (line 4): "),
        (", params: {Digest: 5}", "Digest"),
    ] {
        rig.advance(std::time::Duration::from_secs(1)).await;
        rig.upload(&deploy(trigger)).await;
        rig.run("build", &mut Ant::new("ant", 1)).await;
        let row = rig
            .rows("SELECT state, reason FROM jobs WHERE job_type = 'deploy' AND created_at = (SELECT max(created_at) FROM jobs)")
            .await
            .concat();
        assert!(row.starts_with("SKIPPED") && row.contains(expected), "{row}");
        let degraded = rig.rows("SELECT degraded FROM definitions WHERE job_type = 'deploy'").await.concat();
        assert!(degraded.starts_with("its trigger cannot start it: ") && degraded.contains(expected), "{degraded}");
    }
    rig.upload(&deploy("")).await;
    rig.run("build", &mut Ant::new("ant", 1)).await;
    assert_eq!(rig.rows("SELECT degraded FROM definitions WHERE job_type = 'deploy'").await, ["-"]);
}

#[tokio::test]
pub(crate) async fn a_disabled_definition_rests() {
    let rig = Rig::new().await;
    rig.upload(BUILD).await;
    rig.upload(&deploy("")).await;
    rig.queen.set_enabled("deploy", false).await.unwrap();
    rig.run("build", &mut Ant::new("ant", 1)).await;
    assert_eq!(rig.rows("SELECT count(*) FROM jobs WHERE job_type = 'deploy'").await, ["0"]);
}

#[tokio::test]
pub(crate) async fn a_circle_of_triggers_ends_visibly() {
    let rig = Rig::new().await;
    let one = |name: &str, other: &str| {
        format!(
            "job_type: {name}\ntriggers: [{{type: job, job_type: {other}, states: [COMPLETED, SKIPPED]}}]\ntasks: [{{task_type: t, script: [x]}}]\n"
        )
    };
    rig.upload(&one("ping", "pong")).await;
    rig.upload(&one("pong", "ping")).await;
    let mut ant = Ant::new("ant", 1);
    rig.run("ping", &mut ant).await;
    let states = rig.rows("SELECT state, depth FROM jobs ORDER BY depth").await;
    assert_eq!(states.len(), 10, "{states:?}");
    assert_eq!(states[8..], ["COMPLETED 8", "SKIPPED 9"]);
    let reason = rig.rows("SELECT reason FROM jobs WHERE depth = 9").await.concat();
    assert!(reason.contains("forks and triggers may lie 8 deep, and this would be number 9"), "{reason}");
}

#[tokio::test]
pub(crate) async fn a_new_version_without_the_trigger_is_not_triggered() {
    let rig = Rig::new().await;
    rig.upload(BUILD).await;
    rig.upload(&deploy("")).await;
    rig.upload("job_type: deploy\ntasks: [{task_type: ship, script: [ship]}]\n").await;
    rig.run("build", &mut Ant::new("ant", 1)).await;
    assert_eq!(rig.rows("SELECT count(*) FROM jobs WHERE job_type = 'deploy'").await, ["0"]);
}
