//! Arguments of the demo.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Where to put everything; it must not exist yet, and stays [default: a temporary directory that goes].
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Let a real agent do the work instead of the stand-in. It has to be installed and logged in, works without asking, and
    /// costs what it costs.
    #[arg(long, value_name = "CLI", value_parser = ["claude", "codex", "gemini", "opencode", "goose", "copilot", "cursor", "aider"])]
    pub(crate) agent: Option<String>,
    /// Leave the server running until Ctrl-C.
    #[arg(long)]
    pub(crate) keep: bool,
}
