#![doc = include_str!("../README.md")]
#![expect(clippy::expect_used, reason = "it is part of tests")]

mod contract;
mod faults;
mod http;
mod routes;
mod server;
mod shapes;
mod state;

pub use faults::{Fault, Rule};
pub use server::{APP_KEY, Fake, Logged, TOKEN};
pub use state::{Check, Comment, Issue, Label, Pull, Repo, Review, ReviewComment, State};
