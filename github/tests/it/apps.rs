//! Asking as a GitHub App.

use atta_core::protocol::ant::RenderedPart;
use atta_core::protocol::github::GithubCredential;
use atta_fake_github::{APP_KEY, Fault, Rule};
use futures_util::future::join_all;
use serde_json::json;

use crate::desk::{Desk, REPO};

fn app(id: &str, installation: Option<&str>) -> Desk {
    let mut desk = Desk::new();
    desk.order.credential = GithubCredential::App {
        id: id.to_owned(),
        installation: installation.map(str::to_owned),
        private_key: vec![RenderedPart::Variable("APP_KEY".to_owned())],
    };
    APP_KEY.clone_into(&mut desk.secret);
    desk.fake.state(|state| state.repo(REPO).open_issue("ada", "t", ""));
    desk
}

#[tokio::test]
async fn a_token_is_got_once_for_all_attempts_and_its_name_is_known() {
    let desk = app("4711", None);
    let all = join_all((0..5).map(|_| desk.ask("list_issues", json!({})))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(desk.fake.state(|state| state.minted.len()), 1);
    let said = desk.ask("comment", json!({"number": 1, "body": "hello"})).await.unwrap();
    assert_eq!((&said["comment"]["author"], &said["comment"]["own"]), (&json!("atta-app[bot]"), &json!(true)));
    assert_eq!(desk.ask("comment", json!({"number": 1, "body": "hello"})).await.unwrap()["created"], false);
    assert!(!desk.said().contains("ghs_"), "no token is in the log");
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends_and_when_it_is_taken_away() {
    let desk = app("4711", Some("815"));
    desk.fake.state(|state| state.installation_seconds = 200);
    for _ in 0..2 {
        desk.ask("list_issues", json!({})).await.unwrap();
    }
    assert_eq!(desk.fake.state(|state| state.minted.len()), 2, "one that ends in five minutes is as good as none");
    desk.fake.state(|state| state.installation_seconds = 3_600);
    desk.ask("list_issues", json!({})).await.unwrap();
    desk.fake.state(|state| state.tokens.retain(|token, _| !token.starts_with("ghs_")));
    desk.ask("list_issues", json!({})).await.unwrap();
    assert_eq!(desk.fake.state(|state| state.minted.len()), 4);
    assert_eq!(desk.fake.count("GET", "/installation"), 0, "it was given");
}

#[tokio::test]
async fn the_token_of_an_app_is_for_those_who_have_its_key() {
    for installation in [None, Some("815")] {
        let mut desk = app("4711", installation);
        desk.ask("comment", json!({"number": 1, "body": "hello"})).await.unwrap();
        desk.secret = "nonsense".to_owned();
        let asked = desk.fake.log().len();
        for (operation, settings) in [("list_issues", json!({})), ("comment", json!({"number": 1, "body": "hello"}))] {
            let (_, code, message) = desk.refused(operation, settings).await;
            assert_eq!(code, "INVALID", "{message}");
        }
        assert_eq!(desk.fake.log().len(), asked, "nothing is asked without the key");
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_got_is_asked_for_again() {
    let desk = app("4711", None);
    desk.fake.inject(Rule::on("POST", "/access_tokens").times(2, Fault::CutAfter));
    desk.ask("list_issues", json!({})).await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_an_app_is_said() {
    let mut desk = app("4711", None);
    for (key, sentence) in [
        ("no key", "the private key of the App cannot be read: it must be the PEM file that GitHub gave"),
        (
            "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n-----END PRIVATE KEY-----\n",
            "the private key of the App is no RSA key: it must be the PEM file that GitHub gave",
        ),
    ] {
        desk.secret = key.to_owned();
        let (status, code, message) = desk.refused("list_issues", json!({})).await;
        assert_eq!((status, code, message.as_str()), (None, "INVALID", sentence));
    }
    desk.secret = APP_KEY.replace('\n', "\\n");
    desk.ask("list_issues", json!({})).await.expect("line breaks may be spelled");
    let (status, code, _) = app("1", None).refused("list_issues", json!({})).await;
    assert_eq!((status, code), (Some(401), "GITHUB_AUTH"));
    let desk = app("4711", None);
    desk.fake.inject(Rule::on("GET", "/installation").once(Fault::Status(404)));
    let (status, code, message) = desk.refused("list_issues", json!({})).await;
    assert_eq!((status, code), (Some(404), "GITHUB_NOT_FOUND"));
    assert_eq!(message, "the App is not installed on acme/shop: install it there");
    let (_, code, message) = app("4711", Some("x")).refused("list_issues", json!({})).await;
    assert_eq!((code, message.as_str()), ("INVALID", "github.app.installation must be a number"));
}
