//! `method: SHELL`: the directory, the script in one process, `after_script` in another, then outputs and artifacts.

use std::ffi::CString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use atta_core::definition::Program;
use atta_core::engine::{AttemptResult, Failure, ResultName};
use atta_core::protocol::ant::{Action, Assignment, AttemptReport, ReportBody};
use tokio::sync::watch;

use super::attempt::{Attempt, Interruption, blocking, invalid, start_failed};
use super::environment::{Environment, c_path};
use super::phrase::{self, failure};
use super::process::{self, Obedience, Outcome};
use super::{Finished, program};
use crate::ant::{Core, Order};
use crate::supervisor::{ExitRecord, ExitStatus, SpawnRequest, StartFault, StopCause};
use crate::workspace::AttemptDirectory;

/// Output that the queen has not taken; beyond it the program waits.
const SPOOL_BOUND: u64 = 16 << 20;
const AFTER_SCRIPT_TIMEOUT: Duration = Duration::from_mins(5);

/// What the commands of an attempt are started with.
struct Prepared {
    directory: AttemptDirectory,
    environment: Environment,
    words: Vec<String>,
    executable: PathBuf,
}

pub(super) async fn execute(core: &Arc<Core>, assignment: Assignment, orders: watch::Receiver<Order>) -> Finished {
    let mut attempt = Attempt::new(core, assignment, orders);
    let ended = attempt.run().await;
    attempt.finished(ended)
}

impl Attempt {
    async fn run(&mut self) -> Result<AttemptReport, Interruption> {
        let mut prepared = self.prepare().await?;
        let workspace = self.enter_workspace(&mut prepared.environment).await?;
        let cache = self.restore_cache(&prepared.directory, workspace.as_ref()).await?;
        self.lay_inputs(&prepared.directory).await?;
        self.check_orders()?;

        let outcome = self.run_script(&prepared, "script").await?;
        let (result, end) = self.judge(outcome)?;
        if let Some(failure) = &end
            && matches!(result, AttemptResult::Named(name) if name != ResultName::Killed)
        {
            self.log.system(&failure.message).await;
        }
        if matches!(&self.assignment.action, Action::Shell { after_script: Some(_), .. }) {
            self.run_after_script(&mut prepared, result).await?;
        }

        let mut problems = Vec::new();
        self.measure_workspace(workspace.as_ref(), &mut problems).await?;
        if result.is_success() && problems.is_empty() {
            self.save_cache(cache, &prepared.directory, workspace.as_ref()).await?;
        }
        let outputs = self.read_outputs(&prepared.directory, None, &mut problems).await?;
        let artifacts = self.keep_artifacts(&prepared.directory, result, &mut problems).await?;
        self.conclude(result, end, outputs, artifacts, problems)
    }

    async fn prepare(&mut self) -> Result<Prepared, Interruption> {
        let assignment = &self.assignment;
        let environment = Environment::compose(
            &self.core.config.environment,
            &assignment.inherit_env,
            &assignment.environment,
            &assignment.secrets.environment,
        )
        .map_err(invalid)?;
        let Action::Shell { program, script, after_script } = &assignment.action else {
            return Err(invalid("this is no script"));
        };
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
            core_dumps: assignment.secrets.values.is_empty(),
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
        let program = match &self.assignment.action {
            Action::Shell { program, .. } => program,
            Action::Http(_) => &Program::DefaultShell,
        };
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
}
