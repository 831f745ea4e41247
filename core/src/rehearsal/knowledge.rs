//! What templates may know during a rehearsal: params, job variables, built-ins, states and results; outputs as far as they are
//! assumed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::definition::{JobDefinition, VariableValue};
use crate::engine::{AttemptResult, JobRun};
use crate::template::{Builtins, Renderer, TaskValues, TaskView, Variables, is_truthy};

/// The tasks as templates see them.
#[derive(Debug)]
pub(super) struct Tasks {
    names: Vec<String>,
    /// What tasks are assumed to leave.
    outputs: HashMap<String, IndexMap<String, Value>>,
    known: Mutex<HashMap<String, (String, Option<AttemptResult>)>>,
}

impl Tasks {
    pub(super) fn new(definition: &JobDefinition, outputs: HashMap<String, IndexMap<String, Value>>) -> Arc<Self> {
        let names: Vec<String> = definition.tasks.iter().map(|task| task.name.clone()).collect();
        let known = names.iter().map(|name| (name.clone(), ("PENDING".to_owned(), None))).collect();
        Arc::new(Self { names, outputs, known: Mutex::new(known) })
    }

    pub(super) fn set(&self, name: &str, state: &str, result: Option<AttemptResult>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(name.to_owned(), (state.to_owned(), result));
    }
}

impl TaskView for Tasks {
    fn names(&self) -> &[String] {
        &self.names
    }

    fn get(&self, name: &str) -> Option<TaskValues> {
        let (state, result) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()?;
        Some(TaskValues {
            state,
            exit_code: result.and_then(AttemptResult::exit_code).map(i64::from),
            result: result.map(|result| Value::from(result.as_str())),
            // They are there when the task has run.
            outputs: result.and_then(|_| self.outputs.get(name).cloned()),
            ..TaskValues::default()
        })
    }
}

/// Evaluates what a definition asks while its job would run.
pub(super) struct Knowledge<'a> {
    pub(super) definition: &'a JobDefinition,
    pub(super) params: &'a Map<String, Value>,
    pub(super) tasks: Arc<Tasks>,
    pub(super) renderer: Renderer,
}

impl Knowledge<'_> {
    fn variables(&self, run: Option<&JobRun>, of_task: Option<(&str, u32)>) -> Variables {
        let mut builtins = Builtins::new()
            .with("JobType", self.definition.job_type.as_str())
            .with("JobVersion", self.definition.version.as_deref().unwrap_or_default())
            .with("JobID", "job_of_the_plan")
            .with("OrgID", "default")
            .with("SubmittedBy", "plan");
        if let Some(run) = run {
            builtins = builtins.with("JobAttempt", run.job_attempt()).with("Nonce", run.nonce());
        }
        if let Some((task, visit)) = of_task {
            builtins = builtins.with("TaskType", task).with("TaskVisit", visit);
        }
        let params: IndexMap<String, Value> =
            self.params.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let variables = Variables::builder()
            .params(&params, &self.definition.params)
            .job_variables(&self.definition.job_variables)
            .builtins(builtins);
        match run {
            Some(_) => variables.tasks(self.tasks.clone()).build(&self.renderer),
            None => variables.build(&self.renderer),
        }
    }

    /// A text that only needs what is known before the job runs.
    pub(super) fn text(&self, source: &str) -> Result<String, String> {
        self.renderer.render_text(source, &self.variables(None, None)).map_err(|problem| problem.to_string())
    }

    /// The reason for which the job would be skipped.
    pub(super) fn skip_reason(&self) -> Result<Option<String>, String> {
        let Some(template) = &self.definition.skip_if else { return Ok(None) };
        let text = self.text(&template.source)?;
        Ok(is_truthy(&text).then_some(text))
    }

    /// Whether the task's condition holds.
    pub(super) fn condition(&self, run: &JobRun, task: usize, visit: u32) -> Result<bool, String> {
        let task = &self.definition.tasks[task];
        let Some(condition) = &task.when else { return Ok(true) };
        let scope = self.variables(Some(run), Some((&task.name, visit)));
        let text =
            self.renderer.render_text(&condition.template.source, &scope).map_err(|problem| problem.to_string())?;
        Ok(is_truthy(&text) != condition.negated)
    }

    /// How many items the task's fan_out has.
    pub(super) fn item_count(&self, run: &JobRun, task: usize, visit: u32) -> Result<u32, String> {
        let task = &self.definition.tasks[task];
        let Some(fan_out) = &task.fan_out else { return Ok(0) };
        let count = match &fan_out.items {
            VariableValue::List(items) => items.len(),
            VariableValue::Text(template) => {
                let scope = self.variables(Some(run), Some((&task.name, visit)));
                let value =
                    self.renderer.render_value(&template.source, &scope).map_err(|problem| problem.to_string())?;
                let value = match value {
                    Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
                    value => value,
                };
                value.as_array().map(Vec::len).ok_or_else(|| "it is no array".to_owned())?
            }
            _ => return Err("it is no array".to_owned()),
        };
        u32::try_from(count)
            .ok()
            .filter(|count| *count <= crate::definition::MOST_ITEMS)
            .ok_or_else(|| format!("{count} items are too many"))
    }
}
