//! What is assumed about results, conditions and items.

use std::collections::HashMap;

use indexmap::IndexMap;
use serde_json::Value;

use crate::definition::{JobDefinition, Method, TaskDefinition};
use crate::engine::{AgentClass, AttemptResult, ResultName};

/// What is assumed about the tasks of a definition.
#[derive(Debug, Clone, Default)]
pub struct Assumptions {
    /// Results of a task's attempts in order; the last one repeats.
    pub(super) results: HashMap<String, Vec<AttemptResult>>,
    pub(super) conditions: HashMap<String, bool>,
    pub(super) items: HashMap<String, u32>,
    pub(super) outputs: HashMap<String, IndexMap<String, Value>>,
}

/// Why an assumption cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssumeError {
    /// It is not of the form `TASK=RESULT`.
    #[error(
        "\"{0}\" is no assumption; write TASK=RESULT[,RESULT…], TASK.when=true, TASK.items=3 for the items of a fan_out, or \
         TASK.outputs={{\"NAME\":\"VALUE\"}}"
    )]
    Form(String),
    /// There is no such task.
    #[error("{0} assumes something of the task {1}, which the definition does not have{2}")]
    UnknownTask(String, String, String),
    /// More items than a fan_out may have.
    #[error("{0} is no number of items: a fan_out may have {most}", most = crate::definition::MOST_ITEMS)]
    Items(u32),
    /// A result that no task can have.
    #[error(
        "\"{0}\" is no result: write an exit code from 0 to 255, COMPLETED, FAILED, a name such as TIMED_OUT, or for an agent \
         a class such as NO_VERDICT"
    )]
    Result(String),
}

impl Assumptions {
    /// Reads one assumption: `unit-test=3`, `unit-test=3,3,0`, `review=REJECTED`, `deploy.when=false`, `build.items=4`,
    /// `review.outputs={"verdict": "fine"}`.
    pub fn add(&mut self, definition: &JobDefinition, text: &str) -> Result<(), AssumeError> {
        let form = || AssumeError::Form(text.to_owned());
        let (left, right) = text.split_once('=').ok_or_else(form)?;
        let (left, right) = (left.trim(), right.trim());
        let known = |name: &str| definition.tasks.iter().any(|task| task.name == name);
        // Names may contain dots, so the whole is tried first.
        if !known(left) {
            if let Some(task) = left.strip_suffix(".when").filter(|task| known(task)) {
                return self.condition(definition, task, right.parse().map_err(|_| form())?);
            }
            if let Some(task) = left.strip_suffix(".items").filter(|task| known(task)) {
                return self.items(definition, task, right.parse().map_err(|_| form())?).map_err(|_| form());
            }
            if let Some(task) = left.strip_suffix(".outputs").filter(|task| known(task)) {
                return self.outputs(definition, task, serde_json::from_str(right).map_err(|_| form())?);
            }
        }
        self.results(definition, left, right.split(',')).map_err(|error| match error {
            AssumeError::UnknownTask(_, task, meant) => AssumeError::UnknownTask(text.to_owned(), task, meant),
            error => error,
        })
    }

    /// What the attempts of a task end with, in order; the last one repeats.
    pub fn results<'w>(
        &mut self,
        definition: &JobDefinition,
        task: &str,
        words: impl IntoIterator<Item = &'w str>,
    ) -> Result<(), AssumeError> {
        let task = find(definition, task)?;
        let results: Vec<AttemptResult> =
            words.into_iter().map(|word| result(&task.method, word.trim())).collect::<Result<_, _>>()?;
        self.results.insert(task.name.clone(), results);
        Ok(())
    }

    /// Whether the condition of a task holds.
    pub fn condition(&mut self, definition: &JobDefinition, task: &str, holds: bool) -> Result<(), AssumeError> {
        self.conditions.insert(find(definition, task)?.name.clone(), holds);
        Ok(())
    }

    /// How many items a task with `fan_out` has.
    pub fn items(&mut self, definition: &JobDefinition, task: &str, count: u32) -> Result<(), AssumeError> {
        let task = find(definition, task)?;
        if count > crate::definition::MOST_ITEMS {
            return Err(AssumeError::Items(count));
        }
        self.items.insert(task.name.clone(), count);
        Ok(())
    }

    /// What a task leaves whenever it has run.
    pub fn outputs(
        &mut self,
        definition: &JobDefinition,
        task: &str,
        outputs: IndexMap<String, Value>,
    ) -> Result<(), AssumeError> {
        self.outputs.insert(find(definition, task)?.name.clone(), outputs);
        Ok(())
    }
}

fn find<'d>(definition: &'d JobDefinition, name: &str) -> Result<&'d TaskDefinition, AssumeError> {
    definition.tasks.iter().find(|task| task.name == name).ok_or_else(|| {
        let names = definition.tasks.iter().map(|task| task.name.as_str());
        let meant = crate::definition::closest(name, names);
        let meant = meant.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        AssumeError::UnknownTask("this".to_owned(), name.to_owned(), meant)
    })
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
