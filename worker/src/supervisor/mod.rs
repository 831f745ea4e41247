//! Process trees: the launcher that was forked before the first thread, one shim per attempt, and containment.
//!
//! A shim is a single-threaded process that starts a program, pumps its output into a spool file, watches its clocks and
//! does not end before the whole tree below it is gone. It is also the attempt's memory: when the ant at the other end of
//! its socket dies, it goes on and waits for the next one.

mod attach;
mod containment;
mod isolation;
mod keyboard;
mod launcher;
mod line;
mod output;
mod proc;
mod shim;
mod spool;
mod stream;
mod sys;
mod task;
mod terminal;
mod wire;

pub use isolation::{IsolationLevel, isolation_level};
pub use launcher::Launcher;

pub(crate) use attach::{Attached, Found, examine, kill_by_task_dir, rewrite_left};
pub(crate) use isolation::{ContainmentPlan, detect, sweep};
pub(crate) use launcher::StartFault;
pub(crate) use line::BEGUN;
pub(crate) use output::OF_STDOUT;
pub(crate) use spool::SpoolReader;
pub(crate) use stream::{FromShimHalf, ShimStream, ToShimHalf};
pub(crate) use wire::{
    ExitRecord, ExitStatus, Frame, FromShim, Here, SpawnRequest, StopCause, ToShim, VERSION, next_frame,
};
#[cfg(feature = "simulation")]
pub(crate) use {line::LEFT, output::Output, spool::HEADER};
