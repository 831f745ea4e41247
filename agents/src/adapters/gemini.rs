//! Gemini CLI: `gemini --output-format stream-json`.
//!
//! Messages come in pieces, the totals of the process with the result. Thoughts are in the total only, so output is what
//! is left of the total without the input.

use atta_core::protocol::agent::{AgentPermission, AgentTokens};
use atta_core::time::UnixMillis;
use indexmap::IndexMap;
use serde_json::Value;

use super::{Adapter, Answers, Launch, count, detail, text};
use crate::classify::problem;
use crate::event::{Event, Outcome, Total};
use crate::process::Invocation;

pub(super) fn invoke(launch: &Launch<'_>) -> Invocation {
    let mut command = launch.program("gemini");
    let mut add = |arguments: &[&str]| command.extend(arguments.iter().map(std::convert::Into::into));
    add(&["--output-format", "stream-json", "--skip-trust"]);
    let mode = match launch.permission {
        // Nothing that writes is approved, and nobody is there to approve it.
        AgentPermission::Read => "default",
        AgentPermission::Edit => "auto_edit",
        AgentPermission::Full => "yolo",
    };
    add(&["--approval-mode", mode]);
    for tool in launch.allowed_tools {
        add(&["--allowed-tools", tool]);
    }
    if let Some(directory) = launch.context_directory() {
        add(&["--include-directories", &directory]);
    }
    if let Some(model) = &launch.choice.model {
        add(&["--model", model]);
    }
    if let Some(session) = launch.resume {
        add(&["--resume", session]);
    }
    Invocation { command, set: Vec::new(), stdin: Some(launch.whole_prompt()) }
}

/// Understands its stream.
#[derive(Debug, Default)]
pub(crate) struct Gemini {
    answers: Answers,
}

impl Adapter for Gemini {
    fn json(&mut self, event: &Value, now: UnixMillis, out: &mut Vec<Event>) {
        match text(event, "/type").unwrap_or_default() {
            "init" => {
                out.extend(text(event, "/session_id").map(|id| Event::Session(id.to_owned())));
                out.extend(text(event, "/model").map(|model| Event::Model(model.to_owned())));
            }
            "message" if text(event, "/role") == Some("assistant") => {
                self.answers.answered(out);
                let words = event.get("content").and_then(Value::as_str).unwrap_or_default().to_owned();
                let piece = event.get("delta").and_then(Value::as_bool).unwrap_or(false);
                out.push(if piece { Event::Piece(words) } else { Event::Message(words) });
            }
            "message" => out.push(Event::Ignored),
            "tool_use" => {
                self.answers.answered(out);
                out.push(Event::ToolCall {
                    name: text(event, "/tool_name").unwrap_or("?").to_owned(),
                    detail: detail(&event["parameters"]),
                });
            }
            "tool_result" => {
                let failed = text(event, "/status") == Some("error");
                let told = if failed { text(event, "/error/message") } else { text(event, "/output") };
                out.push(Event::ToolResult { failed, detail: told.unwrap_or_default().to_owned() });
                self.answers.tool_answered();
            }
            "error" => {
                let message = text(event, "/message").unwrap_or("an error");
                out.push(match text(event, "/severity") {
                    Some("warning") => Event::Note(message.to_owned()),
                    _ => Event::Problem(problem(message, now)),
                });
            }
            "result" => {
                out.push(Event::Total(total(&event["stats"])));
                out.push(if let Some("success") = text(event, "/status") {
                    Outcome::good(None)
                } else {
                    let kind = text(event, "/error/type").unwrap_or_default();
                    let message = text(event, "/error/message").unwrap_or("it failed and does not say why");
                    let mut found = problem(message, now);
                    if found.class == atta_core::engine::AgentClass::Error {
                        let by_kind = match kind {
                            "FatalTurnLimitedError" => Some(atta_core::engine::AgentClass::MaxTurns),
                            "FatalAuthenticationError" => Some(atta_core::engine::AgentClass::Auth),
                            _ => None,
                        };
                        found.class = by_kind.unwrap_or(found.class);
                    }
                    Outcome::bad(found)
                });
            }
            kind => out.push(Event::Unknown(kind.to_owned())),
        }
    }
}

fn total(stats: &Value) -> Total {
    let mut by_model = IndexMap::new();
    for (model, usage) in stats.get("models").and_then(Value::as_object).into_iter().flatten() {
        let tokens = tokens(usage);
        if tokens != AgentTokens::default() {
            by_model.insert(model.clone(), tokens);
        }
    }
    let tokens = Some(tokens(stats)).filter(|tokens| *tokens != AgentTokens::default());
    Total { tokens, cost: None, by_model, whole_session: false }
}

fn tokens(usage: &Value) -> AgentTokens {
    let (all, sent, cached) = (count(usage, "/total_tokens"), count(usage, "/input_tokens"), count(usage, "/cached"));
    let output = all.saturating_sub(sent).max(count(usage, "/output_tokens"));
    AgentTokens { input: sent.saturating_sub(cached), output, cache_read: cached, cache_write: 0 }
}
