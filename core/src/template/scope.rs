//! Where names come from.

use std::collections::BTreeMap;

use super::{TemplateProblem, Value};

/// The names that a template may use.
pub trait Scope: Send + Sync {
    /// The value of a bare name; `None` when there is no such name. An error is a name whose value cannot be made
    /// (a job variable that refers to itself, …).
    fn get(&self, name: &str) -> Result<Option<Value>, TemplateProblem>;
    /// All names, for "did you mean".
    fn names(&self) -> Vec<String>;
}

/// A scope of given values.
impl Scope for BTreeMap<String, Value> {
    fn get(&self, name: &str) -> Result<Option<Value>, TemplateProblem> {
        Ok(BTreeMap::get(self, name).cloned())
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

/// Functions that reach out of the template. An error makes rendering fail.
pub trait Functions: Send + Sync {
    /// How many jobs of a type are in one of the states (all states when none is given).
    fn count_jobs(&self, job_type: &str, states: &[String]) -> Result<i64, String>;
    /// The time now, RFC 3339 in UTC.
    fn now(&self) -> Result<String, String>;
    /// A variable of the queen's environment; an error when it is not on the allow-list, `None` when it is not set.
    fn env(&self, name: &str) -> Result<Option<String>, String>;
}

/// No function is available: each use is an error.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFunctions;

impl Functions for NoFunctions {
    fn count_jobs(&self, _: &str, _: &[String]) -> Result<i64, String> {
        Err("count_jobs() is not available here".to_owned())
    }

    fn now(&self) -> Result<String, String> {
        Err("now() is not available here".to_owned())
    }

    fn env(&self, _: &str) -> Result<Option<String>, String> {
        Err("env() is not available here".to_owned())
    }
}
