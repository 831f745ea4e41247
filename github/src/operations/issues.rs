//! Finding and reading issues, closing and reopening them.

use std::collections::HashSet;

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::Outputs;
use crate::call::{PAGE, Pages};
use crate::failed::Failed;
use crate::session::Session;
use crate::shape::{self, Trust};

/// Issues when nothing else is said.
const LISTED: u64 = 100;
/// The longest query that GitHub takes.
const QUERY: usize = 256;
/// Results of one search that GitHub gives.
const FOUND: usize = 1_000;

impl Session<'_> {
    pub(super) fn trust(&self) -> Trust {
        Trust::new(self.names("trusted"))
    }

    fn limit(&self) -> usize {
        usize::try_from(self.number("limit").unwrap_or(LISTED)).unwrap_or(PAGE)
    }

    pub(super) async fn list_issues(&self) -> Outputs {
        let labels = self.names("labels").unwrap_or_default();
        let mut url = self.of_repo(&["issues"])?;
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("state", self.text("state").unwrap_or("open"));
            // A comma would make two labels of one.
            let plain: Vec<&str> = labels.iter().map(String::as_str).filter(|name| !name.contains(',')).collect();
            if !plain.is_empty() {
                query.append_pair("labels", &plain.join(","));
            }
            if let Some(assignee) = self.text("assignee") {
                query.append_pair("assignee", assignee);
            }
            if let Some(since) = self.text("since") {
                query.append_pair("since", since);
            }
            query.append_pair("sort", "created").append_pair("direction", self.direction());
            query.append_pair("per_page", &PAGE.to_string());
        }
        let trust = self.trust();
        let trusted_only = self.flag("trusted_only");
        let wanted = |issue: &Value| {
            let has = shape::labels(issue);
            // Pull requests are among the issues.
            !issue["pull_request"].is_object()
                && labels.iter().all(|label| has.iter().any(|name| name.eq_ignore_ascii_case(label)))
                && (!trusted_only || trust.holds(issue))
        };
        let pages = self.pages(url, None, self.limit(), wanted).await?;
        Self::issues(&pages, &trust)
    }

    pub(super) async fn search_issues(&self) -> Outputs {
        let mut words = self.needed("query")?.trim().to_owned();
        if !self.repository().is_empty() {
            words = format!("{words} repo:{}", self.repository());
        }
        if !words.contains("is:issue") && !words.contains("is:pr") && !words.contains("type:") {
            words.push_str(" is:issue");
        }
        if words.chars().count() > QUERY {
            return Err(Failed::invalid(format!(
                "github.query has more than {QUERY} characters, which GitHub does not take"
            )));
        }
        let mut url = self.url(&["search", "issues"])?;
        url.query_pairs_mut()
            .append_pair("q", &words)
            .append_pair("sort", "created")
            .append_pair("order", self.direction())
            .append_pair("per_page", &PAGE.to_string());
        let trust = self.trust();
        let trusted_only = self.flag("trusted_only");
        let wanted = |issue: &Value| !trusted_only || trust.holds(issue);
        let pages = self.pages(url, Some("items"), self.limit().min(FOUND), wanted).await?;
        if let Some(other) = pages.entries.iter().find_map(|issue| self.elsewhere(issue)) {
            return Err(Failed::invalid(format!(
                "the search found issues of {other}, not only of {}: in github.query is an OR, or another `repo:`",
                self.repository()
            )));
        }
        Self::issues(&pages, &trust)
    }

    /// The address of the repository that it belongs to, if that is not the one that was asked for.
    fn elsewhere<'v>(&self, issue: &'v Value) -> Option<&'v str> {
        let of = issue["repository_url"].as_str()?;
        let wanted = format!("/repos/{}", self.repository()).to_ascii_lowercase();
        (!self.repository().is_empty() && !of.to_ascii_lowercase().ends_with(&wanted)).then_some(of)
    }

    fn direction(&self) -> &'static str {
        if self.text("order") == Some("newest") { "desc" } else { "asc" }
    }

    fn issues(pages: &Pages, trust: &Trust) -> Outputs {
        let issues: Vec<Map<String, Value>> =
            pages.entries.iter().map(|issue| shape::issue(issue, trust)).collect::<Result<_, _>>()?;
        let count = issues.len();
        let issues = issues.into_iter().map(Value::Object).collect::<Vec<_>>();
        Ok(vec![("issues", issues.into()), ("count", count.into()), ("more", pages.more.into())])
    }

    pub(super) async fn get_issue(&self) -> Outputs {
        let number = self.needed_number()?;
        let found = self.get(&self.of_repo(&["issues", &number])?).await?;
        let trust = self.trust();
        let mut issue = shape::whole_issue(&found.body, &trust)?;
        let most = usize::try_from(self.number("comments").unwrap_or(LISTED)).unwrap_or(PAGE);
        let count = usize::try_from(found.body["comments"].as_u64().unwrap_or(0)).unwrap_or(usize::MAX);
        let (comments, more) = if most == 0 {
            (Vec::new(), count > 0)
        } else {
            self.newest_comments(&number, count, most, &trust).await?
        };
        issue.insert("comments".to_owned(), comments.into());
        issue.insert("more_comments".to_owned(), more.into());
        Ok(vec![("issue", Value::Object(issue))])
    }

    /// The newest comments of an issue that has so many, the oldest of them first, and whether there are others. There is room for
    /// `most` of people who are trusted, and for as many of all others: they leave each other theirs.
    async fn newest_comments(
        &self,
        number: &str,
        count: usize,
        most: usize,
        trust: &Trust,
    ) -> Result<(Vec<Value>, bool), Failed> {
        let (mut of_trusted, mut of_others) = (most, most);
        let (mut comments, mut ids) = (Vec::new(), HashSet::new());
        let mut more = false;
        let mut page = count.div_ceil(PAGE).max(1);
        // Behind so many nobody looks.
        let end = page.saturating_sub(most.div_ceil(PAGE) * 2 + 20);
        while page > end && of_trusted > 0 {
            let mut url = self.of_repo(&["issues", number, "comments"])?;
            url.query_pairs_mut().append_pair("per_page", &PAGE.to_string()).append_pair("page", &page.to_string());
            let answer = self.get(&url).await?;
            let list = answer.body.as_array();
            let list = list.ok_or_else(|| Failed::unexpected("the comments of an issue are no list"))?;
            for entry in list.iter().rev() {
                // The list may move between two pages.
                if !ids.insert(shape::number(entry, "a comment", "id")?) {
                    continue;
                }
                let room = if trust.holds(entry) { &mut of_trusted } else { &mut of_others };
                if *room == 0 {
                    more = true;
                    continue;
                }
                *room -= 1;
                comments.push(Value::Object(shape::comment("comment", entry, trust, None)?));
            }
            page -= 1;
        }
        comments.reverse();
        Ok((comments, more || page > 0))
    }

    pub(super) async fn set_state(&self, state: &str) -> Outputs {
        let url = self.of_repo(&["issues", &self.needed_number()?])?;
        let mut found = self.get(&url).await?;
        let changed = found.body["state"] != state;
        if changed {
            let reason = if state == "open" { "reopened" } else { self.text("reason").unwrap_or("completed") };
            found = self.put(&Method::PATCH, &url, Some(&json!({"state": state, "state_reason": reason}))).await?;
        }
        let issue = shape::issue(&found.body, &self.trust())?;
        Ok(vec![("issue", Value::Object(issue)), ("changed", changed.into())])
    }
}
