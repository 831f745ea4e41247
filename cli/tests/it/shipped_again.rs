//! The examples of jobs that go on or run again with something changed: a server runs them, a client gives the orders.

use serde_json::{Value, json};

use crate::live_server::{LiveServer, repository, wait_for};
use crate::scratch::{Done, Scratch, lines, task};

struct Client {
    scratch: Scratch,
    server: LiveServer,
}

impl Client {
    fn new() -> Self {
        let scratch = Scratch::new();
        let path = std::env::var_os("PATH").and_then(|path| path.into_string().ok()).expect("PATH is text");
        let server = LiveServer::start(scratch.root(), &path);
        Self { scratch, server }
    }

    fn ask(&self, arguments: &[&str]) -> Done {
        self.scratch.command(arguments).env("ATTA_SERVER", &self.server.url).output().expect("atta starts").into()
    }

    fn submit(&self, file: &str, params: &[&str]) -> String {
        let mut arguments = vec!["submit", file];
        for param in params {
            arguments.extend(["-p", param]);
        }
        let done = self.ask(&arguments);
        assert_eq!(done.code, 0, "{done:#?}");
        done.stdout.trim().to_owned()
    }

    /// An order that is obeyed by a job, which is returned: the same one or a new one.
    fn order(&self, arguments: &[&str]) -> String {
        let done = self.ask(arguments);
        assert_eq!(done.code, 0, "{done:#?}");
        done.stdout.split_whitespace().next().expect("it prints the job").to_owned()
    }

    fn paused(&self, job: &str) -> Value {
        wait_for("the job to pause", || {
            let job = self.server.job(job);
            (job["state"] == "PAUSED").then_some(job)
        })
    }
}

fn example(name: &str) -> String {
    repository().join("workflows/examples").join(name).into_os_string().into_string().expect("the path is text")
}

#[test]
fn a_paused_job_is_told_what_was_missing_and_goes_on() {
    let client = Client::new();
    let job = client.submit(&example("resume.yaml"), &[]);
    let paused = client.paused(&job);
    assert_eq!(
        (task(&paused, "choose")["exit_code"].as_u64(), task(&paused, "choose")["visits"].as_u64()),
        (Some(9), Some(1))
    );
    // Without the param it pauses again: the same visit, another attempt.
    assert_eq!(client.order(&["resume", &job]), job);
    wait_for("the second attempt", || (task(&client.server.job(&job), "choose")["attempts"] == 2).then_some(()));
    client.paused(&job);
    client.ask(&["resume", &job, "-p", "Traget=x"]).says(2, &["Traget", "did you mean Target"]);
    assert_eq!(client.order(&["resume", &job, "-p", "Target=staging"]), job);
    let done = client.server.finished(&job);
    assert_eq!((&done["state"], &done["params"]), (&json!("COMPLETED"), &json!({"Target": "staging"})), "{done:#}");
    assert_eq!(lines(&done), ["choose COMPLETED COMPLETED 1 deploy", "deploy COMPLETED COMPLETED 1 -"]);
    assert_eq!(task(&done, "choose")["attempts"], 3);
    assert_eq!(task(&done, "deploy")["outputs"]["said"], "deployed to staging");
    client.ask(&["resume", &job, "-p", "Target=production"]).says(4, &["only a paused job can be resumed"]);
    client.server.stop();
}

#[test]
fn a_rerun_with_other_params_keeps_what_completed_and_a_resubmit_does_not() {
    let client = Client::new();
    let first = client.submit(&example("rerun.yaml"), &[]);
    let failed = client.server.finished(&first);
    assert_eq!(
        (failed["state"].as_str(), lines(&failed)),
        (Some("FAILED"), vec!["build COMPLETED COMPLETED 1 -".to_owned(), "test FAILED FAILED 1 -".to_owned()])
    );

    client.ask(&["rerun", &first, "--from", "tset", "-p", "Level=2"]).says(4, &["tset"]);
    client.ask(&["rerun", &first, "--from", "test", "-p", "Level=high"]).says(2, &["params.Level", "integer"]);
    let second = client.order(&["rerun", &first, "--from", "test", "-p", "Level=2"]);
    assert_ne!(second, first);
    let done = client.server.finished(&second);
    assert_eq!((&done["state"], &done["params"]), (&json!("COMPLETED"), &json!({"Level": 2})), "{done:#}");
    assert_eq!(done["rerun_of"], json!(first));
    assert_eq!(task(&done, "build")["adopted_from"], json!(first));
    assert_eq!(task(&done, "build")["attempts"], 0, "{done:#}");
    assert_eq!(task(&done, "test")["outputs"]["said"], format!("level 2 of {first}"));
    assert_eq!(client.ask(&["logs", &second, "test"]).stdout, "product\n", "its artifact was there too");

    let url = format!("{}/api/v1/jobs/{second}/tasks/build/artifacts/product.txt", client.server.url);
    let fetched = std::process::Command::new("curl").args(["-fsS", &url]).output().expect("curl starts");
    assert_eq!(String::from_utf8_lossy(&fetched.stdout), "product\n", "what it took over can be fetched: {fetched:?}");

    // In place: another attempt of the same job, with the params that it had.
    assert_eq!(client.order(&["rerun", &first, "--from", "test"]), first);
    let again = client.server.finished(&first);
    assert_eq!((again["state"].as_str(), again["attempt"].as_u64()), (Some("FAILED"), Some(2)), "{again:#}");

    let third = client.order(&["resubmit", &first, "-p", "Level=3"]);
    let done = client.server.finished(&third);
    assert_eq!(lines(&done), ["build COMPLETED COMPLETED 1 -", "test COMPLETED COMPLETED 1 -"], "{done:#}");
    assert_eq!(task(&done, "test")["outputs"]["said"], format!("level 3 of {third}"), "it built itself");
    assert_eq!(client.server.job(&client.order(&["resubmit", &first]))["params"], json!({"Level": 1}));
    client.server.stop();
}

#[test]
fn a_rerun_of_the_newest_version_runs_what_was_changed_since() {
    let client = Client::new();
    let text = std::fs::read_to_string(example("rerun.yaml")).expect("the example exists");
    let file = client.scratch.write("rerun.yaml", &text);
    let first = client.submit(&file, &[]);
    assert_eq!(client.server.finished(&first)["state"], "FAILED");
    client.scratch.write("rerun.yaml", text.replace("-ge 2", "-ge 1"));
    assert_eq!(client.ask(&["definitions", "upload", &file]).code, 0);

    let same = client.order(&["rerun", &first, "--from", "test", "-p", "Level=1"]);
    assert_eq!(client.server.finished(&same)["state"], "FAILED", "without --latest its own version runs");
    let latest = client.order(&["rerun", &first, "--from", "test", "--latest"]);
    let done = client.server.finished(&latest);
    assert_eq!(
        (&done["state"], &task(&done, "build")["adopted_from"]),
        (&json!("COMPLETED"), &json!(first)),
        "{done:#}"
    );
    assert_ne!(done["version"], client.server.job(&first)["version"]);
    let old = client.server.job(&first)["version"].as_str().expect("a version").to_owned();
    let pinned = client.order(&["resubmit", &latest, "--version", &old]);
    assert_eq!(client.server.finished(&pinned)["state"], "FAILED");

    // What would be kept must be the same task.
    client.scratch.write(
        "rerun.yaml",
        text.replace("task_type: build", "task_type: make")
            .replace("[build]", "[make]")
            .replace("tasks.build", "tasks.make"),
    );
    assert_eq!(client.ask(&["definitions", "upload", &file]).code, 0);
    client.ask(&["rerun", &first, "--from", "test", "--latest"]).says(4, &["build", "would be kept"]);
    client.server.stop();
}

const EACH: &str = r#"
job_type: each
tasks:
  - task_type: plan
    script: [echo planned]
  - task_type: each
    dependencies: [plan]
    fan_out: {items: [core, cli], key: "{{ item }}"}
    script:
      - echo "first {{ item }}"
      - printf 'no newline'
"#;

#[test]
fn lines_of_logs_say_which_instance_wrote_them() {
    let client = Client::new();
    let file = client.scratch.write("each.yaml", EACH);
    let job = client.submit(&file, &[]);
    let followed = client.ask(&["logs", &job, "-f"]);
    assert_eq!(followed.code, 0, "{followed:#?}");
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let of_each =
        ["each[cli] | first cli", "each[cli] | no newline", "each[core] | first core", "each[core] | no newline"];
    let mut all = of_each.to_vec();
    all.push("plan | planned");
    assert_eq!(sorted(&followed.stdout), all);
    assert_eq!(sorted(&client.ask(&["logs", &job]).stdout), all);
    assert_eq!(sorted(&client.ask(&["logs", &job, "each"]).stdout), of_each);
    assert_eq!(sorted(&client.ask(&["logs", &job, "each", "-f"]).stdout), of_each);
    // One attempt is shown as it is.
    assert_eq!(client.ask(&["logs", &job, "plan"]).stdout, "planned\n");
    let one = client.ask(&["logs", &job, "--attempt", "2"]).stdout;
    assert!(one.starts_with("first c") && one.ends_with("\nno newline"), "{one:?}");
    client.server.stop();
}
