//! From the stored content of a notification to what a receiver gets.

use std::fmt::Write as _;

use atta_core::time::UnixMillis;
use serde_json::{Value, json};

/// Slack takes no longer text in one block.
const LONGEST_BLOCK: usize = 2_900;

/// The content with what only the sender knows.
pub(super) struct Told<'a> {
    pub(super) content: &'a Value,
    /// Where it can be looked at.
    pub(super) url: String,
    /// A link by which the reader can vote.
    pub(super) vote_url: Option<String>,
}

impl Told<'_> {
    fn text(&self, pointer: &str) -> Option<&str> {
        self.content.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    fn title(&self) -> &str {
        self.text("/title").unwrap_or("Atta")
    }

    /// What is worth saying, most important first.
    fn paragraphs(&self) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        found.extend(self.text("/message").map(str::to_owned));
        if let Some(error) = self.text("/job/error/message") {
            let code = self.text("/job/error/code").unwrap_or("ERROR");
            found.push(format!("{code}: {error}"));
        } else {
            found.extend(self.text("/job/reason").map(str::to_owned));
        }
        found.extend(self.text("/approval/message").map(str::to_owned));
        if let Some(deadline) = self.text("/approval/deadline") {
            found.push(format!("To be decided until {deadline}."));
        }
        found.extend(self.text("/job/description").map(str::to_owned));
        found
    }

    /// The JSON document of a webhook.
    pub(super) fn webhook(&self, delivery: &str, sent_at: UnixMillis) -> Value {
        let mut document = json!({"id": delivery, "sent_at": sent_at.to_rfc3339(), "url": self.url});
        if let (Some(document), Some(content)) = (document.as_object_mut(), self.content.as_object()) {
            document.extend(content.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        document
    }

    /// A message for an incoming webhook of Slack.
    pub(super) fn slack(&self) -> Value {
        let section = |text: String| json!({"type": "section", "text": {"type": "mrkdwn", "text": text}});
        let mut blocks = vec![section(format!("*<{}|{}>*", self.url, for_slack(self.title())))];
        blocks.extend(self.paragraphs().iter().map(|text| section(shortened(&for_slack(text)))));
        let mut text = for_slack(self.title());
        for paragraph in self.paragraphs().iter().take(1) {
            let _ = write!(text, "\n{}", shortened(&for_slack(paragraph)));
        }
        json!({"text": text, "blocks": blocks})
    }

    pub(super) fn subject(&self) -> &str {
        self.text("/subject").unwrap_or(self.title())
    }

    /// The body of an e-mail.
    pub(super) fn mail(&self) -> String {
        let mut text = format!("{}\n", self.title());
        for paragraph in self.paragraphs() {
            let _ = write!(text, "\n{paragraph}\n");
        }
        if let Some(url) = &self.vote_url {
            let _ = write!(text, "\nVote here (the link is for you alone, do not pass it on):\n{url}\n");
        }
        let _ = write!(text, "\n{}\n", self.url);
        text
    }
}

/// Slack's own escapes: nothing in the text mentions anybody or links anywhere.
fn for_slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn shortened(text: &str) -> String {
    if text.len() <= LONGEST_BLOCK {
        return text.to_owned();
    }
    let mut end = LONGEST_BLOCK;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_mentions_nobody_in_slack() {
        let content = json!({
            "title": "build job_1 FAILED",
            "job": {"error": {"code": "EXIT_CODE", "message": "exit code 1"}, "description": "<!channel> & <http://evil|x>"}
        });
        let told = Told { content: &content, url: "http://h/api/v1/jobs/job_1".to_owned(), vote_url: None };
        let slack = told.slack();
        assert_eq!(slack["text"], "build job_1 FAILED\nEXIT_CODE: exit code 1");
        assert_eq!(slack["blocks"][0]["text"]["text"], "*<http://h/api/v1/jobs/job_1|build job_1 FAILED>*");
        assert_eq!(slack["blocks"][2]["text"]["text"], "&lt;!channel&gt; &amp; &lt;http://evil|x&gt;");
        assert_eq!(
            told.mail(),
            "build job_1 FAILED\n\nEXIT_CODE: exit code 1\n\n<!channel> & <http://evil|x>\n\nhttp://h/api/v1/jobs/job_1\n"
        );
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long = "ä".repeat(5_000);
        let cut = shortened(&long);
        assert!(cut.len() < LONGEST_BLOCK + 4 && cut.ends_with('…'));
    }
}
