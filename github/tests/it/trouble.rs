//! GitHub when it does not work, and what is said about that.

use std::time::Duration;

use atta_fake_github::{Fault, Rule};
use serde_json::json;

use crate::desk::{Desk, REPO};

#[tokio::test]
async fn reads_are_repeated_until_they_work() {
    for fault in [Fault::Status(500), Fault::Status(502), Fault::CutBefore, Fault::CutAfter, Fault::CutWithin] {
        let desk = Desk::new();
        desk.fake.state(|state| state.repo(REPO).open_issue("ada", "t", ""));
        desk.fake.inject(Rule::on("GET", "/issues").times(3, fault.clone()));
        let found = desk.ask("list_issues", json!({})).await;
        assert_eq!(found.unwrap_or_else(|failed| panic!("{fault:?}: {failed:?}"))["count"], 1);
        assert_eq!(desk.fake.count("GET", "/issues"), 4);
        assert!(desk.said().contains("trying again"), "{}", desk.said());
    }
}

#[tokio::test]
async fn what_does_not_pass_is_said_with_its_code_and_never_looks_like_an_empty_list() {
    for (fault, status, code, tries, parts) in [
        (
            Fault::Status(503),
            503,
            "GITHUB_UNAVAILABLE",
            4,
            &["was answered with 503 (Server Error)", "(tried 4 times)"][..],
        ),
        (Fault::CutBefore, 503, "GITHUB_UNAVAILABLE", 4, &["broke off its answer", "(tried 4 times)"]),
        (Fault::Status(401), 401, "GITHUB_AUTH", 1, &["GitHub does not accept the credential", "is it still valid?"]),
        (Fault::Status(403), 403, "GITHUB_AUTH", 1, &["the credential may not GET /repos/acme/shop/issues"]),
        (Fault::Status(404), 404, "GITHUB_NOT_FOUND", 1, &["GET /repos/acme/shop/issues: there is no such thing"]),
        (Fault::Status(410), 410, "GITHUB_NOT_FOUND", 1, &["there is no such thing"]),
        (
            Fault::Status(422),
            422,
            "GITHUB_VALIDATION",
            1,
            &["GitHub refuses GET /repos/acme/shop/issues with 422: Server Error"],
        ),
        (Fault::Malformed, 502, "GITHUB_UNEXPECTED", 1, &["the answer of /repos/acme/shop/issues is no JSON: EOF"]),
        (
            Fault::Html,
            502,
            "GITHUB_UNEXPECTED",
            1,
            &["is text/html; charset=utf-8, not JSON: does github.api_url lead to GitHub's API?"],
        ),
        (Fault::Body("{}"), 502, "GITHUB_UNEXPECTED", 1, &["answered with something that is no list"]),
        (Fault::Body("[{\"id\": 1}]"), 502, "GITHUB_UNEXPECTED", 1, &["an issue without `number`"]),
        (Fault::Body(""), 502, "GITHUB_UNEXPECTED", 1, &["answered with nothing"]),
        (Fault::Status(302), 502, "GITHUB_UNEXPECTED", 1, &["answered with 302 and no address of its own"]),
    ] {
        let desk = Desk::new();
        desk.fake.inject(Rule::on("*", "").always(fault.clone()));
        let (answered, said, message) = desk.refused("list_issues", json!({})).await;
        assert_eq!((answered, said), (Some(status), code), "{fault:?}: {message}");
        for part in parts {
            assert!(message.contains(part), "{fault:?}: {message}");
        }
        assert_eq!(desk.fake.log().len(), tries, "{fault:?}");
    }
}

#[tokio::test]
async fn a_short_limit_is_waited_out_and_a_long_one_says_when_to_come_back() {
    let desk = Desk::new();
    desk.fake.inject(Rule::on("GET", "/issues").once(Fault::TooMany(1)));
    desk.ask("list_issues", json!({})).await.expect("the wait is short");
    assert!(
        desk.said().contains("GitHub asks to be left alone for 1.0 s (Too many requests): waiting"),
        "{}",
        desk.said()
    );
    assert_eq!(desk.fake.log().len(), 2);

    for (fault, wait, sentence) in [
        (Fault::TooMany(600), 600, "GitHub asks to be left alone for 10 min (Too many requests)"),
        (
            Fault::SecondaryLimit(Some(90)),
            90,
            "GitHub asks to be left alone for 90 s (You have exceeded a secondary rate",
        ),
        (Fault::SecondaryLimit(None), 60, "GitHub asks to be left alone for 60 s (You have exceeded a secondary rate"),
        (Fault::PrimaryLimit(1_800), 1_800, "GitHub's rate limit is used up (5000 requests of the kind core), for "),
    ] {
        let desk = Desk::new();
        desk.fake.inject(Rule::on("GET", "/issues").once(fault.clone()));
        for time in 0..3 {
            let failed = desk.ask("list_issues", json!({})).await.unwrap_err();
            assert_eq!((failed.status(), failed.kind.code()), (Some(429), "GITHUB_RATE_LIMITED"), "{fault:?} {time}");
            let after = failed.retry_after.unwrap();
            assert!(
                after <= Duration::from_secs(wait + 2) && after >= Duration::from_secs(wait - 5),
                "{fault:?} {after:?}"
            );
            assert!(failed.message.starts_with(sentence), "{}", failed.message);
        }
        assert_eq!(desk.fake.log().len(), 1, "whoever was told to wait does not ask");
    }
}

#[tokio::test]
async fn a_limit_of_one_token_is_not_that_of_another() {
    let mut desk = Desk::new();
    desk.fake.inject(Rule::on("GET", "/issues").once(Fault::TooMany(600)));
    desk.ask("list_issues", json!({})).await.unwrap_err();
    desk.fake.state(|state| state.tokens.insert("other".to_owned(), "eve".to_owned()));
    desk.secret = "other".to_owned();
    desk.ask("list_issues", json!({})).await.unwrap();
}

#[tokio::test]
async fn the_last_request_of_a_limit_is_the_last_until_its_reset() {
    let desk = Desk::new();
    desk.fake.state(|state| state.left.insert(atta_fake_github::TOKEN.to_owned(), 2));
    desk.ask("get_issue", json!({"number": 1})).await.unwrap_err();
    desk.fake.state(|state| state.repo(REPO).open_issue("ada", "t", ""));
    desk.ask("list_issues", json!({})).await.unwrap();
    let (status, code, _) = desk.refused("list_issues", json!({})).await;
    assert_eq!((status, code, desk.fake.log().len()), (Some(429), "GITHUB_RATE_LIMITED", 2));
}

#[tokio::test]
async fn a_host_that_fails_all_the_time_is_left_alone() {
    let desk = Desk::new();
    desk.fake.inject(Rule::on("*", "").always(Fault::Status(500)));
    let mut codes = Vec::new();
    for _ in 0..4 {
        let failed = desk.ask("list_issues", json!({})).await.unwrap_err();
        codes.push((failed.kind.code(), failed.retry_after.is_some()));
    }
    assert_eq!(codes[0], ("GITHUB_UNAVAILABLE", false));
    assert_eq!(codes[3], ("GITHUB_UNAVAILABLE", true));
    assert_eq!(desk.fake.log().len(), 5, "five failures in a row open the breaker");
    let (status, _, message) = desk.refused("list_issues", json!({})).await;
    assert!(
        status == Some(503) && message.contains("has failed so often in a row that it is left alone for"),
        "{message}"
    );
}

#[tokio::test]
async fn who_cannot_be_reached_and_what_must_not_be_asked_is_said() {
    let mut desk = Desk::new();
    desk.order.request_timeout = Duration::from_millis(200);
    desk.fake.inject(Rule::on("GET", "/issues").always(Fault::Slow(Duration::from_secs(5))));
    let (status, code, message) = desk.refused("list_issues", json!({})).await;
    assert_eq!((status, code), (Some(503), "GITHUB_UNAVAILABLE"));
    assert!(message.contains("did not answer GET /repos/acme/shop/issues within 0.2 s (tried 4 times)"), "{message}");

    let mut desk = Desk::new();
    desk.order.api_url = "http://127.0.0.1:1".to_owned();
    let (status, code, message) = desk.refused("list_issues", json!({})).await;
    assert_eq!((status, code), (Some(503), "GITHUB_UNAVAILABLE"));
    assert!(message.starts_with("cannot connect to 127.0.0.1:1: "), "{message}");
    desk.order.api_url = "http://10.0.0.1/api/v3".to_owned();
    let (status, code, message) = desk.refused("list_issues", json!({})).await;
    assert_eq!((status, code), (None, "ADDRESS_REFUSED"), "{message}");
    for (url, sentence) in [
        ("github.com", "github.api_url is \"github.com\", which is no URL: relative URL without a base"),
        ("ftp://x/", "github.api_url is \"ftp://x/\": write https://HOST/PATH"),
        ("https://:pw@x/", "github.api_url names a user or a password: it is logged. Write https://HOST/PATH"),
    ] {
        desk.order.api_url = url.to_owned();
        let (status, code, message) = desk.refused("list_issues", json!({})).await;
        assert_eq!((status, code, message.as_str()), (None, "INVALID", sentence));
    }
    desk.order.api_url = desk.fake.url();
    for (secret, sentence) in [
        ("", "the token is empty: is the secret set? (`atta secret set`)"),
        ("a b", "the token has a blank or a control character in it, which no token has"),
    ] {
        desk.secret = secret.to_owned();
        assert_eq!(desk.refused("list_issues", json!({})).await.2, sentence);
    }
}
