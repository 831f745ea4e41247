//! `fan_out`, `queue_timeout`, `concurrency`.

use std::time::Duration;

use super::{definition, problems};
use crate::definition::*;

/// A task with these keys after a task that makes a list.
fn task(keys: &str) -> String {
    let keys = keys.replace('\n', "\n    ");
    format!(
        "job_type: a\nparams: {{P: {{}}}}\ntasks:\n  - task_type: plan\n    script: [plan]\n    outputs: [list]\n  - task_type: each\n    dependencies: [plan]\n    script: [work]\n    {keys}\n"
    )
}

fn only(source: &str, expected: &str) {
    assert_eq!(problems(source), [expected]);
}

#[test]
fn all_keys_of_a_fan_out_are_read() {
    let source = task(
        "fan_out: {items: \"{{ tasks.plan.outputs.list }}\", item_var: issue, key: \"{{ issue.id }}-{{ item_index }}\", max_parallel: \"{{ P }}\", fail_fast: true}\nqueue_timeout: 90s\ntags: [\"{{ issue.os }}\"]\nenvironment: {KEY: \"{{ item_key }}\"}",
    );
    let definition = definition(&source);
    let fan_out = definition.tasks[1].fan_out.as_ref().unwrap();
    assert!(matches!(&fan_out.items, VariableValue::Text(text) if text.source.contains("plan")));
    assert_eq!((fan_out.item_var.as_str(), fan_out.fail_fast), ("issue", true));
    assert!(matches!(fan_out.max_parallel, Some(Field::Template(_))));
    assert_eq!(definition.tasks[1].queue_timeout, Some(Field::Value(Duration::from_secs(90))));
    let resolved = definition.resolve_fields(&mut |_| Ok("7".to_owned())).unwrap();
    assert_eq!(resolved.tasks[1].fan_out.as_ref().unwrap().max_parallel, Some(Field::Value(7)));
    let refused = definition.resolve_fields(&mut |_| Ok("0".to_owned())).unwrap_err();
    assert_eq!(refused[0].message, "`max_parallel of the task each`: \"0\" is not a whole number between 1 and 10000");
}

#[test]
fn items_may_be_written_as_a_list() {
    let definition = definition(&task("fan_out: {items: [linux, {os: \"{{ P }}\"}, 3]}"));
    let Some(FanOut { items: VariableValue::List(items), item_var, .. }) = &definition.tasks[1].fan_out else {
        panic!("{definition:?}")
    };
    assert_eq!((items.len(), item_var.as_str()), (3, "item"));
}

#[test]
fn what_is_no_list_of_items_is_refused() {
    only(
        &task("fan_out: {items: {a: 1}}"),
        "10:22 E-TYPE: `items` must be a list or a template, and this is a mapping (a mapping has no order: list its keys, or give a list of mappings)",
    );
    only(
        &task("fan_out: {items: all of them}"),
        "10:22 E-VALUE: \"all of them\" is one text and no list of items (write a list, or a template that gives a JSON array)",
    );
    only(
        &task("fan_out: {max_parallel: 0, items: [1]}"),
        "10:29 E-RANGE: `max_parallel` must be between 1 and 10000, and 0 is not",
    );
    only(
        &task("fan_out: {item_var: x}"),
        "10:14 E-MISSING-KEY: `fan_out` needs `items` (a template that gives a JSON array, or a list: `items: \"{{ tasks.plan.outputs.issues }}\"`)",
    );
    let many = format!("fan_out: {{items: [{}]}}", vec!["1"; 10_001].join(","));
    let found = problems(&task(&many));
    assert!(found[0].ends_with("E-RANGE: `items` may have 10000 items, and this has 10001"), "{found:?}");
}

#[test]
fn the_item_is_known_only_where_there_is_one() {
    only(
        &task("fan_out: {items: [1]}\nwhen: \"{{ item }}\""),
        "11:15 E-UNDECLARED: `item` is not known here: `when` and `items` are rendered before there are items (decide by item inside the script, or leave the item out of `items`)",
    );
    let elsewhere = task("fan_out: {items: [1]}").replace("script: [plan]", "script: [\"echo {{ item }}\"]");
    let found = problems(&elsewhere);
    assert!(found[0].contains("E-UNDECLARED: nothing declares `item`"), "{found:?}");
    assert_eq!(problems(&task("fan_out: {items: [1]}\ndescription: \"{{ item }} {{ item_index }}\"")), [""; 0]);
}

#[test]
fn the_name_of_the_item_hides_nothing() {
    only(
        &task("fan_out: {items: [1], item_var: P}"),
        "10:14 E-CONFLICT: `P` of this `fan_out` would hide the param of the same name (give the item another name with `item_var`, or rename the param)",
    );
    only(
        &task("fan_out: {items: [1], item_var: Nonce}"),
        "10:37 E-RESERVED-NAME: the variable of an item cannot be named Nonce: the name means something of its own in templates (choose another name)",
    );
    only(
        &task("fan_out: {items: [1], item_var: item_key}"),
        "10:37 E-RESERVED-NAME: the variable of an item cannot be named item_key: every item has item_key already (choose another name)",
    );
    only(
        &task("fan_out: {items: [1]}").replace("{P: {}}", "{item_index: {}}"),
        "10:14 E-CONFLICT: `item_index` of this `fan_out` would hide the param of the same name (rename the param)",
    );
}

#[test]
fn an_always_run_task_runs_once() {
    let found = problems(&task("fan_out: {items: [1]}\nalways_run: true"));
    assert_eq!(
        found,
        [
            "10:14 E-ALWAYS-RUN: an `always_run` task cannot have a `fan_out`: it runs once, whatever happened (go through the items inside its script)"
        ]
    );
}

#[test]
fn concurrency_has_a_key_and_a_choice() {
    let job = |keys: &str| format!("job_type: a\n{keys}\nparams: {{P: {{}}}}\ntasks:\n- task_type: t\n  script: [x]\n");
    let read = definition(&job("concurrency: {key: \"deploy-{{ P }}\", on_conflict: cancel_running}"));
    assert_eq!(read.concurrency.unwrap().on_conflict, OnConflict::CancelRunning);
    assert_eq!(definition(&job("concurrency: {key: x}")).concurrency.unwrap().on_conflict, OnConflict::Queue);
    only(
        &job("concurrency: 3"),
        "2:14 E-TYPE: `concurrency` must be a mapping, and this is the number 3 (write {key: \"…\", on_conflict: queue}; how many jobs of one definition may run at once is `max_concurrency`)",
    );
    only(
        &job("concurrency: {on_conflict: skip}"),
        "2:14 E-MISSING-KEY: `concurrency` needs `key` (a template, such as `key: \"deploy-{{ Environment }}\"`)",
    );
    let found = problems(&job("concurrency: {key: a, on_conflict: kill}"));
    assert!(found[0].contains("`on_conflict` must be queue, skip or cancel_running"), "{found:?}");
    let found = problems(&job("concurrency: {key: \"{{ tasks.t.state }}\"}"));
    assert!(
        found[0].contains("`tasks` is not known here: `concurrency.key` is evaluated when the job is submitted"),
        "{found:?}"
    );
}
