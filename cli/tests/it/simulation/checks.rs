//! What must hold when all is over.

use std::collections::BTreeMap;
use std::time::Duration;

use atta_core::protocol::AttemptId;
use atta_core::protocol::ant::{DEFAULT_LEASE, LogStream};
use atta_core::time::Clock as _;
use atta_server::simulation as server;
use atta_worker::simulation::Ended;

use super::files;
use super::schedule::Colony;
use super::world::{Ran, World};

/// An attempt as the database has it.
struct Stored {
    state: String,
    result: String,
    exit_code: String,
    log_bytes: u64,
    isolation: String,
    ant: String,
    finished_at: String,
}

pub(super) async fn check(colony: &mut Colony) {
    let world = colony.world.clone();
    let attempts = stored(colony);
    each_attempt_ends_once(colony, &attempts, &world);
    nothing_stays_leased(colony, &world).await;
    events_are_in_order(colony, &world);
    jobs_end_as_their_tasks(colony, &world);
    let ran = std::mem::take(&mut *world.ran.lock().unwrap());
    for (id, attempt) in &attempts {
        let script = ran.get(&(id.clone(), "script".to_owned()));
        results_are_true(id, attempt, script, &world);
        loss_has_a_reason(id, attempt, &world);
        log_is_whole(colony, id, attempt, &ran, &world);
    }
    files::check(colony, &ran);
    for (id, name) in ran.keys() {
        if !attempts.contains_key(id) {
            world.violated(format!("the {name} of {id} ran, and nobody knows of it"));
        }
    }
}

fn stored(colony: &Colony) -> BTreeMap<AttemptId, Stored> {
    let sql = "SELECT job_id || '-' || number, state, result, exit_code, log_bytes, isolation, ant, finished_at
         FROM attempts ORDER BY 1";
    let rows = colony.house.rows(sql);
    let parse = |row: &String| {
        let parts: Vec<&str> = row.split(' ').collect();
        let stored = Stored {
            state: parts[1].to_owned(),
            result: parts[2].to_owned(),
            exit_code: parts[3].to_owned(),
            log_bytes: parts[4].parse().unwrap(),
            isolation: parts[5].to_owned(),
            ant: parts[6].to_owned(),
            finished_at: parts[7].to_owned(),
        };
        (AttemptId(parts[0].to_owned()), stored)
    };
    rows.iter().map(parse).collect()
}

fn each_attempt_ends_once(colony: &Colony, attempts: &BTreeMap<AttemptId, Stored>, world: &World) {
    let mut ends: BTreeMap<String, u32> = BTreeMap::new();
    let sql = "SELECT job_id || '-' || json_extract(event, '$.attempt') FROM events WHERE json_extract(event, '$.type') = 'attempt_finished'";
    for id in colony.house.rows(sql) {
        *ends.entry(id).or_default() += 1;
    }
    for (id, attempt) in attempts {
        let count = ends.remove(&id.0).unwrap_or_default();
        // One that nobody had been given ends with what ended its job or its task.
        let by_another = count == 0 && attempt.result == "CANCELLED" && attempt.isolation == "-";
        if count > 1 || ((count == 1) != (attempt.state == "FINISHED") && !by_another) {
            world.violated(format!("{id} is {} and has ended {count} times by its events", attempt.state));
        }
    }
    if !ends.is_empty() {
        world.violated(format!("events tell of attempts that are not there: {ends:?}"));
    }
}

async fn nothing_stays_leased(colony: &mut Colony, world: &World) {
    let leased = colony.house.rows("SELECT job_id, number, state FROM attempts WHERE state <> 'FINISHED'");
    if !leased.is_empty() {
        world.violated(format!("attempts are left: {leased:?}"));
    }
    if let Some(queen) = colony.house.queen.clone() {
        for ant in queen.ants().await.unwrap_or_default() {
            if ant.used > 0 {
                world.violated(format!("{} still has {:?}", ant.ant_id, ant.attempts));
            }
        }
        if let Err(error) = queen.health() {
            world.violated(format!("the queen is not well: {error}"));
        }
    }
    let damaged =
        colony.house.rows("SELECT id, reason FROM jobs WHERE error_code = 'ENGINE_REFUSED' OR reason LIKE '%engine%'");
    if !damaged.is_empty() {
        world.violated(format!("jobs were set aside: {damaged:?}"));
    }
}

fn events_are_in_order(colony: &Colony, world: &World) {
    let sql = "SELECT a.job_id, a.sequence FROM events a JOIN events b ON b.job_id = a.job_id AND b.sequence < a.sequence AND b.at > a.at LIMIT 3";
    let wrong = colony.house.rows(sql);
    if !wrong.is_empty() {
        world.violated(format!("the time of events goes back within a job: {wrong:?}"));
    }
}

fn jobs_end_as_their_tasks(colony: &Colony, world: &World) {
    let wrong = colony.house.rows(
        "SELECT j.id, j.state, t.task, t.state FROM jobs j JOIN tasks t ON t.job_id = j.id
         WHERE j.state = 'COMPLETED' AND t.state NOT IN ('COMPLETED', 'SKIPPED')
            OR j.state = 'FAILED' AND NOT EXISTS (SELECT 1 FROM tasks f WHERE f.job_id = j.id AND f.state = 'FAILED')
            OR j.state = 'CANCELLED' AND t.state NOT IN ('COMPLETED', 'FAILED', 'SKIPPED', 'CANCELLED')",
    );
    if !wrong.is_empty() {
        world.violated(format!("jobs have ended otherwise than their tasks: {wrong:?}"));
    }
    if !world.is_excused("CANCELLED") {
        let cancelled = colony.house.rows("SELECT id, reason FROM jobs WHERE state = 'CANCELLED'");
        if !cancelled.is_empty() {
            world.violated(format!("nobody has cancelled {cancelled:?}"));
        }
    }
}

fn results_are_true(id: &AttemptId, attempt: &Stored, ran: Option<&Ran>, world: &World) {
    let heard = attempt.isolation != "-";
    let Some(ran) = ran else {
        if heard || attempt.result == "COMPLETED" || attempt.exit_code != "-" {
            world.violated(format!("{id} has the result {} {}, and never began", attempt.result, attempt.exit_code));
        }
        if attempt.result == "INVALID" && !world.is_excused("INVALID") {
            world.violated(format!("{id} did not get what it was to begin with"));
        }
        return;
    };
    match ran.ended {
        None => world.violated(format!("{id} still runs")),
        Some(Ended::Code(code)) => {
            let said = attempt.exit_code == code.to_string() || (code == 0 && attempt.result == "COMPLETED");
            // It may be that the end was not heard in time, or that its output could not be kept, if there was a
            // reason; a loss needs one of its own.
            if !said && attempt.result != "LOST" && !world.is_excused(&attempt.result) {
                world.violated(format!("{id} ended with {code} and is {} {}", attempt.result, attempt.exit_code));
            }
        }
        Some(Ended::Signal(_)) if attempt.result == "COMPLETED" => {
            world.violated(format!("{id} was killed and is COMPLETED"));
        }
        Some(Ended::Signal(_)) => {}
    }
}

/// An attempt is lost only when its processes were killed, or when its ant was not heard for a lease: to be back within
/// one costs nothing.
fn loss_has_a_reason(id: &AttemptId, attempt: &Stored, world: &World) {
    if attempt.result != "LOST" {
        return;
    }
    let clock = &world.queen_clock;
    // History goes forwards only: when her clock was set back, any time until now will do.
    let finished = attempt.finished_at.parse().ok().and_then(|at| clock.when(at));
    let now = clock.monotonic();
    let by = finished.map_or(now, |at| now.min(at + Duration::from_secs(1)));
    let hearings = world.hearings();
    let named = attempt.ant.strip_prefix("ant").and_then(|number| number.parse::<usize>().ok());
    let mut ants = (0..world.ant_clocks.len()).filter(|ant| named.is_none_or(|named| named == *ant));
    let excused = ants.any(|ant| hearings.may_be_lost(id, ant, by, DEFAULT_LEASE));
    drop(hearings);
    if !excused {
        let ant = &attempt.ant;
        world.violated(format!("{id} is LOST: nobody killed it, and {ant} was never unheard for a lease"));
    }
}

/// What is stored of the log is what the programs wrote, in order, each line once, without a gap but a visible one.
fn log_is_whole(
    colony: &Colony,
    id: &AttemptId,
    attempt: &Stored,
    ran: &BTreeMap<(AttemptId, String), Ran>,
    world: &World,
) {
    let Some(logs) = &colony.house.logs else { return };
    let (pieces, total) = match server::now(logs.read(id, 0..u64::MAX, None)) {
        Some(Ok(read)) => read,
        other => return world.violated(format!("the log of {id} cannot be read: {:?}", other.map(Result::err))),
    };
    let mut text = Vec::new();
    let mut marked = false;
    for piece in &pieces {
        if piece.stream == LogStream::System {
            marked |= String::from_utf8_lossy(&piece.bytes).contains("left out here");
        } else {
            text.extend_from_slice(&piece.bytes);
        }
    }
    let whole = !["LOST", "CANCELLED", "INVALID", "TIMED_OUT", "KILLED"].contains(&attempt.result.as_str());
    if whole && attempt.log_bytes != total {
        world.violated(format!("the log of {id} has {total} bytes, and its end says {}", attempt.log_bytes));
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut said = text.split_inclusive('\n').peekable();
    for name in ["script", "after"] {
        let Some(ran) = ran.get(&(id.clone(), name.to_owned())) else { continue };
        let mut missing = 0;
        for line in &ran.lines {
            if said.next_if_eq(&line.as_str()).is_none() {
                missing += 1;
            } else if missing > 0 && !marked {
                return world.violated(format!("the log of {id} has a gap before {line:?}:\n{text}"));
            }
        }
        if missing > 0 && whole && !marked && matches!(ran.ended, Some(Ended::Code(_))) {
            return world.violated(format!("the log of {id} is not complete:\n{text}"));
        }
    }
    if let Some(line) = said.next() {
        world.violated(format!("the log of {id} has {line:?} where it should not be:\n{text}"));
    }
}
