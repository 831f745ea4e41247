//! Configs and secrets as the API shows and takes them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Whom a config belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConfigScope {
    /// All definitions see it.
    Organisation,
    /// One definition sees it, before the organisation's of the same name.
    Definition,
}

/// A config. The value of a secret is never shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigResource {
    /// Its name.
    pub name: String,
    /// Whom it belongs to.
    pub scope: ConfigScope,
    /// The definition that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_type: Option<String>,
    /// Whether its value is encrypted and never shown.
    pub secret: bool,
    /// Its value; absent for a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// When it was first set.
    pub created_at: String,
    /// When it was last set.
    pub updated_at: String,
}

/// A value to set.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigRequest {
    /// Any JSON value; text for a secret. At most 64 KiB.
    pub value: Value,
    /// Whether it is a secret; when absent, whether it was one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<bool>,
    /// Accept a secret of fewer than 6 bytes, which can be redacted only where it stands as a word of its own.
    #[serde(default)]
    pub allow_short: bool,
}

/// The short form: a value to set, with its name.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedConfigRequest {
    /// Letters, digits and `_`, not beginning with a digit.
    pub name: String,
    /// Any JSON value; text for a secret. At most 64 KiB.
    pub value: Value,
    /// Whether it is a secret; when absent, whether it was one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<bool>,
    /// Accept a secret of fewer than 6 bytes, which can be redacted only where it stands as a word of its own.
    #[serde(default)]
    pub allow_short: bool,
}

/// How the keys and the secrets stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretsStatus {
    /// The key that new values are encrypted with; absent when there is no usable key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// How many keys are known.
    pub keys: u32,
    /// How many secrets are stored.
    pub secrets: u32,
    /// How many of them are encrypted with another key than the newest.
    pub outdated: u32,
    /// What keeps secrets from being used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}
