//! aider: text only.
//!
//! What it says is its message. Tokens and cost stand in one line after each answer, rounded by aider; the session is the
//! chat history that it is told to keep, so resuming restores it. There is no result: it ends with 0 whatever happened, and
//! its words are all there is.

use atta_core::engine::AgentClass;
use atta_core::protocol::agent::{AgentPermission, AgentTokens, MicroUsd};
use atta_core::time::UnixMillis;
use serde_json::Value;

use super::{Adapter, Launch, variables};
use crate::classify::{class_of, problem, problem_of};
use crate::event::{Event, Outcome, Problem, Used};
use crate::process::Invocation;

/// The file of a session: it has to be there when a later attempt resumes it.
pub(super) fn session(launch: &Launch<'_>) -> std::io::Result<String> {
    if let Some(session) = launch.resume {
        return Ok(session.to_owned());
    }
    let files = launch.home.map_or_else(|| launch.files.to_owned(), |home| home.join(".aider/atta"));
    std::fs::create_dir_all(&files)?;
    Ok(files.join(format!("{}.md", launch.fresh_id)).to_string_lossy().into_owned())
}

pub(super) fn invoke(launch: &Launch<'_>) -> std::io::Result<Invocation> {
    let prompt = launch.files.join(format!("aider-prompt-{}.md", launch.run));
    std::fs::write(&prompt, launch.whole_prompt())?;
    let mut command = launch.program("aider");
    let (prompt, session) = (prompt.to_string_lossy().into_owned(), session(launch)?);
    let mut add = |arguments: &[&str]| command.extend(arguments.iter().map(std::convert::Into::into));
    add(&["--message-file", &prompt, "--chat-history-file", &session]);
    add(&["--no-pretty", "--no-stream", "--no-check-update", "--no-show-release-notes", "--no-fancy-input"]);
    // Not `--analytics-disable`, which changes the user's settings for good; and the checkout's .gitignore is not aider's.
    add(&["--no-suggest-shell-commands", "--no-detect-urls", "--no-analytics", "--no-gitignore"]);
    add(&["--no-show-model-warnings"]);
    if launch.resume.is_some() {
        add(&["--restore-chat-history"]);
    }
    match launch.permission {
        AgentPermission::Read => add(&["--dry-run", "--no-auto-commits", "--chat-mode", "ask", "--yes-always"]),
        AgentPermission::Edit | AgentPermission::Full => add(&["--yes-always"]),
    }
    let texts = launch.context.map(std::fs::read_dir).transpose()?;
    for text in texts.into_iter().flatten() {
        add(&["--read", &text?.path().to_string_lossy()]);
    }
    if let Some(model) = &launch.choice.model {
        add(&["--model", model]);
    }
    let set = variables([
        // It breaks what it prints into lines of this width: a verdict's texts too.
        ("COLUMNS", "1000000"),
        // `--yes-always` answers "open the documentation?" as well.
        ("BROWSER", "true"),
        // litellm fetches its table of prices when it is loaded, and has one with it.
        ("LITELLM_LOCAL_MODEL_COST_MAP", "True"),
    ]);
    Ok(Invocation { command, set, stdin: None })
}

/// It tells its version, model and files before it begins.
#[derive(Debug, Default, PartialEq)]
enum Greeting {
    #[default]
    Awaited,
    Begun,
    Over,
}

/// Understands its text.
#[derive(Debug, Default)]
pub(crate) struct Aider {
    session: String,
    begun: bool,
    said: String,
    failure: Option<Problem>,
    /// The failure is one in aider's own words.
    certain: bool,
    greeting: Greeting,
    /// An answer has come to its end.
    answered: bool,
    model: Option<String>,
}

impl Aider {
    pub(super) fn new(session: String) -> Self {
        Self { session, ..Self::default() }
    }
}

impl Adapter for Aider {
    fn speaks_json(&self) -> bool {
        false
    }

    fn json(&mut self, _event: &Value, _now: UnixMillis, _out: &mut Vec<Event>) {}

    fn text(&mut self, line: &str, now: UnixMillis, out: &mut Vec<Event>) {
        if !self.begun {
            self.begun = true;
            out.push(Event::Session(self.session.clone()));
        }
        if self.greeting == Greeting::Awaited && line.starts_with("Aider v") {
            // What came before are notes about its settings.
            self.greeting = Greeting::Begun;
            self.said.clear();
            out.push(Event::Ignored);
        } else if self.greeting == Greeting::Begun && is_announced(line) {
            let rest = line.strip_prefix("Model: ").or_else(|| line.strip_prefix("Main model: "));
            out.push(rest.map_or(Event::Ignored, |rest| {
                let model = rest.split(" with ").next().unwrap_or(rest).trim();
                self.model = Some(model.to_owned());
                Event::Model(model.to_owned())
            }));
        } else if self.greeting == Greeting::Begun {
            self.greeting = Greeting::Over;
            self.text(line, now, out);
        } else if let Some((tokens, cost)) = line.strip_prefix("Tokens: ").and_then(usage) {
            out.push(Event::Turn(None));
            out.push(Event::Message(std::mem::take(&mut self.said)));
            out.push(Event::Used(Used { id: None, model: self.model.clone(), tokens, cost }));
            self.failure = None;
            self.answered = true;
        } else if let Some(told) = line.strip_prefix("Applied edit to ") {
            out.push(Event::ToolCall { name: "edit".to_owned(), detail: told.to_owned() });
        } else if let Some(told) = line.strip_prefix("Commit ") {
            out.push(Event::ToolCall { name: "commit".to_owned(), detail: told.to_owned() });
        } else if line.starts_with("No LLM model was specified and no API keys were provided") {
            // Now it would wait for somebody to log in with a browser.
            out.push(Outcome::bad(problem_of(AgentClass::Auth, line, now)));
        } else if self.certain && self.failure.is_some() && is_said_after_a_failure(line) {
            out.push(Event::Ignored);
        } else if is_failure(line) {
            let found = problem(line, now);
            self.certain = is_its_own(line);
            self.failure = Some(found.clone());
            out.push(Event::Problem(found));
        } else {
            if self.said.len() < 1 << 20 {
                self.said.push_str(line);
                self.said.push('\n');
            }
            out.push(Event::Ignored);
        }
    }

    fn end(&mut self, exit_code: Option<i32>, _now: UnixMillis, out: &mut Vec<Event>) {
        // What only looks like an error may be the output of a test that it ran after its answer.
        let failure = self.failure.take().filter(|_| self.certain || exit_code != Some(0) || !self.answered);
        if let Some(problem) = failure {
            out.push(Outcome::bad(problem));
        } else if self.begun && exit_code == Some(0) {
            // Behind an answer come warnings and what checks said: that is not what it has to say.
            if !self.answered && !self.said.trim().is_empty() {
                out.push(Event::Message(std::mem::take(&mut self.said)));
            }
            out.push(Outcome::good(None));
        }
    }
}

/// What it is, and what it works with.
fn is_announced(line: &str) -> bool {
    let begins = ["Model: ", "Main model: ", "Weak model: ", "Editor model: ", "Git repo: ", "Repo-map: ", "Restored "];
    begins.iter().any(|words| line.starts_with(words)) || (line.starts_with("Added ") && line.contains(" to the chat"))
}

/// Errors begin with the name of litellm's exception or with a phrase of aider's own.
fn is_its_own(line: &str) -> bool {
    line.starts_with("litellm.") || (line.starts_with("Model ") && line.contains("has hit a token limit"))
}

/// In which words aider explains an error, and what it does then; the error itself says more.
fn is_said_after_a_failure(line: &str) -> bool {
    line.starts_with("The API provider") || line.starts_with("Retrying in ")
}

fn is_failure(line: &str) -> bool {
    is_its_own(line) || (line.contains("Error") && class_of(line).is_some() && line.len() < 1000)
}

/// `2.1k sent, 1k cache hit, 345 received. Cost: $0.01 message, $0.05 session.`
fn usage(line: &str) -> Option<(AgentTokens, Option<MicroUsd>)> {
    let (counts, cost) = line.split_once(". Cost: $").map_or((line, None), |(counts, cost)| (counts, Some(cost)));
    let mut tokens = AgentTokens::default();
    let mut sent = None;
    for part in counts.trim_end_matches('.').split(", ") {
        let (number, what) = part.split_once(' ')?;
        let number = number_of(number)?;
        match what {
            "sent" => sent = Some(number),
            "received" => tokens.output = number,
            "cache write" => tokens.cache_write = number,
            "cache hit" => tokens.cache_read = number,
            _ => {}
        }
    }
    // What was sent has the cache in it.
    tokens.input = sent?.saturating_sub(tokens.cache_read + tokens.cache_write);
    let cost = cost.and_then(|cost| cost.split(' ').next()?.parse().ok()).and_then(MicroUsd::from_dollars);
    Some((tokens, cost))
}

/// `345`, `2.1k`, `12k`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of tokens, never negative")]
fn number_of(text: &str) -> Option<u64> {
    let (digits, factor) = text.strip_suffix('k').map_or((text, 1.0), |digits| (digits, 1000.0));
    let number: f64 = digits.replace(',', "").parse().ok()?;
    (number >= 0.0).then_some((number * factor).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_behind_the_answer_is_neither_the_answer_nor_a_failure() {
        let mut aider = Aider::new("s".to_owned());
        let mut events = Vec::new();
        for line in ["It is done.", "Tokens: 1k sent, 2 received.", "Warning: x", "E  HTTPError: 403 Forbidden"] {
            aider.text(line, UnixMillis(0), &mut events);
        }
        aider.end(Some(0), UnixMillis(0), &mut events);
        let said: Vec<&String> = events
            .iter()
            .filter_map(|event| if let Event::Message(text) = event { Some(text) } else { None })
            .collect();
        assert_eq!(said, ["It is done.\n"]);
        assert!(matches!(events.last(), Some(Event::Result(outcome)) if outcome.problem.is_none()), "{events:?}");
        aider.text("litellm.RateLimitError: full", UnixMillis(0), &mut events);
        aider.end(Some(0), UnixMillis(0), &mut events);
        assert!(matches!(events.last(), Some(Event::Result(outcome)) if outcome.problem.is_some()), "{events:?}");
    }

    #[test]
    fn what_it_tells_of_itself_is_not_its_answer() {
        let mut aider = Aider::new("s".to_owned());
        let mut events = Vec::new();
        let notes = ["Update git name with: git config user.name \"Your Name\"", "HTTPSConnectionPool(host='x'): no"];
        let announced = ["Aider v0.86.2", "Model: openai/m1 with diff edit format", "Git repo: .git with 3 files"];
        for line in notes.into_iter().chain(announced).chain(["Aider v1 is not it.", "Tokens: 10 sent, 2 received."]) {
            aider.text(line, UnixMillis(0), &mut events);
        }
        assert!(events.contains(&Event::Model("openai/m1".to_owned())), "{events:?}");
        let said = events.iter().find_map(|event| if let Event::Message(text) = event { Some(text) } else { None });
        assert_eq!(said.map(String::as_str), Some("Aider v1 is not it.\n"));
    }

    #[test]
    fn the_error_itself_says_what_went_wrong_and_not_its_explanation() {
        let mut aider = Aider::new("s".to_owned());
        let mut events = Vec::new();
        for line in [
            "litellm.AuthenticationError: AuthenticationError: OpenAIException - no such key",
            "The API provider is not able to authenticate you. Check your API key.",
            "Retrying in 0.2 seconds...",
        ] {
            aider.text(line, UnixMillis(0), &mut events);
        }
        aider.end(Some(0), UnixMillis(0), &mut events);
        let Some(Event::Result(Outcome { problem: Some(problem), .. })) = events.last() else {
            panic!("no failure: {events:?}")
        };
        assert_eq!(problem.class, AgentClass::Auth);
        assert!(problem.message.ends_with("no such key"), "{}", problem.message);
    }

    #[test]
    fn without_a_key_it_does_not_wait_for_a_browser() {
        let mut aider = Aider::new("s".to_owned());
        let mut events = Vec::new();
        aider.text("No LLM model was specified and no API keys were provided.", UnixMillis(0), &mut events);
        let Some(Event::Result(Outcome { problem: Some(problem), .. })) = events.last() else {
            panic!("no failure: {events:?}")
        };
        assert_eq!(problem.class, AgentClass::Auth);
    }

    #[test]
    fn the_line_about_tokens_is_read() {
        let (tokens, cost) =
            usage("2.1k sent, 1k cache hit, 345 received. Cost: $0.01 message, $0.05 session.").unwrap();
        assert_eq!(tokens, AgentTokens { input: 1100, output: 345, cache_read: 1000, cache_write: 0 });
        assert_eq!(cost, Some(MicroUsd(10_000)));
        let (tokens, cost) = usage("12k sent, 1,234 received.").unwrap();
        assert_eq!((tokens.input, tokens.output, cost), (12_000, 1234, None));
        assert_eq!(usage("are what I count"), None);
    }
}
