//! Files that a command writes for its user, under names that come from elsewhere.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::exit::{CommandResult, Failure};

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

/// An artifact's name within its task: those of a `fan_out` begin with the task's own name, as later tasks see them.
pub(crate) fn name_in_task<'a>(task: &atta_core::protocol::api::TaskResource, name: &'a str) -> &'a str {
    let of_instance = task.fan_out.as_ref().and_then(|_| name.strip_prefix(&task.task_type)?.strip_prefix('/'));
    of_instance.unwrap_or(name)
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
