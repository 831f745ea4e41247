//! Large artifacts and logs in bounded memory, downloads that go on where they broke off, viewers that never read.
//!
//! `ATTA_ARTIFACT_MIB`, `ATTA_LOG_MIB` and `ATTA_VIEWERS` choose other sizes; `make chaos-nightly` sets them to 10 GB, 1 GB and
//! 200.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBuf;
use nix::unistd::Pid;

use crate::live_server::{LiveServer, number, path, wait_for};
use crate::remote::cutting::CuttingProxy;
use crate::remote::rig::{Queen, digest};
use crate::scratch::{Done, Scratch};

/// What a process may grow by, whatever goes through it.
const GROWTH_KIB: u64 = 64 << 10;

/// The most memory that a process has had.
fn peak_kib(pid: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel says it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn large(artifact: u64, log: u64) -> String {
    format!(
        "job_type: large\ndefaults: {{shell: [sh, -eu], timeout: 2h}}\ntasks:\n- task_type: make\n  script:\n  \
         - truncate -s {artifact}M big.bin\n  - echo end >>big.bin\n  artifacts: {{paths: [big.bin]}}\n\
         - task_type: check\n  dependencies: [make]\n  script:\n  - test $(stat -c %s big.bin) = {}\n  \
         - test \"$(tail -c 4 big.bin)\" = end\n- task_type: talk\n  script: [\"yes 'a line of a log' | head -c {log}M\"]\n",
        (artifact << 20) + 4
    )
}

#[test]
fn large_artifacts_and_logs_go_through_queen_and_ant_in_bounded_memory() {
    let (artifact, log) = (number("ATTA_ARTIFACT_MIB").unwrap_or(256), number("ATTA_LOG_MIB").unwrap_or(32));
    let queen = Queen::start();
    let ant = queen.ant("one", &["--slots", "2"]);
    // What both need anyway.
    assert_eq!(queen.run(&large(1, 1))["state"], "COMPLETED");
    let before = (peak_kib(queen.pid()), peak_kib(ant.pid()));
    let id = queen.submit(&large(artifact, log));
    let job = queen.finished_within(&id, std::time::Duration::from_hours(2));
    assert_eq!(job["state"], "COMPLETED", "{job:#}");
    let out = queen.scratch.path("downloaded");
    let done = queen.atta(&["artifacts", &id, "make", "-o", out.to_str().expect("the path is text")]);
    assert_eq!(done.code, 0, "{done:#?}");
    let size = fs::metadata(out.join("make/big.bin")).expect("it was downloaded").len();
    assert_eq!(size, (artifact << 20) + 4);
    let mut logs = queen.command(&["logs", &id, "talk"]).stdout(Stdio::piped()).spawn().expect("atta starts");
    let mut stdout = logs.stdout.take().expect("it is piped");
    let length = std::io::copy(&mut stdout, &mut std::io::sink()).expect("it can be read");
    assert!(logs.wait().expect("it ends").success());
    assert!(length >= log << 20, "{length} bytes of log");
    let after = (peak_kib(queen.pid()), peak_kib(ant.pid()));
    eprintln!("{artifact} MiB of artifact, {log} MiB of log: KiB of queen and ant {before:?} → {after:?}");
    assert!(after.0 - before.0 < GROWTH_KIB, "the queen grew: {before:?} → {after:?}");
    assert!(after.1 - before.1 < GROWTH_KIB, "the ant grew: {before:?} → {after:?}");
}

const ARTIFACT: &str = "job_type: some\ndefaults: {shell: [sh, -eu]}\ntasks:\n- task_type: make\n  script:\n  \
    - seq 1 3000000 >numbers; head -c 16777216 numbers >large.bin; rm numbers\n  - for n in 1 2 3 4 5 6; do echo $n >small$n; done\n  \
    artifacts: {paths: [large.bin, \"small*\"]}\n";

fn parts(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".atta-part")).collect()
}

#[test]
fn downloads_go_on_where_they_broke_off_also_in_a_later_command() {
    let mut queen = Queen::start();
    let ant = queen.ant("one", &[]);
    let job = queen.run(ARTIFACT);
    let id = job["job_id"].as_str().expect("an id").to_owned();
    let listed = queen.json(&["artifacts", &id, "make", "--json"]);
    let large =
        listed.as_array().expect("a list").iter().find(|file| file["name"] == "large.bin").expect("it is listed");
    let proxy = CuttingProxy::start(queen.address(), 7);
    let out = queen.scratch.path("out");
    let arguments = ["artifacts", &id, "make", "-o", out.to_str().expect("the path is text")];
    let fetch =
        |url: &str| Done::from(queen.command(&arguments).env("ATTA_SERVER", url).output().expect("atta starts"));
    // The proxy cuts after at most 6 MiB; the list of artifacts may be cut too.
    let mut commands = 0;
    wait_for("the download", || {
        commands += 1;
        (fetch(&proxy.url()).code == 0).then_some(())
    });
    assert!(proxy.cuts() > 0);
    assert_eq!(large["digest"], digest(&out.join("make/large.bin")));
    assert_eq!(fs::read_to_string(out.join("make/small6")).expect("it is there"), "6\n");
    assert_eq!(parts(&out.join("make")), [""; 0]);

    // A part that an earlier command has left, right or wrong, and one that is not of this content.
    let whole = fs::read(out.join("make/large.bin")).expect("it is there");
    let short = &large["digest"].as_str().expect("text")[..16];
    let part = out.join(format!("make/.large.bin.{short}.atta-part"));
    for (content, code) in [(&whole[..5_000_000], 0), (&whole[..], 0), (&b"something else"[..], 1)] {
        fs::remove_file(out.join("make/large.bin")).expect("it is there");
        fs::write(&part, content).expect("the directory is writable");
        let done = fetch(&queen.url);
        assert_eq!(done.code, code, "{done:#?}");
        assert!(!part.exists());
        if code == 1 {
            done.says(1, &["large.bin does not match its digest", "The same command fetches it anew."]);
            assert_eq!(fetch(&queen.url).code, 0);
        }
        assert_eq!(large["digest"], digest(&out.join("make/large.bin")));
    }

    // The server goes away in the middle.
    fs::remove_file(out.join("make/large.bin")).expect("it is there");
    let narrow = CuttingProxy::start_narrow(queen.address(), 2 << 20);
    let child = queen.command(&arguments).env("ATTA_SERVER", narrow.url()).stderr(Stdio::piped()).spawn();
    let child = child.expect("atta starts");
    wait_for("a part to come", || fs::metadata(&part).is_ok_and(|part| part.len() > 0).then_some(()));
    queen.kill();
    let done = Done::from(child.wait_with_output().expect("it ends"));
    done.says(3, &["the same command goes on with them", "of 16777216 bytes are in "]);
    let came = fs::metadata(&part).expect("it stays").len();
    assert!(came > 0 && came < 16_777_216, "{came}");
    queen.start_again();
    let again = queen.atta(&arguments);
    assert_eq!(again.code, 0, "{again:#?}");
    assert_eq!(large["digest"], digest(&out.join("make/large.bin")));
    assert_eq!(parts(&out.join("make")), [""; 0]);
    ant.stop_hard();
}

/// A connection into which little fits before somebody reads from it.
fn narrow(address: &str) -> TcpStream {
    let viewer = TcpStream::connect(address).expect("the server listens");
    setsockopt(&viewer, RcvBuf, &4096).expect("it can be narrow");
    viewer
}

#[test]
fn viewers_that_never_read_do_not_hold_up_a_task() {
    let scratch = Scratch::new();
    let path = path();
    let go = scratch.path("go");
    // Much more than the buffers of connections that nobody reads from.
    let yaml = format!(
        "job_type: loud\ndefaults: {{shell: [sh, -eu]}}\ntasks:\n- task_type: loud\n  script:\n  - echo begun\n  \
         - while [ ! -e {} ]; do sleep 0.02; done\n  - yes 'nobody reads this' | head -c 4194304\n  - echo over\n",
        go.display()
    );
    let file = scratch.write("loud.yaml", yaml);
    let server = LiveServer::start(scratch.root(), &path);
    let answer = server.json(&["submit", &file, "--json"]);
    let id = answer["job_id"].as_str().expect("an id").to_owned();
    wait_for("the task to begin", || {
        let log = server.client(&["logs", &id, "loud"]);
        String::from_utf8_lossy(&log.stdout).contains("begun").then_some(())
    });
    let address = server.url.trim_start_matches("http://").to_owned();
    let before = peak_kib(server.pid());
    let count = number("ATTA_VIEWERS").unwrap_or(24);
    let viewers: Vec<TcpStream> = (0..count)
        .map(|_| {
            let mut viewer = narrow(&address);
            let path = format!("/api/v1/jobs/{id}/attempts/1/log?follow=true");
            write!(viewer, "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n")
                .expect("it is taken");
            viewer
        })
        .collect();
    fs::write(&go, "").expect("the directory is writable");
    // Only a viewer that reads could make room if the task waited for viewers. Those who only ask may be told to come
    // again: so many viewers begin at once.
    let job = wait_for("the job to end", || {
        let shown = Done::from(server.client(&["jobs", "show", &id, "--json"]));
        (shown.code == 0).then(|| shown.json()).filter(|job| job["state"] != "RUNNING")
    });
    assert_eq!(job["state"], "COMPLETED", "{job:#}");
    let log = wait_for("the log", || Some(server.client(&["logs", &id, "loud"])).filter(|log| log.status.success()));
    assert!(log.stdout.len() > 4 << 20 && log.stdout.ends_with(b"over\n"), "{} bytes", log.stdout.len());
    let after = peak_kib(server.pid());
    // For each a piece of the log and what the connection takes in advance.
    assert!(after - before < GROWTH_KIB + count * 1024, "the server grew from {before} to {after} KiB");
    drop(viewers);
    server.stop();
}
