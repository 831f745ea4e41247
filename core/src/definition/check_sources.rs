//! Scripts of interpreters: sources of programs, into which no value from outside may be written.

use super::check::Checker;
use super::{KnownConfigs, TemplateText};
use crate::template::TemplateProblem;

impl Checker<'_, '_> {
    /// Params are from outside unless the author listed what they may be. Other values are known when the task starts.
    pub(super) fn source_of_program(&mut self, entry: &TemplateText) {
        // Rendering refuses it in any case: what is stored already stays readable.
        if matches!(self.configs, KnownConfigs::Any) {
            return;
        }
        let Some(inspection) = self.inspect(entry, true) else { return };
        for reference in inspection.references.iter().filter(|reference| reference.printed) {
            let (first, second) = (reference.path.first(), reference.path.get(1));
            let name = if first.is_some_and(|first| first == "params") { second } else { first };
            let param = name.and_then(|name| self.definition.params.get(name));
            if param.is_some_and(|param| param.allowed.is_none()) {
                self.report(entry, TemplateProblem::outside_in_source(reference.offset));
            }
        }
    }
}
