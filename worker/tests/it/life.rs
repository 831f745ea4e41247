//! The ant's own life: drain, abort, death, restart.

use std::sync::atomic::Ordering;
use std::time::Duration;

use atta_core::engine::{AttemptResult, ResultName};
use atta_core::protocol::ant::ReportBody;
use atta_core::secret::{SecretText, SecretValue};
use atta_worker::{Ant, StartError};

use crate::harness::{Launchers, tests};
use crate::scene::{Options, Scene};
use crate::world::{World, assert_no_process, config, eventually, mark_of, marked_processes};

tests![
    draining_finishes_what_runs,
    aborting_leaves_no_process,
    an_abort_overtakes_a_drain,
    slots_that_became_free_are_offered_at_once,
    kill_minus_nine_of_an_ant_whose_trees_go_with_it_leaves_no_process,
    a_second_ant_on_the_same_directory_is_refused,
    a_restarted_ant_waits_for_the_old_trees_and_sweeps,
    no_attempt_runs_twice_when_an_assignment_is_said_twice,
    many_small_attempts_leave_nothing_behind,
    a_report_that_is_refused_takes_no_other_along_and_its_end_is_told,
    an_end_that_is_not_taken_in_any_form_is_kept_until_it_is,
    an_end_that_is_not_taken_now_is_kept_as_it_is,
    an_attempt_at_which_the_ant_itself_fails_is_lost_with_its_words_and_its_slot_is_free,
];

async fn draining_finishes_what_runs(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let id = world.begin(world.assignment("echo ready; while [ ! -e go ]; do sleep 0.01; done; echo went"));
    world.log_has(&id, "ready").await;
    let go = world.attempts_dir().join(&id.0).join("work/go");
    let World { ant, queen, directory, .. } = world;
    let draining = tokio::spawn(async move { ant.drain().await });
    tokio::task::yield_now().await;
    std::fs::write(go, "").unwrap();
    draining.await.unwrap();
    let log =
        queen.until("it has ended", |all| all.get(&id).filter(|s| s.finished.is_some()).map(|s| s.log.clone())).await;
    assert_eq!(log, b"ready\nwent\n");
    assert_no_process(&mark_of(directory.path()));
}

async fn aborting_leaves_no_process(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let mut assignment = world.assignment("trap '' TERM; (setsid sleep 1000 &); echo ready; sleep 1000");
    assignment.kill_grace = Duration::from_secs(1000);
    let id = world.begin(assignment);
    world.log_has(&id, "ready").await;
    let World { ant, directory, .. } = world;
    ant.abort().await;
    assert_no_process(&mark_of(directory.path()));
}

async fn an_abort_overtakes_a_drain(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let id = world.begin(world.assignment("echo ready; sleep 1000"));
    world.log_has(&id, "ready").await;
    tokio::join!(world.ant.drain(), async {
        tokio::task::yield_now().await;
        world.ant.abort().await;
    });
    world.assert_empty();
    assert!(world.ant.running().is_empty());
}

async fn slots_that_became_free_are_offered_at_once(mut launchers: Launchers) {
    let world = World::with(launchers.take(), |config| config.slots = 1).await;
    let asked = || world.queen.asked.lock().unwrap().clone();
    let id = world.begin(world.assignment("while [ ! -e go ]; do sleep 0.01; done"));
    eventually("the next question says that no slot is free", || asked() == [1, 0]).await;
    let go = world.attempts_dir().join(&id.0).join("work/go");
    eventually("it runs", || std::fs::write(&go, "").is_ok()).await;
    world.done(&id).await;
    eventually("a newer question offers the slot again", || asked() == [1, 0, 1]).await;
    world.end().await;
}

const STUBBORN: &str = "trap '' TERM HUP; (setsid sh -c 'trap \"\" TERM; sleep 1000; sleep 1000' &)\n\
                        for i in 1 2 3 4 5; do sleep 1000 & done; touch up; sleep 1000; sleep 1000";

/// An ant in a process of its own whose trees die with it, and an attempt that does not want to die.
async fn doomed() -> Scene {
    let mut scene = Scene::new();
    scene.start(&Options { orphans_die: true, ..Options::default() }).await;
    let mut stubborn = scene.assignment(STUBBORN);
    stubborn.kill_grace = Duration::from_secs(1000);
    let id = scene.begin(stubborn);
    scene.file(&id, "up").await;
    scene
}

async fn kill_minus_nine_of_an_ant_whose_trees_go_with_it_leaves_no_process(_: Launchers) {
    let mut scene = doomed().await;
    assert!(marked_processes(scene.mark()).len() > 6);
    scene.kill();
    eventually("every process of the killed ant is gone", || marked_processes(scene.mark()).is_empty()).await;
}

async fn a_second_ant_on_the_same_directory_is_refused(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let mut second = config(&world.directory.path().join("data"));
    second.lock_wait = Duration::from_millis(50);
    let Err(error) = Ant::start(second, launchers.take(), world.queen.clone()).await else { panic!("two ants") };
    assert!(matches!(error, StartError::Locked { .. }));
    let path = world.directory.path().join("data/ant/ant.lock");
    let message = error.to_string();
    assert!(message.starts_with(&format!("{} is held by another ant", path.display())), "{message}");
    assert!(message.contains("after 50ms"), "{message}");
    world.end().await;
}

async fn a_restarted_ant_waits_for_the_old_trees_and_sweeps(mut launchers: Launchers) {
    let mut scene = doomed().await;
    scene.kill();
    let mark = scene.mark().to_owned();
    let directory = tempfile::tempdir().unwrap();
    let world = World::at(launchers.take(), directory, &scene.data, |_| {}).await.unwrap();
    assert_no_process(&mark);
    let left = || std::fs::read_dir(world.attempts_dir()).unwrap().count();
    eventually("the directories of the old attempts are gone", || left() == 0).await;
    assert_eq!(world.script("echo again").await.log, "again\n");
    world.end().await;
}

async fn no_attempt_runs_twice_when_an_assignment_is_said_twice(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let once = world.assignment("echo once; while [ ! -e go ]; do sleep 0.01; done");
    let id = world.begin(once.clone());
    world.log_has(&id, "once").await;
    world.begin(once);
    let other = world.begin(world.assignment("true"));
    world.done(&other).await;
    std::fs::write(world.attempts_dir().join(&id.0).join("work/go"), "").unwrap();
    assert_eq!(world.done(&id).await.log, "once\n");
    world.end().await;
}

async fn many_small_attempts_leave_nothing_behind(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let ids: Vec<_> = (0..200).map(|n| world.begin(world.assignment(&format!("echo {n}; exit {}", n % 7)))).collect();
    for (n, id) in ids.iter().enumerate() {
        let done = world.done(id).await;
        assert_eq!(done.result(), AttemptResult::Exit(u16::try_from(n % 7).unwrap()));
        assert_eq!(done.log, format!("{n}\n"));
    }
    world.end().await;
}

/// Whether a report says that the attempt ended with this exit code.
fn ends_with(report: &ReportBody, code: u16) -> bool {
    matches!(report, ReportBody::Finished(end) if end.result == AttemptResult::Exit(code))
}

async fn a_report_that_is_refused_takes_no_other_along_and_its_end_is_told(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    // One result is nothing that this queen understands.
    world.queen.refuse(|report| ends_with(&report.body, 3));
    world.queen.deaf.store(true, Ordering::SeqCst);
    let ids = [0, 3, 4].map(|code| world.begin(world.assignment(&format!("echo {code}; touch ran; exit {code}"))));
    let ran = || ids.iter().all(|id| world.attempts_dir().join(&id.0).join("work/ran").exists());
    eventually("all have ended", || ran() && world.ant.running().is_empty()).await;
    world.queen.deaf.store(false, Ordering::SeqCst);
    for (id, code) in [(&ids[0], 0), (&ids[2], 4)] {
        assert_eq!(world.done(id).await.result(), AttemptResult::Exit(code));
    }
    let refused = world.done(&ids[1]).await;
    assert_eq!((refused.result(), refused.code()), (AttemptResult::Named(ResultName::Invalid), "INVALID"));
    assert_eq!(
        refused.message(),
        "the report of its end was not taken, and what it said is not kept (FAILED, exit code 3, outputs: 0, artifacts: \
         0): the queen refused: INVALID_REQUEST: it is not understood"
    );
    assert_eq!((&refused.log[..], &refused.sequences[..]), ("3\n", &[1, 2][..]));
    world.end().await;
}

async fn an_end_that_is_not_taken_in_any_form_is_kept_until_it_is(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let kept = world.assignment("exit 5");
    let id = kept.attempt_id.clone();
    let of = id.clone();
    world.queen.refuse(move |report| report.attempt_id == of && matches!(report.body, ReportBody::Finished(_)));
    world.begin(kept);
    let refused = || world.queen.refused.load(Ordering::SeqCst);
    eventually("its end was refused, and said again", || refused() > 2).await;
    let other = world.begin(world.assignment("echo other"));
    assert_eq!(world.done(&other).await.log, "other\n");
    assert!(world.attempts_dir().join(&id.0).exists(), "it is not heard");
    world.queen.refuse(|_| false);
    assert_eq!(world.done(&id).await.result(), AttemptResult::Exit(5));
    world.end().await;
}

async fn an_end_that_is_not_taken_now_is_kept_as_it_is(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    world.queen.not_now.store(true, Ordering::SeqCst);
    // One that says less would be taken.
    world.queen.refuse(|report| ends_with(&report.body, 5));
    let id = world.begin(world.assignment("echo 5; exit 5"));
    let refused = || world.queen.refused.load(Ordering::SeqCst);
    eventually("its end was refused, and said again", || refused() > 2).await;
    let other = world.begin(world.assignment("echo other"));
    assert_eq!(world.done(&other).await.log, "other\n");
    world.queen.refuse(|_| false);
    let done = world.done(&id).await;
    assert_eq!((done.result(), &done.log[..]), (AttemptResult::Exit(5), "5\n"));
    world.end().await;
}

async fn an_attempt_at_which_the_ant_itself_fails_is_lost_with_its_words_and_its_slot_is_free(
    mut launchers: Launchers,
) {
    let world = World::with(launchers.take(), |config| config.slots = 1).await;
    let mut assignment = world.assignment("(setsid sleep 1000 &); echo ready; sleep 1000");
    let value = SecretText::new("correct-horse-battery".to_owned());
    assignment.secrets.values = vec![SecretValue { name: "Token".to_owned(), value }];
    let id = assignment.attempt_id.clone();
    let words = "byte 3 of correct-horse-battery is inside of a character".to_owned();
    world.queen.panics.lock().unwrap().insert(id.clone(), words);
    world.begin(assignment);
    let said = || world.queen.lost.lock().unwrap().get(&id).cloned();
    eventually("it is lost", || said().is_some()).await;
    assert_eq!(said().unwrap(), "the ant failed inside while it worked on it: byte 3 of *** is inside of a character");
    world.assert_empty();
    assert_eq!((world.ant.running(), world.queen.asked.lock().unwrap().last()), (Vec::new(), Some(&1)));
    eventually("its directory is gone", || !world.attempts_dir().join(&id.0).exists()).await;
    assert_eq!(world.script("echo next").await.log, "next\n");
    world.end().await;
}
