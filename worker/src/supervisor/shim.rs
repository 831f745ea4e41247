//! The shim: starts the programs of an attempt, one after the other, stays until nothing of them is left, and keeps what
//! an ant must know to go on with the attempt.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;

use super::containment::Containment;
use super::isolation::ContainmentPlan;
use super::launcher;
use super::line::Line;
use super::sys::{self, Placement, Program, SpawnStep};
use super::task::Task;
use super::terminal::{self, Streams};
use super::wire::{FromShim, Here, SpawnRequest, StopCause, ToShim, VERSION};

/// What did not work for lack of room is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Whether the directory is still there, in which the next ant would look.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The shim process: returns its exit code when the attempt is over, or can be ended without it.
pub(super) fn run(channel: OwnedFd, plan: &ContainmentPlan) -> i32 {
    let _ = nix::unistd::setsid();
    let _ = nix::sys::prctl::set_name(c"atta-shim");
    let set_up = || -> io::Result<SignalFd> {
        nix::sys::prctl::set_child_subreaper(true)?;
        launcher::child_signals()
    };
    let Ok(signals) = set_up() else { return 1 };
    let mut line = Line::new(channel);
    let Ok(request) = line.first_request() else { return 0 };
    let mut shim = Shim {
        line,
        signals,
        plan,
        begun: !request.first,
        dies_with_ant: request.dies_with_ant,
        sealed: Vec::new(),
        checkpoint: None,
        stop: None,
        level: None,
        task: None,
        outcome: None,
        told: 0,
        released: false,
        survivors: 0,
    };
    shim.begin(request);
    i32::from(shim.run() > 0)
}

fn start(request: &SpawnRequest, containment: &mut Containment) -> Result<(Pid, Streams), (SpawnStep, Errno)> {
    if request.tty {
        let (master, slave) = terminal::open().map_err(|errno| (SpawnStep::Terminal, errno))?;
        let main = start_on(request, containment, [slave.as_fd(); 3])?;
        return Ok((main, Streams { ends: [Some(master), None], slave: Some(slave) }));
    }
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
    let main = start_on(request, containment, [null.as_fd(), stdout_end.as_fd(), stderr_end.as_fd()])?;
    Ok((main, Streams { ends: [Some(stdout), Some(stderr)], slave: None }))
}

/// Starts the program with these streams.
fn start_on(
    request: &SpawnRequest,
    containment: &mut Containment,
    [stdin, stdout, stderr]: [BorrowedFd<'_>; 3],
) -> Result<Pid, (SpawnStep, Errno)> {
    let spawn = |placement: Placement<'_>| {
        sys::spawn(&Program {
            executable: &request.executable,
            arguments: &request.arguments,
            environment: &request.environment,
            directory: &request.directory,
            core_dumps: request.core_dumps,
            stdin,
            stdout,
            stderr,
            tty: request.tty,
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
    started
}

/// See the module.
struct Shim<'a> {
    line: Line,
    signals: SignalFd,
    plan: &'a ContainmentPlan,
    /// A program of the attempt was started once.
    begun: bool,
    dies_with_ant: bool,
    /// What the newest request brought for the next ant, and the checkpoint that came after it.
    sealed: Vec<u8>,
    checkpoint: Option<(u64, Vec<u8>)>,
    /// The reason of the first order to stop.
    stop: Option<Vec<u8>>,
    level: Option<u8>,
    /// The program, while it runs.
    task: Option<Task>,
    /// How the last program ended.
    outcome: Option<FromShim>,
    /// From where on no ant has heard of its output.
    told: u64,
    released: bool,
    survivors: u32,
}

impl Shim<'_> {
    /// Starts a program.
    fn begin(&mut self, mut request: SpawnRequest) {
        self.sealed = std::mem::take(&mut request.sealed);
        self.outcome = None;
        self.level = None;
        self.checkpoint = None;
        let held = if self.line.holds() { Ok(()) } else { self.line.hold(&request.root, request.first) };
        let held = held.and_then(|()| if request.first { Ok(()) } else { self.line.discard_left() });
        let mut containment = Containment::new(self.plan, &request.name);
        let started = match held {
            Ok(()) => start(&request, &mut containment),
            Err(error) => Err((SpawnStep::Directory, Errno::from_raw(error.raw_os_error().unwrap_or(0)))),
        };
        match started {
            Ok((main, streams)) => {
                self.begun = true;
                let task = Task::new(&request, containment, main, streams);
                let level = task.level();
                self.level = Some(level);
                self.task = Some(task);
                self.tell(&FromShim::Started(level));
            }
            Err((step, errno)) => {
                containment.remove();
                if !self.begun {
                    self.line.unmark();
                }
                let outcome = FromShim::NotStarted(step.byte(), errno as i32);
                self.tell(&outcome);
                self.outcome = Some(outcome);
            }
        }
    }

    fn run(mut self) -> u32 {
        loop {
            if let Some(task) = &mut self.task {
                task.advance();
                // What nobody can find, nobody can stop.
                if !self.line.is_up() && self.line.is_lost() {
                    task.abandon();
                }
                if task.is_gone() && task.drained() {
                    self.conclude();
                }
            }
            if self.is_over() {
                return self.survivors;
            }
            self.announce();
            let ready = self.wait();
            if ready.child {
                while let Ok(Some(_)) = self.signals.read_signal() {}
            }
            if ready.line {
                if self.line.is_up() {
                    self.listen();
                } else if self.line.accept() {
                    self.welcome();
                }
            }
            if let Some(task) = &mut self.task {
                for (index, pipe) in ready.pipes.into_iter().enumerate() {
                    if pipe {
                        task.pump(index);
                    }
                }
                task.type_on();
                if ready.child || task.is_being_killed() {
                    task.reap();
                }
            }
        }
    }

    /// The program has ended.
    fn conclude(&mut self) {
        let Some(task) = self.task.take() else { return };
        let record = task.record();
        // Whoever hears of the end has heard of all of it.
        self.told = if self.line.is_up() { record.spool.1 } else { task.told() };
        self.survivors = record.survivors;
        let outcome = FromShim::Exited(record);
        self.tell(&outcome);
        self.outcome = Some(outcome);
    }

    /// Nothing is left to watch over, nor to keep.
    fn is_over(&mut self) -> bool {
        let Some(outcome) = &self.outcome else { return false };
        if self.released {
            return true;
        }
        if self.line.is_up() {
            return false;
        }
        if self.dies_with_ant || !self.begun || self.line.is_lost() {
            return true;
        }
        self.line.leave(&[&self.here(), outcome]).is_ok()
    }

    fn here(&self) -> FromShim {
        FromShim::Here(Box::new(Here {
            version: VERSION,
            sealed: self.sealed.clone(),
            checkpoint: self.checkpoint.clone(),
            stop: self.stop.clone(),
            level: self.level,
            typed: self.task.as_ref().and_then(Task::typed),
            told: Some(self.task.as_ref().map_or(self.told, Task::told)),
        }))
    }

    fn wait(&mut self) -> Ready {
        let now = Instant::now();
        let mut due = self.task.as_ref().and_then(Task::due);
        if !self.line.is_up() && !self.dies_with_ant {
            if !self.line.listens() {
                // When this fails there is no room for it now.
                let _ = self.line.listen();
            }
            let next = if !self.line.listens() || self.outcome.is_some() { TRY_AGAIN } else { LOOK_AGAIN };
            due = Some(due.map_or(now + next, |due| due.min(now + next)));
        }
        let timeout = due.map_or(PollTimeout::NONE, |due| {
            let millis = due.saturating_duration_since(now).as_micros().div_ceil(1000);
            PollTimeout::try_from(millis.min(3_600_000)).unwrap_or(PollTimeout::ZERO)
        });
        let mut fds = Vec::with_capacity(4);
        let mut roles = Vec::with_capacity(4);
        fds.push(PollFd::new(self.signals.as_fd(), PollFlags::POLLIN));
        roles.push(Role::Child);
        if let Some(line) = self.line.descriptor() {
            fds.push(PollFd::new(line, PollFlags::POLLIN));
            roles.push(Role::Line);
        }
        for (index, pipe) in self.task.iter().flat_map(Task::pipes) {
            fds.push(pipe);
            roles.push(Role::Pipe(index));
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
                    Role::Line => ready.line = true,
                    Role::Pipe(index) => ready.pipes[index] = true,
                }
            }
        }
        ready
    }

    fn listen(&mut self) {
        let Some(messages) = self.line.receive() else { return self.lose_ant() };
        for message in messages {
            match message {
                ToShim::Start(request) => {
                    if self.outcome.is_some() {
                        self.begin(*request);
                    }
                }
                ToShim::Taken(position) => {
                    if let Some(task) = &mut self.task {
                        task.take(position);
                    }
                }
                ToShim::Checkpoint { position, state } => {
                    self.checkpoint = Some((position, state));
                    if let Some(task) = &mut self.task {
                        task.settle(position);
                    }
                }
                ToShim::Stop(reason) => {
                    self.stop.get_or_insert(reason);
                    if let Some(task) = &mut self.task {
                        task.stop(StopCause::Order);
                    }
                }
                ToShim::Kill => {
                    if let Some(task) = &mut self.task {
                        task.stop_at_once(StopCause::Order);
                    }
                }
                ToShim::Bound { bytes, thin } => {
                    if let Some(task) = &mut self.task {
                        task.set_bound(bytes, thin);
                    }
                }
                ToShim::Release => self.released = true,
                ToShim::Input { line, position, bytes } => {
                    if let Some(task) = &mut self.task {
                        task.type_in(line, position, &bytes);
                    }
                }
                ToShim::Resize { columns, rows } => {
                    if let Some(task) = &mut self.task {
                        task.resize(columns, rows);
                    }
                }
            }
        }
    }

    /// Another ant has come.
    fn welcome(&mut self) {
        let here = self.here();
        self.tell(&here);
        if let Some(outcome) = self.outcome.clone() {
            self.tell(&outcome);
            if let FromShim::Exited(record) = outcome {
                self.told = record.spool.1;
            }
        }
    }

    fn lose_ant(&mut self) {
        self.line.hang_up();
        if let Some(task) = &mut self.task {
            // A directory that was removed is found by nobody.
            if self.dies_with_ant || self.line.is_lost() {
                task.abandon();
            } else {
                task.go_on_alone();
            }
        }
    }

    fn announce(&mut self) {
        if self.line.is_up()
            && let Some(message) = self.task.as_mut().and_then(Task::announcement)
        {
            self.tell(&message);
        }
    }

    fn tell(&mut self, message: &FromShim) {
        if self.line.is_up() && !self.line.say(message) {
            self.lose_ant();
        }
    }
}

#[derive(Default)]
struct Ready {
    child: bool,
    line: bool,
    pipes: [bool; 2],
}

#[derive(Clone, Copy)]
enum Role {
    Child,
    Line,
    Pipe(usize),
}
