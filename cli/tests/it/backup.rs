//! Backups of servers that run, what is restored from them, and the way from one database to the other.

#![expect(clippy::unwrap_used, reason = "these are tests; clippy knows that of test functions only")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::cluster::{Cluster, TestDatabase};
use crate::live_server::{LiveServer, path, wait_for};
use crate::scratch::{Done, Scratch};

/// Something of everything: a secret, a log, an artifact, outputs.
const DONE: &str = r#"
job_type: done
defaults: {shell: [sh, -eu]}
tasks:
  - task_type: make
    env_from: [{secrets: [TOKEN]}]
    script:
      - seq 1 30000
      - printf '%s' "$TOKEN" | cksum >sum.txt
      - echo "made=yes" >>"$ATTA_OUTPUT"
      - echo content >content.txt
    outputs: {made: {type: string}}
    artifacts: {paths: ["*.txt"]}
"#;

/// Says that it has begun, and waits for a file.
const SLOW: &str = r#"
job_type: slow
max_concurrency: 1
params: {Side: {type: string}, Go: {type: string}}
defaults: {shell: [sh, -eu]}
environment: {SIDE: "{{ Side }}", GO: "{{ Go }}"}
tasks:
  - task_type: one
    retry: 1
    script: ['echo one >>"$SIDE"', 'until [ -e "$GO" ]; do sleep 0.02; done']
  - task_type: two
    dependencies: [one]
    script: ['echo two >>"$SIDE"']
"#;

const QUICK: &str = "job_type: quick\ntasks:\n  - {task_type: say, script: [echo said]}\n";

fn run(scratch: &Scratch, arguments: &[&str], database: Option<&TestDatabase>) -> Done {
    let mut command = scratch.command(arguments);
    if let Some(database) = database {
        command.env("ATTA_DATABASE_URL", database.url());
    }
    command.output().unwrap().into()
}

fn submit(server: &LiveServer, file: &str, params: &[String]) -> String {
    let mut arguments = vec!["submit", file, "--json"];
    for param in params {
        arguments.extend(["-p", param]);
    }
    server.json(&arguments)["job_id"].as_str().unwrap().to_owned()
}

fn slow(scratch: &Scratch, side: &str, go: &str) -> [String; 2] {
    [format!("Side={}", scratch.path(side).display()), format!("Go={}", scratch.path(go).display())]
}

/// What people see of a job: itself, its log, its artifacts.
fn seen(server: &LiveServer, job: &str, scratch: &Scratch, to: &str) -> (Value, String, String) {
    let logs = server.client(&["logs", job]);
    assert!(logs.status.success());
    let out = scratch.path(to);
    let got = server.client(&["artifacts", job, "make", "-o", out.to_str().unwrap()]);
    assert!(got.status.success(), "{}", String::from_utf8_lossy(&got.stderr));
    let files = ["content.txt", "sum.txt"].map(|name| fs::read_to_string(out.join("make").join(name)).unwrap());
    (server.job(job), String::from_utf8(logs.stdout).unwrap(), files.concat())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Backs a server up while jobs run, restores it beside, and compares.
fn backed_up_and_restored(from: Option<&TestDatabase>, to: Option<&TestDatabase>) {
    let scratch = Scratch::new();
    let url = from.map(TestDatabase::url);
    let variables: Vec<(&str, &str)> = url.iter().map(|url| ("ATTA_DATABASE_URL", url.as_str())).collect();
    let server = LiveServer::start_with(scratch.root(), &path(), &variables);
    server.set_secret("TOKEN", "a-very-secret-token");
    let done = submit(&server, &scratch.write("done.yaml", DONE), &[]);
    assert_eq!(server.finished(&done)["state"], "COMPLETED");
    let before = seen(&server, &done, &scratch, "got1");
    assert!(before.1.contains("30000\n"));
    let file = scratch.write("slow.yaml", SLOW);
    let running = submit(&server, &file, &slow(&scratch, "side", "go"));
    wait_for("the job to run", || scratch.read("side").contains("one").then_some(()));
    let waiting = submit(&server, &file, &slow(&scratch, "side2", "go"));
    let quick = scratch.write("quick.yaml", QUICK);
    let (data, archive) = (scratch.path("data"), scratch.path("backup.tar.zst"));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writes = scope.spawn(|| {
            let mut jobs = 0;
            while !over.load(Ordering::SeqCst) || jobs == 0 {
                submit(&server, &quick, &[]);
                jobs += 1;
            }
            jobs
        });
        // Not before something is written.
        wait_for("a job", || {
            let jobs = server.json(&["jobs", "--json"]);
            jobs.as_array().unwrap().iter().any(|job| job["job_type"] == "quick").then_some(())
        });
        let made = run(&scratch, &["backup", "--with-keys", "--data-dir", text(&data), text(&archive)], from);
        over.store(true, Ordering::SeqCst);
        made.says(0, &["secrets.key", "can read all secrets"]);
        assert!(writes.join().unwrap() > 0);
    });
    assert_eq!(fs::metadata(&archive).unwrap().permissions().mode() & 0o777, 0o600);
    run(&scratch, &["backup", "--verify", text(&archive)], None).says(0, &["is whole"]);
    // The old world goes on, and knows nothing of it.
    fs::write(scratch.path("go"), "").unwrap();
    assert_eq!(server.finished(&running)["state"], "COMPLETED");
    assert_eq!(server.finished(&waiting)["state"], "COMPLETED");
    server.stop();
    let old_epoch: i64 =
        from.map_or(1, |database| database.sql("SELECT value FROM meta WHERE key = 'epoch'").parse().unwrap());

    let new = scratch.path("new");
    let restored = run(&scratch, &["restore", text(&archive), "--data-dir", text(&new.join("data"))], to);
    restored.says(0, &["Not finished then:", " ran.", "revoke again"]);
    let again = run(&scratch, &["restore", text(&archive), "--data-dir", text(&new.join("data"))], to);
    again.says(1, &["is not empty", "nothing was changed"]);
    if to.is_some() {
        let elsewhere = scratch.path("elsewhere");
        let again = run(&scratch, &["restore", text(&archive), "--data-dir", text(&elsewhere)], to);
        again.says(1, &["is not empty, it has a table", "nothing was changed"]);
        assert!(!elsewhere.exists());
    }
    let url = to.map(TestDatabase::url);
    let variables: Vec<(&str, &str)> = url.iter().map(|url| ("ATTA_DATABASE_URL", url.as_str())).collect();
    let server = LiveServer::start_with(&new, &path(), &variables);
    assert_eq!(seen(&server, &done, &scratch, "got2"), before);
    if let Some(database) = to {
        let epoch: i64 = database.sql("SELECT value FROM meta WHERE key = 'epoch'").parse().unwrap();
        assert!(epoch > old_epoch + 1_000_000, "{epoch}");
    }
    // The secret can be read with the keys that came along.
    let again = submit(&server, text(&scratch.path("done.yaml")), &[]);
    assert_eq!(server.finished(&again)["state"], "COMPLETED");
    assert_eq!(seen(&server, &again, &scratch, "got3").2, before.2);
    // Nothing goes on by itself.
    let job = server.job(&running);
    assert_eq!(job["state"], "PAUSED", "{job:#}");
    assert!(job["reason"].as_str().unwrap().contains("restored from a backup"), "{job:#}");
    let job = server.job(&waiting);
    assert_eq!(job["state"], "CANCELLED", "{job:#}");
    assert_eq!(scratch.read("side"), "one\ntwo\n", "nothing ran again");
    let events = server.client(&["events", &running, "--json"]);
    let events = String::from_utf8(events.stdout).unwrap();
    assert!(events.contains("LOST") && events.contains("restored from a backup of"), "{events}");
    // Somebody has looked, and wants it.
    assert!(server.client(&["resume", &running]).status.success());
    assert_eq!(server.finished(&running)["state"], "COMPLETED");
    assert_eq!(scratch.read("side"), "one\ntwo\none\ntwo\n");
    let again = String::from_utf8(server.client(&["resubmit", &waiting]).stdout).unwrap();
    let again = again.split_whitespace().next().unwrap().to_owned();
    assert_eq!(server.finished(&again)["state"], "COMPLETED");
    server.stop();
}

#[test]
fn a_running_server_is_backed_up_and_comes_back_as_it_was() {
    backed_up_and_restored(None, None);
}

#[test]
fn a_backup_of_postgresql_comes_back_in_postgresql() {
    let (from, to) = (Cluster::shared().database(), Cluster::shared().database());
    backed_up_and_restored(Some(&from), Some(&to));
}

#[test]
fn a_backup_of_one_database_comes_back_in_the_other() {
    let to = Cluster::shared().database();
    backed_up_and_restored(None, Some(&to));
}

#[test]
fn jobs_go_on_after_a_restore_when_nothing_has_happened_since() {
    let scratch = Scratch::new();
    let server = LiveServer::start(scratch.root(), &path());
    let file = scratch.write("slow.yaml", SLOW);
    let first = submit(&server, &file, &slow(&scratch, "side", "go"));
    wait_for("the job to run", || scratch.read("side").contains("one").then_some(()));
    let second = submit(&server, &file, &slow(&scratch, "side2", "go"));
    let (data, out) = (scratch.path("data"), scratch.path("out"));
    fs::create_dir(&out).unwrap();
    let made = run(&scratch, &["backup", "--data-dir", text(&data), text(&out), "--json"], None);
    made.says(0, &["no keys are in it", "secrets.key"]);
    let archive = made.json()["file"].as_str().unwrap().to_owned();
    drop(server);
    fs::write(scratch.path("go"), "").unwrap();
    let new = scratch.path("new");
    let restored = run(&scratch, &["restore", &archive, "--go-on", "--data-dir", text(&new.join("data"))], None);
    restored.says(0, &["They go on when the server starts", "No keys were in the backup"]);
    let server = LiveServer::start(&new, &path());
    // What ran is lost, and tried again as its definition says.
    let job = server.finished(&first);
    assert_eq!(job["state"], "COMPLETED", "{job:#}");
    assert_eq!(scratch.read("side"), "one\none\ntwo\n");
    assert_eq!(server.finished(&second)["state"], "COMPLETED");
    server.stop();
}

#[test]
fn a_disk_that_is_full_leaves_neither_half_a_backup_nor_half_a_server() {
    let scratch = Scratch::new();
    let server = LiveServer::start(scratch.root(), &path());
    let yaml = "job_type: big\ntasks:\n  - task_type: make\n    script: ['head -c 12000000 /dev/urandom >big']\n    artifacts: {paths: [big]}\n";
    let job = submit(&server, &scratch.write("big.yaml", yaml), &[]);
    assert_eq!(server.finished(&job)["state"], "COMPLETED");
    let archive = scratch.path("backup.tar.zst");
    run(&scratch, &["backup", "--data-dir", "data", text(&archive)], None).says(0, &[]);
    server.stop();
    let script = "\"$@\"; code=$?; echo \"left: $(ls -A small | tr '\\n' ' ')\" >&2; exit $code";
    for arguments in
        [["backup", "--data-dir", "data", "small/b.tar.zst"], ["restore", "backup.tar.zst", "--data-dir", "small/data"]]
    {
        let Some(done) = scratch.on_a_small_disk("4m", script, &arguments) else { return };
        done.says(1, &["cannot be written", "the disk is full"]);
        assert!(done.stderr.trim_end().ends_with("left:"), "{done:#?}");
    }
}

#[test]
fn a_restore_that_is_killed_is_never_taken_for_a_whole_one() {
    let scratch = Scratch::new();
    let server = LiveServer::start(scratch.root(), &path());
    let yaml = "job_type: big\ntasks:\n  - task_type: make\n    script: ['head -c 60000000 /dev/urandom >big']\n    artifacts: {paths: [big]}\n";
    let job = submit(&server, &scratch.write("big.yaml", yaml), &[]);
    assert_eq!(server.finished(&job)["state"], "COMPLETED");
    run(&scratch, &["backup", "--data-dir", "data", "b.tar.zst"], None).says(0, &[]);
    server.stop();
    let database = Cluster::shared().database();
    // It may be faster than we are: then once more.
    let killed = (0..50).find(|number| {
        let dir = format!("new{number}");
        let mut child = scratch
            .command(&["restore", "b.tar.zst", "--data-dir", &dir])
            .env("ATTA_DATABASE_URL", database.url())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while !scratch.path(&dir).join("restore.unfinished").exists() {
            if child.try_wait().unwrap().is_some() {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let unfinished = scratch.path(&dir).join("restore.unfinished").exists();
        if !unfinished {
            database.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
        }
        unfinished
    });
    let dir = format!("new{}", killed.unwrap());
    let words = ["did not get to its end", "restore again"];
    run(&scratch, &["serve", "--listen", "127.0.0.1:0", "--data-dir", &dir], Some(&database)).says(1, &words);
    run(&scratch, &["restore", "b.tar.zst", "--data-dir", &dir], Some(&database)).says(1, &words);
    // The database is empty, so that it takes the next try.
    let done = wait_for("its session to end", || {
        let done = run(&scratch, &["restore", "b.tar.zst", "--data-dir", "last"], Some(&database));
        (!done.stderr.contains("is active")).then_some(done)
    });
    done.says(0, &["as of"]);
    assert_eq!(database.sql("SELECT count(*) FROM jobs"), "1");
}

#[test]
fn jobs_that_run_go_on_under_the_database_that_their_server_was_moved_to() {
    let scratch = Scratch::new();
    let database = Cluster::shared().database();
    let server = LiveServer::start(scratch.root(), &path());
    server.set_secret("TOKEN", "a-very-secret-token");
    let done = submit(&server, &scratch.write("done.yaml", DONE), &[]);
    assert_eq!(server.finished(&done)["state"], "COMPLETED");
    let before = seen(&server, &done, &scratch, "got1");
    let running = submit(&server, &scratch.write("slow.yaml", SLOW), &slow(&scratch, "side", "go"));
    wait_for("the job to run", || scratch.read("side").contains("one").then_some(()));
    let (sqlite, url) = (format!("sqlite:{}", scratch.path("data").display()), database.url());
    let there = ["migrate-store", "--from", &sqlite, "--to", &url];
    run(&scratch, &there, None).says(1, &["is in use by another server"]);
    server.kill();
    let moved = run(&scratch, &[&there[..], &["--json"]].concat(), None);
    moved.says(0, &[]);
    assert_eq!(moved.json()["unfinished"]["attempts"], 1, "{moved:#?}");
    run(&scratch, &there, None).says(1, &["goes with another database"]);
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"];
    run(&scratch, &serve, None).says(1, &["goes with another database, postgres://", "database.id"]);
    let server = LiveServer::start_with(scratch.root(), &path(), &[("ATTA_DATABASE_URL", &url)]);
    assert_eq!(seen(&server, &done, &scratch, "got2"), before);
    fs::write(scratch.path("go"), "").unwrap();
    let job = server.finished(&running);
    assert_eq!(job["state"], "COMPLETED", "{job:#}");
    assert_eq!(scratch.read("side"), "one\ntwo\n", "each command ran once");
    let again = submit(&server, text(&scratch.path("done.yaml")), &[]);
    assert_eq!(server.finished(&again)["state"], "COMPLETED");
    let back = ["migrate-store", "--from", &url, "--to", &sqlite];
    run(&scratch, &back, None).says(1, &["A server is active on postgres:", "stop it first"]);
    server.stop();

    // And back again: the old file is in the way until somebody takes it away.
    run(&scratch, &back, None).says(1, &["is not empty, it has a database (atta.db)"]);
    for file in ["atta.db", "atta.db-wal", "atta.db-shm"] {
        let _ = fs::remove_file(scratch.path("data").join(file));
    }
    run(&scratch, &back, None).says(0, &["is not used any more", "Start the server again: atta serve"]);
    run(&scratch, &serve, Some(&database)).says(1, &["goes with another database, atta.db"]);
    let server = LiveServer::start(scratch.root(), &path());
    assert_eq!(seen(&server, &done, &scratch, "got3"), before);
    assert_eq!(server.job(&running)["state"], "COMPLETED");
    server.stop();
}

#[test]
fn a_move_that_is_not_possible_says_why() {
    let scratch = Scratch::new();
    let both = |from: &str, to: &str| run(&scratch, &["migrate-store", "--from", from, "--to", to], None);
    both("sqlite:a", "sqlite:b").says(2, &["one of --from and --to is each", "atta backup, then atta restore"]);
    both("sqlite:a", "mysql://me:geheim@h/d").says(2, &["--to is neither sqlite:DIR nor an address"]);
    both("sqlite:", "postgres://h/d").says(2, &["needs a data directory"]);
    both("sqlite:none", "postgres://h/d").says(1, &["holds no database of Atta"]);
    let database = Cluster::shared().database();
    both(&database.url(), "sqlite:new").says(1, &["holds no database of Atta", "none of its tables"]);
    assert!(!scratch.path("new/atta.db").exists());
    let done = both("sqlite:a", "postgres://me:geheim@127.0.0.1:1/none");
    assert!(!done.stderr.contains("geheim"), "{done:#?}");
}
