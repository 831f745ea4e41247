use std::time::Duration;

use super::definition;
use crate::definition::*;
use crate::engine::ResultName;

const FULL: &str = r#"
job_type: implement-issue
version: 1.2.3
description: "Implements {{ Issue }}"
labels: {team: core, tier: 2}
params:
  Issue: {type: string, required: true, pattern: '^[A-Z]+-\d+$', description: key of the issue}
  Tries: {type: integer, default: 3, enum: [1, 2, 3]}
  Fast: {type: boolean, default: false}
  Plain:
required_params: [Repo]
job_variables:
  Branch: "ai/{{ Issue }}"
  Limits: {tests: 4, names: [a, "{{ Issue }}"]}
environment: {CI: true, PORT: 8080}
cron_trigger: ["30 2 * * MON-FRI", "0 0 12 1 * *"]
timezone: Europe/Berlin
misfire: run_once
skip_if: "{{ Fast }}"
max_concurrency: 2
priority: HIGH
user_key: "{{ Issue }}"
timeout: 2h30m
retry: 2
retry_from: start
delay_between_retries: 30s
fail_on: any_failure
fail_fast: true
resume_after: 1d
inherit_env: [HOME, SSH_AUTH_SOCK]
defaults:
  timeout: 10m
  environment: {LANG: C.UTF-8, MODE: slow}
  tags: [linux]
tasks:
  - task_type: plan
    script:
      - echo "planning {{ Issue }}"
    environment: {MODE: fast}
    on_completed: implement
    on_exit_code:
      3: {goto: implement, max: 2}
      "64-78": FATAL
      10: {reschedule: 2m, until: 14d}
      TIMED_OUT: [cleanup, implement]
      75: RESCHEDULE
      "*": ERR_NO_PLAN
    retry: "{{ Tries }}"
    retry_on: [3, "64-66", KILLED]
    retry_backoff: {initial: 500ms, factor: 1.5, max: 1m, jitter: none}
    outputs: [branch]
  - task_type: implement
    interpreter: python3
    script: ["print(1)"]
    max_visits: 3
    timeout: "{{ Branch }}"
    idle_timeout: 5m
    kill_grace: 0s
    allow_failure: true
    except: "{{ Fast }}"
    artifacts: {paths: ["out/**", report.json], exclude: ["*.tmp"], when: on_failure}
    outputs:
      verdict: {from: file, file: verdict.json, json_path: $.status.0, type: string}
      text: {from: stdout}
      count: {type: integer}
  - task_type: cleanup
    always_run: true
    shell: [sh, -eu]
    script: ["true"]
    report_stdout: false
    dependencies: [plan, {task: implement, optional: true, artifacts: false}]
"#;

#[test]
fn a_definition_with_every_key_is_read_as_it_is_written() {
    let job = definition(FULL);
    assert_eq!(job.job_type, "implement-issue");
    assert_eq!(job.version.as_deref(), Some("1.2.3"));
    assert_eq!(job.labels["tier"], "2");
    assert_eq!(job.params.keys().collect::<Vec<_>>(), ["Issue", "Tries", "Fast", "Plain", "Repo"]);
    assert!(job.params["Issue"].required && job.params["Repo"].required && !job.params["Plain"].required);
    assert_eq!(job.params["Tries"].default, Some(3.into()));
    assert_eq!(job.environment["CI"].source, "true");
    assert_eq!(job.environment["PORT"].source, "8080");
    let schedule = job.schedule.as_ref().unwrap();
    assert_eq!((schedule.expressions.len(), schedule.timezone.as_str()), (2, "Europe/Berlin"));
    assert_eq!(schedule.misfire, Misfire::RunOnce);
    assert_eq!(job.timeout, Some(Field::Value(Duration::from_secs(9_000))));
    assert_eq!(job.retry.retries, Field::Value(2));
    assert_eq!(job.retry.delay, RetryDelay::Constant(Field::Value(Duration::from_secs(30))));
    assert_eq!(job.inherit_env, InheritEnv::Names(vec!["HOME".into(), "SSH_AUTH_SOCK".into()]));
    assert!(job.fail_fast && job.fail_on == FailOn::AnyFailure && job.retry_from == RetryFrom::Start);

    let [plan, implement, cleanup] = &job.tasks[..] else { panic!("three tasks") };
    assert_eq!(plan.timeout, Field::Value(Duration::from_secs(600)), "from the defaults");
    assert_eq!(plan.environment["MODE"].source, "fast");
    assert_eq!(plan.environment["LANG"].source, "C.UTF-8");
    assert_eq!(plan.tags[0].source, "linux");
    let routes: Vec<_> = plan.routes.iter().map(|route| (&route.matches, &route.target, route.max)).collect();
    let until = Field::Value(Duration::from_secs(14 * 86_400));
    let twice = RouteTarget::Reschedule { after: Field::Value(Duration::from_secs(120)), until };
    assert_eq!(
        routes,
        [
            (&RouteMatch::Completed, &RouteTarget::Tasks(vec!["implement".into()]), None),
            (&RouteMatch::Code(3), &RouteTarget::Tasks(vec!["implement".into()]), Some(2)),
            (&RouteMatch::Range(64, 78), &RouteTarget::Fatal, None),
            (&RouteMatch::Code(10), &twice, None),
            (
                &RouteMatch::Result(ResultName::TimedOut),
                &RouteTarget::Tasks(vec!["cleanup".into(), "implement".into()]),
                None
            ),
            (&RouteMatch::Code(75), &twice, None),
            (&RouteMatch::Any, &RouteTarget::Error("ERR_NO_PLAN".into()), None),
        ]
    );
    assert!(matches!(plan.retry.retries, Field::Template(_)));
    assert_eq!(plan.retry.retry_on[1], RouteMatch::Range(64, 66));
    assert_eq!(
        plan.retry.delay,
        RetryDelay::Exponential {
            initial: Duration::from_millis(500),
            factor: 1.5,
            max: Duration::from_secs(60),
            jitter: false
        }
    );
    assert_eq!(plan.outputs[0].source, OutputSource::OutputFile);

    let shell = implement.method.shell().unwrap();
    assert_eq!(shell.program, Program::Interpreter(vec!["python3".into()]));
    assert!(implement.when.as_ref().unwrap().negated);
    assert_eq!(implement.outputs[0].json_path.as_deref(), Some("status.0"));
    assert_eq!(implement.outputs[0].source, OutputSource::File("verdict.json".into()));
    assert_eq!(implement.outputs[1].source, OutputSource::Stdout);
    assert_eq!(implement.kill_grace, Field::Value(Duration::ZERO));
    assert_eq!(implement.artifacts.as_ref().unwrap().when, ArtifactsWhen::OnFailure);

    let shell = cleanup.method.shell().unwrap();
    assert_eq!(shell.program, Program::Shell(vec!["sh".into(), "-eu".into()]));
    assert!(!cleanup.report_stdout && cleanup.always_run);
    let dependencies = cleanup.dependencies.as_ref().unwrap();
    assert!(dependencies[1].optional && !dependencies[1].artifacts && dependencies[0].artifacts);
}

#[test]
fn an_always_run_task_has_five_minutes_unless_it_says_otherwise() {
    let job = definition(
        "job_type: a\ntasks:\n- {task_type: t, script: [x]}\n- {task_type: c, always_run: true, script: [x]}\n",
    );
    assert_eq!(job.tasks[0].timeout, Field::Value(Duration::from_secs(3_600)));
    assert_eq!(job.tasks[1].timeout, Field::Value(Duration::from_secs(300)));
    assert_eq!(job.tasks[0].dependencies, None);
}

#[test]
fn anchors_aliases_and_merge_keys_are_understood() {
    let job = definition(
        "job_type: a\ntasks:\n- &base\n  task_type: one\n  timeout: 3m\n  script: &s [make]\n- <<: *base\n  task_type: two\n- task_type: three\n  script: *s\n",
    );
    assert_eq!(job.tasks[1].timeout, Field::Value(Duration::from_secs(180)));
    assert_eq!(job.tasks[1].name, "two");
    let shell = job.tasks[2].method.shell().unwrap();
    assert_eq!(shell.script[0].source, "make");
}

#[test]
fn block_scalars_keep_their_lines() {
    let job = definition(
        "job_type: a\ntasks:\n- task_type: one\n  script:\n  - |\n    cd src\n    make\n  - >\n    a\n    b\n",
    );
    let shell = job.tasks[0].method.shell().unwrap();
    assert_eq!(shell.script[0].source, "cd src\nmake\n");
    assert_eq!(shell.script[1].source, "a b\n");
}
