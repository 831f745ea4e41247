//! Disks and files that do not do what they should.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use atta_core::protocol::AntId;
use atta_core::time::Clock;
use atta_server::scheduler::{OpenError, Queen, Refusal};

use super::rig::{Ant, Rig, definition};

#[tokio::test]
pub(crate) async fn a_full_disk_is_said_loses_nothing_and_is_overcome() {
    let rig = Rig::new().await;
    rig.upload(&definition("params: {Text: {default: x}}", &[("a", ""), ("b", "dependencies: [a]")])).await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let first = ant.poll(&rig.queen).await.assignments.remove(0);
    let before = rig.rows("SELECT sequence, event FROM events").await;

    rig.queen.limit_database_pages(Some(1)).await.unwrap();
    let mut health = rig.queen.health_changes();
    // Reports of the end fail until there is room; the attempt stays the ant's.
    let mut refused = None;
    for _ in 0..50 {
        let mut request = super::rig::request("flow");
        request.params.insert("Text".to_owned(), "y".repeat(9000).into());
        if let Err(refusal) = rig.queen.submit(request, "test", None).await {
            refused = Some(refusal);
            break;
        }
    }
    match refused {
        Some(Refusal::Unavailable { message }) => assert!(message.contains("the disk is full"), "{message}"),
        other => panic!("{other:?}"),
    }
    health.wait_for(Result::is_err).await.unwrap();
    assert!(rig.queen.health().unwrap_err().contains("free some space"));
    let after = rig.rows("SELECT sequence, event FROM events").await;
    assert_eq!(before[..], after[..before.len()], "what was stored is as it was");

    rig.queen.limit_database_pages(None).await.unwrap();
    health.wait_for(Result::is_ok).await.unwrap();
    let mut todo = vec![first];
    while let Some(next) = todo.pop() {
        todo.extend(ant.finish(&rig.queen, &next).await.assignments);
    }
    assert_eq!(rig.state(&job).await, "COMPLETED");
    assert_eq!(rig.tasks(&job).await, ["a COMPLETED 1 1 0", "b COMPLETED 1 1 0"]);
}

#[tokio::test]
pub(crate) async fn after_a_failed_write_memory_and_database_are_equal() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("user_key: one\nparams: {Text: {default: x}}", &[("a", "")])).await;
    rig.queen.limit_database_pages(Some(1)).await.unwrap();
    let mut request = super::rig::request("flow");
    request.params.insert("Text".to_owned(), "y".repeat(200_000).into());
    let refusal = rig.queen.submit(request.clone(), "test", Some("key")).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Unavailable { .. }), "{refusal:?}");
    assert_eq!(rig.rows("SELECT count(*) FROM jobs").await, ["0"]);
    rig.queen.limit_database_pages(None).await.unwrap();
    // Neither the user_key nor the Idempotency-Key of the lost submit is remembered.
    let job = rig.queen.submit(request, "test", Some("key")).await.unwrap().job_id;
    let mut ant = Ant::new("ant", 1);
    ant.work(&rig.queen).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
    rig.restart().await;
    assert_eq!(rig.rows("SELECT count(*) FROM jobs").await, ["1"]);
}

/// A writer that was woken by what is due anyway would try, fail and be woken again without a pause.
#[tokio::test]
async fn nobody_waits_longer_than_agreed_while_nothing_can_be_stored() {
    let rig = Rig::new().await;
    rig.upload(&definition("params: {Text: {default: x}}", &[("a", "")])).await;
    let mut ant = Ant::new("ant", 1);
    ant.poll(&rig.queen).await;
    rig.refuse("INSERT ON meta", "NEW.key = 'last_probe'").await;
    rig.queen.limit_database_pages(Some(1)).await.unwrap();
    let mut request = super::rig::request("flow");
    request.params.insert("Text".to_owned(), "y".repeat(200_000).into());
    rig.queen.submit(request, "test", None).await.unwrap_err();
    let poll = rig.queen.poll(ant.poll_request(), Duration::from_millis(20));
    let answer = tokio::time::timeout(Duration::from_mins(1), poll).await.expect("it is answered");
    assert!(matches!(&answer, Err(Refusal::Unavailable { .. })), "{answer:?}");
    rig.accept().await;
    rig.queen.limit_database_pages(None).await.unwrap();
    rig.queen.health_changes().wait_for(Result::is_ok).await.unwrap();
    ant.poll(&rig.queen).await;
}

/// Pieces of logs come meanwhile: one that is refused is missing for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_failed_write_makes_nobody_doubt_a_lease() {
    let rig = Rig::new().await;
    rig.upload(&definition("params: {Text: {default: x}}", &[("a", "")])).await;
    for _ in 0..20 {
        rig.submit("flow").await;
    }
    let held = Ant::new("ant", 1).poll(&rig.queen).await.assignments.remove(0);
    let (queen, stop) = (rig.queen.clone(), Arc::new(AtomicBool::new(false)));
    let stopped = Arc::clone(&stop);
    let watch = tokio::task::spawn_blocking(move || {
        let (ant, mut doubts) = (AntId("ant".to_owned()), 0);
        while !stopped.load(Ordering::SeqCst) {
            doubts += u32::from(!queen.holds(&ant, &held.attempt_id, held.token));
        }
        doubts
    });
    let mut health = rig.queen.health_changes();
    for _ in 0..10 {
        rig.queen.limit_database_pages(Some(1)).await.unwrap();
        let mut request = super::rig::request("flow");
        request.params.insert("Text".to_owned(), "y".repeat(200_000).into());
        rig.queen.submit(request, "test", None).await.unwrap_err();
        rig.queen.limit_database_pages(None).await.unwrap();
        health.wait_for(Result::is_ok).await.unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    assert_eq!(watch.await.unwrap(), 0);
}

#[tokio::test]
pub(crate) async fn a_second_server_on_the_directory_is_refused() {
    let rig = Rig::new().await;
    let error = Queen::open(rig.config()).await.err().unwrap();
    let expected = format!(
        "data directory {} is in use by another server (process {})",
        rig.dir.path().display(),
        std::process::id()
    );
    assert_eq!(error.to_string(), expected);
}

async fn open_error(dir: &Path, rig: &Rig) -> OpenError {
    let config = atta_server::scheduler::QueenConfig { data_dir: dir.to_owned(), ..rig.config() };
    Queen::open(config).await.map(|_| "it opened").unwrap_err()
}

#[tokio::test]
pub(crate) async fn a_directory_that_cannot_be_written_is_said() {
    let rig = Rig::new().await;
    let error = open_error(Path::new("/proc/atta-data"), &rig).await;
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error:?}");
    assert!(error.to_string().starts_with("data directory /proc/atta-data cannot be written: "), "{error}");
    let file = rig.dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let error = open_error(&file, &rig).await;
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error:?}");
}

#[tokio::test]
pub(crate) async fn a_damaged_database_is_said_and_left_alone() {
    let rig = Rig::new().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("atta.db");
    std::fs::write(&file, "this is no database, it is a text that somebody put here".repeat(50)).unwrap();
    let error = open_error(dir.path(), &rig).await;
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with(&format!("database {} is damaged: ", file.display())), "{text}");
    assert!(text.ends_with("restore a backup or move it away"), "{text}");
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("this is no database"));
}

#[tokio::test]
pub(crate) async fn a_database_with_overwritten_pages_is_found_when_it_is_opened() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")])).await;
    for _ in 0..20 {
        rig.submit("flow").await;
    }
    rig.queen.shutdown().await;
    let file = rig.dir.path().join("atta.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let from = bytes.len() / 2;
    bytes[from..from + 8192].fill(0xA5);
    std::fs::write(&file, &bytes).unwrap();
    let error = Queen::open(rig.config()).await.err().expect("it must not open");
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
    // Without its database the directory is not begun anew by mistake.
    std::fs::remove_file(&file).unwrap();
    let error = Queen::open(rig.config()).await.err().expect("it must not open");
    assert!(matches!(error, OpenError::Stranger { .. }), "{error:?}");
    // The rig still has a queen to drop.
    std::fs::remove_file(rig.dir.path().join("database.id")).unwrap();
    rig.restart().await;
}

#[tokio::test]
pub(crate) async fn a_database_of_a_newer_program_is_refused() {
    let rig = Rig::new().await;
    rig.queen.shutdown().await;
    rig.change("INSERT INTO schema_migrations VALUES (999, 'future', 'x', 0)").await;
    let error = Queen::open(rig.config()).await.err().expect("it must not open");
    assert!(error.to_string().contains("has schema 999, this program knows up to "), "{error}");
    assert!(rig.clock.now().0 > 0);
}
