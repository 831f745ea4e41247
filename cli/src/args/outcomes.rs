//! Arguments of `atta outcomes`.

use atta_core::protocol::outcomes_api::OutcomesBy;
use clap::Args;

use super::ServerArgs;

#[derive(Debug, Args)]
pub(crate) struct OutcomesArgs {
    /// Jobs that were submitted within so long, e.g. `30d`, or since an instant such as 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", default_value = "30d", conflicts_with = "all")]
    pub(crate) since: String,
    /// Jobs that were submitted before then: as `--since`.
    #[arg(long, value_name = "TIME", conflicts_with = "all")]
    pub(crate) until: Option<String>,
    /// All jobs, whenever they were submitted.
    #[arg(long)]
    pub(crate) all: bool,
    /// Figures for each definition, repository, agent, model, day or job.
    #[arg(long, value_name = "WHAT", value_parser = by)]
    pub(crate) by: Option<OutcomesBy>,
    /// Jobs of this definition.
    #[arg(long, value_name = "NAME")]
    pub(crate) definition: Option<String>,
    /// Jobs in this repository.
    #[arg(long, value_name = "NAME")]
    pub(crate) repository: Option<String>,
    /// What this agent's program has used: claude, codex, …
    #[arg(long, value_name = "CLI")]
    pub(crate) agent: Option<String>,
    /// What this model has used.
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// At most so many groups.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print lines of values with commas between them, the first with their names.
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

fn by(word: &str) -> Result<OutcomesBy, String> {
    OutcomesBy::parse(word).ok_or_else(|| {
        let known: Vec<_> = OutcomesBy::NAMES.iter().map(|(_, name)| *name).collect();
        format!("one of {} is expected", known.join(", "))
    })
}
