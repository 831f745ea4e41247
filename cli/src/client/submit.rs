//! `atta submit`.

use std::path::Path;

use atta_core::definition::KnownConfigs;
use atta_core::protocol::api::{SubmitRequest, SubmitResponse, VersionResource};

use super::{Server, definitions, follow};
use crate::args::SubmitArgs;
use crate::exit::{CommandResult, Exit, Failure};
use crate::{output, params, validate};

/// `atta submit JOB_TYPE|FILE`.
pub(crate) async fn submit(args: SubmitArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    let given = params::read(&args.params.params)?;
    let (job_type, version) = if names_a_file(&args.target) {
        let definition = definitions::upload(&server, Path::new(&args.target)).await?;
        definitions::say_warnings(&definition);
        // Exactly what was uploaded runs, also when somebody else uploads a newer one meanwhile.
        (definition.job_type, args.version.clone().or(Some(definition.version)))
    } else {
        (args.target.clone(), args.version.clone())
    };
    let params = if given.is_empty() {
        serde_json::Map::new()
    } else {
        let source = source(&server, &job_type, version.as_deref()).await?;
        let definition = validate::load_text(&job_type, source.as_bytes(), KnownConfigs::Any)?;
        params::coerce(&definition, &given)?
    };
    let priority = args
        .priority
        .map(|name| serde_json::from_value(serde_json::Value::String(name.to_uppercase())))
        .transpose()
        .map_err(|error| Failure::usage(format!("The priority is not valid: {error}.")))?;
    let request =
        SubmitRequest { job_type, version, params, user_key: args.user_key, priority, ..SubmitRequest::default() };
    let mut call = server.post(&["jobs"]).json(&request);
    if let Some(key) = &args.idempotency_key {
        call = call.header("Idempotency-Key", key);
    }
    let answer: SubmitResponse = server.json(call).await?;
    if args.json {
        output::print_json(&answer)?;
    } else {
        output::print(&format!("{}\n", answer.job_id))?;
    }
    if !args.follow {
        return Ok(Exit::Success);
    }
    follow::follow(&server, &answer.job_id).await
}

/// A definition's name has no slash and does not end like a YAML file.
fn names_a_file(target: &str) -> bool {
    target.contains('/')
        || Path::new(target).extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

pub(super) async fn source(server: &Server, job_type: &str, version: Option<&str>) -> CommandResult<String> {
    let version = if let Some(version) = version {
        version.to_owned()
    } else {
        let definition: atta_core::protocol::api::DefinitionResource =
            server.json(server.get(&["definitions", job_type], &[])).await?;
        definition.version
    };
    let version: VersionResource =
        server.json(server.get(&["definitions", job_type, "versions", &version], &[])).await?;
    Ok(version.source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_job_types_are_told_apart() {
        assert!(names_a_file("build.yaml") && names_a_file("./build") && names_a_file("a/b.yml"));
        assert!(!names_a_file("build") && !names_a_file("build.v2"));
    }
}
