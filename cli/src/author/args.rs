//! The command line of these commands.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::args::ParamArgs;

#[derive(Debug, Args)]
pub(crate) struct GraphArgs {
    /// The definition.
    pub(crate) file: PathBuf,
    /// Form of the picture.
    #[arg(long, value_enum, default_value_t = GraphFormat::Mermaid)]
    pub(crate) format: GraphFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// Mermaid, as Markdown on many sites shows it.
    Mermaid,
    /// Graphviz.
    Dot,
    /// A picture.
    Svg,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The definition.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) params: ParamArgs,
    /// What a task's attempts end with, in order; the last one repeats. Also TASK.when=false, TASK.items=3, and
    /// TASK.outputs={"NAME":"VALUE"}. May be repeated.
    #[arg(long, value_name = "TASK=RESULT[,RESULT…]")]
    pub(crate) assume: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FmtArgs {
    /// The definitions; `-` reads stdin and writes stdout.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Write nothing; exit with 1 when a file is not formatted.
    #[arg(long)]
    pub(crate) check: bool,
    /// Write nothing; show what would change.
    #[arg(long)]
    pub(crate) diff: bool,
}
