//! `atta config` and `atta secret`.

use std::io::{IsTerminal, Read};

use atta_core::protocol::api::{ConfigRequest, ConfigResource, SecretsStatus};
use reqwest::Method;
use serde_json::Value;

use super::Server;
use crate::args::ListArgs;
use crate::config_args::{
    ConfigAction, ConfigArgs, ConfigListArgs, ConfigNameArgs, ConfigSetArgs, ScopeArgs, SecretAction, SecretArgs,
    SecretSetArgs,
};
use crate::exit::{CommandResult, Exit, Failure};
use crate::{output, prompt};

/// More than a secret may have, so that the server can say so.
const LONGEST: u64 = 128 * 1024;

/// Which configs are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    Secrets,
}

/// `atta config [set|get|list|rm]`.
pub(crate) async fn config(args: ConfigArgs) -> CommandResult {
    match args.action {
        None => list(args.list, Which::All).await,
        Some(ConfigAction::List(args)) => list(args, Which::All).await,
        Some(ConfigAction::Set(args)) => set(args).await,
        Some(ConfigAction::Get(args)) => get(args).await,
        Some(ConfigAction::Rm(args)) => remove(args).await,
    }
}

/// `atta secret [set|list|rm|rotate-key]`.
pub(crate) async fn secret(args: SecretArgs) -> CommandResult {
    match args.action {
        None => list(args.list, Which::Secrets).await,
        Some(SecretAction::List(args)) => list(args, Which::Secrets).await,
        Some(SecretAction::Set(args)) => set_secret(args).await,
        Some(SecretAction::Rm(args)) => remove(args).await,
        Some(SecretAction::RotateKey(args)) => rotate(args).await,
    }
}

/// The path of a config, or of all of a scope.
fn segments<'a>(definition: Option<&'a str>, name: Option<&'a str>) -> Vec<&'a str> {
    let mut segments = match definition {
        Some(job_type) => vec!["api", "v1", "definitions", job_type, "configs"],
        None => vec!["api", "v1", "configs"],
    };
    segments.extend(name);
    segments
}

async fn put(scope: &ScopeArgs, name: &str, body: &ConfigRequest) -> CommandResult {
    let server = Server::new(&scope.server)?;
    let config = store_config(&server, scope.definition.as_deref(), name, body).await?;
    output::say(&format!("{} is set.\n", config.name));
    Ok(Exit::Success)
}

/// Sets a config of a definition, or of all.
pub(crate) async fn store_config(
    server: &Server,
    definition: Option<&str>,
    name: &str,
    body: &ConfigRequest,
) -> CommandResult<ConfigResource> {
    server.json(server.request(Method::PUT, &segments(definition, Some(name)), &[]).json(body)).await
}

async fn set(args: ConfigSetArgs) -> CommandResult {
    let value = if args.as_json {
        serde_json::from_str(&args.value)
            .map_err(|error| Failure::usage(format!("The value of {} is no JSON: {error}.", args.name)))?
    } else {
        Value::String(args.value)
    };
    put(&args.scope, &args.name, &ConfigRequest { value, secret: Some(false), allow_short: false }).await
}

async fn set_secret(args: SecretSetArgs) -> CommandResult {
    let value = if std::io::stdin().is_terminal() {
        prompt::hidden(&format!("Value of {}: ", args.name))?
    } else {
        let mut text = String::new();
        std::io::stdin().lock().take(LONGEST).read_to_string(&mut text).map_err(|error| {
            Failure::usage(format!("The value of {} cannot be read from stdin: {error}.", args.name))
        })?;
        text
    };
    let value = Value::String(without_line_end(value));
    put(&args.scope, &args.name, &ConfigRequest { value, secret: Some(true), allow_short: args.allow_short }).await
}

/// `echo` and editors end what they write with a line end, which belongs to no value.
pub(crate) fn without_line_end(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

async fn get(args: ConfigNameArgs) -> CommandResult {
    let server = Server::new(&args.scope.server)?;
    let request = server.request(Method::GET, &segments(args.scope.definition.as_deref(), Some(&args.name)), &[]);
    let config: ConfigResource = server.json(request).await?;
    if args.json {
        output::print_json(&config)?;
        return Ok(Exit::Success);
    }
    match &config.value {
        Some(Value::String(text)) => output::print(&format!("{text}\n"))?,
        Some(value) => output::print(&format!("{value}\n"))?,
        None => {
            return Err(Failure::new(
                Exit::Refused,
                "CONFIG_IS_SECRET",
                format!("{} is a secret: its value is never shown again.", config.name),
            )
            .with_help("Set it again with `atta secret set` if it was lost."));
        }
    }
    Ok(Exit::Success)
}

async fn remove(args: ConfigNameArgs) -> CommandResult {
    let server = Server::new(&args.scope.server)?;
    server
        .send(server.request(Method::DELETE, &segments(args.scope.definition.as_deref(), Some(&args.name)), &[]))
        .await?;
    output::say(&format!("{} is removed.\n", args.name));
    Ok(Exit::Success)
}

async fn list(args: ConfigListArgs, which: Which) -> CommandResult {
    let server = Server::new(&args.scope.server)?;
    let mut configs: Vec<ConfigResource> = server.all(&segments(args.scope.definition.as_deref(), None)[2..]).await?;
    configs.retain(|config| which == Which::All || config.secret);
    if args.json {
        output::print_json(&configs)?;
        return Ok(Exit::Success);
    }
    if configs.is_empty() {
        output::say(if which == Which::Secrets { "No secrets.\n" } else { "No configs.\n" });
        return Ok(Exit::Success);
    }
    let rows: Vec<Vec<String>> = configs
        .iter()
        .map(|config| {
            let value = match &config.value {
                None => "(secret)".to_owned(),
                Some(Value::String(text)) => output::harmless(text).replace('\n', " "),
                Some(value) => value.to_string(),
            };
            vec![config.name.clone(), value, config.updated_at.clone()]
        })
        .collect();
    output::print(&output::table(&["NAME", "VALUE", "SET"], &rows))?;
    Ok(Exit::Success)
}

async fn rotate(args: ListArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    let status: SecretsStatus = server.json(server.post(&["secrets", "rotate-key"])).await?;
    if args.json {
        output::print_json(&status)?;
    } else {
        let key = status.key_id.as_deref().unwrap_or("none");
        output::print(&format!(
            "{} secret(s) are encrypted with the new key {key}.\n",
            status.secrets - status.outdated
        ))?;
    }
    if status.outdated > 0 {
        return Err(Failure::failed(format!("{} secret(s) keep an older key.", status.outdated))
            .with_help(status.problem.unwrap_or_else(|| "The server's log says why.".to_owned())));
    }
    Ok(Exit::Success)
}
