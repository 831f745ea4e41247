//! The workflows for Jira and Bitbucket.

mod faults;
mod implement;
mod picker;
mod pull_request;
mod world;
