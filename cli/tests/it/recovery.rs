//! `kill -9` of the server in the middle of jobs.

use std::fs;

use crate::live_server::{LiveServer, wait_for};
use crate::scratch::{Scratch, task};

const YAML: &str = r#"
job_type: survivor
params: {Side: {type: string}, Gate: {type: string}}
defaults: {shell: [sh, -eu]}
environment: {SIDE: "{{ Side }}", GATE: "{{ Gate }}"}
tasks:
  - task_type: first
    script: ['echo first >>"$SIDE"', 'echo "made=by-first" >>"$ATTA_OUTPUT"', 'echo kept >file']
    outputs: [made]
    artifacts: {paths: [file]}
  - task_type: second
    dependencies: [first]
    script:
      - echo "second $$" >>"$SIDE"
      - 'while [ ! -e "$GATE" ]; do sleep 0.05; done'
      - '[ "$(cat file)" = kept ]'
      - echo "still $$" >>"$SIDE"
  - task_type: third
    dependencies: [second]
    script: ['echo "third {{ tasks.first.outputs.made }}" >>"$SIDE"']
  - task_type: cleanup
    always_run: true
    script: ['echo cleanup >>"$SIDE"']
"#;

#[test]
fn a_killed_server_goes_on_where_it_was() {
    let scratch = Scratch::new();
    let path = std::env::var_os("PATH").unwrap_or_default().to_string_lossy().into_owned();
    let file = scratch.write("job.yaml", YAML);
    let gate = format!("Gate={}", scratch.path("gate").display());
    let mut server = LiveServer::start(scratch.root(), &path);
    let jobs: Vec<String> = (0..2)
        .map(|number| {
            let side = format!("Side={}", scratch.path(&format!("side{number}")).display());
            let answer = server.json(&["submit", &file, "-p", &side, "-p", &gate, "--json"]);
            answer["job_id"].as_str().expect("an id").to_owned()
        })
        .collect();
    let side = |number: usize| scratch.read(&format!("side{number}"));
    wait_for("the second task to run in both jobs", || (0..2).all(|job| side(job).contains("second")).then_some(()));
    for _ in 0..3 {
        server.kill();
        server = LiveServer::start(scratch.root(), &path);
        for job in &jobs {
            assert_eq!(task(&server.job(job), "second")["state"], "RUNNING");
        }
    }
    fs::write(scratch.path("gate"), "").expect("the directory is writable");
    for (number, id) in jobs.iter().enumerate() {
        let job = server.finished(id);
        assert_eq!(job["state"], "COMPLETED", "{job:#}");
        let side = side(number);
        let count = |word: &str| side.lines().filter(|line| *line == word).count();
        let pids: Vec<&str> =
            side.lines().filter_map(|line| line.strip_prefix("second ").or(line.strip_prefix("still "))).collect();
        assert!(
            matches!(pids[..], [began, ended] if began == ended),
            "one process from its beginning to its end: {side}"
        );
        assert_eq!((count("first"), count("third by-first"), count("cleanup")), (1, 1, 1), "{side}");
        assert!(side.ends_with("third by-first\ncleanup\n"), "{side}");
        assert_eq!(task(&job, "second")["attempts"], 1, "{job:#}");
    }
    server.stop();
    let left: Vec<_> = fs::read_dir(scratch.path("data/ant/attempts")).into_iter().flatten().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}
