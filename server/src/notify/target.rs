//! Where a notification goes: the definition's templates, with params, job variables and secrets filled in.

use std::sync::Arc;

use atta_core::definition::{
    JobDefinition, KnownConfigs, Limits as LoadLimits, TemplateText, load_with, replace_secrets,
};
use atta_core::template::{Builtins, Functions, Limits, Renderer, Variables};
use atta_core::time::{Clock, Entropy};
use indexmap::IndexMap;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::Failed;
use crate::secrets::Secrets;
use crate::store::JobRow;

/// Renders destinations of one job.
pub(super) struct Targets<'a> {
    pub(super) definition: JobDefinition,
    row: JobRow,
    params: Map<String, Value>,
    renderer: Renderer,
    secrets: &'a Secrets,
    entropy: &'a dyn Entropy,
}

/// Functions that have a meaning where nothing but the time is known.
struct OfTheTime(Arc<dyn Clock>);

impl Functions for OfTheTime {
    fn count_jobs(&self, _: &str, _: &[String]) -> Result<i64, String> {
        Err("jobs are not counted in the address of a notification".to_owned())
    }

    fn now(&self) -> Result<String, String> {
        Ok(self.0.now().to_rfc3339())
    }

    fn env(&self, name: &str) -> Result<Option<String>, String> {
        Err(format!("{name} is not on the server's list of variables that templates may read, which is empty"))
    }
}

impl<'a> Targets<'a> {
    pub(super) fn new(
        row: JobRow,
        source: &str,
        secrets: &'a Secrets,
        entropy: &'a dyn Entropy,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failed> {
        let loaded = load_with("definition.yaml", source.as_bytes(), &LoadLimits::default(), KnownConfigs::Any);
        let gone = || Failed::for_good("the job's definition cannot be read any more");
        let definition = loaded.definition.ok_or_else(gone)?;
        let params = serde_json::from_str(&row.params).map_err(|_| Failed::for_good("the job's params are damaged"))?;
        let renderer = Renderer::new(Limits::default(), Arc::new(OfTheTime(clock)));
        Ok(Self { definition, row, params, renderer, secrets, entropy })
    }

    /// A template's text. Secrets are filled in after everything else, so that no value can ask for one.
    pub(super) fn render(&self, key: &str, template: &TemplateText) -> Result<Zeroizing<String>, Failed> {
        let mark = format!("{:016x}{:016x}", self.entropy.next_u64(), self.entropy.next_u64());
        let (source, names) = marked(&template.source, &mark);
        let params: IndexMap<String, Value> =
            self.params.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let builtins = Builtins::new()
            .with("JobID", self.row.id.0.as_str())
            .with("JobType", self.row.job_type.as_str())
            .with("JobVersion", self.row.version.as_str())
            .with("JobAttempt", self.row.attempt)
            .with("Nonce", self.row.nonce.clone().unwrap_or_default())
            .with("OrgID", "default")
            .with("SubmittedBy", self.row.submitted_by.as_str())
            .with("ScheduledAt", self.row.scheduled_at.unwrap_or(self.row.created_at).to_rfc3339());
        let scope = Variables::builder()
            .params(&params, &self.definition.params)
            .job_variables(&self.definition.job_variables)
            .configs(self.secrets.values(&self.row.job_type))
            .builtins(builtins)
            .build(&self.renderer);
        let rendered = self
            .renderer
            .render_text(&source, &scope)
            .map_err(|problem| Failed::for_good(format!("{key} cannot be rendered: {problem}")))?;
        let mut text = Zeroizing::new(rendered);
        for (number, name) in names.iter().enumerate() {
            let secret =
                self.secrets.secret(Some(&self.row.job_type), name).map_err(|error| Failed::once(error.to_string()))?;
            text = Zeroizing::new(text.replace(&placeholder(&mark, number), secret.reveal()));
        }
        Ok(text)
    }
}

fn placeholder(mark: &str, number: usize) -> String {
    format!("secret-{mark}-{number}-")
}

/// The source with a placeholder for each `{{ secrets.NAME }}`, and the names.
fn marked(source: &str, mark: &str) -> (String, Vec<String>) {
    let mut names = Vec::new();
    let text = replace_secrets(source, |name, _| {
        names.push(name.to_owned());
        placeholder(mark, names.len() - 1)
    });
    (text, names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_expression_stands_for_a_secret() {
        let (text, names) =
            marked("https://{{ Host }}/{{ secrets.Token }}?k={{secrets.Key}}&{{ secrets.A | upper }}", "m");
        assert_eq!(text, "https://{{ Host }}/secret-m-0-?k=secret-m-1-&{{ secrets.A | upper }}");
        assert_eq!(names, ["Token", "Key"]);
        assert_eq!(marked("a {{ broken", "m").0, "a {{ broken");
    }
}
