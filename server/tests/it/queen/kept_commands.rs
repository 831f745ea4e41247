//! What ants are told is kept: all of it, and without secrets.

use std::time::Duration;

use atta_core::definition::Retention;
use atta_core::protocol::JobId;
use atta_core::protocol::ant::{Action, Assignment, HeldAttempt};
use atta_core::protocol::api::SubmitRequest;
use atta_core::protocol::command::{CommandAction, CommandResource};
use atta_server::scheduler::JobCommand;
use atta_server::store::{Reads, StoredCommand};
use serde_json::{Value, json};

use super::rig::{Ant, Rig, definition};

const CANARY: &str = "canary-0123456789-abcdef";

/// As it is stored, unpacked.
async fn stored(rig: &Rig, job: &JobId, number: u32) -> StoredCommand {
    Reads::new(rig.queen.store().clone()).attempt_command(job, number).await.unwrap()
}

async fn command(rig: &Rig, assignment: &Assignment) -> CommandResource {
    let (job, number) = assignment.attempt_id.parts().unwrap();
    let StoredCommand::Kept(text) = stored(rig, &job, number.0).await else { panic!("{assignment:?}") };
    assert!(!text.contains(CANARY), "{text}");
    serde_json::from_str(&text).unwrap()
}

/// A job of all methods that ants have, with a secret wherever one may stand and where none should.
const ALL: &str = r#"
job_type: all
params: {Plain: {default: none}}
environment: {HEADER: "Bearer {{ secrets.Token }}", OPEN: "{{ configs.Region }}"}
workspace: {scope: job, git: {url: "https://user:canary-0123456789-abcdef@example.org/a.git", branch: "b-{{ Nonce }}"}}
tasks:
  - task_type: shell
    timeout: 90s
    idle_timeout: 30s
    env_from: [{secrets: [Token]}]
    before_script: [echo before]
    script: ["echo {{ Plain }}", "false || exit 3"]
    after_script: [echo after]
    outputs: [made]
    artifacts: {paths: ["*.txt"], exclude: [no.txt], when: on_success}
    cache: {key: "deps-{{ JobType }}", paths: [node_modules]}
  - task_type: http
    method: HTTP_POST
    url: https://example.org/hook
    headers: {Authorization: "${HEADER}", X-Plain: "{{ Plain }}"}
    query: {q: "1 2"}
    form: {who: "{{ JobType }}"}
  - task_type: agent
    agent: {cli: claude, model: small, prompt: "Do {{ Plain }}", system: "Be brief", permission: read, max_turns: 7}
  - task_type: github
    github: {operation: comment, repo: acme/shop, number: 7, body: "say {{ Plain }}"}
    environment: {GITHUB_TOKEN: "{{ secrets.Token }}"}
"#;

#[tokio::test]
pub(crate) async fn what_an_ant_is_told_is_kept_as_it_was_sent_and_without_secrets() {
    let rig = Rig::new().await;
    for (name, value, secret) in [("Token", CANARY, true), ("Region", "eu-1", false)] {
        rig.queen.put_config(None, name, Value::from(value), Some(secret), false).await.unwrap();
    }
    rig.upload(ALL).await;
    let params = json!({"Plain": format!("it's {CANARY}!")}).as_object().cloned().unwrap();
    let request = SubmitRequest { job_type: "all".to_owned(), params, ..SubmitRequest::default() };
    rig.queen.submit(request, "test", None).await.unwrap();
    let mut ant = Ant::new("ant", 4);
    let given = ant.poll(&rig.queen).await.assignments;
    assert_eq!(given.len(), 4);
    for assignment in &given {
        let kept = command(&rig, assignment).await;
        assert_eq!((&kept.task_type, &kept.secrets), (&assignment.task, &vec!["Token".to_owned()]));
        // Every variable that was sent is there, the secret ones by their names.
        for (name, value) in &assignment.environment {
            let one = kept.environment.iter().find(|one| one.name == *name).unwrap();
            assert_eq!((&one.value, one.secret), (value, false));
        }
        for name in assignment.secrets.environment.keys() {
            let one = kept.environment.iter().find(|one| one.name == *name).unwrap();
            assert_eq!((one.value.as_str(), one.secret), ("***", true));
        }
        assert_eq!(kept.environment.len(), assignment.environment.len() + assignment.secrets.environment.len());
        assert_eq!(kept.timeout_ms, u64::try_from(assignment.timeout.as_millis()).unwrap());
        match (&kept.action, &assignment.action) {
            (CommandAction::Shell(shell), Action::Shell { script, after_script, .. }) => {
                assert_eq!(shell.script.text, script.text);
                assert_eq!(shell.script.preamble, script.preamble.replace(CANARY, "***"));
                assert_eq!(shell.after_script.as_ref().unwrap().text, after_script.as_ref().unwrap().text);
                assert_eq!((kept.timeout_ms, kept.idle_timeout_ms), (90_000, Some(30_000)));
                assert_eq!(kept.artifacts.as_ref().unwrap().when, "on_success");
                assert_eq!(kept.cache.as_ref().unwrap().key, "deps-all");
                assert_eq!(kept.outputs, ["made"]);
                let workspace = kept.workspace.as_ref().unwrap();
                assert_eq!(workspace.repository.as_deref(), Some("https://example.org/a.git"));
            }
            (CommandAction::Http(request), Action::Http(sent)) => {
                assert_eq!((&request.verb, &request.url), (&sent.verb, &sent.url));
                let header = |name: &str| request.headers.iter().find(|one| one.name == name).unwrap().value[0].clone();
                assert_eq!(header("Authorization").variable.as_deref(), Some("HEADER"));
                assert_eq!(header("X-Plain").text.as_deref(), Some("it's ***!"));
                assert_eq!(request.form.as_ref().unwrap()[0].value[0].text.as_deref(), Some("all"));
            }
            (CommandAction::Agent(agent), Action::Agent(_)) => {
                assert_eq!(agent.prompt.as_deref(), Some("Do it's ***!"));
                assert_eq!((agent.system.as_deref(), agent.limits.turns), (Some("Be brief"), Some(7)));
            }
            (CommandAction::Github(order), Action::Github(sent)) => {
                assert_eq!((order.operation.as_str(), order.credential.as_str()), ("comment", "token"));
                assert_eq!((&order.settings["body"], &order.marker), (&json!("say it's ***!"), &sent.marker));
            }
            (kept, sent) => panic!("{kept:?} of {sent:?}"),
        }
    }
}

#[tokio::test]
pub(crate) async fn a_command_that_is_given_again_is_the_latest_and_goes_with_its_job() {
    let mut rig = Rig::new().await;
    rig.upload(
        &definition("retention: 1ms", &[("a", ""), ("b", "dependencies: [a]\nmethod: APPROVAL\ntimeout: 1h")])
            .replace("    script: [\"echo b\"]\n", ""),
    )
    .await;
    let job = rig.submit("flow").await;
    assert_eq!(stored(&rig, &job, 1).await, StoredCommand::NotGiven);
    assert_eq!(stored(&rig, &job, 9).await, StoredCommand::NoAttempt);
    let mut first = Ant::new("first", 1);
    let given = first.poll(&rig.queen).await.assignments.remove(0);
    let before = command(&rig, &given).await;
    // Its process ends before it has heard of it; another one is given the same.
    rig.advance(Duration::from_secs(1)).await;
    first = Ant { session: 2, ..Ant::new("first", 1) };
    let again = first.poll(&rig.queen).await.assignments.remove(0);
    assert_eq!(again.attempt_id, given.attempt_id);
    let after = command(&rig, &again).await;
    assert!(after.given_at > before.given_at, "{} {}", after.given_at, before.given_at);
    assert_eq!(rig.rows("SELECT count(*) FROM attempt_commands").await, ["1"]);
    // Nothing of it is lost with the queen.
    rig.restart().await;
    assert_eq!(command(&rig, &again).await, after);
    first.roster.held = vec![HeldAttempt { attempt_id: again.attempt_id.clone(), token: again.token }];
    first.poll(&rig.queen).await;
    first.start(&rig.queen, &again).await;
    first.finish(&rig.queen, &again).await;
    rig.settle().await;
    // The server itself asks people.
    assert_eq!(stored(&rig, &job, 2).await, StoredCommand::NotGiven);
    // As an earlier version leaves it.
    rig.change("DELETE FROM attempt_commands").await;
    assert_eq!(stored(&rig, &job, 1).await, StoredCommand::NotKept);
    rig.queen.command(&job, JobCommand::Cancel { reason: "enough".to_owned(), force: true }).await.unwrap();
    let other = rig.submit("flow").await;
    first.held = 0;
    first.roster.held.clear();
    let last = first.poll(&rig.queen).await.assignments.remove(0);
    command(&rig, &last).await;
    first.start(&rig.queen, &last).await;
    rig.queen.command(&other, JobCommand::Cancel { reason: "enough".to_owned(), force: true }).await.unwrap();
    first.finish(&rig.queen, &last).await;
    rig.advance(Duration::from_mins(1)).await;
    while rig.queen.sweep(Retention::default()).await.unwrap().jobs > 0 {}
    assert_eq!(rig.rows("SELECT count(*) FROM jobs").await, ["0"]);
    assert_eq!(rig.rows("SELECT count(*) FROM attempt_commands").await, ["0"]);
}

#[tokio::test]
pub(crate) async fn a_long_command_is_cut_in_its_middle_and_a_secret_in_it_is_not_halved() {
    let rig = Rig::new().await;
    rig.queen.put_config(None, "Token", Value::from(CANARY), Some(true), false).await.unwrap();
    // The cut would go through the secret if it came first.
    let prompt = format!("{}{}", "x".repeat((32 << 10) - 10), CANARY);
    let prompt = format!("{prompt}{}", "y".repeat(700 << 10));
    rig.upload(
        "job_type: flow\nparams: {Text: {}}\ntasks:\n  - task_type: a\n    environment: {T: \"{{ secrets.Token }}\"}\n    \
         agent: {cli: claude, prompt: \"{{ Text }}\"}\n",
    )
    .await;
    let params = json!({"Text": prompt}).as_object().cloned().unwrap();
    let request = SubmitRequest { job_type: "flow".to_owned(), params, ..SubmitRequest::default() };
    rig.queen.submit(request, "test", None).await.unwrap();
    let given = Ant::new("ant", 1).poll(&rig.queen).await.assignments.remove(0);
    let kept = command(&rig, &given).await;
    let CommandAction::Agent(agent) = &kept.action else { panic!("{kept:?}") };
    let text = agent.prompt.as_ref().unwrap();
    assert!(kept.cut && text.len() < 100_000 && text.contains("\n[… ") && text.contains("***"), "{}", text.len());
    assert!(!text.contains("canary"), "not even a part of it");
}
