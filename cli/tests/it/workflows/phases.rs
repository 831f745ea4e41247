//! A further phase is an edit of the file: on a running server, and jobs under way keep what they began with.

use serde_json::Value;

use super::world::World;

const PHASE: &str = r#"
  - task_type: security-review
    timeout: 15m
    agent:
      <<: *agent
      skills: [review]
      permission: read
      track_changes: false
      context: [{name: changes.diff, from: unit-test, file: changes.diff, format: plain}]
      prompt: "Look for holes in the change that changes.diff shows."
      verdict: {schema: {type: object, required: [summary], properties: {summary: {type: string}}}}
    on_completed: push

"#;

fn has_phase(job: &Value) -> bool {
    job["tasks"].as_array().expect("tasks").iter().any(|task| task["task_type"] == "security-review")
}

#[test]
fn a_security_review_is_added_by_an_edit_on_a_running_server() {
    let world = World::new(2);
    let before = world.issue("plain");
    let first = world.submit(before, &[]);
    let pull = world.followed(before);
    world.upload("gh-implement", |text| {
        let place = text.find("  - task_type: push\n").expect("it pushes");
        let (head, tail) = text.split_at(place);
        format!(
            "{}{}{tail}",
            head.replace("COMPLETED: push\n", "COMPLETED: security-review\n"),
            PHASE.trim_start_matches('\n')
        )
    });
    let agent = std::fs::read_to_string(world.scratch.path("agent")).expect("it is there");
    let agent = agent.replace("    review)", "    security-review | review)");
    std::fs::write(world.scratch.path("agent"), agent).expect("it is ours");
    let after = world.issue("plain");
    let second = world.submit(after, &[]);
    let next = world.followed(after);
    assert_eq!(world.sessions_of(after), "plan 1, implement 1, self-verify 1, security-review 1");
    world.merge(pull);
    let (first, second) = (world.finished(&first), world.server().job(&second));
    assert_eq!((&first["state"], has_phase(&first), has_phase(&second)), (&"COMPLETED".into(), false, true));
    assert_ne!(first["version"], second["version"]);
    assert_eq!(world.sessions_of(before), "plan 1, implement 1, self-verify 1, learn 1");
    assert_ne!(pull, next);
    world.stop();
}
