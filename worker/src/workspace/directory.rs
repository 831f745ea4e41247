//! An attempt's directory: `work` (TASK_DIR), and beside it the script, the spool and the file for outputs.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

use atta_core::protocol::AttemptId;
use atta_core::protocol::ant::RenderedScript;

use crate::supervisor::BEGUN;

/// The directory of one attempt.
#[derive(Debug, Clone)]
pub(crate) struct AttemptDirectory {
    root: PathBuf,
}

impl AttemptDirectory {
    /// Makes it, anew when there is one.
    pub(crate) fn create(attempts: &Path, id: &AttemptId, spares: &SpareDirectories) -> io::Result<Self> {
        let name = &id.0;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
            return Err(io::Error::other(format!("{name:?} cannot be the name of a directory")));
        }
        let directory = Self { root: attempts.join(name) };
        if spares.give(&directory.root) {
            return Ok(directory);
        }
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

    /// That of an attempt that was begun.
    pub(crate) fn of(attempts: &Path, id: &AttemptId) -> Self {
        Self { root: attempts.join(&id.0) }
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

    /// Where the runner of an agent keeps what it knows.
    pub(crate) fn agent(&self) -> PathBuf {
        self.root.join("agent")
    }

    /// The runner's record.
    pub(crate) fn agent_record(&self) -> PathBuf {
        self.agent().join("record.json")
    }

    /// Writes what an agent's runner is told; the names of that file and of the record that it is to write.
    pub(crate) fn write_order(&self, order: &[u8]) -> io::Result<(PathBuf, PathBuf)> {
        make(&self.agent())?;
        let path = self.root.join("agent.order");
        write_private(&path, 0o600, order)?;
        Ok((path, self.agent_record()))
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
    OpenOptions::new().create(true).truncate(true).write(true).mode(mode).open(path)?.write_all(content)
}

/// As one word of a POSIX shell.
fn quoted(path: &Path) -> io::Result<String> {
    let text = path.to_str().ok_or_else(|| io::Error::other("the data directory's path is not UTF-8"))?;
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Directories of attempts that have ended, for the next ones. Where many files were deleted lately, making a file or
/// directory can cost more than a small program; moving one costs little.
#[derive(Debug)]
pub(crate) struct SpareDirectories {
    directory: PathBuf,
    most: usize,
    free: Mutex<Vec<PathBuf>>,
}

/// Files of ours that are emptied and kept, with their modes.
const REUSED: [(&str, u32); 3] = [("script", 0o700), ("script.values", 0o600), ("script.spool", 0o600)];

impl SpareDirectories {
    /// Keeps at most so many below `directory`, which is made with the first.
    pub(crate) fn new(directory: PathBuf, most: usize) -> Self {
        Self { directory, most, free: Mutex::default() }
    }

    fn free(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves a spare directory to `root`, if there is one and nothing is in the way.
    fn give(&self, root: &Path) -> bool {
        let spare = self.free().pop();
        spare.is_some_and(|spare| !root.exists() && fs::rename(&spare, root).is_ok())
    }

    /// Takes an attempt's directory: cleans it and keeps it, or removes it.
    pub(crate) fn take(&self, root: &Path) -> io::Result<()> {
        if self.free().len() >= self.most || clean(root).is_err() {
            return remove_tree(root);
        }
        let Some(name) = root.file_name() else { return remove_tree(root) };
        let spare = self.directory.join(name);
        let moved = match fs::rename(root, &spare) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(&self.directory).and_then(|()| fs::rename(root, &spare))
            }
            other => other,
        };
        if moved.is_err() {
            return remove_tree(root);
        }
        self.free().push(spare);
        Ok(())
    }

    /// Removes all of them.
    pub(crate) fn remove(&self) -> io::Result<()> {
        self.free().clear();
        remove_tree(&self.directory)
    }
}

/// Empties our own files, removes all others, and sees to it that `work` is as new.
fn clean(root: &Path) -> io::Result<()> {
    let as_made = |metadata: &fs::Metadata, mode: u32| metadata.permissions().mode() & 0o7777 == mode;
    let metadata = fs::symlink_metadata(root)?;
    if as_made(&metadata, BEGUN) {
        fs::set_permissions(root, Permissions::from_mode(0o700))?;
    } else if !as_made(&metadata, 0o700) {
        return Err(io::Error::other("others were let in"));
    }
    let mut has_work = false;
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let path = entry.path();
        let metadata = entry.metadata()?;
        let ours = REUSED.iter().any(|(reused, mode)| name == *reused && as_made(&metadata, *mode));
        if ours && metadata.is_file() && metadata.nlink() == 1 {
            OpenOptions::new().write(true).open(&path)?.set_len(0)?;
        } else if name == "work" && is_untouched(&path, &metadata)? {
            has_work = true;
        } else {
            remove_tree(&path)?;
        }
    }
    if has_work { Ok(()) } else { make(&root.join("work")) }
}

/// Nothing was ever made in the directory, nor anything about it changed: it was last changed when it was made.
fn is_untouched(path: &Path, metadata: &fs::Metadata) -> io::Result<bool> {
    let as_made = metadata.is_dir()
        && metadata.permissions().mode() & 0o7777 == 0o700
        && metadata.created().is_ok_and(|made| {
            made.duration_since(UNIX_EPOCH).is_ok_and(|made| {
                let changed = i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
                i128::try_from(made.as_nanos()).is_ok_and(|made| made == changed)
            })
        });
    Ok(as_made && fs::read_dir(path)?.next().is_none())
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

    fn no_spares() -> SpareDirectories {
        SpareDirectories::new(PathBuf::from("/nonexistent"), 0)
    }

    #[test]
    fn a_directory_that_is_used_again_is_as_new() {
        let temp = tempfile::tempdir().unwrap();
        let attempts = temp.path().join("attempts");
        fs::create_dir(&attempts).unwrap();
        let spares = SpareDirectories::new(temp.path().join("spare"), 1);
        let script =
            RenderedScript { preamble: "v=1\n".to_owned(), text: "a long text, to be seen when it stays".to_owned() };
        let short = RenderedScript { preamble: String::new(), text: "short".to_owned() };
        let names = |path: &Path| {
            let mut names: Vec<_> =
                fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        let dirty: [fn(&AttemptDirectory); 6] = [
            |_| {},
            |d| fs::write(d.work().join("file"), "x").unwrap(),
            |d| fs::set_permissions(d.work(), Permissions::from_mode(0o777)).unwrap(),
            |d| fs::set_permissions(d.root(), Permissions::from_mode(0o755)).unwrap(),
            |d| fs::set_permissions(d.root().join("script.values"), Permissions::from_mode(0o666)).unwrap(),
            |d| {
                fs::write(d.output_file(), "a=1").unwrap();
                fs::write(d.spool("script"), "log").unwrap();
                fs::remove_dir(d.work()).unwrap();
                std::os::unix::fs::symlink("/etc", d.work()).unwrap();
            },
        ];
        for (n, dirty) in dirty.into_iter().enumerate() {
            let old = AttemptDirectory::create(&attempts, &AttemptId(format!("old-{n}")), &spares).unwrap();
            old.write_script("script", &script).unwrap();
            dirty(&old);
            spares.take(old.root()).unwrap();
            assert_eq!(names(&attempts), Vec::<String>::new());
            let new = AttemptDirectory::create(&attempts, &AttemptId(format!("new-{n}")), &spares).unwrap();
            assert_eq!(names(&new.work()), Vec::<String>::new());
            let mode = fs::symlink_metadata(new.work()).unwrap().permissions().mode();
            assert_eq!(mode & 0o177_777, 0o040_700);
            assert_eq!(fs::symlink_metadata(new.root()).unwrap().permissions().mode() & 0o7777, 0o700);
            assert!(!new.output_file().exists());
            let path = new.write_script("script", &short).unwrap();
            assert_eq!(fs::read_to_string(path).unwrap(), "short");
            if let Ok(values) = fs::metadata(new.root().join("script.values")) {
                assert_eq!((values.len(), values.permissions().mode() & 0o7777), (0, 0o600));
            }
            spares.take(new.root()).unwrap();
        }
        let both =
            ["a-1", "a-2"].map(|id| AttemptDirectory::create(&attempts, &AttemptId(id.to_owned()), &spares).unwrap());
        for directory in both {
            spares.take(directory.root()).unwrap();
        }
        assert_eq!(names(&temp.path().join("spare")).len(), 1, "no more than one is kept");
        spares.remove().unwrap();
        assert_eq!(names(temp.path()), ["attempts"]);
    }

    #[test]
    fn a_script_reads_its_values_on_its_first_line_and_keeps_its_line_numbers() {
        let temp = tempfile::Builder::new().prefix("it's ").tempdir().unwrap();
        let directory = AttemptDirectory::create(temp.path(), &AttemptId("job_1-1".to_owned()), &no_spares()).unwrap();
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
            assert!(AttemptDirectory::create(temp.path(), &AttemptId(id.to_owned()), &no_spares()).is_err(), "{id}");
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
