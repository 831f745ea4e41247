//! `atta setup github`, against a GitHub of the tests and a real server.

use std::process::{Command, Output};

use atta_fake_github::{Fake, Label, Rule, TOKEN};
use serde_json::Value;

use crate::live_server::{LiveServer, atta, path};
use crate::scratch::Scratch;

const REPO: &str = "acme/shop";

fn fake() -> Fake {
    let fake = Fake::start();
    fake.state(|state| {
        state.repo(REPO);
    });
    fake
}

fn setup(fake: &Fake, server: Option<&str>, token: &str, arguments: &[&str]) -> Output {
    setup_of(fake, REPO, server, token, arguments)
}

fn setup_of(fake: &Fake, repo: &str, server: Option<&str>, token: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(atta());
    command.args(["setup", "github", "--repo", repo, "--api-url", &fake.url()]).args(arguments);
    command.env("GITHUB_TOKEN", token).env("ATTA_SERVER", server.unwrap_or("http://127.0.0.1:1"));
    command.env("ANTHROPIC_API_KEY", "for-the-test").stdin(std::process::Stdio::null());
    command.output().expect("atta starts")
}

fn said(output: &Output) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains(TOKEN), "the token is not shown: {text}");
    text
}

fn labels(fake: &Fake) -> Vec<(String, Label)> {
    fake.state(|state| state.repo(REPO).data().labels.clone().into_iter().collect())
}

/// Of requests that are none to read.
fn writes(fake: &Fake) -> usize {
    fake.log().iter().filter(|one| one.method != "GET").count()
}

#[test]
fn a_repository_and_a_server_are_made_ready_once() {
    let scratch = Scratch::new();
    // Programs that the workflows call, and an agent.
    let programs = scratch.root().join("programs");
    std::fs::create_dir(&programs).expect("the directory can be made");
    for name in ["claude", "jq"] {
        let file = programs.join(name);
        std::fs::write(&file, "#!/bin/sh\n").expect("a program can be written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&file, mode).expect("it can be made executable");
    }
    let path = format!("{}:{}", programs.display(), path());
    let server = LiveServer::start(scratch.root(), &path);
    let fake = fake();
    fake.state(|state| {
        let old = Label { color: "ffffff".to_owned(), description: None };
        state.repo(REPO).data().labels.insert("AI-Ready".to_owned(), old);
    });
    let run = |arguments: &[&str]| {
        let mut command = Command::new(atta());
        command.args(["setup", "github", "--repo", REPO, "--api-url", &fake.url()]).args(arguments);
        command.env("GITHUB_TOKEN", TOKEN).env("ATTA_SERVER", &server.url).env("PATH", &path);
        command.env("ANTHROPIC_API_KEY", "for-the-test").stdin(std::process::Stdio::null());
        command.output().expect("atta starts")
    };

    let planned = said(&run(&["--dry-run"]));
    assert!(planned.contains("this was a dry run") && planned.contains("ai-pr-open would be made"), "{planned}");
    assert_eq!((labels(&fake).len(), writes(&fake)), (1, 0), "{planned}");
    assert_eq!(server.json(&["config", "list", "--json"]), serde_json::json!([]));

    let first = run(&[]);
    let text = said(&first);
    assert!(
        text.contains("label         ai-ready brought up to date") || text.contains("ai-ready brought up to date"),
        "{text}"
    );
    assert!(text.contains("GithubRepo is acme/shop now") && text.contains("GithubToken is set"), "{text}");
    let known: Vec<String> = labels(&fake).into_iter().map(|(name, _)| name).collect();
    assert_eq!(known, ["ai-in-progress", "ai-pr-open", "ai-ready", "needs-human"]);
    let configs = server.json(&["config", "list", "--json"]);
    let names: Vec<&str> = configs.as_array().expect("a list").iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names, ["CloneUrl", "GithubApi", "GithubRepo", "GithubToken"]);
    assert!(!configs.to_string().contains(TOKEN));
    let shipped = std::fs::read_dir(crate::live_server::repository().join("workflows")).expect("there are workflows");
    let shipped = shipped
        .filter_map(|file| file.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("gh-") && name != "gh-review.yaml")
        .count();
    let definitions = server.json(&["definitions", "--json"]);
    assert_eq!(definitions.as_array().map(Vec::len), Some(shipped), "{text}");
    if shipped > 0 {
        assert!(first.status.success() && text.contains("All is well."), "{text}");
    }

    let before = writes(&fake);
    let second = run(&["--json"]);
    let document: Value = serde_json::from_slice(&second.stdout).expect("a document");
    assert_eq!(document["changed"], 0, "{document:#}");
    assert_eq!((writes(&fake), second.status.success()), (before, shipped > 0), "{document:#}");
    assert!(said(&run(&[])).contains("Nothing was changed."));
    let third = said(&run(&["--replace-token"]));
    assert!(third.contains("1 changed (+)"), "{third}");
    let reviews = said(&run(&["--review"]));
    assert!(reviews.contains("ai-review made") && reviews.contains("gh-review, version"), "{reviews}");
    assert_eq!(fake.breaches(), [""; 0], "GitHub's description allows all of it");
}

#[test]
fn what_is_missing_is_said_in_words_and_nothing_is_changed() {
    let fake = fake();
    let unknown = setup(&fake, None, "ghp_unknown", &["--labels-only"]);
    let text = said(&unknown);
    assert_eq!(unknown.status.code(), Some(1), "{text}");
    assert!(text.contains("GitHub does not know it") && text.contains("Make a fine-grained token"), "{text}");

    fake.state(|state| state.repo(REPO).data().read_only = true);
    let text = said(&setup(&fake, None, TOKEN, &["--labels-only"]));
    assert!(text.contains("its user may not push") && text.contains("Give the user the role Write."), "{text}");

    fake.state(|state| {
        let mut repo = state.repo(REPO);
        (repo.data().read_only, repo.data().without_issues) = (false, true);
    });
    let text = said(&setup(&fake, None, TOKEN, &["--labels-only"]));
    assert!(text.contains("issues") && text.contains("are switched off"), "{text}");

    fake.state(|state| {
        let mut repo = state.repo(REPO);
        (repo.data().without_issues, repo.data().hidden) = (false, true);
    });
    let text = said(&setup(&fake, None, TOKEN, &["--labels-only"]));
    assert!(text.contains("404 Not Found") && text.contains("the token does not see it"), "{text}");

    fake.state(|state| state.repo(REPO).data().hidden = false);
    fake.inject(Rule::on("GET", "/check-runs").always(atta_fake_github::Fault::Status(403)));
    let text = said(&setup(&fake, None, TOKEN, &["--labels-only"]));
    assert!(text.contains("Give the token Checks: read."), "{text}");
    assert_eq!((labels(&fake).len(), writes(&fake)), (0, 0));

    // Nothing is asked of GitHub's host without encryption, and no token is taken from the command line.
    let insecure = Command::new(atta())
        .args(["setup", "github", "--repo", REPO, "--labels-only", "--api-url", "http://github.example"])
        .env("GITHUB_TOKEN", TOKEN)
        .output()
        .expect("atta starts");
    assert!(said(&insecure).contains("a token is not sent without encryption"));
    let missing = Command::new(atta())
        .args(["setup", "github", "--repo", REPO, "--labels-only"])
        .env_remove("GITHUB_TOKEN")
        .stdin(std::process::Stdio::null())
        .output()
        .expect("atta starts");
    assert!(said(&missing).contains("There is no token: GITHUB_TOKEN is not set."));
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn the_server_is_told_where_the_repository_is_and_keeps_nothing_of_another_one() {
    let scratch = Scratch::new();
    let server = LiveServer::start(scratch.root(), &path());
    let fake = fake();
    let run = |repo: &str| said(&setup_of(&fake, repo, Some(&server.url), TOKEN, &[]));
    let config = |name: &str| -> Value {
        let configs = server.json(&["config", "list", "--json"]);
        let found = configs.as_array().expect("a list").iter().find(|config| config["name"] == name);
        found.map_or(Value::Null, |config| config["value"].clone())
    };
    run(REPO);
    assert_eq!((config("CloneUrl"), config("Base")), ("https://github.test/acme/shop.git".into(), Value::Null));

    // What somebody has chosen stays, and is said.
    let ssh = "ssh://git@github.test/acme/shop.git";
    for (name, value) in [("CloneUrl", ssh), ("Base", "develop")] {
        assert!(server.client(&["config", "set", name, value]).status.success(), "{name}");
    }
    let text = run(REPO);
    for part in [
        "CloneUrl is ssh://git@github.test/acme/shop.git, and GitHub says https://github.test/acme/shop.git",
        "Base is develop, and GitHub says main",
        "the server does not show it, so nobody has checked it",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!((config("CloneUrl"), config("Base")), (ssh.into(), "develop".into()), "{text}");

    // It was chosen for that repository, not for this one.
    fake.state(|state| {
        let mut repo = state.repo("acme/other");
        repo.data().set_branch("trunk", Some("1111111111111111111111111111111111111111"));
        "trunk".clone_into(&mut repo.data().default_branch);
    });
    let text = run("acme/other");
    assert_eq!(
        (config("CloneUrl"), config("Base")),
        ("https://github.test/acme/other.git".into(), "trunk".into()),
        "{text}"
    );
    assert!(text.contains("Base is trunk now (it was develop)"), "{text}");
    assert_eq!(fake.breaches(), [""; 0], "GitHub's description allows all of it");
}

#[test]
fn labels_alone_need_no_server_and_without_one_the_rest_says_so() {
    let fake = fake();
    let alone = setup(&fake, None, TOKEN, &["--labels-only"]);
    assert!(alone.status.success(), "{}", said(&alone));
    assert_eq!(labels(&fake).len(), 4);
    assert!(said(&setup(&fake, None, TOKEN, &["--labels-only"])).contains("All is well. Nothing was changed."));
    let all = setup(&fake, None, TOKEN, &[]);
    let text = said(&all);
    assert!(!all.status.success() && text.contains("No server answers at http://127.0.0.1:1"), "{text}");
    assert_eq!(fake.breaches(), [""; 0], "GitHub's description allows all of it");
}
