//! Arguments of `atta attach`.

use clap::Args;

use super::ServerArgs;

#[derive(Debug, Args)]
pub(crate) struct AttachArgs {
    /// The job's id, or a unique beginning or end of it.
    pub(crate) job: String,
    /// The task; it needs `tty: true`.
    pub(crate) task: String,
    /// Type into it too: what this terminal is given, or what stands on stdin. Ctrl-] ends. Needs the role operator.
    #[arg(long)]
    pub(crate) write: bool,
    /// End the session of somebody else who types.
    #[arg(long, requires = "write")]
    pub(crate) take_over: bool,
    /// The attempt with this number within the job [default: the newest].
    #[arg(long, value_name = "N")]
    pub(crate) attempt: Option<u32>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}
