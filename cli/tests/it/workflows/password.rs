//! A repository that asks for a password: git gets it where it needs it, and it is nowhere else.

use std::process::Command;

use atta_fake_github::{GitServer, Served};

use super::world::{REPO, World};
use crate::live_server::wait_for;

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
