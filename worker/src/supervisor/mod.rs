//! Process trees: the launcher that was forked before the first thread, one shim per attempt, and containment.
//!
//! A shim is a single-threaded process that starts one program, pumps its output into a spool file, watches its clocks
//! and does not end before the whole tree below it is gone. It depends on nothing but its socket: when the ant at the
//! other end dies, the tree is killed.

mod containment;
mod isolation;
mod launcher;
mod proc;
mod shim;
mod spool;
mod sys;
mod wire;

pub use isolation::{IsolationLevel, isolation_level};
pub use launcher::Launcher;

pub(crate) use isolation::{ContainmentPlan, detect, sweep};
pub(crate) use launcher::StartFault;
pub(crate) use spool::SpoolReader;
pub(crate) use wire::{ExitRecord, ExitStatus, Frame, FromShim, SpawnRequest, StopCause, ToShim, next_frame};
