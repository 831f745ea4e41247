//! The shim: starts one program and stays until nothing of it is left.

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use atta_core::protocol::ant::LogStream;
use atta_core::time::UnixMillis;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signalfd::SignalFd;
use nix::sys::socket::{MsgFlags, send};
use nix::sys::time::TimeValLike;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::containment::Containment;
use super::isolation::ContainmentPlan;
use super::spool::{HEADER, SpoolWriter};
use super::sys::{self, Placement, Program, SpawnStep};
use super::wire::{ExitRecord, ExitStatus, Frame, FromShim, SpawnRequest, StopCause, ToShim, next_frame};
use super::{launcher, proc};

/// Largest piece of output that is taken at once; a pipe holds as much.
const PIECE: usize = 64 << 10;
/// Most programs say little: memory for more is touched when it is needed.
const FIRST_PIECE: usize = 2 << 10;
/// How long a process may take to die of KILL (it is stuck in the kernel) before it is given up.
const UNKILLABLE: Duration = Duration::from_secs(30);

/// The shim process: returns its exit code when the tree is gone.
pub(super) fn run(channel: OwnedFd, plan: &ContainmentPlan) -> i32 {
    let mut channel = UnixStream::from(channel);
    let _ = nix::unistd::setsid();
    let _ = nix::sys::prctl::set_name(c"atta-shim");
    let set_up = || -> io::Result<SignalFd> {
        nix::sys::prctl::set_child_subreaper(true)?;
        launcher::child_signals()
    };
    let Ok(signals) = set_up() else { return 1 };
    let Ok(request) = read_request(&mut channel) else { return 0 };
    let mut containment = Containment::new(plan, &request.name);
    match start(&request, &mut containment) {
        Ok((main, stdout, stderr)) => {
            let survivors = Shim::new(channel, signals, request, containment, main, stdout, stderr).run();
            i32::from(survivors > 0)
        }
        Err((step, errno)) => {
            containment.remove();
            say(&channel, &FromShim::NotStarted(step.byte(), errno as i32));
            0
        }
    }
}

fn read_request(channel: &mut UnixStream) -> io::Result<SpawnRequest> {
    let mut length = [0u8; 8];
    channel.read_exact(&mut length)?;
    let length = usize::try_from(u64::from_le_bytes(length)).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(length.min(1 << 20));
    channel.take(length as u64).read_to_end(&mut bytes)?;
    SpawnRequest::decode(&bytes)
}

fn say(channel: &UnixStream, message: &FromShim) -> bool {
    let bytes = message.encode();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        match send(channel.as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL) {
            Ok(count) => rest = &rest[count..],
            Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
    true
}

fn start(request: &SpawnRequest, containment: &mut Containment) -> Result<(Pid, OwnedFd, OwnedFd), (SpawnStep, Errno)> {
    let fork_failed = |errno: Errno| (SpawnStep::Fork, errno);
    let null = OpenOptions::new()
        .read(true)
        .open("/dev/null")
        .map_err(|error| fork_failed(Errno::from_raw(error.raw_os_error().unwrap_or(0))))?;
    let (stdout, stdout_end) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(fork_failed)?;
    let (stderr, stderr_end) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(fork_failed)?;
    for pipe in [&stdout, &stderr] {
        fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(fork_failed)?;
    }
    let spawn = |placement: Placement<'_>| {
        sys::spawn(&Program {
            executable: &request.executable,
            arguments: &request.arguments,
            environment: &request.environment,
            directory: &request.directory,
            core_dumps: request.core_dumps,
            stdin: null.as_fd(),
            stdout: stdout_end.as_fd(),
            stderr: stderr_end.as_fd(),
            placement,
        })
    };
    let mut started = spawn(containment.placement());
    if matches!(started, Err((SpawnStep::Fork | SpawnStep::Join, _)))
        && !matches!(containment.placement(), Placement::Here)
    {
        containment.fall_back();
        started = spawn(Placement::Here);
    }
    Ok((started?, stdout, stderr))
}

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

struct Shim {
    channel: UnixStream,
    incoming: Vec<u8>,
    signals: SignalFd,
    containment: Containment,
    main: Pid,
    /// stdout and stderr, until their ends.
    pipes: [Option<OwnedFd>; 2],
    spool: SpoolWriter,
    /// A piece that the disk had no room for.
    stuck: Option<(LogStream, Vec<u8>, Errno)>,
    /// The spool's end in the last message, while it was not answered.
    announced: Option<u64>,
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
    ant_gone: bool,
    spool_path: CString,
}

struct Idle {
    limit: Duration,
    last: Instant,
    activity: u64,
    look_at: Instant,
    every: Duration,
}

impl Shim {
    fn new(
        channel: UnixStream,
        signals: SignalFd,
        request: SpawnRequest,
        containment: Containment,
        main: Pid,
        stdout: OwnedFd,
        stderr: OwnedFd,
    ) -> Self {
        let began = Instant::now();
        let idle = (!request.idle_timeout.is_zero()).then(|| {
            let every = (request.idle_timeout / 4).clamp(Duration::from_millis(10), Duration::from_secs(15));
            Idle { limit: request.idle_timeout, last: began, activity: 0, look_at: began + every, every }
        });
        Self {
            channel,
            incoming: Vec::new(),
            signals,
            containment,
            main,
            pipes: [Some(stdout), Some(stderr)],
            spool: SpoolWriter::new(request.spool.clone(), request.spool_bound),
            stuck: None,
            announced: None,
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
            ant_gone: false,
            spool_path: request.spool,
        }
    }

    fn run(mut self) -> u32 {
        self.tell(&FromShim::Started(self.containment.level().byte()));
        loop {
            self.advance();
            if matches!(self.phase, Phase::Gone) && self.drained() {
                break;
            }
            let ready = self.wait();
            if ready.child {
                while let Ok(Some(_)) = self.signals.read_signal() {}
            }
            if ready.channel {
                self.listen();
            }
            for (index, pipe) in ready.pipes.into_iter().enumerate() {
                if pipe {
                    self.pump(index);
                }
            }
            if ready.child || matches!(self.phase, Phase::Killing { .. }) {
                self.reap();
            }
            self.announce();
        }
        self.finish()
    }

    /// Looks at the clocks.
    fn advance(&mut self) {
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
        let waits_for_ant = self.throttled();
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
    fn stop(&mut self, cause: StopCause) {
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

    fn stop_at_once(&mut self, cause: StopCause) {
        if self.status.is_none() {
            self.stopped.get_or_insert(cause);
        }
        self.kill();
    }

    /// Whether pumping waits for the ant.
    fn throttled(&self) -> bool {
        !self.ant_gone && (self.stuck.is_some() || self.spool.is_full())
    }

    fn drained(&mut self) -> bool {
        if self.ant_gone {
            return true;
        }
        if self.throttled() {
            return false;
        }
        // Nobody of the tree is left to write: what is in the pipes is all there will be.
        for index in 0..2 {
            while self.pipes[index].is_some() && self.pump(index) {
                if self.throttled() {
                    self.announce();
                    return false;
                }
            }
        }
        true
    }

    fn wait(&mut self) -> Ready {
        let now = Instant::now();
        let due = match self.phase {
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
        };
        let timeout = due.map_or(PollTimeout::NONE, |due| {
            let millis = due.saturating_duration_since(now).as_micros().div_ceil(1000);
            PollTimeout::try_from(millis.min(3_600_000)).unwrap_or(PollTimeout::ZERO)
        });
        let throttled = self.throttled();
        let mut fds = Vec::with_capacity(4);
        let mut roles = Vec::with_capacity(4);
        fds.push(PollFd::new(self.signals.as_fd(), PollFlags::POLLIN));
        roles.push(Role::Child);
        if !self.ant_gone {
            fds.push(PollFd::new(self.channel.as_fd(), PollFlags::POLLIN));
            roles.push(Role::Channel);
        }
        for (index, pipe) in self.pipes.iter().enumerate() {
            if let Some(pipe) = pipe
                && !throttled
            {
                fds.push(PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
                roles.push(Role::Pipe(index));
            }
        }
        let mut ready = Ready::default();
        match poll(&mut fds, timeout) {
            Ok(0) | Err(_) => return ready,
            Ok(_) => {}
        }
        for (fd, role) in fds.iter().zip(roles) {
            if fd.any().unwrap_or(false) {
                match role {
                    Role::Child => ready.child = true,
                    Role::Channel => ready.channel = true,
                    Role::Pipe(index) => ready.pipes[index] = true,
                }
            }
        }
        ready
    }

    fn listen(&mut self) {
        let mut buffer = [0u8; 512];
        match self.channel.read(&mut buffer) {
            Ok(0) => self.lose_ant(),
            Ok(count) => {
                self.incoming.extend_from_slice(&buffer[..count]);
                while let Ok(Some(message)) = next_frame::<ToShim>(&mut self.incoming) {
                    match message {
                        ToShim::Taken(position) => self.take(position),
                        ToShim::Stop => self.stop(StopCause::Order),
                        ToShim::Kill => self.stop_at_once(StopCause::Order),
                    }
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(_) => self.lose_ant(),
        }
    }

    fn lose_ant(&mut self) {
        self.ant_gone = true;
        self.stuck = None;
        self.stop_at_once(StopCause::Orphaned);
    }

    fn take(&mut self, position: u64) {
        self.spool.taken(position);
        self.announced = None;
        self.retry_stuck();
    }

    /// Tries again to store what the disk had no room for; when there is nothing left to free, the attempt fails.
    fn retry_stuck(&mut self) {
        let Some((stream, mut piece, _)) = self.stuck.take() else { return };
        let cut = self.spool.cut();
        match self.spool.append(stream, self.wall_clock(), &mut piece) {
            Ok(()) => {}
            Err(error) => {
                let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
                if self.spool.is_taken() || cut {
                    self.give_up_output(errno);
                } else {
                    self.stuck = Some((stream, piece, errno));
                }
            }
        }
    }

    fn give_up_output(&mut self, errno: Errno) {
        self.pipes = [None, None];
        // Also when the program ended by itself: its output is not complete.
        self.stopped.get_or_insert(StopCause::Spool(errno as i32));
        self.kill();
    }

    /// Takes one piece of output; false when there is none now.
    fn pump(&mut self, index: usize) -> bool {
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
                let stream = if index == 0 { LogStream::Stdout } else { LogStream::Stderr };
                let now = Instant::now();
                if let Some(idle) = &mut self.idle {
                    idle.last = now;
                }
                if self.ant_gone {
                    return true;
                }
                let at = self.wall_clock();
                if let Err(error) = self.spool.append(stream, at, &mut self.buffer[..HEADER + count]) {
                    let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
                    self.stuck = Some((stream, self.buffer[..HEADER + count].to_vec(), errno));
                    self.retry_stuck();
                }
                true
            }
            Err(Errno::EINTR) => true,
            Err(Errno::EAGAIN) => false,
            Err(_) => {
                self.pipes[index] = None;
                false
            }
        }
    }

    fn wall_clock(&self) -> UnixMillis {
        UnixMillis(self.now_at_begin).plus(self.began.elapsed())
    }

    /// Tells the ant that there is output; one message at a time, the answer makes room for the next.
    fn announce(&mut self) {
        let (base, end) = self.spool.range();
        if self.announced.is_none() && !self.spool.is_taken() {
            self.announced = Some(end);
            self.tell(&FromShim::Output { base, end });
        }
    }

    fn tell(&mut self, message: &FromShim) {
        if !self.ant_gone && !say(&self.channel, message) {
            self.lose_ant();
        }
    }

    fn reap(&mut self) {
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

    fn finish(mut self) -> u32 {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok();
        let cpu = usage.map_or(0, |u| u.user_time().num_microseconds() + u.system_time().num_microseconds());
        let record = FromShim::Exited(ExitRecord {
            status: self.status.unwrap_or(ExitStatus::Unknown),
            stopped: self.stopped,
            survivors: self.survivors,
            cpu_micros: u64::try_from(cpu).unwrap_or(0),
            max_rss_kib: usage.and_then(|u| u64::try_from(u.max_rss()).ok()).unwrap_or(0),
            spool: self.spool.range(),
        });
        self.tell(&record);
        if self.ant_gone {
            // For whoever looks at the directory later; the file lies beside the spool.
            let mut path = self.spool_path.into_bytes();
            path.extend_from_slice(b".exit");
            let _ = fs::write(std::ffi::OsString::from_vec(path), record.encode());
        }
        self.survivors
    }
}

/// Quick at first, because a tree dies in microseconds; patient with what does not.
fn kill_interval(waited: Duration) -> Duration {
    (waited / 4).clamp(Duration::from_millis(2), Duration::from_millis(200))
}

#[derive(Default)]
struct Ready {
    child: bool,
    channel: bool,
    pipes: [bool; 2],
}

#[derive(Clone, Copy)]
enum Role {
    Child,
    Channel,
    Pipe(usize),
}
