//! `atta definitions`.

use atta_core::protocol::api::{DefinitionResource, VersionResource, VersionSummary};
use owo_colors::OwoColorize;
use reqwest::Method;

use super::Server;
use crate::args::{DefinitionArgs, DefinitionShowArgs, DefinitionsAction, DefinitionsArgs, ListArgs, UploadArgs};
use crate::exit::{CommandResult, Exit, Failure};
use crate::output;

/// `atta definitions [list|upload|show|versions|enable|disable]`.
pub(crate) async fn definitions(args: DefinitionsArgs) -> CommandResult {
    match args.action {
        None => list(args.list).await,
        Some(DefinitionsAction::List(args)) => list(args).await,
        Some(DefinitionsAction::Upload(args)) => upload_all(args).await,
        Some(DefinitionsAction::Show(args)) => show(args).await,
        Some(DefinitionsAction::Versions(args)) => versions(args).await,
        Some(DefinitionsAction::Enable(args)) => switch(args, "enable").await,
        Some(DefinitionsAction::Disable(args)) => switch(args, "disable").await,
    }
}

/// Stores a definition; its problems come back with their places.
pub(crate) async fn upload(server: &Server, file: &std::path::Path) -> CommandResult<DefinitionResource> {
    let source =
        std::fs::read(file).map_err(|error| Failure::usage(format!("{} cannot be read: {error}.", file.display())))?;
    let mut name = file.display().to_string();
    if name.len() > 255 || name.chars().any(char::is_control) {
        "definition.yaml".clone_into(&mut name);
    }
    upload_text(server, &name, source).await
}

/// The same for a text, with the name of a file that its problems are told of.
pub(crate) async fn upload_text(
    server: &Server,
    name: &str,
    source: impl Into<reqwest::Body>,
) -> CommandResult<DefinitionResource> {
    let request = server
        .request(Method::POST, &["api", "v1", "definitions"], &[("file", name)])
        .header(reqwest::header::CONTENT_TYPE, "application/yaml")
        .body(source);
    server.json(request).await
}

/// Says the warnings of a definition on stderr.
pub(crate) fn say_warnings(definition: &DefinitionResource) {
    for warning in &definition.warnings {
        output::say(&format!(
            "{} {}: {}: {}\n",
            "warning:".yellow().bold(),
            warning.field,
            warning.code,
            warning.message
        ));
    }
}

async fn list(args: ListArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    let definitions: Vec<DefinitionResource> = server.all(&["definitions"]).await?;
    show_list(&definitions, args.json)
}

fn show_list(definitions: &[DefinitionResource], json: bool) -> CommandResult {
    if json {
        output::print_json(&definitions)?;
        return Ok(Exit::Success);
    }
    if definitions.is_empty() {
        output::say("No definitions.\n");
        return Ok(Exit::Success);
    }
    let rows: Vec<Vec<String>> = definitions
        .iter()
        .map(|definition| {
            let state = match (&definition.degraded, definition.enabled) {
                (Some(why), _) => format!("degraded: {}", output::harmless(why).replace('\n', " ")),
                (None, true) => "enabled".to_owned(),
                (None, false) => "disabled".to_owned(),
            };
            vec![
                definition.job_type.clone(),
                definition.semver.clone().unwrap_or_else(|| definition.version.clone()),
                definition.versions.to_string(),
                definition.next_run_at.clone().unwrap_or_else(|| "-".to_owned()),
                state,
            ]
        })
        .collect();
    output::print(&output::table(&["TYPE", "VERSION", "VERSIONS", "NEXT RUN", "STATE"], &rows))?;
    Ok(Exit::Success)
}

async fn upload_all(args: UploadArgs) -> CommandResult {
    let server = Server::new(&args.list.server)?;
    let mut stored = Vec::new();
    let mut first_failure: Option<Failure> = None;
    for file in &args.files {
        match upload(&server, file).await {
            Ok(definition) => {
                say_warnings(&definition);
                stored.push(definition);
            }
            Err(failure) if failure.exit == Exit::Unreachable => return Err(failure),
            Err(mut failure) => {
                failure.message = format!("{}: {}", file.display(), failure.message);
                if let Some(earlier) = first_failure.replace(failure) {
                    earlier.print();
                }
            }
        }
    }
    if args.list.json {
        output::print_json(&stored)?;
    } else {
        for definition in &stored {
            output::print(&format!("{}  {}\n", definition.job_type, definition.version))?;
        }
    }
    first_failure.map_or(Ok(Exit::Success), Err)
}

async fn show(args: DefinitionShowArgs) -> CommandResult {
    let server = Server::new(&args.list.server)?;
    let version = if let Some(version) = args.version {
        version
    } else {
        let definition: DefinitionResource = server.json(server.get(&["definitions", &args.job_type], &[])).await?;
        definition.version
    };
    let version: VersionResource =
        server.json(server.get(&["definitions", &args.job_type, "versions", &version], &[])).await?;
    if args.list.json {
        output::print_json(&version)?;
    } else {
        output::print(&version.source)?;
    }
    Ok(Exit::Success)
}

async fn versions(args: DefinitionArgs) -> CommandResult {
    let server = Server::new(&args.list.server)?;
    let versions: Vec<VersionSummary> = server.all(&["definitions", &args.job_type, "versions"]).await?;
    if args.list.json {
        output::print_json(&versions)?;
        return Ok(Exit::Success);
    }
    let rows: Vec<Vec<String>> = versions
        .iter()
        .map(|version| {
            vec![
                version.version.clone(),
                version.semver.clone().unwrap_or_else(|| "-".to_owned()),
                version.created_at.clone(),
            ]
        })
        .collect();
    output::print(&output::table(&["VERSION", "SEMVER", "STORED"], &rows))?;
    Ok(Exit::Success)
}

async fn switch(args: DefinitionArgs, verb: &str) -> CommandResult {
    let server = Server::new(&args.list.server)?;
    let definition: DefinitionResource = server.json(server.post(&["definitions", &args.job_type, verb])).await?;
    show_list(&[definition], args.list.json)
}
