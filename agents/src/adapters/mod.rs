//! Agent CLIs: one file each, with its arguments, its environment and its wire format.

mod aider;
mod claude;
mod codex;
mod copilot;
mod cursor;
mod custom;
mod gemini;
mod goose;
mod opencode;

use std::ffi::OsString;
use std::path::Path;

use atta_core::protocol::agent::{AgentChoice, AgentCli, AgentPermission, AgentTokens, MicroUsd};
use atta_core::time::UnixMillis;
use serde_json::Value;

use crate::event::Event;
use crate::process::Invocation;

/// What an adapter has to know to build a command line.
pub(crate) struct Launch<'a> {
    pub(crate) choice: &'a AgentChoice,
    pub(crate) prompt: &'a str,
    pub(crate) system: Option<&'a str>,
    pub(crate) permission: AgentPermission,
    pub(crate) allowed_tools: &'a [String],
    /// The session to go on with.
    pub(crate) resume: Option<&'a str>,
    /// What is left of the limits, for programs that keep them themselves as well.
    pub(crate) turns_left: Option<u32>,
    pub(crate) usd_left: Option<MicroUsd>,
    /// A directory for files that the program is given, absolute.
    pub(crate) files: &'a Path,
    /// A directory with texts for it to read, if there are any.
    pub(crate) context: Option<&'a Path>,
    /// The home directory of whoever runs it.
    pub(crate) home: Option<&'a Path>,
    /// A name for a session that nobody has used, for programs that are told theirs.
    pub(crate) fresh_id: &'a str,
    /// Tells this run from the others of the same attempt.
    pub(crate) run: usize,
}

impl Launch<'_> {
    /// The prompt with the system's part before it, for programs that have no place of its own for it.
    fn whole_prompt(&self) -> String {
        match self.system {
            Some(system) => format!("{system}\n\n{}", self.prompt),
            None => self.prompt.to_owned(),
        }
    }

    /// The directory with texts, for a command line.
    fn context_directory(&self) -> Option<String> {
        self.context.map(|directory| directory.to_string_lossy().into_owned())
    }

    /// The program: as ordered, or by its usual name.
    fn program(&self, usual: &str) -> Vec<OsString> {
        if self.choice.command.is_empty() {
            vec![usual.into()]
        } else {
            self.choice.command.iter().map(OsString::from).collect()
        }
    }
}

/// What a program is started with beyond its environment.
fn variables<const N: usize>(set: [(&str, &str); N]) -> Vec<(OsString, OsString)> {
    set.map(|(name, value)| (name.into(), value.into())).into()
}

/// Understands the stream of one run.
pub(crate) trait Adapter {
    /// An event.
    fn json(&mut self, event: &Value, now: UnixMillis, out: &mut Vec<Event>);

    /// A line that is not JSON.
    fn text(&mut self, _line: &str, _now: UnixMillis, out: &mut Vec<Event>) {
        out.push(Event::Garbage);
    }

    /// The program has ended, and nothing more will come.
    fn end(&mut self, _exit_code: Option<i32>, _now: UnixMillis, _out: &mut Vec<Event>) {}

    /// Whether a line belongs into the raw stream.
    fn keeps(&self, _event: &Value) -> bool {
        true
    }

    /// Whether its stream is JSON lines.
    fn speaks_json(&self) -> bool {
        true
    }
}

/// How to start it, and who understands it.
pub(crate) fn prepare(launch: &Launch<'_>) -> std::io::Result<(Invocation, Box<dyn Adapter>)> {
    let model = launch.choice.model.clone();
    let session = || launch.resume.unwrap_or(launch.fresh_id).to_owned();
    Ok(match launch.choice.cli {
        AgentCli::Claude => (claude::invoke(launch), Box::new(claude::Claude::default())),
        AgentCli::Codex => (codex::invoke(launch), Box::new(codex::Codex::new(model))),
        AgentCli::Gemini => (gemini::invoke(launch), Box::new(gemini::Gemini::default())),
        AgentCli::Opencode => (opencode::invoke(launch), Box::new(opencode::Opencode::default())),
        AgentCli::Goose => (goose::invoke(launch)?, Box::new(goose::Goose::new(session(), model))),
        AgentCli::Copilot => {
            let usage = copilot::usage_file(launch.files, launch.run);
            (copilot::invoke(launch), Box::new(copilot::Copilot::new(session(), usage)))
        }
        AgentCli::Cursor => (cursor::invoke(launch)?, Box::new(cursor::Cursor::default())),
        AgentCli::Aider => (aider::invoke(launch)?, Box::new(aider::Aider::new(aider::session(launch)?))),
        AgentCli::Custom => (custom::invoke(launch), Box::new(custom::Custom::default())),
    })
}

/// What a session used before it is resumed, where its totals count from its beginning and it says so somewhere.
pub(crate) fn used_before(cli: AgentCli, session: &str, environment: &[(OsString, OsString)]) -> Option<AgentTokens> {
    match cli {
        AgentCli::Codex => codex::used_before(session, environment),
        _ => None,
    }
}

/// The longest prompt that is given as an argument: the system allows 128 KiB.
const LONGEST_ARGUMENT: usize = 100 << 10;

/// Puts a prompt that is too long for an argument into a file, and says so.
fn in_a_file(launch: &Launch<'_>, prompt: &str) -> std::io::Result<String> {
    let path = launch.files.join(format!("prompt-{}.md", launch.run));
    std::fs::write(&path, prompt)?;
    Ok(format!("Read the file {} completely. It is your task; do what it says.", path.display()))
}

/// Counts turns of a model whose stream does not tell where one begins: it answers after it was asked, and after tools.
#[derive(Debug, Default)]
struct Answers {
    answering: bool,
}

impl Answers {
    fn asked(&mut self) {
        self.answering = false;
    }

    fn answered(&mut self, out: &mut Vec<Event>) {
        if !self.answering {
            self.answering = true;
            out.push(Event::Turn(None));
        }
    }

    fn tool_answered(&mut self) {
        self.answering = false;
    }
}

/// A string in an event.
fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// A count in an event.
fn count(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

/// Dollars in an event.
fn dollars(value: &Value, pointer: &str) -> Option<MicroUsd> {
    value.pointer(pointer).and_then(Value::as_f64).and_then(MicroUsd::from_dollars)
}

/// What a tool is called for, in a few words.
fn detail(input: &Value) -> String {
    const TELLING: [&str; 10] =
        ["command", "cmd", "file_path", "filePath", "absolute_path", "path", "pattern", "query", "url", "description"];
    let told = TELLING.iter().find_map(|key| match input.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Array(words) => Some(words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")),
        _ => None,
    });
    let told = told.unwrap_or_else(|| match input {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    crate::transcript::on_one_line(&told, 300)
}
