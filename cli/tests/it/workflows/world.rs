//! A server with the shipped workflows, a GitHub of the tests with a repository behind it, and stand-ins for agents.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use atta_fake_github::{Fake, Rule, TOKEN};
use serde_json::Value;

use crate::live_server::{LiveServer, atta, repository, wait_for};
use crate::scratch::Scratch;

pub(super) const REPO: &str = "acme/shop";

/// Everything that a flow needs.
pub(super) struct World {
    server: Option<LiveServer>,
    pub(super) fake: Fake,
    slots: String,
    pub(super) scratch: Scratch,
}

fn shell(scratch: &Scratch, script: &str) -> String {
    let mut command = Command::new("bash");
    command.args(["-euc", script]).current_dir(scratch.root()).env("GIT_CONFIG_GLOBAL", "/dev/null");
    for (name, value) in [("NAME", "Ada"), ("EMAIL", "ada@example.com")] {
        command.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
    }
    let done = command.output().expect("bash starts");
    assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

impl World {
    /// A server with so many slots, and `gh-implement` on it.
    pub(super) fn new(slots: u32) -> Self {
        let scratch = Scratch::new();
        let agent = include_str!("agent.sh").replace("@DIR@", scratch.root().to_str().expect("the path is text"));
        let agent = scratch.write("agent", agent);
        fs::create_dir(scratch.path("modes")).expect("the directory is writable");
        shell(
            &scratch,
            &format!(
                "chmod +x {agent}; git init -q --bare -b main project.git; git init -q -b main seed; cd seed
                 printf 'test:\\n\\tsh ./test.sh\\n' >Makefile; echo 'test ! -e broken' >test.sh
                 git add .; git commit -qm Begin; git push -q ../project.git main"
            ),
        );
        let fake = Fake::start();
        fake.state(|state| {
            let mut repo = state.repo(REPO);
            repo.data().git = Some(scratch.path("project.git"));
            repo.data().collaborators.insert("ada".to_owned());
        });
        let mut world = Self { server: None, fake, slots: slots.to_string(), scratch };
        world.start();
        let settings = [
            ("GithubRepo", REPO.to_owned()),
            ("GithubApi", world.fake.url()),
            ("CloneUrl", world.scratch.path("project.git").display().to_string()),
            ("Agent", "custom".to_owned()),
            ("AgentCommand", agent),
            ("Poll", "200ms".to_owned()),
            ("Patience", "500ms".to_owned()),
        ];
        for (name, value) in settings {
            let set = world.server().client(&["config", "set", name, &value]);
            assert!(set.status.success(), "{name}: {}", String::from_utf8_lossy(&set.stderr));
        }
        world.server().set_secret("GithubToken", TOKEN);
        world.upload("gh-implement", str::to_owned);
        world
    }

    pub(super) fn start(&mut self) {
        let arguments = ["--http-private", "allow", "--slots", &self.slots];
        self.server = Some(LiveServer::start_as(atta(), self.scratch.root(), &arguments));
    }

    /// `kill -9`: what it started goes on.
    pub(super) fn kill(&mut self) {
        self.server.take().expect("a server runs").kill();
    }

    pub(super) fn stop(mut self) {
        self.server.take().expect("a server runs").stop();
    }

    pub(super) fn server(&self) -> &LiveServer {
        self.server.as_ref().expect("a server runs")
    }

    /// Uploads a shipped workflow, changed.
    pub(super) fn upload(&self, name: &str, change: impl FnOnce(&str) -> String) {
        let text = fs::read_to_string(repository().join(format!("workflows/{name}.yaml"))).expect("it is shipped");
        let file = self.scratch.write(&format!("{name}.yaml"), change(&text));
        self.server().json(&["definitions", "upload", &file, "--json"]);
    }

    /// The picker, every second.
    pub(super) fn pick_every_second(&self) {
        self.upload("gh-issue-picker", |text| text.replace("\"* * * * *\"", "\"* * * * * *\""));
    }

    /// An issue of Ada's.
    pub(super) fn issue(&self, mode: &str) -> u64 {
        let number = self.fake.state(|state| state.repo(REPO).open_issue("ada", "Greet people", "Say hello."));
        self.scratch.write(&format!("modes/{number}"), mode);
        number
    }

    pub(super) fn label(&self, number: u64, label: &str) {
        self.fake.state(|state| state.repo(REPO).label(number, label));
    }

    /// A job for an issue.
    pub(super) fn submit(&self, number: u64, params: &[&str]) -> String {
        let mut given = vec![
            format!("Repo={REPO}"),
            format!("Issue={number}"),
            format!("Api={}", self.fake.url()),
            format!("CloneUrl={}", self.scratch.path("project.git").display()),
            "Agent=custom".to_owned(),
            format!("AgentCommand={}", self.scratch.path("agent").display()),
            "Poll=200ms".to_owned(),
            "Patience=500ms".to_owned(),
        ];
        given.extend(params.iter().map(|param| (*param).to_owned()));
        let mut arguments = vec!["submit", "gh-implement", "--json"];
        for param in &given {
            arguments.extend(["-p", param]);
        }
        self.server().json(&arguments)["job_id"].as_str().expect("an id").to_owned()
    }

    pub(super) fn labels(&self, number: u64) -> Vec<String> {
        self.fake.state(|state| state.repo(REPO).issue(number).labels.clone())
    }

    /// What was said on an issue or pull request under our name.
    pub(super) fn said(&self, number: u64) -> Vec<String> {
        self.fake.state(|state| {
            let comments = state.repo(REPO).issue(number).comments.clone();
            comments.iter().filter(|comment| comment.author == "atta-bot").map(|comment| comment.body.clone()).collect()
        })
    }

    /// The pull requests of an issue.
    pub(super) fn pulls(&self, number: u64) -> Vec<u64> {
        self.fake.state(|state| {
            let prefix = format!("ai/{number}-");
            let mut repo = state.repo(REPO);
            let ours = |pull: &atta_fake_github::Pull| pull.head.starts_with(&prefix);
            let issues = repo.data().issues.values().filter(|issue| issue.pull.as_ref().is_some_and(ours));
            issues.map(|issue| issue.number).collect()
        })
    }

    /// Waits for an issue's pull request to be followed.
    pub(super) fn followed(&self, number: u64) -> u64 {
        wait_for("the pull request", || {
            let pulls = self.pulls(number);
            (self.labels(number) == ["ai-pr-open"]).then_some(pulls.first().copied()?)
        })
    }

    /// Waits until somebody has looked at the pull request so often again.
    pub(super) fn looked_at(&self, pull: u64, times: usize) {
        let path = format!("/pulls/{pull}/reviews");
        let before = self.fake.count("GET", &path);
        wait_for("looks at the pull request", || (self.fake.count("GET", &path) >= before + times).then_some(()));
    }

    /// Sessions that were begun, `task visit`, by issue.
    pub(super) fn sessions(&self) -> BTreeMap<u64, Vec<String>> {
        let mut sessions: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        for line in self.scratch.read("sessions").lines() {
            let mut words = line.split(' ');
            let issue = words.next().and_then(|word| word.parse().ok()).expect("a number");
            sessions.entry(issue).or_default().push(words.skip(1).collect::<Vec<_>>().join(" "));
        }
        sessions
    }

    pub(super) fn sessions_of(&self, number: u64) -> String {
        self.sessions().remove(&number).unwrap_or_default().join(", ")
    }

    pub(super) fn seen(&self, number: u64, file: &str) -> String {
        self.scratch.read(&format!("seen/{number}.{file}"))
    }

    /// Branches that jobs have made, in the repository.
    pub(super) fn branches(&self) -> Vec<String> {
        let text =
            shell(&self.scratch, "git -C project.git for-each-ref --format='%(refname:short)' 'refs/heads/ai/*'");
        text.lines().map(str::to_owned).collect()
    }

    /// Does something in a clone of the repository, and pushes.
    pub(super) fn push(&self, script: &str) {
        shell(&self.scratch, &format!("rm -rf clone; git clone -q project.git clone; cd clone; {script}; git push -q"));
    }

    pub(super) fn merge(&self, pull: u64) {
        self.fake.state(|state| state.repo(REPO).merge(pull));
    }

    pub(super) fn finished(&self, job: &str) -> Value {
        self.server().finished(job)
    }

    /// Waits until no workspace is left.
    pub(super) fn no_workspaces(&self) {
        let data = self.scratch.path("data").display().to_string();
        wait_for("all workspaces to be gone", || {
            let listed = self.scratch.atta(&["workspaces", "list", "--json", "--data-dir", &data]);
            listed.json().as_array().is_some_and(Vec::is_empty).then_some(())
        });
    }

    pub(super) fn inject(&self, rule: Rule) {
        self.fake.inject(rule);
    }

    /// Jobs of a type: id, state, and their user key.
    pub(super) fn jobs(&self, job_type: &str) -> Vec<Value> {
        let answer = self.server().json(&["jobs", "list", "--type", job_type, "--limit", "1000", "--json"]);
        answer["jobs"].as_array().or_else(|| answer.as_array()).expect("a list of jobs").clone()
    }
}
