//! goose: `goose run --output-format stream-json`.
//!
//! Its stream does not name the session, so it is given a name. The totals count from the beginning of the session.

use atta_core::protocol::agent::{AgentPermission, AgentTokens};
use atta_core::time::UnixMillis;
use indexmap::IndexMap;
use serde_json::Value;

use super::{Adapter, Launch, count, detail, dollars, text};
use crate::classify::problem;
use crate::event::{Event, Outcome, Total};
use crate::process::Invocation;

pub(super) fn invoke(launch: &Launch<'_>) -> Invocation {
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
        // Everything that is not allowed by itself is asked for, and nobody answers.
        AgentPermission::Read => "chat",
        AgentPermission::Edit => "smart_approve",
        AgentPermission::Full => "auto",
    };
    Invocation { command, set: vec![("GOOSE_MODE".into(), mode.into())], stdin: Some(launch.prompt.to_owned()) }
}

/// Understands its stream.
#[derive(Debug, Default)]
pub(crate) struct Goose {
    session: String,
    model: Option<String>,
    /// The message that comes in pieces.
    speaking: Option<String>,
    begun: bool,
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
            "message" => self.message(&event["message"], out),
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
                out.push(Outcome::good(None));
            }
            kind => out.push(Event::Unknown(kind.to_owned())),
        }
    }
}

impl Goose {
    /// A message may come in pieces with the same id.
    fn message(&mut self, message: &Value, out: &mut Vec<Event>) {
        let assistant = text(message, "/role") == Some("assistant");
        let id = text(message, "/id").map(str::to_owned);
        if assistant {
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
                    let failed = text(part, "/toolResult/status") == Some("error");
                    let told = text(part, "/toolResult/error").or_else(|| text(part, "/toolResult/value/0/text"));
                    out.push(Event::ToolResult { failed, detail: told.unwrap_or_default().to_owned() });
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
