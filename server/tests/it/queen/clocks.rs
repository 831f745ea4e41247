//! Clocks that jump, and the days on which they are changed.

use std::time::Duration;

use atta_core::protocol::JobId;
use atta_core::time::Clock;
use atta_server::scheduler::JobCommand;
use jiff::Timestamp;
use jiff::civil::date;

use super::rig::{Ant, Rig, START, definition, request};

const HOUR: i64 = 3_600_000;
const MINUTES: Duration = Duration::from_mins(1);

/// Sets the clock an hour forward or back, all at once, and lets the queen look at it.
async fn jump(rig: &Rig, hours: i64) {
    rig.set_clock(rig.clock.now().0 + hours * HOUR);
    rig.settle().await;
}

async fn attempts(rig: &Rig, job: &JobId) -> String {
    rig.rows(&format!("SELECT count(*) FROM attempts WHERE job_id = '{job}'")).await.concat()
}

/// The local times at which jobs were made by this line on one day, with the clock looked at every ten minutes.
async fn day(zone: &str, line: &str, (year, month, day): (i16, i8, i8)) -> Vec<String> {
    let rig = Rig::new().await;
    let midnight = date(year, month, day).in_tz(zone).unwrap();
    let end = midnight.tomorrow().unwrap().timestamp().as_millisecond();
    rig.set_clock(midnight.timestamp().as_millisecond() - 1);
    rig.settle().await;
    let keys = format!("cron_trigger: \"{line}\"\ntimezone: {zone}");
    rig.upload(&definition(&keys, &[("a", "")])).await;
    let mut ant = Ant::new("ant", 1);
    rig.set_clock(midnight.timestamp().as_millisecond());
    while rig.clock.now().0 < end {
        rig.settle().await;
        ant.work(&rig.queen).await;
        rig.set_clock(rig.clock.now().0 + 600_000);
    }
    let ticks = rig.rows("SELECT tick FROM jobs WHERE state = 'COMPLETED' ORDER BY tick").await;
    assert_eq!(rig.rows("SELECT count(*) FROM jobs").await, [ticks.len().to_string()], "nothing was missed");
    let local = |tick: &String| {
        let tick = Timestamp::from_millisecond(tick.parse().unwrap()).unwrap();
        tick.in_tz(zone).unwrap().strftime("%H:%M %:z").to_string()
    };
    ticks.iter().map(local).collect()
}

#[tokio::test]
pub(crate) async fn a_daily_job_runs_once_where_an_hour_is_left_out_and_where_one_comes_twice() {
    assert_eq!(day("Europe/Berlin", "30 2 * * *", (2026, 3, 29)).await, ["03:00 +02:00"]);
    assert_eq!(day("Europe/Berlin", "30 2 * * *", (2026, 10, 25)).await, ["02:30 +02:00"]);
    assert_eq!(day("America/New_York", "30 2 * * *", (2026, 3, 8)).await, ["03:00 -04:00"]);
    assert_eq!(day("America/New_York", "30 1 * * *", (2026, 11, 1)).await, ["01:30 -04:00"]);
    // Here it is half an hour.
    assert_eq!(day("Australia/Lord_Howe", "10 2 * * *", (2026, 10, 4)).await, ["02:30 +11:00"]);
    assert_eq!(day("Australia/Lord_Howe", "40 1 * * *", (2026, 4, 5)).await, ["01:40 +11:00"]);
}

#[tokio::test]
pub(crate) async fn an_hourly_job_follows_the_time_that_passes() {
    for (zone, short, long, counts) in [
        ("Europe/Berlin", (2026, 3, 29), (2026, 10, 25), (46, 50)),
        ("America/New_York", (2026, 3, 8), (2026, 11, 1), (46, 50)),
        ("Australia/Lord_Howe", (2026, 10, 4), (2026, 4, 5), (47, 49)),
    ] {
        let (short, long) = (day(zone, "0,30 * * * *", short).await, day(zone, "0,30 * * * *", long).await);
        assert_eq!((short.len(), long.len()), counts, "{zone}: {short:?} {long:?}");
        let mut all = long.clone();
        all.dedup();
        assert_eq!(all, long, "each has an instant of its own");
    }
}

#[tokio::test]
pub(crate) async fn ticks_over_which_the_clock_jumps_are_missed_ones_and_none_comes_twice() {
    for (misfire, expected) in [
        ("skip", vec!["COMPLETED 20", "SKIPPED 80", "COMPLETED 100"]),
        ("run_once", vec!["COMPLETED 20", "COMPLETED 80", "COMPLETED 100"]),
        ("run_all", vec!["COMPLETED 20", "COMPLETED 40", "COMPLETED 60", "COMPLETED 80", "COMPLETED 100"]),
    ] {
        let rig = Rig::new().await;
        let keys = format!("cron_trigger: \"*/20 * * * *\"\nmisfire: {misfire}");
        rig.upload(&definition(&keys, &[("a", "")])).await;
        let mut ant = Ant::new("ant", 8);
        for minutes in [20, 25] {
            rig.set_clock(START + minutes * 60_000);
            rig.settle().await;
            ant.work(&rig.queen).await;
        }
        // Forward, back, and on as if nothing had been.
        jump(&rig, 1).await;
        ant.work(&rig.queen).await;
        jump(&rig, -1).await;
        for minutes in (25..=100).step_by(5) {
            rig.set_clock(START + minutes * 60_000);
            rig.settle().await;
            ant.work(&rig.queen).await;
        }
        let sql = "SELECT state, (tick - 1767571200000) / 60000 FROM jobs ORDER BY tick";
        assert_eq!(rig.rows(sql).await, expected, "{misfire}");
    }
}

/// `flow` whose only task has these keys.
async fn waiting(keys: &str, job_keys: &str, codes: &[u16]) -> (Rig, Ant, JobId) {
    let rig = Rig::new().await;
    rig.upload(&definition(job_keys, &[("a", keys)])).await;
    let mut ant = Ant::new("ant", 1).with_code("a", codes);
    let job = rig.submit("flow").await;
    ant.work(&rig.queen).await;
    (rig, ant, job)
}

#[tokio::test]
pub(crate) async fn a_retry_delay_is_over_after_a_jump_forward_and_no_longer_after_one_back() {
    let keys = "retry: 1\ndelay_between_retries: 10m";
    let (rig, mut ant, job) = waiting(keys, "", &[1]).await;
    jump(&rig, 1).await;
    ant.work(&rig.queen).await;
    rig.advance(Duration::from_hours(2)).await;
    ant.work(&rig.queen).await;
    assert_eq!((rig.state(&job).await.as_str(), &*attempts(&rig, &job).await), ("COMPLETED", "2"));

    let (rig, mut ant, job) = waiting(keys, "", &[1]).await;
    jump(&rig, -1).await;
    rig.advance(9 * MINUTES).await;
    ant.work(&rig.queen).await;
    assert_eq!((rig.state(&job).await.as_str(), &*attempts(&rig, &job).await), ("WAITING", "1"));
    rig.advance(MINUTES).await;
    ant.work(&rig.queen).await;
    assert_eq!((rig.state(&job).await.as_str(), &*attempts(&rig, &job).await), ("COMPLETED", "2"));
}

#[tokio::test]
pub(crate) async fn a_clock_that_was_set_back_while_nobody_looked_lengthens_no_delay() {
    let (mut rig, mut ant, job) = waiting("retry: 1\ndelay_between_retries: 10m", "", &[1]).await;
    rig.queen.abandon().await;
    rig.set_clock(START - HOUR);
    rig.restart().await;
    ant.session += 1;
    rig.advance(9 * MINUTES).await;
    ant.work(&rig.queen).await;
    assert_eq!(rig.state(&job).await, "WAITING");
    rig.advance(MINUTES).await;
    ant.work(&rig.queen).await;
    assert_eq!((rig.state(&job).await.as_str(), &*attempts(&rig, &job).await), ("COMPLETED", "2"));
}

#[tokio::test]
pub(crate) async fn a_rescheduled_task_keeps_its_rhythm_and_its_limit() {
    let keys = "on_exit_code: {10: {reschedule: 10m, until: 25m}, EXPIRED: END_BLOCKED}";
    // Back: as many polls as without the jump, and the limit is not put off.
    let (rig, mut ant, job) = waiting(keys, "", &[10; 9]).await;
    jump(&rig, -1).await;
    for (minutes, state, polls) in [(9, "WAITING", "1"), (1, "WAITING", "2"), (10, "WAITING", "3"), (5, "BLOCKED", "4")]
    {
        rig.advance(minutes * MINUTES).await;
        ant.work(&rig.queen).await;
        assert_eq!((rig.state(&job).await.as_str(), &*attempts(&rig, &job).await), (state, polls));
    }
    // Forward: one last poll at the limit, which has come.
    let (rig, mut ant, job) = waiting(keys, "", &[10; 9]).await;
    jump(&rig, 1).await;
    ant.work(&rig.queen).await;
    assert_eq!((rig.state(&job).await.as_str(), &*attempts(&rig, &job).await), ("BLOCKED", "2"));
}

#[tokio::test]
pub(crate) async fn a_question_is_open_as_long_as_was_said() {
    let source = "job_type: flow\ntasks:\n- {task_type: ask, approval: {timeout: 10m, timeout_action: reject}}\n";
    for (hours, minutes, expected) in [(-1, 9, "WAITING"), (-1, 10, "FAILED"), (1, 0, "FAILED")] {
        let rig = Rig::new().await;
        rig.upload(source).await;
        let job = rig.submit("flow").await;
        jump(&rig, hours).await;
        rig.advance(minutes * MINUTES).await;
        assert_eq!(rig.state(&job).await, expected, "{hours} {minutes}");
        let open = if expected == "WAITING" { "OPEN" } else { "REJECTED" };
        assert_eq!(rig.rows("SELECT state FROM approvals").await, [open]);
    }
}

#[tokio::test]
pub(crate) async fn limits_of_queues_jobs_and_forks_are_as_long_as_was_said() {
    let queued = definition("", &[("a", "tags: [gpu]\nqueue_timeout: 10m")]);
    let child = "job_type: child\ntasks: [{task_type: build, script: [make], tags: [rare]}]\n";
    let forked = "job_type: flow\ntasks: [{task_type: fork, sub_workflow: {job_type: child}, timeout: 10m}]\n";
    let long = definition("timeout: 10m", &[("a", "")]);
    for (source, error) in [(queued.as_str(), "QUEUE_TIMED_OUT"), (forked, "TIMED_OUT"), (long.as_str(), "JOB_TIMEOUT")]
    {
        for (hours, minutes, expected) in [(-1, 9, "-"), (-1, 10, error), (1, 0, error)] {
            let rig = Rig::new().await;
            rig.upload(child).await;
            rig.upload(source).await;
            let job = rig.submit("flow").await;
            // Somebody works at it.
            let mut ant = Ant::new("ant", 1);
            let work = ant.poll(&rig.queen).await.assignments;
            for one in &work {
                ant.start(&rig.queen, one).await;
            }
            jump(&rig, hours).await;
            rig.advance(minutes * MINUTES).await;
            for one in &work {
                ant.finish(&rig.queen, one).await;
            }
            let found = rig.rows(&format!("SELECT error_code FROM jobs WHERE id = '{job}'")).await.concat();
            assert_eq!(found, expected, "{error}: {hours} {minutes}");
        }
    }
}

#[tokio::test]
pub(crate) async fn a_pause_ends_by_itself_after_its_time() {
    let rig = Rig::new().await;
    rig.upload(&definition("resume_after: 10m", &[("a", "on_exit_code: {3: PAUSE_JOB}")])).await;
    let mut ant = Ant::new("ant", 1).with_code("a", &[3]);
    let (job, state) = rig.run("flow", &mut ant).await;
    assert_eq!(state, "PAUSED");
    jump(&rig, -1).await;
    rig.advance(9 * MINUTES).await;
    assert_eq!(rig.state(&job).await, "PAUSED");
    rig.advance(MINUTES).await;
    ant.work(&rig.queen).await;
    assert_eq!((rig.state(&job).await.as_str(), &*attempts(&rig, &job).await), ("COMPLETED", "2"));
}

#[tokio::test]
pub(crate) async fn what_was_promised_for_an_instant_waits_for_the_clock() {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    let mut later = request("flow");
    later.scheduled_at = Some("2026-01-05T00:30:00Z".to_owned());
    let job = rig.queen.submit(later, "test", None).await.unwrap().job_id;
    jump(&rig, -1).await;
    rig.advance(89 * MINUTES).await;
    assert_eq!(rig.state(&job).await, "PENDING");
    rig.advance(MINUTES).await;
    assert_eq!(rig.state(&job).await, "RUNNING");
}

#[tokio::test]
pub(crate) async fn a_lease_and_its_reports_outlive_a_jump_and_history_stays_in_order() {
    let rig = Rig::new().await;
    rig.upload(&definition("timeout: 10h", &[("a", ""), ("b", "dependencies: [a]")])).await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let work = ant.poll(&rig.queen).await.assignments;
    ant.start(&rig.queen, &work[0]).await;
    jump(&rig, -1).await;
    let next = ant.finish(&rig.queen, &work[0]).await.assignments;
    jump(&rig, 1).await;
    jump(&rig, 1).await;
    ant.start(&rig.queen, &next[0]).await;
    ant.finish(&rig.queen, &next[0]).await;
    assert_eq!((rig.state(&job).await.as_str(), &*attempts(&rig, &job).await), ("COMPLETED", "2"));
    let back = "SELECT count(*) FROM events e JOIN events f ON f.sequence > e.sequence AND f.at < e.at";
    assert_eq!(rig.rows(back).await, ["0"], "history goes one way");
    let sql = "SELECT count(*) FROM attempts WHERE finished_at < started_at OR started_at < created_at";
    assert_eq!(rig.rows(sql).await, ["0"]);
    let again = rig.queen.command(&job, JobCommand::RerunFrom { task: "b".to_owned() }).await;
    assert!(again.is_ok(), "{again:?}");
}

#[tokio::test]
pub(crate) async fn what_is_kept_for_so_many_days_is_not_swept_by_a_clock_that_went_back() {
    let (rig, _ant, job) = waiting("", "retention: {completed: 1}", &[]).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
    jump(&rig, -1).await;
    jump(&rig, 1).await;
    rig.advance(Duration::from_hours(22)).await;
    rig.queen.sweep(atta_core::definition::Retention::default()).await.unwrap();
    assert_eq!(rig.state(&job).await, "COMPLETED");
    rig.advance(Duration::from_hours(3)).await;
    rig.queen.sweep(atta_core::definition::Retention::default()).await.unwrap();
    assert_eq!(rig.rows("SELECT count(*) FROM jobs").await, ["0"]);
}
