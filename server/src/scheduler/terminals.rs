//! Who types into which attempt, and what of it has not reached the attempt yet.
//!
//! All of it is in memory only: a session is somebody who sits there now, and after a restart they open another one. What
//! was typed reaches the program once however often it is said: each byte has a position on its line, a line is begun
//! whenever an attempt is typed into for the first time by this process, and what watches over the program remembers how far
//! it has come. Ants say that with each question for work; until then the bytes are kept here.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use atta_core::engine::AttemptState;
use atta_core::protocol::ant::{Heard, Orders};
use atta_core::protocol::terminal::{ATTEMPT_ENDED, TerminalOrder, TerminalSession, TerminalSize, TypedInput, escaped};
use atta_core::protocol::{AntId, AttemptId};
use atta_core::redact::Stream;
use atta_core::time::UnixMillis;

use super::Refusal;
use super::said::{SAY_AGAIN, covers};
use super::state::State;
use crate::store::AuditRow;

/// A session that is silent for so long has ended.
pub(super) const EXPIRES_AFTER: Duration = Duration::from_mins(1);
/// Bytes that the attempt does not have yet; more are not taken.
const MOST_WAITING: usize = 64 << 10;
/// What is typed within this time stands together in the audit.
const GATHER: Duration = Duration::from_millis(500);
/// Bytes of one entry of the audit.
const ENTRY: usize = 8 << 10;
/// Sessions that have ended and whose reason is remembered.
const ENDED_KEPT: usize = 256;

/// Who asks for something about a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typist {
    /// In whose name.
    pub user: String,
    /// The name of the token.
    pub token: String,
    /// The id of the request.
    pub request_id: String,
}

/// What is asked for about the terminal of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TerminalCommand {
    /// Type, from the byte on that this `seq` begins with.
    Input {
        /// Counts the inputs of the session.
        seq: u64,
        /// What is typed.
        bytes: Vec<u8>,
    },
    /// Have another size.
    Resize(TerminalSize),
    /// End the session.
    Close,
}

/// See the module.
#[derive(Default)]
pub(super) struct Terminals {
    /// How many sessions there may be.
    pub(super) most: usize,
    /// The newest line.
    line: u64,
    attempts: BTreeMap<AttemptId, Terminal>,
    /// Ids and reasons, the newest last.
    ended: VecDeque<(String, String)>,
    /// What is to be stored with the next batch.
    pub(super) audit: Vec<AuditRow>,
    /// Where sessions were opened in it.
    opened: Vec<AttemptId>,
}

/// The terminal of an attempt that somebody has typed into.
struct Terminal {
    ant: AntId,
    token: u64,
    line: u64,
    /// The attempt has everything before this position…
    taken: u64,
    /// …and these come next.
    bytes: Vec<u8>,
    /// The ant was told everything before this position.
    told: u64,
    size: Option<TerminalSize>,
    /// The ant was told the size.
    size_told: bool,
    /// The serial of the orders that told the newest, and when, until the ant has heard them: only then is more told, so
    /// that nothing overtakes anything.
    under_way: Option<(u64, Duration)>,
    session: Option<Session>,
}

struct Session {
    id: String,
    by: Typist,
    since: UnixMillis,
    heard_at: Duration,
    next_seq: u64,
    record: Record,
}

/// What was typed, for the audit.
#[derive(Default)]
struct Record {
    redaction: Option<Stream>,
    text: Vec<u8>,
    /// Since when something waits to be written down.
    since: Option<Duration>,
}

impl Record {
    fn note(&mut self, bytes: &[u8], now: Duration) {
        match &mut self.redaction {
            Some(redaction) => redaction.push(bytes, &mut self.text),
            None => self.text.extend_from_slice(bytes),
        }
        self.since.get_or_insert(now);
    }
}

impl Terminal {
    /// Whether there is something that the ant was not told.
    fn has_news(&self) -> bool {
        let untold = self.told < self.taken + self.bytes.len() as u64 || (self.size.is_some() && !self.size_told);
        self.under_way.is_none() && untold
    }

    /// Nothing of what was told is on its way any more.
    fn tell_again(&mut self) {
        self.under_way = None;
        self.told = self.taken;
        self.size_told = false;
    }
}

fn target(attempt: &AttemptId) -> String {
    match attempt.parts() {
        Some((job, number)) => format!("/api/v1/jobs/{job}/attempts/{}/terminal", number.0),
        None => attempt.0.clone(),
    }
}

fn closed(reason: &str) -> Refusal {
    Refusal::Gone { code: "TERMINAL_CLOSED", message: format!("this session of the terminal has ended: {reason}") }
}

fn busy(code: &'static str, message: String) -> Refusal {
    Refusal::TooMany { code, message }
}

impl Terminals {
    pub(super) fn new(epoch: u32) -> Self {
        Self { line: u64::from(epoch) << 32, ..Self::default() }
    }

    /// What was to be stored is.
    pub(super) fn committed(&mut self) {
        self.audit.clear();
        self.opened.clear();
    }

    fn write_down(&mut self, at: UnixMillis, by: &Typist, attempt: &AttemptId, entry: (&str, u16, String)) {
        let (action, status, detail) = entry;
        self.audit.push(AuditRow {
            at,
            user: by.user.clone(),
            token: by.token.clone(),
            action: action.to_owned(),
            target: target(attempt),
            status,
            request_id: by.request_id.clone(),
            detail: Some(detail),
        });
    }

    /// Writes down what was typed so far.
    fn write_down_input(&mut self, at: UnixMillis, attempt: &AttemptId, at_last: bool) {
        let Some(session) = self.attempts.get_mut(attempt).and_then(|terminal| terminal.session.as_mut()) else {
            return;
        };
        session.record.since = None;
        if at_last && let Some(redaction) = &mut session.record.redaction {
            redaction.finish(&mut session.record.text);
        }
        let (text, by) = (std::mem::take(&mut session.record.text), session.by.clone());
        for part in text.chunks(ENTRY) {
            self.write_down(at, &by, attempt, ("terminal.input", 204, escaped(part)));
        }
    }

    /// Ends a session.
    fn close(&mut self, at: UnixMillis, attempt: &AttemptId, reason: &str) {
        self.write_down_input(at, attempt, true);
        let Some(session) = self.attempts.get_mut(attempt).and_then(|terminal| terminal.session.take()) else { return };
        self.write_down(at, &session.by, attempt, ("terminal.close", 204, reason.to_owned()));
        self.ended.push_back((session.id, reason.to_owned()));
        if self.ended.len() > ENDED_KEPT {
            self.ended.pop_front();
        }
    }

    fn session(&self, attempt: &AttemptId) -> Option<&Session> {
        self.attempts.get(attempt)?.session.as_ref()
    }

    /// How many sessions there are.
    pub(super) fn sessions(&self) -> usize {
        self.attempts.values().filter(|terminal| terminal.session.is_some()).count()
    }

    fn why_ended(&self, session: &str) -> Refusal {
        match self.ended.iter().rev().find(|(id, _)| id == session) {
            Some((_, reason)) => closed(reason),
            None => closed("it is long over, or the server was started anew"),
        }
    }

    /// An ant has heard orders.
    pub(super) fn heard(&mut self, ant: &AntId, epoch: u64, heard: &Heard) {
        if heard.epoch != epoch {
            return;
        }
        for terminal in self.attempts.values_mut().filter(|terminal| terminal.ant == *ant) {
            if terminal.under_way.is_some_and(|(serial, _)| covers(heard, serial)) {
                terminal.under_way = None;
                if terminal.size_told {
                    terminal.size = None;
                }
            }
        }
    }

    /// An ant says how far attempts have come. A process of it that is `new` has heard nothing of what others were told.
    pub(super) fn typed(&mut self, ant: &AntId, typed: &[TypedInput], new: bool) {
        if new {
            for terminal in self.attempts.values_mut().filter(|terminal| terminal.ant == *ant) {
                terminal.tell_again();
            }
        }
        for one in typed {
            let Some(terminal) = self.attempts.get_mut(&one.attempt_id) else { continue };
            if terminal.ant == *ant && terminal.line == one.line && one.upto > terminal.taken {
                let gone = usize::try_from(one.upto - terminal.taken).unwrap_or(usize::MAX);
                terminal.bytes.drain(..gone.min(terminal.bytes.len()));
                terminal.taken = one.upto;
                terminal.told = terminal.told.max(one.upto);
            }
        }
    }

    /// Whether an ant has to be told something.
    pub(super) fn has_news_for(&self, ant: &AntId) -> bool {
        self.attempts.values().any(|terminal| terminal.ant == *ant && terminal.has_news())
    }

    /// Adds to orders what the ant has to be told.
    pub(super) fn tell(&self, ant: &AntId, orders: &mut Orders) {
        let due = self.attempts.iter().filter(|(_, terminal)| terminal.ant == *ant && terminal.has_news());
        for (attempt_id, terminal) in due {
            let from = usize::try_from(terminal.told - terminal.taken).unwrap_or(usize::MAX);
            orders.terminal.push(TerminalOrder {
                attempt_id: attempt_id.clone(),
                token: terminal.token,
                line: terminal.line,
                position: terminal.told,
                bytes: terminal.bytes.get(from..).unwrap_or_default().to_vec(),
                size: terminal.size.filter(|_| !terminal.size_told),
            });
        }
    }

    /// Whether orders with this serial, which an ant has not heard, had something for a terminal.
    pub(super) fn is_under_way(&self, ant: &AntId, serial: u64) -> bool {
        let mut of_ant = self.attempts.values().filter(|terminal| terminal.ant == *ant);
        of_ant.any(|terminal| terminal.under_way.is_some_and(|(under_way, _)| under_way == serial))
    }

    /// These orders were given this serial.
    pub(super) fn told(&mut self, orders: &Orders, now: Duration) {
        for order in &orders.terminal {
            let Some(terminal) = self.attempts.get_mut(&order.attempt_id) else { continue };
            terminal.told = order.position + order.bytes.len() as u64;
            terminal.size_told |= order.size.is_some();
            terminal.under_way = Some((orders.serial, now));
        }
    }

    /// Nobody has seen these orders.
    pub(super) fn give_back(&mut self, orders: &Orders) {
        for order in &orders.terminal {
            if let Some(terminal) = self.attempts.get_mut(&order.attempt_id)
                && terminal.under_way.is_some_and(|(serial, _)| serial == orders.serial)
            {
                terminal.tell_again();
            }
        }
    }

    /// When something is to be done without anybody saying anything, by the clock's monotonic time.
    pub(super) fn next_look(&self) -> Option<Duration> {
        let of = |terminal: &Terminal| {
            let session = terminal.session.as_ref();
            let record = session.and_then(|session| session.record.since).map(|since| since + GATHER);
            let again = terminal.under_way.map(|(_, at)| at + SAY_AGAIN);
            session.map(|session| session.heard_at + EXPIRES_AFTER).into_iter().chain(record).chain(again).min()
        };
        self.attempts.values().filter_map(of).min()
    }
}

impl State {
    /// The ant and the token of an attempt that can be typed into.
    fn typed_into(&self, attempt: &AttemptId) -> Result<(AntId, u64), Refusal> {
        let conflict = |code, message| Err(Refusal::Conflict { code, message });
        let not_running =
            || conflict("ATTEMPT_NOT_RUNNING", format!("{attempt} does not run: nobody can type into it"));
        let Some((job, number)) = attempt.parts() else { return not_running() };
        let Some(live) = self.jobs.get(&job) else { return not_running() };
        let Some(row) = live.attempts.get(&number) else { return not_running() };
        let task = live.task(row.task);
        if !task.method.has_terminal() {
            let message = format!("the task `{}` has no terminal: give it `tty: true`", task.name);
            return conflict("NO_TERMINAL", message);
        }
        match (row.state, row.result, &row.ant, row.token) {
            (AttemptState::Running, None, Some(ant), Some(token)) => Ok((AntId(ant.clone()), token)),
            _ => not_running(),
        }
    }

    /// Somebody wants to type into an attempt.
    pub(super) fn open_terminal(
        &mut self,
        attempt: &AttemptId,
        by: Typist,
        size: TerminalSize,
        take_over: bool,
    ) -> Result<TerminalSession, Refusal> {
        let (ant, token) = self.typed_into(attempt)?;
        self.look_after_terminals();
        let (at, now) = (self.clock.now(), self.clock.monotonic());
        let redaction = self.secrets.held().of(attempt).and_then(|held| held.stream());
        let id = format!("term_{:016x}{:016x}", self.entropy.next_u64(), self.entropy.next_u64());
        let terminals = &mut self.terminals;
        if let Some(other) = terminals.session(attempt) {
            let (user, since) = (other.by.user.clone(), other.since.to_rfc3339());
            if !take_over {
                let message = format!(
                    "{user} types into {attempt} since {since}: watch, or take the terminal over, which ends that session"
                );
                return Err(Refusal::Conflict { code: "TERMINAL_IN_USE", message });
            }
            terminals.close(at, attempt, &format!("{} took the terminal over", by.user));
            let detail = format!("from {user}, who typed since {since}");
            terminals.write_down(at, &by, attempt, ("terminal.take_over", 201, detail));
        } else if terminals.sessions() >= terminals.most {
            let message = match terminals.most {
                0 => "this server lets nobody type into terminals (`atta serve --terminal-sessions`)".to_owned(),
                most => format!(
                    "{most} terminals are typed into already, and this server allows no more (`atta serve \
                     --terminal-sessions`): try again later"
                ),
            };
            return Err(busy("TOO_MANY_TERMINALS", message));
        }
        let detail = format!("{} columns, {} rows", size.columns, size.rows);
        terminals.write_down(at, &by, attempt, ("terminal.open", 201, detail));
        // One of an older lease is not there any more.
        let terminal = terminals.attempts.entry(attempt.clone()).or_insert_with(|| {
            terminals.line += 1;
            Terminal {
                ant,
                token,
                line: terminals.line,
                taken: 0,
                bytes: Vec::new(),
                told: 0,
                size: None,
                size_told: false,
                under_way: None,
                session: None,
            }
        });
        (terminal.size, terminal.size_told) = (Some(size), false);
        let record = Record { redaction, ..Record::default() };
        terminal.session = Some(Session { id: id.clone(), by, since: at, heard_at: now, next_seq: 1, record });
        terminals.opened.push(attempt.clone());
        let expires_after_ms = u64::try_from(EXPIRES_AFTER.as_millis()).unwrap_or(u64::MAX);
        Ok(TerminalSession { session: id, attempt_id: attempt.clone(), expires_after_ms, next_seq: 1 })
    }

    /// Somebody who may type into an attempt does so, or something like it.
    pub(super) fn use_terminal(
        &mut self,
        attempt: &AttemptId,
        session: &str,
        by: Typist,
        command: TerminalCommand,
    ) -> Result<(), Refusal> {
        self.look_after_terminals();
        let (at, now) = (self.clock.now(), self.clock.monotonic());
        let terminals = &mut self.terminals;
        let Some(open) = terminals.session(attempt).filter(|open| open.id == session) else {
            return Err(terminals.why_ended(session));
        };
        if open.by.user != by.user {
            return Err(closed(&format!("it is one of {}", open.by.user)));
        }
        if open.by.token != by.token {
            // Each entry names the token with which it was typed.
            terminals.write_down_input(at, attempt, false);
        }
        let Some(terminal) = terminals.attempts.get_mut(attempt) else { return Err(terminals.why_ended(session)) };
        let Some(open) = &mut terminal.session else { return Err(terminals.why_ended(session)) };
        open.heard_at = now;
        open.by = by;
        match command {
            TerminalCommand::Close => terminals.close(at, attempt, "it was closed"),
            TerminalCommand::Resize(size) => {
                if terminal.size != Some(size) {
                    (terminal.size, terminal.size_told) = (Some(size), false);
                }
            }
            // It was typed, and the answer was lost.
            TerminalCommand::Input { seq, .. } if seq < open.next_seq => {}
            TerminalCommand::Input { seq, .. } if seq > open.next_seq => {
                let message = format!("seq {} is expected, and this is {seq}: something is missing", open.next_seq);
                return Err(Refusal::Conflict { code: "TERMINAL_GAP", message });
            }
            TerminalCommand::Input { bytes, .. } => {
                // For the ant, or to be written down: the audit does not grow faster than people type.
                let waiting = terminal.bytes.len().max(open.record.text.len());
                if waiting + bytes.len() > MOST_WAITING {
                    let message =
                        format!("{waiting} bytes that were typed before wait for {}: type these later", terminal.ant);
                    return Err(busy("TERMINAL_BUSY", message));
                }
                open.next_seq += 1;
                open.record.note(&bytes, now);
                terminal.bytes.extend_from_slice(&bytes);
                metrics::counter!("atta_terminal_input_bytes_total").increment(bytes.len() as u64);
            }
        }
        Ok(())
    }

    /// The server ends, and sessions with it: what was typed is written down.
    pub(super) fn end_terminals(&mut self) {
        let at = self.clock.now();
        let attempts: Vec<AttemptId> = self.terminals.attempts.keys().cloned().collect();
        for attempt in attempts {
            self.terminals.close(at, &attempt, "the server ended");
        }
    }

    /// The batch was not stored, and who opened a session in it was told so.
    pub(super) fn take_back_terminals(&mut self) {
        let at = self.clock.now();
        for attempt in std::mem::take(&mut self.terminals.opened) {
            self.terminals.close(at, &attempt, "its beginning could not be stored");
        }
    }

    /// Ends what is over, and writes down what was typed.
    pub(super) fn look_after_terminals(&mut self) {
        if self.terminals.attempts.is_empty() {
            return;
        }
        let (at, now) = (self.clock.now(), self.clock.monotonic());
        let attempts: Vec<AttemptId> = self.terminals.attempts.keys().cloned().collect();
        for attempt in attempts {
            let lease = self.typed_into(&attempt).ok();
            let terminals = &mut self.terminals;
            let Some(terminal) = terminals.attempts.get_mut(&attempt) else { continue };
            if lease != Some((terminal.ant.clone(), terminal.token)) {
                terminals.close(at, &attempt, ATTEMPT_ENDED);
                terminals.attempts.remove(&attempt);
                continue;
            }
            if terminal.under_way.is_some_and(|(_, told)| now >= told + SAY_AGAIN) {
                terminal.tell_again();
            }
            let Some(session) = &terminal.session else { continue };
            if now >= session.heard_at + EXPIRES_AFTER {
                let seconds = EXPIRES_AFTER.as_secs();
                terminals.close(at, &attempt, &format!("nothing was heard of it for {seconds} s"));
            } else if session.record.since.is_some_and(|since| now >= since + GATHER) {
                terminals.write_down_input(at, &attempt, false);
            }
        }
    }
}
