//! What templates see: the job's names, its tasks, and the functions that reach into the queen.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use atta_core::definition::{JobDefinition, Method, TaskDefinition, TemplateText, VariableValue};
use atta_core::engine::{AttemptNumber, AttemptResult, Effect, Event, JobState, RoutedFrom, TaskIndex};
use atta_core::template::{
    Builtins, ConfigValues, Functions, Origin, Renderer, Scope, TaskValues, TaskView, TemplateProblem, Variables,
    VariablesBuilder, is_truthy,
};
use atta_core::time::Clock;
use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::live::LiveJob;
use crate::store::{AttemptRow, ColumnName, JobRow};

/// Jobs by definition and state, as `count_jobs` and the scheduler see them. They equal the database's, with what the
/// running batch is about to store.
#[derive(Debug, Default)]
pub(super) struct JobCounts(Mutex<HashMap<String, BTreeMap<JobState, u64>>>);

impl JobCounts {
    fn locked<T>(&self, f: impl FnOnce(&mut HashMap<String, BTreeMap<JobState, u64>>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces all counts.
    pub(super) fn reset(&self, counts: Vec<(String, JobState, u64)>) {
        self.locked(|all| {
            all.clear();
            for (job_type, state, count) in counts {
                all.entry(job_type).or_default().insert(state, count);
            }
        });
    }

    /// A new job.
    pub(super) fn add(&self, job_type: &str, state: JobState) {
        self.locked(|all| *all.entry(job_type.to_owned()).or_default().entry(state).or_default() += 1);
    }

    /// A job is no more.
    pub(super) fn remove(&self, job_type: &str, state: JobState) {
        self.locked(|all| {
            if let Some(count) = all.get_mut(job_type).and_then(|counts| counts.get_mut(&state)) {
                *count = count.saturating_sub(1);
            }
        });
    }

    /// A job changed state.
    pub(super) fn change(&self, job_type: &str, from: JobState, to: JobState) {
        self.locked(|all| {
            let counts = all.entry(job_type.to_owned()).or_default();
            if let Some(count) = counts.get_mut(&from) {
                *count = count.saturating_sub(1);
            }
            *counts.entry(to).or_default() += 1;
        });
    }

    /// Jobs of all definitions, by state.
    pub(super) fn totals(&self) -> BTreeMap<JobState, u64> {
        self.locked(|all| {
            let mut totals = BTreeMap::new();
            for (state, count) in all.values().flatten() {
                *totals.entry(*state).or_default() += *count;
            }
            totals
        })
    }

    fn sum(&self, job_type: &str, states: &HashSet<JobState>) -> u64 {
        self.locked(|all| {
            let counts = all.get(job_type).into_iter().flatten();
            counts.filter(|(state, _)| states.is_empty() || states.contains(state)).map(|(_, count)| count).sum()
        })
    }
}

/// The functions of templates that are rendered by the queen.
pub(super) struct QueenFunctions {
    pub(super) counts: Arc<JobCounts>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Functions for QueenFunctions {
    fn count_jobs(&self, job_type: &str, states: &[String]) -> Result<i64, String> {
        let states = states
            .iter()
            .map(|name| {
                JobState::NAMES
                    .iter()
                    .find(|(_, known)| known.eq_ignore_ascii_case(name))
                    .map(|(state, _)| *state)
                    .ok_or_else(|| {
                        let known: Vec<_> = JobState::NAMES.iter().map(|(_, name)| *name).collect();
                        format!("{name} is no state of a job; there are {}", known.join(", "))
                    })
            })
            .collect::<Result<HashSet<_>, _>>()?;
        i64::try_from(self.counts.sum(job_type, &states)).map_err(|error| error.to_string())
    }

    fn now(&self) -> Result<String, String> {
        Ok(self.clock.now().to_rfc3339())
    }

    fn env(&self, name: &str) -> Result<Option<String>, String> {
        Err(format!("{name} is not on the server's list of variables that templates may read, which is empty"))
    }
}

/// The tasks of a live job as templates see them, kept up to date event by event.
#[derive(Debug)]
pub(super) struct TaskTable {
    names: Arc<[String]>,
    known: Arc<HashSet<String>>,
    /// Tasks that something has happened to.
    values: Mutex<HashMap<String, TaskSnapshot>>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct TaskSnapshot {
    pub(super) state: &'static str,
    pub(super) result: Option<AttemptResult>,
    pub(super) outputs: Option<Arc<IndexMap<String, Value>>>,
    pub(super) artifacts: Vec<String>,
    /// Somebody else wrote the outputs: people who voted, or whoever writes on GitHub.
    pub(super) from_outside: bool,
}

impl TaskTable {
    pub(super) fn new(names: Arc<[String]>, known: Arc<HashSet<String>>) -> Self {
        Self { names, known, values: Mutex::default() }
    }

    fn set(&self, name: &str, snapshot: TaskSnapshot) {
        self.values.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), snapshot);
    }
}

impl TaskView for TaskTable {
    fn names(&self) -> &[String] {
        &self.names
    }

    fn get(&self, name: &str) -> Option<TaskValues> {
        if !self.known.contains(name) {
            return None;
        }
        let snapshot = self.values.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let Some(snapshot) = snapshot else {
            return Some(TaskValues { state: "PENDING".to_owned(), ..TaskValues::default() });
        };
        Some(TaskValues {
            state: snapshot.state.to_owned(),
            exit_code: snapshot.result.and_then(AttemptResult::exit_code).map(i64::from),
            result: snapshot.result.map(|result| Value::from(result.as_str())),
            outputs: snapshot.outputs.map(|outputs| (*outputs).clone()),
            outputs_origin: if snapshot.from_outside { Origin::Outside } else { Origin::Trusted },
            artifacts: snapshot.artifacts,
        })
    }
}

/// Whether rendering the text needs any name.
fn is_plain(text: &str) -> bool {
    !text.contains('{')
}

/// The names of a job that has no tasks yet: params, job variables, some built-ins.
pub(super) fn submission_variables(
    definition: &JobDefinition,
    row: &JobRow,
    params: &Map<String, Value>,
    configs: ConfigValues,
    renderer: &Renderer,
) -> Variables {
    let params: IndexMap<String, Value> = params.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    Variables::builder()
        .params(&params, &definition.params)
        .job_variables(&definition.job_variables)
        .configs(configs)
        .builtins(job_builtins(row))
        .build(renderer)
}

fn job_builtins(row: &JobRow) -> Builtins {
    Builtins::new()
        .with("JobID", row.id.0.as_str())
        .with("JobType", row.job_type.as_str())
        .with("JobVersion", row.version.as_str())
        .with("OrgID", "default")
        .with("SubmittedBy", row.submitted_by.as_str())
        .with("ScheduledAt", row.scheduled_at.unwrap_or(row.created_at).to_rfc3339())
        .with_some("ParentJobID", row.origin.parent.as_ref().map(|job| job.0.as_str()))
}

/// `RoutedFrom`: the edge that started the visit, a list if there are several.
fn routed_from(edges: &str) -> Option<Value> {
    let edges: Vec<RoutedFrom> = serde_json::from_str(edges).ok()?;
    let mut values: Vec<Value> = edges.iter().filter_map(|edge| serde_json::to_value(edge).ok()).collect();
    match values.len() {
        0 => None,
        1 => values.pop(),
        _ => Some(Value::Array(values)),
    }
}

impl LiveJob {
    /// The built-ins of the job, and of one of its attempts.
    pub(super) fn builtins(&self, attempt: Option<&AttemptRow>) -> Builtins {
        let mut builtins = job_builtins(&self.row);
        if self.run.job_attempt() > 0 {
            builtins = builtins.with("JobAttempt", self.run.job_attempt()).with("Nonce", self.run.nonce());
        }
        if let Some((verdict, failure)) = self.run.verdict() {
            builtins = builtins
                .with("JobResult", verdict.as_str())
                .with("JobErrorCode", failure.map_or("", |failure| failure.code.as_str()));
        }
        if let Some(attempt) = attempt {
            builtins = builtins
                .with("TaskType", self.plan.task_name(attempt.task))
                .with("TaskVisit", attempt.visit)
                .with("TaskAttempt", attempt.task_attempt)
                .with_some("RoutedFrom", routed_from(&attempt.routed_from));
        }
        builtins
    }

    /// All names of the job with these built-ins; of the built-ins alone when no template needs more.
    pub(super) fn variables(&self, builtins: Builtins, renderer: &Renderer, all: bool) -> Variables {
        self.variables_with(builtins, renderer, all, |builder| builder)
    }

    /// The same with more names.
    pub(super) fn variables_with(
        &self,
        builtins: Builtins,
        renderer: &Renderer,
        all: bool,
        more: impl FnOnce(VariablesBuilder) -> VariablesBuilder,
    ) -> Variables {
        if !all {
            return Variables::builder().builtins(builtins).build(renderer);
        }
        let params: IndexMap<String, Value> =
            self.params.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let builder = Variables::builder()
            .params(&params, &self.definition.params)
            .job_variables(&self.definition.job_variables)
            .configs(self.secrets.values(&self.row.job_type))
            .builtins(builtins)
            .tasks(self.view.clone());
        more(builder).build(renderer)
    }

    /// The task's definition.
    pub(super) fn task(&self, task: TaskIndex) -> &TaskDefinition {
        &self.definition.tasks[task.0 as usize]
    }

    /// Whether `when` holds; an error says why it cannot be said.
    pub(super) fn evaluate_condition(&self, task: TaskIndex, visit: u32, renderer: &Renderer) -> Result<bool, String> {
        let definition = self.task(task);
        let Some(condition) = &definition.when else { return Ok(true) };
        let builtins = self.builtins(None).with("TaskType", definition.name.as_str()).with("TaskVisit", visit);
        let scope = self.variables(builtins, renderer, !is_plain(&condition.template.source));
        let text = renderer.render_text(&condition.template.source, &scope).map_err(|problem| {
            let key = if condition.negated { "except" } else { "when" };
            self.explain(key, &condition.template, &problem)
        })?;
        Ok(is_truthy(&text) != condition.negated)
    }

    /// The tags that an ant needs for an attempt, sorted.
    pub(super) fn render_tags(&self, number: AttemptNumber, renderer: &Renderer) -> Result<Vec<String>, String> {
        let Some(row) = self.attempts.get(&number) else { return Ok(Vec::new()) };
        let templates = &self.task(row.task).tags;
        let all = templates.iter().any(|tag| !is_plain(&tag.source));
        let scope = self.variables_of(row, renderer, all);
        let mut tags = templates
            .iter()
            .map(|tag| renderer.render_text(&tag.source, &scope).map_err(|problem| self.explain("tags", tag, &problem)))
            .collect::<Result<Vec<_>, _>>()?;
        tags.sort();
        tags.dedup();
        Ok(tags)
    }

    /// Renders `description` again. It never fails a job: an error leaves it as it was.
    pub(super) fn describe(&mut self, renderer: &Renderer) {
        if self.row.description_given {
            return;
        }
        let Some(template) = &self.definition.description else { return };
        let plain = is_plain(&template.source);
        if plain && self.row.description.is_some() {
            return;
        }
        let scope = self.variables(self.builtins(None), renderer, !plain);
        match renderer.render_text(&template.source, &scope) {
            Ok(text) => {
                if self.row.description.as_deref() != Some(&text) {
                    self.row.description = Some(text);
                    self.dirty.row = true;
                }
            }
            // Usual before the tasks have run whose outputs it names.
            Err(problem) => tracing::debug!(job = %self.row.id, %problem, "description not rendered"),
        }
    }

    /// A template's problem with its place in the definition.
    pub(super) fn explain(&self, key: &str, template: &TemplateText, problem: &TemplateProblem) -> String {
        explain(&self.version.source, key, template, problem)
    }

    /// Brings what templates see of the tasks up to date.
    pub(super) fn update_view(&self, event: &Event, effects: &[Effect]) {
        let mut tasks: Vec<TaskIndex> = Vec::new();
        for effect in effects {
            match effect {
                Effect::TaskChanged { task, .. } => tasks.push(*task),
                Effect::JobAttemptBegan { reset, .. } => tasks.extend(reset),
                _ => {}
            }
        }
        if let Event::AttemptFinished { attempt, .. } = event
            && let Some(info) = self.run.attempt(*attempt)
            // Of instances the task has something when all have settled.
            && !self.fan_outs.contains_key(&info.task)
        {
            tasks.push(info.task);
        }
        tasks.sort_unstable();
        tasks.dedup();
        for task in tasks {
            self.refresh_view(task);
        }
    }

    /// Sets what templates see of one task.
    pub(super) fn refresh_view(&self, task: TaskIndex) {
        let data = self.results.get(&task).filter(|data| data.current);
        let snapshot = TaskSnapshot {
            state: self.run.task_state(task).as_str(),
            result: data.and_then(|_| self.tasks.get(&task)).and_then(|row| row.result),
            outputs: data.map(|data| data.outputs.clone()),
            artifacts: data
                .map(|data| data.artifacts.iter().map(|file| file.path.clone()).collect())
                .unwrap_or_default(),
            from_outside: matches!(self.task(task).method, Method::Approval(_) | Method::Agent(_) | Method::Github(_)),
        };
        self.view.set(self.plan.task_name(task), snapshot);
    }
}

/// Renders a template of a definition's source; an error says which key on which line.
pub(super) fn render_text(
    source: &str,
    key: &str,
    template: &TemplateText,
    renderer: &Renderer,
    scope: &dyn Scope,
) -> Result<String, String> {
    renderer.render_text(&template.source, scope).map_err(|problem| explain(source, key, template, &problem))
}

/// Params with their templates rendered; a template that is one whole expression keeps its type.
pub(super) fn render_params(
    source: &str,
    key: &str,
    params: &IndexMap<String, VariableValue>,
    renderer: &Renderer,
    scope: &dyn Scope,
) -> Result<Map<String, Value>, String> {
    let rendered = params.iter().map(|(name, value)| {
        let mut render = |template: &TemplateText| {
            renderer
                .render_value(&template.source, scope)
                .map_err(|problem| explain(source, &format!("{key}.{name}"), template, &problem))
        };
        Ok((name.clone(), value.to_json(&mut render)?))
    });
    rendered.collect()
}

/// A template's problem with its place in the definition: `when (line 12): …`.
pub(super) fn explain(source: &str, key: &str, template: &TemplateText, problem: &TemplateProblem) -> String {
    let line = atta_core::definition::position(source, template.span.start).line;
    format!("{key} (line {line}): {problem}")
}
