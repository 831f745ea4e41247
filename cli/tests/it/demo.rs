//! `atta demo`, and the workflow behind it: `kill -9` of the server while its tasks work, and each way that an issue can go.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::live_server::{LiveServer, atta, processes_of, repository, wait_for};
use crate::scratch::task;

const STRAIGHT: u64 = 1;
const NEEDS_A_FIX: u64 = 2;
const CONTRADICTS_ITSELF: u64 = 3;

/// A forge with the demo's project and issues, and a `git` in front of the real one that can hold a call.
struct Stage {
    directory: TempDir,
    path: String,
}

impl Stage {
    fn new() -> Self {
        let directory = TempDir::with_prefix("atta-demo-test-").expect("a temporary directory can be made");
        let root = directory.path();
        let inherited = std::env::var_os("PATH").and_then(|path| path.into_string().ok()).expect("PATH is text");
        let real = std::env::split_paths(&inherited).map(|place| place.join("git")).find(|git| git.is_file());
        let script = format!(
            "#!/bin/sh\nif [ -e '{root}/hold' ] && [ -n \"${{TASK_DIR:-}}\" ]; then\n    case \"$*\" in $(cat '{root}/hold'))\n\
             \x20       : >'{root}/held'\n        while [ -e '{root}/hold' ]; do sleep 0.02; done\n    esac\nfi\nexec '{real}' \"$@\"\n",
            root = root.display(),
            real = real.expect("git is installed").display(),
        );
        program(&root.join("bin/git"), &script);
        let path = format!("{}:{inherited}", root.join("bin").display());
        let stage = Self { directory, path };
        let issues = stage.forge().join("issues/ai-ready");
        fs::create_dir_all(&issues).expect("the directory is writable");
        for issue in fs::read_dir(repository().join("demo/issues")).expect("the demo has issues").flatten() {
            fs::copy(issue.path(), issues.join(issue.file_name())).expect("an issue can be copied");
        }
        let project = stage.root().join("project");
        let copied = Command::new("cp").arg("-R").arg(repository().join("demo/sample")).arg(&project).status();
        assert!(copied.expect("cp starts").success());
        let origin = stage.origin();
        stage.git(&["init", "--quiet", "--bare", "--initial-branch=main", &origin]);
        stage.git(&["-C", "project", "init", "--quiet", "--initial-branch=main"]);
        stage.git(&["-C", "project", "add", "--all"]);
        stage.git(&["-C", "project", "commit", "--quiet", "--message", "Greet people"]);
        stage.git(&["-C", "project", "push", "--quiet", &origin, "main"]);
        stage
    }

    fn root(&self) -> &Path {
        self.directory.path()
    }

    fn forge(&self) -> PathBuf {
        self.root().join("forge")
    }

    fn origin(&self) -> String {
        self.forge().join("origin.git").display().to_string()
    }

    fn git(&self, arguments: &[&str]) -> String {
        let done = Command::new("git")
            .current_dir(self.root())
            .args(["-c", "user.name=Person", "-c", "user.email=person@example.invalid"])
            .args(arguments)
            .output()
            .expect("git starts");
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    fn server(&self) -> LiveServer {
        LiveServer::start(self.root(), &self.path)
    }

    fn submit(&self, server: &LiveServer, issue: u64) -> String {
        self.submit_with(server, issue, &repository().join("demo/stand-in-agent"))
    }

    fn submit_with(&self, server: &LiveServer, issue: u64, agent: &Path) -> String {
        let workflow = repository().join("workflows/local-implement.yaml");
        let job = server.json(&[
            "submit",
            workflow.to_str().expect("the path is text"),
            "--json",
            "-p",
            &format!("Forge={}", self.forge().display()),
            "-p",
            &format!("Issue={issue}"),
            "-p",
            "Agent=custom",
            "-p",
            &format!("AgentCommand={}", agent.display()),
            "-p",
            "Poll=200ms",
        ]);
        job["job_id"].as_str().expect("the answer names the job").to_owned()
    }

    /// The directory of the job's pull request, as soon as there is one.
    fn pull_request(&self, server: &LiveServer, job: &str) -> PathBuf {
        wait_for("a pull request", || {
            let state = server.job(job);
            assert!(!is_over(&state), "the job ended without a pull request: {state:#}");
            let found = fs::read_dir(self.forge().join("pulls")).ok()?.flatten().next()?.path();
            found.join("pull.md").exists().then_some(found)
        })
    }

    fn merge(&self, pull: &Path) {
        let branch = format!("ai/{}", pull.file_name().expect("a directory has a name").display());
        let origin = self.origin();
        self.git(&["-C", "project", "fetch", "--quiet", &origin, &branch]);
        self.git(&["-C", "project", "merge", "--quiet", "--no-ff", "--message", "Merge", "FETCH_HEAD"]);
        self.git(&["-C", "project", "push", "--quiet", &origin, "main"]);
    }

    /// Where the file of an issue lies.
    fn label(&self, issue: u64) -> String {
        let mut found = Vec::new();
        for label in fs::read_dir(self.forge().join("issues")).expect("there are issues").flatten() {
            for file in fs::read_dir(label.path()).expect("a label is a directory").flatten() {
                if file.file_name().to_string_lossy().starts_with(&format!("{issue}-")) {
                    found.push(label.file_name().to_string_lossy().into_owned());
                }
            }
        }
        assert_eq!(found.len(), 1, "an issue lies in one place: {found:?}");
        found.remove(0)
    }

    /// What was said to people about an issue.
    fn said(&self, issue: u64) -> String {
        let comments = fs::read_dir(self.forge().join(format!("comments/{issue}")));
        comments
            .into_iter()
            .flatten()
            .flatten()
            .map(|file| fs::read_to_string(file.path()).expect("it is text"))
            .collect()
    }

    fn branches(&self) -> String {
        let origin = self.origin();
        self.git(&["-C", &origin, "for-each-ref", "--format=%(refname:short)", "refs/heads/ai"])
    }

    /// After the server has ended, nothing of it is left: no process, no directory of an attempt, no checkout.
    fn assert_nothing_left(&self) {
        let processes = processes_of(self.root());
        assert!(processes.is_empty(), "still running: {processes:#?}");
        for place in ["data/ant/attempts", "data/ant/workspaces/jobs"] {
            let left = fs::read_dir(self.root().join(place));
            let left: Vec<_> = left.into_iter().flatten().flatten().map(|entry| entry.path()).collect();
            assert!(left.is_empty(), "still there: {left:?}");
        }
    }
}

fn program(path: &Path, script: &str) {
    fs::create_dir_all(path.parent().expect("a file lies in a directory")).expect("the directory is writable");
    fs::write(path, script).expect("the directory is writable");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("the mode can be set");
}

fn is_over(job: &Value) -> bool {
    matches!(job["state"].as_str(), Some("COMPLETED" | "FAILED" | "BLOCKED" | "CANCELLED"))
}

#[test]
fn the_demo_shows_the_whole_cycle_and_says_what_is_a_stand_in() {
    let home = TempDir::with_prefix("atta-demo-test-").expect("a temporary directory can be made");
    let shown = home.path().join("shown");
    // Settings for another server do not matter.
    let mut demo = Command::new(atta());
    demo.args(["demo", "--dir", shown.to_str().expect("the path is text")]);
    let done = demo.env("ATTA_SERVER", "http://127.0.0.1:1").env("ATTA_SLOTS", "0").output().expect("atta starts");
    let (told, summary) = (String::from_utf8_lossy(&done.stderr), String::from_utf8_lossy(&done.stdout));
    assert!(done.status.success(), "{told}\n{summary}");
    for expected in [
        "a stand-in: a directory of Markdown files",
        "a stand-in: a script, no model; what it says of tokens and dollars is made up",
        "a stand-in: this command comments and merges",
        "it has submitted 3 jobs",
        "reviewer: “Does it work with more than three words?",
        "reviewer: is answered: “I have added 1 test(s) for that.",
        "reviewer: merges ai/2-",
    ] {
        assert!(told.contains(expected), "{expected:?} is missing in {told}");
    }
    for expected in
        ["#1     COMPLETED", "#2     COMPLETED", "#3     BLOCKED", "Must `farewell Ada` print", "Merge ai/1-"]
    {
        assert!(summary.contains(expected), "{expected:?} is missing in {summary}");
    }
    let again = demo.output().expect("atta starts");
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(said.contains("is there already, and the demo begins with an empty directory"), "{said}");
    assert_eq!(again.status.code(), Some(2));
    assert!(processes_of(home.path()).is_empty(), "{:?}", processes_of(home.path()));
}

/// Kills the server with SIGKILL while a task is inside the `git` call that matches the shell pattern, starts it again,
/// and checks that the task went on and the job ends as if nothing had happened.
fn survives_a_kill_during(pattern: &str) {
    let stage = Stage::new();
    fs::write(stage.root().join("hold"), pattern).expect("the directory is writable");
    let server = stage.server();
    let job = stage.submit(&server, NEEDS_A_FIX);
    let mut merged = false;
    wait_for("a task to be in the middle of its work", || {
        let state = server.job(&job);
        assert!(!is_over(&state), "the job ended before a task was held: {state:#}");
        // Late tasks are reached when the pull request is merged.
        let held = stage.root().join("held").exists();
        if !held
            && !merged
            && state["tasks"].as_array()?.iter().any(|task| task["task_type"] == "monitor-pr" && task["attempts"] != 0)
        {
            stage.merge(&stage.pull_request(&server, &job));
            merged = true;
        }
        held.then_some(())
    });
    server.kill();
    let server = stage.server();
    fs::remove_file(stage.root().join("hold")).expect("the task was held");
    if !merged {
        stage.merge(&stage.pull_request(&server, &job));
    }
    let ended = server.finished(&job);
    assert_eq!(ended["state"], "COMPLETED", "{ended:#}");
    for task in ended["tasks"].as_array().expect("a job has tasks") {
        if task["task_type"] != "monitor-pr" {
            assert_eq!(task["attempts"], task["visits"], "an attempt was made twice: {task:#}");
        }
    }
    assert_eq!(stage.label(NEEDS_A_FIX), "done");
    assert_eq!(stage.branches(), "", "the branch of a merged pull request goes");
    server.stop();
    stage.assert_nothing_left();
}

macro_rules! kill_tests {
    ($($test:ident: $pattern:literal;)*) => {$(
        #[test]
        fn $test() {
            survives_a_kill_during($pattern);
        }
    )*};
}

kill_tests! {
    a_killed_server_does_not_interrupt_setup: "-C*rev-parse HEAD";
    a_killed_server_does_not_interrupt_implement: "commit --quiet --message Greet*";
    a_killed_server_does_not_interrupt_unit_test: "diff --cached --quiet";
    a_killed_server_does_not_interrupt_fix_tests: "commit --quiet --message Follow*";
    a_killed_server_does_not_interrupt_the_push: "-C own push*";
    a_killed_server_does_not_interrupt_a_look_at_the_pull_request: "*merge-tree*";
    a_killed_server_does_not_interrupt_cleanup: "*update-ref*";
}

#[test]
fn an_issue_becomes_a_merged_branch() {
    let stage = Stage::new();
    let server = stage.server();
    let job = stage.submit(&server, NEEDS_A_FIX);
    let pull = stage.pull_request(&server, &job);
    let text = fs::read_to_string(pull.join("pull.md")).expect("it is text");
    for expected in [
        "# Greet people more formally",
        "passes on",
        "fix: Tests that expected the old text were changed",
        "without arguments is not said",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing in {text}");
    }
    wait_for("the issue to lie where its pull request is open", || {
        (stage.label(NEEDS_A_FIX) == "ai-pr-open").then_some(())
    });
    let description = server.job(&job)["description"].as_str().unwrap_or_default().to_owned();
    assert!(description.contains("pull.md"), "the job says where its pull request is: {description}");
    stage.merge(&pull);
    let ended = server.finished(&job);
    assert_eq!(ended["state"], "COMPLETED", "{ended:#}");
    assert_eq!(
        (task(&ended, "unit-test")["visits"].as_u64(), task(&ended, "fix-tests")["visits"].as_u64()),
        (Some(2), Some(1))
    );
    assert_eq!((stage.label(NEEDS_A_FIX).as_str(), stage.branches().as_str()), ("done", ""));
    server.stop();
    stage.assert_nothing_left();
}

#[test]
fn a_blocked_issue_says_what_has_to_be_decided_and_pushes_nothing() {
    let stage = Stage::new();
    let server = stage.server();
    let ended = server.finished(&stage.submit(&server, CONTRADICTS_ITSELF));
    assert_eq!(ended["state"], "BLOCKED", "{ended:#}");
    assert_eq!(task(&ended, "plan")["route"], "END_BLOCKED");
    assert_eq!(stage.label(CONTRADICTS_ITSELF), "needs-human");
    let said = stage.said(CONTRADICTS_ITSELF);
    assert!(
        said.contains("The plan needs a decision") && said.contains("\"Goodbye, Ada\" or \"See you, Ada\""),
        "{said}"
    );
    assert_eq!(stage.branches(), "");
    server.stop();
    stage.assert_nothing_left();
}

#[test]
fn a_comment_is_answered_once_and_a_closed_pull_request_needs_a_person() {
    let stage = Stage::new();
    let server = stage.server();
    let job = stage.submit(&server, STRAIGHT);
    let pull = stage.pull_request(&server, &job);
    fs::create_dir(pull.join("comments")).expect("the directory is writable");
    fs::write(pull.join("comments/7-ada.md"), "Please show:\n\n- `shout a b` must print `A B`\n")
        .expect("it is writable");
    let answer = wait_for("an answer", || fs::read_to_string(pull.join("answers/7.md")).ok());
    assert!(answer.contains("I have added 1 test(s) for that.") && answer.contains("See "), "{answer}");
    wait_for("the next look", || (task(&server.job(&job), "monitor-pr")["visits"] == 3).then_some(()));
    fs::write(pull.join("closed"), "").expect("the directory is writable");
    let ended = server.finished(&job);
    assert_eq!(ended["state"], "BLOCKED", "{ended:#}");
    assert_eq!(task(&ended, "address-feedback")["visits"], 1);
    assert!(
        stage.said(STRAIGHT).contains("The pull request was closed without being merged"),
        "{}",
        stage.said(STRAIGHT)
    );
    assert_eq!((stage.label(STRAIGHT).as_str(), stage.branches().as_str()), ("needs-human", ""));
    server.stop();
    stage.assert_nothing_left();
}

/// An agent that speaks the line protocol, ends with the verdict and does something before.
fn with_agent(work: &str, verdict: &str) -> (Stage, Value) {
    let stage = Stage::new();
    let agent = stage.root().join("agent");
    let verdict = serde_json::to_string(verdict).expect("a text is JSON");
    let script = format!(
        "#!/bin/sh\ncat >/dev/null\n{work}\ncat <<'END'\n{{\"type\":\"turn\"}}\n{{\"type\":\"message\",\"text\":{verdict}}}\n{{\"type\":\"result\"}}\nEND\n"
    );
    program(&agent, &script);
    let hostile = "# $(touch pwned); `touch pwned` \"{{7*7}}\" '\nDo something.";
    fs::write(stage.forge().join("issues/ai-ready/9-x.md"), hostile).expect("the directory is writable");
    let server = stage.server();
    let job = stage.submit_with(&server, 9, &agent);
    let ended = server.finished(&job);
    assert_eq!(stage.label(9), "needs-human");
    server.stop();
    stage.assert_nothing_left();
    let pwned = Command::new("find").arg(stage.root()).args(["-name", "pwned"]).output().expect("find starts");
    assert_eq!(String::from_utf8_lossy(&pwned.stdout), "", "the issue is no command");
    (stage, ended)
}

fn code(job: &Value) -> (Option<&str>, Option<&str>) {
    (job["state"].as_str(), job["error_code"].as_str())
}

#[test]
fn an_agent_without_a_verdict_never_succeeds() {
    let (stage, job) = with_agent("", "fine, all done, trust me");
    assert_eq!(code(&job), (Some("FAILED"), Some("ERR_NO_VERDICT")), "{job:#}");
    assert!(stage.said(9).contains("never taken for success"), "{}", stage.said(9));
}

#[test]
fn a_branch_without_changes_is_not_published() {
    let (stage, job) = with_agent("", r#"{"status": "done", "summary": "done", "plan": "do it"}"#);
    assert_eq!(job["state"], "BLOCKED", "{job:#}");
    assert_eq!(task(&job, "implement")["result"], "NO_CHANGE");
    assert!(stage.said(9).contains("The agent changed nothing: done"), "{}", stage.said(9));
    assert_eq!(stage.branches(), "");
}

#[test]
fn tests_that_stay_red_end_the_loop_after_three_fixes() {
    let (stage, job) = with_agent(
        "[ ! -w . ] || echo 'greet Ada => Nobody' >>tests/greet.cases",
        r#"{"status": "done", "summary": "tried", "plan": "do it"}"#,
    );
    assert_eq!(code(&job), (Some("FAILED"), Some("ERR_TESTS_FAILING")), "{job:#}");
    assert_eq!(
        (task(&job, "unit-test")["visits"].as_u64(), task(&job, "fix-tests")["visits"].as_u64()),
        (Some(4), Some(3))
    );
    assert!(stage.said(9).contains("The tests still fail after the repairs"), "{}", stage.said(9));
    assert_eq!(stage.branches(), "");
}
