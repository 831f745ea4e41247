//! How the examples end that need nothing but `atta run`: their state, each task with its result, visits, attempts, route
//! and outputs. `shipped_ends.txt` says it; `UPDATE_GENERATED=1` writes it anew, to be read before it is committed.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::live_server::{atta, repository};

/// These need a server, somebody who answers, secrets or a repository: other tests run them and say how they end.
const ELSEWHERE: &[&str] = &[
    "agent",
    "agent-accounts",
    "agent-context",
    "agent-issue",
    "agent-limits",
    "agent-session",
    "agent-vote",
    "approval",
    "approval-roles",
    "budget",
    "github-activity",
    "github-app",
    "github-branch",
    "github-comment",
    "github-follow",
    "github-issues",
    "github-labels",
    "github-pull-request",
    "github-search",
    "http-form",
    "http-get",
    "http-post",
    "http-put",
    "http-redirects",
    "http-tls",
    "notify",
    "on-job",
    "results",
    "resume",
    "secrets",
    "webhook",
    "webhook-wake",
    "workspace-git",
];

/// What has to be brought along or given.
const WITH: &[(&str, &[&str])] = &[
    ("await", &["--with", "fork-child.yaml"]),
    ("fan-out-forks", &["--with", "fan-out-forks-page.yaml", "--with", "fork-child.yaml"]),
    ("fan-out-forks-page", &["--with", "fork-child.yaml", "-p", "Text=one two"]),
    ("fork", &["--with", "fork-child.yaml"]),
    ("on-job-source", &["--with", "on-job.yaml"]),
    ("params", &["-p", "Who=Ada", "-p", "Dry=true"]),
    ("submit-jobs", &["--with", "submit-jobs-item.yaml"]),
    ("submit-jobs-item", &["-p", "Number=7"]),
];

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

/// Ids differ from run to run.
fn masked(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = ["job_", "wkr_", "sha256:"].iter().filter_map(|id| rest.find(id).map(|at| at + id.len())).min()
    {
        let (head, tail) = rest.split_at(at);
        let end = tail.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tail.len());
        out.push_str(head);
        out.push_str(if end >= 8 { "…" } else { &tail[..end] });
        rest = &tail[end..];
    }
    out + rest
}

fn end_of(name: &str) -> String {
    let examples = repository().join("workflows/examples");
    let extra = WITH.iter().find(|(with, _)| *with == name).map_or(&[][..], |(_, arguments)| arguments);
    let output = Command::new(atta())
        .args(["run", "--json"])
        .arg(format!("{name}.yaml"))
        .args(extra)
        .current_dir(&examples)
        .env_remove("EXAMPLE_USER")
        .output()
        .expect("atta starts");
    let document: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{name}: {error}: {}", String::from_utf8_lossy(&output.stderr)));
    let error = document["error_code"].as_str().map(|code| format!(" {code}")).unwrap_or_default();
    let code = output.status.code().expect("atta exits");
    let mut text = format!("{name}: {}{error}, exit {code}\n", word(&document["state"]));
    let mut lines: Vec<String> = document["tasks"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|task| {
            let about = ["task_type", "state", "result", "visits", "attempts", "route"].map(|key| word(&task[key]));
            let outputs = match &task["outputs"] {
                Value::Object(outputs) if !outputs.is_empty() => format!(" {}", masked(&task["outputs"].to_string())),
                _ => String::new(),
            };
            format!("  {}{outputs}\n", about.join(" "))
        })
        .collect();
    lines.sort();
    text.extend(lines);
    let mut others: Vec<String> = document["jobs"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|job| format!("  and {} {}\n", word(&job["job_type"]), word(&job["state"])))
        .collect();
    others.sort();
    text.extend(others);
    text
}

#[test]
fn every_example_ends_as_it_is_written_down() {
    let mut names: Vec<String> = fs::read_dir(repository().join("workflows/examples"))
        .expect("the directory exists")
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".yaml")?.to_owned()))
        .collect();
    names.sort();
    for elsewhere in ELSEWHERE {
        assert!(names.iter().any(|name| name == elsewhere), "{elsewhere} is no example");
    }
    names.retain(|name| !ELSEWHERE.contains(&name.as_str()));
    let next = std::sync::Mutex::new(names.iter());
    let found = std::sync::Mutex::new(std::collections::BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(name) = next.lock().expect("nobody panics").next() else { return };
                    let end = end_of(name);
                    found.lock().expect("nobody panics").insert(name.clone(), end);
                }
            });
        }
    });
    let mut text = String::new();
    for end in found.into_inner().expect("nobody panicked").values() {
        let _ = write!(text, "{end}");
    }
    let file = repository().join("cli/tests/it/shipped_ends.txt");
    #[expect(clippy::disallowed_methods, reason = "a switch for whoever runs the tests")]
    let update = std::env::var("UPDATE_GENERATED");
    if update.is_ok_and(|value| value == "1") {
        fs::write(&file, &text).expect("the directory is writable");
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    for (is, was) in text.lines().zip(written.lines()) {
        assert_eq!(is, was, "an example ends otherwise than shipped_ends.txt says");
    }
    assert_eq!(text.lines().count(), written.lines().count(), "shipped_ends.txt says how all examples end");
}
