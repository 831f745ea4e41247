//! The configs and secrets that templates use: where they may stand, and which must exist.

use indexmap::IndexMap;

use super::check::Checker;
use super::scalar::shortened;
use super::{Diagnostic, EnvReference, Span, code, is_identifier};
use crate::template::Reference;

/// Which configs there are, as far as it is known.
#[derive(Clone, Copy)]
pub enum KnownConfigs<'c> {
    /// Nothing is known of them: a name alone is none.
    Unknown,
    /// Any name may be one: for definitions that were checked before.
    Any,
    /// Whether there is one, by the definition's name and its own.
    These(&'c dyn Fn(&str, &str) -> bool),
}

/// The configs and secrets without which a job cannot run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfigUses {
    /// Those that are not secret, by name, with the place of their first use.
    pub configs: IndexMap<String, Span>,
    /// The secrets.
    pub secrets: IndexMap<String, Span>,
}

fn note(uses: &mut IndexMap<String, Span>, name: &str, span: Span) {
    if !uses.contains_key(name) {
        uses.insert(name.to_owned(), span);
    }
}

impl Checker<'_, '_> {
    /// Whether a name alone is a config.
    pub(super) fn is_config(&self, name: &str) -> bool {
        match self.configs {
            KnownConfigs::Unknown => false,
            KnownConfigs::Any => is_identifier(name),
            KnownConfigs::These(exists) => exists(&self.definition.job_type, name),
        }
    }

    pub(super) fn uses_config(&mut self, name: &str, guarded: bool, span: Span) -> Option<Diagnostic> {
        if !self.configs_allowed {
            let message = "a config cannot stand here: it may change while the job runs, and this must not";
            let diagnostic = Diagnostic::error(code::UNDECLARED, span, message);
            return Some(diagnostic.with_help("use a param or a job variable"));
        }
        if !guarded {
            note(&mut self.uses.configs, name, span);
        }
        None
    }

    pub(super) fn config_reference(
        &mut self,
        reference: &Reference,
        rest: &[String],
        span: Span,
    ) -> Option<Diagnostic> {
        let name = rest.first()?;
        if !is_identifier(name) {
            let message = format!("no config can be called `{}`", shortened(name));
            return Some(Diagnostic::error(code::UNDECLARED, span, message));
        }
        self.uses_config(name, reference.guarded, span)
    }

    pub(super) fn secret_reference(
        &mut self,
        reference: &Reference,
        rest: &[String],
        span: Span,
    ) -> Option<Diagnostic> {
        let [name] = rest else {
            let message = "a secret is used as `secrets.NAME`";
            return Some(Diagnostic::error(code::SECRET_PLACE, span, message).with_help("each by its own name"));
        };
        let refused = |message: &str, help: String| {
            Some(Diagnostic::error(code::SECRET_PLACE, span, message.to_owned()).with_help(help))
        };
        if !self.secrets_allowed {
            return refused(
                "a secret cannot stand here, where others would see it",
                format!(
                    "give it to a task by `environment: {{{name}: \"{{{{ secrets.{name} }}}}\"}}` or `env_from`, and read \
                     ${name} there"
                ),
            );
        }
        if reference.open || !is_identifier(name) {
            let message = format!("no secret can be called `{}`", shortened(name));
            return Some(Diagnostic::error(code::SECRET_PLACE, span, message));
        }
        if !reference.printed {
            return refused(
                "a secret is passed on as it is: nothing can be computed from it, for the result could not be recognised \
                 in logs",
                format!("write `{{{{ secrets.{name} }}}}` and let the program that gets it do the rest"),
            );
        }
        note(&mut self.uses.secrets, name, span);
        None
    }

    pub(super) fn env_from(&mut self, references: &[EnvReference]) {
        for reference in references {
            let uses = if reference.secret { &mut self.uses.secrets } else { &mut self.uses.configs };
            note(uses, &reference.name, reference.span);
        }
    }
}
