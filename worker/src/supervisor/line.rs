//! The shim's end of the line to its ant: the socket that it was born with, and later one that it listens on in the
//! attempt's directory, for the next ant to find.

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{MsgFlags, getsockopt, recv, send, setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use super::wire::{Frame, FromShim, SpawnRequest, ToShim, next_frame};

/// The socket, in the attempt's directory.
pub(crate) const CONTROL: &str = "control";
/// What a shim writes that ends while no ant is there, in the attempt's directory.
pub(crate) const LEFT: &str = "left";
/// The mode of an attempt's directory once something was started in it.
pub(crate) const BEGUN: u32 = 0o1700;
/// The mode before.
const FRESH: u32 = 0o700;
/// How long an ant may take to read what it is told, in seconds.
const PATIENCE: i64 = 5;

/// See the module.
pub(super) struct Line {
    stream: Option<UnixStream>,
    listener: Option<UnixListener>,
    incoming: Vec<u8>,
    /// The attempt's directory, locked.
    root: Option<File>,
}

impl Line {
    pub(super) fn new(channel: OwnedFd) -> Self {
        Self { stream: Some(UnixStream::from(channel)), listener: None, incoming: Vec::new(), root: None }
    }

    /// Waits for the first request.
    pub(super) fn first_request(&mut self) -> io::Result<SpawnRequest> {
        loop {
            if let Some(message) = next_frame::<ToShim>(&mut self.incoming)? {
                return match message {
                    ToShim::Start(request) => Ok(*request),
                    _ => Err(io::ErrorKind::InvalidData.into()),
                };
            }
            if !self.read()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Takes hold of the attempt's directory, so that the next ant sees that the attempt lives, and marks it as begun.
    /// Fails when an ant is taking stock, or when the one that asked for this is not there any more: the attempt may be
    /// somebody else's then.
    pub(super) fn hold(&mut self, root: &CStr, first: bool) -> io::Result<()> {
        let path = Path::new(std::ffi::OsStr::from_bytes(root.to_bytes()));
        let directory = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(path)?;
        directory.try_lock_shared()?;
        if directory.metadata()?.nlink() == 0 {
            return Err(io::ErrorKind::NotFound.into());
        }
        directory.set_permissions(Permissions::from_mode(BEGUN))?;
        let Some(stream) = &self.stream else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let mut byte = [0u8];
        let there = recv(stream.as_raw_fd(), &mut byte, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT);
        if there == Ok(0) && first {
            directory.set_permissions(Permissions::from_mode(FRESH))?;
        }
        if there == Ok(0) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.root = Some(directory);
        Ok(())
    }

    /// [`Self::hold`] was successful.
    pub(super) fn holds(&self) -> bool {
        self.root.is_some()
    }

    /// Nothing was started after all.
    pub(super) fn unmark(&self) {
        if let Some(root) = &self.root {
            let _ = root.set_permissions(Permissions::from_mode(FRESH));
        }
    }

    /// What the attempt's last shim has left is about to be outdated.
    pub(super) fn discard_left(&self) -> io::Result<()> {
        match self.inside(LEFT).map(fs::remove_file) {
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// An ant is there.
    pub(super) fn is_up(&self) -> bool {
        self.stream.is_some()
    }

    /// Nobody can find this shim any more: its directory was removed.
    pub(super) fn is_lost(&self) -> bool {
        self.root.as_ref().is_none_or(|root| root.metadata().is_ok_and(|metadata| metadata.nlink() == 0))
    }

    /// An ant may come.
    pub(super) fn listens(&self) -> bool {
        self.listener.is_some()
    }

    /// Readable when there is something to [`Self::receive`] or to [`Self::accept`].
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.stream.as_ref().map(AsFd::as_fd).or_else(|| self.listener.as_ref().map(AsFd::as_fd))
    }

    /// False when the ant is gone.
    pub(super) fn say(&mut self, message: &FromShim) -> bool {
        let Some(stream) = &self.stream else { return false };
        let bytes = message.encode();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match send(stream.as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL) {
                Ok(count) => rest = &rest[count..],
                Err(Errno::EINTR) => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// What the ant has said; `None` when it is gone.
    pub(super) fn receive(&mut self) -> Option<Vec<ToShim>> {
        let open = match self.read() {
            Ok(open) => open,
            Err(error) => matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock),
        };
        if !open {
            return None;
        }
        let mut messages = Vec::new();
        loop {
            match next_frame(&mut self.incoming) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => return Some(messages),
                Err(_) => return None,
            }
        }
    }

    fn read(&mut self) -> io::Result<bool> {
        let Some(stream) = &mut self.stream else { return Ok(false) };
        // Most of what comes is short; a part of something long is followed by more.
        let mut short = [0u8; 4096];
        let count = if self.incoming.is_empty() {
            let count = stream.read(&mut short)?;
            self.incoming.extend_from_slice(&short[..count]);
            count
        } else {
            let start = self.incoming.len();
            self.incoming.resize(start + (64 << 10), 0);
            let read = stream.read(&mut self.incoming[start..]);
            self.incoming.truncate(start + *read.as_ref().unwrap_or(&0));
            read?
        };
        Ok(count > 0)
    }

    /// The ant is gone: what it did not say to its end was never said.
    pub(super) fn hang_up(&mut self) {
        self.stream = None;
        self.incoming = Vec::new();
    }

    /// Waits for the next ant.
    pub(super) fn listen(&mut self) -> io::Result<()> {
        // Through the descriptor: the path of a socket may have 108 bytes only.
        let Some(path) = self.inside(CONTROL) else { return Err(io::ErrorKind::NotFound.into()) };
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        self.listener = Some(listener);
        Ok(())
    }

    /// Lets an ant in; others are not heard then.
    pub(super) fn accept(&mut self) -> bool {
        let Some(listener) = &self.listener else { return false };
        let Ok((stream, _)) = listener.accept() else { return false };
        let ours = nix::unistd::geteuid();
        let same = getsockopt(&stream, sockopt::PeerCredentials)
            .is_ok_and(|peer| peer.uid() == ours.as_raw() || peer.uid() == 0);
        let patient = setsockopt(&stream, sockopt::SendTimeout, &TimeVal::seconds(PATIENCE)).is_ok();
        if !same || !patient || stream.set_nonblocking(false).is_err() {
            return false;
        }
        self.listener = None;
        if let Some(path) = self.inside(CONTROL) {
            let _ = fs::remove_file(path);
        }
        self.incoming.clear();
        self.stream = Some(stream);
        true
    }

    /// Writes what the next ant needs to bring the attempt to its end without this shim.
    pub(super) fn leave(&self, messages: &[&FromShim]) -> io::Result<()> {
        let (Some(new), Some(path)) = (self.inside("left.new"), self.inside(LEFT)) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let written = write_anew(&new, messages).and_then(|()| fs::rename(&new, path));
        if written.is_err() {
            let _ = fs::remove_file(new);
        } else if let Some(control) = self.inside(CONTROL) {
            let _ = fs::remove_file(control);
        }
        written
    }

    fn inside(&self, name: &str) -> Option<PathBuf> {
        Some(inside(self.root.as_ref()?, name))
    }
}

/// The path of a file in an open directory, short whatever the directory is called.
pub(super) fn inside(directory: &File, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))
}

/// Writes frames to a new private file.
pub(super) fn write_anew(path: &Path, messages: &[&FromShim]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
    for message in messages {
        file.write_all(&message.encode())?;
    }
    Ok(())
}
