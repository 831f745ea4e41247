//! `-o DIR`: what a job left, as files.

use std::fs;
use std::io::Write;
use std::path::{Component, Path, PathBuf};

use atta_core::engine::AttemptNumber;
use atta_core::protocol::AttemptId;
use atta_core::protocol::api::{ArtifactResource, AttemptResource, JobDetail, TaskResource};
use atta_server::Server;

use crate::exit::{CommandResult, Failure};

/// How much of a log is in memory at once.
const PIECE: u64 = 1 << 20;

/// Whether the directory exists or can be made; before anything runs.
pub(crate) fn check_directory(dir: &Path) -> CommandResult<()> {
    fs::create_dir_all(dir)
        .and_then(|()| tempfile::tempfile_in(dir).map(drop))
        .map_err(|error| Failure::usage(format!("{} cannot be written: {error}.", dir.display())))
}

/// The path of an artifact below the directory of its task. Names come from elsewhere (a server, an agent), so whatever
/// leads out of the directory is refused.
pub(crate) fn safe_path(base: &Path, task: &str, name: &str) -> CommandResult<PathBuf> {
    let plain = |text: &str| {
        let mut components = Path::new(text).components().peekable();
        components.peek().is_some() && components.all(|component| matches!(component, Component::Normal(_)))
    };
    if plain(task) && !task.contains('/') && plain(name) {
        Ok(base.join(task).join(name))
    } else {
        Err(Failure::failed(format!("Artifact {name:?} of task {task:?} would be written outside {}.", base.display())))
    }
}

/// Makes the directories of a file below `base`; a symbolic link on the way is refused, for it could lead anywhere.
pub(crate) fn make_parents(base: &Path, file: &Path) -> CommandResult<()> {
    let below = file.strip_prefix(base).ok().and_then(Path::parent).unwrap_or(Path::new(""));
    let mut dir = base.to_owned();
    for component in below.components() {
        dir.push(component);
        match fs::symlink_metadata(&dir) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(Failure::failed(format!("{} is in the way: it is no directory.", dir.display()))),
            Err(_) => fs::create_dir(&dir).map_err(|error| cannot_write(&dir, &error))?,
        }
    }
    Ok(())
}

/// That a file cannot be written.
pub(crate) fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("{} cannot be written: {error}.", path.display()))
}

/// Writes `DIR/<task>/<artifact>` and `DIR/<task>.log`; with several attempts `DIR/<task>.<n>.log` for each.
pub(crate) async fn write(server: &Server, job: &JobDetail, dir: &Path) -> CommandResult<()> {
    for task in &job.tasks {
        for artifact in &task.artifacts {
            write_artifact(server, dir, task, artifact).await?;
        }
        let logged: Vec<&AttemptResource> = task.attempt_list.iter().filter(|attempt| attempt.log_bytes > 0).collect();
        let one = task.attempt_list.len() == 1;
        for attempt in logged {
            let position = task.attempt_list.iter().position(|other| other.number == attempt.number).unwrap_or(0) + 1;
            let name = if one { format!("{}.log", task.task_type) } else { format!("{}.{position}.log", task.task_type) };
            write_log(server, job, attempt, &dir.join(name)).await?;
        }
    }
    Ok(())
}

async fn write_artifact(server: &Server, dir: &Path, task: &TaskResource, artifact: &ArtifactResource) -> CommandResult<()> {
    let file = safe_path(dir, &task.task_type, &artifact.name)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifact_names_cannot_lead_out_of_the_directory() {
        let base = Path::new("/out");
        assert_eq!(safe_path(base, "build", "a/b.txt").expect("a plain name"), Path::new("/out/build/a/b.txt"));
        for name in ["../x", "/etc/passwd", "a/../../x", "", ".", "./.."] {
            assert!(safe_path(base, "build", name).is_err(), "{name:?}");
        }
        for task in ["..", "", "a/b", "/", "."] {
            assert!(safe_path(base, task, "x").is_err(), "{task:?}");
        }
    }

    #[test]
    fn a_link_on_the_way_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        std::os::unix::fs::symlink("/tmp", dir.path().join("build")).expect("a link");
        let failure = make_parents(dir.path(), &dir.path().join("build/x")).expect_err("the link");
        assert!(failure.message.contains("is no directory"), "{}", failure.message);
    }
}
