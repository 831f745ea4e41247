//! The workflows for GitHub, from the label to the merge: the shipped files, the built program, a GitHub of the tests over HTTP, a
//! bare repository, and stand-ins for agents.

mod implement;
mod phases;
mod picker;
mod pull_request;
mod review;
mod storm;
mod world;
