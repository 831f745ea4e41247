//! States as they are written in columns: the names of the API. Reading is checked, a foreign value is an error.

use atta_core::definition::Priority;
use atta_core::engine::{AgentClass, AttemptResult, AttemptState, JobState, ResultName, SkipReason, TaskState};

use super::StoreError;

/// An enum with one name per variant in a column.
pub(crate) trait ColumnName: Copy + PartialEq + 'static {
    /// All values with their names.
    const NAMES: &'static [(Self, &'static str)];

    /// The name that is stored.
    fn column_name(self) -> &'static str {
        Self::NAMES.iter().find(|(value, _)| *value == self).map_or("?", |(_, name)| name)
    }

    /// The value that a stored name stands for.
    fn from_column(table: &'static str, column: &'static str, name: &str) -> Result<Self, StoreError> {
        Self::NAMES
            .iter()
            .find(|(_, candidate)| *candidate == name)
            .map(|(value, _)| *value)
            .ok_or_else(|| StoreError::Value { table, column, value: name.to_owned() })
    }
}

impl ColumnName for JobState {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::Pending, "PENDING"),
        (Self::Running, "RUNNING"),
        (Self::Waiting, "WAITING"),
        (Self::Paused, "PAUSED"),
        (Self::Cancelling, "CANCELLING"),
        (Self::Completed, "COMPLETED"),
        (Self::Failed, "FAILED"),
        (Self::Blocked, "BLOCKED"),
        (Self::Cancelled, "CANCELLED"),
        (Self::Skipped, "SKIPPED"),
    ];
}

impl ColumnName for TaskState {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::Pending, "PENDING"),
        (Self::Ready, "READY"),
        (Self::Leased, "LEASED"),
        (Self::Running, "RUNNING"),
        (Self::Waiting, "WAITING"),
        (Self::Completed, "COMPLETED"),
        (Self::Failed, "FAILED"),
        (Self::Skipped, "SKIPPED"),
        (Self::Cancelled, "CANCELLED"),
    ];
}

impl ColumnName for AttemptState {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::Ready, "READY"),
        (Self::Leased, "LEASED"),
        (Self::Running, "RUNNING"),
        (Self::Waiting, "WAITING"),
        (Self::Finished, "FINISHED"),
    ];
}

impl ColumnName for SkipReason {
    const NAMES: &'static [(Self, &'static str)] =
        &[(Self::When, "when"), (Self::UpstreamFailed, "upstream_failed"), (Self::NotReached, "not_reached")];
}

/// How an attempt's result is stored: `result` and `exit_code`.
pub(crate) fn result_columns(result: AttemptResult) -> (&'static str, Option<i64>) {
    (result.as_str(), result.exit_code().map(i64::from))
}

/// The result that the columns `result` and `exit_code` stand for.
pub(crate) fn result_from_columns(
    table: &'static str,
    result: &str,
    exit_code: Option<i64>,
) -> Result<AttemptResult, StoreError> {
    let wrong = |value: String| StoreError::Value { table, column: "result", value };
    // An agent's classes are names of their own, and the number goes with the name.
    if let Some(class) = AgentClass::parse(result) {
        return Ok(AttemptResult::Agent(class));
    }
    if let Some(code) = exit_code {
        let code = u16::try_from(code).map_err(|_| wrong(format!("{result} {code}")))?;
        // Only 0 is success for a process, and no exit code is above 255: nothing has both meanings.
        let http = code > 255 || (result == "COMPLETED" && code != 0);
        return Ok(if http { AttemptResult::Http(code) } else { AttemptResult::Exit(code) });
    }
    ResultName::ALL
        .into_iter()
        .find(|name| name.as_str() == result)
        .map(AttemptResult::Named)
        .ok_or_else(|| wrong(result.to_owned()))
}

/// 0 is CRITICAL.
pub(crate) fn priority_column(priority: Priority) -> i64 {
    match priority {
        Priority::Critical => 0,
        Priority::High => 1,
        Priority::Normal => 2,
        Priority::Low => 3,
    }
}

/// The priority that `jobs.priority` stands for.
pub(crate) fn priority_from_column(value: i64) -> Result<Priority, StoreError> {
    Ok(match value {
        0 => Priority::Critical,
        1 => Priority::High,
        2 => Priority::Normal,
        3 => Priority::Low,
        _ => return Err(StoreError::Value { table: "jobs", column: "priority", value: value.to_string() }),
    })
}

/// A count as it is stored.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count or number that is stored as a signed integer.
pub(crate) fn unsigned<T: TryFrom<i64>>(
    table: &'static str,
    column: &'static str,
    value: i64,
) -> Result<T, StoreError> {
    T::try_from(value).map_err(|_| StoreError::Value { table, column, value: value.to_string() })
}
