use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::*;
use crate::definition::{JobDefinition, Limits, load};
use crate::engine::JobState;

fn definition(source: &str) -> JobDefinition {
    let loaded = load("flow.yaml", source.as_bytes(), &Limits::default());
    loaded.definition.unwrap_or_else(|| panic!("{:#?}", loaded.diagnostics))
}

fn play(source: &str, params: Value, assumed: &[&str]) -> Rehearsal {
    let definition = definition(source);
    let mut assumptions = Assumptions::default();
    for text in assumed {
        assumptions.add(&definition, text).unwrap();
    }
    let params: Map<String, Value> = serde_json::from_value(params).unwrap();
    rehearse(&definition, &params, &assumptions).unwrap()
}

/// One line per step.
fn story(rehearsal: &Rehearsal) -> String {
    let mut text = String::new();
    for step in &rehearsal.steps {
        let task = step.task.as_deref().unwrap_or("-");
        let visit = step.visit.map(|visit| format!(".{visit}")).unwrap_or_default();
        let attempt = step.attempt.map(|attempt| format!(".{attempt}")).unwrap_or_default();
        let _ = writeln!(text, "{:?} {task}{visit}{attempt} {}", step.kind, step.text);
    }
    text
}

const LOOP: &str = r#"
job_type: until-green
params: {Publish: {type: boolean, default: true}}
tasks:
  - task_type: test
    max_visits: 4
    script: [./run-tests]
    on_exit_code:
      COMPLETED: publish
      3: {goto: fix, max: 2}
      FAILED: ERR_STILL_RED
  - task_type: fix
    script: [./fix]
    on_completed: test
  - task_type: publish
    when: "{{ Publish }}"
    script: [./publish]
  - task_type: tidy
    always_run: true
    script: [./tidy]
"#;

#[test]
fn without_assumptions_everything_succeeds() {
    let rehearsal = play(LOOP, json!({}), &[]);
    assert_eq!((rehearsal.verdict, rehearsal.waits_ms), (JobState::Completed, 0));
    assert_eq!(
        story(&rehearsal),
        "Ran test.1.1 COMPLETED\nRoute test.1 COMPLETED → publish\nSkipped fix not_reached\nRan publish.1.1 COMPLETED\n\
         FinalPhase - COMPLETED\nRan tidy.1.1 COMPLETED\n"
    );
    assert!(rehearsal.assumed.is_empty());
}

#[test]
fn a_sequence_of_results_goes_through_the_loop() {
    let rehearsal = play(LOOP, json!({"Publish": false}), &["test=3,3,0"]);
    assert_eq!(rehearsal.verdict, JobState::Completed);
    assert_eq!(
        story(&rehearsal),
        "Ran test.1.1 exit 3\nRoute test.1 3 → fix\nRan fix.1.1 COMPLETED\nRoute fix.1 COMPLETED → test\n\
         Ran test.2.1 exit 3\nRoute test.2 3 → fix\nRan fix.2.1 COMPLETED\nRoute fix.2 COMPLETED → test\n\
         Ran test.3.1 COMPLETED\nRoute test.3 COMPLETED → publish\nSkipped publish when\n\
         FinalPhase - COMPLETED\nRan tidy.1.1 COMPLETED\n"
    );
    let test = &rehearsal.tasks[0];
    assert_eq!((test.visits, test.attempts), (3, 3));

    let rehearsal = play(LOOP, json!({}), &["test=3"]);
    assert_eq!((rehearsal.verdict, rehearsal.error_code.as_deref()), (JobState::Failed, Some("ERR_STILL_RED")));
}

#[test]
fn waits_are_told_and_take_no_time() {
    let source = r"
job_type: waits
retry: 1
delay_between_retries: 1h
tasks:
  - task_type: poll
    retry: 2
    retry_backoff: {initial: 10s, factor: 3}
    script: [./poll]
    on_exit_code:
      10: {reschedule: 2m, until: 14d}
      11: PAUSE_JOB
";
    let rehearsal = play(source, json!({}), &["poll=10,1,1,0"]);
    assert_eq!((rehearsal.verdict, rehearsal.waits_ms), (JobState::Completed, 160_000));
    let waits: Vec<&str> =
        rehearsal.steps.iter().filter(|step| step.kind == StepKind::Waits).map(|step| step.text.as_str()).collect();
    assert_eq!(waits, ["2m", "10s", "30s"]);

    let rehearsal = play(source, json!({}), &["poll=1,1,1,0"]);
    assert_eq!((rehearsal.verdict, rehearsal.job_attempts), (JobState::Completed, 2));
    assert!(story(&rehearsal).contains("Waits - 1h\nJobAttempt - attempt 2 of the job\n"), "{}", story(&rehearsal));

    let rehearsal = play(source, json!({}), &["poll=11,0"]);
    assert_eq!(rehearsal.verdict, JobState::Completed);
    assert_eq!(rehearsal.assumed, ["somebody resumes the job when it is paused"]);
}

#[test]
fn what_cannot_be_known_is_assumed_and_said() {
    let source = r#"
job_type: unknown
skip_if: "{{ count_jobs('unknown', 'RUNNING') > 0 }}"
tasks:
  - task_type: measure
    script: [./measure]
    outputs: [words]
  - task_type: report
    dependencies: [measure]
    when: "{{ tasks.measure.outputs.words > 2 }}"
    script: [./report]
  - task_type: again
    dependencies: [measure]
    when: "{{ tasks.measure.exit_code == 0 }}"
    script: [./again]
"#;
    let rehearsal = play(source, json!({}), &[]);
    assert_eq!(rehearsal.verdict, JobState::Completed);
    assert_eq!(rehearsal.assumed.len(), 2, "{:#?}", rehearsal.assumed);
    assert!(rehearsal.assumed[0].starts_with("`skip_if` lets the job run"));
    assert!(rehearsal.assumed[1].starts_with("the condition of report holds"));
    let rehearsal = play(source, json!({}), &["report.when=false"]);
    assert!(story(&rehearsal).contains("Skipped report when"));
}

#[test]
fn wrong_assumptions_and_params_are_refused() {
    let definition = definition(LOOP);
    let refused = |text: &str| Assumptions::default().add(&definition, text).unwrap_err().to_string();
    assert!(refused("test").contains("TASK=RESULT"));
    assert!(refused("tset=1").contains("did you mean test?"));
    assert!(refused("test=256").contains("is no result"));
    assert!(refused("test=3,,0").contains("is no result"));
    assert!(refused("test=BROKEN").contains("is no result"));
    assert!(refused("publish.when=maybe").contains("TASK=RESULT"));
    let params = serde_json::from_value(json!({"Publish": "perhaps"})).unwrap();
    let error = rehearse(&definition, &params, &Assumptions::default()).unwrap_err();
    assert!(matches!(error, RehearsalError::Params(violations) if violations[0].field == "params.Publish"));
}

#[test]
fn what_goes_on_for_ever_is_given_up() {
    let source = r"
job_type: forever
tasks:
  - task_type: poll
    script: [./poll]
    on_exit_code: {10: {reschedule: 1s, until: 3650d}}
";
    let definition = definition(source);
    let mut assumptions = Assumptions::default();
    assumptions.add(&definition, "poll=10").unwrap();
    let error = rehearse(&definition, &Map::new(), &assumptions).unwrap_err();
    assert!(error.to_string().contains("does not end"), "{error}");
}

#[test]
fn assumed_outputs_decide_conditions_and_are_there_when_the_task_has_run() {
    const REVIEW: &str = r#"
job_type: review
tasks:
  - {task_type: review, script: [x], outputs: [verdict], on_completed: merge}
  - task_type: merge
    when: "{{ tasks.review.outputs.verdict.score > 3 }}"
    script: [x]
"#;
    let play = |assumed: &str| play(REVIEW, json!({}), &[assumed]);
    let good = play(r#"review.outputs={"verdict": {"score": 5}}"#);
    assert!(good.assumed.is_empty() && story(&good).contains("Ran merge"), "{good:#?}");
    let bad = play(r#"review.outputs={"verdict": {"score": 1}}"#);
    assert!(bad.assumed.is_empty() && story(&bad).contains("Skipped merge"), "{bad:#?}");
    let other = play(r#"review.outputs={"other": 1}"#);
    assert_eq!(other.assumed.len(), 1, "{other:#?}");
    let definition = definition(REVIEW);
    let error = Assumptions::default().add(&definition, "review.outputs=[1]").unwrap_err().to_string();
    assert!(error.ends_with(r#"or TASK.outputs={"NAME":"VALUE"}"#), "{error}");
}

#[test]
fn a_rehearsal_ends_when_nobody_waits_for_it() {
    let left = std::cell::Cell::new(3);
    let goes_on = || {
        left.set(left.get() - 1);
        left.get() > 0
    };
    let definition = definition(LOOP);
    let error = rehearse_while(&definition, &Map::new(), &Assumptions::default(), &goes_on).unwrap_err().to_string();
    assert!(error.starts_with("it takes too long to find out what the job does"), "{error}");
}

#[test]
fn what_takes_long_before_anything_happens_is_given_up_too() {
    let mut text = "job_type: slow\nparams: {T: {type: string, default: 1m}}\ntasks:\n".to_owned();
    for n in 0..20 {
        let _ = writeln!(text, "- {{task_type: t{n}, timeout: \"{{{{ T }}}}\", script: [x]}}");
    }
    let definition = definition(&text);
    let looks = std::cell::Cell::new(0);
    let goes_on = || {
        looks.set(looks.get() + 1);
        looks.get() <= 10
    };
    let error = rehearse_while(&definition, &Map::new(), &Assumptions::default(), &goes_on).unwrap_err();
    assert!(matches!(error, RehearsalError::TooLong), "{error}");
    assert!(looks.get() <= 22, "{}", looks.get());
}
