//! What all methods share: an attempt's directory and orders, artifacts in and out, outputs, the report.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use atta_core::definition::{ArtifactsWhen, OutputSource};
use atta_core::engine::{AttemptResult, Failure, ResultName};
use atta_core::protocol::AttemptId;
use atta_core::protocol::agent::AgentRecord;
use atta_core::protocol::ant::{Action, ArtifactFile, Assignment, AttemptReport};
use atta_core::redact::Redactor;
use futures_util::{StreamExt as _, stream};
use indexmap::IndexMap;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::Finished;
use super::agent::without_other_agents;
use super::environment::Environment;
use super::log::Log;
use super::memory::{Left, Memory};
use super::phrase::{self, failure};
use super::process::{self, ShimLine};
use super::set_output::SetOutputs;
use crate::LinkError;
use crate::ant::{Core, Order, Said, say};
use crate::supervisor::ToShim;
use crate::workspace::{self, AttemptDirectory, Contents, Found, Sources};

/// Tries to read a file that changes meanwhile.
const DIGEST_TRIES: u32 = 3;
/// More are counted only: a glob can meet any number of links.
const MOST_WARNINGS: usize = 100;
/// Files of one attempt that are read and sent at the same time: one slow file does not hold up the others, and more do
/// not make a line or a disk faster.
const STORED_AT_ONCE: usize = 4;
const STDOUT_LIMIT: usize = 1 << 20;
const SECRET_IN_OUTPUTS: &str = "there was a secret in the outputs: it was replaced by ***";

/// Why there is no result yet, or never will be.
pub(super) enum Interruption {
    /// The end of the attempt.
    End(ResultName, Failure),
    /// To be forgotten.
    Forget,
}

pub(super) fn invalid(message: impl Into<String>) -> Interruption {
    Interruption::End(ResultName::Invalid, failure("INVALID", message))
}

pub(super) fn start_failed(message: impl Into<String>) -> Interruption {
    Interruption::End(ResultName::StartFailed, failure("START_FAILED", message))
}

pub(super) struct Attempt {
    pub(super) core: Arc<Core>,
    pub(super) assignment: Assignment,
    pub(super) orders: watch::Receiver<Order>,
    pub(super) log: Log,
    /// When it was given secrets.
    pub(super) redactor: Option<Redactor>,
    pub(super) warnings: Vec<String>,
    /// A process of it may outlive it.
    pub(super) haunted: bool,
    /// How far it has come.
    pub(super) memory: Memory,
    /// Its shim, once there is one.
    pub(super) shim: Option<ShimLine>,
    /// What is there instead when it has ended without an ant.
    pub(super) left: Option<Left>,
    /// The end of the last program's spool.
    pub(super) position: u64,
    /// What is known of an agent.
    pub(super) agent: Option<Box<AgentRecord>>,
}

impl Attempt {
    pub(super) fn new(core: &Arc<Core>, assignment: Assignment, orders: watch::Receiver<Order>) -> Self {
        let capture = assignment.outputs.iter().any(|spec| spec.source == OutputSource::Stdout).then_some(STDOUT_LIMIT);
        let (id, token) = (assignment.attempt_id.clone(), assignment.token);
        let redactor = Redactor::new(&super::secrets(core, &assignment));
        // Names that the program may set by a line on stdout.
        let speaks = |source: &OutputSource| matches!(source, OutputSource::OutputFile | OutputSource::Stdout);
        let shell = matches!(assignment.action, Action::Shell { .. });
        let declared: Vec<String> =
            assignment.outputs.iter().filter(|spec| speaks(&spec.source)).map(|spec| spec.name.clone()).collect();
        let commands = (shell && !declared.is_empty()).then(|| SetOutputs::new(declared));
        let log = Log::new(core.clone(), id, token, orders.clone(), capture, commands, redactor.clone());
        Self {
            core: core.clone(),
            assignment,
            orders,
            log,
            redactor,
            warnings: Vec::new(),
            haunted: false,
            memory: Memory::default(),
            shim: None,
            left: None,
            position: 0,
            agent: None,
        }
    }

    /// Adds a warning; an ant that goes on with an attempt may see a reason for one a second time.
    pub(super) fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Sees to it that another ant would go on from here. The program has ended, and its output was delivered.
    pub(super) async fn checkpoint(&mut self) {
        let position = self.position;
        self.memory.warnings.clone_from(&self.warnings);
        let id = &self.assignment.attempt_id;
        let made = process::checkpoint(&self.core.seal, id, &mut self.memory, &self.log, position);
        let kept = match (made, &self.shim, &mut self.left) {
            (Ok(message), Some(shim), _) => shim.say(&message).await,
            (Ok(ToShim::Checkpoint { position, state }), None, Some(left)) => {
                left.keep(&self.core.attempts_dir.join(&id.0), position, state).await
            }
            (Ok(_), None, _) => Ok(()),
            (Err(error), ..) => Err(error),
        };
        if let Err(error) = kept {
            tracing::debug!(attempt = %id, %error, "a checkpoint of an attempt is not kept");
        }
    }

    /// What is left of an attempt, however it ended.
    pub(super) fn finished(mut self, ended: Result<AttemptReport, Interruption>) -> Finished {
        let report = match ended {
            Ok(report) => Some(report),
            Err(Interruption::Forget) => None,
            Err(Interruption::End(result, failure)) => {
                Some(self.report(AttemptResult::Named(result), Some(failure), IndexMap::new(), Vec::new()))
            }
        };
        let directory = self.core.attempts_dir.join(&self.assignment.attempt_id.0);
        Finished { report, directory, haunted: self.haunted, shim: self.shim }
    }

    /// The report of an attempt that came to its end. What is wrong with the outputs and artifacts of a success makes it
    /// INVALID; a failure keeps its result, and they are warnings.
    pub(super) fn conclude(
        &mut self,
        mut result: AttemptResult,
        mut end: Option<Failure>,
        outputs: IndexMap<String, Value>,
        artifacts: Vec<ArtifactFile>,
        mut problems: Vec<String>,
    ) -> Result<AttemptReport, Interruption> {
        let mut outputs = outputs;
        for spec in &self.assignment.outputs {
            if let OutputSource::Artifact(path) = &spec.source
                && outputs.contains_key(&spec.name)
                && !artifacts.iter().any(|file| file.path == path.trim_start_matches("./"))
            {
                outputs.shift_remove(&spec.name);
                problems.push(format!(
                    "the output `{}` is read from the artifact `{path}`, which is not kept: name it in `artifacts.paths`",
                    spec.name
                ));
            }
        }
        if let Some(refusal) = self.log.refusal() {
            self.warnings.push(format!("the log is not complete: {refusal}"));
        }
        if result.is_success() {
            if let Some(first) = problems.first() {
                let more = match problems.len() {
                    1 => String::new(),
                    count => format!(" (and {} more, see the warnings)", count - 1),
                };
                result = AttemptResult::Named(ResultName::Invalid);
                end = Some(failure("INVALID", format!("{first}{more}")));
                self.warnings.extend(problems.drain(1..));
            }
        } else {
            self.warnings.append(&mut problems);
        }
        if matches!(*self.orders.borrow(), Order::Forget) {
            return Err(Interruption::Forget);
        }
        Ok(self.report(result, end, outputs, artifacts))
    }

    fn report(
        &mut self,
        result: AttemptResult,
        failure: Option<Failure>,
        mut outputs: IndexMap<String, Value>,
        artifacts: Vec<ArtifactFile>,
    ) -> AttemptReport {
        let agent = self.agent.take();
        if let Some(record) = &agent {
            outputs.extend(record.outputs());
        }
        let more = self.warnings.len().saturating_sub(MOST_WARNINGS);
        if more > 0 {
            self.warnings.truncate(MOST_WARNINGS);
            self.warnings.push(format!("and {more} more warnings"));
        }
        let mut report = AttemptReport {
            result,
            failure,
            outputs,
            artifacts,
            warnings: std::mem::take(&mut self.warnings),
            log_bytes: self.log.bytes(),
            retry_after: None,
            agent,
        };
        if let Some(redactor) = &self.redactor {
            clean(&mut report, redactor);
        }
        report
    }

    /// What was ordered before there was anything to stop.
    pub(super) fn check_orders(&self) -> Result<(), Interruption> {
        match &*self.orders.borrow() {
            Order::Run => Ok(()),
            Order::Forget => Err(Interruption::Forget),
            Order::Stop(reason) => Err(Interruption::End(
                ResultName::Cancelled,
                failure("CANCELLED", format!("was stopped before it started: {reason}")),
            )),
        }
    }

    /// Waits for what comes before the program, unless the attempt is stopped, or it is `by` then: `late` says what was not.
    pub(super) async fn before_it_starts<T>(
        &self,
        work: impl Future<Output = T>,
        by: Instant,
        late: impl FnOnce() -> String,
    ) -> Result<T, Interruption> {
        let mut orders = self.orders.clone();
        tokio::select! {
            biased;
            done = work => Ok(done),
            _ = orders.wait_for(|order| *order != Order::Run) => {
                self.check_orders()?;
                Err(Interruption::Forget)
            }
            () = tokio::time::sleep_until(by) => {
                let timeout = phrase::duration(self.assignment.timeout);
                Err(start_failed(format!("{} within the timeout of {timeout}", late())))
            }
        }
    }

    /// What the attempt's programs and requests find in their environment, but for the directories.
    pub(super) fn compose(&self) -> Result<Environment, Interruption> {
        let assignment = &self.assignment;
        let mut ant = Cow::Borrowed(self.core.config.environment.as_slice());
        if self.agent_order().is_some() {
            ant = Cow::Owned(without_other_agents(&ant));
        }
        Environment::compose(&ant, &assignment.inherit_env, &assignment.environment, &assignment.secrets.environment)
            .map_err(invalid)
    }

    /// What is done without a process, within the timeout and as long as nobody stops it; what it says goes to the log meanwhile.
    pub(super) async fn within_its_time<T>(
        &mut self,
        work: impl Future<Output = T>,
        mut lines: mpsc::UnboundedReceiver<String>,
    ) -> Result<Result<T, (ResultName, Failure)>, Interruption> {
        let timeout = self.assignment.timeout;
        let mut orders = self.orders.clone();
        let control = async move {
            let work = tokio::time::timeout(timeout, work);
            tokio::select! {
                biased;
                order = stopped(&mut orders) => Err(order),
                ended = work => Ok(ended.map_err(|_| {
                    let message = format!("took longer than its timeout of {}", phrase::duration(timeout));
                    (ResultName::TimedOut, failure("TIMED_OUT", message))
                })),
            }
        };
        let log = &mut self.log;
        let deliver = async {
            while let Some(line) = lines.recv().await {
                log.system(&line).await;
            }
        };
        let (ended, ()) = tokio::join!(control, deliver);
        match ended {
            Ok(ended) => Ok(ended),
            Err(Order::Stop(reason)) => {
                Ok(Err((ResultName::Cancelled, failure("CANCELLED", format!("was stopped: {reason}")))))
            }
            Err(Order::Run | Order::Forget) => Err(Interruption::Forget),
        }
    }

    pub(super) async fn lay_inputs(&mut self, directory: &AttemptDirectory) -> Result<(), Interruption> {
        if self.assignment.inputs.iter().all(|input| input.files.is_empty()) {
            return Ok(());
        }
        let plan = workspace::plan_inputs(&self.assignment.inputs).map_err(invalid)?;
        for warning in plan.warnings {
            self.log.system(&format!("warning: {warning}")).await;
            self.warnings.push(warning);
        }
        let work = directory.work();
        // The program's own time begins with the program.
        let by = Instant::now() + self.assignment.timeout;
        for placed in plan.files {
            self.check_orders()?;
            let what = format!("the artifact `{}` of `{}`", placed.file.path, placed.task);
            let cannot = |error: std::io::Error| start_failed(format!("{what} cannot be laid into TASK_DIR: {error}"));
            let path = placed.make_way(&work).map_err(cannot)?;
            let link = self.core.link.clone();
            let mut orders = self.orders.clone();
            let fetch = say(&*self.core.config.entropy, &mut orders, || link.get_blob(placed.digest(), &path));
            match self.before_it_starts(fetch, by, || format!("{what} was not fetched")).await? {
                Said::Answer(()) => placed.finish(&path).map_err(cannot)?,
                Said::Refused(LinkError::Blob { detail, .. }) => {
                    return Err(invalid(format!("{what} cannot be fetched: {detail}")));
                }
                Said::Refused(error) => return Err(invalid(format!("{what} cannot be fetched: {error}"))),
                Said::Forgotten => return Err(Interruption::Forget),
            }
        }
        Ok(())
    }

    /// Reads what the task gave: `$ATTA_OUTPUT`, stdout, files, and the body of an answer.
    pub(super) async fn read_outputs(
        &mut self,
        directory: &AttemptDirectory,
        body: Option<&Path>,
        problems: &mut Vec<String>,
    ) -> Result<IndexMap<String, Value>, Interruption> {
        let file = directory.output_file();
        if self.assignment.outputs.is_empty() && !file.exists() {
            return Ok(IndexMap::new());
        }
        let captured = self.log.captures_stdout();
        let spoken = self.log.take_set_outputs();
        self.warnings.extend(spoken.warnings);
        let said = spoken.values.clone();
        let sources = Sources {
            file,
            work: directory.work(),
            stdout: self.log.take_stdout(),
            spoken: spoken.values,
            body: body.map(Path::to_owned),
        };
        let (declared, redactor) = (self.assignment.outputs.clone(), self.redactor.clone());
        let outputs = blocking(move || Ok(workspace::read_outputs(&sources, &declared, redactor.as_ref()))).await?;
        problems.extend(outputs.problems);
        let is_said = |(name, said): (&String, &String)| match outputs.values.get(name) {
            Some(Value::String(value)) => value == said,
            Some(value) => serde_json::from_str::<Value>(said).is_ok_and(|said| said == *value),
            None => false,
        };
        // What was lost may have set it anew. One that is not there at all is a problem already.
        if let Some(why) = self.log.short()
            && (captured || said.iter().any(is_said))
        {
            problems.push(format!("its outputs may not be what it gave, for a part of its stdout was lost: {why}"));
        }
        if outputs.redacted {
            self.warnings.push(SECRET_IN_OUTPUTS.to_owned());
        }
        Ok(outputs.values)
    }

    pub(super) async fn keep_artifacts(
        &mut self,
        directory: &AttemptDirectory,
        result: AttemptResult,
        problems: &mut Vec<String>,
    ) -> Result<Vec<ArtifactFile>, Interruption> {
        let Some(rules) = self.assignment.artifacts.clone() else { return Ok(Vec::new()) };
        let wanted = match rules.when {
            ArtifactsWhen::Always => true,
            ArtifactsWhen::OnSuccess => result.is_success(),
            ArtifactsWhen::OnFailure => !result.is_success(),
        };
        if !wanted {
            return Ok(Vec::new());
        }
        let work = directory.work();
        let collected = blocking(move || Ok(workspace::collect(&work, &rules))).await?;
        self.warnings.extend(collected.warnings);
        problems.extend(collected.problems);
        // Several names may lead to one file, which is stored once: storing may move it away.
        let mut by_source: IndexMap<PathBuf, Vec<Found>> = IndexMap::new();
        for found in collected.files {
            by_source.entry(found.source.clone()).or_default().push(found);
        }
        let mut wanted = Vec::new();
        for (_, names) in by_source {
            match self.secret_in_name(&names) {
                Some(problem) => problems.push(problem),
                None => wanted.push(names),
            }
        }
        // In the order of their names, whichever is stored first.
        let this = &*self;
        let stores: Vec<_> = wanted.iter().enumerate().map(|(number, names)| this.keep(names, number)).collect();
        let mut storing = stream::iter(stores).buffered(STORED_AT_ONCE);
        let mut kept = Vec::new();
        while let Some(stored) = storing.next().await {
            match stored? {
                Ok(files) => kept.extend(files),
                Err(problem) => problems.push(problem),
            }
        }
        kept.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(kept)
    }

    fn secret_in_name(&self, names: &[Found]) -> Option<String> {
        let redactor = self.redactor.as_ref()?;
        names.iter().find_map(|found| {
            let secret = redactor.find(found.path.as_bytes())?;
            let path = redactor.text(&found.path);
            Some(format!("the artifact `{path}` is not kept: its name holds the secret {secret}"))
        })
    }

    /// Stores one file and lists it under its names. Of all that is stored at a time, each has a number of its own.
    pub(super) async fn keep(
        &self,
        names: &[Found],
        number: usize,
    ) -> Result<Result<Vec<ArtifactFile>, String>, Interruption> {
        let Some(first) = names.first().cloned() else { return Ok(Ok(Vec::new())) };
        let mut problem = String::new();
        for _ in 0..DIGEST_TRIES {
            let found = first.clone();
            let redactor = self.redactor.clone();
            let file = match blocking(move || Ok(found.digest_without(redactor.as_ref()))).await? {
                Ok(Contents::Clean(file)) => file,
                Ok(Contents::Secret(name)) => {
                    return Ok(Err(format!("the artifact `{}` is not kept: it holds the secret {name}", first.path)));
                }
                Err(error) => return Ok(Err(format!("the artifact `{}` cannot be read: {error}", first.path))),
            };
            let link = self.core.link.clone();
            let mut orders = self.orders.clone();
            // Storing a file may move it. It stays where it is until the end is heard, for another ant may have to look at
            // all of them again; what is given away is a second name.
            let given = self.core.attempts_dir.join(&self.assignment.attempt_id.0).join(format!("given-{number}"));
            let _ = fs::remove_file(&given);
            let source = if fs::hard_link(&first.source, &given).is_ok() { &given } else { &first.source };
            let put = || link.put_blob(&file.digest, file.size, source);
            match say(&*self.core.config.entropy, &mut orders, put).await {
                Said::Answer(()) => {
                    let listed = names.iter().map(|name| ArtifactFile {
                        path: name.path.clone(),
                        executable: name.executable,
                        ..file.clone()
                    });
                    return Ok(Ok(listed.collect()));
                }
                Said::Forgotten => return Err(Interruption::Forget),
                // The content is not what was read a moment ago: somebody writes to it.
                Said::Refused(LinkError::Blob { detail, .. }) => problem = detail,
                Said::Refused(error) => {
                    return Ok(Err(format!("the artifact `{}` cannot be stored: {error}", first.path)));
                }
            }
        }
        Ok(Err(format!("the artifact `{}` cannot be stored: {problem}", first.path)))
    }
}

/// Waits for an order to end.
async fn stopped(orders: &mut watch::Receiver<Order>) -> Order {
    match orders.wait_for(|order| *order != Order::Run).await {
        Ok(order) => order.clone(),
        Err(_) => Order::Forget,
    }
}

/// The directory of an attempt that begins.
pub(super) fn make_directory(core: &Core, id: &AttemptId) -> Result<AttemptDirectory, Interruption> {
    AttemptDirectory::create(&core.attempts_dir, id, &core.spares)
        .map_err(|error| start_failed(format!("the attempt's directory cannot be made: {error}")))
}

/// Replaces secrets in what is reported. Artifacts with secrets have not been kept.
fn clean(report: &mut AttemptReport, redactor: &Redactor) {
    if let Some(failure) = &mut report.failure {
        redactor.clean(&mut failure.message);
    }
    for warning in &mut report.warnings {
        redactor.clean(warning);
    }
    if let Some(record) = report.agent.take() {
        report.agent = record.without_secrets(redactor).map(Box::new);
        if report.agent.is_none() {
            report.warnings.push("what is known of the agent is left out: there is a secret in it".to_owned());
        }
    }
    let mut found = false;
    for value in report.outputs.values_mut() {
        found |= redactor.clean_json(value);
    }
    if report.outputs.keys().any(|name| redactor.find(name.as_bytes()).is_some()) {
        found = true;
        let outputs = std::mem::take(&mut report.outputs);
        report.outputs = outputs.into_iter().map(|(name, value)| (redactor.text(&name).into_owned(), value)).collect();
    }
    if found {
        report.warnings.push(SECRET_IN_OUTPUTS.to_owned());
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Interruption> + Send + 'static,
) -> Result<T, Interruption> {
    match crate::blocking::blocking(work).await {
        Ok(result) => result,
        Err(panic) => Err(start_failed(format!("the ant failed: {panic}"))),
    }
}
