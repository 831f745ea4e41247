//! Any program that speaks Atta's line protocol; docs/agents.md describes it.
//!
//! One JSON object per line with a `type`. The prompt comes on stdin; what else there is to know comes in variables.

use std::ffi::OsString;

use atta_core::engine::AgentClass;
use atta_core::protocol::agent::{AgentTokens, Denial};
use atta_core::time::UnixMillis;
use indexmap::IndexMap;
use serde_json::Value;

use super::{Adapter, Launch, count, detail, dollars, text};
use crate::classify::{problem, problem_of, seconds};
use crate::event::{Event, Outcome, Problem, Total, Used};
use crate::process::Invocation;

pub(super) fn invoke(launch: &Launch<'_>) -> Invocation {
    let permission = serde_json::to_value(launch.permission).ok();
    let permission = permission.as_ref().and_then(Value::as_str).unwrap_or("edit").to_owned();
    let mut set: Vec<(OsString, OsString)> = vec![("ATTA_AGENT_PERMISSION".into(), permission.into())];
    let mut given = |name: &str, value: Option<String>| {
        set.extend(value.map(|value| (OsString::from(name), OsString::from(value))));
    };
    given("ATTA_AGENT_SESSION", launch.resume.map(str::to_owned));
    given("ATTA_AGENT_MODEL", launch.choice.model.clone());
    given("ATTA_AGENT_SYSTEM", launch.system.map(str::to_owned));
    given("ATTA_AGENT_TOOLS", Some(launch.allowed_tools.join(",")).filter(|tools| !tools.is_empty()));
    given("ATTA_AGENT_CONTEXT", launch.context_directory());
    given("ATTA_AGENT_TURNS", launch.turns_left.map(|turns| turns.to_string()));
    given("ATTA_AGENT_USD", launch.usd_left.map(|usd| usd.dollars().to_string()));
    let command = launch.choice.command.iter().map(OsString::from).collect();
    Invocation { command, set, stdin: Some(launch.prompt.to_owned()) }
}

/// Understands its stream.
#[derive(Debug, Default)]
pub(crate) struct Custom {
    turns: u64,
}

impl Adapter for Custom {
    fn json(&mut self, event: &Value, now: UnixMillis, out: &mut Vec<Event>) {
        let told = text(event, "/text").or_else(|| text(event, "/message"));
        match text(event, "/type").unwrap_or_default() {
            "session" => {
                out.extend(text(event, "/id").map(|id| Event::Session(id.to_owned())));
                out.extend(text(event, "/model").map(|model| Event::Model(model.to_owned())));
            }
            "turn" => {
                self.turns += 1;
                out.push(Event::Turn(Some(self.turns.to_string())));
            }
            "message" => out.push(Event::Message(told.unwrap_or_default().to_owned())),
            "tool" => out.push(Event::ToolCall {
                name: text(event, "/name").unwrap_or("?").to_owned(),
                detail: detail(event.get("input").unwrap_or(&Value::Null)),
            }),
            "tool_result" => out.push(Event::ToolResult {
                failed: event.get("is_error").and_then(Value::as_bool).unwrap_or(false),
                detail: told.unwrap_or_default().to_owned(),
            }),
            "denied" => out.push(Event::Denied(Denial {
                tool: text(event, "/name").unwrap_or("?").to_owned(),
                detail: detail(event.get("input").unwrap_or(&Value::Null)),
            })),
            "usage" => usage(event, out),
            "limit" => out.push(Event::Problem(Problem {
                class: AgentClass::RateLimited,
                message: told.unwrap_or("a limit of the account is reached").to_owned(),
                resets_at: instant(event.get("resets_at")),
            })),
            "error" => out.push(Event::Problem(error(event, told, now))),
            "note" => out.push(Event::Note(told.unwrap_or_default().to_owned())),
            "result" => {
                let failed = event.get("is_error").and_then(Value::as_bool).unwrap_or(false);
                out.push(if failed || event.get("class").is_some_and(|class| class != "done") {
                    Outcome::bad(error(event, told, now))
                } else {
                    Outcome::good(told.map(str::to_owned))
                });
            }
            kind => out.push(Event::Unknown(kind.to_owned())),
        }
    }
}

/// A problem with the class that the program names, or the one that its words speak of.
fn error(event: &Value, told: Option<&str>, now: UnixMillis) -> Problem {
    let message = told.unwrap_or("it failed and does not say why");
    let class = match text(event, "/class") {
        Some("rate_limited") => AgentClass::RateLimited,
        Some("auth") => AgentClass::Auth,
        Some("context") => AgentClass::Context,
        Some("policy") => AgentClass::Policy,
        Some("max_turns") => AgentClass::MaxTurns,
        Some("budget") => AgentClass::Budget,
        Some("error") => AgentClass::Error,
        _ => return problem(message, now),
    };
    let mut problem = problem_of(class, message, now);
    problem.resets_at = problem.resets_at.or_else(|| instant(event.get("resets_at")));
    problem
}

/// Seconds or milliseconds since 1970, or RFC 3339.
fn instant(value: Option<&Value>) -> Option<UnixMillis> {
    match value? {
        Value::Number(number) => seconds(number.as_i64()?),
        Value::String(text) => text.parse::<jiff::Timestamp>().ok().map(|at| UnixMillis(at.as_millisecond())),
        _ => None,
    }
}

fn usage(event: &Value, out: &mut Vec<Event>) {
    let tokens = AgentTokens {
        input: count(event, "/input"),
        output: count(event, "/output"),
        cache_read: count(event, "/cache_read"),
        cache_write: count(event, "/cache_write"),
    };
    let tokens = (tokens != AgentTokens::default()).then_some(tokens);
    let cost = dollars(event, "/usd");
    let model = text(event, "/model").map(str::to_owned);
    out.push(if event.get("total").and_then(Value::as_bool).unwrap_or(false) {
        let by_model = model.zip(tokens).into_iter().collect::<IndexMap<_, _>>();
        let whole_session = text(event, "/of") == Some("session");
        Event::Total(Total { tokens, cost, by_model, whole_session })
    } else {
        Event::Used(Used { id: text(event, "/id").map(str::to_owned), model, tokens: tokens.unwrap_or_default(), cost })
    });
}
