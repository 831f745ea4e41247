//! Secrets through the whole program: they reach a task, and nothing else.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;
use tempfile::TempDir;

use crate::live_server::{LiveServer, atta, repository, wait_for};
use crate::scratch::task;

const KEY: &str = "-----BEGIN TEST KEY-----\nMIIBOgIBAAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf9Cnz\nj4p4WGeKLs1Pt8QuKUpRKfFLfRYC9AIKjbJTWit+CqvjWYzv\n-----END TEST KEY-----\n";

/// Ten secrets, as different as they come.
const TEN: [(&str, &str); 10] = [
    ("S1", "ghp_AbCdEf0123456789plain"),
    ("S2", "p@ss w/ord+&=\"quoted\"'s <end>"),
    ("S3", KEY),
    ("S4", "{\"client\":\"atta\",\"private\":\"eyJhbGciOi\"}"),
    ("S5", "a-long-one-that-needs-more-than-one-line-of-base64-when-it-is-encoded-0123456789-abcdefghij-ABCDEFGHIJ"),
    ("S6", "gr\u{fc}n-geh\u{e9}im-42"),
    ("S7", "a/b%c?d=e&f#g"),
    ("S8", "split-over-two-writes"),
    ("S9", "aB3$xY"),
    ("S10", "in-an-error-message-xyz"),
];

const DEFINITION: &str = r#"
job_type: ten
params: {Go: {required: true}}
description: "ten secrets"
tasks:
  - task_type: leak
    env_from: [{secrets: [S1, S2, S3, S4, S5, S6, S7, S8, S9, S10]}]
    environment: {HEADER: "Bearer {{ secrets.S1 }}", GO: "{{ Go }}"}
    script:
      - until [ -e "$GO" ]; do sleep 0.02; done
      - |
        urlencode() {
          local text=$1 i c
          for ((i = 0; i < ${#text}; i++)); do
            c=${text:i:1}
            case $c in [a-zA-Z0-9._~-]) printf '%s' "$c" ;; *) printf '%%%02X' "'$c" ;; esac
          done
        }
        for secret in "$S1" "$S2" "$S3" "$S4" "$S5" "$S6" "$S7" "$S8" "$S9" "$S10"; do
          echo "$secret"
          echo "$secret" >&2
          printf '%s' "$secret" | base64
          printf '%s' "$secret" | base64 -w 0 | tr '+/' '-_'
          printf '{"value":"%s"}\n' "$(printf '%s' "$secret" | sed 's/\\/\\\\/g; s/"/\\"/g')"
        done
      - printf '%s' "${S8:0:9}"; sleep 0.1; printf '%s\n' "${S8:9}"
      - printf '%s' "${S1:0:5}"; sleep 0.1; printf '%s' "${S1:5:7}"; sleep 0.1; echo "${S1:12}"
      - printf 'user:%s' "$S5" | base64
      - urlencode "$S7"; echo; urlencode "$S2"; echo; urlencode "$S7" | tr 'A-F' 'a-f'; echo
      - echo "$HEADER"
      - set -x; echo "traced $S1 $S10" > /dev/null; set +x
      - echo "plain=$S1" >> "$ATTA_OUTPUT"
      - printf 'lines<<END\n%s\nEND\n' "$S3" >> "$ATTA_OUTPUT"
      - echo "name in the value" > "name-$S8.txt"
      - printf 'x%.0s' {1..70000} > content.txt; echo "$S4" >> content.txt
      - echo fine > fine.txt
      - echo "$S10" >&2; exit 3
    artifacts: {paths: ["*.txt"]}
    on_exit_code: {3: check}
  - task_type: check
    env_from: [{secrets: [S10]}]
    script:
      - echo "number=$S10" >> "$ATTA_OUTPUT"
      - echo "no value $S10" >> "$ATTA_OUTPUT"
    outputs: {number: {type: integer}}
    on_exit_code: {INVALID: file}
  - task_type: file
    env_from: [{secrets: [S4]}]
    script: ["printf '%s' \"$S4\" > kept.json"]
    artifacts: {paths: [kept.json]}
"#;

/// Everything that must not be found, in the forms in which it was written.
fn needles() -> Vec<(String, Vec<u8>)> {
    let mut needles = Vec::new();
    for (name, value) in TEN {
        let bare = value.trim_end();
        let upper: String = bare
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
                _ => format!("%{byte:02X}"),
            })
            .collect();
        let json = Value::from(bare).to_string();
        let base64 = STANDARD_NO_PAD.encode(bare);
        let mut texts = vec![
            bare.to_owned(),
            json[1..json.len() - 1].to_owned(),
            base64[..base64.len().min(70)].to_owned(),
            URL_SAFE_NO_PAD.encode(bare),
            upper.to_lowercase(),
            upper,
        ];
        texts.extend(bare.lines().filter(|line| line.len() >= 6).map(str::to_owned));
        needles.extend(texts.into_iter().map(|text| (name.to_owned(), text.into_bytes())));
    }
    needles
}

fn search(place: &str, bytes: &[u8], found: &mut Vec<String>) {
    let mut starts: Vec<Vec<usize>> = vec![Vec::new(); 256];
    for (at, byte) in bytes.iter().enumerate() {
        starts[usize::from(*byte)].push(at);
    }
    for (name, needle) in needles() {
        if starts[usize::from(needle[0])].iter().any(|at| bytes[*at..].starts_with(&needle)) {
            found.push(format!("{name} as {:?} in {place}", String::from_utf8_lossy(&needle)));
        }
    }
}

fn search_tree(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).expect("the directory exists").flatten() {
        let path = entry.path();
        search("a file's name", path.as_os_str().as_encoded_bytes(), found);
        if path.is_dir() {
            search_tree(&path, found);
        } else if let Ok(bytes) = fs::read(&path) {
            search(&path.display().to_string(), &bytes, found);
        }
    }
}

#[test]
fn nothing_is_found_of_a_run_with_ten_secrets() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    // What the server may leave when it crashes is as much as the machine allows.
    let (_, most) = getrlimit(Resource::RLIMIT_CORE).expect("limits can be read");
    setrlimit(Resource::RLIMIT_CORE, most, most).expect("a limit can be raised to what is allowed");
    let directory = TempDir::new().expect("a temporary directory");
    let path = std::env::var_os("PATH").expect("there is a PATH").into_string().expect("it is text");
    let server = LiveServer::start(directory.path(), &path);
    for (name, value) in TEN {
        let set = server.client_with_stdin(&["secret", "set", name], value);
        assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    }
    let file = directory.path().join("ten.yaml");
    fs::write(&file, DEFINITION).expect("the directory is writable");
    let go = directory.path().join("go");
    let go_param = format!("Go={}", go.display());
    let submitted = server.json(&["submit", file.to_str().expect("a path"), "-p", &go_param, "--json"]);
    let job = submitted["job_id"].as_str().expect("a job has an id").to_owned();
    wait_for("the task to run", || (task(&server.job(&job), "leak")["state"] == "RUNNING").then_some(()));
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").expect("there is /proc").flatten() {
        if let Ok(command) = fs::read(process.path().join("cmdline")) {
            search("a command line", &command, &mut found);
        }
    }
    assert_eq!(found, Vec::<String>::new());
    fs::write(&go, "").expect("the directory is writable");
    let ended = server.finished(&job);

    // What is reported says what happened, by the names of secrets.
    let leak = task(&ended, "leak");
    assert_eq!((leak["exit_code"].as_u64(), &leak["outputs"]["plain"]), (Some(3), &Value::from("***")), "{leak:#}");
    assert_eq!(leak["outputs"]["lines"], "***");
    let kept: Vec<&str> =
        leak["artifacts"].as_array().expect("a list").iter().map(|one| one["name"].as_str().expect("a name")).collect();
    assert_eq!(kept, ["fine.txt"]);
    let warnings = leak["attempt_list"][0]["warnings"].to_string();
    for words in [
        "the artifact `name-***.txt` is not kept: its name holds the secret S8",
        "the artifact `content.txt` is not kept: it holds the secret S4",
        "there was a secret in the outputs",
    ] {
        assert!(warnings.contains(words), "{words}: {warnings}");
    }
    let check = task(&ended, "check");
    assert_eq!(check["result"], "INVALID", "{check:#}");
    assert!(check["error"]["message"].as_str().expect("a message").contains("***"), "{check:#}");
    let kept = task(&ended, "file");
    assert_eq!(kept["result"], "INVALID");
    assert_eq!(kept["error"]["message"], "the artifact `kept.json` is not kept: it holds the secret S4");

    let answers: Vec<Output> = [
        vec!["jobs", "show", &job, "--json"],
        vec!["jobs", "--json"],
        vec!["logs", &job],
        vec!["events", &job, "--json"],
        vec!["artifacts", &job, "--json"],
        vec!["secret", "list", "--json"],
        vec!["config", "list", "--json"],
        vec!["config", "get", "S1"],
        vec!["definitions", "show", "ten"],
        vec!["doctor", "--json"],
        vec!["jobs", "command", &job, "1"],
        vec!["jobs", "command", &job, "1", "--json"],
    ]
    .iter()
    .map(|arguments| server.client(arguments))
    .collect();
    let log = String::from_utf8_lossy(&answers[2].stdout).into_owned();
    assert!(log.matches("***").count() > 40, "{log}");
    assert!(log.contains("Bearer ***") || log.contains("leak | ***"), "{log}");
    let command = String::from_utf8_lossy(&answers[10].stdout).into_owned();
    assert!(command.contains("  HEADER=***  (secret)\n") && command.contains("\nscript\nuntil [ -e "), "{command}");
    for answer in &answers {
        search("an answer", &answer.stdout, &mut found);
        search("an answer", &answer.stderr, &mut found);
    }
    search_tree(directory.path(), &mut found);
    assert_eq!(found, Vec::<String>::new());
    let refused = String::from_utf8_lossy(&answers[7].stderr).into_owned();
    assert!(refused.contains("S1 is a secret: its value is never shown again"), "{refused}");

    let status = server.crash();
    assert!(status.signal().is_some() && !status.core_dumped(), "{status}");
    search_tree(directory.path(), &mut found);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn the_example_runs_without_a_server_and_shows_no_secret() {
    let directory = TempDir::new().expect("a temporary directory");
    let key = directory.path().join("key.pem");
    fs::write(&key, KEY).expect("the directory is writable");
    let output = Command::new(atta())
        .arg("run")
        .arg(repository().join("workflows/examples/secrets.yaml"))
        .args(["--json", "--config", "Region=eu-1", "--secret-env", "ApiToken=EXAMPLE_TOKEN", "--secret-file"])
        .arg(format!("DeployKey={}", key.display()))
        .arg("-o")
        .arg(directory.path().join("out"))
        .env("EXAMPLE_TOKEN", "ghp_AbCdEf0123456789plain")
        .output()
        .expect("atta starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let document: Value = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!((output.status.code(), &document["state"]), (Some(0), &Value::from("COMPLETED")), "{document:#}");
    assert_eq!(task(&document, "call")["outputs"]["said"], "Bearer ***");
    assert_eq!(task(&document, "call")["artifacts"][0]["name"], "lines.txt");
    let mut found = Vec::new();
    search("stdout", &output.stdout, &mut found);
    search("stderr", &output.stderr, &mut found);
    search_tree(&directory.path().join("out"), &mut found);
    assert_eq!(found, Vec::<String>::new());
    let log = fs::read_to_string(directory.path().join("out/call.log")).expect("there is a log");
    assert!(log.contains("region eu-1\nBearer ***\nQmVhcmVyI") && log.contains("***\n"), "{log}");
}

#[test]
fn what_is_not_set_is_said_before_anything_runs() {
    let output = Command::new(atta())
        .arg("run")
        .arg(repository().join("workflows/examples/secrets.yaml"))
        .args(["--config", "Region=eu-1"])
        .output()
        .expect("atta starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("there is no secret ApiToken, which line ") && said.contains("DeployKey"), "{said}");
    let output = Command::new(atta())
        .arg("run")
        .arg(repository().join("workflows/examples/secrets.yaml"))
        .args(["--secret-env", "ApiToken=NOT_SET_ANYWHERE"])
        .output()
        .expect("atta starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("environment variable NOT_SET_ANYWHERE, which is not set"), "{said}");
}

const ONE: &str = r#"
job_type: one
tasks:
  - task_type: use
    environment: {T: "{{ secrets.Token }}"}
    script: ["test -n \"$T\""]
"#;

#[test]
fn without_its_key_a_server_serves_and_tasks_with_secrets_fail_by_name() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = std::env::var_os("PATH").expect("there is a PATH").into_string().expect("it is text");
    let file = directory.path().join("one.yaml");
    fs::write(&file, ONE).expect("the directory is writable");
    let file = file.to_str().expect("a path");
    let server = LiveServer::start(directory.path(), &path);
    let refused = server.client(&["submit", file]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("there is no secret Token, which line 5 needs"), "{said}");
    assert!(server.client_with_stdin(&["secret", "set", "Token"], "correct-horse").status.success());
    let ended = |server: &LiveServer| {
        let submitted = server.json(&["submit", "one", "--json"]);
        server.finished(submitted["job_id"].as_str().expect("a job has an id"))
    };
    assert_eq!(ended(&server)["state"], "COMPLETED");
    server.stop();
    let key = directory.path().join("data/secrets.key");
    let kept = directory.path().join("kept.key");
    fs::rename(&key, &kept).expect("the key is there");

    let server = LiveServer::start(directory.path(), &path);
    let job = ended(&server);
    let error = task(&job, "use")["error"]["message"].as_str().expect("a message").to_owned();
    assert_eq!((&job["state"], &task(&job, "use")["result"]), (&Value::from("FAILED"), &Value::from("INVALID")));
    assert!(
        error.starts_with("environment.T: the secret Token cannot be opened: the key file ")
            && error.contains("is gone"),
        "{error}"
    );
    let doctor = server.client(&["doctor"]);
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("put it back from your copy"), "{doctor:?}");
    server.stop();
    assert!(!key.exists(), "nothing was made in its place");
    fs::rename(&kept, &key).expect("the key is there");
    let server = LiveServer::start(directory.path(), &path);
    assert_eq!(ended(&server)["state"], "COMPLETED");
    server.stop();
}

#[test]
fn configs_and_secrets_are_set_and_removed_by_command() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = std::env::var_os("PATH").expect("there is a PATH").into_string().expect("it is text");
    let server = LiveServer::start(directory.path(), &path);
    let said = |output: &Output| {
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    assert!(server.client(&["config", "set", "Region", "eu-1"]).status.success());
    assert!(
        server.client(&["config", "set", "Limits", "[1, 2]", "--as-json", "--definition", "build"]).status.success()
    );
    assert_eq!(said(&server.client(&["config", "get", "Region"])), "eu-1\n");
    assert_eq!(said(&server.client(&["config", "get", "Limits", "--definition", "build"])), "[1,2]\n");
    let short = server.client_with_stdin(&["secret", "set", "Pin"], "1234\n");
    assert!(!short.status.success() && said(&short).contains("fewer than 6 characters"), "{}", said(&short));
    assert!(server.client_with_stdin(&["secret", "set", "Pin", "--allow-short"], "1234\n").status.success());
    let listed = said(&server.client(&["config"]));
    assert!(listed.contains("Region") && listed.contains("(secret)") && !listed.contains("1234"), "{listed}");
    assert!(!said(&server.client(&["secret"])).contains("Region"));
    let rotated = said(&server.client(&["secret", "rotate-key"]));
    assert!(rotated.starts_with("1 secret(s) are encrypted with the new key "), "{rotated}");
    assert!(server.client(&["secret", "rm", "Pin"]).status.success());
    let gone = server.client(&["secret", "rm", "Pin"]);
    assert_eq!(gone.status.code(), Some(4), "{}", said(&gone));
    let quote = server.client(&["config", "set", "it's", "x"]);
    assert!(said(&quote).contains("cannot be the name of a config"), "{}", said(&quote));
    let doctor = said(&server.client(&["doctor"]));
    assert!(doctor.contains("0 stored, 1 key(s)"), "{doctor}");
    server.stop();
}

const PLACES: &str = r#"
job_type: places
description: "pin {{ tasks.leak.outputs.pin | default('none') }}"
tasks:
  - task_type: leak
    environment: {PIN: "{{ secrets.Pin }}", KEY: "{{ secrets.Key }}", URL: "{{ secrets.Url }}"}
    script:
      - echo "the pin is $PIN, not $PIN$PIN"
      - printf 'in two %s' "${PIN:0:1}"; sleep 0.1; echo "${PIN:1}"
      - printf '%s' "$KEY" | head -n 2
      - 'echo "https://user:$URL@example.org/?token=$URL"'
      - echo "pin=$PIN" >> "$ATTA_OUTPUT"
      - 'echo "url=https://user:$URL@example.org/" >> "$ATTA_OUTPUT"'
      - 'echo x > "got-$PIN.txt"; echo "$URL" > "got.txt"'
      - 'echo "::set-output name=said::$URL"'
      - exit 1
    outputs: [pin, url, said]
    artifacts: {paths: ["got*"]}
    on_exit_code: {1: show}
  - task_type: show
    environment: {URL: "{{ tasks.leak.outputs.url }}"}
    script: ['echo "it was $URL"', 'no-such-program "{{ tasks.leak.outputs.pin }}"']
"#;

#[test]
fn short_and_split_secrets_stand_in_no_description_output_name_or_url() {
    const PIN: &str = "q7#";
    const URL: &str = "tok/en+with=signs";
    let directory = TempDir::new().expect("a temporary directory");
    let path = std::env::var_os("PATH").expect("there is a PATH").into_string().expect("it is text");
    let server = LiveServer::start(directory.path(), &path);
    assert!(server.client_with_stdin(&["secret", "set", "Pin", "--allow-short"], PIN).status.success());
    assert!(server.client_with_stdin(&["secret", "set", "Key"], KEY).status.success());
    assert!(server.client_with_stdin(&["secret", "set", "Url"], URL).status.success());
    let file = directory.path().join("places.yaml");
    fs::write(&file, PLACES).expect("the directory is writable");
    let submitted = server.json(&["submit", file.to_str().expect("a path"), "--json"]);
    let id = submitted["job_id"].as_str().expect("a job has an id").to_owned();
    let ended = server.finished(&id);
    let leak = task(&ended, "leak");
    assert_eq!(leak["outputs"]["pin"], "***", "{leak:#}");
    assert_eq!(leak["outputs"]["url"], "https://user:***@example.org/");
    assert_eq!(leak["outputs"]["said"], "***");
    assert_eq!(ended["description"], "pin ***");
    assert_eq!(leak["artifacts"], Value::Array(Vec::new()), "{leak:#}");
    let log = String::from_utf8_lossy(&server.client(&["logs", &id]).stdout).into_owned();
    for words in
        ["the pin is ***, not ", "in two ***", "https://user:***@example.org/?token=***", "it was https://user:***@"]
    {
        assert!(log.contains(words), "{words:?} is not in {log}");
    }
    assert!(!log.contains("MIIBOg"), "{log}");
    for arguments in [&["jobs", "show", &id, "--json"][..], &["events", &id, "--json"], &["artifacts", &id, "--json"]] {
        let said = String::from_utf8_lossy(&server.client(arguments).stdout).into_owned();
        assert!(!said.contains(PIN) && !said.contains(URL) && !said.contains("MIIBOg"), "{arguments:?}: {said}");
    }
    server.stop();
}
