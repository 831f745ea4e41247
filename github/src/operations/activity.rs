//! What has happened on a pull request: each comment and review once.

use std::collections::BTreeSet;
use std::time::Duration;

use atta_core::time::parse_rfc3339;
use serde_json::{Map, Value, json};

use super::Outputs;
use crate::call::PAGE;
use crate::failed::{Failed, Kind};
use crate::session::Session;
use crate::shape;

/// Comments or reviews of one kind.
const MOST: usize = 3_000;
/// What has not ended after this has lost who was to end it: nobody waits for it any more.
const STUCK: Duration = Duration::from_hours(1);
/// The version of cursors.
const VERSION: u64 = 1;

/// What was told already. Neither the greatest number nor the latest time would do: a review's comments have numbers and
/// times of when they were drafted, and are seen when it is sent.
#[derive(Default)]
struct Cursor {
    seen: [BTreeSet<u64>; 3],
    /// What the pull request and its checks were like.
    state: Value,
}

const KINDS: [(&str, [&str; 2]); 3] =
    [("comment", ["issues", "comments"]), ("review_comment", ["pulls", "comments"]), ("review", ["pulls", "reviews"])];

impl Cursor {
    fn read(given: Option<&Value>) -> Result<Self, Failed> {
        let Some(given) = given else { return Ok(Self::default()) };
        let wrong = || Failed::invalid("github.cursor is none that pr_activity gave");
        if given["v"].as_u64() != Some(VERSION) {
            return Err(wrong());
        }
        let mut cursor = Self { state: given["state"].clone(), ..Self::default() };
        for ((kind, _), seen) in KINDS.iter().zip(&mut cursor.seen) {
            let ids = given[*kind].as_array().ok_or_else(wrong)?;
            *seen = ids.iter().map(|id| id.as_u64().ok_or_else(wrong)).collect::<Result<_, _>>()?;
        }
        Ok(cursor)
    }

    fn write(&self) -> Value {
        let mut made = Map::new();
        made.insert("v".to_owned(), VERSION.into());
        for ((kind, _), seen) in KINDS.iter().zip(&self.seen) {
            made.insert((*kind).to_owned(), seen.iter().copied().collect::<Vec<_>>().into());
        }
        made.insert("state".to_owned(), self.state.clone());
        Value::Object(made)
    }
}

impl Session<'_> {
    pub(super) async fn pr_activity(&self) -> Outputs {
        let number = self.needed_number()?;
        let mut cursor = Cursor::read(self.setting("cursor"))?;
        let trust = self.trust();
        let me = self.login().await?;
        let pull = self.get(&self.of_repo(&["pulls", &number])?).await?;
        let shown = shape::pull_request(&pull.body)?;
        let mut activity = Vec::new();
        for ((kind, [place, list]), seen) in KINDS.iter().zip(&mut cursor.seen) {
            let mut url = self.of_repo(&[place, &number, list])?;
            url.query_pairs_mut().append_pair("per_page", &PAGE.to_string());
            // A review that is being written is seen by its author only.
            let told = |entry: &Value| entry["id"].as_u64().is_some_and(|id| seen.contains(&id));
            let wanted = |entry: &Value| entry["state"] != "PENDING" && !told(entry);
            let kept = |entry: &Value| wanted(entry).then(|| shape::kept(entry, &trust, &me));
            let pages = self.pages_of(url, None, MOST, kept).await?;
            if pages.more {
                let message = format!("pull request #{number} has more than {MOST} new entries of the kind {kind}");
                return Err(Failed::new(Kind::Incomplete, message));
            }
            for entry in &pages.entries {
                if seen.insert(shape::number(entry, "a comment", "id")?) {
                    activity.push(shape::comment(kind, entry, &trust, Some(&me))?);
                }
            }
        }
        activity.sort_by_key(|entry| entry["created_at"].as_str().unwrap_or_default().to_owned());
        let sha = shape::text(&pull.body["head"], "a pull request", "sha")?;
        let checks = self.checks(sha).await?;
        // GitHub forgets it with each push to the base, and finds it anew: until then it is as it was. Of another commit
        // nothing is known yet.
        let conflict = match shown["mergeable"].as_bool() {
            Some(mergeable) => !mergeable,
            None => cursor.state["conflict"] == true && cursor.state["head"] == sha,
        };
        let state = json!({
            "head": sha,
            "state": shown["state"],
            "merged": shown["merged"],
            "conflict": conflict,
            "checks": checks["state"],
            // A failure is answered when nothing else runs any more: that end is news too.
            "waiting": checks["pending"].as_array().is_some_and(|pending| !pending.is_empty()),
            "failed": checks["failed"].as_array().into_iter().flatten().map(|check| check["name"].clone()).collect::<Vec<_>>(),
        });
        let news = !activity.is_empty() || state != cursor.state;
        cursor.state = state;
        let activity: Vec<Value> = activity.into_iter().map(Value::Object).collect();
        Ok(vec![
            ("pull_request", shown),
            ("activity", activity.into()),
            ("checks", checks),
            ("cursor", cursor.write()),
            ("news", news.into()),
        ])
    }

    /// Check runs and statuses of a commit as one: `failure`, `pending`, `success`, or `none`.
    async fn checks(&self, sha: &str) -> Result<Value, Failed> {
        let mut url = self.of_repo(&["commits", sha, "check-runs"])?;
        url.query_pairs_mut().append_pair("filter", "latest").append_pair("per_page", &PAGE.to_string());
        let runs = self.pages(url, Some("check_runs"), MOST, |_| true).await?;
        let mut url = self.of_repo(&["commits", sha, "status"])?;
        url.query_pairs_mut().append_pair("per_page", &PAGE.to_string());
        let statuses = self.pages(url, Some("statuses"), MOST, |_| true).await?;
        if runs.more || statuses.more {
            return Err(Failed::new(Kind::Incomplete, format!("the commit {sha} has more than {MOST} checks")));
        }
        let (mut failed, mut pending, mut stuck) = (Vec::new(), Vec::new(), Vec::new());
        let now = self.hub.now();
        let is_stuck =
            |since: &Value| since.as_str().and_then(parse_rfc3339).is_some_and(|since| now.since(since) > STUCK);
        for run in &runs.entries {
            let name = shape::text(run, "a check", "name")?;
            if shape::text(run, "a check", "status")? != "completed" {
                let list = if is_stuck(&run["started_at"]) { &mut stuck } else { &mut pending };
                list.push(Value::from(name));
                continue;
            }
            let conclusion = run["conclusion"].as_str().unwrap_or("failure");
            if !matches!(conclusion, "success" | "neutral" | "skipped") {
                let summary = run["output"]["summary"].as_str().unwrap_or_default();
                let summary: String = summary.chars().take(4_000).collect();
                failed.push(json!({
                    "name": name, "conclusion": conclusion, "url": run["html_url"], "summary": summary,
                }));
            }
        }
        for status in &statuses.entries {
            let name = shape::text(status, "a status", "context")?;
            match shape::text(status, "a status", "state")? {
                "success" => {}
                "pending" if is_stuck(&status["updated_at"]) => stuck.push(Value::from(name)),
                "pending" => pending.push(Value::from(name)),
                state => failed.push(json!({
                    "name": name, "conclusion": state, "url": status["target_url"], "summary": status["description"],
                })),
            }
        }
        let total = runs.entries.len() + statuses.entries.len();
        let state = if !failed.is_empty() {
            "failure"
        } else if !pending.is_empty() || !stuck.is_empty() {
            "pending"
        } else if total == 0 {
            "none"
        } else {
            "success"
        };
        Ok(json!({"state": state, "total": total, "failed": failed, "pending": pending, "stuck": stuck}))
    }
}
