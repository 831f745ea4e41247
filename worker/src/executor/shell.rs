//! `method: SHELL`, and the program that stands for a script in `method: AGENT`: the directory, the script in one process, `after_script` in another, then outputs and artifacts.

use std::borrow::Cow;
use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use atta_core::definition::Program;
use atta_core::engine::{AttemptResult, Failure, ResultName};
use atta_core::protocol::AttemptId;
use atta_core::protocol::ant::{Action, Assignment, AttemptReport, ReportBody};
use tokio::sync::watch;

use super::attempt::{Attempt, Interruption, blocking, invalid, make_directory, start_failed};
use super::environment::{Environment, c_path};
use super::memory::{Adopted, AdoptedFrom, Record, Stage};
use super::phrase::{self, failure};
use super::process::{Followed, Obedience, Outcome, Place, SPOOL_BOUND, ShimLine};
use super::{Finished, program};
use crate::IsolationLevel;
use crate::ant::{Core, Kind, Order, Orphans};
use crate::supervisor::{ExitRecord, ExitStatus, SpawnRequest, StartFault, StopCause, ToShim, kill_by_task_dir};
use crate::workspace::{AttemptDirectory, Lease};

/// The kind of terminal that the page and most programs of today are.
const TERM: &str = "xterm-256color";
const AFTER_SCRIPT_TIMEOUT: Duration = Duration::from_mins(5);

/// What the commands of an attempt are started with.
pub(super) struct Prepared {
    pub(super) directory: AttemptDirectory,
    pub(super) environment: Environment,
    pub(super) words: Vec<String>,
    pub(super) executable: PathBuf,
}

pub(super) async fn execute(core: &Arc<Core>, assignment: Assignment, orders: watch::Receiver<Order>) -> Finished {
    let mut attempt = Attempt::new(core, assignment, orders);
    let ended = attempt.run().await;
    attempt.finished(ended)
}

pub(super) async fn resume(
    core: &Arc<Core>,
    adopted: Adopted,
    workspace: Option<Lease>,
    orders: watch::Receiver<Order>,
) -> Finished {
    let Adopted { assignment, memory, position, told, level, from, .. } = adopted;
    // An earlier shim does not say how much an ant has heard of: perhaps all.
    let unsaid_from = if memory.log.held.is_some() { position } else { told.unwrap_or(u64::MAX) };
    let place = Place { position, unsaid_from };
    let mut attempt = Attempt::new(core, assignment, orders);
    attempt.warnings.clone_from(&memory.warnings);
    attempt.log.resume(memory.log.clone());
    attempt.memory = memory;
    let ended = match from {
        AdoptedFrom::Shim(attached) => {
            // It fails when the shim has ended since it was found.
            attempt.shim = ShimLine::attach(attached).ok();
            attempt.go_on(workspace.as_ref(), place, level).await
        }
        AdoptedFrom::Left(left) => {
            attempt.left = Some(left);
            attempt.go_on(workspace.as_ref(), place, level).await
        }
    };
    // Until now the workspace was in use.
    drop(workspace);
    attempt.finished(ended)
}

impl Attempt {
    async fn run(&mut self) -> Result<AttemptReport, Interruption> {
        let prepared = if self.agent_order().is_some() { self.prepare_agent().await? } else { self.prepare().await? };
        let mut environment = prepared.environment;
        let workspace = self.enter_workspace(&mut environment).await?;
        let prepared = Prepared { environment, ..prepared };
        let cache = self.restore_cache(&prepared.directory, workspace.as_ref()).await?;
        self.memory.cached = cache.map(|cache| cache.exact);
        self.lay_inputs(&prepared.directory).await?;
        self.check_orders()?;

        let outcome = self.run_program(&prepared, Stage::Script).await?;
        let directory = prepared.directory.clone();
        self.after_the_script(&directory, Ok(prepared), workspace.as_ref(), outcome).await
    }

    /// Goes on with a program that another ant started.
    async fn go_on(
        &mut self,
        workspace: Option<&Lease>,
        place: Place,
        level: Option<IsolationLevel>,
    ) -> Result<AttemptReport, Interruption> {
        let stage = self.memory.stage;
        let directory = AttemptDirectory::of(&self.core.attempts_dir, &self.assignment.attempt_id);
        if let Some(level) = level {
            self.report_start(stage, level);
        }
        if let Some(shim) = &self.shim {
            // Its ant is there again. When this fails the shim is gone, which the next read shows.
            let _ = shim.say(&ToShim::Bound { bytes: SPOOL_BOUND, thin: false }).await;
        }
        let outcome = self.follow(&directory, stage, place, true).await;
        if let (Stage::After, Some((result, end))) = (stage, self.memory.judged.clone()) {
            self.after_the_after_script(outcome)?;
            return self.wind_up(&directory, workspace, result, end).await;
        }
        let prepared = self.prepare_again(&directory, workspace);
        self.after_the_script(&directory, prepared, workspace, outcome).await
    }

    async fn after_the_script(
        &mut self,
        directory: &AttemptDirectory,
        prepared: Result<Prepared, Interruption>,
        workspace: Option<&Lease>,
        outcome: Outcome,
    ) -> Result<AttemptReport, Interruption> {
        // First of all: whatever the result is, what is known of an agent belongs to it, and the checkout is as it was.
        self.read_record(directory).await?;
        self.restore_configuration(directory, workspace).await;
        let (result, end) = self.judge(outcome)?;
        let (result, end) = self.classified(result, end);
        if let Some(failure) = &end
            && matches!(result, AttemptResult::Named(name) if name != ResultName::Killed)
            && !self.memory.end_said
        {
            self.log.system(&failure.message).await;
        }
        self.memory.end_said = true;
        if matches!(&self.assignment.action, Action::Shell { after_script: Some(_), .. }) {
            self.memory.judged = Some((result, end.clone()));
            self.memory.stage = Stage::After;
            let outcome = match prepared {
                Ok(mut prepared) => {
                    prepared.environment.set("ATTA_RESULT", result.as_str());
                    let code = result.exit_code().map(|code| code.to_string()).unwrap_or_default();
                    prepared.environment.set("ATTA_EXIT_CODE", code);
                    self.run_program(&prepared, Stage::After).await?
                }
                Err(Interruption::End(_, failure)) => Outcome::NoLauncher(std::io::Error::other(failure.message)),
                Err(Interruption::Forget) => return Err(Interruption::Forget),
            };
            self.after_the_after_script(outcome)?;
        }
        self.wind_up(directory, workspace, result, end).await
    }

    /// What is done when all programs have ended.
    async fn wind_up(
        &mut self,
        directory: &AttemptDirectory,
        workspace: Option<&Lease>,
        result: AttemptResult,
        end: Option<Failure>,
    ) -> Result<AttemptReport, Interruption> {
        let mut problems = Vec::new();
        self.measure_workspace(workspace, &mut problems).await?;
        if result.is_success() && problems.is_empty() {
            self.save_cache(directory, workspace).await?;
        }
        let outputs = self.read_outputs(directory, None, &mut problems).await?;
        let mut artifacts = self.keep_artifacts(directory, result, &mut problems).await?;
        self.keep_agent_files(directory, &mut artifacts).await?;
        let wait = self.wait_for_account(result);
        let report = self.conclude(result, end, outputs, artifacts, problems)?;
        Ok(AttemptReport { retry_after: wait, ..report })
    }

    /// What is needed to start one more program in the directory of another ant.
    fn prepare_again(&self, directory: &AttemptDirectory, workspace: Option<&Lease>) -> Result<Prepared, Interruption> {
        let mut environment = self.compose()?;
        let Action::Shell { program, .. } = &self.assignment.action else {
            return Err(invalid("this is no script"));
        };
        set_places(&mut environment, &self.core, directory);
        for (name, value) in workspace.iter().flat_map(|lease| &lease.variables) {
            if let Some(name) = name.to_str() {
                environment.set(name, value);
            }
        }
        let words = program::words(program, environment.path());
        let Some(name) = words.first() else { return Err(start_failed("no program is named for the script")) };
        let executable = program::find(name, environment.path(), &directory.work()).map_err(start_failed)?;
        Ok(Prepared { directory: directory.clone(), environment, words, executable })
    }

    async fn prepare(&mut self) -> Result<Prepared, Interruption> {
        let mut environment = self.compose()?;
        if self.assignment.action.has_terminal() && environment.get("TERM").is_none() {
            environment.set("TERM", TERM);
        }
        let assignment = &self.assignment;
        let Action::Shell { program, script, after_script, .. } = &assignment.action else {
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
            let directory = make_directory(&core, &id)?;
            let mut environment = environment;
            set_places(&mut environment, &core, &directory);
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

    /// Runs a program to its end, under the attempt's shim.
    async fn run_program(&mut self, prepared: &Prepared, stage: Stage) -> Result<Outcome, Interruption> {
        self.memory.warnings.clone_from(&self.warnings);
        self.memory.stopping_said = false;
        self.memory.log = self.log.state();
        let record = Record {
            boot: self.core.boot.as_str().into(),
            since: self.core.since(&self.assignment.attempt_id),
            assignment: Cow::Borrowed(&self.assignment),
            memory: Cow::Borrowed(&self.memory),
        };
        let sealed = self.core.seal.seal(&self.assignment.attempt_id, Kind::Record, &record);
        let sealed = sealed.map_err(|error| start_failed(format!("its record cannot be kept: {error}")))?;
        let request = self.request(prepared, stage, sealed).map_err(start_failed)?;
        let start = ToShim::Start(Box::new(request));
        // A shim that is left from the script may have been killed since.
        let lives = match &self.shim {
            Some(shim) => shim.say(&start).await.is_ok(),
            None => false,
        };
        if !lives {
            let shim = match ShimLine::start(&self.core) {
                Ok(shim) => self.shim.insert(shim),
                Err(error) => return Ok(Outcome::NoLauncher(error)),
            };
            if shim.say(&start).await.is_err() {
                return Ok(Outcome::ShimDied);
            }
        }
        self.left = None;
        Ok(self.follow(&prepared.directory, stage, Place::default(), false).await)
    }

    /// Follows the program that was started.
    async fn follow(&mut self, directory: &AttemptDirectory, stage: Stage, place: Place, adopted: bool) -> Outcome {
        let followed = Followed {
            core: &self.core,
            id: &self.assignment.attempt_id,
            memory: &mut self.memory,
            log: &mut self.log,
            orders: self.orders.clone(),
            typing: if stage == Stage::Script { self.core.typing(&self.assignment.attempt_id) } else { None },
            obedience: if stage == Stage::After { Obedience::Forget } else { Obedience::All },
            spool: directory.spool(stage.name()),
            place,
            adopted,
        };
        let outcome = match (&mut self.shim, &mut self.left) {
            (Some(shim), _) => {
                let (core, id, token) = (&self.core, &self.assignment.attempt_id, self.assignment.token);
                let started = |level| report_start(core, id, token, stage, level);
                followed.follow(shim, started).await
            }
            (None, Some(left)) => match Outcome::of(left.outcome.clone()) {
                Some(Outcome::Ended(record)) => {
                    followed.deliver_what_is_left(&record, left).await;
                    Outcome::Ended(record)
                }
                Some(other) => other,
                None => Outcome::ShimDied,
            },
            (None, None) => Outcome::ShimDied,
        };
        match &outcome {
            Outcome::Ended(record) => {
                self.haunted |= record.survivors > 0;
                self.position = record.spool.1;
            }
            Outcome::ShimDied => {
                self.haunted = true;
                self.shim = None;
                let (core, name) = (self.core.clone(), self.cgroup(stage));
                let task_dir = directory.work().into_os_string().into_vec();
                let kill = move || {
                    core.plan.kill_attempt(&name);
                    kill_by_task_dir(&task_dir);
                };
                if let Err(panic) = crate::blocking::blocking(kill).await {
                    tracing::error!(%panic, "the processes of an attempt without a shim were not killed");
                }
            }
            Outcome::NotStarted(..) | Outcome::NoLauncher(_) => {}
        }
        outcome
    }

    fn report_start(&self, stage: Stage, level: IsolationLevel) {
        report_start(&self.core, &self.assignment.attempt_id, self.assignment.token, stage, level);
    }

    fn cgroup(&self, stage: Stage) -> String {
        stage.cgroup(&self.assignment.attempt_id)
    }

    fn request(&self, prepared: &Prepared, stage: Stage, sealed: Vec<u8>) -> Result<SpawnRequest, String> {
        let assignment = &self.assignment;
        let name = stage.name();
        let after = stage == Stage::After;
        let mut arguments = prepared.words.clone();
        if self.agent_order().is_none() {
            let file = prepared.directory.root().join(name);
            arguments.push(file.to_str().ok_or("the data directory's path is not UTF-8")?.to_owned());
        }
        let arguments: Result<Vec<CString>, _> = arguments.into_iter().map(CString::new).collect();
        Ok(SpawnRequest {
            name: self.cgroup(stage),
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
            root: c_path(prepared.directory.root())?,
            first: !after,
            sealed,
            dies_with_ant: self.core.config.orphans == Orphans::Kill,
            away_bound: self.core.spool_share(),
            tty: self.assignment.action.has_terminal() && !after,
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
            self.warn(format!(
                "{} of its processes could not be killed (stuck in the kernel) and may still be there",
                record.survivors
            ));
        }
    }

    fn start_fault(&self, fault: StartFault, error: &std::io::Error) -> String {
        let program = match &self.assignment.action {
            Action::Shell { program, .. } => program,
            Action::Http(_) | Action::Agent(_) | Action::Github(_) => &Program::DefaultShell,
        };
        let name = match program {
            _ if self.agent_order().is_some() => "the agent's runner".to_owned(),
            Program::DefaultShell => "the default shell".to_owned(),
            Program::Shell(words) | Program::Interpreter(words) => {
                format!("the program `{}`", words.first().map_or("", String::as_str))
            }
        };
        match (fault, error.raw_os_error()) {
            (StartFault::Fork, _) => format!("no process can be made for it: {error}"),
            (StartFault::Join, _) => format!("its process cannot enter its cgroup: {error}"),
            (StartFault::Terminal, _) => {
                format!("there is no terminal for it: {error} (is /dev/pts mounted, and is there room in it?)")
            }
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

    /// What became of `after_script`: it cannot change the result.
    fn after_the_after_script(&mut self, outcome: Outcome) -> Result<(), Interruption> {
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
            self.warn(format!("after_script {problem}; the result of the task stays as it is"));
        }
        Ok(())
    }
}

/// What every program of an attempt finds in its environment.
fn set_places(environment: &mut Environment, core: &Core, directory: &AttemptDirectory) {
    environment.set("TASK_DIR", directory.work());
    environment.set("ATTA_OUTPUT", directory.output_file());
    if let Some(own) = core.config.agent_runner.named() {
        environment.set("ATTA_PROGRAM", own);
    }
}

/// The queen hears of the script's start only.
fn report_start(core: &Core, id: &AttemptId, token: u64, stage: Stage, level: IsolationLevel) {
    if stage == Stage::Script {
        core.report(id, token, 1, ReportBody::Started { isolation: level.as_str().to_owned() });
    }
}
