//! Upgrades in place: what an earlier build wrote, and what it left running, under this one; and two builds that talk to
//! each other.
//!
//! `ATTA_PREVIOUS` names the binary of an earlier build; `make upgrade-test` builds one and sets it. Without it, what
//! needs one is not tested, and says so.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::live_server::{LiveServer, atta, path, processes_of, repository, wait_for};
use crate::remote::rig::{Queen, ant_of};
use crate::scratch::{Done, Scratch, task};

/// The earlier build, if there is one.
fn previous() -> Option<PathBuf> {
    let given = std::env::var_os("ATTA_PREVIOUS").map(PathBuf::from);
    assert!(
        given.as_ref().is_none_or(|path| path.is_file()),
        "ATTA_PREVIOUS is set, and there is no program: {given:?}"
    );
    if given.is_none() {
        eprintln!(
            "ATTA_PREVIOUS is not set, so nothing was tested here: `make upgrade-test` builds an earlier commit and sets it"
        );
    }
    given
}

fn stdout(server: &LiveServer, arguments: &[&str]) -> String {
    String::from_utf8_lossy(&server.client(arguments).stdout).into_owned()
}

#[test]
fn a_data_directory_of_an_earlier_build_goes_on_under_this_one() {
    let scratch = Scratch::new();
    let fixture = repository().join("cli/tests/fixtures/previous");
    let unpacked = Command::new("tar").arg("xzf").arg(fixture.join("data.tar.gz")).current_dir(scratch.root()).status();
    assert!(unpacked.expect("tar is there").success());
    let jobs = fs::read_to_string(fixture.join("jobs")).expect("it is there");
    let job = |name: &str| {
        let line = jobs.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is in {jobs}")).to_owned()
    };
    // Nobody can have rebooted into the machine on which it was made, but the test may run on that one.
    fs::write(scratch.path("data/ant/boot"), "another start").expect("the directory is writable");
    // What runs again goes on at once.
    fs::write(scratch.path("home/go"), "").expect("the directory is writable");
    let home = scratch.path("home").display().to_string();
    let server = LiveServer::start_with(scratch.root(), &path(), &[("HOME", &home)]);
    let state = |name: &str| server.job(&job(name))["state"].as_str().expect("it has one").to_owned();
    for (name, expected) in [
        ("completed", "COMPLETED"),
        ("failed", "FAILED"),
        ("rejected", "FAILED"),
        ("waiting", "WAITING"),
        ("cancelled", "CANCELLED"),
        ("paused", "PAUSED"),
    ] {
        assert_eq!(state(name), expected, "{name}");
    }
    // What was running is told apart, and tried again: its shim is gone.
    let attempts = |name: &str, task_type: &str| {
        let ended = server.finished(&job(name));
        assert_eq!(ended["state"], "COMPLETED", "{ended:#}");
        task(&ended, task_type)["attempt_list"].as_array().expect("it has attempts").clone()
    };
    let restarted = "the machine was started anew while it ran";
    let running = attempts("running", "run");
    assert_eq!((running.len(), &running[0]["result"]), (2, &Value::from("LOST")), "{running:#?}");
    assert_eq!(running[0]["error"]["message"], restarted);
    // What had ended is brought to its end, on the machine where it ran; another one does not believe what it finds.
    let left = attempts("left", "end");
    if left.len() == 1 {
        assert_eq!(left[0]["exit_code"], 7, "{left:#?}");
        assert_eq!(stdout(&server, &["logs", &job("left"), "end"]), "before\nafter\n");
    } else {
        assert_eq!((left.len(), &left[0]["result"]), (2, &Value::from("LOST")), "{left:#?}");
        assert_eq!(left[0]["error"]["message"], restarted);
    }
    assert_eq!(task(&server.job(&job("left")), "end")["outputs"]["got"], "all");
    // Logs, artifacts, outputs, secrets and votes of before.
    let made = stdout(&server, &["logs", &job("completed"), "make"]);
    assert!(made.starts_with("making\n1\n2\n") && made.ends_with("\n2999\n3000\n"), "{} bytes", made.len());
    let out = scratch.path("out");
    let fetched = server.client(&["artifacts", &job("completed"), "make", "-o", out.to_str().expect("text")]);
    assert!(fetched.status.success(), "{fetched:?}");
    assert_eq!(fs::read_to_string(out.join("make/file")).expect("it was fetched"), "kept\n");
    assert_eq!(task(&server.job(&job("completed")), "make")["outputs"]["out"], "made");
    assert!(stdout(&server, &["logs", &job("running"), "run", "--attempt", "1"]).starts_with("begun\n"));
    // What ants were told was not kept then.
    let command = server.client(&["jobs", "command", &job("completed"), "1"]);
    let said = String::from_utf8_lossy(&command.stderr).into_owned();
    assert!(said.contains("in attempt 1 is not kept: an earlier version of the server gave it out"), "{said}");
    let uses = server.json(&["submit", "uses", "--json"]);
    let uses = server.finished(uses["job_id"].as_str().expect("an id"));
    assert_eq!(uses["state"], "COMPLETED", "{uses:#}");
    assert!(server.client(&["approve", &job("waiting")]).status.success());
    assert_eq!(server.finished(&job("waiting"))["state"], "COMPLETED");
    let again = server.client(&["retry", &job("failed")]);
    assert!(again.status.success(), "{again:?}");
    assert_eq!(server.finished(&job("failed"))["state"], "FAILED");
    assert!(server.client(&["resume", &job("paused")]).status.success());
    for name in ["queued", "paused"] {
        assert!(server.client(&["cancel", &job(name)]).status.success());
        assert_eq!(server.finished(&job(name))["state"], "CANCELLED");
    }
    server.stop();
    let left: Vec<_> = fs::read_dir(scratch.path("data/ant/attempts")).into_iter().flatten().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Waits for `go`, then ends with 3; says its process id at both ends.
fn gated(scratch: &Scratch) -> String {
    let (side, go) = (scratch.path("side"), scratch.path("go"));
    format!(
        "job_type: gated\ndefaults: {{shell: [sh, -eu]}}\ntasks:\n- task_type: run\n  script:\n  - echo \"begin $$\" >>{side}\n  \
         - seq 1 2000\n  - while [ ! -e {go} ]; do sleep 0.02; done\n  - seq 2001 4000\n  - echo kept >file\n  \
         - echo said=yes >>\"$ATTA_OUTPUT\"\n  - echo \"end $$\" >>{side}; exit 3\n  outputs: [said]\n  artifacts: {{paths: [file]}}\n  \
         on_exit_code: {{3: COMPLETED}}\n  after_script: [echo afterwards]\n\
         - task_type: use\n  dependencies: [run]\n  script: ['[ \"$(cat file)\" = kept ]']\n",
        side = side.display(),
        go = go.display()
    )
}

/// That the gated command ran once, as one process, with a whole log.
fn check_gated(scratch: &Scratch, job: &Value, log: &str) {
    assert_eq!(job["state"], "COMPLETED", "{job:#}");
    assert_eq!(task(job, "run")["attempts"], 1, "{job:#}");
    assert_eq!(task(job, "run")["outputs"]["said"], "yes", "{job:#}");
    let side = scratch.read("side");
    let words: Vec<&str> = side.split_whitespace().collect();
    assert!(matches!(words[..], ["begin", began, "end", ended] if began == ended), "{side}");
    let counted = (1..=4000).map(|number| number.to_string());
    let lines: Vec<String> = counted.chain(["afterwards".to_owned()]).collect();
    assert_eq!(log, lines.join("\n") + "\n");
}

fn begun(scratch: &Scratch) {
    wait_for("the command to begin", || scratch.read("side").contains('\n').then_some(()));
}

#[test]
fn a_server_that_hands_over_ends_at_once_and_the_next_one_goes_on() {
    let scratch = Scratch::new();
    let file = scratch.write("job.yaml", gated(&scratch));
    let server = LiveServer::start_as(atta(), scratch.root(), &["--hand-over"]);
    let id = server.json(&["submit", &file, "--json"])["job_id"].as_str().expect("an id").to_owned();
    begun(&scratch);
    // It ends although the command does not.
    server.stop();
    assert!(scratch.read("server.log").contains("what runs goes on; the next start takes it up"));
    assert!(processes_of(scratch.root()).iter().any(|process| process.contains("sh")), "the command still runs");
    let server = LiveServer::start_as(atta(), scratch.root(), &["--hand-over"]);
    fs::write(scratch.path("go"), "").expect("the directory is writable");
    let job = server.finished(&id);
    check_gated(&scratch, &job, &stdout(&server, &["logs", &id, "run", "--stream", "stdout"]));
    server.stop();
}

#[test]
fn an_ant_that_hands_over_ends_at_once_and_the_next_one_goes_on() {
    let queen = Queen::start();
    let ant = queen.ant("one", &["--hand-over"]);
    let id = queen.submit(&gated(&queen.scratch));
    begun(&queen.scratch);
    ant.signal(Signal::SIGTERM);
    assert!(ant.wait().success());
    let _again = queen.ant_again(atta(), &queen.url, "one", &[]);
    fs::write(queen.scratch.path("go"), "").expect("the directory is writable");
    let job = queen.finished(&id);
    check_gated(&queen.scratch, &job, &queen.atta(&["logs", &id, "run", "--stream", "stdout"]).stdout);
}

#[test]
fn commands_that_an_earlier_build_runs_go_on_under_this_one() {
    let Some(previous) = previous() else { return };
    for alone in [false, true] {
        let scratch = Scratch::new();
        let file = scratch.write("job.yaml", gated(&scratch));
        let server = LiveServer::start_as(&previous, scratch.root(), &[]);
        let id = server.json(&["submit", &file, "--json"])["job_id"].as_str().expect("an id").to_owned();
        begun(&scratch);
        let log = || stdout(&server, &["logs", &id, "run"]);
        wait_for("the first lines to be stored", || log().contains("\n2000\n").then_some(()));
        server.kill();
        if alone {
            // It ends while nobody is there.
            fs::write(scratch.path("go"), "").expect("the directory is writable");
            wait_for("its end", || scratch.read("side").contains("end").then_some(()));
        }
        let server = LiveServer::start_as(atta(), scratch.root(), &[]);
        fs::write(scratch.path("go"), "").expect("the directory is writable");
        let job = server.finished(&id);
        check_gated(&scratch, &job, &stdout(&server, &["logs", &id, "run", "--stream", "stdout"]));
        server.stop();
        // There is a way back as long as the schema is the same; if it is not, the earlier build says so and does nothing.
        let mut back = scratch.command_of(&previous, &["serve", "--listen", "127.0.0.1:0", "--slots", "0"]);
        back.arg("--data-dir").arg(scratch.path("data"));
        let mut back =
            back.stderr(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().expect("it starts");
        let started = wait_for("the earlier build to start or refuse", || {
            if back.try_wait().expect("it can be asked").is_some() {
                return Some(false);
            }
            let log = fs::read_to_string(scratch.path("data/server.lock")).unwrap_or_default();
            (log.trim() == back.id().to_string()).then_some(true)
        });
        if started {
            std::thread::sleep(std::time::Duration::from_millis(500));
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(i32::try_from(back.id()).expect("a pid")),
                Signal::SIGTERM,
            );
        }
        let done = Done::from(back.wait_with_output().expect("it ends"));
        assert!(done.code == 0 || done.stderr.contains("use a newer atta"), "{done:#?}");
    }
}

const BOTH: &str = "job_type: both\ndefaults: {shell: [sh, -eu]}\ntasks:\n- task_type: make\n  script:\n  \
    - seq 1 200000 >numbers; echo small >small\n  - seq 1 20000\n  artifacts: {paths: [numbers, small]}\n\
    - task_type: use\n  dependencies: [make]\n  script:\n  - '[ \"$(tail -n 1 numbers)$(cat small)\" = 200000small ]'\n  - exit 4\n  \
    on_exit_code: {4: COMPLETED}\n";

#[test]
fn neighbouring_builds_of_server_and_ant_work_together() {
    let Some(previous) = previous() else { return };
    for (server, ant) in [(previous.as_path(), atta()), (atta(), previous.as_path())] {
        let mut queen = Queen::start_program(server);
        let first = queen.ant("one", &[]);
        first.stop_hard();
        let one = queen.ant_again(ant, &queen.url, "one", &["--slots", "2"]);
        let job = queen.run(BOTH);
        assert_eq!(job["state"], "COMPLETED", "{job:#}");
        assert_eq!(ant_of(&job, "use"), "one");
        let id = job["job_id"].as_str().expect("an id").to_owned();
        let log = queen.atta(&["logs", &id, "make"]).stdout;
        assert!(log.starts_with("1\n2\n") && log.ends_with("19999\n20000\n"), "{} bytes", log.len());
        let out = queen.scratch.path("out");
        assert_eq!(queen.atta(&["artifacts", &id, "make", "-o", out.to_str().expect("text")]).code, 0);
        assert_eq!(fs::read_to_string(out.join("make/small")).expect("it was fetched"), "small\n");
        let sleeper = queen.submit("job_type: sleeper\ntasks: [{task_type: sleep, script: [echo up, sleep 1000]}]\n");
        wait_for("it to run", || queen.atta(&["logs", &sleeper, "sleep"]).stdout.contains("up").then_some(()));
        assert_eq!(queen.atta(&["cancel", &sleeper]).code, 0);
        assert_eq!(queen.finished(&sleeper)["state"], "CANCELLED");
        // The other half follows while a command runs: first the server, then the ant.
        let id = queen.submit(&gated(&queen.scratch));
        begun(&queen.scratch);
        if server != atta() {
            queen.kill();
            queen.start_again_as(atta());
        }
        one.kill();
        let _two = queen.ant_again(atta(), &queen.url, "one", &[]);
        fs::write(queen.scratch.path("go"), "").expect("the directory is writable");
        let job = queen.finished(&id);
        check_gated(&queen.scratch, &job, &queen.atta(&["logs", &id, "run", "--stream", "stdout"]).stdout);
    }
}

#[test]
fn a_server_that_hands_over_waits_for_the_answer_to_a_request_under_way() {
    let scratch = Scratch::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback can be listened on");
    let address = listener.local_addr().expect("it has an address");
    let yaml = format!("job_type: asks\ntasks:\n- {{task_type: ask, method: HTTP_GET, url: \"http://{address}/\"}}\n");
    let file = scratch.write("job.yaml", yaml);
    let server = LiveServer::start_as(atta(), scratch.root(), &["--hand-over", "--http-private", "allow"]);
    let id = server.json(&["submit", &file, "--json"])["job_id"].as_str().expect("an id").to_owned();
    let (mut request, _) = listener.accept().expect("the task asks");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_for("the server to be asked to end", || {
                scratch.read("server.log").contains("what runs goes on").then_some(())
            });
            let mut asked = [0; 1024];
            let _ = request.read(&mut asked).expect("it has asked");
            request
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
                .expect("it listens");
        });
        server.stop();
    });
    let server = LiveServer::start_as(atta(), scratch.root(), &[]);
    let job = server.finished(&id);
    assert_eq!((&job["state"], &task(&job, "ask")["attempts"]), (&"COMPLETED".into(), &1.into()), "{job:#}");
    server.stop();
}
