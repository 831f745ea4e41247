//! One start of an agent's program, from the command line to the end of its last process.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::atomic::Ordering;
use std::time::Duration;

use atta_core::engine::AgentClass;
use atta_core::protocol::agent::{AccountLimit, AgentChoice, AgentRun, AgentSession, AgentUsage, RunPurpose};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::attempt::Attempt;
use super::watch::{Silence, Watch};
use crate::adapters::{self, Adapter, Launch};
use crate::changes::path_of;
use crate::classify;
use crate::event::{Event, Outcome, Problem};
use crate::lines::{LONGEST, Line};
use crate::process::{self, Agent, Output};
use crate::transcript::on_one_line;
use crate::usage::{self, Before, Meter};

/// How often a run looks around when nothing happens.
const TICK: Duration = Duration::from_millis(25);

/// How often it looks around at least while there is something to read.
const LOOK_AROUND: Duration = Duration::from_millis(250);

/// How long the pipes may stay open after the last process that could hold them is gone.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How long processes that refuse to die are killed again and again, after the first time.
const LONGEST_KILLING: Duration = Duration::from_secs(30);

/// How much of stderr is kept to find out what went wrong.
const STDERR_TAIL: usize = 16 << 10;

/// How many lines of stderr are shown.
const STDERR_SHOWN: usize = 200;

/// The longest final message that is kept in memory.
const LONGEST_MESSAGE: usize = 4 << 20;

/// What one run is started with.
pub(super) struct RunOrder<'a> {
    pub(super) choice: &'a AgentChoice,
    pub(super) purpose: RunPurpose,
    pub(super) prompt: &'a str,
    pub(super) system: Option<&'a str>,
    pub(super) resume: Option<&'a str>,
    /// What this session used before, as far as this attempt knows.
    pub(super) before: Before,
}

/// How it ended.
pub(super) struct RunEnd {
    /// Absent when the attempt was told to end.
    pub(super) class: Option<AgentClass>,
    pub(super) message: String,
    pub(super) final_message: String,
    pub(super) limit: Option<AccountLimit>,
    /// Whether it says that there is no such session as it was to go on with.
    pub(super) no_session: bool,
}

impl RunEnd {
    fn error(message: String) -> Self {
        Self { class: Some(AgentClass::Error), message, final_message: String::new(), limit: None, no_session: false }
    }
}

/// Why the runner ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cause {
    /// The attempt shall end.
    Told,
    /// It used up more than it was given.
    Limit(AgentClass, String),
    /// The watch.
    Silence(Silence),
    /// Its own process has ended, and others are left.
    Leftovers,
}

/// Ending a tree: TERM, and after a while KILL.
struct Ending {
    cause: Cause,
    since: Duration,
    grace: Duration,
}

/// A run that goes on.
struct Running<'a, 'b> {
    attempt: &'a mut Attempt<'b>,
    index: usize,
    adapter: Box<dyn Adapter>,
    meter: Meter,
    watch: Watch,
    pieces: String,
    message: String,
    problem: Option<Problem>,
    result: Option<Outcome>,
    stderr: Vec<String>,
    stderr_lines: usize,
    garbage: u64,
    unknown: Vec<String>,
    cause: Option<Cause>,
}

/// Runs a program to its end.
pub(super) fn run(attempt: &mut Attempt<'_>, order: &RunOrder<'_>) -> RunEnd {
    let index = attempt.ledger.record.runs.len();
    let directory = match attempt.directory() {
        Ok(directory) => directory,
        Err(message) => return failed(attempt, order, message),
    };
    let (turns_left, usd_left) = attempt.left();
    let files = attempt.files.clone();
    let fresh_id = fresh_id();
    let home = path_of(&attempt.environment, "HOME");
    let context = attempt.context.clone();
    let launch = Launch {
        choice: order.choice,
        prompt: order.prompt,
        system: order.system,
        permission: attempt.order.permission,
        allowed_tools: &attempt.order.allowed_tools,
        resume: order.resume,
        turns_left,
        usd_left,
        files: &files,
        context: context.as_deref(),
        home: home.as_deref(),
        fresh_id: &fresh_id,
        run: index,
    };
    let (invocation, adapter) = match adapters::prepare(&launch) {
        Ok(prepared) => prepared,
        Err(error) => return failed(attempt, order, format!("the agent cannot be prepared: {error}")),
    };
    let shown = invocation.command.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    attempt.begin_run(order);
    let agent = match Agent::start(&invocation, &directory, &attempt.environment) {
        Ok(agent) => agent,
        Err(error) => {
            let message = match error.kind() {
                std::io::ErrorKind::NotFound => {
                    format!(
                        "the program `{shown}` is not there: install it, or name it with `agent: {{command: [...]}}`"
                    )
                }
                _ => format!("the program `{shown}` cannot be started: {error}"),
            };
            let end = RunEnd::error(message);
            attempt.end_run(index, &end, None);
            return end;
        }
    };
    let now = attempt.clock.monotonic();
    let running = Running {
        watch: Watch::new(attempt.order.watch, &directory, now),
        meter: Meter::new(order.before, order.choice.model.clone()),
        attempt,
        index,
        adapter,
        pieces: String::new(),
        message: String::new(),
        problem: None,
        result: None,
        stderr: Vec::new(),
        stderr_lines: 0,
        garbage: 0,
        unknown: Vec::new(),
        cause: None,
    };
    running.follow(agent, &shown)
}

/// A run that cannot even be tried.
fn failed(attempt: &mut Attempt<'_>, order: &RunOrder<'_>, message: String) -> RunEnd {
    let index = attempt.ledger.record.runs.len();
    attempt.begin_run(order);
    let end = RunEnd::error(message);
    attempt.end_run(index, &end, None);
    end
}

impl Running<'_, '_> {
    fn follow(mut self, mut agent: Agent, program: &str) -> RunEnd {
        let mut ending: Option<Ending> = None;
        let mut gone_since: Option<Duration> = None;
        let mut looked_at = Duration::ZERO;
        let status = loop {
            let output = agent.next(TICK);
            let heard = matches!(output, Some(Output::Stdout(_) | Output::Stderr(_)));
            match output {
                Some(Output::Stdout(line)) => self.line(line),
                Some(Output::Stderr(line)) => self.stderr(&line),
                Some(Output::Closed) | None => {}
            }
            let now = self.attempt.clock.monotonic();
            if heard {
                // Not before it was shown and kept, which may have to wait.
                self.watch.sign(now);
                // What it wrote before it ended is read to the end, however long that takes on a busy machine.
                gone_since = gone_since.map(|_| now);
                if ending.is_none() && now.saturating_sub(looked_at) < LOOK_AROUND {
                    if let Some((class, message)) = self.attempt.overrun().filter(|_| self.result.is_none()) {
                        process::signal_all(Signal::SIGTERM);
                        let grace = self.attempt.order.watch.kill_grace;
                        ending = Some(Ending { cause: Cause::Limit(class, message), since: now, grace });
                    }
                    continue;
                }
            }
            looked_at = now;
            self.attempt.write_soon(now);
            let status = agent.reap();
            if let Some(ending) = &mut ending {
                // Whatever ended it first is the cause, except that being told to end comes before everything.
                if self.attempt.told_to_end.load(Ordering::SeqCst) {
                    ending.cause = Cause::Told;
                }
                let since = now.saturating_sub(ending.since);
                if since >= ending.grace
                    && (!process::signal_all(Signal::SIGKILL) || since >= ending.grace + LONGEST_KILLING)
                {
                    gone_since.get_or_insert(now);
                }
            } else if let Some(cause) = self.why_end(now, status.is_some()) {
                let grace = match cause {
                    // What it left behind has had its time while the agent ran.
                    Cause::Leftovers => Duration::from_millis(500).min(self.attempt.order.watch.kill_grace),
                    Cause::Told => shorter_grace(self.attempt.order.watch.kill_grace),
                    _ => self.attempt.order.watch.kill_grace,
                };
                process::signal_all(Signal::SIGTERM);
                ending = Some(Ending { cause, since: now, grace });
            }
            if let Some(status) = status {
                if process::count() == 0 || gone_since.is_some() {
                    let since = *gone_since.get_or_insert(now);
                    if agent.is_closed() || now.saturating_sub(since) >= LAST_WORDS {
                        break Some(status);
                    }
                }
            } else if gone_since.is_some_and(|since| now.saturating_sub(since) >= LAST_WORDS) {
                break None;
            }
        };
        self.cause = ending.map(|ending| ending.cause);
        self.settle(status, program)
    }

    /// Why it shall be ended now, if it shall.
    fn why_end(&mut self, now: Duration, exited: bool) -> Option<Cause> {
        if self.attempt.told_to_end.load(Ordering::SeqCst) {
            return Some(Cause::Told);
        }
        if exited {
            return (process::count() > 0).then_some(Cause::Leftovers);
        }
        if self.result.is_none()
            && let Some((class, message)) = self.attempt.overrun()
        {
            return Some(Cause::Limit(class, message));
        }
        self.watch.check(now).map(Cause::Silence)
    }

    fn line(&mut self, line: Line) {
        let now = self.attempt.clock.monotonic();
        self.watch.sign(now);
        let line = match line {
            Line::Whole(line) => line,
            Line::TooLong(bytes) => {
                self.attempt.transcript.skipped(bytes);
                let longest = LONGEST >> 20;
                self.attempt.ledger.warn(format!("a line of {bytes} bytes was left out: the most is {longest} MiB"));
                self.watch.event();
                return;
            }
        };
        let mut events = Vec::new();
        let wall = self.attempt.clock.now();
        let trimmed = line.trim_ascii();
        if trimmed.is_empty() {
            return;
        }
        let parsed = if trimmed.first() == Some(&b'{') { parse(trimmed) } else { None };
        if parsed.as_ref().is_none_or(|event| self.adapter.keeps(event)) {
            self.attempt.transcript.keep(&line);
        }
        if let (Some(event), true) = (parsed, self.adapter.speaks_json()) {
            self.adapter.json(&event, wall, &mut events);
        } else {
            self.adapter.text(&String::from_utf8_lossy(&line), wall, &mut events);
        }
        for event in events {
            self.event(event, now);
        }
    }

    fn event(&mut self, event: Event, now: Duration) {
        if !matches!(event, Event::Garbage) {
            self.watch.event();
        }
        match event {
            Event::Session(id) => self.session(id),
            Event::Model(model) => {
                self.meter.model(&model);
                self.run_record().model = Some(model);
                self.attempt.ledger.touch();
            }
            Event::Turn(id) => {
                self.goes_on();
                self.meter.turn(id);
                self.count();
            }
            Event::Message(message) => {
                self.end_pieces();
                self.say(message);
            }
            Event::Piece(piece) => {
                if self.pieces.len() < LONGEST_MESSAGE {
                    self.pieces.push_str(&piece);
                }
            }
            Event::ToolCall { name, detail } => {
                self.end_pieces();
                self.goes_on();
                self.attempt.transcript.show("→", &format!("{name} {detail}"));
            }
            Event::ToolResult { failed, detail } => {
                let mark = if failed { "✗" } else { "←" };
                self.attempt.transcript.show(mark, &on_one_line(&detail, 300));
            }
            Event::Used(used) => {
                self.meter.used(used);
                self.count();
            }
            Event::Total(total) => {
                if !self.meter.total(total) {
                    let message = "the session was begun elsewhere, and its totals do not tell what this run used";
                    self.attempt.ledger.warn(message.to_owned());
                }
                self.count();
            }
            Event::Denied(denial) => {
                let denials = &mut self.attempt.ledger.record.denials;
                if denials.len() < 100 && !denials.contains(&denial) {
                    self.attempt.transcript.show("✗", &format!("refused: {} {}", denial.tool, denial.detail));
                    denials.push(denial);
                    self.attempt.ledger.touch();
                }
            }
            Event::Problem(problem) => {
                self.attempt.transcript.show("!", &problem.message);
                self.problem = Some(problem);
            }
            Event::Result(outcome) => {
                self.end_pieces();
                self.watch.result(now);
                self.result = Some(outcome);
            }
            Event::Note(note) => self.attempt.transcript.show("·", &note),
            Event::Ignored => {}
            Event::Unknown(kind) => {
                let kind = on_one_line(&kind, 60);
                if !self.unknown.contains(&kind) && self.unknown.len() < 10 {
                    self.unknown.push(kind);
                }
            }
            Event::Garbage => self.garbage += 1,
        }
    }

    /// It works, also when it had said that it was at its end: that was not the last word, and the limits hold on.
    fn goes_on(&mut self) {
        self.watch.goes_on();
        self.result = None;
    }

    /// The session is known: that must not be lost.
    fn session(&mut self, id: String) {
        let cli = self.run_record().choice.cli;
        if self.run_record().session_id.as_ref() == Some(&id) {
            return;
        }
        self.attempt.transcript.show("·", &format!("session {id}"));
        self.run_record().session_id = Some(id.clone());
        self.attempt.ledger.record.session = Some(AgentSession { cli, id });
        self.attempt.write_now();
    }

    fn say(&mut self, message: String) {
        if message.trim().is_empty() {
            return;
        }
        self.attempt.transcript.show("«", &message);
        self.message = message;
        self.message.truncate(self.message.floor_char_boundary(LONGEST_MESSAGE));
    }

    /// Pieces that came one after the other are one message.
    fn end_pieces(&mut self) {
        if !self.pieces.is_empty() {
            let message = std::mem::take(&mut self.pieces);
            self.say(message);
        }
    }

    /// What was used has changed.
    fn count(&mut self) {
        let usage = self.meter.usage(&self.attempt.prices);
        if self.run_record().usage != usage {
            self.run_record().usage = usage;
            let record = &mut self.attempt.ledger.record;
            record.usage = usage::sum(record.runs.iter().map(|run| &run.usage));
            self.attempt.ledger.touch();
        }
    }

    fn run_record(&mut self) -> &mut AgentRun {
        &mut self.attempt.ledger.record.runs[self.index]
    }

    fn stderr(&mut self, line: &Line) {
        let now = self.attempt.clock.monotonic();
        self.watch.sign(now);
        let Line::Whole(line) = line else { return };
        let line = String::from_utf8_lossy(line).into_owned();
        if line.trim().is_empty() {
            return;
        }
        self.stderr_lines += 1;
        match self.stderr_lines {
            shown if shown <= STDERR_SHOWN => self.attempt.transcript.show("e", &line),
            shown if shown == STDERR_SHOWN + 1 => self.attempt.transcript.show("e", "… and more on stderr"),
            _ => {}
        }
        self.stderr.push(line);
        while self.stderr.len() > 1 && self.stderr.iter().map(String::len).sum::<usize>() > STDERR_TAIL {
            self.stderr.remove(0);
        }
    }

    /// Its last process is gone: what is it?
    fn settle(mut self, status: Option<ExitStatus>, program: &str) -> RunEnd {
        let now = self.attempt.clock.monotonic();
        let mut last = Vec::new();
        let wall = self.attempt.clock.now();
        self.adapter.end(status.and_then(|status| status.code()), wall, &mut last);
        for event in last {
            self.event(event, now);
        }
        self.end_pieces();
        self.count();
        if self.garbage > 0 {
            let garbage = self.garbage;
            self.attempt.ledger.warn(format!("{garbage} lines of {program} were no JSON and were passed over"));
        }
        if !self.unknown.is_empty() {
            let unknown = self.unknown.join(", ");
            self.attempt.ledger.warn(format!("{program} sent events that are not known here: {unknown}"));
        }
        if process::count() > 0 {
            self.attempt.ledger.warn(format!("processes of {program} could not be killed"));
        }
        let (class, message) = self.judge(status, program);
        let limit = match (&class, self.blame()) {
            (Some(AgentClass::RateLimited), Some(problem)) => {
                // The time may have been said before the end, which then only repeats that there is a limit.
                let before = self.problem.as_ref().filter(|before| before.class == AgentClass::RateLimited);
                let resets_at = problem.resets_at.or_else(|| before?.resets_at);
                Some(AccountLimit { resets_at, message: problem.message.clone() })
            }
            (Some(AgentClass::RateLimited), None) => {
                let resets_at = classify::resets_at(&self.stderr.join("\n"), wall);
                Some(AccountLimit { resets_at, message: message.clone() })
            }
            _ => None,
        };
        let told = self.result.as_ref().and_then(|result| result.text.clone());
        let final_message = told.filter(|text| !text.trim().is_empty()).unwrap_or_else(|| self.message.clone());
        let no_session = self.stderr.iter().chain([&message]).any(|words| classify::tells_of_no_session(words));
        let end = RunEnd { class, message, final_message, limit, no_session };
        self.attempt.end_run(self.index, &end, status);
        end
    }

    /// The problem that it ended with: its own judgement, else the last one that was seen.
    fn blame(&self) -> Option<&Problem> {
        self.result
            .as_ref()
            .and_then(|result| result.problem.as_ref())
            .filter(|problem| problem.class != AgentClass::Error)
            .or_else(|| {
                self.problem.as_ref().filter(|_| self.result.as_ref().is_none_or(|result| result.problem.is_some()))
            })
    }

    /// Neither the exit code nor the result is believed alone.
    fn judge(&self, status: Option<ExitStatus>, program: &str) -> (Option<AgentClass>, String) {
        let exited = match status {
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("exited with {code}"),
                (None, Some(signal)) => format!("was ended by signal {signal}"),
                (None, None) => "ended".to_owned(),
            },
            None => "could not be ended".to_owned(),
        };
        match &self.cause {
            Some(Cause::Told) => return (None, "the agent was ended because its attempt was".to_owned()),
            Some(Cause::Limit(class, message)) => return (Some(*class), message.clone()),
            Some(Cause::Silence(Silence::NeverBegan(after))) => {
                let why = self.last_stderr().map(|line| format!("; its last words: {line}")).unwrap_or_default();
                let message = format!("{program} did not begin within {}{why}", seconds(*after));
                return (Some(AgentClass::Stalled), message);
            }
            Some(Cause::Silence(Silence::Fell(after))) => {
                let message = format!(
                    "{program} fell silent: no event, no work of its processes and no changed file for {}",
                    seconds(*after)
                );
                return (Some(AgentClass::Stalled), message);
            }
            Some(Cause::Silence(Silence::AfterResult) | Cause::Leftovers) | None => {}
        }
        let ended_by_us = matches!(self.cause, Some(Cause::Silence(Silence::AfterResult)));
        let exit_is_good = ended_by_us || status.is_some_and(|status| status.success());
        match &self.result {
            Some(Outcome { problem: None, .. }) if exit_is_good => (Some(AgentClass::Done), String::new()),
            Some(Outcome { problem: None, .. }) => {
                (Some(AgentClass::Error), format!("{program} reported success, but {exited}"))
            }
            Some(Outcome { problem: Some(problem), .. }) => {
                let blame = self.blame().unwrap_or(problem);
                (Some(blame.class), problem.message.clone())
            }
            None => {
                if let Some(problem) = &self.problem {
                    return (Some(problem.class), problem.message.clone());
                }
                let stderr = self.stderr.join("\n");
                let class = classify::class_of(&stderr).filter(|_| !exit_is_good).unwrap_or(AgentClass::Error);
                let why = self.last_stderr().map(|line| format!(": {line}")).unwrap_or_default();
                (Some(class), format!("{program} {exited} without a result{why}"))
            }
        }
    }

    fn last_stderr(&self) -> Option<String> {
        self.stderr.last().map(|line| on_one_line(line, 300))
    }
}

/// The grace of an agent that ends because its attempt does: the runner has the same time from the same moment, and needs
/// some of it for what is to be kept.
fn shorter_grace(grace: Duration) -> Duration {
    grace.saturating_sub((grace / 4).min(Duration::from_secs(2)))
}

/// An event; characters that are none are replaced.
fn parse(line: &[u8]) -> Option<Value> {
    match std::str::from_utf8(line) {
        Ok(line) => serde_json::from_str(line).ok(),
        Err(_) => serde_json::from_str(&String::from_utf8_lossy(line)).ok(),
    }
}

/// A UUID that the kernel makes.
pub(super) fn fresh_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default();
    id.trim().to_owned()
}

/// A length of time for people.
fn seconds(duration: Duration) -> String {
    match duration.as_millis() {
        millis if millis % 60_000 == 0 => format!("{} min", millis / 60_000),
        millis if millis % 1000 == 0 => format!("{} s", millis / 1000),
        millis => format!("{millis} ms"),
    }
}

/// What limits count of the usage of all runs.
pub(super) fn used_tokens(usage: &AgentUsage) -> Option<u64> {
    usage.tokens.map(|tokens| tokens.counted())
}
