use std::fmt::Write as _;
use std::path::Path;

use super::super::{JobDefinition, Limits, load};
use super::*;

fn formatted(source: &str) -> Formatted {
    format("flow.yaml", source.as_bytes(), &Limits::default())
        .unwrap_or_else(|problems| panic!("{problems:#?}\n{source}"))
}

/// The definition without the places where things stand.
fn meaning(source: &str) -> Option<String> {
    let definition: JobDefinition = load("flow.yaml", source.as_bytes(), &Limits::default()).definition?;
    let mut value = serde_json::to_value(definition).unwrap();
    without_spans(&mut value);
    Some(value.to_string())
}

fn without_spans(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => {
            if map.len() == 2 && map.contains_key("start") && map.contains_key("end") {
                map.clear();
            }
            map.retain(|key, _| key != "span");
            map.values_mut().for_each(without_spans);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(without_spans),
        _ => {}
    }
}

#[test]
fn indentation_order_and_spacing_become_canonical_and_comments_stay_with_their_keys() {
    let before = r#"# What it is for.

# About the tasks.
tasks:
-   script:
    - |
        if true; then
          echo "  two"
        fi
    - echo   "a   b"     # trailing
    # Why it is named so.
    task_type:   first
    # retry: 3


# Before the second.
-   {task_type: second, script: [echo]}
-   task_type: third
    # Above when.
    when:   "{{ JobAttempt }}"
    dependencies:
        -   task: first
            optional:   true
    script: [echo a,
       echo b]
job_type:    tidy   
description: >-
      folded
      text

"#;
    let after = r#"# What it is for.

# About the tasks.
job_type: tidy
description: >-
      folded
      text
tasks:
  # Why it is named so.
  - task_type: first
    script:
      - |
          if true; then
            echo "  two"
          fi
      - echo   "a   b"     # trailing
      # retry: 3

  # Before the second.
  - {task_type: second, script: [echo]}

  - task_type: third
    script: [echo a,
       echo b]
    dependencies:
      - task: first
        optional: true
    # Above when.
    when: "{{ JobAttempt }}"
"#;
    let result = formatted(before);
    assert_eq!(result.text, after, "\n{}", result.text);
    assert_eq!(result.extent, Extent::Full);
    assert_eq!(formatted(&result.text).text, result.text, "formatting twice changes nothing more");
    assert_eq!(meaning(before), meaning(&result.text));
}

#[test]
fn with_anchors_the_order_stays() {
    let source = "tasks:\n- &one\n  task_type: a\n  script: [echo]\njob_type: anchored\n";
    let result = formatted(source);
    assert_ne!(result.extent, Extent::Full);
    assert!(result.text.find("tasks").unwrap() < result.text.find("job_type").unwrap());
}

#[test]
fn what_is_no_yaml_is_refused_with_the_usual_diagnostic() {
    let refused = format("flow.yaml", b"job_type: [", &Limits::default()).unwrap_err();
    assert_eq!(refused[0].code, "E-YAML");
    let refused = format("flow.yaml", b"a: \xff", &Limits::default()).unwrap_err();
    assert_eq!(refused[0].code, "E-ENCODING");
    let refused = format("flow.yaml", b"- a\n", &Limits::default()).unwrap_err();
    assert_eq!(refused[0].code, "E-TYPE");
}

#[test]
fn shipped_workflows_keep_their_meaning_and_their_comments() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows");
    let mut count = 0;
    for directory in [root.clone(), root.join("examples")] {
        for entry in std::fs::read_dir(directory).unwrap().flatten() {
            if entry.path().extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let source = std::fs::read_to_string(entry.path()).unwrap();
            let result = formatted(&source);
            assert_ne!(result.extent, Extent::Nothing, "{}", entry.path().display());
            assert_eq!(meaning(&source), meaning(&result.text), "{}", entry.path().display());
            let comments = |text: &str| text.matches('#').count();
            assert_eq!(comments(&source), comments(&result.text), "{}", entry.path().display());
            assert_eq!(formatted(&result.text).text, result.text, "{}", entry.path().display());
            count += 1;
        }
    }
    assert!(count > 20);
}

/// Definitions with keys in any order, indentation of any width, comments and blank lines anywhere.
fn random_definition(seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let step = 1 + random(5);
    let pad = |depth: usize| " ".repeat(depth);
    let mut text = String::new();
    let noise = |text: &mut String, depth: usize, random: &mut dyn FnMut(usize) -> usize| {
        for _ in 0..random(3) {
            match random(4) {
                0 => text.push('\n'),
                1 => {
                    let deeper = depth + random(5);
                    let _ = writeln!(text, "{}# comment {}", " ".repeat(deeper), random(1000));
                }
                _ => {}
            }
        }
    };
    let mut keys = vec!["job_type", "description", "environment", "tasks"];
    while !keys.is_empty() {
        let key = keys.remove(random(keys.len()));
        noise(&mut text, 0, &mut random);
        match key {
            "job_type" => text.push_str("job_type:  random\n"),
            "description" => {
                let _ =
                    write!(text, "description: |{}\n{p}one\n\n{p}  two \n", ["", "-", "+"][random(3)], p = pad(step));
            }
            "environment" => {
                let _ =
                    write!(text, "environment:\n{p}A: \"x # y\"   # why\n{p}B: 'it''s\n{p}   long'\n", p = pad(step));
            }
            _ => {
                text.push_str("tasks:\n");
                let dash = random(step + 1);
                for task in 0..=random(3) {
                    noise(&mut text, dash, &mut random);
                    let gap = 1 + random(3);
                    let inner = dash + 1 + gap;
                    let mut fields = vec![
                        format!("task_type: t{task}"),
                        format!(
                            "script:\n{p}- |\n{p}   echo a\n\n{p}     echo b\n{p}- echo c   # no\n",
                            p = pad(inner + random(4))
                        ),
                        "timeout:  5m  # five".to_owned(),
                        format!("retry_backoff:\n{p}max: 1m\n{p}initial: 1s", p = pad(inner + step)),
                    ];
                    let mut first = true;
                    while !fields.is_empty() {
                        let field = fields.remove(random(fields.len()));
                        if first {
                            let _ = write!(text, "{}-{}", pad(dash), pad(gap));
                        } else {
                            noise(&mut text, inner, &mut random);
                            text.push_str(&pad(inner));
                        }
                        first = false;
                        text.push_str(field.trim_end());
                        text.push('\n');
                    }
                }
            }
        }
    }
    text
}

#[test]
fn random_definitions_keep_their_meaning_and_their_comments() {
    let mut full = 0;
    for seed in 0..300 {
        let source = random_definition(seed);
        let Some(before) = meaning(&source) else { panic!("seed {seed} is no definition:\n{source}") };
        let result = formatted(&source);
        assert_eq!(Some(before), meaning(&result.text), "seed {seed}:\n{source}\nbecame\n{}", result.text);
        for comment in source.lines().filter_map(|line| line.split("# comment ").nth(1)) {
            assert!(result.text.contains(&format!("# comment {comment}\n")), "seed {seed} lost a comment:\n{source}");
        }
        assert_eq!(formatted(&result.text), Formatted { text: result.text.clone(), ..result }, "seed {seed}");
        full += usize::from(result.extent == Extent::Full);
    }
    assert!(full > 250, "only {full} of 300 could be formatted wholly");
}

#[test]
fn a_key_that_nothing_stands_at_is_no_reason_to_panic() {
    for source in ["? ", "? \n", "?\n", "a: b\n? \n", "a:\n  ?", "- ?\n"] {
        if let Ok(formatted) = format("flow.yaml", source.as_bytes(), &Limits::default()) {
            assert_eq!(
                super::format("flow.yaml", formatted.text.as_bytes(), &Limits::default()).unwrap().text,
                formatted.text
            );
        }
    }
}
