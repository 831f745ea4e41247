//! Hostile issues, repositories and agents, all of them at once against one server: no secret leaves the ant, and nothing is
//! written that the workflow does not write.

mod cases;
mod shipped;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use atta_core::redact::Redactor;
use atta_core::secret::{SecretText, SecretValue};
use atta_fake_github::{Fake, Logged};
use serde_json::Value;

use self::cases::{Case, End};
use crate::live_server::{LiveServer, atta};
use crate::scratch::Scratch;
use crate::shipped::task;

const REPO: &str = "acme/shop";
const GITHUB_TOKEN: &str = "ghp_Zq8Lm2Nx5Rt7Vw1Yb4Cd6Fg9Hj0Kl3Pq8S";
const PUSH_TOKEN: &str = "push-Kc7Dv2Mz9Xq4Wt6Lb1Rn8Hs3";
const MODEL_KEY: &str = "sk-ant-api03-Qw3Er5Ty7Ui9Op1As2Df4Gh6Jk8Lz0Xc";
const OUTSIDE: &str = "outside-Vb6Nm4Qa2Ws8Ed0Rf1Tg5";
/// Of a task that runs beside the agents.
const NEIGHBOUR: &str = "neighbour-Yh3Uj7Ik1Ol9Pz5Xc2Vb";

fn canaries() -> Redactor {
    let named = [
        ("GithubToken", GITHUB_TOKEN),
        ("PushToken", PUSH_TOKEN),
        ("ModelKey", MODEL_KEY),
        ("Outside", OUTSIDE),
        ("Neighbour", NEIGHBOUR),
    ];
    let values =
        named.map(|(name, value)| SecretValue { name: name.to_owned(), value: SecretText::new(value.to_owned()) });
    Redactor::new(&values).expect("there are secrets")
}

fn git(directory: &Path, line: &str) -> String {
    let done = Command::new("bash")
        .args(["-ec", line])
        .current_dir(directory)
        .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_AUTHOR_NAME", "a"), ("GIT_AUTHOR_EMAIL", "a@b")])
        .envs([("GIT_COMMITTER_NAME", "a"), ("GIT_COMMITTER_EMAIL", "a@b"), ("PUSH_TOKEN", PUSH_TOKEN)])
        .output()
        .expect("bash starts");
    assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// A directory of its own with a repository to begin with, a secret that nobody may read, and a place for `further` ones; its
/// root, and the directory in which hostile words that are obeyed leave their marks.
fn ground(further: &str) -> (Scratch, PathBuf, PathBuf) {
    let scratch = Scratch::new();
    let root = scratch.root().to_owned();
    for directory in ["marks", "seed", further] {
        fs::create_dir(root.join(directory)).expect("a directory can be made");
    }
    fs::write(root.join("marks-secret"), format!("key={OUTSIDE}\n")).expect("a file can be written");
    git(
        &root.join("seed"),
        "git init -qb main; echo '# Shop' >README.md; mkdir src; echo 'fn main() {}' >src/main.rs; git add .; git commit -qm Begin",
    );
    let marks = root.join("marks");
    (scratch, root, marks)
}

/// A server, a GitHub, a repository that only who has the token may push to, and places that nobody may touch.
struct Field {
    scratch: Scratch,
    fake: Fake,
    server: LiveServer,
    bare: PathBuf,
    /// What is made in there was made by hostile words.
    marks: PathBuf,
}

impl Field {
    fn new(cases: &[Case]) -> Self {
        let (scratch, root, marks) = ground("remotes");
        let bare = root.join("origin.git");
        git(&root, "git clone -q --bare seed origin.git");
        for case in cases {
            if let Some(script) = &case.branch {
                let script = script.replace('@', &marks.to_string_lossy());
                let branch = format!(
                    "git checkout -q -B hostile-{} main; {script}\ngit add .; git commit -qm Plan; git push -q ../origin.git HEAD",
                    case.name
                );
                git(
                    &root.join("seed"),
                    &format!("{branch}; git checkout -qf main; git clean -qfdx; rm -rf sub .git/modules"),
                );
            }
            std::os::unix::fs::symlink(&bare, root.join("remotes").join(case.name)).expect("a link can be made");
        }
        let hook = bare.join("hooks/pre-receive");
        fs::write(&hook, format!("#!/bin/sh\n[ \"$PUSH_TOKEN\" = '{PUSH_TOKEN}' ]\n")).expect("a hook can be written");
        git(&root, "chmod +x origin.git/hooks/pre-receive");
        let fake = Fake::start();
        fake.state(|state| {
            state.tokens.insert(GITHUB_TOKEN.to_owned(), "atta-bot".to_owned());
            let mut repo = state.repo(REPO);
            repo.data().collaborators.insert("ada".to_owned());
            repo.data().git = Some(bare.clone());
            for case in cases {
                let place = |text: &str| text.replace('@', &marks.to_string_lossy());
                let number = repo.open_issue(case.author, &place(&case.title), &place(&case.body));
                for label in &case.labels {
                    repo.label(number, &place(label));
                }
                for (author, text) in &case.comments {
                    repo.comment(number, author, &place(text));
                }
            }
        });
        let server = LiveServer::start_as(atta(), &root, &["--http-private", "allow", "--slots", "6"]);
        for (name, value) in [
            ("GithubToken", GITHUB_TOKEN),
            ("PushToken", PUSH_TOKEN),
            ("ModelKey", MODEL_KEY),
            ("Neighbour", NEIGHBOUR),
        ] {
            server.set_secret(name, value);
        }
        Self { scratch, fake, server, bare, marks }
    }

    fn definition(&self) -> String {
        let agent = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/red_team/obedient");
        let text = include_str!("implement.yaml").replace("\"API\"", &format!("\"{}\"", self.fake.url()));
        self.scratch.write("implement.yaml", text.replace("OBEDIENT", &agent.to_string_lossy()))
    }

    fn submit(&self, definition: &str, number: usize, case: &Case) -> String {
        self.submit_for(definition, number, case, case.name)
    }

    /// A job for a case, with the repository by the name that another case has for it.
    fn submit_for(&self, definition: &str, number: usize, case: &Case, remote: &str) -> String {
        let branch = case.branch.as_ref().map_or_else(|| "main".to_owned(), |_| format!("hostile-{}", case.name));
        let remote = self.scratch.root().join("remotes").join(remote);
        let params =
            [format!("Number={number}"), format!("Branch={branch}"), format!("Remote=file://{}", remote.display())];
        let mut words = vec!["submit", definition, "--json"];
        words.extend(params.iter().flat_map(|param| ["-p", param.as_str()]));
        self.server.json(&words)["job_id"].as_str().expect("an id").to_owned()
    }

    /// All that people and other programs can see of a job.
    fn shown(&self, job: &str) -> BTreeMap<String, Vec<u8>> {
        let mut shown = BTreeMap::new();
        for words in [vec!["jobs", "show", job, "--json"], vec!["logs", job], vec!["events", job, "--json"]] {
            let output = self.server.client(&words);
            shown.insert(words.join(" "), [output.stdout, output.stderr].concat());
        }
        shown
    }
}

/// The line of a text, below its first, that a program which reads along would take for an order.
fn order_in(text: &str) -> Option<&str> {
    let is_name = |text: &str| text.starts_with(|c: char| c.is_ascii_alphanumeric());
    text.lines().skip(1).map(str::trim_start).find(|line| {
        line.split('@').skip(1).any(is_name)
            || line.strip_prefix('/').is_some_and(is_name)
            || line.starts_with("bors ")
            || line.contains("Fixes #")
    })
}

/// That nobody is called and nothing is ordered in what was written, and that somebody has tried.
fn check_orders(log: &[Logged], wrong: &mut Vec<String>) {
    let said: Vec<&str> = log.iter().filter_map(|request| request.body["body"].as_str()).collect();
    wrong.extend(said.iter().filter_map(|text| order_in(text)).map(|line| format!("this was said: {line}")));
    if !said.iter().any(|text| text.contains("/\u{200b}approve")) {
        wrong.push("nobody has tried to order something".to_owned());
    }
}

/// Every file below a directory but what tasks work in.
fn files(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && name != "workspaces" && name != "mirrors" => files(&path, into),
            Ok(kind) if kind.is_file() => into.push(path),
            _ => {}
        }
    }
}

fn check(field: &Field, cases: &[Case], jobs: &[String], ended: &[Value]) -> Vec<String> {
    let mut wrong = Vec::new();
    let canaries = canaries();
    let search = |place: &str, bytes: &[u8], wrong: &mut Vec<String>| {
        if let Some(name) = canaries.find(bytes) {
            wrong.push(format!("{name} is in {place}"));
        }
    };
    for ((case, id), job) in cases.iter().zip(jobs).zip(ended) {
        let name = case.name;
        let state = job["state"].as_str().unwrap_or_default();
        let checked = task(job, "check")["exit_code"].as_u64();
        let as_expected = match case.end {
            End::Opened => state == "COMPLETED",
            End::Stopped(code) => state == "BLOCKED" && checked == Some(code),
            End::Failed => state == "FAILED" && task(job, "implement")["state"] == "FAILED",
        };
        if !as_expected {
            let failed: Vec<String> = job["tasks"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|task| format!("{} {} {}", task["name"], task["result"], task["message"]))
                .collect();
            wrong.push(format!("{name}: {state}, check {checked:?}, and not {:?}: {}", case.end, failed.join("; ")));
        }
        if field.marks.join(name).exists() != case.obeyed {
            wrong.push(format!(
                "{name}: the agent {} what it was told",
                if case.obeyed { "did not see" } else { "saw" }
            ));
        }
        for (place, bytes) in field.shown(id) {
            search(&format!("{name}: {place}"), &bytes, &mut wrong);
        }
    }
    // Made by words: only what the agent itself did while it was an agent.
    let known: Vec<&str> = cases.iter().map(|case| case.name).collect();
    for entry in fs::read_dir(&field.marks).expect("it is there").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !known.contains(&name.as_str()) {
            wrong.push(format!("something hostile was run: {name}"));
        }
    }
    let mut written: BTreeMap<String, usize> = BTreeMap::new();
    for request in field.fake.log() {
        search(&format!("{} {}", request.method, request.path), request.body.to_string().as_bytes(), &mut wrong);
        if request.method != "GET" {
            *written.entry(format!("{} {}", request.method, request.path)).or_default() += 1;
        }
    }
    let opened: Vec<usize> = (1..=cases.len()).filter(|number| cases[number - 1].end == End::Opened).collect();
    let mut allowed: BTreeMap<String, usize> =
        opened.iter().map(|number| (format!("POST /repos/{REPO}/issues/{number}/comments"), 1)).collect();
    allowed.insert(format!("POST /repos/{REPO}/pulls"), opened.len());
    if written != allowed {
        let other: Vec<_> = written.iter().filter(|(write, count)| allowed.get(*write) != Some(*count)).collect();
        let missing: Vec<_> = allowed.iter().filter(|(write, _)| !written.contains_key(*write)).collect();
        wrong.push(format!("written on GitHub: {other:?}, not written: {missing:?}"));
    }
    let objects = Command::new("git")
        .args(["cat-file", "--batch-all-objects", "--batch"])
        .current_dir(&field.bare)
        .output()
        .expect("git starts");
    search("what was pushed", &objects.stdout, &mut wrong);
    let branches = git(&field.bare, "git for-each-ref --format='%(refname)'");
    for branch in branches.lines() {
        let known = branch == "refs/heads/main"
            || branch.starts_with("refs/heads/hostile-")
            || branch.starts_with("refs/heads/ai/");
        if !known {
            wrong.push(format!("somebody pushed {branch}"));
        }
    }
    if git(&field.bare, "git log --format=%s main").trim() != "Begin" {
        wrong.push("somebody pushed to main".to_owned());
    }
    let mut kept = Vec::new();
    files(&field.scratch.root().join("data"), &mut kept);
    kept.push(field.scratch.root().join("server.log"));
    for file in kept {
        search(&file.display().to_string(), &fs::read(&file).unwrap_or_default(), &mut wrong);
    }
    wrong
}

#[test]
fn nothing_secret_leaves_and_nothing_is_written_that_the_workflow_does_not_write() {
    let cases = cases::all();
    assert!(cases.len() >= 40);
    let field = Field::new(&cases);
    let definition = field.definition();
    let jobs: Vec<String> =
        cases.iter().enumerate().map(|(at, case)| field.submit(&definition, at + 1, case)).collect();
    let ended: Vec<Value> = jobs.iter().map(|job| field.server.finished(job)).collect();
    let mut wrong = check(&field, &cases, &jobs, &ended);
    check_orders(&field.fake.log(), &mut wrong);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    field.server.stop();
}

/// What one job's agent leaves in the mirror of the repository must not reach the next job, which has a token.
#[test]
fn nothing_that_an_agent_leaves_in_the_mirror_reaches_the_next_job_of_the_repository() {
    let cases = cases::in_mirrors();
    let field = Field::new(&cases);
    let definition = field.definition();
    let first = field.submit(&definition, 1, &cases[0]);
    let mut ended = vec![field.server.finished(&first)];
    let second = field.submit_for(&definition, 2, &cases[1], cases[0].name);
    ended.push(field.server.finished(&second));
    let wrong = check(&field, &cases, &[first, second], &ended);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    field.server.stop();
}
