//! The names of a job: params, job variables, configs, built-ins, tasks.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::problem::{E_CYCLE, E_UNDEFINED, did_you_mean};
use super::value::Data;
use super::{Namespace, Origin, Renderer, Scope, TemplateProblem, Value};
use crate::definition::{ParamSpec, VariableValue};

/// The names that Atta itself defines. Nobody else may take one.
pub const BUILTINS: &[&str] = &[
    "JobID",
    "JobType",
    "JobVersion",
    "JobAttempt",
    "RoutedFrom",
    "TaskType",
    "TaskVisit",
    "TaskAttempt",
    "Nonce",
    "ParentJobID",
    "OrgID",
    "SubmittedBy",
    "ScheduledAt",
    "JobResult",
    "JobErrorCode",
    "tasks",
    "params",
    "job_variables",
    "configs",
    "secrets",
];

/// The values of the built-ins, as far as they are known; what is not known is undefined.
#[derive(Debug, Clone, Default)]
pub struct Builtins {
    values: IndexMap<&'static str, Json>,
}

impl Builtins {
    /// None is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one; a name that is no built-in is ignored.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Json>) -> Self {
        if let Some(name) = BUILTINS.iter().find(|builtin| **builtin == name) {
            self.values.insert(name, value.into());
        }
        self
    }

    /// Sets one when it is known.
    #[must_use]
    pub fn with_some(self, name: &str, value: Option<impl Into<Json>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// The built-ins as environment variables: `JobID` → `ATTA_JOB_ID`; structures as JSON; null and unknown ones are left out.
    pub fn environment(&self) -> Vec<(String, String)> {
        let pairs = self.values.iter().filter_map(|(name, value)| {
            let text = match value {
                Json::Null => return None,
                Json::String(text) => text.clone(),
                other => other.to_string(),
            };
            Some((environment_name(name), text))
        });
        pairs.collect()
    }
}

/// `JobErrorCode` → `ATTA_JOB_ERROR_CODE`, `ParentJobID` → `ATTA_PARENT_JOB_ID`.
fn environment_name(name: &str) -> String {
    let mut result = String::from("ATTA");
    let mut lower_before = true;
    for c in name.chars() {
        if c.is_ascii_uppercase() && lower_before {
            result.push('_');
        }
        lower_before = c.is_ascii_lowercase();
        result.push(c.to_ascii_uppercase());
    }
    result
}

/// What a template sees of a task.
#[derive(Debug, Clone, Default)]
pub struct TaskValues {
    /// The state's name.
    pub state: String,
    /// Exit code of the latest attempt that has one.
    pub exit_code: Option<i64>,
    /// Result of the latest attempt.
    pub result: Option<Json>,
    /// Outputs of the latest attempt that ran; `None` when none ran.
    pub outputs: Option<IndexMap<String, Json>>,
    /// Who chose the outputs: [`Origin::Outside`] for tasks of agents.
    pub outputs_origin: Origin,
    /// Names of kept artifacts.
    pub artifacts: Vec<String>,
}

/// A job's tasks, looked up one by one.
pub trait TaskView: Send + Sync {
    /// All tasks' names.
    fn names(&self) -> &[String];
    /// What is known of a task; `None` when there is no such task.
    fn get(&self, name: &str) -> Option<TaskValues>;
}

/// The names of a job. Cheap to clone.
#[derive(Clone)]
pub struct Variables {
    inner: Arc<Inner>,
}

struct Inner {
    locals: IndexMap<String, Value>,
    params: Arc<Given>,
    configs: Arc<Given>,
    builtins: IndexMap<String, Value>,
    environment: Vec<(String, String)>,
    job_variables: IndexMap<String, VariableValue>,
    renderer: Renderer,
    rendered: Mutex<HashMap<String, Value>>,
    tasks: Option<Arc<dyn TaskView>>,
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Variables").field("names", &Scope::names(self)).finish_non_exhaustive()
    }
}

/// The configs that templates see: made once, used by every job of a definition. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ConfigValues(Arc<Given>);

impl ConfigValues {
    /// Of names and values.
    pub fn new(values: &IndexMap<String, Json>) -> Self {
        let values = values.iter().map(|(name, value)| (name.clone(), Value::trusted(value))).collect();
        Self(Arc::new(Given { title: "configs", values }))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.values.is_empty()
    }
}

impl Default for ConfigValues {
    fn default() -> Self {
        static NONE: LazyLock<ConfigValues> = LazyLock::new(|| ConfigValues::new(&IndexMap::new()));
        NONE.clone()
    }
}

/// Collects what a job's names stand for.
#[derive(Default)]
pub struct VariablesBuilder {
    params: IndexMap<String, Value>,
    configs: ConfigValues,
    builtins: Builtins,
    locals: IndexMap<String, Value>,
    job_variables: IndexMap<String, VariableValue>,
    tasks: Option<Arc<dyn TaskView>>,
}

impl fmt::Debug for VariablesBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VariablesBuilder").finish_non_exhaustive()
    }
}

impl VariablesBuilder {
    /// The job's params, defaults filled in. They come from outside, unless the definition lists their allowed values.
    #[must_use]
    pub fn params(mut self, params: &IndexMap<String, Json>, specs: &IndexMap<String, ParamSpec>) -> Self {
        for (name, value) in params {
            let chosen_by_author = specs.get(name).is_some_and(|spec| spec.allowed.is_some());
            let origin = if chosen_by_author { Origin::Trusted } else { Origin::Outside };
            self.params.insert(name.clone(), Value::from_json(value, origin));
        }
        for (name, spec) in specs {
            if !self.params.contains_key(name) {
                // An optional param that was not given and has no default is none.
                let default = spec.default.clone().unwrap_or(Json::Null);
                self.params.insert(name.clone(), Value::trusted(&default));
            }
        }
        self
    }

    /// The definition's job variables, rendered when they are first used.
    #[must_use]
    pub fn job_variables(mut self, variables: &IndexMap<String, VariableValue>) -> Self {
        self.job_variables.clone_from(variables);
        self
    }

    /// Organisation and definition configs (not the secret ones).
    #[must_use]
    pub fn configs(mut self, configs: ConfigValues) -> Self {
        self.configs = configs;
        self
    }

    /// Names that exist in one place only and hide all others: the item of a `fan_out`, a webhook's payload. They come
    /// from outside.
    #[must_use]
    pub fn local(mut self, name: &str, value: &Json) -> Self {
        self.locals.insert(name.to_owned(), Value::from_json(value, Origin::Outside));
        self
    }

    /// The built-ins that are known.
    #[must_use]
    pub fn builtins(mut self, builtins: Builtins) -> Self {
        self.builtins = builtins;
        self
    }

    /// The job's tasks.
    #[must_use]
    pub fn tasks(mut self, tasks: Arc<dyn TaskView>) -> Self {
        self.tasks = Some(tasks);
        self
    }

    /// The finished names; `renderer` renders the job variables.
    pub fn build(self, renderer: &Renderer) -> Variables {
        let environment = self.builtins.environment();
        let builtins = self.builtins.values.iter().map(|(name, value)| ((*name).to_owned(), Value::trusted(value)));
        Variables {
            inner: Arc::new(Inner {
                locals: self.locals,
                params: Arc::new(Given { title: "params", values: self.params }),
                configs: self.configs.0,
                builtins: builtins.collect(),
                environment,
                job_variables: self.job_variables,
                renderer: renderer.clone(),
                rendered: Mutex::default(),
                tasks: self.tasks,
            }),
        }
    }
}

impl Variables {
    /// Starts collecting.
    pub fn builder() -> VariablesBuilder {
        VariablesBuilder::default()
    }

    /// The built-ins as `ATTA_*` environment variables.
    pub fn environment(&self) -> &[(String, String)] {
        &self.inner.environment
    }

    /// A config as the value of an environment variable: text as it is, anything else as JSON.
    pub fn config(&self, name: &str) -> Option<String> {
        let value = self.inner.configs.values.get(name)?;
        match value.to_json().ok()? {
            Json::String(text) => Some(text),
            other => Some(other.to_string()),
        }
    }

    /// A job variable's value.
    pub fn job_variable(&self, name: &str) -> Result<Option<Value>, TemplateProblem> {
        Names { inner: self.inner.clone(), chain: None }.job_variable(name)
    }
}

impl Scope for Variables {
    fn get(&self, name: &str) -> Result<Option<Value>, TemplateProblem> {
        Names { inner: self.inner.clone(), chain: None }.get(name)
    }

    fn names(&self) -> Vec<String> {
        Scope::names(&Names { inner: self.inner.clone(), chain: None })
    }
}

/// The job variables whose values are being made right now.
struct Link {
    name: String,
    outer: Option<Arc<Self>>,
}

/// The names as seen from inside a chain of job variables.
#[derive(Clone)]
struct Names {
    inner: Arc<Inner>,
    chain: Option<Arc<Link>>,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}

impl Names {
    fn job_variable(&self, name: &str) -> Result<Option<Value>, TemplateProblem> {
        let Some(variable) = self.inner.job_variables.get(name) else { return Ok(None) };
        let memo = self.inner.rendered.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if memo.is_some() {
            return Ok(memo);
        }
        let mut chain = vec![name];
        let mut link = self.chain.as_deref();
        while let Some(outer) = link {
            chain.push(&outer.name);
            if outer.name == name {
                chain.reverse();
                return Err(TemplateProblem::new(
                    E_CYCLE,
                    None,
                    format!("the job variable `{name}` refers to itself: {}", chain.join(" → ")),
                ));
            }
            link = outer.outer.as_deref();
        }
        if chain.len() > 16 {
            return Err(TemplateProblem::limit(None, "more than 16 job variables refer to one another in a chain"));
        }
        let link = Arc::new(Link { name: name.to_owned(), outer: self.chain.clone() });
        let inside = Self { inner: self.inner.clone(), chain: Some(link) };
        let value = inside.resolve(variable).map_err(|problem| {
            let message = match problem.code {
                E_CYCLE => problem.message.clone(),
                _ => format!("in the job variable `{name}`: {}", problem.message),
            };
            TemplateProblem { message, ..problem }
        })?;
        self.inner.rendered.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value.clone());
        Ok(Some(value))
    }

    fn resolve(&self, variable: &VariableValue) -> Result<Value, TemplateProblem> {
        match variable {
            VariableValue::Text(template) => self.inner.renderer.evaluate(&template.source, self),
            VariableValue::Scalar(value) => Ok(Value::trusted(value)),
            VariableValue::List(items) => {
                Ok(Value::list(items.iter().map(|item| self.resolve(item)).collect::<Result<_, _>>()?))
            }
            VariableValue::Map(map) => {
                let entries = map.iter().map(|(key, item)| Ok((key.clone(), self.resolve(item)?)));
                Ok(Value::map(entries.collect::<Result<_, TemplateProblem>>()?))
            }
        }
    }
}

impl Scope for Names {
    fn get(&self, name: &str) -> Result<Option<Value>, TemplateProblem> {
        match name {
            "params" => return Ok(Some(Value::namespace(self.inner.params.clone()))),
            "configs" => return Ok(Some(Value::namespace(self.inner.configs.clone()))),
            "job_variables" => return Ok(Some(Value::namespace(Arc::new(self.clone())))),
            "tasks" => {
                let tasks = self.inner.tasks.as_ref();
                return Ok(tasks.map(|tasks| Value::namespace(Arc::new(Tasks { view: tasks.clone() }))));
            }
            _ => {}
        }
        if let Some(value) = self.inner.locals.get(name).or_else(|| self.inner.params.values.get(name)) {
            return Ok(Some(value.clone()));
        }
        if let Some(value) = self.job_variable(name)? {
            return Ok(Some(value));
        }
        if let Some(value) = self.inner.configs.values.get(name).or_else(|| self.inner.builtins.get(name)) {
            return Ok(Some(value.clone()));
        }
        if BUILTINS.contains(&name) {
            return Ok(Some(Value::undefined(format!("`{name}` is not known here"), None)));
        }
        Ok(None)
    }

    fn names(&self) -> Vec<String> {
        let inner = &self.inner;
        let given = inner
            .locals
            .keys()
            .chain(inner.params.values.keys())
            .chain(inner.configs.values.keys())
            .chain(inner.job_variables.keys());
        given.cloned().chain(BUILTINS.iter().map(|name| (*name).to_owned())).collect()
    }
}

impl Namespace for Names {
    fn title(&self) -> String {
        "job_variables".to_owned()
    }

    fn lookup(&self, name: &str) -> Result<Option<Value>, TemplateProblem> {
        self.job_variable(name)
    }

    fn names(&self) -> Vec<String> {
        self.inner.job_variables.keys().cloned().collect()
    }
}

#[derive(Debug)]
struct Given {
    title: &'static str,
    values: IndexMap<String, Value>,
}

impl Namespace for Given {
    fn title(&self) -> String {
        self.title.to_owned()
    }

    fn lookup(&self, name: &str) -> Result<Option<Value>, TemplateProblem> {
        Ok(self.values.get(name).cloned())
    }

    fn names(&self) -> Vec<String> {
        self.values.keys().cloned().collect()
    }
}

#[derive(Clone)]
struct Tasks {
    view: Arc<dyn TaskView>,
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tasks")
    }
}

impl Namespace for Tasks {
    fn title(&self) -> String {
        "tasks".to_owned()
    }

    fn lookup(&self, name: &str) -> Result<Option<Value>, TemplateProblem> {
        let Some(task) = self.view.get(name) else {
            // `tasks.unit-test` is `tasks.unit` minus `test`.
            let dashed = self
                .view
                .names()
                .iter()
                .find(|other| other.strip_prefix(name).is_some_and(|rest| rest.starts_with('-')));
            let help = match dashed {
                Some(dashed) => Some(format!("a name with a dash is written tasks['{dashed}']")),
                None => did_you_mean(name, self.view.names().iter().map(String::as_str))
                    .map(|meant| format!("did you mean `{meant}`?")),
            };
            return Err(TemplateProblem {
                code: E_UNDEFINED,
                message: format!("there is no task `{name}`"),
                offset: None,
                entry: 0,
                help,
            });
        };
        let outputs = match task.outputs {
            Some(outputs) => Value::map(
                outputs
                    .iter()
                    .map(|(key, value)| (key.clone(), Value::from_json(value, task.outputs_origin)))
                    .collect(),
            ),
            None => Value::undefined(format!("the task `{name}` has not run, it has no outputs"), None),
        };
        let plain = |value: Option<Json>| value.map_or(Value::of(Data::None), |value| Value::trusted(&value));
        let artifacts: Vec<Json> = task.artifacts.into_iter().map(Json::from).collect();
        Ok(Some(Value::namespace(Arc::new(Task {
            name: name.to_owned(),
            values: [
                ("state", Value::from(task.state)),
                ("exit_code", plain(task.exit_code.map(Json::from))),
                ("result", plain(task.result)),
                ("outputs", outputs),
                // File names are chosen by whoever wrote the files.
                ("artifacts", Value::from_json(&Json::Array(artifacts), task.outputs_origin)),
            ],
        }))))
    }

    fn names(&self) -> Vec<String> {
        self.view.names().to_vec()
    }

    fn closed(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct Task {
    name: String,
    values: [(&'static str, Value); 5],
}

impl Namespace for Task {
    fn title(&self) -> String {
        format!("tasks.{}", self.name)
    }

    fn lookup(&self, name: &str) -> Result<Option<Value>, TemplateProblem> {
        Ok(self.values.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone()))
    }

    fn names(&self) -> Vec<String> {
        self.values.iter().map(|(name, _)| (*name).to_owned()).collect()
    }

    fn closed(&self) -> bool {
        true
    }
}
