//! Which ants live, what they say they have, and what becomes of the rest.

use std::time::Duration;

use atta_core::protocol::ant::{AntCondition, Heartbeat, LostAttempt};
use atta_core::protocol::ants::{AntMode, AntSpool, AntState};
use atta_core::time::UnixMillis;
use atta_server::scheduler::{JobCommand, Refusal};

use super::rig::{Ant, Rig, definition, report};

/// Attempts as `STATE result message`.
async fn attempts(rig: &Rig) -> Vec<String> {
    rig.rows("SELECT state, result, error_message FROM attempts ORDER BY number").await
}

#[tokio::test]
pub(crate) async fn an_attempt_that_its_ant_still_has_goes_on_over_restarts_of_both() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let work = ant.poll(&rig.queen).await.assignments;
    ant.start(&rig.queen, &work[0]).await;
    rig.settle().await;
    for both in [false, true] {
        rig.restart().await;
        ant.session += u64::from(both);
        ant.hold(&work);
        let orders = ant.poll(&rig.queen).await;
        assert!(orders.assignments.is_empty() && orders.stale.is_empty(), "{orders:?}");
    }
    assert_eq!(attempts(&rig).await, ["RUNNING - -"]);
    ant.finish(&rig.queen, &work[0]).await;
    assert_eq!(rig.tasks(&job).await, ["a COMPLETED 1 1 0"]);
}

#[tokio::test]
pub(crate) async fn a_report_counts_before_the_first_poll_after_a_restart() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let work = ant.poll(&rig.queen).await.assignments.remove(0);
    rig.restart().await;
    ant.session += 1;
    ant.finish(&rig.queen, &work).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
}

#[tokio::test]
pub(crate) async fn what_never_began_is_given_out_again_at_no_cost_and_what_had_begun_is_lost() {
    for begun in [false, true] {
        let mut rig = Rig::new().await;
        rig.upload(&definition("", &[("a", "")])).await;
        let job = rig.submit("flow").await;
        let mut ant = Ant::new("ant", 1);
        let work = ant.poll(&rig.queen).await.assignments.remove(0);
        if begun {
            ant.start(&rig.queen, &work).await;
            rig.settle().await;
        }
        rig.restart().await;
        let mut ant = Ant { session: 2, ..Ant::new("ant", 1) };
        let again = ant.poll(&rig.queen).await.assignments;
        if begun {
            assert!(again.is_empty());
            assert_eq!(attempts(&rig).await, ["FINISHED LOST the ant ant does not have it any more"]);
            assert_eq!(rig.state(&job).await, "FAILED");
        } else {
            assert_eq!(again[0].attempt_id, work.attempt_id);
            assert!(again[0].token > work.token);
            ant.finish(&rig.queen, &again[0]).await;
            assert_eq!(rig.tasks(&job).await, ["a COMPLETED 1 1 0"]);
        }
    }
}

#[tokio::test]
pub(crate) async fn what_may_have_begun_on_another_data_directory_is_lost_and_not_given_again() {
    let here = |directory: Option<&str>, session| Ant {
        session,
        directory: directory.map(str::to_owned),
        ..Ant::new("ant", 1)
    };
    // The same directory; one of a version that does not say it; another one.
    for (before, after, lost) in [
        (Some("a"), Some("a"), false),
        (None, Some("b"), false),
        (Some("a"), None, false),
        (Some("a"), Some("b"), true),
    ] {
        for restart in [false, true] {
            let mut rig = Rig::new().await;
            rig.upload(&definition("", &[("a", "")])).await;
            rig.submit("flow").await;
            let work = here(before, 1).poll(&rig.queen).await.assignments.remove(0);
            // What it said of the begin did not arrive.
            if restart {
                rig.restart().await;
            }
            let mut ant = here(after, 2);
            let again = ant.poll(&rig.queen).await.assignments;
            if lost {
                assert!(again.is_empty(), "{again:?}");
                let reason = "the ant ant was started on another data directory, so nobody knows whether it had begun";
                assert_eq!(attempts(&rig).await, [format!("FINISHED LOST {reason}")]);
                // From now on it is there.
                rig.submit("flow").await;
                let work = ant.poll(&rig.queen).await.assignments.remove(0);
                let again = here(after, 3).poll(&rig.queen).await.assignments;
                assert_eq!(again[0].attempt_id, work.attempt_id);
            } else {
                assert_eq!(again[0].attempt_id, work.attempt_id);
            }
        }
    }
}

#[tokio::test]
pub(crate) async fn what_waits_on_an_ant_is_listed_with_its_bounds() {
    let rig = Rig::new().await;
    let mut ant = Ant::new("ant", 1);
    ant.poll(&rig.queen).await;
    assert_eq!(rig.queen.ants().await.unwrap()[0].spool, None, "it has said nothing");
    ant.condition = Some(AntCondition {
        spool_bytes: 5,
        spool_since: Some(UnixMillis(0)),
        spool_limit_bytes: 10,
        spool_limit_ms: Some(3_600_000),
        ..AntCondition::default()
    });
    ant.poll(&rig.queen).await;
    let since = Some("1970-01-01T00:00:00.000Z".to_owned());
    let waits = AntSpool { bytes: 5, since, limit_bytes: 10, limit_seconds: Some(3600) };
    assert_eq!(rig.queen.ants().await.unwrap()[0].spool, Some(waits));
    // A sign of life of an earlier version.
    let condition = serde_json::from_str(r#"{"spool_bytes": 0, "spool_limit_bytes": 10}"#).unwrap();
    let (id, heard) = (ant.id.clone(), ant.heard.clone());
    let heartbeat = Heartbeat { ant: id, session: ant.session, heard, condition: Some(condition) };
    rig.queen.heartbeat(heartbeat).await.unwrap();
    let nothing = AntSpool { bytes: 0, since: None, limit_bytes: 10, limit_seconds: None };
    assert_eq!(rig.queen.ants().await.unwrap()[0].spool, Some(nothing));
}

#[tokio::test]
pub(crate) async fn a_lost_attempt_ends_with_the_reason_that_its_ant_gives_and_is_routed_like_any_result() {
    let rig = Rig::new().await;
    let routes = "on_exit_code: {LOST: b}";
    rig.upload(&definition("", &[("a", routes), ("b", "")])).await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let work = ant.poll(&rig.queen).await.assignments.remove(0);
    let mut ant = Ant { session: 2, ..Ant::new("ant", 1) };
    let reason = "the machine was started again".to_owned();
    ant.roster.lost = vec![LostAttempt { attempt_id: work.attempt_id.clone(), reason }];
    let next = ant.poll(&rig.queen).await.assignments;
    assert_eq!(next[0].task, "b");
    ant.finish(&rig.queen, &next[0]).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
    assert_eq!(attempts(&rig).await[0], "FINISHED LOST the machine was started again");
    // It may say so as often as it likes; and what comes under the old token is stale.
    assert!(ant.poll(&rig.queen).await.stale.is_empty());
    let body = ant.report_of(&work);
    let orders = rig.queen.report(ant.batch(vec![report(&work, 2, body)])).await.unwrap();
    assert_eq!(orders.stale, [work.attempt_id]);
}

#[tokio::test]
pub(crate) async fn what_an_ant_should_not_have_is_stale() {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "retry: 1\ndelay_between_retries: 0s")])).await;
    rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let work = ant.poll(&rig.queen).await.assignments;
    let mut thief = Ant::new("thief", 1);
    thief.hold(&work);
    assert_eq!(thief.poll(&rig.queen).await.stale, [work[0].attempt_id.clone()]);
    let mut wrong = work.clone();
    wrong[0].token += 1;
    ant.hold(&wrong);
    assert_eq!(ant.poll(&rig.queen).await.stale, [work[0].attempt_id.clone()]);
    // What has ended by the ant's own report is not: its answer may be on the way.
    ant.hold(&work);
    ant.finish(&rig.queen, &work[0]).await;
    assert!(ant.poll(&rig.queen).await.stale.is_empty());
}

#[tokio::test]
pub(crate) async fn a_stop_is_said_again_to_the_ants_next_process_and_after_a_restart_of_the_queen() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let work = ant.poll(&rig.queen).await.assignments;
    let cancel = JobCommand::Cancel { reason: "enough".to_owned(), force: false };
    rig.queen.command(&job, cancel).await.unwrap();
    for restart in [false, true] {
        if restart {
            rig.restart().await;
        }
        ant.session += 1;
        ant.hold(&work);
        let stops = ant.poll(&rig.queen).await.stops;
        assert_eq!((stops.len(), stops[0].token), (1, work[0].token), "{stops:?}");
        assert!(stops[0].reason.contains("enough"), "{stops:?}");
    }
    let mut ant = Ant { session: 9, ..Ant::new("ant", 1) };
    assert!(ant.poll(&rig.queen).await.assignments.is_empty());
    assert_eq!(rig.state(&job).await, "CANCELLED");
}

#[tokio::test]
pub(crate) async fn an_older_process_of_an_ant_cannot_come_back_while_the_newer_one_lives() {
    let mut rig = Rig::new().await;
    let mut ant = Ant { session: 7, ..Ant::new("ant", 1) };
    ant.poll(&rig.queen).await;
    rig.restart().await;
    let older = Ant { session: 6, ..Ant::new("ant", 1) };
    let refusal = rig.queen.poll(older.poll_request(), Duration::ZERO).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Conflict { code: "SESSION_REPLACED", .. }), "{refusal:?}");
    // After a lease of silence it may: an ant's clock may have been set back.
    rig.pass(Duration::from_secs(31)).await;
    rig.queen.poll(older.poll_request(), Duration::ZERO).await.unwrap();
}

#[tokio::test]
pub(crate) async fn after_a_lease_of_silence_an_ants_attempts_are_lost_and_what_it_says_later_is_stale() {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "retry: 1\ndelay_between_retries: 0s")])).await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let work = ant.poll(&rig.queen).await.assignments;
    ant.start(&rig.queen, &work[0]).await;
    rig.pass(Duration::from_secs(29)).await;
    assert_eq!(attempts(&rig).await, ["RUNNING - -"]);
    let heartbeat = Heartbeat { ant: ant.id.clone(), session: 1, heard: ant.heard.clone(), condition: None };
    rig.queen.heartbeat(heartbeat).await.unwrap();
    rig.pass(Duration::from_secs(29)).await;
    assert_eq!(attempts(&rig).await, ["RUNNING - -"]);
    rig.pass(Duration::from_secs(2)).await;
    assert_eq!(attempts(&rig).await, ["FINISHED LOST nothing was heard of the ant ant for 30 s", "READY - -"]);
    let body = ant.report_of(&work[0]);
    let orders = rig.queen.report(ant.batch(vec![report(&work[0], 2, body)])).await.unwrap();
    assert_eq!(orders.stale, [work[0].attempt_id.clone()]);
    ant.hold(&work);
    assert_eq!(ant.poll(&rig.queen).await.stale, [work[0].attempt_id.clone()]);
    ant.roster.held.clear();
    ant.held = 0;
    ant.work(&rig.queen).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
}

#[tokio::test]
pub(crate) async fn an_ant_that_does_not_come_back_after_a_restart_of_the_queen_is_lost_a_lease_later() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    let job = rig.submit("flow").await;
    Ant::new("ant", 1).poll(&rig.queen).await;
    rig.restart().await;
    rig.pass(Duration::from_secs(29)).await;
    assert_eq!(attempts(&rig).await, ["LEASED - -"]);
    rig.pass(Duration::from_secs(2)).await;
    assert_eq!(attempts(&rig).await, ["FINISHED LOST nothing was heard of the ant ant for 30 s"]);
    assert_eq!(rig.state(&job).await, "FAILED");
}

#[tokio::test]
pub(crate) async fn a_queen_who_slept_listens_before_she_judges() {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let work = ant.poll(&rig.queen).await.assignments;
    for _ in 0..3 {
        // She was stopped, or the machine slept, and the ant speaks a moment later.
        rig.advance(Duration::from_mins(10)).await;
        rig.pass(Duration::from_secs(5)).await;
        assert_eq!(attempts(&rig).await, ["LEASED - -"]);
        ant.hold(&work);
        ant.poll(&rig.queen).await;
    }
    // One that says nothing all the same is lost a third of a lease after she woke up.
    rig.advance(Duration::from_mins(10)).await;
    rig.pass(Duration::from_secs(9)).await;
    assert_eq!(attempts(&rig).await, ["LEASED - -"]);
    rig.pass(Duration::from_secs(2)).await;
    assert_eq!(attempts(&rig).await[0], "FINISHED LOST nothing was heard of the ant ant for 30 s");
}

#[tokio::test]
async fn a_token_counts_outside_of_the_writer_from_the_lease_to_its_end() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let work = ant.poll(&rig.queen).await.assignments.remove(0);
    for restart in [false, true] {
        if restart {
            rig.restart().await;
        }
        assert!(rig.queen.holds(&ant.id, &work.attempt_id, work.token));
        assert!(!rig.queen.holds(&ant.id, &work.attempt_id, work.token + 1));
        assert!(!rig.queen.holds(&Ant::new("thief", 1).id, &work.attempt_id, work.token));
    }
    ant.finish(&rig.queen, &work).await;
    assert!(!rig.queen.holds(&ant.id, &work.attempt_id, work.token));
}

#[tokio::test]
async fn a_cordoned_ant_gets_no_new_work_also_after_a_restart_and_then_some_again() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    let mut ant = Ant::new("ant", 1);
    ant.poll(&rig.queen).await;
    for mode in [AntMode::Cordoned, AntMode::Draining] {
        rig.queen.set_ant_mode(&ant.id, mode).await.unwrap();
        rig.restart().await;
        let job = rig.submit("flow").await;
        assert!(ant.poll(&rig.queen).await.assignments.is_empty());
        let listed = rig.queen.ants().await.unwrap();
        assert_eq!((listed[0].mode, listed[0].state, listed[0].used), (mode, AntState::Live, 0));
        rig.queen.set_ant_mode(&ant.id, AntMode::Open).await.unwrap();
        ant.work(&rig.queen).await;
        assert_eq!(rig.state(&job).await, "COMPLETED");
    }
    let refusal = rig.queen.set_ant_mode(&Ant::new("nobody", 1).id, AntMode::Open).await.unwrap_err();
    assert_eq!(refusal.to_string(), "ant nobody not found");
}

#[tokio::test]
async fn when_half_of_the_ants_are_lost_at_once_nothing_is_given_out_for_a_lease() {
    let rig = Rig::new().await;
    let keys = "retry: 1\ndelay_between_retries: 0s";
    rig.upload(&definition("", &[("a", keys), ("b", keys), ("c", keys)])).await;
    let job = rig.submit("flow").await;
    for name in ["x", "y", "z"] {
        assert_eq!(Ant::new(name, 1).poll(&rig.queen).await.assignments.len(), 1);
    }
    let mut last = Ant::new("last", 3);
    for _ in 0..7 {
        rig.pass(Duration::from_secs(4)).await;
        last.poll(&rig.queen).await;
    }
    rig.pass(Duration::from_secs(4)).await;
    assert_eq!(rig.rows("SELECT count(*) FROM attempts WHERE result = 'LOST'").await, ["3"]);
    assert!(last.poll(&rig.queen).await.assignments.is_empty());
    let reason = rig.rows("SELECT DISTINCT reason FROM attempts WHERE state = 'READY'").await;
    assert_eq!(reason, ["waits for the ants: 3 were lost at once, so no work is given out for 30 s"]);
    for _ in 0..8 {
        rig.pass(Duration::from_secs(4)).await;
        last.work(&rig.queen).await;
    }
    assert_eq!(rig.state(&job).await, "COMPLETED");
}
