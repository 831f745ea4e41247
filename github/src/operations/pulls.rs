//! Pull requests: one per branch.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::Outputs;
use crate::call::PAGE;
use crate::failed::{Failed, Kind};
use crate::session::Session;
use crate::shape;

/// Reviews of one commit that are looked through.
const MOST_REVIEWS: usize = 1_000;

/// Whether a pull request's branch belongs to this owner; without one, to whoever the repository belongs to by now.
fn is_from(pull: &Value, owner: Option<&str>) -> bool {
    let wanted = owner.or_else(|| pull["base"]["repo"]["owner"]["login"].as_str());
    let of = pull["head"]["user"]["login"].as_str();
    of.zip(wanted).is_some_and(|(of, wanted)| of.eq_ignore_ascii_case(wanted))
}

impl Session<'_> {
    fn pull_url(&self) -> Result<url::Url, Failed> {
        self.of_repo(&["pulls", &self.needed_number()?])
    }

    /// `owner:branch`.
    fn qualified(&self, head: &str) -> String {
        if head.contains(':') { head.to_owned() } else { format!("{}:{head}", self.owner()) }
    }

    /// The newest pull request of a branch, an open one before all others.
    pub(super) async fn pull_of(&self, head: &str, base: Option<&str>, state: &str) -> Result<Option<Value>, Failed> {
        let pulls = self.pulls_of(head, base, state).await?;
        let open = pulls.iter().find(|pull| pull["state"] == "open");
        Ok(open.or_else(|| pulls.first()).cloned())
    }

    async fn pulls_of(&self, head: &str, base: Option<&str>, state: &str) -> Result<Vec<Value>, Failed> {
        let (owner, branch) = head.split_once(':').map_or((None, head), |(owner, branch)| (Some(owner), branch));
        let head = self.qualified(head);
        let mut url = self.of_repo(&["pulls"])?;
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("state", state).append_pair("head", &head);
            if let Some(base) = base {
                query.append_pair("base", base);
            }
            query.append_pair("sort", "created").append_pair("direction", "desc");
            query.append_pair("per_page", &PAGE.to_string());
        }
        // GitHub leaves out a filter that it cannot read: a fork's branch of the same name is another one.
        let wanted = |pull: &Value| pull["head"]["ref"].as_str() == Some(branch) && is_from(pull, owner);
        Ok(self.pages(url, None, PAGE, wanted).await?.entries)
    }

    /// An open pull request that is to be merged into a branch.
    pub(super) async fn pull_into(&self, base: &str) -> Result<Option<Value>, Failed> {
        let mut url = self.of_repo(&["pulls"])?;
        url.query_pairs_mut()
            .append_pair("state", "open")
            .append_pair("base", base)
            .append_pair("per_page", &PAGE.to_string());
        let wanted = |pull: &Value| pull["base"]["ref"].as_str() == Some(base);
        Ok(self.pages(url, None, 1, wanted).await?.entries.pop())
    }

    pub(super) async fn create_pull_request(&self) -> Outputs {
        let head = self.needed("head")?;
        let base = match self.text("base") {
            Some(base) => base.to_owned(),
            None => self.default_branch().await?,
        };
        let mark = self.mark();
        let mut document = json!({
            "title": self.needed("title")?,
            "head": head,
            "base": base,
            "body": self.marked(self.text("body").unwrap_or_default(), &mark),
        });
        if self.flag("draft") {
            document["draft"] = true.into();
        }
        let url = self.of_repo(&["pulls"])?;
        let mut pauses = self.pauses();
        loop {
            if let Some(pull) = self.pull_made(head, &base, &mark).await? {
                return Ok(vec![("pull_request", shape::pull_request(&pull)?), ("created", false.into())]);
            }
            match self.make(&url, &document).await {
                Ok(answer) => {
                    return Ok(vec![("pull_request", shape::pull_request(&answer.body)?), ("created", true.into())]);
                }
                // It says so when there is one by now.
                Err(failed) if failed.kind == Kind::Validation => {
                    return match self.pull_made(head, &base, &mark).await? {
                        Some(pull) => {
                            Ok(vec![("pull_request", shape::pull_request(&pull)?), ("created", false.into())])
                        }
                        None => Err(failed),
                    };
                }
                Err(failed) => self.pause(failed, &mut pauses).await?,
            }
        }
    }

    /// The open pull request of a branch, or the one that this task has made, whatever became of it.
    async fn pull_made(&self, head: &str, base: &str, mark: &str) -> Result<Option<Value>, Failed> {
        let mut pulls = self.pulls_of(head, None, "all").await?;
        let ours = |pull: &Value| pull["body"].as_str().is_some_and(|body| body.trim_end().ends_with(mark));
        let open = |pull: &Value| pull["state"] == "open" && pull["base"]["ref"].as_str() == Some(base);
        let found = pulls.iter().position(open).or_else(|| pulls.iter().position(ours));
        Ok(found.map(|at| pulls.swap_remove(at)))
    }

    pub(super) async fn find_pull_request(&self) -> Outputs {
        let found = self.pull_of(self.needed("head")?, self.text("base"), self.text("state").unwrap_or("open")).await?;
        if found.is_none() {
            // No pull request, or no repository that could have one.
            self.default_branch().await?;
        }
        let known = found.is_some();
        let pull = found.as_ref().map(shape::pull_request).transpose()?.unwrap_or(Value::Null);
        Ok(vec![("pull_request", pull), ("found", known.into())])
    }

    pub(super) async fn update_pull_request(&self) -> Outputs {
        let url = self.pull_url()?;
        let mut found = self.get(&url).await?;
        let mut wanted = Map::new();
        if self.text("state") == Some("all") {
            return Err(Failed::invalid("a pull request becomes open or closed, not all"));
        }
        for key in ["title", "state"] {
            if let Some(text) = self.text(key) {
                wanted.insert(key.to_owned(), text.into());
            }
        }
        if let Some(base) = self.text("base") {
            wanted.insert("base".to_owned(), base.into());
        }
        if let Some(body) = self.text("body") {
            // The mark of the task that made it stays.
            let mark = shape::mark_of(found.body["body"].as_str().unwrap_or_default()).map(str::to_owned);
            let mark = mark.unwrap_or_else(|| self.mark());
            wanted.insert("body".to_owned(), self.marked(body, &mark).into());
        }
        wanted.retain(|key, value| {
            let is = if key == "base" { &found.body["base"]["ref"] } else { &found.body[key.as_str()] };
            is.as_str().map(str::trim_end) != value.as_str().map(str::trim_end)
        });
        let changed = !wanted.is_empty();
        if changed {
            found = self.put(&Method::PATCH, &url, Some(&Value::Object(wanted))).await?;
        }
        Ok(vec![("pull_request", shape::pull_request(&found.body)?), ("changed", changed.into())])
    }

    /// Who has reviewed what the pull request is now: they were asked, and have answered.
    async fn answered(&self) -> Result<Vec<String>, Failed> {
        let pull = self.get(&self.pull_url()?).await?;
        let head = pull.body["head"]["sha"].clone();
        let mut url = self.of_repo(&["pulls", &self.needed_number()?, "reviews"])?;
        url.query_pairs_mut().append_pair("per_page", &PAGE.to_string());
        let wanted = |review: &Value| review["commit_id"] == head && review["state"] != "PENDING";
        let reviews = self.pages(url, None, MOST_REVIEWS, wanted).await?.entries;
        Ok(reviews.iter().map(|review| shape::author(review).to_owned()).collect())
    }

    pub(super) async fn request_review(&self) -> Outputs {
        let url = self.of_repo(&["pulls", &self.needed_number()?, "requested_reviewers"])?;
        let asked = self.get(&url).await?;
        let missing = |setting: &str, under: &str, key: &str| -> Vec<String> {
            let known: Vec<&str> =
                asked.body[under].as_array().into_iter().flatten().filter_map(|entry| entry[key].as_str()).collect();
            let wanted = self.names(setting).unwrap_or_default();
            wanted.into_iter().filter(|name| !known.iter().any(|known| known.eq_ignore_ascii_case(name))).collect()
        };
        let mut people = missing("reviewers", "users", "login");
        if !people.is_empty() {
            let answered = self.answered().await?;
            people.retain(|name| !answered.iter().any(|known| known.eq_ignore_ascii_case(name)));
        }
        let teams = missing("team_reviewers", "teams", "slug");
        let requested: Vec<String> = people.iter().chain(&teams).cloned().collect();
        if !requested.is_empty() {
            // Who is asked already is not asked again.
            self.put(&Method::POST, &url, Some(&json!({"reviewers": people, "team_reviewers": teams}))).await?;
        }
        let found = self.get(&self.pull_url()?).await?;
        Ok(vec![("pull_request", shape::pull_request(&found.body)?), ("requested", requested.into())])
    }
}
