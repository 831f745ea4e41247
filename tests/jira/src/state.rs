//! What is known: one project of Jira and one repository of Bitbucket.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// The accountId of somebody.
pub fn account(name: &str) -> String {
    format!("557058:{name}")
}

/// An issue of Jira.
#[derive(Debug, Clone, Default)]
pub struct Issue {
    /// `SHOP-1`.
    pub key: String,
    /// Its title.
    pub summary: String,
    /// Its text, if it has one.
    pub description: Option<String>,
    /// Who has reported it.
    pub reporter: String,
    /// In the order in which they were set.
    pub labels: Vec<String>,
    /// `+label` and `-label`, as it happened.
    pub label_events: Vec<String>,
    /// Oldest first.
    pub comments: Vec<Comment>,
    /// It is in a status of the category Done.
    pub done: bool,
    pub(crate) updated: u64,
}

/// A comment on an issue.
#[derive(Debug, Clone)]
pub struct Comment {
    /// Its number.
    pub id: u64,
    /// Who has written it.
    pub author: String,
    /// What it says.
    pub body: String,
    pub(crate) created: String,
}

/// A pull request of Bitbucket.
#[derive(Debug, Clone)]
pub struct Pull {
    /// Its number.
    pub id: u64,
    /// Its title.
    pub title: String,
    /// Its text.
    pub description: String,
    /// The branch that it brings.
    pub branch: String,
    /// The branch that it is for.
    pub base: String,
    /// `OPEN`, `MERGED`, `DECLINED` or `SUPERSEDED`.
    pub state: &'static str,
    /// Oldest first.
    pub remarks: Vec<Remark>,
    /// Results of builds.
    pub statuses: Vec<Status>,
    /// The commit, when the branch is gone.
    pub(crate) last: String,
    pub(crate) created: String,
}

/// A comment on a pull request.
#[derive(Debug, Clone)]
pub struct Remark {
    /// Its number.
    pub id: u64,
    /// Who has written it.
    pub author: String,
    /// What it says.
    pub raw: String,
    /// The file and the line that it is about.
    pub inline: Option<(String, u64)>,
    /// What it answers.
    pub parent: Option<u64>,
    /// Whether its author has removed it.
    pub deleted: bool,
    pub(crate) created: String,
}

/// What a build says of a commit.
#[derive(Debug, Clone)]
pub struct Status {
    /// One per commit and key.
    pub key: String,
    /// `SUCCESSFUL`, `FAILED`, `INPROGRESS` or `STOPPED`.
    pub state: &'static str,
    /// Of which commit.
    pub commit: String,
}

/// Everything.
#[derive(Debug, Default)]
pub struct State {
    /// By their keys.
    pub issues: BTreeMap<String, Issue>,
    /// By their numbers.
    pub pulls: BTreeMap<u64, Pull>,
    /// A bare repository whose branches these are.
    pub git: PathBuf,
    /// Entries of a page of Bitbucket, whatever is asked for.
    pub page: usize,
    pub(crate) next: u64,
    pub(crate) seconds: u64,
}

impl State {
    pub(crate) fn tick(&mut self) -> u64 {
        self.seconds += 1;
        self.seconds
    }

    pub(crate) fn time(&mut self) -> String {
        let now = self.tick();
        let (hours, minutes, seconds) = (now / 3_600, now / 60 % 60, now % 60);
        format!("2026-01-{:02}T{:02}:{minutes:02}:{seconds:02}.000000+00:00", 1 + hours / 24, hours % 24)
    }

    pub(crate) fn id(&mut self) -> u64 {
        self.next += 1;
        1_000 + self.next
    }

    /// Somebody reports an issue: its key.
    pub fn open_issue(&mut self, reporter: &str, summary: &str, description: &str) -> String {
        let key = format!("{}-{}", crate::PROJECT, self.issues.len() + 1);
        let issue = Issue {
            key: key.clone(),
            summary: summary.to_owned(),
            description: (!description.is_empty()).then(|| description.to_owned()),
            reporter: reporter.to_owned(),
            updated: self.tick(),
            ..Issue::default()
        };
        self.issues.insert(key.clone(), issue);
        key
    }

    /// An issue that is there.
    pub fn issue(&mut self, key: &str) -> &mut Issue {
        self.issues.get_mut(key).expect("there is such an issue")
    }

    /// A pull request that is there.
    pub fn pull(&mut self, id: u64) -> &mut Pull {
        self.pulls.get_mut(&id).expect("there is such a pull request")
    }

    /// Somebody sets a label.
    pub fn label(&mut self, key: &str, label: &str) {
        let now = self.tick();
        let issue = self.issue(key);
        issue.labels.push(label.to_owned());
        issue.updated = now;
    }

    /// Somebody comments on an issue.
    pub fn comment(&mut self, key: &str, author: &str, body: &str) -> u64 {
        let (id, created) = (self.id(), self.time());
        let comment = Comment { id, author: author.to_owned(), body: body.to_owned(), created };
        self.issue(key).comments.push(comment);
        id
    }

    /// Somebody comments on a pull request.
    pub fn remark(&mut self, pull: u64, author: &str, raw: &str, inline: Option<(&str, u64)>) -> u64 {
        let (id, created) = (self.id(), self.time());
        let inline = inline.map(|(path, line)| (path.to_owned(), line));
        let (author, raw) = (author.to_owned(), raw.to_owned());
        self.pull(pull).remarks.push(Remark { id, author, raw, inline, parent: None, deleted: false, created });
        id
    }

    /// A build says something of the commit that the pull request has now.
    pub fn build(&mut self, pull: u64, key: &str, state: &'static str) {
        let commit = self.head(pull);
        let statuses = &mut self.pull(pull).statuses;
        statuses.retain(|known| known.key != key || known.commit != commit);
        statuses.push(Status { key: key.to_owned(), state, commit });
    }

    /// The commit that the pull request has now.
    pub fn head(&mut self, pull: u64) -> String {
        let (branch, last) = (self.pull(pull).branch.clone(), self.pull(pull).last.clone());
        self.commit(&branch).unwrap_or(last)
    }

    /// Somebody merges it.
    pub fn merge(&mut self, pull: u64) {
        let (head, base) = (self.head(pull), self.pull(pull).base.clone());
        self.git(&["update-ref", &format!("refs/heads/{base}"), &head]);
        let pull = self.pull(pull);
        (pull.last, pull.state) = (head, "MERGED");
    }

    /// Somebody declines it.
    pub fn decline(&mut self, pull: u64) {
        let head = self.head(pull);
        let pull = self.pull(pull);
        (pull.last, pull.state) = (head, "DECLINED");
    }

    /// The commit of a branch.
    pub fn commit(&self, branch: &str) -> Option<String> {
        self.git(&["rev-parse", "--verify", "--quiet", &format!("refs/heads/{branch}")])
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> Option<String> {
        let output = Command::new("git").arg("--git-dir").arg(&self.git).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}
