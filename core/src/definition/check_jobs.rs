//! Checks of what makes other jobs: SUBMIT_JOBS, FORK_JOB, AWAIT_FORKED_JOB.

use super::check::{Checker, Place};
use super::scalar::shortened;
use super::{AwaitOptions, Diagnostic, ForkOptions, Method, ReworkTask, Span, SubmitJobsOptions, TaskDefinition, code};

impl<'d> Checker<'d, '_> {
    pub(super) fn submission(&mut self, options: &'d SubmitJobsOptions, here: Place<'d>) {
        self.variable(&options.items, here);
        let name = &options.item_var;
        if self.definition.params.contains_key(name) || self.definition.job_variables.contains_key(name) {
            self.problems.error_with_help(
                code::CONFLICT,
                options.job_type.span,
                format!("`{name}` of this `submit` would hide the param or job variable of the same name"),
                "give the item another name with `item_var`",
            );
        }
        self.locals.push(name.clone());
        self.text(&options.job_type, here);
        for value in options.params.values() {
            self.variable(value, here);
        }
        for template in [&options.user_key, &options.description, &options.priority].into_iter().flatten() {
            self.text(template, here);
        }
        self.locals.pop();
    }

    pub(super) fn fork(&mut self, options: &'d ForkOptions, here: Place<'d>) {
        if options.job_type.source == self.definition.job_type {
            self.problems.error_with_help(
                code::FORK_SELF,
                options.job_type.span,
                format!("{} forks itself, which would never end", self.definition.job_type),
                "put the repeated part into a definition of its own, or use a loop",
            );
        }
        self.text(&options.job_type, here);
        for value in options.params.values() {
            self.variable(value, here);
        }
        // Their names are those of another definition: only the syntax can be checked here.
        for output in options.outputs.values() {
            self.inspect(output, false);
        }
    }

    /// What the job is to achieve: its templates, and the tasks that it names.
    pub(super) fn outcome(&mut self) {
        let Some(outcome) = &self.definition.outcome else { return };
        for (_, template) in outcome.templates() {
            self.text(template, Place::Description);
        }
        for ReworkTask { task, span } in &outcome.rework {
            if self.names.contains_key(task.as_str()) {
                continue;
            }
            self.no_such_task("outcome.rework", task, *span);
        }
    }

    fn no_such_task(&mut self, key: &str, task: &str, span: Span) {
        let message = format!("`{key}` names {}, and there is no such task", shortened(task));
        let mut diagnostic = Diagnostic::error("E-UNKNOWN-TASK", span, message);
        if let Some(meant) = self.problems.suggestion(task, self.names.keys().copied()) {
            diagnostic = diagnostic.with_help(format!("did you mean {meant}?"));
        }
        self.problems.push(diagnostic);
    }

    pub(super) fn awaited(&mut self, index: usize, task: &'d TaskDefinition, options: &AwaitOptions) {
        for awaited in &options.tasks {
            let Some(&target) = self.names.get(awaited.name.as_str()) else {
                self.no_such_task("await_forked_tasks", &awaited.name, awaited.span);
                continue;
            };
            if !matches!(self.definition.tasks[target].method, Method::ForkJob(_)) {
                self.problems.error_with_help(
                    code::VALUE,
                    awaited.span,
                    format!("the task {} forks no job that could be awaited", awaited.name),
                    "name tasks of the method FORK_JOB, those with `sub_workflow`",
                );
            } else if !task.always_run && !self.comes_before(target, index) {
                let message = format!(
                    "no path leads from {} to {}: its job need not exist when it is awaited",
                    awaited.name, task.name
                );
                self.problems.push(
                    Diagnostic::warning(code::NOT_ANCESTOR, awaited.span, message)
                        .with_help(format!("add {} to the dependencies of {}", awaited.name, task.name)),
                );
            }
        }
    }
}
