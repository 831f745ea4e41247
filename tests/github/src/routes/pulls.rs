//! Pull requests, reviews and their comments.

use serde_json::{Value, json};

use super::{Asked, Known, created, invalid, ok, page_of, refused};
use crate::shapes;
use crate::state::{Issue, Pull, Repo, ReviewComment};

fn with_pull<'a>(asked: &'a mut Asked<'_>) -> Result<(&'a Repo, &'a Issue, &'a Pull), Known> {
    let number = asked.number("pull_number");
    let repo: &Repo = asked.repo()?;
    let issue = repo.issues.get(&number).ok_or_else(|| refused(404, "Not Found"))?;
    let pull = issue.pull.as_ref().ok_or_else(|| refused(404, "Not Found"))?;
    Ok((repo, issue, pull))
}

fn pull_of<'a>(asked: &'a mut Asked<'_>) -> Result<&'a mut Pull, Known> {
    asked.issue("pull_number")?.pull.as_mut().ok_or_else(|| refused(404, "Not Found"))
}

fn alone(asked: &mut Asked<'_>) -> Result<Value, Known> {
    let (repo, issue, pull) = with_pull(asked)?;
    Ok(shapes::pull(repo, issue, pull, true))
}

pub(super) fn list(asked: &mut Asked<'_>) -> Result<Known, Known> {
    let (state, head) = (asked.given("state").map(str::to_owned), asked.given("head").map(str::to_owned));
    let base = asked.given("base").map(str::to_owned);
    let descending = asked.given("direction") != Some("asc");
    let repo: &Repo = asked.repo()?;
    let mut found: Vec<Value> = repo
        .issues
        .values()
        .filter_map(|issue| Some((issue, issue.pull.as_ref()?)))
        .filter(|(issue, pull)| {
            let open = match state.as_deref() {
                Some("all") => true,
                Some("closed") => !issue.open,
                _ => issue.open,
            };
            open && head.as_ref().is_none_or(|head| *head == format!("{}:{}", pull.head_owner, pull.head))
                && base.as_ref().is_none_or(|base| *base == pull.base)
        })
        .map(|(issue, pull)| shapes::pull(repo, issue, pull, false))
        .collect();
    if descending {
        found.reverse();
    }
    page_of(found)
}

pub(super) fn create(asked: &mut Asked<'_>) -> Result<Known, Known> {
    let (head, base) = (asked.text("head").unwrap_or_default(), asked.text("base").unwrap_or_default());
    let (title, body) = (asked.text("title").unwrap_or_default(), asked.text("body").unwrap_or_default());
    let draft = asked.body["draft"].as_bool().unwrap_or(false);
    let name = asked.repo_name();
    let owner = asked.param("owner").to_owned();
    let (head_owner, branch) = head.split_once(':').unwrap_or((&owner, &head));
    let repo = asked.repo()?;
    let Some(sha) = repo.commit(branch) else { return Err(invalid("head is not a branch that was pushed")) };
    let Some(of_base) = repo.commit(&base) else { return Err(invalid("base does not exist")) };
    if of_base == sha {
        return Err(invalid(&format!("No commits between {base} and {branch}")));
    }
    let same =
        |issue: &&Issue| issue.open && issue.pull.as_ref().is_some_and(|pull| pull.head == branch && pull.base == base);
    if repo.issues.values().any(|issue| same(&issue)) {
        return Err(invalid(&format!("A pull request already exists for {head_owner}:{branch}.")));
    }
    let login = asked.login.clone();
    let number = asked.state.repo(&name).open_issue(&login, &title, &body);
    asked.state.repo(&name).issue(number).pull = Some(Pull {
        head_owner: head_owner.to_owned(),
        head: branch.to_owned(),
        sha,
        base,
        draft,
        mergeable: None,
        ..Pull::default()
    });
    asked.params.insert("pull_number".to_owned(), number.to_string());
    let made = alone(asked)?;
    // That it can be merged is known a moment later.
    pull_of(asked)?.mergeable = Some(true);
    created(made)
}

pub(super) fn get(asked: &mut Asked<'_>) -> Result<Known, Known> {
    ok(alone(asked)?)
}

pub(super) fn update(asked: &mut Asked<'_>) -> Result<Known, Known> {
    let (title, body) = (asked.text("title"), asked.text("body"));
    let (state, base) = (asked.text("state"), asked.text("base"));
    let at = asked.state.tick();
    if let Some(base) = base {
        pull_of(asked)?.base = base;
    }
    let issue = asked.issue("pull_number")?;
    if let Some(title) = title {
        issue.title = title;
    }
    if let Some(body) = body {
        issue.body = body;
    }
    if let Some(state) = state {
        issue.open = state == "open";
    }
    issue.updated_at = at;
    ok(alone(asked)?)
}

pub(super) fn comments(asked: &mut Asked<'_>) -> Result<Known, Known> {
    let (repo, issue, pull) = with_pull(asked)?;
    page_of(
        pull.review_comments.iter().map(|comment| shapes::review_comment(repo, issue, &pull.sha, comment)).collect(),
    )
}

pub(super) fn reply(asked: &mut Asked<'_>) -> Result<Known, Known> {
    let (to, body, login) = (asked.number("comment_id"), asked.text("body").unwrap_or_default(), asked.login.clone());
    let (id, at) = (asked.state.id(), asked.state.tick());
    let pull = pull_of(asked)?;
    let first = pull.review_comments.iter().find(|comment| comment.id == to).cloned();
    let first = first.ok_or_else(|| refused(404, "Not Found"))?;
    if first.in_reply_to.is_some() {
        return Err(invalid("replies to replies are not supported"));
    }
    let made = ReviewComment { id, author: login, body, in_reply_to: Some(to), created_at: at, ..first };
    pull.review_comments.push(made.clone());
    let (repo, issue, pull) = with_pull(asked)?;
    created(shapes::review_comment(repo, issue, &pull.sha, &made))
}

pub(super) fn change_comment(asked: &mut Asked<'_>) -> Result<Known, Known> {
    let (id, body) = (asked.number("comment_id"), asked.text("body").unwrap_or_default());
    let repo = asked.repo()?;
    let found = repo.issues.values_mut().find_map(|issue| {
        let pull = issue.pull.as_mut()?;
        let comment = pull.review_comments.iter_mut().find(|comment| comment.id == id)?;
        comment.body.clone_from(&body);
        let (comment, sha) = (comment.clone(), pull.sha.clone());
        Some((issue.clone(), comment, sha))
    });
    let (issue, comment, sha) = found.ok_or_else(|| refused(404, "Not Found"))?;
    ok(shapes::review_comment(repo, &issue, &sha, &comment))
}

pub(super) fn reviews(asked: &mut Asked<'_>) -> Result<Known, Known> {
    let login = asked.login.clone();
    let (repo, issue, pull) = with_pull(asked)?;
    let seen = pull.reviews.iter().filter(|review| review.state != "PENDING" || review.author == login);
    page_of(seen.map(|review| shapes::review(repo, issue, &pull.sha, review)).collect())
}

pub(super) fn requested(asked: &mut Asked<'_>) -> Result<Known, Known> {
    let (_, _, pull) = with_pull(asked)?;
    let users: Vec<Value> = pull.reviewers.iter().map(|login| shapes::user(login)).collect();
    ok(json!({"users": users, "teams": shapes::teams(&pull.team_reviewers)}))
}

pub(super) fn request(asked: &mut Asked<'_>) -> Result<Known, Known> {
    let names = |key: &str| -> Vec<String> {
        asked.body[key].as_array().into_iter().flatten().filter_map(|name| Some(name.as_str()?.to_owned())).collect()
    };
    let (people, teams) = (names("reviewers"), names("team_reviewers"));
    let known: Vec<String> = asked.repo()?.collaborators.iter().cloned().collect();
    if let Some(stranger) = people.iter().find(|login| !known.contains(login)) {
        return Err(refused(
            422,
            &format!("Reviews may only be requested from collaborators, and {stranger} is none."),
        ));
    }
    let pull = pull_of(asked)?;
    for (known, asked) in [(&mut pull.reviewers, people), (&mut pull.team_reviewers, teams)] {
        for name in asked {
            if !known.contains(&name) {
                known.push(name);
            }
        }
    }
    let (repo, issue, pull) = with_pull(asked)?;
    created(shapes::pull(repo, issue, pull, false))
}
