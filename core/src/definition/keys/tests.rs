use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use super::super::{Limits, names, tree};
use super::*;

#[test]
fn the_table_leads_to_every_mapping() {
    let names: Vec<&str> = vocabularies().iter().map(|vocabulary| vocabulary.what).collect();
    for expected in ["a job", "a task", "a param", "retry_backoff", "artifacts", "an output", "a route", "a dependency"]
    {
        assert!(names.contains(&expected), "{expected} is not reached from the keys of a job");
    }
}

#[test]
fn every_key_is_described_once() {
    for vocabulary in vocabularies() {
        let what = vocabulary.what;
        let mut seen = HashSet::new();
        for key in vocabulary.keys {
            assert!(seen.insert(key.name), "{what}: `{}` is described twice", key.name);
            assert!(key.doc.len() > 10 && key.doc.ends_with(['.', '…', '`', ')']), "{what}: `{}` has no doc", key.name);
            assert!(!key.required || key.default.is_none(), "{what}: `{}` is required and has a default", key.name);
            assert!(!vocabulary.later.contains(&key.name), "{what}: `{}` is known and comes later", key.name);
        }
        for (foreign, ours) in vocabulary.foreign {
            assert!(!seen.contains(foreign), "{what}: `{foreign}` is a key, not a foreign word");
            assert!(seen.contains(ours), "{what}: `{foreign}` stands for `{ours}`, which is no key");
        }
    }
}

#[test]
fn the_words_of_routes_are_those_that_the_loader_knows() {
    let described: Vec<&str> = WORDS.iter().map(|word| word.name).filter(|name| *name != "ERR_").collect();
    assert_eq!(described, names::WORDS);
}

#[test]
fn every_result_is_described() {
    let described: Vec<&str> = word::RESULTS.iter().map(|(name, _)| *name).collect();
    let known: Vec<&str> = crate::engine::ResultName::ALL.iter().map(|result| result.as_str()).collect();
    assert_eq!(described, known);
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files of a directory whose names end with `.yaml`, with their texts.
fn definitions_in(directory: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = std::fs::read_dir(repository().join(directory))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    found.sort();
    found
}

fn as_json(yaml: &str) -> serde_json::Value {
    tree::parse(yaml, &Limits::default()).unwrap().0.unwrap().to_json()
}

/// Notes which keys of which mapping a value uses.
fn uses(value: &serde_json::Value, shape: &Shape, found: &mut HashSet<(&'static str, &'static str)>) {
    match shape {
        Shape::OrTemplate(inner) => uses(value, inner, found),
        Shape::List(item, ..) => value.as_array().into_iter().flatten().for_each(|value| uses(value, item, found)),
        Shape::Map(_, inner) => {
            value.as_object().into_iter().flat_map(|map| map.values()).for_each(|value| uses(value, inner, found));
        }
        Shape::OneOf(shapes) => shapes.iter().for_each(|shape| uses(value, shape, found)),
        Shape::Mapping(vocabulary) => keys_of(value, vocabulary, found),
        Shape::TaskDefaults => keys_of(value, &TASK, found),
        _ => {}
    }
}

fn keys_of(
    value: &serde_json::Value,
    vocabulary: &'static Vocabulary,
    found: &mut HashSet<(&'static str, &'static str)>,
) {
    for key in vocabulary.keys {
        if let Some(value) = value.as_object().and_then(|map| map.get(key.name)) {
            found.insert((vocabulary.what, key.name));
            uses(value, &key.shape, found);
        }
    }
}

#[test]
fn every_key_and_every_word_has_an_example_that_uses_it() {
    let examples: HashMap<String, (String, HashSet<_>)> = definitions_in("workflows/examples")
        .into_iter()
        .map(|(name, text)| {
            let mut found = HashSet::new();
            keys_of(&as_json(&text), &JOB, &mut found);
            (name, (text, found))
        })
        .collect();
    let mut missing = Vec::new();
    for vocabulary in vocabularies() {
        for key in vocabulary.keys {
            if !examples.get(key.example).is_some_and(|(_, found)| found.contains(&(vocabulary.what, key.name))) {
                missing.push(format!("{}.yaml does not use `{}` of {}", key.example, key.name, vocabulary.what));
            }
        }
    }
    for word in WORDS {
        if !examples.get(word.example).is_some_and(|(text, _)| text.contains(word.name)) {
            missing.push(format!("{}.yaml does not use {}", word.example, word.name));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Compares a committed file with what is generated, or writes it when asked to.
fn assert_generated(path: &str, generated: &str) {
    let file = repository().join(path);
    #[expect(clippy::disallowed_methods, reason = "a switch for whoever runs the tests")]
    if std::env::var("UPDATE_GENERATED").is_ok_and(|value| value == "1") {
        std::fs::write(&file, generated).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == generated,
        "{path} is not what the table of keys says: run the tests with UPDATE_GENERATED=1 and commit it"
    );
}

#[test]
fn the_committed_schema_and_pages_are_the_generated_ones() {
    assert_generated("docs/reference/job-definition.schema.json", &format!("{:#}\n", json_schema()));
    for page in reference_pages() {
        assert_generated(&format!("docs/reference/{}", page.file), &page.text);
    }
}

fn validator() -> jsonschema::Validator {
    let schema = json_schema();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

/// The blocks of a page that are definitions, whole and accepted.
fn whole_definitions(markdown: &str) -> impl Iterator<Item = String> {
    markdown.split("\n```yaml").skip(1).filter_map(|rest| {
        let (marks, rest) = rest.split_once('\n')?;
        let block = rest.split("```").next()?;
        let whole = !marks.contains("fragment=") && !marks.contains("other=") && !block.starts_with("# refused");
        whole.then(|| block.to_owned())
    })
}

#[test]
fn every_shipped_workflow_and_every_block_of_the_pages_is_valid_by_the_schema() {
    let validator = validator();
    let mut all = definitions_in("workflows");
    all.extend(definitions_in("workflows/examples"));
    for page in std::fs::read_dir(repository().join("docs")).unwrap().map(|entry| entry.unwrap().path()) {
        if page.extension().is_some_and(|extension| extension == "md") {
            let name = page.file_name().unwrap().to_str().unwrap().to_owned();
            all.extend(whole_definitions(&std::fs::read_to_string(&page).unwrap()).map(|block| (name.clone(), block)));
        }
    }
    assert!(all.len() > 90);
    for (name, text) in all {
        let problems: Vec<String> =
            validator.iter_errors(&as_json(&text)).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(problems.is_empty(), "{name}: {}\n{text}", problems.join("\n"));
    }
}

#[test]
fn the_schema_refuses_what_a_value_alone_shows_to_be_wrong() {
    let validator = validator();
    let job = |rest: &str| format!("job_type: x\ntasks:\n  - task_type: a\n    script: [echo]\n{rest}");
    assert!(validator.is_valid(&as_json(&job(""))));
    for wrong in [
        "    tiemout: 5m",
        "    timeout: 5",
        "    timeout: 5 minutes",
        "    timeout: -1s",
        "    retry: -1",
        "    retry: 1001",
        "    retry: \"3\"",
        "    max_visits: 0",
        "    max_visits: many",
        "    always_run: \"yes\"",
        "    priority: URGENT",
        "    dependencies: build",
        "    dependencies: [{optional: true}]",
        "    dependencies: [{task: a, needed: true}]",
        "    environment: {\"A-B\": x}",
        "    environment: [A]",
        "    when: a\n    except: b",
        "    shell: bash\n    interpreter: python3",
        "    delay_between_retries: 1s\n    retry_backoff: {initial: 1s}",
        "    retry_backoff: {factor: 0.5}",
        "    retry_backoff: {jitter: half}",
        "    retry_backoff: {start: 1s}",
        "    on_exit_code: {COMPLETE: b}",
        "    on_exit_code: {3: {goto: b, max: 0}}",
        "    on_exit_code: {3: {go: b}}",
        "    on_completed: []",
        "    artifacts: {}",
        "    artifacts: [a]",
        "    artifacts: {paths: [a], when: never}",
        "    outputs: {\"a b\": }",
        "    outputs: {a: {from: stdin}}",
        "    outputs: {a: {type: text}}",
        "    tags: gpu",
        "jbo_type: y",
        "version: 1.4",
        "params: {\"a-b\": {}}",
        "params: {a: {type: text}}",
        "params: {a: {requird: true}}",
        "params: {a: {enum: []}}",
        "max_concurrency: 0",
        "misfire: later",
        "cron_trigger: []",
        "retry_from: middle",
        "fail_on: never",
        "inherit_env: HOME",
        "defaults: {task_type: b}",
        "defaults: {nothing: b}",
    ] {
        assert!(!validator.is_valid(&as_json(&job(wrong))), "accepted: {wrong}");
    }
    for wrong in [
        "tasks: []\njob_type: x",
        "tasks: [{task_type: a, script: [b]}]",
        "job_type: x",
        "[]",
        "job_type: X\ntasks: [{task_type: a}]",
    ] {
        assert!(!validator.is_valid(&as_json(wrong)), "accepted: {wrong}");
    }
}
