//! SUBMIT_JOBS, FORK_JOB, AWAIT_FORKED_JOB.

use super::{definition, problems};
use crate::definition::{Method, VariableValue};

fn task(lines: &str) -> String {
    let lines: String = lines.lines().map(|line| format!("  {line}\n")).collect();
    format!("job_type: a\nparams:\n  Names: {{type: array}}\ntasks:\n- task_type: t\n{lines}")
}

fn only(source: &str, expected: &str) {
    assert_eq!(problems(source), [expected], "for:\n{source}");
}

#[test]
fn a_submission_is_read_with_its_defaults() {
    let source =
        task("submit:\n  job_type: build\n  items: \"{{ Names }}\"\n  params: {Name: \"{{ item }}\", Fast: true}");
    let definition = definition(&source);
    let Method::SubmitJobs(options) = &definition.tasks[0].method else { panic!("{definition:?}") };
    assert_eq!((options.item_var.as_str(), options.params.len()), ("item", 2));
    assert!(matches!(&options.items, VariableValue::Text(text) if text.source == "{{ Names }}"));
    assert!(matches!(&options.params["Fast"], VariableValue::Scalar(value) if value == true));
}

#[test]
fn the_method_may_be_said_as_well() {
    let source = task(
        "method: SUBMIT_JOBS\nsubmit: {job_type: build, items: [a, \"{{ Names[0] }}\"], item_var: name, user_key: \"{{ name }}\"}",
    );
    assert_eq!(problems(&source), [""; 0]);
}

#[test]
fn the_item_is_known_in_the_submission_only() {
    let source = task(
        "description: \"{{ item }}\"\nsubmit: {job_type: build, items: \"{{ item }}\", params: {X: \"{{ item }}\"}}",
    );
    let found = problems(&source);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found.iter().all(|one| one.contains("E-UNDECLARED: nothing declares `item`")), "{found:#?}");
}

#[test]
fn an_item_called_like_a_param_is_refused() {
    only(
        &task("submit: {job_type: build, items: \"{{ Names }}\", item_var: Names}"),
        "6:22 E-CONFLICT: `Names` of this `submit` would hide the param or job variable of the same name (give the item another name with `item_var`)",
    );
}

#[test]
fn what_is_missing_is_said() {
    only(
        &task("method: SUBMIT_JOBS"),
        "5:3 E-MISSING-KEY: this SUBMIT_JOBS task has no `submit` (write `submit: {job_type: build, items: \"{{ Items }}\", params: {Name: \"{{ item }}\"}}`)",
    );
    only(
        &task("submit: {job_type: build}"),
        "6:11 E-MISSING-KEY: `submit` needs `items`: one job is submitted for each (a template that yields an array, or a list; for one job write `items: [1]`)",
    );
    only(
        &task("sub_workflow: {}"),
        "6:17 E-MISSING-KEY: `sub_workflow` needs `job_type`: which job it is (name a definition of the server: `job_type: build`)",
    );
    only(
        &task("method: AWAIT_FORKED_JOB"),
        "5:3 E-MISSING-KEY: this AWAIT_FORKED_JOB task has no `await_forked_tasks` (name the FORK_JOB tasks whose jobs it waits for: `await_forked_tasks: [fork-build]`)",
    );
}

#[test]
fn items_that_are_no_list_are_refused() {
    for (items, code, said) in [
        ("5", "E-TYPE", "`items` must be text"),
        ("text", "E-VALUE", "is one text and no list of items"),
        ("{a: 1}", "E-TYPE", "`items` must be a list or a template"),
    ] {
        let found = problems(&task(&format!("submit: {{job_type: build, items: {items}}}")));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].contains(code) && found[0].contains(said), "{found:#?}");
    }
    let many = vec!["1"; 1001].join(", ");
    let found = problems(&task(&format!("submit: {{job_type: build, items: [{many}]}}")));
    assert!(
        found.len() == 1 && found[0].contains("E-RANGE: `items` may have 1000 items, and this has 1001"),
        "{found:#?}"
    );
}

#[test]
fn options_of_one_method_do_not_fit_another() {
    only(
        &task("sub_workflow: {job_type: b}\nscript: [make]"),
        "7:3 E-OPTION: `script` is an option of SHELL, and this is a task of the method FORK_JOB (FORK_JOB has sub_workflow)",
    );
    only(
        &task("script: [make]\nsubmit: {job_type: b, items: [1]}"),
        "6:3 E-OPTION: `script` is an option of SHELL, and this is a task of the method SUBMIT_JOBS (SUBMIT_JOBS has submit)",
    );
}

#[test]
fn keys_for_ants_are_warned_of_where_no_ant_runs() {
    only(
        &task("sub_workflow: {job_type: b}\noutputs: [x]"),
        "7:3 W-UNUSED-KEY: `outputs` has no effect: no ant runs this task",
    );
}

#[test]
fn a_fork_of_itself_is_refused() {
    only(
        &task("sub_workflow: {job_type: a}"),
        "6:28 E-FORK-SELF: a forks itself, which would never end (put the repeated part into a definition of its own, or use a loop)",
    );
}

#[test]
fn a_version_is_no_template_and_an_output_has_no_taken_name() {
    only(
        &task("sub_workflow: {job_type: b, version: \"{{ Names }}\"}"),
        "6:40 E-VALUE: `version` cannot hold a template (write a semantic version or the digest of a version; leave it out for the newest)",
    );
    only(
        &task("sub_workflow: {job_type: b, outputs: {state: \"{{ JobID }}\"}}"),
        "6:41 E-RESERVED-NAME: every FORK_JOB task has an output `state` already (choose another name, or use that one)",
    );
}

#[test]
fn outputs_use_names_of_the_other_definition() {
    assert_eq!(
        problems(&task("sub_workflow: {job_type: b, outputs: {digest: \"{{ tasks.build.outputs.digest }}\"}}")),
        [""; 0]
    );
    let found = problems(&task("sub_workflow: {job_type: b, outputs: {digest: \"{{ tasks. }}\"}}"));
    assert!(found.len() == 1 && found[0].contains("E-TEMPLATE"), "{found:#?}");
}

#[test]
fn only_forks_can_be_awaited() {
    let source = |awaited: &str| {
        format!(
            "job_type: a\ntasks:\n- {{task_type: fork, sub_workflow: {{job_type: b, wait: false}}}}\n- {{task_type: make, script: [make]}}\n- task_type: wait\n  await_forked_tasks: {awaited}\n  dependencies: [fork]\n"
        )
    };
    assert_eq!(problems(&source("[fork]")), [""; 0]);
    only(
        &source("[frok]"),
        "6:24 E-UNKNOWN-TASK: `await_forked_tasks` names frok, and there is no such task (did you mean fork?)",
    );
    only(
        &source("[make]"),
        "6:24 E-VALUE: the task make forks no job that could be awaited (name tasks of the method FORK_JOB, those with `sub_workflow`)",
    );
    only(&source("[fork, fork]"), "6:30 E-CONFLICT: `await_forked_tasks` names fork twice");
    only(&source("[]"), "6:23 E-VALUE: `await_forked_tasks` is empty: there is nothing to wait for");
}

#[test]
fn an_await_that_nothing_orders_is_warned_of() {
    only(
        "job_type: a\ntasks:\n- {task_type: fork, sub_workflow: {job_type: b, wait: false}}\n- {task_type: wait, await_forked_tasks: [fork]}\n",
        "4:42 W-NOT-ANCESTOR: no path leads from fork to wait: its job need not exist when it is awaited (add fork to the dependencies of wait)",
    );
}

#[test]
fn a_definition_is_not_triggered_by_its_own_end() {
    only(
        "job_type: a\ntriggers: [{type: job, job_type: [b, a]}]\ntasks: [{task_type: t, script: [x]}]\n",
        "2:19 E-TRIGGER-SELF: a is triggered by its own end, which would never end (use `cron_trigger`, a loop, or SUBMIT_JOBS with a condition)",
    );
}
