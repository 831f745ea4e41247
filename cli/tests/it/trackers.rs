//! The workflows of other trackers are those of GitHub but for what speaks to the tracker.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Map, Value};

use crate::live_server::repository;

/// The tasks that speak to the tracker or to the forge, and to nothing else.
const TRACKER: [&str; 9] =
    ["claim", "issue", "create-pr", "label-pr", "monitor-pr", "confirm", "notify-blocked", "final-labels", "cleanup"];

fn workflow(name: &str) -> Value {
    let text = fs::read_to_string(repository().join("workflows").join(name)).expect("the workflow is shipped");
    serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn tasks(definition: &Value) -> Map<String, Value> {
    let tasks = definition["tasks"].as_array().expect("a definition has tasks");
    tasks.iter().map(|task| (task["task_type"].as_str().expect("a task has a name").to_owned(), task.clone())).collect()
}

/// The keys whose values differ.
fn differing(one: &Value, other: &Value) -> BTreeSet<String> {
    let keys = |value: &Value| value.as_object().expect("a map").keys().cloned().collect::<BTreeSet<_>>();
    keys(one).union(&keys(other)).filter(|key| one.get(key.as_str()) != other.get(key.as_str())).cloned().collect()
}

/// The keys of the job that differ, and `task.key` outside of what speaks to the tracker.
fn differences(one: &Value, other: &Value) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = differing(one, other).into_iter().filter(|key| key != "tasks").collect();
    let (one, other) = (tasks(one), tasks(other));
    let names = |tasks: &Map<String, Value>| tasks.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&one), names(&other), "the same tasks in the same order");
    for (name, task) in one.iter().filter(|(name, _)| !TRACKER.contains(&name.as_str())) {
        found.extend(differing(task, &other[name]).into_iter().map(|key| format!("{name}.{key}")));
    }
    found
}

#[test]
fn local_issues_are_worked_on_like_those_of_github() {
    // Where it lies, and without a password.
    let expected = [
        "job_type",
        "description",
        "params",
        "workspace",
        "setup.environment",
        "push.environment",
        "sync.environment",
        "push-fixes.environment",
        "remember.environment",
    ];
    let found = differences(&workflow("gh-implement.yaml"), &workflow("local-implement.yaml"));
    assert_eq!(found, expected.iter().map(|name| (*name).to_owned()).collect());
}

#[test]
fn issues_of_jira_are_worked_on_like_those_of_github() {
    // Where it lies, and with which password.
    let expected = [
        "job_type",
        "description",
        "params",
        "workspace",
        "setup.environment",
        "push.environment",
        "sync.environment",
        "push-fixes.environment",
        "remember.environment",
    ];
    let found = differences(&workflow("gh-implement.yaml"), &workflow("jira-implement.yaml"));
    assert_eq!(found, expected.iter().map(|name| (*name).to_owned()).collect());
}

#[test]
fn issues_of_jira_are_looked_for_like_those_of_github() {
    let (github, jira) = (workflow("gh-issue-picker.yaml"), workflow("jira-issue-picker.yaml"));
    let keys = differing(&github, &jira);
    let allowed = ["description", "job_type", "job_variables", "skip_if", "tasks"];
    assert!(keys.iter().all(|key| allowed.contains(&key.as_str())), "{keys:?}");
    let (github, jira) = (tasks(&github), tasks(&jira));
    assert_eq!(github.keys().collect::<Vec<_>>(), jira.keys().collect::<Vec<_>>(), "the same tasks in the same order");
    for name in ["look", "submit"] {
        assert_eq!(differing(&github[name], &jira[name]), BTreeSet::from(["submit".to_owned()]), "{name}");
        let (one, other) = (&github[name]["submit"], &jira[name]["submit"]);
        let differ: Vec<String> = differing(one, other).into_iter().filter(|key| key != "params").collect();
        // Jira calls a number a key.
        assert_eq!(differ, ["items", "job_type"], "{name}");
    }
}

#[test]
fn whoever_has_a_credential_of_jira_or_bitbucket_is_no_agent() {
    let definition = workflow("jira-implement.yaml");
    let with_git = ["setup", "push", "sync", "push-fixes", "remember"];
    for (name, task) in tasks(&definition) {
        let has = task.to_string().contains("secrets.");
        assert!(!has || TRACKER.contains(&name.as_str()) || with_git.contains(&name.as_str()), "{name} has a secret");
        assert!(!has || task.get("agent").is_none(), "{name} is an agent");
        let both = task.to_string().contains("JiraLogin") && task.to_string().contains("BitbucketToken");
        assert!(!both, "{name} speaks to one of the two");
    }
    assert!(!definition["environment"].to_string().contains("secrets."));
}

#[test]
fn local_issues_are_looked_for_like_those_of_github() {
    let (github, local) = (workflow("gh-issue-picker.yaml"), workflow("local-issue-picker.yaml"));
    let keys = differing(&github, &local);
    let allowed = ["defaults", "description", "job_type", "job_variables", "skip_if", "tasks"];
    assert!(keys.iter().all(|key| allowed.contains(&key.as_str())), "{keys:?}");
    let (github, local) = (tasks(&github), tasks(&local));
    for name in ["look", "submit"] {
        let mut keys = differing(&github[name], &local[name]);
        // Which definition, and after it nothing is left to label: each job moves its own issue.
        for known in ["submit", "on_completed", "on_failed"] {
            keys.remove(known);
        }
        assert_eq!(keys, BTreeSet::new(), "{name}");
        let (one, other) = (&github[name]["submit"], &local[name]["submit"]);
        let differ: Vec<String> = differing(one, other).into_iter().filter(|key| key != "params").collect();
        assert_eq!(differ, ["job_type"], "{name}");
    }
}
