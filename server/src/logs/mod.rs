//! Attempt logs: raw bytes of all streams in order of arrival, addressed by byte offset.
//!
//! One file per attempt, `<job id>/<attempt number>.log`: frames of a 16-byte header (stream, length, time) and the
//! bytes as the process wrote them, so that content and index cannot disagree after a crash. A finished log that is
//! worth it becomes `.logz`: the same frames in independently compressed blocks with an index at the end, so that a
//! range costs one block. An attempt without output has no file.

mod follow;
mod frame;
mod packed;
mod reader;
mod store;

#[cfg(test)]
mod tests;

pub use follow::LogFollower;
pub use reader::{LogPiece, LogReader};
pub(crate) use store::stream_by_name;
pub use store::{LogError, LogStore};
