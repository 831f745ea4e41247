//! What Jira does.

use serde_json::{Value, json};

use crate::site::{Answer, Asked, BOT, Handler};
use crate::state::{Comment, Issue, account};

pub(crate) const OPERATIONS: &[(&str, Handler)] = &[
    ("GET /rest/api/2/myself", myself),
    ("GET /rest/api/2/search/jql", search),
    ("GET /rest/api/2/issue/{issueIdOrKey}", issue),
    ("PUT /rest/api/2/issue/{issueIdOrKey}", edit),
    ("GET /rest/api/2/issue/{issueIdOrKey}/comment", comments),
    ("POST /rest/api/2/issue/{issueIdOrKey}/comment", comment),
];

fn user(base: &str, name: &str) -> Value {
    json!({"self": format!("{base}/rest/api/2/user?accountId={name}"), "accountId": account(name), "displayName": name,
        "accountType": "atlassian", "active": true, "timeZone": "Europe/Berlin"})
}

#[expect(clippy::unnecessary_wraps, reason = "it is a handler like the others")]
fn myself(asked: &mut Asked<'_>) -> Answer {
    Ok((200, user(asked.base, BOT)))
}

/// The fields that were asked for.
fn shown(base: &str, issue: &Issue, fields: Option<&str>) -> Value {
    let id = issue.key.rsplit('-').next().unwrap_or_default();
    let mut bean =
        json!({"id": format!("1000{id}"), "key": issue.key, "self": format!("{base}/rest/api/2/issue/1000{id}")});
    for field in fields.into_iter().flat_map(|fields| fields.split(',')) {
        bean["fields"][field] = match field {
            "summary" => json!(issue.summary),
            "description" => json!(issue.description),
            "labels" => json!(issue.labels),
            "reporter" => user(base, &issue.reporter),
            _ => continue,
        };
    }
    bean
}

fn missing() -> (u16, String) {
    (404, "Issue does not exist or you do not have permission to see it.".to_owned())
}

fn issue(asked: &mut Asked<'_>) -> Answer {
    let issue = asked.state.issues.get(asked.param("issueIdOrKey")).ok_or_else(missing)?;
    Ok((200, shown(asked.base, issue, asked.given("fields"))))
}

/// What one clause of a query says of an issue; nothing when this Jira does not know it.
fn fits(clause: &str, issue: &Issue) -> Option<bool> {
    let quoted = |text: &str| text.trim().strip_prefix('"').and_then(|text| text.strip_suffix('"')).map(str::to_owned);
    if clause == "statusCategory != Done" {
        return Some(!issue.done);
    }
    if let Some(project) = clause.strip_prefix("project = ") {
        return Some(issue.key.starts_with(&format!("{}-", quoted(project)?)));
    }
    if let Some(label) = clause.strip_prefix("labels = ") {
        let label = quoted(label)?;
        return Some(issue.labels.contains(&label));
    }
    let accounts = clause.strip_prefix("reporter in (")?.strip_suffix(')')?;
    let accounts: Option<Vec<String>> = accounts.split(',').map(quoted).collect();
    Some(accounts?.contains(&account(&issue.reporter)))
}

fn search(asked: &mut Asked<'_>) -> Answer {
    let jql = asked.given("jql").unwrap_or_default().to_owned();
    let unknown = || (400, format!("nobody understands {jql}"));
    let (clauses, order) = jql.split_once(" ORDER BY ").ok_or_else(unknown)?;
    let mut found = Vec::new();
    for issue in asked.state.issues.values() {
        let all: Option<Vec<bool>> = clauses.split(" AND ").map(|clause| fits(clause, issue)).collect();
        if all.ok_or_else(unknown)?.iter().all(|fits| *fits) {
            found.push(issue);
        }
    }
    let number = |issue: &Issue| issue.key.rsplit('-').next().and_then(|id| id.parse::<u64>().ok());
    match order {
        "created ASC" => found.sort_by_key(|issue| number(issue)),
        "updated ASC" => found.sort_by_key(|issue| issue.updated),
        _ => return Err(unknown()),
    }
    let size = asked.given("maxResults").and_then(|size| size.parse().ok()).unwrap_or(50);
    let from: usize = asked.given("nextPageToken").and_then(|at| at.parse().ok()).unwrap_or(0);
    let page: Vec<Value> =
        found.iter().skip(from).take(size).map(|issue| shown(asked.base, issue, asked.given("fields"))).collect();
    let next = from + page.len();
    let mut answer = json!({"issues": page, "isLast": next >= found.len()});
    if next < found.len() {
        answer["nextPageToken"] = json!(next.to_string());
    }
    Ok((200, answer))
}

fn edit(asked: &mut Asked<'_>) -> Answer {
    let now = asked.state.tick();
    let changes = asked.body["update"]["labels"].as_array().cloned().unwrap_or_default();
    let key = asked.param("issueIdOrKey").to_owned();
    let issue = asked.state.issues.get_mut(&key).ok_or_else(missing)?;
    for change in &changes {
        if let Some(label) = change["add"].as_str()
            && !issue.labels.iter().any(|known| known == label)
        {
            issue.labels.push(label.to_owned());
            issue.label_events.push(format!("+{label}"));
        }
        if let Some(label) = change["remove"].as_str()
            && issue.labels.iter().any(|known| known == label)
        {
            issue.labels.retain(|known| known != label);
            issue.label_events.push(format!("-{label}"));
        }
    }
    issue.updated = now;
    Ok((204, Value::Null))
}

fn said(base: &str, key: &str, comment: &Comment) -> Value {
    let author = user(base, &comment.author);
    json!({"self": format!("{base}/rest/api/2/issue/{key}/comment/{}", comment.id), "id": comment.id.to_string(),
        "author": author, "body": comment.body, "created": comment.created, "updated": comment.created})
}

fn comments(asked: &mut Asked<'_>) -> Answer {
    let key = asked.param("issueIdOrKey").to_owned();
    let issue = asked.state.issues.get(&key).ok_or_else(missing)?;
    let size: usize = asked.given("maxResults").and_then(|size| size.parse().ok()).unwrap_or(50).min(100);
    let from: usize = asked.given("startAt").and_then(|at| at.parse().ok()).unwrap_or(0);
    let mut all: Vec<&Comment> = issue.comments.iter().collect();
    if asked.given("orderBy") == Some("-created") {
        all.reverse();
    }
    let page: Vec<Value> = all.iter().skip(from).take(size).map(|comment| said(asked.base, &key, comment)).collect();
    Ok((200, json!({"comments": page, "maxResults": size, "startAt": from, "total": all.len()})))
}

fn comment(asked: &mut Asked<'_>) -> Answer {
    let key = asked.param("issueIdOrKey").to_owned();
    let body = asked.body["body"].as_str().unwrap_or_default().to_owned();
    asked.state.issues.get(&key).ok_or_else(missing)?;
    asked.state.comment(&key, BOT, &body);
    let made = asked.state.issue(&key).comments.last().cloned().expect("it was just made");
    Ok((201, said(asked.base, &key, &made)))
}
