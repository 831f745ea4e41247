//! goose: `goose run --output-format stream-json`.
//!
//! Its stream does not name the session, so it is given a name. The totals count from the beginning of the session. Most
//! errors it tells in a message of its own, as if it were an answer, and then it is complete and exits with 0.

use std::fmt::Write as _;

use atta_core::engine::AgentClass;
use atta_core::protocol::agent::{AgentPermission, AgentTokens};
use atta_core::time::UnixMillis;
use indexmap::IndexMap;
use serde_json::Value;

use super::{Adapter, Launch, count, detail, dollars, text, variables};
use crate::classify::{problem, problem_of};
use crate::event::{Event, Outcome, Problem, Total};
use crate::process::Invocation;

pub(super) fn invoke(launch: &Launch<'_>) -> std::io::Result<Invocation> {
    let mut command = launch.program("goose");
    let mut add = |arguments: &[&str]| command.extend(arguments.iter().map(std::convert::Into::into));
    add(&["run", "--output-format", "stream-json", "--quiet"]);
    match launch.resume {
        Some(session) => add(&["--resume", "--name", session]),
        None => add(&["--name", launch.fresh_id]),
    }
    if let Some(model) = &launch.choice.model {
        match model.split_once('/') {
            Some((provider, model)) => add(&["--provider", provider, "--model", model]),
            None => add(&["--model", model]),
        }
    }
    if let Some(system) = launch.system {
        add(&["--system", system]);
    }
    if let Some(turns) = launch.turns_left {
        add(&["--max-turns", &turns.to_string()]);
    }
    for tool in launch.allowed_tools {
        add(&["--with-builtin", tool]);
    }
    add(&["--instructions", "-"]);
    let mode = match launch.permission {
        AgentPermission::Read => "chat",
        // What is not allowed by itself is asked for; nobody answers, and it ends.
        AgentPermission::Edit => "smart_approve",
        AgentPermission::Full => "auto",
    };
    let mut prompt = launch.prompt.to_owned();
    if launch.permission == AgentPermission::Read {
        // It may use no tool, not even to look into a file.
        prompt.push_str(&texts(launch)?);
    }
    let set = variables([("GOOSE_MODE", mode), ("GOOSE_TELEMETRY_OFF", "1")]);
    Ok(Invocation { command, set, stdin: Some(prompt) })
}

/// The texts of others, each in its frame.
fn texts(launch: &Launch<'_>) -> std::io::Result<String> {
    let entries = launch.context.map(std::fs::read_dir).transpose()?.into_iter().flatten();
    let mut files = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>()?;
    files.sort();
    let mut texts = String::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file)?;
        let _ = write!(texts, "\n\nYou cannot open files. This is in {name}:\n\n{text}");
    }
    Ok(texts)
}

/// Understands its stream.
#[derive(Debug, Default)]
pub(crate) struct Goose {
    session: String,
    model: Option<String>,
    /// The message that comes in pieces.
    speaking: Option<String>,
    begun: bool,
    /// What it said last of itself.
    failure: Option<Problem>,
}

impl Goose {
    pub(super) fn new(session: String, model: Option<String>) -> Self {
        let model = model.map(|model| model.split_once('/').map_or(model.clone(), |(_, model)| model.to_owned()));
        Self { session, model, ..Self::default() }
    }
}

impl Adapter for Goose {
    fn json(&mut self, event: &Value, now: UnixMillis, out: &mut Vec<Event>) {
        if !self.begun {
            self.begun = true;
            out.push(Event::Session(self.session.clone()));
        }
        match text(event, "/type").unwrap_or_default() {
            "message" => self.message(&event["message"], now, out),
            "notification" => out.push(Event::Ignored),
            "model_change" => out.extend(text(event, "/model").map(|model| Event::Model(model.to_owned()))),
            "error" => {
                let message = text(event, "/error").unwrap_or("an error");
                out.push(Outcome::bad(problem(message, now)));
            }
            "complete" => {
                let known = event.get("input_tokens").is_some_and(Value::is_u64);
                let cache_read = count(event, "/cache_read_input_tokens");
                let cache_write = count(event, "/cache_write_input_tokens");
                let tokens = known.then(|| AgentTokens {
                    input: count(event, "/input_tokens").saturating_sub(cache_read + cache_write),
                    output: count(event, "/output_tokens"),
                    cache_read,
                    cache_write,
                });
                let by_model = self.model.clone().zip(tokens).into_iter().collect::<IndexMap<_, _>>();
                let cost = dollars(event, "/cost_usd").filter(|cost| cost.0 > 0);
                out.push(Event::Total(Total { tokens, cost, by_model, whole_session: true }));
                out.push(self.failure.take().map_or_else(|| Outcome::good(None), Outcome::bad));
            }
            kind => out.push(Event::Unknown(kind.to_owned())),
        }
    }
}

impl Goose {
    /// A message may come in pieces with the same id.
    fn message(&mut self, message: &Value, now: UnixMillis, out: &mut Vec<Event>) {
        let assistant = text(message, "/role") == Some("assistant");
        let id = text(message, "/id").map(str::to_owned);
        if let Some(told) = own_words(message) {
            let found = if told.starts_with(OUT_OF_TURNS) {
                problem_of(AgentClass::MaxTurns, told, now)
            } else {
                problem(told, now)
            };
            self.failure = Some(found.clone());
            out.push(Event::Problem(found));
            return;
        }
        if text(message, "/content/0/type") == Some("systemNotification") {
            out.push(Event::Note(text(message, "/content/0/msg").unwrap_or_default().to_owned()));
            return;
        }
        if assistant {
            self.failure = None;
            out.push(Event::Turn(id.clone()));
        }
        for part in message.get("content").and_then(Value::as_array).into_iter().flatten() {
            match text(part, "/type") {
                Some("text") if assistant => {
                    let words = part.get("text").and_then(Value::as_str).unwrap_or_default();
                    if self.speaking != id {
                        // Another one begins: what came in pieces is whole.
                        out.push(Event::Message(String::new()));
                        self.speaking.clone_from(&id);
                    }
                    out.push(if id.is_some() {
                        Event::Piece(words.to_owned())
                    } else {
                        Event::Message(words.to_owned())
                    });
                }
                Some("toolRequest") => {
                    let call = &part["toolCall"];
                    let call = call.get("value").unwrap_or(call);
                    out.push(Event::ToolCall {
                        name: text(call, "/name").unwrap_or("?").to_owned(),
                        detail: detail(&call["arguments"]),
                    });
                }
                Some("toolResponse") => {
                    let result = &part["toolResult"];
                    let failed = text(result, "/status") == Some("error") || result["value"]["isError"] == true;
                    // Older versions had the content alone for a value.
                    let told = ["/error", "/value/content/0/text", "/value/0/text"];
                    let told = told.iter().find_map(|pointer| text(result, pointer));
                    out.push(Event::ToolResult { failed, detail: told.unwrap_or_default().to_owned() });
                }
                _ => {}
            }
        }
    }
}

/// How it begins to speak when the turns that it was given are used up.
const OUT_OF_TURNS: &str = "I've reached the maximum number of actions";

/// What goose itself says in an answer's place. What a model said has a note of which one it was.
fn own_words(message: &Value) -> Option<&str> {
    let told = text(message, "/content/0/text").filter(|_| text(message, "/role") == Some("assistant"))?;
    let begins = ["Ran into this error", "Unable to continue: ", OUT_OF_TURNS];
    let own = message.pointer("/metadata/inference").is_none() && begins.iter().any(|words| told.starts_with(words));
    own.then_some(told)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(metadata: &Value, words: &str) -> Vec<Event> {
        let mut goose = Goose::new("s".to_owned(), None);
        let mut events = Vec::new();
        let content = json!([{"type": "text", "text": words}]);
        let message = json!({"role": "assistant", "id": "a", "content": content, "metadata": metadata});
        for event in [json!({"type": "message", "message": message}), json!({"type": "complete"})] {
            goose.json(&event, UnixMillis(0), &mut events);
        }
        events
    }

    #[test]
    fn an_error_that_it_tells_like_an_answer_is_an_error() {
        for (words, class) in [
            ("Ran into this error: Rate limit exceeded: slow down.\n\nPlease retry", AgentClass::RateLimited),
            ("Ran into this error: Server error: it broke.", AgentClass::Error),
            ("Unable to continue: Context limit still exceeded after compaction.", AgentClass::Context),
            ("I've reached the maximum number of actions I can do without user input.", AgentClass::MaxTurns),
        ] {
            let events = told(&json!({"userVisible": true}), words);
            let Some(Event::Result(Outcome { problem: Some(problem), .. })) = events.last() else {
                panic!("{words} is no failure: {events:?}")
            };
            assert_eq!(problem.class, class, "{words}");
            assert!(!events.iter().any(|event| matches!(event, Event::Turn(_))), "no model was asked: {events:?}");
        }
        let events = told(&json!({"inference": {"provider": "openai"}}), "Ran into this error: that is what I fixed.");
        assert!(matches!(events.last(), Some(Event::Result(outcome)) if outcome.problem.is_none()), "{events:?}");
    }

    #[test]
    fn who_may_open_no_file_is_given_the_texts() {
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("issue.md"), "[mark] It crashes.").unwrap();
        let choice = atta_core::protocol::agent::AgentChoice {
            cli: atta_core::protocol::agent::AgentCli::Goose,
            command: Vec::new(),
            model: None,
        };
        let mut launch = Launch {
            choice: &choice,
            prompt: "Plan.",
            system: None,
            permission: AgentPermission::Read,
            allowed_tools: &[],
            resume: None,
            turns_left: None,
            usd_left: None,
            files: files.path(),
            context: Some(files.path()),
            home: None,
            fresh_id: "s",
            run: 0,
        };
        let prompt = invoke(&launch).unwrap().stdin.unwrap();
        assert!(
            prompt.starts_with("Plan.") && prompt.ends_with("This is in issue.md:\n\n[mark] It crashes."),
            "{prompt}"
        );
        launch.permission = AgentPermission::Full;
        assert_eq!(invoke(&launch).unwrap().stdin.as_deref(), Some("Plan."));
    }

    #[test]
    fn a_piece_of_a_message_is_told_once() {
        let mut goose = Goose::new("s".to_owned(), None);
        let mut events = Vec::new();
        for (id, words) in [("a", "one "), ("a", "two"), ("b", "three")] {
            let message = json!({"role": "assistant", "id": id, "content": [{"type": "text", "text": words}]});
            goose.json(&json!({"type": "message", "message": message}), UnixMillis(0), &mut events);
        }
        let told: Vec<Event> =
            events.into_iter().filter(|event| matches!(event, Event::Piece(_) | Event::Message(_))).collect();
        let end = || Event::Message(String::new());
        let piece = |words: &str| Event::Piece(words.to_owned());
        assert_eq!(told, [end(), piece("one "), piece("two"), end(), piece("three")]);
    }
}
