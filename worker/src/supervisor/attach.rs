//! What a starting ant finds of an attempt that an earlier one began: its shim, or what the shim has left, or neither.
//! All of it blocks.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::Pid;

use super::line::{BEGUN, CONTROL, LEFT, inside, write_anew};
use super::proc;
use super::stream::ShimStream;
use super::wire::{Frame, FromShim, Here, ToShim, VERSION, next_frame};

/// How long a shim may take to answer before it is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the tree of a shim may take to die.
const DYING: Duration = Duration::from_mins(1);
/// A shim that has not come by then may have been stopped.
const NUDGE: Duration = Duration::from_millis(250);

/// What there is of an attempt.
pub(crate) enum Found {
    /// No program was started. The directory is locked until this is dropped, so that none will be.
    Nothing(File),
    /// A shim, and the line to it.
    Shim(Here, Attached),
    /// What a shim has left: the program has ended.
    Left(Here, FromShim),
    /// A program was started, and nobody watches over it any more.
    Unwatched,
    /// Nothing of an earlier ant.
    Other,
}

/// A line to a shim, with what came on it behind the greeting.
pub(crate) struct Attached {
    pub(crate) stream: ShimStream,
    pub(crate) incoming: Vec<u8>,
}

/// Looks at an attempt's directory.
pub(crate) fn examine(path: &Path) -> io::Result<Found> {
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let directory = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(directory) => directory,
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTDIR | libc::ELOOP)) => return Ok(Found::Other),
        Err(error) => return Err(error),
    };
    #[cfg(feature = "simulation")]
    if let Some(found) = crate::simulation::examine(path) {
        return Ok(found);
    }
    let began = Instant::now();
    let mut nudge_at = began + NUDGE;
    loop {
        match directory.try_lock() {
            Ok(()) => return Ok(unheld(directory)),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => {}
        }
        if let Ok(found) = greet(&directory) {
            return Ok(found);
        }
        let now = Instant::now();
        if now >= began + PATIENCE {
            break;
        }
        if now >= nudge_at {
            signal_holders(&directory, Signal::SIGCONT);
            nudge_at = now + NUDGE;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    tracing::warn!(directory = %path.display(), "the process that watches over an attempt does not answer and is killed");
    while directory.try_lock().is_err() && began.elapsed() < 2 * PATIENCE {
        signal_holders(&directory, Signal::SIGKILL);
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(Found::Unwatched)
}

fn unheld(directory: File) -> Found {
    match read_left(&directory) {
        Ok(Some((here, outcome))) => return Found::Left(here, outcome),
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "what was left of an attempt cannot be read"),
    }
    match directory.metadata() {
        // As it was made. A program may change the mode of its directory; then it was begun.
        Ok(metadata) if metadata.permissions().mode() & (BEGUN | 0o777) == 0o700 => Found::Nothing(directory),
        _ => Found::Unwatched,
    }
}

fn read_left(directory: &File) -> io::Result<Option<(Here, FromShim)>> {
    let path = inside(directory, LEFT);
    let mut file = match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    match (next_frame(&mut bytes)?, next_frame(&mut bytes)?) {
        (Some(FromShim::Here(here)), Some(outcome)) if here.version == VERSION => Ok(Some((*here, outcome))),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Writes what a shim has left, anew.
pub(crate) fn rewrite_left(root: &Path, here: Here, outcome: &FromShim) -> io::Result<()> {
    let new = root.join("left.new");
    write_anew(&new, &[&FromShim::Here(Box::new(here)), outcome])?;
    fs::rename(new, root.join(LEFT))
}

/// Connects to the shim and hears what it has kept.
fn greet(directory: &File) -> io::Result<Found> {
    let mut stream = UnixStream::connect(inside(directory, CONTROL))?;
    let peer = getsockopt(&stream, sockopt::PeerCredentials)?;
    if peer.uid() != nix::unistd::geteuid().as_raw() && peer.uid() != 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    stream.set_read_timeout(Some(PATIENCE / 2))?;
    let mut incoming = Vec::new();
    let FromShim::Here(here) = read_frame(&mut stream, &mut incoming)? else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    stream.set_read_timeout(None)?;
    Ok(Found::Shim(*here, Attached { stream: ShimStream::Socket(stream), incoming }))
}

fn read_frame(stream: &mut UnixStream, incoming: &mut Vec<u8>) -> io::Result<FromShim> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        if let Some(frame) = next_frame(incoming)? {
            return Ok(frame);
        }
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => incoming.extend_from_slice(&buffer[..count]),
        }
    }
}

impl Attached {
    /// Has the tree killed, and waits until it is gone.
    pub(crate) fn kill(self) -> io::Result<()> {
        let Self { stream, mut incoming } = self;
        let mut stream = match stream {
            ShimStream::Socket(stream) => stream,
            #[cfg(feature = "simulation")]
            ShimStream::Simulated(stream) => {
                crate::simulation::kill(stream);
                return Ok(());
            }
        };
        stream.set_read_timeout(Some(DYING))?;
        stream.write_all(&ToShim::Kill.encode())?;
        loop {
            match read_frame(&mut stream, &mut incoming)? {
                FromShim::Exited(_) | FromShim::NotStarted(..) => break,
                FromShim::Output { end, .. } => {
                    let answer = ToShim::Checkpoint { position: end, state: Vec::new() };
                    stream.write_all(&answer.encode())?;
                }
                FromShim::Started(_) | FromShim::Here(_) => {}
            }
        }
        stream.write_all(&ToShim::Release.encode())?;
        // It ends.
        match read_frame(&mut stream, &mut incoming) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            other => other.map(|_| ()),
        }
    }
}

/// Kills what was started with this TASK_DIR, again and again until nothing of it is left: for trees that nobody watches
/// over and that no cgroup holds.
pub(crate) fn kill_by_task_dir(task_dir: &[u8]) {
    #[cfg(feature = "simulation")]
    if crate::simulation::is_on() {
        return;
    }
    let began = Instant::now();
    loop {
        let left = proc::with_variable("TASK_DIR", task_dir);
        if left.is_empty() {
            return;
        }
        if began.elapsed() > PATIENCE {
            tracing::warn!(processes = left.len(), "processes of a lost attempt cannot be killed");
            return;
        }
        for pid in left {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn signal_holders(directory: &File, signal: Signal) {
    let Ok(metadata) = directory.metadata() else { return };
    for pid in proc::lock_holders(metadata.dev(), metadata.ino()) {
        let is_shim = fs::read(format!("/proc/{pid}/comm")).is_ok_and(|name| name == b"atta-shim\n");
        if is_shim {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}
