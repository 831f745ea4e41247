//! The server over real HTTP. Every answer is checked against the API's own description.

mod access;
mod ant_line;
mod approvals;
mod artifacts;
mod configs;
mod dashboard;
mod definitions;
mod degradation;
mod envelope;
mod events;
mod expiry;
mod hooks;
mod jobs;
mod logs;
mod notifications;
mod openapi;
mod receivers;
mod rehearsals;
mod rig;
mod start;
mod terminal;
