//! Cron: ticks, misfires, overlap.

use std::time::Duration;

use super::rig::{Ant, Rig, START, definition};

const HOUR: Duration = Duration::from_hours(1);

async fn jobs(rig: &Rig) -> Vec<String> {
    rig.rows("SELECT state, (tick - 1767571200000) / 60000 FROM jobs ORDER BY tick").await
}

#[tokio::test]
pub(crate) async fn each_tick_makes_one_job() {
    let rig = Rig::new().await;
    rig.upload(&definition("cron_trigger: \"0 * * * *\"", &[("a", "")])).await;
    assert_eq!(jobs(&rig).await, Vec::<String>::new());
    let mut ant = Ant::new("ant", 1);
    for _ in 0..3 {
        rig.advance(HOUR).await;
        rig.settle().await;
        ant.work(&rig.queen).await;
    }
    assert_eq!(jobs(&rig).await, ["COMPLETED 60", "COMPLETED 120", "COMPLETED 180"]);
    assert_eq!(rig.rows("SELECT DISTINCT submitted_by FROM jobs").await, ["cron"]);
    // The clock goes back an hour: the ticks that have been do not come again.
    rig.set_clock(START + 2 * 3_600_000);
    rig.settle().await;
    rig.advance(HOUR).await;
    assert_eq!(jobs(&rig).await.len(), 3);
    rig.advance(HOUR).await;
    assert_eq!(jobs(&rig).await.len(), 4);
}

#[tokio::test]
pub(crate) async fn missed_ticks_are_skipped_visibly() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("cron_trigger: \"0 * * * *\"", &[("a", "")])).await;
    rig.set_clock(START + 3 * 3_600_000 + 30 * 60_000);
    rig.restart().await;
    assert_eq!(jobs(&rig).await, ["SKIPPED 180"]);
    let reasons = rig.rows("SELECT reason FROM jobs").await;
    assert!(
        reasons[0]
            .ends_with("missed 3 ticks from 2026-01-05T01:00:00.000Z to 2026-01-05T03:00:00.000Z (misfire: skip)"),
        "{reasons:?}"
    );
    rig.restart().await;
    assert_eq!(jobs(&rig).await.len(), 1);
}

#[tokio::test]
pub(crate) async fn run_once_makes_one_job_of_all_missed_ticks_and_run_all_one_each() {
    for (misfire, expected) in
        [("run_once", vec!["RUNNING 180"]), ("run_all", vec!["RUNNING 60", "RUNNING 120", "RUNNING 180"])]
    {
        let mut rig = Rig::new().await;
        rig.upload(&definition(&format!("cron_trigger: \"0 * * * *\"\nmisfire: {misfire}"), &[("a", "")])).await;
        rig.set_clock(START + 3 * 3_600_000 + 30 * 60_000);
        rig.restart().await;
        assert_eq!(jobs(&rig).await, expected, "{misfire}");
    }
}

#[tokio::test]
pub(crate) async fn run_all_is_bounded_and_says_what_it_drops() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("cron_trigger: \"* * * * *\"\nmisfire: run_all", &[("a", "")])).await;
    rig.set_clock(START + 1000 * 60_000 + 30_000);
    rig.restart().await;
    let running = rig.rows("SELECT count(*), max(tick) FROM jobs WHERE state = 'RUNNING'").await;
    let (count, newest) = running[0].split_once(' ').unwrap();
    assert!((50..=100).contains(&count.parse::<u32>().unwrap()), "{count}");
    assert_eq!(newest, (START + 1000 * 60_000).to_string());
    let skipped = rig.rows("SELECT reason FROM jobs WHERE state = 'SKIPPED'").await;
    assert_eq!(skipped.len(), 1);
    assert!(skipped[0].contains("are dropped"), "{skipped:?}");
}

#[tokio::test]
pub(crate) async fn a_tick_while_the_last_job_still_runs_is_a_skipped_job_or_a_queued_one() {
    for (misfire, expected) in [("skip", ["RUNNING 60", "SKIPPED 120"]), ("run_once", ["RUNNING 60", "PENDING 120"])] {
        let rig = Rig::new().await;
        let keys = format!("cron_trigger: \"0 * * * *\"\nmax_concurrency: 1\nmisfire: {misfire}");
        rig.upload(&definition(&keys, &[("a", "")])).await;
        rig.advance(HOUR).await;
        rig.advance(HOUR).await;
        assert_eq!(jobs(&rig).await, expected, "{misfire}");
        let reason = rig.rows("SELECT reason FROM jobs ORDER BY tick DESC LIMIT 1").await.concat();
        assert!(reason.contains("max_concurrency 1"), "{reason}");
    }
}

#[tokio::test]
pub(crate) async fn a_disabled_definition_rests() {
    let rig = Rig::new().await;
    rig.upload(&definition("cron_trigger: \"0 * * * *\"", &[("a", "")])).await;
    rig.queen.set_enabled("flow", false).await.unwrap();
    rig.advance(HOUR * 5).await;
    assert_eq!(jobs(&rig).await.len(), 0);
    let shown = rig.queen.set_enabled("flow", true).await.unwrap();
    assert_eq!(shown.next_run_at.as_deref(), Some("2026-01-05T06:00:00.000Z"));
    rig.advance(HOUR).await;
    assert_eq!(jobs(&rig).await, ["RUNNING 360"]);
}

#[tokio::test]
pub(crate) async fn a_tick_whose_user_key_is_taken_is_a_visible_skipped_job() {
    let rig = Rig::new().await;
    rig.upload(&definition("cron_trigger: \"0 * * * *\"\nuser_key: nightly", &[("a", "")])).await;
    rig.advance(HOUR).await;
    rig.advance(HOUR).await;
    assert_eq!(jobs(&rig).await, ["RUNNING 60", "SKIPPED 120"]);
    let reason = rig.rows("SELECT reason FROM jobs WHERE state = 'SKIPPED'").await.concat();
    assert!(reason.contains("the user_key nightly is held by the job"), "{reason}");
}

#[tokio::test]
pub(crate) async fn a_tick_at_the_instant_of_a_scheduled_job_is_not_skipped_while_there_is_room() {
    let rig = Rig::new().await;
    rig.upload(&definition("cron_trigger: \"0 * * * *\"\nmax_concurrency: 2", &[("a", "")])).await;
    let mut later = super::rig::request("flow");
    later.scheduled_at = Some("2026-01-05T01:00:00Z".to_owned());
    let later = rig.queen.submit(later, "test", None).await.unwrap().job_id;
    rig.advance(HOUR).await;
    assert_eq!(rig.state(&later).await, "RUNNING");
    assert_eq!(rig.rows("SELECT state FROM jobs WHERE tick IS NOT NULL").await, ["RUNNING"]);
}
