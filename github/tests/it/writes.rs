//! Writing: exactly once, whatever happens on the way.

use std::time::Duration;

use atta_fake_github::{Fault, Rule};
use serde_json::{Value, json};

use crate::desk::{Desk, REPO};

/// What can happen to one request: before it takes effect, and after.
fn faults() -> Vec<Fault> {
    vec![
        Fault::Status(500),
        Fault::Status(502),
        Fault::DoneBut(500),
        Fault::DoneBut(502),
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::CutWithin,
        Fault::Silent(Duration::from_millis(600)),
        Fault::Malformed,
        Fault::Html,
    ]
}

fn seeded() -> Desk {
    let desk = Desk::new();
    desk.fake.state(|state| {
        let mut repo = state.repo(REPO);
        repo.open_issue("ada", "Broken", "");
        repo.label(1, "ai-ready");
        repo.open_pull("ada", "theirs", "Theirs", "");
        repo.review_comment(2, "ada", "src/a.rs", 3, "why?");
        repo.data().set_branch("work", Some("1111111111111111111111111111111111111111"));
    });
    desk
}

/// The texts that a write has left behind.
type Effects = fn(&Desk) -> Vec<String>;

/// Each write, and what says that it took effect exactly once.
fn writes() -> Vec<(&'static str, Value, Effects)> {
    vec![
        ("comment", json!({"number": 1, "body": "hello"}), |desk| {
            desk.fake
                .state(|state| state.repo(REPO).issue(1).comments.iter().map(|comment| comment.body.clone()).collect())
        }),
        ("comment", json!({"number": 2, "body": "because", "reply_to": 1003}), |desk| {
            desk.fake.state(|state| {
                let comments = state.repo(REPO).pull(2).review_comments.clone();
                comments
                    .into_iter()
                    .filter(|comment| comment.in_reply_to.is_some())
                    .map(|comment| comment.body)
                    .collect()
            })
        }),
        ("create_pull_request", json!({"head": "work", "title": "Mend", "body": "done"}), |desk| {
            desk.fake.state(|state| {
                let issues = state.repo(REPO).data().issues.clone();
                issues.into_values().filter(|issue| issue.title == "Mend").map(|issue| issue.body).collect()
            })
        }),
        ("create_branch", json!({"branch": "atta/new", "from": "work"}), |desk| {
            let made = desk.fake.state(|state| state.repo(REPO).data().commit("atta/new"));
            made.into_iter().collect()
        }),
        ("delete_branch", json!({"branch": "work"}), |desk| {
            let gone = desk.fake.state(|state| state.repo(REPO).data().commit("work").is_none());
            if gone { vec!["gone".to_owned()] } else { vec![] }
        }),
        ("set_labels", json!({"number": 1, "add": ["ai-in-progress"], "remove": ["ai-ready"]}), |desk| {
            let events = desk.fake.state(|state| state.repo(REPO).issue(1).label_events.clone());
            let wanted = ["+ai-ready", "+ai-in-progress", "-ai-ready"];
            match events.len() {
                3 if events == wanted => vec!["once".to_owned()],
                count if count < 3 && wanted[..count] == events => vec![],
                _ => events,
            }
        }),
        ("close_issue", json!({"number": 1}), |desk| {
            let open = desk.fake.state(|state| state.repo(REPO).issue(1).open);
            if open { vec![] } else { vec!["closed".to_owned()] }
        }),
        ("update_pull_request", json!({"number": 2, "title": "Ours", "body": "new"}), |desk| {
            let title = desk.fake.state(|state| state.repo(REPO).issue(2).title.clone());
            if title == "Ours" { vec![title] } else { vec![] }
        }),
        ("request_review", json!({"number": 2, "reviewers": ["ada"]}), |desk| {
            desk.fake.state(|state| state.repo(REPO).pull(2).reviewers.clone())
        }),
    ]
}

#[tokio::test]
async fn every_write_takes_effect_once_however_often_it_is_made() {
    for (operation, settings, effect) in writes() {
        let mut desk = seeded();
        for time in 0..3 {
            let done =
                desk.ask(operation, settings.clone()).await.unwrap_or_else(|failed| panic!("{operation}: {failed:?}"));
            if let Some(created) = done.get("created").or(done.get("changed")).or(done.get("deleted")) {
                assert_eq!(*created, json!(time == 0), "{operation} {time}");
            }
            assert_eq!(effect(&desk).len(), 1, "{operation}: {:?}", effect(&desk));
            desk.another_ant();
        }
        let writes = desk.fake.log().iter().filter(|asked| asked.method != "GET").count();
        assert_eq!(writes, if operation == "set_labels" { 2 } else { 1 }, "{operation} looks before it writes");
    }
}

#[tokio::test]
async fn every_write_takes_effect_once_whatever_goes_wrong_with_it() {
    for (operation, settings, effect) in writes() {
        for fault in faults() {
            let methods: &[&str] = match operation {
                "set_labels" => &["POST", "DELETE"],
                "delete_branch" => &["DELETE"],
                "close_issue" | "update_pull_request" => &["PATCH"],
                _ => &["POST"],
            };
            for method in methods {
                let mut desk = seeded();
                if matches!(fault, Fault::Silent(_)) {
                    desk.order.request_timeout = Duration::from_millis(300);
                }
                desk.fake.inject(Rule::on(method, "/").once(fault.clone()));
                let first = desk.ask(operation, settings.clone()).await;
                assert!(effect(&desk).len() <= 1, "{operation} {method} {fault:?}: {:?}", effect(&desk));
                // The ant dies, or the attempt is repeated: by one who knows nothing of the first.
                desk.another_ant();
                let again = desk.ask(operation, settings.clone()).await;
                assert!(again.is_ok(), "{operation} {method} {fault:?}: {again:?}");
                assert_eq!(effect(&desk).len(), 1, "{operation} {method} {fault:?}: {:?}", effect(&desk));
                if let Err(failed) = first {
                    assert_eq!(failed.kind.code(), "GITHUB_UNEXPECTED", "{operation} {method} {fault:?}: {failed:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_comment_that_begins_a_new_page_is_found_by_who_knows_the_page_before() {
    let desk = Desk::new();
    desk.fake.state(|state| {
        let mut repo = state.repo(REPO);
        repo.open_issue("ada", "t", "");
        for number in 0..100 {
            repo.comment(1, "ada", &format!("comment {number}"));
        }
    });
    desk.fake.inject(Rule::on("POST", "/").once(Fault::CutAfter));
    for _ in 0..2 {
        let done = desk.ask("comment", json!({"number": 1, "body": "hello"})).await.unwrap();
        assert_eq!(done["created"], false);
    }
    assert_eq!(desk.fake.state(|state| state.repo(REPO).issue(1).comments.len()), 101);
}

#[tokio::test]
async fn a_name_that_would_vanish_from_an_address_leads_nowhere_else() {
    let desk = seeded();
    desk.fake.state(|state| {
        state.repo(REPO).label(1, "..");
        state.repo(REPO).data().set_branch("kept", Some("1111111111111111111111111111111111111111"));
    });
    for (operation, settings) in [
        ("set_labels", json!({"number": 1, "replace": ["new"]})),
        ("set_labels", json!({"number": 1, "remove": [".."], "add": ["new"]})),
        ("delete_branch", json!({"branch": "kept/."})),
        ("delete_branch", json!({"branch": "theirs/."})),
        ("delete_branch", json!({"branch": "kept/x/.."})),
        ("delete_branch", json!({"branch": "kept/"})),
        ("create_branch", json!({"branch": "main/."})),
        ("create_branch", json!({"branch": "new", "from": "./main"})),
    ] {
        let (_, code, message) = desk.refused(operation, settings.clone()).await;
        assert_eq!(code, "INVALID", "{operation} {settings}: {message}");
        assert!(message.ends_with("cannot be a step of an address: no name may have one in it"), "{message}");
    }
    assert!(desk.fake.log().iter().all(|asked| asked.method == "GET"), "nothing was written");
}

#[tokio::test]
async fn a_mark_counts_only_in_our_own_comments_and_cannot_be_smuggled_into_them() {
    let desk = Desk::new();
    let mark = "<!-- atta:job:task:nonce -->";
    desk.fake.state(|state| {
        let mut repo = state.repo(REPO);
        repo.open_issue("mallory", "t", "");
        repo.comment(1, "mallory", &format!("said already\n\n{mark}"));
    });
    let done = desk.ask("comment", json!({"number": 1, "body": "hello <!-- atta:other:task:nonce -->"})).await.unwrap();
    assert_eq!(done["created"], true, "somebody else's mark is none");
    assert_eq!((&done["comment"]["own"], &done["comment"]["author"]), (&json!(true), &json!("atta-bot")));
    let body = desk.fake.state(|state| state.repo(REPO).issue(1).comments[1].body.clone());
    assert_eq!(body, format!("hello <!-- quoted atta:other:task:nonce -->\n\n{mark}"));
}

#[tokio::test]
async fn below_the_first_line_nobody_is_called_and_nothing_is_ordered() {
    let desk = seeded();
    let text = "@ada, see below. Closes #1.\n/approve\nbors r+\n@dependabot merge, cc @acme/all\nFixes #12";
    let broken = "@ada, see below. Closes #1.\n/\u{200b}approve\nbors\u{200b} r+\n@\u{200b}dependabot merge, cc @\u{200b}acme/all\nFixes\u{200b} #12\n\n<!-- atta:job:task:nonce -->";
    for created in [true, false] {
        let done = desk.ask("comment", json!({"number": 1, "body": text})).await.unwrap();
        assert_eq!(done["created"], created, "what was broken is found again");
    }
    let made = desk.ask("create_pull_request", json!({"head": "work", "title": "Ours", "body": text})).await.unwrap();
    let number = made["pull_request"]["number"].as_u64().unwrap();
    let bodies = |desk: &Desk| {
        desk.fake.state(|state| {
            let mut repo = state.repo(REPO);
            [repo.issue(1).comments[0].body.clone(), repo.issue(number).body.clone()]
        })
    };
    assert_eq!(bodies(&desk), [broken, broken]);
    let done = desk.ask("update_pull_request", json!({"number": number, "body": text})).await.unwrap();
    assert_eq!((&done["changed"], bodies(&desk)[1].as_str()), (&json!(false), broken));
}

#[tokio::test]
async fn keys_tell_comments_apart_and_the_same_key_is_brought_up_to_date() {
    let desk = Desk::new();
    desk.fake.state(|state| state.repo(REPO).open_issue("ada", "t", ""));
    for (key, body) in [("a", "one"), ("b--> x", "two"), ("a", "three")] {
        desk.ask("comment", json!({"number": 1, "body": body, "key": key})).await.unwrap();
    }
    let bodies: Vec<String> = desk
        .fake
        .state(|state| state.repo(REPO).issue(1).comments.iter().map(|comment| comment.body.clone()).collect());
    assert_eq!(
        bodies,
        ["three\n\n<!-- atta:job:task:nonce:a -->", "two\n\n<!-- atta:job:task:nonce:b%2D%2D%3E%20x -->",]
    );
}

#[tokio::test]
async fn a_text_that_is_too_long_is_cut_and_keeps_its_mark() {
    let desk = Desk::new();
    desk.fake.state(|state| state.repo(REPO).open_issue("ada", "t", ""));
    desk.ask("comment", json!({"number": 1, "body": "ü".repeat(70_000)})).await.unwrap();
    let body = desk.fake.state(|state| state.repo(REPO).issue(1).comments[0].body.clone());
    assert!(body.ends_with("*(cut here: the text is longer than GitHub takes)*\n\n<!-- atta:job:task:nonce -->"));
    assert!(body.chars().count() <= 65_536);
    assert!(desk.said().contains("its end is cut off"), "{}", desk.said());
    assert_eq!(desk.ask("comment", json!({"number": 1, "body": "ü".repeat(70_000)})).await.unwrap()["created"], false);
}

#[tokio::test]
async fn whose_token_it_is_has_to_be_known_before_something_is_said() {
    let mut desk = Desk::new();
    desk.fake.state(|state| {
        state.repo(REPO).open_issue("ada", "t", "");
        state.nameless.insert("atta-bot".to_owned());
    });
    let (status, code, message) = desk.refused("comment", json!({"number": 1, "body": "x"})).await;
    assert_eq!((status, code), (Some(403), "GITHUB_AUTH"));
    assert!(message.ends_with("say it with `login`, for example `login: \"github-actions[bot]\"`"), "{message}");
    desk.order.login = Some("atta-bot".to_owned());
    for created in [true, false] {
        assert_eq!(desk.ask("comment", json!({"number": 1, "body": "x"})).await.unwrap()["created"], created);
    }
}

#[tokio::test]
async fn a_wrong_name_is_said_and_a_new_name_is_learnt() {
    let mut desk = Desk::new();
    desk.fake.state(|state| state.repo(REPO).open_issue("ada", "t", ""));
    desk.order.login = Some("atta".to_owned());
    let (_, code, message) = desk.refused("comment", json!({"number": 1, "body": "x"})).await;
    assert_eq!(code, "INVALID");
    assert!(
        message.starts_with("github.login is \"atta\", and GitHub knows this credential as \"atta-bot\""),
        "{message}"
    );
    desk.order.login = None;
    desk.ask("comment", json!({"number": 1, "body": "x"})).await.unwrap();
    desk.fake.state(|state| {
        state.tokens.insert(atta_fake_github::TOKEN.to_owned(), "renamed".to_owned());
        state.repo(REPO).issue(1).comments.clear();
    });
    let created = async || desk.ask("comment", json!({"number": 1, "body": "x"})).await.unwrap()["created"].clone();
    assert_eq!((created().await, created().await), (json!(true), json!(false)));
}

#[tokio::test]
async fn what_is_gone_gets_no_answer_and_an_issue_that_is_not_there_is_told() {
    let desk = seeded();
    let comment = json!({"number": 2, "body": "because", "reply_to": 4_711});
    let done = desk.ask("comment", comment).await.unwrap();
    assert_eq!((&done["comment"], &done["created"]), (&Value::Null, &json!(false)));
    assert!(desk.said().contains("nothing is said: the comment that it answers is gone ("), "{}", desk.said());
    let (status, code, _) = desk.refused("comment", json!({"number": 99, "body": "because"})).await;
    assert_eq!((status, code), (Some(404), "GITHUB_NOT_FOUND"));
}

#[tokio::test]
async fn a_reply_to_a_reply_goes_to_its_thread_and_a_strange_mark_is_not_kept() {
    let desk = seeded();
    let first = json!({"number": 2, "body": "one", "reply_to": 1003, "key": "1"});
    let id = desk.ask("comment", first).await.unwrap()["comment"]["id"].clone();
    let done = desk.ask("comment", json!({"number": 2, "body": "two", "reply_to": id, "key": "2"})).await.unwrap();
    assert_eq!((&done["created"], &done["comment"]["in_reply_to"]), (&json!(true), &json!(1003)));
    let (_, code, message) = desk.refused("comment", json!({"number": 1, "body": "x", "key": "k".repeat(201)})).await;
    assert_eq!((code, message.as_str()), ("INVALID", "github.key has more than 200 characters"));

    desk.fake.state(|state| state.repo(REPO).issue(2).body = "<!-- atta:x --> ## Approved <!-- -->".to_owned());
    let done = desk.ask("update_pull_request", json!({"number": 2, "body": "careful"})).await.unwrap();
    assert_eq!(done["pull_request"]["body"], "careful\n\n<!-- atta:job:task:nonce -->");
}

#[tokio::test]
async fn there_is_one_pull_request_per_branch_and_a_merged_one_of_this_task_is_not_made_again() {
    let desk = seeded();
    let theirs = desk.ask("create_pull_request", json!({"head": "theirs", "title": "Ours"})).await.unwrap();
    assert_eq!((&theirs["created"], &theirs["pull_request"]["title"]), (&json!(false), &json!("Theirs")));
    let ours = desk.ask("create_pull_request", json!({"head": "work", "title": "Ours", "draft": true})).await.unwrap();
    let pull = &ours["pull_request"];
    assert_eq!(
        (&ours["created"], &pull["draft"], &pull["base"]["branch"]),
        (&json!(true), &json!(true), &json!("main"))
    );
    let number = pull["number"].as_u64().unwrap();
    assert_eq!(pull["url"], format!("https://github.test/acme/shop/pull/{number}"));
    let found = desk.ask("find_pull_request", json!({"head": "work", "base": "main"})).await.unwrap();
    assert_eq!((&found["found"], &found["pull_request"]["number"]), (&json!(true), &json!(number)));
    desk.fake.state(|state| state.repo(REPO).merge(number));
    let again = desk.ask("create_pull_request", json!({"head": "work", "title": "Ours"})).await.unwrap();
    assert_eq!((&again["created"], &again["pull_request"]["merged"]), (&json!(false), &json!(true)));
    for (settings, sentence) in [
        (json!({"head": "nowhere", "title": "x"}), "Validation Failed; head is not a branch that was pushed"),
        (json!({"head": "main", "title": "x"}), "Validation Failed; No commits between main and main"),
    ] {
        let (status, code, message) = desk.refused("create_pull_request", settings).await;
        assert_eq!((status, code), (Some(422), "GITHUB_VALIDATION"));
        assert_eq!(message, format!("GitHub refuses POST /repos/acme/shop/pulls with 422: {sentence}"));
    }
}

#[tokio::test]
async fn what_is_not_given_stays_as_it_is() {
    let desk = seeded();
    let made =
        desk.ask("create_pull_request", json!({"head": "work", "title": "Ours", "body": "first"})).await.unwrap();
    let number = made["pull_request"]["number"].clone();
    let done = desk.ask("update_pull_request", json!({"number": number, "body": "second"})).await.unwrap();
    assert_eq!((&done["changed"], &done["pull_request"]["title"]), (&json!(true), &json!("Ours")));
    assert_eq!(done["pull_request"]["body"], "second\n\n<!-- atta:job:task:nonce -->", "its mark stays");
    let done = desk.ask("update_pull_request", json!({"number": number, "state": "closed"})).await.unwrap();
    assert_eq!((&done["pull_request"]["closed"], &done["pull_request"]["merged"]), (&json!(true), &json!(false)));
    let labels = desk.ask("set_labels", json!({"number": 1, "replace": ["a", "AI-Ready"]})).await.unwrap();
    assert_eq!(
        (&labels["labels"], &labels["added"], &labels["removed"]),
        (&json!(["ai-ready", "a"]), &json!(["a"]), &json!([]))
    );
    let (_, code, message) = desk.refused("set_labels", json!({"number": 1, "add": ["x"], "remove": ["X"]})).await;
    assert_eq!((code, message.as_str()), ("INVALID", "the label x is to be added and removed"));
    let (status, _, message) = desk.refused("request_review", json!({"number": 2, "reviewers": ["mallory"]})).await;
    assert!(status == Some(422) && message.contains("mallory is none"), "{message}");
    let closed = desk.ask("close_issue", json!({"number": 1, "reason": "not_planned"})).await.unwrap();
    assert_eq!(closed["issue"]["state_reason"], "not_planned");
    assert_eq!(desk.ask("reopen_issue", json!({"number": 1})).await.unwrap()["issue"]["state"], "open");
}

#[tokio::test]
async fn who_has_answered_is_looked_up_only_when_somebody_is_missing() {
    let desk = seeded();
    let looked = |desk: &Desk| {
        let log = desk.fake.log();
        log.iter().filter(|asked| asked.method == "GET" && asked.path.ends_with("/pulls/2/reviews")).count()
    };
    let ada = json!({"number": 2, "reviewers": ["ada"]});
    let done = desk.ask("request_review", ada.clone()).await.unwrap();
    assert_eq!((&done["requested"], looked(&desk)), (&json!(["ada"]), 1));
    let done = desk.ask("request_review", ada).await.unwrap();
    assert_eq!((&done["requested"], looked(&desk)), (&json!([]), 1), "she is asked already");
}

#[tokio::test]
async fn a_branch_that_a_pull_request_needs_stays() {
    let desk = seeded();
    let kept = desk.ask("delete_branch", json!({"branch": "theirs"})).await.unwrap();
    assert_eq!((&kept["deleted"], &kept["pull_request"]["number"]), (&json!(false), &json!(2)));
    desk.fake.state(|state| state.repo(REPO).pull(2).base = "work".to_owned());
    let kept = desk.ask("delete_branch", json!({"branch": "work"})).await.unwrap();
    assert_eq!((&kept["deleted"], &kept["pull_request"]["number"]), (&json!(false), &json!(2)), "it would be closed");
    let forced = desk.ask("delete_branch", json!({"branch": "theirs", "force": true})).await.unwrap();
    assert_eq!((&forced["deleted"], &forced["pull_request"]), (&json!(true), &Value::Null));
    let (_, code, message) = desk.refused("delete_branch", json!({"branch": "main"})).await;
    assert_eq!((code, message.as_str()), ("INVALID", "main is the default branch of acme/shop"));
    let made = desk.ask("create_branch", json!({"branch": "a/b c"})).await.unwrap();
    assert_eq!(made["branch"]["name"], "a/b c");
    let (status, code, message) = desk.refused("create_branch", json!({"branch": "x", "from": "nowhere"})).await;
    assert_eq!(
        (status, code, message.as_str()),
        (Some(404), "GITHUB_NOT_FOUND", "there is no branch nowhere to begin from")
    );
}
