//! Arguments about backups and about moving between databases.

use std::path::PathBuf;

use atta_core::secret::SecretText;
use clap::Args;

use super::secret_text;

/// Where everything of a server is.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// The server's data directory [default: ~/.local/share/atta].
    #[arg(long, env = "ATTA_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The server's PostgreSQL database, if it uses one: postgres://USER:PASSWORD@HOST/DATABASE.
    #[arg(long, env = "ATTA_DATABASE_URL", value_name = "URL", hide_env_values = true, value_parser = secret_text)]
    pub(crate) database: Option<SecretText>,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The archive to make, or a directory to make it in.
    #[arg(value_name = "FILE|DIR", required_unless_present = "verify")]
    pub(crate) to: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Also save the keys: of secrets, of links to vote by, of the certificate. Whoever has the archive can then read all
    /// secrets.
    #[arg(long)]
    pub(crate) with_keys: bool,
    /// Make nothing: read this archive to its end and say whether it is whole.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["to", "with_keys"])]
    pub(crate) verify: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The archive.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Nothing has happened since the backup was made: jobs that were not finished may go on by themselves. Otherwise
    /// those that had begun are paused, and those that had not are cancelled.
    #[arg(long)]
    pub(crate) go_on: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MigrateStoreArgs {
    /// Where the rows are: `sqlite:DIR` with the data directory, or postgres://USER@HOST/DATABASE.
    #[arg(long, value_name = "STORE", value_parser = secret_text)]
    pub(crate) from: SecretText,
    /// An empty database of the other kind. Without a password in it PGPASSWORD and .pgpass count.
    #[arg(long, value_name = "STORE", value_parser = secret_text)]
    pub(crate) to: SecretText,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
