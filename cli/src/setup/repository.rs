//! Token, repository, permissions and labels.

use std::time::Duration;

use atta_core::time::{Clock, UnixMillis};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::hub::{Answer, Hub};
use super::report::Report;
use crate::ambient::SystemClock;
use crate::args::SetupGithubArgs;
use crate::output;

/// A label: name, colour, what it says.
type Wanted = (&'static str, &'static str, &'static str);

/// Labels of the workflows.
const LABELS: [Wanted; 4] = [
    ("ai-ready", "0e8a16", "An agent may work on this"),
    ("ai-in-progress", "fbca04", "An agent works on this"),
    ("ai-pr-open", "1d76db", "An agent's pull request is open"),
    ("needs-human", "d93f0b", "An agent could not go on: somebody has to look"),
];

/// Of gh-review.
const REVIEW: Wanted = ("ai-review", "5319e7", "An agent may review this pull request");

/// More than this makes signatures of Apps and the ends of limits wrong.
const SKEW: Duration = Duration::from_mins(1);

const MAKE_A_TOKEN: &str = "Make a fine-grained token for this repository with Contents, Issues and Pull requests: read and write, \
                            Checks and Commit statuses: read.";

/// What GitHub says of the repository, and the server has to know.
pub(super) struct Found {
    /// Its default branch.
    pub(super) branch: String,
    /// Where git finds it: of GitHub Enterprise that is not github.com.
    pub(super) clone_url: Option<String>,
}

/// Looks at the token and the repository: what is to be known of it, if all is there to go on with.
pub(super) async fn check(hub: &Hub, repo: &str, report: &mut Report) -> Option<Found> {
    let user = match hub.get(&["user"], &[]).await {
        Ok(answer) => answer,
        Err(why) => {
            report.todo("GitHub", format!("it does not answer: {why}"), "Look at the network, a proxy, or --api-url.");
            return None;
        }
    };
    clock(&user, report);
    if user.is_limited() {
        report.todo("token", "GitHub wants to be left alone for now", "Run this again later.");
        return None;
    }
    match user.status {
        StatusCode::OK => report.ok("token", format!("is {}'s", user.body["login"].as_str().unwrap_or("somebody"))),
        StatusCode::UNAUTHORIZED => {
            report.todo("token", "GitHub does not know it", MAKE_A_TOKEN);
            return None;
        }
        // Those of Apps have no user.
        _ => report.unknown(
            "token",
            format!("does not tell whose it is ({})", user.message()),
            "Tasks that comment have to say `login`: docs/github.md.",
        ),
    }
    scopes(&user, report);
    repository(hub, repo, report).await
}

/// What GitHub's clock says, and ours.
fn clock(answer: &Answer, report: &mut Report) {
    let date = answer.header("date").and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    let Some(date) = date else { return };
    let theirs = UnixMillis(date.timestamp().as_millisecond());
    let skew = Duration::from_millis(theirs.0.abs_diff(SystemClock.now().0));
    if skew > SKEW {
        report.todo(
            "clock",
            format!("this machine and GitHub differ by {}", output::duration(skew)),
            "Set the clock: credentials and limits depend on it.",
        );
    } else {
        report.ok("clock", "as GitHub's");
    }
}

/// Classic tokens say what they may.
fn scopes(answer: &Answer, report: &mut Report) {
    let Some(scopes) = answer.header("x-oauth-scopes").filter(|scopes| !scopes.is_empty()) else { return };
    let has = |name: &str| scopes.split(',').any(|scope| scope.trim() == name);
    if has("repo") {
        report.ok("scopes", scopes.to_owned());
    } else if has("public_repo") {
        report.unknown("scopes", scopes.to_owned(), "That is enough for public repositories only.");
    } else {
        report.todo("scopes", format!("only {scopes}"), "Give the token the scope `repo`.");
    }
}

async fn repository(hub: &Hub, repo: &str, report: &mut Report) -> Option<Found> {
    let path = path(repo, &[]);
    let found = match hub.get(&path, &[]).await {
        Ok(answer) => answer,
        Err(why) => {
            report.todo("repository", format!("GitHub does not answer: {why}"), "Run this again.");
            return None;
        }
    };
    if found.status.is_redirection() {
        report.todo("repository", format!("{repo} has another name now"), "Give its new name with --repo.");
        return None;
    }
    if found.status != StatusCode::OK {
        let advice = format!("Look at the name; if it is right the token does not see it. {MAKE_A_TOKEN}");
        report.todo("repository", format!("{repo}: {}", found.message()), advice);
        return None;
    }
    let facts = &found.body;
    let branch = facts["default_branch"].as_str().unwrap_or("main").to_owned();
    report.ok("repository", format!("{repo}, default branch {branch}"));
    if facts["archived"] == true {
        report.todo("repository", "it is archived: nothing can be written", "Take it out of the archive.");
        return None;
    }
    if facts["has_issues"] == false {
        report.todo("issues", "are switched off", "Switch them on: Settings, General, Features.");
        return None;
    }
    let permissions = &facts["permissions"];
    match (permissions["push"].as_bool(), permissions["triage"].as_bool()) {
        (Some(true), _) => report.ok("writing", "its user may push and change labels"),
        (Some(false), _) => {
            let only = if permissions["triage"] == true { " (labels only)" } else { "" };
            report.todo("writing", format!("its user may not push{only}"), "Give the user the role Write.");
            return None;
        }
        (None, _) => report.unknown(
            "writing",
            "GitHub does not tell what the token may write",
            "The labels show it for issues; the first pull request for the rest.",
        ),
    }
    let clone_url = facts["clone_url"].as_str().map(str::to_owned);
    reads(hub, repo, &branch, report).await.then_some(Found { branch, clone_url })
}

/// What jobs will read, asked for once.
async fn reads(hub: &Hub, repo: &str, branch: &str, report: &mut Report) -> bool {
    let asked: [(&str, &[&str], &str); 5] = [
        ("Issues", &["issues"], "reading issues"),
        ("Pull requests", &["pulls"], "reading pull requests"),
        ("Checks", &["commits", branch, "check-runs"], "reading checks"),
        ("Commit statuses", &["commits", branch, "status"], "reading statuses"),
        ("Contents", &["git", "ref", "heads", branch], "reading branches"),
    ];
    let (mut fine, mut may) = (true, Vec::new());
    for (permission, rest, what) in asked {
        // GitHub has no parameter of that name everywhere, and takes it everywhere.
        let query: &[(&str, &str)] = if rest.len() == 1 { &[("per_page", "1")] } else { &[] };
        match hub.get(&path(repo, rest), query).await {
            // An empty repository has no commits: 409.
            Ok(answer) if answer.status.is_success() || answer.status == StatusCode::CONFLICT => may.push(permission),
            Ok(answer) if answer.is_limited() => {
                report.todo(what, "GitHub wants to be left alone for now", "Run this again later.");
                fine = false;
            }
            Ok(answer) => {
                fine = false;
                report.todo(what, answer.message(), format!("Give the token {permission}: read."));
            }
            Err(why) => {
                fine = false;
                report.todo(what, format!("GitHub does not answer: {why}"), "Run this again.");
            }
        }
    }
    if !may.is_empty() {
        report.ok("reading", may.join(", "));
    }
    fine
}

fn path<'a>(repo: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    let mut path = vec!["repos"];
    path.extend(repo.split('/'));
    path.extend(rest);
    path
}

/// Makes the labels that are missing, and sets right those that are otherwise.
pub(super) async fn labels(hub: &Hub, args: &SetupGithubArgs, report: &mut Report) {
    let (repo, dry_run) = (args.repo.as_str(), args.dry_run);
    let known = match hub.all(&path(repo, &["labels"])).await {
        Ok(known) => known,
        Err(why) => {
            return report.todo("labels", format!("they cannot be listed: {why}"), "Give the token Issues: read.");
        }
    };
    let mut as_they_are = Vec::new();
    for (name, color, description) in LABELS.into_iter().chain(args.review.then_some(REVIEW)) {
        let wanted = json!({"name": name, "color": color, "description": description});
        let text = |label: &Value, key: &str| label[key].as_str().unwrap_or_default().to_owned();
        let same_name = |label: &&Value| text(label, "name").eq_ignore_ascii_case(name);
        let found = known.iter().find(same_name);
        let (done, method, at) = match found {
            Some(label)
                if text(label, "name") == name
                    && text(label, "color").eq_ignore_ascii_case(color)
                    && text(label, "description") == description =>
            {
                as_they_are.push(name);
                continue;
            }
            Some(label) => ("brought up to date", Method::PATCH, Some(text(label, "name"))),
            None => ("made", Method::POST, None),
        };
        if dry_run {
            report.changed("label", format!("{name} would be {done}"));
            continue;
        }
        let (rest, body): (Vec<&str>, Value) = match &at {
            Some(at) => (vec!["labels", at], json!({"new_name": name, "color": color, "description": description})),
            None => (vec!["labels"], wanted),
        };
        let mut whole = path(repo, &[]);
        whole.extend(rest);
        match hub.ask(method, &whole, &[], Some(&body)).await {
            Ok(answer) if answer.status.is_success() => report.changed("label", format!("{name} {done}")),
            Ok(answer) => report.todo(
                "label",
                format!("{name} cannot be {done}: {}", answer.message()),
                "Give the token Issues: read and write.",
            ),
            Err(why) => report.todo("label", format!("{name}: GitHub does not answer: {why}"), "Run this again."),
        }
    }
    if !as_they_are.is_empty() {
        report.ok("labels", as_they_are.join(", "));
    }
}
