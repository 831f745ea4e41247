//! Resources about ants.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AntId, AttemptId};

/// Whether an ant lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AntState {
    /// The server was started again, and the ant has not asked for work since.
    Awaited,
    /// It was heard of a moment ago.
    Live,
    /// It was not heard of for a while; soon it counts as lost.
    Silent,
    /// It was not heard of for a whole lease: what it ran is lost.
    Lost,
}

impl AntState {
    /// The name that it has in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Awaited => "AWAITED",
            Self::Live => "LIVE",
            Self::Silent => "SILENT",
            Self::Lost => "LOST",
        }
    }
}

/// What people want of an ant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AntMode {
    /// It gets work.
    Open,
    /// It gets no new work.
    Cordoned,
    /// It gets no new work, and somebody waits until it has none.
    Draining,
}

impl AntMode {
    /// The name that it has in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Cordoned => "CORDONED",
            Self::Draining => "DRAINING",
        }
    }
}

/// An ant, as the server knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AntResource {
    /// Its name.
    #[schema(value_type = String)]
    pub ant_id: AntId,
    /// Whether it lives.
    pub state: AntState,
    /// What people want of it.
    pub mode: AntMode,
    /// When its process was first heard of, RFC 3339.
    pub since: String,
    /// When it was last heard of since the server started, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heard_at: Option<String>,
    /// How many attempts it can run at once.
    pub slots: u32,
    /// How many it has; with mode DRAINING and none it may be taken away.
    pub used: u32,
    /// Its tags.
    pub tags: Vec<String>,
    /// The attempts that it has.
    #[schema(value_type = Vec<String>)]
    pub attempts: Vec<AttemptId>,
    /// What waits on its disk for the server, as it said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spool: Option<AntSpool>,
}

/// The output of tasks that an ant could not deliver yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AntSpool {
    /// Bytes that have waited for ten seconds or longer.
    pub bytes: u64,
    /// When the first of them was written, RFC 3339; absent when nothing waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Bytes that may wait while the server is away; beyond that output is left out.
    pub limit_bytes: u64,
    /// Seconds that output may wait while the server is away; then it is left out. An ant of an earlier version does not
    /// say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_seconds: Option<u64>,
}
