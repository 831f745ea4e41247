//! PostgreSQL whose sessions end at any moment, and two queens on one database.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use atta_server::scheduler::Queen;
use sqlx::{Connection, PgConnection};
use tokio::sync::Notify;

use super::rig::{Ant, Rig, definition, on_postgres, request};

/// Ends the session of the queen that is active.
const END: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

#[test]
fn a_session_that_ends_in_the_middle_of_batches_loses_nothing_and_doubles_nothing() {
    on_postgres(batches_and_ends);
}

#[tokio::main(flavor = "current_thread")]
async fn batches_and_ends() {
    const JOBS: usize = 60;
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    let database = rig.postgres.as_ref().unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let submits = (0..JOBS).map(|number| {
        let (queen, done) = (rig.queen.clone(), done.clone());
        tokio::spawn(async move {
            let key = format!("key-{number}");
            // As clients do: refused for now means again, with the same key.
            let job = loop {
                match queen.submit(request("flow"), "test", Some(&key)).await {
                    Ok(answer) => break answer.job_id,
                    Err(refusal) => assert!(refusal.to_string().contains("database"), "{refusal}"),
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            };
            done.fetch_add(1, Ordering::SeqCst);
            job
        })
    });
    let submits: Vec<_> = submits.collect();
    let url: atta_server::store::PostgresUrl = database.url().parse().unwrap();
    let mut ends = 0;
    while done.load(Ordering::SeqCst) < JOBS && ends < 10 {
        let mut connection = PgConnection::connect(&database.url()).await.unwrap();
        sqlx::query(END).execute(&mut connection).await.unwrap();
        ends += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut jobs = Vec::new();
    for submit in submits {
        jobs.push(submit.await.unwrap().0);
    }
    jobs.sort();
    assert_eq!(rig.rows("SELECT id FROM jobs ORDER BY id").await, jobs);
    // What is in memory is what is stored: everything runs to its end.
    Ant::new("ant", 8).work(&rig.queen).await;
    // The last session may have ended after the last submission; what was stored since then needed another one.
    assert!(ends > 0 && url.ask().await.unwrap().active);
    assert_eq!(rig.rows("SELECT state, count(*) FROM jobs GROUP BY state").await, [format!("COMPLETED {JOBS}")]);
    assert_eq!(rig.rows("SELECT count(*) FROM attempts").await, [JOBS.to_string()]);
}

#[test]
fn a_session_in_which_nothing_can_be_written_is_given_up_for_another_one() {
    on_postgres(read_only_session);
}

#[tokio::main(flavor = "current_thread")]
async fn read_only_session() {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    let database = rig.postgres.as_ref().unwrap();
    let url = database.url();
    let name = url.rsplit('/').next().unwrap();
    let submit = async || {
        tokio::time::sleep(Duration::from_millis(5)).await;
        rig.queen.submit(request("flow"), "test", None).await.map_err(|refusal| refusal.to_string())
    };
    let soon = Duration::from_mins(1);
    // As when the server becomes a replica, and its name still leads to it: who connects now cannot write.
    database.cluster.psql("postgres", &format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    database.sql(END);
    let refused =
        async { while !submit().await.is_err_and(|refusal| refusal.contains("the database is read-only")) {} };
    tokio::time::timeout(soon, refused).await.unwrap();
    // The name leads to another one; the session of before stays what it is.
    database.cluster.psql("postgres", &format!("ALTER DATABASE {name} RESET default_transaction_read_only"));
    let taken = async {
        while let Err(refusal) = submit().await {
            assert!(refusal.contains("database"), "{refusal}");
        }
    };
    tokio::time::timeout(soon, taken).await.unwrap();
}

#[test]
fn what_a_fail_over_has_lost_is_forgotten_too() {
    on_postgres(lost_batch);
}

#[tokio::main(flavor = "current_thread")]
async fn lost_batch() {
    const HOLDER: &str = "SELECT pid::text FROM pg_locks WHERE locktype = 'advisory' AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    let database = rig.postgres.as_ref().unwrap();
    let kept = rig.submit("flow").await;
    let mark = rig.rows("SELECT value FROM meta WHERE key = 'writer'").await.concat();
    let lost = rig.submit("flow").await;
    let before = rig.rows(HOLDER).await;
    // As on a replica that took over, and had not heard of the last batch.
    let behind = format!("DELETE FROM jobs WHERE id = '{lost}'; UPDATE meta SET value = '{mark}' WHERE key = 'writer'");
    database.sql(&behind);
    // With the session that shows that she lives, so that she looks.
    database.sql(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()
         AND (query LIKE '%pulse%' OR pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory'))",
    );
    // The queen finds another connection by herself, before anything is asked of her.
    let again = async {
        while rig.rows(HOLDER).await.iter().all(|holder| before.contains(holder)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), again).await.unwrap();
    let submitted = async {
        loop {
            match rig.queen.submit(request("flow"), "test", None).await {
                Ok(answer) => break answer.job_id.0,
                Err(refusal) => assert!(refusal.to_string().contains("database"), "{refusal}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let next = tokio::time::timeout(Duration::from_mins(1), submitted).await.unwrap();
    let mut jobs = vec![kept.0, next];
    jobs.sort();
    assert_eq!(rig.rows("SELECT id FROM jobs ORDER BY id").await, jobs);
    assert_eq!(rig.rows("SELECT max(sequence) - min(sequence) + 1 - count(*) FROM events").await, ["0"]);
    // And nothing of what was lost is given out.
    Ant::new("ant", 8).work(&rig.queen).await;
    assert_eq!(rig.rows("SELECT state, count(*) FROM jobs GROUP BY state").await, ["COMPLETED 2"]);
}

#[test]
fn a_second_queen_waits_and_one_that_was_overtaken_stores_nothing() {
    on_postgres(two_queens);
}

#[tokio::main(flavor = "current_thread")]
async fn two_queens() {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    let waits = Arc::new(Notify::new());
    let mut config = rig.config();
    let told = waits.clone();
    config.on_standby = Some(Box::new(move || told.notify_one()));
    let second = tokio::spawn(Queen::open(config));
    tokio::time::timeout(Duration::from_mins(1), waits.notified()).await.unwrap();
    // The session of the first one ends unseen, and the second one is quicker: the first one is told what happened.
    let holder = rig.rows("SELECT value FROM meta WHERE key = 'epoch'").await.concat();
    assert_eq!(holder, "1");
    rig.change("UPDATE meta SET value = '7 0' WHERE key = 'writer'; UPDATE meta SET value = '7' WHERE key = 'epoch'")
        .await;
    let refusal = rig.queen.submit(request("flow"), "test", None).await.unwrap_err();
    assert!(refusal.to_string().contains("another server has taken over this database"), "{refusal}");
    tokio::time::timeout(Duration::from_mins(1), rig.queen.stopped()).await.unwrap();
    assert!(rig.queen.is_overtaken());
    assert!(rig.queen.health().unwrap_err().contains("taken over"));
    assert_eq!(rig.rows("SELECT count(*) FROM jobs").await, ["0"]);
    // Its session ends with its writer, so that the second one takes over.
    let second = second.await.unwrap().unwrap();
    assert_eq!(rig.rows("SELECT value FROM meta WHERE key = 'epoch'").await, ["8"]);
    second.submit(request("flow"), "test", None).await.unwrap();
    second.shutdown().await;
}
