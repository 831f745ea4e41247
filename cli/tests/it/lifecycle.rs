//! `atta serve`: starting, refusing to start, being asked to stop.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use crate::live_server::{LiveServer, atta, path, wait_for};
use crate::scratch::{Done, Scratch};

#[test]
fn a_port_in_use_is_named() {
    let scratch = Scratch::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it has an address").to_string();
    let done = scratch.atta(&["serve", "--data-dir", "data", "--listen", &address]);
    done.says(1, &["error:", &address, "already in use", "--listen"]);
}

#[test]
fn addresses_that_others_can_reach_are_refused() {
    let scratch = Scratch::new();
    let done = scratch.atta(&["serve", "--data-dir", "data", "--listen", "0.0.0.0:0"]);
    done.says(2, &["0.0.0.0:0", "not a loopback address", "127.0.0.1"]);
}

#[test]
fn a_second_server_on_the_same_directory_is_refused_and_harms_nothing() {
    let scratch = Scratch::new();
    let server = LiveServer::start(scratch.root(), &path());
    let done = scratch.atta(&["serve", "--data-dir", "data", "--listen", "127.0.0.1:0"]);
    done.says(1, &["data", "in use by another server"]);
    assert_eq!(server.json(&["jobs", "--json"]), serde_json::json!([]));
    server.stop();
}

#[test]
fn a_damaged_database_is_named_and_left_alone() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("data")).expect("the directory is writable");
    let garbage = vec![0x5a_u8; 8192];
    fs::write(scratch.path("data/atta.db"), &garbage).expect("the directory is writable");
    let done = scratch.atta(&["serve", "--data-dir", "data", "--listen", "127.0.0.1:0"]);
    done.says(1, &["atta.db", "damaged"]);
    assert_eq!(fs::read(scratch.path("data/atta.db")).expect("it is still there"), garbage);
}

#[test]
fn a_data_directory_that_cannot_be_written_is_named() {
    let scratch = Scratch::new();
    let data = scratch.path("data");
    fs::create_dir(&data).expect("the directory is writable");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o555)).expect("it is ours");
    let serve = ["serve", "--data-dir", "data", "--listen", "127.0.0.1:0"];
    let done: Done = if geteuid().is_root() {
        // Root may write everywhere: become somebody else.
        fs::set_permissions(scratch.root(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        let output = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(atta())
            .args(serve)
            .current_dir(scratch.root())
            .stdin(Stdio::null())
            .output()
            .expect("setpriv starts");
        if String::from_utf8_lossy(&output.stderr).contains("setpriv:") {
            // The program lies where nobody else may read, or privileges cannot be given up here.
            return;
        }
        output.into()
    } else {
        scratch.atta(&serve)
    };
    done.says(1, &["data", "cannot be written"]);
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).expect("it is ours");
}

fn serve(scratch: &Scratch, more: &[&str]) -> (std::process::Child, String) {
    let log = scratch.path("serve.log");
    let file = fs::File::create(&log).expect("the directory is writable");
    let mut arguments = vec!["serve", "--data-dir", "data", "--listen", "127.0.0.1:0", "--slots", "2"];
    arguments.extend(more);
    let child = scratch
        .command(&arguments)
        .stdout(file.try_clone().expect("a handle can be duplicated"))
        .stderr(file)
        .spawn()
        .expect("atta starts");
    let url = wait_for("the server to be ready", || ready_url(scratch));
    (child, url)
}

fn ready_url(scratch: &Scratch) -> Option<String> {
    let text = scratch.read("serve.log");
    let line = text.lines().find(|line| line.contains("Atta is ready at "))?.to_owned();
    text.ends_with('\n').then(|| line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned))?
}

fn signal(child: &std::process::Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).expect("a pid is an i32")), signal).expect("it runs");
}

#[test]
fn the_server_opens_as_many_files_as_it_may_and_tasks_keep_their_limit() {
    let scratch = Scratch::new();
    // In one process: the shell sets the limit and becomes the server.
    let script = format!(
        "ulimit -Sn 300; exec '{}' serve --data-dir data --listen 127.0.0.1:0 >serve.log 2>&1",
        atta().display()
    );
    let mut child =
        Command::new("sh").args(["-c", &script]).current_dir(scratch.root()).stdin(Stdio::null()).spawn().expect("sh");
    let url = wait_for("the server to be ready", || ready_url(&scratch));
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).expect("it runs");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("there is a limit");
    let [soft, hard] = [3, 4].map(|column| files.split_whitespace().nth(column).expect("it has both"));
    assert_eq!(soft, hard, "{files}");
    let file = scratch.write("job.yaml", "job_type: limit\ntasks: [{task_type: t, script: ['ulimit -Sn']}]\n");
    let done = scratch.atta(&["submit", &file, "--follow", "--server", &url]);
    done.says(0, &["COMPLETED"]);
    assert_eq!(scratch.atta(&["logs", done.stdout.trim(), "t", "--server", &url]).stdout, "300\n");
    signal(&child, Signal::SIGTERM);
    assert!(wait_for("the server to stop", || child.try_wait().expect("a child can be asked")).success());
}

const SLOW: &str = r#"
job_type: slow
params: {Side: {type: string}}
defaults: {shell: [sh, -eu]}
environment: {SIDE: "{{ Side }}"}
tasks:
  - {task_type: slow, script: ['echo begun >>"$SIDE"', 'sleep SECONDS', 'echo ended >>"$SIDE"']}
"#;

#[test]
fn the_first_signal_lets_running_attempts_finish() {
    let scratch = Scratch::new();
    let (mut child, url) = serve(&scratch, &[]);
    let file = scratch.write("job.yaml", SLOW.replace("SECONDS", "0.7"));
    let side = format!("Side={}", scratch.path("side").display());
    assert_eq!(scratch.atta(&["submit", &file, "-p", &side, "--server", &url]).code, 0);
    wait_for("the task to begin", || scratch.read("side").contains("begun").then_some(()));
    signal(&child, Signal::SIGTERM);
    let status = wait_for("the server to stop", || child.try_wait().expect("a child can be asked"));
    assert_eq!(status.code(), Some(0), "{}", scratch.read("serve.log"));
    assert_eq!(scratch.read("side"), "begun\nended\n", "{}", scratch.read("serve.log"));
    assert!(!scratch.read("serve.log").contains("panicked"));
}

#[test]
fn the_second_signal_and_the_end_of_the_grace_kill_what_runs() {
    for grace in ["60", "1"] {
        let scratch = Scratch::new();
        let (mut child, url) = serve(&scratch, &["--shutdown-grace", grace]);
        let file = scratch.write("job.yaml", SLOW.replace("SECONDS", "300"));
        let side = format!("Side={}", scratch.path("side").display());
        assert_eq!(scratch.atta(&["submit", &file, "-p", &side, "--server", &url]).code, 0);
        wait_for("the task to begin", || scratch.read("side").contains("begun").then_some(()));
        signal(&child, Signal::SIGINT);
        if grace == "60" {
            wait_for("the drain to begin", || scratch.read("serve.log").contains("another signal").then_some(()));
            signal(&child, Signal::SIGTERM);
        }
        let status = wait_for("the server to stop", || child.try_wait().expect("a child can be asked"));
        assert_eq!(status.code(), Some(0), "{}", scratch.read("serve.log"));
        assert_eq!(scratch.read("side"), "begun\n");
    }
}

#[test]
fn the_log_is_json_when_asked_and_stdout_has_one_line() {
    let scratch = Scratch::new();
    let mut child = scratch
        .command(&["serve", "--data-dir", "data", "--listen", "127.0.0.1:0", "--log-format", "json"])
        .stdout(fs::File::create(scratch.path("out")).expect("writable"))
        .stderr(fs::File::create(scratch.path("err")).expect("writable"))
        .spawn()
        .expect("atta starts");
    wait_for("the server to be ready", || scratch.read("out").ends_with('\n').then_some(()));
    signal(&child, Signal::SIGTERM);
    let status = wait_for("the server to stop", || child.try_wait().expect("a child can be asked"));
    assert_eq!(status.code(), Some(0), "{}", scratch.read("err"));
    assert_eq!(scratch.read("out").lines().count(), 1);
    for line in scratch.read("err").lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
    assert!(!scratch.read("err").is_empty());
}

#[test]
fn ctrl_c_cancels_a_run_so_that_cleanup_runs() {
    let scratch = Scratch::new();
    let file = scratch.write(
        "job.yaml",
        SLOW.replace("SECONDS", "300")
            + "  - {task_type: cleanup, always_run: true, script: ['echo cleanup >>\"$SIDE\"']}\n",
    );
    let side = format!("Side={}", scratch.path("side").display());
    let child = scratch
        .command(&["run", &file, "-p", &side, "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("atta starts");
    wait_for("the task to begin", || scratch.read("side").contains("begun").then_some(()));
    signal(&child, Signal::SIGINT);
    let done: Done = child.wait_with_output().expect("it ends").into();
    assert_eq!(done.code, 4, "{done:#?}");
    assert_eq!(done.json()["state"], "CANCELLED", "{done:#?}");
    assert_eq!(scratch.read("side"), "begun\ncleanup\n");
}

#[test]
fn a_second_ctrl_c_gives_up_at_once_and_leaves_nothing() {
    let scratch = Scratch::new();
    let file = scratch.write(
        "job.yaml",
        "job_type: stubborn\ndefaults: {shell: [sh, -eu], kill_grace: 5m}\nparams: {Side: {type: string}}\nenvironment: {SIDE: \"{{ Side }}\"}\ntasks:\n  - {task_type: it, script: [\"trap '' TERM\", 'echo begun >>\"$SIDE\"', 'while :; do sleep 1; done']}\n",
    );
    let side = format!("Side={}", scratch.path("side").display());
    let child = scratch
        .command(&["run", &file, "-p", &side])
        .stdout(Stdio::piped())
        .stderr(fs::File::create(scratch.path("err")).expect("writable"))
        .spawn()
        .expect("atta starts");
    wait_for("the task to begin", || scratch.read("side").contains("begun").then_some(()));
    signal(&child, Signal::SIGINT);
    wait_for("the cancel to begin", || scratch.read("err").contains("another signal").then_some(()));
    sleep(Duration::from_millis(50));
    signal(&child, Signal::SIGINT);
    let done: Done = child.wait_with_output().expect("it ends").into();
    assert_eq!(done.code, 4, "{}", scratch.read("err"));
    assert!(scratch.read("err").contains("second signal"), "{}", scratch.read("err"));
}

#[test]
fn a_full_disk_is_a_clear_failure_and_leaves_nothing() {
    let scratch = Scratch::new();
    let file = scratch.write(
        "job.yaml",
        "job_type: filler\ndefaults: {shell: [sh, -eu]}\ntasks:\n  - {task_type: fill, timeout: 20s, script: ['head -c 64000000 /dev/zero >big'], artifacts: {paths: [big]}}\n",
    );
    let script = "TMPDIR=$PWD/small exec \"$@\"";
    let Some(done) = scratch.on_a_small_disk("16m", script, &["run", &file, "--json"]) else { return };
    // Either the job still could be written to its end, or the run says why not.
    assert_eq!(done.code, 1, "{done:#?}");
    let document = done.json();
    let says_why = document["state"] == "FAILED"
        || document["detail"].as_str().is_some_and(|detail| detail.contains("disk is full"));
    assert!(says_why && !done.stderr.contains("panicked"), "{done:#?}");
}
