//! A program's terminal: a pseudo-terminal whose one side is the program's streams and whose other side is ours.

use std::os::fd::{AsFd, OwnedFd};

use atta_core::protocol::terminal::{COLUMNS, ROWS};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::termios::{InputFlags, SetArg, tcgetattr, tcsetattr};

use super::keyboard::Keyboard;

/// What stays here of the streams of a program that was started.
pub(super) struct Streams {
    /// Where its output comes from: stdout and stderr, or a terminal.
    pub(super) ends: [Option<OwnedFd>; 2],
    /// The program's side of its terminal, if it has one.
    pub(super) slave: Option<OwnedFd>,
}

/// See the module.
pub(super) struct Terminal {
    pub(super) keyboard: Keyboard,
    /// Kept open as long as there are processes: a program may close all of its streams and open the terminal again, and
    /// meanwhile our side would read as ended.
    slave: Option<OwnedFd>,
}

/// Makes one; ours first.
pub(super) fn open() -> Result<(OwnedFd, OwnedFd), Errno> {
    let size = Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
    let OpenptyResult { master, slave } = openpty(&size, None)?;
    for end in [&master, &slave] {
        fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    }
    fcntl(&master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let mut settings = tcgetattr(&slave)?;
    // A character is erased as a whole.
    settings.input_flags.insert(InputFlags::IUTF8);
    tcsetattr(&slave, SetArg::TCSANOW, &settings)?;
    Ok((master, slave))
}

/// The kernel tells the program by SIGWINCH.
pub(super) fn resize(master: &OwnedFd, columns: u16, rows: u16) {
    let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // It fails only for what is no terminal.
    let _ = rustix::termios::tcsetwinsize(master.as_fd(), size);
}

impl Terminal {
    pub(super) fn new(slave: OwnedFd) -> Self {
        Self { keyboard: Keyboard::default(), slave: Some(slave) }
    }

    /// Whether something that was typed waits for the program.
    pub(super) fn is_waiting(&self) -> bool {
        self.keyboard.is_waiting()
    }

    /// Gives the terminal what it can take of what was typed.
    pub(super) fn type_on(&mut self, master: &OwnedFd) {
        while self.keyboard.is_waiting() {
            match nix::unistd::write(master, self.keyboard.next()) {
                Ok(0) | Err(Errno::EAGAIN) => return,
                Ok(count) => self.keyboard.written(count),
                Err(Errno::EINTR) => {}
                Err(_) => self.keyboard.close(),
            }
        }
    }

    /// No process is left that could read or write.
    pub(super) fn close(&mut self) {
        self.slave = None;
        self.keyboard.close();
    }
}
