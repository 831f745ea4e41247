//! What the fake knows: plain data that tests read and change.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Everything.
#[derive(Debug, Default)]
pub struct State {
    /// By `owner/name`.
    pub repos: BTreeMap<String, Repo>,
    /// Logins by token.
    pub tokens: HashMap<String, String>,
    /// Requests that a token may still make, where there is a limit.
    pub left: HashMap<String, u64>,
    /// Seconds that a token of an installation is good for.
    pub installation_seconds: u64,
    /// Tokens that the App got.
    pub minted: Vec<String>,
    /// The requests `GET /user` is refused for these tokens, as for those of installations.
    pub nameless: BTreeSet<String>,
    ids: u64,
    seconds: u64,
}

/// A repository.
#[derive(Debug, Default)]
pub struct Repo {
    /// `owner/name`.
    pub name: String,
    /// Its default branch.
    pub default_branch: String,
    /// Commits by branch; with a `git` directory what that has.
    pub branches: BTreeMap<String, String>,
    /// A bare repository that holds the branches.
    pub git: Option<PathBuf>,
    /// Issues and pull requests by number.
    pub issues: BTreeMap<u64, Issue>,
    /// Check runs by commit.
    pub checks: BTreeMap<String, Vec<Check>>,
    /// Statuses by commit: context and state.
    pub statuses: BTreeMap<String, Vec<(String, String)>>,
    /// Labels that it has, by name.
    pub labels: BTreeMap<String, Label>,
    /// Issues are switched off.
    pub without_issues: bool,
    /// Those who ask may only read.
    pub read_only: bool,
    /// They may write.
    pub collaborators: BTreeSet<String>,
    /// Nobody sees it.
    pub hidden: bool,
    /// Another name that redirects here.
    pub old_name: Option<String>,
    next: u64,
}

/// An issue; a pull request is one too.
#[derive(Debug, Clone, Default)]
pub struct Issue {
    /// Its number.
    pub number: u64,
    /// Unique.
    pub id: u64,
    /// Who opened it.
    pub author: String,
    /// Its title.
    pub title: String,
    /// Its text.
    pub body: String,
    /// Or closed.
    pub open: bool,
    /// `completed`, …
    pub state_reason: Option<String>,
    /// Names.
    pub labels: Vec<String>,
    /// Every change of a label: `+name`, `-name`.
    pub label_events: Vec<String>,
    /// Logins.
    pub assignees: Vec<String>,
    /// In the order of their numbers.
    pub comments: Vec<Comment>,
    /// Of a pull request.
    pub pull: Option<Pull>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
}

/// A label of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Label {
    /// Six hex digits.
    pub color: String,
    /// What it says.
    pub description: Option<String>,
}

/// A comment.
#[derive(Debug, Clone, Default)]
pub struct Comment {
    /// Unique.
    pub id: u64,
    /// Who wrote it.
    pub author: String,
    /// Its text.
    pub body: String,
    /// RFC 3339.
    pub created_at: String,
}

/// What a pull request has besides.
#[derive(Debug, Clone, Default)]
pub struct Pull {
    /// Owner of the repository with the branch.
    pub head_owner: String,
    /// The branch.
    pub head: String,
    /// The branch's commit, when it was last seen.
    pub sha: String,
    /// Where it goes.
    pub base: String,
    /// A draft.
    pub draft: bool,
    /// When it was merged.
    pub merged_at: Option<String>,
    /// Not known yet while it is absent.
    pub mergeable: Option<bool>,
    /// In the order of their numbers.
    pub reviews: Vec<Review>,
    /// In the order of their numbers.
    pub review_comments: Vec<ReviewComment>,
    /// Logins.
    pub reviewers: Vec<String>,
    /// Slugs.
    pub team_reviewers: Vec<String>,
}

/// A review.
#[derive(Debug, Clone, Default)]
pub struct Review {
    /// Unique.
    pub id: u64,
    /// Who wrote it.
    pub author: String,
    /// Its text.
    pub body: String,
    /// `APPROVED`, `CHANGES_REQUESTED`, `COMMENTED`, `PENDING`.
    pub state: String,
    /// RFC 3339.
    pub submitted_at: String,
}

/// A comment on a line.
#[derive(Debug, Clone, Default)]
pub struct ReviewComment {
    /// Unique.
    pub id: u64,
    /// Who wrote it.
    pub author: String,
    /// Its text.
    pub body: String,
    /// The file.
    pub path: String,
    /// The line.
    pub line: u64,
    /// What it answers.
    pub in_reply_to: Option<u64>,
    /// RFC 3339.
    pub created_at: String,
}

/// A check run.
#[derive(Debug, Clone)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// `queued`, `in_progress`, `completed`.
    pub status: String,
    /// `success`, `failure`, …
    pub conclusion: Option<String>,
    /// RFC 3339.
    pub started_at: Option<String>,
    /// What it found.
    pub summary: String,
}

impl State {
    pub(crate) fn id(&mut self) -> u64 {
        self.ids += 1;
        1_000 + self.ids
    }

    /// The next instant; each is a second later than the one before.
    pub fn tick(&mut self) -> String {
        self.seconds += 1;
        let (hours, minutes, seconds) = (self.seconds / 3_600, self.seconds / 60 % 60, self.seconds % 60);
        format!("2026-01-{:02}T{:02}:{minutes:02}:{seconds:02}Z", 1 + hours / 24, hours % 24)
    }

    /// A repository, made when there is none: its default branch is `main`.
    pub fn repo(&mut self, name: &str) -> Repository<'_> {
        self.repos.entry(name.to_owned()).or_insert_with(|| {
            let branches = BTreeMap::from([("main".to_owned(), sha("main"))]);
            Repo { name: name.to_owned(), default_branch: "main".to_owned(), branches, ..Repo::default() }
        });
        Repository { state: self, name: name.to_owned() }
    }

    /// A number for a new issue or pull request.
    pub(crate) fn number(&mut self, repo: &str) -> u64 {
        let repo = self.repos.get_mut(repo).expect("it is there");
        repo.next += 1;
        repo.next
    }
}

/// A commit's name from any text.
pub(crate) fn sha(text: &str) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}{hash:016x}{:08x}", hash >> 32)
}

impl Repo {
    fn git(directory: &Path, arguments: &[&str]) -> Option<String> {
        let output = Command::new("git").arg("--git-dir").arg(directory).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// The commit of a branch.
    pub fn commit(&self, branch: &str) -> Option<String> {
        match &self.git {
            None => self.branches.get(branch).cloned(),
            Some(directory) => {
                Self::git(directory, &["rev-parse", "--verify", "--quiet", &format!("refs/heads/{branch}")])
            }
        }
    }

    /// Makes or moves a branch; `None` removes it.
    pub fn set_branch(&mut self, branch: &str, commit: Option<&str>) {
        let name = format!("refs/heads/{branch}");
        match (&self.git, commit) {
            (None, Some(commit)) => {
                self.branches.insert(branch.to_owned(), commit.to_owned());
            }
            (None, None) => {
                self.branches.remove(branch);
            }
            (Some(directory), Some(commit)) => {
                Self::git(directory, &["update-ref", &name, commit]);
            }
            (Some(directory), None) => {
                Self::git(directory, &["update-ref", "-d", &name]);
            }
        }
    }

    /// How GitHub calls what somebody is to the repository.
    pub fn association(&self, login: &str) -> &'static str {
        if self.name.split('/').next() == Some(login) {
            "OWNER"
        } else if self.collaborators.contains(login) {
            "COLLABORATOR"
        } else {
            "NONE"
        }
    }
}

/// A repository to be changed.
pub struct Repository<'s> {
    state: &'s mut State,
    name: String,
}

impl Repository<'_> {
    /// Its data.
    pub fn data(&mut self) -> &mut Repo {
        self.state.repos.get_mut(&self.name).expect("it was made")
    }

    /// One of its issues or pull requests.
    pub fn issue(&mut self, number: u64) -> &mut Issue {
        self.data().issues.get_mut(&number).unwrap_or_else(|| panic!("there is no issue {number}"))
    }

    /// One of its pull requests.
    pub fn pull(&mut self, number: u64) -> &mut Pull {
        self.issue(number).pull.as_mut().unwrap_or_else(|| panic!("{number} is no pull request"))
    }

    /// Somebody opens an issue.
    pub fn open_issue(&mut self, author: &str, title: &str, body: &str) -> u64 {
        let (number, id, at) = (self.state.number(&self.name), self.state.id(), self.state.tick());
        let issue = Issue {
            number,
            id,
            author: author.to_owned(),
            title: title.to_owned(),
            body: body.to_owned(),
            open: true,
            created_at: at.clone(),
            updated_at: at,
            ..Issue::default()
        };
        self.data().issues.insert(number, issue);
        number
    }

    /// Somebody gives it a label.
    pub fn label(&mut self, number: u64, label: &str) {
        let at = self.state.tick();
        let issue = self.issue(number);
        if !issue.labels.iter().any(|known| known == label) {
            issue.labels.push(label.to_owned());
            issue.label_events.push(format!("+{label}"));
            issue.updated_at = at;
        }
    }

    /// Somebody comments.
    pub fn comment(&mut self, number: u64, author: &str, body: &str) -> u64 {
        let (id, at) = (self.state.id(), self.state.tick());
        let comment = Comment { id, author: author.to_owned(), body: body.to_owned(), created_at: at.clone() };
        let issue = self.issue(number);
        issue.comments.push(comment);
        issue.updated_at = at;
        id
    }

    /// Somebody opens a pull request of a branch of the same repository, which is made when there is none.
    pub fn open_pull(&mut self, author: &str, head: &str, title: &str, body: &str) -> u64 {
        if self.data().commit(head).is_none() {
            self.data().set_branch(head, Some(&sha(head)));
        }
        let number = self.open_issue(author, title, body);
        let owner = self.name.split('/').next().unwrap_or_default().to_owned();
        let (commit, base) = (self.data().commit(head).unwrap_or_default(), self.data().default_branch.clone());
        self.issue(number).pull = Some(Pull {
            head_owner: owner,
            head: head.to_owned(),
            sha: commit,
            base,
            mergeable: Some(true),
            ..Pull::default()
        });
        number
    }

    /// Somebody reviews it.
    pub fn review(&mut self, number: u64, author: &str, state: &str, body: &str) -> u64 {
        let (id, at) = (self.state.id(), self.state.tick());
        let review =
            Review { id, author: author.to_owned(), body: body.to_owned(), state: state.to_owned(), submitted_at: at };
        self.pull(number).reviews.push(review);
        id
    }

    /// Somebody comments on a line.
    pub fn review_comment(&mut self, number: u64, author: &str, path: &str, line: u64, body: &str) -> u64 {
        let (id, at) = (self.state.id(), self.state.tick());
        let comment = ReviewComment {
            id,
            author: author.to_owned(),
            body: body.to_owned(),
            path: path.to_owned(),
            line,
            in_reply_to: None,
            created_at: at,
        };
        self.pull(number).review_comments.push(comment);
        id
    }

    /// A check of a pull request's commit begins (no conclusion) or ends.
    pub fn check(&mut self, number: u64, name: &str, conclusion: Option<&str>) {
        let commit = self.head(number);
        let status = if conclusion.is_some() { "completed" } else { "in_progress" };
        let check = Check {
            name: name.to_owned(),
            status: status.to_owned(),
            conclusion: conclusion.map(str::to_owned),
            started_at: None,
            summary: format!("what {name} found"),
        };
        let checks = self.data().checks.entry(commit).or_default();
        checks.retain(|known| known.name != name);
        checks.push(check);
    }

    /// The commit of a pull request.
    pub fn head(&mut self, number: u64) -> String {
        let pull = self.pull(number).clone();
        self.data().commit(&pull.head).unwrap_or(pull.sha)
    }

    /// Somebody merges it.
    pub fn merge(&mut self, number: u64) {
        let at = self.state.tick();
        let (commit, base) = (self.head(number), self.pull(number).base.clone());
        self.data().set_branch(&base, Some(&commit));
        let pull = self.pull(number);
        (pull.sha, pull.merged_at) = (commit, Some(at));
        self.issue(number).open = false;
    }
}
