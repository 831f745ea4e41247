//! How problems are shown: to people, as JSON, as SARIF, as field violations.

use crate::definition::*;

const SOURCE: &str = r#"job_type: My Job
timeout: -1
retry: lots
fail_fast: yes
cron_trigger: 61 * * * *
timezone: Berlin
enviroment: {A: b}
budget: {usd: 5}
params: {Count: {type: integer, default: many}}
tasks:
- task_type: build
  script: make
  when: {{ Branch }}
  on_exit_code: {300: build, 1-5: FATAL, 4-6: END_FAILED}
- task_type: build
  script: ["echo {{ Conut }}"]
  artifacts: {paths: [../secret]}
  url: http://example.org
- task_type: ünïcode
  script: ["echo 'ü' {{ Conut }}"]
  max_visits: 0
"#;

fn loaded() -> Loaded {
    load("flow.yaml", SOURCE.as_bytes(), &Limits::default())
}

#[test]
fn all_problems_of_a_file_are_found_in_one_pass_and_shown_with_their_lines() {
    let loaded = loaded();
    assert!(loaded.diagnostics.len() >= 15);
    insta::assert_snapshot!(render_diagnostics("flow.yaml", SOURCE, &loaded.diagnostics, false));
}

#[test]
fn json_has_the_place_from_first_to_last_column() {
    let found = diagnostic_resources("flow.yaml", SOURCE, &loaded().diagnostics);
    let timeout = serde_json::to_value(found.iter().find(|one| one.code == "E-DURATION").unwrap()).unwrap();
    assert_eq!(
        timeout,
        serde_json::json!({
            "file": "flow.yaml", "line": 2, "column": 10, "end_line": 2, "end_column": 12,
            "code": "E-DURATION", "severity": "error",
            "message": "`timeout`: a duration cannot be negative, and \"-1\" is",
            "help": "leave the key out for its default; `-1` does not mean \"no limit\" here",
        })
    );
    // Columns count characters, not bytes.
    let conut = found.iter().rfind(|one| one.code == "E-UNDECLARED").unwrap();
    assert_eq!((conut.line, conut.column, conut.end_column), (20, 25, 30));
}

#[test]
fn sarif_names_each_rule_once_and_each_place() {
    let found = loaded().diagnostics;
    let log = sarif("flow.yaml", SOURCE, &found);
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), found.len());
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert_eq!(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "flow.yaml");
    }
    let first = &results[0]["locations"][0]["physicalLocation"]["region"];
    assert_eq!(first, &serde_json::json!({"startLine": 1, "startColumn": 11, "endLine": 1, "endColumn": 17}));
}

#[test]
fn violations_carry_file_line_and_column() {
    let found = violations("flow.yaml", SOURCE, &loaded().diagnostics);
    let cron = found.iter().find(|one| one.code == "E-CRON").unwrap();
    assert_eq!(cron.field, "flow.yaml:5:15");
    assert!(cron.message.contains("the minute must be between 0 and 59, and 61 is not"));
}

#[test]
fn two_hundred_problems_are_listed_and_the_rest_is_counted() {
    let keys: String = (0..500).map(|n| format!("key-number-{n}: 1\n")).collect();
    let source = format!("job_type: a\n{keys}tasks: [{{task_type: t, script: [x]}}]\n");
    let loaded = load("flow.yaml", source.as_bytes(), &Limits::default());
    assert_eq!(loaded.diagnostics.len(), 201);
    let last = loaded.diagnostics.last().unwrap();
    assert_eq!((last.code, last.message.as_str()), ("E-TOO-MANY-PROBLEMS", "300 more problems are not listed"));
}

#[test]
fn control_characters_of_a_file_never_reach_the_terminal() {
    let source = "job_type: a\n\"\\e[31mred\": 1\ntasks: [{task_type: t, script: [x]}]\n";
    let loaded = load("flow.yaml", source.as_bytes(), &Limits::default());
    let shown = render_diagnostics("flow.yaml", source, &loaded.diagnostics, false);
    assert!(shown.contains("E-UNKNOWN-KEY") && !shown.contains('\u{1b}'), "{shown:?}");
    let coloured = render_diagnostics("flow.yaml", source, &loaded.diagnostics, true);
    assert!(coloured.contains("\u{1b}[1;31mE-UNKNOWN-KEY"), "{coloured:?}");
}

#[test]
fn a_long_line_is_cut_around_the_place() {
    let source =
        format!("job_type: a\nlabels: {{a: {}, b: [1]}}\ntasks: [{{task_type: t, script: [x]}}]\n", "x".repeat(5_000));
    let loaded = load("flow.yaml", source.as_bytes(), &Limits::default());
    let shown = render_diagnostics("flow.yaml", &source, &loaded.diagnostics, false);
    assert!(shown.starts_with("flow.yaml:2:5018: E-TYPE: `labels.b` must be text, and this is a list"), "{shown}");
    assert!(shown.len() < 1_000 && shown.contains("b: [1]") && shown.contains("^^^"), "{shown}");
}
