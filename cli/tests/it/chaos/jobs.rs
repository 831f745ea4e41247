//! What runs meanwhile: jobs whose commands write down that they ran.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::world::World;

/// Every command writes its attempt and process id when it begins and when it ends, and counts to 40 on stdout. Of the
/// tasks one fails once by itself, several run at once, some run on the machine beyond the line, and one cleans up
/// whatever happens.
pub(super) const GOOD: &str = r#"
job_type: chaos
params: {Side: {type: string}, Seed: {type: integer, default: 0}}
defaults: {shell: [sh, -eu], retry: 100, delay_between_retries: 50ms}
environment: {SIDE: "{{ Side }}", SEED: "{{ Seed }}"}
tasks:
  - task_type: make
    script: &count
      - 'id=${TASK_DIR%/*}; id=${id##*/}; echo "$id begin $$" >>"$SIDE"'
      - 'n=0; while [ $n -lt 40 ]; do n=$((n+1)); echo "line $n"; sleep 0.0$(( (SEED + n) % 4 )); done'
      - 'echo "made by $id" >made; cp made again; echo "maker=$id" >>"$ATTA_OUTPUT"'
      - 'echo "$id end $$" >>"$SIDE"'
    outputs: [maker]
    artifacts: {paths: [made, again]}
  - task_type: many
    dependencies: [make]
    fan_out: {items: "[0, 1, 2]", max_parallel: 2}
    script: *count
    outputs: [maker]
    artifacts: {paths: [made, again]}
  - task_type: far
    tags: [far]
    script: *count
    outputs: [maker]
    artifacts: {paths: [made, again]}
  - task_type: flaky
    tags: [near]
    script:
      - 'id=${TASK_DIR%/*}; id=${id##*/}; echo "$id begin $$" >>"$SIDE"'
      - 'n=0; while [ $n -lt 40 ]; do n=$((n+1)); echo "line $n"; done'
      - 'echo "$id end $$" >>"$SIDE"; [ -e "$SIDE.flaky" ] || { : >"$SIDE.flaky"; exit 9; }'
  - task_type: check
    tags: [far]
    dependencies: [make, many, far, flaky]
    script:
      - 'id=${TASK_DIR%/*}; id=${id##*/}; echo "$id begin $$" >>"$SIDE"'
      # A code that no full disk explains.
      - '[ "$(cat made)" = "made by {{ tasks.far.outputs.maker }}" ] || exit 77'
      - 'n=0; while [ $n -lt 40 ]; do n=$((n+1)); echo "line $n"; done'
      - 'echo "$id end $$" >>"$SIDE"; exit 3'
    on_exit_code: {3: COMPLETED}
    after_script: ['echo "after"']
  - task_type: cleanup
    always_run: true
    script:
      - 'id=${TASK_DIR%/*}; id=${id##*/}; echo "$id begin $$" >>"$SIDE"'
      - 'n=0; while [ $n -lt 40 ]; do n=$((n+1)); echo "line $n"; done'
      - 'echo "$id end $$" >>"$SIDE"'
"#;

/// A job that fails by itself; what cleans up runs all the same.
pub(super) const BAD: &str = r#"
job_type: chaos-bad
params: {Side: {type: string}, Seed: {type: integer, default: 0}}
defaults: {shell: [sh, -eu]}
environment: {SIDE: "{{ Side }}"}
tasks:
  - task_type: fail
    tags: [near]
    script:
      - 'id=${TASK_DIR%/*}; id=${id##*/}; echo "$id begin $$" >>"$SIDE"'
      - 'n=0; while [ $n -lt 40 ]; do n=$((n+1)); echo "line $n"; sleep 0.01; done'
      - 'echo "$id end $$" >>"$SIDE"; exit 7'
  - task_type: never
    dependencies: [fail]
    script: ['echo "never begin 0" >>"$SIDE"']
  - task_type: cleanup
    always_run: true
    retry: 100
    delay_between_retries: 50ms
    script:
      - 'id=${TASK_DIR%/*}; id=${id##*/}; echo "$id begin $$" >>"$SIDE"'
      - 'n=0; while [ $n -lt 40 ]; do n=$((n+1)); echo "line $n"; done'
      - 'echo "$id end $$" >>"$SIDE"'
"#;

/// What times of files and of the record may differ by.
const CLOCKS: Duration = Duration::from_millis(50);

/// A submitted job.
pub(super) struct Submitted {
    pub(super) id: String,
    pub(super) side: String,
    pub(super) verdict: &'static str,
}

/// What the commands say of themselves: attempt → (process ids at the beginning, at the end).
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

/// What was counted over all jobs.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) attempts: usize,
    pub(super) lost: usize,
    /// Ended because a disk was full.
    pub(super) without_room: usize,
}

/// That a job has the right verdict, and that each command ran as the record says.
pub(super) fn check(world: &World, submitted: &Submitted, counts: &mut Counts) {
    let job = world.json(&["jobs", "show", &submitted.id, "--json"]);
    assert_eq!(job["state"], submitted.verdict, "{job:#}");
    let mut said = said(&world.scratch.read(&submitted.side));
    let count = (1..=40).fold(String::new(), |text, n| text + &format!("line {n}\n"));
    let tasks = job["tasks"].as_array().expect("a job has tasks");
    for task in tasks {
        let attempts: Vec<&Value> = task["attempt_list"].as_array().into_iter().flatten().collect();
        for attempt in attempts {
            counts.attempts += 1;
            let number = attempt["number"].to_string();
            let id = format!("{}-{number}", submitted.id);
            let (begins, ends) = said.remove(&id).unwrap_or_default();
            assert!(begins.len() <= 1, "{id} began {} times: {attempt:#}", begins.len());
            match attempt["result"].as_str() {
                // Its shim was killed, before or after the command began. Nothing else loses an attempt here.
                Some("LOST") => {
                    let why = attempt["error"]["message"].as_str().unwrap_or_default();
                    assert!(why.starts_with("the process that watched over "), "{attempt:#}");
                    counts.lost += 1;
                    continue;
                }
                // What it began with, wrote or kept had no room.
                Some("INVALID" | "START_FAILED" | "FAILED") if is_for_lack_of_room(world, attempt) => {
                    counts.without_room += 1;
                    continue;
                }
                _ => {}
            }
            assert_eq!((begins.len(), ends.len()), (1, 1), "{attempt:#}");
            assert_eq!(begins, ends, "{id}: it is the same process from its beginning to its end");
            let log = world.atta(&["logs", &submitted.id, "--attempt", &number, "--stream", "stdout"]);
            let log = log.stdout.strip_suffix("after\n").unwrap_or(&log.stdout);
            assert_eq!(log, count, "the log of {id} is whole");
        }
    }
    assert!(said.is_empty(), "commands ran that the record does not show: {said:?} in {job:#}");
    let cleanup = crate::scratch::task(&job, "cleanup");
    assert_eq!(cleanup["state"], "COMPLETED", "what cleans up has run to its end: {job:#}");
}

/// The attempt says that there was no room; or a program ended with 1 or 2, as shells do then, on an ant whose disk was full
/// while it ran.
fn is_for_lack_of_room(world: &World, attempt: &Value) -> bool {
    let text = attempt.to_string();
    if !world.full.is_empty() && (text.contains("No space left") || text.contains("SPOOL_FAILED")) {
        return true;
    }
    let time = |key: &str| -> Option<SystemTime> {
        let at: jiff::Timestamp = attempt[key].as_str()?.parse().ok()?;
        Some(SystemTime::from(at))
    };
    let (Some(began), Some(ended)) = (time("created_at"), time("finished_at")) else { return false };
    let overlaps = world
        .full
        .iter()
        .any(|full| attempt["ant"] == full.ant && began <= full.until + CLOCKS && ended + CLOCKS >= full.from);
    overlaps && matches!(attempt["exit_code"].as_i64(), Some(1 | 2))
}
