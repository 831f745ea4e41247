//! Configs and secrets of a run without a server: from the command line, files and the environment.

use std::fs;

use atta_server::scheduler::Queen;
use serde_json::Value;

use crate::ambient;
use crate::client::without_line_end;
use crate::config_args::GivenConfigArgs;
use crate::exit::{CommandResult, Failure};

/// What is set before the job is submitted.
pub(super) struct GivenConfig {
    name: String,
    value: Value,
    secret: bool,
}

/// Names of the configs that are not secret.
pub(crate) fn names(args: &GivenConfigArgs) -> CommandResult<Vec<String>> {
    args.configs.iter().map(|argument| Ok(named("--config", argument)?.0.to_owned())).collect()
}

fn named<'a>(option: &str, argument: &'a str) -> CommandResult<(&'a str, &'a str)> {
    argument
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| Failure::usage(format!("\"{option} {argument}\" has no name and value: write {option} NAME=…")))
}

/// Reads all of them.
pub(super) fn read(args: &GivenConfigArgs) -> CommandResult<Vec<GivenConfig>> {
    let mut given = Vec::new();
    for argument in &args.configs {
        let (name, value) = named("--config", argument)?;
        given.push(GivenConfig { name: name.to_owned(), value: Value::from(value), secret: false });
    }
    for argument in &args.secret_files {
        let (name, file) = named("--secret-file", argument)?;
        let text = fs::read_to_string(file)
            .map_err(|error| Failure::usage(format!("The secret {name} cannot be read from {file}: {error}.")))?;
        given.push(GivenConfig { name: name.to_owned(), value: Value::from(without_line_end(text)), secret: true });
    }
    for argument in &args.secret_variables {
        let (name, variable) = argument.split_once('=').unwrap_or((argument, argument));
        let value = ambient::variable(variable).ok_or_else(|| {
            Failure::usage(format!(
                "The secret {name} should be in the environment variable {variable}, which is not set."
            ))
        })?;
        given.push(GivenConfig { name: name.to_owned(), value: Value::from(value), secret: true });
    }
    Ok(given)
}

/// Sets them in the queen of this process. A short secret is the choice of whoever runs this.
pub(super) async fn set(queen: &Queen, given: Vec<GivenConfig>) -> CommandResult<()> {
    for GivenConfig { name, value, secret } in given {
        queen.put_config(None, &name, value, Some(secret), true).await.map_err(super::refused)?;
    }
    Ok(())
}
