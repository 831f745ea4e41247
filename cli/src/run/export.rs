//! `-o DIR`: what a job left, as files.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use atta_core::engine::AttemptNumber;
use atta_core::protocol::AttemptId;
use atta_core::protocol::api::{ArtifactResource, AttemptResource, JobDetail, TaskResource};
use atta_server::Server;

use crate::exit::{CommandResult, Failure};
use crate::files::{cannot_write, make_parents, name_in_task, safe_path};

/// How much of a log is in memory at once.
const PIECE: u64 = 1 << 20;

/// Whether the directory exists or can be made; before anything runs.
pub(crate) fn check_directory(dir: &Path) -> CommandResult<()> {
    fs::create_dir_all(dir)
        .and_then(|()| tempfile::tempfile_in(dir).map(drop))
        .map_err(|error| Failure::usage(format!("{} cannot be written: {error}.", dir.display())))
}

/// Writes `DIR/<task>/<artifact>` and `DIR/<task>.log`; with several attempts `DIR/<task>.<n>.log` for each.
pub(crate) async fn write(server: &Server, job: &JobDetail, dir: &Path) -> CommandResult<()> {
    for task in &job.tasks {
        for artifact in &task.artifacts {
            write_artifact(server, dir, task, artifact).await?;
        }
        if task.fan_out.is_some() {
            write_logs_of_instances(server, job, task, dir).await?;
            continue;
        }
        let logged: Vec<&AttemptResource> = task.attempt_list.iter().filter(|attempt| attempt.log_bytes > 0).collect();
        let one = task.attempt_list.len() == 1;
        for attempt in logged {
            let position = task.attempt_list.iter().position(|other| other.number == attempt.number).unwrap_or(0) + 1;
            let name =
                if one { format!("{}.log", task.task_type) } else { format!("{}.{position}.log", task.task_type) };
            write_log(server, job, attempt, &dir.join(name)).await?;
        }
    }
    Ok(())
}

/// `DIR/<task>.<key>.log`; those of attempts before the last one of an item have their number in the name.
async fn write_logs_of_instances(
    server: &Server,
    job: &JobDetail,
    task: &TaskResource,
    dir: &Path,
) -> CommandResult<()> {
    let mut latest = HashMap::new();
    for attempt in &task.attempt_list {
        latest.insert(attempt.instance, attempt.number);
    }
    for attempt in task.attempt_list.iter().filter(|attempt| attempt.log_bytes > 0) {
        let key = attempt.item_key.as_deref().unwrap_or_default();
        let name = if latest.get(&attempt.instance) == Some(&attempt.number) {
            format!("{}.{key}.log", task.task_type)
        } else {
            format!("{}.{key}.{}.log", task.task_type, attempt.number)
        };
        write_log(server, job, attempt, &dir.join(name)).await?;
    }
    Ok(())
}

async fn write_artifact(
    server: &Server,
    dir: &Path,
    task: &TaskResource,
    artifact: &ArtifactResource,
) -> CommandResult<()> {
    let file = safe_path(dir, &task.task_type, name_in_task(task, &artifact.name))?;
    make_parents(dir, &file)?;
    match fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(cannot_write(&file, &error)),
        _ => {}
    }
    server
        .artifacts()
        .get(&artifact.digest, &file)
        .await
        .map_err(|error| Failure::failed(format!("{} cannot be written: {error}.", file.display())))
}

async fn write_log(server: &Server, job: &JobDetail, attempt: &AttemptResource, file: &Path) -> CommandResult<()> {
    let id = AttemptId::new(&job.summary.job_id, AttemptNumber(attempt.number));
    let mut out = fs::File::create(file).map_err(|error| cannot_write(file, &error))?;
    let mut offset = 0;
    loop {
        let (pieces, total) = server
            .logs()
            .read(&id, offset..offset + PIECE, None)
            .await
            .map_err(|error| Failure::failed(format!("{error}.")))?;
        for piece in &pieces {
            out.write_all(&piece.bytes).map_err(|error| cannot_write(file, &error))?;
            offset += piece.bytes.len() as u64;
        }
        if pieces.is_empty() || offset >= total {
            return Ok(());
        }
    }
}
