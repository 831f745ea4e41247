//! Process trees: nothing survives its attempt, whatever it does.

use std::time::Duration;

use atta_core::engine::{AttemptResult, ResultName};
use atta_worker::IsolationLevel;

use crate::harness::{Launchers, tests};
use crate::world::World;

tests![
    nothing_survives_under_cgroup_kill,
    nothing_survives_under_the_freezer,
    nothing_survives_under_the_subreaper_alone,
    leftovers_of_a_script_that_ends_by_itself_get_the_grace,
];

async fn nothing_survives_under_cgroup_kill(mut launchers: Launchers) {
    nothing_survives(World::isolated(launchers.take(), IsolationLevel::CgroupKill).await).await;
}

async fn nothing_survives_under_the_freezer(mut launchers: Launchers) {
    nothing_survives(World::isolated(launchers.take(), IsolationLevel::Freezer).await).await;
}

async fn nothing_survives_under_the_subreaper_alone(mut launchers: Launchers) {
    let world = World::isolated(launchers.take(), IsolationLevel::Subreaper).await;
    assert_eq!(world.ant.isolation(), IsolationLevel::Subreaper);
    nothing_survives(world).await;
}

async fn nothing_survives(world: World) {
    // A daemon that holds the pipes: its parent has ended and it has a session of its own.
    let done = world.script("(setsid sh -c 'trap \"\" HUP; echo daemon; sleep 1000' &) ; sleep 0.05; echo main").await;
    assert_eq!(done.result(), AttemptResult::Exit(0));
    assert_eq!(done.isolation.as_deref(), Some(world.ant.isolation().as_str()));
    assert!(done.log.contains("main\n"), "{}", done.log);

    // A whole tree that ignores TERM, in several sessions.
    let stubborn = "trap '' TERM HUP INT\n(trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 1000; sleep 1000' & sleep 1000) &\n\
                    echo ready; while :; do sleep 1000 || true; done";
    let id = world.begin(world.assignment(stubborn));
    world.log_has(&id, "ready").await;
    world.stop(&id, "a test");
    let done = world.done(&id).await;
    world.assert_empty();
    assert_eq!(done.result(), AttemptResult::Named(ResultName::Cancelled));
    assert_eq!(done.message(), "was stopped: a test");
    assert!(done.log.contains("stopping: a test\n"), "{}", done.log);

    // Two hundred at once, and they ignore TERM.
    let many = "trap '' TERM; for i in $(seq 200); do sleep 1000 & done; echo ready; wait";
    let id = world.begin(world.assignment(many));
    world.log_has(&id, "ready").await;
    world.stop(&id, "a test");
    world.done(&id).await;
    world.assert_empty();

    // Daemons that are replaced by their children all the time, so that no list of processes is ever right.
    let hydra = "cat > hydra <<'EOF'\ntrap '' TERM HUP\nsleep 0.002\nsetsid sh hydra &\nEOF\n\
                 for i in 1 2 3; do sh hydra & done; sleep 0.1; echo ready; sleep 1000";
    let id = world.begin(world.assignment(hydra));
    world.log_has(&id, "ready").await;
    world.stop(&id, "a test");
    world.done(&id).await;
    world.assert_empty();

    // The same when the script ends by itself.
    let done = world
        .script("cat > hydra <<'EOF'\ntrap '' TERM HUP\nsleep 0.002\nsetsid sh hydra &\nEOF\nsh hydra\nexit 3")
        .await;
    assert_eq!(done.result(), AttemptResult::Exit(3));

    // A stopped process does not see TERM unless it is continued.
    let id = world.begin(world.assignment("sh -c 'kill -STOP $$' & echo ready; wait; sleep 1000"));
    world.log_has(&id, "ready").await;
    world.stop(&id, "a test");
    world.done(&id).await;
    world.end().await;
}

async fn leftovers_of_a_script_that_ends_by_itself_get_the_grace(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let mut assignment = world.assignment(
        "sh -c 'trap \"echo tidy; exit 0\" TERM; echo up; while :; do sleep 0.01; done' &\nsleep 0.1; echo main; exit 7",
    );
    assignment.kill_grace = Duration::from_secs(30);
    let done = world.run(assignment).await;
    assert_eq!(done.result(), AttemptResult::Exit(7));
    assert!(done.log.contains("tidy\n"), "{}", done.log);
    world.end().await;
}
