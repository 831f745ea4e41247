//! Arguments about configs and secrets.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::args::{ListArgs, ServerArgs};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) action: Option<ConfigAction>,
    #[command(flatten)]
    pub(crate) list: ConfigListArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Set a config that everybody may see.
    Set(ConfigSetArgs),
    /// Print the value of a config.
    Get(ConfigNameArgs),
    /// List configs; secrets without their values.
    List(ConfigListArgs),
    /// Remove a config.
    Rm(ConfigNameArgs),
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct SecretArgs {
    #[command(subcommand)]
    pub(crate) action: Option<SecretAction>,
    #[command(flatten)]
    pub(crate) list: ConfigListArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretAction {
    /// Set a secret; its value is read from stdin, or asked for.
    Set(SecretSetArgs),
    /// List secrets, without their values.
    List(ConfigListArgs),
    /// Remove a secret.
    Rm(ConfigNameArgs),
    /// Encrypt all secrets anew with a new key.
    RotateKey(ListArgs),
}

/// Whose config it is.
#[derive(Debug, Clone, Args)]
pub(crate) struct ScopeArgs {
    /// Of this definition only [default: of the organisation].
    #[arg(long, value_name = "JOB_TYPE")]
    pub(crate) definition: Option<String>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigSetArgs {
    /// Letters, digits and `_`.
    pub(crate) name: String,
    /// The value, as text.
    pub(crate) value: String,
    /// The value is JSON: a number, a list, …
    #[arg(long)]
    pub(crate) as_json: bool,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SecretSetArgs {
    /// Letters, digits and `_`.
    pub(crate) name: String,
    /// Accept a value of fewer than 6 characters; it is redacted only where it stands as a word of its own.
    #[arg(long)]
    pub(crate) allow_short: bool,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigNameArgs {
    /// The name.
    pub(crate) name: String,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigListArgs {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
}

/// Configs and secrets of a run without a server.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct GivenConfigArgs {
    /// A config. May be repeated.
    #[arg(long = "config", value_name = "NAME=VALUE")]
    pub(crate) configs: Vec<String>,
    /// A secret that is the content of a file, without the last line end. May be repeated.
    #[arg(long = "secret-file", value_name = "NAME=FILE")]
    pub(crate) secret_files: Vec<String>,
    /// A secret that is the value of an environment variable, by default the one of its name. May be repeated.
    #[arg(long = "secret-env", value_name = "NAME[=VARIABLE]")]
    pub(crate) secret_variables: Vec<String>,
}

/// Where the key of secrets comes from.
#[derive(Debug, Clone, Args)]
pub(crate) struct KeyArgs {
    /// The file with the keys of secrets, the newest first [default: secrets.key in the data directory].
    #[arg(long, env = "ATTA_SECRETS_KEY_FILE", value_name = "FILE")]
    pub(crate) secrets_key_file: Option<PathBuf>,
}
