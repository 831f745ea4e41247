//! APPROVAL tasks, and who is told of what.

use std::time::Duration;

use super::*;
use crate::engine::JobState;

fn approval(options: &str) -> String {
    format!("job_type: a\ntasks:\n- task_type: ask\n  approval:\n    {}\n", options.replace('\n', "\n    "))
}

fn only(source: &str, expected: &str) {
    let found = problems(source);
    assert_eq!(found, [expected], "for:\n{source}");
}

fn options_of(source: &str) -> ApprovalOptions {
    let definition = definition(source);
    let Method::Approval(options) = &definition.tasks[0].method else { panic!("{:?}", definition.tasks[0].method) };
    options.clone()
}

#[test]
fn an_approval_is_read_with_all_its_options() {
    let options = options_of(&approval(
        "min_approvals: 2\nusers: [alice, bob@example.org]\nroles: [release]\ntimeout: 2h\ntimeout_action: escalate\nmessage: \"Ship it?\"",
    ));
    assert_eq!((options.min_approvals, options.unanimous), (2, false));
    assert_eq!((options.users.join(" "), options.roles.join(" ")), ("alice bob@example.org".into(), "release".into()));
    assert_eq!(options.timeout, Some(Field::Value(Duration::from_hours(2))));
    assert_eq!(options.timeout_action, ApprovalTimeout::Escalate);
    assert_eq!(options.message.unwrap().source, "Ship it?");
    for (source, least) in [
        ("job_type: a\ntasks:\n- {task_type: ask, method: APPROVAL}\n", 1),
        ("job_type: a\ntasks:\n- {task_type: ask, method: MANUAL, approval: {min_approvals: 5}}\n", 5),
        ("job_type: a\ntasks:\n- {task_type: ask, approval: {roles: [ops], min_approvals: 9}}\n", 9),
    ] {
        let options = options_of(source);
        assert_eq!((options.min_approvals, options.timeout_action), (least, ApprovalTimeout::Reject), "{source}");
    }
}

#[test]
fn an_approval_that_nobody_could_give_is_refused() {
    only(
        &approval("users: [alice, bob]\nmin_approvals: 3"),
        "6:20 E-RANGE: `min_approvals` is 3, and only 2 may vote: it could never be approved (each person has one vote: name more `users` or a role)",
    );
    only(&approval("min_approvals: 0"), "5:20 E-RANGE: `min_approvals` must be between 1 and 1000, and 0 is not");
    only(
        &approval("unanimous: true"),
        "5:5 E-CONFLICT: `unanimous` needs `users`: all of them have to approve (name them: `users: [alice, bob]`)",
    );
    only(
        &approval("unanimous: true\nusers: [alice]\nroles: [ops]"),
        "5:5 E-CONFLICT: `unanimous` and `roles` exclude each other: who holds a role may change while people vote (name the `users`, or ask for `min_approvals`)",
    );
    only(
        &approval("unanimous: true\nusers: [alice]\nmin_approvals: 1"),
        "5:5 E-CONFLICT: `unanimous` and `min_approvals` exclude each other: all `users` have to approve (keep one of the two)",
    );
    only(&approval("users: [alice, alice]"), "5:20 E-VALUE: alice is named twice");
    let found = problems(&approval("users: [\"{{ Who }}\"]"));
    assert!(
        found.len() == 1 && found[0].contains("5:13 E-NAME: \"{{ Who }}\" cannot be the name of a user"),
        "{found:?}"
    );
}

#[test]
fn options_of_an_approval_that_say_nothing_are_refused() {
    only(
        &approval("timeout_action: approve"),
        "5:5 E-CONFLICT: `timeout_action` has no effect without `timeout` (say how long it waits: `timeout: 2d`)",
    );
    let found = problems(&approval("timeout: 1h\ntimeout_action: aprove"));
    assert!(found[0].contains("did you mean approve?"), "{found:?}");
    let found = problems(&approval("approvers: [alice]"));
    assert!(found[0].contains("E-UNKNOWN-KEY: approval has no key `approvers` (did you mean `users`?)"), "{found:?}");
    let found = problems("job_type: a\ntasks:\n- {task_type: ask, method: APPROVAL, script: [x]}\n");
    assert!(
        found[0].contains("E-OPTION: `script` is an option of SHELL, and this is a task of the method APPROVAL"),
        "{found:?}"
    );
    let found = problems(&approval("message: \"{{ Nobody }}\""));
    assert!(found[0].contains("E-UNDECLARED: nothing declares `Nobody`"), "{found:?}");
}

fn job(lines: &str) -> String {
    format!("job_type: a\n{lines}\ntasks:\n- {{task_type: build, script: [make]}}\n")
}

#[test]
fn notifications_are_read_and_know_what_they_are_about() {
    let job = definition(&job(
        "notify:\n- {when: [on_failure, on_approval], slack: {url: \"https://hooks.example/x\"}}\n- {when: never, email: {to: a@example.org}}\n- {email: {to: [voters, \"Team <b@example.org>\"], subject: hi}}\nwebhook: {url: \"http://127.0.0.1/\", when: on_success, headers: {X-Team: 7}}",
    ));
    let about = |state| job.notify.iter().map(|one| one.is_about(state)).collect::<Vec<_>>();
    assert_eq!(about(JobState::Failed), [true, false, true, false]);
    assert_eq!(about(JobState::Completed), [false, false, true, true]);
    assert_eq!(about(JobState::Paused), [false; 4]);
    assert_eq!(about(JobState::Running), [false; 4]);
    assert!(job.notify[0].is_about_approvals() && !job.notify[2].is_about_approvals());
    assert_eq!(job.notify[3].webhook.as_ref().unwrap().headers["X-Team"].source, "7");
}

#[test]
fn notifications_that_lead_nowhere_are_refused() {
    only(
        &job("notify:\n- {when: always}"),
        "3:3 E-MISSING-KEY: this entry of `notify` says neither `webhook` nor `slack` nor `email` (say where to: `slack: {url: …}`)",
    );
    only(
        &job("webhook: {url: example.org}"),
        "2:16 E-VALUE: `url` is no address of the web: \"example.org\" (it begins with https:// or http://)",
    );
    only(
        &job("webhook: {when: always}"),
        "2:1 E-MISSING-KEY: `webhook` has no `url` (write `webhook: {url: \"https://…\"}`)",
    );
    only(
        &job("webhook: {url: \"https://x\", when: [never, always]}"),
        "2:35 E-CONFLICT: `never` stands beside other words (never means never: leave the others out)",
    );
    only(
        &job("webhook: {url: \"https://x\", headers: {X-Atta-Delivery: x}}"),
        "2:39 E-RESERVED-NAME: the header field X-Atta-Delivery is set by Atta itself",
    );
    only(
        &job("notify: [{email: {to: nobody}}]"),
        "2:23 E-VALUE: \"nobody\" is no e-mail address (one address such as team@example.org or \"Team <team@example.org>\"; several are a list)",
    );
    let found = problems(&job("webhook: {url: \"https://x/{{ tasks.build.outputs.x }}\"}"));
    assert!(found[0].contains("`tasks` is not known here: an address is made without the tasks"), "{found:?}");
    assert!(problems(&job("webhook: {url: \"https://x/{{ secrets.A }}\", secret: \"{{secrets.B}}\"}")).is_empty());
    for elsewhere in [
        "notify: [{message: \"{{ secrets.A }}\", slack: {url: \"https://x\"}}]",
        "notify: [{email: {to: \"{{ secrets.A }}@x\"}}]",
        "webhook: {url: \"https://x/{{ secrets.A | upper }}\"}",
    ] {
        assert!(!problems(&job(elsewhere)).is_empty(), "{elsewhere}");
    }
    let found = problems(&job("notify: [{when: on_sucess, slack: {url: \"https://x\"}}]"));
    assert!(found[0].contains("did you mean on_success?"), "{found:?}");
}
