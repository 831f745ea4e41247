//! Claude Code: `claude --print --verbose --output-format stream-json`.
//!
//! Each answer of the model comes as one `assistant` line per block of content, all with the same `message.id` and the
//! usage at its beginning; how many tokens it had in the end stands in a `message_delta` between the pieces. The `result` has the totals of this process, also after a resume.

use std::collections::HashMap;

use atta_core::engine::AgentClass;
use atta_core::protocol::agent::{AccountLimit, AgentPermission, AgentTokens, Denial};
use atta_core::time::UnixMillis;
use indexmap::IndexMap;
use serde_json::Value;

use super::{Adapter, Launch, count, detail, dollars, text};
use crate::classify::{class_of, class_of_status, problem, problem_of, resets_at, seconds};
use crate::event::{Event, Outcome, Problem, Total, Used};
use crate::process::Invocation;

/// What it may do without being asked when it may only read.
const READING: &str = "Read,Glob,Grep,LS,NotebookRead,TodoWrite,Task";

/// What it must not do when it may only read.
const WRITING: &str = "Edit,Write,MultiEdit,NotebookEdit,Bash";

pub(super) fn invoke(launch: &Launch<'_>) -> Invocation {
    let mut command = launch.program("claude");
    let mut add = |arguments: &[&str]| command.extend(arguments.iter().map(std::convert::Into::into));
    // Without partial messages it never tells how many tokens an answer had before the very end.
    add(&["--print", "--verbose", "--output-format", "stream-json", "--include-partial-messages"]);
    if let Some(session) = launch.resume {
        add(&["--resume", session]);
    }
    if let Some(directory) = launch.context_directory() {
        add(&["--add-dir", &directory]);
    }
    if let Some(model) = &launch.choice.model {
        add(&["--model", model]);
    }
    if let Some(system) = launch.system {
        add(&["--append-system-prompt", system]);
    }
    let mut allowed: Vec<&str> = launch.allowed_tools.iter().map(String::as_str).collect();
    match launch.permission {
        AgentPermission::Read => {
            allowed.push(READING);
            add(&["--permission-mode", "default"]);
            if launch.allowed_tools.is_empty() {
                add(&["--disallowed-tools", WRITING]);
            }
        }
        AgentPermission::Edit => add(&["--permission-mode", "acceptEdits"]),
        AgentPermission::Full => add(&["--dangerously-skip-permissions"]),
    }
    let allowed = allowed.join(",");
    if !allowed.is_empty() {
        add(&["--allowed-tools", &allowed]);
    }
    if let Some(turns) = launch.turns_left {
        add(&["--max-turns", &turns.to_string()]);
    }
    if let Some(usd) = launch.usd_left {
        add(&["--max-budget-usd", &usd.dollars().to_string()]);
    }
    let set = vec![("DISABLE_AUTOUPDATER".into(), "1".into())];
    Invocation { command, set, stdin: Some(launch.prompt.to_owned()) }
}

/// Understands its stream.
#[derive(Debug, Default)]
pub(crate) struct Claude {
    limit: Option<AccountLimit>,
    /// The answer that comes in pieces, by the tool call that it belongs to.
    answers: HashMap<String, Used>,
}

impl Adapter for Claude {
    fn keeps(&self, event: &Value) -> bool {
        // Whole messages follow their pieces.
        text(event, "/type") != Some("stream_event") || text(event, "/event/type") == Some("message_delta")
    }

    fn json(&mut self, event: &Value, now: UnixMillis, out: &mut Vec<Event>) {
        if let Some(session) = text(event, "/session_id") {
            out.push(Event::Session(session.to_owned()));
        }
        match (text(event, "/type").unwrap_or_default(), text(event, "/subtype").unwrap_or_default()) {
            ("system", "init") => out.extend(text(event, "/model").map(|model| Event::Model(model.to_owned()))),
            ("system", "api_retry") => {
                let why = text(event, "/error").or_else(|| text(event, "/error_message")).unwrap_or("an error");
                let status = event.pointer("/error_status").and_then(Value::as_u64);
                let status_text = status.map(|status| format!(" ({status})")).unwrap_or_default();
                out.push(Event::Note(format!("the request is tried again after {why}{status_text}")));
                let class = status.and_then(|status| u16::try_from(status).ok()).and_then(class_of_status);
                if let Some(class) = class.or_else(|| class_of(why)) {
                    out.push(Event::Problem(problem_of(class, why, now)));
                }
            }
            ("system", "permission_denied") => out.extend(denial(event).map(Event::Denied)),
            ("stream_event", _) => self.piece(event, out),
            ("system" | "tool_progress" | "auth_status" | "tool_use_summary" | "prompt_suggestion", _) => {
                out.push(Event::Ignored);
            }
            ("assistant", _) => self.answer(event, now, out),
            ("user", _) => Self::tool_results(event, out),
            ("rate_limit_event", _) => self.limit(event, out),
            ("result", subtype) => self.result(event, subtype, now, out),
            (kind, _) => out.push(Event::Unknown(kind.to_owned())),
        }
    }
}

impl Claude {
    /// How many tokens an answer has had so far.
    fn piece(&mut self, event: &Value, out: &mut Vec<Event>) {
        let within = text(event, "/parent_tool_use_id").unwrap_or_default().to_owned();
        match text(event, "/event/type") {
            Some("message_start") => {
                let message = &event["event"]["message"];
                let used = Used {
                    id: text(message, "/id").map(str::to_owned),
                    model: text(message, "/model").map(str::to_owned),
                    tokens: tokens(&message["usage"]),
                    cost: None,
                };
                self.answers.insert(within, used.clone());
                out.push(Event::Used(used));
            }
            Some("message_delta") => {
                if let Some(used) = self.answers.get_mut(&within) {
                    used.tokens.output = used.tokens.output.max(count(event, "/event/usage/output_tokens"));
                    out.push(Event::Used(used.clone()));
                }
            }
            _ => out.push(Event::Ignored),
        }
    }

    fn answer(&mut self, event: &Value, now: UnixMillis, out: &mut Vec<Event>) {
        let id = text(event, "/message/id").map(str::to_owned);
        // Messages that it writes itself, such as errors, come from a model of this name.
        let synthetic = text(event, "/message/model") == Some("<synthetic>");
        // What subagents say is theirs: it costs, but it is neither a turn nor the final message.
        let within = event.get("parent_tool_use_id").is_some_and(Value::is_string);
        if !synthetic {
            if !within {
                out.push(Event::Turn(id.clone()));
            }
            let model = text(event, "/message/model").map(str::to_owned);
            if let (Some(model), false) = (&model, within) {
                out.push(Event::Model(model.clone()));
            }
            if let Some(usage) = event.pointer("/message/usage") {
                out.push(Event::Used(Used { id, model, tokens: tokens(usage), cost: None }));
            }
        }
        for block in event.pointer("/message/content").and_then(Value::as_array).into_iter().flatten() {
            match text(block, "/type") {
                Some("text") => {
                    let words = text(block, "/text").unwrap_or_default().to_owned();
                    out.push(if within { Event::Note(format!("(subagent) {words}")) } else { Event::Message(words) });
                }
                Some("tool_use" | "server_tool_use") => {
                    let name = text(block, "/name").unwrap_or("?").to_owned();
                    out.push(Event::ToolCall { name, detail: detail(&block["input"]) });
                }
                _ => {}
            }
        }
        if let Some(kind) = text(event, "/error") {
            let message = out.iter().rev().find_map(|event| match event {
                Event::Message(message) => Some(message.clone()),
                _ => None,
            });
            let message = message.unwrap_or_else(|| kind.to_owned());
            out.push(Event::Problem(self.named(kind, &message, now)));
        } else if text(event, "/message/stop_reason") == Some("refusal") {
            out.push(Event::Problem(problem_of(AgentClass::Policy, "the model refused the work", now)));
        }
    }

    /// A problem by its name in the stream.
    fn named(&self, kind: &str, message: &str, now: UnixMillis) -> Problem {
        let class = match kind {
            "rate_limit" | "billing_error" => AgentClass::RateLimited,
            "authentication_failed" | "oauth_org_not_allowed" => AgentClass::Auth,
            _ => return self.with_limit(problem(message, now)),
        };
        self.with_limit(problem_of(class, message, now))
    }

    /// With the reset that a limit event told before.
    fn with_limit(&self, mut problem: Problem) -> Problem {
        if problem.class == AgentClass::RateLimited && problem.resets_at.is_none() {
            problem.resets_at = self.limit.as_ref().and_then(|limit| limit.resets_at);
        }
        problem
    }

    fn tool_results(event: &Value, out: &mut Vec<Event>) {
        for block in event.pointer("/message/content").and_then(Value::as_array).into_iter().flatten() {
            if text(block, "/type") == Some("tool_result") {
                let failed = block.get("is_error").and_then(Value::as_bool).unwrap_or(false);
                let told = match &block["content"] {
                    Value::String(told) => told.clone(),
                    Value::Array(parts) => {
                        parts.iter().filter_map(|part| text(part, "/text")).collect::<Vec<_>>().join("\n")
                    }
                    _ => String::new(),
                };
                out.push(Event::ToolResult { failed, detail: told });
            }
        }
        if out.is_empty() {
            out.push(Event::Ignored);
        }
    }

    fn limit(&mut self, event: &Value, out: &mut Vec<Event>) {
        let info = &event["rate_limit_info"];
        let status = text(info, "/status").unwrap_or_default();
        if status == "rejected" {
            let kind = text(info, "/rateLimitType").unwrap_or("usage");
            let resets_at = info.get("resetsAt").and_then(Value::as_i64).and_then(seconds);
            let message = format!("the account's {} limit is reached", kind.replace('_', " "));
            self.limit = Some(AccountLimit { resets_at, message: message.clone() });
            // With extra usage it goes on.
            if text(info, "/overageStatus").is_none_or(|status| status == "rejected") {
                out.push(Event::Problem(Problem { class: AgentClass::RateLimited, message, resets_at }));
            }
        } else {
            out.push(Event::Ignored);
        }
    }

    fn result(&mut self, event: &Value, subtype: &str, now: UnixMillis, out: &mut Vec<Event>) {
        let mut by_model = IndexMap::new();
        for (model, usage) in event.get("modelUsage").and_then(Value::as_object).into_iter().flatten() {
            let tokens = AgentTokens {
                input: count(usage, "/inputTokens"),
                output: count(usage, "/outputTokens"),
                cache_read: count(usage, "/cacheReadInputTokens"),
                cache_write: count(usage, "/cacheCreationInputTokens"),
            };
            if tokens != AgentTokens::default() {
                by_model.insert(model.clone(), tokens);
            }
        }
        // The usage of the result leaves out subagents; the sum over models has everything.
        let sum = by_model.values().fold(AgentTokens::default(), |mut all, tokens| {
            all.add(tokens);
            all
        });
        let tokens = if by_model.is_empty() { event.get("usage").map(tokens) } else { Some(sum) };
        let tokens = tokens.filter(|tokens| *tokens != AgentTokens::default());
        // A cost of 0 without tokens is a run that never reached the model; with tokens it is an unknown price.
        let cost = dollars(event, "/total_cost_usd").filter(|cost| cost.0 > 0);
        out.push(Event::Total(Total { tokens, cost, by_model, whole_session: false }));
        for denied in event.get("permission_denials").and_then(Value::as_array).into_iter().flatten() {
            out.extend(denial(denied).map(Event::Denied));
        }
        let told = text(event, "/result");
        let errors = event.get("errors").and_then(Value::as_array).into_iter().flatten();
        let errors: Vec<&str> = errors.filter_map(Value::as_str).collect();
        let is_error = event.get("is_error").and_then(Value::as_bool).unwrap_or(subtype != "success");
        let refused = text(event, "/stop_reason") == Some("refusal");
        let words = told.map_or_else(|| errors.join("; "), str::to_owned);
        if !is_error && subtype == "success" && !refused {
            out.push(Outcome::good(told.map(str::to_owned)));
            return;
        }
        let problem = match subtype {
            "error_max_turns" => problem_of(AgentClass::MaxTurns, "it reached the turns that it was given", now),
            "error_max_budget_usd" => problem_of(AgentClass::Budget, "it reached the budget that it was given", now),
            _ if refused => problem_of(
                AgentClass::Policy,
                if words.is_empty() { "the model refused the work" } else { &words },
                now,
            ),
            _ => {
                let words = if words.is_empty() { format!("it ended with {subtype}") } else { words };
                let status =
                    event.get("api_error_status").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
                match class_of(&words).or_else(|| status.and_then(class_of_status)) {
                    Some(class) => problem_of(class, &words, now),
                    None => Problem { class: AgentClass::Error, message: words, resets_at: None },
                }
            }
        };
        let mut problem = self.with_limit(problem);
        if problem.class == AgentClass::RateLimited && problem.resets_at.is_none() {
            problem.resets_at = resets_at(&problem.message, now);
        }
        out.push(Outcome::bad(problem));
    }
}

fn denial(event: &Value) -> Option<Denial> {
    Some(Denial { tool: text(event, "/tool_name")?.to_owned(), detail: detail(&event["tool_input"]) })
}

fn tokens(usage: &Value) -> AgentTokens {
    AgentTokens {
        input: count(usage, "/input_tokens"),
        output: count(usage, "/output_tokens"),
        cache_read: count(usage, "/cache_read_input_tokens"),
        cache_write: count(usage, "/cache_creation_input_tokens"),
    }
}
