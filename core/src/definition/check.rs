//! Checks that need the whole definition: the graph, and the names that templates use.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::control::ITEM_NAMES;
use super::http::{HttpBody, HttpOptions};
use super::problems::{Problems, closest};
use super::scalar::shortened;
use super::{
    CacheSpec, ConfigUses, Diagnostic, FanOut, Field, IN_WORKSPACE, InheritEnv, JobDefinition, KnownConfigs, Method,
    Program, RetryDelay, RetryPolicy, RouteTarget, Span, TaskDefinition, TemplateText, VariableValue, code,
    replace_secrets,
};
use crate::graph::Plan;
use crate::template::{self, BUILTINS, Inspection, ShellDialect, TemplateProblem};

/// Steps along edges that the search for ancestors may take in one definition; beyond it warnings are left out.
const ANCESTOR_STEPS: usize = 10_000_000;

/// Parsed templates that are remembered; those of `defaults` come first.
const REMEMBERED: usize = 5_000;

/// What is known only while a task runs.
const OF_A_TASK: [&str; 5] = ["tasks", "RoutedFrom", "TaskType", "TaskVisit", "TaskAttempt"];

/// What is known when the outcome of the job is.
const OF_THE_END: [&str; 2] = ["JobResult", "JobErrorCode"];

/// What can be asked of a task.
const TASK_FIELDS: [&str; 5] = ["state", "exit_code", "result", "outputs", "artifacts"];

pub(super) fn check(
    definition: &JobDefinition,
    source: &str,
    graph_incomplete: bool,
    configs: KnownConfigs<'_>,
    problems: &mut Problems,
) -> ConfigUses {
    if !definition.tasks.is_empty() {
        let found = match Plan::build(definition) {
            Ok((_, warnings)) => warnings,
            Err(found) => found,
        };
        // Around tasks and routes that were left out, only a name that is wrong in any case is worth saying.
        let worth = |one: &Diagnostic| !graph_incomplete || one.code == "E-UNKNOWN-TASK";
        problems.extend(found.into_iter().filter(worth));
    }
    super::triggers::check(definition, source, problems);
    let mut checker = Checker::new(definition, source, configs, problems);
    checker.run();
    checker.uses
}

/// Where a template stands: what may be known there.
#[derive(Clone, Copy)]
pub(super) enum Place<'d> {
    /// Evaluated before the job starts, or when it is created.
    Job(&'static str),
    /// Rendered again and again, with whatever is known.
    Description,
    Task(usize, &'d TaskDefinition),
    /// An instance of a `fan_out`: its item is known.
    Instance(usize, &'d TaskDefinition),
}

pub(super) struct Checker<'d, 'p> {
    pub(super) definition: &'d JobDefinition,
    source: &'d str,
    pub(super) configs: KnownConfigs<'p>,
    pub(super) uses: ConfigUses,
    /// Secrets may stand in the template that is looked at.
    pub(super) secrets_allowed: bool,
    /// Configs may stand in it.
    pub(super) configs_allowed: bool,
    pub(super) problems: &'p mut Problems,
    pub(super) names: HashMap<&'d str, usize>,
    /// Edges: who comes right before and right after a task.
    before: Vec<Vec<usize>>,
    after: Vec<Vec<usize>>,
    /// For tasks that are referred to: everything that comes after them.
    descendants: HashMap<usize, Vec<bool>>,
    steps: usize,
    /// A template that `defaults` or an alias brings to many tasks is parsed once.
    inspected: HashMap<(usize, bool), Option<Rc<Inspection>>>,
    scripts: HashSet<Vec<usize>>,
    /// Names that are known in the templates that are being checked, and nowhere else.
    pub(super) locals: Vec<String>,
}

impl<'d, 'p> Checker<'d, 'p> {
    fn new(
        definition: &'d JobDefinition,
        source: &'d str,
        configs: KnownConfigs<'p>,
        problems: &'p mut Problems,
    ) -> Self {
        let names: HashMap<&str, usize> =
            definition.tasks.iter().enumerate().map(|(index, task)| (task.name.as_str(), index)).collect();
        let mut before = vec![Vec::new(); definition.tasks.len()];
        for (index, task) in definition.tasks.iter().enumerate() {
            for dependency in task.dependencies.iter().flatten() {
                before[index].extend(names.get(dependency.task.as_str()).copied());
            }
            for route in &task.routes {
                let RouteTarget::Tasks(targets) = &route.target else { continue };
                for target in targets.iter().filter_map(|target| names.get(target.as_str())) {
                    before[*target].push(index);
                }
            }
        }
        let mut after = vec![Vec::new(); definition.tasks.len()];
        for (task, earlier) in before.iter().enumerate() {
            for &earlier in earlier {
                after[earlier].push(task);
            }
        }
        Self {
            definition,
            source,
            configs,
            uses: ConfigUses::default(),
            secrets_allowed: false,
            configs_allowed: true,
            problems,
            names,
            before,
            after,
            descendants: HashMap::new(),
            steps: 0,
            inspected: HashMap::new(),
            scripts: HashSet::new(),
            locals: Vec::new(),
        }
    }

    fn run(&mut self) {
        let job = self.definition;
        if let Some(description) = &job.description {
            self.text(description, Place::Description);
        }
        for value in job.job_variables.values() {
            self.variable(value, Place::Description);
        }
        self.optional(job.skip_if.as_ref(), Place::Job("`skip_if` is evaluated before the job starts"));
        self.optional(job.user_key.as_ref(), Place::Job("`user_key` is evaluated when the job is submitted"));
        let key = job.concurrency.as_ref().map(|concurrency| &concurrency.key);
        self.optional(key, Place::Job("`concurrency.key` is evaluated when the job is submitted"));
        let created = Place::Job("it is evaluated when the job is created");
        self.optional_field(job.timeout.as_ref(), created);
        self.optional_field(job.resume_after.as_ref(), created);
        self.retry(&job.retry, created);
        if let Some(workspace) = &job.workspace {
            self.field(&workspace.ttl, created);
            self.optional_field(workspace.size_limit.as_ref(), created);
            if let Some(git) = &workspace.git {
                let made = Place::Job("the workspace is made before any task runs");
                self.text(&git.url, made);
                self.optional(git.reference.as_ref(), made);
                self.optional(git.branch.as_ref(), made);
            }
        }
        for notification in &job.notify {
            for text in notification.texts() {
                self.text(text, Place::Description);
            }
            for address in notification.addresses() {
                self.text(address, Place::Job("an address is made without the tasks"));
            }
            for target in notification.targets() {
                // Blanks of the same length: what is wrong beside them keeps its place.
                let source = replace_secrets(&target.source, |_, expression| " ".repeat(expression.len()));
                let target = TemplateText { source, span: target.span };
                self.text(&target, Place::Job("an address is made without the tasks"));
            }
        }
        self.outcome();
        if let Some(budget) = &job.budget {
            self.budget(budget, created);
        }
        for (index, task) in job.tasks.iter().enumerate() {
            self.task(index, task, created);
        }
        // Job-level environment is rendered for each task, so what only tasks know is known there.
        if let Some((index, task)) = job
            .tasks
            .iter()
            .enumerate()
            .find(|(_, task)| task.always_run)
            .or_else(|| job.tasks.iter().enumerate().next())
        {
            self.secrets_allowed = true;
            for value in job.environment.values() {
                self.text_without_order(value, Place::Task(index, task));
            }
            self.secrets_allowed = false;
        }
    }

    fn task(&mut self, index: usize, task: &'d TaskDefinition, created: Place<'d>) {
        let before = Place::Task(index, task);
        let here = if task.fan_out.is_some() { Place::Instance(index, task) } else { before };
        if let Some(fan_out) = &task.fan_out {
            self.fan_out(task, fan_out, before, here, created);
        }
        self.optional(task.description.as_ref(), here);
        self.secrets_allowed = true;
        for value in task.environment.values() {
            self.text(value, here);
        }
        self.secrets_allowed = false;
        self.env_from(&task.env_from);
        for value in &task.tags {
            self.text(value, here);
        }
        self.optional(task.when.as_ref().map(|when| &when.template), before);
        for path in task.artifacts.iter().flat_map(|artifacts| &artifacts.paths) {
            self.text(path, here);
        }
        if let Some(cache) = &task.cache {
            for text in std::iter::once(&cache.key).chain(&cache.paths).chain(&cache.restore_keys) {
                self.text(text, here);
            }
            self.check_cache_workspace(cache);
        }
        self.optional_field(task.artifacts.as_ref().and_then(|artifacts| artifacts.expire_after.as_ref()), created);
        self.field(&task.timeout, created);
        self.optional_field(task.idle_timeout.as_ref(), created);
        self.optional_field(task.queue_timeout.as_ref(), created);
        self.field(&task.kill_grace, created);
        self.retry(&task.retry, created);
        for route in &task.routes {
            if let RouteTarget::Reschedule { after, until } = &route.target {
                self.field(after, created);
                self.field(until, created);
            }
        }
        match &task.method {
            Method::SubmitJobs(options) => self.submission(options, here),
            Method::ForkJob(options) => self.fork(options, here),
            Method::AwaitForkedJob(options) => self.awaited(index, task, options),
            Method::Http(request) => self.request(request, task, here),
            Method::Agent(agent) => self.agent(index, task, agent, here, created),
            Method::Github(github) => {
                for template in github.templates() {
                    self.text(template, here);
                }
                for value in github.settings.values() {
                    self.variable(value, here);
                }
                self.environment_names(github.variables(), task);
            }
            Method::ExpireArtifacts(expire) => self.field(&expire.older_than, created),
            Method::Approval(approval) => {
                self.optional(approval.message.as_ref(), here);
                self.optional_field(approval.timeout.as_ref(), created);
            }
            Method::Shell(_) => {}
        }
        let Method::Shell(shell) = &task.method else { return };
        for entry in shell.before_script.iter().chain(&shell.script).chain(&shell.after_script) {
            self.script_text(entry, here);
        }
        let dialect = match &shell.program {
            Program::DefaultShell => ShellDialect::Bash,
            Program::Shell(words) => {
                let name = words.first().and_then(|word| word.rsplit('/').next()).unwrap_or_default();
                if matches!(name, "bash" | "ksh") { ShellDialect::Bash } else { ShellDialect::Posix }
            }
            Program::Interpreter(_) => {
                let entries = shell.before_script.iter().chain(&shell.script).chain(&shell.after_script);
                return entries.for_each(|entry| self.source_of_program(entry));
            }
        };
        let main: Vec<&TemplateText> = shell.before_script.iter().chain(&shell.script).collect();
        let after: Vec<&TemplateText> = shell.after_script.iter().collect();
        self.script(&main, dialect);
        self.script(&after, dialect);
    }

    /// A path in the workspace of a job that has none.
    fn check_cache_workspace(&mut self, cache: &CacheSpec) {
        if self.definition.workspace.is_some() {
            return;
        }
        for path in cache.paths.iter().filter(|path| path.source.starts_with(IN_WORKSPACE)) {
            let message = "a cache path in `$JOB_WORKSPACE/`, and the job has no `workspace`";
            let problem = Diagnostic::error(code::PATH, path.span, message);
            self.problems.push(problem.with_help("give the job one: `workspace: {scope: job}`"));
        }
    }

    fn request(&mut self, request: &'d HttpOptions, task: &'d TaskDefinition, here: Place<'d>) {
        for template in request.templates() {
            self.text(template, here);
        }
        if let HttpBody::Json(value) = &request.body {
            self.variable(value, here);
        }
        self.environment_names(request.variables(), task);
    }

    /// `${NAME}` of a request must be there.
    fn environment_names<'n>(&mut self, names: impl Iterator<Item = (&'n str, Span)>, task: &'d TaskDefinition) {
        let job = self.definition;
        for (name, span) in names {
            let inherited = match &job.inherit_env {
                InheritEnv::All => true,
                InheritEnv::None => false,
                InheritEnv::Names(names) => names.iter().any(|inherited| inherited == name),
            };
            let set = task.environment.contains_key(name) || job.environment.contains_key(name);
            if !(set || inherited || !task.env_from.is_empty() || name.starts_with("ATTA_")) {
                self.problems.error_with_help(
                    code::UNDECLARED,
                    span,
                    format!("`${{{name}}}` is no variable of this task's environment"),
                    format!("set it: `environment: {{{name}: …}}`"),
                );
            }
        }
    }

    fn retry(&mut self, retry: &'d RetryPolicy, place: Place<'d>) {
        self.field(&retry.retries, place);
        if let RetryDelay::Constant(delay) = &retry.delay {
            self.field(delay, place);
        }
    }

    pub(super) fn field<T>(&mut self, field: &'d Field<T>, place: Place<'d>) {
        if let Field::Template(template) = field {
            self.configs_allowed = false;
            self.text(template, place);
            self.configs_allowed = true;
        }
    }

    pub(super) fn optional_field<T>(&mut self, field: Option<&'d Field<T>>, place: Place<'d>) {
        if let Some(field) = field {
            self.field(field, place);
        }
    }

    fn optional(&mut self, template: Option<&'d TemplateText>, place: Place<'d>) {
        if let Some(template) = template {
            self.text(template, place);
        }
    }

    pub(super) fn variable(&mut self, value: &'d VariableValue, place: Place<'d>) {
        value.for_each_template(&mut |template| self.text(template, place));
    }

    fn fan_out(
        &mut self,
        task: &'d TaskDefinition,
        fan_out: &'d FanOut,
        before: Place<'d>,
        here: Place<'d>,
        created: Place<'d>,
    ) {
        for name in std::iter::once(fan_out.item_var.as_str()).chain(ITEM_NAMES) {
            let hidden = if self.definition.params.contains_key(name) {
                "param"
            } else if self.definition.job_variables.contains_key(name) {
                "job variable"
            } else {
                continue;
            };
            self.problems.error_with_help(
                code::CONFLICT,
                fan_out.span,
                format!("`{name}` of this `fan_out` would hide the {hidden} of the same name"),
                if name == fan_out.item_var {
                    format!("give the item another name with `item_var`, or rename the {hidden}")
                } else {
                    format!("rename the {hidden}")
                },
            );
        }
        if let Some(output) = task.outputs.iter().find(|output| output.name == "results") {
            self.problems.error_with_help(
                code::RESERVED_NAME,
                output.span,
                "an output of a task with `fan_out` cannot be named results: it has all that is known of each instance",
                "choose another name",
            );
        }
        self.variable(&fan_out.items, before);
        self.optional(fan_out.key.as_ref(), here);
        self.optional_field(fan_out.max_parallel.as_ref(), created);
    }

    pub(super) fn text(&mut self, template: &TemplateText, place: Place<'d>) {
        if let Some(inspection) = self.inspect(template, false) {
            self.references(template, &inspection, place, true);
        }
    }

    fn text_without_order(&mut self, template: &TemplateText, place: Place<'d>) {
        if let Some(inspection) = self.inspect(template, false) {
            self.references(template, &inspection, place, false);
        }
    }

    fn script_text(&mut self, template: &TemplateText, place: Place<'d>) {
        if let Some(inspection) = self.inspect(template, true) {
            self.references(template, &inspection, place, true);
        }
    }

    pub(super) fn inspect(&mut self, template: &TemplateText, script: bool) -> Option<Rc<Inspection>> {
        if !template.source.contains('{') {
            return None;
        }
        let key = (template.span.start, script);
        if let Some(known) = self.inspected.get(&key) {
            return known.clone();
        }
        let inspected =
            if script { template::inspect_script(&template.source) } else { template::inspect(&template.source) };
        let inspection = match inspected {
            Ok(inspection) => Some(Rc::new(inspection)),
            Err(problem) => {
                self.report(template, problem);
                None
            }
        };
        if self.inspected.len() < REMEMBERED || inspection.is_none() {
            self.inspected.insert(key, inspection.clone());
        }
        inspection
    }

    pub(super) fn report(&mut self, template: &TemplateText, problem: TemplateProblem) {
        let span = match problem.offset {
            Some(offset) => locate(self.source, template, offset, 2),
            None => template.span,
        };
        let mut diagnostic = Diagnostic::error(problem.code, span, problem.message);
        diagnostic.help = problem.help;
        self.problems.push(diagnostic);
    }

    /// Places where no value can stand, entries that end inside quotes, values that a program evaluates again.
    fn script(&mut self, entries: &[&TemplateText], dialect: ShellDialect) {
        let spans = entries.iter().map(|entry| entry.span.start).collect();
        if entries.is_empty() || !self.scripts.insert(spans) {
            return;
        }
        // A template that does not even parse has been reported.
        let broken = entries.iter().any(|entry| self.inspected.get(&(entry.span.start, true)) == Some(&None));
        if broken {
            return;
        }
        let sources: Vec<&str> = entries.iter().map(|entry| entry.source.as_str()).collect();
        match template::check_script(&sources, dialect) {
            Ok(warnings) => {
                for warning in warnings {
                    let Some(entry) = entries.get(warning.entry) else { continue };
                    let span = locate(self.source, entry, warning.offset, 2);
                    let mut diagnostic = Diagnostic::warning(warning.code, span, warning.message);
                    diagnostic.help = warning.help;
                    self.problems.push(diagnostic);
                }
            }
            Err(problem) => {
                if let Some(entry) = entries.get(problem.entry) {
                    self.report(entry, problem);
                }
            }
        }
    }

    fn references(&mut self, template: &TemplateText, inspection: &Inspection, place: Place<'d>, order: bool) {
        // `tasks.unit-test` has been explained: `test` behind the dash is no name of its own.
        let mut behind_dash: Vec<&str> = Vec::new();
        for reference in &inspection.references {
            let Some((name, rest)) = reference.path.split_first() else { continue };
            let at = |width: usize| locate(self.source, template, reference.offset, width);
            let found = match name.as_str() {
                _ if self.locals.contains(name) => None,
                "secrets" => self.secret_reference(reference, rest, at(name.len())),
                "configs" => self.config_reference(reference, rest, at(name.len())),
                "params" => rest.first().and_then(|param| {
                    let known = self.definition.params.keys().map(String::as_str);
                    undeclared("param", param, known, at(name.len()), self.definition.params.contains_key(param))
                }),
                "job_variables" => rest.first().and_then(|variable| {
                    let variables = &self.definition.job_variables;
                    let known = variables.keys().map(String::as_str);
                    undeclared("job variable", variable, known, at(name.len()), variables.contains_key(variable))
                }),
                _ if OF_A_TASK.contains(&name.as_str()) && matches!(place, Place::Job(_)) => {
                    let Place::Job(why) = place else { continue };
                    let message = format!("`{name}` is not known here: {why}");
                    Some(
                        Diagnostic::error(code::UNDECLARED, at(name.len()), message)
                            .with_help("use params and job variables"),
                    )
                }
                "tasks" => {
                    let span = at(name.len());
                    if let Some(dashed) = rest.first().and_then(|task| self.dashed(task)) {
                        behind_dash.extend(dashed.split('-').skip(1));
                    }
                    self.task_reference(rest, span, place, order)
                }
                _ if OF_THE_END.contains(&name.as_str()) => {
                    let known = reference.guarded
                        || match place {
                            Place::Task(_, task) | Place::Instance(_, task) => task.always_run,
                            Place::Description => true,
                            Place::Job(_) => false,
                        };
                    (!known).then(|| {
                        Diagnostic::error(
                            code::UNDECLARED,
                            at(name.len()),
                            format!(
                                "`{name}` is known in `always_run` tasks only: elsewhere the job has no result yet"
                            ),
                        )
                    })
                }
                _ if BUILTINS.contains(&name.as_str())
                    || self.definition.params.contains_key(name)
                    || self.definition.job_variables.contains_key(name) =>
                {
                    None
                }
                other if is_of_item(place, other) => match place {
                    Place::Instance(..) => None,
                    _ => Some(
                        Diagnostic::error(
                            code::UNDECLARED,
                            at(name.len()),
                            format!(
                                "`{name}` is not known here: `when` and `items` are rendered before there are items"
                            ),
                        )
                        .with_help("decide by item inside the script, or leave the item out of `items`"),
                    ),
                },
                other if behind_dash.contains(&other) => None,
                other if self.is_config(other) => self.uses_config(other, reference.guarded, at(name.len())),
                _ => Some(self.unknown_name(name, at(name.len()))),
            };
            if let Some(diagnostic) = found {
                self.problems.push(diagnostic);
            }
        }
    }

    fn unknown_name(&self, name: &str, span: Span) -> Diagnostic {
        let diagnostic = Diagnostic::error(code::UNDECLARED, span, format!("nothing declares `{}`", shortened(name)));
        let declared = self.definition.params.keys().chain(self.definition.job_variables.keys()).map(String::as_str);
        if let Some(meant) = self.problems.suggestion(name, declared.chain(BUILTINS.iter().copied())) {
            return diagnostic.with_help(format!("did you mean `{meant}`?"));
        }
        if self.names.contains_key(name) {
            return diagnostic.with_help(format!("a task is written tasks['{name}']"));
        }
        diagnostic.with_help(
            "declare it under `params` (given at submit) or `job_variables` (given here); a config of the server is \
             written `configs.NAME`",
        )
    }

    fn task_reference(&mut self, rest: &[String], span: Span, place: Place<'d>, order: bool) -> Option<Diagnostic> {
        let (name, fields) = rest.split_first()?;
        let Some(&target) = self.names.get(name.as_str()) else {
            let diagnostic =
                Diagnostic::error(code::UNDECLARED, span, format!("there is no task `{}`", shortened(name)));
            return Some(match self.dashed(name) {
                Some(dashed) => diagnostic.with_help(format!("a name with a dash is written tasks['{dashed}']")),
                None => match self.problems.suggestion(name, self.names.keys().copied()) {
                    Some(meant) => diagnostic.with_help(format!("did you mean `{meant}`?")),
                    None => diagnostic,
                },
            });
        };
        if let Some(field) = fields.first()
            && !TASK_FIELDS.contains(&field.as_str())
        {
            let help = match closest(field, TASK_FIELDS) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => {
                    "a task has state, exit_code, result, outputs and artifacts; what it wrote is in outputs".to_owned()
                }
            };
            let message = format!("a task has no `{}`", shortened(field));
            return Some(Diagnostic::error(code::UNDECLARED, span, message).with_help(help));
        }
        let (Place::Task(index, task) | Place::Instance(index, task)) = place else { return None };
        // An `always_run` task comes after everything.
        if !order || task.always_run || target == index || self.comes_before(target, index) {
            return None;
        }
        Some(
            Diagnostic::warning(
                code::NOT_ANCESTOR,
                span,
                format!("no path leads from {name} to {}: it need not have run when this is read", task.name),
            )
            .with_help(format!("add {name} to the dependencies of {}", task.name)),
        )
    }

    /// The task that `tasks.unit-test` means, which reads as `tasks.unit` minus `test`.
    fn dashed(&self, name: &str) -> Option<&'d str> {
        if self.names.contains_key(name) || !self.problems.suggests() {
            return None;
        }
        self.names.keys().copied().find(|other| other.strip_prefix(name).is_some_and(|end| end.starts_with('-')))
    }

    pub(super) fn comes_before(&mut self, target: usize, task: usize) -> bool {
        if self.before[task].contains(&target) {
            return true;
        }
        if let Some(descendants) = self.descendants.get(&target) {
            return descendants[task];
        }
        // Out of steps: rather no warning than a wrong one.
        if self.steps > ANCESTOR_STEPS {
            return true;
        }
        let mut reached = vec![false; self.after.len()];
        let mut waiting = vec![target];
        while let Some(at) = waiting.pop() {
            self.steps += self.after[at].len() + 1;
            for &later in &self.after[at] {
                if !std::mem::replace(&mut reached[later], true) {
                    waiting.push(later);
                }
            }
        }
        let found = reached[task];
        self.descendants.insert(target, reached);
        found
    }
}

/// Whether the name is one of those that the instances of the task's `fan_out` have.
fn is_of_item(place: Place<'_>, name: &str) -> bool {
    let (Place::Task(_, task) | Place::Instance(_, task)) = place else { return false };
    task.fan_out.as_ref().is_some_and(|fan_out| fan_out.item_var == name || ITEM_NAMES.contains(&name))
}

fn undeclared<'n>(
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'n str>,
    span: Span,
    declared: bool,
) -> Option<Diagnostic> {
    if declared {
        return None;
    }
    let diagnostic = Diagnostic::error(code::UNDECLARED, span, format!("there is no {what} `{}`", shortened(name)));
    Some(match closest(name, known) {
        Some(meant) => diagnostic.with_help(format!("did you mean `{meant}`?")),
        None => diagnostic,
    })
}

/// Where a byte of a template's source stands in the file: the scalar's text follows its value, but for quotes,
/// escapes and indentation.
pub(super) fn locate(source: &str, template: &TemplateText, offset: usize, width: usize) -> Span {
    let raw = &source[template.span.start..template.span.end.min(source.len())];
    let mut at = 0;
    for (index, wanted) in template.source.char_indices() {
        let rest = &raw[at..];
        let next = if wanted.is_whitespace() {
            rest.chars().next().filter(|c| c.is_whitespace()).map(|c| (0, c))
        } else {
            // A character written as an escape is not found; what follows it will be.
            rest.char_indices()
                .take_while(|(_, c)| c.is_whitespace() || *c != '{' || wanted == '{')
                .find(|(_, c)| *c == wanted)
        };
        if let Some((skipped, c)) = next {
            at += skipped;
            if index >= offset {
                break;
            }
            at += c.len_utf8();
        } else if index >= offset {
            break;
        }
    }
    let start = template.span.start + at.min(raw.len());
    let mut end = (start + width).min(template.span.end).max(start);
    while !source.is_char_boundary(end) {
        end += 1;
    }
    Span { start, end }
}
