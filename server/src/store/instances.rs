//! Rows of `task_instances`, and what a `fan_out` task has of all of them.

use atta_core::engine::{AttemptNumber, AttemptResult, Failure, TaskIndex, TaskState};
use indexmap::IndexMap;
use serde_json::{Value, json};

/// A row of `task_instances`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct InstanceRow {
    pub(crate) task: TaskIndex,
    /// From 0.
    pub(crate) instance: u32,
    /// The visit that the items were expanded for.
    pub(crate) visit: u32,
    pub(crate) key: String,
    pub(crate) state: TaskState,
    pub(crate) attempts: u32,
    pub(crate) last_attempt: Option<AttemptNumber>,
    pub(crate) result: Option<AttemptResult>,
    pub(crate) failure: Option<Failure>,
}

/// An instance as later tasks see it.
pub(crate) struct InstanceValues<'a> {
    pub(crate) index: u32,
    pub(crate) key: &'a str,
    pub(crate) state: TaskState,
    pub(crate) result: Option<&'a str>,
    pub(crate) exit_code: Option<u16>,
    pub(crate) outputs: &'a IndexMap<String, Value>,
}

/// The outputs of a `fan_out` task: of each declared output an array in the order of the items, null where it is missing;
/// and `results`, all that is known of each instance.
pub(crate) fn results_of_instances<'a>(
    declared: impl Iterator<Item = String>,
    instances: impl Iterator<Item = InstanceValues<'a>>,
) -> IndexMap<String, Value> {
    let mut arrays: IndexMap<String, Vec<Value>> = declared.map(|name| (name, Vec::new())).collect();
    let mut results = Vec::new();
    for instance in instances {
        for (name, array) in &mut arrays {
            array.push(instance.outputs.get(name).cloned().unwrap_or(Value::Null));
        }
        results.push(json!({
            "index": instance.index,
            "key": instance.key,
            "state": instance.state.as_str(),
            "result": instance.result,
            "exit_code": instance.exit_code,
            "outputs": instance.outputs,
        }));
    }
    let mut outputs: IndexMap<String, Value> =
        arrays.into_iter().map(|(name, array)| (name, Value::Array(array))).collect();
    outputs.insert("results".to_owned(), Value::Array(results));
    outputs
}
