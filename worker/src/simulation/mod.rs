//! Machines without processes: a real ant on a thread whose time is virtual, with programs that a simulation makes up.
//!
//! Everything above the shims is the ant as it is; in the place of launcher and shims there are tasks that live as long
//! as the machine does, whatever becomes of the ant. What was begun is marked in the attempt's directory as a real shim
//! does it, what has ended without an ant lies there as a real shim leaves it, and output goes through the real spool.
//!
//! All of it belongs to one thread: work that blocks is done at once, so that nothing happens beside the runtime.

mod shim;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use atta_core::protocol::AttemptId;
use atta_core::time::UnixMillis;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::supervisor::{Attached, Found, Frame, FromShim, ShimStream};
use shim::Kept;

/// As much as a socket holds.
const LINE: usize = 1 << 20;

/// What a program does, step by step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing, for so long.
    Sleep(Duration),
    /// It writes to stdout, or to stderr.
    Write {
        /// To stderr.
        to_stderr: bool,
        /// At most 64 KiB.
        bytes: Vec<u8>,
    },
}

/// A program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// What it does before it ends.
    pub steps: Vec<Step>,
    /// How it ends.
    pub code: u8,
    /// How long it takes to obey SIGTERM; one that does not is killed after the grace.
    pub obeys_after: Option<Duration>,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    Code(u8),
    /// By a signal.
    Signal(i32),
}

/// The rest of the world, as machines see it.
pub trait World {
    /// A program of an attempt begins: `script` or `after`.
    fn begin(&self, attempt: &AttemptId, name: &str) -> Program;
    /// Nothing of it is left.
    fn end(&self, attempt: &AttemptId, name: &str, how: Ended);
    /// The wall clock of the machine that a path is on.
    fn now(&self, path: &Path) -> UnixMillis;
    /// Whether the disk that a path is on has no room.
    fn disk_is_full(&self, path: &Path) -> bool;
}

/// A shim that lives.
struct Shim {
    kept: Arc<Mutex<Kept>>,
    visitors: mpsc::UnboundedSender<DuplexStream>,
    task: AbortHandle,
}

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
    static WORLD: RefCell<Option<Rc<dyn World>>> = const { RefCell::new(None) };
    static SHIMS: RefCell<BTreeMap<PathBuf, Shim>> = const { RefCell::new(BTreeMap::new()) };
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on ants of this thread run in this world.
pub fn enter(world: Rc<dyn World>) {
    ON.set(true);
    SHIMS.take();
    WORLD.replace(Some(world));
}

/// The simulation is over.
pub fn leave() {
    ON.set(false);
    SHIMS.take();
    WORLD.take();
}

/// Attempts whose shims live on the machine with this data directory, in order.
pub fn shims(data_dir: &Path) -> Vec<AttemptId> {
    SHIMS.with_borrow(|shims| {
        shims.keys().filter(|root| root.starts_with(data_dir)).map(|root| attempt_of(root)).collect()
    })
}

/// The shim of an attempt is killed by force, and its tree with it.
pub fn kill_shim(data_dir: &Path, attempt: &AttemptId) {
    let root = SHIMS.with_borrow(|shims| {
        shims.keys().find(|root| root.starts_with(data_dir) && attempt_of(root) == *attempt).cloned()
    });
    if let Some(root) = root {
        end_shim(&root);
    }
}

/// The machine with this data directory stops: no process is left on it.
pub fn stop_machine(data_dir: &Path) {
    let roots: Vec<PathBuf> =
        SHIMS.with_borrow(|shims| shims.keys().filter(|root| root.starts_with(data_dir)).cloned().collect());
    for root in roots {
        end_shim(&root);
    }
}

pub(crate) fn is_on() -> bool {
    ON.get()
}

fn world() -> Option<Rc<dyn World>> {
    WORLD.with_borrow(Clone::clone)
}

pub(crate) fn disk_is_full(path: &Path) -> bool {
    world().is_some_and(|world| world.disk_is_full(path))
}

/// A new shim, and the line to it.
pub(crate) fn start_shim() -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(LINE);
    tokio::spawn(shim::run(theirs));
    ours
}

/// What there is of an attempt whose shim lives.
pub(crate) fn examine(root: &Path) -> Option<Found> {
    SHIMS.with_borrow(|shims| {
        let shim = shims.get(root)?;
        let kept = locked(&shim.kept);
        let (ours, theirs) = tokio::io::duplex(LINE);
        shim.visitors.send(theirs).ok()?;
        let incoming = kept.outcome.as_ref().map(FromShim::encode).unwrap_or_default();
        Some(Found::Shim(kept.here(), Attached { stream: ShimStream::Simulated(ours), incoming }))
    })
}

/// The tree at the other end of a line is killed.
pub(crate) fn kill(line: DuplexStream) {
    // The shim reads it when it reads anything.
    tokio::spawn(shim::say_kill(line));
}

fn attempt_of(root: &Path) -> AttemptId {
    AttemptId(root.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

fn end_shim(root: &Path) {
    let Some(shim) = SHIMS.with_borrow_mut(|shims| shims.remove(root)) else { return };
    shim.task.abort();
    let running = locked(&shim.kept).running.take();
    if let (Some(name), Some(world)) = (running, world()) {
        world.end(&attempt_of(root), &name, Ended::Signal(9));
    }
}
