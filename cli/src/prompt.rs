//! Asking for a value that is not shown while it is typed.

use std::io::{Read, Write};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use crate::exit::{CommandResult, Exit, Failure};

/// Restores the terminal, whatever happens.
struct Quiet {
    before: Termios,
}

impl Quiet {
    fn begin() -> nix::Result<Self> {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin)?;
        let mut quiet = before.clone();
        // Ctrl-C is read as well, for a signal would leave the terminal as it is now.
        quiet.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
        tcsetattr(&stdin, SetArg::TCSAFLUSH, &quiet)?;
        Ok(Self { before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // When this fails the terminal is gone.
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSAFLUSH, &self.before);
    }
}

/// Asks on the terminal; one line.
pub(crate) fn hidden(question: &str) -> CommandResult<String> {
    let unusable = |error: &dyn std::fmt::Display| {
        Failure::usage(format!("The terminal cannot be used: {error}."))
            .with_help("Give the value on stdin: `atta secret set NAME < file`.")
    };
    let quiet = Quiet::begin().map_err(|error| unusable(&error))?;
    let mut stderr = std::io::stderr();
    write!(stderr, "{question}").and_then(|()| stderr.flush()).map_err(|error| unusable(&error))?;
    let mut line = Vec::new();
    let mut byte = [0];
    let mut stdin = std::io::stdin().lock();
    let aborted = loop {
        if stdin.read(&mut byte).map_err(|error| unusable(&error))? == 0 {
            break line.is_empty();
        }
        match byte[0] {
            b'\r' | b'\n' => break false,
            3 => break true,
            4 => break line.is_empty(),
            8 | 127 => {
                // A whole character: its last byte and those that continue it.
                while line.pop().is_some_and(|byte: u8| byte & 0xc0 == 0x80) {}
            }
            byte => line.push(byte),
        }
    };
    drop(quiet);
    let _ = writeln!(stderr);
    if aborted {
        return Err(Failure::new(Exit::Refused, "ABORTED", "Nothing was set."));
    }
    String::from_utf8(line).map_err(|_| Failure::usage("The value is no UTF-8 text."))
}
