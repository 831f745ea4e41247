//! The audited module: the only place of the workspace with `unsafe`. Forking, starting a program, receiving
//! descriptors, resetting signals.
//!
//! Two rules make it sound. [`fork`] is only called by a process with one thread (checked), so the child owns every
//! lock it may need. Between `clone3` and `execve` in [`spawn`] the child allocates nothing and only makes system calls.
#![expect(unsafe_code, reason = "process calls; each block says why it is sound")]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::unistd::Pid;

/// Which side of a fork this is.
pub(super) enum Forked {
    Parent(Pid),
    Child,
}

/// Forks a process that has one thread; refuses when there are more.
pub(super) fn fork() -> io::Result<Forked> {
    let threads = std::fs::read_dir("/proc/self/task")?.count();
    if threads != 1 {
        return Err(io::Error::other(format!(
            "the launcher must be forked before any other thread exists, but there are {threads} threads"
        )));
    }
    fork_known_single()
}

/// Forks without looking: for the launcher, which never has a second thread.
pub(super) fn fork_known_single() -> io::Result<Forked> {
    // SAFETY: the process has one thread, so the child's copy of every lock and of the allocator is consistent.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { child } => Ok(Forked::Parent(child)),
        nix::unistd::ForkResult::Child => Ok(Forked::Child),
    }
}

/// Ends the process without running destructors or exit handlers of the program that it was forked from.
pub(super) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Gives every signal its default action and blocks all of them: what ends this process is a decision of its own.
pub(super) fn quiet_signals() {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in Signal::iterator().filter(|s| !matches!(s, Signal::SIGKILL | Signal::SIGSTOP)) {
        // SAFETY: the default action runs no code of ours.
        let _ = unsafe { sigaction(signal, &default) };
    }
    let _ = SigSet::all().thread_set_mask();
}

/// Closes every descriptor from 3 on but `keep`.
pub(super) fn close_all_but(keep: &[i32]) {
    let mut keep: Vec<u32> = keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).filter(|fd| *fd >= 3).collect();
    keep.sort_unstable();
    let mut from = 3u32;
    for fd in keep {
        if fd > from {
            close_range(from, fd - 1);
        }
        from = fd + 1;
    }
    close_range(from, u32::MAX);
}

fn close_range(first: u32, last: u32) {
    // SAFETY: only called right after a fork by code that uses none of the closed descriptors any more.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0u32) } == 0 {
        return;
    }
    for fd in first..=last.min(65_535) {
        // SAFETY: as above; closing a number that is not open fails without effect.
        unsafe { libc::close(i32::try_from(fd).unwrap_or(-1)) };
    }
}

/// Makes descriptors 0, 1 and 2 copies of `fd`.
pub(super) fn replace_standard_streams(fd: BorrowedFd<'_>) -> io::Result<()> {
    for target in 0..3 {
        // SAFETY: both numbers are open descriptors or become so; dup2 is atomic.
        Errno::result(unsafe { libc::dup2(fd.as_raw_fd(), target) })?;
    }
    Ok(())
}

/// Receives one message and the descriptor that came with it, if one did. `None` is the end of the connection.
pub(super) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<(usize, Option<OwnedFd>)>> {
    let mut control = nix::cmsg_space!([i32; 1]);
    let mut slices = [io::IoSliceMut::new(buffer)];
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut descriptor = None;
    for item in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = item {
            for fd in fds {
                // SAFETY: the kernel has just made this descriptor for us; nobody else knows its number.
                descriptor = Some(unsafe { OwnedFd::from_raw_fd(fd) });
            }
        }
    }
    let length = message.bytes;
    Ok(if length == 0 && descriptor.is_none() { None } else { Some((length, descriptor)) })
}

/// Where a program is born.
pub(super) enum Placement<'a> {
    /// In this process's own cgroup.
    Here,
    /// In this cgroup v2 directory, from its first instruction.
    Cgroup(BorrowedFd<'a>),
    /// It writes itself into this open `cgroup.procs` before it becomes the program.
    Join(BorrowedFd<'a>),
}

/// A program to start.
pub(super) struct Program<'a> {
    /// Whether it may leave core files.
    pub(super) core_dumps: bool,
    pub(super) executable: &'a CStr,
    pub(super) arguments: &'a [CString],
    pub(super) environment: &'a [CString],
    pub(super) directory: &'a CStr,
    pub(super) stdin: BorrowedFd<'a>,
    pub(super) stdout: BorrowedFd<'a>,
    pub(super) stderr: BorrowedFd<'a>,
    /// `stdin` is a terminal, which becomes the one of its session.
    pub(super) tty: bool,
    pub(super) placement: Placement<'a>,
}

/// The step of a start that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SpawnStep {
    Fork,
    Join,
    Directory,
    Execute,
    Terminal,
}

impl SpawnStep {
    pub(super) fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Join,
            2 => Self::Directory,
            3 => Self::Execute,
            4 => Self::Terminal,
            _ => Self::Fork,
        }
    }

    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Fork => 0,
            Self::Join => 1,
            Self::Directory => 2,
            Self::Execute => 3,
            Self::Terminal => 4,
        }
    }
}

#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Starts a program in a process group of its own (a session, when it gets a terminal), with default signals and no descriptor beyond 0, 1, 2. It is killed
/// when the calling process dies.
pub(super) fn spawn(program: &Program<'_>) -> Result<Pid, (SpawnStep, Errno)> {
    let fork_failed = |errno| (SpawnStep::Fork, errno);
    let argv = pointers(program.arguments);
    let envp = pointers(program.environment);
    let (error_read, error_write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(fork_failed)?;

    let mut args = CloneArgs { exit_signal: libc::SIGCHLD as u64, ..CloneArgs::default() };
    if let Placement::Cgroup(directory) = &program.placement {
        args.flags = CLONE_INTO_CGROUP;
        args.cgroup = u64::try_from(directory.as_raw_fd()).unwrap_or(u64::MAX);
    }
    let pid = if args.flags == 0 {
        // SAFETY: one thread; see the module's rules.
        unsafe { libc::fork() }
    } else {
        // SAFETY: like fork (no shared memory, the caller's stack is copied); `args` outlives the call.
        let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) };
        i32::try_from(pid).unwrap_or(-1)
    };
    match pid {
        -1 => Err(fork_failed(Errno::last())),
        0 => {
            let (step, errno) = become_program(program, &argv, &envp);
            let message = [u32::from(step.byte()).to_le(), errno.cast_unsigned()];
            // SAFETY: writes eight bytes from the stack to our own pipe.
            unsafe { libc::write(error_write.as_raw_fd(), message.as_ptr().cast(), 8) };
            exit_now(127)
        }
        pid => {
            drop(error_write);
            let mut message = [0u8; 8];
            let mut filled = 0;
            while filled < message.len() {
                match nix::unistd::read(&error_read, &mut message[filled..]) {
                    Ok(0) => break,
                    Ok(n) => filled += n,
                    Err(Errno::EINTR) => {}
                    Err(errno) => return Err(fork_failed(errno)),
                }
            }
            if filled < message.len() {
                return Ok(Pid::from_raw(pid));
            }
            let [step, _, _, _, errno @ ..] = message;
            let _ = nix::sys::wait::waitpid(Pid::from_raw(pid), None);
            Err((SpawnStep::from_byte(step), Errno::from_raw(i32::from_ne_bytes(errno))))
        }
    }
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect()
}

/// In the child: only system calls, no allocation. Returns only when something failed.
fn become_program(
    program: &Program<'_>,
    argv: &[*const libc::c_char],
    envp: &[*const libc::c_char],
) -> (SpawnStep, i32) {
    let errno = || Errno::last_raw();
    // SAFETY: plain system calls on descriptors and null-terminated arrays that live in this copy of the memory.
    unsafe {
        if program.tty {
            // A process group of its own too.
            libc::setsid();
        } else {
            libc::setpgid(0, 0);
        }
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if let Placement::Join(procs) = &program.placement
            && libc::write(procs.as_raw_fd(), c"0".as_ptr().cast(), 1) != 1
        {
            return (SpawnStep::Join, errno());
        }
        if libc::chdir(program.directory.as_ptr()) != 0 {
            return (SpawnStep::Directory, errno());
        }
        for (fd, target) in [(&program.stdin, 0), (&program.stdout, 1), (&program.stderr, 2)] {
            if libc::dup2(fd.as_raw_fd(), target) < 0 {
                return (SpawnStep::Execute, errno());
            }
        }
        if program.tty && libc::ioctl(0, libc::TIOCSCTTY, 0) != 0 {
            return (SpawnStep::Terminal, errno());
        }
        libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        if !program.core_dumps {
            // One byte: a limit of zero still lets the kernel hand a core to a program (core_pattern with `|`).
            let one = libc::rlimit { rlim_cur: 1, rlim_max: 1 };
            libc::setrlimit(libc::RLIMIT_CORE, &raw const one);
        }
        libc::execve(program.executable.as_ptr(), argv.as_ptr(), envp.as_ptr());
    }
    (SpawnStep::Execute, errno())
}
