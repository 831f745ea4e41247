//! Instances of tasks with `fan_out`: their items, what each has left, and what the task has of all of them.

use std::collections::HashMap;
use std::sync::Arc;

use atta_core::definition::{FanOut, MOST_ITEMS, TemplateText, VariableValue};
use atta_core::engine::{AttemptNumber, AttemptResult, Effect, FanOutItem, TaskIndex, TaskState};
use atta_core::protocol::ant::ArtifactFile;
use atta_core::template::{Renderer, Scope, TemplateProblem, Value as TemplateValue, Variables, VariablesBuilder};
use indexmap::IndexMap;
use serde_json::Value;

use super::live::{LiveJob, TaskData};
use crate::store::{AttemptRow, InstanceRow, InstanceValues, json, results_of_instances};

/// Bytes that the items of one task may have as JSON: they are stored with the event.
const MOST_BYTES: usize = 4 << 20;
/// Bytes that the outputs of all instances of a task may have together: later tasks see them as one array.
const MOST_OUTPUTS: usize = 32 << 20;
/// Longest key of an item.
const LONGEST_KEY: usize = 100;
/// Steps of the template of a key: it is rendered for each item.
const KEY_FUEL: u64 = 2_000;
/// Bytes of one environment value, with room for its name.
const LONGEST_ITEM: usize = 127 * 1024;

/// The instances of a task's latest expansion.
#[derive(Debug, Default)]
pub(super) struct Instances {
    pub(super) items: Vec<FanOutItem>,
    pub(super) rows: Vec<InstanceRow>,
    left: Vec<Left>,
    /// Bytes of the outputs of all.
    output_bytes: usize,
}

/// What the latest finished attempt of an instance left.
#[derive(Debug, Default, Clone)]
pub(super) struct Left {
    outputs: Arc<IndexMap<String, Value>>,
    output_bytes: usize,
    artifacts: Vec<ArtifactFile>,
}

impl Left {
    pub(super) fn new(outputs: Arc<IndexMap<String, Value>>, artifacts: Vec<ArtifactFile>) -> Self {
        Self { output_bytes: size(&outputs), outputs, artifacts }
    }
}

impl Instances {
    fn new(task: TaskIndex, visit: u32, items: &[FanOutItem]) -> Self {
        let rows = items.iter().zip(0..).map(|(item, instance)| InstanceRow {
            task,
            instance,
            visit,
            key: item.key.clone(),
            state: TaskState::Pending,
            attempts: 0,
            last_attempt: None,
            result: None,
            failure: None,
        });
        Self { rows: rows.collect(), left: vec![Left::default(); items.len()], items: items.to_vec(), output_bytes: 0 }
    }

    fn row(&mut self, instance: u32) -> Option<&mut InstanceRow> {
        self.rows.get_mut(instance as usize)
    }

    fn leave(&mut self, instance: u32, new: Left) {
        let Some(left) = self.left.get_mut(instance as usize) else { return };
        self.output_bytes = self.output_bytes - left.output_bytes + new.output_bytes;
        *left = new;
    }

    /// What the latest finished attempt of one of them kept, by its own paths.
    pub(super) fn artifacts(&self, instance: u32) -> &[ArtifactFile] {
        self.left.get(instance as usize).map_or(&[], |left| &left.artifacts)
    }
}

fn size(outputs: &IndexMap<String, Value>) -> usize {
    if outputs.is_empty() { 0 } else { json(outputs).len() }
}

impl LiveJob {
    /// The answer to [`Effect::ExpandItems`]. An error is the sentence with which the visit ends as INVALID.
    pub(super) fn expand_items(
        &self,
        task: TaskIndex,
        visit: u32,
        renderer: &Renderer,
    ) -> Result<Vec<FanOutItem>, String> {
        let definition = self.task(task);
        let fan_out = definition.fan_out.as_ref().ok_or_else(|| "the task has no fan_out".to_owned())?;
        let builtins = self.builtins(None).with("TaskType", definition.name.as_str()).with("TaskVisit", visit);
        let scope = self.variables(builtins, renderer, true);
        let values = self.item_values(&fan_out.items, renderer, &scope)?;
        if values.len() > MOST_ITEMS as usize {
            return Err(format!(
                "items: there are {} items, and a task may have {MOST_ITEMS}; group them, or submit jobs",
                values.len()
            ));
        }
        let bytes: usize = values.iter().map(|value| json(value).len()).sum();
        if bytes > MOST_BYTES {
            return Err(format!(
                "items: the items have {bytes} bytes together, and may have {MOST_BYTES}; pass what is large in \
                 artifacts, and names here"
            ));
        }
        let keys = match &fan_out.key {
            None => (0..values.len()).map(|index| index.to_string()).collect(),
            Some(key) => self.item_keys(fan_out, key, &values, renderer, &scope)?,
        };
        Ok(keys.into_iter().zip(values).map(|(key, value)| FanOutItem { key, value }).collect())
    }

    /// What a list of items, or the template of one, gives.
    pub(super) fn item_values(
        &self,
        items: &VariableValue,
        renderer: &Renderer,
        scope: &Variables,
    ) -> Result<Vec<Value>, String> {
        let template = match items {
            VariableValue::List(items) => {
                let mut render = |template: &TemplateText| self.item_template(template, renderer, scope);
                return items.iter().map(|item| item.to_json(&mut render)).collect();
            }
            VariableValue::Text(template) => template,
            _ => return Err("items is no list".to_owned()),
        };
        let value = self.item_template(template, renderer, scope)?;
        let wrong = |what: &str| {
            let line = atta_core::definition::position(&self.version.source, template.span.start).line;
            format!("items (line {line}): it must give a JSON array, and this is {what}")
        };
        match value {
            Value::Array(items) => Ok(items),
            Value::String(text) => match serde_json::from_str(&text) {
                Ok(Value::Array(items)) => Ok(items),
                Ok(other) => Err(wrong(kind(&other))),
                Err(_) => Err(wrong(&format!("the text {:?}", shortened(&text)))),
            },
            other => Err(wrong(kind(&other))),
        }
    }

    fn item_template(&self, template: &TemplateText, renderer: &Renderer, scope: &Variables) -> Result<Value, String> {
        renderer
            .render_large_value(&template.source, scope)
            .map_err(|problem| self.explain("items", template, &problem))
    }

    fn item_keys(
        &self,
        fan_out: &FanOut,
        template: &TemplateText,
        values: &[Value],
        renderer: &Renderer,
        scope: &Variables,
    ) -> Result<Vec<String>, String> {
        let renderer = renderer.with_fuel(KEY_FUEL);
        let mut keys: Vec<String> = Vec::with_capacity(values.len());
        let mut seen: HashMap<String, usize> = HashMap::with_capacity(values.len());
        for (index, value) in values.iter().enumerate() {
            let scope = OfItem { outer: scope, name: &fan_out.item_var, value, index };
            let key = renderer
                .render_text(&template.source, &scope)
                .map_err(|problem| format!("item {index}: {}", self.explain("key", template, &problem)))?;
            let key = key.trim().to_owned();
            if !is_safe(&key) {
                return Err(format!(
                    "key: the key {:?} of item {index} cannot be part of a path: it takes up to {LONGEST_KEY} \
                     letters, digits, `.`, `_` and `-`, a letter, digit or `_` first; the filter `slug` makes such a key",
                    shortened(&key)
                ));
            }
            if let Some(other) = seen.insert(key.clone(), index) {
                return Err(format!(
                    "key: items {other} and {index} have the same key {key:?}; add something that tells them \
                     apart, such as `item_index`"
                ));
            }
            keys.push(key);
        }
        Ok(keys)
    }

    /// All names for one of the job's attempts: those of its item too.
    pub(super) fn variables_of(&self, row: &AttemptRow, renderer: &Renderer, all: bool) -> Variables {
        let builtins = self.builtins(Some(row));
        match self.item_of(row) {
            None => self.variables(builtins, renderer, all),
            Some((fan_out, item, index)) => {
                let locals = |builder: VariablesBuilder| {
                    builder
                        .local(&fan_out.item_var, &item.value)
                        .local("item_index", &Value::from(index))
                        .local("item_key", &Value::from(item.key.as_str()))
                };
                self.variables_with(builtins, renderer, all, locals)
            }
        }
    }

    fn item_of(&self, row: &AttemptRow) -> Option<(&FanOut, &FanOutItem, u32)> {
        let instance = row.instance?;
        let item = self.fan_outs.get(&row.task)?.items.get(instance as usize)?;
        Some((self.task(row.task).fan_out.as_ref()?, item, instance))
    }

    /// `ATTA_ITEM_INDEX`, `ATTA_ITEM_KEY`, and `ATTA_ITEM` if an environment can hold it: text as it is, anything else as
    /// JSON.
    pub(super) fn item_environment(&self, row: &AttemptRow) -> Vec<(&'static str, String)> {
        let Some((_, item, index)) = self.item_of(row) else { return Vec::new() };
        let mut environment = vec![("ATTA_ITEM_INDEX", index.to_string()), ("ATTA_ITEM_KEY", item.key.clone())];
        let text = item.value.as_str().map_or_else(|| item.value.to_string(), str::to_owned);
        if text.len() < LONGEST_ITEM && !text.contains('\0') {
            environment.push(("ATTA_ITEM", text));
        }
        environment
    }

    /// Takes note of a task's items; when there is an error the visit leaves nothing.
    pub(super) fn expanded(&mut self, task: TaskIndex, visit: u32, outcome: &Result<Vec<FanOutItem>, String>) {
        let Ok(items) = outcome else {
            self.results.remove(&task);
            if self.fan_outs.remove(&task).is_some() {
                self.dirty.instances_removed.insert(task, 0);
            }
            return;
        };
        let before = self.fan_outs.insert(task, Instances::new(task, visit, items));
        let fewer = before.is_some_and(|before| before.rows.len() > items.len());
        if fewer {
            self.dirty.instances_removed.insert(task, u32::try_from(items.len()).unwrap_or(u32::MAX));
        }
        self.dirty.instances.extend(items.iter().zip(0..).map(|(_, instance)| (task, instance)));
    }

    /// Brings the instances up to date with an effect.
    pub(super) fn project_instance(&mut self, effect: &Effect) {
        match effect {
            Effect::AttemptCreated { attempt, task, instance: Some(instance), .. } => {
                if let Some(row) = self.instance_row(*task, *instance) {
                    row.attempts += 1;
                    row.last_attempt = Some(*attempt);
                }
            }
            Effect::InstanceChanged { task, instance, state, result, failure, .. } => {
                if let Some(row) = self.instance_row(*task, *instance) {
                    row.state = *state;
                    row.result = *result;
                    row.failure.clone_from(failure);
                }
            }
            _ => {}
        }
    }

    fn instance_row(&mut self, task: TaskIndex, instance: u32) -> Option<&mut InstanceRow> {
        let row = self.fan_outs.get_mut(&task)?.row(instance)?;
        self.dirty.instances.insert((task, instance));
        Some(row)
    }

    /// What a finished attempt of an instance left.
    pub(super) fn instance_left(&mut self, task: TaskIndex, instance: u32, left: Left) {
        if let Some(instances) = self.fan_outs.get_mut(&task) {
            instances.leave(instance, left);
        }
    }

    /// All instances have settled: what they left becomes what the task has.
    pub(super) fn gather(&mut self, task: TaskIndex) {
        let Some(instances) = self.fan_outs.get(&task) else { return };
        let data = self.together(task, &instances.rows, &instances.left);
        self.results.insert(task, data);
    }

    /// What the task has of all instances: an array of each output, `results`, and the files under `<task>/<key>/`.
    pub(super) fn together(&self, task: TaskIndex, rows: &[InstanceRow], left: &[Left]) -> TaskData {
        let definition = self.task(task);
        let values = rows.iter().zip(left).map(|(row, left)| InstanceValues {
            index: row.instance,
            key: &row.key,
            state: row.state,
            result: row.result.map(AttemptResult::as_str),
            exit_code: row.result.and_then(AttemptResult::exit_code),
            outputs: &left.outputs,
        });
        let declared = definition.output_names().map(str::to_owned);
        let outputs = results_of_instances(declared, values);
        let artifacts = rows.iter().zip(left).flat_map(|(row, left)| {
            left.artifacts.iter().map(|file| ArtifactFile {
                path: format!("{}/{}/{}", definition.name, row.key, file.path),
                ..file.clone()
            })
        });
        TaskData { current: true, outputs: Arc::new(outputs), artifacts: artifacts.collect() }
    }

    /// Whether these outputs have room beside those of the other instances; an error says why not.
    pub(super) fn room_for_outputs(
        &self,
        number: AttemptNumber,
        outputs: &IndexMap<String, Value>,
    ) -> Result<(), String> {
        let Some(row) = self.attempts.get(&number) else { return Ok(()) };
        let (Some(_), Some(instances)) = (row.instance, self.fan_outs.get(&row.task)) else { return Ok(()) };
        if instances.output_bytes + size(outputs) > MOST_OUTPUTS {
            return Err(format!(
                "the outputs of all instances of a fan_out may have {MOST_OUTPUTS} bytes together, and with this one's they \
                 would have more; keep what is large as artifacts"
            ));
        }
        Ok(())
    }
}

/// The names of a job with those of an item in front.
pub(super) struct OfItem<'a> {
    pub(super) outer: &'a Variables,
    pub(super) name: &'a str,
    pub(super) value: &'a Value,
    pub(super) index: usize,
}

impl Scope for OfItem<'_> {
    fn get(&self, name: &str) -> Result<Option<TemplateValue>, TemplateProblem> {
        if name == self.name {
            return Ok(Some(TemplateValue::outside(self.value)));
        }
        if name == "item_index" {
            return Ok(Some(TemplateValue::outside(&Value::from(self.index))));
        }
        self.outer.get(name)
    }

    fn names(&self) -> Vec<String> {
        let mut names = Scope::names(self.outer);
        names.extend([self.name.to_owned(), "item_index".to_owned()]);
        names
    }
}

fn is_safe(key: &str) -> bool {
    let mut bytes = key.bytes();
    key.len() <= LONGEST_KEY
        && bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
