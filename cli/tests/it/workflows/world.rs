//! A server with the workflows for GitHub, and a GitHub of the tests with the repository behind it.

use std::ops::{Deref, DerefMut};

use atta_fake_github::{Fake, Rule, TOKEN};

use super::ground::Ground;
use crate::live_server::wait_for;

pub(super) const REPO: &str = "acme/shop";

/// Everything that a flow needs.
pub(super) struct World {
    ground: Ground,
    pub(super) fake: Fake,
}

impl Deref for World {
    type Target = Ground;

    fn deref(&self) -> &Ground {
        &self.ground
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Ground {
        &mut self.ground
    }
}

impl World {
    /// A server with so many slots, and `gh-implement` on it.
    pub(super) fn new(slots: u32) -> Self {
        let ground = Ground::new(slots);
        let fake = Fake::start();
        fake.state(|state| {
            let mut repo = state.repo(REPO);
            repo.data().git = Some(ground.scratch.path("project.git"));
            repo.data().collaborators.insert("ada".to_owned());
        });
        ground.configure(&[("GithubRepo", REPO.to_owned()), ("GithubApi", fake.url())]);
        ground.server().set_secret("GithubToken", TOKEN);
        ground.upload("gh-implement", str::to_owned);
        Self { ground, fake }
    }

    pub(super) fn stop(self) {
        self.ground.stop();
    }

    /// The picker, every second.
    pub(super) fn pick_every_second(&self) {
        self.upload("gh-issue-picker", |text| text.replace("\"* * * * *\"", "\"* * * * * *\""));
    }

    /// An issue of Ada's.
    pub(super) fn issue(&self, mode: &str) -> u64 {
        let number = self.fake.state(|state| state.repo(REPO).open_issue("ada", "Greet people", "Say hello."));
        self.mode(number, mode);
        number
    }

    pub(super) fn label(&self, number: u64, label: &str) {
        self.fake.state(|state| state.repo(REPO).label(number, label));
    }

    /// A job for an issue.
    pub(super) fn submit(&self, number: u64, params: &[&str]) -> String {
        let mut given = vec![format!("Repo={REPO}"), format!("Issue={number}"), format!("Api={}", self.fake.url())];
        given.extend(params.iter().map(|param| (*param).to_owned()));
        self.submitted("gh-implement", &given)
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

    pub(super) fn merge(&self, pull: u64) {
        self.fake.state(|state| state.repo(REPO).merge(pull));
    }

    pub(super) fn inject(&self, rule: Rule) {
        self.fake.inject(rule);
    }
}
