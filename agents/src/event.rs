//! What every stream is turned into.

use atta_core::engine::AgentClass;
use atta_core::protocol::agent::{AgentTokens, Denial, MicroUsd};
use atta_core::time::UnixMillis;
use indexmap::IndexMap;

/// Something that an agent's program said.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// The name of its session.
    Session(String),
    /// The model that answers.
    Model(String),
    /// The model has answered once more. Repetitions have the same id.
    Turn(Option<String>),
    /// A message of the agent itself.
    Message(String),
    /// A further piece of a message.
    Piece(String),
    /// It calls a tool.
    ToolCall { name: String, detail: String },
    /// A tool has answered.
    ToolResult { failed: bool, detail: String },
    /// What one answer of the model used.
    Used(Used),
    /// What all answers of this run used; a later one replaces it.
    Total(Total),
    /// A tool was refused.
    Denied(Denial),
    /// Something went wrong. It counts when the run does not end well.
    Problem(Problem),
    /// The program's own judgement of how it ended.
    Result(Outcome),
    /// For whoever reads along.
    Note(String),
    /// Nothing of interest.
    Ignored,
    /// An event that the adapter does not know.
    Unknown(String),
    /// A line that is not JSON where JSON was expected.
    Garbage,
}

/// What one answer used.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Used {
    /// Repetitions have the same id, and the last one counts.
    pub(crate) id: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) tokens: AgentTokens,
    pub(crate) cost: Option<MicroUsd>,
}

/// What all answers used.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Total {
    pub(crate) tokens: Option<AgentTokens>,
    pub(crate) cost: Option<MicroUsd>,
    pub(crate) by_model: IndexMap<String, AgentTokens>,
    /// It counts from the beginning of the session, not of this run.
    pub(crate) whole_session: bool,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Problem {
    pub(crate) class: AgentClass,
    pub(crate) message: String,
    pub(crate) resets_at: Option<UnixMillis>,
}

/// How the program says that it ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    /// What went wrong, if something did.
    pub(crate) problem: Option<Problem>,
    /// Its final message, where the result repeats it.
    pub(crate) text: Option<String>,
}

impl Outcome {
    pub(crate) fn good(text: Option<String>) -> Event {
        Event::Result(Self { problem: None, text })
    }

    pub(crate) fn bad(problem: Problem) -> Event {
        Event::Result(Self { problem: Some(problem), text: None })
    }
}
