//! opencode: `opencode run --format json`.
//!
//! There is no result: a step that ends for another reason than a tool is the last one. It ends with 0 after some
//! failures, and a cost of 0 means that it knows no price.

use atta_core::protocol::agent::{AgentPermission, AgentTokens};
use atta_core::time::UnixMillis;
use serde_json::Value;

use super::{Adapter, Launch, count, detail, dollars, text};
use crate::classify::{class_of_status, problem, problem_of};
use crate::event::{Event, Outcome, Problem, Used};
use crate::process::Invocation;

pub(super) fn invoke(launch: &Launch<'_>) -> Invocation {
    let mut command = launch.program("opencode");
    let mut add = |arguments: &[&str]| command.extend(arguments.iter().map(std::convert::Into::into));
    add(&["run", "--format", "json"]);
    // It asks by its own configuration; this one says what is denied and what is not asked.
    let permission = match launch.permission {
        AgentPermission::Read => r#"{"edit":"deny","bash":"deny","external_directory":"deny"}"#,
        AgentPermission::Edit => r#"{"edit":"allow","bash":"deny","external_directory":"deny"}"#,
        AgentPermission::Full => {
            add(&["--auto"]);
            r#"{"edit":"allow","bash":"allow","webfetch":"allow","external_directory":"allow"}"#
        }
    };
    if let Some(model) = &launch.choice.model {
        add(&["--model", model]);
    }
    if let Some(session) = launch.resume {
        add(&["--session", session]);
    }
    let mut permission: Value = serde_json::from_str(permission).unwrap_or_default();
    if let Some(directory) = launch.context_directory().filter(|_| launch.permission != AgentPermission::Full) {
        let mut allowed = serde_json::Map::new();
        allowed.insert("*".to_owned(), "deny".into());
        allowed.insert(format!("{directory}/*"), "allow".into());
        permission["external_directory"] = allowed.into();
    }
    for tool in launch.allowed_tools {
        permission[tool.as_str()] = "allow".into();
    }
    let set = vec![
        ("OPENCODE_PERMISSION".into(), permission.to_string().into()),
        ("OPENCODE_DISABLE_AUTOUPDATE".into(), "1".into()),
    ];
    Invocation { command, set, stdin: Some(launch.whole_prompt()) }
}

/// Understands its stream.
#[derive(Debug, Default)]
pub(crate) struct Opencode {
    failure: Option<Problem>,
}

impl Adapter for Opencode {
    fn json(&mut self, event: &Value, now: UnixMillis, out: &mut Vec<Event>) {
        if let Some(session) = text(event, "/sessionID") {
            out.push(Event::Session(session.to_owned()));
        }
        match text(event, "/type").unwrap_or_default() {
            "step_start" => out.push(Event::Turn(text(event, "/part/messageID").map(str::to_owned))),
            "text" => out.push(Event::Message(text(event, "/part/text").unwrap_or_default().to_owned())),
            "reasoning" => out.push(Event::Note(text(event, "/part/text").unwrap_or_default().to_owned())),
            "tool_use" => {
                let state = &event["part"]["state"];
                let name = text(event, "/part/tool").unwrap_or("?").to_owned();
                let input = detail(&state["input"]);
                out.push(Event::ToolCall { name: name.clone(), detail: input.clone() });
                let failed = text(state, "/status") == Some("error");
                let told = if failed { text(state, "/error") } else { text(state, "/output") }.unwrap_or_default();
                if failed && (told.contains("rejected permission") || told.contains("prevents you from using")) {
                    out.push(Event::Denied(atta_core::protocol::agent::Denial { tool: name, detail: input }));
                }
                out.push(Event::ToolResult { failed, detail: told.to_owned() });
            }
            "step_finish" => {
                let part = &event["part"];
                let tokens = AgentTokens {
                    input: count(part, "/tokens/input"),
                    output: count(part, "/tokens/output") + count(part, "/tokens/reasoning"),
                    cache_read: count(part, "/tokens/cache/read"),
                    cache_write: count(part, "/tokens/cache/write"),
                };
                let cost = dollars(part, "/cost").filter(|cost| cost.0 > 0);
                let id = text(part, "/messageID").map(str::to_owned);
                out.push(Event::Used(Used { id, model: None, tokens, cost }));
                match text(part, "/reason") {
                    Some("tool-calls") => {}
                    Some("content-filter") => {
                        out.push(Outcome::bad(problem("the content filter stopped the model", now)));
                    }
                    Some("length") => out.push(Outcome::bad(problem("the answer was cut at its greatest length", now))),
                    Some("error") => out.push(Outcome::bad(problem("the last step failed", now))),
                    _ => out.push(Outcome::good(None)),
                }
            }
            "error" => {
                let found = failure(&event["error"], now);
                self.failure = Some(found.clone());
                out.push(Event::Problem(found));
            }
            kind => out.push(Event::Unknown(kind.to_owned())),
        }
    }

    fn end(&mut self, _exit_code: Option<i32>, _now: UnixMillis, out: &mut Vec<Event>) {
        // An error after the last step is how it ended, whatever its exit code says.
        if let Some(problem) = self.failure.take() {
            out.push(Outcome::bad(problem));
        }
    }
}

fn failure(error: &Value, now: UnixMillis) -> Problem {
    let name = text(error, "/name").unwrap_or_default();
    let message = text(error, "/data/message").or_else(|| text(error, "/message")).unwrap_or(name);
    let status =
        error.pointer("/data/statusCode").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
    let whole = match name {
        "ProviderAuthError" => problem_of(atta_core::engine::AgentClass::Auth, message, now),
        "MessageOutputLengthError" | "ContextOverflowError" => {
            problem_of(atta_core::engine::AgentClass::Context, message, now)
        }
        _ => problem(message, now),
    };
    let class = status.and_then(class_of_status).filter(|_| whole.class == atta_core::engine::AgentClass::Error);
    let mut found = class.map_or(whole, |class| problem_of(class, message, now));
    if found.class == atta_core::engine::AgentClass::RateLimited && found.resets_at.is_none() {
        let after = text(error, "/data/responseHeaders/retry-after").and_then(|after| after.parse::<u64>().ok());
        found.resets_at = after.map(|after| now.plus(std::time::Duration::from_secs(after)));
    }
    found
}
