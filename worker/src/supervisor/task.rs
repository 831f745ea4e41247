//! One program under a shim: its clocks, its output, its end.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use atta_core::time::UnixMillis;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::containment::Containment;
use super::output::Output;
use super::proc;
use super::spool::HEADER;
use super::terminal::{Streams, Terminal};
use super::wire::{ExitRecord, ExitStatus, FromShim, SpawnRequest, StopCause};

/// Largest piece of output that is taken at once; a pipe holds as much.
const PIECE: usize = 64 << 10;
/// Most programs say little: memory for more is touched when it is needed.
const FIRST_PIECE: usize = 2 << 10;
/// How long a process may take to die of KILL (it is stuck in the kernel) before it is given up.
const UNKILLABLE: Duration = Duration::from_secs(30);

/// How far the end of the tree has come.
enum Phase {
    /// It runs.
    Running,
    /// TERM was sent; KILL follows.
    Terminating { kill_at: Instant },
    /// KILL was sent, and is again until nothing is left.
    Killing { since: Instant, next: Instant },
    /// No process is left, or what is left cannot be killed.
    Gone,
}

/// See the module.
pub(super) struct Task {
    containment: Containment,
    main: Pid,
    /// stdout and stderr, until their ends; of a terminal our end, and nothing.
    pipes: [Option<OwnedFd>; 2],
    /// What else there is of a terminal.
    terminal: Option<Terminal>,
    output: Output,
    away_bound: u64,
    buffer: Vec<u8>,
    began: Instant,
    now_at_begin: i64,
    timeout: Duration,
    grace: Duration,
    idle: Option<Idle>,
    phase: Phase,
    status: Option<ExitStatus>,
    stopped: Option<StopCause>,
    survivors: u32,
}

struct Idle {
    limit: Duration,
    last: Instant,
    activity: u64,
    look_at: Instant,
    every: Duration,
}

impl Task {
    /// The program was started just now.
    pub(super) fn new(request: &SpawnRequest, containment: Containment, main: Pid, streams: Streams) -> Self {
        let began = Instant::now();
        let idle = (!request.idle_timeout.is_zero()).then(|| {
            let every = (request.idle_timeout / 4).clamp(Duration::from_millis(10), Duration::from_secs(15));
            Idle { limit: request.idle_timeout, last: began, activity: 0, look_at: began + every, every }
        });
        Self {
            containment,
            main,
            pipes: streams.ends,
            terminal: streams.slave.map(Terminal::new),
            output: Output::new(request.spool.clone(), request.spool_bound),
            away_bound: request.away_bound,
            buffer: Vec::new(),
            began,
            now_at_begin: request.now,
            timeout: request.timeout,
            grace: request.kill_grace,
            idle,
            phase: Phase::Running,
            status: None,
            stopped: None,
            survivors: 0,
        }
    }

    pub(super) fn level(&self) -> u8 {
        self.containment.level().byte()
    }

    /// No process is left.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self.phase, Phase::Gone)
    }

    /// KILL was sent: more children may show up at any time.
    pub(super) fn is_being_killed(&self) -> bool {
        matches!(self.phase, Phase::Killing { .. })
    }

    /// When to [`Self::advance`] next.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running => {
                let end = self.began.checked_add(self.timeout);
                match (end, &self.idle) {
                    (Some(end), Some(idle)) => Some(end.min(idle.look_at)),
                    (end, None) => end,
                    (None, Some(idle)) => Some(idle.look_at),
                }
            }
            Phase::Terminating { kill_at } => Some(kill_at),
            Phase::Killing { next, .. } => Some(next),
            Phase::Gone => None,
        }
    }

    /// The pipes that are to be pumped when they are readable.
    pub(super) fn pipes(&self) -> impl Iterator<Item = (usize, PollFd<'_>)> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::POLLIN, !self.output.throttled());
        flags.set(PollFlags::POLLOUT, self.terminal.as_ref().is_some_and(Terminal::is_waiting));
        let pipes = self.pipes.iter().enumerate().filter(move |_| !flags.is_empty());
        pipes.filter_map(move |(index, pipe)| Some((index, PollFd::new(pipe.as_ref()?.as_fd(), flags))))
    }

    /// What was typed into it, for the next ant.
    pub(super) fn typed(&self) -> Option<(u64, u64)> {
        self.terminal.as_ref()?.keyboard.typed()
    }

    /// Somebody types.
    pub(super) fn type_in(&mut self, line: u64, position: u64, bytes: &[u8]) {
        let Some(terminal) = &mut self.terminal else { return };
        terminal.keyboard.take(line, position, bytes);
        if let Some(idle) = &mut self.idle {
            idle.last = Instant::now();
        }
        self.type_on();
    }

    /// Gives the terminal what it can take of what was typed.
    pub(super) fn type_on(&mut self) {
        let (Some(terminal), Some(master)) = (&mut self.terminal, &self.pipes[0]) else { return };
        terminal.type_on(master);
        self.complain(false);
    }

    /// Says what was typed and not taken.
    fn complain(&mut self, at_last: bool) {
        let now = self.wall_clock();
        if let Some(terminal) = &mut self.terminal
            && self.output.can_say(at_last)
            && let Some(line) = terminal.keyboard.complaint(Instant::now(), at_last)
        {
            self.output.say(&line, now);
            self.note_failure();
        }
    }

    /// The terminal has another size.
    pub(super) fn resize(&self, columns: u16, rows: u16) {
        if let (Some(_), Some(master)) = (&self.terminal, &self.pipes[0]) {
            super::terminal::resize(master, columns, rows);
        }
    }

    /// Looks at the clocks.
    pub(super) fn advance(&mut self) {
        let now = Instant::now();
        match self.phase {
            Phase::Running => {
                if now.duration_since(self.began) >= self.timeout {
                    self.stop(StopCause::Timeout);
                } else {
                    self.look_for_idleness(now);
                }
            }
            Phase::Terminating { kill_at } if now >= kill_at => self.kill(),
            Phase::Killing { since, next } if now >= next => {
                if now.duration_since(since) >= UNKILLABLE {
                    self.survivors = u32::try_from(self.containment.processes().len()).unwrap_or(u32::MAX).max(1);
                    self.phase = Phase::Gone;
                } else {
                    self.containment.kill();
                    self.phase = Phase::Killing { since, next: now + kill_interval(now.duration_since(since)) };
                }
            }
            Phase::Terminating { .. } | Phase::Killing { .. } | Phase::Gone => {}
        }
    }

    fn look_for_idleness(&mut self, now: Instant) {
        let waits_for_ant = self.output.throttled();
        let Some(idle) = &mut self.idle else { return };
        if now < idle.look_at {
            return;
        }
        let activity = proc::activity(&self.containment.processes());
        if activity != idle.activity || waits_for_ant {
            idle.activity = activity;
            idle.last = now;
        }
        idle.look_at = (now + idle.every).min(idle.last + idle.limit);
        if now.duration_since(idle.last) >= idle.limit {
            self.stop(StopCause::Idle);
        }
    }

    /// TERM now, KILL after the grace. The first cause counts.
    pub(super) fn stop(&mut self, cause: StopCause) {
        if self.status.is_none() {
            self.stopped.get_or_insert(cause);
        }
        if matches!(self.phase, Phase::Running) {
            self.phase = Phase::Terminating { kill_at: Instant::now() + self.grace };
            self.containment.terminate();
        }
    }

    fn kill(&mut self) {
        if matches!(self.phase, Phase::Running | Phase::Terminating { .. }) {
            let now = Instant::now();
            self.containment.kill();
            self.phase = Phase::Killing { since: now, next: now + kill_interval(Duration::ZERO) };
        }
    }

    /// KILL now.
    pub(super) fn stop_at_once(&mut self, cause: StopCause) {
        if self.status.is_none() {
            self.stopped.get_or_insert(cause);
        }
        self.kill();
    }

    /// Nobody of the tree is left to write: what is in the pipes is all there will be. False while there is no room.
    pub(super) fn drained(&mut self) -> bool {
        if self.output.is_abandoned() {
            return true;
        }
        if let Some(terminal) = &mut self.terminal {
            // With the last one of that side what was written is followed by an end.
            terminal.close();
        }
        for index in 0..2 {
            while !self.output.throttled() && self.pipes[index].is_some() && self.pump(index) {}
        }
        if self.pipes.iter().all(Option::is_none) {
            self.complain(true);
        }
        let now = self.wall_clock();
        let drained = self.output.finish(now);
        self.note_failure();
        drained
    }

    /// The ant is gone, and the tree is to go with it.
    pub(super) fn abandon(&mut self) {
        self.output.abandon();
        self.stop_at_once(StopCause::Orphaned);
    }

    /// The ant is gone, and another one is waited for.
    pub(super) fn go_on_alone(&mut self) {
        self.output.go_on_alone(self.away_bound);
    }

    /// The spool's bound, and whether output beyond it is left out.
    pub(super) fn set_bound(&mut self, bytes: u64, thin: bool) {
        self.output.set_bound(bytes, thin);
    }

    /// The ant has taken the output up to here.
    pub(super) fn take(&mut self, position: u64) {
        let now = self.wall_clock();
        self.output.take(position, now);
        self.note_failure();
    }

    /// The same, and nobody will ask for it again.
    pub(super) fn settle(&mut self, position: u64) {
        let now = self.wall_clock();
        self.output.settle(position, now);
        self.note_failure();
    }

    fn note_failure(&mut self) {
        if let Some(errno) = self.output.take_failure() {
            self.give_up_output(errno);
        }
    }

    fn give_up_output(&mut self, errno: Errno) {
        self.pipes = [None, None];
        // Also when the program ended by itself: its output is not complete.
        self.stopped.get_or_insert(StopCause::Spool(errno as i32));
        self.kill();
    }

    /// Takes one piece of output; false when there is none now.
    pub(super) fn pump(&mut self, index: usize) -> bool {
        // A terminal may be ready to be written to only.
        if self.terminal.is_some() && self.output.throttled() {
            return false;
        }
        let Some(pipe) = &self.pipes[index] else { return false };
        if self.buffer.is_empty() {
            self.buffer.resize(HEADER + FIRST_PIECE, 0);
        }
        match nix::unistd::read(pipe, &mut self.buffer[HEADER..]) {
            Ok(0) => {
                self.pipes[index] = None;
                false
            }
            Ok(count) => {
                if HEADER + count == self.buffer.len() {
                    self.buffer.resize(HEADER + PIECE, 0);
                }
                if let Some(idle) = &mut self.idle {
                    idle.last = Instant::now();
                }
                let now = self.wall_clock();
                self.output.store(index, &mut self.buffer[..HEADER + count], now);
                self.note_failure();
                true
            }
            Err(Errno::EINTR) => true,
            Err(Errno::EAGAIN) => false,
            // Of a terminal that nobody has open any more: EIO.
            Err(_) => {
                self.pipes[index] = None;
                false
            }
        }
    }

    fn wall_clock(&self) -> UnixMillis {
        UnixMillis(self.now_at_begin).plus(self.began.elapsed())
    }

    /// What to tell the ant about the output; one message at a time, the answer makes room for the next.
    pub(super) fn announcement(&mut self) -> Option<FromShim> {
        self.output.announcement()
    }

    /// From where on no ant has heard of the output.
    pub(super) fn told(&self) -> u64 {
        self.output.told()
    }

    /// Reaps what has ended.
    pub(super) fn reap(&mut self) {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Err(Errno::ECHILD) => {
                    self.gone();
                    return;
                }
                Err(Errno::EINTR) => {}
                Ok(WaitStatus::StillAlive) | Err(_) => break,
                Ok(status) => {
                    if status.pid() == Some(self.main) {
                        self.status = match status {
                            WaitStatus::Exited(_, code) => Some(ExitStatus::Code(code.to_le_bytes()[0])),
                            WaitStatus::Signaled(_, signal, _) => Some(ExitStatus::Signal(signal as i32)),
                            _ => self.status,
                        };
                    }
                }
            }
        }
        match self.phase {
            // The program has ended by itself and left something behind.
            Phase::Running if self.status.is_some() => {
                self.phase = Phase::Terminating { kill_at: Instant::now() + self.grace };
                self.containment.terminate();
            }
            // Children that were forked after the last look show up now, when their parents are dead.
            Phase::Killing { since, .. } => {
                self.containment.kill();
                let now = Instant::now();
                self.phase = Phase::Killing { since, next: now + kill_interval(now.duration_since(since)) };
            }
            _ => {}
        }
    }

    /// No child is left. Nothing can be in the cgroup either, unless it came from outside.
    fn gone(&mut self) {
        if self.containment.remove() {
            self.phase = Phase::Gone;
        } else {
            self.kill();
        }
    }

    /// How it ended: [`Self::is_gone`], and all output is in the spool.
    pub(super) fn record(&self) -> ExitRecord {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok();
        let cpu = usage.map_or(0, |u| u.user_time().num_microseconds() + u.system_time().num_microseconds());
        ExitRecord {
            status: self.status.unwrap_or(ExitStatus::Unknown),
            stopped: self.stopped,
            survivors: self.survivors,
            cpu_micros: u64::try_from(cpu).unwrap_or(0),
            max_rss_kib: usage.and_then(|u| u64::try_from(u.max_rss()).ok()).unwrap_or(0),
            spool: self.output.range(),
        }
    }
}

/// Quick at first, because a tree dies in microseconds; patient with what does not.
fn kill_interval(waited: Duration) -> Duration {
    (waited / 4).clamp(Duration::from_millis(2), Duration::from_millis(200))
}
