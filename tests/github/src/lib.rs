#![doc = include_str!("../README.md")]
#![expect(clippy::expect_used, reason = "it is part of tests")]

pub mod contract;
mod faults;
mod git_http;
mod http;
mod routes;
mod server;
pub mod serving;
mod shapes;
mod state;

pub use faults::{Fault, Rule};
pub use git_http::{GitServer, Served};
pub use http::{Reply, Request};
pub use server::{APP_KEY, Fake, TOKEN};
pub use serving::Logged;
pub use state::{Check, Comment, Issue, Label, Pull, Repo, Review, ReviewComment, State};
