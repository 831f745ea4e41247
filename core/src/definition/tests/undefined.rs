//! A template that reads a name which nothing declares, in every place in which a text can stand.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

use super::problems;
use crate::definition::{Limits, tree};

/// Texts that are no templates: nothing in them is ever evaluated.
const PLAIN: &[&str] = &[
    "labels.*",
    "params.*.default",
    "params.*.default.colour",
    "params.*.default[]",
    "params.*.description",
    "params.*.enum[]",
    "params.*.pattern",
    "tasks[].outputs.*.json_path",
    "tasks[].agent.allowed_tools[]",
    "tasks[].agent.config_paths[]",
];

fn is_plain(place: &str) -> bool {
    // The last ones are made of names of the other definition.
    PLAIN.contains(&place)
        || place.starts_with("tasks[].outputs.*.schema.")
        || place.starts_with("tasks[].agent.verdict.schema.")
        || place == "tasks[].sub_workflow.outputs.*"
}

fn examples() -> Vec<(String, Value)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../workflows/examples");
    let mut found: Vec<(String, Value)> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let value = tree::parse(&text, &Limits::default()).unwrap().0.unwrap().to_json();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), value)
        })
        .collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found
}

/// The place of each text: a pointer to it, and the same with names and numbers left out.
fn texts(value: &Value, pointer: &str, place: &str, named: bool, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(_) => found.push((pointer.to_owned(), place.to_owned())),
        Value::Array(all) => {
            for (index, value) in all.iter().enumerate() {
                texts(value, &format!("{pointer}/{index}"), &format!("{place}[]"), false, found);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                let escaped = key.replace('~', "~0").replace('/', "~1");
                let shown = if named { "*" } else { key.as_str() };
                let place = if place.is_empty() { shown.to_owned() } else { format!("{place}.{shown}") };
                let names = !named
                    && [
                        "labels",
                        "params",
                        "environment",
                        "job_variables",
                        "outputs",
                        "on_exit_code",
                        "headers",
                        "query",
                    ]
                    .iter()
                    .chain(&["form", "schema", "json"])
                    .any(|map| place.ends_with(map) && !place.contains("schema."));
                texts(value, &format!("{pointer}/{escaped}"), &place, names, found);
            }
        }
        _ => {}
    }
}

#[test]
fn a_name_that_nothing_declares_is_refused_in_every_place() {
    let (mut undeclared, mut accepted) = (BTreeSet::new(), BTreeSet::new());
    for (name, example) in examples() {
        let mut places = Vec::new();
        texts(&example, "", "", false, &mut places);
        for (pointer, place) in places {
            let mut changed = example.clone();
            *changed.pointer_mut(&pointer).unwrap() = Value::from("{{ Nowhere }}");
            // What is refused for another reason does not get as far as its templates.
            let found = problems(&changed.to_string());
            let errors: Vec<&String> = found.iter().filter(|one| one.contains(" E-")).collect();
            if errors.iter().any(|one| one.contains("`Nowhere`")) {
                undeclared.insert(place);
            } else if errors.is_empty() {
                accepted.insert((place, name.clone()));
            }
        }
    }
    for expected in [
        "description",
        "job_variables.*",
        "skip_if",
        "user_key",
        "concurrency.key",
        "tasks[].when",
        "tasks[].except",
        "tasks[].script[]",
        "tasks[].environment.*",
        "tasks[].description",
        "tasks[].fan_out.items",
        "tasks[].fan_out.key",
        "tasks[].sub_workflow.params.*",
        "tasks[].submit.params.*",
        "tasks[].approval.message",
        "tasks[].url",
        "tasks[].agent.prompt",
        "tasks[].agent.model",
        "tasks[].cache.key",
        "tasks[].artifacts.paths[]",
        "triggers[].filter",
        "triggers[].params.*",
    ] {
        assert!(undeclared.contains(expected), "{expected} is not among {undeclared:#?}");
    }
    let unexpected: Vec<_> = accepted.iter().filter(|(place, _)| !is_plain(place)).collect();
    assert!(unexpected.is_empty(), "taken as they are: {unexpected:#?}");
}

#[test]
fn where_no_template_may_stand_one_is_refused_with_a_reason() {
    let job = |keys: &str, task: &str| {
        format!(
            "job_type: a\nparams: {{X: {{}}}}\n{keys}\ntasks:\n- {{task_type: t, script: [x]{task}}}\n- {{task_type: u, dependencies: [], script: [x]}}\n"
        )
    };
    for (source, code) in [
        (job("cron_trigger: \"{{ X }} * * * *\"", ""), "E-CRON"),
        (job("cron_trigger: \"{{ X }}\"", ""), "E-CRON"),
        (job("timezone: \"{{ X }}\"\ncron_trigger: \"* * * * *\"", ""), "E-TIMEZONE"),
        (job("", ", on_completed: \"{{ X }}\""), "E-"),
        (job("", ", on_exit_code: {3: \"{{ X }}\"}"), "E-"),
        (job("", ", on_exit_code: {\"{{ X }}\": u}"), "E-"),
        (job("", ", dependencies: [\"{{ X }}\"]"), "E-"),
        (job("", ", max_visits: \"{{ X }}\""), "E-"),
        (job("", ", method: \"{{ X }}\""), "E-"),
        (job("", "").replace("task_type: t", "task_type: \"{{ X }}\""), "E-NAME"),
        (job("", "").replace("job_type: a", "job_type: \"{{ X }}\""), "E-NAME"),
    ] {
        let found = problems(&source);
        assert!(found.iter().any(|one| one.contains(&format!(" {code}"))), "{source}: {found:?}");
        assert!(found.iter().all(|one| one.len() < 600), "{found:?}");
    }
}
