//! Texts of others that an agent is given as files: where each comes from.

use atta_core::definition::{
    AgentOptions, ContextFileSpec, ContextSpec, Method, TRACKER_RESULT, TaskDefinition, TemplateText,
};
use atta_core::engine::TaskIndex;
use atta_core::protocol::agent::{ContextFile, ContextForm, ContextSource, LAID};
use atta_core::protocol::ant::{ArtifactFile, ArtifactInput};
use atta_core::template::{Renderer, Variables};

use super::agents::{checked, inside};
use super::live::LiveJob;
use crate::store::AttemptRow;

impl LiveJob {
    /// The files of an agent.
    pub(super) fn context_of(
        &self,
        agent: &AgentOptions,
        renderer: &Renderer,
        scope: &Variables,
    ) -> Result<Vec<ContextFile>, String> {
        let text = |template: &TemplateText| self.text("agent.context", template, renderer, scope);
        let mut files = Vec::with_capacity(agent.context.len());
        for entry in &agent.context {
            let key = format!("agent.context: {}", entry.name);
            let (source, about) = match &entry.source {
                ContextSpec::Text(template) => (ContextSource::Text(checked(&key, text(template)?)?), String::new()),
                ContextSpec::File(template) => {
                    let path = inside(&key, text(template)?)?;
                    (ContextSource::File(path.clone()), format!("the file {path}"))
                }
                ContextSpec::From { task, file } => {
                    let path = file.as_ref().map(text).transpose()?;
                    let path = path.as_deref().unwrap_or_else(|| self.tracker_result(&task.task));
                    let found = self.artifact_for(&task.task, path);
                    if found.is_none() && !entry.optional {
                        return Err(format!(
                            "{key}: the task {} has not left an artifact {path:?}; with `optional: true` the agent begins \
                             without it",
                            task.task
                        ));
                    }
                    let about = match file {
                        None => format!("what the task {} was told of the tracker", task.task),
                        Some(_) => format!("{path} of the task {}", task.task),
                    };
                    (found.map_or(ContextSource::Nothing, |_| ContextSource::Laid(laid(entry))), about)
                }
            };
            files.push(ContextFile {
                name: entry.name.clone(),
                source,
                about,
                json_path: entry.json_path.clone(),
                form: form_of(entry),
                max_chars: entry.max_chars,
                optional: entry.optional,
            });
        }
        Ok(files)
    }

    /// What has to be fetched for the files of an agent.
    pub(super) fn context_inputs(
        &self,
        row: &AttemptRow,
        renderer: &Renderer,
        scope: &Variables,
    ) -> Vec<ArtifactInput> {
        let Method::Agent(agent) = &self.task(row.task).method else { return Vec::new() };
        let inputs = agent.context.iter().filter_map(|entry| {
            let ContextSpec::From { task, file } = &entry.source else { return None };
            // What cannot be rendered has been said where the order was made.
            let path = match file {
                Some(file) => self.text("agent.context", file, renderer, scope).ok()?,
                None => self.tracker_result(&task.task).to_owned(),
            };
            let found = self.artifact_for(&task.task, &path)?;
            let file = ArtifactFile { path: laid(entry), ..found.clone() };
            Some(ArtifactInput { task: task.task.clone(), files: vec![file] })
        });
        inputs.collect()
    }

    /// The artifact in which a task leaves what its tracker said.
    fn tracker_result(&self, task: &str) -> &'static str {
        let task = self.plan.task_index(task).map(|task| self.task(task));
        task.and_then(TaskDefinition::tracker_result).unwrap_or(TRACKER_RESULT)
    }

    /// The artifact that the latest run of a task has left.
    fn artifact_for(&self, task: &str, path: &str) -> Option<&ArtifactFile> {
        let index: TaskIndex = self.plan.task_index(task)?;
        let files = &self.results.get(&index)?.artifacts;
        files.iter().find(|file| file.path == path)
    }
}

fn form_of(entry: &ContextFileSpec) -> ContextForm {
    if let ContextSpec::From { file: None, .. } = entry.source {
        return ContextForm::Github { trusted_only: entry.trusted_only };
    }
    let markdown = [".md", ".markdown"].iter().any(|end| entry.name.to_ascii_lowercase().ends_with(end));
    entry.form.unwrap_or(if markdown { ContextForm::Markdown } else { ContextForm::Plain })
}

fn laid(entry: &ContextFileSpec) -> String {
    format!("{LAID}/{}", entry.name)
}
