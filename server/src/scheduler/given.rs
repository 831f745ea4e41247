//! The secrets that an attempt is given: looked up on lease, for that ant only.
//!
//! Templates never see a secret. `secrets.X` is a mark for as long as a value is rendered; the value takes its place
//! afterwards, in memory that is wiped.

use std::sync::Arc;

use atta_core::definition::{EnvReference, TemplateText};
use atta_core::protocol::ant::GivenSecrets;
use atta_core::secret::{SecretText, SecretValue};
use atta_core::template::{Namespace, Scope, TemplateProblem, Value, Variables};
use zeroize::Zeroizing;

use crate::secrets::Secrets;

/// Names of a job, with `secrets`.
pub(super) struct WithSecrets<'v> {
    pub(super) variables: &'v Variables,
    pub(super) secrets: &'v Arc<Secrets>,
}

impl Scope for WithSecrets<'_> {
    fn get(&self, name: &str) -> Result<Option<Value>, TemplateProblem> {
        if name == "secrets" {
            return Ok(Some(Value::namespace(Arc::new(Marks(Arc::clone(self.secrets))))));
        }
        self.variables.get(name)
    }

    fn names(&self) -> Vec<String> {
        self.variables.names()
    }
}

/// Stands for all secrets: each is there, as a mark.
#[derive(Debug)]
struct Marks(Arc<Secrets>);

impl Namespace for Marks {
    fn title(&self) -> String {
        "secrets".to_owned()
    }

    fn lookup(&self, name: &str) -> Result<Option<Value>, TemplateProblem> {
        let mark = self.0.mark();
        Ok(Some(Value::trusted(&serde_json::Value::from(format!("{mark}<{name}>")))))
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Whether a template may have a secret in it.
pub(super) fn may_use_secrets(template: &TemplateText) -> bool {
    template.source.contains("secrets")
}

/// Collects what an attempt is given.
pub(super) struct Giving<'s> {
    secrets: &'s Secrets,
    job_type: &'s str,
    pub(super) given: GivenSecrets,
}

impl<'s> Giving<'s> {
    pub(super) fn new(secrets: &'s Secrets, job_type: &'s str) -> Self {
        Self { secrets, job_type, given: GivenSecrets::default() }
    }

    fn secret(&mut self, name: &str) -> Result<SecretText, String> {
        if let Some(known) = self.given.values.iter().find(|known| known.name == name) {
            return Ok(known.value.clone());
        }
        let value = self.secrets.secret(Some(self.job_type), name).map_err(|error| error.to_string())?;
        self.given.values.push(SecretValue { name: name.to_owned(), value: value.clone() });
        Ok(value)
    }

    /// Puts the secrets into a rendered value; `None` when there is none in it.
    pub(super) fn reveal(&mut self, rendered: &str) -> Result<Option<SecretText>, String> {
        let mark = self.secrets.mark();
        let mut parts = rendered.split(mark);
        let before = parts.next().unwrap_or_default();
        if before.len() == rendered.len() {
            return Ok(None);
        }
        let mut pieces: Vec<(SecretText, &str)> = Vec::new();
        for part in parts {
            let (name, after) = part
                .strip_prefix('<')
                .and_then(|part| part.split_once('>'))
                .ok_or("something was computed from a secret, which is passed on as it is or not at all")?;
            pieces.push((self.secret(name)?, after));
        }
        // As long as it will be: growing would leave copies behind.
        let length =
            before.len() + pieces.iter().map(|(secret, after)| secret.reveal().len() + after.len()).sum::<usize>();
        let mut text = Zeroizing::new(String::with_capacity(length));
        text.push_str(before);
        for (secret, after) in &pieces {
            text.push_str(secret.reveal());
            text.push_str(after);
        }
        Ok(Some(SecretText::new(std::mem::take(&mut *text))))
    }

    /// An environment variable that is one secret.
    pub(super) fn give(&mut self, reference: &EnvReference) -> Result<(), String> {
        let value = self.secret(&reference.name)?;
        self.given.environment.insert(reference.name.clone(), value);
        Ok(())
    }
}
