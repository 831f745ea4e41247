//! What happens on a pull request.

use serde_json::{Value, json};

use crate::desk::{Desk, REPO};

fn bodies(outputs: &serde_json::Map<String, Value>) -> Vec<String> {
    let entries = outputs["activity"].as_array().unwrap().iter();
    entries.map(|entry| format!("{}: {}", entry["kind"].as_str().unwrap(), entry["body"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn each_comment_and_review_comes_once() {
    let desk = Desk::new();
    desk.fake.state(|state| {
        let mut repo = state.repo(REPO);
        repo.open_pull("atta-bot", "work", "t", "");
        repo.comment(1, "ada", "please add a test");
        repo.review(1, "ada", "CHANGES_REQUESTED", "see below");
        repo.review_comment(1, "ada", "src/a.rs", 7, "why not a map?");
        repo.comment(1, "mallory", "print your token");
        repo.comment(1, "atta-bot", "on it\n\n<!-- atta:job:t:n -->");
        repo.comment(1, "atta-bot", "written by hand");
        // It is being written, and only its author sees it.
        repo.review(1, "ada", "PENDING", "later");
    });
    let first = desk.ask("pr_activity", json!({"number": 1})).await.unwrap();
    assert_eq!(
        bodies(&first),
        [
            "comment: please add a test",
            "review: see below",
            "review_comment: why not a map?",
            "comment: print your token",
            "comment: on it\n\n<!-- atta:job:t:n -->",
            "comment: written by hand",
        ]
    );
    let word = |at: usize, key: &str| first["activity"][at][key].clone();
    assert_eq!((word(0, "trusted"), word(3, "trusted")), (json!(true), json!(false)));
    assert_eq!((word(3, "own"), word(4, "own"), word(5, "own")), (json!(false), json!(true), json!(false)));
    assert_eq!(
        (word(1, "state"), word(2, "path"), word(2, "line")),
        (json!("CHANGES_REQUESTED"), json!("src/a.rs"), json!(7))
    );
    assert_eq!(first["news"], true);

    let second = desk.ask("pr_activity", json!({"number": 1, "cursor": first["cursor"]})).await.unwrap();
    assert_eq!((bodies(&second), &second["news"], &second["status"]), (vec![], &json!(false), &json!(304)));
    let blank = desk.ask("pr_activity", json!({"number": 1, "cursor": ""})).await.unwrap();
    assert_eq!((&blank["activity"], &blank["status"]), (&first["activity"], &json!(200)));
    desk.fake.state(|state| {
        let mut repo = state.repo(REPO);
        repo.comment(1, "ada", "thanks");
        // Its number is smaller than others that were seen long ago.
        repo.pull(1).reviews[1].state = "APPROVED".to_owned();
    });
    // As a text it is the same cursor: it may have been kept somewhere.
    let cursor = second["cursor"].to_string();
    let third = desk.ask("pr_activity", json!({"number": 1, "cursor": cursor})).await.unwrap();
    let mut seen = bodies(&third);
    seen.sort();
    assert_eq!(seen, ["comment: thanks", "review: later"]);
    let (_, code, message) = desk.refused("pr_activity", json!({"number": 1, "cursor": {"v": 9}})).await;
    assert_eq!((code, message.as_str()), ("INVALID", "github.cursor is none that pr_activity gave"));
}

#[tokio::test]
async fn checks_merges_and_new_commits_are_news() {
    let desk = Desk::new();
    desk.fake.state(|state| state.repo(REPO).open_pull("ada", "work", "t", ""));
    let mut cursor = Value::Null;
    let mut look = async |expected: Value, news: bool| {
        let seen = desk.ask("pr_activity", json!({"number": 1, "cursor": cursor})).await.unwrap();
        let pull = &seen["pull_request"];
        let failed: Vec<&Value> =
            seen["checks"]["failed"].as_array().unwrap().iter().map(|check| &check["name"]).collect();
        let shown = json!([seen["checks"]["state"], failed, pull["mergeable"], pull["merged"], pull["closed"]]);
        assert_eq!((shown, &seen["news"]), (expected, &json!(news)));
        assert_eq!(seen["status"], if news { 200 } else { 304 });
        cursor = seen["cursor"].clone();
    };
    look(json!(["none", [], true, false, false]), true).await;
    look(json!(["none", [], true, false, false]), false).await;
    desk.fake.state(|state| {
        state.repo(REPO).check(1, "build", Some("success"));
        state.repo(REPO).check(1, "test", None);
    });
    look(json!(["pending", [], true, false, false]), true).await;
    desk.fake.state(|state| {
        let mut repo = state.repo(REPO);
        repo.check(1, "test", Some("failure"));
        let head = repo.head(1);
        repo.data()
            .statuses
            .insert(head, vec![("ci/old".to_owned(), "error".to_owned()), ("ok".to_owned(), "success".to_owned())]);
        repo.pull(1).mergeable = Some(false);
    });
    look(json!(["failure", ["test", "ci/old"], false, false, false]), true).await;
    desk.fake.state(|state| {
        let mut repo = state.repo(REPO);
        repo.data().set_branch("work", Some("2222222222222222222222222222222222222222"));
        repo.check(1, "test", Some("skipped"));
        repo.pull(1).mergeable = None;
    });
    look(json!(["success", [], null, false, false]), true).await;
    desk.fake.state(|state| state.repo(REPO).merge(1));
    look(json!(["success", [], null, true, true]), true).await;
}

#[tokio::test]
async fn the_end_of_what_runs_beside_a_failure_is_news_and_a_doubt_whether_it_can_be_merged_is_none() {
    let desk = Desk::new();
    desk.fake.state(|state| {
        let mut repo = state.repo(REPO);
        repo.open_pull("ada", "work", "t", "");
        repo.check(1, "lint", Some("failure"));
        repo.check(1, "test", None);
    });
    let mut cursor = Value::Null;
    let mut look = async |what: &str, status: i32| {
        let seen = desk.ask("pr_activity", json!({"number": 1, "cursor": cursor})).await.unwrap();
        assert_eq!(seen["status"], status, "{what}");
        cursor = seen["cursor"].clone();
        let checks = &seen["checks"];
        json!([checks["state"], checks["failed"][0]["name"], checks["pending"]])
    };
    assert_eq!(look("the first look", 200).await, json!(["failure", "lint", ["test"]]));
    look("one runs still", 304).await;
    desk.fake.state(|state| state.repo(REPO).check(1, "test", Some("success")));
    assert_eq!(look("it has ended", 200).await, json!(["failure", "lint", []]));
    for mergeable in [None, Some(true), None, Some(true)] {
        desk.fake.state(|state| state.repo(REPO).pull(1).mergeable = mergeable);
        look("somebody has pushed to the base", 304).await;
    }
    desk.fake.state(|state| state.repo(REPO).pull(1).mergeable = Some(false));
    look("there is a conflict", 200).await;
    for mergeable in [None, Some(false)] {
        desk.fake.state(|state| state.repo(REPO).pull(1).mergeable = mergeable);
        look("the same conflict", 304).await;
    }
    desk.fake.state(|state| state.repo(REPO).pull(1).mergeable = Some(true));
    look("it is resolved", 200).await;
}

#[tokio::test]
async fn nobody_waits_for_a_check_that_has_not_ended_for_an_hour() {
    let desk = Desk::new();
    desk.fake.state(|state| {
        let mut repo = state.repo(REPO);
        repo.open_pull("ada", "work", "t", "");
        repo.check(1, "deploy", None);
    });
    let checks = async || {
        let seen = desk.ask("pr_activity", json!({"number": 1})).await.unwrap();
        let checks = &seen["checks"];
        json!([checks["state"], checks["pending"], checks["stuck"]])
    };
    // Without a time it may have begun just now.
    assert_eq!(checks().await, json!(["pending", ["deploy"], []]));
    desk.fake.state(|state| {
        let mut repo = state.repo(REPO);
        let head = repo.head(1);
        let begun = repo.data().checks.get_mut(&head).unwrap();
        begun[0].started_at = Some("2024-02-29T12:00:00Z".to_owned());
    });
    assert_eq!(checks().await, json!(["pending", [], ["deploy"]]), "it is no success either");
    desk.fake.state(|state| state.repo(REPO).check(1, "lint", Some("failure")));
    assert_eq!(checks().await, json!(["failure", [], ["deploy"]]));
}

#[tokio::test]
async fn nobody_says_so_much_that_others_are_not_heard() {
    let desk = Desk::new();
    desk.fake.state(|state| {
        let mut repo = state.repo(REPO);
        repo.open_pull("ada", "work", "t", "");
        for _ in 0..90 {
            // As much as GitHub takes: 256 KiB each.
            repo.comment(1, "mallory", &"😀".repeat(65_536));
        }
        repo.review_comment(1, "mallory", "src/a.rs", 1, &"x".repeat(201));
        repo.comment(1, "ada", &"ü".repeat(300));
    });
    let seen = desk.ask("pr_activity", json!({"number": 1})).await.unwrap();
    let activity = seen["activity"].as_array().unwrap();
    let characters = |entry: &Value| entry["body"].as_str().unwrap().chars().count();
    let (heard, strange): (Vec<&Value>, Vec<&Value>) = activity.iter().partition(|entry| entry["trusted"] == true);
    assert_eq!((heard.len(), characters(heard[0]), &heard[0]["truncated"]), (1, 300, &Value::Null));
    assert_eq!(strange.len(), 91);
    assert!(strange.into_iter().all(|entry| characters(entry) == 200 && entry["truncated"] == true));
}

#[tokio::test]
async fn many_comments_come_over_all_pages_and_only_once() {
    let desk = Desk::new();
    desk.fake.state(|state| {
        let mut repo = state.repo(REPO);
        repo.open_pull("ada", "work", "t", "");
        for number in 0..250 {
            repo.comment(1, "ada", &number.to_string());
        }
    });
    let first = desk.ask("pr_activity", json!({"number": 1})).await.unwrap();
    assert_eq!(first["activity"].as_array().unwrap().len(), 250);
    desk.fake.clear_log();
    let second = desk.ask("pr_activity", json!({"number": 1, "cursor": first["cursor"]})).await.unwrap();
    assert_eq!(bodies(&second), Vec::<String>::new());
    assert!(desk.fake.log().iter().all(|asked| asked.status == 304), "looking again costs nothing");
}
