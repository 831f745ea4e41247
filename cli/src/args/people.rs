//! Approvals and notifications on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ServerArgs;

/// Who decides, and how people are told.
#[derive(Debug, Args)]
pub(crate) struct PeopleArgs {
    /// Who holds which role, and people's e-mail addresses: a YAML file with `roles` and `users`.
    #[arg(long, env = "ATTA_ROLES", value_name = "FILE")]
    pub(crate) roles: Option<PathBuf>,
    /// The URL under which people reach this server, for links in notifications [default: where it listens].
    #[arg(long, env = "ATTA_PUBLIC_URL", value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// The SMTP server for e-mails: smtps://USER:PASSWORD@HOST, or smtp://HOST:587?tls=required. Better given by the
    /// environment: other users of the machine can read the command line.
    #[arg(long, env = "ATTA_SMTP_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) smtp_url: Option<String>,
    /// The sender of e-mails.
    #[arg(long, env = "ATTA_SMTP_FROM", value_name = "ADDRESS", default_value = "Atta <atta@localhost>")]
    pub(crate) smtp_from: String,
    /// Let webhooks lead to loopback and private addresses.
    #[arg(long, env = "ATTA_ALLOW_PRIVATE_WEBHOOKS")]
    pub(crate) allow_private_webhooks: bool,
}

/// A vote.
#[derive(Debug, Args)]
pub(crate) struct VoteArgs {
    /// The job's id, a unique beginning or end of it, or an approval's id.
    #[arg(value_name = "JOB|APPROVAL")]
    pub(crate) job: String,
    /// The task that asks; not needed when only one does.
    pub(crate) task: Option<String>,
    /// Why; needed to reject.
    #[arg(short = 'c', long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
    /// Who votes [default: who runs this command].
    #[arg(long = "as", value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ApprovalsArgs {
    #[command(subcommand)]
    pub(crate) action: Option<ApprovalsAction>,
    #[command(flatten)]
    pub(crate) list: ApprovalsListArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalsAction {
    /// List what waits for a vote.
    List(ApprovalsListArgs),
    /// Make a link by which one person can vote.
    Link(ApprovalLinkArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ApprovalsListArgs {
    /// Also those that are decided.
    #[arg(long)]
    pub(crate) all: bool,
    /// Only those on which this person may vote.
    #[arg(long = "for", value_name = "USER")]
    pub(crate) voter: Option<String>,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) limit: u32,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ApprovalLinkArgs {
    /// The approval's id.
    pub(crate) approval: String,
    /// Who is to vote by it.
    #[arg(long = "for", value_name = "USER")]
    pub(crate) voter: String,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct NotificationsArgs {
    #[command(subcommand)]
    pub(crate) action: Option<NotificationsAction>,
    #[command(flatten)]
    pub(crate) list: NotificationsListArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NotificationsAction {
    /// List what was told to whom, the newest first.
    List(NotificationsListArgs),
    /// Try those again that were given up.
    Retry(NotificationsRetryArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct NotificationsListArgs {
    /// Only those in this state; DEAD are those that were given up.
    #[arg(long, value_name = "STATE", ignore_case = true, value_parser = ["PENDING", "SENT", "DEAD"])]
    pub(crate) state: Option<String>,
    /// Only those about this job.
    #[arg(long, value_name = "JOB")]
    pub(crate) job: Option<String>,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) limit: u32,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct NotificationsRetryArgs {
    /// Their ids.
    #[arg(required_unless_present = "dead")]
    pub(crate) notifications: Vec<String>,
    /// All that were given up.
    #[arg(long, conflicts_with = "notifications")]
    pub(crate) dead: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}
