//! Arguments about agents.

use atta_agents::conformance::Fault;
use atta_core::protocol::agent::AgentCli;
use clap::{Args, Subcommand};

use crate::agents::{agent_cli, agent_fault};

#[derive(Debug, Args)]
pub(crate) struct AgentsArgs {
    #[command(subcommand)]
    pub(crate) command: AgentsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AgentsCommand {
    /// Try every fault of an agent on every adapter, with stand-ins; or try a program of your own.
    Conformance(ConformanceArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ConformanceArgs {
    /// A program of your own, tried with what every agent has to do. If it asks a model, this costs something.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) cli: Option<String>,
    /// The format that the program speaks [default: custom]; without a program, the only adapter to try.
    #[arg(long = "as", value_name = "ADAPTER", value_parser = agent_cli)]
    pub(crate) format: Option<AgentCli>,
    /// Only these faults.
    #[arg(long = "fault", value_name = "FAULT", value_parser = agent_fault, conflicts_with = "cli")]
    pub(crate) faults: Vec<Fault>,
    /// How many cases run at once.
    #[arg(long, value_name = "N", default_value_t = 4, conflicts_with = "cli")]
    pub(crate) at_once: u8,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// The first arguments of the program.
    #[arg(last = true, value_name = "ARGUMENT", requires = "cli")]
    pub(crate) arguments: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct AgentStandInArgs {
    /// The CLI, the fault, and the arguments that the CLI would get.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
}
