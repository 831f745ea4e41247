//! Laying the artifacts of dependencies into TASK_DIR.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use atta_core::protocol::Digest;
use atta_core::protocol::ant::{ArtifactFile, ArtifactInput};

/// One file to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) task: String,
    pub(crate) file: ArtifactFile,
}

/// What is fetched, and what people should know about it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct InputPlan {
    pub(crate) files: Vec<Placed>,
    pub(crate) warnings: Vec<String>,
}

/// Decides which file wins where several have the same path: the later one.
pub(crate) fn plan(inputs: &[ArtifactInput]) -> Result<InputPlan, String> {
    let mut by_path: BTreeMap<&str, Placed> = BTreeMap::new();
    let mut warnings = Vec::new();
    for input in inputs {
        for file in &input.files {
            if !is_plain_relative(&file.path) {
                return Err(format!(
                    "the artifact {:?} of `{}` has a path that leads out of TASK_DIR",
                    file.path, input.task
                ));
            }
            let placed = Placed { task: input.task.clone(), file: file.clone() };
            if let Some(replaced) = by_path.insert(&file.path, placed)
                && replaced.file.digest != file.digest
            {
                warnings.push(format!(
                    "the artifact `{}` of `{}` replaced that of `{}`",
                    file.path, input.task, replaced.task
                ));
            }
        }
    }
    // In order of path, a file comes before what would lie in a directory of the same name.
    let mut files: Vec<Placed> = Vec::with_capacity(by_path.len());
    for (path, placed) in by_path {
        if let Some(above) = files
            .iter()
            .find(|other| path.strip_prefix(other.file.path.as_str()).is_some_and(|rest| rest.starts_with('/')))
        {
            return Err(format!(
                "the artifact `{path}` of `{}` cannot be laid down: `{}` of `{}` is a file",
                placed.task, above.file.path, above.task
            ));
        }
        files.push(placed);
    }
    Ok(InputPlan { files, warnings })
}

/// Whether a path names something below a directory, whatever the directory.
pub(super) fn is_plain_relative(path: &str) -> bool {
    !path.is_empty()
        && !path.contains('\0')
        && Path::new(path).components().all(|component| matches!(component, Component::Normal(_)))
}

impl Placed {
    /// Makes the directories above, and returns where the file goes.
    pub(crate) fn make_way(&self, work: &Path) -> io::Result<PathBuf> {
        let path = work.join(&self.file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        Ok(path)
    }

    /// After the content is there.
    pub(crate) fn finish(&self, path: &Path) -> io::Result<()> {
        let mode = if self.file.executable { 0o755 } else { 0o644 };
        fs::set_permissions(path, Permissions::from_mode(mode))
    }

    pub(crate) fn digest(&self) -> &Digest {
        &self.file.digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(task: &str, files: &[(&str, &str)]) -> ArtifactInput {
        let file = |(path, digest): &(&str, &str)| ArtifactFile {
            path: (*path).to_owned(),
            digest: Digest((*digest).to_owned()),
            size: 1,
            executable: false,
        };
        ArtifactInput { task: task.to_owned(), files: files.iter().map(file).collect() }
    }

    #[test]
    fn the_later_dependency_wins_and_people_are_told() {
        let plan = plan(&[input("a", &[("x", "1"), ("same", "7")]), input("b", &[("x", "2"), ("same", "7")])]).unwrap();
        let x = plan.files.iter().find(|placed| placed.file.path == "x").unwrap();
        assert_eq!((x.task.as_str(), x.digest().0.as_str()), ("b", "2"));
        assert_eq!(plan.warnings, ["the artifact `x` of `b` replaced that of `a`"]);
    }

    #[test]
    fn paths_that_lead_out_or_through_a_file_are_refused() {
        for path in ["../x", "/etc/passwd", "a/../../x", "", "a/./../b"] {
            let message = plan(&[input("a", &[(path, "1")])]).unwrap_err();
            assert!(message.contains("leads out of TASK_DIR"), "{message}");
        }
        let message = plan(&[input("a", &[("d", "1")]), input("b", &[("d/x", "2")])]).unwrap_err();
        assert_eq!(message, "the artifact `d/x` of `b` cannot be laid down: `d` of `a` is a file");
    }
}
