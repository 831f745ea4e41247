//! An attempt's directory: `work` (TASK_DIR), and beside it the script, the spool and the file for outputs.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use atta_core::protocol::AttemptId;
use atta_core::protocol::ant::RenderedScript;

/// The directory of one attempt.
#[derive(Debug, Clone)]
pub(crate) struct AttemptDirectory {
    root: PathBuf,
}

impl AttemptDirectory {
    /// Makes it, anew when there is one.
    pub(crate) fn create(attempts: &Path, id: &AttemptId) -> io::Result<Self> {
        let name = &id.0;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
            return Err(io::Error::other(format!("{name:?} cannot be the name of a directory")));
        }
        let directory = Self { root: attempts.join(name) };
        let make = |path: &Path| DirBuilder::new().mode(0o700).create(path);
        if let Err(error) = make(&directory.root) {
            if error.kind() != io::ErrorKind::AlreadyExists {
                return Err(error);
            }
            remove_tree(&directory.root)?;
            make(&directory.root)?;
        }
        make(&directory.work())?;
        Ok(directory)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// TASK_DIR.
    pub(crate) fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// What `ATTA_OUTPUT` names; made by the task.
    pub(crate) fn output_file(&self) -> PathBuf {
        self.root.join("output")
    }

    /// The spool of a script's output; made with its first byte.
    pub(crate) fn spool(&self, script: &str) -> PathBuf {
        self.root.join(format!("{script}.spool"))
    }

    /// Writes a script, and what binds its values, which the script's first line reads.
    pub(crate) fn write_script(&self, name: &str, script: &RenderedScript) -> io::Result<PathBuf> {
        let path = self.root.join(name);
        let mut text = String::with_capacity(script.text.len() + 64);
        if !script.preamble.is_empty() {
            let preamble = self.root.join(format!("{name}.values"));
            write_private(&preamble, 0o600, script.preamble.as_bytes())?;
            text.push_str(". ");
            text.push_str(&quoted(&preamble)?);
            text.push_str("; ");
        }
        text.push_str(&script.text);
        write_private(&path, 0o700, text.as_bytes())?;
        Ok(path)
    }
}

fn write_private(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    OpenOptions::new().create_new(true).write(true).mode(mode).open(path)?.write_all(content)
}

/// As one word of a POSIX shell.
fn quoted(path: &Path) -> io::Result<String> {
    let text = path.to_str().ok_or_else(|| io::Error::other("the data directory's path is not UTF-8"))?;
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

/// Removes a file or a directory with everything in it, also what its owner may not write.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    let result = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path);
            fs::remove_dir_all(path)
        }
        other => other,
    }
}

fn open_up(directory: &Path) {
    let _ = fs::set_permissions(directory, Permissions::from_mode(0o700));
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_reads_its_values_on_its_first_line_and_keeps_its_line_numbers() {
        let temp = tempfile::Builder::new().prefix("it's ").tempdir().unwrap();
        let directory = AttemptDirectory::create(temp.path(), &AttemptId("job_1-1".to_owned())).unwrap();
        let script = RenderedScript { preamble: "v='x'\n".to_owned(), text: "echo \"$v\"\necho two\n".to_owned() };
        let path = directory.write_script("script", &script).unwrap();
        let text = fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().count(), 2);
        let first = text.lines().next().unwrap();
        assert!(first.starts_with(". '") && first.contains(r"it'\''s ") && first.ends_with("; echo \"$v\""), "{first}");
        let mode = fs::metadata(directory.root().join("script.values")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn an_id_that_could_leave_the_directory_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        for id in ["", "..", "a/b", ".hidden"] {
            assert!(AttemptDirectory::create(temp.path(), &AttemptId(id.to_owned())).is_err(), "{id}");
        }
    }

    #[test]
    fn directories_without_rights_are_removed() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("a");
        fs::create_dir_all(root.join("b/c")).unwrap();
        fs::write(root.join("b/c/file"), "x").unwrap();
        fs::set_permissions(root.join("b/c"), Permissions::from_mode(0o500)).unwrap();
        fs::set_permissions(root.join("b"), Permissions::from_mode(0o000)).unwrap();
        remove_tree(&root).unwrap();
        assert!(!root.exists());
        remove_tree(&root).unwrap();
    }
}
