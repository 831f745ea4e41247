//! What each CLI writes, for stand-ins: the shapes of real streams with made-up content.

use atta_core::engine::AgentClass;
use atta_core::protocol::agent::AgentCli;
use serde_json::{Value, json};

/// What every answer of a stand-in uses.
pub(super) const INPUT: u64 = 60;
pub(super) const CACHED: u64 = 40;
pub(super) const OUTPUT: u64 = 10;

/// When the limits of stand-ins are over, in seconds from now.
pub(super) const RESETS_IN: i64 = 7500;

const MODEL: &str = "claude-haiku-4-5";

/// Speaks one format.
pub(super) struct Wire {
    pub(super) cli: AgentCli,
    pub(super) session: String,
    turns: u64,
}

impl Wire {
    pub(super) fn new(cli: AgentCli, session: String) -> Self {
        Self { cli, session, turns: 0 }
    }

    /// The first lines.
    pub(super) fn begin(&self) -> Vec<String> {
        let session = &self.session;
        match self.cli {
            AgentCli::Claude => lines([
                json!({"type": "system", "subtype": "init", "session_id": session, "model": MODEL, "tools": ["Bash"],
                    "permissionMode": "acceptEdits"}),
            ]),
            AgentCli::Codex => lines([
                json!({"type": "thread.started", "thread_id": session}),
                json!({"type": "item.completed", "item": {"id": "item_0", "type": "error", "message": "only a warning"}}),
                json!({"type": "turn.started"}),
            ]),
            AgentCli::Gemini => lines([
                json!({"type": "init", "session_id": session, "model": "gemini-2.5-pro"}),
                json!({"type": "message", "role": "user", "content": "the prompt"}),
            ]),
            AgentCli::Opencode | AgentCli::Goose => Vec::new(),
            AgentCli::Copilot => lines([
                json!({"type": "session.tools_updated", "data": {"model": "m1"}, "ephemeral": true}),
                json!({"type": "user.message", "data": {"content": "the prompt"}}),
            ]),
            AgentCli::Cursor => lines([
                json!({"type": "system", "subtype": "init", "session_id": session, "model": "m1", "apiKeySource": "env"}),
                json!({"type": "user", "message": {"role": "user", "content": []}, "session_id": session}),
            ]),
            AgentCli::Aider => {
                let notes = ["Update git name with: git config user.name \"Your Name\"", "Aider v0.86.2"];
                let more = ["Git repo: .git with 2 files", "Repo-map: using 4096 tokens, auto refresh"];
                let model = format!("Model: {MODEL} with diff edit format");
                notes.into_iter().map(str::to_owned).chain([model]).chain(more.map(str::to_owned)).collect()
            }
            AgentCli::Custom => lines([json!({"type": "session", "id": session, "model": MODEL})]),
        }
    }

    /// One answer of the model, with or without a call of a tool and the tool's answer.
    pub(super) fn answer(&mut self, text: &str, tool: bool) -> Vec<String> {
        self.turns += 1;
        let (session, n) = (&self.session, self.turns);
        let call = format!("call_{n}");
        let command = json!({"command": "true"});
        match self.cli {
            AgentCli::Claude => {
                let id = format!("msg_{session}_{n}");
                let message = |content: Value| {
                    json!({"type": "assistant", "session_id": session, "parent_tool_use_id": null, "message": {
                        "id": id, "type": "message", "role": "assistant", "model": MODEL, "content": [content],
                        "stop_reason": null, "usage": claude_usage(1)}})
                };
                let piece = |event: Value| json!({"type": "stream_event", "session_id": session, "parent_tool_use_id": null, "event": event});
                let mut all = vec![
                    piece(
                        json!({"type": "message_start", "message": {"id": id, "model": MODEL, "usage": claude_usage(1)}}),
                    ),
                    message(json!({"type": "text", "text": text})),
                ];
                if tool {
                    all.push(message(json!({"type": "tool_use", "id": call, "name": "Bash", "input": command})));
                }
                all.push(piece(json!({"type": "message_delta", "usage": {"output_tokens": OUTPUT}})));
                if tool {
                    all.push(json!({"type": "user", "session_id": session, "message": {"role": "user", "content": [
                        {"type": "tool_result", "tool_use_id": call, "content": "ok", "is_error": false}]}}));
                }
                lines(all)
            }
            AgentCli::Codex => {
                let mut all = vec![item("agent_message", n, "completed", &json!({"text": text}))];
                if tool {
                    let running =
                        json!({"command": "true", "aggregated_output": "", "exit_code": null, "status": "in_progress"});
                    let ended =
                        json!({"command": "true", "aggregated_output": "ok", "exit_code": 0, "status": "completed"});
                    all.push(item("command_execution", n, "started", &running));
                    all.push(item("command_execution", n, "completed", &ended));
                }
                lines(all)
            }
            AgentCli::Gemini => {
                let (one, two) = text.split_at(text.ceil_char_boundary(text.len() / 2));
                let piece =
                    |text: &str| json!({"type": "message", "role": "assistant", "content": text, "delta": true});
                let mut all = vec![piece(one), piece(two)];
                if tool {
                    all.push(json!({"type": "tool_use", "tool_name": "run_shell_command", "tool_id": call, "parameters": command}));
                    all.push(json!({"type": "tool_result", "tool_id": call, "status": "success", "output": "ok"}));
                }
                lines(all)
            }
            AgentCli::Opencode => {
                let id = format!("msg_{n}");
                let part = |kind: &str, mut part: Value| {
                    part["messageID"] = json!(id);
                    json!({"type": kind, "timestamp": 1, "sessionID": session, "part": part})
                };
                let mut all = vec![
                    part("step_start", json!({"type": "step-start"})),
                    part("text", json!({"type": "text", "text": text, "time": {"start": 1, "end": 2}})),
                ];
                if tool {
                    let state = json!({"status": "completed", "input": command, "output": "ok"});
                    all.push(part("tool_use", json!({"type": "tool", "tool": "bash", "callID": call, "state": state})));
                    all.push(part("step_finish", opencode_step("tool-calls")));
                }
                lines(all)
            }
            AgentCli::Goose => {
                let message = |role: &str, id: &str, content: Value| json!({"type": "message", "message": {"id": id, "role": role, "created": 1, "content": [content]}});
                let id = format!("m{n}");
                let mut all = vec![message("assistant", &id, json!({"type": "text", "text": text}))];
                if tool {
                    let value = json!({"name": "shell", "arguments": command});
                    let called =
                        json!({"type": "toolRequest", "id": call, "toolCall": {"status": "success", "value": value}});
                    all.push(message("assistant", &id, called));
                    let told = json!({"resultType": "complete", "content": [{"type": "text", "text": "ok"}], "isError": false});
                    let told = json!({"status": "success", "value": told});
                    all.push(message(
                        "user",
                        &format!("u{n}"),
                        json!({"type": "toolResponse", "id": call, "toolResult": told}),
                    ));
                }
                lines(all)
            }
            AgentCli::Copilot => {
                let event = |kind: &str, data: Value| json!({"type": kind, "data": data, "id": "x", "parentId": "y"});
                let mut all = vec![
                    event("assistant.turn_start", json!({"turnId": n.to_string()})),
                    event("model.call_start", json!({"model": "m1"})),
                    event(
                        "assistant.message",
                        json!({"messageId": call, "model": "m1", "content": text, "toolRequests": []}),
                    ),
                ];
                if tool {
                    all.push(event(
                        "tool.execution_start",
                        json!({"toolCallId": call, "toolName": "bash", "arguments": command}),
                    ));
                    all.push(event(
                        "tool.execution_complete",
                        json!({"toolCallId": call, "success": true, "result": {"content": "ok"}}),
                    ));
                }
                all.push(event("assistant.turn_end", json!({"turnId": n.to_string()})));
                lines(all)
            }
            AgentCli::Cursor => {
                let content = json!([{"type": "text", "text": text}]);
                let mut all = vec![
                    json!({"type": "assistant", "message": {"role": "assistant", "content": content}, "session_id": session}),
                ];
                if tool {
                    let event = |subtype: &str, call_of: Value| {
                        json!({"type": "tool_call", "subtype": subtype, "call_id": call, "tool_call": {"shellToolCall": call_of},
                            "session_id": session})
                    };
                    all.push(event("started", json!({"args": command})));
                    all.push(event("completed", json!({"args": command, "result": {"success": {"stdout": "ok"}}})));
                }
                lines(all)
            }
            AgentCli::Aider => {
                let mut all = vec![String::new()];
                all.extend(text.lines().map(str::to_owned));
                all.push(format!(
                    "Tokens: {} sent, {CACHED} cache hit, {OUTPUT} received. Cost: $0.01 message, $0.0{n} session.",
                    INPUT + CACHED
                ));
                if tool {
                    all.push("Applied edit to some-file".to_owned());
                }
                all
            }
            AgentCli::Custom => {
                let mut all = vec![
                    json!({"type": "turn"}),
                    json!({"type": "message", "text": text}),
                    json!({"type": "usage", "id": call, "input": INPUT, "output": OUTPUT, "cache_read": CACHED}),
                ];
                if tool {
                    all.push(json!({"type": "tool", "name": "shell", "input": command}));
                    all.push(json!({"type": "tool_result", "text": "ok"}));
                }
                lines(all)
            }
        }
    }

    /// The last lines of a session that went well.
    pub(super) fn end(&self, text: &str) -> Vec<String> {
        let n = self.turns;
        let session = &self.session;
        match self.cli {
            AgentCli::Claude => {
                lines([self.claude_result(&json!({"subtype": "success", "is_error": false, "result": text}))])
            }
            AgentCli::Codex => lines([json!({"type": "turn.completed", "usage": {
                "input_tokens": (INPUT + CACHED) * n, "cached_input_tokens": CACHED * n, "output_tokens": OUTPUT * n}})]),
            AgentCli::Gemini => lines([json!({"type": "result", "status": "success", "stats": gemini_stats(n)})]),
            AgentCli::Opencode => {
                let mut part = opencode_step("stop");
                part["messageID"] = json!(format!("msg_{n}"));
                lines([json!({"type": "step_finish", "sessionID": session, "part": part})])
            }
            AgentCli::Goose => lines([goose_complete(n)]),
            AgentCli::Copilot => {
                lines([json!({"type": "result", "sessionId": session, "exitCode": 0, "usage": {"premiumRequests": 1}})])
            }
            AgentCli::Cursor => lines([
                json!({"type": "result", "subtype": "success", "is_error": false, "result": "everything at once",
                "session_id": session, "usage": {"inputTokens": INPUT * n, "outputTokens": OUTPUT * n,
                "cacheReadTokens": CACHED * n, "cacheWriteTokens": 0}}),
            ]),
            AgentCli::Aider => Vec::new(),
            AgentCli::Custom => lines([
                json!({"type": "usage", "total": true, "input": INPUT * n, "output": OUTPUT * n, "cache_read": CACHED * n, "usd": cost(n)}),
                json!({"type": "result", "text": text}),
            ]),
        }
    }

    /// What Copilot writes into its file.
    pub(super) fn copilot_usage(&self) -> Value {
        let n = self.turns;
        json!({"modelMetrics": {"m1": {"usage": {"inputTokens": (INPUT + CACHED) * n, "outputTokens": OUTPUT * n,
            "cacheReadTokens": CACHED * n, "cacheWriteTokens": 0}}}})
    }

    /// A line of a version that is newer than the adapter.
    pub(super) fn unknown(&self) -> String {
        match self.cli {
            AgentCli::Aider => "Something new from aider".to_owned(),
            _ => json!({"type": "telepathy", "session_id": self.session, "sessionID": self.session}).to_string(),
        }
    }

    /// The last lines of a session that went wrong; what goes to stderr stands behind.
    pub(super) fn failure(&self, class: AgentClass, resets_at: Option<i64>) -> (Vec<String>, Option<String>) {
        let message = message_of(self.cli, class, resets_at);
        let session = &self.session;
        match self.cli {
            AgentCli::Claude => {
                let mut all = Vec::new();
                if let Some(at) = resets_at {
                    let info = json!({"status": "rejected", "resetsAt": at, "rateLimitType": "five_hour"});
                    all.push(json!({"type": "rate_limit_event", "session_id": session, "rate_limit_info": info}));
                }
                let status = match class {
                    AgentClass::RateLimited => json!(429),
                    AgentClass::Auth => json!(401),
                    _ => Value::Null,
                };
                all.push(self.claude_result(
                    &json!({"subtype": "success", "is_error": true, "result": message, "api_error_status": status}),
                ));
                (lines(all), None)
            }
            AgentCli::Codex => (
                lines([
                    json!({"type": "error", "message": "Reconnecting... 1/5"}),
                    json!({"type": "error", "message": message}),
                    json!({"type": "turn.failed", "error": {"message": message}}),
                ]),
                None,
            ),
            AgentCli::Gemini => {
                let error = json!({"type": "Error", "message": message});
                (
                    lines([
                        json!({"type": "result", "status": "error", "error": error, "stats": gemini_stats(self.turns)}),
                    ]),
                    None,
                )
            }
            AgentCli::Opencode => {
                let (name, status) = match class {
                    AgentClass::Auth => ("ProviderAuthError", Value::Null),
                    AgentClass::Context => ("ContextOverflowError", Value::Null),
                    AgentClass::RateLimited => ("APIError", json!(429)),
                    _ => ("UnknownError", Value::Null),
                };
                let headers =
                    if resets_at.is_some() { json!({"retry-after": RESETS_IN.to_string()}) } else { json!({}) };
                let error = json!({"name": name, "data": {"message": message, "statusCode": status, "responseHeaders": headers}});
                (lines([json!({"type": "error", "sessionID": session, "error": error})]), None)
            }
            AgentCli::Goose if class == AgentClass::Auth => {
                (lines([json!({"type": "error", "error": goose_says(&message)})]), None)
            }
            // Of everything else it speaks as if it were an answer, and then it is complete.
            AgentCli::Goose => {
                let said = json!({"id": "msg_own", "role": "assistant", "created": 1, "metadata": {"userVisible": true},
                    "content": [{"type": "text", "text": goose_says(&message)}]});
                (lines([json!({"type": "message", "message": said}), goose_complete(self.turns)]), None)
            }
            AgentCli::Copilot => {
                let kind = match class {
                    AgentClass::RateLimited => "rate_limit",
                    AgentClass::Auth => "authentication",
                    AgentClass::Context => "context_limit",
                    _ => "query",
                };
                (
                    lines([
                        json!({"type": "session.error", "data": {"errorType": kind, "message": message}}),
                        json!({"type": "result", "sessionId": session, "exitCode": 1, "usage": {}}),
                    ]),
                    None,
                )
            }
            AgentCli::Cursor => (Vec::new(), Some(message)),
            AgentCli::Aider => {
                let explained = match class {
                    AgentClass::RateLimited => {
                        Some("The API provider has rate limited you. Try again later or check your quotas.")
                    }
                    AgentClass::Auth => Some("The API provider is not able to authenticate you. Check your API key."),
                    _ => None,
                };
                (std::iter::once(message).chain(explained.map(str::to_owned)).collect(), None)
            }
            AgentCli::Custom => {
                let class = serde_json::to_value(class).unwrap_or_default();
                let class = class.as_str().unwrap_or("error").to_lowercase();
                (
                    lines([
                        json!({"type": "result", "is_error": true, "class": class, "message": message, "resets_at": resets_at}),
                    ]),
                    None,
                )
            }
        }
    }

    /// The exit code of a session that went wrong.
    pub(super) fn failure_code(&self, class: AgentClass) -> i32 {
        match self.cli {
            AgentCli::Aider => 0,
            AgentCli::Goose => i32::from(class == AgentClass::Auth),
            _ => 1,
        }
    }

    fn claude_result(&self, more: &Value) -> Value {
        let n = self.turns;
        let mut result = json!({"type": "result", "session_id": self.session, "num_turns": n, "total_cost_usd": cost(n),
            "usage": claude_usage(OUTPUT), "permission_denials": [], "modelUsage": {MODEL: {"inputTokens": INPUT * n,
            "outputTokens": OUTPUT * n, "cacheReadInputTokens": CACHED * n, "cacheCreationInputTokens": 0}}});
        if let (Some(result), Some(more)) = (result.as_object_mut(), more.as_object()) {
            result.extend(more.clone());
        }
        result
    }
}

/// What a session of so many turns costs in dollars, where the format says so.
#[expect(clippy::cast_precision_loss, reason = "a few turns")]
pub(super) fn cost(turns: u64) -> f64 {
    turns as f64 / 1000.0
}

fn message_of(cli: AgentCli, class: AgentClass, resets_at: Option<i64>) -> String {
    match (class, resets_at) {
        (AgentClass::RateLimited, Some(at)) => match cli {
            AgentCli::Claude => format!("Claude AI usage limit reached|{at}"),
            AgentCli::Gemini => "[API Error: You exceeded your current quota. Please retry in 2h5m0s.]".to_owned(),
            AgentCli::Aider => "litellm.RateLimitError: too many requests, try again in 7500s".to_owned(),
            AgentCli::Goose => "Rate limit exceeded: retry after 7500 seconds".to_owned(),
            _ => "You've hit your usage limit. Try again in 2 hours 5 minutes.".to_owned(),
        },
        (AgentClass::RateLimited, None) => match cli {
            AgentCli::Claude => r#"API Error: 429 {"type":"error","error":{"type":"rate_limit_error"}}"#.to_owned(),
            AgentCli::Aider => "litellm.RateLimitError: RateLimitError: OpenAIException - too many requests".to_owned(),
            AgentCli::Cursor => "ConnectError: [resource_exhausted] Error".to_owned(),
            AgentCli::Opencode => "nobody says why".to_owned(),
            _ => "exceeded retry limit, last status: 429 Too Many Requests".to_owned(),
        },
        (AgentClass::Auth, _) => match cli {
            AgentCli::Claude => "Invalid API key · Please run /login".to_owned(),
            AgentCli::Gemini => "API key not valid. Please pass a valid API key.".to_owned(),
            AgentCli::Aider => "litellm.AuthenticationError: invalid x-api-key".to_owned(),
            AgentCli::Cursor => "Error: Authentication required. Please run 'cursor-agent login' first.".to_owned(),
            _ => "unexpected status 401 Unauthorized: Missing bearer or basic authentication in header".to_owned(),
        },
        (AgentClass::Context, _) => match cli {
            AgentCli::Claude => "Prompt is too long".to_owned(),
            AgentCli::Gemini => {
                "The input token count (1200000) exceeds the maximum number of tokens allowed".to_owned()
            }
            AgentCli::Aider => "litellm.ContextWindowExceededError: too long".to_owned(),
            _ => "Your input exceeds the context window of this model.".to_owned(),
        },
        (AgentClass::Policy, _) => match cli {
            AgentCli::Claude => {
                "API Error: unable to respond to this request, which appears to violate our Usage Policy".to_owned()
            }
            AgentCli::Gemini => "The response was blocked: PROHIBITED_CONTENT".to_owned(),
            AgentCli::Aider => "litellm.ContentPolicyViolationError: flagged".to_owned(),
            _ => "Your prompt was flagged as potentially violating our usage policy.".to_owned(),
        },
        _ => match cli {
            AgentCli::Aider => "litellm.APIError: something broke".to_owned(),
            _ => "something broke".to_owned(),
        },
    }
}

fn goose_says(error: &str) -> String {
    format!("Ran into this error: {error}.\n\nPlease retry if you think this is a transient or recoverable error.")
}

fn goose_complete(n: u64) -> Value {
    json!({"type": "complete", "total_tokens": (INPUT + CACHED + OUTPUT) * n, "input_tokens": (INPUT + CACHED) * n,
        "output_tokens": OUTPUT * n, "cache_read_input_tokens": CACHED * n, "cache_write_input_tokens": 0})
}

fn lines(events: impl IntoIterator<Item = Value>) -> Vec<String> {
    events.into_iter().map(|event| event.to_string()).collect()
}

fn item(kind: &str, n: u64, state: &str, more: &Value) -> Value {
    let mut item = json!({"id": format!("{kind}_{n}"), "type": kind});
    if let (Some(item), Some(more)) = (item.as_object_mut(), more.as_object()) {
        item.extend(more.clone());
    }
    json!({"type": format!("item.{state}"), "item": item})
}

fn claude_usage(output: u64) -> Value {
    json!({"input_tokens": INPUT, "cache_creation_input_tokens": 0, "cache_read_input_tokens": CACHED, "output_tokens": output})
}

fn gemini_stats(n: u64) -> Value {
    let (all, sent, cached) = ((INPUT + CACHED + OUTPUT) * n, (INPUT + CACHED) * n, CACHED * n);
    let one = json!({"total_tokens": all, "input_tokens": sent, "output_tokens": OUTPUT * n - n, "cached": cached, "input": INPUT * n});
    let mut stats = one.clone();
    stats["models"] = json!({"gemini-2.5-pro": one});
    stats
}

fn opencode_step(reason: &str) -> Value {
    json!({"type": "step-finish", "reason": reason, "cost": 0, "tokens": {
        "total": INPUT + CACHED + OUTPUT, "input": INPUT, "output": OUTPUT - 3, "reasoning": 3, "cache": {"read": CACHED, "write": 0}}})
}
