//! Definitions that cannot be: each is refused by `validate` and by an upload, with its code, and says where and why.

use std::fmt::Write as _;

use crate::live_server::LiveServer;
use crate::scratch::Scratch;

/// A file, the code of its problem, and words of the message.
struct Case {
    name: &'static str,
    content: Vec<u8>,
    code: &'static str,
    words: &'static [&'static str],
}

fn case(name: &'static str, content: impl Into<Vec<u8>>, code: &'static str, words: &'static [&'static str]) -> Case {
    Case { name, content: content.into(), code, words }
}

fn task_with(lines: &str) -> String {
    format!("job_type: x\ntasks:\n  - task_type: a\n    script: [echo]\n{lines}")
}

fn cases() -> Vec<Case> {
    let mut bomb = String::from("job_type: x\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let before = level - 1;
        let _ = writeln!(bomb, "a{level}: &a{level} [{}]", vec![format!("*a{before}"); 10].join(", "));
    }
    let mut many = String::new();
    for number in 0..10_001 {
        let _ = writeln!(many, "  - {{task_type: t{number}, script: [echo]}}");
    }
    vec![
        case("empty.yaml", "", "E-EMPTY", &["is empty"]),
        case("comments.yaml", "# nothing\n\n", "E-EMPTY", &["is empty"]),
        case("binary.yaml", b"\x7fELF\x02\x01\x01\x00\x00".as_slice(), "E-BINARY", &["binary"]),
        case("latin1.yaml", b"job_type: caf\xe9\n".as_slice(), "E-ENCODING", &["UTF-8"]),
        case("large.yaml", format!("# {}\njob_type: x\n", "x".repeat(5 << 20)), "E-TOO-LARGE", &["4194304"]),
        case("bomb.yaml", bomb, "E-ALIAS-EXPANSION", &[]),
        case("many.yaml", format!("job_type: x\ntasks:\n{many}"), "E-TOO-MANY-TASKS", &["10000"]),
        case("tabs.yaml", "job_type: x\ntasks:\n\t- task_type: a\n", "E-TAB", &["tab"]),
        case("duplicate.yaml", task_with("  - task_type: a\n    script: [echo]\n"), "E-DUPLICATE-TASK", &["a"]),
        case("nowhere.yaml", task_with("    on_completed: nowhere\n"), "E-UNKNOWN-TASK", &["nowhere"]),
        case("self-loop.yaml", task_with("    on_failed: a\n"), "E-UNBOUNDED-CYCLE", &["max_visits"]),
        case("cron.yaml", format!("cron_trigger: \"61 * * * *\"\n{}", task_with("")), "E-CRON", &["61"]),
        case("timeout.yaml", task_with("    timeout: -1\n"), "E-DURATION", &["-1"]),
        case("unknown-key.yaml", task_with("    tiemout: 3s\n"), "E-UNKNOWN-KEY", &["tiemout", "timeout"]),
        case("unquoted.yaml", task_with("    environment: {A: {{ X }}}\n"), "E-UNQUOTED-TEMPLATE", &["quote"]),
        case("go.yaml", task_with("    environment: {A: \"{{.X}}\"}\n"), "E-TEMPLATE-GO", &["{{ X }}"]),
        case("later.yaml", task_with("    sandbox: {network: none}\n"), "E-UNSUPPORTED", &["sandbox"]),
    ]
}

#[test]
fn validate_names_the_code_the_place_and_the_reason() {
    let scratch = Scratch::new();
    let mut wrong = Vec::new();
    for case in cases() {
        let file = scratch.write(case.name, &case.content);
        let done = scratch.atta(&["validate", &file]);
        let said = format!("{}{}", done.stdout, done.stderr);
        let missing: Vec<&str> =
            std::iter::once(case.code).chain(case.words.iter().copied()).filter(|word| !said.contains(word)).collect();
        if done.code != 2 || !missing.is_empty() || said.len() > 100_000 || !said.contains(&format!("{file}:")) {
            wrong.push(format!("{} (exit {}): {missing:?} not in {:.600}", case.name, done.code, said));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_upload_refuses_them_with_the_same_codes_and_stores_nothing() {
    let scratch = Scratch::new();
    let server = LiveServer::start(scratch.root(), &std::env::var_os("PATH").unwrap_or_default().to_string_lossy());
    let mut wrong = Vec::new();
    for case in cases() {
        let file = scratch.write(case.name, &case.content);
        let output = server.client(&["definitions", "upload", &file]);
        let said = String::from_utf8_lossy(&output.stderr);
        // What is too large for any definition may be cut off by the server before it is read.
        let known = said.contains(case.code) || (case.code == "E-TOO-LARGE" && said.contains("TOO_LARGE"));
        if output.status.code() != Some(2) || !known {
            wrong.push(format!("{} ({}): {} not in {:.600}", case.name, output.status, case.code, said));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(server.json(&["definitions", "--json"]), serde_json::json!([]));
    server.stop();
}

#[test]
fn all_problems_of_a_file_come_at_once() {
    let scratch = Scratch::new();
    let file = scratch.write(
        "job.yaml",
        "job_type: x\ntimeot: 3\ntasks:\n  - task_type: a\n    script: [echo]\n    timeout: soon\n  - task_type: a\n    script: [echo]\n    retry: -2\n",
    );
    let done = scratch.atta(&["validate", &file, "--format", "json"]);
    assert_eq!(done.code, 2);
    let report = done.json();
    let codes: Vec<&str> = report["files"][0]["diagnostics"]
        .as_array()
        .expect("diagnostics")
        .iter()
        .filter_map(|diagnostic| diagnostic["code"].as_str())
        .collect();
    for code in ["E-UNKNOWN-KEY", "E-DURATION", "E-DUPLICATE-TASK"] {
        assert!(codes.contains(&code), "{code} is not in {codes:?}");
    }
    assert!(codes.len() >= 4, "{codes:?}");
}

#[test]
fn run_refuses_an_invalid_definition_and_wrong_params_before_anything_runs() {
    let scratch = Scratch::new();
    let file = scratch.write("bad.yaml", task_with("    timeout: -1\n"));
    let done = scratch.atta(&["run", &file, "--json"]);
    done.says(2, &["E-DURATION", "bad.yaml:5:14"]);
    let problem = done.json();
    assert_eq!((&problem["code"], &problem["status"]), (&"INVALID_DEFINITION".into(), &422.into()), "{problem:#}");
    assert_eq!(problem["field_violations"][0]["code"], "E-DURATION");

    let file = scratch.write(
        "params.yaml",
        "job_type: x\nparams:\n  Count: {type: integer, required: true}\n  Kind: {type: string, enum: [a, b], default: a}\ntasks:\n  - {task_type: a, script: [\"touch {{ Kind }}\"]}\n",
    );
    for (params, words) in [
        (vec![], vec!["params.Count", "required"]),
        (vec!["Count=many"], vec!["params.Count", "integer", "many"]),
        (vec!["Count=1.5"], vec!["integer"]),
        (vec!["Count=1", "Kind=c"], vec!["params.Kind", "a"]),
        (vec!["Count=1", "Knid=a"], vec!["Knid", "did you mean Kind"]),
        (vec!["Count"], vec!["NAME=VALUE"]),
        (vec!["Count=1", "Count=2"], vec!["twice"]),
        (vec!["Count=@/no/such/file"], vec!["/no/such/file"]),
    ] {
        let mut arguments = vec!["run", file.as_str(), "--json"];
        for param in &params {
            arguments.extend(["-p", param]);
        }
        let done = scratch.atta(&arguments);
        done.says(2, &words);
        assert!(done.json()["code"].is_string(), "{done:#?}");
    }
    let done = scratch.atta(&["run", "/no/such/file.yaml", "--json"]);
    done.says(2, &["/no/such/file.yaml cannot be read"]);
    assert_eq!(done.json()["code"], "USAGE");
}
