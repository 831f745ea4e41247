//! The conformance kit: every fault of an agent against every adapter, through the real runner.

mod faults;
mod stand_in;
mod wire;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use atta_core::engine::AgentClass;
use atta_core::protocol::agent::{
    AgentChoice, AgentCli, AgentOrder, AgentPermission, AgentPrompt, AgentRecord, AgentSession, AgentWatch,
    VerdictOrder,
};
use atta_core::protocol::agent_configuration::is_left_by_agents;
use atta_core::time::Clock;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

pub use faults::Fault;
pub use stand_in::stand_in;

/// How long one case may take before the kit gives up on it.
const LONGEST_CASE: Duration = Duration::from_mins(2);

/// How long a real program may take for one case.
const LONGEST_REAL_CASE: Duration = Duration::from_mins(15);

/// By this variable the kit finds what a case left behind.
const MARK: &str = "ATTA_CONFORMANCE";

/// How the kit starts things.
pub struct Kit {
    /// The runner's program and first arguments; an order and a record follow.
    pub runner: Vec<OsString>,
    /// A stand-in's program and first arguments; a CLI, a fault and the CLI's own arguments follow.
    pub stand_in: Vec<String>,
    /// What agents get of the environment.
    pub environment: Vec<(OsString, OsString)>,
    /// What time it is.
    pub clock: Box<dyn Clock>,
}

/// What is tried with somebody's own program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// It answers with the verdict that it is asked for.
    Answers,
    /// It goes on with a session that it began.
    Resumes,
    /// It ends when it is told to, with everything that it started.
    Ends,
}

/// What came of one case.
#[derive(Debug, Clone)]
pub struct CaseResult {
    /// Which adapter.
    pub cli: AgentCli,
    /// What was tried.
    pub case: &'static str,
    /// The class in the record.
    pub class: Option<AgentClass>,
    /// What is wrong; nothing when the case is as it has to be.
    pub complaints: Vec<String>,
}

/// Something that went wrong with the kit itself.
#[derive(Debug, thiserror::Error)]
pub enum KitError {
    /// Files or processes.
    #[error("the conformance kit cannot work: {0}")]
    Io(#[from] io::Error),
}

impl Kit {
    /// Tries faults on adapters, some at once.
    pub fn run(&self, clis: &[AgentCli], faults: &[Fault], at_once: usize) -> Result<Vec<CaseResult>, KitError> {
        let cases: Vec<(AgentCli, Fault)> =
            clis.iter().flat_map(|cli| faults.iter().map(|fault| (*cli, *fault))).collect();
        let next = Mutex::new(cases.iter());
        let results = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..at_once.max(1) {
                scope.spawn(|| {
                    while let Some((cli, fault)) = next.lock().ok().and_then(|mut next| next.next().copied()) {
                        let result = self.fault(cli, fault);
                        if let Ok(mut results) = results.lock() {
                            results.push(result);
                        }
                    }
                });
            }
        });
        let mut results = results.into_inner().unwrap_or_default().into_iter().collect::<Result<Vec<_>, _>>()?;
        results.sort_by_key(|result| (result.cli, faults.iter().position(|fault| fault.as_str() == result.case)));
        Ok(results)
    }

    /// Tries somebody's own program, which speaks the format of an adapter. If it asks a model, this costs something.
    pub fn run_own(&self, cli: AgentCli, command: &[String]) -> Result<Vec<CaseResult>, KitError> {
        let mut results = Vec::new();
        let mut session = None;
        for behaviour in [Behaviour::Answers, Behaviour::Resumes, Behaviour::Ends] {
            let mut order = order_for(cli, command.to_vec());
            order.prompt = AgentPrompt::Text(
                "This is a test of the line between you and the program that started you. Change no file and use no tool. \
                 Answer at once: the answer is 42."
                    .to_owned(),
            );
            if behaviour == Behaviour::Resumes {
                order.resume.clone_from(&session);
            }
            let scene = Scene::new(&order)?;
            let record = scene.run(self, behaviour == Behaviour::Ends, LONGEST_REAL_CASE)?;
            let mut complaints = scene.leftovers();
            if record.session.is_none() && behaviour != Behaviour::Ends {
                complaints.push("it did not name its session".to_owned());
            }
            match behaviour {
                Behaviour::Ends if record.class.is_none() || record.class == Some(AgentClass::Done) => {}
                Behaviour::Ends => complaints.push(format!("it ended with {:?}: {}", record.class, record.message)),
                _ if record.class != Some(AgentClass::Done) => {
                    complaints.push(format!("it ended with {:?} instead of DONE: {}", record.class, record.message));
                }
                Behaviour::Resumes if session.is_some() && record.session.is_none() => {
                    complaints.push("it did not name the session that it went on with".to_owned());
                }
                _ => {}
            }
            if behaviour == Behaviour::Answers {
                session.clone_from(&record.session);
                complaints.extend(record.warnings.iter().cloned());
                if record.usage.turns == 0 {
                    complaints.push("it told of no turn, so turns cannot be limited".to_owned());
                }
            }
            let case = match behaviour {
                Behaviour::Answers => "answers",
                Behaviour::Resumes => "resumes",
                Behaviour::Ends => "ends-when-told",
            };
            results.push(CaseResult { cli, case, class: record.class, complaints });
        }
        Ok(results)
    }

    fn fault(&self, cli: AgentCli, fault: Fault) -> Result<CaseResult, KitError> {
        let words = [cli.as_str(), fault.as_str()].map(str::to_owned);
        let mut order = order_for(cli, self.stand_in.iter().cloned().chain(words).collect());
        let (start, idle, after_result) = fault.patience();
        order.watch = AgentWatch { start, idle, after_result, kill_grace: Duration::from_millis(300) };
        order.limits = fault.limits();
        if let Some(verdict) = &mut order.verdict {
            verdict.asks = fault.asks();
        }
        let began_at = self.clock.now().0;
        let scene = Scene::new(&order)?;
        let record = scene.run(self, fault == Fault::ToldToEnd, LONGEST_CASE)?;
        let mut complaints = fault.complaints(cli, &record, began_at);
        complaints.extend(scene.leftovers());
        complaints.extend(scene.raw_events());
        Ok(CaseResult { cli, case: fault.as_str(), class: record.class, complaints })
    }
}

/// One case's directory.
struct Scene {
    directory: tempfile::TempDir,
}

impl Scene {
    fn new(order: &AgentOrder) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("atta-conformance-").tempdir()?;
        for part in ["work", "home", "agent"] {
            fs::create_dir(directory.path().join(part))?;
        }
        fs::write(directory.path().join("order.json"), serde_json::to_vec_pretty(order)?)?;
        Ok(Self { directory })
    }

    fn path(&self, part: &str) -> PathBuf {
        self.directory.path().join(part)
    }

    /// Runs the order to its end, or until it is told to end once there is a session.
    fn run(&self, kit: &Kit, told_to_end: bool, longest: Duration) -> Result<AgentRecord, KitError> {
        let Some((program, arguments)) = kit.runner.split_first() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no runner is named").into());
        };
        let record = self.path("agent/record.json");
        let shown = fs::File::create(self.path("shown"))?;
        let mut command = Command::new(program);
        command.args(arguments).arg(self.path("order.json")).arg(&record).current_dir(self.path("work"));
        command.env_clear().envs(kit.environment.iter().filter(|(name, _)| !is_left_by_agents(name)).cloned());
        command.env("TASK_DIR", self.path("work")).env(MARK, self.directory.path());
        if !kit.environment.iter().any(|(name, _)| name == "HOME") {
            command.env("HOME", self.path("home"));
        }
        command.stdin(Stdio::null()).stdout(shown.try_clone()?).stderr(shown);
        let mut runner = command.spawn()?;
        let began = Instant::now();
        let mut told = false;
        while runner.try_wait()?.is_none() {
            if told_to_end && !told && read(&record).is_some_and(|record| record.session.is_some()) {
                told = true;
                signal(&runner, Signal::SIGTERM);
            }
            if began.elapsed() > longest {
                runner.kill()?;
                runner.wait()?;
                let shown = fs::read_to_string(self.path("shown")).unwrap_or_default();
                return Err(io::Error::other(format!("a case did not end within {longest:?}:\n{shown}")).into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        read(&record).ok_or_else(|| {
            let shown = fs::read_to_string(self.path("shown")).unwrap_or_default();
            io::Error::other(format!("there is no record of a case:\n{shown}")).into()
        })
    }

    /// Processes of the case that still live.
    fn leftovers(&self) -> Vec<String> {
        let wanted = [MARK.as_bytes(), b"=", self.directory.path().as_os_str().as_encoded_bytes()].concat();
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let mut left = Vec::new();
        for entry in entries.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            if environment.split(|byte| *byte == 0).any(|variable| variable == wanted) {
                let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                left.push(format!("process {pid} ({}) was left behind", name.trim()));
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        left
    }

    /// What people read must be no raw events.
    fn raw_events(&self) -> Option<String> {
        let shown = fs::read_to_string(self.path("shown")).unwrap_or_default();
        let raw =
            shown.lines().find(|line| line.split_once(' ').is_some_and(|(_, text)| text.starts_with("{\"type\"")))?;
        Some(format!("a raw event is shown: {raw}"))
    }
}

fn signal(process: &Child, signal: Signal) {
    let _ = kill(Pid::from_raw(process.id().cast_signed()), signal);
}

fn read(path: &Path) -> Option<AgentRecord> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// An order that asks for a small verdict.
fn order_for(cli: AgentCli, command: Vec<String>) -> AgentOrder {
    AgentOrder {
        choice: AgentChoice { cli, command, model: None },
        fallback: Vec::new(),
        prompt: AgentPrompt::Text("Do what stand-ins do.".to_owned()),
        system: None,
        skills: Vec::new(),
        permission: AgentPermission::Edit,
        allowed_tools: Vec::new(),
        resume: None::<AgentSession>,
        verdict: Some(VerdictOrder {
            schema: json!({"type": "object", "required": ["answer"], "properties": {"answer": {"type": "integer"}}}),
            required: true,
            asks: 0,
            vote_fields: Vec::new(),
        }),
        vote: 1,
        limits: atta_core::protocol::agent::AgentLimits::default(),
        watch: AgentWatch {
            start: Duration::from_mins(2),
            idle: Some(Duration::from_mins(5)),
            after_result: Duration::from_secs(30),
            kill_grace: Duration::from_secs(5),
        },
        directory: None,
        track_changes: false,
        expect_changes: false,
        context: Vec::new(),
        config_from: None,
        config_paths: Vec::new(),
    }
}

/// What came of all cases: a row each, a column for each adapter.
pub fn table(results: &[CaseResult]) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let mut clis: Vec<AgentCli> = results.iter().map(|result| result.cli).collect();
    clis.dedup();
    let mut cases: Vec<&'static str> = Vec::new();
    for result in results {
        if !cases.contains(&result.case) {
            cases.push(result.case);
        }
    }
    let cell = |case: &str, cli: AgentCli| {
        let result = results.iter().find(|result| result.case == case && result.cli == cli);
        result.map_or_else(String::new, |result| {
            let class = result.class.map_or("(ended)", AgentClass::as_str);
            if result.complaints.is_empty() { class.to_owned() } else { format!("✗ {class}") }
        })
    };
    let rows = cases
        .into_iter()
        .map(|case| std::iter::once(case.to_owned()).chain(clis.iter().map(|cli| cell(case, *cli))).collect());
    let header = std::iter::once("case").chain(clis.iter().map(|cli| cli.as_str())).collect();
    (header, rows.collect())
}
