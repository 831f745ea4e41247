//! The ant's own life: drain, abort, death, restart.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use atta_core::engine::AttemptResult;
use atta_core::protocol::ant::{Orders, PollRequest, ReportBatch};
use atta_worker::{Ant, Launcher, LinkError, QueenLink, StartError};

use crate::harness::{HELPER, Launchers, tests};
use crate::world::{World, assert_no_process, assignment, config, eventually, mark_of, marked_processes};

tests![
    draining_finishes_what_runs,
    aborting_leaves_no_process,
    an_abort_overtakes_a_drain,
    slots_that_became_free_are_offered_at_once,
    kill_minus_nine_of_the_ant_leaves_no_process,
    a_second_ant_on_the_same_directory_is_refused,
    a_restarted_ant_waits_for_the_old_trees_and_sweeps,
    no_attempt_runs_twice_when_an_assignment_is_said_twice,
    many_small_attempts_leave_nothing_behind,
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

/// The queen of a helper: one order, then silence.
struct OneOrder(std::sync::Mutex<Option<Orders>>);

#[async_trait::async_trait]
impl QueenLink for OneOrder {
    async fn poll(&self, _: PollRequest, wait: Duration) -> Result<Orders, LinkError> {
        let order = self.0.lock().unwrap().take();
        if order.is_none() {
            tokio::time::sleep(wait).await;
        }
        Ok(order.unwrap_or_default())
    }
    async fn report(&self, _: ReportBatch) -> Result<Orders, LinkError> {
        Ok(Orders::default())
    }
    async fn heartbeat(&self, _: atta_core::protocol::ant::Heartbeat) -> Result<Orders, LinkError> {
        Ok(Orders::default())
    }

    async fn append_log(&self, _: atta_core::protocol::ant::LogChunk) -> Result<(), LinkError> {
        Ok(())
    }
    async fn put_blob(&self, _: &atta_core::protocol::Digest, _: u64, _: &Path) -> Result<(), LinkError> {
        Ok(())
    }
    async fn get_blob(&self, digest: &atta_core::protocol::Digest, _: &Path) -> Result<(), LinkError> {
        Err(LinkError::Blob { digest: digest.clone(), detail: "none".to_owned() })
    }
}

const STUBBORN: &str = "trap '' TERM HUP; (setsid sh -c 'trap \"\" TERM; sleep 1000; sleep 1000' &)\n\
                        for i in 1 2 3 4 5; do sleep 1000 & done; touch up; sleep 1000; sleep 1000";

/// An ant in a process of its own, to be killed.
pub(crate) async fn helper(launcher: Launcher, directory: String) {
    let directory = Path::new(&directory);
    let mut stubborn = assignment(1, STUBBORN, &mark_of(directory));
    stubborn.kill_grace = Duration::from_secs(1000);
    let orders = Orders { assignments: vec![stubborn], ..Orders::default() };
    let link = Arc::new(OneOrder(std::sync::Mutex::new(Some(orders))));
    let _ant = Ant::start(config(&directory.join("data")), launcher, link).await.unwrap();
    std::future::pending::<()>().await;
}

struct Helper(std::process::Child);

impl Helper {
    async fn start(directory: &Path) -> Self {
        let me = std::env::current_exe().unwrap();
        let child = Command::new(me).args([HELPER, directory.to_str().unwrap()]).stdin(Stdio::null()).spawn().unwrap();
        let up = directory.join("data/ant/attempts/job_0-1/work/up");
        eventually("the helper's attempt runs", || up.exists()).await;
        Self(child)
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn kill_minus_nine_of_the_ant_leaves_no_process(_: Launchers) {
    let directory = tempfile::Builder::new().prefix("atta-kill-").tempdir().unwrap();
    let mark = mark_of(directory.path());
    let mut helper = Helper::start(directory.path()).await;
    assert!(marked_processes(&mark).len() > 6);
    helper.kill();
    eventually("every process of the killed ant is gone", || marked_processes(&mark).is_empty()).await;
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
    let directory = tempfile::Builder::new().prefix("atta-again-").tempdir().unwrap();
    let mark = mark_of(directory.path());
    let mut helper = Helper::start(directory.path()).await;
    helper.kill();
    let data = directory.path().join("data");
    let world = World::at(launchers.take(), directory, &data, |_| {}).await.unwrap();
    assert_no_process(&mark);
    let left = std::fs::read_dir(world.attempts_dir()).unwrap().count();
    assert_eq!(left, 0, "the directories of the old attempts are gone");
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
