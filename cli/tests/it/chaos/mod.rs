//! Kills, stops, cuts off and fills up what Atta is made of, at random, while jobs run; each command has to run exactly
//! once per attempt that the record shows, and nothing may stay behind.
//!
//! `CHAOS_SEED` and `CHAOS_KILLS` choose another run; `make chaos` sets them. Odd seeds use network namespaces, even
//! ones a proxy. Each seed is played twice, on SQLite and on a PostgreSQL that is killed too; the second only when
//! `CHAOS_KILLS` is set.

mod disk;
mod jobs;
mod leftovers;
mod line;
mod world;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cluster::{Cluster, TestDatabase};
use crate::dice::Dice;
use crate::live_server::{number, processes_of, wait_for};
use jobs::{BAD, Counts, GOOD, Submitted, check};
use world::{Who, World};

/// Jobs that are open at once.
const OPEN: usize = 3;

/// Processes of the test with this name, in the order of their ids.
fn named(root: &Path, name: &str) -> Vec<Pid> {
    let mut found: Vec<i32> = processes_of(root)
        .iter()
        .filter_map(|line| line.split(' ').next()?.parse().ok())
        .filter(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name))
        .collect();
    found.sort_unstable();
    found.into_iter().map(Pid::from_raw).collect()
}

/// Its parent, as long as it lives.
fn parent(pid: Pid) -> Option<Pid> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let of = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    of.trim().parse().ok().map(Pid::from_raw)
}

/// One of the shims. What a shim has forked is called like it until it has become the command: to kill that is to kill the
/// command, which the record then shows as `KILLED`.
fn a_shim(root: &Path, dice: &mut Dice) -> Option<Pid> {
    let all = named(root, "atta-shim");
    let shims: Vec<Pid> =
        all.iter().copied().filter(|pid| parent(*pid).is_some_and(|parent| !all.contains(&parent))).collect();
    let count = u64::try_from(shims.len()).expect("it fits");
    (count > 0).then(|| shims[usize::try_from(dice.below(count)).expect("it fits")])
}

/// The launcher that this process has started.
fn launcher_of(root: &Path, of: Pid) -> Option<Pid> {
    named(root, "atta-launcher").into_iter().find(|pid| parent(*pid) == Some(of))
}

fn somebody(dice: &mut Dice) -> Who {
    Who::ALL[usize::try_from(dice.below(3)).expect("it fits")]
}

/// Does one bad thing; returns its name.
fn disturb(world: &mut World, dice: &mut Dice) -> String {
    let root = world.scratch.root().to_owned();
    match dice.below(15) {
        0..=2 => {
            world.kill(Who::Queen);
            std::thread::sleep(Duration::from_millis(dice.below(300)));
            world.start_again(Who::Queen);
            "kill -9 of the queen".to_owned()
        }
        3 => {
            world.kill(Who::Near);
            std::thread::sleep(Duration::from_millis(dice.below(500)));
            world.start_again(Who::Near);
            "kill -9 of the near ant".to_owned()
        }
        4 => {
            world.kill(Who::Far);
            std::thread::sleep(Duration::from_millis(dice.below(500)));
            world.start_again(Who::Far);
            "kill -9 of the far ant".to_owned()
        }
        5 => {
            for who in Who::ALL {
                world.kill(who);
            }
            std::thread::sleep(Duration::from_millis(dice.below(300)));
            for who in Who::ALL {
                world.start_again(who);
            }
            "kill -9 of everybody".to_owned()
        }
        6..=7 => {
            // It may be gone by itself meanwhile.
            match a_shim(&root, dice).map(|pid| kill(pid, Signal::SIGKILL)) {
                Some(Ok(())) => {
                    world.shims_killed += 1;
                    "kill -9 of a shim".to_owned()
                }
                Some(Err(_)) | None => "no shim to kill".to_owned(),
            }
        }
        8 => {
            let (who, pid) = (somebody(dice), a_shim(&root, dice));
            if let Some(pid) = pid {
                let _ = kill(pid, Signal::SIGSTOP);
            }
            world.kill(who);
            world.start_again(who);
            if let Some(pid) = pid {
                let _ = kill(pid, Signal::SIGCONT);
            }
            format!("a shim stopped while {who:?} is killed")
        }
        9 => {
            let who = somebody(dice);
            world.signal(who, Signal::SIGSTOP);
            std::thread::sleep(Duration::from_millis(100 + dice.below(900)));
            world.signal(who, Signal::SIGCONT);
            format!("{who:?} stopped for a while")
        }
        10 => {
            // Who has no launcher ends by itself, with the reason, and is started again.
            let who = somebody(dice);
            if let Some(pid) = world.pid(who).and_then(|pid| launcher_of(&root, pid)) {
                let _ = kill(pid, Signal::SIGKILL);
            }
            format!("kill -9 of the launcher of {who:?}")
        }
        14 => match &mut world.database {
            Some(database) => {
                database.cluster.kill();
                std::thread::sleep(Duration::from_millis(dice.below(1000)));
                database.cluster.restart();
                "kill -9 of PostgreSQL".to_owned()
            }
            None => "nothing".to_owned(),
        },
        11..=12 => world.line().disturb(dice).to_owned(),
        _ => {
            let which = usize::try_from(dice.below(2)).expect("it fits");
            let a_while = Duration::from_millis(100 + dice.below(700));
            match world.fill(which, a_while) {
                Some(who) => format!("the disk of {who:?} full for a while"),
                None => "no disk to fill".to_owned(),
            }
        }
    }
}

fn submit(world: &mut World, number: usize, dice: &mut Dice) -> Submitted {
    let bad = dice.below(5) == 0;
    let (file, verdict) = if bad { ("bad.yaml", "FAILED") } else { ("chaos.yaml", "COMPLETED") };
    let file = world.scratch.path(file).display().to_string();
    // A submission whose answer got lost may have made a job, which must not be taken for this one.
    for again in 0.. {
        let side = format!("side{number}-{again}");
        let path = format!("Side={}", world.scratch.path(&side).display());
        let done = world.atta(&["submit", &file, "-p", &path, "-p", &format!("Seed={number}"), "--json"]);
        if done.code == 0 {
            let id = done.json()["job_id"].as_str().expect("an id").to_owned();
            return Submitted { id, side, verdict };
        }
        assert!(again < 200, "{done:#?}");
        world.revive();
        std::thread::sleep(Duration::from_millis(100));
    }
    unreachable!("it returns or panics")
}

const OPEN_JOBS: [&str; 14] = [
    "jobs",
    "--state",
    "PENDING",
    "--state",
    "RUNNING",
    "--state",
    "WAITING",
    "--state",
    "PAUSED",
    "--state",
    "CANCELLING",
    "--limit",
    "1000",
    "--json",
];

fn open_jobs(world: &mut World) -> usize {
    let open = world.ask(&OPEN_JOBS);
    open["items"].as_array().or_else(|| open.as_array()).map_or(0, Vec::len)
}

#[test]
fn whatever_is_killed_each_command_runs_once_per_attempt_and_nothing_stays_behind() {
    play(number("CHAOS_KILLS").unwrap_or(10), None);
}

#[test]
fn whatever_is_killed_and_postgresql_too_each_command_runs_once_per_attempt_and_nothing_stays_behind() {
    let Some(kills) = number("CHAOS_KILLS") else {
        eprintln!("CHAOS_KILLS is not set, so nothing was tested here: `make chaos` sets it");
        return;
    };
    play(kills, Some(Cluster::own().database()));
}

/// Plays the seed that was asked for; `database`: the queen keeps what she knows there.
fn play(kills: u64, database: Option<TestDatabase>) {
    let seed = number("CHAOS_SEED").unwrap_or(1);
    eprintln!("CHAOS_SEED={seed} CHAOS_KILLS={kills}, PostgreSQL: {}", database.is_some());
    let mut dice = Dice(seed);
    let mut world = World::start(seed % 2 == 1, seed, database);
    world.scratch.write("chaos.yaml", GOOD);
    world.scratch.write("bad.yaml", BAD);
    let mut submitted: Vec<Submitted> = Vec::new();
    let mut done: BTreeMap<String, u64> = BTreeMap::new();
    for step in 0..kills {
        let wanted = if kills < 50 { OPEN - 1 } else { OPEN };
        for _ in open_jobs(&mut world)..wanted {
            let next = submit(&mut world, submitted.len(), &mut dice);
            submitted.push(next);
        }
        std::thread::sleep(Duration::from_millis(dice.below(400)));
        let what = disturb(&mut world, &mut dice);
        eprintln!("{step}: {what}");
        *done.entry(what).or_default() += 1;
        world.revive();
    }
    let began = std::time::Instant::now();
    while open_jobs(&mut world) > 0 {
        let open = || world.json(&OPEN_JOBS);
        assert!(began.elapsed() < Duration::from_mins(3), "jobs do not end: {:#}", open());
        world.revive();
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut counts = Counts::default();
    for job in &submitted {
        check(&world, job, &mut counts);
    }
    let killed = world.shims_killed;
    assert!(counts.lost <= killed, "{killed} shims were killed, and more attempts are lost: {counts:?}");
    check_leftovers(&mut world);
    eprintln!("{done:#?}");
    eprintln!("{} jobs, {counts:?}; ended by themselves and started again: {:#?}", submitted.len(), world.ended);
}

/// Processes, cgroups, directories, leases.
fn check_leftovers(world: &mut World) {
    let root = world.scratch.root().to_owned();
    wait_for("all shims to end", || named(&root, "atta-shim").is_empty().then_some(()));
    let ants = world.ask(&["ants", "--json"]);
    for ant in ants["items"].as_array().or_else(|| ants.as_array()).expect("a list of ants") {
        assert_eq!((&ant["used"], ant["attempts"].as_array().map(Vec::len)), (&0.into(), Some(0)), "a lease: {ant:#}");
    }
    world.stop();
    wait_for("all processes to end", || processes_of(&root).is_empty().then_some(()));
    for who in Who::ALL {
        let data = world.data(who);
        for directory in ["ant/attempts", "ant/spare", "artifacts/tmp"] {
            assert_eq!(leftovers::entries(&data.join(directory)), [""; 0].map(std::path::PathBuf::from), "{who:?}");
        }
        assert_eq!(leftovers::cgroups(&data), [""; 0].map(std::path::PathBuf::from), "{who:?}");
        let strange: Vec<_> = leftovers::files(&data)
            .into_iter()
            .filter(|file| {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                name.ends_with(".new") || name.ends_with(".atta-part") || name.ends_with(".spool") || name == "ballast"
            })
            .collect();
        assert!(strange.is_empty(), "{strange:?}");
    }
}
