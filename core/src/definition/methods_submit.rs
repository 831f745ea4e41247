//! Options of the methods that make jobs, and of the one that waits for them.

use indexmap::IndexMap;

use super::keys::{SUB_WORKFLOW, SUBMIT};
use super::scalar::shortened;
use super::task::PRIORITIES;
use super::tree::{Entry, Kind, Node};
use super::walk::{Keys, Walk};
use super::{
    AwaitOptions, AwaitedTask, ForkOptions, Method, Span, SubmitJobsOptions, TaskDefinition, TemplateText,
    VariableValue, code,
};

/// Jobs that one SUBMIT_JOBS task may submit.
pub const MOST_SUBMITTED: usize = 1_000;

/// Outputs that every FORK_JOB task has.
pub(super) const FORK_OUTPUTS: [&str; 3] = ["job_id", "state", "error_code"];

impl TaskDefinition {
    /// The names of the outputs that are known before it runs.
    pub fn output_names(&self) -> impl Iterator<Item = &str> {
        let forked = match &self.method {
            Method::ForkJob(fork) => Some(fork.outputs.keys().map(String::as_str)),
            _ => None,
        };
        let always: &[&str] = match &self.method {
            Method::ForkJob(_) => &FORK_OUTPUTS,
            Method::Approval(_) => &["approved_by", "rejected_by", "comments", "timed_out"],
            Method::Agent(_) => &super::AGENT_OUTPUTS,
            Method::Http(_) => &["status", "headers", "body", "json"],
            Method::Github(github) => github.operation.outputs(),
            Method::SubmitJobs(_) => &["submitted", "duplicate", "refused"],
            Method::ExpireArtifacts(_) => &["artifacts", "bytes"],
            Method::Shell(_) | Method::AwaitForkedJob(_) => &[],
        };
        let declared = self.outputs.iter().map(|output| output.name.as_str());
        declared.chain(always.iter().copied()).chain(forked.into_iter().flatten())
    }
}

impl Walk {
    /// `submit` of a SUBMIT_JOBS task.
    pub(super) fn submit_options(&mut self, keys: &mut Keys<'_, '_>, task_span: Span) -> Option<Method> {
        let Some(entry) = keys.take("submit") else {
            self.problems.error_with_help(
                code::MISSING_KEY,
                task_span,
                "this SUBMIT_JOBS task has no `submit`",
                "write `submit: {job_type: build, items: \"{{ Items }}\", params: {Name: \"{{ item }}\"}}`",
            );
            return None;
        };
        let entries = self.mapping("submit", &entry.value)?;
        let mut keys = Keys::new(entries);
        let job_type = self.wanted_job_type("submit", &mut keys, entry.value.span);
        let version = self.wanted_version(&mut keys);
        let items = if let Some(items) = keys.take("items") {
            self.items(&items.value, MOST_SUBMITTED)
        } else {
            self.problems.error_with_help(
                code::MISSING_KEY,
                entry.value.span,
                "`submit` needs `items`: one job is submitted for each",
                "a template that yields an array, or a list; for one job write `items: [1]`",
            );
            None
        };
        let item_var = match keys.take("item_var") {
            Some(entry) => self.item_variable(entry),
            None => "item".to_owned(),
        };
        let params = self.submitted_params("submit", &mut keys);
        let user_key = self.optional(&mut keys, "user_key", Self::template_spelling);
        let description = self.optional(&mut keys, "description", Self::template);
        let priority = keys.take("priority").and_then(|entry| self.submitted_priority(&entry.value));
        let dry_run = self.optional(&mut keys, "dry_run", Self::boolean).unwrap_or(false);
        self.unknown_keys(&keys, &SUBMIT);
        Some(Method::SubmitJobs(SubmitJobsOptions {
            job_type: job_type?,
            version,
            items: items?,
            item_var,
            params,
            user_key,
            description,
            priority,
            dry_run,
        }))
    }

    /// `sub_workflow` of a FORK_JOB task.
    pub(super) fn fork_options(&mut self, keys: &mut Keys<'_, '_>, task_span: Span) -> Option<Method> {
        let Some(entry) = keys.take("sub_workflow") else {
            self.problems.error_with_help(
                code::MISSING_KEY,
                task_span,
                "this FORK_JOB task has no `sub_workflow`",
                "say which job: `sub_workflow: {job_type: build}`",
            );
            return None;
        };
        let entries = self.mapping("sub_workflow", &entry.value)?;
        let mut keys = Keys::new(entries);
        let job_type = self.wanted_job_type("sub_workflow", &mut keys, entry.value.span);
        let version = self.wanted_version(&mut keys);
        let params = self.submitted_params("sub_workflow", &mut keys);
        let mut outputs = IndexMap::new();
        if let Some(entry) = keys.take("outputs") {
            for output in self.mapping("sub_workflow.outputs", &entry.value).unwrap_or_default() {
                self.check_identifier("an output", &output.key, output.key_span);
                if FORK_OUTPUTS.contains(&&*output.key) {
                    self.problems.error_with_help(
                        code::RESERVED_NAME,
                        output.key_span,
                        format!("every FORK_JOB task has an output `{}` already", &*output.key),
                        "choose another name, or use that one",
                    );
                }
                let key = format!("sub_workflow.outputs.{}", &*output.key);
                if let Some(template) = self.template_spelling(&key, &output.value) {
                    outputs.insert(output.key.to_string(), template);
                }
            }
        }
        let wait = self.optional(&mut keys, "wait", Self::boolean).unwrap_or(true);
        self.unknown_keys(&keys, &SUB_WORKFLOW);
        Some(Method::ForkJob(ForkOptions { job_type: job_type?, version, params, outputs, wait }))
    }

    /// `await_forked_tasks` of an AWAIT_FORKED_JOB task.
    pub(super) fn await_options(&mut self, keys: &mut Keys<'_, '_>, task_span: Span) -> Option<Method> {
        let Some(entry) = keys.take("await_forked_tasks") else {
            self.problems.error_with_help(
                code::MISSING_KEY,
                task_span,
                "this AWAIT_FORKED_JOB task has no `await_forked_tasks`",
                "name the FORK_JOB tasks whose jobs it waits for: `await_forked_tasks: [fork-build]`",
            );
            return None;
        };
        let items = self.list("await_forked_tasks", &entry.value)?;
        if items.is_empty() {
            let message = "`await_forked_tasks` is empty: there is nothing to wait for";
            self.problems.error(code::VALUE, entry.value.span, message);
            return None;
        }
        let mut tasks: Vec<AwaitedTask> = Vec::with_capacity(items.len());
        for item in items {
            let Some(name) = self.text("an entry of await_forked_tasks", item) else { continue };
            if tasks.iter().any(|task| task.name == name) {
                let message = format!("`await_forked_tasks` names {} twice", shortened(&name));
                self.problems.error(code::CONFLICT, item.span, message);
                continue;
            }
            tasks.push(AwaitedTask { name, span: item.span });
        }
        Some(Method::AwaitForkedJob(AwaitOptions { tasks }))
    }

    /// `job_type` of what is submitted: a template, or a name that can be one.
    fn wanted_job_type(&mut self, what: &str, keys: &mut Keys<'_, '_>, span: Span) -> Option<TemplateText> {
        let Some(entry) = keys.take("job_type") else {
            self.problems.error_with_help(
                code::MISSING_KEY,
                span,
                format!("`{what}` needs `job_type`: which job it is"),
                "name a definition of the server: `job_type: build`",
            );
            return None;
        };
        let template = self.template("job_type", &entry.value)?;
        if !template.source.contains('{') {
            self.check_job_type(&template.source, template.span);
        }
        Some(template)
    }

    fn wanted_version(&mut self, keys: &mut Keys<'_, '_>) -> Option<String> {
        let entry = keys.take("version")?;
        let text = self.spelling("version", &entry.value)?;
        if text.contains('{') {
            self.problems.error_with_help(
                code::VALUE,
                entry.value.span,
                "`version` cannot hold a template",
                "write a semantic version or the digest of a version; leave it out for the newest",
            );
            return None;
        }
        Some(text)
    }

    fn item_variable(&mut self, entry: &Entry<'_>) -> String {
        let Some(name) = self.text("item_var", &entry.value) else { return "item".to_owned() };
        self.check_template_name("the item", &name, entry.value.span);
        name
    }

    fn submitted_params(&mut self, what: &str, keys: &mut Keys<'_, '_>) -> IndexMap<String, VariableValue> {
        let mut params = IndexMap::new();
        let Some(entry) = keys.take("params") else { return params };
        for param in self.mapping(&format!("{what}.params"), &entry.value).unwrap_or_default() {
            if !matches!(param.value.kind, Kind::Reported) {
                params.insert(param.key.to_string(), super::job::variable(&param.value));
            }
        }
        params
    }

    fn submitted_priority(&mut self, node: &Node<'_>) -> Option<TemplateText> {
        let template = self.template("priority", node)?;
        if !template.source.contains('{') {
            self.choice("priority", node, &PRIORITIES)?;
        }
        Some(template)
    }
}
