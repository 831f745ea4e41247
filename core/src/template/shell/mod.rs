//! Contextual shell quoting: values are bound to shell variables, never spliced into the script.

mod check;
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
