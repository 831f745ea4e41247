//! Saying something exactly once.

use std::fmt::Write as _;

use reqwest::Method;
use serde_json::{Map, Value, json};
use url::Url;

use super::Outputs;
use super::harmless::harmless;
use crate::call::PAGE;
use crate::failed::{Failed, Kind};
use crate::hub::Login;
use crate::session::Session;
use crate::shape::{self, MARK};

/// Comments of one issue that are looked through for what has been said.
const LOOKED_THROUGH: usize = 5_000;
/// Characters of a key.
const KEY: usize = 200;
/// Characters that GitHub takes.
const LONGEST: usize = 65_536;
const CUT: &str = "\n\n*(cut here: the text is longer than GitHub takes)*";

impl Session<'_> {
    /// The invisible mark of this task, with what tells one of its comments from another.
    pub(super) fn mark(&self) -> String {
        let mut mark = self.order.marker.clone();
        if let Some(key) = self.text("key") {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
            mark.push(':');
            for c in key.chars() {
                if plain(c) {
                    mark.push(c);
                } else {
                    let _ = write!(mark, "%{:X}", u32::from(c));
                }
            }
        }
        format!("<!-- {} -->", mark.replace("-->", "").replace("--", "-%2D"))
    }

    /// A text with the mark at its end, no other that could be taken for it, and no orders below its first line.
    pub(super) fn marked(&self, body: &str, mark: &str) -> String {
        let mut body = harmless(body.replace(MARK, "<!-- quoted atta:").trim_end());
        let room = LONGEST.saturating_sub(mark.chars().count() + CUT.chars().count() + 2);
        if let Some((at, _)) = body.char_indices().nth(room) {
            self.say(format!("the text is longer than the {LONGEST} characters that GitHub takes: its end is cut off"));
            body.truncate(at);
            body.push_str(CUT);
        }
        format!("{body}\n\n{mark}")
    }

    pub(super) async fn comment(&self) -> Outputs {
        let number = self.needed_number()?;
        if self.text("key").is_some_and(|key| key.chars().count() > KEY) {
            return Err(Failed::invalid(format!("github.key has more than {KEY} characters")));
        }
        let body = self.needed("body")?;
        if body.trim().is_empty() {
            self.say("nothing is said: the text is empty".to_owned());
            return Ok(vec![("comment", Value::Null), ("created", false.into())]);
        }
        let mark = self.mark();
        let text = self.marked(body, &mark);
        let mut me = self.login().await?;
        let (list, make, kind) = match self.number("reply_to") {
            None => {
                let url = self.of_repo(&["issues", &number, "comments"])?;
                (url.clone(), url, "comment")
            }
            Some(to) => {
                let list = self.of_repo(&["pulls", &number, "comments"])?;
                let first = self.first_of_thread(&list, to).await?.to_string();
                let make = self.of_repo(&["pulls", &number, "comments", &first, "replies"])?;
                (list, make, "review_comment")
            }
        };
        let mut pauses = self.pauses();
        let mut created = false;
        let comment = loop {
            if let Some(known) = self.said_before(&list, &mark, &me).await? {
                break known;
            }
            match self.make(&make, &json!({"body": text})).await {
                Ok(answer) => {
                    if let Some(name) = answer.body["user"]["login"].as_str() {
                        self.wrote_as(name, &mut me)?;
                    }
                    created = true;
                    break (*answer.body).clone();
                }
                // Nobody can read an answer to what is gone.
                Err(failed) if failed.kind == Kind::NotFound && kind == "review_comment" => {
                    self.say(format!("nothing is said: the comment that it answers is gone ({})", failed.message));
                    return Ok(vec![("comment", Value::Null), ("created", false.into())]);
                }
                // It may be there: that is looked up before it is said again.
                Err(failed) => self.pause(failed, &mut pauses).await?,
            }
        };
        let id = shape::number(&comment, "a comment", "id")?.to_string();
        let comment = if comment["body"].as_str().map(str::trim_end) == Some(text.trim_end()) {
            comment
        } else {
            let place = if kind == "comment" { "issues" } else { "pulls" };
            let url = self.of_repo(&[place, "comments", &id])?;
            (*self.put(&Method::PATCH, &url, Some(&json!({"body": text}))).await?.body).clone()
        };
        let made: Map<String, Value> = shape::comment(kind, &comment, &self.trust(), Some(&me))?;
        Ok(vec![("comment", Value::Object(made)), ("created", created.into())])
    }

    /// GitHub takes replies to the first comment of a thread only.
    async fn first_of_thread(&self, list: &Url, to: u64) -> Result<u64, Failed> {
        let mut url = list.clone();
        url.query_pairs_mut().append_pair("per_page", &PAGE.to_string());
        let found = self.pages(url, None, LOOKED_THROUGH, |comment| comment["id"].as_u64() == Some(to)).await?;
        Ok(found.entries.first().and_then(|comment| comment["in_reply_to_id"].as_u64()).unwrap_or(to))
    }

    async fn said_before(&self, list: &Url, mark: &str, me: &Login) -> Result<Option<Value>, Failed> {
        let mut url = list.clone();
        url.query_pairs_mut().append_pair("per_page", &PAGE.to_string());
        let ours = |comment: &Value| {
            shape::author(comment).eq_ignore_ascii_case(&me.name)
                && comment["body"].as_str().is_some_and(|body| body.trim_end().ends_with(mark))
        };
        let pages = self.pages(url, None, LOOKED_THROUGH, ours).await?;
        if pages.entries.is_empty() && pages.more {
            let message = "there are more comments than can be looked through for what has been said already";
            return Err(Failed::new(Kind::Incomplete, message));
        }
        Ok(pages.entries.into_iter().next())
    }
}
