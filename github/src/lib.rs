#![doc = include_str!("../README.md")]

mod cache;
mod call;
mod credential;
mod failed;
mod hub;
mod operations;
mod session;
mod shape;

pub use failed::{Failed, Kind};
pub use hub::{Hub, Patience};
pub use session::{Done, Gate, Session};
