//! `method: AGENT`: what differs from a script. The runner takes the script's place under the shim; what it writes into its
//! record survives whatever ends it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use atta_core::engine::{AgentClass, AttemptResult, Failure};
use atta_core::protocol::agent::{AgentOrder, AgentRecord};
use atta_core::protocol::agent_configuration::is_left_by_agents;
use atta_core::protocol::agent_outputs::KEPT_OF_AGENTS;
use atta_core::protocol::ant::{Action, ArtifactFile};
use atta_core::redact::Redactor;

use super::attempt::{Attempt, Interruption, blocking, make_directory, start_failed};
use super::environment::Environment;
use super::phrase::failure;
use super::shell::Prepared;
use crate::workspace::{AttemptDirectory, Found, Lease};

/// Bytes of a record that are read: all that it may hold is bounded, and this is far beyond.
const LONGEST_RECORD: u64 = 64 << 20;
/// An attempt after a rejected limit begins no later than so long after it.
const LONGEST_WAIT: Duration = Duration::from_hours(24);
/// How long putting back the files of a checkout may take.
const LONGEST_RESTORING: Duration = Duration::from_mins(2);
/// A link is no file, and opening something else does not wait.
const NOT_ELSEWHERE: i32 = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
/// What is kept of every agent attempt, as it is listed, and the name of the file.
const KEPT: [(&str, &str); 2] = [(KEPT_OF_AGENTS[0], "record.kept.json"), (KEPT_OF_AGENTS[1], "transcript.kept.jsonl")];

/// The variable with the file of prices.
const PRICES: &str = "ATTA_PRICES";

/// An ant's environment without what other agents left in it.
pub(super) fn without_other_agents(environment: &[(OsString, OsString)]) -> Vec<(OsString, OsString)> {
    environment.iter().filter(|(name, _)| !is_left_by_agents(name)).cloned().collect()
}

impl Attempt {
    /// What the agent is told, when that is what it is.
    pub(super) fn agent_order(&self) -> Option<&AgentOrder> {
        match &self.assignment.action {
            Action::Agent(order) => Some(order),
            _ => None,
        }
    }

    /// Writes the order down and names the runner.
    pub(super) async fn prepare_agent(&mut self) -> Result<Prepared, Interruption> {
        let mut environment = self.compose()?;
        set_prices(&mut environment, &self.core.config.environment);
        let order = self.agent_order().map(serde_json::to_vec).transpose();
        let order = order.map_err(|error| start_failed(format!("the agent's order cannot be written: {error}")))?;
        let (core, id) = (self.core.clone(), self.assignment.attempt_id.clone());
        blocking(move || {
            let directory = make_directory(&core, &id)?;
            let (order, record) = directory
                .write_order(&order.unwrap_or_default())
                .map_err(|error| start_failed(format!("the agent's order cannot be written: {error}")))?;
            environment.set("TASK_DIR", directory.work());
            environment.set("ATTA_OUTPUT", directory.output_file());
            let mut words = vec!["atta".to_owned()];
            words.extend(core.config.agent_runner.arguments.iter().cloned());
            for file in [order, record] {
                let file = file.into_os_string().into_string();
                words.push(file.map_err(|_| start_failed("the data directory's path is not UTF-8"))?);
            }
            let executable = core.config.agent_runner.program.clone();
            Ok(Prepared { directory, environment, words, executable })
        })
        .await
    }

    /// Reads what the runner wrote last, once it has ended, however that was.
    pub(super) async fn read_record(&mut self, directory: &AttemptDirectory) -> Result<(), Interruption> {
        if self.agent_order().is_none() || self.agent.is_some() {
            return Ok(());
        }
        let file = directory.agent_record();
        match blocking(move || Ok(read(&file))).await? {
            Ok(record) => {
                if let Some(record) = &record {
                    for warning in &record.warnings {
                        self.warn(format!("agent: {warning}"));
                    }
                }
                self.agent = record.map(Box::new);
            }
            Err(error) => self.warn(format!("what is known of the agent cannot be read: {error}")),
        }
        Ok(())
    }

    /// Puts back what a runner that was killed left of another commit's files in the checkout. One that ended by itself has
    /// done so.
    pub(super) async fn restore_configuration(&mut self, directory: &AttemptDirectory, workspace: Option<&Lease>) {
        if self.agent_order().is_none_or(|order| order.config_from.is_none()) {
            return;
        }
        let Ok(environment) = self.compose() else { return };
        let mut command = tokio::process::Command::new(&self.core.config.agent_runner.program);
        command.args(&self.core.config.agent_runner.arguments).arg("--restore");
        command.args([directory.root().join("agent.order"), directory.agent_record()]);
        command.current_dir(directory.work()).env_clear();
        command.env("PATH", environment.path()).env("TASK_DIR", directory.work());
        if let Some(lease) = workspace {
            command.env("JOB_WORKSPACE", &lease.path);
        }
        command.stdin(std::process::Stdio::null()).kill_on_drop(true);
        let problem = match tokio::time::timeout(LONGEST_RESTORING, command.output()).await {
            Err(_) => "it takes too long".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Ok(Ok(output)) if output.status.success() => return,
            Ok(Ok(output)) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        };
        self.warn(format!("the checkout may still have the agent's configuration of `config_from`: {problem}"));
    }

    /// The result of an agent whose runner ended by itself: the class of its record. Others stay as they are.
    pub(super) fn classified(
        &mut self,
        result: AttemptResult,
        end: Option<Failure>,
    ) -> (AttemptResult, Option<Failure>) {
        let AttemptResult::Exit(code) = result else { return (result, end) };
        if self.agent_order().is_none() {
            return (result, end);
        }
        let error = |message: String| {
            (AttemptResult::Agent(AgentClass::Error), Some(failure(AgentClass::Error.as_str(), message)))
        };
        let Some(record) = &self.agent else {
            return error(format!("the agent's runner exited with code {code} and left no record: its log says more"));
        };
        match record.class {
            None => error(format!("the agent's runner exited with code {code} before the agent's work had ended")),
            Some(AgentClass::Done) if code != 0 => {
                error(format!("the agent's runner exited with code {code} after the agent's work"))
            }
            Some(AgentClass::Done) => (AttemptResult::Agent(AgentClass::Done), None),
            Some(class) => {
                let message = match record.message.trim() {
                    "" => class.sentence().to_owned(),
                    message => message.to_owned(),
                };
                (AttemptResult::Agent(class), Some(failure(class.as_str(), message)))
            }
        }
    }

    /// How long another attempt should wait: until the account's limit is over, if that was said.
    pub(super) fn wait_for_account(&self, result: AttemptResult) -> Option<Duration> {
        let record = self.agent.as_ref().filter(|_| result == AttemptResult::Agent(AgentClass::RateLimited))?;
        let wait = record.limit.as_ref()?.resets_at?.since(self.core.config.clock.now());
        (!wait.is_zero()).then(|| wait.min(LONGEST_WAIT))
    }

    /// Keeps the record and the transcript, without secrets. What is wrong with them is a warning.
    pub(super) async fn keep_agent_files(
        &mut self,
        directory: &AttemptDirectory,
        artifacts: &mut Vec<ArtifactFile>,
    ) -> Result<(), Interruption> {
        if self.agent_order().is_none() {
            return Ok(());
        }
        let (record, redactor) = (self.agent.clone(), self.redactor.clone());
        let (place, work) = (directory.agent(), directory.work());
        let written = blocking(move || Ok(write_kept(&place, &work, record.as_deref(), redactor.as_ref()))).await?;
        for (number, ((path, file), written)) in KEPT.into_iter().zip(written).enumerate() {
            match written {
                Ok(false) => continue,
                Ok(true) => {}
                Err(error) => {
                    self.warn(format!("the artifact `{path}` cannot be made: {error}"));
                    continue;
                }
            }
            if artifacts.iter().any(|artifact| artifact.path == path) {
                self.warn(format!("the task's own file `{path}` is not kept: every AGENT task has that artifact"));
                artifacts.retain(|artifact| artifact.path != path);
            }
            let found = Found { path: path.to_owned(), source: directory.agent().join(file), executable: false };
            match self.keep(&[found], number).await? {
                Ok(files) => artifacts.extend(files),
                Err(problem) => self.warn(problem),
            }
        }
        Ok(())
    }
}

/// What tokens cost is said by whoever runs the ant, and by nobody else: limits depend on it.
fn set_prices(environment: &mut Environment, of_ant: &[(OsString, OsString)]) {
    match of_ant.iter().find(|(name, _)| name == OsStr::new(PRICES)) {
        Some((_, file)) => environment.set(PRICES, file),
        None => environment.remove(PRICES),
    }
}

/// What the runner wrote last; `None` when it never wrote anything.
fn read(file: &Path) -> io::Result<Option<AgentRecord>> {
    let opened = match fs::OpenOptions::new().read(true).custom_flags(NOT_ELSEWHERE).open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    // The agent runs as the same user: it may have put something else in its place.
    if !opened.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut text = Vec::new();
    opened.take(LONGEST_RECORD).read_to_end(&mut text)?;
    Ok(Some(serde_json::from_slice(&text)?))
}

/// Lays out what is kept, each with whether there is anything.
fn write_kept(
    place: &Path,
    work: &Path,
    record: Option<&AgentRecord>,
    redactor: Option<&Redactor>,
) -> [io::Result<bool>; KEPT.len()] {
    let written = || {
        let Some(record) = record else { return Ok(false) };
        let clean = match redactor {
            Some(redactor) => record.without_secrets(redactor),
            None => Some(record.clone()),
        };
        let Some(clean) = clean else { return Ok(false) };
        private(&place.join(KEPT[0].1))?.write_all(&serde_json::to_vec_pretty(&clean)?)?;
        Ok(true)
    };
    [written(), transcript(place, work, redactor)]
}

/// The transcript lies beside the record, or in the task's directory: there somebody may have put something else in its
/// place, which must not lead elsewhere.
fn transcript(place: &Path, work: &Path, redactor: Option<&Redactor>) -> io::Result<bool> {
    let name = "transcript.jsonl";
    let inside = |directory: &Path| fs::symlink_metadata(directory).is_ok_and(|metadata| metadata.is_dir());
    let open = |path: &Path| fs::OpenOptions::new().read(true).custom_flags(NOT_ELSEWHERE).open(path);
    let from = match open(&place.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && inside(&work.join("agent")) => {
            open(&work.join("agent").join(name))
        }
        opened => opened,
    };
    let from = match from {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    if !from.metadata()?.is_file() {
        return Ok(false);
    }
    let mut to = BufWriter::new(private(&place.join(KEPT[1].1))?);
    let mut from = BufReader::new(from);
    let Some(redactor) = redactor else {
        io::copy(&mut from, &mut to)?;
        to.flush()?;
        return Ok(true);
    };
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(redactor.text(&String::from_utf8_lossy(&line)).as_bytes())?;
        line.clear();
    }
    to.flush()?;
    Ok(true)
}

fn private(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_place_of_a_record_is_neither_waited_for_nor_followed() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        assert!(read(&at("gone")).unwrap().is_none());
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read(&at("pipe")).unwrap_err().to_string(), "it is no regular file");
        fs::write(at("elsewhere"), "{}").unwrap();
        std::os::unix::fs::symlink(at("elsewhere"), at("link")).unwrap();
        read(&at("link")).unwrap_err();
        private(&at("link")).unwrap().write_all(b"new").unwrap();
        assert_eq!(fs::read_to_string(at("elsewhere")).unwrap(), "{}");
        private(&at("link")).unwrap().write_all(b"newer").unwrap();
        assert_eq!(fs::read_to_string(at("link")).unwrap(), "newer");
    }

    #[test]
    fn prices_are_those_of_the_ant_and_not_of_a_definition() {
        let ant: Vec<(OsString, OsString)> = vec![(PRICES.into(), "/etc/prices.json".into())];
        let mut environment = Environment::default();
        environment.set(PRICES, "mine.json");
        set_prices(&mut environment, &ant);
        assert_eq!(environment.get(PRICES), Some(OsStr::new("/etc/prices.json")));
        set_prices(&mut environment, &[]);
        assert_eq!(environment.get(PRICES), None);
    }

    #[test]
    fn an_agent_inherits_nothing_of_the_agent_around_it() {
        let ant =
            ["PATH", "CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT", "ANTHROPIC_API_KEY", "CLAUDE_CONFIG_DIR", "CODEX_SANDBOX"];
        let ant: Vec<(OsString, OsString)> = ant.iter().map(|name| (name.into(), "1".into())).collect();
        let left: Vec<OsString> = without_other_agents(&ant).into_iter().map(|(name, _)| name).collect();
        assert_eq!(left, ["PATH", "ANTHROPIC_API_KEY", "CLAUDE_CONFIG_DIR"]);
    }
}
