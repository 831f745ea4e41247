//! The examples for GitHub, against a GitHub of the tests; and ants and servers that die while they ask it.

use std::process::Command;
use std::time::Duration;

use atta_fake_github::{APP_KEY, Fake, Fault, Rule, TOKEN};
use serde_json::{Value, json};

use crate::live_server::{LiveServer, atta, repository, wait_for};
use crate::scratch::Scratch;
use crate::shipped::{outline, task};

const REPO: &str = "acme/shop";

fn run(fake: &Fake, file: &str, params: &[&str]) -> (i32, Value) {
    let mut command = Command::new(atta());
    command.arg("run").arg(repository().join("workflows/examples").join(file)).arg("--json");
    command.args(["-p", &format!("Api={}", fake.url()), "--secret-env", "GithubToken=A_TOKEN"]);
    if file == "github-app.yaml" {
        command.args(["--secret-env", "AppKey=A_KEY"]);
    }
    for param in params {
        command.args(["-p", param]);
    }
    let output = command.env("A_TOKEN", TOKEN).env("A_KEY", APP_KEY).output().expect("atta starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!text.contains(TOKEN) && !text.contains("ghs_"), "no credential is shown: {text}");
    let document = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().expect("atta exits"), document)
}

fn fake() -> Fake {
    let fake = Fake::start();
    fake.state(|state| {
        let mut repo = state.repo(REPO);
        repo.data().collaborators.insert("ada".to_owned());
        repo.open_issue("ada", "Crash at start", "It crashes.");
        repo.open_issue("mallory", "Crash $(touch /tmp/x)", "`rm -rf /`");
        repo.open_issue("ada", "Crash at end", "");
        for number in 1..=3 {
            repo.label(number, "ai-ready");
            repo.label(number, "bug");
        }
    });
    fake
}

#[test]
fn issues_are_picked_and_searched() {
    let fake = fake();
    let (code, job) = run(&fake, "github-issues.yaml", &[]);
    assert_eq!(
        (code, outline(&job)),
        (0, vec!["pick COMPLETED show".to_owned(), "show COMPLETED -".to_owned()]),
        "{job:#}"
    );
    assert_eq!(
        (&task(&job, "show")["outputs"]["numbers"], &task(&job, "pick")["exit_code"]),
        (&json!("1 3"), &json!(200))
    );
    assert_eq!(task(&job, "pick")["artifacts"][0]["name"], "github/result.json");
    let (code, job) = run(&fake, "github-search.yaml", &[]);
    assert_eq!((code, task(&job, "find")["outputs"]["numbers"].as_array().map(Vec::len)), (0, Some(3)), "{job:#}");
    let (code, job) = run(&fake, "github-issues.yaml", &["Repo=acme/nothing"]);
    assert_eq!(
        (code, &task(&job, "pick")["exit_code"], &job["error_code"]),
        (1, &json!(404), &json!("GITHUB_NOT_FOUND")),
        "{job:#}"
    );
}

#[test]
fn an_agent_reads_what_trusted_people_said_about_an_issue() {
    let fake = fake();
    fake.state(|state| {
        for author in ["mallory", "ada", "eve"] {
            state.repo(REPO).comment(1, author, "I say so.");
        }
    });
    let (code, job) = run(&fake, "agent-issue.yaml", &[]);
    assert_eq!((code, &task(&job, "read")["outputs"]["message"]), (0, &json!("1 of 3")), "{job:#}");
}

#[test]
fn an_issue_is_answered_relabelled_and_closed() {
    let fake = fake();
    fake.state(|state| state.tokens.insert(TOKEN.to_owned(), "github-actions[bot]".to_owned()));
    for number in [2, 2] {
        let (code, job) = run(&fake, "github-comment.yaml", &[&format!("Number={number}")]);
        assert_eq!(code, 0, "{job:#}");
    }
    let comments = fake.state(|state| state.repo(REPO).issue(2).comments.clone());
    assert_eq!(comments.len(), 2, "two jobs say two things");
    assert!(comments[0].body.starts_with("Thank you, @mallory. Job "), "{}", comments[0].body);
    assert!(
        comments[0].body.contains("\n\n<!-- atta:") && comments[0].body.ends_with(":welcome -->"),
        "{}",
        comments[0].body
    );
    let (code, job) = run(&fake, "github-labels.yaml", &["Number=1"]);
    assert_eq!(code, 0, "{job:#}");
    let issue = fake.state(|state| state.repo(REPO).issue(1).clone());
    assert_eq!(
        (issue.label_events.join(" "), issue.open),
        ("+ai-ready +bug +ai-in-progress -ai-ready +done -bug -ai-in-progress".to_owned(), true)
    );
    assert_eq!(task(&job, "close")["outputs"]["issue"]["state_reason"], "not_planned");
}

#[test]
fn branches_and_pull_requests_are_made_found_and_watched() {
    let fake = fake();
    for force in ["false", "true"] {
        let (code, job) = run(&fake, "github-branch.yaml", &[&format!("Force={force}")]);
        assert_eq!((code, &task(&job, "end")["outputs"]["deleted"]), (0, &json!(true)), "{job:#}");
    }
    assert_eq!(fake.state(|state| state.repo(REPO).data().branches.len()), 1);
    fake.state(|state| {
        state.repo(REPO).data().set_branch("work", Some("1111111111111111111111111111111111111111"));
    });
    for created in [true, false] {
        let (code, job) = run(&fake, "github-pull-request.yaml", &["Branch=work"]);
        assert_eq!((code, &task(&job, "open")["outputs"]["created"]), (0, &json!(created)), "{job:#}");
    }
    let pull = fake.state(|state| state.repo(REPO).pull(4).clone());
    assert_eq!((pull.reviewers, pull.team_reviewers), (vec!["ada".to_owned()], vec!["shop".to_owned()]));
    let to = fake.state(|state| state.repo(REPO).review_comment(4, "ada", "src/a.rs", 3, "why?"));
    let (code, job) = run(&fake, "github-activity.yaml", &["Number=4", &format!("ReplyTo={to}")]);
    assert_eq!(code, 0, "{job:#}");
    assert_eq!(task(&job, "look")["outputs"]["activity"][0]["body"], "why?");
    let again = &task(&job, "look-again")["outputs"]["activity"];
    assert_eq!((again.as_array().map(Vec::len), &again[0]["own"]), (Some(1), &json!(true)), "{job:#}");
}

#[test]
fn a_pull_request_is_followed_to_its_end_and_each_comment_comes_once() {
    let fake = fake();
    fake.state(|state| {
        let mut repo = state.repo(REPO);
        repo.open_pull("atta-bot", "work", "Mend", "");
        repo.comment(4, "ada", "one");
    });
    std::thread::scope(|scope| {
        let looks = |count: usize| {
            wait_for("looks at it", || (fake.count("GET", "/pulls/4/reviews") >= count).then_some(()));
        };
        let job = scope.spawn(|| run(&fake, "github-follow.yaml", &["Number=4", "Every=50ms"]));
        looks(4);
        fake.state(|state| state.repo(REPO).comment(4, "ada", "two"));
        // What fails meanwhile forgets nothing.
        fake.inject(Rule::on("GET", "/pulls/4").times(4, Fault::Status(502)));
        looks(8);
        fake.state(|state| state.repo(REPO).merge(4));
        let (code, job) = job.join().expect("it runs");
        assert_eq!(code, 0, "{job:#}");
        assert_eq!(task(&job, "say")["outputs"]["said"], "[one][two][]", "{job:#}");
        let look = task(&job, "look");
        assert_eq!((&look["exit_code"], &look["visits"]), (&json!(200), &json!(3)), "{job:#}");
        assert!(look["attempts"].as_u64() > Some(4), "{job:#}");
    });
}

#[test]
fn an_app_asks_with_tokens_of_its_installation() {
    let fake = fake();
    let (code, job) = run(&fake, "github-app.yaml", &[]);
    assert_eq!((code, &task(&job, "list")["outputs"]["count"]), (0, &json!(3)), "{job:#}");
    assert_eq!(fake.state(|state| state.minted.len()), 1);
}

#[test]
fn a_limit_delays_the_next_attempt_and_trouble_passes() {
    let fake = fake();
    fake.state(|state| {
        state.repo(REPO).data().set_branch("work", Some("1111111111111111111111111111111111111111"));
    });
    fake.inject(Rule::on("GET", "/pulls").times(2, Fault::Status(502)));
    fake.inject(Rule::on("GET", "/pulls").once(Fault::TooMany(6)));
    let (code, job) = run(&fake, "github-pull-request.yaml", &["Branch=work"]);
    assert_eq!((code, task(&job, "open")["attempts"].as_u64()), (0, Some(2)), "{job:#}");
}

#[test]
fn a_silence_longer_than_the_timeout_is_a_result() {
    let fake = fake();
    fake.inject(Rule::on("GET", "/search").always(Fault::Slow(Duration::from_mins(1))));
    let directory = tempfile::tempdir().expect("a directory");
    let text = format!(
        "job_type: slow\ntasks:\n  - task_type: find\n    environment: {{GITHUB_TOKEN: \"{TOKEN}\"}}\n    timeout: 300ms\n    github: {{operation: search_issues, query: x, api_url: \"{}\"}}\n",
        fake.url()
    );
    let file = directory.path().join("slow.yaml");
    std::fs::write(&file, text).expect("it is written");
    let output = Command::new(atta()).arg("run").arg(&file).arg("--json").output().expect("atta starts");
    let job: Value = serde_json::from_slice(&output.stdout).expect("a document");
    assert_eq!((output.status.code(), &task(&job, "find")["result"]), (Some(1), &json!("TIMED_OUT")), "{job:#}");
}

const TWO_WRITES: &str = r#"
job_type: writer
params: {Api: {required: true}}
environment: {GITHUB_TOKEN: ghp_fake0}
defaults: {queue_timeout: 10m}
tasks:
  - task_type: say
    dependencies: []
    github: {operation: comment, repo: acme/shop, number: 1, body: "Once.", api_url: "{{ Api }}"}
  - task_type: open
    dependencies: []
    github: {operation: create_pull_request, repo: acme/shop, head: work, title: Mend, body: "Once.", api_url: "{{ Api }}"}
  - task_type: label
    dependencies: []
    github: {operation: set_labels, repo: acme/shop, number: 1, add: [seen], api_url: "{{ Api }}"}
"#;

#[test]
fn a_server_that_is_killed_between_request_and_answer_says_everything_once() {
    let fake = fake();
    fake.state(|state| {
        state.repo(REPO).data().set_branch("work", Some("1111111111111111111111111111111111111111"));
    });
    // What is done is never answered.
    fake.inject(Rule::on("POST", "").always(Fault::Silent(Duration::from_mins(10))));
    let scratch = Scratch::new();
    let file = scratch.write("job.yaml", TWO_WRITES);
    let mut server = LiveServer::start_as(atta(), scratch.root(), &["--http-private", "allow"]);
    let answer = server.json(&["submit", &file, "-p", &format!("Api={}", fake.url()), "--json"]);
    let job = answer["job_id"].as_str().expect("an id").to_owned();
    let written = || {
        fake.state(|state| {
            let mut repo = state.repo(REPO);
            let (comments, labels) = (repo.issue(1).comments.len(), repo.issue(1).label_events.len());
            let pulls = repo.data().issues.values().filter(|issue| issue.pull.is_some()).count();
            (comments, pulls, labels)
        })
    };
    for _ in 0..2 {
        wait_for("everything to be written", || (written() == (1, 1, 3)).then_some(()));
        server.kill();
        server = LiveServer::start_as(atta(), scratch.root(), &["--http-private", "allow"]);
    }
    fake.heal();
    let job = server.finished(&job);
    assert_eq!(job["state"], "COMPLETED", "{job:#}");
    // An attempt of which the server had not heard that it ran is dispatched again as the same one.
    for name in ["say", "open"] {
        assert_eq!(task(&job, name)["outputs"]["created"], false, "{job:#}");
    }
    assert_eq!(written(), (1, 1, 3), "once");
    server.stop();
}
