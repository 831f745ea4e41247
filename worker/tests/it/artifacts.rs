//! Artifacts in and out.

use std::sync::atomic::Ordering;
use std::time::Duration;

use atta_core::definition::ArtifactsWhen;
use atta_core::engine::{AttemptResult, ResultName};
use atta_core::protocol::ant::{ArtifactFile, ArtifactInput, ArtifactRules, Assignment};

use crate::harness::{Launchers, tests};
use crate::world::{Done, World, eventually};

tests![
    files_are_stored_before_the_end_is_reported,
    artifacts_are_kept_after_failure_timeout_and_cancel,
    a_named_file_that_is_missing_is_invalid_after_success_only,
    ways_out_of_the_directory_are_invalid_and_nothing_leaks,
    one_file_under_two_names_is_stored_once,
    inputs_are_there_before_the_first_command_and_the_later_wins,
    an_input_that_is_missing_or_corrupt_is_invalid,
    a_content_that_the_queen_refuses_is_invalid_with_the_reason,
    an_input_that_does_not_come_holds_up_neither_a_stop_nor_the_timeout,
    several_files_of_an_attempt_are_stored_at_the_same_time_and_never_too_many,
];

fn keeping(mut assignment: Assignment, paths: &[&str], when: ArtifactsWhen) -> Assignment {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    assignment.artifacts = Some(ArtifactRules { paths, exclude: Vec::new(), when });
    assignment
}

fn listed(done: &Done) -> Vec<&str> {
    done.report.artifacts.iter().map(|file| file.path.as_str()).collect()
}

async fn files_are_stored_before_the_end_is_reported(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let script = "mkdir -p out/deep; echo a > out/a.txt; echo b > out/deep/b.txt; echo '#!/bin/sh' > tool; chmod +x tool; : > empty";
    let assignment =
        keeping(world.assignment(script), &["out/**/*.txt", "tool", "empty", "*.log"], ArtifactsWhen::Always);
    let done = world.run(assignment).await;
    assert_eq!(done.result(), AttemptResult::Exit(0), "{}", done.message());
    assert_eq!(listed(&done), ["empty", "out/a.txt", "out/deep/b.txt", "tool"]);
    let tool = &done.report.artifacts[3];
    assert!(tool.executable && !done.report.artifacts[0].executable);
    assert_eq!(world.queen.content(&tool.digest), b"#!/bin/sh\n");
    assert_eq!(done.report.warnings, ["the artifact path `*.log` matched no file"]);
    world.end().await;
}

async fn artifacts_are_kept_after_failure_timeout_and_cancel(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let failing = |script: &str, when| keeping(world.assignment(script), &["kept", "never-made", "../x"], when);
    let done = world.run(failing("echo 1 > kept; exit 3", ArtifactsWhen::OnFailure)).await;
    assert_eq!((done.result(), listed(&done)), (AttemptResult::Exit(3), vec!["kept"]));
    assert_eq!(done.report.warnings.len(), 2, "{:?}", done.report.warnings);
    let done = world.run(failing("echo 1 > kept; exit 3", ArtifactsWhen::OnSuccess)).await;
    assert_eq!((done.result(), listed(&done)), (AttemptResult::Exit(3), vec![]));

    let mut assignment = failing("echo 1 > kept; sleep 1000", ArtifactsWhen::Always);
    assignment.timeout = Duration::from_millis(200);
    let done = world.run(assignment).await;
    assert_eq!((done.result(), listed(&done)), (AttemptResult::Named(ResultName::TimedOut), vec!["kept"]));

    let id = world.begin(failing("echo 1 > kept; echo ready; sleep 1000", ArtifactsWhen::Always));
    world.log_has(&id, "ready").await;
    world.stop(&id, "enough");
    let done = world.done(&id).await;
    assert_eq!((done.result(), listed(&done)), (AttemptResult::Named(ResultName::Cancelled), vec!["kept"]));
    world.end().await;
}

async fn a_named_file_that_is_missing_is_invalid_after_success_only(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let done = world.run(keeping(world.assignment("echo 1 > kept"), &["kept", "plan.md"], ArtifactsWhen::Always)).await;
    assert_eq!(done.result(), AttemptResult::Named(ResultName::Invalid));
    assert_eq!((done.code(), done.message()), ("INVALID", "the artifact `plan.md` does not exist"));
    assert_eq!(listed(&done), ["kept"]);
    world.end().await;
}

async fn ways_out_of_the_directory_are_invalid_and_nothing_leaks(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    for (script, path, sentence) in [
        ("ln -s /etc/passwd link", "link", "the artifact `link` is a link that leads out of TASK_DIR"),
        ("true", "../x", "the artifact path `../x` leads out of TASK_DIR: it must be relative and without `..`"),
        ("mkfifo pipe", "pipe", "the artifact `pipe` is no regular file (a device, pipe or socket)"),
    ] {
        let done = world.run(keeping(world.assignment(script), &[path], ArtifactsWhen::Always)).await;
        assert_eq!(done.result(), AttemptResult::Named(ResultName::Invalid));
        assert_eq!((done.message(), listed(&done)), (sentence, vec![]));
    }
    let done =
        world.run(keeping(world.assignment("ln -s /etc/passwd link; echo 1 > a"), &["*"], ArtifactsWhen::Always)).await;
    assert_eq!((done.result(), listed(&done)), (AttemptResult::Exit(0), vec!["a"]));
    assert_eq!(done.report.warnings, ["`link` is not kept as an artifact: it is a link that leads out of TASK_DIR"]);
    world.end().await;
}

async fn one_file_under_two_names_is_stored_once(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let done =
        world.run(keeping(world.assignment("echo 1 > a; ln -s a b; ln a c"), &["*"], ArtifactsWhen::Always)).await;
    assert_eq!((done.result(), listed(&done)), (AttemptResult::Exit(0), vec!["a", "b", "c"]), "{}", done.message());
    world.end().await;
}

fn input(task: &str, path: &str, digest: &atta_core::protocol::Digest, executable: bool) -> ArtifactInput {
    let file = ArtifactFile { path: path.to_owned(), digest: digest.clone(), size: 0, executable };
    ArtifactInput { task: task.to_owned(), files: vec![file] }
}

async fn inputs_are_there_before_the_first_command_and_the_later_wins(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let (first, second) = (world.queen.blob(b"first\n"), world.queen.blob(b"#!/bin/sh\necho second\n"));
    let mut assignment = world.assignment("cat a/plan; ./run; echo changed > a/plan");
    assignment.inputs = vec![
        input("one", "a/plan", &first, false),
        input("one", "run", &first, false),
        input("two", "run", &second, true),
    ];
    let done = world.run(assignment).await;
    let warning = "the artifact `run` of `two` replaced that of `one`";
    assert_eq!(done.result(), AttemptResult::Exit(0), "{}", done.log);
    assert_eq!(done.log, format!("warning: {warning}\nfirst\nsecond\n"));
    assert_eq!(done.report.warnings, [warning]);
    assert_eq!(world.queen.content(&first), b"first\n", "an input that is changed does not change the store");
    world.end().await;
}

async fn an_input_that_is_missing_or_corrupt_is_invalid(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let blob = world.queen.blob(b"content");
    world.queen.lose_blob(&blob);
    let mut assignment = world.assignment("echo ran");
    assignment.inputs = vec![input("plan", "plan.md", &blob, false)];
    let done = world.run(assignment).await;
    assert_eq!(done.result(), AttemptResult::Named(ResultName::Invalid));
    assert_eq!(done.message(), "the artifact `plan.md` of `plan` cannot be fetched: there is no such blob");
    assert_eq!(done.log, "");
    let mut assignment = world.assignment("echo ran");
    assignment.inputs = vec![input("plan", "../plan.md", &blob, false)];
    let done = world.run(assignment).await;
    assert_eq!(done.message(), "the artifact \"../plan.md\" of `plan` has a path that leads out of TASK_DIR");
    world.end().await;
}

async fn a_content_that_the_queen_refuses_is_invalid_with_the_reason(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    world.queen.refuses_blobs.store(true, Ordering::SeqCst);
    let done = world.run(keeping(world.assignment("echo 1 > a"), &["a"], ArtifactsWhen::Always)).await;
    assert_eq!(done.result(), AttemptResult::Named(ResultName::Invalid));
    assert_eq!(done.message(), "the artifact `a` cannot be stored: the queen refused: BLOB_REFUSED: it is too large");
    world.end().await;
}

async fn an_input_that_does_not_come_holds_up_neither_a_stop_nor_the_timeout(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    world.queen.blobs_left.store(0, Ordering::SeqCst);
    let blob = world.queen.blob(b"content");
    let waiting = |timeout| {
        let mut assignment = world.assignment("echo ran");
        assignment.inputs = vec![input("plan", "plan.md", &blob, false)];
        assignment.timeout = timeout;
        assignment
    };
    let id = world.begin(waiting(Duration::from_hours(1)));
    eventually("it is there", || world.attempts_dir().join(&id.0).exists()).await;
    world.stop(&id, "somebody says so");
    let done = world.done(&id).await;
    assert_eq!((done.code(), &done.log[..]), ("CANCELLED", ""), "{}", done.message());
    let done = world.run(waiting(Duration::from_millis(200))).await;
    assert_eq!(done.code(), "START_FAILED");
    assert_eq!(done.message(), "the artifact `plan.md` of `plan` was not fetched within the timeout of 200ms");
    world.end().await;
}

async fn several_files_of_an_attempt_are_stored_at_the_same_time_and_never_too_many(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    world.queen.storing.send_modify(|storing| storing.wanted = 4);
    let script = "n=0; while [ $n -lt 20 ]; do n=$((n+1)); echo $n >file$n; done; rm file7; ln -s /etc/passwd file7";
    let paths = ["file1", "file2", "file3", "file4", "file5", "file7", "file1*"];
    let done = world.run(keeping(world.assignment(script), &paths, ArtifactsWhen::Always)).await;
    assert_eq!(done.result(), AttemptResult::Named(ResultName::Invalid), "one of them cannot be kept");
    let names = ["1", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19", "2", "3", "4", "5"];
    assert_eq!(listed(&done), names.map(|number| format!("file{number}")));
    for file in &done.report.artifacts {
        assert_eq!(world.queen.content(&file.digest), format!("{}\n", &file.path[4..]).into_bytes());
    }
    assert_eq!(world.queen.storing.borrow().most, 4);
    world.end().await;
}
