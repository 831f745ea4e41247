//! Hostile values and hostile scripts, through the whole program.

use std::fs;

use serde_json::{Value, json};

use crate::scratch::{Scratch, task};

const TITLE: &str = "$(touch pwned)`touch pwned`\"'{{7*7}}; touch pwned #\\";

#[test]
fn a_hostile_title_arrives_as_it_is_in_every_context() {
    for shell in ["sh, -eu", "bash, -euo, pipefail"] {
        let scratch = Scratch::new();
        let yaml = r#"
job_type: quoting
params: {Title: {type: string, required: true}}
defaults: {shell: [SHELL]}
tasks:
  - task_type: print
    script:
      - printf '%s' {{ Title }} >bare
      - printf '%s' "<{{ Title }}>" >double
      - printf '%s' '<{{ Title }}>' >single
      - |
        cat >here <<EOF
        <{{ Title }}>
        EOF
      - printf '%s' "$TITLE" >environment
      - test ! -e pwned
    environment: {TITLE: "{{ Title }}"}
    artifacts: {paths: [bare, double, single, here, environment]}
"#
        .replace("SHELL", shell);
        let file = scratch.write("job.yaml", yaml);
        let done = scratch.atta(&["run", &file, "-o", "out", "-p", &format!("Title={TITLE}")]);
        assert_eq!(done.code, 0, "{done:#?}");
        for (name, expected) in [
            ("bare", TITLE.to_owned()),
            ("double", format!("<{TITLE}>")),
            ("single", format!("<{TITLE}>")),
            ("here", format!("<{TITLE}>\n")),
            ("environment", TITLE.to_owned()),
        ] {
            assert_eq!(scratch.read(&format!("out/print/{name}")), expected, "{shell}: {name}");
        }
        let found: Vec<_> = walk(scratch.root()).into_iter().filter(|path| path.contains("pwned")).collect();
        assert!(found.is_empty(), "{found:?}");
    }
}

fn walk(dir: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        found.push(entry.file_name().to_string_lossy().into_owned());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(walk(&entry.path()));
        }
    }
    found
}

/// Runs one task; the scratch directory asserts that nothing of it is left.
fn run_script(script: &str, more: &str) -> (i32, Value) {
    let scratch = Scratch::new();
    let yaml = format!(
        "job_type: hostile\ntasks:\n  - task_type: it\n    shell: [bash, -eu]\n    timeout: 30s\n    kill_grace: 500ms\n{more}    script:\n      - |\n        {}\n",
        script.replace('\n', "\n        ")
    );
    scratch.job(&yaml, &[])
}

#[test]
fn a_daemon_that_a_script_leaves_behind_is_killed() {
    let (code, job) =
        run_script("setsid sh -c 'sleep 300' & disown\n(setsid nohup sleep 301 >/dev/null 2>&1 &)\necho done", "");
    assert_eq!(code, 0, "{job:#}");
}

#[test]
fn a_script_that_ignores_term_is_killed_after_its_grace() {
    let (code, job) = run_script("trap '' TERM\nsleep 300 &\nwhile :; do sleep 1; done", "    idle_timeout: 300ms\n");
    assert_eq!((code, task(&job, "it")["result"].as_str()), (1, Some("IDLE_TIMED_OUT")), "{job:#}");
}

#[test]
fn exit_codes_above_128_are_codes_and_signals_are_signals() {
    let (code, job) = run_script("exit 137", "");
    assert_eq!((code, &task(&job, "it")["exit_code"], &task(&job, "it")["result"]), (1, &json!(137), &json!("FAILED")));
    let (code, job) = run_script("kill -SEGV $$", "");
    assert_eq!(
        (code, &task(&job, "it")["exit_code"], &task(&job, "it")["result"]),
        (1, &Value::Null, &json!("KILLED"))
    );
    assert!(job["error"].as_str().is_some_and(|error| error.contains("SEGV") || error.contains("11")), "{job:#}");
}

#[test]
fn much_output_and_bytes_that_are_no_text_are_kept_as_they_are() {
    let scratch = Scratch::new();
    let file = scratch.write(
        "job.yaml",
        "job_type: loud\ndefaults: {shell: [sh, -eu]}\ntasks:\n  - {task_type: loud, script: [\"head -c 50000000 /dev/zero | tr '\\\\0' x\"]}\n  - {task_type: odd, dependencies: [], script: [\"printf 'a\\\\377\\\\376b'\"]}\n",
    );
    let done = scratch.atta(&["run", &file, "--json", "-o", "out"]);
    assert_eq!(done.code, 0, "{done:#?}");
    let loud = fs::read(scratch.path("out/loud.log")).expect("a log");
    assert!(loud.len() == 50_000_000 && loud.iter().all(|byte| *byte == b'x'), "{} bytes", loud.len());
    assert_eq!(fs::read(scratch.path("out/odd.log")).expect("a log"), b"a\xff\xfeb");
}

#[test]
fn a_script_that_closes_its_output_ends_when_it_ends() {
    let (code, job) = run_script("exec >&- 2>&-\nsleep 0.3\nexit 4", "");
    assert_eq!((code, &task(&job, "it")["exit_code"]), (1, &json!(4)), "{job:#}");
}

#[test]
fn artifacts_cannot_lead_out_of_the_task_directory() {
    let secret = "secret-content";
    let scratch = Scratch::new();
    scratch.write("secret", secret);
    let yaml = format!(
        "job_type: leaky\ndefaults: {{shell: [sh, -eu]}}\ntasks:\n  - task_type: it\n    script: ['ln -s {0}/secret link', 'ln -s {0} dir', 'echo ok >fine', 'mkfifo pipe']\n    artifacts: {{paths: ['*', 'dir/secret', '**/*']}}\n",
        scratch.root().display()
    );
    let file = scratch.write("job.yaml", yaml);
    let done = scratch.atta(&["run", &file, "--json", "-o", "out"]);
    let job = done.json();
    let names: Vec<&str> = task(&job, "it")["artifacts"]
        .as_array()
        .expect("artifacts")
        .iter()
        .filter_map(|artifact| artifact["name"].as_str())
        .collect();
    assert!(names.iter().all(|name| *name == "fine"), "{job:#}");
    assert!(!walk(&scratch.path("out")).iter().any(|name| name == "secret"), "{job:#}");

    for path in ["../x", "/etc/passwd", "a/../../x"] {
        let file = scratch.write(
            "bad.yaml",
            format!("job_type: x\ntasks:\n  - {{task_type: a, script: [echo], artifacts: {{paths: ['{path}']}}}}\n"),
        );
        scratch.atta(&["run", &file]).says(2, &[path]);
    }
}

#[test]
fn a_declared_artifact_that_is_missing_is_a_result_and_a_glob_without_match_is_none() {
    let (code, job) = run_script("echo ok", "    artifacts: {paths: [report.txt]}\n");
    assert_eq!((code, task(&job, "it")["result"].as_str()), (1, Some("INVALID")), "{job:#}");
    assert!(job["error"].as_str().is_some_and(|error| error.contains("report.txt")), "{job:#}");
    let (code, job) = run_script("echo ok", "    artifacts: {paths: ['*.txt']}\n");
    assert_eq!(code, 0, "{job:#}");
}

#[test]
fn the_environment_of_the_caller_is_not_inherited() {
    let scratch = Scratch::new();
    let file = scratch
        .write("job.yaml", "job_type: env\ndefaults: {shell: [sh, -eu]}\ntasks:\n  - {task_type: it, script: [env]}\n");
    let output =
        scratch.command(&["run", &file, "-o", "out"]).env("SECRET_TOKEN", "hunter2").output().expect("atta starts");
    assert!(output.status.success(), "{output:?}");
    let log = scratch.read("out/it.log");
    assert!(!log.contains("hunter2") && log.contains("PATH=") && log.contains("TASK_DIR="), "{log}");
}
