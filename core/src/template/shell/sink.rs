//! The text of a script and the values bound in it.

use std::fmt::Write as _;
use std::sync::Arc;

use super::ShellDialect;
use super::lexer::Lexer;
use super::place::{Place, Printed};
use crate::protocol::ant::RenderedScript;
use crate::template::eval::{Marks, Sink};
use crate::template::problem::{E_OUTSIDE, E_VALUE};
use crate::template::{TemplateProblem, Value};

/// Collects a script; values become references to shell variables.
pub(crate) struct ScriptSink {
    text: String,
    preamble: String,
    bound: usize,
    lexer: Lexer,
    limit: usize,
}

impl ScriptSink {
    pub(crate) fn new(dialect: ShellDialect, limit: usize) -> Self {
        Self { text: String::new(), preamble: String::new(), bound: 0, lexer: Lexer::new(dialect), limit }
    }

    /// Ends a list entry: the lexer must be outside of everything.
    pub(crate) fn end_entry(&mut self, offset: usize) -> Result<(), TemplateProblem> {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
            self.lexer.feed("\n")?;
        }
        self.lexer.end_entry(offset)
    }

    pub(crate) fn finish(self) -> RenderedScript {
        RenderedScript { preamble: self.preamble, text: self.text }
    }

    fn push(&mut self, text: &str, offset: usize) -> Result<(), TemplateProblem> {
        if self.text.len() + self.preamble.len() + text.len() > self.limit {
            return Err(TemplateProblem::limit(offset, format!("the script is longer than {} bytes", self.limit)));
        }
        self.text.push_str(text);
        Ok(())
    }

    /// Assigns a value to a new variable and gives the variable's name.
    fn bind(&mut self, text: &str, offset: usize) -> Result<String, TemplateProblem> {
        if self.text.len() + self.preamble.len() + text.len() > self.limit {
            return Err(TemplateProblem::limit(offset, format!("the script is longer than {} bytes", self.limit)));
        }
        self.bound += 1;
        let name = format!("__atta_{}", self.bound);
        // Inside single quotes nothing but the single quote means anything.
        let _ = writeln!(self.preamble, "{name}='{}'", text.replace('\'', "'\\''"));
        Ok(name)
    }
}

impl Sink for ScriptSink {
    fn literal(&mut self, text: &str, offset: usize) -> Result<(), TemplateProblem> {
        self.push(text, offset)?;
        self.lexer.feed(text)
    }

    fn value(&mut self, value: &Value, marks: Marks, offset: usize) -> Result<(), TemplateProblem> {
        let text: Arc<str> = value.printed()?.unwrap_or_else(|| "".into());
        if text.contains('\0') {
            return Err(TemplateProblem::new(
                E_VALUE,
                offset,
                "the value contains a NUL byte, which no shell can hold",
            ));
        }
        let printed = Printed { text: Some(&text), origin: value.origin(), option: marks.option, offset };
        if marks.raw {
            if printed.is_outside() {
                return Err(TemplateProblem::new(
                    E_OUTSIDE,
                    offset,
                    "`| raw` would make a value from outside part of the script",
                )
                .with_help("leave `| raw` out: the value is passed on safely as it is"));
            }
            return self.literal(&text, offset);
        }
        let reference = match self.lexer.value(&printed)?.0 {
            Place::Bare => format!("\"${{{}}}\"", self.bind(&text, offset)?),
            Place::Single => format!("'\"${{{}}}\"'", self.bind(&text, offset)?),
            Place::Arithmetic if text.starts_with('-') => format!("(${{{}}})", self.bind(&text, offset)?),
            Place::Expanded | Place::Arithmetic => format!("${{{}}}", self.bind(&text, offset)?),
            Place::Comment => comment_text(&text),
        };
        self.push(&reference, offset)
    }

    fn prints_none(&self) -> bool {
        false
    }
}

/// Text for a comment. No shell reads it; still nothing that a shell could understand is left in it.
fn comment_text(text: &str) -> String {
    let quiet = |c: char| if c.is_control() || "`$\"'\\;&|()<>{}[]!*?~#".contains(c) { ' ' } else { c };
    text.chars().map(quiet).collect()
}
