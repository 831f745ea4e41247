//! Arguments of `atta setup`.

use clap::{Args, Subcommand};

use super::ServerArgs;

#[derive(Debug, Args)]
pub(crate) struct SetupArgs {
    #[command(subcommand)]
    pub(crate) what: SetupWhat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SetupWhat {
    /// Prepare a repository on GitHub and the server for the workflows gh-*, and say what is missing.
    #[command(name = "github")]
    Github(SetupGithubArgs),
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(crate) struct SetupGithubArgs {
    /// The repository: owner/name.
    #[arg(long, value_name = "OWNER/NAME", value_parser = repository)]
    pub(crate) repo: String,
    /// Where GitHub's API is; of GitHub Enterprise https://HOST/api/v3.
    #[arg(long, value_name = "URL", default_value = "https://api.github.com")]
    pub(crate) api_url: String,
    /// The variable that holds the token. Without it the terminal is asked.
    #[arg(long, value_name = "VARIABLE", default_value = "GITHUB_TOKEN")]
    pub(crate) token_env: String,
    /// Store the token also when the server has one.
    #[arg(long)]
    pub(crate) replace_token: bool,
    /// Let agents review pull requests too: the definition gh-review and its label `ai-review`.
    #[arg(long)]
    pub(crate) review: bool,
    /// Only the labels; no server is needed.
    #[arg(long)]
    pub(crate) labels_only: bool,
    /// Look at everything and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

fn repository(text: &str) -> Result<String, String> {
    let good = |part: &str, more: &[char]| {
        !part.is_empty()
            && part.len() <= 100
            && !part.chars().all(|c| c == '.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(&c))
    };
    match text.split_once('/') {
        Some((owner, name)) if good(owner, &['-']) && good(name, &['-', '_', '.']) => Ok(text.to_owned()),
        _ => Err("a repository is written owner/name".to_owned()),
    }
}
