//! Codex CLI: `codex exec --json`.
//!
//! A "turn" of its stream is everything between a prompt and its answer; turns of the model are counted by what it sends
//! between the results of tools. Its totals count from the beginning of the thread, also when it was begun by another
//! process, so what was used before is looked up in the thread's own file.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use atta_core::protocol::agent::{AgentPermission, AgentTokens, Denial};
use atta_core::time::UnixMillis;
use indexmap::IndexMap;
use serde_json::Value;

use super::{Adapter, Answers, Launch, count, detail, text};
use crate::changes::path_of;
use crate::classify::problem;
use crate::event::{Event, Outcome, Problem, Total};
use crate::process::Invocation;

pub(super) fn invoke(launch: &Launch<'_>) -> Invocation {
    let mut command = launch.program("codex");
    let mut add = |arguments: &[&str]| command.extend(arguments.iter().map(std::convert::Into::into));
    add(&["exec", "--json", "--skip-git-repo-check", "--color", "never"]);
    match launch.permission {
        AgentPermission::Read => add(&["--sandbox", "read-only"]),
        AgentPermission::Edit => add(&["--sandbox", "workspace-write"]),
        AgentPermission::Full => add(&["--dangerously-bypass-approvals-and-sandbox"]),
    }
    if let Some(model) = &launch.choice.model {
        add(&["--model", model]);
    }
    if let Some(session) = launch.resume {
        add(&["resume", session]);
    }
    add(&["-"]);
    Invocation { command, set: Vec::new(), stdin: Some(launch.whole_prompt()) }
}

/// What a thread has used so far, by its own file.
pub(super) fn used_before(thread: &str, environment: &[(OsString, OsString)]) -> Option<AgentTokens> {
    let home = path_of(environment, "CODEX_HOME").or_else(|| Some(path_of(environment, "HOME")?.join(".codex")))?;
    let file = file_of(&home.join("sessions"), thread)?;
    let text = fs::read_to_string(file).ok()?;
    let last =
        text.lines().rev().find(|line| line.contains("\"token_count\"") && line.contains("\"total_token_usage\""))?;
    let last: Value = serde_json::from_str(last).ok()?;
    last.pointer("/payload/info/total_token_usage").map(tokens)
}

fn file_of(sessions: &Path, thread: &str) -> Option<PathBuf> {
    let end = format!("-{thread}.jsonl");
    let found = walkdir::WalkDir::new(sessions).max_depth(4).into_iter().flatten();
    found.map(walkdir::DirEntry::into_path).find(|path| path.to_string_lossy().ends_with(&end))
}

/// Understands its stream.
#[derive(Debug, Default)]
pub(crate) struct Codex {
    answers: Answers,
    model: Option<String>,
    /// Items that have begun and not ended: several tools may be called at once.
    open: BTreeSet<String>,
}

impl Codex {
    pub(super) fn new(model: Option<String>) -> Self {
        Self { answers: Answers::default(), model, open: BTreeSet::new() }
    }
}

impl Adapter for Codex {
    fn json(&mut self, event: &Value, now: UnixMillis, out: &mut Vec<Event>) {
        match text(event, "/type").unwrap_or_default() {
            "thread.started" => out.extend(text(event, "/thread_id").map(|id| Event::Session(id.to_owned()))),
            "turn.started" => {
                self.answers.asked();
                out.push(Event::Ignored);
            }
            "item.started" | "item.updated" | "item.completed" => {
                self.item(event, text(event, "/type") == Some("item.completed"), out);
            }
            "turn.completed" => {
                let tokens = event.get("usage").map(tokens);
                let by_model = self.model.clone().zip(tokens).into_iter().collect::<IndexMap<_, _>>();
                out.push(Event::Total(Total { tokens, cost: None, by_model, whole_session: true }));
                out.push(Outcome::good(None));
            }
            "turn.failed" => {
                out.push(Outcome::bad(failure(text(event, "/error/message").unwrap_or("the turn failed"), now)));
            }
            // Also said while it tries again; it counts when nothing better follows.
            "error" => out.push(Event::Problem(failure(text(event, "/message").unwrap_or("an error"), now))),
            kind => out.push(Event::Unknown(kind.to_owned())),
        }
    }
}

/// The message of a provider's error may be its JSON.
fn failure(message: &str, now: UnixMillis) -> Problem {
    let inner = serde_json::from_str::<Value>(message).ok();
    let told = inner.as_ref().and_then(|inner| text(inner, "/error/message")).unwrap_or(message);
    let whole = problem(message, now);
    Problem { message: told.to_owned(), ..whole }
}

impl Codex {
    fn item(&mut self, event: &Value, completed: bool, out: &mut Vec<Event>) {
        let item = &event["item"];
        let kind = text(item, "/type").unwrap_or_default();
        let status = text(item, "/status").unwrap_or_default();
        match kind {
            "agent_message" | "assistant_message" => {
                self.answers.answered(out);
                if completed {
                    out.push(Event::Message(text(item, "/text").unwrap_or_default().to_owned()));
                }
            }
            "reasoning" => {
                self.answers.answered(out);
                out.push(Event::Note(text(item, "/text").unwrap_or_default().to_owned()));
            }
            // Most of these are warnings; what is fatal comes as an event of its own.
            "error" => out.push(Event::Note(text(item, "/message").unwrap_or_default().to_owned())),
            "todo_list" | "plan" => out.push(Event::Ignored),
            "command_execution" | "file_change" | "mcp_tool_call" | "web_search" | "collab_tool_call"
            | "patch_apply" => {
                let id = text(item, "/id").unwrap_or_default();
                // The end of a tool that is known is no word of the model.
                if !self.open.contains(id) {
                    self.answers.answered(out);
                }
                if completed {
                    self.open.remove(id);
                } else if !id.is_empty() {
                    self.open.insert(id.to_owned());
                }
                let (name, told) = match kind {
                    "mcp_tool_call" => (text(item, "/tool").unwrap_or(kind), detail(&item["arguments"])),
                    "file_change" => (kind, paths(&item["changes"])),
                    _ => (kind, detail(item)),
                };
                // Some kinds come only once, when they are over.
                if !completed && status == "in_progress" && text(event, "/type") == Some("item.started")
                    || completed && matches!(kind, "file_change" | "web_search")
                {
                    out.push(Event::ToolCall { name: name.to_owned(), detail: told.clone() });
                }
                if completed {
                    if status == "declined" {
                        out.push(Event::Denied(Denial { tool: name.to_owned(), detail: told }));
                    } else {
                        let failed =
                            status == "failed" || item.get("exit_code").and_then(Value::as_i64).unwrap_or(0) != 0;
                        let told = text(item, "/aggregated_output").or_else(|| text(item, "/error/message"));
                        out.push(Event::ToolResult { failed, detail: told.unwrap_or_default().to_owned() });
                    }
                    self.answers.tool_answered();
                }
            }
            other => out.push(Event::Unknown(format!("item {other}"))),
        }
        if out.is_empty() {
            out.push(Event::Ignored);
        }
    }
}

fn paths(changes: &Value) -> String {
    let changes = changes.as_array().into_iter().flatten();
    changes.filter_map(|change| text(change, "/path")).collect::<Vec<_>>().join(", ")
}

/// Its input has what was read from and written to the cache in it.
fn tokens(usage: &Value) -> AgentTokens {
    let cache_read = count(usage, "/cached_input_tokens");
    let cache_write = count(usage, "/cache_write_input_tokens");
    AgentTokens {
        input: count(usage, "/input_tokens").saturating_sub(cache_read + cache_write),
        output: count(usage, "/output_tokens"),
        cache_read,
        cache_write,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_that_are_called_at_once_are_one_turn() {
        let mut codex = Codex::new(None);
        let mut events = Vec::new();
        let mut tell = |codex: &mut Codex, state: &str, id: &str| {
            let item = serde_json::json!({"id": id, "type": "command_execution", "command": "true", "status": state});
            let kind = if state == "completed" { "item.completed" } else { "item.started" };
            codex.json(&serde_json::json!({"type": kind, "item": item}), UnixMillis(0), &mut events);
            events.iter().filter(|event| matches!(event, Event::Turn(_))).count()
        };
        for id in ["a", "b", "c"] {
            assert_eq!(tell(&mut codex, "in_progress", id), 1);
        }
        for id in ["b", "a", "c"] {
            assert_eq!(tell(&mut codex, "completed", id), 1);
        }
        assert_eq!(tell(&mut codex, "in_progress", "d"), 2);
        // One that comes only when it is over.
        assert_eq!(tell(&mut codex, "completed", "d"), 2);
        assert_eq!(tell(&mut codex, "completed", "e"), 3);
    }
}
