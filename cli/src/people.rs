//! What `atta serve` is told about people: roles, addresses, and how they are notified.

use std::path::Path;

use atta_core::definition::{read_yaml, render_diagnostics};
use atta_server::directory::StaticDirectory;
use atta_server::notify::{Mailer, NotifyConfig};

use crate::args::PeopleArgs;
use crate::exit::{CommandResult, Failure};

/// Reads the file of roles.
pub(crate) fn directory(file: Option<&Path>) -> CommandResult<StaticDirectory> {
    let Some(file) = file else { return Ok(StaticDirectory::default()) };
    let name = file.display().to_string();
    let source = std::fs::read(file).map_err(|error| Failure::usage(format!("{name} cannot be read: {error}.")))?;
    let value = read_yaml(&name, &source).map_err(|problems| {
        let text = String::from_utf8_lossy(&source);
        Failure::usage(format!("{name} is no YAML:\n{}", render_diagnostics(&name, text.as_bytes(), &problems, false)))
    })?;
    let help = "It looks like this:  {roles: {release: [alice, bob]}, users: {alice: {email: alice@example.org}}}";
    let wrong = |problem: String| {
        Failure::usage(format!("{name} does not say who holds which role: {problem}.")).with_help(help)
    };
    serde_json::from_value::<StaticDirectory>(value).map_err(|error| wrong(error.to_string()))?.checked().map_err(wrong)
}

/// How notifications are sent.
pub(crate) fn notify(args: &PeopleArgs) -> CommandResult<NotifyConfig> {
    let mailer = match args.smtp_url.as_deref().filter(|url| !url.is_empty()) {
        None => None,
        Some(url) => Some(Mailer::new(url, &args.smtp_from).map_err(|error| {
            Failure::usage(format!("E-mails cannot be sent: {error}.")).with_help("See --smtp-url and --smtp-from.")
        })?),
    };
    Ok(NotifyConfig { allow_private: args.allow_private_webhooks, mailer, ..NotifyConfig::default() })
}

/// The URL for links.
pub(crate) fn public_url(args: &PeopleArgs) -> CommandResult<Option<String>> {
    let Some(given) = &args.public_url else { return Ok(None) };
    let url = url::Url::parse(given).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() && url.fragment().is_none()
    });
    match url {
        Some(_) => Ok(Some(given.clone())),
        None => Err(Failure::usage(format!("\"{given}\" cannot be the public URL."))
            .with_help("It is a URL such as https://atta.example.org, without query.")),
    }
}
