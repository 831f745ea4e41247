//! The agent's process and everything below it.
//!
//! The runner is a subreaper, so what an agent's program leaves behind becomes a child of the runner and is found, ended
//! and reaped. Nothing else runs below the runner while an agent does.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::lines::{LONGEST, Line, Lines};

/// How much is read at once.
const CHUNK: usize = 64 << 10;

/// How many lines may wait for the one who reads them.
const WAITING_LINES: usize = 64;

/// The longest line of stderr that is kept.
const LONGEST_STDERR: usize = 64 << 10;

/// What to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invocation {
    /// The program and its arguments.
    pub(crate) command: Vec<OsString>,
    /// Variables to set.
    pub(crate) set: Vec<(OsString, OsString)>,
    /// What it is told on its stdin; `/dev/null` when absent.
    pub(crate) stdin: Option<String>,
}

/// What the agent's program wrote.
#[derive(Debug)]
pub(crate) enum Output {
    Stdout(Line),
    Stderr(Line),
    /// One of the two was closed by everybody who held it.
    Closed,
}

/// A running agent.
pub(crate) struct Agent {
    pid: Pid,
    status: Option<ExitStatus>,
    outputs: Receiver<Output>,
    closed: u8,
}

impl Agent {
    /// Starts a program in a process group of its own.
    pub(crate) fn start(
        invocation: &Invocation,
        directory: &Path,
        environment: &[(OsString, OsString)],
    ) -> io::Result<Self> {
        let Some((program, arguments)) = invocation.command.split_first() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no program is named"));
        };
        let mut command = Command::new(program);
        command.args(arguments).current_dir(directory).env_clear().envs(environment.iter().cloned());
        command.envs(invocation.set.iter().cloned());
        command.stdin(if invocation.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = with_default_signals(|| command.spawn())??;
        let pid = Pid::from_raw(child.id().cast_signed());
        let (sender, outputs) = sync_channel(WAITING_LINES);
        if let (Some(mut stdin), Some(text)) = (child.stdin.take(), invocation.stdin.clone()) {
            // A program that does not read its stdin ends with its tree, and so does this thread.
            thread::spawn(move || {
                let _ = stdin.write_all(text.as_bytes());
            });
        }
        if let Some(stdout) = child.stdout.take() {
            let sender = sender.clone();
            thread::spawn(move || read(stdout, LONGEST, &sender, Output::Stdout));
        }
        if let Some(stderr) = child.stderr.take() {
            thread::spawn(move || read(stderr, LONGEST_STDERR, &sender, Output::Stderr));
        }
        Ok(Self { pid, status: None, outputs, closed: 0 })
    }

    /// What it writes next, within this time.
    pub(crate) fn next(&mut self, within: Duration) -> Option<Output> {
        if self.is_closed() {
            thread::sleep(within);
            return None;
        }
        let output = self.outputs.recv_timeout(within).ok()?;
        if matches!(output, Output::Closed) {
            self.closed += 1;
        }
        Some(output)
    }

    /// Whether nothing more can come.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed >= 2
    }

    /// How its own process ended, once it has. Reaps whatever has ended below the runner.
    pub(crate) fn reap(&mut self) -> Option<ExitStatus> {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == self.pid => {
                    self.status = Some(ExitStatus::from_raw((code & 0xff) << 8));
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == self.pid => {
                    self.status = Some(ExitStatus::from_raw(signal as i32));
                }
                Ok(WaitStatus::StillAlive) | Err(nix::errno::Errno::ECHILD) => return self.status,
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(_) => return self.status,
            }
        }
    }
}

/// Does something with no signal blocked: programs inherit what is blocked where they are started, and this process blocks
/// those that it waits for. One that comes just then ends this process as if nobody waited for it.
fn with_default_signals<T>(act: impl FnOnce() -> T) -> io::Result<T> {
    let blocked = SigSet::thread_get_mask()?;
    SigSet::empty().thread_set_mask()?;
    let done = act();
    blocked.thread_set_mask()?;
    Ok(done)
}

fn read(mut from: impl Read, longest: usize, to: &SyncSender<Output>, wrap: fn(Line) -> Output) {
    let mut lines = Lines::new(longest);
    let mut buffer = vec![0; CHUNK];
    let mut open = true;
    while open {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => lines.push(&buffer[..length], |line| open &= to.send(wrap(line)).is_ok()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    if let Some(rest) = lines.finish() {
        let _ = to.send(wrap(rest));
    }
    let _ = to.send(Output::Closed);
}

/// Makes this process the one that orphans below it are given to.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(io::Error::from)
}

/// Sends a signal to everything below this process; whether there was anything.
pub(crate) fn signal_all(signal: Signal) -> bool {
    let all = below();
    for process in &all {
        let _ = kill(Pid::from_raw(process.pid), signal);
        if signal == Signal::SIGTERM {
            // One that is stopped would not see it.
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGCONT);
        }
    }
    !all.is_empty()
}

/// How many processes there are below this one.
pub(crate) fn count() -> usize {
    below().len()
}

/// The CPU time of everything below this process, its ended children included, in ticks of the system.
pub(crate) fn cpu_ticks() -> u64 {
    below().iter().map(|process| process.ticks).sum()
}

struct Process {
    pid: i32,
    parent: i32,
    ticks: u64,
}

fn below() -> Vec<Process> {
    let own = nix::unistd::getpid().as_raw();
    let mut children: BTreeMap<i32, Vec<Process>> = BTreeMap::new();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    for entry in entries.flatten() {
        if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok())
            && let Ok(stat) = fs::read(entry.path().join("stat"))
            && let Some(process) = parse(pid, &stat)
        {
            children.entry(process.parent).or_default().push(process);
        }
    }
    let mut all = children.remove(&own).unwrap_or_default();
    let mut next = 0;
    while let Some(pid) = all.get(next).map(|process| process.pid) {
        next += 1;
        all.extend(children.remove(&pid).unwrap_or_default());
    }
    all
}

/// Fields 4 and 14 to 17 of `stat`; the name in field 2 may hold anything, so they are counted from its last parenthesis.
fn parse(pid: i32, stat: &[u8]) -> Option<Process> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields: Vec<&str> = std::str::from_utf8(stat.get(end + 2..)?).ok()?.split(' ').collect();
    let ticks = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(Process { pid, parent: fields.get(1)?.parse().ok()?, ticks })
}
