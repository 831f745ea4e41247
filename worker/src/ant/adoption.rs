//! Taking stock at the start: what became of the attempts that an earlier ant on the directory had begun.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use atta_core::protocol::AttemptId;
use atta_core::protocol::ant::LostAttempt;
use tokio::task::JoinSet;

use super::seal::{Kind, Seal};
use crate::IsolationLevel;
use crate::blocking::blocking;
use crate::executor::{Adopted, AdoptedFrom, Left, Memory, REQUESTED, Record};
use crate::supervisor::{self, Attached, Found, Here, VERSION};

/// The machine's start in which the last ant ran, in the ant's directory.
const BOOT: &str = "boot";

/// What was found.
#[derive(Default)]
pub(super) struct Stock {
    /// They go on.
    pub(super) adopted: Vec<Adopted>,
    /// They were begun and cannot be brought to an end; their directories tell the next ant, should this one not be able
    /// to say so.
    pub(super) lost: Vec<LostAttempt>,
    /// Directories in which nothing was begun. The locks keep late shims from beginning.
    pub(super) not_begun: Vec<(PathBuf, Option<File>)>,
}

/// One attempt, looked at.
enum Looked {
    Adopted(Box<Adopted>),
    Lost(LostAttempt),
    Nothing(PathBuf, Option<File>),
}

struct Look {
    seal: Arc<Seal>,
    boot: String,
    /// The last ant ran before the machine was started anew.
    rebooted: bool,
}

/// Which start of the machine this is.
pub(super) fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// Looks at everything in `attempts`. Trees that nobody watches over are dead when this returns.
pub(super) async fn take_stock(attempts: &Path, seal: &Arc<Seal>, boot: &str) -> io::Result<Stock> {
    let last_boot = match fs::read_to_string(attempts.with_file_name(BOOT)) {
        Ok(last) => Some(last),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let rebooted = last_boot.is_some_and(|last| last != boot);
    let look = Arc::new(Look { seal: seal.clone(), boot: boot.to_owned(), rebooted });
    let mut looks = JoinSet::new();
    let mut paths = fs::read_dir(attempts)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        let look = look.clone();
        looks.spawn(blocking(move || look.at(path)));
    }
    let mut stock = Stock::default();
    while let Some(looked) = looks.join_next().await {
        match looked.and_then(|looked| looked).map_err(io::Error::other)?? {
            Looked::Adopted(adopted) => stock.adopted.push(*adopted),
            Looked::Lost(lost) => stock.lost.push(lost),
            Looked::Nothing(path, lock) => stock.not_begun.push((path, lock)),
        }
    }
    fs::write(attempts.with_file_name(BOOT), boot)?;
    Ok(stock)
}

/// Kills what runs of an attempt with which the ant itself cannot go on. Its directory says afterwards whether it was begun.
/// Blocks.
pub(super) fn give_up(path: &Path, id: &AttemptId) {
    let attached = match supervisor::examine(path) {
        Ok(Found::Shim(_, attached)) => Some(attached),
        Ok(Found::Nothing(_) | Found::Left(..) | Found::Unwatched | Found::Other) => None,
        // Nothing was made yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => {
            tracing::warn!(attempt = %id, %error, "a lost attempt's directory cannot be looked at");
            None
        }
    };
    kill(path, id, attached);
}

fn kill(path: &Path, id: &AttemptId, attached: Option<Attached>) {
    if let Some(Err(error)) = attached.map(Attached::kill) {
        tracing::warn!(attempt = %id, %error, "the end of a lost attempt's processes was not seen");
    }
    supervisor::kill_by_task_dir(path.join("work").as_os_str().as_bytes());
}

const REBOOTED: &str = "the machine was started anew while it ran";
const KILLED: &str =
    "the process that watched over it was killed while no ant was there; its processes were killed too";
const UNREADABLE: &str =
    "an earlier ant ran it, and what that ant kept of it cannot be read (the ant's key was changed, or its version)";
const REQUEST: &str = "its request was under way when the ant was killed";

impl Look {
    fn at(&self, path: PathBuf) -> io::Result<Looked> {
        let id = AttemptId(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        let (reason, attached) = match supervisor::examine(&path)? {
            Found::Other => return Ok(Looked::Nothing(path, None)),
            Found::Nothing(_) if path.join(REQUESTED).exists() => (REQUEST, None),
            Found::Nothing(lock) => return Ok(Looked::Nothing(path, Some(lock))),
            Found::Unwatched => (KILLED, None),
            Found::Shim(here, attached) => match self.open(&id, &here) {
                Ok(opened) => return Ok(opened.adopt(here.level, AdoptedFrom::Shim(attached))),
                Err(reason) => (reason, Some(attached)),
            },
            Found::Left(here, outcome) => match self.open(&id, &here) {
                Ok(opened) => return Ok(opened.adopt(here.level, AdoptedFrom::Left(Left { here, outcome }))),
                Err(reason) => (reason, None),
            },
        };
        kill(&path, &id, attached);
        let reason = if self.rebooted { REBOOTED } else { reason };
        Ok(Looked::Lost(LostAttempt { attempt_id: id, reason: reason.to_owned() }))
    }

    fn open(&self, id: &AttemptId, here: &Here) -> Result<Opened, &'static str> {
        if here.version != VERSION {
            return Err(UNREADABLE);
        }
        let record: Record<'static> = self.seal.open(id, Kind::Record, &here.sealed).ok_or(UNREADABLE)?;
        if record.boot != self.boot {
            return Err(REBOOTED);
        }
        let (position, memory) = match &here.checkpoint {
            None => (0, record.memory.into_owned()),
            Some((position, state)) => {
                let memory: Memory = self.seal.open(id, Kind::Memory, state).ok_or(UNREADABLE)?;
                (*position, memory)
            }
        };
        // Without the reason it was stopped all the same.
        let stop = here.stop.as_ref().map(|reason| self.seal.open(id, Kind::Reason, reason).unwrap_or_default());
        let (since, assignment) = (record.since, record.assignment.into_owned());
        Ok(Opened { since, assignment, memory, position, stop, typed: here.typed, told: here.told })
    }
}

struct Opened {
    since: atta_core::time::UnixMillis,
    assignment: atta_core::protocol::ant::Assignment,
    memory: Memory,
    position: u64,
    stop: Option<String>,
    typed: Option<(u64, u64)>,
    told: Option<u64>,
}

impl Opened {
    fn adopt(self, level: Option<u8>, from: AdoptedFrom) -> Looked {
        let Self { since, assignment, memory, position, stop, typed, told } = self;
        let level = level.map(IsolationLevel::from_byte);
        Looked::Adopted(Box::new(Adopted { since, assignment, memory, position, told, stop, typed, level, from }))
    }
}
