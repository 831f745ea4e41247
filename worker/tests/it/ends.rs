//! How attempts end: by signals, clocks and orders.

use std::time::Duration;

use atta_core::engine::{AttemptResult, ResultName};
use atta_core::protocol::ant::{Orders, StopOrder};

use crate::harness::{Launchers, tests};
use crate::world::{World, eventually, marked_processes};

tests![
    a_signal_is_named,
    a_timeout_says_how_long_it_was,
    idleness_is_no_output_and_no_activity,
    work_without_output_is_no_idleness,
    term_is_tried_first_and_its_handler_may_finish,
    stop_orders_arrive_while_all_slots_are_taken,
    unknown_and_stale_stop_orders_change_nothing,
    a_stale_attempt_is_killed_and_forgotten,
    an_attempt_whose_log_is_stale_is_killed_and_forgotten,
    a_killed_shim_is_a_lost_attempt_without_leftovers,
];

async fn a_signal_is_named(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    for (name, sentence) in [
        ("SEGV", "was killed by signal SIGSEGV (11)"),
        ("TERM", "was killed by signal SIGTERM (15)"),
        ("KILL", "was killed by signal SIGKILL (9); if nobody did that on purpose, look for a lack of memory"),
    ] {
        let done = world.script(&format!("kill -{name} $$")).await;
        assert_eq!(done.result(), AttemptResult::Named(ResultName::Killed));
        assert_eq!((done.code(), done.message()), ("KILLED", sentence));
    }
    let done = world.script("sh -c 'kill -9 $$'; exit $?").await;
    assert_eq!(done.result(), AttemptResult::Exit(137), "the death of a child is its shell's exit code");
    world.end().await;
}

async fn a_timeout_says_how_long_it_was(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let mut assignment = world.assignment("echo begin; sleep 1000");
    assignment.timeout = Duration::from_millis(200);
    let done = world.run(assignment).await;
    assert_eq!(done.result(), AttemptResult::Named(ResultName::TimedOut));
    assert_eq!((done.code(), done.message()), ("TIMED_OUT", "ran longer than its timeout of 200ms and was stopped"));
    assert_eq!(done.log, "begin\nran longer than its timeout of 200ms and was stopped\n");
    world.end().await;
}

async fn idleness_is_no_output_and_no_activity(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let mut assignment = world.assignment("echo begin; sleep 1000");
    assignment.idle_timeout = Some(Duration::from_millis(300));
    let done = world.run(assignment).await;
    assert_eq!(done.result(), AttemptResult::Named(ResultName::IdleTimedOut));
    assert_eq!(done.message(), "produced no output and showed no activity for 300ms and was stopped");
    world.end().await;
}

async fn work_without_output_is_no_idleness(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let mut assignment = world.assignment("i=0; while [ $i -lt 12 ]; do sleep 0.1; i=$((i+1)); done; echo done");
    assignment.idle_timeout = Some(Duration::from_millis(700));
    let done = world.run(assignment).await;
    assert_eq!((done.result(), done.log.as_str()), (AttemptResult::Exit(0), "done\n"));
    world.end().await;
}

async fn term_is_tried_first_and_its_handler_may_finish(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let mut assignment = world.assignment("trap 'echo tidying; exit 0' TERM; echo ready; while :; do sleep 0.01; done");
    assignment.kill_grace = Duration::from_secs(30);
    let id = world.begin(assignment);
    world.log_has(&id, "ready").await;
    world.stop(&id, "job was cancelled");
    let done = world.done(&id).await;
    world.assert_empty();
    assert_eq!(done.result(), AttemptResult::Named(ResultName::Cancelled), "whatever its exit code is");
    assert_eq!((done.code(), done.message()), ("CANCELLED", "was stopped: job was cancelled"));
    assert!(done.log.contains("tidying\n"), "{}", done.log);
    world.end().await;
}

async fn stop_orders_arrive_while_all_slots_are_taken(mut launchers: Launchers) {
    let world = World::with(launchers.take(), |config| config.slots = 1).await;
    let id = world.begin(world.assignment("echo ready; sleep 1000"));
    world.log_has(&id, "ready").await;
    assert_eq!(world.ant.running().iter().map(|r| r.attempt_id.clone()).collect::<Vec<_>>(), std::slice::from_ref(&id));
    world.stop(&id, "enough");
    assert_eq!(world.done(&id).await.result(), AttemptResult::Named(ResultName::Cancelled));
    world.end().await;
}

async fn unknown_and_stale_stop_orders_change_nothing(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let id = world.begin(world.assignment("echo ready; while [ ! -e go ]; do sleep 0.01; done; echo went"));
    world.log_has(&id, "ready").await;
    let stop = |id: &str, token| StopOrder {
        attempt_id: atta_core::protocol::AttemptId(id.to_owned()),
        token,
        reason: "late".to_owned(),
    };
    world.queen.order(Orders { stops: vec![stop("job_9-9", 7), stop(&id.0, 6)], ..Orders::default() });
    // An order that has an effect shows that the ones before it were read.
    let other = world.begin(world.assignment("true"));
    world.done(&other).await;
    std::fs::write(world.attempts_dir().join(&id.0).join("work/go"), "").unwrap();
    assert_eq!(world.done(&id).await.log, "ready\nwent\n");
    world.end().await;
}

async fn a_stale_attempt_is_killed_and_forgotten(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let assignment = world.assignment("echo ready; sleep 1000");
    world.queen.stale.lock().unwrap().push(assignment.attempt_id.clone());
    world.begin(assignment);
    eventually("the ant has forgotten it", || {
        world.queen.reports.load(std::sync::atomic::Ordering::SeqCst) > 0 && world.ant.running().is_empty()
    })
    .await;
    world.assert_empty();
    world.end().await;
}

async fn an_attempt_whose_log_is_stale_is_killed_and_forgotten(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let id = world.begin(world.assignment("echo ready; while [ ! -e go ]; do sleep 0.01; done; echo more; sleep 1000"));
    world.log_has(&id, "ready").await;
    world.queen.stale_logs.lock().unwrap().push(id.clone());
    std::fs::write(world.attempts_dir().join(&id.0).join("work/go"), "").unwrap();
    eventually("the ant has forgotten it", || world.ant.running().is_empty()).await;
    let ended = world.queen.until("it is known", |all| all.get(&id).map(|stored| stored.finished.is_some())).await;
    assert!(!ended, "it is somebody else's");
    world.end().await;
}

async fn a_killed_shim_is_a_lost_attempt_without_leftovers(mut launchers: Launchers) {
    for level in [atta_worker::IsolationLevel::CgroupKill, atta_worker::IsolationLevel::Subreaper] {
        let world = World::isolated(launchers.take(), level).await;
        let id = world.begin(world.assignment("(setsid sleep 1000 &); echo ready; sleep 1000"));
        world.log_has(&id, "ready").await;
        let of_tree = marked_processes(world.mark());
        let shim = of_tree.iter().find_map(|pid| parent_named(*pid, "atta-shim")).expect("a shim is above the tree");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(shim), nix::sys::signal::Signal::SIGKILL).unwrap();
        let done = world.done(&id).await;
        assert_eq!(done.result(), AttemptResult::Named(ResultName::Lost));
        eventually("the tree is gone", || marked_processes(world.mark()).is_empty()).await;
        world.end().await;
    }
}

fn parent_named(pid: i32, name: &str) -> Option<i32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let parent: i32 = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
    let comm = std::fs::read_to_string(format!("/proc/{parent}/comm")).ok()?;
    (comm.trim() == name).then_some(parent)
}
