//! Ants on machines of their own: real processes, over TLS, with tokens.

pub(crate) mod cutting;
pub(crate) mod rig;

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::live_server::wait_for;
use cutting::CuttingProxy;
use rig::{Queen, Running, ant_of, digest};

const TWO_ANTS: &str = "job_type: two-ants
defaults: {shell: [sh, -eu]}
tasks:
- task_type: make
  tags: [alpha]
  script:
  - mkdir -p out && echo from-alpha >out/word.txt && echo made
  artifacts: {paths: [\"out/**\"]}
- task_type: use
  dependencies: [make]
  tags: [beta]
  script: [cat out/word.txt]
";

#[test]
fn jobs_run_on_the_ant_with_their_tags_and_artifacts_go_from_one_to_the_other() {
    let queen = Queen::start();
    let _alpha = queen.ant("one", &["--tags", "alpha"]);
    let _beta = queen.ant("two", &["--tags", "beta"]);
    let job = queen.run(TWO_ANTS);
    assert_eq!(job["state"], "COMPLETED", "{job:#}");
    assert_eq!((ant_of(&job, "make"), ant_of(&job, "use")), ("one".to_owned(), "two".to_owned()));
    let id = job["job_id"].as_str().expect("a job has an id");
    let logs = queen.atta(&["logs", id, "use"]);
    assert!(logs.stdout.contains("from-alpha"), "{logs:#?}");
}

#[test]
fn a_log_is_followed_while_its_task_runs_elsewhere() {
    let queen = Queen::start();
    let _ant = queen.ant("one", &[]);
    let go = queen.scratch.path("go");
    let id = queen.submit(&format!(
        "job_type: slow\ntasks:\n- task_type: slow\n  script:\n  - echo begun\n  - while [ ! -e {} ]; do sleep 0.05; done\n  - echo over\n",
        go.display()
    ));
    let seen = queen.scratch.path("followed");
    let file = fs::File::create(&seen).expect("the directory is writable");
    let mut follower = Running::new(queen.command(&["logs", &id, "-f"]).stdout(file).spawn().expect("atta starts"));
    let read = || fs::read_to_string(&seen).unwrap_or_default();
    wait_for("the first line", || read().contains("begun").then_some(()));
    assert!(!read().contains("over"));
    fs::write(&go, "").expect("the directory is writable");
    assert!(follower.wait().success());
    assert!(read().contains("over"));
}

/// 64 MiB in one file, 32 MiB of log; the same bytes in every run.
const LARGE: &str = r#"job_type: large
tasks:
- task_type: make
  timeout: 10m
  script:
  - seq 1 9000000 >numbers
  - head -c 67108864 numbers >large.bin
  - rm numbers
  - cksum <large.bin >sum.txt
  artifacts: {paths: [large.bin, sum.txt]}
- task_type: check
  dependencies: [make]
  script:
  - test "$(cksum <large.bin)" = "$(cat sum.txt)"
- task_type: talk
  timeout: 10m
  script: [seq 10000000 13728270 >numbers, head -c 33554432 numbers]
"#;

fn check_large(queen: &Queen, job: &Value) {
    assert_eq!(job["state"], "COMPLETED", "{job:#}");
    let id = job["job_id"].as_str().expect("a job has an id");
    let log = queen.command(&["logs", id, "talk"]).output().expect("atta starts");
    let mut expected = Vec::with_capacity(34 << 20);
    for number in 10_000_000_u32.. {
        if expected.len() >= 33_554_432 {
            break;
        }
        expected.extend_from_slice(format!("{number}\n").as_bytes());
    }
    expected.truncate(33_554_432);
    // The command adds a line end to a log without one.
    let shown = log.stdout.strip_suffix(b"\n").unwrap_or(&log.stdout);
    let wanted = expected.strip_suffix(b"\n").unwrap_or(&expected);
    assert!(shown == wanted, "{} bytes came instead of {}", shown.len(), wanted.len());
    let out = queen.scratch.path("downloaded");
    let done = queen.atta(&["artifacts", id, "make", "-o", out.to_str().expect("the path is text")]);
    assert_eq!(done.code, 0, "{done:#?}");
    assert_eq!(fs::metadata(out.join("make/large.bin")).expect("it was downloaded").len(), 64 << 20);
    let listed = queen.json(&["artifacts", id, "make", "--json"]);
    let listed = listed.as_array().expect("a list").iter().find(|file| file["name"] == "large.bin");
    assert_eq!(listed.expect("it is listed")["digest"], digest(&out.join("make/large.bin")));
}

#[test]
fn large_artifacts_and_logs_arrive_byte_for_byte() {
    let queen = Queen::start();
    let _one = queen.ant("one", &["--slots", "2"]);
    let job = queen.run(LARGE);
    check_large(&queen, &job);
}

#[test]
fn connections_that_are_cut_lose_and_double_nothing() {
    let queen = Queen::start();
    let proxy = CuttingProxy::start(queen.address(), 0x5eed);
    let _one = queen.ant_at(&proxy.url(), "one", &["--slots", "2"]);
    let job = queen.run(LARGE);
    check_large(&queen, &job);
    for task in ["make", "check", "talk"] {
        let task = crate::scratch::task(&job, task);
        assert_eq!(task["attempts"], 1, "{task:#}");
    }
    // Many short jobs: each command ran once.
    let ran = queen.scratch.path("ran");
    let source = format!(
        "job_type: many\nparams: {{N: {{type: integer, required: true}}}}\ntasks:\n- task_type: run\n  script:\n  - echo {{{{ N }}}} >>{}\n",
        ran.display()
    );
    let file = queen.scratch.write("many.yaml", source);
    assert_eq!(queen.atta(&["definitions", "upload", &file]).code, 0);
    let ids: Vec<String> = (0..40)
        .map(|n| {
            let answer = queen.json(&["submit", "many", "-p", &format!("N={n}"), "--json"]);
            answer["job_id"].as_str().expect("a job has an id").to_owned()
        })
        .collect();
    for id in &ids {
        assert_eq!(queen.finished(id)["state"], "COMPLETED");
    }
    let mut numbers: Vec<u32> =
        fs::read_to_string(&ran).expect("commands ran").lines().map(|line| line.parse().expect("a number")).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..40).collect::<Vec<_>>());
    assert!(proxy.cuts() > 0, "the proxy has cut nothing");
}

#[test]
fn a_revoked_token_ends_the_ants_access_and_a_new_one_lets_it_go_on() {
    let queen = Queen::start();
    let ant = queen.ant("one", &[]);
    assert_eq!(queen.run("job_type: first\ntasks:\n- task_type: a\n  script: [\"true\"]\n")["state"], "COMPLETED");
    assert_eq!(queen.atta(&["token", "revoke", "one"]).code, 0);
    let id = queen.submit("job_type: second\ntasks:\n- task_type: a\n  script: [\"true\"]\n");
    wait_for("the ant to be told", || ant.log().contains("does not let this ant in").then_some(()));
    assert_ne!(queen.job(&id)["state"], "COMPLETED");
    ant.stop_hard();
    let _again = queen.ant("one", &[]);
    assert_eq!(queen.finished(&id)["state"], "COMPLETED");
}

#[test]
fn an_ant_goes_on_and_delivers_when_its_queen_was_killed_and_started_again() {
    let mut queen = Queen::start();
    let ant = queen.ant("one", &[]);
    let (go, ran) = (queen.scratch.path("go"), queen.scratch.path("ran"));
    let id = queen.submit(&format!(
        "job_type: long\ntasks:\n- task_type: long\n  script:\n  - echo $$ >>{ran}\n  - echo before\n  - while [ ! -e {go} ]; do sleep 0.05; done\n  - echo after\n",
        ran = ran.display(),
        go = go.display()
    ));
    wait_for("the command to run", || fs::read_to_string(&ran).ok().filter(|text| text.ends_with('\n')));
    queen.kill();
    fs::write(&go, "").expect("the directory is writable");
    queen.start_again();
    let job = queen.finished(&id);
    assert_eq!(job["state"], "COMPLETED", "{job:#}\n{}", ant.log());
    assert_eq!(fs::read_to_string(&ran).expect("it ran").lines().count(), 1, "it ran once");
    let logs = queen.atta(&["logs", &id, "long"]);
    assert_eq!(logs.stdout.matches("before").count(), 1, "{logs:#?}");
    assert_eq!(logs.stdout.matches("after").count(), 1, "{logs:#?}");
}

#[test]
fn sigterm_lets_an_ant_finish_what_it_has() {
    let queen = Queen::start();
    let ant = queen.ant("one", &[]);
    let (go, began) = (queen.scratch.path("go"), queen.scratch.path("began"));
    let id = queen.submit(&format!(
        "job_type: long\ntasks:\n- task_type: long\n  script:\n  - touch {}\n  - while [ ! -e {} ]; do sleep 0.05; done\n",
        began.display(),
        go.display()
    ));
    wait_for("the command to run", || began.exists().then_some(()));
    ant.signal(nix::sys::signal::Signal::SIGTERM);
    wait_for("the ant to drain", || ant.log().contains("finishing what runs").then_some(()));
    fs::write(&go, "").expect("the directory is writable");
    assert!(ant.wait().success());
    assert_eq!(queen.finished(&id)["state"], "COMPLETED");
}

#[test]
fn an_ant_that_is_not_let_in_says_why() {
    let queen = Queen::start();
    let data = queen.scratch.path("nobody");
    let data = data.to_str().expect("the path is text");
    let ant = |extra: &[&str], variables: &[(&str, &str)]| {
        let mut command = queen.scratch.command(&["ant", "--queen", &queen.url, "--data-dir", data]);
        command.args(extra).envs(variables.iter().copied());
        crate::scratch::Done::from(command.output().expect("atta starts"))
    };
    let print = queen.fingerprint.clone();
    ant(&[], &[("ATTA_QUEEN_FINGERPRINT", &print)]).says(
        4,
        &["The queen does not let this ant in: this server answers only requests with a token", "--token-file"],
    );
    let admin = queen.token_file.to_str().expect("the path is text").to_owned();
    ant(&["--token-file", &admin, "--queen-fingerprint", &print], &[])
        .says(4, &["this needs the role ant, and the token root has the role admin"]);
    let half = queen.scratch.write("half", "atta_ant_0123");
    ant(&["--token-file", &half, "--queen-fingerprint", &print], &[]).says(4, &["is not a whole token of Atta"]);
    let other = format!("sha256:{}", "0".repeat(64));
    ant(&["--token-file", &admin, "--queen-fingerprint", &other], &[])
        .says(4, &["the server shows the certificate sha256:", "and sha256:0000", "prints its fingerprint"]);
    ant(&["--token-file", "/nowhere/token"], &[]).says(2, &["The token cannot be read from /nowhere/token"]);
    let empty = queen.scratch.write("empty", "\n");
    ant(&["--token-file", &empty], &[]).says(2, &["holds no token"]);
    // A client that does not know the server's certificate does not talk to it.
    let stranger = queen.scratch.command(&["jobs", "--server", &queen.url, "--queen-fingerprint", &other]);
    crate::scratch::Done::from({ stranger }.output().expect("atta starts")).says(4, &["is another server"]);
}

#[test]
fn clients_and_ants_trust_the_certificates_of_a_file() {
    let queen = Queen::start();
    let made = fs::read_to_string(queen.scratch.path("data").join("tls.pem")).expect("the certificate was made");
    let (certificate, _key) = made.split_once("-----BEGIN PRIVATE").expect("it lies beside its key");
    let trusted = queen.scratch.write("trusted.pem", certificate);
    let jobs = |arguments: &[&str]| {
        let mut command = queen.scratch.command(&["jobs", "--server", &queen.url, "--token-file"]);
        command.arg(&queen.token_file).args(arguments);
        crate::scratch::Done::from(command.output().expect("atta starts"))
    };
    assert_eq!(jobs(&["--ca-file", &trusted]).code, 0);
    jobs(&[]).says(4, &["The certificate of https://127.0.0.1:", "is not trusted", "--ca-file"]);
    let empty = queen.scratch.write("empty.pem", "nothing");
    jobs(&["--ca-file", &empty]).says(2, &["empty.pem holds no certificates in PEM form"]);
    jobs(&["--ca-file", "/nowhere/ca.pem"]).says(2, &["The certificates cannot be read from /nowhere/ca.pem"]);

    let ant = queen.ant_that_trusts("one", &trusted);
    let job = queen.run("job_type: one\ntasks:\n- task_type: one\n  script: [echo done]\n");
    assert_eq!((&job["state"], ant_of(&job, "one")), (&"COMPLETED".into(), "one".to_owned()), "{}", ant.log());
}

#[test]
fn an_ant_waits_for_a_queen_that_is_not_there_yet_and_says_so_once() {
    let mut queen = Queen::start();
    queen.kill();
    let ant = queen.ant_without_waiting("one", &[]);
    wait_for("the ant to say it", || ant.log().contains("cannot be reached").then_some(()));
    std::thread::sleep(Duration::from_millis(500));
    queen.start_again();
    let job = queen.run("job_type: late\ntasks:\n- task_type: a\n  script: [\"true\"]\n");
    assert_eq!(job["state"], "COMPLETED");
    assert!(ant.log().matches("cannot be reached").count() == 1, "{}", ant.log());
}
