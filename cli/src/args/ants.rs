//! Arguments about ants.

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
