//! Measurements of Atta: one JSON line per figure on stdout, what is going on on stderr.
//!
//! The real binary runs as a child on a free port of the loopback interface, with a temporary data directory. Yardsticks
//! run on the same machine in the same run, because absolute times of shared machines say little.

mod backlog;
mod core_figures;
mod crowd;
mod databases;
mod figure;
mod idle;
mod latency;
mod log_path;
mod recovery;
mod server;
mod takeover;
mod throughput;
mod usage;
mod yardstick;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use figure::Reporter;

/// Measures Atta; prints one JSON line per figure.
#[derive(Debug, Parser)]
#[command(name = "atta-bench")]
struct Cli {
    /// The program to measure.
    #[arg(long, global = true, default_value = "target/release/atta", value_name = "PATH")]
    atta: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// All of them.
    All,
    /// 1 000 independent no-op tasks in one job, against xargs; again after 10 000 attempts in the same data directory.
    Wide,
    /// A chain of 200 tasks.
    Chain,
    /// 500 jobs of one task each, through the API.
    Jobs,
    /// From submit to the first byte of output on an idle server.
    Latency,
    /// Memory, processor time and wake-ups of an idle server.
    Idle,
    /// From start to ready.
    Ready,
    /// Loading and checking a definition with 10 000 tasks, in process.
    Definition,
    /// Events per second through the engine, in process.
    Decide,
    /// The server killed while 1 000 commands run.
    Recovery,
    /// 1 000 ants with 10 slots each.
    Crowd,
    /// Dispatch behind 100 000 jobs that wait.
    Backlog,
    /// 1 GB of output, and 200 followers.
    Log,
    /// The same work on SQLite and on PostgreSQL.
    Databases,
    /// The active server of a PostgreSQL database killed while another one stands by.
    Takeover,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let atta = std::path::absolute(&cli.atta)?;
    let reporter = Reporter::new(&atta)?;
    let all = matches!(cli.command, Command::All);
    if all || matches!(cli.command, Command::Definition) {
        core_figures::definition(&reporter)?;
    }
    if all || matches!(cli.command, Command::Decide) {
        core_figures::decide(&reporter)?;
    }
    if all || matches!(cli.command, Command::Ready) {
        idle::ready(&atta, &reporter).await?;
    }
    if all || matches!(cli.command, Command::Idle) {
        idle::idle(&atta, &reporter).await?;
    }
    if all || matches!(cli.command, Command::Latency) {
        latency::latency(&atta, &reporter).await?;
    }
    if all || matches!(cli.command, Command::Jobs) {
        throughput::jobs(&atta, &reporter).await?;
    }
    if all || matches!(cli.command, Command::Chain) {
        throughput::chain(&atta, &reporter).await?;
    }
    if all || matches!(cli.command, Command::Wide) {
        throughput::wide(&atta, &reporter).await?;
    }
    if all || matches!(cli.command, Command::Log) {
        log_path::log_path(&atta, &reporter).await?;
    }
    if all || matches!(cli.command, Command::Databases) {
        databases::databases(&atta, &reporter).await?;
    }
    if all || matches!(cli.command, Command::Takeover) {
        takeover::takeover(&atta, &reporter).await?;
    }
    if all || matches!(cli.command, Command::Recovery) {
        recovery::recovery(&atta, &reporter).await?;
    }
    if all || matches!(cli.command, Command::Crowd) {
        crowd::crowd(&atta, &reporter).await?;
    }
    if all || matches!(cli.command, Command::Backlog) {
        backlog::backlog(&atta, &reporter).await?;
    }
    Ok(())
}
