//! GITHUB tasks.

use super::{definition, problems};
use crate::definition::*;

fn task(github: &str) -> String {
    format!("job_type: a\ntasks:\n- task_type: t\n  environment: {{GITHUB_TOKEN: x, KEY: y}}\n  github: {github}\n")
}

#[track_caller]
fn only(github: &str, expected: &str) {
    assert_eq!(problems(&task(github)), [expected]);
}

#[test]
fn an_operation_is_read_with_its_settings() {
    let job = definition(&task(
        "{operation: list_issues, repo: o/r, labels: [a, \"{{ TaskType }}\"], limit: 7, trusted_only: true, api_url: \"https://ghe/api/v3\", request_timeout: 5s, allow: [ghe], login: me}",
    ));
    let Method::Github(options) = &job.tasks[0].method else { panic!("it is for GitHub") };
    assert_eq!((options.operation, options.settings.len()), (GithubOperation::ListIssues, 4));
    assert_eq!(options.variables().map(|(name, _)| name).collect::<Vec<_>>(), [GITHUB_TOKEN]);
    assert_eq!(options.api_url.source, "https://ghe/api/v3");
    assert!(job.tasks[0].method.runs_on_ant() && job.tasks[0].method.may_run_twice());
    let outputs: Vec<&str> = job.tasks[0].output_names().collect();
    assert_eq!(outputs, ["status", "issues", "count", "more"]);

    let job = definition(&task(
        "{operation: comment, repo: \"{{ JobType }}/r\", number: 3, body: hi, app: {id: 1, private_key: \"${KEY}\"}}",
    ));
    let Method::Github(options) = &job.tasks[0].method else { panic!("it is for GitHub") };
    assert!(
        matches!(&options.credential, GithubCredentialSpec::App { id, installation: None, .. } if id.source == "1")
    );
    assert_eq!(options.variables().map(|(name, _)| name).collect::<Vec<_>>(), ["KEY"]);
}

#[test]
fn statuses_can_be_routed_and_outputs_come_from_the_document() {
    let text = task("{operation: get_issue, repo: o/r, number: 1}")
        + "  outputs: {title: {json_path: issue.title}}\n  on_exit_code: {429: {reschedule: 1m}, \"500-599\": FAILED}\n";
    let job = definition(&text);
    assert_eq!(job.tasks[0].outputs[0].source, OutputSource::Body);
    assert_eq!(job.tasks[0].routes[0].matches, RouteMatch::Code(429));
}

#[test]
fn what_is_wrong_with_an_operation_is_said() {
    assert_eq!(
        problems("job_type: a\ntasks:\n- task_type: t\n  method: GITHUB\n"),
        [
            "3:3 E-MISSING-KEY: this GITHUB task has no `github` (write `github: {operation: list_issues, repo: owner/name}`)"
        ]
    );
    only(
        "{repo: o/r}",
        "5:11 E-MISSING-KEY: `github` has no `operation` (say what to do: list_issues, search_issues, get_issue, set_labels, comment, create_pull_request, find_pull_request, update_pull_request, pr_activity, request_review, create_branch, delete_branch, close_issue or reopen_issue)",
    );
    only("{operation: list_issues}", "5:11 E-MISSING-KEY: `list_issues` needs `repo`");
    only(
        "{operation: close_issue, repo: o/r, number: 1, body: x}",
        "5:58 E-OPTION: `close_issue` has no `body` (it takes repo, number, reason)",
    );
    only(
        "{operation: list_issues, repo: nothing}",
        "5:42 E-VALUE: `repo` must be owner/name of a repository, and it is \"nothing\"",
    );
    only(
        "{operation: list_issues, repo: o/r, limit: 5000}",
        "5:54 E-VALUE: `limit` must be a whole number from 1 to 1000, and it is 5000",
    );
    only(
        "{operation: set_labels, repo: o/r, number: 1}",
        "5:11 E-MISSING-KEY: `set_labels` is given nothing to do (it takes add, remove or replace)",
    );
    only(
        "{operation: set_labels, repo: o/r, number: 1, replace: [a], add: [b]}",
        "5:11 E-CONFLICT: `replace` says all the labels that there are: it excludes `add` and `remove`",
    );
    only(
        "{operation: update_pull_request, repo: o/r, number: 1, state: all}",
        "5:11 E-VALUE: a pull request becomes `open` or `closed`, not `all`",
    );
    only(
        "{operation: list_issues, repo: o/r, api_url: github.com}",
        "5:56 E-URL: `api_url` must begin with http:// or https://, and \"github.com\" does not (write https://example.com/path)",
    );
    only(
        "{operation: list_issues, repo: o/r, issue: 3}",
        "5:47 E-UNKNOWN-KEY: github has no key `issue` (did you mean `number`?)",
    );
}

#[test]
fn what_opens_doors_stands_in_no_definition() {
    let help = "(write \"${GITHUB_TOKEN}\", and `environment: {GITHUB_TOKEN: \"{{ secrets.GithubToken }}\"}`)";
    only(
        "{operation: list_issues, repo: o/r, token: ghp_1}",
        &format!(
            "5:54 E-SECRET-PLACE: `token` must be a variable of the environment: whatever stands here can be seen by everybody {help}"
        ),
    );
    only(
        "{operation: list_issues, repo: o/r, app: {id: 1, private_key: x}}",
        &format!(
            "5:73 E-SECRET-PLACE: `private_key` must be a variable of the environment: whatever stands here can be seen by everybody {help}"
        ),
    );
    only(
        "{operation: list_issues, repo: o/r, token: \"${GITHUB_TOKEN}\", app: {id: 1, private_key: \"${KEY}\"}}",
        "5:73 E-CONFLICT: `token` and `app` exclude each other: a task asks as one",
    );
    only("{operation: list_issues, repo: o/r, app: {id: 1}}", "5:52 E-MISSING-KEY: `github.app` needs `private_key`");
    only(
        "{operation: list_issues, repo: o/r, token: \"${OTHER}\"}",
        "5:54 E-UNDECLARED: `${OTHER}` is no variable of this task's environment (set it: `environment: {OTHER: …}`)",
    );
}
