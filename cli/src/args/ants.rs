//! Arguments about ants.

use atta_core::resilience::Tier;
use clap::{Args, Subcommand};

use super::ServerArgs;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct AntsArgs {
    #[command(subcommand)]
    pub(crate) action: Option<AntsAction>,
    #[command(flatten)]
    pub(crate) list: AntsListArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AntsAction {
    /// List ants.
    List(AntsListArgs),
    /// Give ants no new work; what they run goes on.
    Cordon(AntsModeArgs),
    /// Give ants work again.
    Uncordon(AntsModeArgs),
    /// Give ants no new work, to take them away when they have none.
    Drain(AntsModeArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AntsListArgs {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AntsModeArgs {
    /// Names of ants.
    #[arg(value_name = "ANT", required = true)]
    pub(crate) ants: Vec<String>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DegradeArgs {
    /// What to leave out: normal, shed, finish or read-only; without it, what is left out now is shown.
    #[arg(value_name = "TIER", value_parser = tier, conflicts_with = "auto")]
    pub(crate) tier: Option<Tier>,
    /// Why; those whose jobs wait are told.
    #[arg(long, value_name = "TEXT", requires = "tier")]
    pub(crate) reason: Option<String>,
    /// Leave it to what the server measures again.
    #[arg(long)]
    pub(crate) auto: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

fn tier(text: &str) -> Result<Tier, String> {
    Tier::parse(text).ok_or_else(|| "it is normal, shed, finish or read-only".to_owned())
}
