//! `method: SHELL`: the directory, the script in one process, `after_script` in another, then outputs and artifacts.

use std::ffi::CString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use atta_core::definition::{ArtifactsWhen, OutputSource, Program};
use atta_core::engine::{AttemptResult, Failure, ResultName};
use atta_core::protocol::ant::{Action, ArtifactFile, Assignment, AttemptReport, ReportBody};
use indexmap::IndexMap;
use serde_json::Value;
use tokio::sync::watch;

use super::environment::{Environment, c_path};
use super::log::Log;
use super::phrase::{self, failure};
use super::process::{self, Obedience, Outcome};
use super::{Finished, program};
use crate::LinkError;
use crate::ant::{Core, Order, Said, say};
use crate::supervisor::{ExitRecord, ExitStatus, SpawnRequest, StartFault, StopCause};
use crate::workspace::{self, AttemptDirectory, Found};

/// Output that the queen has not taken; beyond it the program waits.
const SPOOL_BOUND: u64 = 16 << 20;
const AFTER_SCRIPT_TIMEOUT: Duration = Duration::from_mins(5);
/// Tries to read a file that changes meanwhile.
const DIGEST_TRIES: u32 = 3;
/// More are counted only: a glob can meet any number of links.
const MOST_WARNINGS: usize = 100;
const STDOUT_LIMIT: usize = 1 << 20;

/// Why there is no result yet, or never will be.
enum Interruption {
    /// The end of the attempt.
    End(ResultName, Failure),
    /// To be forgotten.
    Forget,
}

fn invalid(message: impl Into<String>) -> Interruption {
    Interruption::End(ResultName::Invalid, failure("INVALID", message))
}

fn start_failed(message: impl Into<String>) -> Interruption {
    Interruption::End(ResultName::StartFailed, failure("START_FAILED", message))
}

struct Attempt {
    core: Arc<Core>,
    assignment: Assignment,
    orders: watch::Receiver<Order>,
    log: Log,
    warnings: Vec<String>,
    /// A process of it may outlive it.
    haunted: bool,
}

/// What the commands of an attempt are started with.
struct Prepared {
    directory: AttemptDirectory,
    environment: Environment,
    words: Vec<String>,
    executable: PathBuf,
}

pub(super) async fn execute(core: &Arc<Core>, assignment: Assignment, orders: watch::Receiver<Order>) -> Finished {
    let capture = assignment.outputs.iter().any(|spec| spec.source == OutputSource::Stdout).then_some(STDOUT_LIMIT);
    let (id, token) = (assignment.attempt_id.clone(), assignment.token);
    let log = Log::new(core.clone(), id.clone(), token, orders.clone(), capture);
    let directory = core.attempts_dir.join(&id.0);
    let mut attempt = Attempt { core: core.clone(), assignment, orders, log, warnings: Vec::new(), haunted: false };
    let report = match attempt.run().await {
        Ok(report) => Some(report),
        Err(Interruption::Forget) => None,
        Err(Interruption::End(result, failure)) => {
            Some(attempt.report(AttemptResult::Named(result), Some(failure), IndexMap::new(), Vec::new()))
        }
    };
    Finished { report, directory, haunted: attempt.haunted }
}

impl Attempt {
    async fn run(&mut self) -> Result<AttemptReport, Interruption> {
        let mut prepared = self.prepare().await?;
        self.lay_inputs(&prepared.directory).await?;
        self.check_orders()?;

        let outcome = self.run_script(&prepared, "script").await?;
        let (mut result, mut end) = self.judge(outcome)?;
        if let Some(failure) = &end
            && matches!(result, AttemptResult::Named(name) if name != ResultName::Killed)
        {
            self.log.system(&failure.message).await;
        }
        let Action::Shell { after_script, .. } = &self.assignment.action;
        if after_script.is_some() {
            self.run_after_script(&mut prepared, result).await?;
        }

        let mut problems = Vec::new();
        let outputs = self.read_outputs(&prepared.directory, &mut problems).await?;
        let artifacts = self.keep_artifacts(&prepared.directory, result, &mut problems).await?;
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
        outputs: IndexMap<String, Value>,
        artifacts: Vec<ArtifactFile>,
    ) -> AttemptReport {
        let more = self.warnings.len().saturating_sub(MOST_WARNINGS);
        if more > 0 {
            self.warnings.truncate(MOST_WARNINGS);
            self.warnings.push(format!("and {more} more warnings"));
        }
        AttemptReport {
            result,
            failure,
            outputs,
            artifacts,
            warnings: std::mem::take(&mut self.warnings),
            log_bytes: self.log.bytes(),
        }
    }

    /// What was ordered before there was anything to stop.
    fn check_orders(&mut self) -> Result<(), Interruption> {
        match &*self.orders.borrow() {
            Order::Run => Ok(()),
            Order::Forget => Err(Interruption::Forget),
            Order::Stop(reason) => Err(Interruption::End(
                ResultName::Cancelled,
                failure("CANCELLED", format!("was stopped before it started: {reason}")),
            )),
        }
    }

    async fn prepare(&mut self) -> Result<Prepared, Interruption> {
        let assignment = &self.assignment;
        let environment =
            Environment::compose(&self.core.config.environment, &assignment.inherit_env, &assignment.environment)
                .map_err(invalid)?;
        let Action::Shell { program, script, after_script } = &assignment.action;
        if matches!(program, Program::Interpreter(_))
            && (!script.preamble.is_empty() || after_script.as_ref().is_some_and(|s| !s.preamble.is_empty()))
        {
            return Err(invalid("values cannot be bound in the script of an interpreter that is no shell"));
        }
        let (core, id, program) = (self.core.clone(), assignment.attempt_id.clone(), program.clone());
        let (script, after_script) = (script.clone(), after_script.clone());
        blocking(move || {
            let directory = AttemptDirectory::create(&core.attempts_dir, &id, &core.spares)
                .map_err(|error| start_failed(format!("the attempt's directory cannot be made: {error}")))?;
            let mut environment = environment;
            environment.set("TASK_DIR", directory.work());
            environment.set("ATTA_OUTPUT", directory.output_file());
            let words = program::words(&program, environment.path());
            let Some(name) = words.first() else { return Err(start_failed("no program is named for the script")) };
            let executable = program::find(name, environment.path(), &directory.work());
            for (name, script) in [("script", Some(&script)), ("after", after_script.as_ref())] {
                if let Some(script) = script {
                    directory
                        .write_script(name, script)
                        .map_err(|error| start_failed(format!("the script cannot be written: {error}")))?;
                }
            }
            // A program with a slash in its name may come with the artifacts: looked for when it is started.
            let executable = match executable {
                Err(_) if name.contains('/') => directory.work().join(name),
                found => found.map_err(start_failed)?,
            };
            Ok(Prepared { directory, environment, words, executable })
        })
        .await
    }

    async fn lay_inputs(&mut self, directory: &AttemptDirectory) -> Result<(), Interruption> {
        if self.assignment.inputs.iter().all(|input| input.files.is_empty()) {
            return Ok(());
        }
        let plan = workspace::plan_inputs(&self.assignment.inputs).map_err(invalid)?;
        for warning in plan.warnings {
            self.log.system(&format!("warning: {warning}")).await;
            self.warnings.push(warning);
        }
        let work = directory.work();
        for placed in plan.files {
            self.check_orders()?;
            let what = format!("the artifact `{}` of `{}`", placed.file.path, placed.task);
            let cannot = |error: std::io::Error| start_failed(format!("{what} cannot be laid into TASK_DIR: {error}"));
            let path = placed.make_way(&work).map_err(cannot)?;
            let link = self.core.link.clone();
            let mut orders = self.orders.clone();
            let fetched = say(&*self.core.config.entropy, &mut orders, || link.get_blob(placed.digest(), &path)).await;
            match fetched {
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

    async fn run_script(&mut self, prepared: &Prepared, name: &str) -> Result<Outcome, Interruption> {
        let after = name != "script";
        let request = self.request(prepared, name, after).map_err(start_failed)?;
        let spool = prepared.directory.spool(name);
        let obedience = if after { Obedience::Forget } else { Obedience::All };
        let (core, id, token) = (&self.core, &self.assignment.attempt_id, self.assignment.token);
        let started = |level: crate::IsolationLevel| {
            if !after {
                core.report(id, token, 1, ReportBody::Started { isolation: level.as_str().to_owned() });
            }
        };
        let outcome = process::run(core, &request, spool, &mut self.log, self.orders.clone(), obedience, started).await;
        self.haunted |= match &outcome {
            Outcome::Ended(record) => record.survivors > 0,
            Outcome::ShimDied => true,
            Outcome::NotStarted(..) | Outcome::NoLauncher(_) => false,
        };
        Ok(outcome)
    }

    fn request(&self, prepared: &Prepared, name: &str, after: bool) -> Result<SpawnRequest, String> {
        let assignment = &self.assignment;
        let mut arguments = prepared.words.clone();
        let file = prepared.directory.root().join(name);
        arguments.push(file.to_str().ok_or("the data directory's path is not UTF-8")?.to_owned());
        let arguments: Result<Vec<CString>, _> = arguments.into_iter().map(CString::new).collect();
        Ok(SpawnRequest {
            name: format!("{}-{name}", assignment.attempt_id),
            executable: c_path(&prepared.executable)?,
            arguments: arguments.map_err(|_| "an argument of the program has a NUL byte")?,
            environment: prepared.environment.strings(),
            directory: c_path(&prepared.directory.work())?,
            spool: c_path(&prepared.directory.spool(name))?,
            timeout: if after { AFTER_SCRIPT_TIMEOUT } else { assignment.timeout },
            idle_timeout: if after { Duration::ZERO } else { assignment.idle_timeout.unwrap_or_default() },
            kill_grace: assignment.kill_grace,
            now: self.core.config.clock.now().0,
            spool_bound: SPOOL_BOUND,
        })
    }

    /// The result of the script, as far as the script alone decides it.
    fn judge(&mut self, outcome: Outcome) -> Result<(AttemptResult, Option<Failure>), Interruption> {
        let order = self.orders.borrow().clone();
        if order == Order::Forget {
            return Err(Interruption::Forget);
        }
        let record = match outcome {
            Outcome::Ended(record) => record,
            Outcome::NotStarted(fault, error) => return Err(start_failed(self.start_fault(fault, &error))),
            // Whoever runs this ant ends it; the attempt is taken up again by the next one.
            Outcome::NoLauncher(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                self.core.lose_launcher();
                return Err(Interruption::Forget);
            }
            Outcome::NoLauncher(error) => {
                return Err(start_failed(format!("the ant cannot start processes any more: {error}")));
            }
            Outcome::ShimDied => {
                return Err(Interruption::End(
                    ResultName::Lost,
                    failure("LOST", "the process that watched over the task was killed; its processes were killed too"),
                ));
            }
        };
        self.note_survivors(&record);
        let named = |result: ResultName, message: String| {
            (AttemptResult::Named(result), Some(failure(result.as_str(), message)))
        };
        Ok(match record.stopped {
            Some(StopCause::Timeout) => named(
                ResultName::TimedOut,
                format!("ran longer than its timeout of {} and was stopped", phrase::duration(self.assignment.timeout)),
            ),
            Some(StopCause::Idle) => named(
                ResultName::IdleTimedOut,
                format!(
                    "produced no output and showed no activity for {} and was stopped",
                    phrase::duration(self.assignment.idle_timeout.unwrap_or_default())
                ),
            ),
            Some(StopCause::Order | StopCause::Orphaned) => match order {
                Order::Stop(reason) => named(ResultName::Cancelled, format!("was stopped: {reason}")),
                Order::Run | Order::Forget => named(ResultName::Cancelled, "was stopped".to_owned()),
            },
            Some(StopCause::Spool(errno)) => (
                AttemptResult::Named(ResultName::Invalid),
                Some(failure(
                    "SPOOL_FAILED",
                    format!(
                        "was stopped because the ant could not store its output: {}",
                        std::io::Error::from_raw_os_error(errno)
                    ),
                )),
            ),
            None => match record.status {
                ExitStatus::Code(0) => (AttemptResult::Exit(0), None),
                ExitStatus::Code(code) => {
                    (AttemptResult::Exit(code.into()), Some(failure("EXIT_CODE", format!("exited with code {code}"))))
                }
                ExitStatus::Signal(number) => {
                    let hint =
                        if number == 9 { "; if nobody did that on purpose, look for a lack of memory" } else { "" };
                    named(ResultName::Killed, format!("was killed by signal {}{hint}", phrase::signal(number)))
                }
                ExitStatus::Unknown => named(ResultName::Killed, "could not be ended".to_owned()),
            },
        })
    }

    fn note_survivors(&mut self, record: &ExitRecord) {
        if record.survivors > 0 {
            self.warnings.push(format!(
                "{} of its processes could not be killed (stuck in the kernel) and may still be there",
                record.survivors
            ));
        }
    }

    fn start_fault(&self, fault: StartFault, error: &std::io::Error) -> String {
        let Action::Shell { program, .. } = &self.assignment.action;
        let name = match program {
            Program::DefaultShell => "the default shell".to_owned(),
            Program::Shell(words) | Program::Interpreter(words) => {
                format!("the program `{}`", words.first().map_or("", String::as_str))
            }
        };
        match (fault, error.raw_os_error()) {
            (StartFault::Fork, _) => format!("no process can be made for it: {error}"),
            (StartFault::Join, _) => format!("its process cannot enter its cgroup: {error}"),
            (StartFault::Directory, _) => format!("its working directory cannot be entered: {error}"),
            (StartFault::Execute, Some(nix::libc::E2BIG)) => {
                format!("{name} cannot be started: environment and arguments together are too long")
            }
            (StartFault::Execute, Some(nix::libc::ENOENT)) => {
                format!(
                    "{name} cannot be started: it, or the interpreter that it names in its first line, does not exist"
                )
            }
            (StartFault::Execute, _) => format!("{name} cannot be started: {error}"),
        }
    }

    async fn run_after_script(&mut self, prepared: &mut Prepared, result: AttemptResult) -> Result<(), Interruption> {
        prepared.environment.set("ATTA_RESULT", result.as_str());
        let code = result.exit_code().map(|code| code.to_string()).unwrap_or_default();
        prepared.environment.set("ATTA_EXIT_CODE", code);
        let outcome = self.run_script(prepared, "after").await?;
        if *self.orders.borrow() == Order::Forget {
            return Err(Interruption::Forget);
        }
        let problem = match outcome {
            Outcome::Ended(record) => {
                self.note_survivors(&record);
                match (record.stopped, record.status) {
                    (None, ExitStatus::Code(0)) => None,
                    (None, ExitStatus::Code(code)) => Some(format!("exited with code {code}")),
                    (None, ExitStatus::Signal(number)) => {
                        Some(format!("was killed by signal {}", phrase::signal(number)))
                    }
                    (Some(StopCause::Timeout), _) => {
                        Some(format!("ran longer than {} and was stopped", phrase::duration(AFTER_SCRIPT_TIMEOUT)))
                    }
                    (Some(_), _) | (None, ExitStatus::Unknown) => Some("was stopped".to_owned()),
                }
            }
            Outcome::NotStarted(fault, error) => Some(format!("did not start: {}", self.start_fault(fault, &error))),
            Outcome::NoLauncher(error) => Some(format!("did not start: {error}")),
            Outcome::ShimDied => Some("was lost: the process that watched over it was killed".to_owned()),
        };
        if let Some(problem) = problem {
            self.warnings.push(format!("after_script {problem}; the result of the task stays as it is"));
        }
        Ok(())
    }

    async fn read_outputs(
        &mut self,
        directory: &AttemptDirectory,
        problems: &mut Vec<String>,
    ) -> Result<IndexMap<String, Value>, Interruption> {
        let file = directory.output_file();
        if self.assignment.outputs.is_empty() && !file.exists() {
            return Ok(IndexMap::new());
        }
        let stdout = self.log.take_stdout();
        let (work, declared) = (directory.work(), self.assignment.outputs.clone());
        let outputs = blocking(move || Ok(workspace::read_outputs(&file, &work, stdout.as_deref(), &declared))).await?;
        problems.extend(outputs.problems);
        Ok(outputs.values)
    }

    async fn keep_artifacts(
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
        let mut kept = Vec::new();
        for (_, names) in by_source {
            match self.keep(&names).await? {
                Ok(files) => kept.extend(files),
                Err(problem) => problems.push(problem),
            }
        }
        kept.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(kept)
    }

    /// Stores one file and lists it under its names.
    async fn keep(&mut self, names: &[Found]) -> Result<Result<Vec<ArtifactFile>, String>, Interruption> {
        let Some(first) = names.first().cloned() else { return Ok(Ok(Vec::new())) };
        let mut problem = String::new();
        for _ in 0..DIGEST_TRIES {
            let found = first.clone();
            let file = match blocking(move || Ok(found.digest())).await? {
                Ok(file) => file,
                Err(error) => return Ok(Err(format!("the artifact `{}` cannot be read: {error}", first.path))),
            };
            let link = self.core.link.clone();
            let mut orders = self.orders.clone();
            let put = || link.put_blob(&file.digest, file.size, &first.source);
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

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Interruption> + Send + 'static,
) -> Result<T, Interruption> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => Err(start_failed(format!("the ant failed: {panic}"))),
    }
}
