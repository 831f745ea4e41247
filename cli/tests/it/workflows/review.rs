//! Reviews on request, and what the night tidies up.

use super::world::{REPO, World};
use crate::live_server::wait_for;
use crate::scratch::task;

/// A pull request of Ada's that is to be reviewed.
fn labelled(world: &World) -> u64 {
    world.push("git checkout -q -b work; echo new >a.txt; git add .; git commit -qm New; git push -q -u origin work");
    world.fake.state(|state| {
        let mut repo = state.repo(REPO);
        let pull = repo.open_pull("ada", "work", "Add a", "It adds a.");
        repo.label(pull, "ai-review");
        let (git, head) = (repo.data().git.clone().expect("it has one"), repo.head(pull));
        // GitHub has such a name for every pull request.
        let mut command = std::process::Command::new("git");
        command.arg("--git-dir").arg(git).args(["update-ref", &format!("refs/pull/{pull}/head"), &head]);
        assert!(command.status().expect("git starts").success());
        pull
    })
}

#[test]
fn a_review_waits_for_an_account_that_is_used_up() {
    let world = World::new(2);
    world.mode(0, "limited");
    let pull = labelled(&world);
    world.upload("gh-review", |text| text.replace("\"*/2 * * * *\"", "\"* * * * * *\""));
    wait_for("the review", || (world.said(pull).len() == 1).then_some(()));
    assert!(world.said(pull)[0].contains("A look was had."), "{:#?}", world.said(pull));
    assert!(world.scratch.path("modes/0.was-limited").exists());
    assert_eq!(world.sessions_of(0), "review 1", "the session goes on: nothing is begun twice");
    world.stop();
}

#[test]
fn a_pull_request_with_the_label_is_reviewed_once() {
    let world = World::new(2);
    let pull = labelled(&world);
    world.upload("gh-review", |text| text.replace("\"*/2 * * * *\"", "\"* * * * * *\""));
    wait_for("the review", || (world.said(pull).len() == 1).then_some(()));
    wait_for("the label to go", || world.labels(pull).is_empty().then_some(()));
    let said = world.said(pull);
    assert!(said[0].starts_with("**Review** of ") && said[0].contains("- `a.txt:3`: This is wrong."), "{said:#?}");

    // The search tells of the label a while longer.
    let again =
        world.server().json(&["submit", "gh-review", "-p", &format!("Number={pull}"), "-p", "Labelled=true", "--json"]);
    let done = world.finished(again["job_id"].as_str().expect("an id"));
    assert_eq!((&done["state"], &task(&done, "review")["state"]), (&"COMPLETED".into(), &"SKIPPED".into()), "{done:#}");
    assert_eq!((world.said(pull).len(), world.sessions_of(0)), (1, "review 1".to_owned()), "it is paid for once");
    let log = world.fake.log();
    let at = |method: &str, path: &str| log.iter().position(|one| one.method == method && one.path.contains(path));
    assert!(at("DELETE", "/labels/ai-review") < at("POST", "/comments"), "first the label, then the work");
    world.stop();
}

#[test]
fn the_night_removes_what_nobody_works_on_and_nothing_else() {
    let world = World::new(2);
    let (live, done, open) = (world.issue("plain"), world.issue("plain"), world.issue("plain"));
    world.submit(live, &[]);
    world.followed(live);
    world.label(done, "ai-pr-open");
    world.push(&format!(
        "git commit -q --allow-empty -m More; for name in ai/{done}-01234567 ai/{live}-01234567 ai/{open}-01234567 ai/other ai; do
         [ $name = ai ] || git push -q origin HEAD:refs/heads/$name; done"
    ));
    world.fake.state(|state| state.repo(REPO).open_pull("atta-bot", &format!("ai/{open}-01234567"), "Old", ""));
    world.upload("gh-cleanup", str::to_owned);
    let job = world.server().json(&["submit", "gh-cleanup", "--json"]);
    let ended = world.finished(job["job_id"].as_str().expect("an id"));
    assert_eq!(ended["state"], "COMPLETED", "{ended:#}");
    let left = world.branches();
    assert_eq!(left.len(), 4, "{left:#?}");
    assert!(!left.contains(&format!("ai/{done}-01234567")) && left.contains(&"ai/other".to_owned()), "{left:#?}");
    assert_eq!(
        (world.labels(done), world.labels(live)),
        (vec!["needs-human".to_owned()], vec!["ai-pr-open".to_owned()])
    );
    world.stop();
}
