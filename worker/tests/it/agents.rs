//! AGENT attempts, with a shell in place of the runner: what it writes into the record is what counts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use atta_core::definition::{ArtifactsWhen, InheritEnv};
use atta_core::engine::{AgentClass, AttemptResult, ResultName};
use atta_core::protocol::agent::{
    AgentChoice, AgentCli, AgentLimits, AgentOrder, AgentPermission, AgentPrompt, AgentSession, AgentWatch,
};
use atta_core::protocol::ant::{Action, ArtifactRules, Assignment};
use atta_core::secret::{SecretText, SecretValue};
use atta_core::time::Clock;
use serde_json::json;

use crate::harness::{Launchers, tests};
use crate::scene::Scene;
use crate::world::{WallClock, World, eventually, marked_processes};

tests![
    the_class_of_the_record_is_the_result_and_what_it_holds_are_outputs,
    a_runner_without_a_class_is_never_a_success,
    what_is_known_of_an_agent_survives_whatever_ends_it,
    a_rejected_account_is_waited_for,
    an_agent_that_works_survives_its_ant,
    no_secret_leaves_with_a_record_or_a_transcript,
];

fn order() -> AgentOrder {
    AgentOrder {
        choice: AgentChoice { cli: AgentCli::Custom, command: vec!["agent".to_owned()], model: None },
        fallback: Vec::new(),
        prompt: AgentPrompt::Text("Do it.".to_owned()),
        system: None,
        skills: Vec::new(),
        permission: AgentPermission::Edit,
        allowed_tools: Vec::new(),
        resume: None,
        verdict: None,
        vote: 1,
        limits: AgentLimits::default(),
        watch: AgentWatch {
            start: Duration::from_secs(1),
            idle: None,
            after_result: Duration::from_secs(1),
            kill_grace: Duration::from_secs(1),
        },
        directory: None,
        track_changes: true,
        expect_changes: false,
        context: Vec::new(),
        config_from: None,
        config_paths: Vec::new(),
    }
}

/// An attempt whose runner is this script: `$1` is the order, `$2` the record.
fn agent(mut assignment: Assignment, script: &str) -> Assignment {
    assignment.action = Action::Agent(Box::new(order()));
    assignment.environment.insert("RUNNER".to_owned(), script.to_owned());
    assignment
}

fn record(class: Option<&str>) -> String {
    json!({
        "class": class, "message": "it says why", "final_message": "All is well.",
        "runs": [{"choice": {"cli": "custom"}, "purpose": "work", "usage": {}, "started_at": 1}],
        "session": {"cli": "custom", "id": "s-1"}, "usage": {"turns": 3, "cost": 1_500_000, "cost_source": "reported"},
        "verdict": {"ok": true}, "files_changed": ["a.rs"],
        "commits": [{"id": "c1", "subject": "Fix"}], "warnings": ["a line was no JSON"],
    })
    .to_string()
}

async fn the_class_of_the_record_is_the_result_and_what_it_holds_are_outputs(mut launchers: Launchers) {
    let world = World::with(launchers.take(), |config| {
        config.environment.extend(["CLAUDECODE", "AI_AGENT", "OTHER"].map(|name| (name.into(), "1".into())));
    })
    .await;
    let done = record(Some("DONE"));
    let script = format!(
        "stat -c %a \"$1\" \"${{2%/*}}\"; grep -c 'Do it.' \"$1\"; pwd; echo ${{CLAUDECODE-none}} ${{AI_AGENT-none}} $OTHER; \
         echo '{{\"type\":\"session\"}}' > \"${{2%/*}}/transcript.jsonl\"; echo mine > kept; mkdir agent; \
         echo forged > agent/record.json; ln -s /etc/passwd agent/transcript.jsonl; echo '{done}' > \"$2\""
    );
    let mut assignment = agent(world.assignment(""), &script);
    assignment.inherit_env = InheritEnv::All;
    let paths = vec!["kept".to_owned(), "agent/*".to_owned()];
    assignment.artifacts = Some(ArtifactRules { paths, exclude: Vec::new(), when: ArtifactsWhen::OnFailure });
    let done = world.run(assignment.clone()).await;
    assert_eq!((done.result(), done.report.failure.clone()), (AttemptResult::Agent(AgentClass::Done), None));
    let lines: Vec<&str> = done.log.lines().collect();
    assert_eq!((lines[0], lines[1], lines[2]), ("600", "700", "1"), "{}", done.log);
    assert!(lines[3].ends_with("/work"), "{}", done.log);
    assert_eq!(lines[4], "none none 1", "an agent inherits nothing of the agent around it");
    let outputs = serde_json::to_value(&done.report.outputs).unwrap();
    let expected = json!({
        "verdict": {"ok": true}, "message": "All is well.", "session_id": "s-1", "turns": 3, "cost_usd": 1.5,
        "files_changed": ["a.rs"], "commits": [{"id": "c1", "subject": "Fix"}], "limit": null,
    });
    assert_eq!(outputs, expected);
    let known = done.report.agent.as_deref().unwrap();
    assert_eq!(known.session, Some(AgentSession { cli: AgentCli::Custom, id: "s-1".to_owned() }));
    assert_eq!(done.report.warnings, ["agent: a line was no JSON"]);
    // Both are kept whatever `artifacts` says.
    let names: Vec<&str> = done.report.artifacts.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(names, ["agent/record.json", "agent/transcript.jsonl"]);
    let kept = String::from_utf8(world.queen.content(&done.report.artifacts[0].digest)).unwrap();
    assert!(kept.contains("All is well.") && !kept.contains("forged"), "{kept}");

    // What the task writes under the same name does not count.
    assignment.attempt_id.0.push('0');
    if let Some(rules) = &mut assignment.artifacts {
        rules.when = ArtifactsWhen::Always;
    }
    let done = world.run(assignment).await;
    let names: Vec<&str> = done.report.artifacts.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(names, ["kept", "agent/record.json", "agent/transcript.jsonl"]);
    let sentence = "the task's own file `agent/record.json` is not kept: every AGENT task has that artifact";
    assert!(done.report.warnings.iter().any(|warning| warning == sentence), "{:?}", done.report.warnings);
    world.end().await;
}

async fn a_runner_without_a_class_is_never_a_success(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    for (script, message) in [
        ("exit 0".to_owned(), "the agent's runner exited with code 0 and left no record: its log says more"),
        ("echo '{' > \"$2\"".to_owned(), "the agent's runner exited with code 0 and left no record: its log says more"),
        (
            format!("echo '{}' > \"$2\"; exit 143", record(None)),
            "the agent's runner exited with code 143 before the agent's work had ended",
        ),
        (
            format!("echo '{}' > \"$2\"; exit 1", record(Some("DONE"))),
            "the agent's runner exited with code 1 after the agent's work",
        ),
        (format!("echo '{}' > \"$2\"; exit 1", record(Some("ERROR"))), "it says why"),
    ] {
        let done = world.run(agent(world.assignment(""), &script)).await;
        assert_eq!(done.result(), AttemptResult::Agent(AgentClass::Error), "{script}");
        assert_eq!((done.code(), done.message()), ("ERROR", message));
    }
    let done = world
        .run(agent(world.assignment(""), &format!("echo '{}' > \"$2\"; exit 4", record(Some("NO_VERDICT")))))
        .await;
    assert_eq!((done.result(), done.code()), (AttemptResult::Agent(AgentClass::NoVerdict), "NO_VERDICT"));
    world.end().await;
}

async fn what_is_known_of_an_agent_survives_whatever_ends_it(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let begin = format!("echo '{}' > \"$2\"; echo begun; ", record(None));
    let mut timed_out = agent(world.assignment(""), &format!("{begin} sleep 1000"));
    timed_out.timeout = Duration::from_millis(300);
    let done = world.run(timed_out).await;
    assert_eq!(done.result(), AttemptResult::Named(ResultName::TimedOut));
    let stopped = agent(world.assignment(""), &format!("{begin} sleep 1000"));
    let id = world.begin(stopped);
    world.log_has(&id, "begun").await;
    world.stop(&id, "job was cancelled");
    let cancelled = world.done(&id).await;
    assert_eq!(cancelled.result(), AttemptResult::Named(ResultName::Cancelled));
    let killed = world.run(agent(world.assignment(""), &format!("{begin} kill -9 $$"))).await;
    assert_eq!(killed.result(), AttemptResult::Named(ResultName::Killed));
    for done in [done, cancelled, killed] {
        let known = done.report.agent.as_deref().expect("the record");
        assert_eq!((known.class, known.usage.turns), (None, 3));
        assert_eq!(done.report.outputs["session_id"], "s-1");
        assert_eq!(done.report.artifacts[0].path, "agent/record.json");
    }
    world.end().await;
}

async fn a_rejected_account_is_waited_for(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let now = WallClock.now().0;
    for (resets_at, least, most) in
        [(now + 3_600_000, 3_000, 3_600), (now + 30 * 86_400_000, 86_400, 86_400), (1, 0, 0)]
    {
        let record = json!({
            "class": "RATE_LIMITED", "runs": [], "usage": {}, "limit": {"resets_at": resets_at, "message": "later"},
        });
        let done = world.run(agent(world.assignment(""), &format!("echo '{record}' > \"$2\"; exit 8"))).await;
        assert_eq!(done.result(), AttemptResult::Agent(AgentClass::RateLimited));
        assert_eq!(done.message(), "the agent's account met its limit");
        let wait = done.report.retry_after.unwrap_or_default().as_secs();
        assert!((least..=most).contains(&wait), "{wait}");
    }
    world.end().await;
}

async fn an_agent_that_works_survives_its_ant(_: Launchers) {
    let mut scene = Scene::new();
    scene.start_plain().await;
    let begun = scene.beside("begun");
    let script = format!(
        "echo $$ >> {}; echo '{}' > \"$2\"; echo one; while [ ! -e go ]; do sleep 0.01; done; echo two; \
         echo $$ >> {}; echo '{}' > \"$2\"",
        begun.display(),
        record(None),
        begun.display(),
        record(Some("DONE"))
    );
    let id = scene.begin(agent(scene.assignment(""), &script));
    scene.queen.log_has(&id, "one\n").await;
    scene.kill();
    scene.start_plain().await;
    let mode = fs::metadata(scene.root(&id).join("agent.order")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    fs::write(scene.root(&id).join("work/go"), "").unwrap();
    let done = scene.queen.done(&id).await;
    assert_eq!((done.result(), done.log.as_str()), (AttemptResult::Agent(AgentClass::Done), "one\ntwo\n"));
    let pids = fs::read_to_string(&begun).unwrap();
    let pids: Vec<&str> = pids.lines().collect();
    assert_eq!((pids.len(), pids[0]), (2, pids[1]), "the same process, started once");
    assert_eq!(done.report.agent.as_deref().and_then(|known| known.class), Some(AgentClass::Done));
    assert_eq!(done.report.outputs["cost_usd"], json!(1.5));

    // One that ended without an ant is known as well.
    let script = format!(
        "echo one; while [ ! -e go ]; do sleep 0.01; done; echo '{}' > \"$2\"; exit 2",
        record(Some("BLOCKED"))
    );
    let id = scene.begin(agent(scene.assignment(""), &script));
    scene.queen.log_has(&id, "one\n").await;
    scene.kill();
    fs::write(scene.root(&id).join("work/go"), "").unwrap();
    eventually("its shim has ended", || scene.processes_named("atta-shim").is_empty()).await;
    scene.start_plain().await;
    let done = scene.queen.done(&id).await;
    assert_eq!((done.result(), done.message()), (AttemptResult::Agent(AgentClass::Blocked), "it says why"));
    assert_eq!(done.report.agent.as_deref().map(|known| known.usage.turns), Some(3));
    scene.end().await;
}

async fn no_secret_leaves_with_a_record_or_a_transcript(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let record = json!({
        "class": "BLOCKED", "message": "the token is tops3cret-value", "final_message": "tops3cret-value", "runs": [],
        "usage": {}, "verdict": {"a": ["tops3cret-value"]}, "denials": [{"tool": "Bash", "detail": "tops3cret-value"}],
        "warnings": ["tops3cret-value"],
    });
    let script = format!(
        "echo '{record}' > \"$2\"; printf '%s\\n' '{{\"said\":\"tops3cret-value\"}}' plain > \"${{2%/*}}/transcript.jsonl\"; exit 2"
    );
    let mut assignment = agent(world.assignment(""), &script);
    let value = SecretText::new("tops3cret-value".to_owned());
    assignment.secrets.values = vec![SecretValue { name: "Token".to_owned(), value }];
    let done = world.run(assignment).await;
    assert_eq!(done.result(), AttemptResult::Agent(AgentClass::Blocked));
    assert!(!serde_json::to_string(&done.report).unwrap().contains("tops3cret"), "{:?}", done.report);
    assert_eq!(done.report.artifacts.len(), 2, "{:?}", done.report.warnings);
    for file in &done.report.artifacts {
        let kept = String::from_utf8(world.queen.content(&file.digest)).unwrap();
        assert!(!kept.contains("tops3cret") && kept.contains("***"), "{kept}");
    }
    assert!(marked_processes(world.mark()).is_empty());
    world.end().await;
}
