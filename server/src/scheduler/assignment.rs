//! From a READY attempt to what an ant needs to run it.

use std::time::Duration;

use atta_core::budget::Measure;
use atta_core::definition::{
    AgentOptions, Field, HttpBody, Method, Program, ShellOptions, TaskDefinition, TemplateText,
};
use atta_core::engine::AttemptNumber;
use atta_core::protocol::AttemptId;
use atta_core::protocol::agent_outputs::KEPT_OF_AGENTS;
use atta_core::protocol::ant::{Action, ArtifactInput, ArtifactRules, Assignment, GivenSecrets, RenderedScript};
use atta_core::template::{Renderer, Scope, ShellDialect, TemplateProblem, Variables};
use indexmap::IndexMap;

use super::given::{Giving, WithSecrets, may_use_secrets};
use super::live::LiveJob;
use crate::store::AttemptRow;

/// One environment value may have so many bytes: the kernel takes no longer argument.
const LONGEST_VALUE: usize = 128 * 1024;

impl LiveJob {
    /// The assignment of an attempt under a token. An error is the sentence with which the attempt ends as INVALID.
    pub(super) fn assignment(
        &self,
        number: AttemptNumber,
        token: u64,
        lease: Duration,
        renderer: &Renderer,
    ) -> Result<Assignment, String> {
        let row = self.attempts.get(&number).ok_or_else(|| format!("attempt {} is gone", number.0))?;
        let task = self.task(row.task);
        let scope = self.variables_of(row, renderer, self.needs_names(task));
        let action = match &task.method {
            Method::Shell(shell) => self.shell_action(shell, renderer, &scope)?,
            Method::Agent(agent) => self.agent_action(row, agent, renderer, &scope)?,
            Method::Http(request) => Action::Http(Box::new(self.request(request, renderer, &scope)?)),
            Method::Github(options) => Action::Github(Box::new(self.github(options, row, renderer, &scope)?)),
            _ => return Err("an ant cannot do what this task does".to_owned()),
        };
        self.render_tags(number, renderer)?;
        let always_run = task.always_run;
        let (environment, secrets) = self.environment(task, row, renderer, &scope)?;
        Ok(Assignment {
            attempt_id: AttemptId::new(&self.row.id, number),
            token,
            lease,
            job_id: self.row.id.clone(),
            job_type: self.row.job_type.clone(),
            task: task.name.clone(),
            action,
            environment,
            secrets,
            inherit_env: self.definition.inherit_env.clone(),
            timeout: self.time_of(number, duration("timeout", &task.timeout)?),
            // What an agent does is watched by what drives it, which knows more.
            idle_timeout: task
                .idle_timeout
                .as_ref()
                .filter(|_| task.method.agent().is_none())
                .map(|field| duration("idle_timeout", field))
                .transpose()?,
            kill_grace: duration("kill_grace", &task.kill_grace)?,
            inputs: self.inputs(row, always_run, self.context_inputs(row, renderer, &scope)),
            artifacts: self.artifact_rules(task, renderer, &scope)?,
            workspace: if task.method.uses_workspace() { self.workspace_order(renderer)? } else { None },
            cache: self.cache_order(task, renderer, &scope)?,
            outputs: task.outputs.clone(),
        })
    }

    /// The longest that an attempt may take: of an agent's, what the budgets above it leave.
    fn time_of(&self, number: AttemptNumber, timeout: Duration) -> Duration {
        let most = self.part_of(number).and_then(|part| part.caps.get(Measure::Time)).map(Duration::from_millis);
        most.map_or(timeout, |most| most.min(timeout))
    }

    /// The variables of the account that an attempt of an agent uses.
    fn account_environment<'t>(
        &self,
        task: &'t TaskDefinition,
        number: AttemptNumber,
    ) -> Option<&'t IndexMap<String, TemplateText>> {
        let name = self.account_of(number)?;
        let account = task.method.agent()?.accounts.iter().find(|account| account.name == name)?;
        Some(&account.environment)
    }

    /// Whether some template of the task uses a name that is no built-in's environment.
    fn needs_names(&self, task: &TaskDefinition) -> bool {
        let shell = task.method.shell().into_iter();
        let scripts =
            shell.flat_map(|shell| shell.before_script.iter().chain(&shell.script).chain(&shell.after_script));
        let accounts = task.method.agent().into_iter().flat_map(|agent| &agent.accounts);
        let accounts = accounts.flat_map(|account| account.environment.values());
        let environment = self.definition.environment.values().chain(task.environment.values()).chain(accounts);
        let paths = task.artifacts.iter().flat_map(|artifacts| &artifacts.paths);
        let cache = task.cache.iter().flat_map(|c| c.paths.iter().chain(&c.restore_keys).chain(Some(&c.key)));
        let request = match &task.method {
            // Whether a JSON body has templates is not worth a look at all of it.
            Method::Http(request) if matches!(request.body, HttpBody::Json(_)) => return true,
            Method::Github(_) => return true,
            Method::Http(request) => Some(request),
            _ => None,
        };
        let request = request.into_iter().flat_map(atta_core::definition::HttpOptions::templates);
        let agent = task.method.agent().into_iter().flat_map(AgentOptions::templates);
        let mut templates = scripts.chain(environment).chain(paths).chain(cache).chain(request).chain(agent);
        !task.env_from.is_empty() || templates.any(|template| template.source.contains('{'))
    }

    fn shell_action(&self, shell: &ShellOptions, renderer: &Renderer, scope: &Variables) -> Result<Action, String> {
        let script: Vec<&TemplateText> = shell.before_script.iter().chain(&shell.script).collect();
        let after: Vec<&TemplateText> = shell.after_script.iter().collect();
        let render = |key: &str, entries: &[&TemplateText]| -> Result<RenderedScript, String> {
            let sources: Vec<&str> = entries.iter().map(|entry| entry.source.as_str()).collect();
            let explain = |problem: TemplateProblem| {
                // Both are one script.
                let key =
                    if key == "script" && problem.entry < shell.before_script.len() { "before_script" } else { key };
                match entries.get(problem.entry) {
                    Some(template) => self.explain(key, template, &problem),
                    None => format!("{key}: {problem}"),
                }
            };
            match &shell.program {
                Program::Interpreter(_) => {
                    let text = renderer.render_interpreter_source(&sources, scope).map_err(explain)?;
                    Ok(RenderedScript { preamble: String::new(), text })
                }
                Program::DefaultShell => renderer.render_script(&sources, ShellDialect::Bash, scope).map_err(explain),
                Program::Shell(words) => renderer.render_script(&sources, dialect(words), scope).map_err(explain),
            }
        };
        Ok(Action::Shell {
            program: shell.program.clone(),
            script: render("script", &script)?,
            after_script: if after.is_empty() { None } else { Some(render("after_script", &after)?) },
            tty: shell.tty,
        })
    }

    /// The environment, and apart from it what is secret.
    fn environment(
        &self,
        task: &TaskDefinition,
        row: &AttemptRow,
        renderer: &Renderer,
        scope: &Variables,
    ) -> Result<(IndexMap<String, String>, GivenSecrets), String> {
        let mut environment = IndexMap::new();
        let mut giving = Giving::new(&self.secrets, &self.row.job_type);
        self.render_environment(&self.definition.environment, renderer, scope, &mut environment, &mut giving)?;
        for reference in &task.env_from {
            if reference.secret {
                giving.give(reference).map_err(|problem| format!("env_from: {problem}"))?;
                environment.shift_remove(&reference.name);
            } else {
                let value = scope.config(&reference.name).ok_or_else(|| {
                    format!("env_from: there is no config {0}: set it with `atta config set {0} VALUE`", reference.name)
                })?;
                giving.given.environment.shift_remove(&reference.name);
                environment.insert(reference.name.clone(), value);
            }
        }
        self.render_environment(&task.environment, renderer, scope, &mut environment, &mut giving)?;
        if let Some(values) = self.account_environment(task, row.number) {
            self.render_environment(values, renderer, scope, &mut environment, &mut giving)?;
        }
        for (name, value) in scope.environment() {
            environment.insert(name.clone(), value.clone());
        }
        environment.extend(self.item_environment(row).into_iter().map(|(name, value)| (name.to_owned(), value)));
        let given = giving.given;
        let secret = given.environment.iter().map(|(name, value)| (name, value.reveal()));
        for (name, value) in environment.iter().map(|(name, value)| (name, value.as_str())).chain(secret) {
            if value.contains('\0') {
                return Err(format!("environment.{name}: the value has a NUL byte, which no environment can hold"));
            }
            if name.len() + value.len() + 2 > LONGEST_VALUE {
                return Err(format!(
                    "environment.{name}: the value has {} bytes, and an environment value must be shorter than 128 KiB; \
                     pass it in a file",
                    value.len()
                ));
            }
        }
        Ok((environment, given))
    }

    /// Renders values; each goes where it belongs, and replaces one of the same name.
    fn render_environment(
        &self,
        values: &IndexMap<String, TemplateText>,
        renderer: &Renderer,
        scope: &Variables,
        environment: &mut IndexMap<String, String>,
        giving: &mut Giving<'_>,
    ) -> Result<(), String> {
        for (name, template) in values {
            let key = format!("environment.{name}");
            if may_use_secrets(template) {
                let scope = WithSecrets { variables: scope, secrets: &self.secrets };
                let rendered = self.text(&key, template, renderer, &scope)?;
                if let Some(value) = giving.reveal(&rendered).map_err(|problem| format!("{key}: {problem}"))? {
                    environment.shift_remove(name);
                    giving.given.environment.insert(name.clone(), value);
                    continue;
                }
            }
            let value = self.text(&key, template, renderer, scope)?;
            if !giving.given.environment.is_empty() {
                giving.given.environment.shift_remove(name);
            }
            environment.insert(name.clone(), value);
        }
        Ok(())
    }

    pub(super) fn text(
        &self,
        key: &str,
        template: &TemplateText,
        renderer: &Renderer,
        scope: &dyn Scope,
    ) -> Result<String, String> {
        renderer.render_text(&template.source, scope).map_err(|problem| self.explain(key, template, &problem))
    }

    fn artifact_rules(
        &self,
        task: &TaskDefinition,
        renderer: &Renderer,
        scope: &Variables,
    ) -> Result<Option<ArtifactRules>, String> {
        let Some(spec) = &task.artifacts else { return Ok(None) };
        let mut paths = Vec::with_capacity(spec.paths.len());
        for template in &spec.paths {
            let path = self.text("artifacts.paths", template, renderer, scope)?;
            if path.starts_with('/') || path.split('/').any(|part| part == "..") || path.is_empty() {
                return Err(format!("artifacts.paths: {path:?} must be a path inside TASK_DIR"));
            }
            paths.push(path);
        }
        Ok(Some(ArtifactRules { paths, exclude: spec.exclude.clone(), when: spec.when }))
    }

    /// The artifacts of the latest runs of its dependencies, in declared order.
    fn inputs(&self, row: &AttemptRow, always_run: bool, context: Vec<ArtifactInput>) -> Vec<ArtifactInput> {
        let dependencies = self.plan.dependencies(row.task);
        let sources = dependencies.iter().filter(|dependency| dependency.artifacts).filter_map(|dependency| {
            if let Some(instance) = row.instance.filter(|_| dependency.task == row.task) {
                // Of its own item's attempt before, by its own paths.
                let files = self.fan_outs.get(&row.task)?.artifacts(instance).to_vec();
                return Some(ArtifactInput { task: self.plan.task_name(dependency.task).to_owned(), files });
            }
            let data = self.results.get(&dependency.task)?;
            let of_itself = dependency.task == row.task;
            // An always_run task takes what exists.
            (data.current || of_itself || always_run).then(|| ArtifactInput {
                task: self.plan.task_name(dependency.task).to_owned(),
                files: data.artifacts.clone(),
            })
        });
        let agents = sources.map(|mut input| {
            let source = self.plan.task_index(&input.task);
            if source.is_some_and(|source| self.task(source).method.agent().is_some()) {
                input.files.retain(|file| !KEPT_OF_AGENTS.contains(&file.path.as_str()));
            }
            input
        });
        agents.filter(|input| !input.files.is_empty()).chain(context).collect()
    }
}

pub(super) fn duration(key: &str, field: &Field<Duration>) -> Result<Duration, String> {
    field.value().copied().ok_or_else(|| format!("{key}: its template was not resolved when the job was created"))
}

/// What may be assumed of a shell by its name.
fn dialect(words: &[String]) -> ShellDialect {
    let name = words.first().map_or("", |word| word.rsplit('/').next().unwrap_or(word));
    if matches!(name, "sh" | "dash" | "ash" | "busybox") { ShellDialect::Posix } else { ShellDialect::Bash }
}
