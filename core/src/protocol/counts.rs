//! Jobs, counted, as the HTTP API answers.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::engine::JobState;

/// How many jobs there are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct JobCounts {
    /// How many are in each state; states that none is in are absent.
    pub states: IndexMap<String, u32>,
    /// All of them together.
    pub total: u32,
    /// States in which there may be more than were counted: counting ends at some number.
    pub at_least: Vec<JobState>,
    /// What of them waits for somebody.
    pub needs: NeedCounts,
}

/// Jobs that a task has made, counted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ForkedCounts {
    /// How many there are.
    pub total: u32,
    /// How many are in each state; states that none is in are absent.
    pub counts: IndexMap<String, u32>,
}

/// How many jobs wait for somebody, by what they wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct NeedCounts {
    /// Questions that are open: approvals.
    pub approvals: u32,
    /// Jobs that are PAUSED because a budget is used up.
    pub budgets: u32,
    /// Jobs that are PAUSED for any other reason.
    pub paused: u32,
    /// Jobs that ended as BLOCKED.
    pub blocked: u32,
}
