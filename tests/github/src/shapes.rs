//! The fake's things as GitHub writes them; what is not said here is filled in by the description.

use serde_json::{Map, Value, json};

use crate::state::{Check, Comment, Issue, Label, Pull, Repo, Review, ReviewComment};

pub(crate) fn user(login: &str) -> Value {
    let kind = if login.ends_with("[bot]") { "Bot" } else { "User" };
    json!({"login": login, "id": 1 + login.len(), "type": kind, "html_url": format!("https://github.test/{}", login.trim_end_matches("[bot]"))})
}

pub(crate) fn repository(repo: &Repo) -> Value {
    let (owner, name) = repo.name.split_once('/').expect("owner/name");
    json!({
        "name": name, "full_name": repo.name, "owner": user(owner), "default_branch": repo.default_branch,
        "html_url": format!("https://github.test/{}", repo.name), "has_issues": !repo.without_issues, "archived": false,
        "permissions": {"admin": false, "maintain": false, "push": !repo.read_only, "triage": !repo.read_only, "pull": true},
    })
}

/// A label of the repository itself.
pub(crate) fn label(name: &str, label: &Label) -> Value {
    let mut made = labels(&[name.to_owned()])[0].take();
    made["color"] = json!(label.color);
    made["description"] = json!(label.description);
    made
}

pub(crate) fn labels(names: &[String]) -> Value {
    let id = |name: &str| name.bytes().fold(7_u64, |id, byte| (id * 31 + u64::from(byte)) % 1_000_000_007);
    names.iter().map(|name| json!({"id": id(name), "name": name, "color": "ededed", "default": false})).collect()
}

fn people(logins: &[String]) -> Value {
    logins.iter().map(|login| user(login)).collect()
}

pub(crate) fn issue(repo: &Repo, issue: &Issue) -> Value {
    let place = if issue.pull.is_some() { "pull" } else { "issues" };
    let mut made = json!({
        "id": issue.id, "number": issue.number, "title": issue.title, "body": issue.body, "user": user(&issue.author),
        "html_url": format!("https://github.test/{}/{place}/{}", repo.name, issue.number),
        "repository_url": format!("https://api.github.test/repos/{}", repo.name),
        "state": if issue.open { "open" } else { "closed" }, "state_reason": issue.state_reason,
        "labels": labels(&issue.labels), "assignees": people(&issue.assignees),
        "assignee": issue.assignees.first().map(|login| user(login)), "comments": issue.comments.len(),
        "author_association": repo.association(&issue.author), "locked": false,
        "created_at": issue.created_at, "updated_at": issue.updated_at,
        "closed_at": if issue.open { Value::Null } else { json!(issue.updated_at) },
    });
    if issue.pull.is_some() {
        made["pull_request"] = json!({"html_url": made["html_url"]});
    }
    made
}

pub(crate) fn comment(repo: &Repo, issue: &Issue, comment: &Comment) -> Value {
    json!({
        "id": comment.id, "body": comment.body, "user": user(&comment.author),
        "author_association": repo.association(&comment.author), "created_at": comment.created_at,
        "updated_at": comment.created_at,
        "html_url": format!("https://github.test/{}/issues/{}#issuecomment-{}", repo.name, issue.number, comment.id),
    })
}

/// One from a list does not say all that one alone does.
pub(crate) fn pull(repo: &Repo, issue: &Issue, pull: &Pull, alone: bool) -> Value {
    let sha = if issue.open { repo.commit(&pull.head).unwrap_or_else(|| pull.sha.clone()) } else { pull.sha.clone() };
    let side = |owner: &str, branch: &str, sha: &str| {
        json!({
            "label": format!("{owner}:{branch}"), "ref": branch, "sha": sha, "user": user(owner),
            "repo": repository(repo),
        })
    };
    let owner = repo.name.split('/').next().unwrap_or_default();
    let mut made = json!({
        "id": issue.id, "number": issue.number, "title": issue.title, "body": issue.body, "user": user(&issue.author),
        "html_url": format!("https://github.test/{}/pull/{}", repo.name, issue.number),
        "state": if issue.open { "open" } else { "closed" }, "draft": pull.draft, "labels": labels(&issue.labels),
        "head": side(&pull.head_owner, &pull.head, &sha),
        "base": side(owner, &pull.base, &repo.commit(&pull.base).unwrap_or_default()),
        "requested_reviewers": people(&pull.reviewers), "requested_teams": teams(&pull.team_reviewers),
        "author_association": repo.association(&issue.author), "created_at": issue.created_at,
        "updated_at": issue.updated_at, "merged_at": pull.merged_at, "auto_merge": null,
        "merge_commit_sha": pull.merged_at.as_ref().map(|_| sha.clone()),
        "closed_at": if issue.open { Value::Null } else { json!(issue.updated_at) },
    });
    if alone {
        made["merged"] = pull.merged_at.is_some().into();
        made["mergeable"] = json!(pull.mergeable);
        made["mergeable_state"] = match pull.mergeable {
            None => "unknown",
            Some(true) => "clean",
            Some(false) => "dirty",
        }
        .into();
    }
    made
}

pub(crate) fn teams(slugs: &[String]) -> Value {
    slugs.iter().map(|slug| json!({"slug": slug, "name": slug})).collect()
}

pub(crate) fn review(repo: &Repo, issue: &Issue, sha: &str, review: &Review) -> Value {
    let mut made = json!({
        "id": review.id, "body": review.body, "user": user(&review.author), "state": review.state, "commit_id": sha,
        "author_association": repo.association(&review.author),
        "html_url": format!("https://github.test/{}/pull/{}#pullrequestreview-{}", repo.name, issue.number, review.id),
    });
    if review.state != "PENDING" {
        made["submitted_at"] = review.submitted_at.clone().into();
    }
    made
}

pub(crate) fn review_comment(repo: &Repo, issue: &Issue, sha: &str, comment: &ReviewComment) -> Value {
    let mut made: Map<String, Value> = Map::new();
    let known = json!({
        "id": comment.id, "body": comment.body, "user": user(&comment.author), "path": comment.path,
        "line": comment.line, "commit_id": sha, "original_commit_id": sha, "diff_hunk": "@@ -1 +1 @@\n-old\n+new",
        "author_association": repo.association(&comment.author), "created_at": comment.created_at,
        "updated_at": comment.created_at,
        "html_url": format!("https://github.test/{}/pull/{}#discussion_r{}", repo.name, issue.number, comment.id),
    });
    made.extend(known.as_object().cloned().unwrap_or_default());
    if let Some(to) = comment.in_reply_to {
        made.insert("in_reply_to_id".to_owned(), to.into());
    }
    Value::Object(made)
}

pub(crate) fn check(sha: &str, number: usize, check: &Check) -> Value {
    json!({
        "id": 1 + number, "name": check.name, "head_sha": sha, "status": check.status, "conclusion": check.conclusion,
        "started_at": check.started_at,
        "html_url": format!("https://github.test/checks/{number}"), "pull_requests": [],
        "output": {"title": check.name, "summary": check.summary, "text": null},
    })
}
