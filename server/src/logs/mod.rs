//! Attempt logs by byte offset.
