//! `atta artifacts`.

use std::fs;
use std::path::{Path, PathBuf};

use atta_core::protocol::api::{ArtifactResource, JobDetail, TaskResource};
use futures_util::{StreamExt as _, stream};
use serde_json::json;

use super::Server;
use super::download::{Wanted, download};
use crate::args::ArtifactsArgs;
use crate::exit::{CommandResult, Exit, Failure};
use crate::files::{cannot_write, make_parents, name_in_task, safe_path};
use crate::output;

/// Downloads that run at the same time.
const AT_ONCE: usize = 4;

/// An artifact of the latest attempt of a task.
struct Found<'a> {
    of: &'a TaskResource,
    task: &'a str,
    attempt: Option<u32>,
    artifact: &'a ArtifactResource,
}

/// `atta artifacts JOB [TASK] [-o DIR]`: of the latest attempt of each task.
pub(crate) async fn artifacts(args: ArtifactsArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    let id = server.job_id(&args.job).await?;
    let job = server.job(&id).await?;
    let mut found = found(&job, args.task.as_deref())?;
    if let Some(name) = &args.name {
        found.retain(|one| one.artifact.group.as_ref() == Some(name));
    }
    if let Some(dir) = &args.output {
        fs::create_dir_all(dir).map_err(|error| cannot_write(dir, &error))?;
        found.retain(|one| {
            if let Some(at) = &one.artifact.expired_at {
                output::say(&format!("{} expired at {at}.\n", output::harmless(&one.artifact.name)));
            }
            one.artifact.expired_at.is_none()
        });
        let (server, job) = (&server, &job);
        // Shown in their order, whichever is there first.
        let mut files = stream::iter(&found).map(|one| fetch(server, job, one, dir)).buffered(AT_ONCE);
        while let Some(file) = files.next().await {
            let file = file?;
            if !args.json {
                output::print(&format!("{}\n", file.display()))?;
            }
        }
    } else if !args.json {
        let rows: Vec<Vec<String>> = found
            .iter()
            .map(|one| {
                vec![
                    one.task.to_owned(),
                    output::harmless(&one.artifact.name),
                    output::size(one.artifact.size),
                    one.artifact.digest.0.chars().take(16).collect(),
                    match (&one.artifact.expired_at, &one.artifact.expires_at) {
                        (Some(at), _) => format!("expired {at}"),
                        (None, Some(at)) => at.clone(),
                        (None, None) => String::new(),
                    },
                ]
            })
            .collect();
        if rows.is_empty() {
            output::say("No artifacts.\n");
        } else {
            output::print(&output::table(&["TASK", "NAME", "SIZE", "BLAKE3", "EXPIRES"], &rows))?;
        }
    }
    if args.json {
        let list: Vec<_> = found
            .iter()
            .map(|one| {
                json!({ "task_type": one.task, "attempt": one.attempt, "name": one.artifact.name,
                        "size": one.artifact.size, "digest": one.artifact.digest, "group": one.artifact.group,
                        "expires_at": one.artifact.expires_at, "expired_at": one.artifact.expired_at })
            })
            .collect();
        output::print_json(&list)?;
    }
    Ok(Exit::Success)
}

fn found<'a>(job: &'a JobDetail, task: Option<&str>) -> CommandResult<Vec<Found<'a>>> {
    if let Some(name) = task
        && !job.tasks.iter().any(|task| task.task_type == name)
    {
        let message = format!("{} has no task {name}.", job.summary.job_id);
        return Err(Failure::new(Exit::Refused, "NOT_FOUND", message));
    }
    Ok(job
        .tasks
        .iter()
        .filter(|one| task.is_none_or(|name| name == one.task_type))
        .filter_map(|one| {
            let attempt = one.attempt_list.last().map(|attempt| attempt.number);
            // What was taken over from another job has no attempt here.
            (attempt.is_some() || one.adopted_from.is_some()).then_some((one, attempt))
        })
        .flat_map(|(of, attempt)| {
            of.artifacts.iter().map(move |artifact| Found { of, task: &of.task_type, attempt, artifact })
        })
        .collect())
}

async fn fetch(server: &Server, job: &JobDetail, found: &Found<'_>, dir: &Path) -> CommandResult<PathBuf> {
    let file = safe_path(dir, found.task, name_in_task(found.of, &found.artifact.name))?;
    make_parents(dir, &file)?;
    let number = found.attempt.map(|number| number.to_string());
    let mut segments = vec!["jobs", job.summary.job_id.0.as_str()];
    // Those of instances are of many attempts.
    segments.extend(match &number {
        Some(number) if found.of.fan_out.is_none() => ["attempts", number.as_str()],
        _ => ["tasks", found.task],
    });
    segments.push("artifacts");
    segments.extend(found.artifact.name.split('/'));
    let (digest, size) = (&found.artifact.digest, found.artifact.size);
    download(server, &Wanted { segments, name: &found.artifact.name, digest, size }, &file).await?;
    Ok(file)
}
