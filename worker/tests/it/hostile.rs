//! Programs that do what nobody expects to their own supervision.

use std::path::{Path, PathBuf};
use std::time::Duration;

use atta_core::engine::{AttemptResult, ResultName};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Launchers, tests};
use crate::world::{TestQueen, World, config, eventually};

tests![
    a_program_gets_three_descriptors_and_default_signals,
    a_pipe_in_place_of_the_spool_ends_the_attempt,
    a_stopped_shim_goes_on,
    cgroups_that_a_program_makes_are_removed_at_once,
    a_dead_launcher_is_noticed_and_what_runs_goes_on,
    a_directory_that_cannot_be_removed_does_not_keep_the_ant_from_starting,
];

async fn a_program_gets_three_descriptors_and_default_signals(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let done =
        world.script("cd /proc/$$/fd; echo [0-2] [3-9] [1-9][0-9]; grep -E 'Sig(Blk|Ign)' /proc/self/status").await;
    let mut lines = done.log.lines();
    // 3 is the directory that is being listed; bash reads the script through 255.
    assert_eq!(lines.next(), Some("0 1 2 3 [1-9][0-9]"), "{}", done.log);
    for line in lines {
        // What this process itself was started with may ignore signals beyond the standard ones.
        let set = u64::from_str_radix(line.rsplit_once('\t').unwrap().1, 16).unwrap();
        assert_eq!(set & 0x7fff_ffff, 0, "{line}");
    }
    world.end().await;
}

async fn a_pipe_in_place_of_the_spool_ends_the_attempt(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    for reader in ["", "cat ../script.spool > /dev/null & sleep 0.1;"] {
        let done = world.script(&format!("mkfifo ../script.spool; {reader} echo hello; sleep 1000")).await;
        assert_eq!(done.result(), AttemptResult::Named(ResultName::Invalid));
        assert_eq!(done.code(), "SPOOL_FAILED");
    }
    world.end().await;
}

async fn a_stopped_shim_goes_on(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let mut assignment = world.assignment("kill -STOP $PPID; echo stopped it; sleep 1000");
    assignment.timeout = Duration::from_millis(300);
    let done = world.run(assignment).await;
    assert_eq!(done.result(), AttemptResult::Named(ResultName::TimedOut));
    world.end().await;
}

async fn cgroups_that_a_program_makes_are_removed_at_once(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let done = world
        .script(
            "own=$(sed -n 's/^0:://p' /proc/self/cgroup)\n\
             point=$(sed -n 's/.* \\(\\/[^ ]*\\) [^ ]* - cgroup2 .*/\\1/p' /proc/self/mountinfo)\n\
             case $own in */atta-*) mkdir \"$point$own/sub\" \"$point$own/sub/deeper\" || true;; esac",
        )
        .await;
    assert_eq!((done.result(), &done.report.warnings[..]), (AttemptResult::Exit(0), &[][..]));
    world.end().await;
}

async fn a_dead_launcher_is_noticed_and_what_runs_goes_on(mut launchers: Launchers) {
    let launcher = launchers.take();
    let pid = Pid::from_raw(i32::try_from(launcher.pid()).unwrap());
    let world = World::new(launcher).await;
    let id = world.begin(world.assignment("echo ready; while [ ! -e go ]; do sleep 0.01; done; echo went"));
    world.log_has(&id, "ready").await;
    kill(pid, Signal::SIGKILL).unwrap();
    let stat = format!("/proc/{pid}/stat");
    eventually("it is dead", || std::fs::read_to_string(&stat).unwrap().contains(") Z ")).await;
    world.begin(world.assignment("echo never"));
    world.ant.launcher_lost().await;
    std::fs::write(world.attempts_dir().join(&id.0).join("work/go"), "").unwrap();
    assert_eq!(world.done(&id).await.log, "ready\nwent\n");
    eventually("the attempt that did not start has gone", || world.ant.running().is_empty()).await;
    world.end().await;
}

async fn a_directory_that_cannot_be_removed_does_not_keep_the_ant_from_starting(mut launchers: Launchers) {
    let directory = tempfile::Builder::new().prefix("atta-left-").tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    let data = root.join("data");
    // Of an attempt in which nothing was begun, and of a job that is over.
    for left in ["attempts/job_1-1/work", "workspaces/.trash-job_1-0a1b2c3d"] {
        let mount = data.join("ant").join(left).join("mount");
        std::fs::create_dir_all(&mount).unwrap();
        if let Err(errno) =
            nix::mount::mount(Some("tmpfs"), &mount, Some("tmpfs"), nix::mount::MsFlags::empty(), Some("size=64k"))
        {
            eprintln!("no tmpfs can be mounted here ({errno}): nothing to test");
            return;
        }
    }
    let not_begun = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(data.join("ant/attempts/job_1-1"), not_begun).unwrap();
    std::fs::create_dir_all(data.join("ant/mirrors")).unwrap();
    let queen = std::sync::Arc::new(TestQueen::new(root.join("blobs")));
    let started = atta_worker::Ant::start(config(&data), launchers.take(), queen.clone()).await;
    let mounts = mounts_below(&data);
    for mount in &mounts {
        nix::mount::umount2(mount, nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
    let aside = data.join("ant/leftovers");
    assert!(mounts.len() == 2 && mounts.iter().all(|mount| mount.starts_with(&aside)), "{mounts:?}");
    started.unwrap().drain().await;
    // What stays then goes with the next start.
    let ant = atta_worker::Ant::start(config(&data), launchers.take(), queen).await.unwrap();
    eventually("what was left is gone", || std::fs::read_dir(&aside).unwrap().next().is_none()).await;
    ant.drain().await;
}

fn mounts_below(directory: &Path) -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    places.filter(|place| place.starts_with(directory)).collect()
}
