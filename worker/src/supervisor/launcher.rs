//! The launcher: a process with one thread and little memory that forks a shim per attempt. It ends with its ant, but
//! not before its shims, which may have another ant by then.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Mutex;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::isolation::ContainmentPlan;
use super::stream::ShimStream;
use super::sys::{self, Forked};
use super::{proc, shim};

const PLAN: u8 = b'P';
const START: u8 = b'S';
const LONGEST_MESSAGE: usize = 8192;

/// The line to the launcher process. When it is dropped, the launcher ends as soon as it has no shims.
pub struct Launcher {
    socket: Mutex<Option<OwnedFd>>,
    pid: Pid,
    #[cfg(feature = "simulation")]
    simulated: bool,
}

/// Why a program did not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartFault {
    /// No process could be made.
    Fork,
    /// It could not enter its cgroup.
    Join,
    /// Its working directory cannot be entered.
    Directory,
    /// The program cannot be executed.
    Execute,
    /// There is no terminal for it.
    Terminal,
}

impl StartFault {
    pub(crate) fn from_byte(byte: u8) -> Self {
        match sys::SpawnStep::from_byte(byte) {
            sys::SpawnStep::Fork => Self::Fork,
            sys::SpawnStep::Join => Self::Join,
            sys::SpawnStep::Directory => Self::Directory,
            sys::SpawnStep::Execute => Self::Execute,
            sys::SpawnStep::Terminal => Self::Terminal,
        }
    }
}

impl Launcher {
    /// Forks the launcher. Must be called in `main` before any thread exists: fails when the process has threads.
    pub fn fork() -> io::Result<Self> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        match sys::fork()? {
            Forked::Parent(pid) => Ok(Self {
                socket: Mutex::new(Some(ours)),
                pid,
                #[cfg(feature = "simulation")]
                simulated: false,
            }),
            Forked::Child => {
                drop(ours);
                let code = std::panic::catch_unwind(|| serve(theirs)).unwrap_or(101);
                sys::exit_now(code)
            }
        }
    }

    /// Starts no processes: what runs is simulated on this thread.
    #[cfg(feature = "simulation")]
    pub fn simulated() -> Self {
        Self { socket: Mutex::new(None), pid: Pid::from_raw(0), simulated: true }
    }

    /// The launcher's process id.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// Tells the launcher where cgroups are made.
    pub(crate) fn prepare(&self, plan: &ContainmentPlan) -> io::Result<()> {
        #[cfg(feature = "simulation")]
        if self.simulated {
            return Ok(());
        }
        let mut message = vec![PLAN, plan.level().byte()];
        if let Some(path) = plan.directory() {
            message.extend_from_slice(path.as_os_str().as_bytes());
        }
        self.send(&message, None)
    }

    /// Forks a shim and returns the socket to it; the request is still to be written.
    pub(crate) fn start(&self) -> io::Result<ShimStream> {
        #[cfg(feature = "simulation")]
        if self.simulated {
            return Ok(ShimStream::Simulated(crate::simulation::start_shim()));
        }
        let (ours, theirs) = UnixStream::pair()?;
        self.send(&[START], Some(theirs.as_raw_fd()))?;
        Ok(ShimStream::Socket(ours))
    }

    fn send(&self, message: &[u8], descriptor: Option<i32>) -> io::Result<()> {
        let socket = self.socket.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(socket) = socket.as_ref() else {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "the ant is ending"));
        };
        let descriptors: Vec<i32> = descriptor.into_iter().collect();
        let with = [ControlMessage::ScmRights(&descriptors)];
        let with = if descriptors.is_empty() { &[][..] } else { &with };
        loop {
            match sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(message)], with, MsgFlags::MSG_NOSIGNAL, None) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                // The first time after a launcher was killed that had not read everything; the next time it is EPIPE.
                Err(Errno::ECONNRESET) => return Err(io::ErrorKind::BrokenPipe.into()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Ends the launcher and waits until it and its shims are gone: none may be kept by an attempt. Blocks.
    pub(crate) fn shut_down(&self) {
        let socket = self.socket.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if socket.is_some() {
            drop(socket);
            while matches!(waitpid(self.pid, None), Err(Errno::EINTR)) {}
        }
    }
}

impl Launcher {
    /// Lets the launcher go: it ends by itself when its shims have ended.
    pub(crate) fn leave(&self) {
        self.socket.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The launcher process.
fn serve(socket: OwnedFd) -> i32 {
    match prepare(&socket).and_then(|signals| Serving::new(socket, signals).run()) {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

fn prepare(socket: &OwnedFd) -> io::Result<SignalFd> {
    sys::quiet_signals();
    sys::close_all_but(&[socket.as_raw_fd()]);
    let _ = nix::unistd::setsid();
    let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    sys::replace_standard_streams(null.as_fd())?;
    std::env::set_current_dir("/")?;
    let _ = nix::sys::prctl::set_name(c"atta-launcher");
    nix::sys::prctl::set_child_subreaper(true)?;
    child_signals()
}

/// A descriptor that is readable when a child has ended.
pub(super) fn child_signals() -> io::Result<SignalFd> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    Ok(SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}

struct Serving {
    socket: Option<OwnedFd>,
    signals: SignalFd,
    plan: ContainmentPlan,
    shims: Vec<Pid>,
    /// A shim was killed by force: what it watched is now a child of this process, to be killed.
    orphans: bool,
}

impl Serving {
    fn new(socket: OwnedFd, signals: SignalFd) -> Self {
        Self { socket: Some(socket), signals, plan: ContainmentPlan::Subreaper, shims: Vec::new(), orphans: false }
    }

    fn run(mut self) -> io::Result<()> {
        loop {
            let (ant, child) = self.wait()?;
            if child {
                while let Ok(Some(_)) = self.signals.read_signal() {}
                let alone = self.reap();
                if alone && self.socket.is_none() {
                    break;
                }
            }
            if ant {
                self.receive();
                if self.socket.is_none() && self.reap() {
                    break;
                }
            }
        }
        self.plan.remove();
        Ok(())
    }

    fn wait(&self) -> io::Result<(bool, bool)> {
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if let Some(socket) = &self.socket {
            fds.push(PollFd::new(socket.as_fd(), PollFlags::POLLIN));
        }
        let timeout = if self.orphans { PollTimeout::from(10u8) } else { PollTimeout::NONE };
        match poll(&mut fds, timeout) {
            Ok(0) => return Ok((false, true)),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ready = |index: usize| fds.get(index).and_then(PollFd::any).unwrap_or(false);
        Ok((ready(1), ready(0)))
    }

    fn receive(&mut self) {
        let Some(socket) = &self.socket else { return };
        let mut buffer = [0u8; LONGEST_MESSAGE];
        let Ok(Some((length, descriptor))) = sys::receive(socket.as_fd(), &mut buffer) else {
            self.socket = None;
            return;
        };
        match (&buffer[..length], descriptor) {
            ([PLAN, level, path @ ..], None) => {
                self.plan = ContainmentPlan::from_parts(*level, PathBuf::from(OsStr::from_bytes(path)));
            }
            ([START], Some(channel)) => match sys::fork_known_single() {
                Ok(Forked::Parent(pid)) => self.shims.push(pid),
                Ok(Forked::Child) => {
                    sys::close_all_but(&[channel.as_raw_fd()]);
                    let plan = &self.plan;
                    let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| shim::run(channel, plan)));
                    sys::exit_now(code.unwrap_or(101))
                }
                // The ant sees that its socket closes.
                Err(_) => {}
            },
            _ => {}
        }
    }

    /// Reaps what has ended; true when no child is left.
    fn reap(&mut self) -> bool {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED)) {
                Err(Errno::ECHILD) => {
                    self.orphans = false;
                    return true;
                }
                Err(Errno::EINTR) => {}
                Ok(WaitStatus::StillAlive) | Err(_) => break,
                // A stopped shim would watch no clock and hear no order.
                Ok(WaitStatus::Stopped(pid, _)) => {
                    let _ = kill(pid, Signal::SIGCONT);
                }
                Ok(status) => {
                    if let Some(pid) = status.pid()
                        && let Some(index) = self.shims.iter().position(|shim| *shim == pid)
                    {
                        self.shims.swap_remove(index);
                        self.orphans |= !matches!(status, WaitStatus::Exited(_, 0));
                    }
                }
            }
        }
        if self.orphans {
            self.kill_orphans();
        }
        false
    }

    fn kill_orphans(&mut self) {
        let shims = &self.shims;
        let orphans: Vec<i32> = proc::children(nix::unistd::getpid().as_raw())
            .into_iter()
            .filter(|child| !shims.iter().any(|shim| shim.as_raw() == *child))
            .collect();
        self.orphans = !orphans.is_empty();
        for orphan in orphans {
            for pid in proc::descendants(orphan).into_iter().chain([orphan]) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launcher_that_dies_with_unread_orders_is_gone_like_any_other() {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let launcher = Launcher {
            socket: Mutex::new(Some(ours)),
            pid: Pid::from_raw(0),
            #[cfg(feature = "simulation")]
            simulated: false,
        };
        launcher.send(&[START], None).unwrap();
        drop(theirs);
        for _ in 0..2 {
            assert_eq!(launcher.send(&[START], None).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        }
    }
}
