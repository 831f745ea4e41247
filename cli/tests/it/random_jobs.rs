//! 200 random jobs, twice: undisturbed, and while the server is killed again and again. Both must come to the same.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use crate::dice::Dice;
use crate::live_server::{LiveServer, wait_for};
use crate::scratch::Scratch;

const JOBS: u64 = 200;
const DEFINITIONS: u64 = 40;
const KILLS: usize = 12;

/// A definition made of a few segments, each after the one before.
fn definition(number: u64) -> String {
    let mut dice = Dice(number);
    let mut yaml = format!(
        "job_type: random-{number}\nresume_after: 200ms\ndefaults: {{shell: [sh, -eu], delay_between_retries: 50ms}}\ntasks:\n"
    );
    let mut before = String::new();
    for segment in 0..2 + dice.below(4) {
        let name = format!("s{segment}");
        let after = if before.is_empty() { "[]".to_owned() } else { format!("[{before}]") };
        before.clone_from(&name);
        let task = |rest: &str| format!("  - task_type: {name}\n    dependencies: {after}\n{rest}\n");
        let text = match dice.below(12) {
            0 => task("    script: [\"sleep 0.1\"]"),
            1 => task("    retry: 2\n    script: [\"sleep 0.05; [ {{ TaskAttempt }} -ge 2 ]\"]"),
            2 => task(
                "    script: [\"[ {{ TaskAttempt }} -ge 3 ] || exit 75\"]\n    on_exit_code: {75: {reschedule: 100ms}}",
            ),
            3 => task("    script: [\"[ {{ TaskAttempt }} -ge 2 ] || exit 9\"]\n    on_exit_code: {9: PAUSE_JOB}"),
            4 => task(
                "    fan_out: {items: \"[1, 2, 3, 4, 5]\", max_parallel: 2}\n    script: [\"sleep 0.05; [ {{ item }} != 9 ]\"]",
            ),
            5 => task(
                "    allow_failure: true\n    fan_out: {items: \"[1, 2, 3]\"}\n    retry: 1\n    script: [\"[ {{ item }} -lt 3 ] || exit 4\"]",
            ),
            6 => task("    approval: {message: approve}"),
            7 => task("    allow_failure: true\n    approval: {message: reject}"),
            8 => task("    sub_workflow: {job_type: leaf, params: {Code: \"0\"}}"),
            9 => task("    allow_failure: true\n    sub_workflow: {job_type: leaf, params: {Code: \"5\"}}"),
            10 => task("    submit: {job_type: leaf, items: [\"0\", \"0\", \"7\"], params: {Code: \"{{ item }}\"}}"),
            _ => {
                let mut text = format!("  - task_type: {name}\n    dependencies: {after}\n    max_visits: 4\n");
                let _ = writeln!(text, "    script: [\"[ {{{{ TaskVisit }}}} -ge 3 ] || exit 3\"]");
                let _ = writeln!(text, "    on_exit_code: {{3: {name}-fix}}");
                let _ = writeln!(text, "  - task_type: {name}-fix\n    script: [\"true\"]\n    on_completed: {name}");
                text
            }
        };
        yaml.push_str(&text);
    }
    if dice.below(4) == 0 {
        let _ = writeln!(yaml, "  - task_type: broken\n    dependencies: [{before}]\n    script: [\"exit 1\"]");
    }
    yaml.push_str("  - task_type: cleanup\n    always_run: true\n    script: [\"true\"]\n");
    yaml
}

const LEAF: &str = "job_type: leaf\nrequired_params: [Code]\ntasks:\n  - task_type: only\n    shell: [sh, -eu]\n    script: [\"sleep 0.05; exit {{ Code }}\"]\n";

/// What a job came to: its state, and each task's state, result, visits and route.
fn outcome(job: &Value) -> String {
    let mut lines = vec![format!("{}", job["state"])];
    for task in job["tasks"].as_array().expect("a job has tasks") {
        let values = ["task_type", "state", "result", "exit_code", "visits", "route"].map(|key| task[key].to_string());
        lines.push(values.join(" "));
        // A result that counts is never made a second time.
        let mut finished: BTreeMap<String, u32> = BTreeMap::new();
        for attempt in task["attempt_list"].as_array().into_iter().flatten() {
            if attempt["result"] == "COMPLETED" {
                let key = format!("{} {} {}", attempt["job_attempt"], attempt["visit"], attempt["instance"]);
                *finished.entry(key).or_default() += 1;
            }
        }
        assert!(finished.values().all(|count| *count == 1), "{finished:?} in {task:#}");
    }
    lines.join("\n")
}

/// Votes for and against what is asked, by the message of each approval.
fn vote(server: &LiveServer) {
    let open = server.client(&["approvals", "--json"]);
    let Ok(open) = serde_json::from_slice::<Value>(&open.stdout) else { return };
    for approval in open["items"].as_array().or_else(|| open.as_array()).into_iter().flatten() {
        let (Some(job), Some(task)) = (approval["job_id"].as_str(), approval["task"].as_str()) else { continue };
        let word = if approval["message"] == "reject" { "reject" } else { "approve" };
        // The server may be killed, or have heard of this vote already.
        server.client(&[word, job, task, "--comment", "as the test wants it", "--as", "tester"]);
    }
}

/// Runs all jobs to their ends; returns the outcome of each and how many jobs there are of each definition.
fn run(kills: usize) -> (Vec<String>, BTreeMap<String, usize>) {
    let scratch = Scratch::new();
    let path = std::env::var_os("PATH").unwrap_or_default().to_string_lossy().into_owned();
    let mut server = LiveServer::start(scratch.root(), &path);
    let leaf = scratch.write("leaf.yaml", LEAF);
    server.json(&["definitions", "upload", &leaf, "--json"]);
    for number in 0..DEFINITIONS {
        let file = scratch.write("random.yaml", definition(number));
        server.json(&["definitions", "upload", &file, "--json"]);
    }
    let jobs: Vec<String> = (0..JOBS)
        .map(|number| {
            let answer = server.json(&["submit", &format!("random-{}", number % DEFINITIONS), "--json"]);
            answer["job_id"].as_str().expect("an id").to_owned()
        })
        .collect();
    let ended = |server: &LiveServer, floor: usize| {
        let running = server.json(&[
            "jobs", "--state", "PENDING", "--state", "RUNNING", "--state", "WAITING", "--state", "PAUSED", "--limit",
            "500", "--json",
        ]);
        let left = running["items"].as_array().or_else(|| running.as_array()).map_or(0, Vec::len);
        left <= floor
    };
    for kill in 0..kills {
        // Each time a share of the jobs has ended, in the middle of the others.
        let floor = usize::try_from(JOBS).expect("it fits") * (kills - kill) / (kills + 1);
        wait_for("a share of the jobs to end", || {
            vote(&server);
            ended(&server, floor).then_some(())
        });
        server.kill();
        server = LiveServer::start(scratch.root(), &path);
    }
    for floor in [160, 120, 80, 40, 0] {
        wait_for("jobs to end", || {
            vote(&server);
            ended(&server, floor).then_some(())
        });
    }
    let outcomes = jobs.iter().map(|job| outcome(&server.job(job))).collect();
    let mut counts = BTreeMap::new();
    for job_type in ["leaf".to_owned()].into_iter().chain((0..DEFINITIONS).map(|number| format!("random-{number}"))) {
        let list = server.json(&["jobs", "--type", &job_type, "--limit", "500", "--json"]);
        counts.insert(job_type, list["items"].as_array().or_else(|| list.as_array()).map_or(0, Vec::len));
    }
    server.stop();
    (outcomes, counts)
}

#[test]
fn killing_the_server_at_random_points_of_200_random_jobs_loses_nothing_and_submits_nothing_twice() {
    let calm = run(0);
    let killed = run(KILLS);
    for (number, (calm, killed)) in calm.0.iter().zip(&killed.0).enumerate() {
        assert_eq!(calm, killed, "job {number} of definition\n{}", definition(number as u64 % DEFINITIONS));
    }
    assert_eq!(calm.1, killed.1, "jobs of each definition");
}
