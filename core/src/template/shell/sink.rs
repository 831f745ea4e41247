//! The text of a script and the values bound in it.

use super::ShellDialect;
use crate::protocol::ant::RenderedScript;
use crate::template::eval::{Marks, Sink};
use crate::template::problem::E_PLACE;
use crate::template::{TemplateProblem, Value};

pub(crate) struct ScriptSink {
    text: String,
    limit: usize,
}

impl ScriptSink {
    pub(crate) fn new(_dialect: ShellDialect, limit: usize) -> Self {
        Self { text: String::new(), limit }
    }

    pub(crate) fn end_entry(&mut self, _offset: usize) -> Result<(), TemplateProblem> {
        if !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> RenderedScript {
        RenderedScript { preamble: String::new(), text: self.text }
    }
}

impl Sink for ScriptSink {
    fn literal(&mut self, text: &str, offset: usize) -> Result<(), TemplateProblem> {
        if self.text.len() + text.len() > self.limit {
            return Err(TemplateProblem::limit(offset, format!("the script is longer than {} bytes", self.limit)));
        }
        self.text.push_str(text);
        Ok(())
    }

    fn value(&mut self, _: &Value, _: Marks, offset: usize) -> Result<(), TemplateProblem> {
        Err(TemplateProblem::new(E_PLACE, offset, "values in scripts are not bound yet"))
    }

    fn prints_none(&self) -> bool {
        false
    }
}
