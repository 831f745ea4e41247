//! cursor-agent: `cursor-agent --print --output-format stream-json`.

use atta_core::protocol::agent::{AgentPermission, AgentTokens, Denial};
use atta_core::time::UnixMillis;
use serde_json::Value;

use super::{Adapter, Answers, LONGEST_ARGUMENT, Launch, count, detail, in_a_file, text};
use crate::classify::problem;
use crate::event::{Event, Outcome, Total};
use crate::process::Invocation;

pub(super) fn invoke(launch: &Launch<'_>) -> std::io::Result<Invocation> {
    let mut command = launch.program("cursor-agent");
    let mut add = |arguments: &[&str]| command.extend(arguments.iter().map(std::convert::Into::into));
    add(&["--print", "--output-format", "stream-json"]);
    match launch.permission {
        AgentPermission::Read => add(&["--mode", "ask"]),
        AgentPermission::Edit => {}
        AgentPermission::Full => add(&["--force"]),
    }
    if let Some(model) = &launch.choice.model {
        add(&["--model", model]);
    }
    if let Some(session) = launch.resume {
        add(&["--resume", session]);
    }
    let prompt = launch.whole_prompt();
    let prompt = if prompt.len() > LONGEST_ARGUMENT { in_a_file(launch, &prompt)? } else { prompt };
    add(&["--", &prompt]);
    Ok(Invocation { command, set: Vec::new(), stdin: None })
}

/// Understands its stream.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    answers: Answers,
}

impl Adapter for Cursor {
    fn json(&mut self, event: &Value, now: UnixMillis, out: &mut Vec<Event>) {
        if let Some(session) = text(event, "/session_id") {
            out.push(Event::Session(session.to_owned()));
        }
        match (text(event, "/type").unwrap_or_default(), text(event, "/subtype").unwrap_or_default()) {
            ("system", "init") => out.extend(text(event, "/model").map(|model| Event::Model(model.to_owned()))),
            ("user" | "system" | "thinking" | "interaction_query", _) => out.push(Event::Ignored),
            ("assistant", _) => {
                self.answers.answered(out);
                let parts = event.pointer("/message/content").and_then(Value::as_array).into_iter().flatten();
                let words: Vec<&str> = parts.filter_map(|part| text(part, "/text")).collect();
                out.push(Event::Message(words.concat()));
            }
            ("tool_call", "started") => {
                self.answers.answered(out);
                let (name, call) = tool(event);
                out.push(Event::ToolCall { name, detail: detail(&call["args"]) });
            }
            ("tool_call", "completed") => {
                let (name, call) = tool(event);
                let result = &call["result"];
                if result.get("rejected").is_some() {
                    out.push(Event::Denied(Denial { tool: name, detail: detail(&call["args"]) }));
                }
                let failed = result.get("success").is_none();
                let told = text(result, "/success/stdout").or_else(|| text(result, "/error/errorMessage"));
                out.push(Event::ToolResult { failed, detail: told.unwrap_or_default().to_owned() });
                self.answers.tool_answered();
            }
            ("result", subtype) => {
                let usage = event.get("usage").map(|usage| AgentTokens {
                    input: count(usage, "/inputTokens"),
                    output: count(usage, "/outputTokens"),
                    cache_read: count(usage, "/cacheReadTokens"),
                    cache_write: count(usage, "/cacheWriteTokens"),
                });
                if usage.is_some() {
                    out.push(Event::Total(Total { tokens: usage, ..Total::default() }));
                }
                let failed = event.get("is_error").and_then(Value::as_bool).unwrap_or(subtype != "success");
                let told = text(event, "/result").map(str::to_owned);
                out.push(if failed || subtype != "success" {
                    Outcome::bad(problem(&told.unwrap_or_else(|| format!("it ended with {subtype}")), now))
                } else {
                    // The whole conversation stands in it without gaps; the last message is what counts.
                    Outcome::good(None)
                });
            }
            (kind, _) => out.push(Event::Unknown(kind.to_owned())),
        }
    }
}

/// The one kind of tool that a call is of.
fn tool(event: &Value) -> (String, &Value) {
    let call = event.get("tool_call").and_then(Value::as_object).and_then(|call| call.iter().next());
    call.map_or_else(
        || ("?".to_owned(), &Value::Null),
        |(name, call)| (name.trim_end_matches("ToolCall").to_owned(), call),
    )
}
