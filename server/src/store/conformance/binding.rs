//! A data directory and its database, and what becomes of both when the database is lost in the wrong moment.

use std::fs;
use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::super::sql::{Connection, PostgresUrl};
use super::super::{binding, migrate};
use super::*;
use crate::backup::{BackupError, TransferRequest, transfer};

const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

async fn refusal(dir: &Path, database: &Database) -> String {
    Store::open_in(dir, database, UnixMillis(9), None).await.map(drop).unwrap_err().to_string()
}

async fn close(store: Store, writer: StoreWriter) {
    store.close().await;
    writer.close().await.unwrap();
}

fn empty() -> (TestDatabase, Database) {
    let server = Cluster::shared().database();
    let database = Database::Postgres(server.url().parse().unwrap());
    (server, database)
}

#[tokio::test]
async fn a_directory_goes_with_one_database_and_refuses_every_other_one() {
    for case in Case::both().await {
        let Case { store, writer, dir, server: _server, .. } = case;
        let is_file = store.dialect() == Dialect::Sqlite;
        close(store, writer).await;
        let (server, empty) = empty();
        let other = if is_file { empty } else { Database::File };
        let error = refusal(dir.path(), &other).await;
        let words = ["goes with another database", "migrate-store", "database.id"];
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
        assert_eq!(dir.path().join("atta.db").exists(), is_file, "nothing was made");
        assert_eq!(server.rows("SELECT count(to_regclass('jobs'))"), ["0"], "nothing was made");
    }
}

#[tokio::test]
async fn an_empty_database_is_refused_beside_files_of_jobs() {
    for is_file in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("artifacts/ab")).unwrap();
        fs::create_dir_all(dir.path().join("logs/job_1")).unwrap();
        fs::write(dir.path().join("artifacts/ab/cd"), "x").unwrap();
        let (_server, server) = empty();
        let database = if is_file { Database::File } else { server };
        let error = refusal(dir.path(), &database).await;
        assert!(error.contains("has files of jobs (artifacts)") && error.contains("ATTA_DATABASE_URL"), "{error}");
        if is_file {
            assert!(!dir.path().join("atta.db").exists());
            // Directories alone are nobody's.
            fs::remove_file(dir.path().join("artifacts/ab/cd")).unwrap();
            let (store, writer) = Store::open(dir.path(), NOW).await.unwrap();
            close(store, writer).await;
        }
    }
}

#[tokio::test]
async fn a_directory_with_a_file_of_its_own_is_not_given_to_a_server_by_mistake() {
    let case = Case::new(Dialect::Sqlite).await;
    let Case { store, writer, dir, .. } = case;
    close(store, writer).await;
    let (_server, database) = empty();
    let error = refusal(dir.path(), &database).await;
    assert!(error.contains("goes with another database, atta.db"), "{error}");
    // As an older version left it.
    fs::remove_file(dir.path().join("database.id")).unwrap();
    let error = refusal(dir.path(), &database).await;
    assert!(error.contains("has a database of its own (atta.db)") && error.contains("migrate-store"), "{error}");
}

#[tokio::test]
async fn a_directory_and_a_database_of_an_older_version_are_bound_at_the_first_start() {
    for mut case in Case::both().await {
        query("DELETE FROM meta WHERE key = 'database'")
            .execute(case.writer.connection().await.unwrap())
            .await
            .unwrap();
        fs::remove_file(case.dir.path().join("database.id")).unwrap();
        assert!(!case.store.goes_with(case.dir.path()).await.unwrap());
        let database = case.database();
        let Case { store, writer, dir, server: _server, .. } = case;
        fs::create_dir_all(dir.path().join("logs/job_1")).unwrap();
        fs::write(dir.path().join("logs/job_1/1.log"), "x").unwrap();
        close(store, writer).await;
        let (store, writer) = Store::open_in(dir.path(), &database, UnixMillis(9), None).await.unwrap();
        assert!(store.goes_with(dir.path()).await.unwrap());
        close(store, writer).await;
        let (store, writer) = Store::open_in(dir.path(), &database, UnixMillis(9), None).await.unwrap();
        close(store, writer).await;
    }
}

#[tokio::test]
async fn a_database_whose_rows_have_moved_is_taken_for_restored_when_somebody_goes_back() {
    let case = Case::new(Dialect::Sqlite).await;
    let Case { store, mut writer, dir, .. } = case;
    writer.set_meta("epoch", "7").await.unwrap();
    query("DELETE FROM meta WHERE key = 'restored'").execute(writer.connection().await.unwrap()).await.unwrap();
    close(store, writer).await;
    let (server, to) = empty();
    let request = TransferRequest { data_dir: dir.path(), from: &Database::File, to: &to, now: NOW };
    transfer(request).await.unwrap();
    let error = refusal(dir.path(), &Database::File).await;
    assert!(error.contains("goes with another database, postgres://"), "{error}");
    assert_eq!(server.rows("SELECT value FROM meta WHERE key = 'epoch'"), ["7"]);
    assert_eq!(server.rows("SELECT count(*) FROM meta WHERE key = 'restored'"), ["0"]);
    let (store, writer) = Store::open_in(dir.path(), &to, NOW, None).await.unwrap();
    close(store, writer).await;
    // Going back on purpose.
    fs::remove_file(dir.path().join(binding::FILE)).unwrap();
    let (store, mut writer) = Store::open(dir.path(), NOW).await.unwrap();
    let restored = writer.load_restored().await.unwrap().unwrap();
    assert_eq!((restored.backup_at, restored.go_on), (NOW.0, false));
    assert!(i64::from(writer.next_epoch().await.unwrap()) > NOW.0 / 1000);
    close(store, writer).await;
}

#[tokio::test]
async fn what_was_not_sent_is_given_up_after_a_restore_unless_nothing_has_happened_since() {
    let source = Case::new(Dialect::Sqlite).await;
    let (chunks, counts, version) = source.chunks().await;
    for (go_on, wanted) in [(true, false), (false, true)] {
        let dir = tempfile::tempdir().unwrap();
        let mut loader = Loader::begin(dir.path(), true, &Database::File, version, NOW).await.unwrap();
        for chunk in chunks.iter().filter(|chunk| chunk.table != "meta") {
            loader.add(chunk).await.unwrap();
        }
        let counts: Counts = counts.clone().into_iter().filter(|(table, _)| table != "meta").collect();
        let restored = Restored { backup_at: 5, go_on };
        loader.finish(&counts, Some(&restored), NOW).await.unwrap();
        let (_store, mut writer) = Store::open(dir.path(), NOW).await.unwrap();
        let pending = "SELECT count(*) FROM outbox WHERE state = 'PENDING'";
        let row = query(pending).fetch_one(writer.connection().await.unwrap()).await.unwrap();
        assert_eq!(row.try_get::<i64, _>(0).unwrap() == 0, wanted);
    }
}

#[tokio::test]
async fn the_tables_change_only_under_the_claim_so_that_nobody_takes_a_long_change_for_a_server_that_hangs() {
    let (server, database) = empty();
    let url: PostgresUrl = server.url().parse().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut connection = Connection::Postgres(url.connect().await.unwrap());
    connection.begin().await.unwrap();
    migrate::migrate_inside(&mut connection, 0, migrate::oldest_of_both(), UnixMillis(1)).await.unwrap();
    query("INSERT INTO meta (key, value) VALUES ('epoch', '4'), ('writer', '4 7'), ('pulse', '9')")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.commit().await.unwrap();
    // The next change of the tables has to wait for this.
    connection.begin().await.unwrap();
    query("LOCK TABLE jobs, events, schema_migrations IN SHARE ROW EXCLUSIVE MODE")
        .execute(&mut connection)
        .await
        .unwrap();
    let path = dir.path().to_owned();
    let opening = tokio::spawn(async move { Store::open_in(&path, &database, UnixMillis(9), None).await });
    let asked = || server.rows("SELECT value FROM meta WHERE key IN ('epoch', 'pulse') ORDER BY key");
    loop {
        let found = asked();
        if found[0] == "5" && found[1].parse::<u32>().unwrap() >= 11 {
            break;
        }
        assert!(!opening.is_finished());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(server.rows("SELECT max(version) FROM schema_migrations"), [migrate::oldest_of_both().to_string()]);
    connection.roll_back().await;
    let (store, writer) = opening.await.unwrap().unwrap();
    close(store, writer).await;
}

#[derive(Clone, Copy, PartialEq)]
enum Cut {
    BeforeItIsStored,
    AfterItIsStored,
    ForGood,
}

/// Between us and the database: cuts the connection in the moment of a COMMIT.
async fn cutting(to: String, how: Cut) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let running = tokio::spawn(async move {
        let gone = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        while let Ok((mut here, _)) = listener.accept().await {
            let (to, gone) = (to.clone(), std::sync::Arc::clone(&gone));
            if gone.load(std::sync::atomic::Ordering::SeqCst) && how == Cut::ForGood {
                continue;
            }
            tokio::spawn(async move {
                let mut there = TcpStream::connect(to).await.unwrap();
                let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
                let mut committing = false;
                loop {
                    tokio::select! {
                        read = here.read(&mut up) => {
                            let Ok(read @ 1..) = read else { return };
                            if committing && !gone.swap(true, std::sync::atomic::Ordering::SeqCst) {
                                if how != Cut::BeforeItIsStored {
                                    there.write_all(&up[..read]).await.unwrap();
                                    let _ = there.read(&mut down).await;
                                }
                                return;
                            }
                            committing = up[..read].windows(6).any(|window| window == b"COMMIT");
                            if there.write_all(&up[..read]).await.is_err() { return }
                        }
                        read = there.read(&mut down) => {
                            let Ok(read @ 1..) = read else { return };
                            if here.write_all(&down[..read]).await.is_err() { return }
                        }
                    }
                }
            });
        }
    });
    (port, running)
}

#[tokio::test]
async fn rows_whose_commit_was_not_answered_are_looked_for_before_anybody_says_that_they_are_not_there() {
    for how in [Cut::AfterItIsStored, Cut::BeforeItIsStored, Cut::ForGood] {
        let Case { store, writer, dir, .. } = Case::new(Dialect::Sqlite).await;
        close(store, writer).await;
        let (server, database) = empty();
        let url = server.url();
        let (head, name) = url.rsplit_once('/').unwrap();
        let address = head.rsplit_once('@').unwrap().1;
        let (port, proxy) = cutting(address.to_owned(), how).await;
        let to = Database::Postgres(format!("postgres://postgres@127.0.0.1:{port}/{name}").parse().unwrap());
        let request = TransferRequest { data_dir: dir.path(), from: &Database::File, to: &to, now: NOW };
        let moved = transfer(request).await;
        let there = server.rows("SELECT count(to_regclass('meta'))");
        match how {
            Cut::AfterItIsStored => {
                moved.unwrap();
                assert_eq!(there, ["1"]);
                let (store, writer) = Store::open_in(dir.path(), &database, NOW, None).await.unwrap();
                close(store, writer).await;
            }
            Cut::BeforeItIsStored => {
                moved.unwrap_err();
                assert_eq!(there, ["0"]);
            }
            Cut::ForGood => {
                let error = moved.unwrap_err();
                assert!(matches!(error, BackupError::InDoubt { .. }));
                let error = error.to_string();
                assert!(error.contains("does not say whether it has them") && error.contains("move again"), "{error}");
                assert!(refusal(dir.path(), &database).await.contains("goes with another database"));
            }
        }
        if how != Cut::AfterItIsStored {
            let (store, writer) = Store::open(dir.path(), NOW).await.unwrap();
            assert!(store.goes_with(dir.path()).await.unwrap());
            close(store, writer).await;
        }
        proxy.abort();
    }
}
