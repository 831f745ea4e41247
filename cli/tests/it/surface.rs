//! The command line as scripts see it: documents, exit codes, colours, closed pipes.

use std::io::Read;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::live_server::{LiveServer, path};
use crate::scratch::{Done, Scratch};

const BUILD: &str = r#"
job_type: build
labels: {team: core, tier: 2}
params: {Code: {type: integer, default: 0}}
defaults: {shell: [sh, -eu]}
environment: {CODE: "{{ Code }}"}
tasks:
  - task_type: compile
    script: [echo compiling, 'echo warned >&2', 'mkdir -p out', 'printf built >out/product', 'echo "words=3" >>"$ATTA_OUTPUT"']
    outputs: {words: {type: integer}}
    artifacts: {paths: ["out/*"]}
  - task_type: test
    dependencies: [compile]
    script: ['echo testing', 'exit "$CODE"']
    on_exit_code: {2: END_BLOCKED}
"#;

/// The promise about `atta run --json`.
fn report_schema() -> Value {
    let text = json!({"type": ["string", "null"]});
    let keys = [
        "task_type",
        "state",
        "result",
        "exit_code",
        "visits",
        "attempts",
        "route",
        "started_at",
        "finished_at",
        "outputs",
        "artifacts",
    ];
    json!({
        "type": "object",
        "required": ["job_id", "job_type", "state", "error_code", "error", "attempt", "tasks"],
        "additionalProperties": false,
        "properties": {
            "job_id": {"type": "string", "pattern": "^job_[0-9a-f]{32}$"},
            "job_type": {"type": "string"},
            "state": {"enum": ["COMPLETED", "FAILED", "BLOCKED", "CANCELLED", "SKIPPED"]},
            "error_code": text, "error": text,
            "attempt": {"type": "integer", "minimum": 1},
            "tasks": {"type": "array", "items": {
                "type": "object",
                "required": keys,
                "additionalProperties": false,
                "properties": {
                    "task_type": {"type": "string"},
                    "state": {"enum": ["COMPLETED", "FAILED", "SKIPPED", "CANCELLED"]},
                    "result": text,
                    "exit_code": {"type": ["integer", "null"]},
                    "visits": {"type": "integer"}, "attempts": {"type": "integer"},
                    "route": text,
                    "started_at": {"type": ["string", "null"], "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T.*Z$"},
                    "finished_at": {"type": ["string", "null"], "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T.*Z$"},
                    "outputs": {"type": "object"},
                    "artifacts": {"type": "array", "items": {
                        "type": "object",
                        "required": ["name", "size", "digest"],
                        "additionalProperties": false,
                        "properties": {
                            "name": {"type": "string"},
                            "size": {"type": "integer"},
                            "digest": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                        },
                    }},
                },
            }},
        },
    })
}

#[test]
fn the_document_of_a_run_has_its_promised_shape_and_the_exit_code_its_verdict() {
    let schema = jsonschema::validator_for(&report_schema()).expect("the schema is one");
    let scratch = Scratch::new();
    let file = scratch.write("build.yaml", BUILD);
    for (code, exit, state) in [("0", 0, "COMPLETED"), ("1", 1, "FAILED"), ("2", 4, "BLOCKED")] {
        let done = scratch.atta(&["run", &file, "--json", "-p", &format!("Code={code}")]);
        let job = done.json();
        assert_eq!((done.code, job["state"].as_str()), (exit, Some(state)), "{done:#?}");
        let wrong: Vec<String> =
            schema.iter_errors(&job).map(|error| format!("{} at {}", error, error.instance_path())).collect();
        assert!(wrong.is_empty(), "{wrong:#?} in {job:#}");
    }
    let done = scratch.atta(&["run", &file]);
    done.says(0, &["compile", "test", "COMPLETED", "build"]);
    assert_eq!(done.stdout, "", "progress is no data");
    let done = scratch.atta(&["run", &file, "-p", "Code=1"]);
    done.says(1, &["✗ test", "exit 1", "│ testing", "FAILED"]);
}

#[test]
fn a_run_writes_artifacts_and_logs_where_it_is_told() {
    let scratch = Scratch::new();
    let file = scratch.write("build.yaml", BUILD);
    assert_eq!(scratch.atta(&["run", &file, "-o", "result"]).code, 0);
    assert_eq!(scratch.read("result/compile/out/product"), "built");
    assert_eq!(scratch.read("result/test.log"), "testing\n");
    let compile = scratch.read("result/compile.log");
    assert!(compile.contains("compiling\n") && compile.contains("warned\n"), "{compile}");
    scratch.write("file", "");
    scratch.atta(&["run", &file, "-o", "file"]).says(2, &["file cannot be written"]);
}

#[test]
fn a_server_takes_jobs_and_shows_what_they_did() {
    let scratch = Scratch::new();
    let server = LiveServer::start(scratch.root(), &path());
    let url = server.url.clone();
    let ask = |arguments: &[&str]| -> Done {
        scratch.command(arguments).env("ATTA_SERVER", &url).output().expect("atta starts").into()
    };
    let file = scratch.write("build.yaml", BUILD);

    let uploaded = ask(&["definitions", "upload", &file]);
    assert_eq!(uploaded.code, 0, "{uploaded:#?}");
    assert_eq!(ask(&["definitions", "list", "--json"]).json()[0]["job_type"], "build");
    assert_eq!(ask(&["definitions", "show", "build"]).stdout, BUILD);
    assert_eq!(ask(&["definitions", "versions", "build", "--json"]).json().as_array().map(Vec::len), Some(1));

    let followed = ask(&["submit", "build", "--follow", "-p", "Code=1"]);
    followed.says(1, &["✗ test", "│ testing", "FAILED"]);
    let id = followed.stdout.trim().to_owned();
    assert!(id.starts_with("job_") && followed.stdout.lines().count() == 1, "{followed:#?}");

    let jobs = ask(&["jobs", "--state", "failed", "--json"]).json();
    assert_eq!((jobs.as_array().map(Vec::len), &jobs[0]["job_id"]), (Some(1), &json!(id)));
    assert_eq!(ask(&["jobs", "--state", "COMPLETED", "--json"]).json(), json!([]));
    let shown = ask(&["jobs", "show", &id[id.len() - 8..]]);
    assert!(shown.code == 0 && shown.stdout.contains("✗ test") && shown.stdout.contains("words = 3"), "{shown:#?}");

    assert_eq!(ask(&["jobs", "--label", "team:core", "--label", "tier", "--ended", "--json"]).json(), jobs);
    assert_eq!(ask(&["jobs", "--label", "team:web", "--json"]).json(), json!([]));
    assert!(shown.stdout.contains("labels:      team: core, tier: 2\n"), "{shown:#?}");
    assert_eq!(ask(&["jobs", "--count", "--label", "tier:2"]).stdout, "STATE   JOBS\nFAILED  1\nall     1\n");
    assert_eq!(ask(&["jobs", "--count", "--json"]).json()["states"], json!({"FAILED": 1}));
    ask(&["jobs", "--label", ":core"]).says(2, &["`name:value` is expected"]);
    ask(&["jobs", "--ended", "--state", "RUNNING"]).says(2, &["a job that is RUNNING has not"]);
    let command = ask(&["jobs", "command", &id, "2"]);
    for words in
        ["task:         test\n", "program:      sh -eu\n", "\n  CODE=1\n", "\nscript\necho testing\nexit \"$CODE\"\n"]
    {
        assert!(command.stdout.contains(words), "{words}: {}", command.stdout);
    }
    ask(&["jobs", "command", &id, "9"]).says(4, &["attempt 9 of the job", "not found"]);

    assert_eq!(ask(&["logs", &id, "test"]).stdout, "testing\n");
    assert_eq!(ask(&["logs", &id, "compile", "--stream", "stderr"]).stdout, "warned\n");
    let all = ask(&["logs", &id]).stdout;
    assert!(all.contains("compile | compiling\n") && all.contains("test | testing\n"), "{all}");
    let followed = ask(&["logs", &id, "-f"]);
    assert_eq!(followed.code, 1, "{followed:#?}");
    assert!(
        followed.stdout.contains("compile | compiling\n") && followed.stdout.contains("test | testing\n"),
        "{followed:#?}"
    );

    let listed = ask(&["artifacts", &id, "--json"]).json();
    assert_eq!((&listed[0]["name"], &listed[0]["task_type"]), (&json!("out/product"), &json!("compile")), "{listed:#}");
    assert_eq!(ask(&["artifacts", &id, "-o", "got"]).code, 0);
    assert_eq!(scratch.read("got/compile/out/product"), "built");

    let events = ask(&["events", &id, "--json"]);
    assert!(events.stdout.lines().count() > 5 && events.stdout.contains("\"job_finished\""), "{events:#?}");
    assert_eq!(ask(&["events", &id, "-f"]).code, 1);

    let retried = ask(&["retry", &id]);
    assert_eq!(retried.code, 0, "{retried:#?}");
    assert_eq!(server.finished(&id)["attempt"], 2);
    ask(&["cancel", &id]);
    server.stop();
}

#[test]
fn a_running_job_is_paused_resumed_and_cancelled() {
    let scratch = Scratch::new();
    let server = LiveServer::start(scratch.root(), &path());
    let url = server.url.clone();
    let ask = |arguments: &[&str]| -> Done {
        scratch.command(arguments).env("ATTA_SERVER", &url).output().expect("atta starts").into()
    };
    let file = scratch.write(
        "long.yaml",
        "job_type: long\nuser_key: one\ndefaults: {shell: [sh, -eu]}\ntasks:\n  - {task_type: long, script: [echo begun, sleep 300]}\n  - {task_type: cleanup, always_run: true, script: [echo cleaned]}\n",
    );
    let submitted = ask(&["submit", &file]);
    assert_eq!(submitted.code, 0, "{submitted:#?}");
    let id = submitted.stdout.trim();
    ask(&["submit", "long"]).says(4, &["one"]);
    assert_eq!(ask(&["pause", id]).code, 0);
    assert_eq!(ask(&["resume", id]).code, 0);
    let follower = scratch
        .command(&["logs", id, "-f", "--server", &url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("atta starts");
    let cancelled = ask(&["cancel", id, "--reason", "enough"]);
    assert_eq!(cancelled.code, 0, "{cancelled:#?}");
    let job = server.finished(id);
    assert_eq!(job["state"], "CANCELLED", "{job:#}");
    let done: Done = follower.wait_with_output().expect("it ends").into();
    assert_eq!(done.code, 4, "{done:#?}");
    assert!(done.stdout.contains("cleanup | cleaned\n"), "{done:#?}");
    server.stop();
}

#[test]
fn refusals_come_in_the_servers_words_with_their_exit_codes() {
    let scratch = Scratch::new();
    let server = LiveServer::start(scratch.root(), &path());
    let url = server.url.clone();
    let ask = |arguments: &[&str]| -> Done {
        scratch.command(arguments).env("ATTA_SERVER", &url).output().expect("atta starts").into()
    };
    ask(&["submit", "nothing"]).says(4, &["nothing", "not found"]);
    ask(&["jobs", "show", "job_00000000000000000000000000000000"]).says(4, &["not found"]);
    ask(&["jobs", "show", "abcdef"]).says(4, &["No job has an id"]);
    ask(&["jobs", "show", "../x"]).says(2, &["no job id"]);
    let file = scratch.write("build.yaml", BUILD);
    assert_eq!(ask(&["definitions", "upload", &file]).code, 0);
    ask(&["submit", "build", "-p", "Code=x"]).says(2, &["params.Code", "integer"]);
    ask(&["submit", "build", "-p", "Cod=1"]).says(2, &["Cod", "did you mean Code"]);
    assert_eq!(ask(&["definitions", "disable", "build"]).code, 0);
    ask(&["submit", "build"]).says(4, &["disabled"]);
    assert_eq!(ask(&["definitions", "enable", "build"]).code, 0);
    let first = ask(&["submit", "build", "--idempotency-key", "k", "--json"]);
    assert_eq!(first.code, 0, "{first:#?}");
    assert_eq!(ask(&["submit", "build", "--idempotency-key", "k", "--json"]).json()["job_id"], first.json()["job_id"]);
    ask(&["submit", "build", "--idempotency-key", "k", "-p", "Code=1"]).says(2, &["k"]);
    server.finished(first.json()["job_id"].as_str().expect("an id"));
    server.stop();
}

#[test]
fn without_a_server_the_exit_code_is_3_with_advice() {
    let scratch = Scratch::new();
    // A port that was free a moment ago and that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let url = format!("http://{free}");
    for arguments in
        [vec!["jobs"], vec!["logs", "abc"], vec!["submit", "x"], vec!["cancel", "abc"], vec!["definitions"]]
    {
        let mut arguments = arguments;
        arguments.extend(["--server", &url]);
        scratch.atta(&arguments).says(3, &["error:", &url, "atta serve", "ATTA_SERVER"]);
    }
    let encrypted = format!("https://{free}");
    scratch.atta(&["jobs", "--server", &encrypted]).says(3, &["No server answers at", &encrypted]);
    scratch.atta(&["jobs", "--server", "ftp://localhost"]).says(2, &["http:// or https://"]);
}

#[test]
fn mistakes_on_the_command_line_are_usage_errors() {
    let scratch = Scratch::new();
    scratch.atta(&[]).says(2, &["Usage"]);
    scratch.atta(&["validte"]).says(2, &["validte", "validate"]);
    scratch.atta(&["run"]).says(2, &["FILE"]);
    scratch.atta(&["jobs", "--state", "BUSY"]).says(2, &["BUSY", "RUNNING"]);
    scratch.atta(&["serve", "--slots", "5000"]).says(2, &["5000", "4096"]);
    let version = scratch.atta(&["--version"]);
    assert!(version.code == 0 && version.stdout.starts_with("atta 0."), "{version:#?}");
}

#[test]
fn colours_are_for_terminals_and_can_be_turned_off() {
    let scratch = Scratch::new();
    let file = scratch.write("build.yaml", BUILD);
    let done = scratch.atta(&["run", &file, "-p", "Code=1"]);
    assert!(!done.stderr.contains('\u{1b}'), "{done:#?}");
    let on_terminal = |no_color: &str| {
        let command = format!("{}'{}' validate '{file}'", no_color, crate::live_server::atta().display());
        let output = std::process::Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .current_dir(scratch.root())
            .stdin(Stdio::null())
            .output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    };
    let coloured = on_terminal("");
    if coloured.contains("build.yaml") {
        // `script` is there and made a terminal.
        assert!(coloured.contains('\u{1b}'), "{coloured:?}");
        assert!(!on_terminal("NO_COLOR=1 ").contains('\u{1b}'));
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let scratch = Scratch::new();
    let file = scratch.write("build.yaml", BUILD);
    for arguments in [
        vec!["completions", "bash"],
        vec!["validate", file.as_str()],
        vec!["run", file.as_str(), "--json"],
        vec!["--help"],
    ] {
        let mut child =
            scratch.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("atta starts");
        drop(child.stdout.take());
        let mut stderr = String::new();
        child.stderr.take().expect("it is piped").read_to_string(&mut stderr).expect("it is text");
        let status = child.wait().expect("it ends");
        assert!(
            status.success() && !stderr.contains("panicked") && !stderr.contains("pipe"),
            "{arguments:?}: {status} {stderr}"
        );
    }
}

#[test]
fn validate_says_schedules_in_words_and_doctor_says_what_is_missing() {
    let scratch = Scratch::new();
    let file = scratch.write(
        "nightly.yaml",
        format!("cron_trigger: \"30 2 * * MON-FRI\"\ntimezone: Europe/Berlin\n{}", BUILD.trim_start()),
    );
    let done = scratch.atta(&["validate", &file]);
    assert_eq!(done.code, 0, "{done:#?}");
    assert!(done.stdout.contains("schedule:") && done.stdout.contains("Europe/Berlin"), "{done:#?}");
    assert_eq!(done.stdout.matches(" 02:30:00").count(), 5, "{done:#?}");
    let report = scratch.atta(&["validate", &file, "--format", "json"]).json();
    assert_eq!(report["files"][0]["schedule"]["next"].as_array().map(Vec::len), Some(5), "{report:#}");
    assert_eq!(scratch.atta(&["validate", &file, "--format", "sarif"]).json()["version"], "2.1.0");

    let done = scratch.atta(&["doctor", "--json"]);
    let report = done.json();
    let names: Vec<&str> =
        report["checks"].as_array().expect("checks").iter().filter_map(|check| check["name"].as_str()).collect();
    for name in ["data directory", "disk space", "database", "isolation", "bash", "git", "agents", "clock", "server"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    let human = scratch.command(&["doctor"]).env("PATH", "").output().expect("atta starts");
    let human: Done = human.into();
    assert!(human.stdout.contains("! git") && human.stdout.contains("Install git"), "{human:#?}");
}
