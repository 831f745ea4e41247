//! A deterministic simulation of the whole system: the real queen on a real database, real ants with their executors,
//! spools and adoption, and between them a network, disks, clocks and machines that fail as one seed has it. Everything
//! happens on one thread in virtual time: the same seed is the same schedule, step by step. In every fourth schedule
//! programs hand over files.
//!
//! `make simulate SEEDS=100000 FIRST=0` plays many; `ATTA_SIMULATE_SEED=7` replays one and tells its story.

mod absence;
mod checks;
mod colony;
mod files;
mod hearings;
mod network;
mod records;
mod restarts;
mod schedule;
mod world;

use std::panic::{catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use atta_server::simulation::Sabotage;
use schedule::play;

use crate::live_server::number;

const SEEDS: u64 = 40;
/// Schedules that once showed a fault; they are played with the first ones.
const REMEMBERED: [u64; 10] = [1_424, 1_652, 1_707, 2_208, 3_591, 4_237, 5_149, 6_143, 46_196, 63_395];
/// A faulty queen is caught within so many.
const CAUGHT_WITHIN: u64 = 400;

#[test]
fn whatever_fails_every_job_ends_and_nothing_is_begun_twice_or_lost() {
    if let Some(seed) = number("ATTA_SIMULATE_SEED") {
        let outcome = play(seed, None, true);
        eprintln!("trace {}", outcome.hash);
        assert!(outcome.violations.is_empty(), "{:#?}", outcome.violations);
        return;
    }
    let first = number("ATTA_SIMULATE_FIRST").unwrap_or(0);
    let seeds = number("ATTA_SIMULATE_SEEDS").unwrap_or(SEEDS);
    let threads = number("ATTA_SIMULATE_THREADS").unwrap_or(2);
    let remembered = if seeds == SEEDS { &REMEMBERED[..] } else { &[] };
    let played: Vec<u64> = (first..first + seeds).chain(remembered.iter().copied()).collect();
    let (next, violated) = (AtomicUsize::new(0), AtomicU64::new(0));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let Some(&seed) = played.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
                    let outcome = catch_unwind(|| play(seed, None, false));
                    let outcome = outcome.unwrap_or_else(|panic| {
                        eprintln!("seed {seed} panicked; `make simulate REPLAY={seed}` replays it");
                        resume_unwind(panic)
                    });
                    if !outcome.violations.is_empty() {
                        violated.fetch_add(1, Ordering::Relaxed);
                        let trace = if seeds > SEEDS { "" } else { &outcome.trace };
                        eprintln!(
                            "seed {seed}: {:#?}\n`make simulate REPLAY={seed}` replays it\n{trace}",
                            outcome.violations
                        );
                    }
                }
            });
        }
    });
    let violated = violated.into_inner();
    eprintln!("{seeds} schedules in {:.1} s, {violated} with a violation", began.elapsed().as_secs_f64());
    assert_eq!(violated, 0, "an invariant was violated");
}

#[test]
fn the_same_seed_is_the_same_schedule_step_by_step() {
    for seed in 1_000..1_012 {
        let (one, other) = (play(seed, None, false), play(seed, None, false));
        if one.hash != other.hash {
            let differs = one.trace.lines().zip(other.trace.lines()).position(|(a, b)| a != b);
            let at = differs.unwrap_or_default();
            let show = |trace: &str| trace.lines().skip(at.saturating_sub(5)).take(10).collect::<Vec<_>>().join("\n");
            panic!("seed {seed} differs at line {at}:\n{}\n--\n{}", show(&one.trace), show(&other.trace));
        }
    }
}

#[test]
fn a_queen_that_was_made_faulty_is_caught() {
    for sabotage in [Sabotage::Fencing, Sabotage::Sequences, Sabotage::Transactions] {
        let caught = (0..CAUGHT_WITHIN).find_map(|seed| {
            let outcome = play(seed, Some(sabotage), false);
            Some((seed, outcome.violations.first()?.clone()))
        });
        let Some((seed, violation)) = caught else { panic!("{sabotage:?} was not seen in {CAUGHT_WITHIN} schedules") };
        eprintln!("{sabotage:?} is caught by seed {seed}: {violation}");
        let sound = play(seed, None, false);
        assert!(sound.violations.is_empty(), "without it nothing is wrong with seed {seed}: {:#?}", sound.violations);
    }
}
