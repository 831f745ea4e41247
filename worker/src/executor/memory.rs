//! What an ant must know of an attempt to go on with it where another one was: kept by the attempt's shim, sealed.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use atta_core::engine::{AttemptResult, Failure};
use atta_core::protocol::AttemptId;
use atta_core::protocol::ant::{Assignment, LogSegment};
use atta_core::redact::StreamState;
use atta_core::time::UnixMillis;
use serde::{Deserialize, Serialize};

use super::set_output::SetOutputs;
use crate::IsolationLevel;
use crate::blocking::blocking;
use crate::supervisor::{Attached, FromShim, Here, rewrite_left};

/// Everything about an attempt when one of its programs was started.
#[derive(Serialize, Deserialize)]
pub(crate) struct Record<'a> {
    /// The machine's start in which that was.
    pub(crate) boot: Cow<'a, str>,
    /// When the ant took the attempt.
    pub(crate) since: UnixMillis,
    pub(crate) assignment: Cow<'a, Assignment>,
    pub(crate) memory: Cow<'a, Memory>,
}

/// How far an attempt has come.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(super) stage: Stage,
    /// The warnings so far.
    pub(super) warnings: Vec<String>,
    /// Whether exactly what it asks for was in the cache; `None` when it asks for nothing.
    pub(super) cached: Option<bool>,
    /// What is to be cached has been.
    pub(super) cache_saved: bool,
    /// The log says that it is being stopped.
    pub(super) stopping_said: bool,
    /// The log says how the script ended.
    pub(super) end_said: bool,
    /// How the script ended, from its `after_script` on.
    pub(super) judged: Option<(AttemptResult, Option<Failure>)>,
    pub(super) log: LogState,
}

/// Which of its programs it is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    #[default]
    Script,
    After,
}

impl Stage {
    /// The program's name among the files of the attempt.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::After => "after",
        }
    }

    /// The name of the program's cgroup.
    pub(super) fn cgroup(self, id: &AttemptId) -> String {
        format!("{id}-{}", self.name())
    }
}

/// Where its log is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct LogState {
    /// What the queen has.
    pub(super) offset: u64,
    pub(super) refused: Option<String>,
    /// Why what outputs are read from is not whole.
    #[serde(default)]
    pub(super) short: Option<String>,
    /// Where the redaction of stdout and stderr is.
    pub(super) streams: Option<[StreamState; 2]>,
    pub(super) commands: Option<SetOutputs>,
    pub(super) stdout: Option<Captured>,
    /// Lines of Atta's own that come next: at this offset and nowhere else.
    pub(super) pending: Option<Pending>,
    /// A piece that the queen may have, in front of what was left out. While there is one, she has nothing of what follows.
    pub(super) held: Option<Held>,
    /// What was left out after it.
    pub(super) left_out: Option<LeftOut>,
}

/// A piece of the log on its way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) segments: Vec<LogSegment>,
    #[serde(with = "as_hex")]
    pub(super) bytes: Vec<u8>,
}

/// Output that has waited for too long.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct LeftOut {
    pub(super) at: UnixMillis,
    pub(super) bytes: u64,
}

/// The program's stdout, when an output is read from it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Captured {
    #[serde(with = "as_hex")]
    pub(super) bytes: Vec<u8>,
    pub(super) limit: usize,
    pub(super) overflowed: bool,
}

/// Bytes that need not be text, in JSON.
mod as_hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        hex::decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// Lines of Atta's own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) at: UnixMillis,
    pub(super) text: String,
}

/// An attempt that an earlier ant began.
pub(crate) struct Adopted {
    pub(crate) since: UnixMillis,
    pub(crate) assignment: Assignment,
    pub(crate) memory: Memory,
    /// Where its log goes on in the spool of the program that it is at.
    pub(crate) position: u64,
    /// From where on no ant has heard of the spool, if its shim says so.
    pub(crate) told: Option<u64>,
    /// Why it was stopped, if it was.
    pub(crate) stop: Option<String>,
    /// What was typed into it: the newest line, and the position on it.
    pub(crate) typed: Option<(u64, u64)>,
    /// How the program is contained.
    pub(crate) level: Option<IsolationLevel>,
    pub(crate) from: AdoptedFrom,
}

/// Where it was found.
pub(crate) enum AdoptedFrom {
    /// With its shim.
    Shim(Attached),
    /// The program has ended, and the shim too.
    Left(Left),
}

/// What a shim has left.
pub(crate) struct Left {
    pub(crate) here: Here,
    pub(crate) outcome: FromShim,
}

impl Left {
    /// Keeps for another ant how far this one is.
    pub(super) async fn keep(&mut self, root: &Path, position: u64, state: Vec<u8>) -> io::Result<()> {
        self.here.checkpoint = Some((position, state));
        self.rewrite(root).await
    }

    /// Writes it anew into the attempt's directory.
    pub(super) async fn rewrite(&self, root: &Path) -> io::Result<()> {
        let (here, outcome, root) = (self.here.clone(), self.outcome.clone(), root.to_owned());
        let written = blocking(move || rewrite_left(&root, here, &outcome)).await;
        written.unwrap_or_else(|panic| Err(io::Error::other(panic)))
    }
}
