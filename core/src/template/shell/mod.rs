//! Contextual shell quoting: values are bound to shell variables, never spliced into the script.
//!
//! [`lexer`] follows the text of a script, [`accept`] knows what a value becomes in each place, [`command`] which programs
//! evaluate their arguments, [`sink`] writes the script and the assignments, [`check`] does the same without values.

mod accept;
mod check;
mod command;
mod frame;
mod lexer;
mod place;
mod reader;
mod sink;

pub use check::{ScriptWarning, check_script};
pub(crate) use sink::ScriptSink;

/// Which shell will read a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ShellDialect {
    /// `sh`, `dash`: POSIX only.
    Posix,
    /// `bash`, `zsh`, `ksh`, and what may be either.
    Bash,
}

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
