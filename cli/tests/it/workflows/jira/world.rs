//! A server with the workflows for Jira, and a Jira and a Bitbucket of the tests with the repository behind it.

use std::ops::{Deref, DerefMut};

use atta_fake_jira::{Fake, LOGIN, PROJECT, REPO, Remark, TOKEN, account};

use super::super::ground::Ground;
use crate::live_server::wait_for;

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
    /// A server with so many slots, and `jira-implement` on it. Ada and Grace are trusted.
    pub(super) fn new(slots: u32) -> Self {
        let ground = Ground::new(slots);
        let fake = Fake::start(ground.scratch.path("project.git"));
        ground.configure(&[
            ("Jira", fake.url()),
            ("JiraProject", PROJECT.to_owned()),
            ("JiraTrusted", Self::trusted()),
            ("BitbucketRepo", REPO.to_owned()),
            ("BitbucketApi", fake.bitbucket()),
        ]);
        ground.server().set_secret("JiraLogin", LOGIN);
        ground.server().set_secret("BitbucketToken", TOKEN);
        ground.upload("jira-implement", str::to_owned);
        Self { ground, fake }
    }

    fn trusted() -> String {
        format!("{},{}", account("ada"), account("grace"))
    }

    pub(super) fn stop(self) {
        self.ground.stop();
    }

    /// The picker, every second.
    pub(super) fn pick_every_second(&self) {
        self.upload("jira-issue-picker", |text| text.replace("\"* * * * *\"", "\"* * * * * *\""));
    }

    /// An issue of Ada's.
    pub(super) fn issue(&self, mode: &str) -> String {
        let key = self.fake.state(|state| state.open_issue("ada", "Greet people", "Say hello."));
        self.mode(&key, mode);
        key
    }

    pub(super) fn label(&self, key: &str, label: &str) {
        self.fake.state(|state| state.label(key, label));
    }

    /// A job for an issue.
    pub(super) fn submit(&self, key: &str, params: &[&str]) -> String {
        let mut given = vec![
            format!("Jira={}", self.fake.url()),
            format!("Repo={REPO}"),
            format!("Issue={key}"),
            format!("Trusted={}", Self::trusted()),
            format!("Api={}", self.fake.bitbucket()),
        ];
        given.extend(params.iter().map(|param| (*param).to_owned()));
        self.submitted("jira-implement", &given)
    }

    pub(super) fn labels(&self, key: &str) -> Vec<String> {
        self.fake.state(|state| state.issue(key).labels.clone())
    }

    /// What was said on an issue under our name.
    pub(super) fn said(&self, key: &str) -> Vec<String> {
        self.fake.state(|state| {
            let ours = state.issue(key).comments.iter().filter(|comment| comment.author == "atta-bot");
            ours.map(|comment| comment.body.clone()).collect()
        })
    }

    /// What was said on a pull request under our name.
    pub(super) fn answers(&self, pull: u64) -> Vec<Remark> {
        self.fake.state(|state| {
            let ours = state.pull(pull).remarks.iter().filter(|remark| remark.author == "atta-bot");
            ours.cloned().collect()
        })
    }

    /// The pull requests of an issue.
    pub(super) fn pulls(&self, key: &str) -> Vec<u64> {
        let prefix = format!("ai/{key}-");
        self.fake.state(|state| {
            let ours = state.pulls.values().filter(|pull| pull.branch.starts_with(&prefix));
            ours.map(|pull| pull.id).collect()
        })
    }

    /// Waits for an issue's pull request to be followed.
    pub(super) fn followed(&self, key: &str) -> u64 {
        wait_for("the pull request", || {
            let pulls = self.pulls(key);
            (self.labels(key) == ["ai-pr-open"]).then_some(pulls.first().copied()?)
        })
    }

    /// Waits until somebody has looked at the pull request so often again.
    pub(super) fn looked_at(&self, pull: u64, times: usize) {
        let path = format!("/pullrequests/{pull}/statuses");
        let before = self.fake.count("GET", &path);
        wait_for("looks at the pull request", || (self.fake.count("GET", &path) >= before + times).then_some(()));
    }

    pub(super) fn head(&self, pull: u64) -> String {
        self.fake.state(|state| state.head(pull))
    }

    pub(super) fn merge(&self, pull: u64) {
        self.fake.state(|state| state.merge(pull));
    }
}
