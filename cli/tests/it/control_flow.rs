//! What a definition means, seen from outside: YAML in, the document of `atta run --json` out.

use serde_json::{Value, json};

use crate::scratch::{Scratch, lines, task};

/// Runs `tasks` and compares exit code, verdict, error code and all tasks.
#[track_caller]
fn check(yaml: &str, params: &[&str], verdict: &(i32, &str, Value), expected: &[&str]) -> Value {
    let scratch = Scratch::new();
    let (code, job) = scratch.job(yaml, params);
    assert_eq!((code, job["state"].as_str(), &job["error_code"]), (verdict.0, Some(verdict.1), &verdict.2), "{job:#}");
    // Tasks that start together may do so in either order.
    let (mut found, mut expected) = (lines(&job), expected.to_vec());
    found.sort();
    expected.sort_unstable();
    assert_eq!(found, expected, "{job:#}");
    job
}

const COMPLETED: (i32, &str, Value) = (0, "COMPLETED", Value::Null);

fn failed(code: &str) -> (i32, &'static str, Value) {
    (1, "FAILED", json!(code))
}

#[test]
fn a_join_waits_for_all_its_branches() {
    let job = check(
        r#"
job_type: diamond
defaults: {shell: [sh, -eu]}
tasks:
  - task_type: start
    script: ["true"]
  - task_type: quick
    dependencies: [start]
    script: ["true"]
  - task_type: slow
    dependencies: [start]
    script: [sleep 0.3]
  - task_type: join
    dependencies: [quick, slow]
    script: ["true"]
"#,
        &[],
        &COMPLETED,
        &[
            "start COMPLETED COMPLETED 1 -",
            "quick COMPLETED COMPLETED 1 -",
            "slow COMPLETED COMPLETED 1 -",
            "join COMPLETED COMPLETED 1 -",
        ],
    );
    let at = |name: &str, key: &str| task(&job, name)[key].as_str().expect("an instant").to_owned();
    assert!(at("join", "started_at") >= at("slow", "finished_at"), "{job:#}");
    assert!(
        at("slow", "started_at") <= at("quick", "finished_at")
            || at("slow", "started_at") >= at("start", "finished_at")
    );
}

const ROUTES: &str = r#"
job_type: routes
params: {Code: {type: integer}}
defaults: {shell: [sh, -eu]}
tasks:
  - task_type: check
    environment: {CODE: "{{ Code }}"}
    script: ['exit "$CODE"']
    on_exit_code:
      3: three
      "10-19": teens
      20: END_BLOCKED
      21: END_FAILED
      22: FATAL
      23: ERR_NO_COMMITS
      24: COMPLETED
      FAILED: other
      COMPLETED: done
  - {task_type: three, script: ["true"]}
  - {task_type: teens, script: ["true"]}
  - {task_type: other, script: ["true"]}
  - {task_type: done, script: ["true"]}
"#;

#[test]
fn exit_codes_ranges_and_words_choose_the_route() {
    let not_reached = |but: &str| -> Vec<String> {
        ["three", "teens", "other", "done"]
            .iter()
            .filter(|name| **name != but)
            .map(|name| format!("{name} SKIPPED not_reached 0 -"))
            .collect()
    };
    for (code, verdict, first, reached) in [
        ("0", COMPLETED, "check COMPLETED COMPLETED 1 done", "done"),
        ("3", COMPLETED, "check FAILED FAILED 1 three", "three"),
        ("12", COMPLETED, "check FAILED FAILED 1 teens", "teens"),
        ("99", COMPLETED, "check FAILED FAILED 1 other", "other"),
        ("20", (4, "BLOCKED", Value::Null), "check FAILED FAILED 1 END_BLOCKED", ""),
        ("23", COMPLETED, "check FAILED FAILED 1 other", "other"),
        ("24", COMPLETED, "check COMPLETED FAILED 1 done", "done"),
    ] {
        let scratch = Scratch::new();
        let (exit, job) = scratch.job(ROUTES, &[&format!("Code={code}")]);
        assert_eq!((exit, job["state"].as_str()), (verdict.0, Some(verdict.1)), "exit {code}: {job:#}");
        let mut expected = vec![first.to_owned()];
        if !reached.is_empty() {
            expected.push(format!("{reached} COMPLETED COMPLETED 1 -"));
        }
        expected.extend(not_reached(reached));
        assert_eq!(lines(&job), expected, "exit {code}: {job:#}");
    }
    for (code, error) in [("21", "EXIT_CODE"), ("22", "FATAL")] {
        let scratch = Scratch::new();
        let (exit, job) = scratch.job(ROUTES, &[&format!("Code={code}")]);
        assert_eq!((exit, job["state"].as_str()), (1, Some("FAILED")), "exit {code}: {job:#}");
        assert!(job["error"].as_str().is_some_and(|error| !error.is_empty()), "{error}: {job:#}");
    }
}

#[test]
fn a_loop_ends_at_its_bound_with_a_result_that_can_be_routed() {
    let unhandled = r#"
job_type: loop
defaults: {shell: [sh, -eu]}
tasks:
  - task_type: test
    max_visits: 3
    script: [exit 1]
    on_failed: fix
  - task_type: fix
    script: ["true"]
    on_completed: test
"#;
    check(unhandled, &[], &failed("LOOP_LIMIT"), &["test FAILED LOOP_LIMIT 3 fix", "fix COMPLETED COMPLETED 3 test"]);
    let handled = unhandled.replace("    on_failed: fix\n", "    on_exit_code: {LOOP_LIMIT: give-up, FAILED: fix}\n")
        + "  - {task_type: give-up, script: [exit 0], on_completed: END_BLOCKED}\n";
    check(
        &handled,
        &[],
        &(4, "BLOCKED", Value::Null),
        &[
            "test FAILED LOOP_LIMIT 3 give-up",
            "fix COMPLETED COMPLETED 3 test",
            "give-up COMPLETED COMPLETED 1 END_BLOCKED",
        ],
    );
}

#[test]
fn an_allowed_failure_counts_as_completed() {
    check(
        r#"
job_type: allowed
defaults: {shell: [sh, -eu]}
tasks:
  - {task_type: lint, allow_failure: true, script: [exit 9]}
  - {task_type: publish, dependencies: [lint], script: ["true"]}
"#,
        &[],
        &COMPLETED,
        &["lint FAILED FAILED 1 -", "publish COMPLETED COMPLETED 1 -"],
    );
}

#[test]
fn a_failure_that_nothing_handles_skips_what_depends_on_it_and_stops_nothing_else() {
    check(
        r#"
job_type: upstream
defaults: {shell: [sh, -eu]}
tasks:
  - {task_type: broken, script: [exit 5]}
  - {task_type: fine, dependencies: [], script: [sleep 0.2]}
  - {task_type: after-broken, dependencies: [broken], script: ["true"]}
  - {task_type: after-fine, dependencies: [fine], script: ["true"]}
"#,
        &[],
        &failed("EXIT_CODE"),
        &[
            "broken FAILED FAILED 1 -",
            "fine COMPLETED COMPLETED 1 -",
            "after-fine COMPLETED COMPLETED 1 -",
            "after-broken SKIPPED upstream_failed 0 -",
        ],
    );
}

#[test]
fn outputs_decide_a_later_condition() {
    const YAML: &str = r#"
job_type: conditions
params: {Go: {type: string}}
defaults: {shell: [sh, -eu]}
tasks:
  - task_type: plan
    environment: {GO: "{{ Go }}"}
    script: ['echo "go=$GO" >>"$ATTA_OUTPUT"']
    outputs: [go]
  - task_type: work
    dependencies: [plan]
    when: "{{ tasks.plan.outputs.go == 'yes' }}"
    script: ["true"]
  - task_type: report
    dependencies: [work]
    script: ["true"]
"#;
    check(
        YAML,
        &["Go=yes"],
        &COMPLETED,
        &["plan COMPLETED COMPLETED 1 -", "work COMPLETED COMPLETED 1 -", "report COMPLETED COMPLETED 1 -"],
    );
    let job = check(
        YAML,
        &["Go=no"],
        &COMPLETED,
        &["plan COMPLETED COMPLETED 1 -", "report COMPLETED COMPLETED 1 -", "work SKIPPED when 0 -"],
    );
    assert_eq!(task(&job, "plan")["outputs"], json!({"go": "no"}));
}

#[test]
fn artifacts_travel_along_a_chain_and_the_nonce_is_one() {
    let scratch = Scratch::new();
    let (code, job) = scratch.job(
        r#"
job_type: chain
defaults: {shell: [sh, -eu]}
tasks:
  - task_type: one
    script: ['mkdir -p a/b', 'printf "$ATTA_NONCE" >a/b/nonce']
    artifacts: {paths: ["a/**"]}
  - task_type: two
    dependencies: [one]
    script: ['test "$(cat a/b/nonce)" = "$ATTA_NONCE"', 'cp a/b/nonce copy', 'echo more >>copy']
    artifacts: {paths: [copy]}
  - task_type: three
    dependencies: [two, one]
    script: ['cat copy a/b/nonce', 'echo "nonce={{ Nonce }}" >>"$ATTA_OUTPUT"']
    outputs: [nonce]
"#,
        &[],
    );
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    let nonce = task(&job, "three")["outputs"]["nonce"].as_str().expect("a nonce").to_owned();
    assert!(nonce.len() == 8 && nonce.bytes().all(|byte| byte.is_ascii_hexdigit()), "{nonce:?}");
    assert_eq!(task(&job, "one")["artifacts"][0]["name"], "a/b/nonce");
    assert_eq!(task(&job, "two")["artifacts"][0]["size"], 13);
}

#[test]
fn always_run_tasks_run_once_on_every_way_out() {
    const YAML: &str = r#"
job_type: cleanup
params: {How: {type: string}, Side: {type: string}}
defaults: {shell: [sh, -eu]}
environment: {HOW: "{{ How }}", SIDE: "{{ Side }}"}
timeout: 5s
tasks:
  - task_type: work
    script:
      - 'case "$HOW" in ok) exit 0;; fail) exit 1;; fatal) exit 2;; kill) kill -9 $$;; esac'
    on_exit_code: {2: FATAL}
  - task_type: later
    dependencies: [work]
    script: ["true"]
  - task_type: cleanup
    always_run: true
    environment: {RESULT: "{{ JobResult }}"}
    script: ['echo "cleanup $RESULT" >>"$SIDE"']
"#;
    for (how, exit, state) in
        [("ok", 0, "COMPLETED"), ("fail", 1, "FAILED"), ("fatal", 1, "FAILED"), ("kill", 1, "FAILED")]
    {
        let scratch = Scratch::new();
        let side = format!("Side={}", scratch.path("side").display());
        let (code, job) = scratch.job(YAML, &[&format!("How={how}"), &side]);
        assert_eq!((code, job["state"].as_str()), (exit, Some(state)), "{how}: {job:#}");
        assert_eq!(scratch.read("side"), format!("cleanup {state}\n"), "{how}: {job:#}");
        assert_eq!(task(&job, "cleanup")["state"], "COMPLETED");
    }
}

#[test]
fn retries_are_used_up_before_the_failure_counts() {
    const YAML: &str = r#"
job_type: retries
params: {Side: {type: string}}
defaults: {shell: [sh, -eu]}
tasks:
  - task_type: flaky
    retry: 3
    retry_backoff: {initial: 5ms, factor: 2, max: 20ms, jitter: none}
    environment: {SIDE: "{{ Side }}"}
    script:
      - echo x >>"$SIDE"
      - '[ "$(wc -l <"$SIDE")" -ge 3 ]'
"#;
    let scratch = Scratch::new();
    let (code, job) = scratch.job(YAML, &[&format!("Side={}", scratch.path("side").display())]);
    assert_eq!((code, task(&job, "flaky")["attempts"].as_u64()), (0, Some(3)), "{job:#}");
    let scratch = Scratch::new();
    let never = YAML.replace("-ge 3", "-ge 30");
    let (code, job) = scratch.job(&never, &[&format!("Side={}", scratch.path("side").display())]);
    assert_eq!((code, task(&job, "flaky")["attempts"].as_u64()), (1, Some(4)), "{job:#}");
    assert_eq!(scratch.read("side").lines().count(), 4);
}

#[test]
fn restart_task_and_restart_job_are_bounded() {
    let job = check(
        r"
job_type: restart-task
defaults: {shell: [sh, -eu]}
tasks:
  - task_type: again
    retry: 2
    delay_between_retries: 5ms
    script: [exit 7]
    on_exit_code: {7: RESTART_TASK}
",
        &[],
        &failed("ERR_RESTART_TASK"),
        &["again FAILED FAILED 1 RESTART_TASK"],
    );
    assert_eq!(task(&job, "again")["attempts"], 3);
    let scratch = Scratch::new();
    let (code, job) = scratch.job(
        r#"
job_type: restart-job
retry: 1
delay_between_retries: 5ms
params: {Side: {type: string}}
defaults: {shell: [sh, -eu]}
environment: {SIDE: "{{ Side }}"}
tasks:
  - task_type: first
    script: ['echo "first $ATTA_NONCE" >>"$SIDE"']
    on_completed: second
  - task_type: second
    script: [exit 7]
    on_exit_code: {7: RESTART_JOB}
  - task_type: cleanup
    always_run: true
    script: ['echo cleanup >>"$SIDE"']
"#,
        &[&format!("Side={}", scratch.path("side").display())],
    );
    assert_eq!((code, &job["error_code"], &job["attempt"]), (1, &json!("RESTART_LIMIT"), &json!(2)), "{job:#}");
    let side = scratch.read("side");
    let words: Vec<&str> = side.lines().map(|line| line.split(' ').next().unwrap_or_default()).collect();
    assert_eq!(words, ["first", "cleanup", "first", "cleanup"], "{side}");
    let nonces: Vec<&str> = side.lines().filter_map(|line| line.strip_prefix("first ")).collect();
    assert_ne!(nonces[0], nonces[1], "a job attempt from the start has a nonce of its own");
}

#[test]
fn a_job_retry_keeps_what_was_completed() {
    let scratch = Scratch::new();
    let (code, job) = scratch.job(
        r#"
job_type: job-retry
retry: 2
delay_between_retries: 5ms
params: {Side: {type: string}}
defaults: {shell: [sh, -eu]}
environment: {SIDE: "{{ Side }}"}
tasks:
  - {task_type: good, script: ['echo good >>"$SIDE"']}
  - task_type: bad
    dependencies: [good]
    script: ['echo bad >>"$SIDE"', '[ "$(grep -c bad "$SIDE")" -ge 2 ]']
"#,
        &[&format!("Side={}", scratch.path("side").display())],
    );
    assert_eq!((code, &job["attempt"]), (0, &json!(2)), "{job:#}");
    assert_eq!(scratch.read("side"), "good\nbad\nbad\n");
}

#[test]
fn timeouts_are_results_without_an_exit_code() {
    let job = check(
        r#"
job_type: slow
defaults: {shell: [sh, -eu], kill_grace: 1s}
tasks:
  - {task_type: slow, timeout: 200ms, script: [sleep 60]}
  - {task_type: idle, dependencies: [], idle_timeout: 300ms, timeout: 1m, script: [echo begun, sleep 60], on_exit_code: {IDLE_TIMED_OUT: next}}
  - {task_type: next, script: ["true"]}
"#,
        &[],
        &failed("TIMED_OUT"),
        &["slow FAILED TIMED_OUT 1 -", "idle FAILED IDLE_TIMED_OUT 1 next", "next COMPLETED COMPLETED 1 -"],
    );
    assert_eq!(task(&job, "slow")["exit_code"], Value::Null);
    assert!(job["error"].as_str().is_some_and(|error| error.contains("200ms")), "{job:#}");
}

#[test]
fn fail_fast_and_the_job_timeout_stop_what_runs() {
    let scratch = Scratch::new();
    let (code, job) = scratch.job(
        r"
job_type: fail-fast
fail_fast: true
defaults: {shell: [sh, -eu], kill_grace: 1s}
tasks:
  - {task_type: long, script: [sleep 60]}
  - {task_type: broken, dependencies: [], script: [sleep 0.2, exit 1]}
",
        &[],
    );
    assert_eq!((code, job["state"].as_str()), (1, Some("FAILED")), "{job:#}");
    assert_eq!(task(&job, "long")["state"], "CANCELLED", "{job:#}");
    let scratch = Scratch::new();
    let (code, job) = scratch.job(
        r"
job_type: job-timeout
timeout: 300ms
defaults: {shell: [sh, -eu], kill_grace: 1s}
tasks:
  - {task_type: long, script: [sleep 60]}
",
        &[],
    );
    assert_eq!((code, job["state"].as_str()), (1, Some("FAILED")), "{job:#}");
    assert_eq!(task(&job, "long")["state"], "CANCELLED", "{job:#}");
}

#[test]
fn a_task_reads_its_own_last_outputs_after_a_retry_a_reschedule_and_in_a_new_visit() {
    let job = check(
        r#"
job_type: own
defaults: {shell: [sh, -eu]}
tasks:
  - task_type: count
    max_visits: 3
    retry: 1
    delay_between_retries: 10ms
    environment: {BEFORE: "{{ tasks.count.outputs.trace | default('') }}", VISIT: "{{ TaskVisit }}", ATTEMPT: "{{ TaskAttempt }}"}
    script:
      - echo "trace=$BEFORE$VISIT.$ATTEMPT," >>"$ATTA_OUTPUT"
      - |
        case $VISIT.$ATTEMPT in
          1.1) exit 75 ;;
          1.2) exit 1 ;;
        esac
    outputs: [trace]
    on_exit_code: {75: {reschedule: 10ms, until: 1m}, COMPLETED: again}
  - task_type: again
    environment: {TRACE: "{{ tasks.count.outputs.trace }}"}
    script: ['case $TRACE in *2.1*) exit 0 ;; *) exit 3 ;; esac']
    on_exit_code: {3: count}
"#,
        &[],
        &COMPLETED,
        &["count COMPLETED COMPLETED 2 again", "again COMPLETED COMPLETED 2 -"],
    );
    assert_eq!(task(&job, "count")["outputs"]["trace"], "1.1,1.2,1.3,2.1,", "{job:#}");
}
