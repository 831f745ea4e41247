//! Arguments about ants.

use std::time::Duration;

use atta_core::definition::parse_size;
use atta_core::resilience::Tier;
use atta_worker::AntConfig;
use clap::{Args, Subcommand};

use super::{ServerArgs, duration};

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

/// How much an ant keeps for later.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct KeepArgs {
    /// Bytes that kept workspaces may take, e.g. 500MB or 20GiB.
    #[arg(long, env = "ATTA_WORKSPACE_QUOTA", value_name = "SIZE", default_value = "20GiB", value_parser = parse_size)]
    pub(crate) workspace_quota: u64,
    /// Bytes that caches may take, packed.
    #[arg(long, env = "ATTA_CACHE_SIZE", value_name = "SIZE", default_value = "5GiB", value_parser = parse_size)]
    pub(crate) cache_size: u64,
    /// Bytes that one cache entry may take, unpacked.
    #[arg(long, env = "ATTA_CACHE_ENTRY_SIZE", value_name = "SIZE", default_value = "2GiB", value_parser = parse_size)]
    pub(crate) cache_entry_size: u64,
}

impl KeepArgs {
    /// So the ant is told.
    pub(crate) fn tell(self, config: &mut AntConfig) {
        config.workspace_quota = self.workspace_quota;
        config.cache_size = self.cache_size;
        config.cache_entry_size = self.cache_entry_size;
    }
}

/// How much output waits while the server is away.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct SpoolArgs {
    /// Bytes of output that wait on disk while the server is away; beyond that output is left out, and logs say so.
    #[arg(long, env = "ATTA_SPOOL_SIZE", value_name = "SIZE", default_value = "1GiB", value_parser = spool_size)]
    pub(crate) spool_size: u64,
    /// How long output waits on disk while the server is away; then it is left out, and logs say so.
    #[arg(long, env = "ATTA_SPOOL_AGE", value_name = "DURATION", default_value = "7d", value_parser = spool_age)]
    pub(crate) spool_age: Duration,
}

impl SpoolArgs {
    /// So the ant is told.
    pub(crate) fn tell(self, config: &mut AntConfig) {
        config.spool_limit = self.spool_size;
        config.spool_age = self.spool_age;
    }
}

fn spool_size(text: &str) -> Result<u64, String> {
    match parse_size(text).map_err(|error| error.to_string())? {
        0 => Err("output must be able to wait: the least that makes sense is some MB, e.g. 100MB".to_owned()),
        bytes => Ok(bytes),
    }
}

fn spool_age(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        age if age.is_zero() => Err("output must be able to wait: give a time such as 1h or 7d".to_owned()),
        age => Ok(age),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    #[test]
    fn the_spool_is_bounded_by_bytes_and_age_and_never_by_nothing() {
        let spool = |args: &[&str]| {
            let args = ["atta", "serve"].iter().chain(args);
            Cli::try_parse_from(args).map(|cli| match cli.command {
                Command::Serve(args) => (args.spool.spool_size, args.spool.spool_age),
                other => panic!("{other:?}"),
            })
        };
        assert_eq!(spool(&[]).unwrap(), (1 << 30, Duration::from_hours(7 * 24)));
        let given = spool(&["--spool-size", "200MiB", "--spool-age", "12h"]).unwrap();
        assert_eq!(given, (200 << 20, Duration::from_hours(12)));
        for (args, say) in [
            (["--spool-size", "0"], "output must be able to wait: the least"),
            (["--spool-age", "0s"], "output must be able to wait: give a time"),
            (["--spool-size", "7"], "has no unit"),
            (["--spool-age", "soon"], "soon"),
        ] {
            let error = spool(&args).unwrap_err().to_string();
            assert!(error.contains(say), "{error}");
        }
    }
}
