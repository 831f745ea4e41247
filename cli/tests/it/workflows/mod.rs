//! The workflows for GitHub and for Jira, from the label to the merge: the shipped files, the built program, a GitHub, a Jira and a
//! Bitbucket of the tests over HTTP, a bare repository, and stand-ins for agents.

mod ground;
mod implement;
mod jira;
mod learnings;
mod password;
mod phases;
mod picker;
mod pull_request;
mod review;
mod storm;
mod world;
