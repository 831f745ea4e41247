//! Exit codes, and errors as people read them: once, in sentences, on stderr.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use atta_core::engine::JobState;
use atta_core::protocol::api::{FieldViolation, Problem};
use owo_colors::OwoColorize;

/// The same with a capital at its beginning.
pub(crate) fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}", first.to_uppercase(), letters.as_str()))
}

/// How the program ends; the numbers are a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done; a job that was waited for is COMPLETED or SKIPPED.
    Success = 0,
    /// The job FAILED, or the program could not do its work.
    Failed = 1,
    /// The command line, a definition or a parameter is not valid.
    Usage = 2,
    /// No server answers.
    Unreachable = 3,
    /// The server refuses, or the job is BLOCKED or CANCELLED.
    Refused = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<JobState> for Exit {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Completed | JobState::Skipped => Self::Success,
            JobState::Failed => Self::Failed,
            _ => Self::Refused,
        }
    }
}

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// Stable machine code, for `--json`.
    pub(crate) code: String,
    /// A sentence.
    pub(crate) message: String,
    /// What is wrong where.
    pub(crate) violations: Vec<FieldViolation>,
    /// What to do about it.
    pub(crate) help: Option<Box<str>>,
    /// What stderr shows instead of the violations: diagnostics with source lines.
    pub(crate) rendered: Option<Box<str>>,
    /// Whoever read our output has gone: nothing is said.
    quiet: bool,
}

/// The result of a command.
pub(crate) type CommandResult<T = Exit> = Result<T, Failure>;

impl Failure {
    /// A failure with a code and a sentence.
    pub(crate) fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: code.to_owned(),
            message: message.into(),
            violations: Vec::new(),
            help: None,
            rendered: None,
            quiet: false,
        }
    }

    /// The command line or a file that it names cannot be used.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "USAGE", message)
    }

    /// The program could not do its work.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, "FAILED", message)
    }

    /// The same with advice.
    pub(crate) fn with_help(mut self, help: impl Into<Box<str>>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same with violations.
    pub(crate) fn with_violations(mut self, violations: Vec<FieldViolation>) -> Self {
        self.violations = violations;
        self
    }

    /// Says it on stderr, once.
    pub(crate) fn print(&self) {
        if self.quiet {
            return;
        }
        let mut text = String::new();
        if let Some(rendered) = &self.rendered {
            text.push_str(rendered.trim_end());
            text.push('\n');
        }
        let _ = writeln!(text, "{} {}", "error:".red().bold(), self.message.trim_end());
        if self.rendered.is_none() {
            for violation in &self.violations {
                let _ = writeln!(text, "  {}: {}: {}", violation.field, violation.code, violation.message);
            }
        }
        if let Some(help) = &self.help {
            let _ = writeln!(text, "{} {help}", "help:".cyan().bold());
        }
        // When stderr is gone there is nobody left to tell.
        let _ = anstream::stderr().lock().write_all(text.as_bytes());
    }

    /// The document that `--json` puts on stdout.
    pub(crate) fn problem(&self) -> Problem {
        let (status, title) = match self.exit {
            Exit::Usage => (422, "Unprocessable Content"),
            Exit::Refused => (409, "Conflict"),
            Exit::Unreachable => (503, "Service Unavailable"),
            Exit::Success | Exit::Failed => (500, "Internal Server Error"),
        };
        Problem {
            problem_type: "about:blank".to_owned(),
            title: title.to_owned(),
            status,
            code: self.code.clone(),
            detail: self.message.clone(),
            request_id: String::new(),
            field_violations: self.violations.clone(),
        }
    }
}

/// Writing to stdout failed. A reader that has gone (`atta … | head`) is no error.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self { quiet: true, ..Self::new(Exit::Success, "BROKEN_PIPE", String::new()) }
        } else {
            Self::failed(format!("The output cannot be written: {error}."))
        }
    }
}
