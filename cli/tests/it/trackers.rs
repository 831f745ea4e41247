//! The workflows of other trackers are those of GitHub but for what speaks to the tracker.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Map, Value};

use crate::live_server::repository;
use crate::scratch::Scratch;

/// The tasks that speak to the tracker or to the forge, and to nothing else.
const TRACKER: [&str; 11] = [
    "claim",
    "issue",
    "create-pr",
    "label-pr",
    "monitor-pr",
    "still-open",
    "confirm",
    "confirm-blocked",
    "notify-blocked",
    "final-labels",
    "cleanup",
];

pub(crate) fn workflow(name: &str) -> Value {
    let text = fs::read_to_string(repository().join("workflows").join(name)).expect("the workflow is shipped");
    serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub(crate) fn tasks(definition: &Value) -> Map<String, Value> {
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
        "job_variables",
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
        "job_variables",
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

/// A job's workspace is made by its first task with a script: whatever that has opens the repository.
#[test]
fn the_checkout_is_made_by_a_task_that_has_the_password() {
    for name in ["gh-implement.yaml", "jira-implement.yaml"] {
        let definition = workflow(name);
        let mut tasks = definition["tasks"].as_array().expect("a definition has tasks").iter();
        let first = tasks.find(|task| task.get("script").is_some()).expect("there are scripts");
        assert_eq!(first["task_type"], "setup", "{name}");
        assert!(first["environment"].get("GIT_PASSWORD").is_some(), "{name}");
    }
}

/// The limits of all reschedules in a task's routes, those that are merged into them included.
fn limits(routes: &Value, found: &mut BTreeSet<String>) {
    for route in routes.as_object().into_iter().flat_map(Map::values) {
        match route.get("until") {
            Some(until) => {
                found.insert(until.to_string());
            }
            None => limits(route, found),
        }
    }
}

/// A limit counts from the start of the visit: with two of them, whoever has waited by the longer one is past the shorter one.
#[test]
fn a_task_that_waits_does_so_by_one_limit() {
    for name in ["gh-implement.yaml", "jira-implement.yaml", "local-implement.yaml"] {
        for (task, definition) in tasks(&workflow(name)) {
            let mut found = BTreeSet::new();
            limits(&definition["on_exit_code"], &mut found);
            assert!(found.len() <= 1, "{name}: {task} waits until {found:?}");
            assert_eq!(found.contains("\"{{ Follow }}\""), task == "monitor-pr", "{name}: {task}");
        }
    }
}

/// What `atta plan` tells of an issue's way, with these results.
fn planned(name: &str, assumed: &[&str]) -> String {
    let file = repository().join("workflows").join(name).display().to_string();
    let params: &[&str] = match name {
        "gh-implement.yaml" => &["Repo=acme/shop", "Issue=7"],
        "jira-implement.yaml" => &["Jira=https://acme.example", "Repo=acme/shop", "Issue=SHOP-7"],
        _ => &["Forge=/srv/forge", "Issue=7"],
    };
    let mut arguments = vec!["plan", file.as_str()];
    arguments.extend(params.iter().flat_map(|param| ["-p", *param]));
    arguments.extend(assumed.iter().flat_map(|result| ["--assume", *result]));
    let done = Scratch::new().atta(&arguments);
    assert_eq!(done.code, 0, "{name} {assumed:?}: {done:#?}");
    let words = done.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{words} ")
}

/// What is planned when feedback is worked on, and the pull request is merged after it.
const FEEDBACK: &str = "triage=0,20";
/// What is planned when it is merged at once.
const MERGED: &str = "triage=20";

#[test]
fn each_end_of_a_step_leads_where_its_reason_is_told() {
    let cases: [(&[&str], &str, &str); 17] = [
        // A refused clone waits for a person, and an earlier job's branch ends this one before it costs anything.
        (&["setup=INVALID,0", MERGED], "setup INVALID INVALID → PAUSE_JOB … PAUSED", "COMPLETED"),
        (&["setup=11"], "setup exit 11 11 → END_BLOCKED", "BLOCKED"),
        // A machine that was started anew.
        (
            &["unit-test=LOST,0", MERGED],
            "LOST → RESCHEDULE … unit-test waits 1m ▶ unit-test COMPLETED (attempt 2)",
            "COMPLETED",
        ),
        (&["check=START_FAILED,0", MERGED], "check waits 1m ▶ check COMPLETED (attempt 2)", "COMPLETED"),
        (&["triage=LOST,20"], "triage waits 1m ▶ triage exit 20 (attempt 2)", "COMPLETED"),
        (
            &["unit-test=KILLED"],
            "unit-test KILLED KILLED → ERR_KILLED FAILED → ERR_TESTS_FAILING",
            "FAILED (ERR_KILLED",
        ),
        (&["check=KILLED"], "check KILLED KILLED → ERR_KILLED", "FAILED (ERR_KILLED"),
        // Limits are what they say: nothing is tried twice.
        (&["plan=MAX_TURNS"], "plan MAX_TURNS MAX_TURNS → END_BLOCKED", "BLOCKED"),
        (&["implement=TIMED_OUT"], "implement TIMED_OUT TIMED_OUT → END_BLOCKED", "BLOCKED"),
        (&["self-verify=CONTEXT"], "self-verify CONTEXT CONTEXT → END_BLOCKED", "BLOCKED"),
        // Who has said something is answered.
        (&[FEEDBACK, "retest=3"], "retest exit 3 (visit 3) FAILED → confirm-blocked", "BLOCKED"),
        (&[FEEDBACK, "retest=TIMED_OUT"], "retest TIMED_OUT FAILED → confirm-blocked", "BLOCKED"),
        (&[FEEDBACK, "recheck=3"], "recheck exit 3 FAILED → confirm-blocked", "BLOCKED"),
        (&[FEEDBACK, "address-feedback=MAX_TURNS"], "MAX_TURNS MAX_TURNS → confirm-blocked", "BLOCKED"),
        (&[FEEDBACK, "address-feedback=NO_VERDICT"], "NO_VERDICT → ERR_NO_VERDICT FAILED → confirm-blocked", "BLOCKED"),
        (&["triage=10"], "SKIPPED (not_reached) LOOP_LIMIT → END_BLOCKED", "BLOCKED"),
        // What was closed meanwhile gets nothing pushed.
        (&[FEEDBACK, "push-fixes=10"], "push-fixes exit 10 10 → confirm", "COMPLETED"),
    ];
    for name in ["gh-implement.yaml", "jira-implement.yaml", "local-implement.yaml"] {
        for (assumed, way, end) in cases {
            let told = planned(name, assumed);
            assert!(told.contains(way), "{name} {assumed:?}: {way} is not in {told}");
            let verdict = format!(" {}: {end}", name.trim_end_matches(".yaml"));
            assert!(told.contains(&verdict), "{name} {assumed:?}: {verdict} is not in {told}");
        }
    }
}

#[test]
fn the_last_words_and_labels_outlast_an_outage_of_an_hour() {
    let many = |failure: &str, success: &str| format!("{failure},").repeat(40) + success;
    for (name, words, end) in [
        ("gh-implement.yaml", many("503", "200"), "notify-blocked status 200 (attempt 41)"),
        ("jira-implement.yaml", many("69", "0"), "notify-blocked COMPLETED (attempt 41)"),
    ] {
        let (words, labels) = (format!("notify-blocked={words}"), format!("final-labels={}", many("503", "200")));
        let told = planned(name, &["plan=BLOCKED", &words, &labels]);
        for end in [end, "final-labels status 200 (attempt 41)"] {
            assert!(told.contains(end), "{name}: {end} is not in {told}");
        }
    }
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
