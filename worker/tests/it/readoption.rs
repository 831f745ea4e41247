//! What runs survives the death of its ant: the next one takes it up.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use atta_core::definition::{ArtifactsWhen, OutputSource, OutputSpec, ParamType, Span};
use atta_core::engine::{AttemptResult, ResultName};
use atta_core::protocol::AttemptId;
use atta_core::protocol::ant::{ArtifactFile, ArtifactInput, ArtifactRules, LogStream, Orders, RenderedScript};
use atta_core::secret::{SecretText, SecretValue};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Launchers, tests};
use crate::scene::{Options, Scene};
use crate::world::{eventually, marked_processes, shell};

tests![
    a_running_command_survives_its_ant,
    what_ends_without_an_ant_keeps_its_exit_code_outputs_and_artifacts,
    an_end_that_was_not_heard_is_reported_by_the_next_ant,
    artifacts_that_were_being_stored_are_stored_by_the_next_ant,
    an_after_script_survives_and_knows_the_result,
    what_was_not_begun_is_given_again_and_runs_once,
    ten_deaths_during_one_task_leave_no_trace_in_its_log,
    a_hundred_megabytes_arrive_once,
    secrets_are_redacted_across_the_cut,
    a_stop_survives_with_its_reason,
    a_shim_that_was_killed_meanwhile_is_a_lost_attempt,
    a_dead_launcher_changes_nothing,
    a_stopped_shim_is_woken,
    after_a_restart_of_the_machine_everything_is_lost_with_that_reason,
    without_its_key_an_ant_knows_nothing_and_leaves_nothing,
    handing_over_is_a_death_in_order,
    no_secret_is_written_to_the_data_directory,
    signs_of_life_come_while_the_log_is_stuck,
    output_beyond_the_bound_is_left_out_while_the_queen_is_away,
    output_beyond_the_bound_is_left_out_while_no_ant_is_there,
    outputs_that_may_have_been_left_out_are_no_success,
];

/// How often a command noted something.
fn count(path: &Path) -> usize {
    fs::read_to_string(path).unwrap_or_default().lines().count()
}

fn spec(name: &str, source: OutputSource) -> OutputSpec {
    OutputSpec {
        name: name.to_owned(),
        source,
        json_path: None,
        output_type: Some(ParamType::String),
        schema: None,
        span: Span::default(),
    }
}

fn go(scene: &Scene, id: &AttemptId) {
    fs::write(scene.root(id).join("work/go"), "").unwrap();
}

const UNTIL_GO: &str = "while [ ! -e go ]; do sleep 0.01; done";

async fn a_running_command_survives_its_ant(_: Launchers) {
    for subreaper in [false, true] {
        let options = Options { subreaper, ..Options::default() };
        let mut scene = Scene::new();
        scene.start(&options).await;
        let begun = scene.beside("begun");
        let script = format!(
            "echo $$ >> {}; echo one; (setsid sleep 1000 &); {UNTIL_GO}; echo $$ > pid; echo two >&2; exit 7",
            begun.display()
        );
        let id = scene.begin(scene.assignment(&script));
        scene.queen.log_has(&id, "one\n").await;
        let isolation = scene.queen.until("its start is known", |all| all.get(&id)?.isolation.clone()).await;
        scene.kill();
        scene.start(&options).await;
        let roster = scene.queen.rosters.lock().unwrap().last().cloned().unwrap();
        assert_eq!(roster.held.len(), 1, "{roster:?}");
        assert_eq!((roster.held[0].attempt_id.clone(), roster.held[0].token, roster.lost.len()), (id.clone(), 7, 0));
        go(&scene, &id);
        let done = scene.queen.done(&id).await;
        assert_eq!((done.result(), done.log.as_str()), (AttemptResult::Exit(7), "one\ntwo\n"));
        assert_eq!(done.sequences, [1, 2]);
        assert_eq!(done.isolation, Some(isolation));
        assert_eq!(count(&begun), 1);
        scene.end().await;
    }
}

async fn what_ends_without_an_ant_keeps_its_exit_code_outputs_and_artifacts(_: Launchers) {
    let mut scene = Scene::new();
    scene.start_plain().await;
    let script = format!(
        "echo begin; {UNTIL_GO}; echo '::set-output name=said::by line'; echo n=3 >> $ATTA_OUTPUT; echo kept > kept; \
         echo $$ > pid; printf 'no newline'; exit 4"
    );
    let mut assignment = scene.assignment(&script);
    assignment.outputs = vec![
        spec("said", OutputSource::OutputFile),
        spec("n", OutputSource::OutputFile),
        spec("all", OutputSource::Stdout),
    ];
    let paths = vec!["kept".to_owned()];
    assignment.artifacts = Some(ArtifactRules { paths, exclude: Vec::new(), when: ArtifactsWhen::Always });
    let id = scene.begin(assignment);
    scene.queen.log_has(&id, "begin\n").await;
    scene.kill();
    go(&scene, &id);
    eventually("its shim has ended", || scene.processes_named("atta-shim").is_empty()).await;
    assert!(scene.processes_named("atta-launcher").is_empty(), "the launcher ends with its last shim");
    scene.start_plain().await;
    let done = scene.queen.done(&id).await;
    assert_eq!(done.result(), AttemptResult::Exit(4), "{}", done.message());
    assert_eq!(done.log, "begin\n::set-output name=said::by line\nno newline");
    let outputs: Vec<_> =
        done.report.outputs.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
    assert!(outputs.contains(&("said", "by line")) && outputs.contains(&("n", "3")), "{outputs:?}");
    assert!(outputs.iter().any(|(name, value)| *name == "all" && value.starts_with("begin\n")), "{outputs:?}");
    assert_eq!(scene.queen.content(&done.report.artifacts[0].digest), b"kept\n");
    scene.end().await;
}

async fn an_end_that_was_not_heard_is_reported_by_the_next_ant(_: Launchers) {
    let mut scene = Scene::new();
    scene.start_plain().await;
    let begun = scene.beside("begun");
    let id = scene
        .begin(scene.assignment(&format!("echo x >> {}; echo out; {UNTIL_GO}; touch ended; exit 3", begun.display())));
    scene.queen.log_has(&id, "out\n").await;
    scene.queen.deaf.store(true, Ordering::SeqCst);
    go(&scene, &id);
    scene.file(&id, "ended").await;
    // Twice: the second ant does not come to report it either.
    scene.kill();
    scene.start_plain().await;
    scene.kill();
    scene.queen.deaf.store(false, Ordering::SeqCst);
    scene.start_plain().await;
    let done = scene.queen.done(&id).await;
    assert_eq!((done.result(), done.log.as_str()), (AttemptResult::Exit(3), "out\n"));
    assert_eq!((count(&begun), &done.sequences[..]), (1, &[1, 2][..]));
    scene.end().await;
}

async fn artifacts_that_were_being_stored_are_stored_by_the_next_ant(_: Launchers) {
    let mut scene = Scene::new();
    scene.queen.blobs_left.store(2, Ordering::SeqCst);
    scene.start_plain().await;
    let mut assignment = scene.assignment("for f in a b c d; do echo $f > $f; done; touch ended");
    let paths = vec!["[a-d]".to_owned()];
    assignment.artifacts = Some(ArtifactRules { paths, exclude: Vec::new(), when: ArtifactsWhen::Always });
    let id = scene.begin(assignment);
    let blobs = scene.directory.path().join("blobs");
    eventually("two are stored", || fs::read_dir(&blobs).unwrap().count() == 2).await;
    scene.kill();
    scene.queen.blobs_left.store(u64::MAX, Ordering::SeqCst);
    scene.start_plain().await;
    let done = scene.queen.done(&id).await;
    assert_eq!(done.result(), AttemptResult::Exit(0), "{}", done.message());
    let kept: Vec<_> =
        done.report.artifacts.iter().map(|file| (file.path.as_str(), scene.queen.content(&file.digest))).collect();
    assert_eq!(kept, ["a", "b", "c", "d"].map(|name| (name, format!("{name}\n").into_bytes())));
    scene.end().await;
}

async fn an_after_script_survives_and_knows_the_result(_: Launchers) {
    // The ant dies while it runs, and before that too, or while nobody is there it ends.
    for (early, ends_alone) in [(false, false), (true, false), (false, true)] {
        let mut scene = Scene::new();
        scene.start_plain().await;
        let begun = scene.beside("begun");
        let script =
            format!("echo main; while [ ! -e first ]; do sleep 0.01; done; echo m >> {}; exit 6", begun.display());
        let after = format!(
            "echo \"after $ATTA_RESULT/$ATTA_EXIT_CODE by ${{ATTA_PROGRAM##*/}}\"; echo a >> {}; touch up; {UNTIL_GO}; exit 2",
            begun.display()
        );
        let mut assignment = scene.assignment(&script);
        *shell(&mut assignment).2 = Some(RenderedScript { preamble: String::new(), text: after });
        let id = scene.begin(assignment);
        scene.queen.log_has(&id, "main\n").await;
        if early {
            scene.kill();
            fs::write(scene.root(&id).join("work/first"), "").unwrap();
            eventually("its shim has ended", || scene.processes_named("atta-shim").is_empty()).await;
            scene.start_plain().await;
        }
        fs::write(scene.root(&id).join("work/first"), "").unwrap();
        scene.file(&id, "up").await;
        scene.kill();
        if ends_alone {
            go(&scene, &id);
            eventually("its shim has ended", || scene.processes_named("atta-shim").is_empty()).await;
        }
        scene.start_plain().await;
        if !ends_alone {
            go(&scene, &id);
        }
        let done = scene.queen.done(&id).await;
        assert_eq!((done.result(), done.log.as_str()), (AttemptResult::Exit(6), "main\nafter FAILED/6 by sh\n"));
        assert_eq!(done.report.warnings, ["after_script exited with code 2; the result of the task stays as it is"]);
        assert_eq!(fs::read_to_string(&begun).unwrap(), "m\na\n");
        scene.end().await;
    }
}

async fn what_was_not_begun_is_given_again_and_runs_once(_: Launchers) {
    let mut scene = Scene::new();
    scene.queen.blobs_left.store(0, Ordering::SeqCst);
    scene.start_plain().await;
    let begun = scene.beside("begun");
    let mut assignment = scene.assignment(&format!("echo x >> {}; cat in", begun.display()));
    let digest = scene.queen.blob(b"input\n");
    let file = ArtifactFile { path: "in".to_owned(), digest, size: 6, executable: false };
    assignment.inputs = vec![ArtifactInput { task: "before".to_owned(), files: vec![file] }];
    let id = scene.begin(assignment);
    eventually("it is being prepared", || scene.root(&id).join("work").exists()).await;
    scene.kill();
    scene.queen.blobs_left.store(u64::MAX, Ordering::SeqCst);
    scene.start_plain().await;
    assert_eq!(scene.queen.rosters.lock().unwrap().last().unwrap().held, []);
    let done = scene.queen.done(&id).await;
    assert_eq!((done.log.as_str(), count(&begun)), ("input\n", 1));
    scene.end().await;
}

async fn ten_deaths_during_one_task_leave_no_trace_in_its_log(_: Launchers) {
    let mut scene = Scene::new();
    scene.start_plain().await;
    let begun = scene.beside("begun");
    let script = format!(
        "echo $$ >> {}; i=0; while [ ! -e go ]; do i=$((i+1)); echo \"line $i\"; [ $((i % 50)) != 0 ] || sleep 0.01; done; \
         echo \"last $i\"; echo $i > lines",
        begun.display()
    );
    let id = scene.begin(scene.assignment(&script));
    for n in 0..10_u64 {
        let before = scene.queen.until("it has begun", |all| Some(all.get(&id)?.log_bytes)).await;
        scene.queen.until("its log grows", |all| (all.get(&id)?.log_bytes > before).then_some(())).await;
        scene.kill();
        if n % 3 == 0 {
            tokio::time::sleep(Duration::from_millis(20 * n)).await;
        }
        scene.start_plain().await;
    }
    go(&scene, &id);
    let done = scene.queen.done(&id).await;
    assert_eq!(done.result(), AttemptResult::Exit(0), "{}", done.message());
    let lines = done.log.lines().count() - 1;
    let expected: String = (1..=lines).map(|i| format!("line {i}\n")).chain([format!("last {lines}\n")]).collect();
    assert!(done.log == expected, "{lines} lines");
    assert_eq!(count(&begun), 1);
    scene.end().await;
}

async fn a_hundred_megabytes_arrive_once(_: Launchers) {
    let mut scene = Scene::new();
    scene.start_plain().await;
    let id = scene.begin(scene.assignment("seq 1 13000000; printf end"));
    for step in 1..=4_u64 {
        scene.queen.until("more has come", |all| (all.get(&id)?.log_bytes > step * 15_000_000).then_some(())).await;
        scene.kill();
        scene.start_plain().await;
    }
    let done = scene.queen.done(&id).await;
    assert_eq!(done.result(), AttemptResult::Exit(0), "{}", done.message());
    let mut at = 0;
    let mut number = String::new();
    for n in 1..=13_000_000_u32 {
        number.clear();
        writeln!(number, "{n}").unwrap();
        assert!(done.raw_log[at..].starts_with(number.as_bytes()), "at {n}");
        at += number.len();
    }
    assert_eq!(&done.raw_log[at..], b"end");
    scene.end().await;
}

const SECRET: &str = "correct-horse-battery";

fn with_secret(assignment: &mut atta_core::protocol::ant::Assignment) {
    let value = SecretText::new(SECRET.to_owned());
    assignment.secrets.values = vec![SecretValue { name: "Token".to_owned(), value: value.clone() }];
    assignment.secrets.environment.insert("TOKEN".to_owned(), value);
}

async fn secrets_are_redacted_across_the_cut(_: Launchers) {
    let mut scene = Scene::new();
    scene.start_plain().await;
    // Long enough for a checkpoint that has half of the secret in it.
    let script = "seq 1 800000; printf \"x ${TOKEN%%-battery}\"; touch half; while [ ! -e go ]; do sleep 0.01; done; \
                  printf -- -battery; echo \" y $TOKEN\" >&2";
    let mut assignment = scene.assignment(script);
    with_secret(&mut assignment);
    let id = scene.begin(assignment);
    scene.file(&id, "half").await;
    scene.queen.log_has(&id, "\n800000\nx ").await;
    scene.kill();
    scene.start_plain().await;
    go(&scene, &id);
    let done = scene.queen.done(&id).await;
    assert!(done.log.ends_with("\n800000\nx *** y ***\n"), "{}", &done.log[done.log.len() - 60..]);
    let mut numbers = (1..=800_000).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "{n}");
        text
    });
    numbers.push_str("x *** y ***\n");
    assert!(done.log == numbers);
    scene.end().await;
}

async fn a_stop_survives_with_its_reason(_: Launchers) {
    let mut scene = Scene::new();
    scene.start_plain().await;
    let script =
        format!("trap 'echo asked; {UNTIL_GO}; echo tidy; exit 0' TERM; echo ready; while :; do sleep 0.01; done");
    let mut assignment = scene.assignment(&script);
    assignment.kill_grace = Duration::from_secs(1000);
    let id = scene.begin(assignment);
    scene.queen.log_has(&id, "ready\n").await;
    scene.stop(&id, "job was cancelled");
    scene.queen.log_has(&id, "asked\n").await;
    scene.kill();
    scene.start_plain().await;
    go(&scene, &id);
    let done = scene.queen.done(&id).await;
    assert_eq!(done.result(), AttemptResult::Named(ResultName::Cancelled));
    assert_eq!(done.message(), "was stopped: job was cancelled");
    for (line, times) in [("stopping: job was cancelled\n", 1), ("tidy\n", 1), ("was stopped: job was cancelled\n", 1)]
    {
        assert_eq!(done.log.matches(line).count(), times, "{line} in {}", done.log);
    }
    scene.end().await;
}

async fn lost(scene: &Scene, id: &AttemptId) -> String {
    let said = || scene.queen.lost.lock().unwrap().get(id).cloned();
    eventually("the ant has said that it is lost", || said().is_some()).await;
    // Until the queen has answered it tells the next ant.
    eventually("its directory is gone", || !scene.root(id).exists()).await;
    said().unwrap()
}

const KILLED: &str =
    "the process that watched over it was killed while no ant was there; its processes were killed too";

async fn a_shim_that_was_killed_meanwhile_is_a_lost_attempt(_: Launchers) {
    for (subreaper, launcher_too) in [(false, false), (true, false), (true, true)] {
        let options = Options { subreaper, ..Options::default() };
        let mut scene = Scene::new();
        scene.start(&options).await;
        let id = scene.begin(scene.assignment("(setsid sleep 1000 &); echo ready; touch up; sleep 1000"));
        scene.file(&id, "up").await;
        if launcher_too {
            for pid in scene.processes_named("atta-launcher") {
                kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
            }
        }
        scene.kill();
        for pid in scene.processes_named("atta-shim") {
            kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        }
        scene.start(&options).await;
        assert_eq!(lost(&scene, &id).await, KILLED);
        eventually("its directory is gone", || !scene.root(&id).exists()).await;
        eventually("the tree is gone", || scene.processes_named("sleep").is_empty()).await;
        scene.end().await;
    }
}

async fn a_dead_launcher_changes_nothing(_: Launchers) {
    let mut scene = Scene::new();
    scene.start_plain().await;
    let id = scene.begin(scene.assignment(&format!("echo one; {UNTIL_GO}; echo two")));
    scene.queen.log_has(&id, "one\n").await;
    for pid in scene.processes_named("atta-launcher") {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    scene.kill();
    scene.start_plain().await;
    go(&scene, &id);
    let done = scene.queen.done(&id).await;
    assert_eq!((done.result(), done.log.as_str()), (AttemptResult::Exit(0), "one\ntwo\n"));
    scene.end().await;
}

async fn a_stopped_shim_is_woken(_: Launchers) {
    let mut scene = Scene::new();
    scene.start_plain().await;
    let id = scene.begin(scene.assignment(&format!("echo one; {UNTIL_GO}; echo two")));
    scene.queen.log_has(&id, "one\n").await;
    for (name, signal) in [("atta-launcher", Signal::SIGKILL), ("atta-shim", Signal::SIGSTOP)] {
        for pid in scene.processes_named(name) {
            kill(Pid::from_raw(pid), signal).unwrap();
        }
    }
    scene.kill();
    scene.start_plain().await;
    go(&scene, &id);
    assert_eq!(scene.queen.done(&id).await.log, "one\ntwo\n");
    scene.end().await;
}

async fn after_a_restart_of_the_machine_everything_is_lost_with_that_reason(_: Launchers) {
    let boot = |id: &str| Options { boot_id: Some(id.to_owned()), ..Options::default() };
    let mut scene = Scene::new();
    scene.start(&boot("first")).await;
    let ended = scene.begin(scene.assignment(&format!("echo one; touch up; {UNTIL_GO}")));
    let killed = scene.begin(scene.assignment("touch up; sleep 1000"));
    scene.file(&ended, "up").await;
    scene.file(&killed, "up").await;
    scene.kill();
    go(&scene, &ended);
    eventually("one has ended", || scene.processes_named("atta-shim").len() == 1).await;
    for pid in marked_processes(scene.mark()) {
        // Whatever is left of the old machine.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    scene.start(&boot("second")).await;
    for id in [&ended, &killed] {
        assert_eq!(lost(&scene, id).await, "the machine was started anew while it ran");
        eventually("its directory is gone", || !scene.root(id).exists()).await;
    }
    scene.end().await;
}

async fn without_its_key_an_ant_knows_nothing_and_leaves_nothing(_: Launchers) {
    let mut scene = Scene::new();
    scene.start_plain().await;
    let id = scene.begin(scene.assignment("(setsid sleep 1000 &); touch up; sleep 1000"));
    scene.file(&id, "up").await;
    scene.kill();
    fs::remove_file(scene.data.join("ant/key")).unwrap();
    scene.start_plain().await;
    let reason = lost(&scene, &id).await;
    assert!(reason.contains("cannot be read (the ant's key was changed, or its version)"), "{reason}");
    eventually("the tree is gone", || scene.processes_named("sleep").is_empty()).await;
    scene.end().await;
}

async fn handing_over_is_a_death_in_order(_: Launchers) {
    let mut scene = Scene::new();
    scene.start_plain().await;
    let id = scene.begin(scene.assignment(&format!("echo one; {UNTIL_GO}; echo two")));
    scene.queen.log_has(&id, "one\n").await;
    scene.signal(Signal::SIGUSR1);
    scene.ended().await;
    assert_eq!(scene.processes_named("atta-shim").len(), 1);
    scene.start_plain().await;
    go(&scene, &id);
    assert_eq!(scene.queen.done(&id).await.log, "one\ntwo\n");
    scene.end().await;
}

async fn no_secret_is_written_to_the_data_directory(_: Launchers) {
    let mut scene = Scene::new();
    scene.start_plain().await;
    let mut assignment = scene.assignment(&format!("echo one; {UNTIL_GO}"));
    with_secret(&mut assignment);
    let id = scene.begin(assignment);
    scene.queen.log_has(&id, "one\n").await;
    scene.kill();
    go(&scene, &id);
    let left = scene.root(&id).join("left");
    eventually("its shim has left", || left.exists()).await;
    let mut files = 0;
    for entry in walkdir::WalkDir::new(&scene.data).into_iter().flatten().filter(|entry| entry.file_type().is_file()) {
        let content = fs::read(entry.path()).unwrap();
        assert!(!content.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()), "{}", entry.path().display());
        files += 1;
    }
    assert!(files > 3, "{files}");
    scene.start_plain().await;
    scene.queen.done(&id).await;
    scene.end().await;
}

async fn signs_of_life_come_while_the_log_is_stuck(_: Launchers) {
    let mut scene = Scene::new();
    scene.start_plain().await;
    let mut assignment =
        scene.assignment("touch up; while [ ! -e go ]; do head -c 1000000 /dev/zero | tr '\\0' x; done");
    assignment.lease = Duration::from_millis(60);
    let id = scene.begin(assignment);
    scene.file(&id, "up").await;
    scene.queen.until("its log grows", |all| (all.get(&id)?.log_bytes > 0).then_some(())).await;
    scene.queen.away.store(true, Ordering::SeqCst);
    let before = scene.queen.heartbeats.load(Ordering::SeqCst);
    eventually("signs of life go on", || scene.queen.heartbeats.load(Ordering::SeqCst) > before + 5).await;
    go(&scene, &id);
    scene.queen.away.store(false, Ordering::SeqCst);
    let done = scene.queen.done(&id).await;
    assert!(done.segments.iter().all(|segment| segment.stream == LogStream::Stdout));
    scene.queen.order(Orders::default());
    scene.end().await;
}

/// Lines that say their numbers, more than the bound has room for; then a last one.
const MUCH: &str = "touch up; while [ ! -e go ]; do sleep 0.01; done; seq -f 'line %09.0f' 1 3000000; touch written; \
                    while [ ! -e back ]; do sleep 0.01; done; echo last";

/// The log has its beginning, one mark where something is missing, and whole lines after it. What comes right after the
/// queen was heard of again may still be left out: then it is counted.
fn assert_thinned(log: &str) {
    assert!(log.starts_with("line 000000001\nline 000000002\n"), "{}", &log[..100]);
    // Before the shim hears that the queen is away, it has another bound.
    assert!(log.len() < 18_000_000, "{}", log.len());
    let marks: Vec<&str> = log.lines().filter(|line| line.contains("bytes of output were left out here")).collect();
    assert_eq!(marks.len(), 1, "{marks:?}");
    let (before, after) = log.split_once('\u{2026}').unwrap();
    let left_out: usize = after.trim_start().split(' ').next().unwrap().parse().unwrap();
    let after = after.split_once('\n').unwrap().1;
    assert_eq!(before.len() + left_out + after.len(), 3_000_000 * 15 + 5, "every byte is there or counted");
    assert!(after.is_empty() || after.ends_with("last\n"));
    assert!(after.lines().all(|line| line == "last" || line.len() == 14));
}

async fn output_beyond_the_bound_is_left_out_while_the_queen_is_away(_: Launchers) {
    let mut scene = Scene::new();
    scene.start(&Options { spool_limit: Some(1 << 20), ..Options::default() }).await;
    let id = scene.begin(scene.assignment(&format!("echo ready; {MUCH}")));
    scene.queen.log_has(&id, "ready\n").await;
    scene.queen.away.store(true, Ordering::SeqCst);
    go(&scene, &id);
    // The program does not wait.
    scene.file(&id, "written").await;
    scene.queen.away.store(false, Ordering::SeqCst);
    fs::write(scene.root(&id).join("work/back"), "").unwrap();
    let done = scene.queen.done(&id).await;
    assert_eq!(done.result(), AttemptResult::Exit(0), "{}", done.message());
    assert_thinned(done.log.strip_prefix("ready\n").unwrap());
    scene.end().await;
}

async fn output_beyond_the_bound_is_left_out_while_no_ant_is_there(_: Launchers) {
    let options = Options { spool_limit: Some(1 << 20), ..Options::default() };
    let mut scene = Scene::new();
    scene.start(&options).await;
    let id = scene.begin(scene.assignment(MUCH));
    scene.file(&id, "up").await;
    scene.kill();
    go(&scene, &id);
    scene.file(&id, "written").await;
    scene.start(&options).await;
    fs::write(scene.root(&id).join("work/back"), "").unwrap();
    let done = scene.queen.done(&id).await;
    assert_eq!(done.result(), AttemptResult::Exit(0), "{}", done.message());
    assert_thinned(&done.log);
    scene.end().await;
}

async fn outputs_that_may_have_been_left_out_are_no_success(_: Launchers) {
    let mut scene = Scene::new();
    scene.start(&Options { spool_limit: Some(1 << 20), ..Options::default() }).await;
    let said = "echo '::set-output name=version::old'";
    let begin = |script: String| {
        let mut assignment = scene.assignment(&script);
        assignment.outputs = vec![spec("version", OutputSource::OutputFile)];
        scene.begin(assignment)
    };
    let lost = begin(format!("{said}; {MUCH}"));
    let whole = begin(format!("{said}; ({MUCH}) >&2"));
    for id in [&lost, &whole] {
        scene.queen.log_has(id, "version::old\n").await;
    }
    scene.queen.away.store(true, Ordering::SeqCst);
    for id in [&lost, &whole] {
        go(&scene, id);
        scene.file(id, "written").await;
    }
    scene.queen.away.store(false, Ordering::SeqCst);
    for id in [&lost, &whole] {
        fs::write(scene.root(id).join("work/back"), "").unwrap();
    }
    let done = scene.queen.done(&lost).await;
    assert_eq!(done.result(), AttemptResult::Named(ResultName::Invalid), "{}", done.log.len());
    assert_eq!(
        done.message(),
        "its outputs may not be what it gave, for a part of its stdout was lost: the queen was away and the spool was full"
    );
    let done = scene.queen.done(&whole).await;
    assert_eq!(done.result(), AttemptResult::Exit(0), "only stderr was left out: {}", done.message());
    assert_eq!(done.report.outputs["version"], "old");
    scene.end().await;
}
