//! What is assumed about results, conditions and items.

use std::collections::HashMap;

use crate::definition::{JobDefinition, Method};
use crate::engine::{AgentClass, AttemptResult, ResultName};

/// What is assumed about the tasks of a definition.
#[derive(Debug, Clone, Default)]
pub struct Assumptions {
    /// Results of a task's attempts in order; the last one repeats.
    pub(super) results: HashMap<String, Vec<AttemptResult>>,
    pub(super) conditions: HashMap<String, bool>,
    pub(super) items: HashMap<String, u32>,
}

/// Why an assumption cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssumeError {
    /// It is not of the form `TASK=RESULT`.
    #[error(
        "\"{0}\" is no assumption; write TASK=RESULT[,RESULT…], TASK.when=true, or TASK.items=3 for the items of a fan_out"
    )]
    Form(String),
    /// There is no such task.
    #[error("{0} assumes something of the task {1}, which the definition does not have{2}")]
    UnknownTask(String, String, String),
    /// A result that no task can have.
    #[error(
        "\"{0}\" is no result: write an exit code from 0 to 255, COMPLETED, FAILED, a name such as TIMED_OUT, or for an agent \
         a class such as NO_VERDICT"
    )]
    Result(String),
}

impl Assumptions {
    /// Reads one assumption: `unit-test=3`, `unit-test=3,3,0`, `review=REJECTED`, `deploy.when=false`, `build.items=4`.
    pub fn add(&mut self, definition: &JobDefinition, text: &str) -> Result<(), AssumeError> {
        let form = || AssumeError::Form(text.to_owned());
        let (left, right) = text.split_once('=').ok_or_else(form)?;
        let (left, right) = (left.trim(), right.trim());
        let find = |name: &str| definition.tasks.iter().find(|task| task.name == name);
        // Names may contain dots, so the whole is tried first.
        if find(left).is_none() {
            if let Some(task) = left.strip_suffix(".when").and_then(find) {
                let holds = right.parse().map_err(|_| form())?;
                self.conditions.insert(task.name.clone(), holds);
                return Ok(());
            }
            if let Some(task) = left.strip_suffix(".items").and_then(find) {
                let count = right.parse().ok().filter(|count| *count <= crate::definition::MOST_ITEMS);
                self.items.insert(task.name.clone(), count.ok_or_else(form)?);
                return Ok(());
            }
        }
        let Some(task) = find(left) else {
            let names = definition.tasks.iter().map(|task| task.name.as_str());
            let meant = crate::definition::closest(left, names);
            let meant = meant.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
            return Err(AssumeError::UnknownTask(text.to_owned(), left.to_owned(), meant));
        };
        let results: Vec<AttemptResult> =
            right.split(',').map(|word| result(&task.method, word.trim())).collect::<Result<_, _>>()?;
        self.results.insert(task.name.clone(), results);
        Ok(())
    }
}

fn result(method: &Method, word: &str) -> Result<AttemptResult, AssumeError> {
    let http = method.asks_over_http();
    if let Some(name) = ResultName::ALL.into_iter().find(|name| name.as_str() == word) {
        return Ok(AttemptResult::Named(name));
    }
    let agent = matches!(method, Method::Agent(_));
    if let Some(class) = AgentClass::parse(word).filter(|_| agent) {
        return Ok(AttemptResult::Agent(class));
    }
    match word {
        "COMPLETED" => return Ok(success(method)),
        "FAILED" if agent => return Ok(AttemptResult::Agent(AgentClass::Error)),
        "FAILED" if http => return Ok(AttemptResult::Http(500)),
        "FAILED" => return Ok(AttemptResult::Exit(1)),
        _ => {}
    }
    let code: u16 = word.parse().map_err(|_| AssumeError::Result(word.to_owned()))?;
    match code {
        _ if agent => {
            AgentClass::from_code(code).map(AttemptResult::Agent).ok_or_else(|| AssumeError::Result(word.to_owned()))
        }
        100..=599 if http => Ok(AttemptResult::Http(code)),
        0..=255 if !http => Ok(AttemptResult::Exit(code)),
        _ => Err(AssumeError::Result(word.to_owned())),
    }
}

/// What an attempt of this method ends with when all is well.
pub(super) fn success(method: &Method) -> AttemptResult {
    match method {
        Method::Http(_) | Method::Github(_) => AttemptResult::Http(200),
        Method::Agent(_) => AttemptResult::Agent(AgentClass::Done),
        Method::Approval(_) => AttemptResult::Named(ResultName::Approved),
        _ => AttemptResult::Exit(0),
    }
}
