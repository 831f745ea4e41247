//! What workflows of every tracker need: a server, a repository, and stand-ins for agents.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::live_server::{LiveServer, atta, repository, wait_for};
use crate::scratch::Scratch;

/// A server, and `project.git` beside it.
pub(super) struct Ground {
    server: Option<LiveServer>,
    slots: String,
    pub(super) scratch: Scratch,
    /// Where jobs get the repository from.
    pub(super) clone_url: String,
}

pub(super) fn shell(scratch: &Scratch, script: &str) -> String {
    let mut command = Command::new("bash");
    command.args(["-euc", script]).current_dir(scratch.root()).env("GIT_CONFIG_GLOBAL", "/dev/null");
    for (name, value) in [("NAME", "Ada"), ("EMAIL", "ada@example.com")] {
        command.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
    }
    let done = command.output().expect("bash starts");
    assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

impl Ground {
    /// A server with so many slots, and a repository with a first commit.
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
        let clone_url = scratch.path("project.git").display().to_string();
        let mut ground = Self { server: None, slots: slots.to_string(), scratch, clone_url };
        ground.start();
        ground
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

    /// Sets configs: these, and which agents work.
    pub(super) fn configure(&self, settings: &[(&str, String)]) {
        let own = [
            ("CloneUrl", self.clone_url.clone()),
            ("Agent", "custom".to_owned()),
            ("AgentCommand", self.scratch.path("agent").display().to_string()),
            ("Poll", "200ms".to_owned()),
            ("Patience", "500ms".to_owned()),
        ];
        for (name, value) in settings.iter().chain(&own) {
            let set = self.server().client(&["config", "set", name, value]);
            assert!(set.status.success(), "{name}: {}", String::from_utf8_lossy(&set.stderr));
        }
    }

    /// Uploads a shipped workflow, changed.
    pub(super) fn upload(&self, name: &str, change: impl FnOnce(&str) -> String) {
        let text = fs::read_to_string(repository().join(format!("workflows/{name}.yaml"))).expect("it is shipped");
        let file = self.scratch.write(&format!("{name}.yaml"), change(&text));
        self.server().json(&["definitions", "upload", &file, "--json"]);
    }

    /// What the agents of an issue do.
    pub(super) fn mode(&self, issue: impl Display, mode: &str) {
        self.scratch.write(&format!("modes/{issue}"), mode);
    }

    /// A job of a type, with these params and those that say who works.
    pub(super) fn submitted(&self, job_type: &str, params: &[String]) -> String {
        let own = [
            format!("CloneUrl={}", self.clone_url),
            "Agent=custom".to_owned(),
            format!("AgentCommand={}", self.scratch.path("agent").display()),
            "Poll=200ms".to_owned(),
            "Patience=500ms".to_owned(),
        ];
        let mut arguments = vec!["submit", job_type, "--json"];
        for param in own.iter().chain(params) {
            arguments.extend(["-p", param]);
        }
        self.server().json(&arguments)["job_id"].as_str().expect("an id").to_owned()
    }

    /// Sessions that were begun, `task visit`, by issue.
    pub(super) fn sessions(&self) -> BTreeMap<String, Vec<String>> {
        let mut sessions: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in self.scratch.read("sessions").lines() {
            let mut words = line.split(' ');
            let issue = words.next().expect("an issue").to_owned();
            sessions.entry(issue).or_default().push(words.skip(1).collect::<Vec<_>>().join(" "));
        }
        sessions
    }

    pub(super) fn sessions_of(&self, issue: impl Display) -> String {
        self.sessions().remove(&issue.to_string()).unwrap_or_default().join(", ")
    }

    pub(super) fn seen(&self, issue: impl Display, file: &str) -> String {
        self.scratch.read(&format!("seen/{issue}.{file}"))
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

    pub(super) fn finished(&self, job: &str) -> Value {
        self.server().finished(job)
    }

    /// Waits until no workspace is left.
    pub(super) fn no_workspaces(&self) {
        self.kept_workspaces(0);
    }

    /// Waits until none but so many are left, of jobs that were not completed.
    pub(super) fn kept_workspaces(&self, count: usize) {
        wait_for("all other workspaces to be gone", || {
            let states = self.workspaces();
            (states.len() == count && states.iter().all(|state| state == "kept")).then_some(())
        });
    }

    /// The states of all workspaces.
    pub(super) fn workspaces(&self) -> Vec<String> {
        let data = self.scratch.path("data").display().to_string();
        let listed = self.scratch.atta(&["workspaces", "list", "--json", "--data-dir", &data]).json();
        let all = listed.as_array().expect("a list").iter();
        all.map(|workspace| workspace["state"].as_str().expect("a state").to_owned()).collect()
    }

    /// Waits until a job is paused, and lets it go on.
    pub(super) fn resume_when_paused(&self, job: &str) {
        wait_for("the job to pause", || (self.server().job(job)["state"] == "PAUSED").then_some(()));
        let resumed = self.server().client(&["resume", job]);
        assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
    }

    /// Jobs of a type: id, state, and their user key.
    pub(super) fn jobs(&self, job_type: &str) -> Vec<Value> {
        let answer = self.server().json(&["jobs", "list", "--type", job_type, "--limit", "1000", "--json"]);
        answer["jobs"].as_array().or_else(|| answer.as_array()).expect("a list of jobs").clone()
    }
}
