//! The shipped workflow with the demo's sample project: `kill -9` of the server during each of its tasks, and what an
//! untroubled run publishes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::live_server::{LiveServer, processes_of, repository, wait_for};

const STRAIGHT: &str = "1-shout.md";
const NEEDS_A_FIX: &str = "2-formal-greeting.md";
const CONTRADICTS_ITSELF: &str = "3-farewell.md";

/// A sample project, and a `git` in front of the real one that writes down which attempt called it and can hold it there.
struct Stage {
    directory: TempDir,
    path: String,
}

impl Stage {
    fn new() -> Self {
        let directory = TempDir::with_prefix("atta-demo-test-").expect("a temporary directory can be made");
        let root = directory.path();
        let status = Command::new(repository().join("demo/make-sample")).arg(root).status().expect("the script starts");
        assert!(status.success());
        let path = std::env::split_paths(&std::env::var_os("PATH").expect("there is a PATH"))
            .find(|directory| directory.join("git").is_file())
            .expect("git is installed");
        let real = path.join("git");
        let script = format!(
            r#"#!/bin/sh
if [ -n "${{TASK:-}}" ]; then
    printf '%s %s %s\n' "$TASK" "$VISIT" "$TASK_DIR" >>'{root}/executions'
    if [ -e '{root}/hold' ] && case "$TASK $*" in $(cat '{root}/hold')) true ;; *) false ;; esac; then
        : >'{root}/held'
        while [ -e '{root}/hold' ]; do sleep 0.02; done
    fi
fi
exec '{real}' "$@"
"#,
            root = root.display(),
            real = real.display(),
        );
        fs::create_dir(root.join("bin")).expect("the directory is writable");
        let wrapper = root.join("bin/git");
        fs::write(&wrapper, script).expect("the directory is writable");
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).expect("the mode can be set");
        let inherited = std::env::var_os("PATH").and_then(|path| path.into_string().ok()).expect("PATH is text");
        let path = format!("{}:{inherited}", root.join("bin").display());
        Self { directory, path }
    }

    fn root(&self) -> &Path {
        self.directory.path()
    }

    fn server(&self) -> LiveServer {
        LiveServer::start(self.root(), &self.path)
    }

    fn submit(&self, server: &LiveServer, issue: &str) -> String {
        let workflow = repository().join("workflows/implement-local.yaml");
        let job = server.json(&[
            "submit",
            workflow.to_str().expect("the path is text"),
            "--json",
            "-p",
            &format!("Repo={}", self.root().join("origin.git").display()),
            "-p",
            &format!("Issue=@{}", self.root().join("issues").join(issue).display()),
            "-p",
            "Agent=custom",
            "-p",
            &format!("AgentCommand={}", repository().join("demo/stand-in-agent").display()),
        ]);
        job["job_id"].as_str().expect("the answer names the job").to_owned()
    }

    /// How many attempts executed something, by task and visit.
    fn executions(&self) -> BTreeMap<(String, String), usize> {
        let mut attempts: Vec<String> = fs::read_to_string(self.root().join("executions"))
            .expect("something was executed")
            .lines()
            .map(str::to_owned)
            .collect();
        attempts.sort();
        attempts.dedup();
        let mut counts = BTreeMap::new();
        for line in attempts {
            let mut words = line.split(' ').map(str::to_owned);
            let key = (words.next().expect("a task"), words.next().expect("a visit"));
            *counts.entry(key).or_insert(0) += 1;
        }
        counts
    }

    /// The branches that jobs pushed.
    fn pushed(&self) -> Vec<String> {
        let output = Command::new("git")
            .arg("-C")
            .arg(self.root().join("origin.git"))
            .args(["for-each-ref", "--format=%(refname:short)", "refs/heads/ai"])
            .output()
            .expect("git starts");
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    fn artifact(&self, server: &LiveServer, job: &str, name: &str) -> String {
        let out = self.root().join("out");
        let output = server.client(&["artifacts", job, "--output", out.to_str().expect("the path is text")]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let task = name.split('/').next().expect("artifacts lie under their task's name");
        fs::read_to_string(out.join(task).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// After the server has ended, nothing of it is left: no process, no directory of an attempt.
    fn assert_nothing_left(&self) {
        let processes = processes_of(self.root());
        assert!(processes.is_empty(), "still running: {processes:#?}");
        let attempts = self.root().join("data/ant/attempts");
        let left: Vec<_> = fs::read_dir(attempts).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        assert!(left.is_empty(), "still there: {left:?}");
    }
}

fn task<'a>(job: &'a Value, name: &str) -> &'a Value {
    job["tasks"]
        .as_array()
        .expect("a job has tasks")
        .iter()
        .find(|task| task["task_type"] == name)
        .expect("the task exists")
}

/// Kills the server with SIGKILL while a task is inside the `git` call that matches the shell pattern, starts it again,
/// and checks that the task went on and the job ends as if nothing had happened.
fn survives_a_kill_during(name: &str, pattern: &str, issue: &str, verdict: &str) {
    let stage = Stage::new();
    fs::write(stage.root().join("hold"), pattern).expect("the directory is writable");
    let server = stage.server();
    let job = stage.submit(&server, issue);
    wait_for(&format!("{name} to be in the middle of its work"), || {
        let state = server.job(&job);
        assert!(
            !matches!(state["state"].as_str(), Some("COMPLETED" | "FAILED" | "BLOCKED" | "CANCELLED")),
            "the job ended before {name} was held: {state:#}"
        );
        stage.root().join("held").exists().then_some(())
    });
    server.kill();
    let server = stage.server();
    fs::remove_file(stage.root().join("hold")).expect("the task was held");

    let ended = server.finished(&job);
    assert_eq!(ended["state"], verdict, "{ended:#}");
    for ((task, visit), count) in stage.executions() {
        assert_eq!(count, 1, "{task}, visit {visit}, was executed {count} times; {name} was going on meanwhile");
    }
    assert_eq!(task(&ended, "cleanup")["state"], "COMPLETED", "{ended:#}");
    let record: Value =
        serde_json::from_str(&stage.artifact(&server, &job, "cleanup/record.json")).expect("the record is JSON");
    assert_eq!(record["result"], verdict);
    assert_eq!(stage.pushed().len(), usize::from(verdict == "COMPLETED"), "{:?}", stage.pushed());
    server.stop();
    stage.assert_nothing_left();
}

macro_rules! kill_tests {
    ($($test:ident: $task:literal at $pattern:literal, $issue:ident => $verdict:literal;)*) => {$(
        #[test]
        fn $test() {
            survives_a_kill_during($task, $pattern, $issue, $verdict);
        }
    )*};
}

kill_tests! {
    a_killed_server_does_not_interrupt_setup: "setup" at "setup*bundle*", NEEDS_A_FIX => "COMPLETED";
    a_killed_server_does_not_interrupt_plan: "plan" at "plan*clone*", NEEDS_A_FIX => "COMPLETED";
    a_killed_server_does_not_interrupt_implement: "implement" at "implement*bundle create*", NEEDS_A_FIX => "COMPLETED";
    a_killed_server_does_not_interrupt_unit_test: "unit-test" at "unit-test*clone*", NEEDS_A_FIX => "COMPLETED";
    a_killed_server_does_not_interrupt_fix_tests: "fix-tests" at "fix-tests*commit*", NEEDS_A_FIX => "COMPLETED";
    a_killed_server_does_not_interrupt_self_verify: "self-verify" at "self-verify*clone*", NEEDS_A_FIX => "COMPLETED";
    a_killed_server_does_not_interrupt_publish_before_the_push: "publish" at "publish*push*", NEEDS_A_FIX => "COMPLETED";
    a_killed_server_does_not_interrupt_publish_after_the_push: "publish" at "publish*rev-parse refs/heads/*", NEEDS_A_FIX => "COMPLETED";
    a_killed_server_does_not_interrupt_cleanup: "cleanup" at "cleanup*", NEEDS_A_FIX => "COMPLETED";
    a_killed_server_still_blocks_a_contradiction: "plan" at "plan*clone*", CONTRADICTS_ITSELF => "BLOCKED";
}

#[test]
fn an_issue_becomes_a_branch_and_a_pull_request_text() {
    let stage = Stage::new();
    let server = stage.server();
    let job = stage.submit(&server, STRAIGHT);
    let ended = server.finished(&job);
    assert_eq!(ended["state"], "COMPLETED", "{ended:#}");
    let branch = task(&ended, "setup")["outputs"]["branch"].as_str().expect("setup names the branch").to_owned();
    let nonce = ended["nonce"].as_str().expect("the job has a nonce");
    assert_eq!(branch, format!("ai/add-a-command-that-shouts-{nonce}"));
    assert_eq!(stage.pushed(), [branch]);
    assert_eq!(task(&ended, "fix-tests")["state"], "SKIPPED");
    let text = stage.artifact(&server, &job, "publish/pr.md");
    for expected in
        ["# Add a command that shouts", "## Unresolved", "without arguments is not said", "4 passed, 0 failed"]
    {
        assert!(text.contains(expected), "{expected:?} is missing in {text}");
    }
    server.stop();
    stage.assert_nothing_left();
}

#[test]
fn a_pull_request_text_says_that_tests_failed_first() {
    let stage = Stage::new();
    let server = stage.server();
    let job = stage.submit(&server, NEEDS_A_FIX);
    let ended = server.finished(&job);
    assert_eq!(ended["state"], "COMPLETED", "{ended:#}");
    assert_eq!(task(&ended, "unit-test")["visits"], 2);
    assert_eq!(task(&ended, "fix-tests")["visits"], 1);
    let text = stage.artifact(&server, &job, "publish/pr.md");
    assert!(text.contains("The tests failed 1 time(s) before they passed"), "{text}");
    assert!(text.contains("fix-tests: Tests that expected the old text were changed"), "{text}");
    server.stop();
    stage.assert_nothing_left();
}

#[test]
fn a_blocked_issue_says_what_has_to_be_decided_and_pushes_nothing() {
    let stage = Stage::new();
    let server = stage.server();
    let job = stage.submit(&server, CONTRADICTS_ITSELF);
    let ended = server.finished(&job);
    assert_eq!(ended["state"], "BLOCKED", "{ended:#}");
    assert_eq!(task(&ended, "plan")["route"], "END_BLOCKED");
    assert_eq!(task(&ended, "implement")["state"], "SKIPPED");
    let verdict: Value =
        serde_json::from_str(&stage.artifact(&server, &job, "plan/verdict.json")).expect("the verdict is JSON");
    assert_eq!(
        verdict["summary"],
        "The issue contradicts itself: \"farewell Ada\" must print \"Goodbye, Ada\" and \"See you, Ada\". Somebody has to decide which."
    );
    assert!(stage.pushed().is_empty());
    server.stop();
    stage.assert_nothing_left();
}

/// An agent of a few lines, and what the job makes of it.
fn with_agent(script: &str) -> (Stage, LiveServer, Value) {
    let stage = Stage::new();
    let agent = stage.root().join("agent");
    fs::write(&agent, script).expect("the directory is writable");
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).expect("the mode can be set");
    let server = stage.server();
    let workflow = repository().join("workflows/implement-local.yaml");
    let job = server.json(&[
        "submit",
        workflow.to_str().expect("the path is text"),
        "--json",
        "-p",
        &format!("Repo={}", stage.root().join("origin.git").display()),
        "-p",
        "Issue=# $(touch /tmp/atta-pwned); `id` \"{{7*7}}\" '\nDo something.",
        "-p",
        "Agent=custom",
        "-p",
        &format!("AgentCommand={}", agent.display()),
    ]);
    let job = server.finished(job["job_id"].as_str().expect("the answer names the job"));
    (stage, server, job)
}

#[test]
fn an_agent_without_a_verdict_never_succeeds() {
    let (stage, server, job) = with_agent("#!/bin/sh\necho fine, all done, trust me\n");
    assert_eq!(
        (job["state"].as_str(), job["error_code"].as_str()),
        (Some("FAILED"), Some("ERR_NO_VERDICT")),
        "{job:#}"
    );
    assert_eq!(task(&job, "plan")["exit_code"], 4);
    let id = job["job_id"].as_str().expect("a job has an id");
    assert!(stage.artifact(&server, id, "plan/conversation.txt").contains("trust me"), "the conversation is kept");
    server.stop();
    stage.assert_nothing_left();
}

#[test]
fn an_agent_that_fails_and_says_done_is_an_error() {
    let (stage, server, job) = with_agent("#!/bin/sh\necho '{\"status\":\"done\"}' >\"$VERDICT_FILE\"\nexit 9\n");
    assert_eq!(job["state"], "FAILED", "{job:#}");
    assert_eq!(task(&job, "plan")["exit_code"], 1);
    server.stop();
    stage.assert_nothing_left();
}

#[test]
fn a_branch_without_commits_is_not_published() {
    let (stage, server, job) =
        with_agent("#!/bin/sh\necho plan >\"$PLAN_FILE\"\necho '{\"status\":\"done\"}' >\"$VERDICT_FILE\"\n");
    assert_eq!(
        (job["state"].as_str(), job["error_code"].as_str()),
        (Some("FAILED"), Some("ERR_NO_COMMITS")),
        "{job:#}"
    );
    assert!(stage.pushed().is_empty());
    server.stop();
    stage.assert_nothing_left();
}

#[test]
fn tests_that_stay_red_end_the_loop_after_three_fixes() {
    let (stage, server, job) = with_agent(
        "#!/bin/sh\necho plan >\"$PLAN_FILE\"\necho 'greet Ada => Nobody' >>tests/greet.cases\n\
         echo '{\"status\":\"done\",\"summary\":\"tried\"}' >\"$VERDICT_FILE\"\n",
    );
    assert_eq!(
        (job["state"].as_str(), job["error_code"].as_str()),
        (Some("FAILED"), Some("ERR_TESTS_FAILING")),
        "{job:#}"
    );
    assert_eq!(
        (task(&job, "unit-test")["visits"].as_u64(), task(&job, "fix-tests")["visits"].as_u64()),
        (Some(4), Some(3))
    );
    assert!(stage.pushed().is_empty());
    assert_eq!(task(&job, "cleanup")["state"], "COMPLETED");
    server.stop();
    stage.assert_nothing_left();
}
