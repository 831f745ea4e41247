//! Setting and removing configs and secrets, and the rotation of their keys.

use std::sync::Arc;

use atta_core::definition::{Span, is_identifier, is_job_type, position};
use atta_core::protocol::api::{ConfigResource, FieldViolation, SecretsStatus};
use atta_core::secret::SecretText;
use atta_core::template::BUILTINS;
use serde_json::Value;

use super::command::Command;
use super::definitions::LoadedVersion;
use super::state::State;
use super::{Queen, Refusal};
use crate::secrets::Secrets;
use crate::store::{ConfigChange, ConfigContent, ConfigKey, ConfigRow};

/// Longest value, in bytes.
const LONGEST: usize = 64 * 1024;
/// A shorter secret is found in too many other words.
const SHORT: usize = 6;
/// Secrets that are encrypted anew in one batch.
const AT_ONCE: usize = 64;

/// A config to set.
pub(super) struct PutConfig {
    key: ConfigKey,
    value: NewValue,
}

enum NewValue {
    /// A JSON document.
    Plain(String),
    Secret(SecretText),
    /// Text that is a secret if the config was one before.
    AsBefore(SecretText, AllowShort),
}

type AllowShort = bool;

fn invalid(field: &str, violation: &str, message: String) -> Refusal {
    Refusal::violation("INVALID_CONFIG", field, violation, message)
}

fn check_key(job_type: Option<&str>, name: &str) -> Result<ConfigKey, Refusal> {
    if let Some(job_type) = job_type
        && !is_job_type(job_type)
    {
        return Err(invalid("job_type", "INVALID_NAME", format!("{job_type:?} cannot be the name of a definition")));
    }
    if !is_identifier(name) {
        return Err(invalid(
            "name",
            "INVALID_NAME",
            format!(
                "{name:?} cannot be the name of a config: letters, digits and `_` are allowed, the first is no digit, \
                 and there are at most 100"
            ),
        ));
    }
    if BUILTINS.contains(&name) {
        let message = format!("{name} is a name that templates know already: choose another one");
        return Err(invalid("name", "RESERVED_NAME", message));
    }
    Ok(ConfigKey { scope: job_type.unwrap_or_default().to_owned(), name: name.to_owned() })
}

fn check_length(name: &str, length: usize) -> Result<(), Refusal> {
    if length <= LONGEST {
        return Ok(());
    }
    let message = format!("the value of {name} has {length} bytes, and a config may have {LONGEST}: keep it in a file");
    Err(invalid("value", "TOO_LONG", message))
}

/// What can be given to a program by its environment, and recognised in what it writes. Never says the value.
fn check_secret(name: &str, value: &SecretText, allow_short: bool) -> Result<(), Refusal> {
    let text = value.reveal();
    check_length(name, text.len())?;
    if text.trim().is_empty() {
        return Err(invalid("value", "EMPTY", format!("the value of the secret {name} is empty")));
    }
    if text.contains('\0') {
        let message = format!("the value of the secret {name} has a NUL byte, which no environment can hold");
        return Err(invalid("value", "NUL", message));
    }
    if text.trim().len() < SHORT && !allow_short {
        let message = format!(
            "the secret {name} has fewer than {SHORT} characters: it cannot be told from ordinary words in logs, and is \
             guessed quickly; choose a longer one, or say allow_short (--allow-short), then it is redacted only where it \
             stands alone"
        );
        return Err(invalid("value", "TOO_SHORT", message));
    }
    Ok(())
}

impl PutConfig {
    /// `secret: None`: as it was before.
    fn new(
        job_type: Option<&str>,
        name: &str,
        value: Value,
        secret: Option<bool>,
        allow_short: bool,
    ) -> Result<Self, Refusal> {
        let key = check_key(job_type, name)?;
        let value = match (value, secret) {
            (Value::String(text), Some(true)) => {
                let text = SecretText::new(text);
                check_secret(name, &text, allow_short)?;
                NewValue::Secret(text)
            }
            (_, Some(true)) => {
                let message = format!("the value of the secret {name} must be text");
                return Err(invalid("value", "NOT_TEXT", message));
            }
            (Value::String(text), None) => NewValue::AsBefore(SecretText::new(text), allow_short),
            (value, _) => {
                let json = value.to_string();
                check_length(name, json.len())?;
                NewValue::Plain(json)
            }
        };
        Ok(Self { key, value })
    }
}

impl State {
    /// Sets a config.
    pub(super) fn put_config(&mut self, put: PutConfig) -> Result<ConfigResource, Refusal> {
        let PutConfig { key, value } = put;
        let before = self.secrets.row(&key);
        let was_secret = before.as_ref().is_some_and(ConfigRow::is_secret);
        let name = &key.name;
        let content = match value {
            NewValue::Plain(_) if was_secret => {
                return Err(Refusal::Conflict {
                    code: "CONFIG_IS_SECRET",
                    message: format!("{name} is a secret: remove it before it is set as a config that everybody sees"),
                });
            }
            NewValue::Plain(json) => ConfigContent::Plain(json),
            NewValue::AsBefore(text, _) if !was_secret => {
                let json = Value::from(text.reveal()).to_string();
                check_length(name, json.len())?;
                ConfigContent::Plain(json)
            }
            NewValue::AsBefore(text, allow_short) => {
                check_secret(name, &text, allow_short)?;
                self.seal(&key, &text)?
            }
            NewValue::Secret(text) => self.seal(&key, &text)?,
        };
        let now = self.clock.now();
        let created_at = before.map_or(now, |row| row.created_at);
        let shown = self.secrets.put(ConfigRow { key: key.clone(), content, created_at, updated_at: now });
        self.staged.configs.insert(key);
        Ok(shown)
    }

    fn seal(&self, key: &ConfigKey, value: &SecretText) -> Result<ConfigContent, Refusal> {
        self.secrets.seal(key, value, &*self.entropy).map_err(|problem| Refusal::Conflict {
            code: "SECRETS_UNAVAILABLE",
            message: format!("the secret {} cannot be stored: {problem}", key.name),
        })
    }

    /// Removes a config.
    pub(super) fn remove_config(&mut self, key: &ConfigKey) -> Result<(), Refusal> {
        if self.secrets.remove(key).is_none() {
            return Err(Refusal::NotFound { what: format!("config {}", key.name) });
        }
        self.staged.configs.insert(key.clone());
        Ok(())
    }

    /// Encrypts some secrets anew with the newest key; says how many it were.
    pub(super) fn reencrypt_some(&mut self) -> u32 {
        let mut done = 0;
        for row in self.secrets.outdated(AT_ONCE) {
            match self.secrets.reseal(&row, &*self.entropy) {
                Ok(row) => {
                    self.staged.configs.insert(row.key.clone());
                    self.secrets.put(row);
                    done += 1;
                }
                Err(problem) => tracing::error!(%problem, "a secret keeps its old key"),
            }
        }
        done
    }

    /// Whether everything is set that a job of this version needs.
    pub(super) fn check_configs(&self, version: &LoadedVersion) -> Result<(), Refusal> {
        let job_type = &version.job_type;
        let place = |span: Span| position(&version.source, span.start);
        let mut violations = Vec::new();
        for (name, span) in &version.uses.configs {
            if !self.secrets.has_config(job_type, name) {
                let hint = if self.secrets.has_secret(job_type, name) {
                    format!("; it is a secret: secrets.{name}, in `environment` only")
                } else {
                    String::new()
                };
                violations.push(FieldViolation {
                    field: format!("configs.{name}"),
                    code: "MISSING_CONFIG".to_owned(),
                    message: format!(
                        "there is no config {name}, which line {} needs: set it with `atta config set {name} VALUE`{hint}",
                        place(*span).line
                    ),
                });
            }
        }
        for (name, span) in &version.uses.secrets {
            if !self.secrets.has_secret(job_type, name) {
                let hint = if self.secrets.has_config(job_type, name) {
                    format!("; it is a config that is not secret: configs.{name}")
                } else {
                    String::new()
                };
                violations.push(FieldViolation {
                    field: format!("secrets.{name}"),
                    code: "MISSING_SECRET".to_owned(),
                    message: format!(
                        "there is no secret {name}, which line {} needs: set it with `atta secret set {name}`{hint}",
                        place(*span).line
                    ),
                });
            }
        }
        if violations.is_empty() {
            return Ok(());
        }
        Err(Refusal::violations("MISSING_CONFIG", "configs and secrets are not set", violations))
    }

    /// What the batch changed in configs.
    pub(super) fn config_changes(&self) -> Vec<ConfigChange> {
        let keys = self.staged.configs.iter();
        keys.map(|key| ConfigChange { key: key.clone(), row: self.secrets.row(key) }).collect()
    }
}

impl Queen {
    /// Sets a config or a secret of the organisation, or of a definition. `secret: None`: as it was before.
    pub async fn put_config(
        &self,
        job_type: Option<&str>,
        name: &str,
        value: Value,
        secret: Option<bool>,
        allow_short: bool,
    ) -> Result<ConfigResource, Refusal> {
        let put = Box::new(PutConfig::new(job_type, name, value, secret, allow_short)?);
        self.ask(|reply| Command::PutConfig { put, reply }).await
    }

    /// Removes a config or a secret.
    pub async fn remove_config(&self, job_type: Option<&str>, name: &str) -> Result<(), Refusal> {
        let key = ConfigKey { scope: job_type.unwrap_or_default().to_owned(), name: name.to_owned() };
        self.ask(|reply| Command::RemoveConfig { key, reply }).await
    }

    /// Makes a new key, encrypts everything anew with it while the server serves, and forgets the old one. What is
    /// interrupted is finished by the next start.
    pub async fn rotate_key(&self) -> Result<SecretsStatus, Refusal> {
        let queen = self.clone();
        // Goes on when nobody waits for it any more.
        let work = tokio::spawn(async move {
            let rotation = Arc::clone(&queen.inner.rotation);
            let _one_at_a_time = rotation.lock().await;
            let entropy = Arc::clone(&queen.inner.entropy);
            queen
                .with_key_file(move |secrets| secrets.add_key(&*entropy))
                .await?
                .map_err(|message| Refusal::Conflict { code: "KEY_NOT_ROTATED", message })?;
            queen.reencrypt().await?;
            Ok(queen.inner.secrets.status())
        });
        work.await.map_err(|error| Refusal::Unavailable { message: format!("the rotation broke off: {error}") })?
    }

    /// Finishes what a former process has begun, or what a new first key asks for.
    pub(super) fn finish_rotation(&self) {
        let status = self.inner.secrets.status();
        if status.key_id.is_none() || (status.outdated == 0 && status.keys < 2) {
            return;
        }
        let queen = self.clone();
        tokio::spawn(async move {
            let rotation = Arc::clone(&queen.inner.rotation);
            let _one_at_a_time = rotation.lock().await;
            if let Err(error) = queen.reencrypt().await {
                tracing::warn!(%error, "secrets keep their old key until the next start");
            }
        });
    }

    async fn reencrypt(&self) -> Result<(), Refusal> {
        while self.ask(Command::Reencrypt).await? > 0 {}
        // Only now, when all of it is stored.
        match self.with_key_file(Secrets::drop_unused_keys).await? {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "old keys of secrets were dropped"),
            Err(problem) => tracing::warn!(%problem, "old keys of secrets were not dropped"),
        }
        Ok(())
    }

    /// Writing the key file blocks.
    async fn with_key_file<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Secrets) -> Result<T, String> + Send + 'static,
    ) -> Result<Result<T, String>, Refusal> {
        let secrets = Arc::clone(&self.inner.secrets);
        tokio::task::spawn_blocking(move || work(&secrets))
            .await
            .map_err(|error| Refusal::Unavailable { message: format!("the key file was not written: {error}") })
    }
}
