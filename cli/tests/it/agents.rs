//! Agents: the conformance kit, and what the runner makes of orders.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

const ATTA: &str = env!("CARGO_BIN_EXE_atta");

fn conform(adapter: &str) {
    let done = Command::new(ATTA).args(["agents", "conformance", "--as", adapter]).output().unwrap();
    let shown = String::from_utf8_lossy(&done.stdout);
    println!("{shown}");
    assert!(done.status.success(), "{shown}{}", String::from_utf8_lossy(&done.stderr));
    assert!(shown.lines().count() > 25, "{shown}");
}

macro_rules! conforms {
    ($($name:ident: $adapter:literal,)*) => {
        $(
            #[test]
            fn $name() {
                conform($adapter);
            }
        )*
    };
}

conforms! {
    every_fault_of_claude_has_its_class: "claude",
    every_fault_of_codex_has_its_class: "codex",
    every_fault_of_gemini_has_its_class: "gemini",
    every_fault_of_opencode_has_its_class: "opencode",
    every_fault_of_goose_has_its_class: "goose",
    every_fault_of_copilot_has_its_class: "copilot",
    every_fault_of_cursor_has_its_class: "cursor",
    every_fault_of_aider_has_its_class: "aider",
    every_fault_of_a_program_with_the_line_protocol_has_its_class: "custom",
}

/// A directory with a home, a task directory and a place for the record.
struct Scene(tempfile::TempDir);

impl Scene {
    fn new() -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        for part in ["work", "home", "agent"] {
            std::fs::create_dir(scene.0.path().join(part)).unwrap();
        }
        scene
    }

    fn path(&self, part: &str) -> std::path::PathBuf {
        self.0.path().join(part)
    }

    /// Writes an agent that speaks the line protocol.
    fn agent(&self, script: &str) -> Value {
        let path = self.path("an-agent");
        std::fs::write(&path, format!("{script}\n")).unwrap();
        json!({"cli": "custom", "command": ["bash", path]})
    }

    fn run(&self, order: &Value) -> (Value, Output) {
        self.run_on(order, &[])
    }

    /// On an ant that has these variables.
    fn run_on(&self, order: &Value, variables: &[(&str, &Path)]) -> (Value, Output) {
        let mut whole = json!({
            "prompt": {"text": "the prompt"}, "permission": "edit", "vote": 1, "limits": {}, "track_changes": false,
            "watch": {"start": {"secs": 60, "nanos": 0}, "idle": null, "after_result": {"secs": 30, "nanos": 0},
                "kill_grace": {"secs": 1, "nanos": 0}},
        });
        whole.as_object_mut().unwrap().extend(order.as_object().unwrap().clone());
        std::fs::write(self.path("order"), whole.to_string()).unwrap();
        let record = self.path("agent/record.json");
        let done = Command::new(ATTA)
            .arg("agent-runner")
            .args([self.path("order"), record.clone()])
            .env("TASK_DIR", self.path("work"))
            .env("HOME", self.path("home"))
            .env("JOB_WORKSPACE", self.path("work"))
            // As if the definition had set it: what is inherited is the ant's matter.
            .env("CLAUDECODE", "1")
            .envs(variables.iter().copied())
            .current_dir(self.path("work"))
            .output()
            .unwrap();
        (read(&record), done)
    }
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn verdict(fields: &[&str]) -> Value {
    json!({"schema": {"type": "object", "required": ["ok"]}, "required": true, "asks": 1, "vote_fields": fields})
}

const SAY: &str = r#"echo '{"type":"session","id":"s1","model":"claude-haiku-4-5"}'; echo '{"type":"turn"}'
say() { jq -nc --arg text "$1" '{type: "message", text: $text}'; }; end() { echo '{"type":"result"}'; }"#;

#[test]
fn the_prompt_has_the_skills_before_it_and_the_schema_behind_it() {
    let scene = Scene::new();
    std::fs::create_dir_all(scene.path("work/.atta/skills")).unwrap();
    std::fs::write(scene.path("work/.atta/skills/ship.md"), "OUR WAY TO SHIP").unwrap();
    let agent = scene
        .agent(&format!(r#"cat > "$TASK_DIR/prompt"; env > "$TASK_DIR/environment"; {SAY}; say '{{"ok": 1}}'; end"#));
    let order =
        json!({"choice": agent, "skills": ["ship", "plan"], "verdict": verdict(&[]), "system": "You are careful."});
    let (record, done) = scene.run(&order);
    assert_eq!(record["class"], "DONE", "{record:#}");
    assert_eq!(done.status.code(), Some(0));
    let prompt = std::fs::read_to_string(scene.path("work/prompt")).unwrap();
    let at = |part: &str| prompt.find(part).unwrap_or_else(|| panic!("{part} is not in {prompt}"));
    assert!(at("OUR WAY TO SHIP") < at("acceptance criteria"));
    assert!(at("acceptance criteria") < at("the prompt") && at("the prompt") < at("JSON Schema"));
    let environment = std::fs::read_to_string(scene.path("work/environment")).unwrap();
    assert!(environment.contains("ATTA_AGENT_SYSTEM=You are careful.") && environment.contains("CLAUDECODE"));
    assert_eq!(record["session"], json!({"cli": "custom", "id": "s1"}));
}

#[test]
fn a_verdict_s_status_decides_the_class_and_the_exit_code() {
    let scene = Scene::new();
    let agent =
        scene.agent(&format!(r#"{SAY}; say '{{"ok": 1, "status": "blocked", "message": "which database?"}}'; end"#));
    let (record, done) = scene.run(&json!({"choice": agent, "verdict": verdict(&[])}));
    assert_eq!((&record["class"], &record["message"]), (&json!("BLOCKED"), &json!("which database?")));
    assert_eq!(done.status.code(), Some(2));
}

#[test]
fn most_of_the_voters_decide_and_without_a_majority_there_is_no_verdict() {
    let scene = Scene::new();
    let count = r#"n=$(($(cat "$TASK_DIR/n" 2>/dev/null || echo 0) + 1)); echo $n > "$TASK_DIR/n""#;
    let agent = scene.agent(&format!(r#"{count}; {SAY}; say "{{\"ok\": $((n % 2)), \"n\": $n}}"; end"#));
    let (record, _) = scene.run(&json!({"choice": agent, "verdict": verdict(&["ok"]), "vote": 3}));
    assert_eq!((&record["class"], &record["verdict"]), (&json!("DONE"), &json!({"ok": 1, "n": 1})), "{record:#}");
    assert_eq!(record["runs"].as_array().unwrap().len(), 3);
    let (record, done) = scene.run(&json!({"choice": agent, "verdict": verdict(&[]), "vote": 3}));
    assert_eq!((&record["class"], done.status.code()), (&json!("NO_VERDICT"), Some(4)), "{record:#}");
}

#[test]
fn the_next_choice_is_tried_after_the_classes_that_it_names() {
    let scene = Scene::new();
    let limited = r#"echo '{"type":"session","id":"a"}'; echo '{"type":"limit","message":"full","resets_at":1900000000}'; echo '{"type":"result","is_error":true,"class":"rate_limited","message":"full"}'"#;
    let first =
        scene.agent(&format!(r#"if [ -n "$ATTA_AGENT_MODEL" ]; then {SAY}; say done; end; else {limited}; fi"#));
    let mut second = first.clone();
    second["model"] = json!("other");
    let order = json!({"choice": first, "fallback": [{"choice": second, "on": ["AUTH"]}, {"choice": second, "on": ["RATE_LIMITED"]}]});
    let (record, _) = scene.run(&order);
    assert_eq!(record["class"], "DONE", "{record:#}");
    let purposes: Vec<&Value> = record["runs"].as_array().unwrap().iter().map(|run| &run["purpose"]).collect();
    assert_eq!(purposes, ["work", "fallback"]);
    assert_eq!(record["runs"][0]["class"], "RATE_LIMITED");
    assert_eq!(record["limit"]["resets_at"], 1_900_000_000_000_u64);
}

fn purposes(record: &Value) -> Vec<&str> {
    record["runs"].as_array().unwrap().iter().map(|run| run["purpose"].as_str().unwrap()).collect()
}

#[test]
fn a_fallback_does_not_go_on_with_the_session_that_was_too_long() {
    let scene = Scene::new();
    let too_long = r#"echo '{"type":"session","id":"old"}'; echo '{"type":"result","is_error":true,"class":"context","message":"too long"}'"#;
    let first = scene.agent(&format!(
        r#"echo "[$ATTA_AGENT_SESSION]" >> "$TASK_DIR/sessions"; if [ -n "$ATTA_AGENT_MODEL" ]; then {SAY}; say done; end; else {too_long}; fi"#
    ));
    let mut second = first.clone();
    second["model"] = json!("other");
    let (record, _) = scene.run(&json!({"choice": first, "resume": {"cli": "custom", "id": "old"},
        "fallback": [{"choice": second, "on": ["CONTEXT"]}]}));
    assert_eq!(record["class"], "DONE", "{record:#}");
    assert_eq!(purposes(&record), ["work", "fallback"]);
    assert_eq!(std::fs::read_to_string(scene.path("work/sessions")).unwrap(), "[old]\n[]\n");
}

#[test]
fn a_session_that_is_gone_is_replaced_by_a_new_one_and_after_other_errors_it_is_kept() {
    let scene = Scene::new();
    let run = |refusal: &str| {
        let _ = std::fs::remove_file(scene.path("work/sessions"));
        let agent = scene.agent(&format!(
            r#"echo "[$ATTA_AGENT_SESSION]" >> "$TASK_DIR/sessions"; if [ -n "$ATTA_AGENT_SESSION" ]; then {refusal}; exit 1; fi; {SAY}; say done; end"#
        ));
        let (record, _) = scene.run(&json!({"choice": agent, "resume": {"cli": "custom", "id": "old"}}));
        let sessions = std::fs::read_to_string(scene.path("work/sessions")).unwrap();
        (record, sessions)
    };
    let (record, sessions) = run("echo 'No conversation found with session ID: old' >&2; echo 'See --help.' >&2");
    assert_eq!((&record["class"], sessions.as_str()), (&json!("DONE"), "[old]\n[]\n"), "{record:#}");
    assert_eq!(purposes(&record), ["work", "work"]);
    assert_eq!(record["session"], json!({"cli": "custom", "id": "s1"}));
    assert_eq!(record["warnings"], json!(["custom does not know the session old; it begins a new one"]));
    // The session is there, and the next attempt goes on with it; or what was paid for would be paid for again.
    for refusal in ["echo 'connection refused' >&2", r#"echo '{"type":"turn"}'; echo 'Session not found' >&2"#] {
        let (record, sessions) = run(refusal);
        assert_eq!((&record["class"], sessions.as_str()), (&json!("ERROR"), "[old]\n"), "{record:#}");
    }
}

#[test]
fn work_that_is_done_is_not_done_again_when_asking_for_its_verdict_fails() {
    let scene = Scene::new();
    let limited = r#"echo '{"type":"limit","message":"full","resets_at":1900000000}'; echo '{"type":"result","is_error":true,"class":"rate_limited","message":"full"}'"#;
    let agent = scene
        .agent(&format!(r#"{SAY}; if [ -n "$ATTA_AGENT_SESSION" ]; then {limited}; else say 'I forgot it'; end; fi"#));
    let order = json!({"choice": agent, "verdict": verdict(&[]),
        "fallback": [{"choice": agent, "on": ["RATE_LIMITED", "AUTH"]}]});
    let (record, done) = scene.run(&order);
    assert_eq!((&record["class"], done.status.code()), (&json!("NO_VERDICT"), Some(4)), "{record:#}");
    assert_eq!(purposes(&record), ["work", "reask"]);
    assert!(record["message"].as_str().unwrap().contains("asked again it ended with RATE_LIMITED: full"), "{record:#}");
}

#[test]
fn no_further_run_begins_under_a_limit_of_which_nobody_knows_what_is_left() {
    let scene = Scene::new();
    let agent = scene.agent(&format!(r#"{SAY}; say '{{"ok": 1}}'; end"#));
    let order = json!({"choice": agent, "verdict": verdict(&["ok"]), "vote": 3, "limits": {"usd": 5_000_000}});
    let (record, _) = scene.run(&order);
    assert_eq!((&record["class"], purposes(&record)), (&json!("BUDGET"), vec!["vote"]), "{record:#}");
    assert!(record["message"].as_str().unwrap().contains("custom did not say what it used"), "{record:#}");
}

#[test]
fn money_is_counted_by_the_table_and_ends_the_agent() {
    let scene = Scene::new();
    let agent = scene.agent(&format!(
        r#"{SAY}; for i in 1 2 3 4 5 6 7 8; do echo '{{"type":"turn"}}'; echo '{{"type":"usage","input":1000,"output":1000}}'; sleep 0.2; done; end"#
    ));
    let (record, done) = scene.run(&json!({"choice": agent, "limits": {"usd": 10_000}}));
    assert_eq!((&record["class"], done.status.code()), (&json!("BUDGET"), Some(7)), "{record:#}");
    let cost = record["usage"]["cost"].as_u64().unwrap();
    assert!((12_000..=18_000).contains(&cost) && cost % 6000 == 0, "{cost}");
    assert!(record["usage"]["cost_source"]["priced"].is_string(), "{record:#}");
}

#[test]
fn the_operator_s_table_of_prices_replaces_ours() {
    let scene = Scene::new();
    let used = r#"echo '{"type":"usage","input":1000000,"output":1000000}'"#;
    let order = json!({"choice": scene.agent(&format!("{SAY}; {used}; say done; end"))});
    let table = scene.path("prices.json");
    let with = |text: &str| {
        std::fs::write(&table, text).unwrap();
        scene.run_on(&order, &[("ATTA_PRICES", &table)]).0
    };
    let record = with(r#"{"date": "2031-02-03", "models": {"claude-haiku-4-5": {"input": 2, "output": 40}}}"#);
    assert_eq!((&record["class"], &record["usage"]["cost"]), (&json!("DONE"), &json!(42_000_000)), "{record:#}");
    assert_eq!(record["usage"]["cost_source"], json!({"priced": "2031-02-03"}));
    let record = with(r#"{"date": "2031-02-03", "models": {"another": {"input": 2, "output": 40}}}"#);
    assert_eq!((&record["class"], &record["usage"]["cost"]), (&json!("DONE"), &Value::Null), "{record:#}");
    for (text, words) in [
        (r#"{"date": "soon", "models": {}}"#, "`date` is `soon`; write it as YYYY-MM-DD"),
        (r#"{"date": "2031-02-03"}"#, "is no price table: missing field `models`"),
    ] {
        let record = with(text);
        let message = record["message"].as_str().unwrap();
        assert_eq!(record["class"], "ERROR", "{message}");
        assert!(message.contains("prices.json") && message.contains(words), "{message}");
    }
    std::fs::remove_file(&table).unwrap();
    let (record, _) = scene.run_on(&order, &[("ATTA_PRICES", &table)]);
    let message = record["message"].as_str().unwrap();
    assert!(message.contains("prices.json cannot be read: No such file"), "{message}");
}

#[test]
fn an_agent_that_computes_in_silence_is_left_alone_and_one_that_only_waits_is_not() {
    let scene = Scene::new();
    let watch = json!({"start": {"secs": 60, "nanos": 0}, "idle": {"secs": 1, "nanos": 0},
        "after_result": {"secs": 30, "nanos": 0}, "kill_grace": {"secs": 1, "nanos": 0}});
    let order = |work: &str| json!({"choice": scene.agent(&format!("{SAY}; {work}; say done; end")), "watch": watch});
    // What computes is not the agent's own process, and it says nothing for four times as long as silence is borne.
    let (record, done) = scene.run(&order(r"timeout 4 bash -c 'while :; do :; done'"));
    assert_eq!((&record["class"], done.status.code()), (&json!("DONE"), Some(0)), "{record:#}");
    let (record, _) = scene.run(&order("sleep 600"));
    let message = record["message"].as_str().unwrap();
    assert_eq!(record["class"], "STALLED", "{message}");
    assert!(message.contains("fell silent: no event, no work of its processes and no changed file for 1"), "{message}");
}

#[test]
fn an_agent_that_says_done_and_changed_nothing_is_told_apart() {
    let scene = Scene::new();
    let git = "git init -q -b main . && git config user.name a && git config user.email a@b && git commit -q --allow-empty -m first";
    assert!(Command::new("bash").args(["-ec", git]).current_dir(scene.path("work")).status().unwrap().success());
    let idle = scene.agent(&format!("{SAY}; say done; end"));
    let order = |agent: &Value| json!({"choice": agent, "track_changes": true, "expect_changes": true, "directory": "$JOB_WORKSPACE"});
    let (record, done) = scene.run(&order(&idle));
    assert_eq!((&record["class"], done.status.code()), (&json!("NO_CHANGE"), Some(5)), "{record:#}");
    let busy = scene.agent(&format!(
        "{SAY}; echo 1 > new; git add new; git commit -qm 'Add a file'; echo 2 > other; say done; end"
    ));
    let (record, _) = scene.run(&order(&busy));
    assert_eq!((&record["class"], &record["files_changed"]), (&json!("DONE"), &json!(["new", "other"])), "{record:#}");
    assert_eq!(record["commits"][0]["subject"], "Add a file");
}

#[test]
fn what_cannot_be_run_is_said() {
    let scene = Scene::new();
    for (order, words) in [
        (
            json!({"choice": {"cli": "claude", "command": ["/nowhere/claude"]}}),
            "the program `/nowhere/claude` is not there: install it",
        ),
        (json!({"choice": {"cli": "claude"}, "directory": "gone"}), "is not there"),
        (json!({"choice": {"cli": "claude"}, "prompt": {"file": "gone.md"}}), "gone.md cannot be read"),
        (json!({"choice": {"cli": "claude"}, "skills": ["dance"]}), "there is no skill `dance`"),
        (json!({"choice": {"cli": "claude"}, "expect_changes": true}), "is in no git repository, so nobody would know"),
        (
            json!({"choice": {"cli": "claude"}, "verdict": {"schema": {"type": 1}, "required": true, "asks": 0}}),
            "the verdict's schema cannot be used",
        ),
    ] {
        let (record, done) = scene.run(&order);
        let message = record["message"].as_str().unwrap();
        assert_eq!((&record["class"], done.status.code()), (&json!("ERROR"), Some(1)), "{message}");
        assert!(message.contains(words), "{message}");
    }
    std::fs::write(scene.path("order"), "{}").unwrap();
    let done = Command::new(ATTA)
        .arg("agent-runner")
        .args([scene.path("order"), scene.path("agent/record.json")])
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(1));
    let message = read(&scene.path("agent/record.json"))["message"].as_str().unwrap().to_owned();
    assert!(message.contains("cannot be read: missing field"), "{message}");
}

#[test]
fn a_program_of_one_s_own_can_be_tried() {
    let scene = Scene::new();
    let agent = scene.path("mine");
    let script = format!("#!/bin/bash\n{SAY}\nsleep 1\nsay '{{\"answer\": 42}}'; end\n");
    std::fs::write(&agent, script).unwrap();
    assert!(Command::new("chmod").arg("+x").arg(&agent).status().unwrap().success());
    let tried =
        |program: &Path| Command::new(ATTA).args(["agents", "conformance", "--cli"]).arg(program).output().unwrap();
    let done = tried(&agent);
    let shown = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{shown}{}", String::from_utf8_lossy(&done.stderr));
    assert!(shown.contains("ends-when-told"), "{shown}");
    let done = tried(Path::new("/bin/true"));
    assert_eq!(done.status.code(), Some(1));
    let shown = String::from_utf8_lossy(&done.stdout);
    assert!(shown.contains("✗ custom answers: it did not name its session"), "{shown}");
}
