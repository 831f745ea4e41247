#![doc = include_str!("../README.md")]
#![expect(clippy::expect_used, reason = "it is part of tests")]

mod bitbucket;
mod jira;
mod site;
mod state;

pub use atta_fake_github::{Fault, Rule};
pub use site::{Atlassian, Fake, LOGIN, TOKEN};
pub use state::{Comment, Issue, Pull, Remark, State, Status, account};

/// The repository of Bitbucket.
pub const REPO: &str = "acme/shop";
/// The project of Jira.
pub const PROJECT: &str = "SHOP";
