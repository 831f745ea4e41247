//! What the ant of an earlier build has left on its disk.

use std::fs;
use std::path::Path;
use std::process::Command;

use atta_core::engine::AttemptResult;
use atta_core::protocol::AttemptId;

use crate::harness::{Launchers, tests};
use crate::scene::{Options, Scene};
use crate::world::eventually;

tests![attempts_that_an_earlier_build_began_are_brought_to_their_ends];

async fn attempts_that_an_earlier_build_began_are_brought_to_their_ends(_: Launchers) {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/tests/fixtures/previous");
    let mut scene = Scene::new();
    let unpacked = Command::new("tar")
        .arg("xzf")
        .arg(fixture.join("data.tar.gz"))
        .arg("-C")
        .arg(scene.directory.path())
        .args(["data/ant"])
        .status();
    assert!(unpacked.unwrap().success());
    let jobs = fs::read_to_string(fixture.join("jobs")).unwrap();
    let attempt = |name: &str| {
        let job = jobs.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
        AttemptId(format!("{job}-1"))
    };
    // As if it were the machine on which that was.
    let boot = fs::read_to_string(scene.data.join("ant/boot")).unwrap();
    scene.start(&Options { boot_id: Some(boot), ..Options::default() }).await;
    let (left, running) = (attempt("left"), attempt("running"));
    let roster = scene.queen.rosters.lock().unwrap().last().cloned().unwrap();
    assert_eq!(roster.held.iter().map(|held| &held.attempt_id).collect::<Vec<_>>(), [&left]);
    let done = scene.queen.done(&left).await;
    assert_eq!(done.result(), AttemptResult::Exit(7));
    assert_eq!(done.report.outputs["got"], "all");
    assert!("before\nafter\n".ends_with(&done.log) && done.log.ends_with("after\n"), "{:?}", done.log);
    eventually("the other one is lost", || scene.queen.lost.lock().unwrap().contains_key(&running)).await;
    let reason = scene.queen.lost.lock().unwrap()[&running].clone();
    assert!(reason.starts_with("the process that watched over it was killed while no ant was there"), "{reason}");
    scene.end().await;
}
