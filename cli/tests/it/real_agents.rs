//! The real CLIs, each through a whole session with a call of a tool, against a stub of its model's API. `scripts/real-agents`
//! installs them and runs these tests; nothing here is built otherwise.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde_json::{Value, json};

/// Its second line is longer than a terminal is wide.
const FINAL: &str = "All done.\n{\"answer\": 42, \"summary\": \"There was one thing to do, which was to make a file; it has been made, and it has in it what it had to have.\"}";
const COMMAND: &str = "echo hi > made-by-agent";

/// Answers like a model that calls one tool and is done then. It lives as long as the test's process.
fn stub() -> String {
    listen(|path, asked| (200, answer(path, asked)))
}

/// Refuses everything.
fn refusing(status: u16, code: &'static str, message: &'static str) -> String {
    listen(move |_, _| {
        let error = json!({"error": {"message": message, "type": code, "code": code}});
        (status, ("application/json", error.to_string()))
    })
}

type Answer = (u16, (&'static str, String));

fn listen(answer: impl Fn(&str, &Value) -> Answer + Copy + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream, answer));
        }
    });
    format!("http://{address}")
}

fn serve(stream: TcpStream, answer: impl Fn(&str, &Value) -> Answer) {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let (mut length, mut chunked) = (0, false);
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header).unwrap_or(0) == 0 || header.trim().is_empty() {
                break;
            }
            let header = header.to_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            chunked |= header.starts_with("transfer-encoding:") && header.contains("chunked");
        }
        let mut body = vec![0; length];
        if chunked {
            loop {
                let mut size = String::new();
                if reader.read_line(&mut size).unwrap_or(0) == 0 {
                    return;
                }
                let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
                let mut chunk = vec![0; size + 2];
                if reader.read_exact(&mut chunk).is_err() || size == 0 {
                    break;
                }
                body.extend_from_slice(&chunk[..size]);
            }
        } else if reader.read_exact(&mut body).is_err() {
            return;
        }
        let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
        let (status, (kind, text)) = answer(path.split('?').next().unwrap_or_default(), &asked);
        let head = format!("HTTP/1.1 {status} So\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", text.len());
        if writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(text.as_bytes())).is_err() {
            return;
        }
    }
}

fn sse(events: &[Value], named: bool) -> (&'static str, String) {
    let one = |event: &Value| match event.as_str() {
        Some(word) => format!("data: {word}\n\n"),
        None if named => format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default()),
        None => format!("data: {event}\n\n"),
    };
    ("text/event-stream", events.iter().map(one).collect())
}

fn answer(path: &str, asked: &Value) -> (&'static str, String) {
    let last = |list: &str| asked[list].as_array().and_then(|all| all.last()).map(Value::to_string).unwrap_or_default();
    let tools = asked["tools"].as_array().is_some_and(|tools| !tools.is_empty());
    if path.ends_with("/v1/messages") {
        anthropic(asked, !tools || last("messages").contains("tool_result"))
    } else if path.ends_with("/responses") {
        responses(last("input").contains("function_call_output"))
    } else if path.ends_with("/chat/completions") {
        if !tools && asked["messages"].to_string().contains("SEARCH/REPLACE") {
            return edits(asked, last("messages").contains("failed to match"));
        }
        completions(asked, !tools || last("messages").contains("\"role\":\"tool\""))
    } else if path.contains("enerateContent") {
        let part = match (tools, last("contents").contains("functionResponse")) {
            (true, false) => json!({"functionCall": {"name": "run_shell_command", "args": {"command": COMMAND}}}),
            _ => json!({"text": FINAL}),
        };
        let usage = json!({"promptTokenCount": 100, "cachedContentTokenCount": 40, "candidatesTokenCount": 10,
            "thoughtsTokenCount": 3, "totalTokenCount": 113});
        let answer = json!({"candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}],
            "usageMetadata": usage, "modelVersion": "gemini-2.5-pro"});
        if path.contains("stream") { sse(&[answer], false) } else { ("application/json", answer.to_string()) }
    } else {
        ("application/json", "{\"data\": [], \"models\": []}".to_owned())
    }
}

fn anthropic(asked: &Value, done: bool) -> (&'static str, String) {
    let id = format!("msg_{}", asked["messages"].as_array().map_or(0, Vec::len));
    let usage = json!({"input_tokens": 100, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 1000, "output_tokens": 1});
    let start = json!({"type": "message_start", "message": {"id": id, "type": "message", "role": "assistant",
        "model": asked["model"], "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage}});
    let (block, delta, reason) = if done {
        (json!({"type": "text", "text": ""}), json!({"type": "text_delta", "text": FINAL}), "end_turn")
    } else {
        let input = json!({"command": COMMAND, "description": "a file"}).to_string();
        let block = json!({"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}});
        (block, json!({"type": "input_json_delta", "partial_json": input}), "tool_use")
    };
    sse(
        &[
            start,
            json!({"type": "content_block_start", "index": 0, "content_block": block}),
            json!({"type": "content_block_delta", "index": 0, "delta": delta}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null}, "usage": {"output_tokens": 50}}),
            json!({"type": "message_stop"}),
        ],
        true,
    )
}

fn responses(done: bool) -> (&'static str, String) {
    let item = if done {
        json!({"type": "message", "role": "assistant", "id": "m1", "content": [{"type": "output_text", "text": FINAL}]})
    } else {
        let arguments = json!({"cmd": COMMAND}).to_string();
        json!({"type": "function_call", "id": "f1", "call_id": "call_1", "name": "exec_command", "arguments": arguments})
    };
    let usage = json!({"input_tokens": 100, "input_tokens_details": {"cached_tokens": 40}, "output_tokens": 10,
        "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 110});
    sse(
        &[
            json!({"type": "response.created", "response": {"id": "r"}}),
            json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
            json!({"type": "response.completed", "response": {"id": "r", "usage": usage}}),
        ],
        true,
    )
}

fn completions(asked: &Value, done: bool) -> (&'static str, String) {
    let message = if done {
        json!({"role": "assistant", "content": FINAL})
    } else {
        let arguments = json!({"command": COMMAND, "description": "a file"}).to_string();
        let offered = asked["tools"].to_string();
        let name = if offered.contains("\"name\":\"bash\"") { "bash" } else { "shell" };
        json!({"role": "assistant", "content": "I will look", "tool_calls": [
            {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}]})
    };
    completion(asked, &message, if done { "stop" } else { "tool_calls" })
}

/// Without tools, a model answers with edits. The first one fits nowhere, and the second one makes a file.
fn edits(asked: &Value, told_so: bool) -> (&'static str, String) {
    let (before, words) = if told_so { ("", FINAL) } else { ("what is not there\n", "I will see.") };
    let edit = format!("made-by-agent\n```\n<<<<<<< SEARCH\n{before}=======\nhi\n>>>>>>> REPLACE\n```");
    completion(asked, &json!({"role": "assistant", "content": format!("{edit}\n\n{words}")}), "stop")
}

fn completion(asked: &Value, message: &Value, reason: &str) -> (&'static str, String) {
    let id = format!("c{}", asked["messages"].as_array().map_or(0, Vec::len));
    let usage = json!({"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110, "prompt_tokens_details": {"cached_tokens": 40}});
    let chunk = |choices: Value, usage: Value| json!({"id": id, "object": "chat.completion.chunk", "created": 1, "model": asked["model"], "choices": choices, "usage": usage});
    if asked["stream"] == true {
        let events = [
            chunk(json!([{"index": 0, "delta": message, "finish_reason": null}]), Value::Null),
            chunk(json!([{"index": 0, "delta": {}, "finish_reason": reason}]), Value::Null),
            chunk(json!([]), usage),
            json!("[DONE]"),
        ];
        return sse(&events, false);
    }
    let whole = json!({"id": id, "object": "chat.completion", "created": 1, "model": asked["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": reason}], "usage": usage});
    ("application/json", whole.to_string())
}

/// Where a CLI was installed.
fn installed(name: &str) -> PathBuf {
    let path = match name {
        "aider" => "python/bin/aider".to_owned(),
        "goose" => "node_modules/@aaif/goose-binary-linux-x64/bin/goose".to_owned(),
        _ => format!("node_modules/.bin/{name}"),
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../agents/tests/real").join(path);
    assert!(path.exists(), "{name} is not installed: run scripts/real-agents");
    path
}

/// Runs a session and looks at what came of it.
fn session(
    cli: &str,
    command: &[&str],
    model: &str,
    environment: &[(&str, String)],
    home: &tempfile::TempDir,
) -> Value {
    let (record, shown) = run(cli, command, model, environment, home);
    assert_eq!(record["class"], "DONE", "{record:#}\n{shown}");
    assert_eq!(record["verdict"]["answer"], 42, "{record:#}\n{shown}");
    assert_eq!(record["usage"]["turns"], 2, "{record:#}\n{shown}");
    assert!(record["session"]["id"].is_string(), "{record:#}\n{shown}");
    assert_eq!(fs::read_to_string(home.path().join("work/made-by-agent")).unwrap(), "hi\n", "{shown}");
    record
}

/// Runs a session: its record and its log.
fn run(
    cli: &str,
    command: &[&str],
    model: &str,
    environment: &[(&str, String)],
    home: &tempfile::TempDir,
) -> (Value, String) {
    let path = |part: &str| home.path().join(part);
    for part in ["work", "record"] {
        fs::create_dir_all(path(part)).unwrap();
    }
    let mut program = vec![installed(command[0]).to_string_lossy().into_owned()];
    program.extend(command[1..].iter().map(|&word| word.to_owned()));
    let schema = json!({"type": "object", "required": ["answer"]});
    let seconds = |secs: u64| json!({"secs": secs, "nanos": 0});
    let order = json!({
        "choice": {"cli": cli, "command": program, "model": Some(model).filter(|model| !model.is_empty())}, "prompt": {"text": "Make a file."}, "permission": "full",
        "vote": 1, "limits": {}, "track_changes": false, "verdict": {"schema": schema, "required": true, "asks": 0},
        "watch": {"start": seconds(120), "idle": seconds(120), "after_result": seconds(20), "kill_grace": seconds(2)},
    });
    fs::write(path("order"), order.to_string()).unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_atta"))
        .arg("agent-runner")
        .args([path("order"), path("record/record.json")])
        .current_dir(path("work"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", home.path())
        .env("TASK_DIR", path("work"))
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&done.stdout).into_owned();
    let record = serde_json::from_slice(&fs::read(path("record/record.json")).unwrap()).unwrap();
    (record, shown)
}

#[test]
fn claude_code_completes_a_session() {
    let home = tempfile::tempdir().unwrap();
    let environment = [
        ("ANTHROPIC_BASE_URL", stub()),
        ("ANTHROPIC_API_KEY", "no-key".to_owned()),
        ("IS_SANDBOX", "1".to_owned()),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
    ];
    let record = session("claude", &["claude"], "claude-haiku-4-5", &environment, &home);
    let tokens = json!({"input": 200, "output": 100, "cache_read": 2000, "cache_write": 40});
    assert_eq!(record["usage"]["tokens"], tokens, "{record:#}");
    assert_eq!(record["usage"]["cost_source"], "reported");
}

#[test]
fn codex_completes_a_session() {
    let home = tempfile::tempdir().unwrap();
    let provider = format!(
        "model_providers.stub={{name=\"stub\",base_url=\"{}/v1\",wire_api=\"responses\",env_key=\"STUB_KEY\"}}",
        stub()
    );
    let command = ["codex", "-c", "model_provider=stub", "-c", provider.as_str()];
    fs::create_dir_all(home.path().join(".codex")).unwrap();
    let record = session("codex", &command, "gpt-5.1-codex", &[("STUB_KEY", "no-key".to_owned())], &home);
    let tokens = json!({"input": 120, "output": 20, "cache_read": 80, "cache_write": 0});
    assert_eq!(record["usage"]["tokens"], tokens, "{record:#}");
    assert!(record["usage"]["cost_source"]["priced"].is_string(), "{record:#}");
}

#[test]
fn gemini_completes_a_session() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join(".gemini")).unwrap();
    let settings =
        json!({"security": {"auth": {"selectedType": "gemini-api-key"}}, "privacy": {"usageStatisticsEnabled": false}});
    fs::write(home.path().join(".gemini/settings.json"), settings.to_string()).unwrap();
    let environment = [("GOOGLE_GEMINI_BASE_URL", stub()), ("GEMINI_API_KEY", "no-key".to_owned())];
    let record = session("gemini", &["gemini"], "gemini-2.5-pro", &environment, &home);
    let tokens = json!({"input": 120, "output": 26, "cache_read": 80, "cache_write": 0});
    assert_eq!(record["usage"]["tokens"], tokens, "{record:#}");
}

#[test]
fn opencode_completes_a_session() {
    let home = tempfile::tempdir().unwrap();
    let options = json!({"baseURL": format!("{}/v1", stub()), "apiKey": "no-key"});
    let model = json!({"name": "m1", "limit": {"context": 100_000, "output": 8000}});
    let provider =
        json!({"npm": "@ai-sdk/openai-compatible", "name": "stub", "options": options, "models": {"m1": model}});
    let config = json!({"autoupdate": false, "share": "disabled", "provider": {"stub": provider}});
    fs::write(home.path().join("opencode.json"), config.to_string()).unwrap();
    let environment = [
        ("OPENCODE_CONFIG", home.path().join("opencode.json").to_string_lossy().into_owned()),
        ("OPENCODE_DISABLE_MODELS_FETCH", "1".to_owned()),
    ];
    let record = session("opencode", &["opencode"], "stub/m1", &environment, &home);
    let tokens = json!({"input": 120, "output": 20, "cache_read": 80, "cache_write": 0});
    assert_eq!(record["usage"]["tokens"], tokens, "{record:#}");
    assert_eq!(record["usage"]["cost"], Value::Null, "a price that nobody knows is not 0");
}

#[test]
fn copilot_completes_a_session() {
    let home = tempfile::tempdir().unwrap();
    let environment = [
        ("COPILOT_OFFLINE", "true".to_owned()),
        ("COPILOT_PROVIDER_BASE_URL", format!("{}/v1", stub())),
        ("COPILOT_PROVIDER_API_KEY", "no-key-at-all".to_owned()),
    ];
    let record = session("copilot", &["copilot"], "m1", &environment, &home);
    let tokens = json!({"input": 120, "output": 20, "cache_read": 80, "cache_write": 0});
    assert_eq!(record["usage"]["tokens"], tokens, "{record:#}");
}

fn for_goose(api: String) -> [(&'static str, String); 3] {
    [("OPENAI_HOST", api), ("OPENAI_API_KEY", "no-key".to_owned()), ("GOOSE_DISABLE_KEYRING", "1".to_owned())]
}

#[test]
fn goose_completes_a_session() {
    let home = tempfile::tempdir().unwrap();
    let record = session("goose", &["goose"], "openai/m1", &for_goose(stub()), &home);
    let tokens = json!({"input": 120, "output": 20, "cache_read": 80, "cache_write": 0});
    assert_eq!(record["usage"]["tokens"], tokens, "{record:#}");
    assert_eq!(record["usage"]["cost"], Value::Null, "a price that nobody knows is not 0");
}

#[test]
fn goose_is_believed_neither_its_exit_code_nor_its_end() {
    for (api, class) in [
        (refusing(429, "rate_limit_exceeded", "slow down"), "RATE_LIMITED"),
        (refusing(401, "invalid_api_key", "who are you?"), "AUTH"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let (record, shown) = run("goose", &["goose"], "openai/m1", &for_goose(api), &home);
        assert_eq!(record["class"], class, "{record:#}\n{shown}");
        assert_eq!(record["verdict"], Value::Null, "{record:#}\n{shown}");
    }
}

/// The table of prices that it would look up elsewhere is not to be had: there is no way out.
fn for_aider(api: &str) -> [(&'static str, String); 4] {
    let nowhere = "http://127.0.0.1:9".to_owned();
    [
        ("OPENAI_API_BASE", format!("{api}/v1")),
        ("OPENAI_API_KEY", "no-key".to_owned()),
        ("HTTPS_PROXY", nowhere),
        ("NO_PROXY", "127.0.0.1".to_owned()),
    ]
}

const AIDER: [&str; 3] = ["aider", "--edit-format", "diff"];

#[test]
fn aider_completes_a_session() {
    let home = tempfile::tempdir().unwrap();
    // Where there is no repository it makes one, with a .gitignore.
    let made = Command::new("git").args(["init", "-q"]).arg(home.path().join("work")).status().unwrap();
    assert!(made.success());
    let record = session("aider", &AIDER, "openai/m1", &for_aider(&stub()), &home);
    // What the message of its commit took is in none of its lines, nor what came from a cache.
    let tokens = json!({"input": 200, "output": 20, "cache_read": 0, "cache_write": 0});
    assert_eq!(record["usage"]["tokens"], tokens, "{record:#}");
    assert_eq!(record["usage"]["cost"], Value::Null, "a price that nobody knows is not 0");
    assert_eq!(record["model"].as_str().or(record["runs"][0]["model"].as_str()), Some("openai/m1"), "{record:#}");
    let told = record["verdict"]["summary"].as_str().unwrap();
    assert!(told.ends_with("what it had to have."), "{told}");
    let words = record["final_message"].as_str().unwrap();
    assert!(!words.contains("Repo-map") && !words.contains("raw.githubusercontent.com"), "{words}");
    assert!(!home.path().join("work/.gitignore").exists(), "the repository is not its own");
    let settings = fs::read_to_string(home.path().join(".aider/analytics.json")).unwrap_or_default();
    assert!(!settings.contains("\"permanently_disable\": true"), "its settings are the user's: {settings}");
}

#[test]
fn aider_without_a_key_that_is_accepted_ends_with_that() {
    let home = tempfile::tempdir().unwrap();
    let api = refusing(401, "invalid_api_key", "who are you?");
    let (record, shown) = run("aider", &AIDER, "openai/m1", &for_aider(&api), &home);
    assert_eq!(record["class"], "AUTH", "{record:#}\n{shown}");
    assert!(record["message"].as_str().unwrap().contains("who are you?"), "{record:#}\n{shown}");
}

#[test]
fn aider_that_would_wait_for_a_person_with_a_browser_is_ended() {
    let home = tempfile::tempdir().unwrap();
    let environment = [("HTTPS_PROXY", "http://127.0.0.1:9".to_owned())];
    let (record, shown) = run("aider", &["aider"], "", &environment, &home);
    assert_eq!(record["class"], "AUTH", "{record:#}\n{shown}");
}
