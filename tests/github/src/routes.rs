//! What the fake does, by the names that GitHub's description has for it.

mod apps;
mod git;
mod issues;
mod labels;
mod pulls;

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::state::{Issue, Repo, State};

/// A request that has been understood.
pub(crate) struct Asked<'a> {
    pub(crate) params: HashMap<String, String>,
    pub(crate) query: HashMap<String, String>,
    pub(crate) body: Value,
    /// Who asks.
    pub(crate) login: String,
    pub(crate) state: &'a mut State,
}

/// What is known of the answer.
pub(crate) struct Known {
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// Where the entries of a list are (a JSON pointer), when the list is to be given page by page.
    pub(crate) list: Option<&'static str>,
}

pub(crate) type Handler = fn(&mut Asked<'_>) -> Result<Known, Known>;

/// Everything that can be asked.
pub(crate) const OPERATIONS: &[(&str, Handler)] = &[
    ("GET /user", apps::user),
    ("GET /app", apps::app),
    ("GET /repos/{owner}/{repo}/installation", apps::installation),
    ("POST /app/installations/{installation_id}/access_tokens", apps::access_token),
    ("GET /repos/{owner}/{repo}", git::repository),
    ("GET /repos/{owner}/{repo}/git/ref/{ref}", git::get_ref),
    ("POST /repos/{owner}/{repo}/git/refs", git::create_ref),
    ("DELETE /repos/{owner}/{repo}/git/refs/{ref}", git::delete_ref),
    ("GET /repos/{owner}/{repo}/commits/{ref}/check-runs", git::check_runs),
    ("GET /repos/{owner}/{repo}/commits/{ref}/status", git::status),
    ("GET /search/issues", issues::search),
    ("GET /repos/{owner}/{repo}/issues", issues::list),
    ("GET /repos/{owner}/{repo}/issues/{issue_number}", issues::get),
    ("PATCH /repos/{owner}/{repo}/issues/{issue_number}", issues::update),
    ("GET /repos/{owner}/{repo}/issues/{issue_number}/comments", issues::comments),
    ("POST /repos/{owner}/{repo}/issues/{issue_number}/comments", issues::comment),
    ("PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}", issues::change_comment),
    ("GET /repos/{owner}/{repo}/issues/{issue_number}/labels", issues::labels),
    ("POST /repos/{owner}/{repo}/issues/{issue_number}/labels", issues::add_labels),
    ("DELETE /repos/{owner}/{repo}/issues/{issue_number}/labels/{name}", issues::remove_label),
    ("GET /repos/{owner}/{repo}/labels", labels::list),
    ("POST /repos/{owner}/{repo}/labels", labels::create),
    ("PATCH /repos/{owner}/{repo}/labels/{name}", labels::update),
    ("GET /repos/{owner}/{repo}/pulls", pulls::list),
    ("POST /repos/{owner}/{repo}/pulls", pulls::create),
    ("GET /repos/{owner}/{repo}/pulls/{pull_number}", pulls::get),
    ("PATCH /repos/{owner}/{repo}/pulls/{pull_number}", pulls::update),
    ("GET /repos/{owner}/{repo}/pulls/{pull_number}/comments", pulls::comments),
    ("POST /repos/{owner}/{repo}/pulls/{pull_number}/comments/{comment_id}/replies", pulls::reply),
    ("PATCH /repos/{owner}/{repo}/pulls/comments/{comment_id}", pulls::change_comment),
    ("GET /repos/{owner}/{repo}/pulls/{pull_number}/reviews", pulls::reviews),
    ("GET /repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers", pulls::requested),
    ("POST /repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers", pulls::request),
];

#[expect(clippy::unnecessary_wraps, reason = "it is the end of a handler")]
pub(crate) fn ok(body: Value) -> Result<Known, Known> {
    Ok(Known { status: 200, body, list: None })
}

#[expect(clippy::unnecessary_wraps, reason = "it is the end of a handler")]
pub(crate) fn created(body: Value) -> Result<Known, Known> {
    Ok(Known { status: 201, body, list: None })
}

#[expect(clippy::unnecessary_wraps, reason = "it is the end of a handler")]
pub(crate) fn page_of(entries: Vec<Value>) -> Result<Known, Known> {
    Ok(Known { status: 200, body: Value::Array(entries), list: Some("") })
}

pub(crate) fn refused(status: u16, message: &str) -> Known {
    let body = json!({"message": message, "documentation_url": "https://docs.github.com/rest"});
    Known { status, body, list: None }
}

pub(crate) fn invalid(message: &str) -> Known {
    let mut known = refused(422, "Validation Failed");
    known.body["errors"] = json!([{"resource": "PullRequest", "code": "custom", "message": message}]);
    known
}

impl Asked<'_> {
    pub(crate) fn param(&self, name: &str) -> &str {
        self.params.get(name).map_or("", String::as_str)
    }

    pub(crate) fn number(&self, name: &str) -> u64 {
        self.param(name).parse().unwrap_or(0)
    }

    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.body[name].as_str().map(str::to_owned)
    }

    pub(crate) fn repo_name(&self) -> String {
        format!("{}/{}", self.param("owner"), self.param("repo"))
    }

    pub(crate) fn repo(&mut self) -> Result<&mut Repo, Known> {
        let name = self.repo_name();
        let found = self.state.repos.get_mut(&name).filter(|repo| !repo.hidden);
        found.ok_or_else(|| refused(404, "Not Found"))
    }

    pub(crate) fn issue(&mut self, param: &str) -> Result<&mut Issue, Known> {
        let number = self.number(param);
        self.repo()?.issues.get_mut(&number).ok_or_else(|| refused(404, "Not Found"))
    }
}
