//! Scripts, environment, programs.

use atta_core::definition::{InheritEnv, OutputSource, OutputSpec, ParamType, Program, Span};
use atta_core::engine::{AttemptResult, ResultName};
use atta_core::protocol::ant::RenderedScript;
use serde_json::json;

use crate::harness::{Launchers, tests};
use crate::world::{World, shell};

tests![
    a_script_runs_in_one_shell_and_its_exit_code_is_reported,
    bound_values_reach_the_script_and_line_numbers_stay,
    the_environment_is_built_from_nothing,
    interpreters_get_the_script_as_a_file,
    programs_that_cannot_be_started_are_named,
    values_that_are_too_long_are_invalid_by_name,
    after_script_always_runs_and_changes_nothing,
    outputs_are_read_from_file_stdout_and_the_output_file,
    outputs_that_are_missing_or_of_another_type_are_invalid_after_success_only,
    stdin_is_empty,
];

async fn a_script_runs_in_one_shell_and_its_exit_code_is_reported(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let done = world.script("cd /\nx=5\necho \"$PWD $x\"\n").await;
    assert_eq!((done.result(), done.log.as_str()), (AttemptResult::Exit(0), "/ 5\n"));
    assert_eq!(done.report.failure, None);
    assert_eq!(done.sequences, [1, 2]);
    assert_eq!(done.isolation.as_deref(), Some(world.ant.isolation().as_str()));

    let done = world.script("false\necho not reached\n").await;
    assert_eq!((done.result(), done.log.as_str()), (AttemptResult::Exit(1), ""));
    assert_eq!((done.code(), done.message()), ("EXIT_CODE", "exited with code 1"));
    let done = world.script("false | true\n").await;
    assert_eq!(done.result(), AttemptResult::Exit(1), "bash with pipefail");
    for code in [2, 137, 255] {
        assert_eq!(world.script(&format!("exit {code}")).await.result(), AttemptResult::Exit(code));
    }
    world.end().await;
}

async fn bound_values_reach_the_script_and_line_numbers_stay(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    for program in [Program::DefaultShell, Program::Shell(vec!["sh".to_owned(), "-eu".to_owned()])] {
        let mut assignment = world.assignment("# first line\necho \"$v\"\necho two; nonsense_command\n");
        let (chosen, script, _) = shell(&mut assignment);
        *chosen = program;
        script.preamble.push_str("v='$(touch pwned)'\"'\"'`x`'\n");
        let done = world.run(assignment).await;
        assert_eq!(done.result(), AttemptResult::Exit(127));
        assert!(done.log.starts_with("$(touch pwned)'`x`\ntwo\n"), "{}", done.log);
        assert!(done.log.contains("line 3") || done.log.contains(": 3:"), "{}", done.log);
    }
    world.end().await;
}

async fn the_environment_is_built_from_nothing(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let mut assignment =
        world.assignment("env | cut -d= -f1 | sort | tr '\\n' ' '; pwd; test \"$PWD\" = \"$TASK_DIR\"; ls -A");
    *shell(&mut assignment).0 = Program::Shell(vec!["sh".to_owned(), "-eu".to_owned()]);
    let done = world.run(assignment.clone()).await;
    assert_eq!(done.result(), AttemptResult::Exit(0), "{}", done.log);
    let names = done.log.lines().next().unwrap();
    assert!(names.starts_with("ATTA_OUTPUT ATTA_PROGRAM HOME LC_ALL PATH PWD TASK_DIR TEST_MARK "), "{names}");
    let mut assignment = world.assignment("echo $ANT_SECRET");
    assignment.inherit_env = InheritEnv::Names(vec!["ANT_SECRET".to_owned()]);
    assert_eq!(world.run(assignment).await.log, "hidden\n");
    world.end().await;
}

async fn interpreters_get_the_script_as_a_file(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let mut assignment = world.assignment("BEGIN { print \"from awk\"; exit 3 }");
    *shell(&mut assignment).0 = Program::Interpreter(vec!["awk".to_owned(), "-f".to_owned()]);
    let done = world.run(assignment).await;
    assert_eq!((done.result(), done.log.as_str()), (AttemptResult::Exit(3), "from awk\n"));
    let mut assignment = world.assignment("");
    *shell(&mut assignment).0 = Program::Interpreter(vec!["awk".to_owned(), "-f".to_owned()]);
    shell(&mut assignment).1.preamble.push_str("v=1\n");
    let done = world.run(assignment).await;
    assert_eq!(done.result(), AttemptResult::Named(ResultName::Invalid));
    world.end().await;
}

async fn programs_that_cannot_be_started_are_named(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let failed = AttemptResult::Named(ResultName::StartFailed);
    let mut assignment = world.assignment("true");
    *shell(&mut assignment).0 = Program::Interpreter(vec!["no-such-program".to_owned()]);
    let done = world.run(assignment).await;
    assert_eq!((done.result(), done.code()), (failed, "START_FAILED"));
    assert!(
        done.message().starts_with("the program `no-such-program` is not on the ant's PATH ("),
        "{}",
        done.message()
    );
    let mut assignment = world.assignment("true");
    *shell(&mut assignment).0 = Program::Interpreter(vec!["./missing".to_owned()]);
    let done = world.run(assignment).await;
    assert_eq!(done.result(), failed);
    assert!(done.message().starts_with("the program `./missing` cannot be started: it, or"), "{}", done.message());
    let mut assignment = world.assignment("true");
    for n in 0..40 {
        assignment.environment.insert(format!("BIG_{n}"), "x".repeat(120_000));
    }
    let done = world.run(assignment).await;
    assert_eq!(done.result(), failed);
    assert!(done.message().ends_with("environment and arguments together are too long"), "{}", done.message());
    world.end().await;
}

async fn values_that_are_too_long_are_invalid_by_name(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let mut assignment = world.assignment("true");
    assignment.environment.insert("BIG".to_owned(), "x".repeat(128 << 10));
    let done = world.run(assignment).await;
    assert_eq!(done.result(), AttemptResult::Named(ResultName::Invalid));
    assert!(done.message().starts_with("the environment variable `BIG` is 131072 bytes long"), "{}", done.message());
    world.end().await;
}

async fn after_script_always_runs_and_changes_nothing(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let with_after = |script: &str, after: &str| {
        let mut assignment = world.assignment(script);
        *shell(&mut assignment).2 = Some(RenderedScript { preamble: String::new(), text: after.to_owned() });
        assignment
    };
    let after = "echo \"after $ATTA_RESULT/$ATTA_EXIT_CODE\"; ls; exit 9";
    let done = world.run(with_after("echo main; touch kept", after)).await;
    assert_eq!((done.result(), done.log.as_str()), (AttemptResult::Exit(0), "main\nafter COMPLETED/0\nkept\n"));
    assert_eq!(done.report.warnings, ["after_script exited with code 9; the result of the task stays as it is"]);
    let done = world.run(with_after("exit 4", after)).await;
    assert_eq!((done.result(), done.log.as_str()), (AttemptResult::Exit(4), "after FAILED/4\n"));

    let id = world.begin(with_after("echo up; sleep 1000", "echo \"after $ATTA_RESULT\""));
    world.log_has(&id, "up\n").await;
    world.stop(&id, "job was cancelled");
    let done = world.done(&id).await;
    assert_eq!(done.result(), AttemptResult::Named(ResultName::Cancelled));
    assert!(done.log.ends_with("after CANCELLED\n"), "{}", done.log);
    world.end().await;
}

async fn outputs_are_read_from_file_stdout_and_the_output_file(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let spec = |name: &str, source, json_path: Option<&str>, output_type| OutputSpec {
        name: name.to_owned(),
        source,
        json_path: json_path.map(str::to_owned),
        output_type,
        schema: None,
        span: Span::default(),
    };
    let mut assignment = world.assignment(
        "echo 'extra=1' >> $ATTA_OUTPUT; echo 'count=3' >> $ATTA_OUTPUT; echo '{\"a\":{\"b\":[7]}}' > v.json; echo hello; echo err >&2; exit 5",
    );
    assignment.outputs = vec![
        spec("count", OutputSource::OutputFile, None, Some(ParamType::Integer)),
        spec("deep", OutputSource::File("v.json".to_owned()), Some("a.b.0"), Some(ParamType::Integer)),
        spec("said", OutputSource::Stdout, None, Some(ParamType::String)),
    ];
    let done = world.run(assignment).await;
    assert_eq!(done.result(), AttemptResult::Exit(5), "outputs of failed attempts count too");
    assert_eq!(json!(done.report.outputs), json!({"extra": "1", "count": 3, "deep": 7, "said": "hello"}));
    world.end().await;
}

async fn outputs_that_are_missing_or_of_another_type_are_invalid_after_success_only(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let declare = |script: &str| {
        let mut assignment = world.assignment(script);
        assignment.outputs = vec![OutputSpec {
            name: "n".to_owned(),
            source: OutputSource::OutputFile,
            json_path: None,
            output_type: Some(ParamType::Integer),
            schema: None,
            span: Span::default(),
        }];
        assignment
    };
    let done = world.run(declare("true")).await;
    assert_eq!(done.result(), AttemptResult::Named(ResultName::Invalid));
    assert_eq!(done.message(), "the output `n` is declared, but the task did not write it to $ATTA_OUTPUT");
    let done = world.run(declare("echo n=four > $ATTA_OUTPUT")).await;
    assert_eq!(done.message(), "the output `n` must be an integer, but is `\"four\"`");
    let done = world.run(declare("exit 6")).await;
    assert_eq!(done.result(), AttemptResult::Exit(6));
    world.end().await;
}

async fn stdin_is_empty(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let done = world.script("cat; ls -l /proc/self/fd | grep -c -e pipe -e null").await;
    assert_eq!((done.result(), done.log.as_str()), (AttemptResult::Exit(0), "3\n"));
    world.end().await;
}
