//! A repository that asks for a password: git gets it where it needs it, and it is nowhere else.

use std::process::Command;

use atta_fake_github::{GitServer, Served};
use serde_json::json;

use super::ground::shell;
use super::world::{REPO, World};
use crate::live_server::wait_for;
use crate::scratch::{Scratch, task};
use crate::trackers::{tasks, workflow};

/// Of this test alone: no process of another one has it.
const PASSWORD: &str = "ghp_Hd7Ks2Pw9Zx4Qv6Lm1Rn8Tb3Yc5Gf0Je";

/// Files below the test's directory that have the password in them.
fn files_with_it(world: &World) -> String {
    let grep = Command::new("grep").args(["-rl", PASSWORD]).arg(world.scratch.root()).output().expect("grep starts");
    String::from_utf8_lossy(&grep.stdout).into_owned()
}

#[test]
fn the_shipped_workflow_fetches_and_pushes_over_http_and_leaves_the_token_nowhere() {
    let mut world = World::new(2);
    let git = GitServer::start(world.scratch.root(), PASSWORD);
    world.fake.state(|state| state.tokens.insert(PASSWORD.to_owned(), "atta-bot".to_owned()));
    world.server().set_secret("GithubToken", PASSWORD);
    world.clone_url = git.url("project.git");
    let issue = world.issue("plain");
    let job = world.submit(issue, &[]);
    let pull = world.followed(issue);
    // The mirror and the checkout are there, and the attempts' directories, as far as they stay.
    assert_eq!(files_with_it(&world), "");
    let fetched = git.served().iter().filter(|served| served.service == "upload-pack" && served.allowed).count();
    world.fake.state(|state| state.repo(REPO).comment(pull, "ada", "Say it louder."));
    wait_for("an answer", || (world.said(pull).len() == 1).then_some(()));
    assert_eq!(files_with_it(&world), "");
    world.merge(pull);
    assert_eq!(world.finished(&job)["state"], "COMPLETED");
    let served = git.served();
    let count = |service: &str, allowed| {
        let wanted = Served { service: service.to_owned(), allowed };
        served.iter().filter(|served| **served == wanted).count()
    };
    assert!(
        count("upload-pack", true) > fetched && fetched > 0,
        "for the mirror, and to bring the checkout up to date"
    );
    assert!(count("receive-pack", true) >= 6, "pushed twice, and a lesson: {served:?}");
    assert!(
        count("upload-pack", false) > 0 && count("receive-pack", false) > 0,
        "it is not sent before it is asked for"
    );
    assert_eq!(git.seen(), Vec::<String>::new(), "it is in nobody's arguments");
    let shown = [vec!["logs", &job], vec!["jobs", "show", &job, "--json"], vec!["events", &job, "--json"]];
    for words in shown {
        let output = world.server().client(&words);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!text.contains(PASSWORD), "{words:?}: {text}");
    }
    world.no_workspaces();
    assert_eq!(files_with_it(&world), "");
    world.stop();
}

#[test]
fn an_outage_of_the_repository_is_waited_out_and_a_refusal_pauses_the_job() {
    let mut world = World::new(2);
    let git = GitServer::start(world.scratch.root(), PASSWORD);
    world.fake.state(|state| state.tokens.insert(PASSWORD.to_owned(), "atta-bot".to_owned()));
    world.server().set_secret("GithubToken", PASSWORD);
    world.clone_url = git.url("project.git");
    let asked = |service: &str| git.served().iter().filter(|served| served.service == service).count();
    git.break_with(Some(503));
    let issue = world.issue("plain");
    let job = world.submit(issue, &[]);
    wait_for("two tries to make the checkout", || (asked("upload-pack") >= 2).then_some(()));
    git.break_with(None);
    // It is there, and nothing is pushed yet.
    let planning = world.scratch.path(&format!("seen/{issue}.plan.1.prompt"));
    wait_for("the plan", || planning.exists().then_some(()));
    git.break_with(Some(503));
    wait_for("two tries to push", || (asked("receive-pack") >= 2).then_some(()));
    git.break_with(Some(403));
    wait_for("the job to pause", || (world.server().job(&job)["state"] == "PAUSED").then_some(()));
    git.break_with(None);
    world.resume_when_paused(&job);
    let pull = world.followed(issue);

    git.break_with(Some(502));
    let before = asked("upload-pack");
    world.fake.state(|state| state.repo(REPO).comment(pull, "ada", "Say it louder."));
    wait_for("two tries to fetch", || (asked("upload-pack") >= before + 2).then_some(()));
    git.break_with(None);
    wait_for("the answer", || (world.said(pull).len() == 1).then_some(()));
    world.merge(pull);
    assert_eq!(world.finished(&job)["state"], "COMPLETED");
    let sessions = "plan 1, implement 1, self-verify 1, address-feedback 1, learn 1";
    assert_eq!(world.sessions_of(issue), sessions, "nothing was paid for twice");
    world.stop();
}

#[test]
fn a_repository_is_where_its_api_is_and_no_other_host_gets_the_password() {
    let scratch = Scratch::new();
    let shown = |file: &str, params: &[&str]| {
        let definition = workflow(file);
        let environment = tasks(&definition)["setup"]["environment"].clone();
        let place = json!({
            "job_type": "place",
            "params": {"Api": {"required": true}, "Repo": {"default": "Acme/Shop"}, "CloneUrl": {"default": ""}},
            "job_variables": definition["job_variables"],
            "tasks": [{
                "task_type": "say",
                "environment": {"KEY": environment["GIT_CONFIG_KEY_0"], "URL": environment["URL"]},
                "script": ["echo \"url=$URL\" >>\"$ATTA_OUTPUT\"", "echo \"key=$KEY\" >>\"$ATTA_OUTPUT\""],
                "outputs": ["url", "key"],
            }],
        });
        let (code, job) = scratch.job(&place.to_string(), params);
        assert_eq!(code, 0, "{job:#}");
        let outputs = &task(&job, "say")["outputs"];
        ["url", "key"].map(|name| outputs[name].as_str().expect("a text").to_owned())
    };
    let (github, jira) = ("gh-implement.yaml", "jira-implement.yaml");
    for (file, params, url, host) in [
        (github, &["Api=https://api.github.com"][..], "https://github.com/Acme/Shop.git", "https://github.com"),
        (
            github,
            &["Api=https://git.acme.example/api/v3"],
            "https://git.acme.example/Acme/Shop.git",
            "https://git.acme.example",
        ),
        (github, &["Api=https://api.acme.ghe.com"], "https://acme.ghe.com/Acme/Shop.git", "https://acme.ghe.com"),
        (github, &["Api=x", "CloneUrl=http://[::1]:8/a/b.git"], "http://[::1]:8/a/b.git", "http://[::1]:8"),
        (jira, &["Api=https://api.bitbucket.org/2.0"], "https://bitbucket.org/Acme/Shop.git", "https://bitbucket.org"),
    ] {
        assert_eq!(shown(file, params), [url.to_owned(), format!("credential.{host}.helper")], "{params:?}");
    }

    // Git asks that helper for this host alone.
    shell(&scratch, "git init -q --bare project.git");
    let git = GitServer::start(scratch.root(), PASSWORD);
    let environment = tasks(&workflow(github))["setup"]["environment"].clone();
    let helper = environment["GIT_CONFIG_VALUE_0"].as_str().expect("a text");
    for (host, fine) in [(git.url(""), true), ("https://github.com".to_owned(), false)] {
        let reached = Command::new("git")
            .args(["ls-remote", "--quiet", &git.url("project.git")])
            .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_TERMINAL_PROMPT", "0"), ("GIT_CONFIG_COUNT", "1")])
            .env("GIT_CONFIG_KEY_0", format!("credential.{}.helper", host.trim_end_matches('/')))
            .envs([("GIT_CONFIG_VALUE_0", helper), ("GIT_PASSWORD", PASSWORD)])
            .output()
            .expect("git starts");
        assert_eq!(reached.status.success(), fine, "{host}: {}", String::from_utf8_lossy(&reached.stderr));
    }
}
