//! The examples of single keys: each is run, and ends as its first line says.

use std::process::Command;

use serde_json::Value;

use crate::live_server::{atta, repository};
use crate::shipped::{outline, run, sorted, task};

fn state(document: &Value) -> &str {
    document["state"].as_str().expect("a job has a state")
}

fn output<'a>(document: &'a Value, name: &str, output: &str) -> &'a Value {
    &task(document, name)["outputs"][output]
}

#[test]
fn metadata_does_not_change_what_runs() {
    let (code, job) = run("about.yaml", &[]);
    assert_eq!((code, output(&job, "count", "words").as_str()), (0, Some("3")), "{job:#}");
}

#[test]
fn params_are_typed_and_required() {
    let (code, job) = run("params.yaml", &["Who=Ada", "Dry=true", "Jobs=4"]);
    assert_eq!(code, 0, "{job:#}");
    assert_eq!(output(&job, "build", "said"), "Ada builds main for debug with 4 jobs in blue");
    assert_eq!(task(&job, "publish")["state"], "SKIPPED");
    for (wrong, violation) in [
        (&["Dry=true"][..], "params.Who"),
        (&["Who=Ada"], "params.Dry"),
        (&["Who=Ada", "Dry=true", "Level=fast"], "params.Level"),
        (&["Who=Ada", "Dry=true", "Branch=Not This"], "params.Branch"),
        (&["Who=Ada", "Dry=true", "Jobs=many"], "params.Jobs"),
        (&["Who=Ada", "Dry=true", "Brnch=x"], "params.Brnch"),
    ] {
        let (code, problem) = run("params.yaml", wrong);
        assert_eq!((code, &problem["field_violations"][0]["field"]), (2, &Value::from(violation)), "{problem:#}");
    }
}

#[test]
fn variables_come_from_the_ant_the_job_and_the_task() {
    let output_of = |user: Option<&str>| {
        let mut command = Command::new(atta());
        command.arg("run").arg(repository().join("workflows/examples/variables.yaml")).arg("--json");
        match user {
            Some(user) => command.env("EXAMPLE_USER", user),
            None => command.env_remove("EXAMPLE_USER"),
        };
        let done = command.output().expect("atta starts");
        let job: Value = serde_json::from_slice(&done.stdout).expect("the answer is JSON");
        output(&job, "greet", "said").clone()
    };
    assert_eq!(output_of(Some("ada")), "Hello, world, says the task in blue to ada");
    assert_eq!(output_of(None), "Hello, world, says the task in blue to nobody");
}

#[test]
fn a_script_runs_on_a_terminal_when_nobody_types() {
    let (code, job) = run("terminal.yaml", &[]);
    assert_eq!((code, outline(&job)), (0, vec!["look COMPLETED -".to_owned()]), "{job:#}");
    assert_eq!(output(&job, "look", "size"), "30 120 on xterm-256color");
}

#[test]
fn a_scheduled_definition_can_be_run_by_hand() {
    let (code, job) = run("schedule.yaml", &[]);
    assert_eq!((code, outline(&job)), (0, vec!["sweep COMPLETED -".to_owned()]), "{job:#}");
}

#[test]
fn a_job_with_nothing_to_do_is_skipped_and_says_why() {
    let (code, job) = run("skip-if.yaml", &[]);
    assert_eq!((code, state(&job)), (0, "SKIPPED"), "{job:#}");
    assert!(job["error"].as_str().is_some_and(|reason| reason.contains("nothing has changed")), "{job:#}");
    let (_, job) = run("skip-if.yaml", &["Changes=2"]);
    assert_eq!((state(&job), outline(&job)), ("COMPLETED", vec!["build COMPLETED -".to_owned()]), "{job:#}");
}

#[test]
fn a_deployment_alone_runs_at_once() {
    let (code, job) = run("one-at-a-time.yaml", &[]);
    assert_eq!((code, outline(&job)), (0, vec!["deploy COMPLETED -".to_owned()]), "{job:#}");
}

#[test]
fn a_job_that_takes_too_long_fails_after_its_cleanup() {
    let (code, job) = run("job-timeout.yaml", &[]);
    assert_eq!((code, state(&job), job["error_code"].as_str()), (1, "FAILED", Some("JOB_TIMEOUT")), "{job:#}");
    assert_eq!(task(&job, "cleanup")["state"], "COMPLETED");
}

#[test]
fn a_failed_job_begins_again() {
    let (code, job) = run("job-retry.yaml", &[]);
    assert_eq!((code, state(&job), job["attempt"].as_u64()), (0, "COMPLETED", Some(2)), "{job:#}");
    assert_eq!(task(&job, "fetch")["visits"], 1);
    assert_eq!(task(&job, "fetch")["attempts"], 2, "everything ran again");

    let (code, job) = run("job-backoff.yaml", &[]);
    assert_eq!((code, state(&job), job["attempt"].as_u64()), (0, "COMPLETED", Some(3)), "{job:#}");
    assert_eq!(task(&job, "fetch")["attempts"], 1, "what was completed is kept");
}

#[test]
fn handled_failures_count_where_the_definition_says_so() {
    let (code, job) = run("fail-on.yaml", &[]);
    assert_eq!((code, state(&job)), (1, "FAILED"), "{job:#}");
    assert_eq!(outline(&job), ["check FAILED report", "report COMPLETED -"]);
}

#[test]
fn the_first_failure_stops_the_rest() {
    let (code, job) = run("fail-fast.yaml", &[]);
    assert_eq!((code, state(&job)), (1, "FAILED"), "{job:#}");
    assert_eq!(sorted(outline(&job)), ["quick FAILED -", "slow CANCELLED -"]);
}

#[test]
fn a_paused_job_goes_on_by_itself() {
    let (code, job) = run("pause.yaml", &[]);
    assert_eq!((code, state(&job)), (0, "COMPLETED"), "{job:#}");
    assert_eq!((task(&job, "ask")["visits"].as_u64(), task(&job, "ask")["attempts"].as_u64()), (Some(1), Some(2)));
}

#[test]
fn what_runs_after_a_script_changes_nothing() {
    let (code, job) = run("scripts.yaml", &[]);
    assert_eq!((code, outline(&job)), (0, vec!["build COMPLETED -".to_owned()]), "{job:#}");
    assert_eq!(task(&job, "build")["artifacts"][0]["name"], "out/product.txt");
}

#[test]
fn another_program_runs_the_script() {
    let (code, job) = run("interpreter.yaml", &["Second=40"]);
    assert_eq!((code, output(&job, "add", "sum")), (0, &Value::from(42)), "{job:#}");
}

#[test]
fn a_dependency_may_fail_or_bring_no_files() {
    let (code, job) = run("dependencies.yaml", &[]);
    assert_eq!(code, 0, "{job:#}");
    let expected = ["announce COMPLETED -", "build COMPLETED -", "lint FAILED END_COMPLETED", "package COMPLETED -"];
    assert_eq!(sorted(outline(&job)), expected);
}

#[test]
fn except_is_when_turned_round() {
    let (_, job) = run("except.yaml", &[]);
    assert_eq!(sorted(outline(&job)), ["preview SKIPPED -", "report COMPLETED -"], "{job:#}");
    let (_, job) = run("except.yaml", &["Branch=topic"]);
    assert_eq!(sorted(outline(&job)), ["preview COMPLETED -", "report COMPLETED -"], "{job:#}");
}

#[test]
fn a_stuck_task_is_found() {
    let (code, job) = run("idle.yaml", &[]);
    assert_eq!((code, task(&job, "stuck")["result"].as_str()), (0, Some("IDLE_TIMED_OUT")), "{job:#}");
    assert_eq!(outline(&job), ["stuck FAILED instead", "instead COMPLETED END_COMPLETED"]);
}

#[test]
fn a_result_with_a_route_can_be_tried_again_first() {
    let (code, job) = run("backoff.yaml", &[]);
    assert_eq!((code, task(&job, "download")["attempts"].as_u64()), (0, Some(3)), "{job:#}");
    assert_eq!(sorted(outline(&job)), ["download COMPLETED use", "offline SKIPPED -", "use COMPLETED -"]);
}

#[test]
fn artifacts_of_a_failure_are_kept_without_what_is_excluded() {
    let (code, job) = run("artifacts.yaml", &[]);
    assert_eq!((code, state(&job)), (0, "COMPLETED"), "{job:#}");
    let names: Vec<&Value> =
        task(&job, "test")["artifacts"].as_array().expect("a list").iter().map(|file| &file["name"]).collect();
    assert_eq!(names, [&Value::from("logs/today.txt")]);
}

#[test]
fn a_task_for_special_ants_can_be_left_out() {
    let (code, job) = run("tags.yaml", &[]);
    assert_eq!((code, sorted(outline(&job))), (0, vec!["report COMPLETED -".to_owned(), "train SKIPPED -".to_owned()]));
}

#[test]
fn words_say_what_an_exit_code_means() {
    let (code, job) = run("words.yaml", &[]);
    assert_eq!((code, state(&job)), (1, "FAILED"), "{job:#}");
    assert_eq!(outline(&job), ["search COMPLETED check", "check FAILED report", "report COMPLETED END_FAILED"]);
}

#[test]
fn fatal_stops_everything_but_the_cleanup() {
    let (code, job) = run("fatal.yaml", &[]);
    assert_eq!((code, state(&job), job["attempt"].as_u64()), (1, "FAILED", Some(1)), "{job:#}");
    assert_eq!(task(&job, "unlock")["attempts"], 1, "nothing is tried again");
    assert_eq!(sorted(outline(&job)), ["cleanup COMPLETED -", "unlock FAILED FATAL", "work CANCELLED -"]);
}

#[test]
fn a_result_can_ask_for_another_attempt_of_the_task_or_of_the_job() {
    let (code, job) = run("restart-task.yaml", &[]);
    assert_eq!((code, task(&job, "connect")["attempts"].as_u64()), (0, Some(3)), "{job:#}");

    let (code, job) = run("restart-job.yaml", &[]);
    assert_eq!((code, state(&job), job["attempt"].as_u64()), (0, "COMPLETED", Some(2)), "{job:#}");
}

#[test]
fn a_task_that_is_not_ready_is_tried_again_later_in_the_same_visit() {
    let (code, job) = run("reschedule.yaml", &[]);
    assert_eq!((code, state(&job)), (0, "COMPLETED"), "{job:#}");
    let waiting = task(&job, "wait-for-review");
    assert_eq!((waiting["visits"].as_u64(), waiting["attempts"].as_u64()), (Some(1), Some(3)));
}

#[test]
fn results_without_an_exit_code_are_routed_by_their_names() {
    let (code, job) = run("results.yaml", &[]);
    assert_eq!((code, state(&job)), (0, "COMPLETED"), "{job:#}");
    assert_eq!(
        sorted(crate::scratch::lines(&job)),
        [
            "done COMPLETED COMPLETED 1 END_COMPLETED",
            "incomplete FAILED INVALID 1 done",
            "killed FAILED KILLED 1 done",
            "never-ready FAILED EXPIRED 1 done",
            "polish FAILED LOOP_LIMIT 3 done",
            "prepare COMPLETED COMPLETED 1 polish",
            "unstartable FAILED START_FAILED 1 done",
        ]
    );
    assert_eq!(task(&job, "unstartable")["exit_code"], Value::Null);
}
