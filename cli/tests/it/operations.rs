//! What operators see of a real server: metrics, health, degradation, the doctor.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::live_server::{LiveServer, path, repository};

const ONE: &str = "job_type: one\ntasks:\n  - task_type: only\n    script: [\"echo hello\"]\n";

fn get(server: &LiveServer, path: &str) -> String {
    let address = server.url.strip_prefix("http://").expect("it speaks HTTP");
    let mut stream = TcpStream::connect(address).expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

fn start(directory: &tempfile::TempDir) -> LiveServer {
    LiveServer::start(directory.path(), &path())
}

#[test]
fn every_metric_that_is_shown_stands_on_the_page() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = start(&directory);
    let file = directory.path().join("one.yaml");
    fs::write(&file, ONE).expect("it can be written");
    let job = server.json(&["submit", file.to_str().expect("a path"), "--json"]);
    server.finished(job["job_id"].as_str().expect("an id"));
    let shown = get(&server, "/metrics");
    let page = fs::read_to_string(repository().join("docs/metrics.md")).expect("the page");
    let names: BTreeSet<&str> =
        shown.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    for name in &names {
        assert!(page.contains(&format!("| `{name}` |")), "{name} is not in docs/metrics.md");
    }
    for name in [
        "atta_jobs",
        "atta_queue_depth",
        "atta_dispatch_seconds",
        "atta_commit_seconds",
        "atta_batch_commands",
        "atta_ants",
        "atta_log_bytes_total",
        "atta_degradation_tier",
        "atta_component_state",
        "atta_disk_free_bytes",
    ] {
        assert!(names.contains(name), "{name} is not shown: {shown}");
    }
    assert!(shown.contains("atta_component_state{component=\"ant: reports\",state=\"RUNNING\"} 1"), "{shown}");
    assert!(shown.contains("atta_jobs{state=\"COMPLETED\"} 1"), "{shown}");
    server.stop();
}

#[test]
fn a_job_that_is_submitted_while_new_ones_wait_runs_after_that() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = start(&directory);
    let set = server.client(&["degrade", "finish", "--reason", "new disks"]);
    let said = String::from_utf8_lossy(&set.stdout);
    assert!(said.starts_with("FINISH: all new jobs wait (set by hand: new disks).\n"), "{said}");
    let file = directory.path().join("one.yaml");
    fs::write(&file, ONE).expect("it can be written");
    let job = server.json(&["submit", file.to_str().expect("a path"), "--json"]);
    let id = job["job_id"].as_str().expect("an id");
    assert_eq!(server.job(id)["state"], "PENDING");
    let hint = server.client(&["ants"]);
    assert!(String::from_utf8_lossy(&hint.stderr).contains("The server is degraded. FINISH"), "{hint:?}");
    let doctor: Value = serde_json::from_slice(&server.client(&["doctor", "--json"]).stdout).expect("JSON");
    let check = |name: &str| {
        let checks = doctor["checks"].as_array().expect("checks");
        checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {doctor:#}")).clone()
    };
    assert_eq!(check("degradation")["outcome"], "warning");
    for name in ["token", "parts", "ants", "clock skew", "container engine"] {
        assert_eq!(check(name)["outcome"], "ok", "{doctor:#}");
    }
    let auto = server.client(&["degrade", "--auto"]);
    assert!(String::from_utf8_lossy(&auto.stdout).starts_with("NORMAL: nothing is left out.\n"), "{auto:?}");
    assert_eq!(server.finished(id)["state"], "COMPLETED");
    let wrong = server.client(&["degrade", "a-bit"]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("it is normal, shed, finish or read-only"), "{wrong:?}");
    server.stop();
}

#[test]
fn the_doctor_finds_keys_that_others_can_read_and_a_damaged_database() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().expect("a directory");
    let server = start(&directory);
    let data = directory.path().join("data");
    let ask = || {
        let data = data.to_str().expect("a path");
        let done = std::process::Command::new(crate::live_server::atta())
            .args(["doctor", "--json", "--data-dir", data, "--server", &server_url()])
            .output()
            .expect("atta starts");
        let report: Value = serde_json::from_slice(&done.stdout).expect("JSON");
        (done.status.code(), report["checks"].as_array().expect("checks").clone())
    };
    let find = |checks: &[Value], name: &str| {
        checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {checks:#?}")).clone()
    };
    let (_, checks) = ask();
    assert_eq!(find(&checks, "database pages")["outcome"], "ok", "{checks:#?}");
    assert_eq!(find(&checks, "key files")["outcome"], "ok", "{checks:#?}");
    assert!(find(&checks, "locks")["detail"].as_str().expect("text").contains("server runs (process"), "{checks:#?}");
    server.stop();
    let (_, checks) = ask();
    assert!(find(&checks, "locks")["detail"].as_str().expect("text").contains("no server"), "{checks:#?}");
    for open in [&data, &data.join("secrets.key")] {
        fs::set_permissions(open, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    // As a disk does it that loses what was written.
    for file in ["atta.db-wal", "atta.db-shm"] {
        let _ = fs::remove_file(data.join(file));
    }
    fs::write(data.join("atta.db"), [b"SQLite format 3\0".as_slice(), &vec![0x5a; 64 * 1024]].concat())
        .expect("it is ours");
    let (code, checks) = ask();
    assert_eq!(code, Some(1));
    assert_eq!(find(&checks, "database pages")["outcome"], "failed", "{checks:#?}");
    let keys = find(&checks, "key files");
    assert_eq!(keys["outcome"], "failed", "{keys:#?}");
    assert!(keys["advice"].as_str().expect("text").starts_with("chmod go= "), "{keys:#?}");
}

/// Nothing listens there: port 9 is never given out.
fn server_url() -> String {
    "http://127.0.0.1:9".to_owned()
}
