//! Checks of AGENT tasks that need the whole definition.

use super::agent::{AGENT_OUTPUTS, PromptSource};
use super::check::{Checker, Place};
use super::scalar::shortened;
use super::{
    AgentOptions, Budget, ContextSpec, Diagnostic, Method, TRACKER_RESULT, TaskDefinition, TemplateText, code,
};

impl<'d> Checker<'d, '_> {
    pub(super) fn agent(
        &mut self,
        index: usize,
        task: &'d TaskDefinition,
        agent: &'d AgentOptions,
        here: Place<'d>,
        created: Place<'d>,
    ) {
        for template in agent.templates() {
            self.text(template, here);
        }
        self.field(&agent.cli, created);
        for cli in agent.fallback.iter().filter_map(|fallback| fallback.cli.as_ref()) {
            self.field(cli, created);
        }
        self.optional_field(agent.max_turns.as_ref(), created);
        self.optional_field(agent.max_tokens.as_ref(), created);
        self.optional_field(agent.max_usd.as_ref(), created);
        self.secrets_allowed = true;
        for value in agent.accounts.iter().flat_map(|account| account.environment.values()) {
            self.text(value, here);
        }
        self.secrets_allowed = false;
        self.field(&agent.start_timeout, created);
        self.field(&agent.after_result, created);
        self.check_resume(index, task, agent);
        self.check_context(agent);
        if let PromptSource::File(file) = &agent.prompt {
            self.check_agent_place("prompt_file", file);
        }
        if let Some(directory) = &agent.directory {
            self.check_agent_place("directory", directory);
        } else if agent.expect_changes && self.definition.workspace.is_none() {
            self.problems.error_with_help(
                code::CONFLICT,
                agent.span,
                "`expect_changes` has nothing to look at: the job has no `workspace`, and the agent no `directory`",
                "say where the checkout is: `directory: repository`, or give the job a `workspace`",
            );
        }
        for output in task.outputs.iter().filter(|output| AGENT_OUTPUTS.contains(&output.name.as_str())) {
            self.problems.error_with_help(
                code::RESERVED_NAME,
                output.span,
                format!("an output of an AGENT task cannot be named {}: every AGENT task has that one", output.name),
                "choose another name",
            );
        }
    }

    pub(super) fn budget(&mut self, budget: &'d Budget, created: Place<'d>) {
        let limits = &budget.limits;
        self.optional_field(limits.usd.as_ref(), created);
        for limit in [&limits.tokens, &limits.agent_turns, &limits.minutes] {
            self.optional_field(limit.as_ref(), created);
        }
        if !self.definition.has_agents() {
            let message = "`budget` limits nothing here: no task is an AGENT task";
            let problem = Diagnostic::warning(code::UNUSED_KEY, budget.span, message.to_owned());
            self.problems.push(problem.with_help("remove it, or give an agent something to do"));
        }
    }

    fn check_resume(&mut self, index: usize, task: &TaskDefinition, agent: &AgentOptions) {
        let Some(resume) = &agent.resume else { return };
        let Some(&target) = self.names.get(resume.task.as_str()) else {
            let message = format!("`resume` names the task {}, which there is not", shortened(&resume.task));
            let help = match self.problems.suggestion(&resume.task, self.names.keys().copied()) {
                Some(meant) => format!("did you mean {meant}?"),
                None => "name an AGENT task of this job".to_owned(),
            };
            self.problems.error_with_help(code::VALUE, resume.span, message, help);
            return;
        };
        let Method::Agent(other) = &self.definition.tasks[target].method else {
            self.problems.error_with_help(
                code::VALUE,
                resume.span,
                format!("`resume` names the task {}, which is no AGENT task: it has no session", resume.task),
                "name an AGENT task that comes before this one, or this one",
            );
            return;
        };
        if let (Some(there), Some(here)) = (other.cli.value(), agent.cli.value())
            && there != here
        {
            self.problems.error_with_help(
                code::CONFLICT,
                resume.span,
                format!("the session of {} is one of {there}, and {here} cannot go on with it", resume.task),
                "let both tasks have the same `cli`, or pass on what matters by an artifact or an output",
            );
        }
        if target != index && !task.always_run && !self.comes_before(target, index) {
            self.problems.error_with_help(
                code::VALUE,
                resume.span,
                format!("no path leads from {} to {}: there would be no session to go on with", resume.task, task.name),
                format!("add {} to the dependencies of {}", resume.task, task.name),
            );
        }
    }

    fn check_context(&mut self, agent: &AgentOptions) {
        for entry in &agent.context {
            match &entry.source {
                ContextSpec::Text(_) => {}
                ContextSpec::File(path) => self.check_agent_place("file", path),
                ContextSpec::From { task, file } => {
                    let Some(&target) = self.names.get(task.task.as_str()) else {
                        let message = format!("`from` names the task {}, which there is not", shortened(&task.task));
                        let help = match self.problems.suggestion(&task.task, self.names.keys().copied()) {
                            Some(meant) => format!("did you mean {meant}?"),
                            None => "name a task of this job".to_owned(),
                        };
                        self.problems.error_with_help(code::VALUE, task.span, message, help);
                        continue;
                    };
                    if file.is_none() && self.definition.tasks[target].tracker_result().is_none() {
                        self.problems.error_with_help(
                            code::VALUE,
                            task.span,
                            format!(
                                "{} is no GITHUB task and keeps no `{TRACKER_RESULT}`, so `from` does not say which artifact is \
                                 meant",
                                task.task
                            ),
                            "name the artifact: `file: report.txt`",
                        );
                    }
                }
            }
        }
    }

    /// A path in the workspace of a job that has none.
    fn check_agent_place(&mut self, key: &str, path: &TemplateText) {
        if self.definition.workspace.is_none() && path.source.starts_with("$JOB_WORKSPACE") {
            let message = format!("`{key}` is in `$JOB_WORKSPACE`, and the job has no `workspace`");
            let problem = Diagnostic::error(code::PATH, path.span, message);
            self.problems.push(problem.with_help("give the job one: `workspace: {scope: job}`"));
        }
    }
}
