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
<<<<<<< HEAD
pub use http::{Reply, Request};
pub use server::{APP_KEY, Fake, TOKEN};
pub use serving::Logged;
=======
pub use git_http::{GitServer, Served};
pub use server::{APP_KEY, Fake, Logged, TOKEN};
>>>>>>> 7b7e07e (Merge what was said twice; the whole text of an issue; tests of git over HTTP, of after_script and of a new day)
pub use state::{Check, Comment, Issue, Label, Pull, Repo, Review, ReviewComment, State};
