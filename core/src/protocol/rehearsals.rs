//! What the HTTP API is asked about what a job would do. The answer is a [`crate::rehearsal::Rehearsal`].

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A definition, params, and what is assumed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RehearsalRequest {
    /// The YAML text of a definition; otherwise `job_type` names one that is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The text's file name, for messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// A stored definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_type: Option<String>,
    /// Its version: content hash or semantic version; the newest when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Parameters.
    #[serde(default)]
    pub params: Map<String, Value>,
    /// What is assumed, by task. What is not is: success.
    #[serde(default)]
    pub assume: IndexMap<String, TaskAssumption>,
}

/// What is assumed of a task.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskAssumption {
    /// What its attempts end with, in order; the last one repeats. Exit codes, statuses, `COMPLETED`, `FAILED`, names such as
    /// `TIMED_OUT`, classes of agents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<String>,
    /// Whether its `when` holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<bool>,
    /// How many items its `fan_out` has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<u32>,
    /// What it leaves whenever it has run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<IndexMap<String, Value>>,
}
