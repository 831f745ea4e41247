//! The queen is away for six hours, and nothing of what happens meanwhile is lost but output that says so.

use std::fs;
use std::path::Path;
use std::time::Duration;

use atta_core::protocol::AttemptId;
use atta_core::protocol::ant::LogStream;
use atta_server::logs::LogStore;
use atta_server::simulation as server;
use atta_worker::simulation::{Program, Step};
use tokio::time::sleep;

use super::checks;
use super::schedule::{Colony, in_a_world};

const ABSENCE: Duration = Duration::from_hours(6);
const MINUTE: Duration = Duration::from_mins(1);
/// Of the ant; its slots share it.
const SPOOL: u64 = 1 << 20;
const SLOTS: u64 = 4;
const LINE: usize = 1024;
/// The shim looks whether there is room before it takes a piece.
const ONE_PIECE: u64 = 2 * LINE as u64;
/// What the queen had before she left takes no room on the disk, but the file is as long.
const DELIVERED: u64 = 90 * LINE as u64;

/// A line a second for five and a half hours, or one an hour.
fn program(loud: bool, code: u8) -> Program {
    let (count, pause) = if loud { (19_800, Duration::from_secs(1)) } else { (5, Duration::from_hours(1)) };
    let mut steps = Vec::new();
    for number in 0..count {
        let mut bytes = format!("line {number} ").into_bytes();
        bytes.resize(if loud { LINE - 1 } else { 40 }, b'.');
        bytes.push(b'\n');
        steps.push(Step::Write { to_stderr: false, bytes });
        steps.push(Step::Sleep(pause));
    }
    Program { steps, code, obeys_after: None }
}

/// Bytes in the spools of a machine.
fn spooled(attempts: &Path) -> Vec<u64> {
    let Ok(attempts) = fs::read_dir(attempts) else { return Vec::new() };
    let size = |dir: fs::DirEntry| fs::metadata(dir.path().join("script.spool")).map_or(0, |file| file.len());
    attempts.map(|dir| size(dir.unwrap())).collect()
}

/// One ant whose spool is bounded so, a minute after it began to work.
pub(super) async fn at_work(dir: &Path, spool: u64, age: Duration) -> Colony {
    // The first seed with one ant.
    let mut colony =
        (0..1_000).map(|seed| Colony::new(seed, dir, false)).find(|colony| colony.ants.len() == 1).unwrap();
    *colony.world.author.lock().unwrap() = Some(Box::new(|attempt| {
        // The attempts of a job are numbered as its items are.
        let number: u8 = attempt.0.rsplit('-').next().unwrap().parse().unwrap();
        program(number == 1, number % 3)
    }));
    colony.house.start();
    (colony.ants[0].slots, colony.ants[0].spool) = (u32::try_from(SLOTS).unwrap(), spool);
    colony.ants[0].spool_age = age;
    colony.ants[0].start(&colony.house.address).await;
    colony.submit("hours").await;
    sleep(MINUTE).await;
    colony
}

#[test]
fn six_hours_without_a_queen_lose_no_result_and_only_output_that_says_so() {
    in_a_world(None, async |dir| {
        let mut colony = at_work(&dir, SPOOL, 2 * ABSENCE).await;
        let world = colony.world.clone();
        world.give_files(true);
        assert_eq!(colony.ants[0].ant.as_ref().unwrap().running().len(), 4, "all of it runs");

        colony.house.kill().await;
        let attempts = world.ant_dir(0).join("ant/attempts");
        let mut longest = 0;
        for minute in 0..ABSENCE.as_secs() / 60 {
            sleep(MINUTE).await;
            let sizes = spooled(&attempts);
            assert!(
                sizes.iter().all(|size| *size <= SPOOL / SLOTS + DELIVERED + ONE_PIECE),
                "after {minute} minutes: {sizes:?}"
            );
            longest = longest.max(sizes.iter().sum());
            if minute == 150 {
                // The ant itself is replaced meanwhile.
                colony.ants[0].kill(false).await;
                colony.ants[0].start(&colony.house.address).await;
            }
            let spool = colony.ants[0].ant.as_ref().unwrap().spool();
            assert!(spool.used <= SPOOL, "{spool:?}");
        }
        assert!(longest > SPOOL / SLOTS / 2, "the spool was hardly used: {longest}");

        colony.calm_down().await;
        colony.end().await;
        checks::check(&mut colony).await;
        assert_eq!(world.violations(), [""; 0], "{}", world.trace());
        let results = colony.house.rows("SELECT number, coalesce(exit_code, result) FROM attempts ORDER BY number");
        assert_eq!(results, ["1 1", "2 2", "3 0", "4 1"], "each result as the program gave it, once");
        let kept = colony.house.rows("SELECT attempt, count(*) FROM artifacts GROUP BY attempt ORDER BY attempt");
        assert_eq!(kept, ["1 2", "2 2", "3 2", "4 2"], "what each has left, once");
        let logs = colony.house.logs.clone().unwrap();
        let jobs = colony.house.rows("SELECT DISTINCT job_id FROM attempts").concat();
        for number in 1..=4 {
            let id = AttemptId(format!("{jobs}-{number}"));
            let (pieces, _) = server::now(logs.read(&id, 0..u64::MAX, None)).unwrap().unwrap();
            let marks = pieces.iter().filter(|piece| piece.stream == LogStream::System);
            let marks = marks.filter(|piece| String::from_utf8_lossy(&piece.bytes).contains("left out here")).count();
            assert_eq!(marks > 0, number == 1, "attempt {number} has {marks} marks");
        }
        for ant in &mut colony.ants {
            ant.kill(false).await;
        }
        colony.house.kill().await;
    });
}

/// The numbers of the lines that an attempt's log has, and the bytes that it says are missing for their age.
fn lines_and_gaps(logs: &LogStore, id: &AttemptId) -> (Vec<usize>, usize) {
    let (pieces, _) = server::now(logs.read(id, 0..u64::MAX, None)).unwrap().unwrap();
    let (mut text, mut missing) = (String::new(), 0);
    for piece in pieces {
        let piece_text = String::from_utf8_lossy(&piece.bytes).into_owned();
        if piece.stream != LogStream::System {
            text.push_str(&piece_text);
        } else if piece_text.contains("left out here") {
            assert!(piece_text.contains("they had waited for too long"), "{piece_text}");
            missing += piece_text.split(' ').nth(1).unwrap().parse::<usize>().unwrap();
        }
    }
    (text.lines().map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect(), missing)
}

#[test]
fn output_that_waits_for_longer_than_an_hour_is_left_out_and_counted_also_by_the_ants_that_come_later() {
    const HOUR: u64 = 3600;
    in_a_world(None, async |dir| {
        // Room for all of it: only its age counts.
        let mut colony = at_work(&dir, 256 << 20, Duration::from_secs(HOUR)).await;
        let world = colony.world.clone();
        colony.house.kill().await;
        for minute in 0..ABSENCE.as_secs() / 60 {
            sleep(MINUTE).await;
            // Before anything is too old, when something was left out, and when the loud one has ended.
            if [30, 150, 345].contains(&minute) {
                colony.ants[0].kill(false).await;
                colony.ants[0].start(&colony.house.address).await;
            }
            let spool = colony.ants[0].ant.as_ref().unwrap().spool();
            let most = (HOUR + 5 * 60) * (LINE as u64 + 13);
            assert!(spool.used <= most, "after {minute} minutes more than {most}: {spool:?}");
            assert_eq!(spool.since.is_some(), spool.used > 0);
        }
        colony.calm_down().await;
        colony.end().await;
        checks::check(&mut colony).await;
        assert_eq!(world.violations(), [""; 0], "{}", world.trace());
        let results = colony.house.rows("SELECT number, coalesce(exit_code, result) FROM attempts ORDER BY number");
        assert_eq!(results, ["1 1", "2 2", "3 0", "4 1"], "each result as the program gave it, once");
        let logs = colony.house.logs.clone().unwrap();
        let job = colony.house.rows("SELECT DISTINCT job_id FROM attempts").concat();
        for number in 1..=4 {
            let (lines, missing) = lines_and_gaps(&logs, &AttemptId(format!("{job}-{number}")));
            let (all, length) = if number == 1 { (19_800, LINE) } else { (5, 41) };
            assert_eq!(lines.len() * length + missing, all * length, "attempt {number}: {lines:?}");
            assert!(missing > 0 && lines.is_sorted(), "attempt {number}: {lines:?}");
            if number == 1 {
                // What is not older than an hour is there, and what she had before she left.
                let after = *lines.iter().find(|line| **line > 10_000).unwrap();
                assert!(lines[60..].iter().all(|line| *line < 100 || *line >= after), "one gap");
                assert!((17_000..18_600).contains(&after) && lines.last() == Some(&19_799), "from {after} on");
            }
        }
        for ant in &mut colony.ants {
            ant.kill(false).await;
        }
        colony.house.kill().await;
    });
}
