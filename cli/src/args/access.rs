//! Arguments about tokens.

use std::path::PathBuf;
use std::time::Duration;

use atta_core::protocol::access::{Fingerprint, Role};
use clap::{Args, Subcommand, ValueEnum};

use super::{HttpArgs, KeepArgs, LogArgs, ServerArgs, SpoolArgs, duration};

/// How this program shows who it is, and knows whom it talks to.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TokenFileArgs {
    /// File with the API token. The token itself may also be in ATTA_TOKEN; it is never given on the command line.
    #[arg(long, env = "ATTA_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// PEM file with certificates of authorities that are trusted besides the system's.
    #[arg(long, env = "ATTA_CA_FILE", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The server's certificate, as it prints it when it starts: no other one is accepted.
    #[arg(long, env = "ATTA_QUEEN_FINGERPRINT", value_name = "sha256:HEX")]
    pub(crate) queen_fingerprint: Option<Fingerprint>,
}

/// Whose requests are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AuthChoice {
    /// Everybody's on a loopback address; beyond it only those with a token.
    Auto,
    /// Only those with a token.
    Required,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    pub(crate) action: Option<TokenAction>,
    #[command(flatten)]
    pub(crate) list: TokenListArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenAction {
    /// Make a token; its value is printed once.
    Create(TokenCreateArgs),
    /// List tokens, without their values.
    List(TokenListArgs),
    /// Revoke a token.
    Revoke(TokenRevokeArgs),
}

/// Whose tokens.
#[derive(Debug, Clone, Args)]
pub(crate) struct TokenPlace {
    /// Of this data directory, while no server runs on it: how the first token is made.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TokenCreateArgs {
    /// What it is called.
    pub(crate) name: String,
    /// What it is good for: viewer, submitter, operator, admin, or ant.
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Role,
    /// In whose name its holder acts, e.g. votes [default: the token's name].
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// For how long it is good, e.g. `90d` [default: until it is revoked].
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) expires: Option<Duration>,
    /// With --role ant: the only ant that may use it.
    #[arg(long, value_name = "ID")]
    pub(crate) ant: Option<String>,
    /// With --role ant: the only tags that the ant may have.
    #[arg(long, value_name = "TAGS", value_delimiter = ',')]
    pub(crate) tags: Vec<String>,
    /// Write it to this new file, readable by its owner only, instead of printing it.
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: TokenPlace,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct TokenListArgs {
    /// Also those that are no good any more.
    #[arg(long)]
    pub(crate) all: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: TokenPlace,
}

#[derive(Debug, Args)]
pub(crate) struct TokenRevokeArgs {
    /// Its id, or its name while it is good.
    #[arg(value_name = "NAME|ID")]
    pub(crate) token: String,
    #[command(flatten)]
    pub(crate) place: TokenPlace,
}

/// An ant on a machine of its own.
#[derive(Debug, Args)]
pub(crate) struct AntArgs {
    /// URL of the server; the ant calls it, never the other way round.
    #[arg(long, env = "ATTA_QUEEN", value_name = "URL")]
    pub(crate) queen: String,
    #[command(flatten)]
    pub(crate) token: TokenFileArgs,
    /// What this ant can do: tasks with `tags` run where all of theirs are.
    #[arg(long, env = "ATTA_TAGS", value_name = "TAGS", value_delimiter = ',')]
    pub(crate) tags: Vec<String>,
    /// How many attempts run at once [default: the number of processors].
    #[arg(long, env = "ATTA_SLOTS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) slots: Option<u32>,
    /// Where the ant keeps what it works on [default: ~/.local/share/atta-ant].
    #[arg(long, env = "ATTA_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// On SIGTERM or SIGINT let what runs go on: the next ant on the data directory takes it up. Only HTTP requests under
    /// way are waited for, 20 s at most. For upgrades and restarts.
    #[arg(long, env = "ATTA_HAND_OVER")]
    pub(crate) hand_over: bool,
    /// What the ant is called [default: the machine's name and a random end, kept in the data directory].
    #[arg(long, env = "ATTA_ANT_ID", value_name = "ID")]
    pub(crate) id: Option<String>,
    /// URL of an HTTP proxy to reach the server by; variables such as HTTPS_PROXY are not looked at.
    #[arg(long, env = "ATTA_PROXY", value_name = "URL", hide_env_values = true)]
    pub(crate) proxy: Option<String>,
    #[command(flatten)]
    pub(crate) http: HttpArgs,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    #[command(flatten)]
    pub(crate) spool: SpoolArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}
