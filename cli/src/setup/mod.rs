//! `atta setup`: what has to be there before workflows can do their work, made and checked.
//!
//! * `report`: what was found, line by line
//! * `hub`: the few questions to GitHub
//! * `repository`: token, repository, permissions, labels
//! * `queen`: what the server needs: configs, the token, definitions, ants

mod hub;
mod queen;
mod report;
mod repository;

use atta_core::secret::SecretText;

use self::hub::Hub;
use self::report::Report;
use crate::ambient;
use crate::args::{SetupArgs, SetupGithubArgs, SetupWhat};
use crate::client::Server;
use crate::exit::{CommandResult, Exit, Failure};
use crate::{output, prompt};

/// `atta setup github`.
pub(crate) async fn setup(args: SetupArgs) -> CommandResult {
    let SetupWhat::Github(args) = args.what;
    let server = if args.labels_only { None } else { Some(Server::new(&args.server)?) };
    let mut report = Report::new(args.dry_run);
    let known = match &server {
        Some(server) => queen::look(server, &mut report).await,
        None => None,
    };
    let token = token(&args)?;
    let hub = Hub::new(&args.api_url, token.clone())?;
    let found = repository::check(&hub, &args.repo, &mut report).await;
    if found.is_some() {
        repository::labels(&hub, &args, &mut report).await;
    }
    if let (Some(server), Some(known)) = (&server, known) {
        queen::prerequisites(server, &mut report).await;
        if let Some(found) = found {
            queen::prepare(server, &args, (&found, &token), &known, &mut report).await;
        } else {
            report.todo("server", "left as it is", "Mend what is said of GitHub, then run this again.");
        }
    }
    finish(&args, &report)
}

fn finish(args: &SetupGithubArgs, report: &Report) -> CommandResult {
    if args.json {
        output::print_json(&report.document())?;
    } else {
        output::print(&report.text())?;
    }
    Ok(if report.is_well() { Exit::Success } else { Exit::Failed })
}

/// From the environment, or asked for: never from the command line, which others can read.
fn token(args: &SetupGithubArgs) -> CommandResult<SecretText> {
    let text = match ambient::variable(&args.token_env).filter(|text| !text.trim().is_empty()) {
        Some(text) => text,
        None if std::io::IsTerminal::is_terminal(&std::io::stdin()) => {
            prompt::hidden(&format!("A token for {} (it is not shown): ", args.repo))?
        }
        None => {
            return Err(Failure::usage(format!("There is no token: {} is not set.", args.token_env)).with_help(
                "Set the variable, name another one with --token-env, or run this on a terminal, which is asked.",
            ));
        }
    };
    let text = text.trim();
    if text.is_empty() || !text.chars().all(|c| c.is_ascii_graphic()) {
        return Err(Failure::usage("That is no token: one word such as github_pat_… is expected."));
    }
    Ok(SecretText::new(text.to_owned()))
}
