//! Kills and stops what Atta is made of, at random, while jobs run; each command has to run exactly once per attempt
//! that the record shows, and nothing may stay behind.
//!
//! `CHAOS_SEED` and `CHAOS_KILLS` choose another run; `make chaos` sets them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::dice::Dice;
use crate::live_server::{LiveServer, processes_of, wait_for};
use crate::scratch::Scratch;

/// Every command writes its attempt and process id when it begins and when it ends, and counts to 40 on stdout.
const YAML: &str = r#"
job_type: chaos
params: {Side: {type: string}, Seed: {type: integer, default: 0}}
defaults: {shell: [sh, -eu], retry: 50, delay_between_retries: 50ms}
environment: {SIDE: "{{ Side }}", SEED: "{{ Seed }}"}
tasks:
  - task_type: make
    script: &count
      - 'id=${TASK_DIR%/*}; id=${id##*/}; echo "$id begin $$" >>"$SIDE"'
      - 'n=0; while [ $n -lt 40 ]; do n=$((n+1)); echo "line $n"; sleep 0.0$(( (SEED + n) % 4 )); done'
      - 'echo "made by $id" >made; echo "maker=$id" >>"$ATTA_OUTPUT"'
      - 'echo "$id end $$" >>"$SIDE"'
    outputs: [maker]
    artifacts: {paths: [made]}
  - task_type: many
    dependencies: [make]
    fan_out: {items: "[0, 1, 2]", max_parallel: 2}
    script: *count
  - task_type: check
    dependencies: [make, many]
    script:
      - 'id=${TASK_DIR%/*}; id=${id##*/}; echo "$id begin $$" >>"$SIDE"'
      - '[ "$(cat made)" = "made by {{ tasks.make.outputs.maker }}" ]'
      - 'n=0; while [ $n -lt 40 ]; do n=$((n+1)); echo "line $n"; done'
      - 'echo "$id end $$" >>"$SIDE"; exit 3'
    on_exit_code: {3: COMPLETED}
    after_script: ['echo "after"']
  - task_type: cleanup
    always_run: true
    script: ['echo cleanup >>"$SIDE.cleanup"']
"#;

/// Processes of the test's servers and ants with this name, in the order of their ids.
fn named(root: &Path, name: &str) -> Vec<Pid> {
    let mut found: Vec<i32> = processes_of(root)
        .iter()
        .filter_map(|line| line.split(' ').next()?.parse().ok())
        .filter(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name))
        .collect();
    found.sort_unstable();
    found.into_iter().map(Pid::from_raw).collect()
}

fn one_of(root: &Path, name: &str, dice: &mut Dice) -> Option<Pid> {
    let all = named(root, name);
    let count = u64::try_from(all.len()).expect("it fits");
    (count > 0).then(|| all[usize::try_from(dice.below(count)).expect("it fits")])
}

/// Does one bad thing; returns its name.
fn disturb(root: &Path, path: &str, server: &mut Option<LiveServer>, dice: &mut Dice) -> &'static str {
    match dice.below(10) {
        0..=3 => {
            server.take().expect("a server runs").kill();
            std::thread::sleep(Duration::from_millis(dice.below(300)));
            *server = Some(LiveServer::start(root, path));
            "kill -9 of the server"
        }
        4..=5 => {
            // It may be gone by itself meanwhile.
            if let Some(pid) = one_of(root, "atta-shim", dice) {
                let _ = kill(pid, Signal::SIGKILL);
            }
            "kill -9 of a shim"
        }
        6 => {
            let pid = one_of(root, "atta-shim", dice);
            if let Some(pid) = pid {
                let _ = kill(pid, Signal::SIGSTOP);
            }
            server.take().expect("a server runs").kill();
            *server = Some(LiveServer::start(root, path));
            if let Some(pid) = pid {
                let _ = kill(pid, Signal::SIGCONT);
            }
            "a shim stopped while the server is killed"
        }
        7..=8 => {
            let pid = server.as_ref().expect("a server runs").pid();
            let _ = kill(pid, Signal::SIGSTOP);
            std::thread::sleep(Duration::from_millis(100 + dice.below(900)));
            let _ = kill(pid, Signal::SIGCONT);
            "the server stopped for a while"
        }
        _ => {
            if let Some(pid) = one_of(root, "atta-launcher", dice) {
                let _ = kill(pid, Signal::SIGKILL);
            }
            // A server without its launcher ends by itself, with the reason.
            server.take().expect("a server runs").kill();
            *server = Some(LiveServer::start(root, path));
            "kill -9 of the launcher and the server"
        }
    }
}

/// What the commands say of themselves: attempt → (begins, ends).
fn said(side: &str) -> BTreeMap<String, (Vec<String>, Vec<String>)> {
    let mut said: BTreeMap<String, (Vec<String>, Vec<String>)> = BTreeMap::new();
    for line in side.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [attempt, word, pid] = words[..] else { panic!("{line:?} in {side}") };
        let entry = said.entry(attempt.to_owned()).or_default();
        if word == "begin" { entry.0.push(pid.to_owned()) } else { entry.1.push(pid.to_owned()) }
    }
    said
}

fn attempts_of(job: &Value) -> Vec<&Value> {
    let tasks = job["tasks"].as_array().expect("a job has tasks");
    tasks
        .iter()
        .filter(|task| task["task_type"] != "cleanup")
        .flat_map(|task| task["attempt_list"].as_array().into_iter().flatten())
        .collect()
}

fn check_job(server: &LiveServer, job: &Value, side: &str, cleanups: usize) {
    assert_eq!(job["state"], "COMPLETED", "{job:#}");
    assert_eq!(cleanups, 1, "cleanup runs once: {job:#}");
    let mut said = said(side);
    let count = (1..=40).fold(String::new(), |text, n| text + &format!("line {n}\n"));
    for attempt in attempts_of(job) {
        let number = attempt["number"].to_string();
        let id = format!("{}-{number}", job["job_id"].as_str().expect("a job has an id"));
        let (begins, ends) = said.remove(&id).unwrap_or_default();
        if attempt["result"] == "LOST" {
            // Its shim was killed, before or after the command began.
            assert!(begins.len() <= 1, "{id} began {begins:?}");
            continue;
        }
        assert_eq!((begins.len(), ends.len()), (1, 1), "{attempt:#}");
        assert_eq!(begins, ends, "{id}: it is the same process from its beginning to its end");
        let log = server.client(&[
            "logs",
            job["job_id"].as_str().expect("an id"),
            "--attempt",
            &number,
            "--stream",
            "stdout",
        ]);
        let log = String::from_utf8_lossy(&log.stdout).into_owned();
        let log = log.strip_suffix("after\n").unwrap_or(&log);
        assert_eq!(log, count, "the log of {id} is whole");
    }
    assert!(said.is_empty(), "commands ran that the record does not show: {said:?}");
}

#[test]
fn whatever_is_killed_each_command_runs_once_per_attempt_and_nothing_stays_behind() {
    #[expect(clippy::disallowed_methods, reason = "switches for whoever runs the test")]
    let number =
        |name: &str, default: u64| std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"));
    let (seed, kills) = (number("CHAOS_SEED", 1), number("CHAOS_KILLS", 12));
    eprintln!("CHAOS_SEED={seed} CHAOS_KILLS={kills}");
    let mut dice = Dice(seed);
    let scratch = Scratch::new();
    let path = std::env::var_os("PATH").unwrap_or_default().to_string_lossy().into_owned();
    let file = scratch.write("chaos.yaml", YAML);
    let mut server = Some(LiveServer::start(scratch.root(), &path));
    let live =
        |server: &Option<LiveServer>, arguments: &[&str]| server.as_ref().expect("a server runs").json(arguments);
    let mut jobs: Vec<(String, String)> = Vec::new();
    let mut done = 0;
    while done < kills {
        let open = live(&server, &["jobs", "--state", "PENDING", "--state", "RUNNING", "--state", "WAITING", "--json"]);
        let open = open["items"].as_array().or_else(|| open.as_array()).map_or(0, Vec::len);
        for _ in open..3 {
            let side = scratch.path(&format!("side{}", jobs.len())).display().to_string();
            let arguments =
                ["submit", &file, "-p", &format!("Side={side}"), "-p", &format!("Seed={}", jobs.len()), "--json"];
            let answer = live(&server, &arguments);
            jobs.push((answer["job_id"].as_str().expect("an id").to_owned(), format!("side{}", jobs.len())));
        }
        std::thread::sleep(Duration::from_millis(dice.below(400)));
        let what = disturb(scratch.root(), &path, &mut server, &mut dice);
        eprintln!("{done}: {what}");
        done += 1;
    }
    let server = server.expect("a server runs");
    for (id, side) in &jobs {
        let job = server.finished(id);
        let cleanups = scratch.read(&format!("{side}.cleanup")).lines().count();
        check_job(&server, &job, &scratch.read(side), cleanups);
    }
    wait_for("all shims to end", || named(scratch.root(), "atta-shim").is_empty().then_some(()));
    server.stop();
    wait_for("all processes to end", || processes_of(scratch.root()).is_empty().then_some(()));
    let left: Vec<_> = fs::read_dir(scratch.path("data/ant/attempts")).into_iter().flatten().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}
