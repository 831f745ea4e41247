//! Issues, their labels and comments.

use serde_json::{Value, json};

use super::{Asked, Known, created, ok, page_of, refused};
use crate::shapes;
use crate::state::{Comment, Issue, Repo};

fn newest_first(asked: &Asked<'_>, key: &str) -> bool {
    asked.given(key).is_none_or(|word| word == "desc")
}

fn fits_state(issue: &Issue, state: Option<&str>) -> bool {
    match state {
        Some("all") => true,
        Some("closed") => !issue.open,
        _ => issue.open,
    }
}

pub(super) fn list(asked: &mut Asked<'_>) -> Result<Known, Known> {
    let descending = newest_first(asked, "direction");
    let state = asked.given("state").map(str::to_owned);
    let labels: Vec<String> = asked
        .given("labels")
        .unwrap_or_default()
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    let since = asked.given("since").map(str::to_owned);
    let assignee = asked.given("assignee").map(str::to_owned);
    let repo: &Repo = asked.repo()?;
    let fits = |issue: &&Issue| {
        fits_state(issue, state.as_deref())
            && labels.iter().all(|label| issue.labels.iter().any(|known| known.eq_ignore_ascii_case(label)))
            && since.as_ref().is_none_or(|since| issue.updated_at >= *since)
            && match assignee.as_deref() {
                None => true,
                Some("none") => issue.assignees.is_empty(),
                Some("*") => !issue.assignees.is_empty(),
                Some(login) => issue.assignees.iter().any(|known| known == login),
            }
    };
    let mut found: Vec<Value> = repo.issues.values().filter(fits).map(|issue| shapes::issue(repo, issue)).collect();
    if descending {
        found.reverse();
    }
    page_of(found)
}

pub(super) fn search(asked: &mut Asked<'_>) -> Result<Known, Known> {
    let query = asked.given("q").ok_or_else(|| super::invalid("q is missing"))?.to_owned();
    let descending = newest_first(asked, "order");
    let mut items = Vec::new();
    for repo in asked.state.repos.values() {
        for issue in repo.issues.values() {
            let fits = query.split_whitespace().all(|word| match word.split_once(':') {
                Some(("repo", _)) => query.split_whitespace().any(|word| word == format!("repo:{}", repo.name)),
                Some(("is", "issue")) => issue.pull.is_none(),
                Some(("is", "pr")) => issue.pull.is_some(),
                Some(("is", "open")) => issue.open,
                Some(("label", label)) => issue.labels.iter().any(|known| known == label.trim_matches('"')),
                Some(_) => false,
                None => issue.title.to_lowercase().contains(&word.to_lowercase()),
            });
            if fits {
                let mut item = shapes::issue(repo, issue);
                item["score"] = json!(1.0);
                items.push(item);
            }
        }
    }
    if descending {
        items.reverse();
    }
    let body = json!({
        "total_count": items.len(), "incomplete_results": query.contains("incomplete"), "items": items,
        "search_type": "lexical",
    });
    Ok(Known { status: 200, body, list: Some("/items") })
}

fn shown(asked: &mut Asked<'_>, param: &str) -> Result<Value, Known> {
    let number = asked.number(param);
    let repo: &Repo = asked.repo()?;
    let issue = repo.issues.get(&number).ok_or_else(|| refused(404, "Not Found"))?;
    Ok(shapes::issue(repo, issue))
}

pub(super) fn get(asked: &mut Asked<'_>) -> Result<Known, Known> {
    ok(shown(asked, "issue_number")?)
}

pub(super) fn update(asked: &mut Asked<'_>) -> Result<Known, Known> {
    let (state, reason, title) = (asked.text("state"), asked.text("state_reason"), asked.text("title"));
    let at = asked.state.tick();
    let issue = asked.issue("issue_number")?;
    if let Some(state) = state {
        issue.open = state == "open";
        issue.state_reason = reason;
    }
    if let Some(title) = title {
        issue.title = title;
    }
    issue.updated_at = at;
    ok(shown(asked, "issue_number")?)
}

pub(super) fn comments(asked: &mut Asked<'_>) -> Result<Known, Known> {
    let number = asked.number("issue_number");
    let repo: &Repo = asked.repo()?;
    let issue = repo.issues.get(&number).ok_or_else(|| refused(404, "Not Found"))?;
    page_of(issue.comments.iter().map(|comment| shapes::comment(repo, issue, comment)).collect())
}

pub(super) fn comment(asked: &mut Asked<'_>) -> Result<Known, Known> {
    asked.issue("issue_number")?;
    let (id, at, login) = (asked.state.id(), asked.state.tick(), asked.login.clone());
    let body = asked.text("body").unwrap_or_default();
    if body.chars().count() > 65_536 {
        return Err(super::invalid("body is too long (maximum is 65536 characters)"));
    }
    let made = Comment { id, author: login, body, created_at: at.clone() };
    let issue = asked.issue("issue_number")?;
    issue.comments.push(made.clone());
    issue.updated_at = at;
    let issue = issue.clone();
    created(shapes::comment(asked.repo()?, &issue, &made))
}

pub(super) fn change_comment(asked: &mut Asked<'_>) -> Result<Known, Known> {
    let (id, body) = (asked.number("comment_id"), asked.text("body").unwrap_or_default());
    let repo = asked.repo()?;
    let found = repo.issues.values_mut().find_map(|issue| {
        let comment = issue.comments.iter_mut().find(|comment| comment.id == id)?;
        comment.body.clone_from(&body);
        let comment = comment.clone();
        Some((issue.clone(), comment))
    });
    let (issue, comment) = found.ok_or_else(|| refused(404, "Not Found"))?;
    ok(shapes::comment(repo, &issue, &comment))
}

pub(super) fn labels(asked: &mut Asked<'_>) -> Result<Known, Known> {
    let issue = asked.issue("issue_number")?;
    let names = shapes::labels(&issue.labels);
    page_of(names.as_array().cloned().unwrap_or_default())
}

pub(super) fn add_labels(asked: &mut Asked<'_>) -> Result<Known, Known> {
    let wanted: Vec<String> = asked.body["labels"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|name| Some(name.as_str()?.to_owned()))
        .collect();
    let issue = asked.issue("issue_number")?;
    for name in wanted {
        if !issue.labels.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            issue.label_events.push(format!("+{name}"));
            issue.labels.push(name);
        }
    }
    ok(shapes::labels(&issue.labels))
}

pub(super) fn remove_label(asked: &mut Asked<'_>) -> Result<Known, Known> {
    let name = asked.param("name").to_owned();
    let issue = asked.issue("issue_number")?;
    let at = issue.labels.iter().position(|known| known.eq_ignore_ascii_case(&name));
    let at = at.ok_or_else(|| refused(404, "Label does not exist"))?;
    issue.labels.remove(at);
    issue.label_events.push(format!("-{name}"));
    ok(shapes::labels(&issue.labels))
}
