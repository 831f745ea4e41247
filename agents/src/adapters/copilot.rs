//! GitHub Copilot CLI: `copilot --output-format json`.
//!
//! The session is named by us, because its stream tells it at the end only; tokens stand in a file that it writes when it
//! ends. Money is counted in premium requests, which have no price in dollars.

use std::path::{Path, PathBuf};

use atta_core::protocol::agent::{AgentPermission, AgentTokens, Denial};
use atta_core::time::UnixMillis;
use indexmap::IndexMap;
use serde_json::Value;

use super::{Adapter, Launch, count, detail, text};
use crate::classify::{class_of_status, problem, problem_of};
use crate::event::{Event, Outcome, Total};
use crate::process::Invocation;

pub(super) fn usage_file(files: &Path, run: usize) -> PathBuf {
    files.join(format!("copilot-usage-{run}.json"))
}

pub(super) fn invoke(launch: &Launch<'_>) -> Invocation {
    let mut command = launch.program("copilot");
    let usage = usage_file(launch.files, launch.run).to_string_lossy().into_owned();
    let mut add = |arguments: &[&str]| command.extend(arguments.iter().map(std::convert::Into::into));
    add(&["--output-format", "json", "--stream", "off", "--no-color", "--no-auto-update", "--no-ask-user"]);
    add(&["--usage-output-file", &usage, "--session-id", launch.resume.unwrap_or(launch.fresh_id)]);
    match launch.permission {
        AgentPermission::Read => {}
        AgentPermission::Edit => add(&["--allow-tool=write"]),
        AgentPermission::Full => add(&["--allow-all-tools", "--allow-all-paths"]),
    }
    for tool in launch.allowed_tools {
        add(&[&format!("--allow-tool={tool}")]);
    }
    if let Some(directory) = launch.context_directory() {
        add(&["--add-dir", &directory]);
    }
    if let Some(model) = &launch.choice.model {
        add(&["--model", model]);
    }
    Invocation { command, set: Vec::new(), stdin: Some(launch.whole_prompt()) }
}

/// Understands its stream.
#[derive(Debug, Default)]
pub(crate) struct Copilot {
    session: String,
    usage: PathBuf,
    begun: bool,
    failure: Option<crate::event::Problem>,
}

impl Copilot {
    pub(super) fn new(session: String, usage: PathBuf) -> Self {
        Self { session, usage, ..Self::default() }
    }
}

impl Adapter for Copilot {
    fn json(&mut self, event: &Value, now: UnixMillis, out: &mut Vec<Event>) {
        if !self.begun {
            self.begun = true;
            out.push(Event::Session(self.session.clone()));
        }
        let data = &event["data"];
        match text(event, "/type").unwrap_or_default() {
            "assistant.turn_start" => out.push(Event::Turn(None)),
            "assistant.message" => {
                out.extend(text(data, "/model").map(|model| Event::Model(model.to_owned())));
                out.push(Event::Message(text(data, "/content").unwrap_or_default().to_owned()));
                // A failure that was followed by an answer was overcome.
                self.failure = None;
            }
            "tool.execution_start" => out.push(Event::ToolCall {
                name: text(data, "/toolName").unwrap_or("?").to_owned(),
                detail: detail(&data["arguments"]),
            }),
            "tool.execution_complete" => {
                let failed = !data.get("success").and_then(Value::as_bool).unwrap_or(true);
                if text(data, "/error/code") == Some("denied") || text(data, "/error/code") == Some("rejected") {
                    let tool = text(data, "/toolName").unwrap_or("tool").to_owned();
                    let detail = text(data, "/error/message").unwrap_or_default().to_owned();
                    out.push(Event::Denied(Denial { tool, detail }));
                }
                let told = text(data, "/result/content").or_else(|| text(data, "/error/message"));
                out.push(Event::ToolResult { failed, detail: told.unwrap_or_default().to_owned() });
            }
            "session.error" => {
                let message = text(data, "/message").unwrap_or("an error");
                let status =
                    data.get("statusCode").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
                let class = match text(data, "/errorType") {
                    Some("rate_limit" | "quota") => Some(atta_core::engine::AgentClass::RateLimited),
                    Some("authentication" | "authorization") => Some(atta_core::engine::AgentClass::Auth),
                    Some("context_limit") => Some(atta_core::engine::AgentClass::Context),
                    _ => status.and_then(class_of_status),
                };
                let found = class.map_or_else(|| problem(message, now), |class| problem_of(class, message, now));
                self.failure = Some(found.clone());
                out.push(Event::Problem(found));
            }
            "result" => {
                let code = event.get("exitCode").and_then(Value::as_i64).unwrap_or(0);
                out.push(match self.failure.take() {
                    Some(failure) => Outcome::bad(failure),
                    None if code == 0 => Outcome::good(None),
                    None => Outcome::bad(problem(&format!("it ended with {code}"), now)),
                });
            }
            kind => out.push(if known(kind) { Event::Ignored } else { Event::Unknown(kind.to_owned()) }),
        }
    }

    fn end(&mut self, _exit_code: Option<i32>, _now: UnixMillis, out: &mut Vec<Event>) {
        let Ok(text) = std::fs::read_to_string(&self.usage) else { return };
        let Ok(usage) = serde_json::from_str::<Value>(&text) else { return };
        let mut by_model = IndexMap::new();
        for (model, metrics) in usage.get("modelMetrics").and_then(Value::as_object).into_iter().flatten() {
            let (read, write) = (count(metrics, "/usage/cacheReadTokens"), count(metrics, "/usage/cacheWriteTokens"));
            let tokens = AgentTokens {
                input: count(metrics, "/usage/inputTokens").saturating_sub(read + write),
                output: count(metrics, "/usage/outputTokens"),
                cache_read: read,
                cache_write: write,
            };
            if tokens != AgentTokens::default() {
                by_model.insert(model.clone(), tokens);
            }
        }
        let tokens = by_model.values().copied().reduce(|mut all, tokens| {
            all.add(&tokens);
            all
        });
        out.push(Event::Total(Total { tokens, cost: None, by_model, whole_session: false }));
    }
}

/// Kinds of events that are of no interest here.
fn known(kind: &str) -> bool {
    [
        "session.",
        "user.",
        "assistant.",
        "model.",
        "tool.",
        "permission.",
        "subagent.",
        "hook.",
        "system.",
        "skill.",
        "abort",
    ]
    .iter()
    .any(|start| kind.starts_with(start))
}
