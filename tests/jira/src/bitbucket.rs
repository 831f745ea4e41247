//! What Bitbucket does.

use serde_json::{Value, json};

use crate::site::{Answer, Asked, BOT, Handler};
use crate::state::{Pull, Remark, Status, account};

pub(crate) const OPERATIONS: &[(&str, Handler)] = &[
    ("GET /2.0/repositories/{workspace}/{repo_slug}/pullrequests", list),
    ("POST /2.0/repositories/{workspace}/{repo_slug}/pullrequests", create),
    ("GET /2.0/repositories/{workspace}/{repo_slug}/pullrequests/{pull_request_id}", get),
    ("GET /2.0/repositories/{workspace}/{repo_slug}/pullrequests/{pull_request_id}/comments", comments),
    ("POST /2.0/repositories/{workspace}/{repo_slug}/pullrequests/{pull_request_id}/comments", comment),
    ("GET /2.0/repositories/{workspace}/{repo_slug}/pullrequests/{pull_request_id}/statuses", statuses),
    ("DELETE /2.0/repositories/{workspace}/{repo_slug}/refs/branches/{name}", delete_branch),
];

fn known_repository(asked: &Asked<'_>) -> Result<(), (u16, String)> {
    let name = format!("{}/{}", asked.param("workspace"), asked.param("repo_slug"));
    if name == crate::REPO { Ok(()) } else { Err((404, format!("Repository {name} not found"))) }
}

fn user(name: &str) -> Value {
    let kind = if name == BOT { "app_user" } else { "user" };
    json!({"type": kind, "display_name": name, "nickname": name, "account_id": account(name), "uuid": format!("{{{name}}}")})
}

/// Where it is for people.
fn page_of(base: &str, id: u64) -> String {
    format!("{base}/acme/shop/pull-requests/{id}")
}

fn shown(asked: &mut Asked<'_>, id: u64) -> Value {
    let head = asked.state.head(id);
    let of_base = asked.state.pulls[&id].base.clone();
    let base_commit = asked.state.commit(&of_base).unwrap_or_default();
    let Pull { title, description, branch, base, state, remarks, created, .. } = &asked.state.pulls[&id];
    // Commits are abbreviated here.
    json!({"type": "pullrequest", "id": id, "title": title, "description": description, "state": state, "author": user(BOT),
        "source": {"branch": {"name": branch}, "commit": {"type": "commit", "hash": head[..12]}},
        "destination": {"branch": {"name": base}, "commit": {"type": "commit", "hash": base_commit[..12]}},
        "comment_count": remarks.len(), "created_on": created, "updated_on": created,
        "links": {"html": {"href": page_of(asked.base, id)}}})
}

/// One page of a list.
fn paged(asked: &Asked<'_>, all: Vec<Value>) -> (u16, Value) {
    let number = |name: &str, default: usize| asked.given(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (size, page) = (number("pagelen", 10).clamp(1, asked.state.page), number("page", 1).max(1));
    let total = all.len();
    let values: Vec<Value> = all.into_iter().skip((page - 1) * size).take(size).collect();
    let mut answer = json!({"values": values, "page": page, "pagelen": size, "size": total});
    if page * size < total {
        let mut url = url::Url::parse(asked.base).expect("it is one");
        url.set_path(asked.path);
        let kept = asked.query.iter().filter(|(name, _)| name != "page");
        url.query_pairs_mut().extend_pairs(kept).append_pair("page", &(page + 1).to_string());
        answer["next"] = json!(url.as_str());
    }
    (200, answer)
}

fn list(asked: &mut Asked<'_>) -> Answer {
    known_repository(asked)?;
    let states: Vec<String> =
        asked.query.iter().filter(|(name, _)| name == "state").map(|(_, value)| value.clone()).collect();
    let branch = match asked.given("q") {
        None => None,
        Some(query) => {
            let name = query.strip_prefix("source.branch.name=\"").and_then(|rest| rest.strip_suffix('"'));
            Some(name.ok_or_else(|| (400, format!("nobody understands {query}")))?.to_owned())
        }
    };
    let fits = |pull: &&Pull| {
        let state =
            if states.is_empty() { pull.state == "OPEN" } else { states.iter().any(|state| state == pull.state) };
        state && branch.as_ref().is_none_or(|branch| *branch == pull.branch)
    };
    let ids: Vec<u64> = asked.state.pulls.values().filter(fits).map(|pull| pull.id).collect();
    let all = ids.into_iter().map(|id| shown(asked, id)).collect();
    Ok(paged(asked, all))
}

fn create(asked: &mut Asked<'_>) -> Answer {
    known_repository(asked)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let branch = text(&asked.body["source"]["branch"]["name"]);
    let base = text(&asked.body["destination"]["branch"]["name"]);
    let Some(last) = asked.state.commit(&branch) else { return Err((400, format!("branch not found: {branch}"))) };
    if asked.state.commit(&base).is_none_or(|of_base| of_base == last) {
        return Err((400, "There are no changes to be pulled".to_owned()));
    }
    let (id, created) = (asked.state.id(), asked.state.time());
    let pull = Pull {
        id,
        title: text(&asked.body["title"]),
        description: text(&asked.body["description"]),
        branch,
        base,
        state: "OPEN",
        remarks: Vec::new(),
        statuses: Vec::new(),
        last,
        created,
    };
    asked.state.pulls.insert(id, pull);
    Ok((201, shown(asked, id)))
}

fn pull_of(asked: &Asked<'_>) -> Result<u64, (u16, String)> {
    known_repository(asked)?;
    let id = asked.param("pull_request_id").parse().ok().filter(|id| asked.state.pulls.contains_key(id));
    id.ok_or_else(|| (404, "Pull request not found".to_owned()))
}

fn get(asked: &mut Asked<'_>) -> Answer {
    let id = pull_of(asked)?;
    Ok((200, shown(asked, id)))
}

fn said(base: &str, id: u64, remark: &Remark) -> Value {
    let raw = if remark.deleted { "" } else { &remark.raw };
    let mut comment = json!({"type": "pullrequest_comment", "id": remark.id, "user": user(&remark.author), "deleted": remark.deleted,
        "content": {"type": "rendered", "raw": raw, "markup": "markdown", "html": ""}, "pending": false, "created_on": remark.created,
        "links": {"html": {"href": format!("{}/_/diff#comment-{}", page_of(base, id), remark.id)}}});
    if let Some(parent) = remark.parent {
        comment["parent"] = json!({"id": parent});
    }
    if let Some((path, line)) = &remark.inline {
        comment["inline"] = json!({"path": path, "from": null, "to": line});
    }
    comment
}

fn comments(asked: &mut Asked<'_>) -> Answer {
    let id = pull_of(asked)?;
    let all = asked.state.pulls[&id].remarks.iter().map(|remark| said(asked.base, id, remark)).collect();
    Ok(paged(asked, all))
}

fn comment(asked: &mut Asked<'_>) -> Answer {
    let id = pull_of(asked)?;
    let parent = asked.body["parent"]["id"].as_u64();
    if parent.is_some_and(|parent| !asked.state.pulls[&id].remarks.iter().any(|remark| remark.id == parent)) {
        return Err((404, "the comment that is answered is not there".to_owned()));
    }
    let raw = asked.body["content"]["raw"].as_str().unwrap_or_default().to_owned();
    asked.state.remark(id, BOT, &raw, None);
    let made = asked.state.pull(id).remarks.last_mut().expect("it was just made");
    made.parent = parent;
    let made = made.clone();
    Ok((201, said(asked.base, id, &made)))
}

fn statuses(asked: &mut Asked<'_>) -> Answer {
    let id = pull_of(asked)?;
    let shown = |Status { key, state, commit }: &Status| {
        let commit = format!("{}/2.0/repositories/acme/shop/commit/{commit}", asked.base);
        json!({"type": "build", "key": key, "name": key, "state": state, "description": format!("what {key} found"),
            "url": "https://builds.example.com/", "links": {"commit": {"href": commit}}})
    };
    let all = asked.state.pulls[&id].statuses.iter().map(shown).collect();
    Ok(paged(asked, all))
}

fn delete_branch(asked: &mut Asked<'_>) -> Answer {
    known_repository(asked)?;
    let name = asked.param("name").to_owned();
    let missing = || (404, format!("Branch \"{name}\" does not exist"));
    asked.state.commit(&name).ok_or_else(missing)?;
    asked.state.git(&["update-ref", "-d", &format!("refs/heads/{name}")]);
    Ok((204, Value::Null))
}
