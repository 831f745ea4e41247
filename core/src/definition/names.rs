//! Names that people give, and names that already mean something.

use super::walk::Walk;
use super::{Span, code};
use crate::engine::ResultName;

/// Longest name, in bytes.
const LONGEST: usize = 100;

/// Words that mean something where a task could be named.
pub(super) const WORDS: [&str; 11] = [
    "COMPLETED",
    "FAILED",
    "FATAL",
    "RESTART_TASK",
    "RESTART_JOB",
    "PAUSE_JOB",
    "RESCHEDULE",
    "EXECUTING",
    "END_COMPLETED",
    "END_FAILED",
    "END_BLOCKED",
];

/// Whether a definition may be called this.
pub fn is_job_type(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= LONGEST
        && bytes.next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-'))
}

pub(super) fn is_task_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= LONGEST
        && bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Names of params, variables and outputs can stand in templates: letters, digits and underscores.
pub fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= LONGEST
        && bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether routes give this word a meaning of its own.
pub(super) fn is_special_word(name: &str) -> bool {
    WORDS.contains(&name)
        || name.starts_with("ERR_")
        || name == "*"
        || ResultName::ALL.iter().any(|result| result.as_str() == name)
}

/// A lower-case name that may be what somebody wanted to write.
fn tidied(name: &str) -> String {
    let mut tidy: String = name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .collect();
    tidy = tidy.trim_matches(['-', '.', '_']).to_owned();
    tidy.truncate(LONGEST);
    tidy
}

impl Walk {
    pub(super) fn check_job_type(&mut self, name: &str, span: Span) {
        if is_job_type(name) {
            return;
        }
        let rule = "lower-case letters, digits, `.`, `_` and `-`, at most 100, a letter or digit first";
        let tidy = tidied(name);
        let help = if is_job_type(&tidy) { format!("for example `{tidy}`") } else { format!("a job_type has {rule}") };
        self.problems.error_with_help(
            code::NAME,
            span,
            format!("\"{}\" cannot be a job_type: it takes {rule}", super::scalar::shortened(name)),
            help,
        );
    }

    pub(super) fn check_task_name(&mut self, name: &str, span: Span) {
        if is_special_word(name) {
            self.problems.error_with_help(
                code::RESERVED_NAME,
                span,
                format!("a task cannot be named {name}: the word has a meaning of its own in routes"),
                format!("for example `{}`", name.to_lowercase().replace('_', "-")),
            );
        } else if !is_task_name(name) {
            let tidy = tidied(name);
            let rule = "letters, digits, `.`, `_` and `-`, at most 100, a letter or digit first";
            let help = if is_task_name(&tidy) { format!("for example `{tidy}`") } else { format!("it takes {rule}") };
            self.problems.error_with_help(
                code::NAME,
                span,
                format!("\"{}\" cannot be a task_type: it takes {rule}", super::scalar::shortened(name)),
                help,
            );
        }
    }

    /// Names of params and job variables: templates use them bare, so they must not hide what Atta defines.
    pub(super) fn check_template_name(&mut self, what: &str, name: &str, span: Span) {
        if crate::template::BUILTINS.contains(&name) || matches!(name, "secrets" | "true" | "false" | "none" | "loop") {
            self.problems.error_with_help(
                code::RESERVED_NAME,
                span,
                format!("{what} cannot be named {name}: the name means something of its own in templates"),
                "choose another name",
            );
        } else {
            self.check_identifier(what, name, span);
        }
    }

    /// Names of params, job variables and outputs.
    pub(super) fn check_identifier(&mut self, what: &str, name: &str, span: Span) {
        if !is_identifier(name) {
            self.problems.error_with_help(
                code::NAME,
                span,
                format!("\"{}\" cannot be the name of {what}", super::scalar::shortened(name)),
                "names take letters, digits and `_`, and begin with a letter or `_`",
            );
        }
    }

    /// Names of environment variables.
    pub(super) fn check_variable_name(&mut self, name: &str, span: Span) {
        if !is_identifier(name) {
            self.check_identifier("an environment variable", name, span);
        } else if name.starts_with("ATTA_") || matches!(name, "TASK_DIR" | "JOB_WORKSPACE") {
            self.problems.error_with_help(
                code::RESERVED_NAME,
                span,
                format!("the environment variable {name} is set by Atta itself"),
                "choose another name",
            );
        }
    }
}
