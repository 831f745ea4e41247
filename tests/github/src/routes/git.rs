//! Repositories, branches and what is known of commits.

use serde_json::{Value, json};

use super::{Asked, Known, created, invalid, ok, refused};
use crate::shapes;

pub(super) fn repository(asked: &mut Asked<'_>) -> Result<Known, Known> {
    let repo = asked.repo()?;
    let mut whole = shapes::repository(repo);
    whole["clone_url"] = json!(format!("https://github.test/{}.git", repo.name));
    ok(whole)
}

fn reference(branch: &str, sha: &str) -> Value {
    json!({"ref": format!("refs/heads/{branch}"), "object": {"type": "commit", "sha": sha}})
}

fn branch(asked: &Asked<'_>) -> String {
    asked.param("ref").trim_start_matches("heads/").to_owned()
}

pub(super) fn get_ref(asked: &mut Asked<'_>) -> Result<Known, Known> {
    let branch = branch(asked);
    let sha = asked.repo()?.commit(&branch).ok_or_else(|| refused(404, "Not Found"))?;
    ok(reference(&branch, &sha))
}

pub(super) fn create_ref(asked: &mut Asked<'_>) -> Result<Known, Known> {
    let (name, sha) = (asked.text("ref").unwrap_or_default(), asked.text("sha").unwrap_or_default());
    let branch = name.strip_prefix("refs/heads/").ok_or_else(|| invalid("Reference name is not valid"))?;
    let repo = asked.repo()?;
    if repo.commit(branch).is_some() {
        return Err(refused(422, "Reference already exists"));
    }
    repo.set_branch(branch, Some(&sha));
    created(reference(branch, &sha))
}

pub(super) fn delete_ref(asked: &mut Asked<'_>) -> Result<Known, Known> {
    let branch = branch(asked);
    let repo = asked.repo()?;
    let sha = repo.commit(&branch).ok_or_else(|| refused(422, "Reference does not exist"))?;
    repo.set_branch(&branch, None);
    // GitHub closes what has lost its branch.
    for issue in repo.issues.values_mut().filter(|issue| issue.open) {
        if let Some(pull) = issue.pull.as_mut().filter(|pull| pull.head == branch) {
            pull.sha.clone_from(&sha);
            issue.open = false;
        }
    }
    Ok(Known { status: 204, body: Value::Null, list: None })
}

pub(super) fn check_runs(asked: &mut Asked<'_>) -> Result<Known, Known> {
    let sha = asked.param("ref").to_owned();
    let checks = asked.repo()?.checks.get(&sha).cloned().unwrap_or_default();
    let runs: Vec<Value> =
        checks.iter().enumerate().map(|(number, check)| shapes::check(&sha, number, check)).collect();
    let body = json!({"total_count": runs.len(), "check_runs": runs});
    Ok(Known { status: 200, body, list: Some("/check_runs") })
}

pub(super) fn status(asked: &mut Asked<'_>) -> Result<Known, Known> {
    let sha = asked.param("ref").to_owned();
    let repo = asked.repo()?;
    let statuses = repo.statuses.get(&sha).cloned().unwrap_or_default();
    let repository = shapes::repository(repo);
    let worst = ["failure", "error", "pending"].iter().find(|word| statuses.iter().any(|(_, state)| state == *word));
    let state = worst.copied().unwrap_or(if statuses.is_empty() { "pending" } else { "success" });
    let entries: Vec<Value> = statuses
        .iter()
        .enumerate()
        .map(|(id, (context, state))| json!({"id": 1 + id, "context": context, "state": state, "description": "why"}))
        .collect();
    let body = json!({
        "sha": sha, "state": state, "total_count": entries.len(), "statuses": entries, "repository": repository,
    });
    Ok(Known { status: 200, body, list: Some("/statuses") })
}
